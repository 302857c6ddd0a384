#include "wal_scan.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string_view>

#include "wal_builder.hpp"

namespace {

using posix::record_scan;
using posix_test::wal_builder;
using walwire::lsn;

constexpr std::uint32_t segment_size = wal_builder::segment_size;

// Segments as files would show them: of a log up to some position.
class shelf {
  public:
    void show(const wal_builder& log, lsn upto = {UINT64_MAX}) {
        const std::uint64_t first = log.start().value / segment_size;
        const lsn end = upto < log.end() ? upto : log.end();
        for (std::uint64_t number = first; number * segment_size < end.value; ++number)
            segments_[number] = log.segment(number, upto);
    }
    void lose(std::uint64_t number) { segments_.erase(number); }

    record_scan scan(std::uint64_t from) {
        record_scan made(cluster(), [this](walwire::wal::segment_number number) -> walwire::bytes {
            const auto found = segments_.find(number.value);
            return found == segments_.end() ? walwire::bytes() : walwire::bytes(found->second);
        });
        made.begin({from});
        return made;
    }

    static posix::wal_cluster cluster() {
        posix::wal_cluster made;
        made.system_identifier = wal_builder::system_identifier;
        made.size = *walwire::wal::segment_size::of(segment_size);
        made.magic = wal_builder::magic;
        made.major_version = 15;
        return made;
    }

  private:
    std::map<std::uint64_t, std::vector<std::byte>> segments_;
};

lsn end_of(shelf& files, std::uint64_t from) {
    record_scan scan = files.scan(from);
    scan.advance();
    return scan.end();
}

} // namespace

TEST_CASE("a segment's first page tells of its cluster, and nothing else does") {
    wal_builder log(3);
    log.add(100);
    std::vector<std::byte> segment = log.segment(3);
    const auto found = posix::read_cluster(segment);
    REQUIRE(found);
    CHECK(found->system_identifier == wal_builder::system_identifier);
    CHECK(found->size.value() == segment_size);
    CHECK(found->major_version == 15);
    CHECK(!posix::read_cluster(walwire::bytes(segment).first(39)));
    CHECK(!posix::read_cluster(walwire::bytes(segment).subspan(8)));
    for (const std::size_t at : {0u, 1u, 2u, 32u, 34u, 36u, 37u}) { // magic, flags, both sizes
        segment[at] ^= std::byte{0x42};
        CHECK(!posix::read_cluster(segment));
        segment[at] ^= std::byte{0x42};
    }
    CHECK(posix::read_cluster(segment));
}

TEST_CASE("whose log it is shows in a segment of any version, and in nothing else") {
    wal_builder log(3);
    log.add(100);
    std::vector<std::byte> segment = log.segment(3);
    const auto identifier = [&](std::size_t at, std::uint8_t change) {
        std::vector<std::byte> changed = segment;
        changed[at] ^= std::byte{change};
        return posix::read_system_identifier(changed);
    };
    CHECK(posix::read_system_identifier(segment) == wal_builder::system_identifier);
    CHECK(identifier(0, 0x42) == wal_builder::system_identifier);  // another version
    CHECK(identifier(37, 0x30) == wal_builder::system_identifier); // pages of 4 KiB
    CHECK(identifier(24, 1) == (wal_builder::system_identifier ^ 1));
    CHECK(!identifier(2, 2));     // no first page
    CHECK(!identifier(32, 1));    // no segment's size
    CHECK(!identifier(36, 1));    // no page's size
    CHECK(!identifier(39, 0x80)); // nor that
    CHECK(!posix::read_system_identifier(walwire::bytes(segment).first(39)));
    CHECK(posix::read_system_identifier(walwire::bytes(segment).first(40)));
    for (std::size_t at = 24; at < 32; ++at) segment[at] = std::byte{0};
    CHECK(!posix::read_system_identifier(segment));
    CHECK(!posix::read_system_identifier(std::vector<std::byte>(8192)));
}

TEST_CASE("a page is taken only for the one that belongs there") {
    wal_builder log(3);
    log.add(20'000);
    const std::vector<std::byte> segment = log.segment(3);
    const posix::wal_cluster cluster = shelf::cluster();
    const lsn start = log.start();
    const auto page = [&](std::size_t number) {
        return walwire::bytes(segment).subspan(number * posix::wal_page_size, posix::wal_page_size);
    };
    const auto first = posix::read_page(page(0), start, cluster);
    REQUIRE(first);
    CHECK(!first->continued);
    CHECK(first->size == 40);
    CHECK(first->timeline.value == 1);
    const auto second = posix::read_page(page(1), start + posix::wal_page_size, cluster);
    REQUIRE(second);
    CHECK(second->continued);
    CHECK(second->size == 24);
    CHECK(second->left == 20'000 - (posix::wal_page_size - 40));
    CHECK(!posix::read_page(page(1), start + 2 * posix::wal_page_size, cluster));
    CHECK(!posix::read_page(page(0), start + segment_size, cluster));
    CHECK(!posix::read_page(page(40), start + 40 * posix::wal_page_size, cluster)); // zeros
    CHECK(!posix::read_page({}, start, cluster));
    posix::wal_cluster other = cluster;
    other.system_identifier += 1;
    CHECK(!posix::read_page(page(0), start, other));
    CHECK(posix::read_page(page(1), start + posix::wal_page_size, other)); // it says nothing of it
}

TEST_CASE("WAL ends behind the last record that is whole, wherever it is cut") {
    wal_builder log;
    struct record {
        lsn unpadded, end;
    };
    std::vector<record> records;
    for (const std::size_t size : {24u, 25u, 31u, 8'000u, 100u, 24u, 16'500u, 40u, 24u}) {
        const lsn end = log.add(size);
        records.push_back({log.unpadded(), end});
    }
    for (std::uint64_t cut = 0; log.start() + cut <= log.end(); cut += cut < 300 ? 1 : 13) {
        const lsn upto = log.start() + cut;
        shelf files;
        files.show(log, upto);
        lsn expected = log.start();
        for (const record& each : records) {
            if (each.unpadded <= upto) expected = each.end;
        }
        CHECK(end_of(files, 1) == expected);
    }
}

TEST_CASE("a scan goes on where it stopped, and gets as far as one that starts over") {
    wal_builder log;
    for (int i = 0; i < 300; ++i) log.add(24 + static_cast<std::size_t>(i) * 37 % 9'000);
    shelf files;
    record_scan scan = files.scan(1);
    for (std::uint64_t cut = 0; log.start() + cut < log.end(); cut += 4'999) {
        files.show(log, log.start() + cut);
        const lsn before = scan.end();
        scan.advance();
        CHECK(scan.end() >= before);
        CHECK(scan.end() == end_of(files, 1));
        CHECK(scan.end() <= log.start() + cut + 8);
    }
    files.show(log);
    scan.advance();
    CHECK(scan.end() == log.end());
    CHECK(scan.next() == log.end());
}

TEST_CASE("any byte that is wrong ends the WAL before its record") {
    wal_builder log;
    log.add(200);
    const lsn before = log.add(30);
    const lsn first = log.end();
    log.add(9'000);
    for (lsn at = first; at < log.end(); at = at + 7) {
        const std::uint64_t in_page = at.value % posix::wal_page_size;
        if (in_page >= 4 && in_page < 8) continue;     // a page's timeline is not compared
        if (in_page >= 20 && in_page < 24) continue;   // nor what pads its header
        if (at.value >= log.end().value - 8) continue; // nor what pads a record
        shelf files;
        log.at(at) ^= std::byte{0x10};
        files.show(log);
        CHECK(end_of(files, 1) == before);
        log.at(at) ^= std::byte{0x10};
    }
    shelf files;
    files.show(log);
    CHECK(end_of(files, 1) == log.end());
}

TEST_CASE("a record that does not follow the one before it does not count") {
    wal_builder one, other;
    one.add(100);
    const lsn end = one.add(50);
    other.add(50);
    other.add(100);
    other.add(60); // begins where the first log ends, and names another predecessor
    std::vector<std::byte> mixed = other.segment(1);
    const std::vector<std::byte> ours = one.segment(1, end);
    std::copy_n(ours.begin(), static_cast<std::ptrdiff_t>(end - one.start()), mixed.begin());
    record_scan scan(shelf::cluster(), [&](walwire::wal::segment_number number) {
        return number.value == 1 ? walwire::bytes(mixed) : walwire::bytes();
    });
    scan.begin({1});
    scan.advance();
    CHECK(scan.end() == end);
}

TEST_CASE("a record may be as long as several segments") {
    wal_builder log;
    const lsn before = log.add(5'000);
    const lsn end = log.add(3 * segment_size);
    shelf files;
    files.show(log, {4 * segment_size});
    record_scan scan = files.scan(1);
    scan.advance();
    CHECK(scan.end() == before);
    CHECK(scan.next() == before);
    CHECK(scan.seen().value == 4 * segment_size); // all pages that there are
    files.show(log);
    scan.advance();
    CHECK(scan.end() == end);
}

TEST_CASE("behind a switch the log goes on in the next segment") {
    wal_builder log;
    log.add(500);
    log.switch_segment();
    shelf files;
    files.show(log);
    record_scan scan = files.scan(1);
    scan.advance();
    CHECK(scan.end().value % segment_size != 0);
    CHECK(scan.next().value == 2 * segment_size);
    const lsn end = log.add(70);
    files.show(log);
    scan.advance();
    CHECK(scan.end() == end);
}

TEST_CASE("what is left of a record from before counts when the next one is right") {
    wal_builder log;
    log.add(segment_size + 5'000);
    const lsn middle = log.end();
    shelf files;
    files.show(log);
    files.lose(1);
    record_scan scan = files.scan(2);
    scan.advance();
    CHECK(scan.end().value == 2 * segment_size);
    CHECK(scan.next() == middle);
    const lsn end = log.add(40);
    files.show(log);
    files.lose(1);
    scan.advance();
    CHECK(scan.end() == end);
}

TEST_CASE("a record that a crash cut short is passed over when the server says so") {
    wal_builder log;
    const lsn before = log.add(8'000);
    log.crash(60'000, 20'000);
    shelf files;
    files.show(log);
    CHECK(end_of(files, 1) == before);
    log.add(100);
    const lsn end = log.add(200);
    files.show(log);
    CHECK(end_of(files, 1) == end);
}

TEST_CASE("no random bytes lead the scan astray") {
    std::uint64_t state = 42;
    for (int round = 0; round < 300; ++round) {
        wal_builder log;
        for (int i = 0; i < 20; ++i) log.add(static_cast<std::size_t>(24 + (state >> 33) % 3'000));
        const lsn end = log.end();
        for (int i = 0; i < 8; ++i) {
            state = state * 6364136223846793005 + 1442695040888963407;
            log.at(log.start() + (state >> 33) % (end - log.start())) =
                static_cast<std::byte>(state >> 20);
        }
        shelf files;
        files.show(log);
        const lsn found = end_of(files, 1);
        CHECK(found >= log.start());
        CHECK(found <= end);
    }
}
