// A recorded conversation played to a replica's session: the server's bytes go in, and what the
// session would say in the client's place is kept beside what the client said.
//
// The client's side of the recording says what to be: its start-up packet becomes the options, its
// queries become commands, in order. The server's answers must not depend on more than that.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/auth/base64.hpp>
#include <walwire/auth/openssl.hpp>
#include <walwire/replica/session.hpp>
#include <walwire/wire/command_parser.hpp>

#include "support/transcript.hpp"

namespace replayed {

using namespace walwire;

// What the recorded client wanted.
struct script {
    std::string name;
    replica::options options;
    std::vector<wire::command> commands;
    std::vector<std::string> texts;
    bool stops = false;   // it ends the stream by a CopyDone as soon as it begins
    std::string reason;   // why this conversation cannot be a session's; empty when it can
    std::string nonce;    // of its SCRAM exchange
    std::string password; // by its user
    std::vector<std::vector<char>> scratch;
    std::vector<wire::parameter> parameters;
};

inline std::string password_of(std::string_view user) {
    static const std::map<std::string_view, std::string> passwords{
        {"u_md5", "md5secret"}, {"u_scram", "scramsecret"}, {"u_mixed", "mixedsecret"},
        {"u_prep", "IXIX"},     {"u_clear", "clearsecret"}, {"u_norepl", "noreplsecret"},
    };
    const auto found = passwords.find(user);
    return found == passwords.end() ? "wrong" : found->second;
}

inline void read_startup(script& to, const wire::startup_message& startup) {
    to.options.version = startup.version;
    wire::parameters list = startup.list();
    while (const auto pair = list.next()) {
        if (pair->name == "user")
            to.options.user = pair->value;
        else if (pair->name == "database")
            to.options.database = pair->value;
        else if (pair->name == "application_name")
            to.options.application_name = pair->value;
        else if (pair->name == "options")
            to.options.settings = pair->value;
        else if (pair->name == "replication" && pair->value == "database")
            to.options.mode = replica::replication_mode::database;
        else if (pair->name == "replication" && pair->value != "true" && pair->value != "1" &&
                 pair->value != "on" && pair->value != "yes")
            to.reason = "not a replication connection";
        else if (pair->name != "replication")
            to.parameters.push_back(*pair);
    }
    if (startup.version != wire::protocol_3_0 && startup.version != wire::protocol_3_2)
        to.reason = "a protocol version that a session does not ask for";
    for (const wire::parameter& each : to.parameters) {
        if (each.name.starts_with("_pq_."))
            to.reason = "protocol options that a session has none of";
    }
}

inline void read_query(script& to, std::string_view text, int version) {
    to.scratch.emplace_back(text.size() + 64);
    const auto parsed = wire::parse_command(text, to.scratch.back(), version, dialect::postgres);
    wire::command command = parsed.value;
    if (parsed.error.code != errc::none) command = wire::sql{text};
    if (std::holds_alternative<wire::start_logical_replication>(command))
        to.reason = "a logical stream";
    to.commands.push_back(command);
    to.texts.emplace_back(text);
}

// The views point into the recording, which must outlive the script.
inline script read_script(const support::transcript& recorded) {
    script made;
    made.name = recorded.name();
    made.options.cleartext_without_tls = true;
    bytes client = recorded.said(support::side::client);
    bool started = false;
    std::vector<std::byte> stash(1 << 20);
    wire::framer framer(stash);
    while (!client.empty()) {
        if (!started) {
            const wire::piece got = framer.next_untagged(client, wire::startup_size_max);
            if (got.kind != wire::piece_kind::message) break;
            // The stash may move on, the recording does not.
            const bytes body(client.data() - got.data.size(), got.data.size());
            const auto packet = wire::parse_startup_packet(body);
            if (!packet) {
                made.reason = "a packet that no client of ours sends";
                break;
            }
            if (std::holds_alternative<wire::ssl_request>(*packet))
                made.options.tls = replica::encryption::offered;
            else if (std::holds_alternative<wire::gssenc_request>(*packet))
                made.options.gss = replica::encryption::offered;
            else if (std::holds_alternative<wire::cancel_request>(*packet))
                made.reason = "a cancel request";
            else {
                read_startup(made, std::get<wire::startup_message>(*packet));
                started = true;
            }
            continue;
        }
        const wire::piece got = framer.next(client, {1 << 20, 0, wire::copy_content::whole});
        if (got.kind != wire::piece_kind::message) break;
        const bytes body(client.data() - got.data.size(), got.data.size());
        switch (got.tag) {
        case 'Q':
            if (const auto query = wire::parse_query(body))
                read_query(made, query->text, recorded.major_version());
            break;
        case 'p':
            if (const auto begin = wire::parse_sasl_initial_response(body)) {
                const std::string_view first = as_text(begin->data);
                const std::size_t at = first.find(",r=");
                if (at != std::string_view::npos) made.nonce = first.substr(at + 3);
            }
            break;
        case 'f':
            if (!std::holds_alternative<wire::upload_manifest>(made.commands.back()))
                made.reason = "the client fails its stream";
            break;
        case 'P':
        case 'S': made.reason = "the extended query protocol"; break;
        default: break;
        }
    }
    // A session makes its nonce of 18 random bytes; the raw socket's was of another size.
    if (!made.nonce.empty() && made.nonce.size() != auth::nonce_size)
        made.reason = "a nonce that a session does not make (auth/scram plays it)";
    // Only where the server met the client's CopyDone before the end of the timeline does it matter
    // who stopped first.
    made.stops = recorded.name().find("c06_") != std::string::npos;
    made.password = password_of(made.options.user);
    if (recorded.name().find("e01_") != std::string::npos) made.password = "wrong";
    return made;
}

// libcrypto, but for the one thing that must be as it was recorded.
inline auth::crypto crypto_with(const std::string& nonce) {
    static std::array<std::byte, 18> recorded;
    static_cast<void>(auth::parse_base64(nonce, recorded));
    auth::crypto made = auth::openssl();
    made.random = [](void*, mutable_bytes out) noexcept {
        for (std::size_t i = 0; i < out.size(); ++i) out[i] = recorded[i % recorded.size()];
        return true;
    };
    return made;
}

inline std::string shown(std::string_view text) {
    std::string clean;
    for (const char c : text) clean += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    return clean;
}
inline std::string shown(lsn at) {
    return std::string(std::string_view(to_text(at)));
}

// One event as text, runs of WAL joined by the caller.
struct renderer {
    std::string operator()(const replica::tls_accepted& e) const {
        return e.direct ? "tls_accepted direct" : "tls_accepted";
    }
    std::string operator()(const replica::gss_accepted&) const { return "gss_accepted"; }
    std::string operator()(const replica::negotiated& e) const {
        return "negotiated 3." + std::to_string(e.version.minor_part());
    }
    std::string operator()(const replica::password_wanted& e) const {
        constexpr const char* uses[] = {"cleartext", "md5", "scram"};
        return std::string("password_wanted ") + uses[static_cast<int>(e.use)];
    }
    std::string operator()(const replica::parameter_status& e) const {
        return "parameter " + shown(e.name);
    }
    std::string operator()(const replica::backend_key_data& e) const {
        return "key of " + std::to_string(e.key.size());
    }
    std::string operator()(const replica::ready& e) const {
        return std::string("ready ") + static_cast<char>(e.status);
    }
    std::string operator()(const replica::system_identified& e) const {
        return "system " + std::to_string(e.system_identifier) + " timeline " +
               std::to_string(e.timeline.value) + " at " + shown(e.end) +
               (e.database ? " database " + shown(*e.database) : "");
    }
    std::string operator()(const replica::setting_shown& e) const {
        return "setting " + shown(e.value);
    }
    std::string operator()(const replica::history_read& e) const {
        return "history of " + std::to_string(e.timeline.value) + ": " + shown(as_text(e.content));
    }
    std::string operator()(const replica::slot_created& e) const {
        return "slot_created " + shown(e.name) + " " + shown(e.consistent_point) +
               (e.snapshot ? " snapshot" : "") + (e.plugin ? " " + shown(*e.plugin) : "");
    }
    std::string operator()(const replica::slot_read& e) const {
        return e.exists ? "slot " + shown(e.type) + " " + shown(e.restart) + " timeline " +
                              std::to_string(e.restart_timeline.value)
                        : "no slot";
    }
    std::string operator()(const replica::command_completed& e) const {
        return "completed " + shown(e.tag);
    }
    std::string operator()(const replica::row_description& e) const {
        return "columns " + std::to_string(e.size());
    }
    std::string operator()(const replica::data_row& e) const {
        return "row " + std::to_string(e.size());
    }
    std::string operator()(const replica::copy_out_started& e) const {
        return "copy_out of " + std::to_string(e.format.columns);
    }
    std::string operator()(const replica::copy_data& e) const {
        return std::string("copied ") + (e.begins ? "[" : "") + shown(as_text(e.data)) +
               (e.ends ? "]" : "");
    }
    std::string operator()(const replica::copy_out_ended&) const { return "copy_out_ended"; }
    std::string operator()(const replica::copy_in_started& e) const {
        return "copy_in of " + std::to_string(e.format.columns);
    }
    std::string operator()(const replica::streaming_started& e) const {
        return "streaming from " + shown(e.start);
    }
    std::string operator()(const replica::wal_data& e) const {
        return "wal " + shown(e.start) + "+" + std::to_string(e.data.size());
    }
    std::string operator()(const replica::entry_data& e) const {
        return "entries " + std::to_string(e.first.value) + " to " + std::to_string(e.last.value) +
               " of " + std::to_string(e.data.size()) + " bytes";
    }
    std::string operator()(const replica::entry_keepalive& e) const {
        return "entry_keepalive " + std::to_string(e.end.value) +
               (e.reply_requested ? " reply" : "");
    }
    std::string operator()(const replica::primary_keepalive& e) const {
        return std::string("keepalive ") + shown(e.server_end) +
               (e.reply_requested ? " reply" : "");
    }
    std::string operator()(const replica::primary_status& e) const {
        return "primary_status " + shown(e.end);
    }
    std::string operator()(const replica::timeline_ended& e) const {
        return "timeline_ended, next " + std::to_string(e.next.value) + " from " +
               shown(e.switch_point);
    }
    std::string operator()(const replica::streaming_ended& e) const {
        constexpr const char* causes[] = {"stopped", "timeline_ended", "server_shutdown"};
        return std::string("streaming_ended ") + causes[static_cast<int>(e.cause)];
    }
    std::string operator()(const replica::server_error& e) const {
        return std::string(e.fatal ? "fatal " : "error ") + shown(e.sqlstate) + " " +
               shown(e.message);
    }
    std::string operator()(const replica::notice& e) const {
        return "notice " + shown(e.sqlstate) + " " + shown(e.message);
    }
    std::string operator()(const replica::notification_response& e) const {
        return "notification " + shown(e.channel);
    }
    std::string operator()(const replica::closed& e) const {
        constexpr const char* causes[] = {"terminated", "fatal_error", "server_shutdown"};
        return std::string("closed ") + causes[static_cast<int>(e.cause)];
    }
    std::string operator()(const replica::failed& e) const {
        return "failed: " + std::string(text(e.reason.code)) + " at " +
               std::to_string(e.reason.offset);
    }
};
inline std::string rendering(const replica::event& told) {
    return std::visit(renderer{}, told);
}

// Plays a script to a session of its own and keeps what it told and said.
class player {
  public:
    explicit player(const script& played)
        : script_(played), crypto_(crypto_with(played.nonce)),
          room_(std::make_unique_for_overwrite<std::byte[]>(stash_size + out_size)),
          session_(with_crypto(played.options),
                   {{room_.get(), stash_size}, {room_.get() + stash_size, out_size}}) {}

    replica::session& session() { return session_; }

    // Feeds a chunk until the session has nothing more to tell about it. The byte that answers an
    // encryption request comes alone, as what follows it was recorded inside TLS.
    void feed(bytes in) {
        while (asking() && in.size() > 1) {
            step(in.first(1));
            in = in.subspan(1);
        }
        step(in);
    }
    // The server closed its side.
    void finish() {
        session_.finish();
        feed({});
        if (!session_.over()) feed({});
    }

    // The events, a line each, runs of one WAL message joined; and everything that was said.
    std::string events() {
        flush_wal();
        return events_;
    }
    const std::vector<std::byte>& said() const { return said_; }
    std::size_t left() const { return left_; }
    std::size_t endings() const { return endings_; }
    std::size_t told() const { return told_; }
    bool gap() const { return gap_; }

  private:
    bool asking() const {
        const wire::phase at = session_.at();
        return at == wire::phase::ssl_asked || at == wire::phase::gss_asked;
    }
    void step(bytes in) {
        now_.steady += 10;
        while (const auto told = session_.poll(in, now_)) {
            note(*told);
            answer(*told);
            write();
        }
        write();
        left_ += in.size();
    }

    replica::options with_crypto(replica::options options) {
        options.crypto = &crypto_;
        if (options.user.empty()) options.user = "nobody"; // it left before it said who it was
        options.parameters = script_.parameters;
        return options;
    }

    void note(const replica::event& told) {
        ++told_;
        if (const auto* run = std::get_if<replica::wal_data>(&told)) {
            if (run->begins) flush_wal();
            if (!run_) run_ = *run;
            run_size_ += run->data.size();
            gap_ = gap_ || run->start != wal_;
            wal_ = run->start + run->data.size();
            if (run->ends) flush_wal();
            return;
        }
        flush_wal();
        if (std::holds_alternative<replica::parameter_status>(told)) {
            ++parameters_;
            return;
        }
        flush_parameters();
        if (const auto* stream = std::get_if<replica::streaming_started>(&told))
            wal_ = stream->start;
        if (std::holds_alternative<replica::closed>(told) ||
            std::holds_alternative<replica::failed>(told))
            ++endings_;
        events_ += rendering(told) + '\n';
    }
    void flush_parameters() {
        if (parameters_ > 0) events_ += std::to_string(parameters_) + " parameters\n";
        parameters_ = 0;
    }
    void flush_wal() {
        if (run_) events_ += "wal " + shown(run_->start) + "+" + std::to_string(run_size_) + '\n';
        run_.reset();
        run_size_ = 0;
    }

    void answer(const replica::event& told) {
        if (std::holds_alternative<replica::tls_accepted>(told) ||
            std::holds_alternative<replica::gss_accepted>(told))
            static_cast<void>(session_.secured());
        if (std::holds_alternative<replica::password_wanted>(told))
            static_cast<void>(session_.give_password(script_.password));
        if (std::holds_alternative<replica::ready>(told)) {
            // A command that a session refuses is sent as it was recorded.
            if (next_ == script_.commands.size())
                static_cast<void>(session_.terminate());
            else if (session_.ask(script_.commands[next_]) != errc::none)
                static_cast<void>(session_.ask(wire::sql{script_.texts[next_]}));
            ++next_;
        }
        if (const auto* run = std::get_if<replica::wal_data>(&told)) {
            session_.flushed(run->start + run->data.size());
            session_.applied(run->start + run->data.size());
        }
        if (std::holds_alternative<replica::streaming_started>(told) && script_.stops)
            static_cast<void>(session_.stop());
    }
    void write() {
        const gather out = session_.output();
        said_.insert(said_.end(), out.head.begin(), out.head.end());
        said_.insert(said_.end(), out.body.begin(), out.body.end());
        session_.consume(out.size());
    }

    const script& script_;
    auth::crypto crypto_;
    std::unique_ptr<std::byte[]> room_; // not filled, as thousands of players are made
    replica::session session_;
    instant now_{1000, 0};
    std::size_t next_ = 0;
    std::string events_;
    std::vector<std::byte> said_;
    lsn wal_; // up to where it came
    bool gap_ = false;
    std::optional<replica::wal_data> run_;
    std::size_t run_size_ = 0;
    std::size_t parameters_ = 0;
    std::size_t left_ = 0;
    std::size_t endings_ = 0;
    std::size_t told_ = 0;
};

} // namespace replayed
