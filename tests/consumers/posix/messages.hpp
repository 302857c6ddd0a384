// What the program says to people: one line each, on standard error.
//
// A server's words are bytes from the network, so they pass through printable.hpp.
#pragma once

#include <cstdio>
#include <string>

#include <walwire/error.hpp>
#include <walwire/replica/event.hpp>

#include "printable.hpp"

namespace posix {

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
