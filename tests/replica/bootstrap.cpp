#include <walwire/replica/bootstrap.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace walwire;
using namespace walwire::replica;
using aiondb::backup_started;
using aiondb::entry_lsn;
using step = bootstrap_step;

namespace {

constexpr step all_steps[] = {step::write_manifest, step::clear_wal,       step::take_backup,
                              step::write_timeline, step::write_system_id, step::open_engine,
                              step::follow,         step::broken};

bootstrap_found found(bool manifest, bool wal, std::string_view identifier = {},
                      std::uint32_t timeline = 0) {
    return {manifest, wal, identifier, {timeline}};
}
const backup_started header{{40}, {3}, "cluster-a"};

// A data directory that keeps what was done, and what a crash in the middle of a step may leave.
struct disk {
    bool manifest = false;
    bool wal = false;       // anything in it
    bool wal_whole = false; // all of a backup in it
    std::string system_id;
    std::uint32_t timeline = 0;

    bootstrap_found look() const { return {manifest, wal, system_id, {timeline}}; }
};

} // namespace

TEST_CASE("a fresh replica does its steps in AionDB's order and then follows") {
    bootstrap it(found(false, false));
    CHECK(it.next() == step::write_manifest);
    CHECK(it.done(step::write_manifest) == errc::none);
    CHECK(it.next() == step::take_backup);
    CHECK(it.done_backup(header) == errc::none);
    CHECK(it.system_identifier() == "cluster-a");
    CHECK(it.timeline() == timeline_id{3});
    CHECK(it.backup_start() == entry_lsn{40});
    CHECK(it.next() == step::write_timeline);
    CHECK(it.done(step::write_timeline) == errc::none);
    CHECK(it.next() == step::write_system_id);
    CHECK(it.done(step::write_system_id) == errc::none);
    CHECK(it.next() == step::open_engine);
    CHECK(it.done_opening({45}) == errc::none);
    CHECK(it.next() == step::follow);
    CHECK(it.follow_from() == entry_lsn{45});
    CHECK(it.reason() == errc::none);
}

TEST_CASE("a replica that has its identity opens its engine and follows") {
    bootstrap it(found(true, true, "cluster-a", 3));
    CHECK(it.next() == step::open_engine);
    CHECK(it.system_identifier() == "cluster-a");
    CHECK(it.timeline() == timeline_id{3});
    CHECK(it.done_opening({7}) == errc::none);
    CHECK(it.next() == step::follow);
    CHECK(it.follow_from() == entry_lsn{7});
}

TEST_CASE("what to follow from is the last durable entry, and at least 0/1") {
    bootstrap it(found(true, false, "a", 1));
    CHECK(it.follow_from() == entry_lsn{1});
    CHECK(it.done_opening({0}) == errc::none);
    CHECK(it.follow_from() == entry_lsn{1});
}

TEST_CASE("without an identity nothing that lies there counts, and it is cleared first") {
    for (const std::uint32_t timeline : {0u, 3u}) {
        bootstrap it(found(true, true, {}, timeline));
        CHECK(it.next() == step::clear_wal);
        CHECK(!it.timeline().valid());
        CHECK(it.done(step::clear_wal) == errc::none);
        CHECK(it.next() == step::take_backup);
    }
    bootstrap bare(found(false, true));
    CHECK(bare.next() == step::write_manifest);
    CHECK(bare.done(step::write_manifest) == errc::none);
    CHECK(bare.next() == step::clear_wal);
    bootstrap clean(found(true, false));
    CHECK(clean.next() == step::take_backup);
}

TEST_CASE("a backup that failed is cleared before the next one") {
    bootstrap it(found(true, false));
    it.failed();
    CHECK(it.next() == step::clear_wal);
    it.failed();
    CHECK(it.next() == step::clear_wal);
    CHECK(it.done_backup(header) == errc::not_now);
    CHECK(it.done(step::clear_wal) == errc::none);
    CHECK(it.next() == step::take_backup);
    CHECK(it.done_backup(header) == errc::none);
}

TEST_CASE("any other step that failed is tried again, and keeps what the backup said") {
    bootstrap it(found(false, false));
    it.failed();
    CHECK(it.next() == step::write_manifest);
    CHECK(it.done(step::write_manifest) == errc::none);
    CHECK(it.done_backup(header) == errc::none);
    for (const step each : {step::write_timeline, step::write_system_id}) {
        it.failed();
        CHECK(it.next() == each);
        CHECK(it.system_identifier() == "cluster-a");
        CHECK(it.done(each) == errc::none);
    }
    it.failed();
    CHECK(it.next() == step::open_engine);
    CHECK(it.done_opening({40}) == errc::none);
    it.failed();
    CHECK(it.next() == step::follow);
}

TEST_CASE("only the step that is next can be done") {
    const auto advance = [](bootstrap& it) {
        switch (it.next()) {
        case step::take_backup: return it.done_backup(header);
        case step::open_engine: return it.done_opening({40});
        default: return it.done(it.next());
        }
    };
    bootstrap it(found(false, true));
    for (;;) {
        const step here = it.next();
        for (const step each : all_steps) {
            const bool says_more = each == step::take_backup || each == step::open_engine;
            if (each == here && !says_more && each != step::follow) continue;
            CHECK(it.done(each) == errc::not_now);
            CHECK(it.next() == here);
        }
        if (here != step::take_backup) CHECK(it.done_backup(header) == errc::not_now);
        if (here != step::open_engine) CHECK(it.done_opening({50}) == errc::not_now);
        if (here == step::follow) break;
        CHECK(advance(it) == errc::none);
        CHECK(it.next() != here);
    }
}

TEST_CASE("a backup of nobody is refused, and so is one on no timeline") {
    bootstrap it(found(true, false));
    CHECK(it.done_backup({{40}, {3}, ""}) == errc::system_identifier_invalid);
    CHECK(it.done_backup({{40}, {3}, std::string(1025, 'a')}) == errc::system_identifier_invalid);
    CHECK(it.done_backup({{40}, {0}, "a"}) == errc::timeline_invalid);
    CHECK(it.next() == step::take_backup);
    CHECK(it.done_backup({{40}, {3}, std::string(1024, 'a')}) == errc::none);
    CHECK(it.system_identifier() == std::string(1024, 'a'));
}

TEST_CASE("an engine that did not recover to the backup's start does not follow") {
    bootstrap it(found(true, false));
    CHECK(it.done_backup(header) == errc::none);
    CHECK(it.done(step::write_timeline) == errc::none);
    CHECK(it.done(step::write_system_id) == errc::none);
    CHECK(it.done_opening({39}) == errc::position_ahead);
    CHECK(it.done_opening({0}) == errc::position_ahead);
    CHECK(it.next() == step::open_engine);
    CHECK(it.done_opening({40}) == errc::none);
    CHECK(it.next() == step::follow);
}

TEST_CASE("the backup of a log without an entry begins with 0/1, and there is nothing to recover") {
    for (const entry_lsn start : {entry_lsn{0}, aiondb::first_entry}) {
        bootstrap it(found(true, false));
        CHECK(it.done_backup({start, {1}, "cluster-a"}) == errc::none);
        CHECK(it.done(step::write_timeline) == errc::none);
        CHECK(it.done(step::write_system_id) == errc::none);
        CHECK(it.done_opening({0}) == errc::none);
        CHECK(it.next() == step::follow);
        CHECK(it.follow_from() == aiondb::first_entry);
    }
    bootstrap second_one(found(true, false));
    CHECK(second_one.done_backup({{2}, {1}, "cluster-a"}) == errc::none);
    CHECK(second_one.done(step::write_timeline) == errc::none);
    CHECK(second_one.done(step::write_system_id) == errc::none);
    CHECK(second_one.done_opening({0}) == errc::position_ahead);
    CHECK(second_one.done_opening({2}) == errc::none);
}

TEST_CASE("what is missing beside an identity is named") {
    const std::string long_one(1025, 'a');
    CHECK(bootstrap(found(false, true, "a", 3)).reason() == errc::storage_manifest_missing);
    CHECK(bootstrap(found(false, false, "a", 0)).reason() == errc::storage_manifest_missing);
    CHECK(bootstrap(found(true, true, "a", 0)).reason() == errc::timeline_invalid);
    CHECK(bootstrap(found(true, true, long_one, 3)).reason() == errc::system_identifier_invalid);
    CHECK(bootstrap(found(true, true, "a", 3)).reason() == errc::none);
}

TEST_CASE("an identity without the rest was not written here, and nothing goes on") {
    for (const auto& there : {found(false, false, "a", 3), found(false, true, "a", 3),
                              found(true, true, "a", 0), found(false, false, "a", 0)}) {
        bootstrap it(there);
        CHECK(it.next() == step::broken);
        CHECK(it.reason() != errc::none);
        for (const step each : all_steps) CHECK(it.done(each) == errc::not_now);
        CHECK(it.done_backup(header) == errc::not_now);
        CHECK(it.done_opening({50}) == errc::not_now);
        it.failed();
        CHECK(it.next() == step::broken);
    }
    const std::string long_one(1025, 'a');
    CHECK(bootstrap(found(true, true, long_one, 3)).next() == step::broken);
}

TEST_CASE("what was found need not outlive the constructor") {
    std::string name = "cluster-a";
    bootstrap it(found(true, true, name, 3));
    name.assign(name.size(), 'x');
    CHECK(it.system_identifier() == "cluster-a");
}

TEST_CASE("each step has a name") {
    std::string seen;
    for (const step each : all_steps) {
        const std::string name(to_text(each));
        CHECK(name.size() >= 4);
        CHECK(seen.find('|' + name + '|') == std::string::npos);
        seen += '|' + name + '|';
    }
}

TEST_CASE("crashes and failures at any step lose no whole backup and use no partial one") {
    std::size_t followed = 0, crashes = 0;
    for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
        support::prng random(seed);
        disk data;
        std::optional<bootstrap> it(std::in_place, data.look());
        for (int i = 0; i < 60 && it->next() != step::follow; ++i) {
            const bool crashes_here = random.chance(1, 4);
            const bool fails = !crashes_here && random.chance(1, 5);
            // How much of the step came to the disk: all of it, or a part.
            const bool done = !fails && (!crashes_here || random.chance(1, 2));
            const step here = it->next();
            CAPTURE(seed);
            REQUIRE(here != step::broken);
            switch (here) {
            case step::write_manifest:
                data.manifest = data.manifest || done;
                if (done && !crashes_here) CHECK(it->done(here) == errc::none);
                break;
            case step::clear_wal:
                REQUIRE(data.system_id.empty()); // a replica that is one keeps its log
                data.wal_whole = false;
                data.wal = data.wal && !done;
                if (done && !crashes_here) CHECK(it->done(here) == errc::none);
                break;
            case step::take_backup:
                REQUIRE(!data.wal);
                data.wal = done || random.chance(1, 2);
                data.wal_whole = done;
                if (done && !crashes_here) CHECK(it->done_backup(header) == errc::none);
                break;
            case step::write_timeline:
                if (done) data.timeline = it->timeline().value;
                if (done && !crashes_here) CHECK(it->done(here) == errc::none);
                break;
            case step::write_system_id:
                REQUIRE(data.wal_whole);
                REQUIRE(data.timeline == 3);
                if (done) data.system_id = it->system_identifier();
                if (done && !crashes_here) CHECK(it->done(here) == errc::none);
                break;
            default:
                REQUIRE(data.system_id == "cluster-a");
                REQUIRE(data.wal_whole);
                if (done && !crashes_here) CHECK(it->done_opening({41}) == errc::none);
                break;
            }
            if (fails) it->failed();
            if (crashes_here) {
                ++crashes;
                it.emplace(data.look());
            }
        }
        if (it->next() != step::follow) continue;
        ++followed;
        CHECK(data.manifest);
        CHECK(data.wal_whole);
        CHECK(data.system_id == "cluster-a");
        CHECK(data.timeline == 3);
        CHECK(it->follow_from() == entry_lsn{41});
    }
    CHECK(followed > 1500);
    CHECK(crashes > 2000);
}

TEST_CASE("a bootstrap allocates nothing") {
    support::allocations made;
    bootstrap it(found(false, true));
    bool well = it.done(step::write_manifest) == errc::none;
    well = well && it.done(step::clear_wal) == errc::none;
    well = well && it.done_backup(header) == errc::none;
    const auto count = made.count();
    CHECK(count == 0);
    CHECK(well);
}
