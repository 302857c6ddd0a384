#include "replica_directory.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "entry_directory.hpp"
#include "failure.hpp"

namespace posix {
namespace {

namespace aiondb = walwire::aiondb;

constexpr std::string_view manifest_text = "walwire bootstrap 1\n";
constexpr int directory_only = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

// The first name of a directory that is none of these; empty: there is no such.
std::string stranger(const descriptor& directory, const std::string& path) {
    const int again = ::openat(directory.number(), ".", directory_only);
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(again < 0 ? nullptr : ::fdopendir(again),
                                                      ::closedir);
    if (!listing) fail("could not read directory " + quoted(path), errno);
    while (const dirent* const entry = ::readdir(listing.get())) {
        const std::string name = entry->d_name;
        if (name != "." && name != ".." && name != "manifest" && name != "manifest.tmp" &&
            name != "wal" && name != "replication")
            return name;
    }
    return {};
}

} // namespace

replica_directory::replica_directory(const std::string& path) : path_(path) {
    while (path_.size() > 1 && path_.ends_with('/')) path_.pop_back();
    const bool made = ::mkdir(path_.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) fail("could not create directory " + quoted(path_), errno);
    directory_ = descriptor(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory_) fail("could not open directory " + quoted(path_), errno);
    if (::flock(directory_.number(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        throw failure("directory " + quoted(path_) + " is in use by another walwire", EWOULDBLOCK);
    if (made) {
        const std::string above = path_ + "/..";
        const descriptor parent(::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (parent && ::fsync(parent.number()) != 0 && errno != EBADF && errno != EINVAL)
            fail("could not sync directory " + quoted(above), errno);
    }
    look();
}

void replica_directory::look() {
    const descriptor inside(::openat(directory_.number(), "replication", directory_only));
    if (!inside && errno != ENOENT)
        fail("could not open directory " + quoted(path_ + "/replication"), errno);
    if (inside) {
        const std::string shown = path_ + "/replication";
        system_id_ = read_small_file(inside, "system_id", shown, aiondb::identifier_size_max + 1)
                         .value_or(std::string());
        if (system_id_.ends_with('\n')) system_id_.pop_back();
        timeline_ = read_timeline(inside, shown).value_or(walwire::timeline_id{});
    }
    struct stat wal {};
    wal_ = ::fstatat(directory_.number(), "wal", &wal, AT_SYMLINK_NOFOLLOW) == 0;
    if (!system_id_.empty()) {
        // The manifest is the engine's by now.
        manifest_ = ::fstatat(directory_.number(), "manifest", &wal, AT_SYMLINK_NOFOLLOW) == 0;
        return;
    }
    const auto manifest = read_small_file(directory_, "manifest", path_, 4096);
    if (manifest && *manifest != manifest_text)
        throw failure("directory " + quoted(path_) + " holds a database");
    manifest_ = manifest.has_value();
    const std::string other = stranger(directory_, path_);
    if (!other.empty() || (!manifest_ && (wal_ || inside)))
        throw failure("directory " + quoted(path_) + " is not empty", ENOTEMPTY);
}

walwire::replica::bootstrap_found replica_directory::found() const noexcept {
    return {manifest_, wal_, system_id_, timeline_};
}

void replica_directory::write_manifest() {
    write_small_file(directory_, "manifest", path_, manifest_text);
}

// What could not be removed is in the way of the backup, which says so.
void replica_directory::clear_wal() {
    remove_tree(directory_.number(), "wal");
}

backup_directory& replica_directory::make_wal() {
    taken_.emplace(path_ + "/wal", file_access::owner, true);
    return *taken_;
}

void replica_directory::sync_wal() {
    taken_->sync();
}

descriptor replica_directory::replication() const {
    const std::string shown = path_ + "/replication";
    if (::mkdirat(directory_.number(), "replication", 0700) != 0 && errno != EEXIST)
        fail("could not create directory " + quoted(shown), errno);
    descriptor made(::openat(directory_.number(), "replication", directory_only));
    if (!made) fail("could not open directory " + quoted(shown), errno);
    if (::fsync(directory_.number()) != 0 && errno != EBADF && errno != EINVAL)
        fail("could not sync directory " + quoted(path_), errno);
    return made;
}

void replica_directory::write_timeline(walwire::timeline_id timeline) {
    write_small_file(replication(), "timeline", path_ + "/replication",
                     std::to_string(timeline.value) + '\n');
}

void replica_directory::write_system_id(std::string_view system_identifier) {
    write_small_file(replication(), "system_id", path_ + "/replication",
                     std::string(system_identifier) + '\n');
}

} // namespace posix
