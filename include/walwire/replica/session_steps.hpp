// The steps of replica::session: what it does with each message. Read session.hpp first; this file
// is its second part and is included by nothing else.
#pragma once

#include "session.hpp"

namespace walwire::replica {

inline errc session::check(const options& chosen, memory room) noexcept {
    if (room.stash.size() < stash_size_min || room.out.size() < out_size_min ||
        room.stash.size() < wire::header_size + std::size_t{chosen.limits.message_size_max})
        return errc::memory_too_small;
    if (chosen.user.empty() || chosen.mode == replication_mode::off ||
        chosen.status_interval < millisecond || chosen.silence_timeout < millisecond ||
        chosen.backup_silence_timeout < millisecond || chosen.connect_timeout < millisecond)
        return errc::argument_invalid;
    // AionDB has one kind of connection, one version, and reports at most once in a second.
    if (chosen.dialect == dialect::aiondb &&
        (chosen.status_interval < second || chosen.mode != replication_mode::physical ||
         chosen.version != wire::protocol_3_0))
        return errc::argument_invalid;
    if (chosen.gss == encryption::direct ||
        (chosen.gss == encryption::required && chosen.tls == encryption::direct))
        return errc::argument_invalid;
    for (const wire::protocol_version version : {chosen.version, chosen.version_min}) {
        if (version != wire::protocol_3_0 && version != wire::protocol_3_2)
            return errc::unsupported_version;
    }
    if (chosen.version < chosen.version_min) return errc::unsupported_version;
    // The fixed names with their NULs, the header, and two encryption requests, whose bytes may
    // still stand in front: an adapter may be told late that they were written.
    std::size_t size = 88;
    const auto add = [&](std::string_view text) noexcept {
        size += text.size() + 1;
        return text.find('\0') == std::string_view::npos;
    };
    bool clean = add(chosen.user) && add(chosen.database) && add(chosen.application_name) &&
                 add(chosen.settings);
    for (const wire::parameter& each : chosen.parameters) {
        if (each.name.empty()) return errc::argument_invalid; // it would end the packet there
        clean = clean && add(each.name) && add(each.value);
    }
    if (!clean) return errc::argument_has_nul;
    if (size > room.out.size() || size > wire::startup_size_max) return errc::argument_too_long;
    return errc::none;
}

inline session::session(const options& chosen, memory room) noexcept
    : options_(chosen), stash_(room.stash), framer_(room.stash), stream_(options_), out_(room.out),
      login_(options_, talk_, out_) {
    if (const errc code = check(chosen, room); code != errc::none) fail(code);
}

inline std::int64_t session::deadline() const noexcept {
    if (over_) return never;
    const bool written = out_.empty();
    const bool owed = !opened_ || finished_ || just_asked_ || reason_.code != errc::none ||
                      (closing_ && (written || cause_ != closing::terminated)) ||
                      (stream_.owes() && written);
    return owed ? at_once : next_deadline();
}

inline std::int64_t session::next_deadline() const noexcept {
    if (closing_) return close_by_;
    if (talk_.at() == wire::phase::idle) return never;
    if (talk_.at() < wire::phase::idle) return connect_by_;
    std::int64_t at = silence_deadline();
    if (reports()) {
        for (const std::int64_t other : {stream_.ping_deadline(), stream_.status_deadline()})
            at = other < at ? other : at;
    }
    return at;
}

// By when the server must say something, where that is up to it.
inline std::int64_t session::silence_deadline() const noexcept {
    if (talk_.at() == wire::phase::copy_in) return never;
    if (patient_ && talk_.at() != wire::phase::copy_out)
        return stream_.silence_deadline(options_.backup_silence_timeout);
    return stream_.silence_deadline(options_.silence_timeout);
}

// The slow road: everything but a whole WAL message in its place. One event at most is returned;
// steps without one go on until the input is used up or the owner is asked.
WALWIRE_COLD inline std::optional<event> session::advance(bytes& in, instant now) noexcept {
    now_ = now;
    if (over_) {
        in = {};
        return std::nullopt;
    }
    if (!opened_ && reason_.code == errc::none) {
        opened_ = true;
        connect_by_ = later(now.steady, options_.connect_timeout);
        const step first = login_.open();
        if (first.code != errc::none) fail(first.code);
        if (first.told) return first.told;
    }
    // An event may have kept its owner busy for long; that was not the server's silence.
    if (!in.empty() || just_asked_ || framer_.eaten() != weighed_) stream_.heard(now.steady);
    just_asked_ = false;
    framer_.mark();
    keep_time();
    while (!ended() && !waits_for_owner() && !in.empty()) {
        const step taken = read(in);
        if (taken.code != errc::none) fail(taken.code);
        if (taken.told) {
            reopen_fast_path();
            return taken.told;
        }
    }
    weighed_ = framer_.eaten();
    if (ended()) in = {}; // nobody will ask what it says
    if (ended() || finished_) return ending();
    stream_.say(talk_, out_, now_);
    reopen_fast_path();
    return std::nullopt;
}

inline void session::keep_time() noexcept {
    if (ended()) return;
    const wire::phase here = talk_.at();
    if (here < wire::phase::idle) {
        if (now_.steady >= connect_by_) fail(errc::connect_timeout);
    } else if (here > wire::phase::idle && now_.steady >= silence_deadline()) {
        fail(errc::silence_timeout);
    } else if (reports()) {
        stream_.keep_time(now_.steady);
        stream_.say(talk_, out_, now_);
    }
}

inline void session::fail(errc code) noexcept {
    if (reason_.code == errc::none) reason_ = {code, framer_.began()};
    stream_.end();
    wake_ = at_once;
}

// The last event: after a failure at once, after a farewell when it is written.
inline std::optional<event> session::ending() noexcept {
    if (reason_.code == errc::none && !closing_) {
        // The end of the transport. A server that shuts down has said all it had to say before it.
        if (talk_.at() == wire::phase::copy_answered && end_ == streaming_end::server_shutdown)
            close(closing::server_shutdown);
        else
            fail(errc::connection_lost);
    }
    if (reason_.code != errc::none) {
        out_.clear();
        talk_.close();
        over_ = true;
        return event(failed{reason_});
    }
    if (cause_ != closing::terminated || finished_) out_.clear();
    if (!out_.empty() && now_.steady < close_by_) return std::nullopt;
    if (!out_.empty()) {
        fail(errc::silence_timeout);
        return ending();
    }
    talk_.close();
    over_ = true;
    return event(closed{cause_});
}

inline step session::read(bytes& in) noexcept {
    if (asking_encryption()) return read_answer_byte(in);
    const wire::piece got = framer_.next(in, framing());
    switch (got.kind) {
    case wire::piece_kind::none: return {};
    case wire::piece_kind::refused: return {got.code, {}};
    case wire::piece_kind::head:
    case wire::piece_kind::run: return heard_copy(got);
    case wire::piece_kind::message: break;
    }
    return heard(got);
}

inline step session::read_answer_byte(bytes& in) noexcept {
    const std::byte answer = framer_.take_byte(in);
    return login_.encryption_answer(answer, in.empty());
}

// One whole message: first whether it may come, then what it says.
inline step session::heard(const wire::piece& got) noexcept {
    const auto meaning = wire::backend_message(got.tag, got.data);
    if (!meaning) return {meaning.code(), {}};
    wire::message said = *meaning;
    const wire::phase before = talk_.at();
    // Before we are in there is nothing that an error could leave alive.
    if (said == wire::message::error_response && before < wire::phase::idle)
        said = wire::message::fatal_response;
    const bool late = talk_.is_late(said);
    if (const errc code = talk_.receive(said); code != errc::none) {
        const bool exchanging =
            before > wire::phase::started && before < wire::phase::authenticated;
        if (said == wire::message::authentication_ok && exchanging)
            return {errc::authentication_incomplete, {}};
        return {code, {}};
    }
    if (late) return {};
    switch (said) {
    case wire::message::error_response:
    case wire::message::fatal_response: return heard_error(got.data);
    case wire::message::notice_response:
    case wire::message::parameter_status:
    case wire::message::notification_response: return heard_aside(said, got.data);
    case wire::message::row_description: {
        const auto parsed = wire::row_description::parse(got.data, options_.limits.columns_max);
        if (!parsed) return {parsed.code(), {}};
        columns_ = parsed->size();
        if (question_ == question::results) return {errc::none, event(*parsed)};
        return {};
    }
    case wire::message::data_row: return heard_row(got.data);
    case wire::message::command_complete:
    case wire::message::empty_query_response: return heard_completion(said, before, got.data);
    case wire::message::ready_for_query: return heard_ready(got.data);
    case wire::message::copy_both_response: return stream_opened(got.data);
    case wire::message::copy_data_out: return heard_copy(got);
    case wire::message::copy_done_out:
        if (!got.data.empty()) return {errc::malformed_message, {}};
        if (before == wire::phase::copy_out) return {errc::none, event(copy_out_ended{})};
        if (stream_.stopping()) end_ = streaming_end::stopped;
        // Ours follows at once, as the server says nothing more before it.
        if (before == wire::phase::copy_both) {
            stream_.finish();
            stream_.say(talk_, out_, now_);
        }
        return {};
    case wire::message::copy_in_response:
    case wire::message::copy_out_response: return copy_opened(said, got.data);
    default: return heard_login(said, got.data);
    }
}

inline step session::heard_login(wire::message said, bytes body) noexcept {
    if (said == wire::message::negotiate_protocol_version) return login_.negotiated_version(body);
    if (said == wire::message::backend_key_data) {
        const auto key = wire::parse_backend_key_data(body, login_.version());
        if (!key) return {key.code(), {}};
        return {errc::none, event(*key)};
    }
    return login_.requested(body, [this](bytes data) noexcept { return keep(data); });
}

inline step session::heard_aside(wire::message said, bytes body) noexcept {
    if (said == wire::message::notice_response) {
        const auto fields = wire::parse_error_fields(body);
        if (!fields) return {fields.code(), {}};
        return {errc::none,
                event(notice{fields->severity, fields->sqlstate, fields->message, body})};
    }
    if (said == wire::message::notification_response) {
        const auto message = wire::parse_notification_response(body);
        if (!message) return {message.code(), {}};
        return {errc::none, event(*message)};
    }
    const auto parameter = wire::parse_parameter_status(body);
    if (!parameter) return {parameter.code(), {}};
    if (talk_.at() < wire::phase::idle && ++parameters_ > options_.limits.parameters_max)
        return {errc::too_many, {}};
    if (parameter->name == "server_version" && options_.dialect == dialect::postgres) {
        const auto version = wire::parse_server_version(parameter->value);
        if (!version) return {version.code(), {}};
        server_version_ = *version;
    }
    return {errc::none, event(*parameter)};
}

inline step session::heard_error(bytes body) noexcept {
    const auto fields = wire::parse_error_fields(body);
    if (!fields) return {fields.code(), {}};
    const bool fatal = talk_.at() == wire::phase::closed;
    stream_.end();
    if (fatal) close(closing::fatal_error);
    return {errc::none, event(server_error{fatal, fields->sqlstate, fields->message, body})};
}

inline step session::heard_row(bytes body) noexcept {
    const auto row = wire::data_row::parse(body, options_.limits.columns_max);
    if (!row) return {row.code(), {}};
    if (row->size() != columns_) return {errc::row_invalid, {}};
    switch (question_) {
    case question::system: return only_row(answer::read_system(*row, options_.dialect));
    case question::setting: {
        const auto setting = answer::read_setting(*row);
        answered_ = true;
        if (!setting) return {setting.code(), {}};
        return {errc::none, event(*setting)};
    }
    case question::history: return only_row(answer::read_history(*row, timeline_));
    case question::slot_creation: return only_row(answer::read_slot_created(*row));
    case question::slot_reading: return only_row(answer::read_slot(*row));
    case question::stream: return timeline_row(*row);
    case question::results: return {errc::none, event(*row)};
    case question::completion:
    case question::none: break;
    }
    return {errc::answer_invalid, {}};
}

// The row behind a finished stream, or in place of one that had nothing left to send. A server on a
// newer timeline sends it also when it was us who stopped, far from the switch point; then it is no
// news.
inline step session::timeline_row(const wire::data_row& row) noexcept {
    const auto next = answer::read_next_timeline(row);
    if (!next) return {next.code(), {}};
    if (next->next <= timeline_) return {errc::next_timeline_invalid, {}};
    if (stream_.stopping() && talk_.at() == wire::phase::next_timeline) return {};
    const lsn reached = talk_.at() == wire::phase::next_timeline ? stream_.next() : start_;
    if (next->switch_point > reached) return {errc::next_timeline_invalid, {}};
    end_ = streaming_end::timeline_ended;
    stream_.rewind(next->switch_point);
    return only_row(next);
}

inline step session::heard_completion(wire::message said, wire::phase before, bytes body) noexcept {
    // EmptyQueryResponse stands in CommandComplete's place and has no body.
    const bool nothing = said == wire::message::empty_query_response;
    if (nothing && !body.empty()) return {errc::malformed_message, {}};
    const auto completed = nothing ? result<wire::command_complete>(wire::command_complete{})
                                   : wire::parse_command_complete(body);
    if (!completed) return {completed.code(), {}};
    const bool first = question_ != question::none && !stream_ended_;
    switch (question_) {
    case question::system:
    case question::setting:
    case question::history:
    case question::slot_creation:
    case question::slot_reading:
        if (!answered_) return {errc::answer_invalid, {}};
        return {};
    case question::stream:
        stream_.end();
        if (!first) return {};
        // Neither a copy nor the row that may come in its place; or a result without its row.
        if (talk_.at() == wire::phase::answered && !answered_) return {errc::answer_invalid, {}};
        if (before == wire::phase::next_timeline && !answered_ && !stream_.stopping())
            return {errc::answer_invalid, {}};
        stream_ended_ = true;
        return {errc::none, event(streaming_ended{end_})};
    // Some commands complete twice; once is enough to know.
    case question::completion:
        if (answered_) return {};
        answered_ = true;
        return {errc::none, event(command_completed{completed->tag})};
    case question::results: return {errc::none, event(command_completed{completed->tag})};
    case question::none: break;
    }
    return {errc::unexpected_message, {}};
}

inline step session::heard_ready(bytes body) noexcept {
    const auto status = wire::parse_ready_for_query(body);
    if (!status) return {status.code(), {}};
    // Without a version nobody can tell which grammar this server's commands have.
    if (server_version_ == 0 && options_.dialect == dialect::postgres)
        return {errc::server_version_invalid, {}};
    question_ = question::none;
    patient_ = false;
    connect_by_ = never;
    return {errc::none, event(ready{*status})};
}

inline step session::stream_opened(bytes body) noexcept {
    const auto copy = wire::parse_copy_response(body);
    if (!copy) return {copy.code(), {}};
    if (copy->format != 0 || copy->columns != 0) return {errc::copy_format_invalid, {}};
    // A row that came in the place of a copy has said that there is none.
    if (question_ != question::stream || answered_) return {errc::unexpected_message, {}};
    stream_.begin(start_, now_.steady);
    return {errc::none, event(streaming_started{start_})};
}

// The server copies out to us, or wants us to copy in to it.
inline step session::copy_opened(wire::message said, bytes body) noexcept {
    const auto copy = wire::parse_copy_response(body);
    if (!copy) return {copy.code(), {}};
    if (question_ != question::results) return {errc::unexpected_message, {}};
    if (patient_ && (copy->format != 0 || copy->columns != 0))
        return {errc::copy_format_invalid, {}};
    if (said == wire::message::copy_in_response) return {errc::none, event(copy_in_started{*copy})};
    return {errc::none, event(copy_out_started{*copy})};
}

// CopyData in any shape: a whole message, the head of one, or a run of its payload.
inline step session::heard_copy(const wire::piece& got) noexcept {
    if (talk_.at() == wire::phase::copy_out) {
        const bool run = got.kind == wire::piece_kind::run;
        const copy_data part{got.data, run ? run_begins_ : true, got.left == 0};
        run_begins_ = got.kind == wire::piece_kind::head;
        if (run_begins_) return {talk_.receive(wire::message::copy_data_out), {}};
        return {errc::none, event(part)};
    }
    if (got.kind == wire::piece_kind::head) {
        passing_over_ = talk_.is_late(wire::message::copy_data_out) || stream_.stopping();
        if (const errc code = talk_.receive(wire::message::copy_data_out); code != errc::none)
            return {code, {}};
        return {passing_over_ ? errc::none : stream_.begin_message(got.data, got.left), {}};
    }
    if (got.kind == wire::piece_kind::run) {
        if (passing_over_ || stream_.stopping()) return {};
        return {errc::none, stream_.run(got.data, got.left)};
    }
    const bool wal = !counts_entries() && !got.data.empty() && got.data[0] == std::byte{'w'};
    if (stream_.stopping() && wal) return {};
    return stream_.control(got.data);
}

// A message that must outlive the input moves into the stash, if it does not stand there already.
inline std::optional<bytes> session::keep(bytes data) noexcept {
    if (data.size() > stash_.size()) return std::nullopt;
    if (!data.empty()) std::memmove(stash_.data(), data.data(), data.size());
    return bytes(stash_.data(), data.size());
}

} // namespace walwire::replica

#include "session_commands.hpp"
