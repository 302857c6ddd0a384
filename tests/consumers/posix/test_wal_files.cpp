#include "wal_files.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "failure.hpp"
#include "temporary_directory.hpp"
#include "wal_builder.hpp"

namespace {

using posix::wal_files;
using posix_test::temporary_directory;
using posix_test::wal_builder;
using posix_test::write_file;

constexpr walwire::timeline_id first{1};

std::string name_of(std::uint64_t number) {
    const auto size = *walwire::wal::segment_size::of(wal_builder::segment_size);
    return std::string(std::string_view(
        walwire::wal::segment_name({.timeline = first, .number = {number}}, size)));
}
void save(const temporary_directory& at, const wal_builder& log, std::uint64_t number) {
    const auto content = log.segment(number);
    write_file(at / name_of(number), walwire::as_text(content));
}
wal_builder make_log() {
    wal_builder log;
    for (int i = 0; i < 3; ++i) {
        log.add(1000);
        log.switch_segment();
    }
    return log;
}

// The errno behind what it throws; -1 where it throws nothing.
template <class Call>
int trouble(Call&& call) {
    try {
        call();
    } catch (const posix::failure& wrong) {
        return wrong.code();
    }
    return -1;
}

} // namespace

TEST_CASE("segments and histories are files of this directory, and links are not followed") {
    const wal_builder log = make_log();
    const temporary_directory at, outside;
    save(at, log, 1);
    save(at, log, 2);
    // What lies elsewhere is of another cluster, which must not show.
    wal_builder other = make_log();
    other.at(other.start() + (2u << 20) + 24) ^= std::byte{1};
    save(outside, other, 3);
    write_file(outside / "history", "1\t0/300000\tno\n");
    std::filesystem::create_symlink(outside / name_of(3), at / name_of(3));
    std::filesystem::create_symlink(outside / "history", at / "00000002.history");
    std::filesystem::create_symlink("nowhere", at / "00000003.history");
    write_file(at / "00000004.history", "1\t0/300000\tno\n");

    wal_files files(at.path());
    CHECK(files.cluster().system_identifier == wal_builder::system_identifier);
    CHECK(files.open(first, {1}) != nullptr);
    CHECK(files.open(first, {2}) != nullptr);
    CHECK(trouble([&] { static_cast<void>(files.open(first, {3})); }) == ELOOP);
    CHECK(trouble([&] { static_cast<void>(files.history({2})); }) == ELOOP);
    CHECK(trouble([&] { static_cast<void>(files.history({3})); }) == ELOOP);
    CHECK(files.history({4}) == "1\t0/300000\tno\n");
    CHECK_FALSE(files.history({5}).has_value());
    // Nor where a link takes a segment's place later.
    std::filesystem::remove(at / name_of(1));
    std::filesystem::create_symlink(outside / name_of(3), at / name_of(1));
    CHECK(trouble([&] { static_cast<void>(files.open(first, {1})); }) == ELOOP);
}

TEST_CASE("what is no file is no segment, and nobody waits for it") {
    const wal_builder log = make_log();
    const temporary_directory at;
    save(at, log, 1);
    REQUIRE(::mkfifo((at / name_of(2)).c_str(), 0600) == 0);
    std::filesystem::create_directory(at / name_of(3));
    std::filesystem::create_directory(at / "00000002.history");
    wal_files files(at.path());
    CHECK(files.open(first, {1}) != nullptr);
    CHECK(files.open(first, {2}) == nullptr);
    CHECK(files.open(first, {3}) == nullptr);
    CHECK(files.open(first, {4}) == nullptr);
    CHECK(trouble([&] { static_cast<void>(files.history({2})); }) == EISDIR);
}

TEST_CASE("a segment of an odd size, or of another place, is passed over") {
    const wal_builder log = make_log();
    const temporary_directory at;
    save(at, log, 1);
    write_file(at / name_of(2), "short");
    const auto moved = log.segment(1);
    write_file(at / name_of(3), walwire::as_text(moved));
    wal_files files(at.path());
    CHECK(files.open(first, {1}) != nullptr);
    CHECK(files.open(first, {2}) == nullptr);
    CHECK(files.open(first, {3}) == nullptr);
    // One that is held stays as it is, whatever becomes of its name.
    const auto held = files.open(first, {1});
    const auto before = log.segment(1);
    std::filesystem::remove(at / name_of(1));
    CHECK(walwire::as_text(held->content()) == walwire::as_text(before));
}
