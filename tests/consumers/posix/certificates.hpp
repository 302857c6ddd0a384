// Throw-away certificates, made when a test runs so that none ever expires.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace posix_test {

struct certificate {
    std::shared_ptr<EVP_PKEY> key;
    std::shared_ptr<X509> signed_name;

    std::vector<std::byte> der() const {
        std::vector<std::byte> made(static_cast<std::size_t>(i2d_X509(signed_name.get(), nullptr)));
        auto* at = reinterpret_cast<unsigned char*>(made.data());
        i2d_X509(signed_name.get(), &at);
        return made;
    }

    void save(const std::string& path) const {
        const std::unique_ptr<BIO, int (*)(BIO*)> file(BIO_new_file(path.c_str(), "w"), BIO_free);
        PEM_write_bio_X509(file.get(), signed_name.get());
    }
    void save_key(const std::string& path, mode_t mode = 0600,
                  const char* passphrase = nullptr) const {
        ::unlink(path.c_str()); // an earlier one may be read-only
        {
            const std::unique_ptr<BIO, int (*)(BIO*)> file(BIO_new_file(path.c_str(), "w"),
                                                           BIO_free);
            PEM_write_bio_PrivateKey(file.get(), key.get(),
                                     passphrase ? EVP_aes_128_cbc() : nullptr, nullptr, 0, nullptr,
                                     const_cast<char*>(passphrase));
        }
        ::chmod(path.c_str(), mode);
    }
};

// `names` is a subjectAltName such as "DNS:localhost,IP:127.0.0.1"; empty for none. Without an
// issuer the certificate signs itself and may sign others.
inline certificate make_certificate(const std::string& common_name, const std::string& names = {},
                                    const certificate* issuer = nullptr) {
    certificate made{{EVP_EC_gen("P-256"), EVP_PKEY_free}, {X509_new(), X509_free}};
    X509* const at = made.signed_name.get();
    X509_set_version(at, 2);
    static long serial = 1000;
    ASN1_INTEGER_set(X509_get_serialNumber(at), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(at), -3600);
    X509_gmtime_adj(X509_getm_notAfter(at), 3600);
    X509_set_pubkey(at, made.key.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(at), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                               0);
    X509_set_issuer_name(at, X509_get_subject_name(issuer ? issuer->signed_name.get() : at));
    const auto extend = [at](int kind, const char* value) {
        X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
        if (extension == nullptr) throw std::runtime_error(value);
        X509_add_ext(at, extension, -1);
        X509_EXTENSION_free(extension);
    };
    if (issuer == nullptr) extend(NID_basic_constraints, "critical,CA:TRUE");
    if (!names.empty()) extend(NID_subject_alt_name, names.c_str());
    if (X509_sign(at, issuer ? issuer->key.get() : made.key.get(), EVP_sha256()) == 0)
        throw std::runtime_error("could not sign");
    return made;
}

} // namespace posix_test
