// Where the WAL in a file ends: pages and records, looked at from outside.
//
// A `.partial` has the size of a whole segment from its first byte on and zeros where nothing has
// arrived yet, so its size says nothing. What says something are the records: each has its length,
// the position of the one before it and a checksum, and WAL ends behind the last that is right in
// all three. To serve more than that would be a promise that may have to be taken back.
//
//     page     magic u16 | flags u16 | timeline u32 | position u64 | bytes left of a record u32 |
//              padding u32; the first of a segment also: system identifier u64 | segment size u32 |
//              page size u32
//     record   length u32 | xid u32 | previous u64 | info u8 | resource manager u8 | padding u16 |
//              crc u32 | the rest; begins on a multiple of 8 and goes on behind the next pages'
//              headers
//
// All of it stands in the byte order of the server, which is assumed to be little-endian. What a
// record means is of no interest here, but for two: after a switch the rest of a segment is empty,
// and a page can say that the record before it was given up.
//
// Source of truth: PostgreSQL's xlog_internal.h and xlogrecord.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include <walwire/bytes.hpp>
#include <walwire/lsn.hpp>
#include <walwire/wal/segment.hpp>

namespace posix {

inline constexpr std::uint32_t wal_page_size = 8192;

// What the header of a segment's first page tells of the cluster.
struct wal_cluster {
    std::uint64_t system_identifier = 0;
    walwire::wal::segment_size size;
    std::uint16_t magic = 0;
    int major_version = 0;
};

// Reads it from the first bytes of a segment; none if they are no such header, of an unknown
// version or of another page size than the usual one.
std::optional<wal_cluster> read_cluster(walwire::bytes segment) noexcept;

// Whose log a segment is, of any version: only these few fields have never moved. None where the
// first page was not written yet, or is no such page.
std::optional<std::uint64_t> read_system_identifier(walwire::bytes segment) noexcept;
// As many bytes say it.
inline constexpr std::size_t cluster_header_size = 40;

struct page_header {
    walwire::timeline_id timeline;
    std::uint32_t left = 0;   // bytes of a record that began on an earlier page
    bool continued = false;   // there are some
    bool overwritten = false; // there should be, but the record was given up
    std::uint32_t size = 0;
};

// The header of the page that is to stand at `at`, from the page's bytes; none if it is another's.
std::optional<page_header> read_page(walwire::bytes page, walwire::lsn at,
                                     const wal_cluster& cluster) noexcept;

// Goes from record to record as far as they are whole, and goes on from there when asked again.
class record_scan {
  public:
    // The bytes of a whole segment, which must stay until the next call; empty where there are
    // none.
    using lookup = std::function<walwire::bytes(walwire::wal::segment_number)>;

    record_scan(const wal_cluster& cluster, lookup segments)
        : cluster_(cluster), segments_(std::move(segments)) {}

    // Starts over with the first record that begins in this segment or behind it. What is left of
    // one that began before cannot be checked: it counts once the next record is right.
    void begin(walwire::wal::segment_number first) noexcept;
    // Goes as far as there are whole records.
    void advance();

    // Behind the last whole record; where the scan began if there was none.
    walwire::lsn end() const noexcept { return end_; }
    // Where the next record must begin: here, unless a page header or the end of a segment that
    // was switched away from comes first.
    walwire::lsn next() const noexcept { return next_; }
    // How far the pages of the record go that begins there and is not whole.
    walwire::lsn seen() const noexcept { return seen_; }

  private:
    bool enter();
    bool step();
    bool give_up();
    walwire::bytes page_at(walwire::lsn at);
    template <class Visit>
    std::optional<walwire::lsn> walk(walwire::lsn at, std::uint32_t size, Visit&& visit);

    wal_cluster cluster_;
    lookup segments_;
    walwire::lsn next_;
    walwire::lsn end_;
    walwire::lsn last_; // where the last record begins; 0 if unknown
    walwire::lsn seen_;
    bool entering_ = false;
};

} // namespace posix
