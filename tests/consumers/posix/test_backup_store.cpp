// A backup's events as a server would have to send them, honest and other, and what becomes of
// them. The calls that make things durable are replaced in this program and noted; nothing in
// backup_store knows.
#undef _FORTIFY_SOURCE
#include "backup_store.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <walwire/auth/openssl.hpp>
#include <walwire/backup/manifest_writer.hpp>
#include <walwire/backup/tar.hpp>

#include "failure.hpp"
#include "temporary_directory.hpp"

using namespace posix_test;
using posix::failure;
using walwire::backup::tar_entry;
using walwire::backup::tar_kind;
namespace backup = walwire::backup;
namespace fs = std::filesystem;

namespace {

// What was asked of the disk, in order, by the names in the directory that is watched.
struct watched_disk {
    std::string path; // empty: nothing is watched
    std::vector<std::string> log;
    bool knows_syncfs = true;
    std::string fails; // the step that does

    int step(const std::string& what) {
        if (path.empty()) return 0;
        log.push_back(what);
        if (what != fails) return 0;
        errno = EIO;
        return -1;
    }
    std::string name_of(int file) const {
        std::error_code ignored;
        const std::string link = "/proc/self/fd/" + std::to_string(file);
        const std::string found = fs::read_symlink(link, ignored);
        return found.starts_with(path + '/') ? found.substr(path.size() + 1) : "above";
    }
};
watched_disk disk;

struct watch {
    explicit watch(const std::string& path) { disk.path = path; }
    ~watch() { disk = {}; }
};

} // namespace

extern "C" {

int fsync(int file) {
    return disk.step("fsync " + disk.name_of(file));
}
int fdatasync(int file) {
    return disk.step("fsync " + disk.name_of(file));
}
int syncfs(int file) noexcept {
    if (disk.knows_syncfs) return disk.step("syncfs " + disk.name_of(file));
    errno = ENOSYS;
    return -1;
}
int renameat(int from, const char* old_name, int to, const char* new_name) noexcept {
    const std::string what = std::string("rename ") + old_name + " to " + new_name;
    if (disk.step(what) != 0) return -1;
    return static_cast<int>(::syscall(SYS_renameat2, from, old_name, to, new_name, 0));
}

} // extern "C"

namespace {

class archive {
  public:
    archive& file(std::string_view path, std::string_view body) {
        return add(tar_kind::file, path, {}, body);
    }
    archive& directory(std::string_view path) { return add(tar_kind::directory, path, {}, {}); }
    archive& link(std::string_view path, std::string_view target) {
        return add(tar_kind::symbolic_link, path, target, {});
    }
    // An empty file of a name that no header should have.
    archive& raw(std::string_view path) {
        const std::size_t at = bytes_.size();
        file("x", "");
        std::memcpy(bytes_.data() + at, path.data(), path.size());
        const backup::tar_block block(bytes_.data() + at, backup::tar_block_size);
        backup::detail::put_tar_number(block, backup::detail::tar_checksum,
                                       backup::detail::tar_sum(block));
        return *this;
    }
    std::vector<std::byte> whole() const {
        std::vector<std::byte> made = bytes_;
        made.resize(made.size() + backup::tar_trailer_size);
        return made;
    }

  private:
    archive& add(tar_kind kind, std::string_view path, std::string_view target,
                 std::string_view body) {
        tar_entry entry;
        entry.kind = kind;
        entry.path = path;
        entry.target = target;
        entry.size = body.size();
        entry.mode = 0600;
        std::array<std::byte, backup::tar_block_size> block{};
        REQUIRE(backup::put_tar_header(block, entry) == walwire::errc::none);
        bytes_.insert(bytes_.end(), block.begin(), block.end());
        const walwire::bytes content = walwire::as_bytes(body);
        bytes_.insert(bytes_.end(), content.begin(), content.end());
        bytes_.resize(bytes_.size() + backup::tar_padding(body.size()));
        return *this;
    }

    std::vector<std::byte> bytes_;
};

backup::checksum_value crc32c_of(std::string_view text) {
    backup::checksum sum;
    REQUIRE(sum.begin(backup::manifest_checksums::crc32c, {}) == walwire::errc::none);
    REQUIRE(sum.update(walwire::as_bytes(text)) == walwire::errc::none);
    return *sum.finish();
}

using files = std::vector<std::pair<std::string, std::string>>;

std::string manifest_of(const files& listed) {
    backup::manifest_writer writer;
    std::vector<std::byte> room(8192);
    std::string text;
    const auto put = [&](walwire::result<std::size_t> size) {
        REQUIRE(size.code() == walwire::errc::none);
        text += walwire::as_text(walwire::bytes(room).first(*size));
    };
    put(writer.start({2, 77}, walwire::auth::openssl_digests(), room));
    for (const auto& [path, body] : listed)
        put(writer.file({path, body.size(), "2026-01-01 00:00:00 GMT", crc32c_of(body)}, room));
    put(writer.range({{1}, {0x2000028}, {0x2000120}}, room));
    put(writer.end(room));
    return text;
}

// A server's side of it. What is refused is `said`; empty if nothing is.
struct taking {
    temporary_directory top;
    posix::backup_arguments given;
    walwire::replica::source_identified source;
    walwire::wire::base_backup what;
    std::optional<posix::backup_store> store;
    std::uint32_t listed = 0;
    std::string said;

    taking() {
        given.directory = top / "backup";
        source.system_identifier = 77;
        source.server_version = 17;
        source.timeline = {1};
        what.manifest = walwire::wire::backup_manifest::yes;
    }

    template <class Call>
    taking& step(Call&& call) {
        if (!said.empty()) return *this;
        try {
            if (!store) store.emplace(given, source, what);
            call();
        } catch (const failure& why) {
            said = why.what();
        }
        return *this;
    }
    // 0: the base directory.
    taking& list(std::uint32_t oid, const std::string& path = {}) {
        return step([&] { store->tablespace({listed++, oid, path, {}}); });
    }
    taking& bring(std::uint32_t index, std::uint32_t oid, const archive& content) {
        return step([&] {
            const std::vector<std::byte> bytes = content.whole();
            store->archive_started({index, {oid, walwire::wire::backup_compression::none}});
            store->archive_data(bytes);
            store->archive_ended();
        });
    }
    taking& manifest(const files& listed_files) {
        return step([&] {
            const std::string text = manifest_of(listed_files);
            store->manifest_opened();
            store->manifest_data(walwire::as_bytes(text));
            store->manifest_closed();
        });
    }
    std::string conclude() {
        step([&] { store->conclude({{0x2000028}, {1}}, {{0x2000120}, {1}}); });
        store.reset();
        return said;
    }
    bool nothing_left() const { return fs::is_empty(top.path()); }
};

archive base_with_link(const std::string& target = "/srv/a") {
    return archive()
        .file("PG_VERSION", "17\n")
        .directory("pg_tblspc")
        .link("pg_tblspc/16384", target);
}
archive tablespace() {
    return archive().directory("PG_17").file("PG_17/1", "one");
}
// A tablespace that has a place here, and the base directory that links to it.
void bring_both(taking& test) {
    test.given.tablespaces = {{"/srv/a", test.top / "away/a"}};
    test.list(16384, "/srv/a").list(0).bring(0, 16384, tablespace()).bring(1, 0, base_with_link());
}
const files all_files = {{"PG_VERSION", "17\n"}, {"pg_tblspc/16384/PG_17/1", "one"}};

constexpr const char* elsewhere = "is where something else of the backup goes";

} // namespace

TEST_CASE("an honest backup stands where it should") {
    taking test;
    bring_both(test);
    CHECK(test.manifest(all_files).conclude() == "");
    CHECK(read_file(test.top / "backup/PG_VERSION") == "17\n");
    CHECK(read_file(test.top / "away/a/PG_17/1") == "one");
    CHECK(fs::read_symlink(test.top / "backup/pg_tblspc/16384") == test.top / "away/a");
    CHECK(fs::exists(test.top / "backup/backup_manifest"));
    CHECK_FALSE(fs::exists(test.top / "backup/backup_manifest.tmp"));
}

TEST_CASE("where a tablespace goes is not the server's to say") {
    taking test;
    const std::string outside = test.top / "home/me";
    test.list(16384, outside);
    CHECK(test.said ==
          "there is no place here for tablespace \"" + outside + "\" (give it one by -T)");
    CHECK(test.conclude() == test.said);
    CHECK(test.nothing_left());
}

TEST_CASE("a mapping of what is no tablespace is refused before any archive comes") {
    taking test;
    test.given.tablespaces = {{"/srv/a", test.top / "a"}, {"/srv/b", "/here/b"}};
    test.list(16384, "/srv/a").list(0);
    CHECK(test.said ==
          "\"/srv/b\", which -T puts into \"/here/b\", is no tablespace of this backup");
    test.conclude();
    CHECK(test.nothing_left());
}

TEST_CASE("one that stands in the data directory needs no place") {
    taking test;
    test.list(16384, "pg_tblspc/16384").list(0).bring(0, 16384, tablespace());
    test.bring(1, 0, archive().file("PG_VERSION", "17\n").directory("pg_tblspc"));
    CHECK(test.manifest(all_files).conclude() == "");
    CHECK(read_file(test.top / "backup/pg_tblspc/16384/PG_17/1") == "one");
}

TEST_CASE("two things in one place are refused, and nothing is left of them") {
    const auto refused = [](const std::string& first, const std::string& second,
                            const std::string& linked_to = {}) {
        taking test;
        if (!linked_to.empty()) fs::create_symlink(test.top / linked_to, test.top / "link");
        test.given.tablespaces = {{"/srv/a", test.top / first}, {"/srv/b", test.top / second}};
        test.list(16384, "/srv/a").list(16385, "/srv/b");
        const std::string said = test.conclude();
        fs::remove(test.top / "link");
        CHECK(test.nothing_left());
        return said.ends_with(elsewhere) ? said.substr(0, said.size() - std::strlen(elsewhere) - 1)
                                         : "not refused: " + said;
    };
    const auto ends = [](const std::string& said, const std::string& path) {
        return said.starts_with('"') && said.ends_with('/' + path + '"');
    };
    CHECK(ends(refused("backup", "b"), "backup"));
    CHECK(ends(refused("backup/base", "b"), "backup/base"));
    CHECK(ends(refused("a", "a/"), "a/"));
    CHECK(ends(refused("a", "x/../a/./b"), "x/../a/./b"));
    CHECK(ends(refused("x/a", "x"), "x"));
    CHECK(ends(refused("a", "", ""), ""));
    CHECK(ends(refused("link/base", "b", "backup"), "link/base"));
    CHECK(ends(refused("a", "link", "a"), "link"));
    // Names alone that are alike.
    taking test;
    test.given.tablespaces = {{"/srv/a", test.top / "backup1"}, {"/srv/b", test.top / "backup12"}};
    CHECK(test.list(16384, "/srv/a").list(16385, "/srv/b").list(0).said == "");
}

TEST_CASE("a tablespace whose link does not come is none") {
    taking test;
    test.given.tablespaces = {{"/srv/a", test.top / "a"}};
    test.list(16384, "/srv/a").list(0).bring(0, 16384, tablespace());
    test.bring(1, 0, archive().file("PG_VERSION", "17\n").directory("pg_tblspc"));
    CHECK(test.manifest(all_files).conclude() ==
          "the backup has no link pg_tblspc/16384 to its tablespace \"/srv/a\"");
    CHECK(test.nothing_left());
}

TEST_CASE("no archive has a manifest, or one on its way") {
    for (const auto format : {posix::backup_format::plain, posix::backup_format::tar}) {
        for (const char* const name : {"backup_manifest", "backup_manifest.tmp"}) {
            for (const bool wanted : {false, true}) {
                taking test;
                test.given.format = format;
                if (!wanted) test.what.manifest = walwire::wire::backup_manifest::no;
                test.list(0).bring(0, 0, archive().file("PG_VERSION", "17\n").file(name, "{}"));
                CHECK(test.said.starts_with("archive \"base.tar\" has \"" + std::string(name)));
                test.conclude();
                CHECK(test.nothing_left());
            }
        }
    }
    // Elsewhere the name means nothing.
    taking test;
    test.list(0).bring(0, 0, archive().directory("a").file("a/backup_manifest", ""));
    CHECK(test.manifest({{"a/backup_manifest", ""}}).conclude() == "");
}

TEST_CASE("what is refused is named, with its archive") {
    for (const auto format : {posix::backup_format::plain, posix::backup_format::tar}) {
        for (const auto& [path, shown] :
             std::vector<std::pair<std::string, std::string>>{{"../evil", "../evil"},
                                                              {"/evil", "/evil"},
                                                              {"a//b", "a//b"},
                                                              {"a\nb", "a?b"},
                                                              {std::string("\0", 1), ""}}) {
            taking test;
            test.given.format = format;
            test.list(0).bring(0, 0, archive().file("PG_VERSION", "17\n").raw(path));
            CHECK(test.said.starts_with("archive \"base.tar\", at byte 1024, \"" + shown + "\": "));
        }
    }
}

TEST_CASE("in archives that are kept no path comes twice either") {
    const auto refused = [](archive content) {
        taking test;
        test.given.format = posix::backup_format::tar;
        test.list(16384, "/srv/a").list(0).bring(0, 16384, tablespace()).bring(1, 0, content);
        return test.said;
    };
    const std::string twice = ", which came before";
    CHECK(refused(base_with_link()) == "");
    CHECK(refused(base_with_link().directory("pg_tblspc")) == ""); // servers send some twice
    CHECK(refused(base_with_link().link("pg_tblspc/16384", "/srv/a")).ends_with(twice));
    CHECK(refused(base_with_link().directory("pg_tblspc/16384")).ends_with(twice));
    CHECK(refused(base_with_link().file("pg_tblspc/16384", "x")).ends_with(twice));
    CHECK(refused(base_with_link().directory("PG_VERSION")).ends_with(twice));
    CHECK(refused(base_with_link().file("PG_VERSION", "x")).ends_with(twice));
    CHECK(refused(base_with_link().file("pg_tblspc", "x")) ==
          "archive \"base.tar\" has \"pg_tblspc\"" + twice);
    const std::string nowhere = ", which is in no directory that came before";
    CHECK(refused(base_with_link().file("pg_tblspc/16384/z", "z")).ends_with(nowhere));
    CHECK(refused(base_with_link().file("PG_VERSION/z", "z")).ends_with(nowhere));
    CHECK(refused(base_with_link().file("absent/z", "z")).ends_with(nowhere));
    CHECK(refused(base_with_link().directory("absent/z")).ends_with(nowhere));
}

TEST_CASE("the manifest gets its name when all else is on the disk, and is there when it has it") {
    for (const bool at_once : {true, false}) {
        taking test;
        bring_both(test);
        const watch watching(test.top.path());
        disk.knows_syncfs = at_once;
        REQUIRE(test.manifest(all_files).conclude() == "");
        const auto at = [](const std::string& what) {
            return std::ranges::find(disk.log, what) - disk.log.begin();
        };
        const auto named = at("rename backup_manifest.tmp to backup_manifest");
        const auto end = std::ssize(disk.log);
        REQUIRE(named < end);
        std::vector<std::string> before = {"fsync backup/backup_manifest.tmp", "fsync backup",
                                           "fsync away/a", "fsync away", "fsync above"};
        if (at_once)
            before.insert(before.end(), {"syncfs backup", "syncfs away/a"});
        else
            before.insert(before.end(), {"fsync backup/PG_VERSION", "fsync backup/pg_tblspc",
                                         "fsync away/a/PG_17", "fsync away/a/PG_17/1"});
        for (const std::string& each : before) {
            CAPTURE(each);
            CHECK(at(each) < named);
        }
        // The manifest's content before everything, its name at the very last.
        CHECK(at(before.front()) < at(at_once ? "syncfs backup" : "fsync backup/PG_VERSION"));
        CHECK(named == end - 2);
        CHECK(disk.log.back() == "fsync backup");
    }
}

TEST_CASE("what the disk refuses ends it, and no manifest has its name") {
    for (const bool at_once : {true, false}) {
        for (const char* const step :
             {"fsync backup/backup_manifest.tmp", "syncfs backup", "syncfs away/a", "fsync backup",
              "fsync away/a", "fsync backup/PG_VERSION", "fsync away/a/PG_17",
              "rename backup_manifest.tmp to backup_manifest"}) {
            const bool comes = at_once ? std::strstr(step, "PG_") == nullptr
                                       : std::strstr(step, "syncfs") == nullptr;
            if (!comes) continue;
            CAPTURE(step);
            taking test;
            bring_both(test);
            const watch watching(test.top.path());
            disk.knows_syncfs = at_once;
            disk.fails = step;
            CHECK(test.manifest(all_files).conclude().ends_with(": Input/output error"));
            CHECK(test.nothing_left());
        }
    }
}
