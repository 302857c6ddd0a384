#include <walwire/replica/session.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
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

// Every recorded conversation that a session can have, but for base backups.
const std::vector<support::transcript>& playable() {
    static const std::vector<support::transcript> all = [] {
        std::vector<support::transcript> found;
        for (const std::string& name : support::transcripts()) {
            if (name.substr(5).starts_with('d')) continue; // base_backup_recorded.cpp has those
            support::transcript recorded = support::transcript::load(name);
            if (replayed::read_script(recorded).reason.empty())
                found.push_back(std::move(recorded));
        }
        return found;
    }();
    return all;
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

// The places in the server's bytes at which something may happen: all of them, but of a message
// that is long, and all alike inside, only its ends and some between.
std::vector<std::size_t> places(const script& played, bytes input) {
    constexpr std::size_t front = 64, back = 16, within = 4;
    std::vector<std::size_t> found;
    support::prng random(input.size());
    std::size_t at = 0;
    for (const replica::encryption wanted : {played.options.gss, played.options.tls}) {
        const bool asked = wanted == replica::encryption::offered && at < input.size();
        if (asked && input[at] != std::byte{'E'}) found.push_back(++at); // a byte is the answer
    }
    while (at < input.size()) {
        const bytes rest = input.subspan(at);
        const std::size_t size =
            rest.size() < 5 ? rest.size()
                            : std::min<std::size_t>(rest.size(), 1 + load<std::uint32_t>(&rest[1]));
        const bool longer = size > front + back + within;
        for (std::size_t i = 1; i <= size; ++i) {
            if (longer && i == front) {
                std::vector<std::size_t> some;
                for (std::size_t n = 0; n < within; ++n)
                    some.push_back(at + random.between(front, size - back));
                std::sort(some.begin(), some.end());
                found.insert(found.end(), some.begin(), some.end());
                i = size - back + 1;
            }
            found.push_back(at + i);
        }
        at += std::max<std::size_t>(size, 1);
    }
    found.erase(std::unique(found.begin(), found.end()), found.end());
    while (!found.empty() && found.back() >= input.size()) found.pop_back();
    return found;
}

// Of those the ones to try one by one: all of them where WALWIRE_EXHAUSTIVE is set, as it is where
// the tests are fast, and else every one where that is cheap. A SCRAM exchange costs
// thousands of hashes each time, most versions differ in little, and a long conversation is one of
// many answers that are alike. Where two conversations begin alike, which is up to the key that the
// server gives, the beginning is tried with the first.
std::vector<std::size_t> tried(const support::transcript& recorded, const script& played) {
    const bytes input = recorded.said(side::server);
    if (std::getenv("WALWIRE_EXHAUSTIVE") != nullptr) return places(played, input);
    std::size_t alike = 0;
    for (const support::transcript& before : playable()) {
        if (&before == &recorded) break;
        const bytes other = before.said(side::server);
        if (before.major_version() != recorded.major_version()) continue;
        if (other.size() <= alike || std::memcmp(other.data(), input.data(), alike) != 0) continue;
        while (alike < std::min(input.size(), other.size()) && other[alike] == input[alike])
            ++alike;
    }
    const std::vector<std::size_t> all = places(played, input);
    std::size_t stride = recorded.major_version() == 18 ? 1 + input.size() / 600 : 23;
    if (!played.nonce.empty()) stride = 41;
    if (input.size() > 4096) stride = std::max<std::size_t>(1, all.size() / 31);
    std::vector<std::size_t> some;
    for (std::size_t i = 0; i < all.size(); i += all[i] < alike ? 41 : stride)
        some.push_back(all[i]);
    return some;
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
        if (input.size() > 200'000 && recorded.major_version() != 18) continue;
        CAPTURE(recorded.name());
        CHECK(support::difference(input, places(script, input), tried(recorded, script),
                                  [&](support::chunks& chunks) { return play(script, chunks); }) ==
              "");
    }
}

TEST_CASE("a conversation cut off anywhere ends once, and says so") {
    for (const support::transcript& recorded : playable()) {
        const script script = replayed::read_script(recorded);
        const bytes input = recorded.said(side::server);
        if (input.size() > 200'000 && recorded.major_version() != 18) continue;
        std::vector<std::size_t> sizes = tried(recorded, script);
        sizes.insert(sizes.begin(), 0);
        for (const std::size_t size : sizes) {
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
        std::vector<std::size_t> offsets = tried(recorded, script);
        if (!input.empty()) offsets.insert(offsets.begin(), 0);
        for (const std::size_t at : offsets) {
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
            REQUIRE(!session.gap());
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
