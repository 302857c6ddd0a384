// The library's own version, for programs that print it and for builds that check it.
#pragma once

#include <string_view>

namespace walwire {

inline constexpr int version_major = 0;
inline constexpr int version_minor = 1;
inline constexpr int version_patch = 0;
inline constexpr std::string_view version_text = "0.1.0";

} // namespace walwire
