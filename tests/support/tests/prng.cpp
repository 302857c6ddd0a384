#include "support/prng.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using support::prng;

TEST_CASE("the numbers are those of xoshiro256** behind splitmix64, for ever") {
    prng random(0);
    CHECK(random() == 0x99ec5f36cb75f2b4);
    CHECK(random() == 0xbf6e1f784956452a);
    CHECK(random() == 0x1a5f849d4933e6e0);
}

TEST_CASE("a seed gives its numbers again, and another seed gives others") {
    prng a(7), again(7), b(8);
    for (int i = 0; i < 100; ++i) {
        const std::uint64_t value = a();
        CHECK(value == again());
        CHECK(value != b());
    }
}

TEST_CASE("numbers keep their bounds and reach them") {
    prng random(1);
    std::vector<int> met(5);
    for (int i = 0; i < 1000; ++i) {
        ++met.at(random.below(5));
        const std::uint64_t value = random.between(10, 12);
        CHECK(value >= 10);
        CHECK(value <= 12);
    }
    CHECK(*std::min_element(met.begin(), met.end()) > 140); // 200 each, give or take
    CHECK(random.below(0) == 0);
    CHECK(random.below(1) == 0);
    CHECK(random.between(3, 3) == 3);
    CHECK(!random.chance(0, 10));
    CHECK(random.chance(10, 10));
}

TEST_CASE("filling writes every byte") {
    prng random(2);
    std::vector<std::byte> seen(64);
    for (int i = 0; i < 20; ++i) {
        std::vector<std::byte> room(64);
        random.fill(room);
        for (std::size_t at = 0; at < room.size(); ++at) seen[at] |= room[at];
    }
    CHECK(std::count(seen.begin(), seen.end(), std::byte{0}) == 0);
}
