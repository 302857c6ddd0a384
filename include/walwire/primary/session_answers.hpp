// What the owner of a primary::session says to its client: each call is one answer, put into the
// outbox as a whole or not at all. Read session.hpp first; this file is its third part, behind
// session_steps.hpp, and is included by nothing else.
#pragma once

#include "session.hpp"

namespace walwire::primary {

inline errc session::secured(bytes binding) noexcept {
    if (ended()) return errc::over;
    const bool direct = talk_.at() == wire::phase::fresh && tell_tls_;
    const bool shaking = talk_.at() == wire::phase::encrypting && !tell_tls_;
    if (!direct && !shaking) return errc::not_now;
    const errc code = admission_.secured(binding);
    if (code == errc::none) tell_tls_ = false;
    return code;
}

inline errc session::admit(auth::method how, const auth::stored_secret* secret) noexcept {
    if (ended()) return errc::over;
    if (shutting_down_ && admission_.asks()) {
        leave();
        return errc::none;
    }
    const errc code = admission_.admit(how, secret);
    if (code == errc::none) tell_login_ = talk_.at() == wire::phase::idle;
    return code;
}

inline errc session::refuse(const refusal& why) noexcept {
    if (ended()) return errc::over;
    const bool opening = talk_.at() < wire::phase::idle;
    const bool waiting = opening ? admission_.asks() : question_ != question::none || copying();
    if (!waiting && (opening || !why.fatal)) return errc::not_now;
    if (!body_.empty() || owed_completion_) return errc::output_full;
    if (opening || why.fatal) {
        refusal last = why;
        last.fatal = true;
        const errc code = say_error(last);
        if (code == errc::none) close(closing::refused);
        return code;
    }
    const errc code = say_refusal(why);
    if (code != errc::none) return code;
    if (sender_.streaming()) stream_ended_ = streaming_end::refused;
    sender_.end();
    backup_ = backup::stream_writer(0, false); // whatever is lent is given back
    question_ = question::none;
    return errc::none;
}

inline errc session::say_error(const refusal& why) noexcept {
    const auto said = why.fatal ? wire::message::fatal_response : wire::message::error_response;
    if (!talk_.may_send(said)) return errc::not_now;
    const errc code = out_.put([&](writer& out) noexcept { put(out, why); });
    if (code != errc::none) return code;
    ++errors_said_;
    return talk_.send(said);
}

// An error that ends the command and not the connection, and the invitation to another.
inline errc session::say_refusal(const refusal& why) noexcept {
    if (!talk_.may_send(wire::message::error_response)) return errc::not_now;
    const errc code = out_.put([&](writer& out) noexcept {
        put(out, why);
        put(out, wire::transaction_status::idle);
    });
    if (code != errc::none) return code;
    ++errors_said_;
    static_cast<void>(talk_.send(wire::message::error_response));
    return talk_.send(wire::message::ready_for_query);
}

inline errc session::answer(const history_content& row) noexcept {
    if (const errc code = may_answer(question::history); code != errc::none) return code;
    if (row.content.size() > INT32_MAX / 2) return errc::argument_too_long;
    const errc code = out_.put([&](writer& out) noexcept { put_but_content(out, row, style_); });
    if (code != errc::none) return code;
    static_cast<void>(talk_.send(wire::message::row_description));
    static_cast<void>(talk_.send(wire::message::data_row));
    body_ = row.content;
    owed_completion_ = true;
    question_ = question::none;
    return errc::none;
}

inline errc session::complete() noexcept {
    std::string_view name;
    switch (question_) {
    case question::slot_dropping: name = "DROP_REPLICATION_SLOT"; break;
    case question::slot_altering: name = "ALTER_REPLICATION_SLOT"; break;
    case question::upload: name = "UPLOAD_MANIFEST"; break;
    default: return ended() ? errc::over : errc::not_now;
    }
    if (ended()) return errc::over;
    const bool uploaded = question_ == question::upload;
    if (talk_.at() != (uploaded ? wire::phase::copied_in : wire::phase::asked))
        return errc::not_now;
    const std::string_view tag = style_.tag(name);
    const errc code = out_.put([&](writer& out) noexcept {
        if (tag != name) put(out, wire::command_complete{name}); // 12 says it twice
        put(out, wire::command_complete{tag});
        put(out, wire::transaction_status::idle);
    });
    if (code != errc::none) return code;
    static_cast<void>(talk_.send(wire::message::command_complete));
    static_cast<void>(talk_.send(wire::message::ready_for_query));
    question_ = question::none;
    return errc::none;
}

inline errc session::begin_backup(const backup::started& from) noexcept {
    if (options_.dialect == dialect::aiondb) return errc::not_now;
    return say_backup([&]() noexcept { return backup_.start(talk_, out_, from); });
}

inline errc session::list(const backup::tablespace& next) noexcept {
    return say_backup([&]() noexcept { return backup_.list(talk_, out_, next); });
}

inline errc session::begin_archive(backup::archive_name name, std::string_view path) noexcept {
    return say_backup([&]() noexcept { return backup_.archive(talk_, out_, name, path); });
}

inline errc session::begin_manifest() noexcept {
    return say_backup([&]() noexcept { return backup_.manifest(talk_, out_); });
}

inline errc session::report_progress(std::uint64_t done) noexcept {
    return say_backup([&]() noexcept { return backup_.progress(talk_, out_, done); });
}

inline errc session::send_backup(bytes data) noexcept {
    return say_backup([&]() noexcept { return backup_.lend(data); });
}

inline errc session::end_backup(const backup::ended& at) noexcept {
    const errc code = say_backup([&]() noexcept { return backup_.end(talk_, out_, at); });
    if (code == errc::none) question_ = question::none;
    return code;
}

inline errc session::begin_frames() noexcept {
    if (options_.dialect != dialect::aiondb) return errc::not_now;
    return say_backup([&]() noexcept { return backup_.open(talk_, out_); });
}

inline errc session::end_frames() noexcept {
    if (options_.dialect != dialect::aiondb) return errc::not_now;
    const errc code = say_backup([&]() noexcept { return backup_.close(talk_, out_); });
    if (code == errc::none) question_ = question::none;
    return code;
}

inline errc session::condemn_backup(const backup::ended& at) noexcept {
    return say_backup([&]() noexcept { return backup_.condemn(talk_, out_, at); });
}

inline errc session::accept_manifest() noexcept {
    if (const errc code = may_answer(question::upload); code != errc::none) return code;
    const errc code = out_.put([](writer& out) noexcept {
        wire::put_copy_response(out, wire::backend_tag::copy_in_response);
    });
    return code == errc::none ? talk_.send(wire::message::copy_in_response) : code;
}

inline errc session::columns(std::span<const wire::column> described) noexcept {
    if (described.size() > UINT16_MAX) return errc::argument_too_long;
    return say_result(wire::message::row_description,
                      [&](writer& out) noexcept { wire::put(out, described); });
}

inline errc session::row(std::span<const std::optional<std::string_view>> values) noexcept {
    if (values.size() > UINT16_MAX) return errc::argument_too_long;
    return say_result(wire::message::data_row,
                      [&](writer& out) noexcept { wire::put(out, values); });
}

inline errc session::complete(std::string_view tag) noexcept {
    if (tag.empty())
        return say_result(wire::message::empty_query_response,
                          [](writer& out) noexcept { wire::put_empty_query_response(out); });
    return say_result(wire::message::command_complete,
                      [&](writer& out) noexcept { put(out, wire::command_complete{tag}); });
}

inline errc session::end_results() noexcept {
    const errc code = say_result(wire::message::ready_for_query, [](writer& out) noexcept {
        put(out, wire::transaction_status::idle);
    });
    if (code == errc::none) question_ = question::none;
    return code;
}

inline errc session::notify(const wire::error_fields& fields) noexcept {
    if (ended()) return errc::over;
    if (!talk_.may_send(wire::message::notice_response)) return errc::not_now;
    if (!body_.empty()) return errc::output_full;
    return out_.put(
        [&](writer& out) noexcept { put(out, wire::backend_tag::notice_response, fields); });
}

inline errc session::stream(const served_timeline& from) noexcept {
    if (const errc code = may_answer(question::stream); code != errc::none) return code;
    const bool entries = options_.dialect == dialect::aiondb;
    const bool other = timeline_.valid() && timeline_ != from.timeline;
    if ((other && !entries) || (from.next.valid() && (entries || from.next <= from.timeline)))
        return errc::argument_invalid;
    short_text text, detail;
    refusal why{sqlstate::internal_error, {}, {}, {}, false};
    // AionDB streams its current timeline and no other.
    const bool past = other || (from.next.valid() && start_ > from.switch_point);
    const bool nothing_left = from.next.valid() && start_ == from.switch_point;
    // A replica that has nothing asks for AionDB's first entry, whether there is one yet or not.
    const bool first = entries && start_ == aiondb::first_entry.as_position();
    const bool ahead = !past && !nothing_left && !first && start_ > from.end;
    // PostgreSQL opens the copy before it looks so far.
    const bool opens = !past && !nothing_left && !(ahead && entries);
    const auto place = [&](lsn at) noexcept { return to_text(at, options_.dialect); };
    if (other) {
        text << "requested timeline " << timeline_ << " is not the current timeline "
             << from.timeline;
    } else if (past) {
        text << "requested starting point " << start_ << " on timeline " << from.timeline
             << " is not in this server's history";
        detail << "This server's history forked from timeline " << from.timeline << " at "
               << from.switch_point << ".";
        why.detail = detail;
    } else if (ahead) {
        text << "requested starting point " << place(start_)
             << " is ahead of the WAL flush position of this server " << place(from.end);
    }
    why.message = text;
    const errc code = out_.put([&](writer& out) noexcept {
        if (nothing_left) {
            put_next_timeline(out, from.next, from.switch_point, style_);
            put(out, wire::command_complete{"START_STREAMING"});
            put(out, wire::command_complete{style_.tag("START_REPLICATION")});
        } else if (opens) {
            wire::put_copy_response(out, wire::backend_tag::copy_both_response);
        }
        if (past || ahead) put(out, why);
        if (past || ahead || nothing_left) put(out, wire::transaction_status::idle);
    });
    if (code != errc::none) return code;
    using m = wire::message;
    const auto sent = [&]<std::size_t Count>(const m(&all)[Count]) noexcept {
        for (const m said : all) static_cast<void>(talk_.send(said));
    };
    question_ = question::none;
    if (nothing_left) {
        sent({m::row_description, m::data_row, m::command_complete, m::command_complete,
              m::ready_for_query});
        stream_ended_ = streaming_end::timeline_ended;
        return errc::none;
    }
    if (opens) sent({m::copy_both_response});
    if (past || ahead) {
        ++errors_said_;
        sent({m::error_response, m::ready_for_query});
        stream_ended_ = streaming_end::refused;
        return errc::none;
    }
    sender_.begin(start_, from, now_.steady);
    began_ = true;
    if (shutting_down_) sender_.shut_down();
    return errc::none;
}

inline errc session::send(bytes wal) noexcept {
    if (ended()) return errc::over;
    const bool possible = wants_wal() && options_.dialect == dialect::postgres;
    return possible ? sender_.lend(wal) : errc::not_now;
}

inline errc session::send_entries(aiondb::entry_lsn first, aiondb::entry_lsn last,
                                  bytes entries) noexcept {
    if (ended()) return errc::over;
    if (!wants_wal() || options_.dialect != dialect::aiondb) return errc::not_now;
    if (entries.empty()) return errc::argument_invalid;
    if (entries.size() > aiondb::entries_size_max) return errc::argument_too_long;
    const aiondb::batch_head head{first, last, static_cast<std::uint32_t>(entries.size())};
    // Nothing is begun that could not be said, and nothing said that may not be begun.
    wal_sender begun = sender_;
    if (const errc code = begun.send(first, last, now_.steady); code != errc::none) return code;
    const errc code = out_.put([&](writer& out) noexcept { put(out, head); });
    if (code != errc::none) return code;
    sender_ = begun;
    body_ = entries;
    return talk_.send(wire::message::copy_data_out);
}

inline errc session::end_timeline(timeline_id next, lsn switch_point) noexcept {
    if (ended()) return errc::over;
    if (!streaming() || options_.dialect == dialect::aiondb) return errc::not_now;
    if (next <= sender_.timeline()) return errc::argument_invalid;
    sender_.end_timeline(next, switch_point);
    return errc::none;
}

inline errc session::end_stream() noexcept {
    if (ended()) return errc::over;
    if (!streaming() || options_.dialect != dialect::aiondb) return errc::not_now;
    sender_.stop();
    return errc::none;
}

// The client is told to go, wherever there is room for it.
inline void session::leave() noexcept {
    if (body_.empty()) static_cast<void>(say_error(primary::shutting_down));
    close(closing::shut_down);
}

inline errc session::shut_down() noexcept {
    if (ended()) return errc::over;
    shutting_down_ = true;
    sender_.shut_down();
    const wire::phase at = talk_.at();
    const bool waits = at <= wire::phase::idle || at == wire::phase::skipping;
    // Nobody knows when the rest of a manifest will come.
    const bool uploads = at == wire::phase::copy_in;
    if ((waits || uploads) && !admission_.asks()) leave();
    return errc::none;
}

inline bool session::is_cancelled_by(const wire::cancel_request& request) const noexcept {
    if (talk_.at() < wire::phase::idle || ended()) return false;
    const std::size_t room = protocol() < wire::protocol_3_2 ? 4 : wire::cancel_key_size_max;
    const std::size_t size = options_.cancel_key.size();
    const bytes shown = options_.cancel_key.first(size < room ? size : room);
    return equal_in_constant_time(shown, request.key) && request.pid == options_.pid;
}

} // namespace walwire::primary
