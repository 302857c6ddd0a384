// Which SASL mechanism to use, of those that a server offers.
//
// PostgreSQL offers SCRAM-SHA-256, and inside TLS also SCRAM-SHA-256-PLUS, which binds the exchange
// to the server's certificate: somebody in the middle, with a certificate of his own, cannot pass
// it on. A client that could have bound itself but saw no offer says so ('y'), and a server that
// did offer it then knows that somebody took the offer out.
//
//     link                     offered         disable    prefer     require
//     plain                    PLUS too        refused    refused    refused
//     plain                    not PLUS        n          n          missing
//     TLS, nothing to bind to  either          n          n          missing
//     TLS                      not PLUS        n          y          missing
//     TLS                      PLUS too        n          p          p
//
// Nobody but an attacker, who ends the TLS himself, brings an offer of PLUS to a plain link. Where
// the table says n and PLUS is all that was offered, no mechanism is left.
//
// Source of truth: RFC 5802, section 6; the manual, "SASL Authentication"; libpq's channel_binding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"

namespace walwire::auth {

inline constexpr std::string_view scram_sha_256_name = "SCRAM-SHA-256";
inline constexpr std::string_view scram_sha_256_plus_name = "SCRAM-SHA-256-PLUS";

// The one binding that PostgreSQL speaks: a hash of the server's certificate, of 64 bytes at most.
inline constexpr std::string_view tls_server_end_point = "tls-server-end-point";
inline constexpr std::size_t channel_binding_size_max = 64;

// As libpq's setting of the same name.
enum class channel_binding_policy : std::uint8_t { disable, prefer, require };

// What a client says about channel binding, in the first letter of its first message.
enum class channel_binding_flag : char {
    none = 'n',        // it cannot, or does not want to
    not_offered = 'y', // it could, but was not offered it
    bound = 'p',       // it does
};

// The words of a SCRAM client before its first attribute.
constexpr std::string_view gs2_header(channel_binding_flag flag) noexcept {
    switch (flag) {
    case channel_binding_flag::none: break;
    case channel_binding_flag::not_offered: return "y,,";
    case channel_binding_flag::bound: return "p=tls-server-end-point,,";
    }
    return "n,,";
}

struct mechanism {
    std::string_view name;
    channel_binding_flag flag = channel_binding_flag::none;
};

// PostgreSQL 18 has three names to offer. A longer list is refused: too_many.
inline constexpr std::size_t mechanisms_max = 32;

// `list` is what stands behind the code of AuthenticationSASL: names that each end in NUL, and one
// NUL more. `binding` says that a hash of the server's certificate is at hand; some certificates
// have none. Fails with malformed_message, too_many, sasl_mechanism_missing,
// channel_binding_missing, or scram_channel_binding_mismatch: the server believes in a TLS that we
// do not see.
inline result<mechanism> choose_mechanism(bytes list, bool encrypted, bool binding,
                                          channel_binding_policy policy) noexcept {
    reader in(list);
    bool plain = false, plus = false;
    std::size_t count = 0;
    for (auto name = in.c_string(); !name.empty(); name = in.c_string()) {
        if (++count > mechanisms_max) return errc::too_many;
        plain = plain || name == scram_sha_256_name;
        plus = plus || name == scram_sha_256_plus_name;
    }
    if (!in.done()) return errc::malformed_message;
    if (plus && !encrypted) return errc::scram_channel_binding_mismatch;

    const bool able = encrypted && binding && policy != channel_binding_policy::disable;
    if (able && plus) return mechanism{scram_sha_256_plus_name, channel_binding_flag::bound};
    if (policy == channel_binding_policy::require) return errc::channel_binding_missing;
    if (!plain) return errc::sasl_mechanism_missing;
    return mechanism{scram_sha_256_name,
                     able ? channel_binding_flag::not_offered : channel_binding_flag::none};
}

} // namespace walwire::auth
