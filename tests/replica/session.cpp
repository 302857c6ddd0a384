#include <walwire/replica/session.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "replica/replayed.hpp"
#include "support/exhaustive.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace walwire;
using replayed::player;
using replayed::script;
using support::side;

static_assert(walwire::session<replica::session>);
static_assert(sizeof(replica::session) <= 1024);

namespace {

// Every recorded conversation that a session can have.
std::vector<support::transcript> playable() {
    std::vector<support::transcript> found;
    for (const std::string& name : support::transcripts()) {
        support::transcript recorded = support::transcript::load(name);
        if (replayed::read_script(recorded).reason.empty()) found.push_back(std::move(recorded));
    }
    return found;
}

// A run over the input in whatever chunks, ended by the server's closing.
std::string play(const script& played, support::chunks& input) {
    player session(played);
    session.feed({});
    while (const auto chunk = input.next()) session.feed(*chunk);
    session.finish();
    return session.events();
}

std::string play(const script& played, bytes input) {
    player session(played);
    session.feed({});
    session.feed(input);
    session.finish();
    return session.events();
}

// How far apart the places are at which a conversation is tried: every byte where that is cheap. A
// SCRAM exchange costs thousands of hashes each time, and most versions differ in little.
std::size_t stride(const support::transcript& recorded, const script& played) {
    const std::size_t size = recorded.said(side::server).size();
    if (size > 4096) return size / 61;
    if (!played.nonce.empty()) return 41;
    return recorded.major_version() == 18 ? 1 : 11;
}

std::string golden_path(const std::string& version) {
    return std::string(WALWIRE_TRANSCRIPTS "/") + version + ".events";
}

} // namespace

// Set WALWIRE_WRITE_EVENTS to write the files anew after a change of events; git shows what
// changed.
TEST_CASE("every recorded conversation gives the events that are written down beside it") {
    std::map<std::string, std::string> seen;
    std::size_t played = 0;
    for (const support::transcript& recorded : playable()) {
        const script script = replayed::read_script(recorded);
        seen[recorded.name().substr(0, 4)] +=
            "== " + recorded.name().substr(5) + '\n' + play(script, recorded.said(side::server));
        ++played;
    }
    CHECK(played > 300);
    for (const auto& entry : seen) {
        const std::string& version = entry.first;
        const std::string& events = entry.second;
        if (std::getenv("WALWIRE_WRITE_EVENTS") != nullptr)
            std::ofstream(golden_path(version)) << events;
        std::stringstream golden;
        golden << std::ifstream(golden_path(version)).rdbuf();
        CHECK_MESSAGE(golden.str() == events, "the events of " << version << " have changed");
    }
}

TEST_CASE("no recorded conversation is a violation of the protocol") {
    for (const support::transcript& recorded : playable()) {
        const script script = replayed::read_script(recorded);
        player session(script);
        session.feed({});
        session.feed(recorded.said(side::server));
        session.finish();
        CHECK(session.endings() == 1);
        CHECK(session.left() == 0);
        CHECK(session.session().over());
        const std::string events = session.events();
        const std::size_t failed = events.find("failed: ");
        if (failed == std::string::npos) continue;
        CAPTURE(recorded.name());
        CHECK(events.compare(failed, 31, "failed: the connection was lost") == 0);
    }
}

TEST_CASE("the start-up packet and the answers to passwords are what the recorded client sent") {
    std::size_t compared = 0;
    for (const char* const cases : {"a01", "a02", "a04", "a08", "a11", "a20"}) {
        for (const std::string& name : support::transcripts(cases)) {
            const support::transcript recorded = support::transcript::load(name);
            const script script = replayed::read_script(recorded);
            CAPTURE(name);
            REQUIRE(script.reason == "");
            player session(script);
            session.feed({});
            session.feed(recorded.said(side::server));
            // "replication" has several spellings; everything behind the start-up packet has one.
            const bytes theirs = recorded.said(side::client);
            const bytes ours = session.said();
            REQUIRE(ours.size() > 8);
            const auto rest = [](bytes said) {
                return as_text(said.subspan(load<std::uint32_t>(said.data())));
            };
            CHECK(rest(ours) == rest(theirs));
            ++compared;
        }
    }
    CHECK(compared >= 30);
}

TEST_CASE("every split of the server's bytes gives the same events") {
    for (const support::transcript& recorded : playable()) {
        const script script = replayed::read_script(recorded);
        const bytes input = recorded.said(side::server);
        // A stream's length does not add to what a split can meet; its messages do.
        const std::size_t splits = input.size() / stride(recorded, script);
        if (input.size() > 200'000 && recorded.major_version() != 18) continue;
        CAPTURE(recorded.name());
        CHECK(support::difference(
                  input, [&](support::chunks& chunks) { return play(script, chunks); }, splits) ==
              "");
    }
}

TEST_CASE("a conversation cut off anywhere ends once, and says so") {
    for (const support::transcript& recorded : playable()) {
        const script script = replayed::read_script(recorded);
        const bytes input = recorded.said(side::server);
        const std::size_t step = stride(recorded, script);
        if (input.size() > 200'000 && recorded.major_version() != 18) continue;
        for (std::size_t size = 0; size < input.size(); size += step) {
            player session(script);
            session.feed({});
            session.feed(input.first(size));
            session.finish();
            CAPTURE(recorded.name());
            CAPTURE(size);
            REQUIRE(session.endings() == 1);
            REQUIRE(session.session().over());
        }
    }
}

TEST_CASE("a byte changed anywhere never makes a session hang, and WAL stays contiguous") {
    support::prng random(20240229);
    for (const support::transcript& recorded : playable()) {
        if (recorded.said(side::server).size() > 50'000) continue;
        const script script = replayed::read_script(recorded);
        const bytes input = recorded.said(side::server);
        for (std::size_t at = 0; at < input.size(); at += stride(recorded, script)) {
            std::vector<std::byte> changed(input.begin(), input.end());
            changed[at] ^= std::byte(1u << random.below(8));
            player session(script);
            session.feed({});
            session.feed(changed);
            session.finish();
            CAPTURE(recorded.name());
            CAPTURE(at);
            REQUIRE(session.endings() == 1);
            REQUIRE(session.told() <= input.size());
        }
    }
}

TEST_CASE("a session allocates nothing, from the first byte to the last") {
    for (const char* const name : {"pg18/a20_psql18_identify", "pg18/b10_start_physical"}) {
        const support::transcript recorded = support::transcript::load(name);
        const script script = replayed::read_script(recorded);
        const auth::crypto crypto = replayed::crypto_with(script.nonce);
        replica::options options = script.options;
        options.crypto = &crypto;
        std::vector<std::byte> stash(stash_size);
        std::vector<std::byte> out(out_size);
        std::size_t events = 0;
        std::size_t next = 0;
        support::allocations made;
        {
            replica::session session(options, {stash, out});
            bytes in = recorded.said(side::server);
            while (!session.over()) {
                while (const auto told = session.poll(in, {1000, 0})) {
                    ++events;
                    if (std::holds_alternative<replica::password_wanted>(*told))
                        static_cast<void>(session.give_password(script.password));
                    if (std::holds_alternative<replica::ready>(*told)) {
                        if (next < script.commands.size())
                            static_cast<void>(session.ask(script.commands[next++]));
                        else
                            static_cast<void>(session.terminate());
                    }
                    session.consume(session.output().size());
                }
                session.consume(session.output().size());
                session.finish();
            }
        }
        CHECK(made.count() == 0);
        CHECK(events > 5);
    }
}
