// Any bytes as the body of any message that a client sends: what is accepted is written again as it
// was, and what it means agrees with its tag.
//
// The first byte is the tag.
#include <walwire/wire/conversation.hpp>
#include <walwire/wire/frontend.hpp>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::wire;

namespace {

template <class Put>
void same(std::uint8_t tag, bytes body, Put&& put_into) {
    std::vector<std::byte> room(body.size() + 64);
    writer out(room);
    put_into(out);
    check(out.ok(), "what was read can be written");
    const bytes again = out.written();
    check(std::to_integer<std::uint8_t>(again[0]) == tag, "the same tag");
    check(load<std::uint32_t>(again.data() + 1) == again.size() - 1,
          "the length is that of the rest");
    check(std::ranges::equal(again.subspan(header_size), body), "the same body");
}

template <class Message>
void look_at(std::uint8_t tag, bytes body, const result<Message>& message) {
    if (message) {
        same(tag, body, [&](writer& out) { put(out, *message); });
    } else {
        check(message.code() == errc::malformed_message, "only the form can be wrong");
    }
}

// A string is one when its only NUL is its last byte.
bool is_string(bytes body) {
    return !body.empty() && as_text(body).find('\0') == body.size() - 1;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::uint8_t tag = data[0];
    const bytes body(reinterpret_cast<const std::byte*>(data + 1), size - 1);
    if (const auto meaning = frontend_message(tag)) {
        check(*meaning > message::startup && *meaning < message::encryption_accepted,
              "a message with a tag, of the client's");
    } else {
        check(meaning.code() == errc::unknown_message, "or none at all");
    }
    switch (static_cast<frontend_tag>(tag)) {
    case frontend_tag::query:
        look_at(tag, body, parse_query(body));
        check(static_cast<bool>(parse_query(body)) == is_string(body), "a query is a string");
        break;
    case frontend_tag::copy_fail:
        look_at(tag, body, parse_copy_fail(body));
        check(static_cast<bool>(parse_copy_fail(body)) == is_string(body), "a reason is a string");
        break;
    case frontend_tag::password: {
        look_at(tag, body, parse_password_message(body));
        check(static_cast<bool>(parse_password_message(body)) == is_string(body),
              "a password is a string");
        const auto first = parse_sasl_initial_response(body);
        look_at(tag, body, first);
        if (first) check(first->has_data || first->data.empty(), "no data is no data");
        same(tag, body, [&](writer& out) { put_sasl_response(out, body); });
        break;
    }
    default: break;
    }
    return 0;
}
