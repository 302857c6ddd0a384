#include "socket.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>

#include "failure.hpp"
#include "signals.hpp"
#include "temporary_directory.hpp"
#include "transport.hpp"

using namespace posix_test;
using posix::descriptor;
using posix::failure;
using posix::now;
using walwire::conninfo;
using walwire::millisecond;

namespace {

// A listening socket on a free port of 127.0.0.1.
struct listener {
    explicit listener(int backlog = 8) : socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at;
        REQUIRE(::bind(socket.number(), reinterpret_cast<sockaddr*>(&at), size) == 0);
        REQUIRE(::listen(socket.number(), backlog) == 0);
        REQUIRE(::getsockname(socket.number(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
        port = ntohs(at.sin_port);
    }
    descriptor accept() const { return descriptor(::accept(socket.number(), nullptr, nullptr)); }
    conninfo info() const {
        conninfo made;
        made.host = "127.0.0.1";
        made.port = port;
        return made;
    }

    descriptor socket;
    std::uint16_t port = 0;
};

// Both ends of a connection.
struct pair {
    listener at;
    posix::socket near = posix::connect(posix::resolve(at.info()), walwire::never);
    descriptor far = at.accept();
};

std::int64_t soon() {
    return now().steady + 5 * walwire::second;
}

std::string message_of(auto call) {
    try {
        call();
    } catch (const failure& thrown) {
        return thrown.what();
    }
    return "nothing was thrown";
}

std::uint16_t unused_port() {
    return listener().port;
}

int option(int socket, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    REQUIRE(::getsockopt(socket, level, name, &value, &size) == 0);
    return value;
}

} // namespace

TEST_CASE("the clocks count microseconds and the steady one does not go back") {
    const walwire::instant first = now();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const walwire::instant second = now();
    CHECK(second.steady - first.steady >= 20 * millisecond);
    CHECK(second.steady - first.steady < 10 * walwire::second);
    CHECK(first.wall > 1'600'000'000 * walwire::second);
    CHECK(first.wall < 10'000'000'000 * walwire::second);
}

TEST_CASE("names, numbers and socket directories resolve to places with a readable text") {
    conninfo info;
    info.host = "127.0.0.1";
    auto places = posix::resolve(info);
    REQUIRE(places.size() == 1);
    CHECK(places[0].text == "\"127.0.0.1\", port 5432");

    info.host = "db.example.com"; // is not looked up
    info.hostaddr = "192.0.2.7";
    places = posix::resolve(info);
    REQUIRE(places.size() == 1);
    CHECK(places[0].text == "\"db.example.com\" (192.0.2.7), port 5432");

    info.hostaddr = "::1";
    CHECK(posix::resolve(info).at(0).storage.ss_family == AF_INET6);
    info.hostaddr = "localhost";
    CHECK(message_of([&] {
              posix::resolve(info);
          }).starts_with("could not resolve \"localhost\", port 5432: "));

    info.hostaddr = {};
    info.host = "no-such-host.invalid";
    CHECK(message_of([&] {
              posix::resolve(info);
          }).starts_with("could not resolve \"no-such-host.invalid\", port 5432: "));

    info.host = "/var/run/postgresql";
    places = posix::resolve(info);
    REQUIRE(places.size() == 1);
    CHECK(places[0].text == "socket \"/var/run/postgresql/.s.PGSQL.5432\"");
    const std::string deep = '/' + std::string(200, 'd');
    info.host = deep;
    CHECK(message_of([&] { posix::resolve(info); }) ==
          "the Unix-domain socket path \"" + deep + "/.s.PGSQL.5432\" is too long");
}

TEST_CASE("bytes go both ways and the end is told from nothing") {
    pair both;
    std::array<std::byte, 64> room{};
    posix::arrival got = both.near.read(room);
    CHECK(got.size == 0);
    CHECK_FALSE(got.end);
    REQUIRE(::send(both.far.number(), "abc", 3, 0) == 3);
    CHECK(posix::wait(both.near.number(), {}, soon()).read);
    got = both.near.read(room);
    CHECK(walwire::as_text(std::span(room).first(got.size)) == "abc");
    CHECK_FALSE(got.end);

    CHECK(both.near.write({walwire::as_bytes("head "), walwire::as_bytes("body")}) == 9);
    CHECK(both.near.write({{}, walwire::as_bytes("!")}) == 1);
    CHECK(both.near.write({}) == 0);
    char text[32] = {};
    CHECK(::recv(both.far.number(), text, sizeof text, MSG_WAITALL & 0) == 10);
    CHECK(std::string(text) == "head body!");

    ::shutdown(both.far.number(), SHUT_WR);
    CHECK(posix::wait(both.near.number(), {}, soon()).read);
    for (int i = 0; i < 2; ++i) {
        got = both.near.read(room);
        CHECK(got.size == 0);
        CHECK(got.end);
        CHECK_FALSE(got.truncated);
    }
}

TEST_CASE("a full socket takes what fits, in order, and says when there is room again") {
    pair both;
    const std::string head(300'000, 'h');
    const std::string body(8'000'000, 'b');
    std::string heard;
    std::size_t written = 0;
    std::size_t refused = 0;
    std::vector<char> room(1'000'000);
    while (written < head.size() + body.size()) {
        const auto rest = [&](const std::string& part, std::size_t before) {
            const std::size_t skipped = std::min(part.size(), written - std::min(written, before));
            return walwire::as_bytes(std::string_view(part).substr(skipped));
        };
        const std::size_t size = both.near.write({rest(head, 0), rest(body, head.size())});
        written += size;
        if (size > 0) continue;
        ++refused;
        CHECK(posix::wait(both.near.number(), {.read = false, .write = true}, now().steady)
                  .timed_out());
        // Room appears some time after the other end has read.
        do {
            const ssize_t got = ::recv(both.far.number(), room.data(), room.size(), MSG_DONTWAIT);
            if (got > 0) heard.append(room.data(), static_cast<std::size_t>(got));
        } while (posix::wait(both.near.number(), {.read = false, .write = true},
                             now().steady + 10 * millisecond)
                     .timed_out());
    }
    CHECK(refused > 0);
    both.near.close();
    for (ssize_t got = 0; (got = ::recv(both.far.number(), room.data(), room.size(), 0)) > 0;)
        heard.append(room.data(), static_cast<std::size_t>(got));
    CHECK(heard == head + body);
}

TEST_CASE("a peer that hangs up is still heard out, and writing to it raises no signal") {
    pair both;
    REQUIRE(::send(both.far.number(), "fatal: why", 10, 0) == 10);
    both.far.close();
    for (int i = 0; i < 10; ++i) {
        CHECK(both.near.write({walwire::as_bytes("0123456789"), {}}) == 10);
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    std::array<std::byte, 64> room{};
    CHECK(walwire::as_text(std::span(room).first(both.near.read(room).size)) == "fatal: why");
}

TEST_CASE("a connection that is reset is lost, and the message names the peer") {
    pair both;
    const linger hard{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(both.far.number(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    both.far.close();
    CHECK(posix::wait(both.near.number(), {}, soon()).read);
    std::array<std::byte, 64> room{};
    CHECK(message_of([&] { both.near.read(room); }) ==
          "lost the connection to \"127.0.0.1\", port " + std::to_string(both.at.port) +
              ": Connection reset by peer");
}

TEST_CASE("waiting ends at the deadline, not before, and not for signals") {
    pair both;
    // A storm of signals that are handled but mean nothing.
    struct sigaction nothing {};
    struct sigaction before {};
    nothing.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &nothing, &before);
    const itimerval storm{.it_interval = {0, 1000}, .it_value = {0, 1000}};
    const itimerval calm{};
    ::setitimer(ITIMER_REAL, &storm, nullptr);
    const std::int64_t deadline = now().steady + 50 * millisecond;
    const auto found = posix::wait(both.near.number(), {}, deadline);
    const std::int64_t after = now().steady;
    ::setitimer(ITIMER_REAL, &calm, nullptr);
    ::sigaction(SIGALRM, &before, nullptr);
    CHECK(found.timed_out());
    CHECK(after >= deadline);
    CHECK(after < deadline + walwire::second);
    CHECK(posix::wait(both.near.number(), {}, INT64_MIN).timed_out());
    CHECK(posix::wait(both.near.number(), {.read = true, .write = true}, walwire::never).write);
}

TEST_CASE("a signal wakes the wait and is taken once") {
    pair both;
    posix::signals signals;
    CHECK(signals.take() == 0);
    std::thread sender([] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        ::kill(::getpid(), SIGTERM);
    });
    const auto found = posix::wait(both.near.number(), {}, walwire::never, signals.number());
    sender.join();
    CHECK(found.woken);
    CHECK_FALSE(found.read);
    CHECK(signals.take() == SIGTERM);
    CHECK(signals.take() == 0);
    for (const int number : {SIGINT, SIGHUP}) {
        ::raise(number);
        CHECK(posix::wait(both.near.number(), {}, walwire::never, signals.number()).woken);
        CHECK(signals.take() == number);
    }
    // Nobody reads what we say; we live on.
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    ::close(ends[0]);
    CHECK(::write(ends[1], "x", 1) == -1);
    CHECK(errno == EPIPE);
    ::close(ends[1]);
}

TEST_CASE("signals go back to their owners") {
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
        struct sigaction before {};
        struct sigaction after {};
        ::sigaction(number, nullptr, &before);
        { posix::signals signals; }
        ::sigaction(number, nullptr, &after);
        const bool same = before.sa_handler == after.sa_handler;
        CHECK(same);
    }
}

TEST_CASE("a hang-up that was ignored stays ignored") {
    struct sigaction ignored {};
    struct sigaction before {};
    ignored.sa_handler = SIG_IGN;
    ::sigaction(SIGHUP, &ignored, &before);
    {
        posix::signals signals;
        ::raise(SIGHUP);
        CHECK(signals.take() == 0);
    }
    ::sigaction(SIGHUP, &before, nullptr);
}

TEST_CASE("places are tried in turn, and all reasons are given when none is left") {
    listener good;
    conninfo bad = good.info();
    bad.port = unused_port();
    auto places = posix::resolve(bad);
    const std::string refused =
        "\"127.0.0.1\", port " + std::to_string(bad.port) + ": Connection refused";
    CHECK(message_of([&] { posix::connect(places, soon()); }) == "could not connect to " + refused);
    places.push_back(places[0]);
    CHECK(message_of([&] { posix::connect(places, soon()); }) ==
          "could not connect to " + refused + "; " + refused);
    places.push_back(posix::resolve(good.info()).at(0));
    CHECK(posix::connect(places, soon()).peer() ==
          "\"127.0.0.1\", port " + std::to_string(good.port));
    CHECK(message_of([] { posix::connect({}, soon()); }) == "could not connect to nowhere");
}

TEST_CASE("a place that does not answer costs its share of the time and no more") {
    // Linux drops what comes when the queue of a listener is full.
    listener deaf(0);
    std::vector<descriptor> queue;
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(deaf.port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 4; ++i) {
        queue.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
        ::connect(queue.back().number(), reinterpret_cast<sockaddr*>(&at), sizeof at);
    }
    listener good;
    auto places = posix::resolve(deaf.info());
    std::int64_t begun = now().steady;
    CHECK(message_of([&] { posix::connect(places, begun + 60 * millisecond); }) ==
          "could not connect to \"127.0.0.1\", port " + std::to_string(deaf.port) +
              ": no answer in time");
    CHECK(now().steady - begun >= 60 * millisecond);

    places.push_back(posix::resolve(good.info()).at(0));
    begun = now().steady;
    CHECK_NOTHROW(posix::connect(places, begun + 400 * millisecond));
    CHECK(now().steady - begun >= 200 * millisecond);
    CHECK(now().steady - begun < 390 * millisecond);

    posix::signals signals;
    ::raise(SIGINT);
    CHECK_THROWS_AS(posix::connect(places, soon(), {}, signals.number()), posix::interrupted);
}

TEST_CASE("sockets are tuned as asked, closed on exec, and never block") {
    listener at;
    const posix::socket_options options{.keepalives = true,
                                        .keepalives_idle = 11,
                                        .keepalives_interval = 12,
                                        .keepalives_count = 13,
                                        .user_timeout_ms = 14'000};
    const posix::socket tuned = posix::connect(posix::resolve(at.info()), soon(), options);
    CHECK(option(tuned.number(), IPPROTO_TCP, TCP_NODELAY) != 0);
    CHECK(option(tuned.number(), SOL_SOCKET, SO_KEEPALIVE) != 0);
    CHECK(option(tuned.number(), IPPROTO_TCP, TCP_KEEPIDLE) == 11);
    CHECK(option(tuned.number(), IPPROTO_TCP, TCP_KEEPINTVL) == 12);
    CHECK(option(tuned.number(), IPPROTO_TCP, TCP_KEEPCNT) == 13);
    CHECK(option(tuned.number(), IPPROTO_TCP, TCP_USER_TIMEOUT) == 14'000);
    CHECK((::fcntl(tuned.number(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(tuned.number(), F_GETFL) & O_NONBLOCK) != 0);
    const posix::socket plain =
        posix::connect(posix::resolve(at.info()), soon(), {.keepalives = false});
    CHECK(option(plain.number(), SOL_SOCKET, SO_KEEPALIVE) == 0);
}

TEST_CASE("Unix-domain sockets work, in a directory and in the abstract namespace") {
    const temporary_directory home;
    const std::string abstract = "@walwire-test-" + std::to_string(::getpid());
    for (const std::string& host : {home.path(), abstract}) {
        const std::string path = host + "/.s.PGSQL.5432";
        descriptor listening(::socket(AF_UNIX, SOCK_STREAM, 0));
        sockaddr_un at{};
        at.sun_family = AF_UNIX;
        path.copy(at.sun_path, sizeof at.sun_path - 1);
        if (at.sun_path[0] == '@') at.sun_path[0] = '\0';
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                                 (host == abstract ? 0 : 1));
        REQUIRE(::bind(listening.number(), reinterpret_cast<sockaddr*>(&at), size) == 0);
        REQUIRE(::listen(listening.number(), 1) == 0);
        conninfo info;
        info.host = host;
        posix::socket near = posix::connect(posix::resolve(info), soon());
        CHECK(near.peer() == "socket \"" + path + '"');
        CHECK(near.write({walwire::as_bytes("x"), {}}) == 1);
    }
}

TEST_CASE("a plain transport is a socket") {
    pair both;
    posix::transport link(std::move(both.near));
    CHECK_FALSE(link.secured());
    CHECK(link.peer_certificate().empty());
    CHECK(link.wait({}, now().steady).timed_out());
    CHECK(link.write({walwire::as_bytes("out"), {}}) == 3);
    REQUIRE(::send(both.far.number(), "in", 2, 0) == 2);
    CHECK(link.wait({}, soon()).read);
    std::array<std::byte, 8> room{};
    CHECK(link.read(room).size == 2);
    link.close();
    both.far.close();
    CHECK(link.wait({}, soon()).read);
}
