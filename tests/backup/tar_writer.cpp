#include <walwire/backup/tar_writer.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "archives.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace archives;

namespace {

tar_entry file(std::string_view path, std::uint64_t size) {
    tar_entry entry;
    entry.path = path;
    entry.size = size;
    entry.mode = 0600;
    entry.mtime = 1'700'000'000;
    return entry;
}

tar_entry directory(std::string_view path) {
    tar_entry entry = file(path, 0);
    entry.kind = tar_kind::directory;
    entry.mode = 0700;
    return entry;
}

tar_entry symbolic(std::string_view path, std::string_view target) {
    tar_entry entry = file(path, 0);
    entry.kind = tar_kind::symbolic_link;
    entry.target = target;
    entry.mode = 0777;
    return entry;
}

// Writes what is there, `step` bytes at a time.
void drain(tar_writer& writer, std::string& out, std::size_t step = SIZE_MAX) {
    for (gather next = writer.output(); !next.empty(); next = writer.output()) {
        std::string both(as_text(next.head));
        both += as_text(next.body);
        const std::size_t size = both.size() < step ? both.size() : step;
        out += both.substr(0, size);
        writer.consume(size);
    }
}

// Bodies in runs of `run` bytes.
void add(tar_writer& writer, std::string& out, const tar_entry& entry, std::string_view body,
         std::size_t run, std::size_t step) {
    REQUIRE(writer.start(entry) == errc::none);
    if (run % 2 == 0) drain(writer, out, step); // or with the first run
    while (!body.empty()) {
        REQUIRE(writer.give(as_bytes(body.substr(0, run))) == errc::none);
        body.remove_prefix(run < body.size() ? run : body.size());
        drain(writer, out, step);
    }
    drain(writer, out, step);
}

std::string sample(std::size_t run, std::size_t step) {
    tar_writer writer;
    std::string out;
    add(writer, out, file("backup_label", 5), "START", run, step);
    add(writer, out, file("empty", 0), "", run, step);
    add(writer, out, directory("pg_wal"), "", run, step);
    add(writer, out, symbolic("pg_tblspc/16392", "/srv/ts"), "", run, step);
    add(writer, out, file("base/5/1234", 1024), std::string(1024, 'x'), run, step);
    add(writer, out, file("odd", 513), std::string(513, 'y'), run, step);
    REQUIRE(writer.end() == errc::none);
    CHECK(!writer.over());
    drain(writer, out, step);
    CHECK(writer.over());
    return out;
}

const std::string sample_text = "file backup_label 5 [START]\nfile empty 0 []\n"
                                "directory pg_wal 0 []\nlink pg_tblspc/16392 -> /srv/ts 0 []\n"
                                "file base/5/1234 1024 [" +
                                std::string(1024, 'x') + "]\nfile odd 513 [" +
                                std::string(513, 'y') + "]\nended\n";

} // namespace

TEST_CASE("what is written is read back, whatever the runs and the writes") {
    const std::string whole = sample(SIZE_MAX, SIZE_MAX);
    CHECK(whole.size() == 6 * 512 + 512 + 1024 + 1024 + 1024);
    CHECK(read(as_bytes(whole)) == sample_text);
    for (const std::size_t run : {1u, 2u, 100u, 511u, 512u, 513u})
        for (const std::size_t step : {1u, 3u, 512u, 600u, 100'000u})
            CHECK(sample(run, step) == whole);
}

TEST_CASE("a body never has another size than its header says") {
    tar_writer writer;
    std::string out;
    REQUIRE(writer.start(file("a", 10)) == errc::none);
    CHECK(writer.body_left() == 10);
    CHECK(writer.give(as_bytes("01234567890")) == errc::argument_too_long);
    CHECK(writer.give(as_bytes("0123")) == errc::none);
    CHECK(writer.body_left() == 6);
    drain(writer, out);
    // Neither may another entry begin nor the archive end.
    CHECK(writer.start(file("b", 0)) == errc::not_now);
    CHECK(writer.end() == errc::not_now);
    CHECK(writer.give(as_bytes("4567890")) == errc::argument_too_long);
    CHECK(writer.fill() == errc::none);
    CHECK(writer.body_left() == 0);
    CHECK(writer.give(as_bytes("4")) == errc::not_now);
    CHECK(writer.fill() == errc::not_now);
    drain(writer, out);
    CHECK(writer.end() == errc::none);
    drain(writer, out);
    CHECK(read(as_bytes(out)) == "file a 10 [0123" + std::string(6, '\0') + "]\nended\n");
}

TEST_CASE("a file that is gone is zeros, however large") {
    for (const std::size_t size : {std::size_t{1}, std::size_t{8192}, std::size_t{1} << 20}) {
        tar_writer writer;
        std::string out;
        REQUIRE(writer.start(file("a", size)) == errc::none);
        REQUIRE(writer.fill() == errc::none); // the header is written before them
        drain(writer, out, 5000);
        REQUIRE(writer.end() == errc::none);
        drain(writer, out);
        CHECK(out.size() == 512 + size + tar_padding(size) + 1024);
        CHECK(read(as_bytes(out)) ==
              "file a " + std::to_string(size) + " [" + std::string(size, '\0') + "]\nended\n");
    }
}

TEST_CASE("nothing is taken before the output of the last command is written") {
    tar_writer writer;
    std::string out;
    REQUIRE(writer.start(directory("a")) == errc::none);
    CHECK(writer.start(directory("b")) == errc::output_full);
    CHECK(writer.end() == errc::output_full);
    writer.consume(511);
    CHECK(writer.end() == errc::output_full);
    writer.consume(1);
    REQUIRE(writer.start(file("b", 600)) == errc::none);
    REQUIRE(writer.give(as_bytes("b")) == errc::none);
    CHECK(writer.give(as_bytes("b")) == errc::output_full);
    CHECK(writer.fill() == errc::output_full);
    writer.consume(512);
    CHECK(as_text(writer.output().body) == "b");
    CHECK(writer.give(as_bytes("b")) == errc::output_full);
    drain(writer, out);
    REQUIRE(writer.fill() == errc::none);
    CHECK(writer.end() == errc::output_full);
    drain(writer, out);
    REQUIRE(writer.end() == errc::none);
    CHECK(writer.end() == errc::not_now);
    CHECK(writer.start(directory("c")) == errc::not_now);
    CHECK(writer.give(as_bytes("c")) == errc::not_now);
    drain(writer, out);
    CHECK(writer.over());
    CHECK(writer.start(directory("c")) == errc::not_now);
    CHECK(writer.output().empty());
}

TEST_CASE("an entry that cannot be printed changes nothing") {
    tar_writer writer;
    CHECK(writer.start(file("../a", 5)) == errc::argument_invalid);
    CHECK(writer.start(file(std::string(100, 'n'), 5)) == errc::argument_too_long);
    CHECK(writer.output().empty());
    CHECK(writer.body_left() == 0);
    CHECK(writer.start(file("a", 5)) == errc::none);
}

TEST_CASE("consuming more than there is consumes all of it") {
    tar_writer writer;
    REQUIRE(writer.start(file("a", 600)) == errc::none);
    REQUIRE(writer.give(as_bytes("a")) == errc::none);
    writer.consume(SIZE_MAX);
    CHECK(writer.output().empty());
    CHECK(writer.body_left() == 599);
    REQUIRE(writer.fill() == errc::none);
    writer.consume(SIZE_MAX);
    CHECK(writer.output().empty());
    writer.consume(1);
    CHECK(writer.end() == errc::none);
    writer.consume(SIZE_MAX);
    CHECK(writer.over());
}

TEST_CASE("a run of nothing is a run") {
    tar_writer writer;
    std::string out;
    REQUIRE(writer.start(file("a", 1)) == errc::none);
    CHECK(writer.give({}) == errc::none);
    CHECK(writer.give(as_bytes("a")) == errc::none);
    drain(writer, out);
    CHECK(out.size() == 1024);
}

TEST_CASE("tar unpacks what was written") {
    namespace fs = std::filesystem;
    if (std::system("tar --version > /dev/null 2>&1") != 0) {
        MESSAGE("there is no tar here");
        return;
    }
    const fs::path top =
        fs::temp_directory_path() / ("walwire-untar-" + std::to_string(::getpid()));
    fs::create_directories(top);
    tar_writer writer;
    std::string out;
    add(writer, out, directory("./base"), "", 1, 512);
    add(writer, out, directory("base/5"), "", 1, 512);
    add(writer, out, file("base/5/1234", 700), std::string(700, 'x'), 512, 512);
    add(writer, out, symbolic("16392", "/srv/ts"), "", 1, 512);
    tar_entry other = file("other", 3);
    other.uid = 4'000'000; // in base-256
    add(writer, out, other, "abc", 3, 512);
    REQUIRE(writer.end() == errc::none);
    drain(writer, out);
    std::ofstream(top / "a.tar", std::ios::binary) << out;
    const std::string command = "cd " + top.string() +
                                " && tar --no-same-owner -xf a.tar > out 2>&1 && " +
                                "tar --numeric-owner -tvf a.tar > list && test ! -s out";
    CHECK(std::system(command.c_str()) == 0);
    const auto content = [&](const char* name) {
        std::ifstream in(top / name, std::ios::binary);
        return std::string{std::istreambuf_iterator<char>(in), {}};
    };
    CHECK(content("base/5/1234") == std::string(700, 'x'));
    CHECK(content("other") == "abc");
    CHECK(fs::read_symlink(top / "16392") == "/srv/ts");
    CHECK(fs::is_directory(top / "base" / "5"));
    CHECK((fs::status(top / "other").permissions() & fs::perms::mask) ==
          (fs::perms::owner_read | fs::perms::owner_write));
    CHECK(content("list").find("4000000/0") != std::string::npos);
    fs::remove_all(top);
}

TEST_CASE("random commands give an archive that reads back") {
    support::prng random(7);
    for (int round = 0; round < 300; ++round) {
        tar_writer writer;
        std::string out, expected;
        const std::string content(5000, 'c');
        while (!writer.over()) {
            const std::string path = "f" + std::to_string(random.below(1000));
            const std::size_t size = random.below(4000);
            switch (random.below(6)) {
            case 0:
                if (writer.start(file(path, size)) != errc::none) break;
                expected += "file " + path + " " + std::to_string(size) + " [";
                if (size == 0) expected += "]\n";
                break;
            case 1:
                if (writer.give(as_bytes(content).first(size)) != errc::none) break;
                expected += content.substr(0, size);
                if (writer.body_left() == 0) expected += "]\n";
                break;
            case 2: {
                const std::uint64_t left = writer.body_left();
                if (!random.chance(1, 4) || writer.fill() != errc::none) break;
                expected += std::string(left, '\0') + "]\n";
                break;
            }
            case 3:
                if (random.chance(1, 20) && writer.end() == errc::none) expected += "ended\n";
                break;
            default: {
                const gather next = writer.output();
                const std::size_t step = random.below(next.size() + 1);
                out += (std::string(as_text(next.head)) + std::string(as_text(next.body)))
                           .substr(0, step);
                writer.consume(step);
            }
            }
        }
        CHECK(read(as_bytes(out)) == expected);
    }
}

TEST_CASE("writing an archive does not allocate") {
    const std::string body(1000, 'x');
    support::allocations counted;
    tar_writer writer;
    bool right = writer.start(file("a", 1000)) == errc::none;
    right = right && writer.give(as_bytes(body)) == errc::none;
    while (!writer.output().empty()) writer.consume(100);
    right = right && writer.end() == errc::none;
    while (!writer.output().empty()) writer.consume(100);
    CHECK(counted.count() == 0);
    CHECK(right);
    CHECK(writer.over());
}
