#include <walwire/time.hpp>

#include <doctest/doctest.h>

#include <initializer_list>

using namespace walwire;

static_assert(never == INT64_MAX);
static_assert(second == 1000 * millisecond);
static_assert(postgres_epoch == 946'684'800'000'000);

TEST_CASE("adding to a clock reading stops at never") {
    CHECK(later(5, 7) == 12);
    CHECK(later(0, 0) == 0);
    CHECK(later(-5, 7) == 2);
    CHECK(later(never - 5, 4) == never - 1);
    CHECK(later(never - 5, 5) == never);
    CHECK(later(never - 5, 6) == never);
    CHECK(later(never, 0) == never);
    CHECK(later(never, 1) == never);
    CHECK(later(0, never) == never);
    CHECK(later(-1, never) == never);
    CHECK(later(INT64_MIN, never) == never);
    CHECK(later(INT64_MIN, never - 1) == -2);
    CHECK(later(never, never) == never);
    CHECK(later(10, -3) == 7);
}

TEST_CASE("PostgreSQL counts from the year 2000 and Unix from 1970") {
    CHECK(to_postgres_time(postgres_epoch) == 0);
    CHECK(from_postgres_time(0) == postgres_epoch);
    CHECK(to_postgres_time(0) == -postgres_epoch);
    CHECK(from_postgres_time(-postgres_epoch) == 0);
    // 2001-09-09 01:46:40 UTC.
    CHECK(to_postgres_time(1'000'000'000 * second) == 53'315'200 * second);
    // 2026-11-21 from a recorded keepalive: 0x000303c502481fe0.
    CHECK(from_postgres_time(0x000303c502481fe0) / second > 1'700'000'000);
    CHECK(from_postgres_time(0x000303c502481fe0) / second < 1'900'000'000);
}

TEST_CASE("times out of range stop at the ends, whatever 64 bits a peer sends") {
    CHECK(to_postgres_time(INT64_MIN) == INT64_MIN);
    CHECK(to_postgres_time(INT64_MIN + postgres_epoch) == INT64_MIN);
    CHECK(to_postgres_time(INT64_MIN + postgres_epoch + 1) == INT64_MIN + 1);
    CHECK(to_postgres_time(INT64_MAX) == INT64_MAX - postgres_epoch);
    CHECK(from_postgres_time(INT64_MAX) == INT64_MAX);
    CHECK(from_postgres_time(INT64_MAX - postgres_epoch) == INT64_MAX);
    CHECK(from_postgres_time(INT64_MAX - postgres_epoch - 1) == INT64_MAX - 1);
    CHECK(from_postgres_time(INT64_MIN) == INT64_MIN + postgres_epoch);
    for (const std::int64_t time :
         {std::int64_t{0}, std::int64_t{1}, std::int64_t{-1}, 50 * postgres_epoch})
        CHECK(to_postgres_time(from_postgres_time(time)) == time);
}
