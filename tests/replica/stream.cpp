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
        chosen.options.silence_timeout = never;
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
    SUBCASE("a keepalive is an answer") {
        sign = keepalive(start);
    }
    SUBCASE("WAL is an answer") {
        sign = wal_message(start, 100);
    }
    SUBCASE("the head of WAL is an answer") {
        sign = wal_front(start, 100);
    }
    SUBCASE("a notice is an answer") {
        sign = notice();
    }
    SUBCASE("one byte is an answer") {
        sign = {std::byte{'d'}};
    }
    if (sign.empty()) return;
    hears.feed(sign);
    const std::int64_t answered = hears.now.steady;
    CHECK(hears->deadline() == answered + 30 * second);
    hears.wait_until(answered + 30 * second);
    CHECK(hears.spoken().ends_with(" reply\n"));
    CHECK(hears->deadline() == answered + 60 * second);
    CHECK(!hears->over());
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
    // Until it is written; somebody who takes none of it is not waited for for ever.
    CHECK(hears->deadline() == hears.now.steady + 60 * second);
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

TEST_CASE("a goodbye that nobody reads is given up when the silence has been too long") {
    streamer hears;
    hears.writes(false);
    CHECK(hears->terminate() == errc::none);
    hears.wait_until(hears->deadline() - 1);
    CHECK(!hears->over());
    hears.wait_until(hears->deadline());
    CHECK(hears->over());
    REQUIRE(hears.reason);
    CHECK(hears.reason->code == errc::silence_timeout);
    CHECK(hears->output().empty());
}

TEST_CASE("the time that an event takes its owner is not the server's silence") {
    streamer hears;
    const buffer run = wal_message(start, 100);
    const buffer other = keepalive(start + 100);
    for (const buffer& said : {run, other}) {
        bytes in = said;
        REQUIRE(hears->poll(in, hears.now));
        hears.now.steady += 61 * second; // a disk that takes its time
        CHECK(!hears->poll(in, hears.now));
        CHECK(hears->deadline() > hears.now.steady);
    }
    // From then on the silence is the server's.
    hears.wait_until(hears.now.steady + 60 * second);
    REQUIRE(hears.reason);
    CHECK(hears.reason->code == errc::silence_timeout);
}

TEST_CASE("a length word that cannot be is refused at the highest limit too") {
    for (std::size_t length = 0; length < wire::length_size; ++length) {
        plan chosen = streams();
        chosen.options.limits.copy_data_size_max = UINT32_MAX;
        buffer said = wal_message(start, 100);
        for (std::size_t i = 1; i <= wire::length_size; ++i) said[i] = std::byte{0};
        said[wire::length_size] = static_cast<std::byte>(length);
        CAPTURE(length);
        CHECK(ending(chosen, streaming() + said) ==
              failure(errc::length_invalid, streaming().size()));
    }
}

TEST_CASE("a goodbye that finds no room is refused and can be tried again") {
    plan chosen = streams();
    chosen.out = 14 * 39 + 2;
    streamer hears(chosen);
    hears.writes(false);
    for (int i = 0; i < 14; ++i) {
        hears->report();
        hears.poll({});
    }
    CHECK(hears->terminate() == errc::output_full);
    CHECK(hears->at() == wire::phase::copy_both);
    hears.write(39);
    CHECK(hears->terminate() == errc::none);
}

TEST_CASE("a gigabyte in one CopyData passes through 64 KiB of input without being copied") {
    constexpr std::uint32_t size = 1u << 30;
    plan chosen = streams();
    chosen.options.limits.copy_data_size_max = size;
    chosen.stash = stash_size;
    streamer hears(chosen);
    buffer room = wal_front(start, size - 25);
    room.resize(64 * 1024);
    std::uint64_t delivered = 0;
    std::size_t wrong = 0;
    support::allocations made;
    for (std::uint64_t fed = 0; fed < std::uint64_t{size} + 5;) {
        const std::uint64_t left = std::uint64_t{size} + 5 - fed;
        bytes in =
            bytes(room).first(left < room.size() ? static_cast<std::size_t>(left) : room.size());
        fed += in.size();
        while (const auto told = hears->poll(in, hears.now)) {
            const auto* const run = std::get_if<replica::wal_data>(&*told);
            if (run == nullptr) {
                ++wrong;
                continue;
            }
            const bool inside = run->data.data() >= room.data() &&
                                run->data.data() + run->data.size() <= room.data() + room.size();
            const bool ends = delivered + run->data.size() == size - 25;
            if (!inside || run->start != start + delivered || run->begins != (delivered == 0) ||
                run->ends != ends)
                ++wrong;
            delivered += run->data.size();
        }
        wrong += in.size();
    }
    CHECK(made.count() == 0);
    CHECK(wrong == 0);
    CHECK(delivered == size - 25);
    CHECK(hears->received() == start + (size - 25));
    hears.feed(wal_message(start + (size - 25), 1));
    CHECK(hears->received() == start + (size - 24));
}

TEST_CASE("CopyData of the largest size is taken, and of one byte more refused, by every road") {
    for (const std::uint32_t limit : {26u, 100u, 4096u}) {
        plan chosen = streams();
        chosen.options.limits.copy_data_size_max = limit;
        const std::string taken = "wal 0/3000000+" + std::to_string(limit - 25);
        const buffer before = streaming() + wal_message(start, 1);
        CHECK(ending(chosen, streaming() + wal_message(start, limit - 25)) == taken);
        CHECK(ending(chosen, streaming() + wal_message(start, limit - 24)) ==
              failure(errc::copy_data_too_large, streaming().size()));
        CHECK(ending(chosen, before + wal_front(start + 1, limit - 24)) ==
              failure(errc::copy_data_too_large, before.size()));
    }
}

TEST_CASE("WAL up to the last position that there is, and no further") {
    constexpr lsn end{UINT64_MAX};
    for (const std::uint64_t room : {1u, 100u, 70'000u}) {
        const lsn from{end.value - room};
        const plan chosen = streams(from);
        const auto size = static_cast<std::uint32_t>(room);
        const std::string at = "wal " + replayed::shown(from) + '+';
        CHECK(ending(chosen, streaming() + wal_message(from, size)) == at + std::to_string(size));
        CHECK(ending(chosen, streaming() + wal_message(from, size + 1)) ==
              failure(errc::lsn_overflow, streaming().size()));
    }
    CHECK(ending(streams(end), streaming() + wal_message(end, 1)) ==
          failure(errc::lsn_overflow, streaming().size()));
    CHECK(ending(streams(end), streaming() + wal_message(end, 0)) ==
          "streaming from FFFFFFFF/FFFFFFFF");
}

TEST_CASE("a stream that runs into the last position by the fast road is stopped there too") {
    constexpr std::uint32_t size = 8 * 1024 * 1024 - 25;
    const lsn from{UINT64_MAX - UINT32_MAX};
    streamer hears(streams(from));
    buffer room = wal_front(from, size);
    room.resize(room.size() + size);
    lsn at = from;
    std::size_t told_wal = 0;
    hears.poll({}); // nothing is owed: the fast road is open
    for (std::size_t i = 0; i < 600 && !hears->over(); ++i) {
        store<std::uint64_t>(room.data() + 6, at.value);
        bytes in = room;
        while (const auto told = hears->poll(in, hears.now)) {
            if (const auto* const failed = std::get_if<replica::failed>(&*told))
                hears.reason = failed->reason;
            else
                told_wal += std::get<replica::wal_data>(*told).data.size();
        }
        if (!hears->over()) at = at + size;
    }
    REQUIRE(hears.reason);
    CHECK(hears.reason->code == errc::lsn_overflow);
    CHECK(told_wal / size == UINT32_MAX / size);
    CHECK(hears->received() == from + told_wal);
}

TEST_CASE("WAL without payload moves nothing and must stand where WAL belongs") {
    const buffer before = streaming() + wal_message(start, 3);
    CHECK(ending(streams(), before + wal_message(start + 3, 0) + wal_message(start + 3, 2)) ==
          "wal 0/3000003+2");
    CHECK(ending(streams(), before + wal_message(start + 4, 0)) ==
          failure(errc::wal_gap, before.size()));
    CHECK(ending(streams(), before + wal_message(start + 2, 0)) ==
          failure(errc::wal_overlap, before.size()));
}

TEST_CASE("the payload arrives as it was sent, in whatever runs, across a segment's end") {
    const lsn from{0xffff00};
    const buffer sent = wal_message(from, 1000) + keepalive(from) + wal_message(from + 1000, 300);
    CHECK(heard(streams(from), streaming() + sent)
              .ends_with("wal 0/FFFF00+1000\n"
                         "keepalive 0/FFFF00\n"
                         "wal 0/10002E8+300\n"));
    for (const std::size_t chunk : {1u, 29u, 31u, 64u, 5000u}) {
        streamer hears(streams(from));
        for (bytes rest = sent; !rest.empty(); rest = rest.subspan(std::min(chunk, rest.size())))
            hears.feed(rest.first(std::min(chunk, rest.size())));
        CHECK(hears.received == payload(from, 1300));
    }
}

TEST_CASE("a server's error ends the stream and nothing more is said in it") {
    streamer hears;
    hears->feedback(5, 5);
    hears->report();
    hears.feed(mistake("58P01"));
    CHECK(hears.news() == "error 58P01 so it is\n");
    hears.spoken();
    hears->report();
    hears->flushed(start);
    hears.poll({});
    CHECK(hears.spoken() == "");
    CHECK(hears->stop() == errc::not_now);
    CHECK(hears->deadline() == hears.now.steady + 60 * second); // for its ReadyForQuery
    hears.feed(ready());
    CHECK(hears->deadline() == never);
}

TEST_CASE("silence counts from the moment a question is asked, however long nobody did") {
    client hears(plan{});
    hears.feed(trusted());
    CHECK(hears->deadline() == never);
    hears.now.steady += 3600 * second; // and nobody polls
    REQUIRE(hears->ask(wire::identify_system{}) == errc::none);
    CHECK(hears->deadline() <= hears.now.steady);
    hears.poll({});
    REQUIRE(!hears->over());
    CHECK(hears->deadline() == hears.now.steady + 60 * second);
    hears.wait_until(hears.now.steady + 60 * second - 1);
    CHECK(!hears->over());
    hears.wait_until(hears.now.steady + 1);
    CHECK(hears.reason->code == errc::silence_timeout);
}
