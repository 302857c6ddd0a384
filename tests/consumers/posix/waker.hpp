// Wakes a thread that waits in poll for something else.
#pragma once

#include <fcntl.h>

#include <array>
#include <cerrno>

#include "descriptor.hpp"
#include "failure.hpp"

namespace posix {

class waker {
  public:
    waker() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0)
            fail("could not create a pipe", errno);
        reading_ = descriptor(ends[0]);
        writing_ = descriptor(ends[1]);
    }

    // Readable from ring() on, until rest().
    int number() const noexcept { return reading_.number(); }
    // When the pipe is full somebody has rung long ago.
    void ring() const noexcept {
        [[maybe_unused]] const ssize_t written = ::write(writing_.number(), "", 1);
    }
    void rest() const noexcept {
        std::array<char, 64> room{};
        while (::read(reading_.number(), room.data(), room.size()) > 0) {
        }
    }

  private:
    descriptor reading_;
    descriptor writing_;
};

} // namespace posix
