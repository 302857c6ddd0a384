// The strings of a manifest: JSON's, in UTF-8, one at a time, in any pieces.
//
//     "base\/5\/1234"     a backslash escapes " \ / b f n r t, or four hexadecimal digits of UTF-16
//     "Gr\u00fc\u00dfe"   the same as in UTF-8
//
// Refused, as they could not be names of files or would not be the same to every reader: characters
// below a blank as they are, \u0000, halves of surrogate pairs, and bytes that are no UTF-8.
//
// Source of truth: RFC 8259, sections 7 and 8; RFC 3629 for UTF-8.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "checksum.hpp"

namespace walwire::backup::detail {

// Looks at UTF-8 byte by byte. A first byte says how many follow; the first of those has narrower
// bounds behind E0, ED, F0 and F4, which keeps out longer forms than needed, surrogates, and what
// lies behind U+10FFFF.
class utf8_check {
  public:
    // False: this byte cannot stand here.
    constexpr bool next(unsigned char byte) noexcept {
        if (left_ > 0) {
            const bool right = byte >= least_ && byte <= most_;
            --left_;
            least_ = 0x80;
            most_ = 0xbf;
            return right;
        }
        if (byte < 0x80) return true;
        if (byte < 0xc2 || byte > 0xf4) return false;
        left_ = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
        if (byte == 0xe0) least_ = 0xa0;
        if (byte == 0xf0) least_ = 0x90;
        if (byte == 0xed) most_ = 0x9f;
        if (byte == 0xf4) most_ = 0x8f;
        return true;
    }
    // No character is cut short here.
    constexpr bool whole() const noexcept { return left_ == 0; }

  private:
    unsigned char left_ = 0;
    unsigned char least_ = 0x80;
    unsigned char most_ = 0xbf;
};

constexpr bool is_utf8(std::string_view text) noexcept {
    utf8_check check;
    for (const char c : text)
        if (!check.next(static_cast<unsigned char>(c))) return false;
    return check.whole();
}

// True for what a JSON string may hold as it is and UTF-8 in a byte of its own.
constexpr std::array<bool, 256> make_plain_characters() noexcept {
    std::array<bool, 256> plain{};
    for (std::size_t c = 0x20; c < 0x80; ++c) plain[c] = c != '"' && c != '\\';
    return plain;
}
inline constexpr std::array<bool, 256> plain_characters = make_plain_characters();

// Collects strings in a room, one behind the other, until they are dropped together.
class manifest_strings {
  public:
    explicit manifest_strings(mutable_bytes room) noexcept : room_(room) {}

    void drop_all() noexcept { used_ = first_ = 0; }

    // The opening quote was read.
    void open() noexcept {
        first_ = used_;
        state_ = state::plain;
        high_ = 0;
        utf8_ = {};
        escaped_ = false;
    }

    // Eats what belongs to the string, and leaves the first byte that is wrong. closed(): the
    // closing quote was eaten. manifest_text_invalid; manifest_text_too_long: the room is full.
    errc eat(bytes& in) noexcept {
        while (!in.empty() && state_ != state::closed) {
            if (state_ == state::plain && high_ == 0 && utf8_.whole()) eat_plain(in);
            if (in.empty() || state_ == state::closed) break;
            const errc code = take(std::to_integer<unsigned char>(in.front()));
            if (code != errc::none) return code;
            in = in.subspan(1);
        }
        return errc::none;
    }

    bool closed() const noexcept { return state_ == state::closed; }

    // The string that was collected last. Valid, like those before it, until all are dropped.
    std::string_view last() const noexcept {
        return as_text(room_.subspan(first_, used_ - first_));
    }
    // Whether it has escapes.
    bool escaped() const noexcept { return escaped_; }

    // It is not needed any more.
    void drop_last() noexcept { used_ = first_; }

    // Makes bytes of the digits that the last string has. False: it is something else.
    bool decode_last() noexcept {
        const std::string_view digits = last();
        if (!parse_hex(digits, room_.data() + first_)) return false;
        used_ = first_ + digits.size() / 2;
        return true;
    }

  private:
    enum class state : std::uint8_t { plain, backslash, digits, closed };

    // A run of characters that mean themselves, which nearly all do, and the quote behind it.
    void eat_plain(bytes& in) noexcept {
        const std::size_t left = room_.size() - used_;
        const std::size_t most = in.size() < left ? in.size() : left;
        std::size_t size = 0;
        while (size < most && plain_characters[std::to_integer<std::size_t>(in[size])]) ++size;
        if (size > 0) std::memcpy(room_.data() + used_, in.data(), size);
        used_ += size;
        const bool ends = size < in.size() && in[size] == std::byte{'"'};
        if (ends) state_ = state::closed;
        in = in.subspan(size + (ends ? 1 : 0));
    }

    errc take(unsigned char byte) noexcept {
        if (state_ == state::digits) return take_digit(static_cast<char>(byte));
        if (state_ == state::backslash) return take_escape(static_cast<char>(byte));
        if (byte == '\\' && utf8_.whole()) {
            state_ = state::backslash;
            escaped_ = true;
            return errc::none;
        }
        // The other half of a surrogate pair cannot stand as it is.
        if (high_ != 0 || byte < 0x20 || !utf8_.next(byte)) return errc::manifest_text_invalid;
        if (byte != '"') return append(byte);
        state_ = state::closed;
        return errc::none;
    }

    errc take_escape(char letter) noexcept {
        if (letter == 'u') {
            state_ = state::digits;
            digits_ = 0;
            unit_ = 0;
            return errc::none;
        }
        constexpr std::string_view letters = "\"\\/bfnrt";
        constexpr std::string_view meant = "\"\\/\b\f\n\r\t";
        const std::size_t which = letters.find(letter);
        if (which == std::string_view::npos || high_ != 0) return errc::manifest_text_invalid;
        const errc code = append(static_cast<unsigned char>(meant[which]));
        if (code == errc::none) state_ = state::plain;
        return code;
    }

    errc take_digit(char digit) noexcept {
        const int value = walwire::detail::hex_digit(digit);
        if (value < 0) return errc::manifest_text_invalid;
        const std::uint32_t unit = unit_ << 4 | static_cast<std::uint32_t>(value);
        if (digits_ == 3) {
            if (const errc code = take_unit(unit); code != errc::none) return code;
            state_ = state::plain;
        }
        ++digits_;
        unit_ = unit;
        return errc::none;
    }

    // One unit of UTF-16.
    errc take_unit(std::uint32_t unit) noexcept {
        const bool low = unit >= 0xdc00 && unit < 0xe000;
        if (unit == 0 || low != (high_ != 0)) return errc::manifest_text_invalid;
        if (unit >= 0xd800 && unit < 0xdc00) {
            high_ = unit;
            return errc::none;
        }
        if (low) unit = 0x10000 + ((high_ - 0xd800) << 10) + (unit - 0xdc00);
        high_ = 0;
        return append_character(unit);
    }

    errc append_character(std::uint32_t code_point) noexcept {
        const std::uint32_t c = code_point;
        if (c < 0x80) return append(static_cast<unsigned char>(c));
        const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        if (room_.size() - used_ <= static_cast<std::size_t>(more))
            return errc::manifest_text_too_long;
        const std::uint32_t mark = more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0;
        static_cast<void>(append(static_cast<unsigned char>(mark | c >> (6 * more))));
        for (int at = more - 1; at >= 0; --at)
            static_cast<void>(append(static_cast<unsigned char>(0x80 | (c >> (6 * at) & 0x3f))));
        return errc::none;
    }

    errc append(unsigned char byte) noexcept {
        if (used_ == room_.size()) return errc::manifest_text_too_long;
        room_[used_++] = static_cast<std::byte>(byte);
        return errc::none;
    }

    mutable_bytes room_;
    std::size_t used_ = 0;
    std::size_t first_ = 0;  // where the last string begins
    std::uint32_t high_ = 0; // the first half of a surrogate pair, whose second has to follow
    std::uint32_t unit_ = 0;
    std::uint8_t digits_ = 0; // of unit_, so far
    state state_ = state::closed;
    utf8_check utf8_;
    bool escaped_ = false;
};

// Writes a string with its quotes, escaped as servers do it. `text` is UTF-8.
inline void put_string(writer& out, std::string_view text) noexcept {
    constexpr std::string_view meant = "\"\\\b\f\n\r\t";
    constexpr std::string_view letters = "\"\\bfnrt";
    out.append("\"");
    while (!text.empty()) {
        std::size_t size = 0;
        while (size < text.size() && (plain_characters[static_cast<unsigned char>(text[size])] ||
                                      static_cast<unsigned char>(text[size]) >= 0x80))
            ++size;
        out.append(text.substr(0, size));
        text.remove_prefix(size);
        if (text.empty()) break;
        const char c = text.front();
        const std::size_t which = meant.find(c);
        if (which != std::string_view::npos) {
            out.append("\\");
            out.append(letters.substr(which, 1));
        } else {
            out.append("\\u00");
            out.append(hex_digits.substr(static_cast<std::size_t>(c >> 4), 1));
            out.append(hex_digits.substr(static_cast<std::size_t>(c & 0xf), 1));
        }
        text.remove_prefix(1);
    }
    out.append("\"");
}

inline void put_hex(writer& out, bytes data) noexcept {
    for (const std::byte each : data) {
        out.append(hex_digits.substr(std::to_integer<std::size_t>(each >> 4), 1));
        out.append(hex_digits.substr(std::to_integer<std::size_t>(each & std::byte{15}), 1));
    }
}

} // namespace walwire::backup::detail
