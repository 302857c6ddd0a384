#include "served_backup.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <walwire/auth/openssl.hpp>
#include <walwire/backup/manifest_writer.hpp>

#include "arguments.hpp"
#include "failure.hpp"
#include "needed_wal.hpp"
#include "primary/client.hpp"
#include "serve.hpp"
#include "temporary_directory.hpp"
#include "wal_builder.hpp"

namespace {

using posix::backup_source;
using posix::failure;
using posix::served_backup;
using posix::wal_source;
using posix_test::temporary_directory;
using posix_test::wal_builder;
using posix_test::write_file;
using walwire::lsn;
using walwire::backup::wal_range;
namespace fs = std::filesystem;

constexpr std::uint32_t segment_size = wal_builder::segment_size;

// The log of segments 2 to 5, of which the last one is not full.
wal_builder log_from(std::uint64_t first) {
    wal_builder made(first);
    while (made.end().value < 5 * segment_size) made.add(30'000);
    made.add(70'000);
    return made;
}

std::string manifest_of(const std::vector<wal_range>& ranges) {
    std::vector<std::byte> room(4096);
    std::string text;
    walwire::backup::manifest_writer writer;
    const auto add = [&](walwire::result<std::size_t> size) {
        REQUIRE(size.code() == walwire::errc::none);
        text += walwire::as_text(walwire::bytes(room).first(*size));
    };
    add(writer.start({1, {}}, walwire::auth::openssl_digests(), room));
    for (const wal_range& each : ranges) add(writer.range(each, room));
    add(writer.end(room));
    return text;
}

// A backup that begins in segment 2, and WAL beside it.
struct kept {
    temporary_directory top;

    explicit kept(const wal_builder& log = log_from(2),
                  const std::vector<wal_range>& ranges = {{{1}, {0x200028}, {0x500120}}}) {
        const std::uint64_t system_identifier = wal_builder::system_identifier;
        std::string control(8192, '\0');
        std::memcpy(control.data(), &system_identifier, sizeof system_identifier);
        fs::create_directories(backup() + "/global");
        fs::create_directories(backup() + "/pg_tblspc");
        fs::create_directories(backup() + "/pg_wal");
        write_file(backup() + "/PG_VERSION", "15\n");
        write_file(backup() + "/global/pg_control", control);
        write_label("");
        if (!ranges.empty()) write_file(backup() + "/backup_manifest", manifest_of(ranges));
        fs::create_directories(wal());
        for (lsn at = log.start(); at < log.end(); at = at + segment_size) {
            const std::uint64_t number = at.value / segment_size;
            const bool whole = at + segment_size <= log.end();
            write_file(segment(number) + (whole ? "" : ".partial"),
                       walwire::as_text(log.segment(number)));
        }
    }

    void write_label(const std::string& end) const {
        write_file(backup() + "/backup_label",
                   "START WAL LOCATION: 0/200028 (file 000000010000000000000002)\n"
                   "CHECKPOINT LOCATION: 0/200060\nLABEL: any\nSTART TIMELINE: 1\n" +
                       end);
    }
    std::string backup() const { return top / "backup"; }
    std::string wal() const { return top / "wal"; }
    std::string segment(std::uint64_t number) const {
        return wal() + "/00000001000000000000000" + std::to_string(number);
    }
};

walwire::wire::base_backup asking(bool wal) {
    walwire::wire::base_backup made;
    made.wal = wal;
    return made;
}

// What a client is refused with, and the code of it; nothing where it is not.
std::optional<std::pair<std::string, int>> refused(const kept& made, bool wal) {
    const backup_source source(made.backup());
    wal_source log(made.wal());
    try {
        const served_backup ignored(source, log, 15, asking(wal));
    } catch (const failure& why) {
        return std::pair<std::string, int>(why.what(), why.code());
    }
    return std::nullopt;
}

// A client of a server of version 15 that takes a backup with its WAL.
struct client {
    caller::plan plan;
    caller::server hears{plan.version("15.4")};

    client() {
        hears.feed(caller::startup());
        hears.feed(caller::query("BASE_BACKUP (WAL)"));
        hears.write();
        hears.said.clear();
        hears.writes(false);
    }
    // To the end, unless something is in the way.
    void take(served_backup& backup) {
        for (int idle = 0; !backup.over(); idle = take_some(backup) ? 0 : idle + 1)
            REQUIRE(idle < 3);
        hears.write();
    }
    bool take_some(served_backup& backup) {
        const bool moved = backup.turn(*hears.operator->(), 1);
        hears.feed();
        return hears.write() || moved;
    }
    // The archives, one behind the other.
    std::string archives() const {
        std::string made;
        walwire::bytes left = hears.said;
        while (!left.empty()) {
            std::size_t size = 0;
            for (std::size_t i = 1; i < 5; ++i)
                size = size << 8 | std::to_integer<std::size_t>(left[i]);
            const std::string_view message = walwire::as_text(left.first(1 + size));
            if (message[0] == 'd' && message[5] == 'd') made += message.substr(6);
            left = left.subspan(1 + size);
        }
        return made;
    }
};

} // namespace

TEST_CASE("WAL comes as it is, and behind its end there are zeros") {
    const wal_builder log = log_from(2);
    const kept made(log);
    const backup_source source(made.backup());
    wal_source wal(made.wal());
    REQUIRE(wal.end() == log.end());
    client takes;
    served_backup backup(source, wal, 15, asking(true));
    takes.take(backup);
    const std::string archives = takes.archives();
    for (std::uint64_t number = 2; number <= 5; ++number) {
        CAPTURE(number);
        const std::string name = "pg_wal/00000001000000000000000" + std::to_string(number);
        const std::size_t at = archives.find(name + '\0');
        REQUIRE(at != std::string::npos);
        const auto wanted = log.segment(number);
        CHECK(archives.compare(at + 512, segment_size, walwire::as_text(wanted)) == 0);
        CHECK(archives.find("archive_status/" + name.substr(7) + ".done") != std::string::npos);
    }
}

TEST_CASE("a log that ends before the backup does is refused to everybody") {
    const kept made(log_from(2), {{{1}, {0x200028}, {0x700120}}});
    for (const bool wal : {true, false}) {
        const auto why = refused(made, wal);
        REQUIRE(why);
        CHECK(why->first == "the backup needs WAL of timeline 1 up to 0/700120, and what there is "
                            "ends at " +
                                std::string(std::string_view(to_text(log_from(2).end()))));
        CHECK(why->second == 0); // it may come yet
    }
    CHECK_FALSE(refused(kept(), true));
    CHECK_FALSE(refused(kept(), false));
}

TEST_CASE("the last byte that a backup needs is needed, and no other") {
    const lsn end = log_from(2).end();
    CHECK_FALSE(refused(kept(log_from(2), {{{1}, {0x200028}, end}}), true));
    CHECK(refused(kept(log_from(2), {{{1}, {0x200028}, end + 1}}), true));
}

TEST_CASE("without a manifest the log has to begin to be enough") {
    CHECK_FALSE(refused(kept(log_from(2), {}), true));
    wal_builder old(1);
    old.add(30'000);
    const kept made(old, {});
    const auto why = refused(made, false);
    REQUIRE(why);
    CHECK(why->first.find("up to 0/200028") != std::string::npos);
}

TEST_CASE("a timeline that the log has never heard of is refused") {
    const auto why = refused(kept(log_from(2), {{{2}, {0x200028}, {0x200120}}}), true);
    REQUIRE(why);
    CHECK(why->first == "the backup needs WAL of timeline 2, which is not there");
}

TEST_CASE("a segment that was removed is refused to whoever asks for it") {
    for (std::uint64_t number = 2; number <= 4; ++number) {
        const kept made;
        fs::remove(made.segment(number));
        const auto why = refused(made, true);
        REQUIRE(why);
        CHECK(why->first == "the backup needs WAL segment 00000001000000000000000" +
                                std::to_string(number) + ", which is not there");
        CHECK(why->second == ENOENT);
        CHECK_FALSE(refused(made, false));
    }
    const kept late(log_from(5), {{{1}, {0x200028}, {0x200120}}});
    REQUIRE(refused(late, true));
    CHECK(refused(late, true)->second == ENOENT);
}

TEST_CASE("a segment that is removed meanwhile is not made up") {
    const kept made;
    const backup_source source(made.backup());
    wal_source wal(made.wal());
    client takes;
    served_backup backup(source, wal, 15, asking(true));
    REQUIRE(takes.take_some(backup));
    fs::remove(made.segment(4));
    try {
        while (!backup.over()) takes.take_some(backup);
        FAIL("it was sent");
    } catch (const failure& why) {
        CHECK(std::string(why.what()) ==
              "WAL that the backup needs, from 0/400000 on, is not there any more");
        CHECK(why.code() == ENOENT);
    }
}

TEST_CASE("what the log grows by meanwhile is not sent in part") {
    wal_builder log = log_from(2);
    const kept made(log);
    const backup_source source(made.backup());
    wal_source wal(made.wal());
    client takes;
    served_backup backup(source, wal, 15, asking(true));
    const auto before = log.segment(5);
    takes.take_some(backup);
    log.add(200'000);
    write_file(made.segment(5) + ".partial", walwire::as_text(log.segment(5)));
    wal.refresh();
    REQUIRE(wal.end() == log.end());
    takes.take(backup);
    CHECK(takes.archives().find(walwire::as_text(before)) != std::string::npos);
}

TEST_CASE("an incremental backup is not served as if it were a full one") {
    const kept made;
    made.write_label("INCREMENTAL FROM LSN: 0/100028\nINCREMENTAL FROM TLI: 1\n");
    posix::serve_arguments given;
    given.host = "127.0.0.1";
    given.port = "0";
    given.directory = made.wal();
    given.backup = made.backup();
    ::alarm(60); // whoever serves it does so for ever
    try {
        posix::serve(given);
        FAIL("it was served");
    } catch (const failure& why) {
        CHECK(why.what() == '"' + made.backup() + "\" is an incremental backup; combine it first");
    }
    ::alarm(0);
}
