#include <walwire/backup/tar_reader.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/backup/incremental.hpp>

#include "archives.hpp"
#include "support/guard.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace archives;

namespace {

// A little of everything: a body of a few bytes, of none, of whole blocks and of a block and one
// byte, a directory and a link.
archive sample() {
    archive made;
    made.file("backup_label", "START WAL LOCATION: 0/2000028\n").file("empty", "");
    made.add(whole(recorded[1])).add(whole(recorded[3]));
    return made.file("blocks", std::string(1024, 'b')).file("odd", std::string(513, 'o'));
}

const std::string sample_text = "file backup_label 30 [START WAL LOCATION: 0/2000028\n]\n"
                                "file empty 0 []\n"
                                "directory pg_wal/archive_status 0 []\n"
                                "link pg_tblspc/16392 -> /tmp/pgt/12/ts1 0 []\n"
                                "file blocks 1024 [" +
                                std::string(1024, 'b') +
                                "]\n"
                                "file odd 513 [" +
                                std::string(513, 'o') + "]\n";

constexpr std::string_view truncated = ": a tar archive ends too early\n";
constexpr std::string_view goes_on = ": a tar archive goes on behind its end\n";

std::string failed(std::size_t offset, std::string_view why) {
    return "failed at " + std::to_string(offset) + std::string(why);
}

// Checks every chunking too.
std::string read_in_pieces(bytes input, tar_trailer trailer = tar_trailer::required) {
    CHECK(support::difference(input, [&](support::chunks& in) { return read(in, trailer); }) == "");
    return read(input, trailer);
}

// The last line of a rendering.
std::string outcome(const std::string& text) {
    const std::size_t end = text.rfind('\n', text.size() - 2);
    return end == std::string::npos ? text : text.substr(end + 1);
}

std::string name_in(const block& header) {
    const std::string_view name = as_text(bytes(header).first(100));
    return std::string(name.substr(0, name.find('\0')));
}

// What is true of each archive that a server sent, and how often.
struct recorded_archives {
    std::size_t count = 0, entries = 0, links = 0, dotted = 0, incremental = 0;

    void look_at(bytes archive, tar_trailer trailer) {
        ++count;
        tar_reader reader(trailer);
        std::optional<incremental_reader> head; // of an incremental file
        bool ended = false;
        const auto take = [&](const tar_event& event) {
            if (const auto* const started = std::get_if<entry_started>(&event)) {
                look_at(started->entry, archive.subspan(reader.eaten() - 512, 512));
                head.reset();
                if (is_incremental_path(started->entry.path)) head.emplace(started->entry.size);
            } else if (const auto* const run = std::get_if<entry_data>(&event); run && head) {
                bytes body = run->data;
                while (const auto found = head->poll(body))
                    CHECK(!std::holds_alternative<incremental_failed>(*found));
            } else if (std::holds_alternative<entry_ended>(event) && head) {
                CHECK(head->over());
                ++incremental;
            }
            ended = std::holds_alternative<tar_ended>(event);
        };
        bytes in = archive;
        while (const auto event = reader.poll(in)) take(*event);
        reader.finish();
        while (const auto event = reader.poll(in)) take(*event);
        CHECK(ended);
    }

    void look_at(const tar_entry& entry, bytes header) {
        ++entries;
        links += entry.kind == tar_kind::symbolic_link ? 1u : 0u;
        tar_entry again = entry;
        const std::string path = "./" + std::string(entry.path);
        if (as_text(header).starts_with("./")) {
            again.path = path;
            ++dotted;
        }
        block out{};
        CHECK(put_tar_header(out, again) == errc::none);
        CHECK(as_text(out) == as_text(header));
    }
};

} // namespace

TEST_CASE("an archive with its trailer is read in every chunking") {
    archive made = sample().zeros(tar_trailer_size);
    CHECK(read_in_pieces(made) == sample_text + "ended\n");
    CHECK(read_in_pieces(made, tar_trailer::optional) == sample_text + "ended\n");
}

TEST_CASE("an archive without its trailer is whole where the server sends none") {
    archive made = sample();
    CHECK(read_in_pieces(made, tar_trailer::optional) == sample_text + "ended\n");
    CHECK(read_in_pieces(made) == sample_text + failed(bytes(made).size(), truncated));
    CHECK(read({}, tar_trailer::optional) == "ended\n");
    CHECK(read({}) == failed(0, truncated));
    CHECK(read(archive().zeros(1024)) == "ended\n");
}

TEST_CASE("an archive's trailer may be followed by zeros and by nothing else") {
    const std::size_t size = bytes(sample()).size();
    for (const std::size_t more : {std::size_t{0}, std::size_t{1}, std::size_t{512},
                                   std::size_t{10240 - 1024}, std::size_t{1} << 20}) {
        CHECK(read(sample().zeros(1024 + more)) == sample_text + "ended\n");
    }
    for (const std::size_t at : {std::size_t{1024}, std::size_t{1025}, std::size_t{1535}}) {
        archive made = sample().zeros(1536);
        made.data()[size + at] = std::byte{1};
        CHECK(read_in_pieces(made) == sample_text + failed(size + at, goes_on));
    }
    // One block of zeros and then something else is damage at that something.
    for (const std::size_t at : {std::size_t{512}, std::size_t{1023}}) {
        archive made = sample().zeros(1024);
        made.data()[size + at] = std::byte{1};
        CHECK(read_in_pieces(made) == sample_text + failed(size + 512, goes_on));
    }
    CHECK(outcome(read(sample().zeros(512).file("a", "a").zeros(1024))) ==
          failed(size + 512, goes_on));
    CHECK(outcome(read(sample().zeros(1024).file("a", "a"))) == failed(size + 1024, goes_on));
}

TEST_CASE("an archive that ends anywhere else was cut off there") {
    const archive made = sample().zeros(tar_trailer_size);
    const bytes all = made;
    // Where an entry ends and the next may begin.
    std::vector<std::size_t> between;
    for (const std::size_t size : {0u, 1024u, 512u, 512u, 512u, 1536u, 1536u})
        between.push_back(size + (between.empty() ? 0 : between.back()));
    REQUIRE(between.back() == all.size() - tar_trailer_size);
    for (std::size_t size = 0; size < all.size(); ++size) {
        CAPTURE(size);
        const bool boundary = std::find(between.begin(), between.end(), size) != between.end();
        const std::string strict = read(all.first(size));
        const std::string lenient = read(all.first(size), tar_trailer::optional);
        CHECK(outcome(strict) == failed(size, truncated));
        CHECK(outcome(lenient) == (boundary ? "ended\n" : failed(size, truncated)));
    }
    CHECK(outcome(read(all)) == "ended\n");
}

TEST_CASE("a header that is refused ends the archive at its offset") {
    const std::size_t size = bytes(sample()).size();
    struct hostile {
        std::string_view what;
        std::size_t at;
        std::string_view text;
        errc code;
    };
    using namespace std::string_view_literals;
    const hostile table[] = {
        {"a hard link", 156, "1", errc::tar_entry_refused},
        {"a character device", 156, "3", errc::tar_entry_refused},
        {"a block device", 156, "4", errc::tar_entry_refused},
        {"a FIFO", 156, "6", errc::tar_entry_refused},
        {"a contiguous file", 156, "7", errc::tar_entry_refused},
        {"a GNU long name", 156, "L", errc::tar_entry_refused},
        {"a GNU long target", 156, "K", errc::tar_entry_refused},
        {"a pax header", 156, "x", errc::tar_entry_refused},
        {"a global pax header", 156, "g", errc::tar_entry_refused},
        {"a file of before POSIX", 156, "\0"sv, errc::tar_entry_refused},
        {"GNU's format", 257, "ustar  \0"sv, errc::tar_format_unknown},
        {"no format", 257, "\0\0\0\0\0\0\0\0"sv, errc::tar_format_unknown},
        {"garbage in the size", 124, "0000000000x", errc::tar_header_invalid},
        {"a negative size", 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
         errc::tar_header_invalid},
        {"a size of 2^63", 124, "\x80\0\0\0\x80\0\0\0\0\0\0\0"sv, errc::tar_header_invalid},
        {"a directory with a body", 156, "5", errc::tar_header_invalid},
        {"an absolute path", 0, "/etc/passwd\0"sv, errc::tar_path_refused},
        {"a path upwards", 0, "a/../../b\0"sv, errc::tar_path_refused},
        {"a path of a prefix upwards", 345, "..", errc::tar_path_refused},
        {"an empty path", 0, "\0"sv, errc::tar_path_refused},
        {"a bell", 0, "\a", errc::tar_path_refused},
    };
    for (const hostile& each : table) {
        CAPTURE(each.what);
        block header = header_of("hostile", 1);
        std::memcpy(header.data() + each.at, each.text.data(), each.text.size());
        sum_up(header);
        const archive made = sample().add(header, "!").zeros(1024);
        const std::string path = each.at == 345 ? "../hostile" : name_in(header);
        const std::string why =
            ": " + std::string(text(each.code)) + (path.empty() ? "" : ": " + path) + "\n";
        CHECK(read(made) == sample_text + failed(size, why));
        CHECK(support::difference(
                  made, [&](support::chunks& in) { return read(in); }, 50) == "");
    }
    block header = header_of("hostile", 1);
    header[0] ^= std::byte{1};
    CHECK(outcome(read(sample().add(header, "!"))) ==
          failed(size, ": the checksum of a tar header is wrong: iostile\n"));
}

TEST_CASE("what is refused is named, with its prefix, as far as that can be read") {
    const auto refused = [](std::size_t at, std::string_view text, bool right_sum = true) {
        block header = header_of(std::string(99, 'n'), 0);
        std::memcpy(header.data() + 345, "in/front", 8);
        std::memcpy(header.data() + at, text.data(), text.size());
        if (right_sum) sum_up(header);
        const archive made = archive().add(header);
        tar_reader reader;
        bytes in = made;
        const auto event = reader.poll(in);
        REQUIRE(event);
        return std::string(std::get<tar_failed>(*event).path);
    };
    const std::string name(99, 'n');
    CHECK(refused(345, "in/..///") == "in/..///" + ('/' + name));
    CHECK(refused(0, "../") == "in/front/../" + name.substr(3));
    CHECK(refused(0, "\x1b[2J") == "in/front/\x1b[2J" + name.substr(4));
    CHECK(refused(99, "n/") == "in/front/" + name + "n"); // not even a NUL behind it
    CHECK(refused(156, "2") == "in/front/" + name);       // a link that leads nowhere
    CHECK(refused(156, "L") == "in/front/" + name);
    CHECK(refused(124, "x") == "in/front/" + name);
    // What is no header of this kind, or none at all, has other things where the prefix stands.
    CHECK(refused(257, "ustar  ") == name);
    CHECK(refused(0, "m", false) == "m" + name.substr(1));
    const std::string full(155, 'p');
    CHECK(refused(345, full.substr(1) + "\n") == full.substr(1) + "\n/" + name);
}

TEST_CASE("a claimed size costs nothing") {
    block header =
        whole({"huge", "0000600 0000000 0000000 00000000000 00000000000         0", "", 0});
    header[124] = std::byte{0x80};
    std::memset(header.data() + 125, 0, 3);
    std::memset(header.data() + 128, 0xff, 8);
    header[128] = std::byte{0x7f};
    sum_up(header);
    const archive made = archive().add(header).zeros(100);
    const std::string seen = read_in_pieces(made);
    CHECK(seen == "file huge 9223372036854775807 [" + std::string(100, '\0') + "\n" +
                      failed(612, truncated));
}

TEST_CASE("any byte changed ends the archive, well or not") {
    archive made;
    made.file("a", "aaa").add(whole(recorded[3])).zeros(1024);
    std::size_t well = 0;
    for (std::size_t at = 0; at < bytes(made).size(); ++at) {
        for (const int change : {0x01, 0x20, 0x80, 0xff}) {
            archive wrong = made;
            wrong.data()[at] ^= static_cast<std::byte>(change);
            const std::string seen = read(wrong);
            const std::string last = outcome(seen);
            const bool ended = last == "ended\n";
            CHECK((ended || last.starts_with("failed at ")));
            // Only a body and its padding may change unseen, and the blank behind a checksum.
            if (ended) CHECK(((at >= 512 && at < 1024) || at == 155 || at == 1024 + 155));
            well += ended ? 1u : 0u;
        }
    }
    CHECK(well >= 4 * 512);
}

TEST_CASE("views of an entry live until the next call, whatever becomes of the input") {
    const archive made = archive().file("a/long/path/to/a/file", "body");
    std::vector<std::byte> input(bytes(made).begin(), bytes(made).end());
    tar_reader reader;
    bytes in = input;
    auto event = reader.poll(in);
    REQUIRE(event);
    std::fill(input.begin(), input.end(), std::byte{0});
    CHECK(std::get<entry_started>(*event).entry.path == "a/long/path/to/a/file");
    CHECK(reader.eaten() == 512);
    event = reader.poll(in);
    REQUIRE(event);
    // A body's are views of the input itself.
    CHECK(std::get<entry_data>(*event).data.data() == input.data() + 512);
    CHECK(std::get<entry_data>(*event).data.size() == 4);
}

TEST_CASE("a reader that is over eats and says nothing") {
    for (const bool well : {true, false}) {
        tar_reader reader;
        rendering seen;
        const archive made = well ? sample().zeros(1024) : archive().file("../a", "");
        bytes in = made;
        while (const auto event = reader.poll(in)) std::visit(seen, *event);
        CHECK(in.empty());
        CHECK(reader.over() == !well);
        reader.finish();
        while (const auto event = reader.poll(in)) std::visit(seen, *event);
        CHECK(reader.over());
        CHECK(outcome(seen.text()).starts_with(well ? "ended" : "failed at 0"));
        for (int again = 0; again < 3; ++again) {
            in = made;
            CHECK(!reader.poll(in));
            CHECK(in.empty());
            reader.finish();
        }
    }
}

TEST_CASE("polling without input says what is owed and no more") {
    const archive made = archive().file("a", "");
    tar_reader reader(tar_trailer::optional);
    bytes nothing;
    CHECK(!reader.poll(nothing));
    bytes in = made;
    CHECK(std::holds_alternative<entry_started>(*reader.poll(in)));
    CHECK(in.empty());
    CHECK(std::holds_alternative<entry_ended>(*reader.poll(nothing)));
    CHECK(!reader.poll(nothing));
    CHECK(!reader.over());
    reader.finish();
    CHECK(std::holds_alternative<tar_ended>(*reader.poll(nothing)));
    CHECK(!reader.poll(nothing));
}

TEST_CASE("every recorded archive is read, and its headers printed again are the same") {
    recorded_archives all;
    for (const std::string& name : support::transcripts("d")) {
        CAPTURE(name);
        const auto talk = support::transcript::load(name);
        const auto trailer =
            talk.major_version() >= 15 ? tar_trailer::required : tar_trailer::optional;
        for (const std::vector<std::byte>& archive : archives_of(talk))
            all.look_at(archive, trailer);
    }
    CHECK(all.count > 40);
    CHECK(all.entries > 6000);
    CHECK(all.links > 0);
    CHECK(all.dotted > 10);
    CHECK(all.incremental > 500);
}

TEST_CASE("what tar wrote is read") {
    namespace fs = std::filesystem;
    if (std::system("tar --version > /dev/null 2>&1") != 0) {
        MESSAGE("there is no tar here");
        return;
    }
    const fs::path top = fs::temp_directory_path() / ("walwire-tar-" + std::to_string(::getpid()));
    fs::create_directories(top / "base" / "5");
    std::ofstream(top / "base" / "5" / "1234") << std::string(8192, 'x');
    std::ofstream(top / "PG_VERSION") << "18\n";
    std::ofstream(top / ("n" + std::string(99, 'n'))) << "long";
    const std::string d = std::string(60, 'd') + "/" + std::string(60, 'e'); // as prefix and name
    fs::create_directories(top / d);
    std::ofstream(top / d / "file") << "deep";
    fs::create_symlink("/srv/ts", top / "16392");
    const auto packed = [&](const std::string& options) {
        const fs::path file = top.string() + ".tar";
        const std::string command = "cd " + top.string() + " && tar " + options + " -cf " +
                                    file.string() + " PG_VERSION ./base 16392 d* n*";
        REQUIRE(std::system(command.c_str()) == 0);
        std::ifstream in(file, std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(in), {}};
        fs::remove(file);
        return text;
    };
    const std::string archive = packed("--format=ustar");
    const std::string gnu = packed("--format=gnu");
    const std::string pax = packed("--format=pax");
    fs::remove_all(top);

    CHECK(read(as_bytes(archive)) ==
          "file PG_VERSION 3 [18\n]\n"
          "directory base 0 []\ndirectory base/5 0 []\n"
          "file base/5/1234 8192 [" +
              std::string(8192, 'x') + "]\nlink 16392 -> /srv/ts 0 []\ndirectory " +
              d.substr(0, 60) + " 0 []\ndirectory " + d + " 0 []\nfile " + d +
              "/file 4 [deep]\nfile n" + std::string(99, 'n') + " 4 [long]\nended\n");
    CHECK(outcome(read(as_bytes(gnu))) ==
          "failed at 0: a tar header is not in the ustar format: PG_VERSION\n");
    CHECK(outcome(read(as_bytes(pax))).find("failed at ") != std::string::npos);
}

TEST_CASE("reading an archive does not allocate") {
    const archive made = sample().zeros(1024);
    bytes in = made;
    std::size_t events = 0;
    support::allocations counted;
    tar_reader reader;
    while (reader.poll(in)) ++events;
    reader.finish();
    while (reader.poll(in)) ++events;
    CHECK(counted.count() == 0);
    CHECK(events == 6 + 6 + 3 + 1);
    CHECK(reader.over());
    static_assert(sizeof(tar_reader) <= 512 + 48);
    static_assert(std::is_trivially_copyable_v<tar_event>);
}
