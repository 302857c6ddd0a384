#include <walwire/config.hpp>

#include <doctest/doctest.h>

namespace {

WALWIRE_HOT int twice(int value) {
    return 2 * value;
}
WALWIRE_COLD int thrice(int value) {
    return 3 * value;
}

} // namespace

TEST_CASE("the hints change no meaning") {
    CHECK(twice(21) == 42);
    CHECK(thrice(14) == 42);
}

TEST_CASE("an assertion asks its condition once, and a kept promise does nothing") {
    int asked = 0;
    WALWIRE_ASSERT(++asked == 1);
    CHECK(asked == 1);
}
