// replica::session against a server that says anything.
//
// Properties: the events and the output do not depend on how the bytes were cut; every message that
// the session writes is one that the conversation allows a client then and there; WAL comes without
// a gap and without a byte twice; the three positions of a status are in order, never fall, and
// never pass what was delivered; the session ends at most once and does nothing afterwards.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <walwire/replica/session.hpp>

#include "support/check.hpp"
#include "support/toy_crypto.hpp"

using namespace walwire;

namespace {

struct seen {
    std::string events;
    std::vector<std::byte> said;
};

// The first byte of an input chooses what the client wants; the rest is the server's.
replica::options options_for(std::uint8_t choice) {
    replica::options made;
    made.user = "u";
    made.crypto = &toy::credulous;
    made.cleartext_without_tls = (choice & 1) != 0;
    made.tls = (choice & 2) != 0 ? replica::encryption::offered : replica::encryption::off;
    made.gss = (choice & 4) != 0 ? replica::encryption::offered : replica::encryption::off;
    if ((choice & 8) != 0) made.version = wire::protocol_3_2;
    if ((choice & 16) != 0) made.mode = replica::replication_mode::database;
    made.status_interval = 50 * millisecond;
    made.report_each_flush = (choice & 32) != 0;
    made.limits.message_size_max = 2000;
    return made;
}

// The conversation as somebody between the two ends sees it. Within one call of the session its
// words and the server's may have crossed, so the server's are taken as far as they go, then one of
// the client's, and so on: every word of the client's must find its place.
class witness {
  public:
    void heard(bytes server) {
        server_said_.insert(server_said_.end(), server.begin(), server.end());
    }
    void secured() { static_cast<void>(talk_.receive(wire::message::encryption_done)); }

    void said(bytes client, lsn delivered) {
        take_server();
        while (!client.empty()) {
            if (talk_.at() < wire::phase::started)
                take_startup(client);
            else
                take_client(client, delivered);
            take_server();
        }
    }

  private:
    bool asking() const {
        const wire::phase at = talk_.at();
        return at == wire::phase::ssl_asked || at == wire::phase::gss_asked ||
               at == wire::phase::ssl_asked_again || at == wire::phase::gss_asked_again;
    }

    // Up to a message that may not come yet.
    void take_server() {
        while (server_at_ < server_said_.size()) {
            bytes rest = bytes(server_said_).subspan(server_at_);
            if (asking()) {
                const bool declined = rest[0] == std::byte{'N'};
                static_cast<void>(talk_.receive(declined ? wire::message::encryption_declined
                                                         : wire::message::encryption_accepted));
                ++server_at_;
                continue;
            }
            wire::framer framer(stash_);
            const std::size_t before = rest.size();
            const wire::piece got = framer.next(rest, {1 << 15, 0, wire::copy_content::whole});
            if (got.kind != wire::piece_kind::message) return;
            auto said = wire::backend_message(got.tag, got.data);
            if (!said) return;
            const bool early = talk_.at() < wire::phase::idle;
            const bool error = *said == wire::message::error_response;
            if (talk_.receive(early && error ? wire::message::fatal_response : *said) != errc::none)
                return;
            server_at_ += before - rest.size();
        }
    }

    void take_startup(bytes& client) {
        wire::framer framer(stash_);
        const wire::piece got = framer.next_untagged(client, wire::startup_size_max);
        check(got.kind == wire::piece_kind::message, "start-up packets are whole");
        const auto packet = wire::parse_startup_packet(got.data);
        check(static_cast<bool>(packet), "start-up packets parse");
        const wire::message kinds[] = {wire::message::startup, wire::message::ssl_request,
                                       wire::message::gssenc_request,
                                       wire::message::cancel_request};
        check(talk_.receive(kinds[packet->index()]) == errc::none,
              "the conversation allows this start-up packet");
    }

    void take_client(bytes& client, lsn delivered) {
        wire::framer framer(stash_);
        const wire::piece got = framer.next(client, {1 << 15, 0, wire::copy_content::whole});
        check(got.kind == wire::piece_kind::message, "messages are whole");
        const auto meaning = wire::frontend_message(got.tag);
        check(static_cast<bool>(meaning), "messages are known");
        check(talk_.receive(*meaning) == errc::none, "the conversation allows this message");
        if (*meaning == wire::message::query) flushed_ = written_ = {};
        if (*meaning == wire::message::copy_data_in && got.data[0] == std::byte{'r'})
            judge(*wire::parse_standby_status_update(got.data), delivered);
    }

    void judge(const wire::standby_status_update& status, lsn delivered) {
        check(status.written <= delivered, "written was delivered");
        check(status.flushed <= status.written, "flushed was written");
        check(status.applied <= status.flushed, "applied was flushed");
        check(status.written >= written_ && status.flushed >= flushed_, "positions do not fall");
        written_ = status.written;
        flushed_ = status.flushed;
    }

    std::array<std::byte, 1 << 16> stash_{};
    std::vector<std::byte> server_said_;
    std::size_t server_at_ = 0;
    wire::conversation talk_;
    lsn written_;
    lsn flushed_;
};

class run {
  public:
    explicit run(std::uint8_t choice)
        : options_(options_for(choice)), session_(options_, {stash_, out_}), choice_(choice) {}

    seen over(bytes server, std::size_t chunk, bool watched) {
        watched_ = watched;
        whole_ = server;
        feed({});
        while (!server.empty() && !session_.over()) {
            const std::size_t size = chunk < server.size() ? chunk : server.size();
            feed(server.first(size));
            server = server.subspan(size);
        }
        session_.finish();
        feed({});
        feed({});
        check(session_.over(), "it ends with the connection");
        check(ended_ <= 1, "it ends once");
        return {std::move(events_), std::move(said_)};
    }

  private:
    // The byte that answers an encryption request comes alone: what follows it went through TLS.
    void feed(bytes in) {
        while (in.size() > 1 && session_.at() > wire::phase::fresh &&
               session_.at() < wire::phase::encrypting) {
            step(in.first(1));
            in = in.subspan(1);
        }
        step(in);
    }
    void step(bytes in) {
        std::size_t polls = 0;
        const std::size_t bound = 64 + 2 * in.size();
        while (const auto told = session_.poll(in, now_)) {
            check(++polls <= bound, "the work is bounded by the input");
            check(ended_ == 0, "nothing is told after the end");
            note(*told);
            write();
            answer(*told);
            write();
        }
        write();
        check(in.empty() || waiting_, "all input is eaten unless an answer is owed");
    }

    void note(const replica::event& told) {
        if (const auto* wal = std::get_if<replica::wal_data>(&told)) {
            check(!wal->data.empty(), "runs are not empty");
            check(wal->start == next_, "WAL is contiguous");
            next_ = wal->start + wal->data.size();
            events_.append(as_text(wal->data));
            return;
        }
        if (const auto* stream = std::get_if<replica::streaming_started>(&told))
            next_ = stream->start;
        if (std::holds_alternative<replica::closed>(told) ||
            std::holds_alternative<replica::failed>(told))
            ++ended_;
        if (const auto* failed = std::get_if<replica::failed>(&told))
            events_ +=
                std::to_string(failed->reason.offset) + std::string(text(failed->reason.code));
        if (const auto* error = std::get_if<replica::server_error>(&told))
            events_ += error->message;
        events_ += '<' + std::to_string(told.index()) + '>';
    }

    void answer(const replica::event& told) {
        if (std::holds_alternative<replica::tls_accepted>(told) ||
            std::holds_alternative<replica::gss_accepted>(told)) {
            const std::array<std::byte, 32> binding{};
            static_cast<void>(session_.secured(binding));
            if (watched_) witness_.secured();
        }
        if (std::holds_alternative<replica::password_wanted>(told))
            waiting_ = session_.give_password("secret") != errc::none;
        if (const auto* wal = std::get_if<replica::wal_data>(&told)) {
            session_.flushed(wal->start + wal->data.size());
            session_.applied(wal->start + wal->data.size() / 2);
        }
        if (!std::holds_alternative<replica::ready>(told)) return;
        constexpr std::array<int, 8> plans{0, 1, 2, 3, 4, 5, 6, 5};
        switch (plans[(choice_ / 32u + asked_++) % plans.size()]) {
        case 0: ask(wire::identify_system{}); break;
        case 1: ask(wire::show{"wal_segment_size"}); break;
        case 2: ask(wire::timeline_history{timeline_id{2}}); break;
        case 3: ask(wire::read_replication_slot{"s"}); break;
        case 4: ask(wire::drop_replication_slot{"s", true}); break;
        case 5: ask(wire::start_replication{"", lsn{0x1000000}, timeline_id{1}}); break;
        default: ask(wire::sql{"SELECT 1"});
        }
    }
    void ask(const wire::command& command) {
        if (session_.ask(command) != errc::none) static_cast<void>(session_.terminate());
    }

    void write() {
        const gather out = session_.output();
        if (watched_) {
            witness_.heard(whole_.subspan(watched_to_, session_.eaten() - watched_to_));
            watched_to_ = session_.eaten();
            witness_.said(out.head, next_);
        }
        said_.insert(said_.end(), out.head.begin(), out.head.end());
        session_.consume(out.size());
        check(session_.output().empty(), "what was written is gone");
    }

    replica::options options_;
    std::array<std::byte, 2048> stash_{};
    std::array<std::byte, 1024> out_{};
    replica::session session_;
    witness witness_;
    instant now_{1000, 0};
    bytes whole_;
    std::size_t watched_to_ = 0;
    lsn next_;
    std::string events_;
    std::vector<std::byte> said_;
    std::size_t asked_ = 0;
    int ended_ = 0;
    bool waiting_ = false;
    bool watched_ = false;
    std::uint8_t choice_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const bytes input = std::as_bytes(std::span(data, size));
    const std::uint8_t choice = data[0];
    const std::size_t chunk = 1 + data[1] % 40u;
    const seen whole = run(choice).over(input.subspan(2), SIZE_MAX, true);
    const seen byte_by_byte = run(choice).over(input.subspan(2), 1, true);
    const seen chunked = run(choice).over(input.subspan(2), chunk, false);
    check(whole.events == byte_by_byte.events, "the events do not depend on the chunks");
    check(whole.events == chunked.events, "the events do not depend on the chunks");
    return 0;
}
