#include "socket.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <memory>

#include "failure.hpp"

namespace posix {

namespace {

std::int64_t read_clock(clockid_t clock) noexcept {
    timespec at{};
    ::clock_gettime(clock, &at);
    return static_cast<std::int64_t>(at.tv_sec) * walwire::second + at.tv_nsec / 1000;
}

// poll counts in milliseconds. Rounding up keeps a deadline from being met by a burst of empty
// polls.
int poll_timeout(std::int64_t deadline) noexcept {
    if (deadline == walwire::never) return -1;
    const std::int64_t at = now().steady;
    if (deadline <= at) return 0; // a session's "at once" is the distant past
    return static_cast<int>(
        std::min<std::int64_t>((deadline - at) / walwire::millisecond + 1, INT_MAX));
}

address unix_address(std::string_view directory, const std::string& port) {
    const std::string path = std::string(directory) + "/.s.PGSQL." + port;
    address place;
    auto* const local = reinterpret_cast<sockaddr_un*>(&place.storage);
    if (path.size() >= sizeof local->sun_path)
        throw failure("the Unix-domain socket path " + quoted(path) + " is too long");
    local->sun_family = AF_UNIX;
    // An abstract name begins with a NUL in place of its '@' and is as long as it is.
    const bool abstract = path[0] == '@';
    std::memcpy(local->sun_path, path.data(), path.size());
    if (abstract) local->sun_path[0] = '\0';
    place.size =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
    place.text = "socket " + quoted(path);
    return place;
}

void set(int number, int level, int name, int value, const char* what) {
    if (::setsockopt(number, level, name, &value, sizeof value) != 0)
        fail(std::string("could not set ") + what, errno);
}

void tune(int number, sa_family_t family, const socket_options& options) {
    if (family == AF_UNIX) return;
    set(number, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    set(number, SOL_SOCKET, SO_KEEPALIVE, options.keepalives ? 1 : 0, "SO_KEEPALIVE");
    if (options.keepalives && options.keepalives_idle > 0)
        set(number, IPPROTO_TCP, TCP_KEEPIDLE, options.keepalives_idle, "TCP_KEEPIDLE");
    if (options.keepalives && options.keepalives_interval > 0)
        set(number, IPPROTO_TCP, TCP_KEEPINTVL, options.keepalives_interval, "TCP_KEEPINTVL");
    if (options.keepalives && options.keepalives_count > 0)
        set(number, IPPROTO_TCP, TCP_KEEPCNT, options.keepalives_count, "TCP_KEEPCNT");
#ifdef TCP_USER_TIMEOUT
    if (options.user_timeout_ms > 0)
        set(number, IPPROTO_TCP, TCP_USER_TIMEOUT, options.user_timeout_ms, "TCP_USER_TIMEOUT");
#endif
}

// One attempt. The system goes on connecting while we poll; SO_ERROR then says how it went, also
// after an EINTR, which does not stop the attempt.
descriptor connect_one(const address& place, std::int64_t deadline, const socket_options& options,
                       int wake) {
    descriptor made(
        ::socket(place.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!made) fail("could not create a socket", errno);
    tune(made.number(), place.storage.ss_family, options);
    if (::connect(made.number(), reinterpret_cast<const sockaddr*>(&place.storage), place.size) ==
        0)
        return made;
    if (errno != EINPROGRESS && errno != EINTR) throw failure(reason(errno), errno);

    const readiness found = wait(made.number(), {.read = false, .write = true}, deadline, wake);
    if (found.woken) throw interrupted();
    if (found.timed_out()) throw failure("no answer in time", ETIMEDOUT);
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(made.number(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) throw failure(reason(error), error);
    return made;
}

} // namespace

walwire::instant now() noexcept {
    return {.steady = read_clock(CLOCK_MONOTONIC), .wall = read_clock(CLOCK_REALTIME)};
}

std::vector<address> resolve(const walwire::conninfo& info) {
    const std::string port = std::to_string(info.port);
    if (info.local()) return {unix_address(info.host, port)};

    const bool numeric = !info.hostaddr.empty();
    const std::string host(info.host);
    const std::string name(numeric ? info.hostaddr : info.host);
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = numeric ? AI_NUMERICHOST : 0;
    addrinfo* found = nullptr;
    const int status = ::getaddrinfo(name.c_str(), port.c_str(), &hints, &found);
    const int system = errno;
    if (status != 0)
        throw failure("could not resolve " + quoted(name) + ", port " + port + ": " +
                          (status == EAI_SYSTEM ? reason(system) : ::gai_strerror(status)),
                      status == EAI_SYSTEM ? system : 0);
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, ::freeaddrinfo);

    std::vector<address> places;
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
        if (at->ai_addrlen > sizeof(sockaddr_storage)) continue;
        address place;
        std::memcpy(&place.storage, at->ai_addr, at->ai_addrlen);
        place.size = at->ai_addrlen;
        std::array<char, NI_MAXHOST> digits{};
        ::getnameinfo(at->ai_addr, at->ai_addrlen, digits.data(), digits.size(), nullptr, 0,
                      NI_NUMERICHOST);
        place.text = quoted(host.empty() ? name : host);
        if (place.text != quoted(digits.data()))
            place.text.append(" (").append(digits.data()).append(")");
        place.text += ", port " + port;
        places.push_back(std::move(place));
    }
    return places;
}

readiness wait(int number, interest wanted, std::int64_t deadline, int wake) {
    const auto events =
        static_cast<short>((wanted.read ? POLLIN : 0) | (wanted.write ? POLLOUT : 0));
    std::array<pollfd, 2> polled{{{number, events, 0}, {wake, POLLIN, 0}}}; // poll skips -1
    for (;;) {
        const int count = ::poll(polled.data(), polled.size(), poll_timeout(deadline));
        if (count < 0 && errno != EINTR) fail("could not poll", errno);
        if (count < 0) continue;
        // More than 24 days away, poll_timeout had to be cut short.
        if (count == 0 && poll_timeout(deadline) != 0) continue;
        const bool broken = (polled[0].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
        return {.read = broken || (polled[0].revents & POLLIN) != 0,
                .write = broken || (polled[0].revents & POLLOUT) != 0,
                .woken = polled[1].revents != 0};
    }
}

int socket::try_read(walwire::mutable_bytes room, arrival& got) noexcept {
    got = {};
    if (room.empty()) return 0;
    ssize_t size = 0;
    do size = ::recv(number(), room.data(), room.size(), 0);
    while (size < 0 && errno == EINTR);
    if (size < 0) return errno == EWOULDBLOCK ? EAGAIN : errno;
    got.size = static_cast<std::size_t>(size);
    got.end = size == 0;
    return 0;
}

arrival socket::read(walwire::mutable_bytes room) {
    arrival got;
    const int error = try_read(room, got);
    if (error != 0 && error != EAGAIN) fail("lost the connection to " + peer_, error);
    return got;
}

int socket::try_write(walwire::gather out, std::size_t& taken) noexcept {
    taken = 0;
    if (out.empty()) return 0;
    // The system only reads what an iovec points at; its type cannot say so.
    std::array<iovec, 2> pieces{{{const_cast<std::byte*>(out.head.data()), out.head.size()},
                                 {const_cast<std::byte*>(out.body.data()), out.body.size()}}};
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    ssize_t size = 0;
    do
        size =
            deaf_ ? static_cast<ssize_t>(out.size()) : ::sendmsg(number(), &message, MSG_NOSIGNAL);
    while (size < 0 && errno == EINTR);
    if (size < 0 && (errno == EPIPE || errno == ECONNRESET)) {
        deaf_ = true;
        size = static_cast<ssize_t>(out.size());
    }
    if (size < 0) return errno == EWOULDBLOCK ? EAGAIN : errno;
    taken = static_cast<std::size_t>(size);
    return 0;
}

std::size_t socket::write(walwire::gather out) {
    std::size_t taken = 0;
    const int error = try_write(out, taken);
    if (error != 0 && error != EAGAIN) fail("lost the connection to " + peer_, error);
    return taken;
}

socket connect(const std::vector<address>& places, std::int64_t deadline,
               const socket_options& options, int wake) {
    std::string reasons;
    int code = 0;
    for (std::size_t i = 0; i < places.size(); ++i) {
        const std::int64_t at = now().steady;
        const auto left = static_cast<std::int64_t>(places.size() - i);
        const std::int64_t share =
            deadline == walwire::never || deadline <= at ? deadline : at + (deadline - at) / left;
        try {
            return {connect_one(places[i], share, options, wake), places[i].text};
        } catch (const failure& refused) {
            reasons += (reasons.empty() ? "" : "; ") + places[i].text + ": " + refused.what();
            code = refused.code();
        }
    }
    throw failure("could not connect to " + (reasons.empty() ? "nowhere" : reasons), code);
}

} // namespace posix
