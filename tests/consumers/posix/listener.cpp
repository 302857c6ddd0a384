#include "listener.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <cerrno>
#include <memory>

#include "failure.hpp"
#include "messages.hpp"

namespace posix {

namespace {

constexpr int backlog = 128;

std::string text_of(const sockaddr_storage& at, socklen_t size) {
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> port{};
    ::getnameinfo(reinterpret_cast<const sockaddr*>(&at), size, host.data(), host.size(),
                  port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV);
    const std::string name = host.data();
    return (at.ss_family == AF_INET6 ? '[' + name + ']' : name) + ':' + port.data();
}

void set(int number, int level, int name) noexcept {
    const int on = 1;
    ::setsockopt(number, level, name, &on, sizeof on);
}

descriptor bind_one(const addrinfo& place) {
    descriptor made(::socket(place.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!made) return made;
    set(made.number(), SOL_SOCKET, SO_REUSEADDR); // a server that was stopped just now
    if (::bind(made.number(), place.ai_addr, place.ai_addrlen) != 0 ||
        ::listen(made.number(), backlog) != 0)
        return {};
    return made;
}

} // namespace

listener::listener(const std::string& host, const std::string& port) {
    const std::string wanted = quoted(host + ':' + port);
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE;
    addrinfo* found = nullptr;
    const int status =
        ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
    if (status != 0)
        throw failure("could not resolve " + wanted + ": " +
                      (status == EAI_SYSTEM ? reason(errno) : ::gai_strerror(status)));
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, ::freeaddrinfo);
    int error = 0;
    for (const addrinfo* at = found; at != nullptr && !listening_; at = at->ai_next) {
        listening_ = bind_one(*at);
        error = errno;
    }
    if (!listening_) fail("could not listen on " + wanted, error);
    sockaddr_storage at{};
    socklen_t size = sizeof at;
    ::getsockname(number(), reinterpret_cast<sockaddr*>(&at), &size);
    place_ = text_of(at, size);
}

std::optional<socket> listener::accept(std::int64_t now) {
    for (;;) {
        sockaddr_storage from{};
        socklen_t size = sizeof from;
        descriptor made(::accept4(number(), reinterpret_cast<sockaddr*>(&from), &size,
                                  SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (made) {
            set(made.number(), IPPROTO_TCP, TCP_NODELAY);
            set(made.number(), SOL_SOCKET, SO_KEEPALIVE);
            return socket(std::move(made), text_of(from, size));
        }
        switch (errno) {
        case EAGAIN: return std::nullopt;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            if (resting_until_ == 0) say("could not accept a client: " + reason(errno));
            resting_until_ = now + walwire::second / 10;
            return std::nullopt;
        case EBADF:
        case EINVAL:
        case ENOTSOCK: fail("could not accept a client", errno);
        default: break; // this client is gone already
        }
    }
}

} // namespace posix
