// The deadlines of one machine, by name.
//
// An enumeration whose last name is `count` names them; the table answers the two questions that a
// machine has: which is the nearest, and has this one come. There are so few that a scan beats a
// heap.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "time.hpp"

namespace walwire {

template <class Name>
class timers {
  public:
    constexpr timers() noexcept { at_.fill(never); }

    constexpr void set(Name name, std::int64_t at) noexcept { slot(name) = at; }
    constexpr void stop(Name name) noexcept { slot(name) = never; }
    constexpr std::int64_t at(Name name) const noexcept {
        return at_[static_cast<std::size_t>(name)];
    }

    // True once when the time has come: the timer is stopped by the question.
    constexpr bool expired(Name name, std::int64_t now) noexcept {
        if (now < at(name) || at(name) == never) return false;
        stop(name);
        return true;
    }

    constexpr std::int64_t next() const noexcept {
        std::int64_t nearest = never;
        for (const std::int64_t at : at_) nearest = at < nearest ? at : nearest;
        return nearest;
    }

  private:
    constexpr std::int64_t& slot(Name name) noexcept { return at_[static_cast<std::size_t>(name)]; }

    std::array<std::int64_t, static_cast<std::size_t>(Name::count)> at_{};
};

} // namespace walwire
