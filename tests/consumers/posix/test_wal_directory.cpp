// Every test of what a crash leaves runs against a simulated disk: the calls that change files are
// replaced in this program, counted, and made to fail or to stop at each step in turn. Nothing in
// wal_directory knows.
#undef _FORTIFY_SOURCE
#include "wal_directory.hpp"

#include <doctest/doctest.h>

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "failure.hpp"
#include "temporary_directory.hpp"
#include "wal_builder.hpp"

using namespace posix_test;
using posix::failure;
using posix::file_access;
using posix::resume_point;
using posix::wal_directory;
using walwire::lsn;
using walwire::timeline_id;
namespace fs = std::filesystem;
namespace wal = walwire::wal;

namespace {

constexpr std::uint32_t mib = 1u << 20;
const wal::segment_size size = *wal::segment_size::of(mib);

// What a disk would hold if the power failed now: of each file what was synced last, of the
// directory the names it had when it was synced last.
struct simulated_disk {
    std::string path; // of the directory that is watched; empty: nothing is
    std::vector<std::string> log;
    std::size_t stop_at = SIZE_MAX; // from this step on no call does anything
    std::size_t fail_at = SIZE_MAX; // this step alone fails
    int failure = EIO;
    int allocation_failure = 0; // of every posix_fallocate
    std::map<ino_t, std::string> synced;
    std::map<std::string, ino_t> names;

    bool stopped() const { return log.size() > stop_at; }

    // Counts a step. False if the call is to fail, with errno set.
    bool step(const std::string& what) {
        if (path.empty()) return true;
        log.push_back(what);
        if (log.size() - 1 < stop_at && log.size() - 1 != fail_at) return true;
        errno = failure;
        return false;
    }

    std::map<std::string, ino_t> names_now() const {
        std::map<std::string, ino_t> now;
        DIR* const listing = ::opendir(path.c_str());
        while (const dirent* entry = ::readdir(listing))
            if (entry->d_name[0] != '.') now[entry->d_name] = entry->d_ino;
        ::closedir(listing);
        return now;
    }
};
simulated_disk disk;

// Arms the disk for the lifetime of a scope.
struct watch {
    explicit watch(const std::string& path) {
        disk = {};
        disk.path = path;
    }
    ~watch() { disk = {}; }
};

std::string name_of(int file) {
    std::string link = "/proc/self/fd/" + std::to_string(file);
    std::error_code ignored;
    return fs::read_symlink(link, ignored).filename();
}

int sync_one(int file, const char* what) {
    if (disk.path.empty()) return 0; // tests have no power to lose
    if (!disk.step(std::string(what) + ' ' + name_of(file))) return -1;
    struct stat found {};
    ::fstat(file, &found);
    if (S_ISDIR(found.st_mode))
        disk.names = disk.names_now();
    else
        disk.synced[found.st_ino] = read_file("/proc/self/fd/" + std::to_string(file));
    return 0;
}

} // namespace

extern "C" {

int fsync(int file) {
    return sync_one(file, "fsync");
}
int fdatasync(int file) {
    return sync_one(file, "fdatasync");
}

ssize_t pwrite(int file, const void* data, size_t count, off_t offset) {
    if (!disk.step("pwrite " + name_of(file))) return -1;
    return ::syscall(SYS_pwrite64, file, data, count, offset);
}

int posix_fallocate(int file, off_t offset, off_t count) {
    if (!disk.step("allocate " + name_of(file))) return errno;
    if (disk.allocation_failure != 0) return disk.allocation_failure;
    return ::syscall(SYS_fallocate, file, 0, offset, count) == 0 ? 0 : errno;
}

int openat(int directory, const char* name, int flags, ...) {
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
        if (!disk.step(std::string("create ") + name)) return -1;
    }
    const auto file = static_cast<int>(::syscall(SYS_openat, directory, name, flags, mode));
    struct stat found {};
    if ((flags & O_CREAT) != 0 && file >= 0 && ::fstat(file, &found) == 0)
        disk.synced[found.st_ino].clear();
    return file;
}

int renameat(int from_directory, const char* from, int to_directory, const char* to) noexcept {
    if (!disk.step(std::string("rename ") + from + ' ' + to)) return -1;
    return static_cast<int>(::syscall(SYS_renameat2, from_directory, from, to_directory, to, 0));
}

int renameat2(int from_directory, const char* from, int to_directory, const char* to,
              unsigned flags) noexcept {
    if (!disk.step(std::string("rename ") + from + ' ' + to)) return -1;
    return static_cast<int>(
        ::syscall(SYS_renameat2, from_directory, from, to_directory, to, flags));
}

int unlinkat(int directory, const char* name, int flags) noexcept {
    if (!disk.path.empty() && !disk.step(std::string("unlink ") + name)) return -1;
    return static_cast<int>(::syscall(SYS_unlinkat, directory, name, flags));
}

} // extern "C"

namespace {

// The log that the imaginary servers serve: it forks at `fork` into timelines 1 and 2.
constexpr lsn origin{3 * mib};
constexpr lsn fork_point{5 * mib + 300'000};
constexpr lsn log_end{6 * mib + 200'000};
const std::string history = "1\t0/5493E0\tno recovery target specified\n";

// The whole of a timeline from `origin` on, as if it had been so from the start.
std::vector<std::byte> make_wal(timeline_id timeline) {
    std::vector<std::byte> made;
    for (std::uint64_t at = origin.value; at < 8 * mib; ++at) {
        std::uint64_t mixed = at * 0x9E3779B97F4A7C15u;
        if (timeline.value == 2 && at >= fork_point.value) mixed ^= std::uint64_t{0x5A} << 56;
        made.push_back(static_cast<std::byte>(mixed >> 56));
    }
    return made;
}

walwire::bytes wal_bytes(timeline_id timeline, lsn from, lsn to) {
    static const std::vector<std::byte> kept[] = {make_wal({1}), make_wal({2})};
    return walwire::bytes(kept[timeline.value - 1]).subspan(from - origin, to - from);
}

// The highest positions that were reported durable, and whether the history was.
struct reports {
    timeline_id timeline;
    lsn flushed;
    bool history = false;
};

// Writes in runs of assorted sizes, some of which cross segments, and flushes now and then.
void stream(wal_directory& directory, timeline_id timeline, lsn from, lsn to, reports& seen) {
    constexpr std::size_t sizes[] = {100'000, 7, 400'000, 8192, 60'000, 65'507, 1, 700'000};
    std::size_t turn = 0;
    const auto report = [&] {
        if (seen.timeline != timeline) seen = {timeline, {}, seen.history};
        seen.flushed = std::max(seen.flushed, directory.flushed());
    };
    while (from < to) {
        const std::size_t run = std::min<std::uint64_t>(sizes[turn++ % 8], to - from);
        directory.write(timeline, from, wal_bytes(timeline, from, from + run));
        report();
        from = from + run;
        if (turn % 3 == 0) {
            const lsn end = directory.flush();
            CHECK(end == from);
            report();
        }
    }
}

// What a receiver does from wherever the directory says, up to the end of the log.
void receive(wal_directory& directory, reports& seen) {
    const auto found = directory.resume(size);
    resume_point at = found.value_or(resume_point{{1}, origin});
    if (at.timeline.value == 1) {
        if (at.start < fork_point) stream(directory, {1}, at.start, fork_point, seen);
        directory.end_timeline(fork_point);
        at = {{2}, wal::segment_start(fork_point, size)};
    }
    directory.add_history({2}, walwire::as_bytes(history));
    seen.history = true;
    stream(directory, {2}, at.start, log_end, seen);
    directory.finish();
    seen.flushed = std::max(seen.flushed, directory.flushed());
}

std::string whole(unsigned timeline, unsigned segment) {
    return std::string(
        std::string_view(wal::segment_name({.timeline = {timeline}, .number = {segment}}, size)));
}
std::string partial(unsigned timeline, unsigned segment) {
    return whole(timeline, segment) + ".partial";
}

bool holds_wal(const std::string& content, timeline_id timeline, lsn from, lsn to) {
    const auto expected = wal_bytes(timeline, from, to);
    return content.size() == mib &&
           std::memcmp(content.data(), expected.data(), expected.size()) == 0;
}

void check_complete(const std::string& path) {
    CHECK(holds_wal(read_file(path + '/' + whole(1, 3)), {1}, {3 * mib}, {4 * mib}));
    CHECK(holds_wal(read_file(path + '/' + whole(1, 4)), {1}, {4 * mib}, {5 * mib}));
    CHECK(holds_wal(read_file(path + '/' + partial(1, 5)), {1}, {5 * mib}, fork_point));
    CHECK(holds_wal(read_file(path + '/' + whole(2, 5)), {2}, {5 * mib}, {6 * mib}));
    CHECK(holds_wal(read_file(path + '/' + partial(2, 6)), {2}, {6 * mib}, log_end));
    CHECK(read_file(path + "/00000002.history") == history);
}

// That what was reported is there, in files that a restart goes on behind.
void check_kept(const std::string& path, const reports& seen) {
    if (seen.history) CHECK(read_file(path + "/00000002.history") == history);
    wal_directory directory(path);
    const auto found = directory.resume(size);
    CHECK(directory.notes().empty());
    if (!seen.flushed.valid() || seen.flushed <= origin) return;
    if (seen.timeline.value == 2 && seen.flushed == wal::segment_start(fork_point, size)) return;
    REQUIRE(found);
    CHECK(found->timeline >= seen.timeline);
    CHECK(found->start >= wal::segment_start(seen.flushed, size));
    for (lsn at = origin; at < seen.flushed; at = wal::segment_start(at, size) + mib) {
        const lsn start = wal::segment_start(at, size);
        const unsigned number = static_cast<unsigned>(start.value / mib);
        const unsigned timeline = number >= 5 ? seen.timeline.value : 1;
        std::string content = read_file(path + '/' + whole(timeline, number));
        if (content.empty()) content = read_file(path + '/' + partial(timeline, number));
        CHECK(holds_wal(content, {timeline}, start, std::min(start + mib, seen.flushed)));
    }
}

enum class crash { of_the_program, of_the_power, of_the_power_after_names };

// Puts what the crash left into a fresh directory.
void leave(crash kind, const std::string& into) {
    const auto names = kind == crash::of_the_power ? disk.names : disk.names_now();
    for (const auto& [name, inode] : names)
        write_file(into + '/' + name, kind == crash::of_the_program
                                          ? read_file(disk.path + '/' + name)
                                          : disk.synced[inode]);
}

reports run_until_stopped(const std::string& path) {
    reports seen;
    try {
        wal_directory directory(path);
        receive(directory, seen);
    } catch (const failure&) {
    }
    return seen;
}

std::string message_of(auto call) {
    try {
        call();
    } catch (const failure& thrown) {
        return thrown.what();
    }
    return "nothing was thrown";
}

// Begins a segment and leaves it open.
void begin(wal_directory& directory, lsn at = origin) {
    directory.write({1}, at, wal_bytes({1}, at, at + 10));
}

} // namespace

TEST_CASE("a log that is received whole stands in the files that pg_receivewal would write") {
    const temporary_directory home;
    reports seen;
    {
        wal_directory directory(home.path());
        receive(directory, seen);
    }
    check_complete(home.path());
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& each : fs::directory_iterator(home.path())) ++files;
    CHECK(files == 6); // no temporary one among them
    CHECK(seen.flushed == log_end);
    CHECK(read_file(home / partial(1, 5)).substr(300'000).find_first_not_of('\0') ==
          std::string::npos);
}

TEST_CASE("after a crash at any step nothing reported is lost and the log can be completed") {
    std::size_t steps = 0;
    {
        const temporary_directory home;
        const watch watching(home.path());
        run_until_stopped(home.path());
        steps = disk.log.size();
    }
    REQUIRE(steps > 40);
    for (const crash kind :
         {crash::of_the_program, crash::of_the_power, crash::of_the_power_after_names}) {
        for (std::size_t step = 0; step < steps; ++step) {
            CAPTURE(static_cast<int>(kind));
            CAPTURE(step);
            const temporary_directory home;
            const temporary_directory after;
            reports seen;
            {
                const watch watching(home.path());
                disk.stop_at = step;
                seen = run_until_stopped(home.path());
                CHECK(disk.stopped());
                leave(kind, after.path());
            }
            check_kept(after.path(), seen);
            reports again;
            {
                wal_directory directory(after.path());
                receive(directory, again);
            }
            check_complete(after.path());
            CHECK(again.flushed == log_end);
        }
    }
}

TEST_CASE(
    "a failure at any step is thrown, reports nothing that is not durable, and can be resumed") {
    std::size_t steps = 0;
    {
        const temporary_directory home;
        const watch watching(home.path());
        run_until_stopped(home.path());
        steps = disk.log.size();
    }
    for (std::size_t step = 0; step < steps; ++step) {
        const temporary_directory home;
        const temporary_directory after;
        reports seen;
        std::string message;
        {
            const watch watching(home.path());
            disk.fail_at = step;
            disk.failure = step % 2 == 0 ? EIO : ENOSPC;
            message = message_of([&] {
                wal_directory directory(home.path());
                try {
                    receive(directory, seen);
                } catch (const failure& thrown) {
                    CHECK(thrown.code() == disk.failure);
                    seen.flushed = std::max(seen.flushed, directory.flushed());
                    throw;
                }
            });
            leave(crash::of_the_power, after.path());
            CAPTURE(disk.log[step]);
            CHECK(message.find(home.path()) != std::string::npos);
            CHECK(message.find(posix::reason(disk.failure)) != std::string::npos);
        }
        check_kept(after.path(), seen);
        reports again;
        {
            wal_directory directory(home.path()); // where the failure was
            receive(directory, again);
        }
        check_complete(home.path());
    }
}

TEST_CASE("a segment is synced before it is renamed, and the directory after it") {
    const temporary_directory home;
    const watch watching(home.path());
    {
        wal_directory directory(home.path());
        directory.resume(size);
        directory.write({1}, origin, wal_bytes({1}, origin, origin + mib));
        CHECK(directory.flushed() == origin + mib);
    }
    const std::string directory = fs::path(home.path()).filename();
    const std::string name = partial(1, 3);
    const std::vector<std::string> expected{
        "unlink " + name + ".tmp",
        "create " + name + ".tmp",
        "allocate " + name + ".tmp",
        "fsync " + name + ".tmp",
        "rename " + name + ".tmp " + name,
        "fsync " + directory,
        "pwrite " + name,
        "fsync " + name,
        "rename " + name + ' ' + whole(1, 3),
        "fsync " + directory,
    };
    CHECK(disk.log == expected);
}

TEST_CASE("what somebody else left is synced before it is relied on") {
    const temporary_directory home;
    write_file(home / partial(1, 3), std::string(mib, 'x'));
    write_file(home / "00000002.history", history);
    const watch watching(home.path());
    wal_directory directory(home.path());
    directory.resume(size);
    begin(directory);
    directory.add_history({2}, walwire::as_bytes(history));
    const std::string parent = fs::path(home.path()).filename();
    const std::vector<std::string> expected{
        "allocate " + partial(1, 3), "fsync " + partial(1, 3), "fsync " + parent,
        "fsync 00000002.history",    "fsync " + parent,
    };
    CHECK(disk.log == expected);
}

TEST_CASE("small runs are collected and reported as written only when the system has them") {
    const temporary_directory home;
    const watch watching(home.path());
    wal_directory directory(home.path());
    directory.resume(size);
    for (std::uint64_t i = 0; i < 1000; ++i)
        directory.write({1}, origin + i * 100,
                        wal_bytes({1}, origin + i * 100, origin + (i + 1) * 100));
    CHECK(directory.written() == origin);
    CHECK(directory.write_out() == origin + 100'000);
    CHECK(directory.flushed() == origin);
    CHECK(directory.flush() == origin + 100'000);
    const auto writes = [](const std::string& step) { return step.starts_with("pwrite"); };
    CHECK(std::ranges::count_if(disk.log, writes) == 1);
    CHECK(disk.log.back() == "fdatasync " + partial(1, 3));
    CHECK(directory.flush() == origin + 100'000); // nothing new, nothing to do
    CHECK(std::ranges::count_if(disk.log, [](auto& s) { return s.starts_with("fdatasync"); }) == 1);
}

TEST_CASE("after a failed sync no later one is believed") {
    const temporary_directory home;
    const watch watching(home.path());
    wal_directory directory(home.path());
    directory.resume(size);
    begin(directory);
    disk.fail_at = disk.log.size() + 1; // the write, then the sync
    CHECK_THROWS_AS(directory.flush(), failure);
    const std::string first = message_of([&] { directory.flush(); });
    CHECK(first == "could not sync file \"" + (home / partial(1, 3)) + "\": Input/output error");
    CHECK(message_of([&] { begin(directory, origin + 10); }) == first);
    CHECK(directory.flushed() == origin);
}

TEST_CASE("where to resume follows from the names") {
    struct file {
        std::string name;
        std::size_t size = mib;
    };
    struct scene {
        const char* what;
        std::vector<file> files;
        std::optional<resume_point> expected;
        std::size_t notes = 0;
    };
    const auto at = [](unsigned timeline, unsigned segment) {
        return resume_point{{timeline}, {std::uint64_t{segment} * mib}};
    };
    const std::vector<scene> scenes{
        {"an empty directory", {}, std::nullopt},
        {"other files only",
         {{"00000002.history", 40}, {"README", 5}, {whole(1, 3) + ".00000028.backup", 9}},
         std::nullopt},
        {"a whole segment", {{whole(1, 3)}}, at(1, 4)},
        {"a partial segment", {{partial(1, 3)}}, at(1, 3)},
        {"an empty partial segment", {{partial(1, 3), 0}}, at(1, 3)},
        {"the highest counts", {{whole(1, 3)}, {whole(1, 9)}, {whole(1, 4)}}, at(1, 10)},
        {"a partial behind whole ones", {{whole(1, 3)}, {partial(1, 4)}}, at(1, 4)},
        {"both of one segment", {{whole(1, 3)}, {partial(1, 3)}}, at(1, 4)},
        {"the newest timeline of a segment", {{partial(1, 5)}, {whole(2, 5)}}, at(2, 6)},
        {"a newer timeline's partial", {{whole(1, 5)}, {partial(2, 5)}}, at(2, 5)},
        {"a higher segment of an older timeline", {{whole(2, 5)}, {whole(1, 6)}}, at(1, 7)},
        {"one of odd size is passed over", {{whole(1, 3)}, {whole(1, 4), 1000}}, at(1, 4), 1},
        {"an empty one too", {{whole(1, 4), 0}}, std::nullopt, 1},
        {"one that is too large", {{whole(1, 3)}, {whole(1, 4), 2 * mib}}, at(1, 4), 1},
        {"compressed by gzip", {{whole(1, 3) + ".gz", 77}}, at(1, 4)},
        {"compressed by lz4", {{whole(1, 3)}, {whole(1, 4) + ".lz4", 77}}, at(1, 5)},
        {"a compressed partial",
         {{whole(1, 3) + ".gz"}, {whole(1, 4) + ".gz.partial", 5}},
         at(1, 4)},
        {"a temporary file", {{whole(1, 3)}, {partial(1, 4) + ".tmp"}}, at(1, 4)},
        {"lower-case names", {{"00000001000000000000000a"}}, std::nullopt},
        {"timeline 0", {{whole(0, 7)}}, std::nullopt},
        {"names of another segment size", {{"0000000100000000000FFFFF"}}, std::nullopt},
        {"past 4 GiB", {{"000000010000000100000000"}}, at(1, 4097)},
    };
    for (const scene& each : scenes) {
        CAPTURE(each.what);
        const temporary_directory home;
        for (const file& made : each.files) {
            write_file(home / made.name, "");
            fs::resize_file(home / made.name, made.size);
        }
        wal_directory directory(home.path());
        const auto found = directory.resume(size);
        CHECK(found.has_value() == each.expected.has_value());
        if (found && each.expected) {
            CHECK(found->timeline == each.expected->timeline);
            CHECK(found->start == each.expected->start);
        }
        CHECK(directory.notes().size() == each.notes);
    }
}

TEST_CASE("whose log is here is what the newest file says that says anything") {
    const auto segment_of = [](std::uint64_t system, std::uint64_t number) {
        wal_builder log(number);
        log.add(1000);
        std::vector<std::byte> made = log.segment(number);
        std::memcpy(made.data() + 24, &system, sizeof system);
        return std::string(walwire::as_text(made));
    };
    const temporary_directory home;
    const wal_directory directory(home.path());
    CHECK_FALSE(directory.system_identifier());
    write_file(home / "00000002.history", segment_of(1, 1));
    write_file(home / "000000010000000000000009.tmp", segment_of(1, 1));
    CHECK_FALSE(directory.system_identifier());
    write_file(home / partial(1, 3), segment_of(30, 3));
    CHECK(directory.system_identifier() == 30);
    write_file(home / whole(1, 2), segment_of(20, 2));
    CHECK(directory.system_identifier() == 30);
    write_file(home / whole(1, 3), segment_of(31, 3)); // the whole file before the partial one
    CHECK(directory.system_identifier() == 31);
    write_file(home / partial(2, 3), segment_of(32, 3)); // and the newest timeline before both
    CHECK(directory.system_identifier() == 32);

    // Those that say nothing: empty, zeros, no page, cut short, packed, no file.
    write_file(home / whole(1, 4), "");
    CHECK(directory.system_identifier() == 32);
    write_file(home / partial(1, 5), std::string(mib, '\0'));
    CHECK(directory.system_identifier() == 32);
    write_file(home / whole(1, 6), std::string(mib, 'x'));
    CHECK(directory.system_identifier() == 32);
    write_file(home / whole(1, 7), segment_of(70, 7).substr(0, 39));
    CHECK(directory.system_identifier() == 32);
    write_file(home / (whole(1, 8) + ".gz"), segment_of(80, 8));
    write_file(home / (whole(1, 8) + ".lz4.partial"), segment_of(80, 8));
    CHECK(directory.system_identifier() == 32);
    fs::create_directory(home / whole(1, 9));
    fs::create_symlink(home / whole(1, 3), home / whole(2, 9));
    CHECK(directory.system_identifier() == 32);

    // Another cluster's segments may be of another size, and so have numbers that ours have not.
    write_file(home / "000000010000000000000FFF", segment_of(90, 3).substr(0, 100));
    CHECK(directory.system_identifier() == 90);
}

TEST_CASE("a partial segment of the right size is written over, one of another size refused") {
    const temporary_directory home;
    const std::string name = home / partial(1, 3);
    for (const std::size_t before :
         {std::size_t{mib}, std::size_t{0}, std::size_t{5}, std::size_t{2 * mib}}) {
        write_file(name, std::string(before, 'x'));
        wal_directory directory(home.path());
        CHECK(directory.resume(size)->start == origin);
        if (before == 0 || before == mib) {
            begin(directory);
            directory.finish();
            CHECK(holds_wal(read_file(name), {1}, origin, origin + 10));
        } else {
            CHECK(message_of([&] { begin(directory); }) ==
                  "file \"" + name + "\" has " + std::to_string(before) +
                      " bytes; it should have 0 or 1048576");
            CHECK(read_file(name) == std::string(before, 'x'));
        }
    }
}

TEST_CASE("a whole segment is never overwritten, compressed or not") {
    for (const char* suffix : {"", ".gz", ".lz4"}) {
        const temporary_directory home;
        const std::string name = home / (whole(1, 3) + suffix);
        write_file(name, "precious");
        wal_directory directory(home.path());
        directory.resume(size);
        CHECK(message_of([&] { begin(directory); }) ==
              "will not write segment \"" + name + "\": it exists");
        CHECK(read_file(name) == "precious");
        CHECK_FALSE(fs::exists(home / partial(1, 3)));
    }
    // One that appears while the segment is written, as nobody but walwire minds the lock.
    const temporary_directory home;
    wal_directory directory(home.path());
    directory.resume(size);
    begin(directory);
    write_file(home / whole(1, 3), "precious");
    CHECK(message_of([&] {
              directory.write({1}, origin + 10, wal_bytes({1}, origin + 10, origin + mib));
          }) == "could not rename file \"" + (home / partial(1, 3)) + "\": File exists");
    CHECK(read_file(home / whole(1, 3)) == "precious");
    CHECK(directory.flushed() == origin);
}

TEST_CASE("links and other strangers under our names are not followed") {
    const temporary_directory home;
    const temporary_directory elsewhere;
    const std::string victim = elsewhere / "victim";
    write_file(victim, std::string(mib, 'v'));
    fs::create_symlink(victim, home / partial(1, 3));
    fs::create_symlink(victim, home / "00000002.history");
    fs::create_symlink(victim, home / "00000003.history.tmp");
    fs::create_symlink(victim, home / (partial(1, 4) + ".tmp"));
    REQUIRE(::mkfifo((home / partial(1, 5)).c_str(), 0600) == 0);
    fs::create_directory(home / partial(1, 6));
    wal_directory directory(home.path());
    directory.resume(size);
    CHECK(message_of([&] { begin(directory); }) == "could not open file \"" +
                                                       (home / partial(1, 3)) +
                                                       "\": Too many levels of symbolic links");
    CHECK_THROWS_AS(directory.add_history({2}, walwire::as_bytes(history)), failure);
    directory.add_history({3}, walwire::as_bytes(history)); // replaces the link, not its target
    CHECK_FALSE(fs::is_symlink(home / "00000003.history"));
    for (const unsigned segment : {5u, 6u}) {
        wal_directory other((fs::create_directory(home / "other"), home / "other"));
        fs::remove_all(home / ("other/" + partial(1, segment)));
        fs::rename(home / partial(1, segment), home / ("other/" + partial(1, segment)));
        other.resume(size);
        CHECK_THROWS_AS(begin(other, {std::uint64_t{segment} * mib}), failure);
    }
    {
        wal_directory other((fs::create_directory(home / "third"), home / "third"));
        fs::rename(home / (partial(1, 4) + ".tmp"), home / ("third/" + partial(1, 4) + ".tmp"));
        other.resume(size);
        begin(other, {4 * mib});
        CHECK_FALSE(fs::is_symlink(home / ("third/" + partial(1, 4))));
    }
    CHECK(read_file(victim) == std::string(mib, 'v'));
}

TEST_CASE(
    "files are the owner's, or the group's to read when that is asked for, whatever the umask") {
    for (const auto access : {file_access::owner, file_access::group}) {
        for (const mode_t mask : {mode_t{0}, mode_t{022}, mode_t{077}}) {
            const temporary_directory home;
            const mode_t before = ::umask(mask);
            wal_directory directory(home.path());
            directory.resume(size, access);
            begin(directory);
            directory.add_history({2}, walwire::as_bytes(history));
            ::umask(before);
            for (const std::string& name : {partial(1, 3), std::string("00000002.history")}) {
                struct stat found {};
                REQUIRE(::stat((home / name).c_str(), &found) == 0);
                CHECK((found.st_mode & 0777) == (access == file_access::owner ? 0600u : 0640u));
            }
        }
    }
}

TEST_CASE("descriptors are closed in programs that are started") {
    const temporary_directory home;
    wal_directory directory(home.path());
    directory.resume(size);
    begin(directory);
    std::size_t ours = 0;
    for (const auto& each : fs::directory_iterator("/proc/self/fd")) {
        std::error_code ignored;
        if (!fs::read_symlink(each, ignored).string().starts_with(home.path())) continue;
        ++ours;
        CHECK((::fcntl(std::stoi(each.path().filename()), F_GETFD) & FD_CLOEXEC) != 0);
    }
    CHECK(ours == 2);
}

TEST_CASE("a directory has one writer") {
    const temporary_directory home;
    {
        wal_directory directory(home.path());
        CHECK(message_of([&] { wal_directory second(home.path()); }) ==
              "directory \"" + home.path() + "\" is in use by another walwire");
    }
    wal_directory again(home.path()); // the lock goes with its holder
    CHECK_FALSE(again.resume(size));
}

TEST_CASE("a directory that cannot be used is refused when it is opened") {
    const temporary_directory home;
    CHECK(message_of([&] { wal_directory directory(home / "none"); }) ==
          "could not open directory \"" + (home / "none") + "\": No such file or directory");
    write_file(home / "file", "");
    CHECK(message_of([&] { wal_directory directory(home / "file"); }) ==
          "could not open directory \"" + (home / "file") + "\": Not a directory");

    const bool root = ::geteuid() == 0;
    fs::permissions(home.path(), static_cast<fs::perms>(0555));
    if (root) REQUIRE(::seteuid(65534) == 0);
    const std::string message = message_of([&] { wal_directory directory(home.path()); });
    if (root) REQUIRE(::seteuid(0) == 0);
    fs::permissions(home.path(), fs::perms::owner_all);
    CHECK(message == "could not write into directory \"" + home.path() + "\": Permission denied");
}

TEST_CASE("a full disk shows when a segment is begun, and leaves nothing behind") {
    const temporary_directory home;
    const watch watching(home.path());
    wal_directory directory(home.path());
    directory.resume(size);
    directory.write({1}, origin, wal_bytes({1}, origin, origin + mib));
    disk.allocation_failure = ENOSPC;
    CHECK(message_of([&] { begin(directory, origin + mib); }) ==
          "could not reserve space for file \"" + (home / (partial(1, 4) + ".tmp")) +
              "\": No space left on device");
    CHECK(directory.flushed() == origin + mib);
    CHECK(disk.names_now().size() == 1);
    disk.allocation_failure = 0; // somebody made room
    begin(directory, origin + mib);
    CHECK(directory.flush() == origin + mib + 10);
}

TEST_CASE("on a file system that is really full the same happens") {
    // Another mount namespace, of which nothing is left when the child is gone.
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const char* const place = "/tmp";
        if (::unshare(CLONE_NEWNS) != 0 ||
            ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            ::mount("tmpfs", place, "tmpfs", 0, "size=2560k") != 0)
            ::_exit(77);
        int status = 1;
        try {
            wal_directory directory(place);
            directory.resume(size);
            directory.write({1}, origin, wal_bytes({1}, origin, origin + 2 * mib));
            status = 2;
            begin(directory, origin + 2 * mib);
            status = 3;
        } catch (const failure& thrown) {
            if (status == 2 && thrown.code() == ENOSPC && fs::exists(place + ('/' + whole(1, 4))) &&
                !fs::exists(place + ('/' + partial(1, 5))))
                status = 0;
        }
        ::_exit(status);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        MESSAGE("not tried: no right to mount here");
    else
        CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("where space cannot be reserved zeros are written") {
    for (const int error : {EINVAL, EOPNOTSUPP}) {
        const temporary_directory home;
        const watch watching(home.path());
        disk.allocation_failure = error;
        wal_directory directory(home.path());
        directory.resume(size);
        begin(directory);
        directory.finish();
        const std::string content = read_file(home / partial(1, 3));
        CHECK(holds_wal(content, {1}, origin, origin + 10));
        CHECK(content.find_first_not_of('\0', 10) == std::string::npos);
        // What a partial segment holds is not zeroed when it is used again.
        begin(directory);
        CHECK(std::ranges::count_if(disk.log, [](auto& s) { return s.starts_with("pwrite"); }) ==
              5);
    }
}

TEST_CASE("an interrupted reservation is tried again") {
    const temporary_directory home;
    const watch watching(home.path());
    disk.allocation_failure = EINTR;
    wal_directory directory(home.path());
    directory.resume(size);
    // Another thread would be needed to end an endless interruption; a failing step ends it as
    // well.
    disk.fail_at = 20;
    CHECK_THROWS_AS(begin(directory), failure);
    CHECK(std::ranges::count(disk.log, "allocate " + partial(1, 3) + ".tmp") > 10);
}

TEST_CASE("WAL that does not follow what is there is refused and changes nothing") {
    const temporary_directory home;
    wal_directory directory(home.path());
    CHECK(message_of([&] { begin(directory); }) ==
          "the segment size of \"" + home.path() + "\" is not known yet");
    directory.finish(); // nothing to finish
    directory.resume(size);
    CHECK(message_of([&] { begin(directory, origin + 1); }) ==
          "WAL at 0/300001 on timeline 1 does not begin a segment, and none is open for it");
    CHECK_THROWS_AS(directory.write({0}, origin, wal_bytes({1}, origin, origin + 1)), failure);
    begin(directory);
    CHECK(message_of([&] { begin(directory, origin + 11); }) ==
          "WAL at 0/30000B on timeline 1 does not begin a segment, and none is open for it");
    CHECK(message_of([&] { begin(directory, origin + mib); }) ==
          "WAL at 0/400000 on timeline 1 does not follow 0/30000A on timeline 1");
    directory.write({2}, origin, wal_bytes({2}, origin, origin + 5));
    CHECK(message_of([&] { begin(directory); }) ==
          "WAL at 0/300000 on timeline 1 does not follow 0/300005 on timeline 2");
    CHECK(directory.flush() == origin + 5);
    CHECK(message_of([&] { directory.resume(*wal::segment_size::of(2 * mib)); }) ==
          "the server's segment size has changed");
}

TEST_CASE("a stream may begin its segment again") {
    const temporary_directory home;
    wal_directory directory(home.path());
    directory.resume(size);
    directory.write({1}, origin, wal_bytes({1}, origin, origin + 500'000));
    CHECK(directory.resume(size)->start == origin);
    directory.write({1}, origin, wal_bytes({1}, origin, origin + 50));
    CHECK(directory.write_out() == origin + 50);
    directory.write({1}, origin + 50, wal_bytes({1}, origin + 50, origin + mib + 3));
    directory.finish();
    CHECK(holds_wal(read_file(home / whole(1, 3)), {1}, origin, origin + mib));
    CHECK(directory.resume(size)->start == origin + mib);
}

TEST_CASE("what lies behind a switch point is erased, and whole segments stay") {
    const temporary_directory home;
    wal_directory directory(home.path());
    directory.resume(size);
    directory.end_timeline(origin); // nothing was streamed: nothing to end
    directory.write({1}, origin, wal_bytes({1}, origin, origin + mib + 1000));
    CHECK(message_of([&] { directory.end_timeline(origin + mib + 1001); }) ==
          "the timeline ends at 0/4003E9, but its log in \"" + home.path() + "\" ends at 0/4003E8");
    CHECK(message_of([&] { directory.end_timeline(origin + (mib - 1)); }) ==
          "the timeline ends at 0/3FFFFF, but \"" + home.path() +
              "\" has whole segments of it up to 0/400000");
    directory.end_timeline(origin + mib + 400);
    const std::string content = read_file(home / partial(1, 4));
    CHECK(holds_wal(content, {1}, origin + mib, origin + mib + 400));
    CHECK(content.find_first_not_of('\0', 400) == std::string::npos);
    CHECK(directory.flushed() == origin + mib + 400);
    CHECK_THROWS_AS(begin(directory, origin + mib + 400), failure);
    directory.write({2}, origin + mib, wal_bytes({2}, origin + mib, origin + mib + 1));
    CHECK(fs::exists(home / partial(2, 4)));
    CHECK(read_file(home / partial(1, 4)) == content);
}

TEST_CASE("what is erased is durably erased") {
    const temporary_directory home;
    const watch watching(home.path());
    wal_directory directory(home.path());
    directory.resume(size);
    directory.write({1}, origin, wal_bytes({1}, origin, origin + 1000));
    directory.flush();
    directory.end_timeline(origin + 999);
    CHECK(disk.log[disk.log.size() - 2] == "pwrite " + partial(1, 3));
    CHECK(disk.log.back() == "fsync " + partial(1, 3));
}

TEST_CASE("what an earlier connection or program left behind a switch point is erased as well") {
    for (const bool same_program : {false, true}) {
        for (const std::size_t again : {std::size_t{400}, std::size_t{700}}) {
            const temporary_directory home;
            const std::string name = home / partial(1, 3);
            write_file(name, std::string(mib, 'x')); // up to the segment's end
            {
                std::optional<wal_directory> directory(home.path());
                directory->resume(size);
                begin(*directory);
                if (!same_program) {
                    directory.emplace(home / "");
                    CHECK(directory->resume(size)->start == origin);
                }
                directory->write({1}, origin, wal_bytes({1}, origin, origin + again));
                directory->end_timeline(origin + 400);
                CHECK(directory->written() == origin + 400);
                CHECK(directory->flushed() == origin + 400);
            }
            const std::string content = read_file(name);
            CHECK(holds_wal(content, {1}, origin, origin + 400));
            CHECK(content.find_first_not_of('\0', 400) == std::string::npos);
        }
    }
}

TEST_CASE("a segment that is filled up ends in zeros, whatever stood there before") {
    const temporary_directory home;
    write_file(home / partial(1, 3), std::string(mib, 'x'));
    wal_directory directory(home.path());
    directory.resume(size);
    begin(directory);
    directory.fill_up();
    CHECK(directory.flushed() == origin + mib);
    const std::string content = read_file(home / whole(1, 3));
    CHECK(holds_wal(content, {1}, origin, origin + 10));
    CHECK(content.find_first_not_of('\0', 10) == std::string::npos);
}

TEST_CASE("a segment of our own making is not written twice where a timeline ends") {
    const temporary_directory home;
    const watch watching(home.path());
    wal_directory directory(home.path());
    directory.resume(size);
    begin(directory);
    directory.flush();
    const std::size_t before = disk.log.size();
    directory.end_timeline(origin + 10);
    CHECK(disk.log.size() == before);
}

TEST_CASE("a timeline may end on a boundary") {
    const temporary_directory home;
    wal_directory directory(home.path());
    directory.resume(size);
    directory.write({1}, origin, wal_bytes({1}, origin, origin + mib));
    directory.end_timeline(origin + mib);
    directory.write({2}, origin + mib, wal_bytes({1}, origin + mib, origin + mib + 9));
    CHECK(directory.flush() == origin + mib + 9);
    CHECK(fs::exists(home / whole(1, 3)));
    CHECK(fs::exists(home / partial(2, 4)));
    CHECK_FALSE(fs::exists(home / partial(1, 4)));
}

TEST_CASE("a history file is written once, and may come again") {
    const temporary_directory home;
    wal_directory directory(home.path());
    directory.resume(size);
    CHECK(directory.has_history({1}));
    CHECK_FALSE(directory.has_history({2}));
    write_file(home / "00000002.history.tmp", "half of");
    directory.add_history({2}, walwire::as_bytes(history));
    CHECK(directory.has_history({2}));
    CHECK(read_file(home / "00000002.history") == history);
    CHECK_FALSE(fs::exists(home / "00000002.history.tmp"));
    directory.add_history({2}, walwire::as_bytes(history));
    for (const std::string& other : {history + "x", history.substr(1), std::string()})
        CHECK(message_of([&] { directory.add_history({2}, walwire::as_bytes(other)); }) ==
              "history file \"" + (home / "00000002.history") + "\" exists and says otherwise");
    CHECK(read_file(home / "00000002.history") == history);
    {
        const watch watching(home.path());
        disk.fail_at = 3; // unlink, create, write, sync
        CHECK_THROWS_AS(directory.add_history({3}, walwire::as_bytes(history)), failure);
        CHECK(disk.log[3] == "fsync 00000003.history.tmp");
        CHECK(disk.log.back() == "unlink 00000003.history.tmp");
    }
}

TEST_CASE("a history file's name is made from its timeline") {
    const temporary_directory home;
    wal_directory directory(home.path());
    directory.resume(size);
    directory.add_history({0xABCDEF01}, {});
    CHECK(fs::exists(home / "ABCDEF01.history"));
}

TEST_CASE("a finished directory can be gone on with") {
    const temporary_directory home;
    wal_directory directory(home.path());
    directory.resume(size);
    begin(directory);
    directory.finish();
    directory.finish();
    CHECK(directory.flushed() == origin + 10);
    CHECK_THROWS_AS(begin(directory, origin + 10), failure); // the file is closed
    begin(directory);
    CHECK(directory.flush() == origin + 10);
}
