#include <walwire/replica/wal_receiver.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "replica/scripted_aiondb.hpp"

using namespace walwire;
using entries::entry_batch;
using replica::entry_placement;
using scripted::follower;
using spelled::buffer;
using numbers = std::vector<std::uint64_t>;
using lines = std::vector<std::string>;

namespace {

numbers from_to(std::uint64_t first, std::uint64_t last) {
    numbers made(last - first + 1);
    std::iota(made.begin(), made.end(), first);
    return made;
}
// One that has entries up to `durable` and meets the primary for the first time in this life.
struct returned : follower {
    returned(std::uint32_t timeline, std::uint64_t durable, std::uint64_t replayed = 0,
             const replica::receiver_options& chosen = {})
        : follower(chosen) {
        on_disk = entry_placement{{timeline}, {durable}, {replayed}};
    }
};

} // namespace

TEST_CASE("a fresh replica asks for the first entry: at least 0/1") {
    follower f;
    f.settle();
    CHECK(f.server.asked == lines{"IDENTIFY_SYSTEM", "START_REPLICATION 0/00000001 TIMELINE 1"});
    CHECK(f.news() == "connect place following 1 from 1 ");
    CHECK(f.server.statuses == lines{"0 0 0"});
    f.server.stream(entry_batch(1, 10));
    f.settle();
    CHECK(f.received == from_to(1, 10));
    CHECK(f.machine->durable() == lsn{10});
}

TEST_CASE("a placement that holds no entry is a fresh replica's: at least 0/1") {
    returned f(1, 0);
    f.settle();
    CHECK(f.last_asked() == "START_REPLICATION 0/00000001 TIMELINE 1");
    f.server.stream(entry_batch(1, 10));
    f.settle();
    CHECK(f.received == from_to(1, 10));
}

TEST_CASE("it resumes at flush_lsn: its last durable entry comes again") {
    returned f(1, 7, 5);
    f.settle();
    CHECK(f.last_asked() == "START_REPLICATION 0/00000007 TIMELINE 1");
    CHECK(f.server.statuses == lines{"7 7 5"});
    f.server.stream(entry_batch(7, 10));
    f.settle();
    CHECK(f.received == from_to(7, 10));
    CHECK(f.machine->durable() == lsn{10});
}

TEST_CASE("each reconnect resumes at the receiver's flush_lsn") {
    follower f;
    f.settle();
    f.server.stream(entry_batch(1, 4));
    f.settle();
    f.flushes = false;
    f.server.stream(entry_batch(5, 9));
    f.settle();
    CHECK(f.machine->durable() == lsn{4});
    f.news();
    f.cut();
    CHECK(f.news() == "disconnect retrying ");
    f.sleep();
    CHECK(f.last_asked() == "START_REPLICATION 0/00000004 TIMELINE 1");
    CHECK(f.server.statuses.back() == "4 4 0");
    f.flushes = true;
    f.server.stream(entry_batch(4, 10));
    f.settle();
    CHECK(f.machine->durable() == lsn{10});
    // A flush that was reported between two connections counts too.
    f.flushes = false;
    f.server.stream(entry_batch(11, 12));
    f.settle();
    f.cut();
    f.machine->entries_flushed({12});
    f.server.end = 12;
    f.sleep();
    CHECK(f.last_asked() == "START_REPLICATION 0/0000000C TIMELINE 1");
}

TEST_CASE("a batch of which a part came is not here: neither written nor flushed") {
    follower f;
    f.settle();
    const buffer whole = entries::copy_data(entry_batch(1, 10));
    f.server.say(spelled::of(bytes(whole).first(whole.size() - 1)));
    f.settle();
    f.machine->entries_flushed({10});
    CHECK(f.machine->durable() == lsn{0});
    f.cut();
    f.sleep();
    CHECK(f.last_asked() == "START_REPLICATION 0/00000001 TIMELINE 1");
    f.server.say(whole);
    f.settle();
    CHECK(f.received == from_to(1, 10));
    CHECK(f.machine->durable() == lsn{10});
}

TEST_CASE(
    "a status goes right after CopyBothResponse, at the interval, and when one is asked for") {
    follower f;
    f.settle();
    CHECK(f.server.statuses.size() == 1);
    f.server.stream(entry_batch(1, 3));
    f.settle();
    CHECK(f.server.statuses.size() == 1);
    f.wait_until(11 * second - 1);
    CHECK(f.server.statuses.size() == 1);
    f.wait_until(11 * second);
    CHECK(f.server.statuses == lines{"0 0 0", "3 3 0"});
    f.machine->entries_applied({2});
    f.server.stream(entries::keepalive(10, 0, 0));
    f.settle();
    CHECK(f.server.statuses.size() == 2);
    f.server.stream(entries::keepalive(10, 0, 1));
    f.settle();
    CHECK(f.server.statuses.back() == "3 3 2");
    CHECK(f.machine->statuses_sent() == 3);
}

TEST_CASE("another system identifier fails the session, and the loop looks again with backoff") {
    replica::receiver_options chosen;
    chosen.system_identifier = 4711;
    follower f(chosen);
    f.server.identifier = "4712";
    f.settle();
    CHECK(f.news() == "connect disconnect retrying ");
    REQUIRE(f.retries.size() == 1);
    CHECK(f.retries[0].why.reason.code == errc::system_identifier_mismatch);
    f.sleep();
    CHECK(f.news() == "connect disconnect retrying ");
    f.server.identifier = "4711";
    f.sleep();
    CHECK(f.news() == "connect place following 1 from 1 ");
    // Whom it has followed once it follows ever after.
    f.server.identifier = "cluster-a";
    f.cut();
    f.sleep();
    CHECK(f.retries.back().why.reason.code == errc::system_identifier_mismatch);
    CHECK(!f.server.streaming);
}

TEST_CASE("a text identifier is expected by its number") {
    replica::receiver_options chosen;
    chosen.system_identifier = *replica::answer::parse_entry_system_identifier("cluster-a");
    follower f(chosen);
    f.server.identifier = "cluster-b";
    f.settle();
    CHECK(f.retries.size() == 1);
    f.server.identifier = "cluster-a";
    f.sleep();
    CHECK(f.server.streaming);
}

TEST_CASE("a text identifier is told as it is, and expected letter by letter") {
    replica::receiver_options chosen;
    chosen.identifier_text = "cluster-a";
    follower f(chosen);
    // As a number, two texts may be one.
    for (const char* const other : {"cluster-b", "cluster-", "cluster-aa", "Cluster-a"}) {
        f.server.identifier = other;
        f.sleep();
        CHECK(f.retries.back().why.reason.code == errc::system_identifier_mismatch);
        CHECK(f.identifier.empty());
    }
    f.server.identifier = "cluster-a";
    f.sleep();
    CHECK(f.server.streaming);
    CHECK(f.identifier == "cluster-a");
}

TEST_CASE("another timeline than the expected one fails the session, and the loop goes on") {
    replica::receiver_options chosen;
    chosen.timeline = timeline_id{2};
    follower f(chosen);
    f.settle();
    CHECK(f.news() == "connect disconnect retrying ");
    CHECK(f.retries[0].why.reason.code == errc::timeline_mismatch);
    f.server.promote(10);
    f.sleep();
    CHECK(f.server.streaming);
}

TEST_CASE(
    "the wait before a reconnect doubles from 250 ms to 30 s, and starts anew after a success") {
    follower f;
    f.reachable = false;
    f.settle();
    std::int64_t least = 250 * millisecond;
    for (int i = 0; i < 12; ++i) {
        const std::int64_t wait = f.retries.back().at - f.now.steady;
        CHECK(wait >= least);
        CHECK(wait <= least + least / 4 + 1);
        least = std::min(2 * least, 30 * second);
        f.sleep();
    }
    CHECK(least == 30 * second);
    f.reachable = true;
    f.sleep();
    CHECK(f.server.streaming);
    // The primary ends the stream as it should, so the session ended cleanly.
    f.server.say(dialogue::copy_done() + dialogue::completed("START_REPLICATION") +
                 dialogue::ready());
    f.settle();
    CHECK(f.retries.back().at - f.now.steady <= 313 * millisecond);
}

TEST_CASE("connecting takes 5 s at most, from the first packet to being let in") {
    // The transport is never there.
    replica::receiver_options chosen;
    chosen.connection.user = "repl";
    chosen.connection.dialect = dialect::aiondb;
    std::array<std::byte, stash_size> stash{};
    std::array<std::byte, out_size> out{};
    for (const bool opens : {false, true}) { // or it is, and nobody speaks
        replica::wal_receiver machine(chosen, {stash, out});
        bytes none;
        instant now{second, 0};
        const auto wanted = machine.poll(none, now);
        REQUIRE(wanted);
        CHECK(std::holds_alternative<replica::connect_wanted>(*wanted));
        if (opens) CHECK(machine.connected() == errc::none);
        CHECK(!machine.poll(none, now));
        CHECK(machine.deadline() == now.steady + 5 * second);
        now.steady += 5 * second - 1;
        CHECK(!machine.poll(none, now));
        ++now.steady;
        std::optional<replica::retrying> failed;
        while (const auto told = machine.poll(none, now))
            if (const auto* const why = std::get_if<replica::retrying>(&*told)) failed = *why;
        REQUIRE(failed);
        CHECK(failed->why.reason.code == errc::connect_timeout);
    }
}

TEST_CASE("a primary that is silent for 60 s is left") {
    follower f;
    f.settle();
    CHECK(f.server.streaming);
    const std::int64_t heard_at = f.now.steady;
    for (int i = 0; i < 40 && f.connected; ++i) f.sleep();
    CHECK(f.now.steady == heard_at + 60 * second);
    CHECK(f.retries.back().why.reason.code == errc::silence_timeout);
}

TEST_CASE("a newer timeline is adopted when the local flush is not past the fork") {
    for (const std::uint64_t flushed : {1u, 9u, 10u}) {
        CAPTURE(flushed);
        returned f(1, flushed, 1);
        f.server.promote(10);
        f.server.end = 20;
        f.settle();
        const lsn_text from = to_text(lsn{flushed}, dialect::aiondb);
        CHECK(f.server.asked ==
              lines{"IDENTIFY_SYSTEM", "TIMELINE_HISTORY 2",
                    "START_REPLICATION " + std::string(std::string_view(from)) + " TIMELINE 2"});
        CHECK(f.news() ==
              "connect place history 2 following 2 from " + std::to_string(flushed) + ' ');
        CHECK(f.machine->timeline() == timeline_id{2});
        f.server.stream(entry_batch(flushed, 20));
        f.settle();
        CHECK(f.machine->durable() == lsn{20});
    }
}

TEST_CASE("a local flush past the fork has diverged, and nothing goes on") {
    returned f(1, 11);
    f.server.promote(10);
    f.server.end = 20;
    f.settle();
    CHECK(f.verdict == errc::timeline_diverged);
    CHECK(f.machine->over());
    CHECK(f.machine->timeline() == timeline_id{1});
    CHECK(f.last_asked() == "TIMELINE_HISTORY 2");
    CHECK(f.server.heard.find('d') == std::string::npos);
}

TEST_CASE("several promotions are followed by the fork of the local timeline") {
    for (const std::uint64_t flushed : {8u, 10u, 11u}) {
        returned f(1, flushed);
        f.server.promote(10);
        f.server.promote(15);
        f.server.end = 30;
        f.settle();
        if (flushed > 10) {
            CHECK(f.verdict == errc::timeline_diverged);
        } else {
            CHECK(f.machine->timeline() == timeline_id{3});
            CHECK(f.server.streaming);
        }
    }
    returned second_one(2, 15);
    second_one.server.promote(10);
    second_one.server.promote(15);
    second_one.server.end = 30;
    second_one.settle();
    CHECK(second_one.machine->timeline() == timeline_id{3});
}

TEST_CASE("a promotion between two connections is adopted at the next") {
    follower f;
    f.settle();
    f.server.stream(entry_batch(1, 10));
    f.settle();
    f.server.promote(10);
    f.server.end = 12;
    f.cut();
    f.sleep();
    CHECK(f.machine->timeline() == timeline_id{2});
    CHECK(f.last_asked() == "START_REPLICATION 0/0000000A TIMELINE 2");
    f.server.stream(entry_batch(10, 12));
    f.settle();
    CHECK(f.machine->durable() == lsn{12});
    CHECK(f.received.back() == 12);
}

TEST_CASE("a timeline never goes backwards") {
    returned f(3, 5);
    f.server.promote(4);
    f.settle();
    CHECK(f.news() == "connect place disconnect retrying ");
    CHECK(f.retries[0].why.reason.code == errc::timeline_behind);
    CHECK(f.machine->timeline() == timeline_id{3});
    // Nor does one that was adopted.
    returned other(1, 5);
    other.server.promote(10);
    other.settle();
    CHECK(other.machine->timeline() == timeline_id{2});
    other.server.timeline = 1;
    other.cut();
    other.sleep();
    CHECK(other.retries.back().why.reason.code == errc::timeline_behind);
    CHECK(other.machine->timeline() == timeline_id{2});
}

TEST_CASE("a history that is not one is worth nothing") {
    returned f(1, 5);
    f.server.promote(10);
    f.server.histories[2] = "1\tnowhere\n";
    f.settle();
    CHECK(f.verdict.has_value());
    CHECK(!f.server.streaming);
}

TEST_CASE("a primary whose log ends before ours is not followed") {
    returned f(1, 11);
    f.settle();
    CHECK(f.retries.back().why.reason.code == errc::position_ahead);
    f.server.end = 11;
    f.sleep();
    CHECK(f.server.streaming);
}

TEST_CASE("a slot is named, and a fresh replica begins where it keeps entries from") {
    replica::receiver_options chosen;
    chosen.slot = "s";
    follower f(chosen);
    f.server.slot_restart = 6;
    f.settle();
    CHECK(f.server.asked == lines{"IDENTIFY_SYSTEM", "READ_REPLICATION_SLOT s",
                                  "START_REPLICATION SLOT s PHYSICAL 0/00000006 TIMELINE 1"});
    f.server.stream(entry_batch(6, 10));
    f.settle();
    CHECK(f.machine->durable() == lsn{10});
    follower bare(chosen);
    bare.settle();
    CHECK(bare.last_asked() == "START_REPLICATION SLOT s PHYSICAL 0/00000001 TIMELINE 1");
}

TEST_CASE("batches out of order end the connection, not the machine, and nothing of them counts") {
    follower f;
    f.settle();
    f.server.stream(entry_batch(1, 5));
    f.server.stream(entry_batch(5, 9));
    f.settle();
    CHECK(f.retries.back().why.reason.code == errc::wal_overlap);
    CHECK(f.received == from_to(1, 5));
    CHECK(f.machine->durable() == lsn{5});
    f.sleep();
    CHECK(f.last_asked() == "START_REPLICATION 0/00000005 TIMELINE 1");
}

TEST_CASE("what only a replica may say, and PostgreSQL's words, end the connection") {
    for (const buffer& wrong :
         {entries::status(3, 2, 1), entries::keepalive_reply(1), spelled::of("k")}) {
        follower f;
        f.settle();
        f.server.stream(wrong);
        f.settle();
        CHECK(f.retries.size() == 1);
        const errc code = f.retries[0].why.reason.code;
        CHECK((code == errc::entry_direction_invalid || code == errc::stream_unknown));
        f.sleep();
        CHECK(f.server.streaming);
    }
}

TEST_CASE("it stops by CopyDone and then Terminate, without waiting for an answer") {
    follower f;
    f.settle();
    f.server.stream(entry_batch(1, 5));
    f.settle();
    f.news();
    f.machine->stop();
    f.settle();
    CHECK(f.news() == "disconnect stopped ");
    CHECK(f.server.heard == "QQddcX");
    CHECK(f.server.statuses.back() == "5 5 0");
    CHECK(f.machine->over());
}

TEST_CASE("it stops from anywhere else as well") {
    follower resting;
    resting.reachable = false;
    resting.settle();
    resting.machine->stop();
    resting.settle();
    CHECK(resting.news() == "connect disconnect retrying stopped ");
    follower opening;
    opening.machine->stop();
    opening.settle();
    CHECK(opening.news() == "stopped ");
}

TEST_CASE("a temporary slot is nothing that AionDB has") {
    replica::receiver_options chosen;
    chosen.slot = "s";
    chosen.temporary_slot = true;
    follower f(chosen);
    f.settle();
    CHECK(f.verdict == errc::unsupported_version);
}

TEST_CASE("each dialect's receiver takes no notice of the other's placement and positions") {
    follower f;
    CHECK(f.machine->place(entry_placement{{1}, {1}, {}}) == errc::not_now);
    f.settle(); // where the wrong placement is tried as well
    f.flushes = false;
    f.server.stream(entry_batch(1, 5));
    f.settle();
    f.machine->flushed(lsn{5});
    f.machine->applied(lsn{5});
    CHECK(f.machine->durable() == lsn{0});
    f.machine->feedback(7, 8);
    f.machine->report();
    f.settle(); // the primary would not know what the feedback is
    CHECK(f.server.statuses.back() == "5 0 0");
}

TEST_CASE("byte by byte it is all the same") {
    follower f;
    f.chunk = 1;
    f.settle();
    f.server.stream(entry_batch(1, 5));
    f.server.stream(entries::keepalive(10, 0, 1));
    f.server.stream(entry_batch(6, 10));
    f.settle();
    CHECK(f.received == from_to(1, 10));
    CHECK(f.machine->durable() == lsn{10});
    CHECK(f.news() == "connect place following 1 from 1 alive ");
}
