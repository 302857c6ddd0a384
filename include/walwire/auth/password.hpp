// Passwords sent plainly or as MD5, and the policy of which methods of authentication are allowed.
//
// An MD5 answer is "md5" and the lower-case hexadecimal of md5(hex(md5(password, user)), salt). It
// keeps a listener from the password and from nothing else: what the server stores is enough to log
// in with. PostgreSQL 18 warns of it.
//
// A server chooses the method, so a client that does not say what it accepts can be talked into
// handing its password over in clear text. require_auth is libpq's way to say it: a list,
// "scram-sha-256,none", or a list of exceptions, "!password,!md5". `none` stands for a server that
// asks for nothing.
//
// Source of truth: the manual, "Password Authentication" and libpq's "require_auth".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "crypto.hpp"

namespace walwire::auth {

inline constexpr std::size_t md5_answer_size = 35;

namespace detail {

inline void put_hex(writer& out, bytes data) noexcept {
    for (const std::byte each : data) {
        const auto value = std::to_integer<std::uint8_t>(each);
        out.u8(static_cast<std::uint8_t>("0123456789abcdef"[value >> 4]));
        out.u8(static_cast<std::uint8_t>("0123456789abcdef"[value & 0xf]));
    }
}

} // namespace detail

// The answer to AuthenticationMD5Password, without the NUL that ends it on the wire.
// crypto_missing, or crypto_failed, which is also what a libcrypto in FIPS mode comes to.
inline errc md5_answer(const crypto& with, std::string_view user, std::string_view password,
                       const std::array<std::byte, 4>& salt,
                       std::array<char, md5_answer_size>& out) noexcept {
    md5_digest digest{};
    std::array<std::byte, 2 * sizeof digest>
        hex{}; // what the server stores: as good as the password
    errc code = md5(with, {as_bytes(password), as_bytes(user)}, digest);
    if (code == errc::none) {
        writer text(hex);
        detail::put_hex(text, digest);
        code = md5(with, {hex, salt}, digest);
    }
    if (code == errc::none) {
        writer text(hex);
        detail::put_hex(text, digest);
        std::memcpy(out.data(), "md5", 3);
        std::memcpy(out.data() + 3, hex.data(), hex.size());
    }
    wipe(hex);
    wipe(digest);
    return code;
}

// By the names that require_auth has for them.
enum class method : std::uint8_t { none, password, md5, gss, sspi, scram_sha_256, oauth };

constexpr std::string_view text(method of) noexcept {
    switch (of) {
    case method::none: return "none";
    case method::password: return "password";
    case method::md5: return "md5";
    case method::gss: return "gss";
    case method::sspi: return "sspi";
    case method::scram_sha_256: return "scram-sha-256";
    case method::oauth: return "oauth";
    }
    return "";
}

// Which methods are allowed; at first, all.
class method_set {
  public:
    constexpr bool allows(method asked) const noexcept { return (allowed_ & bit(asked)) != 0; }

    constexpr void allow(method which) noexcept {
        allowed_ = static_cast<std::uint8_t>(allowed_ | bit(which));
    }
    constexpr void forbid(method which) noexcept {
        allowed_ = static_cast<std::uint8_t>(allowed_ & ~bit(which));
    }
    constexpr void forbid_all() noexcept { allowed_ = 0; }

    friend constexpr bool operator==(method_set, method_set) noexcept = default;

  private:
    static constexpr std::uint8_t bit(method of) noexcept {
        return static_cast<std::uint8_t>(1U << static_cast<unsigned>(of));
    }

    std::uint8_t allowed_ = 0x7f;
};

// As libpq reads it: names between commas, no blanks, all of them plain or all behind a '!'. Empty
// text allows every method. option_invalid for a name that is none, option_conflict for one that
// comes twice and for a mixture of the two kinds.
constexpr result<method_set> parse_require_auth(std::string_view list) noexcept {
    method_set allowed, named;
    if (list.empty()) return allowed;
    named.forbid_all();
    const bool exceptions = list.front() == '!';
    if (!exceptions) allowed.forbid_all();
    for (bool more = true; more;) {
        const std::size_t end = list.find(',');
        std::string_view name = list.substr(0, end);
        more = end != std::string_view::npos;
        if (more) list.remove_prefix(end + 1);
        const bool negated = name.starts_with('!');
        if (negated) name.remove_prefix(1);

        auto found = method::none;
        while (text(found) != name) {
            if (found == method::oauth) return errc::option_invalid;
            found = static_cast<method>(static_cast<std::uint8_t>(found) + 1);
        }
        if (negated != exceptions || named.allows(found)) return errc::option_conflict;
        named.allow(found);
        if (negated)
            allowed.forbid(found);
        else
            allowed.allow(found);
    }
    return allowed;
}

} // namespace walwire::auth
