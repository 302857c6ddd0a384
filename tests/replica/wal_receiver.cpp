#include <walwire/replica/wal_receiver.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>

#include "support/no_alloc.hpp"
#include "support/prng.hpp"
#include "support/scripted_primary.hpp"

using namespace walwire;
using support::scripted_primary;

static_assert(walwire::session<replica::wal_receiver>);

namespace {

constexpr std::uint64_t mebibyte = 1 << 20;

// A receiver and a primary in virtual time, with a disk that keeps what was flushed and loses the
// rest.
class follower {
  public:
    explicit follower(replica::receiver_options chosen = {}) : options(chosen) {
        options.connection.user = "replicator";
        machine.emplace(options, memory{stash_, out_});
    }

    scripted_primary primary;
    replica::receiver_options options;
    std::optional<replica::wal_receiver> machine;
    std::optional<replica::placement> on_disk;
    instant now{1'000'000, 0};
    bool reachable = true;
    bool flushes = true; // every run is durable as soon as it came
    bool answers_connect = true;
    bool answers_placement = true;
    std::optional<timeline_id> known; // its history is here
    std::size_t chunk = 4096;         // bytes a read brings
    std::size_t cut_after = SIZE_MAX;

    std::vector<replica::receiver_event> events; // without runs of WAL
    std::map<std::uint64_t, std::uint64_t> disk; // runs that do not touch, from and to
    std::vector<replica::following> streams;
    std::vector<replica::retrying> retries;
    std::vector<std::uint32_t> histories;
    std::optional<replica::given_up> verdict;
    bool stopped = false;
    bool connected = false;
    lsn received;

    template <class Event>
    std::size_t count() const {
        return static_cast<std::size_t>(std::count_if(events.begin(), events.end(), [](auto& e) {
            return std::holds_alternative<Event>(e);
        }));
    }

    // Runs until nothing more happens without time passing.
    void settle() {
        for (int idle = 0; idle < 3 && !machine->over();) {
            const std::size_t before = events.size();
            const std::size_t waiting = primary.to_client.size();
            turn();
            const bool same = before == events.size() && waiting == primary.to_client.size();
            idle = same ? idle + 1 : 0;
        }
    }
    // Lets time pass up to the machine's own deadline.
    void sleep() {
        const std::int64_t deadline = machine->deadline();
        REQUIRE(deadline != never);
        now.steady = std::max(now.steady, deadline);
        settle();
    }
    void turn() {
        bytes in;
        std::vector<std::byte> arrived;
        if (connected) {
            arrived = primary.to_client.pull(std::min(chunk, cut_after));
            if (cut_after != SIZE_MAX) cut_after -= arrived.size();
            in = arrived;
            if (primary.to_client.empty() && primary.closed()) machine->finish();
        }
        while (const auto told = machine->poll(in, now))
            std::visit([this](const auto& event) { heard(event); }, *told);
        if (connected) {
            const gather out = machine->output();
            const std::vector<std::byte> said(out.head.begin(), out.head.end());
            machine->consume(out.size());
            primary.read(said);
            if (cut_after == 0) {
                cut_after = SIZE_MAX;
                machine->disconnected();
            }
        }
    }

  private:
    void heard(const replica::connect_wanted& event) {
        events.emplace_back(event);
        CHECK(!connected);
        if (!answers_connect) return;
        if (!reachable) {
            CHECK(machine->connect_failed() == errc::none);
            return;
        }
        primary.accept();
        connected = true;
        CHECK(machine->connected() == errc::none);
    }
    void heard(const replica::disconnect_wanted& event) {
        events.emplace_back(event);
        connected = false;
    }
    void heard(const replica::placement_wanted& event) {
        events.emplace_back(event);
        if (!answers_placement) return;
        if (known) machine->knows_history(*known);
        CHECK((on_disk ? machine->place(*on_disk) : machine->place_anew()) == errc::none);
    }
    void heard(const replica::following& event) {
        events.emplace_back(event);
        streams.push_back(event);
        received = event.start;
    }
    void heard(const replica::wal_data& run) {
        CHECK(run.start == received);
        CHECK(support::is_log(run.start, run.data));
        received = run.start + run.data.size();
        keep(run.start, received);
        if (flushes) machine->flushed(received);
    }
    void heard(const replica::timeline_ended& event) {
        events.emplace_back(event);
        if (flushes) machine->flushed(event.switch_point);
    }
    void heard(const replica::history_read& event) { histories.push_back(event.timeline.value); }
    void heard(const replica::retrying& event) {
        events.emplace_back(event);
        retries.push_back(event);
    }
    void heard(const replica::given_up& event) {
        events.emplace_back(event);
        verdict = event;
    }
    void heard(const replica::stopped& event) {
        events.emplace_back(event);
        stopped = true;
    }
    template <class Event>
    void heard(const Event& event) {
        events.emplace_back(event);
    }
    void keep(lsn from, lsn to) {
        auto at = disk.emplace(from.value, to.value).first;
        at->second = std::max(at->second, to.value);
        if (at != disk.begin() && std::prev(at)->second >= from.value) --at;
        for (auto next = std::next(at); next != disk.end() && next->first <= at->second;) {
            at->second = std::max(at->second, next->second);
            next = disk.erase(next);
        }
    }

    std::array<std::byte, stash_size> stash_{};
    std::array<std::byte, out_size> out_{};
};

std::string last_asked(const follower& f) {
    return f.primary.asked.empty() ? "" : f.primary.asked.back();
}

// A server that was promoted at `at`: timeline 2 now, and what it says of timeline 1.
void promote(scripted_primary& primary, lsn at) {
    const std::uint32_t old = primary.timeline.value;
    primary.switch_points[old] = at;
    primary.histories[old + 1] = primary.histories[old] + std::to_string(old) + "\t" +
                                 std::string(std::string_view(to_text(at))) + "\tpromoted\n";
    primary.timeline = {old + 1};
}

} // namespace

TEST_CASE("with nothing on disk and no slot it starts at the primary's current segment") {
    follower f;
    f.primary.end = {0x512345};
    f.settle();
    REQUIRE(f.streams.size() == 1);
    CHECK(f.streams[0].start == lsn{0x500000});
    CHECK(f.primary.asked == std::vector<std::string>{"IDENTIFY_SYSTEM", "SHOW wal_segment_size",
                                                      "START_REPLICATION 0/500000 TIMELINE 1"});
    f.primary.send(f.primary.end);
    f.settle();
    CHECK(f.received == f.primary.end);
    CHECK(f.machine->durable() == f.primary.end);
}

TEST_CASE("nothing is reported flushed before the owner has said that something is") {
    follower f;
    f.flushes = false;
    f.settle();
    f.primary.end = {0x500100};
    f.primary.send(f.primary.end);
    f.primary.ping();
    f.settle();
    REQUIRE(!f.primary.statuses.empty());
    for (const auto& status : f.primary.statuses) CHECK(status.flushed == lsn{});
    CHECK(f.primary.statuses.back().written == f.received);
}

TEST_CASE("with a slot it starts where the slot keeps WAL from, on servers that can say so") {
    for (const char* const version : {"14.9", "15.2"}) {
        replica::receiver_options options;
        options.slot = "s";
        follower f(options);
        f.primary.version = version;
        f.primary.slot_restart = lsn{0x3ABCDE};
        f.settle();
        REQUIRE(f.streams.size() == 1);
        const bool can = std::string_view(version).starts_with("15");
        CHECK(f.streams[0].start == (can ? lsn{0x300000} : lsn{0x500000}));
        CHECK(last_asked(f).starts_with("START_REPLICATION SLOT \"s\""));
    }
}

TEST_CASE("a temporary slot is created on each connection, before its first stream") {
    for (const char* const version : {"14.9", "15.2"}) {
        replica::receiver_options options;
        options.slot = "s";
        options.temporary_slot = true;
        follower f(options);
        f.primary.version = version;
        const bool old = std::string_view(version).starts_with("14");
        const std::string create = std::string("CREATE_REPLICATION_SLOT \"s\" TEMPORARY PHYSICAL") +
                                   (old ? " RESERVE_WAL" : " (RESERVE_WAL)");
        f.settle();
        CHECK(f.primary.asked ==
              std::vector<std::string>{"IDENTIFY_SYSTEM", "SHOW wal_segment_size", create,
                                       "START_REPLICATION SLOT \"s\" 0/500000 TIMELINE 1"});
        f.primary.asked.clear();
        f.machine->disconnected();
        f.settle();
        f.sleep();
        CHECK(f.primary.asked ==
              std::vector<std::string>{"IDENTIFY_SYSTEM", create,
                                       "START_REPLICATION SLOT \"s\" 0/500000 TIMELINE 1"});
        CHECK(f.streams.size() == 2);

        // The next timeline is followed on the same connection, and with the same slot.
        promote(f.primary, {0x500100});
        f.primary.asked.clear();
        f.primary.send({0x500100});
        f.settle();
        REQUIRE(f.streams.size() == 3);
        CHECK(f.streams.back().timeline.value == 2);
        CHECK(std::count(f.primary.asked.begin(), f.primary.asked.end(), create) == 0);
    }
}

TEST_CASE("a server that has no room for a temporary slot, or no such thing, gives no stream") {
    replica::receiver_options options;
    options.slot = "s";
    options.temporary_slot = true;
    options.retry = false;
    follower f(options);
    f.primary.refusals["CREATE_REPLICATION_SLOT"] = "53400";
    f.settle();
    CHECK(f.streams.empty());
    REQUIRE(f.verdict);
    CHECK(f.verdict->why.sqlstate == "53400");

    options.slot = "No Such Name";
    follower g(options);
    g.settle();
    CHECK(g.streams.empty());
    REQUIRE(g.verdict);
    CHECK(g.verdict->why.reason.code == errc::name_invalid);
}

TEST_CASE("what is on disk decides before slot and server") {
    replica::receiver_options options;
    options.slot = "s";
    follower f(options);
    f.primary.slot_restart = lsn{0x100000};
    f.on_disk = replica::placement{timeline_id{1}, lsn{0x423456}, {}};
    f.settle();
    REQUIRE(f.streams.size() == 1);
    CHECK(f.streams[0].start == lsn{0x400000});
    // And is reported as durable from the first status on, though its bytes come again.
    REQUIRE(!f.primary.statuses.empty());
    CHECK(f.primary.statuses.front().flushed == lsn{0x423456});
}

TEST_CASE("an owner who was asked where it stands when the connection broke is asked again") {
    follower f;
    f.answers_placement = false;
    f.settle();
    CHECK(f.count<replica::placement_wanted>() == 1);
    f.machine->disconnected();
    f.settle();
    // Too late for that connection.
    CHECK(f.machine->place({timeline_id{1}, lsn{0x423456}, {}}) == errc::not_now);
    f.answers_placement = true;
    f.on_disk = replica::placement{timeline_id{1}, lsn{0x423456}, {}};
    f.sleep();
    CHECK(f.count<replica::placement_wanted>() == 2);
    REQUIRE(f.streams.size() == 1);
    CHECK(f.streams[0].start == lsn{0x400000});
    // Whoever has answered is not.
    f.machine->disconnected();
    f.settle();
    f.sleep();
    CHECK(f.count<replica::placement_wanted>() == 2);
    CHECK(f.streams.size() == 2);
}

TEST_CASE("a slot that could not be read yet is read on the next connection") {
    replica::receiver_options options;
    options.slot = "s";
    follower f(options);
    f.primary.slot_restart = lsn{0x300000};
    f.primary.refusals["READ_REPLICATION_SLOT"] = "57P03"; // passes by itself
    f.settle();
    CHECK(f.streams.empty());
    f.primary.refusals.clear();
    f.sleep();
    REQUIRE(f.streams.size() == 1);
    CHECK(f.streams[0].start == lsn{0x300000});
}

TEST_CASE("a history that is here already is not asked for") {
    follower f;
    promote(f.primary, {0x300000});
    f.primary.refusals["TIMELINE_HISTORY"] = "58P01"; // the server has removed it
    f.on_disk = replica::placement{timeline_id{2}, lsn{0x423456}, {}};
    f.known = timeline_id{2};
    f.settle();
    REQUIRE(f.streams.size() == 1);
    CHECK(f.streams[0].timeline.value == 2);
    CHECK(f.histories.empty());
}

TEST_CASE("the permissions of the server's files are asked for where that is wanted") {
    const auto told = [](const char* mode, const char* refusal) {
        replica::receiver_options options;
        options.asks_access = true;
        options.retry = false;
        follower f(options);
        f.primary.directory_mode = mode;
        if (refusal != nullptr) f.primary.refusals["SHOW data_directory_mode"] = refusal;
        f.settle();
        for (const auto& each : f.events) {
            if (const auto* wanted = std::get_if<replica::placement_wanted>(&each)) {
                CHECK(f.streams.size() == 1);
                return wanted->group_access ? "group" : "owner";
            }
        }
        REQUIRE(f.verdict);
        return f.verdict->why.reason.code == errc::answer_invalid ? "no mode" : "something else";
    };
    CHECK(told("0700", nullptr) == std::string("owner"));
    CHECK(told("0750", nullptr) == std::string("group"));
    CHECK(told("750", nullptr) == std::string("group"));
    CHECK(told("0740", nullptr) == std::string("owner"));
    CHECK(told("0700", "42704") == std::string("owner")); // no PostgreSQL
    for (const char* const mode : {"", "0800", "rwx", "00750", "-700"})
        CHECK(told(mode, nullptr) == std::string("no mode"));
}

TEST_CASE("damage that comes back at the same place five times is not waited for any more") {
    const auto meet = [](follower& f) {
        f.primary.put([](writer& out) {
            wire::put(out, wire::wal_data_head{lsn{0x777000}, {}, 0}, 1);
            out.u8(0);
        });
        f.settle();
    };
    SUBCASE("") {
        follower f;
        f.settle();
        for (int i = 1; i < replica::damage_repeats_max; ++i) {
            meet(f);
            REQUIRE(!f.verdict);
            f.sleep();
        }
        meet(f);
        REQUIRE(f.verdict);
        CHECK(f.verdict->why.reason.code == errc::wal_gap);
    }
    SUBCASE("elsewhere it is another one") {
        follower f;
        f.primary.end = {0x580000};
        f.settle();
        for (unsigned i = 1; i < 20; ++i) {
            f.primary.send(f.streams.back().start + i * 0x1000);
            f.settle();
            meet(f);
            REQUIRE(!f.verdict);
            f.sleep();
        }
    }
    SUBCASE("behind a stream that lasted it is another one") {
        follower f;
        f.settle();
        for (int i = 1; i < 20; ++i) {
            f.now.steady += 31 * second;
            f.primary.ping();
            f.settle();
            meet(f);
            REQUIRE(!f.verdict);
            f.sleep();
        }
    }
    SUBCASE("a lost connection is none") {
        follower f;
        f.settle();
        for (int i = 1; i < 20; ++i) {
            f.machine->disconnected();
            f.settle();
            REQUIRE(!f.verdict);
            f.sleep();
        }
    }
}

TEST_CASE("a server that does not stop is left when it has had the time to") {
    follower f;
    f.settle();
    REQUIRE(f.primary.streaming());
    f.primary.deaf = true;
    f.machine->stop();
    f.settle();
    for (int i = 0; i < 5; ++i) {
        CHECK(!f.stopped);
        f.now.steady += 11 * second;
        f.primary.ping();
        f.settle();
    }
    CHECK(!f.stopped);
    f.now.steady += 6 * second;
    f.settle();
    CHECK(f.stopped);
}

TEST_CASE("a lost connection is made again at the segment of the first byte that is not durable") {
    follower f;
    f.primary.end = {0x900000};
    f.settle();
    f.primary.end = {0xA00000};
    f.primary.send({0x9C0000});
    f.settle();
    CHECK(f.machine->durable() == lsn{0x9C0000});
    f.machine->disconnected();
    f.settle();
    REQUIRE(f.retries.size() == 1);
    CHECK(f.retries[0].why.reason.code == errc::connection_lost);
    CHECK(!f.connected);
    f.sleep();
    REQUIRE(f.streams.size() == 2);
    CHECK(f.streams[1].start == lsn{0x900000});
    f.primary.send(f.primary.end);
    f.settle();
    CHECK(f.received == lsn{0xA00000});
    REQUIRE(f.disk.size() == 1);
    CHECK(f.disk.begin()->second - f.disk.begin()->first == mebibyte);
}

TEST_CASE("the wait doubles from 250 ms to 30 s, and never grows by more than a quarter") {
    follower f;
    f.reachable = false;
    std::int64_t base = 250 * millisecond;
    f.settle();
    for (std::size_t i = 0; i < 12; ++i) {
        REQUIRE(f.retries.size() == i + 1);
        const std::int64_t wait = f.retries[i].at - f.now.steady;
        CHECK(wait >= base);
        CHECK(wait <= base + base / 4);
        base = std::min(base * 2, 30 * second);
        f.now.steady = f.retries[i].at - 1;
        f.settle();
        CHECK(f.retries.size() == i + 1); // not a microsecond too early
        f.sleep();
    }
    CHECK(f.count<replica::connect_wanted>() == 13);
}

TEST_CASE("equal seeds give equal waits, others do not") {
    const auto waits = [](std::uint64_t seed) {
        replica::backoff wait(seed, replica::backoff_first, replica::backoff_longest);
        std::vector<std::int64_t> seen;
        for (int i = 0; i < 8; ++i) seen.push_back(wait.next());
        return seen;
    };
    CHECK(waits(7) == waits(7));
    CHECK(waits(7) != waits(8));
}

TEST_CASE("after a clean end the wait begins anew, after failures it goes on") {
    follower f;
    f.reachable = false;
    f.settle();
    for (int i = 0; i < 5; ++i) f.sleep();
    f.reachable = true;
    f.sleep();
    REQUIRE(f.streams.size() == 1);
    f.primary.shut_down();
    f.settle();
    const std::int64_t clean = f.retries.back().at - f.now.steady;
    CHECK(clean <= 250 * millisecond * 5 / 4);
    CHECK(f.retries.back().why.reason.code == errc::none);
    f.sleep();
    f.machine->disconnected(); // a stream of no length at all
    f.settle();
    CHECK(f.retries.back().at - f.now.steady >= 500 * millisecond);
}

TEST_CASE("a stream that lasted counts as clean, however it ended") {
    follower f;
    f.settle();
    f.machine->disconnected();
    f.settle();
    f.sleep();
    for (int i = 0; i < 4; ++i) { // 40 s of statuses, each answered
        f.now.steady += 10 * second;
        f.primary.ping();
        f.settle();
    }
    f.machine->disconnected();
    f.settle();
    CHECK(f.retries.back().at - f.now.steady <= 250 * millisecond * 5 / 4);
}

TEST_CASE("a transport that does not come up in time is given up and tried again") {
    follower f;
    f.answers_connect = false;
    f.settle();
    CHECK(f.machine->deadline() == f.now.steady + 5 * second);
    f.sleep();
    CHECK(f.count<replica::disconnect_wanted>() == 1);
    REQUIRE(f.retries.size() == 1);
    CHECK(f.retries[0].why.reason.code == errc::connect_timeout);
    CHECK(f.machine->connected() == errc::not_now);
}

TEST_CASE("a server that accepts and says nothing is given up after the same time") {
    follower f;
    f.chunk = 0;
    f.settle();
    CHECK(f.connected);
    f.sleep();
    REQUIRE(f.retries.size() == 1);
    CHECK(f.retries[0].why.reason.code == errc::connect_timeout);
    CHECK(f.retries[0].at <= f.now.steady + 313 * millisecond);
}

TEST_CASE("another system identifier ends it, at the first connection or a later one") {
    SUBCASE("the one that was expected does not come") {
        replica::receiver_options options;
        options.system_identifier = 5;
        follower f(options);
        f.settle();
        REQUIRE(f.verdict);
        CHECK(f.verdict->why.reason.code == errc::system_identifier_mismatch);
        CHECK(f.streams.empty());
    }
    SUBCASE("the one that was seen does not come again") {
        follower f;
        f.settle();
        f.machine->disconnected();
        f.settle();
        f.primary.system_identifier += 1;
        f.sleep();
        REQUIRE(f.verdict);
        CHECK(f.verdict->why.reason.code == errc::system_identifier_mismatch);
        CHECK(f.streams.size() == 1);
        CHECK(f.machine->over());
    }
}

TEST_CASE("a timeline other than the expected one is tried again") {
    replica::receiver_options options;
    options.timeline = timeline_id{4};
    follower f(options);
    f.settle();
    REQUIRE(f.retries.size() == 1);
    CHECK(f.retries[0].why.reason.code == errc::timeline_mismatch);
    CHECK(f.streams.empty());
}

TEST_CASE("a promotion during the stream is followed across the switch point") {
    follower f;
    f.primary.end = {0x580000};
    f.settle();
    promote(f.primary, {0x560000});
    f.primary.end = {0x600000};
    f.primary.send({0x600000});
    f.settle();
    REQUIRE(f.streams.size() == 2);
    CHECK(f.streams[1].timeline == timeline_id{2});
    CHECK(f.streams[1].start == lsn{0x500000});
    CHECK(f.histories == std::vector<std::uint32_t>{2});
    CHECK(f.machine->timeline() == timeline_id{2});
    f.primary.send(f.primary.end);
    f.settle();
    CHECK(f.received == lsn{0x600000});
    CHECK(f.primary.asked.back() == "START_REPLICATION 0/500000 TIMELINE 2");
}

TEST_CASE("a timeline is not left before all of it is durable") {
    follower f;
    f.flushes = false;
    f.primary.end = {0x580000};
    f.settle();
    promote(f.primary, {0x560000});
    f.primary.send({0x600000});
    f.settle();
    CHECK(f.streams.size() == 1);
    CHECK(f.machine->deadline() == never);
    f.machine->flushed({0x55FFFF});
    f.settle();
    CHECK(f.streams.size() == 1);
    f.machine->flushed({0x560000});
    f.settle();
    CHECK(f.streams.size() == 2);
}

TEST_CASE("a server that went on while we were away is followed by its history") {
    follower f;
    f.on_disk = replica::placement{timeline_id{1}, lsn{0x540000}, {}};
    f.primary.end = {0x600000};
    promote(f.primary, {0x560000});
    promote(f.primary, {0x5A0000});
    f.settle();
    REQUIRE(f.streams.size() == 1);
    CHECK(f.streams[0].timeline == timeline_id{1});
    for (int i = 0; i < 4; ++i) {
        f.primary.send(f.primary.end);
        f.settle();
    }
    REQUIRE(f.streams.size() == 3);
    CHECK(f.streams[2].timeline == timeline_id{3});
    CHECK(f.histories == std::vector<std::uint32_t>{2, 3});
    CHECK(f.received == lsn{0x600000});
}

TEST_CASE("at the switch point itself the server has no stream left, only the next timeline") {
    follower f;
    f.on_disk = replica::placement{timeline_id{1}, lsn{0x500000}, {}};
    f.primary.end = {0x5A0000};
    promote(f.primary, {0x500000});
    f.settle();
    REQUIRE(f.streams.size() == 1);
    CHECK(f.streams[0].timeline == timeline_id{2});
    CHECK(f.streams[0].start == lsn{0x500000});
}

TEST_CASE("a log that runs past the fork, or lies on a branch the server never took, is diverged") {
    SUBCASE("past the fork") {
        follower f;
        f.on_disk = replica::placement{timeline_id{1}, lsn{0x560001}, {}};
        f.primary.end = {0x600000};
        promote(f.primary, {0x560000});
        f.settle();
        REQUIRE(f.verdict);
        CHECK(f.verdict->why.reason.code == errc::timeline_diverged);
        CHECK(f.streams.empty());
    }
    SUBCASE("another branch") {
        follower f;
        f.on_disk = replica::placement{timeline_id{2}, lsn{0x500000}, {}};
        f.primary.end = {0x600000};
        f.primary.timeline = {3};
        f.primary.histories[3] = "1\t0/560000\tpromoted\n";
        f.settle();
        REQUIRE(f.verdict);
        CHECK(f.verdict->why.reason.code == errc::timeline_diverged);
    }
}

TEST_CASE("a server that is behind us is tried again, as it may catch up") {
    follower f;
    SUBCASE("on an older timeline") {
        f.on_disk = replica::placement{timeline_id{2}, lsn{0x400000}, {}};
        f.settle();
        REQUIRE(f.retries.size() == 1);
        CHECK(f.retries[0].why.reason.code == errc::timeline_behind);
    }
    SUBCASE("on ours, but not as far") {
        f.on_disk = replica::placement{timeline_id{1}, lsn{0x700000}, {}};
        f.settle();
        REQUIRE(f.retries.size() == 1);
        CHECK(f.retries[0].why.reason.code == errc::position_ahead);
        f.primary.end = {0x700000};
        f.sleep();
        CHECK(f.streams.size() == 1);
    }
}

TEST_CASE("an error's SQLSTATE says whether coming back is of use") {
    struct expectation {
        const char* command;
        const char* sqlstate;
        bool final;
    };
    for (const expectation& each : {
             expectation{"", "28P01", true},        // wrong password
             {"", "28000", true},                   // no rule for us
             {"", "3D000", true},                   // no such database
             {"", "53300", false},                  // too many connections
             {"", "57P03", false},                  // starting up
             {"IDENTIFY_SYSTEM", "42501", true},    // no right to
             {"START_REPLICATION", "55006", false}, // slot in use
             {"START_REPLICATION", "42704", true},  // no such slot
             {"START_REPLICATION", "58P01", true},  // WAL removed
             {"START_REPLICATION", "55000", false}, // stopping
             {"START_REPLICATION", "XX000", false}, // not flushed so far
             {"SHOW", "57P01", false},
         }) {
        CAPTURE(each.command);
        CAPTURE(each.sqlstate);
        follower f;
        f.primary.refusals[each.command] = each.sqlstate;
        f.settle();
        CHECK(f.verdict.has_value() == each.final);
        CHECK(f.retries.size() == (each.final ? 0 : 1));
        const replica::cause why = each.final ? f.verdict->why : f.retries[0].why;
        CHECK(why.sqlstate == each.sqlstate);
        CHECK(f.count<replica::server_error>() == 1);
        CHECK(!f.connected);
        if (each.final) continue;
        f.primary.refusals.clear();
        f.sleep();
        CHECK(f.streams.size() == 1);
    }
}

TEST_CASE("without retry the first failure is the last") {
    replica::receiver_options options;
    options.retry = false;
    follower f(options);
    f.settle();
    f.machine->disconnected();
    f.settle();
    REQUIRE(f.verdict);
    CHECK(f.verdict->why.reason.code == errc::connection_lost);
    CHECK(f.machine->over());
    CHECK(f.machine->deadline() == never);
}

TEST_CASE("when the server turns away one kind of encryption the other is tried at once") {
    replica::receiver_options options;
    options.connection.tls = replica::encryption::required;
    options.alternative_tls = replica::encryption::off;
    follower f(options);
    f.settle();
    CHECK(f.streams.size() == 1);
    CHECK(f.retries.empty());
    CHECK(f.count<replica::connect_wanted>() == 2);
}

TEST_CASE("what we refuse by ourselves is not tried again with another encryption") {
    replica::receiver_options options;
    options.connection.require_auth.forbid(auth::method::none);
    options.alternative_tls = replica::encryption::required;
    follower f(options);
    f.settle();
    REQUIRE(f.verdict);
    CHECK(f.verdict->why.reason.code == errc::authentication_refused);
    CHECK(f.count<replica::connect_wanted>() == 1);
}

TEST_CASE("stop ends it in an orderly way from whatever it is doing") {
    SUBCASE("while it waits") {
        follower f;
        f.reachable = false;
        f.settle();
        f.machine->stop();
        f.settle();
        CHECK(f.stopped);
    }
    SUBCASE("while it connects") {
        follower f;
        f.answers_connect = false;
        f.settle();
        f.machine->stop();
        f.settle();
        CHECK(f.stopped);
        CHECK(f.count<replica::disconnect_wanted>() == 1);
    }
    SUBCASE("while it opens") {
        follower f;
        f.chunk = 0;
        f.settle();
        f.machine->stop();
        f.settle();
        CHECK(f.stopped);
        CHECK(!f.connected);
    }
    SUBCASE("while it streams: the server hears a CopyDone and a Terminate") {
        follower f;
        f.settle();
        f.primary.send({0x500000 + 100});
        f.settle();
        f.machine->stop();
        f.settle();
        CHECK(f.stopped);
        CHECK(f.primary.terminations == 1);
        CHECK(!f.primary.streaming());
    }
    SUBCASE("while a timeline waits to be durable") {
        follower f;
        f.flushes = false;
        f.primary.end = {0x580000};
        f.settle();
        promote(f.primary, {0x560000});
        f.primary.send({0x600000});
        f.settle();
        f.machine->stop();
        f.settle();
        CHECK(f.stopped);
        CHECK(f.primary.terminations == 1);
    }
    SUBCASE("before anything") {
        follower f;
        f.machine->stop();
        f.settle();
        CHECK(f.stopped);
        CHECK(f.count<replica::connect_wanted>() == 0);
    }
}

TEST_CASE("after its end every call is refused or does nothing") {
    follower f;
    f.machine->stop();
    f.settle();
    REQUIRE(f.machine->over());
    std::array<std::byte, 3> noise{};
    bytes in = noise;
    CHECK(!f.machine->poll(in, f.now));
    CHECK(in.empty());
    CHECK(f.machine->connected() == errc::not_now);
    CHECK(f.machine->connect_failed() == errc::not_now);
    CHECK(f.machine->secured() == errc::not_now);
    CHECK(f.machine->give_password("x") == errc::not_now);
    CHECK(f.machine->place({timeline_id{1}, lsn{1}, {}}) == errc::not_now);
    CHECK(f.machine->place_anew() == errc::not_now);
    f.machine->flushed({1});
    f.machine->disconnected();
    f.machine->finish();
    CHECK(f.machine->output().empty());
    CHECK(f.machine->deadline() == never);
}

TEST_CASE("an impossible placement is refused and can be made good") {
    follower f;
    f.settle();
    CHECK(f.machine->place({timeline_id{1}, lsn{1}, {}}) == errc::not_now);
}

TEST_CASE("cut at random bytes, with flushes that lag, every byte arrives in its place") {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        CAPTURE(seed);
        support::prng random(seed);
        replica::receiver_options options;
        options.backoff_seed = seed;
        follower f(options);
        f.chunk = 1 + random.below(9000);
        f.primary.message_size = 1 + random.below(20'000);
        f.primary.end = {0x400000};
        f.flushes = false;
        const lsn goal{0x400000 + mebibyte / 2 + random.below(mebibyte)};
        bool promoted = false;
        for (int round = 0; round < 300 && f.received < goal; ++round) {
            f.settle();
            if (f.primary.end < goal) f.primary.end = f.primary.end + random.below(200'000);
            if (f.primary.end > goal) f.primary.end = goal;
            if (random.below(8) == 0) f.cut_after = random.below(60'000);
            if (!promoted && round == 9 && f.primary.streaming() && f.received.valid()) {
                promoted = true;
                promote(f.primary, std::max(f.received, f.primary.end));
            }
            f.primary.send(f.primary.end);
            f.settle();
            if (random.below(3) != 0) f.machine->flushed(f.received);
            f.settle();
            if (!f.connected && !f.machine->over()) f.sleep();
        }
        CHECK(f.received == goal);
        // No gap from the first byte to the last; what came twice was the same, which heard()
        // checked.
        REQUIRE(f.disk.size() == 1);
        CHECK(f.disk.begin()->second == goal.value);
    }
}
