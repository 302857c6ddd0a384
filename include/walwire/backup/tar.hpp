// The headers of a tar archive, as PostgreSQL's servers write them and as its clients read them.
//
// A base backup comes as one archive for each tablespace: for every file, directory and link a
// header of one block of 512 bytes, behind a file's header its body, and zeros up to the next
// block:
//
//     | header | body ............ zeros | header | header | body .. zeros | 1024 zeros (15+) |
//
//     0    100  name      NUL-padded; directories and links end in '/'
//     100  8    mode      octal, as all numbers: leading zeros, at the end a blank
//     108  8    uid       a number that octal has no room for: byte 0x80, then its bytes, highest
//     116  8    gid       first (base-256)
//     124  12   size      of the body; 0 for directories and links; base-256 from 8 GiB on
//     136  12   mtime     Unix time
//     148  8    checksum  the sum of the header's bytes, these eight taken as blanks
//     156  1    kind      '0' file, '5' directory, '2' symbolic link
//     157  100  target    of a link, NUL-padded
//     257  8    "ustar", NUL, "00"
//     265  64   uname and gname: "postgres", NUL-padded, both
//     329  16   device numbers, zero
//     345  155  prefix    NUL-padded; with a '/' it stands before the name; servers leave it empty
//     500  12   zeros
//
// Here are the header's reader and printer; tar_reader.hpp takes archives apart, tar_writer.hpp
// puts them together. What a peer sends decides where files come to lie, so what is refused is
// refused here, before an extractor sees it: paths that are absolute, or that go up, or that can be
// spelled another way; every kind of entry but three. The names of user and group, and device
// numbers, are not looked at. GNU's own format ("ustar", two blanks) is refused, since it keeps
// other things where the prefix stands, and so are pax headers, which change what the next header
// says; no server sends either.
//
// What this header cannot know is the extractor's to see to. A link may point anywhere, as a
// tablespace's does, so never follow one: open every directory of a path by itself, without
// following links, and create files only where none is (O_EXCL), which refuses a path that comes
// twice too. A mode may ask for set-user-ID. A size is a claim: reserve nothing for it.
//
// Source of truth: POSIX's pax, "ustar Interchange Format"; the sizes and texts are those that
// recorded backups of PostgreSQL 12 to 18 have.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "path.hpp"

namespace walwire::backup {

inline constexpr std::size_t tar_block_size = 512;

// The zeros that end an archive: two blocks.
inline constexpr std::size_t tar_trailer_size = 2 * tar_block_size;

// The longest path, and the longest target of a link, that a header without prefix has room for. A
// server refuses to back up longer ones.
inline constexpr std::size_t tar_name_size_max = 99;

// The longest path that a header can spell, with a prefix.
inline constexpr std::size_t tar_path_size_max = 155 + 1 + 100;

inline constexpr std::uint64_t tar_size_max = INT64_MAX;

enum class tar_kind : std::uint8_t { file, directory, symbolic_link };

struct tar_entry {
    tar_kind kind = tar_kind::file;
    // From the archive's top, without "./" before it or '/' behind it. Any bytes but control
    // characters; no component is empty, "." or "..".
    std::string_view path;
    std::string_view target; // of a symbolic link, and empty for others; mostly absolute
    std::uint64_t size = 0;  // of the body; 0 for all but files
    std::uint32_t mode = 0;  // up to 07777
    std::int64_t mtime = 0;  // Unix time in seconds
    std::uint64_t uid = 0;
    std::uint64_t gid = 0;

    friend constexpr bool operator==(const tar_entry&, const tar_entry&) noexcept = default;
};

// The zeros between the end of a body of `size` bytes and the next block.
constexpr std::size_t tar_padding(std::uint64_t size) noexcept {
    return static_cast<std::size_t>((tar_block_size - size % tar_block_size) % tar_block_size);
}

using tar_block = std::span<std::byte, tar_block_size>;

namespace detail {

struct tar_field {
    std::size_t at;
    std::size_t size;
};

inline constexpr tar_field tar_name{0, 100};
inline constexpr tar_field tar_mode{100, 8};
inline constexpr tar_field tar_uid{108, 8};
inline constexpr tar_field tar_gid{116, 8};
inline constexpr tar_field tar_size{124, 12};
inline constexpr tar_field tar_mtime{136, 12};
inline constexpr tar_field tar_checksum{148, 8};
inline constexpr std::size_t tar_kind_at = 156;
inline constexpr tar_field tar_target{157, 100};
inline constexpr std::size_t tar_magic_at = 257;
inline constexpr std::string_view tar_magic{"ustar\00000", 8};
inline constexpr tar_field tar_device_major{329, 8};
inline constexpr tar_field tar_device_minor{337, 8};
inline constexpr tar_field tar_prefix{345, 155};

inline constexpr std::uint32_t tar_mode_max = 07777;
inline constexpr std::uint64_t tar_id_max = (std::uint64_t{1} << 56) - 1; // seven bytes

// Whether there is a text that can be shown; and a path that can be followed.
constexpr bool is_tar_text(std::string_view text) noexcept {
    return !text.empty() && is_printable(text);
}
constexpr bool is_tar_path(std::string_view path) noexcept {
    return is_downward_path(path) && is_printable(path);
}

inline std::string_view without_tar_dot(std::string_view path) noexcept {
    if (path.starts_with("./")) path.remove_prefix(2);
    return path;
}

// The sum of the whole header with the checksum's own bytes taken as blanks. Four sums of 16 bits
// run side by side: 64 words of at most 2 * 255 each do not overflow them.
inline std::uint32_t tar_sum(std::span<const std::byte, tar_block_size> block) noexcept {
    constexpr std::uint64_t even = 0x00ff00ff00ff00ff;
    std::uint64_t sums = 0;
    for (std::size_t at = 0; at < tar_block_size; at += 8) {
        const auto word = load<std::uint64_t, std::endian::native>(block.data() + at);
        sums += (word & even) + (word >> 8 & even);
    }
    auto sum = static_cast<std::uint32_t>((sums & 0xffff) + (sums >> 16 & 0xffff) +
                                          (sums >> 32 & 0xffff) + (sums >> 48));
    for (std::size_t i = 0; i < tar_checksum.size; ++i)
        sum += ' ' - std::to_integer<std::uint32_t>(block[tar_checksum.at + i]);
    return sum;
}

// Octal digits, at least one, then nothing but blanks and NULs; or 0x80 and the number's bytes.
// GNU's negative numbers, which begin with 0xff, are none.
inline std::optional<std::uint64_t> parse_tar_number(bytes field) noexcept {
    std::uint64_t value = 0;
    if (field[0] == std::byte{0x80}) {
        for (const std::byte each : field.subspan(1)) {
            if (value >> 56 != 0) return std::nullopt;
            value = value << 8 | std::to_integer<std::uint64_t>(each);
        }
        return value;
    }
    const std::string_view text = as_text(field);
    std::size_t digits = 0;
    for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '7'; ++digits)
        value = value << 3 | static_cast<std::uint64_t>(text[digits] - '0');
    if (digits == 0) return std::nullopt;
    for (const char c : text.substr(digits))
        if (c != ' ' && c != '\0') return std::nullopt;
    return value;
}

inline void put_tar_number(tar_block block, tar_field field, std::uint64_t value) noexcept {
    std::byte* const first = block.data() + field.at;
    std::byte* last = first + field.size;
    if (value >> 3 * (field.size - 1) == 0) {
        *--last = std::byte{' '};
        for (; last != first; value >>= 3) *--last = static_cast<std::byte>('0' + (value & 7));
        return;
    }
    for (; last != first; value >>= 8) *--last = static_cast<std::byte>(value & 0xff);
    *first = std::byte{0x80};
}

inline std::string_view tar_text(tar_block block, tar_field field) noexcept {
    const std::string_view text = as_text(block.subspan(field.at, field.size));
    return text.substr(0, text.find('\0'));
}

inline std::optional<tar_kind> parse_tar_kind(std::byte kind) noexcept {
    switch (std::to_integer<char>(kind)) {
    case '0': return tar_kind::file;
    case '5': return tar_kind::directory;
    case '2': return tar_kind::symbolic_link;
    }
    return std::nullopt;
}

// The path in one piece. With a prefix the block is rearranged: both parts move to its front, over
// fields that were read before, and the target makes room.
inline std::string_view join_tar_path(tar_block block) noexcept {
    const std::size_t name_size = tar_text(block, tar_name).size();
    const std::size_t prefix_size = tar_text(block, tar_prefix).size();
    if (prefix_size == 0) return tar_text(block, tar_name);
    std::byte name[tar_name.size];
    std::byte target[tar_target.size];
    std::memcpy(name, block.data() + tar_name.at, sizeof(name));
    std::memcpy(target, block.data() + tar_target.at, sizeof(target));
    std::memcpy(block.data(), block.data() + tar_prefix.at, prefix_size);
    block[prefix_size] = std::byte{'/'};
    std::memcpy(block.data() + prefix_size + 1, name, sizeof(name));
    std::memcpy(block.data() + tar_path_size_max, target, sizeof(target));
    return as_text(block.first(prefix_size + 1 + name_size));
}

} // namespace detail

// Reads the header in `block`, which is no header any more afterwards but the home of the path and
// the target: they live as long as it is left alone.
//
// The first thing that is wrong decides, in this order: tar_checksum_mismatch, tar_format_unknown,
// tar_entry_refused, tar_header_invalid (garbage in a number; a negative number or one that is too
// large; a directory or link with a size), tar_path_refused, tar_target_refused. A block of zeros
// is no header either: it begins the archive's trailer.
inline result<tar_entry> parse_tar_header(tar_block block) noexcept {
    const auto number = [&](detail::tar_field field) noexcept {
        return detail::parse_tar_number(block.subspan(field.at, field.size));
    };
    if (number(detail::tar_checksum) != detail::tar_sum(block)) return errc::tar_checksum_mismatch;
    if (as_text(block.subspan(detail::tar_magic_at, 8)) != detail::tar_magic)
        return errc::tar_format_unknown;
    const auto kind = detail::parse_tar_kind(block[detail::tar_kind_at]);
    if (!kind) return errc::tar_entry_refused;

    const auto mode = number(detail::tar_mode);
    const auto uid = number(detail::tar_uid);
    const auto gid = number(detail::tar_gid);
    const auto size = number(detail::tar_size);
    const auto mtime = number(detail::tar_mtime);
    if (!mode || *mode > detail::tar_mode_max || !uid || !gid || !size || !mtime)
        return errc::tar_header_invalid;
    if (*size > (*kind == tar_kind::file ? tar_size_max : 0)) return errc::tar_header_invalid;

    tar_entry entry;
    entry.kind = *kind;
    entry.size = *size;
    entry.mode = static_cast<std::uint32_t>(*mode);
    // A server prints a time before 1970 as the 64 bits that it has.
    entry.mtime = static_cast<std::int64_t>(*mtime);
    entry.uid = *uid;
    entry.gid = *gid;

    const std::size_t target_size = detail::tar_text(block, detail::tar_target).size();
    const bool moved = !detail::tar_text(block, detail::tar_prefix).empty();
    entry.path = detail::without_tar_dot(detail::join_tar_path(block));
    if (*kind != tar_kind::file && entry.path.ends_with('/')) entry.path.remove_suffix(1);
    if (!detail::is_tar_path(entry.path)) return errc::tar_path_refused;
    if (*kind != tar_kind::symbolic_link) return entry;
    entry.target = as_text(
        block.subspan(moved ? tar_path_size_max : detail::tar_target.at).first(target_size));
    if (!detail::is_tar_text(entry.target)) return errc::tar_target_refused;
    return entry;
}

// Prints the header byte for byte as a server does, with "postgres" for the names of user and
// group. The path of a directory or link is given without a '/' behind it; "./" may stand before
// any path, as servers put it before some.
//
// argument_has_nul: a NUL in the path or target. argument_too_long: either is longer than
// tar_name_size_max. argument_invalid: what parse_tar_header would refuse; a target or a size where
// none belongs; a uid or gid of more than seven bytes. In all cases nothing is written. The path
// and the target must not lie in `block`.
inline errc put_tar_header(tar_block block, const tar_entry& entry) noexcept {
    const bool is_link = entry.kind == tar_kind::symbolic_link;
    if (entry.path.find('\0') != std::string_view::npos ||
        entry.target.find('\0') != std::string_view::npos)
        return errc::argument_has_nul;
    if (entry.path.size() > tar_name_size_max || entry.target.size() > tar_name_size_max)
        return errc::argument_too_long;
    if (entry.kind > tar_kind::symbolic_link ||
        !detail::is_tar_path(detail::without_tar_dot(entry.path)) ||
        (is_link ? !detail::is_tar_text(entry.target) : !entry.target.empty()) ||
        entry.size > (entry.kind == tar_kind::file ? tar_size_max : 0) ||
        entry.mode > detail::tar_mode_max || entry.uid > detail::tar_id_max ||
        entry.gid > detail::tar_id_max)
        return errc::argument_invalid;

    const auto put_text = [&](std::size_t at, std::string_view text) noexcept {
        if (!text.empty()) std::memcpy(block.data() + at, text.data(), text.size());
    };
    std::memset(block.data(), 0, block.size());
    put_text(0, entry.path);
    if (entry.kind != tar_kind::file) block[entry.path.size()] = std::byte{'/'};
    detail::put_tar_number(block, detail::tar_mode, entry.mode);
    detail::put_tar_number(block, detail::tar_uid, entry.uid);
    detail::put_tar_number(block, detail::tar_gid, entry.gid);
    detail::put_tar_number(block, detail::tar_size, entry.size);
    detail::put_tar_number(block, detail::tar_mtime, static_cast<std::uint64_t>(entry.mtime));
    block[detail::tar_kind_at] = static_cast<std::byte>("052"[static_cast<int>(entry.kind)]);
    put_text(detail::tar_target.at, entry.target);
    put_text(detail::tar_magic_at, detail::tar_magic);
    put_text(265, "postgres");
    put_text(297, "postgres");
    detail::put_tar_number(block, detail::tar_device_major, 0);
    detail::put_tar_number(block, detail::tar_device_minor, 0);
    detail::put_tar_number(block, detail::tar_checksum, detail::tar_sum(block));
    return errc::none;
}

} // namespace walwire::backup
