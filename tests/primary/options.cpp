#include <walwire/primary/options.hpp>

#include <doctest/doctest.h>

#include <string>

#include <walwire/primary/session.hpp>

#include "primary/client.hpp"

using namespace caller;

namespace {

errc check(const primary::options& chosen, std::size_t stash = stash_size,
           std::size_t out = out_size) {
    buffer kept(stash), said(out);
    const errc code = primary::session::check(chosen, {kept, said});
    // What check() refuses ends the first poll with the same code, and nothing is said.
    primary::session session(chosen, {kept, said});
    bytes in;
    const auto told = session.poll(in, {});
    CHECK(session.over() == (code != errc::none));
    if (code != errc::none) {
        const auto* failed = told ? std::get_if<primary::failed>(&*told) : nullptr;
        CHECK(failed != nullptr);
        if (failed != nullptr) CHECK(failed->reason == error{code, 0});
        CHECK(session.output().empty());
    }
    return code;
}

} // namespace

TEST_CASE("options that are all right, and each that is not") {
    const primary::options usual = plan::usual();
    CHECK(check(usual) == errc::none);
    primary::options wrong = usual;
    wrong.server_version = "seventeen";
    CHECK(check(wrong) == errc::server_version_invalid);
    wrong.server_version = "11.5";
    CHECK(check(wrong) == errc::unsupported_version);
    wrong.dialect = dialect::aiondb;
    CHECK(check(wrong) == errc::none);
    wrong = usual;
    wrong.server_version = "18.0\0x"sv;
    CHECK(check(wrong) == errc::argument_has_nul);

    for (const std::size_t size : {0u, 3u, 4u, 256u, 257u}) {
        const buffer key(size, std::byte{1});
        wrong = usual;
        wrong.cancel_key = key;
        CHECK(check(wrong) == (size < 4 || size > 256 ? errc::argument_invalid : errc::none));
    }
    const buffer short_secret(15);
    wrong = usual;
    wrong.mock_secret = short_secret;
    CHECK(check(wrong) == errc::argument_invalid);
    wrong.crypto = nullptr;
    CHECK(check(wrong) == errc::none);
    wrong = usual;
    wrong.authentication_timeout = millisecond - 1;
    CHECK(check(wrong) == errc::argument_invalid);
    wrong = usual;
    wrong.wal_sender_timeout = 0;
    CHECK(check(wrong) == errc::argument_invalid);
    wrong.wal_sender_timeout = never;
    CHECK(check(wrong) == errc::none);
    for (const std::uint32_t iterations : {0u, 1u, 0x7fffffffu, 0x80000000u}) {
        wrong = usual;
        wrong.scram_iterations = iterations;
        const bool possible = iterations == 1 || iterations == 0x7fffffff;
        CHECK(check(wrong) == (possible ? errc::none : errc::argument_invalid));
    }
    for (const auth::method each : {auth::method::none, auth::method::password, auth::method::md5,
                                    auth::method::scram_sha_256, auth::method::gss}) {
        wrong = usual;
        wrong.password_encryption = each;
        const bool stores = each == auth::method::md5 || each == auth::method::scram_sha_256;
        CHECK(check(wrong) == (stores ? errc::none : errc::argument_invalid));
    }

    for (const wire::parameter& each :
         {wire::parameter{"a\0b"sv, ""}, wire::parameter{"a", "\0"sv}}) {
        wrong = usual;
        wrong.parameters = {&each, 1};
        CHECK(check(wrong) == errc::argument_has_nul);
    }
}

TEST_CASE("memory that is too small is refused at once, and not met later") {
    primary::options chosen = plan::usual();
    CHECK(check(chosen, stash_size - 1) == errc::memory_too_small);
    CHECK(check(chosen, stash_size, out_size_min - 1) == errc::memory_too_small);
    chosen.limits.message_size_max = 100;
    CHECK(check(chosen, 5 + 2 * 1024) == errc::none);
    CHECK(check(chosen, 5 + 2 * 1024 - 1) == errc::memory_too_small);
    chosen.limits.message_size_max = UINT32_MAX;
    CHECK(check(chosen) == errc::memory_too_small);
    chosen = plan::usual();
    const std::string large(4000, 'x');
    const wire::parameter most[] = {{"large", large}};
    chosen.parameters = most;
    CHECK(check(chosen) == errc::memory_too_small);
    CHECK(check(chosen, stash_size, 2 * out_size) == errc::none);
}

TEST_CASE("the smallest out that is taken holds the longest greeting") {
    const std::string version = "18.4 (" + std::string(200, 'x') + ")";
    const std::string long_name(63, 'n');
    const buffer key(256, std::byte{3});
    const wire::parameter more[] = {{"one", "first"}, {"two", "second"}};
    plan chosen;
    chosen.options.server_version = version;
    chosen.options.cancel_key = key;
    chosen.options.parameters = more;
    chosen.options.scram_iterations = INT32_MAX;
    chosen.how = auth::method::scram_sha_256;
    chosen.secret = verifier("pencil");
    chosen.out = out_size_min;
    while (check(chosen.options, stash_size, chosen.out) != errc::none) ++chosen.out;
    server hears(chosen);
    hears.feed(startup("user\0"s + long_name + "\0replication\0true\0application_name\0"s +
                           long_name + "\0"s,
                       0x30002));
    const auto last = hears.heard();
    CHECK(last == "R10 SCRAM-SHA-256\0\0\n"s);
    // The exchange of admission.cpp, whose last word the greeting follows.
    hears->shut_down();
    chosen.how = auth::method::none;
    server trusts(chosen);
    trusts.feed(startup("user\0"s + long_name + "\0replication\0true\0application_name\0"s +
                            long_name + "\0"s,
                        0x30002));
    CHECK(trusts.last() == "in none\n");
    CHECK(trusts.said.size() + 55 <= chosen.out); // SASLFinal
}
