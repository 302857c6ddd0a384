// The backups that one is put together from: a full one, and incremental ones that each build on
// the one before.
//
// It looks at labels, manifests and control files alone, before anything is written anywhere. That
// they fit together is certain then: the system identifier tells clusters apart, and a backup's
// start, on its timeline, is where the next one says that it goes on from. Whether the files are
// those that the manifests list is for whoever reads them (combine.hpp): the lists are kept for
// that, some hundred bytes for each file of each backup.
#pragma once

#include <cstddef>
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

// What a manifest says of a file.
struct manifest_entry {
    std::uint64_t size = 0;
    walwire::backup::checksum_value checksum; // its algorithm is none where there is none
};
using manifest_entries = std::map<std::string, manifest_entry, std::less<>>;

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
    // All that the newest one's manifest lists but for WAL, which nobody holds against it.
    const manifest_entries& listed() const noexcept { return listed_.back(); }
    // What a manifest says of a file, that of the backup at this place in directories(); null where
    // it does not list it.
    const manifest_entry* listed(std::string_view path, std::size_t place = 0) const;

  private:
    void add(const std::string& directory);
    manifest_entries read_manifest(const std::string& directory) const;

    std::vector<std::string> directories_;
    std::deque<backup_source> backups_;    // oldest first
    std::vector<manifest_entries> listed_; // oldest first
};

} // namespace posix
