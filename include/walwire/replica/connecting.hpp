// What machines share that own a session and ask for its transport: wal_receiver.hpp and
// base_backup.hpp.
//
//     connect_wanted -> connected()             the session of this connection begins
//     ...                                       it is the machine's, and its verbs pass through
//     disconnect_wanted                         it is gone, and why() says what ended it
//
// A server may turn a client away before it asks for a password, for the encryption that was used
// or not used (a hostssl line in pg_hba.conf). Where the options name another encryption, that is
// then tried at once, as libpq does for sslmode=prefer and allow; once, and never in place of what
// was refused here for safety's sake.
//
// This is a base class and no machine: when to connect, and what to make of an end, is theirs.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../session.hpp"
#include "../time.hpp"
#include "event.hpp"
#include "options.hpp"
#include "retry.hpp"
#include "session.hpp"

namespace walwire::replica {

class connecting {
  public:
    connecting(const connecting&) = delete;
    connecting& operator=(const connecting&) = delete;

    // The primary closed its side.
    void finish() noexcept {
        if (session_) session_->finish();
    }
    gather output() const noexcept { return session_ ? session_->output() : gather{}; }
    void consume(std::size_t size) noexcept {
        if (session_) session_->consume(size);
    }

    // The transport broke with an error, or its handshake failed.
    void disconnected() noexcept { lost_ = session_.has_value(); }

    // As replica::session's.
    errc secured(bytes binding = {}) noexcept {
        return session_ ? session_->secured(binding) : errc::not_now;
    }
    errc give_password(std::string_view password) noexcept {
        return session_ ? session_->give_password(password) : errc::not_now;
    }

    // The session of the connection that is up, or none.
    const session* connection() const noexcept { return session_ ? &*session_ : nullptr; }

  protected:
    explicit connecting(memory room) noexcept : room_(room) {}
    ~connecting() = default;

    // A transport is wanted, and with it a session that the server has let in by connect_by_.
    void prepare(const options& chosen, const std::optional<encryption>& alternative_tls,
                 std::int64_t now) noexcept {
        connection_ = chosen;
        if (alternative_ && alternative_tls) connection_.tls = *alternative_tls;
        connect_by_ = later(now, connection_.connect_timeout);
        reason_ = {};
        has_sqlstate_ = command_failed_ = admitted_ = lost_ = dropped_ = false;
    }
    void open() noexcept { session_.emplace(connection_, room_); }
    // Whether the adapter has a transport of ours that it is to be told to close.
    bool close() noexcept {
        session_.reset();
        lost_ = false;
        return !std::exchange(dropped_, true);
    }

    // The server answered with an error.
    void note(const server_error& error) noexcept {
        command_failed_ = true;
        if (error.sqlstate.size() != sizeof sqlstate_) return;
        std::memcpy(sqlstate_, error.sqlstate.data(), sizeof sqlstate_);
        has_sqlstate_ = true;
    }
    cause why() const noexcept {
        return {reason_,
                has_sqlstate_ ? std::string_view(sqlstate_, sizeof sqlstate_) : std::string_view{}};
    }

    // Whether the next attempt is with the other encryption. What we refused by ourselves would not
    // be better with it, only less safe.
    bool try_alternative(const std::optional<encryption>& alternative_tls) noexcept {
        const bool refused = is_permanent(reason_.code) && reason_.code != errc::encryption_refused;
        if (admitted_ || alternative_ || !alternative_tls || refused) return false;
        alternative_ = true;
        return true;
    }

    memory room_;
    options connection_; // of the present connection
    std::optional<session> session_;
    std::int64_t connect_by_ = never;
    error reason_;
    char sqlstate_[5] = {};
    bool has_sqlstate_ = false;
    bool command_failed_ = false; // the server answered it with an error
    // The server asked for a password, or let us in without; or there was no server at all, which
    // encryption has nothing to do with.
    bool admitted_ = false;
    bool alternative_ = false; // this connection uses the other encryption
    bool lost_ = false;
    bool dropped_ = true; // the adapter has no transport of ours
};

} // namespace walwire::replica
