#include "passwords.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <cstdlib>

#include "temporary_directory.hpp"

using namespace posix_test;
using walwire::conninfo;

namespace {

conninfo target() {
    conninfo info;
    info.host = "db.example.com";
    info.port = 5433;
    info.user = "standby";
    return info;
}

std::string matched(std::string_view file, const conninfo& info = target()) {
    return posix::match_password(file, info).value_or("(none)");
}

void save(const std::string& path, std::string_view content, mode_t mode = 0600) {
    write_file(path, content);
    REQUIRE(::chmod(path.c_str(), mode) == 0);
}

// The environment of a test, put back afterwards.
struct clean_environment {
    explicit clean_environment(const std::string& home) {
        ::unsetenv("PGPASSWORD");
        ::unsetenv("PGPASSFILE");
        ::setenv("HOME", home.c_str(), 1);
    }
    ~clean_environment() {
        ::unsetenv("PGPASSWORD");
        ::unsetenv("PGPASSFILE");
    }
};

} // namespace

TEST_CASE("the first line of which every field matches counts") {
    CHECK(matched("db.example.com:5433:replication:standby:right") == "right");
    CHECK(matched("other:5433:replication:standby:1\n"
                  "db.example.com:5432:replication:standby:2\n"
                  "db.example.com:5433:postgres:standby:3\n"
                  "db.example.com:5433:replication:postgres:4\n"
                  "db.example.com:5433:replication:standby:5\n"
                  "*:*:*:*:6\n") == "5");
    CHECK(matched("*:*:*:*:any") == "any");
    CHECK(matched("db.example.com:*:*:standby:some") == "some");
    CHECK(matched("db.example.co:*:*:*:x") == "(none)");
    CHECK(matched("db.example.comm:*:*:*:x") == "(none)");
    CHECK(matched("d*:*:*:*:x") == "(none)");
    CHECK(matched("DB.example.com:*:*:*:x") == "(none)");
    CHECK(matched("") == "(none)");
}

TEST_CASE("escapes, comments, line ends and damaged lines are read as libpq reads them") {
    CHECK(matched(R"(*:*:*:*:a\:b\\c)") == R"(a:b\c)");
    CHECK(matched(R"(*:*:*:*:end\)") == R"(end\)");
    CHECK(matched("*:*:*:*:up to:here") == "up to");
    CHECK(matched("*:*:*:*: blanks count ") == " blanks count ");
    CHECK(matched("#*:*:*:*:comment\n*:*:*:*:real\r\n") == "real");
    CHECK(matched("\n\n*:*:*:*:x") == "x");
    CHECK(matched("*:*:*:standby") == "(none)");
    CHECK(matched("*:*:*") == "(none)");
    CHECK(matched("*:*:*:*:\n*:*:*:*:x") == "(none)"); // an empty password is no password
    conninfo info = target();
    info.user = R"(a:b\c)";
    CHECK(matched(R"(*:*:*:a\:b\\c:x)", info) == "x");
    info.user = "*";
    CHECK(matched(R"(*:*:*:\*:x)", info) == "x");
    info.user = "b";
    CHECK(matched(R"(*:*:*:\*:x)", info) == "(none)");
}

TEST_CASE("the database is replication unless it is named, and local sockets are localhost") {
    conninfo info = target();
    CHECK(matched("*:*:standby:*:x", info) == "(none)");
    info.dbname = "orders";
    CHECK(matched("*:*:replication:*:x", info) == "(none)");
    CHECK(matched("*:*:orders:*:x", info) == "x");
    info.host = "/var/run/postgresql";
    CHECK(matched("localhost:*:*:*:x", info) == "x");
    info.host = "/srv/sockets";
    CHECK(matched("localhost:*:*:*:x", info) == "(none)");
    CHECK(matched("/srv/sockets:*:*:*:x", info) == "x");
}

TEST_CASE("the connection string is asked first, then PGPASSWORD, then the file") {
    const temporary_directory home;
    const clean_environment clean(home.path());
    std::vector<std::string> notes;
    conninfo info = target();
    CHECK_FALSE(posix::find_password(info, notes));
    save(home / ".pgpass", "*:*:*:*:from home\n");
    CHECK(posix::find_password(info, notes) == "from home");
    save(home / "env", "*:*:*:*:from PGPASSFILE\n");
    ::setenv("PGPASSFILE", (home / "env").c_str(), 1);
    CHECK(posix::find_password(info, notes) == "from PGPASSFILE");
    save(home / "named", "*:*:*:*:from passfile\n");
    const std::string named = home / "named";
    info.passfile = named;
    CHECK(posix::find_password(info, notes) == "from passfile");
    ::setenv("PGPASSWORD", "from PGPASSWORD", 1);
    CHECK(posix::find_password(info, notes) == "from PGPASSWORD");
    info.password = "from the connection string";
    CHECK(posix::find_password(info, notes) == "from the connection string");
    CHECK(notes.empty());

    info.password = {};
    ::setenv("PGPASSWORD", "", 1); // as good as not set
    const std::string none = home / "none";
    info.passfile = none;
    CHECK_FALSE(posix::find_password(info, notes)); // no other file is asked
    CHECK(notes.empty());
}

TEST_CASE("a file that others may read is not used, and said so") {
    const temporary_directory home;
    const clean_environment clean(home.path());
    conninfo info = target();
    const std::string path = home / "pass";
    info.passfile = path;
    for (const mode_t mode : {0600u, 0400u, 0700u, 0640u, 0604u, 0660u, 0610u, 0601u}) {
        save(path, "*:*:*:*:secret\n", mode);
        std::vector<std::string> notes;
        const bool fine = (mode & 077) == 0;
        CHECK(posix::find_password(info, notes).has_value() == fine);
        CHECK(notes.size() == (fine ? 0u : 1u));
        if (!fine)
            CHECK(notes.at(0) == "others may read password file \"" + path +
                                     "\", its permissions should be 0600 or less: not used");
    }
    std::filesystem::remove(path);
    std::filesystem::create_directory(path);
    std::vector<std::string> notes;
    CHECK_FALSE(posix::find_password(info, notes));
    CHECK(notes.at(0) == "password file \"" + path + "\" is not a regular file: not used");
}

TEST_CASE("a long file is read whole") {
    const temporary_directory home;
    const clean_environment clean(home.path());
    std::string content;
    for (int i = 0; i < 1000; ++i) content += "host" + std::to_string(i) + ":5432:x:y:z\n";
    save(home / ".pgpass", content + "*:*:*:*:last");
    std::vector<std::string> notes;
    CHECK(posix::find_password(target(), notes) == "last");
}
