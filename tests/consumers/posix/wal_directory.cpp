#include "wal_directory.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>

#include "wal_scan.hpp"

namespace posix {

namespace {

using walwire::lsn;
using walwire::timeline_id;
namespace wal = walwire::wal;

// Runs of at least this size go to the system as they are; smaller ones are worth a copy, since a
// busy server sends hundreds in what one read brings.
constexpr std::size_t direct_min = 32 * 1024;
constexpr std::size_t collected_max = 128 * 1024;

constexpr std::string_view partial_suffix = ".partial";
constexpr const char* temporary_suffix = ".tmp";

std::string text_of(const wal::file_name& name) {
    return std::string(std::string_view(name));
}
std::string text_of(lsn at) {
    return std::string(std::string_view(walwire::to_text(at)));
}

template <class Call>
auto until_not_interrupted(Call call) {
    auto result = call();
    while (result < 0 && errno == EINTR) result = call();
    return result;
}

bool is_there(int directory, const std::string& name) {
    struct stat found {};
    return ::fstatat(directory, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0;
}

// The newest is the highest: of one segment the newest timeline, and the whole file before the
// partial one.
auto rank(const wal::segment_file& file) {
    return std::tuple(file.number, file.timeline, !file.partial);
}

descriptor opened_directory(const std::string& path) {
    descriptor opened(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened) fail("could not open directory " + quoted(path), errno);
    return opened;
}

} // namespace

wal_directory::wal_directory(const std::string& path)
    : wal_directory(opened_directory(path), path) {}

wal_directory::wal_directory(descriptor opened, const std::string& path)
    : path_(path), directory_(std::move(opened)) {
    if (::faccessat(directory_.number(), ".", W_OK | X_OK, AT_EACCESS) != 0)
        fail("could not write into directory " + quoted(path), errno);
    collected_.reserve(collected_max);

    const int locked =
        until_not_interrupted([this] { return ::flock(directory_.number(), LOCK_EX | LOCK_NB); });
    if (locked == 0) return;
    if (errno == EWOULDBLOCK)
        throw failure("directory " + quoted(path) + " is in use by another walwire", EWOULDBLOCK);
    lock_note_ = "could not lock directory " + quoted(path) + ": " + reason(errno);
}

// Calls `visit` with each file that has the name of a segment of this size, and with that name.
template <class Visit>
void wal_directory::each_segment(wal::segment_size size, Visit&& visit) const {
    const int again = ::openat(directory_.number(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(again < 0 ? nullptr : ::fdopendir(again),
                                                      ::closedir);
    if (!listing) fail("could not read directory " + quoted(path_), errno);
    errno = 0;
    for (const dirent* entry = ::readdir(listing.get()); entry != nullptr;
         errno = 0, entry = ::readdir(listing.get())) {
        const std::string name = entry->d_name;
        if (const auto file = wal::parse_segment_name(name, size)) visit(*file, name);
    }
    if (errno != 0) fail("could not read directory " + quoted(path_), errno);
}

std::optional<resume_point> wal_directory::resume(wal::segment_size size, file_access access) {
    if (sized_ && size != size_) throw failure("the server's segment size has changed");
    size_ = size;
    sized_ = true;
    access_ = access;
    notes_.clear();
    if (!lock_note_.empty()) notes_.push_back(lock_note_);

    std::optional<wal::segment_file> highest;
    each_segment(size_, [&](const wal::segment_file& file, const std::string& name) {
        if (!file.partial && file.packed == wal::compression::none) {
            struct stat found {};
            const bool seen = ::fstatat(directory_.number(), name.c_str(), &found, 0) == 0;
            if (!seen && errno == ENOENT) return; // somebody tidied up meanwhile
            if (!seen) fail("could not look at file " + quoted(full(name)), errno);
            if (!S_ISREG(found.st_mode) || found.st_size != static_cast<off_t>(size_.value())) {
                notes_.push_back("segment " + quoted(full(name)) + " has " +
                                 std::to_string(found.st_size) + " bytes instead of " +
                                 std::to_string(size_.value()) + " and is passed over");
                return;
            }
        }
        if (!highest || rank(*highest) < rank(file)) highest = file;
    });
    if (!highest) return std::nullopt;
    const lsn start = wal::start_of(highest->number, size_);
    return resume_point{highest->timeline, highest->partial ? start : start + size_.value()};
}

std::optional<std::uint64_t> wal_directory::system_identifier() const {
    // Another cluster's may be of another size. With the smallest every name of any other is one.
    const auto smallest = wal::segment_size::of(wal::segment_size::smallest);
    std::vector<std::pair<wal::segment_file, std::string>> plain;
    each_segment(*smallest, [&](const wal::segment_file& file, const std::string& name) {
        if (file.packed == wal::compression::none) plain.emplace_back(file, name);
    });
    std::ranges::sort(plain, [](const auto& one, const auto& other) {
        return rank(other.first) < rank(one.first);
    });
    for (const auto& [segment, name] : plain) {
        const descriptor file(::openat(directory_.number(), name.c_str(),
                                       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        if (!file) continue; // who writes it will say what is wrong with it
        std::array<std::byte, cluster_header_size> head{};
        const ssize_t got = until_not_interrupted(
            [&] { return ::pread(file.number(), head.data(), head.size(), 0); });
        if (got != std::ssize(head)) continue;
        if (const auto identifier = read_system_identifier(head)) return identifier;
    }
    return std::nullopt;
}

void wal_directory::write(timeline_id timeline, lsn start, walwire::bytes run) {
    check_usable();
    const lsn end = written_ + collected_.size();
    if (ended_ || timeline != timeline_ || start != end) begin(timeline, start);

    while (!run.empty()) {
        if (!segment_) open_segment();
        const lsn at = written_ + collected_.size();
        const std::size_t size = wal::size_in_segment(at, run.size(), size_);
        put(run.first(size));
        run = run.subspan(size);
        if (wal::offset_in_segment(at + size, size_) == 0) complete_segment();
    }
}

void wal_directory::begin(timeline_id timeline, lsn start) {
    const lsn end = written_ + collected_.size();
    const std::string where =
        "WAL at " + text_of(start) + " on timeline " + std::to_string(timeline.value);
    if (!timeline.valid() || wal::offset_in_segment(start, size_) != 0)
        throw failure(where + " does not begin a segment, and none is open for it");
    if (timeline_.valid() && (timeline < timeline_ || start > end))
        throw failure(where + " does not follow " + text_of(end) + " on timeline " +
                      std::to_string(timeline_.value));
    close_segment();
    timeline_ = timeline;
    ended_ = false;
    written_ = flushed_ = start;
}

void wal_directory::put(walwire::bytes piece) {
    if (piece.size() >= direct_min || piece.size() > collected_max - collected_.size()) write_out();
    if (piece.size() < direct_min) {
        collected_.insert(collected_.end(), piece.begin(), piece.end());
        return;
    }
    put_at(segment_, piece, wal::offset_in_segment(written_, size_), segment_name_);
    written_ = written_ + piece.size();
}

lsn wal_directory::write_out() {
    check_usable();
    if (collected_.empty()) return written_;
    put_at(segment_, collected_, wal::offset_in_segment(written_, size_), segment_name_);
    written_ = written_ + collected_.size();
    collected_.clear();
    return written_;
}

lsn wal_directory::flush() {
    write_out();
    if (flushed_ == written_) return flushed_;
    // The size is final since the file was made, so there is nothing but data to sync (and whatever
    // of the file's records is needed to find it, which fdatasync includes).
    if (::fdatasync(segment_.number()) != 0)
        break_down("could not sync file " + quoted(full(segment_name_)), errno);
    flushed_ = written_;
    return flushed_;
}

// Contents, name, directory: each durable before the next, and all before the end is reported.
void wal_directory::complete_segment() {
    write_out();
    sync(segment_, segment_name_);
    rename_unless_there(segment_name_,
                        segment_name_.substr(0, segment_name_.size() - partial_suffix.size()));
    sync_directory();
    segment_.close();
    flushed_ = written_;
}

void wal_directory::close_segment() {
    flush();
    segment_.close();
}

void wal_directory::fill_up() {
    if (!segment_) return;
    write_out();
    erase_from(written_);
    written_ = wal::segment_start(written_, size_) + size_.value();
    complete_segment();
}

void wal_directory::finish() {
    if (timeline_.valid()) close_segment();
    timeline_ = {};
    ended_ = false;
}

void wal_directory::end_timeline(lsn switch_point) {
    if (!timeline_.valid()) return; // what ended was never written to
    write_out();
    if (switch_point > written_)
        throw failure("the timeline ends at " + text_of(switch_point) + ", but its log in " +
                      quoted(path_) + " ends at " + text_of(written_));
    const lsn open = segment_ ? wal::segment_start(written_, size_) : written_;
    if (switch_point < open)
        throw failure("the timeline ends at " + text_of(switch_point) + ", but " + quoted(path_) +
                      " has whole segments of it up to " + text_of(open));
    erase_from(switch_point);
    close_segment();
    ended_ = true;
}

// The open segment reads as zeros from here on, durably: behind it stands what came before the
// server changed its mind, or what another connection brought into a file that was here already.
void wal_directory::erase_from(lsn end) {
    if (!segment_ || (end == written_ && !reused_)) return;
    const lsn behind = reused_ ? wal::segment_start(written_, size_) + size_.value() : written_;
    const std::uint32_t from = wal::offset_in_segment(end, size_);
    fill_with_zeros(segment_, from, from + (behind - end), segment_name_);
    sync(segment_, segment_name_);
    written_ = flushed_ = end;
}

void wal_directory::open_segment() {
    using wal::compression;
    wal::segment_file file{.timeline = timeline_, .number = wal::containing(written_, size_)};
    for (const auto packed : {compression::none, compression::gzip, compression::lz4}) {
        file.packed = packed;
        const std::string whole = text_of(wal::segment_name(file, size_));
        if (is_there(directory_.number(), whole))
            throw failure("will not write segment " + quoted(full(whole)) + ": it exists", EEXIST);
    }
    file.packed = compression::none;
    file.partial = true;
    segment_name_ = text_of(wal::segment_name(file, size_));
    if (!open_partial(segment_name_)) create_partial(segment_name_);
}

// One that somebody began, to be written over. False where there is none, or one that a crash of
// pg_receivewal left empty, which may be replaced.
bool wal_directory::open_partial(const std::string& name) {
    // A pipe of that name would otherwise block.
    descriptor file(
        ::openat(directory_.number(), name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file && errno == ENOENT) return false;
    if (!file) fail("could not open file " + quoted(full(name)), errno);
    struct stat found {};
    if (::fstat(file.number(), &found) != 0)
        fail("could not look at file " + quoted(full(name)), errno);
    if (!S_ISREG(found.st_mode)) throw failure(quoted(full(name)) + " is not a regular file");
    if (found.st_size == 0) return false;
    if (found.st_size != static_cast<off_t>(size_.value()))
        throw failure("file " + quoted(full(name)) + " has " + std::to_string(found.st_size) +
                      " bytes; it should have 0 or " + std::to_string(size_.value()));
    reserve(file, name); // it may have come here as a copy with holes
    sync(file, name);    // whoever left it may not have
    sync_directory();
    segment_ = std::move(file);
    reused_ = true;
    return true;
}

void wal_directory::create_partial(const std::string& name) {
    const std::string temporary = name + temporary_suffix;
    descriptor file = create_temporary(temporary);
    try {
        if (!reserve(file, temporary)) fill_with_zeros(file, 0, size_.value(), temporary);
        sync(file, temporary);
        if (::renameat(directory_.number(), temporary.c_str(), directory_.number(), name.c_str()) !=
            0)
            fail("could not rename file " + quoted(full(temporary)), errno);
    } catch (...) {
        ::unlinkat(directory_.number(), temporary.c_str(), 0); // gives its space back
        throw;
    }
    sync_directory();
    segment_ = std::move(file);
    reused_ = false;
}

bool wal_directory::has_history(timeline_id timeline) const {
    return timeline.value == 1 ||
           is_there(directory_.number(), text_of(wal::history_name(timeline)));
}

void wal_directory::add_history(timeline_id timeline, walwire::bytes text) {
    check_usable();
    const std::string name = text_of(wal::history_name(timeline));
    if (is_there(directory_.number(), name)) {
        if (!holds(name, text))
            throw failure("history file " + quoted(full(name)) + " exists and says otherwise",
                          EEXIST);
        return;
    }
    const std::string temporary = name + temporary_suffix;
    const descriptor file = create_temporary(temporary);
    try {
        put_at(file, text, 0, temporary);
        sync(file, temporary);
        rename_unless_there(temporary, name);
    } catch (...) {
        ::unlinkat(directory_.number(), temporary.c_str(), 0);
        throw;
    }
    sync_directory();
}

// Whether a file has just this text. It is synced too, as whoever wrote it may have crashed before
// that.
bool wal_directory::holds(const std::string& name, walwire::bytes text) {
    const descriptor file(::openat(directory_.number(), name.c_str(),
                                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) fail("could not open file " + quoted(full(name)), errno);
    std::vector<std::byte> found(text.size() + 1);
    std::size_t size = 0;
    for (ssize_t got = 1; got > 0 && size < found.size();) {
        got = until_not_interrupted(
            [&] { return ::read(file.number(), found.data() + size, found.size() - size); });
        if (got < 0) fail("could not read file " + quoted(full(name)), errno);
        size += static_cast<std::size_t>(got);
    }
    if (!std::ranges::equal(text, std::span(found).first(size))) return false;
    sync(file, name);
    sync_directory();
    return true;
}

descriptor wal_directory::create_temporary(const std::string& name) {
    const int directory = directory_.number();
    if (::unlinkat(directory, name.c_str(), 0) != 0 && errno != ENOENT)
        fail("could not remove file " + quoted(full(name)), errno);
    descriptor file(::openat(directory, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file) fail("could not create file " + quoted(full(name)), errno);
    // Not by open's mode, which the umask would narrow.
    if (access_ == file_access::group && ::fchmod(file.number(), 0640) != 0)
        fail("could not set permissions of file " + quoted(full(name)), errno);
    return file;
}

// Takes a segment's room on the disk; false where the file system cannot. What the file holds
// stays.
bool wal_directory::reserve(const descriptor& file, const std::string& name) {
    int error = EINTR; // returned, not set
    while (error == EINTR)
        error = ::posix_fallocate(file.number(), 0, static_cast<off_t>(size_.value()));
    if (error == EINVAL || error == EOPNOTSUPP || error == ENOSYS) return false;
    if (error != 0) fail("could not reserve space for file " + quoted(full(name)), error);
    return true;
}

void wal_directory::fill_with_zeros(const descriptor& file, std::uint64_t from, std::uint64_t to,
                                    const std::string& name) {
    const std::vector<std::byte> zeros(std::min<std::uint64_t>(to - from, 256 * 1024));
    while (from < to) {
        const std::uint64_t size = std::min<std::uint64_t>(to - from, zeros.size());
        put_at(file, walwire::bytes(zeros).first(size), from, name);
        from += size;
    }
}

void wal_directory::put_at(const descriptor& file, walwire::bytes data, std::uint64_t offset,
                           const std::string& name) {
    while (!data.empty()) {
        const ssize_t size = until_not_interrupted([&] {
            return ::pwrite(file.number(), data.data(), data.size(), static_cast<off_t>(offset));
        });
        // A write that takes nothing gives no errno; PostgreSQL reads it as a full disk.
        if (size <= 0)
            break_down("could not write file " + quoted(full(name)), size < 0 ? errno : ENOSPC);
        data = data.subspan(static_cast<std::size_t>(size));
        offset += static_cast<std::uint64_t>(size);
    }
}

// A segment gets its name once. Where the system has no such rename, somebody who takes no lock
// could come between the look and the step.
void wal_directory::rename_unless_there(const std::string& from, const std::string& to) {
    const int directory = directory_.number();
    int error = ENOSYS;
#ifdef RENAME_NOREPLACE
    error = ::renameat2(directory, from.c_str(), directory, to.c_str(), RENAME_NOREPLACE) == 0
                ? 0
                : errno;
#endif
    if (error == ENOSYS || error == EINVAL) {
        if (is_there(directory, to))
            error = EEXIST;
        else
            error = ::renameat(directory, from.c_str(), directory, to.c_str()) == 0 ? 0 : errno;
    }
    if (error != 0) break_down("could not rename file " + quoted(full(from)), error);
}

void wal_directory::sync(const descriptor& file, const std::string& name) {
    if (::fsync(file.number()) != 0) break_down("could not sync file " + quoted(full(name)), errno);
}

// Makes names durable. Some systems cannot sync a directory and say so by these two.
void wal_directory::sync_directory() {
    if (::fsync(directory_.number()) != 0 && errno != EBADF && errno != EINVAL)
        break_down("could not sync directory " + quoted(path_), errno);
}

void wal_directory::check_usable() const {
    if (!sized_) throw failure("the segment size of " + quoted(path_) + " is not known yet");
    if (broken_) throw *broken_;
}

void wal_directory::break_down(const std::string& what, int code) {
    broken_.emplace(what + ": " + reason(code), code);
    throw *broken_;
}

} // namespace posix
