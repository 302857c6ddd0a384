// Segments: the files that the log is cut into, and their names.
//
// A cluster's segments all have one size, a power of two from 1 MiB to 1 GiB that initdb fixed; the
// segment that holds a position is the position divided by it. Names spell the timeline, then the
// number in two parts, of which the first counts whole 4 GiB:
//
//     TTTTTTTTXXXXXXXXYYYYYYYY      number = X * n + Y, where n = 4 GiB / segment size, so Y < n
//     000000010000000200000003      the 16 MiB that begin at 2/3000000, on timeline 1
//     <segment>.partial             not yet whole; a promotion archives its parent's last one so
//     <segment>.gz, <segment>.lz4   compressed by pg_receivewal; with .partial behind until whole
//     TTTTTTTT.history              how a timeline came to be (history.hpp)
//
// What stands in a segment is not this header's matter, nor is any directory. A name that was
// parsed is kept as numbers only and printed from them again, so that no path of a peer's making
// can come of it.
//
// A position that says "up to here" is the last byte plus one, and where it falls on a boundary it
// is the first byte of a segment that may not exist yet: ask `containing_end` for those.
//
// Source of truth: PostgreSQL's src/include/access/xlog_internal.h, and pg_receivewal's own
// suffixes.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../config.hpp"
#include "../error.hpp"
#include "../lsn.hpp"

namespace walwire::wal {

// The size of every segment of one cluster. It holds a valid size at all times; a fresh one holds
// PostgreSQL's default of 16 MiB.
class segment_size {
  public:
    static constexpr std::uint32_t smallest = 1u << 20;
    static constexpr std::uint32_t largest = 1u << 30;

    constexpr segment_size() noexcept = default;

    // From a number of bytes, as a page header or pg_control has it. segment_size_invalid: not a
    // power of two from `smallest` to `largest`.
    static constexpr result<segment_size> of(std::uint64_t size) noexcept {
        if (size < smallest || size > largest || (size & (size - 1)) != 0)
            return errc::segment_size_invalid;
        segment_size made;
        made.value_ = static_cast<std::uint32_t>(size);
        return made;
    }

    // From what SHOW wal_segment_size answers, "16MB" or "1GB", or what pg_settings says, which is
    // bytes without a unit. Units are B, kB, MB and GB in just this spelling.
    static constexpr result<segment_size> parse(std::string_view text) noexcept;

    constexpr std::uint32_t value() const noexcept { return value_; }
    // How many make 4 GiB, the part of the log that one value of a name's middle part stands for.
    constexpr std::uint32_t per_4_gib() const noexcept {
        return static_cast<std::uint32_t>((std::uint64_t{1} << 32) / value_);
    }

    friend constexpr bool operator==(segment_size, segment_size) noexcept = default;

  private:
    std::uint32_t value_ = 16u << 20;
};

constexpr result<segment_size> segment_size::parse(std::string_view text) noexcept {
    struct unit {
        std::string_view suffix;
        std::uint64_t factor;
    };
    // "B" ends the others too and so comes last.
    constexpr unit units[] = {{"GB", 1u << 30}, {"MB", 1u << 20}, {"kB", 1u << 10}, {"B", 1}};
    std::uint64_t factor = 1;
    for (const unit& each : units) {
        if (!text.ends_with(each.suffix)) continue;
        text.remove_suffix(each.suffix.size());
        factor = each.factor;
        break;
    }
    const auto count = walwire::detail::parse_decimal(text, largest);
    if (!count) return errc::segment_size_invalid;
    return of(*count * factor); // at most 2^60
}

// Segments counted from the start of the log. At most 2^64 / size of them exist.
struct segment_number {
    std::uint64_t value = 0;

    friend constexpr auto operator<=>(segment_number, segment_number) noexcept = default;
};

// The segment that holds the byte at `at`.
constexpr segment_number containing(lsn at, segment_size size) noexcept {
    return {at.value / size.value()};
}

// The segment that holds the last byte before `end`. Nothing lies before 0/0, which gives the
// first.
constexpr segment_number containing_end(lsn end, segment_size size) noexcept {
    return containing({end.valid() ? end.value - 1 : 0}, size);
}

// The position of a segment's first byte. Its number must be one that exists, as every number has
// that comes from this header.
constexpr lsn start_of(segment_number number, segment_size size) noexcept {
    WALWIRE_ASSERT(number.value <= UINT64_MAX / size.value());
    return {number.value * size.value()};
}

// Where the segment that holds `at` begins: the place that receivers ask a primary to start from,
// so that every file they keep is a whole one.
constexpr lsn segment_start(lsn at, segment_size size) noexcept {
    return {at.value & ~std::uint64_t{size.value() - 1}};
}

constexpr std::uint32_t offset_in_segment(lsn at, segment_size size) noexcept {
    return static_cast<std::uint32_t>(at.value & (size.value() - 1));
}

// How many of `count` bytes that begin at `at` belong to the segment of `at`. A run of WAL may
// cross a boundary, and does when a stream began in the middle of a segment: write this many, then
// ask again from `at` plus as many, until none are left.
constexpr std::size_t size_in_segment(lsn at, std::size_t count, segment_size size) noexcept {
    const std::uint32_t left = size.value() - offset_in_segment(at, size);
    return count < left ? count : left;
}

// The name of a file of the log, in room of its own; "<segment>.lz4.partial" is the longest.
class file_name {
  public:
    constexpr operator std::string_view() const noexcept { return {characters_.data(), size_}; }
    constexpr const char* c_str() const noexcept { return characters_.data(); }

    constexpr void append(std::string_view text) noexcept {
        WALWIRE_ASSERT(text.size() < characters_.size() - size_);
        for (const char c : text) characters_[size_++] = c;
    }
    // As C's %08X.
    constexpr void append(std::uint32_t value) noexcept {
        WALWIRE_ASSERT(characters_.size() - size_ > 8);
        for (int shift = 28; shift >= 0; shift -= 4)
            characters_[size_++] = "0123456789ABCDEF"[(value >> shift) & 0xf];
    }

  private:
    std::array<char, 40> characters_{}; // zeros behind the text make it a C string
    std::size_t size_ = 0;
};

enum class compression : std::uint8_t { none, gzip, lz4 };

// What a segment file's name says.
struct segment_file {
    timeline_id timeline;
    segment_number number;
    compression packed = compression::none;
    bool partial = false;

    friend constexpr bool operator==(const segment_file&, const segment_file&) noexcept = default;
};

namespace detail {

// Eight digits of %08X, upper case only as PostgreSQL insists; false for anything else.
constexpr bool parse_word(std::string_view text, std::uint32_t& value) noexcept {
    if (text.size() != 8) return false;
    value = 0;
    for (const char c : text) {
        const int digit = c >= 'a' && c <= 'f' ? -1 : walwire::detail::hex_digit(c);
        if (digit < 0) return false;
        value = value << 4 | static_cast<std::uint32_t>(digit);
    }
    return true;
}

constexpr bool take_suffix(std::string_view& text, std::string_view suffix) noexcept {
    if (!text.ends_with(suffix)) return false;
    text.remove_suffix(suffix.size());
    return true;
}

} // namespace detail

constexpr file_name segment_name(const segment_file& file, segment_size size) noexcept {
    const std::uint64_t high = file.number.value / size.per_4_gib();
    WALWIRE_ASSERT(high <= UINT32_MAX);
    file_name name;
    name.append(file.timeline.value);
    name.append(static_cast<std::uint32_t>(high));
    name.append(static_cast<std::uint32_t>(file.number.value % size.per_4_gib()));
    if (file.packed == compression::gzip) name.append(".gz");
    if (file.packed == compression::lz4) name.append(".lz4");
    if (file.partial) name.append(".partial");
    return name;
}

// name_invalid: not a segment's name (a backup's "<segment>.XXXXXXXX.backup" is not), timeline 0,
// or a number that segments of this size never have.
constexpr result<segment_file> parse_segment_name(std::string_view text,
                                                  segment_size size) noexcept {
    segment_file file;
    file.partial = detail::take_suffix(text, ".partial");
    if (detail::take_suffix(text, ".gz"))
        file.packed = compression::gzip;
    else if (detail::take_suffix(text, ".lz4"))
        file.packed = compression::lz4;
    std::uint32_t high = 0;
    std::uint32_t low = 0;
    if (text.size() != 24 || !detail::parse_word(text.substr(0, 8), file.timeline.value) ||
        !detail::parse_word(text.substr(8, 8), high) || !detail::parse_word(text.substr(16), low))
        return errc::name_invalid;
    if (!file.timeline.valid() || low >= size.per_4_gib()) return errc::name_invalid;
    file.number.value = std::uint64_t{high} * size.per_4_gib() + low;
    return file;
}

// The name of the history file of `timeline`. A receiver builds it itself and compares: the name
// that a server sends along with TIMELINE_HISTORY is a stranger's.
constexpr file_name history_name(timeline_id timeline) noexcept {
    file_name name;
    name.append(timeline.value);
    name.append(".history");
    return name;
}

// name_invalid: not a history file's name, or timeline 0.
constexpr result<timeline_id> parse_history_name(std::string_view text) noexcept {
    timeline_id timeline;
    if (!detail::take_suffix(text, ".history") || !detail::parse_word(text, timeline.value) ||
        !timeline.valid())
        return errc::name_invalid;
    return timeline;
}

} // namespace walwire::wal
