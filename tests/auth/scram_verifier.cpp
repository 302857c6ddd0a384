#include <walwire/auth/scram_verifier.hpp>

#include <walwire/auth/openssl.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

using namespace walwire;

namespace {

std::string base64(bytes data) {
    std::array<std::byte, 128> room;
    writer out(room);
    auth::put_base64(out, data);
    REQUIRE(out.ok());
    return std::string(as_text(out.written()));
}

std::string printed(const auth::scram_verifier& verifier) {
    std::array<std::byte, 256> room;
    writer out(room);
    auth::put_verifier(out, verifier);
    REQUIRE(out.ok());
    return std::string(as_text(out.written()));
}

errc refusal(std::string_view text) {
    return auth::parse_verifier(text).code();
}

// RFC 7677's salt and keys, for the password "pencil".
constexpr std::string_view pencil =
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

std::vector<std::byte> pencil_salt() {
    std::vector<std::byte> room(16);
    REQUIRE(auth::parse_base64("W22ZaJ0SNY7soEsUEjb6gQ==", room));
    return room;
}

} // namespace

TEST_CASE("the keys are those of RFC 7677") {
    auth::scram_keys keys;
    REQUIRE(auth::derive_keys(auth::openssl(), "pencil", pencil_salt(), 4096, keys) == errc::none);
    CHECK(base64(keys.client.value) == "pg/JI9Z+hkSpLRa5btpe9GVrDHJcSEN0viVTVXaZbos=");
    CHECK(base64(keys.server.value) == "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
}

TEST_CASE("a verifier is made, printed and read back as PostgreSQL stores it") {
    const auto made = auth::make_verifier(auth::openssl(), "pencil", pencil_salt(), 4096);
    REQUIRE(made);
    CHECK(printed(*made) == pencil);
    const auto parsed = auth::parse_verifier(pencil);
    REQUIRE(parsed);
    CHECK(parsed->iterations == 4096);
    CHECK(parsed->salt_bytes().size() == 16);
    CHECK(parsed->stored_key == made->stored_key);
    CHECK(parsed->server_key == made->server_key);
    CHECK(printed(*parsed) == pencil);
}

TEST_CASE("passwords that SASLprep makes equal have one verifier") {
    const auto crypto = auth::openssl();
    const auto typed =
        auth::make_verifier(crypto, "\x49\xc2\xad\x58\xe2\x85\xa8", pencil_salt(), 1);
    const auto plain = auth::make_verifier(crypto, "IXIX", pencil_salt(), 1);
    const auto other = auth::make_verifier(crypto, "IXIY", pencil_salt(), 1);
    CHECK(printed(*typed) == printed(*plain));
    CHECK(printed(*other) != printed(*plain));
}

TEST_CASE("a long password is no matter unless it is one of rare characters") {
    const auto crypto = auth::openssl();
    CHECK(auth::make_verifier(crypto, std::string(1 << 20, 'x'), pencil_salt(), 1));
    std::string accented;
    for (std::size_t i = 0; i < auth::password_characters_max; i += 2) accented += "\xc3\xa9";
    CHECK(auth::make_verifier(crypto, accented, pencil_salt(), 1)); // two characters each
    CHECK(auth::make_verifier(crypto, accented + "\xff", pencil_salt(), 1));
    CHECK(auth::make_verifier(crypto, accented + "x", pencil_salt(), 1).code() ==
          errc::argument_too_long);
}

TEST_CASE("salts and iterations outside their ranges make no verifier") {
    const auto crypto = auth::openssl();
    const std::vector<std::byte> salt(65);
    const auto make = [&](std::size_t size, std::uint32_t iterations) {
        return auth::make_verifier(crypto, "x", bytes(salt).first(size), iterations).code();
    };
    CHECK(make(1, 1) == errc::none);
    CHECK(make(64, 1) == errc::none);
    CHECK(make(0, 1) == errc::argument_invalid);
    CHECK(make(65, 1) == errc::argument_invalid);
    CHECK(make(16, 0) == errc::argument_invalid);
    CHECK(make(16, 0x80000000) == errc::argument_invalid);
}

TEST_CASE("each missing primitive is missed") {
    const auto whole = auth::openssl();
    auth::crypto table = whole;
    const auto make = [&] { return auth::make_verifier(table, "x", pencil_salt(), 1).code(); };
    table.md5 = nullptr;
    table.random = nullptr;
    CHECK(make() == errc::none);
    table.sha256 = nullptr;
    CHECK(make() == errc::crypto_missing);
    table = whole;
    table.hmac_sha256 = nullptr;
    CHECK(make() == errc::crypto_missing);
    table = whole;
    table.pbkdf2_sha256 = nullptr;
    CHECK(make() == errc::crypto_missing);
}

TEST_CASE("the largest numbers and salts are printed and read back") {
    auth::scram_verifier verifier;
    for (const std::uint32_t iterations : {1U, 10U, 4096U, 2147483647U}) {
        for (const unsigned size : {1U, 2U, 3U, 64U}) {
            verifier.iterations = iterations;
            verifier.salt_size = static_cast<std::uint8_t>(size);
            const std::string text = printed(verifier);
            const auto parsed = auth::parse_verifier(text);
            REQUIRE(parsed);
            CHECK(parsed->iterations == iterations);
            CHECK(parsed->salt_size == size);
            CHECK(printed(*parsed) == text);
        }
    }
}

TEST_CASE("a verifier cut off anywhere is none, nor is one with a byte more") {
    for (std::size_t size = 0; size < pencil.size(); ++size)
        CHECK(refusal(pencil.substr(0, size)) == errc::scram_verifier_invalid);
    for (const char more : {' ', '\0', '=', ':', '$', 'A'})
        CHECK(refusal(std::string(pencil) + more) == errc::scram_verifier_invalid);
}

TEST_CASE("a changed byte is refused or printed back as it is") {
    for (std::size_t at = 0; at < pencil.size(); ++at) {
        for (int flip = 1; flip < 256; ++flip) {
            std::string text(pencil);
            text[at] = static_cast<char>(static_cast<unsigned char>(text[at]) ^ flip);
            const auto parsed = auth::parse_verifier(text);
            if (parsed)
                CHECK(printed(*parsed) == text);
            else
                CHECK(parsed.code() == errc::scram_verifier_invalid);
        }
    }
}

TEST_CASE("what looks like a verifier and is none is refused") {
    const std::string salt = "W22ZaJ0SNY7soEsUEjb6gQ==";
    const std::string key = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=";
    const auto with = [](std::string_view iterations, std::string_view salted,
                         std::string_view stored, std::string_view server) {
        std::string text = "SCRAM-SHA-256$";
        text.append(iterations).append(":").append(salted).append("$").append(stored);
        return text.append(":").append(server);
    };
    REQUIRE(refusal(with("4096", salt, key, key)) == errc::none);
    for (const std::string_view iterations : {"", "0", "-1", "+1", "04096", "4096x", "0x10", " 1",
                                              "2147483648", "4294967297", "1000000000000"})
        CHECK(refusal(with(iterations, salt, key, key)) == errc::scram_verifier_invalid);
    for (const std::string_view salted : {"", "W22", "W22ZaJ0SNY7soEsUEjb6gQ", "====", "W$2Z"})
        CHECK(refusal(with("4096", salted, key, key)) == errc::scram_verifier_invalid);
    CHECK(refusal(with("4096", std::string(88, 'A'), key, key)) == errc::scram_verifier_invalid);
    for (const std::string_view digest : {"", "WG5d", "W22ZaJ0SNY7soEsUEjb6gQ=="}) {
        CHECK(refusal(with("4096", salt, digest, key)) == errc::scram_verifier_invalid);
        CHECK(refusal(with("4096", salt, key, digest)) == errc::scram_verifier_invalid);
    }
    CHECK(refusal("md5b3a28fe140b644455fccd78ea2101699") == errc::scram_verifier_invalid);
    CHECK(refusal("secret") == errc::scram_verifier_invalid);
    CHECK(refusal("SCRAM-SHA-1$" + with("1", salt, key, key).substr(14)) ==
          errc::scram_verifier_invalid);
}

TEST_CASE("a verifier that does not fit leaves the writer failed") {
    const auto parsed = auth::parse_verifier(pencil);
    std::array<std::byte, 132> room;
    writer out(room);
    auth::put_verifier(out, *parsed);
    CHECK_FALSE(out.ok());
}
