#include <walwire/aiondb/backup.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "aiondb/words.hpp"
#include "support/exhaustive.hpp"
#include "support/guard.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"
#include "wire/spelled.hpp"

using namespace walwire;
using namespace walwire::aiondb;
using entries::backup_end;
using entries::file;
using entries::file_end;
using entries::tagged;
using spelled::buffer;
using spelled::hex;

namespace {

// A line for each event; the runs of one file are joined.
struct account {
    std::string lines;
    bool in_data = false;
    std::size_t runs = 0;

    void add(const backup_event& told) {
        if (const auto* const run = std::get_if<file_data>(&told)) {
            if (!in_data) lines += "data ";
            in_data = true;
            ++runs;
            lines += as_text(run->data);
            if (run->data.empty()) lines += "(an empty run)";
            return;
        }
        if (in_data) lines += '\n';
        in_data = false;
        if (const auto* const from = std::get_if<backup_started>(&told))
            lines += "backup " + std::string(std::string_view(to_text(from->start))) + ' ' +
                     std::to_string(from->timeline.value) + ' ' +
                     std::string(from->system_identifier) + '\n';
        if (const auto* const begun = std::get_if<file_started>(&told))
            lines += "file " + std::string(begun->path) + ' ' + std::to_string(begun->size) + '\n';
        if (std::holds_alternative<file_ended>(told)) lines += "file ended\n";
        if (std::holds_alternative<backup_ended>(told)) lines += "backup ended\n";
        if (const auto* const why = std::get_if<backup_failed>(&told))
            lines += "failed " + std::to_string(why->reason.offset) + ' ' +
                     std::string(text(why->reason.code)) + '\n';
    }
};

std::string account_of(support::chunks& feed) {
    const support::guarded room(frame_room);
    backup_reader reader(room.span());
    account told;
    const auto drain = [&](bytes& in) {
        while (const auto event = reader.poll(in)) told.add(*event);
        if (!in.empty()) told.lines += "(input was left)";
    };
    while (auto chunk = feed.next()) drain(*chunk);
    reader.finish();
    bytes none;
    drain(none);
    const bool ends = told.lines.ends_with("backup ended\n");
    if (ends != reader.whole() || reader.failed() == reader.whole())
        told.lines += "(and does not know how it ended)";
    return told.lines;
}
// The same in every chunking.
std::string heard(const buffer& stream, std::size_t splits_max = SIZE_MAX) {
    const std::string whole = support::rendering(bytes(stream), {stream.size() + 1}, account_of);
    const std::string differs = support::difference(bytes(stream), account_of, splits_max);
    return differs.empty() ? whole : "the chunks matter: " + differs;
}
std::string failure(errc code, std::size_t offset) {
    return "failed " + std::to_string(offset) + ' ' + std::string(text(code)) + '\n';
}
// How a stream ends, the last line of it.
std::string ending(const buffer& stream) {
    const std::string all = heard(stream, 40);
    const std::size_t at =
        all.size() < 2 ? std::string::npos : all.find_last_of('\n', all.size() - 2);
    return all.substr(at == std::string::npos ? 0 : at + 1);
}

const buffer begin = entries::header(0x1'0000'0005, 3, "cluster-a");

// Each of these comes behind `before`, and is wrong from its first byte on.
void refuses(const buffer& before, const buffer& wrong, errc code) {
    CAPTURE(std::string(text(code)));
    CHECK(ending(before + wrong) == failure(code, before.size()));
}

buffer announced(std::uint8_t tag, std::uint32_t size) {
    return buffer{std::byte(tag)} + entries::little(size, 4);
}

// What a writer makes of the same backup.
struct written {
    buffer room = buffer(64 * 1024);
    little_writer out{room};
    backup_writer frames;

    buffer made() const { return spelled::of(out.written()); }
};

} // namespace

TEST_CASE("a backup is read into its header, its files and its end") {
    const buffer stream = hex("01 19000000 0500000001000000 03000000 09000000 'cluster-a'"
                              "02 14000000 08000000 'wal/0001' 0500000000000000"
                              "03 03000000 'abc' 03 02000000 'de' 04 00000000"
                              "02 19000000 0d000000 'pages/ab/none' 0000000000000000 04 00000000"
                              "05 00000000");
    CHECK(heard(stream) == "backup 1/00000005 3 cluster-a\n"
                           "file wal/0001 5\ndata abcde\nfile ended\n"
                           "file pages/ab/none 0\nfile ended\nbackup ended\n");
}

TEST_CASE("frames are the bytes of AionDB's tables") {
    written it;
    CHECK(it.frames.header(it.out, {{0x1'0000'0005}, {3}, "cluster-a"}) == errc::none);
    CHECK(it.frames.file_start(it.out, {"wal/0001", 5}) == errc::none);
    CHECK(it.frames.file_data(it.out, 3) == errc::none);
    it.out.append(std::string_view("abc"));
    CHECK(it.frames.file_data(it.out, 2) == errc::none);
    it.out.append(std::string_view("de"));
    CHECK(it.frames.file_end(it.out) == errc::none);
    CHECK(!it.frames.over());
    CHECK(it.frames.backup_end(it.out) == errc::none);
    CHECK(it.frames.over());
    CHECK(it.made() == hex("01 19000000 0500000001000000 03000000 09000000 'cluster-a'"
                           "02 14000000 08000000 'wal/0001' 0500000000000000"
                           "03 03000000 'abc' 03 02000000 'de' 04 00000000 05 00000000"));
    CHECK(it.made() == begin + entries::file_start("wal/0001", 5) + entries::file_data("abc") +
                           entries::file_data("de") + file_end() + backup_end());
}

TEST_CASE("a backup without any file is one") {
    CHECK(heard(begin + backup_end()) == "backup 1/00000005 3 cluster-a\nbackup ended\n");
}

TEST_CASE("empty data frames say nothing and change nothing") {
    const buffer stream = begin + entries::file_start("a", 1) + entries::file_data("") +
                          entries::file_data("x") + entries::file_data("") + file_end() +
                          backup_end();
    CHECK(heard(stream).find("file a 1\ndata x\nfile ended\nbackup ended\n") != std::string::npos);
}

TEST_CASE("the header comes first and once") {
    refuses({}, entries::file_start("a", 0), errc::backup_header_missing);
    refuses({}, entries::file_data("x"), errc::backup_header_missing);
    refuses({}, file_end(), errc::backup_header_missing);
    refuses({}, backup_end(), errc::backup_header_missing);
    refuses(begin, begin, errc::backup_header_repeated);
    refuses(begin + entries::file_start("a", 0), begin, errc::backup_header_repeated);
    refuses(begin + file("a", "xy"), begin, errc::backup_header_repeated);
}

TEST_CASE("a file does not begin inside a file") {
    refuses(begin + entries::file_start("a", 1), entries::file_start("b", 1),
            errc::file_start_inside_file);
}

TEST_CASE("data and the end of a file stand inside one") {
    refuses(begin, entries::file_data("x"), errc::file_data_outside_file);
    refuses(begin + file("a", "x"), entries::file_data("x"), errc::file_data_outside_file);
    refuses(begin, file_end(), errc::file_end_outside_file);
    refuses(begin + file("a", "x"), file_end(), errc::file_end_outside_file);
}

TEST_CASE("a file has not more bytes than its start declared") {
    const buffer open = begin + entries::file_start("a", 3);
    refuses(open, entries::file_data("abcd"), errc::file_too_long);
    refuses(open + entries::file_data("ab"), entries::file_data("cd"), errc::file_too_long);
    refuses(open + entries::file_data("abc"), entries::file_data("d"), errc::file_too_long);
    // It is known before a single byte of them comes.
    refuses(open, announced(3, 4), errc::file_too_long);
    refuses(begin + entries::file_start("a", 0), announced(3, 1), errc::file_too_long);
}

TEST_CASE("a file does not end short of its declared size") {
    const buffer open = begin + entries::file_start("a", 3);
    refuses(open, file_end(), errc::file_too_short);
    refuses(open + entries::file_data("ab"), file_end(), errc::file_too_short);
    refuses(begin + entries::file_start("a", UINT64_MAX) + entries::file_data("ab"), file_end(),
            errc::file_too_short);
}

TEST_CASE("a backup does not end inside a file") {
    refuses(begin + entries::file_start("a", 0), backup_end(), errc::backup_end_inside_file);
    refuses(begin + entries::file_start("a", 1) + entries::file_data("x"), backup_end(),
            errc::backup_end_inside_file);
}

TEST_CASE("no frame comes after the backup's end") {
    for (const buffer& more : {begin, entries::file_start("a", 0), entries::file_data("x"),
                               file_end(), backup_end(), hex("01")})
        refuses(begin + backup_end(), more, errc::frame_after_end);
}

TEST_CASE("a stream does not end before the backup does, wherever it is cut") {
    const buffer stream = begin + file("wal/0001", "abcde") + backup_end();
    std::size_t tried = 0;
    spelled::each_truncation(stream, [&](bytes shorter) {
        const buffer cut = spelled::of(shorter);
        const std::string told = support::rendering(shorter, {cut.size() + 1}, account_of);
        CHECK(told.ends_with(failure(errc::backup_unended, cut.size())));
        CHECK(told.find("backup ended") == std::string::npos);
        CHECK(heard(cut, 5) == told);
        ++tried;
    });
    CHECK(tried == stream.size());
}

TEST_CASE("a payload is at most 8 MiB, and is refused before it is kept") {
    const buffer open = begin + entries::file_start("a", UINT64_MAX);
    refuses(open, announced(3, 8'388'609), errc::entry_too_large);
    refuses(open, announced(3, UINT32_MAX), errc::entry_too_large);
    CHECK(ending(open + announced(3, 8'388'608)) == failure(errc::backup_unended, open.size() + 5));
    refuses({}, announced(1, 8'388'609), errc::entry_too_large);
    refuses(begin, announced(2, 8'388'609), errc::entry_too_large);
    refuses(begin, announced(5, 8'388'609), errc::entry_too_large);
}

TEST_CASE("identifiers and paths that nobody has are refused before they are kept") {
    refuses({}, announced(1, 16 + 1025), errc::message_too_large);
    refuses(begin, announced(2, 12 + 4097), errc::message_too_large);
    const std::string identifier(1024, 'i');
    CHECK(heard(entries::header(1, 1, identifier) + backup_end(), 20) ==
          "backup 0/00000001 1 " + identifier + "\nbackup ended\n");
    const std::string path(4096, 'p');
    CHECK(heard(begin + file(path, "") + backup_end(), 20).find("file " + path + " 0\n") !=
          std::string::npos);
}

TEST_CASE("what a frame says fills it exactly, and nothing is missing") {
    for (std::uint32_t size = 0; size < 16; ++size)
        refuses({}, tagged(1, buffer(size)), errc::frame_malformed);
    for (std::uint32_t size = 0; size < 12; ++size)
        refuses(begin, tagged(2, buffer(size)), errc::frame_malformed);
    const auto header = [](std::uint32_t announced_size) {
        return tagged(1, entries::little(5, 8) + entries::little(3, 4) +
                             entries::little(announced_size, 4) + hex("'abc'"));
    };
    CHECK(ending(header(3) + backup_end()) == "backup ended\n");
    refuses({}, header(2), errc::frame_malformed);
    refuses({}, header(4), errc::frame_malformed);
    refuses({}, header(UINT32_MAX), errc::frame_malformed);
    const auto start = [](std::uint32_t announced_size) {
        return tagged(2, entries::little(announced_size, 4) + hex("'abc'") + entries::little(0, 8));
    };
    CHECK(ending(begin + start(3) + file_end() + backup_end()) == "backup ended\n");
    refuses(begin, start(2), errc::frame_malformed);
    refuses(begin, start(4), errc::frame_malformed);
    refuses(begin, start(UINT32_MAX), errc::frame_malformed);
    refuses(begin, announced(5, 1), errc::frame_malformed);
    refuses(begin + entries::file_start("a", 0), announced(4, 1), errc::frame_malformed);
    refuses({}, entries::header(1, 0, "a"), errc::frame_malformed); // no timeline
}

TEST_CASE("a system identifier and a path are UTF-8") {
    for (const std::string_view text : {"\xff", "a\xc3", "\xc0\x80", "\xed\xa0\x80"}) {
        refuses({}, entries::header(1, 1, text), errc::frame_malformed);
        refuses(begin, entries::file_start(text, 0), errc::frame_malformed);
    }
    CHECK(heard(entries::header(1, 1, "\xc3\xa4") + file("\xe2\x82\xac", "") + backup_end()) ==
          "backup 0/00000001 1 \xc3\xa4\nfile \xe2\x82\xac 0\nfile ended\nbackup ended\n");
}

TEST_CASE("paths are relative, not empty, and made of normal components only") {
    using namespace std::literals;
    for (const std::string_view path :
         {""sv, "/"sv, "/etc/passwd"sv, ".."sv, "../a"sv, "a/.."sv, "a/../b"sv, "."sv, "./a"sv,
          "a/./b"sv, "a//b"sv, "a/"sv, "a\0b"sv, "a\nb"sv, "a/\x7f"sv}) {
        CAPTURE(path);
        refuses(begin, entries::file_start(path, 0), errc::file_path_refused);
    }
    for (const std::string_view path : {"a", "a/b/c", "...", "..a", "a..", ".hidden", "a b",
                                        "pages/1", "index_pages/x", "replication_slots/s"}) {
        CAPTURE(path);
        CHECK(ending(begin + file(path, "") + backup_end()) == "backup ended\n");
    }
}

TEST_CASE("a frame of an unknown kind is refused at its first byte") {
    for (unsigned kind = 0; kind < 256; ++kind) {
        if (kind >= 1 && kind <= 5) continue;
        refuses(begin, buffer{std::byte(kind)}, errc::frame_unknown);
    }
    refuses(begin + entries::file_start("a", 1), hex("'w'"), errc::frame_unknown);
}

TEST_CASE("file data passes as the runs that arrive, out of the input") {
    const std::string large(100'000, 'z');
    const buffer stream = begin + entries::file_start("a", large.size()) +
                          entries::file_data(large) + file_end() + backup_end();
    const support::guarded room(frame_room);
    backup_reader reader(room.span());
    std::size_t runs = 0, size = 0;
    for (bytes rest = stream; !rest.empty();) {
        bytes in = rest.first(std::min<std::size_t>(rest.size(), 4096));
        const bytes chunk = in;
        rest = rest.subspan(in.size());
        while (const auto told = reader.poll(in)) {
            const auto* const run = std::get_if<file_data>(&*told);
            if (run == nullptr) continue;
            CHECK(run->data.data() >= chunk.data());
            CHECK(run->data.data() + run->data.size() <= chunk.data() + chunk.size());
            size += run->data.size();
            ++runs;
        }
    }
    CHECK(size == large.size());
    CHECK(runs == 25);
    CHECK(reader.whole());
}

TEST_CASE("a reader needs room for the largest frame that it gathers") {
    CHECK(frame_room == 5 + 4 + 4096 + 8);
    for (const std::size_t size : {std::size_t{0}, frame_room - 1}) {
        const support::guarded room(size);
        backup_reader reader(room.span());
        bytes in = begin;
        const auto told = reader.poll(in);
        REQUIRE(told);
        CHECK(std::get<backup_failed>(*told).reason == error{errc::memory_too_small, 0});
        CHECK(in.empty());
        CHECK(reader.failed());
        CHECK(!reader.poll(in));
    }
}

TEST_CASE("after its end a reader eats everything and says nothing more") {
    const support::guarded room(frame_room);
    backup_reader reader(room.span());
    const buffer stream = begin + backup_end();
    bytes in = stream;
    while (reader.poll(in)) {
    }
    CHECK(reader.whole());
    reader.finish();
    CHECK(!reader.poll(in));
    CHECK(reader.whole());
    in = stream;
    CHECK(std::get<backup_failed>(*reader.poll(in)).reason ==
          error{errc::frame_after_end, stream.size()});
    CHECK(in.empty());
    CHECK(!reader.whole());
    CHECK(reader.failed());
    in = stream;
    CHECK(!reader.poll(in));
    CHECK(in.empty());
}

TEST_CASE("with any byte flipped there is one end, the same in every chunking") {
    const buffer stream = begin + file("wal/1", "abc") + file("b", "") + backup_end();
    std::size_t ended = 0, tried = 0;
    for (std::size_t at = 0; at < stream.size(); ++at) {
        for (const int bit : {0, 1, 2, 4, 7}) {
            buffer flipped = stream;
            flipped[at] ^= static_cast<std::byte>(1 << bit);
            const std::string told = heard(flipped, 4);
            const bool whole = told.ends_with("backup ended\n");
            const std::size_t failed = told.find("failed ");
            CHECK(whole == (failed == std::string::npos));
            if (!whole) CHECK(told.find('\n', failed) == told.size() - 1);
            ended += whole;
            ++tried;
        }
    }
    CHECK(tried == 5 * stream.size());
    CHECK(ended > 50); // in the data, the identifier, the positions
    CHECK(ended < tried / 2);
}

TEST_CASE("a writer keeps the order that a reader asks for, and writes nothing that is wrong") {
    written it;
    CHECK(it.frames.file_start(it.out, {"a", 0}) == errc::backup_header_missing);
    CHECK(it.frames.file_data(it.out, 0) == errc::backup_header_missing);
    CHECK(it.frames.file_end(it.out) == errc::backup_header_missing);
    CHECK(it.frames.backup_end(it.out) == errc::backup_header_missing);
    CHECK(it.out.size() == 0);
    CHECK(it.frames.header(it.out, {{5}, {0}, "a"}) == errc::frame_malformed);
    CHECK(it.frames.header(it.out, {{5}, {1}, "\xff"}) == errc::frame_malformed);
    CHECK(it.frames.header(it.out, {{5}, {1}, std::string(1025, 'a')}) == errc::message_too_large);
    CHECK(it.out.size() == 0);
    CHECK(it.frames.header(it.out, {{5}, {1}, "a"}) == errc::none);
    const std::size_t behind_header = it.out.size();
    CHECK(it.frames.header(it.out, {{5}, {1}, "a"}) == errc::backup_header_repeated);
    CHECK(it.frames.file_data(it.out, 0) == errc::file_data_outside_file);
    CHECK(it.frames.file_end(it.out) == errc::file_end_outside_file);
    CHECK(it.frames.file_start(it.out, {"/a", 0}) == errc::file_path_refused);
    CHECK(it.frames.file_start(it.out, {"", 0}) == errc::file_path_refused);
    CHECK(it.frames.file_start(it.out, {"\xff", 0}) == errc::frame_malformed);
    CHECK(it.frames.file_start(it.out, {std::string(4097, 'a'), 0}) == errc::message_too_large);
    CHECK(it.out.size() == behind_header);
    CHECK(it.frames.file_start(it.out, {"a", UINT64_MAX}) == errc::none);
    CHECK(it.frames.file_start(it.out, {"b", 0}) == errc::file_start_inside_file);
    CHECK(it.frames.file_data(it.out, 8'388'609) == errc::entry_too_large);
    CHECK(it.frames.file_data(it.out, 8'388'608) == errc::none);
    CHECK(it.frames.file_end(it.out) == errc::file_too_short);
    CHECK(it.frames.backup_end(it.out) == errc::backup_end_inside_file);
    written other;
    CHECK(other.frames.header(other.out, {{5}, {1}, "a"}) == errc::none);
    CHECK(other.frames.file_start(other.out, {"a", 3}) == errc::none);
    CHECK(other.frames.file_data(other.out, 4) == errc::file_too_long);
    CHECK(other.frames.file_data(other.out, 2) == errc::none);
    CHECK(other.frames.file_data(other.out, 2) == errc::file_too_long);
    CHECK(other.frames.file_data(other.out, 1) == errc::none);
    CHECK(other.frames.file_end(other.out) == errc::none);
    CHECK(other.frames.backup_end(other.out) == errc::none);
    const std::size_t all = other.out.size();
    CHECK(other.frames.file_start(other.out, {"b", 0}) == errc::frame_after_end);
    CHECK(other.frames.header(other.out, {{5}, {1}, "a"}) == errc::frame_after_end);
    CHECK(other.frames.backup_end(other.out) == errc::frame_after_end);
    CHECK(other.out.size() == all);
}

TEST_CASE("a frame is written whole or not at all") {
    const auto fits = [](std::size_t size, auto&& put, std::size_t before) {
        for (std::size_t room_size = 0; room_size <= size; ++room_size) {
            backup_writer frames;
            buffer head(200);
            little_writer first(head);
            if (before > 0) CHECK(frames.header(first, {{5}, {1}, "a"}) == errc::none);
            if (before > 1) CHECK(frames.file_start(first, {"a", 1}) == errc::none);
            const support::guarded room(room_size);
            little_writer out(room.span());
            const errc code = put(frames, out);
            CHECK(code == (room_size < size ? errc::output_full : errc::none));
            CHECK(out.size() == (room_size < size ? 0 : size));
        }
    };
    using w = backup_writer;
    using o = little_writer;
    fits(
        5 + 16 + 1,
        [](w& to, o& out) {
            return to.header(out, {{5}, {1}, "a"});
        },
        0);
    fits(
        5 + 12 + 3,
        [](w& to, o& out) {
            return to.file_start(out, {"abc", 5});
        },
        1);
    fits(
        5, [](w& to, o& out) { return to.backup_end(out); }, 1);
    fits(
        5, [](w& to, o& out) { return to.file_data(out, 1); }, 2);
}

TEST_CASE("what a writer made of any files, a reader takes for the same") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        support::prng random(seed);
        written it;
        std::string expected = "backup 0/00000007 2 id\n";
        REQUIRE(it.frames.header(it.out, {{7}, {2}, "id"}) == errc::none);
        for (std::uint64_t i = random.below(6); i > 0; --i) {
            const std::string path = "d" + std::to_string(i) + "/f";
            const std::uint64_t size = random.below(60);
            REQUIRE(it.frames.file_start(it.out, {path, size}) == errc::none);
            std::string content;
            while (content.size() < size) {
                const auto part =
                    static_cast<std::uint32_t>(random.between(0, size - content.size()));
                REQUIRE(it.frames.file_data(it.out, part) == errc::none);
                const std::string run(part, static_cast<char>('a' + random.below(26)));
                it.out.append(run);
                content += run;
            }
            REQUIRE(it.frames.file_end(it.out) == errc::none);
            expected += "file " + path + ' ' + std::to_string(size) + '\n';
            if (size > 0) expected += "data " + content + '\n';
            expected += "file ended\n";
        }
        REQUIRE(it.frames.backup_end(it.out) == errc::none);
        CHECK(heard(it.made(), 30) == expected + "backup ended\n");
    }
}

TEST_CASE("nothing is allocated by reading and writing a backup") {
    const buffer stream = begin + file("a", "some bytes") + backup_end();
    std::array<std::byte, frame_room> room;
    std::array<std::byte, 500> made_room;
    support::allocations made;
    backup_reader reader(room);
    for (bytes rest = stream; !rest.empty(); rest = rest.subspan(1)) {
        bytes in = rest.first(1);
        while (reader.poll(in)) {
        }
    }
    backup_writer frames;
    little_writer out(made_room);
    const errc code = frames.header(out, {{5}, {1}, "a"});
    const auto count = made.count();
    CHECK(count == 0);
    CHECK(code == errc::none);
    CHECK(reader.whole());
}
