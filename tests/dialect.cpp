#include <walwire/dialect.hpp>

#include <doctest/doctest.h>

TEST_CASE("PostgreSQL's is the dialect unless somebody says otherwise") {
    CHECK(walwire::dialect{} == walwire::dialect::postgres);
    CHECK(walwire::dialect::aiondb != walwire::dialect::postgres);
    CHECK(sizeof(walwire::dialect) == 1);
}
