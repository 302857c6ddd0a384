#include <walwire/backup/archive.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "support/no_alloc.hpp"
#include "wire/spelled.hpp"

using namespace walwire;
using namespace walwire::backup;
using namespace std::literals;
using spelled::buffer;
using wire::backup_compression;

namespace {

// A DataRow in hex, as wire/spelled.hpp reads it.
result<tablespace> list(std::string_view hex, std::uint32_t index = 0) {
    static buffer body;
    body = spelled::hex(hex);
    const auto row = wire::data_row::parse(body, 16);
    REQUIRE(row);
    return read_tablespace(*row, index);
}
result<started> place(std::string_view hex) {
    static buffer body;
    body = spelled::hex(hex);
    const auto row = wire::data_row::parse(body, 16);
    REQUIRE(row);
    return read_position(*row);
}
std::string hex_of(std::string_view text) {
    std::string made;
    for (const char c : text) {
        made += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
        made += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
    }
    return made;
}
std::string sized(std::string_view text) {
    std::string size = "00000000";
    for (std::size_t at = 8, left = text.size(); left > 0; left /= 16)
        size[--at] = "0123456789abcdef"[left % 16];
    return size + hex_of(text);
}
errc path_code(std::string_view path) {
    return list("0003 " + sized("16392") + sized(path) + "ffffffff").code();
}

} // namespace

TEST_CASE("servers before 15 send a copy for each archive, later ones a single one") {
    CHECK(format_of(12) == stream_format::split);
    CHECK(format_of(14) == stream_format::split);
    CHECK(format_of(15) == stream_format::typed);
    CHECK(format_of(18) == stream_format::typed);
}

TEST_CASE("the names that servers give are read, and printed back as they were") {
    constexpr std::string_view suffixes[] = {"", ".gz", ".lz4", ".zst"};
    for (const std::uint32_t oid : {0u, 1u, 16384u, 4294967295u}) {
        for (std::size_t i = 0; i < 4; ++i) {
            const std::string name =
                (oid == 0 ? "base" : std::to_string(oid)) + ".tar" + std::string(suffixes[i]);
            CAPTURE(name);
            const auto parsed = parse_archive_name(name);
            REQUIRE(parsed);
            CHECK(parsed->oid == oid);
            CHECK(parsed->compression == static_cast<backup_compression>(i));
            CHECK(std::string_view(to_text(*parsed)) == name);
        }
    }
    CHECK(std::string_view(to_text({UINT32_MAX, backup_compression::lz4})).size() == 18);
    static_assert(std::string_view(to_text({16384, backup_compression::zstd})) == "16384.tar.zst");
}

TEST_CASE("68: whatever is no archive's name is none") {
    for (const std::string_view name : {""sv,
                                        "."sv,
                                        ".."sv,
                                        "../x"sv,
                                        "/base.tar"sv,
                                        "../base.tar"sv,
                                        "base.tar/"sv,
                                        "./base.tar"sv,
                                        "base"sv,
                                        "base."sv,
                                        "base.tarx"sv,
                                        "base.tar."sv,
                                        "base.tar.gzip"sv,
                                        "base.tar.GZ"sv,
                                        "base.tar.gz.gz"sv,
                                        "base.tar.lz"sv,
                                        "base.tar.xz"sv,
                                        "Base.tar"sv,
                                        "BASE.TAR"sv,
                                        ".tar"sv,
                                        "0.tar"sv,
                                        "00.tar"sv,
                                        "016384.tar"sv,
                                        "+1.tar"sv,
                                        "-1.tar"sv,
                                        " 1.tar"sv,
                                        "1 .tar"sv,
                                        "4294967296.tar"sv,
                                        "99999999999999999999.tar"sv,
                                        "1e3.tar"sv,
                                        "0x10.tar"sv,
                                        "con"sv,
                                        "con.tar"sv,
                                        "nul.tar"sv,
                                        "backup_manifest"sv,
                                        "pg_wal.tar"sv,
                                        "base.tar\0"sv,
                                        "base\0.tar"sv,
                                        "base.tar\n"sv,
                                        "base.tar.gz "sv,
                                        "\\base.tar"sv,
                                        "c:base.tar"sv}) {
        CAPTURE(std::string(name));
        CHECK(parse_archive_name(name).code() == errc::archive_name_invalid);
    }
}

TEST_CASE("a name cut off or changed anywhere is another archive's or none") {
    for (const std::string_view whole : {"16384.tar.gz"sv, "base.tar.lz4"sv}) {
        for (std::size_t size = 0; size < whole.size(); ++size) {
            const auto parsed = parse_archive_name(whole.substr(0, size));
            if (parsed) CHECK(std::string_view(to_text(*parsed)) == whole.substr(0, size));
        }
        spelled::each_flip(spelled::of(whole), [](bytes flipped) {
            const auto parsed = parse_archive_name(as_text(flipped));
            if (parsed) CHECK(std::string_view(to_text(*parsed)) == as_text(flipped));
        });
    }
}

TEST_CASE("a position is a place in the log and a timeline") {
    // As 12.22 sent it: 0/A00028 | 1.
    const auto at = place("0002 00000008 302f413030303238 00000001 31");
    REQUIRE(at);
    CHECK(at->start == lsn{0xa00028});
    CHECK(at->timeline == timeline_id{1});
    const auto far = place("0002 " + sized("FFFFFFFF/FFFFFFFF") + sized("4294967295"));
    REQUIRE(far);
    CHECK(far->start == lsn{UINT64_MAX});
    CHECK(far->timeline == timeline_id{UINT32_MAX});
}

TEST_CASE("53: positions that are none say what is wrong with them") {
    const auto code = [](std::string_view position, std::string_view timeline) {
        return place("0002 " + sized(position) + sized(timeline)).code();
    };
    CHECK(place("0000").code() == errc::answer_invalid);
    CHECK(place("0001 " + sized("0/1")).code() == errc::answer_invalid);
    CHECK(place("0002 ffffffff" + sized("1")).code() == errc::answer_invalid);
    CHECK(place("0002 " + sized("0/1") + "ffffffff").code() == errc::answer_invalid);
    for (const std::string_view position :
         {"", "0", "0/", "/0", "1/FFFFFFFFF", "-1/0", "0x1/0", "0/1 "})
        CHECK(code(position, "1") == errc::lsn_invalid);
    for (const std::string_view timeline : {"", "0", "-1", "4294967296", "1 ", "one"})
        CHECK(code("0/1", timeline) == errc::timeline_invalid);
}

TEST_CASE("a row of the list is a tablespace, or the base directory") {
    // As 12.22 sent them.
    const auto first = list("0003 00000005 3136333932 0000000f 2f746d702f7067742f31322f747331 "
                            "00000002 3334",
                            3);
    REQUIRE(first);
    CHECK(first->index == 3);
    CHECK(first->oid == 16392);
    CHECK(first->path == "/tmp/pgt/12/ts1");
    CHECK(first->size == 34);
    const auto base = list("0003 ffffffff ffffffff 00000004 38363535");
    REQUIRE(base);
    CHECK(base->oid == 0);
    CHECK(base->path.empty());
    CHECK(base->size == 8655);
    // Without PROGRESS.
    const auto unsized = list("0003 ffffffff ffffffff ffffffff");
    REQUIRE(unsized);
    CHECK(!unsized->size);
    const auto largest =
        list("0003 " + sized("4294967295") + sized("/t") + sized("9223372036854775807"));
    REQUIRE(largest);
    CHECK(largest->oid == UINT32_MAX);
    CHECK(largest->size == INT64_MAX);
}

TEST_CASE("67: identifiers and sizes that are no numbers, and one of the pair alone") {
    const auto code = [](std::string_view oid, std::string_view size) {
        return list("0003 " + sized(oid) + sized("/t") + sized(size)).code();
    };
    CHECK(code("1", "0") == errc::none);
    for (const std::string_view oid : {"", "0", "-1", "4294967296", "1 ", "0x1", "base", "1.5"})
        CHECK(code(oid, "1") == errc::tablespace_invalid);
    for (const std::string_view size : {"", "-1", "9223372036854775808", "1 ", "1e3", "x"})
        CHECK(code("1", size) == errc::tablespace_invalid);
    CHECK(list("0003 ffffffff ffffffff" + sized("-1")).code() == errc::tablespace_invalid);
    CHECK(list("0003 " + sized("1") + "ffffffff ffffffff").code() == errc::tablespace_invalid);
    CHECK(list("0003 ffffffff" + sized("/t") + "ffffffff").code() == errc::tablespace_invalid);
    CHECK(list("0000").code() == errc::tablespace_invalid);
    CHECK(list("0002 " + sized("1") + sized("/t")).code() == errc::tablespace_invalid);
}

TEST_CASE("67: a path is absolute or in place, climbs nowhere and holds no control characters") {
    for (const std::string_view path :
         {"/t", "/", "/a b/c", "/..a/b..", "/a/...", "\\\\server\\share", "C:\\ts", "c:/ts",
          "pg_tblspc/16392", "/caf\xc3\xa9", "/a//b", "/a/./b"})
        CHECK_MESSAGE(path_code(path) == errc::none, path);
    for (const std::string_view path : {"t",
                                        "./t",
                                        "..",
                                        "../t",
                                        "/..",
                                        "/../etc",
                                        "/a/..",
                                        "/a/../b",
                                        "\\..\\x",
                                        "C:\\a\\..\\b",
                                        "C:",
                                        "C:t",
                                        "pg_tblspc",
                                        "pg_tblspc/",
                                        "pg_tblspc/1",
                                        "pg_tblspc/16392/",
                                        "pg_tblspc/016392",
                                        "pg_tblspc/../16392",
                                        "pg_tblspc\\16392",
                                        "~/t"})
        CHECK_MESSAGE(path_code(path) == errc::tablespace_invalid, path);
    CHECK(path_code("") == errc::tablespace_invalid);
    for (int c = 0; c < 0x20; ++c)
        CHECK(path_code("/a" + std::string(1, static_cast<char>(c))) == errc::tablespace_invalid);
    CHECK(path_code("/a\x7f") == errc::tablespace_invalid);
}

TEST_CASE("reading allocates nothing") {
    const buffer body = spelled::hex("0003" + sized("16392") + sized("/ts") + sized("234"));
    const auto row = wire::data_row::parse(body, 16);
    const support::allocations made;
    const bool read = static_cast<bool>(read_tablespace(*row, 0)) && parse_archive_name("1.tar") &&
                      std::string_view(to_text({7, backup_compression::gzip})) == "7.tar.gz";
    const auto count = made.count();
    CHECK(read);
    CHECK(count == 0);
}
