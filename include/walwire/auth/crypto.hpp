// The cryptography that the exchanges need, as a table of functions that somebody else fills.
//
// walwire contains no cryptography. A project hands in what it already links: openssl.hpp fills the
// table from libcrypto, another library takes five short functions, and a client that only ever
// meets `trust` needs none at all. A pointer that is null says "not offered" and is met as
// crypto_missing by the exchange that wants it; a function that returns false is met as
// crypto_failed, and its output is not looked at.
//
// Messages come as parts, hashed one behind the other, so that nothing is ever joined in a buffer
// only to be hashed. The functions are called from inside of poll and of commands: they must not
// block, nor call back. Every one gets `context` first, which is the provider's own.
//
// Who needs what: SCRAM all but md5; an MD5 password md5 alone; a cancel key of one's own, or a
// salt, random.
#pragma once

#include <array> // and with it std::initializer_list
#include <cstddef>
#include <cstdint>

#include "../bytes.hpp"
#include "../error.hpp"

namespace walwire::auth {

using md5_digest = std::array<std::byte, 16>;
using sha256_digest = std::array<std::byte, 32>;

// What is hashed: each part behind the one before.
using parts = std::initializer_list<bytes>;

struct crypto {
    void* context = nullptr;

    // Fills `out` with bytes that nobody can predict.
    bool (*random)(void* context, mutable_bytes out) noexcept = nullptr;
    bool (*md5)(void* context, parts message, md5_digest& out) noexcept = nullptr;
    bool (*sha256)(void* context, parts message, sha256_digest& out) noexcept = nullptr;
    bool (*hmac_sha256)(void* context, bytes key, parts message,
                        sha256_digest& out) noexcept = nullptr;
    // RFC 8018 with HMAC-SHA-256 and 32 bytes of output. This is where SCRAM's time goes; a
    // provider that keeps the two keyed states instead of keying every round is three times as
    // fast.
    bool (*pbkdf2_sha256)(void* context, bytes password, bytes salt, std::uint32_t iterations,
                          sha256_digest& out) noexcept = nullptr;
};

// The same five, with what was missing or failed as a code.
inline errc random(const crypto& with, mutable_bytes out) noexcept {
    if (with.random == nullptr) return errc::crypto_missing;
    return with.random(with.context, out) ? errc::none : errc::crypto_failed;
}

inline errc md5(const crypto& with, parts message, md5_digest& out) noexcept {
    if (with.md5 == nullptr) return errc::crypto_missing;
    return with.md5(with.context, message, out) ? errc::none : errc::crypto_failed;
}

inline errc sha256(const crypto& with, parts message, sha256_digest& out) noexcept {
    if (with.sha256 == nullptr) return errc::crypto_missing;
    return with.sha256(with.context, message, out) ? errc::none : errc::crypto_failed;
}

inline errc hmac_sha256(const crypto& with, bytes key, parts message, sha256_digest& out) noexcept {
    if (with.hmac_sha256 == nullptr) return errc::crypto_missing;
    return with.hmac_sha256(with.context, key, message, out) ? errc::none : errc::crypto_failed;
}

inline errc pbkdf2_sha256(const crypto& with, bytes password, bytes salt, std::uint32_t iterations,
                          sha256_digest& out) noexcept {
    if (with.pbkdf2_sha256 == nullptr) return errc::crypto_missing;
    return with.pbkdf2_sha256(with.context, password, salt, iterations, out) ? errc::none
                                                                             : errc::crypto_failed;
}

// A digest that is wiped when it goes out of scope, by whichever way.
struct secret_digest {
    sha256_digest value{};

    secret_digest() noexcept = default;
    secret_digest(const secret_digest&) = delete;
    secret_digest& operator=(const secret_digest&) = delete;
    ~secret_digest() { wipe(value); }
};

} // namespace walwire::auth
