#include <walwire/lsn.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "support/prng.hpp"

using namespace walwire;

namespace {

std::string shown(lsn at) {
    return std::string(std::string_view(to_text(at)));
}

} // namespace

static_assert(parse_lsn("0/16B3748")->value == 0x16B3748);
static_assert(std::string_view(to_text(lsn{0x16B3748})) == "0/16B3748");
static_assert(std::string_view(decimal_text(1907)) == "1907");

TEST_CASE("a position is printed as PostgreSQL prints it") {
    CHECK(shown({0}) == "0/0");
    CHECK(shown({1}) == "0/1");
    CHECK(shown({0xffffffff}) == "0/FFFFFFFF");
    CHECK(shown({0x1'00000000}) == "1/0");
    CHECK(shown({0x1'00000001}) == "1/1");
    CHECK(shown({0xabcdef01'00abcdef}) == "ABCDEF01/ABCDEF");
    CHECK(shown({UINT64_MAX}) == "FFFFFFFF/FFFFFFFF");
}

TEST_CASE("AionDB prints all eight digits behind the slash") {
    const auto aiondb = [](lsn at) {
        return std::string(std::string_view(to_text(at, dialect::aiondb)));
    };
    CHECK(aiondb({0}) == "0/00000000");
    CHECK(aiondb({1}) == "0/00000001");
    CHECK(aiondb({0x16B3748}) == "0/016B3748");
    CHECK(aiondb({0xffffffff}) == "0/FFFFFFFF");
    CHECK(aiondb({0xabcdef01'00abcdef}) == "ABCDEF01/00ABCDEF");
    CHECK(aiondb({UINT64_MAX}) == "FFFFFFFF/FFFFFFFF");
    CHECK(std::string(std::string_view(to_text(lsn{1}, dialect::postgres))) == "0/1");
}

TEST_CASE("a position is read in either case and with leading zeros, and printed again") {
    support::prng random(5);
    for (int round = 0; round < 20'000; ++round) {
        const lsn at{random() >> random.below(64)};
        char text[32];
        const auto high = static_cast<unsigned>(at.value >> 32);
        const auto low = static_cast<unsigned>(at.value);
        std::snprintf(text, sizeof text, "%X/%X", high, low);
        CHECK(shown(at) == text);
        const auto reads = [&] {
            const auto read = parse_lsn(text);
            REQUIRE(read);
            CHECK(*read == at);
        };
        reads();
        std::snprintf(text, sizeof text, "%x/%x", high, low);
        reads();
        std::snprintf(text, sizeof text, "%X/%08X", high, low);
        CHECK(std::string_view(to_text(at, dialect::aiondb)) == text);
        reads();
        std::snprintf(text, sizeof text, "%08x/%08X", high, low);
        reads();
    }
}

TEST_CASE("what is no position is refused, not cut down to one") {
    using namespace std::string_view_literals;
    for (const std::string_view text : {""sv,
                                        "/"sv,
                                        "0"sv,
                                        "0/"sv,
                                        "/0"sv,
                                        "0/0/0"sv,
                                        "0//0"sv,
                                        "0/0/"sv,
                                        "/0/0"sv,
                                        "123456789/0"sv,
                                        "0/123456789"sv,
                                        "000000000/0"sv,
                                        "0/000000000"sv,
                                        "FFFFFFFFF/0"sv,
                                        "0x1/0"sv,
                                        "-1/0"sv,
                                        "+1/0"sv,
                                        " 0/0"sv,
                                        "0/0 "sv,
                                        "0 /0"sv,
                                        "0/ 0"sv,
                                        "G/0"sv,
                                        "0/g"sv,
                                        "0/0\0"sv,
                                        "0\0/0"sv,
                                        "0\\0"sv,
                                        "\xd9\xa1/0"sv}) {
        CAPTURE(std::string(text));
        CHECK(parse_lsn(text).code() == errc::lsn_invalid);
    }
    CHECK(parse_lsn("00000000/00000000")->value == 0);
    // One character changed is another position or none, never the same one.
    const std::string_view right = "1A/2b3C";
    for (std::size_t at = 0; at < right.size(); ++at) {
        for (int c = 0; c < 256; ++c) {
            std::string other(right);
            other[at] = static_cast<char>(c);
            const auto read = parse_lsn(other);
            const bool digit =
                std::string_view("0123456789abcdefABCDEF").find(static_cast<char>(c)) !=
                std::string_view::npos;
            // A slash moved makes two slashes; only the one that was there may stand.
            CHECK(static_cast<bool>(read) == (at == 2 ? c == '/' : digit));
        }
    }
}

TEST_CASE("positions are ordered, added to and taken from each other") {
    CHECK(lsn{1} < lsn{2});
    CHECK(lsn{2} + 3 == lsn{5});
    CHECK(lsn{5} - lsn{2} == 3);
    CHECK(lsn{UINT64_MAX} > lsn{0});
    CHECK(!lsn{}.valid());
    CHECK(lsn{1}.valid());
}

TEST_CASE("a timeline is a decimal number from 1") {
    CHECK(parse_timeline("1")->value == 1);
    CHECK(parse_timeline("4294967295")->value == UINT32_MAX);
    CHECK(parse_timeline("0007")->value == 7);
    for (const char* wrong : {"", "0", "00", "4294967296", "99999999999", "18446744073709551617",
                              "-1", "+1", " 1", "1 ", "1.0", "0x1", "a", "1a"}) {
        CAPTURE(wrong);
        CHECK(parse_timeline(wrong).code() == errc::timeline_invalid);
    }
    CHECK(timeline_id{1} < timeline_id{2});
    CHECK(!timeline_id{}.valid());
    CHECK(timeline_id{1}.valid());
}

TEST_CASE("a number is printed without leading zeros, and read again") {
    const auto shown = [](std::uint64_t value) {
        return std::string(std::string_view(decimal_text(value)));
    };
    CHECK(shown(0) == "0");
    CHECK(shown(9) == "9");
    CHECK(shown(10) == "10");
    CHECK(shown(UINT32_MAX) == "4294967295");
    CHECK(shown(UINT64_MAX) == "18446744073709551615");
    for (std::uint64_t power = 1; power < UINT64_MAX / 10; power *= 10) {
        for (const std::uint64_t value : {power - 1, power, power + 1, 9 * power}) {
            CHECK(shown(value) == std::to_string(value));
            CHECK(*walwire::detail::parse_decimal(shown(value), UINT64_MAX) == value);
        }
    }
    decimal_text again(7);
    again = decimal_text(123);
    CHECK(std::string_view(again) == "123");
}

TEST_CASE("decimal numbers end at their limit exactly") {
    using walwire::detail::parse_decimal;
    CHECK(*parse_decimal("18446744073709551615", UINT64_MAX) == UINT64_MAX);
    CHECK(!parse_decimal("18446744073709551616", UINT64_MAX));
    CHECK(!parse_decimal("18446744073709551620", UINT64_MAX));
    CHECK(!parse_decimal("184467440737095516150", UINT64_MAX));
    for (const std::uint64_t max : {0u, 5u, 9u, 10u, 99u, 255u, 999u, 1000u}) {
        for (std::uint64_t value = 0; value < 2000; ++value) {
            const auto read = parse_decimal(std::to_string(value), max);
            CHECK(static_cast<bool>(read) == (value <= max));
            if (read) CHECK(*read == value);
        }
    }
    CHECK(parse_decimal("", 9).code() == errc::number_invalid);
    CHECK(*parse_decimal("0", 0) == 0);
}

TEST_CASE("hexadecimal digits are the sixteen, in two cases") {
    for (int c = 0; c < 256; ++c) {
        const std::string_view digits = "0123456789abcdef";
        const std::size_t at =
            digits.find(static_cast<char>(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c));
        const int value = at == std::string_view::npos ? -1 : static_cast<int>(at);
        CHECK(walwire::detail::hex_digit(static_cast<char>(c)) == value);
    }
}
