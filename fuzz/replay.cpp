// replica::replay and replica::apply_tracker over a log of made-up entries, with a handler that
// refuses, a source that has not read so far yet or breaks its promise, time that stands still or
// leaps, and rewinds: every entry is applied once and in order, none before it is durable, none is
// passed over, and whoever comes back at the deadline always finds something done.
#include <walwire/replica/apply_tracker.hpp>
#include <walwire/replica/replay.hpp>

#include <cstdint>
#include <optional>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::replica;

namespace {

constexpr lsn begin{0x1000};

// An entry of 1 to 32 bytes begins at each position; what it is depends on where it stands.
replay_entry entry_at(lsn start) {
    const std::uint64_t mixed = (start.value + 1) * 0x9e3779b97f4a7c15;
    replay_entry made;
    made.start = start;
    made.end = start + (1 + (mixed >> 40) % 32);
    made.kind = (mixed >> 20) % 4 == 0 ? replay_kind::checkpoint : replay_kind::change;
    return made;
}

struct log {
    std::optional<replay_entry> next(lsn after, lsn up_to) noexcept {
        replay_entry entry = entry_at(after);
        if (!reads || entry.end > up_to) return std::nullopt;
        if (lie == 1) entry.end = after;     // it leads nowhere
        if (lie == 2) entry.end = up_to + 1; // past what is durable
        if (lie == 3) entry.start = entry.end + 1;
        return entry;
    }
    bool reads = true;
    unsigned lie = 0;
};

struct reader {
    bool apply(const replay_entry& entry) noexcept {
        check(entry.kind == replay_kind::change, "control records are not the handler's");
        if (refuses) return false;
        meet(entry);
        return true;
    }
    void meet(const replay_entry& entry) {
        check(entry.start >= last, "entries are applied once, and in order");
        last = entry.end;
    }
    lsn last = begin;
    bool refuses = false;
};

class world {
  public:
    world() { tracker_.flushed(flushed_); }

    void act(std::uint8_t what, std::uint8_t much) {
        switch (what % 8) {
        case 0:
        case 1:
            flushed_ = flushed_ + much;
            replay_.flushed(flushed_);
            tracker_.flushed(flushed_);
            break;
        case 2: // what lies behind is ignored
            replay_.flushed({flushed_.value - much});
            tracker_.flushed({flushed_.value - much});
            break;
        case 3: reader_.refuses = much % 2 != 0; break;
        case 4:
            log_.reads = much % 2 != 0;
            log_.lie = much / 2 % 4;
            break;
        case 5: now_.steady += std::int64_t{much} * millisecond; break;
        case 6: rewind({begin.value + (flushed_.value - begin.value) * much / 255}); break;
        default: now_.steady = replay_.deadline() > now_.steady ? replay_.deadline() : now_.steady;
        }
        look();
    }

    // With a log and a handler that work all of it is applied, in as many polls as it has batches.
    void settle() {
        reader_.refuses = false;
        log_ = {};
        for (int i = 0; i < 200 && replay_.deadline() <= later(now_.steady, default_replay_tick);
             ++i) {
            now_.steady = replay_.deadline() > now_.steady ? replay_.deadline() : now_.steady;
            look();
        }
        const replay_entry rest = entry_at(replay_.applied());
        check(replay_.caught_up() || rest.end > flushed_, "nothing that is durable is left");
    }

  private:
    void look() {
        const lsn before = replay_.applied();
        const auto moved = replay_.poll(now_, log_, reader_);
        check(moved.has_value() == (replay_.applied() > before), "what moved is said");
        check(!moved || *moved == replay_.applied(), "and as it is");
        check(replay_.applied() <= flushed_, "nothing is applied that is not durable");
        check(reader_.last <= replay_.applied(), "what the handler has, replay knows");
        lsn walked = before; // from entry to entry, over nothing
        while (walked < replay_.applied()) walked = entry_at(walked).end;
        check(walked == replay_.applied(), "apply stands between two entries");
        if (log_.lie != 0 || reader_.refuses)
            check(replay_.attempts() <= ++asked_, "a refusal is one attempt");
        check(replay_.deadline() <= later(now_.steady, default_replay_tick), "a tick at most");
        check(replay_.caught_up() == (replay_.applied() == flushed_), "caught up is caught up");

        const auto told = tracker_.poll(now_);
        check(told.has_value() == (tracked_ != flushed_), "each position is told once");
        check(!told || *told == flushed_, "and is the durable one");
        tracked_ = flushed_;
        check(tracker_.caught_up(), "the tracker follows at once");
        check(tracker_.deadline() > now_.steady, "and is not due all the time");
        check(tracker_.deadline() <= later(now_.steady, tracker_.interval()), "but in time");
        check(!tracker_.poll(now_), "nothing is told twice");
    }
    // To the end of an entry, as histories fork between two.
    void rewind(lsn wanted) {
        lsn at = begin;
        while (entry_at(at).end <= wanted) at = entry_at(at).end;
        replay_.rewind(at);
        tracker_.rewind(at);
        if (at < flushed_) flushed_ = at;
        if (tracked_ > at) tracked_ = at;
        if (reader_.last > at) reader_.last = at;
    }

    instant now_{0, 0};
    lsn flushed_ = begin;
    lsn tracked_;
    std::uint32_t asked_ = 0;
    log log_;
    reader reader_;
    replay replay_{begin};
    apply_tracker tracker_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 400) return 0;
    world it;
    for (std::size_t i = 0; i + 1 < size; i += 2) it.act(data[i], data[i + 1]);
    it.settle();
    return 0;
}
