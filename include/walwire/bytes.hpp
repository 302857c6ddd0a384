// Spans of bytes, and a reader and a writer over them that remember their first failure.
//
// A decoder reads every field in order and asks once, at the end, whether all of them were there:
//
//     reader in(body);
//     const auto pid = in.u32();
//     const auto key = in.rest();
//     if (!in.ok()) ...            // some field ran past the end; what was read is zero or empty
//
// An encoder writes every field and asks once whether all of them fitted. Neither ever touches a
// byte outside its span. PostgreSQL's wire is big-endian; WAL pages and the AionDB dialect are
// little-endian, so the byte order is a template parameter with the wire's as the default.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "config.hpp"

namespace walwire {

using bytes = std::span<const std::byte>;
using mutable_bytes = std::span<std::byte>;

// The same bytes seen as text, and text seen as bytes. No copy, no terminator, no encoding implied.
inline std::string_view as_text(bytes data) noexcept {
    return {reinterpret_cast<const char*>(data.data()), data.size()};
}
inline bytes as_bytes(std::string_view text) noexcept {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

namespace detail {

// std::byteswap is C++23. The builtins are one instruction at every optimisation level; the loop,
// which serves compilers without them, is one only where the optimiser recognises it.
template <std::unsigned_integral T>
constexpr T swap_bytes(T value) noexcept {
#if defined(__GNUC__) || defined(__clang__)
    if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
    if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
    if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
#endif
    T swapped = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        const auto byte = static_cast<T>((value >> (8 * i)) & 0xff);
        swapped = static_cast<T>(swapped | static_cast<T>(byte << (8 * (sizeof(T) - 1 - i))));
    }
    return swapped;
}

// Fowler, Noll and Vo's hash of a name, for knowing it again without keeping it. Whoever chooses
// the names can make two of them alike.
constexpr std::uint64_t name_hash(std::string_view name) noexcept {
    std::uint64_t value = 0xcbf29ce484222325;
    for (const char c : name) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return value;
}

} // namespace detail

// An unsigned integer at `at`, which need not be aligned. The caller has checked the size.
template <std::unsigned_integral T, std::endian Order = std::endian::big>
T load(const std::byte* at) noexcept {
    T value;
    std::memcpy(&value, at, sizeof(T));
    if constexpr (Order != std::endian::native && sizeof(T) > 1) value = detail::swap_bytes(value);
    return value;
}

template <std::unsigned_integral T, std::endian Order = std::endian::big>
void store(std::byte* at, T value) noexcept {
    if constexpr (Order != std::endian::native && sizeof(T) > 1) value = detail::swap_bytes(value);
    std::memcpy(at, &value, sizeof(T));
}

// Reads fields off the front of a span. After the first field that is not wholly there every read
// gives zero or an empty view, and ok() stays false.
template <std::endian Order>
class basic_reader {
  public:
    explicit basic_reader(bytes data) noexcept : rest_(data) {}

    std::uint8_t u8() noexcept { return take_integer<std::uint8_t>(); }
    std::uint16_t u16() noexcept { return take_integer<std::uint16_t>(); }
    std::uint32_t u32() noexcept { return take_integer<std::uint32_t>(); }
    std::uint64_t u64() noexcept { return take_integer<std::uint64_t>(); }
    std::int16_t i16() noexcept { return static_cast<std::int16_t>(u16()); }
    std::int32_t i32() noexcept { return static_cast<std::int32_t>(u32()); }
    std::int64_t i64() noexcept { return static_cast<std::int64_t>(u64()); }

    // The next `size` bytes.
    bytes take(std::size_t size) noexcept {
        if (size > rest_.size()) return fail();
        const bytes taken = rest_.first(size);
        rest_ = rest_.subspan(size);
        return taken;
    }

    // The text before the next NUL; the NUL is consumed and is not part of it.
    std::string_view c_string() noexcept {
        const std::size_t size = as_text(rest_).find('\0');
        if (size == std::string_view::npos) return as_text(fail());
        const std::string_view text = as_text(rest_.first(size));
        rest_ = rest_.subspan(size + 1);
        return text;
    }

    // All that is left.
    bytes rest() noexcept { return take(rest_.size()); }

    std::size_t left() const noexcept { return rest_.size(); }
    bool ok() const noexcept { return ok_; }
    // Every field was there and nothing stands behind the last one.
    bool done() const noexcept { return ok_ && rest_.empty(); }

  private:
    template <std::unsigned_integral T>
    T take_integer() noexcept {
        const bytes taken = take(sizeof(T));
        return taken.size() == sizeof(T) ? load<T, Order>(taken.data()) : T{0};
    }
    bytes fail() noexcept {
        ok_ = false;
        rest_ = {};
        return {};
    }

    bytes rest_;
    bool ok_ = true;
};

// Writes fields into a span, front to back. The first field that does not fit, and every field
// after it, is left out and ok() stays false: a caller that sees it throws the whole message away.
template <std::endian Order>
class basic_writer {
  public:
    explicit basic_writer(mutable_bytes room) noexcept : room_(room) {}

    void u8(std::uint8_t value) noexcept { put_integer(value); }
    void u16(std::uint16_t value) noexcept { put_integer(value); }
    void u32(std::uint32_t value) noexcept { put_integer(value); }
    void u64(std::uint64_t value) noexcept { put_integer(value); }
    void i16(std::int16_t value) noexcept { u16(static_cast<std::uint16_t>(value)); }
    void i32(std::int32_t value) noexcept { u32(static_cast<std::uint32_t>(value)); }
    void i64(std::int64_t value) noexcept { u64(static_cast<std::uint64_t>(value)); }

    void append(bytes data) noexcept {
        if (!fits(data.size())) return;
        if (!data.empty()) std::memcpy(room_.data() + size_, data.data(), data.size());
        size_ += data.size();
    }
    void append(std::string_view text) noexcept { append(as_bytes(text)); }

    // The text and a NUL. Text that holds a NUL cannot be said on this wire and is refused like
    // text that does not fit; callers that owe a better message check first.
    void c_string(std::string_view text) noexcept {
        if (text.find('\0') != std::string_view::npos) ok_ = false;
        append(text);
        u8(0);
    }

    // Overwrites four bytes already written: a length that was not known when its place came.
    void patch_u32(std::size_t at, std::uint32_t value) noexcept {
        WALWIRE_ASSERT(!ok_ || at + 4 <= size_);
        if (ok_) store<std::uint32_t, Order>(room_.data() + at, value);
    }

    std::size_t size() const noexcept { return size_; }
    std::size_t left() const noexcept { return room_.size() - size_; }
    bool ok() const noexcept { return ok_; }
    bytes written() const noexcept { return room_.first(size_); }

  private:
    bool fits(std::size_t size) noexcept {
        ok_ = ok_ && size <= room_.size() - size_;
        return ok_;
    }
    template <std::unsigned_integral T>
    void put_integer(T value) noexcept {
        if (!fits(sizeof(T))) return;
        store<T, Order>(room_.data() + size_, value);
        size_ += sizeof(T);
    }

    mutable_bytes room_;
    std::size_t size_ = 0;
    bool ok_ = true;
};

using reader = basic_reader<std::endian::big>;
using writer = basic_writer<std::endian::big>;
using little_reader = basic_reader<std::endian::little>;
using little_writer = basic_writer<std::endian::little>;

// Secrets are compared in a time that depends on their sizes only, and wiped when they are done
// with: the barrier keeps a compiler from dropping stores to memory that nobody reads again.
inline bool equal_in_constant_time(bytes a, bytes b) noexcept {
    if (a.size() != b.size()) return false;
    std::uint8_t difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        difference =
            static_cast<std::uint8_t>(difference | std::to_integer<std::uint8_t>(a[i] ^ b[i]));
    return difference == 0;
}

inline void wipe(mutable_bytes secret) noexcept {
    volatile std::byte* at = secret.data();
    for (std::size_t i = 0; i < secret.size(); ++i) at[i] = std::byte{0};
}

} // namespace walwire
