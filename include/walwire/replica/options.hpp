// What a replica's session is told before it begins.
//
// The views must outlive the session. The password is not among them: it is asked for when it is
// needed (password_wanted) and never kept.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "../auth/crypto.hpp"
#include "../auth/password.hpp"
#include "../auth/scram.hpp"
#include "../dialect.hpp"
#include "../limits.hpp"
#include "../time.hpp"
#include "../wire/startup.hpp"

namespace walwire::replica {

using wire::replication_mode;

// What to ask of the server before anything else is said. libpq's sslmode maps to it: disable and
// the first attempt of allow are off; prefer is offered; require, verify-ca and verify-full are
// required, and what the certificate must satisfy is the adapter's to check.
enum class encryption : std::uint8_t {
    off,
    offered,  // plain text if the server declines
    required, // encryption_refused if the server declines
    direct,   // TLS at once, without asking (PostgreSQL 17 and later)
};

struct options {
    std::string_view user;
    std::string_view database;         // empty: left out
    std::string_view application_name; // empty: left out
    std::string_view settings; // the parameter "options", such as "-c wal_sender_timeout=5s"
    std::span<const wire::parameter> parameters;        // any others, in order
    replication_mode mode = replication_mode::physical; // never off
    walwire::dialect dialect = walwire::dialect::postgres;

    wire::protocol_version version = wire::protocol_3_0; // asked for: 3.0 or 3.2
    wire::protocol_version version_min = wire::protocol_3_0;

    encryption tls = encryption::off;
    encryption gss = encryption::off; // asked for before TLS, as libpq does; never direct

    // Needed for MD5 and SCRAM; may be null for servers that trust or take passwords in clear text.
    const auth::crypto* crypto = nullptr;
    auth::channel_binding_policy channel_binding = auth::channel_binding_policy::prefer;
    auth::method_set require_auth;      // default: every method
    bool cleartext_without_tls = false; // whether a password may cross an open network

    // From the first poll to the first `ready`. The seed of this library and its dialect use 5 s.
    std::int64_t connect_timeout = 5 * second;
    // The longest that the server may say nothing while it owes an answer or streams. At half of it
    // a streaming session asks for a sign of life. `never` waits for ever.
    std::int64_t silence_timeout = 60 * second;
    // The longest for BASE_BACKUP, outside of its data: there the server waits for a checkpoint,
    // which it may spread over many minutes, and for WAL to be archived, and says nothing.
    std::int64_t backup_silence_timeout = 3600 * second;
    // A status goes out at least this often while streaming; `never`: only when asked. At least 1
    // ms; 1 s in AionDB's dialect.
    std::int64_t status_interval = 10 * second;
    // Report each flush at once, as a synchronous standby must, instead of at the next interval.
    bool report_each_flush = false;

    walwire::limits limits;
};

} // namespace walwire::replica
