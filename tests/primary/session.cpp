#include <walwire/primary/session.hpp>

#include <doctest/doctest.h>

#include "primary/client.hpp"
#include "support/no_alloc.hpp"

using namespace caller;
using primary::encryption;
using wire::phase;

static_assert(walwire::session<primary::session>);

namespace {

plan with(encryption tls) {
    plan made;
    made.options.tls = tls;
    return made;
}
plan holds(std::uint64_t size) {
    plan made;
    made.end = start + size;
    return made;
}
// A timeline that ended behind so many bytes.
plan history(std::uint64_t size) {
    plan made = holds(size);
    made.next = {5};
    made.switch_point = made.end;
    return made;
}
std::string sent(std::uint64_t from, std::size_t size, std::uint64_t end) {
    return "dw " + shown(start + from) + '+' + std::to_string(size) + ' ' + shown(start + end) +
           '\n';
}
const std::string farewell = "C START_STREAMING\nC START_REPLICATION\nZ I\n";
const std::string moved = "T next_tli:20 next_tli_startpos:25\n";

} // namespace

TEST_CASE("encryption is accepted, offered or declined, and GSSAPI's always is") {
    for (const encryption tls : {encryption::offered, encryption::required}) {
        server hears(with(tls));
        hears.feed(ssl_request());
        CHECK(hears.said == of("S"));
        CHECK(hears.events() == "tls\n");
        hears.feed(startup());
        CHECK(hears.events() == "tls\nlogin repl repl 3.0 encrypted\nin none\n");
    }
    server both_kinds(with(encryption::off));
    both_kinds.feed(ssl_request()).feed(gss_request()).feed(startup());
    CHECK(both_kinds.said[0] == std::byte{'N'});
    CHECK(both_kinds.said[1] == std::byte{'N'});
    CHECK(both_kinds.events() == "login repl repl 3.0\nin none\n");
    server other_way(with(encryption::offered));
    other_way.feed(gss_request()).feed(ssl_request()).feed(startup());
    CHECK(words(other_way.said, 2).starts_with("answer N\nanswer S\nR0"));
    CHECK(other_way.last() == "in none\n");
}

TEST_CASE("the handshake's bytes are left to it, and the deadline holds") {
    plan chosen = with(encryption::offered);
    chosen.admits = false;
    server hears(chosen);
    hears.feed(ssl_request());
    CHECK(hears.last() == "tls\n");
    CHECK(hears->secured(buffer(65)) == errc::argument_too_long);
    hears.feed(of("\x16\x03\x01"));
    CHECK(hears.left() == 3);
    CHECK(hears->deadline() == 61 * second);
    hears.wait_until(61 * second);
    CHECK(hears.last().starts_with("failed "));
    CHECK(hears.said.size() == 1);
}

TEST_CASE("TLS may come at once where that is on, and its bytes are not touched") {
    plan chosen = with(encryption::required);
    chosen.options.direct_tls = true;
    chosen.admits = false;
    server hears(chosen);
    hears.feed(of("\x16\x03\x01"));
    CHECK(hears.events() == "tls direct\n");
    CHECK(hears.left() == 3);
    CHECK(hears->deadline() == 61 * second); // no reason to hurry while they shake hands
    CHECK(hears.said.empty());
    bytes none;
    CHECK_FALSE(hears->poll(none, hears.now));
    CHECK(hears->secured() == errc::none);
    CHECK(hears->secured() == errc::not_now);

    chosen.options.direct_tls = false;
    CHECK(ending(chosen, of("\x16\x03\x01\x02\x00\x01\x00\x01")) ==
          failure(errc::message_too_large, 0));
    // A record's first byte may also be the length of something else, in the middle of a packet.
    chosen.options.direct_tls = true;
    chosen.admits = true;
    server middle(chosen);
    const buffer packet = hex("0000001600030000 'user'00'a'00'b'00'c'00 00 00");
    middle.feed(bytes(packet).first(3));
    middle.feed(bytes(packet).subspan(3));
    CHECK(middle.events().find("tls") == std::string::npos);
}

TEST_CASE("every command is told and answered in the style of the version") {
    const buffer asks = startup() + query("IDENTIFY_SYSTEM") + query("SHOW wal_segment_size") +
                        query("TIMELINE_HISTORY 3") + query("CREATE_REPLICATION_SLOT s PHYSICAL") +
                        query("DROP_REPLICATION_SLOT s");
    for (const int version : {12, 13, 14, 15, 16, 17, 18}) {
        CAPTURE(version);
        const std::string name = std::to_string(version) + ".3";
        plan chosen;
        chosen.version(name);
        const bool twelve = version == 12;
        buffer all = asks;
        std::string events = "login repl repl 3.0\nin none\nidentify\nshow wal_segment_size\n"
                             "history 3\ncreate s\ndrop s\n";
        if (version >= 15) {
            all = all + query("READ_REPLICATION_SLOT s") + query("READ_REPLICATION_SLOT t");
            events += "read s\nread t\n";
        }
        if (version >= 17) {
            all = all + query("ALTER_REPLICATION_SLOT s ( FAILOVER true )");
            events += "alter s\n";
        }
        CHECK(both(chosen, all, 20) == events);
        server hears(chosen);
        in(hears);
        hears.feed(bytes(all).subspan(startup().size()));
        const auto tag = [&](const std::string& command) {
            return "C " + (twelve ? "SELECT" : command) + "\nZ I\n";
        };
        std::string expected =
            std::string("T systemid:25 timeline:") + (version >= 16 ? "20" : "23") +
            " xlogpos:25 dbname:25\nD 18446744073709551615 3 0/3000000 null\n" +
            tag("IDENTIFY_SYSTEM") + "T wal_segment_size:25\nD 16MB\n" + tag("SHOW") +
            "T filename:25 content:" + (version < 14 ? "17" : "25") +
            "\nD 00000003.history 1\t0/1000000\tno recovery target specified\n\n" +
            tag("TIMELINE_HISTORY") +
            "T slot_name:25 consistent_point:25 snapshot_name:25 output_plugin:25\n"
            "D s 0/0 null null\n" +
            tag("CREATE_REPLICATION_SLOT") + (twelve ? "C DROP_REPLICATION_SLOT\n" : "") +
            tag("DROP_REPLICATION_SLOT");
        if (version >= 15)
            expected += "T slot_type:25 restart_lsn:25 restart_tli:20\nD physical 0/3000000 3\n" +
                        tag("READ_REPLICATION_SLOT") +
                        "T slot_type:25 restart_lsn:25 restart_tli:20\nD null null null\n" +
                        tag("READ_REPLICATION_SLOT");
        if (version >= 17) expected += tag("ALTER_REPLICATION_SLOT");
        CHECK(hears.heard() == expected);
        CHECK(hears->at() == phase::idle);
        CHECK(hears->deadline() == never);
    }
}

TEST_CASE("a history of any size is lent, with what follows behind it") {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{1'000'000}}) {
        server hears(plan{});
        hears.history = std::string(size, 'h');
        in(hears);
        hears.writes(false);
        hears.feed(query("TIMELINE_HISTORY 3") + query("SHOW a"));
        CHECK(hears->output().body.size() == size);
        CHECK(hears->refuse({"XX000", "no", {}, {}, false}) == errc::not_now);
        if (size > 0) {
            CHECK(hears->refuse({"XX000", "no", {}, {}, true}) == errc::output_full);
            CHECK(hears->notify({}) == errc::output_full);
        }
        while (hears.write(50'000)) hears.feed();
        CHECK(tail(hears.heard(), 6) == "C TIMELINE_HISTORY\nZ I\nT a:25\nD 16MB\nC SHOW\nZ I\n");
        CHECK(hears->at() == phase::idle);
    }
    server hears(plan{});
    hears.answers(false);
    in(hears).feed(query("TIMELINE_HISTORY 3"));
    const std::byte* nowhere = nullptr;
    CHECK(hears->answer(primary::history_content{{3}, {nowhere, std::size_t{1} << 31}}) ==
          errc::argument_too_long);
    CHECK(hears->answer(primary::history_content{{3}, {}}) == errc::none);
}

TEST_CASE("SQL: results in any number, then the end") {
    plan chosen;
    chosen.answers = false;
    server hears(chosen);
    in(hears).feed(query("select 1; select; create x"));
    CHECK(hears.news() == "sql select 1; select; create x\n");
    wire::column described;
    described.name = "?column?";
    described.type = wire::type_oid::int4;
    const std::optional<std::string_view> values[] = {"1"};
    CHECK(hears->end_results() == errc::not_now);
    CHECK(hears->row(values) == errc::not_now);
    CHECK(hears->columns({&described, 1}) == errc::none);
    CHECK(hears->columns({&described, 1}) == errc::not_now);
    CHECK(hears->row(values) == errc::none);
    CHECK(hears->complete("") == errc::not_now);
    CHECK(hears->end_results() == errc::not_now);
    CHECK(hears->row(values) == errc::none);
    CHECK(hears->complete("SELECT 2") == errc::none);
    CHECK(hears->complete("") == errc::none);
    CHECK(hears->complete("CREATE") == errc::none);
    CHECK(hears->complete() == errc::not_now);
    CHECK(hears->answer(primary::setting{"a", "b"}) == errc::not_now);
    CHECK(hears->end_results() == errc::none);
    CHECK(hears->end_results() == errc::not_now);
    hears.feed();
    CHECK(hears.heard() == "T ?column?:23\nD 1\nD 1\nC SELECT 2\nI\nC CREATE\nZ I\n");
    // An error ends it anywhere.
    hears.feed(query("select"));
    CHECK(hears->columns({&described, 1}) == errc::none);
    CHECK(hears->refuse(primary::sql_refused) == errc::none);
    CHECK(hears->row(values) == errc::not_now);
    hears.feed();
    CHECK(tail(hears.heard(), 2).starts_with("E ERROR 0A000 "));
    const std::vector<wire::column> many(65536, described);
    const std::vector<std::optional<std::string_view>> wide(65536);
    hears.feed(query("select"));
    CHECK(hears->columns(many) == errc::argument_too_long);
    CHECK(hears->row(wide) == errc::argument_too_long);
    CHECK(hears->complete("a\0b"sv) == errc::argument_too_long);
    CHECK(hears->complete("SELECT 0") == errc::none);
}

TEST_CASE("what does not fit is refused with output_full, and fits once the rest is written") {
    plan chosen;
    chosen.answers = false;
    chosen.out = 1200;
    server hears(chosen);
    in(hears).feed(query("select"));
    hears.writes(false);
    wire::column described;
    const std::string name(300, 'n');
    described.name = name;
    CHECK(hears->columns({&described, 1}) == errc::none);
    const std::string value(500, 'v');
    const std::optional<std::string_view> values[] = {value};
    CHECK(hears->row(values) == errc::none);
    const std::size_t before = hears->output().size();
    CHECK(hears->row(values) == errc::output_full);
    CHECK(hears->complete(value) == errc::output_full);
    CHECK(hears->refuse({"XX000", value, {}, {}, false}) == errc::output_full);
    CHECK(hears->refuse({"XX000", value, {}, {}, true}) == errc::output_full);
    CHECK(hears->notify(notice(value)) == errc::output_full);
    CHECK(hears->output().size() == before);
    CHECK(hears->at() == phase::rows);
    hears.write();
    CHECK(hears->row(values) == errc::none);
    hears.write();
    const std::string huge(2000, 'v');
    const std::optional<std::string_view> never_fits[] = {huge};
    CHECK(hears->row(never_fits) == errc::argument_too_long);
    CHECK(hears->complete("SELECT 2") == errc::none);
    CHECK(hears->end_results() == errc::none);
    hears.write();
    CHECK(tail(hears.heard(), 2) == "C SELECT 2\nZ I\n");

    hears.feed(query("SHOW a"));
    CHECK(hears->answer(primary::setting{"a", huge}) == errc::argument_too_long);
    CHECK(hears->answer(primary::setting{"a\0b"sv, "x"}) == errc::argument_too_long);
    CHECK(hears->answer(primary::setting{"a", "b"}) == errc::none);
}

TEST_CASE("pipelined commands wait for the answer before, and are answered in order") {
    plan chosen;
    server hears(chosen);
    in(hears);
    hears.writes(false);
    const buffer more = query("SHOW b") + sync_message() + query("SHOW c");
    hears.feed(query("SHOW a") + more);
    CHECK(hears.news() == "show a\n");
    CHECK(hears.left() == more.size());
    CHECK(hears->deadline() == 61 * second); // the client may be slow, but not for ever
    while (hears.left() > 0) {
        CHECK(hears.write(3));
        hears.feed();
    }
    hears.write();
    CHECK(hears.news() == "show b\nshow c\n");
    CHECK(hears.heard() == "T a:25\nD 16MB\nC SHOW\nZ I\nT b:25\nD 16MB\nC SHOW\nZ I\nZ I\n"
                           "T c:25\nD 16MB\nC SHOW\nZ I\n");
    // An adapter that has written all is told to come back for what it kept.
    hears.feed(query("SHOW a") + query("SHOW b"));
    CHECK(hears.news() == "show a\n");
    hears.write();
    CHECK(hears->deadline() == INT64_MIN);
    hears.feed();
    CHECK(hears.news() == "show b\n");
}

TEST_CASE("commands that do not parse, and logical ones without a database, are refused here") {
    server hears(plan{});
    in(hears).feed(query("START_REPLICATION 0/0 TIMELINE 0") + query("SHOW") +
                   query("CREATE_REPLICATION_SLOT s LOGICAL p") +
                   query("START_REPLICATION SLOT s LOGICAL 0/0") + query("SHOW a"));
    CHECK(hears.news() == "show a\n");
    CHECK(hears->errors_said() == 4);
    const std::string all = hears.heard();
    CHECK(all.starts_with("E ERROR 42601 "));
    CHECK(all.find("E ERROR 55000 logical decoding requires a database connection\nZ I\n"
                   "E ERROR 55000 logical decoding requires a database connection\nZ I\n") !=
          std::string::npos);
    plan chosen;
    chosen.answers = false;
    server bound(chosen);
    bound.feed(startup("user\0repl\0replication\0database\0"sv));
    bound.news();
    bound.feed(query("START_REPLICATION SLOT s LOGICAL 0/0"));
    CHECK(bound.news() == "logical\n");
    CHECK(bound->errors_said() == 0);
    CHECK(bound->refuse({"0A000", "no", {}, {}, false}) == errc::none);
    CHECK(bound->errors_said() == 1);
    bound.feed();
    const std::string name(70, 'a');
    bound.heard();
    bound.feed(query("DROP_REPLICATION_SLOT " + name));
    CHECK(bound.news() == "drop " + name.substr(0, 63) + "\n");
    CHECK(bound.heard().starts_with("N NOTICE 42622 identifier \"" + name + "\" will be"));
}

TEST_CASE("the extended protocol is refused once and passed over until Sync") {
    server hears(plan{});
    const std::string refused = "E ERROR 08P01 extended query protocol not supported in a "
                                "replication connection\n";
    in(hears);
    for (const char tag : {'P', 'B', 'D', 'E', 'C'}) {
        hears.feed(message(tag, text("x")) + message('P', {}) + query("SHOW a") +
                   copy_data(buffer(100'000)) + copy_done() + message('f', text("x")) +
                   message('F', {}) + header('H', 4) + sync_message() + sync_message() +
                   query("SHOW b"));
        CHECK(hears.news() == "show b\n");
        CHECK(hears.heard() == refused + "Z I\nZ I\nT b:25\nD 16MB\nC SHOW\nZ I\n");
    }
    hears.feed(message('F', buffer(10)) + header('H', 4) + sync_message());
    CHECK(hears.heard() == "E ERROR 08P01 fastpath function calls not supported in a replication "
                           "connection\nZ I\nZ I\n");
    CHECK(hears.news().empty());
    hears.feed(message('P', {}) + terminate());
    CHECK(hears.last() == "closed terminated\n");
}

TEST_CASE("WAL streams from memory that is lent, and given back when more is wanted") {
    plan chosen = holds(300'000);
    chosen.lent_at_once = 70'001;
    server hears(chosen);
    in(hears).feed(start_streaming("0/3000064"));
    std::string expected = "W\n";
    for (std::uint64_t at = 100; at < 300'000; at += 70'001) {
        const std::uint64_t size = std::min<std::uint64_t>(70'001, 300'000 - at);
        expected += sent(at, size, 300'000);
    }
    CHECK(hears.heard() == expected);
    CHECK(hears->wants_wal());
    CHECK(hears->next() == start + 300'000);
    hears.feed(status(start.value + 300'000, start.value + 200'000, start.value + 100));
    CHECK(hears->progress().written() == start + 300'000);
    CHECK(hears->progress().flushed() == start + 200'000);
    CHECK(hears->progress().applied() == start + 100);
    hears.feed(feedback(7));
    CHECK(hears.news() == "start 0/3000064\nr 0/30493E0 0/3030D40 0/3000064\nh 7\n");
}

TEST_CASE(
    "whatever the writes are cut into, the stream is the same, and nothing is given back early") {
    std::string whole;
    for (const std::size_t piece : {SIZE_MAX, std::size_t{1}, std::size_t{29}, std::size_t{30},
                                    std::size_t{31}, std::size_t{999}}) {
        CAPTURE(piece);
        plan chosen = holds(3000);
        chosen.lent_at_once = 701;
        chosen.writes = false;
        server hears(chosen);
        hears.feed(startup());
        hears.write();
        hears.feed(start_streaming());
        while (hears.write(piece)) {
            CHECK((!hears->wants_wal() || hears->output().body.empty()));
            hears.feed();
        }
        if (whole.empty()) whole = shown(hears.said);
        CHECK(shown(hears.said) == whole);
        CHECK(words(hears.said).find("wrong") == std::string::npos);
    }
    // One message, written in two parts cut at every place.
    for (std::size_t at = 1; at < 130; ++at) {
        plan chosen = holds(100);
        server hears(chosen);
        in(hears);
        hears.writes(false);
        hears.feed(start_streaming());
        hears.write(8); // W
        hears.feed();
        hears.write(at);
        CHECK(hears->wants_wal() == (at == 130));
        hears.feed(status(0, 0, 0, true)); // answered behind the body
        while (hears.write(1000)) hears.feed();
        CHECK(hears.heard() == "W\n" + sent(0, 100, 100) + "dk 0/3000064\n");
    }
}

TEST_CASE("a client that says nothing is asked at half the timeout, and dropped at the end of it") {
    server hears(holds(0));
    stream(hears);
    CHECK(hears->deadline() == 31 * second);
    hears.wait_until(31 * second - 1);
    CHECK(hears.heard().empty());
    hears.wait_until(31 * second);
    CHECK(hears.heard() == "dk 0/3000000 reply\n");
    CHECK(hears->deadline() == 61 * second);
    hears.now.steady = 40 * second;
    hears.feed(status(0, 0, 0));
    CHECK(hears->deadline() == 70 * second);
    hears.wait_until(70 * second).wait_until(100 * second - 1);
    CHECK(hears.heard() == "dk 0/3000000 reply\n");
    CHECK_FALSE(hears->over());
    hears.wait_until(100 * second);
    CHECK(hears.last() ==
          failure(errc::silence_timeout, streaming().size() + status(0, 0, 0).size()));
    CHECK(hears.heard().empty());
    CHECK(hears->deadline() == never);
}

TEST_CASE("a client that never reads is dropped, while it streams and while it does not") {
    for (const bool streams : {false, true}) {
        plan chosen = holds(100'000);
        server hears(chosen);
        in(hears);
        hears.writes(false);
        hears.feed((streams ? start_streaming() : query("SHOW a")) + copy_done() + query("SHOW b"));
        for (int i = 0; i < 100 && !hears->over(); ++i) {
            CHECK(hears->deadline() > hears.now.steady);
            hears.wait_until(hears->deadline());
        }
        CHECK(hears->over());
        CHECK(hears.now.steady == 61 * second);
    }
    // One that reads a little now and then is not.
    server slow(plan{});
    in(slow);
    slow.writes(false);
    slow.feed(query("SHOW a"));
    for (int i = 1; i < 20; ++i) {
        slow.write(1);
        slow.wait_until(slow.now.steady + 59 * second);
    }
    CHECK_FALSE(slow->over());
    slow.wait_until(slow.now.steady + 60 * second);
    CHECK(slow->over());
}

TEST_CASE("an owner who takes long to answer does not spend the client's time") {
    plan chosen;
    chosen.answers = chosen.writes = false;
    server hears(chosen);
    hears.feed(startup());
    hears.write();
    hears.feed(query("SHOW a"));
    CHECK(hears->deadline() == never);
    hears.now.steady += 1000 * second;
    CHECK(hears->answer(primary::setting{"a", "b"}) == errc::none);
    hears.feed();
    CHECK_FALSE(hears->over());
    CHECK(hears->deadline() == hears.now.steady + 60 * second);
    hears.write();
    hears.feed(start_streaming());
    hears.now.steady += 1000 * second;
    CHECK(hears->stream({{3}, start, {}, {}}) == errc::none);
    hears.feed();
    CHECK_FALSE(hears->over());
    CHECK(hears->deadline() == hears.now.steady + 30 * second);
}

TEST_CASE("replies that were asked for are given once, however often they were asked for") {
    server hears(holds(0));
    stream(hears);
    hears.feed(status(0, 0, 0, true) + status(0, 0, 0, true) + status(0, 0, 0, true));
    CHECK(hears.heard().size() <= 3 * "dk 0/3000000\n"s.size());
    hears.writes(false);
    buffer many;
    for (int i = 0; i < 1000; ++i) many = many + status(0, 0, 0, true);
    hears.feed(many);
    CHECK(hears->output().size() <= out_size);
    hears.writes(true);
    hears.feed();
    CHECK(hears.heard() == "dk 0/3000000\ndk 0/3000000\n"); // one had been said already
    hears->advance(start + 50);
    hears.feed(status(0, 0, 0, true));
    CHECK(hears.heard() == "dk 0/3000032\n");
}

TEST_CASE("the client stops: at once, and in the middle of a body") {
    for (const std::size_t written : {0u, 1u, 8u, 9u, 37u, 38u, 39u, 100u, 138u}) {
        CAPTURE(written);
        plan chosen = holds(300'000);
        chosen.lent_at_once = 100;
        server hears(chosen);
        in(hears);
        hears.writes(false);
        hears.feed(start_streaming());
        hears.write(written);
        hears.feed(copy_done() + query("SHOW a"));
        CHECK(hears.left() > 0);
        hears.writes(true);
        hears.feed();
        const std::string all = hears.heard();
        CHECK(
            all ==
            "W\n" +
                (written >= 8 || all.find("dw") != std::string::npos ? sent(0, 100, 300'000) : "") +
                "c\n" + farewell + "T a:25\nD 16MB\nC SHOW\nZ I\n");
        CHECK(hears.news() == "start 0/3000000\nstream stopped\nshow a\n");
        CHECK_FALSE(hears->streaming());
        CHECK(hears->send(buffer(1)) == errc::not_now);
    }
    plan twelve = holds(0);
    server old(twelve.version("12.1"));
    stream(old).feed(copy_done());
    CHECK(old.heard() == "c\nC START_STREAMING\nC SELECT\nZ I\n");
}

TEST_CASE("the end of a timeline: before it, at it, behind it") {
    server hears(history(10'000));
    stream(hears);
    CHECK(hears.last() == "start 0/3000000\n");
    CHECK(hears->at() == phase::server_finished);
    CHECK_FALSE(hears->wants_wal());
    hears.feed(status(1, 1, 1, true)); // on its way when ours went out
    CHECK(hears.heard().empty());
    hears.feed(copy_done());
    CHECK(hears.heard() == moved + "D 5 0/3002710\n" + farewell);
    CHECK(hears.last() == "stream timeline\n");

    hears.feed(start_streaming("0/3002710"));
    CHECK(hears.heard() == moved + "D 5 0/3002710\n" + farewell);
    CHECK(hears.last() == "stream timeline\n");
    hears.feed(start_streaming("0/3002711"));
    CHECK(hears.heard() == "E ERROR XX000 requested starting point 0/3002711 on timeline 3 is not "
                           "in this server's history\nZ I\n");
    CHECK(hears.last() == "stream refused\n");
    CHECK(hears->at() == phase::idle);
}

TEST_CASE("a promotion ends the timeline before, in and after what is under way") {
    for (const std::uint64_t at : {50u, 100u, 5000u, 8192u, 10'000u}) {
        CAPTURE(at);
        plan chosen = holds(10'000);
        server hears(chosen);
        in(hears);
        hears.writes(false);
        hears.feed(start_streaming());
        hears.write(8 + 15);
        CHECK(hears->end_timeline({3}, start + at) == errc::argument_invalid);
        CHECK(hears->end_timeline({4}, start + at) == errc::none);
        hears.writes(true);
        hears.feed();
        // The message that had begun stays whole.
        CHECK(hears.heard() == "W\n" + sent(0, 10'000, 10'000) + "c\n");
        hears.feed(copy_done());
        CHECK(hears.heard() == moved + "D 4 " + shown(start + at) + "\n" + farewell);
        CHECK(hears.last() == "stream timeline\n");
    }
    // Later than all that there is: the rest is still wanted.
    server hears(holds(100));
    stream(hears);
    CHECK(hears->end_timeline({4}, start + 150) == errc::none);
    CHECK(hears->wants_wal());
    CHECK(hears->send(buffer(51)) == errc::argument_too_long);
    hears.end = start + 150;
    hears.feed();
    CHECK(hears.heard().ends_with("c\n"));
    // The client stops before: it is told where to go on all the same.
    server early(holds(100));
    stream(early);
    CHECK(early->end_timeline({4}, start + 150) == errc::none);
    early.feed(copy_done());
    CHECK(early.heard().ends_with("c\n" + moved + "D 4 0/3000096\n" + farewell));
    CHECK(early.last() == "stream stopped\n");
}

TEST_CASE("a start that is ahead of the log is accepted and refused at once") {
    server hears(holds(100));
    in(hears).feed(start_streaming("0/3000065"));
    CHECK(hears.heard() == "W\nE ERROR XX000 requested starting point 0/3000065 is ahead of the "
                           "WAL flush position of this server 0/3000064\nZ I\n");
    CHECK(hears.news() == "start 0/3000065\nstream refused\n");
    hears.feed(start_streaming("0/3000064"));
    CHECK(hears.heard() == "W\n");
    CHECK(hears->streaming());
    plan chosen;
    chosen.answers = false;
    server asked(chosen);
    in(asked).feed(start_streaming());
    CHECK(asked->stream({{4}, start, {}, {}}) == errc::argument_invalid);
    CHECK(asked->stream({{3}, start, {3}, start}) == errc::argument_invalid);
    CHECK(asked->stream({{3}, start, {4}, start + 1}) == errc::none);
}

TEST_CASE("a stream is refused between two messages, and the next command is read") {
    plan chosen = holds(100);
    server hears(chosen);
    stream(hears);
    CHECK(hears->refuse({"58P01", "gone", {}, {}, false}) == errc::none);
    hears.feed(status(1, 1, 1) + copy_done() + copy_data(buffer(3'000'000)) + query("SHOW a"));
    CHECK(hears.news() == "stream refused\nshow a\n");
    CHECK(hears.heard() == "E ERROR 58P01 gone\nZ I\nT a:25\nD 16MB\nC SHOW\nZ I\n");
    // Not in the middle of a body.
    server middle(chosen);
    in(middle);
    middle.writes(false);
    middle.feed(start_streaming());
    middle.write(50);
    CHECK(middle->refuse({"58P01", "gone", {}, {}, false}) == errc::output_full);
    CHECK(middle->refuse({"58P01", "gone", {}, {}, true}) == errc::output_full);
    CHECK(middle->notify({}) == errc::output_full);
    middle.write();
    CHECK(middle->notify(notice("soon")) == errc::none);
    CHECK(middle->refuse({"58P01", "gone", {}, {}, true}) == errc::none);
    middle.feed();
    CHECK(middle.last() == "closed refused\n");
    middle.write();
    CHECK(tail(middle.heard(), 2) == "N NOTICE 00000 soon\nE FATAL 58P01 gone\n");
}

TEST_CASE("what is refused while a body is under way is refused once that is written") {
    plan chosen = holds(400'000);
    server hears(chosen);
    in(hears);
    hears.writes(false);
    hears.feed(start_streaming());
    const primary::refusal cancelled{"57014", "canceled", {}, {}, false};
    while (hears->output().body.size() > 1) {
        CHECK(hears->refuse(cancelled) == errc::output_full);
        hears.write(10'000 < hears->output().size() ? 10'000 : hears->output().size() - 1);
    }
    CHECK(hears->refuse(cancelled) == errc::output_full);
    hears.write();
    CHECK(hears->refuse(cancelled) == errc::none); // the rest of what is lent is not begun
    hears.writes(true);
    hears.feed();
    CHECK(hears.heard() == "W\ndw 0/3000000+131072 0/3061A80\nE ERROR 57014 canceled\nZ I\n");
    CHECK(hears.news() == "start 0/3000000\nstream refused\n");
    CHECK(hears->refuse(cancelled) == errc::not_now);
    hears.feed(query("SHOW a"));
    CHECK(hears.last() == "show a\n");
}

TEST_CASE("a refusal in the middle of a status does not lose the thread") {
    const buffer late = status(1, 2, 3);
    for (std::size_t at = 0; at <= late.size(); ++at) {
        CAPTURE(at);
        server hears(holds(0));
        stream(hears);
        hears.feed(bytes(late).first(at));
        hears.news();
        CHECK(hears->refuse({"58P01", "gone", {}, {}, false}) == errc::none);
        hears.feed(bytes(late).subspan(at));
        hears.feed(query("SHOW a"));
        CHECK(hears.news() == "stream refused\nshow a\n");
    }
}

TEST_CASE("shut down: a stream goes on until all is acknowledged; others go at once") {
    plan chosen = holds(100);
    server hears(chosen);
    stream(hears);
    CHECK(hears->shut_down() == errc::none);
    hears.feed();
    CHECK(hears.heard() == "dk 0/3000064 reply\n");
    CHECK(hears->deadline() == hears.now.steady + 250 * millisecond);
    hears.wait_until(hears->deadline());
    CHECK(hears.heard() == "dk 0/3000064 reply\n");
    hears.feed(status(start.value + 100, start.value + 99, 0));
    CHECK_FALSE(hears->over());
    hears.end = start + 120;
    hears->advance(hears.end);
    hears.feed(status(start.value + 100, start.value + 100, 0));
    CHECK_FALSE(hears->over());
    CHECK(hears.heard() == sent(100, 20, 120));
    hears.feed(status(start.value + 120, start.value + 120, 0));
    CHECK(hears.last() == "closed shut down\n");
    CHECK(hears.heard() == "C COPY 0\n");

    const std::string goodbye =
        "E FATAL 57P01 terminating connection due to administrator command\n";
    server idle(chosen);
    CHECK(in(idle)->shut_down() == errc::none);
    idle.feed();
    CHECK(idle.last() == "closed shut down\n");
    CHECK(idle.heard() == goodbye);
    server fresh(chosen);
    CHECK(fresh->shut_down() == errc::none);
    fresh.feed(startup());
    CHECK(fresh.events() == "closed shut down\n");
    CHECK(fresh.heard() == goodbye);
    server skipping(chosen);
    in(skipping).feed(message('P', {}));
    CHECK(skipping->shut_down() == errc::none);
    skipping.feed();
    CHECK(tail(skipping.heard(), 1) == goodbye);

    // A command under way is answered first, and a stream that it opens is streamed.
    plan quiet = chosen;
    quiet.answers = false;
    server asked(quiet);
    in(asked).feed(query("SHOW a"));
    CHECK(asked->shut_down() == errc::none);
    asked.feed();
    CHECK_FALSE(asked->over());
    CHECK(asked->answer(primary::setting{"a", "b"}) == errc::none);
    asked.feed();
    CHECK(asked.heard() == "T a:25\nD b\nC SHOW\nZ I\n" + goodbye);
    CHECK(asked.last() == "closed shut down\n");
    server late(quiet);
    in(late).feed(start_streaming());
    CHECK(late->shut_down() == errc::none);
    late.answers(true);
    CHECK(late->stream({{3}, start + 100, {}, {}}) == errc::none);
    late.feed();
    late.feed(status(start.value + 100, start.value + 100, 0));
    CHECK(late.last() == "closed shut down\n");
    CHECK(tail(late.heard(), 1) == "C COPY 0\n");

    // An upload is not waited for, unless it is whole; nor is somebody who has a password to tell.
    const auto uploads = [](server& takes) -> server& {
        in(takes).feed(query("UPLOAD_MANIFEST"));
        CHECK(takes->accept_manifest() == errc::none);
        takes.feed(copy_data(of("{ ")));
        return takes;
    };
    server midway(quiet);
    CHECK(uploads(midway)->shut_down() == errc::none);
    midway.feed();
    CHECK(midway.last() == "closed shut down\n");
    CHECK(midway.heard() == "G\n" + goodbye);
    server whole(quiet);
    uploads(whole).feed(copy_done());
    CHECK(whole->shut_down() == errc::none);
    CHECK_FALSE(whole.feed()->over());
    CHECK(whole->complete() == errc::none);
    whole.feed();
    CHECK(whole.heard() == "G\nC UPLOAD_MANIFEST\nZ I\n" + goodbye);
    plan knocks = quiet;
    knocks.admits = false;
    for (const auth::method how : {auth::method::none, auth::method::password}) {
        server knocking(knocks);
        knocking.feed(startup());
        CHECK(knocking->shut_down() == errc::none);
        CHECK_FALSE(knocking->over());
        CHECK(knocking->admit(how) == errc::none);
        knocking.feed();
        CHECK(knocking.last() == "closed shut down\n");
        CHECK(knocking.heard() == goodbye);
    }

    // The client stops, or the timeline has ended: then the ordinary end, and goodbye.
    server stops(chosen);
    stream(stops)->shut_down();
    stops.feed(copy_done());
    CHECK(stops.heard().ends_with("c\n" + farewell + goodbye));
    server ends(history(100));
    stream(ends)->shut_down();
    ends.feed(status(start.value + 100, start.value + 100, 0));
    CHECK_FALSE(ends->over());
    ends.feed(copy_done());
    CHECK(ends.heard().ends_with(moved + "D 5 0/3000064\n" + farewell + goodbye));
    // A silent client does not keep the server for ever.
    server silent(chosen);
    stream(silent)->shut_down();
    for (int i = 0; i < 1000 && !silent->over(); ++i)
        silent.wait_until(std::max(silent->deadline(), silent.now.steady));
    CHECK(silent.now.steady == 61 * second);
    CHECK(silent.last().starts_with("failed "));
}

TEST_CASE("shut down: a client that tells what it has flushed, and nothing else, has it all") {
    server hears(holds(100));
    stream(hears);
    CHECK(hears->shut_down() == errc::none);
    hears.feed(status(0, start.value + 99, 0));
    CHECK_FALSE(hears->over());
    CHECK(hears->progress().flushed() == start + 99);
    hears.feed(status(0, start.value + 100, 0));
    CHECK(hears.last() == "closed shut down\n");
}

TEST_CASE("the client goes: with a word, between two commands, in the middle of something") {
    const plan chosen = holds(0);
    CHECK(both(chosen, startup() + terminate() + query("SHOW a")) ==
          "login repl repl 3.0\nin none\nclosed terminated\n");
    CHECK(ending(chosen, streaming() + terminate()) == "closed terminated\n");
    const auto hung_up = [&](const buffer& behind) {
        server hears(chosen);
        hears.feed(behind);
        hears.finish();
        CHECK(hears->over());
        CHECK(hears->deadline() == never);
        return hears.last();
    };
    CHECK(hung_up({}) == "closed terminated\n");
    CHECK(hung_up(startup()) == "closed terminated\n");
    CHECK(hung_up(startup() + query("SHOW a")) == "closed terminated\n");
    const buffer part = startup() + header('Q', 20);
    CHECK(hung_up(part) == failure(errc::connection_lost, part.size()));
    CHECK(hung_up(hex("00")) == failure(errc::connection_lost, 1));
    CHECK(hung_up(streaming()) == failure(errc::connection_lost, streaming().size()));
    // What came before is still answered.
    server hears(chosen);
    in(hears);
    hears.writes(false);
    hears.feed(query("SHOW a") + query("SHOW b"));
    hears.finish();
    CHECK_FALSE(hears->over());
    CHECK(hears->deadline() > hears.now.steady); // nothing to do before it reads
    hears.writes(true);
    hears.feed();
    CHECK(hears.events().ends_with("show a\nshow b\nclosed terminated\n"));
    CHECK(tail(hears.heard(), 4) == "T b:25\nD 16MB\nC SHOW\nZ I\n");
}

TEST_CASE("one long conversation, cut anywhere, is the same") {
    plan chosen = holds(5000);
    chosen.how = auth::method::password;
    chosen.secret = "pencil";
    chosen.lent_at_once = 1500;
    const buffer all = startup() + password("pencil") + query("IDENTIFY_SYSTEM") +
                       query("nonsense") + message('P', {}) + sync_message() +
                       query("TIMELINE_HISTORY 3") + start_streaming("0/3001388") +
                       status(1, 1, 1, true) + feedback() + copy_data(of("p") + buffer(8)) +
                       copy_done() + status(1, 1, 1) + copy_data(buffer(20'000)) + copy_done() +
                       start_streaming("0/4000000") + copy_done() + query("SHOW a") +
                       copy_data({}) + terminate();
    CHECK(both(chosen, all, 400) ==
          "login repl repl 3.0\nin password\nidentify\nsql nonsense\nhistory 3\nstart 0/3001388\n"
          "r 0/1 0/1 0/1 reply\nh 0\np\nstream stopped\nstart 0/4000000\nstream refused\nshow a\n"
          "closed terminated\n");
}

TEST_CASE("nothing allocates, and nothing is read beyond the input or written beyond the rooms") {
    const support::guarded stash(stash_size), out(out_size);
    primary::options chosen = plan::usual();
    const buffer wal(100'000, std::byte{1});
    const buffer client = streaming() + status(1, 1, 1, true) + feedback() + copy_done() +
                          query("SHOW a") + query("DROP_REPLICATION_SLOT s") + terminate();
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, client.size()}) {
        primary::session session(chosen, {stash.span(), out.span()});
        std::size_t events = 0;
        bool closed = false;
        const support::allocations made;
        buffer* const none = nullptr;
        static_cast<void>(none);
        for (std::size_t at = 0; at < client.size();) {
            const std::size_t size = std::min(piece, client.size() - at);
            bytes rest = bytes(client).subspan(at, size);
            while (const auto told = session.poll(rest, {1, 1})) {
                ++events;
                if (std::holds_alternative<primary::login_requested>(*told))
                    static_cast<void>(session.admit(auth::method::none));
                if (std::holds_alternative<primary::start_replication>(*told))
                    static_cast<void>(session.stream({{3}, start + wal.size(), {}, {}}));
                if (const auto* shown = std::get_if<primary::show>(&*told))
                    static_cast<void>(session.answer(primary::setting{shown->name, "x"}));
                if (std::holds_alternative<primary::drop_replication_slot>(*told))
                    static_cast<void>(session.complete());
                closed = closed || std::holds_alternative<primary::closed>(*told);
            }
            if (session.wants_wal() && session.next() < start + wal.size())
                static_cast<void>(session.send(wal));
            session.consume(session.output().size());
            at += size - rest.size();
        }
        const auto count = made.count();
        CHECK(count == 0);
        CHECK(closed);
        CHECK(events == 9);
    }
}
