// A client's words in raw bytes, and a primary's end that hears them: for the tests of a primary's
// session.
//
// What a client says is put together here by hand, so that nothing of it depends on the encoders of
// the library. The server is a session with the thinnest owner there can be: it answers every
// command, lends WAL that any test can compute, and scribbles over whatever is given back. It keeps
// what it was told as text, a line for each event, and what it said as bytes; words() reads those
// back as text, a line for each message.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <walwire/auth/base64.hpp>
#include <walwire/auth/openssl.hpp>
#include <walwire/primary/session.hpp>

#include "primary/lines.hpp"
#include "support/exhaustive.hpp"
#include "wire/spelled.hpp"

namespace caller {

using namespace walwire;
using namespace std::literals;
using spelled::buffer;
using spelled::hex;
using spelled::of;

// What a client says.

inline buffer number(std::uint64_t value, std::size_t size = 4) {
    buffer made;
    while (size-- > 0) made.push_back(static_cast<std::byte>(value >> (8 * size)));
    return made;
}
inline buffer text(std::string_view said) {
    return of(said) + buffer(1);
}
// Any tag, any body; the length is right unless another is asked for.
inline buffer message(char tag, const buffer& body) {
    return buffer{std::byte(tag)} + number(body.size() + 4) + body;
}
inline buffer header(char tag, std::uint32_t length) {
    return buffer{std::byte(tag)} + number(length);
}
inline buffer packet(std::uint32_t code, const buffer& rest) {
    return number(rest.size() + 8) + number(code) + rest;
}
inline buffer ssl_request() {
    return hex("00000008 04d2162f");
}
inline buffer gss_request() {
    return hex("00000008 04d21630");
}
inline buffer cancel(std::uint32_t pid, const buffer& key) {
    return packet(0x04d2162e, number(pid) + key);
}
inline buffer startup(std::string_view pairs = "user\0repl\0replication\0true\0"sv,
                      std::uint32_t version = 0x30000) {
    return packet(version, of(pairs) + buffer(1));
}
inline buffer password(std::string_view said) {
    return message('p', text(said));
}
inline buffer sasl(std::string_view mechanism, std::string_view first) {
    return message('p', text(mechanism) + number(first.size()) + of(first));
}
inline buffer response(std::string_view said) {
    return message('p', of(said));
}
inline buffer query(std::string_view said) {
    return message('Q', text(said));
}
inline buffer copy_data(const buffer& body) {
    return message('d', body);
}
inline buffer status(std::uint64_t written, std::uint64_t flushed, std::uint64_t applied,
                     bool reply = false) {
    return copy_data(of("r") + number(written, 8) + number(flushed, 8) + number(applied, 8) +
                     number(0, 8) + number(reply ? 1 : 0, 1));
}
inline buffer feedback(std::uint64_t xmin = 0) {
    return copy_data(of("h") + number(0, 8) + number(xmin) + number(0) + number(0) + number(0));
}
inline buffer copy_done() {
    return header('c', 4);
}
inline buffer sync_message() {
    return header('S', 4);
}
inline buffer terminate() {
    return header('X', 4);
}
inline buffer start_streaming(std::string_view from = "0/3000000") {
    return query("START_REPLICATION " + std::string(from) + " TIMELINE 3");
}

// libcrypto, but every nonce and every salt is the same.
inline const auth::crypto& crypto() {
    static const auth::crypto made = [] {
        auth::crypto table = auth::openssl();
        table.random = [](void*, mutable_bytes out) noexcept {
            for (std::byte& each : out) each = std::byte{0x5a};
            return true;
        };
        return table;
    }();
    return made;
}
inline const std::string server_nonce = "WlpaWlpaWlpaWlpaWlpaWlpa"; // 18 times 0x5a

inline std::string base64(bytes data) {
    buffer room(auth::base64_text_size(data.size()));
    writer out(room);
    auth::put_base64(out, data);
    return spelled::text(out.written());
}
// What is stored for a password, with few iterations.
inline std::string verifier(std::string_view password) {
    buffer room(300);
    writer out(room);
    auth::put_verifier(out,
                       *auth::make_verifier(crypto(), password, as_bytes("sixteen of salt!"sv), 2));
    return spelled::text(out.written());
}

// The server.

inline wire::error_fields notice(std::string_view message) {
    wire::error_fields made;
    made.severity = "NOTICE";
    made.sqlstate = "00000";
    made.message = message;
    return made;
}

struct plan {
    primary::options options = usual();
    auth::method how = auth::method::none;
    std::optional<std::string> secret; // nobody's
    buffer binding;                    // what secured() is told
    lsn end = start;                   // of the log
    timeline_id next;                  // of a timeline that has ended
    lsn switch_point;
    std::size_t lent_at_once = SIZE_MAX;
    bool admits = true;  // handshakes and logins
    bool answers = true; // commands
    bool writes = true;  // all output, at once
    std::size_t stash = stash_size;
    std::size_t out = out_size;

    static primary::options usual() {
        static const buffer key = hex("01020304 05060708");
        static const buffer secret(16, std::byte{9});
        primary::options chosen;
        chosen.server_version = "18.4";
        chosen.pid = 77;
        chosen.cancel_key = key;
        chosen.mock_secret = secret;
        chosen.crypto = &crypto();
        return chosen;
    }
    plan& version(std::string_view is) {
        options.server_version = is;
        return *this;
    }
};

class server {
  public:
    explicit server(const plan& chosen)
        : plan_(chosen), end(chosen.end), stash_(chosen.stash), out_(chosen.out),
          session_(chosen.options, {stash_, out_}) {
        if (plan_.secret) secret_ = auth::stored_secret(*plan_.secret);
    }

    primary::session* operator->() noexcept { return &session_; }

    // What came from the client, as far as anything is to be done about it.
    server& feed(bytes in) {
        if (held_.empty()) {
            turn(in);
            held_ = of(in);
        } else {
            const buffer all = held_ + of(in);
            bytes rest = all;
            turn(rest);
            held_ = of(rest);
        }
        return *this;
    }
    server& feed() { return feed(bytes{}); }
    server& wait_until(std::int64_t steady) {
        now.steady = steady;
        return feed();
    }
    server& finish() {
        session_.finish();
        return feed();
    }
    // At most so much of the output; says whether there was any.
    bool write(std::size_t at_most = SIZE_MAX) {
        bool wrote = false;
        for (;;) {
            const gather waiting = session_.output();
            const bytes part = waiting.head.empty() ? waiting.body : waiting.head;
            const std::size_t size = std::min(at_most, part.size());
            if (size == 0) return wrote;
            said.insert(said.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(size));
            session_.consume(size);
            at_most -= size;
            wrote = true;
        }
    }
    void writes(bool on) { plan_.writes = on; }
    void answers(bool on) { plan_.answers = on; }

    const std::string& events() const { return events_; }
    // The lines since the last question; and the messages since then.
    std::string news() { return events_.substr(std::exchange(asked_, events_.size())); }
    std::string heard() {
        const bytes all = said;
        return words(all.subspan(std::exchange(heard_, said.size())));
    }
    std::string last() const {
        const std::size_t at = events_.find_last_of('\n', events_.size() - 2);
        return events_.substr(at == std::string::npos ? 0 : at + 1);
    }
    std::size_t left() const { return held_.size(); }

    instant now{1'000'000, postgres_epoch};
    buffer said;
    buffer uploaded; // manifests

  private:
    plan plan_;

  public:
    lsn end; // of the log

  private:
    void turn(bytes& in) {
        for (;;) {
            const std::size_t before = in.size();
            bool moved = false;
            while (const auto told = session_.poll(in, now)) {
                moved = true;
                note(*told);
                std::visit([this](const auto& each) { answer(each); }, *told);
                if (plan_.writes) write();
            }
            moved = lend() || moved;
            if (plan_.writes) moved = write() || moved;
            if (!moved && in.size() == before) return;
        }
    }
    // The runs of one manifest are told as one.
    void note(const primary::event& told) {
        if (const auto* const run = std::get_if<primary::manifest_uploaded>(&told)) {
            CHECK(!run->data.empty());
            uploaded = uploaded + of(run->data);
            return;
        }
        const bool ends = std::holds_alternative<primary::manifest_whole>(told);
        if (ends) events_ += "uploaded " + std::to_string(uploaded.size()) + '\n';
        events_ += std::visit(renders{}, told) + '\n';
    }
    // Whatever was given back is spoilt at once.
    bool lend() {
        const bool wanted = session_.wants_wal();
        if (wanted || !session_.streaming()) std::fill(lent_.begin(), lent_.end(), std::byte{0xdd});
        if (!wanted || !plan_.answers || session_.next() >= end) return false;
        const std::uint64_t next = session_.next().value;
        lent_.resize(std::min<std::size_t>(end.value - next, plan_.lent_at_once));
        for (std::size_t i = 0; i < lent_.size(); ++i) lent_[i] = byte_at(next + i);
        CHECK(session_.send(lent_) == errc::none);
        return true;
    }

    template <class Event>
    void answer(const Event&) {}
    void answer(const primary::tls_accepted&) {
        if (plan_.admits) CHECK(session_.secured(plan_.binding) == errc::none);
    }
    void answer(const primary::login_requested&) {
        if (plan_.admits)
            CHECK(session_.admit(plan_.how, plan_.secret ? &secret_ : nullptr) == errc::none);
    }
    void answer(const primary::identify_system&) {
        if (plan_.answers)
            CHECK(session_.answer(primary::system_identity{~0ull, {3}, end, {}}) == errc::none);
    }
    void answer(const primary::show& told) {
        if (plan_.answers)
            CHECK(session_.answer(primary::setting{told.name, "16MB"}) == errc::none);
    }
    void answer(const primary::timeline_history& told) {
        if (plan_.answers)
            CHECK(session_.answer(primary::history_content{*told.timeline, as_bytes(history)}) ==
                  errc::none);
    }
    void answer(const primary::create_replication_slot& told) {
        if (plan_.answers)
            CHECK(session_.answer(primary::created_slot{told.name, {}, {}, {}}) == errc::none);
    }
    void answer(const primary::read_replication_slot& told) {
        if (plan_.answers)
            CHECK(session_.answer(primary::slot_state{told.name == "s", start, {3}}) == errc::none);
    }
    void answer(const primary::drop_replication_slot&) {
        if (plan_.answers) CHECK(session_.complete() == errc::none);
    }
    void answer(const primary::alter_replication_slot&) {
        if (plan_.answers) CHECK(session_.complete() == errc::none);
    }
    void answer(const primary::sql&) {
        if (plan_.answers) CHECK(session_.refuse(primary::sql_refused) == errc::none);
    }
    void answer(const primary::start_replication&) {
        if (!plan_.answers) return;
        const errc code = session_.stream({{3}, end, plan_.next, plan_.switch_point});
        // Another timeline than the third.
        if (code == errc::argument_invalid)
            CHECK(session_.refuse({"XX000", "no such timeline", {}, {}, false}) == errc::none);
        else
            CHECK(code == errc::none);
    }

  public:
    std::string history = "1\t0/1000000\tno recovery target specified\n";

  private:
    buffer stash_;
    buffer out_;
    buffer lent_;
    auth::stored_secret secret_;
    primary::session session_;
    buffer held_;
    std::string events_;
    std::size_t asked_ = 0;
    std::size_t heard_ = 0;
};

// What the server is told of the client's words and says to them: the same whole, byte by byte and
// cut in two anywhere, or else how it differs. The byte that answers an encryption request is
// waited for.
inline std::string both(const plan& chosen, const buffer& client, std::size_t splits = 200) {
    std::string whole;
    const std::string differs = support::difference(
        client,
        [&](support::chunks& chunks) {
            server hears(chosen);
            while (const auto chunk = chunks.next()) hears.feed(*chunk);
            const std::string seen = hears.events() + '|' + shown(hears.said);
            if (whole.empty()) whole = hears.events();
            return seen;
        },
        splits);
    return differs.empty() ? whole : "the chunks matter: " + differs;
}
inline std::string ending(const plan& chosen, const buffer& client, std::size_t splits = 60) {
    const std::string all = both(chosen, client, splits);
    const std::size_t at = all.find_last_of('\n', all.size() - 2);
    return all.substr(at == std::string::npos ? 0 : at + 1);
}
inline std::string failure(errc code, std::size_t offset) {
    return renders{}(primary::failed{{code, offset}}) + '\n';
}
inline std::string tail(const std::string& lines, std::size_t count) {
    std::size_t at = lines.size();
    while (count-- > 0 && at != std::string::npos && at > 0) at = lines.find_last_of('\n', at - 2);
    return lines.substr(at == std::string::npos ? 0 : at + (at > 0));
}

// The client is in, and has asked to stream.
inline buffer opening() {
    return startup();
}
inline buffer streaming() {
    return startup() + start_streaming();
}
inline server& in(server& hears) {
    hears.feed(startup());
    hears.news();
    hears.heard();
    return hears;
}
inline server& stream(server& hears) {
    hears.feed(streaming());
    hears.news();
    hears.heard();
    return hears;
}

// One thing that a client may say: what the server answers, and the code by which it ends.
struct thing {
    std::string comes_in;
    buffer said;
    errc code;
    std::string answered; // the last message, or nothing
};
// Each ends the session with its code, at the first byte of what came in, in any pieces.
inline void refuses(const plan& chosen, const buffer& before, const std::vector<thing>& things) {
    for (const thing& each : things) {
        CAPTURE(each.comes_in);
        CHECK(ending(chosen, before + each.said) == failure(each.code, before.size()));
        server hears(chosen);
        hears.feed(before);
        hears.heard();
        hears.feed(each.said);
        const std::string answered = hears.heard();
        CHECK(answered == (each.answered.empty() ? "" : "E FATAL " + each.answered + "\n"));
    }
}

} // namespace caller
