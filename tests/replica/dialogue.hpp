// A small server's words, and a client that hears them: for the tests of a replica's session.
//
// What a server says is built by the wire's own encoders, or put together by hand where no encoder
// would say such a thing. The client is a session with the thinnest owner there can be. It keeps
// what it was told as text, a line for each event, and everything that it said.
#pragma once

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
#include <walwire/replica/session.hpp>
#include <walwire/wire/command.hpp>

#include "replica/replayed.hpp"
#include "support/exhaustive.hpp"
#include "wire/spelled.hpp"

namespace dialogue {

using namespace walwire;
using spelled::buffer;
using spelled::of;

// What the server says.

template <class Put>
buffer built(Put&& put_into) {
    buffer room(64 * 1024);
    writer out(room);
    put_into(out);
    if (!out.ok()) throw std::runtime_error("no room for the server's words");
    room.resize(out.size());
    return room;
}

// The first five bytes of a message, whatever follows them.
inline buffer header(char tag, std::uint32_t length) {
    return built([&](writer& out) {
        out.u8(static_cast<std::uint8_t>(tag));
        out.u32(length);
    });
}
// The beginning of a message of this size.
inline buffer large(char tag, std::uint32_t size) {
    return header(tag, size + 4) + buffer(100, std::byte{'x'});
}
// Any tag, any body, the right length.
inline buffer message(char tag, const buffer& body) {
    return header(tag, static_cast<std::uint32_t>(body.size() + 4)) + body;
}
inline buffer message(char tag, std::string_view body) {
    return message(tag, of(body));
}

inline buffer authentication(std::uint32_t code, const buffer& data = {}) {
    return message('R', built([&](writer& out) { out.u32(code); }) + data);
}
inline buffer authentication(std::uint32_t code, std::string_view data) {
    return authentication(code, of(data));
}
inline buffer parameter(std::string_view name, std::string_view value) {
    return built([&](writer& out) { put(out, wire::parameter_status{name, value}); });
}
inline buffer key(std::size_t size = 4) {
    const buffer secret(size, std::byte{7});
    return built([&](writer& out) { put(out, wire::backend_key_data{77, secret}); });
}
inline buffer ready(char status = 'I') {
    return message('Z', std::string_view(&status, 1));
}
inline buffer report(char tag, std::string_view severity, std::string_view sqlstate) {
    wire::error_fields fields;
    fields.severity = severity;
    fields.sqlstate = sqlstate;
    fields.message = "so it is";
    return built([&](writer& out) { put(out, wire::backend_tag{std::uint8_t(tag)}, fields); });
}
inline buffer mistake(std::string_view sqlstate) {
    return report('E', "ERROR", sqlstate);
}
inline buffer fatal(std::string_view sqlstate) {
    return report('E', "FATAL", sqlstate);
}
inline buffer notice() {
    return report('N', "WARNING", "01000");
}
inline buffer negotiation(std::uint32_t version, std::uint32_t count, std::string_view names = {}) {
    const buffer numbers = built([&](writer& out) {
        out.u32(version);
        out.u32(count);
    });
    return message('v', numbers + of(names));
}

using value = std::optional<std::string_view>;

inline buffer columns(std::size_t count) {
    const std::vector<wire::column> described(count, wire::column{"c"});
    return built([&](writer& out) { put(out, std::span<const wire::column>(described)); });
}
inline buffer row(std::initializer_list<value> values) {
    return built([&](writer& out) { wire::put(out, std::span<const value>(values)); });
}
inline buffer completed(std::string_view tag = "SELECT") {
    return built([&](writer& out) { put(out, wire::command_complete{tag}); });
}
// One row and nothing unusual.
inline buffer answer(std::initializer_list<value> values) {
    return columns(values.size()) + row(values) + completed() + ready();
}

inline buffer copy_both() {
    return message('W', buffer(3));
}
inline buffer copy_done() {
    return message('c', "");
}
inline buffer wal_front(lsn start, std::uint32_t size, std::uint64_t server_end = 0) {
    const wire::wal_data_head head{start, lsn{server_end}, 0};
    return built([&](writer& out) { put(out, head, size); });
}
// Every byte tells where it stands.
inline buffer payload(lsn start, std::size_t size) {
    buffer made(size);
    for (std::size_t i = 0; i < size; ++i) made[i] = std::byte((start.value + i) * 7 % 251);
    return made;
}
inline buffer wal_message(lsn start, std::uint32_t size) {
    return wal_front(start, size) + payload(start, size);
}
inline buffer keepalive(lsn end, bool reply = false) {
    return built([&](writer& out) { put(out, wire::primary_keepalive{end, 0, reply}); });
}

// From AuthenticationOk to the first ReadyForQuery.
inline buffer admission() {
    return parameter("server_version", "18.4") + key() + ready();
}
inline buffer trusted() {
    return authentication(0) + admission();
}
inline constexpr lsn start{0x3000000};
// The client's first command is to stream, and it may.
inline buffer streaming() {
    return trusted() + copy_both();
}

// The client.

// libcrypto, but every nonce is the same.
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

struct plan {
    replica::options options = usual();
    std::vector<wire::command> commands; // one at each `ready`; after the last it waits
    std::string password = "pencil";
    buffer binding;      // what secured() is told
    bool answers = true; // handshakes and passwords, at once
    bool writes = true;  // all output, at once
    std::size_t stash = stash_size;
    std::size_t out = out_size;

    static replica::options usual() {
        replica::options chosen;
        chosen.user = "repl";
        chosen.crypto = &crypto();
        return chosen;
    }
};

inline plan streams(lsn from = start) {
    plan made;
    made.commands = {wire::start_replication{"", from, timeline_id{3}}};
    return made;
}
inline plan asks(const wire::command& command) {
    plan made;
    made.commands = {command};
    return made;
}

class client {
  public:
    explicit client(const plan& chosen)
        : plan_(chosen), stash_(chosen.stash), out_(chosen.out),
          session_(chosen.options, {stash_, out_}) {
        feed({});
    }

    replica::session& session() noexcept { return session_; }
    replica::session* operator->() noexcept { return &session_; }

    // What came from the server, until there is nothing more to tell about it. The byte that
    // answers an encryption request comes alone: what follows it in these tests has come through
    // TLS.
    void feed(bytes in) {
        while (in.size() > 1 && awaits_a_byte()) {
            poll(in.first(1));
            in = in.subspan(1);
        }
        poll(in);
    }
    // Nothing came, and it is now this time.
    void wait_until(std::int64_t steady) {
        now.steady = steady;
        poll({});
    }
    void finish() {
        session_.finish();
        poll({});
    }
    // As one chunk, even behind an answer to an encryption request.
    void poll(bytes in) {
        while (const auto told = session_.poll(in, now)) {
            note(*told);
            answer(*told);
            if (plan_.writes) write();
        }
        if (plan_.writes) write();
        left = in.size();
    }
    void write(std::size_t at_most = SIZE_MAX) {
        const bytes head = session_.output().head;
        const std::size_t size = std::min(at_most, head.size());
        said.insert(said.end(), head.begin(), head.begin() + static_cast<std::ptrdiff_t>(size));
        if (size > 0) session_.consume(size);
    }

    void writes(bool on) { plan_.writes = on; }

    // A line for each event, runs of one WAL message joined; and the lines since the last question.
    std::string events() {
        flush_wal();
        return events_;
    }
    std::string news() {
        const std::string all = events();
        return all.substr(std::exchange(asked_to_, all.size()));
    }

    // Whether eight bytes of a secret in a row stand anywhere in the session or in its memory.
    bool remembers(bytes secret) const {
        const bytes object(reinterpret_cast<const std::byte*>(&session_), sizeof session_);
        for (const bytes place : {object, bytes(stash_), bytes(out_)}) {
            for (std::size_t at = 0; at + 8 <= secret.size(); ++at)
                if (as_text(place).find(as_text(secret.subspan(at, 8))) != std::string_view::npos)
                    return true;
        }
        return false;
    }

    instant now{1'000'000, 0};
    buffer said;
    std::size_t left = 0; // bytes that the last poll did not eat
    std::optional<error> reason;
    buffer received; // the payloads

  private:
    bool awaits_a_byte() const {
        const wire::phase at = session_.at();
        return at > wire::phase::fresh && at < wire::phase::encrypting;
    }

    void note(const replica::event& told) {
        if (const auto* failed = std::get_if<replica::failed>(&told)) reason = failed->reason;
        if (const auto* run = std::get_if<replica::wal_data>(&told)) {
            if (run->begins) flush_wal();
            if (!joined_) joined_ = {run->start, 0};
            joined_->second += run->data.size();
            received.insert(received.end(), run->data.begin(), run->data.end());
            if (run->ends) flush_wal();
            return;
        }
        flush_wal();
        if (const auto* run = std::get_if<replica::copy_data>(&told)) {
            if (run->begins) copied_.clear();
            copied_ += as_text(run->data);
            if (run->ends) events_ += "copied " + replayed::shown(copied_) + '\n';
            return;
        }
        if (const auto* run = std::get_if<replica::entry_data>(&told)) {
            if (run->begins) copied_.clear();
            copied_ += as_text(run->data);
            received.insert(received.end(), run->data.begin(), run->data.end());
            if (!run->ends) return;
            replica::entry_data whole = *run;
            whole.data = as_bytes(copied_);
            events_ += replayed::rendering(whole) + '\n';
            return;
        }
        events_ += replayed::rendering(told) + '\n';
    }
    void flush_wal() {
        if (!joined_) return;
        events_ +=
            "wal " + replayed::shown(joined_->first) + '+' + std::to_string(joined_->second) + '\n';
        joined_.reset();
    }

    void answer(const replica::event& told) {
        if (std::holds_alternative<replica::ready>(told) && next_ < plan_.commands.size())
            static_cast<void>(session_.ask(plan_.commands[next_++]));
        if (!plan_.answers) return;
        if (std::holds_alternative<replica::tls_accepted>(told) ||
            std::holds_alternative<replica::gss_accepted>(told))
            static_cast<void>(session_.secured(plan_.binding));
        if (std::holds_alternative<replica::password_wanted>(told))
            static_cast<void>(session_.give_password(plan_.password));
    }

    plan plan_;
    buffer stash_;
    buffer out_;
    replica::session session_;
    std::size_t next_ = 0;
    std::string events_;
    std::size_t asked_to_ = 0;
    std::optional<std::pair<lsn, std::size_t>> joined_;
    std::string copied_; // of the message that is being read
};

// What a client is told of the server's words: the same whole, byte by byte and cut in two
// anywhere, or else how it differs.
inline std::string heard(const plan& chosen, const buffer& server, std::size_t splits = 200) {
    std::string whole;
    const std::string differs = support::difference(
        server,
        [&](support::chunks& chunks) {
            client hears(chosen);
            while (const auto chunk = chunks.next()) hears.feed(*chunk);
            if (whole.empty()) whole = hears.events();
            return hears.events();
        },
        splits);
    return differs.empty() ? whole : "the chunks matter: " + differs;
}
inline std::string last_line(const std::string& text) {
    const std::size_t end = text.find_last_of('\n');
    if (end == std::string::npos) return text;
    const std::size_t before = text.find_last_of('\n', end - 1);
    return text.substr(before == std::string::npos ? 0 : before + 1, end - before - 1);
}
inline std::string ending(const plan& chosen, const buffer& server, std::size_t splits = 200) {
    return last_line(heard(chosen, server, splits));
}
inline std::string failure(errc code, std::size_t offset) {
    return replayed::rendering(replica::failed{{code, offset}});
}

// One thing that a server may say and a client must not take.
struct thing {
    std::string comes_in;
    buffer said;
    errc code;
};

// Each ends the session with its code, at the first byte of what came in, in any pieces.
inline void refuses(const plan& chosen, const buffer& before, const std::vector<thing>& things) {
    for (const thing& each : things) {
        CAPTURE(each.comes_in);
        CHECK(ending(chosen, before + each.said, 60) == failure(each.code, before.size()));
    }
}

// Each is taken, and this is the last that it leads to.
struct harmless {
    std::string comes_in;
    buffer said;
    std::string told;
};
inline void takes(const plan& chosen, const buffer& before, const std::vector<harmless>& things) {
    for (const harmless& each : things) {
        CAPTURE(each.comes_in);
        CHECK(ending(chosen, before + each.said, 60) == each.told);
    }
}

// What a client said behind its start-up packets, a line for each message.
inline std::string words(bytes said) {
    while (said.size() >= 8 && said[0] == std::byte{0})
        said = said.subspan(load<std::uint32_t>(said.data()));
    std::string text;
    buffer stash(1 << 16);
    wire::framer framer(stash);
    while (!said.empty()) {
        const auto got = framer.next(said, {1 << 15, 0, wire::copy_content::whole});
        if (got.kind != wire::piece_kind::message) return text + "half a message";
        text += static_cast<char>(got.tag);
        if (got.tag == 'Q') text += ' ' + std::string(wire::parse_query(got.data)->text);
        if (got.tag == 'd' && got.data[0] == std::byte{'r'}) {
            const auto status = *wire::parse_standby_status_update(got.data);
            text = text.substr(0, text.size() - 1) + "r " + replayed::shown(status.written) + ' ' +
                   replayed::shown(status.flushed) + ' ' + replayed::shown(status.applied) +
                   (status.reply_requested ? " reply" : "");
        } else if (got.tag == 'd' && got.data[0] == std::byte{2}) {
            const auto status = *aiondb::parse_standby_status_update(got.data);
            text = text.substr(0, text.size() - 1) + "s " + std::to_string(status.written.value) +
                   ' ' + std::to_string(status.flushed.value) + ' ' +
                   std::to_string(status.applied.value);
        } else if (got.tag == 'd') {
            text = text.substr(0, text.size() - 1) + "h";
        }
        text += '\n';
    }
    return text;
}

} // namespace dialogue
