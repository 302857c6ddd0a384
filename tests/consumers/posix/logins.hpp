// Who may come in: anybody, or one user with one password.
//
// The password stands in the first line of a file that nobody else may read. It may be the password
// itself, or what a server keeps in its place (pg_authid.rolpassword). For SCRAM a verifier is made
// of it once, as that is meant to be slow; where there is one already, MD5 turns into SCRAM.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <walwire/auth/openssl.hpp>
#include <walwire/auth/stored_secret.hpp>

#include "arguments.hpp"
#include "failure.hpp"
#include "passwords.hpp"

namespace posix {

class logins {
  public:
    // Throws failure where the password cannot be had, or is none that the method can use.
    logins(const serve_arguments& given, const walwire::auth::crypto& crypto) : user_(given.user) {
        using walwire::auth::method;
        constexpr method methods[] = {method::none, method::password, method::md5,
                                      method::scram_sha_256};
        how_ = methods[static_cast<std::size_t>(given.login)];
        if (how_ == method::none) return;
        read(given.password_file);
        if (how_ == method::scram_sha_256) make_verifier(crypto);
        secret_ = walwire::auth::stored_secret(text_);
        using walwire::auth::secret_kind;
        if (how_ == method::md5 && secret_.verifier() != nullptr) how_ = method::scram_sha_256;
        const bool usable =
            secret_.kind() != secret_kind::none &&
            (how_ != method::scram_sha_256 || secret_.kind() == secret_kind::scram_sha_256);
        if (!usable)
            throw failure("the first line of " + quoted(given.password_file) +
                          " is no password for this method");
    }
    logins(const logins&) = delete;
    logins& operator=(const logins&) = delete;
    ~logins() { walwire::wipe(std::as_writable_bytes(std::span(text_))); }

    walwire::auth::method how() const noexcept { return how_; }
    // What the secret is like: everybody else is asked as if they had such a one.
    walwire::auth::method encryption() const noexcept {
        return secret_.verifier() != nullptr ? walwire::auth::method::scram_sha_256
                                             : walwire::auth::method::md5;
    }
    std::uint32_t iterations() const noexcept {
        return secret_.verifier() != nullptr ? secret_.verifier()->iterations
                                             : walwire::auth::scram_iterations;
    }
    // Null for anybody else than the one.
    const walwire::auth::stored_secret* find(std::string_view user) const noexcept {
        return user == user_ ? &secret_ : nullptr;
    }
    // Without passwords a name may still be demanded.
    bool knows(std::string_view user) const noexcept { return user_.empty() || user == user_; }

  private:
    void read(const std::string& path) {
        std::vector<std::string> notes;
        text_ = read_password_file(path, notes);
        if (!notes.empty()) throw failure(notes.front());
        const std::size_t end = text_.find('\n');
        if (end != std::string::npos) text_.resize(end);
        if (text_.ends_with('\r')) text_.pop_back();
        if (text_.empty()) throw failure("there is no password in " + quoted(path));
    }

    void make_verifier(const walwire::auth::crypto& crypto) {
        using namespace walwire::auth;
        if (stored_secret(text_).kind() != secret_kind::plain) return;
        std::array<std::byte, scram_salt_size> salt{};
        if (random(crypto, salt) != walwire::errc::none) throw failure("there are no random bytes");
        const auto made = walwire::auth::make_verifier(crypto, text_, salt, scram_iterations);
        if (!made) throw failure(std::string(walwire::text(made.code())));
        std::array<std::byte, 256> room{};
        walwire::writer out(room);
        put_verifier(out, *made);
        walwire::wipe(std::as_writable_bytes(std::span(text_)));
        text_ = walwire::as_text(out.written());
    }

    std::string user_;
    std::string text_; // that `secret_` looks into
    walwire::auth::method how_ = walwire::auth::method::none;
    walwire::auth::stored_secret secret_;
};

} // namespace posix
