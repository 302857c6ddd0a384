#include "signals.hpp"

#include <fcntl.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "failure.hpp"

namespace posix {

namespace {

std::atomic<int> pipe_end = -1;
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch nothing else");

// When the pipe is full somebody has been told long ago.
void tell(int signal) {
    const int before = errno;
    const auto number = static_cast<unsigned char>(signal);
    [[maybe_unused]] const ssize_t written = ::write(pipe_end.load(), &number, 1);
    errno = before;
}

} // namespace

signals::signals() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) fail("could not create a pipe", errno);
    reading_ = descriptor(ends[0]);
    writing_ = descriptor(ends[1]);
    pipe_end = ends[1];

    struct sigaction action {};
    action.sa_handler = tell;
    action.sa_flags = SA_RESTART; // poll comes back all the same
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGINT, &action, &interrupt_);
    ::sigaction(SIGTERM, &action, &terminate_);
    ::sigaction(SIGHUP, nullptr, &hang_up_);
    if (hang_up_.sa_handler != SIG_IGN) ::sigaction(SIGHUP, &action, nullptr);
    action.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &action, &pipe_);
}

signals::~signals() {
    ::sigaction(SIGINT, &interrupt_, nullptr);
    ::sigaction(SIGTERM, &terminate_, nullptr);
    ::sigaction(SIGHUP, &hang_up_, nullptr);
    ::sigaction(SIGPIPE, &pipe_, nullptr);
    pipe_end = -1;
}

int signals::take() noexcept {
    unsigned char signal = 0;
    ssize_t size = 0;
    do size = ::read(reading_.number(), &signal, 1);
    while (size < 0 && errno == EINTR);
    return size == 1 ? signal : 0;
}

} // namespace posix
