#include <walwire/wire/rows.hpp>

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "support/no_alloc.hpp"
#include "wire/recorded_messages.hpp"
#include "wire/spelled.hpp"

using namespace walwire;
using namespace walwire::wire;
using spelled::body;
using spelled::buffer;
using spelled::flaw;
using spelled::hex;
using spelled::written;

namespace {

using value = std::optional<std::string_view>;

buffer row_of(const std::vector<value>& values) {
    return body(written([&](writer& out) { put(out, std::span<const value>(values)); }));
}
buffer description_of(const std::vector<column>& columns) {
    return body(written([&](writer& out) { put(out, std::span<const column>(columns)); }));
}

std::vector<column> columns_of(const row_description& description) {
    std::vector<column> all;
    description.each([&](const column& each) { all.push_back(each); });
    return all;
}
std::vector<value> values_of(const data_row& row) {
    std::vector<value> all;
    for (std::size_t i = 0; i < row.size(); ++i) all.push_back(row[i]);
    return all;
}

constexpr auto parse_row = [](bytes data) { return data_row::parse(data, 1024); };
constexpr auto parse_description = [](bytes data) { return row_description::parse(data, 1024); };
constexpr auto put_row = [](writer& out, const data_row& row) {
    const auto values = values_of(row);
    put(out, std::span<const value>(values));
};
constexpr auto put_description = [](writer& out, const row_description& description) {
    const auto columns = columns_of(description);
    put(out, std::span<const column>(columns));
};

} // namespace

TEST_CASE("the answer to IDENTIFY_SYSTEM is the bytes that servers send") {
    const std::vector<column> columns = {
        {.name = "systemid"},
        {.name = "timeline", .type = type_oid::int8, .type_size = 8},
        {.name = "xlogpos"},
        {.name = "dbname"}};
    CHECK(written([&](writer& out) { put(out, std::span<const column>(columns)); }) ==
          hex("54 0000006f 0004 'systemid' 00 00000000 0000 00000019 ffff ffffffff 0000"
              "'timeline' 00 00000000 0000 00000014 0008 ffffffff 0000"
              "'xlogpos' 00 00000000 0000 00000019 ffff ffffffff 0000"
              "'dbname' 00 00000000 0000 00000019 ffff ffffffff 0000"));
    const std::vector<value> values = {"7710558973755567344", "1", "0/84D138", std::nullopt};
    CHECK(written([&](writer& out) { put(out, std::span<const value>(values)); }) ==
          hex("44 00000032 0004 00000013 '7710558973755567344' 00000001 '1' 00000008 '0/84D138'"
              "ffffffff"));
}

TEST_CASE("values come back by their place, and NULL is not an empty text") {
    const buffer whole = row_of({"one", std::nullopt, "", "four"});
    const auto row = data_row::parse(whole, 4);
    REQUIRE(row);
    CHECK(row->size() == 4);
    CHECK((*row)[0] == "one");
    CHECK(!(*row)[1]);
    REQUIRE((*row)[2]);
    CHECK((*row)[2]->empty());
    CHECK((*row)[3] == "four");
    CHECK(!(*row)[4]);
    CHECK(!(*row)[SIZE_MAX]);
    CHECK(flaw(whole, errc::row_invalid, parse_row, put_row) == "");
}

TEST_CASE("rows without columns, of one and of many") {
    const buffer none = hex("0000");
    REQUIRE(parse_row(none));
    CHECK(parse_row(none)->size() == 0);
    CHECK(!(*parse_row(none))[0]);
    CHECK(flaw(none, errc::row_invalid, parse_row, put_row) == "");
    CHECK(flaw(row_of({std::nullopt}), errc::row_invalid, parse_row, put_row) == "");
    std::vector<std::string> texts;
    for (int i = 0; i < 1024; ++i) texts.push_back(std::to_string(i));
    const std::vector<value> values(texts.begin(), texts.end());
    const buffer many = row_of(values);
    const auto row = parse_row(many);
    REQUIRE(row);
    CHECK(values_of(*row) == values);
    CHECK(data_row::parse(many, 1023).code() == errc::row_invalid);
    CHECK(!data_row()[0]);
    CHECK(data_row().size() == 0);
}

TEST_CASE("a row's sizes must use the message up exactly") {
    for (const char* wrong : {
             "",
             "00",
             "0001",                // no size
             "0001 000000",         //
             "0001 fffffffe",       // below -1
             "0001 80000000",       //
             "0001 00000004 'abc'", // more than there is
             "0001 7fffffff 'abc'", //
             "0001 00000002 'abc'", // less than there is
             "0001 ffffffff 'abc'", //
             "0002 00000003 'abc'", // fewer columns than said
             "0000 00000003 'abc'", // more
             "ffff",                // -1
             "ffff ffffffff",       //
             "8000",                //
             "0002 7fffffff 7fffffff 'abc'",
         }) {
        CAPTURE(wrong);
        CHECK(parse_row(hex(wrong)).code() == errc::row_invalid);
        CHECK(data_row::parse(hex(wrong), UINT16_MAX).code() == errc::row_invalid);
    }
}

TEST_CASE("columns come back as they were described") {
    const std::vector<column> columns = {
        {.name = "a",
         .table_oid = 1,
         .attribute = -2,
         .type = type_oid::bytea,
         .type_size = -1,
         .type_modifier = 0,
         .format = 1},
        {.name = "",
         .table_oid = UINT32_MAX,
         .attribute = INT16_MIN,
         .type = type_oid::int4,
         .type_size = INT16_MAX,
         .type_modifier = INT32_MIN,
         .format = -1},
    };
    const buffer whole = description_of(columns);
    const auto description = row_description::parse(whole, 2);
    REQUIRE(description);
    CHECK(description->size() == 2);
    const auto read = columns_of(*description);
    REQUIRE(read.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(read[i].name == columns[i].name);
        CHECK(read[i].table_oid == columns[i].table_oid);
        CHECK(read[i].attribute == columns[i].attribute);
        CHECK(read[i].type == columns[i].type);
        CHECK(read[i].type_size == columns[i].type_size);
        CHECK(read[i].type_modifier == columns[i].type_modifier);
        CHECK(read[i].format == columns[i].format);
    }
    CHECK(flaw(whole, errc::row_invalid, parse_description, put_description) == "");
    CHECK(row_description::parse(whole, 1).code() == errc::row_invalid);
    CHECK(row_description().size() == 0);
}

TEST_CASE("a description that is none is refused") {
    const buffer one = description_of({{.name = "a"}});
    for (const char* wrong : {"", "00", "0001", "ffff", "8000", "0001 'a'", "0001 'a' 00"}) {
        CAPTURE(wrong);
        CHECK(row_description::parse(hex(wrong), UINT16_MAX).code() == errc::row_invalid);
    }
    buffer fewer = one;
    fewer[1] = std::byte{0};
    CHECK(parse_description(fewer).code() == errc::row_invalid);
    buffer more = one;
    more[1] = std::byte{2};
    CHECK(parse_description(more).code() == errc::row_invalid);
    CHECK(parse_description(hex("0000"))->size() == 0);
}

TEST_CASE("the limit of columns is met before the columns are read") {
    // 65535 columns in two bytes: refused for what is said, with nothing there to read.
    for (const std::uint16_t columns_max :
         {std::uint16_t{0}, std::uint16_t{4}, std::uint16_t{1024}}) {
        CHECK(data_row::parse(hex("ffff"), columns_max).code() == errc::row_invalid);
        CHECK(row_description::parse(hex("ffff"), columns_max).code() == errc::row_invalid);
    }
    CHECK(data_row::parse(hex("0001 ffffffff"), 0).code() == errc::row_invalid);
    CHECK(data_row::parse(hex("0001 ffffffff"), 1).code() == errc::none);
    // And as many as the wire can say are read where the limit allows it.
    const std::vector<value> widest(UINT16_MAX);
    const buffer whole = row_of(widest);
    const auto row = data_row::parse(whole, UINT16_MAX);
    REQUIRE(row);
    CHECK(row->size() == UINT16_MAX);
    CHECK(!(*row)[UINT16_MAX - 1u]);
}

TEST_CASE("a column's name that holds a NUL cannot be said, a value can") {
    using namespace std::string_view_literals;
    std::byte room[128];
    const column bad[] = {{.name = "a\0b"sv}};
    writer out(room);
    put(out, std::span<const column>(bad));
    CHECK(!out.ok());
    const buffer whole = row_of({"a\0b"sv});
    CHECK(*(*parse_row(whole))[0] == "a\0b"sv);
}

TEST_CASE("every recorded result is read, and written again as it was") {
    std::size_t descriptions = 0, rows = 0;
    std::set<std::string> names;
    for (const std::string& name : support::transcripts()) {
        CAPTURE(name);
        std::uint16_t columns = 0;
        for (const recorded::spoken& each : recorded::load(name).messages) {
            if (each.said == message::row_description) {
                const auto read = row_description::parse(each.body, 1024);
                REQUIRE(read);
                columns = read->size();
                for (const column& one : columns_of(*read)) {
                    names.emplace(one.name);
                    CHECK(one.format == 0);
                    CHECK(one.table_oid == 0);
                    CHECK(one.attribute == 0);
                }
                CHECK(body(written([&](writer& out) { put_description(out, *read); })) ==
                      spelled::of(each.body));
                ++descriptions;
            } else if (each.said == message::data_row) {
                const auto read = data_row::parse(each.body, 1024);
                REQUIRE(read);
                CHECK(read->size() == columns);
                CHECK(body(written([&](writer& out) { put_row(out, *read); })) ==
                      spelled::of(each.body));
                ++rows;
            }
        }
    }
    CHECK(descriptions > 300);
    CHECK(rows > 300);
    for (const char* name : {"systemid", "timeline", "xlogpos", "dbname", "filename", "content",
                             "slot_name", "consistent_point", "next_tli", "next_tli_startpos"}) {
        CHECK(names.contains(name));
    }
}

TEST_CASE("reading and writing rows does not allocate") {
    const buffer whole = hex("0002 00000001 'a' ffffffff");
    const buffer described = hex("0001 'x' 00 00000000 0000 00000019 ffff ffffffff 0000");
    const value values[] = {"a", std::nullopt};
    std::byte room[64];
    support::no_alloc scope;
    const auto row = data_row::parse(whole, 4);
    if ((*row)[0] != "a" || (*row)[1]) FAIL("read wrongly");
    std::size_t seen = 0;
    row_description::parse(described, 4)->each([&](const column&) noexcept { ++seen; });
    if (seen != 1) FAIL("one column");
    writer out(room);
    put(out, std::span<const value>(values));
}
