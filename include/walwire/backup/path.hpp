// Paths within a backup: which may be followed, and which may be shown.
//
// A path comes from the server, and whoever unpacks a backup creates what it says. It is accepted
// only if it leads downwards from where it begins, and only in the one spelling that it has, so
// that two entries of one file look alike. What else a system cannot have in a name is for the
// adapter on that system to refuse, as backslashes and colons on Windows.
#pragma once

#include <cstddef>
#include <string_view>

namespace walwire::backup {

// Parts that are neither empty nor "." nor "..", with single slashes between them and none around
// them, and no NUL anywhere.
constexpr bool is_downward_path(std::string_view path) noexcept {
    std::size_t first = 0;
    for (std::size_t at = 0; at <= path.size(); ++at) {
        if (at < path.size() && path[at] == '\0') return false;
        if (at < path.size() && path[at] != '/') continue;
        const std::string_view part = path.substr(first, at - first);
        if (part.empty() || part == "." || part == "..") return false;
        first = at + 1;
    }
    return true;
}

// No control character: servers have no use for them in names, and terminals obey them.
constexpr bool is_printable(std::string_view text) noexcept {
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
    }
    return true;
}

} // namespace walwire::backup
