#include "verification.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <openssl/sha.h>

#include "failure.hpp"

using posix::failure;
using posix::verification;
using walwire::backup::manifest_checksums;

namespace {

struct file {
    std::string path;
    std::string body;
    std::string checksum; // with its algorithm, as in a manifest
};

// CRC-32C of "123456789", and SHA-256 of "abc".
const file digits{"base/5/1", "123456789",
                  R"(, "Checksum-Algorithm": "CRC32C", "Checksum": "839206e3")"};
const file letters{"global/1", "abc",
                   R"(, "Checksum-Algorithm": "SHA256", "Checksum": )"
                   R"("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")"};
const file bare{"PG_VERSION", "18\n", ""};

// Where a backup starts and ends.
const walwire::backup::started from{{0x2000028}, {1}};
const walwire::backup::ended to{{0x2000100}, {1}};
const std::string ranges = "{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", "
                           "\"End-LSN\": \"0/2000100\" }";

std::string manifest_of(const std::vector<file>& files, const std::string& wal = ranges) {
    std::string text = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [";
    for (const file& each : files)
        text += std::string(&each == files.data() ? "\n" : ",\n") + "{ \"Path\": \"" + each.path +
                "\", \"Size\": " + std::to_string(each.body.size()) +
                ", \"Last-Modified\": \"2026-01-01 00:00:00 GMT\"" + each.checksum + " }";
    text += "\n],\n\"WAL-Ranges\": [\n" + wal + "\n],\n";
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    text += "\"Manifest-Checksum\": \"";
    for (const unsigned char each : digest)
        for (const int digit : {each >> 4, each & 15}) text += "0123456789abcdef"[digit];
    return text + "\"}\n";
}

void come(verification& check, const file& each) {
    check.file(each.path);
    for (std::size_t at = 0; at < each.body.size(); at += 2)
        check.data(walwire::as_bytes(std::string_view(each.body).substr(at, 2)));
    check.file_ended();
}

// What is said of a backup that came with this manifest; empty if it is well.
std::string verdict(manifest_checksums algorithm, const std::vector<file>& came,
                    const std::string& manifest) {
    verification check(algorithm);
    try {
        for (const file& each : came) come(check, each);
        for (std::size_t at = 0; at < manifest.size(); at += 100)
            check.manifest(walwire::as_bytes(std::string_view(manifest).substr(at, 100)));
        check.conclude(from, to);
    } catch (const failure& why) {
        return why.what();
    }
    return {};
}

file with_body(file each, std::string body) {
    each.body = std::move(body);
    return each;
}
file with_path(file each, std::string path) {
    each.path = std::move(path);
    return each;
}

} // namespace

TEST_CASE("a backup that is what its manifest says is well") {
    CHECK(verdict(manifest_checksums::crc32c, {digits, with_path(digits, "pg_wal/1")},
                  manifest_of({digits})) == "");
    CHECK(verdict(manifest_checksums::sha256, {letters}, manifest_of({letters})) == "");
    CHECK(verdict(manifest_checksums::none, {bare, with_path(bare, "x")},
                  manifest_of({with_path(bare, "x"), bare})) == "");
    CHECK(verdict(manifest_checksums::none, {}, manifest_of({})) == "");
}

TEST_CASE("the file that is not what it should be is named") {
    const std::string manifest = manifest_of({digits});
    const auto crc = manifest_checksums::crc32c;
    const std::string prefix = "the backup is not what its manifest says: file ";
    CHECK(verdict(crc, {with_body(digits, "123456780")}, manifest) ==
          prefix + "\"base/5/1\" has another checksum than the manifest says");
    CHECK(verdict(crc, {with_body(digits, "12345678")}, manifest) ==
          prefix + "\"base/5/1\" has another size than the manifest says");
    CHECK(verdict(crc, {}, manifest) ==
          prefix + "\"base/5/1\" is in the manifest but did not come");
    CHECK(verdict(crc, {digits, bare}, manifest) ==
          prefix + "\"PG_VERSION\" is not in the manifest");
    CHECK(verdict(crc, {digits}, manifest_of({digits, digits})) ==
          prefix + "\"base/5/1\" is in the manifest twice");
    CHECK(verdict(manifest_checksums::sha256, {digits}, manifest) ==
          prefix + "\"base/5/1\" has a checksum that was not asked for");
    CHECK(verdict(crc, {bare}, manifest) ==
          prefix + "\"base/5/1\" is in the manifest but did not come (and 1 more)");
    CHECK(verdict(crc, {digits, bare}, manifest_of({bare, digits})) ==
          prefix + "\"PG_VERSION\" has no checksum in the manifest");
    CHECK(verdict(crc, {bare}, manifest_of({bare})) ==
          prefix + "\"PG_VERSION\" has no checksum in the manifest");
}

TEST_CASE("the WAL that a manifest needs is that of its backup") {
    const auto range = [](unsigned timeline, const char* start, const char* end) {
        return "{ \"Timeline\": " + std::to_string(timeline) + ", \"Start-LSN\": \"" + start +
               "\", \"End-LSN\": \"" + end + "\" }";
    };
    const auto said = [](const std::string& wal, walwire::timeline_id last = {1}) {
        verification check(manifest_checksums::none);
        const std::string manifest = manifest_of({}, wal);
        check.manifest(walwire::as_bytes(manifest));
        try {
            check.conclude(from, {to.end, last});
        } catch (const failure& why) {
            return std::string(why.what());
        }
        return std::string();
    };
    const std::string wrong = "the WAL that the backup's manifest needs is not that of this "
                              "backup, from 0/2000028 to 0/2000100";
    CHECK(said(ranges) == "");
    CHECK(said("") == wrong);
    CHECK(said(range(1, "0/2000029", "0/2000100")) == wrong);
    CHECK(said(range(1, "0/2000027", "0/2000100")) == wrong);
    CHECK(said(range(1, "0/2000028", "0/2000101")) == wrong);
    CHECK(said(range(1, "0/2000028", "0/20000FF")) == wrong);
    CHECK(said(range(2, "0/2000028", "0/2000100")) == wrong);
    CHECK(said(ranges + ", " + ranges) == wrong);
    // Of a standby that was promoted from timeline to timeline: from the newest back.
    const std::string third = range(3, "0/2000090", "0/2000100");
    const std::string second = range(2, "0/2000060", "0/2000090");
    const std::string first = range(1, "0/2000028", "0/2000060");
    CHECK(said(third + ", " + second + ", " + first, {3}) == "");
    CHECK(said(first + ", " + second + ", " + third, {3}) == "");
    CHECK(said(third + ", " + second + ", " + first, {2}) == wrong);
    CHECK(said(third + ", " + first, {3}) == wrong);
    CHECK(said(third + ", " + second, {3}) == wrong);
    CHECK(said(second + ", " + first, {3}) == wrong);
    CHECK(said(range(3, "0/2000091", "0/2000100") + ", " + second + ", " + first, {3}) == wrong);
    // One that begins or ends where there was no WAL between two promotions.
    CHECK(said(third + ", " + range(2, "0/2000090", "0/2000090") + ", " +
                   range(1, "0/2000028", "0/2000090"),
               {3}) == "");
}

TEST_CASE("a manifest that cannot be read is refused with the file that it was about") {
    const std::string manifest = manifest_of({with_path(digits, "../etc/\x7fpasswd")});
    CHECK(
        verdict(manifest_checksums::crc32c, {digits}, manifest).find("file \"../etc/?passwd\": ") !=
        std::string::npos);
}

TEST_CASE("a manifest that was changed or cut is no manifest") {
    const std::string manifest = manifest_of({digits});
    for (std::size_t size = 0; size < manifest.size(); ++size) {
        CAPTURE(size);
        CHECK_FALSE(
            verdict(manifest_checksums::crc32c, {digits}, manifest.substr(0, size)).empty());
    }
    std::string changed = manifest;
    changed.replace(changed.find("2026"), 4, "2025");
    CHECK(verdict(manifest_checksums::crc32c, {digits}, changed).find("manifest") !=
          std::string::npos);
    CHECK_FALSE(verdict(manifest_checksums::crc32c, {digits}, manifest + "{}").empty());
}

TEST_CASE("a file that comes twice is refused by its name") {
    CHECK(verdict(manifest_checksums::none, {bare, bare}, manifest_of({bare}))
              .starts_with("file \"PG_VERSION\": "));
}

TEST_CASE("it grows with the number of files") {
    std::vector<file> files;
    for (int i = 0; i < 10'000; ++i) files.push_back(with_path(digits, "f" + std::to_string(i)));
    std::vector<file> other = files;
    std::reverse(other.begin(), other.end());
    CHECK(verdict(manifest_checksums::crc32c, files, manifest_of(other)) == "");
    other.pop_back();
    CHECK(verdict(manifest_checksums::crc32c, files, manifest_of(other))
              .ends_with("file \"f0\" is not in the manifest"));
}

TEST_CASE("it says how much was verified") {
    verification check(manifest_checksums::crc32c);
    come(check, digits);
    come(check, with_path(digits, "x"));
    const std::string manifest = manifest_of({digits, with_path(digits, "x")});
    check.manifest(walwire::as_bytes(manifest));
    check.conclude(from, to);
    CHECK(check.files() == 2);
    CHECK(check.listed() == 2);
    CHECK(check.checked() == 2);
    CHECK(check.has("base/5/1"));
    CHECK_FALSE(check.has("base/5/2"));
}

TEST_CASE("a manifest that names another system is refused at once") {
    const std::string named = "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n"
                              "\"System-Identifier\": 7300000000000000001,\n";
    verification ours(manifest_checksums::crc32c, 7'300'000'000'000'000'001);
    ours.manifest(walwire::as_bytes(named));
    verification unnamed(manifest_checksums::crc32c, 7'300'000'000'000'000'001);
    unnamed.manifest(walwire::as_bytes(manifest_of({digits}).substr(0, 60)));
    verification other(manifest_checksums::crc32c, 7'300'000'000'000'000'002);
    CHECK_THROWS_WITH(other.manifest(walwire::as_bytes(named + "\"Files\": [")),
                      "the backup's manifest is of another system, 7300000000000000001");
}
