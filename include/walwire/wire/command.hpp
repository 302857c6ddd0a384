// Replication commands: what a client asks of a walsender, each command a struct.
//
//     IDENTIFY_SYSTEM                      who is there, on which timeline, how far
//     SHOW name                            one setting
//     TIMELINE_HISTORY timeline            the history file of a timeline
//     CREATE_REPLICATION_SLOT ...          and READ_, ALTER_ and DROP_REPLICATION_SLOT
//     START_REPLICATION ...                stream WAL, or the changes that a plugin decodes from it
//     BASE_BACKUP ...                      copy the cluster
//     UPLOAD_MANIFEST                      of the backup that the next one is to be a difference to
//     anything else                        SQL, which only a connection to a database may send
//
// A command travels as the text of a Query message, in a language of its own whose grammar differs
// between server versions. The structs hold what a command means, for all versions; how a version
// spells it is command_printer.hpp's matter, and how it is understood command_parser.hpp's. Texts
// are views: whoever made a command keeps them alive.
//
// Source of truth: the manual, "Streaming Replication Protocol", of each version; running servers
// of 12 to 18.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "../lsn.hpp"

namespace walwire::wire {

// The server versions whose grammar is known; 19 is still being made.
inline constexpr int server_major_min = 12;
inline constexpr int server_major_max = 19;

// Identifiers longer than this are cut by PostgreSQL, with a notice, and refused by our printer.
inline constexpr std::size_t identifier_size_max = 63;

// What a server takes as a backup's label and as its rate; a rate of 0 stands for none.
inline constexpr std::size_t backup_label_size_max = 1024;
inline constexpr std::uint32_t backup_rate_min = 32;
inline constexpr std::uint32_t backup_rate_max = 1048576;

// Slot names become names of directories, hence the narrow alphabet: 1 to 63 of [a-z0-9_].
constexpr bool is_slot_name(std::string_view name) noexcept {
    if (name.empty() || name.size() > identifier_size_max) return false;
    for (const char c : name) {
        const bool known = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        if (!known) return false;
    }
    return true;
}

struct identify_system {
    friend constexpr bool operator==(identify_system, identify_system) noexcept = default;
};

// `name` may have several parts, as in "auto_explain.log_format".
struct show {
    std::string_view name;

    friend constexpr bool operator==(const show&, const show&) noexcept = default;
};

// Only AionDB knows the command without a timeline: it means the current one.
struct timeline_history {
    std::optional<timeline_id> timeline;

    friend constexpr bool operator==(timeline_history, timeline_history) noexcept = default;
};

enum class slot_kind : std::uint8_t { physical, logical };

// What becomes of the snapshot that a new logical slot is consistent with: other sessions may
// import it, nobody gets it, or the transaction around the command goes on in it.
enum class slot_snapshot : std::uint8_t { exported, nothing, used };

struct create_replication_slot {
    std::string_view name;
    slot_kind kind = slot_kind::physical;
    bool temporary = false; // gone with the connection, and with any error on it
    // Physical slots: keep WAL from now on, and not only from the first position reported.
    bool reserve_wal = false;
    // Logical slots. Failover needs 17 and a slot that is not temporary; two_phase needs 15.
    std::string_view plugin;
    slot_snapshot snapshot = slot_snapshot::exported;
    bool two_phase = false;
    bool failover = false;

    friend constexpr bool operator==(const create_replication_slot&,
                                     const create_replication_slot&) noexcept = default;
};

// Since 15. The answer for a slot that does not exist is a row of NULLs.
struct read_replication_slot {
    std::string_view name;

    friend constexpr bool operator==(const read_replication_slot&,
                                     const read_replication_slot&) noexcept = default;
};

// Since 17, two_phase since 18. What is not given stays as it is; something must be.
struct alter_replication_slot {
    std::string_view name;
    std::optional<bool> failover;
    std::optional<bool> two_phase;

    friend constexpr bool operator==(const alter_replication_slot&,
                                     const alter_replication_slot&) noexcept = default;
};

// With `wait` the server waits until a slot in use is released, where it would refuse otherwise.
struct drop_replication_slot {
    std::string_view name;
    bool wait = false;

    friend constexpr bool operator==(const drop_replication_slot&,
                                     const drop_replication_slot&) noexcept = default;
};

// Physical streaming. An empty slot is none; without a timeline the server takes its current one.
// PostgreSQL sends from exactly `start`; its own clients round down to a segment's first byte.
struct start_replication {
    std::string_view slot;
    lsn start;
    std::optional<timeline_id> timeline;

    friend constexpr bool operator==(const start_replication&,
                                     const start_replication&) noexcept = default;
};

struct plugin_option {
    std::string_view name;
    std::optional<std::string_view> value;

    friend constexpr bool operator==(const plugin_option&, const plugin_option&) noexcept = default;
};

// The options of a logical decoding plugin, in order, read one by one off a copy of the list:
//
//     for (auto rest = command.options; const auto option = rest.next();) ...
//
// The list is either the span that a caller gives for printing, or the packed form that the parser
// leaves in its scratch: name \0 for each option, and \0 value \0 behind it when it has a value. No
// name is empty and nothing holds a NUL, so that this is unambiguous, and it is never longer than
// the text it came from.
class plugin_options {
  public:
    constexpr plugin_options() noexcept = default;
    // A span, an array, a vector of them, which must outlive the command.
    template <class List>
    requires std::convertible_to<const List&, std::span<const plugin_option>>
    constexpr plugin_options(const List& given) noexcept : given_(given) {}

    static constexpr plugin_options packed(std::string_view text) noexcept {
        plugin_options options;
        options.packed_ = text;
        return options;
    }

    constexpr bool empty() const noexcept { return given_.empty() && packed_.empty(); }

    constexpr std::optional<plugin_option> next() noexcept {
        if (!given_.empty()) {
            const plugin_option option = given_.front();
            given_ = given_.subspan(1);
            return option;
        }
        if (packed_.empty()) return std::nullopt;
        plugin_option option{take(), std::nullopt};
        if (packed_.starts_with('\0')) {
            packed_.remove_prefix(1);
            option.value = take();
        }
        return option;
    }

    // Whether both hold the same options in the same order, however they hold them.
    friend constexpr bool operator==(plugin_options a, plugin_options b) noexcept {
        for (;;) {
            const auto from_a = a.next();
            const auto from_b = b.next();
            if (from_a != from_b) return false;
            if (!from_a) return true;
        }
    }

  private:
    constexpr std::string_view take() noexcept {
        const std::string_view taken = packed_.substr(0, packed_.find('\0'));
        packed_.remove_prefix(taken.size() < packed_.size() ? taken.size() + 1 : packed_.size());
        return taken;
    }

    std::span<const plugin_option> given_;
    std::string_view packed_;
};

// Logical streaming; it always goes by a slot. `start` may be 0/0: from where the slot stands.
struct start_logical_replication {
    std::string_view slot;
    lsn start;
    plugin_options options;

    friend constexpr bool operator==(const start_logical_replication&,
                                     const start_logical_replication&) noexcept = default;
};

enum class backup_checkpoint : std::uint8_t { spread, fast };

// Whether a backup comes with a manifest; force_encode writes every path in it as hexadecimal
// digits.
enum class backup_manifest : std::uint8_t { no, yes, force_encode };

enum class manifest_checksums : std::uint8_t { none, crc32c, sha224, sha256, sha384, sha512 };

enum class backup_compression : std::uint8_t { none, gzip, lz4, zstd };

// Defaults are the server's own. The comment behind an option names the first version that has it.
struct base_backup {
    std::string_view label = "base backup"; // one line, at most 1024 bytes
    bool progress = false;                  // find out the sizes beforehand
    backup_checkpoint checkpoint = backup_checkpoint::spread;
    bool wal = false;                               // put the WAL that the backup needs into it
    bool wait = true;                               // for that WAL to be archived
    std::uint32_t max_rate = 0;                     // in kB/s, 32 to 1048576; 0: as fast as it goes
    bool tablespace_map = false;                    // send the links to tablespaces as a file
    bool verify_checksums = true;                   // of pages, where the cluster has them
    backup_manifest manifest = backup_manifest::no; // 13
    std::optional<manifest_checksums> checksums;    // 13; crc32c when not given
    std::string_view target;                        // 15; "client" when empty
    std::string_view target_detail;                 // 15; where "server" puts it, an absolute path
    std::optional<backup_compression> compression;  // 15
    std::string_view compression_detail;            // 15; a level, or "level=3,workers=2"
    bool incremental = false;                       // 17; after UPLOAD_MANIFEST

    friend constexpr bool operator==(const base_backup&, const base_backup&) noexcept = default;
};

// Since 17.
struct upload_manifest {
    friend constexpr bool operator==(upload_manifest, upload_manifest) noexcept = default;
};

// A text that does not begin with a replication keyword. A walsender without a database refuses it
// with 0A000, one with a database runs it.
struct sql {
    std::string_view text;

    friend constexpr bool operator==(const sql&, const sql&) noexcept = default;
};

using command =
    std::variant<identify_system, show, timeline_history, create_replication_slot,
                 read_replication_slot, alter_replication_slot, drop_replication_slot,
                 start_replication, start_logical_replication, base_backup, upload_manifest, sql>;

namespace detail {

// Spellings that printer and parser share, in the order of their enumerations.
inline constexpr std::string_view snapshot_names[] = {"export", "nothing", "use"};
inline constexpr std::string_view snapshot_keywords[] = {"EXPORT_SNAPSHOT", "NOEXPORT_SNAPSHOT",
                                                         "USE_SNAPSHOT"};
inline constexpr std::string_view checkpoint_names[] = {"spread", "fast"};
inline constexpr std::string_view manifest_names[] = {"no", "yes", "force-encode"};
inline constexpr std::string_view checksum_names[] = {"NONE",   "CRC32C", "SHA224",
                                                      "SHA256", "SHA384", "SHA512"};
inline constexpr std::string_view compression_names[] = {"none", "gzip", "lz4", "zstd"};

// 19 keeps this name for itself.
inline constexpr std::string_view reserved_slot_name = "pg_conflict_detection";

// A path from a root, on either family of systems.
constexpr bool is_absolute_path(std::string_view path) noexcept {
    if (path.starts_with('/') || path.starts_with('\\')) return true;
    return path.size() > 2 && path[1] == ':' && (path[2] == '/' || path[2] == '\\');
}

// What is wrong with a target and its detail together: a server writes to an absolute path of its
// own, and a client has no use for one. Targets of other names belong to modules, which judge for
// themselves.
enum class target_fault : std::uint8_t {
    none,
    detail_alone,
    detail_unwanted,
    detail_missing,
    relative
};

constexpr target_fault judge_target(std::string_view target, bool has_detail,
                                    std::string_view detail) noexcept {
    if (target.empty()) return has_detail ? target_fault::detail_alone : target_fault::none;
    if (target == "client" || target == "blackhole")
        return has_detail ? target_fault::detail_unwanted : target_fault::none;
    if (target != "server") return target_fault::none;
    if (!has_detail) return target_fault::detail_missing;
    return is_absolute_path(detail) ? target_fault::none : target_fault::relative;
}

} // namespace detail

} // namespace walwire::wire
