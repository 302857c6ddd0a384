// SIGINT, SIGTERM and SIGHUP as a descriptor to poll.
//
// A handler may do next to nothing, so it writes the signal's number into a pipe whose other end
// the receive loop waits on together with its socket: no signal is missed between a check and a
// sleep. One at a time may exist. Leaving it gives the signals back to whoever had them.
//
// A SIGHUP that was ignored before stays ignored, as nohup has it. SIGPIPE is ignored: whoever read
// our output may go away, and that must not keep us from cleaning up.
#pragma once

#include <csignal>

#include "descriptor.hpp"

namespace posix {

class signals {
  public:
    signals();
    ~signals();
    signals(const signals&) = delete;
    signals& operator=(const signals&) = delete;

    // Readable once a signal has come, until taken.
    int number() const noexcept { return reading_.number(); }
    // The signal that came, or 0.
    int take() noexcept;

  private:
    descriptor reading_;
    descriptor writing_;
    struct sigaction interrupt_ {};
    struct sigaction terminate_ {};
    struct sigaction hang_up_ {};
    struct sigaction pipe_ {};
};

} // namespace posix
