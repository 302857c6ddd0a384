// What a project that has just found walwire writes first. The build systems beside this file
// compile and run it.
#include <walwire/lsn.hpp>
#include <walwire/version.hpp>

#include <cstdio>

int main() {
    const auto at = walwire::parse_lsn("0/16B3748");
    if (!at || walwire::to_text(*at) != std::string_view("0/16B3748")) return 1;
    std::printf("walwire %s\n", walwire::version_text.data());
    return 0;
}
