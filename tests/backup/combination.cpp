#include <walwire/backup/combination.hpp>

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <string>
#include <vector>

#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace walwire;
using namespace walwire::backup;

namespace {

using numbers = std::vector<std::uint32_t>;

block_layout small() {
    return *block_layout::of(1024, 100);
}

// One incremental file, with a mark for each of its blocks.
struct file {
    numbers blocks;
    std::uint32_t truncation_length = 0;
};

// A chain, the newest first, and how many blocks the full file has.
struct chain {
    std::vector<file> files;
    std::uint32_t full_blocks = 0;

    std::vector<incremental_source> sources() const {
        std::vector<incremental_source> made(files.size());
        for (std::size_t i = 0; i < files.size(); ++i) {
            made[i].blocks = files[i].blocks;
            made[i].truncation_length = files[i].truncation_length;
        }
        return made;
    }
};

// What each block of the result is, by the rules one after another: "0" is zeros, "f3" the full
// file's block 3, "1:3" block 3 of incremental file 1.
std::vector<std::string> expected(const chain& all) {
    const file& newest = all.files.front();
    std::map<std::uint32_t, std::string> found;
    for (std::uint32_t i = 0; i < all.full_blocks; ++i) found[i] = "f" + std::to_string(i);
    for (std::size_t i = all.files.size(); i-- > 0;) {
        if (i == 0) // older blocks count only below the newest truncation length
            found.erase(found.lower_bound(newest.truncation_length), found.end());
        for (const std::uint32_t block : all.files[i].blocks)
            found[block] = std::to_string(i) + ":" + std::to_string(block);
    }
    std::size_t size = newest.truncation_length;
    if (!found.empty() && found.rbegin()->first >= size) size = found.rbegin()->first + 1;
    std::vector<std::string> result(size, "0");
    for (const auto& [block, what] : found) result[block] = what;
    return result;
}

// The same by way of the combination: its extents, taken apart into blocks.
std::vector<std::string> combined(const chain& all, std::size_t* extents = nullptr) {
    auto sources = all.sources();
    const block_layout layout = small();
    auto made = combination::of(sources, all.full_blocks * 1024u + 500, layout);
    REQUIRE(made);
    combination walk = *made;
    std::vector<std::string> result;
    std::size_t count = 0;
    while (const auto next = walk.next()) {
        ++count;
        REQUIRE(next->size > 0);
        REQUIRE(next->offset == result.size() * 1024);
        for (std::uint64_t at = 0; at < next->size; at += 1024) {
            const std::uint64_t from = next->source_offset + at;
            if (next->origin == extent_origin::zeros) {
                REQUIRE(next->source_offset == 0);
                result.push_back("0");
            } else if (next->origin == extent_origin::full) {
                REQUIRE(from < all.full_blocks * 1024u);
                result.push_back("f" + std::to_string(from / 1024));
            } else {
                const numbers& blocks = all.files[next->source].blocks;
                const auto total = static_cast<std::uint32_t>(blocks.size());
                const std::uint64_t begin = incremental_header_size(total, layout);
                REQUIRE(from >= begin);
                result.push_back(std::to_string(next->source) + ":" +
                                 std::to_string(blocks.at((from - begin) / 1024)));
            }
        }
    }
    CHECK(walk.size() == result.size() * 1024);
    CHECK(!walk.next());
    if (extents) *extents = count;
    return result;
}

std::string joined(const std::vector<std::string>& parts) {
    std::string text;
    for (const std::string& part : parts) text += (text.empty() ? "" : " ") + part;
    return text;
}

errc code_of(const chain& all, std::optional<std::uint64_t> full_size) {
    auto sources = all.sources();
    return combination::of(sources, full_size, small()).code();
}

} // namespace

TEST_CASE("the example of the header's text") {
    const chain all{{{{1, 8}, 6}, {{1, 2, 5}, 4}}, 7};
    CHECK(joined(combined(all)) == "f0 0:1 1:2 f3 f4 1:5 0 0 0:8");
    CHECK(combined(all) == expected(all));
}

TEST_CASE("extents say where to copy from, and are as long as can be") {
    const chain all{{{{1, 2, 7}, 6}, {{2, 3, 4}, 6}}, 5};
    auto sources = all.sources();
    combination walk = *combination::of(sources, 5 * 1024, small());
    CHECK(walk.size() == 8 * 1024);
    CHECK(*walk.next() == extent{extent_origin::full, 0, 0, 0, 1024});
    CHECK(*walk.next() == extent{extent_origin::incremental, 0, 1024, 1024, 2048});
    // Block 2 of the older file is passed over, 3 and 4 stand side by side.
    CHECK(*walk.next() == extent{extent_origin::incremental, 1, 2048, 3072, 2048});
    CHECK(*walk.next() == extent{extent_origin::zeros, 0, 0, 5 * 1024, 2048});
    CHECK(*walk.next() == extent{extent_origin::incremental, 0, 3072, 7 * 1024, 1024});
    CHECK(!walk.next());
    CHECK(!walk.next());
}

TEST_CASE("a file that has not changed is one extent of the full one") {
    for (const std::size_t count : {1u, 2u, 5u}) {
        chain all;
        all.full_blocks = 100;
        all.files.resize(count, file{{}, 100});
        auto sources = all.sources();
        combination walk = *combination::of(sources, 100 * 1024, small());
        CHECK(walk.size() == 100 * 1024);
        CHECK(*walk.next() == extent{extent_origin::full, 0, 0, 0, 100 * 1024});
        CHECK(!walk.next());
    }
}

TEST_CASE("a chain may be of any lengths") {
    CHECK(joined(combined({{{{}, 0}}, 0})) == "");
    CHECK(joined(combined({{{{}, 0}}, 3})) == "");
    CHECK(joined(combined({{{{}, 2}}, 3})) == "f0 f1");
    CHECK(joined(combined({{{{}, 3}}, 1})) == "f0 0 0");
    CHECK(joined(combined({{{{0}, 0}}, 3})) == "0:0");
    CHECK(joined(combined({{{{2}, 0}}, 3})) == "0 0 0:2");
    CHECK(joined(combined({{{{99}, 100}}, 0})).ends_with("0 0 0:99"));
    // Only the newest file says how long the result is.
    CHECK(joined(combined({{{{}, 1}, {{0, 1, 2}, 9}}, 3})) == "1:0");
    CHECK(joined(combined({{{{}, 2}, {{}, 0}}, 2})) == "f0 f1");
}

TEST_CASE("a part of a block at the end of the full file counts for nothing") {
    const chain all{{{{}, 2}}, 0};
    auto sources = all.sources();
    combination walk = *combination::of(sources, 1023, small());
    CHECK(walk.next()->origin == extent_origin::zeros);
    walk = *combination::of(sources, 2047, small());
    CHECK(*walk.next() == extent{extent_origin::full, 0, 0, 0, 1024});
    CHECK(walk.next()->origin == extent_origin::zeros);
    walk = *combination::of(sources, UINT64_MAX, small());
    CHECK(*walk.next() == extent{extent_origin::full, 0, 0, 0, 2048});
}

TEST_CASE("a chain that cannot be combined is refused") {
    CHECK(code_of({{{{1}, 5}}, 0}, 0) == errc::none);
    CHECK(code_of({{{{1}, 5}}, 0}, std::nullopt) == errc::incremental_chain_broken);
    CHECK(code_of({}, 0) == errc::argument_invalid);
    CHECK(code_of({{{{99}, 100}}, 0}, 0) == errc::none);
    CHECK(code_of({{{{100}, 5}}, 0}, 0) == errc::incremental_block_invalid);
    CHECK(code_of({{{{1, 1}, 5}}, 0}, 0) == errc::incremental_block_invalid);
    CHECK(code_of({{{{1}, 5}, {{2, 1}, 5}}, 0}, 0) == errc::incremental_block_invalid);
    CHECK(code_of({{{{1}, 101}}, 0}, 0) == errc::incremental_header_invalid);
    CHECK(code_of({{{{1}, 5}, {{2}, 101}}, 0}, 0) == errc::incremental_header_invalid);
    combination fresh;
    CHECK(fresh.size() == 0);
    CHECK(!fresh.next());
}

TEST_CASE("the same sources can be combined again") {
    const chain all{{{{1, 2}, 6}, {{3}, 6}}, 5};
    auto sources = all.sources();
    for (int again = 0; again < 2; ++again) {
        combination walk = *combination::of(sources, 5 * 1024, small());
        std::size_t count = 0;
        while (walk.next()) ++count;
        CHECK(count == 5);
    }
}

TEST_CASE("random chains give what the rules give") {
    support::prng random(20170);
    for (int round = 0; round < 5000; ++round) {
        chain all;
        const auto limit = static_cast<std::uint32_t>(random.between(1, 100));
        all.full_blocks = static_cast<std::uint32_t>(random.below(limit + 1));
        all.files.resize(random.between(1, 5));
        for (file& each : all.files) {
            each.truncation_length = static_cast<std::uint32_t>(random.below(limit + 1));
            const std::uint64_t chance = random.below(101);
            for (std::uint32_t i = 0; i < limit; ++i)
                if (random.chance(chance, 100)) each.blocks.push_back(i);
        }
        const auto right = expected(all);
        std::size_t extents = 0;
        CHECK(combined(all, &extents) == right);
        CHECK(extents <= right.size());
    }
}

TEST_CASE("combining does not allocate") {
    const numbers newest{1, 5}, older{2};
    std::array<incremental_source, 2> sources;
    sources[0].blocks = newest;
    sources[0].truncation_length = 100;
    sources[1].blocks = older;
    sources[1].truncation_length = 100;
    std::size_t count = 0;
    support::allocations counted;
    auto walk = combination::of(sources, 1 << 20);
    combination all = *walk;
    while (all.next()) ++count;
    CHECK(counted.count() == 0);
    CHECK(count == 6);
}
