// Rows of the replication commands, read into the events that carry them.
//
// A row is judged by its place and its text; column names and types differ between versions and say
// nothing that is needed. Servers may add columns behind those that are known. A row that cannot be
// read is answer_invalid, or the code that names what was wrong in it.
//
// Source of truth: the manual, "Streaming Replication Protocol", command by command.
#pragma once

#include <optional>
#include <string_view>

#include "../dialect.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../wal/segment.hpp"
#include "../wire/rows.hpp"
#include "event.hpp"

namespace walwire::replica::answer {

// The cluster's identifier: an unsigned 64-bit number in decimal, never 0.
constexpr result<std::uint64_t> parse_system_identifier(std::string_view text) noexcept {
    const auto value = walwire::detail::parse_decimal(text, UINT64_MAX);
    if (!value || *value == 0) return errc::system_identifier_invalid;
    return *value;
}

// AionDB's identifier is a text: a decimal number stands for itself, anything else for a number
// made of it, never 0. To compare these numbers finds out a mix-up, and no more: whoever chooses
// the texts can make two of the same number. system_identified::identifier_text and the header of a
// backup have the text itself, for whoever must be sure. system_identifier_invalid: none at all.
constexpr result<std::uint64_t> parse_entry_system_identifier(std::string_view text) noexcept {
    if (text.empty()) return errc::system_identifier_invalid;
    if (const auto number = parse_system_identifier(text)) return *number;
    const std::uint64_t value = walwire::detail::name_hash(text);
    return value == 0 ? 1 : value;
}

// systemid | timeline | xlogpos | dbname
inline result<system_identified> read_system(const wire::data_row& row,
                                             dialect spoken = dialect::postgres) noexcept {
    const auto identifier = row[0];
    const auto timeline = row[1];
    const auto position = row[2];
    if (!identifier || !timeline || !position) return errc::answer_invalid;
    const auto parsed_identifier = spoken == dialect::aiondb
                                       ? parse_entry_system_identifier(*identifier)
                                       : parse_system_identifier(*identifier);
    if (!parsed_identifier) return parsed_identifier.code();
    const auto parsed_timeline = parse_timeline(*timeline);
    if (!parsed_timeline) return parsed_timeline.code();
    const auto parsed_position = parse_lsn(*position);
    if (!parsed_position) return parsed_position.code();
    return system_identified{*parsed_identifier, *parsed_timeline, *parsed_position, row[3],
                             *identifier};
}

// One column, named as the setting; SHOW ALL has three, and the middle one is the value.
inline result<setting_shown> read_setting(const wire::data_row& row) noexcept {
    const auto value = row[row.size() == 3 ? 1 : 0];
    if (!value) return errc::answer_invalid;
    return setting_shown{*value};
}

// filename | content. Where no timeline was asked for, as only AionDB's replicas may (`asked` is
// 0), the file's name says which one is the current.
inline result<history_read> read_history(const wire::data_row& row, timeline_id asked) noexcept {
    const auto name = row[0];
    const auto content = row[1];
    if (!name || !content) return errc::answer_invalid;
    const auto named = wal::parse_history_name(*name);
    if (!named || (asked.valid() && *named != asked)) return errc::answer_invalid;
    return history_read{*named, as_bytes(*content)};
}

// slot_name | consistent_point | snapshot_name | output_plugin
inline result<slot_created> read_slot_created(const wire::data_row& row) noexcept {
    const auto name = row[0];
    const auto point = row[1];
    if (row.size() < 4 || !name || !point) return errc::answer_invalid;
    const auto parsed = parse_lsn(*point);
    if (!parsed) return parsed.code();
    return slot_created{*name, *parsed, row[2], row[3]};
}

// slot_type | restart_lsn | restart_tli; three NULLs when there is no such slot
inline result<slot_read> read_slot(const wire::data_row& row) noexcept {
    if (row.size() < 3) return errc::answer_invalid;
    slot_read slot;
    if (!row[0]) return slot;
    slot.exists = true;
    slot.type = *row[0];
    if (const auto restart = row[1]) {
        const auto parsed = parse_lsn(*restart);
        if (!parsed) return parsed.code();
        slot.restart = *parsed;
    }
    if (const auto timeline = row[2]) {
        const auto parsed = parse_timeline(*timeline);
        if (!parsed) return parsed.code();
        slot.restart_timeline = *parsed;
    }
    return slot;
}

// next_tli | next_tli_startpos
inline result<timeline_ended> read_next_timeline(const wire::data_row& row) noexcept {
    const auto timeline = row[0];
    const auto position = row[1];
    if (!timeline || !position) return errc::next_timeline_invalid;
    const auto parsed_timeline = parse_timeline(*timeline);
    const auto parsed_position = parse_lsn(*position);
    if (!parsed_timeline || !parsed_position || !parsed_position->valid())
        return errc::next_timeline_invalid;
    return timeline_ended{*parsed_timeline, *parsed_position};
}

} // namespace walwire::replica::answer
