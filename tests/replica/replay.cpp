#include <walwire/replica/replay.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace walwire;
using namespace walwire::replica;

namespace {

constexpr instant at(std::int64_t milliseconds) {
    return {milliseconds * millisecond, 0};
}

// A log in memory.
struct log {
    std::vector<replay_entry> entries;
    std::size_t asked = 0;

    std::optional<replay_entry> next(lsn after, lsn up_to) noexcept {
        ++asked;
        for (const replay_entry& entry : entries) {
            if (entry.end <= after) continue;
            return entry.end <= up_to ? std::optional(entry) : std::nullopt;
        }
        return std::nullopt;
    }
    // PostgreSQL: byte ranges, one behind the other. AionDB: numbers.
    void add_bytes(std::uint64_t size, replay_kind kind = replay_kind::change) {
        const lsn start = entries.empty() ? lsn{1000} : entries.back().end;
        entries.push_back({start, start + size, as_bytes("record"), kind});
    }
    void add_number(replay_kind kind = replay_kind::change) {
        const lsn number = entries.empty() ? lsn{1} : entries.back().end + 1;
        entries.push_back({number, number, as_bytes("entry"), kind});
    }
};

// Remembers what it applied and fails as often as it is told to.
struct recorder {
    std::vector<std::uint64_t> applied;
    std::map<std::uint64_t, int> failures;

    bool apply(const replay_entry& entry) noexcept {
        if (auto found = failures.find(entry.end.value);
            found != failures.end() && found->second > 0) {
            --found->second;
            return false;
        }
        applied.push_back(entry.end.value);
        return true;
    }
};

struct careful : recorder {
    std::vector<replay_kind> controls;
    bool refuse_commit = false;

    bool control(const replay_entry& entry) noexcept {
        if (refuse_commit && entry.kind == replay_kind::commit) return false;
        controls.push_back(entry.kind);
        return true;
    }
};

static_assert(replay_source<log>);
static_assert(replay_handler<recorder> && !replay_control_handler<recorder>);
static_assert(replay_control_handler<careful>);
static_assert(replay_control_handler<logging_handler<>>);

struct throwing_handler {
    bool apply(const replay_entry&);
};
struct mute_handler {
    void apply(const replay_entry&) noexcept;
};
static_assert(!replay_handler<throwing_handler> && !replay_handler<mute_handler>);

} // namespace

TEST_CASE("entries are applied in order, as far as they are durable whole") {
    log source;
    for (const std::uint64_t size : {10u, 20u, 30u, 40u}) source.add_bytes(size);
    recorder handler;
    replay loop(lsn{1000});
    CHECK(!loop.poll(at(0), source, handler));
    CHECK(source.asked == 0);
    loop.flushed(lsn{1009}); // one byte short of the first
    CHECK(!loop.poll(at(1), source, handler));
    CHECK(loop.applied() == lsn{1000});
    loop.flushed(lsn{1059});
    CHECK(loop.poll(at(2), source, handler) == lsn{1030});
    loop.flushed(lsn{1060});
    CHECK(loop.poll(at(3), source, handler) == lsn{1060});
    loop.flushed(lsn{1100});
    CHECK(loop.poll(at(4), source, handler) == lsn{1100});
    CHECK(handler.applied == std::vector<std::uint64_t>{1010, 1030, 1060, 1100});
    CHECK(loop.caught_up());
    CHECK(!loop.poll(at(5), source, handler));
}

TEST_CASE("entries that are numbers are applied up to and with the flushed one") {
    log source;
    for (int i = 0; i < 5; ++i) source.add_number();
    recorder handler;
    replay loop;
    loop.flushed(lsn{3});
    CHECK(loop.poll(at(1), source, handler) == lsn{3});
    CHECK(handler.applied == std::vector<std::uint64_t>{1, 2, 3});
    loop.flushed(lsn{5});
    CHECK(loop.poll(at(2), source, handler) == lsn{5});
    CHECK(handler.applied.size() == 5);
}

TEST_CASE("what was applied in an earlier life is not applied again") {
    log source;
    for (int i = 0; i < 5; ++i) source.add_number();
    recorder handler;
    replay loop(lsn{3});
    CHECK(loop.caught_up());
    loop.flushed(lsn{5});
    CHECK(loop.poll(at(1), source, handler) == lsn{5});
    CHECK(handler.applied == std::vector<std::uint64_t>{4, 5});
}

TEST_CASE("a failing handler holds apply back and sees the entry again at the next tick") {
    log source;
    for (int i = 0; i < 4; ++i) source.add_number();
    recorder handler;
    handler.failures[3] = 2;
    replay loop;
    loop.flushed(lsn{4});
    CHECK(loop.poll(at(100), source, handler) == lsn{2});
    CHECK(loop.attempts() == 1);
    CHECK(loop.deadline() == 150 * millisecond);
    CHECK(!loop.poll(at(149), source, handler)); // before the tick it is left alone
    CHECK(loop.attempts() == 1);
    CHECK(!loop.poll(at(150), source, handler)); // fails again
    CHECK(loop.attempts() == 2);
    CHECK(loop.applied() == lsn{2});
    CHECK(loop.deadline() == 200 * millisecond);
    CHECK(loop.poll(at(200), source, handler) == lsn{4});
    CHECK(loop.attempts() == 0);
    CHECK(handler.applied == std::vector<std::uint64_t>{1, 2, 3, 4});
}

TEST_CASE("a flush does not hurry a refused entry") {
    log source;
    for (int i = 0; i < 4; ++i) source.add_number();
    recorder handler;
    handler.failures[1] = 1;
    replay loop;
    loop.flushed(lsn{1});
    CHECK(!loop.poll(at(0), source, handler));
    const std::size_t asked = source.asked;
    loop.flushed(lsn{4});
    CHECK(loop.deadline() == 50 * millisecond);
    CHECK(!loop.poll(at(10), source, handler));
    CHECK(source.asked == asked);
    CHECK(loop.poll(at(50), source, handler) == lsn{4});
}

TEST_CASE("a source that has run dry is asked again at a flush or a tick, not between") {
    log source;
    source.add_bytes(10);
    recorder handler;
    replay loop(lsn{1000});
    loop.flushed(lsn{1005});
    loop.poll(at(100), source, handler);
    CHECK(source.asked == 1);
    CHECK(loop.attempts() == 0); // nobody refused anything
    CHECK(loop.deadline() == 150 * millisecond);
    loop.poll(at(110), source, handler);
    CHECK(source.asked == 1);
    loop.poll(at(150), source, handler);
    CHECK(source.asked == 2);
    loop.flushed(lsn{1010});
    CHECK(loop.deadline() <= 150 * millisecond);
    CHECK(loop.poll(at(151), source, handler) == lsn{1010});
}

TEST_CASE("a refused entry waits a whole tick from its refusal") {
    log source;
    source.add_number();
    recorder handler;
    handler.failures[1] = 1;
    replay loop;
    loop.poll(at(100), source, handler); // the next tick would be at 150
    loop.flushed(lsn{1});
    CHECK(!loop.poll(at(140), source, handler));
    CHECK(loop.deadline() == 190 * millisecond);
    CHECK(!loop.poll(at(150), source, handler));
    CHECK(loop.poll(at(190), source, handler) == lsn{1});
}

TEST_CASE("a flush that lies behind is ignored") {
    log source;
    for (int i = 0; i < 4; ++i) source.add_number();
    recorder handler;
    replay loop(lsn{1});
    loop.flushed(lsn{4});
    loop.flushed(lsn{2});
    loop.flushed(lsn{0});
    CHECK(loop.poll(at(1), source, handler) == lsn{4});
    loop.flushed(lsn{3});
    CHECK(loop.caught_up());
}

TEST_CASE("the tick is 50 ms unless another is chosen") {
    log source;
    recorder handler;
    CHECK(default_replay_tick == 50'000);
    for (const std::int64_t tick : {std::int64_t{0}, std::int64_t{-5}, default_replay_tick}) {
        replay loop({}, tick);
        CHECK(loop.deadline() <= 0);
        loop.poll(at(1000), source, handler);
        CHECK(loop.deadline() == 1'050'000);
        loop.poll(at(1049), source, handler);
        CHECK(loop.deadline() == 1'050'000);
        loop.poll(at(1050), source, handler);
        CHECK(loop.deadline() == 1'100'000);
    }
    replay slow({}, second);
    slow.poll(at(1000), source, handler);
    CHECK(slow.deadline() == 2 * second);
}

TEST_CASE("a long backlog is handed on in batches") {
    log source;
    for (std::uint32_t i = 0; i < 2 * replay_batch + 10; ++i) source.add_number();
    recorder handler;
    replay loop;
    loop.flushed(lsn{2 * replay_batch + 10});
    CHECK(loop.poll(at(1), source, handler) == lsn{replay_batch});
    CHECK(loop.deadline() <= 1 * millisecond); // at once: there is more
    CHECK(loop.poll(at(1), source, handler) == lsn{2 * replay_batch});
    CHECK(loop.poll(at(1), source, handler) == lsn{2 * replay_batch + 10});
    CHECK(loop.deadline() > 1 * millisecond);
    CHECK(handler.applied.size() == 2 * replay_batch + 10);
}

TEST_CASE("entries without a row are accepted and skipped") {
    log source;
    const replay_kind kinds[] = {replay_kind::begin,      replay_kind::change,
                                 replay_kind::commit,     replay_kind::abort,
                                 replay_kind::checkpoint, replay_kind::statistics};
    for (const replay_kind kind : kinds) source.add_number(kind);
    recorder handler;
    replay loop;
    loop.flushed(lsn{6});
    CHECK(loop.poll(at(1), source, handler) == lsn{6});
    CHECK(handler.applied == std::vector<std::uint64_t>{2});
}

TEST_CASE("a handler that takes entries without a row gets them and may refuse them") {
    log source;
    source.add_number(replay_kind::begin);
    source.add_number();
    source.add_number(replay_kind::commit);
    careful handler;
    handler.refuse_commit = true;
    replay loop;
    loop.flushed(lsn{3});
    CHECK(loop.poll(at(1), source, handler) == lsn{2});
    CHECK(loop.attempts() == 1);
    handler.refuse_commit = false;
    CHECK(loop.poll(at(51), source, handler) == lsn{3});
    CHECK(handler.controls == std::vector<replay_kind>{replay_kind::begin, replay_kind::commit});
    CHECK(handler.applied == std::vector<std::uint64_t>{2});
}

TEST_CASE("a source that offers what is not next is not believed") {
    const replay_entry wrong[] = {
        {lsn{1}, lsn{10}, {}},  // applied already
        {lsn{5}, lsn{5}, {}},   // the same
        {lsn{11}, lsn{21}, {}}, // not durable
        {lsn{16}, lsn{15}, {}}, // ends before it begins
    };
    for (const replay_entry& entry : wrong) {
        CAPTURE(entry.end.value);
        struct {
            replay_entry offered;
            std::optional<replay_entry> next(lsn, lsn) noexcept { return offered; }
        } source{entry};
        recorder handler;
        replay loop(lsn{10});
        loop.flushed(lsn{20});
        CHECK(!loop.poll(at(1), source, handler));
        CHECK(loop.applied() == lsn{10});
        CHECK(loop.attempts() == 1);
        CHECK(handler.applied.empty());
    }
}

TEST_CASE("a rewind forgets what lies behind it and tries again") {
    log source;
    for (int i = 0; i < 6; ++i) source.add_number();
    recorder handler;
    handler.failures[5] = 1;
    replay loop;
    loop.flushed(lsn{6});
    CHECK(loop.poll(at(1), source, handler) == lsn{4});
    loop.rewind(lsn{2});
    CHECK(loop.applied() == lsn{2});
    CHECK(loop.caught_up());
    CHECK(loop.attempts() == 0);
    loop.flushed(lsn{5});
    CHECK(loop.poll(at(2), source, handler) == lsn{5});
    CHECK(handler.applied == std::vector<std::uint64_t>{1, 2, 3, 4, 3, 4, 5});
    loop.rewind(lsn{100});
    CHECK(loop.applied() == lsn{5});
}

TEST_CASE("the logging handler counts, traces and lets everything pass") {
    log source;
    source.add_number(replay_kind::begin);
    source.add_number();
    source.add_number();
    source.add_number(replay_kind::commit);
    std::string seen;
    const auto trace = [&seen](const replay_entry& entry) noexcept {
        seen += std::to_string(entry.end.value) +
                (entry.kind == replay_kind::change ? " change;" : " control;");
    };
    logging_handler handler(trace);
    replay loop;
    loop.flushed(lsn{4});
    CHECK(loop.poll(at(1), source, handler) == lsn{4});
    CHECK(seen == "1 control;2 change;3 change;4 control;");
    CHECK(handler.changes() == 2);
    CHECK(handler.controls() == 2);
    CHECK(handler.change_bytes() == 10);
    logging_handler<> quiet;
    replay again;
    again.flushed(lsn{4});
    CHECK(again.poll(at(1), source, quiet) == lsn{4});
    CHECK(quiet.changes() == 2);
}

TEST_CASE("every entry is applied once and in order, whatever fails and when") {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        CAPTURE(seed);
        support::prng random(seed);
        log source;
        recorder handler;
        std::vector<std::uint64_t> expected;
        const bool numbers = random.chance(1, 2);
        for (int i = 0; i < 50; ++i) {
            const auto kind = static_cast<replay_kind>(random.chance(2, 3) ? 0 : random.below(6));
            if (numbers) source.add_number(kind);
            if (!numbers) source.add_bytes(random.between(1, 30), kind);
            const std::uint64_t end = source.entries.back().end.value;
            if (kind == replay_kind::change) expected.push_back(end);
            if (random.chance(1, 5)) handler.failures[end] = static_cast<int>(random.below(4));
        }
        const lsn last = source.entries.back().end;
        replay loop(numbers ? lsn{} : lsn{1000});
        std::int64_t now = 1;
        lsn flushed = loop.applied();
        lsn before = loop.applied();
        for (int steps = 0; loop.applied() < last && steps < 100'000; ++steps) {
            now += static_cast<std::int64_t>(random.below(20));
            if (random.chance(1, 3) && flushed < last) {
                flushed = flushed + random.between(1, 40);
                if (flushed > last) flushed = last;
                loop.flushed(flushed);
            }
            const auto moved = loop.poll(at(now), source, handler);
            CHECK(loop.applied() <= flushed);
            CHECK(moved.has_value() == (loop.applied() > before));
            if (moved) CHECK(*moved == loop.applied());
            // Not due before the deadline: a poll that comes early finds nothing to do.
            if (loop.deadline() > now * millisecond) {
                const std::size_t asked = source.asked;
                CHECK(!loop.poll(at(now), source, handler));
                CHECK(source.asked == asked);
            }
            before = loop.applied();
        }
        CHECK(loop.applied() == last);
        CHECK(handler.applied == expected);
    }
}

TEST_CASE("replaying allocates nothing of its own") {
    log source;
    for (int i = 0; i < 100; ++i) source.add_number();
    logging_handler<> handler;
    replay loop;
    loop.flushed(lsn{100});
    support::allocations made;
    const auto moved = loop.poll(at(1), source, handler);
    CHECK(made.count() == 0);
    CHECK(moved == lsn{100});
}
