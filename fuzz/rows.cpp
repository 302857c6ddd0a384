// Any bytes as a row or as a description of one: what is accepted is used up exactly, can be asked
// for every column, and is written again as it was.
//
// The first byte says which of the two, the next two are the limit of columns.
#include <walwire/wire/rows.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::wire;

namespace {

template <class T>
void same(bytes body, const std::vector<T>& values) {
    std::vector<std::byte> room(body.size() + header_size);
    writer out(room);
    put(out, std::span<const T>(values));
    check(out.ok(), "what was read can be written");
    check(std::ranges::equal(out.written().subspan(header_size), body), "and is the same bytes");
}

void look_at_description(bytes body, std::uint16_t columns_max) {
    const auto description = row_description::parse(body, columns_max);
    if (!description) {
        check(description.code() == errc::row_invalid, "only the form can be wrong");
        return;
    }
    check(description->size() <= columns_max, "limits hold");
    std::vector<column> columns;
    description->each([&](const column& each) { columns.push_back(each); });
    check(columns.size() == description->size(), "as many as are said");
    same(body, columns);
}

void look_at_row(bytes body, std::uint16_t columns_max) {
    const auto row = data_row::parse(body, columns_max);
    if (!row) {
        check(row.code() == errc::row_invalid, "only the form can be wrong");
        return;
    }
    check(row->size() <= columns_max, "limits hold");
    // Asking for a column walks over those before it.
    if (row->size() > 2000) return;
    std::vector<std::optional<std::string_view>> values;
    for (std::size_t i = 0; i < row->size(); ++i) {
        values.push_back((*row)[i]);
        const std::string_view text = values.back().value_or(std::string_view());
        check(text.empty() || (text.data() >= as_text(body).data() &&
                               text.data() + text.size() <= as_text(body).data() + body.size()),
              "a value is a view of the message");
    }
    check(!(*row)[row->size()] && !(*row)[SIZE_MAX], "there is nothing behind the last column");
    same(body, values);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    reader in(bytes(reinterpret_cast<const std::byte*>(data), size));
    const bool description = (in.u8() & 1) != 0;
    const std::uint16_t columns_max = in.u16();
    const bytes body = in.rest();
    if (!in.ok()) return 0;
    if (description) {
        look_at_description(body, columns_max);
    } else {
        look_at_row(body, columns_max);
    }
    return 0;
}
