#include <walwire/replica/apply_tracker.hpp>

#include <doctest/doctest.h>

#include <algorithm>

#include <walwire/aiondb/message.hpp>
#include <walwire/replica/positions.hpp>

#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace walwire;
using walwire::replica::apply_tracker;
using walwire::replica::default_apply_tick;

namespace {

constexpr instant at(std::int64_t milliseconds) {
    return {milliseconds * millisecond, 0};
}

constexpr bool usable_while_compiling() {
    apply_tracker tracker;
    tracker.flushed(lsn{5});
    return tracker.poll(at(1)) == lsn{5};
}
static_assert(usable_while_compiling());

} // namespace

TEST_CASE("the tick is 250 ms and follows a shorter status interval") {
    CHECK(default_apply_tick == 250'000);
    CHECK(apply_tracker().interval() == 250'000);
    CHECK(apply_tracker(10 * second).interval() == 250'000);
    CHECK(apply_tracker(100 * millisecond).interval() == 100'000);
    CHECK(apply_tracker(second, 2 * second).interval() == second);
    CHECK(apply_tracker(never, 10 * millisecond).interval() == 10'000);
}

TEST_CASE("an interval that is switched off does not make the tracker spin") {
    for (const std::int64_t off : {std::int64_t{0}, std::int64_t{-1}, INT64_MIN}) {
        CHECK(apply_tracker(off).interval() == default_apply_tick);
        CHECK(apply_tracker(never, off).interval() == default_apply_tick);
    }
}

TEST_CASE("apply moves to flush once, and only forward") {
    apply_tracker tracker;
    CHECK(!tracker.poll(at(0)));
    tracker.flushed(lsn{100});
    CHECK(!tracker.caught_up());
    CHECK(tracker.poll(at(1)) == lsn{100});
    CHECK(tracker.caught_up());
    CHECK(!tracker.poll(at(2)));
    tracker.flushed(lsn{90});
    CHECK(!tracker.poll(at(300)));
    tracker.flushed(lsn{150});
    tracker.flushed(lsn{200});
    tracker.flushed(lsn{170});
    CHECK(tracker.poll(at(301)) == lsn{200});
}

TEST_CASE("a flush makes the tracker due at once, and a tick otherwise") {
    apply_tracker tracker;
    CHECK(tracker.deadline() <= 0); // the first poll starts the ticks
    tracker.poll(at(1000));
    CHECK(tracker.deadline() == 1'250'000);
    tracker.poll(at(1100)); // an extra poll is no tick
    CHECK(tracker.deadline() == 1'250'000);
    tracker.flushed(lsn{5});
    CHECK(tracker.deadline() <= 1'100'000);
    CHECK(tracker.poll(at(1120)) == lsn{5});
    CHECK(tracker.deadline() == 1'370'000);
    CHECK(!tracker.poll(at(1370)));
    CHECK(tracker.deadline() == 1'620'000);
}

TEST_CASE("ticks do not pile up behind an owner that comes late") {
    apply_tracker tracker;
    tracker.poll(at(0));
    tracker.poll(at(10'000));
    CHECK(tracker.deadline() == 10'250'000);
}

TEST_CASE("a rewind takes apply back and lets it grow again") {
    apply_tracker tracker;
    tracker.flushed(lsn{100});
    tracker.poll(at(1));
    tracker.rewind(lsn{60});
    CHECK(tracker.caught_up());
    CHECK(!tracker.poll(at(2)));
    tracker.flushed(lsn{80});
    CHECK(tracker.poll(at(3)) == lsn{80});
    tracker.flushed(lsn{90});
    tracker.rewind(lsn{85}); // before the flush was seen
    CHECK(tracker.poll(at(4)) == lsn{85});
}

TEST_CASE("near the end of the clock the deadline is never instead of running over") {
    apply_tracker tracker;
    tracker.poll({never - 1, 0});
    CHECK(tracker.deadline() == never);
}

TEST_CASE("an owner that reports flushes only at deadlines lags by a tick at most") {
    support::prng random(40);
    apply_tracker tracker(10 * second);
    replica::positions here;
    lsn flushed_at_tick;
    for (std::int64_t now = 1; now < 20'000; ++now) {
        here.received(here.written() + random.below(100));
        here.flushed(here.written());
        if (now * millisecond < tracker.deadline()) {
            CHECK(here.applied() == flushed_at_tick);
            continue;
        }
        tracker.flushed(here.flushed());
        flushed_at_tick = here.flushed();
        if (const auto applied = tracker.poll(at(now))) here.applied(*applied);
        CHECK(here.applied() == here.flushed());
        CHECK(tracker.deadline() - now * millisecond == default_apply_tick);
    }
}

TEST_CASE("AionDB's tracker moves apply to the last flushed entry, within min(250 ms, interval)") {
    for (const std::int64_t status_interval : {10 * second, 100 * millisecond}) {
        // A replica that has received entries 1 to 12 and made 7 of them durable.
        apply_tracker tracker(status_interval);
        replica::positions here;
        here.received(aiondb::entry_lsn{12}.as_position());
        here.flushed(aiondb::entry_lsn{7}.as_position());
        CHECK(!tracker.poll(at(1)));
        const std::int64_t due = tracker.deadline();
        CHECK(due == millisecond + std::min(250 * millisecond, status_interval));
        // An owner that does not tell of flushes looks when the tick comes.
        tracker.flushed(here.flushed());
        const auto applied = tracker.poll({due, 0});
        REQUIRE(applied);
        here.applied(*applied);
        CHECK(here.applied() == aiondb::entry_lsn{7}.as_position()); // the entry is counted in
        CHECK(tracker.caught_up());
        // One that does is due at once, and the last entry counts, not one past it.
        here.flushed(aiondb::entry_lsn{12}.as_position());
        tracker.flushed(here.flushed());
        CHECK(tracker.deadline() <= due);
        here.applied(*tracker.poll({due + 1, 0}));
        CHECK(here.applied() == here.flushed());
        CHECK(here.applied() == lsn{12});
    }
}

TEST_CASE("tracking allocates nothing") {
    apply_tracker tracker;
    support::allocations made;
    tracker.flushed(lsn{9});
    const bool moved = tracker.poll(at(1)).has_value();
    CHECK(made.count() == 0);
    CHECK(moved);
}
