#include "combine.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <walwire/auth/openssl.hpp>
#include <walwire/backup/incremental.hpp>
#include <walwire/backup/manifest_writer.hpp>

#include "backup_chain.hpp"
#include "backup_label.hpp"
#include "failure.hpp"
#include "rebuilt_file.hpp"
#include "temporary_directory.hpp"

using namespace posix_test;
using posix::backup_chain;
using posix::combine_arguments;
using posix::failure;
using posix::parse_backup_label;
using walwire::backup::manifest_checksums;
namespace backup = walwire::backup;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t system_identifier = 7'300'000'000'000'000'001;
constexpr std::size_t block_size = 8192;

using files = std::map<std::string, std::string>;

// A block of the letter for each letter; '.' is zeros.
std::string blocks(std::string_view letters) {
    std::string made;
    for (const char each : letters) made.append(block_size, each == '.' ? '\0' : each);
    return made;
}

std::string incremental(const std::vector<std::uint32_t>& numbers, std::string_view letters,
                        std::uint32_t truncation_length) {
    const auto count = static_cast<std::uint32_t>(numbers.size());
    std::string made(backup::incremental_header_size(count), '\0');
    walwire::little_writer out(std::as_writable_bytes(std::span(made)));
    REQUIRE(backup::put_incremental_header(out, numbers, truncation_length) == walwire::errc::none);
    return made + blocks(letters);
}

std::string label_of(int number, std::optional<int> builds_on) {
    std::string made = "START WAL LOCATION: 0/" + std::to_string(number) +
                       "000028 (file 00000001000000000000000" + std::to_string(number) +
                       ")\nCHECKPOINT LOCATION: 0/2000060\nLABEL: any\nSTART TIMELINE: 1\n";
    if (builds_on)
        made += "INCREMENTAL FROM LSN: 0/" + std::to_string(*builds_on) +
                "000028\nINCREMENTAL FROM TLI: 1\n";
    return made;
}

backup::checksum_value checksum_of(manifest_checksums algorithm, std::string_view content) {
    backup::checksum made;
    REQUIRE(made.begin(algorithm, walwire::auth::openssl_digests()) == walwire::errc::none);
    REQUIRE(made.update(walwire::as_bytes(content)) == walwire::errc::none);
    return *made.finish();
}

std::string manifest_of(const files& listed, backup::manifest_started as,
                        manifest_checksums algorithm) {
    backup::manifest_writer writer;
    std::string made;
    std::vector<std::byte> room(8192);
    const auto put = [&](walwire::result<std::size_t> size) {
        REQUIRE(size.code() == walwire::errc::none);
        made += walwire::as_text(walwire::bytes(room).first(*size));
    };
    put(writer.start(as, walwire::auth::openssl_digests(), room));
    for (const auto& [path, content] : listed) {
        if (!backup::is_listed_kind(path)) continue;
        put(writer.file(
            {path, content.size(), "2026-01-01 00:00:00 GMT", checksum_of(algorithm, content)},
            room));
    }
    put(writer.range({{1}, {0x4000028}, {0x4000120}}, room));
    put(writer.end(room));
    return made;
}

struct kind {
    std::uint64_t control = system_identifier;
    std::optional<std::uint64_t> named = system_identifier;
    manifest_checksums algorithm = manifest_checksums::crc32c;
};

void write_below(const std::string& directory, const files& content) {
    for (const auto& [path, text] : content) {
        fs::create_directories(fs::path(directory + '/' + path).parent_path());
        write_file(directory + '/' + path, text);
    }
}

// Backups below a directory that is gone with the test: 1, 2 and so on, each on top of the others.
struct backups {
    temporary_directory top;

    std::string add(int number, std::optional<int> builds_on, const files& content,
                    const kind& as = {}) {
        files all = content;
        std::string control(8192, '\0');
        std::memcpy(control.data(), &as.control, sizeof as.control);
        all.insert({{"global/pg_control", control},
                    {"PG_VERSION", "18\n"},
                    {"backup_label", label_of(number, builds_on)}});
        const std::uint32_t version = as.named ? 2 : 1;
        all.insert({"backup_manifest", manifest_of(all, {version, as.named}, as.algorithm)});
        const std::string directory = top / std::to_string(number);
        write_below(directory, all);
        fs::create_directories(directory + "/pg_tblspc");
        fs::create_directories(directory + "/pg_wal");
        return directory;
    }

    std::string out() const { return top / "out"; }

    // A chain of two whose second has this file.
    std::vector<std::string> with(const std::string& content, const std::string& below = "abc") {
        return {add(1, {}, {{"base/5/1", blocks(below)}}),
                add(2, 1, {{"base/5/INCREMENTAL.1", content}})};
    }
};

combine_arguments into(const std::string& directory, std::vector<std::string> chain) {
    combine_arguments made;
    made.directory = directory;
    made.backups = std::move(chain);
    return made;
}

std::string refused(const combine_arguments& given) {
    try {
        posix::combine(given);
    } catch (const failure& why) {
        return why.what();
    }
    return {};
}

// What a chain is refused with, and that nothing is left of it.
std::string refused(const backups& made, std::vector<std::string> chain) {
    const std::string said = refused(into(made.out(), std::move(chain)));
    CHECK_FALSE(fs::exists(made.out()));
    return said;
}

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

} // namespace

TEST_CASE("a chain of three is one backup") {
    backups made;
    const std::vector<std::string> chain{
        made.add(1, {}, {{"base/5/1", blocks("aaaa")}, {"base/5/2", "gone"}}),
        made.add(2, 1, {{"base/5/INCREMENTAL.1", incremental({1, 3}, "bb", 4)}}),
        made.add(3, 2,
                 {{"base/5/INCREMENTAL.1", incremental({3, 5}, "cc", 4)},
                  {"base/5/3", "new"},
                  {"base/5/4", ""},
                  {"pg_wal/000000010000000000000003", "wal"},
                  {"pg_wal/archive_status/000000010000000000000003.done", ""}})};
    posix::combine(into(made.out(), chain));

    CHECK(read_file(made.out() + "/base/5/1") == blocks("abac.c"));
    CHECK(read_file(made.out() + "/base/5/3") == "new");
    CHECK(fs::file_size(made.out() + "/base/5/4") == 0);
    CHECK_FALSE(fs::exists(made.out() + "/base/5/2"));
    CHECK_FALSE(fs::exists(made.out() + "/base/5/INCREMENTAL.1"));
    CHECK(read_file(made.out() + "/backup_label") == label_of(3, {}));
    CHECK(read_file(made.out() + "/global/pg_control") ==
          read_file(chain[2] + "/global/pg_control"));
    CHECK(read_file(made.out() + "/pg_wal/000000010000000000000003") == "wal");
    CHECK(fs::exists(made.out() + "/pg_wal/archive_status/000000010000000000000003.done"));
    CHECK(fs::is_directory(made.out() + "/pg_tblspc"));

    // The manifest is that of what is there, and the result the beginning of another chain.
    const backup_chain one({made.out()});
    CHECK(one.system_identifier() == system_identifier);
    REQUIRE(one.newest().ranges().size() == 1);
    CHECK(one.newest().ranges().front() == backup::wal_range{{1}, {0x4000028}, {0x4000120}});
    for (const char* const path :
         {"base/5/1", "base/5/3", "base/5/4", "backup_label", "PG_VERSION", "global/pg_control"}) {
        CAPTURE(path);
        REQUIRE(one.listed(path) != nullptr);
        CHECK(one.listed(path)->size == fs::file_size(made.out() + '/' + path));
        CHECK(one.listed(path)->checksum ==
              checksum_of(manifest_checksums::crc32c, read_file(made.out() + '/' + path)));
    }
    CHECK(one.listed("pg_wal/000000010000000000000003") == nullptr);
    CHECK(one.listed("backup_manifest") == nullptr);
    made.add(4, 3, {{"base/5/INCREMENTAL.1", incremental({}, "", 3)}});
    posix::combine(into(made.top / "again", {made.out(), made.top / "4"}));
    CHECK(read_file(made.top / "again/base/5/1") == blocks("aba"));
}

TEST_CASE("an older file that is whole ends the search") {
    backups made;
    const std::vector<std::string> chain{
        made.add(1, {}, {{"base/5/1", blocks("aaaa")}}),
        made.add(2, 1, {{"base/5/1", blocks("bb") + "half a block"}}),
        made.add(3, 2, {{"base/5/INCREMENTAL.1", incremental({0}, "c", 3)}})};
    posix::combine(into(made.out(), chain));
    CHECK(read_file(made.out() + "/base/5/1") == blocks("cb."));
}

TEST_CASE("a name says nothing outside of where relations are") {
    backups made;
    const std::vector<std::string> chain{made.add(1, {}, {}),
                                         made.add(2, 1, {{"other/INCREMENTAL.1", "text"}})};
    posix::combine(into(made.out(), chain));
    CHECK(read_file(made.out() + "/other/INCREMENTAL.1") == "text");
}

TEST_CASE("a full backup alone is a chain, too") {
    backups made;
    posix::combine(into(made.out(), {made.add(1, {}, {{"base/5/1", "a"}})}));
    CHECK(read_file(made.out() + "/base/5/1") == "a");
}

TEST_CASE("backups that do not follow each other are refused") {
    backups made;
    const std::string one = made.add(1, {}, {}), two = made.add(2, 1, {}),
                      three = made.add(3, 2, {}), full = made.add(4, {}, {});
    CHECK(refused(made, {two}) ==
          '"' + two + "\" is an incremental backup, and the first has to be a full one");
    CHECK(refused(made, {two, one}).find("has to be a full one") != std::string::npos);
    CHECK(refused(made, {one, full}) ==
          '"' + full + "\" is a full backup, which only the first can be");
    CHECK(refused(made, {one, two, one}).find("only the first") != std::string::npos);
    CHECK(refused(made, {one, three}) ==
          '"' + three + "\" builds on a backup that starts at 0/2000028 on timeline 1, but \"" +
              one + "\" starts at 0/1000028 on timeline 1");
    CHECK(contains(refused(made, {full, two}), "\" starts at 0/4000028 on timeline 1"));
    CHECK(contains(refused(made, {one, two, two}), "builds on"));
    std::string other = read_file(two + "/backup_label");
    other.replace(other.find("FROM TLI: 1"), 11, "FROM TLI: 2");
    write_file(two + "/backup_label", other);
    CHECK(contains(refused(made, {one, two}), "starts at 0/1000028 on timeline 2, but"));
}

TEST_CASE("backups of different systems are refused") {
    backups made;
    const std::string one = made.add(1, {}, {});
    const auto second = [&](const kind& as) {
        fs::remove_all(made.top / "2");
        return made.add(2, 1, {}, as);
    };
    kind as;
    as.control = 7;
    as.named = 7;
    CHECK(contains(refused(made, {one, second(as)}), " is of system 7, but "));
    as.control = system_identifier;
    CHECK(contains(refused(made, {one, second(as)}), " is of system 7, but its control file"));
    as.named.reset();
    CHECK(contains(refused(made, {one, second(as)}), "names no system"));
}

TEST_CASE("what is no backup is refused") {
    backups made;
    const std::string one = made.add(1, {}, {});
    const auto broken = [&](const char* name, std::optional<std::string> content) {
        fs::remove_all(made.top / "2");
        const std::string two = made.add(2, 1, {});
        if (content)
            write_file(two + '/' + name, *content);
        else
            fs::remove(two + '/' + name);
        return refused(made, {one, two});
    };
    CHECK(contains(broken("backup_label", {}), "no backup_label"));
    CHECK(contains(broken("backup_label", "START WAL LOCATION: 0/1\nSTART TIMELINE: 1"),
                   "cannot be read"));
    CHECK(contains(broken("backup_manifest", {}), "backup_manifest\": No such file"));
    CHECK(contains(broken("backup_manifest", "{}"), "the manifest of "));
    CHECK(contains(broken("global/pg_control", "short"), "too short"));
    CHECK(contains(broken("global/pg_control", {}), "pg_control"));
    CHECK(contains(broken("postmaster.pid", "1\n"), "a server that runs"));
    CHECK(contains(broken("tablespace_map", "16384 /old\n"), "tablespace_map"));
    CHECK_FALSE(refused(made, {one, made.top / "nowhere"}).empty());
    write_file(made.top / "2/tablespace_map", "");
    fs::remove(made.top / "2/postmaster.pid");
    CHECK(refused(into(made.out(), {one, made.top / "2"})).empty());
}

TEST_CASE("a label's own words count for nothing") {
    const std::string head = "START WAL LOCATION: 0/5000028 (file 000000030000000000000005)\n";
    const std::string words = "LABEL: x\nSTART WAL LOCATION: 0/1\nSTART TIMELINE: 9\n"
                              "INCREMENTAL FROM LSN: 0/1\nINCREMENTAL FROM TLI: 1\n";
    const auto full = parse_backup_label(head + words + "START TIMELINE: 3\n");
    REQUIRE(full);
    CHECK(full->start == posix::backup_start{{0x5000028}, {3}});
    CHECK_FALSE(full->builds_on);
    CHECK(full->full == head + words + "START TIMELINE: 3\n");
    const auto later = parse_backup_label(
        head + words + "START TIMELINE: 3\nINCREMENTAL FROM LSN: 0/7\nINCREMENTAL FROM TLI: 2\n");
    REQUIRE(later);
    CHECK(later->start == full->start);
    REQUIRE(later->builds_on);
    CHECK(*later->builds_on == posix::backup_start{{7}, {2}});
    CHECK(later->full == full->full);
}

TEST_CASE("a label that is cut is none, but for its last two lines") {
    const std::string whole = label_of(2, 1);
    const std::size_t full = label_of(2, {}).size();
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        CAPTURE(size);
        CHECK(parse_backup_label(whole.substr(0, size)).has_value() ==
              (size == full || size == whole.size()));
    }
    CHECK_FALSE(parse_backup_label("START TIMELINE: 1\n"));
    CHECK_FALSE(parse_backup_label("START WAL LOCATION: 0/x (\nSTART TIMELINE: 1\n"));
    CHECK_FALSE(parse_backup_label("START WAL LOCATION: 0/1 (\nSTART TIMELINE: 0\n"));
    CHECK_FALSE(parse_backup_label("START WAL LOCATION: 0/1 (\nSTART TIMELINE: 1\n"
                                   "INCREMENTAL FROM TLI: 1\n"));
}

TEST_CASE("incremental files that were made to mislead are refused, and nothing is left") {
    const std::string good = incremental({0, 2}, "xy", 3);
    const auto changed = [&](std::size_t at, std::uint32_t value) {
        std::string text = good;
        std::memcpy(text.data() + at, &value, sizeof value);
        return text;
    };
    struct hostile {
        std::string content;
        std::string reason;
    };
    const std::string head = "the header of an incremental file is malformed";
    const std::string size = std::string(text(walwire::errc::incremental_size_mismatch));
    const std::string block = std::string(text(walwire::errc::incremental_block_invalid));
    const std::vector<hostile> all{{changed(0, 0xd3ae1f0e), ", at byte 0: " + head},
                                   {changed(4, 131073), ", at byte 0: " + head},
                                   {changed(4, UINT32_MAX), ", at byte 0: " + head},
                                   {changed(4, 131072), ", at byte 4: " + size},
                                   {changed(4, 3), ", at byte 4: " + size},
                                   {changed(4, 0), ", at byte 4: " + size},
                                   {changed(8, 131073), ", at byte 0: " + head},
                                   {changed(12, 2), ", at byte 16: " + block},
                                   {changed(12, 3), ", at byte 16: " + block},
                                   {changed(16, 131072), ", at byte 16: " + block},
                                   {changed(16, UINT32_MAX), ", at byte 16: " + block},
                                   {changed(20, 1), ", at byte 20: " + head},
                                   {changed(8188, 0x01000000), ", at byte 8191: " + head},
                                   {good + 'x', ", at byte 4: " + size},
                                   {good.substr(0, good.size() - 1), ", at byte 4: " + size},
                                   {good.substr(0, 12), ", at byte 4: " + size},
                                   {good.substr(0, 11), ", at byte 11: " + size},
                                   {"", ", at byte 0: " + size}};
    for (const hostile& each : all) {
        CAPTURE(each.reason);
        backups made;
        const auto chain = made.with(each.content);
        CHECK(refused(made, chain) == '"' + chain[1] + "/base/5/INCREMENTAL.1\"" + each.reason);
    }
    backups made;
    CHECK(refused(into(made.out(), made.with(good))).empty());
    CHECK(read_file(made.out() + "/base/5/1") == blocks("xby"));
}

TEST_CASE("whatever bit of a header is changed, what is said to come comes, or it is refused") {
    const std::string good = incremental({0, 2}, "xy", 3);
    backups made;
    const auto chain = made.with(good);
    const std::vector<std::string> newest_first{chain[1], chain[0]};
    std::vector<std::byte> room(10'000);
    int refusals = 0, rebuilt = 0;
    for (std::size_t bit = 0; bit < 28 * 8; ++bit) {
        CAPTURE(bit);
        std::string text = good;
        text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << bit % 8));
        write_file(chain[1] + "/base/5/INCREMENTAL.1", text);
        try {
            posix::rebuilt_file whole(newest_first, "base/5/INCREMENTAL.1", room);
            std::uint64_t size = 0;
            for (auto run = whole.next(); !run.empty(); run = whole.next()) size += run.size();
            CHECK(size == whole.size());
            CHECK(whole.next().empty());
            ++rebuilt;
        } catch (const failure&) {
            ++refusals;
        }
    }
    // The truncation length may be any, and the last block anywhere behind the first.
    CHECK(rebuilt == 17 + 17);
    CHECK(refusals == 28 * 8 - rebuilt);
}

TEST_CASE("the largest numbers there are make a file of that size and no more") {
    backups made;
    posix::combine(into(made.out(), made.with(incremental({}, "", 0))));
    CHECK(fs::file_size(made.out() + "/base/5/1") == 0);
    backups other;
    posix::combine(into(other.out(), other.with(incremental({1000}, "x", 2))));
    CHECK(read_file(other.out() + "/base/5/1") ==
          blocks("ab") + blocks(std::string(998, '.')) + blocks("x"));
}

TEST_CASE("an incremental file that builds on nothing is refused") {
    backups made;
    const std::string content = incremental({0}, "x", 3);
    CHECK(contains(
        refused(made, {made.add(1, {}, {}), made.add(2, 1, {{"base/5/INCREMENTAL.1", content}})}),
        "has neither \"base/5/INCREMENTAL.1\" nor \"base/5/1\""));
    CHECK(contains(refused(made, {made.add(3, {}, {{"base/5/INCREMENTAL.1", content}})}),
                   std::string(text(walwire::errc::incremental_chain_broken))));
    backups both;
    CHECK(contains(
        refused(both, {both.add(1, {}, {{"base/5/1", ""}}),
                       both.add(2, 1, {{"base/5/INCREMENTAL.1", content}, {"base/5/1", "x"}})}),
        "File exists"));
}

TEST_CASE("what is neither a file nor a directory is not read") {
    backups made;
    const auto chain = made.with(incremental({0}, "x", 3));
    fs::rename(chain[0] + "/base/5/1", chain[0] + "/base/5/2");
    fs::create_symlink("2", chain[0] + "/base/5/1");
    CHECK(contains(refused(made, chain), "base/5/1\": Too many levels of symbolic links"));
    fs::remove(chain[0] + "/base/5/1");
    REQUIRE(::mkfifo((chain[0] + "/base/5/1").c_str(), 0600) == 0);
    CHECK(contains(refused(made, chain), "base/5/1\" is no file"));
    REQUIRE(::mkfifo((chain[1] + "/base/5/9").c_str(), 0600) == 0);
    CHECK(contains(refused(made, chain), "neither a file nor a directory"));
    fs::remove(chain[1] + "/base/5/9");
    fs::create_symlink("/etc/passwd", chain[1] + "/base/5/9");
    CHECK(contains(refused(made, chain), "is a link"));
    fs::rename(chain[1] + "/base/5/9", chain[1] + "/pg_wal/9");
    CHECK(contains(refused(made, chain), "is a link"));
}

TEST_CASE("a directory that holds something is refused and left alone") {
    backups made;
    const auto chain = made.with(incremental({0}, "x", 3));
    write_below(made.out(), {{"mine", "x"}});
    CHECK(contains(refused(into(made.out(), chain)), "is not empty"));
    CHECK(read_file(made.out() + "/mine") == "x");
    fs::remove(made.out() + "/mine");
    write_file(chain[1] + "/base/5/INCREMENTAL.1", incremental({0}, "y", 3));
    CHECK(contains(refused(into(made.out(), chain)), "another checksum"));
    CHECK(fs::is_empty(made.out()));
    write_file(chain[1] + "/base/5/INCREMENTAL.1", incremental({0}, "x", 3));
    CHECK(refused(into(made.out(), chain)).empty());
    CHECK(fs::exists(made.out() + "/backup_manifest"));
}

TEST_CASE("a file that is not what the newest manifest says is not given a new checksum") {
    for (const auto algorithm : {manifest_checksums::crc32c, manifest_checksums::sha256}) {
        backups made;
        kind as;
        as.algorithm = algorithm;
        const std::vector<std::string> chain{
            made.add(1, {}, {}),
            made.add(2, 1, {{"base/5/3", "whole"}, {"postgresql.auto.conf", "# none\n"}}, as)};
        write_file(chain[1] + "/postgresql.auto.conf", "port = 5433\n");
        write_file(chain[1] + "/base/5/3", "wholE");
        CHECK(refused(made, chain) ==
              '"' + chain[1] + "/base/5/3\" has another checksum than its manifest says");
        write_file(chain[1] + "/base/5/3", "whole");
        CHECK(refused(into(made.out(), chain)).empty());
        CHECK(read_file(made.out() + "/postgresql.auto.conf") == "port = 5433\n");
        const backup_chain one({made.out()});
        REQUIRE(one.listed("base/5/3") != nullptr);
        CHECK(one.listed("base/5/3")->checksum == checksum_of(manifest_checksums::crc32c, "whole"));
    }
}

TEST_CASE("a file that the newest manifest lists has to be there") {
    const auto without = [](const std::string& path) {
        backups made;
        auto chain = made.with(incremental({0}, "x", 3));
        chain.push_back(made.add(3, 2,
                                 {{"base/5/INCREMENTAL.1", incremental({}, "", 3)},
                                  {"base/5/2", "whole"},
                                  {"pg_tblspc/16384/PG_18/5/3", "whole"}}));
        fs::remove(chain[2] + '/' + path);
        return std::pair(refused(made, chain), chain[2]);
    };
    for (const std::string path :
         {"base/5/2", "base/5/INCREMENTAL.1", "pg_tblspc/16384/PG_18/5/3", "PG_VERSION"}) {
        CAPTURE(path);
        const auto [said, newest] = without(path);
        if (path == "PG_VERSION")
            CHECK(contains(said, "PG_VERSION\": No such file"));
        else
            CHECK(said ==
                  "file \"" + path + "\" of \"" + newest + "\" is in its manifest but not there");
    }
}

TEST_CASE("of an older backup only what is needed has to be there") {
    backups made;
    const std::vector<std::string> chain{
        made.add(1, {}, {{"base/5/1", blocks("aa")}, {"base/5/2", "gone"}}),
        made.add(2, 1, {{"base/5/INCREMENTAL.1", incremental({0}, "x", 2)}})};
    fs::remove(chain[0] + "/base/5/2");
    CHECK(refused(into(made.out(), chain)).empty());
    fs::remove_all(made.out());
    fs::remove(chain[0] + "/base/5/1");
    CHECK(contains(refused(made, chain), "has neither"));
}

TEST_CASE("damage to any file that one is put together from is not given a new checksum") {
    for (const auto algorithm : {manifest_checksums::crc32c, manifest_checksums::sha512}) {
        kind as;
        as.algorithm = algorithm;
        backups made;
        const std::vector<std::pair<std::string, std::string>> each{
            {made.add(1, {}, {{"base/5/1", blocks("aaa")}}, as) + "/base/5/1", blocks("aab")},
            {made.add(2, 1, {{"base/5/INCREMENTAL.1", incremental({0}, "b", 3)}}, as) +
                 "/base/5/INCREMENTAL.1",
             incremental({0}, "c", 3)},
            {made.add(3, 2, {{"base/5/INCREMENTAL.1", incremental({1}, "x", 3)}}, as) +
                 "/base/5/INCREMENTAL.1",
             incremental({1}, "y", 3)}};
        const std::vector<std::string> chain{made.top / "1", made.top / "2", made.top / "3"};
        for (const auto& damage : each) {
            const std::string& path = damage.first;
            const std::string& damaged = damage.second;
            CAPTURE(path);
            const std::string good = read_file(path);
            REQUIRE(good.size() == damaged.size());
            write_file(path, damaged);
            CHECK(refused(made, chain) ==
                  '"' + path + "\" has another checksum than its manifest says");
            write_file(path, good);
        }
        CHECK(refused(into(made.out(), chain)).empty());
        CHECK(read_file(made.out() + "/base/5/1") == blocks("bxa"));
    }
}

TEST_CASE("without checksums there are sizes") {
    kind as;
    as.algorithm = manifest_checksums::none;
    backups made;
    const std::vector<std::string> chain{
        made.add(1, {}, {{"base/5/1", blocks("aa")}}, as),
        made.add(2, 1, {{"base/5/INCREMENTAL.1", incremental({0}, "x", 2)}, {"base/5/2", "whole"}},
                 as)};
    const auto with = [&](const std::string& path, const std::string& content) {
        const std::string good = read_file(path);
        write_file(path, content);
        const std::string said = refused(made, chain);
        write_file(path, good);
        return said == '"' + path + "\" has another size than its manifest says";
    };
    CHECK(with(chain[1] + "/base/5/2", ""));
    CHECK(with(chain[1] + "/base/5/2", "whole and more"));
    CHECK(with(chain[1] + "/base/5/INCREMENTAL.1", incremental({0, 1}, "xx", 2)));
    CHECK(with(chain[0] + "/base/5/1", blocks("a")));
    CHECK(refused(into(made.out(), chain)).empty());
    CHECK(read_file(made.out() + "/base/5/1") == blocks("xa"));
}

TEST_CASE("a label that is not the manifest's is none") {
    backups made;
    const auto chain = made.with(incremental({0}, "x", 3));
    std::string label = read_file(chain[1] + "/backup_label");
    label.replace(label.find("0/2000060"), 9, "0/2000061");
    write_file(chain[1] + "/backup_label", label);
    CHECK(refused(made, chain) ==
          '"' + chain[1] + "/backup_label\" has another checksum than its manifest says");
}

TEST_CASE("what a manifest may not know is taken as it is") {
    backups made;
    const std::vector<std::string> chain{made.add(1, {}, {}),
                                         made.add(2, 1,
                                                  {{"postgresql.auto.conf", "# none\n"},
                                                   {"standby.signal", ""},
                                                   {"tablespace_map", ""}})};
    fs::remove(chain[1] + "/standby.signal");
    fs::remove(chain[1] + "/tablespace_map");
    fs::remove(chain[1] + "/postgresql.auto.conf");
    write_file(chain[1] + "/recovery.signal", "");
    write_file(chain[1] + "/base.txt", "mine");
    CHECK(refused(into(made.out(), chain)).empty());
    CHECK(fs::exists(made.out() + "/recovery.signal"));
    CHECK_FALSE(fs::exists(made.out() + "/standby.signal"));
    CHECK(read_file(made.out() + "/base.txt") == "mine");
}

TEST_CASE("a backup without a place for WAL is refused") {
    backups made;
    const auto chain = made.with(incremental({0}, "x", 3));
    fs::remove(chain[1] + "/pg_wal");
    CHECK(refused(made, chain) ==
          "could not read \"" + chain[1] + "/pg_wal\": No such file or directory");
}

TEST_CASE("names do not steer the terminal") {
    backups made;
    const auto chain = made.with(incremental({0}, "x", 3));
    write_file(chain[1] + "/base/5/INCREMENTAL.\x1b[31m9", "x");
    CHECK(contains(refused(made, chain), "base/5/INCREMENTAL.?[31m9\""));
    CHECK(posix::quoted("a\n\x7f\x1b"
                        "b") == "\"a???b\"");
}

TEST_CASE("a tablespace that lies elsewhere goes where it is sent, and nowhere else") {
    backups made;
    const std::vector<std::string> chain{made.add(1, {}, {}), made.add(2, 1, {})};
    const std::string old = made.top / "old2", place = made.top / "new";
    write_below(made.top / "old1", {{"PG_18/5/1", blocks("ab")}});
    write_below(old, {{"PG_18/5/INCREMENTAL.1", incremental({1}, "x", 2)}, {"PG_18/5/2", "y"}});
    fs::create_symlink(made.top / "old1", chain[0] + "/pg_tblspc/16384");
    fs::create_symlink(old, chain[1] + "/pg_tblspc/16384");
    CHECK(refused(made, chain) ==
          "there is no place yet for the tablespace in \"" + old + "\" (give it one by -T)");
    combine_arguments given = into(made.out(), chain);
    given.tablespaces = {{made.top / "old1", place}};
    CHECK(contains(refused(given), "is not where a tablespace"));
    given.tablespaces = {{old, place}};
    write_below(place, {{"mine", "x"}});
    CHECK(contains(refused(given), "is not empty"));
    CHECK_FALSE(fs::exists(made.out()));
    fs::remove_all(place);
    CHECK(refused(given).empty());
    CHECK(fs::read_symlink(made.out() + "/pg_tblspc/16384") == place);
    CHECK(read_file(place + "/PG_18/5/1") == blocks("ax"));
    CHECK(read_file(place + "/PG_18/5/2") == "y");
    const backup_chain one({made.out()});
    REQUIRE(one.listed("pg_tblspc/16384/PG_18/5/1") != nullptr);
    CHECK(one.listed("pg_tblspc/16384/PG_18/5/1")->checksum ==
          checksum_of(manifest_checksums::crc32c, blocks("ax")));
}

TEST_CASE("a tablespace in its place stays there, and one that fails takes all with it") {
    backups made;
    const std::string path = "pg_tblspc/16384/PG_18/5/";
    const std::vector<std::string> chain{
        made.add(1, {}, {{path + "1", blocks("ab")}}),
        made.add(2, 1, {{path + "INCREMENTAL.1", incremental({1}, "x", 2)}})};
    posix::combine(into(made.out(), chain));
    CHECK(read_file(made.out() + '/' + path + "1") == blocks("ax"));
    fs::remove_all(made.out());
    write_file(chain[1] + '/' + path + "INCREMENTAL.1", incremental({1}, "y", 2));
    CHECK(contains(refused(made, chain), "another checksum"));
}

TEST_CASE("the group may read what it may read of the newest backup") {
    backups made;
    const auto chain = made.with(incremental({0}, "x", 3));
    const auto mode = [](const std::string& path) { return fs::status(path).permissions(); };
    for (const auto wanted : {fs::perms{0700}, fs::perms{0750}}) {
        fs::permissions(chain[1], wanted);
        posix::combine(into(made.out(), chain));
        CHECK(mode(made.out()) == wanted);
        CHECK(mode(made.out() + "/base/5") == wanted);
        CHECK(mode(made.out() + "/base/5/1") == (wanted & fs::perms{0640}));
        fs::remove_all(made.out());
    }
}
