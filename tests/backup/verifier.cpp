#include <walwire/backup/verifier.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace walwire;
using namespace walwire::backup;

namespace {

checksum_value sum(unsigned first, manifest_checksums algorithm = manifest_checksums::crc32c) {
    checksum_value value;
    value.algorithm = algorithm;
    if (algorithm != manifest_checksums::none) value.digest[0] = static_cast<std::byte>(first);
    return value;
}

listed_file file(std::string_view path, std::uint64_t size, const checksum_value& checksum) {
    return {path, size, "", checksum};
}

std::vector<std::string> extras(const verifier& files) {
    std::vector<std::string> paths;
    files.each_extra([&](const file_record& each) { paths.emplace_back(each.path); });
    std::sort(paths.begin(), paths.end());
    return paths;
}

} // namespace

TEST_CASE("each listed file is found to be what it is") {
    std::vector<file_record> table(20);
    verifier files(table);
    CHECK(files.seen("base/1/1", 10, sum(1)) == errc::none);
    CHECK(files.seen("base/1/2", 10, sum(2)) == errc::none);
    CHECK(files.seen("base/1/3", 10, sum(3)) == errc::none);
    CHECK(files.seen("base/1/4", 10, sum(4, manifest_checksums::sha256)) == errc::none);
    CHECK(files.seen("base/1/5", 10, sum(5)) == errc::none);
    CHECK(files.seen("base/1/6", 10, sum(0, manifest_checksums::none)) == errc::none);
    CHECK(files.seen("base/1/7", 10, sum(7)) == errc::none);
    CHECK(files.size() == 7);
    CHECK(extras(files).size() == 7);
    CHECK(files.has("base/1/7"));
    CHECK(!files.has("base/1/8"));
    CHECK(!files.has("base/1"));

    CHECK(files.listed(file("base/1/1", 10, sum(1))) == finding::matched);
    CHECK(files.listed(file("base/1/2", 11, sum(2))) == finding::size_differs);
    CHECK(files.listed(file("base/1/3", 10, sum(9))) == finding::checksum_differs);
    CHECK(files.listed(file("base/1/4", 10, sum(4))) == finding::not_computed);
    CHECK(files.listed(file("base/1/5", 10, sum(0, manifest_checksums::none))) == finding::matched);
    CHECK(files.listed(file("base/1/6", 10, sum(0))) == finding::not_computed);
    CHECK(files.listed(file("base/1/8", 10, sum(1))) == finding::missing);
    CHECK(extras(files) == std::vector<std::string>{"base/1/7"});
}

TEST_CASE("a second entry of one path is told, whatever it says") {
    std::vector<file_record> table(4);
    verifier files(table);
    CHECK(files.seen("a", 1, sum(1)) == errc::none);
    CHECK(files.listed(file("a", 2, sum(1))) == finding::size_differs);
    CHECK(files.listed(file("a", 1, sum(1))) == finding::listed_twice);
    CHECK(files.listed(file("a", 1, sum(1))) == finding::listed_twice);
    CHECK(extras(files).empty());
}

TEST_CASE("a second file of one path is refused and the first one stays") {
    std::vector<file_record> table(4);
    verifier files(table);
    CHECK(files.seen("a", 1, sum(1)) == errc::none);
    CHECK(files.seen("a", 2, sum(2)) == errc::file_seen_twice);
    CHECK(files.size() == 1);
    CHECK(files.listed(file("a", 1, sum(1))) == finding::matched);
}

TEST_CASE("a path that no manifest can list is refused") {
    std::vector<file_record> table(4);
    verifier files(table);
    for (const std::string_view path : {"", "/a", "../a", "a//b", "a/"})
        CHECK(files.seen(path, 1, sum(1)) == errc::manifest_path_refused);
    CHECK(files.size() == 0);
    CHECK(files.listed(file("", 0, sum(0))) == finding::missing);
}

TEST_CASE("a table takes the files that it has room for") {
    for (std::size_t count = 0; count < 50; ++count) {
        std::vector<std::string> paths;
        for (std::size_t i = 0; i <= count; ++i) paths.push_back("f" + std::to_string(i));
        std::vector<file_record> table(verifier_table_size(count));
        verifier files(table);
        for (std::size_t i = 0; i < count; ++i)
            CHECK(files.seen(paths[i], i, sum(1)) == errc::none);
        // Sizes are rounded, so that one more may fit, and then no more.
        std::vector<file_record> exact(verifier_table_size(count + 1) - 1);
        verifier other(exact);
        for (std::size_t i = 0; i < count; ++i)
            CHECK(other.seen(paths[i], i, sum(1)) == errc::none);
        CHECK(other.seen(paths[count], 0, sum(1)) == errc::too_many);
        CHECK(other.size() == count);
        if (count > 0) CHECK(other.seen(paths[0], 0, sum(1)) == errc::file_seen_twice);
        CHECK(other.listed(file(paths[count], 0, sum(1))) == finding::missing);
    }
}

TEST_CASE("a verifier without a table has no room and finds nothing") {
    verifier files({});
    CHECK(files.seen("a", 1, sum(1)) == errc::too_many);
    CHECK(files.listed(file("a", 1, sum(1))) == finding::missing);
    CHECK(files.capacity() == 0);
    CHECK(extras(files).empty());
    CHECK(files.move_to({}) == errc::none);
}

TEST_CASE("what a table held before means nothing, and what it holds can be cleared") {
    std::vector<file_record> table(4);
    {
        verifier files(table);
        CHECK(files.seen("a", 1, sum(1)) == errc::none);
    }
    verifier files(table);
    CHECK(files.size() == 0);
    CHECK(files.listed(file("a", 1, sum(1))) == finding::missing);
    CHECK(files.seen("a", 1, sum(1)) == errc::none);
    files.clear();
    CHECK(files.size() == 0);
    CHECK(extras(files).empty());
    CHECK(files.seen("a", 2, sum(2)) == errc::none);
}

TEST_CASE("a table is left for a larger one when it is full") {
    std::vector<std::string> paths;
    for (std::size_t i = 0; i < 1000; ++i) paths.push_back("base/1/" + std::to_string(i));
    std::vector<std::vector<file_record>> tables;
    tables.emplace_back(2);
    verifier files(tables.back(), 42);
    for (std::size_t i = 0; i < paths.size(); ++i) {
        errc code = files.seen(paths[i], i, sum(static_cast<unsigned>(i)));
        if (code == errc::too_many) {
            if (i > 3) CHECK(files.listed(file(paths[i - 2], i - 2, sum(0))) != finding::missing);
            tables.emplace_back(2 * files.capacity());
            CHECK(files.move_to(tables.back()) == errc::none);
            CHECK(files.size() == i);
            code = files.seen(paths[i], i, sum(static_cast<unsigned>(i)));
        }
        CHECK(code == errc::none);
    }
    CHECK(tables.size() > 8);
    std::size_t again = 0;
    for (std::size_t i = 0; i < paths.size(); ++i) {
        const auto found = files.listed(file(paths[i], i, sum(static_cast<unsigned>(i))));
        if (found == finding::listed_twice) ++again;
        CHECK((found == finding::matched || found == finding::listed_twice));
    }
    CHECK(again > 0); // being listed moved along
    CHECK(extras(files).empty());
}

TEST_CASE("a table that is too small is not moved to") {
    std::vector<file_record> table(10), small(3);
    verifier files(table);
    for (const std::string_view path : {"a", "b", "c"})
        CHECK(files.seen(path, 1, sum(1)) == errc::none);
    CHECK(files.move_to(small) == errc::too_many);
    CHECK(files.move_to({}) == errc::too_many);
    CHECK(files.capacity() == 10);
    CHECK(files.listed(file("b", 1, sum(1))) == finding::matched);
}

TEST_CASE("random files and entries are judged as a map would") {
    support::prng random(7);
    for (int round = 0; round < 200; ++round) {
        std::vector<std::string> paths;
        for (std::uint64_t i = 0; i < 40; ++i)
            paths.push_back(std::string(random.between(1, 20), 'x') + std::to_string(i));
        std::vector<file_record> table(random.between(0, 60));
        verifier files(table, random());
        std::map<std::string, std::pair<std::uint64_t, unsigned>> model;
        for (int step = 0; step < 60; ++step) {
            const std::string& path = paths[random.below(paths.size())];
            const std::uint64_t size = random.below(3);
            const auto first = static_cast<unsigned>(random.below(2));
            const errc code = files.seen(path, size, sum(first));
            const bool fits = verifier_table_size(model.size() + 1) <= table.size();
            const bool there = model.count(path) > 0;
            CHECK(code == (there ? errc::file_seen_twice : fits ? errc::none : errc::too_many));
            if (!there && fits) model[path] = {size, first};
        }
        CHECK(files.size() == model.size());
        std::map<std::string, int> listed;
        for (int step = 0; step < 40; ++step) {
            const std::string& path = paths[random.below(paths.size())];
            const std::uint64_t size = random.below(3);
            const auto first = static_cast<unsigned>(random.below(2));
            finding expected = finding::missing;
            if (const auto at = model.find(path); at != model.end()) {
                expected = listed[path]++ > 0           ? finding::listed_twice
                           : at->second.first != size   ? finding::size_differs
                           : at->second.second != first ? finding::checksum_differs
                                                        : finding::matched;
            }
            CHECK(files.listed(file(path, size, sum(first))) == expected);
        }
        std::vector<std::string> rest;
        for (const auto& each : model)
            if (listed[each.first] == 0) rest.push_back(each.first);
        CHECK(extras(files) == rest);
    }
}

TEST_CASE("nothing about verifying allocates") {
    std::vector<file_record> table(10), larger(20);
    support::allocations made;
    verifier files(table);
    const bool all = files.seen("a", 1, sum(1)) == errc::none &&
                     files.listed(file("a", 1, sum(1))) == finding::matched &&
                     files.move_to(larger) == errc::none;
    CHECK(made.count() == 0);
    CHECK(all);
}
