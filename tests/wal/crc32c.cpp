#include <walwire/wal/crc32c.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace walwire;
using namespace walwire::wal;
using namespace walwire::wal::detail;

namespace {

constexpr crc_way every_way[] = {crc_way::portable, crc_way::one_way, crc_way::folded};

// The definition, bit by bit, as the model of all that is faster.
constexpr std::uint32_t model(std::uint32_t state, bytes data) noexcept {
    for (const std::byte each : data) {
        state ^= std::to_integer<std::uint32_t>(each);
        for (int bit = 0; bit < 8; ++bit)
            state = (state >> 1) ^ ((state & 1) != 0 ? 0x82f63b78u : 0);
    }
    return state;
}

std::vector<std::byte> random_bytes(std::size_t size, std::uint64_t seed) {
    std::vector<std::byte> made(size);
    support::prng(seed).fill(made);
    return made;
}

std::uint32_t of(bytes data) {
    return crc32c().update(data).value();
}

constexpr std::array<std::byte, 9> digits = {std::byte{'1'}, std::byte{'2'}, std::byte{'3'},
                                             std::byte{'4'}, std::byte{'5'}, std::byte{'6'},
                                             std::byte{'7'}, std::byte{'8'}, std::byte{'9'}};

struct vector {
    std::string_view name;
    std::vector<std::byte> data;
    std::uint32_t value;
};

// RFC 3720, B.4, and what every implementation is asked first.
std::vector<vector> published() {
    std::vector<std::byte> ascending;
    for (unsigned i = 0; i < 32; ++i) ascending.push_back(static_cast<std::byte>(i));
    std::vector<std::byte> descending(ascending.rbegin(), ascending.rend());
    std::vector<std::byte> read_pdu(48);
    constexpr std::pair<std::size_t, unsigned> set[] = {{0, 0x01},  {1, 0xc0},  {16, 0x14},
                                                        {22, 0x04}, {27, 0x14}, {31, 0x18},
                                                        {32, 0x28}, {40, 0x02}};
    for (const auto& [at, value] : set) read_pdu[at] = static_cast<std::byte>(value);
    return {{"nothing", {}, 0},
            {"zeros", std::vector<std::byte>(32), 0x8a9136aa},
            {"ones", std::vector<std::byte>(32, std::byte{0xff}), 0x62a8ab43},
            {"ascending", ascending, 0x46dd794e},
            {"descending", descending, 0x113fdb5c},
            {"read PDU", read_pdu, 0xd9963a56},
            {"digits", {digits.begin(), digits.end()}, 0xe3069283}};
}

// The header promises that values can be had while compiling.
static_assert(crc32c().update(digits).value() == 0xe3069283);
static_assert(crc32c().value() == 0);
static_assert(crc32c(crc32c().update(bytes(digits).first(4)).value())
                  .update(bytes(digits).subspan(4)) == crc32c().update(digits));
static_assert(crc32c().update(bytes(digits).first(8)) != crc32c().update(digits));

} // namespace

TEST_CASE("published checksums are had by every way") {
    for (const vector& each : published()) {
        CAPTURE(each.name);
        CHECK(of(each.data) == each.value);
        CHECK(~model(UINT32_MAX, each.data) == each.value);
        for (const crc_way way : every_way) {
            if (crc_has(way)) CHECK(~crc_extend(way, UINT32_MAX, each.data) == each.value);
        }
    }
}

TEST_CASE("the way that is taken is one that the processor has, and tables serve any") {
    CHECK(crc_has(crc_way::portable));
    if (crc_has(crc_way::folded)) CHECK(crc_has(crc_way::one_way));
    for (const std::size_t size : {0u, 1u, 127u, 128u, 129u, 100'000u}) {
        CAPTURE(size);
        const crc_way taken = crc_fastest(size);
        CHECK(crc_has(taken));
        if (crc_has(crc_way::one_way)) CHECK(taken != crc_way::portable);
        CHECK((taken == crc_way::folded) == (size >= 128 && crc_has(crc_way::folded)));
    }
}

TEST_CASE("powers of x are reduced as the definition says") {
    // x^n is the bit 0x80000000 shifted n times.
    std::uint32_t power = 0x80000000;
    for (std::uint32_t n = 0; n <= 1024; ++n) {
        CHECK(crc_power(n) == power);
        power = (power >> 1) ^ ((power & 1) != 0 ? 0x82f63b78u : 0);
    }
}

TEST_CASE("every length from every alignment comes to what the definition says") {
    constexpr std::size_t length_max = 1024;
    const std::vector<std::byte> data = random_bytes(length_max + 16 + 64, 1);
    // Buffers are aligned by malloc; the first byte at a multiple of 16 is where alignment 0 is.
    const auto address = reinterpret_cast<std::uintptr_t>(data.data());
    const bytes even = bytes(data).subspan((16 - address % 16) % 16);
    for (const crc_way way : every_way) {
        if (!crc_has(way)) continue;
        std::size_t wrong = 0;
        for (std::size_t alignment = 0; alignment < 16; ++alignment) {
            std::uint32_t expected = UINT32_MAX;
            for (std::size_t length = 0; length <= length_max; ++length) {
                const bytes part = even.subspan(alignment, length);
                wrong += crc_extend(way, UINT32_MAX, part) != expected;
                expected = model(expected, even.subspan(alignment + length, 1));
            }
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("all ways agree on random bytes up to 1 MiB, from any state") {
    const std::vector<std::byte> data = random_bytes(1 << 20, 2);
    support::prng random(3);
    std::vector<std::size_t> sizes{1 << 20};
    // The sizes between which folding goes from one table entry or one join to the next.
    for (const std::size_t near : {128u, 128u * 85, 128u * 86, 128u * 170, 128u * 255}) {
        for (std::size_t size = near - 9; size <= near + 9; ++size) sizes.push_back(size);
    }
    for (int i = 0; i < 200; ++i) sizes.push_back(random.below(64 * 1024));
    for (const std::size_t size : sizes) {
        CAPTURE(size);
        const bytes part = bytes(data).subspan(random.below(data.size() - size + 1), size);
        const auto state = static_cast<std::uint32_t>(random());
        const std::uint32_t expected = model(state, part);
        for (const crc_way way : every_way) {
            if (crc_has(way)) CHECK(crc_extend(way, state, part) == expected);
        }
        CHECK(crc32c(~state).update(part).value() == ~expected);
    }
}

TEST_CASE("every number of folds has its own place in the table, and all are right") {
    const std::vector<std::byte> data = random_bytes(128 * 90, 4);
    for (std::size_t folds = 0; folds <= 90; ++folds) {
        const bytes part = bytes(data).first(128 * folds);
        CHECK(of(part) == ~model(UINT32_MAX, part));
    }
}

TEST_CASE("every split in two comes to the same as the whole") {
    const std::vector<std::byte> data = random_bytes(1500, 5);
    for (const crc_way way : every_way) {
        if (!crc_has(way)) continue;
        const std::uint32_t whole = crc_extend(way, UINT32_MAX, data);
        std::size_t wrong = 0;
        for (std::size_t at = 0; at <= data.size(); ++at) {
            const std::uint32_t first = crc_extend(way, UINT32_MAX, bytes(data).first(at));
            wrong += crc_extend(way, first, bytes(data).subspan(at)) != whole;
        }
        CHECK(wrong == 0);
    }
    crc32c bytewise;
    for (const std::byte& each : data) bytewise.update({&each, 1});
    CHECK(bytewise.value() == of(data));
    for (std::size_t at = 0; at <= data.size(); ++at) {
        crc32c sum;
        sum.update(bytes(data).first(at)).update({});
        CHECK(crc32c(sum.value()).update(bytes(data).subspan(at)) == bytewise);
    }
}

TEST_CASE("every changed bit changes the checksum") {
    std::vector<std::byte> data = random_bytes(300, 6);
    const std::uint32_t whole = of(data);
    for (std::size_t bit = 0; bit < 8 * data.size(); ++bit) {
        const std::byte flip{static_cast<unsigned char>(1u << bit % 8)};
        data[bit / 8] ^= flip;
        CHECK(of(data) != whole);
        data[bit / 8] ^= flip;
    }
    CHECK(of(data) == whole);
}

TEST_CASE("a value needs no memory but its own") {
    CHECK(sizeof(crc32c) == 4);
    const std::vector<std::byte> data = random_bytes(100'000, 7);
    support::allocations made;
    crc32c sum;
    for (const std::size_t size : {0u, 1u, 20u, 64u, 128u, 8192u, 100'000u})
        sum.update(bytes(data).first(size));
    const std::size_t count = made.count();
    CHECK(count == 0);
    CHECK(sum.value() != 0);
}
