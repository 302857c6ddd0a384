// How many replicas must have a commit before its client hears of it.
//
//     concern    aliases     replicas whose flush must have passed the commit
//     local      off async   none: durable here is enough
//     majority   quorum      with the primary, more than half of all nodes: (replicas + 1) / 2
//     all        sync        every one that is connected
//     factor:N               exactly N, however few are connected
//
// local, majority and all follow from who is connected when the wait begins, and so ask for less as
// replicas leave: without any replica, all of them ask for nothing. factor:N never asks for less
// than N; where fewer are connected it waits, and in the end times out.
//
// There is no queue here. A commit's wait is a small value, kept by whoever holds the commit back
// and asked when a status came in, a replica left, or its deadline has passed:
//
//     const commit_wait wait(concern, registry, commit_end, now);
//     switch (wait.look(registry, now).outcome) ...
//
// This is AionDB's way of saying it; PostgreSQL's is synchronous_standbys.hpp. Positions are its
// byte ends or AionDB's entry numbers: a replica has a commit once its flush is not before it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../time.hpp"
#include "registry.hpp"

namespace walwire::primary {

enum class concern_kind : std::uint8_t { local, majority, all, factor };

struct write_concern {
    concern_kind kind = concern_kind::local;
    std::uint32_t factor = 0; // of concern_kind::factor, at least 1 there; 0 otherwise

    // The acknowledgements that are needed with this many replicas.
    constexpr std::uint64_t needed(std::size_t replicas) const noexcept {
        switch (kind) {
        case concern_kind::majority: return replicas / 2 + replicas % 2; // the primary has it too
        case concern_kind::all: return replicas;
        case concern_kind::factor: return factor;
        case concern_kind::local: break;
        }
        return 0;
    }

    friend constexpr bool operator==(write_concern, write_concern) noexcept = default;
};

namespace detail {

constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// ASCII letters of either case are the same, and nothing else is.
constexpr bool same_word(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (lower(a[i]) != lower(b[i])) return false;
    }
    return true;
}

struct concern_word {
    std::string_view word;
    concern_kind kind;
};

// A concern's own name stands before its aliases.
inline constexpr concern_word concern_words[] = {
    {"local", concern_kind::local},     {"off", concern_kind::local},
    {"async", concern_kind::local},     {"majority", concern_kind::majority},
    {"quorum", concern_kind::majority}, {"all", concern_kind::all},
    {"sync", concern_kind::all},
};
inline constexpr std::string_view concern_factor = "factor:";

} // namespace detail

// Any case, nothing around it. write_concern_invalid: none of the words, or a factor that is no
// number; write_concern_zero: a factor of 0.
constexpr result<write_concern> parse_write_concern(std::string_view text) noexcept {
    for (const detail::concern_word& each : detail::concern_words) {
        if (detail::same_word(text, each.word)) return write_concern{each.kind, 0};
    }
    const std::string_view word = text.substr(0, detail::concern_factor.size());
    if (!detail::same_word(word, detail::concern_factor)) return errc::write_concern_invalid;
    const auto factor = walwire::detail::parse_decimal(text.substr(word.size()), UINT32_MAX);
    if (!factor) return errc::write_concern_invalid;
    if (*factor == 0) return errc::write_concern_zero;
    return write_concern{concern_kind::factor, static_cast<std::uint32_t>(*factor)};
}

// Whether a primary with room for this many replicas can ever keep to it. write_concern_zero: a
// factor of 0; concern_unreachable: one above the capacity.
constexpr errc check_write_concern(write_concern concern, std::size_t capacity) noexcept {
    if (concern.kind != concern_kind::factor) return errc::none;
    if (concern.factor == 0) return errc::write_concern_zero;
    return concern.factor > capacity ? errc::concern_unreachable : errc::none;
}

// Writes it as it reads back, by its own name.
inline void put(writer& out, write_concern concern) noexcept {
    if (concern.kind == concern_kind::factor) {
        out.append(detail::concern_factor);
        return out.append(decimal_text(concern.factor));
    }
    for (const detail::concern_word& each : detail::concern_words) {
        if (each.kind == concern.kind) return out.append(each.word);
    }
}

enum class wait_outcome : std::uint8_t {
    reached,    // as many as needed have it
    waiting,    // not yet
    timed_out,  // not in time; the commit stands here all the same, and may reach them later
    impossible, // more are needed than can ever be connected
};

// The figures are for the sentence that a client is told.
struct wait_status {
    wait_outcome outcome = wait_outcome::waiting;
    std::uint64_t needed = 0;
    std::uint64_t acknowledged = 0; // replicas that have it now
    std::uint64_t connected = 0;    // replicas that receive WAL now

    friend constexpr bool operator==(const wait_status&, const wait_status&) noexcept = default;
};

inline constexpr std::int64_t write_concern_timeout_default = 30 * second;

class commit_wait {
  public:
    // Waits for replicas to make everything up to `end` durable. How many are needed is settled
    // here: who leaves during the wait does not make the promise cheaper, and who joins does not
    // make it dearer but may help to keep it. `timeout` is in microseconds; `never` waits on,
    // and 0 or less does not wait at all.
    constexpr commit_wait(write_concern concern, const registry& replicas, lsn end, instant now,
                          std::int64_t timeout = write_concern_timeout_default) noexcept
        : end_(end), needed_(concern.needed(replicas.followers())),
          deadline_(later(now.steady, timeout > 0 ? timeout : 0)) {}

    // Nothing is remembered: a commit that timed out is reached when it is asked for again later
    // and enough replicas have it by then. What was reached is not lost by asking too late.
    constexpr wait_status look(const registry& replicas, instant now) const noexcept {
        wait_status seen;
        seen.needed = needed_;
        replicas.each([&](const replica& each) noexcept {
            if (!each.follows()) return;
            const lsn flushed = each.progress().flushed();
            ++seen.connected;
            if (flushed.valid() && flushed >= end_) ++seen.acknowledged;
        });
        if (seen.acknowledged >= needed_) {
            seen.outcome = wait_outcome::reached;
        } else if (needed_ > replicas.capacity()) {
            seen.outcome = wait_outcome::impossible;
        } else if (deadline_ != never && now.steady >= deadline_) {
            seen.outcome = wait_outcome::timed_out;
        }
        return seen;
    }

    constexpr lsn end() const noexcept { return end_; }
    // Ask by then, on the steady clock.
    constexpr std::int64_t deadline() const noexcept { return deadline_; }

  private:
    lsn end_;
    std::uint64_t needed_;
    std::int64_t deadline_;
};

} // namespace walwire::primary
