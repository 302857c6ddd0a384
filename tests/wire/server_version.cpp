#include <walwire/wire/server_version.hpp>

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "support/transcript.hpp"
#include "wire/recorded_messages.hpp"

using namespace walwire;
using namespace walwire::wire;

static_assert(*parse_server_version("18.4") == 18);

TEST_CASE("the leading number is the major version") {
    constexpr std::pair<std::string_view, int> right[] = {
        {"15.18 (Debian 15.18-0+deb12u1)", 15},
        {"12.22", 12},
        {"18beta1", 18},
        {"19devel", 19},
        {"17", 17},
        {"9.6.24", 9},
        {"10.0", 10},
        {"999", 999},
        {"018.4", 18},
        {"1-2-3", 1},
    };
    for (const auto& each : right) {
        CAPTURE(std::string(each.first));
        const auto read = parse_server_version(each.first);
        REQUIRE(read);
        CHECK(*read == each.second);
    }
}

TEST_CASE("without a number in front there is no version") {
    for (const char* text : {"", "abc", ".1", " 15", "-15", "+15", "0", "000", "0.9", "1000",
                             "99999.9", "18446744073709551633", "v15", "PostgreSQL 15"}) {
        CAPTURE(text);
        CHECK(parse_server_version(text).code() == errc::server_version_invalid);
    }
}

TEST_CASE("every recorded server reports the version that it has") {
    std::set<int> seen;
    for (const std::string& name : support::transcripts("a01")) {
        const recorded::conversation record = recorded::load(name);
        for (const recorded::spoken& each : record.messages) {
            if (each.said != wire::message::parameter_status) continue;
            const auto parameter = wire::parse_parameter_status(each.body);
            REQUIRE(parameter);
            if (parameter->name != "server_version") continue;
            const auto version = parse_server_version(parameter->value);
            REQUIRE(version);
            CHECK(*version == record.source.major_version());
            seen.insert(*version);
        }
    }
    CHECK(seen == std::set<int>{12, 13, 15, 17, 18});
}
