// Any text as synchronous_standby_names: what is refused is refused for a reason, what is accepted
// prints and reads back as the same, and answers every name as plain comparing does.
#include <walwire/primary/synchronous_standbys.hpp>

#include <cctype>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::primary;

namespace {

// The names as they are meant: without the quotes that double others.
std::vector<std::string> names_of(const synchronous_standbys& standbys) {
    std::vector<std::string> names;
    standbys.each([&](std::string_view doubled) {
        std::string name;
        for (std::size_t i = 0; i < doubled.size(); ++i) {
            name += doubled[i];
            if (doubled[i] != '"') continue;
            check(i + 1 < doubled.size() && doubled[i + 1] == '"', "a quote in a name is doubled");
            ++i;
        }
        names.push_back(name);
    });
    return names;
}

std::string lower(std::string text) {
    for (char& c : text) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(std::tolower(c));
    }
    return text;
}

std::uint32_t plain_priority(const std::vector<std::string>& names, const std::string& asked) {
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (names[i] == "*" || lower(names[i]) == lower(asked))
            return static_cast<std::uint32_t>(i + 1);
    }
    return 0;
}

std::string printed(const synchronous_standbys& standbys) {
    std::size_t size = 64;
    standbys.each([&](std::string_view name) { size += name.size() + 4; });
    std::vector<std::byte> room(size);
    writer out(room);
    put(out, standbys);
    check(out.ok(), "the print has little more than the names");
    return std::string(as_text(out.written()));
}

void look_at_refusal(std::string_view text, errc code) {
    const bool nul = text.find('\0') != text.npos;
    check((code == errc::argument_has_nul) == nul, "a NUL is refused as one");
    check(nul || code == errc::standby_names_invalid || code == errc::number_invalid ||
              code == errc::too_many,
          "only the form, the count and the number of names can be wrong");
    check(code != errc::too_many || text.size() > 2 * standby_names_max, "many names need room");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto parsed = synchronous_standbys::parse(text);
    if (!parsed) {
        look_at_refusal(text, parsed.code());
        return 0;
    }
    const std::vector<std::string> names = names_of(*parsed);
    check(parsed->empty() == names.empty() && parsed->empty() == (parsed->needed() == 0),
          "no names, nobody needed");
    check(names.size() <= standby_names_max, "the names keep their limit");
    for (const std::string& name : names) {
        std::string other = name;
        for (char& c : other) {
            if (c >= 'a' && c <= 'z') c = static_cast<char>(std::toupper(c));
        }
        for (const std::string& asked :
             {name, other, name + "x", "x" + name, name.substr(1 % (name.size() + 1))})
            check(parsed->priority(asked) == plain_priority(names, asked), "a name's priority");
    }

    const std::string once = printed(*parsed);
    const auto again = synchronous_standbys::parse(once);
    check(bool(again), "the print reads back");
    check(names_of(*again) == names && again->method() == parsed->method() &&
              again->needed() == parsed->needed(),
          "as the same");
    check(printed(*again) == once, "and prints the same");
    return 0;
}
