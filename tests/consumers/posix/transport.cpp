#include "transport.hpp"

#include <cerrno>

#include "failure.hpp"

namespace posix {

arrival transport::read(walwire::mutable_bytes room) {
    return channel_ ? channel_->read(room) : socket_.read(room);
}

std::size_t transport::write(walwire::gather out) {
    return channel_ ? channel_->write(out) : socket_.write(out);
}

readiness transport::wait(interest wanted, std::int64_t deadline, int wake) {
    if (!channel_) return posix::wait(socket_.number(), wanted, deadline, wake);

    // What TLS has decrypted already makes the socket no more readable, so only look at it.
    const bool held = wanted.read && channel_->holds_bytes();
    readiness found =
        posix::wait(socket_.number(), channel_->needs(wanted), held ? 0 : deadline, wake);
    // Either kind of readiness may be what the other direction was blocked on: try both.
    const bool moved = found.read || found.write;
    found.read = wanted.read && (moved || held);
    found.write = wanted.write && moved;
    return found;
}

void transport::secure(const tls& shared, bool direct, std::int64_t deadline, int wake) {
    try {
        channel_.emplace(shared, socket_);
        while (!channel_->handshake()) {
            const readiness found = posix::wait(
                socket_.number(), channel_->needs({.read = true, .write = false}), deadline, wake);
            if (found.woken) throw interrupted();
            if (found.timed_out()) throw failure("the TLS handshake took too long", ETIMEDOUT);
        }
        if (direct && !channel_->protocol_agreed())
            throw failure("the server did not agree on a protocol (ALPN), as direct TLS demands");
        secured_ = true;
    } catch (const failure& refused) {
        socket_.close(); // never to go on in plain text
        throw failure("could not encrypt the connection to " + peer() + ": " + refused.what(),
                      refused.code());
    } catch (...) {
        socket_.close();
        throw;
    }
}

std::vector<std::byte> transport::peer_certificate() const {
    return channel_ ? channel_->peer_certificate() : std::vector<std::byte>();
}

void transport::close() noexcept {
    if (channel_) channel_->close();
}

} // namespace posix
