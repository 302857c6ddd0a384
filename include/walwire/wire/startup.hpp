// The packets that open a connection, before messages have tags.
//
//     Int32 length, counting itself | Int32 code | the rest by code
//
//     SSLRequest, GSSENCRequest   nothing more; the server answers with one bare byte
//     CancelRequest               Int32 pid | key: 4 bytes, up to 256 from protocol 3.2 on
//     StartupMessage              the code is the protocol version; {name \0 value \0}... \0
//
// The four share one number space: the codes 1234.5678 to 1234.5680 are versions that will never
// be. An encryption request must be answered before anything else is sent, which is why they are
// packets of their own and why bytes behind one are an attack.
//
// Source of truth: the manual, "Message Formats"; src/include/libpq/pqcomm.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "../bytes.hpp"
#include "../error.hpp"
#include "tag.hpp"

namespace walwire::wire {

// Major version in the upper, minor in the lower 16 bits.
struct protocol_version {
    std::uint32_t value = 0;

    constexpr std::uint16_t major_part() const noexcept {
        return static_cast<std::uint16_t>(value >> 16);
    }
    constexpr std::uint16_t minor_part() const noexcept {
        return static_cast<std::uint16_t>(value & 0xffff);
    }
    friend constexpr auto operator<=>(protocol_version, protocol_version) noexcept = default;
};

inline constexpr protocol_version protocol_3_0{3u << 16};
inline constexpr protocol_version protocol_3_2{3u << 16 | 2u}; // PostgreSQL 18: long cancel keys

inline constexpr std::uint32_t cancel_request_code = 1234u << 16 | 5678u;
inline constexpr std::uint32_t ssl_request_code = 1234u << 16 | 5679u;
inline constexpr std::uint32_t gssenc_request_code = 1234u << 16 | 5680u;

// The largest body of a start-up packet that a server reads.
inline constexpr std::uint32_t startup_size_max = 10'000;

inline constexpr std::size_t cancel_key_size_max = 256;

struct parameter {
    std::string_view name;
    std::string_view value;
};

// The pairs of a StartupMessage, in order. A name may come twice; the later value counts.
class parameters {
  public:
    explicit parameters(bytes pairs) noexcept : rest_(pairs) {}

    // The next pair, or none at the end.
    std::optional<parameter> next() noexcept {
        if (rest_.left() == 0) return std::nullopt;
        const std::string_view name = rest_.c_string();
        const std::string_view value = rest_.c_string();
        if (!rest_.ok()) return std::nullopt;
        return parameter{name, value};
    }

    bool ok() const noexcept { return rest_.ok(); }

  private:
    reader rest_;
};

// The start-up parameter `replication`.
enum class replication_mode : std::uint8_t {
    off,      // an ordinary session, no walsender
    physical, // "true": replication commands only
    database, // "database": bound to a database, SQL and logical slots as well
};

namespace detail {

// Whether `text` is the beginning of `word`, in letters of either case, and at least `least` of it.
constexpr bool abbreviates(std::string_view text, std::string_view word,
                           std::size_t least) noexcept {
    if (text.size() < least || text.size() > word.size()) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != word[i]) return false;
    }
    return true;
}

} // namespace detail

// The word "database" as it stands here, or a boolean as PostgreSQL reads booleans: any beginning
// of true, false, yes, no, on and off that is clear, in any case, and 1 and 0. Anything else:
// argument_invalid.
constexpr result<replication_mode> parse_replication_mode(std::string_view text) noexcept {
    using detail::abbreviates;
    if (text == "database") return replication_mode::database;
    if (abbreviates(text, "true", 1) || abbreviates(text, "yes", 1) || abbreviates(text, "on", 2) ||
        text == "1")
        return replication_mode::physical;
    if (abbreviates(text, "false", 1) || abbreviates(text, "no", 1) ||
        abbreviates(text, "off", 2) || text == "0")
        return replication_mode::off;
    return errc::argument_invalid;
}

struct startup_message {
    protocol_version version;
    bytes pairs; // without the NUL that ends the packet

    parameters list() const noexcept { return parameters(pairs); }
};
struct ssl_request {};
struct gssenc_request {};
struct cancel_request {
    std::uint32_t pid = 0;
    bytes key;
};

using startup_packet = std::variant<startup_message, ssl_request, gssenc_request, cancel_request>;

// `body` is the packet without its length word. A version other than 3.x is returned without
// looking at what follows it, because nobody knows its layout; the caller refuses it. A packet of
// version 3.x must be pairs with non-empty names and end in the one NUL that is its last byte:
// malformed_message.
inline result<startup_packet> parse_startup_packet(bytes body) noexcept {
    reader in(body);
    const std::uint32_t code = in.u32();
    if (!in.ok()) return errc::malformed_message;
    if (code == ssl_request_code) return startup_packet(ssl_request{});
    if (code == gssenc_request_code) return startup_packet(gssenc_request{});
    if (code == cancel_request_code) {
        const std::uint32_t pid = in.u32();
        const bytes key = in.rest();
        if (!in.ok() || key.empty() || key.size() > cancel_key_size_max)
            return errc::malformed_message;
        return startup_packet(cancel_request{pid, key});
    }
    const protocol_version version{code};
    if (version.major_part() != 3) return startup_packet(startup_message{version, {}});
    const bytes rest = in.rest();
    if (rest.empty() || rest.back() != std::byte{0}) return errc::malformed_message;
    const startup_message message{version, rest.first(rest.size() - 1)};
    parameters list = message.list();
    while (const auto pair = list.next()) {
        if (pair->name.empty()) return errc::malformed_message;
    }
    if (!list.ok()) return errc::malformed_message;
    return startup_packet(message);
}

inline void put(writer& out, ssl_request) noexcept {
    out.u32(8);
    out.u32(ssl_request_code);
}

inline void put(writer& out, gssenc_request) noexcept {
    out.u32(8);
    out.u32(gssenc_request_code);
}

inline void put(writer& out, const cancel_request& packet) noexcept {
    out.u32(static_cast<std::uint32_t>(12 + packet.key.size()));
    out.u32(cancel_request_code);
    out.u32(packet.pid);
    out.append(packet.key);
}

// A StartupMessage is written pair by pair: the caller knows which it has.
//
//     startup_writer startup(out, protocol_3_0);
//     startup.add("user", user);
//     startup.finish();
class startup_writer {
  public:
    startup_writer(writer& out, protocol_version version) noexcept : out_(out), at_(out.size()) {
        out_.u32(0);
        out_.u32(version.value);
    }

    void add(std::string_view name, std::string_view value) noexcept {
        out_.c_string(name);
        out_.c_string(value);
    }

    void finish() noexcept {
        out_.u8(0);
        out_.patch_u32(at_, static_cast<std::uint32_t>(out_.size() - at_));
    }

  private:
    writer& out_;
    std::size_t at_;
};

} // namespace walwire::wire
