#include <walwire/replica/positions.hpp>

#include <doctest/doctest.h>

#include <array>

#include "support/prng.hpp"

using namespace walwire;
using walwire::replica::idle_advance;
using walwire::replica::positions;

namespace {

void check(const positions& at, std::uint64_t written, std::uint64_t flushed,
           std::uint64_t applied) {
    CHECK(at.written().value == written);
    CHECK(at.flushed().value == flushed);
    CHECK(at.applied().value == applied);
}

// The replica as it really is: which bytes of a small log are here, durable, applied.
struct naive {
    static constexpr std::size_t size = 64;
    std::array<bool, size> here{}, durable{}, applied{};
    std::uint64_t begins = 0;

    void received(std::uint64_t end) {
        for (std::uint64_t at = begins; at < end; ++at) here[at] = true;
    }
    void flushed(std::uint64_t end) {
        for (std::uint64_t at = 0; at < end; ++at) durable[at] = durable[at] || here[at];
    }
    void apply(std::uint64_t end) {
        for (std::uint64_t at = 0; at < end; ++at) applied[at] = applied[at] || durable[at];
    }
    void drop(std::uint64_t from) {
        for (std::uint64_t at = from; at < size; ++at) here[at] = durable[at];
    }
    void forget(std::uint64_t from) {
        for (std::uint64_t at = from; at < size; ++at) here[at] = durable[at] = applied[at] = false;
    }
    static std::uint64_t end_of(const std::array<bool, size>& set) {
        for (std::size_t at = size; at != 0; --at)
            if (set[at - 1]) return at;
        return 0;
    }
};

constexpr bool usable_while_compiling() {
    positions at;
    at.received(lsn{10});
    at.flushed(lsn{20});
    return at.flushed() == lsn{10};
}
static_assert(usable_while_compiling());

} // namespace

TEST_CASE("a fresh replica knows nothing and claims nothing") {
    const positions at;
    check(at, 0, 0, 0);
    CHECK(at.unflushed() == 0);
    CHECK(at.unapplied() == 0);
    CHECK(at.unreceived(lsn{100}) == 100);
}

TEST_CASE(
    "an earlier life's durable log is written and flushed, and applied as far as it is durable") {
    check(positions(lsn{100}), 100, 100, 0);
    check(positions(lsn{100}, lsn{60}), 100, 100, 60);
    check(positions(lsn{100}, lsn{160}), 100, 100, 100);
}

TEST_CASE("written is the end of what came and only grows") {
    positions at;
    CHECK(at.received(lsn{100}));
    CHECK(!at.received(lsn{100}));
    CHECK(!at.received(lsn{50}));
    check(at, 100, 0, 0);
    CHECK(at.received(lsn{101}));
    check(at, 101, 0, 0);
}

TEST_CASE("flushed never passes written") {
    positions at;
    CHECK(!at.flushed(lsn{100}));
    check(at, 0, 0, 0);
    at.received(lsn{100});
    CHECK(at.flushed(lsn{500}));
    check(at, 100, 100, 0);
    // The excess is not kept in mind for later.
    at.received(lsn{200});
    check(at, 200, 100, 0);
}

TEST_CASE("flushed only grows") {
    positions at;
    at.received(lsn{100});
    CHECK(at.flushed(lsn{80}));
    CHECK(!at.flushed(lsn{80}));
    CHECK(!at.flushed(lsn{20}));
    check(at, 100, 80, 0);
}

TEST_CASE("applied never passes flushed") {
    positions at;
    at.received(lsn{100});
    CHECK(!at.applied(lsn{100}));
    check(at, 100, 0, 0);
    at.flushed(lsn{40});
    CHECK(at.applied(lsn{100}));
    check(at, 100, 40, 40);
    at.flushed(lsn{100});
    check(at, 100, 100, 40);
}

TEST_CASE("applied only grows") {
    positions at(lsn{100}, lsn{50});
    CHECK(!at.applied(lsn{30}));
    CHECK(at.applied(lsn{70}));
    check(at, 100, 100, 70);
}

TEST_CASE("positions at the end of their range hold") {
    positions at;
    CHECK(at.received(lsn{UINT64_MAX}));
    CHECK(at.flushed(lsn{UINT64_MAX}));
    CHECK(at.applied(lsn{UINT64_MAX}));
    CHECK(!at.received(lsn{UINT64_MAX}));
    check(at, UINT64_MAX, UINT64_MAX, UINT64_MAX);
}

TEST_CASE("where a stream begins is not yet something received") {
    positions at;
    CHECK(at.restart(lsn{100}) == errc::none);
    check(at, 0, 0, 0);
    CHECK(!at.received(lsn{100})); // no byte has come
    CHECK(!at.received(lsn{90}));
    check(at, 0, 0, 0);
    CHECK(at.received(lsn{101}));
    CHECK(at.unflushed() == 1); // and not 101
    CHECK(at.unapplied() == 1);
    CHECK(at.unreceived(lsn{103}) == 2);
    CHECK(!at.flushed(lsn{60})); // says nothing of what is here
    CHECK(!at.flushed(lsn{100}));
    check(at, 101, 0, 0);
    at.flushed(lsn{101});
    CHECK(!at.applied(lsn{60}));
    check(at, 101, 101, 0);
}

TEST_CASE("a reconnect at the start of a segment gives up nothing durable") {
    positions at;
    at.restart(lsn{0x1000000});
    at.received(lsn{0x1800000});
    at.flushed(lsn{0x1700000});
    at.applied(lsn{0x1600000});
    CHECK(at.restart(lsn{0x1000000}) == errc::none);
    check(at, 0x1700000, 0x1700000, 0x1600000);
    // The same bytes again move nothing until they are past what is durable.
    CHECK(!at.received(lsn{0x1200000}));
    CHECK(!at.received(lsn{0x1700000}));
    CHECK(at.received(lsn{0x1700001}));
    check(at, 0x1700001, 0x1700000, 0x1600000);
}

TEST_CASE("what was thrown away with a connection is not called durable after it") {
    positions at;
    at.restart(lsn{100});
    at.received(lsn{200});
    at.flushed(lsn{150});
    at.restart(lsn{100});
    check(at, 150, 150, 0);
    at.received(lsn{160});
    CHECK(at.flushed(lsn{200})); // a claim about the former connection's bytes
    check(at, 160, 160, 0);
}

TEST_CASE("what an owner kept over a reconnect stays written") {
    positions at;
    at.restart(lsn{100});
    at.received(lsn{200});
    at.flushed(lsn{150});
    SUBCASE("all of it") {
        CHECK(at.restart(lsn{100}, lsn{200}) == errc::none);
        check(at, 200, 150, 0);
    }
    SUBCASE("more than came is not believed") {
        CHECK(at.restart(lsn{100}, lsn{900}) == errc::none);
        check(at, 200, 150, 0);
    }
    SUBCASE("some of it") {
        CHECK(at.restart(lsn{100}, lsn{170}) == errc::none);
        check(at, 170, 150, 0);
    }
    SUBCASE("less than is durable does not undo a flush") {
        CHECK(at.restart(lsn{100}, lsn{120}) == errc::none);
        check(at, 150, 150, 0);
    }
    SUBCASE("to go on in the middle says that all before it was kept") {
        CHECK(at.restart(lsn{180}) == errc::none);
        check(at, 180, 150, 0);
    }
}

TEST_CASE("a start behind what is here is a gap and changes nothing") {
    positions at;
    at.restart(lsn{100});
    at.received(lsn{200});
    at.flushed(lsn{150});
    const positions before = at;
    CHECK(at.restart(lsn{201}) == errc::wal_gap);
    CHECK(at == before);
    CHECK(at.restart(lsn{200}) == errc::none);
    CHECK(positions(lsn{50}).restart(lsn{51}) == errc::wal_gap);
    CHECK(positions(lsn{50}).restart(lsn{50}) == errc::none);
}

TEST_CASE("a replica that lost all it had received begins again") {
    positions at;
    at.restart(lsn{100});
    at.received(lsn{200});
    CHECK(at.restart(lsn{100}) == errc::none);
    check(at, 0, 0, 0);
    CHECK(at.restart(lsn{5000}) == errc::none);
    at.received(lsn{5010});
    CHECK(at.unflushed() == 10);
}

TEST_CASE("a rewind takes back what the new timeline left behind") {
    positions at;
    at.restart(lsn{100});
    at.received(lsn{200});
    at.flushed(lsn{180});
    at.applied(lsn{160});
    SUBCASE("past the end nothing happens") {
        at.rewind(lsn{200});
        check(at, 200, 180, 160);
    }
    SUBCASE("into what was only received") {
        at.rewind(lsn{190});
        check(at, 190, 180, 160);
    }
    SUBCASE("into what was durable") {
        at.rewind(lsn{170});
        check(at, 170, 170, 160);
    }
    SUBCASE("into what was applied") {
        at.rewind(lsn{120});
        check(at, 120, 120, 120);
        CHECK(at.received(lsn{121})); // and on from there
        check(at, 121, 120, 120);
    }
    SUBCASE("before anything that came") {
        at.rewind(lsn{100});
        check(at, 0, 0, 0);
        at.rewind(lsn{50});
        CHECK(at.received(lsn{51}));
        check(at, 51, 0, 0);
        CHECK(at.unflushed() == 1);
    }
}

TEST_CASE("following a new timeline from the start of the switch point's segment keeps the rest") {
    positions at;
    at.restart(lsn{0x1000000});
    at.received(lsn{0x1523000});
    at.flushed(lsn{0x1523000});
    at.rewind(lsn{0x1500000});
    CHECK(at.restart(lsn{0x1000000}) == errc::none);
    check(at, 0x1500000, 0x1500000, 0);
    at.received(lsn{0x1480000});
    check(at, 0x1500000, 0x1500000, 0);
    at.received(lsn{0x1523000});
    check(at, 0x1523000, 0x1500000, 0);
}

TEST_CASE("a keepalive moves nothing unless the policy says so") {
    positions at;
    at.received(lsn{100});
    at.flushed(lsn{100});
    at.applied(lsn{100});
    CHECK(!at.idle(lsn{500}, idle_advance::never));
    check(at, 100, 100, 100);
    CHECK(at.idle(lsn{500}, idle_advance::when_all_acknowledged));
    check(at, 500, 500, 500);
    CHECK(!at.idle(lsn{500}, idle_advance::when_all_acknowledged));
    CHECK(!at.idle(lsn{400}, idle_advance::when_all_acknowledged));
    check(at, 500, 500, 500);
}

TEST_CASE("a keepalive moves nothing while something is unacknowledged") {
    positions at;
    at.received(lsn{100});
    CHECK(!at.idle(lsn{500}, idle_advance::when_all_acknowledged));
    at.flushed(lsn{99});
    at.applied(lsn{99});
    CHECK(!at.idle(lsn{500}, idle_advance::when_all_acknowledged));
    at.flushed(lsn{100});
    CHECK(!at.idle(lsn{500}, idle_advance::when_all_acknowledged));
    check(at, 100, 100, 99);
    at.applied(lsn{100});
    CHECK(at.idle(lsn{500}, idle_advance::when_all_acknowledged));
}

TEST_CASE("an idle stream that has brought nothing yet may advance, but not before its start") {
    positions at;
    at.restart(lsn{100});
    CHECK(!at.idle(lsn{100}, idle_advance::when_all_acknowledged));
    check(at, 0, 0, 0);
    CHECK(at.idle(lsn{130}, idle_advance::when_all_acknowledged));
    check(at, 130, 130, 130);
}

TEST_CASE("lags count what lies between the positions") {
    positions at;
    at.restart(lsn{1000});
    at.received(lsn{1500});
    CHECK(at.unflushed() == 500);
    CHECK(at.unapplied() == 500);
    at.flushed(lsn{1400});
    at.applied(lsn{1100});
    CHECK(at.unflushed() == 100);
    CHECK(at.unapplied() == 400);
    CHECK(at.unreceived(lsn{1750}) == 250);
    CHECK(at.unreceived(lsn{1500}) == 0);
    CHECK(at.unreceived(lsn{3}) == 0); // a server that lags behind us
}

TEST_CASE("entries of the AionDB dialect count by their numbers") {
    // A fresh replica asks for entry 1, so entry 0 is the one before.
    positions at;
    CHECK(at.restart(lsn{0}) == errc::none);
    CHECK(at.received(lsn{1}));
    CHECK(at.flushed(lsn{1}));
    check(at, 1, 1, 0);
    at.received(lsn{7});
    CHECK(at.unapplied() == 7);
    // It resumes with the last durable entry, which comes again.
    CHECK(at.restart(lsn{at.flushed().value - 1}) == errc::none);
    check(at, 1, 1, 0);
    CHECK(!at.received(lsn{1}));
    CHECK(at.received(lsn{2}));
}

TEST_CASE("an acknowledgement never says more than a replica really has") {
    std::uint64_t moves = 0;
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        CAPTURE(seed);
        support::prng random(seed);
        positions at;
        naive real;
        for (int step = 0; step < 200; ++step) {
            CAPTURE(step);
            const positions before = at;
            const std::uint64_t to = random.below(naive::size);
            const std::uint64_t what = random.below(11);
            if (what == 10) {
                const bool all = real.here == real.durable && real.durable == real.applied;
                const bool ahead = to > naive::end_of(real.here) && to > real.begins;
                CHECK(!at.idle(lsn{to}, idle_advance::never));
                CHECK(at.idle(lsn{to}, idle_advance::when_all_acknowledged) == (all && ahead));
                if (all) {
                    real.received(to);
                    real.flushed(to);
                    real.apply(to);
                }
            } else if (what < 3) {
                at.received(lsn{to});
                real.received(to);
            } else if (what < 6) {
                at.flushed(lsn{to});
                real.flushed(to);
            } else if (what < 8) {
                at.applied(lsn{to});
                real.apply(to);
            } else if (what == 8) {
                const std::uint64_t kept = random.below(naive::size);
                const bool fresh = naive::end_of(real.here) == 0;
                const bool gap = !fresh && to > naive::end_of(real.here);
                CHECK(at.restart(lsn{to}, lsn{kept}) == (gap ? errc::wal_gap : errc::none));
                if (gap) CHECK(at == before);
                if (!gap) {
                    real.drop(kept > to ? kept : to);
                    const bool empty = naive::end_of(real.here) == 0;
                    if (fresh) real.begins = to;
                    if (empty && !fresh) CHECK(at.written().value == 0);
                }
                CHECK(at.flushed() == before.flushed());
                CHECK(at.applied() == before.applied());
            } else if (random.chance(1, 4)) {
                at.rewind(lsn{to});
                real.forget(to);
                real.begins = to < real.begins ? to : real.begins;
            }
            const std::uint64_t written = naive::end_of(real.here);
            CHECK(at.written().value == written);
            CHECK(at.flushed().value == naive::end_of(real.durable));
            CHECK(at.applied().value == naive::end_of(real.applied));
            CHECK(at.applied() <= at.flushed());
            CHECK(at.flushed() <= at.written());
            if (what < 8) {
                CHECK(at.written() >= before.written());
                CHECK(at.flushed() >= before.flushed());
                CHECK(at.applied() >= before.applied());
            }
            // What is durable and what is not make up what is here.
            std::uint64_t outstanding = 0;
            for (std::size_t byte = 0; byte < naive::size; ++byte)
                outstanding += real.here[byte] && !real.durable[byte];
            CHECK(at.unflushed() == outstanding);
            if (!(at == before)) ++moves;
        }
    }
    CHECK(moves > 10000);
}
