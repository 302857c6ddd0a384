// What becomes of a backup that comes: directories and files, or archives as they are.
//
//     plain    DIR is what the server's data directory was, and tablespaces stand beside it
//     tar      DIR/base.tar, DIR/16384.tar, DIR/backup_manifest, as pg_basebackup leaves them;
//              compressed archives stay so
//
// Either way each archive is looked into as it passes, and the backup is held against its manifest.
// The manifest gets its name when all else is durable: a directory that has it has a backup.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <walwire/backup/reader.hpp>
#include <walwire/replica/base_backup.hpp>

#include "arguments.hpp"
#include "backup_directory.hpp"
#include "backup_wal.hpp"
#include "decompressor.hpp"
#include "unpacker.hpp"
#include "verification.hpp"

namespace posix {

class backup_store {
  public:
    // Makes the directory. `what` is what the server is asked for. Throws failure, as all below do.
    backup_store(const backup_arguments& given, const walwire::replica::source_identified& source,
                 const walwire::wire::base_backup& what);

    // The backup's events, as they come.
    void tablespace(const walwire::backup::tablespace& listed);
    void archive_started(const walwire::backup::archive_started& begun);
    void archive_data(walwire::bytes run);
    void archive_ended();
    void manifest_opened();
    void manifest_data(walwire::bytes run);
    void manifest_closed();

    // A place for the log that is streamed beside it.
    std::unique_ptr<backup_wal> make_wal();

    // All is there: verifies it, makes it durable and lets it stay.
    void conclude();

    // How much of the archives came, before compression, and how much was announced.
    std::uint64_t done() const noexcept { return done_; }
    std::uint64_t announced() const noexcept { return announced_; }
    const verification& checked() const noexcept { return check_; }

  private:
    struct listed_tablespace {
        std::string oid; // empty: the data directory
        bool in_place = false;
        std::unique_ptr<backup_directory> directory; // of a tablespace that stands elsewhere
    };

    void place(listed_tablespace& made, const std::string& path);
    unpacker::destination destination_of(const listed_tablespace& from);
    void unpack(walwire::bytes run);

    const backup_arguments& given_;
    const bool plain_;
    const bool has_manifest_;
    const int server_version_;
    const file_access access_;
    const walwire::wal::segment_size segment_size_;
    backup_directory base_;
    std::vector<listed_tablespace> tablespaces_;
    tablespace_map links_;
    verification check_;
    std::optional<decompressor> plain_text_; // of the archive that passes
    std::optional<unpacker> archive_;
    new_file file_; // an archive that is kept, or the manifest
    std::uint64_t done_ = 0;
    std::uint64_t announced_ = 0;
};

} // namespace posix
