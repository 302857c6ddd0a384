// How far a replica is: the three positions that it reports, and the rules that keep them honest.
//
//     applied  <=  flushed  <=  written      each only ever forward
//
// written   the end of the WAL that has really come in. The end that a primary announces for its
//           own log never becomes one of ours.
// flushed   the part of it that survives a crash here. A primary forgets WAL, and tells its clients
//           that their commits are safe, on the strength of this one.
// applied   the part of that which readers of the replica see.
//
// Zero is a position not known yet, and is reported as that: "nothing" and never "everything before
// the start". A report that claims too much is cut down to what can be true; one that lies behind
// is ignored. So no order of calls leads to a false acknowledgement, short of calling a byte
// received or flushed that was not.
//
// A reconnect begins at the start of a segment and brings again what is already here; `restart`
// takes note and gives up no durable byte. Only `rewind` moves backwards: a new timeline that left
// ours before the end of what we hold makes the rest of it history that never happened. Another
// system is another object.
//
// PostgreSQL's positions are byte ends and AionDB's are the last entry's own number. Both say "all
// of this and nothing behind it", which is all that is relied upon here.
#pragma once

#include <cstdint>

#include "../error.hpp"
#include "../lsn.hpp"

namespace walwire::replica {

// What may happen when the primary says, in a keepalive, that its log has grown without anything in
// it for us.
enum class idle_advance : std::uint8_t {
    never,                 // nothing; always right
    when_all_acknowledged, // if all that came is flushed and applied, follow the keepalive's end
};

class positions {
  public:
    // Nothing is here, nothing is known.
    constexpr positions() noexcept = default;

    // An earlier life left the log here up to `durable`, and had applied up to `applied` of it.
    constexpr explicit positions(lsn durable, lsn applied = {}) noexcept
        : written_(durable), flushed_(durable), applied_(least(applied, durable)) {}

    constexpr lsn written() const noexcept { return written_; }
    constexpr lsn flushed() const noexcept { return flushed_; }
    constexpr lsn applied() const noexcept { return applied_; }

    // The log is here, without a gap, up to `end`. These three say whether anything moved, which is
    // when a status may be worth sending.
    constexpr bool received(lsn end) noexcept { return advance(written_, end); }
    // All of it up to `end` is durable. Cut down to what was received.
    constexpr bool flushed(lsn end) noexcept { return advance(flushed_, least(end, written_)); }
    // All of it up to `end` has been applied. Cut down to what is durable.
    constexpr bool applied(lsn end) noexcept { return advance(applied_, least(end, flushed_)); }

    // A new connection will bring the log from `start` on, usually the start of the segment that
    // `flushed` lies in. Durable and applied positions stay: their bytes come again and must be
    // written over themselves, not over a truncated file. To ask for `start` is to say that all
    // before it is here. Whoever kept more than that and more than is durable says how much by
    // `kept`; what is not kept went with the old connection, and `written` falls back rather than
    // promise it a second time. Where entries and not bytes are counted, `start` is the entry
    // before the first that is asked for.
    //
    // wal_gap: `start` lies behind the end of what is here. Nothing has changed then, and to stream
    // all the same would acknowledge the gap.
    constexpr errc restart(lsn start, lsn kept) noexcept {
        if (!written_.valid()) {
            begins_ = start;
            return errc::none;
        }
        if (start > written_) return errc::wal_gap;
        const lsn here = least(most(kept, start), written_);
        const lsn held = most(here, most(flushed_, begins_));
        written_ = held > begins_ ? held : lsn{};
        return errc::none;
    }
    constexpr errc restart(lsn start) noexcept { return restart(start, start); }

    // The log behind `at` is not part of the history that is being followed. Positions past it fall
    // back to it, those before it stay. Where that leaves none of what the stream brought, nothing
    // is known again.
    constexpr void rewind(lsn at) noexcept {
        const lsn to = at > begins_ ? at : lsn{};
        written_ = least(written_, to);
        flushed_ = least(flushed_, to);
        applied_ = least(applied_, to);
        begins_ = least(begins_, at);
    }

    // The primary has nothing for us before `server_end`, says its keepalive. Returns whether that
    // moved the positions.
    //
    // Only a logical stream may have a policy other than `never`. It is sent what its plugin wants
    // of the log, and on a quiet publication its slot would hold the primary's log for ever; but as
    // long as anything that came is not flushed and applied, the consumer may still be in the
    // middle of it. A physical stream is sent every byte, so an end that it has not received is one
    // that it lacks.
    constexpr bool idle(lsn server_end, idle_advance policy) noexcept {
        if (policy == idle_advance::never || applied_ != written_) return false;
        if (!received(server_end)) return false;
        flushed_ = applied_ = written_;
        return true;
    }

    // Three lags, in bytes of the log (entries, for AionDB's logical mode). Each counts from the
    // start of the stream as long as its own position is unknown.
    //
    // Up to the end of its log that the primary announced last, and not here.
    constexpr std::uint64_t unreceived(lsn server_end) const noexcept {
        return gap(written_, server_end);
    }
    // Here, and not durable.
    constexpr std::uint64_t unflushed() const noexcept { return gap(flushed_, written_); }
    // Here, and not applied.
    constexpr std::uint64_t unapplied() const noexcept { return gap(applied_, written_); }

    friend constexpr bool operator==(const positions&, const positions&) noexcept = default;

  private:
    static constexpr lsn least(lsn a, lsn b) noexcept { return b < a ? b : a; }
    static constexpr lsn most(lsn a, lsn b) noexcept { return a < b ? b : a; }
    constexpr bool advance(lsn& position, lsn to) const noexcept {
        if (to <= position || to <= begins_) return false;
        position = to;
        return true;
    }
    constexpr std::uint64_t gap(lsn from, lsn to) const noexcept {
        const lsn start = most(from, begins_);
        return to > start ? to - start : 0;
    }

    lsn begins_; // where the stream of an object that knew nothing began; no byte before it came
    lsn written_;
    lsn flushed_;
    lsn applied_;
};

} // namespace walwire::replica
