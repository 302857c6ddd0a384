// Any bytes as a start-up packet: what is accepted says in its fields what its bytes say, and is
// written again as it was.
#include <walwire/wire/startup.hpp>

#include <algorithm>
#include <cstdint>
#include <variant>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::wire;

namespace {

void same(bytes body, const writer& out) {
    check(out.ok(), "what was read can be written");
    const bytes again = out.written();
    check(load<std::uint32_t>(again.data()) == again.size(), "the length counts itself");
    check(std::ranges::equal(again.subspan(4), body), "and is the same bytes");
}

struct look {
    bytes body;
    std::uint32_t code;
    writer& out;

    void operator()(const startup_message& message) const {
        check(message.version.value == code, "the code is the version");
        check(message.version.value == (std::uint32_t{message.version.major_part()} << 16 |
                                        message.version.minor_part()),
              "in two halves");
        if (message.version.major_part() != 3) {
            check(message.pairs.empty(), "an unknown layout is not read");
            return;
        }
        startup_writer startup(out, message.version);
        parameters list = message.list();
        while (const auto each = list.next()) {
            check(!each->name.empty(), "a name is none if it is empty");
            check(each->name.find('\0') == std::string_view::npos, "names end at their NUL");
            check(each->value.find('\0') == std::string_view::npos, "and so do values");
            startup.add(each->name, each->value);
        }
        check(list.ok(), "what was accepted can be listed");
        check(!list.next(), "to its end");
        startup.finish();
        same(body, out);
    }
    void operator()(const cancel_request& request) const {
        check(code == cancel_request_code, "by its code");
        check(!request.key.empty() && request.key.size() <= cancel_key_size_max,
              "a key has a size");
        put(out, request);
        same(body, out);
    }
    void operator()(ssl_request) const { check(code == ssl_request_code, "by its code"); }
    void operator()(gssenc_request) const { check(code == gssenc_request_code, "by its code"); }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const bytes body(reinterpret_cast<const std::byte*>(data), size);
    const auto packet = parse_startup_packet(body);
    if (!packet) {
        check(packet.code() == errc::malformed_message, "only the form can be wrong");
        if (size < 4) return 0;
        const std::uint32_t code = load<std::uint32_t>(body.data());
        check(code >> 16 == 3 || code == cancel_request_code, "and only where it is known");
        return 0;
    }
    std::vector<std::byte> room(size + 64);
    writer out(room);
    std::visit(look{body, load<std::uint32_t>(body.data()), out}, *packet);
    return 0;
}
