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
    question_ = question::none;
    return errc::none;
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
    const bool dropping = question_ == question::slot_dropping;
    const errc may = may_answer(dropping ? question::slot_dropping : question::slot_altering);
    if (may != errc::none) return may;
    const std::string_view name = dropping ? "DROP_REPLICATION_SLOT" : "ALTER_REPLICATION_SLOT";
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
    if ((timeline_.valid() && timeline_ != from.timeline) ||
        (from.next.valid() && from.next <= from.timeline))
        return errc::argument_invalid;
    short_text text, detail;
    refusal why{sqlstate::internal_error, {}, {}, {}, false};
    const bool past = from.next.valid() && start_ > from.switch_point;
    const bool nothing_left = from.next.valid() && start_ == from.switch_point;
    const bool ahead = !past && !nothing_left && start_ > from.end;
    if (past) {
        text << "requested starting point " << start_ << " on timeline " << from.timeline
             << " is not in this server's history";
        detail << "This server's history forked from timeline " << from.timeline << " at "
               << from.switch_point << ".";
        why.detail = detail;
    } else if (ahead) {
        text << "requested starting point " << start_
             << " is ahead of the WAL flush position of this server " << from.end;
    }
    why.message = text;
    const errc code = out_.put([&](writer& out) noexcept {
        if (nothing_left) {
            put_next_timeline(out, from.next, from.switch_point, style_);
            put(out, wire::command_complete{"START_STREAMING"});
            put(out, wire::command_complete{style_.tag("START_REPLICATION")});
        } else if (!past) {
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
    if (!past) sent({m::copy_both_response});
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
    return wants_wal() ? sender_.lend(wal) : errc::not_now;
}

inline errc session::end_timeline(timeline_id next, lsn switch_point) noexcept {
    if (ended()) return errc::over;
    if (!streaming()) return errc::not_now;
    if (next <= sender_.timeline()) return errc::argument_invalid;
    sender_.end_timeline(next, switch_point);
    return errc::none;
}

inline errc session::shut_down() noexcept {
    if (ended()) return errc::over;
    shutting_down_ = true;
    sender_.shut_down();
    const bool busy = talk_.at() > wire::phase::idle && talk_.at() != wire::phase::skipping;
    if (busy || admission_.asks()) return errc::none;
    if (body_.empty()) static_cast<void>(say_error(primary::shutting_down));
    close(closing::shut_down);
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
