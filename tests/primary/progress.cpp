#include <walwire/primary/progress.hpp>

#include <doctest/doctest.h>

using namespace walwire;
using primary::progress;

TEST_CASE("claims count as far as they can be true: applied <= flushed <= written <= sent") {
    progress made(lsn{100});
    CHECK(made.sent() == lsn{100});
    CHECK_FALSE(made.written().valid());
    made.send_up_to(lsn{200});

    CHECK(made.report(lsn{150}, lsn{140}, lsn{130}));
    CHECK(made.written() == lsn{150});
    CHECK(made.flushed() == lsn{140});
    CHECK(made.applied() == lsn{130});
    CHECK(made.clamped() == 0);

    CHECK(made.report(lsn{UINT64_MAX}, lsn{UINT64_MAX}, lsn{UINT64_MAX}));
    CHECK(made.written() == lsn{200});
    CHECK(made.flushed() == lsn{200});
    CHECK(made.applied() == lsn{200});
    CHECK(made.clamped() == 1);
    CHECK_FALSE(made.report(lsn{201}, {}, {}));
    CHECK(made.clamped() == 2);
}

TEST_CASE("a replica that has flushed more than it wrote is believed what it wrote") {
    progress made(lsn{100});
    CHECK(made.report(lsn{50}, lsn{60}, lsn{70}));
    CHECK(made.written() == lsn{50});
    CHECK(made.flushed() == lsn{50});
    CHECK(made.applied() == lsn{50});
    CHECK(made.clamped() == 1);
}

TEST_CASE("who tells only what it has flushed has written it, and the reverse is not so") {
    progress made(lsn{100});
    CHECK(made.report({}, lsn{60}, {}));
    CHECK(made.written() == lsn{60});
    CHECK(made.flushed() == lsn{60});
    CHECK_FALSE(made.applied().valid());
    CHECK(made.clamped() == 0);
    CHECK(made.report({}, lsn{101}, {}));
    CHECK(made.written() == lsn{100});
    CHECK(made.flushed() == lsn{100});
    CHECK(made.clamped() == 1);

    progress writes(lsn{100});
    CHECK(writes.report(lsn{60}, {}, {}));
    CHECK_FALSE(writes.flushed().valid());
    CHECK(writes.report({}, lsn{40}, lsn{40})); // what it told before still stands
    CHECK(writes.written() == lsn{60});
    CHECK(writes.flushed() == lsn{40});
    CHECK(writes.applied() == lsn{40});
    progress applies(lsn{100});
    CHECK_FALSE(applies.report({}, {}, lsn{60}));
    CHECK(applies.clamped() == 1);
}

TEST_CASE("nothing goes back, and zero says nothing") {
    progress made(lsn{100});
    CHECK(made.report(lsn{90}, lsn{80}, lsn{70}));
    const progress before = made;
    CHECK_FALSE(made.report(lsn{89}, lsn{79}, lsn{69}));
    CHECK_FALSE(made.report({}, {}, {}));
    CHECK(made == before);
    made.send_up_to(lsn{99});
    CHECK(made == before);
    made.send_up_to(lsn{101});
    CHECK(made.sent() == lsn{101});
}

TEST_CASE("a status update is reported by its three positions") {
    progress made(lsn{100});
    wire::standby_status_update said;
    said.written = lsn{30};
    said.flushed = lsn{20};
    said.applied = lsn{10};
    CHECK(made.report(said));
    CHECK(made.applied() == lsn{10});
    CHECK_FALSE(made.report(said));
}
