#include <walwire/primary/event.hpp>

#include <doctest/doctest.h>

#include <type_traits>

using namespace walwire;

static_assert(std::is_trivially_copyable_v<primary::event>);
static_assert(std::is_nothrow_move_constructible_v<primary::event>);
static_assert(sizeof(primary::event) <= 256);

TEST_CASE("a login request shows all parameters that came, in order") {
    const std::string_view pairs("user\0repl\0replication\0true\0user\0other\0", 38);
    primary::login_requested asks;
    asks.pairs = as_bytes(pairs);
    auto list = asks.parameters();
    CHECK(list.next()->value == "repl");
    CHECK(list.next()->name == "replication");
    CHECK(list.next()->value == "other");
    CHECK_FALSE(list.next());
    CHECK(list.ok());
}

TEST_CASE("a step is a code, an event, or neither") {
    primary::step nothing;
    CHECK(nothing.code == errc::none);
    CHECK_FALSE(nothing.told);
    const primary::step told{errc::none, primary::event(primary::closed{})};
    CHECK(std::get<primary::closed>(*told.told).cause == primary::closing::terminated);
}
