// The words of a replication command: what splits its text into tokens for the parser.
//
//     keyword      START_REPLICATION   upper case only; which words are reserved depends on the
//                                      version: LABEL up to 14, READ_REPLICATION_SLOT since 15
//     identifier   my_slot  "My slot"  a bare one is folded to lower case; "" for a quote within
//                                      quotes only since 19; beyond 63 bytes it is cut
//     string       'it''s'             no other escapes
//     number       16384               decimal, without a sign
//     position     0/16B3748           hexadecimal digits around a slash, no blanks
//     symbol       ( ) , ; .           and any other byte, for the parser to refuse
//
// The longest token wins, so blanks are needed only where two tokens would run together:
// "0/0TIMELINE" is a position and a keyword. White space is blank, tab, line feed, form feed and
// carriage return, and since 17 the vertical tab. There are no comments. AionDB's slot names may
// begin with a digit without being quoted, so there digits that letters follow are an identifier.
//
// Tokens are views into the text; only folding and unescaping need room (`scratch_room`), and never
// more of it than the text has bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "../dialect.hpp"
#include "../lsn.hpp"
#include "command.hpp"

namespace walwire::wire::detail {

using walwire::detail::hex_digit;

// The commands come first; a text is a replication command if its first token is one of them.
enum class keyword : std::uint8_t {
    identify_system,
    show,
    timeline_history,
    create_replication_slot,
    read_replication_slot,
    alter_replication_slot,
    drop_replication_slot,
    start_replication,
    base_backup,
    upload_manifest,

    slot,
    physical,
    logical,
    timeline,
    temporary,
    wait,
    reserve_wal,
    two_phase,
    export_snapshot,
    noexport_snapshot,
    use_snapshot,
    label,
    progress,
    fast,
    nowait,
    max_rate,
    wal,
    tablespace_map,
    noverify_checksums,
    manifest,
    manifest_checksums,
};

constexpr bool is_command(keyword word) noexcept {
    return word <= keyword::upload_manifest;
}

struct keyword_entry {
    std::string_view text;
    keyword word;
    int since; // the first and the last major version in which the word is reserved
    int until;
    bool aiondb;
};

inline constexpr keyword_entry keywords[] = {
    {"IDENTIFY_SYSTEM", keyword::identify_system, 12, 19, true},
    {"SHOW", keyword::show, 12, 19, false},
    {"TIMELINE_HISTORY", keyword::timeline_history, 12, 19, true},
    {"CREATE_REPLICATION_SLOT", keyword::create_replication_slot, 12, 19, true},
    {"READ_REPLICATION_SLOT", keyword::read_replication_slot, 15, 19, true},
    {"ALTER_REPLICATION_SLOT", keyword::alter_replication_slot, 17, 19, false},
    {"DROP_REPLICATION_SLOT", keyword::drop_replication_slot, 12, 19, false},
    {"START_REPLICATION", keyword::start_replication, 12, 19, true},
    {"BASE_BACKUP", keyword::base_backup, 12, 19, true},
    {"UPLOAD_MANIFEST", keyword::upload_manifest, 17, 19, false},
    {"SLOT", keyword::slot, 12, 19, true},
    {"PHYSICAL", keyword::physical, 12, 19, true},
    {"LOGICAL", keyword::logical, 12, 19, false},
    {"TIMELINE", keyword::timeline, 12, 19, true},
    {"TEMPORARY", keyword::temporary, 12, 19, false},
    {"WAIT", keyword::wait, 12, 19, false},
    {"RESERVE_WAL", keyword::reserve_wal, 12, 19, true},
    {"TWO_PHASE", keyword::two_phase, 15, 19, false},
    {"EXPORT_SNAPSHOT", keyword::export_snapshot, 12, 19, false},
    {"NOEXPORT_SNAPSHOT", keyword::noexport_snapshot, 12, 19, false},
    {"USE_SNAPSHOT", keyword::use_snapshot, 12, 19, false},
    {"LABEL", keyword::label, 12, 14, false},
    {"PROGRESS", keyword::progress, 12, 14, false},
    {"FAST", keyword::fast, 12, 14, false},
    {"NOWAIT", keyword::nowait, 12, 14, false},
    {"MAX_RATE", keyword::max_rate, 12, 14, false},
    {"WAL", keyword::wal, 12, 14, false},
    {"TABLESPACE_MAP", keyword::tablespace_map, 12, 14, false},
    {"NOVERIFY_CHECKSUMS", keyword::noverify_checksums, 12, 14, false},
    {"MANIFEST", keyword::manifest, 13, 14, false},
    {"MANIFEST_CHECKSUMS", keyword::manifest_checksums, 13, 14, false},
};

enum class token_kind : std::uint8_t {
    end,
    keyword,
    identifier,
    string,
    number,
    position,
    symbol,
    unterminated, // a quote that is not closed
};

struct token {
    token_kind kind = token_kind::end;
    keyword word{};        // of a keyword
    bool quoted = false;   // of an identifier
    bool verbatim = true;  // `text` is the value; else it must be folded or unescaped first
    std::string_view text; // without the quotes around it
    std::size_t offset = 0;
    std::size_t size = 0; // in the text, quotes included
};

constexpr char to_lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// `lower` is in lower case already.
constexpr bool equals_folded(std::string_view text, std::string_view lower) noexcept {
    if (text.size() != lower.size()) return false;
    for (std::size_t i = 0; i < text.size(); ++i)
        if (to_lower(text[i]) != lower[i]) return false;
    return true;
}

constexpr bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}
constexpr bool begins_word(char c) noexcept {
    const char lower = to_lower(c);
    return (lower >= 'a' && lower <= 'z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
constexpr bool continues_word(char c) noexcept {
    return begins_word(c) || is_digit(c) || c == '$';
}

// Hands the caller's scratch out front to back.
class scratch_room {
  public:
    constexpr explicit scratch_room(std::span<char> room) noexcept : room_(room) {}

    // False when it is full.
    constexpr bool put(char c) noexcept {
        if (size_ == room_.size()) return false;
        room_[size_++] = c;
        return true;
    }
    constexpr bool put(std::string_view text) noexcept {
        for (const char c : text)
            if (!put(c)) return false;
        return true;
    }
    constexpr std::size_t size() const noexcept { return size_; }
    // What was put since the size was `from`.
    constexpr std::string_view since(std::size_t from) const noexcept {
        return {room_.data() + from, size_ - from};
    }

    // The value of a token: folded if it is a bare word, unescaped if it is quoted.
    constexpr bool put(const token& from, std::size_t size_limit) noexcept {
        const bool folds = from.kind == token_kind::keyword ||
                           (from.kind == token_kind::identifier && !from.quoted);
        const char quote = from.kind == token_kind::string ? '\'' : '"';
        std::size_t size = 0;
        for (std::size_t i = 0; i < from.text.size() && size < size_limit; ++i, ++size) {
            const char c = from.text[i];
            if (!put(folds ? to_lower(c) : c)) return false;
            if (!from.verbatim && !folds && c == quote) ++i;
        }
        return true;
    }

  private:
    std::span<char> room_;
    std::size_t size_ = 0;
};

class command_lexer {
  public:
    constexpr command_lexer(std::string_view text, int server_major, dialect spoken) noexcept
        : text_(text), major_(server_major), aiondb_(spoken == dialect::aiondb) {}

    // The next token; `end` again and again once the text is used up.
    constexpr token next() noexcept {
        while (at_ < text_.size() && is_space(text_[at_])) ++at_;
        token found;
        found.offset = at_;
        if (at_ < text_.size()) read(found);
        found.size = at_ - found.offset;
        return found;
    }

  private:
    constexpr bool is_space(char c) const noexcept {
        if (c == '\v') return aiondb_ || major_ >= 17;
        return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
    }

    constexpr void read(token& found) noexcept {
        const char first = text_[at_];
        if (first == '"' || first == '\'') return read_quoted(found, first);
        if (hex_digit(first) >= 0 && read_position(found)) return;
        const std::size_t digits_end = skip(is_digit);
        const bool word_follows = digits_end < text_.size() && continues_word(text_[digits_end]);
        if (is_digit(first) && !(aiondb_ && word_follows)) {
            found.kind = token_kind::number;
            found.text = take(digits_end);
        } else if (is_digit(first) || begins_word(first)) {
            read_word(found);
        } else {
            found.kind = token_kind::symbol;
            found.text = take(at_ + 1);
        }
    }

    // Quotes inside are doubled. Before 19 a doubled " ends one identifier and begins another.
    constexpr void read_quoted(token& found, char quote) noexcept {
        const bool doubles = quote == '\'' || aiondb_ || major_ >= 19;
        found.kind = token_kind::unterminated;
        std::size_t end = at_ + 1;
        for (; end < text_.size(); ++end) {
            if (text_[end] != quote) continue;
            if (!doubles || end + 1 == text_.size() || text_[end + 1] != quote) {
                found.kind = quote == '"' ? token_kind::identifier : token_kind::string;
                break;
            }
            found.verbatim = false;
            ++end;
        }
        found.quoted = true;
        found.text = text_.substr(at_ + 1, end - at_ - 1);
        at_ = end < text_.size() ? end + 1 : text_.size();
    }

    constexpr bool read_position(token& found) noexcept {
        constexpr auto is_hex = [](char c) noexcept { return hex_digit(c) >= 0; };
        std::size_t end = skip(is_hex);
        if (end == text_.size() || text_[end] != '/') return false;
        const std::size_t low = end + 1;
        for (end = low; end < text_.size() && is_hex(text_[end]);) ++end;
        if (end == low) return false;
        found.kind = token_kind::position;
        found.text = take(end);
        return true;
    }

    constexpr void read_word(token& found) noexcept {
        found.kind = token_kind::identifier;
        found.text = take(skip(continues_word));
        for (const char c : found.text) found.verbatim = found.verbatim && to_lower(c) == c;
        for (const keyword_entry& entry : keywords) {
            const bool known =
                aiondb_ ? entry.aiondb : major_ >= entry.since && major_ <= entry.until;
            if (!known || entry.text != found.text) continue;
            found.kind = token_kind::keyword;
            found.word = entry.word;
        }
    }

    template <class Predicate>
    constexpr std::size_t skip(Predicate belongs) const noexcept {
        std::size_t end = at_;
        while (end < text_.size() && belongs(text_[end])) ++end;
        return end;
    }
    constexpr std::string_view take(std::size_t end) noexcept {
        const std::string_view taken = text_.substr(at_, end - at_);
        at_ = end;
        return taken;
    }

    std::string_view text_;
    std::size_t at_ = 0;
    int major_;
    bool aiondb_;
};

} // namespace walwire::wire::detail
