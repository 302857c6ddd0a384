#include <walwire/limits.hpp>

#include <doctest/doctest.h>

#include <walwire/wire/copy.hpp>
#include <walwire/wire/framer.hpp>
#include <walwire/wire/startup.hpp>

using namespace walwire;

TEST_CASE("memory of the advised sizes holds what the limits let in") {
    constexpr limits chosen;
    CHECK(chosen.message_size_max + wire::header_size == stash_size);
    CHECK(stash_size_min <= stash_size);
    CHECK(out_size_min <= out_size);
    CHECK(stash_size_min >= wire::framer::stash_size_least);
}

TEST_CASE("the limits let in what PostgreSQL sends") {
    constexpr limits chosen;
    CHECK(chosen.copy_data_size_max >= wire::wal_payload_max + wire::wal_data_head_size);
    CHECK(chosen.parameters_max >= 15);
    CHECK(chosen.columns_max >= 4);
    CHECK(chosen.scram_iterations_max >= 4096);
    CHECK(chosen.message_size_max >= wire::startup_size_max);
}
