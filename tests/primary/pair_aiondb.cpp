#include <walwire/primary/session.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include <walwire/auth/openssl.hpp>
#include <walwire/replica/base_backup.hpp>
#include <walwire/replica/bootstrap.hpp>

#include "support/linked_aiondb.hpp"
#include "support/pair.hpp"
#include "support/prng.hpp"

using namespace walwire;
using support::linked_entries;
using support::prng;

namespace {

// What happened in all the lives, so that none of it is missing.
struct counts {
    std::uint64_t connections = 0;
    std::uint64_t adoptions = 0;
    std::uint64_t cuts = 0;
    std::uint64_t repeated = 0;
    std::uint64_t entries = 0;
    std::uint64_t diverged = 0;
    std::uint64_t parted = 0; // forks behind which somebody had entries
};

void happen(linked_entries& world, prng& random, counts& seen) {
    switch (random.below(12)) {
    case 0:
    case 1:
    case 2:
        for (std::uint64_t i = random.between(1, 40); i > 0; --i)
            world.here.write(random.chance(3, 4) ? 1 : random.between(1, 300));
        break;
    case 3:
        world.cut_after = random.below(800);
        world.cut_cleanly = random.chance(1, 2);
        ++seen.cuts;
        break;
    case 4:
        world.cut_after = random.below(300); // in the middle of the opening
        world.cut();
        break;
    case 5:
        if (random.chance(1, 2)) {
            world.here.promote();
        } else if (random.chance(1, 4)) {
            world.here.promote_without(random.between(1, 20));
            ++seen.parted;
        }
        break;
    case 6: random.chance(1, 2) ? world.shut_down() : world.end_stream(); break;
    case 7: world.accepts = random.chance(1, 2); break;
    case 8: world.flushes = random.chance(1, 2); break;
    case 9: world.apply(); break;
    default: world.wait(static_cast<std::int64_t>(random.between(1, 90)) * second); break;
    }
    world.run();
}

std::string life(std::uint64_t seed, counts& seen) {
    prng random(seed);
    linked_entries::choices chosen;
    chosen.slot = random.chance(1, 2);
    chosen.seed = seed;
    constexpr std::size_t pieces[] = {1, 7, 100, 1000, 8192, 65536};
    chosen.piece = pieces[random.below(6)];
    if (random.chance(1, 2)) chosen.pieces = &random;
    chosen.report_each_flush = random.chance(1, 2);
    linked_entries world(chosen);
    world.here.batch_entries = random.between(1, 30);
    for (std::uint64_t i = random.below(30); i > 0; --i) world.here.write(1);
    const std::uint64_t events = random.between(1, 25);
    for (std::uint64_t i = 0; i < events && world.wrong().empty(); ++i) happen(world, random, seen);
    if (!world.wrong().empty()) return world.wrong();
    const bool settled = world.settled(10 * 60 * second);
    if (!world.wrong().empty()) return world.wrong();
    if (world.diverged()) {
        ++seen.diverged;
        return world.over() && !settled ? "" : "it has diverged and goes on";
    }
    if (!settled) return "the replica does not come to the primary's end";
    if (world.received() != world.here.log) return "the replica has not every entry once, in order";
    seen.connections += world.connections();
    seen.adoptions += world.adoptions();
    seen.repeated += world.repeated();
    seen.entries += world.received().size();
    if (!world.stopped()) return "it does not stop";
    return world.wrong();
}

// A primary's end and any machine of a replica's, until nothing moves without time passing.
template <class Machine, class Hear>
void converse(support::served_entries& server, Machine& machine, std::size_t piece, Hear&& hear) {
    support::wire_buffer to_server, to_replica;
    std::vector<std::byte> server_input, replica_input;
    const instant now{1'000'000, 1'700'000'000'000'000};
    for (;;) {
        server.feed();
        const bool at_server =
            support::turn(server.session(), server_input, now, to_server, to_replica, piece,
                          [&](const primary::event& event) { server.handle(event); });
        const bool at_replica =
            support::turn(machine, replica_input, now, to_replica, to_server, piece, hear);
        if (!at_server && !at_replica) return;
    }
}

// The owner of a backup, and what came of it.
struct extractor {
    explicit extractor(replica::options chosen = {}) {
        options.connection = chosen;
        options.connection.user = "repl";
        options.connection.dialect = dialect::aiondb;
        machine.emplace(options, memory{stash, out});
    }
    replica::base_backup_options options;
    std::vector<std::byte> stash = std::vector<std::byte>(stash_size);
    std::vector<std::byte> out = std::vector<std::byte>(out_size);
    std::optional<replica::base_backup> machine;
    std::map<std::string, std::string> files;
    std::string* open = nullptr;
    replica::bootstrap* bootstrap = nullptr;
    std::string identifier;
    aiondb::backup_started header;
    bool ended = false, taken = false;

    void operator()(const replica::base_backup_event& event) {
        std::visit([this](const auto& said) { hear(said); }, event);
    }
    template <class Event>
    void hear(const Event&) {}
    void hear(const replica::connect_wanted&) { CHECK(machine->connected() == errc::none); }
    void hear(const replica::password_wanted&) {
        CHECK(machine->give_password("pencil") == errc::none);
    }
    void hear(const replica::source_identified&) { CHECK(machine->begin({}) == errc::none); }
    void hear(const aiondb::backup_started& said) {
        header = said;
        identifier = said.system_identifier;
        header.system_identifier = identifier;
    }
    void hear(const aiondb::file_started& said) { open = &files[std::string(said.path)]; }
    void hear(const aiondb::file_data& said) { *open += as_text(said.data); }
    void hear(const aiondb::backup_ended&) { ended = true; }
    void hear(const replica::backup_taken&) { taken = true; }
};

} // namespace

// WALWIRE_SEED names one life to be lived alone.
TEST_CASE(
    "in AionDB's dialect, too, both ends come together again after whatever happens to them") {
    std::uint64_t first = 1, last = 200;
    if (const char* const seed = std::getenv("WALWIRE_SEED"))
        first = last = std::strtoull(seed, nullptr, 10);
    counts seen;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        CAPTURE(seed);
        CHECK(life(seed, seen) == "");
    }
    if (first == last) return;
    CHECK(seen.connections > 2 * last);
    CHECK(seen.adoptions > last / 4);
    CHECK(seen.cuts > last / 2);
    CHECK(seen.repeated > last / 2);
    CHECK(seen.entries > 5'000);
    CHECK(seen.diverged > 10);
    CHECK(seen.parted > seen.diverged + 10); // many had none of what was left behind
}

TEST_CASE("a replica whose flush lies behind the fork is told so, and stops") {
    linked_entries world({});
    for (int i = 0; i < 10; ++i) world.here.write(1);
    CHECK(world.settled(30 * second));
    world.here.promote_without(1);
    world.here.write(5);
    CHECK(!world.settled(60 * second));
    CHECK(world.diverged());
    CHECK(world.over());
    CHECK(world.adoptions() == 0);
    CHECK(world.wrong() == "");
    // One that has the same entries, but not durably, is not told, and takes the others for them.
    linked_entries other({});
    for (int i = 0; i < 9; ++i) other.here.write(1);
    CHECK(other.settled(30 * second));
    other.flushes = false;
    other.here.write(1);
    other.run();
    CHECK(other.received().size() == 10);
    other.here.promote_without(1);
    other.here.write(5);
    for (int i = 0; i < 5; ++i) other.wait(second);
    CHECK(other.adoptions() == 1);
    CHECK(other.settled(60 * second));
    CHECK(!other.diverged());
    CHECK(other.adoptions() == 1);
    CHECK(other.received() == std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 14});
    CHECK(other.wrong() == "");
}

TEST_CASE("an LSN advances by 1 per entry or by its encoded bytes, and a replica follows either") {
    for (const bool counts_bytes : {false, true}) {
        linked_entries world({});
        for (std::uint64_t number = 1; number <= 50; ++number)
            world.here.write(counts_bytes ? entries::entry(number).size() : 1);
        CHECK(world.settled(30 * second));
        CHECK((world.here.end() == 50) == !counts_bytes);
        world.cut();
        world.here.write(counts_bytes ? entries::entry(51).size() : 1);
        CHECK(world.settled(60 * second));
        CHECK(world.repeated() == 1);
        CHECK(world.received() == world.here.log);
        CHECK(world.wrong() == "");
    }
}

TEST_CASE("a batch is at most 1024 entries, however many wait") {
    linked_entries world({});
    world.here.batch_entries = SIZE_MAX;
    for (int i = 0; i < 3000; ++i) world.here.write(1);
    CHECK(world.settled(30 * second));
    CHECK(world.largest() == 1024);
    CHECK(world.received() == world.here.log);
    CHECK(world.wrong() == "");
}

TEST_CASE("a fresh replica of a primary without an entry gets there as well") {
    support::entry_world world;
    replica::bootstrap steps({true, false, {}, {}});
    extractor took;
    support::served_entries server(world);
    converse(server, *took.machine, SIZE_MAX, took);
    CHECK(took.taken);
    CHECK(took.header.start == aiondb::first_entry);
    CHECK(steps.done_backup(took.header) == errc::none);
    CHECK(steps.done(replica::bootstrap_step::write_timeline) == errc::none);
    CHECK(steps.done(replica::bootstrap_step::write_system_id) == errc::none);
    CHECK(steps.done_opening({0}) == errc::none);
    REQUIRE(steps.next() == replica::bootstrap_step::follow);
    CHECK(steps.follow_from() == aiondb::first_entry);
}

TEST_CASE("an undisturbed replica sees every entry once, and an idle link stays up by keepalives") {
    linked_entries world({});
    for (int i = 0; i < 100; ++i) world.here.write(1);
    CHECK(world.settled(30 * second));
    for (int i = 0; i < 100; ++i) world.wait(60 * second);
    world.here.write(5);
    CHECK(world.settled(30 * second));
    CHECK(world.connections() == 1);
    CHECK(world.repeated() == 0);
    CHECK(world.received() == world.here.log);
    CHECK(world.stopped());
    CHECK(world.wrong() == "");
}

TEST_CASE("a log of one entry is enough to agree upon") {
    linked_entries world({});
    CHECK(world.settled(30 * second));
    world.here.write(1);
    CHECK(world.settled(30 * second));
    CHECK(world.received() == std::vector<std::uint64_t>{1});
    CHECK(world.connections() == 1);
    CHECK(world.wrong() == "");
}

TEST_CASE("after each reconnect exactly the last durable entry comes again") {
    linked_entries world({});
    for (int i = 0; i < 10; ++i) world.here.write(1);
    CHECK(world.settled(30 * second));
    for (std::uint64_t cut = 1; cut <= 5; ++cut) {
        world.cut();
        world.here.write(3);
        CHECK(world.settled(60 * second));
        CHECK(world.repeated() == cut);
        CHECK(world.connections() == cut + 1);
    }
    CHECK(world.wrong() == "");
}

TEST_CASE("a stream that the primary ends is no failure: the replica is back in 250 ms each time") {
    linked_entries world({});
    for (int i = 0; i < 10; ++i) world.here.write(1);
    CHECK(world.settled(30 * second));
    for (std::uint64_t end = 1; end <= 8; ++end) {
        const std::int64_t before = world.now.steady;
        world.end_stream();
        world.run();
        CHECK(world.connections() == end);
        while (world.connections() == end && world.now.steady < before + second)
            world.wait(10 * millisecond);
        CHECK(world.connections() == end + 1);
        CHECK(world.now.steady - before <= 313 * millisecond + 10 * millisecond);
        CHECK(world.settled(30 * second));
    }
    CHECK(world.wrong() == "");
}

TEST_CASE("a promotion is adopted, and the stream goes on with the entry of the fork") {
    linked_entries world({});
    for (int i = 0; i < 10; ++i) world.here.write(1);
    CHECK(world.settled(30 * second));
    world.here.promote();
    world.here.write(1);
    CHECK(world.settled(60 * second));
    CHECK(world.adoptions() == 1);
    CHECK(world.repeated() == 1);
    CHECK(world.received() == world.here.log);
    CHECK(world.wrong() == "");
}

TEST_CASE("a fresh replica takes a backup, has its identity, and follows at the first try") {
    for (const std::size_t piece : {SIZE_MAX, std::size_t{1}, std::size_t{50}}) {
        support::entry_world world;
        for (int i = 0; i < 10; ++i) world.write(2);
        world.files = {{"000000010000000000000001", std::string(5000, 'w')},
                       {"pages/1", "page"},
                       {"replication_slots/s", ""}};
        replica::bootstrap steps({false, false, {}, {}});
        CHECK(steps.done(replica::bootstrap_step::write_manifest) == errc::none);
        REQUIRE(steps.next() == replica::bootstrap_step::take_backup);
        extractor took;
        support::served_entries server(world);
        converse(server, *took.machine, piece, took);
        CHECK(took.taken);
        CHECK(took.ended);
        CHECK(took.files == world.files);
        CHECK(server.session().over());
        CHECK(steps.done_backup(took.header) == errc::none);
        CHECK(steps.done(replica::bootstrap_step::write_timeline) == errc::none);
        CHECK(steps.done(replica::bootstrap_step::write_system_id) == errc::none);
        CHECK(steps.done_opening({20}) == errc::none);
        REQUIRE(steps.next() == replica::bootstrap_step::follow);
        CHECK(steps.system_identifier() == "cluster-a");
        CHECK(took.header.start == aiondb::entry_lsn{2}); // the first that it brings

        world.write(1);
        replica::receiver_options chosen;
        chosen.connection.user = "repl";
        chosen.connection.dialect = dialect::aiondb;
        chosen.system_identifier =
            *replica::answer::parse_entry_system_identifier(steps.system_identifier());
        std::vector<std::byte> stash(stash_size), out(out_size);
        replica::wal_receiver machine(chosen, {stash, out});
        support::served_entries again(world);
        std::string told;
        converse(again, machine, piece, [&](const replica::receiver_event& event) {
            if (std::holds_alternative<replica::connect_wanted>(event))
                CHECK(machine.connected() == errc::none);
            if (std::holds_alternative<replica::placement_wanted>(event))
                CHECK(machine.place(replica::entry_placement{
                          steps.timeline(), steps.follow_from(), {}}) == errc::none);
            if (const auto* const from = std::get_if<replica::following>(&event))
                told += "following from " + std::to_string(from->start.value);
            if (const auto* const run = std::get_if<replica::entry_data>(&event))
                if (run->ends) told += " to " + std::to_string(run->last.value);
            if (std::holds_alternative<replica::retrying>(event)) told += " again";
        });
        CHECK(told == "following from 20 to 21");
    }
}

TEST_CASE("the four ways to log in are the same in AionDB's dialect") {
    const auth::crypto crypto = auth::openssl();
    const std::array<std::byte, 16> secret{};
    std::array<std::byte, 300> room;
    writer text(room);
    put_verifier(text, *auth::make_verifier(crypto, "pencil", secret, 4096));
    for (const auth::method how : {auth::method::none, auth::method::password, auth::method::md5,
                                   auth::method::scram_sha_256}) {
        const bool scram = how == auth::method::scram_sha_256;
        const auth::stored_secret stored(scram ? as_text(text.written()) : "pencil");
        primary::options chosen;
        chosen.crypto = &crypto;
        chosen.mock_secret = secret;
        support::entry_world world;
        support::served_entries server(world, chosen);
        server.how = how;
        server.secret = &stored;
        replica::options client;
        client.crypto = &crypto;
        client.cleartext_without_tls = true;
        extractor took(client);
        converse(server, *took.machine, SIZE_MAX, took);
        CHECK(took.taken);
    }
}
