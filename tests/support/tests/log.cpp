#include "support/log.hpp"

#include <doctest/doctest.h>

using walwire::lsn;

TEST_CASE("what is copied of the log is what stands there, across the stretches it is kept in") {
    for (const std::size_t size : {0u, 1u, 65'535u, 65'536u, 65'537u, 200'000u}) {
        const lsn start{0x500000 - 100};
        std::vector<std::byte> copied{std::byte{7}};
        support::append_log(copied, start, size);
        REQUIRE(copied.size() == size + 1);
        CHECK(copied[0] == std::byte{7});
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < size; ++i)
            wrong += copied[i + 1] != support::log_byte(start + i);
        CHECK(wrong == 0);
    }
}

TEST_CASE("a byte that is another is noticed, and so is a place that is another") {
    const lsn start{0x10000 - 50};
    std::vector<std::byte> copied;
    support::append_log(copied, start, 100);
    CHECK(support::is_log(start, copied));
    CHECK(support::is_log(start, {}));
    for (std::byte& each : copied) {
        each ^= std::byte{1};
        CHECK(!support::is_log(start, copied));
        each ^= std::byte{1};
    }
    for (std::uint64_t by = 1; by < 1000; ++by) CHECK(!support::is_log(start + by, copied));
}
