// TLS as a PostgreSQL server does it: one certificate for all, from TLS 1.2 on.
//
// What a connection does with it is tls.hpp's channel. Clients are not asked for certificates; who
// they are, their passwords say. A client that comes with ALPN must offer "postgresql", and one
// whose handshake opens the connection must come with it: that keeps another protocol's client from
// being led here.
//
// Source of truth: the manual, "Secure TCP/IP Connections with SSL" and "SSL Session Encryption".
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include <walwire/bytes.hpp>

struct ssl_ctx_st;

namespace posix {

class tls_server {
  public:
    // Throws failure when a file is missing, cannot be used, or is a key that others may read.
    tls_server(const std::string& certificate, const std::string& key);

    ssl_ctx_st* context() const noexcept { return context_.get(); }
    // What channel binding hashes to: tls-server-end-point of the certificate. Empty where its
    // signature names no hash function; clients can do without it then.
    walwire::bytes binding() const noexcept {
        return walwire::bytes(binding_).first(binding_size_);
    }

  private:
    struct free_context {
        void operator()(ssl_ctx_st* context) const noexcept;
    };
    void bind();

    std::unique_ptr<ssl_ctx_st, free_context> context_;
    std::array<std::byte, 64> binding_{};
    std::size_t binding_size_ = 0;
};

} // namespace posix
