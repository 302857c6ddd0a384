#include <walwire/backup/incremental.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "support/exhaustive.hpp"
#include "support/guard.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace walwire;
using namespace walwire::backup;

namespace {

using numbers = std::vector<std::uint32_t>;

block_layout small() {
    return *block_layout::of(1024, 300);
}

std::vector<std::byte> header(const numbers& blocks, std::uint32_t truncation_length,
                              block_layout layout = {}) {
    std::vector<std::byte> room(
        incremental_header_size(static_cast<std::uint32_t>(blocks.size()), layout));
    little_writer out(room);
    REQUIRE(put_incremental_header(out, blocks, truncation_length, layout) == errc::none);
    REQUIRE(out.size() == room.size());
    return room;
}

void put(std::vector<std::byte>& data, std::size_t at, std::uint32_t value) {
    store<std::uint32_t, std::endian::little>(data.data() + at, value);
}

struct rendering {
    std::string seen;

    void operator()(incremental_head head) {
        seen += std::to_string(head.blocks) + " of " + std::to_string(head.truncation_length) + ":";
    }
    void operator()(incremental_block block) { seen += " " + std::to_string(block.number); }
    void operator()(incremental_header_ended) { seen += " ended"; }
    void operator()(incremental_failed failed) {
        seen += " failed at " + std::to_string(failed.reason.offset) + ": ";
        seen += text(failed.reason.code);
    }
};

std::string read(support::chunks& input, std::uint64_t size, block_layout layout = {}) {
    rendering seen;
    incremental_reader reader(size, layout);
    std::size_t left = 0;
    while (auto in = input.next()) {
        while (const auto event = reader.poll(*in)) std::visit(seen, *event);
        left += in->size();
    }
    reader.finish();
    bytes nothing;
    while (const auto event = reader.poll(nothing)) std::visit(seen, *event);
    CHECK(reader.over());
    return seen.seen + (left != 0 ? ", " + std::to_string(left) + " left" : "");
}

std::string read(bytes data, std::uint64_t size, block_layout layout = {}) {
    return support::rendering(data, {data.empty() ? 1 : data.size()},
                              [&](support::chunks& in) { return read(in, size, layout); });
}

// Checks every chunking too, or as many as it takes.
std::string read_in_pieces(bytes data, std::uint64_t size, block_layout layout = {}) {
    CHECK(support::difference(
              data, [&](support::chunks& in) { return read(in, size, layout); }, 2000) == "");
    return read(data, size, layout);
}

constexpr std::string_view bad_header = ": the header of an incremental file is malformed";
constexpr std::string_view bad_block =
    ": a block number in an incremental file is out of range or out of order";
constexpr std::string_view bad_size =
    ": the size of an incremental file does not follow from its header";

std::string failed(std::size_t at, std::string_view why) {
    return " failed at " + std::to_string(at) + std::string(why);
}

std::string plain(std::string_view path, std::size_t size = 100) {
    std::vector<std::byte> room(size);
    writer out(room);
    const errc code = put_plain_path(out, path);
    return code == errc::none ? std::string(as_text(out.written())) : std::string(text(code));
}

std::string incremental(std::string_view path, std::size_t size = 100) {
    std::vector<std::byte> room(size);
    writer out(room);
    const errc code = put_incremental_path(out, path);
    return code == errc::none ? std::string(as_text(out.written())) : std::string(text(code));
}

} // namespace

TEST_CASE("recorded headers are read, and printed again byte for byte") {
    // From incremental backups of PostgreSQL 17.10 and 18.4: base/1/INCREMENTAL.1247 and 1249 of
    // both, a table of a tablespace. Behind these bytes stand zeros.
    struct recorded {
        std::string_view bytes;
        std::uint64_t file_size;
        numbers blocks;
        std::uint32_t truncation_length;
    };
    using namespace std::string_view_literals;
    const recorded all[] = {
        {"\x0d\x1f\xae\xd3\0\0\0\0\x0f\0\0\0"sv, 12, {}, 15},
        {"\x0d\x1f\xae\xd3\2\0\0\0\x37\0\0\0\x10\0\0\0\x36\0\0\0"sv, 24576, {16, 54}, 55},
        {"\x0d\x1f\xae\xd3\2\0\0\0\x38\0\0\0\x10\0\0\0\x36\0\0\0"sv, 24576, {16, 54}, 56},
        {"\x0d\x1f\xae\xd3\2\0\0\0\4\0\0\0\0\0\0\0\3\0\0\0"sv, 24576, {0, 3}, 4},
    };
    for (const recorded& each : all) {
        std::vector<std::byte> data(each.blocks.empty() ? 12 : 8192);
        std::memcpy(data.data(), each.bytes.data(), each.bytes.size());
        std::string expected = std::to_string(each.blocks.size()) + " of " +
                               std::to_string(each.truncation_length) + ":";
        for (const std::uint32_t block : each.blocks) expected += " " + std::to_string(block);
        CHECK(read_in_pieces(data, each.file_size) == expected + " ended");
        CHECK(header(each.blocks, each.truncation_length) == data);
        CHECK(incremental_file_size(static_cast<std::uint32_t>(each.blocks.size())) ==
              each.file_size);
    }
}

TEST_CASE("a header has the size that its blocks need") {
    static_assert(incremental_header_size(0) == 12 && incremental_file_size(0) == 12);
    static_assert(incremental_header_size(1) == 8192 && incremental_file_size(1) == 16384);
    static_assert(incremental_header_size(2045) == 8192);
    static_assert(incremental_header_size(2046) == 16384);
    static_assert(incremental_file_size(131072) == 12 + 4 * 131072 + 8180 + (1u << 30));
    constexpr auto large = block_layout::of(32768, UINT32_MAX);
    static_assert(large && incremental_file_size(UINT32_MAX, *large) > std::uint64_t{1} << 46);
    for (const std::uint32_t count : {0u, 1u, 252u, 253u, 254u, 300u}) {
        numbers blocks;
        for (std::uint32_t i = 0; i < count; ++i) blocks.push_back(i);
        const auto data = header(blocks, 7, small());
        const std::string seen = read(data, incremental_file_size(count, small()), small());
        CHECK(seen.ends_with(" ended"));
        CHECK(seen.starts_with(std::to_string(count) + " of 7:"));
    }
}

TEST_CASE("block sizes are powers of two from 1 to 32 KiB") {
    CHECK(block_layout() == *block_layout::of(8192, 131072));
    for (std::uint32_t size = 1024; size <= 32768; size *= 2) CHECK(block_layout::of(size, 1));
    for (const std::uint32_t size : {0u, 1u, 512u, 1023u, 3072u, 8191u, 65536u, 1u << 31})
        CHECK(block_layout::of(size, 131072).code() == errc::argument_invalid);
    CHECK(block_layout::of(8192, 0).code() == errc::argument_invalid);
}

TEST_CASE("what is behind the header stays in the input") {
    auto data = header({3}, 4, small());
    data.resize(data.size() + 1024, std::byte{'x'});
    incremental_reader reader(data.size(), small());
    bytes in = data;
    std::size_t events = 0;
    while (reader.poll(in)) ++events;
    CHECK(events == 3);
    CHECK(reader.over());
    CHECK(in.size() == 1024);
    CHECK(!reader.poll(in));
    CHECK(in.size() == 1024);
    reader.finish();
    CHECK(!reader.poll(in));

    // Without blocks there is nothing to come, and nothing is eaten that should not be there.
    const auto none = header({}, 4, small());
    CHECK(read_in_pieces(none, 12, small()) == "0 of 4: ended");
}

TEST_CASE("a header that is wrong is refused where it is") {
    const numbers blocks{0, 5, 7};
    const std::uint64_t size = incremental_file_size(3, small());
    const auto wrong = [&](std::size_t at, std::uint32_t value) {
        auto data = header(blocks, 10, small());
        put(data, at, value);
        return read_in_pieces(data, size, small());
    };
    CHECK(wrong(0, 0x0d1faed3) == failed(0, bad_header));
    CHECK(wrong(0, 0xd3ae1f0c) == failed(0, bad_header));
    CHECK(wrong(4, 301) == failed(0, bad_header));
    CHECK(wrong(4, UINT32_MAX) == failed(0, bad_header));
    CHECK(wrong(8, 301) == failed(0, bad_header));
    CHECK(wrong(8, 300) == "3 of 300: 0 5 7 ended");
    CHECK(wrong(8, UINT32_MAX) == failed(0, bad_header));
    CHECK(wrong(4, 2) == failed(4, bad_size));
    CHECK(wrong(4, 4) == failed(4, bad_size));
    CHECK(wrong(4, 0) == failed(4, bad_size));
    CHECK(wrong(12, 5) == "3 of 10: 5" + failed(16, bad_block));
    CHECK(wrong(16, 0) == "3 of 10: 0" + failed(16, bad_block));
    CHECK(wrong(16, 7) == "3 of 10: 0 7" + failed(20, bad_block));
    CHECK(wrong(20, 299) == "3 of 10: 0 5 299 ended");
    CHECK(wrong(20, 300) == "3 of 10: 0 5" + failed(20, bad_block));
    CHECK(wrong(20, UINT32_MAX) == "3 of 10: 0 5" + failed(20, bad_block));
    CHECK(wrong(24, 1) == "3 of 10: 0 5 7" + failed(24, bad_header));
    CHECK(wrong(1020, 0x01000000) == "3 of 10: 0 5 7" + failed(1023, bad_header));
}

TEST_CASE("the file must have the size that its number of blocks leads to") {
    const auto data = header({1, 2}, 10);
    CHECK(read(data, 8192 * 3).ends_with(" ended"));
    for (const std::uint64_t size :
         {std::uint64_t{0}, std::uint64_t{12}, std::uint64_t{8192 * 2}, std::uint64_t{8192 * 3 - 1},
          std::uint64_t{8192 * 3 + 1}, std::uint64_t{UINT64_MAX}})
        CHECK(read(data, size) == failed(4, bad_size));
    CHECK(read(header({}, 10), 13) == failed(4, bad_size));
}

TEST_CASE("a header that is cut off anywhere is too short") {
    const auto data = header({1, 2}, 10, small());
    const std::uint64_t size = incremental_file_size(2, small());
    for (std::size_t have = 0; have < data.size(); ++have) {
        const std::string seen = read(bytes(data).first(have), size, small());
        CHECK(seen.ends_with(failed(have, bad_size)));
    }
    CHECK(read(data, size, small()) == "2 of 10: 1 2 ended");
}

TEST_CASE("any byte changed is read or refused") {
    const auto right = header({1, 2, 200}, 10, small());
    const std::uint64_t size = incremental_file_size(3, small());
    std::size_t refused = 0;
    for (std::size_t at = 0; at < right.size(); ++at) {
        // Behind the numbers all bytes are zeros, and one wrong bit is as good as another value.
        for (int changed = 0; changed < 256; changed = at < 64 ? changed + 1 : changed * 2 + 1) {
            auto data = right;
            data[at] ^= static_cast<std::byte>(changed);
            const std::string seen = read(data, size, small());
            const bool ended = seen.ends_with(" ended");
            CHECK((ended || seen.find(" failed at ") != std::string::npos));
            if (at < 8 || at >= 24) CHECK(ended == (data == right));
            refused += ended ? 0u : 1u;
        }
    }
    CHECK(refused > 20'000);
}

TEST_CASE("a reader that failed eats and says nothing") {
    auto data = header({1}, 10);
    data[0] = std::byte{0};
    incremental_reader reader(16384);
    bytes in = data;
    CHECK(std::holds_alternative<incremental_failed>(*reader.poll(in)));
    CHECK(reader.over());
    for (int again = 0; again < 3; ++again) {
        in = data;
        CHECK(!reader.poll(in));
        CHECK(in.empty());
        reader.finish();
    }
}

TEST_CASE("a header that cannot be right is not printed") {
    std::array<std::byte, 2048> room;
    const auto code = [&](const numbers& blocks, std::uint32_t truncation_length) {
        little_writer out(room);
        const errc found = put_incremental_header(out, blocks, truncation_length, small());
        if (found != errc::none) CHECK(out.size() == 0);
        return found;
    };
    CHECK(code({0, 299}, 300) == errc::none);
    CHECK(code({0, 300}, 300) == errc::incremental_block_invalid);
    CHECK(code({1, 1}, 300) == errc::incremental_block_invalid);
    CHECK(code({2, 1}, 300) == errc::incremental_block_invalid);
    CHECK(code({UINT32_MAX}, 300) == errc::incremental_block_invalid);
    CHECK(code({}, 301) == errc::argument_invalid);
    for (std::size_t size = 0; size < 1024; ++size) {
        const support::guarded tight(size);
        little_writer out(tight.span());
        CHECK(put_incremental_header(out, numbers{1}, 1, small()) == errc::argument_too_long);
        CHECK(!out.ok());
    }
}

TEST_CASE("the head alone says how much to read") {
    const auto data = header({1, 2}, 10);
    const auto head =
        parse_incremental_head(bytes(data).first<incremental_head_size>(), block_layout());
    REQUIRE(head);
    CHECK(*head == incremental_head{2, 10});
    CHECK(parse_incremental_head(bytes(data).first<12>(), *block_layout::of(8192, 1)).code() ==
          errc::incremental_header_invalid);
}

TEST_CASE("names of incremental files lead to those that they stand for, and back") {
    static_assert(is_incremental_path("base/5/INCREMENTAL.1234"));
    for (const std::string_view path :
         {"base/5/1234", "1234", "pg_tblspc/16392/PG_18_202506291/5/1234.1", "global/1262_fsm",
          "INCREMENTAL", "INCREMENTAL.x/1234", "base/5/INCREMENTAL.1234"}) {
        CHECK(plain(incremental(path)) == path);
        CHECK(is_incremental_path(incremental(path)));
    }
    CHECK(incremental("base/5/1234") == "base/5/INCREMENTAL.1234");
    CHECK(incremental("1234") == "INCREMENTAL.1234");
    CHECK(plain("INCREMENTAL.1234") == "1234");
    for (const std::string_view path :
         {"", "/", "base/5/1234", "base/5/INCREMENTAL.", "INCREMENTAL.", "incremental.1",
          "base/INCREMENTAL.5/1234", "base/xINCREMENTAL.5", "INCREMENTAL.1/"}) {
        CAPTURE(path);
        CHECK(!is_incremental_path(path));
        CHECK(plain(path) == "not a valid name");
    }
    CHECK(incremental("") == "not a valid name");
    CHECK(incremental("base/") == "not a valid name");
    for (std::size_t size = 0; size < 11; ++size)
        CHECK(plain("base/5/INCREMENTAL.1234", size) == text(errc::argument_too_long));
    CHECK(plain("base/5/INCREMENTAL.1234", 11) == "base/5/1234");
    for (std::size_t size = 0; size < 23; ++size)
        CHECK(incremental("base/5/1234", size) == text(errc::argument_too_long));
    CHECK(incremental("base/5/1234", 23) == "base/5/INCREMENTAL.1234");
}

TEST_CASE("what was printed reads back the same") {
    support::prng random(74);
    for (int round = 0; round < 200; ++round) {
        const auto layout = *block_layout::of(1024u << random.below(6), 2000);
        numbers blocks;
        const std::uint64_t chance = random.between(1, 100);
        for (std::uint32_t i = 0; i < 2000; ++i)
            if (random.chance(chance, 200)) blocks.push_back(i);
        const auto length = static_cast<std::uint32_t>(random.below(2001));
        const auto data = header(blocks, length, layout);
        std::string expected =
            std::to_string(blocks.size()) + " of " + std::to_string(length) + ":";
        for (const std::uint32_t block : blocks) expected += " " + std::to_string(block);
        const auto count = static_cast<std::uint32_t>(blocks.size());
        CHECK(read(data, incremental_file_size(count, layout), layout) == expected + " ended");
    }
}

TEST_CASE("reading and printing an incremental header does not allocate") {
    const numbers blocks{1, 5};
    std::array<std::byte, 8192> room;
    support::allocations counted;
    little_writer out(room);
    const errc code = put_incremental_header(out, blocks, 7);
    incremental_reader reader(3 * 8192);
    bytes in = room;
    while (reader.poll(in)) {
    }
    CHECK(counted.count() == 0);
    CHECK(code == errc::none);
    CHECK(reader.over());
}
