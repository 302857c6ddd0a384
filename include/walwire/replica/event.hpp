// Everything that a replica's session can tell its owner.
//
// Events are small, trivially copyable values. Their views point into the input buffer or the stash
// and live until the next call on the session or until the buffer is reused; what is to be kept is
// copied.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "../aiondb/message.hpp"
#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../wire/backend.hpp"
#include "../wire/copy.hpp"
#include "../wire/fields.hpp"
#include "../wire/rows.hpp"

namespace walwire::replica {

// Begin TLS on the transport, then call secured(). In `direct` mode the handshake comes first of
// all, must offer the ALPN protocol "postgresql" and must see it selected.
struct tls_accepted {
    bool direct = false;
};

// Begin GSSAPI encryption on the transport, then call secured().
struct gss_accepted {};

// The server speaks only an older protocol, or not every option that was asked for. The session
// goes on with `version`.
struct negotiated {
    wire::protocol_version version;
};

enum class password_use : std::uint8_t { cleartext, md5, scram_sha_256 };

// Call give_password(). Until then the session reads nothing more.
struct password_wanted {
    password_use use = password_use::cleartext;
};

// A setting of the server, at start-up and whenever it changes.
using wire::parameter_status;

// What a cancel request must present; it comes once, before the first `ready`.
using wire::backend_key_data;

// The session waits for a command. The first one says that the server has let us in.
struct ready {
    wire::transaction_status status = wire::transaction_status::idle;
};

// IDENTIFY_SYSTEM. `end` is how far the server has flushed its log (a standby: received or
// replayed).
struct system_identified {
    std::uint64_t system_identifier = 0;
    timeline_id timeline;
    lsn end;
    std::optional<std::string_view> database; // none on a physical connection
    std::string_view identifier_text;         // AionDB's need not be a number
};

// SHOW: once for each row, as SHOW ALL answers with many.
struct setting_shown {
    std::string_view value;
};

// TIMELINE_HISTORY. The session has compared the file's name with the timeline's, so nobody needs
// the server's spelling of a path.
struct history_read {
    timeline_id timeline;
    bytes content;
};

// CREATE_REPLICATION_SLOT. The consistent point of a physical slot is 0/0.
struct slot_created {
    std::string_view name;
    lsn consistent_point;
    std::optional<std::string_view> snapshot;
    std::optional<std::string_view> plugin;
};

// READ_REPLICATION_SLOT. No such slot: `exists` is false. Nothing reserved yet: restart is 0/0.
struct slot_read {
    bool exists = false;
    std::string_view type;
    lsn restart;
    timeline_id restart_timeline;
};

// ALTER_ and DROP_REPLICATION_SLOT: the command is done. SQL, BASE_BACKUP and UPLOAD_MANIFEST: one
// of its results is.
struct command_completed {
    std::string_view tag;
};

// The results of SQL and of BASE_BACKUP, as they come. backup/reader.hpp makes a backup of them.
using wire::data_row;
using wire::row_description;

// The server copies to us: BASE_BACKUP, or COPY ... TO STDOUT on a database connection. A base
// backup has text format and no columns.
struct copy_out_started {
    wire::copy_response format;
};

// A run of what it copies. `begins` and `ends` mark the first and the last run of one message,
// which may be empty.
struct copy_data {
    bytes data;
    bool begins = false;
    bool ends = false;
};

struct copy_out_ended {};

// The server waits for us to copy: copy(), then end_copy() or abandon_copy(). UPLOAD_MANIFEST, or
// COPY ... FROM STDIN on a database connection.
struct copy_in_started {
    wire::copy_response format;
};

// The server follows with WAL from `start` on. This does not say that it has it: an error may come
// yet.
struct streaming_started {
    lsn start;
};

// A run of WAL: the bytes from `start` on. `begins` and `ends` mark the first and the last run of
// one message. A position behind the run is start + data.size(); `server_end` is only how far the
// server is.
struct wal_data {
    lsn start;
    bytes data;
    lsn server_end;
    std::int64_t sent_at = 0; // the server's clock, microseconds since 2000
    bool begins = false;
    bool ends = false;
};

// AionDB's WAL: a run of a batch that goes from entry `first` to entry `last`, both counted in.
// Where in the batch an entry begins is for whoever knows its encoding.
struct entry_data {
    aiondb::entry_lsn first;
    aiondb::entry_lsn last;
    bytes data;
    bool begins = false;
    bool ends = false;
};

// The session answers by itself when a reply is requested.
using entry_keepalive = aiondb::keepalive;
using wire::primary_keepalive;

// From PostgreSQL 19 on.
using wire::primary_status;

// The timeline that was streamed ends at `switch_point`; WAL received behind it belongs to nobody.
// The primary's history goes on as `next`.
struct timeline_ended {
    timeline_id next;
    lsn switch_point;
};

enum class streaming_end : std::uint8_t {
    stopped,         // stop() was called
    timeline_ended,  // a timeline_ended event came before
    server_shutdown, // the server has sent all it has and is going away
};

// No more WAL comes. `ready` follows, or the server closes.
struct streaming_ended {
    streaming_end cause = streaming_end::stopped;
};

// An ErrorResponse. The command that ran is over; the connection is too if it is `fatal`. The views
// are the server's bytes: filter them before they reach a terminal.
struct server_error {
    bool fatal = false;
    std::string_view sqlstate;
    std::string_view message;
    bytes body; // as sent, for fields()

    wire::error_fields fields() const noexcept { return *wire::parse_error_fields(body); }
};

struct notice {
    std::string_view severity;
    std::string_view sqlstate;
    std::string_view message;
    bytes body;

    wire::error_fields fields() const noexcept { return *wire::parse_error_fields(body); }
};

using wire::notification_response;

enum class closing : std::uint8_t {
    terminated,      // terminate() was called, and all output is written
    fatal_error,     // a fatal server_error came before
    server_shutdown, // streaming_ended said so before
};

// The session is over, in an orderly way.
struct closed {
    closing cause = closing::terminated;
};

// The session is over: the peer broke the protocol, fell silent, or the connection was lost.
// `offset` counts the bytes that the server had sent before the message that was wrong.
struct failed {
    error reason;
};

// What machines that own a session and ask for its transport tell besides: wal_receiver.hpp and
// base_backup.hpp.

// Open a transport to the primary; `attempt` counts from 1 since the last connection that worked.
struct connect_wanted {
    std::uint32_t attempt = 1;
};

// Close the transport, or give up opening it. What it may still hold is of no interest.
struct disconnect_wanted {};

// Why a connection ended: what failed here, or the SQLSTATE that the server gave ("" for none).
struct cause {
    error reason;
    std::string_view sqlstate; // lives as long as the machine
};

// The machine is over because stop() was called.
struct stopped {};

// The machine is over because of something that trying again does not mend, or that may not be
// retried.
struct given_up {
    cause why;
};

// Of a session.
using event = std::variant<wal_data, primary_keepalive, primary_status, tls_accepted, gss_accepted,
                           negotiated, password_wanted, parameter_status, backend_key_data, ready,
                           system_identified, setting_shown, history_read, slot_created, slot_read,
                           command_completed, row_description, data_row, copy_out_started,
                           copy_data, copy_out_ended, copy_in_started, streaming_started,
                           timeline_ended, streaming_ended, server_error, notice,
                           notification_response, closed, failed, entry_data, entry_keepalive>;

// What one step of a part of the session led to: a code that ends the session, an event to deliver,
// or neither.
struct step {
    errc code = errc::none;
    std::optional<event> told;
};

} // namespace walwire::replica
