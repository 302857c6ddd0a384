// Encoded messages that wait to be written, in a caller's span.
//
// A message goes in whole or not at all, so a full outbox never holds half of one. What was put
// stays where it is until consume says how much was written, because an adapter may have handed the
// view to the kernel; only consume moves the rest to the front.
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>

#include "../bytes.hpp"
#include "../error.hpp"

namespace walwire::wire {

class outbox {
  public:
    explicit outbox(mutable_bytes room) noexcept : room_(room) {}

    // Calls put(writer&) on the free room; it may return a code of its own. output_full: the
    // message does not fit behind what waits; argument_too_long: it does not fit even though
    // nothing waits. The outbox is unchanged whenever the code is not none.
    template <class Put>
    errc put(Put&& put_into) noexcept {
        writer out(room_.subspan(size_));
        if constexpr (std::is_same_v<decltype(put_into(out)), errc>) {
            const errc code = put_into(out);
            if (code == errc::output_full) return no_room();
            if (code != errc::none) return code;
        } else {
            put_into(out);
        }
        if (!out.ok()) return no_room();
        size_ += out.size();
        return errc::none;
    }

    // As put, for a message that holds a secret: its bytes are wiped once they are written, and at
    // once when it was refused halfway.
    template <class Put>
    errc put_secret(Put&& put_into) noexcept {
        const errc code = put(put_into);
        if (code != errc::none) wipe(room_.subspan(size_));
        secret_ = secret_ || code == errc::none;
        return code;
    }

    bytes waiting() const noexcept { return room_.first(size_); }
    bool empty() const noexcept { return size_ == 0; }
    std::size_t capacity() const noexcept { return room_.size(); }

    // The first `size` bytes were written. More than wait are as many as wait.
    void consume(std::size_t size) noexcept {
        size = size < size_ ? size : size_;
        const std::size_t rest = size_ - size;
        if (rest > 0 && size > 0) std::memmove(room_.data(), room_.data() + size, rest);
        if (secret_) wipe(room_.subspan(rest, size));
        size_ = rest;
        secret_ = secret_ && rest > 0;
    }

    void clear() noexcept { consume(size_); }

  private:
    // To write what waits helps only where something does.
    errc no_room() const noexcept {
        return size_ == 0 ? errc::argument_too_long : errc::output_full;
    }

    mutable_bytes room_;
    std::size_t size_ = 0;
    bool secret_ = false;
};

} // namespace walwire::wire
