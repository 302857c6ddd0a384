#include <walwire/primary/slot.hpp>

#include <doctest/doctest.h>

#include <array>
#include <set>
#include <string>
#include <vector>

#include "support/no_alloc.hpp"

using namespace walwire;
using namespace walwire::primary;

namespace {

constexpr connection_id one{101};
constexpr connection_id two{102};

template <std::size_t Size>
struct table_of {
    std::array<slot, Size> room;
    slot_table table{room};
};

std::string said(errc code, std::string_view name, connection_id active_for = {}) {
    short_text text;
    const refusal refused = slot_refusal(code, name, active_for, text);
    CHECK(!refused.fatal);
    return std::string(refused.sqlstate) + " " + std::string(refused.message);
}

constexpr bool usable_while_compiling() {
    std::array<slot, 1> room;
    slot_table table(room);
    return table.create("a").code() == errc::none && table.drop("a", {}) == errc::none;
}
static_assert(usable_while_compiling());

} // namespace

TEST_CASE("an identifier is a copy, cut at 63 bytes") {
    CHECK(identifier().view() == "");
    CHECK(identifier().empty());
    std::string text(63, 'x');
    const identifier whole(text);
    const identifier cut(text + "yz");
    text[0] = '!';
    CHECK(whole.view() == std::string(63, 'x'));
    CHECK(whole == cut);
    CHECK(!(whole == identifier("x")));
    CHECK(identifier::printable("a b~!\t\n\x7f\xc3\xa9").view() == "a b~!?????");
    CHECK(identifier::printable(std::string(70, '\x01')).view() == std::string(63, '?'));
    CHECK(identifier::printable("ab") == identifier("ab"));
}

TEST_CASE("a slot's name is 1 to 63 of lower-case letters, digits and underscores") {
    table_of<1> made;
    for (const std::string& name : {std::string("a"), std::string("0"), std::string("_"),
                                    std::string("az09_"), std::string(63, 'x')}) {
        CAPTURE(name);
        const auto created = made.table.create(name);
        REQUIRE(created);
        CHECK((*created)->name() == name);
        CHECK(made.table.drop(name, {}) == errc::none);
    }
    using namespace std::string_literals;
    for (const std::string& name :
         {""s, "A"s, "a-b"s, "a.b"s, "../x"s, "a b"s, "a\0"s, "\xc3\xa9"s, "a/b"s, "\"a\""s, "{"s,
          "`"s, "/"s, ":"s, std::string(64, 'x')}) {
        CAPTURE(name);
        CHECK(made.table.create(name).code() == errc::name_invalid);
        CHECK(made.table.size() == 0);
    }
}

TEST_CASE("a slot begins without a position, or where WAL was reserved") {
    table_of<2> made;
    const slot& plain = **made.table.create("plain");
    CHECK(!plain.restart_lsn().valid());
    CHECK(!plain.restart_tli().valid());
    CHECK(!plain.temporary());
    CHECK(!plain.active_for().valid());
    CHECK(plain.xmin() == 0);
    CHECK(plain.catalog_xmin() == 0);
    const slot& reserved = **made.table.create("reserved", {false, {}, lsn{0x28}, timeline_id{3}});
    CHECK(reserved.restart_lsn() == lsn{0x28});
    CHECK(reserved.restart_tli() == timeline_id{3});
}

TEST_CASE("what makes no sense creates nothing") {
    table_of<2> made;
    CHECK(made.table.create("a", {true, {}, {}, {}}).code() == errc::argument_invalid);
    CHECK(made.table.create("a", {false, {}, lsn{1}, {}}).code() == errc::argument_invalid);
    CHECK(made.table.create("a", {false, {}, {}, timeline_id{1}}).code() == errc::argument_invalid);
    CHECK(made.table.size() == 0);
}

TEST_CASE("a name is taken once, and a full table says so") {
    table_of<2> made;
    REQUIRE(made.table.create("a"));
    REQUIRE(made.table.create("b"));
    CHECK(made.table.create("c").code() == errc::slots_full);
    CHECK(made.table.create("b").code() == errc::slot_exists);
    CHECK(made.table.drop("a", one) == errc::none);
    CHECK(made.table.create("c").code() == errc::none);
    CHECK(made.table.size() == 2);
    CHECK(made.table.capacity() == 2);
    slot_table none({});
    CHECK(none.create("a").code() == errc::slots_full);
}

TEST_CASE("a slot is active for one connection at a time") {
    table_of<2> made;
    slot* const a = *made.table.create("a");
    CHECK(made.table.acquire("missing", one).code() == errc::slot_missing);
    CHECK(made.table.acquire("a", {}).code() == errc::argument_invalid);
    const auto got = made.table.acquire("a", one);
    REQUIRE(got);
    CHECK(*got == a);
    CHECK(a->active_for() == one);
    CHECK(made.table.acquire("a", two).code() == errc::slot_active);
    CHECK(made.table.acquire("a", one).code() == errc::none);
    made.table.release(two);
    made.table.release({});
    CHECK(a->active_for() == one);
    made.table.release(one);
    CHECK(!a->active_for().valid());
    CHECK(made.table.acquire("a", two).code() == errc::none);
}

TEST_CASE("a slot that another connection uses is not dropped") {
    table_of<2> made;
    REQUIRE(made.table.create("a"));
    REQUIRE(made.table.create("b"));
    REQUIRE(made.table.acquire("a", one));
    CHECK(made.table.drop("a", two) == errc::slot_active);
    CHECK(made.table.drop("a", {}) == errc::slot_active);
    CHECK(made.table.drop("missing", two) == errc::slot_missing);
    CHECK(made.table.drop("", two) == errc::slot_missing);
    CHECK(made.table.size() == 2);
    CHECK(made.table.drop("a", one) == errc::none);
    CHECK(made.table.find("a") == nullptr);
    CHECK(made.table.find("b") != nullptr);
}

TEST_CASE("a temporary slot is its owner's until an error or the end") {
    table_of<3> made;
    const new_slot as{true, one, {}, {}};
    REQUIRE(made.table.create("t", as));
    REQUIRE(made.table.create("p"));
    REQUIRE(made.table.acquire("p", one));
    CHECK(made.table.find("t")->temporary());
    CHECK(made.table.find("t")->active_for() == one);
    CHECK(made.table.acquire("t", two).code() == errc::slot_active);
    CHECK(made.table.drop("t", two) == errc::slot_active);
    CHECK(made.table.acquire("t", one).code() == errc::none);
    made.table.release(one);
    CHECK(made.table.find("t")->active_for() == one);
    CHECK(!made.table.find("p")->active_for().valid());
    made.table.drop_temporary(two);
    made.table.drop_temporary({});
    CHECK(made.table.size() == 2);
    REQUIRE(made.table.acquire("p", one));
    made.table.drop_temporary(one);
    CHECK(made.table.find("t") == nullptr);
    CHECK(made.table.find("p")->active_for() == one);
    REQUIRE(made.table.create("t", as));
    made.table.disconnected(one);
    CHECK(made.table.find("t") == nullptr);
    CHECK(!made.table.find("p")->active_for().valid());
}

TEST_CASE("restart_lsn follows what is flushed, forward only") {
    table_of<1> made;
    slot& at = **made.table.create("a");
    CHECK(!at.flushed({}, {1}));
    CHECK(!at.restart_lsn().valid());
    CHECK(at.flushed(lsn{100}, {1}));
    CHECK(at.restart_lsn() == lsn{100});
    CHECK(at.restart_tli() == timeline_id{1});
    CHECK(!at.flushed(lsn{100}, {2}));
    CHECK(!at.flushed(lsn{99}, {2}));
    CHECK(!at.flushed({}, {2}));
    CHECK(!at.flushed(lsn{200}, {}));
    CHECK(at.restart_lsn() == lsn{100});
    CHECK(at.restart_tli() == timeline_id{1});
    CHECK(at.flushed(lsn{UINT64_MAX}, {2}));
    CHECK(at.restart_lsn() == lsn{UINT64_MAX});
    CHECK(at.restart_tli() == timeline_id{2});
}

TEST_CASE("hot-standby feedback is held, moves forward and is cleared") {
    table_of<1> made;
    slot& at = **made.table.create("a");
    CHECK(at.feedback({0, 700, 650}));
    CHECK(at.xmin() == 700);
    CHECK(at.catalog_xmin() == 650);
    CHECK(!at.feedback({0, 700, 650}));
    CHECK(!at.feedback({0, 699, 649}));
    CHECK(at.xmin() == 700);
    CHECK(at.feedback({0, 690, 660}));
    CHECK(at.xmin() == 700);
    CHECK(at.catalog_xmin() == 660);
    CHECK(at.feedback({0, 0, 660}));
    CHECK(at.xmin() == 0);
    CHECK(at.catalog_xmin() == 660);
    CHECK(at.feedback({0, std::uint64_t{5} << 32 | 10, 0}));
    CHECK(at.xmin() == (std::uint64_t{5} << 32 | 10));
    CHECK(at.catalog_xmin() == 0);
    // Marks, in any epoch, stand for none.
    CHECK(at.feedback({0, std::uint64_t{9} << 32 | 2, 1}));
    CHECK(at.xmin() == 0);
    CHECK(!at.feedback({0, 0, 0}));
}

TEST_CASE("feedback of the future or from a wrap ago is ignored whole") {
    table_of<1> made;
    slot& at = **made.table.create("a");
    const std::uint64_t next = std::uint64_t{3} << 32 | 1000;
    const std::uint64_t half = std::uint64_t{1} << 31;
    CHECK(!at.feedback({0, next + 1, 0}, next));
    CHECK(!at.feedback({0, next, next + 1}, next));
    CHECK(!at.feedback({0, next - half - 1, next}, next));
    CHECK(!at.feedback({0, next, next - half - 1}, next));
    CHECK(!at.feedback({0, 1000, 0}, next));
    CHECK(at.xmin() == 0);
    CHECK(at.catalog_xmin() == 0);
    CHECK(at.feedback({0, next - half, next}, next));
    CHECK(at.xmin() == next - half);
    CHECK(at.catalog_xmin() == next);
    CHECK(at.feedback({0, 0, 0}, next));
}

TEST_CASE("the least position of all slots holds WAL back") {
    table_of<4> made;
    CHECK(!made.table.restart_lsn());
    REQUIRE(made.table.create("never_used"));
    CHECK(!made.table.restart_lsn());
    REQUIRE(made.table.create("b", {false, {}, lsn{500}, {1}}));
    REQUIRE(made.table.create("c", {false, {}, lsn{300}, {1}}));
    REQUIRE(made.table.create("d", {true, one, lsn{400}, {1}}));
    CHECK(made.table.restart_lsn() == lsn{300});
    made.table.find("c")->flushed(lsn{600}, {1});
    CHECK(made.table.restart_lsn() == lsn{400});
    made.table.disconnected(one);
    CHECK(made.table.restart_lsn() == lsn{500});
    made.table.clear();
    CHECK(!made.table.restart_lsn());
    CHECK(made.table.size() == 0);
}

TEST_CASE("a dropped slot leaves nothing to the next in its place, and the others where they are") {
    table_of<3> made;
    slot* const a = *made.table.create("a", {false, {}, lsn{5}, {1}});
    slot* const b = *made.table.create("b");
    a->feedback({0, 10, 10});
    REQUIRE(made.table.acquire("a", one));
    CHECK(made.table.drop("a", one) == errc::none);
    CHECK(made.table.find("b") == b);
    slot* const c = *made.table.create("c");
    CHECK(c == a);
    CHECK(!c->restart_lsn().valid());
    CHECK(!c->active_for().valid());
    CHECK(c->xmin() == 0);
    CHECK(c->catalog_xmin() == 0);
    std::set<std::string> names;
    made.table.each([&](const slot& each) { names.insert(std::string(each.name())); });
    CHECK(names == std::set<std::string>{"b", "c"});
}

TEST_CASE("refusals are said as a server says them") {
    CHECK(said(errc::slot_exists, "a") == "42710 replication slot \"a\" already exists");
    CHECK(said(errc::slot_missing, "a") == "42704 replication slot \"a\" does not exist");
    CHECK(said(errc::slot_active, "a", {4294967295}) ==
          "55006 replication slot \"a\" is active for PID 4294967295");
    CHECK(said(errc::slots_full, "a") == "53400 all replication slots are in use");
    CHECK(said(errc::name_invalid, "") == "42602 replication slot name \"\" is too short");
    CHECK(said(errc::name_invalid, "A") ==
          "42602 replication slot name \"A\" contains invalid character");
    const std::string large(64, 'x');
    CHECK(said(errc::name_invalid, large) ==
          "42602 replication slot name \"" + large + "\" is too long");
    CHECK(said(errc::argument_invalid, "a") == "XX000 an argument is outside its range");
    short_text text;
    CHECK(slot_refusal(errc::slots_full, "a", {}, text).hint ==
          "Free one or increase \"max_replication_slots\".");
}

TEST_CASE("slots do not allocate") {
    table_of<4> made;
    const support::allocations before;
    static_cast<void>(made.table.create("a"));
    static_cast<void>(made.table.create("b", {true, one, {}, {}}));
    static_cast<void>(made.table.acquire("a", two));
    made.table.find("a")->flushed(lsn{1}, {1});
    short_text text;
    static_cast<void>(slot_refusal(errc::slot_active, "a", two, text));
    made.table.disconnected(one);
    const auto count = before.count();
    CHECK(count == 0);
}
