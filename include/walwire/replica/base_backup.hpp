// Takes one base backup: a machine from the connection to the last byte of the manifest.
//
//     connect_wanted -> connected() / connect_failed()   the adapter opens a transport
//       IDENTIFY_SYSTEM, SHOW ...                        is this our cluster?
//     source_identified -> begin()                       what to take, now that it is known of whom
//       UPLOAD_MANIFEST                                  incremental backups only:
//     manifest_wanted -> copy(), end_copy()              the manifest of the backup before
//       BASE_BACKUP
//     started, tablespace, archive_started, archive_data ..., manifest_data ..., ended
//     disconnect_wanted, backup_taken                    or given_up, or stopped
//
// The events between `started` and `ended` are backup/reader.hpp's, whichever format the server
// sends. Nothing of the backup is kept: an archive passes through as the runs that arrive, and the
// owner hands them to backup/tar_reader.hpp, to a decompressor, or to a file as they are. A backup
// counts only once `backup_taken` was told: before that, whatever has come, the server may still
// say that it is worth nothing. Whether its bytes are right is the manifest's matter
// (backup/verifier.hpp).
//
// AionDB's backup is of files and not of archives, and has no options: aiondb::backup_started,
// file_started, file_data ..., file_ended, backup_ended in place of the above. Its backup_ended is
// told when the server has completed the command, as `ended` is.
//
// There is one attempt. A backup that was interrupted cannot be resumed, so who wants another one
// makes another machine.
//
// Source of truth: the manual, "Streaming Replication Protocol"; what pg_basebackup does.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "../aiondb/backup.hpp"
#include "../backup/archive.hpp"
#include "../backup/reader.hpp"
#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../session.hpp"
#include "../time.hpp"
#include "../wal/segment.hpp"
#include "answer.hpp"
#include "connecting.hpp"
#include "event.hpp"
#include "options.hpp"
#include "session.hpp"

namespace walwire::replica {

// The server is known: answer begin(), or stop(). `directory_mode` are the permission bits of its
// data directory, 0700 or 0750.
struct source_identified {
    std::uint64_t system_identifier = 0;
    timeline_id timeline;
    lsn end;
    wal::segment_size segment_size;
    std::uint32_t directory_mode = 0700;
    int server_version = 0; // the major version
};

// The server waits for the manifest of the backup that this one is to be a difference to: copy()
// all of it, then end_copy().
struct manifest_wanted {};

// The machine is over, and the backup is whole.
struct backup_taken {};

using base_backup_event =
    std::variant<backup::archive_data, backup::manifest_data, backup::started, backup::tablespace,
                 backup::archive_started, backup::archive_ended, backup::manifest_opened,
                 backup::manifest_closed, backup::progressed, backup::ended, aiondb::file_data,
                 aiondb::backup_started, aiondb::file_started, aiondb::file_ended,
                 aiondb::backup_ended, connect_wanted, disconnect_wanted, tls_accepted,
                 gss_accepted, password_wanted, parameter_status, source_identified,
                 manifest_wanted, server_error, notice, backup_taken, stopped, given_up>;

struct base_backup_options {
    options connection; // its connect_timeout counts from connect_wanted on
    std::optional<std::uint64_t> system_identifier; // expected
    std::optional<timeline_id> timeline;            // expected
    // As receiver_options': tried when the server turned the first away before it asked for a
    // password.
    std::optional<encryption> alternative_tls;
};

class base_backup : public connecting {
  public:
    using event = base_backup_event;

    // The most tablespaces that a cluster may have, the base directory counted: 8 KiB of this
    // machine. More end it with too_many.
    static constexpr std::size_t tablespaces_max = 512;

    // Both buffers and the views in the options must outlive the machine.
    base_backup(const base_backup_options& chosen, memory room) noexcept
        : connecting(room), options_(chosen) {}

    // As every machine's. While there is no connection the input must be empty.
    std::optional<event> poll(bytes& in, instant now) noexcept;
    std::int64_t deadline() const noexcept;
    bool over() const noexcept { return at_ == state::over; }

    // Answers connect_wanted. not_now: no connection is wanted any more, the time for it ran out.
    errc connected() noexcept;
    errc connect_failed() noexcept;

    // Answers source_identified: what is asked of the server. The views in it must live until
    // `started`. unsupported_version and the other codes of the command's printer: this server
    // cannot be asked for that; ask for something else.
    errc begin(const wire::base_backup& what) noexcept;

    // Answers manifest_wanted, as session's: copy() takes what there is room for. abandon_copy()
    // ends the machine with the server's error.
    result<std::size_t> copy(bytes manifest) noexcept {
        if (!session_) return errc::not_now;
        return session_->copy(manifest);
    }
    errc end_copy() noexcept { return session_ ? session_->end_copy() : errc::not_now; }
    errc abandon_copy(std::string_view reason) noexcept {
        return session_ ? session_->abandon_copy(reason) : errc::not_now;
    }

    // What of the server's answer was refused, where given_up says archive_name_invalid,
    // archive_unexpected or tablespace_invalid: an archive's name or a tablespace's path, as
    // backup::stream_reader has it. It lives as long as the machine.
    std::string_view refused() const noexcept {
        return reader_ ? reader_->refused() : std::string_view{};
    }

    // Gives the backup up, from whatever it is doing: `stopped` follows, unless it is whole.
    void stop() noexcept { stopping_ = true; }

  private:
    enum class state : std::uint8_t {
        fresh,
        connecting, // the adapter was asked for a transport
        opening,    // start-up and authentication
        identifying,
        measuring,   // SHOW wal_segment_size
        asking_mode, // SHOW data_directory_mode
        choosing,    // the owner was asked what to take
        uploading,   // UPLOAD_MANIFEST
        taking,      // BASE_BACKUP
        leaving,     // Terminate is out
        dropping,    // disconnect_wanted is to be told
        reporting,   // backup_taken, stopped or given_up is to be told
        over,
    };

    std::optional<event> connect(instant now) noexcept;
    std::optional<event> heard(const session::event& told) noexcept;
    std::optional<event> heard_ready() noexcept;
    std::optional<event> heard_setting(std::string_view value) noexcept;
    std::optional<event> server_failed(const server_error& error) noexcept;
    std::optional<event> conclude(instant now) noexcept;
    void identified(const system_identified& system) noexcept;
    void part_heard(errc code) noexcept {
        if (code != errc::none) drop(code);
    }
    void take() noexcept;
    bool speaks_aiondb() const noexcept { return options_.connection.dialect == dialect::aiondb; }
    std::optional<event> next_frame() noexcept;
    std::optional<event> source_known() noexcept;
    void ask(state next, const wire::command& command) noexcept;
    void leave() noexcept;
    void drop(errc code) noexcept;

    const base_backup_options options_;
    std::optional<backup::stream_reader> reader_;
    std::optional<aiondb::backup_reader> frames_; // in the reader's place, for AionDB
    bytes framed_;                                // what it has not read yet
    std::array<std::byte, aiondb::frame_room> frame_{};
    std::array<backup::listed_tablespace, tablespaces_max> tablespaces_{};
    wire::base_backup what_;
    source_identified source_;
    bool uploads_ = false; // the server asked for the manifest
    bool taken_ = false;
    bool stopping_ = false;
    state at_ = state::fresh;
};

static_assert(sizeof(base_backup) <= 15 * 1024);

} // namespace walwire::replica

#include "base_backup_steps.hpp"
