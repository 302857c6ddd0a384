#include <walwire/auth/openssl.hpp>

#include <walwire/auth/base64.hpp>

#include "recorded.hpp"

#include <doctest/doctest.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

using namespace walwire;

namespace {

std::string hex(bytes data) {
    std::string text;
    for (const std::byte each : data) {
        const auto value = std::to_integer<unsigned>(each);
        text += "0123456789abcdef"[value >> 4];
        text += "0123456789abcdef"[value & 0xf];
    }
    return text;
}

std::vector<std::byte> from_base64(std::string_view text) {
    std::vector<std::byte> room(auth::base64_bytes_max(text.size()));
    const auto parsed = auth::parse_base64(text, room);
    REQUIRE(parsed);
    room.resize(*parsed);
    return room;
}

struct free_key {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using key_pointer = std::unique_ptr<EVP_PKEY, free_key>;

key_pointer ec_key() {
    return key_pointer(EVP_EC_gen("P-256"));
}
key_pointer rsa_key() {
    return key_pointer(EVP_RSA_gen(2048));
}

// A certificate in DER that signs itself; `pss` chooses RSA's padding.
std::vector<std::byte> certificate(EVP_PKEY* key, const EVP_MD* digest, bool pss = false) {
    X509* const made = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
    X509_gmtime_adj(X509_getm_notBefore(made), 0);
    X509_gmtime_adj(X509_getm_notAfter(made), 3600);
    X509_set_pubkey(made, key);
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    EVP_PKEY_CTX* padding = nullptr;
    REQUIRE(EVP_DigestSignInit(context, &padding, digest, nullptr, key) == 1);
    if (pss) REQUIRE(EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1);
    REQUIRE(X509_sign_ctx(made, context) > 0);
    unsigned char* at = nullptr;
    const int size = i2d_X509(made, &at);
    REQUIRE(size > 0);
    const auto* first = reinterpret_cast<const std::byte*>(at);
    std::vector<std::byte> der(first, first + size);
    OPENSSL_free(at);
    EVP_MD_CTX_free(context);
    X509_free(made);
    return der;
}

// What libcrypto's one-shot call makes of the same bytes.
std::string digest_of(bytes data, const EVP_MD* digest) {
    std::array<std::byte, EVP_MAX_MD_SIZE> out;
    unsigned size = 0;
    REQUIRE(EVP_Digest(data.data(), data.size(), reinterpret_cast<unsigned char*>(out.data()),
                       &size, digest, nullptr) == 1);
    return hex(bytes(out).first(size));
}

std::string binding_of(bytes der) {
    std::array<std::byte, 64> room;
    const auto hashed = auth::server_end_point(der, room);
    REQUIRE(hashed);
    return hex(*hashed);
}

} // namespace

TEST_CASE("digests are those of the standards, in however many parts") {
    const auto crypto = auth::openssl();
    auth::md5_digest short_digest;
    auth::sha256_digest digest;
    CHECK(auth::md5(crypto, {}, short_digest) == errc::none);
    CHECK(hex(short_digest) == "d41d8cd98f00b204e9800998ecf8427e");
    CHECK(auth::md5(crypto, {as_bytes("message"), {}, as_bytes(" digest")}, short_digest) ==
          errc::none);
    CHECK(hex(short_digest) == "f96b697d7cb7938d525a2f31aaf161d0");

    constexpr auto abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    CHECK(auth::sha256(crypto, {as_bytes("abc")}, digest) == errc::none);
    CHECK(hex(digest) == abc);
    CHECK(auth::sha256(crypto, {{}, as_bytes("a"), {}, as_bytes("bc")}, digest) == errc::none);
    CHECK(hex(digest) == abc);
}

TEST_CASE("HMAC is RFC 4231's, with keys of any size") {
    const auto crypto = auth::openssl();
    auth::sha256_digest digest;
    CHECK(auth::hmac_sha256(crypto, as_bytes("Jefe"),
                            {as_bytes("what do ya want "), as_bytes("for nothing?")},
                            digest) == errc::none);
    CHECK(hex(digest) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    const std::string key(131, '\xaa');
    CHECK(auth::hmac_sha256(crypto, as_bytes(key),
                            {as_bytes("Test Using Larger Than Block-Size Key - Hash Key First")},
                            digest) == errc::none);
    CHECK(hex(digest) == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    CHECK(auth::hmac_sha256(crypto, {}, {}, digest) == errc::none);
    CHECK(hex(digest) == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST_CASE("PBKDF2 is RFC 7914's, and impossible counts fail") {
    const auto crypto = auth::openssl();
    auth::sha256_digest digest;
    CHECK(auth::pbkdf2_sha256(crypto, as_bytes("passwd"), as_bytes("salt"), 1, digest) ==
          errc::none);
    CHECK(hex(digest) == "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
    CHECK(auth::pbkdf2_sha256(crypto, {}, as_bytes("salt"), 1, digest) == errc::none);
    CHECK(auth::pbkdf2_sha256(crypto, as_bytes("x"), as_bytes("salt"), 0, digest) ==
          errc::crypto_failed);
    CHECK(auth::pbkdf2_sha256(crypto, as_bytes("x"), as_bytes("salt"), 0x80000000, digest) ==
          errc::crypto_failed);
}

TEST_CASE("streamed digests are those of the standards, in however many pieces") {
    // FIPS 180-2's examples, and of nothing.
    struct vector {
        auth::digest_algorithm algorithm;
        std::string_view text;
        std::string_view digest;
    };
    using enum auth::digest_algorithm;
    constexpr std::string_view nothing = "";
    const vector vectors[] = {
        {sha224, "abc", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"},
        {sha224, nothing, "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f"},
        {sha256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {sha256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {sha256, nothing, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {sha384, "abc",
         "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
         "8086072ba1e7cc2358baeca134c825a7"},
        {sha512, "abc",
         "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
         "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
    };
    const auth::digests with = auth::openssl_digests();
    REQUIRE(with.offered());
    for (const vector& each : vectors) {
        CAPTURE(each.digest);
        for (std::size_t size = 1; size <= 64; ++size) {
            auth::running_digest digest;
            REQUIRE(digest.begin(with, each.algorithm) == errc::none);
            for (bytes left = as_bytes(each.text); !left.empty();) {
                const bytes piece = left.first(std::min(size, left.size()));
                REQUIRE(digest.update(piece) == errc::none);
                left = left.subspan(piece.size());
            }
            std::array<std::byte, auth::digest_size_max> room;
            const auto out = mutable_bytes(room).first(auth::digest_size(each.algorithm));
            REQUIRE(digest.finish(out) == errc::none);
            CHECK(hex(out) == each.digest);
        }
    }
}

TEST_CASE("digests run side by side and may be given up") {
    const auth::digests with = auth::openssl_digests();
    auth::running_digest one, two, three;
    REQUIRE(one.begin(with, auth::digest_algorithm::sha256) == errc::none);
    REQUIRE(two.begin(with, auth::digest_algorithm::sha256) == errc::none);
    REQUIRE(three.begin(with, auth::digest_algorithm::sha512) == errc::none);
    CHECK(one.update(as_bytes("a")) == errc::none);
    CHECK(two.update(as_bytes("b")) == errc::none);
    CHECK(three.update(as_bytes("abandoned")) == errc::none);
    auth::sha256_digest first, second;
    CHECK(one.finish(first) == errc::none);
    CHECK(two.finish(second) == errc::none);
    CHECK(hex(first) == digest_of(as_bytes("a"), EVP_sha256()));
    CHECK(hex(second) == digest_of(as_bytes("b"), EVP_sha256()));
}

TEST_CASE("random bytes are not the same twice") {
    const auto crypto = auth::openssl();
    std::array<std::byte, 18> one{}, two{};
    CHECK(auth::random(crypto, one) == errc::none);
    CHECK(auth::random(crypto, two) == errc::none);
    CHECK(one != two);
    CHECK(auth::random(crypto, {}) == errc::none);
}

TEST_CASE("a failure leaves no trace in the error queue, and older errors in their place") {
    ERR_clear_error();
    const auto crypto = auth::openssl();
    std::array<std::byte, 64> room;
    auth::sha256_digest digest;
    CHECK(auth::server_end_point(as_bytes("no certificate"), room).code() ==
          errc::argument_invalid);
    CHECK(auth::pbkdf2_sha256(crypto, {}, {}, 0, digest) == errc::crypto_failed);
    CHECK(ERR_peek_error() == 0);
    ERR_raise(ERR_LIB_USER, 7);
    const auto before = ERR_peek_error();
    CHECK(auth::server_end_point(as_bytes("no certificate"), room).code() ==
          errc::argument_invalid);
    CHECK(ERR_peek_error() == before);
    CHECK(ERR_peek_last_error() == before);
    ERR_clear_error();
}

TEST_CASE("the binding of a recorded server's certificate is the one that its server accepted") {
    for (const auto& certificate : recorded::certificates) {
        const int server = certificate.first;
        CAPTURE(server);
        const auto der = from_base64(certificate.second);
        std::array<std::byte, 64> room;
        const auto hashed = auth::server_end_point(der, room);
        REQUIRE(hashed);
        for (const auto& exchange : recorded::exchanges) {
            if (!exchange.bound || exchange.server != server) continue;
            const auto end = exchange.client_final.find(',');
            const auto said = from_base64(exchange.client_final.substr(2, end - 2));
            CHECK(hex(bytes(said).subspan(24)) == hex(*hashed));
        }
    }
}

TEST_CASE("a certificate is hashed as it is signed, with SHA-256 for what is broken") {
    const auto ec = ec_key();
    const auto rsa = rsa_key();
    const auto check = [](const std::vector<std::byte>& der, const EVP_MD* expected) {
        CHECK(binding_of(der) == digest_of(der, expected));
    };
    check(certificate(ec.get(), EVP_sha224()), EVP_sha224());
    check(certificate(ec.get(), EVP_sha256()), EVP_sha256());
    check(certificate(ec.get(), EVP_sha384()), EVP_sha384());
    check(certificate(ec.get(), EVP_sha512()), EVP_sha512());
    check(certificate(ec.get(), EVP_sha1()), EVP_sha256());
    check(certificate(rsa.get(), EVP_sha512()), EVP_sha512());
    check(certificate(rsa.get(), EVP_sha1()), EVP_sha256());
    check(certificate(rsa.get(), EVP_md5()), EVP_sha256());
}

TEST_CASE("the hash of an RSA-PSS certificate stands in its parameters") {
    const auto rsa = rsa_key();
    for (const EVP_MD* digest : {EVP_sha256(), EVP_sha384(), EVP_sha512()}) {
        const auto der = certificate(rsa.get(), digest, true);
        CHECK(binding_of(der) == digest_of(der, digest));
    }
    const auto der = certificate(rsa.get(), EVP_sha1(), true);
    CHECK(binding_of(der) == digest_of(der, EVP_sha256()));
}

TEST_CASE("room that is smaller than the hash is refused") {
    const auto der = certificate(ec_key().get(), EVP_sha384());
    std::vector<std::byte> room(47);
    CHECK(auth::server_end_point(der, room).code() == errc::argument_too_long);
    room.resize(48);
    CHECK(auth::server_end_point(der, room)->size() == 48);
}

TEST_CASE("a certificate whose signature names no hash has no binding") {
    std::array<std::byte, 64> room;
    for (const char* name : {"ED25519", "ED448"}) {
        const key_pointer key(EVP_PKEY_Q_keygen(nullptr, nullptr, name));
        REQUIRE(key);
        CHECK(auth::server_end_point(certificate(key.get(), nullptr), room).code() ==
              errc::channel_binding_missing);
    }
}

TEST_CASE("what is no whole certificate, or more than one, is refused") {
    const auto der = certificate(ec_key().get(), EVP_sha256());
    std::array<std::byte, 64> room;
    for (std::size_t size = 0; size < der.size(); ++size)
        CHECK(auth::server_end_point(bytes(der).first(size), room).code() ==
              errc::argument_invalid);
    auto more = der;
    more.push_back(std::byte{0});
    CHECK(auth::server_end_point(more, room).code() == errc::argument_invalid);
}
