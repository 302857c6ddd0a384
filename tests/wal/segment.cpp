#include <walwire/wal/segment.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace walwire;
using namespace walwire::wal;

namespace {

std::string text_of(const file_name& name) {
    return std::string(std::string_view(name));
}

segment_size size_of(std::uint64_t size) {
    const auto made = segment_size::of(size);
    REQUIRE(made);
    return *made;
}

constexpr std::uint64_t mib = 1024 * 1024;

std::vector<segment_size> every_size() {
    std::vector<segment_size> sizes;
    for (std::uint64_t size = mib; size <= 1024 * mib; size *= 2) sizes.push_back(size_of(size));
    return sizes;
}

// The header promises that all of this can be had while compiling.
static_assert(segment_size().value() == 16 * mib);
static_assert(segment_size::parse("1GB")->per_4_gib() == 4);
static_assert(std::string_view(segment_name({{1}, containing(lsn{0x203000028}, {})}, {})) ==
              "000000010000000200000003");
static_assert(parse_segment_name("000000010000000200000003.gz.partial", {})->partial);
static_assert(std::string_view(history_name({0xab})) == "000000AB.history");

} // namespace

TEST_CASE("a segment size is a power of two from 1 MiB to 1 GiB and nothing else") {
    std::size_t sizes = 0;
    for (int bit = 0; bit < 64; ++bit) {
        const std::uint64_t power = std::uint64_t{1} << bit;
        const bool valid = bit >= 20 && bit <= 30;
        const auto made = segment_size::of(power);
        CHECK(static_cast<bool>(made) == valid);
        if (made) {
            ++sizes;
            CHECK(made->value() == power);
            CHECK(std::uint64_t{made->per_4_gib()} * made->value() == std::uint64_t{1} << 32);
        } else {
            CHECK(made.code() == errc::segment_size_invalid);
        }
        CHECK(segment_size::of(power + 1).code() == errc::segment_size_invalid);
        if (bit > 1) CHECK(segment_size::of(power - 1).code() == errc::segment_size_invalid);
    }
    CHECK(sizes == 11);
    CHECK(segment_size::of(0).code() == errc::segment_size_invalid);
    CHECK(segment_size::of(3 * mib).code() == errc::segment_size_invalid);
}

TEST_CASE("a fresh segment size is PostgreSQL's default") {
    CHECK(segment_size() == size_of(16 * mib));
    CHECK(!(segment_size() == size_of(32 * mib)));
}

TEST_CASE("what SHOW wal_segment_size and pg_settings say is understood") {
    const std::pair<std::string_view, std::uint64_t> right[] = {
        {"16MB", 16 * mib},         {"1MB", mib},        {"64MB", 64 * mib},
        {"1024MB", 1024 * mib},     {"1GB", 1024 * mib}, {"1024kB", mib},
        {"16777216", 16 * mib},     {"1048576B", mib},   {"1048576kB", 1024 * mib},
        {"1073741824", 1024 * mib},
    };
    for (const auto& each : right) {
        CAPTURE(each.first);
        const auto parsed = segment_size::parse(each.first);
        REQUIRE(parsed);
        CHECK(parsed->value() == each.second);
    }
}

TEST_CASE("a segment size in any other form is refused") {
    for (const std::string_view text : {"",
                                        "MB",
                                        "16",
                                        "16mb",
                                        "16Mb",
                                        "16KB",
                                        "16 MB",
                                        " 16MB",
                                        "16MB ",
                                        "-16MB",
                                        "+16MB",
                                        "1TB",
                                        "16MiB",
                                        "0MB",
                                        "3MB",
                                        "17MB",
                                        "2GB",
                                        "512kB",
                                        "2147483648",
                                        "99999999999999999999MB",
                                        "18446744073709551616",
                                        "1.0GB",
                                        "0x10MB",
                                        "16MBMB",
                                        "GB1",
                                        "1073741825"}) {
        CAPTURE(text);
        CHECK(segment_size::parse(text).code() == errc::segment_size_invalid);
    }
    CHECK(segment_size::parse(std::string_view("16\0MB", 5)).code() == errc::segment_size_invalid);
}

TEST_CASE("a position lies in the segment that its name says") {
    // From the protocol notes: 2/3000028 on timeline 1 in three sizes.
    const lsn at{0x203000028};
    const auto name = [&](std::uint64_t size) {
        return text_of(segment_name({{1}, containing(at, size_of(size))}, size_of(size)));
    };
    CHECK(name(16 * mib) == "000000010000000200000003");
    CHECK(name(1024 * mib) == "000000010000000200000000");
    CHECK(name(mib) == "000000010000000200000030");
}

TEST_CASE("a boundary begins a segment and ends the one before it") {
    for (const segment_size size : every_size()) {
        const lsn boundary{5 * std::uint64_t{size.value()}};
        const lsn before{boundary.value - 1};
        CHECK(containing(boundary, size).value == 5);
        CHECK(containing(before, size).value == 4);
        CHECK(containing_end(boundary, size).value == 4);
        CHECK(containing_end(boundary + 1, size).value == 5);
        CHECK(containing_end(before, size).value == 4);
        CHECK(start_of({5}, size) == boundary);
        CHECK(segment_start(boundary, size) == boundary);
        CHECK(segment_start(before, size) == start_of({4}, size));
        CHECK(offset_in_segment(boundary, size) == 0);
        CHECK(offset_in_segment(before, size) == size.value() - 1);
    }
}

TEST_CASE("nothing lies before the first position, and the last one has its segment") {
    const lsn last{std::numeric_limits<std::uint64_t>::max()};
    for (const segment_size size : every_size()) {
        CHECK(containing_end(lsn{0}, size).value == 0);
        CHECK(containing_end(lsn{1}, size).value == 0);
        const segment_number number = containing(last, size);
        CHECK(number.value == last.value / size.value());
        CHECK(start_of(number, size) == segment_start(last, size));
        CHECK(offset_in_segment(last, size) == size.value() - 1);
        const auto parsed = parse_segment_name(segment_name({{1}, number}, size), size);
        REQUIRE(parsed);
        CHECK(parsed->number == number);
    }
}

TEST_CASE("start, offset and number agree for random positions of every size") {
    support::prng random(20);
    for (const segment_size size : every_size()) {
        for (int i = 0; i < 2000; ++i) {
            const lsn at{random() >> random.below(64)};
            const segment_number number = containing(at, size);
            CHECK(start_of(number, size) == segment_start(at, size));
            CHECK(segment_start(at, size) + offset_in_segment(at, size) == at);
            CHECK(offset_in_segment(at, size) < size.value());
        }
    }
}

TEST_CASE("a run of WAL splits at boundaries without losing or doubling a byte") {
    support::prng random(21);
    for (const segment_size size : every_size()) {
        for (int i = 0; i < 300; ++i) {
            const lsn from{random.below(std::uint64_t{1} << 40)};
            const std::size_t count = random.below(4 * std::uint64_t{size.value()}) + 1;
            lsn at = from;
            std::size_t left = count;
            while (left != 0) {
                const std::size_t part = size_in_segment(at, left, size);
                REQUIRE(part > 0);
                REQUIRE(part <= left);
                CHECK(containing(at, size) == containing_end(at + part, size));
                at = at + part;
                left -= part;
                if (left != 0) CHECK(offset_in_segment(at, size) == 0);
            }
            CHECK(at == from + count);
        }
    }
}

TEST_CASE("the run that a real server sent across a boundary splits where it should") {
    // Seen: 130856 bytes from 0/EFF20D8, which end at 0/F012000.
    const segment_size size;
    CHECK(size_in_segment(lsn{0xEFF20D8}, 130856, size) == 0xF000000 - 0xEFF20D8);
    CHECK(size_in_segment(lsn{0xF000000}, 0x12000, size) == 0x12000);
    CHECK(size_in_segment(lsn{0xF000000}, 0, size) == 0);
}

TEST_CASE("the last segment of the log holds its bytes up to the last one") {
    const segment_size size;
    const lsn last{std::numeric_limits<std::uint64_t>::max()};
    CHECK(size_in_segment(last, 10, size) == 1);
    CHECK(size_in_segment(segment_start(last, size), std::size_t{1} << 40, size) == size.value());
}

TEST_CASE("names of every kind are written and read back as the same thing") {
    support::prng random(22);
    for (const segment_size size : every_size()) {
        for (int i = 0; i < 500; ++i) {
            segment_file file;
            file.timeline.value = static_cast<std::uint32_t>(random.between(1, UINT32_MAX));
            file.number = containing(lsn{random() >> random.below(64)}, size);
            file.packed = static_cast<compression>(random.below(3));
            file.partial = random.chance(1, 2);
            const file_name name = segment_name(file, size);
            const auto parsed = parse_segment_name(name, size);
            REQUIRE(parsed);
            CHECK(*parsed == file);
            CHECK(text_of(segment_name(*parsed, size)) == text_of(name));
        }
    }
}

TEST_CASE("suffixes say what they are") {
    const segment_size size;
    const segment_file plain{{1}, {0x203}};
    const std::string base = "000000010000000200000003";
    const struct {
        std::string suffix;
        compression packed;
        bool partial;
    } cases[] = {
        {"", compression::none, false},           {".partial", compression::none, true},
        {".gz", compression::gzip, false},        {".lz4", compression::lz4, false},
        {".gz.partial", compression::gzip, true}, {".lz4.partial", compression::lz4, true},
    };
    for (const auto& each : cases) {
        CAPTURE(each.suffix);
        const auto parsed = parse_segment_name(base + each.suffix, size);
        REQUIRE(parsed);
        CHECK(*parsed == segment_file{plain.timeline, plain.number, each.packed, each.partial});
        CHECK(text_of(segment_name(*parsed, size)) == base + each.suffix);
    }
}

TEST_CASE("a name is a C string as well") {
    const file_name name =
        segment_name({{0xffffffff}, {0xffffffffff}, compression::lz4, true}, size_of(16 * mib));
    CHECK(std::string(name.c_str()) == "FFFFFFFFFFFFFFFF000000FF.lz4.partial");
    CHECK(text_of(name) == name.c_str());
}

TEST_CASE("names that are none are refused") {
    for (const std::string& text :
         std::vector<std::string>{"",
                                  "000000010000000000000001.",
                                  "00000001000000000000001",
                                  "0000000100000000000000011",
                                  "00000001000000000000000g",
                                  "00000001000000000000000a",
                                  " 00000010000000000000001",
                                  "000000010000000000000001.zst",
                                  "000000010000000000000001.partial.gz",
                                  "000000010000000000000001.partial.partial",
                                  "000000010000000000000001.gz.gz",
                                  "000000010000000000000001.00000028.backup",
                                  "00000002.history",
                                  ".partial",
                                  ".gz",
                                  "../../../../etc/passwd00",
                                  "/00000010000000000000001",
                                  "+00000010000000000000001",
                                  "0x0000010000000000000001",
                                  "000000010000000000000001.PARTIAL",
                                  "archive_status"}) {
        CAPTURE(text);
        CHECK(parse_segment_name(text, segment_size()).code() == errc::name_invalid);
    }
    CHECK(parse_segment_name(std::string("00000001000000000000000\0", 24), segment_size()).code() ==
          errc::name_invalid);
}

TEST_CASE("a name of timeline 0 is refused") {
    CHECK(parse_segment_name("000000000000000100000001", segment_size()).code() ==
          errc::name_invalid);
}

TEST_CASE("a number that segments of this size never have is refused") {
    for (const segment_size size : every_size()) {
        // The largest last part, one more, and the largest that eight digits can say.
        file_name largest;
        largest.append(1);
        largest.append(7);
        largest.append(size.per_4_gib() - 1);
        const auto parsed = parse_segment_name(largest, size);
        REQUIRE(parsed);
        CHECK(parsed->number.value == std::uint64_t{8} * size.per_4_gib() - 1);
        file_name beyond;
        beyond.append(1);
        beyond.append(7);
        beyond.append(size.per_4_gib());
        CHECK(parse_segment_name(beyond, size).code() == errc::name_invalid);
        CHECK(parse_segment_name("0000000100000007FFFFFFFF", size).code() == errc::name_invalid);
    }
}

TEST_CASE("every byte of a name matters") {
    const segment_size size;
    for (const std::string name : {"00000001000000020000000A", "00000001000000020000000A.partial",
                                   "00000001000000020000000A.lz4.partial", "0000000B.history"}) {
        const bool is_history = name.size() == 16;
        for (std::size_t at = 0; at < name.size(); ++at) {
            for (int byte = 0; byte < 256; ++byte) {
                std::string other = name;
                other[at] = static_cast<char>(byte);
                if (is_history) {
                    const auto parsed = parse_history_name(other);
                    if (parsed) CHECK(text_of(history_name(*parsed)) == other);
                    if (at >= 8 && other != name) CHECK(!parsed);
                } else {
                    const auto parsed = parse_segment_name(other, size);
                    if (parsed) CHECK(text_of(segment_name(*parsed, size)) == other);
                    if (at >= 24 && other != name) CHECK(!parsed);
                }
            }
        }
    }
}

TEST_CASE("a truncated name is another name or none") {
    const std::string name = "00000001000000020000000A.lz4.partial";
    std::size_t right = 0;
    for (std::size_t size = 0; size < name.size(); ++size)
        if (parse_segment_name(name.substr(0, size), segment_size())) ++right;
    CHECK(right == 2); // the plain segment and the finished .lz4
}

TEST_CASE("history names are written and read back") {
    CHECK(text_of(history_name({2})) == "00000002.history");
    CHECK(text_of(history_name({0xffffffff})) == "FFFFFFFF.history");
    support::prng random(23);
    for (int i = 0; i < 1000; ++i) {
        const timeline_id timeline{static_cast<std::uint32_t>(random.between(1, UINT32_MAX))};
        const auto parsed = parse_history_name(history_name(timeline));
        REQUIRE(parsed);
        CHECK(*parsed == timeline);
    }
}

TEST_CASE("a history name that would be a path, or anything else, is refused") {
    for (const std::string_view text :
         {"", "00000000.history", "2.history", "../../x", "../00002.history", "000000002.history",
          "0000000a.history", "00000002.History", "00000002.history ", "00000002.history.gz",
          "/0000002.history", "00000002history", "00000002.history\n", ".history",
          "-0000002.history"}) {
        CAPTURE(text);
        CHECK(parse_history_name(text).code() == errc::name_invalid);
    }
}

TEST_CASE("naming allocates nothing") {
    support::allocations made;
    const file_name name = segment_name({{1}, {3}, compression::gzip, true}, {});
    const auto parsed = parse_segment_name(name, {});
    const auto history = parse_history_name(history_name({7}));
    const auto size = segment_size::parse("64MB");
    const bool all = parsed && history && size;
    CHECK(made.count() == 0);
    CHECK(all);
}
