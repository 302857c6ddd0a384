// The stream of WAL as a primary sees it: lent bytes out, reported positions in, and a clock.
//
// This is the part of primary::session between START_REPLICATION and the end of the copy. WAL is
// lent, never copied: send() takes a view, and what goes out is a head of 30 bytes and a part of
// that view, message by message, so that an adapter can write both with one system call or let the
// kernel move the body. A message holds at most 128 KiB and ends on a page boundary unless the log
// itself ends before it, as PostgreSQL's do.
//
// The copy ends in one of four ways:
//
//     the client stops      CopyDone comes; ours follows what was begun, then the completions
//     the timeline ends     all up to the switch point was sent; CopyDone, the client's, the row
//                           that says where to go on, the completions
//     the server leaves     all was sent and acknowledged; CommandComplete alone, and we close
//     an error              ErrorResponse, wherever we are between two messages
//
// AionDB's replicas are sent entries: a batch is a message of its own, and where nothing is sent
// for ten seconds they are asked for a sign of life. Their streams do not end with a timeline, but
// the owner may end one for them to come back: CopyDone, the client's, the completions.
//
// What is owed is a bit and not a message: a keepalive that was asked for a hundred times is one
// keepalive, made when there is room for it.
//
// Source of truth: the manual, "Streaming Replication Protocol"; walsender.c.
#pragma once

#include <cstdint>
#include <string_view>

#include "../aiondb/message.hpp"
#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../time.hpp"
#include "../wire/backend.hpp"
#include "../wire/conversation.hpp"
#include "../wire/copy.hpp"
#include "../wire/outbox.hpp"
#include "answer.hpp"
#include "event.hpp"
#include "options.hpp"
#include "progress.hpp"

namespace walwire::primary {

// What is to be streamed: where the log of `timeline` ends at present and, if it is not the current
// timeline any more, where it ended for good and which one follows.
struct served_timeline {
    timeline_id timeline;
    lsn end;
    timeline_id next; // 0: this is the current timeline
    lsn switch_point;
};

// Messages end on these boundaries.
inline constexpr std::uint64_t wal_page_size = 8192;

class wal_sender {
  public:
    explicit wal_sender(const options& chosen) noexcept : options_(&chosen) {}

    void begin(lsn start, const served_timeline& from, std::int64_t now) noexcept {
        *this = wal_sender(*options_, start, from, now);
    }

    // The next WAL, from next() on; all of it must stay until it is given back, which is when
    // wants_wal() says yes again or the stream is over.
    errc lend(bytes wal) noexcept {
        if (!wants_wal()) return errc::not_now;
        if (wal.size() > UINT64_MAX - next_.value) return errc::lsn_overflow;
        if (ends() && wal.size() > switch_point_ - next_) return errc::argument_too_long;
        lent_ = wal;
        advance(next_ + wal.size());
        return errc::none;
    }

    // A batch of entries was sent. argument_invalid: it lies before next(), or is none.
    errc send(aiondb::entry_lsn first, aiondb::entry_lsn last, std::int64_t now) noexcept {
        if (!wants_wal()) return errc::not_now;
        if (!first.valid() || first.as_position() < next_ || last < first)
            return errc::argument_invalid;
        if (last.value == UINT64_MAX) return errc::lsn_overflow;
        next_ = last.as_position() + 1;
        advance(last.as_position());
        progress_.send_up_to(last.as_position());
        asked_ = now;
        return errc::none;
    }

    // The log reaches this far now, and clients are told so; a timeline that has ended grows no
    // more.
    void advance(lsn end) noexcept {
        if (end > end_ && !ends()) end_ = end;
    }

    // The timeline ended at `switch_point`, and the history goes on as `next`. What is lent behind
    // it is not sent.
    void end_timeline(timeline_id next, lsn switch_point) noexcept {
        next_timeline_ = next;
        switch_point_ = switch_point;
        const std::uint64_t left = switch_point > next_ ? switch_point - next_ : 0;
        if (lent_.size() > left) lent_ = lent_.first(static_cast<std::size_t>(left));
        end_ = switch_point > next_ ? switch_point : next_;
    }

    // CopyDone came from the client, or is to go first: what is lent and not yet begun is not sent
    // any more.
    void stop() noexcept {
        lent_ = lent_.first(0);
        owed_keepalive_ = false;
        stopping_ = true;
    }
    void shut_down() noexcept { shutting_down_ = true; }
    // The stream is over; whatever is lent is given back.
    void end() noexcept {
        lent_ = {};
        failure_ = {};
        streaming_ = false;
        owed_keepalive_ = owed_ping_ = false;
    }

    // A status came that cannot be read: there is an error to be said, and nothing else.
    void fail(bool empty) noexcept {
        failure_ = empty ? "no data left in message" : "insufficient data left in message";
    }
    bool failed() const noexcept { return !failure_.empty(); }
    std::string_view failure() const noexcept { return failure_; }

    bool streaming() const noexcept { return streaming_; }
    // All that the timeline has was sent.
    bool complete() const noexcept { return ends() && next_ >= switch_point_; }
    bool wants_wal() const noexcept {
        return streaming_ && lent_.empty() && !stopping_ && !failed() && !complete();
    }
    // Whether say() would say something.
    bool owes(wire::phase at) const noexcept {
        if (failed() || at == wire::phase::both_finished || has_said_goodbye(at)) return true;
        if (at == wire::phase::client_finished) return true;
        return at == wire::phase::copy_both &&
               (!lent_.empty() || stopping_ || complete() || owed_keepalive_ || owed_ping_);
    }
    lsn next() const noexcept { return next_; }
    lsn end_of_wal() const noexcept { return end_; }
    timeline_id timeline() const noexcept { return timeline_; }
    bool ends() const noexcept { return next_timeline_.valid(); }
    timeline_id next_timeline() const noexcept { return next_timeline_; }
    lsn switch_point() const noexcept { return switch_point_; }
    const primary::progress& progress() const noexcept { return progress_; }

    // Bytes came: the client is alive.
    void heard(std::int64_t now) noexcept {
        heard_ = now;
        pinged_ = false;
    }
    std::int64_t silence_deadline() const noexcept {
        return later(heard_, options_->wal_sender_timeout);
    }
    // When to ask the client for a sign of life; while we wait for it to acknowledge the last byte
    // before we leave, a little more often.
    std::int64_t ping_deadline() const noexcept {
        if (leaving()) return acknowledged() ? never : later(asked_, farewell_interval);
        if (counts_entries()) return later(asked_, entry_keepalive_interval);
        if (pinged_ || options_->wal_sender_timeout == never) return never;
        return later(heard_, options_->wal_sender_timeout / 2);
    }
    void keep_time(std::int64_t now) noexcept {
        if (now < ping_deadline()) return;
        owed_ping_ = pinged_ = true;
        asked_ = now;
    }

    // A CopyData of the client's, whole.
    result<event> control(bytes data) noexcept {
        if (data.empty()) return errc::stream_malformed;
        if (counts_entries()) return entry_control(data);
        switch (std::to_integer<char>(data[0])) {
        case 'r': {
            const auto message = wire::parse_standby_status_update(data);
            if (!message) return message.code();
            owed_keepalive_ = owed_keepalive_ || message->reply_requested;
            progress_.report(*message);
            return event(*message);
        }
        case 'h': {
            const auto message = wire::parse_hot_standby_feedback(data);
            if (!message) return message.code();
            return event(*message);
        }
        case 'p': {
            const auto message = wire::parse_primary_status_request(data);
            if (!message) return message.code();
            return event(*message);
        }
        default: return errc::stream_unknown;
        }
    }

    // Puts what is owed into the outbox, a CopyDone when the time has come, and the head of the
    // next message; returns that message's body.
    bytes say(wire::conversation& talk, wire::outbox& out, instant now) noexcept {
        const std::int64_t sent_at = to_postgres_time(now.wall);
        const bool owed = owed_keepalive_ || owed_ping_;
        if (owed && out.empty() && talk.may_send(wire::message::copy_data_out)) {
            const auto alive = [&](writer& to) noexcept {
                if (counts_entries())
                    put(to, aiondb::keepalive{
                                {end_.value}, static_cast<std::uint64_t>(now.wall), owed_ping_});
                else
                    put(to, wire::primary_keepalive{end_, sent_at, owed_ping_});
            };
            if (out.put(alive) != errc::none) return {};
            asked_ = now.steady;
            owed_keepalive_ = owed_ping_ = false;
        }
        if (lent_.empty()) {
            finish(talk, out);
            return {};
        }
        if (talk.at() != wire::phase::copy_both) return {};
        const std::uint32_t size = message_size();
        const wire::wal_data_head head{next_, end_, sent_at};
        if (out.put([&](writer& to) noexcept { put(to, head, size); }) != errc::none) return {};
        static_cast<void>(talk.send(wire::message::copy_data_out));
        const bytes body = lent_.first(size);
        lent_ = lent_.subspan(size);
        next_ = next_ + size;
        progress_.send_up_to(next_);
        return body;
    }

    // All that there is was sent, and the client said that it has it: now the server may leave.
    bool has_said_goodbye(wire::phase at) const noexcept {
        return at == wire::phase::copy_both && !complete() && leaving() && acknowledged();
    }

  private:
    static constexpr std::int64_t farewell_interval = 250 * millisecond;
    static constexpr std::int64_t entry_keepalive_interval = 10 * second;

    wal_sender(const options& chosen, lsn start, const served_timeline& from,
               std::int64_t now) noexcept
        : options_(&chosen), next_(start), end_(from.end), timeline_(from.timeline),
          next_timeline_(from.next), switch_point_(from.switch_point),
          progress_(counts_entries() ? primary::progress(aiondb::entry_lsn{start.value})
                                     : primary::progress(start)),
          heard_(now), asked_(counts_entries() ? now : INT64_MIN), streaming_(true) {}

    bool counts_entries() const noexcept { return options_->dialect == dialect::aiondb; }
    // One past the last that there is; of entries, as of bytes.
    lsn limit() const noexcept { return counts_entries() ? end_ + 1 : end_; }

    result<event> entry_control(bytes data) noexcept {
        switch (static_cast<aiondb::tag>(std::to_integer<std::uint8_t>(data[0]))) {
        case aiondb::tag::standby_status_update: {
            const auto message = aiondb::parse_standby_status_update(data);
            if (!message) return message.code();
            progress_.report(*message);
            return event(*message);
        }
        case aiondb::tag::keepalive_reply: {
            const auto message = aiondb::parse_keepalive_reply(data);
            if (!message) return message.code();
            return event(*message);
        }
        case aiondb::tag::batch:
        case aiondb::tag::keepalive: return errc::entry_direction_invalid;
        }
        return errc::stream_unknown;
    }

    bool leaving() const noexcept {
        return shutting_down_ && streaming_ && lent_.empty() && next_ >= limit();
    }

    // The client has all that was sent, as far as it tells.
    bool acknowledged() const noexcept {
        const lsn flushed = progress_.flushed();
        const lsn reached = flushed.valid() ? flushed : progress_.written();
        return counts_entries() ? reached + 1 >= next_ : reached >= next_;
    }

    // Up to the last page boundary within the largest message; less only where the log ends.
    std::uint32_t message_size() const noexcept {
        if (lent_.size() <= wire::wal_payload_max) return static_cast<std::uint32_t>(lent_.size());
        return static_cast<std::uint32_t>(wire::wal_payload_max - next_.value % wal_page_size);
    }

    void finish(wire::conversation& talk, wire::outbox& out) noexcept {
        if (!streaming_ || (!stopping_ && !complete())) return;
        if (!talk.may_send(wire::message::copy_done_out)) return;
        if (out.put([](writer& to) noexcept { wire::put_copy_done(to); }) == errc::none)
            static_cast<void>(talk.send(wire::message::copy_done_out));
    }

    const options* options_;
    bytes lent_; // from next_ on, not yet framed
    lsn next_;   // where the next message begins
    lsn end_;
    timeline_id timeline_;
    timeline_id next_timeline_;
    lsn switch_point_;
    primary::progress progress_;
    std::int64_t heard_ = 0;
    std::int64_t asked_ = 0; // when a sign of life was asked for, or entries were sent, last
    std::string_view failure_;
    bool streaming_ = false;
    bool stopping_ = false;
    bool shutting_down_ = false;
    bool pinged_ = false;
    bool owed_keepalive_ = false;
    bool owed_ping_ = false;
};

} // namespace walwire::primary
