#include <walwire/wire/command.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

using namespace walwire;
using namespace walwire::wire;
using namespace std::string_view_literals;

namespace {

std::vector<plugin_option> all(plugin_options options) {
    std::vector<plugin_option> found;
    for (auto rest = options; const auto option = rest.next();) found.push_back(*option);
    return found;
}

} // namespace

TEST_CASE("a slot's name is 1 to 63 lower-case letters, digits and underscores") {
    CHECK(is_slot_name("a"));
    CHECK(is_slot_name("0"));
    CHECK(is_slot_name("_"));
    CHECK(is_slot_name("abcdefghijklmnopqrstuvwxyz_0123456789"));
    CHECK(is_slot_name(std::string(63, 'x')));
    CHECK_FALSE(is_slot_name(""));
    CHECK_FALSE(is_slot_name(std::string(64, 'x')));
}

TEST_CASE("no other byte may stand in a slot's name") {
    for (int c = 0; c < 256; ++c) {
        const std::string name = {'a', static_cast<char>(c), 'b'};
        const bool allowed = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        CHECK(is_slot_name(name) == allowed);
    }
    CHECK_FALSE(is_slot_name("../x"));
}

TEST_CASE("given options are read in order and leave the list as it was") {
    const std::array<plugin_option, 3> given{
        {{"proto_version", "1"}, {"binary", std::nullopt}, {"empty", ""}}};
    const plugin_options options(given);
    CHECK_FALSE(options.empty());
    for (int pass = 0; pass < 2; ++pass) {
        const auto found = all(options);
        REQUIRE(found.size() == 3);
        CHECK(found[0] == given[0]);
        CHECK(found[1] == given[1]);
        CHECK(found[2] == given[2]);
        CHECK(found[2].value.has_value());
    }
}

TEST_CASE("packed options say the same as the given ones") {
    const std::array<plugin_option, 3> given{{{"a", "1"}, {"b", std::nullopt}, {"c", ""}}};
    const auto packed = plugin_options::packed("a\0\0"
                                               "1\0"
                                               "b\0"
                                               "c\0\0\0"sv);
    CHECK(all(packed) == all(plugin_options(given)));
    CHECK(packed == plugin_options(given));
    CHECK(plugin_options(given) == packed);
}

TEST_CASE("lists that differ in a name, a value, an order or a length are not equal") {
    const auto list = plugin_options::packed("a\0\0"
                                             "1\0"
                                             "b\0"sv);
    CHECK(list != plugin_options::packed("a\0\0"
                                         "2\0"
                                         "b\0"sv));
    CHECK(list != plugin_options::packed("a\0"
                                         "b\0"sv));
    CHECK(list != plugin_options::packed("b\0"
                                         "a\0\0"
                                         "1\0"sv));
    CHECK(list != plugin_options::packed("a\0\0"
                                         "1\0"sv));
    CHECK(list != plugin_options{});
    CHECK(plugin_options::packed("a\0\0\0"sv) != plugin_options::packed("a\0"sv)); // '' is a value
}

TEST_CASE("an empty list has no options, and a broken one ends") {
    CHECK(plugin_options{}.empty());
    CHECK(all(plugin_options{}).empty());
    CHECK(all(plugin_options::packed("a"sv)).size() == 1);
    CHECK(all(plugin_options::packed("a\0\0"sv)).size() == 1);
    CHECK(all(plugin_options::packed("a\0\0x"sv)).size() == 1);
}

TEST_CASE("a backup is by default what a server takes for BASE_BACKUP alone") {
    const base_backup plain;
    CHECK(plain.label == "base backup");
    CHECK(plain.wait);
    CHECK(plain.verify_checksums);
    CHECK(plain.manifest == backup_manifest::no);
    CHECK(plain.checkpoint == backup_checkpoint::spread);
    CHECK_FALSE(plain.checksums.has_value());
    CHECK_FALSE(plain.compression.has_value());
    base_backup other;
    other.compression_detail = "1";
    CHECK_FALSE(plain == other);
}
