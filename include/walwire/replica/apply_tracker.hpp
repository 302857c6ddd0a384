// The apply tracker: calls applied whatever is flushed.
//
// It is for a replica that keeps the log and has nothing that reads it, or whose engine replays it
// elsewhere and wants the primary to hear of progress all the same. Know what it claims: apply
// follows flush by itself, *whether or not anything was applied*. A primary that waits for apply,
// PostgreSQL's synchronous_commit = remote_apply, then waits for no more than durability here, and
// a reader who was told that his commit is visible on this replica may not find it. A replica that
// really applies entries uses replay.hpp instead, whose apply position is earned.
//
//     flushed(at)  a flush was reported: due at once
//     deadline()   by when to look again: at once with a flush outstanding, else the next tick
//     poll(now)    the new apply position, if it moved
//
// The tick, at most 250 ms and never slower than the status interval, is for an owner that is not
// told of each flush and looks at its flush position when the deadline comes. One that reports
// every flush may sleep over the ticks while `caught_up()`.
#pragma once

#include <cstdint>
#include <optional>

#include "../lsn.hpp"
#include "../time.hpp"

namespace walwire::replica {

inline constexpr std::int64_t default_apply_tick = 250 * millisecond;

class apply_tracker {
  public:
    // Both in microseconds; the shorter one counts. A status interval that is not positive is one
    // that is switched off, and a tick that is not positive is the default, so that no value makes
    // the tracker due all the time.
    constexpr explicit apply_tracker(std::int64_t status_interval = never,
                                     std::int64_t tick = default_apply_tick) noexcept
        : interval_(tick > 0 ? tick : default_apply_tick) {
        if (status_interval > 0 && status_interval < interval_) interval_ = status_interval;
    }

    // The log is durable up to `at`. Positions that lie behind are ignored.
    constexpr void flushed(lsn at) noexcept {
        if (at > flushed_) flushed_ = at;
    }

    // The new apply position, each one once.
    constexpr std::optional<lsn> poll(instant now) noexcept {
        last_ = now.steady;
        const bool moved = !caught_up();
        if (moved || last_ >= next_) next_ = later(last_, interval_);
        if (!moved) return std::nullopt;
        applied_ = flushed_;
        return applied_;
    }

    constexpr std::int64_t deadline() const noexcept { return caught_up() ? next_ : last_; }
    constexpr std::int64_t interval() const noexcept { return interval_; }

    constexpr bool caught_up() const noexcept { return applied_ == flushed_; }

    // As positions::rewind: what lies behind `at` never happened.
    constexpr void rewind(lsn at) noexcept {
        if (flushed_ > at) flushed_ = at;
        if (applied_ > at) applied_ = at;
    }

  private:
    lsn flushed_;
    lsn applied_;
    std::int64_t interval_;
    std::int64_t next_ = 0; // the next tick; the first poll is due at once
    std::int64_t last_ = 0; // the last poll, a time that is surely over
};

} // namespace walwire::replica
