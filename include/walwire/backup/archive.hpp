// The archives that a base backup consists of: one tar for each tablespace.
//
//     base.tar         the data directory, always, and always the last in the list
//     16384.tar        a tablespace, named by its object identifier
//     *.tar.gz, *.tar.lz4, *.tar.zst     compressed by the server (15 and later)
//
// The list comes first, as rows. In front of the backup's data it says which archives will come;
// the data then names each one again (15 and later) or only keeps the order of the list (up to 14).
//
// An archive's name is judged here before anybody opens a file by it: whatever is not one of the
// above is none, so it cannot lead anywhere. A tablespace's path can, and does: it is absolute, or
// below pg_tblspc for one that stands in the data directory. Here it is only seen to that it does
// not climb and can be shown. It says where the server has the files; whoever puts them under the
// same path lets the server choose it.
//
// Source of truth: the manual, "Streaming Replication Protocol", BASE_BACKUP.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../wire/command.hpp"
#include "../wire/rows.hpp"
#include "path.hpp"

namespace walwire::backup {

// How the data of a backup stands in its CopyData.
enum class stream_format : std::uint8_t {
    split, // up to 14: a copy for each archive, and one for the manifest; nothing but their bytes
    typed, // 15 and later: one copy whose every message begins with what it is
};

constexpr stream_format format_of(int server_version) noexcept {
    return server_version < 15 ? stream_format::split : stream_format::typed;
}

// Where the backup begins in the log.
struct started {
    lsn start;
    timeline_id timeline;
};

// Where it ends: all of the log up to there is needed to use it.
struct ended {
    lsn end;
    timeline_id timeline;
};

// One of the list. The base directory, which is the last, has neither identifier nor path.
struct tablespace {
    std::uint32_t index = 0;           // in the list, from 0 on
    std::uint32_t oid = 0;             // 0: the base directory
    std::string_view path;             // on the server, absolute
    std::optional<std::uint64_t> size; // in KiB, an estimate; with the option PROGRESS
};

struct archive_name {
    std::uint32_t oid = 0; // 0: the base directory
    wire::backup_compression compression = wire::backup_compression::none;
};

namespace detail {

inline constexpr std::string_view suffixes[] = {"", ".gz", ".lz4", ".zst"};

// A path of another system's, from a root: no part of it may be "..".
constexpr bool climbs(std::string_view path) noexcept {
    std::size_t part = 0;
    for (std::size_t at = 0; at <= path.size(); ++at) {
        if (at < path.size() && path[at] != '/' && path[at] != '\\') continue;
        if (path.substr(part, at - part) == "..") return true;
        part = at + 1;
    }
    return false;
}

} // namespace detail

// archive_name_invalid: not one of the names above.
constexpr result<archive_name> parse_archive_name(std::string_view text) noexcept {
    constexpr std::string_view tar = ".tar";
    const std::size_t dot = text.find('.');
    const std::string_view stem = text.substr(0, dot);
    archive_name name;
    if (stem != "base") {
        const auto oid = walwire::detail::parse_decimal(stem, UINT32_MAX);
        if (!oid || *oid == 0 || stem.front() == '0') return errc::archive_name_invalid;
        name.oid = static_cast<std::uint32_t>(*oid);
    }
    if (dot == std::string_view::npos || text.substr(dot, tar.size()) != tar)
        return errc::archive_name_invalid;
    const std::string_view rest = text.substr(dot + tar.size());
    for (std::size_t i = 0; i < std::size(detail::suffixes); ++i) {
        if (rest != detail::suffixes[i]) continue;
        name.compression = static_cast<wire::backup_compression>(i);
        return name;
    }
    return errc::archive_name_invalid;
}

// The name as text: "4294967295.tar.lz4" is the longest.
class archive_name_text {
  public:
    constexpr explicit archive_name_text(archive_name name) noexcept {
        append(name.oid == 0 ? std::string_view("base") : decimal_text(name.oid));
        append(".tar");
        append(detail::suffixes[static_cast<std::size_t>(name.compression)]);
    }
    constexpr operator std::string_view() const noexcept { return {characters_.data(), size_}; }

  private:
    constexpr void append(std::string_view text) noexcept {
        for (const char c : text) characters_[size_++] = c;
    }

    std::array<char, 18> characters_{};
    std::size_t size_ = 0;
};

constexpr archive_name_text to_text(archive_name name) noexcept {
    return archive_name_text(name);
}

// recptr | tli: where a backup begins, and later where it ends. answer_invalid, or the code that
// says what is wrong in it.
inline result<started> read_position(const wire::data_row& row) noexcept {
    const auto position = row[0];
    const auto timeline = row[1];
    if (!position || !timeline) return errc::answer_invalid;
    const auto parsed_position = parse_lsn(*position);
    if (!parsed_position) return parsed_position.code();
    const auto parsed_timeline = parse_timeline(*timeline);
    if (!parsed_timeline) return parsed_timeline.code();
    return started{*parsed_position, *parsed_timeline};
}

// spcoid | spclocation | size. tablespace_invalid: an identifier or a size that is no number; a
// path that is neither absolute nor in place, climbs, or holds control characters; one of the two
// alone.
inline result<tablespace> read_tablespace(const wire::data_row& row, std::uint32_t index) noexcept {
    const auto oid = row[0];
    const auto path = row[1];
    tablespace read;
    read.index = index;
    if (row.size() < 3 || oid.has_value() != path.has_value()) return errc::tablespace_invalid;
    if (oid) {
        const auto parsed = walwire::detail::parse_decimal(*oid, UINT32_MAX);
        if (!parsed || *parsed == 0) return errc::tablespace_invalid;
        constexpr std::string_view in_place = "pg_tblspc/";
        const bool inside = path->starts_with(in_place) && path->substr(in_place.size()) == *oid;
        const bool rooted = wire::detail::is_absolute_path(*path) && !detail::climbs(*path);
        if (!inside && (!rooted || !is_printable(*path))) return errc::tablespace_invalid;
        read.oid = static_cast<std::uint32_t>(*parsed);
        read.path = *path;
    }
    if (const auto size = row[2]) {
        const auto parsed = walwire::detail::parse_decimal(*size, INT64_MAX);
        if (!parsed) return errc::tablespace_invalid;
        read.size = *parsed;
    }
    return read;
}

} // namespace walwire::backup
