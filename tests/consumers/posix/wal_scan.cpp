#include "wal_scan.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include <walwire/wal/crc32c.hpp>

namespace posix {

namespace {

using walwire::bytes;
using walwire::lsn;

constexpr std::uint32_t short_header = 24;
constexpr std::uint32_t long_header = cluster_header_size;
constexpr std::uint32_t record_header = 24;
constexpr std::uint32_t page_size_min = 1024; // a server's --with-wal-blocksize
constexpr std::uint32_t page_size_max = 64 * 1024;
constexpr std::uint32_t record_size_max = 1020u << 20;

constexpr std::uint16_t flag_continued = 0x1;
constexpr std::uint16_t flag_long = 0x2;
constexpr std::uint16_t flag_overwritten = 0x8;
constexpr std::uint16_t flags_known = 0xf;

struct version {
    std::uint16_t magic;
    int major;
};
constexpr version versions[] = {{0xd101, 12}, {0xd106, 13}, {0xd10d, 14}, {0xd110, 15},
                                {0xd113, 16}, {0xd116, 17}, {0xd118, 18}};

template <class Number>
Number load(bytes data, std::size_t at) noexcept {
    Number value;
    std::memcpy(&value, data.data() + at, sizeof value);
    return value;
}

constexpr lsn page_of(lsn at) noexcept {
    return {at.value & ~std::uint64_t{wal_page_size - 1}};
}

constexpr lsn aligned(lsn at) noexcept {
    return {(at.value + 7) & ~std::uint64_t{7}};
}

} // namespace

std::optional<wal_cluster> read_cluster(bytes segment) noexcept {
    if (segment.size() < long_header) return std::nullopt;
    wal_cluster found;
    found.magic = load<std::uint16_t>(segment, 0);
    for (const version& each : versions) {
        if (each.magic == found.magic) found.major_version = each.major;
    }
    const auto size = walwire::wal::segment_size::of(load<std::uint32_t>(segment, 32));
    if (found.major_version == 0 || (load<std::uint16_t>(segment, 2) & flag_long) == 0 || !size ||
        load<std::uint32_t>(segment, 36) != wal_page_size)
        return std::nullopt;
    found.system_identifier = load<std::uint64_t>(segment, 24);
    found.size = *size;
    return found;
}

std::optional<std::uint64_t> read_system_identifier(bytes segment) noexcept {
    if (segment.size() < long_header) return std::nullopt;
    const auto page_size = load<std::uint32_t>(segment, 36);
    const auto identifier = load<std::uint64_t>(segment, 24);
    if ((load<std::uint16_t>(segment, 2) & flag_long) == 0 || identifier == 0 ||
        !walwire::wal::segment_size::of(load<std::uint32_t>(segment, 32)) ||
        !std::has_single_bit(page_size) || page_size < page_size_min || page_size > page_size_max)
        return std::nullopt;
    return identifier;
}

std::optional<page_header> read_page(bytes page, lsn at, const wal_cluster& cluster) noexcept {
    if (page.size() < long_header) return std::nullopt;
    const auto flags = load<std::uint16_t>(page, 2);
    const bool first = offset_in_segment(at, cluster.size) == 0;
    if (load<std::uint16_t>(page, 0) != cluster.magic || (flags & ~flags_known) != 0 ||
        load<std::uint64_t>(page, 8) != at.value || ((flags & flag_long) != 0) != first)
        return std::nullopt;
    if (first && (load<std::uint64_t>(page, 24) != cluster.system_identifier ||
                  load<std::uint32_t>(page, 32) != cluster.size.value()))
        return std::nullopt;
    page_header found;
    found.timeline.value = load<std::uint32_t>(page, 4);
    found.left = load<std::uint32_t>(page, 16);
    found.continued = (flags & flag_continued) != 0;
    found.overwritten = (flags & flag_overwritten) != 0;
    found.size = first ? long_header : short_header;
    if (!found.timeline.valid() || found.continued != (found.left != 0)) return std::nullopt;
    return found;
}

void record_scan::begin(walwire::wal::segment_number first) noexcept {
    next_ = end_ = seen_ = start_of(first, cluster_.size);
    last_ = {};
    entering_ = true;
}

void record_scan::advance() {
    if (entering_ && !enter()) return;
    while (step()) {
    }
}

// Past what is left of a record that began before.
bool record_scan::enter() {
    const auto header = read_page(page_at(next_), next_, cluster_);
    if (!header) return false;
    if (header->continued) {
        const auto behind = walk(next_, header->left, [](bytes) noexcept {});
        if (!behind) return false;
        next_ = aligned(*behind);
    }
    entering_ = false;
    return true;
}

// One record more; false where none is whole.
bool record_scan::step() {
    seen_ = next_;
    lsn at = next_;
    if (at == page_of(at)) {
        const auto header = read_page(page_at(at), at, cluster_);
        if (!header || header->continued) return false;
        at = at + header->size;
    }
    const bytes page = page_at(at);
    if (page.empty()) return false;
    const auto size = load<std::uint32_t>(page, at.value % wal_page_size);
    if (size < record_header || size > record_size_max) return false;
    // Pages first, since they cost little and tell whether the rest is worth it.
    if (!walk(at, size, [](bytes) noexcept {})) return give_up();

    std::array<std::byte, record_header> head{};
    std::size_t got = 0;
    walwire::wal::crc32c sum;
    const auto behind = walk(at, size, [&](bytes part) noexcept {
        const std::size_t taken = std::min(part.size(), head.size() - got);
        if (taken > 0) std::memcpy(head.data() + got, part.data(), taken);
        got += taken;
        sum.update(part.subspan(taken));
    });
    sum.update(bytes(head).first(20));
    const lsn previous{load<std::uint64_t>(head, 8)};
    const bool follows = last_.valid() ? previous == last_ : previous < at;
    if (!behind || !follows || sum.value() != load<std::uint32_t>(head, 20)) return false;

    last_ = at;
    next_ = end_ = seen_ = aligned(*behind);
    const auto info = load<std::uint8_t>(head, 16);
    const auto manager = load<std::uint8_t>(head, 17);
    const bool switched = manager == 0 && (info & 0xf0) == 0x40;
    if (switched && offset_in_segment(end_, cluster_.size) != 0)
        next_ = segment_start(end_, cluster_.size) + cluster_.size.value();
    return true;
}

// The record's pages end early. A server that crashed there goes on behind them, and says so on the
// page that should have been the next.
bool record_scan::give_up() {
    if (seen_ != page_of(seen_)) return false;
    const auto header = read_page(page_at(seen_), seen_, cluster_);
    if (!header || !header->overwritten || header->continued) return false;
    next_ = seen_;
    return true;
}

bytes record_scan::page_at(lsn at) {
    const bytes segment = segments_(containing(at, cluster_.size));
    const std::uint32_t offset = offset_in_segment(page_of(at), cluster_.size);
    if (segment.size() < std::size_t{offset} + wal_page_size) return {};
    return segment.subspan(offset, wal_page_size);
}

// Visits `size` bytes of a record from `at` on, without the page headers between them, and gives
// the position behind; none where a page is not there or not of this record. `seen_` is how far it
// came.
template <class Visit>
std::optional<lsn> record_scan::walk(lsn at, std::uint32_t size, Visit&& visit) {
    while (size > 0) {
        seen_ = at;
        const bytes page = page_at(at);
        if (page.empty()) return std::nullopt;
        const lsn start = page_of(at);
        if (at == start) {
            const auto header = read_page(page, at, cluster_);
            if (!header || header->left != size) return std::nullopt;
            at = at + header->size;
        }
        const auto offset = static_cast<std::uint32_t>(at - start);
        const std::uint32_t part = std::min(size, wal_page_size - offset);
        visit(page.subspan(offset, part));
        size -= part;
        at = at + part;
    }
    return at;
}

} // namespace posix
