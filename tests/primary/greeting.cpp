#include <walwire/primary/greeting.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>

#include "wire/spelled.hpp"

using namespace walwire;

namespace {

std::map<std::string, std::string> reported(const primary::options& chosen, int version) {
    spelled::buffer room(4096);
    writer out(room);
    primary::put_settings(out, chosen, version, "repl", "walreceiver");
    REQUIRE(out.ok());
    std::map<std::string, std::string> all;
    for (bytes rest = out.written(); !rest.empty();) {
        REQUIRE(rest[0] == std::byte{'S'});
        const std::size_t length = load<std::uint32_t>(rest.data() + 1);
        const auto each = *wire::parse_parameter_status(rest.subspan(5, length - 4));
        CHECK(all.emplace(each.name, each.value).second); // none is said twice
        rest = rest.subspan(length + 1);
    }
    return all;
}

} // namespace

TEST_CASE("each version reports the settings that its servers report") {
    primary::options chosen;
    chosen.server_version = "12.22";
    auto all = reported(chosen, 12);
    CHECK(all.size() == 11);
    CHECK(all["server_version"] == "12.22");
    CHECK(all["application_name"] == "walreceiver");
    CHECK(all["session_authorization"] == "repl");
    CHECK(all["standard_conforming_strings"] == "on");
    CHECK(all["client_encoding"] == "SQL_ASCII");
    CHECK(all["integer_datetimes"] == "on");
    CHECK(reported(chosen, 13).size() == 11);
    all = reported(chosen, 14);
    CHECK(all.size() == 13);
    CHECK(all["in_hot_standby"] == "off");
    CHECK(reported(chosen, 15).size() == 13);
    CHECK(reported(chosen, 15).count("scram_iterations") == 0);
    CHECK(reported(chosen, 16)["scram_iterations"] == "4096");
    chosen.scram_iterations = 2'147'483'647;
    CHECK(reported(chosen, 18)["scram_iterations"] == "2147483647");
    CHECK(reported(chosen, 17).size() == 14);
    CHECK(reported(chosen, 18).size() == 15);
    CHECK(reported(chosen, 18)["search_path"] == "\"$user\", public");
}

TEST_CASE("the owner's settings come besides ours, or in their place") {
    const wire::parameter mine[] = {{"TimeZone", "Europe/Berlin"}, {"cluster", "a"}};
    primary::options chosen;
    chosen.parameters = mine;
    auto all = reported(chosen, 18);
    CHECK(all.size() == 16);
    CHECK(all["TimeZone"] == "Europe/Berlin");
    CHECK(all["cluster"] == "a");
    chosen.dialect = dialect::aiondb;
    all = reported(chosen, 19);
    CHECK(all.size() == 2);
}
