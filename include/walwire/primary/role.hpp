// Whether this server may write, who may extend its log, and how a replica becomes a primary.
//
//     standalone    statements write; nobody is fed
//     primary       statements write; replicas are fed
//     replica       the receiver writes what the primary sends; statements only read
//                       |
//                       promotion: the log goes on from here on a new timeline
//                       v
//                     primary
//
// Which statements only read is for its owner to say, who has parsed them: a SELECT may lock rows
// or make a table, and an EXPLAIN may run what it explains. A replica refuses the others by one
// sentence, AionDB's.
//
// A promotion is two steps, because a crash may come between them. The first writes the history of
// the new timeline, whose file (wal/segment.hpp names it) must be durable before the first byte of
// WAL on that timeline; the second makes this a primary. In between it is still a replica.
//
// Source of truth: AionDB's server; the manual, "Timelines", for the rest.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "../bytes.hpp"
#include "../dialect.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../wal/history.hpp"
#include "refusal.hpp"

namespace walwire::primary {

enum class role : std::uint8_t { standalone, primary, replica };

constexpr std::string_view text(role what) noexcept {
    constexpr std::string_view names[] = {"standalone", "primary", "replica"};
    return names[static_cast<std::size_t>(what)];
}

// Who wants to add to the log.
enum class wal_author : std::uint8_t { statement, receiver };

// What a statement that does not only read is told on a replica.
inline constexpr refusal write_refused{
    sqlstate::feature_not_supported,
    "cannot execute write operations on a read-only replica server",
    {},
    {},
    false};

// The reason that PostgreSQL gives where somebody promoted a server that had no target to recover
// to.
inline constexpr std::string_view promotion_reason = "no recovery target specified";

class server_role {
  public:
    constexpr server_role(role what, timeline_id timeline,
                          dialect spoken = dialect::postgres) noexcept
        : role_(what), dialect_(spoken), timeline_(timeline) {}

    constexpr role what() const noexcept { return role_; }
    // The one that its log grows on.
    constexpr timeline_id timeline() const noexcept { return timeline_; }

    // Whether this author may add to the log. On a replica the receiver alone may, and anywhere
    // else there is no receiver that could.
    constexpr bool may_extend_wal(wal_author who) const noexcept {
        return (who == wal_author::receiver) == (role_ == role::replica);
    }

    // Why a statement may not run, or nothing.
    constexpr std::optional<refusal> objection(bool read_only_safe) const noexcept {
        if (read_only_safe || may_extend_wal(wal_author::statement)) return std::nullopt;
        return write_refused;
    }

    // A replica goes on along a timeline of its primary. not_now: not a replica. timeline_behind:
    // it would go back, which no log does.
    constexpr errc follow(timeline_id timeline) noexcept {
        if (role_ != role::replica) return errc::not_now;
        if (timeline < timeline_) return errc::timeline_behind;
        timeline_ = timeline;
        return errc::none;
    }

    // The first step: writes the history of the timeline that a promotion opens, and returns that
    // timeline. `past` is the history of the present one, `switch_point` the end of the log here
    // (AionDB: its last entry), `newest` the newest timeline that is known to anybody (0: none
    // beside the present one); the new one comes after both, so that two promotions do not take the
    // same number.
    //
    // not_now: not a replica. timeline_mismatch: `past` belongs to another timeline.
    // timeline_invalid: no number is left. argument_invalid, argument_has_nul, argument_too_long:
    // as put_history, `out` being not ok() after the last if it was too small.
    result<timeline_id>
    prepare_promotion(writer& out, const wal::history& past, lsn switch_point,
                      timeline_id newest = {},
                      std::string_view reason = promotion_reason) const noexcept {
        if (role_ != role::replica) return errc::not_now;
        if (past.timeline() != timeline_) return errc::timeline_mismatch;
        const timeline_id last = newest > timeline_ ? newest : timeline_;
        if (last.value == UINT32_MAX) return errc::timeline_invalid;
        const errc code = wal::put_history(out, past, switch_point, reason, dialect_);
        if (code != errc::none) return code;
        return timeline_id{last.value + 1};
    }

    // The second: this is a primary now, on that timeline. not_now: not a replica.
    // timeline_invalid: not a later timeline.
    constexpr errc promote(timeline_id to) noexcept {
        if (role_ != role::replica) return errc::not_now;
        if (to <= timeline_) return errc::timeline_invalid;
        role_ = role::primary;
        timeline_ = to;
        return errc::none;
    }

  private:
    role role_;
    dialect dialect_; // of the positions in a history
    timeline_id timeline_;
};

} // namespace walwire::primary
