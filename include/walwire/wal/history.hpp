// Timeline histories: the text that says which timelines led to this one.
//
// A promotion leaves the log of its parent at some position and writes a file of its own timeline's
// number (segment.hpp names it). The file lists the ancestors, oldest first, one to a line, and
// where each was left; the timeline itself has no line, and timeline 1 has no file:
//
//     1 <tab> 0/B000A0 <tab> no recovery target specified       00000003.history: 1, then 2, then 3
//     <empty>
//     2 <tab> 0/1800E20 <tab> before transaction 7411
//
// TIMELINE_HISTORY transports it as it is. The text is kept as it came, checked once, whole, and
// read again by each question: it is small, questions are rare, and so nothing is stored beside it.
//
// Switch points may run backwards, and this is no damage: a recovery to a point before its target
// timeline forked records that timeline as its parent all the same. (PostgreSQL 15, told to follow
// the latest timeline to an early position, wrote "1 0/B000A0" and then "2 0/800E20".) Later lines
// win. So a timeline was really left at the least of its own switch point and all that follow, and
// one that was overruled whole covers nothing.
//
// The form is PostgreSQL's, tried against its server: blanks before a line and any run of them
// between fields, lines of CR LF, empty lines, '#' comments, a missing reason. It reads some
// damaged lines as other numbers than they show (a sign, a ninth hexadecimal digit, a timeline past
// 32 bits, text stuck to a position), and a position of 0/0 as none; these are refused here.
//
// Source of truth: the manual's "Timelines"; src/backend/access/transam/timeline.c.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "../bytes.hpp"
#include "../dialect.hpp"
#include "../error.hpp"
#include "../lsn.hpp"

namespace walwire::wal {

// The largest text that is read: some 20,000 promotions. Servers do not bound it. Beyond it:
// message_too_large.
inline constexpr std::size_t history_size_max = 1024 * 1024;

// The longest reason that is written, since PostgreSQL takes what follows 1023 bytes for a new
// line.
inline constexpr std::size_t history_reason_size_max = 960;

// One line: `timeline` was left at `switch_point` for the timeline of the next line, or, in the
// last line, for the one that the file belongs to.
struct history_entry {
    timeline_id timeline;
    lsn switch_point;
    std::string_view reason; // as somebody wrote it, any bytes but NUL and line feed; may be empty

    friend constexpr bool operator==(const history_entry&, const history_entry&) noexcept = default;
};

// What is wrong with a text, and where: `offset` is that of the line's first byte, lines count from
// 1.
struct history_flaw {
    errc code = errc::none;
    std::uint32_t line = 0;
    std::size_t offset = 0;

    friend constexpr bool operator==(history_flaw, history_flaw) noexcept = default;
};

namespace detail {

constexpr bool is_blank(char c) noexcept {
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

constexpr std::string_view trim(std::string_view text) noexcept {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

// What stands before the next blank; `text` goes on with what follows the blanks.
constexpr std::string_view take_field(std::string_view& text) noexcept {
    std::size_t size = 0;
    while (size < text.size() && !is_blank(text[size])) ++size;
    const std::string_view field = text.substr(0, size);
    text = trim(text.substr(size));
    return field;
}

// A line that is neither empty nor a comment.
constexpr std::optional<history_entry> parse_history_line(std::string_view line) noexcept {
    if (line.find('\0') != std::string_view::npos) return std::nullopt;
    const auto timeline = parse_timeline(take_field(line));
    const auto switch_point = parse_lsn(take_field(line));
    if (!timeline || !switch_point || !switch_point->valid()) return std::nullopt;
    return history_entry{*timeline, *switch_point, line};
}

// Walks over the entries of a text. Nothing comes at its end, and at a line that is malformed().
class history_cursor {
  public:
    constexpr explicit history_cursor(std::string_view text) noexcept : rest_(text) {}

    constexpr std::optional<history_entry> next() noexcept {
        while (!rest_.empty()) {
            offset_ += passed_;
            ++line_;
            const std::size_t size = rest_.find('\n');
            const std::string_view line = trim(rest_.substr(0, size));
            passed_ = size == std::string_view::npos ? rest_.size() : size + 1;
            rest_.remove_prefix(passed_);
            if (line.empty() || line.front() == '#') continue;
            const auto entry = parse_history_line(line);
            malformed_ = !entry;
            return entry;
        }
        return std::nullopt;
    }

    constexpr bool malformed() const noexcept { return malformed_; }
    // The line that next() looked at last.
    constexpr history_flaw here(errc code) const noexcept { return {code, line_, offset_}; }

  private:
    std::string_view rest_;
    std::size_t offset_ = 0;
    std::size_t passed_ = 0; // the size of the line at offset_
    std::uint32_t line_ = 0;
    bool malformed_ = false;
};

} // namespace detail

// The first thing that is wrong with `text` as the history of timeline `own`; code none if it is
// right. message_too_large: above history_size_max. timeline_invalid: `own` is 0. history_invalid:
// a line that is no entry, a timeline that does not come after the one before it, or one that is
// not older than `own`.
constexpr history_flaw find_flaw(std::string_view text, timeline_id own) noexcept {
    if (text.size() > history_size_max) return {errc::message_too_large, 0, history_size_max};
    if (!own.valid()) return {errc::timeline_invalid, 0, 0};
    detail::history_cursor lines(text);
    timeline_id last;
    while (const auto entry = lines.next()) {
        if (entry->timeline <= last || entry->timeline >= own)
            return lines.here(errc::history_invalid);
        last = entry->timeline;
    }
    return lines.malformed() ? lines.here(errc::history_invalid) : history_flaw{};
}

// The history of one timeline. It looks into the text that it was parsed from, which must outlive
// it.
class history {
  public:
    // That of timeline 1, which has no ancestors.
    constexpr history() noexcept = default;

    // Refuses what find_flaw finds, by its code. An empty text is right for any timeline:
    // PostgreSQL takes a missing file as a timeline without ancestors.
    static constexpr result<history> parse(std::string_view text, timeline_id own) noexcept {
        if (const history_flaw flaw = find_flaw(text, own); flaw.code != errc::none)
            return flaw.code;
        history parsed;
        parsed.text_ = text;
        parsed.own_ = own;
        return parsed;
    }

    // The timeline that this is the history of.
    constexpr timeline_id timeline() const noexcept { return own_; }
    constexpr std::string_view text() const noexcept { return text_; }

    // The lines, oldest first, by a visitor that takes a `const history_entry&`.
    template <class Visitor>
    constexpr void each(Visitor&& visit) const noexcept {
        detail::history_cursor lines(text_);
        while (const auto entry = lines.next()) visit(*entry);
    }

    // True for the timeline itself and its ancestors.
    constexpr bool contains(timeline_id timeline) const noexcept {
        return timeline == own_ || next_after(timeline).valid();
    }

    // The timeline that holds the byte at `at`. For a position that says "up to here", ask for the
    // byte before it.
    constexpr timeline_id timeline_at(lsn at) const noexcept {
        timeline_id covering = own_;
        bool left = true; // the timeline before the next line was left at or before `at`
        each([&](const history_entry& entry) noexcept {
            if (left) covering = entry.timeline;
            left = entry.switch_point <= at;
        });
        return left ? own_ : covering;
    }

    // Where an ancestor was left, as later lines have it: the end of what it contributes, one past
    // its last byte. None for the timeline itself, which has no end, and for one that is not an
    // ancestor.
    constexpr std::optional<lsn> switch_point(timeline_id timeline) const noexcept {
        std::optional<lsn> least;
        each([&](const history_entry& entry) noexcept {
            if (entry.timeline == timeline || (least && entry.switch_point < *least))
                least = entry.switch_point;
        });
        return least;
    }

    // The timeline that an ancestor was left for; 0 where switch_point has no answer either.
    constexpr timeline_id next_after(timeline_id timeline) const noexcept {
        timeline_id next;
        bool found = false;
        each([&](const history_entry& entry) noexcept {
            if (found) next = entry.timeline;
            found = entry.timeline == timeline;
        });
        return found ? own_ : next;
    }

    // Whether a log that ends at `end` on `timeline` is part of this history and can go on along
    // it: none if so. timeline_behind: it is on a newer timeline than this. timeline_diverged: it
    // is on a branch that this history never took, or runs past the point where its timeline was
    // left. A log that ends exactly there has all of it and no more.
    constexpr errc objection(timeline_id timeline, lsn end) const noexcept {
        if (timeline == own_) return errc::none;
        if (timeline > own_) return errc::timeline_behind;
        const auto left_at = switch_point(timeline);
        return left_at && end <= *left_at ? errc::none : errc::timeline_diverged;
    }

  private:
    std::string_view text_;
    timeline_id own_{1};
};

// Writes the history of a timeline that leaves `parent` at `switch_point`: the parent's text as it
// is and the new line, byte for byte what PostgreSQL's own promotion writes; in AionDB's dialect
// with the position in its form of the text. Each form is read by either. An empty line parts the
// two.
//
// argument_invalid: a switch point of 0/0, or a line feed in the reason. argument_has_nul: a NUL in
// it. argument_too_long: a reason above history_reason_size_max, a text that would exceed
// history_size_max, or one that does not fit into `out`, which is then not ok(). In all cases but
// the last nothing is written.
inline errc put_history(writer& out, const history& parent, lsn switch_point,
                        std::string_view reason, dialect spoken = dialect::postgres) noexcept {
    if (!switch_point.valid() || reason.find('\n') != std::string_view::npos)
        return errc::argument_invalid;
    if (reason.find('\0') != std::string_view::npos) return errc::argument_has_nul;
    // 32 bytes are more than the line's other fields and its line feeds take: 10 + 17 + 4.
    if (reason.size() > history_reason_size_max ||
        parent.text().size() + reason.size() + 32 > history_size_max)
        return errc::argument_too_long;

    out.append(parent.text());
    if (!parent.text().empty()) out.append("\n");
    out.append(decimal_text(parent.timeline().value));
    out.append("\t");
    out.append(to_text(switch_point, spoken));
    out.append("\t");
    out.append(reason);
    out.append("\n");
    return out.ok() ? errc::none : errc::argument_too_long;
}

} // namespace walwire::wal
