// One connection of a replica to its primary, from the first byte to the last.
//
//     poll                     -> tls_accepted, password_wanted: encryption and authentication
//     ready                    <- ask(identify_system), ask(show), ask(timeline_history), slots ...
//     typed answers, ready     <- ask(start_replication)
//     streaming_started        -> wal_data in the runs that arrive; keepalives are answered unasked
//     flushed(), applied()     <- status updates with three positions that are true
//     timeline_ended / stop()  -> streaming_ended, ready: the connection can be used again
//     ready                    <- ask(base_backup), ask(upload_manifest), ask(sql)
//     data_row, copy_data      -> as they come; copy_in_started <- copy(), end_copy()
//     terminate()              -> closed
//
// Who may say what, when, is wire/conversation.hpp's table, which this class runs over every
// message in and out. What opens a connection is login.hpp's, what streams is stream.hpp's, and how
// rows read is answer.hpp's. Here they become one machine with one command at a time, which keeps
// the contract of session.hpp, and the time: connect_timeout up to the first `ready`,
// silence_timeout whenever the server owes us something, and the status interval while WAL streams.
//
// Source of truth: the manual, "Streaming Replication Protocol"; walreceiver.c and receivelog.c.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "../bytes.hpp"
#include "../config.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../session.hpp"
#include "../time.hpp"
#include "../wire/command.hpp"
#include "../wire/command_printer.hpp"
#include "../wire/conversation.hpp"
#include "../wire/framer.hpp"
#include "../wire/frontend.hpp"
#include "../wire/outbox.hpp"
#include "../wire/server_version.hpp"
#include "answer.hpp"
#include "event.hpp"
#include "login.hpp"
#include "options.hpp"
#include "stream.hpp"

namespace walwire::replica {

class session {
  public:
    using event = replica::event;

    // Whether a session can work with these: memory_too_small; argument_too_long when the start-up
    // packet does not fit into `out`; argument_has_nul; argument_invalid for an empty user, a mode
    // that is off, an interval below a millisecond, or GSSAPI encryption that is direct or required
    // besides direct TLS; unsupported_version for a protocol other than 3.0 and 3.2.
    static errc check(const options& chosen, memory room) noexcept;

    // Both buffers and the views in the options must outlive the session. What check() refuses
    // makes the first poll fail with its code.
    session(const options& chosen, memory room) noexcept;
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    // Eats input, moves time, and returns the next event, or none when there is nothing more to
    // tell.
    WALWIRE_HOT std::optional<event> poll(bytes& in, instant now) noexcept {
        // In the middle of a healthy stream all of the work is here. Whatever is not a WAL message
        // where one is expected, and whatever time has come for, takes the other road.
        if (now.steady < wake_ && stream_.takes(in)) [[likely]]
            return stream_.take(in, framer_, now.steady);
        return advance(in, now);
    }

    // The peer closed its side. What was read before that is still delivered, also where a password
    // is owed: a server says why it goes.
    void finish() noexcept {
        finished_ = true;
        wake_ = at_once;
    }

    // When to call poll again at the latest, on the steady clock: `never`, or the distant past
    // while something is owed already.
    std::int64_t deadline() const noexcept;

    gather output() const noexcept { return {out_.waiting(), {}}; }
    void consume(std::size_t size) noexcept {
        out_.consume(size);
        wake_ = at_once;
    }

    // closed or failed was delivered.
    bool over() const noexcept { return over_; }

    // Answers tls_accepted and gss_accepted once the handshake is done. `binding` is the hash of
    // the server's certificate for tls-server-end-point, at most 64 bytes; empty where there is
    // none.
    errc secured(bytes binding = {}) noexcept {
        if (ended()) return errc::over;
        if (!opened_) return errc::not_now;
        wake_ = at_once;
        return login_.secured(binding);
    }

    // Answers password_wanted. The password is used at once and not kept.
    errc give_password(std::string_view password) noexcept {
        if (ended()) return errc::over;
        wake_ = at_once;
        return login_.give_password(password);
    }

    // Sends one command; its answer comes as events, up to the next `ready`. not_now: another
    // command runs, or none may yet. unsupported_version, name_invalid and other codes of the
    // printer: the command cannot be said to this server. argument_invalid: logical streams are not
    // followed.
    errc ask(const wire::command& command) noexcept;

    // Ends the stream from our side; not_now before it begins and once either side has ended it.
    // What the server sends until it agrees is thrown away; streaming_ended and ready follow.
    errc stop() noexcept {
        if (ended()) return errc::over;
        if (talk_.at() != wire::phase::copy_both || stream_.stopping()) return errc::not_now;
        stream_.stop();
        wake_ = at_once;
        return errc::none;
    }

    // Answers copy_in_started: takes as much of `data` as there is room for, at least a byte of it,
    // and returns how much that was. output_full: write, then try again; not_now: nobody waits for
    // it, as after an error of the server's. Views need not outlive the call.
    result<std::size_t> copy(bytes data) noexcept;
    // All was copied; or nothing of it is to count, and the server answers with an error.
    errc end_copy() noexcept;
    errc abandon_copy(std::string_view reason) noexcept;

    // Says goodbye; `closed` follows once all output is written, or `failed` when the peer takes
    // none of it for as long as it may be silent. output_full: write, then try again.
    errc terminate() noexcept;

    // What is here already of the log, from before this connection: durable, and replayed. To be
    // told before a stream is started, at its start or behind it.
    errc resume(lsn durable, lsn replayed = {}) noexcept {
        if (ended()) return errc::over;
        if (streaming() || counts_entries()) return errc::not_now;
        stream_.resume(durable, replayed);
        return errc::none;
    }

    // WAL up to `end` is durable here: said with the next status, at once under report_each_flush.
    // A position behind what was received is taken for as far as was received.
    void flushed(lsn end) noexcept {
        if (counts_entries()) return;
        stream_.flushed(end);
        wake_ = at_once;
    }
    // WAL up to `end` is replayed here; at most as far as it is durable.
    void applied(lsn end) noexcept {
        if (!counts_entries()) stream_.applied(end);
    }
    // The same for AionDB's log: up to and including these entries. Each dialect takes no notice of
    // what is told it in the other's kind of position.
    errc resume_entries(aiondb::entry_lsn durable, aiondb::entry_lsn replayed = {}) noexcept;
    void entries_flushed(aiondb::entry_lsn last) noexcept;
    void entries_applied(aiondb::entry_lsn last) noexcept;

    // Sends a status as soon as there is room, without waiting for the interval.
    void report() noexcept {
        stream_.report();
        wake_ = at_once;
    }
    // Sends hot-standby feedback as soon as there is room, and again with every status: the oldest
    // transactions that queries here still see, as full 64-bit identifiers. Zeros take it back.
    void feedback(std::uint64_t xmin, std::uint64_t catalog_xmin) noexcept {
        stream_.feedback(xmin, catalog_xmin);
        wake_ = at_once;
    }

    // The positions that statuses report (entries counted in, for AionDB), and where the next byte
    // of WAL belongs.
    const positions& acknowledged() noexcept {
        stream_.settle();
        return stream_.acknowledged();
    }
    lsn received() const noexcept { return stream_.next(); }

    // Status updates that were handed to the output.
    std::uint64_t statuses_sent() const noexcept { return stream_.statuses_sent(); }

    wire::phase at() const noexcept { return talk_.at(); }
    // The server's major version, or 0 while it is not known.
    int server_version() const noexcept { return server_version_; }
    wire::protocol_version protocol() const noexcept { return login_.version(); }
    // Bytes of the server's that were taken so far, and up to the message that the last event but
    // for WAL came from.
    std::uint64_t eaten() const noexcept { return framer_.eaten(); }
    std::uint64_t began() const noexcept { return framer_.began(); }

  private:
    // What the running command answers with.
    enum class question : std::uint8_t {
        none,
        system,
        setting,
        history,
        slot_creation,
        slot_reading,
        completion,
        stream,
        results, // told as they come: SQL, and the commands that copy
    };
    static constexpr std::int64_t at_once = INT64_MIN;

    std::optional<event> advance(bytes& in, instant now) noexcept;
    step read(bytes& in) noexcept;
    step read_answer_byte(bytes& in) noexcept;
    step heard(const wire::piece& got) noexcept;
    step heard_login(wire::message said, bytes body) noexcept;
    step heard_aside(wire::message said, bytes body) noexcept;
    step heard_row(bytes body) noexcept;
    step heard_completion(wire::message said, wire::phase before, bytes body) noexcept;
    step heard_ready(bytes body) noexcept;
    step heard_copy(const wire::piece& got) noexcept;
    step heard_error(bytes body) noexcept;
    step stream_opened(bytes body) noexcept;
    step timeline_row(const wire::data_row& row) noexcept;
    std::optional<event> ending() noexcept;
    void fail(errc code) noexcept;
    void keep_time() noexcept;
    std::optional<bytes> keep(bytes data) noexcept;
    std::int64_t next_deadline() const noexcept;
    std::int64_t silence_deadline() const noexcept;
    step copy_opened(wire::message said, bytes body) noexcept;
    template <class Put>
    errc say_in_copy(wire::message said, Put&& put_into) noexcept;

    // Every way to read a row gives an event or says why there is none; a command has one row.
    template <class T>
    step only_row(const result<T>& answer) noexcept {
        if (answered_) return {errc::answer_invalid, {}};
        answered_ = true;
        if (!answer) return {answer.code(), {}};
        return {errc::none, event(*answer)};
    }

    void close(closing cause) noexcept {
        closing_ = true;
        cause_ = cause;
        close_by_ = later(now_.steady, options_.silence_timeout);
        stream_.end();
        wake_ = at_once;
    }
    void reopen_fast_path() noexcept {
        const bool clear = framer_.at_boundary() && !stream_.owes() && !ended() && !finished_;
        wake_ = clear ? next_deadline() : at_once;
    }
    bool ended() const noexcept { return over_ || closing_ || reason_.code != errc::none; }
    bool asking_encryption() const noexcept {
        const wire::phase here = talk_.at();
        return here == wire::phase::ssl_asked || here == wire::phase::gss_asked ||
               here == wire::phase::ssl_asked_again || here == wire::phase::gss_asked_again;
    }
    // The owner owes us a handshake or a password before anything more is read.
    bool owner_is_asked() const noexcept {
        return talk_.at() == wire::phase::encrypting || login_.wants_password() ||
               (opened_ && talk_.at() == wire::phase::fresh);
    }
    // Nothing is read before that, but a server's last words are; behind a handshake they would be
    // ciphertext.
    bool waits_for_owner() const noexcept {
        return owner_is_asked() && !(finished_ && login_.wants_password());
    }
    bool counts_entries() const noexcept { return options_.dialect == dialect::aiondb; }
    bool streaming() const noexcept {
        return talk_.at() >= wire::phase::copy_both && talk_.at() < wire::phase::copy_answered;
    }
    // Statuses may be said. What we copy in is not theirs to stand in.
    bool reports() const noexcept {
        return talk_.at() != wire::phase::copy_in && talk_.may_send(wire::message::copy_data_in);
    }
    wire::framing framing() const noexcept {
        return {options_.limits.message_size_max, options_.limits.copy_data_size_max,
                streaming()                           ? stream_.content()
                : talk_.at() == wire::phase::copy_out ? wire::copy_content::raw
                                                      : wire::copy_content::whole};
    }

    const options options_;
    mutable_bytes stash_;
    instant now_;
    std::int64_t wake_ = at_once; // the fast path is open before this time
    wire::framer framer_;
    stream stream_;
    wire::conversation talk_;
    wire::outbox out_;
    login login_;
    std::int64_t connect_by_ = never;
    std::int64_t close_by_ = never; // all is written by then
    std::uint64_t weighed_ = 0;     // bytes that came before the last poll that told nothing
    error reason_;
    std::uint32_t parameters_ = 0;
    int server_version_ = 0;
    std::uint16_t columns_ = 0; // of the rows that come
    timeline_id timeline_;      // of the stream, or of the history that was asked for; 0: not said
    lsn start_;
    question question_ = question::none;
    closing cause_ = closing::terminated;
    streaming_end end_ = streaming_end::server_shutdown;
    bool just_asked_ = false;   // the silence that is allowed begins with the next poll
    bool answered_ = false;     // the running command's row came
    bool stream_ended_ = false; // streaming_ended was delivered
    bool passing_over_ = false; // the runs of a message that is not wanted any more
    bool run_begins_ = false;   // the next run is a message's first
    bool patient_ = false;      // the running command is a BASE_BACKUP
    bool opened_ = false;
    bool finished_ = false;
    bool closing_ = false;
    bool over_ = false;
};

} // namespace walwire::replica

#include "session_steps.hpp"
