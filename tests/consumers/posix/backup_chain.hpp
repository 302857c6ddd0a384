// The backups that one is put together from: a full one, and incremental ones that each build on
// the one before.
//
// It looks at labels, manifests and control files alone, before anything is written anywhere. That
// they fit together is certain then: the system identifier tells clusters apart, and a backup's
// start, on its timeline, is where the next one says that it goes on from. That each is whole is
// not; pg_verifybackup finds out, and so does `walwire backup` while it takes one.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/backup/checksum.hpp>

#include "backup_label.hpp"
#include "backup_source.hpp"

namespace posix {

class backup_chain {
  public:
    // The full backup first, as pg_combinebackup takes them. Throws failure.
    explicit backup_chain(const std::vector<std::string>& directories);

    // The newest first, as files are looked for.
    const std::vector<std::string>& directories() const noexcept { return directories_; }
    const backup_source& newest() const noexcept { return backups_.back(); }
    std::uint64_t system_identifier() const noexcept { return newest().system_identifier(); }
    // That of the newest one, as a full backup has it.
    const std::string& label() const noexcept { return newest().label().full; }
    // What the newest one's manifest says of a file; null where it says no checksum.
    const walwire::backup::checksum_value* listed(std::string_view path) const;

  private:
    void add(const std::string& directory);
    void read_manifest(const std::string& directory);

    std::vector<std::string> directories_;
    std::deque<backup_source> backups_; // oldest first
    std::map<std::string, walwire::backup::checksum_value, std::less<>> listed_;
};

} // namespace posix
