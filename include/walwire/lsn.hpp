// Positions in the write-ahead log, and the timelines they lie on.
//
// An LSN is the 64-bit byte offset of a point in the log. PostgreSQL prints it as two hexadecimal
// halves, "0/16B3748", and calls the value 0/0 invalid. Everywhere in PostgreSQL's protocol a
// position that says "up to here" is the last byte plus one. (The AionDB dialect counts entries
// instead, see aiondb/message.hpp, and prints all eight digits behind the slash, "0/016B3748".)
//
// A timeline is one unbroken history of the log; promotion starts the next. It is an unsigned
// 32-bit number, never 0.
//
// Source of truth: PostgreSQL's src/include/access/xlogdefs.h and pg_lsn's input function.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dialect.hpp"
#include "error.hpp"

namespace walwire {

struct lsn {
    std::uint64_t value = 0;

    constexpr bool valid() const noexcept { return value != 0; }
    friend constexpr auto operator<=>(lsn, lsn) noexcept = default;
    friend constexpr lsn operator+(lsn at, std::uint64_t size) noexcept {
        return {at.value + size};
    }
    // The bytes between two positions; `from` must not lie behind `to`.
    friend constexpr std::uint64_t operator-(lsn to, lsn from) noexcept {
        return to.value - from.value;
    }
};

struct timeline_id {
    std::uint32_t value = 0;

    constexpr bool valid() const noexcept { return value != 0; }
    friend constexpr auto operator<=>(timeline_id, timeline_id) noexcept = default;
};

// A position as text, in room of its own: "FFFFFFFF/FFFFFFFF" is the longest.
class lsn_text {
  public:
    constexpr explicit lsn_text(lsn at, dialect spoken = dialect::postgres) noexcept {
        put_hex(static_cast<std::uint32_t>(at.value >> 32), 1);
        characters_[size_++] = '/';
        put_hex(static_cast<std::uint32_t>(at.value), spoken == dialect::aiondb ? 8 : 1);
    }
    constexpr operator std::string_view() const noexcept { return {characters_.data(), size_}; }

  private:
    // As C's %X: upper case, and no leading zeros but those that make up `digits_min`.
    constexpr void put_hex(std::uint32_t value, int digits_min) noexcept {
        int shift = 28;
        while (shift >= 4 * digits_min && (value >> shift) == 0) shift -= 4;
        for (; shift >= 0; shift -= 4) {
            characters_[size_++] = "0123456789ABCDEF"[(value >> shift) & 0xf];
        }
    }

    std::array<char, 17> characters_{};
    std::size_t size_ = 0;
};

constexpr lsn_text to_text(lsn at, dialect spoken = dialect::postgres) noexcept {
    return lsn_text(at, spoken);
}

// A number in decimal, in room of its own: timelines, sizes, counts. No leading zeros.
class decimal_text {
  public:
    constexpr explicit decimal_text(std::uint64_t value) noexcept {
        do {
            digits_[--first_] = static_cast<char>('0' + value % 10);
            value /= 10;
        } while (value != 0);
    }
    constexpr operator std::string_view() const noexcept {
        return {digits_.data() + first_, digits_.size() - first_};
    }

  private:
    std::array<char, 20> digits_{}; // 2^64 - 1 has as many
    std::size_t first_ = digits_.size();
};

namespace detail {

// The value of one hexadecimal digit of either case, or -1.
constexpr int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// Decimal digits and nothing else, no sign, no blanks, at most `max`.
constexpr result<std::uint64_t> parse_decimal(std::string_view text, std::uint64_t max) noexcept {
    if (text.empty()) return errc::number_invalid;
    std::uint64_t value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return errc::number_invalid;
        const auto digit = static_cast<std::uint64_t>(c - '0');
        if (digit > max || value > (max - digit) / 10) return errc::number_invalid;
        value = value * 10 + digit;
    }
    return value;
}

} // namespace detail

// One to eight hexadecimal digits on each side of one slash, and nothing else. A half of nine
// digits is refused: PostgreSQL's own command parser keeps its low 32 bits, which turns a typing
// mistake into another position.
constexpr result<lsn> parse_lsn(std::string_view text) noexcept {
    std::uint64_t halves[2] = {0, 0};
    std::size_t at = 0;
    for (int half = 0; half < 2; ++half) {
        const std::size_t first = at;
        for (; at < text.size() && text[at] != '/'; ++at) {
            const int digit = detail::hex_digit(text[at]);
            if (digit < 0 || at - first == 8) return errc::lsn_invalid;
            halves[half] = halves[half] << 4 | static_cast<std::uint64_t>(digit);
        }
        if (at == first) return errc::lsn_invalid;
        if (half == 0 && at++ == text.size()) return errc::lsn_invalid;
    }
    if (at != text.size()) return errc::lsn_invalid;
    return lsn{halves[0] << 32 | halves[1]};
}

// A decimal number from 1 to 4294967295.
constexpr result<timeline_id> parse_timeline(std::string_view text) noexcept {
    const auto value = detail::parse_decimal(text, UINT32_MAX);
    if (!value || *value == 0) return errc::timeline_invalid;
    return timeline_id{static_cast<std::uint32_t>(*value)};
}

} // namespace walwire
