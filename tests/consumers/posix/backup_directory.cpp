#include "backup_directory.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "failure.hpp"

namespace posix {
namespace {

constexpr int directory_only = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

mode_t directory_mode(file_access access) noexcept {
    return access == file_access::group ? 0750 : 0700;
}

// The names in a directory but for its own two; false if it cannot be read.
template <class Visit>
bool each_name(int directory, Visit&& visit) {
    const int again = ::openat(directory, ".", directory_only);
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(again < 0 ? nullptr : ::fdopendir(again),
                                                      ::closedir);
    if (!listing) return false;
    errno = 0;
    while (const dirent* const entry = ::readdir(listing.get())) {
        const std::string name = entry->d_name;
        if (name != "." && name != "..") visit(name);
        errno = 0;
    }
    return errno == 0;
}

// Whatever can be removed is; links are, not what they lead to.
void remove_all(int directory, const std::string& name) noexcept {
    if (::unlinkat(directory, name.c_str(), 0) == 0) return;
    const descriptor inside(::openat(directory, name.c_str(), directory_only));
    if (!inside) return;
    each_name(inside.number(),
              [&](const std::string& found) { remove_all(inside.number(), found); });
    ::unlinkat(directory, name.c_str(), AT_REMOVEDIR);
}

// A directory's files and directories, and their names in it, one by one. Links are names alone.
void sync_all(int directory, const std::string& path) {
    const bool read = each_name(directory, [&](const std::string& name) {
        const std::string full = path + '/' + name;
        struct stat found {};
        if (::fstatat(directory, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0)
            fail("could not look at " + quoted(full), errno);
        if (!S_ISDIR(found.st_mode) && !S_ISREG(found.st_mode)) return;
        constexpr int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
        const descriptor opened(::openat(directory, name.c_str(), flags));
        if (!opened) fail("could not open file " + quoted(full), errno);
        if (S_ISDIR(found.st_mode))
            sync_all(opened.number(), full);
        else if (::fsync(opened.number()) != 0)
            fail("could not sync file " + quoted(full), errno);
    });
    if (!read) fail("could not read directory " + quoted(path), errno);
    if (::fsync(directory) != 0 && errno != EBADF && errno != EINVAL)
        fail("could not sync directory " + quoted(path), errno);
}

void sync_parent(const std::string& path) {
    const std::size_t slash = path.find_last_of('/');
    const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const descriptor above(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    // Who may not read it may have made something in it all the same.
    if (above && ::fsync(above.number()) != 0 && errno != EBADF && errno != EINVAL)
        fail("could not sync directory " + quoted(parent), errno);
}

std::string without_slashes(std::string path) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    return path;
}

} // namespace

void remove_tree(int directory, const std::string& name) noexcept {
    remove_all(directory, name);
}

void new_file::write(walwire::bytes run) {
    while (!run.empty()) {
        const ssize_t size = ::write(opened_.number(), run.data(), run.size());
        if (size < 0 && errno == EINTR) continue;
        // A write that takes nothing gives no errno; PostgreSQL reads it as a full disk.
        if (size <= 0) fail("could not write file " + quoted(path_), size < 0 ? errno : ENOSPC);
        run = run.subspan(static_cast<std::size_t>(size));
    }
}

void new_file::sync() {
    if (::fdatasync(opened_.number()) != 0) fail("could not sync file " + quoted(path_), errno);
}

backup_directory::backup_directory(const std::string& path, file_access access, bool keeps)
    : path_(without_slashes(path)), access_(access), keeps_(keeps) {
    try {
        open();
    } catch (...) {
        remove();
        throw;
    }
}

backup_directory::~backup_directory() {
    remove();
}

void backup_directory::open() {
    for (std::size_t end = 0; end != std::string::npos;) {
        end = path_.find('/', end + 1);
        const std::string part = path_.substr(0, end);
        const bool last = end == std::string::npos;
        if (::mkdir(part.c_str(), last ? directory_mode(access_) : 0777) == 0)
            above_.push_back(part);
        else if (errno != EEXIST && (last || (errno != EROFS && errno != EACCES)))
            fail("could not create directory " + quoted(part), errno);
    }
    // The user's own path may lead over links.
    root_ = descriptor(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root_) fail("could not open directory " + quoted(path_), errno);
    bool empty = true;
    if (!each_name(root_.number(), [&](const std::string&) { empty = false; }))
        fail("could not read directory " + quoted(path_), errno);
    if (!empty) throw failure("directory " + quoted(path_) + " is not empty", ENOTEMPTY);
    const bool ours = !above_.empty() && above_.back() == path_;
    if (ours && ::fchmod(root_.number(), directory_mode(access_)) != 0)
        fail("could not set permissions of directory " + quoted(path_), errno);
}

// Archives list one directory's files in a row, so the last parent is mostly the next one's.
backup_directory::place backup_directory::find(std::string_view path) {
    const std::size_t slash = path.find_last_of('/');
    if (slash == std::string_view::npos) return {root_.number(), std::string(path)};
    const std::string_view parent = path.substr(0, slash);
    if (!parent_ || parent != parent_path_) {
        parent_ = open_directory(parent);
        parent_path_ = parent;
    }
    return {parent_.number(), std::string(path.substr(slash + 1))};
}

descriptor backup_directory::open_directory(std::string_view path) {
    descriptor at;
    for (std::size_t begin = 0; begin <= path.size();) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        const std::string part(path.substr(begin, end - begin));
        descriptor next(::openat(at ? at.number() : root_.number(), part.c_str(), directory_only));
        if (!next) fail("could not open directory " + quoted(full(path.substr(0, end))), errno);
        at = std::move(next);
        begin = end + 1;
    }
    return at;
}

void backup_directory::made(std::string_view path) {
    if (path.find('/') == std::string_view::npos) entries_.emplace_back(path);
}

void backup_directory::make_directory(std::string_view path) {
    const place at = find(path);
    const mode_t mode = directory_mode(access_);
    if (::mkdirat(at.directory, at.name.c_str(), mode) == 0) {
        made(path);
        const descriptor opened(::openat(at.directory, at.name.c_str(), directory_only));
        if (!opened || ::fchmod(opened.number(), mode) != 0)
            fail("could not set permissions of directory " + quoted(full(path)), errno);
        return;
    }
    const int why = errno;
    struct stat found {};
    if (why == EEXIST &&
        ::fstatat(at.directory, at.name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(found.st_mode))
        return;
    fail("could not create directory " + quoted(full(path)), why);
}

new_file backup_directory::create(std::string_view path) {
    const place at = find(path);
    const mode_t mode = access_ == file_access::group ? 0640 : 0600;
    descriptor file(::openat(at.directory, at.name.c_str(),
                             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!file) fail("could not create file " + quoted(full(path)), errno);
    made(path);
    if (::fchmod(file.number(), mode) != 0)
        fail("could not set permissions of file " + quoted(full(path)), errno);
    return {std::move(file), full(path)};
}

void backup_directory::link(std::string_view path, const std::string& target) {
    const place at = find(path);
    if (::symlinkat(target.c_str(), at.directory, at.name.c_str()) != 0)
        fail("could not create link " + quoted(full(path)), errno);
    made(path);
}

void backup_directory::rename(const std::string& from, const std::string& to) {
    if (::renameat(root_.number(), from.c_str(), root_.number(), to.c_str()) != 0)
        fail("could not rename file " + quoted(full(from)), errno);
    made(to);
    sync_names();
}

// False where there is no such call: sync(2) is none, as POSIX lets it return before the disk has
// anything.
//
// It waits for all that the file system has to write. That something could not be written since the
// root was opened, which was before anything was written here, it reports from Linux 5.8 on; before
// that, only fsync of the very file did. So the manifest and the directories that matter most are
// given to fsync as well, by whoever writes them.
bool backup_directory::sync_file_system() const {
#ifdef __linux__
    if (::syncfs(root_.number()) == 0) return true;
    if (errno != ENOSYS) fail("could not sync the file system of " + quoted(path_), errno);
#endif
    return false;
}

void backup_directory::sync() {
    if (!sync_file_system()) sync_all(root_.number(), path_);
    sync_names();
    for (const std::string& each : above_) sync_parent(each);
}

bool backup_directory::is_same(const backup_directory& other) const {
    struct stat one {};
    struct stat two {};
    if (::fstat(root_.number(), &one) != 0) fail("could not look at " + quoted(path_), errno);
    if (::fstat(other.root_.number(), &two) != 0)
        fail("could not look at " + quoted(other.path_), errno);
    return one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

void backup_directory::sync_names() {
    if (::fsync(root_.number()) != 0 && errno != EBADF && errno != EINVAL)
        fail("could not sync directory " + quoted(path_), errno);
}

void backup_directory::remove() noexcept {
    if (keeps_) return;
    parent_.close();
    for (const std::string& each : entries_) remove_all(root_.number(), each);
    for (; !above_.empty(); above_.pop_back()) ::rmdir(above_.back().c_str());
}

} // namespace posix
