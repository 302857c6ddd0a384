// The manifest of a base backup: which files it has, and what WAL is needed to use it.
//
// A text, JSON in form, that servers from 13 on send behind the last archive:
//
//     { "PostgreSQL-Backup-Manifest-Version": 2,
//     "System-Identifier": 7710558966355700818,                        from version 2 (17) on
//     "Files": [
//     { "Path": "backup_label", "Size": 225, "Last-Modified": "2026-11-21 09:46:47 GMT",
//       "Checksum-Algorithm": "CRC32C", "Checksum": "f5c0e5b1" },      one line each
//     ...
//     ],
//     "WAL-Ranges": [
//     { "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000120" }
//     ],
//     "Manifest-Checksum": "f362d8987b854bf0..."}                      and a line feed: the end
//
// Its last line is the SHA-256 of all lines before it, line feeds and all. A path that is not UTF-8
// stands in hexadecimal digits under the name of "Encoded-Path" instead. Without checksums an entry
// ends behind its date. Ranges begin with that of the timeline on which the backup ended.
//
// A manifest lists a hundred thousand files and is tens of megabytes long, so nobody here holds
// one: manifest_reader.hpp makes events of it as it comes, manifest_writer.hpp writes it entry by
// entry, and verifier.hpp holds the entries against the files that came. These are the entries.
//
// Source of truth: the manual's "Backup Manifest Format".
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "checksum.hpp"
#include "path.hpp"

namespace walwire::backup {

// What the room of a reader should have: it holds the strings of one entry, and no path is longer
// than some 4,000 bytes on any system that a server runs on, nor than twice that in hexadecimal
// digits. An entry that does not fit makes the manifest fail with manifest_text_too_long.
inline constexpr std::size_t manifest_room_size = 16 * 1024;

// The first line or two.
struct manifest_started {
    std::uint32_t version = 1;
    std::optional<std::uint64_t> system_identifier; // there in version 2, and only there

    friend constexpr bool operator==(const manifest_started&,
                                     const manifest_started&) noexcept = default;
};

// A file, as it stands once every archive is unpacked and links to tablespaces are in their places.
struct listed_file {
    std::string_view path;          // from the data directory on; is_manifest_path() holds
    std::uint64_t size = 0;         // in bytes
    std::string_view last_modified; // "2026-11-21 09:46:47 GMT"; nobody relies on it
    checksum_value checksum;        // its algorithm is none where the entry has no checksum

    friend constexpr bool operator==(const listed_file&, const listed_file&) noexcept = default;
};

// The WAL of one timeline that the backup cannot be used without.
struct wal_range {
    timeline_id timeline;
    lsn start;
    lsn end; // its last byte plus one

    friend constexpr bool operator==(const wal_range&, const wal_range&) noexcept = default;
};

// All of it was read, to the last byte, and its own checksum is right.
struct manifest_ended {
    std::uint64_t files = 0;
    std::uint64_t wal_ranges = 0;
    checksum_value checksum;

    friend constexpr bool operator==(const manifest_ended&,
                                     const manifest_ended&) noexcept = default;
};

// It is not to be trusted, and neither is what was told of it before. `offset` counts the bytes
// that were read before this showed: it is that of a character that cannot be where it is, and the
// end of a value that cannot be one. `path` is that of the file whose entry was being read, as far
// as it was read, so that it can be named; for one that was refused, the very path, and where its
// digits were odd, the digits. It is not to be followed, nor shown to a terminal as it is, and
// lives until the next call. Outside of such an entry it is empty.
struct manifest_failed {
    errc code = errc::none;
    std::uint64_t offset = 0;
    std::string_view path;

    friend constexpr bool operator==(const manifest_failed&,
                                     const manifest_failed&) noexcept = default;
};

using manifest_event =
    std::variant<manifest_started, listed_file, wal_range, manifest_ended, manifest_failed>;

// Whether this can be the path of a listed file. It is what two entries are told apart by.
constexpr bool is_manifest_path(std::string_view path) noexcept {
    return is_downward_path(path);
}

// Whether manifests list files of this path at all. They do not list themselves, nor WAL and what
// stands beside it: both come while the list is already being written. Directories and links are
// not listed either, which a path does not show.
constexpr bool is_listed_kind(std::string_view path) noexcept {
    return path != "backup_manifest" && path != "pg_wal" && !path.starts_with("pg_wal/");
}

namespace detail {

// The names of the fields, those of each object in one run.
enum class manifest_field : std::uint8_t {
    version,
    system_identifier,
    files,
    wal_ranges,
    manifest_checksum,
    path,
    encoded_path,
    size,
    last_modified,
    checksum_algorithm,
    checksum,
    timeline,
    start_lsn,
    end_lsn,
};

inline constexpr std::string_view manifest_field_names[] = {"PostgreSQL-Backup-Manifest-Version",
                                                            "System-Identifier",
                                                            "Files",
                                                            "WAL-Ranges",
                                                            "Manifest-Checksum",
                                                            "Path",
                                                            "Encoded-Path",
                                                            "Size",
                                                            "Last-Modified",
                                                            "Checksum-Algorithm",
                                                            "Checksum",
                                                            "Timeline",
                                                            "Start-LSN",
                                                            "End-LSN"};

constexpr std::string_view name_of(manifest_field field) noexcept {
    return manifest_field_names[static_cast<std::size_t>(field)];
}

// The field among those from `first` to `last` that has this name.
constexpr std::optional<manifest_field>
find_manifest_field(std::string_view name, manifest_field first, manifest_field last) noexcept {
    for (auto at = static_cast<unsigned>(first); at <= static_cast<unsigned>(last); ++at) {
        const auto field = static_cast<manifest_field>(at);
        if (name_of(field) == name) return field;
    }
    return std::nullopt;
}

} // namespace detail

} // namespace walwire::backup
