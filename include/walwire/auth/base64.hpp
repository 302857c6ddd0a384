// Base64, the one way to write it that SCRAM allows.
//
// Three bytes become four characters of A-Z a-z 0-9 + /, and '=' fills the last four up. The
// decoder takes what the encoder writes and nothing else: no blanks, no line ends, no missing
// padding, no padding in the middle, no bits set that no byte needs. So every value has exactly one
// text, and a comparison of texts is one of values.
//
// Source of truth: RFC 4648, section 4, with the strictness of sections 3.3 and 3.5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"

namespace walwire::auth {

// How many characters `size` bytes become, and how many bytes a text of `size` characters has at
// most.
constexpr std::size_t base64_text_size(std::size_t size) noexcept {
    return (size + 2) / 3 * 4;
}
constexpr std::size_t base64_bytes_max(std::size_t size) noexcept {
    return size / 4 * 3;
}

inline void put_base64(writer& out, bytes data) noexcept {
    constexpr std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (; !data.empty(); data = data.subspan(data.size() < 3 ? data.size() : 3)) {
        std::uint32_t group = 0;
        for (std::size_t i = 0; i < 3; ++i)
            group = group << 8 | (i < data.size() ? std::to_integer<std::uint32_t>(data[i]) : 0);
        for (std::size_t i = 0; i < 4; ++i) {
            const char digit = i <= data.size() ? digits[group >> (18 - 6 * i) & 0x3f] : '=';
            out.u8(static_cast<std::uint8_t>(digit));
        }
    }
}

namespace detail {

// The value of one digit, or 64.
constexpr std::uint32_t base64_digit(char c) noexcept {
    if (c >= 'A' && c <= 'Z') return static_cast<std::uint32_t>(c - 'A');
    if (c >= 'a' && c <= 'z') return static_cast<std::uint32_t>(c - 'a' + 26);
    if (c >= '0' && c <= '9') return static_cast<std::uint32_t>(c - '0' + 52);
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

} // namespace detail

// Writes the bytes that the text stands for to the front of `room` and says how many they are.
// base64_invalid if it is no canonical base64; argument_too_long if they do not fit.
inline result<std::size_t> parse_base64(std::string_view text, mutable_bytes room) noexcept {
    if (text.size() % 4 != 0) return errc::base64_invalid;
    std::size_t size = 0;
    for (; !text.empty(); text.remove_prefix(4)) {
        const bool last = text.size() == 4;
        const std::size_t padding = !last || text[3] != '=' ? 0 : text[2] != '=' ? 1 : 2;
        std::uint32_t group = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            const std::uint32_t digit = i < 4 - padding ? detail::base64_digit(text[i]) : 0;
            if (digit == 64) return errc::base64_invalid;
            group = group << 6 | digit;
        }
        if ((group & ((1U << (8 * padding)) - 1)) != 0) return errc::base64_invalid;
        if (room.size() - size < 3 - padding) return errc::argument_too_long;
        for (std::size_t i = 0; i < 3 - padding; ++i)
            room[size++] = static_cast<std::byte>(group >> (16 - 8 * i) & 0xff);
    }
    return size;
}

} // namespace walwire::auth
