// The replicas that are connected to a primary, and how far each of them is.
//
//     join --> startup --> catchup --> streaming --> stopping        while WAL streams
//                     `--> backup                                    while a base backup is taken
//
// A place in the registry is a connection, not a replica's life: who comes back joins anew and
// knows nothing of before. What must outlive a connection is a slot (slot.hpp). application_name is
// who the replica says it is; in AionDB it doubles as the name of a node in a cluster. Names are
// kept as a server shows them, so two that differ may be one here, and a node that comes back while
// its old connection still stands is there twice: named() says how often a name is taken, and what
// that means is for its owner to decide.
//
// WAL that somebody connected has not made durable yet, or that a slot holds on to, must stay:
// keep_from() says from where. Its answer counts on the positions of progress.hpp, which are never
// beyond what was sent.
//
// The names are those of pg_stat_replication, but for its replay_lsn, which is `applied` here as in
// the protocol.
//
// Source of truth: the manual, pg_stat_replication and "Replication Slots".
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "../aiondb/message.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../time.hpp"
#include "../wire/copy.hpp"
#include "progress.hpp"
#include "refusal.hpp"
#include "slot.hpp"

namespace walwire::primary {

// Places in a registry, where its owner has no reason for another number: PostgreSQL's default.
inline constexpr std::size_t max_wal_senders_default = 10;

enum class replica_state : std::uint8_t { startup, catchup, streaming, backup, stopping };

constexpr std::string_view text(replica_state state) noexcept {
    constexpr std::string_view names[] = {"startup", "catchup", "streaming", "backup", "stopping"};
    return names[static_cast<std::size_t>(state)];
}

class replica {
  public:
    // A free place in a registry.
    constexpr replica() noexcept = default;

    constexpr connection_id id() const noexcept { return id_; }
    constexpr std::string_view application_name() const noexcept {
        return application_name_.view();
    }
    constexpr replica_state state() const noexcept { return state_; }
    // Where the stream or the backup began; 0/0 before.
    constexpr lsn start_lsn() const noexcept { return start_lsn_; }
    constexpr std::string_view slot() const noexcept { return slot_.view(); } // empty: none
    constexpr const primary::progress& progress() const noexcept { return progress_; }
    // When it last reported, by the primary's own wall clock; 0 before.
    constexpr std::int64_t reply_time() const noexcept { return reply_time_; }

    // It receives WAL and counts as a replica. Before that, and while it takes a backup, it is only
    // a connection.
    constexpr bool follows() const noexcept {
        return state_ == replica_state::catchup || state_ == replica_state::streaming ||
               state_ == replica_state::stopping;
    }

    // START_REPLICATION was accepted. Whatever an earlier stream of this connection reported is
    // forgotten.
    constexpr void stream_from(lsn start, std::string_view slot = {}) noexcept {
        begin(start, primary::progress(start), slot);
    }
    constexpr void stream_from(aiondb::entry_lsn start, std::string_view slot = {}) noexcept {
        begin(start.as_position(), primary::progress(start), slot);
    }
    // BASE_BACKUP was accepted; the backup needs WAL from `start` on. The connection reports
    // nothing.
    constexpr void back_up_from(lsn start) noexcept {
        *this = replica(id_, application_name_);
        state_ = replica_state::backup;
        start_lsn_ = start;
    }
    // It was sent all there is for the first time, and is a synchronous standby from now on if it
    // is to be one. not_now: it is not catching up.
    constexpr errc caught_up() noexcept {
        return advance(state_ == replica_state::catchup, replica_state::streaming);
    }
    // The primary shuts down and sends the rest. not_now: no WAL is streaming.
    constexpr errc stop() noexcept { return advance(follows(), replica_state::stopping); }
    // The stream or the backup is over; the connection can ask for another.
    constexpr void finish() noexcept { *this = replica(id_, application_name_); }

    // Either the session's own view of the replica, as it is now,
    constexpr void moved(const primary::progress& now_at, instant now) noexcept {
        if (!follows()) return;
        progress_ = now_at;
        reply_time_ = now.wall;
    }
    // or, where there is no session, what was sent and what the replica answered. Claims that
    // cannot be true are cut down, and counted by progress().clamped(). Returns whether anything
    // moved.
    constexpr void sent(lsn end) noexcept {
        if (follows()) progress_.send_up_to(end);
    }
    constexpr void sent(aiondb::entry_lsn last) noexcept { sent(last.as_position()); }
    constexpr bool reported(const wire::standby_status_update& said, instant now) noexcept {
        return heard(said, now);
    }
    constexpr bool reported(const aiondb::standby_status_update& said, instant now) noexcept {
        return heard(said, now);
    }

    // WAL from here on must stay for this replica's sake; none where it has asked for none.
    constexpr std::optional<lsn> keep_from() const noexcept {
        if (state_ == replica_state::startup) return std::nullopt;
        return progress_.flushed() > start_lsn_ ? progress_.flushed() : start_lsn_;
    }

  private:
    friend class registry;
    constexpr replica(connection_id id, const identifier& application_name) noexcept
        : id_(id), application_name_(application_name) {}

    constexpr void begin(lsn start, const primary::progress& at, std::string_view slot) noexcept {
        *this = replica(id_, application_name_);
        state_ = replica_state::catchup;
        start_lsn_ = start;
        slot_ = identifier(slot);
        progress_ = at;
    }
    template <class Status>
    constexpr bool heard(const Status& said, instant now) noexcept {
        if (!follows()) return false;
        reply_time_ = now.wall;
        return progress_.report(said);
    }
    constexpr errc advance(bool possible, replica_state to) noexcept {
        if (!possible) return errc::not_now;
        state_ = to;
        return errc::none;
    }

    connection_id id_; // none: the place is free
    replica_state state_ = replica_state::startup;
    identifier application_name_;
    identifier slot_;
    lsn start_lsn_;
    primary::progress progress_;
    std::int64_t reply_time_ = 0;
};

// The places, in room that the owner gives, as large as max_wal_senders. Replicas do not move: a
// pointer to one is good until it leaves.
class registry {
  public:
    constexpr explicit registry(std::span<replica> room) noexcept : room_(room) {}

    constexpr std::size_t capacity() const noexcept { return room_.size(); }
    // All that are connected, whatever they do.
    constexpr std::size_t size() const noexcept {
        std::size_t count = 0;
        each([&count](const replica&) noexcept { ++count; });
        return count;
    }
    // Those among them that receive WAL.
    constexpr std::size_t followers() const noexcept {
        std::size_t count = 0;
        each([&count](const replica& each) noexcept { count += each.follows() ? 1u : 0u; });
        return count;
    }

    // Those that go by this name, as join() keeps names.
    constexpr std::size_t named(std::string_view application_name) const noexcept {
        const identifier name = identifier::printable(application_name);
        std::size_t count = 0;
        each([&](const replica& each) noexcept {
            count += each.application_name() == name.view() ? 1u : 0u;
        });
        return count;
    }

    // The replicas in the order of their places, by a visitor that takes a `const replica&`. None
    // may join or leave meanwhile.
    template <class Visitor>
    constexpr void each(Visitor&& visit) const noexcept {
        for (const replica& each : room_) {
            if (each.id_.valid()) visit(each);
        }
    }

    constexpr replica* find(connection_id id) noexcept {
        return const_cast<replica*>(std::as_const(*this).find(id)); // NOLINT: the room is ours
    }
    constexpr const replica* find(connection_id id) const noexcept {
        for (const replica& each : room_) {
            if (id.valid() && each.id_ == id) return &each;
        }
        return nullptr;
    }

    // A connection that wants to replicate is in. As on a server, at most 63 bytes of the name
    // count, and what is no printable ASCII becomes a question mark. argument_invalid: an id that
    // is none or is there already; replicas_full.
    constexpr result<replica*> join(connection_id id, std::string_view application_name) noexcept {
        if (!id.valid() || find(id) != nullptr) return errc::argument_invalid;
        for (replica& place : room_) {
            if (place.id_.valid()) continue;
            place = replica(id, identifier::printable(application_name));
            return &place;
        }
        return errc::replicas_full;
    }

    // The connection is gone. Whether it was there.
    constexpr bool leave(connection_id id) noexcept {
        replica* const found = find(id);
        if (found == nullptr) return false;
        *found = replica();
        return true;
    }

    // WAL from here on must stay: the least of what the connected replicas and the slots need. None
    // where nobody needs any.
    constexpr std::optional<lsn> keep_from(const slot_table& slots) const noexcept {
        std::optional<lsn> least = slots.restart_lsn();
        each([&least](const replica& each) noexcept {
            const auto at = each.keep_from();
            if (at && (!least || *at < *least)) least = at;
        });
        return least;
    }

  private:
    std::span<replica> room_;
};

// How a server says replicas_full.
inline refusal replicas_refused(std::size_t max_wal_senders, short_text& text) noexcept {
    text << "number of requested standby connections exceeds max_wal_senders (currently "
         << std::uint64_t{max_wal_senders} << ")";
    return {sqlstate::too_many_connections, text, {}, {}, true};
}

} // namespace walwire::primary
