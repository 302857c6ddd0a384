// What a primary's session is told before it begins.
//
// The views must outlive the session. Who may log in is not among them: that is asked when a name
// is known (login_requested).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "../auth/crypto.hpp"
#include "../auth/password.hpp"
#include "../auth/scram_verifier.hpp"
#include "../bytes.hpp"
#include "../dialect.hpp"
#include "../limits.hpp"
#include "../time.hpp"
#include "../wire/startup.hpp"

namespace walwire::primary {

// Whether a client may, or must, encrypt before it says who it is. GSSAPI encryption is declined
// always.
enum class encryption : std::uint8_t {
    off,      // SSLRequest is answered with N
    offered,  // with S; clients that do not ask are served in plain text
    required, // and those are refused
};

struct options {
    // Reported as `server_version`. Its leading number is the version that the session plays, 12 to
    // 18: which commands it knows, and with which columns and tags it answers.
    std::string_view server_version = "18.0";
    // Reported besides the settings that every server reports, or in place of those of the same
    // name. With dialect::aiondb they are all that is reported.
    std::span<const wire::parameter> parameters;
    walwire::dialect dialect = walwire::dialect::postgres;

    // What a cancel request must present: shown to the client, whose protocol 3.0 has room for the
    // first 4 bytes of the key, and 3.2 for up to 256. At least 4, from a source that nobody can
    // guess.
    std::uint32_t pid = 0;
    bytes cancel_key;

    encryption tls = encryption::off;
    // A TLS handshake may also come at once, without asking, as from PostgreSQL 17 on.
    bool direct_tls = false;

    // What the secrets of users are like: md5 or scram_sha_256, and the iterations of a verifier, 1
    // to 2^31-1, which are also reported. A user who does not exist is asked, and kept busy, as if
    // there were such a secret, lest the difference tell who does.
    auth::method password_encryption = auth::method::scram_sha_256;
    std::uint32_t scram_iterations = auth::scram_iterations;

    // Needed for every method but none (trust): a password that comes in clear text may have to be
    // held against a hash or a verifier.
    const auth::crypto* crypto = nullptr;
    // Makes the salt of a user who does not exist, so that it is the same at each attempt: at least
    // 16 random bytes where there is a crypto table, the same for all sessions, and secret.
    bytes mock_secret;

    // From the first poll until the client is in. Then the connection is closed without a word.
    std::int64_t authentication_timeout = 60 * second;
    // The longest that a client may say nothing while it streams; at half of it a reply is
    // requested. Also the longest that it may leave an answer unread. `never`: no limit.
    std::int64_t wal_sender_timeout = 60 * second;

    walwire::limits limits;
};

} // namespace walwire::primary
