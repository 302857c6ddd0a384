// Any bytes as the body of any message that a server sends: what is accepted is written again as it
// was, and what it means agrees with its tag.
//
// The first byte is the tag; its highest bit asks for protocol 3.2.
#include <walwire/wire/backend.hpp>
#include <walwire/wire/conversation.hpp>
#include <walwire/wire/fields.hpp>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::wire;

namespace {

template <class Put>
std::vector<std::byte> encoded(std::size_t body_size, Put&& put_into) {
    std::vector<std::byte> room(2 * body_size + 256);
    writer out(room);
    put_into(out);
    check(out.ok(), "what was read can be written");
    room.resize(out.size());
    check(load<std::uint32_t>(room.data() + 1) == room.size() - 1,
          "the length is that of the rest");
    return room;
}

// The decoded message encodes to the tag and the body that it was decoded from.
template <class Message>
void same(std::uint8_t tag, bytes body, const Message& message) {
    const auto again = encoded(body.size(), [&](writer& out) { put(out, message); });
    check(std::to_integer<std::uint8_t>(again[0]) == tag, "the same tag");
    check(std::ranges::equal(bytes(again).subspan(header_size), body), "the same body");
}

bool within(std::string_view part, bytes whole) {
    return part.empty() || (part.data() >= as_text(whole).data() &&
                            part.data() + part.size() <= as_text(whole).data() + whole.size());
}

void look_at_fields(std::uint8_t tag, bytes body) {
    const auto fields = parse_error_fields(body);
    const auto meaning = backend_message(tag, body);
    if (!fields) {
        check(fields.code() == errc::malformed_message, "only the form can be wrong");
        check(tag == 'N' || meaning.code() == errc::malformed_message, "one verdict");
        return;
    }
    for (const std::string_view each :
         {fields->severity, fields->sqlstate, fields->message, fields->detail, fields->hint,
          fields->position, fields->where, fields->schema, fields->table, fields->column,
          fields->constraint, fields->file, fields->line, fields->routine}) {
        check(within(each, body), "a field is a view of the message");
        check(each.find('\0') == std::string_view::npos, "that ends at its NUL");
    }
    if (tag == 'E')
        check((*meaning == message::fatal_response) == fields->fatal(), "the severity decides");
    const auto again = encoded(
        body.size(), [&](writer& out) { put(out, static_cast<backend_tag>(tag), *fields); });
    const auto same_fields = parse_error_fields(bytes(again).subspan(header_size));
    check(same_fields && same_fields->severity == fields->severity &&
              same_fields->message == fields->message && same_fields->routine == fields->routine &&
              same_fields->fatal() == fields->fatal(),
          "and mean the same");
}

void look_at_negotiation(std::uint8_t tag, bytes body) {
    const auto message = parse_negotiate_protocol_version(body);
    if (!message) return;
    same(tag, body, *message);
    std::size_t size = 0;
    std::uint32_t count = 0;
    message->each_option([&](std::string_view name) {
        check(within(name, body), "a name is a view of the message");
        size += name.size() + 1;
        ++count;
    });
    check(count == message->option_count, "as many as are said");
    check(size == message->options.size(), "and no byte besides");
}

template <class Message>
void look_at(std::uint8_t tag, bytes body, const result<Message>& message, errc refusal) {
    if (message) {
        same(tag, body, *message);
    } else {
        check(message.code() == refusal, "only the form can be wrong");
    }
}

void look_at_body(std::uint8_t tag, bytes body, protocol_version version) {
    constexpr errc malformed = errc::malformed_message;
    switch (static_cast<backend_tag>(tag)) {
    case backend_tag::authentication:
        return look_at(tag, body, parse_authentication(body), malformed);
    case backend_tag::negotiate_protocol_version: return look_at_negotiation(tag, body);
    case backend_tag::parameter_status:
        return look_at(tag, body, parse_parameter_status(body), malformed);
    case backend_tag::backend_key_data:
        return look_at(tag, body, parse_backend_key_data(body, version), errc::backend_key_invalid);
    case backend_tag::ready_for_query:
        return look_at(tag, body, parse_ready_for_query(body), malformed);
    case backend_tag::command_complete:
        return look_at(tag, body, parse_command_complete(body), malformed);
    case backend_tag::notification_response:
        return look_at(tag, body, parse_notification_response(body), malformed);
    case backend_tag::error_response:
    case backend_tag::notice_response: return look_at_fields(tag, body);
    case backend_tag::copy_in_response:
    case backend_tag::copy_out_response:
    case backend_tag::copy_both_response: {
        const auto copy = parse_copy_response(body);
        if (copy) check(body.size() == 3 + 2u * copy->columns, "a format for each column");
        return;
    }
    default: return; // rows.hpp's and copy.hpp's
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto tag = static_cast<std::uint8_t>(data[0] & 0x7f);
    const protocol_version version = (data[0] & 0x80) != 0 ? protocol_3_2 : protocol_3_0;
    const bytes body(reinterpret_cast<const std::byte*>(data + 1), size - 1);
    look_at_body(tag, body, version);
    if (const auto meaning = backend_message(tag, body)) {
        check(*meaning > message::encryption_declined && *meaning < message::encryption_done,
              "a message with a tag, of the server's");
        conversation talk;
        check((talk.receive(*meaning) == errc::none) == (*meaning == message::fatal_response),
              "nobody begins with it, but to say that it will not");
    }
    return 0;
}
