// The crypto and digest tables from libcrypto, and the channel binding of a certificate.
//
// Opt-in: this is the only header of the library that includes another library's, and nothing here
// includes it. It needs OpenSSL 3 and -lcrypto. It is safe in any thread, and leaves the thread's
// error queue as it was, so that a failure here is never taken for one of TLS. In FIPS mode
// libcrypto has no MD5, and md5 then fails.
//
// What it keeps are libcrypto's implementations of SHA-2, looked up when the first digest begins
// and let go when the program ends: a lookup takes locks and compares names, which costs more than
// hashing a small file. A provider or property that is set after that is not seen.
//
// Source of truth: RFC 5929, section 4, for tls-server-end-point; OpenSSL's manual pages.
#pragma once

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include <cstddef>
#include <cstdint>
#include <limits>

#include "../bytes.hpp"
#include "../error.hpp"
#include "crypto.hpp"
#include "digest.hpp"

namespace walwire::auth {
namespace detail {

// libcrypto's own failures are dropped when this goes out of scope; older ones stay.
class openssl_errors {
  public:
    openssl_errors() noexcept { ERR_set_mark(); }
    openssl_errors(const openssl_errors&) = delete;
    openssl_errors& operator=(const openssl_errors&) = delete;
    ~openssl_errors() { ERR_pop_to_mark(); }
};

// What a size of libcrypto's, an int, can say.
inline constexpr std::size_t openssl_size_max = std::numeric_limits<int>::max();

inline unsigned char* openssl_room(mutable_bytes data) noexcept {
    return reinterpret_cast<unsigned char*>(data.data());
}
inline const unsigned char* openssl_bytes(bytes data) noexcept {
    return reinterpret_cast<const unsigned char*>(data.data());
}

// `out` is as large as the digest.
inline bool openssl_digest(const EVP_MD* digest, parts message, mutable_bytes out) noexcept {
    const openssl_errors errors;
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    bool ok = context != nullptr && EVP_DigestInit_ex(context, digest, nullptr) == 1;
    for (const bytes part : message)
        ok = ok && EVP_DigestUpdate(context, part.data(), part.size()) == 1;
    ok = ok && EVP_DigestFinal_ex(context, openssl_room(out), nullptr) == 1;
    EVP_MD_CTX_free(context); // which wipes it
    return ok;
}

inline bool openssl_random(void*, mutable_bytes out) noexcept {
    const openssl_errors errors;
    return out.size() <= openssl_size_max &&
           RAND_bytes(openssl_room(out), static_cast<int>(out.size())) == 1;
}

inline bool openssl_md5(void*, parts message, md5_digest& out) noexcept {
    return openssl_digest(EVP_md5(), message, out);
}

inline bool openssl_sha256(void*, parts message, sha256_digest& out) noexcept {
    return openssl_digest(EVP_sha256(), message, out);
}

inline bool openssl_hmac_sha256(void*, bytes key, parts message, sha256_digest& out) noexcept {
    const openssl_errors errors;
    char name[] = "SHA256";
    const OSSL_PARAM chosen[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                                 OSSL_PARAM_construct_end()};
    const unsigned char none = 0; // a null key would mean that it is set already
    EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    EVP_MAC_CTX* const context = mac == nullptr ? nullptr : EVP_MAC_CTX_new(mac);
    bool ok = context != nullptr && EVP_MAC_init(context, key.empty() ? &none : openssl_bytes(key),
                                                 key.size(), chosen) == 1;
    for (const bytes part : message)
        ok = ok && EVP_MAC_update(context, openssl_bytes(part), part.size()) == 1;
    std::size_t size = 0;
    ok = ok && EVP_MAC_final(context, openssl_room(out), &size, out.size()) == 1;
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(mac);
    return ok && size == out.size();
}

inline bool openssl_pbkdf2_sha256(void*, bytes password, bytes salt, std::uint32_t iterations,
                                  sha256_digest& out) noexcept {
    const openssl_errors errors;
    if (password.size() > openssl_size_max || salt.size() > openssl_size_max) return false;
    if (iterations > openssl_size_max) return false;
    return PKCS5_PBKDF2_HMAC(as_text(password).data(), static_cast<int>(password.size()),
                             openssl_bytes(salt), static_cast<int>(salt.size()),
                             static_cast<int>(iterations), EVP_sha256(),
                             static_cast<int>(out.size()), openssl_room(out)) == 1;
}

// In the order of digest_algorithm; null for what libcrypto does not have.
class openssl_fetched {
  public:
    openssl_fetched() noexcept {
        const openssl_errors errors;
        const char* const names[] = {"SHA2-224", "SHA2-256", "SHA2-384", "SHA2-512"};
        for (std::size_t i = 0; i < 4; ++i) fetched_[i] = EVP_MD_fetch(nullptr, names[i], nullptr);
    }
    openssl_fetched(const openssl_fetched&) = delete;
    openssl_fetched& operator=(const openssl_fetched&) = delete;
    ~openssl_fetched() {
        for (EVP_MD* const each : fetched_)
            EVP_MD_free(each); // running digests have their own hold
    }

    static const EVP_MD* of(digest_algorithm algorithm) noexcept {
        static const openssl_fetched all;
        return all.fetched_[static_cast<std::size_t>(algorithm)];
    }

  private:
    EVP_MD* fetched_[4];
};

inline void openssl_abandon_digest(void* running) noexcept {
    EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(running));
}

inline void* openssl_begin_digest(void*, digest_algorithm algorithm) noexcept {
    const EVP_MD* const digest = openssl_fetched::of(algorithm);
    if (digest == nullptr) return nullptr;
    const openssl_errors errors;
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    if (context == nullptr || EVP_DigestInit_ex(context, digest, nullptr) == 1) return context;
    EVP_MD_CTX_free(context);
    return nullptr;
}

inline bool openssl_update_digest(void* running, bytes data) noexcept {
    const openssl_errors errors;
    return EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(running), data.data(), data.size()) == 1;
}

inline bool openssl_finish_digest(void* running, mutable_bytes out) noexcept {
    const openssl_errors errors;
    auto* const context = static_cast<EVP_MD_CTX*>(running);
    const bool fits = static_cast<std::size_t>(EVP_MD_CTX_get_size(context)) == out.size();
    const bool ok = fits && EVP_DigestFinal_ex(context, openssl_room(out), nullptr) == 1;
    EVP_MD_CTX_free(context);
    return ok;
}

} // namespace detail

inline digests openssl_digests() noexcept {
    return {nullptr, detail::openssl_begin_digest, detail::openssl_update_digest,
            detail::openssl_finish_digest, detail::openssl_abandon_digest};
}

inline crypto openssl() noexcept {
    return {nullptr,
            detail::openssl_random,
            detail::openssl_md5,
            detail::openssl_sha256,
            detail::openssl_hmac_sha256,
            detail::openssl_pbkdf2_sha256};
}

// The tls-server-end-point binding of a certificate in DER: its hash, by the hash function of its
// own signature, with SHA-256 in the place of the broken MD5 and SHA-1. A view of the front of
// `room`, for which channel_binding_size_max suffices; argument_too_long if it does not.
// argument_invalid: no certificate. channel_binding_missing: its signature names no hash function
// that libcrypto knows, as Ed25519's does not. crypto_failed: the hash could not be computed.
inline result<bytes> server_end_point(bytes certificate, mutable_bytes room) noexcept {
    const detail::openssl_errors errors;
    if (certificate.size() > detail::openssl_size_max) return errc::argument_invalid;
    const unsigned char* at = detail::openssl_bytes(certificate);
    X509* const parsed = d2i_X509(nullptr, &at, static_cast<long>(certificate.size()));
    if (parsed == nullptr) return errc::argument_invalid;
    const bool whole = at == detail::openssl_bytes(certificate) + certificate.size();
    int hash = NID_undef;
    if (X509_get_signature_info(parsed, &hash, nullptr, nullptr, nullptr) != 1) hash = NID_undef;
    X509_free(parsed);
    if (!whole) return errc::argument_invalid;

    if (hash == NID_md5 || hash == NID_sha1) hash = NID_sha256;
    const EVP_MD* const digest =
        hash == NID_undef ? nullptr : EVP_get_digestbyname(OBJ_nid2sn(hash));
    const int size = digest == nullptr ? 0 : EVP_MD_get_size(digest);
    if (size <= 0) return errc::channel_binding_missing;
    if (static_cast<std::size_t>(size) > room.size()) return errc::argument_too_long;
    const mutable_bytes out = room.first(static_cast<std::size_t>(size));
    if (!detail::openssl_digest(digest, {certificate}, out)) return errc::crypto_failed;
    return bytes(out);
}

} // namespace walwire::auth
