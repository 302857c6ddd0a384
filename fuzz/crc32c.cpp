// Any bytes, cut anywhere: every way of computing their checksum that this processor has comes to
// what the definition says, and pieces come to the same as the whole.
//
// The first two bytes say where the rest is cut, and the third how often it is repeated, so that
// short inputs reach long folds too.
#include <walwire/wal/crc32c.hpp>

#include <cstdint>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::wal;
using namespace walwire::wal::detail;

namespace {

std::uint32_t by_definition(std::uint32_t state, bytes data) {
    for (const std::byte each : data) {
        state ^= std::to_integer<std::uint32_t>(each);
        for (int bit = 0; bit < 8; ++bit)
            state = (state >> 1) ^ ((state & 1) != 0 ? 0x82f63b78u : 0);
    }
    return state;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 3) return 0;
    const bytes said(reinterpret_cast<const std::byte*>(data + 3), size - 3);
    // Exactly as large as it is, so that a sanitizer sees what is read behind it.
    std::vector<std::byte> all;
    all.reserve(said.size() * (1u + data[2] % 64));
    for (unsigned times = 0; times <= data[2] % 64u; ++times)
        all.insert(all.end(), said.begin(), said.end());
    const bytes whole(all);
    const bytes first = whole.first((data[0] * 256u + data[1]) % (whole.size() + 1));
    const bytes second = whole.subspan(first.size());

    const std::uint32_t expected = by_definition(UINT32_MAX, whole);
    for (const crc_way way : {crc_way::portable, crc_way::one_way, crc_way::folded}) {
        if (!crc_has(way)) continue;
        check(crc_extend(way, UINT32_MAX, whole) == expected, "every way agrees");
        const std::uint32_t half = crc_extend(way, UINT32_MAX, first);
        check(crc_extend(way, half, second) == expected, "pieces come to the whole");
    }
    const crc32c sum = crc32c().update(first);
    check(crc32c(sum.value()).update(second).value() == ~expected, "a value can be gone on from");
    check(crc32c().update(whole).value() == ~expected, "what callers get");
    return 0;
}
