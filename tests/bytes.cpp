#include <walwire/bytes.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "support/guard.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace walwire;
using namespace std::string_view_literals;

namespace {

std::string shown(bytes data) {
    return std::string(as_text(data));
}

} // namespace

TEST_CASE("text and bytes are two views of the same place") {
    const std::string_view text = "a\0b"sv;
    CHECK(as_bytes(text).size() == 3);
    CHECK(as_text(as_bytes(text)) == text);
    CHECK(static_cast<const void*>(as_bytes(text).data()) == text.data());
    CHECK(as_text({}).empty());
    CHECK(as_bytes("").empty());
}

TEST_CASE("integers are big-endian on this wire and little-endian where it is said") {
    const std::array<std::byte, 9> raw = {std::byte{0xff}, std::byte{1}, std::byte{2},
                                          std::byte{3},    std::byte{4}, std::byte{5},
                                          std::byte{6},    std::byte{7}, std::byte{0x88}};
    const std::byte* const at = raw.data() + 1; // not aligned
    CHECK(load<std::uint8_t>(at) == 0x01);
    CHECK(load<std::uint16_t>(at) == 0x0102);
    CHECK(load<std::uint32_t>(at) == 0x01020304);
    CHECK(load<std::uint64_t>(at) == 0x0102030405060788);
    CHECK(load<std::uint16_t, std::endian::little>(at) == 0x0201);
    CHECK(load<std::uint32_t, std::endian::little>(at) == 0x04030201);
    CHECK(load<std::uint64_t, std::endian::little>(at) == 0x8807060504030201);
    std::array<std::byte, 9> room{};
    store(room.data() + 1, std::uint64_t{0x0102030405060788});
    CHECK(std::memcmp(room.data() + 1, at, 8) == 0);
    store<std::uint32_t, std::endian::little>(room.data() + 1, 0x04030201);
    CHECK(std::memcmp(room.data() + 1, at, 4) == 0);
}

TEST_CASE("what a writer wrote a reader reads, in both byte orders") {
    support::prng random(2);
    for (int round = 0; round < 500; ++round) {
        const std::uint64_t value = random();
        const auto both = [&]<std::endian Order>() {
            std::array<std::byte, 64> room{};
            basic_writer<Order> out(room);
            out.u8(static_cast<std::uint8_t>(value));
            out.u16(static_cast<std::uint16_t>(value));
            out.u32(static_cast<std::uint32_t>(value));
            out.u64(value);
            out.i16(static_cast<std::int16_t>(value));
            out.i32(static_cast<std::int32_t>(value));
            out.i64(static_cast<std::int64_t>(value));
            out.c_string("text");
            out.append("rest"sv);
            CHECK(out.ok());
            CHECK(out.size() == 15 + 14 + 5 + 4);
            basic_reader<Order> in(out.written());
            CHECK(in.u8() == static_cast<std::uint8_t>(value));
            CHECK(in.u16() == static_cast<std::uint16_t>(value));
            CHECK(in.u32() == static_cast<std::uint32_t>(value));
            CHECK(in.u64() == value);
            CHECK(in.i16() == static_cast<std::int16_t>(value));
            CHECK(in.i32() == static_cast<std::int32_t>(value));
            CHECK(in.i64() == static_cast<std::int64_t>(value));
            CHECK(in.c_string() == "text");
            CHECK(!in.done());
            CHECK(in.left() == 4);
            CHECK(shown(in.rest()) == "rest");
            CHECK(in.done());
        };
        both.operator()<std::endian::big>();
        both.operator()<std::endian::little>();
    }
}

TEST_CASE("the first field that is not there makes everything behind it zero") {
    const support::guarded data(as_bytes("\1\2\3abc"sv));
    reader in{bytes(data)};
    CHECK(in.u16() == 0x0102);
    CHECK(in.ok());
    CHECK(in.u64() == 0);
    CHECK(!in.ok());
    CHECK(in.left() == 0);
    CHECK(in.u8() == 0); // though there were bytes enough for it
    CHECK(in.take(0).empty());
    CHECK(in.c_string().empty());
    CHECK(in.rest().empty());
    CHECK(!in.ok());
    CHECK(!in.done());
}

TEST_CASE("a string ends at its NUL, which must be there") {
    const support::guarded data(as_bytes("one\0\0two"sv));
    reader in{bytes(data)};
    CHECK(in.c_string() == "one");
    CHECK(in.c_string() == "");
    CHECK(in.ok());
    CHECK(in.c_string().empty());
    CHECK(!in.ok());
    reader nothing{bytes{}};
    CHECK(nothing.done());
    CHECK(nothing.c_string().empty());
    CHECK(!nothing.ok());
}

TEST_CASE("taking more than there is takes nothing") {
    const support::guarded data(as_bytes("abc"sv));
    for (const std::size_t size : {std::size_t{4}, SIZE_MAX}) {
        reader in{bytes(data)};
        CHECK(in.take(size).empty());
        CHECK(!in.ok());
    }
    reader in{bytes(data)};
    CHECK(shown(in.take(3)) == "abc");
    CHECK(in.done());
    CHECK(in.take(0).empty());
    CHECK(in.done());
}

TEST_CASE("a reader never looks past its span") {
    for (std::size_t size = 0; size <= 8; ++size) {
        const support::guarded data(size);
        std::memset(data.data(), 1, size);
        for (int field = 0; field < 6; ++field) {
            reader in{bytes(data)};
            switch (field) {
            case 0: in.u8(); break;
            case 1: in.u16(); break;
            case 2: in.u32(); break;
            case 3: in.u64(); break;
            case 4: in.take(size + 1); break;
            default: in.c_string(); break;
            }
            const std::size_t wants[] = {1, 2, 4, 8, size + 1, size + 1};
            CHECK(in.ok() == (wants[field] <= size));
        }
    }
}

TEST_CASE("the first field that does not fit, and all behind it, are left out") {
    for (std::size_t room = 0; room < 12; ++room) {
        const support::guarded small(room);
        std::memset(small.data(), '.', room);
        writer out(small.span());
        out.u32(0x41414141);
        out.append("bcdef"sv);
        out.u8('g');
        out.u16(0x6868);
        const std::size_t fits = room < 4 ? 0 : room < 9 ? 4 : room < 10 ? 9 : room < 12 ? 10 : 12;
        CHECK(!out.ok());
        CHECK(out.size() == fits);
        CHECK(shown(out.written()) == std::string_view("AAAAbcdefghh").substr(0, fits));
        // What did not fit left no trace.
        for (std::size_t at = fits; at < room; ++at) CHECK(small.data()[at] == std::byte{'.'});
        out.u8('x'); // and there is no way back
        CHECK(out.size() == fits);
    }
    const support::guarded exact(12);
    writer out(exact.span());
    out.u32(0x41414141);
    out.append("bcdef"sv);
    out.u8('g');
    out.u16(0x6868);
    CHECK(out.ok());
}

TEST_CASE("text with a NUL cannot be written as a string") {
    std::array<std::byte, 16> room{};
    writer out(room);
    out.c_string("a\0b"sv);
    CHECK(!out.ok());
    writer fine(room);
    fine.c_string("");
    CHECK(fine.ok());
    CHECK(fine.size() == 1);
}

TEST_CASE("appending nothing is possible anywhere, even nowhere") {
    writer out(mutable_bytes{});
    out.append(bytes{});
    out.append(""sv);
    CHECK(out.ok());
    CHECK(out.written().empty());
}

TEST_CASE("a length is put in its place later, unless the message is lost anyway") {
    std::array<std::byte, 9> room{};
    writer out(room);
    out.u8('x');
    out.u32(0);
    out.append("body"sv);
    out.patch_u32(1, 8);
    CHECK(shown(out.written()) == "x\0\0\0\x08"
                                  "body"sv);
    out.u8(0);
    CHECK(!out.ok());
    out.patch_u32(1, 9);
    CHECK(load<std::uint32_t>(room.data() + 1) == 8);
    writer little(room);
    little_writer other(room);
    other.u32(0);
    other.patch_u32(0, 1);
    CHECK(room[0] == std::byte{1});
}

TEST_CASE("secrets are equal when every byte is") {
    const std::string_view secret = "correct horse";
    CHECK(equal_in_constant_time(as_bytes(secret), as_bytes("correct horse"sv)));
    CHECK(equal_in_constant_time({}, {}));
    CHECK(!equal_in_constant_time(as_bytes(secret), as_bytes("correct hors"sv)));
    CHECK(!equal_in_constant_time(as_bytes(secret), {}));
    for (std::size_t at = 0; at < secret.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string other(secret);
            other[at] = static_cast<char>(other[at] ^ (1 << bit));
            CHECK(!equal_in_constant_time(as_bytes(secret), as_bytes(other)));
        }
    }
}

TEST_CASE("what is wiped is zero, and nothing else is") {
    const support::guarded room(8);
    std::memset(room.data(), 'x', 8);
    wipe(room.span().subspan(2, 4));
    CHECK(as_text(bytes(room)) == "xx\0\0\0\0xx"sv);
    wipe({});
}

TEST_CASE("readers and writers do not allocate") {
    std::array<std::byte, 32> room{};
    support::no_alloc scope;
    writer out(room);
    out.u64(1);
    out.c_string("abc");
    reader in(out.written());
    if (in.u64() != 1 || in.c_string() != "abc" || !in.done()) FAIL("read wrongly");
}
