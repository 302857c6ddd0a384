#include "messages.hpp"

#include <doctest/doctest.h>

using posix::printable;

TEST_CASE("no control character of anybody's reaches the terminal") {
    for (unsigned code = 0; code < 0x20; ++code)
        CHECK(printable("a" + std::string(1, static_cast<char>(code)) + "b") == "a?b");
    CHECK(printable("\x7f") == "?");
    CHECK(printable("") == "");
    CHECK(printable("\x1b[31mred\x1b[0m\r\n") == "?[31mred?[0m??");
    CHECK(printable(std::string_view("a\0b", 3)) == "a?b");
}

TEST_CASE("neither does one above ASCII, in UTF-8 or alone") {
    for (unsigned code = 0x80; code < 0xa0; ++code) {
        const std::string alone(1, static_cast<char>(code));
        CHECK(printable("a\xc2" + alone + "b") == "a?b");
        CHECK(printable("a" + alone + "b") == "a?b");
        CHECK(printable(alone) == "?");
        // Longer than need be, which a careless terminal takes for the same.
        for (const std::string& before : {std::string("\xc0"), std::string("\xc1"),
                                          std::string("\xe0\x82"), std::string("\xf0\x80\x82")})
            CHECK(printable(before + alone).back() == '?');
    }
    CHECK(printable("a\xc2\x9b"
                    "31mb") == "a?31mb");
    CHECK(printable("\xc2\xa0") == "\xc2\xa0");
}

TEST_CASE("what is no command stays as it came") {
    // Bytes of these are between 0x80 and 0x9F, and they mean nothing by themselves.
    for (const std::string_view text :
         {"user \"x\"", "\xc3\x9f\xc4\x9b", "\xe2\x82\xac \xe2\x80\x93 \xe6\x97\xa5",
          "\xf0\x9f\x90\x98", "\xf4\x8f\xbf\xbf", "\xc2", "\xfc\xe4 in another encoding"})
        CHECK(printable(text) == text);
    CHECK(printable("\xe2\x82") == "\xe2?"); // cut short
    CHECK(printable("\xe2\x82\x1b[m") == "\xe2??[m");
}

TEST_CASE("an error of the server's is one line") {
    walwire::wire::error_fields fields;
    fields.severity = "FATAL";
    fields.sqlstate = "28P01";
    fields.message = "no\nway";
    CHECK(posix::describe(fields) == "FATAL 28P01: no?way");
    fields.detail = "a\xc2\x9b"
                    "31mb";
    fields.hint = "\x1b]0;title\x07";
    CHECK(posix::describe(fields) == "FATAL 28P01: no?way (a?31mb) (hint: ?]0;title?)");
    CHECK(posix::describe(walwire::error{walwire::errc::wal_gap, 7}) ==
          std::string(walwire::text(walwire::errc::wal_gap)) +
              ", at byte 7 of the server's stream");
}
