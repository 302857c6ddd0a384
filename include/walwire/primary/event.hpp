// Everything that a primary's session can tell its owner.
//
// Events are small, trivially copyable values. Their views point into the input buffer or the stash
// and live until the next call on the session or until the buffer is reused. Commands are
// wire/command.hpp's structs as they are: the session has parsed and judged them, and reads nothing
// more before one is answered or refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "../aiondb/message.hpp"
#include "../auth/password.hpp"
#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../wire/command.hpp"
#include "../wire/copy.hpp"
#include "../wire/startup.hpp"

namespace walwire::primary {

// The client was told to begin TLS: shake hands, then call secured(). In `direct` mode it has begun
// already, and the bytes that poll has left are the handshake's; ALPN must select "postgresql".
struct tls_accepted {
    bool direct = false;
};

// Somebody asks to cancel what another connection does; `closed` follows. Compare with
// session::is_cancelled_by(). There is no answer, whether it was right or wrong.
using wire::cancel_request;

// Who wants in: call admit() or refuse(). `parameters` are all that the client sent, those above
// included; `database` is the user's name where it was not sent.
struct login_requested {
    std::string_view user;
    std::string_view database;
    std::string_view application_name;
    wire::replication_mode mode = wire::replication_mode::physical;
    wire::protocol_version version; // in use from now on
    bool encrypted = false;
    bytes pairs;

    wire::parameters parameters() const noexcept { return wire::parameters(pairs); }
};

// The client is in. Commands follow.
struct logged_in {
    auth::method how = auth::method::none;
};

// Commands: answer(), stream(), complete() or refuse(). START_REPLICATION's start may lie anywhere;
// stream() judges it.
using wire::alter_replication_slot;
using wire::base_backup;
using wire::create_replication_slot;
using wire::drop_replication_slot;
using wire::identify_system;
using wire::read_replication_slot;
using wire::show;
using wire::sql;
using wire::start_logical_replication;
using wire::start_replication;
using wire::timeline_history;
using wire::upload_manifest;

// The manifest that UPLOAD_MANIFEST brings, behind accept_manifest(): its bytes in the runs that
// arrive, then that it is whole: complete() or refuse(). Before that refuse() ends it at any time.
struct manifest_uploaded {
    bytes data;
};
struct manifest_whole {};
// Or the client changed its mind, and was told so: there is nothing to answer.
struct manifest_abandoned {};

// What the replica reports while it streams, as it said it. progress() has what can be true of it.
// The session answers by itself where a reply was requested.
using wire::hot_standby_feedback;
using wire::primary_status_request;
using wire::standby_status_update;

// The same of AionDB's replicas.
using entry_status_update = aiondb::standby_status_update;
using entry_keepalive_reply = aiondb::keepalive_reply;

enum class streaming_end : std::uint8_t {
    stopped,        // by the client, or by end_stream()
    timeline_ended, // all up to the switch point was sent, and where to go on
    refused,        // refuse() was called
    failed,         // the client sent a status that could not be read, and was told so
};

// The stream is over and the client can give another command. What was lent is given back.
struct streaming_ended {
    streaming_end cause = streaming_end::stopped;
};

enum class closing : std::uint8_t {
    terminated, // the client said goodbye, or hung up between two commands
    cancel,     // a cancel_request came before; such connections do nothing else
    refused,    // a fatal refuse() was called
    shut_down,  // shut_down() was called; every streaming client has all WAL, and said so
};

// The session is over, in an orderly way. There may be output still.
struct closed {
    closing cause = closing::terminated;
};

// The session is over: the client broke the protocol, could not prove who it is, fell silent, or
// the connection was lost. `offset` counts the bytes it had sent before the message that was wrong.
// There may be output still: what the client is told of it.
struct failed {
    error reason;
};

using event =
    std::variant<standby_status_update, hot_standby_feedback, primary_status_request, tls_accepted,
                 cancel_request, login_requested, logged_in, identify_system, show,
                 timeline_history, create_replication_slot, read_replication_slot,
                 alter_replication_slot, drop_replication_slot, start_replication,
                 start_logical_replication, base_backup, upload_manifest, manifest_uploaded,
                 manifest_whole, manifest_abandoned, sql, streaming_ended, closed, failed,
                 entry_status_update, entry_keepalive_reply>;

// What one step of a part of the session led to: a code that ends the session, an event to deliver,
// or neither.
struct step {
    errc code = errc::none;
    std::optional<event> told;
};

} // namespace walwire::primary
