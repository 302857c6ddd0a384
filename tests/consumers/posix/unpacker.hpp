// Takes one archive of a backup apart: into a directory, or only to look what is in it.
//
// Both are the same work, since a backup that is kept as archives is verified as well as one that
// is unpacked: each file's bytes go to the verification, and to a file if there is a directory to
// put it in.
//
// A link is only taken for what it says, never made because an archive says so. The one kind that
// servers send leads from pg_tblspc to a tablespace; it has to lead to where the list of
// tablespaces said, which came before all archives, and what is made of it is the owner's link to
// where the owner wants it.
//
// A path comes once, directories excepted, and what is above it has come before. In a directory the
// file system says so. Where an archive is only looked at, the verification knows the files, and
// the directories' paths are kept here, some thousands in a large cluster, and few of them long.
//
// No archive has a backup_manifest: the name is the sign that a backup was verified.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include <walwire/backup/tar_reader.hpp>

#include "backup_directory.hpp"
#include "verification.hpp"

namespace posix {

// A tablespace of the backup: where the server has it, and where it goes here.
struct mapped_tablespace {
    std::string path;
    std::string target;
    bool linked = false; // an archive had the link to it
};
// By the name that they have in pg_tblspc.
using tablespace_map = std::map<std::string, mapped_tablespace, std::less<>>;

class unpacker {
  public:
    // Of the archive's files: where they go, and what stands before their paths in a manifest.
    struct destination {
        std::string archive;                   // its name, for messages
        backup_directory* directory = nullptr; // none: they are only looked at
        std::string below;                     // a path in it, with a slash behind it, or empty
        std::string listed_below;              // the same for the manifest's paths
    };

    // What comes is noted in `links` and `check`.
    unpacker(walwire::backup::tar_trailer trailer, destination into, tablespace_map& links,
             verification& check)
        : reader_(trailer), into_(std::move(into)), links_(links), check_(check) {}
    unpacker(const unpacker&) = delete;
    unpacker& operator=(const unpacker&) = delete;

    // The archive's next bytes, and its end. Throw failure.
    void eat(walwire::bytes in);
    void finish();

  private:
    void heard(const walwire::backup::entry_started& begun);
    void heard(const walwire::backup::entry_data& run);
    void heard(const walwire::backup::entry_ended&);
    void heard(const walwire::backup::tar_ended&) {}
    void heard(const walwire::backup::tar_failed& failed);
    void admit(const walwire::backup::tar_entry& entry);
    void look_at(const walwire::backup::tar_entry& entry);
    void link(const walwire::backup::tar_entry& entry);
    [[noreturn]] void refuse(std::string_view path, const std::string& why) const;

    walwire::backup::tar_reader reader_;
    destination into_;
    tablespace_map& links_;
    verification& check_;
    std::set<std::string, std::less<>> directories_; // of an archive that is only looked at
    new_file file_;                                  // that is being written
    bool in_file_ = false;
};

} // namespace posix
