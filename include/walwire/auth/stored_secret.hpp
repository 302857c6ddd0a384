// What a server keeps in the place of a user's password, and checks passwords and answers against.
//
//     md5, and 32 lower-case hexadecimal digits      md5(password, user): as good as the password
//     SCRAM-SHA-256$4096:salt$stored key:server key  a verifier (scram_verifier.hpp)
//     anything else                                  the password itself
//
// These are the texts of pg_authid.rolpassword. PostgreSQL itself has kept no plain passwords since
// version 10; a password file of one's own may. What is checked depends on the method that the
// server asked for, and every kind of secret serves a cleartext password; MD5 needs one of the
// first and the last kind. For a SCRAM exchange see scram_server.hpp: give it verifier(), and for a
// plain password one that make_verifier made once, not at each login.
//
// A text that begins as a verifier and is none is a spoilt verifier and nobody's password. It, an
// empty text and no text at all let nobody in.
//
// Source of truth: the manual, "pg_authid" and "Password Authentication".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "crypto.hpp"
#include "mechanism.hpp"
#include "password.hpp"
#include "scram_verifier.hpp"

namespace walwire::auth {

enum class secret_kind : std::uint8_t { none, plain, md5, scram_sha_256 };

class stored_secret {
  public:
    // Nobody's: for a user that is unknown, or has no password.
    stored_secret() noexcept = default;

    // `text` is borrowed.
    explicit stored_secret(std::string_view text) noexcept : text_(text) {
        if (const auto parsed = parse_verifier(text)) {
            kind_ = secret_kind::scram_sha_256;
            verifier_ = *parsed;
        } else if (is_md5(text)) {
            kind_ = secret_kind::md5;
        } else if (!text.empty() && !is_spoilt_verifier(text)) {
            kind_ = secret_kind::plain;
        }
    }

    secret_kind kind() const noexcept { return kind_; }

    // Null unless this is one.
    const scram_verifier* verifier() const noexcept {
        return kind_ == secret_kind::scram_sha_256 ? &verifier_ : nullptr;
    }

    // Whether this is the password, which came in clear text. A verifier's iterations are gone
    // through here. password_mismatch, crypto_missing or crypto_failed; nothing but none lets
    // anybody in. An empty password is nobody's, as in PostgreSQL.
    errc check_cleartext(const crypto& with, std::string_view user,
                         std::string_view password) const noexcept {
        if (password.empty()) return errc::password_mismatch;
        switch (kind_) {
        case secret_kind::none: return errc::password_mismatch;
        case secret_kind::plain: return same(as_bytes(password), as_bytes(text_));
        case secret_kind::md5: return check_hash(with, user, password);
        case secret_kind::scram_sha_256: break;
        }
        return check_verifier(with, password);
    }

    // Whether this is the answer to AuthenticationMD5Password with this salt, without the NUL that
    // ends it on the wire. The same codes. A secret that MD5 cannot use costs the work of one that
    // it can.
    errc check_md5(const crypto& with, std::string_view user, const std::array<std::byte, 4>& salt,
                   std::string_view answer) const noexcept {
        md5_hex hex{};
        errc code = errc::none;
        if (kind_ == secret_kind::md5)
            std::memcpy(hex.data(), text_.data() + 3, hex.size());
        else
            code = hash(with, {as_bytes(text_), as_bytes(user)}, hex);
        md5_hex expected{};
        if (code == errc::none) code = hash(with, {hex, salt}, expected);
        if (code == errc::none) {
            const bool right = answer.size() == md5_answer_size && answer.starts_with("md5") &&
                               equal_in_constant_time(as_bytes(answer.substr(3)), expected);
            const bool usable = kind_ == secret_kind::md5 || kind_ == secret_kind::plain;
            if (!right || !usable) code = errc::password_mismatch;
        }
        wipe(hex);
        wipe(expected);
        return code;
    }

  private:
    using md5_hex = std::array<std::byte, 2 * sizeof(md5_digest)>;

    static bool is_md5(std::string_view text) noexcept {
        return text.size() == md5_answer_size && text.starts_with("md5") &&
               text.substr(3).find_first_not_of("0123456789abcdef") == std::string_view::npos;
    }
    static bool is_spoilt_verifier(std::string_view text) noexcept {
        return text.starts_with(scram_sha_256_name) &&
               text.substr(scram_sha_256_name.size()).starts_with('$');
    }

    static errc same(bytes a, bytes b) noexcept {
        return equal_in_constant_time(a, b) ? errc::none : errc::password_mismatch;
    }

    static errc hash(const crypto& with, parts message, md5_hex& out) noexcept {
        md5_digest digest{};
        const errc code = md5(with, message, digest);
        writer text(out);
        if (code == errc::none) detail::put_hex(text, digest);
        wipe(digest);
        return code;
    }

    errc check_hash(const crypto& with, std::string_view user,
                    std::string_view password) const noexcept {
        md5_hex hex{};
        errc code = hash(with, {as_bytes(password), as_bytes(user)}, hex);
        if (code == errc::none) code = same(hex, as_bytes(text_.substr(3)));
        wipe(hex);
        return code;
    }

    errc check_verifier(const crypto& with, std::string_view password) const noexcept {
        scram_keys keys;
        secret_digest stored_key;
        errc code = derive_keys(with, password, verifier_.salt_bytes(), verifier_.iterations, keys);
        // Too long for our SASLprep, so no verifier of ours is of this password.
        if (code == errc::argument_too_long) return errc::password_mismatch;
        if (code == errc::none) code = derive_stored_key(with, keys.client.value, stored_key.value);
        return code == errc::none ? same(stored_key.value, verifier_.stored_key) : code;
    }

    std::string_view text_;
    scram_verifier verifier_;
    secret_kind kind_ = secret_kind::none;
};

} // namespace walwire::auth
