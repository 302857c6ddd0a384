#include <walwire/auth/saslprep.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace walwire;

namespace {

void put_utf8(std::string& text, char32_t code) {
    if (code < 0x80) {
        text += static_cast<char>(code);
        return;
    }
    if (code < 0x800) {
        text += static_cast<char>(0xc0 | code >> 6);
    } else {
        if (code < 0x10000) {
            text += static_cast<char>(0xe0 | code >> 12);
        } else {
            text += static_cast<char>(0xf0 | code >> 18);
            text += static_cast<char>(0x80 | (code >> 12 & 0x3f));
        }
        text += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    }
    text += static_cast<char>(0x80 | (code & 0x3f));
}

std::string utf8(std::u32string_view codes) {
    std::string text;
    for (const char32_t code : codes) put_utf8(text, code);
    return text;
}

std::string prepared(std::string_view password) {
    std::vector<std::byte> scratch(auth::saslprep_scratch_size(password.size()));
    const auto result = auth::saslprep(password, scratch);
    REQUIRE(result);
    return std::string(*result);
}

std::string prepared(std::u32string_view password) {
    return prepared(utf8(password));
}

bool left_alone(std::u32string_view password) {
    return prepared(password) == utf8(password);
}

// FNV-1a over every prepared text and a byte 0xFF behind it, as saslprep_tables.py makes it.
class checksum {
  public:
    void add(std::string_view password) {
        const auto result = auth::saslprep(password, scratch_);
        REQUIRE(result);
        for (const char c : *result) add_byte(static_cast<std::uint8_t>(c));
        add_byte(0xff);
    }
    std::uint64_t value() const { return value_; }

  private:
    void add_byte(std::uint8_t byte) { value_ = (value_ ^ byte) * 0x100000001b3; }

    std::array<std::byte, 2048> scratch_{};
    std::uint64_t value_ = 0xcbf29ce484222325;
};

template <class Visit>
void each_code_point(char32_t first, char32_t end, Visit visit) {
    for (char32_t code = first; code < end; ++code)
        if (code < 0xd800 || code > 0xdfff) visit(code);
}

struct splitmix64 {
    std::uint64_t state;

    std::uint64_t below(std::uint64_t n) {
        state += 0x9e3779b97f4a7c15;
        std::uint64_t z = state;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return (z ^ (z >> 31)) % n;
    }
};

constexpr std::pair<char32_t, char32_t> ranges[] = {
    {0x20, 0x7e},       {0xa0, 0x17f},    {0x300, 0x36f},   {0x386, 0x3ff},     {0x590, 0x6ff},
    {0x915, 0x94d},     {0x9bc, 0x9df},   {0xdc0, 0xddf},   {0xf40, 0xf84},     {0x1100, 0x11ff},
    {0x1e00, 0x1fff},   {0x2000, 0x206f}, {0x2070, 0x218f}, {0x2200, 0x22ff},   {0x2460, 0x24ff},
    {0x2e80, 0x2fdf},   {0x3040, 0x30ff}, {0x3131, 0x33ff}, {0xac00, 0xac7f},   {0xf900, 0xfaff},
    {0xfb00, 0xfdff},   {0xfe00, 0xfeff}, {0xff00, 0xffef}, {0x1d100, 0x1d1ff}, {0x1d400, 0x1d7ff},
    {0x2f800, 0x2fa1d},
};

// One to twelve characters out of one to three ranges.
std::string random_text(splitmix64& random) {
    std::vector<std::pair<char32_t, char32_t>> chosen(1 + random.below(3));
    for (auto& range : chosen) range = ranges[random.below(std::size(ranges))];
    std::string text;
    for (std::uint64_t left = 1 + random.below(12); left != 0; --left) {
        const auto [low, high] = chosen[random.below(chosen.size())];
        put_utf8(text, low + static_cast<char32_t>(random.below(high - low + 1)));
    }
    return text;
}

} // namespace

TEST_CASE("the examples of RFC 4013 come out as printed") {
    CHECK(prepared(U"I\u00adX") == "IX");
    CHECK(prepared(U"user") == "user");
    CHECK(prepared(U"USER") == "USER");
    CHECK(prepared(U"\u00aa") == "a");
    CHECK(prepared(U"\u2168") == "IX");
    CHECK(left_alone(std::u32string_view(U"\u0007")));
    CHECK(left_alone(U"\u0627\u0031"));
}

TEST_CASE("the password of the recorded exchange is prepared to IXIX") {
    CHECK(prepared(std::string_view("\x49\xc2\xad\x58\xe2\x85\xa8")) == "IXIX");
}

TEST_CASE("ASCII is left alone and needs no scratch") {
    std::string all;
    for (char c = 0; c < 0x7f; ++c) all += c;
    all += '\x7f';
    const auto result = auth::saslprep(all, {});
    REQUIRE(result);
    CHECK(result->data() == all.data());
    CHECK(result->size() == 128);
    CHECK(auth::saslprep("", {})->empty());
}

TEST_CASE("a control character counts once the text is not ASCII alone") {
    CHECK(left_alone(U"\u0007\u2168"));
    CHECK(prepared(U" \u2168") == " IX");
    CHECK(left_alone(U"\u007f\u2168"));
}

TEST_CASE("what is not UTF-8 is left alone, to the byte") {
    const std::string_view roman = "\xe2\x85\xa8";
    for (const std::string_view wrong : {"\x80",
                                         "\xbf",
                                         "\xc0\x80",
                                         "\xc1\xbf",
                                         "\xc2",
                                         "\xc2\x41",
                                         "\xc2\xc2\x80",
                                         "\xe0\x80\x80",
                                         "\xe0\x9f\xbf",
                                         "\xe2\x85",
                                         "\xe2\x41\xa8",
                                         "\xed\xa0\x80",
                                         "\xed\xbf\xbf",
                                         "\xf0\x80\x80\x80",
                                         "\xf0\x8f\xbf\xbf",
                                         "\xf0\x9d\x90",
                                         "\xf4\x90\x80\x80",
                                         "\xf5\x80\x80\x80",
                                         "\xf8\x88\x80\x80\x80",
                                         "\xfe",
                                         "\xff"}) {
        CAPTURE(wrong.size());
        const std::string behind = std::string(roman) + std::string(wrong);
        const std::string before = std::string(wrong) + std::string(roman);
        CHECK(prepared(std::string_view(behind)) == behind);
        CHECK(prepared(std::string_view(before)) == before);
    }
    // The neighbours of those that are characters, though all are unassigned or compatible.
    CHECK(prepared(std::string_view("\xed\x9f\xbb\xe2\x85\xa8")) == "\xed\x9f\xbb\xe2\x85\xa8");
    CHECK(prepared(std::string_view("\xf0\x9d\x90\x80\xe2\x85\xa8")) == "AIX");
}

TEST_CASE("bytes that would spell an innocent character if nobody looked are no character") {
    for (const std::string_view wrong : {"\xc1\x81", "\xe0\x81\x81", "\xf0\x80\x81\x81",    // 'A'
                                         "\xe2\x85\x69", "\xe2\x85\xe9", "\xe2\x45\xa9"}) { // 'X'
        const std::string behind = "\xe2\x85\xa8" + std::string(wrong);
        CHECK(prepared(std::string_view(behind)) == behind);
    }
}

TEST_CASE("characters are taken off a text, and nothing else is") {
    std::size_t taken = 0;
    each_code_point(0, 0x110000, [&](char32_t code) {
        std::string text;
        put_utf8(text, code);
        text += '.';
        std::string_view rest = text;
        taken += auth::detail::take_code_point(rest) == code && rest == ".";
    });
    CHECK(taken == 0x110000 - 0x800);
    for (std::string_view wrong : {"\xed\xa0\x80", "\xed\xbf\xbf", "\xf4\x90\x80\x80", "\xc1\xbf",
                                   "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x88\x80\x80\x80"})
        CHECK(auth::detail::take_code_point(wrong) == auth::detail::no_code_point);
}

TEST_CASE("exotic spaces become blanks and invisible characters disappear") {
    for (const char32_t space :
         std::u32string_view(U"\u00a0\u1680\u2000\u2005\u200b\u202f\u205f\u3000"))
        CHECK(prepared(std::u32string{U'a', space, U'b'}) == "a b");
    for (const char32_t invisible :
         std::u32string_view(U"\u00ad\u034f\u1806\u180b\u180d\u200c\u200d\u2060\ufe00\ufe0f\ufeff"))
        CHECK(prepared(std::u32string{U'a', invisible, U'b'}) == "ab");
    CHECK(left_alone(U"\u00ad"));
    CHECK(left_alone(U"\u00ad\ufeff\u200d"));
    CHECK(prepared(U"\u200b") == " ");
}

TEST_CASE("prohibited and unassigned characters spoil the whole password") {
    for (const char32_t wrong : std::u32string_view(
             U"\u0080\u0340\u0341\u06dd\u180e\u200e\u2028\u202a\u206f\u2ff0\ufdd0\ufff9\ufffd"
             U"\ue000\uf8ff\U0001d173\U0001fffe\U000e0001\U000f0000\U0010ffff\u0221\u1d2c\u20ac"
             U"\U0001f600"))
        CHECK(left_alone(std::u32string{wrong, U'\u2168'}) == (wrong != U'\u20ac'));
}

TEST_CASE("writing from right to left is kept unmixed") {
    CHECK(prepared(U"\u05d0\u00a0\u05d0") == utf8(U"\u05d0 \u05d0"));
    CHECK(left_alone(U"\u05d0\u00a0"));
    CHECK(left_alone(U"\u00a0\u05d0"));
    CHECK(left_alone(U"\u05d0\u00a0a\u05d0"));
    CHECK(left_alone(U"a\u00a0\u05d0"));
    CHECK(prepared(U"\u05d0\u00a01\u05d0") == utf8(U"\u05d0 1\u05d0"));
    // The invisible are gone before the ends are looked at.
    CHECK(prepared(U"\u00ad\u05d0\u00a0\u05d0\u00ad") == utf8(U"\u05d0 \u05d0"));
}

TEST_CASE("what is refused is looked for before NFKC, as PostgreSQL does") {
    CHECK(prepared(U"\u05d0\u2100\u05d0") ==
          utf8(U"\u05d0a/c\u05d0"));               // letters come from NFKC only
    CHECK(prepared(U"\u2135") == utf8(U"\u05d0")); // and so does this alef
    CHECK(prepared(U"a\u2135") == utf8(U"a\u05d0"));
    CHECK(left_alone(U"\u0340")); // prohibited, though NFKC would make it U+0300
    CHECK(left_alone(U"\u1d2c")); // unassigned in Unicode 3.2, though NFKC would make it 'A'
}

TEST_CASE("NFKC takes apart, orders and joins") {
    CHECK(prepared(U"e\u0301") == utf8(U"\u00e9"));
    CHECK(prepared(U"a\u0323\u0302") == utf8(U"\u1ead"));
    CHECK(prepared(U"a\u0302\u0323") == utf8(U"\u1ead"));
    CHECK(prepared(U"\u1e9b\u0323") == utf8(U"\u1e69"));
    CHECK(prepared(U"\u0958") == utf8(U"\u0915\u093c")); // excluded from composition
    CHECK(prepared(U"a\u0300\u0301") == utf8(U"\u00e0\u0301"));
    CHECK(prepared(U"\u1100\u1161\u11a8") == utf8(U"\uac01"));
    CHECK(left_alone(U"\u1100\u1161\u11a7")); // not a Hangul tail but unassigned
    CHECK(prepared(U"\uac00\u11a8") == utf8(U"\uac01"));
    CHECK(prepared(U"\ufdfa").size() == 33);
    CHECK(prepared(U"\U0002f868") == utf8(U"\U000036fc")); // as Unicode's Corrigendum 4 has it
}

TEST_CASE("Hangul letters compose where they may, and the one before the first tail is none") {
    using auth::detail::compose;
    constexpr char32_t none = auth::detail::no_code_point;
    CHECK(compose(0x1100, 0x1161) == 0xac00);
    CHECK(compose(0x1112, 0x1175) == 0xd788);
    CHECK(compose(0xd788, 0x11c2) == 0xd7a3);
    CHECK(compose(0xac00, 0x11a7) == none);
    CHECK(compose(0xac01, 0x11a8) == none);
    CHECK(compose(0xac00, 0x11c3) == none);
    CHECK(compose(0x1100, 0x1160) == none);
    CHECK(compose(0x1113, 0x1161) == none);
}

TEST_CASE("every code point alone comes out as the model says") {
    constexpr std::uint64_t expected[] = {
        0xf8b9f2d105ef9929, 0xc4ecbd2b1b38fba0, 0x0812b22cf7c85e5e, 0xd0d655bdc1a89b25,
        0x91b49264e46e0f25, 0x33aca5912f66f725, 0xdfb4bae85ae71d25, 0x015edcc8c27c9f25,
        0xd0f1616af6e10125, 0x857e3e9e2f94d125, 0xcb55919b28694f25, 0xcb5ad20a88c18125,
        0x55fd5ee63b572f25, 0x7152d2e8db505125, 0x9bad1371bb215f25, 0xb51c55452b6a8d25,
        0x9d1c6b8c9148eb25,
    };
    for (char32_t plane = 0; plane < 17; ++plane) {
        CAPTURE(plane);
        checksum sum;
        each_code_point(plane << 16, (plane + 1) << 16, [&](char32_t code) {
            std::string text;
            put_utf8(text, code);
            sum.add(text);
        });
        CHECK(sum.value() == expected[plane]);
    }
}

TEST_CASE("every code point between others comes out as the model says") {
    const std::pair<std::u32string_view, std::u32string_view> around[] = {
        {U"a", U"a"}, {U"\u05d0", U"\u05d0"}, {U"1", U"\u0301"}, {U"", U"\u05d0"}};
    constexpr std::uint64_t expected[] = {0x2d6d8497f1bfcd8f, 0x351beb50351716ab,
                                          0xed50b0c847d577b9, 0x3ba14dc9ebd333ef};
    for (std::size_t i = 0; i < std::size(around); ++i) {
        CAPTURE(i);
        const std::string before = utf8(around[i].first), after = utf8(around[i].second);
        checksum sum;
        each_code_point(0, 0x30000, [&](char32_t code) {
            std::string text = before;
            put_utf8(text, code);
            sum.add(text += after);
        });
        CHECK(sum.value() == expected[i]);
    }
}

TEST_CASE("eighty thousand random texts come out as the model says") {
    constexpr std::uint64_t expected[] = {0x9574d3bd44423f22, 0x9b1fb865985fe3e3,
                                          0x42503072056f6d14, 0x339545cee51a0d5d};
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
        CAPTURE(seed);
        splitmix64 random{seed};
        checksum sum;
        for (int i = 0; i < 20000; ++i) sum.add(random_text(random));
        CHECK(sum.value() == expected[seed]);
    }
}

TEST_CASE("preparing twice changes nothing more") {
    splitmix64 random{99};
    for (int i = 0; i < 5000; ++i) {
        const std::string once = prepared(random_text(random));
        CHECK(prepared(std::string_view(once)) == once);
    }
}

TEST_CASE("a scratch that is too small is refused and never overrun") {
    const std::string text = utf8(U"\ufdfa\u00a0\ufdfa");
    const std::size_t needed = 4 * (18 + 1 + 18);
    for (std::size_t size = 0; size < needed; ++size) {
        std::vector<std::byte> scratch(size);
        CHECK(auth::saslprep(text, scratch).code() == errc::argument_too_long);
    }
    std::vector<std::byte> scratch(needed);
    CHECK(auth::saslprep(text, scratch)->size() == 33 + 1 + 33);
    CHECK(auth::saslprep_scratch_size(text.size()) >= needed);
}

TEST_CASE("many marks on one letter are put in order") {
    std::u32string text = U"\u00e9";
    for (int i = 0; i < 1000; ++i) text += i % 2 == 0 ? U'\u0301' : U'\u0323';
    const std::string result = prepared(text);
    // All dots below come first and one of them joins the letter; every acute stays behind.
    std::u32string expected = U"\u1eb9";
    expected.append(499, U'\u0323');
    expected.append(501, U'\u0301');
    CHECK(result == utf8(expected));
}
