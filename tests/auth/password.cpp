#include <walwire/auth/password.hpp>

#include <walwire/auth/openssl.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>

using namespace walwire;
using auth::method;

namespace {

constexpr method every_method[] = {method::none, method::password,      method::md5,  method::gss,
                                   method::sspi, method::scram_sha_256, method::oauth};

std::string md5_answer(std::string_view user, std::string_view password,
                       std::array<unsigned char, 4> salt) {
    std::array<char, auth::md5_answer_size> out{};
    std::array<std::byte, 4> raw{};
    for (std::size_t i = 0; i < raw.size(); ++i) raw[i] = std::byte{salt[i]};
    REQUIRE(auth::md5_answer(auth::openssl(), user, password, raw, out) == errc::none);
    return std::string(out.data(), out.size());
}

// The allowed methods by their names, in the order of the enumeration.
std::string allowed(std::string_view list) {
    const auto set = auth::parse_require_auth(list);
    REQUIRE(set);
    std::string names;
    for (const method each : every_method)
        if (set->allows(each)) names.append(names.empty() ? "" : " ").append(text(each));
    return names;
}

errc refusal(std::string_view list) {
    return auth::parse_require_auth(list).code();
}

} // namespace

TEST_CASE("an MD5 answer is the one that the manual's formula gives") {
    CHECK(md5_answer("repl", "secret", {1, 2, 3, 4}) == "md5b3a28fe140b644455fccd78ea2101699");
}

TEST_CASE("the recorded MD5 answers are reproduced") {
    CHECK(md5_answer("u_md5", "md5secret", {0x25, 0x92, 0x05, 0x97}) ==
          "md5d0d8362b8d8df0f78f331bbf3d207fec"); // PostgreSQL 12
    CHECK(md5_answer("u_md5", "md5secret", {0x66, 0x4c, 0x77, 0x2c}) ==
          "md58a50cb116bb4b3a9085f15a28680ddc2"); // 13
    CHECK(md5_answer("u_md5", "md5secret", {0x57, 0xf0, 0x80, 0x4c}) ==
          "md593fe0e3f28cd6cea2a3ab9388fb08ae4"); // 15
    CHECK(md5_answer("u_md5", "md5secret", {0x27, 0x44, 0xa1, 0x74}) ==
          "md5542b494a9edd5eddd0c903f60351cae2"); // 17
    CHECK(md5_answer("u_md5", "md5secret", {0x86, 0x8f, 0xc7, 0x36}) ==
          "md52ce1d3c3d759b5f7a757eb3992bf1e6d"); // 18
}

TEST_CASE("without MD5 there is no answer, and nothing is written") {
    std::array<char, auth::md5_answer_size> out;
    out.fill('x');
    const std::array<std::byte, 4> salt{};
    auth::crypto table;
    CHECK(auth::md5_answer(table, "u", "p", salt, out) == errc::crypto_missing);
    table.md5 = [](void*, auth::parts, auth::md5_digest&) noexcept { return false; };
    CHECK(auth::md5_answer(table, "u", "p", salt, out) == errc::crypto_failed);
    // Failing at the second of the two hashes only.
    static int left;
    left = 1;
    table.md5 = [](void*, auth::parts, auth::md5_digest&) noexcept { return left-- > 0; };
    CHECK(auth::md5_answer(table, "u", "p", salt, out) == errc::crypto_failed);
    for (const char c : out) CHECK(c == 'x');
}

TEST_CASE("every method is allowed unless somebody says otherwise") {
    for (const method each : every_method) CHECK(auth::method_set{}.allows(each));
    CHECK(allowed("") == "none password md5 gss sspi scram-sha-256 oauth");
}

TEST_CASE("a list names what is allowed") {
    CHECK(allowed("scram-sha-256") == "scram-sha-256");
    CHECK(allowed("none,scram-sha-256") == "none scram-sha-256");
    CHECK(allowed("oauth,sspi,gss,md5,password") == "password md5 gss sspi oauth");
    for (const method each : every_method) CHECK(allowed(text(each)) == text(each));
}

TEST_CASE("a list of exceptions names what is not") {
    CHECK(allowed("!password") == "none md5 gss sspi scram-sha-256 oauth");
    CHECK(allowed("!none,!password,!md5") == "gss sspi scram-sha-256 oauth");
    CHECK(allowed("!none,!password,!md5,!gss,!sspi,!scram-sha-256,!oauth").empty());
}

TEST_CASE("a name that is none, in whatever way, is refused") {
    for (const std::string_view list : {",", "md5,", ",md5", "md5,,gss", "scram", "SCRAM-SHA-256",
                                        "Md5", " md5", "md5 ", "md5, gss", "!", "!!md5", "! md5",
                                        "!md5,!", "password;md5", "scram-sha-256-plus", "creds"}) {
        CAPTURE(list);
        CHECK(refusal(list) == errc::option_invalid);
    }
}

TEST_CASE("a method that comes twice and a mixture of both kinds are conflicts") {
    for (const std::string_view list : {"md5,md5", "none,md5,none", "!md5,!md5", "md5,!gss",
                                        "!md5,gss", "md5,!md5", "!md5,md5"}) {
        CAPTURE(list);
        CHECK(refusal(list) == errc::option_conflict);
    }
}

TEST_CASE("sets are built by hand as well") {
    auth::method_set set;
    set.forbid_all();
    for (const method each : every_method) CHECK_FALSE(set.allows(each));
    set.allow(method::md5);
    set.allow(method::gss);
    set.forbid(method::gss);
    CHECK(set == *auth::parse_require_auth("md5"));
    static_assert(auth::parse_require_auth("!md5")->allows(method::none));
}
