#include <walwire/replica/session.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>

#include "replica/dialogue.hpp"
#include "support/no_alloc.hpp"

using namespace dialogue;

namespace {

plan runs(std::string_view text) {
    plan made = asks(wire::sql{text});
    made.options.mode = replica::replication_mode::database;
    made.options.database = "d";
    return made;
}
plan uploads() {
    return asks(wire::upload_manifest{});
}
plan takes_backup() {
    return asks(wire::base_backup{});
}
buffer copy_out(std::string_view hex = "00 0000") {
    return message('H', spelled::hex(hex));
}
buffer copy_in(std::string_view hex = "00 0000") {
    return message('G', spelled::hex(hex));
}
buffer part(std::string_view content) {
    return message('d', content);
}
// Behind the start-up packet and the query.
buffer said_behind_query(const client& of_it) {
    bytes said = of_it.said;
    said = said.subspan(load<std::uint32_t>(said.data()));
    return of(said.subspan(1 + load<std::uint32_t>(said.data() + 1)));
}

} // namespace

TEST_CASE("COPY TO STDOUT is told message by message, whatever the chunks") {
    const buffer server = trusted() + copy_out("00 0002 0000 0000") + part("a\tb") + part("") +
                          part("c\td") + copy_done() + completed("COPY 2") + ready();
    CHECK(heard(runs("COPY t TO STDOUT"), server) == "parameter server_version\n"
                                                     "key of 4\n"
                                                     "ready I\n"
                                                     "copy_out of 2\n"
                                                     "copied a b\n"
                                                     "copied \n"
                                                     "copied c d\n"
                                                     "copy_out_ended\n"
                                                     "completed COPY 2\n"
                                                     "ready I\n");
    const buffer binary = trusted() + copy_out("01 0001 0001") + part("PGCOPY") + copy_done() +
                          completed("COPY 0") + ready();
    CHECK(heard(runs("COPY t TO STDOUT (FORMAT binary)"), binary)
              .ends_with(
                  "copy_out of 1\ncopied PGCOPY\ncopy_out_ended\ncompleted COPY 0\nready I\n"));
}

TEST_CASE("rows of SQL and copies may follow each other in one command") {
    const buffer server = trusted() + columns(2) + row({"1", std::nullopt}) + row({"2", "x"}) +
                          completed("SELECT 2") + copy_out() + part("y") + copy_done() +
                          completed("COPY 1") + message('I', "") + ready();
    CHECK(heard(runs("SELECT 1; COPY t TO STDOUT; ;"), server)
              .ends_with("columns 2\nrow 2\nrow 2\ncompleted SELECT 2\ncopy_out of 0\ncopied y\n"
                         "copy_out_ended\ncompleted COPY 1\ncompleted \nready I\n"));
}

TEST_CASE("large messages pass as the runs that arrive, small or large stash") {
    plan chosen = runs("COPY t TO STDOUT");
    const std::string large(300'000, 'z');
    client hears(chosen);
    hears.feed(trusted() + copy_out() + part(large) + part("end"));
    CHECK(hears.news().find("copied " + large + "\ncopied end\n") != std::string::npos);
    chosen.options.limits.copy_data_size_max = 1000;
    refuses(chosen, trusted() + copy_out(),
            {{"one byte beyond the limit", header('d', 1005), errc::copy_data_too_large}});
}

TEST_CASE("a copy that nobody asked for, or of another shape") {
    const buffer nowhere = trusted();
    for (const wire::command& command :
         {wire::command(wire::identify_system{}), wire::command(wire::show{"a"})}) {
        refuses(asks(command), nowhere,
                {{"H", copy_out(), errc::unexpected_message},
                 {"G", copy_in(), errc::unexpected_message}});
    }
    refuses(takes_backup(), nowhere,
            {{"binary", copy_out("01 0000"), errc::copy_format_invalid},
             {"columns", copy_out("00 0001 0000"), errc::copy_format_invalid},
             {"W", copy_both(), errc::unexpected_message},
             {"half a body", message('H', spelled::hex("00")), errc::malformed_message},
             {"no body", message('H', ""), errc::malformed_message},
             {"d at once", part("x"), errc::unexpected_message},
             {"c at once", copy_done(), errc::unexpected_message}});
    refuses(takes_backup(), nowhere + copy_out(),
            {{"a second H", copy_out(), errc::unexpected_message},
             {"Z inside", ready(), errc::unexpected_message},
             {"T inside", columns(1), errc::unexpected_message},
             {"c with a body", message('c', "x"), errc::malformed_message}});
    refuses(uploads(), nowhere + copy_in(),
            {{"d while we copy", part("x"), errc::unexpected_message},
             {"c while we copy", copy_done(), errc::unexpected_message},
             {"C while we copy", completed(), errc::unexpected_message},
             {"Z while we copy", ready(), errc::unexpected_message}});
}

TEST_CASE("notices and settings may come inside of a copy, and an error ends it") {
    const buffer opened = trusted() + copy_out() + part("x");
    CHECK(heard(takes_backup(), opened + notice() + part("y") + mistake("XX000") + ready())
              .ends_with("copied x\nnotice 01000 so it is\ncopied y\nerror XX000 so it is\n"
                         "ready I\n"));
    CHECK(ending(takes_backup(), opened + fatal("57P01")) == "closed fatal_error");
}

TEST_CASE("what we copy goes out in messages that fit into the output") {
    for (const std::size_t out : {512u, 600u, 4096u, 200'000u}) {
        CAPTURE(out);
        plan chosen = uploads();
        chosen.out = out;
        chosen.writes = true;
        client copies(chosen);
        copies.feed(trusted());
        copies.feed(copy_in());
        CHECK(copies.news().ends_with("copy_in of 0\n"));
        copies.writes(false);
        std::string content;
        for (int i = 0; content.size() < 150'000; ++i) content += std::to_string(i) + ',';
        std::size_t full = 0;
        for (bytes rest = as_bytes(content); !rest.empty();) {
            const auto taken = copies->copy(rest);
            if (!taken) {
                CHECK(taken.code() == errc::output_full);
                ++full;
                copies.write(full % 3 == 0 ? 7 : SIZE_MAX); // also less than there is
                continue;
            }
            CHECK(*taken > 0);
            CHECK(*taken <= 64 * 1024);
            rest = rest.subspan(*taken);
        }
        CHECK((full > 0) == (out < content.size()));
        while (copies->end_copy() == errc::output_full) copies.write(1);
        CHECK(copies->end_copy() == errc::not_now);
        CHECK(copies->copy(as_bytes("x")).code() == errc::not_now);
        copies.write();
        std::string arrived;
        const buffer said = said_behind_query(copies);
        bytes rest = said;
        while (rest.size() > 5) {
            REQUIRE(rest[0] == std::byte{'d'});
            const std::size_t size = load<std::uint32_t>(rest.data() + 1) - 4;
            REQUIRE(size > 0);
            arrived += as_text(rest.subspan(5, size));
            rest = rest.subspan(5 + size);
        }
        CHECK(of(rest) == spelled::hex("63 00000004"));
        CHECK(arrived == content);
        copies.feed(completed("UPLOAD_MANIFEST") + ready());
        CHECK(copies.news() == "completed UPLOAD_MANIFEST\nready I\n");
    }
}

TEST_CASE("UPLOAD_MANIFEST byte for byte") {
    client copies(uploads());
    copies.feed(trusted() + copy_in());
    CHECK(copies->copy(as_bytes("{}\n")).code() == errc::none);
    CHECK(copies->end_copy() == errc::none);
    copies.write();
    CHECK(said_behind_query(copies) == spelled::hex("64 00000007 '{}' 0a 63 00000004"));
}

TEST_CASE("a copy that is given up says why, and the server answers with an error") {
    client copies(uploads());
    copies.feed(trusted() + copy_in());
    CHECK(copies->abandon_copy(std::string_view("a\0b", 3)) == errc::argument_has_nul);
    CHECK(copies->abandon_copy(std::string(5000, 'x')) == errc::argument_too_long);
    CHECK(copies->at() == wire::phase::copy_in);
    CHECK(copies->abandon_copy("no more") == errc::none);
    CHECK(copies->abandon_copy("no more") == errc::not_now);
    CHECK(copies->end_copy() == errc::not_now);
    copies.write();
    CHECK(said_behind_query(copies) == spelled::hex("66 0000000c 'no more' 00"));
    copies.news();
    copies.feed(mistake("57014") + ready());
    CHECK(copies.news() == "error 57014 so it is\nready I\n");
    CHECK(copies->ask(wire::identify_system{}) == errc::none);
}

TEST_CASE("an error in the middle of an upload ends it, and the next command can be given") {
    client copies(uploads());
    copies.feed(trusted() + copy_in());
    CHECK(copies->copy(as_bytes("{")).code() == errc::none);
    copies.news();
    copies.feed(mistake("XX000"));
    CHECK(copies.news() == "error XX000 so it is\n");
    CHECK(copies->copy(as_bytes("}")).code() == errc::not_now);
    CHECK(copies->end_copy() == errc::not_now);
    CHECK(copies->abandon_copy("") == errc::not_now);
    copies.feed(ready());
    CHECK(copies->ask(wire::upload_manifest{}) == errc::none);
    copies.feed(copy_in());
    CHECK(copies.news() == "ready I\ncopy_in of 0\n");
    CHECK(copies->copy(as_bytes("}")).code() == errc::none);
}

TEST_CASE("copying out of place is refused by a code and changes nothing") {
    const auto refused = [](client& copies, errc code) {
        copies.write();
        const buffer before = copies.said;
        CHECK(copies->copy(as_bytes("x")).code() == code);
        CHECK(copies->copy({}).code() == code);
        CHECK(copies->end_copy() == code);
        CHECK(copies->abandon_copy("why") == code);
        copies.write();
        CHECK(copies.said == before);
    };
    client fresh{plan{}};
    refused(fresh, errc::not_now);
    client asked(uploads());
    asked.feed(trusted());
    refused(asked, errc::not_now);
    client backup(takes_backup());
    backup.feed(trusted() + copy_out());
    refused(backup, errc::not_now);
    client stream(streams());
    stream.feed(streaming());
    refused(stream, errc::not_now);
    client over(uploads());
    over.feed(trusted() + copy_in());
    CHECK(over->copy({}).code() == errc::argument_invalid);
    over.feed(ready());
    refused(over, errc::over);
    client gone(uploads());
    gone.feed(trusted() + copy_in());
    CHECK(gone->terminate() == errc::none);
    refused(gone, errc::over);
}

TEST_CASE("terminate() in the middle of a copy of either direction is a goodbye") {
    for (const bool upload : {true, false}) {
        client leaves(upload ? uploads() : takes_backup());
        leaves.feed(trusted() + (upload ? copy_in() : copy_out() + part("x")));
        leaves.news();
        CHECK(leaves->terminate() == errc::none);
        leaves.poll({});
        leaves.poll({}); // once it is written
        CHECK(leaves.news() == "closed terminated\n");
        CHECK(of(bytes(leaves.said).last(5)) == spelled::hex("58 00000004"));
    }
}

TEST_CASE("silence is counted where it is the server's turn, and differently in a backup") {
    const std::int64_t started = 1'000'000;
    const auto deadline_behind = [&](const plan& chosen, const buffer& server) {
        client waits(chosen);
        waits.feed(server);
        waits.poll({});
        return waits->deadline() == never ? never : waits->deadline() - started;
    };
    CHECK(deadline_behind(uploads(), trusted()) == 60 * second);
    CHECK(deadline_behind(uploads(), trusted() + copy_in()) == never);
    CHECK(deadline_behind(takes_backup(), trusted()) == 3600 * second);
    CHECK(deadline_behind(takes_backup(), trusted() + columns(1)) == 3600 * second);
    CHECK(deadline_behind(takes_backup(), trusted() + copy_out()) == 60 * second);
    CHECK(deadline_behind(takes_backup(), trusted() + copy_out() + copy_done()) == 3600 * second);
    CHECK(deadline_behind(takes_backup(), trusted() + mistake("XX000") + ready()) == never);

    client copies(uploads());
    copies.feed(trusted() + copy_in());
    copies.wait_until(started + 10'000 * second); // nobody owes us anything
    CHECK(!copies.reason);
    CHECK(copies->end_copy() == errc::none);
    copies.wait_until(started + 10'001 * second);
    CHECK(copies->deadline() == started + 10'061 * second);
    copies.wait_until(started + 10'061 * second - 1);
    CHECK(!copies.reason);
    copies.wait_until(started + 10'061 * second);
    REQUIRE(copies.reason);
    CHECK(copies.reason->code == errc::silence_timeout);
}

TEST_CASE("no status of ours gets into what we copy, however long that takes") {
    plan chosen = uploads();
    chosen.options.report_each_flush = true;
    client copies(chosen);
    CHECK(copies->resume(start) == errc::none);
    copies.feed(trusted() + copy_in());
    CHECK(copies->copy(as_bytes("{")).code() == errc::none);
    for (int i = 1; i < 10; ++i) {
        copies->report();
        copies->flushed(start + 1);
        copies->applied(start + 1);
        copies->feedback(7, 7);
        copies.wait_until(i * 30 * second);
        CHECK(copies->deadline() == never);
    }
    CHECK(copies->copy(as_bytes("}")).code() == errc::none);
    CHECK(copies->end_copy() == errc::none);
    copies.write();
    CHECK(said_behind_query(copies) == spelled::hex("64 00000005 '{' 64 00000005 '}' 63 00000004"));
    CHECK(copies->statuses_sent() == 0);
}

TEST_CASE("copying allocates nothing") {
    client copies(uploads());
    copies.feed(trusted() + copy_in());
    copies.writes(false);
    const std::array<std::byte, 3000> content{};
    const support::allocations made;
    const bool good = copies->copy(content) && copies->end_copy() == errc::none;
    const auto count = made.count();
    CHECK(good);
    CHECK(count == 0);
}
