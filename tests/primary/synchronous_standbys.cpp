#include <walwire/primary/synchronous_standbys.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "support/guard.hpp"
#include "support/no_alloc.hpp"

using namespace walwire;
using namespace walwire::primary;

namespace {

synchronous_standbys parsed(std::string_view text) {
    const auto made = synchronous_standbys::parse(text);
    REQUIRE(made);
    return *made;
}

std::string printed(const synchronous_standbys& standbys) {
    std::array<std::byte, 1024> room;
    writer out(room);
    put(out, standbys);
    REQUIRE(out.ok());
    return std::string(as_text(out.written()));
}

errc refusal_of(std::string_view text) {
    const support::guarded exact(as_bytes(text));
    return synchronous_standbys::parse(as_text(exact)).code();
}

struct cluster {
    std::array<replica, 6> room;
    registry replicas{room};
    std::uint32_t last = 0;

    // A streaming replica and its three positions.
    connection_id add(std::string_view name, std::uint64_t written, std::uint64_t flushed,
                      std::uint64_t applied) {
        const auto made = replicas.join({++last}, name);
        REQUIRE(made);
        (*made)->stream_from(lsn{1});
        (*made)->sent(lsn{1000});
        (*made)->reported({{written}, {flushed}, {applied}, 0, false}, {});
        REQUIRE((*made)->caught_up() == errc::none);
        return {last};
    }
    std::string released(std::string_view text) const {
        const auto seen = parsed(text).released(replicas);
        if (!seen) return "waits";
        return std::to_string(seen->written.value) + " " + std::to_string(seen->flushed.value) +
               " " + std::to_string(seen->applied.value);
    }
    std::string_view state(std::string_view text_of_names, connection_id id) const {
        return text(parsed(text_of_names).state_of(replicas, id));
    }
};

static_assert(synchronous_standbys::parse("ANY 2 (a, b)")->needed() == 2);
static_assert(synchronous_standbys::parse("a, b")->priority("B") == 2);

} // namespace

TEST_CASE("what servers 12 and 18 accept is read") {
    const std::pair<std::string_view, std::string_view> cases[] = {
        {"", ""},
        {"*", "FIRST 1 (*)"},
        {"\"*\"", "FIRST 1 (*)"},
        {"a", "FIRST 1 (a)"},
        {"a,b", "FIRST 1 (a, b)"},
        {"a , b,c", "FIRST 1 (a, b, c)"},
        {"1", "FIRST 1 (1)"},
        {"1,2", "FIRST 1 (1, 2)"},
        {"2 (a,b)", "FIRST 2 (a, b)"},
        {"2(a,b)", "FIRST 2 (a, b)"},
        {"5 (a)", "FIRST 5 (a)"},
        {"2147483647 (a)", "FIRST 2147483647 (a)"},
        {"007 (a)", "FIRST 7 (a)"},
        {"FIRST 1 (a)", "FIRST 1 (a)"},
        {"first 1 (a)", "FIRST 1 (a)"},
        {"Any 2 (a, b)", "ANY 2 (a, b)"},
        {"ANY 2(a,b)", "ANY 2 (a, b)"},
        {"any2", "FIRST 1 (any2)"},
        {"\"first\", a", "FIRST 1 (\"first\", a)"},
        {"FIRST 1 (\"FIRST\")", "FIRST 1 (\"FIRST\")"},
        {"\"a\"\"b\"", "FIRST 1 (\"a\"\"b\")"},
        {"\"\"", "FIRST 1 (\"\")"},
        {"FIRST 1 (\"\")", "FIRST 1 (\"\")"},
        {"a$b", "FIRST 1 (a$b)"},
        {"_a", "FIRST 1 (_a)"},
        {"a1", "FIRST 1 (a1)"},
        {"3 (1, 2, *)", "FIRST 3 (1, 2, *)"},
        {"*,*", "FIRST 1 (*, *)"},
        {"\va", "FIRST 1 (a)"},
        {"\"a b,()*\"", "FIRST 1 (\"a b,()*\")"},
        {"\xc3\xa9", "FIRST 1 (\xc3\xa9)"},
        {"\t\n\r\f 1\n(\ta\r)\f", "FIRST 1 (a)"},
        {"\"Plain\"", "FIRST 1 (Plain)"},
        {"\"12\"", "FIRST 1 (12)"},
        {"\"1a\"", "FIRST 1 (\"1a\")"},
        {"\"a-b\"", "FIRST 1 (\"a-b\")"},
        // Refused by servers, taken for the empty text here.
        {" ", ""},
        {"\t\n\r\f\v ", ""},
    };
    for (const auto& each : cases) {
        const std::string_view text = each.first;
        const std::string_view print = each.second;
        CAPTURE(text);
        CHECK(printed(parsed(text)) == print);
        CHECK(printed(parsed(print)) == print);
    }
}

TEST_CASE("what servers 12 and 18 refuse is refused") {
    for (const std::string_view text : {",a",
                                        "a,",
                                        "a,,b",
                                        "a b",
                                        "1 ()",
                                        "-1 (a)",
                                        "ANY2 (a)",
                                        "FIRST (a)",
                                        "FIRST",
                                        "first, a",
                                        "a, first",
                                        "ANY",
                                        "FIRST 1 a",
                                        "FIRST 1",
                                        "FIRST 1 (a",
                                        "FIRST 1 (a,",
                                        "FIRST 1 (",
                                        "FIRST 1 (a) b",
                                        "FIRST 1 (a))",
                                        "FIRST 1 (FIRST)",
                                        "\"a",
                                        "\"a\"\"",
                                        "\"",
                                        "\"a\"b",
                                        "a\"b\"",
                                        "a-b",
                                        "a.b",
                                        "$a",
                                        "1a",
                                        "2 (1a)",
                                        "**",
                                        "a\vb",
                                        "a;",
                                        "(a)",
                                        "ANY 1 (a),b",
                                        "FIRST a (b)",
                                        "FIRST 1 2 (a)",
                                        "\"a\nb",
                                        "1 2",
                                        "1 (a b)",
                                        ")",
                                        "a)",
                                        "ANY 1 (*,)"}) {
        CAPTURE(text);
        CHECK(refusal_of(text) == errc::standby_names_invalid);
    }
}

TEST_CASE("the count is 1 to 2147483647") {
    for (const std::string_view text : {"0 (a)", "ANY 0 (a)", "FIRST 00 (a)", "2147483648 (a)",
                                        "4294967297 (a)", "99999999999999999999 (a)"})
        CHECK(refusal_of(text) == errc::number_invalid);
}

TEST_CASE("a NUL is refused, and so is one name more than there is room for") {
    using namespace std::string_view_literals;
    CHECK(refusal_of("a\0b"sv) == errc::argument_has_nul);
    std::string text = "n0";
    for (std::size_t i = 1; i < standby_names_max; ++i) text += ",n" + std::to_string(i);
    CHECK(refusal_of(text) == errc::none);
    CHECK(parsed(text).priority("N63") == 64);
    CHECK(refusal_of(text + ",last") == errc::too_many);
}

TEST_CASE("truncated anywhere and with any byte flipped it is refused or prints as it reads") {
    const std::string text = "ANY 2 (\"a\"\"b\", c1, *)";
    // "A" and "AN" are names, and nothing names nobody.
    for (std::size_t size = 0; size < text.size(); ++size)
        CHECK((refusal_of(text.substr(0, size)) == errc::none) == (size < 3));
    for (std::size_t at = 0; at < text.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string damaged = text;
            damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
            const auto made = synchronous_standbys::parse(damaged);
            if (!made) continue;
            const std::string print = printed(*made);
            CHECK(printed(parsed(print)) == print);
        }
    }
}

TEST_CASE("names are given in their order, quotes in them doubled") {
    std::vector<std::string> names;
    const std::string text = "2 (b, \"x\"\"y\", *)";
    const synchronous_standbys standbys = parsed(text);
    standbys.each([&](std::string_view name) { names.emplace_back(name); });
    CHECK(names == std::vector<std::string>{"b", "x\"\"y", "*"});
    CHECK(!standbys.empty());
    CHECK(standbys.method() == standby_method::first);
    CHECK(parsed("any 1 (a)").method() == standby_method::any);
    CHECK(synchronous_standbys().empty());
    CHECK(synchronous_standbys().needed() == 0);
}

TEST_CASE("a priority is the place of the first name that fits") {
    const synchronous_standbys standbys = parsed("alpha, \"a\"\"b\", Alpha, \"\", 12, *");
    CHECK(standbys.priority("alpha") == 1);
    CHECK(standbys.priority("ALPHA") == 1);
    CHECK(standbys.priority("A\"B") == 2);
    CHECK(standbys.priority("") == 4);
    CHECK(standbys.priority("12") == 5);
    CHECK(standbys.priority("alph") == 6);
    CHECK(standbys.priority("alphas") == 6);
    CHECK(standbys.priority("a\"\"b") == 6);
    CHECK(parsed("alpha").priority("beta") == 0);
    CHECK(parsed("alpha").priority("") == 0);
    CHECK(parsed("\"a\"\"\"").priority("a\"") == 1);
    CHECK(parsed("\"a\"\"\"").priority("a") == 0);
    // Only letters of ASCII have two cases.
    CHECK(parsed("\"[\"").priority("{") == 0);
    CHECK(parsed("\xc3\xa9").priority("\xc3\x89") == 0);
    CHECK(parsed("\"a*\"").priority("ab") == 0);
    CHECK(synchronous_standbys().priority("alpha") == 0);
}

TEST_CASE("where nobody is named, nobody is waited for") {
    cluster made;
    CHECK(made.released("") == "18446744073709551615 18446744073709551615 18446744073709551615");
    CHECK(parsed("").released(made.replicas, lsn{5}, synchronous_commit::remote_apply));
}

TEST_CASE("FIRST releases the least position of the standbys that stand first") {
    cluster made;
    CHECK(made.released("a") == "waits");
    made.add("a", 300, 200, 100);
    CHECK(made.released("a") == "300 200 100");
    CHECK(made.released("2 (a, b)") == "waits");
    CHECK(made.released("b") == "waits");
    made.add("B", 250, 240, 230);
    made.add("c", 900, 900, 900);
    CHECK(made.released("2 (a, b)") == "250 200 100");
    CHECK(made.released("b, a") == "250 240 230");
    CHECK(made.released("FIRST 2 (c, b, a)") == "250 240 230");
    CHECK(made.released("FIRST 3 (c, b, a)") == "250 200 100");
    CHECK(made.released("FIRST 4 (c, b, a, d)") == "waits");
}

TEST_CASE("ANY releases what n have reached, for each level by itself") {
    cluster made;
    made.add("a", 300, 200, 100);
    made.add("b", 250, 240, 10);
    made.add("c", 900, 50, 50);
    CHECK(made.released("ANY 1 (a, b, c)") == "900 240 100");
    CHECK(made.released("ANY 2 (a, b, c)") == "300 200 50");
    CHECK(made.released("ANY 3 (a, b, c)") == "250 50 10");
    CHECK(made.released("ANY 4 (a, b, c)") == "waits");
    CHECK(made.released("ANY 2 (c, a)") == "300 50 50");
    CHECK(made.released("ANY 2 (*)") == "300 200 50");
}

TEST_CASE("equal positions and equal priorities count one by one") {
    cluster made;
    const auto front = made.add("x", 300, 300, 300);
    const auto middle = made.add("x", 300, 300, 300);
    const auto back = made.add("y", 100, 100, 100);
    CHECK(made.released("ANY 2 (*)") == "300 300 300");
    CHECK(made.released("ANY 3 (*)") == "100 100 100");
    // The earlier place in the registry goes first.
    CHECK(made.released("FIRST 1 (*)") == "300 300 300");
    CHECK(made.released("FIRST 3 (*)") == "100 100 100");
    CHECK(made.state("FIRST 2 (*)", front) == "sync");
    CHECK(made.state("FIRST 2 (*)", middle) == "sync");
    CHECK(made.state("FIRST 2 (*)", back) == "potential");
    CHECK(made.state("FIRST 1 (y, *)", back) == "sync");
    CHECK(made.state("FIRST 1 (y, *)", front) == "potential");
}

TEST_CASE("a standby counts once it streams and reports what is durable") {
    cluster made;
    const auto made_at = made.replicas.join({9}, "a");
    replica& at = **made_at;
    CHECK(made.state("a", {9}) == "async");
    at.stream_from(lsn{1});
    at.sent(lsn{1000});
    at.reported({{500}, {0}, {0}, 0, false}, {});
    CHECK(made.released("a") == "waits");
    REQUIRE(at.caught_up() == errc::none);
    CHECK(made.released("a") == "waits");
    CHECK(made.state("a", {9}) == "async");
    at.reported({{500}, {400}, {0}, 0, false}, {});
    CHECK(made.released("a") == "500 400 0");
    CHECK(made.state("a", {9}) == "sync");
    CHECK(made.state("any 1 (a)", {9}) == "quorum");
    CHECK(made.state("b", {9}) == "async");
    CHECK(made.state("", {9}) == "async");
    CHECK(made.state("a", {8}) == "async");
    at.stop();
    CHECK(made.released("a") == "500 400 0");
    at.stream_from(lsn{1});
    at.sent(lsn{1000});
    at.reported({{500}, {400}, {0}, 0, false}, {});
    CHECK(made.released("a") == "waits");
    CHECK(made.state("a", {9}) == "potential");
    at.back_up_from(lsn{1});
    CHECK(made.released("a") == "waits");
}

TEST_CASE("each level waits for its own position") {
    cluster made;
    made.add("a", 300, 200, 100);
    const std::pair<synchronous_commit, std::uint64_t> levels[] = {
        {synchronous_commit::remote_write, 300},
        {synchronous_commit::on, 200},
        {synchronous_commit::remote_apply, 100}};
    for (const auto& [level, end] : levels) {
        CHECK(parsed("a").released(made.replicas, lsn{end}, level));
        CHECK(!parsed("a").released(made.replicas, lsn{end + 1}, level));
        CHECK(!parsed("2 (a)").released(made.replicas, lsn{1}, level));
    }
}

TEST_CASE("synchronous standbys do not allocate") {
    cluster made;
    made.add("a", 300, 200, 100);
    made.add("b", 300, 200, 100);
    std::array<std::byte, 64> room;
    const support::allocations before;
    const auto first = synchronous_standbys::parse("FIRST 1 (a, \"b\")");
    const auto any = synchronous_standbys::parse("ANY 2 (a, \"b\")");
    const bool one = first->released(made.replicas, lsn{5}, synchronous_commit::on);
    const bool two = any->released(made.replicas, lsn{5}, synchronous_commit::on);
    writer out(room);
    put(out, *any);
    const auto count = before.count();
    CHECK(count == 0);
    CHECK(one);
    CHECK(two);
}
