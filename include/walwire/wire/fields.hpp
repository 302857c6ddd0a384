// The fields of an ErrorResponse or a NoticeResponse.
//
//     { Byte1 code | text \0 }... | \0
//
// A server sends severity, SQLSTATE and message always and the others when it has them. The
// severity comes twice, in the server's language ('S') and in English ('V'); only the latter
// decides anything. Codes that are not known are passed over, as the protocol asks. The texts are
// the server's bytes in the server's encoding: before authentication they are anybody's, and none
// may reach a terminal unfiltered.
//
// Source of truth: the manual, "Error and Notice Message Fields".
#pragma once

#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "message.hpp"
#include "tag.hpp"

namespace walwire::wire {

// Views into the message; an absent field is empty.
struct error_fields {
    std::string_view severity; // never localized where the server says so, as all since 9.6 do
    std::string_view sqlstate; // five characters
    std::string_view message;
    std::string_view detail;
    std::string_view hint;
    std::string_view position;
    std::string_view where;
    std::string_view schema;
    std::string_view table;
    std::string_view column;
    std::string_view constraint;
    std::string_view file;
    std::string_view line;
    std::string_view routine;

    // Whether the server closes the connection behind it.
    constexpr bool fatal() const noexcept { return severity == "FATAL" || severity == "PANIC"; }
};

inline result<error_fields> parse_error_fields(bytes body) noexcept {
    error_fields fields;
    bool severity_is_english = false;
    reader in(body);
    for (;;) {
        const std::uint8_t code = in.u8();
        if (!in.ok()) return errc::malformed_message;
        if (code == 0) break;
        const std::string_view value = in.c_string();
        if (!in.ok()) return errc::malformed_message;
        switch (code) {
        case 'S':
            if (!severity_is_english) fields.severity = value;
            break;
        case 'V':
            fields.severity = value;
            severity_is_english = true;
            break;
        case 'C': fields.sqlstate = value; break;
        case 'M': fields.message = value; break;
        case 'D': fields.detail = value; break;
        case 'H': fields.hint = value; break;
        case 'P': fields.position = value; break;
        case 'W': fields.where = value; break;
        case 's': fields.schema = value; break;
        case 't': fields.table = value; break;
        case 'c': fields.column = value; break;
        case 'n': fields.constraint = value; break;
        case 'F': fields.file = value; break;
        case 'L': fields.line = value; break;
        case 'R': fields.routine = value; break;
        default: break;
        }
    }
    if (!in.done()) return errc::malformed_message;
    return fields;
}

// `tag` is error_response or notice_response. Empty fields are left out.
inline void put(writer& out, backend_tag tag, const error_fields& fields) noexcept {
    put_message(out, tag, [&](writer& body) noexcept {
        const auto field = [&](char code, std::string_view value) noexcept {
            if (value.empty()) return;
            body.u8(static_cast<std::uint8_t>(code));
            body.c_string(value);
        };
        field('S', fields.severity);
        field('V', fields.severity);
        field('C', fields.sqlstate);
        field('M', fields.message);
        field('D', fields.detail);
        field('H', fields.hint);
        field('P', fields.position);
        field('W', fields.where);
        field('s', fields.schema);
        field('t', fields.table);
        field('c', fields.column);
        field('n', fields.constraint);
        field('F', fields.file);
        field('L', fields.line);
        field('R', fields.routine);
        body.u8(0);
    });
}

} // namespace walwire::wire
