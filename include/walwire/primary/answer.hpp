// Answers to replication commands as rows: columns, types and tags of the version that is played.
//
//     IDENTIFY_SYSTEM           systemid text | timeline int4, from 16 on int8 | xlogpos text |
//                               dbname text
//     SHOW                      one text, named as the setting
//     TIMELINE_HISTORY          filename text | content bytea, from 14 on text
//     CREATE_REPLICATION_SLOT   slot_name | consistent_point | snapshot_name | output_plugin
//     READ_REPLICATION_SLOT     slot_type text | restart_lsn text | restart_tli int8
//     (the end of a timeline)   next_tli int8 | next_tli_startpos text
//
// Each is a RowDescription, one DataRow and the CommandComplete, written into one outbox as a
// whole. A type is only a label here: everything is sent as text, and a history's bytes as they
// are. Clients go by position; the labels are kept because some tools print them.
//
// Source of truth: running servers of 12 to 18.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "../bytes.hpp"
#include "../dialect.hpp"
#include "../lsn.hpp"
#include "../wal/segment.hpp"
#include "../wire/backend.hpp"
#include "../wire/rows.hpp"

namespace walwire::primary {

// Answers IDENTIFY_SYSTEM. `end` is how far the log is flushed here (AionDB: the last entry that
// is); on a standby, how far it came. AionDB's identifier is a text, which a number may not be able
// to say: where `name` is given, it is sent in place of the number, and a base backup's header is
// to say the same.
struct system_identity {
    std::uint64_t system_identifier = 0;
    timeline_id timeline;
    lsn end;
    std::optional<std::string_view> database; // where the client chose one
    std::string_view name = {};               // AionDB's alone
};

// Answers SHOW; the name as the server spells it.
struct setting {
    std::string_view name;
    std::string_view value;
};

// Answers TIMELINE_HISTORY. The content is lent: it must live until the session has written it.
struct history_content {
    timeline_id timeline;
    bytes content;
};

// Answers CREATE_REPLICATION_SLOT. Only logical slots have a consistent point, and the rest.
struct created_slot {
    std::string_view name;
    lsn consistent_point;
    std::optional<std::string_view> snapshot;
    std::optional<std::string_view> plugin;
};

// Answers READ_REPLICATION_SLOT. A slot that does not exist, or that has reserved nothing yet, is
// no error.
struct slot_state {
    bool exists = false;
    lsn restart;
    timeline_id restart_timeline;
};

namespace detail {

constexpr wire::column text_column(std::string_view name) noexcept {
    wire::column made;
    made.name = name;
    return made;
}
constexpr wire::column int8_column(std::string_view name) noexcept {
    wire::column made;
    made.name = name;
    made.type = wire::type_oid::int8;
    made.type_size = 8;
    return made;
}
constexpr wire::column int4_column(std::string_view name) noexcept {
    wire::column made;
    made.name = name;
    made.type = wire::type_oid::int4;
    made.type_size = 4;
    return made;
}

using row_value = std::optional<std::string_view>;

inline void put_row(writer& out, std::span<const wire::column> columns,
                    std::span<const row_value> values) noexcept {
    wire::put(out, columns);
    wire::put(out, values);
}

} // namespace detail

// What differs between versions and dialects in the answers.
struct answer_style {
    int major_version = 18;
    walwire::dialect dialect = walwire::dialect::postgres;

    // The tag that completes a command; 12 has one for all of them.
    constexpr std::string_view tag(std::string_view command) const noexcept {
        const bool old = dialect == walwire::dialect::postgres && major_version < 13;
        return old ? std::string_view("SELECT") : command;
    }
};

inline void put(writer& out, const system_identity& answer, answer_style style) noexcept {
    using namespace detail;
    const bool wide = style.dialect == dialect::postgres && style.major_version >= 16;
    const wire::column columns[] = {text_column("systemid"),
                                    wide ? int8_column("timeline") : int4_column("timeline"),
                                    text_column("xlogpos"), text_column("dbname")};
    const decimal_text number(answer.system_identifier);
    const bool named = style.dialect == dialect::aiondb && !answer.name.empty();
    const std::string_view identifier = named ? answer.name : std::string_view(number);
    const decimal_text timeline(answer.timeline.value);
    const lsn_text end(answer.end, style.dialect);
    const row_value values[] = {identifier, timeline, end, answer.database};
    put_row(out, columns, values);
    put(out, wire::command_complete{style.tag("IDENTIFY_SYSTEM")});
}

inline void put(writer& out, const setting& answer, answer_style style) noexcept {
    const wire::column columns[] = {detail::text_column(answer.name)};
    const detail::row_value values[] = {answer.value};
    detail::put_row(out, columns, values);
    put(out, wire::command_complete{style.tag("SHOW")});
}

// All of a history's row but its last value, the content, which follows as it is.
inline void put_but_content(writer& out, const history_content& answer,
                            answer_style style) noexcept {
    using namespace detail;
    wire::column columns[] = {text_column("filename"), text_column("content")};
    if (style.dialect == dialect::postgres) {
        if (style.major_version < 14) columns[1].type = wire::type_oid::bytea;
        if (style.major_version < 16) columns[0].type_modifier = columns[1].type_modifier = 0;
    }
    wire::put(out, std::span<const wire::column>(columns));
    const auto file = wal::history_name(answer.timeline);
    const std::string_view name = file;
    const std::size_t size = answer.content.size();
    out.u8(static_cast<std::uint8_t>(wire::backend_tag::data_row));
    out.u32(static_cast<std::uint32_t>(wire::length_size + 2 + 4 + name.size() + 4 + size));
    out.u16(2);
    out.i32(static_cast<std::int32_t>(name.size()));
    out.append(name);
    out.i32(static_cast<std::int32_t>(size));
}

inline void put(writer& out, const created_slot& answer, answer_style style) noexcept {
    using namespace detail;
    const wire::column columns[] = {text_column("slot_name"), text_column("consistent_point"),
                                    text_column("snapshot_name"), text_column("output_plugin")};
    const lsn_text point(answer.consistent_point, style.dialect);
    const row_value values[] = {answer.name, point, answer.snapshot, answer.plugin};
    put_row(out, columns, values);
    put(out, wire::command_complete{style.tag("CREATE_REPLICATION_SLOT")});
}

inline void put(writer& out, const slot_state& answer, answer_style style) noexcept {
    using namespace detail;
    const wire::column columns[] = {text_column("slot_type"), text_column("restart_lsn"),
                                    int8_column("restart_tli")};
    const lsn_text restart(answer.restart, style.dialect);
    const decimal_text timeline(answer.restart_timeline.value);
    row_value values[3];
    if (answer.exists) values[0] = "physical";
    if (answer.exists && answer.restart.valid()) values[1] = restart, values[2] = timeline;
    put_row(out, columns, values);
    put(out, wire::command_complete{style.tag("READ_REPLICATION_SLOT")});
}

// The row that says how the history goes on behind a timeline's end.
inline void put_next_timeline(writer& out, timeline_id next, lsn switch_point,
                              answer_style style) noexcept {
    using namespace detail;
    const wire::column columns[] = {int8_column("next_tli"), text_column("next_tli_startpos")};
    const decimal_text timeline(next.value);
    const lsn_text start(switch_point, style.dialect);
    const row_value values[] = {timeline, start};
    put_row(out, columns, values);
}

} // namespace walwire::primary
