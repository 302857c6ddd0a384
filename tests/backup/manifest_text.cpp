#include <walwire/backup/manifest_text.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "support/guard.hpp"

using namespace walwire;
using namespace walwire::backup::detail;

namespace {

// What stands between the quotes, in UTF-8; or the code, in angle brackets.
std::string decoded(std::string_view text, std::size_t room_size = 64) {
    std::string whole;
    for (const std::size_t piece : {text.size() + 1, std::size_t{1}, std::size_t{2}}) {
        const support::guarded room(room_size);
        const support::guarded input(as_bytes(text));
        manifest_strings strings(room.span());
        strings.open();
        errc code = errc::none;
        std::size_t ate = 0;
        while (code == errc::none && ate < text.size() && !strings.closed()) {
            bytes in = bytes(input).subspan(ate).first(std::min(piece, text.size() - ate));
            const std::size_t size = in.size();
            code = strings.eat(in);
            ate += size - in.size();
        }
        std::string seen = code != errc::none  ? "<" + std::string(walwire::text(code)) + ">"
                           : !strings.closed() ? "<open>"
                                               : std::string(strings.last());
        seen += "|" + std::to_string(ate);
        if (whole.empty()) whole = seen;
        CHECK(seen == whole);
    }
    return whole.substr(0, whole.rfind('|'));
}

const std::string invalid = "<" + std::string(text(errc::manifest_text_invalid)) + ">";
const std::string too_long = "<" + std::string(text(errc::manifest_text_too_long)) + ">";

std::string put(std::string_view text) {
    std::array<std::byte, 256> room;
    writer out(room);
    put_string(out, text);
    CHECK(out.ok());
    return std::string(as_text(out.written()));
}

std::string utf8(std::uint32_t c) {
    std::string text;
    if (c < 0x80) return {static_cast<char>(c)};
    const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    text += static_cast<char>((more == 1 ? 0xc0u : more == 2 ? 0xe0u : 0xf0u) | c >> (6 * more));
    for (int at = more - 1; at >= 0; --at)
        text += static_cast<char>(0x80u | (c >> (6 * at) & 0x3fu));
    return text;
}

} // namespace

TEST_CASE("plain text stands for itself, up to the quote") {
    CHECK(decoded("base/1/2606_fsm\"rest") == "base/1/2606_fsm");
    CHECK(decoded("\"") == "");
    CHECK(decoded("never closed") == "<open>");
    CHECK(decoded("\x7f\"") == "\x7f");
    CHECK(decoded("gr\xc3\xbc\xc3\x9f"
                  "e \xf0\x9f\x98\x80\"") == "gr\xc3\xbc\xc3\x9f"
                                             "e \xf0\x9f\x98\x80");
}

TEST_CASE("escapes mean what JSON says") {
    CHECK(decoded(R"(\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
    CHECK(decoded(R"(\u0041\u00FC\u00dF\u20ac\uffff")") ==
          "A\xc3\xbc\xc3\x9f\xe2\x82\xac\xef\xbf\xbf");
    CHECK(decoded(R"(\uD83D\ude00")") == "\xf0\x9f\x98\x80");
    CHECK(decoded(R"(\ud800\udc00\uDBFF\uDFFF")") == "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
    CHECK(decoded(R"(\u0001\u001f")") == "\x01\x1f");
}

TEST_CASE("escapes that mean nothing are refused") {
    for (const std::string_view text : {R"(\a")", R"(\U0041")", R"(\ ")", R"(\x41")", R"(\u004")",
                                        R"(\u00g0")", R"(\u-041")", R"(\u0000")", R"(\')", "\\\n"})
        CHECK(decoded(text) == invalid);
}

TEST_CASE("halves of surrogate pairs are refused") {
    for (const std::string_view text :
         {R"(\ud83d")", R"(\ud83dx")", R"(\ud83d\n")", R"(\ud83d\ud83d")", R"(\ude00")",
          R"(\ud83d\u0041")", R"(\ude00\ud83d")", "\\ud83d\xf0\x9f\x98\x80\""})
        CHECK(decoded(text) == invalid);
}

TEST_CASE("characters below a blank have to be escaped") {
    for (char c = 0; c < 0x20; ++c) {
        CHECK(decoded(std::string("a") + c + "\"") == invalid);
        CHECK(decoded(std::string("\xc3") + c + "\"") == invalid);
    }
}

TEST_CASE("every character of Unicode is taken, and no other bytes") {
    for (std::uint32_t c = 1; c <= 0x10ffff; c += c < 0x3000 ? 1 : 61) {
        const bool surrogate = c >= 0xd800 && c < 0xe000;
        CHECK(is_utf8(utf8(c)) == !surrogate);
    }
    for (const std::uint32_t c : {0xd7ffu, 0xe000u, 0xffffu, 0x10000u, 0x10ffffu})
        CHECK(is_utf8(utf8(c)));
    for (const std::uint32_t c : {0xd800u, 0xdbffu, 0xdc00u, 0xdfffu, 0x110000u, 0x13ffffu})
        CHECK(!is_utf8(utf8(c)));
    for (const std::string_view text :
         {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf",
          "\xf5\x80\x80\x80", "\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xc3x", "\xe2\x82x",
          "\xc3\xc3\xbc"}) {
        CHECK(!is_utf8(text));
        CHECK(decoded(std::string(text) + "\"") == invalid);
    }
}

TEST_CASE("a string fits into its room exactly or not at all") {
    CHECK(decoded("abcd\"", 4) == "abcd");
    CHECK(decoded("abcde\"", 4) == too_long);
    CHECK(decoded("\"", 0) == "");
    CHECK(decoded("a\"", 0) == too_long);
    CHECK(decoded(R"(\n")", 0) == too_long);
    CHECK(decoded(R"(abc\n")", 4) == "abc\n");
    CHECK(decoded(R"(abcd\n")", 4) == too_long);
    CHECK(decoded(R"(ab\u00fc")", 4) == "ab\xc3\xbc");
    CHECK(decoded(R"(abc\u00fc")", 4) == too_long);
    CHECK(decoded(R"(\ud83d\ude00")", 4) == "\xf0\x9f\x98\x80");
    CHECK(decoded(R"(\ud83d\ude00")", 3) == too_long);
    CHECK(decoded("abc\xc3\xbc\"", 4) == too_long);
}

TEST_CASE("strings stand one behind the other until they are dropped") {
    std::array<std::byte, 8> room;
    manifest_strings strings(room);
    const auto add = [&](std::string_view text) {
        bytes in = as_bytes(text);
        strings.open();
        return strings.eat(in) == errc::none && strings.closed() ? strings.last() : "-";
    };
    const std::string_view first = add("abc\"");
    CHECK(add("6465\"") == "6465");
    CHECK(strings.decode_last());
    CHECK(strings.last() == "de");
    CHECK(add("xyz\"") == "xyz");
    CHECK(first == "abc");
    CHECK(add("x\"") == "-");
    strings.drop_last();
    CHECK(add("\"") == "");
    strings.drop_all();
    CHECK(add("12345678\"") == "12345678");
    CHECK(!strings.escaped());
    strings.drop_all();
    CHECK(add("\\n\"") == "\n");
    CHECK(strings.escaped());
    CHECK(!strings.decode_last());
}

TEST_CASE("strings are escaped as servers do it") {
    CHECK(put("base/1/2606") == "\"base/1/2606\"");
    CHECK(put("quote\"back\\slash") == R"("quote\"back\\slash")");
    CHECK(put("tab\tnl\ncr\rbs\bff\f") == R"("tab\tnl\ncr\rbs\bff\f")");
    CHECK(put("ctl\x01\x1f\x7f") == "\"ctl\\u0001\\u001f\x7f\"");
    CHECK(put("gr\xc3\xbc\xc3\x9f"
              "e") == "\"gr\xc3\xbc\xc3\x9f"
                      "e\"");
}

TEST_CASE("what is written reads back") {
    for (std::uint32_t c = 1; c < 0x3000; ++c) {
        const std::string text = "a" + utf8(c) + "b";
        CHECK(decoded(put(text).substr(1)) == text);
    }
}
