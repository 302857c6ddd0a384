// A directory that a backup is written into, and that nothing of the backup is written outside of.
//
// What comes from a server decides the names, so no name is trusted. Each part of a path is opened
// by itself, from the descriptor of the directory before it, and never through a symbolic link;
// files and links are made only where nothing is. So a file or a link whose path is there already,
// whoever put it there, is a failure that names it; a directory may come where one is. A link leads
// whoever restores the backup somewhere, but not us. Paths are those that walwire/backup/tar.hpp
// lets pass.
//
// It has to be empty in the beginning, or absent: then it is made, with the directories above it
// that are missing. If things go wrong, all that was made is removed again, and nothing else: a
// file that somebody puts there meanwhile stays, and so does the directory if it was there before.
// (Within a directory that we made, everything is taken for ours.)
//
// Permissions are the owner's, and the group's to read where the server's own directory has it so.
// The umask has no say in it: a backup is either of the two, as a server insists to start.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/bytes.hpp>

#include "descriptor.hpp"
#include "wal_directory.hpp"

namespace posix {

// A new file on its way. What it is written into is not durable before the directory is synced.
class new_file {
  public:
    new_file() noexcept = default;
    new_file(descriptor opened, std::string path) noexcept
        : opened_(std::move(opened)), path_(std::move(path)) {}

    // Appends. Throws failure.
    void write(walwire::bytes run);
    // Only where it has to be durable before the rest is.
    void sync();
    void close() noexcept { opened_.close(); }

    explicit operator bool() const noexcept { return static_cast<bool>(opened_); }
    const std::string& path() const noexcept { return path_; }

  private:
    descriptor opened_;
    std::string path_; // for messages
};

// Removes a file, or a directory and what lies in it, as far as that can be done; links are
// removed, not what they lead to.
void remove_tree(int directory, const std::string& name) noexcept;

class backup_directory {
  public:
    // `keeps`: what was made stays, whatever happens. Throws failure for a directory that holds
    // something, or that cannot be made.
    backup_directory(const std::string& path, file_access access, bool keeps);
    backup_directory(const backup_directory&) = delete;
    backup_directory& operator=(const backup_directory&) = delete;
    // Removes what was made, unless it is to stay.
    ~backup_directory();

    // A directory may come again, as servers send some twice. What is above it has to be there.
    void make_directory(std::string_view path);
    new_file create(std::string_view path);
    void link(std::string_view path, const std::string& target);
    // Of two names right in it. The new one is durable when this returns.
    void rename(const std::string& from, const std::string& to);
    // One that was made before.
    descriptor open_directory(std::string_view path);

    // Returns when the system says that all that was written into it is on the disk, and the names
    // that lead to it, so that the power may fail. Linux is asked that of the whole file system at
    // once, which takes far less than doing so file by file; others have no such call.
    void sync();
    // The backup is one: nothing is removed any more.
    void keep() noexcept { keeps_ = true; }

    // Whether both are one, by whatever paths they were opened.
    bool is_same(const backup_directory& other) const;

    const std::string& path() const noexcept { return path_; }
    std::string full(std::string_view path) const { return path_ + '/' + std::string(path); }

  private:
    // A path's last part, and the directory that it is or will be in.
    struct place {
        int directory;
        std::string name;
    };

    void open();
    bool sync_file_system() const;
    place find(std::string_view path);
    void made(std::string_view path);
    void sync_names();
    void remove() noexcept;

    std::string path_;
    file_access access_;
    bool keeps_;
    descriptor root_;
    std::vector<std::string> above_;   // directories that were made, this one the last
    std::vector<std::string> entries_; // right in this one
    descriptor parent_;                // of what was made last, and its path
    std::string parent_path_;
};

} // namespace posix
