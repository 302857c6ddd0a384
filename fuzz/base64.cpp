// Base64 both ways: a text that is accepted is the text that its bytes are written as, and every
// run of bytes comes back.
#include <walwire/auth/base64.hpp>

#include "support/check.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

using namespace walwire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const bytes input = std::as_bytes(std::span(data, size));

    std::vector<std::byte> room(auth::base64_bytes_max(size));
    const auto parsed = auth::parse_base64(as_text(input), room);
    if (parsed) {
        std::vector<std::byte> text(size);
        writer out(text);
        auth::put_base64(out, bytes(room).first(*parsed));
        check(out.ok() && as_text(out.written()) == as_text(input),
              "a text that is read is written");
        if (*parsed != 0) {
            std::vector<std::byte> small(*parsed - 1);
            check(auth::parse_base64(as_text(input), small).code() == errc::argument_too_long,
                  "a byte less of room is too little");
        }
    } else {
        check(parsed.code() == errc::base64_invalid, "there was room enough");
    }

    std::vector<std::byte> text(auth::base64_text_size(size));
    writer out(text);
    auth::put_base64(out, input);
    check(out.ok() && out.size() == text.size(), "the size of a text is known beforehand");
    std::vector<std::byte> back(size);
    const auto again = auth::parse_base64(as_text(out.written()), back);
    check(again && *again == size && as_text(back) == as_text(input), "bytes come back");
    return 0;
}
