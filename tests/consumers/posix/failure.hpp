// What went wrong with the operating system, as one line for a person.
//
// The adapter throws it from every call that met an error it cannot mend: the text says what was
// being done, to what, and why it failed; code() is the errno behind it, or 0 where there was none.
// The receive loop catches it in one place: around a connection (try again later) or around
// everything (exit status 1).
//
// `interrupted` is not an error: somebody asked the program to stop while it was waiting.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "printable.hpp"

namespace posix {

class failure : public std::runtime_error {
  public:
    explicit failure(const std::string& text, int code = 0)
        : std::runtime_error(text), code_(code) {}

    int code() const noexcept { return code_; }

  private:
    int code_;
};

class interrupted : public std::exception {
  public:
    const char* what() const noexcept override { return "interrupted"; }
};

// The system's words for an errno. Unlike strerror it keeps no buffer that somebody else
// overwrites.
inline std::string reason(int code) {
    return std::generic_category().message(code);
}

// A name as messages have it. Whoever made a backup chose the names in it, so they are not trusted.
// It is an object because std::quoted would be found beside a function, and match better.
inline constexpr auto quoted = [](std::string_view name) { return '"' + printable(name) + '"'; };

// "could not open "/archive": Permission denied"
[[noreturn]] inline void fail(const std::string& what, int code) {
    throw failure(what + ": " + reason(code), code);
}

} // namespace posix
