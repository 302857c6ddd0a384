#include <walwire/primary/registry.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

#include "support/no_alloc.hpp"

using namespace walwire;
using namespace walwire::primary;

namespace {

constexpr connection_id one{101};
constexpr connection_id two{102};

template <std::size_t Size>
struct registry_of {
    std::array<replica, Size> room;
    registry replicas{room};

    replica& add(connection_id id, std::string_view name = "node") {
        const auto made = replicas.join(id, name);
        REQUIRE(made);
        return **made;
    }
};

struct no_slots {
    slot_table table{{}};
};

wire::standby_status_update status(std::uint64_t written, std::uint64_t flushed,
                                   std::uint64_t applied) {
    return {{written}, {flushed}, {applied}, 0, false};
}

void check(const replica& at, std::uint64_t sent, std::uint64_t written, std::uint64_t flushed,
           std::uint64_t applied) {
    CHECK(at.progress().sent().value == sent);
    CHECK(at.progress().written().value == written);
    CHECK(at.progress().flushed().value == flushed);
    CHECK(at.progress().applied().value == applied);
}

} // namespace

TEST_CASE("a replica that joined is a connection that has asked for nothing") {
    registry_of<2> made;
    const replica& at = made.add(one, "alpha");
    CHECK(at.id() == one);
    CHECK(at.application_name() == "alpha");
    CHECK(at.state() == replica_state::startup);
    CHECK(!at.start_lsn().valid());
    CHECK(at.slot().empty());
    CHECK(at.reply_time() == 0);
    CHECK(!at.follows());
    CHECK(!at.keep_from());
    check(at, 0, 0, 0, 0);
    CHECK(made.replicas.size() == 1);
    CHECK(made.replicas.followers() == 0);
    CHECK(made.replicas.find(one) == &at);
    CHECK(made.replicas.find(two) == nullptr);
    CHECK(made.replicas.find({}) == nullptr);
    CHECK(max_wal_senders_default == 10);
}

TEST_CASE("an application_name is copied, cut and made printable") {
    registry_of<2> made;
    std::string name = "node\n\xc3\xa9";
    const replica& at = made.add(one, name);
    name = "other";
    CHECK(at.application_name() == "node???");
    CHECK(made.add(two, std::string(80, 'n')).application_name() == std::string(63, 'n'));
}

TEST_CASE("application_name is the node's id, and names that became one are seen to be two") {
    registry_of<4> made;
    made.add(one, "node-a");
    CHECK(made.replicas.named("node-a") == 1);
    CHECK(made.replicas.named("node-b") == 0);
    CHECK(made.replicas.named("node") == 0);
    made.add(two, "node-a"); // a node that came back while its old connection still stands
    CHECK(made.replicas.named("node-a") == 2);
    made.replicas.leave(one);
    CHECK(made.replicas.named("node-a") == 1);
    // Different ids, but the same as they are kept and shown.
    made.add(one, "node-\xc3\xa9");
    CHECK(made.replicas.named("node-\xc3\xbc") == 1);
    const std::string longest(63, 'n');
    made.add({103}, longest + "1");
    CHECK(made.replicas.named(longest + "2") == 1);
    CHECK(made.replicas.named(longest.substr(1)) == 0);
    CHECK(made.replicas.named("") == 0);
}

TEST_CASE("AionDB's entries are counted in: who asks for one has it, but for the first") {
    registry_of<1> made;
    replica& at = made.add(one);
    at.stream_from(aiondb::entry_lsn{7}, "slot_a");
    CHECK(at.slot() == "slot_a");
    CHECK(at.state() == replica_state::catchup);
    check(at, 7, 0, 0, 0);
    CHECK(at.reported(aiondb::standby_status_update{{8}, {8}, {6}}, {5, 77}));
    check(at, 7, 7, 7, 6);
    CHECK(at.reply_time() == 77);
    CHECK(at.progress().clamped() == 1);
    at.sent(aiondb::entry_lsn{12});
    CHECK(at.reported(aiondb::standby_status_update{{12}, {11}, {10}}, {}));
    check(at, 12, 12, 11, 10);
    CHECK(at.keep_from() == lsn{11});
    at.stream_from(aiondb::first_entry);
    check(at, 0, 0, 0, 0);
    CHECK(at.start_lsn() == lsn{1});
    CHECK(at.keep_from() == lsn{1});
    CHECK(!at.reported(aiondb::standby_status_update{{1}, {1}, {1}}, {}));
    check(at, 0, 0, 0, 0);
    CHECK(at.progress().clamped() == 1);
    at.sent(aiondb::entry_lsn{1});
    CHECK(at.reported(aiondb::standby_status_update{{1}, {1}, {1}}, {}));
    check(at, 1, 1, 1, 1);
    at.finish();
    CHECK(!at.reported(aiondb::standby_status_update{{1}, {1}, {1}}, {}));
}

TEST_CASE("a connection joins once, as long as there is room") {
    registry_of<2> made;
    made.add(one);
    CHECK(made.replicas.join({}, "x").code() == errc::argument_invalid);
    CHECK(made.replicas.join(one, "x").code() == errc::argument_invalid);
    made.add(two);
    CHECK(made.replicas.join({103}, "x").code() == errc::replicas_full);
    CHECK(made.replicas.join(two, "x").code() == errc::argument_invalid);
    CHECK(made.replicas.capacity() == 2);
    CHECK(made.replicas.leave(one));
    CHECK(!made.replicas.leave(one));
    CHECK(!made.replicas.leave({}));
    CHECK(made.replicas.size() == 1);
    CHECK(made.add({103}).id() == connection_id{103});
    registry none({});
    CHECK(none.join(one, "x").code() == errc::replicas_full);
}

TEST_CASE("who comes back knows nothing of before") {
    registry_of<1> made;
    replica& at = made.add(one, "alpha");
    at.stream_from(lsn{100}, "slot_a");
    at.sent(lsn{200});
    at.reported(status(200, 150, 100), {0, 77});
    made.replicas.leave(one);
    const replica& again = made.add(one, "beta");
    CHECK(again.application_name() == "beta");
    CHECK(again.state() == replica_state::startup);
    CHECK(again.slot().empty());
    CHECK(again.reply_time() == 0);
    check(again, 0, 0, 0, 0);
}

TEST_CASE("states follow one another") {
    registry_of<1> made;
    replica& at = made.add(one);
    CHECK(at.caught_up() == errc::not_now);
    CHECK(at.stop() == errc::not_now);
    at.stream_from(lsn{100}, "slot_a");
    CHECK(at.state() == replica_state::catchup);
    CHECK(at.start_lsn() == lsn{100});
    CHECK(at.slot() == "slot_a");
    CHECK(at.follows());
    check(at, 100, 0, 0, 0);
    CHECK(at.caught_up() == errc::none);
    CHECK(at.state() == replica_state::streaming);
    CHECK(at.caught_up() == errc::not_now);
    CHECK(at.stop() == errc::none);
    CHECK(at.state() == replica_state::stopping);
    CHECK(at.follows());
    CHECK(at.stop() == errc::none);
    CHECK(at.caught_up() == errc::not_now);
    at.finish();
    CHECK(at.state() == replica_state::startup);
    CHECK(at.id() == one);
    CHECK(at.application_name() == "node");
    CHECK(at.slot().empty());
    at.back_up_from(lsn{300});
    CHECK(at.state() == replica_state::backup);
    CHECK(!at.follows());
    CHECK(at.stop() == errc::not_now);
    CHECK(at.caught_up() == errc::not_now);
    CHECK(text(replica_state::startup) == "startup");
    CHECK(text(replica_state::catchup) == "catchup");
    CHECK(text(replica_state::streaming) == "streaming");
    CHECK(text(replica_state::backup) == "backup");
    CHECK(text(replica_state::stopping) == "stopping");
}

TEST_CASE("reports are cut down to what can be true, and counted") {
    registry_of<1> made;
    replica& at = made.add(one);
    at.stream_from(lsn{100});
    at.sent(lsn{200});
    CHECK(at.reported(status(150, 140, 130), {5, 77}));
    check(at, 200, 150, 140, 130);
    CHECK(at.reply_time() == 77);
    CHECK(at.progress().clamped() == 0);
    CHECK(!at.reported(status(120, 110, 0), {6, 88}));
    check(at, 200, 150, 140, 130);
    CHECK(at.reply_time() == 88);
    CHECK(at.reported(status(UINT64_MAX, UINT64_MAX, UINT64_MAX), {7, 99}));
    check(at, 200, 200, 200, 200);
    CHECK(at.progress().clamped() == 1);
    at.sent(lsn{150});
    CHECK(at.progress().sent() == lsn{200});
}

TEST_CASE("a flush beyond the write, and an apply beyond the flush, are cut down") {
    registry_of<1> made;
    replica& at = made.add(one);
    at.stream_from(lsn{100});
    at.sent(lsn{200});
    CHECK(at.reported(status(150, 180, 190), {}));
    check(at, 200, 150, 150, 150);
    CHECK(at.reported(status(180, 160, 170), {}));
    check(at, 200, 180, 160, 160);
    CHECK(at.progress().clamped() == 2);
}

TEST_CASE("nothing is sent to, or heard from, a connection that does not stream") {
    registry_of<1> made;
    replica& at = made.add(one);
    progress far(lsn{100});
    far.send_up_to(lsn{500});
    for (int turn = 0; turn < 2; ++turn) {
        at.sent(lsn{200});
        at.moved(far, {0, 77});
        CHECK(!at.reported(status(150, 140, 130), {0, 77}));
        check(at, 0, 0, 0, 0);
        CHECK(at.reply_time() == 0);
        at.back_up_from(lsn{100});
    }
}

TEST_CASE("the session's own view of a replica is taken over") {
    registry_of<1> made;
    replica& at = made.add(one);
    at.stream_from(lsn{100});
    progress far(lsn{100});
    far.send_up_to(lsn{200});
    far.report(lsn{180}, lsn{170}, lsn{160});
    at.moved(far, {3, 44});
    check(at, 200, 180, 170, 160);
    CHECK(at.reply_time() == 44);
}

TEST_CASE("another stream of the same connection begins with nothing known") {
    registry_of<1> made;
    replica& at = made.add(one);
    at.stream_from(lsn{100}, "slot_a");
    at.sent(lsn{200});
    at.reported(status(200, 200, 200), {0, 77});
    at.stream_from(lsn{50});
    CHECK(at.slot().empty());
    CHECK(at.state() == replica_state::catchup);
    check(at, 50, 0, 0, 0);
    CHECK(at.keep_from() == lsn{50});
}

TEST_CASE("WAL stays for whoever has not flushed it, for backups and for slots") {
    registry_of<3> made;
    std::array<slot, 2> room;
    slot_table slots(room);
    CHECK(!made.replicas.keep_from(slots));
    replica& a = made.add(one);
    CHECK(!made.replicas.keep_from(slots));
    a.stream_from(lsn{100});
    CHECK(made.replicas.keep_from(slots) == lsn{100});
    a.sent(lsn{500});
    a.reported(status(500, 80, 0), {});
    CHECK(made.replicas.keep_from(slots) == lsn{100});
    a.reported(status(500, 400, 0), {});
    CHECK(made.replicas.keep_from(slots) == lsn{400});
    replica& b = made.add(two);
    CHECK(made.replicas.keep_from(slots) == lsn{400});
    b.back_up_from(lsn{300});
    CHECK(made.replicas.keep_from(slots) == lsn{300});
    REQUIRE(slots.create("unused"));
    CHECK(made.replicas.keep_from(slots) == lsn{300});
    REQUIRE(slots.create("held", {false, {}, lsn{200}, {1}}));
    CHECK(made.replicas.keep_from(slots) == lsn{200});
    slots.find("held")->flushed(lsn{350}, {1});
    CHECK(made.replicas.keep_from(slots) == lsn{300});
    b.finish();
    CHECK(made.replicas.keep_from(slots) == lsn{350});
    CHECK(slots.drop("held", {}) == errc::none);
    CHECK(made.replicas.keep_from(slots) == lsn{400});
    made.replicas.leave(one);
    CHECK(!made.replicas.keep_from(slots));
}

TEST_CASE("a replica that streams from the very start of the log keeps all of it") {
    registry_of<1> made;
    made.add(one).stream_from(lsn{0});
    CHECK(made.replicas.keep_from(no_slots().table) == lsn{0});
}

TEST_CASE("a full registry is said as a server says it") {
    short_text room;
    const refusal refused = replicas_refused(10, room);
    CHECK(refused.sqlstate == "53300");
    CHECK(refused.fatal);
    CHECK(refused.message ==
          "number of requested standby connections exceeds max_wal_senders (currently 10)");
}

TEST_CASE("the registry does not allocate") {
    registry_of<2> made;
    slot_table slots({});
    const support::allocations before;
    const auto joined = made.replicas.join(one, "alpha");
    (*joined)->stream_from(lsn{1}, "a");
    (*joined)->sent(lsn{9});
    (*joined)->reported(status(9, 9, 9), {});
    const auto from = made.replicas.keep_from(slots);
    made.replicas.leave(one);
    const auto count = before.count();
    CHECK(count == 0);
    CHECK(from == lsn{9});
}
