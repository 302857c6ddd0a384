// A recorded conversation cut into messages, for those who play the server's part in it again.
//
// What a session does otherwise than the recorded server on purpose is put aside here, by name and
// with its reason; all else is compared.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/auth/base64.hpp>
#include <walwire/auth/openssl.hpp>
#include <walwire/primary/session.hpp>

#include "support/transcript.hpp"

namespace recorded_server {

using namespace walwire;

// One message; tag 0 has none: a start-up packet, or the bare byte that answers an encryption
// request.
struct spoken {
    char tag = 0;
    bytes whole;
    bytes body;
};
struct request : spoken {
    std::size_t after = 0; // so many of the server's messages had come when it was sent
};

// A recording cut into messages. `server` has only what is compared; the rest is in `asides`.
struct recording {
    explicit recording(const support::transcript& from);

    const support::transcript* text;
    std::vector<request> client;
    std::vector<spoken> server;
    std::vector<std::string>
        asides; // why a message of the server's is not compared, or not as it is
    wire::startup_message startup{};
    std::size_t requests = 0; // for encryption
    bool server_left_first = false;
    std::string reason; // why it is not played at all; empty when it is

    bool is(std::string_view name) const { return text->name().find(name) != std::string::npos; }
    std::string_view parameter(std::string_view name) const {
        std::string_view value;
        wire::parameters list = startup.list();
        while (const auto pair = list.next())
            if (pair->name == name) value = pair->value;
        return value;
    }
    // All that the client uploaded, of manifests that it gave up too.
    std::vector<std::byte> uploads() const {
        std::vector<std::byte> all;
        if (!first('G')) return all;
        for (const request& each : client)
            if (each.tag == 'd') all.insert(all.end(), each.body.begin(), each.body.end());
        return all;
    }
    // The body of the first message of this kind.
    std::optional<bytes> first(char tag) const {
        for (const spoken& each : server)
            if (each.tag == tag) return each.body;
        return std::nullopt;
    }

  private:
    void cut_client(std::size_t size);
    void cut_server();
    void put_aside(std::vector<std::size_t>& kept);
    void cut_down(const spoken& said, std::vector<spoken>& into);
    void judge();

    std::vector<std::vector<std::byte>> made_;
};

inline recording::recording(const support::transcript& from) : text(&from) {
    std::size_t client_at = 0, server_at = 0;
    std::map<std::size_t, std::size_t> server_bytes_at; // by the end of a client's record
    for (const support::record& each : from.records()) {
        const bool client_spoke = each.from == support::side::client;
        if (each.what == support::deed::said) {
            (client_spoke ? client_at : server_at) += each.data.size();
            if (client_spoke) server_bytes_at[client_at] = server_at;
            continue;
        }
        server_left_first = !client_spoke;
        break; // what comes behind finds nobody
    }
    cut_client(client_at);
    cut_server();
    std::vector<std::size_t> kept; // how many are kept of those that end at or before an offset
    std::vector<std::size_t> offsets;
    for (const spoken& each : server)
        offsets.push_back((offsets.empty() ? 0 : offsets.back()) + each.whole.size());
    put_aside(kept);
    std::size_t at = 0;
    for (request& each : client) {
        at += each.whole.size();
        const std::size_t said = server_bytes_at.lower_bound(at)->second;
        const auto count = std::upper_bound(offsets.begin(), offsets.end(), said);
        each.after = kept[static_cast<std::size_t>(count - offsets.begin())];
    }
    judge();
}

inline void recording::cut_client(std::size_t size_of_all) {
    bytes rest = text->said(support::side::client).first(size_of_all);
    bool started = false;
    while (!rest.empty()) {
        const std::size_t header = started ? wire::header_size : wire::length_size;
        std::size_t size = rest.size();
        if (size >= header) {
            const std::size_t length =
                load<std::uint32_t>(rest.data() + header - 4) + header - wire::length_size;
            size = std::min(size, std::max(length, header));
        }
        request cut;
        cut.whole = rest.first(size);
        if (size >= header) cut.body = cut.whole.subspan(header);
        if (started) cut.tag = static_cast<char>(rest[0]);
        if (!started) {
            if (const auto packet = wire::parse_startup_packet(cut.body)) {
                if (const auto* said = std::get_if<wire::startup_message>(&*packet)) {
                    startup = *said;
                    started = true;
                } else if (!std::holds_alternative<wire::cancel_request>(*packet)) {
                    ++requests;
                }
            }
        }
        client.push_back(cut);
        rest = rest.subspan(size);
    }
}

inline void recording::cut_server() {
    bytes rest = text->said(support::side::server);
    for (std::size_t i = 0; i < requests && !rest.empty(); ++i) {
        server.push_back({0, rest.first(1), {}});
        rest = rest.subspan(1);
    }
    while (rest.size() >= wire::header_size) {
        const std::size_t size = 1 + load<std::uint32_t>(rest.data() + 1);
        if (size > rest.size()) break;
        server.push_back({static_cast<char>(rest[0]), rest.first(size), rest.subspan(5, size - 5)});
        rest = rest.subspan(size);
    }
    if (!rest.empty()) reason = "the recorded server stopped in the middle of a message";
}

// What a session does otherwise than the recorded server on purpose, message by message.
inline void recording::put_aside(std::vector<std::size_t>& kept) {
    std::vector<spoken> compared;
    bool in = false;
    kept.push_back(0);
    for (std::size_t i = 0; i < server.size(); ++i) {
        const spoken& each = server[i];
        const spoken* const next = i + 1 < server.size() ? &server[i + 1] : nullptr;
        const bool ok = each.tag == 'R' && load<std::uint32_t>(each.body.data()) == 0;
        if (in && each.tag == 'S')
            asides.push_back("a setting that changed during the connection: a session tells its "
                             "settings once");
        else if (each.tag == 'T' && next != nullptr && next->tag == 'E')
            asides.push_back("the columns of a history that there is none of: a session describes "
                             "a row only when it has one");
        else if (ok && next != nullptr && next->tag == 'E')
            asides.push_back("AuthenticationOk before a refusal: a session is told who may come in "
                             "before it says so");
        else if (each.tag == 'd' && each.body.empty())
            asides.push_back(
                "a message of an archive that has no byte of it: a session sends none");
        else if (each.tag == 'd' && each.body.size() > 1 + backup::archive_message_size_max &&
                 each.body[0] == std::byte{'d'}) {
            asides.push_back(
                "a message of a compressed archive beyond 32 KiB: a session cuts there");
            cut_down(each, compared);
        } else
            compared.push_back(each);
        in = in || each.tag == 'Z';
        kept.push_back(compared.size());
    }
    server = std::move(compared);
}

inline void recording::cut_down(const spoken& said, std::vector<spoken>& into) {
    for (bytes rest = said.body.subspan(1); !rest.empty();) {
        const bytes part = rest.first(std::min(rest.size(), backup::archive_message_size_max));
        rest = rest.subspan(part.size());
        std::vector<std::byte>& made = made_.emplace_back(wire::header_size + 1 + part.size());
        writer out(made);
        out.u8('d');
        out.u32(static_cast<std::uint32_t>(wire::length_size + 1 + part.size()));
        out.u8('d');
        out.append(part);
        into.push_back({'d', made, bytes(made).subspan(wire::header_size)});
    }
}

inline void recording::judge() {
    const auto mode = wire::parse_replication_mode(parameter("replication"));
    const bool packet = startup.version.major_part() == 3;
    if (packet && parameter("replication").empty())
        reason = "not a replication connection: a primary serves nothing else";
    else if (packet && mode && *mode == wire::replication_mode::off)
        reason = "not a replication connection: a primary serves nothing else";
    for (std::size_t i = 0; i < server.size(); ++i) {
        const spoken& each = server[i];
        if (each.tag == 0 && each.whole[0] == std::byte{'G'}) reason = "GSSAPI encryption";
        if (each.tag == 'Z' && each.body[0] != std::byte{'I'})
            reason = "SQL in a transaction block: a session's is always idle";
    }
    for (std::size_t i = 0; i < client.size(); ++i) {
        if (client[i].tag != 'Q') continue;
        const std::string_view query = as_text(client[i].body);
        const std::size_t after = client[i].after;
        if (query.find("LOGICAL") != std::string_view::npos &&
            query.starts_with("START_REPLICATION") && after < server.size() &&
            server[after].tag == 'W')
            reason = "a logical stream";
    }
}

// A message as it is compared: an error without the place in the server's source, all else as its
// bytes are.
inline std::string comparable(const spoken& said) {
    std::string shown(1, said.tag == 0 ? '-' : said.tag);
    if (said.tag != 'E' && said.tag != 'N') return shown + std::string(as_text(said.whole));
    reader in(said.body);
    while (const std::uint8_t field = in.u8()) {
        const std::string_view value = in.c_string();
        if (std::string_view("FLRWP").find(static_cast<char>(field)) != std::string_view::npos)
            continue;
        shown += std::string(1, static_cast<char>(field)) + std::string(value) + '|';
    }
    return shown;
}

// From 16 on the settings come in the order of a hash table.
inline std::vector<std::string> comparable(const std::vector<spoken>& all, int major_version) {
    std::vector<std::string> shown;
    for (const spoken& each : all) shown.push_back(comparable(each));
    auto first = shown.begin();
    while (major_version >= 16 && first != shown.end()) {
        first = std::find_if(first, shown.end(), [](const auto& line) { return line[0] == 'S'; });
        const auto last =
            std::find_if(first, shown.end(), [](const auto& line) { return line[0] != 'S'; });
        std::sort(first, last);
        first = last;
    }
    return shown;
}

inline const std::string& password_of(std::string_view user) {
    static const std::map<std::string_view, std::string> passwords{
        {"u_md5", "md5secret"},     {"u_scram", "scramsecret"}, {"u_mixed", "mixedsecret"},
        {"u_prep", "IXIX"},         {"u_clear", "clearsecret"}, {"u_norepl", "noreplsecret"},
        {"u_trust", "trustsecret"},
    };
    static const std::string none;
    const auto found = passwords.find(user);
    return found == passwords.end() ? none : found->second;
}

// What the recorded exchange drew at random: the bytes behind a nonce, or an MD5 salt.
struct drawn {
    std::array<std::byte, 18> random{};
    std::array<std::byte, 64> salt{};
    std::size_t salt_size = 0;
};

inline drawn draws_of(const recording& from) {
    drawn made;
    for (const spoken& each : from.server) {
        const auto said = each.tag == 'R' ? wire::parse_authentication(each.body)
                                          : result<wire::authentication>(errc::not_now);
        if (!said) continue;
        if (said->code == wire::authentication_code::md5_password)
            std::copy(said->data.begin(), said->data.end(), made.random.begin());
        if (said->code != wire::authentication_code::sasl_continue) continue;
        const std::string_view text = as_text(said->data);
        const std::size_t salt = text.find(",s="), rounds = text.find(",i=");
        const std::string_view nonce = text.substr(0, salt);
        static_cast<void>(auth::parse_base64(nonce.substr(nonce.size() - 24), made.random));
        const auto size = auth::parse_base64(text.substr(salt + 3, rounds - salt - 3), made.salt);
        made.salt_size = size ? *size : 0;
    }
    return made;
}

// The SHA-256 of the certificate that the recorded server of this version showed.
inline auth::sha256_digest certificate_hash(const recording& from) {
    std::ifstream file(WALWIRE_TRANSCRIPTS "/" + from.text->name().substr(0, 4) +
                       "/tls_server_cert.pem");
    std::string line, body;
    while (std::getline(file, line))
        if (!line.starts_with('-')) body += line;
    std::vector<std::byte> certificate(body.size());
    const auto size = auth::parse_base64(body, certificate);
    auth::sha256_digest hash{};
    const auth::crypto with = auth::openssl();
    if (size) static_cast<void>(auth::sha256(with, {bytes(certificate).first(*size)}, hash));
    return hash;
}

} // namespace recorded_server
