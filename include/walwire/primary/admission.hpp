// The opening of a served connection: encryption, start-up, authentication.
//
//     [GSSENCRequest] -> N    [SSLRequest] -> S or N -> the adapter's handshake
//     StartupMessage -> login_requested -> admit(): an exchange -> AuthenticationOk, the settings,
//     the cancel key, ReadyForQuery
//
// This is the part of primary::session that comes once, and the mirror of replica/login.hpp. It
// reads the packets that nobody has vouched for: nothing may come behind an encryption request
// before its answer is out, nothing of a claimed size is kept, each word is judged before it is
// repeated, and a login that fails says the same for a wrong password as for a user that does not
// exist. The exchange before it is the same, too, and takes the same work, as far as the options
// tell what the secrets of those who exist are like. The order of messages is the conversation's
// business and is checked before it.
//
// Source of truth: the manual, "Message Flow" and "SASL Authentication"; postmaster.c and auth.c.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <variant>

#include "../auth/password.hpp"
#include "../auth/scram_server.hpp"
#include "../auth/stored_secret.hpp"
#include "../bytes.hpp"
#include "../error.hpp"
#include "../wire/backend.hpp"
#include "../wire/conversation.hpp"
#include "../wire/frontend.hpp"
#include "../wire/outbox.hpp"
#include "../wire/startup.hpp"
#include "event.hpp"
#include "greeting.hpp"
#include "options.hpp"
#include "refusal.hpp"

namespace walwire::primary {

class admission {
  public:
    admission(const options& chosen, int major_version, wire::conversation& talk,
              wire::outbox& out) noexcept
        : options_(chosen), talk_(talk), out_(out), major_version_(major_version) {}

    // One packet without a tag. `alone`: nothing stands behind it.
    step opened(bytes body, bool alone) noexcept {
        const auto packet = wire::parse_startup_packet(body);
        if (!packet) return {packet.code(), {}};
        if (const auto* cancel = std::get_if<wire::cancel_request>(&*packet)) {
            if (const errc code = talk_.receive(wire::message::cancel_request); code != errc::none)
                return {code, {}};
            return {errc::none, event(*cancel)};
        }
        if (const auto* startup = std::get_if<wire::startup_message>(&*packet))
            return started(*startup);
        const bool tls = std::holds_alternative<wire::ssl_request>(*packet);
        const auto asked = tls ? wire::message::ssl_request : wire::message::gssenc_request;
        // Whoever began TLS at once may ask for it all the same, and the phase stays.
        const bool again = tls && direct_;
        // The second request of one kind is read as the version that its code looks like.
        if (!again && talk_.receive(asked) != errc::none)
            return unsupported({tls ? wire::ssl_request_code : wire::gssenc_request_code});
        requested_ = again ? wire::phase::ssl_asked : talk_.at();
        if (!alone) return {errc::bytes_before_encryption, {}};
        const bool yes = tls && !again && options_.tls != encryption::off;
        const errc code = out_.put([&](writer& to) noexcept { to.u8(yes ? 'S' : 'N'); });
        if (code != errc::none) return {code, {}};
        if (again)
            direct_ = false;
        else
            static_cast<void>(talk_.send(yes ? wire::message::encryption_accepted
                                             : wire::message::encryption_declined));
        return {};
    }

    errc secured(bytes binding) noexcept {
        if (binding.size() > binding_.size()) return errc::argument_too_long;
        const bool direct = talk_.at() == wire::phase::fresh;
        const errc code = talk_.send(wire::message::encryption_done);
        if (code != errc::none) return code;
        direct_ = direct;
        if (!binding.empty()) std::memcpy(binding_.data(), binding.data(), binding.size());
        binding_size_ = static_cast<std::uint8_t>(binding.size());
        encrypted_ = true;
        return errc::none;
    }

    // The owner's answer to login_requested. not_now; crypto_missing; crypto_failed;
    // argument_invalid for a method that is none of ours, or a plain password where a verifier is
    // needed.
    errc admit(auth::method how, const auth::stored_secret* secret) noexcept {
        if (!asked_) return errc::not_now;
        using auth::method;
        const auto kind = secret != nullptr ? secret->kind() : auth::secret_kind::none;
        const bool verified = kind == auth::secret_kind::scram_sha_256;
        const bool pretended = kind == auth::secret_kind::none &&
                               options_.password_encryption == method::scram_sha_256;
        if (how == method::md5 && (verified || pretended)) how = method::scram_sha_256;
        const bool known = how == method::none || how == method::password || how == method::md5 ||
                           how == method::scram_sha_256;
        if (!known) return errc::argument_invalid;
        if (how == method::scram_sha_256 && kind == auth::secret_kind::plain)
            return errc::argument_invalid;
        if (how != method::none && options_.crypto == nullptr) return errc::crypto_missing;
        how_ = how;
        secret_ = secret;
        const errc code = how == method::none ? welcome({}) : request();
        if (code == errc::none) asked_ = false;
        return code;
    }

    // The message 'p'. `keep` copies one that must outlive the input, and says where it stands.
    template <class Keep>
    step answered(bytes body, Keep&& keep) noexcept {
        if (how_ != auth::method::scram_sha_256) return password(body);
        if (!introduced_) return introduced(body, keep);
        std::array<std::byte, 64> room;
        writer server_final(room);
        const errc code = scram_.answer(*options_.crypto, as_text(body), server_final);
        if (code != errc::none) return rejected(code);
        return in(server_final.written());
    }

    // The client is told why, as far as it is told anything, and the code is the session's end.
    step reject(errc code, const refusal& why) noexcept {
        if (talk_.send(wire::message::fatal_response) == errc::none)
            static_cast<void>(out_.put([&](writer& to) noexcept { put(to, why); }));
        return {code, {}};
    }

    // The exchange came to nothing.
    step rejected(errc code) noexcept {
        short_text text;
        if (auth::authentication_sqlstate(code) == sqlstate::invalid_password)
            text << "password authentication failed for user \"" << user() << "\"";
        else
            text << "authentication failed: " << walwire::text(code);
        return reject(code, {auth::authentication_sqlstate(code), text, {}, {}, true});
    }

    // login_requested waits for its answer.
    bool asks() const noexcept { return asked_; }
    // The phase in which the last request for encryption was not answered yet.
    wire::phase requested() const noexcept { return requested_; }
    bool physical() const noexcept { return mode_ == wire::replication_mode::physical; }
    wire::protocol_version version() const noexcept { return version_; }

  private:
    step unsupported(wire::protocol_version asked) noexcept {
        short_text text;
        text << "unsupported frontend protocol " << std::uint64_t{asked.major_part()} << "."
             << std::uint64_t{asked.minor_part()} << ": server supports "
             << (major_version_ >= 14 ? "3.0" : "2.0") << " to "
             << (major_version_ >= 18 ? "3.2" : "3.0");
        return reject(errc::login_refused, {sqlstate::feature_not_supported, text, {}, {}, true});
    }

    step started(const wire::startup_message& message) noexcept {
        if (const errc code = talk_.receive(wire::message::startup); code != errc::none)
            return {code, {}};
        if (message.version.major_part() != 3) return unsupported(message.version);
        if (const errc code = negotiate(message); code == errc::too_many)
            return reject(code, {sqlstate::protocol_violation,
                                 "too many unrecognized protocol options in startup packet",
                                 {},
                                 {},
                                 true});
        else if (code != errc::none)
            return {code, {}};
        login_requested asks;
        std::string_view mode = "off";
        wire::parameters list = message.list();
        while (const auto pair = list.next()) {
            if (pair->name == "user") asks.user = pair->value;
            if (pair->name == "database") asks.database = pair->value;
            if (pair->name == "application_name") asks.application_name = pair->value;
            if (pair->name == "replication") mode = pair->value;
        }
        const auto parsed = wire::parse_replication_mode(mode);
        short_text text;
        if (!parsed) {
            text << "invalid value for parameter \"replication\": \"" << mode << "\"";
            return reject(errc::login_refused,
                          {sqlstate::invalid_parameter_value,
                           text,
                           {},
                           "Valid values are: \"false\", 0, \"true\", 1, \"database\".",
                           true});
        }
        if (asks.user.empty())
            return reject(errc::login_refused,
                          {sqlstate::invalid_authorization,
                           "no PostgreSQL user name specified in startup packet",
                           {},
                           {},
                           true});
        if (*parsed == wire::replication_mode::off)
            return reject(errc::login_refused, {sqlstate::feature_not_supported,
                                                "only replication connections are served here",
                                                {},
                                                "Connect with the parameter replication.",
                                                true});
        if (options_.tls == encryption::required && !encrypted_)
            return reject(
                errc::login_refused,
                {sqlstate::invalid_authorization, "this server requires encryption", {}, {}, true});
        asks.user = asks.user.substr(0, user_.size());
        std::memcpy(user_.data(), asks.user.data(), asks.user.size());
        user_size_ = static_cast<std::uint8_t>(asks.user.size());
        if (asks.database.empty()) asks.database = asks.user;
        asks.database = asks.database.substr(0, user_.size());
        asks.mode = mode_ = *parsed;
        asks.version = version_;
        asks.encrypted = encrypted_;
        asks.pairs = message.pairs;
        const std::string_view name = asks.application_name.substr(0, application_name_.size());
        if (!name.empty()) std::memcpy(application_name_.data(), name.data(), name.size());
        application_name_size_ = static_cast<std::uint8_t>(name.size());
        asked_ = true;
        return {errc::none, event(asks)};
    }

    // A version that we do not speak yet is answered with the newest that we do, and options of the
    // protocol by their names, since we know none.
    errc negotiate(const wire::startup_message& message) noexcept {
        const auto newest = major_version_ >= 18 ? wire::protocol_3_2 : wire::protocol_3_0;
        version_ = message.version < newest ? message.version : newest;
        const auto each_option = [&](auto&& visit) noexcept {
            wire::parameters list = message.list();
            while (const auto pair = list.next())
                if (pair->name.starts_with("_pq_.")) visit(pair->name);
        };
        std::uint32_t count = 0;
        each_option([&](std::string_view) noexcept { ++count; });
        if (version_ == message.version && count == 0) return errc::none;
        const errc code = out_.put([&](writer& to) noexcept {
            using tag = wire::backend_tag;
            wire::put_message(to, tag::negotiate_protocol_version, [&](writer& body) noexcept {
                body.u32(version_.value);
                body.u32(count);
                each_option([&](std::string_view name) noexcept { body.c_string(name); });
            });
            // What greets the client may have to stand behind it.
            return to.left() < greeting_size_max(options_) ? errc::too_many : errc::none;
        });
        if (code != errc::none) return errc::too_many; // names that nobody has
        return talk_.send(wire::message::negotiate_protocol_version);
    }

    // Asks for what the method needs.
    errc request() noexcept {
        wire::authentication asks;
        std::array<std::byte, 64> room;
        writer mechanisms(room);
        auto said = wire::message::authentication_password;
        if (how_ == auth::method::password) {
            asks.code = wire::authentication_code::cleartext_password;
        } else if (how_ == auth::method::md5) {
            const errc code = auth::random(*options_.crypto, salt_);
            if (code != errc::none) return code;
            asks = {wire::authentication_code::md5_password, salt_};
        } else {
            auth::put_mechanisms(mechanisms, binding_size_ > 0);
            asks = {wire::authentication_code::sasl, mechanisms.written()};
            said = wire::message::authentication_sasl;
        }
        return say(said, asks);
    }

    errc say(wire::message said, const wire::authentication& message) noexcept {
        const errc code = out_.put([&](writer& to) noexcept { put(to, message); });
        return code == errc::none ? talk_.send(said) : code;
    }

    step password(bytes body) noexcept {
        const auto message = wire::parse_password_message(body);
        if (!message) return {message.code(), {}};
        if (message->password.empty())
            return reject(
                errc::password_mismatch,
                {sqlstate::invalid_password, "empty password returned by client", {}, {}, true});
        const auth::stored_secret nobody;
        const auth::stored_secret& secret = secret_ != nullptr ? *secret_ : nobody;
        const bool clear = how_ == auth::method::password;
        if (clear && secret.kind() == auth::secret_kind::none) pretend(message->password);
        const errc code =
            clear ? secret.check_cleartext(*options_.crypto, user(), message->password)
                  : secret.check_md5(*options_.crypto, user(), salt_, message->password);
        if (code != errc::none) return rejected(code);
        return in({});
    }

    // Takes the time that a verifier would, if there were one. Nothing comes of it.
    void pretend(std::string_view password) const noexcept {
        if (options_.password_encryption != auth::method::scram_sha_256) return;
        const auto instead = auth::mock_verifier(*options_.crypto, user(), mock());
        auth::scram_keys keys;
        if (instead)
            static_cast<void>(auth::derive_keys(*options_.crypto, password, instead->salt_bytes(),
                                                instead->iterations, keys));
    }
    auth::scram_mock mock() const noexcept {
        return {options_.mock_secret, options_.scram_iterations};
    }

    // SASLInitialResponse, or the SASLResponse that brings what it left out.
    template <class Keep>
    step introduced(bytes body, Keep&& keep) noexcept {
        bytes client_first = body;
        if (!initiated_) {
            const auto message = wire::parse_sasl_initial_response(body);
            if (!message) return rejected(errc::scram_malformed);
            const errc code = scram_.start(message->mechanism, {binding_.data(), binding_size_});
            if (code != errc::none) return rejected(code);
            initiated_ = true;
            if (!message->has_data)
                return {say(wire::message::authentication_sasl_continue,
                            {wire::authentication_code::sasl_continue, {}}),
                        {}};
            client_first = message->data;
        }
        const auto kept = keep(client_first);
        if (!kept) return rejected(errc::scram_malformed);
        errc code = scram_.read_client_first(as_text(*kept));
        if (code != errc::none) return rejected(code);
        std::array<std::byte, auth::scram_message_size_max + 256> room;
        writer server_first(room);
        const auto* verifier = secret_ != nullptr ? secret_->verifier() : nullptr;
        code = scram_.challenge(*options_.crypto, user(), verifier, mock(), server_first);
        if (code != errc::none) return rejected(code);
        introduced_ = true;
        return {say(wire::message::authentication_sasl_continue,
                    {wire::authentication_code::sasl_continue, server_first.written()}),
                {}};
    }

    step in(bytes server_final) noexcept {
        if (const errc code = welcome(server_final); code != errc::none) return {code, {}};
        return {errc::none, event(logged_in{how_})};
    }

    // Everything from the last word of the exchange to the first ReadyForQuery, as one.
    errc welcome(bytes server_final) noexcept {
        using wire::message;
        const errc code = out_.put([&](writer& to) noexcept {
            if (!server_final.empty())
                put(to, wire::authentication{wire::authentication_code::sasl_final, server_final});
            put(to, wire::authentication{});
            put_settings(to, options_, major_version_, user(), application_name());
            const std::size_t room = version_ < wire::protocol_3_2 ? 4 : wire::cancel_key_size_max;
            const std::size_t size = options_.cancel_key.size();
            put(to, wire::backend_key_data{options_.pid,
                                           options_.cancel_key.first(size < room ? size : room)});
            put(to, wire::transaction_status::idle);
        });
        if (code != errc::none) return code;
        if (!server_final.empty())
            static_cast<void>(talk_.send(message::authentication_sasl_final));
        for (const message said :
             {message::authentication_ok, message::backend_key_data, message::ready_for_query})
            static_cast<void>(talk_.send(said));
        return errc::none;
    }

    std::string_view user() const noexcept { return {user_.data(), std::size_t{user_size_}}; }
    std::string_view application_name() const noexcept {
        return {application_name_.data(), std::size_t{application_name_size_}};
    }

    const options& options_;
    wire::conversation& talk_;
    wire::outbox& out_;
    const auth::stored_secret* secret_ = nullptr; // the owner's
    auth::scram_server scram_;
    wire::protocol_version version_ = wire::protocol_3_0;
    int major_version_;
    std::array<char, wire::identifier_size_max> user_{};
    std::array<char, wire::identifier_size_max> application_name_{};
    std::array<std::byte, auth::channel_binding_size_max> binding_{};
    std::array<std::byte, wire::md5_salt_size> salt_{};
    std::uint8_t user_size_ = 0;
    std::uint8_t application_name_size_ = 0;
    std::uint8_t binding_size_ = 0;
    auth::method how_ = auth::method::none;
    wire::replication_mode mode_ = wire::replication_mode::physical;
    wire::phase requested_ = wire::phase::fresh;
    bool encrypted_ = false;
    bool direct_ = false;     // TLS began unasked, and was not asked for since
    bool asked_ = false;      // login_requested was told
    bool initiated_ = false;  // the client has chosen a mechanism
    bool introduced_ = false; // and has said its first message
};

} // namespace walwire::primary
