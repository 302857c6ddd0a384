#include "support/transcript.hpp"

#include <doctest/doctest.h>

#include <set>

using support::deed;
using support::side;
using support::transcript;

namespace {

std::string text_of(std::span<const std::byte> data) {
    return {reinterpret_cast<const char*>(data.data()), data.size()};
}

// Why a text is refused; empty when it is not.
std::string refusal(std::string_view text) {
    try {
        transcript::parse("pg18/made", text);
    } catch (const std::runtime_error& refused) {
        return refused.what();
    }
    return "";
}

const std::string sums =
    "# bytes: C 4 ed82cd11 S 14 6d0c3e7f\n"; // zlib's CRC-32 of abcd and the below

} // namespace

TEST_CASE("every kind of word says its bytes") {
    const std::string body = "C \"abcd\"\n"
                             "S Z:5 49\n"
                             "  \"a b\" 00*2 @3+3\n";
    const transcript t = transcript::parse("pg18/made", "# case: made\n" + sums + body);
    CHECK(text_of(t.said(side::client)) == "abcd");
    CHECK(text_of(t.said(side::server)) == std::string("Z\0\0\0\5Ia b\0\0b\0\0", 14));
    CHECK(t.head("case") == "made");
    CHECK(t.head("what").empty());
    CHECK(t.major_version() == 18);
}

TEST_CASE("records are joined until the other side speaks or somebody closes") {
    const transcript t = transcript::parse(
        "pg12/made", "# bytes: C 4 ed82cd11 S 2 1fb73b69\n"
                     "C 61\nC 62\nS 7a\nC 6364\nS 5a\n# eof C\n# reset S\n# a remark\n");
    REQUIRE(t.records().size() == 6);
    CHECK(text_of(t.records()[0].data) == "ab");
    CHECK(t.records()[0].from == side::client);
    CHECK(text_of(t.records()[1].data) == "z");
    CHECK(t.records()[1].from == side::server);
    CHECK(text_of(t.records()[2].data) == "cd");
    CHECK(t.records()[4].what == deed::closed);
    CHECK(t.records()[4].from == side::client);
    CHECK(t.records()[5].what == deed::reset);
    CHECK(t.records()[5].from == side::server);
}

TEST_CASE("a text that says other bytes than it promises is refused") {
    CHECK(refusal("C \"abcd\"\n").find("holds C 4 ed82cd11 S 0 00000000") != std::string::npos);
    CHECK(refusal("# bytes: C 4 ed82cd12 S 0 00000000\nC \"abcd\"\n") != "");
    CHECK(refusal("# bytes: C 4 ed82cd11 S 0 00000000\nC \"abcd\"\n") == "");
}

TEST_CASE("what is no word of the format is refused with its reason") {
    CHECK(refusal("C 0\n").find("half a byte") != std::string::npos);
    CHECK(refusal("C 0g\n").find("not a number") != std::string::npos);
    CHECK(refusal("C \"open\n").find("quote") != std::string::npos);
    CHECK(refusal("C 61 @2+1\n").find("nothing stands") != std::string::npos);
    CHECK(refusal("C 61 @1\n").find("missing") != std::string::npos);
    CHECK(refusal("C 00*\n").find("number") != std::string::npos);
    CHECK(refusal("D 00\n").find("not a line") != std::string::npos);
    CHECK(refusal(" 00\n").find("goes on from none") != std::string::npos);
}

TEST_CASE("every recorded transcript holds what it promises, and both sides are told apart") {
    std::set<int> versions;
    std::size_t both = 0;
    for (const std::string& name : support::transcripts()) {
        CAPTURE(name);
        const transcript t = transcript::load(name);
        versions.insert(t.major_version());
        CHECK(name.substr(name.find('/') + 1).starts_with(t.head("case")));
        CHECK(!t.head("case").empty());
        CHECK(t.head("server").starts_with("PostgreSQL"));
        CHECK(!t.said(side::client).empty());
        if (!t.said(side::server).empty()) ++both;
        std::size_t size = 0;
        for (const support::record& r : t.records()) size += r.data.size();
        CHECK(size == t.said(side::client).size() + t.said(side::server).size());
    }
    CHECK(versions == std::set<int>{12, 13, 15, 17, 18});
    CHECK(both > 400);
    CHECK_THROWS_AS(transcript::load("pg18/nosuch"), std::runtime_error);
    CHECK_THROWS_AS(support::transcripts("nosuch"), std::runtime_error);
}
