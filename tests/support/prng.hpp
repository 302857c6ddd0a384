// Random numbers that are the same on every machine for the same seed.
//
// The standard's generators are portable but its distributions are not, so a failing seed that
// somebody reports must not go through them. This is xoshiro256** with its state filled by
// splitmix64, both by Vigna and Blackman (prng.di.unimi.it), and a few questions that simulations
// ask.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace support {

class prng {
  public:
    using result_type = std::uint64_t;

    constexpr explicit prng(std::uint64_t seed) noexcept {
        for (std::uint64_t& word : state_) {
            seed += 0x9e3779b97f4a7c15;
            std::uint64_t mixed = seed;
            mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
            mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
            word = mixed ^ (mixed >> 31);
        }
    }

    constexpr std::uint64_t operator()() noexcept {
        const std::uint64_t value = rotated(state_[1] * 5, 7) * 9;
        const std::uint64_t shifted = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= shifted;
        state_[3] = rotated(state_[3], 45);
        return value;
    }
    static constexpr std::uint64_t min() noexcept { return 0; }
    static constexpr std::uint64_t max() noexcept { return UINT64_MAX; }

    // A number below `bound`, each as likely as the next; 0 when the bound is 0.
    constexpr std::uint64_t below(std::uint64_t bound) noexcept {
        if (bound == 0) return 0;
        const std::uint64_t fair = UINT64_MAX - UINT64_MAX % bound;
        std::uint64_t value = (*this)();
        while (value >= fair) value = (*this)();
        return value % bound;
    }

    // A number from `first` to `last`, both possible.
    constexpr std::uint64_t between(std::uint64_t first, std::uint64_t last) noexcept {
        return last - first == UINT64_MAX ? (*this)() : first + below(last - first + 1);
    }

    // True `of` times out of `all`.
    constexpr bool chance(std::uint64_t of, std::uint64_t all) noexcept { return below(all) < of; }

    constexpr void fill(std::span<std::byte> room) noexcept {
        for (std::byte& at : room) at = static_cast<std::byte>((*this)() >> 56);
    }

  private:
    static constexpr std::uint64_t rotated(std::uint64_t value, int by) noexcept {
        return value << by | value >> (64 - by);
    }

    std::array<std::uint64_t, 4> state_{};
};

} // namespace support
