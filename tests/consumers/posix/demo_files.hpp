// The files of the demo's cluster: names and sizes that the seed decides, contents that are
// computed, so that both ends know every byte and nobody has to keep one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <walwire/bytes.hpp>

namespace posix {

struct demo_file {
    std::string path;
    std::uint64_t size = 0;
    std::uint64_t seed = 0;

    // The bytes from `at` on, which is a multiple of 8.
    void fill(std::uint64_t at, walwire::mutable_bytes out) const noexcept {
        for (std::size_t i = 0; i < out.size(); i += sizeof(std::uint64_t)) {
            std::uint64_t mixed = (seed + at + i) * 0x9e3779b97f4a7c15;
            mixed ^= mixed >> 29;
            std::memcpy(out.data() + i, &mixed, std::min(sizeof mixed, out.size() - i));
        }
    }
};

// Some of them empty, some of odd sizes, most of whole pages.
inline std::vector<demo_file> make_demo_files(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<demo_file> files;
    const auto add = [&](std::string path, std::uint64_t size) {
        files.push_back({std::move(path), size, random()});
    };
    add("backup_label", 200 + random() % 64);
    add("PG_VERSION", 3);
    for (int i = 0; i < 120; ++i) {
        const std::uint64_t pages = random() % 64;
        add("base/1/" + std::to_string(16384 + i), i % 10 == 0 ? random() % 5000 : pages * 8192);
    }
    add("global/pg_control", 8192);
    return files;
}

} // namespace posix
