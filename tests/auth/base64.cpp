#include <walwire/auth/base64.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

using namespace walwire;

namespace {

std::string encoded(std::string_view data) {
    std::vector<std::byte> room(auth::base64_text_size(data.size()));
    writer out(room);
    auth::put_base64(out, as_bytes(data));
    REQUIRE(out.ok());
    CHECK(out.size() == room.size());
    return std::string(as_text(out.written()));
}

errc refusal(std::string_view text) {
    std::array<std::byte, 64> room;
    return auth::parse_base64(text, room).code();
}

} // namespace

TEST_CASE("the vectors of RFC 4648 are written and read back") {
    const std::pair<std::string_view, std::string_view> vectors[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (const auto& [data, text] : vectors) {
        CHECK(encoded(data) == text);
        std::array<std::byte, 6> room;
        const auto parsed = auth::parse_base64(text, room);
        REQUIRE(parsed);
        CHECK(as_text(bytes(room).first(*parsed)) == data);
        CHECK(auth::base64_bytes_max(text.size()) >= data.size());
    }
}

TEST_CASE("every byte at every place of a group survives") {
    for (int place = 0; place < 3; ++place) {
        for (std::size_t size = static_cast<std::size_t>(place) + 1; size <= 4; ++size) {
            for (int value = 0; value < 256; ++value) {
                std::string data(size, 'x');
                data[static_cast<std::size_t>(place)] = static_cast<char>(value);
                std::vector<std::byte> room(size);
                const auto parsed = auth::parse_base64(encoded(data), room);
                REQUIRE(parsed);
                CHECK(*parsed == size);
                CHECK(as_text(room) == data);
            }
        }
    }
}

TEST_CASE("exactly the 64 digits are digits") {
    std::size_t digits = 0;
    for (int c = 0; c < 256; ++c) {
        std::string text = "AAAA";
        text[0] = static_cast<char>(c);
        digits += refusal(text) == errc::none;
    }
    CHECK(digits == 64);
}

TEST_CASE("a text that is not the canonical one is refused") {
    for (const std::string_view wrong :
         {"Z",     "Zg",   "Zg=",  "Zg===",  "Zg==Zg==", "Zm8=Zm8=", "====", "=AAA",
          "A=AA",  "AA=A", "A===", "Zm9v\n", " Zm9",     "Zm 9",     "Zm9-", "Zm9_",
          "Zm9v=", "Zh==", "Zv==", "Zm9=",   "Zm+=",     "AAAAA"}) {
        CAPTURE(wrong);
        CHECK(refusal(wrong) == errc::base64_invalid);
    }
}

TEST_CASE("of four texts that differ in unneeded bits only one is accepted") {
    constexpr std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::size_t one = 0, two = 0;
    for (const char c : digits) {
        one += refusal(std::string("A") + c + "==") == errc::none;
        two += refusal(std::string("AA") + c + "=") == errc::none;
    }
    CHECK(one == 4);
    CHECK(two == 16);
}

TEST_CASE("room that is too small is refused and never overrun") {
    for (const std::string_view text : {"Zm9vYmFy", "Zm9vYmE=", "Zm9vYg=="}) {
        std::array<std::byte, 8> room;
        const std::size_t needed = *auth::parse_base64(text, room);
        for (std::size_t size = 0; size < needed; ++size) {
            std::vector<std::byte> small(size);
            CHECK(auth::parse_base64(text, small).code() == errc::argument_too_long);
        }
        std::vector<std::byte> exact(needed);
        CHECK(auth::parse_base64(text, exact));
    }
    std::array<std::byte, 7> room;
    writer out(room);
    auth::put_base64(out, as_bytes("foob"));
    CHECK_FALSE(out.ok());
}
