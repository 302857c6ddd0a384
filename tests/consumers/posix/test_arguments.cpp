#include "arguments.hpp"

#include <doctest/doctest.h>

#include <span>
#include <string>
#include <utility>
#include <vector>

using posix::backup_arguments;
using posix::backup_format;
using posix::backup_log;
using walwire::wire::backup_compression;
using walwire::wire::manifest_checksums;

namespace {

backup_arguments parsed(std::vector<std::string> words) {
    std::vector<char*> given;
    for (std::string& word : words) given.push_back(word.data());
    return posix::parse_backup(given);
}

std::string refusal(std::vector<std::string> words) {
    try {
        parsed(std::move(words));
    } catch (const posix::usage_error& why) {
        return why.what();
    }
    return {};
}

} // namespace

TEST_CASE("a backup without options is plain, streams its log and is verified") {
    const backup_arguments made = parsed({"-d", "host=db", "-D", "dir"});
    CHECK(made.conninfo == "host=db");
    CHECK(made.directory == "dir");
    CHECK(made.format == backup_format::plain);
    CHECK(made.log == backup_log::stream);
    CHECK(made.checkpoint == walwire::wire::backup_checkpoint::spread);
    CHECK(made.manifest);
    CHECK(made.verify_checksums);
    CHECK(made.slot);
    CHECK(made.clean);
    CHECK_FALSE(made.compression);
    CHECK_FALSE(made.checksums);
    CHECK_FALSE(made.progress);
    CHECK_FALSE(made.verbose);
}

TEST_CASE("a backup's options are pg_basebackup's, short and long") {
    const backup_arguments made =
        parsed({"--pgdata=dir", "-Ft", "-X", "fetch", "-cfast", "-l", "label",
                "--manifest-checksums", "sha224", "-Zzstd:7", "--max-rate=2M", "-Pv", "-n",
                "--no-slot", "--no-verify-checksums", "-i", "old/backup_manifest"});
    CHECK(made.format == backup_format::tar);
    CHECK(made.log == backup_log::fetch);
    CHECK(made.checkpoint == walwire::wire::backup_checkpoint::fast);
    CHECK(made.label == "label");
    CHECK(made.checksums == manifest_checksums::sha224);
    CHECK(made.compression == backup_compression::zstd);
    CHECK(made.compression_detail == "7");
    CHECK(made.max_rate == 2048);
    CHECK(made.progress);
    CHECK(made.verbose);
    CHECK_FALSE(made.clean);
    CHECK_FALSE(made.slot);
    CHECK_FALSE(made.verify_checksums);
    CHECK(made.incremental == "old/backup_manifest");
    CHECK(parsed({"-D", "d", "-r", "32"}).max_rate == 32);
    CHECK(parsed({"-D", "d", "-r", "100k"}).max_rate == 100);
    CHECK_FALSE(parsed({"-D", "d", "-Z", "none"}).compression);
}

TEST_CASE("a tablespace's mapping is two absolute paths, in which '=' is escaped") {
    const backup_arguments made =
        parsed({"-D", "d", "-T", "/a=/b", "--tablespace-mapping", "/c\\=d\\e=/f\\=g"});
    REQUIRE(made.tablespaces.size() == 2);
    CHECK(made.tablespaces[0] == std::pair<std::string, std::string>("/a", "/b"));
    CHECK(made.tablespaces[1] == std::pair<std::string, std::string>("/c=d\\e", "/f=g"));
    for (const char* const wrong : {"", "/a", "=", "/a=", "=/b", "a=/b", "/a=b", "/a=/b=/c"})
        CHECK(refusal({"-D", "d", "-T", wrong}).find("-T cannot be") != std::string::npos);
    CHECK_FALSE(refusal({"-D", "d", "-T", "/a=/b", "-T", "/a=/c"}).empty());
    CHECK_FALSE(refusal({"-D", "d", "-T", "/a=/b", "-T", "/c=/b"}).empty());
}

TEST_CASE("what a backup cannot be asked for is named") {
    CHECK(refusal({}) == "backup needs a directory (-D)");
    CHECK(refusal({"-D", "d", "-F", "zip"}) == "option -F cannot be \"zip\"");
    CHECK(refusal({"-D", "d", "-X", "x"}) == "option -X cannot be \"x\"");
    CHECK(refusal({"-D", "d", "-c", "now"}) == "option -c cannot be \"now\"");
    CHECK(refusal({"-D", "d", "-Z", "bzip2:1"}) == "option -Z cannot be \"bzip2\"");
    CHECK(refusal({"-D", "d", "--manifest-checksums", "md5"}) ==
          "option --manifest-checksums cannot be \"md5\"");
    for (const char* const rate : {"", "31", "1048577", "1025M", "k", "1G", "-5"})
        CHECK_FALSE(refusal({"-D", "d", "-r", rate}).empty());
    CHECK_FALSE(refusal({"-D", "d", "--no-manifest", "--manifest-checksums", "none"}).empty());
    CHECK_FALSE(refusal({"-D", "d", "-Ft", "-T", "/a=/b"}).empty());
    CHECK_FALSE(refusal({"-D", "d", "--progress=yes"}).empty());
    CHECK_FALSE(refusal({"-D", "d", "--what"}).empty());
}

namespace {

template <class Parse>
auto parsed_by(Parse&& parse, std::vector<std::string> words) {
    std::vector<char*> given;
    for (std::string& word : words) given.push_back(word.data());
    return parse(std::span<char*>(given));
}

} // namespace

TEST_CASE("the dialect is PostgreSQL's unless AionDB's is asked for") {
    using walwire::dialect;
    CHECK(parsed_by(posix::parse_receive, {"-D", "dir"}).dialect == dialect::postgres);
    for (const char* name : {"postgres", "aiondb"}) {
        const dialect wanted = name == std::string("aiondb") ? dialect::aiondb : dialect::postgres;
        const std::string word = std::string("--dialect=") + name;
        CHECK(parsed_by(posix::parse_receive, {"-D", "dir", word}).dialect == wanted);
        CHECK(parsed_by(posix::parse_backup, {"-D", "dir", word}).dialect == wanted);
        CHECK(parsed_by(posix::parse_identify, {word}).dialect == wanted);
        CHECK(parsed_by(posix::parse_serve, {"--listen", ":1", "--wal", "d", word}).dialect ==
              wanted);
    }
    CHECK_THROWS_AS(parsed_by(posix::parse_receive, {"-D", "dir", "--dialect", "mysql"}),
                    posix::usage_error);
    CHECK_THROWS_AS(parsed_by(posix::parse_serve, {"--listen", ":1", "--wal", "d", "--dialect",
                                                   "aiondb", "--server-version", "15"}),
                    posix::usage_error);
    CHECK(refusal({"-D", "dir", "--dialect", "aiondb", "-Ft"}) ==
          "AionDB's backups have no options");
}

TEST_CASE("an end is a position, or for AionDB an entry's number as well") {
    const auto end_of = [](std::vector<std::string> words) {
        words.insert(words.begin(), {"-D", "dir"});
        return *parsed_by(posix::parse_receive, std::move(words)).end;
    };
    CHECK(end_of({"-E", "1/A"}) == walwire::lsn{0x1'0000'000a});
    CHECK(end_of({"-E", "1/0000000A", "--dialect", "aiondb"}) == walwire::lsn{0x1'0000'000a});
    CHECK(end_of({"-E", "4711", "--dialect", "aiondb"}) == walwire::lsn{4711});
    CHECK_THROWS_AS(end_of({"-E", "4711"}), posix::usage_error);
    CHECK_THROWS_AS(end_of({"-E", "47x", "--dialect", "aiondb"}), posix::usage_error);
}

TEST_CASE("combine takes backups between its options, and a directory") {
    const auto parsed_combine = [](std::vector<std::string> words) {
        std::vector<char*> given;
        for (std::string& word : words) given.push_back(word.data());
        return posix::parse_combine(given);
    };
    const posix::combine_arguments made =
        parsed_combine({"full", "-o", "out", "one", "-T", "/a=/b", "-v", "two", "-"});
    CHECK(made.backups == std::vector<std::string>{"full", "one", "two", "-"});
    CHECK(made.directory == "out");
    CHECK(made.verbose);
    REQUIRE(made.tablespaces.size() == 1);
    CHECK(made.tablespaces.front() == std::pair<std::string, std::string>{"/a", "/b"});
    CHECK(parsed_combine({"--output=x", "full"}).directory == "x");
    CHECK_FALSE(parsed_combine({"-ox", "full"}).verbose);
    for (const std::vector<std::string>& words : {std::vector<std::string>{"full"},
                                                  {"-o", "out"},
                                                  {"-o", "out", "full", "-T", "a=/b"},
                                                  {"-o", "out", "full", "-x"},
                                                  {"-o", "out", "full", "--verbose=1"}}) {
        CAPTURE(words.back());
        CHECK_THROWS_AS(parsed_combine(words), posix::usage_error);
    }
    CHECK(refusal({"-D", "dir", "word"}) == "unexpected argument \"word\"");
}
