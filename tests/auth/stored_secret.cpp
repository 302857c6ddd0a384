#include <walwire/auth/stored_secret.hpp>

#include <walwire/auth/openssl.hpp>
#include <walwire/wire/backend.hpp>
#include <walwire/wire/frontend.hpp>

#include "../support/no_alloc.hpp"
#include "../support/transcript.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <string>
#include <string_view>

using namespace walwire;
using auth::secret_kind;
using auth::stored_secret;

namespace {

using md5_salt = std::array<std::byte, 4>;

constexpr md5_salt one_to_four = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};

// md5 of "secret" and "repl", and RFC 7677's verifier of "pencil".
constexpr std::string_view md5_secret = "md563aff93e51141f8e64f7444a2cff22d1";
constexpr std::string_view md5_answer = "md5b3a28fe140b644455fccd78ea2101699";
constexpr std::string_view pencil =
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

errc clear(const stored_secret& secret, std::string_view password, std::string_view user = "repl",
           const auth::crypto& with = auth::openssl()) {
    return secret.check_cleartext(with, user, password);
}

errc hashed(const stored_secret& secret, std::string_view answer, std::string_view user = "repl",
            const md5_salt& salt = one_to_four, const auth::crypto& with = auth::openssl()) {
    return secret.check_md5(with, user, salt, answer);
}

// A verifier of one round, since it is the rounds that take time.
std::string verifier_text(std::string_view password) {
    const auto made = auth::make_verifier(auth::openssl(), password, as_bytes("salt"), 1);
    REQUIRE(made);
    std::array<std::byte, 256> room;
    writer out(room);
    auth::put_verifier(out, *made);
    return std::string(as_text(out.written()));
}

} // namespace

TEST_CASE("each kind of secret is known by its text") {
    CHECK(stored_secret().kind() == secret_kind::none);
    CHECK(stored_secret("").kind() == secret_kind::none);
    CHECK(stored_secret(md5_secret).kind() == secret_kind::md5);
    CHECK(stored_secret(pencil).kind() == secret_kind::scram_sha_256);
    for (const std::string_view plain :
         {"secret", "md5", "md563aff93e51141f8e64f7444a2cff22d", "SCRAM-SHA-256", "SCRAM-SHA-1$x",
          "md563aff93e51141f8e64f7444a2cff22d11", "md563AFF93E51141F8E64F7444A2CFF22D1",
          "md563aff93e51141f8e64f7444a2cff22dg", "MD563aff93e51141f8e64f7444a2cff22d1",
          "scram-sha-256$4096:"})
        CHECK(stored_secret(plain).kind() == secret_kind::plain);
    REQUIRE(stored_secret(pencil).verifier() != nullptr);
    CHECK(stored_secret(pencil).verifier()->iterations == 4096);
    CHECK(stored_secret("secret").verifier() == nullptr);
    CHECK(stored_secret(md5_secret).verifier() == nullptr);
    CHECK(stored_secret().verifier() == nullptr);
}

TEST_CASE("a spoilt verifier is nobody's password") {
    for (std::size_t size = 14; size < pencil.size(); ++size) {
        const stored_secret spoilt(pencil.substr(0, size));
        CHECK(spoilt.kind() == secret_kind::none);
        CHECK(spoilt.verifier() == nullptr);
        CHECK(clear(spoilt, pencil.substr(0, size)) == errc::password_mismatch);
    }
    CHECK(clear(stored_secret(std::string(pencil) + " "), "pencil") == errc::password_mismatch);
}

TEST_CASE("a cleartext password is checked against each kind") {
    const std::string of_secret = verifier_text("secret");
    for (const std::string_view text :
         {std::string_view("secret"), md5_secret, std::string_view(of_secret)}) {
        CAPTURE(text);
        const stored_secret secret(text);
        CHECK(clear(secret, "secret") == errc::none);
        for (const std::string_view wrong :
             {std::string_view(), std::string_view("secre"), std::string_view("secret "),
              std::string_view("Secret"), std::string_view("secreT"), std::string_view("x")})
            CHECK(clear(secret, wrong) == errc::password_mismatch);
        if (text != "secret") CHECK(clear(secret, text) == errc::password_mismatch);
    }
    CHECK(clear(stored_secret(pencil), "pencil") == errc::none);
    CHECK(clear(stored_secret(pencil), "pencil", "anybody") == errc::none);
    CHECK(clear(stored_secret(md5_secret), "secret", "other") == errc::password_mismatch);
    CHECK(clear(stored_secret(), "secret") == errc::password_mismatch);
    CHECK(clear(stored_secret(), "") == errc::password_mismatch);
    CHECK(clear(stored_secret(""), "") == errc::password_mismatch);
    CHECK(clear(stored_secret(verifier_text("")), "") == errc::password_mismatch);
}

TEST_CASE("a verifier's password is prepared as a client would") {
    const std::string text = verifier_text("IXIX");
    CHECK(clear(stored_secret(text), "\x49\xc2\xad\x58\xe2\x85\xa8") == errc::none);
    std::string endless;
    for (std::size_t i = 0; i < auth::password_characters_max; ++i) endless += "\xc3\xa9";
    CHECK(clear(stored_secret(text), endless + "x") == errc::password_mismatch);
}

TEST_CASE("an MD5 answer is checked against a password and against its hash") {
    for (const std::string_view text : {std::string_view("secret"), md5_secret}) {
        const stored_secret secret(text);
        CHECK(hashed(secret, md5_answer) == errc::none);
        CHECK(hashed(secret, md5_answer, "other") ==
              (text == "secret" ? errc::password_mismatch : errc::none)); // the hash has the name
        CHECK(hashed(secret, md5_answer, "repl", {}) == errc::password_mismatch);
        CHECK(hashed(secret, "") == errc::password_mismatch);
        CHECK(hashed(secret, "secret") == errc::password_mismatch);
        CHECK(hashed(secret, md5_secret) == errc::password_mismatch);
        CHECK(hashed(secret, std::string(md5_answer) + "0") == errc::password_mismatch);
        CHECK(hashed(secret, "MD5" + std::string(md5_answer.substr(3))) == errc::password_mismatch);
        for (std::size_t at = 0; at < md5_answer.size(); ++at) {
            CHECK(hashed(secret, md5_answer.substr(0, at)) == errc::password_mismatch);
            for (int flip = 1; flip < 256; ++flip) {
                std::string wrong(md5_answer);
                wrong[at] = static_cast<char>(static_cast<unsigned char>(wrong[at]) ^ flip);
                CHECK(hashed(secret, wrong) == errc::password_mismatch);
            }
        }
    }
}

TEST_CASE("secrets that MD5 cannot use let nobody in, even with an answer made of their text") {
    for (const std::string_view text : {pencil, std::string_view(), pencil.substr(0, 30)}) {
        std::array<char, auth::md5_answer_size> answer{};
        REQUIRE(auth::md5_answer(auth::openssl(), "repl", text, one_to_four, answer) == errc::none);
        CHECK(hashed(stored_secret(text), {answer.data(), answer.size()}) ==
              errc::password_mismatch);
    }
}

TEST_CASE("recorded logins are admitted and refused as the server did") {
    int md5s = 0, clears = 0;
    for (const auto* kind : {"a02_", "e01_bad_password_md5", "a04_", "e01_bad_password_clear"}) {
        for (const auto& name : support::transcripts(kind)) {
            CAPTURE(name);
            const auto recording = support::transcript::load(name);
            const auto client = recording.said(support::side::client);
            const auto server = recording.said(support::side::server);
            const auto startup = load<std::uint32_t>(client.data());
            REQUIRE(std::to_integer<char>(client[startup]) == 'p');
            const auto size = load<std::uint32_t>(client.data() + startup + 1);
            const std::string_view said =
                as_text(client.subspan(startup + 5, size - 5)); // without its NUL
            const bool bad = name.find("e01_") != std::string::npos;
            if (name.find("md5") != std::string::npos) {
                md5_salt salt;
                std::memcpy(salt.data(), server.data() + 9, 4);
                for (const std::string_view text :
                     {"md5secret", "md5bee438696bc03df0df13d5e16b9d032a"})
                    CHECK(hashed(stored_secret(text), said, "u_md5", salt) ==
                          (bad ? errc::password_mismatch : errc::none));
                ++md5s;
            } else {
                const std::string verifier = verifier_text("clearsecret");
                for (const std::string_view text :
                     {std::string_view("clearsecret"), std::string_view(verifier)})
                    CHECK(clear(stored_secret(text), said, "u_clear") ==
                          (bad ? errc::password_mismatch : errc::none));
                ++clears;
            }
        }
    }
    CHECK(md5s == 10);
    CHECK(clears == 10);
}

TEST_CASE("each missing or failing primitive is met") {
    const auto whole = auth::openssl();
    auth::crypto table = whole;
    const stored_secret plain("secret"), md5(md5_secret), scram(pencil);
    const auto cleartext = [&](const stored_secret& secret, std::string_view password = "secret") {
        return clear(secret, password, "repl", table);
    };
    const auto answer = [&](const stored_secret& secret) {
        return hashed(secret, md5_answer, "repl", one_to_four, table);
    };
    table.md5 = nullptr;
    CHECK(cleartext(plain) == errc::none);
    CHECK(cleartext(md5) == errc::crypto_missing);
    CHECK(cleartext(scram, "pencil") == errc::none);
    CHECK(answer(plain) == errc::crypto_missing);
    CHECK(answer(md5) == errc::crypto_missing);
    CHECK(answer(scram) == errc::crypto_missing);
    static int left;
    table.md5 = [](void* context, auth::parts parts, auth::md5_digest& out) noexcept {
        return left-- > 0 && auth::openssl().md5(context, parts, out);
    };
    left = 0;
    CHECK(cleartext(md5) == errc::crypto_failed);
    left = 0;
    CHECK(answer(md5) == errc::crypto_failed);
    left = 1;
    CHECK(answer(plain) == errc::crypto_failed);
    left = 2;
    CHECK(answer(plain) == errc::none);
    table = whole;
    table.sha256 = nullptr;
    CHECK(cleartext(scram, "pencil") == errc::crypto_missing);
    table = whole;
    table.hmac_sha256 = nullptr;
    CHECK(cleartext(scram, "pencil") == errc::crypto_missing);
    table = whole;
    table.pbkdf2_sha256 = [](void*, bytes, bytes, std::uint32_t, auth::sha256_digest&) noexcept {
        return false;
    };
    CHECK(cleartext(scram, "pencil") == errc::crypto_failed);
}

TEST_CASE("checking does not allocate") {
    auth::crypto still;
    still.md5 = [](void*, auth::parts, auth::md5_digest& out) noexcept {
        out.fill(std::byte{0});
        return true;
    };
    const std::string zeros = "md5" + std::string(32, '0');
    errc codes[3];
    {
        support::no_alloc scope;
        const stored_secret secret(zeros), plain("x");
        codes[0] = secret.check_cleartext(still, "u", "anything");
        codes[1] = secret.check_md5(still, "u", one_to_four, zeros);
        codes[2] = plain.check_md5(still, "u", one_to_four, zeros);
    }
    for (const errc code : codes) CHECK(code == errc::none);
}
