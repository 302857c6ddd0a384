// The client's side of one SCRAM-SHA-256 exchange with a primary, word by word.
//
// caller::crypto makes every nonce the same, so that the server's first word can be known before
// it is said, and the client's last one with it.
#pragma once

#include <string>
#include <string_view>

#include <walwire/auth/scram_verifier.hpp>

#include "primary/client.hpp"

namespace caller {

struct scram_client {
    std::string_view password = "pencil";
    std::string gs2 = "n,,";
    buffer binding;
    std::string nonce = "fyko+d2lbbFgONRv9qkxdawL";
    std::string salt = "sixteen of salt!";
    std::string rounds = "2";

    std::string bare() const { return "n=,r=" + nonce; }
    std::string first() const { return gs2 + bare(); }
    // What the server answers.
    std::string server_first() const {
        return "r=" + nonce + server_nonce + ",s=" + base64(as_bytes(salt)) + ",i=" + rounds;
    }
    std::string without_proof() const {
        return "c=" + base64(of(gs2) + binding) + ",r=" + nonce + server_nonce;
    }
    std::string final() const { return without_proof() + ",p=" + base64(proof()); }
    std::string server_final() const {
        auth::sha256_digest key{}, signature{};
        mac(salted(), "Server Key", key);
        mac(key, said(), signature);
        return "v=" + base64(signature);
    }

  private:
    static void mac(bytes key, std::string_view text, auth::sha256_digest& out) {
        static_cast<void>(auth::hmac_sha256(crypto(), key, {as_bytes(text)}, out));
    }
    std::string said() const { return bare() + ',' + server_first() + ',' + without_proof(); }
    auth::sha256_digest salted() const {
        auth::sha256_digest made{};
        const auto count = static_cast<std::uint32_t>(std::stoul(rounds));
        static_cast<void>(
            auth::pbkdf2_sha256(crypto(), as_bytes(password), as_bytes(salt), count, made));
        return made;
    }
    auth::sha256_digest proof() const {
        auth::sha256_digest key{}, stored{}, signature{};
        mac(salted(), "Client Key", key);
        static_cast<void>(auth::sha256(crypto(), {key}, stored));
        mac(stored, said(), signature);
        for (std::size_t i = 0; i < key.size(); ++i) key[i] ^= signature[i];
        return key;
    }
};

// A server that asks for SCRAM, and what it is asked for.
inline plan scram(std::string_view password = "pencil") {
    plan made;
    made.how = auth::method::scram_sha_256;
    made.secret = verifier(password);
    return made;
}
inline buffer login(const scram_client& client, std::string_view mechanism = "SCRAM-SHA-256") {
    return startup() + sasl(mechanism, client.first()) + response(client.final());
}

} // namespace caller
