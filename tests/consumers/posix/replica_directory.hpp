// The data directory of a replica of AionDB's, on its way from nothing to a backup.
//
//     manifest                 one line, that walwire began this; the engine puts its own here
//     wal/                     what the backup brought
//     replication/timeline     on which timeline it begins
//     replication/system_id    whose it is: written last of all
//
// replica::bootstrap says in which order these come, and what to make of a directory in which not
// all of them are; here is what it takes to do each step durably. A directory that holds anything
// else, or somebody else's manifest, is refused as long as the backup is not whole.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <walwire/replica/bootstrap.hpp>

#include "backup_directory.hpp"
#include "descriptor.hpp"

namespace posix {

class replica_directory {
  public:
    // Opens and locks it; makes it if it is absent.
    explicit replica_directory(const std::string& path);

    // What lies there. The views live as long as the directory.
    walwire::replica::bootstrap_found found() const noexcept;

    void write_manifest();
    void clear_wal();
    // The empty directory that the backup is written into.
    backup_directory& make_wal();
    // All that was written into it is durable, and so is its name.
    void sync_wal();
    void write_timeline(walwire::timeline_id timeline);
    void write_system_id(std::string_view system_identifier);

    const std::string& path() const noexcept { return path_; }

  private:
    void look();
    descriptor replication() const;

    std::string path_;
    descriptor directory_;
    bool manifest_ = false;
    bool wal_ = false;
    std::string system_id_;
    walwire::timeline_id timeline_;
    std::optional<backup_directory> taken_;
};

} // namespace posix
