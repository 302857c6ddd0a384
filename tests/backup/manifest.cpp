#include <walwire/backup/manifest.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <type_traits>

using namespace walwire;
using namespace walwire::backup;

TEST_CASE("events are views that can be copied byte by byte") {
    static_assert(std::is_trivially_copyable_v<manifest_event>);
    static_assert(std::is_nothrow_default_constructible_v<manifest_event>);
    CHECK(manifest_event(wal_range{}) != manifest_event(manifest_started{}));
}

TEST_CASE("a path has one form") {
    for (const std::string_view path :
         {"backup_label", "base/1/2606_fsm", "pg_tblspc/16392/PG_17_202406281/1/INCREMENTAL.16398",
          ".x", "..x", "x..", "a/.b/..c/d..", "...", "a/...", " ", "a\\b", "C:", "new\nline"})
        CHECK(is_manifest_path(path));
    for (const std::string_view path : {"", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", ".",
                                        "./a", "a/.", "a/./b", "a//b", "//a", "a/", "a//"}) {
        CAPTURE(path);
        CHECK(!is_manifest_path(path));
    }
    CHECK(!is_manifest_path(std::string_view("a\0b", 3)));
    CHECK(!is_manifest_path(std::string_view("\0", 1)));
    CHECK(!is_manifest_path(std::string_view("a/\0", 3)));
}

TEST_CASE("a manifest lists neither itself nor WAL") {
    for (const std::string_view path :
         {"backup_manifest", "pg_wal", "pg_wal/000000010000000000000009",
          "pg_wal/archive_status/000000010000000000000009.done", "pg_wal/00000002.history"})
        CHECK(!is_listed_kind(path));
    for (const std::string_view path :
         {"backup_label", "tablespace_map", "postgresql.auto.conf", "global/pg_control",
          "base/1/backup_manifest", "backup_manifest.old", "pg_wal2/x", "pg_wals", "base/pg_wal/x"})
        CHECK(is_listed_kind(path));
}

TEST_CASE("each field is found by its name, among those of its object only") {
    using backup::detail::find_manifest_field;
    using backup::detail::manifest_field;
    for (auto at = 0u; at <= static_cast<unsigned>(manifest_field::end_lsn); ++at) {
        const auto field = static_cast<manifest_field>(at);
        CHECK(find_manifest_field(name_of(field), field, field) == field);
        CHECK(find_manifest_field(name_of(field), manifest_field::version,
                                  manifest_field::end_lsn) == field);
    }
    CHECK(!find_manifest_field("Checksum", manifest_field::version, manifest_field::path));
    CHECK(!find_manifest_field("path", manifest_field::path, manifest_field::checksum));
    CHECK(!find_manifest_field("", manifest_field::version, manifest_field::end_lsn));
}
