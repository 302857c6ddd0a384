// A table of slots as a text, for the file that keeps it over a restart.
//
//     walwire-slots 1                      the format and its version
//     standby_a 0/3000028 1 0 0            name, restart_lsn, restart_tli, xmin, catalog_xmin
//     standby_b - - 4294968039 0           a slot that no position was reported for
//     end 2                                how many there were
//
// Fields are parted by one blank, lines end with a line feed. Temporary slots are not in it, and
// nobody holds a slot that is read back. The last line is there because a file that was cut short
// between two lines would lose a slot without a trace, and with it the WAL of a replica.
//
// A change that may not be lost (a slot created, dropped or moved) is saved by writing the whole
// text beside the old file, fsync, rename and fsync of the directory; that is the adapter's. To
// lose a move is harmless: WAL is kept a little longer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "slot.hpp"

namespace walwire::primary {

inline constexpr std::uint32_t slots_version = 1;

// The room that suffices for any table of this many slots: a name, a position, a timeline, two
// transactions, four blanks and a line feed each; and the first and the last line.
constexpr std::size_t slots_text_size_max(std::size_t slots) noexcept {
    return 64 + slots * (wire::identifier_size_max + 17 + 10 + 20 + 20 + 5);
}

// What is wrong with a text, and in which line, counted from 1.
struct slots_flaw {
    errc code = errc::none;
    std::uint32_t line = 0;

    constexpr bool ok() const noexcept { return code == errc::none; }
    friend constexpr bool operator==(slots_flaw, slots_flaw) noexcept = default;
};

namespace detail {

inline constexpr std::string_view slots_title = "walwire-slots ";
inline constexpr std::string_view slots_end = "end ";

// One line without its end; `text` goes on behind it. False where no line ends.
constexpr bool take_line(std::string_view& text, std::string_view& line) noexcept {
    const std::size_t size = text.find('\n');
    if (size == std::string_view::npos) return false;
    line = text.substr(0, size);
    text.remove_prefix(size + 1);
    return true;
}

// What stands before the next blank, or all that is left of the line.
constexpr std::string_view take_word(std::string_view& line) noexcept {
    const std::string_view word = line.substr(0, line.find(' '));
    line.remove_prefix(word.size() < line.size() ? word.size() + 1 : word.size());
    return word;
}

// Transactions below 3, in any epoch, are marks and none that somebody could need.
constexpr errc parse_xid(std::string_view text, std::uint64_t& xid) noexcept {
    const auto value = walwire::detail::parse_decimal(text, UINT64_MAX);
    if (!value || (*value != 0 && static_cast<std::uint32_t>(*value) < 3))
        return errc::number_invalid;
    xid = *value;
    return errc::none;
}

// "name lsn timeline xmin catalog_xmin" as a slot of the table.
constexpr errc parse_slot_line(std::string_view line, slot_table& into) noexcept {
    std::size_t blanks = 0;
    for (const char c : line) blanks += c == ' ' ? 1u : 0u;
    if (blanks != 4) return errc::slots_invalid;
    const std::string_view name = take_word(line);
    const std::string_view position = take_word(line);
    const std::string_view timeline = take_word(line);
    new_slot as;
    if (position != "-" || timeline != "-") {
        const auto lsn_read = parse_lsn(position);
        if (!lsn_read || !lsn_read->valid()) return errc::lsn_invalid;
        const auto timeline_read = parse_timeline(timeline);
        if (!timeline_read) return timeline_read.code();
        as.restart_lsn = *lsn_read;
        as.restart_tli = *timeline_read;
    }
    wire::hot_standby_feedback needed;
    if (const errc code = parse_xid(take_word(line), needed.xmin); code != errc::none) return code;
    if (const errc code = parse_xid(line, needed.catalog_xmin); code != errc::none) return code;
    const auto made = into.create(name, as);
    if (!made) return made.code();
    (*made)->feedback(needed);
    return errc::none;
}

constexpr slots_flaw parse_slot_lines(std::string_view text, slot_table& into) noexcept {
    std::uint32_t number = 1;
    std::string_view line;
    if (!take_line(text, line) || !line.starts_with(slots_title))
        return {errc::slots_invalid, number};
    const auto version =
        walwire::detail::parse_decimal(line.substr(slots_title.size()), UINT32_MAX);
    if (!version || *version == 0) return {errc::slots_invalid, number};
    if (*version != slots_version) return {errc::slots_too_new, number};
    for (;;) {
        ++number;
        if (!take_line(text, line)) return {errc::slots_invalid, number};
        if (line.starts_with(slots_end)) break;
        if (const errc code = parse_slot_line(line, into); code != errc::none)
            return {code, number};
    }
    const auto count = walwire::detail::parse_decimal(line.substr(slots_end.size()), UINT32_MAX);
    if (!count || *count != into.size() || !text.empty()) return {errc::slots_invalid, number};
    return {};
}

} // namespace detail

// Writes the persistent slots. argument_too_long: `out`, which is then not ok(), has no room for
// all.
inline errc put_slots(writer& out, const slot_table& table) noexcept {
    std::size_t count = 0;
    out.append(detail::slots_title);
    out.append(decimal_text(slots_version));
    out.append("\n");
    table.each([&](const slot& each) noexcept {
        if (each.temporary()) return;
        ++count;
        out.append(each.name());
        if (each.restart_lsn().valid()) {
            out.append(" ");
            out.append(to_text(each.restart_lsn()));
            out.append(" ");
            out.append(decimal_text(each.restart_tli().value));
        } else {
            out.append(" - -");
        }
        for (const std::uint64_t xid : {each.xmin(), each.catalog_xmin()}) {
            out.append(" ");
            out.append(decimal_text(xid));
        }
        out.append("\n");
    });
    out.append(detail::slots_end);
    out.append(decimal_text(count));
    out.append("\n");
    return out.ok() ? errc::none : errc::argument_too_long;
}

// Reads slots into a table, which must be empty and is empty again after any refusal. Lines are
// refused with slots_invalid for their form, and with the code of the field that is wrong:
// name_invalid, lsn_invalid, timeline_invalid, number_invalid, slot_exists, slots_full. not_now, in
// line 0: the table is not empty. slots_too_new: a version of the format that is not known here.
constexpr slots_flaw parse_slots(std::string_view text, slot_table& into) noexcept {
    if (into.size() != 0) return {errc::not_now, 0};
    const slots_flaw flaw = detail::parse_slot_lines(text, into);
    if (!flaw.ok()) into.clear();
    return flaw;
}

} // namespace walwire::primary
