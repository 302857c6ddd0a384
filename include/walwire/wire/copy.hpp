// What stands inside CopyData while WAL streams: six messages, told apart by their first byte.
//
//     from the primary                                             after the first byte
//     'w'  wal_data               start 8 | server_end 8 | time 8 | WAL bytes
//     'k'  primary_keepalive      server_end 8 | time 8 | reply_requested 1
//     's'  primary_status (19+)   lsn 8 | oldest xid in commit 8 | next full xid 8 | time 8
//     from the replica
//     'r'  standby_status_update  written 8 | flushed 8 | applied 8 | time 8 | reply_requested 1
//     'h'  hot_standby_feedback   time 8 | xmin 4 | its epoch 4 | catalog xmin 4 | its epoch 4
//     'p'  primary_status_request (19+)  time 8
//
// Positions that say "up to here" are the last byte plus one, and 0 means unknown. `server_end` is
// how far the server's log reaches, never the end of this message: that is start plus the payload's
// size. Times are PostgreSQL's, in microseconds; nothing may depend on them. A WAL payload may
// start and end anywhere, in the middle of a record and across a segment boundary.
//
// The same CopyData carries base backups, which pass through in runs as they are: what stands in
// them is backup/reader.hpp's business.
//
// Source of truth: the manual, "Streaming Replication Protocol"; walsender.c and walreceiver.c.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "tag.hpp"

namespace walwire::wire {

inline constexpr std::size_t wal_data_head_size = 25;
inline constexpr std::size_t primary_keepalive_size = 18;
inline constexpr std::size_t primary_status_size = 33;
inline constexpr std::size_t standby_status_update_size = 34;
inline constexpr std::size_t hot_standby_feedback_size = 25;
inline constexpr std::size_t primary_status_request_size = 9;

// AionDB's batch of entries, which is first byte 1: aiondb/message.hpp.
inline constexpr std::size_t entry_batch_head_size = 21;

// What a server puts into one message at most: 16 WAL pages.
inline constexpr std::uint32_t wal_payload_max = 128 * 1024;

struct wal_data_head {
    lsn start;
    lsn server_end;
    std::int64_t sent_at = 0; // microseconds since 2000-01-01 00:00 UTC
};

struct primary_keepalive {
    lsn server_end;
    std::int64_t sent_at = 0;
    bool reply_requested = false;
};

struct primary_status {
    lsn end;
    std::uint64_t oldest_xid_in_commit = 0;
    std::uint64_t next_full_xid = 0;
    std::int64_t sent_at = 0;
};

struct standby_status_update {
    lsn written;
    lsn flushed;
    lsn applied;
    std::int64_t sent_at = 0;
    bool reply_requested = false;
};

// Transaction identifiers in full: the upper half of the 64 bits is the epoch. Zero: none is held.
struct hot_standby_feedback {
    std::int64_t sent_at = 0;
    std::uint64_t xmin = 0;
    std::uint64_t catalog_xmin = 0;
};

struct primary_status_request {
    std::int64_t sent_at = 0;
};

// How a CopyData divides into a head, which the framer gathers whole, and a body, which passes
// through in the runs that arrive.
enum class copy_content : std::uint8_t {
    whole,   // no division: every CopyData is a control message
    wal,     // 'w' streams behind its 25 bytes, all others are whole
    entries, // AionDB's batches stream behind their 21 bytes, all others are whole
    raw,     // nothing but body: base backups, and SQL's COPY
};

// The number of a CopyData's first bytes to gather before its body streams; `whole_copy_data` when
// all of it is to be gathered.
inline constexpr std::uint32_t whole_copy_data = UINT32_MAX;

constexpr std::uint32_t copy_head_size(copy_content content, std::uint8_t first) noexcept {
    switch (content) {
    case copy_content::wal:
        return first == 'w' ? static_cast<std::uint32_t>(wal_data_head_size) : whole_copy_data;
    case copy_content::entries:
        return first == 1 ? static_cast<std::uint32_t>(entry_batch_head_size) : whole_copy_data;
    case copy_content::raw: return 0;
    case copy_content::whole: break;
    }
    return whole_copy_data;
}

// Decoders take the CopyData's bytes, first byte included, which the caller has looked at. A
// keepalive or status has one size and no other; the replica's two are taken longer than that too,
// as every server does, because a later version may append to them.

inline result<wal_data_head> parse_wal_data_head(bytes data) noexcept {
    if (data.size() < wal_data_head_size) return errc::stream_malformed;
    const std::byte* at = data.data() + 1;
    return wal_data_head{{load<std::uint64_t>(at)},
                         {load<std::uint64_t>(at + 8)},
                         static_cast<std::int64_t>(load<std::uint64_t>(at + 16))};
}

inline result<primary_keepalive> parse_primary_keepalive(bytes data) noexcept {
    if (data.size() != primary_keepalive_size) return errc::stream_malformed;
    reader in(data.subspan(1));
    primary_keepalive message;
    message.server_end = {in.u64()};
    message.sent_at = in.i64();
    message.reply_requested = in.u8() != 0;
    return message;
}

inline result<primary_status> parse_primary_status(bytes data) noexcept {
    if (data.size() != primary_status_size) return errc::stream_malformed;
    reader in(data.subspan(1));
    primary_status message;
    message.end = {in.u64()};
    message.oldest_xid_in_commit = in.u64();
    message.next_full_xid = in.u64();
    message.sent_at = in.i64();
    return message;
}

inline result<standby_status_update> parse_standby_status_update(bytes data) noexcept {
    if (data.size() < standby_status_update_size) return errc::stream_malformed;
    reader in(data.subspan(1));
    standby_status_update message;
    message.written = {in.u64()};
    message.flushed = {in.u64()};
    message.applied = {in.u64()};
    message.sent_at = in.i64();
    message.reply_requested = in.u8() != 0;
    return message;
}

inline result<hot_standby_feedback> parse_hot_standby_feedback(bytes data) noexcept {
    if (data.size() < hot_standby_feedback_size) return errc::stream_malformed;
    reader in(data.subspan(1));
    hot_standby_feedback message;
    message.sent_at = in.i64();
    // On the wire the xid stands before its epoch, the lower half before the upper.
    for (std::uint64_t* const full : {&message.xmin, &message.catalog_xmin}) {
        const std::uint64_t xid = in.u32();
        *full = std::uint64_t{in.u32()} << 32 | xid;
    }
    return message;
}

inline result<primary_status_request> parse_primary_status_request(bytes data) noexcept {
    if (data.size() < primary_status_request_size) return errc::stream_malformed;
    return primary_status_request{static_cast<std::int64_t>(load<std::uint64_t>(data.data() + 1))};
}

// Encoders write the whole message with its CopyData header; wal_data's writes all but the payload,
// whose size it must be told.

namespace detail {

inline void put_copy_header(writer& out, std::size_t content_size) noexcept {
    out.u8(copy_data_tag);
    out.u32(static_cast<std::uint32_t>(length_size + content_size));
}

} // namespace detail

inline void put(writer& out, const wal_data_head& message, std::uint32_t payload_size) noexcept {
    detail::put_copy_header(out, wal_data_head_size + payload_size);
    out.u8('w');
    out.u64(message.start.value);
    out.u64(message.server_end.value);
    out.i64(message.sent_at);
}

inline void put(writer& out, const primary_keepalive& message) noexcept {
    detail::put_copy_header(out, primary_keepalive_size);
    out.u8('k');
    out.u64(message.server_end.value);
    out.i64(message.sent_at);
    out.u8(message.reply_requested ? 1 : 0);
}

inline void put(writer& out, const primary_status& message) noexcept {
    detail::put_copy_header(out, primary_status_size);
    out.u8('s');
    out.u64(message.end.value);
    out.u64(message.oldest_xid_in_commit);
    out.u64(message.next_full_xid);
    out.i64(message.sent_at);
}

inline void put(writer& out, const standby_status_update& message) noexcept {
    detail::put_copy_header(out, standby_status_update_size);
    out.u8('r');
    out.u64(message.written.value);
    out.u64(message.flushed.value);
    out.u64(message.applied.value);
    out.i64(message.sent_at);
    out.u8(message.reply_requested ? 1 : 0);
}

inline void put(writer& out, const hot_standby_feedback& message) noexcept {
    detail::put_copy_header(out, hot_standby_feedback_size);
    out.u8('h');
    out.i64(message.sent_at);
    for (const std::uint64_t full : {message.xmin, message.catalog_xmin}) {
        out.u32(static_cast<std::uint32_t>(full));
        out.u32(static_cast<std::uint32_t>(full >> 32));
    }
}

inline void put(writer& out, const primary_status_request& message) noexcept {
    detail::put_copy_header(out, primary_status_request_size);
    out.u8('p');
    out.i64(message.sent_at);
}

} // namespace walwire::wire
