// TCP over poll(2), for one connection at a time and without threads.
//
// Nothing here blocks but two calls that say so: `resolve`, which is getaddrinfo and takes as long
// as the resolver does, and `connect`, which waits in poll until its deadline. A socket reads what
// has arrived and writes what fits, and `wait` sleeps until there is more to do: bytes, room, a
// deadline of the session's, or a signal that came through a pipe (signals.hpp).
//
// A peer that says why it hangs up is worth listening to. PostgreSQL reports a fatal error and
// closes, and a client that is just then writing meets EPIPE before it has read the report. So a
// write to a connection that the peer has closed is swallowed, and reading goes on to the report
// and the end. No call raises SIGPIPE.
//
// A host that begins with '/' is the directory of a Unix-domain socket, one that begins with '@' a
// name in Linux's abstract namespace, as in libpq.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/conninfo.hpp>
#include <walwire/session.hpp>

#include "descriptor.hpp"

namespace posix {

// Both clocks, as the sessions want them. A deadline below is a reading of the steady one.
walwire::instant now() noexcept;

// One place to connect to.
struct address {
    sockaddr_storage storage{};
    socklen_t size = 0;
    std::string text; // for messages: "db.example.com" (192.0.2.7), port 5432
};

// All the places that host (or hostaddr, unlooked up) and port stand for, in the resolver's order.
// Blocks; throws failure when there is none.
std::vector<address> resolve(const walwire::conninfo& info);

// What wait waits for, and what it found. Errors and hang-ups count as both: the next read says
// which.
struct interest {
    bool read = true;
    bool write = false;
};
struct readiness {
    bool read = false;
    bool write = false;
    bool woken = false; // the wake descriptor is readable

    bool timed_out() const noexcept { return !read && !write && !woken; }
};

// Sleeps until `number` is ready, `wake` is readable (-1: there is none) or the deadline has come.
// It never comes back early because of a signal.
readiness wait(int number, interest wanted, std::int64_t deadline, int wake = -1);

// Seconds and counts of 0 leave the system's default in place.
struct socket_options {
    bool keepalives = true;
    int keepalives_idle = 0;
    int keepalives_interval = 0;
    int keepalives_count = 0;
    int user_timeout_ms = 0; // how long unacknowledged bytes are waited for; Linux only
};

// What a read brought: bytes, nothing yet (size 0), or the end. No byte comes with the end or after
// it. It is `truncated` if TLS was cut off without a goodbye, so that somebody else than the peer
// may have done it.
struct arrival {
    std::size_t size = 0;
    bool end = false;
    bool truncated = false;
};
// Whether a read or a write finds it out, it has one name.
inline constexpr std::string_view cut_off_text = "TLS was cut off without a goodbye";

class socket {
  public:
    socket(descriptor connected, std::string peer) noexcept
        : connected_(std::move(connected)), peer_(std::move(peer)) {}

    // Throws failure when the connection is lost.
    arrival read(walwire::mutable_bytes room);
    // How many of the bytes the system took, in order; 0 when it has no room.
    std::size_t write(walwire::gather out);

    // The same without exceptions, for callers that C calls: an errno or 0. When neither bytes nor
    // the end are there yet, EAGAIN.
    int try_read(walwire::mutable_bytes room, arrival& got) noexcept;
    int try_write(walwire::gather out, std::size_t& taken) noexcept;

    void close() noexcept { connected_.close(); }

    int number() const noexcept { return connected_.number(); }
    const std::string& peer() const noexcept { return peer_; }

  private:
    descriptor connected_;
    std::string peer_;
    bool deaf_ = false; // the peer reads no more; what we write is swallowed
};

// Tries the places in turn until one accepts. Each gets an equal part of the time that is left, so
// that one that swallows packets does not use up what the next one needs. Throws failure with the
// reason of every place, or interrupted when `wake` became readable.
socket connect(const std::vector<address>& places, std::int64_t deadline,
               const socket_options& options = {}, int wake = -1);

} // namespace posix
