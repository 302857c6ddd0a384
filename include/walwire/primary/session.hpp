// One served connection of a primary, from the first byte to the last.
//
//     poll                       -> tls_accepted, login_requested     <- secured(), admit()
//     logged_in                  -> identify_system, show, slots ...  <- answer(), complete()
//     start_replication          <- stream()
//     wants_wal()                <- send(): lent, and sent as it lies there
//     standby_status_update      -> progress(): what can be true of it
//     end_timeline(), CopyDone   -> streaming_ended: the connection can be used again
//     base_backup                <- begin_backup(), list(), begin_archive() ... end_backup()
//     upload_manifest            <- accept_manifest(), then complete()
//     shut_down()                -> closed, when every byte was acknowledged
//     refuse()                   at any of these places: an error, and the next command
//
// This is replica/session.hpp seen from the other end: the same table of who may say what
// (wire/conversation.hpp), the same contract (session.hpp), the same names. What opens a connection
// is admission.hpp's, what streams is wal_sender.hpp's, and how rows look is answer.hpp's. Here
// they become one machine that reads one command at a time: while its answer is owed, or waits to
// be written, poll leaves the input where it is, and so a client that does not read what it asked
// for can make nobody keep anything.
//
// The end may leave output: closed and failed are told at once, and what output() still holds is
// the client's reason. Write it, then close.
//
// Source of truth: the manual, "Streaming Replication Protocol"; postgres.c and walsender.c.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "../backup/archive.hpp"
#include "../backup/writer.hpp"
#include "../bytes.hpp"
#include "../config.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../session.hpp"
#include "../time.hpp"
#include "../wire/command.hpp"
#include "../wire/command_parser.hpp"
#include "../wire/conversation.hpp"
#include "../wire/framer.hpp"
#include "../wire/frontend.hpp"
#include "../wire/outbox.hpp"
#include "../wire/rows.hpp"
#include "../wire/server_version.hpp"
#include "admission.hpp"
#include "answer.hpp"
#include "event.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "refusal.hpp"
#include "wal_sender.hpp"

namespace walwire::primary {

class session {
  public:
    using event = primary::event;

    // Whether a session can work with these: memory_too_small, also when the first answer does not
    // fit into `out`; server_version_invalid; unsupported_version for one below 12;
    // argument_invalid for a cancel key of less than 4 or more than 256 bytes, a mock secret below
    // 16, a timeout below a millisecond, iterations or a password_encryption that there are not;
    // argument_has_nul.
    static errc check(const options& chosen, memory room) noexcept;

    // Both buffers and the views in the options must outlive the session. What check() refuses
    // makes the first poll fail with its code.
    session(const options& chosen, memory room) noexcept;
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    // Eats input, moves time, and returns the next event, or none when there is nothing more to
    // tell. Input that is left belongs to a TLS handshake, or waits for an answer: for the owner's,
    // or for one to be written. Call again once that is done.
    std::optional<event> poll(bytes& in, instant now) noexcept;

    // The client closed its side. What was read before that is still delivered, as far as it could
    // be answered.
    void finish() noexcept { finished_ = true; }

    // When to call poll again at the latest, on the steady clock: `never`, or the distant past
    // while something is owed already.
    std::int64_t deadline() const noexcept;

    // Queued messages, and behind them the body of one that is lent: WAL, or a history. The library
    // never reads that body, so it may as well be memory that a file is mapped into.
    gather output() const noexcept { return {out_.waiting(), body_}; }
    void consume(std::size_t size) noexcept;

    // closed or failed was delivered.
    bool over() const noexcept { return over_; }

    // Answers tls_accepted once the handshake is done. `binding` is the hash of our certificate for
    // tls-server-end-point, at most 64 bytes; empty where there is none, and then
    // SCRAM-SHA-256-PLUS is not offered.
    errc secured(bytes binding = {}) noexcept;

    // Answers login_requested: none (trust), password, md5 or scram_sha_256. `secret` is what is
    // stored for the user, null for nobody, who is asked for the same and fails in the end; it must
    // stay until logged_in or the session's end. MD5 turns into SCRAM where a verifier is stored,
    // and for nobody where options.password_encryption says that verifiers are what is stored. For
    // SCRAM a plain password is argument_invalid: make a verifier of it once (scram_verifier.hpp).
    // Also not_now; argument_invalid for a method that is none of these; crypto_missing;
    // crypto_failed. While the server shuts down the client is told to go instead.
    errc admit(auth::method how, const auth::stored_secret* secret = nullptr) noexcept;

    // Answers a login or a command with an error, or ends a stream with one; a refusal that is
    // fatal, as each is before logged_in, closes the connection. output_full: write, then try
    // again; not_now: there is nothing to refuse.
    errc refuse(const refusal& why) noexcept;

    // Answers the command that was told: not_now if it was another. output_full or
    // argument_too_long, and nothing has changed.
    errc answer(const system_identity& row) noexcept { return say_row(question::system, row); }
    errc answer(const setting& row) noexcept { return say_row(question::setting, row); }
    errc answer(const created_slot& row) noexcept { return say_row(question::slot_creation, row); }
    errc answer(const slot_state& row) noexcept { return say_row(question::slot_reading, row); }
    // The content is lent until the session is idle or over.
    errc answer(const history_content& row) noexcept;

    // ALTER_ and DROP_REPLICATION_SLOT are done, or UPLOAD_MANIFEST is, behind manifest_whole.
    errc complete() noexcept;

    // Answers BASE_BACKUP, call by call, as backup/writer.hpp has it and with its codes: where the
    // backup begins; every tablespace, the base directory last; each archive, in that order, and
    // the manifest if one was asked for, with their bytes; where it ends.
    errc begin_backup(const backup::started& from) noexcept;
    errc list(const backup::tablespace& next) noexcept;
    errc begin_archive(backup::archive_name name, std::string_view path = {}) noexcept;
    errc begin_manifest() noexcept;
    errc report_progress(std::uint64_t done) noexcept;
    errc end_backup(const backup::ended& at) noexcept;
    // Instead of end_backup() where damage was found on the way, as in pages with wrong checksums:
    // the client gets everything, and then refuse() tells it why that is no backup.
    errc condemn_backup(const backup::ended& at) noexcept;
    // AionDB's backup has no rows: the frames of aiondb/backup.hpp, lent by send_backup(), and that
    // they have all been.
    errc begin_frames() noexcept;
    errc end_frames() noexcept;
    // Whether send_backup() can be called. What is lent is given back when this is true again, or
    // the command is over.
    bool wants_backup() const noexcept {
        return question_ == question::backup && !ended() && body_.empty() && backup_.wants_data();
    }
    errc send_backup(bytes data) noexcept;

    // Answers UPLOAD_MANIFEST: manifest_uploaded follows.
    errc accept_manifest() noexcept;

    // SQL: any number of results, each its columns, its rows and its tag, then end_results(). A
    // statement without a result has only a tag, and an empty query an empty one.
    errc columns(std::span<const wire::column> described) noexcept;
    errc row(std::span<const std::optional<std::string_view>> values) noexcept;
    errc complete(std::string_view tag) noexcept;
    errc end_results() noexcept;

    // A notice, whenever nothing lent is under way.
    errc notify(const wire::error_fields& fields) noexcept;

    // Answers START_REPLICATION. Where the client asks for WAL that is not there yet, or for a
    // place that the timeline never reached, the session refuses by itself, as PostgreSQL does,
    // and streaming_ended may follow at once; so it does where the timeline ended exactly there.
    // AionDB's is the current timeline, entries counted in; a client that asks for another is
    // refused.
    errc stream(const served_timeline& from) noexcept;

    // Whether send() can be called, and where the WAL must begin that it is given.
    bool wants_wal() const noexcept { return body_.empty() && sender_.wants_wal(); }
    lsn next() const noexcept { return sender_.next(); }
    // Lends WAL, contiguous with what was sent before. It is given back when wants_wal() is true
    // again or the stream is over. not_now; lsn_overflow; argument_too_long for more than the
    // timeline has.
    errc send(bytes wal) noexcept;
    // The same for AionDB's replicas: a batch of entries, all behind next(), sent as one message.
    // argument_invalid: entries out of order, or none; argument_too_long: more of them than
    // aiondb::entries_size_max. That a batch has at most 1024 entries and about 1 MiB is up to who
    // fills it (aiondb::batch_room): where an entry ends is not seen here, and who passes batches
    // on cannot divide them.
    errc send_entries(aiondb::entry_lsn first, aiondb::entry_lsn last, bytes entries) noexcept;
    // The log reaches this far, whether or not it is sent yet: what keepalives tell.
    void advance(lsn end) noexcept { sender_.advance(end); }
    // The timeline that is streamed became history: it ended at `switch_point`, and goes on as
    // `next`. argument_invalid unless that is a later one. (AionDB's streams do not end so:
    // refuse() them, and the replica looks at the history when it comes back.)
    errc end_timeline(timeline_id next, lsn switch_point) noexcept;
    // Ends a stream of AionDB's in good order: streaming_ended follows when the replica has agreed.
    // It comes back without counting that as a failure. not_now in PostgreSQL's dialect, whose
    // standbys expect a timeline's end behind a server's CopyDone.
    errc end_stream() noexcept;

    // What the replica acknowledged, and what can be true of it.
    const primary::progress& progress() const noexcept { return sender_.progress(); }

    // No more commands. A stream goes on until the replica has acknowledged all up to the end that
    // advance() told. A command that was told is still answered, a backup sent to its end, and a
    // manifest that is whole judged, before the client is told to go; whoever is between two
    // commands, in the middle of a manifest, or not in yet is told so at once.
    errc shut_down() noexcept;

    // Whether a cancel request that came on another connection means this one.
    bool is_cancelled_by(const wire::cancel_request& request) const noexcept;

    bool streaming() const noexcept { return sender_.streaming(); }
    wire::phase at() const noexcept { return talk_.at(); }
    int major_version() const noexcept { return style_.major_version; }
    wire::protocol_version protocol() const noexcept { return admission_.version(); }
    // Errors that the client was told so far, the session's own among them. At each, PostgreSQL
    // drops the temporary slots of the connection.
    std::uint64_t errors_said() const noexcept { return errors_said_; }
    // Bytes of the client's that were taken so far.
    std::uint64_t eaten() const noexcept { return framer_.eaten(); }

  private:
    // Which command waits for its answer.
    enum class question : std::uint8_t {
        none,
        system,
        setting,
        history,
        slot_creation,
        slot_reading,
        slot_dropping,
        slot_altering,
        stream,
        logical_stream,
        backup,
        upload,
        sql,
    };
    static constexpr std::int64_t at_once = INT64_MIN;

    std::optional<event> turn(bytes& in) noexcept;
    bool may_read() const noexcept;
    step read(bytes& in) noexcept;
    step read_packet(bytes& in) noexcept;
    step refused(errc code, bytes in) noexcept;
    step heard(const wire::piece& got) noexcept;
    step heard_query(bytes body) noexcept;
    step heard_stream(bytes data) noexcept;
    step heard_copy_fail(bytes body) noexcept;
    step asked(const wire::command& command) noexcept;
    step refuse_and_go_on(const refusal& why) noexcept;
    std::optional<event> speak() noexcept;
    void finish_stream() noexcept;
    std::optional<event> ending() noexcept;
    void keep_time() noexcept;
    void fail(errc code) noexcept;
    errc say_error(const refusal& why) noexcept;
    errc say_refusal(const refusal& why) noexcept;

    // One row, its completion and ReadyForQuery, or nothing of them.
    template <class Row>
    errc say_row(question to, const Row& row) noexcept {
        if (const errc code = may_answer(to); code != errc::none) return code;
        const errc code = out_.put([&](writer& out) noexcept {
            put(out, row, style_);
            put(out, wire::transaction_status::idle);
        });
        if (code != errc::none) return code;
        for (const wire::message said :
             {wire::message::row_description, wire::message::data_row,
              wire::message::command_complete, wire::message::ready_for_query})
            static_cast<void>(talk_.send(said));
        question_ = question::none;
        return errc::none;
    }

    // One part of a backup.
    template <class Part>
    errc say_backup(Part&& part) noexcept {
        if (ended()) return errc::over;
        if (question_ != question::backup) return errc::not_now;
        if (!body_.empty()) return errc::output_full;
        return part();
    }

    // One part of what SQL answers with.
    template <class Put>
    errc say_result(wire::message said, Put&& put_into) noexcept {
        if (ended()) return errc::over;
        if (question_ != question::sql || !talk_.may_send(said)) return errc::not_now;
        const errc code = out_.put(put_into);
        return code == errc::none ? talk_.send(said) : code;
    }

    errc may_answer(question to) const noexcept {
        if (ended()) return errc::over;
        if (question_ != to || talk_.at() != wire::phase::asked) return errc::not_now;
        return body_.empty() ? errc::none : errc::output_full;
    }
    void leave() noexcept;
    void close(closing cause) noexcept {
        closing_ = true;
        cause_ = cause;
        sender_.end();
    }
    bool ended() const noexcept { return over_ || closing_ || reason_.code != errc::none; }
    bool written() const noexcept { return out_.empty() && body_.empty(); }
    bool owes() const noexcept;
    // The copy is open in at least one direction, or its end is being agreed upon.
    bool copying() const noexcept {
        return talk_.at() >= wire::phase::copy_both && talk_.at() < wire::phase::copy_answered;
    }
    wire::framing framing() noexcept;

    const options options_;
    mutable_bytes stash_;
    instant now_;
    answer_style style_;
    wire::framer framer_;
    wire::conversation talk_;
    wire::outbox out_;
    bytes body_; // of the message whose head was put last
    admission admission_;
    wal_sender sender_;
    backup::stream_writer backup_{0, false};
    std::int64_t admit_by_ = never;
    std::int64_t wrote_ = 0; // when the client last took something, or nothing waited for it
    std::uint64_t errors_said_ = 0;
    error reason_;
    lsn start_; // that START_REPLICATION asks for
    timeline_id timeline_;
    question question_ = question::none;
    closing cause_ = closing::terminated;
    std::optional<streaming_end> stream_ended_;              // to be told
    std::uint8_t tag_ = 0;                                   // of the message that is being read
    wire::copy_content content_ = wire::copy_content::whole; // of the message being read
    bool opened_ = false;
    bool progressed_ = false;
    bool waited_ = false;    // at the end of the last poll there was output
    bool held_back_ = false; // and input that could not be read
    bool began_ = false;     // stream() was called since
    bool tell_tls_ = false;
    bool tell_login_ = false;
    bool owed_completion_ = false; // of a history whose content is under way
    bool shutting_down_ = false;
    bool finished_ = false;
    bool closing_ = false;
    bool over_ = false;
};

static_assert(sizeof(session) <= 1024);

} // namespace walwire::primary

#include "session_steps.hpp"
