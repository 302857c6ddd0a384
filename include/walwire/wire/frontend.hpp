// What a client says, message by message: a struct, its decoder and its encoder.
//
// Three answers to an authentication request share the tag 'p' and differ only by what was asked,
// so their decoders are chosen by the conversation's state. The text of a query is command.hpp's
// matter, and what a replica sends inside CopyData is copy.hpp's.
//
// Source of truth: the manual, "Message Formats".
#pragma once

#include <cstdint>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "message.hpp"
#include "tag.hpp"

namespace walwire::wire {

// A replication command or SQL.
struct query {
    std::string_view text;
};

// malformed_message: no NUL at all, or bytes behind the first one.
inline result<query> parse_query(bytes body) noexcept {
    reader in(body);
    const query message{in.c_string()};
    if (!in.done()) return errc::malformed_message;
    return message;
}

inline void put(writer& out, const query& message) noexcept {
    put_message(out, frontend_tag::query,
                [&](writer& body) noexcept { body.c_string(message.text); });
}

// The password in clear text, or its MD5 answer.
struct password_message {
    std::string_view password;
};

inline result<password_message> parse_password_message(bytes body) noexcept {
    reader in(body);
    const password_message message{in.c_string()};
    if (!in.done()) return errc::malformed_message;
    return message;
}

inline void put(writer& out, const password_message& message) noexcept {
    put_message(out, frontend_tag::password,
                [&](writer& body) noexcept { body.c_string(message.password); });
}

// The mechanism that the client chose and, for every mechanism in use, its first message. Without
// one the server answers with an empty challenge.
struct sasl_initial_response {
    std::string_view mechanism;
    bool has_data = false;
    bytes data;
};

inline result<sasl_initial_response> parse_sasl_initial_response(bytes body) noexcept {
    reader in(body);
    sasl_initial_response message;
    message.mechanism = in.c_string();
    const std::int32_t size = in.i32();
    if (size < -1) return errc::malformed_message;
    message.has_data = size >= 0;
    if (size > 0) message.data = in.take(static_cast<std::size_t>(size));
    if (!in.done()) return errc::malformed_message;
    return message;
}

inline void put(writer& out, const sasl_initial_response& message) noexcept {
    put_message(out, frontend_tag::password, [&](writer& body) noexcept {
        body.c_string(message.mechanism);
        body.i32(message.has_data ? static_cast<std::int32_t>(message.data.size()) : -1);
        if (message.has_data) body.append(message.data);
    });
}

// SASLResponse and GSSResponse: the body is the mechanism's own message.
inline void put_sasl_response(writer& out, bytes data) noexcept {
    put_message(out, frontend_tag::password, [&](writer& body) noexcept { body.append(data); });
}

// Why the client gives up a copy that it is sending. A walsender that is streaming WAL does not
// take it; it belongs to UPLOAD_MANIFEST.
struct copy_fail {
    std::string_view reason;
};

inline result<copy_fail> parse_copy_fail(bytes body) noexcept {
    reader in(body);
    const copy_fail message{in.c_string()};
    if (!in.done()) return errc::malformed_message;
    return message;
}

inline void put(writer& out, const copy_fail& message) noexcept {
    put_message(out, frontend_tag::copy_fail,
                [&](writer& body) noexcept { body.c_string(message.reason); });
}

// Messages that are nothing but their tag. (The frontend's CopyDone and the backend's are the same
// bytes; each side's stands with its own.)
inline void put_client_copy_done(writer& out) noexcept {
    put_message(out, frontend_tag::copy_done);
}
inline void put_terminate(writer& out) noexcept {
    put_message(out, frontend_tag::terminate);
}

} // namespace walwire::wire
