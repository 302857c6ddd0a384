#include "entry_directory.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "entry_source.hpp"
#include "failure.hpp"
#include "temporary_directory.hpp"

namespace {

using posix::entry_directory;
using posix::entry_source;
using posix::log_place;
using posix_test::read_file;
using posix_test::temporary_directory;
using posix_test::write_file;
using walwire::as_bytes;
using walwire::timeline_id;
using walwire::aiondb::entry_lsn;

std::string number(std::uint64_t value, std::size_t size) {
    std::string text;
    for (std::size_t i = 0; i < size; ++i) text += static_cast<char>(value >> (8 * i));
    return text;
}

std::string head(std::uint64_t first, std::uint64_t last, std::uint64_t entries) {
    return '\1' + number(16 + entries, 4) + number(first, 8) + number(last, 8);
}

std::string batch(std::uint64_t first, std::uint64_t last, const std::string& entries) {
    return head(first, last, entries.size()) + entries;
}

// A directory that somebody has begun.
struct begun : temporary_directory {
    explicit begun(const std::string& log = {}) {
        write_file(*this / "system_id", "7\n");
        write_file(*this / "timeline", "1\n");
        write_file(*this / "log", log);
    }
    std::string log() const { return read_file(*this / "log"); }
};

void append(entry_directory& to, std::uint64_t first, std::uint64_t last,
            const std::string& entries) {
    to.append({first}, {last}, as_bytes(entries), true, true);
}

// What a reader gets who has nothing, as "first..last entries".
std::string read_all(const entry_source& source) {
    std::string told;
    log_place place;
    std::uint64_t next = 0;
    std::vector<std::byte> content;
    while (const auto found = source.find({next}, place)) {
        source.read(*found, content);
        told += std::to_string(found->first.value) + ".." + std::to_string(found->last.value) +
                ' ' + std::string(walwire::as_text(content)) + '\n';
        next = found->last.value + 1;
    }
    return told;
}

const std::string three = batch(1, 3, "abc") + batch(4, 4, "d") + batch(9, 20, "efgh");

} // namespace

TEST_CASE("a directory that is new holds nothing and belongs to nobody") {
    const temporary_directory at;
    entry_directory made(at.path());
    CHECK(made.system_identifier().empty());
    CHECK(!made.timeline().valid());
    CHECK(!made.last().valid());
    CHECK(!made.durable().valid());
    CHECK_THROWS_AS(entry_directory{at.path()}, posix::failure); // one at a time
    CHECK_THROWS_AS(entry_directory{at / "absent"}, posix::failure);
}

TEST_CASE("what was kept is found again, byte for byte as it came") {
    const temporary_directory at;
    {
        entry_directory made(at.path());
        made.belong_to("cluster-a");
        made.adopt({1});
        made.append({1}, {3}, as_bytes(std::string("a")), true, false);
        made.append({1}, {3}, as_bytes(std::string("bc")), false, true);
        append(made, 4, 4, "d");
        CHECK(made.last() == entry_lsn{4});
        CHECK(!made.durable().valid());
        CHECK(read_file(at / "log").empty());
        made.write_out();
        CHECK(!made.durable().valid());
        CHECK(read_file(at / "log") == batch(1, 3, "abc") + batch(4, 4, "d"));
        append(made, 9, 20, "efgh");
        made.flush();
        CHECK(made.durable() == entry_lsn{20});
    }
    CHECK(read_file(at / "log") == three);
    CHECK(read_file(at / "system_id") == "cluster-a\n");
    CHECK(read_file(at / "timeline") == "1\n");
    entry_directory again(at.path());
    CHECK(again.system_identifier() == "cluster-a");
    CHECK(entry_source(at.path()).system_identifier() == "cluster-a");
    CHECK(again.timeline() == timeline_id{1});
    CHECK(again.last() == entry_lsn{20});
    CHECK(again.durable() == entry_lsn{20});
    CHECK(again.notes().empty());
}

TEST_CASE("a log that is torn anywhere is cut back to its last whole batch") {
    const std::size_t ends[] = {0, batch(1, 3, "abc").size(),
                                (batch(1, 3, "abc") + batch(4, 4, "d")).size(), three.size()};
    for (std::size_t size = 0; size <= three.size(); ++size) {
        CAPTURE(size);
        const begun at(three.substr(0, size));
        std::size_t whole = 0;
        for (const std::size_t end : ends) whole = end <= size ? end : whole;
        entry_directory opened(at.path());
        CHECK(at.log() == three.substr(0, whole));
        CHECK(opened.notes().size() == (size == whole ? 0 : 1));
        CHECK(opened.last() == opened.durable());
        append(opened, 100, 100, "next");
        opened.flush();
        CHECK(at.log() == three.substr(0, whole) + batch(100, 100, "next"));
    }
}

TEST_CASE("behind the last batch, anything that is none is cut off") {
    const std::string wrong[] = {
        std::string(500, '\0'),
        std::string(500, '\xff'),
        batch(1, 30, "x"),  // begins too early
        batch(21, 20, "x"), // ends before it begins
        batch(20, 20, "x"), // brings nothing new
        batch(21, ~0ULL, "x"),
        batch(21, 21, ""),
        '\2' + batch(21, 21, "x").substr(1),
        '\1' + number(15, 4) + std::string(100, 'x'),
        '\1' + number(8 * 1024 * 1024 + 1, 4) + number(21, 8) + number(21, 8) + "x",
        '\1' + number(~0U, 4) + number(21, 8) + number(21, 8) + "x",
    };
    for (const std::string& each : wrong) {
        const begun at(three + each);
        const entry_directory opened(at.path());
        CHECK(opened.last() == entry_lsn{20});
        CHECK(at.log() == three);
    }
}

TEST_CASE("no byte of a log makes anything worse than refusal or a cut") {
    for (std::size_t i = 0; i < three.size(); ++i) {
        for (const char flipped : {'\1', '\x80', '\xff'}) {
            std::string log = three;
            log[i] = static_cast<char>(log[i] ^ flipped);
            const begun at(log);
            const entry_directory opened(at.path());
            CHECK(log.starts_with(at.log()));
            CHECK(opened.last() == opened.durable());
        }
    }
}

TEST_CASE("damage with much behind it is refused, and nothing cut") {
    const begun at(three + std::string(1, '\5'));
    std::filesystem::resize_file(at / "log", 40 * 1024 * 1024);
    CHECK_THROWS_AS(entry_directory{at.path()}, posix::failure);
    CHECK(std::filesystem::file_size(at / "log") == 40 * 1024 * 1024);
}

TEST_CASE("a stream that begins again brings no entry twice to a reader") {
    const begun at(three);
    entry_directory opened(at.path());
    append(opened, 20, 20, "h"); // nothing new
    opened.flush();
    CHECK(at.log() == three);
    append(opened, 20, 25, "hij"); // kept whole
    append(opened, 26, 26, "k");
    append(opened, 26, 30, "kl"); // covers the one before
    opened.flush();
    CHECK(opened.last() == entry_lsn{30});
    CHECK(at.log() == three + batch(20, 25, "hij") + batch(26, 26, "k") + batch(26, 30, "kl"));
    const entry_source source(at.path());
    CHECK(read_all(source) == "1..3 abc\n4..4 d\n9..20 efgh\n20..25 hij\n26..30 kl\n");
    log_place place;
    CHECK(source.find({20}, place)->first == entry_lsn{9});
    CHECK(source.find({21}, place)->first == entry_lsn{20});
    CHECK(source.find({26}, place)->last == entry_lsn{30});
    CHECK(source.find({5}, place)->first == entry_lsn{9}); // the hint lies behind
    CHECK(!source.find({31}, place));
    const begun copy(at.log());
    CHECK(entry_directory(copy.path()).last() == entry_lsn{30});
}

TEST_CASE("what cannot follow is refused") {
    const std::pair<std::uint64_t, std::uint64_t> wrong[] = {
        {19, 21}, {1, 21}, {25, 24}, {21, UINT64_MAX}, {0, 21}};
    for (const auto& [first, last] : wrong) {
        const begun at(three);
        entry_directory opened(at.path());
        CHECK_THROWS_AS(append(opened, first, last, "x"), posix::failure);
        CHECK(at.log() == three);
    }
    const begun at(three);
    entry_directory opened(at.path());
    CHECK_THROWS_AS(append(opened, 21, 21, ""), posix::failure);
    CHECK_THROWS_AS(append(opened, 21, 21, std::string(8 * 1024 * 1024, 'x')), posix::failure);
    CHECK(at.log() == three);
}

TEST_CASE("the largest batch that there is is kept") {
    const begun at;
    {
        entry_directory opened(at.path());
        append(opened, 1, 1, std::string(8 * 1024 * 1024 - 16, 'x'));
        CHECK(at.log().size() == 8 * 1024 * 1024 + 5); // more than is collected
        opened.flush();
    }
    CHECK(entry_directory(at.path()).last() == entry_lsn{1});
}

TEST_CASE("a batch is passed on as it came: whoever filled it kept it to 1024 entries and 1 MiB") {
    const begun at;
    entry_directory opened(at.path());
    const std::string larger(2 * 1024 * 1024, 'x'); // one entry, or a primary that does not
    append(opened, 1, 1, larger);
    append(opened, 2, 5000, "y");
    opened.flush();
    const entry_source source(at.path());
    CHECK(read_all(source) == "1..1 " + larger + "\n2..5000 y\n");
}

TEST_CASE("of a batch whose connection broke nothing is kept") {
    const begun at(three);
    entry_directory opened(at.path());
    opened.append({21}, {30}, as_bytes(std::string("half")), true, false);
    opened.forget_run();
    opened.flush();
    CHECK(at.log() == three);
    opened.append({20}, {30}, as_bytes(std::string("half")), true, false);
    opened.append({20}, {31}, as_bytes(std::string("anew")), true, true); // as begins says
    opened.flush();
    CHECK(at.log() == three + batch(20, 31, "anew"));
}

TEST_CASE("whose log it is does not change, and a timeline does not go back") {
    const begun at(three);
    entry_directory opened(at.path());
    CHECK_NOTHROW(opened.belong_to("7"));
    CHECK_THROWS_AS(opened.belong_to("8"), posix::failure);
    CHECK_THROWS_AS(opened.belong_to("07"), posix::failure);
    opened.adopt({3});
    CHECK(read_file(at / "timeline") == "3\n");
    CHECK_THROWS_AS(opened.adopt({2}), posix::failure);
    CHECK(read_file(at / "timeline") == "3\n");
    CHECK(!std::filesystem::exists(at / "timeline.tmp"));
}

TEST_CASE("a history is kept, and is not replaced by another") {
    const begun at;
    write_file(at / "00000002.history.tmp", "left by a crash");
    entry_directory opened(at.path());
    const std::string text = "1\t0/00000014\tx\n";
    opened.add_history({2}, as_bytes(text));
    CHECK_NOTHROW(opened.add_history({2}, as_bytes(text)));
    CHECK_THROWS_AS(opened.add_history({2}, as_bytes(std::string("else"))), posix::failure);
    CHECK(read_file(at / "00000002.history") == text);
}

TEST_CASE("a directory that does not say whose log it holds is refused") {
    for (const char* missing : {"system_id", "timeline"}) {
        const begun at(three);
        std::filesystem::remove(at / missing);
        CHECK_THROWS_AS(entry_directory{at.path()}, posix::failure);
        CHECK_THROWS_AS(entry_source{at.path()}, posix::failure);
        CHECK(at.log() == three);
        std::vector<std::string> all = {"", "\n", "1\n\n", "a\tb", std::string(1025, 'a')};
        // A system's name is any text, a timeline is a number.
        if (missing == std::string("timeline"))
            all.insert(all.end(), {"x", "0", "-1", "1 1", "99999999999999999999999"});
        for (const std::string& wrong : all) {
            write_file(at / missing, wrong);
            CHECK_THROWS_AS(entry_directory{at.path()}, posix::failure);
            CHECK_THROWS_AS(entry_source{at.path()}, posix::failure);
        }
    }
    const begun at;
    write_file(at / "other", three);
    std::filesystem::remove(at / "log");
    std::filesystem::create_symlink(at / "other", at / "log");
    CHECK_THROWS_AS(entry_directory{at.path()}, posix::failure);
    CHECK_THROWS_AS(entry_source{at.path()}, posix::failure);
}

TEST_CASE("a reader sees what another adds, batch by whole batch") {
    const begun at;
    std::filesystem::remove(at / "log");
    entry_source source(at.path());
    CHECK(!source.last().valid());
    CHECK(read_all(source).empty());
    for (std::size_t size = 0; size <= three.size(); ++size) {
        write_file(at / "log", three.substr(0, size));
        source.refresh();
        const bool first = size >= batch(1, 3, "abc").size();
        CHECK(source.last().valid() == first);
        CHECK(read_all(source).starts_with(first ? "1..3 abc\n" : ""));
    }
    CHECK(source.first() == entry_lsn{1});
    CHECK(source.last() == entry_lsn{20});
    CHECK(read_all(source) == "1..3 abc\n4..4 d\n9..20 efgh\n");
    write_file(at / "timeline", "2");
    write_file(at / "00000002.history", "1\t0/14\n");
    source.refresh();
    CHECK(source.timeline() == timeline_id{2});
    CHECK(source.history({2}) == "1\t0/14\n");
    CHECK(!source.history({3}));
    write_file(at / "timeline", "1");
    CHECK_THROWS_AS(source.refresh(), posix::failure);
    write_file(at / "timeline", "2");
    write_file(at / "log", three.substr(0, 10));
    CHECK_THROWS_AS(source.refresh(), posix::failure);
}

TEST_CASE("a reader is not misled by a batch that was begun and then begun anew") {
    const begun at(three + head(21, 25, 50) + "half of it");
    entry_source source(at.path());
    CHECK(source.last() == entry_lsn{20});
    write_file(at / "log", three + batch(21, 22, "other"));
    source.refresh();
    CHECK(source.last() == entry_lsn{22});
    CHECK(read_all(source).ends_with("21..22 other\n"));
}

TEST_CASE("entries are found in a log of many batches, from wherever one looks") {
    std::string log;
    for (std::uint64_t i = 1; i <= 3000; ++i)
        log += batch(10 * i, 10 * i + 5, std::string(100 + i % 7, 'x'));
    const begun at(log);
    const entry_source source(at.path());
    CHECK(source.first() == entry_lsn{10});
    for (std::uint64_t from = 0; from <= 30005; from += 7) {
        log_place place;
        const auto found = source.find({from}, place);
        REQUIRE(found);
        const std::uint64_t number = from < 10 ? 1 : from / 10 + (from % 10 > 5 ? 1 : 0);
        CHECK(found->first.value == 10 * number);
    }
    log_place place;
    CHECK(!source.find({30006}, place));
}
