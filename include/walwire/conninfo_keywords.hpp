// What a connection string can say: every keyword, the type and unit of its value, its default; and
// how to print it. conninfo.hpp reads the text and teaches its two forms.
//
// The keywords are libpq's, and replication_slot, which standbys of PostgreSQL set beside their
// connection string and AionDB's inside it. Missing on purpose are those that would promise what
// the library does not do: several hosts and how to choose among them, services, revocation lists,
// passphrases of keys.
//
// Source of truth: the manual, "Parameter Key Words" of libpq.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "bytes.hpp"
#include "error.hpp"
#include "lsn.hpp"

namespace walwire {

// Beyond any of these: conninfo_too_long. They bound what a hostile or mangled text can cost; the
// longest honest values are paths (4096 bytes on Linux).
inline constexpr std::size_t conninfo_size_max = 16 * 1024;  // the whole text, bytes
inline constexpr std::size_t conninfo_keywords_max = 32;     // assignments, parts of a URI included
inline constexpr std::size_t conninfo_keyword_size_max = 64; // bytes, decoded
inline constexpr std::size_t conninfo_value_size_max = 4 * 1024; // bytes, decoded

// Room in which to_text() prints whatever was parsed. Escaping doubles a text at most, a hostaddr
// may stand for the host as well, and the keywords take the rest.
inline constexpr std::size_t conninfo_printed_size_max =
    2 * (conninfo_size_max + conninfo_value_size_max) + 1024;

// Ordered from the weakest to the strongest.
enum class ssl_mode : std::uint8_t {
    disable,     // never TLS
    allow,       // plain first, TLS if the server refuses that
    prefer,      // TLS first, plain if the server has none
    require,     // TLS or nothing; who is at the other end stays unproven (but see verifies_chain)
    verify_ca,   // and a certificate that sslrootcert vouches for
    verify_full, // and that certificate names `host`
};

enum class ssl_negotiation : std::uint8_t {
    postgres, // ask by SSLRequest first
    direct,   // begin TLS at once, with ALPN (PostgreSQL 17)
};

enum class channel_binding_mode : std::uint8_t { disable, prefer, require };

enum class gss_mode : std::uint8_t { disable, prefer, require };

// What a connection string says. A default-constructed one is what the empty text means. All views
// lie in the storage that the parser was given, or in the library's constants. An empty view means:
// not set.
struct conninfo {
    // A name, a numeric address, or the directory of a Unix socket, which begins with '/', or with
    // '@' in the abstract namespace. It is the name that a certificate is checked against. When
    // only hostaddr is set it is the same as that. Never empty after parsing.
    std::string_view host = "127.0.0.1";
    // The numeric address to connect to instead of resolving `host`. Default: none.
    std::string_view hostaddr{};
    std::uint16_t port = 5432; // TCP port, or the suffix of the socket file; 1 to 65535

    std::string_view user = "replicator";
    std::string_view password{}; // default: none, ask for it or look into passfile
    std::string_view passfile{}; // path of a password file; default: none
    std::string_view dbname{};   // default: none, physical replication needs none
    // What pg_stat_replication shows and synchronous_standby_names lists. Default: none.
    std::string_view application_name{};
    std::string_view options{}; // command-line options for the server process; default: none
    // The slot to stream from, 1 to 63 of [a-z0-9_]; default: none. Also spelled slot_name.
    std::string_view replication_slot{};
    // Seconds that one attempt to connect may take. 0, the default, leaves it to the session's
    // options; a negative number means the same, as in libpq. 1 is one second: libpq's rounding up
    // is not done.
    std::uint32_t connect_timeout = 0;

    // Ignored on a Unix socket, as in libpq.
    ssl_mode sslmode = ssl_mode::prefer;
    ssl_negotiation sslnegotiation = ssl_negotiation::postgres; // direct needs sslmode >= require
    // Path of the trusted root certificates, or "system" for the machine's own, which raises the
    // default of sslmode to verify-full and refuses anything weaker. Default: none. Also spelled
    // ssl_root_cert.
    std::string_view sslrootcert{};
    std::string_view sslcert{}; // path of the client certificate; default: none
    std::string_view sslkey{};  // path of its private key; default: none
    // GSSAPI encryption. The default differs from libpq's prefer, because the library has no
    // GSSAPI: an adapter that cannot do it either must refuse `require`.
    gss_mode gssencmode = gss_mode::disable;

    channel_binding_mode channel_binding = channel_binding_mode::prefer;
    // The authentication methods that may be used, comma-separated, as written. auth/password.hpp
    // reads the list. Default: none, any.
    std::string_view require_auth{};

    // The wire's version words: 3.0 is 0x30000, 3.2 is 0x30002. The default is 3.0 for both, as in
    // libpq 18; a minimum above that raises the default of the maximum to 3.2.
    std::uint32_t min_protocol_version = 3u << 16;
    std::uint32_t max_protocol_version = 3u << 16;

    // Whether the link goes through a Unix socket.
    constexpr bool local() const noexcept {
        return hostaddr.empty() && !host.empty() && (host[0] == '/' || host[0] == '@');
    }
    // Whether the server's certificate must be vouched for by sslrootcert. As in libpq, `require`
    // with root certificates at hand checks them too; without, it encrypts and verifies nothing.
    constexpr bool verifies_chain() const noexcept {
        return sslmode >= ssl_mode::verify_ca ||
               (sslmode == ssl_mode::require && !sslrootcert.empty());
    }
    // Whether the certificate must name `host`.
    constexpr bool verifies_name() const noexcept { return sslmode == ssl_mode::verify_full; }

    friend constexpr bool operator==(const conninfo&, const conninfo&) noexcept = default;
};

namespace detail {

// The words of each choice, in the order of its enumerators.
inline constexpr std::array<std::string_view, 6> ssl_modes{"disable", "allow",     "prefer",
                                                           "require", "verify-ca", "verify-full"};
inline constexpr std::array<std::string_view, 2> ssl_negotiations{"postgres", "direct"};
inline constexpr std::array<std::string_view, 3> three_modes{"disable", "prefer", "require"};

// Each keyword once, in the order in which they are printed; `count` is not one of them.
enum class conninfo_keyword : std::uint8_t {
    host,
    hostaddr,
    port,
    user,
    password,
    passfile,
    dbname,
    application_name,
    options,
    replication_slot,
    connect_timeout,
    sslmode,
    sslnegotiation,
    sslrootcert,
    sslcert,
    sslkey,
    gssencmode,
    channel_binding,
    require_auth,
    min_protocol_version,
    max_protocol_version,
    count,
};

struct conninfo_row {
    std::string_view name;
    conninfo_keyword keyword;
    std::string_view conninfo::*text = nullptr; // the field, when it is kept as written
};

// Row i < count is keyword i under its own name; the aliases follow.
inline constexpr std::array<conninfo_row, 23> conninfo_rows{{
    {"host", conninfo_keyword::host, &conninfo::host},
    {"hostaddr", conninfo_keyword::hostaddr, &conninfo::hostaddr},
    {"port", conninfo_keyword::port},
    {"user", conninfo_keyword::user, &conninfo::user},
    {"password", conninfo_keyword::password, &conninfo::password},
    {"passfile", conninfo_keyword::passfile, &conninfo::passfile},
    {"dbname", conninfo_keyword::dbname, &conninfo::dbname},
    {"application_name", conninfo_keyword::application_name, &conninfo::application_name},
    {"options", conninfo_keyword::options, &conninfo::options},
    {"replication_slot", conninfo_keyword::replication_slot, &conninfo::replication_slot},
    {"connect_timeout", conninfo_keyword::connect_timeout},
    {"sslmode", conninfo_keyword::sslmode},
    {"sslnegotiation", conninfo_keyword::sslnegotiation},
    {"sslrootcert", conninfo_keyword::sslrootcert, &conninfo::sslrootcert},
    {"sslcert", conninfo_keyword::sslcert, &conninfo::sslcert},
    {"sslkey", conninfo_keyword::sslkey, &conninfo::sslkey},
    {"gssencmode", conninfo_keyword::gssencmode},
    {"channel_binding", conninfo_keyword::channel_binding},
    {"require_auth", conninfo_keyword::require_auth, &conninfo::require_auth},
    {"min_protocol_version", conninfo_keyword::min_protocol_version},
    {"max_protocol_version", conninfo_keyword::max_protocol_version},
    {"slot_name", conninfo_keyword::replication_slot, &conninfo::replication_slot},
    {"ssl_root_cert", conninfo_keyword::sslrootcert, &conninfo::sslrootcert},
}};

constexpr const conninfo_row& row_of(conninfo_keyword keyword) noexcept {
    return conninfo_rows[static_cast<std::size_t>(keyword)];
}

// As far as a text can tell without asking the system: digits and dots, or hexadecimal groups with
// colons and then perhaps the zone of a link-local address.
constexpr bool is_numeric_address(std::string_view text) noexcept {
    const bool six = text.find(':') != std::string_view::npos;
    const std::size_t zone = six ? text.find('%') : std::string_view::npos;
    for (const char c : text.substr(0, zone)) {
        const int digit = hex_digit(c);
        if (c != '.' && !(six && c == ':') && (digit < 0 || (digit > 9 && !six))) return false;
    }
    return zone == std::string_view::npos || zone + 1 < text.size();
}

constexpr bool is_slot_name(std::string_view text) noexcept {
    for (const char c : text) {
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_') return false;
    }
    return text.size() <= 63;
}

} // namespace detail

constexpr std::string_view to_text(ssl_mode mode) noexcept {
    return detail::ssl_modes[static_cast<std::size_t>(mode)];
}
constexpr std::string_view to_text(ssl_negotiation negotiation) noexcept {
    return detail::ssl_negotiations[static_cast<std::size_t>(negotiation)];
}
constexpr std::string_view to_text(channel_binding_mode mode) noexcept {
    return detail::three_modes[static_cast<std::size_t>(mode)];
}
constexpr std::string_view to_text(gss_mode mode) noexcept {
    return detail::three_modes[static_cast<std::size_t>(mode)];
}

namespace detail {

// Quoted unless every character is one that means only itself wherever it stands. Never empty: what
// is not set is not printed.
inline void put_conninfo_value(writer& out, std::string_view value) noexcept {
    bool plain = true;
    for (const char c : value) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        const bool digit = c >= '0' && c <= '9';
        plain = plain && (letter || digit ||
                          std::string_view("_-./:@%*,").find(c) != std::string_view::npos);
    }
    if (plain) {
        out.append(value);
        return;
    }
    out.append("'");
    for (const char c : value) {
        if (c == '\'' || c == '\\') out.append("\\");
        out.append(std::string_view(&c, 1));
    }
    out.append("'");
}

inline void put_conninfo_field(writer& out, const conninfo_row& row,
                               std::string_view value) noexcept {
    if (out.size() != 0) out.append(" ");
    out.append(row.name);
    out.append("=");
    put_conninfo_value(out, value);
}

// What stands behind the '=' of a keyword whose field is not a view. A number lives in `room`.
inline std::string_view conninfo_choice(const conninfo& info, conninfo_keyword keyword,
                                        decimal_text& room) noexcept {
    const auto version = [](std::uint32_t word) { return word == 3u << 16 ? "3.0" : "3.2"; };
    switch (keyword) {
    case conninfo_keyword::port: return room = decimal_text(info.port);
    case conninfo_keyword::connect_timeout: return room = decimal_text(info.connect_timeout);
    case conninfo_keyword::sslmode: return to_text(info.sslmode);
    case conninfo_keyword::sslnegotiation: return to_text(info.sslnegotiation);
    case conninfo_keyword::gssencmode: return to_text(info.gssencmode);
    case conninfo_keyword::channel_binding: return to_text(info.channel_binding);
    case conninfo_keyword::min_protocol_version: return version(info.min_protocol_version);
    default: return version(info.max_protocol_version);
    }
}

} // namespace detail

// The whole of it in keyword form, for logs: every choice and number, every view that is not empty,
// and `password=***` where there is a password. Parsed again it gives the same but for the
// password. Values are printed byte for byte, so a line break in one is a line break in the log.
// memory_too_small when `room` does not hold it; conninfo_printed_size_max always does for what was
// parsed.
inline result<std::string_view> to_text(const conninfo& info, std::span<char> room) noexcept {
    writer out(std::as_writable_bytes(room));
    for (std::size_t i = 0; i < static_cast<std::size_t>(detail::conninfo_keyword::count); ++i) {
        const detail::conninfo_row& row = detail::conninfo_rows[i];
        decimal_text number(0);
        if (row.text == nullptr) {
            detail::put_conninfo_field(out, row,
                                       detail::conninfo_choice(info, row.keyword, number));
        } else if (!(info.*row.text).empty()) {
            const bool secret = row.keyword == detail::conninfo_keyword::password;
            detail::put_conninfo_field(out, row, secret ? "***" : info.*row.text);
        }
    }
    if (!out.ok()) return errc::memory_too_small;
    return std::string_view(room.data(), out.size());
}

// Where to connect, as one text: "db.example.com:5432", "[2001:db8::7]:5432", or the path of the
// socket file, "/run/postgresql/.s.PGSQL.5432". memory_too_small when `room` does not hold it.
inline result<std::string_view> to_address(const conninfo& info, std::span<char> room) noexcept {
    writer out(std::as_writable_bytes(room));
    const std::string_view host = info.hostaddr.empty() ? info.host : info.hostaddr;
    const bool bracketed = !info.local() && host.find(':') != std::string_view::npos;
    if (bracketed) out.append("[");
    out.append(host);
    if (bracketed) out.append("]");
    out.append(info.local() ? "/.s.PGSQL." : ":");
    out.append(decimal_text(info.port));
    if (!out.ok()) return errc::memory_too_small;
    return std::string_view(room.data(), out.size());
}

} // namespace walwire
