#include <walwire/backup/manifest_writer.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "recorded_manifests.hpp"
#include "support/guard.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace walwire;
using namespace walwire::backup;

namespace {

// Writes what a reader tells. Each piece is first tried in rooms that are too small for it.
struct copyist {
    std::string text;
    path_form form = path_form::plain_where_possible;
    manifest_writer writer;
    bool patient = false;

    template <class Put>
    void piece(Put&& put) {
        for (std::size_t size = patient ? 0 : 4096;; ++size) {
            const support::guarded room(size);
            const auto written = put(room.span());
            if (!written && written.code() == errc::output_full) continue;
            REQUIRE(written);
            // end() asks for more than it may use.
            if (patient) CHECK((size == *written || size == manifest_writer::end_size_max));
            text += as_text(bytes(room.span()).first(*written));
            return;
        }
    }
    void operator()(const manifest_started& event) {
        piece(
            [&](mutable_bytes room) { return writer.start(event, auth::openssl_digests(), room); });
    }
    void operator()(const listed_file& event) {
        const std::size_t before = text.size();
        piece([&](mutable_bytes room) { return writer.file(event, room, form); });
        CHECK(text.size() - before <= manifest_piece_size_max(event));
    }
    void operator()(const wal_range& event) {
        piece([&](mutable_bytes room) { return writer.range(event, room); });
    }
    void operator()(const manifest_ended&) {
        piece([&](mutable_bytes room) { return writer.end(room); });
    }
    void operator()(const manifest_failed& event) { FAIL(walwire::text(event.code)); }
};

void copy(std::string_view text, copyist& by) {
    std::vector<std::byte> room(manifest_room_size);
    manifest_reader reader(room, auth::openssl_digests());
    bytes in = as_bytes(text);
    while (const auto event = reader.poll(in)) std::visit(by, *event);
    reader.finish();
    while (const auto event = reader.poll(in)) std::visit(by, *event);
}

struct page {
    std::array<std::byte, 1024> room;
    manifest_writer writer;

    page() { REQUIRE(start({1, std::nullopt}) == errc::none); }
    errc start(const manifest_started& as) {
        return writer.start(as, auth::openssl_digests(), room).code();
    }
    std::string file(const listed_file& entry, path_form form = path_form::plain_where_possible) {
        const auto size = writer.file(entry, room, form);
        if (!size) return std::string(text(size.code()));
        return std::string(as_text(bytes(room).first(*size)));
    }
};

listed_file named(std::string_view path) {
    return {path, 16, "2026-11-21 17:47:07 GMT", {}};
}

} // namespace

TEST_CASE("recorded manifests are written as their servers wrote them") {
    std::size_t copies = 0;
    for (const auto& each : manifests::everything()) {
        const std::string& name = each.first;
        const std::string& text = each.second;
        CAPTURE(name);
        const auto found = manifests::read(text);
        // Two were uploaded to a server to see them refused.
        if (name.ends_with("d32_incremental_errors")) {
            CHECK(found.code == errc::manifest_checksum_mismatch);
            continue;
        }
        REQUIRE(found.ended);
        copyist by;
        if (text.find("\"Path\"") == std::string::npos) by.form = path_form::encoded;
        copy(text, by);
        CHECK(by.text == text);
        ++copies;
    }
    CHECK(copies > 10);
}

TEST_CASE("a piece that does not fit changes nothing and is written when it fits") {
    const std::string text = manifests::sealed(
        manifests::first_lines +
        manifests::file_lines(manifests::entry("base/1/\\\"1\\u0001") + ",\n" +
                              manifests::entry("a", ", \"Checksum-Algorithm\": \"CRC32C\", "
                                                    "\"Checksum\": \"839206e3\"")) +
        manifests::ranges);
    copyist by;
    by.patient = true;
    copy(text, by);
    CHECK(by.text == text);
}

TEST_CASE("odd names are written as a server wrote them") {
    // By PostgreSQL 15, of files that were put into its data directory.
    constexpr std::string_view end =
        ", \"Size\": 16, \"Last-Modified\": \"2026-11-21 17:47:07 GMT\" }";
    const std::pair<std::string_view, std::string_view> names[] = {
        {"quote\"back\\slash", R"("Path": "quote\"back\\slash")"},
        {"tab\tnl\ncr\rbs\bff\f", R"("Path": "tab\tnl\ncr\rbs\bff\f")"},
        {"ctl\x01\x1f\x7f", "\"Path\": \"ctl\\u0001\\u001f\x7f\""},
        {"gr\xc3\xbc\xc3\x9f"
         "e \xf0\x9f\x98\x80",
         "\"Path\": \"gr\xc3\xbc\xc3\x9f"
         "e \xf0\x9f\x98\x80\""},
        {"blank end ", "\"Path\": \"blank end \""},
        {"bad\xff\xfe", "\"Encoded-Path\": \"626164fffe\""},
        {"over\xc0\xaf", "\"Encoded-Path\": \"6f766572c0af\""},
        {"sur\xed\xa0\x80", "\"Encoded-Path\": \"737572eda080\""},
        {"sl\xe2\x82", "\"Encoded-Path\": \"736ce282\""}};
    page into;
    std::string_view before = "\n{ ";
    for (const auto& [name, written] : names) {
        CHECK(into.file(named(name)) ==
              std::string(before) + std::string(written) + std::string(end));
        before = ",\n{ ";
    }
    CHECK(into.file(named("a"), path_form::encoded) ==
          ",\n{ \"Encoded-Path\": \"61\"" + std::string(end));
}

TEST_CASE("a manifest of nothing is one") {
    std::string text;
    std::array<std::byte, 256> room;
    manifest_writer writer;
    const auto add = [&](result<std::size_t> size) {
        REQUIRE(size);
        text += as_text(bytes(room).first(*size));
    };
    add(writer.start({2, 7}, auth::openssl_digests(), room));
    add(writer.end(room));
    CHECK(text ==
          manifests::sealed(manifests::first_lines + "\"Files\": [\n],\n\"WAL-Ranges\": [\n],\n"));
    const auto found = manifests::read(text);
    CHECK(found.ended);
}

TEST_CASE("what cannot be written is refused and the rest goes on") {
    page into;
    for (const std::string_view path : {"", "/a", "../a", "a//b", "a/"})
        CHECK(into.file(named(path)) == text(errc::manifest_path_refused));
    CHECK(into.file(named(std::string_view("a\0b", 3))) == text(errc::manifest_path_refused));
    listed_file odd = named("a");
    odd.last_modified = "\xff";
    CHECK(into.file(odd) == text(errc::argument_invalid));
    odd.last_modified = std::string_view("\0", 1);
    CHECK(into.file(odd) == text(errc::argument_invalid));
    CHECK(into.file(named("a")).starts_with("\n{ \"Path\": \"a\""));
    CHECK(into.writer.range({{0}, {1}, {2}}, into.room).code() == errc::argument_invalid);
    CHECK(into.writer.range({{1}, {3}, {2}}, into.room).code() == errc::argument_invalid);
    CHECK(into.writer.range({{1}, {2}, {2}}, into.room).code() == errc::none);
    CHECK(into.writer.end(into.room).code() == errc::none);
}

TEST_CASE("a version goes with its fields") {
    page into;
    CHECK(into.start({1, 7}) == errc::argument_invalid);
    CHECK(into.start({2, std::nullopt}) == errc::argument_invalid);
    CHECK(into.start({3, 7}) == errc::argument_invalid);
    CHECK(into.start({0, std::nullopt}) == errc::argument_invalid);
    CHECK(into.start({2, 7}) == errc::none);
    CHECK(into.start({1, std::nullopt}) == errc::none);
}

TEST_CASE("pieces have an order") {
    std::array<std::byte, 256> room;
    manifest_writer writer;
    const wal_range range{{1}, {1}, {2}};
    const auto with = auth::openssl_digests();
    CHECK(writer.file(named("a"), room).code() == errc::not_now);
    CHECK(writer.range(range, room).code() == errc::not_now);
    CHECK(writer.end(room).code() == errc::not_now);
    CHECK(writer.start({1, std::nullopt}, with, mutable_bytes(room).first(3)).code() ==
          errc::output_full);
    CHECK(writer.file(named("a"), room).code() == errc::not_now);
    CHECK(writer.start({1, std::nullopt}, with, room));
    CHECK(writer.file(named("a"), room));
    CHECK(writer.range(range, room));
    CHECK(writer.file(named("b"), room).code() == errc::not_now);
    CHECK(writer.range(range, room));
    CHECK(writer.end(mutable_bytes(room).first(manifest_writer::end_size_max - 1)).code() ==
          errc::output_full);
    CHECK(writer.end(room));
    CHECK(writer.file(named("a"), room).code() == errc::not_now);
    CHECK(writer.range(range, room).code() == errc::not_now);
    CHECK(writer.end(room).code() == errc::not_now);
    CHECK(writer.start({1, std::nullopt}, with, room)); // the next one
    CHECK(writer.end(room));
}

TEST_CASE("a digest that is missing or fails ends the manifest") {
    std::array<std::byte, 256> room;
    manifest_writer writer;
    CHECK(writer.start({1, std::nullopt}, {}, room).code() == errc::crypto_missing);
    CHECK(writer.file(named("a"), room).code() == errc::not_now);
    static int left = 0;
    auth::digests with;
    with.begin = [](void*, auth::digest_algorithm) noexcept -> void* {
        return left-- != 0 ? &left : nullptr;
    };
    with.update = [](void*, bytes) noexcept { return left-- != 0; };
    with.finish = [](void*, mutable_bytes) noexcept { return left-- != 0; };
    with.abandon = [](void*) noexcept {};
    for (int calls = 0; calls <= 6; ++calls) {
        left = calls;
        const errc codes[] = {writer.start({1, std::nullopt}, with, room).code(),
                              writer.file(named("a"), room).code(),
                              writer.range({{1}, {1}, {2}}, room).code(), writer.end(room).code()};
        int failed = 0;
        bool before = true;
        for (const errc code : codes) {
            if (code == errc::crypto_failed) ++failed;
            if (!before) CHECK(code == errc::not_now);
            before = code == errc::none;
        }
        CHECK(failed == (calls < 6 ? 1 : 0));
    }
}

TEST_CASE("random manifests read back as they were written") {
    support::prng random(11);
    for (int round = 0; round < 300; ++round) {
        std::vector<std::byte> room(8192);
        manifest_writer writer;
        manifests::rendered said;
        std::string text;
        const auto add = [&](result<std::size_t> size) {
            REQUIRE(size);
            text += as_text(bytes(room).first(*size));
        };
        manifest_started first{1, std::nullopt};
        if (random.chance(1, 2)) first = {2, random()};
        add(writer.start(first, auth::openssl_digests(), room));
        said(first);
        for (std::uint64_t i = random.below(6); i != 0; --i) {
            std::string path;
            while (path.empty() || !is_manifest_path(path)) {
                path.assign(random.between(1, 30), '\0');
                const bool ascii = random.chance(1, 2);
                for (char& c : path)
                    c = static_cast<char>(ascii ? random.between(1, 127) : random.between(1, 255));
            }
            listed_file entry{path, random(), "now\n", {}};
            entry.checksum.algorithm = static_cast<manifest_checksums>(random.below(6));
            random.fill(mutable_bytes(entry.checksum.digest)
                            .first(checksum_size(entry.checksum.algorithm)));
            add(writer.file(entry, room,
                            random.chance(1, 4) ? path_form::encoded
                                                : path_form::plain_where_possible));
            said(entry);
        }
        for (std::uint64_t i = random.below(3); i != 0; --i) {
            const std::uint64_t start = random();
            const wal_range range{{static_cast<std::uint32_t>(random.between(1, UINT32_MAX))},
                                  {start},
                                  {random.between(start, UINT64_MAX)}};
            add(writer.range(range, room));
            said(range);
        }
        add(writer.end(room));
        const auto found = manifests::read(text);
        CHECK(found.ended);
        CHECK(found.events.substr(0, found.events.rfind("ended")) == said.text);
    }
}

TEST_CASE("writing allocates nothing but the digest") {
    page into;
    support::allocations made;
    const bool all = into.writer.file(named("a"), into.room) &&
                     into.writer.range({{1}, {1}, {2}}, into.room) && into.writer.end(into.room);
    CHECK(made.count() == 0);
    CHECK(all);
}
