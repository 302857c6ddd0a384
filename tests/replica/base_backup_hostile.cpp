#include <walwire/replica/base_backup.hpp>

#include <doctest/doctest.h>

#include <string>

#include "replica/backup_taker.hpp"
#include "support/prng.hpp"

using namespace taking;
using namespace std::literals;

namespace {

buffer begun() {
    return source() + place("0/5000028") + list();
}
buffer copying() {
    return begun() + copy_out() + announced("16392.tar", "/ts");
}
struct script {
    std::string name;
    order chosen;
    buffer server;
};
std::vector<script> scripts() {
    script fresh{"18", {}, source() + typed_backup() + ready()};
    script old{"13", {}, source("13.9") + split_backup(true) + ready()};
    script incremental{"incremental",
                       {},
                       source() + copy_in() + completed("UPLOAD_MANIFEST") + ready() +
                           typed_backup() + ready()};
    incremental.chosen.what.incremental = true;
    script failing{"a checksum failure",
                   {},
                   begun() + typed_copy(true) + place("0/5001010") + mistake("XX001") + ready()};
    return {fresh, old, incremental, failing};
}
// It ends, whatever is done to it, in the time that it allows itself.
void settle(owner& takes) {
    for (int i = 0; i < 10 && !takes->over(); ++i) {
        const std::int64_t deadline = takes->deadline();
        REQUIRE(deadline != never);
        takes.wait_until(std::max(takes.now.steady, deadline));
    }
    CHECK(takes->over());
    CHECK(takes.endings == 1);
    CHECK(takes.disconnects == takes.connects);
    CHECK(takes->output().empty());
    CHECK(takes->deadline() == never);
    // And nothing more is done or told.
    const std::string before = takes.lines();
    takes->stop();
    takes->finish();
    takes->disconnected();
    CHECK(takes->connected() == errc::not_now);
    CHECK(takes->connect_failed() == errc::not_now);
    CHECK(takes->begin({}) == errc::not_now);
    CHECK(takes->copy(as_bytes("x")).code() != errc::none);
    CHECK(takes->end_copy() != errc::none);
    CHECK(takes->abandon_copy("") != errc::none);
    CHECK(takes->secured() != errc::none);
    CHECK(takes->give_password("") != errc::none);
    takes.feed(of("late"));
    CHECK(takes.left == 0);
    CHECK(takes.lines() == before);
}

} // namespace

TEST_CASE("a connection that ends anywhere ends it once, and never well before the end") {
    for (const script& each : scripts()) {
        CAPTURE(each.name);
        for (std::size_t size = 0; size <= each.server.size(); ++size) {
            for (const bool cleanly : {true, false}) {
                owner takes(each.chosen);
                takes.feed(bytes(each.server).first(size));
                const bool over = takes->over();
                if (cleanly)
                    takes.finish();
                else
                    takes.lose();
                const bool whole = size == each.server.size();
                CHECK(over == whole);
                settle(takes);
                if (!whole) CHECK(!takes.lines().ends_with("taken\n"));
            }
        }
    }
}

TEST_CASE("stop() at any byte and behind any event ends it once") {
    for (const script& each : scripts()) {
        CAPTURE(each.name);
        for (std::size_t size = 0; size < each.server.size(); ++size) {
            owner takes(each.chosen);
            takes.feed(bytes(each.server).first(size));
            takes.stop();
            CHECK(takes.last() == "stopped");
            settle(takes);
        }
        owner whole(each.chosen);
        whole.feed(each.server);
        const std::string lines = whole.lines();
        const auto events = static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n'));
        for (std::size_t after = 2; after < events; ++after) {
            owner takes(each.chosen);
            owner* const at = &takes;
            at->stop_after = after;
            takes.feed(each.server);
            takes.feed();
            CHECK((takes.last() == "stopped" || after + 1 >= events));
            settle(takes);
        }
    }
    // Before anything at all.
    order chosen;
    buffer stash(stash_size), out(out_size);
    replica::base_backup machine(chosen.options, {stash, out});
    machine.stop();
    CHECK(machine.deadline() == INT64_MIN);
    bytes none;
    const auto told = machine.poll(none, {});
    REQUIRE(told);
    CHECK(std::holds_alternative<replica::stopped>(*told));
    CHECK(machine.over());
}

TEST_CASE("stop() while a transport is wanted") {
    order chosen;
    chosen.answers = false;
    owner takes(chosen);
    takes->stop();
    CHECK(takes->deadline() == INT64_MIN);
    takes.feed();
    CHECK(takes.lines() == "connect 1\ndisconnect\nstopped\n");
    CHECK(takes->connected() == errc::not_now);
}

TEST_CASE("every byte changed in every way, and it comes to one end") {
    support::prng random(66);
    for (const script& each : scripts()) {
        CAPTURE(each.name);
        for (std::size_t at = 0; at < each.server.size(); ++at) {
            for (const int bit : {static_cast<int>(random.below(8)), 8, 9}) {
                buffer changed = each.server;
                changed[at] = bit == 8   ? std::byte{0}
                              : bit == 9 ? std::byte{0xff}
                                         : changed[at] ^ std::byte(1 << bit);
                owner takes(each.chosen);
                takes.feed(changed);
                if (!takes->over()) takes.finish();
                settle(takes);
            }
        }
    }
}

TEST_CASE("67, 68, 72: what a reader refuses ends it, at the offset of the message") {
    const buffer before = source() + place("0/5000028") + columns(3);
    const auto at = [](const buffer& good, const buffer& bad, errc code) {
        const std::string lines = heard(order{}, good + bad, 40);
        CHECK(lines.ends_with("disconnect\n" + gives_up(code) + "\nat " +
                              std::to_string(good.size()) + "\n"));
    };
    at(source() + columns(2), row({"x", "1"}), errc::lsn_invalid);
    at(source() + columns(2) + row({"0/1", "1"}), row({"0/1", "1"}), errc::unexpected_message);
    at(source() + columns(2), completed(), errc::answer_invalid);
    at(before, row({"1", "t", std::nullopt}), errc::tablespace_invalid);
    at(before, row({"1", "/t/..", std::nullopt}), errc::tablespace_invalid);
    at(before, row({std::nullopt, std::nullopt, "-1"}), errc::tablespace_invalid);
    at(before, completed(), errc::tablespace_invalid);
    const buffer copied = begun() + copy_out();
    at(copied, part("x"), errc::backup_stream_malformed);
    at(copied, part("xyz"), errc::backup_stream_malformed);
    at(copied, part(""), errc::backup_stream_malformed);
    at(copied, part("dx"), errc::archive_unexpected);
    at(copied, announced("../x", ""), errc::archive_name_invalid);
    at(copied, announced("base.tar", "/ts"), errc::archive_unexpected);
    at(copied, part("m"), errc::archive_unexpected);
    at(copied, part("n" + std::string(5000, 'a')), errc::backup_stream_malformed);
    at(copied, part("p1234567"), errc::backup_stream_malformed);
    at(copied, copy_done(), errc::backup_incomplete);
    at(copying(), completed(), errc::answer_invalid); // C instead of c
    at(begun() + typed_copy(true), copy_out(), errc::unexpected_message);
    at(begun() + typed_copy(true), completed(), errc::answer_invalid);
    at(begun() + typed_copy(true) + columns(2), row({"0/5000027", "3"}),
       errc::backup_range_invalid);
    at(begun() + typed_copy(true) + columns(2), row({"0/5000028", "2"}),
       errc::backup_range_invalid);
    at(begun() + columns(2), row({"0/5000028", "2"}), errc::backup_incomplete);
}

TEST_CASE("67, 68: what was refused is named when the connection is gone") {
    const auto refused = [](const buffer& server) {
        owner takes{order{}};
        takes.feed(server);
        CHECK(takes->over());
        return std::string(takes->refused());
    };
    CHECK(refused(begun() + copy_out() + announced("../x", "")) == "../x");
    CHECK(refused(source() + place("0/5000028") + columns(3) + row({"1", "/t/..", std::nullopt})) ==
          "/t/..");
    CHECK(refused(begun() + copy_out() + copy_done()).empty());
    CHECK(refused(source() + copy_in()).empty());
}

TEST_CASE("52, 60: what the conversation refuses ends it as well") {
    const auto at = [](const buffer& good, const buffer& bad, errc code) {
        const std::string lines = heard(order{}, good + bad, 40);
        CHECK(lines.ends_with(gives_up(code) + "\nat " + std::to_string(good.size()) + "\n"));
    };
    at(source(), ready(), errc::unexpected_message);
    at(source(), copy_in(), errc::unexpected_message);
    at(source(), row({"0/1", "1"}), errc::unexpected_message);
    at(copying(), ready(), errc::unexpected_message);
    at(copying(), columns(1), errc::unexpected_message);
    at(source(), message('H', spelled::hex("01 0000")), errc::copy_format_invalid);
    at(source() + columns(2), row({"0/1"}), errc::row_invalid);
    at(begun() + typed_copy(true) + end(), message('Z', "x"), errc::malformed_message);
    // The command completed, but it was none of a backup's.
    CHECK(verdict(order{}, source() + completed("SELECT") + ready()) ==
          gives_up(errc::answer_invalid));
    CHECK(verdict(order{}, begun() + typed_copy(true) + place("0/5001010") + ready()) ==
          gives_up(errc::backup_incomplete));
    CHECK(verdict(order{}, begun() + typed_backup() + ready()) != "taken");
}

TEST_CASE("an upload that the server does not ask for, or asks for twice") {
    order chosen;
    chosen.what.incremental = true;
    CHECK(verdict(chosen, source() + completed("UPLOAD_MANIFEST") + ready()) ==
          gives_up(errc::answer_invalid));
    CHECK(verdict(chosen, source() + copy_out()) == gives_up(errc::unexpected_message));
    CHECK(verdict(chosen, source() + copy_in() + completed() + copy_in()) ==
          gives_up(errc::unexpected_message));
    owner takes(chosen);
    takes.feed(source() + copy_in() + completed() + ready() + copy_in());
    CHECK(takes.last() == gives_up(errc::unexpected_message));
}

TEST_CASE("more tablespaces than there is room for") {
    buffer rows;
    for (std::size_t i = 0; i < replica::base_backup::tablespaces_max; ++i) {
        const std::string oid = std::to_string(20'000 + i);
        rows = rows + row({oid, "/t", std::nullopt});
    }
    const buffer before = source() + place("0/5000028") + columns(3);
    CHECK(verdict(order{}, before + rows).starts_with("tablespace 20511 "));
    CHECK(verdict(order{}, before + rows + row({std::nullopt, std::nullopt, std::nullopt})) ==
          gives_up(errc::too_many));
}

TEST_CASE("a server that never reads cannot keep the machine from stopping") {
    for (const bool writes : {true, false}) {
        order chosen;
        chosen.writes = writes;
        owner takes(chosen);
        takes.feed(begun() + copy_out());
        takes.writes(false);
        takes.stop();
        CHECK(takes.endings == 0); // its goodbye waits to be written
        takes.finish();
        settle(takes);
    }
}

TEST_CASE("any call in any order is legal") {
    support::prng random(5);
    const std::vector<script> all = scripts();
    std::size_t good = 0;
    for (int life = 0; life < 400; ++life) {
        const script& chosen = all[random.below(all.size())];
        order calm = chosen.chosen;
        calm.answers = random.chance(3, 4);
        owner takes(calm);
        bytes rest = chosen.server;
        for (int step = 0; step < 60; ++step) {
            const auto size = std::min<std::size_t>(rest.size(), random.below(120));
            switch (random.below(random.chance(1, 40) ? 16 : 8)) {
            case 0: static_cast<void>(takes->copy(as_bytes("xyz"))); break;
            case 1: static_cast<void>(takes->begin({})); break;
            case 2: static_cast<void>(takes->secured()); break;
            case 3: static_cast<void>(takes->give_password("x")); break;
            case 8: static_cast<void>(takes->end_copy()); break;
            case 9: static_cast<void>(takes->abandon_copy("x")); break;
            case 10: takes->finish(); break;
            case 11: takes->disconnected(); break;
            case 12: takes->stop(); break;
            case 13: static_cast<void>(takes->connect_failed()); break;
            case 14: static_cast<void>(takes->connected()); break;
            case 15: takes.wait_until(takes.now.steady + 30 * second); break;
            default:
                if (!takes.connected) break;
                takes.feed(rest.first(size));
                rest = rest.subspan(size);
            }
            takes.feed();
        }
        good += takes.lines().ends_with("taken\n");
        takes.connected = false; // an owner that does not answer has no transport to close
        takes.stop();
        if (!takes->over()) takes.finish();
        if (!takes->over()) takes.wait_until(takes.now.steady + 10 * second);
        CHECK(takes->over());
        CHECK(takes.endings == 1);
    }
    CHECK(good > 10);
}
