#include <walwire/primary/session.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "primary/client.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace caller;
using wire::backup_compression;
using wire::phase;

namespace {

// What the server said, a line for each message; of CopyData the first byte and the size.
std::string copied_words(bytes said) {
    std::string made;
    while (said.size() >= 5) {
        const std::size_t size = 1 + load<std::uint32_t>(said.data() + 1);
        if (size > said.size()) break;
        if (said[0] == std::byte{'d'})
            made += std::string("d ") + static_cast<char>(said[5]) + ' ' +
                    std::to_string(size - 5) + '\n';
        else
            made += words(said.first(size));
        said = said.subspan(size);
    }
    return made + (said.empty() ? "" : "half a message\n");
}
std::string command(bool manifest, int version) {
    if (!manifest) return "BASE_BACKUP";
    return version < 15 ? "BASE_BACKUP MANIFEST 'yes'" : "BASE_BACKUP ( MANIFEST 'yes' )";
}
// The bodies of all CopyData, the typed format's first bytes taken off where `typed`.
buffer copied(bytes said, bool typed) {
    buffer made;
    while (!said.empty()) {
        const std::size_t size = 1 + load<std::uint32_t>(said.data() + 1);
        bytes body = said.subspan(5, size - 5);
        if (said[0] == std::byte{'d'}) {
            CHECK(body.size() <= 32 * 1024 + (typed ? 1 : 0));
            const bool data = !typed || body[0] == std::byte{'d'};
            if (typed) body = body.subspan(1);
            if (data) made.insert(made.end(), body.begin(), body.end());
        }
        said = said.subspan(size);
    }
    return made;
}

// A client that has asked for a backup, in front of its owner.
class backing_up {
  public:
    explicit backing_up(int version = 18, bool manifest = true, bool writes = true)
        : version_(std::to_string(version) + ".1"), hears(plan_of(version_)) {
        in(hears).feed(query(command(manifest, version)));
        CHECK(hears.news() == "backup\n");
        hears.heard();
        hears.writes(writes);
    }
    primary::session* operator->() { return hears.operator->(); }

    errc list(std::uint32_t oid, std::string_view path) {
        backup::tablespace next;
        next.oid = oid;
        next.path = path;
        return hears->list(next);
    }
    // Up to the data of the one archive.
    void open() {
        REQUIRE(hears->begin_backup({{0x28}, {1}}) == errc::none);
        REQUIRE(list(0, {}) == errc::none);
        REQUIRE(hears->begin_archive({}) == errc::none);
        hears.write();
    }
    // Lends what it gets, and scribbles over it once it is given back.
    errc send(const buffer& content, std::size_t at_once = SIZE_MAX) {
        lent = content;
        if (const errc code = hears->send_backup(lent); code != errc::none) return code;
        for (int turns = 0; !hears->wants_backup() || !hears->output().empty(); ++turns) {
            REQUIRE(turns < 5'000'000);
            hears.write(at_once);
            hears.feed();
        }
        std::fill(lent.begin(), lent.end(), std::byte{0xdd});
        return errc::none;
    }
    buffer news() {
        hears.write();
        return std::exchange(hears.said, {});
    }

  private:
    static plan plan_of(const std::string& version) {
        plan made;
        made.options.server_version = version;
        return made;
    }
    std::string version_;

  public:
    server hears;
    buffer lent;
};

} // namespace

TEST_CASE("a backup as each version sends it, from begin_backup to the next command") {
    for (const int version : {12, 13, 15, 18}) {
        CAPTURE(version);
        const bool typed = version >= 15, manifest = version > 12;
        backing_up serves(version, manifest);
        CHECK(serves->deadline() == never); // it is the owner's turn
        CHECK(!serves->wants_backup());
        CHECK(serves->begin_backup({{0xa00028}, {3}}) == errc::none);
        CHECK(serves.list(16392, "/ts") == errc::none);
        CHECK(serves.list(0, {}) == errc::none);
        CHECK(serves->begin_archive({16392, backup_compression::none}, "/ts") == errc::none);
        CHECK(serves->wants_backup());
        CHECK(serves.send(of("ts")) == errc::none);
        CHECK(serves->report_progress(2) == errc::none);
        CHECK(serves->begin_archive({}) == errc::none);
        CHECK(serves.send(of("base")) == errc::none);
        if (manifest) {
            CHECK(serves->begin_manifest() == errc::none);
            CHECK(serves->wants_backup());
            CHECK(serves.send(of("{}")) == errc::none);
        }
        CHECK(serves->end_backup({{0xa01010}, {3}}) == errc::none);
        CHECK(!serves->wants_backup());
        serves.hears.write();
        const std::string position = "T recptr:25 tli:20\n";
        const std::string head = position + "D 0/A00028 3\nC SELECT\n" +
                                 "T spcoid:26 spclocation:25 size:20\nD 16392 /ts null\n" +
                                 "D null null null\nC SELECT\n";
        const std::string tail = "c\n" + position + "D 0/A01010 3\nC SELECT\nC " +
                                 (version == 12 ? "SELECT" : "BASE_BACKUP") + "\nZ I\n";
        const std::string split =
            std::string("H\nd t 2\nc\nH\nd b 4\n") + (manifest ? "c\nH\nd { 2\n" : "");
        const std::string one = "H\nd n 15\nd d 3\nd p 9\nd n 11\nd d 5\nd m 1\nd d 3\n";
        const buffer said = serves.news();
        const std::string all = copied_words(said);
        CHECK(all.substr(all.find("T recptr")) == head + (typed ? one : split) + tail);
        serves.hears.feed(query("SHOW a"));
        CHECK(serves.hears.news() == "show a\n");
    }
}

TEST_CASE("bodies of any size arrive as they were lent, in messages of at most 32 KiB") {
    support::prng random(32);
    for (const int version : {14, 18}) {
        for (const std::size_t size : {0u, 1u, 32'768u, 32'769u, 1u << 20}) {
            for (const std::size_t at_once : {std::size_t{3000}, SIZE_MAX}) {
                CAPTURE(size);
                backing_up serves(version, false, false);
                serves.open();
                serves.news();
                buffer content(size);
                random.fill(content);
                CHECK(serves.send(content, at_once) == errc::none);
                CHECK(copied(serves.news(), version >= 15) == content);
                CHECK(serves->end_backup({{0x30}, {1}}) == errc::none);
                CHECK(copied_words(serves.news()).ends_with("Z I\n"));
            }
        }
    }
}

TEST_CASE("what is lent is written from where it lies, and by bits if need be") {
    backing_up serves(18, false, false);
    serves.open();
    const buffer content(70'000, std::byte{'x'});
    CHECK(serves->send_backup(content) == errc::none);
    CHECK(serves->send_backup(content) == errc::not_now);
    CHECK(!serves->wants_backup());
    CHECK(serves->deadline() == INT64_MIN);
    serves.hears.feed();
    gather out = serves->output();
    CHECK(out.body.data() == content.data());
    CHECK(out.body.size() == 32 * 1024);
    CHECK(serves->deadline() != INT64_MIN); // it waits to be written
    // While a body is under way nothing else can be said, and nothing is lost.
    CHECK(serves->report_progress(1) == errc::output_full);
    CHECK(serves->begin_manifest() == errc::output_full);
    CHECK(serves->begin_archive({}) == errc::output_full);
    CHECK(serves->end_backup({{0x30}, {1}}) == errc::output_full);
    CHECK(serves->refuse({"57014", "no", {}, {}, false}) == errc::output_full);
    CHECK(serves->notify(notice("n")) == errc::output_full);
    for (std::size_t written = 0; written < 6 + 32 * 1024; ++written) {
        CHECK(serves.hears.write(1));
        if (written % 1000 == 0) serves.hears.feed();
    }
    CHECK(serves->output().empty());
    serves.hears.feed();
    out = serves->output();
    CHECK(out.body.data() == content.data() + 32 * 1024);
    CHECK(serves->send_backup(content) == errc::output_full);
}

TEST_CASE("a client that does not read is given up") {
    backing_up serves(18, false, false);
    serves.open();
    const buffer content(100, std::byte{'x'});
    CHECK(serves->send_backup(content) == errc::none);
    serves.hears.feed();
    const std::int64_t deadline = serves->deadline();
    CHECK(deadline == serves.hears.now.steady + 60 * second);
    serves.hears.wait_until(deadline - 1);
    CHECK(!serves->over());
    serves.hears.write(1); // it read a byte
    serves.hears.wait_until(deadline);
    CHECK(!serves->over());
    serves.hears.wait_until(deadline + 60 * second);
    CHECK(serves->over());
    CHECK(!serves->wants_backup());
    CHECK(serves->send_backup(content) == errc::over);
}

TEST_CASE("an owner may take its time") {
    backing_up serves;
    serves.hears.wait_until(100'000 * second);
    serves.open();
    serves.hears.wait_until(200'000 * second);
    CHECK(!serves->over());
    CHECK(serves->deadline() == never);
}

TEST_CASE("refuse() ends a backup at any stage, and the connection can be used again") {
    const primary::refusal why{"58030", "could not read file", {}, {}, false};
    for (const int version : {12, 18}) {
        for (int stage = 0; stage < 8; ++stage) {
            for (const bool fatal : {false, true}) {
                CAPTURE(stage);
                const bool manifest = version > 12;
                backing_up serves(version, manifest);
                primary::refusal last = why;
                last.fatal = fatal;
                const buffer content(5000, std::byte{'x'});
                const auto step = [&](int number, errc code) {
                    if (stage >= number) CHECK(code == errc::none);
                };
                if (stage >= 1) step(1, serves->begin_backup({{0x28}, {1}}));
                if (stage >= 2) step(2, serves.list(7, "/t"));
                if (stage >= 3) step(3, serves.list(0, {}));
                if (stage >= 4) step(4, serves->begin_archive({7, {}}, "/t"));
                if (stage >= 5) step(5, serves->send_backup(content));
                if (stage >= 6) {
                    serves.hears.feed(); // and it is written
                    step(6, serves->begin_archive({}));
                }
                if (stage >= 7) step(7, serves->report_progress(1));
                serves.hears.write();
                const bool lent = stage == 5;
                CHECK(serves->refuse(last) == errc::none);
                CHECK(!serves->wants_backup());
                serves.hears.feed();
                const std::string said = copied_words(serves.news());
                CHECK((said.find("d x") == std::string::npos || !lent));
                if (fatal) {
                    CHECK(said.ends_with("E FATAL 58030 could not read file\n"));
                    CHECK(serves.hears.news() == "closed refused\n");
                    CHECK(serves->send_backup(content) == errc::over);
                    continue;
                }
                CHECK(said.ends_with("E ERROR 58030 could not read file\nZ I\n"));
                CHECK(serves->at() == phase::idle);
                CHECK(serves->send_backup(content) == errc::not_now);
                CHECK(serves->begin_archive({}) == errc::not_now);
                CHECK(serves->end_backup({{0x30}, {1}}) == errc::not_now);
                CHECK(serves->refuse(last) == errc::not_now);
                // Another one begins from the beginning.
                serves.hears.feed(query(command(manifest, version)));
                CHECK(serves.hears.news() == "backup\n");
                CHECK(serves.list(0, {}) == errc::not_now);
                serves.open();
                CHECK(serves.send(content) == errc::none);
                if (manifest) CHECK(serves->end_backup({{0x30}, {1}}) == errc::backup_incomplete);
                if (manifest) CHECK(serves->begin_manifest() == errc::none);
                CHECK(serves->end_backup({{0x30}, {1}}) == errc::none);
                CHECK(copied(serves.news(), version >= 15) == content);
            }
        }
    }
}

TEST_CASE("a checksum failure is told in the place of the end") {
    backing_up serves(18, false);
    serves.open();
    CHECK(serves.send(of("x")) == errc::none);
    CHECK(serves->notify(notice("checksum verification failed")) == errc::none);
    CHECK(serves->refuse({"XX001", "checksum verification failure", {}, {}, false}) == errc::none);
    CHECK(copied_words(serves.news())
              .ends_with("d d 2\nN NOTICE 00000 checksum verification failed\n"
                         "E ERROR XX001 checksum verification failure\nZ I\n"));
}

TEST_CASE("a backup that is condemned has come to its end, and the error comes behind it") {
    for (const int version : {12, 13, 15, 18}) {
        CAPTURE(version);
        backing_up serves(version, version > 12);
        serves.open();
        CHECK(serves.send(of("x")) == errc::none);
        if (version > 12) {
            CHECK(serves->condemn_backup({{0x30}, {1}}) == errc::backup_incomplete);
            CHECK(serves->begin_manifest() == errc::none);
        }
        CHECK(serves->condemn_backup({{0x30}, {1}}) == errc::none);
        CHECK(serves->condemn_backup({{0x30}, {1}}) == errc::not_now);
        CHECK(serves->end_backup({{0x30}, {1}}) == errc::not_now);
        CHECK(serves->begin_backup({{0x30}, {1}}) == errc::not_now);
        CHECK(serves->send_backup(serves.lent) == errc::not_now);
        CHECK(!serves->wants_backup());
        CHECK(serves->notify(notice("1 page")) == errc::none);
        CHECK(serves->refuse({"XX001", "damaged", {}, {}, false}) == errc::none);
        CHECK(serves->condemn_backup({{0x30}, {1}}) == errc::not_now);
        serves.hears.write();
        CHECK(copied_words(serves.news())
                  .ends_with("c\nT recptr:25 tli:20\nD 0/30 1\nC SELECT\n"
                             "N NOTICE 00000 1 page\nE ERROR XX001 damaged\nZ I\n"));
        serves.hears.feed(query("SHOW a"));
        CHECK(serves.hears.last() == "show a\n");
    }
}

TEST_CASE("what a client says in the middle of a backup waits until it is over") {
    backing_up serves(18, false);
    serves.open();
    serves.hears.feed(query("SHOW a") + terminate());
    CHECK(serves.hears.news() == "");
    CHECK(serves.hears.left() > 0);
    CHECK(serves.send(of("x")) == errc::none);
    CHECK(serves->end_backup({{0x30}, {1}}) == errc::none);
    serves.hears.feed();
    CHECK(serves.hears.news() == "show a\nclosed terminated\n");
}

TEST_CASE("a client that goes away in the middle ends the session, and gives back what is lent") {
    for (const bool lent : {false, true}) {
        backing_up serves(18, false, false);
        serves.open();
        const buffer content(100'000, std::byte{'x'});
        if (lent) {
            CHECK(serves->send_backup(content) == errc::none);
            serves.hears.feed();
            CHECK(!serves->output().body.empty());
        }
        serves.hears.finish();
        CHECK(serves.hears.last().starts_with("failed "));
        CHECK(serves->over());
        CHECK(serves->output().empty());
        CHECK(!serves->wants_backup());
        CHECK(serves->begin_archive({}) == errc::over);
        CHECK(serves->end_backup({{0x30}, {1}}) == errc::over);
        CHECK(serves->condemn_backup({{0x30}, {1}}) == errc::over);
        CHECK(serves->report_progress(1) == errc::over);
        CHECK(serves->begin_manifest() == errc::over);
        CHECK(serves->begin_backup({{1}, {1}}) == errc::over);
        CHECK(serves.list(0, {}) == errc::over);
    }
}

TEST_CASE("shut_down() lets a backup go on to its end") {
    backing_up serves(18, false);
    serves.open();
    CHECK(serves->shut_down() == errc::none);
    CHECK(serves.send(of("x")) == errc::none);
    CHECK(!serves->over());
    CHECK(serves->end_backup({{0x30}, {1}}) == errc::none);
    serves.hears.feed();
    CHECK(serves.hears.last() == "closed shut down\n");
}

TEST_CASE("the verbs of a backup answer nothing but BASE_BACKUP") {
    for (const std::string_view asked : {"SHOW a", "IDENTIFY_SYSTEM", "UPLOAD_MANIFEST"}) {
        plan chosen;
        chosen.answers = false;
        server hears(chosen);
        in(hears).feed(query(asked));
        CHECK(hears->begin_backup({{1}, {1}}) == errc::not_now);
        CHECK(hears->list({}) == errc::not_now);
        CHECK(hears->begin_archive({}) == errc::not_now);
        CHECK(hears->begin_manifest() == errc::not_now);
        CHECK(hears->report_progress(1) == errc::not_now);
        CHECK(hears->send_backup(of("x")) == errc::not_now);
        CHECK(hears->end_backup({{1}, {1}}) == errc::not_now);
        CHECK(hears->condemn_backup({{1}, {1}}) == errc::not_now);
        CHECK(!hears->wants_backup());
    }
    backing_up serves;
    CHECK(serves->answer(primary::setting{"a", "b"}) == errc::not_now);
    CHECK(serves->complete() == errc::not_now);
    CHECK(serves->complete("SELECT") == errc::not_now);
    CHECK(serves->end_results() == errc::not_now);
    CHECK(serves->accept_manifest() == errc::not_now);
    CHECK(serves->stream({{3}, start, {}, {}}) == errc::not_now);
    CHECK(serves->output().empty());
}

TEST_CASE("nothing is allocated") {
    backing_up serves(18, false, false);
    const buffer content(100'000);
    const support::allocations made;
    bool good = serves->begin_backup({{0x28}, {1}}) == errc::none;
    good = good && serves->list({}) == errc::none;
    good = good && serves->begin_archive({}) == errc::none;
    good = good && serves->send_backup(content) == errc::none;
    for (int i = 0; i < 20; ++i) {
        bytes none;
        good = good && !serves->poll(none, serves.hears.now);
        serves->consume(serves->output().size());
    }
    good = good && serves->wants_backup();
    good = good && serves->end_backup({{0x30}, {1}}) == errc::none;
    const auto count = made.count();
    CHECK(good);
    CHECK(count == 0);
}
