#include "wal_files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <vector>

#include <walwire/wal/history.hpp>

#include "failure.hpp"

namespace posix {

namespace {

namespace wal = walwire::wal;

// A change within the same tick of the file system's clock as the last look would not show.
constexpr std::int64_t clock_tick_ns = 20'000'000;

std::int64_t nanoseconds(const timespec& at) noexcept {
    return std::int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

// Calls `visit` with each name of a directory.
template <class Visit>
void each_name(const descriptor& directory, const std::string& path, Visit&& visit) {
    const int again = ::openat(directory.number(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(again < 0 ? nullptr : ::fdopendir(again),
                                                     ::closedir);
    if (!stream) fail("could not read directory " + quoted(path), errno);
    for (;;) {
        errno = 0;
        const dirent* const entry = ::readdir(stream.get());
        if (entry == nullptr) break;
        visit(std::string_view(entry->d_name));
    }
    if (errno != 0) fail("could not read directory " + quoted(path), errno);
}

} // namespace

mapping::mapping(const descriptor& file, std::size_t size, bool whole) : whole_(whole) {
    void* const at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.number(), 0);
    if (at == MAP_FAILED) fail("could not map a segment into memory", errno);
    content_ = {static_cast<const std::byte*>(at), size};
}

mapping::~mapping() {
    ::munmap(const_cast<std::byte*>(content_.data()), content_.size());
}

wal_files::wal_files(const std::string& path)
    : path_(path), directory_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (!directory_) fail("could not open directory " + quoted(path), errno);
    find_cluster();
    refresh();
}

// The newest segment whose size is what it says itself. Its name has one form for all sizes.
void wal_files::find_cluster() {
    std::string newest;
    each_name(directory_, path_, [&](std::string_view name) {
        // With the smallest size every name of any other is a name.
        const auto smallest = wal::segment_size::of(wal::segment_size::smallest);
        if (name <= newest || !wal::parse_segment_name(name, *smallest)) return;
        const descriptor file = open_file(std::string(name).c_str());
        std::array<std::byte, 40> head{};
        struct stat found {};
        if (!file || ::fstat(file.number(), &found) != 0) return;
        if (::pread(file.number(), head.data(), head.size(), 0) != std::ssize(head)) return;
        const auto cluster = read_cluster(head);
        if (!cluster || found.st_size != static_cast<off_t>(cluster->size.value())) return;
        cluster_ = *cluster;
        newest = name;
    });
    if (newest.empty()) throw failure("there is no WAL in " + quoted(path_));
}

bool wal_files::refresh() {
    struct stat found {};
    if (::fstat(directory_.number(), &found) != 0)
        fail("could not look at directory " + quoted(path_), errno);
    if (settled_ && nanoseconds(found.st_mtim) == nanoseconds(listed_)) return false;
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    list();
    settled_ = nanoseconds(now) - nanoseconds(found.st_mtim) > clock_tick_ns;
    listed_ = found.st_mtim;
    return true;
}

void wal_files::list() {
    std::map<std::uint32_t, segments> found;
    each_name(directory_, path_, [&](std::string_view name) {
        const auto file = wal::parse_segment_name(name, cluster_.size);
        if (!file || file->packed != wal::compression::none) return;
        bool& whole = found[file->timeline.value][file->number.value];
        whole = whole || !file->partial;
    });
    timelines_ = std::move(found);
    std::erase_if(mapped_, [](const auto& each) { return each.second.expired(); });
}

std::optional<bool> wal_files::find(walwire::timeline_id timeline,
                                    wal::segment_number number) const noexcept {
    const auto found = timelines_.find(timeline.value);
    if (found == timelines_.end()) return std::nullopt;
    const auto segment = found->second.find(number.value);
    if (segment == found->second.end()) return std::nullopt;
    return segment->second;
}

descriptor wal_files::open_file(const char* name) const {
    // A pipe of that name would otherwise block.
    return descriptor(
        ::openat(directory_.number(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
}

// The whole one, else the partial one. It may get its final name between the two looks.
descriptor wal_files::open_segment(walwire::timeline_id timeline, wal::segment_number number,
                                   bool& whole) const {
    for (const bool partial : {false, true, false}) {
        const wal::segment_file file{.timeline = timeline, .number = number, .partial = partial};
        descriptor opened = open_file(wal::segment_name(file, cluster_.size).c_str());
        whole = !partial;
        if (opened) return opened;
        if (errno != ENOENT) fail("could not open a segment in " + quoted(path_), errno);
    }
    return {};
}

held_segment wal_files::open(walwire::timeline_id timeline, wal::segment_number number) {
    auto& known = mapped_[{timeline.value, number.value}];
    held_segment held = known.lock();
    // Under its final name it may be another file.
    if (held && held->whole() == find(timeline, number).value_or(held->whole())) return held;
    bool whole = false;
    const descriptor file = open_segment(timeline, number, whole);
    struct stat found {};
    if (!file || ::fstat(file.number(), &found) != 0 || !S_ISREG(found.st_mode) ||
        found.st_size != static_cast<off_t>(cluster_.size.value()))
        return nullptr;
    held = std::make_shared<const mapping>(file, cluster_.size.value(), whole);
    const auto header =
        read_page(held->content().first(wal_page_size), start_of(number, cluster_.size), cluster_);
    if (!header || header->timeline > timeline) return nullptr;
    known = held;
    return held;
}

std::optional<std::string> wal_files::history(walwire::timeline_id timeline) const {
    const descriptor file = open_file(wal::history_name(timeline).c_str());
    if (!file && errno == ENOENT) return std::nullopt;
    if (!file) fail("could not open a history file in " + quoted(path_), errno);
    std::string text;
    std::array<char, 4096> part{};
    for (;;) {
        const ssize_t size = ::read(file.number(), part.data(), part.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) fail("could not read a history file in " + quoted(path_), errno);
        if (size == 0) return text;
        text.append(part.data(), static_cast<std::size_t>(size));
        if (text.size() > wal::history_size_max)
            throw failure("a history file in " + quoted(path_) + " is too large");
    }
}

} // namespace posix
