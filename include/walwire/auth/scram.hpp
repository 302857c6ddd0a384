// SCRAM-SHA-256: both ends prove that they know a password, and neither says it.
//
//     client                                                                  server
//     gs2 header, n=,r=NONCE                                ->
//                                                           <-  r=NONCEMORE,s=SALT,i=ITERATIONS
//     c=base64(gs2 header, binding),r=NONCEMORE,p=PROOF     ->
//                                                           <-  v=SIGNATURE
//
// Each end signs all that was said with a key of the password's, so that whoever changed a word on
// the way is found out. The client proves itself first; a server that accepts without v= has proved
// nothing, which is why verified() is asked before a connection is believed. The user's name is
// left empty: the server has it from the start-up packet.
//
// This is the messages and the client. It has no randomness, clock or storage: a nonce is handed
// in, and of all secrets only the signature that is expected outlives a call. What a server can
// make a client compute is bounded by `iterations_max`, and what it can say by
// scram_message_size_max; both are looked at before anything is computed.
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
#include "scram_verifier.hpp"

namespace walwire::auth {

// PostgreSQL's longest message has about 200 bytes; a nonce of ours has 24 and may have 64.
inline constexpr std::size_t scram_message_size_max = 1024;
inline constexpr std::size_t scram_salt_size_max = base64_bytes_max(scram_message_size_max);
inline constexpr std::size_t scram_nonce_size_max = 64;

// Fresh text for start(): 18 random bytes in base64, as libpq's.
inline constexpr std::size_t nonce_size = base64_text_size(18);
inline errc make_nonce(const crypto& with, std::array<char, nonce_size>& out) noexcept {
    std::array<std::byte, 18> raw{};
    if (const errc code = random(with, raw); code != errc::none) return code;
    std::array<std::byte, nonce_size> text{};
    writer room(text);
    put_base64(room, raw);
    std::memcpy(out.data(), text.data(), out.size());
    return errc::none;
}

// Reads attributes, "a=value,b=value", in the order in which they must come. After the first that
// is not there every value is empty and ok() stays false.
class scram_reader {
  public:
    explicit scram_reader(std::string_view message) noexcept
        : rest_(message), ok_(message.size() <= scram_message_size_max &&
                              message.find('\0') == std::string_view::npos) {}

    // The next attribute is this one.
    bool at(char name) const noexcept {
        return ok_ && more_ && rest_.size() >= 2 && rest_[0] == name && rest_[1] == '=';
    }
    std::string_view value(char name) noexcept {
        ok_ = at(name);
        if (!ok_) return {};
        const std::size_t end = rest_.find(',');
        const std::string_view taken = rest_.substr(2, end - 2);
        more_ = end != std::string_view::npos;
        rest_.remove_prefix(more_ ? end + 1 : rest_.size());
        return taken;
    }
    // Passes over what else there is: a letter and a value each, whose meaning need not be known.
    // 'm' is the one that must be.
    void extensions() noexcept {
        while (ok_ && more_) {
            const char name = rest_.empty() ? '\0' : rest_.front();
            const bool letter = (name >= 'a' && name <= 'z') || (name >= 'A' && name <= 'Z');
            ok_ = letter && name != 'm' && !value(name).empty();
        }
    }

    bool ok() const noexcept { return ok_; }
    bool done() const noexcept { return ok_ && !more_; }

  private:
    std::string_view rest_;
    bool more_ = true; // an attribute must follow: at the front and behind a comma
    bool ok_;
};

// Printable ASCII but the comma, and at least one character.
constexpr bool is_scram_nonce(std::string_view text) noexcept {
    for (const char c : text)
        if (c < '!' || c > '~' || c == ',') return false;
    return !text.empty();
}

struct scram_server_first {
    std::string_view nonce; // both ends' together
    std::string_view salt;  // in base64, canonical and not empty
    std::uint32_t iterations = 0;
};

// scram_malformed, or scram_iterations_refused for a number that is not in 1 ... iterations_max.
inline result<scram_server_first> parse_server_first(std::string_view message,
                                                     std::uint32_t iterations_max) noexcept {
    scram_reader in(message);
    scram_server_first parsed;
    parsed.nonce = in.value('r');
    parsed.salt = in.value('s');
    const std::string_view iterations = in.value('i');
    in.extensions();
    if (!in.done() || !is_scram_nonce(parsed.nonce)) return errc::scram_malformed;
    std::array<std::byte, scram_salt_size_max> salt;
    if (parsed.salt.empty() || !parse_base64(parsed.salt, salt)) return errc::scram_malformed;
    if (iterations == "0") return errc::scram_iterations_refused;
    if (!detail::is_positive_number(iterations)) return errc::scram_malformed;
    const auto count = walwire::detail::parse_decimal(iterations, iterations_max);
    if (!count) return errc::scram_iterations_refused;
    parsed.iterations = static_cast<std::uint32_t>(*count);
    return parsed;
}

// The signature. scram_malformed, or what an e= of the server's says.
inline errc parse_server_final(std::string_view message, sha256_digest& signature) noexcept {
    scram_reader in(message);
    if (in.at('e')) {
        const std::string_view reason = in.value('e');
        in.extensions();
        if (!in.done()) return errc::scram_malformed;
        const bool binding = reason == "channel-bindings-dont-match" ||
                             reason == "server-does-support-channel-binding" ||
                             reason == "channel-binding-not-supported" ||
                             reason == "unsupported-channel-binding-type";
        return binding ? errc::scram_channel_binding_mismatch : errc::scram_proof_mismatch;
    }
    const std::string_view text = in.value('v');
    in.extensions();
    if (!in.done() || !detail::parse_digest(text, signature)) return errc::scram_malformed;
    return errc::none;
}

// One client in one exchange: start, put_client_first, answer, check_server_final. What a peer did
// wrong ends the exchange, and every later call is refused with not_now until the next start;
// misuse and failures of our own change nothing.
class scram_client {
  public:
    // `nonce` must be new for each exchange and is copied, as is `binding`, which only a bound
    // exchange has. argument_invalid or argument_too_long.
    errc start(channel_binding_flag flag, bytes binding, std::string_view nonce) noexcept {
        if (binding.size() > binding_.size() || nonce.size() > nonce_.size())
            return errc::argument_too_long;
        const bool bound = flag == channel_binding_flag::bound;
        if (bound == binding.empty() || !is_scram_nonce(nonce)) return errc::argument_invalid;
        flag_ = flag;
        if (bound) std::memcpy(binding_.data(), binding.data(), binding.size());
        std::memcpy(nonce_.data(), nonce.data(), nonce.size());
        binding_size_ = static_cast<std::uint8_t>(binding.size());
        nonce_size_ = static_cast<std::uint8_t>(nonce.size());
        step_ = step::started;
        return errc::none;
    }

    void put_client_first(writer& out) const noexcept {
        out.append(gs2_header(flag_));
        out.append(bare_);
        out.append(nonce());
    }

    // Whether answer() would take this message: before a password is asked for in vain. Beside the
    // codes of parse_server_first, scram_nonce_mismatch.
    errc check_server_first(std::string_view message, std::uint32_t iterations_max) const noexcept {
        if (step_ != step::started) return errc::not_now;
        return read(message, iterations_max).code();
    }

    // Writes the client's last message, with the proof for a password; after any code nothing was
    // written. Beside the codes of check_server_first and derive_keys, output_full, which is known
    // before the password is salted.
    errc answer(const crypto& with, std::string_view server_first, std::string_view password,
                std::uint32_t iterations_max, writer& out) noexcept {
        const auto derive = [&](const scram_server_first& first, scram_keys& keys) noexcept {
            std::array<std::byte, scram_salt_size_max> room;
            const auto salt = parse_base64(first.salt, room);
            return derive_keys(with, password, bytes(room).first(*salt), first.iterations, keys);
        };
        return answer_with(with, server_first, iterations_max, out, derive);
    }

    // The same with keys that were derived before, from the same password, salt and iterations.
    errc answer(const crypto& with, std::string_view server_first, const scram_keys& known,
                std::uint32_t iterations_max, writer& out) noexcept {
        const auto copy = [&](const scram_server_first&, scram_keys& keys) noexcept {
            keys.client.value = known.client.value;
            keys.server.value = known.server.value;
            return errc::none;
        };
        return answer_with(with, server_first, iterations_max, out, copy);
    }

    // scram_malformed, scram_signature_mismatch, or what an e= says.
    errc check_server_final(std::string_view message) noexcept {
        if (step_ != step::answered) return errc::not_now;
        sha256_digest signature{};
        step_ = step::ended;
        if (const errc code = parse_server_final(message, signature); code != errc::none)
            return code;
        if (!equal_in_constant_time(signature, signature_)) return errc::scram_signature_mismatch;
        step_ = step::verified;
        return errc::none;
    }

    // The server has proved that it knows the password's verifier.
    bool verified() const noexcept { return step_ == step::verified; }

  private:
    enum class step : std::uint8_t { fresh, started, answered, verified, ended };

    static constexpr std::string_view bare_ = "n=,r="; // client-first-bare but for the nonce

    std::string_view nonce() const noexcept { return {nonce_.data(), std::size_t{nonce_size_}}; }

    result<scram_server_first> read(std::string_view message, std::uint32_t max) const noexcept {
        const auto first = parse_server_first(message, max);
        if (first && (first->nonce.size() <= nonce_size_ || !first->nonce.starts_with(nonce())))
            return errc::scram_nonce_mismatch;
        return first;
    }

    // c= and r=: what the proof is made over and stands behind.
    void put_without_proof(writer& out, std::string_view both_nonces) const noexcept {
        std::array<std::byte, 24 + channel_binding_size_max> input;
        writer bound(input);
        bound.append(gs2_header(flag_));
        bound.append(bytes(binding_).first(binding_size_));
        out.append("c=");
        put_base64(out, bound.written());
        out.append(",r=");
        out.append(both_nonces);
    }

    template <class Derive>
    errc answer_with(const crypto& with, std::string_view server_first, std::uint32_t max,
                     writer& out, Derive&& derive) noexcept {
        if (step_ != step::started) return errc::not_now;
        const auto first = read(server_first, max);
        if (!first) {
            step_ = step::ended;
            return first.code();
        }
        writer rehearsal = out; // in the same room, and written over by the performance
        put_without_proof(rehearsal, first->nonce);
        rehearsal.append(",p=");
        put_base64(rehearsal, signature_);
        if (!rehearsal.ok()) return errc::output_full;

        scram_keys keys;
        if (const errc code = derive(*first, keys); code != errc::none) return code;
        return prove(with, server_first, first->nonce, keys, out);
    }

    errc prove(const crypto& with, std::string_view server_first, std::string_view both_nonces,
               scram_keys& keys, writer& out) noexcept {
        writer message = out;
        put_without_proof(message, both_nonces);
        const parts said = {as_bytes(bare_), as_bytes(nonce()),
                            as_bytes(","),   as_bytes(server_first),
                            as_bytes(","),   message.written().subspan(out.size())};
        secret_digest stored_key, client_signature;
        sha256_digest signature{};
        errc code = derive_stored_key(with, keys.client.value, stored_key.value);
        if (code == errc::none)
            code = hmac_sha256(with, stored_key.value, said, client_signature.value);
        if (code == errc::none) code = hmac_sha256(with, keys.server.value, said, signature);
        if (code != errc::none) return code;

        sha256_digest proof;
        for (std::size_t i = 0; i < proof.size(); ++i)
            proof[i] = keys.client.value[i] ^ client_signature.value[i];
        message.append(",p=");
        put_base64(message, proof);
        out = message;
        signature_ = signature;
        step_ = step::answered;
        return errc::none;
    }

    std::array<std::byte, channel_binding_size_max> binding_{};
    std::array<char, scram_nonce_size_max> nonce_{};
    sha256_digest signature_{}; // expected of the server, once answered
    std::uint8_t binding_size_ = 0;
    std::uint8_t nonce_size_ = 0;
    channel_binding_flag flag_ = channel_binding_flag::none;
    step step_ = step::fresh;
};

static_assert(sizeof(scram_client) <= 200);

} // namespace walwire::auth
