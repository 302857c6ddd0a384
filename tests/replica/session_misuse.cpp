#include <walwire/replica/session.hpp>

#include <doctest/doctest.h>

#include "replica/dialogue.hpp"
#include "replica/scram_server.hpp"

using namespace dialogue;
using wire::phase;

namespace {

// A moment in the life of a session, and how to get there.
struct moment {
    std::string name;
    phase at;
    // What secured, give_password, ask, stop, terminate and resume say there.
    std::string verdicts;
    plan chosen;
    buffer said;
    void (*then)(client&) = [](client&) {};
};

plan patient(plan chosen) {
    chosen.answers = false;
    chosen.options.cleartext_without_tls = true;
    return chosen;
}
plan tls() {
    plan made;
    made.options.tls = replica::encryption::required;
    return patient(made);
}
void fill(client& hears) {
    hears.writes(false);
    while (hears->output().size() < 13 * 39) {
        hears->report();
        hears.poll({});
    }
}
// Streams into a room that 13 statuses and one feedback fill to the last byte but one.
plan narrow() {
    plan made = streams();
    made.out = 13 * 39 + 30 + 1;
    return made;
}

std::vector<moment> moments() {
    const scram_server server("pencil", "n,,", {});
    const plan shows = asks(wire::show{"wal_segment_size"});
    const buffer ended = streaming() + copy_done();
    const auto stopped = [](client& hears) {
        static_cast<void>(hears->stop());
        hears.poll({});
    };
    const auto terminated = [](client& hears) {
        hears.writes(false);
        static_cast<void>(hears->terminate());
    };
    return {
        {"TLS is asked for", phase::ssl_asked, "nnnnn.", tls(), {}},
        {"the handshake", phase::encrypting, ".nnnn.", tls(), of("S")},
        {"start-up", phase::started, "nnnnn.", plan{}, {}},
        {"a password is wanted", phase::password_asked, "n.nnn.", patient(plan{}),
         authentication(3)},
        {"SASL has begun", phase::sasl_begun, "nnnnn.", plan{}, server.offer(false)},
        {"SASL is answered", phase::sasl_answered, "nnnnn.", plan{},
         server.offer(false) + server.first()},
        {"in", phase::authenticated, "nnnnn.", plan{}, authentication(0)},
        {"in, with a key", phase::keyed, "nnnnn.", plan{}, authentication(0) + key()},
        {"ready", phase::idle, "nn.n..", plan{}, trusted()},
        {"a command runs", phase::asked, "nnnn..", shows, trusted()},
        {"rows come", phase::rows, "nnnn..", shows, trusted() + columns(1)},
        {"rows came", phase::answered, "nnnn..", shows,
         trusted() + columns(1) + row({"1MB"}) + completed()},
        {"the command failed", phase::failed, "nnnn..", shows, trusted() + mistake("42704")},
        {"before W", phase::asked, "nnnn..", streams(), trusted()},
        {"WAL streams", phase::copy_both, "nnn..n", streams(), streaming()},
        {"in the middle of a message", phase::copy_both, "nnn..n", streams(),
         streaming() + wal_front(start, 100) + buffer(50)},
        {"stopped", phase::client_finished, "nnnn.n", streams(), streaming(), stopped},
        {"the server has finished", phase::server_finished, "nnnnfn", narrow(), streaming(),
         [](client& hears) {
             fill(hears);
             hears->feedback(1, 1); // takes 30 of the bytes that are left
             hears.feed(copy_done());
         }},
        {"both have", phase::both_finished, "nnnn.n", streams(), ended},
        {"the next timeline", phase::next_timeline, "nnnn.n", streams(), ended + columns(2)},
        {"the stream is over", phase::copy_answered, "nnnn..", streams(), ended + completed()},
        {"goodbye waits to be written", phase::closed, "oooooo", plan{}, trusted(), terminated},
        {"goodbye said", phase::closed, "oooooo", plan{}, trusted(),
         [](client& hears) {
             static_cast<void>(hears->terminate());
             hears.poll({});
             hears.poll({});
         }},
        {"turned away", phase::closed, "oooooo", plan{}, fatal("28000")},
        {"failed", phase::closed, "oooooo", plan{}, of("HTTP/1.1 400 Bad Request\r\n")},
        {"refused by check",
         phase::closed,
         "oooooo",
         [] {
             plan wrong;
             wrong.options.user = "";
             return wrong;
         }(),
         {}},
    };
}

client& lead(client& hears, const moment& to) {
    hears.feed(to.said);
    to.then(hears);
    return hears;
}

errc call(client& hears, std::size_t which) {
    switch (which) {
    case 0: return hears->secured();
    case 1: return hears->give_password("x");
    case 2: return hears->ask(wire::identify_system{});
    case 3: return hears->stop();
    case 4: return hears->terminate();
    default: return hears->resume(start);
    }
}

std::string state(client& hears) {
    return std::to_string(int(hears->at())) + ' ' + spelled::text(hears->output().head) + ' ' +
           std::to_string(hears->received().value) + ' ' + std::to_string(hears->deadline()) + ' ' +
           replayed::shown(hears->acknowledged().written()) + ' ' + std::to_string(hears->eaten());
}

std::size_t endings(const std::string& events) {
    std::size_t count = 0;
    for (const char* const word : {"failed: ", "closed "})
        for (std::size_t at = events.find(word); at != std::string::npos;
             at = events.find(word, at + 1))
            ++count;
    return count;
}

} // namespace

TEST_CASE("every call at every moment does what it says, or says why not and changes nothing") {
    for (const moment& each : moments()) {
        CAPTURE(each.name);
        for (std::size_t which = 0; which < 6; ++which) {
            client hears(each.chosen);
            lead(hears, each);
            REQUIRE(hears->at() == each.at);
            const std::string before = state(hears);
            const errc code = call(hears, which);
            const char verdict = code == errc::none          ? '.'
                                 : code == errc::not_now     ? 'n'
                                 : code == errc::over        ? 'o'
                                 : code == errc::output_full ? 'f'
                                                             : '?';
            CAPTURE(which);
            CHECK(verdict == each.verdicts[which]);
            if (code != errc::none) CHECK(state(hears) == before);
        }
    }
}

TEST_CASE("calls that say nothing do no harm at any moment, and the end comes once") {
    for (const moment& each : moments()) {
        for (const bool twice : {false, true}) {
            client hears(each.chosen);
            lead(hears, each);
            for (int i = 0; i < (twice ? 2 : 1); ++i) {
                hears->flushed(lsn{UINT64_MAX});
                hears->applied(lsn{UINT64_MAX});
                hears->report();
                hears->feedback(UINT64_MAX, UINT64_MAX);
                hears->consume(1'000'000);
                CHECK(hears->output().empty());
                hears.poll({});
                hears->finish();
                if (twice) hears.writes(true);
            }
            hears.poll({});
            CAPTURE(each.name);
            CHECK(hears->over());
            CHECK(endings(hears.events()) == 1);
            CHECK(hears->acknowledged().written() <= hears->received());
        }
    }
}

TEST_CASE("after the end every poll eats all there is and tells nothing") {
    for (const moment& each : moments()) {
        client hears(each.chosen);
        lead(hears, each);
        hears.writes(true);
        hears.finish();
        REQUIRE(hears->over());
        const std::string events = hears.events();
        hears->finish();
        hears->report();
        hears.poll(trusted() + streaming());
        hears.wait_until(never);
        CAPTURE(each.name);
        CHECK(hears.events() == events);
        CHECK(hears.left == 0);
        CHECK(hears->output().empty());
        CHECK(hears->deadline() == never);
        for (std::size_t which = 0; which < 6; ++which) CHECK(call(hears, which) == errc::over);
    }
}

TEST_CASE(
    "what is owed at any moment is owed once: a poll at the deadline never comes back to it") {
    for (const moment& each : moments()) {
        for (const bool writes : {false, true}) {
            client hears(each.chosen);
            lead(hears, each);
            hears->report();
            hears.writes(writes);
            for (std::size_t polls = 0; hears->deadline() != never; ++polls) {
                CAPTURE(each.name);
                REQUIRE(polls < 40);
                const std::size_t said = hears.said.size();
                hears.wait_until(std::max(hears->deadline(), hears.now.steady));
                // Room that was made may have let in what was owed.
                if (hears.said.size() == said) REQUIRE(hears->deadline() > hears.now.steady);
            }
        }
    }
}

TEST_CASE("commands that a session does not have, or its server, are refused and change nothing") {
    client hears(plan{});
    hears.feed(authentication(0) + parameter("server_version", "14.1") + ready());
    const std::string before = state(hears);
    const std::string large(out_size, 'x');
    const struct {
        wire::command command;
        errc code;
    } refused[] = {
        {wire::upload_manifest{}, errc::unsupported_version},
        {wire::start_logical_replication{"s", start, {}}, errc::argument_invalid},
        {wire::read_replication_slot{"s"}, errc::unsupported_version},
        {wire::drop_replication_slot{"No Slot"}, errc::name_invalid},
        {wire::drop_replication_slot{""}, errc::name_invalid},
        {wire::sql{large}, errc::argument_too_long},
    };
    for (const auto& each : refused) {
        CHECK(hears->ask(each.command) == each.code);
        CHECK(state(hears) == before);
    }
    CHECK(hears->ask(wire::identify_system{}) == errc::none);
    CHECK(hears->ask(wire::identify_system{}) == errc::not_now);
}

TEST_CASE("a command that finds no room behind what waits is taken once that is written") {
    plan chosen;
    chosen.out = out_size_min;
    chosen.writes = false;
    client hears(chosen);
    hears.feed(trusted()); // the start-up packet is still there
    const std::size_t waiting = hears->output().size();
    const std::string fits(chosen.out - 6, 'x'), behind(chosen.out - 6 - waiting, 'x');
    CHECK(hears->ask(wire::sql{fits + "x"}) == errc::output_full);
    CHECK(hears->ask(wire::sql{fits}) == errc::output_full);
    CHECK(hears->ask(wire::sql{behind + "x"}) == errc::output_full);
    CHECK(hears->at() == phase::idle);
    CHECK(hears->output().size() == waiting);
    hears.write();
    CHECK(hears->ask(wire::sql{fits + "x"}) == errc::argument_too_long);
    CHECK(hears->ask(wire::sql{fits}) == errc::none);
    hears.write();
    CHECK(words(hears.said) == "Q " + fits + '\n');

    client again(chosen);
    again.feed(trusted());
    CHECK(again->ask(wire::sql{behind}) == errc::none);
}

TEST_CASE("the output stands still until it is consumed, and is consumed as far as it goes") {
    client hears(streams());
    hears.feed(streaming());
    hears.writes(false);
    hears->report();
    hears.poll({});
    const bytes first = hears->output().head;
    const buffer copy = of(first);
    hears->report();
    hears.poll({});
    CHECK(hears->output().head.data() == first.data());
    CHECK(of(hears->output().head.first(copy.size())) == copy);
    CHECK(hears->output().size() == 2 * copy.size());
    hears->consume(10);
    CHECK(of(hears->output().head.first(copy.size() - 10)) == of(bytes(copy).subspan(10)));
    hears->consume(1000);
    CHECK(hears->output().empty());
    hears->consume(1);
    CHECK(hears->output().empty());
}
