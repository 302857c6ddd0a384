// TLS as libpq does it: the six sslmodes, its files and its rules, on OpenSSL 3.
//
// `tls` is what every connection of a program shares: it loads the files once and throws at the
// start rather than at the hundredth reconnect. `tls_channel` is TLS on one socket; transport.hpp
// owns it.
//
//     sslmode       encrypted      certificate: signed by sslrootcert     and for the host
//     disable       never          -                                      -
//     allow         if demanded    if that file exists                    no
//     prefer        if offered     if that file exists                    no
//     require       always         if that file exists                    no
//     verify-ca     always         yes                                    no
//     verify-full   always         yes                                    yes
//
// The file counts in the three middle modes too: that is libpq's rule, kept for those who rely on
// it. Which mode opens which connection in which order (`allow` tries plain first, `prefer` TLS) is
// the conversation's business; here a mode only says how far the server is trusted.
//
// Files that are not named are looked for where libpq does, below ~/.postgresql: root.crt,
// root.crl, postgresql.crt, postgresql.key. Where no sslrootcert is named and root.crt is missing,
// verify-ca and verify-full are refused before any server is asked. A key that needs a passphrase
// cannot be read: there is no keyword for it. Stricter than libpq in two points: an sslrootcert
// that is named must exist when the mode demands TLS; and with verify-full a host that is an IP
// address must stand in the certificate as one, where libpq also takes it as text in the common
// name.
//
// Source of truth: the manual's "SSL Support" and "Parameter Key Words" of libpq; RFC 6125.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/conninfo.hpp>

#include "socket.hpp"

struct ssl_ctx_st;
struct ssl_st;

namespace posix {

class tls_server;

// What ALPN calls the protocol.
inline constexpr std::string_view tls_protocol = "postgresql";

class tls {
  public:
    // Throws failure when a file that is needed is missing, unreadable or too widely readable.
    // Reads none when the connection will not be encrypted.
    explicit tls(const walwire::conninfo& info);

    ssl_ctx_st* context() const noexcept { return context_.get(); }
    // The name that the user asked for, whatever it resolved to.
    const std::string& host() const noexcept { return host_; }
    bool verifies_chain() const noexcept { return verifies_chain_; }
    bool verifies_host() const noexcept { return mode_ == walwire::ssl_mode::verify_full; }

  private:
    struct free_context {
        void operator()(ssl_ctx_st* context) const noexcept;
    };

    void load_roots(const std::string& named);
    void load_revocations();
    void load_certificate(const std::string& named, const std::string& named_key);

    std::unique_ptr<ssl_ctx_st, free_context> context_;
    walwire::ssl_mode mode_;
    std::string host_;
    bool verifies_chain_ = false;
};

// What OpenSSL's callbacks reach. They are C and may not throw, so they leave what they met here.
struct tls_wire {
    socket* below = nullptr;
    int error = 0; // an errno that ended the connection
    bool ended = false;
    std::vector<std::byte> before; // read from the socket before TLS began, and TLS's
};

class tls_channel {
  public:
    // Both must stay where they are for as long as the channel lives.
    tls_channel(const tls& shared, socket& below);
    // A server's end. `before` is the beginning of a handshake that came unasked.
    tls_channel(const tls_server& shared, socket& below, walwire::bytes before);
    tls_channel(const tls_channel&) = delete;
    tls_channel& operator=(const tls_channel&) = delete;

    // True when the handshake is done, false when it waits for what needs() says. Throws failure
    // with the reason when either side gives up. Call it before anything else.
    bool handshake();
    // Both took part in ALPN and the server chose "postgresql". A direct handshake is worth nothing
    // without: it proves that the other end did not take our first bytes for another protocol's.
    bool protocol_agreed() const noexcept;
    // The server's certificate as DER: what channel binding hashes.
    std::vector<std::byte> peer_certificate() const;

    arrival read(walwire::mutable_bytes room);
    std::size_t write(walwire::gather out);
    // Says goodbye, if there is room for it.
    void close() noexcept;

    // What of the socket must be waited for before a call that got nowhere is worth repeating. TLS
    // may have to read in order to write and the other way round.
    interest needs(interest wanted) const noexcept;
    // There may be decrypted bytes that the socket no longer shows.
    bool holds_bytes() const noexcept { return !drained_; }

  private:
    struct free_ssl {
        void operator()(ssl_st* ssl) const noexcept;
    };
    enum class outcome : std::uint8_t { blocked, goodbye, cut_off, lost };

    tls_channel(ssl_ctx_st* context, socket& below, walwire::bytes before);
    void expect_host();
    outcome settle(int result, interest& blocked_on);
    [[noreturn]] void fail_handshake(outcome how) const;

    const tls* client_ = nullptr; // the rules of a client; null on a server
    std::unique_ptr<ssl_st, free_ssl> ssl_;
    tls_wire wire_;
    std::string why_; // the reason of a loss
    arrival last_;    // what every read gives once there is no more
    bool over_ = false;
    bool drained_ = false;
    interest read_needs_{.read = true, .write = false};
    interest write_needs_{.read = false, .write = true};
};

} // namespace posix
