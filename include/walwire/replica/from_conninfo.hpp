// What a connection string means for a session: libpq's keywords turned into options.
//
//     sslmode        first attempt    when the server turns that away
//     disable        plain            -
//     allow          plain            TLS
//     prefer         TLS if it has    plain
//     require ...    TLS              -
//
// What a certificate must satisfy, where the password comes from and how host and port become a
// transport are the adapter's business and stay in the conninfo.
#pragma once

#include <optional>

#include "../auth/password.hpp"
#include "../conninfo.hpp"
#include "../error.hpp"
#include "options.hpp"

namespace walwire::replica {

struct connection_options {
    options first;
    std::optional<encryption> alternative_tls;
};

// The views lie where the conninfo's do. conninfo_value_invalid: require_auth is not a list of
// methods. A cleartext password is let through on a Unix socket, and where require_auth names it.
inline result<connection_options> from_conninfo(const conninfo& info,
                                                const auth::crypto* crypto) noexcept {
    connection_options made;
    options& to = made.first;
    to.user = info.user;
    to.database = info.dbname;
    to.application_name = info.application_name;
    to.settings = info.options;
    to.version = {info.max_protocol_version};
    to.version_min = {info.min_protocol_version};
    to.crypto = crypto;
    to.channel_binding = static_cast<auth::channel_binding_policy>(info.channel_binding);
    const auto methods = auth::parse_require_auth(info.require_auth);
    if (!methods) return errc::conninfo_value_invalid;
    to.require_auth = *methods;
    const bool listed = !info.require_auth.empty() && info.require_auth.front() != '!';
    const bool named = listed && methods->allows(auth::method::password);
    to.cleartext_without_tls = info.local() || named;
    if (info.connect_timeout > 0) to.connect_timeout = info.connect_timeout * second;
    if (info.gssencmode == gss_mode::prefer) to.gss = encryption::offered;
    if (info.gssencmode == gss_mode::require) to.gss = encryption::required;
    if (info.local()) return made; // nobody encrypts a Unix socket
    const bool direct = info.sslnegotiation == ssl_negotiation::direct;
    switch (info.sslmode) {
    case ssl_mode::disable: break;
    case ssl_mode::allow: made.alternative_tls = encryption::required; break;
    case ssl_mode::prefer:
        to.tls = encryption::offered;
        made.alternative_tls = encryption::off;
        break;
    case ssl_mode::require:
    case ssl_mode::verify_ca:
    case ssl_mode::verify_full: to.tls = direct ? encryption::direct : encryption::required;
    }
    return made;
}

} // namespace walwire::replica
