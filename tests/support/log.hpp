// The log of a primary in tests: every byte is known from its position, on every timeline, so that
// a gap, a repetition and a shift all show.
//
// Tests move megabytes of it, and under a sanitizer a call for each byte would be most of their
// time. Each stretch is therefore computed once, and from then on copied and compared as a whole.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include <walwire/bytes.hpp>
#include <walwire/lsn.hpp>

namespace support {

inline std::byte log_byte(walwire::lsn at) {
    std::uint64_t mixed = at.value * 0x9e3779b97f4a7c15;
    mixed ^= mixed >> 29;
    return static_cast<std::byte>(mixed >> 17);
}

namespace detail {

inline constexpr std::size_t stretch_size = 1 << 16;

inline const std::vector<std::byte>& log_stretch(std::uint64_t number) {
    static std::map<std::uint64_t, std::vector<std::byte>> known;
    std::vector<std::byte>& made = known[number];
    for (std::uint64_t at = number * stretch_size; made.size() < stretch_size; ++at)
        made.push_back(log_byte({at}));
    return made;
}

} // namespace detail

// As much as is kept in one place of what stands at a position: a byte at least, `size` at most.
inline walwire::bytes log_run(walwire::lsn at, std::size_t size) {
    const walwire::bytes stretch = detail::log_stretch(at.value / detail::stretch_size);
    const walwire::bytes rest = stretch.subspan(at.value % detail::stretch_size);
    return rest.first(std::min(rest.size(), size));
}

inline void append_log(std::vector<std::byte>& to, walwire::lsn at, std::size_t size) {
    for (walwire::bytes run; size > 0; at = at + run.size(), size -= run.size()) {
        run = log_run(at, size);
        to.insert(to.end(), run.begin(), run.end());
    }
}

// Whether this is what stands at a position.
inline bool is_log(walwire::lsn at, walwire::bytes data) {
    for (walwire::bytes run; !data.empty(); at = at + run.size(), data = data.subspan(run.size())) {
        run = log_run(at, data.size());
        if (std::memcmp(run.data(), data.data(), run.size()) != 0) return false;
    }
    return true;
}

} // namespace support
