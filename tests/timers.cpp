#include <walwire/timers.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include "support/prng.hpp"

using namespace walwire;

namespace {

enum class bell : std::uint8_t { breakfast, lunch, dinner, count };
using bells = timers<bell>;

} // namespace

TEST_CASE("no timer is set at first") {
    bells all;
    CHECK(all.next() == never);
    for (const bell each : {bell::breakfast, bell::lunch, bell::dinner}) {
        CHECK(all.at(each) == never);
        CHECK(!all.expired(each, never)); // not even at the end of time
    }
}

TEST_CASE("the nearest is next, and each is rung once") {
    bells all;
    all.set(bell::dinner, 19);
    all.set(bell::lunch, 12);
    all.set(bell::breakfast, 8);
    CHECK(all.next() == 8);
    CHECK(!all.expired(bell::breakfast, 7));
    CHECK(all.expired(bell::breakfast, 8));
    CHECK(!all.expired(bell::breakfast, 8));
    CHECK(all.at(bell::breakfast) == never);
    CHECK(all.next() == 12);
    all.stop(bell::lunch);
    CHECK(all.next() == 19);
    CHECK(!all.expired(bell::lunch, 100));
    all.set(bell::dinner, 20); // put off
    CHECK(!all.expired(bell::dinner, 19));
    CHECK(all.expired(bell::dinner, 21));
    CHECK(all.next() == never);
}

TEST_CASE("a time that has passed already is rung at once") {
    bells all;
    all.set(bell::lunch, INT64_MIN);
    CHECK(all.next() == INT64_MIN);
    CHECK(all.expired(bell::lunch, INT64_MIN));
}

TEST_CASE("at random it is the smallest of an array") {
    support::prng random(1);
    bells all;
    std::array<std::int64_t, 3> model{never, never, never};
    for (int step = 0; step < 5000; ++step) {
        const std::size_t which = random.below(3);
        const auto name = static_cast<bell>(which);
        const auto time = static_cast<std::int64_t>(random.below(50));
        switch (random.below(3)) {
        case 0:
            all.set(name, time);
            model[which] = time;
            break;
        case 1:
            all.stop(name);
            model[which] = never;
            break;
        default: {
            const bool rings = model[which] <= time;
            CHECK(all.expired(name, time) == rings);
            if (rings) model[which] = never;
        }
        }
        CHECK(all.next() == *std::min_element(model.begin(), model.end()));
        CHECK(all.at(name) == model[which]);
    }
}
