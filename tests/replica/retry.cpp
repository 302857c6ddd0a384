#include <walwire/replica/retry.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

using namespace walwire;
using namespace walwire::replica;

namespace {

std::vector<std::int64_t> waits(backoff& from, std::size_t count) {
    std::vector<std::int64_t> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back(from.next());
    return all;
}

} // namespace

TEST_CASE("waits double from a quarter of a second to half a minute, and up to a quarter longer") {
    std::size_t lengthened = 0;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        CAPTURE(seed);
        backoff wait(seed, backoff_first, backoff_longest);
        std::int64_t base = 250 * millisecond;
        for (int i = 0; i < 20; ++i) {
            const std::int64_t chosen = wait.next();
            CHECK(chosen >= base);
            CHECK(chosen <= base + base / 4);
            lengthened += chosen > base;
            base = std::min(2 * base, 30 * second);
        }
        wait.reset();
        CHECK(wait.next() <= 250 * millisecond * 5 / 4);
    }
    CHECK(lengthened > 3900); // of 4000
}

TEST_CASE("equal seeds give equal waits, and others do not") {
    backoff a(7, backoff_first, backoff_longest), b(7, backoff_first, backoff_longest);
    CHECK(waits(a, 30) == waits(b, 30));
    std::set<std::int64_t> first;
    for (std::uint64_t seed = 0; seed < 1000; ++seed)
        first.insert(backoff(seed, backoff_first, backoff_longest).next());
    CHECK(first.size() > 950);
}

TEST_CASE("waits that make no sense are made to make some") {
    for (const std::int64_t first :
         {std::int64_t{0}, std::int64_t{-1}, std::int64_t{-4}, INT64_MIN}) {
        backoff wait(1, first, 100);
        std::int64_t last = 0;
        for (int i = 0; i < 20; ++i) last = wait.next();
        CHECK(last >= 100);
        CHECK(last <= 125);
    }
    for (const std::int64_t longest : {std::int64_t{0}, std::int64_t{-9}, std::int64_t{39}}) {
        backoff wait(1, 40, longest);
        for (int i = 0; i < 20; ++i) {
            const std::int64_t chosen = wait.next();
            CHECK(chosen >= 40);
            CHECK(chosen <= 50);
        }
    }
    backoff wait(1, second, never);
    std::int64_t last = 0;
    for (int i = 0; i < 100; ++i) {
        const std::int64_t chosen = wait.next();
        CHECK(chosen > 0);
        if (i < 40) CHECK(chosen > last * 3 / 2);
        last = chosen;
    }
    CHECK(last == never);
    CHECK(backoff(1, never, never).next() == never);
}

TEST_CASE("what passes by itself is tried again, what a person must mend is not") {
    for (const char* permanent : {
             "28000", // no rule, no such role
             "28P01", // wrong password
             "3D000", // no such database
             "42501", // not allowed to replicate
             "42601", // syntax
             "42704", // no such slot
             "42710", // the slot is there already
             "42602", // not a name
             "0A000", // not a feature
             "22023", // not a value
             "58P01", // the WAL is gone
             "08P01", // we break the protocol
         }) {
        CAPTURE(permanent);
        CHECK(is_permanent(std::string_view(permanent)));
    }
    for (const char* transient : {
             "53300", // too many connections
             "53400", // all slots used
             "55006", // the slot is in use
             "55000", // the server is stopping
             "57P01", // terminated, shut down
             "57P02", // crashed
             "57P03", // starts or stops
             "57014", // cancelled
             "08006", // the connection failed
             "XX000", // a bug, or a server that lags
             "25P02", "", "2", "4", "5", "58P0", "58P02", "08P02", "8P01",
         }) {
        CAPTURE(transient);
        CHECK(!is_permanent(std::string_view(transient)));
    }
}

TEST_CASE("identity and security are permanent, damage and silence are not") {
    const errc transient[] = {
        errc::none,
        errc::connection_lost,
        errc::silence_timeout,
        errc::connect_timeout,
        errc::length_invalid,
        errc::message_too_large,
        errc::unknown_message,
        errc::unexpected_message,
        errc::malformed_message,
        errc::encryption_error_response,
        errc::backend_key_invalid,
        errc::wal_gap,
        errc::wal_overlap,
        errc::stream_unknown,
        errc::stream_malformed,
        errc::timeline_behind,
        errc::timeline_mismatch,
        errc::position_ahead,
        errc::row_invalid,
        errc::answer_invalid,
    };
    const errc permanent[] = {
        errc::memory_too_small,
        errc::argument_invalid,
        errc::crypto_missing,
        errc::crypto_failed,
        errc::encryption_refused,
        errc::bytes_before_encryption,
        errc::encryption_answer_invalid,
        errc::negotiation_invalid,
        errc::protocol_version_refused,
        errc::server_version_invalid,
        errc::authentication_unknown,
        errc::authentication_refused,
        errc::authentication_incomplete,
        errc::cleartext_refused,
        errc::channel_binding_missing,
        errc::sasl_mechanism_missing,
        errc::scram_malformed,
        errc::scram_nonce_mismatch,
        errc::scram_iterations_refused,
        errc::scram_signature_mismatch,
        errc::scram_proof_mismatch,
        errc::scram_channel_binding_mismatch,
        errc::system_identifier_mismatch,
        errc::timeline_diverged,
        errc::segment_size_invalid,
        errc::history_invalid,
        errc::unsupported_version,
        errc::name_invalid,
    };
    for (const errc code : transient) {
        CAPTURE(std::string(text(code)));
        CHECK(!is_permanent(code));
    }
    for (const errc code : permanent) {
        CAPTURE(std::string(text(code)));
        CHECK(is_permanent(code));
        CHECK(!is_damage(code));
    }
}

TEST_CASE("damage is what a server said, and neither its absence nor its place in history") {
    for (const errc damage :
         {errc::length_invalid, errc::message_too_large, errc::unknown_message,
          errc::unexpected_message, errc::malformed_message, errc::wal_gap, errc::wal_overlap,
          errc::stream_unknown, errc::stream_malformed, errc::row_invalid, errc::answer_invalid,
          errc::next_timeline_invalid, errc::entry_batch_empty}) {
        CAPTURE(std::string(text(damage)));
        CHECK(is_damage(damage));
    }
    for (const errc other : {errc::none, errc::connection_lost, errc::silence_timeout,
                             errc::connect_timeout, errc::timeline_behind, errc::timeline_mismatch,
                             errc::position_ahead, errc::system_identifier_mismatch}) {
        CAPTURE(std::string(text(other)));
        CHECK(!is_damage(other));
    }
}
