// The major version of a server, read off the parameter `server_version`.
//
// "15.18 (Debian 15.18-0+deb12u1)", "18beta1" and "17devel" are all in use; before version 10 the
// major version had two parts, "9.6.24", of which the first is kept. Only the leading number
// decides which grammar the server's commands have.
#pragma once

#include <string_view>

#include "../error.hpp"
#include "../lsn.hpp"

namespace walwire::wire {

// server_version_invalid: no number in front, or one that no server will have for some centuries.
constexpr result<int> parse_server_version(std::string_view text) noexcept {
    std::size_t size = 0;
    while (size < text.size() && text[size] >= '0' && text[size] <= '9') ++size;
    const auto major_part = walwire::detail::parse_decimal(text.substr(0, size), 999);
    if (!major_part || *major_part == 0) return errc::server_version_invalid;
    return static_cast<int>(*major_part);
}

} // namespace walwire::wire
