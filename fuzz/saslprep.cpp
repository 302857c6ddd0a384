// SASLprep: never fails with the scratch that it asks for, never overruns a smaller one, leaves
// ASCII and what is not UTF-8 alone, and has nothing left to do when it is done twice.
#include <walwire/auth/saslprep.hpp>

#include "support/check.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

using namespace walwire;

namespace {

bool is_utf8(std::string_view text) {
    while (!text.empty())
        if (auth::detail::take_code_point(text) == auth::detail::no_code_point) return false;
    return true;
}

std::string prepared(std::string_view password) {
    std::vector<std::byte> scratch(auth::saslprep_scratch_size(password.size()));
    const auto result = auth::saslprep(password, scratch);
    check(static_cast<bool>(result), "the scratch suffices");
    return std::string(*result);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    // The first byte says how much scratch there is in a second try.
    const std::size_t room = std::size_t{3} * data[0];
    const std::string_view password = as_text(std::as_bytes(std::span(data + 1, size - 1)));

    const std::string once = prepared(password);
    check(prepared(once) == once, "preparing twice changes nothing more");
    check(once.empty() == password.empty(), "a password does not vanish");
    if (auth::detail::is_ascii(password)) check(once == password, "ASCII is left alone");
    if (!is_utf8(password))
        check(once == password, "what is not UTF-8 is left alone");
    else
        check(is_utf8(once), "UTF-8 stays UTF-8");

    std::vector<std::byte> scratch(room);
    const auto result = auth::saslprep(password, scratch);
    if (result)
        check(*result == once, "the scratch does not change the result");
    else
        check(result.code() == errc::argument_too_long, "only the scratch can be too small");
    return 0;
}
