// CRC-32C by every way that this processor has, over buffers that stay in cache.
//
//     portable    tables, 8 bytes at once
//     one-way     the processor's instruction, word after word: what PostgreSQL does up to 17
//     walwire     what a caller gets, and pays to have it chosen
//
// The targets in nanoseconds, 25 and 1.8 GiB/s, are those of a machine on which one-way comes to
// 9.7 GiB/s; beside one-way they mean the same on any other.
//
// WAL records are some 60 to 120 bytes, pages and files 8 KiB and more.
#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include <walwire/wal/crc32c.hpp>

#include "support/rounds.hpp"

namespace {

using namespace bench;
using walwire::bytes;
using walwire::wal::crc32c;
using namespace walwire::wal::detail;

// Nanoseconds for each KiB. Every buffer goes on from the state behind the one before, as a reader
// of records waits for each before it looks at the next.
template <class State, class Sum>
double summed(bytes data, State state, Sum&& sum) {
    const std::size_t times = (std::size_t{4} << 20) / data.size();
    stopwatch watch(CLOCK_MONOTONIC);
    watch.start();
    for (std::size_t i = 0; i < times; ++i) state = sum(state, data);
    watch.stop();
    keep(state);
    return watch.passed() / (4 * 1024);
}

contestant by(const char* name, crc_way way, bytes data) {
    return {name, [=] {
                return summed(data, UINT32_MAX, [=](std::uint32_t state, bytes in) {
                    return crc_extend(way, state, in);
                });
            }};
}

void measure(std::size_t size, const char* title) {
    const std::vector<std::byte> data(size, std::byte{0x5a});
    std::vector<contestant> all{
        by("portable", crc_way::portable, data),
        {"walwire", [&] {
             return summed(data, crc32c(), [](crc32c sum, bytes in) { return sum.update(in); });
         }}};
    const bool instruction = crc_has(crc_way::one_way);
    if (instruction) all.push_back(by("one-way", crc_way::one_way, data));
    const results found(all, 101);
    constexpr double rate = 1e9 / (1024 * 1024); // ns/KiB into GiB/s: rate / figure
    std::printf("\n%s, ns/KiB and GiB/s\n", title);
    for (const contestant& each : all) {
        const double figure = found.figure(each.name);
        std::printf("    %-36s %8.3f %12.1f\n", each.name.c_str(), figure, rate / figure);
    }
    if (size >= 8192) {
        found.compare("walwire", rate / 25);
        found.compare("portable", rate / 1.8);
    }
    if (!instruction) return;
    found.compare("walwire", "one-way", size < 8192 ? 1.0 : 9.7 / 25);
    if (size >= 8192) found.compare("portable", "one-way", 9.7 / 1.8);
}

} // namespace

int main() {
    measure(64, "64 B");
    measure(128, "128 B");
    measure(8 * 1024, "8 KiB");
    measure(1024 * 1024, "1 MiB");
}
