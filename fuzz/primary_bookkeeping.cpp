// Any bytes as a primary's life: what happens to slots, replicas, commits and the list of
// synchronous standbys, each step compared with a model in plain words (support/bookkeeping.hpp).
//
// Each choice takes a byte; the life ends with the bytes.
#include <walwire/primary/registry.hpp>

#include <cstddef>
#include <cstdint>

#include "support/bookkeeping.hpp"
#include "support/check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::size_t at = 0;
    support::bookkeeping books(
        [&](std::uint64_t below) { return at < size ? data[at++] % below : 0; },
        [](bool holds, const char* what) { check(holds, what); });
    while (at < size) books.step();
    return 0;
}
