// The checksum of one file of a backup, by whichever algorithm its manifest uses.
//
//     none       no bytes        the manifest says sizes only
//     crc32c     4 bytes         finds damage, costs next to nothing; the servers' default
//     sha224 ... sha512          28, 32, 48 or 64 bytes; nobody can make a file for one
//
// A value is kept as the bytes whose hexadecimal digits a manifest prints. CRC-32C's are those that
// the number has in the memory of the servers there are, lowest first: E3069283 is "839206e3".
//
// Source of truth: the manual's "Backup Manifest Format".
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../auth/digest.hpp"
#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../wal/crc32c.hpp"
#include "../wire/command.hpp"

namespace walwire::backup {

using wire::manifest_checksums;

// How many bytes a value of this algorithm has.
constexpr std::size_t checksum_size(manifest_checksums algorithm) noexcept {
    switch (algorithm) {
    case manifest_checksums::none: return 0;
    case manifest_checksums::crc32c: return 4;
    case manifest_checksums::sha224: return auth::digest_size(auth::digest_algorithm::sha224);
    case manifest_checksums::sha256: return auth::digest_size(auth::digest_algorithm::sha256);
    case manifest_checksums::sha384: return auth::digest_size(auth::digest_algorithm::sha384);
    case manifest_checksums::sha512: return auth::digest_size(auth::digest_algorithm::sha512);
    }
    return 0;
}

// As manifests and commands spell it: "NONE", "CRC32C", "SHA224" and so on.
constexpr std::string_view checksum_name(manifest_checksums algorithm) noexcept {
    return wire::detail::checksum_names[static_cast<std::size_t>(algorithm)];
}

// A value, and what it is a value of. Values of two algorithms are never equal.
struct checksum_value {
    manifest_checksums algorithm = manifest_checksums::none;
    std::array<std::byte, auth::digest_size_max> digest{}; // behind its size all zero

    constexpr bytes data() const noexcept { return bytes(digest).first(checksum_size(algorithm)); }
    friend constexpr bool operator==(const checksum_value&,
                                     const checksum_value&) noexcept = default;
};

namespace detail {

// Two digits a byte, of either case. False: an odd number of them, or something else among them.
// `out` has room for half as many; it may begin where `text` does, which stays as it is then.
constexpr bool parse_hex(std::string_view text, std::byte* out) noexcept {
    if (text.size() % 2 != 0) return false;
    for (const char digit : text)
        if (walwire::detail::hex_digit(digit) < 0) return false;
    for (std::size_t i = 0; i < text.size(); i += 2) {
        const int high = walwire::detail::hex_digit(text[i]);
        const int low = walwire::detail::hex_digit(text[i + 1]);
        *out++ = static_cast<std::byte>(high << 4 | low);
    }
    return true;
}

inline constexpr std::string_view hex_digits = "0123456789abcdef";

} // namespace detail

// The digits of a value, in room of their own; lower case, as servers print them.
class checksum_text {
  public:
    constexpr explicit checksum_text(const checksum_value& value) noexcept {
        for (const std::byte each : value.data()) {
            digits_[size_++] = detail::hex_digits[std::to_integer<std::size_t>(each >> 4)];
            digits_[size_++] =
                detail::hex_digits[std::to_integer<std::size_t>(each & std::byte{15})];
        }
    }
    constexpr operator std::string_view() const noexcept { return {digits_.data(), size_}; }

  private:
    std::array<char, 2 * auth::digest_size_max> digits_{};
    std::size_t size_ = 0;
};

constexpr checksum_text to_text(const checksum_value& value) noexcept {
    return checksum_text(value);
}

// Digits of either case. manifest_checksum_invalid: something else among them, or not as many as
// the algorithm's values have.
constexpr result<checksum_value> parse_checksum(manifest_checksums algorithm,
                                                std::string_view text) noexcept {
    checksum_value value;
    value.algorithm = algorithm;
    if (text.size() != 2 * checksum_size(algorithm) ||
        !detail::parse_hex(text, value.digest.data()))
        return errc::manifest_checksum_invalid;
    return value;
}

// The checksum of a file that comes in pieces. One object serves file after file.
class checksum {
  public:
    // Starts anew. crypto_missing, crypto_failed: only for the algorithms that need the table.
    errc begin(manifest_checksums algorithm, const auth::digests& with) noexcept {
        algorithm_ = algorithm;
        crc_ = {};
        begun_ = false;
        digest_.abandon();
        if (is_digest()) {
            const auto first = static_cast<unsigned>(manifest_checksums::sha224);
            const auto which = static_cast<unsigned>(algorithm) - first;
            const errc code = digest_.begin(with, static_cast<auth::digest_algorithm>(which));
            if (code != errc::none) return code;
        }
        begun_ = true;
        return errc::none;
    }

    // not_now: nothing was begun. crypto_failed: and nothing is any more.
    errc update(bytes data) noexcept {
        if (!begun_) return errc::not_now;
        if (algorithm_ == manifest_checksums::crc32c) crc_.update(data);
        if (!is_digest()) return errc::none;
        const errc code = digest_.update(data);
        begun_ = code == errc::none;
        return code;
    }

    // Of all that came since begin, which has to come again before anything else. not_now,
    // crypto_failed: there is none.
    result<checksum_value> finish() noexcept {
        if (!begun_) return errc::not_now;
        begun_ = false;
        checksum_value value;
        value.algorithm = algorithm_;
        if (algorithm_ == manifest_checksums::crc32c)
            store<std::uint32_t, std::endian::little>(value.digest.data(), crc_.value());
        if (is_digest()) {
            const mutable_bytes out = mutable_bytes(value.digest).first(checksum_size(algorithm_));
            if (const errc code = digest_.finish(out); code != errc::none) return code;
        }
        return value;
    }

  private:
    bool is_digest() const noexcept { return algorithm_ >= manifest_checksums::sha224; }

    manifest_checksums algorithm_ = manifest_checksums::none;
    bool begun_ = false;
    wal::crc32c crc_;
    auth::running_digest digest_;
};

} // namespace walwire::backup
