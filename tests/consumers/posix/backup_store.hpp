// What becomes of a backup that comes: directories and files, or archives as they are.
//
//     plain    DIR is what the server's data directory was, and tablespaces stand beside it
//     tar      DIR/base.tar, DIR/16384.tar, DIR/backup_manifest, as pg_basebackup leaves them;
//              compressed archives stay so
//
// Either way each archive is looked into as it passes, and the backup is held against its manifest.
// The manifest gets its name when all was verified and all else is durable, and no archive may have
// a file of that name. So a directory that has it has a backup, whole but for the WAL, which comes
// beside it, and for what manifests do not list (verification.hpp). One without a manifest has no
// such mark: there it is the program's exit status that says that it is whole.
//
// The server has no say in where a tablespace goes: its path there is only the name that the user
// gives it a place by. What has none, or one that holds something, or is part of another, is
// refused before any archive comes.
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

    // All is there, and this is where the server said that it starts and ends: verifies it, makes
    // it durable and lets it stay.
    void conclude(const walwire::backup::started& from, const walwire::backup::ended& to);

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
    void check_mappings() const;
    void check_links() const;
    void claim(const std::string& directory);
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
    std::vector<std::string> claimed_; // where the base and the tablespaces go
    tablespace_map links_;
    verification check_;
    std::optional<decompressor> plain_text_; // of the archive that passes
    std::optional<unpacker> archive_;
    new_file file_; // an archive that is kept, or the manifest
    std::uint64_t done_ = 0;
    std::uint64_t announced_ = 0;
};

} // namespace posix
