#include "backup_wal.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <optional>

#include "failure.hpp"
#include "temporary_directory.hpp"

using namespace posix_test;
using posix::backup_directory;
using posix::file_access;
using walwire::lsn;
using walwire::timeline_id;
namespace fs = std::filesystem;
namespace wal = walwire::wal;

namespace {

constexpr std::uint32_t mib = 1u << 20;
const wal::segment_size size = *wal::segment_size::of(mib);

// Two segments and a bit of log from 0/200000 on, in runs that heed no boundary.
std::string write_log(posix::backup_wal& into) {
    std::string log(2 * mib + 1000, 'x');
    for (std::size_t i = 0; i < log.size(); ++i) log[i] = static_cast<char>(1 + i % 251);
    constexpr std::size_t run = 100'000;
    for (std::size_t at = 0; at < log.size(); at += run)
        into.write({2}, lsn{2 * mib + at},
                   walwire::as_bytes(std::string_view(log).substr(at, run)));
    return log;
}

} // namespace

TEST_CASE("in a directory there are whole segments, none of which is to be archived again") {
    const temporary_directory top;
    backup_directory backup(top / "b", file_access::group, true);
    posix::wal_in_directory into(backup, size, file_access::group);
    into.history({2}, walwire::as_bytes("1\t0/200000\tpromoted\n"));
    const std::string log = write_log(into);
    CHECK(into.flushed() == lsn{4 * mib});
    into.finish();

    const std::string pg_wal = top / "b/pg_wal/";
    CHECK(read_file(pg_wal + "000000020000000000000002") == log.substr(0, mib));
    CHECK(read_file(pg_wal + "000000020000000000000003") == log.substr(mib, mib));
    CHECK(read_file(pg_wal + "000000020000000000000004") ==
          log.substr(2 * mib) + std::string(mib - 1000, '\0'));
    CHECK(read_file(pg_wal + "00000002.history") == "1\t0/200000\tpromoted\n");
    for (const char* const name : {"000000020000000000000002", "000000020000000000000003",
                                   "000000020000000000000004", "00000002.history"})
        CHECK(fs::file_size(pg_wal + "archive_status/" + name + ".done") == 0);
    const auto count = [](const std::string& path) {
        return std::distance(fs::directory_iterator(path), fs::directory_iterator());
    };
    CHECK(count(pg_wal) == 5);
    CHECK(count(pg_wal + "archive_status") == 4);
    CHECK(fs::status(pg_wal + "000000020000000000000004").permissions() ==
          static_cast<fs::perms>(0640));
}

TEST_CASE("a log that ends with a segment has no further one") {
    const temporary_directory top;
    backup_directory backup(top / "b", file_access::owner, true);
    posix::wal_in_directory into(backup, size, file_access::owner);
    const std::string log(mib, 'x');
    into.write({1}, lsn{mib}, walwire::as_bytes(log));
    into.finish();
    CHECK(read_file(top / "b/pg_wal/000000010000000000000001") == log);
    CHECK_FALSE(fs::exists(top / "b/pg_wal/000000010000000000000002"));
    CHECK_FALSE(fs::exists(top / "b/pg_wal/000000010000000000000002.partial"));
}

TEST_CASE("in a tar there are the same files") {
    const temporary_directory top;
    std::string log;
    {
        backup_directory backup(top / "b", file_access::owner, true);
        posix::wal_in_tar into(backup, size, file_access::owner);
        into.history({2}, walwire::as_bytes("1\t0/200000\tpromoted\n"));
        log = write_log(into);
        CHECK(into.flushed() == lsn{4 * mib});
        into.finish();
    }
    // By a tar of somebody else's.
    fs::create_directory(top / "out");
    REQUIRE(::system(("tar -xf " + (top / "b/pg_wal.tar") + " -C " + (top / "out")).c_str()) == 0);
    CHECK(read_file(top / "out/000000020000000000000002") == log.substr(0, mib));
    CHECK(read_file(top / "out/000000020000000000000003") == log.substr(mib, mib));
    CHECK(read_file(top / "out/000000020000000000000004") ==
          log.substr(2 * mib) + std::string(mib - 1000, '\0'));
    CHECK(read_file(top / "out/00000002.history") == "1\t0/200000\tpromoted\n");
    for (const char* const name : {"000000020000000000000002", "000000020000000000000003",
                                   "000000020000000000000004", "00000002.history"})
        CHECK(fs::file_size(top / ("out/archive_status/" + std::string(name) + ".done")) == 0);
}

TEST_CASE("a tar of a log that never came is empty") {
    const temporary_directory top;
    backup_directory backup(top / "b", file_access::owner, true);
    posix::wal_in_tar into(backup, size, file_access::owner);
    into.finish();
    CHECK(read_file(top / "b/pg_wal.tar") == std::string(1024, '\0'));
}
