// primary::session against a client that says anything.
//
// Properties: the events and the output do not depend on how the client's bytes were cut; every
// message that the session writes is one that the conversation allows a server then and there; what
// was lent is not looked at once it is given back, which the sanitizer sees, for it is freed; the
// session ends once, says nothing afterwards but what was waiting, and works no more than its input
// is worth.
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <walwire/primary/session.hpp>

#include "support/check.hpp"
#include "support/toy_crypto.hpp"

using namespace walwire;

namespace {

constexpr std::array<std::byte, 32> key{std::byte{1}};
constexpr std::string_view versions[] = {"12.22", "15.20", "17.10", "18.4"};
constexpr std::string_view history = "1\t0/1004000\tno recovery target specified\n";
constexpr lsn begins{0x1000000}, forks{0x1004000}, ends{0x1005000};

primary::options options_for(std::uint8_t choice) {
    primary::options made;
    made.server_version = versions[choice & 3];
    made.cancel_key = key;
    made.mock_secret = key;
    made.crypto = &toy::credulous;
    made.tls = (choice & 16) != 0 ? primary::encryption::offered : primary::encryption::off;
    made.direct_tls = (choice & 16) != 0;
    made.limits.message_size_max = 1000;
    return made;
}

// The conversation as somebody between the two ends sees it. Between two observations their words
// may have crossed, so the client's are taken as far as they go, then one of the server's, and so
// on: every word of the server's must find its place.
class witness {
  public:
    void secured() { static_cast<void>(talk_.receive(wire::message::encryption_done)); }
    void heard(bytes client) { heard_ = client; }

    void said(bytes server) {
        rest_.insert(rest_.end(), server.begin(), server.end());
        take_client();
        bytes rest = rest_;
        while (take_server(rest)) take_client();
        check(rest.empty(), "messages are whole");
        rest_.clear();
    }

  private:
    bool asked() const {
        const wire::phase at = talk_.at();
        return at == wire::phase::ssl_asked || at == wire::phase::gss_asked ||
               at == wire::phase::ssl_asked_again || at == wire::phase::gss_asked_again;
    }

    // Up to a message that may not come yet.
    void take_client() {
        for (;;) {
            const bytes rest = heard_.subspan(at_);
            const std::size_t header = talk_.at() < wire::phase::started ? 4 : 5;
            if (rest.size() < header) return;
            const std::size_t size = header - 4 + load<std::uint32_t>(rest.data() + header - 4);
            if (size > rest.size() || size < header) return;
            const auto meaning =
                header == 4 ? packet(rest.subspan(4, size - 4))
                            : wire::frontend_message(std::to_integer<std::uint8_t>(rest[0]));
            if (!meaning || talk_.receive(*meaning) != errc::none) return;
            at_ += size;
        }
    }
    static result<wire::message> packet(bytes body) {
        const auto parsed = wire::parse_startup_packet(body);
        if (!parsed) return parsed.code();
        constexpr wire::message kinds[] = {wire::message::startup, wire::message::ssl_request,
                                           wire::message::gssenc_request,
                                           wire::message::cancel_request};
        return kinds[parsed->index()];
    }

    bool take_server(bytes& rest) {
        if (rest.empty()) return false;
        if (asked() && rest[0] != std::byte{'E'}) {
            const bool declined = rest[0] == std::byte{'N'};
            check(talk_.receive(declined ? wire::message::encryption_declined
                                         : wire::message::encryption_accepted) == errc::none,
                  "the answer to an encryption request has its place");
            rest = rest.subspan(1);
            return true;
        }
        if (rest.size() < wire::header_size) return false;
        const std::size_t size = 1 + load<std::uint32_t>(rest.data() + 1);
        if (size > rest.size()) return false;
        const auto meaning = wire::backend_message(std::to_integer<std::uint8_t>(rest[0]),
                                                   rest.subspan(5, size - 5));
        check(static_cast<bool>(meaning), "messages are known");
        check(talk_.receive(*meaning) == errc::none, "the conversation allows this message");
        rest = rest.subspan(size);
        return true;
    }

    bytes heard_;
    std::size_t at_ = 0;
    std::vector<std::byte> rest_;
    wire::conversation talk_;
};

struct seen {
    std::string events;
    std::vector<std::byte> said;
    bool operator==(const seen&) const = default;
};

class run {
  public:
    explicit run(std::uint8_t choice)
        : choice_(choice), session_(options_for(choice), {stash_, out_}) {
        check(primary::session::check(options_for(choice), {stash_, out_}) == errc::none,
              "the options are good");
    }

    seen over(bytes client, std::size_t chunk) {
        whole_ = client;
        step({});
        while (!client.empty() && !session_.over()) {
            const std::size_t size = cut(client, chunk);
            step(client.first(size));
            client = client.subspan(size);
        }
        session_.finish();
        step({});
        step({});
        check(session_.over(), "it ends with the connection");
        check(endings_ == 1, "it ends once");
        const std::byte late[] = {std::byte{'Q'}, std::byte{0}};
        step(late);
        static_cast<void>(session_.shut_down());
        static_cast<void>(session_.refuse(primary::sql_refused));
        check(session_.output().empty(), "nothing is said after the end");
        return {std::move(events_), std::move(said_)};
    }

  private:
    // Packets of the opening come one at a time, because what follows an encryption request before
    // its answer is an attack, and is judged by the chunk that it comes in.
    std::size_t cut(bytes client, std::size_t chunk) {
        std::size_t size = std::min(chunk, client.size());
        if (session_.at() >= wire::phase::started) return size;
        const auto at = static_cast<std::size_t>(client.data() - whole_.data());
        const bytes packet = whole_.subspan(packet_at_);
        if (client[0] == std::byte{0x16} && at == packet_at_) {
            packet_at_ = at + 1;
            return 1;
        }
        const std::size_t length = packet.size() < 4 ? 4 : load<std::uint32_t>(packet.data());
        const std::size_t left = length > at - packet_at_ ? length - (at - packet_at_) : 1;
        size = std::min(size, left);
        if (size == left) packet_at_ = at + size;
        return size;
    }

    // Before the session sees more it has said all that it has to say of what it saw.
    void step(bytes in) {
        bound_ = 64 + 4 * in.size();
        while (turn(in)) {
            bytes nothing;
            while (turn(nothing)) {
            }
        }
        check(in.empty() || session_.at() < wire::phase::started, "all input is eaten");
    }
    bool turn(bytes& in) {
        check(bound_-- > 0, "the work is bounded by the input");
        const auto told = session_.poll(in, {1000, 0});
        if (told) {
            check(endings_ == 0, "nothing is told after the end");
            if (const auto* tls = std::get_if<primary::tls_accepted>(&*told))
                if (tls->direct) in = in.subspan(1), handshake_ = 1;
            // The runs of a manifest follow the chunks, its bytes do not.
            if (!std::holds_alternative<primary::manifest_uploaded>(*told))
                events_ += '<' + std::to_string(told->index()) + '>';
            write();
            std::visit([this](const auto& said) { hear(said); }, *told);
        }
        const bool lent = lend() || back_up();
        return write() || lent || told;
    }

    bool write() {
        const gather out = session_.output();
        const std::size_t before = said_.size();
        for (const bytes part : {out.head, out.body})
            said_.insert(said_.end(), part.begin(), part.end());
        witness_.heard(whole_.subspan(handshake_).first(session_.eaten()));
        session_.consume(out.head.size());
        session_.consume(out.body.size() / 2);
        session_.consume(out.body.size() - out.body.size() / 2);
        check(session_.output().empty(), "what was written is gone");
        witness_.said(bytes(said_).subspan(before));
        if (session_.wants_wal() || !session_.streaming()) lent_.reset();
        if (session_.at() <= wire::phase::idle || session_.over()) lent_history_.reset();
        return said_.size() > before;
    }

    bool lend() {
        if (!session_.wants_wal()) return false;
        const lsn next = session_.next();
        const std::uint64_t all = next < limit_ ? limit_ - next : 0;
        const std::size_t size = std::min<std::uint64_t>(all, 5000);
        if (size == 0) return false;
        lent_ = std::make_unique<std::byte[]>(size);
        for (std::size_t i = 0; i < size; ++i) lent_[i] = static_cast<std::byte>(next.value + i);
        check(session_.send({lent_.get(), size}) == errc::none, "WAL that is wanted is taken");
        return true;
    }

    // One call of a backup.
    bool back_up() {
        if (session_.over() || session_.at() <= wire::phase::idle) backup_step_ = 0;
        if (backup_step_ == 0 || (lent_backup_ && !session_.wants_backup())) {
            // In the midst of what is lent, which is given back at once.
            if (backup_step_ == 0 || !backup_fails_) return false;
            write();
            refuse();
            lent_backup_.reset();
            backup_step_ = 0;
            return true;
        }
        lent_backup_.reset();
        switch (backup_step_++) {
        case 1: took(session_.begin_archive({7, {}}, "/t")); break;
        case 2: lend_backup(40'000); break;
        case 3: took(session_.report_progress(1)); break;
        case 4: took(session_.begin_archive({})); break;
        case 5: lend_backup(1); break;
        case 6:
            if (manifest_) took(session_.begin_manifest());
            break;
        case 7:
            if (manifest_) lend_backup(100);
            break;
        default:
            took(session_.end_backup({ends, timeline_id{2}}));
            check(!session_.wants_backup(), "nothing is wanted any more");
            backup_step_ = 0;
        }
        return true;
    }
    void lend_backup(std::size_t size) {
        check(session_.wants_backup(), "bytes are wanted");
        lent_backup_ = std::make_unique<std::byte[]>(size);
        took(session_.send_backup({lent_backup_.get(), size}));
    }

    void hear(const primary::tls_accepted&) {
        check(session_.secured(key) == errc::none, "secured");
        witness_.secured();
    }
    void hear(const primary::login_requested& said) {
        events_ += std::string(said.user) + ' ' + std::string(said.database);
        constexpr auth::method methods[] = {auth::method::none, auth::method::password,
                                            auth::method::md5, auth::method::scram_sha_256};
        const auth::method how = methods[choice_ >> 2 & 3];
        const bool scram = how == auth::method::scram_sha_256;
        const bool known = said.user != "nobody";
        static const std::string verifier = made_verifier();
        secret_ = auth::stored_secret(scram ? std::string_view(verifier) : "secret");
        if (said.user == "refused")
            check(session_.refuse({"28000", "no", {}, {}, true}) == errc::none, "refused");
        else
            check(session_.admit(how, known ? &secret_ : nullptr) == errc::none, "admitted");
    }
    static std::string made_verifier() {
        std::array<std::byte, 256> room;
        writer text(room);
        auth::put_verifier(text, *auth::make_verifier(toy::credulous, "secret", key, 1));
        return std::string(as_text(text.written()));
    }

    void hear(const primary::identify_system&) {
        took(session_.answer(primary::system_identity{7, timeline_id{2}, ends, "d"}));
    }
    void hear(const primary::show& said) {
        events_ += said.name;
        took(session_.answer(primary::setting{said.name, "1MB"}));
    }
    void hear(const primary::timeline_history& said) {
        if (said.timeline->value > 2) return refuse();
        lent_history_ = std::make_unique<std::string>(history);
        took(session_.answer(primary::history_content{*said.timeline, as_bytes(*lent_history_)}));
    }
    void hear(const primary::create_replication_slot& said) {
        took(session_.answer(primary::created_slot{said.name, {}, {}, {}}));
    }
    void hear(const primary::read_replication_slot& said) {
        took(session_.answer(
            primary::slot_state{said.name.size() % 2 == 0, begins, timeline_id{1}}));
    }
    void hear(const primary::alter_replication_slot&) { took(session_.complete()); }
    void hear(const primary::drop_replication_slot&) { took(session_.complete()); }
    void hear(const primary::start_replication& said) {
        const timeline_id timeline = said.timeline.value_or(timeline_id{2});
        if (timeline.value > 2 || said.start < begins) return refuse();
        bound_ += 16; // messages of WAL
        primary::served_timeline from{timeline, ends, {}, {}};
        if (timeline.value == 1) from = {timeline, forks, timeline_id{2}, forks};
        limit_ = from.end;
        took(session_.stream(from));
    }
    void hear(const primary::sql& said) {
        if (said.text.empty() || said.text.size() % 2 == 0) return refuse();
        const wire::column column{"c"};
        const std::optional<std::string_view> values[] = {"v", std::nullopt};
        took(session_.columns({&column, 1}));
        took(session_.row({values, 2}));
        took(session_.complete("SELECT 1"));
        took(session_.complete(""));
        took(session_.end_results());
    }
    void hear(const primary::start_logical_replication&) { refuse(); }
    void hear(const primary::base_backup& said) {
        if (said.label.size() % 3 == 0) return refuse();
        backup_fails_ = said.label.size() % 3 == 1;
        manifest_ = said.manifest != wire::backup_manifest::no;
        bound_ += 32;
        backup::tablespace other;
        other.oid = 7;
        other.path = "/t";
        if (said.progress) other.size = 40;
        took(session_.begin_backup({begins, timeline_id{1}}));
        took(session_.list(other));
        took(session_.list({}));
        backup_step_ = 1;
    }
    void hear(const primary::upload_manifest&) {
        uploaded_ = 0;
        took(session_.accept_manifest());
        if ((choice_ & 32) != 0) refuse();
    }
    void hear(const primary::manifest_uploaded& said) {
        check(!said.data.empty(), "a run is of some bytes");
        uploaded_ += said.data.size();
        events_ += as_text(said.data);
    }
    void hear(const primary::manifest_whole&) {
        if (uploaded_ % 2 == 0)
            took(session_.complete());
        else
            refuse();
    }
    void hear(const primary::standby_status_update& said) {
        const auto& told = session_.progress();
        check(told.applied() <= told.flushed() && told.flushed() <= told.written() &&
                  told.written() <= told.sent(),
              "what is believed of a client is possible");
        check(told.flushed() >= flushed_ || told.sent() < sent_, "and does not fall");
        flushed_ = told.flushed();
        sent_ = told.sent();
        if (said.applied == ends) static_cast<void>(session_.shut_down());
    }
    void hear(const primary::hot_standby_feedback& said) {
        if (said.xmin == 1)
            static_cast<void>(session_.end_timeline(timeline_id{9}, session_.next()));
        if (said.xmin == 2) refuse();
    }
    void hear(const primary::primary_status_request&) { refuse(); }
    void hear(const primary::closed&) { ++endings_; }
    void hear(const primary::failed& said) {
        ++endings_;
        events_ += std::to_string(said.reason.offset) + std::string(text(said.reason.code));
    }
    template <class Event>
    void hear(const Event&) {}

    void refuse() { took(session_.refuse({"0A000", "no", "why", "what else", false})); }
    void took(errc code) { check(code == errc::none, "an answer is taken"); }

    std::uint8_t choice_;
    std::array<std::byte, 8192> stash_{};
    std::array<std::byte, 2048> out_{};
    primary::session session_;
    witness witness_;
    auth::stored_secret secret_;
    std::unique_ptr<std::byte[]> lent_;
    std::unique_ptr<std::string> lent_history_;
    std::unique_ptr<std::byte[]> lent_backup_;
    std::size_t backup_step_ = 0;
    std::size_t uploaded_ = 0;
    bool backup_fails_ = false;
    bool manifest_ = false;
    bytes whole_;
    std::size_t handshake_ = 0; // bytes of it, which the session does not eat
    std::size_t packet_at_ = 0;
    std::size_t bound_ = 64;
    lsn limit_, flushed_, sent_;
    std::string events_;
    std::vector<std::byte> said_;
    int endings_ = 0;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const bytes input = std::as_bytes(std::span(data, size)).subspan(2);
    const seen whole = run(data[0]).over(input, SIZE_MAX);
    check(run(data[0]).over(input, 1) == whole, "byte by byte it is the same");
    check(run(data[0]).over(input, 1 + data[1] % 40u) == whole, "in chunks it is the same");
    return 0;
}
