// Where the log goes that a backup needs: into its pg_wal, or into pg_wal.tar beside its archives.
//
//     pg_wal/000000010000000000000002                    whole segments; the last one has zeros
//     pg_wal/archive_status/000000010000000000000002.done    behind the backup's end
//
// A server that is started on the backup would archive these segments a second time, so each has a
// file that says that it need not. The tar has the same names, from pg_wal on.
//
// One thread at a time may use it: the one that streams, and then the one that finishes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <walwire/backup/tar_writer.hpp>
#include <walwire/bytes.hpp>
#include <walwire/lsn.hpp>
#include <walwire/wal/segment.hpp>

#include "backup_directory.hpp"
#include "wal_directory.hpp"

namespace posix {

class backup_wal {
  public:
    virtual ~backup_wal() = default;

    // The history file of the backup's timeline, where it has one; it comes before all WAL.
    virtual void history(walwire::timeline_id timeline, walwire::bytes text) = 0;
    // Runs follow one another from the start of a segment on.
    virtual void write(walwire::timeline_id timeline, walwire::lsn start, walwire::bytes run) = 0;
    // Up to where all is durable.
    virtual walwire::lsn flushed() const = 0;
    // No more will come.
    virtual void finish() = 0;
};

// In a directory of its own, pg_wal, of one that is being written.
class wal_in_directory final : public backup_wal {
  public:
    wal_in_directory(backup_directory& backup, walwire::wal::segment_size size, file_access access);

    void history(walwire::timeline_id timeline, walwire::bytes text) override;
    void write(walwire::timeline_id timeline, walwire::lsn start, walwire::bytes run) override;
    walwire::lsn flushed() const override { return segments_.flushed(); }
    void finish() override;

  private:
    backup_directory& backup_;
    walwire::wal::segment_size size_;
    wal_directory segments_;
    std::vector<std::string> names_;
};

class wal_in_tar final : public backup_wal {
  public:
    wal_in_tar(backup_directory& backup, walwire::wal::segment_size size, file_access access);

    void history(walwire::timeline_id timeline, walwire::bytes text) override;
    void write(walwire::timeline_id timeline, walwire::lsn start, walwire::bytes run) override;
    walwire::lsn flushed() const override { return flushed_; }
    void finish() override;

  private:
    void start(const std::string& name, std::uint64_t size);
    void put(walwire::bytes run);
    void write_out();

    walwire::wal::segment_size size_;
    std::uint32_t mode_;
    new_file file_;
    walwire::backup::tar_writer archive_;
    walwire::lsn flushed_;
    std::vector<std::string> names_;
};

} // namespace posix
