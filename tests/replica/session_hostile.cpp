#include <walwire/replica/session.hpp>

#include <doctest/doctest.h>

#include "replica/dialogue.hpp"

using namespace dialogue;

namespace {

plan identifies() {
    return asks(wire::identify_system{});
}
plan shows() {
    return asks(wire::show{"wal_segment_size"});
}

} // namespace

TEST_CASE("49: errors and notices without fields, without end, with unknown and double codes") {
    using namespace std::literals;
    const auto body = [](char tag, std::string_view text) { return message(tag, text); };
    for (const char tag : {'E', 'N'}) {
        refuses(identifies(), trusted(),
                {{"no end", body(tag, "SERROR\0C57014\0"sv), errc::malformed_message},
                 {"no NUL", body(tag, "SERROR"), errc::malformed_message},
                 {"nothing", body(tag, ""), errc::malformed_message},
                 {"bytes behind", body(tag, "SERROR\0\0x"sv), errc::malformed_message},
                 {"30 MB", large(tag, 30'000'000), errc::message_too_large}});
        const std::string name = tag == 'E' ? "error " : "notice ";
        takes(identifies(), trusted(),
              {{"no field", body(tag, "\0"sv), name + " "},
               {"unknown codes", body(tag, "C57014\0!?\0\x7f\0\xffx\0\0"sv), name + "57014 "},
               {"codes twice", body(tag, "C1\0C57014\0Ma\0Mb\0\0"sv), name + "57014 b"},
               {"escape sequences", body(tag, "M\x1b]0;x\x07\0\0"sv), name + "  ]0;x "}});
    }
    // As long as the limit, and one byte beyond.
    plan chosen = identifies();
    const std::size_t most = chosen.options.limits.message_size_max;
    const auto padded = [](std::size_t size) {
        return message('N', of("M" + std::string(size - 3, 'x')) + buffer(2));
    };
    CHECK(ending(chosen, trusted() + padded(most), 5).size() > most - 10);
    refuses(chosen, trusted(), {{"one beyond", padded(most + 1), errc::message_too_large}});
}

TEST_CASE("50: S without NUL or name, and a million of them") {
    const buffer before = authentication(0);
    refuses(plan{}, before,
            {{"no NUL", message('S', "a"), errc::malformed_message},
             {"one NUL", message('S', of("a") + buffer(1)), errc::malformed_message},
             {"no name", message('S', buffer(2)), errc::malformed_message},
             {"three texts", message('S', of("a") + buffer(3)), errc::malformed_message},
             {"nothing", message('S', ""), errc::malformed_message}});
    buffer many = before;
    for (int i = 0; i < 256; ++i) many = many + parameter("a", "");
    refuses(plan{}, many, {{"one more than 256", parameter("a", ""), errc::too_many}});
    // The limit holds up to the first ready.
    buffer later = trusted();
    for (int i = 0; i < 300; ++i) later = later + parameter("a", "");
    takes(plan{}, later, {{"settings that change all the time", {}, "parameter a"}});
}

TEST_CASE("51: T with a count of -1 or 65535 or no end, D that is not as T said or not itself") {
    const buffer one = columns(1);
    const auto t = [](const char* hex) { return message('T', spelled::hex(hex)); };
    const auto d = [](const char* hex) { return message('D', spelled::hex(hex)); };
    refuses(
        shows(), trusted(),
        {{"-1", t("ffff"), errc::row_invalid},
         {"one of two", message('T', spelled::hex("0002") + of(bytes(one).subspan(7))),
          errc::row_invalid},
         {"a name without end", t("0001 'name'"), errc::row_invalid},
         {"bytes behind", message('T', of(bytes(one).subspan(5)) + buffer(1)), errc::row_invalid},
         {"nothing", t(""), errc::row_invalid}});
    refuses(shows(), trusted() + one,
            {{"two values", row({"a", "b"}), errc::row_invalid},
             {"no value", row({}), errc::row_invalid},
             {"65535 values", d("ffff"), errc::row_invalid},
             {"a size of -2", d("0001 fffffffe"), errc::row_invalid},
             {"a size beyond the message", d("0001 00000005 'four'"), errc::row_invalid},
             {"a size of 2^31 - 1", d("0001 7fffffff 'x'"), errc::row_invalid},
             {"bytes behind", d("0001 00000001 'xy'"), errc::row_invalid},
             {"half a size", d("0001 0000"), errc::row_invalid},
             {"nothing", d(""), errc::row_invalid}});
    plan narrow = shows();
    narrow.options.limits.columns_max = 3;
    refuses(narrow, trusted(), {{"one column beyond", columns(4), errc::row_invalid}});
    takes(narrow, trusted() + columns(3), {{"no column beyond", row({"", "x", ""}), "setting x"}});
    // The row behind a finished stream is no exception.
    refuses(streams(), streaming() + copy_done() + columns(2),
            {{"three values", row({"4", "0/3000000", "x"}), errc::row_invalid}});
}

TEST_CASE("52: D without T, T twice, Z too early or of an unknown state, C that is none") {
    using namespace std::literals;
    refuses(shows(), trusted(),
            {{"D without T", row({"16MB"}), errc::unexpected_message},
             {"Z at once", ready(), errc::unexpected_message},
             {"C without a NUL", message('C', "SHOW"), errc::malformed_message},
             {"C without anything", message('C', ""), errc::malformed_message},
             {"C with two texts", message('C', "SHOW\0SHOW\0"sv), errc::malformed_message},
             {"I with a tag", message('I', "SHOW\0"sv), errc::malformed_message},
             {"no row", completed(), errc::answer_invalid},
             {"no row and no tag", message('I', ""), errc::answer_invalid},
             {"G", message('G', buffer(3)), errc::unexpected_message},
             {"H", message('H', buffer(3)), errc::unexpected_message},
             {"W", copy_both(), errc::unexpected_message},
             {"d", keepalive(start), errc::unexpected_message},
             {"c", copy_done(), errc::unexpected_message},
             {"R0", authentication(0), errc::unexpected_message}});
    refuses(shows(), trusted() + columns(1),
            {{"T again", columns(1), errc::unexpected_message},
             {"Z in the rows", ready(), errc::unexpected_message},
             {"W in the rows", copy_both(), errc::unexpected_message}});
    const buffer answered = trusted() + columns(1) + row({"16MB"}) + completed();
    refuses(shows(), answered,
            {{"state 0", ready('\0'), errc::malformed_message},
             {"state i", ready('i'), errc::malformed_message},
             {"no state", message('Z', ""), errc::malformed_message},
             {"two states", message('Z', "II"), errc::malformed_message}});
    refuses(streams(), streaming(), {{"Z in a copy", ready(), errc::unexpected_message}});
    refuses(plan{}, trusted(),
            {{"Z twice", ready(), errc::unexpected_message},
             {"an answer to nothing", columns(1), errc::unexpected_message},
             {"an ERROR of nothing", mistake("57014"), errc::unexpected_message}});
    refuses(shows(), trusted() + mistake("42704"),
            {{"ERROR twice", mistake("42704"), errc::unexpected_message},
             {"rows of what failed", columns(1), errc::unexpected_message}});
}

TEST_CASE("53: IDENTIFY_SYSTEM with 0 or 2 rows, or with values that are none") {
    const auto says = [](value identifier, value timeline, value position) {
        return row({identifier, timeline, position, std::nullopt});
    };
    const buffer good = says("7", "1", "0/1");
    refuses(identifies(), trusted() + columns(4),
            {{"0 rows", completed(), errc::answer_invalid},
             {"abc", says("abc", "1", "0/1"), errc::system_identifier_invalid},
             {"negative", says("-7", "1", "0/1"), errc::system_identifier_invalid},
             {"0", says("0", "1", "0/1"), errc::system_identifier_invalid},
             {"2^64", says("18446744073709551616", "1", "0/1"), errc::system_identifier_invalid},
             {"NULL", says(std::nullopt, "1", "0/1"), errc::answer_invalid},
             {"timeline 0", says("7", "0", "0/1"), errc::timeline_invalid},
             {"timeline -1", says("7", "-1", "0/1"), errc::timeline_invalid},
             {"timeline 2^32", says("7", "4294967296", "0/1"), errc::timeline_invalid},
             {"timeline NULL", says("7", std::nullopt, "0/1"), errc::answer_invalid},
             {"no slash", says("7", "1", "1"), errc::lsn_invalid},
             {"nine digits", says("7", "1", "0/123456789"), errc::lsn_invalid},
             {"position NULL", says("7", "1", std::nullopt), errc::answer_invalid}});
    refuses(identifies(), trusted() + columns(4) + good, {{"2 rows", good, errc::answer_invalid}});
    refuses(identifies(), trusted() + columns(4) + good + completed() + columns(4),
            {{"a row of a second result", good, errc::answer_invalid}});
    refuses(identifies(), trusted() + columns(2),
            {{"2 columns", row({"7", "1"}), errc::answer_invalid}});
    takes(identifies(), trusted() + columns(5),
          {{"a column more", row({"18446744073709551615", "4294967295", "f/F", "d", "x"}),
            "system 18446744073709551615 timeline 4294967295 at F/F database d"}});
}

TEST_CASE("55: a timeline history by another name, or of a gigabyte") {
    const plan chosen = asks(wire::timeline_history{timeline_id{2}});
    const buffer before = trusted() + columns(2);
    refuses(chosen, before,
            {{"../../x", row({"../../x", ""}), errc::answer_invalid},
             {"another number", row({"00000003.history", ""}), errc::answer_invalid},
             {"lower case", row({"00000002.HISTORY", ""}), errc::answer_invalid},
             {"no name", row({std::nullopt, ""}), errc::answer_invalid},
             {"no content", row({"00000002.history", std::nullopt}), errc::answer_invalid},
             {"a gigabyte", large('D', 1 << 30), errc::message_too_large}});
    using namespace std::literals;
    takes(chosen, before,
          {{"what is no text", row({"00000002.history", "\0\xff\n"sv}),
            "history of 2:  \xff "}}); // wal/history.hpp reads it and refuses it
}

TEST_CASE("56: W with columns, of another format, or cut short") {
    refuses(streams(), trusted(),
            {{"a column", message('W', spelled::hex("00 0001 0000")), errc::copy_format_invalid},
             {"format 1", message('W', spelled::hex("01 0000")), errc::copy_format_invalid},
             {"no formats", message('W', spelled::hex("00 0001")), errc::malformed_message},
             {"bytes behind", message('W', buffer(4)), errc::malformed_message},
             {"nothing", message('W', ""), errc::malformed_message}});
    refuses(streams(), streaming(), {{"W again", copy_both(), errc::unexpected_message}});
}

TEST_CASE("57: WAL of 1 to 24 bytes, with a gap, an overlap, from behind, or past the end") {
    const buffer head = of(bytes(wal_front(start, 0)).subspan(5));
    for (std::size_t size = 1; size < 25; ++size)
        refuses(streams(), streaming(),
                {{"a head cut short", message('d', of(bytes(head).first(size))),
                  errc::stream_malformed}});
    const buffer before = streaming() + wal_message(start, 100);
    refuses(streams(), before,
            {{"a gap of 1", wal_message(start + 101, 10), errc::wal_gap},
             {"a gap to the end", wal_message(lsn{UINT64_MAX}, 10), errc::wal_gap},
             {"an overlap of 1", wal_message(start + 99, 10), errc::wal_overlap},
             {"the same again", wal_message(start, 100), errc::wal_overlap},
             {"0/0", wal_message(lsn{}, 10), errc::wal_overlap},
             {"more than the limit", wal_front(start + 100, 8 * 1024 * 1024 - 24),
              errc::copy_data_too_large}});
    // More than a server puts into one message, and an end of its log that lies behind, are taken.
    takes(streams(), before,
          {{"200 kB", wal_message(start + 100, 200'000), "wal 0/3000064+200000"},
           {"walEnd before dataStart", wal_front(start + 100, 2, 1) + payload(start, 2),
            "wal 0/3000064+2"}});
}

TEST_CASE("58: keepalives of 17 or 19 bytes, and replyRequested of 7") {
    const buffer good = of(bytes(keepalive(start)).subspan(5));
    refuses(streams(), streaming(),
            {{"17", message('d', of(bytes(good).first(17))), errc::stream_malformed},
             {"19", message('d', good + buffer(1)), errc::stream_malformed},
             {"1", message('d', "k"), errc::stream_malformed},
             {"20 kB", large('d', 20'000), errc::message_too_large},
             {"a status of 32", message('d', of("s") + buffer(31)), errc::stream_malformed},
             {"a status of 34", message('d', of("s") + buffer(33)), errc::stream_malformed}});
    client hears(streams());
    hears.feed(streaming());
    hears.said.clear();
    hears.feed(message('d', of(bytes(good).first(17)) + buffer{std::byte{7}}));
    CHECK(words(hears.said) == "r 0/0 0/0 0/0\n");
}

TEST_CASE("59: CopyData that is empty, of an unknown kind, or behind CopyDone") {
    refuses(streams(), streaming(),
            {{"empty", message('d', ""), errc::stream_malformed},
             {"unknown", message('d', "z"), errc::stream_unknown},
             {"the client's own", message('d', of("r") + buffer(33)), errc::stream_unknown},
             {"a NUL", message('d', buffer(1)), errc::stream_unknown}});
    takes(streams(), streaming() + copy_done(),
          {{"a keepalive behind c", keepalive(start, true), "streaming from 0/3000000"},
           {"WAL behind c", wal_message(start + 77, 70'000), "streaming from 0/3000000"},
           {"nothing behind c", message('d', ""), "streaming from 0/3000000"}});
}

TEST_CASE("60: c at once, C in place of c, Z without C, W when all is over, and endless N") {
    client hears(streams());
    hears.feed(streaming());
    hears.said.clear();
    hears.feed(copy_done());
    CHECK(words(hears.said) == "r 0/0 0/0 0/0\nc\n");
    const buffer finished = streaming() + copy_done();
    refuses(streams(), finished,
            {{"c twice", copy_done(), errc::unexpected_message},
             {"Z without C", ready(), errc::unexpected_message}});
    refuses(streams(), streaming(),
            {{"c with a body", message('c', "x"), errc::malformed_message}});
    takes(streams(), finished + completed() + completed(), {{"Z", ready(), "ready I"}});
    // A server that shuts down: C alone, then the end of the transport, or Z after all.
    const buffer shut = streaming() + completed("COPY 0");
    takes(streams(), shut,
          {{"nothing", {}, "streaming_ended server_shutdown"},
           {"C again", completed(), "streaming_ended server_shutdown"},
           {"d", keepalive(start, true), "streaming_ended server_shutdown"},
           {"Z", ready(), "ready I"}});
    refuses(streams(), shut, {{"W", copy_both(), errc::unexpected_message}});
    client leaves(streams());
    leaves.feed(shut);
    leaves.finish();
    CHECK(last_line(leaves.events()) == "closed server_shutdown");
    // Once the row has come in place of a copy, no copy comes.
    const buffer row_instead = trusted() + columns(2) + row({"4", "0/3000000"}) + completed();
    takes(streams(), row_instead, {{"nothing", {}, "streaming_ended timeline_ended"}});
    refuses(streams(), row_instead, {{"W", copy_both(), errc::unexpected_message}});
    refuses(streams(), trusted(), {{"C at once", completed(), errc::answer_invalid}});
    refuses(streams(), trusted() + columns(2), {{"C", completed(), errc::answer_invalid}});
    // A notice counts as a sign of life, and costs nothing else.
    client patient(identifies());
    patient.feed(trusted());
    for (int i = 0; i < 1000; ++i) {
        patient.wait_until(patient.now.steady + 59 * second);
        patient.feed(notice());
    }
    CHECK(last_line(patient.events()) == "notice 01000 so it is");
}

TEST_CASE("61: a next timeline that is not newer, or from beyond what came, or no row of one") {
    const buffer before = streaming() + wal_message(start, 16) + copy_done();
    const auto says = [](value timeline, value position) { return row({timeline, position}); };
    const auto wrong = [&](value timeline, value position) {
        return thing{"a row", says(timeline, position), errc::next_timeline_invalid};
    };
    const std::vector<thing> things{wrong("3", "0/3000010"),
                                    wrong("2", "0/3000010"),
                                    wrong("0", "0/3000010"),
                                    wrong("-4", "0/3000010"),
                                    wrong("4294967296", "0/3000010"),
                                    wrong(std::nullopt, "0/3000010"),
                                    wrong("4", "0/3000011"),
                                    wrong("4", "FFFFFFFF/FFFFFFFF"),
                                    wrong("4", "0/0"),
                                    wrong("4", std::nullopt),
                                    wrong("4", "3000010")};
    refuses(streams(), before + columns(2), things);
    refuses(streams(), trusted() + columns(2),
            {wrong("3", "0/3000000"), wrong("4", "0/3000001"), wrong("4", "0/0")});
    takes(streams(), before + columns(2),
          {{"the end", says("4", "0/3000010"), "timeline_ended, next 4 from 0/3000010"},
           {"long before", says("4294967295", "0/1"), "timeline_ended, next 4294967295 from 0/1"}});
    refuses(streams(), before + columns(2) + says("4", "0/3000010"),
            {{"a second row", says("5", "0/3000010"), errc::answer_invalid}});
    refuses(streams(), before + columns(2), {{"no row", completed(), errc::answer_invalid}});
    refuses(streams(), before + columns(1),
            {{"a column too few", row({"4"}), errc::next_timeline_invalid}});
}

TEST_CASE("62: timelines that lead from one to the other and back") {
    plan chosen = streams();
    chosen.commands.push_back(wire::start_replication{"", start, timeline_id{4}});
    chosen.commands.push_back(wire::start_replication{"", start, timeline_id{3}});
    const auto leads_to = [](std::string_view next) {
        return copy_both() + copy_done() + columns(2) + row({next, "0/3000000"});
    };
    const buffer done = completed() + completed() + ready();
    const std::size_t last = row({"4", "0/3000000"}).size();
    const buffer to_4 = trusted() + leads_to("4");
    CHECK(ending(chosen, to_4 + done, 60) == "ready I");
    const buffer back = to_4 + done + leads_to("3");
    CHECK(ending(chosen, back, 60) == failure(errc::next_timeline_invalid, back.size() - last));
}

TEST_CASE("65: a FATAL of any SQLSTATE at any moment is told and is the end") {
    for (const std::string code : {"57P01", "57P03", "53300", "42501", "28P01", "3D000"}) {
        for (const auto& [chosen, before] :
             {std::pair(plan{}, buffer{}), std::pair(plan{}, authentication(0)),
              std::pair(plan{}, trusted()), std::pair(shows(), trusted() + columns(1)),
              std::pair(streams(), streaming() + wal_message(start, 9)),
              std::pair(streams(), streaming() + copy_done()),
              std::pair(shows(), trusted() + mistake("42704"))}) {
            CHECK(heard(chosen, before + fatal(code), 60)
                      .ends_with("fatal " + code + " so it is\nclosed fatal_error\n"));
        }
    }
    // What was not yet written is not waited for.
    plan chosen = streams();
    client hears(chosen);
    hears.feed(streaming());
    hears.writes(false);
    hears->report();
    hears.poll({});
    bytes in;
    const buffer last = fatal("57P01");
    in = last;
    REQUIRE(hears->poll(in, hears.now));
    CHECK(!hears->output().empty());
    CHECK(hears->deadline() <= hears.now.steady);
}

TEST_CASE("75: the end of the transport anywhere but where it belongs is a lost connection") {
    const buffer whole = streaming() + wal_message(start, 50) + copy_done() + columns(2) +
                         row({"4", "0/3000000"}) + completed() + completed() + ready();
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        client hears(streams());
        hears.feed(bytes(whole).first(size));
        hears.finish();
        CAPTURE(size);
        REQUIRE(hears.reason);
        CHECK(hears.reason->code == errc::connection_lost);
        // Where the message began that was being read, or the last one.
        CHECK(hears.reason->offset <= size);
        CHECK(size - hears.reason->offset <= 80);
    }
}

TEST_CASE("76: silence while an answer is owed ends the session, but not while none is") {
    client hears(shows());
    CHECK(hears->deadline() == hears.now.steady + 5 * second);
    hears.feed(trusted());
    for (const buffer& said : {columns(1), row({"16MB"}), completed()}) {
        hears.now.steady += 59 * second;
        hears.feed(said);
        CHECK(hears->deadline() == hears.now.steady + 60 * second);
    }
    hears.wait_until(hears->deadline());
    REQUIRE(hears.reason);
    CHECK(hears.reason->code == errc::silence_timeout);
}

TEST_CASE("77: clocks that are far in the past or in the future change nothing") {
    constexpr std::int64_t extremes[] = {INT64_MIN, -1, 0, INT64_MAX};
    for (const std::int64_t theirs : extremes) {
        for (const std::int64_t ours : extremes) {
            client hears(streams());
            hears.now.wall = ours;
            buffer said = wal_message(start, 4) + keepalive(start, true);
            store<std::uint64_t>(said.data() + 22, std::uint64_t(theirs));
            store<std::uint64_t>(said.data() + 34 + 14, std::uint64_t(theirs));
            hears.feed(streaming());
            hears.said.clear();
            hears.feed(said);
            CHECK(words(hears.said) == "r 0/3000004 0/0 0/0\n");
            const auto sent = load<std::uint64_t>(hears.said.data() + 30);
            CHECK(std::int64_t(sent) == to_postgres_time(ours));
        }
    }
}

TEST_CASE("78: lengths below 4, and lengths that would overflow") {
    const struct {
        plan chosen;
        buffer before;
        char tag;
    } places[] = {{plan{}, {}, 'R'},
                  {plan{}, trusted(), 'N'},
                  {shows(), trusted() + columns(1), 'D'},
                  {streams(), streaming(), 'd'}};
    for (const auto& each : places) {
        std::vector<thing> things;
        for (const std::uint32_t length : {0u, 1u, 3u})
            things.push_back({"short", header(each.tag, length), errc::length_invalid});
        const errc large = each.tag == 'd' ? errc::copy_data_too_large : errc::message_too_large;
        for (const std::uint32_t length : {0x7fff'ffffu, 0x8000'0000u, 0xffff'ffffu})
            things.push_back({"long", header(each.tag, length), large});
        refuses(each.chosen, each.before, things);
    }
}
