#include "tls.hpp"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "failure.hpp"
#include "home.hpp"
#include "openssl_reason.hpp"
#include "tls_server.hpp"

namespace posix {

namespace {

constexpr std::string_view protocol = tls_protocol;

bool is_ip_address(const std::string& host) {
    std::array<unsigned char, sizeof(in6_addr)> binary{};
    return ::inet_pton(AF_INET, host.c_str(), binary.data()) == 1 ||
           ::inet_pton(AF_INET6, host.c_str(), binary.data()) == 1;
}

bool exists(const std::string& path) {
    struct stat found {};
    return !path.empty() && ::stat(path.c_str(), &found) == 0;
}

std::string chosen(const std::string& path, const char* standard) {
    return path.empty() ? home_file(std::string(".postgresql/") + standard) : path;
}

// OpenSSL would otherwise ask for the key's passphrase on the terminal.
int give_no_passphrase(char*, int, int, void*) {
    return -1;
}

// libpq's rule: nobody but its owner may read a key, but that one of root's may be lent to a group.
void check_key_permissions(const std::string& path) {
    struct stat found {};
    if (::stat(path.c_str(), &found) != 0)
        fail("there is a client certificate but no private key " + quoted(path), errno);
    if (!S_ISREG(found.st_mode))
        throw failure("the private key " + quoted(path) + " is not a regular file");
    const mode_t forbidden = found.st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    if ((found.st_mode & forbidden) != 0)
        throw failure("others may read the private key " + quoted(path) +
                      ": its permissions must be 0600 or less, or 0640 or less if root owns it");
}

// OpenSSL's own socket BIO would write with write(2), which raises SIGPIPE. This one goes through
// our socket, and with it through its rules about a peer that has hung up.
struct tls_bio {
    static tls_wire& wire(BIO* bio) { return *static_cast<tls_wire*>(BIO_get_data(bio)); }

    static int read(BIO* bio, char* room, std::size_t size, std::size_t* taken) {
        BIO_clear_retry_flags(bio);
        tls_wire& at = wire(bio);
        if (!at.before.empty()) {
            *taken = std::min(size, at.before.size());
            std::memcpy(room, at.before.data(), *taken);
            at.before.erase(at.before.begin(),
                            at.before.begin() + static_cast<std::ptrdiff_t>(*taken));
            return 1;
        }
        arrival got;
        const int error = at.below->try_read(
            walwire::mutable_bytes(reinterpret_cast<std::byte*>(room), size), got);
        *taken = got.size;
        if (error == EAGAIN)
            BIO_set_retry_read(bio);
        else if (error != 0)
            at.error = error;
        if (got.end) at.ended = true;
        return got.size > 0 ? 1 : 0;
    }

    static int write(BIO* bio, const char* data, std::size_t size, std::size_t* taken) {
        BIO_clear_retry_flags(bio);
        tls_wire& at = wire(bio);
        const int error =
            at.below->try_write({.head = walwire::as_bytes({data, size}), .body = {}}, *taken);
        if (error == EAGAIN)
            BIO_set_retry_write(bio);
        else if (error != 0)
            at.error = error;
        return error == 0 ? 1 : 0;
    }

    static long control(BIO* bio, int command, long, void*) {
        if (command == BIO_CTRL_FLUSH) return 1;
        if (command == BIO_CTRL_EOF) return wire(bio).ended ? 1 : 0;
        return 0;
    }

    static BIO_METHOD* make() {
        BIO_METHOD* const made =
            BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "posix::socket");
        if (made == nullptr) throw failure("could not set up TLS: " + openssl_reason());
        BIO_meth_set_read_ex(made, read);
        BIO_meth_set_write_ex(made, write);
        BIO_meth_set_ctrl(made, control);
        return made;
    }
    static BIO_METHOD* method() {
        static BIO_METHOD* const kept = make(); // for as long as the program runs
        return kept;
    }
};

} // namespace

void tls::free_context::operator()(ssl_ctx_st* context) const noexcept {
    SSL_CTX_free(context);
}
void tls_channel::free_ssl::operator()(ssl_st* ssl) const noexcept {
    SSL_free(ssl);
}

tls::tls(const walwire::conninfo& info)
    : context_(SSL_CTX_new(TLS_client_method())), mode_(info.sslmode), host_(info.host) {
    ERR_clear_error();
    if (!context_ || SSL_CTX_set_min_proto_version(context(), TLS1_2_VERSION) != 1)
        throw failure("could not set up TLS: " + openssl_reason());
    SSL_CTX_set_options(context(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    // The session shows the same bytes again until they are consumed, but perhaps more of them.
    SSL_CTX_set_mode(context(),
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // One recv for several records, where OpenSSL would do two for each.
    SSL_CTX_set_read_ahead(context(), 1);
    SSL_CTX_set_default_read_buffer_len(context(), 64 * 1024);
    if (info.sslmode == walwire::ssl_mode::disable || info.local()) return; // nobody will ask
    load_roots(std::string(info.sslrootcert));
    load_certificate(std::string(info.sslcert), std::string(info.sslkey));
}

void tls::load_roots(const std::string& named) {
    if (named == "system") {
        // Anybody can get a certificate that these roots have signed: only its name says something.
        if (!verifies_host()) throw failure("sslrootcert=system needs sslmode=verify-full");
        if (SSL_CTX_set_default_verify_paths(context()) != 1)
            throw failure("could not load the system's root certificates: " + openssl_reason());
    } else {
        const std::string path = chosen(named, "root.crt");
        if (!exists(path)) {
            if (mode_ < walwire::ssl_mode::require) return;
            if (mode_ == walwire::ssl_mode::require && named.empty()) return;
            throw failure("there is no root certificate " + quoted(path) +
                          ": provide it, use sslrootcert=system, or choose an sslmode that does "
                          "not verify the server");
        }
        if (SSL_CTX_load_verify_file(context(), path.c_str()) != 1)
            throw failure("could not read the root certificate " + quoted(path) + ": " +
                          openssl_reason());
        load_revocations();
    }
    SSL_CTX_set_verify(context(), SSL_VERIFY_PEER, nullptr);
    verifies_chain_ = true;
}

void tls::load_revocations() {
    const std::string path = chosen({}, "root.crl");
    if (!exists(path)) return;
    X509_STORE* const store = SSL_CTX_get_cert_store(context());
    if (X509_STORE_load_file(store, path.c_str()) != 1)
        throw failure("could not read the revocation list " + quoted(path) + ": " +
                      openssl_reason());
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
}

void tls::load_certificate(const std::string& named, const std::string& named_key) {
    const std::string certificate = chosen(named, "postgresql.crt");
    if (!exists(certificate)) {
        if (!certificate.empty() && errno != ENOENT && errno != ENOTDIR)
            fail("could not open the client certificate " + quoted(certificate), errno);
        return; // the server will say if it wants one
    }
    if (SSL_CTX_use_certificate_chain_file(context(), certificate.c_str()) != 1)
        throw failure("could not read the client certificate " + quoted(certificate) + ": " +
                      openssl_reason());

    const std::string key = chosen(named_key, "postgresql.key");
    check_key_permissions(key);
    SSL_CTX_set_default_passwd_cb(context(), give_no_passphrase);
    if (SSL_CTX_use_PrivateKey_file(context(), key.c_str(), SSL_FILETYPE_PEM) != 1 &&
        SSL_CTX_use_PrivateKey_file(context(), key.c_str(), SSL_FILETYPE_ASN1) != 1)
        throw failure("could not read the private key " + quoted(key) + ": " + openssl_reason());
    if (SSL_CTX_check_private_key(context()) != 1)
        throw failure("the private key " + quoted(key) + " does not belong to the certificate " +
                      quoted(certificate));
    ERR_clear_error();
}

tls_channel::tls_channel(ssl_ctx_st* context, socket& below, walwire::bytes before)
    : ssl_(SSL_new(context)), wire_{.below = &below, .before = {before.begin(), before.end()}} {
    ERR_clear_error();
    BIO* const bio = ssl_ ? BIO_new(tls_bio::method()) : nullptr;
    if (bio == nullptr) throw failure("could not set up TLS: " + openssl_reason());
    BIO_set_data(bio, &wire_);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);
}

tls_channel::tls_channel(const tls_server& shared, socket& below, walwire::bytes before)
    : tls_channel(shared.context(), below, before) {
    SSL_set_accept_state(ssl_.get());
}

tls_channel::tls_channel(const tls& shared, socket& below)
    : tls_channel(shared.context(), below, walwire::bytes()) {
    client_ = &shared;
    SSL_set_connect_state(ssl_.get());
    std::array<unsigned char, 1 + protocol.size()> offer{
        static_cast<unsigned char>(protocol.size())};
    std::memcpy(offer.data() + 1, protocol.data(), protocol.size());
    if (SSL_set_alpn_protos(ssl_.get(), offer.data(), offer.size()) != 0) // here 0 is success
        throw failure("could not set up ALPN: " + openssl_reason());
    expect_host();
}

void tls_channel::expect_host() {
    const std::string& host = client_->host();
    const bool numeric = is_ip_address(host);
    // SSL_set_tlsext_host_name, which is a macro with a cast that our warnings forbid.
    if (!host.empty() && !numeric &&
        SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 const_cast<char*>(host.c_str())) != 1)
        throw failure("could not name the server " + quoted(host) + ": " + openssl_reason());
    if (!client_->verifies_host()) return;

    if (host.empty()) throw failure("sslmode=verify-full needs a host name to verify");
    X509_VERIFY_PARAM* const expected = SSL_get0_param(ssl_.get());
    // As libpq: "*" stands for one whole label and no more.
    X509_VERIFY_PARAM_set_hostflags(expected, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const int set = numeric ? X509_VERIFY_PARAM_set1_ip_asc(expected, host.c_str())
                            : X509_VERIFY_PARAM_set1_host(expected, host.data(), host.size());
    if (set != 1)
        throw failure("could not verify the host " + quoted(host) + ": " + openssl_reason());
}

bool tls_channel::handshake() {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result != 1) {
        const outcome how = settle(result, read_needs_);
        if (how == outcome::blocked) return false;
        fail_handshake(how);
    }
    const unsigned char* agreed = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &agreed, &size);
    // OpenSSL looks by itself only since 2024.
    if (size != 0 && !protocol_agreed())
        throw failure("the server agreed on a protocol that was not offered");
    read_needs_ = {.read = true, .write = false};
    return true;
}

bool tls_channel::protocol_agreed() const noexcept {
    const unsigned char* agreed = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &agreed, &size);
    return size == protocol.size() && std::memcmp(agreed, protocol.data(), size) == 0;
}

// What a call that did not succeed ran into.
tls_channel::outcome tls_channel::settle(int result, interest& blocked_on) {
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        const bool reading = error == SSL_ERROR_WANT_READ;
        blocked_on = {.read = reading, .write = !reading};
        return outcome::blocked;
    }
    if (error == SSL_ERROR_ZERO_RETURN) return outcome::goodbye;
    if (wire_.ended && (error == SSL_ERROR_SYSCALL ||
                        ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
        ERR_clear_error();
        return outcome::cut_off;
    }
    why_ = wire_.error != 0 ? reason(wire_.error) : "TLS: " + openssl_reason();
    ERR_clear_error();
    return outcome::lost;
}

void tls_channel::fail_handshake(outcome how) const {
    const long verdict = SSL_get_verify_result(ssl_.get());
    if (client_ != nullptr && client_->verifies_chain() && verdict != X509_V_OK) {
        const bool misnamed =
            verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH;
        throw failure(misnamed
                          ? "the server's certificate is not for host " + quoted(client_->host())
                          : std::string("the server's certificate is not trusted: ") +
                                X509_verify_cert_error_string(verdict));
    }
    if (how != outcome::lost)
        throw failure((client_ != nullptr ? "the server" : "the client") +
                      std::string(" hung up during the TLS handshake"));
    throw failure(why_, wire_.error);
}

std::vector<std::byte> tls_channel::peer_certificate() const {
    X509* const held = SSL_get0_peer_certificate(ssl_.get());
    const int size = held == nullptr ? 0 : i2d_X509(held, nullptr);
    if (size <= 0) return {};
    std::vector<std::byte> der(static_cast<std::size_t>(size));
    auto* at = reinterpret_cast<unsigned char*>(der.data());
    i2d_X509(held, &at);
    return der;
}

// Records are read until the room is full or the socket is empty. An end that is met behind bytes
// is kept for the next call.
arrival tls_channel::read(walwire::mutable_bytes room) {
    arrival got;
    drained_ = false;
    while (!over_ && got.size < room.size()) {
        ERR_clear_error();
        std::size_t size = 0;
        const int result =
            SSL_read_ex(ssl_.get(), room.data() + got.size, room.size() - got.size, &size);
        if (result == 1) {
            got.size += size;
            read_needs_ = {.read = true, .write = false};
            continue;
        }
        const outcome how = settle(result, read_needs_);
        if (how == outcome::blocked) {
            drained_ = true;
            break;
        }
        over_ = true;
        last_ = {.size = 0, .end = true, .truncated = how == outcome::cut_off};
    }
    if (got.size > 0 || !over_) return got;
    if (!why_.empty())
        throw failure("lost the connection to " + wire_.below->peer() + ": " + why_, wire_.error);
    return last_;
}

std::size_t tls_channel::write(walwire::gather out) {
    std::size_t total = 0;
    for (walwire::bytes part : {out.head, out.body}) {
        while (!part.empty()) {
            ERR_clear_error();
            std::size_t size = 0;
            const int result = SSL_write_ex(ssl_.get(), part.data(), part.size(), &size);
            if (result != 1) {
                const outcome how = settle(result, write_needs_);
                if (how == outcome::blocked) return total;
                // Reading may have met the end first, and not have told it yet.
                const bool cut_off = how == outcome::cut_off || last_.truncated;
                const std::string_view hung_up = cut_off ? cut_off_text : "the other end hung up";
                throw failure("lost the connection to " + wire_.below->peer() + ": " +
                                  (why_.empty() ? std::string(hung_up) : why_),
                              wire_.error);
            }
            write_needs_ = {.read = false, .write = true};
            total += size;
            part = part.subspan(size);
        }
    }
    return total;
}

void tls_channel::close() noexcept {
    ERR_clear_error();
    // After a loss OpenSSL forbids it.
    if (why_.empty() && !last_.truncated && SSL_is_init_finished(ssl_.get()))
        SSL_shutdown(ssl_.get());
    ERR_clear_error();
}

interest tls_channel::needs(interest wanted) const noexcept {
    return {.read = (wanted.read && read_needs_.read) || (wanted.write && write_needs_.read),
            .write = (wanted.read && read_needs_.write) || (wanted.write && write_needs_.write)};
}

} // namespace posix
