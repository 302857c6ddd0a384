#include <walwire/backup/writer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "backup/streams.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace walwire;
using namespace walwire::backup;
using namespace std::literals;
using spelled::buffer;
using spelled::hex;
using spelled::of;
using wire::backup_compression;

namespace {

// A writer behind a BASE_BACKUP that was asked for, and all that it wrote.
class server {
  public:
    server(int version, bool manifest, std::size_t room = 4096)
        : writer(version, manifest), room_(room), out(room_) {
        for (const wire::message each : {wire::message::startup, wire::message::authentication_ok,
                                         wire::message::backend_key_data,
                                         wire::message::ready_for_query, wire::message::query})
            REQUIRE(talk.receive(each) == errc::none);
    }

    errc start(lsn at = {0xa00028}, std::uint32_t timeline = 1) {
        return writer.start(talk, out, {at, {timeline}});
    }
    errc list(std::uint32_t oid, std::string_view path, std::optional<std::uint64_t> size) {
        tablespace next;
        next.oid = oid;
        next.path = path;
        next.size = size;
        return writer.list(talk, out, next);
    }
    errc archive(std::uint32_t oid, std::string_view path = {},
                 backup_compression how = backup_compression::none) {
        return writer.archive(talk, out, {oid, how}, path);
    }
    errc manifest() { return writer.manifest(talk, out); }
    errc progress(std::uint64_t done) { return writer.progress(talk, out, done); }
    errc end() { return writer.end(talk, out, {{0xa01010}, {1}}); }
    // Lends it, and writes it message by message; every body is where it was.
    errc send(bytes data) {
        if (const errc code = writer.lend(data); code != errc::none) return code;
        const std::byte* at = data.data();
        while (writer.owes()) {
            const bytes body = writer.say(talk, out);
            if (body.data() != at || body.size() > archive_message_size_max || body.empty())
                return errc::argument_invalid;
            at += body.size();
            write();
            said = said + of(body);
        }
        return errc::none;
    }
    void write() {
        said = said + of(out.waiting());
        out.consume(out.waiting().size());
    }
    buffer news() {
        write();
        return std::exchange(said, {});
    }

    backup::stream_writer writer;
    wire::conversation talk;
    buffer said;

  private:
    buffer room_;

  public:
    wire::outbox out;
};

// As 12.22 (and 13.23, 15.20) sent it, and as 17.10 (and 18.4).
const std::string old_position =
    "54 00000035 0002 'recptr'00 00000000 0000 00000019 ffff 00000000 0000"
    " 'tli'00 00000000 0000 00000014 ffff 00000000 0000";
const std::string new_position =
    "54 00000035 0002 'recptr'00 00000000 0000 00000019 ffff ffffffff 0000"
    " 'tli'00 00000000 0000 00000014 0008 ffffffff 0000";
const std::string position_row = "44 00000017 0002 00000008 '0/A00028' 00000001 '1'";
const std::string selected = "43 0000000b 'SELECT'00";
const std::string old_list = "54 00000054 0003 'spcoid'00 00000000 0000 0000001a 0004 00000000 0000"
                             " 'spclocation'00 00000000 0000 00000019 ffff 00000000 0000"
                             " 'size'00 00000000 0000 00000014 0008 00000000 0000";
const std::string new_list = "54 00000054 0003 'spcoid'00 00000000 0000 0000001a 0004 ffffffff 0000"
                             " 'spclocation'00 00000000 0000 00000019 ffff ffffffff 0000"
                             " 'size'00 00000000 0000 00000014 0008 ffffffff 0000";
const std::string tablespace_row =
    "44 00000028 0003 00000005 '16392' 0000000f '/tmp/pgt/12/ts1' 00000002 '34'";
const std::string base_row = "44 00000016 0003 ffffffff ffffffff 00000004 '8655'";
const std::string unsized_row = "44 00000012 0003 ffffffff ffffffff ffffffff";
const std::string copy_out = "48 00000007 00 0000";
const std::string copy_done = "63 00000004";
const std::string end_row = "44 00000017 0002 00000008 '0/A01010' 00000001 '1'";
const std::string done = "43 00000010 'BASE_BACKUP'00";
const std::string ready = "5a 00000005 49";

} // namespace

TEST_CASE("up to 14 it says what those servers said, byte for byte") {
    for (const int version : {12, 13, 14}) {
        CAPTURE(version);
        server says(version, version > 12);
        CHECK(says.start() == errc::none);
        CHECK(says.news() == hex(old_position + position_row + selected + old_list));
        CHECK(says.list(16392, "/tmp/pgt/12/ts1", 34) == errc::none);
        CHECK(says.news() == hex(tablespace_row));
        CHECK(says.list(0, {}, 8655) == errc::none);
        CHECK(says.news() == hex(base_row + selected));
        CHECK(says.archive(16392, "/tmp/pgt/12/ts1") == errc::none);
        CHECK(says.news() == hex(copy_out));
        CHECK(says.send(as_bytes("PG_12")) == errc::none);
        CHECK(says.news() == hex("64 00000009 'PG_12'"));
        CHECK(says.progress(7) == errc::none);
        CHECK(says.news().empty());
        CHECK(says.archive(0) == errc::none);
        CHECK(says.news() == hex(copy_done + copy_out));
        if (version > 12) {
            CHECK(says.manifest() == errc::none);
            CHECK(says.news() == hex(copy_done + copy_out));
            CHECK(says.send(as_bytes("{}")) == errc::none);
            CHECK(says.news() == hex("64 00000006 '{}'"));
        }
        CHECK(says.end() == errc::none);
        CHECK(says.news() == hex(copy_done + old_position + end_row + selected +
                                 (version == 12 ? selected : done) + ready));
        CHECK(says.talk.at() == wire::phase::idle);
    }
}

TEST_CASE("from 15 on it says what those servers say, byte for byte") {
    for (const int version : {15, 16, 17, 18}) {
        CAPTURE(version);
        const bool old = version < 16;
        server says(version, true);
        CHECK(says.start() == errc::none);
        CHECK(says.news() == hex((old ? old_position : new_position) + position_row + selected +
                                 (old ? old_list : new_list)));
        CHECK(says.list(16392, "/tmp/pgt/12/ts1", 34) == errc::none);
        CHECK(says.list(0, {}, std::nullopt) == errc::none);
        CHECK(says.news() == hex(tablespace_row + unsized_row + selected + copy_out));
        CHECK(says.archive(16392, "/tmp/pgt/12/ts1") == errc::none);
        CHECK(says.news() ==
              hex("64 0000001f 6e 31363339322e746172 00 2f746d702f7067742f31322f747331 00"));
        CHECK(says.send(as_bytes("PG_15")) == errc::none);
        CHECK(says.news() == hex("64 0000000a 64 'PG_15'"));
        CHECK(says.progress(0x8e00) == errc::none);
        CHECK(says.news() == hex("64 0000000d 70 0000000000008e00"));
        CHECK(says.archive(0, {}, backup_compression::gzip) == errc::none);
        CHECK(says.news() == hex("64 00000012 6e 'base.tar.gz'00 00"));
        CHECK(says.manifest() == errc::none);
        CHECK(says.news() == hex("64 00000005 6d"));
        CHECK(says.send(as_bytes("{}")) == errc::none);
        CHECK(says.end() == errc::none);
        CHECK(says.news() ==
              hex("64 00000007 64 '{}'" + copy_done + (old ? old_position : new_position) +
                  end_row + selected + done + ready));
        CHECK(says.talk.at() == wire::phase::idle);
    }
}

TEST_CASE("a backup that is condemned lacks its completion, and nothing but an error may follow") {
    for (const int version : {12, 18}) {
        CAPTURE(version);
        std::string whole;
        for (const bool sound : {true, false}) {
            server says(version, false);
            CHECK(says.start() == errc::none);
            CHECK(says.list(0, {}, std::nullopt) == errc::none);
            CHECK(says.writer.condemn(says.talk, says.out, {{0xa01010}, {1}}) ==
                  (version < 15 ? errc::not_now : errc::backup_incomplete));
            CHECK(says.archive(0) == errc::none);
            CHECK(says.send(of("x")) == errc::none);
            says.news();
            if (sound) {
                CHECK(says.end() == errc::none);
                whole = as_text(says.news());
                continue;
            }
            CHECK(says.writer.condemn(says.talk, says.out, {{0xa01010}, {1}}) == errc::none);
            CHECK(whole.starts_with(as_text(says.news())));
            CHECK(says.talk.at() == wire::phase::answered);
            CHECK(!says.writer.wants_data());
            CHECK(says.end() == errc::not_now);
            CHECK(says.start() == errc::not_now);
            CHECK(says.progress(1) == errc::not_now);
            CHECK(says.talk.may_send(wire::message::error_response));
            CHECK(says.news().empty());
        }
    }
}

TEST_CASE("bodies are lent, cut into messages of at most 32 KiB, and never copied") {
    for (const int version : {14, 18}) {
        for (const std::size_t size : {0u, 1u, 32'767u, 32'768u, 32'769u, 65'536u, 1u << 20}) {
            CAPTURE(size);
            server says(version, false);
            REQUIRE(says.start() == errc::none);
            REQUIRE(says.list(0, {}, {}) == errc::none);
            REQUIRE(says.archive(0) == errc::none);
            CHECK(says.writer.wants_data());
            says.news();
            const buffer content(size, std::byte{'x'});
            CHECK(says.send(content) == errc::none);
            CHECK(says.writer.wants_data());
            const buffer all = says.news();
            const std::size_t messages = (size + 32'767) / 32'768;
            CHECK(all.size() == size + messages * (version < 15 ? 5 : 6));
        }
    }
}

TEST_CASE("calls out of order are refused, and nothing moves or is written") {
    for (const int version : {12, 15, 18}) {
        CAPTURE(version);
        server says(version, true);
        const auto refuses_all_but = [&](std::string_view allowed) {
            const wire::phase at = says.talk.at();
            const auto refused = [&](std::string_view name, auto&& call) {
                if (allowed.find(name) != std::string_view::npos) return;
                CAPTURE(std::string(name));
                CHECK(call() != errc::none);
                CHECK(says.out.empty());
                CHECK(says.talk.at() == at);
            };
            refused("start", [&] { return says.start(); });
            refused("list", [&] { return says.list(0, {}, {}); });
            refused("archive", [&] { return says.archive(0); });
            refused("manifest", [&] { return says.manifest(); });
            refused("progress", [&] { return says.progress(1); });
            refused("lend", [&] { return says.writer.lend(as_bytes("x")); });
            refused("end", [&] { return says.end(); });
            CHECK(says.writer.say(says.talk, says.out).empty());
            CHECK(says.out.empty());
        };
        refuses_all_but("start");
        CHECK(says.start() == errc::none);
        says.news();
        refuses_all_but("list");
        CHECK(says.list(7, "/t", {}) == errc::none);
        says.news();
        refuses_all_but("list");
        CHECK(says.list(0, {}, {}) == errc::none);
        says.news();
        CHECK(says.list(8, "/u", {}) == errc::tablespace_invalid);
        CHECK(says.list(0, {}, {}) == errc::tablespace_invalid);
        CHECK(says.manifest() == errc::backup_incomplete);
        if (version >= 15) CHECK(says.end() == errc::backup_incomplete);
        refuses_all_but(version < 15 ? "archive" : "archive progress");
        CHECK(says.archive(7, "/t\0x"sv) ==
              (version < 15 ? errc::argument_has_nul : errc::argument_has_nul));
        CHECK(says.archive(7, "/t") == errc::none);
        says.news();
        CHECK(says.end() == errc::backup_incomplete);
        refuses_all_but("archive progress lend");
        CHECK(says.writer.lend(as_bytes("x")) == errc::none);
        CHECK(says.writer.lend(as_bytes("y")) == errc::not_now);
        CHECK(says.progress(1) == errc::not_now);
        CHECK(says.archive(0) == errc::not_now);
        CHECK(says.end() == errc::not_now);
        CHECK(says.manifest() == errc::not_now);
        CHECK(says.writer.say(says.talk, says.out).size() == 1);
        says.news();
        CHECK(says.archive(0) == errc::none);
        says.news();
        CHECK(says.archive(0) == errc::archive_unexpected);
        CHECK(says.end() == errc::backup_incomplete);
        CHECK(says.manifest() == errc::none);
        says.news();
        CHECK(says.manifest() == errc::archive_unexpected);
        CHECK(says.archive(0) == errc::archive_unexpected);
        CHECK(says.end() == errc::none);
        says.news();
        refuses_all_but("");
    }
}

TEST_CASE("a manifest that nobody asked for, and compression before 15, are refused") {
    for (const int version : {14, 15}) {
        server says(version, false);
        REQUIRE(says.start() == errc::none);
        REQUIRE(says.list(0, {}, {}) == errc::none);
        const errc gzip = says.archive(0, {}, backup_compression::gzip);
        CHECK(gzip == (version < 15 ? errc::archive_unexpected : errc::none));
        if (version < 15) REQUIRE(says.archive(0) == errc::none);
        CHECK(says.manifest() == errc::archive_unexpected);
        CHECK(says.end() == errc::none);
    }
}

TEST_CASE("text with a NUL cannot be said") {
    server says(18, false);
    REQUIRE(says.start() == errc::none);
    says.news();
    CHECK(says.list(7, "/t\0u"sv, {}) == errc::argument_has_nul);
    CHECK(says.news().empty());
    REQUIRE(says.list(0, {}, {}) == errc::none);
    says.news();
    CHECK(says.archive(7, "/t\0u"sv) == errc::argument_has_nul);
    CHECK(says.news().empty());
}

TEST_CASE("each call puts all of its messages or none, in any room") {
    for (const int version : {12, 15, 18}) {
        CAPTURE(version);
        // What each call writes when there is room, and then with less and less of it.
        std::vector<std::size_t> sizes;
        for (std::size_t room = 4096;;) {
            server says(version, true, room);
            std::vector<errc (*)(server&)> calls{[](server& s) { return s.start(); },
                                                 [](server& s) { return s.list(7, "/t", 1); },
                                                 [](server& s) { return s.list(0, {}, 1); },
                                                 [](server& s) { return s.archive(7, "/t"); },
                                                 [](server& s) { return s.archive(0); },
                                                 [](server& s) { return s.manifest(); },
                                                 [](server& s) { return s.end(); }};
            errc code = errc::none;
            std::size_t call = 0;
            for (; call < calls.size(); ++call) {
                const wire::phase at = says.talk.at();
                code = calls[call](says);
                if (code != errc::none) {
                    CHECK(code == errc::argument_too_long);
                    CHECK(says.out.empty());
                    CHECK(says.talk.at() == at);
                    CHECK(room < sizes[call]);
                    break;
                }
                if (room == 4096) sizes.push_back(says.out.waiting().size());
                CHECK(says.out.waiting().size() == sizes[call]);
                says.write();
            }
            CHECK((code == errc::none) == (room >= *std::max_element(sizes.begin(), sizes.end())));
            if (room == 0) break;
            room = room == 4096 ? *std::max_element(sizes.begin(), sizes.end()) : room - 1;
        }
    }
}

TEST_CASE("behind output that waits each call says so, and works once that is written") {
    server says(18, true, 400);
    const std::string path = "/" + std::string(300, 'p');
    CHECK(says.start() == errc::none);
    CHECK(says.list(7, path, 1) == errc::output_full);
    says.write();
    CHECK(says.list(7, path, 1) == errc::none);
    CHECK(says.list(0, {}, {}) == errc::none);
    CHECK(says.archive(7, path) == errc::output_full);
    says.write();
    CHECK(says.archive(7, path) == errc::none);
    CHECK(says.writer.lend(as_bytes("abc")) == errc::none);
    while (says.progress(1) == errc::none) FAIL("not while something is lent");
    CHECK(says.writer.say(says.talk, says.out).size() == 3);
    for (errc code = errc::none; code == errc::none;) {
        code = says.progress(1);
        CHECK((code == errc::none || code == errc::output_full));
    }
    CHECK(says.writer.lend(as_bytes("abc")) == errc::none);
    while (says.out.capacity() - says.out.waiting().size() >= 6)
        CHECK(says.out.put([](walwire::writer& to) { to.u8(0); }) == errc::none);
    CHECK(says.writer.say(says.talk, says.out).empty()); // no room for its head
    CHECK(says.writer.owes());
    says.write();
    CHECK(says.writer.say(says.talk, says.out).size() == 3);
}

TEST_CASE("what a writer says a reader hears, whatever the archives") {
    support::prng random(15);
    for (int life = 0; life < 60; ++life) {
        const int version = static_cast<int>(random.between(12, 18));
        const bool manifest = version > 12 && random.chance(1, 2);
        const std::size_t count = random.between(1, 5);
        server says(version, manifest);
        std::string expected = "started 0/A00028 1\n";
        REQUIRE(says.start() == errc::none);
        std::vector<std::string> paths;
        for (std::size_t i = 0; i < count; ++i) {
            const bool base = i + 1 == count;
            paths.push_back(base ? "" : "/ts" + std::to_string(i));
            REQUIRE(says.list(base ? 0 : 100 + static_cast<std::uint32_t>(i), paths[i], i) ==
                    errc::none);
            expected += "tablespace " + std::to_string(i) + ' ' +
                        std::to_string(base ? 0 : 100 + i) + " '" + paths[i] + "' " +
                        std::to_string(i) + '\n';
            says.write();
        }
        for (std::size_t i = 0; i < count; ++i) {
            const bool base = i + 1 == count;
            REQUIRE(says.archive(base ? 0 : 100 + static_cast<std::uint32_t>(i), paths[i]) ==
                    errc::none);
            says.write();
            const std::string content(random.below(70'000), static_cast<char>('a' + i));
            REQUIRE(says.send(as_bytes(content)) == errc::none);
            expected += "archive " + std::to_string(i) + ' ' +
                        (base ? "base" : std::to_string(100 + i)) + ".tar\n" +
                        (content.empty() ? "" : "data " + content + '\n') + "archived " +
                        std::to_string(i) + '\n';
        }
        if (manifest) {
            REQUIRE(says.manifest() == errc::none);
            expected += "manifest\nmanifest is whole\n";
        }
        REQUIRE(says.end() == errc::none);
        expected += "ended 0/A01010 1\n";
        // Back from its bytes to parts.
        const buffer all = says.news();
        streams::script heard;
        for (bytes rest = all; !rest.empty();) {
            const std::size_t size = load<std::uint32_t>(rest.data() + 1);
            const buffer body = of(rest.subspan(5, size - 4));
            const char tag = static_cast<char>(rest[0]);
            if (tag == 'D') heard.push_back({streams::kind::row, body});
            if (tag == 'C') heard.push_back({streams::kind::completed, {}});
            if (tag == 'H') heard.push_back({streams::kind::opened, {}});
            if (tag == 'd') heard.push_back({streams::kind::message, body});
            if (tag == 'c') heard.push_back({streams::kind::closed, {}});
            rest = rest.subspan(1 + size);
        }
        const auto cuts = [&](std::size_t size) {
            return size < 2 ? std::vector<std::size_t>()
                            : std::vector<std::size_t>{1 + random.below(size - 1)};
        };
        CHECK(streams::play({format_of(version), manifest, 8}, heard, cuts) == expected);
    }
}

TEST_CASE("nothing is allocated") {
    std::array<std::byte, 512> room;
    wire::conversation talk;
    for (const wire::message each :
         {wire::message::startup, wire::message::authentication_ok, wire::message::backend_key_data,
          wire::message::ready_for_query, wire::message::query})
        REQUIRE(talk.receive(each) == errc::none);
    const support::allocations made;
    wire::outbox out(room);
    backup::stream_writer writes(18, false);
    bool good = writes.start(talk, out, {{1}, {1}}) == errc::none;
    out.clear();
    good = good && writes.list(talk, out, {}) == errc::none;
    good = good && writes.archive(talk, out, {}, {}) == errc::none;
    good = good && writes.lend(as_bytes("abc")) == errc::none;
    good = good && writes.say(talk, out).size() == 3;
    out.clear();
    good = good && writes.end(talk, out, {{2}, {1}}) == errc::none;
    const auto count = made.count();
    CHECK(good);
    CHECK(count == 0);
}
