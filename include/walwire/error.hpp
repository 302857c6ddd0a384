// What can be wrong, by name.
//
// One enumeration serves three channels that are never mixed: a code that a call returns when its
// caller misused it, an `error` with a place in the stream when the peer broke the protocol
// (sticky, in a `failed` event), and a code that a parser of text returns. What a peer *reports*,
// an ErrorResponse, is none of these; it is an event with its fields (wire/fields.hpp).
#pragma once

#include <cstdint>
#include <string_view>

namespace walwire {

enum class errc : std::uint8_t {
    none = 0,

    // Misuse: returned by a call, which then changed nothing.
    not_now,             // the conversation does not allow it in its present state
    over,                // the machine has ended
    output_full,         // write what output() holds, then try again
    memory_too_small,    // stash or out is below what limits.hpp asks for
    argument_invalid,    // a value outside its stated range
    argument_too_long,   // it can never fit into the message or the room it is meant for
    argument_has_nul,    // the wire ends strings with NUL, so none may hold one
    unsupported_version, // the server is too old or too new for this command or option
    crypto_missing,      // the exchange needs a primitive that the crypto table does not offer
    crypto_failed,       // a primitive of the crypto table reported failure

    // Framing and message bodies.
    length_invalid,      // a message length below the smallest or above what its type can have
    message_too_large,   // a control message above limits::message_size_max or the stash
    copy_data_too_large, // a CopyData above limits::copy_data_size_max
    unknown_message,     // a type byte that this side of the protocol does not know
    unexpected_message,  // a known message that may not come in this state
    malformed_message,   // fields missing, unterminated or left over
    too_many,            // more of something than its limit allows

    // Start-up and encryption.
    encryption_answer_invalid, // neither yes, no nor an error after SSLRequest or GSSENCRequest
    encryption_refused,        // the server has no TLS and the policy demands it
    encryption_error_response, // an error instead of an answer; its text is not to be trusted
    bytes_before_encryption,   // plain bytes behind the answer: somebody may have injected them
    negotiation_invalid,       // NegotiateProtocolVersion says what it must not
    protocol_version_refused,  // the server speaks only versions below the lowest that we accept
    backend_key_invalid,       // a cancel key of a length that this protocol version does not have
    server_version_invalid,    // server_version is missing or not a version

    // Authentication.
    authentication_unknown,    // an authentication request this library does not speak
    authentication_refused,    // the method is not among those that require_auth allows
    authentication_incomplete, // AuthenticationOk in the middle of an exchange
    cleartext_refused,         // a cleartext password was asked for over an unencrypted link
    channel_binding_missing,   // channel binding is required and was not, or could not be, done
    sasl_mechanism_missing,    // none of the offered mechanisms can be used
    sasl_mechanism_unknown,    // the client chose a mechanism that it was not offered
    scram_malformed,           // a SCRAM message that does not follow RFC 5802
    scram_unsupported,         // a SCRAM message asks for another identity or a mandatory extension
    scram_binding_unknown,     // the client binds the exchange to a thing we know nothing of
    scram_downgraded,          // the client did not see that channel binding was offered
    scram_nonce_mismatch,      // the peer's nonce does not continue, or repeat, ours
    scram_iterations_refused,  // an iteration count of zero or above limits::scram_iterations_max
    scram_signature_mismatch,  // the server does not know the password's verifier
    scram_proof_mismatch,      // the client does not know the password
    scram_channel_binding_mismatch, // the two ends see different channels
    login_refused,                  // a start-up packet that asks for what is not served
    password_mismatch,              // not the password, or nobody may log in with one

    // Answers to commands.
    row_invalid,    // a row description or a row that does not follow its format
    answer_invalid, // not the rows and columns that the command answers with
    system_identifier_invalid,
    history_invalid, // a timeline history file that does not follow its format

    // The stream.
    copy_format_invalid, // a copy response that is not the binary-safe, column-less one
    stream_unknown,      // the first byte of a CopyData names nothing we know
    stream_malformed,    // a WAL message, keepalive or status shorter or longer than it can be
    wal_gap,             // WAL begins behind the end of what was received
    wal_overlap,         // WAL begins before the end of what was received
    lsn_overflow,        // a position runs past the end of the 64-bit range
    next_timeline_invalid,

    // Following a primary.
    system_identifier_mismatch, // another cluster answers
    timeline_mismatch,          // not the timeline that was expected
    timeline_behind,            // the server is on an older timeline than ours
    timeline_diverged,          // our log runs past the point where the server's history forked
    position_ahead,             // the server's log ends before ours
    segment_size_invalid,

    // Keeping the books of a primary.
    slot_exists,         // a replication slot of this name is there already
    slot_missing,        // there is no replication slot of this name
    slot_active,         // another connection uses the replication slot
    slots_full,          // as many replication slots as there is room for (max_replication_slots)
    replicas_full,       // as many replicas as there is room for (max_wal_senders)
    slots_invalid,       // a file of replication slots that does not follow its format
    slots_too_new,       // one of a later format
    concern_unreachable, // a write concern of more replicas than can ever be connected

    // The files of a base backup.
    tar_checksum_mismatch,      // a tar header that does not add up: damage, or no header at all
    tar_format_unknown,         // a tar header that is not a ustar one
    tar_header_invalid,         // a number that does not follow its format or is out of its range
    tar_entry_refused,          // a hard link, a device or whatever else base backups do not have
    tar_path_refused,           // empty, absolute, with "..", or otherwise not a plain path
    tar_target_refused,         // a symbolic link to nowhere, or to a name with control characters
    tar_trailer_invalid,        // something other than zeros behind the end of an archive
    tar_truncated,              // an archive that ends within an entry or without its trailer
    incremental_header_invalid, // an incremental file's header that does not follow its format
    incremental_block_invalid,  // a block number out of range, or not above the one before it
    incremental_size_mismatch,  // an incremental file of a size that its header does not lead to
    incremental_chain_broken,   // incremental files without the full file that they build on

    // A base backup.
    archive_name_invalid,     // an archive's name that no server gives
    archive_unexpected,       // an archive that is not in the list, came before, or comes too late
    tablespace_invalid,       // a row of the list that cannot be true
    backup_stream_malformed,  // a message in the copy that does not follow its format
    backup_incomplete,        // the end of a backup that lacks an archive or its manifest
    backup_range_invalid,     // a backup that ends before it begins
    manifest_malformed,       // a manifest that does not follow its form
    manifest_truncated,       // its end before its last line's
    manifest_version_unknown, // not a version that is known, or none in front
    manifest_field_unknown,   // a field that the object around it does not have
    manifest_field_missing,   // an object that ends without a field that it has to have
    manifest_field_doubled,   // a field twice, or a path in both of its forms
    manifest_text_invalid,    // a string that is not JSON's, or not UTF-8
    manifest_text_too_long,   // the strings of an entry do not fit into the room for them
    manifest_path_refused,    // a path that is empty, absolute, leads upwards or is not decoded
    manifest_algorithm_unknown, // a checksum by an algorithm that no server has
    manifest_checksum_invalid,  // a checksum that is not one of its algorithm
    manifest_checksum_mismatch, // a manifest that was changed
    file_seen_twice,            // two files of one path in a backup

    // The AionDB dialect.
    entry_too_large,         // a message or frame above the dialect's 8 MiB
    entry_size_mismatch,     // a message that is not all of its CopyData, or not all in it
    entry_size_invalid,      // a message of another size than its kind has
    entry_batch_empty,       // a batch without entries
    entry_batch_backwards,   // a batch whose last entry stands before its first
    entry_number_zero,       // a batch that names entry 0, which is none
    entry_status_disordered, // a status with applied past flushed, or flushed past written
    entry_flag_invalid,      // a flag that is neither 0 nor 1
    entry_direction_invalid, // a message that only the other end may send
    frame_unknown,           // a frame of a backup whose tag names nothing we know
    frame_malformed,         // one whose payload does not follow its format
    backup_header_missing,   // a frame before the backup's header
    backup_header_repeated,
    file_start_inside_file,
    file_data_outside_file,
    file_end_outside_file,
    file_too_long,     // more bytes than the file's start declared
    file_too_short,    // fewer
    file_path_refused, // a path that is absolute, climbs, is empty, or holds control characters
    backup_end_inside_file,
    frame_after_end,
    backup_unended,           // the stream ended before the backup did
    storage_manifest_missing, // a replica's data directory lacks what is written there first

    // Time and transport.
    connect_timeout, // no usable connection within connect_timeout
    silence_timeout, // nothing came from the peer for silence_timeout
    connection_lost, // the peer closed its side in the middle of something

    // Text.
    number_invalid,
    lsn_invalid,
    timeline_invalid,
    name_invalid,           // a slot name, setting or identifier outside its alphabet or length
    write_concern_invalid,  // none of the write concerns
    write_concern_zero,     // factor:0, which asks for nobody
    standby_names_invalid,  // synchronous_standby_names that do not parse
    base64_invalid,         // not canonical base64
    scram_verifier_invalid, // not a stored SCRAM-SHA-256 secret
    command_invalid,        // a replication command that does not parse
    option_unknown,         // a command option that the command does not have
    option_conflict,        // an option twice, or two that exclude each other
    option_invalid,         // an option's value is not one it can have

    // Connection strings.
    conninfo_too_long,
    conninfo_syntax,          // no '=' behind a keyword, or text that is no URI
    conninfo_unterminated,    // a quote that is not closed
    conninfo_unknown_keyword, // a keyword that this library does not know
    conninfo_value_invalid,   // a value that its keyword cannot have
    conninfo_several_hosts,   // a list of hosts or ports; one of each is supported
    conninfo_tls_unavailable, // a strict sslmode where the adapter has no TLS
    conninfo_needs_root_cert, // verify-ca and verify-full need sslrootcert
};

// One sentence without a full stop, in English, the same for every build.
constexpr std::string_view text(errc code) noexcept {
    switch (code) {
    case errc::none: return "no error";
    case errc::not_now: return "the conversation does not allow this now";
    case errc::over: return "the session has ended";
    case errc::output_full: return "no room for another message until the output is written";
    case errc::memory_too_small: return "the memory given is smaller than the limits ask for";
    case errc::argument_invalid: return "an argument is outside its range";
    case errc::argument_too_long: return "an argument is longer than its message can hold";
    case errc::argument_has_nul: return "an argument holds a NUL byte";
    case errc::unsupported_version: return "the server's version does not have this";
    case errc::crypto_missing: return "a cryptographic primitive is missing";
    case errc::crypto_failed: return "a cryptographic primitive failed";
    case errc::length_invalid: return "a message length is impossible";
    case errc::message_too_large: return "a message is larger than the limit";
    case errc::copy_data_too_large: return "a CopyData message is larger than the limit";
    case errc::unknown_message: return "a message of an unknown type came";
    case errc::unexpected_message: return "a message came that may not come now";
    case errc::malformed_message: return "a message's fields do not follow its format";
    case errc::too_many: return "more repetitions came than the limit allows";
    case errc::encryption_answer_invalid: return "the answer to the encryption request is none";
    case errc::encryption_refused: return "the server offers no encryption and it is required";
    case errc::encryption_error_response:
        return "the server answered the encryption request with an error";
    case errc::bytes_before_encryption:
        return "unencrypted bytes came behind the answer to the encryption request";
    case errc::negotiation_invalid: return "the protocol negotiation is inconsistent";
    case errc::protocol_version_refused: return "the server's protocol version is too low";
    case errc::backend_key_invalid: return "the cancel key has an impossible length";
    case errc::server_version_invalid: return "the server's version is missing or unreadable";
    case errc::authentication_unknown: return "the server asks for an unknown authentication";
    case errc::authentication_refused:
        return "the server asks for an authentication that is not allowed";
    case errc::authentication_incomplete:
        return "the server declared success in the middle of authentication";
    case errc::cleartext_refused:
        return "the server asks for a cleartext password over an unencrypted connection";
    case errc::channel_binding_missing: return "channel binding is required and was not done";
    case errc::sasl_mechanism_missing: return "none of the offered SASL mechanisms can be used";
    case errc::sasl_mechanism_unknown: return "the client chose a SASL mechanism not offered";
    case errc::scram_malformed: return "a SCRAM message is malformed";
    case errc::scram_unsupported: return "a SCRAM message asks for what is not supported";
    case errc::scram_binding_unknown: return "the SCRAM channel binding is of an unknown type";
    case errc::scram_downgraded:
        return "the client did not see that SCRAM channel binding was offered";
    case errc::scram_nonce_mismatch: return "the SCRAM nonce does not match ours";
    case errc::scram_iterations_refused: return "the SCRAM iteration count is out of range";
    case errc::scram_signature_mismatch: return "the server's SCRAM signature is wrong";
    case errc::scram_proof_mismatch: return "the client's SCRAM proof is wrong";
    case errc::scram_channel_binding_mismatch: return "the SCRAM channel binding does not match";
    case errc::login_refused: return "the client asks for what this server does not offer";
    case errc::password_mismatch: return "the password is wrong";
    case errc::row_invalid: return "a row or its description does not follow its format";
    case errc::answer_invalid: return "the answer is not the one that the command has";
    case errc::system_identifier_invalid: return "the system identifier is not one";
    case errc::history_invalid: return "the timeline history is malformed";
    case errc::copy_format_invalid: return "the copy has an unexpected format";
    case errc::stream_unknown: return "a stream message of an unknown kind came";
    case errc::stream_malformed: return "a stream message has an impossible size";
    case errc::wal_gap: return "WAL is missing between what was received and what came";
    case errc::wal_overlap: return "WAL came again that was received before";
    case errc::lsn_overflow: return "a WAL position runs past its range";
    case errc::next_timeline_invalid: return "the server's next timeline is impossible";
    case errc::system_identifier_mismatch: return "the server belongs to another cluster";
    case errc::timeline_mismatch: return "the server is not on the expected timeline";
    case errc::timeline_behind: return "the server is on an older timeline";
    case errc::timeline_diverged: return "the server's history forked before our position";
    case errc::position_ahead: return "the server's WAL ends before our position";
    case errc::segment_size_invalid: return "the WAL segment size is not one";
    case errc::slot_exists: return "the replication slot exists already";
    case errc::slot_missing: return "the replication slot does not exist";
    case errc::slot_active: return "the replication slot is in use";
    case errc::slots_full: return "all replication slots are in use";
    case errc::replicas_full: return "as many replicas as allowed are connected";
    case errc::slots_invalid: return "the file of replication slots is malformed";
    case errc::slots_too_new: return "the file of replication slots has a later format";
    case errc::concern_unreachable:
        return "the write concern asks for more replicas than can be connected";
    case errc::tar_checksum_mismatch: return "the checksum of a tar header is wrong";
    case errc::tar_format_unknown: return "a tar header is not in the ustar format";
    case errc::tar_header_invalid: return "a number in a tar header is malformed or out of range";
    case errc::tar_entry_refused: return "a tar entry is of a kind that is not allowed";
    case errc::tar_path_refused: return "the path of a tar entry is not allowed";
    case errc::tar_target_refused: return "the target of a symbolic link is not allowed";
    case errc::tar_trailer_invalid: return "a tar archive goes on behind its end";
    case errc::tar_truncated: return "a tar archive ends too early";
    case errc::incremental_header_invalid: return "the header of an incremental file is malformed";
    case errc::incremental_block_invalid:
        return "a block number in an incremental file is out of range or out of order";
    case errc::incremental_size_mismatch:
        return "the size of an incremental file does not follow from its header";
    case errc::incremental_chain_broken: return "the full file below an incremental one is missing";
    case errc::archive_name_invalid: return "an archive has a name that no server gives";
    case errc::archive_unexpected: return "an archive came that may not come now";
    case errc::tablespace_invalid: return "a row of the list of tablespaces cannot be true";
    case errc::backup_stream_malformed: return "a message of the backup does not follow its format";
    case errc::backup_incomplete: return "the backup lacks an archive or its manifest";
    case errc::backup_range_invalid: return "the backup ends before it begins";
    case errc::manifest_malformed: return "the backup manifest is malformed";
    case errc::manifest_truncated: return "the backup manifest is not complete";
    case errc::manifest_version_unknown: return "the backup manifest has an unknown version";
    case errc::manifest_field_unknown: return "the backup manifest has an unknown field";
    case errc::manifest_field_missing: return "a field of the backup manifest is missing";
    case errc::manifest_field_doubled: return "a field of the backup manifest is there twice";
    case errc::manifest_text_invalid: return "a string of the backup manifest is not valid";
    case errc::manifest_text_too_long: return "an entry of the backup manifest is too long";
    case errc::manifest_path_refused: return "a path in the backup manifest is not a plain one";
    case errc::manifest_algorithm_unknown:
        return "the backup manifest names an unknown checksum algorithm";
    case errc::manifest_checksum_invalid: return "a checksum in the backup manifest is not one";
    case errc::manifest_checksum_mismatch: return "the backup manifest does not match its checksum";
    case errc::file_seen_twice: return "the backup holds two files of the same path";
    case errc::entry_too_large: return "a message or frame is larger than 8 MiB";
    case errc::entry_size_mismatch: return "a message does not fill its CopyData";
    case errc::entry_size_invalid: return "a message has a size that its kind does not have";
    case errc::entry_batch_empty: return "a batch holds no entry";
    case errc::entry_batch_backwards: return "a batch ends before it begins";
    case errc::entry_number_zero: return "a batch names entry 0, which is none";
    case errc::entry_status_disordered:
        return "a status claims more applied or flushed than it may";
    case errc::entry_flag_invalid: return "a flag is neither 0 nor 1";
    case errc::entry_direction_invalid: return "a message came that only this end may send";
    case errc::frame_unknown: return "a frame of the backup is of an unknown kind";
    case errc::frame_malformed: return "a frame of the backup does not follow its format";
    case errc::backup_header_missing: return "the backup does not begin with its header";
    case errc::backup_header_repeated: return "the backup has a second header";
    case errc::file_start_inside_file: return "a file begins inside of another";
    case errc::file_data_outside_file: return "data came outside of a file";
    case errc::file_end_outside_file: return "the end of a file came outside of one";
    case errc::file_too_long: return "a file has more bytes than it declared";
    case errc::file_too_short: return "a file has fewer bytes than it declared";
    case errc::file_path_refused: return "a file's path would leave the target, or is none";
    case errc::backup_end_inside_file: return "the backup ended inside of a file";
    case errc::frame_after_end: return "a frame came behind the end of the backup";
    case errc::backup_unended: return "the stream ended before the backup did";
    case errc::storage_manifest_missing: return "the storage manifest is missing";
    case errc::connect_timeout: return "no usable connection in time";
    case errc::silence_timeout: return "the peer has been silent for too long";
    case errc::connection_lost: return "the connection was lost";
    case errc::number_invalid: return "not a number in range";
    case errc::lsn_invalid: return "not a WAL position";
    case errc::timeline_invalid: return "not a timeline";
    case errc::name_invalid: return "not a valid name";
    case errc::write_concern_invalid: return "not a write concern";
    case errc::write_concern_zero: return "a write concern of no replica at all";
    case errc::standby_names_invalid: return "not a list of synchronous standbys";
    case errc::base64_invalid: return "not canonical base64";
    case errc::scram_verifier_invalid: return "not a stored SCRAM-SHA-256 secret";
    case errc::command_invalid: return "not a replication command";
    case errc::option_unknown: return "the command has no such option";
    case errc::option_conflict: return "conflicting or redundant options";
    case errc::option_invalid: return "the option cannot have this value";
    case errc::conninfo_too_long: return "the connection string exceeds a limit";
    case errc::conninfo_syntax: return "the connection string has a syntax error";
    case errc::conninfo_unterminated: return "the connection string has an unclosed quote";
    case errc::conninfo_unknown_keyword: return "the connection string has an unknown keyword";
    case errc::conninfo_value_invalid: return "the connection string has an impossible value";
    case errc::conninfo_several_hosts:
        return "the connection string names several hosts, which is not supported";
    case errc::conninfo_tls_unavailable: return "TLS is required and not available";
    case errc::conninfo_needs_root_cert: return "the sslmode needs sslrootcert";
    }
    return "unknown error";
}

// How a peer broke the protocol, and where: `offset` counts the bytes that the machine ate before
// the message that was wrong.
struct error {
    errc code = errc::none;
    std::uint64_t offset = 0;

    friend constexpr bool operator==(error, error) noexcept = default;
};

// A value, or the code that says why there is none. For small trivially copyable values only.
template <class T>
class [[nodiscard]] result {
  public:
    constexpr result(T value) noexcept : value_(value) {}
    constexpr result(errc code) noexcept : code_(code) {}

    constexpr explicit operator bool() const noexcept { return code_ == errc::none; }
    constexpr errc code() const noexcept { return code_; }
    constexpr const T& operator*() const noexcept { return value_; }
    constexpr const T* operator->() const noexcept { return &value_; }

  private:
    T value_{};
    errc code_ = errc::none;
};

} // namespace walwire
