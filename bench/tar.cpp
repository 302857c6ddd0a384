// What it costs to take a tar archive apart when its bytes are there already, 64 KiB at a time.
//
//     memcpy    each read is copied into one buffer, as a system call would: what moving the bytes
//               costs whoever reads them
//     reader    the same, and the buffer then taken apart
//
// Both look at the first and last word of each run. Files are empty, so that there is nothing but
// headers; as large as most of a small database's are; as a WAL segment; and as a relation's
// largest, of which only the first part comes. For small ones the cost of an entry is what counts:
// its extractor opens, writes and closes a file, which takes some microseconds.
#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <walwire/backup/tar_reader.hpp>
#include <walwire/backup/tar_writer.hpp>

#include "support/prepared.hpp"
#include "support/receivers.hpp"
#include "support/rounds.hpp"

namespace {

using namespace bench;
using namespace walwire::backup;

constexpr std::size_t archive_size = 16 * 1024 * 1024;
constexpr std::size_t rounds = 101;

std::array<std::byte, read_size> buffer;

struct prepared_archive {
    std::vector<std::byte> data;
    std::size_t entries = 0;
};

// Files of so many bytes each, cut off at archive_size.
prepared_archive pack(std::uint64_t file_size) {
    prepared_archive made;
    const std::vector<std::byte> body(read_size, std::byte{0x5a});
    while (made.data.size() < archive_size) {
        const std::string path = "base/5/" + std::to_string(16384 + made.entries++);
        tar_entry entry;
        entry.path = path;
        entry.size = file_size;
        entry.mode = 0600;
        std::array<std::byte, tar_block_size> header{};
        if (put_tar_header(header, entry) != walwire::errc::none) break;
        made.data.insert(made.data.end(), header.begin(), header.end());
        for (std::uint64_t left = file_size; left > 0 && made.data.size() < archive_size;) {
            const std::size_t run = left < body.size() ? left : body.size();
            made.data.insert(made.data.end(), body.begin(),
                             body.begin() + static_cast<std::ptrdiff_t>(run));
            left -= run;
        }
    }
    return made;
}

struct no_reader {
    std::uint64_t feed(bytes in) { return touch(in); }
};

class archive_reader {
  public:
    std::uint64_t feed(bytes in) {
        std::uint64_t sum = 0;
        while (const auto event = reader_.poll(in)) {
            if (const auto* const run = std::get_if<entry_data>(&*event)) sum += touch(run->data);
        }
        return sum;
    }

  private:
    tar_reader reader_;
};

// Nanoseconds for each KiB.
template <class Reader>
double fed(const prepared_archive& archive) {
    Reader reader;
    std::uint64_t sum = 0;
    stopwatch watch(CLOCK_MONOTONIC);
    watch.start();
    for (bytes left = archive.data; !left.empty();) {
        const bytes read = left.first(left.size() < read_size ? left.size() : read_size);
        left = left.subspan(read.size());
        std::memcpy(buffer.data(), read.data(), read.size());
        keep(buffer);
        sum += reader.feed(bytes(buffer).first(read.size()));
    }
    watch.stop();
    keep(sum);
    return watch.passed() * 1024 / static_cast<double>(archive.data.size());
}

results measured(const char* title, const prepared_archive& archive) {
    const results found({{"memcpy", [&] { return fed<no_reader>(archive); }},
                         {"reader", [&] { return fed<archive_reader>(archive); }}},
                        rounds);
    found.print(title, "ns/KiB");
    return found;
}

void measure_large(const char* title, std::uint64_t file_size) {
    measured(title, pack(file_size)).compare("reader", "memcpy", 1.02);
}

void measure_small(const char* title, std::uint64_t file_size) {
    const prepared_archive archive = pack(file_size);
    const results found = measured(title, archive);
    found.compare("reader", "memcpy");
    const double all = static_cast<double>(archive.data.size()) / 1024;
    std::printf("  %-38s %8.1f ns\n", "an entry",
                (found.figure("reader") - found.figure("memcpy")) * all /
                    static_cast<double>(archive.entries));
}

} // namespace

int main() {
    measure_small("empty files", 0);
    measure_small("files of 8 KiB", 8 * 1024);
    measure_large("files of 16 MiB", 16 * 1024 * 1024);
    measure_large("files of 1 GiB", 1024 * 1024 * 1024);
}
