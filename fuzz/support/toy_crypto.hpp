// Cryptography for fuzz targets, fast and repeatable, and no more than that: one toy that depends
// on every byte, for the exchanges themselves, and one that depends on none, for what contains
// them.
#pragma once

#include <walwire/auth/base64.hpp>
#include <walwire/auth/crypto.hpp>

#include "check.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace toy {

using namespace walwire;

inline void digest(std::uint64_t seed, auth::parts parts, mutable_bytes out) {
    std::uint64_t value = seed ^ 0xcbf29ce484222325;
    for (const bytes part : parts)
        for (const std::byte each : part)
            value = (value ^ std::to_integer<std::uint64_t>(each)) * 0x100000001b3;
    for (std::byte& each : out) {
        value = (value ^ value >> 29) * 0xbf58476d1ce4e5b9;
        each = static_cast<std::byte>(value >> 56);
    }
}

inline std::uint64_t seed_of(bytes key) {
    std::array<std::byte, 8> hash;
    digest(1, {key}, hash);
    return load<std::uint64_t>(hash.data());
}

inline auth::crypto crypto() {
    auth::crypto table;
    table.md5 = [](void*, auth::parts parts, auth::md5_digest& out) noexcept {
        digest(3, parts, out);
        return true;
    };
    table.sha256 = [](void*, auth::parts parts, auth::sha256_digest& out) noexcept {
        digest(2, parts, out);
        return true;
    };
    table.hmac_sha256 = [](void*, bytes key, auth::parts parts, auth::sha256_digest& out) noexcept {
        digest(seed_of(key), parts, out);
        return true;
    };
    table.pbkdf2_sha256 = [](void*, bytes password, bytes salt, std::uint32_t iterations,
                             auth::sha256_digest& out) noexcept {
        check(iterations >= 1, "there are iterations");
        check(!salt.empty(), "the salt is not empty");
        digest(seed_of(password) + iterations, {salt}, out);
        return true;
    };
    return table;
}

inline bool fill(mutable_bytes out, unsigned seed) noexcept {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(seed * 31 + i * 7);
    return true;
}

// Every digest is the same, whatever it is of, and so is what it draws: every proof is right, and
// an input comes past a login without having to guess one.
inline const auth::crypto credulous{
    nullptr,
    [](void*, mutable_bytes out) noexcept { return fill(out, 1); },
    [](void*, auth::parts, auth::md5_digest& out) noexcept { return fill(out, 2); },
    [](void*, auth::parts, auth::sha256_digest& out) noexcept { return fill(out, 3); },
    [](void*, bytes, auth::parts, auth::sha256_digest& out) noexcept { return fill(out, 4); },
    [](void*, bytes, bytes, std::uint32_t, auth::sha256_digest& out) noexcept {
        return fill(out, 5);
    }};

inline std::string base64(bytes data) {
    std::string room(auth::base64_text_size(data.size()), '\0');
    writer out(std::as_writable_bytes(std::span(room)));
    auth::put_base64(out, data);
    return room;
}

} // namespace toy
