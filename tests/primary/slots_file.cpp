#include <walwire/primary/slots_file.hpp>

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

struct table_of_three {
    std::array<slot, 3> room;
    slot_table table{room};
};

std::string written(const slot_table& table) {
    std::vector<std::byte> room(slots_text_size_max(table.size()));
    writer out(room);
    REQUIRE(put_slots(out, table) == errc::none);
    return std::string(as_text(out.written()));
}

constexpr std::string_view two_slots = "walwire-slots 1\n"
                                       "standby_a 0/3000028 1 0 0\n"
                                       "standby_b - - 4294968039 700\n"
                                       "end 2\n";

slots_flaw flaw_of(std::string_view damaged) {
    table_of_three read;
    const support::guarded exact(as_bytes(damaged));
    const slots_flaw flaw = parse_slots(as_text(exact), read.table);
    CHECK(read.table.size() == (flaw.ok() ? 2 : 0));
    return flaw;
}

} // namespace

TEST_CASE("a table is written as lines and read back") {
    table_of_three made;
    REQUIRE(made.table.create("standby_a", {false, {}, lsn{0x3000028}, {1}}));
    slot& b = **made.table.create("standby_b");
    b.feedback({0, 4294968039, 700});
    REQUIRE(made.table.acquire("standby_b", {7}));
    CHECK(written(made.table) == two_slots);

    table_of_three again;
    CHECK(parse_slots(two_slots, again.table).ok());
    CHECK(again.table.size() == 2);
    CHECK(again.table.find("standby_a")->restart_lsn() == lsn{0x3000028});
    CHECK(again.table.find("standby_a")->restart_tli() == timeline_id{1});
    CHECK(!again.table.find("standby_b")->restart_lsn().valid());
    CHECK(again.table.find("standby_b")->xmin() == 4294968039);
    CHECK(again.table.find("standby_b")->catalog_xmin() == 700);
    CHECK(!again.table.find("standby_b")->active_for().valid());
    CHECK(written(again.table) == two_slots);
}

TEST_CASE("no slots are a text too") {
    table_of_three made;
    CHECK(written(made.table) == "walwire-slots 1\nend 0\n");
    CHECK(parse_slots("walwire-slots 1\nend 0\n", made.table).ok());
    CHECK(made.table.size() == 0);
}

TEST_CASE("temporary slots are not written") {
    table_of_three made;
    REQUIRE(made.table.create("t", {true, {7}, {}, {}}));
    REQUIRE(made.table.create("p"));
    CHECK(written(made.table) == "walwire-slots 1\np - - 0 0\nend 1\n");
}

TEST_CASE("the largest slots fit into the room that is promised, and into no less than they need") {
    std::array<slot, 2> room;
    slot_table table(room);
    for (const char c : {'x', 'y'}) {
        slot& made = **table.create(std::string(63, c), {false, {}, lsn{UINT64_MAX}, {UINT32_MAX}});
        made.feedback({0, UINT64_MAX, UINT64_MAX});
    }
    const std::string whole = written(table);
    std::array<slot, 2> again_room;
    slot_table again(again_room);
    CHECK(parse_slots(whole, again).ok());
    CHECK(written(again) == whole);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const support::guarded small(size);
        writer out(small.span());
        CHECK(put_slots(out, table) == errc::argument_too_long);
    }
}

TEST_CASE("every truncation is refused") {
    CHECK(flaw_of(two_slots).ok());
    for (std::size_t size = 0; size < two_slots.size(); ++size) {
        CAPTURE(size);
        CHECK(!flaw_of(two_slots.substr(0, size)).ok());
    }
}

TEST_CASE("every flipped byte is refused or changes what the text says") {
    for (std::size_t at = 0; at < two_slots.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string damaged(two_slots);
            damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
            table_of_three read;
            if (!parse_slots(damaged, read.table).ok()) {
                CHECK(read.table.size() == 0);
                continue;
            }
            CHECK(written(read.table) != two_slots);
        }
    }
}

TEST_CASE("each mistake is named, with its line") {
    const std::pair<std::string_view, slots_flaw> cases[] = {
        {"", {errc::slots_invalid, 1}},
        {"\n", {errc::slots_invalid, 1}},
        {"walwire-slot 1\nend 0\n", {errc::slots_invalid, 1}},
        {"walwire-slots \nend 0\n", {errc::slots_invalid, 1}},
        {"walwire-slots 0\nend 0\n", {errc::slots_invalid, 1}},
        {"walwire-slots x\nend 0\n", {errc::slots_invalid, 1}},
        {"walwire-slots 2\nwhatever\n", {errc::slots_too_new, 1}},
        {"walwire-slots 1\n", {errc::slots_invalid, 2}},
        {"walwire-slots 1\nend 1\n", {errc::slots_invalid, 2}},
        {"walwire-slots 1\nend\n", {errc::slots_invalid, 2}},
        {"walwire-slots 1\nend 0\n\n", {errc::slots_invalid, 2}},
        {"walwire-slots 1\nend 0\nend 0\n", {errc::slots_invalid, 2}},
        {"walwire-slots 1\na - - 0 0\nend 0\n", {errc::slots_invalid, 3}},
        {"walwire-slots 1\na - - 0 0\nend 2\n", {errc::slots_invalid, 3}},
        {"walwire-slots 1\na - - 0\nend 1\n", {errc::slots_invalid, 2}},
        {"walwire-slots 1\na - - 0 0 0\nend 1\n", {errc::slots_invalid, 2}},
        {"walwire-slots 1\na - - 0 0\r\nend 1\n", {errc::number_invalid, 2}},
        {"walwire-slots 1\nA - - 0 0\nend 1\n", {errc::name_invalid, 2}},
        {"walwire-slots 1\n - - 0 0\nend 1\n", {errc::name_invalid, 2}},
        {"walwire-slots 1\na 0/0 1 0 0\nend 1\n", {errc::lsn_invalid, 2}},
        {"walwire-slots 1\na - 1 0 0\nend 1\n", {errc::lsn_invalid, 2}},
        {"walwire-slots 1\na 0/1 - 0 0\nend 1\n", {errc::timeline_invalid, 2}},
        {"walwire-slots 1\na 0/1 0 0 0\nend 1\n", {errc::timeline_invalid, 2}},
        {"walwire-slots 1\na - - x 0\nend 1\n", {errc::number_invalid, 2}},
        {"walwire-slots 1\na - - 2 0\nend 1\n", {errc::number_invalid, 2}},
        {"walwire-slots 1\na - - 0 4294967297\nend 1\n", {errc::number_invalid, 2}},
        {"walwire-slots 1\na - - 0 18446744073709551616\nend 1\n", {errc::number_invalid, 2}},
        {"walwire-slots 1\na - - 0 0\nb - - 0 0\na - - 0 0\nend 3\n", {errc::slot_exists, 4}},
        {"walwire-slots 1\na - - 0 0\nb - - 0 0\nc - - 0 0\nd - - 0 0\nend 4\n",
         {errc::slots_full, 5}},
    };
    for (const auto& each : cases) {
        const std::string_view damaged = each.first;
        const slots_flaw flaw = each.second;
        CAPTURE(damaged);
        const slots_flaw seen = flaw_of(damaged);
        CHECK(walwire::text(seen.code) == walwire::text(flaw.code));
        CHECK(seen.line == flaw.line);
    }
}

TEST_CASE("slots are read into an empty table only") {
    table_of_three made;
    REQUIRE(made.table.create("mine"));
    CHECK(parse_slots(two_slots, made.table) == slots_flaw{errc::not_now, 0});
    CHECK(made.table.find("mine") != nullptr);
}

TEST_CASE("writing and reading do not allocate") {
    table_of_three made;
    std::array<std::byte, 512> room;
    const support::allocations before;
    const bool read = parse_slots(two_slots, made.table).ok();
    writer out(room);
    const errc wrote = put_slots(out, made.table);
    const auto count = before.count();
    CHECK(count == 0);
    CHECK(read);
    CHECK(wrote == errc::none);
}
