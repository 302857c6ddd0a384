#include <walwire/backup/tar.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "archives.hpp"
#include "support/guard.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace archives;

namespace {

// A header that says so much, and a place to change it at.
struct made_header {
    block data = header_of("base/5/1234", 8192);

    made_header& put(std::size_t at, std::string_view text) {
        std::memcpy(data.data() + at, text.data(), text.size());
        return *this;
    }
    made_header& clear(std::size_t at, std::size_t size) {
        std::memset(data.data() + at, 0, size);
        return *this;
    }
    made_header& name(std::string_view text) { return clear(0, 100).put(0, text); }
    // Another kind, of size 0.
    made_header& kind(char letter) {
        return put(124, "00000000000 ").put(156, std::string_view(&letter, 1));
    }
    made_header& base_256(std::size_t at, std::size_t size, std::uint64_t value) {
        clear(at, size);
        data[at] = std::byte{0x80};
        for (std::size_t i = at + size; i-- > at + 1; value >>= 8)
            data[i] = static_cast<std::byte>(value & 0xff);
        return *this;
    }
    result<tar_entry> parse() {
        sum_up(data);
        return parse_tar_header(data);
    }
    errc code() { return parse().code(); }
};

errc path_code(std::string_view path, char kind = '0') {
    return made_header().name(path).kind(kind).code();
}

tar_entry some_file(std::string_view path = "base/5/1234") {
    tar_entry entry;
    entry.path = path;
    entry.size = 8192;
    entry.mode = 0600;
    return entry;
}

tar_entry some_link(std::string_view target) {
    tar_entry entry;
    entry.kind = tar_kind::symbolic_link;
    entry.path = "pg_tblspc/16392";
    entry.target = target;
    return entry;
}

block printed(const tar_entry& entry) {
    block out;
    out.fill(std::byte{0xaa});
    REQUIRE(put_tar_header(out, entry) == errc::none);
    return out;
}

errc print_code(const tar_entry& entry) {
    block out;
    out.fill(std::byte{0xaa});
    const block before = out;
    const errc code = put_tar_header(out, entry);
    if (code != errc::none) CHECK(out == before);
    return code;
}

} // namespace

TEST_CASE("the headers in these tests are the recorded ones") {
    for (const recorded_header& each : recorded) {
        CAPTURE(each.name);
        CHECK(support::detail::crc32(whole(each)) == each.crc);
    }
}

TEST_CASE("a recorded header that is read and printed again is the same, byte for byte") {
    for (const recorded_header& each : recorded) {
        CAPTURE(each.name);
        block read = whole(each);
        const auto entry = parse_tar_header(read);
        REQUIRE(entry);
        tar_entry again = *entry;
        CHECK(std::string(each.name).find(again.path) != std::string::npos);
        CHECK(!again.path.starts_with("./"));
        CHECK(!again.path.ends_with("/"));
        const std::string dotted = "./" + std::string(again.path);
        if (each.name.starts_with("./")) again.path = dotted;
        CHECK(printed(again) == whole(each));
    }
}

TEST_CASE("a header says what it said") {
    block link = whole(recorded[3]);
    const auto entry = parse_tar_header(link);
    REQUIRE(entry);
    CHECK(entry->kind == tar_kind::symbolic_link);
    CHECK(entry->path == "pg_tblspc/16392");
    CHECK(entry->target == "/tmp/pgt/12/ts1");
    CHECK(entry->size == 0);
    CHECK(entry->mode == 0777);
    CHECK(entry->mtime == 015300264132);
    CHECK(entry->uid == 01751);
    CHECK(entry->gid == 01751);

    block file = whole(recorded[4]);
    CHECK(parse_tar_header(file)->kind == tar_kind::file);
    CHECK(parse_tar_header(file)->size == 1024 * 1024);
    CHECK(parse_tar_header(file)->target.empty());
    block directory = whole(recorded[1]);
    CHECK(parse_tar_header(directory)->kind == tar_kind::directory);
    CHECK(parse_tar_header(directory)->path == "pg_wal/archive_status");
}

TEST_CASE("every bit of a header counts for its checksum") {
    const block right = whole(recorded[0]);
    for (std::size_t at = 0; at < right.size(); ++at) {
        for (unsigned bit = 1; bit < 256; bit <<= 1) {
            block wrong = right;
            wrong[at] ^= static_cast<std::byte>(bit);
            const errc code = parse_tar_header(wrong).code();
            if (at < 148 || at > 154)
                CHECK((code == errc::tar_checksum_mismatch || at == 155)); // the blank: maybe NUL
            else
                CHECK(code == errc::tar_checksum_mismatch);
        }
    }
    block zeros{};
    CHECK(parse_tar_header(zeros).code() == errc::tar_checksum_mismatch);
    block blanks;
    blanks.fill(std::byte{' '});
    CHECK(parse_tar_header(blanks).code() == errc::tar_checksum_mismatch);
}

TEST_CASE("a checksum of bytes above 127 is the sum of bytes and not of signed ones") {
    made_header made;
    std::memset(made.data.data() + 345, 0xff, 155); // the prefix, which is any bytes
    std::memset(made.data.data(), 0xff, 99);
    CHECK(made.code() == errc::none);
    made.data.fill(std::byte{0xff});
    CHECK(made.code() == errc::tar_format_unknown); // the sum is right even of the largest bytes
}

TEST_CASE("only ustar is read") {
    CHECK(made_header()
              .put(257, std::string_view("ustar\0"
                                         "00",
                                         8))
              .code() == errc::none);
    for (const std::string_view magic :
         {std::string_view("ustar  \0", 8),
          std::string_view("ustar\0"
                           "01",
                           8),
          std::string_view("ustar\0\0\0", 8), std::string_view("ustar 00", 8),
          std::string_view("\0\0\0\0\0\0\0\0", 8),
          std::string_view("USTAR\0"
                           "00",
                           8)}) {
        CAPTURE(std::string(magic));
        CHECK(made_header().put(257, magic).code() == errc::tar_format_unknown);
    }
}

TEST_CASE("every kind of entry but three is refused") {
    for (int kind = 0; kind < 256; ++kind) {
        CAPTURE(kind);
        made_header made;
        made.kind(static_cast<char>(kind)).put(157, "target");
        const bool known = kind == '0' || kind == '2' || kind == '5';
        CHECK(made.code() == (known ? errc::none : errc::tar_entry_refused));
    }
}

TEST_CASE("numbers are octal with blanks or NULs behind them, or base-256") {
    constexpr std::size_t size = 124;
    const auto read = [&](std::string_view text) {
        made_header made;
        made.clear(size, 12).put(size, text);
        const auto entry = made.parse();
        return entry ? static_cast<long long>(entry->size) : -static_cast<int>(entry.code());
    };
    CHECK(read("00000020000 ") == 8192);
    CHECK(read(std::string_view("00000020000\0", 12)) == 8192);
    CHECK(read(std::string_view("20000 \0 \0 \0 ", 12)) == 8192);
    CHECK(read("20000       ") == 8192);
    CHECK(read("7") == 7);
    CHECK(read("777777777777") == 0777777777777);
    const int wrong = -static_cast<int>(errc::tar_header_invalid);
    for (const std::string_view text :
         {std::string_view("            "), std::string_view(""), std::string_view(" 0000020000 "),
          std::string_view("0000002000x "), std::string_view("00000020008 "),
          std::string_view("00000020 00 "), std::string_view("-0000020000 "),
          std::string_view("+0000020000 "), std::string_view("0000020000\0001", 12),
          std::string_view("0x000020000 "), std::string_view("00000020000\t"),
          std::string_view("\x81\0\0\0\0\0\0\0\0\0\0\1", 12),
          std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12)}) {
        CAPTURE(std::string(text));
        CHECK(read(text) == wrong);
    }
    // Every number is looked at, not only sizes.
    for (const std::size_t at : {100u, 108u, 116u, 124u, 136u}) {
        CAPTURE(at);
        CHECK(made_header().put(at, "x").code() == errc::tar_header_invalid);
        CHECK(made_header().clear(at, 8).code() == errc::tar_header_invalid);
    }
    CHECK(made_header().put(148, "x").code() == errc::none); // summed up again
}

TEST_CASE("numbers end where their types do") {
    CHECK(made_header().base_256(124, 12, INT64_MAX).parse()->size == tar_size_max);
    CHECK(made_header().base_256(124, 12, std::uint64_t{1} << 33).parse()->size == 8589934592);
    CHECK(made_header().base_256(124, 12, std::uint64_t{INT64_MAX} + 1).code() ==
          errc::tar_header_invalid);
    CHECK(made_header().base_256(124, 12, UINT64_MAX).code() == errc::tar_header_invalid);
    for (std::size_t at = 125; at < 128; ++at) { // above 64 bits
        made_header made;
        made.base_256(124, 12, 5).data[at] = std::byte{1};
        CHECK(made.code() == errc::tar_header_invalid);
    }
    CHECK(made_header().base_256(108, 8, 0xffffffff).parse()->uid == 0xffffffff);
    CHECK(made_header().base_256(116, 8, 0x123456789).parse()->gid == 0x123456789);
    CHECK(made_header().put(100, "0007777 ").parse()->mode == 07777);
    CHECK(made_header().put(100, "0010000 ").code() == errc::tar_header_invalid);
    CHECK(made_header().base_256(100, 8, std::uint64_t{1} << 32).code() ==
          errc::tar_header_invalid);
    CHECK(made_header().base_256(136, 12, static_cast<std::uint64_t>(-1)).parse()->mtime == -1);
    CHECK(made_header().base_256(136, 12, 0x1'0000'0000).parse()->mtime == 0x1'0000'0000);
}

TEST_CASE("directories and links have no body") {
    for (const char kind : {'2', '5'}) {
        made_header made;
        made.kind(kind).put(157, "target").put(124, "00000000001 ");
        CHECK(made.code() == errc::tar_header_invalid);
        made.put(124, "00000000000 ");
        CHECK(made.code() == errc::none);
    }
}

TEST_CASE("paths lead downwards and are spelled in one way only") {
    for (const std::string_view path :
         {"a", "a/b", "./a", "./a/b", "..a", "a..", "a/..b", "...", ".a/b.", "a b", "a\\b",
          "C:", "~", "-rf", "\xc3\xa4", "\xff", "a/.../b"}) {
        CAPTURE(path);
        CHECK(path_code(path) == errc::none);
        CHECK(path_code(std::string(path) + "/", '5') == errc::none);
    }
    for (const std::string_view path :
         {"",      "/",     "//",   "/a",     "//a",     ".",     "..",     "./",
          "./.",   "././a", ".//a", "./../a", "../a",    "a/..",  "a/../b", "a/.",
          "a/./b", "a//b",  "a\nb", "a\tb",   "\x1b[2J", "a\x7f", "\x01"}) {
        CAPTURE(path);
        CHECK(path_code(path) == errc::tar_path_refused);
        CHECK(path_code(path, '5') == errc::tar_path_refused);
        CHECK(path_code(path, '2') == errc::tar_path_refused);
    }
    // A file is no directory; a directory ends in one '/', or in none.
    CHECK(path_code("a/") == errc::tar_path_refused);
    CHECK(path_code("a", '5') == errc::none);
    CHECK(path_code("a//", '5') == errc::tar_path_refused);
}

TEST_CASE("a name may fill its field and ends at a NUL") {
    const std::string full(100, 'n');
    CHECK(made_header().name(full).parse()->path == full);
    made_header made;
    made.name(std::string_view("a\0/../b", 7));
    CHECK(made.parse()->path == "a");
}

TEST_CASE("a prefix stands before the name") {
    made_header made;
    made.put(345, "base").name("5/1234");
    CHECK(made.parse()->path == "base/5/1234");

    const std::string prefix = std::string(77, 'p') + "/" + std::string(77, 'q');
    const std::string name(100, 'n');
    const std::string target(100, 't');
    made_header longest;
    longest.put(345, prefix).name(name).kind('2').put(157, target);
    const auto entry = longest.parse();
    REQUIRE(entry);
    CHECK(entry->path == prefix + "/" + name);
    CHECK(entry->path.size() == tar_path_size_max);
    CHECK(entry->target == target);

    CHECK(made_header().put(345, ".").name("a").parse()->path == "a");
    CHECK(made_header().put(345, "./a").name("b/").kind('5').parse()->path == "a/b");
    for (const std::string_view wrong : {"..", "/a", "a/", "a/..", "a//b", "a\x01"})
        CHECK(made_header().put(345, wrong).code() == errc::tar_path_refused);
    CHECK(made_header().put(345, "a").name("").code() == errc::tar_path_refused);
    CHECK(made_header().put(345, "a").name("../b").code() == errc::tar_path_refused);
    CHECK(made_header().put(345, "a").name("/b").code() == errc::tar_path_refused);
}

TEST_CASE("links may point anywhere but nowhere") {
    const auto code = [](std::string_view target) {
        made_header made;
        return made.kind('2').clear(157, 100).put(157, target).code();
    };
    for (const std::string_view target : {"/srv/ts", "../..", "a b", "\xff"})
        CHECK(code(target) == errc::none);
    for (const std::string_view target : {"", "a\nb", "\x7f"})
        CHECK(code(target) == errc::tar_target_refused);
    // A file's is not looked at.
    CHECK(made_header().put(157, "\x01").parse()->target.empty());
}

TEST_CASE("a header has its numbers where they fit and in base-256 where they do not") {
    tar_entry entry = some_file();
    entry.size = 8589934591; // one byte below 8 GiB
    CHECK(as_text(bytes(printed(entry)).subspan(124, 12)) == "77777777777 ");
    entry.size = 8589934592;
    CHECK(as_text(bytes(printed(entry)).subspan(124, 12)) ==
          std::string_view("\x80\0\0\0\0\0\0\2\0\0\0\0", 12));
    entry.uid = 2097151;
    entry.gid = 2097152;
    entry.mtime = -1;
    const block out = printed(entry);
    CHECK(as_text(bytes(out).subspan(108, 8)) == "7777777 ");
    CHECK(as_text(bytes(out).subspan(116, 8)) == std::string_view("\x80\0\0\0\0\x20\0\0", 8));
    CHECK(as_text(bytes(out).subspan(136, 12)) ==
          std::string_view("\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 12));
}

TEST_CASE("what cannot be printed is refused and changes nothing") {
    const std::string full(99, 'n');
    CHECK(print_code(some_file(full)) == errc::none);
    CHECK(print_code(some_file(full + "n")) == errc::argument_too_long);
    CHECK(print_code(some_link(full)) == errc::none);
    CHECK(print_code(some_link(full + "n")) == errc::argument_too_long);
    CHECK(print_code(some_file(std::string_view("a\0b", 3))) == errc::argument_has_nul);
    CHECK(print_code(some_link(std::string_view("a\0b", 3))) == errc::argument_has_nul);
    for (const std::string_view path : {"", "/a", "..", "a/../b", "a/", "././a", "a\nb"})
        CHECK(print_code(some_file(path)) == errc::argument_invalid);
    for (const std::string_view target : {"", "a\nb"})
        CHECK(print_code(some_link(target)) == errc::argument_invalid);

    const auto changed = [](auto change, tar_entry entry) {
        change(entry);
        return print_code(entry);
    };
    CHECK(changed([](tar_entry& e) { e.size = 1; }, some_link("t")) == errc::argument_invalid);
    CHECK(changed([](tar_entry& e) { e.kind = tar_kind::directory; }, some_file()) ==
          errc::argument_invalid);
    CHECK(changed([](tar_entry& e) { e.kind = static_cast<tar_kind>(3); }, some_file()) ==
          errc::argument_invalid);
    CHECK(changed([](tar_entry& e) { e.target = "t"; }, some_file()) == errc::argument_invalid);
    CHECK(changed([](tar_entry& e) { e.mode = 010000; }, some_file()) == errc::argument_invalid);
    CHECK(changed([](tar_entry& e) { e.size = tar_size_max + 1; }, some_file()) ==
          errc::argument_invalid);
    CHECK(changed([](tar_entry& e) { e.size = tar_size_max; }, some_file()) == errc::none);
    CHECK(changed([](tar_entry& e) { e.uid = std::uint64_t{1} << 56; }, some_file()) ==
          errc::argument_invalid);
    CHECK(changed([](tar_entry& e) { e.gid = std::uint64_t{1} << 56; }, some_file()) ==
          errc::argument_invalid);
    CHECK(changed([](tar_entry& e) { e.gid = (std::uint64_t{1} << 56) - 1; }, some_file()) ==
          errc::none);
}

TEST_CASE("a directory of the longest name fills the field") {
    tar_entry entry = some_file(std::string_view());
    const std::string full(99, 'n');
    entry.kind = tar_kind::directory;
    entry.size = 0;
    entry.path = full;
    block out = printed(entry);
    CHECK(as_text(bytes(out).first(101)) == full + "/0");
    CHECK(parse_tar_header(out)->path == full);
}

TEST_CASE("what was printed reads back the same") {
    support::prng random(20261121);
    const std::string letters = "abcdefghijklmnopqrstuvwxyz0123456789_.";
    for (int round = 0; round < 5000; ++round) {
        std::string path, target;
        for (std::uint64_t i = random.between(1, 99); i > 0; --i)
            path += i % 7 == 3 ? 'x' : letters[random.below(letters.size())];
        for (std::uint64_t i = random.below(6); i > 0; --i) path[random.below(path.size())] = '/';
        for (std::uint64_t i = random.between(1, 99); i > 0; --i)
            target += static_cast<char>(random.between(0x20, 0x7e));
        tar_entry entry;
        entry.kind = static_cast<tar_kind>(random.below(3));
        if (path.starts_with("./")) path[0] = 'x'; // which would not come back
        entry.path = path;
        entry.mode = static_cast<std::uint32_t>(random.below(010000));
        entry.mtime = static_cast<std::int64_t>(random() >> random.below(64));
        entry.uid = random() >> random.between(8, 63);
        entry.gid = random() >> random.between(8, 63);
        if (entry.kind == tar_kind::file) entry.size = random() >> random.between(1, 63);
        if (entry.kind == tar_kind::symbolic_link) entry.target = target;
        block out{};
        const errc code = put_tar_header(out, entry);
        if (code == errc::argument_invalid) continue; // a component that is none
        REQUIRE(code == errc::none);
        const auto again = parse_tar_header(out);
        REQUIRE(again);
        CHECK(*again == entry);
    }
}

TEST_CASE("a header with any byte changed and summed up again is read or refused") {
    std::size_t refused = 0;
    for (const std::size_t from : {0u, 3u}) {
        const block right = whole(recorded[from]);
        for (std::size_t at = 0; at < 512; ++at) {
            // In the two halves of a path any letter is like the next.
            const bool letters = at < 100 || at >= 345;
            for (int changed = 0; changed < 256; changed += letters ? 13 : 1) {
                block wrong = right;
                wrong[at] ^= static_cast<std::byte>(changed);
                sum_up(wrong);
                const support::guarded room(wrong);
                const auto entry = parse_tar_header(tar_block(room.span()));
                refused += entry ? 0u : 1u;
                if (!entry || entry->path.size() > tar_name_size_max) continue;
                block again{};
                CHECK(put_tar_header(again, *entry) == errc::none);
                CHECK(*parse_tar_header(again) == *entry);
            }
        }
    }
    CHECK(refused > 10'000);
}

TEST_CASE("a body is padded to the next block") {
    static_assert(tar_padding(0) == 0 && tar_padding(1) == 511 && tar_padding(511) == 1);
    static_assert(tar_padding(512) == 0 && tar_padding(513) == 511);
    static_assert(tar_padding(tar_size_max) == 1);
    static_assert(tar_trailer_size == 1024);
}

TEST_CASE("reading and printing a header does not allocate") {
    made_header made;
    made.put(345, "prefix");
    sum_up(made.data);
    support::allocations counted;
    block out;
    const auto entry = parse_tar_header(made.data);
    const errc code = put_tar_header(out, *entry);
    CHECK(counted.count() == 0);
    CHECK(entry);
    CHECK(code == errc::none);
}
