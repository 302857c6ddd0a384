// A base backup on disk, as it is served: which archives it makes, and of what.
//
// It is a directory that `walwire backup` or pg_basebackup left in plain format and that no server
// was started on since: it has a backup_label, which says where in the log the backup begins. Links
// to tablespaces are followed from pg_tblspc and from nowhere else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <walwire/backup/manifest.hpp>
#include <walwire/backup/tar.hpp>
#include <walwire/lsn.hpp>

#include "backup_label.hpp"
#include "descriptor.hpp"

namespace posix {

// An entry of an archive: a file of the directory, or one whose content is given here.
struct backup_entry {
    walwire::backup::tar_kind kind = walwire::backup::tar_kind::file;
    std::string path;   // within the archive
    std::string target; // of a link
    std::string content;
    bool given = false; // the content is the file's
    std::uint64_t size = 0;
    std::uint32_t mode = 0;
    std::int64_t mtime = 0;
};

struct backup_archive {
    std::uint32_t oid = 0; // 0: the base directory
    std::string path;      // of the tablespace, as a client is told
    std::string place;     // where its files lie
    std::uint64_t size = 0;
    std::vector<backup_entry> entries;
};

class backup_source {
  public:
    // Throws failure where there is no such backup, or a server runs there.
    explicit backup_source(const std::string& directory);

    std::uint64_t system_identifier() const noexcept { return system_identifier_; }
    int major_version() const noexcept { return major_version_; }
    // Where the backup begins, and its WAL by timeline, the newest first; none where the directory
    // has no manifest.
    walwire::lsn start() const noexcept { return label_.start.at; }
    walwire::timeline_id timeline() const noexcept { return label_.start.timeline; }
    const std::vector<walwire::backup::wal_range>& ranges() const noexcept { return ranges_; }
    const backup_label& label() const noexcept { return label_; }

    // The archives, the base directory's last. `map`: links to tablespaces come as a file and not
    // as links. Throws failure.
    std::vector<backup_archive> list(bool map) const;

    // Opens a file of an archive for reading. Throws failure.
    static descriptor open(const backup_archive& archive, const backup_entry& entry);

  private:
    void read_control();
    void read_ranges();
    void walk(backup_archive& into, const std::string& below) const;
    static void add_links(const std::vector<backup_archive>& to, backup_archive& base);
    void add_tablespaces(std::vector<backup_archive>& into, backup_archive& base, bool map) const;

    std::string directory_;
    std::string label_text_;
    backup_label label_;
    std::uint64_t system_identifier_ = 0;
    int major_version_ = 0;
    std::vector<walwire::backup::wal_range> ranges_;
};

} // namespace posix
