#include "unpacker.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include <walwire/backup/tar.hpp>

#include "failure.hpp"
#include "temporary_directory.hpp"

using namespace posix_test;
using posix::backup_directory;
using posix::failure;
using posix::unpacker;
using posix::verification;
using walwire::backup::tar_entry;
using walwire::backup::tar_kind;
namespace backup = walwire::backup;
namespace fs = std::filesystem;

namespace {

using content = std::vector<std::byte>;

void add(content& archive, tar_entry entry, std::string_view body = {}) {
    entry.size = body.size();
    entry.mode = 0777; // ours decides
    std::array<std::byte, backup::tar_block_size> block{};
    REQUIRE(backup::put_tar_header(block, entry) == walwire::errc::none);
    archive.insert(archive.end(), block.begin(), block.end());
    const walwire::bytes bytes = walwire::as_bytes(body);
    archive.insert(archive.end(), bytes.begin(), bytes.end());
    archive.resize(archive.size() + backup::tar_padding(body.size()));
}
void add_file(content& archive, std::string_view path, std::string_view body) {
    tar_entry entry;
    entry.path = path;
    add(archive, entry, body);
}
void add_directory(content& archive, std::string_view path) {
    tar_entry entry;
    entry.kind = tar_kind::directory;
    entry.path = path;
    add(archive, entry);
}
void add_link(content& archive, std::string_view path, std::string_view target) {
    tar_entry entry;
    entry.kind = tar_kind::symbolic_link;
    entry.path = path;
    entry.target = target;
    add(archive, entry);
}
// The header of a file, with a path that no server should send.
void add_raw(content& archive, std::string_view path, char kind = '0') {
    const std::size_t at = archive.size();
    add_file(archive, "x", "");
    std::memcpy(archive.data() + at, path.data(), path.size());
    archive[at + 156] = static_cast<std::byte>(kind);
    const auto sum = backup::detail::tar_sum(
        std::span<const std::byte, 512>(archive.data() + at, backup::tar_block_size));
    backup::detail::put_tar_number(backup::tar_block(archive.data() + at, backup::tar_block_size),
                                   backup::detail::tar_checksum, sum);
}

// A directory that an archive is unpacked into.
struct unpacking {
    temporary_directory top;
    std::optional<backup_directory> directory;
    posix::tablespace_map links{{"16384", {"/srv/one", "/here/one"}}};
    verification check{backup::manifest_checksums::crc32c};

    unpacking() { directory.emplace(top / "b", posix::file_access::owner, true); }

    // What it is refused with; empty if it is not.
    std::string unpack(content archive, bool whole = true, unpacker::destination into = {}) {
        if (whole) archive.resize(archive.size() + backup::tar_trailer_size);
        if (into.directory == nullptr && into.below.empty()) into.directory = &*directory;
        if (into.below == "look") into = {};
        try {
            unpacker archives(backup::tar_trailer::required, into, links, check);
            for (std::size_t at = 0; at < archive.size(); at += 700)
                archives.eat(walwire::bytes(archive).subspan(at).first(
                    std::min<std::size_t>(700, archive.size() - at)));
            archives.finish();
        } catch (const failure& why) {
            return why.what();
        }
        return {};
    }
    std::string at(const std::string& path) const { return top / ("b/" + path); }
};

} // namespace

TEST_CASE("an archive becomes what it was made of") {
    unpacking test;
    content archive;
    add_file(archive, "backup_label", "LABEL\n");
    add_directory(archive, "base");
    add_directory(archive, "base/5");
    add_file(archive, "base/5/1259", std::string(20'000, 'x'));
    add_file(archive, "base/5/empty", "");
    add_directory(archive, "pg_wal");
    add_directory(archive, "./pg_wal/archive_status");
    add_directory(archive, "pg_wal");
    add_directory(archive, "pg_tblspc");
    add_link(archive, "pg_tblspc/16384", "/srv/one");
    REQUIRE(test.unpack(archive) == "");
    CHECK(read_file(test.at("backup_label")) == "LABEL\n");
    CHECK(read_file(test.at("base/5/1259")) == std::string(20'000, 'x'));
    CHECK(read_file(test.at("base/5/empty")).empty());
    CHECK(fs::is_directory(test.at("pg_wal/archive_status")));
    CHECK(fs::read_symlink(test.at("pg_tblspc/16384")) == "/here/one"); // where we want it
    CHECK(test.check.files() == 3);
}

TEST_CASE("a tablespace that stands in the data directory goes below its name there") {
    unpacking test;
    test.directory->make_directory("pg_tblspc");
    test.directory->make_directory("pg_tblspc/99");
    content archive;
    add_directory(archive, "PG_18");
    add_file(archive, "PG_18/1", "x");
    unpacker::destination into;
    into.directory = &*test.directory;
    into.below = into.listed_below = "pg_tblspc/99/";
    REQUIRE(test.unpack(archive, true, into) == "");
    CHECK(read_file(test.at("pg_tblspc/99/PG_18/1")) == "x");
}

TEST_CASE("an archive that is only looked at writes nothing and is judged the same") {
    unpacking test;
    content archive;
    add_directory(archive, "base");
    add_file(archive, "base/1", "x");
    add_directory(archive, "pg_tblspc");
    add_link(archive, "pg_tblspc/16384", "/srv/one");
    unpacker::destination look;
    look.below = "look";
    CHECK(test.unpack(archive, true, look) == "");
    CHECK(fs::is_empty(test.at("")));
    CHECK(test.check.files() == 1);
    CHECK(test.links["16384"].linked);
    CHECK(test.unpack(archive, true, look).find("base/1") != std::string::npos); // it came before
    add_link(archive, "pg_tblspc/16385", "/srv/two");
    CHECK(unpacking().unpack(archive, true, look).find("no tablespace") != std::string::npos);
}

TEST_CASE("hostile paths end it, and nothing is written outside") {
    for (const std::string_view path :
         {"../evil", "/evil", "base/../../evil", "base//evil", "./../evil", "base/./evil", ".."}) {
        unpacking test;
        content archive;
        add_directory(archive, "base");
        add_raw(archive, path);
        CHECK_FALSE(test.unpack(archive).empty());
        CHECK_FALSE(fs::exists(test.top / "evil"));
        CHECK_FALSE(fs::exists("/evil"));
    }
    for (const char kind : {'1', '3', '4', '6', '7', 'x', 'g', 'L', 'K', 'S'}) {
        unpacking test;
        content archive;
        add_raw(archive, "node", kind);
        CHECK_FALSE(test.unpack(archive).empty());
        CHECK_FALSE(fs::exists(test.at("node")));
    }
}

TEST_CASE("links are made for listed tablespaces alone, and only where they belong") {
    const auto refused = [](std::string_view path, std::string_view target) {
        unpacking test;
        content archive;
        add_directory(archive, "pg_tblspc");
        add_link(archive, path, target);
        const std::string why = test.unpack(archive);
        CHECK_FALSE(fs::is_symlink(test.at(std::string(path))));
        return why.find("which is no tablespace of the backup") != std::string::npos;
    };
    CHECK(refused("pg_tblspc/16385", "/srv/one"));   // not listed
    CHECK(refused("pg_tblspc/16384", "/srv/other")); // listed with another path
    CHECK(refused("pg_tblspc/16384", "/here/one"));
    CHECK(refused("pg_tblspc/016384", "/srv/one"));
    CHECK(refused("16384", "/srv/one"));
    CHECK(refused("pg_wal", "/srv/one"));
    CHECK(refused("pg_tblspc", "/srv/one"));
}

TEST_CASE("an archive of a tablespace has no links at all") {
    unpacking test;
    content archive;
    add_directory(archive, "pg_tblspc");
    add_link(archive, "pg_tblspc/16384", "/srv/one");
    unpacker::destination into;
    into.directory = &*test.directory;
    into.listed_below = "pg_tblspc/16384/";
    CHECK(test.unpack(archive, true, into).find("no tablespace") != std::string::npos);
}

TEST_CASE("what goes through a link that came before is refused") {
    unpacking test;
    fs::create_directory(test.top / "outside");
    test.links["16384"].target = test.top / "outside";
    content archive;
    add_directory(archive, "pg_tblspc");
    add_link(archive, "pg_tblspc/16384", "/srv/one");
    add_file(archive, "pg_tblspc/16384/evil", "x");
    CHECK(test.unpack(archive).find("could not open directory") != std::string::npos);
    CHECK(fs::is_empty(test.top / "outside"));
}

TEST_CASE("a path that comes twice is refused by its name") {
    unpacking test;
    content archive;
    add_file(archive, "backup_label", "one");
    add_file(archive, "./backup_label", "two");
    CHECK(test.unpack(archive).find("backup_label") != std::string::npos);
    CHECK(read_file(test.at("backup_label")) == "one");
}

TEST_CASE("an archive that is cut short or goes on is refused") {
    content archive;
    add_file(archive, "PG_VERSION", "18\n");
    CHECK_FALSE(unpacking().unpack(archive, false).empty()); // no trailer
    content cut = archive;
    cut.resize(cut.size() - 100);
    CHECK_FALSE(unpacking().unpack(cut, false).empty());
    content more = archive;
    more.resize(more.size() + backup::tar_trailer_size);
    more.push_back(std::byte{1});
    CHECK_FALSE(unpacking().unpack(more, false).empty());
}
