// The steps of replica::wal_receiver. Read wal_receiver.hpp first; this file is its second half and
// is included by nothing else.
#pragma once

#include "wal_receiver.hpp"

namespace walwire::replica {

inline std::int64_t wal_receiver::deadline() const noexcept {
    switch (at_) {
    case state::over: return never;
    case state::dropping:
    case state::reporting: return INT64_MIN;
    case state::resting: return stopping_ ? INT64_MIN : retry_at_;
    case state::connecting: return stopping_ ? INT64_MIN : connect_by_;
    default: break;
    }
    const bool sealed =
        at_ == state::sealing && position() >= leave_at_ && session_->at() == wire::phase::idle;
    const bool stop_due = stopping_ && at_ != state::leaving && !session_stopping_;
    if (lost_ || sealed || stop_due) return INT64_MIN;
    const std::int64_t at = session_->deadline();
    const std::int64_t ours = at_ == state::opening                       ? connect_by_
                              : session_stopping_ && at_ < state::leaving ? stop_by_
                                                                          : never;
    return ours < at ? ours : at;
}

inline std::optional<wal_receiver::event> wal_receiver::poll(bytes& in, instant now) noexcept {
    for (;;) {
        switch (at_) {
        case state::over: in = {}; return std::nullopt;
        case state::dropping:
            statuses_sent_ = statuses_sent();
            in = {};
            at_ = state::reporting;
            if (!close()) continue;
            return event(disconnect_wanted{});
        case state::reporting: return conclude(now);
        case state::resting:
            if (stopping_) {
                at_ = state::reporting;
                continue;
            }
            return now.steady >= retry_at_ ? connect(now) : std::nullopt;
        case state::connecting:
            if (!stopping_ && now.steady < connect_by_) return std::nullopt;
            admitted_ = true; // nobody was there to turn us away
            drop(errc::connect_timeout);
            continue;
        default: break;
        }
        if (lost_) {
            drop(errc::connection_lost);
            continue;
        }
        keep_time(now);
        if (at_ == state::dropping) continue;
        const auto told = session_->poll(in, now);
        if (!told) {
            if (at_ < state::opening || at_ >= state::dropping) continue;
            // AionDB's replicas stop by a CopyDone and a Terminate right behind it.
            if (counts_entries() && session_stopping_ && at_ == state::streaming &&
                session_->at() == wire::phase::client_finished) {
                leave();
                continue;
            }
            return std::nullopt;
        }
        if (const auto passed = heard(*told, now)) return passed;
    }
}

inline std::optional<wal_receiver::event> wal_receiver::connect(instant now) noexcept {
    prepare(options_.connection, options_.alternative_tls, now.steady);
    at_ = state::connecting;
    permanent_ = clean_ = session_stopping_ = slotted_ = false;
    streaming_since_ = never;
    if (!alternative_) ++attempts_;
    return event(connect_wanted{attempts_});
}

inline errc wal_receiver::connected() noexcept {
    if (at_ != state::connecting) return errc::not_now;
    open();
    at_ = state::opening;
    return errc::none;
}

inline errc wal_receiver::connect_failed() noexcept {
    if (at_ != state::connecting) return errc::not_now;
    admitted_ = true; // encryption has nothing to do with it
    drop(errc::connection_lost);
    return errc::none;
}

// Time that is not the session's own: a stop that was asked for, and the sealing of a timeline.
inline void wal_receiver::keep_time(instant now) noexcept {
    if (at_ == state::opening && now.steady >= connect_by_) drop(errc::connect_timeout);
    if (stopping_ && at_ < state::leaving && !session_stopping_) {
        session_stopping_ = session_->stop() == errc::none;
        stop_by_ = later(now.steady, options_.connection.silence_timeout);
        if (!session_stopping_) leave();
        return;
    }
    if (session_stopping_ && at_ < state::leaving && now.steady >= stop_by_)
        drop(errc::silence_timeout);
    // The primary that has moved on says anew where it is, as its end is behind ours by now.
    if (at_ == state::sealing && position() >= leave_at_ && session_->at() == wire::phase::idle)
        ask(state::identifying, wire::identify_system{});
}

inline std::optional<wal_receiver::event> wal_receiver::heard(const session::event& told,
                                                              instant now) noexcept {
    return std::visit(
        [&]<class Told>(const Told& said) noexcept -> std::optional<event> {
            using std::is_same_v;
            if constexpr (is_same_v<Told, ready>) {
                admitted_ = true;
                return heard_ready(now);
            } else if constexpr (is_same_v<Told, password_wanted>) {
                admitted_ = true;
                return event(said);
            } else if constexpr (is_same_v<Told, system_identified>) {
                return identified(said);
            } else if constexpr (is_same_v<Told, setting_shown>) {
                return at_ == state::seeing ? seen(said.value) : measured(said.value);
            } else if constexpr (is_same_v<Told, slot_read>) {
                return slot_found(said);
            } else if constexpr (is_same_v<Told, history_read>) {
                return history_heard(said);
            } else if constexpr (is_same_v<Told, streaming_started>) {
                at_ = state::streaming;
                streaming_since_ = now.steady;
                return event(following{timeline_, said.start});
            } else if constexpr (is_same_v<Told, timeline_ended>) {
                timeline_ = said.next;
                leave_at_ = said.switch_point;
                if (said.switch_point < durable_) durable_ = said.switch_point;
                return event(said);
            } else if constexpr (is_same_v<Told, streaming_ended>) {
                clean_ = true;
                if (said.cause == streaming_end::timeline_ended) at_ = state::sealing;
                return std::nullopt;
            } else if constexpr (is_same_v<Told, server_error>) {
                return server_failed(said);
            } else if constexpr (is_same_v<Told, closed>) {
                if (said.cause == closing::fatal_error)
                    at_ = state::dropping;
                else
                    drop(errc::none);
                return std::nullopt;
            } else if constexpr (is_same_v<Told, failed>) {
                drop(said.reason.code);
                reason_ = said.reason;
                return std::nullopt;
            } else if constexpr (std::is_constructible_v<event, const Told&>) {
                return event(said);
            } else {
                return std::nullopt; // of no interest to whoever only follows
            }
        },
        told);
}

inline std::optional<wal_receiver::event> wal_receiver::heard_ready(instant now) noexcept {
    // An error ended the command, or the server ended the stream for no reason that we know.
    if (stopping_ || command_failed_ || at_ == state::streaming) {
        leave();
        return std::nullopt;
    }
    switch (at_) {
    case state::opening: ask(state::identifying, wire::identify_system{}); break;
    case state::identifying:
        if (placed_) {
            proceed();
            break;
        }
        if (!measured_ && !counts_entries()) {
            ask(state::measuring, wire::show{"wal_segment_size"});
            break;
        }
        [[fallthrough]];
    case state::measuring:
        if (options_.asks_access && !measured_ && !counts_entries()) {
            ask(state::seeing, wire::show{"data_directory_mode"});
            break;
        }
        [[fallthrough]];
    case state::seeing:
        measured_ = true;
        at_ = state::placing;
        return event(placement_wanted{system_identifier_, server_timeline_, server_end_,
                                      segment_size_, group_access_});
    case state::reading_slot:
        placed_ = true;
        proceed();
        break;
    case state::sealing: keep_time(now); break;
    case state::slotting: start(); break;
    default: proceed();
    }
    return std::nullopt;
}

// IDENTIFY_SYSTEM: whether this is the cluster, and the server, that we follow.
inline std::optional<wal_receiver::event>
wal_receiver::identified(const system_identified& system) noexcept {
    const std::uint64_t expected = options_.system_identifier.value_or(system_identifier_);
    const std::string_view name = options_.identifier_text;
    const bool renamed = counts_entries() && !name.empty() && system.identifier_text != name;
    if (renamed || (expected != 0 && system.system_identifier != expected)) {
        drop(errc::system_identifier_mismatch);
        return std::nullopt;
    }
    if (options_.timeline && *options_.timeline != system.timeline) {
        drop(errc::timeline_mismatch);
        return std::nullopt;
    }
    system_identifier_ = system.system_identifier;
    server_timeline_ = system.timeline;
    server_end_ = system.end;
    if (counts_entries()) return event(system);
    return std::nullopt;
}

inline std::optional<wal_receiver::event> wal_receiver::measured(std::string_view size) noexcept {
    const auto parsed = wal::segment_size::parse(size);
    if (!parsed) {
        drop(errc::segment_size_invalid);
        return std::nullopt;
    }
    segment_size_ = *parsed;
    return std::nullopt;
}

// At most four octal digits, as servers show it.
inline std::optional<wal_receiver::event> wal_receiver::seen(std::string_view mode) noexcept {
    constexpr unsigned group = 0050;
    unsigned bits = 0;
    bool octal = !mode.empty() && mode.size() <= 4;
    for (const char digit : mode) {
        octal = octal && digit >= '0' && digit <= '7';
        bits = bits * 8 + static_cast<unsigned>(digit - '0');
    }
    if (!octal)
        drop(errc::answer_invalid);
    else
        group_access_ = (bits & group) == group;
    return std::nullopt;
}

inline errc wal_receiver::place(const placement& here) noexcept {
    if (counts_entries()) return at_ != state::placing ? errc::not_now : errc::argument_invalid;
    return settle(here.timeline, here.durable, here.replayed);
}

inline errc wal_receiver::place(const entry_placement& here) noexcept {
    if (!counts_entries()) return at_ != state::placing ? errc::not_now : errc::argument_invalid;
    return settle(here.timeline, here.durable.as_position(), here.replayed.as_position());
}

inline errc wal_receiver::settle(timeline_id timeline, lsn durable, lsn replayed) noexcept {
    if (at_ != state::placing) return errc::not_now;
    if (!timeline.valid() || replayed > durable) return errc::argument_invalid;
    timeline_ = timeline;
    durable_ = durable;
    replayed_ = replayed;
    if (counts_entries()) begin_ = aiondb::first_entry.as_position();
    placed_ = true;
    proceed();
    return errc::none;
}

inline errc wal_receiver::place_anew() noexcept {
    if (at_ != state::placing) return errc::not_now;
    timeline_ = server_timeline_;
    begin_ = counts_entries() ? aiondb::first_entry.as_position()
                              : wal::segment_start(server_end_, segment_size_);
    const bool readable = session_->server_version() >= 15 || counts_entries();
    if (!options_.slot.empty() && !options_.temporary_slot && readable) {
        ask(state::reading_slot, wire::read_replication_slot{options_.slot});
    } else {
        placed_ = true;
        proceed();
    }
    return errc::none;
}

// Where the slot keeps WAL from; a slot that keeps none yet leaves the start where it was.
inline std::optional<wal_receiver::event> wal_receiver::slot_found(const slot_read& slot) noexcept {
    if (slot.exists && slot.restart.valid()) {
        begin_ = counts_entries() ? slot.restart : wal::segment_start(slot.restart, segment_size_);
        if (slot.restart_timeline.valid()) timeline_ = slot.restart_timeline;
    }
    return std::nullopt;
}

// What to do next on a connection that is ready and knows the server: compare histories, keep our
// own, then stream.
inline void wal_receiver::proceed() noexcept {
    if (timeline_ > server_timeline_) {
        drop(errc::timeline_behind);
        return;
    }
    if (timeline_ < server_timeline_ && at_ != state::checking && at_ != state::learning) {
        ask(state::checking, wire::timeline_history{server_timeline_});
        return;
    }
    if (timeline_.value > 1 && known_history_ != timeline_ && at_ != state::learning) {
        ask(state::learning, wire::timeline_history{timeline_});
        return;
    }
    start();
}

inline std::optional<wal_receiver::event>
wal_receiver::history_heard(const history_read& history) noexcept {
    const auto parsed = wal::history::parse(as_text(history.content), history.timeline);
    if (!parsed) {
        drop(parsed.code());
        return std::nullopt;
    }
    const bool ours = history.timeline == timeline_;
    if (!ours) {
        const lsn here = counts_entries() ? durable_ : position();
        if (const errc code = parsed->objection(timeline_, here); code != errc::none) {
            drop(code);
            return std::nullopt;
        }
        if (!counts_entries()) return std::nullopt;
        timeline_ = history.timeline; // nothing of the old one is streamed any more
    }
    known_history_ = timeline_;
    return event(history);
}

inline void wal_receiver::start() noexcept {
    const bool entries = counts_entries();
    const lsn from = entries ? position() : wal::segment_start(position(), segment_size_);
    if (timeline_ == server_timeline_ && (entries ? durable_ : from) > server_end_) {
        drop(errc::position_ahead);
        return;
    }
    if (options_.temporary_slot && !slotted_) {
        wire::create_replication_slot slot;
        slot.name = options_.slot;
        slot.temporary = slot.reserve_wal = true;
        slotted_ = true;
        ask(state::slotting, slot);
        return;
    }
    if (entries)
        static_cast<void>(session_->resume_entries({durable_.value}, {replayed_.value}));
    else
        static_cast<void>(session_->resume(durable_, replayed_));
    if (feedback_) session_->feedback(feedback_->xmin, feedback_->catalog_xmin);
    ask(state::starting, wire::start_replication{options_.slot, from, timeline_});
}

inline void wal_receiver::ask(state next, const wire::command& command) noexcept {
    at_ = next;
    if (const errc code = session_->ask(command); code != errc::none) drop(code);
}

inline void wal_receiver::flushed(lsn end) noexcept {
    if (counts_entries()) return;
    if (session_) session_->flushed(end);
    flushed_to(end);
}

inline void wal_receiver::entries_flushed(aiondb::entry_lsn last) noexcept {
    if (!counts_entries()) return;
    if (session_) session_->entries_flushed(last);
    flushed_to(last.as_position());
}

inline void wal_receiver::flushed_to(lsn end) noexcept {
    if (session_) end = session_->acknowledged().flushed();
    if (end > durable_) durable_ = end;
}

inline void wal_receiver::applied(lsn end) noexcept {
    if (counts_entries()) return;
    if (session_) session_->applied(end);
    applied_to(end);
}

inline void wal_receiver::entries_applied(aiondb::entry_lsn last) noexcept {
    if (!counts_entries()) return;
    if (session_) session_->entries_applied(last);
    applied_to(last.as_position());
}

inline void wal_receiver::applied_to(lsn end) noexcept {
    if (session_) end = session_->acknowledged().applied();
    if (end > replayed_ && end <= durable_) replayed_ = end;
}

// An error of the server's: its SQLSTATE says whether coming back is of use. The session goes on to
// `ready`, or to `closed` where the error was fatal.
inline std::optional<wal_receiver::event>
wal_receiver::server_failed(const server_error& error) noexcept {
    // A server that is not PostgreSQL need not have that setting.
    if (at_ == state::seeing && !error.fatal) return std::nullopt;
    note(error);
    clean_ = false;
    if (has_sqlstate_) permanent_ = is_permanent(why().sqlstate);
    return event(error);
}

inline void wal_receiver::leave() noexcept {
    at_ = state::leaving;
    if (session_->terminate() != errc::none) at_ = state::dropping;
}

inline void wal_receiver::drop(errc code) noexcept {
    reason_ = {code, session_ ? session_->eaten() : 0};
    // AionDB's replicas look again whether it is their cluster by now that answers.
    const bool stranger = counts_entries() && code == errc::system_identifier_mismatch;
    permanent_ = permanent_ || (is_permanent(code) && !stranger) || stuck_after(code);
    clean_ = clean_ && code == errc::none;
    at_ = state::dropping;
}

// Counts how often in a row the server's words failed us in the same way and at the same place, and
// says whether that was too often.
inline bool wal_receiver::stuck_after(errc code) noexcept {
    if (!is_damage(code)) return false;
    const lsn here = session_ ? session_->received() : lsn{};
    damages_ = code == damage_ && here == damaged_at_ ? damages_ + 1 : 1;
    damage_ = code;
    damaged_at_ = here;
    return damages_ >= damage_repeats_max;
}

// The last word of a connection, and what comes of it.
inline std::optional<wal_receiver::event> wal_receiver::conclude(instant now) noexcept {
    if (stopping_) {
        at_ = state::over;
        return event(stopped{});
    }
    if (try_alternative(options_.alternative_tls)) return connect(now);
    alternative_ = false;
    if (permanent_ || !options_.retry) {
        at_ = state::over;
        return event(given_up{why()});
    }
    // A stream that lasted is as good as one that ended cleanly: whatever ended it is new.
    const bool lasted =
        streaming_since_ != never && now.steady - streaming_since_ >= options_.backoff_longest;
    if (clean_ || lasted) {
        backoff_.reset();
        attempts_ = 0;
        damages_ = 0;
    }
    retry_at_ = later(now.steady, backoff_.next());
    at_ = state::resting;
    return event(retrying{why(), retry_at_});
}

} // namespace walwire::replica
