// The stream of WAL as a replica sees it: contiguous bytes in, three honest positions out, and a
// clock.
//
// This is the part of replica::session between CopyBothResponse and the end of the copy. It keeps
// where the next byte of WAL belongs and refuses anything else (wal_gap, wal_overlap), hands
// payloads on in the runs that arrive, and knows what it owes the server: a status when one was
// asked for or is due, a ping at half of the silence that is allowed, hot-standby feedback, a
// CopyDone. What is owed is a bit and not a message; the message is made from the newest positions
// when there is room for it.
//
// AionDB's stream is the same with entries in place of bytes: batches come in order, `written` is
// the last entry of the last whole batch, and as entries need not follow one another in number,
// there is no gap that could be seen.
//
// `written` is moved by what was delivered, never by what the server says of itself, and only once
// the owner has called again and so has dealt with it.
//
// Source of truth: the manual, "Streaming Replication Protocol"; walreceiver.c and receivelog.c.
#pragma once

#include <cstdint>
#include <optional>

#include "../aiondb/message.hpp"
#include "../bytes.hpp"
#include "../config.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../time.hpp"
#include "../wire/conversation.hpp"
#include "../wire/copy.hpp"
#include "../wire/framer.hpp"
#include "../wire/frontend.hpp"
#include "../wire/outbox.hpp"
#include "event.hpp"
#include "options.hpp"
#include "positions.hpp"

namespace walwire::replica {

class stream {
  public:
    explicit stream(const options& chosen) noexcept : options_(chosen) {}

    // The server has agreed to stream from `start` on. A status is owed at once.
    void begin(lsn start, std::int64_t now) noexcept {
        next_ = start;
        // Where entries are counted, what is here ends with the one before.
        if (counts_entries()) start = {start.value - 1};
        // A stream that begins behind the end of what is here is the start of something new.
        if (positions_.restart(start) != errc::none) {
            positions_ = {};
            static_cast<void>(positions_.restart(start));
        }
        heard_ = now;
        stopping_ = pinged_ = owed_ping_ = owed_copy_done_ = false;
        owed_status_ = true;
        owed_feedback_ = feedback_given_;
        fast_size_max_ = size_max();
    }

    // The fast path: whether the input starts with a WAL message that belongs here, its head and at
    // least one byte of payload; then take() delivers what is there. The framer stands at a
    // boundary.
    WALWIRE_HOT bool takes(bytes in) const noexcept {
        if (in.size() <= front_size) return false;
        const std::byte* const at = in.data();
        return at[0] == std::byte{wire::copy_data_tag} && at[wire::header_size] == std::byte{'w'} &&
               payload_size(at) - 1 < fast_size_max_ &&
               load<std::uint64_t>(at + start_offset) == next_.value;
    }

    WALWIRE_HOT std::optional<event> take(bytes& in, wire::framer& framer,
                                          std::int64_t now) noexcept {
        const std::byte* const at = in.data();
        const std::uint32_t size = payload_size(at);
        const std::size_t there = in.size() - front_size;
        const bool ends = size <= there;
        std::size_t run = size;
        if (ends) [[likely]] {
            framer.took(front_size + size);
        } else {
            run = there;
            framer.took(front_size + there, static_cast<std::uint32_t>(size - there));
            pause(at);
        }
        const lsn start = next_;
        next_ = start + run;
        heard(now);
        if (next_.value > fast_end) [[unlikely]]
            fast_size_max_ = 0;
        in = in.subspan(front_size + run);
        return wal_data{start,
                        bytes(at + front_size, run),
                        lsn{load<std::uint64_t>(at + start_offset + 8)},
                        static_cast<std::int64_t>(load<std::uint64_t>(at + start_offset + 16)),
                        true,
                        ends};
    }

    // The head of a WAL message whose payload of `size` bytes follows in runs.
    errc begin_message(bytes head, std::uint32_t size) noexcept {
        if (counts_entries()) return begin_batch(head, size);
        const auto parsed = wire::parse_wal_data_head(head);
        if (!parsed) return parsed.code();
        if (parsed->start < next_) return errc::wal_overlap;
        if (parsed->start > next_) return errc::wal_gap;
        if (size > UINT64_MAX - next_.value) return errc::lsn_overflow;
        head_ = *parsed;
        begins_ = true;
        fast_size_max_ = 0;
        return errc::none;
    }

    // The next run of that payload; `left` bytes of it are still to come.
    event run(bytes data, std::uint32_t left) noexcept {
        if (counts_entries()) {
            const entry_data told{
                {head_.start.value}, {head_.server_end.value}, data, begins_, left == 0};
            begins_ = false;
            if (left == 0) next_ = head_.server_end + 1;
            return told;
        }
        const wal_data told{next_, data, head_.server_end, head_.sent_at, begins_, left == 0};
        next_ = next_ + data.size();
        begins_ = false;
        if (left == 0) fast_size_max_ = size_max();
        return told;
    }

    // Any CopyData that is not WAL, whole.
    step control(bytes data) noexcept {
        if (data.empty()) return {errc::stream_malformed, {}};
        if (counts_entries()) return entry_control(data);
        switch (std::to_integer<char>(data[0])) {
        case 'k': {
            const auto message = wire::parse_primary_keepalive(data);
            if (!message) return {message.code(), {}};
            owed_status_ = owed_status_ || message->reply_requested;
            return {errc::none, event(*message)};
        }
        case 's': {
            const auto message = wire::parse_primary_status(data);
            if (!message) return {message.code(), {}};
            return {errc::none, event(*message)};
        }
        // WAL without payload moves nothing, but must stand where WAL belongs.
        case 'w': return {begin_empty(data), {}};
        default: return {errc::stream_unknown, {}};
        }
    }

    // What an earlier life left here, before the stream begins.
    void resume(lsn durable, lsn replayed) noexcept {
        positions_ = replica::positions(durable, replayed);
    }

    // Bytes came: the server is alive.
    void heard(std::int64_t now) noexcept {
        heard_ = now;
        pinged_ = false;
    }

    // The owner has dealt with what was delivered, as it does before it calls anything again.
    void settle() noexcept {
        const bool before = counts_entries() && next_.valid();
        positions_.received(before ? lsn{next_.value - 1} : next_);
    }

    // Whether the flush moved and is to be reported at once.
    void flushed(lsn end) noexcept {
        settle();
        if (positions_.flushed(end) && options_.report_each_flush) owed_status_ = true;
    }
    void applied(lsn end) noexcept {
        settle();
        positions_.applied(end);
    }
    void report() noexcept { owed_status_ = true; }
    void feedback(std::uint64_t xmin, std::uint64_t catalog_xmin) noexcept {
        if (counts_entries()) return; // AionDB has no message for it
        feedback_ = {0, xmin, catalog_xmin};
        feedback_given_ = owed_feedback_ = true;
    }
    // A last status and a CopyDone, from our side or in answer to the server's.
    void finish() noexcept {
        owed_status_ = owed_copy_done_ = true;
        fast_size_max_ = 0;
    }
    void stop() noexcept {
        stopping_ = true;
        finish();
    }
    void end() noexcept {
        fast_size_max_ = 0;
        owed_status_ = owed_ping_ = owed_feedback_ = owed_copy_done_ = false;
    }
    // The server's history left the timeline at `at`: what lies behind it was never part of it.
    void rewind(lsn at) noexcept {
        if (at < next_) next_ = at;
        positions_.rewind(at);
    }

    // How what streams divides into heads and runs.
    wire::copy_content content() const noexcept {
        return counts_entries() ? wire::copy_content::entries : wire::copy_content::wal;
    }

    bool stopping() const noexcept { return stopping_; }
    bool owes() const noexcept {
        return owed_status_ || owed_ping_ || owed_feedback_ || owed_copy_done_;
    }
    std::uint64_t statuses_sent() const noexcept { return statuses_sent_; }
    lsn next() const noexcept { return next_; }
    const replica::positions& acknowledged() const noexcept { return positions_; }

    // By when something must come from a server that may be silent for `allowed`, and when to ask
    // one that streams for a sign of life.
    std::int64_t silence_deadline(std::int64_t allowed) const noexcept {
        return later(heard_, allowed);
    }
    std::int64_t ping_deadline() const noexcept {
        // AionDB's replicas cannot ask, and its primaries say something every ten seconds.
        if (pinged_ || options_.silence_timeout == never || counts_entries()) return never;
        return later(heard_, options_.silence_timeout / 2);
    }
    // A status that is owed already waits for room and for nothing else.
    std::int64_t status_deadline() const noexcept {
        return owed_status_ ? never : later(reported_, options_.status_interval);
    }

    // Looks at the clock while the stream is open for us to speak.
    void keep_time(std::int64_t now) noexcept {
        if (now >= status_deadline()) owed_status_ = true;
        if (now >= ping_deadline()) {
            pinged_ = true;
            owed_status_ = owed_ping_ = true;
        }
    }

    // Encodes what is owed, as far as there is room and the conversation allows it.
    void say(wire::conversation& talk, wire::outbox& out, instant now) noexcept {
        if (talk.at() == wire::phase::copy_in || !talk.may_send(wire::message::copy_data_in)) {
            end();
            return;
        }
        settle();
        const std::int64_t sent_at = to_postgres_time(now.wall);
        if (owed_status_) {
            if (out.put([&](writer& to) noexcept { put_status(to, sent_at); }) != errc::none)
                return;
            owed_status_ = owed_ping_ = false;
            reported_ = now.steady;
            ++statuses_sent_;
            owed_feedback_ = feedback_given_;
        }
        if (owed_feedback_) {
            feedback_.sent_at = sent_at;
            if (out.put([&](writer& to) noexcept { put(to, feedback_); }) != errc::none) return;
            owed_feedback_ = false;
        }
        if (owed_copy_done_) {
            if (out.put([](writer& to) noexcept { wire::put_client_copy_done(to); }) != errc::none)
                return;
            static_cast<void>(talk.send(wire::message::copy_done_in));
            end();
        }
    }

  private:
    // What stands before the payload: the message's header and the WAL message's head.
    static constexpr std::size_t front_size = wire::header_size + wire::wal_data_head_size;
    static constexpr std::size_t start_offset = wire::header_size + 1;
    // Behind it, near the end of the 64-bit range, every message takes the road that checks for it.
    static constexpr std::uint64_t fast_end = UINT64_MAX - UINT32_MAX;

    // The announced payload of the message at `at`; huge when the length is too small to have one.
    static std::uint32_t payload_size(const std::byte* at) noexcept {
        constexpr auto before = static_cast<std::uint32_t>(front_size - wire::tag_size);
        return load<std::uint32_t>(at + wire::tag_size) - before;
    }
    std::uint32_t size_max() const noexcept {
        constexpr auto head = static_cast<std::uint32_t>(wire::wal_data_head_size);
        // Above this a length word too small for itself would look like a payload of 4 GiB.
        constexpr std::uint32_t most = UINT32_MAX - static_cast<std::uint32_t>(wire::length_size);
        const std::uint32_t limit = options_.limits.copy_data_size_max;
        if (limit < head || next_.value > fast_end || counts_entries()) return 0;
        return (limit < most ? limit : most) - head;
    }
    bool counts_entries() const noexcept { return options_.dialect == dialect::aiondb; }

    void put_status(writer& to, std::int64_t sent_at) const noexcept {
        const lsn written = positions_.written();
        const lsn flushed = positions_.flushed();
        const lsn applied = positions_.applied();
        if (counts_entries())
            put(to,
                aiondb::standby_status_update{{written.value}, {flushed.value}, {applied.value}});
        else
            put(to, wire::standby_status_update{written, flushed, applied, sent_at, owed_ping_});
    }

    // The head of a batch of entries, which must lie behind the one before it.
    errc begin_batch(bytes head, std::uint32_t size) noexcept {
        const auto parsed = aiondb::parse_batch_head(head, size);
        if (!parsed) return parsed.code();
        if (parsed->first.as_position() < next_) return errc::wal_overlap;
        if (parsed->last.value == UINT64_MAX) return errc::lsn_overflow;
        head_.start = parsed->first.as_position();
        head_.server_end = parsed->last.as_position();
        begins_ = true;
        return errc::none;
    }

    step entry_control(bytes data) noexcept {
        switch (static_cast<aiondb::tag>(std::to_integer<std::uint8_t>(data[0]))) {
        case aiondb::tag::keepalive: {
            const auto message = aiondb::parse_keepalive(data);
            if (!message) return {message.code(), {}};
            owed_status_ = owed_status_ || message->reply_requested;
            return {errc::none, event(*message)};
        }
        // Without a single byte of its entries.
        case aiondb::tag::batch: {
            const auto head = aiondb::parse_batch_head(data, 0);
            return {head ? errc::entry_batch_empty : head.code(), {}};
        }
        case aiondb::tag::standby_status_update:
        case aiondb::tag::keepalive_reply: return {errc::entry_direction_invalid, {}};
        }
        return {errc::stream_unknown, {}};
    }

    // A message whose payload has only begun: the rest comes in runs.
    WALWIRE_COLD void pause(const std::byte* at) noexcept {
        head_ = *wire::parse_wal_data_head({at + wire::header_size, wire::wal_data_head_size});
        begins_ = false;
        fast_size_max_ = 0;
    }
    errc begin_empty(bytes head) noexcept {
        const errc code = begin_message(head, 0);
        begins_ = false;
        fast_size_max_ = size_max();
        return code;
    }

    const options& options_;
    lsn next_; // where the next byte of WAL belongs; the least entry that may come next
    std::int64_t heard_ = 0;
    std::uint32_t fast_size_max_ = 0; // payloads that the fast path takes; 0 closes it
    bool begins_ = false;
    bool stopping_ = false;
    bool pinged_ = false;
    bool owed_status_ = false;
    bool owed_ping_ = false;
    bool owed_feedback_ = false;
    bool owed_copy_done_ = false;
    bool feedback_given_ = false;
    std::int64_t reported_ = 0;
    std::uint64_t statuses_sent_ = 0;
    wire::wal_data_head head_; // of the message whose runs are coming
    replica::positions positions_;
    wire::hot_standby_feedback feedback_;
};

} // namespace walwire::replica
