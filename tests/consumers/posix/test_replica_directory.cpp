#include "replica_directory.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "failure.hpp"
#include "temporary_directory.hpp"

namespace {

namespace replica = walwire::replica;
using posix::replica_directory;
using posix_test::read_file;
using posix_test::temporary_directory;
using posix_test::write_file;
using replica::bootstrap;
using replica::bootstrap_step;

// Goes on from what is on disk, for so many steps; gives the step that is next then.
bootstrap_step advance(const std::string& path, int steps) {
    replica_directory directory(path);
    bootstrap order(directory.found());
    for (; steps > 0; --steps) {
        const bootstrap_step step = order.next();
        switch (step) {
        case bootstrap_step::write_manifest: directory.write_manifest(); break;
        case bootstrap_step::clear_wal: directory.clear_wal(); break;
        case bootstrap_step::take_backup: {
            posix::backup_directory& wal = directory.make_wal();
            wal.make_directory("pages");
            wal.create("pages/1").write(walwire::as_bytes(std::string_view("content")));
            directory.sync_wal();
            REQUIRE(order.done_backup({{5}, {3}, "77"}) == walwire::errc::none);
            continue;
        }
        case bootstrap_step::write_timeline: directory.write_timeline(order.timeline()); break;
        case bootstrap_step::write_system_id:
            directory.write_system_id(order.system_identifier());
            break;
        default: return step;
        }
        REQUIRE(order.done(step) == walwire::errc::none);
    }
    return order.next();
}

} // namespace

TEST_CASE("a run that ends after any step is gone on with by the next one") {
    for (int first = 0; first <= 4; ++first) {
        const temporary_directory at;
        const std::string path = at / "data";
        const bootstrap_step left = advance(path, first);
        CAPTURE(first);
        CHECK((left == bootstrap_step::open_engine) == (first == 4));
        CHECK(advance(path, 9) == bootstrap_step::open_engine);
        CHECK(read_file(path + "/wal/pages/1") == "content");
        CHECK(read_file(path + "/replication/timeline") == "3\n");
        CHECK(read_file(path + "/replication/system_id") == "77\n");
        CHECK(read_file(path + "/manifest") == "walwire bootstrap 1\n");
        CHECK(advance(path, 0) == bootstrap_step::open_engine);
    }
}

TEST_CASE("what an unfinished backup left is cleared, but not what a link leads to") {
    const temporary_directory at;
    const std::string path = at / "data";
    advance(path, 1);
    std::filesystem::create_directory(at / "away");
    write_file(at / "away/mine", "x");
    std::filesystem::create_directories(path + "/wal/deep/er");
    write_file(path + "/wal/deep/er/torn", "x");
    std::filesystem::create_directory_symlink(at / "away", path + "/wal/deep/link");
    CHECK(advance(path, 0) == bootstrap_step::clear_wal);
    CHECK(advance(path, 1) == bootstrap_step::take_backup);
    CHECK(!std::filesystem::exists(path + "/wal"));
    CHECK(read_file(at / "away/mine") == "x");
    std::filesystem::create_directory_symlink(at / "away", path + "/wal");
    CHECK(advance(path, 9) == bootstrap_step::open_engine);
    CHECK(read_file(at / "away/mine") == "x");
    CHECK(!std::filesystem::is_symlink(path + "/wal"));
}

TEST_CASE("a directory that holds something else is refused, and left as it is") {
    for (const char* name : {"mine", "wal", "replication", "manifest"}) {
        const temporary_directory at;
        if (std::string(name) == "mine" || std::string(name) == "manifest")
            write_file(at / name, "x");
        else
            std::filesystem::create_directory(at / name);
        CAPTURE(name);
        CHECK_THROWS_AS(replica_directory{at.path()}, posix::failure);
        CHECK(std::filesystem::exists(at / name));
    }
    const temporary_directory at;
    advance(at.path(), 1);
    write_file(at / "mine", "x");
    CHECK_THROWS_AS(replica_directory{at.path()}, posix::failure);
}

TEST_CASE("the engine's own files behind a backup that is whole do not matter") {
    const temporary_directory at;
    advance(at.path(), 9);
    write_file(at / "manifest", "the engine's");
    write_file(at / "tables", "x");
    CHECK(advance(at.path(), 0) == bootstrap_step::open_engine);
    std::filesystem::remove(at / "replication/timeline");
    CHECK(advance(at.path(), 0) == bootstrap_step::broken);
}

TEST_CASE("two runs at once are one too many") {
    const temporary_directory at;
    const replica_directory one(at.path());
    CHECK_THROWS_AS(replica_directory{at.path()}, posix::failure);
}
