#include <walwire/replica/answer.hpp>

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/no_alloc.hpp"
#include "wire/recorded_messages.hpp"
#include "wire/spelled.hpp"

using namespace walwire;
using namespace walwire::replica;
using namespace walwire::replica::answer;
using namespace std::string_view_literals;

namespace {

using value = std::optional<std::string_view>;
constexpr std::nullopt_t null = std::nullopt;

// A row of these values, in a place of its own.
class row {
  public:
    row(const std::vector<value>& values)
        : body_(spelled::body(spelled::written(
              [&](writer& out) { wire::put(out, std::span<const value>(values)); }))) {}
    operator wire::data_row() const { return *wire::data_row::parse(body_, 1024); }

  private:
    spelled::buffer body_;
};

} // namespace

TEST_CASE("IDENTIFY_SYSTEM says who the server is and how far it is") {
    const row physical{{"7710558973755567344", "1", "0/84D138", null}};
    const auto system = read_system(physical);
    REQUIRE(system);
    CHECK(system->system_identifier == 7710558973755567344);
    CHECK(system->timeline == timeline_id{1});
    CHECK(system->end == lsn{0x84D138});
    CHECK(!system->database);
    const row logical{{"18446744073709551615", "4294967295", "FFFFFFFF/FFFFFFFF", "postgres"}};
    const auto largest = read_system(logical);
    REQUIRE(largest);
    CHECK(largest->system_identifier == UINT64_MAX);
    CHECK(largest->end == lsn{UINT64_MAX});
    CHECK(largest->database == "postgres");
    // A later server may have more columns, an older one had fewer.
    CHECK(read_system(row{{"1", "1", "0/0", null, "more"}}));
    CHECK(read_system(row{{"1", "1", "0/0"}}));
}

TEST_CASE("an identity that cannot be one is refused by what is wrong in it") {
    for (const char* wrong : {"", "0", "abc", "-1", "18446744073709551616", "1e3", " 1"}) {
        CAPTURE(wrong);
        CHECK(read_system(row{{wrong, "1", "0/1", null}}).code() ==
              errc::system_identifier_invalid);
        CHECK(parse_system_identifier(wrong).code() == errc::system_identifier_invalid);
    }
    for (const char* wrong : {"", "0", "-1", "4294967296", "x"}) {
        CAPTURE(wrong);
        CHECK(read_system(row{{"1", wrong, "0/1", null}}).code() == errc::timeline_invalid);
    }
    for (const char* wrong : {"", "1", "0/", "/0", "0/123456789", "0x1/0"}) {
        CAPTURE(wrong);
        CHECK(read_system(row{{"1", "1", wrong, null}}).code() == errc::lsn_invalid);
    }
    CHECK(read_system(row{{null, "1", "0/1", null}}).code() == errc::answer_invalid);
    CHECK(read_system(row{{"1", null, "0/1", null}}).code() == errc::answer_invalid);
    CHECK(read_system(row{{"1", "1", null, null}}).code() == errc::answer_invalid);
    CHECK(read_system(row{{"1", "1"}}).code() == errc::answer_invalid);
    CHECK(read_system(row{{}}).code() == errc::answer_invalid);
}

TEST_CASE("SHOW answers with one value, SHOW ALL with name, value and description") {
    CHECK(read_setting(row{{"16MB"}})->value == "16MB");
    CHECK(read_setting(row{{""}})->value.empty());
    CHECK(read_setting(row{{"work_mem", "4MB", "Sets the maximum ..."}})->value == "4MB");
    CHECK(read_setting(row{{}}).code() == errc::answer_invalid);
    CHECK(read_setting(row{{null}}).code() == errc::answer_invalid);
    CHECK(read_setting(row{{"work_mem", null, "..."}}).code() == errc::answer_invalid);
}

TEST_CASE("a history is the asked timeline's and no other's, whatever its file is called") {
    const row two{{"00000002.history", "1\t0/1015F980\tno recovery target specified\n"}};
    const auto history = read_history(two, {2});
    REQUIRE(history);
    CHECK(history->timeline == timeline_id{2});
    CHECK(as_text(history->content) == "1\t0/1015F980\tno recovery target specified\n");
    CHECK(read_history(two, {3}).code() == errc::answer_invalid);
    CHECK(read_history(row{{"0000000A.history", ""}}, {10}));
    for (const char* name : {"../../00000002.history", "/00000002.history", "", "00000002.HISTORY",
                             "2.history", "00000002.history.partial"}) {
        CAPTURE(name);
        CHECK(read_history(row{{name, "x"}}, {2}).code() == errc::answer_invalid);
    }
    CHECK(read_history(row{{"0000000a.history", ""}}, {10}).code() == errc::answer_invalid);
    CHECK(read_history(row{{null, "x"}}, {2}).code() == errc::answer_invalid);
    CHECK(read_history(row{{"00000002.history", null}}, {2}).code() == errc::answer_invalid);
    CHECK(read_history(row{{"00000002.history"}}, {2}).code() == errc::answer_invalid);
    // The content is bytes, NULs included.
    CHECK(read_history(row{{"00000002.history", "a\0b"sv}}, {2})->content.size() == 3);
}

TEST_CASE("where no timeline was asked for, the file's name says whose history it is") {
    const row three{{"00000003.history", "2\t0/0000000A\tx\n"}};
    const auto history = read_history(three, {});
    REQUIRE(history);
    CHECK(history->timeline == timeline_id{3});
    CHECK(as_text(history->content) == "2\t0/0000000A\tx\n");
    for (const char* name : {"00000000.history", "3.history", "../00000003.history",
                             "0000000a.history", "00000003.histor", ""}) {
        CAPTURE(name);
        CHECK(read_history(row{{name, "x"}}, {}).code() == errc::answer_invalid);
    }
    CHECK(read_history(row{{null, "x"}}, {}).code() == errc::answer_invalid);
    CHECK(read_history(row{{"00000003.history", null}}, {}).code() == errc::answer_invalid);
}

TEST_CASE("AionDB's identifiers are texts, told as they are and with a number made of them") {
    for (const char* name : {"cluster-a", "0", "18446744073709551616", "-1"}) {
        CAPTURE(name);
        const row named{{name, "1", "0/00000000", null}};
        const auto system = read_system(named, dialect::aiondb);
        REQUIRE(system);
        CHECK(system->identifier_text == name);
        CHECK(system->system_identifier == *parse_entry_system_identifier(name));
        CHECK(system->system_identifier != 0);
    }
    const row number{{"4711", "1", "0/0", null}};
    CHECK(read_system(number, dialect::aiondb)->system_identifier == 4711);
    CHECK(read_system(row{{"", "1", "0/0", null}}, dialect::aiondb).code() ==
          errc::system_identifier_invalid);
}

TEST_CASE("a created slot has a point from which it is consistent") {
    const auto physical = read_slot_created(row{{"mine", "0/0", null, null}});
    REQUIRE(physical);
    CHECK(!physical->consistent_point.valid());
    CHECK(!physical->snapshot);
    CHECK(!physical->plugin);
    const row made{{"ls_a", "0/84D170", "00000035-00000005-1", "pgoutput"}};
    const auto logical = read_slot_created(made);
    REQUIRE(logical);
    CHECK(logical->name == "ls_a");
    CHECK(logical->consistent_point == lsn{0x84D170});
    CHECK(logical->snapshot == "00000035-00000005-1");
    CHECK(logical->plugin == "pgoutput");
    CHECK(read_slot_created(row{{null, "0/0", null, null}}).code() == errc::answer_invalid);
    CHECK(read_slot_created(row{{"a", null, null, null}}).code() == errc::answer_invalid);
    CHECK(read_slot_created(row{{"a", "0/0", null}}).code() == errc::answer_invalid);
    CHECK(read_slot_created(row{{"a", "here", null, null}}).code() == errc::lsn_invalid);
}

TEST_CASE("a slot that is not there is three NULLs and no error") {
    const auto missing = read_slot(row{{null, null, null}});
    REQUIRE(missing);
    CHECK(!missing->exists);
    const row read{{"physical", "0/900000", "1"}};
    const auto there = read_slot(read);
    REQUIRE(there);
    CHECK(there->exists);
    CHECK(there->type == "physical");
    CHECK(there->restart == lsn{0x900000});
    CHECK(there->restart_timeline == timeline_id{1});
    const auto unreserved = read_slot(row{{"physical", null, null}});
    REQUIRE(unreserved);
    CHECK(unreserved->exists);
    CHECK(!unreserved->restart.valid());
    CHECK(!unreserved->restart_timeline.valid());
    CHECK(read_slot(row{{"physical", "0/1"}}).code() == errc::answer_invalid);
    CHECK(read_slot(row{{"physical", "here", "1"}}).code() == errc::lsn_invalid);
    CHECK(read_slot(row{{"physical", "0/1", "0"}}).code() == errc::timeline_invalid);
}

TEST_CASE("the next timeline is a number and a position, or nothing to go by") {
    const auto next = read_next_timeline(row{{"2", "0/1015F980"}});
    REQUIRE(next);
    CHECK(next->next == timeline_id{2});
    CHECK(next->switch_point == lsn{0x1015F980});
    for (const auto& wrong : std::vector<std::vector<value>>{{"0", "0/1"},
                                                             {"4294967296", "0/1"},
                                                             {"-2", "0/1"},
                                                             {"x", "0/1"},
                                                             {"2", "0/0"},
                                                             {"2", "1"},
                                                             {null, "0/1"},
                                                             {"2", null},
                                                             {"2"},
                                                             {}}) {
        CHECK(read_next_timeline(row{wrong}).code() == errc::next_timeline_invalid);
    }
}

TEST_CASE("every recorded answer is read as what it is") {
    std::map<std::string, std::size_t> read;
    for (const std::string& name : support::transcripts()) {
        CAPTURE(name);
        const recorded::conversation record = recorded::load(name);
        std::string first; // column
        timeline_id asked;
        for (const recorded::spoken& each : record.messages) {
            if (each.said == wire::message::query) {
                const std::string_view text = as_text(each.body);
                if (text.starts_with("TIMELINE_HISTORY "))
                    asked = parse_timeline(text.substr(17, text.size() - 18)).code() == errc::none
                                ? *parse_timeline(text.substr(17, text.size() - 18))
                                : timeline_id{};
            }
            if (each.said == wire::message::row_description) {
                first.clear();
                wire::row_description::parse(each.body, 1024)
                    ->each([&](const wire::column& column) {
                        if (first.empty()) first = column.name;
                    });
            }
            if (each.said != wire::message::data_row) continue;
            const wire::data_row row = *wire::data_row::parse(each.body, 1024);
            errc code = errc::none;
            if (first == "systemid") {
                code = read_system(row).code();
            } else if (first == "filename") {
                code = read_history(row, asked).code();
            } else if (first == "slot_name") {
                code = read_slot_created(row).code();
            } else if (first == "slot_type") {
                code = read_slot(row).code();
            } else if (first == "next_tli") {
                code = read_next_timeline(row).code();
            } else if (first == "spcoid") {
                continue; // the backup's reader reads these
            } else if (row.size() == 1 || row.size() == 3) {
                code = read_setting(row).code();
            } else {
                continue;
            }
            CHECK(code == errc::none);
            ++read[row.size() == 1 ? "setting" : first];
        }
    }
    CHECK(read["systemid"] > 50);
    CHECK(read["filename"] >= 5);
    CHECK(read["slot_name"] > 20);
    CHECK(read["slot_type"] > 5);
    CHECK(read["next_tli"] >= 10);
    CHECK(read["setting"] > 20);
}

TEST_CASE("reading an answer does not allocate") {
    const row system{{"7710558973755567344", "1", "0/84D138", null}};
    const wire::data_row parsed = system;
    support::no_alloc scope;
    if (!read_system(parsed)) FAIL("read wrongly");
}
