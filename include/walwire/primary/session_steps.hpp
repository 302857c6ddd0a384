// The steps of primary::session: what it does with each message. Read session.hpp first; this file
// is its second part and is included by nothing else.
#pragma once

#include "session.hpp"

namespace walwire::primary {

namespace detail {

inline int major_version_of(const options& chosen) noexcept {
    const auto parsed = wire::parse_server_version(chosen.server_version);
    return chosen.dialect == dialect::postgres && parsed ? *parsed : wire::server_major_max;
}

} // namespace detail

inline errc session::check(const options& chosen, memory room) noexcept {
    // A SASL exchange keeps the client's first message while the second is collected.
    constexpr std::size_t exchange = wire::header_size + 2 * auth::scram_message_size_max;
    if (room.stash.size() < exchange || room.out.size() < out_size_min ||
        room.stash.size() < wire::header_size + std::size_t{chosen.limits.message_size_max})
        return errc::memory_too_small;
    if (chosen.cancel_key.size() < 4 || chosen.cancel_key.size() > wire::cancel_key_size_max ||
        chosen.authentication_timeout < millisecond || chosen.wal_sender_timeout < millisecond ||
        (chosen.crypto != nullptr && chosen.mock_secret.size() < auth::scram_mock_secret_size_min))
        return errc::argument_invalid;
    const bool known = chosen.password_encryption == auth::method::md5 ||
                       chosen.password_encryption == auth::method::scram_sha_256;
    if (!known || chosen.scram_iterations == 0 || chosen.scram_iterations > INT32_MAX)
        return errc::argument_invalid;
    if (chosen.dialect == dialect::postgres) {
        const auto version = wire::parse_server_version(chosen.server_version);
        if (!version) return version.code();
        if (*version < wire::server_major_min) return errc::unsupported_version;
    }
    bool clean = chosen.server_version.find('\0') == std::string_view::npos;
    for (const wire::parameter& each : chosen.parameters) {
        clean = clean && each.name.find('\0') == std::string_view::npos &&
                each.value.find('\0') == std::string_view::npos;
    }
    if (!clean) return errc::argument_has_nul;
    // It goes out as one.
    return greeting_size_max(chosen) > room.out.size() ? errc::memory_too_small : errc::none;
}

inline session::session(const options& chosen, memory room) noexcept
    : options_(chosen),
      stash_(room.stash), style_{detail::major_version_of(options_), options_.dialect},
      framer_(room.stash), out_(room.out), admission_(options_, style_.major_version, talk_, out_),
      sender_(options_) {
    if (const errc code = check(chosen, room); code != errc::none) reason_ = {code, 0};
}

inline std::optional<event> session::poll(bytes& in, instant now) noexcept {
    now_ = now;
    if (over_) {
        in = {};
        return std::nullopt;
    }
    if (!opened_) {
        opened_ = true;
        wrote_ = now.steady;
        admit_by_ = later(now.steady, options_.authentication_timeout);
    }
    // Input that waits for an answer says nothing new, and stream() knows no time of its own.
    if (began_ || (!in.empty() && may_read())) sender_.heard(now.steady);
    began_ = false;
    keep_time();
    const auto told = turn(in);
    waited_ = !written();
    held_back_ = !in.empty();
    return told;
}

inline std::optional<event> session::turn(bytes& in) noexcept {
    while (!ended()) {
        if (auto told = speak()) return told;
        if (!may_read() || in.empty()) break;
        const step taken = read(in);
        if (taken.code != errc::none) fail(taken.code);
        if (taken.told) return taken.told;
    }
    if (ended()) in = {}; // nobody will ask what it says
    if (ended() || (finished_ && in.empty())) return ending();
    return std::nullopt;
}

inline void session::consume(std::size_t size) noexcept {
    progressed_ = progressed_ || size > 0;
    const std::size_t waiting = out_.waiting().size();
    out_.consume(size);
    size = size < waiting ? 0 : size - waiting;
    body_ = body_.subspan(size < body_.size() ? size : body_.size());
}

inline std::int64_t session::deadline() const noexcept {
    if (over_) return never;
    if (!opened_ || ended() || stream_ended_ || tell_login_) return at_once;
    if (held_back_ ? may_read() : finished_) return at_once;
    if (written() && owes()) return at_once;
    if (talk_.at() < wire::phase::idle) return admit_by_;
    if (copying()) {
        const std::int64_t ping = sender_.ping_deadline();
        const std::int64_t silence = sender_.silence_deadline();
        return ping < silence ? ping : silence;
    }
    return written() ? never : later(wrote_, options_.wal_sender_timeout);
}

inline bool session::owes() const noexcept {
    const bool shake = tell_tls_ && talk_.at() == wire::phase::encrypting;
    return shake || owed_completion_ || (copying() && sender_.owes(talk_.at())) ||
           (question_ == question::backup && backup_.owes()) ||
           (shutting_down_ && talk_.at() == wire::phase::idle);
}

inline void session::keep_time() noexcept {
    if (ended()) return;
    framer_.mark(); // who is late is so behind all that was taken
    if (written() || progressed_ || !waited_) wrote_ = now_.steady;
    progressed_ = false;
    if (talk_.at() < wire::phase::idle) {
        if (now_.steady >= admit_by_) fail(errc::connect_timeout);
    } else if (copying()) {
        if (now_.steady >= sender_.silence_deadline()) fail(errc::silence_timeout);
        sender_.keep_time(now_.steady);
    } else if (now_.steady >= later(wrote_, options_.wal_sender_timeout)) {
        fail(errc::silence_timeout);
    }
}

// Whether the next message may be looked at: not while anybody owes something, nor, but for a
// stream's statuses, which need no answer of their own, while an answer waits to be written.
inline bool session::may_read() const noexcept {
    switch (talk_.at()) {
    case wire::phase::copy_both:
    case wire::phase::server_finished: return !sender_.failed();
    case wire::phase::fresh: return written() && !tell_tls_;
    case wire::phase::encrypting: return !written(); // nothing may come yet
    case wire::phase::ssl_declined:
    case wire::phase::gss_declined:
    case wire::phase::both_declined: return true;
    case wire::phase::encrypted:
    case wire::phase::password_asked:
    case wire::phase::sasl_offered:
    case wire::phase::sasl_challenged:
    case wire::phase::idle:
    case wire::phase::skipping:
    case wire::phase::copy_in: return written(); // an upload may be answered with an error
    default: return false;
    }
}

inline wire::framing session::framing() noexcept {
    const std::uint32_t most = options_.limits.message_size_max;
    constexpr auto sasl = static_cast<std::uint32_t>(auth::scram_message_size_max);
    const wire::phase at = talk_.at();
    // What a failed copy left under way passes through without being collected. The copy may have
    // failed in the middle of a message, which goes on as it began.
    if (framer_.at_boundary())
        content_ =
            at == wire::phase::idle || at == wire::phase::skipping || at == wire::phase::copy_in
                ? wire::copy_content::raw
                : wire::copy_content::whole;
    wire::framing rule{most, options_.limits.copy_data_size_max, content_};
    if (at == wire::phase::sasl_offered || at == wire::phase::sasl_challenged)
        rule.message_size_max = most < sasl ? most : sasl;
    return rule;
}

inline step session::read(bytes& in) noexcept {
    if (talk_.at() < wire::phase::started) return read_packet(in);
    const wire::piece got = framer_.next(in, framing());
    switch (got.kind) {
    case wire::piece_kind::none: return {};
    case wire::piece_kind::run:
        if (talk_.at() != wire::phase::copy_in) return {};
        return {errc::none, event(manifest_uploaded{got.data})};
    case wire::piece_kind::refused: return refused(got.code, in);
    case wire::piece_kind::head:
    case wire::piece_kind::message: break;
    }
    return heard(got);
}

// PostgreSQL closes without a word, but for a SASL answer that is too large: that is as good as a
// wrong one.
inline step session::refused(errc code, bytes in) noexcept {
    const bool exchange =
        talk_.at() == wire::phase::sasl_offered || talk_.at() == wire::phase::sasl_challenged;
    if (!exchange || code != errc::message_too_large) return {code, {}};
    const std::byte tag = framer_.at_boundary() ? in.front() : stash_.front();
    const auto said = wire::frontend_message(std::to_integer<std::uint8_t>(tag));
    if (!said || *said != wire::message::password) return {code, {}};
    return admission_.rejected(code);
}

inline step session::read_packet(bytes& in) noexcept {
    tag_ = 0;
    // No length of a start-up packet begins with the first byte of a TLS record.
    const bool handshake = in.front() == std::byte{0x16} && framer_.at_boundary();
    if (handshake && talk_.at() == wire::phase::fresh && options_.direct_tls) {
        tell_tls_ = true;
        return {errc::none, tls_accepted{true}};
    }
    // Somebody spoke before the answer was out, which may have been somebody in between.
    if (!out_.empty()) {
        framer_.mark();
        return {errc::bytes_before_encryption, {}};
    }
    const wire::piece got = framer_.next_untagged(in, wire::startup_size_max);
    if (got.kind == wire::piece_kind::refused) return {got.code, {}};
    if (got.kind != wire::piece_kind::message) return {};
    step taken = admission_.opened(got.data, in.empty());
    tell_tls_ = talk_.at() == wire::phase::encrypting;
    if (taken.told && std::holds_alternative<cancel_request>(*taken.told)) close(closing::cancel);
    return taken;
}

// One message: first whether it may come, then what it says.
inline step session::heard(const wire::piece& got) noexcept {
    tag_ = got.tag;
    const auto said = wire::frontend_message(got.tag);
    if (!said) return {said.code(), {}};
    const bool late = talk_.is_late(*said);
    if (const errc code = talk_.receive(*said); code != errc::none) return {code, {}};
    if (late) return {};
    switch (*said) {
    case wire::message::password:
        return admission_.answered(got.data, [this](bytes data) noexcept -> std::optional<bytes> {
            if (data.size() > auth::scram_message_size_max) return std::nullopt;
            const mutable_bytes kept = stash_.last(auth::scram_message_size_max);
            if (!data.empty()) std::memcpy(kept.data(), data.data(), data.size());
            return bytes(kept).first(data.size());
        });
    case wire::message::query: return heard_query(got.data);
    case wire::message::copy_data_in:
        if (talk_.at() == wire::phase::copy_in) return {};
        return heard_stream(got.data);
    case wire::message::copy_fail: return heard_copy_fail(got.data);
    case wire::message::copy_done_in:
        if (!got.data.empty()) return {errc::malformed_message, {}};
        if (talk_.at() == wire::phase::copied_in) return {errc::none, event(manifest_whole{})};
        sender_.stop();
        return {};
    case wire::message::extended_query:
        if (talk_.at() == wire::phase::skipping) return {};
        static_cast<void>(say_error({sqlstate::protocol_violation,
                                     "extended query protocol not supported in a replication "
                                     "connection",
                                     {},
                                     {},
                                     false}));
        return {};
    case wire::message::function_call:
        return refuse_and_go_on({sqlstate::protocol_violation,
                                 "fastpath function calls not supported in a replication "
                                 "connection",
                                 {},
                                 {},
                                 false});
    case wire::message::sync:
        static_cast<void>(
            out_.put([](writer& out) noexcept { put(out, wire::transaction_status::idle); }));
        static_cast<void>(talk_.send(wire::message::ready_for_query));
        return {};
    case wire::message::terminate: close(closing::terminated); return {};
    default: return {};
    }
}

inline step session::heard_stream(bytes data) noexcept {
    const auto told = sender_.control(data);
    if (told) return {errc::none, *told};
    // A status that is too short ends the stream; one of an unknown kind ends the connection.
    if (told.code() != errc::stream_malformed) return {told.code(), {}};
    sender_.fail(data.empty());
    return {};
}

// The client gives its manifest up. Why is for the log of whoever asked for it; PostgreSQL repeats
// it all the same.
inline step session::heard_copy_fail(bytes body) noexcept {
    const auto said = wire::parse_copy_fail(body);
    if (!said) return {said.code(), {}};
    short_text text;
    text << "COPY from stdin failed: " << said->reason;
    step taken = refuse_and_go_on({sqlstate::query_canceled, text, {}, {}, false});
    if (taken.code == errc::none) taken.told = event(manifest_abandoned{});
    return taken;
}

inline step session::refuse_and_go_on(const refusal& why) noexcept {
    const errc code = say_refusal(why);
    question_ = question::none;
    return {code, {}};
}

inline step session::heard_query(bytes body) noexcept {
    const std::size_t end = as_text(body).find('\0');
    if (end == std::string_view::npos)
        return refuse_and_go_on(
            {sqlstate::protocol_violation, "invalid string in message", {}, {}, false});
    if (end + 1 != body.size())
        return refuse_and_go_on(
            {sqlstate::protocol_violation, "invalid message format", {}, {}, false});
    // The text may itself stand in the stash; behind it there is room that nobody uses.
    const mutable_bytes rest = stash_.subspan(wire::header_size + body.size());
    const auto parsed = wire::parse_command(as_text(body.first(end)),
                                            {reinterpret_cast<char*>(rest.data()), rest.size()},
                                            style_.major_version, options_.dialect);
    if (!parsed.truncated_identifier.empty()) {
        short_text text;
        const std::string_view whole = parsed.truncated_identifier;
        text << "identifier \"" << whole << "\" will be truncated to \""
             << whole.substr(0, wire::identifier_size_max) << "\"";
        wire::error_fields notice;
        notice.severity = "NOTICE";
        notice.sqlstate = sqlstate::name_too_long;
        notice.message = text;
        static_cast<void>(notify(notice));
    }
    if (!parsed) {
        short_text text;
        text << parsed.error.before << parsed.error.subject << parsed.error.after;
        const bool named =
            parsed.error.sqlstate == sqlstate::invalid_name && !parsed.error.subject.empty();
        return refuse_and_go_on(
            {parsed.error.sqlstate, text, {}, named ? slot_name_hint : std::string_view(), false});
    }
    return asked(parsed.value);
}

// Remembers which answer is owed, and tells the command.
inline step session::asked(const wire::command& command) noexcept {
    bool logical = false;
    const event told = std::visit(
        [&]<class Command>(const Command& said) noexcept {
            using std::is_same_v;
            question_ = question::logical_stream;
            if constexpr (is_same_v<Command, wire::identify_system>) question_ = question::system;
            if constexpr (is_same_v<Command, wire::show>) question_ = question::setting;
            if constexpr (is_same_v<Command, wire::timeline_history>) question_ = question::history;
            if constexpr (is_same_v<Command, wire::create_replication_slot>) {
                question_ = question::slot_creation;
                logical = said.kind == wire::slot_kind::logical;
            }
            if constexpr (is_same_v<Command, wire::read_replication_slot>)
                question_ = question::slot_reading;
            if constexpr (is_same_v<Command, wire::drop_replication_slot>)
                question_ = question::slot_dropping;
            if constexpr (is_same_v<Command, wire::alter_replication_slot>)
                question_ = question::slot_altering;
            if constexpr (is_same_v<Command, wire::start_replication>) {
                question_ = question::stream;
                start_ = said.start;
                timeline_ = said.timeline.value_or(timeline_id{});
            }
            if constexpr (is_same_v<Command, wire::start_logical_replication>) logical = true;
            if constexpr (is_same_v<Command, wire::base_backup>) {
                question_ = question::backup;
                backup_ = backup::stream_writer(style_.major_version,
                                                said.manifest != wire::backup_manifest::no);
            }
            if constexpr (is_same_v<Command, wire::upload_manifest>) question_ = question::upload;
            if constexpr (is_same_v<Command, wire::sql>) question_ = question::sql;
            return event(said);
        },
        command);
    if (logical && admission_.physical()) return refuse_and_go_on(logical_refused);
    return {errc::none, told};
}

// Puts everything that is owed and fits, and returns what there is to tell of it.
inline std::optional<event> session::speak() noexcept {
    if (tell_login_) {
        tell_login_ = false;
        return event(logged_in{auth::method::none});
    }
    if (talk_.at() == wire::phase::encrypting && tell_tls_ && out_.empty()) {
        tell_tls_ = false;
        return event(tls_accepted{false});
    }
    if (body_.empty()) {
        if (owed_completion_) {
            const errc code = out_.put([&](writer& out) noexcept {
                put(out, wire::command_complete{style_.tag("TIMELINE_HISTORY")});
                put(out, wire::transaction_status::idle);
            });
            if (code == errc::none) {
                owed_completion_ = false;
                static_cast<void>(talk_.send(wire::message::command_complete));
                static_cast<void>(talk_.send(wire::message::ready_for_query));
            }
        }
        if (copying()) finish_stream();
        if (question_ == question::backup) body_ = backup_.say(talk_, out_);
        if (shutting_down_ && !ended() && talk_.at() == wire::phase::idle &&
            say_error(primary::shutting_down) == errc::none)
            close(closing::shut_down);
    }
    if (!stream_ended_) return std::nullopt;
    const event told = streaming_ended{*stream_ended_};
    stream_ended_.reset();
    return told;
}

// One message of the stream, or a step of its end.
inline void session::finish_stream() noexcept {
    if (sender_.failed()) {
        const refusal why{sqlstate::protocol_violation, sender_.failure(), {}, {}, false};
        if (say_refusal(why) != errc::none) return;
        stream_ended_ = streaming_end::failed;
        sender_.end();
        return;
    }
    body_ = sender_.say(talk_, out_, now_);
    if (sender_.has_said_goodbye(talk_.at())) {
        const errc code =
            out_.put([](writer& out) noexcept { put(out, wire::command_complete{"COPY 0"}); });
        if (code != errc::none) return;
        static_cast<void>(talk_.send(wire::message::command_complete));
        close(closing::shut_down);
        return;
    }
    if (talk_.at() != wire::phase::both_finished) return;
    const errc code = out_.put([&](writer& out) noexcept {
        if (sender_.ends())
            put_next_timeline(out, sender_.next_timeline(), sender_.switch_point(), style_);
        put(out, wire::command_complete{"START_STREAMING"});
        put(out, wire::command_complete{style_.tag("START_REPLICATION")});
        put(out, wire::transaction_status::idle);
    });
    if (code != errc::none) return;
    if (sender_.ends()) {
        static_cast<void>(talk_.send(wire::message::row_description));
        static_cast<void>(talk_.send(wire::message::data_row));
    }
    for (const wire::message said :
         {wire::message::command_complete, wire::message::command_complete,
          wire::message::ready_for_query})
        static_cast<void>(talk_.send(said));
    stream_ended_ = sender_.complete() ? streaming_end::timeline_ended : streaming_end::stopped;
    sender_.end();
}

inline void session::fail(errc code) noexcept {
    if (reason_.code != errc::none) return;
    short_text text;
    const bool unasked = code == errc::bytes_before_encryption;
    const wire::phase at = unasked ? admission_.requested() : talk_.at();
    const auto why = farewell(code, at, tag_, text, options_.dialect);
    reason_ = {code, framer_.began()};
    // In the middle of a message there is no place for an error.
    if (!body_.empty()) out_.clear();
    if (why && body_.empty()) static_cast<void>(say_error(*why));
    body_ = {};
    sender_.end();
}

// The last event.
inline std::optional<event> session::ending() noexcept {
    if (reason_.code == errc::none && !closing_) {
        const bool between = talk_.at() == wire::phase::idle || talk_.at() == wire::phase::fresh;
        if (between && framer_.at_boundary()) {
            close(closing::terminated);
        } else {
            reason_ = {errc::connection_lost, framer_.eaten()};
            out_.clear();
        }
    }
    if (!body_.empty()) out_.clear(); // the head of what nobody will bring
    body_ = {};
    sender_.end();
    talk_.close();
    over_ = true;
    if (reason_.code != errc::none) return event(failed{reason_});
    return event(closed{cause_});
}

} // namespace walwire::primary

#include "session_answers.hpp"
