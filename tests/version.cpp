#include <walwire/version.hpp>

#include <doctest/doctest.h>

#include <string>

TEST_CASE("the version says the same in numbers and as text") {
    CHECK(std::to_string(walwire::version_major) + "." + std::to_string(walwire::version_minor) +
              "." + std::to_string(walwire::version_patch) ==
          walwire::version_text);
}
