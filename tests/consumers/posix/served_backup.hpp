// One base backup on its way to a client of `walwire serve`.
//
// It is made in pieces of 32 KiB as the session asks for them, so a client that reads slowly costs
// a buffer and nothing else. A file that shrinks while it is read is filled up with zeros, and what
// it grows by is not sent, as a tar needs the size that its header says. Checksums for the manifest
// are made of what is sent.
//
// WAL is not filled up: a backup whose log is not there (needed_wal.hpp) is refused before anything
// is sent, and given up where it disappears meanwhile. Only behind the end of the log, as that was
// at the beginning, the last segment has zeros.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <walwire/backup/checksum.hpp>
#include <walwire/backup/tar.hpp>
#include <walwire/primary/session.hpp>
#include <walwire/time.hpp>

#include "backup_source.hpp"
#include "descriptor.hpp"
#include "new_manifest.hpp"
#include "wal_source.hpp"

namespace posix {

class served_backup {
  public:
    // Throws failure when the directory cannot be listed, or the WAL is not there that the client
    // asked for or will: its code is ENOENT where that was removed.
    served_backup(const backup_source& source, wal_source& log, int major_version,
                  const walwire::wire::base_backup& asked);

    // Goes on as far as the session has room for; true if anything moved. Throws failure when a
    // file cannot be read, for the client to be told.
    bool turn(walwire::primary::session& session, std::int64_t now);

    // When there is more to send than the client's rate allows.
    std::int64_t deadline() const noexcept { return resume_at_; }
    bool over() const noexcept { return at_ == place::over; }

  private:
    using bytes = walwire::bytes;
    using errc = walwire::errc;
    enum class place : std::uint8_t {
        start,
        list,
        archive,
        data,
        manifest,
        manifest_data,
        end,
        over
    };

    errc step(walwire::primary::session& session);
    errc begin_archive(walwire::primary::session& session);
    errc send(walwire::primary::session& session);
    errc report(walwire::primary::session& session);
    bool next_chunk();
    bool next_entry();
    void begin_body();
    std::size_t read_body(walwire::mutable_bytes into);
    std::size_t read_log(walwire::mutable_bytes into);
    std::size_t read_file(walwire::mutable_bytes into);
    void end_body();
    void add_log();
    void begin_manifest();
    walwire::lsn end() const;
    bool pace(std::int64_t now);

    const backup_source& source_;
    wal_source& log_;
    int major_version_;
    walwire::wire::backup_manifest manifest_wanted_;
    walwire::wire::manifest_checksums algorithm_;
    bool progress_wanted_;
    bool log_wanted_;
    std::uint32_t rate_; // in kB/s; 0: none
    std::vector<backup_archive> archives_;
    std::vector<walwire::backup::wal_range> ranges_;

    std::array<std::byte, walwire::backup::archive_message_size_max> chunk_;
    std::size_t chunk_size_ = 0;
    std::array<std::byte, walwire::backup::tar_block_size> header_;
    std::size_t header_left_ = 0;
    std::uint64_t body_left_ = 0;
    std::size_t zeros_left_ = 0;
    descriptor file_;
    walwire::backup::checksum checksum_;
    walwire::lsn log_at_;  // of the segment that is being sent
    walwire::lsn log_end_; // behind it there is none to be sent

    std::optional<new_manifest> manifest_; // none where none was asked for
    std::string manifest_text_;
    std::size_t manifest_sent_ = 0;
    std::size_t archive_ = 0; // in progress
    std::size_t entry_ = 0;   // the next one
    bool in_body_ = false;
    bool trailer_ = false;
    std::uint64_t done_ = 0; // bytes sent
    std::uint64_t reported_ = 0;
    std::int64_t began_ = 0;
    std::int64_t resume_at_ = walwire::never;
    place at_ = place::start;
};

} // namespace posix
