// When to try again, and when there is no use in it.
//
// A replica that loses its primary comes back by itself. The wait before each attempt doubles from
// 250 ms to 30 s and is lengthened by up to a quarter at random, so that many replicas of one
// primary do not return together. What a server or a failure says decides whether to come back at
// all: what passes by itself (too many connections, a slot in use, a server that starts or stops, a
// lost connection) is tried again; what only a person can mend (a wrong password, a missing slot,
// another cluster, WAL that is gone) is not.
//
// Source of truth: the manual's appendix "PostgreSQL Error Codes".
#pragma once

#include <cstdint>
#include <string_view>

#include "../error.hpp"
#include "../time.hpp"

namespace walwire::replica {

inline constexpr std::int64_t backoff_first = 250 * millisecond;
inline constexpr std::int64_t backoff_longest = 30 * second;

class backoff {
  public:
    // `seed` should differ between replicas; equal seeds give equal waits. A first wait below one
    // microsecond is taken for that, a longest wait below the first for the first.
    constexpr backoff(std::uint64_t seed, std::int64_t first, std::int64_t longest) noexcept
        : state_(seed), first_(first < 1 ? 1 : first),
          longest_(longest < first_ ? first_ : longest), base_(first_) {}

    // The next wait, in microseconds.
    constexpr std::int64_t next() noexcept {
        const std::int64_t base = base_;
        base_ = base > longest_ / 2 ? longest_ : base * 2;
        const auto spread = static_cast<std::uint64_t>(base / 4 + 1);
        return later(base, static_cast<std::int64_t>(random() % spread));
    }

    constexpr void reset() noexcept { base_ = first_; }

  private:
    // Steele, Lea and Flood's splitmix64: any seed will do, and it need not be unpredictable.
    constexpr std::uint64_t random() noexcept {
        std::uint64_t mixed = state_ += 0x9e3779b97f4a7c15;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        return mixed ^ (mixed >> 31);
    }

    std::uint64_t state_;
    std::int64_t first_;
    std::int64_t longest_;
    std::int64_t base_;
};

// Whether an error with this SQLSTATE will still be there when nobody does anything about it.
constexpr bool is_permanent(std::string_view sqlstate) noexcept {
    const auto in_class = [&](std::string_view name) noexcept {
        return sqlstate.substr(0, 2) == name;
    };
    // 28 refused at the door, 42 no such thing or no right to it, 3D no such database, 0A not a
    // feature of this server, 22 a value it does not take.
    if (in_class("28") || in_class("42") || in_class("3D") || in_class("0A") || in_class("22"))
        return true;
    return sqlstate == "58P01"     // the segment or the history asked for was removed
           || sqlstate == "08P01"; // the server finds that we break the protocol
}

// The same for the ways in which a session fails by itself. Damage to the stream is worth a new
// connection, as whatever stood in between may have caused it; identity and security are not.
constexpr bool is_permanent(errc code) noexcept {
    switch (code) {
    case errc::memory_too_small:
    case errc::argument_invalid:
    case errc::argument_too_long:
    case errc::argument_has_nul:
    case errc::unsupported_version:
    case errc::crypto_missing:
    case errc::crypto_failed:
    case errc::encryption_answer_invalid:
    case errc::encryption_refused:
    case errc::bytes_before_encryption:
    case errc::negotiation_invalid:
    case errc::protocol_version_refused:
    case errc::server_version_invalid:
    case errc::authentication_unknown:
    case errc::authentication_refused:
    case errc::authentication_incomplete:
    case errc::cleartext_refused:
    case errc::channel_binding_missing:
    case errc::sasl_mechanism_missing:
    case errc::scram_malformed:
    case errc::scram_nonce_mismatch:
    case errc::scram_iterations_refused:
    case errc::scram_signature_mismatch:
    case errc::scram_proof_mismatch:
    case errc::scram_channel_binding_mismatch:
    case errc::system_identifier_mismatch:
    case errc::timeline_diverged:
    case errc::segment_size_invalid:
    case errc::history_invalid:
    case errc::name_invalid: return true;
    default: return false;
    }
}

// Whether it is what the server said that could not be followed. A new connection is tried, but
// what comes back at the same place every time is no accident.
constexpr bool is_damage(errc code) noexcept {
    switch (code) {
    case errc::none:
    case errc::not_now:
    case errc::over:
    case errc::output_full:
    case errc::connect_timeout:
    case errc::silence_timeout:
    case errc::connection_lost:
    case errc::timeline_mismatch:
    case errc::timeline_behind:
    case errc::position_ahead:
    case errc::system_identifier_mismatch: return false;
    default: return !is_permanent(code);
    }
}

// With the first waits some four seconds, in which whatever stands in between may have been mended.
inline constexpr int damage_repeats_max = 5;

} // namespace walwire::replica
