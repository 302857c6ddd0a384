// Where libpq looks for a user's own files: HOME, or else what the user database says.
#pragma once

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace posix {

// An environment variable; one that is empty counts as not set, as in libpq.
inline std::string environment(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? "" : value;
}

// A file below the home directory, or nothing when there is none.
inline std::string home_file(const std::string& name) {
    std::string home = environment("HOME");
    if (home.empty()) {
        const passwd* const user = ::getpwuid(::geteuid());
        if (user != nullptr && user->pw_dir != nullptr) home = user->pw_dir;
    }
    return home.empty() ? "" : home + '/' + name;
}

} // namespace posix
