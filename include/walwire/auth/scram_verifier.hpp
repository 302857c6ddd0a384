// What SCRAM-SHA-256 makes of a password: the keys of an exchange, and the verifier a server
// stores.
//
//     salted password = PBKDF2(SASLprep(password), salt, iterations)
//     client key      = HMAC(salted password, "Client Key")        stored key = SHA-256(client key)
//     server key      = HMAC(salted password, "Server Key")
//
// A verifier holds the stored key and the server key. Whoever steals it can pose as the server, but
// not log in, and must search for the password at the price of `iterations` per guess. It is
// printed as PostgreSQL keeps it in pg_authid.rolpassword, and may be given to ALTER ROLE ...
// PASSWORD:
//
//     SCRAM-SHA-256$4096:base64(salt)$base64(stored key):base64(server key)
//
// Source of truth: RFC 5802, section 3; RFC 7677; the manual, "pg_authid".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "base64.hpp"
#include "crypto.hpp"
#include "mechanism.hpp"
#include "saslprep.hpp"

namespace walwire::auth {

// What a verifier made here has, as PostgreSQL's own.
inline constexpr std::size_t scram_salt_size = 16;
inline constexpr std::uint32_t scram_iterations = 4096;

// A password of more characters that is not ASCII is refused, since preparing it takes four bytes
// of stack for each; there is no limit for others.
inline constexpr std::size_t password_characters_max = 2048;

// Both halves of what the password gives. They are as good as the password to this one verifier.
struct scram_keys {
    secret_digest client;
    secret_digest server;
};

namespace detail {

inline errc salt_password(const crypto& with, std::string_view password, bytes salt,
                          std::uint32_t iterations, sha256_digest& out) noexcept {
    std::byte scratch[4 * password_characters_max]; // deliberately not set to anything
    const auto prepared = saslprep(password, scratch);
    errc code = prepared.code();
    if (prepared) code = pbkdf2_sha256(with, as_bytes(*prepared), salt, iterations, out);
    if (!is_ascii(password)) wipe(scratch);
    return code;
}

} // namespace detail

// crypto_missing, crypto_failed, or argument_too_long for a password beyond
// password_characters_max.
inline errc derive_keys(const crypto& with, std::string_view password, bytes salt,
                        std::uint32_t iterations, scram_keys& keys) noexcept {
    secret_digest salted;
    errc code = detail::salt_password(with, password, salt, iterations, salted.value);
    if (code == errc::none)
        code = hmac_sha256(with, salted.value, {as_bytes("Client Key")}, keys.client.value);
    if (code == errc::none)
        code = hmac_sha256(with, salted.value, {as_bytes("Server Key")}, keys.server.value);
    return code;
}

// The stored key: what a server keeps in the place of the client key, and compares a proof with.
inline errc derive_stored_key(const crypto& with, const sha256_digest& client_key,
                              sha256_digest& stored_key) noexcept {
    return sha256(with, {client_key}, stored_key);
}

// One that a server looks up by its user's name.
struct scram_verifier {
    std::uint32_t iterations = 0;
    std::uint8_t salt_size = 0;
    std::array<std::byte, 64> salt{}; // four times what PostgreSQL stores
    sha256_digest stored_key{};
    sha256_digest server_key{};

    bytes salt_bytes() const noexcept { return bytes(salt).first(salt_size); }
};

// Makes one for a password. argument_invalid: a salt that is empty or beyond 64 bytes, or no
// iterations.
inline result<scram_verifier> make_verifier(const crypto& with, std::string_view password,
                                            bytes salt, std::uint32_t iterations) noexcept {
    scram_verifier made;
    if (salt.empty() || salt.size() > made.salt.size()) return errc::argument_invalid;
    if (iterations == 0 || iterations > INT32_MAX) return errc::argument_invalid;
    scram_keys keys;
    errc code = derive_keys(with, password, salt, iterations, keys);
    if (code == errc::none) code = derive_stored_key(with, keys.client.value, made.stored_key);
    if (code != errc::none) return code;
    made.iterations = iterations;
    made.salt_size = static_cast<std::uint8_t>(salt.size());
    std::memcpy(made.salt.data(), salt.data(), salt.size());
    made.server_key = keys.server.value;
    return made;
}

namespace detail {

// What stands before the first `end`, which is taken off as well; all of it if there is none.
inline std::string_view take_until(std::string_view& text, char end) noexcept {
    const std::size_t at = text.find(end);
    const std::string_view taken = text.substr(0, at);
    text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
    return taken;
}

// A positive decimal number without leading zeros.
inline bool is_positive_number(std::string_view text) noexcept {
    if (text.empty() || text.front() == '0') return false;
    return text.find_first_not_of("0123456789") == std::string_view::npos;
}

inline bool parse_digest(std::string_view text, sha256_digest& out) noexcept {
    const auto parsed = parse_base64(text, out);
    return parsed && *parsed == out.size();
}

} // namespace detail

// scram_verifier_invalid for anything that is not one; an md5 hash and a plain password are not.
inline result<scram_verifier> parse_verifier(std::string_view text) noexcept {
    scram_verifier parsed;
    if (detail::take_until(text, '$') != scram_sha_256_name) return errc::scram_verifier_invalid;
    const std::string_view iterations = detail::take_until(text, ':');
    const auto count = walwire::detail::parse_decimal(iterations, INT32_MAX);
    if (!count || !detail::is_positive_number(iterations)) return errc::scram_verifier_invalid;
    parsed.iterations = static_cast<std::uint32_t>(*count);
    const auto salt = parse_base64(detail::take_until(text, '$'), parsed.salt);
    if (!salt || *salt == 0) return errc::scram_verifier_invalid;
    parsed.salt_size = static_cast<std::uint8_t>(*salt);
    if (!detail::parse_digest(detail::take_until(text, ':'), parsed.stored_key) ||
        !detail::parse_digest(text, parsed.server_key))
        return errc::scram_verifier_invalid;
    return parsed;
}

// As PostgreSQL prints it: 133 characters with its own salt and iterations.
inline void put_verifier(writer& out, const scram_verifier& verifier) noexcept {
    out.append(scram_sha_256_name);
    out.append("$");
    out.append(decimal_text(verifier.iterations));
    out.append(":");
    put_base64(out, verifier.salt_bytes());
    out.append("$");
    put_base64(out, verifier.stored_key);
    out.append(":");
    put_base64(out, verifier.server_key);
}

} // namespace walwire::auth
