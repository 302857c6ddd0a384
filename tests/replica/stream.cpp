#include <walwire/replica/stream.hpp>

#include <doctest/doctest.h>

#include <walwire/replica/session.hpp>

#include "replica/dialogue.hpp"
#include "support/no_alloc.hpp"

using namespace dialogue;

namespace {

// A client that the server has just begun to stream to, at time 1 s, with its first words written.
struct streamer : client {
    explicit streamer(const plan& chosen = streams(), const buffer& server = streaming())
        : client(chosen) {
        feed(server);
        news();
        said.clear();
    }
    // What it has said since it was asked last.
    std::string spoken() {
        const std::string text = words(said);
        said.clear();
        return text;
    }
};

plan with(void (*change)(replica::options&)) {
    plan made = streams();
    change(made.options);
    return made;
}

} // namespace

TEST_CASE("a status goes out as soon as the stream begins") {
    client hears(streams());
    hears.feed(trusted());
    hears.said.clear();
    hears.feed(copy_both());
    CHECK(words(hears.said) == "r 0/0 0/0 0/0\n");
    CHECK(last_line(hears.events()) == "streaming from 0/3000000");
}

TEST_CASE("written is what was delivered, flushed and applied what the owner says, in this order") {
    streamer hears;
    buffer in = wal_message(start, 100);
    bytes part = bytes(in).first(70); // 40 bytes of payload
    const auto told = hears->poll(part, hears.now);
    REQUIRE(std::holds_alternative<replica::wal_data>(*told));
    hears->report();
    hears.poll({}); // to call again is to have dealt with it
    CHECK(hears.spoken() == "r 0/3000028 0/0 0/0\n");
    hears.feed(bytes(in).subspan(70));
    hears->applied(start + 30); // not durable yet
    hears->report();
    hears.poll({});
    CHECK(hears.spoken() == "r 0/3000064 0/0 0/0\n");
    hears->flushed(start + 50);
    hears->applied(start + 60);
    hears->report();
    hears.poll({});
    CHECK(hears.spoken() == "r 0/3000064 0/3000032 0/3000032\n");
    hears->flushed(start + 1000); // more than came
    hears->applied(start + 1000);
    hears->report();
    hears.poll({});
    CHECK(hears.spoken() == "r 0/3000064 0/3000064 0/3000064\n");
    hears->flushed(start + 1); // backwards
    hears->applied(start);
    hears.feed(keepalive(start + 4096, true)); // the server's end is none of ours
    CHECK(hears.spoken() == "r 0/3000064 0/3000064 0/3000064\n");
}

TEST_CASE("a flush is reported with the next status, or at once where that was chosen") {
    for (const bool at_once : {false, true}) {
        plan chosen = streams();
        chosen.options.report_each_flush = at_once;
        streamer hears(chosen);
        hears.feed(wal_message(start, 100));
        hears->flushed(start + 50);
        CHECK((hears->deadline() <= hears.now.steady) == at_once);
        hears.poll({});
        CHECK(hears.spoken() == (at_once ? "r 0/3000064 0/3000032 0/0\n" : ""));
        hears->flushed(start + 50); // nothing new
        hears.poll({});
        CHECK(hears.spoken() == "");
    }
}

TEST_CASE("what was here before the connection is reported until more comes") {
    client hears(asks(wire::identify_system{}));
    hears.feed(trusted() + answer({"7", "3", "0/3000000", std::nullopt}));
    REQUIRE(hears->resume(start + 64, start + 32) == errc::none);
    REQUIRE(hears->ask(wire::start_replication{"", start, timeline_id{3}}) == errc::none);
    hears.poll({});
    hears.said.clear();
    hears.feed(copy_both());
    CHECK(words(hears.said) == "r 0/3000040 0/3000040 0/3000020\n");
    CHECK(hears->resume(start) == errc::not_now);
    hears.said.clear();
    hears.feed(wal_message(start, 100) + keepalive(start, true));
    CHECK(words(hears.said) == "r 0/3000064 0/3000040 0/3000020\n");
}

TEST_CASE("a status goes out every status_interval, to the microsecond, or never by itself") {
    for (const std::int64_t interval : {millisecond, 10 * second}) {
        plan chosen = streams();
        chosen.options.status_interval = interval;
        streamer hears(chosen);
        std::int64_t at = hears.now.steady;
        for (int i = 0; i < 3; ++i) {
            at += interval;
            CHECK(hears->deadline() == at);
            hears.wait_until(at - 1);
            CHECK(hears.spoken() == "");
            hears.wait_until(at);
            CHECK(hears.spoken() == "r 0/0 0/0 0/0\n");
        }
        // Any status starts the interval anew.
        hears.now.steady += interval / 2;
        hears.feed(keepalive(start, true));
        CHECK(hears.spoken() == "r 0/0 0/0 0/0\n");
        CHECK(hears->deadline() == at + interval / 2 + interval);
    }
    plan chosen = with([](replica::options& o) {
        o.status_interval = never;
        o.silence_timeout = never;
    });
    streamer hears(chosen);
    CHECK(hears->deadline() == never);
    hears.wait_until(1'000'000 * second);
    CHECK(hears.spoken() == "");
    hears.feed(keepalive(start, true));
    CHECK(hears.spoken() == "r 0/0 0/0 0/0\n");
}

TEST_CASE("at half of the silence that is allowed the server is asked for a sign of life, once") {
    const plan chosen = with([](replica::options& o) { o.status_interval = never; });
    streamer hears(chosen);
    const std::int64_t begun = hears.now.steady;
    CHECK(hears->deadline() == begun + 30 * second);
    hears.wait_until(begun + 30 * second - 1);
    CHECK(hears.spoken() == "");
    hears.wait_until(begun + 30 * second);
    CHECK(hears.spoken() == "r 0/0 0/0 0/0 reply\n");
    CHECK(hears->deadline() == begun + 60 * second);
    hears.wait_until(begun + 60 * second - 1);
    CHECK(hears.spoken() == "");
    SUBCASE("a server that does not answer is given up") {
        hears.wait_until(begun + 60 * second);
        CHECK(hears.reason->code == errc::silence_timeout);
        CHECK(hears->deadline() == never);
    }
    // Whatever comes is an answer, by whichever road, and the next silence is a new one.
    buffer sign;
    SUBCASE("a keepalive is an answer") { sign = keepalive(start); }
    SUBCASE("WAL is an answer") { sign = wal_message(start, 100); }
    SUBCASE("the head of WAL is an answer") { sign = wal_front(start, 100); }
    SUBCASE("a notice is an answer") { sign = notice(); }
    SUBCASE("one byte is an answer") { sign = {std::byte{'d'}}; }
    if (sign.empty()) return;
    hears.feed(sign);
    const std::int64_t answered = hears.now.steady;
    CHECK(hears->deadline() == answered + 30 * second);
    hears.wait_until(answered + 30 * second);
    CHECK(hears.spoken().ends_with(" reply\n"));
    CHECK(hears->deadline() == answered + 60 * second);
    CHECK(!hears->over());
}

TEST_CASE("WAL that comes between a ping and its deadline makes room for the next ping") {
    streamer hears(with([](replica::options& o) { o.status_interval = never; }));
    const std::int64_t begun = hears.now.steady;
    hears.wait_until(begun + 30 * second);
    CHECK(hears.spoken().ends_with(" reply\n"));
    hears.now.steady += second; // well before anything is due: the fast path
    buffer in = wal_message(start, 64);
    bytes rest = in;
    REQUIRE(hears->poll(rest, hears.now));
    CHECK(hears->deadline() == begun + 61 * second);
}

TEST_CASE("to poll at the deadline always gets somewhere, whatever is written") {
    for (const bool writes : {true, false}) {
        for (const std::int64_t interval : {millisecond, 7 * second, never}) {
            plan chosen = streams();
            chosen.options.status_interval = interval;
            chosen.options.silence_timeout = 20 * second;
            streamer hears(chosen);
            hears.writes(writes);
            std::size_t polls = 0;
            while (!hears->over() && ++polls < 100'000) {
                const std::int64_t due = hears->deadline();
                REQUIRE(due != never);
                // At once means at once, and once: what is owed has then been said.
                if (due > hears.now.steady) hears.now.steady = due;
                hears.poll({});
                if (!hears->over()) REQUIRE(hears->deadline() > hears.now.steady);
            }
            CHECK(hears.reason->code == errc::silence_timeout);
            CHECK(hears.now.steady == 21 * second);
        }
    }
}

TEST_CASE("a status that is due and has no room is owed and not due again") {
    plan chosen = with([](replica::options& o) { o.status_interval = second; });
    chosen.out = out_size_min;
    streamer hears(chosen);
    hears.writes(false);
    while (hears->output().size() + 39 <= chosen.out) {
        hears->report();
        hears.poll({});
    }
    const std::size_t full = hears->output().size();
    hears.wait_until(hears.now.steady + second);
    CHECK(hears->output().size() == full);
    CHECK(hears->deadline() == 31 * second); // the ping
    hears.write();
    CHECK(hears->deadline() <= hears.now.steady);
    hears.spoken();
    hears.poll({});
    hears.write();
    CHECK(hears.spoken() == "r 0/0 0/0 0/0\n");
}

TEST_CASE("a flood of keepalives that want an answer gets as many as there is room for, and one") {
    plan chosen = streams();
    chosen.out = out_size_min;
    streamer hears(chosen);
    hears.writes(false);
    buffer flood;
    for (int i = 0; i < 1000; ++i) flood = flood + keepalive(start, true);
    hears.feed(flood);
    CHECK(hears.left == 0);
    const std::size_t room = out_size_min / 39;
    CHECK(hears->output().size() == room * 39);
    hears.feed(wal_message(start, 50)); // what is owed is made of the newest positions
    hears.write();
    CHECK(hears.spoken().size() == room * std::string_view("r 0/0 0/0 0/0\n").size());
    hears.poll({});
    hears.write();
    CHECK(hears.spoken() == "r 0/3000032 0/0 0/0\n");
    hears.poll({});
    CHECK(hears->output().empty());
}

TEST_CASE("hot-standby feedback splits each transaction into its number and its epoch") {
    streamer hears;
    hears.now.wall = postgres_epoch + 5;
    hears->feedback(0x0000'0007'0000'02e1, 0xffff'fffe'0000'0003);
    hears.poll({});
    const bytes body = bytes(hears.said).subspan(5);
    CHECK(of(body) == spelled::hex("'h' 0000000000000005 000002e1 00000007 00000003 fffffffe"));
    hears.said.clear();
    // Again with each status, behind it, until zeros take it back, and they go on too.
    hears.feed(keepalive(start, true));
    CHECK(hears.spoken() == "r 0/0 0/0 0/0\nh\n");
    hears->feedback(0, 0);
    hears.poll({});
    CHECK(of(bytes(hears.said).subspan(14)) == buffer(16));
}

TEST_CASE("feedback given before the stream waits for it") {
    client hears(asks(wire::identify_system{}));
    hears->feedback(1, 1);
    hears.feed(trusted() + answer({"7", "3", "0/3000000", std::nullopt}));
    static_cast<void>(hears->ask(wire::start_replication{"", start, timeline_id{3}}));
    hears.poll({});
    hears.said.clear();
    hears.feed(copy_both());
    CHECK(words(hears.said) == "r 0/0 0/0 0/0\nh\n");
}

TEST_CASE("stop says the last positions and CopyDone, once") {
    client waits(streams());
    waits.feed(trusted());
    CHECK(waits->stop() == errc::not_now); // before the stream begins
    streamer hears;
    hears.feed(wal_message(start, 8));
    hears->flushed(start + 8);
    CHECK(hears->stop() == errc::none);
    CHECK(hears->stop() == errc::not_now);
    CHECK(hears->deadline() <= hears.now.steady);
    hears.poll({});
    CHECK(hears.spoken() == "r 0/3000008 0/3000008 0/0\nc\n");
    CHECK(hears->stop() == errc::not_now);
    // What was under way is thrown away; only silence is watched now.
    hears.news();
    hears.feed(wal_message(start + 8, 70'000) + keepalive(start, true));
    CHECK(hears.news() == "keepalive 0/3000000 reply\n");
    CHECK(hears->deadline() == hears.now.steady + 60 * second);
    hears.feed(copy_done() + keepalive(start, true) + completed() + completed() + ready());
    CHECK(hears.news() == "streaming_ended stopped\nready I\n");
    CHECK(hears.spoken() == "");
    CHECK(hears->received() == start + 8);
    CHECK(hears->stop() == errc::not_now);
}

TEST_CASE("stop in the middle of a message throws the rest of it away") {
    const buffer message = wal_message(start, 1000);
    for (std::size_t cut = 1; cut < message.size(); cut += 7) {
        streamer hears;
        hears.feed(bytes(message).first(cut));
        const std::size_t received = cut > 30 ? cut - 30 : 0;
        REQUIRE(hears->stop() == errc::none);
        hears.feed(bytes(message).subspan(cut));
        hears.feed(wal_message(start + 1000, 10) + copy_done() + completed() + ready());
        CAPTURE(cut);
        REQUIRE(hears.received.size() == received);
        REQUIRE(last_line(hears.events()) == "ready I");
        REQUIRE(hears->received() == start + received);
    }
}

TEST_CASE("stop behind the server's CopyDone is too late, whether or not ours is out") {
    for (const bool room : {true, false}) {
        streamer hears;
        hears.writes(room);
        while (!room && hears->output().size() + 44 <= out_size) {
            hears->report();
            hears.poll({});
        }
        hears.feed(wal_message(start, 8) + copy_done());
        CHECK(hears->stop() == errc::not_now);
        hears.write();
        hears.poll({});
        hears.write();
        CHECK(hears.spoken().ends_with("r 0/3000008 0/0 0/0\nc\n"));
        hears.news();
        hears.feed(columns(2) + row({"4", "0/3000008"}) + completed() + completed() + ready());
        CHECK(hears.news() == "timeline_ended, next 4 from 0/3000008\n"
                              "streaming_ended timeline_ended\nready I\n");
    }
}

TEST_CASE("the end of a timeline takes back what came behind it") {
    streamer hears;
    hears.feed(wal_message(start, 100) + copy_done());
    hears->flushed(start + 100);
    hears.feed(columns(2) + row({"4", "0/3000040"}) + completed() + completed() + ready());
    CHECK(hears->received() == start + 64);
    CHECK(hears->acknowledged().flushed() == start + 64);
    // The next stream goes on from there, with the positions that are left.
    hears.spoken();
    REQUIRE(hears->ask(wire::start_replication{"", start, timeline_id{4}}) == errc::none);
    hears.poll({});
    hears.feed(copy_both());
    CHECK(hears.spoken() == "Q START_REPLICATION 0/3000000 TIMELINE 4\n"
                            "r 0/3000040 0/3000040 0/0\n");
}

TEST_CASE("terminate while WAL streams says goodbye and nothing else, and waits for the output") {
    streamer hears;
    hears.writes(false);
    hears->report();
    CHECK(hears->terminate() == errc::none);
    CHECK(hears->terminate() == errc::over);
    CHECK(hears->deadline() == never); // until it is written
    hears.feed(keepalive(start, true));
    CHECK(hears.left == 0);
    CHECK(hears.news() == "");
    hears.write(2);
    CHECK(!hears->over());
    hears.write();
    CHECK(hears->deadline() <= hears.now.steady);
    hears.poll({});
    CHECK(hears.news() == "closed terminated\n");
    CHECK(hears.spoken() == "X\n");
}

TEST_CASE("a command that waits for room is taken when there is some, one too long never") {
    plan chosen = streams();
    chosen.out = out_size_min;
    streamer hears(chosen);
    hears.writes(false);
    while (hears->output().size() + 39 <= chosen.out) {
        hears->report();
        hears.poll({});
    }
    while (hears->output().size() + 4 < chosen.out) REQUIRE(hears->terminate() == errc::output_full);
    CHECK(true);
}
