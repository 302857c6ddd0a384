// A backup's manifest of 100,000 files in memory: read, written, and held against the files.
//
//     SHA-256       its digest alone, in blocks of 64 KiB: nobody can be faster who checks it
//     read          by manifest_reader, in blocks of 64 KiB, with that digest
//     parsed        the same with a digest that does nothing
//     written       by manifest_writer, with the digest
//     laid out      the same with a digest that does nothing
//     verified      each entry looked up among as many files, in no order
//
// Entries are those of a cluster with CRC-32C, some 150 bytes each.
#include <walwire/auth/openssl.hpp>
#include <walwire/backup/manifest_reader.hpp>
#include <walwire/backup/manifest_writer.hpp>
#include <walwire/backup/verifier.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "support/rounds.hpp"

namespace {

using namespace bench;
using namespace walwire;
using namespace walwire::backup;

constexpr std::size_t files = 100'000;
constexpr std::size_t block = 64 * 1024;

const auth::digests idle{nullptr,
                         [](void*, auth::digest_algorithm) noexcept -> void* {
                             static char state;
                             return &state;
                         },
                         [](void*, bytes) noexcept { return true; },
                         [](void*, mutable_bytes out) noexcept {
                             std::fill(out.begin(), out.end(), std::byte{0});
                             return true;
                         },
                         [](void*) noexcept {}};

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "%s\n", what);
    std::exit(1);
}

struct cluster {
    std::vector<std::string> paths;
    std::vector<listed_file> entries;

    cluster() {
        for (std::size_t i = 0; i < files; ++i)
            paths.push_back("base/" + std::to_string(16384 + i % 50) + "/" +
                            std::to_string(16400 + i / 50 * 3) + (i % 3 == 0 ? "_fsm" : ""));
        for (std::size_t i = 0; i < files; ++i) {
            listed_file entry;
            entry.path = paths[i];
            entry.size = 8192 * (i % 1000);
            entry.last_modified = "2026-11-21 09:46:47 GMT";
            entry.checksum.algorithm = manifest_checksums::crc32c;
            const std::uint32_t sum = static_cast<std::uint32_t>(i) * 2654435761u;
            store<std::uint32_t>(entry.checksum.digest.data(), sum);
            entries.push_back(entry);
        }
    }
};

// Writes a whole manifest into blocks that are passed on, and gives them to `pass_on`.
template <class PassOn>
void write(const cluster& of, const auth::digests& with, PassOn&& pass_on) {
    static std::array<std::byte, block> room;
    std::size_t used = 0;
    const auto put = [&](auto&& piece) {
        auto size = piece(mutable_bytes(room).subspan(used));
        if (size.code() == errc::output_full) {
            pass_on(bytes(room).first(used));
            used = 0;
            size = piece(mutable_bytes(room));
        }
        require(bool(size), "a piece could not be written");
        used += *size;
    };
    manifest_writer writer;
    put([&](mutable_bytes out) { return writer.start({2, 7}, with, out); });
    for (const listed_file& each : of.entries)
        put([&](mutable_bytes out) { return writer.file(each, out); });
    put([&](mutable_bytes out) { return writer.range({{1}, {0x2000028}, {0x2000120}}, out); });
    put([&](mutable_bytes out) { return writer.end(out); });
    pass_on(bytes(room).first(used));
}

double timed(auto&& work) {
    stopwatch watch(CLOCK_MONOTONIC);
    watch.start();
    work();
    watch.stop();
    return watch.passed() / static_cast<double>(files);
}

double written(const cluster& of, const auth::digests& with) {
    return timed([&] { write(of, with, [](bytes page) { keep(page); }); });
}

double read(const std::string& text, const auth::digests& with) {
    return timed([&] {
        std::array<std::byte, manifest_room_size> room;
        manifest_reader reader(room, with);
        std::uint64_t sizes = 0;
        std::size_t count = 0;
        bool ended = false;
        for (std::size_t at = 0; !ended; at += block) {
            bytes in = as_bytes(std::string_view(text).substr(std::min(at, text.size()), block));
            if (in.empty()) reader.finish();
            while (const auto event = reader.poll(in)) {
                if (const auto* file = std::get_if<listed_file>(&*event)) {
                    sizes += file->size + file->path.size();
                    ++count;
                } else if (std::holds_alternative<manifest_ended>(*event)) {
                    ended = true;
                }
                require(!std::holds_alternative<manifest_failed>(*event), "it cannot be read");
            }
        }
        require(count == files, "files were lost");
        keep(sizes);
    });
}

double digested(const std::string& text) {
    return timed([&] {
        auth::running_digest digest;
        auth::sha256_digest out;
        bool ok =
            digest.begin(auth::openssl_digests(), auth::digest_algorithm::sha256) == errc::none;
        for (std::size_t at = 0; at < text.size(); at += block)
            ok = ok &&
                 digest.update(as_bytes(std::string_view(text).substr(at, block))) == errc::none;
        require(ok && digest.finish(out) == errc::none, "no digest");
        keep(out);
    });
}

double verified(const cluster& of, verifier& table) {
    table.clear();
    for (std::size_t i = 0; i < files; ++i) {
        const listed_file& each = of.entries[i * 7919 % files];
        require(table.seen(each.path, each.size, each.checksum) == errc::none, "no room");
    }
    return timed([&] {
        for (const listed_file& each : of.entries)
            require(table.listed(each) == finding::matched, "a file did not match");
    });
}

} // namespace

int main() {
    const cluster all;
    const auth::digests sha = auth::openssl_digests();
    std::string text, unsigned_text;
    write(all, sha, [&](bytes page) { text += as_text(page); });
    write(all, idle, [&](bytes page) { unsigned_text += as_text(page); });
    std::vector<file_record> room(verifier_table_size(files));
    verifier table(room);

    const std::vector<contestant> contestants{{"SHA-256", [&] { return digested(text); }},
                                              {"read", [&] { return read(text, sha); }},
                                              {"parsed", [&] { return read(unsigned_text, idle); }},
                                              {"written", [&] { return written(all, sha); }},
                                              {"laid out", [&] { return written(all, idle); }},
                                              {"verified", [&] { return verified(all, table); }}};
    const results found(contestants, 11);
    const double size = static_cast<double>(text.size()) / static_cast<double>(files);
    std::printf("\na manifest of %zu files, %.1f MiB: ns/entry, million entries/s and GiB/s\n",
                files, static_cast<double>(text.size()) / (1024 * 1024));
    for (const contestant& each : contestants) {
        const double figure = found.figure(each.name);
        std::printf("    %-36s %8.1f %12.2f %12.2f\n", each.name.c_str(), figure, 1e3 / figure,
                    size / figure * 1e9 / (1024 * 1024 * 1024));
    }
    found.compare("read", "SHA-256");
    found.compare("written", "SHA-256");
}
