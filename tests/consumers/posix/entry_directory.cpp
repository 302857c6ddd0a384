#include "entry_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include <walwire/aiondb/backup.hpp>
#include <walwire/backup/path.hpp>
#include <walwire/wal/history.hpp>
#include <walwire/wal/segment.hpp>

#include "failure.hpp"

namespace posix {
namespace {

namespace aiondb = walwire::aiondb;
using aiondb::entry_lsn;

// What is collected before it is written, and written before it is synced.
constexpr std::size_t collected_max = 1024 * 1024;
constexpr std::uint64_t unsynced_max = 16 * 1024 * 1024;
// The most that a crash can have left in disorder: what was not synced, and a batch more.
constexpr std::uint64_t torn_max = 2 * unsynced_max;

void sync(const descriptor& file, const std::string& path) {
    if (::fdatasync(file.number()) != 0) fail("could not sync file " + quoted(path), errno);
}

void sync_names(const descriptor& directory, const std::string& path) {
    if (::fsync(directory.number()) != 0 && errno != EBADF && errno != EINVAL)
        fail("could not sync directory " + quoted(path), errno);
}

void write_all(const descriptor& file, walwire::bytes data, const std::string& path) {
    while (!data.empty()) {
        const ssize_t size = ::write(file.number(), data.data(), data.size());
        if (size < 0 && errno == EINTR) continue;
        // A write that takes nothing gives no errno; it means a full disk.
        if (size <= 0) fail("could not write file " + quoted(path), size < 0 ? errno : ENOSPC);
        data = data.subspan(static_cast<std::size_t>(size));
    }
}

} // namespace

std::optional<std::string> read_small_file(const descriptor& directory, const std::string& name,
                                           const std::string& path, std::size_t most) {
    const descriptor file(
        ::openat(directory.number(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file && errno == ENOENT) return std::nullopt;
    if (!file) fail("could not open file " + quoted(path + '/' + name), errno);
    std::string content(most + 1, '\0');
    std::size_t size = 0;
    while (size < content.size()) {
        const ssize_t got = ::read(file.number(), content.data() + size, content.size() - size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail("could not read file " + quoted(path + '/' + name), errno);
        if (got == 0) break;
        size += static_cast<std::size_t>(got);
    }
    if (size > most) throw failure("file " + quoted(path + '/' + name) + " is too long");
    content.resize(size);
    return content;
}

void write_small_file(const descriptor& directory, const std::string& name, const std::string& path,
                      std::string_view content) {
    const std::string temporary = name + ".tmp";
    const std::string shown = path + '/' + temporary;
    ::unlinkat(directory.number(), temporary.c_str(), 0); // left by a crash
    const descriptor file(::openat(directory.number(), temporary.c_str(),
                                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) fail("could not create file " + quoted(shown), errno);
    write_all(file, walwire::as_bytes(content), shown);
    sync(file, shown);
    if (::renameat(directory.number(), temporary.c_str(), directory.number(), name.c_str()) != 0)
        fail("could not rename file " + quoted(shown), errno);
    sync_names(directory, path);
}

namespace {

std::string_view without_line_end(std::string_view text) {
    if (text.ends_with('\n')) text.remove_suffix(1);
    return text;
}

} // namespace

std::optional<walwire::timeline_id> read_timeline(const descriptor& directory,
                                                  const std::string& path) {
    const auto text = read_small_file(directory, "timeline", path, 32);
    if (!text) return std::nullopt;
    const auto timeline = walwire::parse_timeline(without_line_end(*text));
    if (!timeline) throw failure("file " + quoted(path + "/timeline") + " holds no timeline");
    return *timeline;
}

std::optional<std::string> read_system_id(const descriptor& directory, const std::string& path) {
    const auto text =
        read_small_file(directory, "system_id", path, aiondb::identifier_size_max + 1);
    if (!text) return std::nullopt;
    const std::string_view name = without_line_end(*text);
    if (name.empty() || name.size() > aiondb::identifier_size_max ||
        !walwire::backup::is_printable(name))
        throw failure("file " + quoted(path + "/system_id") + " holds no system identifier");
    return std::string(name);
}

entry_directory::entry_directory(const std::string& path) : path_(path) {
    directory_ = descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory_) fail("could not open directory " + quoted(path), errno);
    int locked = 0;
    do locked = ::flock(directory_.number(), LOCK_EX | LOCK_NB);
    while (locked != 0 && errno == EINTR);
    if (locked != 0 && errno == EWOULDBLOCK)
        throw failure("directory " + quoted(path) + " is in use by another walwire", EWOULDBLOCK);
    if (locked != 0)
        notes_.push_back("could not lock directory " + quoted(path) + ": " + reason(errno));
    system_identifier_ = read_system_id(directory_, path_).value_or(std::string());
    timeline_ = read_timeline(directory_, path_).value_or(walwire::timeline_id{});
    open_log();
    if (last().valid() && (system_identifier_.empty() || !timeline_.valid()))
        throw failure("directory " + quoted(path) + " does not say whose log it holds");
}

void entry_directory::open_log() {
    constexpr int flags = O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
    file_ = descriptor(::openat(directory_.number(), "log", flags, 0600));
    if (!file_) fail("could not open file " + quoted(full("log")), errno);
    struct stat found {};
    if (::fstat(file_.number(), &found) != 0)
        fail("could not look at file " + quoted(full("log")), errno);
    if (!S_ISREG(found.st_mode)) throw failure(quoted(full("log")) + " is no file");
    log_ = entry_log(file_.number(), full("log"));
    const entry_log::rest behind = log_.scan();
    const std::uint64_t torn = static_cast<std::uint64_t>(found.st_size) - log_.size();
    if (behind != entry_log::rest::none) {
        if (torn > torn_max)
            throw failure("file " + quoted(full("log")) + " is damaged at byte " +
                          std::to_string(log_.size()));
        cut(log_.size());
        notes_.push_back("cut a torn batch of " + std::to_string(torn) + " bytes off " +
                         quoted(full("log")));
    }
    written_ = log_.size();
    // Whoever wrote it may not have come to that.
    sync(file_, full("log"));
    sync_names(directory_, path_);
    durable_ = last();
}

void entry_directory::cut(std::uint64_t size) {
    if (::ftruncate(file_.number(), static_cast<off_t>(size)) != 0)
        fail("could not cut file " + quoted(full("log")), errno);
}

void entry_directory::belong_to(const std::string& system_identifier) {
    if (system_identifier_ == system_identifier) return;
    if (!system_identifier_.empty())
        throw failure("directory " + quoted(path_) + " holds the log of system " +
                      system_identifier_);
    // A line of text holds it.
    if (system_identifier.empty() || printable(system_identifier) != system_identifier)
        throw failure("the server's system identifier is no name: " + quoted(system_identifier));
    write_small_file(directory_, "system_id", path_, system_identifier + '\n');
    system_identifier_ = system_identifier;
}

void entry_directory::adopt(walwire::timeline_id timeline) {
    if (timeline == timeline_) return;
    if (timeline < timeline_ && last().valid())
        throw failure("directory " + quoted(path_) + " is on timeline " +
                      std::to_string(timeline_.value) + " already");
    write_small_file(directory_, "timeline", path_, std::to_string(timeline.value) + '\n');
    timeline_ = timeline;
}

void entry_directory::add_history(walwire::timeline_id timeline, walwire::bytes text) {
    const std::string name(std::string_view(walwire::wal::history_name(timeline)));
    const auto there = read_small_file(directory_, name, path_, walwire::wal::history_size_max);
    if (there && *there == walwire::as_text(text)) return;
    if (there)
        throw failure("file " + quoted(full(name)) +
                      " differs from the history that the server has");
    write_small_file(directory_, name, path_, walwire::as_text(text));
}

void entry_directory::append(entry_lsn first, entry_lsn last, walwire::bytes run, bool begins,
                             bool ends) {
    if (begins) batch_.assign(entry_head_size, std::byte{});
    if (batch_.size() + run.size() > aiondb::message_header_size + aiondb::payload_size_max)
        throw failure("a batch is too large");
    batch_.insert(batch_.end(), run.begin(), run.end());
    if (!ends) return;
    if (last <= log_.last()) { // nothing new
        batch_.clear();
        return;
    }
    if (!may_follow(log_.last(), first, last) || batch_.size() <= entry_head_size)
        throw failure("a batch from entry " + std::to_string(first.value) + " to " +
                      std::to_string(last.value) + " cannot follow entry " +
                      std::to_string(log_.last().value));
    walwire::little_writer head(walwire::mutable_bytes(batch_).first(entry_head_size));
    head.u8(static_cast<std::uint8_t>(aiondb::tag::batch));
    head.u32(static_cast<std::uint32_t>(batch_.size() - aiondb::message_header_size));
    head.u64(first.value);
    head.u64(last.value);
    const std::uint64_t offset = written_ + collected_.size();
    collected_.insert(collected_.end(), batch_.begin(), batch_.end());
    log_.added({first, last, offset, static_cast<std::uint32_t>(batch_.size())});
    batch_.clear();
    if (collected_.size() >= collected_max) write_out();
}

void entry_directory::write_out() {
    if (collected_.empty()) return;
    write_all(file_, collected_, full("log"));
    written_ += collected_.size();
    unsynced_ += collected_.size();
    collected_.clear();
    if (unsynced_ >= unsynced_max) flush();
}

void entry_directory::flush() {
    write_out();
    if (durable_ == last()) return;
    sync(file_, full("log"));
    unsynced_ = 0;
    durable_ = last();
}

} // namespace posix
