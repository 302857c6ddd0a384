// CRC-32C, the checksum of WAL records, of pg_control and of backup manifests.
//
// A CRC reads bytes as the coefficients of one long polynomial over {0, 1}, first byte highest, and
// keeps the remainder of its division by a fixed one; here by Castagnoli's, 0x1EDC6F41:
//
//     remainder of  (bytes so far) * x^32  modulo  P = x^32 + x^28 + x^27 + x^26 + x^25 + ... + 1
//
// It is reflected: bit 0 of a byte, and so of a word, holds the highest power, which makes P the
// number 0x82F63B78 and a step to the next power a shift to the right. The remainder begins as all
// ones, so that leading zeros count, and is inverted at the end. It finds damage; it is no digest,
// and anybody can make bytes for any value.
//
// A record's checksum is over what follows its header first, and then the 20 bytes of the header
// before it. A manifest prints the value's bytes in memory, which on the servers there are means
// the lowest first: E3069283 is "839206e3".
//
// There are three ways to get the same value, and the fastest that the processor has is taken:
//
//     portable    eight bytes at once by eight tables, one for each distance from the end
//     one_way     the processor's instruction, for 8 bytes each; but each waits for the one before
//     folded      that instruction on three runs side by side, which keeps it busy, and beside them
//                 the multiplier of polynomials on a fourth; from 128 bytes on:
//
//         | run 0: 32 n bytes in two lanes | run 1: 32 n | run 2: 32 n | run 3: 32 n bytes |
//           L0   L1                          word by word, three crc32 at a time
//             \    \       each lane is multiplied by x^256 modulo P and added to what stands
//              L0'  L1'    32 bytes behind it
//
//     The sum has the remainder that both had, so in the end the lanes have that of all the run.
//     And a remainder that has k bytes behind it counts x^8k times: the first three are multiplied
//     by that, from a table, and added to the fourth. (One begins in every cycle and takes three:
//     one way goes at 8/3 bytes a cycle, three runs go at 8, and with the fourth at 32/3.)
//
// Source of truth: the manual's "Backup Manifest Format"; src/include/access/xlogrecord.h; RFC 3720
// appendix B.4. Folding is from "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
// Instruction" (Intel, 2009); instruction and multiplier side by side from corsix's fast-crc32.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../bytes.hpp"

#if defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace walwire::wal {

namespace detail {

enum class crc_way : std::uint8_t { portable, one_way, folded };

// What is folded comes in so many bytes. For less, joining the runs would cost more than it saves.
inline constexpr std::size_t crc_fold_size = 128;

// What follows is in reflected order: the highest bit is x^0.
inline constexpr std::uint32_t crc_polynomial = 0x82f63b78;

// One power more.
constexpr std::uint32_t crc_times_x(std::uint32_t value) noexcept {
    return (value >> 1) ^ ((value & 1) != 0 ? crc_polynomial : 0);
}

constexpr std::uint32_t crc_product(std::uint32_t a, std::uint32_t b) noexcept {
    std::uint32_t product = 0;
    for (; a != 0; a <<= 1) {
        if (a >> 31 != 0) product ^= b;
        b = crc_times_x(b);
    }
    return product;
}

// x^power modulo P.
constexpr std::uint32_t crc_power(std::uint32_t power) noexcept {
    std::uint32_t value = 0x80000000;
    for (std::uint32_t square = value >> 1; power != 0; power >>= 1) {
        if ((power & 1) != 0) value = crc_product(value, square);
        square = crc_product(square, square);
    }
    return value;
}

// Plain arrays, of which a compiler that evaluates them makes less work than of std::array.
struct crc_slice_tables {
    std::uint32_t at[8][256];
};

// at[k][b] is what byte b comes to when k bytes stand behind it. A sum of bytes comes to the sum.
constexpr crc_slice_tables crc_make_slices() noexcept {
    crc_slice_tables made{};
    std::uint32_t value = 1; // x^31
    for (std::size_t bit = 128; bit > 0; bit >>= 1) {
        value = crc_times_x(value);
        for (std::size_t sum = 0; sum < 256; sum += 2 * bit)
            made.at[0][sum + bit] = made.at[0][sum] ^ value;
    }
    for (std::size_t k = 1; k < 8; ++k) {
        for (std::size_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t before = made.at[k - 1][byte];
            made.at[k][byte] = (before >> 8) ^ made.at[0][before & 0xff];
        }
    }
    return made;
}

inline constexpr crc_slice_tables crc_slices = crc_make_slices();

constexpr std::uint32_t crc_byte(std::uint32_t state, std::byte next) noexcept {
    return crc_slices.at[0][(state ^ std::to_integer<std::uint32_t>(next)) & 0xff] ^ (state >> 8);
}

// Each way goes on from `state`, which is the inverse of a value. This one is seldom taken where
// there is another and large for its callers, yet not cold where it is the only one.
[[gnu::noinline]] inline std::uint32_t crc_portable(std::uint32_t state, bytes data) noexcept {
    const std::byte* at = data.data();
    std::size_t left = data.size();
    for (; left >= 8; at += 8, left -= 8) {
        const std::uint32_t low = load<std::uint32_t, std::endian::little>(at) ^ state;
        const auto high = load<std::uint32_t, std::endian::little>(at + 4);
        state = (crc_slices.at[7][low & 0xff] ^ crc_slices.at[6][low >> 8 & 0xff]) ^
                (crc_slices.at[5][low >> 16 & 0xff] ^ crc_slices.at[4][low >> 24]) ^
                (crc_slices.at[3][high & 0xff] ^ crc_slices.at[2][high >> 8 & 0xff] ^
                 crc_slices.at[1][high >> 16 & 0xff] ^ crc_slices.at[0][high >> 24]);
    }
    for (; left > 0; ++at, --left) state = crc_byte(state, *at);
    return state;
}

// The compilers' builtins spare us the headers of intrinsics, which are among the heaviest there
// are. What a function is compiled for says its attribute; who calls it has asked the processor.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(_MSC_VER)

[[gnu::target("sse4.2")]] inline std::uint32_t crc_one_way(std::uint32_t state,
                                                           bytes data) noexcept {
    constexpr std::endian little = std::endian::little;
    const std::byte* at = data.data();
    const std::size_t size = data.size();
    std::uint64_t wide = state;
    for (const std::byte* const end = at + size / 8 * 8; at != end; at += 8)
        wide = __builtin_ia32_crc32di(wide, load<std::uint64_t, little>(at));
    state = static_cast<std::uint32_t>(wide);
    if ((size & 4) != 0) {
        state = __builtin_ia32_crc32si(state, load<std::uint32_t, little>(at));
        at += 4;
    }
    if ((size & 2) != 0) {
        state = __builtin_ia32_crc32hi(state, load<std::uint16_t, little>(at));
        at += 2;
    }
    if ((size & 1) != 0) state = __builtin_ia32_crc32qi(state, load<std::uint8_t>(at));
    return state;
}

// The most at once: some 10 KiB, so that the table stays at 1 KiB.
inline constexpr std::size_t crc_folds_max = 85;

struct crc_shift_table {
    std::uint32_t at[3 * crc_folds_max + 1];
};

// at[k] is what a remainder is multiplied by when 32 k bytes stand behind it. Both factors stand in
// words of twice their size and their product, being reflected, is one power short; then crc32
// multiplies by x^32. Hence the 33 powers that are missing here.
constexpr crc_shift_table crc_make_shifts() noexcept {
    crc_shift_table made{};
    std::uint32_t value = crc_power(256 - 33);
    for (std::size_t k = 1; k <= 3 * crc_folds_max; ++k) {
        made.at[k] = value;
        for (int eights = 0; eights < 4; ++eights) {
            value = crc_slices.at[7][value & 0xff] ^ crc_slices.at[6][value >> 8 & 0xff] ^
                    crc_slices.at[5][value >> 16 & 0xff] ^ crc_slices.at[4][value >> 24];
        }
    }
    return made;
}

inline constexpr crc_shift_table crc_shifts = crc_make_shifts();

using crc_lane [[gnu::vector_size(16)]] = long long;

inline crc_lane crc_load_lane(const std::byte* at) noexcept {
    crc_lane lane;
    std::memcpy(&lane, at, sizeof lane);
    return lane;
}

// The lane that stands 32 bytes further on, and this one added to it. The lower word has the higher
// powers, so it goes 64 bits further.
[[gnu::target("sse4.2,pclmul")]] inline crc_lane crc_fold(crc_lane lane,
                                                          const std::byte* next) noexcept {
    constexpr crc_lane by = {crc_power(256 + 64 - 33), crc_power(256 - 33)};
    return __builtin_ia32_pclmulqdq128(lane, by, 0x00) ^
           __builtin_ia32_pclmulqdq128(lane, by, 0x11) ^ crc_load_lane(next);
}

[[gnu::target("sse4.2,pclmul")]] inline std::uint64_t crc_shift(std::uint64_t state,
                                                                std::size_t k) noexcept {
    const crc_lane a = {static_cast<long long>(state), 0};
    const crc_lane b = {crc_shifts.at[k], 0};
    return static_cast<std::uint64_t>(__builtin_ia32_pclmulqdq128(a, b, 0x00)[0]);
}

// 128 n bytes, n from 1 to crc_folds_max.
[[gnu::target("sse4.2,pclmul")]] inline std::uint32_t
crc_fold_runs(std::uint32_t state, const std::byte* at, std::size_t n) noexcept {
    constexpr std::endian little = std::endian::little;
    const std::byte* one = at + 32 * n;
    const std::size_t run = 32 * n;
    const crc_lane before = {state, 0};
    crc_lane lane0 = crc_load_lane(at) ^ before;
    crc_lane lane1 = crc_load_lane(at + 16);
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    std::uint64_t c = 0;
    for (std::size_t left = n;;) {
#pragma GCC unroll 4
        for (std::size_t word = 0; word < 32; word += 8) {
            a = __builtin_ia32_crc32di(a, load<std::uint64_t, little>(one + word));
            b = __builtin_ia32_crc32di(b, load<std::uint64_t, little>(one + run + word));
            c = __builtin_ia32_crc32di(c, load<std::uint64_t, little>(one + 2 * run + word));
        }
        if (--left == 0) break;
        at += 32;
        one += 32;
        lane0 = crc_fold(lane0, at);
        lane1 = crc_fold(lane1, at + 16);
    }
    std::uint64_t whole = 0;
    const crc_lane lanes[] = {lane0, lane1};
    for (const crc_lane& lane : lanes) {
        whole = __builtin_ia32_crc32di(whole, static_cast<std::uint64_t>(lane[0]));
        whole = __builtin_ia32_crc32di(whole, static_cast<std::uint64_t>(lane[1]));
    }
    whole = crc_shift(whole, 3 * n) ^ crc_shift(a, 2 * n) ^ crc_shift(b, n);
    return static_cast<std::uint32_t>(__builtin_ia32_crc32di(0, whole) ^ c);
}

[[gnu::target("sse4.2,pclmul")]] inline std::uint32_t crc_folded(std::uint32_t state,
                                                                 bytes data) noexcept {
    while (data.size() >= crc_fold_size) {
        const std::size_t all = data.size() / crc_fold_size;
        const std::size_t n = all < crc_folds_max ? all : crc_folds_max;
        state = crc_fold_runs(state, data.data(), n);
        data = data.subspan(n * crc_fold_size);
    }
    return crc_one_way(state, data);
}

// Nothing is kept: the compiler's runtime asked the processor before main, and this is two loads.
inline bool crc_has(crc_way way) noexcept {
    switch (way) {
    case crc_way::portable: return true;
    case crc_way::one_way: return __builtin_cpu_supports("sse4.2") != 0;
    case crc_way::folded:
        return __builtin_cpu_supports("pclmul") != 0 && __builtin_cpu_supports("sse4.2") != 0;
    }
    return false;
}

#else

// Where the instruction may be used is said to compilers for ARM: -march=armv8-a+crc or later.
#if defined(__ARM_FEATURE_CRC32)

inline std::uint32_t crc_one_way(std::uint32_t state, bytes data) noexcept {
    const std::byte* at = data.data();
    std::size_t left = data.size();
    for (; left >= 8; at += 8, left -= 8)
        state = __crc32cd(state, load<std::uint64_t, std::endian::little>(at));
    for (; left > 0; ++at, --left) state = __crc32cb(state, load<std::uint8_t>(at));
    return state;
}

inline bool crc_has(crc_way way) noexcept {
    return way != crc_way::folded;
}

#else

inline std::uint32_t crc_one_way(std::uint32_t state, bytes data) noexcept {
    return crc_portable(state, data);
}

inline bool crc_has(crc_way way) noexcept {
    return way == crc_way::portable;
}

#endif

inline std::uint32_t crc_folded(std::uint32_t state, bytes data) noexcept {
    return crc_one_way(state, data);
}

#endif

// Only a way that the processor has.
inline std::uint32_t crc_extend(crc_way way, std::uint32_t state, bytes data) noexcept {
    WALWIRE_ASSERT(crc_has(way));
    switch (way) {
    case crc_way::folded: return crc_folded(state, data);
    case crc_way::one_way: return crc_one_way(state, data);
    case crc_way::portable: break;
    }
    return crc_portable(state, data);
}

inline crc_way crc_fastest(std::size_t size) noexcept {
    if (size >= crc_fold_size && crc_has(crc_way::folded)) return crc_way::folded;
    return crc_has(crc_way::one_way) ? crc_way::one_way : crc_way::portable;
}

} // namespace detail

// The checksum of bytes that come in any pieces:
//
//     crc32c sum;
//     sum.update(body).update(header.first(20));
//     if (sum.value() != stored) ...
class crc32c {
  public:
    constexpr crc32c() noexcept = default;
    // Goes on behind bytes whose value() was this.
    constexpr explicit crc32c(std::uint32_t value) noexcept : state_(~value) {}

    constexpr crc32c& update(bytes data) noexcept {
        if (std::is_constant_evaluated()) {
            for (const std::byte each : data) state_ = detail::crc_byte(state_, each);
        } else {
            state_ = detail::crc_extend(detail::crc_fastest(data.size()), state_, data);
        }
        return *this;
    }

    // Of all that was given so far; 0 if that is nothing. More may follow.
    constexpr std::uint32_t value() const noexcept { return ~state_; }

    friend constexpr bool operator==(const crc32c&, const crc32c&) noexcept = default;

  private:
    std::uint32_t state_ = 0xffffffff;
};

} // namespace walwire::wal
