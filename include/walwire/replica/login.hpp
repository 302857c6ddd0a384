// The opening of a replica's connection: encryption, start-up, authentication.
//
//     [GSSENCRequest] -> one byte    [SSLRequest] -> one byte -> the adapter's handshake
//     StartupMessage -> [NegotiateProtocolVersion] -> an exchange -> AuthenticationOk
//
// This is the part of replica::session that comes once; it keeps what only the opening needs and
// holds its policies: nothing is sent before the answer to an encryption request, nothing may stand
// behind that answer, the methods that require_auth allows are checked at every request and at
// success, a password crosses an open network only where that was allowed, and channel binding that
// is required was really done. The order of messages is the conversation's business and is checked
// before it.
//
// Source of truth: the manual, "Message Flow" and "SASL Authentication".
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "../auth/mechanism.hpp"
#include "../auth/password.hpp"
#include "../auth/scram.hpp"
#include "../bytes.hpp"
#include "../error.hpp"
#include "../wire/backend.hpp"
#include "../wire/conversation.hpp"
#include "../wire/frontend.hpp"
#include "../wire/outbox.hpp"
#include "../wire/startup.hpp"
#include "event.hpp"
#include "options.hpp"

namespace walwire::replica {

class login {
  public:
    login(const options& chosen, wire::conversation& talk, wire::outbox& out) noexcept
        : options_(chosen), talk_(talk), out_(out), version_(chosen.version) {}

    // The first words on a new transport.
    step open() noexcept {
        if (options_.tls == encryption::direct) return {errc::none, tls_accepted{true}};
        if (options_.gss != encryption::off)
            return {say(wire::message::gssenc_request, wire::gssenc_request{}), {}};
        return ask_for_tls();
    }

    // The one byte behind an encryption request. `alone`: nothing else stands behind it.
    step encryption_answer(std::byte answer, bool alone) noexcept {
        const bool gss =
            talk_.at() == wire::phase::gss_asked || talk_.at() == wire::phase::gss_asked_again;
        switch (std::to_integer<char>(answer)) {
        case 'N':
            if ((gss ? options_.gss : options_.tls) == encryption::required)
                return {errc::encryption_refused, {}};
            static_cast<void>(talk_.receive(wire::message::encryption_declined));
            return gss ? ask_for_tls() : step{start(), {}};
        // An error here is from nobody who has proved anything, so its text is not handed on.
        case 'E': return {errc::encryption_error_response, {}};
        case 'S':
        case 'G':
            if ((std::to_integer<char>(answer) == 'G') != gss) break;
            if (!alone) return {errc::bytes_before_encryption, {}};
            static_cast<void>(talk_.receive(wire::message::encryption_accepted));
            if (gss) return {errc::none, gss_accepted{}};
            return {errc::none, tls_accepted{false}};
        default: break;
        }
        return {errc::encryption_answer_invalid, {}};
    }

    // The adapter's handshake is done. `binding` is the tls-server-end-point hash of the server's
    // certificate, or empty where there is none.
    errc secured(bytes binding) noexcept {
        if (binding.size() > binding_.size()) return errc::argument_too_long;
        const bool direct = options_.tls == encryption::direct && talk_.at() == wire::phase::fresh;
        if (!direct && talk_.at() != wire::phase::encrypting) return errc::not_now;
        if (const errc code = talk_.send(wire::message::encryption_done); code != errc::none)
            return code;
        if (!binding.empty()) std::memcpy(binding_.data(), binding.data(), binding.size());
        binding_size_ = static_cast<std::uint8_t>(binding.size());
        encrypted_ = true;
        return start();
    }

    // NegotiateProtocolVersion. We ask for no protocol options, so none can be missing.
    step negotiated_version(bytes body) noexcept {
        const auto message = wire::parse_negotiate_protocol_version(body);
        if (!message) return {message.code(), {}};
        const bool lower = message->version < options_.version;
        const bool known =
            message->version == wire::protocol_3_0 || message->version == wire::protocol_3_2;
        if (!lower || !known || message->option_count != 0) return {errc::negotiation_invalid, {}};
        if (message->version < options_.version_min) return {errc::protocol_version_refused, {}};
        version_ = message->version;
        return {errc::none, negotiated{version_}};
    }

    // An authentication request that the conversation has let in. `keep` copies a message that must
    // outlive the input, and returns where it stands.
    template <class Keep>
    step requested(bytes body, Keep&& keep) noexcept {
        const auto request = wire::parse_authentication(body);
        if (!request) return {request.code(), {}};
        using code = wire::authentication_code;
        switch (request->code) {
        case code::ok: return {admitted(), {}};
        case code::cleartext_password:
            if (!options_.cleartext_without_tls && !encrypted_)
                return {errc::cleartext_refused, {}};
            return want(password_use::cleartext, auth::method::password);
        case code::md5_password:
            std::memcpy(salt_.data(), request->data.data(), salt_.size());
            return want(password_use::md5, auth::method::md5);
        case code::sasl: return offered(request->data);
        case code::sasl_continue: return challenged(keep(request->data));
        case code::sasl_final: return {scram_.check_server_final(as_text(request->data)), {}};
        default: return {errc::authentication_unknown, {}};
        }
    }

    // The answer to password_wanted.
    errc give_password(std::string_view password) noexcept {
        if (!wanted_) return errc::not_now;
        if (password.find('\0') != std::string_view::npos) return errc::argument_has_nul;
        const errc code = answer(password);
        if (code != errc::none) return code;
        wanted_.reset();
        return talk_.send(wire::message::password);
    }

    bool wants_password() const noexcept { return wanted_.has_value(); }
    wire::protocol_version version() const noexcept { return version_; }

  private:
    template <class Packet>
    errc say(wire::message said, const Packet& packet) noexcept {
        const errc code = out_.put([&](writer& out) noexcept { put(out, packet); });
        return code == errc::none ? talk_.send(said) : code;
    }

    step ask_for_tls() noexcept {
        if (options_.tls == encryption::off) return {start(), {}};
        return {say(wire::message::ssl_request, wire::ssl_request{}), {}};
    }

    errc start() noexcept {
        const errc code = out_.put([&](writer& out) noexcept {
            wire::startup_writer startup(out, options_.version);
            const auto add = [&](std::string_view name, std::string_view value) noexcept {
                if (!value.empty()) startup.add(name, value);
            };
            add("user", options_.user);
            add("database", options_.database);
            add("replication", options_.mode == replication_mode::database ? "database" : "true");
            add("options", options_.settings);
            add("application_name", options_.application_name);
            for (const wire::parameter& each : options_.parameters) add(each.name, each.value);
            startup.finish();
        });
        return code == errc::none ? talk_.send(wire::message::startup) : code;
    }

    step want(password_use use, auth::method method) noexcept {
        if (!options_.require_auth.allows(method)) return {errc::authentication_refused, {}};
        if (use != password_use::scram_sha_256 &&
            options_.channel_binding == auth::channel_binding_policy::require)
            return {errc::channel_binding_missing, {}};
        wanted_ = use;
        used_ = method;
        return {errc::none, password_wanted{use}};
    }

    step offered(bytes mechanisms) noexcept {
        if (!options_.require_auth.allows(auth::method::scram_sha_256))
            return {errc::authentication_refused, {}};
        if (options_.crypto == nullptr) return {errc::crypto_missing, {}};
        const bytes binding(binding_.data(), binding_size_);
        const auto chosen = auth::choose_mechanism(mechanisms, encrypted_, !binding.empty(),
                                                   options_.channel_binding);
        if (!chosen) return {chosen.code(), {}};
        std::array<char, auth::nonce_size> nonce{};
        if (const errc code = auth::make_nonce(*options_.crypto, nonce); code != errc::none)
            return {code, {}};
        const bool bound = chosen->flag == auth::channel_binding_flag::bound;
        errc code =
            scram_.start(chosen->flag, bound ? binding : bytes{}, {nonce.data(), nonce.size()});
        if (code != errc::none) return {code, {}};
        bound_ = bound;
        used_ = auth::method::scram_sha_256;
        std::array<std::byte, 256> first{};
        writer message(first);
        scram_.put_client_first(message);
        if (!message.ok()) return {errc::argument_too_long, {}};
        return {say(wire::message::password,
                    wire::sasl_initial_response{chosen->name, true, message.written()}),
                {}};
    }

    step challenged(std::optional<bytes> server_first) noexcept {
        if (!server_first) return {errc::message_too_large, {}};
        server_first_ = *server_first;
        const errc code =
            scram_.check_server_first(as_text(server_first_), options_.limits.scram_iterations_max);
        // SASL may challenge more than once; SCRAM does not.
        if (code == errc::not_now) return {errc::unexpected_message, {}};
        if (code != errc::none) return {code, {}};
        return want(password_use::scram_sha_256, auth::method::scram_sha_256);
    }

    errc answer(std::string_view password) noexcept {
        switch (*wanted_) {
        case password_use::cleartext:
            return out_.put_secret(
                [&](writer& out) noexcept { put(out, wire::password_message{password}); });
        case password_use::md5: {
            if (options_.crypto == nullptr) return errc::crypto_missing;
            std::array<char, auth::md5_answer_size> text{};
            const errc code =
                auth::md5_answer(*options_.crypto, options_.user, password, salt_, text);
            if (code != errc::none) return code;
            return out_.put_secret([&](writer& out) noexcept {
                put(out, wire::password_message{{text.data(), text.size()}});
            });
        }
        case password_use::scram_sha_256: break;
        }
        return out_.put_secret([&](writer& out) noexcept {
            errc code = errc::none;
            wire::put_message(out, wire::frontend_tag::password, [&](writer& body) noexcept {
                code = scram_.answer(*options_.crypto, as_text(server_first_), password,
                                     options_.limits.scram_iterations_max, body);
            });
            return code;
        });
    }

    // AuthenticationOk: whether what was done suffices.
    errc admitted() noexcept {
        if (!options_.require_auth.allows(used_)) return errc::authentication_refused;
        const bool required = options_.channel_binding == auth::channel_binding_policy::require;
        const bool done = used_ == auth::method::scram_sha_256 && bound_ && scram_.verified();
        if (required && !done) return errc::channel_binding_missing;
        if (used_ == auth::method::scram_sha_256 && !scram_.verified())
            return errc::authentication_incomplete;
        return errc::none;
    }

    const options& options_;
    wire::conversation& talk_;
    wire::outbox& out_;
    auth::scram_client scram_;
    bytes server_first_; // in the stash, while a password is wanted
    wire::protocol_version version_;
    std::array<std::byte, auth::channel_binding_size_max> binding_{};
    std::array<std::byte, wire::md5_salt_size> salt_{};
    std::optional<password_use> wanted_;
    auth::method used_ = auth::method::none;
    std::uint8_t binding_size_ = 0;
    bool encrypted_ = false;
    bool bound_ = false;
};

} // namespace walwire::replica
