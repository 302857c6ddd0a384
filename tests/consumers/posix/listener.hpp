// The socket that clients come to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "socket.hpp"

namespace posix {

class listener {
  public:
    // Resolves, binds and listens; port "0" is one that is free. Throws failure.
    listener(const std::string& host, const std::string& port);

    // The next client that is waiting, or none. When the system has no room for one, nobody is
    // asked for a tenth of a second: the descriptor would stay readable, and the loop would spin.
    std::optional<socket> accept(std::int64_t now);

    // To be polled for reading, unless it is waiting for room until resting_until().
    int number() const noexcept { return listening_.number(); }
    // On the steady clock; the past where it is not resting.
    std::int64_t resting_until() const noexcept { return resting_until_; }
    void close() noexcept { listening_.close(); }

    // "127.0.0.1:5432" or "[::1]:5432", with the port that was chosen.
    const std::string& place() const noexcept { return place_; }

  private:
    descriptor listening_;
    std::string place_;
    std::int64_t resting_until_ = 0;
};

} // namespace posix
