#include <walwire/replica/options.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>

#include <walwire/replica/session.hpp>

#include "support/guard.hpp"

using namespace walwire;
using namespace walwire::replica;

namespace {

options smallest() {
    options chosen;
    chosen.user = "repl";
    return chosen;
}

} // namespace

TEST_CASE("what is not chosen is the safe choice, and the dialect's usual times") {
    constexpr options chosen;
    CHECK(chosen.mode == replication_mode::physical);
    CHECK(chosen.dialect == dialect::postgres);
    CHECK(chosen.version == wire::protocol_3_0);
    CHECK(chosen.version_min == wire::protocol_3_0);
    CHECK(chosen.tls == encryption::off);
    CHECK(chosen.gss == encryption::off);
    CHECK(chosen.crypto == nullptr);
    CHECK(chosen.channel_binding == auth::channel_binding_policy::prefer);
    CHECK(!chosen.cleartext_without_tls);
    CHECK(!chosen.report_each_flush);
    for (const auth::method each : {auth::method::none, auth::method::password, auth::method::md5,
                                    auth::method::scram_sha_256})
        CHECK(chosen.require_auth.allows(each));
    CHECK(chosen.connect_timeout == 5'000'000);
    CHECK(chosen.silence_timeout == 60'000'000);
    CHECK(chosen.status_interval == 10'000'000);
}

TEST_CASE("options with a user work with memory of the advised sizes") {
    const support::guarded stash(stash_size), out(out_size);
    CHECK(session::check(smallest(), {stash.span(), out.span()}) == errc::none);
}

TEST_CASE("options that cannot work are refused by what is wrong with them") {
    const support::guarded stash(stash_size), out(out_size);
    const memory room{stash.span(), out.span()};
    const auto refused = [&](auto&& change) {
        options chosen = smallest();
        change(chosen);
        return session::check(chosen, room);
    };
    CHECK(refused([](options& o) { o.user = ""; }) == errc::argument_invalid);
    CHECK(refused([](options& o) { o.status_interval = millisecond - 1; }) ==
          errc::argument_invalid);
    CHECK(refused([](options& o) { o.silence_timeout = 0; }) == errc::argument_invalid);
    CHECK(refused([](options& o) { o.connect_timeout = -1; }) == errc::argument_invalid);
    CHECK(refused([](options& o) { o.status_interval = millisecond; }) == errc::none);
    CHECK(refused([](options& o) { o.silence_timeout = never; }) == errc::none);
    CHECK(refused([](options& o) { o.version = {0x00030001}; }) == errc::unsupported_version);
    CHECK(refused([](options& o) { o.version_min = wire::protocol_3_2; }) ==
          errc::unsupported_version);
    CHECK(refused([](options& o) { o.version = wire::protocol_3_2; }) == errc::none);
    CHECK(refused([](options& o) { o.limits.message_size_max += 1; }) == errc::memory_too_small);
    const std::string_view nul("a\0b", 3);
    CHECK(refused([&](options& o) { o.user = nul; }) == errc::argument_has_nul);
    CHECK(refused([&](options& o) { o.database = nul; }) == errc::argument_has_nul);
    CHECK(refused([&](options& o) { o.application_name = nul; }) == errc::argument_has_nul);
    CHECK(refused([&](options& o) { o.settings = nul; }) == errc::argument_has_nul);
    const std::array<wire::parameter, 1> bad{{{"name", nul}}};
    CHECK(refused([&](options& o) { o.parameters = bad; }) == errc::argument_has_nul);
    const std::string long_name(out_size, 'x');
    CHECK(refused([&](options& o) { o.application_name = long_name; }) == errc::argument_too_long);

    const support::guarded small(stash_size_min - 1);
    CHECK(session::check(smallest(), {small.span(), out.span()}) == errc::memory_too_small);
    CHECK(session::check(smallest(), {stash.span(), small.span()}) == errc::memory_too_small);
}
