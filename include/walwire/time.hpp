// Readings of clocks, which the library is always given and never takes.
//
// Every call that needs the time takes an `instant`: the steady clock drives deadlines, the wall
// clock is only ever copied into messages, whose receivers print it and must not rely on it. All
// times are whole microseconds.
#pragma once

#include <cstdint>

namespace walwire {

struct instant {
    std::int64_t steady = 0; // monotonic, any epoch; deadlines live here
    std::int64_t wall = 0;   // since 1970-01-01 00:00 UTC
};

// A deadline that never comes; the largest value, so that deadlines compose with min().
inline constexpr std::int64_t never = INT64_MAX;

inline constexpr std::int64_t millisecond = 1'000;
inline constexpr std::int64_t second = 1'000'000;

// Adding to a clock reading stops at `never` instead of running over.
constexpr std::int64_t later(std::int64_t at, std::int64_t by) noexcept {
    return by >= never - (at > 0 ? at : 0) ? never : at + by;
}

// PostgreSQL counts its timestamps from 2000-01-01 00:00 UTC.
inline constexpr std::int64_t postgres_epoch = 946'684'800 * second;

// Unix microseconds to PostgreSQL's and back. Out of range they stop at the ends, since a peer may
// send any 64 bits.
constexpr std::int64_t to_postgres_time(std::int64_t wall) noexcept {
    return wall < INT64_MIN + postgres_epoch ? INT64_MIN : wall - postgres_epoch;
}
constexpr std::int64_t from_postgres_time(std::int64_t time) noexcept {
    return time > INT64_MAX - postgres_epoch ? INT64_MAX : time + postgres_epoch;
}

} // namespace walwire
