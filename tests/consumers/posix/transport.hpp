// One connection, encrypted or not: the receive loop does not care which.
//
// It begins in plain text. When the session says that the server agreed to TLS (or at once, for
// direct TLS), `secure` performs the handshake in place; from then on the same read, write and wait
// go through it. Pinned, because TLS holds on to the socket.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "socket.hpp"
#include "tls.hpp"

namespace posix {

class transport {
  public:
    explicit transport(socket plain) : socket_(std::move(plain)) {}
    transport(const transport&) = delete;
    transport& operator=(const transport&) = delete;

    // Never block; as socket's.
    arrival read(walwire::mutable_bytes room);
    std::size_t write(walwire::gather out);

    // Sleeps until a read or a write is worth another try, `wake` is readable or the deadline has
    // come.
    readiness wait(interest wanted, std::int64_t deadline, int wake = -1);

    // Waits for the handshake until the deadline: one after SSLRequest or, `direct`, one that opens
    // the connection. Throws failure when it fails, is late, or is direct and the server did not
    // agree on the protocol; interrupted when `wake` became readable. `shared` must outlive the
    // transport.
    void secure(const tls& shared, bool direct, std::int64_t deadline, int wake = -1);
    bool secured() const noexcept { return secured_; }
    // The server's certificate as DER; empty on a plain connection.
    std::vector<std::byte> peer_certificate() const;

    // Ends politely what is encrypted. Closing the socket is left to the destructor.
    void close() noexcept;

    const std::string& peer() const noexcept { return socket_.peer(); }

  private:
    socket socket_;
    std::optional<tls_channel> channel_;
    bool secured_ = false;
};

} // namespace posix
