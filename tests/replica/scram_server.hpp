// The server's side of one SCRAM-SHA-256 exchange, written down before it takes place.
//
// dialogue::crypto makes every nonce the same, so that each word of the server's can be known
// before the client has spoken: also the signature, which signs what the client is going to say.
#pragma once

#include <string>
#include <string_view>

#include <walwire/auth/scram.hpp>
#include <walwire/auth/scram_verifier.hpp>

#include "replica/dialogue.hpp"

namespace dialogue {

inline std::string base64(bytes data) {
    buffer room(auth::base64_text_size(data.size()));
    writer out(room);
    auth::put_base64(out, data);
    return spelled::text(out.written());
}
inline std::string client_nonce() {
    const buffer raw(18, std::byte{0x5a});
    return base64(raw);
}

class scram_server {
  public:
    // The server knows this password; the client is going to open with this header and to bind to
    // this.
    scram_server(std::string_view password, std::string_view gs2, const buffer& binding)
        : verifier_(*auth::make_verifier(crypto(), password, as_bytes(salt_), 2)),
          without_proof_("c=" + base64(of(gs2) + binding) + ",r=" + nonce_),
          signed_("n=,r=" + client_nonce() + ',' + text_ + ',' + without_proof_) {}

    buffer offer(bool plus) const {
        using namespace std::literals;
        return authentication(10, plus ? "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"sv
                                       : "SCRAM-SHA-256\0\0"sv);
    }
    buffer first() const { return authentication(11, text_); }
    buffer final() const {
        auth::sha256_digest signature{};
        static_cast<void>(
            auth::hmac_sha256(crypto(), verifier_.server_key, {as_bytes(signed_)}, signature));
        return authentication(12, "v=" + base64(signature));
    }

    // The mechanism by which the client has proved itself, or why it has not.
    std::string judge(bytes said) const {
        while (said.size() >= 8 && said[0] == std::byte{0})
            said = said.subspan(load<std::uint32_t>(said.data()));
        buffer stash(4096);
        wire::framer framer(stash);
        const wire::framing rule{2000, 0, wire::copy_content::whole};
        const auto initial = wire::parse_sasl_initial_response(framer.next(said, rule).data);
        if (!initial) return "no initial response";
        const std::string mechanism(initial->mechanism);
        const std::string_view response = as_text(framer.next(said, rule).data);
        if (!said.empty()) return "more than two answers";
        const std::size_t at = response.find(",p=");
        if (response.substr(0, at) != without_proof_) return "not what was to be said";
        auth::sha256_digest proof{}, signature{}, stored{};
        if (!auth::parse_base64(response.substr(at + 3), proof)) return "no proof";
        static_cast<void>(
            auth::hmac_sha256(crypto(), verifier_.stored_key, {as_bytes(signed_)}, signature));
        for (std::size_t i = 0; i < proof.size(); ++i) proof[i] ^= signature[i];
        static_cast<void>(auth::sha256(crypto(), {proof}, stored));
        return stored == verifier_.stored_key ? mechanism : "the proof is wrong";
    }

    const auth::scram_verifier& verifier() const { return verifier_; }
    const std::string& nonce() const { return nonce_; }

  private:
    std::string salt_ = "sixteen of salt!";
    std::string nonce_ = client_nonce() + "3rfcNHYJY1ZVvWVs7j";
    std::string text_ = "r=" + nonce_ + ",s=" + base64(as_bytes(salt_)) + ",i=2";
    auth::scram_verifier verifier_;
    std::string without_proof_;
    std::string signed_; // RFC 5802's AuthMessage
};

} // namespace dialogue
