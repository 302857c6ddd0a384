#include "wal_source.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "failure.hpp"
#include "temporary_directory.hpp"
#include "wal_builder.hpp"

namespace {

using posix::wal_source;
using posix_test::temporary_directory;
using posix_test::wal_builder;
using walwire::lsn;
using walwire::timeline_id;

constexpr std::uint32_t segment_size = wal_builder::segment_size;

std::string name_of(std::uint64_t number, std::uint32_t timeline = 1, bool partial = false) {
    const auto size = *walwire::wal::segment_size::of(segment_size);
    return std::string(std::string_view(walwire::wal::segment_name(
        {.timeline = {timeline}, .number = {number}, .partial = partial}, size)));
}

void save(const temporary_directory& at, const std::string& name,
          const std::vector<std::byte>& content) {
    posix_test::write_file(at / name, walwire::as_text(content));
}

// Files as a receiver keeps them: whole segments, and the last one partial.
void receive(const temporary_directory& at, const wal_builder& log, std::uint32_t timeline = 1,
             lsn upto = {UINT64_MAX}) {
    const lsn end = upto < log.end() ? upto : log.end();
    for (lsn from = log.start(); from < end; from = from + segment_size) {
        const std::uint64_t number = from.value / segment_size;
        const bool whole = from + segment_size <= end;
        save(at, name_of(number, timeline, !whole), log.segment(number, upto));
        if (whole) std::filesystem::remove(at / name_of(number, timeline, true));
    }
}

void add_history(const temporary_directory& at, lsn switch_point) {
    posix_test::write_file(at / "00000002.history",
                           "1\t" + std::string(std::string_view(to_text(switch_point))) +
                               "\tno recovery target specified\n");
}

std::string read(wal_source& source, lsn from, lsn limit) {
    const auto run = source.read(from, limit);
    return run ? std::string(walwire::as_text(run->wal)) : "none";
}

} // namespace

TEST_CASE("a directory without WAL is refused") {
    const temporary_directory at;
    CHECK_THROWS_AS(wal_source(at.path()), posix::failure);
    CHECK_THROWS_AS(wal_source(at / "nowhere"), posix::failure);
    save(at, name_of(1, 1, true), std::vector<std::byte>(segment_size)); // nothing in it yet
    CHECK_THROWS_AS(wal_source(at.path()), posix::failure);
    wal_builder log;
    log.add(100);
    std::vector<std::byte> cut_short = log.segment(1);
    cut_short.resize(segment_size / 2);
    save(at, name_of(1), cut_short);
    CHECK_THROWS_AS(wal_source(at.path()), posix::failure);
}

TEST_CASE("the end is that of the last whole record, and follows it") {
    const temporary_directory at;
    wal_builder log(5);
    log.add(50'000);
    receive(at, log);
    wal_source source(at.path());
    CHECK(source.cluster().system_identifier == wal_builder::system_identifier);
    CHECK(source.timeline() == timeline_id{1});
    CHECK(source.end() == log.end());

    const lsn before = log.end();
    log.add(3 * segment_size);
    receive(at, log, 1, before + 20'000); // the beginning of a record
    source.refresh();
    CHECK(source.end() == before);
    receive(at, log, 1, log.start() + segment_size); // one segment is whole
    source.refresh();
    CHECK(source.end() == log.start() + segment_size);
    receive(at, log, 1, log.start() + 2 * segment_size + 100);
    source.refresh();
    CHECK(source.end() == log.start() + 2 * segment_size);
    receive(at, log);
    source.refresh();
    CHECK(source.end() == log.end());
    CHECK(read(source, before, source.end()) ==
          walwire::as_text(walwire::bytes(log.segment(5)).subspan(before - log.start())));
}

TEST_CASE("a switched segment is served whole once it has its final name") {
    const temporary_directory at;
    wal_builder log;
    log.add(100);
    log.switch_segment();
    save(at, name_of(1, 1, true), log.segment(1));
    wal_source source(at.path());
    CHECK(source.end() < log.end());
    std::filesystem::rename(at / name_of(1, 1, true), at / name_of(1));
    source.refresh();
    CHECK(source.end() == log.end());
}

TEST_CASE("a server's old segments under new names are none, nor are files of an odd size") {
    const temporary_directory at;
    wal_builder log(7);
    log.add(30'000);
    save(at, name_of(7), log.segment(7));
    save(at, name_of(8), log.segment(7));
    save(at, name_of(9), log.segment(7));
    save(at, name_of(10), std::vector<std::byte>(100));
    wal_source source(at.path());
    CHECK(source.end() == log.end());
    CHECK(!source.read({9 * segment_size}, {9 * segment_size + 10}));
    CHECK(!source.read({10 * segment_size}, {10 * segment_size + 10}));
    CHECK(!source.read({6 * segment_size}, {6 * segment_size + 10}));
}

TEST_CASE("a run ends with its segment, and outlives the file's name") {
    const temporary_directory at;
    wal_builder log;
    log.add(segment_size + 9'000);
    receive(at, log);
    wal_source source(at.path());
    const lsn from = log.start() + (segment_size - 100);
    const auto run = source.read(from, from + 5'000);
    REQUIRE(run);
    CHECK(run->wal.size() == 100);
    std::filesystem::remove(at / name_of(1));
    source.refresh();
    CHECK(!source.read(from, from + 10));
    CHECK(run->wal[99] == log.at(from + 99));
}

TEST_CASE("a newer timeline takes over when it has come to where it began") {
    const temporary_directory at;
    wal_builder old(3, 1);
    old.add(segment_size);
    const lsn switch_point = old.add(200);
    receive(at, old);
    wal_source source(at.path());
    CHECK(source.end() == switch_point);

    add_history(at, switch_point);
    source.refresh();
    CHECK(source.timeline() == timeline_id{1}); // no WAL of it yet
    wal_builder next = old;                     // its first segment is a copy, and then goes on
    next.add(500);
    save(at, name_of(4, 2, true), next.segment(4, {4 * segment_size + 100}));
    source.refresh();
    CHECK(source.timeline() == timeline_id{1}); // not all of the copy
    CHECK(source.end() == switch_point);
    save(at, name_of(4, 2, true), next.segment(4));
    source.refresh();
    CHECK(source.timeline() == timeline_id{2});
    CHECK(source.end() == next.end());

    const auto past = source.find({1});
    REQUIRE(past);
    CHECK(past->next == timeline_id{2});
    CHECK(past->switch_point == switch_point);
    CHECK(past->end == switch_point);
    CHECK(source.find({2})->end == next.end());
    CHECK(source.find({})->timeline == timeline_id{2});
    CHECK(!source.find({3}));
    // The old timeline's end stands in the new one's file, and what is older in its own.
    const lsn segment{4 * segment_size};
    CHECK(read(source, segment, switch_point) ==
          walwire::as_text(walwire::bytes(next.segment(4)).first(switch_point - segment)));
    CHECK(source.read({3 * segment_size}, segment));
    CHECK(wal_source(at.path()).timeline() == timeline_id{2}); // the same for who comes later
}

TEST_CASE("a timeline that has not come to where it began is not served at the start either") {
    const temporary_directory at;
    wal_builder old(3, 1);
    const lsn switch_point = old.add(20'000);
    receive(at, old);
    add_history(at, switch_point);
    wal_builder next = old;
    next.add(500);
    save(at, name_of(3, 2, true), next.segment(3, old.start() + 9'000));
    wal_source source(at.path());
    CHECK(source.timeline() == timeline_id{1});
    CHECK(source.end() == switch_point);
    save(at, name_of(3, 2, true), next.segment(3));
    source.refresh();
    CHECK(source.timeline() == timeline_id{2});
}

TEST_CASE("a history file is given as it is, and nothing for a timeline without one") {
    const temporary_directory at;
    wal_builder log;
    log.add(100);
    receive(at, log);
    wal_source source(at.path());
    CHECK(!source.history({1}));
    posix_test::write_file(at / "00000007.history", "# anything\n");
    CHECK(source.history({7}) == "# anything\n");
}
