// A recorded conversation played to a primary's session: the client's bytes go in, the owner gives
// the answers that the recorded server gave, and what the session says is kept beside what that
// server said.
//
// The owner looks only at the next message of the recording, which says what a server's owner
// decided there: to let somebody in, to answer with this row, to refuse, to send WAL. Everything
// else, every other byte, is the session's own doing. Virtual time is the recorded server's: each
// WAL message and keepalive is made at the moment that it was recorded with, and where a keepalive
// asks for a reply, time goes on until the session asks.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/auth/openssl.hpp>
#include <walwire/primary/session.hpp>

#include "recorded_backup.hpp"
#include "recording.hpp"

namespace recorded_server {

// Plays one recording to a session, the client's bytes in chunks.
class player {
  public:
    // `late`: a timeline that ends does so while it is streamed, and not before.
    player(const recording& played, std::size_t chunk, bool late)
        : played_(played), draws_(draws_of(played)), chunk_(chunk), late_(late),
          crypto_(auth::openssl()), stash_(stash_size), out_(out_size) {
        crypto_.context = &draws_;
        crypto_.random = [](void* context, mutable_bytes out) noexcept {
            const auto& random = static_cast<const drawn*>(context)->random;
            std::copy_n(random.begin(), std::min(out.size(), random.size()), out.begin());
            return true;
        };
        session_.emplace(chosen(), memory{stash_, out_});
    }
    player(const player&) = delete;

    void play() {
        if (played_.is("a18_")) { // TLS without asking: the record of a handshake
            const std::byte handshake{0x16};
            turn({&handshake, 1});
        }
        for (const request& each : played_.client) {
            go_on(std::max(each.after, provoked_by(each)));
            for (bytes rest = each.whole; !rest.empty();) {
                const std::size_t size = std::min(chunk_, rest.size());
                turn(rest.first(size));
                rest = rest.subspan(size);
            }
        }
        go_on(played_.server.size());
        if (!session_->over() && played_.is("b13_")) {
            pass_time();
            turn({});
        }
        if (session_->over()) return;
        session_->finish();
        turn({});
    }

    // What the session said, message by message, and how it ended.
    std::vector<spoken> said() const {
        std::vector<spoken> all;
        std::size_t at = 0;
        for (const std::size_t end : ends_) {
            const bytes whole = bytes(said_).subspan(at, end - at);
            if (end - at < wire::header_size)
                all.push_back({0, whole, {}});
            else
                all.push_back({static_cast<char>(whole[0]), whole, whole.subspan(5)});
            at = end;
        }
        if (at < said_.size()) all.push_back({'?', bytes(said_).subspan(at), {}});
        return all;
    }
    const std::string& outcome() const { return outcome_; }
    const std::vector<std::byte>& uploaded() const { return uploaded_; }
    std::size_t left() const { return left_; }

  private:
    primary::options chosen() {
        primary::options made;
        made.server_version = version_ = std::to_string(played_.text->major_version()) + ".0";
        for (const spoken& each : played_.server) {
            if (each.tag == 0 && each.whole[0] == std::byte{'S'})
                made.tls = primary::encryption::offered;
            if (each.tag == 'K') {
                made.pid = load<std::uint32_t>(each.body.data());
                made.cancel_key = each.body.subspan(4);
            }
            if (each.tag != 'S') continue;
            const auto said = wire::parse_parameter_status(each.body);
            // What depends on the server's state, the role and the database.
            for (const std::string_view name :
                 {"in_hot_standby", "is_superuser", "client_encoding", "server_encoding"})
                if (said->name == name) settings_.push_back({said->name, said->value});
            if (said->name == "server_version") made.server_version = said->value;
        }
        made.direct_tls = played_.is("a18_");
        made.parameters = settings_;
        if (made.cancel_key.empty()) made.cancel_key = key_;
        made.mock_secret = mock_secret_;
        made.crypto = &crypto_;
        if (played_.parameter("options").find("wal_sender_timeout=2s") != std::string_view::npos)
            made.wal_sender_timeout = 2 * second;
        return made;
    }

    std::size_t at() const { return ends_.size(); }
    bool done() const { return at() >= played_.server.size(); }
    // The recorded server's next message; a tag of its own when there is none.
    const spoken& next(std::size_t behind = 0) const {
        static const spoken none{'$', {}, {}};
        return at() + behind < played_.server.size() ? played_.server[at() + behind] : none;
    }
    static bool is_copy(const spoken& said, char kind) {
        return said.tag == 'd' && said.body[0] == static_cast<std::byte>(kind);
    }

    // Before a message that the server answers at once, it said what it had said before that
    // answer, even where the two crossed on their way.
    std::size_t provoked_by(const request& asked) const {
        if (!session_->streaming() || asked.tag == 'Q') return 0;
        const bool wants_reply = asked.tag == 'd' && !asked.body.empty() &&
                                 asked.body[0] == std::byte{'r'} &&
                                 asked.body.back() != std::byte{0};
        if (asked.tag == 'd' && !wants_reply) return 0;
        for (std::size_t i = at(); i < played_.server.size(); ++i) {
            const spoken& said = played_.server[i];
            if (said.tag != 'd') return wants_reply ? 0 : i;
            if (wants_reply && is_copy(said, 'k') && said.body.back() == std::byte{0}) return i;
        }
        return wants_reply ? 0 : played_.server.size();
    }

    // Does what the server did by itself until it has said so much.
    void go_on(std::size_t until) {
        while (at() < until && !session_->over()) {
            const std::size_t before = at();
            prompt(until);
            turn({});
            if (at() == before) return;
        }
    }

    void prompt(std::size_t until) {
        const spoken& said = next();
        if (said.tag == 'N') note();
        if (said.tag == 'N') return;
        if (backup_.under_way())
            return backup_.go_on([this](std::size_t i) { return next(i); }, [this] { refuse(); });
        if (said.tag == 'E') {
            const auto fields = *wire::parse_error_fields(said.body);
            const bool leaving = fields.message == primary::shutting_down.message;
            if (leaving && session_->at() == wire::phase::idle)
                static_cast<void>(session_->shut_down());
            else
                refuse();
        }
        if (!session_->streaming()) return;
        const bool leaves = as_text(said.body).starts_with("COPY 0");
        if (is_copy(said, 'w')) lend(until);
        if (is_copy(said, 'k')) {
            session_->advance({load<std::uint64_t>(said.body.data() + 1)});
            if (next(1).tag == 'C')
                static_cast<void>(session_->shut_down());
            else
                pass_time();
        }
        if (said.tag == 'C' && leaves) static_cast<void>(session_->shut_down());
        if (said.tag == 'c' && session_->at() == wire::phase::copy_both) end_timeline();
    }

    // The WAL that was recorded as of one end of the log, as one piece: how it is cut into messages
    // is the session's affair.
    void lend(std::size_t until) {
        if (!session_->wants_wal()) return;
        const std::uint64_t end = load<std::uint64_t>(next().body.data() + 9);
        session_->advance({end});
        lent_.clear();
        for (std::size_t i = 0; at() + i < until && is_copy(next(i), 'w'); ++i) {
            if (load<std::uint64_t>(next(i).body.data() + 9) != end) break;
            const bytes wal = next(i).body.subspan(25);
            lent_.insert(lent_.end(), wal.begin(), wal.end());
        }
        static_cast<void>(session_->send(lent_));
    }

    // Where the history goes on, as the row behind the next CopyDone says.
    primary::served_timeline ending(lsn start) const {
        primary::served_timeline made{timeline_, start, {}, {}};
        for (std::size_t i = at(); i < played_.server.size(); ++i) {
            const spoken& said = played_.server[i];
            if (said.tag == 'Z') break;
            if (is_copy(said, 'w') || is_copy(said, 'k')) {
                const std::size_t place = is_copy(said, 'w') ? 9 : 1;
                if (made.end == start) made.end = {load<std::uint64_t>(said.body.data() + place)};
            }
            if (said.tag != 'D') continue;
            const auto row = *wire::data_row::parse(said.body, 16);
            made.next = {static_cast<std::uint32_t>(std::stoul(std::string(*row[0])))};
            made.switch_point = *parse_lsn(*row[1]);
        }
        return made;
    }
    void end_timeline() {
        const primary::served_timeline end = ending({});
        if (end.next.valid()) static_cast<void>(session_->end_timeline(end.next, end.switch_point));
    }

    // Up to the moment when the session does something by itself.
    void pass_time() {
        const std::int64_t deadline = session_->deadline();
        if (deadline != never && deadline > now_.steady) now_.steady = deadline;
    }

    void turn(bytes in) {
        for (;;) {
            tell_time();
            const auto told = session_->poll(in, now_);
            if (told && std::holds_alternative<primary::tls_accepted>(*told)) in = {};
            if (told) {
                collect();
                std::visit([this](const auto& said) { hear(said); }, *told);
            }
            const std::size_t before = said_.size();
            collect();
            session_->consume(session_->output().size());
            collected_ = 0;
            if (!told && said_.size() == before && in.empty()) break;
            if (!told && said_.size() == before) {
                left_ += in.size();
                break;
            }
        }
    }
    // The clock of the recorded server when it said its next message of a stream.
    void tell_time() {
        if (played_.first('H')) return; // what is copied then tells no time
        for (std::size_t i = 0; at() + i < played_.server.size(); ++i) {
            const spoken& said = next(i);
            if (said.tag != 'd') continue;
            const std::size_t place = is_copy(said, 'w') ? 17 : 9;
            const auto sent_at = load<std::uint64_t>(said.body.data() + place);
            now_.wall = from_postgres_time(static_cast<std::int64_t>(sent_at));
            return;
        }
    }
    // Copies what is new in the output, and cuts it.
    void collect() {
        const gather out = session_->output();
        for (const bytes part : {out.head, out.body}) {
            const std::size_t skipped = std::min(collected_, part.size());
            collected_ -= skipped;
            said_.insert(said_.end(), part.begin() + static_cast<long>(skipped), part.end());
        }
        collected_ = out.size();
        for (;;) {
            const std::size_t begin = ends_.empty() ? 0 : ends_.back();
            const std::size_t have = said_.size() - begin;
            if (at() < played_.requests && have > 0)
                ends_.push_back(begin + 1);
            else if (have < wire::header_size ||
                     have < 1 + load<std::uint32_t>(said_.data() + begin + 1))
                return;
            else
                ends_.push_back(begin + 1 + load<std::uint32_t>(said_.data() + begin + 1));
        }
    }

    void refuse() {
        const auto fields = *wire::parse_error_fields(next().body);
        static_cast<void>(session_->refuse(
            {fields.sqlstate, fields.message, fields.detail, fields.hint, fields.fatal()}));
    }
    void note() {
        static_cast<void>(session_->notify(primary_fields(*wire::parse_error_fields(next().body))));
        collect();
    }
    static wire::error_fields primary_fields(wire::error_fields fields) {
        fields.file = fields.line = fields.routine = {};
        return fields;
    }

    void hear(const primary::tls_accepted&) {
        hash_ = certificate_hash(played_);
        static_cast<void>(session_->secured(hash_));
    }
    void hear(const primary::login_requested& said) {
        if (next().tag == 'E') return refuse();
        const auto asks = wire::parse_authentication(next().body);
        const std::string& password = password_of(said.user);
        auth::method how = auth::method::none;
        secret_ = auth::stored_secret(password);
        if (asks->code == wire::authentication_code::cleartext_password)
            how = auth::method::password;
        if (asks->code == wire::authentication_code::md5_password) how = auth::method::md5;
        if (asks->code == wire::authentication_code::sasl) {
            how = auth::method::scram_sha_256;
            const auto made = auth::make_verifier(crypto_, password,
                                                  bytes(draws_.salt).first(draws_.salt_size), 4096);
            verifier_.resize(256);
            writer text(verifier_);
            if (made) auth::put_verifier(text, *made);
            secret_ = auth::stored_secret(as_text(text.written()));
        }
        static_cast<void>(session_->admit(how, &secret_));
    }

    // Commands: a refusal, or the row that was recorded.
    bool refused() {
        if (next().tag == 'N') note();
        if (next().tag == 'E') refuse();
        return session_->at() != wire::phase::asked;
    }
    std::optional<std::string_view> value(std::size_t index) const {
        for (std::size_t i = 0; next(i).tag != '$' && next(i).tag != 'Z'; ++i)
            if (next(i).tag == 'D') return (*wire::data_row::parse(next(i).body, 16))[index];
        return std::nullopt;
    }
    std::uint64_t number(std::size_t index) const {
        return value(index) ? std::stoull(std::string(*value(index))) : 0;
    }
    lsn position(std::size_t index) const {
        return value(index) ? *parse_lsn(*value(index)) : lsn{};
    }

    void hear(const primary::identify_system&) {
        if (refused()) return;
        const timeline_id timeline{static_cast<std::uint32_t>(number(1))};
        session_->answer(primary::system_identity{number(0), timeline, position(2), value(3)});
    }
    void hear(const primary::show&) {
        if (refused()) return;
        reader in(next().body.subspan(2));
        session_->answer(primary::setting{in.c_string(), value(0).value_or("")});
    }
    void hear(const primary::timeline_history& said) {
        if (refused()) return;
        session_->answer(primary::history_content{*said.timeline, as_bytes(value(1).value_or(""))});
    }
    void hear(const primary::create_replication_slot&) {
        if (refused()) return;
        session_->answer(
            primary::created_slot{value(0).value_or(""), position(1), value(2), value(3)});
    }
    void hear(const primary::read_replication_slot&) {
        if (refused()) return;
        session_->answer(primary::slot_state{
            value(0).has_value(), position(1), {static_cast<std::uint32_t>(number(2))}});
    }
    void hear(const primary::alter_replication_slot&) {
        if (!refused()) session_->complete();
    }
    void hear(const primary::drop_replication_slot&) {
        if (!refused()) session_->complete();
    }
    void hear(const primary::start_replication& said) {
        timeline_ = said.timeline.value_or(timeline_id{1});
        const spoken& error = next().tag == 'W' ? next(1) : next();
        primary::served_timeline from = ending(said.start);
        if (error.tag == 'E') {
            const auto fields = *wire::parse_error_fields(error.body);
            const std::string_view ahead = "ahead of the WAL flush position of this server ";
            const std::string_view forked = " at ";
            const std::size_t place = fields.message.find(ahead);
            const std::size_t left = fields.detail.rfind(forked);
            if (place != std::string_view::npos) {
                from.end = *parse_lsn(fields.message.substr(place + ahead.size()));
            } else if (left != std::string_view::npos && next().tag == 'E') {
                std::string_view fork = fields.detail.substr(left + forked.size());
                fork.remove_suffix(1);
                from = {timeline_, *parse_lsn(fork), {timeline_.value + 1}, *parse_lsn(fork)};
            } else if (next().tag == 'E') {
                return refuse();
            }
        }
        if (late_ && next().tag == 'W') from.next = {}, from.switch_point = {};
        static_cast<void>(session_->stream(from));
    }
    void hear(const primary::sql&) {
        for (collect(); session_->at() > wire::phase::idle; collect()) {
            const spoken said = next();
            if (said.tag == 'N') note();
            if (said.tag == 'N') continue;
            if (said.tag == 'E') return refuse();
            if (said.tag == 'T') {
                std::vector<wire::column> columns;
                wire::row_description::parse(said.body, 99)->each([&](const wire::column& each) {
                    columns.push_back(each);
                });
                session_->columns(columns);
            } else if (said.tag == 'D') {
                const auto row = *wire::data_row::parse(said.body, 99);
                std::vector<std::optional<std::string_view>> values;
                for (std::size_t i = 0; i < row.size(); ++i) values.push_back(row[i]);
                session_->row(values);
            } else if (said.tag == 'C') {
                session_->complete(wire::parse_command_complete(said.body)->tag);
            } else if (said.tag == 'I') {
                session_->complete("");
            } else {
                session_->end_results();
                return;
            }
        }
    }
    void hear(const primary::start_logical_replication&) { refuse(); }
    void hear(const primary::base_backup&) {
        if (refused()) return;
        backup_.begin([this](std::size_t i) { return next(i); }, [this] { collect(); });
    }
    void hear(const primary::upload_manifest&) {
        if (!refused()) static_cast<void>(session_->accept_manifest());
    }
    void hear(const primary::manifest_uploaded& said) {
        uploaded_.insert(uploaded_.end(), said.data.begin(), said.data.end());
    }
    void hear(const primary::manifest_whole&) {
        if (next().tag == 'E')
            refuse();
        else
            static_cast<void>(session_->complete());
    }
    void hear(const primary::closed& said) {
        constexpr const char* causes[] = {"terminated", "cancel", "refused", "shut_down"};
        outcome_ = std::string("closed ") + causes[static_cast<int>(said.cause)];
    }
    void hear(const primary::failed& said) {
        outcome_ = "failed: " + std::string(text(said.reason.code));
    }
    template <class Event>
    void hear(const Event&) {}

    const recording& played_;
    drawn draws_;
    std::size_t chunk_;
    bool late_;
    auth::crypto crypto_;
    std::vector<std::byte> stash_, out_, lent_, verifier_, uploaded_;
    std::vector<wire::parameter> settings_;
    std::string version_;
    std::array<std::byte, 32> key_{}, mock_secret_{};
    auth::sha256_digest hash_{};
    auth::stored_secret secret_;
    std::optional<primary::session> session_;
    backup_owner backup_{session_, played_.text->major_version()};
    instant now_{1'000'000, 0};
    timeline_id timeline_;
    std::vector<std::byte> said_;
    std::vector<std::size_t> ends_;
    std::size_t collected_ = 0; // of the output that waits
    std::size_t left_ = 0;
    std::string outcome_;
};

} // namespace recorded_server
