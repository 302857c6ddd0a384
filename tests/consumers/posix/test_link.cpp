#include "link.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "certificates.hpp"
#include "temporary_directory.hpp"

using namespace posix_test;
using posix::failure;
using walwire::dialect;

namespace {

// Why a connection string cannot be used; empty if it can.
std::string refusal(const std::string& text, dialect spoken = dialect::postgres) {
    try {
        const posix::link made(text, spoken);
        return "";
    } catch (const failure& refused) {
        return refused.what();
    }
}

} // namespace

TEST_CASE("a server is verified by libpq's own root certificate where none is named") {
    const temporary_directory home;
    ::setenv("HOME", home.path().c_str(), 1);
    const std::string root = home / ".postgresql/root.crt";
    // The last is what the program's usage and the README show.
    const std::string texts[] = {"host=db sslmode=verify-ca",
                                 "postgresql://replicator@db/?sslmode=verify-full",
                                 "host=db port=5432 user=replicator sslmode=verify-full"};
    for (const std::string& text : texts)
        CHECK(refusal(text).starts_with("there is no root certificate \"" + root + '"'));
    CHECK(refusal("host=db sslmode=require") == "");
    CHECK(refusal("host=db sslmode=verify-full sslrootcert=system") == "");

    std::filesystem::create_directory(home / ".postgresql");
    make_certificate("test root").save(root);
    for (const std::string& text : texts) CHECK(refusal(text) == "");
    const std::string missing = home / "missing.crt";
    CHECK(refusal(texts[0] + " sslrootcert=" + missing)
              .starts_with("there is no root certificate \"" + missing + '"'));
}

TEST_CASE("in AionDB's dialect the root certificate must be named") {
    const temporary_directory home;
    ::setenv("HOME", home.path().c_str(), 1);
    const std::string root = home / "root.crt";
    make_certificate("test root").save(root);
    const std::string text = "host=db sslmode=verify-full";
    CHECK(refusal(text, dialect::aiondb).starts_with("the sslmode needs sslrootcert"));
    CHECK(refusal(text + " sslrootcert=" + root, dialect::aiondb) == "");
}

TEST_CASE("a connection string that cannot be understood is refused without its secrets") {
    CHECK(refusal("host=db password=sesame nonsense=1").find("sesame") == std::string::npos);
    CHECK(refusal("host=db password=sesame nonsense=1") != "");
    CHECK(refusal("host=db gssencmode=require") ==
          "gssencmode=require: this program has no GSSAPI");
    CHECK(posix::link("host=::1 port=7").peer() == "[::1]:7");
}
