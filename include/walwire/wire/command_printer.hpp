// Writes a replication command as a server of a given version wants to read it.
//
//     server up to 14   CREATE_REPLICATION_SLOT "s" LOGICAL "pgoutput" NOEXPORT_SNAPSHOT
//     server since 15   CREATE_REPLICATION_SLOT "s" LOGICAL "pgoutput" (SNAPSHOT 'nothing')
//     AionDB            CREATE_REPLICATION_SLOT s PHYSICAL
//
// What the version lacks is refused and not left out: a backup that asked for a manifest must not
// end without one. Names of slots and plugins are always quoted, because a bare word may be a
// keyword; a setting is bare where it is plain, as every client writes it. Nothing that comes from
// a caller can leave its quotes.
//
// Source of truth: the manual, "Streaming Replication Protocol", of each version; running servers
// of 12 to 18 take every form that is printed here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "../bytes.hpp"
#include "../dialect.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "command.hpp"

namespace walwire::wire {

namespace detail {

// A list in parentheses that is not there at all while it has no items.
class item_list {
  public:
    explicit item_list(writer& out) noexcept : out_(out) {}

    writer& item(std::string_view text) noexcept {
        out_.append(std::string_view{empty_ ? " (" : ", "});
        out_.append(text);
        empty_ = false;
        return out_;
    }
    void close() noexcept {
        if (!empty_) out_.append(std::string_view{")"});
    }

  private:
    writer& out_;
    bool empty_ = true;
};

// One call operator for each command; each checks all that it can before it writes.
class command_printer {
  public:
    command_printer(writer& out, int server_major, dialect spoken) noexcept
        : out_(out), major_(server_major), aiondb_(spoken == dialect::aiondb) {}

    errc operator()(const identify_system&) noexcept { return say("IDENTIFY_SYSTEM"); }

    errc operator()(const show& from) noexcept {
        if (aiondb_) return errc::unsupported_version;
        if (from.name.empty()) return errc::name_invalid;
        say("SHOW ");
        for (std::string_view rest = from.name;;) {
            const std::size_t dot = rest.find('.');
            const std::string_view part = rest.substr(0, dot);
            if (const errc fault = identifier_fault(part); fault != errc::none) return fault;
            is_plain(part) ? void(say(part)) : quote(part, '"');
            if (dot == std::string_view::npos) return errc::none;
            say(".");
            rest.remove_prefix(dot + 1);
        }
    }

    errc operator()(const timeline_history& from) noexcept {
        if (!from.timeline && !aiondb_) return errc::timeline_invalid;
        if (from.timeline && !from.timeline->valid()) return errc::timeline_invalid;
        say("TIMELINE_HISTORY");
        if (from.timeline) number(" ", from.timeline->value);
        return errc::none;
    }

    errc operator()(const create_replication_slot& from) noexcept {
        if (const errc fault = fault_of(from); fault != errc::none) return fault;
        say("CREATE_REPLICATION_SLOT ");
        slot(from.name);
        if (from.temporary) say(" TEMPORARY");
        if (from.kind == slot_kind::physical) {
            say(" PHYSICAL");
        } else {
            say(" LOGICAL ");
            quote(from.plugin, '"');
        }
        major_ >= 15 && !aiondb_ ? slot_options(from) : legacy_slot_options(from);
        return errc::none;
    }

    errc operator()(const read_replication_slot& from) noexcept {
        if (!aiondb_ && major_ < 15) return errc::unsupported_version;
        if (!is_slot_name(from.name)) return errc::name_invalid;
        say("READ_REPLICATION_SLOT ");
        slot(from.name);
        return errc::none;
    }

    errc operator()(const alter_replication_slot& from) noexcept {
        if (aiondb_ || major_ < 17) return errc::unsupported_version;
        if (from.two_phase && major_ < 18) return errc::unsupported_version;
        if (!is_slot_name(from.name)) return errc::name_invalid;
        if (!from.failover && !from.two_phase) return errc::argument_invalid;
        say("ALTER_REPLICATION_SLOT ");
        slot(from.name);
        item_list items(out_);
        if (from.failover) items.item(*from.failover ? "FAILOVER true" : "FAILOVER false");
        if (from.two_phase) items.item(*from.two_phase ? "TWO_PHASE true" : "TWO_PHASE false");
        items.close();
        return errc::none;
    }

    errc operator()(const drop_replication_slot& from) noexcept {
        if (aiondb_) return errc::unsupported_version;
        if (!is_slot_name(from.name)) return errc::name_invalid;
        say("DROP_REPLICATION_SLOT ");
        slot(from.name);
        if (from.wait) say(" WAIT");
        return errc::none;
    }

    errc operator()(const start_replication& from) noexcept {
        if (!from.slot.empty() && !is_slot_name(from.slot)) return errc::name_invalid;
        if (from.timeline && !from.timeline->valid()) return errc::timeline_invalid;
        say("START_REPLICATION ");
        if (!from.slot.empty()) {
            say("SLOT ");
            slot(from.slot);
            say(aiondb_ ? " PHYSICAL " : " ");
        }
        position(from.start);
        if (from.timeline) number(" TIMELINE ", from.timeline->value);
        return errc::none;
    }

    errc operator()(const start_logical_replication& from) noexcept {
        if (aiondb_) return errc::unsupported_version;
        if (!is_slot_name(from.slot)) return errc::name_invalid;
        for (auto rest = from.options; const auto option = rest.next();) {
            if (option->name.empty()) return errc::name_invalid;
            if (const errc fault = identifier_fault(option->name); fault != errc::none)
                return fault;
            if (option->value && has_nul(*option->value)) return errc::argument_has_nul;
        }
        say("START_REPLICATION SLOT ");
        slot(from.slot);
        say(" LOGICAL ");
        position(from.start);
        item_list items(out_);
        for (auto rest = from.options; const auto option = rest.next();) {
            items.item({});
            quote(option->name, '"');
            if (!option->value) continue;
            say(" ");
            quote(*option->value, '\'');
        }
        items.close();
        return errc::none;
    }

    errc operator()(const base_backup& from) noexcept {
        if (const errc fault = fault_of(from); fault != errc::none) return fault;
        say("BASE_BACKUP");
        if (aiondb_) return errc::none;
        major_ >= 15 ? backup_options(from) : legacy_backup_options(from);
        return errc::none;
    }

    errc operator()(const upload_manifest&) noexcept {
        if (aiondb_ || major_ < 17) return errc::unsupported_version;
        return say("UPLOAD_MANIFEST");
    }

    errc operator()(const sql& from) noexcept {
        if (has_nul(from.text)) return errc::argument_has_nul;
        return say(from.text);
    }

  private:
    errc fault_of(const create_replication_slot& from) const noexcept {
        const bool logical = from.kind == slot_kind::logical;
        const bool plain = from.plugin.empty() && from.snapshot == slot_snapshot::exported &&
                           !from.two_phase && !from.failover;
        if (!is_slot_name(from.name)) return errc::name_invalid;
        if (logical ? from.reserve_wal : !plain) return errc::option_conflict;
        if (aiondb_ && (logical || from.temporary)) return errc::unsupported_version;
        if (from.two_phase && major_ < 15) return errc::unsupported_version;
        if (from.failover && major_ < 17) return errc::unsupported_version;
        if (from.failover && from.temporary) return errc::option_conflict;
        if (!aiondb_ && major_ >= 19 && from.name == reserved_slot_name) return errc::name_invalid;
        if (!logical) return errc::none;
        return from.plugin.empty() ? errc::name_invalid : identifier_fault(from.plugin);
    }

    void slot_options(const create_replication_slot& from) noexcept {
        item_list items(out_);
        if (from.reserve_wal) items.item("RESERVE_WAL");
        if (from.kind == slot_kind::logical) {
            items.item("SNAPSHOT ");
            quote(named(snapshot_names, from.snapshot), '\'');
        }
        if (from.two_phase) items.item("TWO_PHASE");
        if (from.failover) items.item("FAILOVER");
        items.close();
    }

    void legacy_slot_options(const create_replication_slot& from) noexcept {
        if (from.reserve_wal) say(" RESERVE_WAL");
        if (from.kind == slot_kind::physical) return;
        say(" ");
        say(named(snapshot_keywords, from.snapshot));
    }

    errc fault_of(const base_backup& from) const noexcept {
        if (aiondb_) return from == base_backup{} ? errc::none : errc::unsupported_version;
        const bool has_target = !from.target.empty() || !from.target_detail.empty();
        const bool compresses = from.compression || !from.compression_detail.empty();
        const bool has_manifest = from.manifest != backup_manifest::no;
        if (from.incremental && major_ < 17) return errc::unsupported_version;
        if ((has_target || compresses) && major_ < 15) return errc::unsupported_version;
        if ((has_manifest || from.checksums) && major_ < 13) return errc::unsupported_version;
        for (const std::string_view text :
             {from.label, from.target, from.target_detail, from.compression_detail})
            if (has_nul(text)) return errc::argument_has_nul;
        if (from.label.size() > backup_label_size_max) return errc::argument_too_long;
        if (from.label.find_first_of("\n\r") != std::string_view::npos) return errc::option_invalid;
        const bool limited = from.max_rate != 0;
        if (limited && (from.max_rate < backup_rate_min || from.max_rate > backup_rate_max))
            return errc::option_invalid;
        if (from.checksums && !has_manifest) return errc::option_conflict;
        if (!from.compression && compresses) return errc::option_conflict;
        const bool has_detail = !from.target_detail.empty();
        switch (judge_target(from.target, has_detail, from.target_detail)) {
        case target_fault::none: return errc::none;
        case target_fault::relative: return errc::option_invalid;
        default: return errc::option_conflict;
        }
    }

    void backup_options(const base_backup& from) noexcept {
        item_list items(out_);
        const auto text = [&](std::string_view name, std::string_view value) noexcept {
            items.item(name);
            quote(value, '\'');
        };
        if (from.incremental) items.item("INCREMENTAL");
        text("LABEL ", from.label);
        if (from.progress) items.item("PROGRESS");
        if (from.checkpoint != backup_checkpoint::spread)
            text("CHECKPOINT ", named(checkpoint_names, from.checkpoint));
        if (from.wal) items.item("WAL");
        if (!from.wait) items.item("WAIT 0");
        if (from.max_rate != 0) {
            items.item("MAX_RATE");
            number(" ", from.max_rate);
        }
        if (from.tablespace_map) items.item("TABLESPACE_MAP");
        if (!from.verify_checksums) items.item("VERIFY_CHECKSUMS 0");
        if (from.manifest != backup_manifest::no)
            text("MANIFEST ", named(manifest_names, from.manifest));
        if (from.checksums) text("MANIFEST_CHECKSUMS ", named(checksum_names, *from.checksums));
        if (!from.target.empty()) text("TARGET ", from.target);
        if (!from.target_detail.empty()) text("TARGET_DETAIL ", from.target_detail);
        if (from.compression) text("COMPRESSION ", named(compression_names, *from.compression));
        if (!from.compression_detail.empty()) text("COMPRESSION_DETAIL ", from.compression_detail);
        items.close();
    }

    void legacy_backup_options(const base_backup& from) noexcept {
        say(" LABEL ");
        quote(from.label, '\'');
        if (from.progress) say(" PROGRESS");
        if (from.checkpoint == backup_checkpoint::fast) say(" FAST");
        if (from.wal) say(" WAL");
        if (!from.wait) say(" NOWAIT");
        if (from.max_rate != 0) number(" MAX_RATE ", from.max_rate);
        if (from.tablespace_map) say(" TABLESPACE_MAP");
        if (!from.verify_checksums) say(" NOVERIFY_CHECKSUMS");
        if (from.manifest != backup_manifest::no) {
            say(" MANIFEST ");
            quote(named(manifest_names, from.manifest), '\'');
        }
        if (from.checksums) {
            say(" MANIFEST_CHECKSUMS ");
            quote(named(checksum_names, *from.checksums), '\'');
        }
    }

    static bool has_nul(std::string_view text) noexcept {
        return text.find('\0') != std::string_view::npos;
    }

    // Of any identifier but a slot's name. Before 19 no quote can stand inside quotes.
    errc identifier_fault(std::string_view name) const noexcept {
        if (has_nul(name)) return errc::argument_has_nul;
        const bool quotable = major_ >= 19 || name.find('"') == std::string_view::npos;
        return quotable && name.size() <= identifier_size_max ? errc::none : errc::name_invalid;
    }

    // A word that is itself when it is bare: lower case, and so no keyword either.
    static bool is_plain(std::string_view name) noexcept {
        for (const char c : name) {
            const bool digit = c >= '0' && c <= '9';
            if (!digit && c != '_' && (c < 'a' || c > 'z')) return false;
        }
        return !name.empty() && (name[0] < '0' || name[0] > '9');
    }

    errc say(std::string_view text) noexcept {
        out_.append(text);
        return errc::none;
    }

    void quote(std::string_view text, char quote) noexcept {
        const std::string_view mark{&quote, 1};
        say(mark);
        for (;;) {
            const std::size_t at = text.find(quote);
            say(text.substr(0, at));
            if (at == std::string_view::npos) break;
            say(mark);
            say(mark);
            text.remove_prefix(at + 1);
        }
        say(mark);
    }

    // AionDB's slots need no quotes, and its manual shows none.
    void slot(std::string_view name) noexcept { aiondb_ ? void(say(name)) : quote(name, '"'); }

    void position(lsn at) noexcept {
        say(to_text(at, aiondb_ ? dialect::aiondb : dialect::postgres));
    }

    void number(std::string_view before, std::uint32_t value) noexcept {
        say(before);
        say(decimal_text(value));
    }

    template <std::size_t N, class Enum>
    static std::string_view named(const std::string_view (&names)[N], Enum value) noexcept {
        return names[static_cast<std::size_t>(value)];
    }

    writer& out_;
    int major_;
    bool aiondb_;
};

} // namespace detail

// Writes the text that a Query carries, without its NUL. PostgreSQL below 12 is refused, and what
// is newer than 19 is spoken to as 19 is; AionDB has no versions. On any code but none the message
// is to be thrown away:
//     unsupported_version   this server lacks the command or one of its options
//     name_invalid          a slot, plugin, setting or plugin option that cannot be named so
//     timeline_invalid      timeline 0, or none where one is needed
//     option_conflict       options that exclude each other, or one without the other that it needs
//     option_invalid        a rate out of range, a label of several lines, a relative path
//     argument_invalid      ALTER_REPLICATION_SLOT that alters nothing
//     argument_too_long     a label above 1024 bytes
//     argument_has_nul      a text that the wire cannot carry
//     output_full           it does not fit into what is left of `out`
inline errc put(writer& out, const command& from, int server_major, dialect spoken) noexcept {
    if (spoken == dialect::postgres && server_major < server_major_min)
        return errc::unsupported_version;
    const errc fault = std::visit(detail::command_printer(out, server_major, spoken), from);
    if (fault != errc::none) return fault;
    return out.ok() ? errc::none : errc::output_full;
}

} // namespace walwire::wire
