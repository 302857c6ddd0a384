#include "backup_directory.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>

#include "failure.hpp"
#include "temporary_directory.hpp"

using namespace posix_test;
using posix::backup_directory;
using posix::failure;
using posix::file_access;
namespace fs = std::filesystem;

namespace {

void put(backup_directory& into, std::string_view path, std::string_view content) {
    auto file = into.create(path);
    file.write(walwire::as_bytes(content));
    file.close();
}

// What a call is refused with; empty if it is not.
template <class Call>
std::string refused(Call&& call) {
    try {
        call();
    } catch (const failure& why) {
        return why.what();
    }
    return {};
}

mode_t mode_of(const std::string& path) {
    struct stat found {};
    REQUIRE(::lstat(path.c_str(), &found) == 0);
    return found.st_mode & 07777;
}

} // namespace

TEST_CASE("what is written stands where it should, and stays once it is kept") {
    const temporary_directory top;
    {
        backup_directory made(top / "backup", file_access::owner, false);
        put(made, "PG_VERSION", "18\n");
        made.make_directory("base");
        made.make_directory("base/5");
        put(made, "base/5/1259", "a table");
        put(made, "base/5/1260", "another");
        made.make_directory("pg_tblspc");
        made.link("pg_tblspc/16384", "/elsewhere");
        put(made, "backup_manifest.tmp", "{}");
        made.sync();
        made.rename("backup_manifest.tmp", "backup_manifest");
        made.keep();
    }
    CHECK(read_file(top / "backup/PG_VERSION") == "18\n");
    CHECK(read_file(top / "backup/base/5/1259") == "a table");
    CHECK(read_file(top / "backup/base/5/1260") == "another");
    CHECK(read_file(top / "backup/backup_manifest") == "{}");
    CHECK(fs::read_symlink(top / "backup/pg_tblspc/16384") == "/elsewhere");
    CHECK_FALSE(fs::exists(top / "backup/backup_manifest.tmp"));
}

TEST_CASE("permissions are what the server's directory has, whatever the umask says") {
    for (const mode_t mask : {0u, 0077u, 0022u, 0777u}) {
        for (const bool group : {false, true}) {
            const temporary_directory top;
            const mode_t before = ::umask(mask);
            {
                backup_directory made(top / "b", group ? file_access::group : file_access::owner,
                                      true);
                made.make_directory("d");
                put(made, "d/f", "x");
            }
            ::umask(before);
            CHECK(mode_of(top / "b") == (group ? 0750 : 0700));
            CHECK(mode_of(top / "b/d") == (group ? 0750 : 0700));
            CHECK(mode_of(top / "b/d/f") == (group ? 0640 : 0600));
        }
    }
}

TEST_CASE("a directory that holds something is refused and stays as it is") {
    const temporary_directory top;
    fs::create_directory(top / "b");
    write_file(top / "b/mine", "mine");
    CHECK(refused([&] {
              backup_directory(top / "b", file_access::owner, false);
          }).ends_with("is not empty"));
    CHECK(read_file(top / "b/mine") == "mine");
    CHECK(refused([&] {
              backup_directory(top / "b/mine", file_access::owner, false);
          }).find("Not a directory") != std::string::npos);
    CHECK(refused([&] {
              backup_directory(top / "b/mine/x", file_access::owner, false);
          }).find("Not a directory") != std::string::npos);
    CHECK(read_file(top / "b/mine") == "mine");
}

TEST_CASE("of one that failed nothing is left, and nothing else is touched") {
    const temporary_directory top;
    const auto fill = [](backup_directory& made) {
        put(made, "file", "x");
        made.make_directory("base");
        made.make_directory("base/5");
        put(made, "base/5/1", "x");
        made.make_directory("pg_tblspc");
        made.link("pg_tblspc/1", "/");
        put(made, "a.tmp", "x");
        made.rename("a.tmp", "a");
    };
    SUBCASE("a directory that was made goes, with those above it that were made") {
        { backup_directory made(top / "one/two/three/", file_access::owner, false); }
        CHECK_FALSE(fs::exists(top / "one"));
        {
            backup_directory made(top / "one/two", file_access::owner, false);
            fill(made);
            CHECK(fs::exists(top / "one/two/base/5/1"));
        }
        CHECK_FALSE(fs::exists(top / "one"));
    }
    SUBCASE("one that was there stays, empty as it was") {
        fs::create_directory(top / "one");
        {
            backup_directory made(top / "one", file_access::owner, false);
            fill(made);
        }
        CHECK(fs::is_directory(top / "one"));
        CHECK(fs::is_empty(top / "one"));
    }
    SUBCASE("what somebody else put there meanwhile stays") {
        {
            backup_directory made(top / "one", file_access::owner, false);
            fill(made);
            write_file(top / "one/theirs", "theirs");
        }
        CHECK(read_file(top / "one/theirs") == "theirs");
        CHECK(std::distance(fs::directory_iterator(top / "one"), fs::directory_iterator()) == 1);
    }
    SUBCASE("links that came in are removed, and not what they lead to") {
        fs::create_directory(top / "outside");
        write_file(top / "outside/precious", "precious");
        {
            backup_directory made(top / "one", file_access::owner, false);
            made.make_directory("base");
            made.link("base/link", top / "outside");
            made.link("link", top / "outside");
        }
        CHECK(read_file(top / "outside/precious") == "precious");
        CHECK_FALSE(fs::exists(top / "one"));
    }
    SUBCASE("all of it stays where that is wanted") {
        {
            backup_directory made(top / "one", file_access::owner, true);
            fill(made);
        }
        CHECK(fs::exists(top / "one/base/5/1"));
    }
}

TEST_CASE("a file is made once, a directory may come twice") {
    const temporary_directory top;
    backup_directory made(top / "b", file_access::owner, false);
    made.make_directory("pg_wal");
    made.make_directory("pg_wal");
    put(made, "pg_wal/1", "first");
    CHECK(refused([&] { put(made, "pg_wal/1", "second"); }).find("pg_wal/1\": File exists") !=
          std::string::npos);
    CHECK(read_file(top / "b/pg_wal/1") == "first");
    CHECK(refused([&] { made.make_directory("pg_wal/1"); }).find("File exists") !=
          std::string::npos);
    CHECK(refused([&] { made.link("pg_wal/1", "/"); }).find("File exists") != std::string::npos);
    made.link("link", "/");
    CHECK(refused([&] { made.make_directory("link"); }).find("File exists") != std::string::npos);
    CHECK(refused([&] { put(made, "link", ""); }).find("File exists") != std::string::npos);
    CHECK(refused([&] { put(made, "absent/1", ""); }).find("No such file") != std::string::npos);
}

TEST_CASE("no link is followed: not the last part of a path, nor one before it") {
    const temporary_directory top;
    fs::create_directories(top / "outside/deep");
    write_file(top / "outside/precious", "precious");
    backup_directory made(top / "b", file_access::owner, false);
    made.make_directory("base");
    made.link("base/out", top / "outside");
    made.link("file", top / "outside/precious");
    made.link("dangling", top / "outside/new");
    CHECK_FALSE(refused([&] { put(made, "file", "damage"); }).empty());
    CHECK_FALSE(refused([&] { put(made, "dangling", "damage"); }).empty());
    CHECK_FALSE(refused([&] { put(made, "base/out/new", "damage"); }).empty());
    CHECK_FALSE(refused([&] { put(made, "base/out/deep/new", "damage"); }).empty());
    CHECK_FALSE(refused([&] { made.make_directory("base/out/new"); }).empty());
    CHECK_FALSE(refused([&] { made.link("base/out/new", "/"); }).empty());
    CHECK_FALSE(refused([&] { made.open_directory("base/out"); }).empty());
    CHECK(read_file(top / "outside/precious") == "precious");
    CHECK_FALSE(fs::exists(top / "outside/new"));
    CHECK(fs::is_empty(top / "outside/deep"));
}

TEST_CASE("a directory that somebody replaces by a link is not followed either") {
    const temporary_directory top;
    fs::create_directory(top / "outside");
    backup_directory made(top / "b", file_access::owner, false);
    made.make_directory("base");
    made.make_directory("global");
    put(made, "base/1", "x");
    put(made, "global/1", "x"); // so that base is opened again
    fs::rename(top / "b/base", top / "moved");
    fs::create_symlink(top / "outside", top / "b/base");
    CHECK_FALSE(refused([&] { put(made, "base/2", "damage"); }).empty());
    CHECK(fs::is_empty(top / "outside"));
}

TEST_CASE("a directory above that cannot be written is no matter if it is there") {
    if (::geteuid() == 0) return; // root may write anywhere
    const temporary_directory top;
    fs::create_directories(top / "closed/open");
    fs::permissions(top / "closed", fs::perms::owner_read | fs::perms::owner_exec);
    { backup_directory made(top / "closed/open", file_access::owner, false); }
    CHECK(refused([&] {
              backup_directory(top / "closed/new", file_access::owner, false);
          }).find("Permission denied") != std::string::npos);
    fs::permissions(top / "closed", fs::perms::owner_all);
}

TEST_CASE("a write that the disk refuses is told with the file's name") {
    posix::new_file full(posix::descriptor(::open("/dev/full", O_WRONLY)), "full");
    CHECK(refused([&] { full.write(walwire::as_bytes("x")); }) ==
          "could not write file \"full\": No space left on device");
}
