#include <walwire/replica/event.hpp>

#include <doctest/doctest.h>

#include <type_traits>
#include <variant>

#include "wire/spelled.hpp"

using namespace walwire;
using namespace walwire::replica;

// Events are passed on by value, many million times a second.
static_assert(std::is_trivially_copyable_v<event>);
static_assert(std::is_trivially_destructible_v<event>);
static_assert(sizeof(event) <= 128);
static_assert(std::is_same_v<std::variant_alternative_t<0, event>, wal_data>,
              "what comes most often stands first");

namespace {

template <class T, class... All>
constexpr std::size_t times(const std::variant<All...>*) {
    return (std::size_t{0} + ... + (std::is_same_v<T, All> ? 1u : 0u));
}
template <class... All>
constexpr bool all_once(const std::variant<All...>* events) {
    return ((times<All>(events) == 1) && ...);
}

} // namespace

static_assert(all_once(static_cast<const event*>(nullptr)), "every event can be told by its type");

TEST_CASE("an event says nothing that was not put into it") {
    CHECK(!wal_data{}.begins);
    CHECK(!wal_data{}.ends);
    CHECK(!slot_read{}.exists);
    CHECK(!server_error{}.fatal);
    CHECK(!tls_accepted{}.direct);
    CHECK(failed{}.reason == error{});
    CHECK(system_identified{}.system_identifier == 0);
    CHECK(!system_identified{}.database);
    CHECK(ready{}.status == wire::transaction_status::idle);
    CHECK(!step{}.told);
    CHECK(step{}.code == errc::none);
}

TEST_CASE("an error's and a notice's fields can be had again from the body") {
    const spelled::buffer body =
        spelled::hex("'SFATAL' 00 'VFATAL' 00 'C57P01' 00 'Mgone' 00 'Dfor good' 00 00");
    const server_error told{true, "57P01", "gone", body};
    CHECK(told.fields().detail == "for good");
    CHECK(told.fields().fatal());
    const notice noted{"WARNING", "57P01", "gone", body};
    CHECK(noted.fields().sqlstate == "57P01");
}
