#include <walwire/primary/session.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "support/linked.hpp"
#include "support/prng.hpp"

using namespace walwire;
using support::linked;
using support::prng;

namespace {

// What happened in all the lives, so that none of it is missing.
struct counts {
    std::uint64_t connections = 0;
    std::uint64_t timelines = 0;
    std::uint64_t cuts = 0;
    std::uint64_t bytes = 0;
};

// `scale` makes the log shorter, and cuts come sooner, in a life that goes from byte to byte.
void happen(linked& world, prng& random, std::uint64_t scale, counts& seen) {
    switch (random.below(12)) {
    case 0:
    case 1:
    case 2: {
        const std::uint64_t size = random.between(1, random.chance(1, 30) ? 200'000 : 5'000);
        world.here.end = world.here.end + (size + scale - 1) / scale;
        break;
    }
    case 3:
        world.cut_after = random.below(8'000) / scale;
        world.cut_cleanly = random.chance(1, 2);
        ++seen.cuts;
        break;
    case 4:
        world.cut_after = random.below(700); // in the middle of the opening
        world.cut();
        break;
    case 5:
        if (random.chance(1, 2)) world.here.promote();
        break;
    case 6: world.shut_down(); break;
    case 7: world.accepts = random.chance(1, 2); break;
    case 8: world.flushes = random.chance(1, 2); break;
    case 9: world.apply(); break;
    default: world.wait(static_cast<std::int64_t>(random.between(1, 90)) * second); break;
    }
    world.run();
}

std::string life(std::uint64_t seed, counts& seen) {
    prng random(seed);
    linked::choices chosen;
    chosen.slot = random.chance(1, 2);
    chosen.seed = seed;
    constexpr std::size_t pieces[] = {1, 7, 100, 100, 1000, 1000, 8192, 8192, 65536, 65536};
    chosen.piece = pieces[random.below(10)];
    if (random.chance(1, 2)) chosen.pieces = &random;
    // A report for each byte would say more than the WAL does.
    chosen.report_each_flush = chosen.piece >= 1000 && random.chance(1, 2);
    linked world(chosen);
    world.here.version = random.chance(1, 4) ? "12.22" : "18.4";
    const std::uint64_t scale = chosen.piece < 100 ? 8 : 1;
    world.here.end = lsn{0x500000} + random.below(5'000) / scale;
    world.here.lent_at_once = random.between(1, 200'000);
    if (chosen.piece >= 8192 && random.chance(1, 8)) // the end of a segment
        world.here.end = lsn{0x5ff000} + random.below(3000);
    const std::uint64_t events = random.between(1, 25);
    for (std::uint64_t i = 0; i < events && world.wrong().empty(); ++i)
        happen(world, random, scale, seen);
    if (!world.wrong().empty()) return world.wrong();
    const bool settled = world.settled(10 * 60 * second);
    if (!world.wrong().empty()) return world.wrong();
    if (!settled) return "the replica does not come to the primary's end";
    if (world.received() != world.here.end) return "the replica has not all";
    seen.connections += world.connections();
    seen.timelines += world.timelines_left();
    seen.bytes += world.received() - lsn{0x500000};
    if (!world.stopped()) return "it does not stop";
    return world.wrong();
}

} // namespace

// WALWIRE_SEED names one life to be lived alone.
TEST_CASE("a replica and a primary of ours come together again after whatever happens to them") {
    std::uint64_t first = 1, last = 200;
    if (const char* const seed = std::getenv("WALWIRE_SEED"))
        first = last = std::strtoull(seed, nullptr, 10);
    counts seen;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        CAPTURE(seed);
        CHECK(life(seed, seen) == "");
    }
    if (first == last) return;
    CHECK(seen.connections > 2 * last);
    CHECK(seen.timelines > last / 4);
    CHECK(seen.cuts > last / 2);
    CHECK(seen.bytes > 1'000'000);
}

TEST_CASE("a replica that began where a timeline ends is there on the next one") {
    linked world({});
    world.run();
    world.here.promote();
    world.run();
    CHECK(world.timelines_left() == 1);
    CHECK(world.settled(30 * second));
    world.here.end = world.here.end + 100;
    CHECK(world.settled(30 * second));
    CHECK(world.wrong() == "");
}
