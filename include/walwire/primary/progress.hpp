// How far one replica says it is, held against what it was sent.
//
//     applied  <=  flushed  <=  written  <=  sent      each only ever forward
//
// This is replica/positions.hpp seen from the other end. A primary forgets WAL and lets commits
// return on the strength of these numbers, and they come from outside: so a claim that cannot be
// true is cut down to the largest one that can, and one that lies behind an earlier claim is
// ignored. PostgreSQL's own walsender believes all of it, even positions that its log has not
// reached yet.
//
// A replica that goes back to the start of a segment claims at first what it has from before and
// was not sent on this connection; that, too, counts only as far as it was sent, and the bytes in
// between follow anyway.
//
// Not everybody reports all three. Programs on psycopg2 often tell no more than what they have
// flushed, and pg_receivewal without a slot no more than what it has written. What is flushed was
// written before, so where nothing is said of the one, the other stands for it; the reverse would
// be a promise that nobody made.
//
// AionDB's replicas ask for their last durable entry again, so whoever asks for an entry has it.
// Only entry 1 is asked for by those who have nothing as well: it counts once it was sent.
#pragma once

#include <cstdint>

#include "../aiondb/message.hpp"
#include "../lsn.hpp"
#include "../wire/copy.hpp"

namespace walwire::primary {

class progress {
  public:
    constexpr progress() noexcept = default;
    // A stream begins: nothing was sent, and nothing is known.
    constexpr explicit progress(lsn start) noexcept : sent_(start) {}
    constexpr explicit progress(aiondb::entry_lsn start) noexcept
        : sent_(start > aiondb::first_entry ? start.as_position() : lsn{}) {}

    constexpr lsn sent() const noexcept { return sent_; }
    // Zero: the replica has told nothing of this kind yet.
    constexpr lsn written() const noexcept { return written_; }
    constexpr lsn flushed() const noexcept { return flushed_; }
    constexpr lsn applied() const noexcept { return applied_; }

    // Reports in which something was claimed that could not be true.
    constexpr std::uint64_t clamped() const noexcept { return clamped_; }

    constexpr void send_up_to(lsn end) noexcept { sent_ = end > sent_ ? end : sent_; }

    // Whether anything moved. Zero says nothing.
    constexpr bool report(lsn written, lsn flushed, lsn applied) noexcept {
        if (!written.valid()) written = flushed;
        const lsn before[] = {written_, flushed_, applied_};
        bool cut = false;
        advance(written_, written, sent_, cut);
        advance(flushed_, flushed, written_, cut);
        advance(applied_, applied, flushed_, cut);
        if (cut && clamped_ != UINT64_MAX) ++clamped_;
        return before[0] != written_ || before[1] != flushed_ || before[2] != applied_;
    }
    constexpr bool report(const wire::standby_status_update& said) noexcept {
        return report(said.written, said.flushed, said.applied);
    }
    constexpr bool report(const aiondb::standby_status_update& said) noexcept {
        return report(said.written.as_position(), said.flushed.as_position(),
                      said.applied.as_position());
    }

    friend constexpr bool operator==(const progress&, const progress&) noexcept = default;

  private:
    static constexpr void advance(lsn& position, lsn claimed, lsn most, bool& cut) noexcept {
        cut = cut || claimed > most;
        const lsn possible = claimed > most ? most : claimed;
        if (possible > position) position = possible;
    }

    lsn sent_;
    lsn written_;
    lsn flushed_;
    lsn applied_;
    std::uint64_t clamped_ = 0;
};

} // namespace walwire::primary
