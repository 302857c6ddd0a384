// One client of `walwire serve`: a socket, a session, and what it streams.
//
// The session decides what is said; this class carries bytes for it, looks up what it is asked for,
// and lends it the WAL, which goes from the file's pages to the socket without being copied here.
// AionDB's entries are read batch by batch (served_entries.cpp).
// It never waits: the loop calls turn() when something may have changed.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <walwire/primary/registry.hpp>
#include <walwire/primary/session.hpp>

#include "backup_source.hpp"
#include "entry_source.hpp"
#include "failure.hpp"
#include "logins.hpp"
#include "served_backup.hpp"
#include "served_frames.hpp"
#include "served_settings.hpp"
#include "slot_store.hpp"
#include "socket.hpp"
#include "tls.hpp"
#include "tls_server.hpp"
#include "wal_source.hpp"

namespace posix {

class served_client;

// What all clients share.
struct service {
    slot_store& slots;
    walwire::primary::registry& replicas;
    const logins& users;
    const served_settings& settings;
    wal_source* source = nullptr;           // PostgreSQL's WAL
    entry_source* entries = nullptr;        // or AionDB's entries; the other is null
    const tls_server* encryption = nullptr; // null: none
    const backup_source* backup = nullptr;  // null: none
    std::string frames = {};                // AionDB's: the directory whose files are one
    walwire::primary::options options = {}; // but for what each connection has of its own
    bool verbose = false;
    std::list<std::unique_ptr<served_client>> clients = {};

    // What there is of either.
    void refresh() { entries != nullptr ? entries->refresh() : source->refresh(); }
    walwire::timeline_id timeline() const noexcept {
        return entries != nullptr ? entries->timeline() : source->timeline();
    }
    walwire::lsn end() const noexcept {
        return entries != nullptr ? entries->last().as_position() : source->end();
    }
    std::optional<std::string> history(walwire::timeline_id of) const {
        return entries != nullptr ? entries->history(of) : source->history(of);
    }
    // What START_REPLICATION is answered with. AionDB serves its current timeline and no other, and
    // the session says so.
    std::optional<walwire::primary::served_timeline> find(walwire::timeline_id of) const {
        if (entries == nullptr) return source->find(of);
        return walwire::primary::served_timeline{timeline(), end(), {}, {}};
    }
};

class served_client {
  public:
    // `crowded`: there is no place for it, and it is told so as soon as it has said who it is.
    served_client(service& shared, socket accepted, std::uint32_t id, bool crowded);
    served_client(const served_client&) = delete;
    served_client& operator=(const served_client&) = delete;
    ~served_client();

    // Reads if there may be something, lets the session speak, writes what fits. True if it stopped
    // only to let others have a turn. Throws failure when the connection is lost.
    bool turn(bool readable);

    // What the socket is to be polled for, until when at the latest.
    int number() const noexcept { return socket_.number(); }
    interest needs() const noexcept;
    std::int64_t deadline() const noexcept;
    // Whether new WAL, or a slot that is released, is its business.
    bool attends() const noexcept { return session_.streaming() || dropping_.has_value(); }
    // Nothing is left to be done for it.
    bool gone() const noexcept { return gone_; }

    void shut_down() noexcept {
        leaving_ = true;
        static_cast<void>(session_.shut_down());
    }
    void tell(const std::string& what) const;

  private:
    using bytes = walwire::bytes;
    static constexpr std::size_t cancel_key_size = 32;

    walwire::primary::options configure(bool crowded);
    bool read();
    bool write();
    void shake();
    void hear(const walwire::primary::event& told);
    bool go_on();
    bool give_up();
    void cancel() noexcept;
    bool lend();
    bool lend_entries();
    bool cannot_divide(const stored_batch& batch, walwire::aiondb::entry_lsn next);
    template <class Backup>
    bool push(std::optional<Backup>& backup);
    void follow_timeline();
    void follow_entries();
    bool leave();
    void refuse(const walwire::primary::refusal& why);
    static walwire::primary::refusal refusal_of(const failure& wrong);
    void refuse_slot(walwire::errc code, std::string_view name);
    void check(walwire::errc code) const;
    void drop_when_free();
    void drop_temporary_slots();

    void moved();
    void heard(const walwire::primary::tls_accepted& how);
    void heard(const walwire::primary::cancel_request& request);
    void heard(const walwire::primary::login_requested& who);
    void heard(const walwire::primary::logged_in& how);
    void heard(const walwire::primary::identify_system&);
    void heard(const walwire::primary::show& asked);
    void heard(const walwire::primary::timeline_history& asked);
    void heard(const walwire::primary::create_replication_slot& asked);
    void heard(const walwire::primary::read_replication_slot& asked);
    void heard(const walwire::primary::alter_replication_slot& asked);
    void heard(const walwire::primary::drop_replication_slot& asked);
    void heard(const walwire::primary::start_replication& asked);
    void heard(const walwire::primary::start_logical_replication&);
    void heard(const walwire::primary::base_backup& asked);
    void heard(const walwire::primary::upload_manifest&);
    void heard(const walwire::primary::manifest_uploaded&) {}
    void heard(const walwire::primary::manifest_whole&) {}
    void heard(const walwire::primary::manifest_abandoned&) {}
    void heard(const walwire::primary::entry_status_update&) { moved(); }
    void heard(const walwire::primary::entry_keepalive_reply&) {}
    void heard(const walwire::primary::sql&);
    void heard(const walwire::primary::standby_status_update&) { moved(); }
    void heard(const walwire::primary::hot_standby_feedback& said);
    void heard(const walwire::primary::primary_status_request&) {}
    void heard(const walwire::primary::streaming_ended& end);
    void heard(const walwire::primary::closed& end);
    void heard(const walwire::primary::failed& end);

    service& shared_;
    socket socket_;
    std::optional<tls_channel> channel_;
    walwire::primary::connection_id id_;
    std::uint64_t errors_said_ = 0; // by the session, and dealt with
    std::array<std::byte, cancel_key_size> cancel_key_{};
    std::vector<std::byte> stash_;
    std::vector<std::byte> out_;
    std::vector<std::byte> room_;         // what was read
    std::optional<served_backup> backup_; // that it is being sent
    std::optional<served_frames> frames_; // or this
    std::optional<failure> trouble_;      // why what it asked for cannot be, to be said
    std::vector<std::byte> entries_;      // that are lent
    walwire::primary::session session_;

    bytes in_;            // the part of it that the session has not taken
    held_segment held_;   // what is lent
    std::string history_; // or this
    log_place place_;     // where entries were found last
    walwire::lsn asked_;  // where the stream began
    walwire::primary::served_timeline streamed_;
    walwire::primary::replica* replica_ = nullptr;
    walwire::primary::slot* slot_ = nullptr; // that it streams with
    std::optional<std::string> dropping_;    // a slot that somebody else uses
    std::string user_;
    std::string application_name_;
    std::string database_; // where it chose one
    std::int64_t leave_by_ = walwire::never;
    bool readable_ = false;
    bool crowded_;
    bool cancelled_ = false; // what it asked for is, which is to be said
    bool shaking_ = false;   // hands, for TLS
    bool direct_ = false;
    bool leaving_ = false; // the server is
    bool ended_ = false;   // the client's side
    bool gone_ = false;
};

} // namespace posix
