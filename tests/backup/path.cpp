#include <walwire/backup/path.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace walwire::backup;

TEST_CASE("a path that leads downwards has one spelling") {
    for (const std::string_view path :
         {"a", "a/b", "base/5/1234", "...", "a..b/.c", "..a", "a\\b", " ", "\x01"})
        CHECK(is_downward_path(path));
    for (const std::string_view path : {"", "/", "/a", "a/", "a//b", ".", "./a", "a/.", "a/./b",
                                        "..", "../a", "a/..", "a/../b", "//"})
        CHECK_FALSE(is_downward_path(path));
    CHECK_FALSE(is_downward_path(std::string_view("a\0b", 3)));
    CHECK_FALSE(is_downward_path(std::string_view("\0", 1)));
}

TEST_CASE("no control character can be shown") {
    CHECK(is_printable(""));
    CHECK(is_printable("plain, with blanks and \xc3\xbc"));
    for (int c = 0; c < 256; ++c) {
        const std::string text{'a', static_cast<char>(c)};
        CHECK(is_printable(text) == (c >= 0x20 && c != 0x7f));
    }
}
