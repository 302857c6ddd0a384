// Digests over data that comes in pieces, as a table of functions that somebody else fills.
//
// crypto.hpp's table hashes what is short and at hand. The files of a backup are neither: each is
// hashed while it passes, many gigabytes of it, so here the state between two pieces is the
// provider's and is known to us by a pointer only. openssl.hpp fills this table too; any other
// library takes four short functions.
//
//     begin --> update ... update --> finish      the digest is written and the state is gone
//                      \-----------> abandon      the state is gone
//
// A pointer that is null says "not offered" and is met as crypto_missing; all four belong together.
// A begin that returns null, and an update or a finish that returns false, is met as crypto_failed.
// The functions are called from inside of poll and of commands: they must not call back.
//
// Source of truth: FIPS 180-4 for the algorithms, which are all of the SHA-2 family because those
// are the ones that a manifest can name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "../bytes.hpp"
#include "../error.hpp"

namespace walwire::auth {

enum class digest_algorithm : std::uint8_t { sha224, sha256, sha384, sha512 };

inline constexpr std::size_t digest_size_max = 64;

constexpr std::size_t digest_size(digest_algorithm algorithm) noexcept {
    switch (algorithm) {
    case digest_algorithm::sha224: return 28;
    case digest_algorithm::sha256: return 32;
    case digest_algorithm::sha384: return 48;
    case digest_algorithm::sha512: return 64;
    }
    return 0;
}

struct digests {
    void* context = nullptr;

    // The state of a digest of nothing so far, or null where there is none to be had.
    void* (*begin)(void* context, digest_algorithm algorithm) noexcept = nullptr;
    bool (*update)(void* running, bytes data) noexcept = nullptr;
    // `out` is as large as the digest. The state is gone afterwards, whatever is returned.
    bool (*finish)(void* running, mutable_bytes out) noexcept = nullptr;
    void (*abandon)(void* running) noexcept = nullptr;

    constexpr bool offered() const noexcept {
        return begin != nullptr && update != nullptr && finish != nullptr && abandon != nullptr;
    }
};

// One digest on its way. It owns the provider's state and gives it back on every way out; it may be
// moved, and what it was moved from is idle.
class running_digest {
  public:
    running_digest() noexcept = default;
    running_digest(running_digest&& from) noexcept
        : with_(from.with_), state_(std::exchange(from.state_, nullptr)),
          algorithm_(from.algorithm_) {}
    running_digest& operator=(running_digest&& from) noexcept {
        if (this == &from) return *this;
        abandon();
        with_ = from.with_;
        state_ = std::exchange(from.state_, nullptr);
        algorithm_ = from.algorithm_;
        return *this;
    }
    ~running_digest() { abandon(); }

    // Starts anew; what was running is abandoned, whatever comes of it. The table is copied, what
    // its context points to is not. crypto_missing, crypto_failed: nothing runs.
    errc begin(const digests& with, digest_algorithm algorithm) noexcept {
        abandon();
        if (!with.offered()) return errc::crypto_missing;
        with_ = with;
        algorithm_ = algorithm;
        state_ = with_.begin(with_.context, algorithm);
        return state_ != nullptr ? errc::none : errc::crypto_failed;
    }

    // not_now: nothing runs. crypto_failed: and nothing runs any more.
    errc update(bytes data) noexcept {
        if (state_ == nullptr) return errc::not_now;
        if (data.empty() || with_.update(state_, data)) return errc::none;
        abandon();
        return errc::crypto_failed;
    }

    // Fills `out`. not_now: nothing runs. argument_invalid: `out` is not of the digest's size, and
    // it still runs. crypto_failed: there is no digest, and `out` may hold anything.
    errc finish(mutable_bytes out) noexcept {
        if (state_ == nullptr) return errc::not_now;
        if (out.size() != digest_size(algorithm_)) return errc::argument_invalid;
        return with_.finish(std::exchange(state_, nullptr), out) ? errc::none : errc::crypto_failed;
    }

    void abandon() noexcept {
        if (state_ != nullptr) with_.abandon(std::exchange(state_, nullptr));
    }

    bool running() const noexcept { return state_ != nullptr; }

  private:
    digests with_;
    void* state_ = nullptr;
    digest_algorithm algorithm_ = digest_algorithm::sha256;
};

} // namespace walwire::auth
