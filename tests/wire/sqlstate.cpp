#include <walwire/wire/sqlstate.hpp>

#include <doctest/doctest.h>

#include <initializer_list>
#include <set>
#include <string>
#include <string_view>

namespace sqlstate = walwire::wire::sqlstate;

namespace {

// What the manual's headings call the classes, and which of ours stand below each.
struct named_class {
    std::string_view characters;
    std::string_view heading;
    std::initializer_list<std::string_view> states;
};
const named_class classes[] = {
    {"08", "connection exception", {sqlstate::protocol_violation}},
    {"0A", "feature not supported", {sqlstate::feature_not_supported}},
    {"22",
     "data exception",
     {sqlstate::numeric_value_out_of_range, sqlstate::character_not_in_repertoire,
      sqlstate::invalid_parameter_value}},
    {"28",
     "invalid authorization specification",
     {sqlstate::invalid_authorization, sqlstate::invalid_password}},
    {"42",
     "syntax error or access rule violation",
     {sqlstate::syntax_error, sqlstate::invalid_name, sqlstate::name_too_long,
      sqlstate::undefined_object, sqlstate::duplicate_object, sqlstate::reserved_name}},
    {"53",
     "insufficient resources",
     {sqlstate::too_many_connections, sqlstate::configuration_limit_exceeded}},
    {"54", "program limit exceeded", {sqlstate::program_limit_exceeded}},
    {"55",
     "object not in prerequisite state",
     {sqlstate::object_not_in_prerequisite_state, sqlstate::object_in_use}},
    {"57", "operator intervention", {sqlstate::admin_shutdown}},
    {"58", "system error", {sqlstate::undefined_file}},
    {"XX", "internal error", {sqlstate::internal_error}},
};

} // namespace

TEST_CASE("a state is five digits or capital letters, and no two are alike") {
    std::set<std::string_view> seen;
    for (const named_class& each : classes) {
        for (const std::string_view state : each.states) {
            CAPTURE(std::string(state));
            CHECK(state.size() == 5);
            CHECK(state.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") ==
                  std::string_view::npos);
            CHECK(seen.insert(state).second);
        }
    }
    CHECK(seen.size() == 21);
}

TEST_CASE("a state stands in the class that its name belongs to") {
    for (const named_class& each : classes) {
        CAPTURE(std::string(each.heading));
        for (const std::string_view state : each.states)
            CHECK(std::string(state.substr(0, 2)) == std::string(each.characters));
    }
    // "000" is a class's own state, said where nothing narrower is.
    for (const std::string_view state :
         {sqlstate::feature_not_supported, sqlstate::invalid_authorization,
          sqlstate::program_limit_exceeded, sqlstate::object_not_in_prerequisite_state,
          sqlstate::internal_error})
        CHECK(state.substr(2) == "000");
}
