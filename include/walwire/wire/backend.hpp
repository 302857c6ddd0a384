// What a server says, message by message: a struct, its decoder and its encoder.
//
// Here stand the messages of start-up, of authentication and of the life of a query. Errors and
// notices are in fields.hpp, result sets in rows.hpp, and what CopyData holds is in copy.hpp.
// Decoders take the body as the framer delivers it and check that its fields use it up exactly;
// views point into it.
//
// Source of truth: the manual, "Message Formats".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "message.hpp"
#include "startup.hpp"
#include "tag.hpp"

namespace walwire::wire {

// The Int32 that opens the body of every authentication message.
enum class authentication_code : std::uint32_t {
    ok = 0,
    kerberos_v5 = 2,
    cleartext_password = 3,
    crypt_password = 4,
    md5_password = 5,
    scm_credential = 6,
    gss = 7,
    gss_continue = 8,
    sspi = 9,
    sasl = 10,
    sasl_continue = 11,
    sasl_final = 12,
};

// `data` by code: md5 has four bytes of salt; sasl a list of mechanisms, each ended by NUL, and one
// NUL more; sasl_continue and sasl_final the mechanism's own message; gss_continue a token; others
// nothing.
struct authentication {
    authentication_code code = authentication_code::ok;
    bytes data;
};

inline constexpr std::size_t md5_salt_size = 4;

inline result<authentication> parse_authentication(bytes body) noexcept {
    reader in(body);
    authentication message;
    message.code = static_cast<authentication_code>(in.u32());
    message.data = in.rest();
    if (!in.ok()) return errc::malformed_message;
    switch (message.code) {
    case authentication_code::md5_password:
        if (message.data.size() != md5_salt_size) return errc::malformed_message;
        break;
    case authentication_code::sasl:
    case authentication_code::sasl_continue:
    case authentication_code::sasl_final:
    case authentication_code::gss_continue: break;
    default:
        if (!message.data.empty()) return errc::malformed_message;
    }
    return message;
}

inline void put(writer& out, const authentication& message) noexcept {
    put_message(out, backend_tag::authentication, [&](writer& body) noexcept {
        body.u32(static_cast<std::uint32_t>(message.code));
        body.append(message.data);
    });
}

// The newest version that the server speaks, if the client asked for a newer one, and the names of
// the protocol options ("_pq_." and more) that it does not know. The version is the full word;
// texts that speak of a minor number only are mistaken.
struct negotiate_protocol_version {
    protocol_version version;
    std::uint32_t option_count = 0;
    bytes options; // names, each ended by NUL

    // Calls visit(name) for each of the option_count names.
    template <class Visitor>
    void each_option(Visitor&& visit) const noexcept {
        reader in(options);
        for (std::uint32_t i = 0; i < option_count; ++i) visit(in.c_string());
    }
};

inline result<negotiate_protocol_version> parse_negotiate_protocol_version(bytes body) noexcept {
    reader in(body);
    negotiate_protocol_version message;
    message.version = {in.u32()};
    message.option_count = in.u32();
    if (!in.ok() || message.option_count > in.left()) return errc::malformed_message;
    message.options = body.subspan(8);
    for (std::uint32_t i = 0; i < message.option_count && in.ok(); ++i) in.c_string();
    if (!in.done()) return errc::malformed_message;
    return message;
}

// The names are given as they stand in the message: each ended by NUL.
inline void put(writer& out, const negotiate_protocol_version& message) noexcept {
    put_message(out, backend_tag::negotiate_protocol_version, [&](writer& body) noexcept {
        body.u32(message.version.value);
        body.u32(message.option_count);
        body.append(message.options);
    });
}

// A setting that the server reports, at start-up and whenever it changes.
struct parameter_status {
    std::string_view name;
    std::string_view value;
};

inline result<parameter_status> parse_parameter_status(bytes body) noexcept {
    reader in(body);
    parameter_status message;
    message.name = in.c_string();
    message.value = in.c_string();
    if (!in.done() || message.name.empty()) return errc::malformed_message;
    return message;
}

inline void put(writer& out, const parameter_status& message) noexcept {
    put_message(out, backend_tag::parameter_status, [&](writer& body) noexcept {
        body.c_string(message.name);
        body.c_string(message.value);
    });
}

// What a CancelRequest must present. Four bytes of key in protocol 3.0, 4 to 256 from 3.2 on.
struct backend_key_data {
    std::uint32_t pid = 0;
    bytes key;
};

inline result<backend_key_data> parse_backend_key_data(bytes body,
                                                       protocol_version version) noexcept {
    reader in(body);
    backend_key_data message;
    message.pid = in.u32();
    message.key = in.rest();
    const std::size_t size_max = version < protocol_3_2 ? 4 : cancel_key_size_max;
    if (!in.ok() || message.key.size() < 4 || message.key.size() > size_max)
        return errc::backend_key_invalid;
    return message;
}

inline void put(writer& out, const backend_key_data& message) noexcept {
    put_message(out, backend_tag::backend_key_data, [&](writer& body) noexcept {
        body.u32(message.pid);
        body.append(message.key);
    });
}

enum class transaction_status : std::uint8_t { idle = 'I', in_transaction = 'T', failed = 'E' };

inline result<transaction_status> parse_ready_for_query(bytes body) noexcept {
    reader in(body);
    const std::uint8_t status = in.u8();
    if (!in.done() || (status != 'I' && status != 'T' && status != 'E'))
        return errc::malformed_message;
    return static_cast<transaction_status>(status);
}

inline void put(writer& out, transaction_status status) noexcept {
    put_message(out, backend_tag::ready_for_query,
                [&](writer& body) noexcept { body.u8(static_cast<std::uint8_t>(status)); });
}

// The tag names the command that ended. Tags differ between versions: never decide by them.
struct command_complete {
    std::string_view tag;
};

inline result<command_complete> parse_command_complete(bytes body) noexcept {
    reader in(body);
    const command_complete message{in.c_string()};
    if (!in.done()) return errc::malformed_message;
    return message;
}

inline void put(writer& out, const command_complete& message) noexcept {
    put_message(out, backend_tag::command_complete,
                [&](writer& body) noexcept { body.c_string(message.tag); });
}

// CopyInResponse, CopyOutResponse and CopyBothResponse share one body. For replication it says:
// text format, no columns, which means that nobody interprets the bytes.
struct copy_response {
    std::uint8_t format = 0; // 0 text, 1 binary
    std::uint16_t columns = 0;
};

inline result<copy_response> parse_copy_response(bytes body) noexcept {
    reader in(body);
    copy_response message;
    message.format = in.u8();
    message.columns = in.u16();
    in.take(std::size_t{2} * message.columns); // a format for each column
    if (!in.done()) return errc::malformed_message;
    return message;
}

// `tag` is one of the three copy responses.
inline void put_copy_response(writer& out, backend_tag tag) noexcept {
    put_message(out, tag, [](writer& body) noexcept {
        body.u8(0);
        body.u16(0);
    });
}

// What NOTIFY sends. A walsender on a database connection may pass some on.
struct notification_response {
    std::uint32_t pid = 0;
    std::string_view channel;
    std::string_view payload;
};

inline result<notification_response> parse_notification_response(bytes body) noexcept {
    reader in(body);
    notification_response message;
    message.pid = in.u32();
    message.channel = in.c_string();
    message.payload = in.c_string();
    if (!in.done()) return errc::malformed_message;
    return message;
}

inline void put(writer& out, const notification_response& message) noexcept {
    put_message(out, backend_tag::notification_response, [&](writer& body) noexcept {
        body.u32(message.pid);
        body.c_string(message.channel);
        body.c_string(message.payload);
    });
}

// Messages that are nothing but their tag.
inline void put_copy_done(writer& out) noexcept {
    put_message(out, backend_tag::copy_done);
}
inline void put_empty_query_response(writer& out) noexcept {
    put_message(out, backend_tag::empty_query_response);
}

} // namespace walwire::wire
