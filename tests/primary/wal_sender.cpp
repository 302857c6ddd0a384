#include <walwire/primary/wal_sender.hpp>

#include <doctest/doctest.h>

#include <vector>

#include "wire/spelled.hpp"

using namespace walwire;
using primary::served_timeline;
using primary::wal_sender;
using spelled::buffer;
using spelled::hex;
using wire::message;
using wire::phase;

namespace {

// A sender in a stream, its table and its outbox.
struct stream {
    explicit stream(lsn start, const served_timeline& from, std::size_t room = 4096)
        : said(room), out(said), sender(chosen) {
        chosen.wal_sender_timeout = 60 * second;
        for (const message each :
             {message::startup, message::authentication_ok, message::ready_for_query,
              message::query, message::copy_both_response})
            REQUIRE((talk.may_send(each) ? talk.send(each) : talk.receive(each)) == errc::none);
        sender.begin(start, from, 0);
    }
    bytes say(std::int64_t now = 0) { return sender.say(talk, out, {now, postgres_epoch + 5}); }
    buffer written() {
        const buffer made = spelled::of(out.waiting());
        out.clear();
        return made;
    }

    primary::options chosen;
    wire::conversation talk;
    buffer said;
    wire::outbox out;
    wal_sender sender;
};

constexpr served_timeline current(lsn end) {
    return {{1}, end, {}, {}};
}
buffer report(std::uint64_t written, std::uint64_t flushed, std::uint64_t applied, bool reply) {
    buffer made(34);
    made[0] = std::byte{'r'};
    store(made.data() + 1, written);
    store(made.data() + 9, flushed);
    store(made.data() + 17, applied);
    made[33] = reply ? std::byte{1} : std::byte{0};
    return made;
}

} // namespace

TEST_CASE("a message is a head of 30 bytes and a view into what was lent") {
    stream made(lsn{0x100}, current(lsn{0x200}));
    const buffer wal(3, std::byte{'x'});
    CHECK(made.sender.wants_wal());
    CHECK_FALSE(made.sender.owes(phase::copy_both));
    CHECK(made.sender.lend(wal) == errc::none);
    CHECK(made.sender.lend(wal) == errc::not_now);
    CHECK(made.sender.owes(phase::copy_both));
    const bytes body = made.say();
    CHECK(body.data() == wal.data());
    CHECK(body.size() == 3);
    CHECK(made.written() == hex("64 00000020 77 0000000000000100 0000000000000200"
                                "0000000000000005"));
    CHECK(made.sender.next() == lsn{0x103});
    CHECK(made.sender.progress().sent() == lsn{0x103});
    CHECK(made.say().empty());
    CHECK(made.written().empty());
}

TEST_CASE("messages hold 128 KiB at most and end on page boundaries") {
    const std::uint64_t start = 0x3000000 + 100;
    stream made(lsn{start}, current(lsn{start}));
    const buffer wal(400'000);
    CHECK(made.sender.lend(wal) == errc::none);
    CHECK(made.sender.end_of_wal() == lsn{start + 400'000});
    std::vector<std::size_t> sizes;
    for (bytes body = made.say(); !body.empty(); body = made.say()) sizes.push_back(body.size());
    CHECK(sizes == std::vector<std::size_t>{131072 - 100, 131072, 131072, 400'000 - 393'216 + 100});
    stream exact(lsn{8192}, current({}));
    CHECK(exact.sender.lend(bytes(wal).first(131072)) == errc::none);
    CHECK(exact.say().size() == 131072);
}

TEST_CASE("what can be lent: nothing beyond 2^64, nothing beyond the timeline") {
    const buffer wal(100);
    stream high(lsn{UINT64_MAX - 99}, current(lsn{UINT64_MAX - 99}));
    CHECK(high.sender.lend(wal) == errc::lsn_overflow);
    CHECK(high.sender.lend(bytes(wal).first(99)) == errc::none);
    stream ended(lsn{100}, {{1}, lsn{150}, {2}, lsn{150}});
    CHECK(ended.sender.lend(wal) == errc::argument_too_long);
    CHECK(ended.sender.lend(bytes(wal).first(50)) == errc::none);
    CHECK(ended.say().size() == 50);
    CHECK(ended.sender.complete());
    CHECK_FALSE(ended.sender.wants_wal());
    CHECK(ended.sender.lend(wal) == errc::not_now);
}

TEST_CASE("a keepalive is asked for at half the timeout, once, until something is heard") {
    stream made(lsn{100}, current(lsn{200}));
    CHECK(made.sender.ping_deadline() == 30 * second);
    CHECK(made.sender.silence_deadline() == 60 * second);
    made.sender.keep_time(30 * second - 1);
    CHECK_FALSE(made.sender.owes(phase::copy_both));
    made.sender.keep_time(30 * second);
    CHECK(made.sender.owes(phase::copy_both));
    CHECK(made.sender.ping_deadline() == never);
    CHECK(made.say().empty());
    CHECK(made.written() == hex("64 00000016 6b 00000000000000c8 0000000000000005 01"));
    made.sender.keep_time(59 * second);
    CHECK_FALSE(made.sender.owes(phase::copy_both));
    made.sender.heard(59 * second);
    CHECK(made.sender.ping_deadline() == 89 * second);
    CHECK(made.sender.silence_deadline() == 119 * second);

    stream patient(lsn{100}, current(lsn{200}));
    patient.chosen.wal_sender_timeout = never;
    CHECK(patient.sender.ping_deadline() == never);
    CHECK(patient.sender.silence_deadline() == never);
}

TEST_CASE("a reply that was asked for a hundred times is one keepalive, when there is room") {
    stream made(lsn{100}, current(lsn{200}), 23);
    for (int i = 0; i < 100; ++i) CHECK(made.sender.control(report(0, 0, 0, true)));
    CHECK(made.say().empty());
    CHECK(made.written() == hex("64 00000016 6b 00000000000000c8 0000000000000005 00"));
    CHECK(made.say().empty());
    CHECK(made.written().empty());
    // No room: it stays owed.
    CHECK(made.out.put([](writer& to) { to.u8(1); }) == errc::none);
    CHECK(made.sender.control(report(0, 0, 0, true)));
    CHECK(made.say().empty());
    CHECK(made.written().size() == 1);
    CHECK(made.sender.owes(phase::copy_both));
    CHECK(made.say().empty());
    CHECK(made.written().size() == 23);
}

TEST_CASE("statuses are taken with bytes behind them, and not when they are too short") {
    stream made(lsn{100}, current(lsn{200}));
    const buffer status = report(100, 90, 80, false);
    for (std::size_t size = 1; size < status.size(); ++size)
        CHECK(made.sender.control(bytes(status).first(size)).code() == errc::stream_malformed);
    CHECK(made.sender.control({}).code() == errc::stream_malformed);
    CHECK(made.sender.control(status + buffer(5)));
    CHECK(made.sender.progress().written() == lsn{100});
    CHECK(made.sender.progress().flushed() == lsn{90});
    CHECK(made.sender.progress().applied() == lsn{80});
    CHECK(made.sender.control(spelled::of("h") + buffer(24)));
    CHECK(made.sender.control(spelled::of("h") + buffer(16)).code() == errc::stream_malformed);
    CHECK(made.sender.control(spelled::of("p") + buffer(8)));
    CHECK(made.sender.control(spelled::of("p") + buffer(7)).code() == errc::stream_malformed);
    for (const char* other : {"x", "w", "k", "R"})
        CHECK(made.sender.control(spelled::of(other) + buffer(40)).code() == errc::stream_unknown);
}

TEST_CASE("a failure is to be said, and nothing is wanted any more") {
    stream made(lsn{100}, current(lsn{200}));
    made.sender.fail(true);
    CHECK(made.sender.failed());
    CHECK(made.sender.failure() == "no data left in message");
    CHECK_FALSE(made.sender.wants_wal());
    CHECK(made.sender.owes(phase::copy_both));
    made.sender.fail(false);
    CHECK(made.sender.failure() == "insufficient data left in message");
    made.sender.end();
    CHECK_FALSE(made.sender.failed());
    CHECK_FALSE(made.sender.streaming());
    CHECK_FALSE(made.sender.owes(phase::idle));
}

TEST_CASE("the client's CopyDone: what was not begun is not sent, and ours follows") {
    stream made(lsn{0}, current({}));
    const buffer wal(200'000);
    CHECK(made.sender.lend(wal) == errc::none);
    CHECK(made.say().size() == 131072);
    CHECK(made.talk.receive(message::copy_done_in) == errc::none);
    made.sender.stop();
    CHECK_FALSE(made.sender.wants_wal());
    CHECK(made.sender.owes(phase::client_finished));
    made.written();
    CHECK(made.say().empty());
    CHECK(made.written() == hex("63 00000004"));
    CHECK(made.talk.at() == phase::both_finished);
    CHECK(made.sender.next() == lsn{131072});
}

TEST_CASE("the timeline ends before, in and after what is lent") {
    const buffer wal(1000);
    for (const std::uint64_t at : {100u, 150u, 600u, 1100u, 5000u}) {
        CAPTURE(at);
        stream made(lsn{100}, current(lsn{1100}));
        CHECK(made.sender.lend(wal) == errc::none);
        made.sender.end_timeline({2}, lsn{at});
        const std::size_t size = at > 1100 ? 1000 : at - 100;
        CHECK(made.say().size() == size);
        CHECK(made.sender.complete() == (at <= 1100));
        CHECK(made.sender.wants_wal() == (at > 1100));
        const buffer first = made.written();
        CHECK(made.say().empty());
        CHECK((size == 0 ? first : made.written()) == (at <= 1100 ? hex("63 00000004") : buffer{}));
        CHECK(made.talk.at() == (at <= 1100 ? phase::server_finished : phase::copy_both));
    }
    // Behind what was sent already: nothing more is.
    stream late(lsn{100}, current(lsn{1100}));
    CHECK(late.sender.lend(wal) == errc::none);
    CHECK(late.say().size() == 1000);
    late.sender.end_timeline({2}, lsn{500});
    late.written();
    late.say();
    CHECK(late.written() == hex("63 00000004"));
}

TEST_CASE("leaving: asks a little more often, and goodbye only when all is acknowledged") {
    stream made(lsn{100}, current(lsn{200}));
    made.sender.shut_down();
    CHECK_FALSE(made.sender.has_said_goodbye(phase::copy_both));
    const buffer wal(100);
    CHECK(made.sender.ping_deadline() == 30 * second); // there is WAL to send first
    CHECK(made.sender.lend(wal) == errc::none);
    made.say();
    made.written();
    CHECK(made.sender.ping_deadline() <= 0);
    made.sender.keep_time(0);
    made.say();
    CHECK(made.written().back() == std::byte{1});
    CHECK(made.sender.ping_deadline() == 250 * millisecond);
    CHECK(made.sender.control(report(200, 199, 0, false)));
    CHECK_FALSE(made.sender.has_said_goodbye(phase::copy_both));
    CHECK(made.sender.control(report(200, 200, 0, false)));
    CHECK(made.sender.has_said_goodbye(phase::copy_both));
    CHECK_FALSE(made.sender.has_said_goodbye(phase::server_finished));
    CHECK(made.sender.owes(phase::copy_both));
    made.sender.advance(lsn{201});
    CHECK_FALSE(made.sender.has_said_goodbye(phase::copy_both));
    made.sender.advance(lsn{150});
    CHECK(made.sender.end_of_wal() == lsn{201});
    // A replica that never flushes is believed what it wrote.
    stream wrote(lsn{100}, current(lsn{100}));
    wrote.sender.shut_down();
    CHECK(wrote.sender.control(report(100, 0, 0, false)));
    CHECK(wrote.sender.has_said_goodbye(phase::copy_both));
}
