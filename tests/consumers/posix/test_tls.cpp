#include "transport.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

#include "certificates.hpp"
#include "failure.hpp"
#include "signals.hpp"
#include "temporary_directory.hpp"

using namespace posix_test;
using posix::failure;
using posix::now;
using posix::transport;
using walwire::conninfo;
using walwire::millisecond;
using walwire::ssl_mode;

namespace {

// Not what this machine's administrator prefers.
[[maybe_unused]] const int without_configuration = ::setenv("OPENSSL_CONF", "/dev/null", 1);

// What the tests' server does differently from an ordinary one.
struct behaviour {
    int version_min = TLS1_2_VERSION;
    int version_max = 0;
    const char* protocol = "postgresql"; // that ALPN selects; nullptr: the server knows no ALPN
    const certificate* client_root = nullptr;     // clients must show a certificate that it signed
    std::function<void(SSL*)> talk = [](SSL*) {}; // after the handshake
    std::function<void(int)> instead;             // of TLS altogether
};

// A TLS server for one connection, in a thread.
class server {
  public:
    server(const certificate& shown, behaviour how)
        : shown_(shown), how_(std::move(how)), listening_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at;
        REQUIRE(::bind(listening_.number(), reinterpret_cast<sockaddr*>(&at), size) == 0);
        REQUIRE(::listen(listening_.number(), 1) == 0);
        REQUIRE(::getsockname(listening_.number(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
        port_ = ntohs(at.sin_port);
        thread_ = std::thread([this] { serve(); });
    }
    ~server() { join(); }

    void join() {
        if (thread_.joinable()) thread_.join();
    }
    std::uint16_t port() const { return port_; }

    // Known after join().
    bool agreed = false;
    std::string name_asked_for;
    std::string client_name;

  private:
    static int choose(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char*,
                      unsigned, void* self) {
        const char* const protocol = static_cast<server*>(self)->how_.protocol;
        *chosen = reinterpret_cast<const unsigned char*>(protocol);
        *size = static_cast<unsigned char>(std::strlen(protocol));
        return SSL_TLSEXT_ERR_OK;
    }

    void serve() {
        // OpenSSL's own socket BIO raises SIGPIPE. It is blocked here and nowhere else: were it
        // ours, the tests would die of it.
        sigset_t pipe{};
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);

        const posix::descriptor link(::accept(listening_.number(), nullptr, nullptr));
        const timeval patience{.tv_sec = 10, .tv_usec = 0};
        ::setsockopt(link.number(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (how_.instead) return how_.instead(link.number());

        const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(SSL_CTX_new(TLS_server_method()),
                                                                   SSL_CTX_free);
        SSL_CTX_set_security_level(context.get(), 0);
        SSL_CTX_set_min_proto_version(context.get(), how_.version_min);
        SSL_CTX_set_max_proto_version(context.get(), how_.version_max);
        SSL_CTX_use_certificate(context.get(), shown_.signed_name.get());
        SSL_CTX_use_PrivateKey(context.get(), shown_.key.get());
        if (how_.protocol != nullptr) SSL_CTX_set_alpn_select_cb(context.get(), choose, this);
        if (how_.client_root != nullptr) {
            X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()),
                                how_.client_root->signed_name.get());
            SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                               nullptr);
        }
        const std::unique_ptr<SSL, void (*)(SSL*)> ssl(SSL_new(context.get()), SSL_free);
        SSL_set_fd(ssl.get(), link.number());
        agreed = SSL_accept(ssl.get()) == 1;
        if (const char* name = SSL_get_servername(ssl.get(), TLSEXT_NAMETYPE_host_name))
            name_asked_for = name;
        if (X509* const client = SSL_get0_peer_certificate(ssl.get())) {
            char text[64] = {};
            X509_NAME_get_text_by_NID(X509_get_subject_name(client), NID_commonName, text,
                                      sizeof text);
            client_name = text;
        }
        if (agreed) how_.talk(ssl.get());
    }

    const certificate& shown_;
    behaviour how_;
    posix::descriptor listening_;
    std::uint16_t port_ = 0;
    std::thread thread_;
};

// One authority and one server certificate for all tests, in a home directory without
// ~/.postgresql.
struct world {
    temporary_directory home;
    certificate root = make_certificate("test root");
    certificate other_root = make_certificate("another root");
    certificate named =
        make_certificate("ignored", "DNS:localhost,DNS:*.example.com,IP:127.0.0.1", &root);
    std::string root_file = home / "root.pem";
    std::string other_root_file = home / "other.pem";

    world() {
        ::setenv("HOME", home.path().c_str(), 1);
        root.save(root_file);
        other_root.save(other_root_file);
    }

    conninfo info(ssl_mode mode, std::string_view host = "localhost") const {
        conninfo made;
        made.host = host;
        made.hostaddr = "127.0.0.1";
        made.sslmode = mode;
        if (mode >= ssl_mode::verify_ca) made.sslrootcert = root_file;
        return made;
    }
};

std::int64_t soon() {
    return now().steady + 5 * walwire::second;
}

void connect(std::optional<transport>& link, const server& to, conninfo info) {
    info.port = to.port();
    link.emplace(posix::connect(posix::resolve(info), soon()));
}

// Connects and encrypts; the reason if that fails, without the part that names the address.
std::string try_tls(const certificate& shown, const conninfo& info, behaviour how = {},
                    bool direct = false) {
    try {
        const posix::tls shared(info);
        server at(shown, std::move(how));
        std::optional<transport> link;
        connect(link, at, info);
        try {
            link->secure(shared, direct, soon());
        } catch (const failure& refused) {
            CHECK_FALSE(link->secured());
            std::array<std::byte, 1> room{};
            std::size_t got = 0;
            try {
                got = link->read(room).size;
            } catch (const failure&) {
            }
            CHECK(got == 0); // never in plain text
            const std::string prefix = "could not encrypt the connection to " + link->peer() + ": ";
            CHECK(std::string(refused.what()).starts_with(prefix));
            link.reset();
            return std::string(refused.what()).substr(prefix.size());
        }
        CHECK(link->secured());
        CHECK(link->peer_certificate() == shown.der());
        return "";
    } catch (const failure& refused) {
        return refused.what();
    }
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// Reads until `size` bytes or the end have come.
std::string read_all(transport& link, std::size_t size, posix::arrival& last,
                     std::size_t room_size = 65536) {
    std::vector<std::byte> room(room_size);
    std::string heard;
    while (heard.size() < size) {
        last = link.read(room);
        heard += walwire::as_text(std::span(room).first(last.size));
        if (last.end) break;
        if (last.size == 0 && link.wait({}, soon()).timed_out()) break;
    }
    return heard;
}

std::string noise(std::size_t size) {
    std::string made(size, '\0');
    std::uint64_t state = 88172645463325252u;
    for (char& c : made) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        c = static_cast<char>(state);
    }
    return made;
}

} // namespace

TEST_CASE("how far a server is trusted follows sslmode") {
    const world at;
    const certificate self_signed = make_certificate("whoever");
    const certificate misnamed =
        make_certificate("ignored", "DNS:db.example.net,IP:127.0.0.2", &at.root);
    const std::string untrusted = "the server's certificate is not trusted: ";
    for (const ssl_mode mode : {ssl_mode::allow, ssl_mode::prefer, ssl_mode::require}) {
        CHECK(try_tls(self_signed, at.info(mode)) == "");
        // With root certificates at hand the chain is verified, though the name is not.
        conninfo info = at.info(mode);
        info.sslrootcert = at.root_file;
        CHECK(contains(try_tls(self_signed, info), untrusted));
        CHECK(try_tls(misnamed, info) == "");
    }
    CHECK(try_tls(at.named, at.info(ssl_mode::verify_ca)) == "");
    CHECK(try_tls(misnamed, at.info(ssl_mode::verify_ca)) == "");
    CHECK(contains(try_tls(self_signed, at.info(ssl_mode::verify_ca)), untrusted));
    CHECK(try_tls(at.named, at.info(ssl_mode::verify_full)) == "");
    CHECK(contains(try_tls(self_signed, at.info(ssl_mode::verify_full)), untrusted));
    CHECK(try_tls(misnamed, at.info(ssl_mode::verify_full)) ==
          "the server's certificate is not for host \"localhost\"");
    conninfo info = at.info(ssl_mode::verify_full);
    info.sslrootcert = at.other_root_file;
    CHECK(contains(try_tls(at.named, info), untrusted));
}

TEST_CASE("verify-full matches names as libpq does") {
    const world at;
    const auto verdict = [&](const certificate& shown, std::string_view host) {
        const std::string text = try_tls(shown, at.info(ssl_mode::verify_full, host));
        if (!text.empty())
            CHECK(text == "the server's certificate is not for host \"" + std::string(host) + '"');
        return text.empty();
    };
    CHECK(verdict(at.named, "localhost"));
    CHECK(verdict(at.named, "LOCALHOST"));
    CHECK(verdict(at.named, "db.example.com"));
    CHECK_FALSE(verdict(at.named, "example.com"));
    CHECK_FALSE(verdict(at.named, "a.db.example.com"));
    CHECK_FALSE(verdict(at.named, "ignored")); // the common name does not count beside other names
    CHECK(verdict(at.named, "127.0.0.1"));
    CHECK_FALSE(verdict(at.named, "127.0.0.2"));
    CHECK_FALSE(verdict(at.named, "::1"));
    const certificate common = make_certificate("db.example.org", "", &at.root);
    CHECK(verdict(common, "db.example.org"));
    CHECK_FALSE(verdict(common, "x.example.org"));
    const certificate partial = make_certificate("ignored", "DNS:d*.example.com", &at.root);
    CHECK_FALSE(verdict(partial, "db.example.com"));
    const certificate numeric = make_certificate("127.0.0.1", "", &at.root);
    CHECK_FALSE(verdict(numeric, "127.0.0.1")); // an address must stand there as one
    const certificate six = make_certificate("ignored", "IP:2001:db8::7", &at.root);
    CHECK(verdict(six, "2001:db8::7"));
    CHECK(verdict(six, "2001:0DB8:0::7"));
    CHECK(try_tls(at.named, at.info(ssl_mode::verify_full, "")) ==
          "sslmode=verify-full needs a host name to verify");
}

TEST_CASE("root certificates are read where libpq reads them") {
    const world at;
    const certificate self_signed = make_certificate("whoever");
    const std::string missing = "there is no root certificate \"";
    conninfo info = at.info(ssl_mode::verify_ca);
    info.sslrootcert = {};
    CHECK(try_tls(at.named, info).starts_with(missing + (at.home / ".postgresql/root.crt") + '"'));

    const std::string none = at.home / "none.pem";
    for (const ssl_mode mode : {ssl_mode::require, ssl_mode::verify_ca, ssl_mode::verify_full}) {
        info = at.info(mode);
        info.sslrootcert = none;
        CHECK(try_tls(at.named, info).starts_with(missing + none + '"'));
    }
    info = at.info(ssl_mode::prefer);
    info.sslrootcert = none;
    CHECK(try_tls(self_signed, info) == "");

    write_file(at.home / "bad.pem", "not a certificate");
    const std::string bad = at.home / "bad.pem";
    info.sslrootcert = bad;
    CHECK(
        try_tls(at.named, info).starts_with("could not read the root certificate \"" + bad + '"'));

    std::filesystem::create_directory(at.home / ".postgresql");
    at.root.save(at.home / ".postgresql/root.crt");
    CHECK(try_tls(at.named, at.info(ssl_mode::require)) == "");
    CHECK(contains(try_tls(self_signed, at.info(ssl_mode::require)), "is not trusted"));
    write_file(at.home / ".postgresql/root.crl", "not a list");
    CHECK(try_tls(at.named, at.info(ssl_mode::require))
              .starts_with("could not read the revocation list"));

    for (const ssl_mode mode : {ssl_mode::prefer, ssl_mode::require, ssl_mode::verify_ca}) {
        info = at.info(mode);
        info.sslrootcert = "system";
        CHECK(try_tls(at.named, info) == "sslrootcert=system needs sslmode=verify-full");
    }
    info = at.info(ssl_mode::verify_full);
    info.sslrootcert = "system";
    CHECK(contains(try_tls(at.named, info), "is not trusted"));
    ::setenv("SSL_CERT_FILE", at.root_file.c_str(), 1); // what OpenSSL takes for the system's
    CHECK(try_tls(at.named, info) == "");
    ::unsetenv("SSL_CERT_FILE");

    info = at.info(ssl_mode::disable);
    info.sslrootcert = bad;
    CHECK_NOTHROW(posix::tls{info}); // nobody will ask
}

TEST_CASE("a revoked certificate is refused") {
    const world at;
    std::filesystem::create_directory(at.home / ".postgresql");
    const std::unique_ptr<X509_CRL, void (*)(X509_CRL*)> list(X509_CRL_new(), X509_CRL_free);
    X509_CRL_set_version(list.get(), 1);
    X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(at.root.signed_name.get()));
    const std::unique_ptr<ASN1_TIME, void (*)(ASN1_TIME*)> time(ASN1_TIME_new(), ASN1_TIME_free);
    X509_gmtime_adj(time.get(), -60);
    X509_CRL_set1_lastUpdate(list.get(), time.get());
    X509_REVOKED* const entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(at.named.signed_name.get()));
    X509_REVOKED_set_revocationDate(entry, time.get());
    X509_CRL_add0_revoked(list.get(), entry);
    X509_gmtime_adj(time.get(), 3600);
    X509_CRL_set1_nextUpdate(list.get(), time.get());
    REQUIRE(X509_CRL_sign(list.get(), at.root.key.get(), EVP_sha256()) != 0);
    BIO* const file = BIO_new_file((at.home / ".postgresql/root.crl").c_str(), "w");
    PEM_write_bio_X509_CRL(file, list.get());
    BIO_free(file);
    CHECK(contains(try_tls(at.named, at.info(ssl_mode::verify_full)), "certificate revoked"));
    const certificate another = make_certificate("ignored", "DNS:localhost", &at.root);
    CHECK(try_tls(another, at.info(ssl_mode::verify_full)) == "");
}

TEST_CASE("the protocol is agreed on, which a direct handshake cannot do without") {
    const world at;
    const conninfo info = at.info(ssl_mode::verify_full);
    for (const bool direct : {false, true}) {
        CHECK(try_tls(at.named, info, {}, direct) == "");
        behaviour silent;
        silent.protocol = nullptr;
        const std::string text = try_tls(at.named, info, silent, direct);
        CHECK(
            text ==
            (direct ? "the server did not agree on a protocol (ALPN), as direct TLS demands" : ""));
        behaviour other;
        other.protocol = "http/1.1";
        CHECK(try_tls(at.named, info, other, direct) != "");
    }
}

TEST_CASE("versions before 1.2 are refused, 1.2 and 1.3 spoken") {
    const world at;
    // Systems may forbid the old ones too, so that no server could tell who did.
    const posix::tls shared(at.info(ssl_mode::prefer));
    CHECK(SSL_CTX_get_min_proto_version(shared.context()) == TLS1_2_VERSION);
    for (const int version : {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION}) {
        behaviour how;
        how.version_min = how.version_max = version;
        const std::string text = try_tls(at.named, at.info(ssl_mode::verify_full), how);
        CAPTURE(text);
        CHECK(text.empty() == (version >= TLS1_2_VERSION));
    }
}

TEST_CASE("servers are named to themselves by DNS names only") {
    const world at;
    for (const std::string host : {"localhost", "db.example.com", "127.0.0.1"}) {
        const conninfo info = at.info(ssl_mode::verify_full, host);
        const posix::tls shared(info);
        server to(at.named, {});
        std::optional<transport> link;
        connect(link, to, info);
        link->secure(shared, false, soon());
        to.join();
        CHECK(to.agreed);
        CHECK(to.name_asked_for == (host == "127.0.0.1" ? "" : host));
    }
}

TEST_CASE("a client certificate is shown when there is one, and its key must be private") {
    const world at;
    const certificate client = make_certificate("standby", "", &at.root);
    const std::string file = at.home / "client.crt";
    const std::string key = at.home / "client.key";
    client.save(file);
    conninfo info = at.info(ssl_mode::verify_full);
    info.sslcert = file;
    info.sslkey = key;
    CHECK(try_tls(at.named, info) == "there is a client certificate but no private key \"" + key +
                                         "\": No such file or directory");

    const bool root = ::geteuid() == 0;
    for (const mode_t mode : {0600u, 0400u, 0640u, 0644u, 0660u, 0604u, 0700u}) {
        CAPTURE(mode);
        client.save_key(key, mode);
        const bool fine = mode == 0600 || mode == 0400 || mode == 0700 || (root && mode == 0640);
        const std::string text = try_tls(at.named, info);
        CHECK((fine ? text.empty()
                    : text.starts_with("others may read the private key \"" + key + '"')));
    }
    client.save_key(key);
    behaviour strict;
    strict.client_root = &at.root;
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        strict.version_max = version;
        const posix::tls shared(info);
        server to(at.named, strict);
        std::optional<transport> link;
        connect(link, to, info);
        link->secure(shared, false, soon());
        to.join();
        CHECK(to.agreed);
        CHECK(to.client_name == "standby");
    }
    // Without one the server says no, in TLS 1.3 only after our side of the handshake.
    strict.version_max = TLS1_2_VERSION;
    CHECK(contains(try_tls(at.named, at.info(ssl_mode::verify_full), strict), "TLS: "));
    strict.version_max = TLS1_3_VERSION;
    {
        const conninfo plain = at.info(ssl_mode::verify_full);
        const posix::tls shared(plain);
        server to(at.named, strict);
        std::optional<transport> link;
        connect(link, to, plain);
        link->secure(shared, false, soon());
        posix::arrival last;
        std::string text;
        try {
            read_all(*link, 1, last);
        } catch (const failure& lost) {
            text = lost.what();
        }
        CHECK(contains(text, "certificate required"));
    }
    conninfo absent = info;
    const std::string none = at.home / "none.crt";
    absent.sslcert = none;
    CHECK(try_tls(at.named, absent) == ""); // it is not shown, and not missed

    make_certificate("stranger").save_key(key);
    CHECK(contains(try_tls(at.named, info), "key values mismatch"));
    certificate stranger;
    stranger.key = {EVP_RSA_gen(2048), EVP_PKEY_free};
    stranger.save_key(key);
    CHECK(contains(try_tls(at.named, info), "does not belong to the certificate"));
    client.save_key(key, 0600, "secret");
    CHECK(contains(try_tls(at.named, info), "could not read the private key"));
    std::filesystem::remove(key);
    std::filesystem::create_directory(key);
    CHECK(try_tls(at.named, info) == "the private key \"" + key + "\" is not a regular file");
    write_file(file, "not a certificate");
    CHECK(contains(try_tls(at.named, info), "could not read the client certificate"));

    std::filesystem::create_directory(at.home / ".postgresql");
    client.save(at.home / ".postgresql/postgresql.crt");
    client.save_key(at.home / ".postgresql/postgresql.key");
    const conninfo standard = at.info(ssl_mode::verify_full);
    const posix::tls shared(standard);
    server to(at.named, strict);
    std::optional<transport> link;
    connect(link, to, standard);
    link->secure(shared, false, soon());
    to.join();
    CHECK(to.client_name == "standby");
}

TEST_CASE("megabytes go both ways at once, in every version and with any room") {
    const world at;
    const std::string there = noise(12'000'000);
    const std::string back = noise(12'000'001);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        for (const std::size_t room_size : {std::size_t{65536}, std::size_t{1000}}) {
            std::string heard;
            behaviour how;
            how.version_max = version;
            how.talk = [&](SSL* ssl) {
                std::size_t sent = 0;
                std::vector<char> room(20'000);
                while (heard.size() < there.size() || sent < back.size()) {
                    if (sent < back.size()) {
                        const std::size_t size = std::min<std::size_t>(back.size() - sent, 30'000);
                        if (SSL_write(ssl, back.data() + sent, static_cast<int>(size)) <= 0) return;
                        sent += size;
                        if (sent == 1'500'000 && version == TLS1_3_VERSION)
                            SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
                    }
                    if (heard.size() < there.size()) {
                        const int got = SSL_read(ssl, room.data(), static_cast<int>(room.size()));
                        if (got <= 0) return;
                        heard.append(room.data(), static_cast<std::size_t>(got));
                    }
                }
                SSL_shutdown(ssl);
            };
            const conninfo info = at.info(ssl_mode::verify_full);
            const posix::tls shared(info);
            server to(at.named, how);
            std::optional<transport> link;
            connect(link, to, info);
            link->secure(shared, false, soon());

            std::vector<std::byte> room(room_size);
            std::array<std::string, 2> places;
            std::size_t turn = 0;
            std::string received;
            std::size_t sent = 0;
            posix::arrival last;
            while (!last.end) {
                // The bytes stay the same between tries; where they stand does not.
                std::string& moved = places[turn++ % 2];
                moved = there.substr(sent, 300'000);
                const auto rest = walwire::as_bytes(moved);
                const std::size_t head = std::min<std::size_t>(rest.size(), 100'001);
                sent += link->write({rest.first(head), rest.subspan(head)});
                last = link->read(room);
                received += walwire::as_text(std::span(room).first(last.size));
                if (last.size > 0 || last.end) continue;
                REQUIRE_FALSE(
                    link->wait({.read = true, .write = sent < there.size()}, soon()).timed_out());
            }
            CHECK_FALSE(last.truncated);
            to.join();
            CHECK(received == back);
            CHECK(heard == there);
        }
    }
}

TEST_CASE("a goodbye is told from a connection that was cut") {
    const world at;
    for (const bool polite : {true, false}) {
        behaviour how;
        how.talk = [&](SSL* ssl) {
            SSL_write(ssl, "last words", 10);
            if (polite) SSL_shutdown(ssl);
        };
        const conninfo info = at.info(ssl_mode::verify_full);
        const posix::tls shared(info);
        server to(at.named, how);
        std::optional<transport> link;
        connect(link, to, info);
        link->secure(shared, false, soon());
        posix::arrival last;
        CHECK(read_all(*link, 1000, last) == "last words");
        CHECK(last.end);
        CHECK(last.truncated == !polite);
        std::array<std::byte, 4> room{};
        CHECK(link->read(room).end); // and so on
        CHECK(link->wait({}, soon()).read);
        // What is written now is swallowed or refused, never a signal.
        to.join();
        try {
            for (int i = 0; i < 5; ++i) link->write({walwire::as_bytes("into the void"), {}});
        } catch (const failure&) {
        }
        link->close();
    }
}

TEST_CASE("our goodbye reaches the server") {
    const world at;
    int said = 0;
    behaviour how;
    how.talk = [&](SSL* ssl) {
        char room[8];
        said = SSL_get_error(ssl, SSL_read(ssl, room, sizeof room));
    };
    const conninfo info = at.info(ssl_mode::verify_full);
    const posix::tls shared(info);
    server to(at.named, how);
    std::optional<transport> link;
    connect(link, to, info);
    link->secure(shared, false, soon());
    link->close();
    to.join();
    CHECK(said == SSL_ERROR_ZERO_RETURN);
}

TEST_CASE("waiting sees what is decrypted already, and sleeps when nothing is") {
    const world at;
    behaviour how;
    how.talk = [&](SSL* ssl) {
        SSL_write(ssl, "0123456789", 10);
        char room[1];
        SSL_read(ssl, room, 1);
    };
    const conninfo info = at.info(ssl_mode::verify_full);
    const posix::tls shared(info);
    server to(at.named, how);
    std::optional<transport> link;
    connect(link, to, info);
    link->secure(shared, false, soon());
    std::array<std::byte, 3> room{};
    std::string heard;
    while (heard.size() < 9) {
        REQUIRE(link->wait({}, soon()).read);
        heard += walwire::as_text(std::span(room).first(link->read(room).size));
    }
    CHECK(link->wait({}, soon()).read); // one byte, of which the socket knows nothing
    CHECK(link->read(room).size == 1);
    const std::int64_t begun = now().steady;
    CHECK(link->wait({}, begun + 50 * millisecond).timed_out());
    CHECK(now().steady >= begun + 50 * millisecond);
    CHECK(link->write({walwire::as_bytes("x"), {}}) == 1);
}

TEST_CASE("a handshake that does not come about ends, with a reason") {
    const world at;
    const conninfo info = at.info(ssl_mode::require);
    behaviour how;
    how.instead = [](int link) { // as a server before version 17 that is greeted directly
        char room[1000];
        ::recv(link, room, sizeof room, 0);
    };
    CHECK(try_tls(at.named, info, how) == "the server hung up during the TLS handshake");
    how.instead = [](int link) {
        ::send(link, "E\0\0\0\x10no TLS here, sorry", 24, MSG_NOSIGNAL);
        char room[1000];
        while (::recv(link, room, sizeof room, 0) > 0) {
        }
    };
    CHECK(try_tls(at.named, info, how).starts_with("TLS: "));
    how.instead = [](int link) {
        const linger hard{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(link, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        char room[1];
        ::recv(link, room, 1, 0);
    };
    CHECK(try_tls(at.named, info, how) == "Connection reset by peer");

    how.instead = [](int link) {
        char room[1000];
        while (::recv(link, room, sizeof room, 0) > 0) {
        }
    };
    const posix::tls shared(info);
    {
        server to(at.named, how);
        std::optional<transport> link;
        connect(link, to, info);
        const std::int64_t begun = now().steady;
        try {
            link->secure(shared, false, begun + 60 * millisecond);
            FAIL("it cannot succeed");
        } catch (const failure& late) {
            CHECK(contains(late.what(), "the TLS handshake took too long"));
            CHECK(late.code() == ETIMEDOUT);
        }
        CHECK(now().steady >= begun + 60 * millisecond);
        link.reset();
    }
    server to(at.named, how);
    std::optional<transport> link;
    connect(link, to, info);
    posix::signals signals;
    ::raise(SIGINT);
    CHECK_THROWS_AS(link->secure(shared, false, soon(), signals.number()), posix::interrupted);
    CHECK_FALSE(link->secured());
    CHECK_THROWS_AS(link->write({walwire::as_bytes("x"), {}}), failure);
    link.reset();
}

TEST_CASE("bytes that are injected into TLS are a loss, not data") {
    const world at;
    behaviour how;
    how.talk = [](SSL* ssl) { ::send(SSL_get_fd(ssl), "injected bytes", 14, MSG_NOSIGNAL); };
    const conninfo info = at.info(ssl_mode::verify_full);
    const posix::tls shared(info);
    server to(at.named, how);
    std::optional<transport> link;
    connect(link, to, info);
    link->secure(shared, false, soon());
    posix::arrival last;
    std::string text;
    for (int i = 0; i < 2; ++i) {
        text.clear();
        try {
            read_all(*link, 1, last);
        } catch (const failure& lost) {
            text = lost.what();
        }
        CHECK(text.starts_with("lost the connection to " + link->peer() + ": TLS: "));
    }
}
