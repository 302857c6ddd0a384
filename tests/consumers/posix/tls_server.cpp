#include "tls_server.hpp"

#include <openssl/ssl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include <walwire/auth/openssl.hpp>

#include "failure.hpp"
#include "openssl_reason.hpp"
#include "tls.hpp"

namespace posix {

namespace {

// PostgreSQL's rule: nobody but its owner may read a key, but one of root's may be lent to a group.
void check_key(const std::string& path) {
    struct stat found {};
    if (::stat(path.c_str(), &found) != 0)
        fail("could not open the private key " + quoted(path), errno);
    const mode_t forbidden = found.st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    if ((found.st_mode & forbidden) != 0)
        throw failure("others may read the private key " + quoted(path) +
                      ": its permissions must be 0600 or less, or 0640 or less if root owns it");
}

int give_no_passphrase(char*, int, int, void*) {
    return -1;
}

// The client's list holds names, each behind a byte with its length.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size,
                    const unsigned char* offered, unsigned offered_size, void*) {
    for (unsigned at = 0; at < offered_size; at += offered[at] + 1u) {
        const unsigned length = offered[at];
        if (length != tls_protocol.size() || length > offered_size - at - 1) continue;
        if (std::memcmp(offered + at + 1, tls_protocol.data(), length) != 0) continue;
        *chosen = offered + at + 1;
        *size = offered[at];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

} // namespace

void tls_server::free_context::operator()(ssl_ctx_st* context) const noexcept {
    SSL_CTX_free(context);
}

tls_server::tls_server(const std::string& certificate, const std::string& key)
    : context_(SSL_CTX_new(TLS_server_method())) {
    ERR_clear_error();
    SSL_CTX* const made = context();
    if (made == nullptr || SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION) != 1)
        throw failure("could not set up TLS: " + openssl_reason());
    // No sessions are resumed, as in PostgreSQL: a ticket would be one secret more.
    SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_alpn_select_cb(made, choose_protocol, nullptr);
    if (SSL_CTX_use_certificate_chain_file(made, certificate.c_str()) != 1)
        throw failure("could not read the certificate " + quoted(certificate) + ": " +
                      openssl_reason());
    check_key(key);
    SSL_CTX_set_default_passwd_cb(made, give_no_passphrase);
    if (SSL_CTX_use_PrivateKey_file(made, key.c_str(), SSL_FILETYPE_PEM) != 1)
        throw failure("could not use the private key " + quoted(key) + ": " + openssl_reason());
    if (SSL_CTX_check_private_key(made) != 1)
        throw failure("the private key " + quoted(key) + " does not belong to the certificate " +
                      quoted(certificate));
    bind();
}

void tls_server::bind() {
    X509* const own = SSL_CTX_get0_certificate(context());
    const int size = own == nullptr ? 0 : i2d_X509(own, nullptr);
    if (size <= 0) return;
    std::vector<std::byte> der(static_cast<std::size_t>(size));
    auto* at = reinterpret_cast<unsigned char*>(der.data());
    i2d_X509(own, &at);
    const auto hash = walwire::auth::server_end_point(der, binding_);
    if (hash) binding_size_ = hash->size();
}

} // namespace posix
