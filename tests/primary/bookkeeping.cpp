#include <walwire/primary/registry.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>

#include "support/bookkeeping.hpp"
#include "support/prng.hpp"

TEST_CASE("slots, registry, write concerns and standbys do what maps, vectors and sorting do") {
    std::map<std::string, std::size_t> verified;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        support::prng random(seed);
        std::string wrong;
        std::size_t step = 0;
        support::bookkeeping books([&](std::uint64_t below) { return random.below(below); },
                                   [&](bool holds, const char* what) {
                                       ++verified[what];
                                       if (!holds && wrong.empty()) wrong = what;
                                   });
        for (; step < 400 && wrong.empty(); ++step) books.step();
        CAPTURE(seed);
        CAPTURE(step);
        REQUIRE(wrong == "");
    }
    // The random life was an eventful one: nothing that can be compared was left out.
    CHECK(verified.size() == 52);
    for (const auto& each : verified) {
        CAPTURE(each.first);
        CHECK(each.second > 50);
    }
}
