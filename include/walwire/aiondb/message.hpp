// AionDB's streaming messages: what stands inside CopyData where PostgreSQL has 'w', 'k', 'r'.
//
//     tag 1 | size of the payload 4 | payload        all integers little-endian, at most 8 MiB
//
//     from the primary
//     0x01  batch                   first 8 | last 8 | entries, at least one
//     0x03  keepalive               end 8 | time 8 | reply_requested 1
//     from the replica
//     0x02  standby_status_update   written 8 | flushed 8 | applied 8
//     0x04  keepalive_reply         time 8
//
// One message fills one CopyData: nothing stands behind it, and its size must agree with that of
// the CopyData around it.
//
// LSNs here name entries and not byte ends. A batch goes from its first entry to its last, both
// counted in; "flushed" is the number of the last entry that is durable, and a replica goes on by
// asking for that one again, or for entry 1 when it has none. PostgreSQL's positions are the last
// byte plus one. To mix the two up loses an entry or fetches one for ever, so there are two types:
// these messages, the calls that place, report or send entries and the events that bring them take
// `entry_lsn`. What serves both dialects (commands, the rows of answers, progress, slots,
// histories) has `lsn`, and there it is the options' dialect that says which of the two a number
// is. One type turns into the other only where it is said by name. The numbers need not follow one
// another: a primary counts entries by one, or by their encoded size.
//
// Source of truth: AionDB's replication messages; the limits are its own.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../wire/copy.hpp"
#include "../wire/tag.hpp"

namespace walwire::aiondb {

// The number of an entry of the log; 0 is none.
struct entry_lsn {
    std::uint64_t value = 0;

    constexpr bool valid() const noexcept { return value != 0; }
    // For books that only compare: how far somebody is, entries counted in.
    constexpr lsn as_position() const noexcept { return {value}; }
    friend constexpr auto operator<=>(entry_lsn, entry_lsn) noexcept = default;
};

constexpr lsn_text to_text(entry_lsn at) noexcept {
    return lsn_text(at.as_position(), dialect::aiondb);
}

// What a stream begins with where nothing is here.
inline constexpr entry_lsn first_entry{1};

enum class tag : std::uint8_t {
    batch = 0x01,
    standby_status_update = 0x02,
    keepalive = 0x03,
    keepalive_reply = 0x04,
};

inline constexpr std::uint32_t payload_size_max = 8 * 1024 * 1024;
inline constexpr std::size_t message_header_size = 5;
inline constexpr std::size_t batch_head_size = wire::entry_batch_head_size;

// The most bytes of entries that a batch can bring: replicas take no CopyData above 8 MiB either.
inline constexpr std::uint32_t entries_size_max =
    payload_size_max - static_cast<std::uint32_t>(batch_head_size);

// Who fills batches makes none larger than this, or of more entries, but for an entry that is
// larger by itself (batch_room). Who reads them takes all that the payload's limit allows, and
// whoever passes them on does so as they came.
inline constexpr std::uint32_t batch_entries_max = 1024;
inline constexpr std::uint32_t batch_size_max = 1024 * 1024;

// Counts a batch while it is filled: only its owner knows where an entry ends.
class batch_room {
  public:
    // Whether the next entry, of `size` bytes, belongs into this batch, which then has it. A first
    // one that is not taken fits into no batch.
    constexpr bool take(std::size_t size) noexcept {
        const std::size_t most = entries_ == 0 ? entries_size_max : batch_size_max;
        const std::size_t left = most > size_ ? most - size_ : 0;
        if (left == 0 || size > left || entries_ == batch_entries_max) return false;
        size_ += size;
        ++entries_;
        return true;
    }

    constexpr std::uint32_t entries() const noexcept { return entries_; }
    constexpr std::size_t size() const noexcept { return size_; }

  private:
    std::size_t size_ = 0;
    std::uint32_t entries_ = 0;
};

// All of a batch but its entries, of which `size` bytes follow.
struct batch_head {
    entry_lsn first;
    entry_lsn last;
    std::uint32_t size = 0;
};

struct standby_status_update {
    entry_lsn written;
    entry_lsn flushed;
    entry_lsn applied;
};

// `end` is the last entry that the primary has. Nothing may depend on the time.
struct keepalive {
    entry_lsn end;
    std::uint64_t sent_at = 0; // microseconds
    bool reply_requested = false;
};

struct keepalive_reply {
    std::uint64_t sent_at = 0; // microseconds
};

namespace detail {

// The payload of a message of this tag and size: entry_size_mismatch unless it fills the CopyData,
// entry_size_invalid unless it has the size that such a message has.
inline result<bytes> fixed_payload(bytes data, std::size_t size) noexcept {
    if (data.size() < message_header_size) return errc::entry_size_mismatch;
    const auto announced = load<std::uint32_t, std::endian::little>(data.data() + 1);
    if (announced > payload_size_max) return errc::entry_too_large;
    if (announced != data.size() - message_header_size) return errc::entry_size_mismatch;
    if (announced != size) return errc::entry_size_invalid;
    return data.subspan(message_header_size);
}

// Puts a whole message, CopyData header included.
template <std::size_t Size>
void put_fixed(writer& out, tag kind, const std::uint64_t (&numbers)[Size],
               const std::uint8_t* flag = nullptr) noexcept {
    std::array<std::byte, message_header_size + 8 * Size + 1> room{};
    little_writer message(room);
    message.u8(static_cast<std::uint8_t>(kind));
    message.u32(static_cast<std::uint32_t>(8 * Size + (flag == nullptr ? 0 : 1)));
    for (const std::uint64_t number : numbers) message.u64(number);
    if (flag != nullptr) message.u8(*flag);
    out.u8(wire::copy_data_tag);
    out.u32(static_cast<std::uint32_t>(wire::length_size + message.size()));
    out.append(message.written());
}

} // namespace detail

// Decoders take the CopyData's bytes, tag included, which the caller has looked at.

// The head of a batch, of a CopyData of which `left` bytes follow. entry_batch_empty;
// entry_number_zero; entry_batch_backwards: the last entry before the first.
inline result<batch_head> parse_batch_head(bytes head, std::size_t left) noexcept {
    if (head.size() < message_header_size) return errc::entry_size_mismatch;
    little_reader in(head.subspan(1));
    const std::uint32_t announced = in.u32();
    if (announced > payload_size_max) return errc::entry_too_large;
    if (announced != head.size() - message_header_size + left) return errc::entry_size_mismatch;
    batch_head message;
    message.first = {in.u64()};
    message.last = {in.u64()};
    if (!in.ok() || left == 0) return errc::entry_batch_empty;
    if (!message.first.valid()) return errc::entry_number_zero;
    if (message.last < message.first) return errc::entry_batch_backwards;
    message.size = static_cast<std::uint32_t>(left);
    return message;
}

// entry_status_disordered unless applied <= flushed <= written.
inline result<standby_status_update> parse_standby_status_update(bytes data) noexcept {
    const auto payload = detail::fixed_payload(data, 24);
    if (!payload) return payload.code();
    little_reader in(*payload);
    standby_status_update message;
    message.written = {in.u64()};
    message.flushed = {in.u64()};
    message.applied = {in.u64()};
    if (message.applied > message.flushed || message.flushed > message.written)
        return errc::entry_status_disordered;
    return message;
}

// entry_flag_invalid: a reply is requested by 1, or not by 0.
inline result<keepalive> parse_keepalive(bytes data) noexcept {
    const auto payload = detail::fixed_payload(data, 17);
    if (!payload) return payload.code();
    little_reader in(*payload);
    keepalive message;
    message.end = {in.u64()};
    message.sent_at = in.u64();
    const std::uint8_t flag = in.u8();
    if (flag > 1) return errc::entry_flag_invalid;
    message.reply_requested = flag == 1;
    return message;
}

inline result<keepalive_reply> parse_keepalive_reply(bytes data) noexcept {
    const auto payload = detail::fixed_payload(data, 8);
    if (!payload) return payload.code();
    return keepalive_reply{little_reader(*payload).u64()};
}

// Encoders write the whole message with its CopyData header; a batch's writes all but the entries.

inline void put(writer& out, const batch_head& message) noexcept {
    out.u8(wire::copy_data_tag);
    out.u32(static_cast<std::uint32_t>(wire::length_size + batch_head_size + message.size));
    std::array<std::byte, batch_head_size> room{};
    little_writer head(room);
    head.u8(static_cast<std::uint8_t>(tag::batch));
    head.u32(16 + message.size);
    head.u64(message.first.value);
    head.u64(message.last.value);
    out.append(head.written());
}

inline void put(writer& out, const standby_status_update& message) noexcept {
    detail::put_fixed(out, tag::standby_status_update,
                      {message.written.value, message.flushed.value, message.applied.value});
}

inline void put(writer& out, const keepalive& message) noexcept {
    const std::uint8_t flag = message.reply_requested ? 1 : 0;
    detail::put_fixed(out, tag::keepalive, {message.end.value, message.sent_at}, &flag);
}

inline void put(writer& out, const keepalive_reply& message) noexcept {
    detail::put_fixed(out, tag::keepalive_reply, {message.sent_at});
}

} // namespace walwire::aiondb
