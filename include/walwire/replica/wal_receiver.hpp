// Keeps a replica following its primary: across connections, timelines and failures.
//
//     connect_wanted -> connected() / connect_failed()       the adapter opens a transport
//       IDENTIFY_SYSTEM, SHOW wal_segment_size               is this our cluster?
//     placement_wanted -> place() / place_anew()             until answered: what is on disk?
//       TIMELINE_HISTORY                                     does our log lie on its history?
//       CREATE_REPLICATION_SLOT                              only with temporary_slot
//       START_REPLICATION from the start of the segment      history_read, following, wal_data ...
//       the timeline ends: timeline_ended, the next history, START_REPLICATION on that timeline
//     disconnect_wanted, retrying                            any failure that passes, after a wait
//     stopped / given_up                                     stop(), or a failure that does not
//
// It owns the session of each connection and speaks for its owner in it; the owner sees one endless
// stream. After a reconnect the stream begins again at the start of the segment that holds the
// first byte not known to be durable, as every PostgreSQL client has it: bytes that come twice are
// the same bytes and belong into the same place. Nothing is acknowledged that was not reported
// durable, and nothing is asked for on a timeline before all of the one before it is.
//
// AionDB's primaries stream their current timeline only, from any entry on, so there the replica
// asks for its last durable entry again, and adopts a newer timeline as soon as its own log is
// found not to run past the fork:
//
//     placement_wanted -> place(entry_placement) / place_anew()
//       TIMELINE_HISTORY                                     history_read, once it is adopted
//       START_REPLICATION                                    following, entry_data ...
//
// What decides: another system identifier, a log that is not on the server's history, and errors
// that only a person can mend end the machine; everything else is tried again (retry.hpp). A stream
// that is damaged in the same way at the same place five times is such an error.
//
// Source of truth: what pg_receivewal and a standby's walreceiver do;
// src/bin/pg_basebackup/receivelog.c.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../session.hpp"
#include "../time.hpp"
#include "../wal/history.hpp"
#include "../wal/segment.hpp"
#include "connecting.hpp"
#include "event.hpp"
#include "options.hpp"
#include "retry.hpp"
#include "session.hpp"

namespace walwire::replica {

// Where a replica stands that has something already: everything before `durable` on `timeline` and
// its ancestors is on disk.
struct placement {
    timeline_id timeline;
    lsn durable;
    lsn replayed;
};

// The same for AionDB: everything up to and including these entries.
struct entry_placement {
    timeline_id timeline;
    aiondb::entry_lsn durable;
    aiondb::entry_lsn replayed;
};

// The primary is known: answer place() or place_anew(). It comes on each connection until it is
// answered, once.
struct placement_wanted {
    std::uint64_t system_identifier = 0;
    timeline_id timeline;
    lsn end;
    wal::segment_size segment_size;
    bool group_access = false; // the server's files may be read by its group: see asks_access
};

// The stream begins: WAL from `start`, the start of a segment, on `timeline`.
struct following {
    timeline_id timeline;
    lsn start;
};

// The next attempt is made at `at`, on the steady clock.
struct retrying {
    cause why;
    std::int64_t at = 0;
};

// system_identified is told of AionDB's primaries, on each connection before anything is placed, as
// their identifiers are texts and whoever keeps one keeps the text.
using receiver_event =
    std::variant<system_identified, wal_data, primary_keepalive, primary_status, entry_data,
                 entry_keepalive, connect_wanted, disconnect_wanted, tls_accepted, gss_accepted,
                 password_wanted, placement_wanted, history_read, following, timeline_ended,
                 parameter_status, server_error, notice, retrying, stopped, given_up>;

struct receiver_options {
    options connection; // its connect_timeout counts from connect_wanted on
    std::string_view slot;
    // The slot is ours for as long as a connection lasts: it is created on each, temporary and
    // keeping WAL from then on, before the stream is asked for. Between two connections nothing
    // keeps it.
    bool temporary_slot = false;
    std::optional<std::uint64_t> system_identifier; // expected; otherwise the first one seen counts
    // Expected of AionDB's primaries, letter by letter: the number that stands for a text is no
    // proof (answer.hpp). Empty: whatever comes.
    std::string_view identifier_text;
    std::optional<timeline_id> timeline; // expected of the server at every connection
    // Tried at once, in place of connection.tls, when the server turned the first away before it
    // asked for a password: plain text after TLS for sslmode=prefer, TLS after plain text for
    // sslmode=allow.
    std::optional<encryption> alternative_tls;
    // Also asks for data_directory_mode, by which PostgreSQL's programs choose the permissions of
    // the files that they write.
    bool asks_access = false;
    bool retry = true;              // false: the first failure is the last
    std::uint64_t backoff_seed = 0; // should differ between replicas
    std::int64_t backoff_first = replica::backoff_first;
    std::int64_t backoff_longest = replica::backoff_longest;
};

class wal_receiver : public connecting {
  public:
    using event = receiver_event;

    // Both buffers and the views in the options must outlive the machine.
    wal_receiver(const receiver_options& chosen, memory room) noexcept
        : connecting(room), options_(chosen),
          backoff_(chosen.backoff_seed, chosen.backoff_first, chosen.backoff_longest) {}

    // As every machine's. While there is no connection the input must be empty.
    std::optional<event> poll(bytes& in, instant now) noexcept;
    std::int64_t deadline() const noexcept;
    bool over() const noexcept { return at_ == state::over; }

    // Answers connect_wanted. not_now: no connection is wanted any more, the time for it ran out.
    errc connected() noexcept;
    errc connect_failed() noexcept;
    // Status updates that were handed to the output, over all connections.
    std::uint64_t statuses_sent() const noexcept {
        return statuses_sent_ + (session_ ? session_->statuses_sent() : 0);
    }

    // Answers placement_wanted: go on from what is there, or begin where the slot keeps WAL from
    // or, without one, at the start of the primary's current segment (AionDB: with its first
    // entry). argument_invalid: the other dialect's placement, or more replayed than durable.
    errc place(const placement& here) noexcept;
    errc place(const entry_placement& here) noexcept;
    errc place_anew() noexcept;
    // The history of this timeline is here already, and nobody need ask the server for it: it may
    // have removed what it no longer needs. To be told before place().
    void knows_history(timeline_id timeline) noexcept { known_history_ = timeline; }

    // WAL up to `end` is durable, is replayed here. A timeline that has ended is left only when all
    // of it was reported durable.
    void flushed(lsn end) noexcept;
    void applied(lsn end) noexcept;
    void entries_flushed(aiondb::entry_lsn last) noexcept;
    void entries_applied(aiondb::entry_lsn last) noexcept;
    void report() noexcept {
        if (session_) session_->report();
    }
    void feedback(std::uint64_t xmin, std::uint64_t catalog_xmin) noexcept {
        feedback_ = wire::hot_standby_feedback{0, xmin, catalog_xmin};
        if (session_) session_->feedback(xmin, catalog_xmin);
    }

    // Ends in an orderly way, from whatever it is doing: `stopped` follows. A stream is ended by
    // CopyDone and, when the server has agreed, Terminate; AionDB's by both at once. A server that
    // does not agree is left when it has had the time in which it may be silent.
    void stop() noexcept { stopping_ = true; }

    // What statuses report on the connection that is up, as replica::session's; or none.
    const positions* acknowledged() noexcept {
        return session_ ? &session_->acknowledged() : nullptr;
    }

    timeline_id timeline() const noexcept { return timeline_; }
    lsn durable() const noexcept { return durable_; }
    wal::segment_size segment_size() const noexcept { return segment_size_; }
    std::uint64_t system_identifier() const noexcept { return system_identifier_; }

  private:
    enum class state : std::uint8_t {
        resting,    // until the next attempt is due
        connecting, // the adapter was asked for a transport
        opening,    // start-up and authentication
        identifying,
        measuring,    // SHOW wal_segment_size
        seeing,       // SHOW data_directory_mode
        placing,      // the owner was asked what is there
        reading_slot, // there is nothing
        checking,     // the history of the server's timeline, to compare
        learning,     // the history of our own timeline, to keep
        slotting,     // CREATE_REPLICATION_SLOT, where it is to be temporary
        starting,     // START_REPLICATION
        streaming,
        sealing,   // the timeline ended; waiting until all of it is durable
        leaving,   // Terminate is out
        dropping,  // disconnect_wanted is to be told
        reporting, // retrying, stopped or given_up is to be told
        over,
    };

    std::optional<event> heard(const session::event& told, instant now) noexcept;
    std::optional<event> heard_ready(instant now) noexcept;
    std::optional<event> identified(const system_identified& system) noexcept;
    std::optional<event> measured(std::string_view size) noexcept;
    std::optional<event> seen(std::string_view mode) noexcept;
    std::optional<event> slot_found(const slot_read& slot) noexcept;
    std::optional<event> history_heard(const history_read& history) noexcept;
    std::optional<event> server_failed(const server_error& error) noexcept;
    std::optional<event> connect(instant now) noexcept;
    std::optional<event> conclude(instant now) noexcept;
    void proceed() noexcept;
    void ask(state next, const wire::command& command) noexcept;
    void start() noexcept;
    void leave() noexcept;
    void drop(errc code) noexcept;
    bool stuck_after(errc code) noexcept;
    void keep_time(instant now) noexcept;

    bool counts_entries() const noexcept { return options_.connection.dialect == dialect::aiondb; }
    errc settle(timeline_id timeline, lsn durable, lsn replayed) noexcept;
    void flushed_to(lsn end) noexcept;
    void applied_to(lsn end) noexcept;

    // The first byte that is not known to be durable. The last entry that is, or the first of all.
    lsn position() const noexcept { return durable_.valid() ? durable_ : begin_; }

    const receiver_options options_;
    backoff backoff_;
    std::int64_t retry_at_ = 0;
    std::int64_t streaming_since_ = never;
    std::int64_t stop_by_ = never;        // the server has agreed to stop by then
    std::uint64_t system_identifier_ = 0; // 0: not seen yet
    timeline_id timeline_;                // being followed
    timeline_id server_timeline_;
    timeline_id known_history_; // delivered last
    lsn server_end_;
    lsn durable_;
    lsn replayed_;
    lsn begin_;    // where to start while nothing is durable
    lsn leave_at_; // the switch point behind which a timeline's WAL is not ours
    std::optional<wire::hot_standby_feedback> feedback_;
    wal::segment_size segment_size_;
    bool permanent_ = false;
    bool session_stopping_ = false;
    bool slotted_ = false; // the temporary slot was asked for on this connection
    bool clean_ = false;   // the connection ended as it should
    bool placed_ = false;
    bool measured_ = false;
    bool group_access_ = false;
    errc damage_ = errc::none; // of the stream, last, and where it was by then
    lsn damaged_at_;
    int damages_ = 0; // alike, one behind the other
    bool stopping_ = false;
    std::uint32_t attempts_ = 0;
    std::uint64_t statuses_sent_ = 0; // on connections that are over
    state at_ = state::resting;
};

static_assert(sizeof(wal_receiver) <= 1536);

} // namespace walwire::replica

#include "wal_receiver_steps.hpp"
