#include <walwire/wire/message.hpp>

#include <doctest/doctest.h>

#include "support/no_alloc.hpp"
#include "wire/spelled.hpp"

using namespace walwire;
using namespace walwire::wire;
using spelled::hex;
using spelled::written;

TEST_CASE("a frame is the tag, the length of itself and the body, and the body") {
    CHECK(written([](writer& out) {
              put_message(out, backend_tag::command_complete,
                          [](writer& body) { body.c_string("SELECT"); });
          }) == hex("43 0000000b 'SELECT' 00"));
    CHECK(written([](writer& out) { put_message(out, frontend_tag::terminate); }) ==
          hex("58 00000004"));
}

TEST_CASE("the length counts this message's body and nothing that stands before it") {
    CHECK(written([](writer& out) {
              put_message(out, backend_tag::copy_done);
              put_message(out, backend_tag::ready_for_query, [](writer& body) { body.u8('I'); });
              put_message(out, frontend_tag::query, [](writer& body) { body.c_string("x"); });
          }) == hex("63 00000004 5a 00000005 49 51 00000006 'x' 00"));
}

TEST_CASE("a message that does not fit is not finished, and the writer knows") {
    for (std::size_t room = 0; room < 12; ++room) {
        const support::guarded small(room);
        writer out(small.span());
        put_message(out, backend_tag::command_complete,
                    [](writer& body) { body.c_string("SELECT"); });
        CHECK(!out.ok());
    }
    const support::guarded exact(12);
    support::no_alloc scope;
    writer out(exact.span());
    put_message(out, backend_tag::command_complete,
                [](writer& body) noexcept { body.c_string("SELECT"); });
    if (!out.ok() || out.size() != 12) FAIL("twelve bytes suffice");
}
