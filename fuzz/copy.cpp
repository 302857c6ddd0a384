// Any bytes as what CopyData holds while WAL streams: a decoder takes what has the size that its
// message has, and what it took is written again as it was.
#include <walwire/wire/copy.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::wire;

namespace {

// Which of its sizes a decoder takes: its own only, or longer ones too.
enum class sizes : std::uint8_t { exact, at_least };

template <class Message, class Put>
void look_at(bytes data, const result<Message>& message, std::size_t size, sizes taken,
             Put&& put_into) {
    const bool fits = taken == sizes::exact ? data.size() == size : data.size() >= size;
    check(static_cast<bool>(message) == fits, "the size decides");
    if (!message) {
        check(message.code() == errc::stream_malformed, "and nothing else can be wrong");
        return;
    }
    std::vector<std::byte> room(header_size + size);
    writer out(room);
    put_into(out, *message);
    check(out.ok() && out.size() == header_size + size, "it is written in its size");
    const bytes again = out.written().subspan(header_size);
    check(std::ranges::equal(again.subspan(1, size - 2), data.subspan(1, size - 2)),
          "and is the same bytes");
    // The last byte of some is a truth value, which is written as 1 whatever it was.
    check(again.back() == data[size - 1] ||
              (again.back() == std::byte{1} && data[size - 1] != std::byte{0}),
          "to the last one");
}

constexpr auto plainly = [](writer& out, const auto& message) { put(out, message); };

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const bytes content(reinterpret_cast<const std::byte*>(data), size);
    if (!content.empty()) {
        const auto first = std::to_integer<std::uint8_t>(content[0]);
        check(copy_head_size(copy_content::whole, first) == whole_copy_data, "a control message");
        check(copy_head_size(copy_content::raw, first) == 0, "nothing but body");
        const std::uint32_t wal = copy_head_size(copy_content::wal, first);
        check(wal == (first == 'w' ? wal_data_head_size : whole_copy_data), "only WAL streams");
        const std::uint32_t entries = copy_head_size(copy_content::entries, first);
        check(entries == (first == 1 ? entry_batch_head_size : whole_copy_data),
              "only batches stream");
    }
    look_at(content, parse_wal_data_head(content), wal_data_head_size, sizes::at_least,
            [&](writer& out, const wal_data_head& head) {
                const auto payload = static_cast<std::uint32_t>(size - wal_data_head_size);
                put(out, head, payload);
                check(load<std::uint32_t>(out.written().data() + 1) == 4 + size,
                      "with its payload");
            });
    look_at(content, parse_primary_keepalive(content), primary_keepalive_size, sizes::exact,
            plainly);
    look_at(content, parse_primary_status(content), primary_status_size, sizes::exact, plainly);
    look_at(content, parse_standby_status_update(content), standby_status_update_size,
            sizes::at_least, plainly);
    look_at(content, parse_hot_standby_feedback(content), hot_standby_feedback_size,
            sizes::at_least, plainly);
    look_at(content, parse_primary_status_request(content), primary_status_request_size,
            sizes::at_least, plainly);
    if (content.size() == primary_keepalive_size) {
        const bool asked = parse_primary_keepalive(content)->reply_requested;
        check(asked == (content.back() != std::byte{0}), "any value but zero asks");
    }
    return 0;
}
