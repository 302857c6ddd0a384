// Understands a replication command as a walsender of a given version does.
//
//     IDENTIFY_SYSTEM
//     SHOW name[.name]...
//     TIMELINE_HISTORY n                                  [n in AionDB]
//     CREATE_REPLICATION_SLOT s [TEMPORARY] PHYSICAL [RESERVE_WAL]
//     CREATE_REPLICATION_SLOT s [TEMPORARY] LOGICAL plugin [EXPORT_SNAPSHOT | NOEXPORT_SNAPSHOT |
//                                                           USE_SNAPSHOT] [TWO_PHASE: 15]
//     CREATE_REPLICATION_SLOT s [TEMPORARY] ... ( option, ... )                            15
//     READ_REPLICATION_SLOT s                                                              15
//     ALTER_REPLICATION_SLOT s ( option, ... )                                             17
//     DROP_REPLICATION_SLOT s [WAIT]
//     START_REPLICATION [SLOT s] [PHYSICAL] X/X [TIMELINE n]
//     START_REPLICATION SLOT s LOGICAL X/X [( name ['value'], ... )]
//     BASE_BACKUP [LABEL 's' | PROGRESS | FAST | WAL | NOWAIT | MAX_RATE n | TABLESPACE_MAP |
//                  NOVERIFY_CHECKSUMS | MANIFEST 's' | MANIFEST_CHECKSUMS 's']...          up to 14
//     BASE_BACKUP [( option, ... )]                                                        15
//     UPLOAD_MANIFEST                                                                      17
//
// One semicolon may follow. The first token decides between a command and SQL, which is handed on
// unread. What comes out is safe to act on: slot names are such as slots have, numbers and
// positions are in range, options do not contradict each other. What depends on the server's state
// is left to it: whether a slot or a target exists, whether there is a database, what a
// compression's detail says. Stricter than PostgreSQL, on purpose: no number or position wraps
// around, a backup's label is one line, and READ_REPLICATION_SLOT refuses a name that no slot can
// have.
//
// Source of truth: running servers of 12 to 18, whose refusals these are, codes and wording; the
// manual for 19.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "../dialect.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "command.hpp"
#include "command_backup_options.hpp"
#include "command_lexer.hpp"
#include "command_syntax.hpp"
#include "sqlstate.hpp"

namespace walwire::wire {

// A command, or why there is none.
struct parsed_command {
    command value; // SQL, the whole text, where there is an error
    command_error error;
    // Not an error but worth a notice, 42622: an identifier that was cut to its first 63 bytes.
    std::string_view truncated_identifier;

    constexpr explicit operator bool() const noexcept { return error.code == errc::none; }
};

namespace detail {

// The overloads of `read` take a command from behind its keyword; false: a syntax error.

inline bool read(command_syntax& in, show& into) noexcept {
    const std::size_t offset = in.ahead().offset;
    if (!in.dotted_name(into.name)) return false;
    if (into.name.empty())
        in.refuse(errc::name_invalid, sqlstate::undefined_object, offset,
                  "unrecognized configuration parameter \"\"");
    return true;
}

inline bool read(command_syntax& in, timeline_history& into) noexcept {
    const bool omitted = in.aiondb() && !in.ahead_is(token_kind::number);
    return omitted || in.timeline(into.timeline);
}

// What CREATE_REPLICATION_SLOT was told, so that nothing is told twice or to the wrong kind of
// slot.
class slot_options {
  public:
    slot_options(command_syntax& in, create_replication_slot& into) noexcept
        : in_(in), into_(into) {}

    // Bare keywords in any order.
    void legacy() noexcept {
        for (;; in_.advance()) {
            const std::size_t offset = in_.ahead().offset;
            if (in_.ahead_is(keyword::reserve_wal)) {
                if (once(seen_reserve_wal, slot_kind::physical, offset)) into_.reserve_wal = true;
            } else if (in_.ahead_is(keyword::two_phase)) {
                if (once(seen_two_phase, slot_kind::logical, offset)) into_.two_phase = true;
            } else if (in_.ahead_is(keyword::export_snapshot)) {
                snapshot(slot_snapshot::exported, offset);
            } else if (in_.ahead_is(keyword::noexport_snapshot)) {
                snapshot(slot_snapshot::nothing, offset);
            } else if (in_.ahead_is(keyword::use_snapshot)) {
                snapshot(slot_snapshot::used, offset);
            } else {
                return;
            }
        }
    }

    bool take(const option& given) noexcept {
        const std::size_t offset = given.name.offset;
        if (in_.names(given.name, "reserve_wal")) {
            if (once(seen_reserve_wal, slot_kind::physical, offset))
                in_.flag(given, "reserve_wal", into_.reserve_wal);
        } else if (in_.names(given.name, "two_phase")) {
            if (once(seen_two_phase, slot_kind::logical, offset))
                in_.flag(given, "two_phase", into_.two_phase);
        } else if (in_.names(given.name, "snapshot")) {
            return take_snapshot(given);
        } else if (in_.major() >= 17 && in_.names(given.name, "failover")) {
            if (once(seen_failover, slot_kind::logical, offset))
                in_.flag(given, "failover", into_.failover);
        } else {
            return unknown(in_, given);
        }
        return true;
    }

    // For ALTER_REPLICATION_SLOT too.
    static bool unknown(command_syntax& in, const option& given) noexcept {
        std::string_view name;
        if (!in.decode(given.name, name)) return false;
        in.refuse(errc::option_unknown, sqlstate::internal_error, given.name.offset,
                  "unrecognized option: ", name);
        return true;
    }
    static void redundant(command_syntax& in, std::size_t offset) noexcept {
        in.refuse(errc::option_conflict, sqlstate::syntax_error, offset,
                  "conflicting or redundant options");
    }

  private:
    static constexpr unsigned seen_reserve_wal = 1, seen_two_phase = 2, seen_snapshot = 4,
                              seen_failover = 8;

    bool once(unsigned what, slot_kind kind, std::size_t offset) noexcept {
        const bool fine = (seen_ & what) == 0 && into_.kind == kind;
        if (!fine) redundant(in_, offset);
        seen_ |= what;
        return fine;
    }

    void snapshot(slot_snapshot value, std::size_t offset) noexcept {
        if (once(seen_snapshot, slot_kind::logical, offset)) into_.snapshot = value;
    }

    bool take_snapshot(const option& given) noexcept {
        const std::size_t offset = given.name.offset;
        std::string_view text;
        if (!once(seen_snapshot, slot_kind::logical, offset)) return true;
        if (!in_.text(given, "snapshot", text)) return false;
        for (std::size_t i = 0; i < std::size(snapshot_names); ++i) {
            if (text != snapshot_names[i]) continue;
            into_.snapshot = static_cast<slot_snapshot>(i);
            return true;
        }
        in_.refuse(errc::option_invalid, sqlstate::invalid_parameter_value, given.value.offset,
                   "unrecognized value for CREATE_REPLICATION_SLOT option \"snapshot\": \"", text,
                   "\"");
        return true;
    }

    command_syntax& in_;
    create_replication_slot& into_;
    unsigned seen_ = 0;
};

inline bool read(command_syntax& in, create_replication_slot& into) noexcept {
    token name;
    if (!in.slot_name(name, into.name)) return false;
    into.temporary = in.accept(keyword::temporary);
    if (in.accept(keyword::logical)) {
        into.kind = slot_kind::logical;
        const std::size_t offset = in.ahead().offset;
        if (!in.identifier(into.plugin)) return false;
        if (into.plugin.empty())
            in.refuse(errc::name_invalid, sqlstate::invalid_name, offset,
                      "output plugin name \"\" is too short");
    } else if (!in.accept(keyword::physical)) {
        return in.unexpected();
    }
    slot_options options(in, into);
    const bool listed = in.major() >= 15 && !in.aiondb() && in.ahead_is(token_kind::symbol) &&
                        in.ahead().text == "(";
    if (!listed)
        options.legacy();
    else if (!in.options([&](const option& given) noexcept { return options.take(given); }))
        return false;
    if (into.failover && into.temporary)
        in.refuse(errc::option_conflict, sqlstate::feature_not_supported, name.offset,
                  "cannot enable failover for a temporary replication slot");
    in.judge_new_slot(name, into.name);
    if (in.major() >= 19 && !in.aiondb() && into.name == reserved_slot_name)
        in.refuse(errc::name_invalid, sqlstate::reserved_name, name.offset,
                  "replication slot name \"", into.name, "\" is reserved");
    return true;
}

inline bool read(command_syntax& in, read_replication_slot& into) noexcept {
    token name;
    if (!in.slot_name(name, into.name)) return false;
    in.judge_new_slot(name, into.name);
    return true;
}

inline bool read(command_syntax& in, alter_replication_slot& into) noexcept {
    token name;
    if (!in.slot_name(name, into.name)) return false;
    const bool listed = in.options([&](const option& given) noexcept {
        const bool failover = in.names(given.name, "failover");
        const bool two_phase = in.major() >= 18 && in.names(given.name, "two_phase");
        if (!failover && !two_phase) return slot_options::unknown(in, given);
        std::optional<bool>& value = failover ? into.failover : into.two_phase;
        if (value) slot_options::redundant(in, given.name.offset);
        bool on = false;
        in.flag(given, failover ? "failover" : "two_phase", on);
        value = on;
        return true;
    });
    in.judge_old_slot(name, into.name);
    return listed;
}

inline bool read(command_syntax& in, drop_replication_slot& into) noexcept {
    token name;
    if (!in.slot_name(name, into.name)) return false;
    in.judge_old_slot(name, into.name);
    into.wait = in.accept(keyword::wait);
    return true;
}

// The list that plugin_options unpacks. An option without a name would end it early, so it is
// refused.
inline bool read(command_syntax& in, plugin_options& into) noexcept {
    scratch_room& room = in.scratch();
    const std::size_t first = room.size();
    bool last = !in.accept('(');
    while (!last) {
        const token name = in.ahead();
        if (name.kind != token_kind::identifier || name.text.empty()) return in.unexpected();
        if (!room.put(name, identifier_size_max) || !room.put('\0'))
            return in.out_of_room(name.offset);
        in.advance();
        if (in.ahead_is(token_kind::string)) {
            const bool fits =
                room.put('\0') && room.put(in.ahead(), in.ahead().text.size()) && room.put('\0');
            if (!fits) return in.out_of_room(in.ahead().offset);
            in.advance();
        }
        last = !in.accept(',');
        if (last && !in.accept(')')) return in.unexpected();
    }
    into = plugin_options::packed(room.since(first));
    return true;
}

// Both kinds of streaming, told apart behind the slot.
inline bool read_start(command_syntax& in, command& into) noexcept {
    start_replication physical;
    if (in.accept(keyword::slot)) {
        token name;
        if (!in.slot_name(name, physical.slot)) return false;
        in.judge_old_slot(name, physical.slot);
        if (in.accept(keyword::logical)) {
            start_logical_replication logical{physical.slot, {}, {}};
            if (!in.position(logical.start) || !read(in, logical.options)) return false;
            into = logical;
            return true;
        }
    }
    in.accept(keyword::physical);
    if (!in.position(physical.start)) return false;
    if (in.accept(keyword::timeline) && !in.timeline(physical.timeline)) return false;
    into = physical;
    return true;
}

template <class Command>
inline bool read_into(command_syntax& in, command& into) noexcept {
    Command read_command;
    if (!read(in, read_command)) return false;
    into = read_command;
    return true;
}

inline bool read(command_syntax& in, keyword word, command& into) noexcept {
    switch (word) {
    case keyword::identify_system: into = identify_system{}; return true;
    case keyword::show: return read_into<show>(in, into);
    case keyword::timeline_history: return read_into<timeline_history>(in, into);
    case keyword::create_replication_slot: return read_into<create_replication_slot>(in, into);
    case keyword::read_replication_slot: return read_into<read_replication_slot>(in, into);
    case keyword::alter_replication_slot: return read_into<alter_replication_slot>(in, into);
    case keyword::drop_replication_slot: return read_into<drop_replication_slot>(in, into);
    case keyword::start_replication: return read_start(in, into);
    case keyword::base_backup: return read_into<base_backup>(in, into);
    case keyword::upload_manifest: into = upload_manifest{}; return true;
    default: return in.unexpected();
    }
}

} // namespace detail

// `text` is what the Query message held. `scratch` receives the few parts that cannot be views into
// the text; as many bytes as the text has always suffice, and with fewer a command that needs more
// is refused with argument_too_long. The command's texts are views into both. `server_major` is the
// version that the primary plays, 12 to 19; others count as the nearest. AionDB has only one
// grammar.
//
// Errors: command_invalid, timeline_invalid, lsn_invalid, name_invalid, option_unknown,
// option_conflict, option_invalid, argument_has_nul, argument_too_long. None of them ends the
// connection.
inline parsed_command parse_command(std::string_view text, std::span<char> scratch,
                                    int server_major, dialect spoken) noexcept {
    parsed_command parsed{sql{text}, {}, {}};
    const std::size_t nul = text.find('\0');
    if (nul != std::string_view::npos) {
        parsed.error = {errc::argument_has_nul,        nul, sqlstate::character_not_in_repertoire,
                        "invalid byte sequence: 0x00", {},  {}};
        return parsed;
    }
    if (server_major < server_major_min) server_major = server_major_min;
    if (server_major > server_major_max) server_major = server_major_max;
    detail::command_syntax in(text, scratch, server_major, spoken);
    const detail::token first = in.ahead();
    command read = sql{text};
    bool ended = false;
    if (first.kind == detail::token_kind::unterminated) {
        in.unexpected();
    } else if (first.kind == detail::token_kind::keyword && detail::is_command(first.word)) {
        in.advance();
        ended = detail::read(in, first.word, read) && in.end();
        parsed.truncated_identifier = in.truncated();
    }
    parsed.error = in.error();
    if (ended && parsed) parsed.value = read;
    return parsed;
}

} // namespace walwire::wire
