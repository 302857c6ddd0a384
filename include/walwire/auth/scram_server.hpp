// The server's end of SCRAM-SHA-256; scram.hpp draws the exchange and is the client's end.
//
//     start(mechanism, binding)          which of the two names the client chose of those offered
//     read_client_first(message)         gs2 header, n=,r=NONCE
//     challenge(known or nobody)         -> r=NONCEMORE,s=SALT,i=ITERATIONS
//     answer(message)                    c=,r=,p=   -> v=SIGNATURE, and verified()
//
// The server has no password, only a verifier: the proof opened with the stored key must give a
// client key whose hash the stored key is. That costs four hashes and no salting, so a hostile
// client can make a server do next to nothing.
//
// Nobody learns here which users there are. One that is unknown, or has no verifier, is challenged
// with a salt that only a secret of the server's and the name determine, the same at every attempt,
// and fails where everybody fails: at the proof, after the same work. It is the caller's part to
// look users up in a time that does not tell either, and to say the same of all who fail.
//
// The client's first message is borrowed: it must lie where it is until the exchange has ended,
// since the proof is made over all that was said. So is the binding. What is kept here is the
// verifier, which is wiped at the end, and the server's own nonce.
//
// More is refused than PostgreSQL refuses, and no client says it: an empty nonce, an extension
// without a value, a mandatory one among the optional, a comma at the end.
//
// Source of truth: RFC 5802 and RFC 7677; the manual, "SASL Authentication".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "base64.hpp"
#include "crypto.hpp"
#include "mechanism.hpp"
#include "scram.hpp"
#include "scram_verifier.hpp"

namespace walwire::auth {

// What stands behind the code of AuthenticationSASL. `plus`: inside TLS, with a hash of our
// certificate at hand.
inline void put_mechanisms(writer& out, bool plus) noexcept {
    if (plus) out.c_string(scram_sha_256_plus_name);
    out.c_string(scram_sha_256_name);
    out.u8(0);
}

// How PostgreSQL reports a login that came to nothing; for a code that is none of those below, an
// internal error.
constexpr std::string_view authentication_sqlstate(errc code) noexcept {
    switch (code) {
    case errc::sasl_mechanism_unknown:
    case errc::scram_malformed:
    case errc::scram_binding_unknown:
    case errc::scram_nonce_mismatch: return "08P01"; // protocol_violation
    case errc::scram_unsupported: return "0A000";    // feature_not_supported
    case errc::scram_downgraded:
    case errc::scram_channel_binding_mismatch:
        return "28000"; // invalid_authorization_specification
    case errc::scram_proof_mismatch:
    case errc::message_too_large:
    case errc::password_mismatch: return "28P01"; // invalid_password
    default: return "XX000";                      // internal_error
    }
}

struct scram_client_first {
    channel_binding_flag flag = channel_binding_flag::none;
    std::string_view bare; // all behind the gs2 header
    std::string_view user; // as it was sent; the name in the start-up packet is the one that counts
    std::string_view nonce; // the client's
};

namespace detail {

inline bool is_scram_message(std::string_view text) noexcept {
    return text.size() <= scram_message_size_max && text.find('\0') == std::string_view::npos;
}

} // namespace detail

// scram_malformed, scram_binding_unknown for a binding to anything but the certificate, or
// scram_unsupported for a client that wants to act as another user or demands an extension.
inline result<scram_client_first> parse_client_first(std::string_view message) noexcept {
    if (!detail::is_scram_message(message)) return errc::scram_malformed;
    scram_client_first parsed;
    const std::string_view flag = detail::take_until(message, ',');
    if (flag.starts_with("p=") && flag.size() > 2) {
        if (flag.substr(2) != tls_server_end_point) return errc::scram_binding_unknown;
        parsed.flag = channel_binding_flag::bound;
    } else if (flag == "y") {
        parsed.flag = channel_binding_flag::not_offered;
    } else if (flag != "n") {
        return errc::scram_malformed;
    }
    const std::string_view identity = detail::take_until(message, ',');
    if (identity.starts_with("a=")) return errc::scram_unsupported;
    if (!identity.empty()) return errc::scram_malformed;
    if (message.starts_with("m=")) return errc::scram_unsupported;
    parsed.bare = message;
    scram_reader in(message);
    parsed.user = in.value('n');
    parsed.nonce = in.value('r');
    in.extensions();
    if (!in.done() || !is_scram_nonce(parsed.nonce)) return errc::scram_malformed;
    return parsed;
}

struct scram_client_final {
    std::string_view
        binding; // in base64: the gs2 header once more, and what the exchange is bound to
    std::string_view nonce;         // both ends' together
    std::string_view without_proof; // what the proof is made over, of this message
    sha256_digest proof{};
};

// scram_malformed.
inline result<scram_client_final> parse_client_final(std::string_view message) noexcept {
    scram_client_final parsed;
    const std::size_t end = message.find(",p="); // a proof that has another behind it is no base64
    if (!detail::is_scram_message(message) || end == std::string_view::npos ||
        !detail::parse_digest(message.substr(end + 3), parsed.proof))
        return errc::scram_malformed;
    parsed.without_proof = message.substr(0, end);
    scram_reader in(parsed.without_proof);
    parsed.binding = in.value('c');
    parsed.nonce = in.value('r');
    in.extensions();
    if (!in.done()) return errc::scram_malformed;
    return parsed;
}

// What a server needs in order to challenge a user that it does not have. `secret` should be random
// and stay the same for as long as the users do, as PostgreSQL keeps one for each cluster;
// `iterations` should be what the true verifiers have, lest the difference tell.
struct scram_mock {
    bytes secret;
    std::uint32_t iterations = scram_iterations;
};

// A shorter secret could be searched for, and with it found out who is unknown.
inline constexpr std::size_t scram_mock_secret_size_min = 16;

// A verifier that no password has, as PostgreSQL makes it: the salt is the front of
// SHA-256(user, secret). argument_invalid, crypto_missing or crypto_failed.
inline result<scram_verifier> mock_verifier(const crypto& with, std::string_view user,
                                            const scram_mock& mock) noexcept {
    if (mock.secret.size() < scram_mock_secret_size_min) return errc::argument_invalid;
    if (mock.iterations == 0 || mock.iterations > INT32_MAX) return errc::argument_invalid;
    sha256_digest digest{};
    const errc code = sha256(with, {as_bytes(user), mock.secret}, digest);
    if (code != errc::none) return code;
    scram_verifier made;
    made.iterations = mock.iterations;
    made.salt_size = scram_salt_size;
    std::memcpy(made.salt.data(), digest.data(), scram_salt_size);
    return made;
}

// One server in one exchange: start, read_client_first, challenge, answer. What the client did
// wrong ends the exchange, and every later call is refused with not_now until the next start;
// misuse and failures of our own change nothing.
class scram_server {
  public:
    scram_server() noexcept = default;
    scram_server(const scram_server&) = delete;
    scram_server& operator=(const scram_server&) = delete;
    ~scram_server() { forget(); }

    // The client chose `mechanism`. `binding`, which is borrowed, is the hash of our certificate,
    // and is empty where SCRAM-SHA-256-PLUS was not offered. sasl_mechanism_unknown, or
    // argument_too_long.
    errc start(std::string_view mechanism, bytes binding) noexcept {
        if (binding.size() > channel_binding_size_max) return errc::argument_too_long;
        forget();
        plus_ = mechanism == scram_sha_256_plus_name;
        const bool offered = plus_ ? !binding.empty() : mechanism == scram_sha_256_name;
        if (!offered) return fail(errc::sasl_mechanism_unknown);
        binding_ = binding;
        step_ = step::started;
        return errc::none;
    }

    // The client's first message, which is borrowed from here to the end of the exchange. Beside
    // the codes of parse_client_first, scram_downgraded for a client that would have bound the
    // exchange, but was told by somebody that we cannot.
    errc read_client_first(std::string_view message) noexcept {
        if (step_ != step::started) return errc::not_now;
        const auto first = parse_client_first(message);
        if (!first) return fail(first.code());
        if ((first->flag == channel_binding_flag::bound) != plus_)
            return fail(errc::scram_malformed);
        if (first->flag == channel_binding_flag::not_offered && !binding_.empty())
            return fail(errc::scram_downgraded);
        flag_ = first->flag;
        bare_ = first->bare;
        client_nonce_ = first->nonce;
        step_ = step::introduced;
        return errc::none;
    }

    // Writes the server's first message with a nonce of its own. `known` is null for a user who is
    // unknown or may not log in in this way; a verifier without a salt or iterations counts as
    // null. The mock salt is made in any case, so that its time does not tell. Beside the codes of
    // mock_verifier, output_full; after any code nothing was written.
    errc challenge(const crypto& with, std::string_view user, const scram_verifier* known,
                   const scram_mock& mock, writer& out) noexcept {
        std::array<char, nonce_size> nonce{};
        if (step_ != step::introduced) return errc::not_now;
        if (const errc code = make_nonce(with, nonce); code != errc::none) return code;
        return challenge(with, user, known, mock, {nonce.data(), nonce.size()}, out);
    }

    // The same with a nonce that was made before; it must be new for each exchange and is copied.
    errc challenge(const crypto& with, std::string_view user, const scram_verifier* known,
                   const scram_mock& mock, std::string_view nonce, writer& out) noexcept {
        if (step_ != step::introduced) return errc::not_now;
        if (nonce.size() > nonce_.size()) return errc::argument_too_long;
        if (!is_scram_nonce(nonce)) return errc::argument_invalid;
        const auto instead = mock_verifier(with, user, mock);
        if (!instead) return instead.code();
        const bool usable = known != nullptr && known->iterations != 0 && known->salt_size != 0 &&
                            known->salt_size <= known->salt.size();
        const scram_verifier& chosen = usable ? *known : *instead;

        challenge_tail room;
        writer message = out;
        message.append("r=");
        message.append(client_nonce_);
        message.append(nonce);
        message.append(salt_and_iterations(chosen, room));
        if (!message.ok()) return errc::output_full;
        out = message;
        usable_ = usable;
        verifier_ = chosen;
        nonce_size_ = static_cast<std::uint8_t>(nonce.size());
        std::memcpy(nonce_.data(), nonce.data(), nonce.size());
        step_ = step::challenged;
        return errc::none;
    }

    // Reads the client's last message and, if it is all right, writes the server's: v=. Else
    // nothing was written and the code is scram_malformed, scram_channel_binding_mismatch,
    // scram_nonce_mismatch, scram_proof_mismatch, or one of our own: output_full, crypto_missing,
    // crypto_failed.
    errc answer(const crypto& with, std::string_view client_final, writer& out) noexcept {
        if (step_ != step::challenged) return errc::not_now;
        const auto last = parse_client_final(client_final);
        if (!last) return fail(last.code());
        if (const errc code = check_binding(last->binding); code != errc::none) return fail(code);
        if (!is_both_nonces(last->nonce)) return fail(errc::scram_nonce_mismatch);

        sha256_digest signature{};
        writer message = out;
        message.append("v=");
        put_base64(message, signature);
        if (!message.ok()) return errc::output_full;
        const errc code = check_proof(with, *last, signature);
        if (code == errc::scram_proof_mismatch) return fail(code);
        if (code != errc::none) return code;
        out.append("v=");
        put_base64(out, signature);
        forget();
        step_ = step::verified;
        return errc::none;
    }

    // The client has proved that it knows the password.
    bool verified() const noexcept { return step_ == step::verified; }
    // It proved that over the certificate that we showed it.
    bool bound() const noexcept { return verified() && plus_; }

  private:
    enum class step : std::uint8_t { fresh, started, introduced, challenged, verified, ended };

    // ",s=", the longest salt, ",i=" and ten digits.
    using challenge_tail = std::array<std::byte, 3 + base64_text_size(64) + 3 + 10>;

    static bytes salt_and_iterations(const scram_verifier& of, challenge_tail& room) noexcept {
        writer out(room);
        out.append(",s=");
        put_base64(out, of.salt_bytes());
        out.append(",i=");
        out.append(decimal_text(of.iterations));
        return out.written();
    }

    std::string_view nonce() const noexcept { return {nonce_.data(), std::size_t{nonce_size_}}; }

    bool is_both_nonces(std::string_view said) const noexcept {
        return said.size() == client_nonce_.size() + nonce_size_ &&
               said.starts_with(client_nonce_) && said.ends_with(nonce());
    }

    // Base64 has one text for each value, so the texts are compared. A client that bound nothing
    // and repeats its header wrongly is broken; one that is bound to something else may be robbed.
    errc check_binding(std::string_view said) const noexcept {
        constexpr std::size_t size_max = 24 + channel_binding_size_max;
        std::array<std::byte, size_max> input;
        std::array<std::byte, base64_text_size(size_max)> text;
        writer header(input), expected(text);
        header.append(gs2_header(flag_));
        if (plus_) header.append(binding_);
        put_base64(expected, header.written());
        if (said == as_text(expected.written())) return errc::none;
        return plus_ ? errc::scram_channel_binding_mismatch : errc::scram_malformed;
    }

    errc check_proof(const crypto& with, const scram_client_final& last,
                     sha256_digest& signature) const noexcept {
        challenge_tail room;
        const parts said = {as_bytes(bare_),
                            as_bytes(",r="),
                            as_bytes(client_nonce_),
                            as_bytes(nonce()),
                            salt_and_iterations(verifier_, room),
                            as_bytes(","),
                            as_bytes(last.without_proof)};
        secret_digest client_key, stored_key;
        errc code = hmac_sha256(with, verifier_.stored_key, said, client_key.value);
        if (code != errc::none) return code;
        for (std::size_t i = 0; i < last.proof.size(); ++i) client_key.value[i] ^= last.proof[i];
        code = derive_stored_key(with, client_key.value, stored_key.value);
        if (code != errc::none) return code;
        const bool right = equal_in_constant_time(stored_key.value, verifier_.stored_key);
        if (!right || !usable_) return errc::scram_proof_mismatch;
        return hmac_sha256(with, verifier_.server_key, said, signature);
    }

    errc fail(errc code) noexcept {
        forget();
        step_ = step::ended;
        return code;
    }

    // With the server key a thief can pose as us, and search for the password with either.
    void forget() noexcept {
        wipe(verifier_.stored_key);
        wipe(verifier_.server_key);
        usable_ = false;
        bare_ = client_nonce_ = {};
        binding_ = {};
    }

    bytes binding_;                 // the caller's
    std::string_view bare_;         // and so is the client's first message
    std::string_view client_nonce_; // in it
    scram_verifier verifier_;
    std::array<char, scram_nonce_size_max> nonce_{};
    std::uint8_t nonce_size_ = 0;
    channel_binding_flag flag_ = channel_binding_flag::none;
    bool plus_ = false;
    bool usable_ = false; // the verifier is somebody's
    step step_ = step::fresh;
};

static_assert(sizeof(scram_server) <= 280);

} // namespace walwire::auth
