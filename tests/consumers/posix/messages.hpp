// What the program says to people: one line each, on standard error.
//
// A server's words are bytes from the network; control characters in them are shown as '?', so that
// none of them steers the terminal.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include <walwire/error.hpp>
#include <walwire/replica/event.hpp>

namespace posix {

inline std::string printable(std::string_view text) {
    std::string shown;
    for (const char c : text) {
        const auto code = static_cast<unsigned char>(c);
        shown += code < 0x20 || code == 0x7f ? '?' : c;
    }
    return shown;
}

inline void say(const std::string& line) {
    std::fprintf(stderr, "walwire: %s\n", line.c_str());
}

// "FATAL 28P01: password authentication failed for user "x"", with detail and hint where there are
// any.
inline std::string describe(const walwire::wire::error_fields& fields) {
    std::string text = printable(fields.severity) + ' ' + printable(fields.sqlstate) + ": " +
                       printable(fields.message);
    if (!fields.detail.empty()) text += " (" + printable(fields.detail) + ')';
    if (!fields.hint.empty()) text += " (hint: " + printable(fields.hint) + ')';
    return text;
}

inline std::string describe(walwire::error reason) {
    return std::string(walwire::text(reason.code)) + ", at byte " + std::to_string(reason.offset) +
           " of the server's stream";
}

} // namespace posix
