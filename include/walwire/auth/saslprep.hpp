// SASLprep, the form in which SCRAM hashes a password, exactly as PostgreSQL makes it.
//
// Two people who type the same password may send different bytes: a composed or a decomposed
// accent, a full-width letter, a soft hyphen. SASLprep folds these, so that a verifier made on one
// keyboard fits the proof made on another:
//
//     1. pure ASCII is left alone, control characters too
//     2. not UTF-8: give up
//     3. exotic spaces become ' ', invisible characters disappear
//     4. nothing is left: give up
//     5. a character is prohibited or unassigned: give up
//     6. writing directions are mixed: give up
//     7. NFKC
//
// Giving up is no error: the password is then used as the bytes that it is, because servers and
// clients of every version have always done so. PostgreSQL looks for what is refused in the text of
// step 3, where the RFC would look in NFKC's result; U+1D2C, a modifier 'A' of Unicode 4.0, is
// therefore kept as it is and not turned into "A". It is not a check of a password's strength, nor
// of user names, which PostgreSQL does not prepare.
//
// Source of truth: RFC 4013 and RFC 3454; UAX 15 for NFKC; libpq's behaviour where they differ.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "saslprep_tables.hpp"

namespace walwire::auth {

// A scratch of so many bytes suffices for every password of `size` bytes: each character takes
// four, and U+FDFA, the worst, turns three bytes into eighteen characters. Ordinary text needs less
// than two characters a byte, ASCII none at all.
constexpr std::size_t saslprep_scratch_size(std::size_t size) noexcept {
    return 24 * size;
}

namespace detail {

inline constexpr char32_t no_code_point = 0xffffffff;

// Takes the first character off a text that is not empty. Overlong forms, surrogates and what lies
// beyond U+10FFFF are no characters.
inline char32_t take_code_point(std::string_view& text) noexcept {
    constexpr char32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    const auto lead = static_cast<std::uint8_t>(text.front());
    const std::size_t more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if ((lead >= 0x80 && lead < 0xc0) || lead >= 0xf8 || text.size() <= more) return no_code_point;
    char32_t code = more == 0 ? lead : lead & (0x3fU >> more);
    for (std::size_t i = 1; i <= more; ++i) {
        const auto next = static_cast<std::uint8_t>(text[i]);
        if ((next & 0xc0) != 0x80) return no_code_point;
        code = code << 6 | (next & 0x3f);
    }
    if (code < smallest[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return no_code_point;
    text.remove_prefix(more + 1);
    return code;
}

inline std::size_t put_code_point(std::byte* at, char32_t code) noexcept {
    const std::size_t more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    constexpr char32_t leads[] = {0, 0xc0, 0xe0, 0xf0};
    at[0] = static_cast<std::byte>(leads[more] | code >> (6 * more));
    for (std::size_t i = 1; i <= more; ++i)
        at[i] = static_cast<std::byte>(0x80 | (code >> (6 * (more - i)) & 0x3f));
    return more + 1;
}

// Unpacks the numbers of one line of a table.
class table_cursor {
  public:
    explicit table_cursor(const table_line& line) noexcept : at_(line.text) {}

    bool more() const noexcept { return *at_ != '\0'; }
    std::uint32_t number() noexcept {
        std::uint32_t value = 0;
        while (*at_ >= 'a') value = value * 26 + static_cast<std::uint32_t>(*at_++ - 'a');
        return value * 26 + static_cast<std::uint32_t>(*at_++ - 'A');
    }
    // Wraps around below zero, as the sums that it is added to do.
    std::uint32_t distance() noexcept {
        const std::uint32_t value = number();
        return (value & 1) != 0 ? ~(value >> 1) : value >> 1;
    }

  private:
    const char* at_;
};

// The last line that begins at or before `code`, or null.
template <std::size_t Size>
const table_line* line_of(const table_line (&table)[Size], char32_t code) noexcept {
    std::size_t low = 0;
    for (std::size_t high = Size; low < high;) {
        const std::size_t middle = low + (high - low) / 2;
        if (table[middle].first <= code)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? nullptr : &table[low - 1];
}

inline code_class class_of(char32_t code) noexcept {
    const table_line* line = line_of(class_lines, code);
    char32_t end = line->first; // the first line begins at zero
    for (table_cursor cursor(*line); cursor.more();) {
        const std::uint32_t run = cursor.number();
        end += run / 6;
        if (code < end) return static_cast<code_class>(run % 6);
    }
    return code_class::refused;
}

// The canonical combining class: zero for a starter, else where a mark sits on its letter.
inline std::uint32_t combining_class_of(char32_t code) noexcept {
    const table_line* line = line_of(mark_lines, code);
    if (line == nullptr) return 0;
    char32_t end = line->first;
    for (table_cursor cursor(*line); cursor.more();) {
        const char32_t first = end + cursor.number();
        end = first + cursor.number();
        const std::uint32_t value = cursor.number();
        if (code < end) return code >= first ? value : 0;
    }
    return 0;
}

// Hangul syllables are counted off from their two or three letters.
inline constexpr char32_t hangul_syllables = 0xac00, hangul_syllables_end = 0xd7a4;
inline constexpr char32_t hangul_leads = 0x1100, hangul_leads_end = 0x1113;
inline constexpr char32_t hangul_vowels = 0x1161, hangul_vowels_end = 0x1176;
inline constexpr char32_t hangul_tails = 0x11a7,
                          hangul_tails_end = 0x11c3; // the first is no letter
inline constexpr char32_t hangul_per_lead = 588, hangul_per_vowel = 28;

// The character that two others make, or no_code_point.
inline char32_t compose(char32_t first, char32_t second) noexcept {
    if (first >= hangul_leads && first < hangul_leads_end && second >= hangul_vowels &&
        second < hangul_vowels_end)
        return hangul_syllables + (first - hangul_leads) * hangul_per_lead +
               (second - hangul_vowels) * hangul_per_vowel;
    if (first >= hangul_syllables && first < hangul_syllables_end &&
        (first - hangul_syllables) % hangul_per_vowel == 0 && second > hangul_tails &&
        second < hangul_tails_end)
        return first + (second - hangul_tails);

    const table_line* line = line_of(composition_lines, second);
    if (line == nullptr) return no_code_point;
    for (;; --line) { // a second character may fill several lines
        if (line->first != second) return no_code_point;
        char32_t of = 0, composite = 0;
        for (table_cursor cursor(*line); cursor.more();) {
            of += cursor.number();
            composite += cursor.distance();
            if (of == first) return composite;
        }
        if (line == composition_lines) return no_code_point;
    }
}

// Characters in the caller's scratch, each with its combining class in the eight bits above it, so
// that sorting and composing look no class up twice.
class normalization {
  public:
    explicit normalization(mutable_bytes scratch) noexcept : scratch_(scratch) {}

    // Appends a character in its full compatibility decomposition.
    void append(char32_t code) noexcept {
        if (code >= hangul_syllables && code < hangul_syllables_end) return append_hangul(code);
        const table_line* line = line_of(decomposition_lines, code);
        if (line == nullptr) return push(code);
        char32_t end = line->first, lead = 0;
        for (table_cursor cursor(*line); cursor.more();) {
            const char32_t first = end + cursor.number();
            const std::uint32_t shape = cursor.number();
            end = first + (shape % 3 == 0 ? 1 : cursor.number());
            if (code < first) break;
            const bool here = code < end;
            char32_t rising = shape % 3 == 2 ? code - first : 0, to = lead;
            for (std::uint32_t i = 0; i <= shape / 3; ++i, rising = 0) {
                to += cursor.distance();
                if (i == 0) lead = to;
                if (here) push(to + rising);
            }
            if (here) return;
        }
        push(code);
    }

    // Behind each starter, marks are ordered by their class; those of one class keep their order.
    void order() noexcept {
        for (std::size_t i = 1; i < size_; ++i) {
            const char32_t mark = at(i);
            std::size_t to = i;
            for (; mark >> 24 != 0 && to > 0 && at(to - 1) >> 24 > mark >> 24; --to)
                set(to, at(to - 1));
            set(to, mark);
        }
    }

    // Each character is joined to the last starter before it if the two compose and nothing between
    // them blocks it: another starter, or a mark of the same or a higher class.
    void join() noexcept {
        std::size_t kept = 0, starter = 0;
        bool any = false;
        for (std::size_t i = 0; i < size_; ++i) {
            const char32_t next = at(i);
            if (any && (starter + 1 == kept || at(kept - 1) >> 24 < next >> 24)) {
                const char32_t joined = compose(at(starter), next & 0xffffff);
                if (joined != no_code_point) {
                    set(starter, joined); // every composite is a starter
                    continue;
                }
            }
            if (next >> 24 == 0) {
                starter = kept;
                any = true;
            }
            set(kept++, next);
        }
        size_ = kept;
    }

    // As UTF-8, over the characters themselves: none needs more than the four bytes it stands in.
    std::string_view encode() noexcept {
        std::size_t size = 0;
        for (std::size_t i = 0; i < size_; ++i)
            size += put_code_point(scratch_.data() + size, at(i) & 0xffffff);
        return as_text(scratch_.first(size));
    }

    bool ok() const noexcept { return ok_; }

  private:
    void push(char32_t code) noexcept {
        ok_ = ok_ && size_ < scratch_.size() / 4;
        if (ok_) set(size_++, code | combining_class_of(code) << 24);
    }
    void append_hangul(char32_t code) noexcept {
        const char32_t index = code - hangul_syllables;
        push(hangul_leads + index / hangul_per_lead);
        push(hangul_vowels + index % hangul_per_lead / hangul_per_vowel);
        if (index % hangul_per_vowel != 0) push(hangul_tails + index % hangul_per_vowel);
    }

    char32_t at(std::size_t index) const noexcept {
        return load<std::uint32_t, std::endian::native>(scratch_.data() + 4 * index);
    }
    void set(std::size_t index, char32_t code) noexcept {
        store<std::uint32_t, std::endian::native>(scratch_.data() + 4 * index, code);
    }

    mutable_bytes scratch_;
    std::size_t size_ = 0;
    bool ok_ = true;
};

inline bool is_ascii(std::string_view text) noexcept {
    std::uint8_t all = 0;
    for (const char c : text) all = static_cast<std::uint8_t>(all | static_cast<std::uint8_t>(c));
    return all < 0x80;
}

// Steps 2 to 6 without room for a result: whether one is to be made.
inline bool can_be_prepared(std::string_view text) noexcept {
    bool any = false, letter = false, right_to_left = false;
    auto first = code_class::plain, last = code_class::plain;
    while (!text.empty()) {
        const char32_t code = take_code_point(text);
        if (code == no_code_point) return false;
        const code_class kind = class_of(code);
        if (kind == code_class::refused) return false;
        if (kind == code_class::nothing) continue;
        letter = letter || kind == code_class::letter;
        right_to_left = right_to_left || kind == code_class::right_to_left;
        if (!any) first = kind;
        last = kind;
        any = true;
    }
    if (!any) return false;
    return !right_to_left ||
           (!letter && first == code_class::right_to_left && last == code_class::right_to_left);
}

} // namespace detail

// The prepared password: `password` itself, or a text inside `scratch`, which the caller wipes.
// argument_too_long if the scratch is too small, which saslprep_scratch_size rules out.
inline result<std::string_view> saslprep(std::string_view password,
                                         mutable_bytes scratch) noexcept {
    if (detail::is_ascii(password) || !detail::can_be_prepared(password)) return password;
    detail::normalization text(scratch);
    for (std::string_view rest = password; !rest.empty();) {
        const char32_t code = detail::take_code_point(rest);
        switch (detail::class_of(code)) {
        case detail::code_class::nothing: break;
        case detail::code_class::space: text.append(U' '); break;
        default: text.append(code);
        }
    }
    if (!text.ok()) return errc::argument_too_long;
    text.order();
    text.join();
    return text.encode();
}

} // namespace walwire::auth
