#include <walwire/wire/frontend.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "support/no_alloc.hpp"
#include "wire/recorded_messages.hpp"
#include "wire/spelled.hpp"

using namespace walwire;
using namespace walwire::wire;
using spelled::body;
using spelled::buffer;
using spelled::hex;
using spelled::written;

namespace {

constexpr auto encode = [](writer& out, const auto& message) { put(out, message); };

buffer body_of(const auto& message) {
    return body(written([&](writer& out) { put(out, message); }));
}

} // namespace

TEST_CASE("messages are the bytes that the protocol's description shows") {
    CHECK(written([](writer& out) { put(out, query{"IDENTIFY_SYSTEM"}); }) ==
          hex("51 00000014 'IDENTIFY_SYSTEM' 00"));
    CHECK(written([](writer& out) { put(out, password_message{"secret"}); }) ==
          hex("70 0000000b 'secret' 00"));
    const buffer first = hex("'n,,n=,r=abc'");
    CHECK(written([&](writer& out) {
              put(out, sasl_initial_response{"SCRAM-SHA-256", true, first});
          }) == hex("70 00000021 'SCRAM-SHA-256' 00 0000000b 'n,,n=,r=abc'"));
    CHECK(written([](writer& out) {
              put(out, sasl_initial_response{"X", false, {}});
          }) == hex("70 0000000a 'X' 00 ffffffff"));
    CHECK(written([&](writer& out) { put_sasl_response(out, first); }) ==
          hex("70 0000000f 'n,,n=,r=abc'"));
    CHECK(written([](writer& out) { put(out, copy_fail{"no more"}); }) ==
          hex("66 0000000c 'no more' 00"));
    CHECK(written([](writer& out) { put_client_copy_done(out); }) == hex("63 00000004"));
    CHECK(written([](writer& out) { put_terminate(out); }) == hex("58 00000004"));
}

TEST_CASE("a query is one string with its NUL last") {
    for (const char* text : {"''", "'SELECT 1'", "0a 'x' ff"}) {
        const buffer whole = hex(text) + hex("00");
        CHECK(spelled::flaw(whole, errc::malformed_message, parse_query, encode) == "");
    }
    CHECK(parse_query(hex("'SELECT 1'")).code() == errc::malformed_message);
    CHECK(parse_query(hex("'SELECT 1' 00 00")).code() == errc::malformed_message);
    CHECK(parse_query(hex("'SELECT' 00 'SELECT' 00")).code() == errc::malformed_message);
    CHECK(parse_query({}).code() == errc::malformed_message);
    CHECK(parse_query(hex("00"))->text.empty());
    CHECK(parse_query(hex("'a' 00"))->text == "a");
}

TEST_CASE("a password and a reason to give up are one string with its NUL last") {
    CHECK(spelled::flaw(body_of(password_message{"secret"}), errc::malformed_message,
                        parse_password_message, encode) == "");
    CHECK(spelled::flaw(body_of(copy_fail{"because"}), errc::malformed_message, parse_copy_fail,
                        encode) == "");
    CHECK(parse_password_message(hex("'se' 00 'cret' 00")).code() == errc::malformed_message);
    CHECK(parse_password_message(hex("'secret' 00"))->password == "secret");
    CHECK(parse_copy_fail(hex("'because' 00"))->reason == "because");
}

TEST_CASE("the first SASL answer names a mechanism and says how much data it has") {
    const buffer data = hex("'n,,'");
    CHECK(spelled::flaw(body_of(sasl_initial_response{"SCRAM-SHA-256", true, data}),
                        errc::malformed_message, parse_sasl_initial_response, encode) == "");
    CHECK(spelled::flaw(body_of(sasl_initial_response{"SCRAM-SHA-256", false, {}}),
                        errc::malformed_message, parse_sasl_initial_response, encode) == "");
    CHECK(spelled::flaw(body_of(sasl_initial_response{"", true, {}}), errc::malformed_message,
                        parse_sasl_initial_response, encode) == "");
    const buffer with_none = hex("'M' 00 ffffffff");
    const auto none = parse_sasl_initial_response(with_none);
    REQUIRE(none);
    CHECK(!none->has_data);
    const buffer with_empty = hex("'M' 00 00000000");
    const auto empty = parse_sasl_initial_response(with_empty);
    REQUIRE(empty);
    CHECK(empty->has_data);
    CHECK(empty->data.empty());
    const buffer with_some = hex("'M' 00 00000003 'abc'");
    const auto some = parse_sasl_initial_response(with_some);
    REQUIRE(some);
    CHECK(some->mechanism == "M");
    CHECK(as_text(some->data) == "abc");
    // Data that is said not to be there is not written.
    CHECK(body_of(sasl_initial_response{"M", false, data}) == with_none);
    for (const char* wrong : {
             "'M' 00 fffffffe",       // below -1
             "'M' 00 80000000",       //
             "'M' 00 7fffffff 'abc'", // more than there is
             "'M' 00 00000004 'abc'", //
             "'M' 00 00000002 'abc'", // less than there is
             "'M' 00 ffffffff 'abc'", //
             "'M' 00 0000",           //
             "'M'",                   //
             "",                      //
         }) {
        CAPTURE(wrong);
        CHECK(parse_sasl_initial_response(hex(wrong)).code() == errc::malformed_message);
    }
}

TEST_CASE("text that holds a NUL cannot be said") {
    using namespace std::string_view_literals;
    std::byte room[64];
    for (const int which : {0, 1, 2, 3}) {
        writer out(room);
        switch (which) {
        case 0: put(out, query{"a\0b"sv}); break;
        case 1: put(out, password_message{"a\0b"sv}); break;
        case 2: put(out, copy_fail{"a\0b"sv}); break;
        default: put(out, sasl_initial_response{"a\0b"sv, false, {}});
        }
        CHECK(!out.ok());
    }
}

TEST_CASE("every message that a recorded client sent is read, and written again as it was") {
    std::size_t queries = 0, passwords = 0, first = 0, responses = 0, ends = 0, fails = 0;
    for (const std::string& name : support::transcripts()) {
        CAPTURE(name);
        bool sasl = false;
        for (const recorded::spoken& each : recorded::load(name).messages) {
            if (each.said == message::authentication_sasl) sasl = true;
            if (each.from != support::side::client || each.tag == 0) continue;
            const buffer original = spelled::of(each.body);
            switch (static_cast<frontend_tag>(each.tag)) {
            case frontend_tag::query: {
                const auto read = parse_query(each.body);
                REQUIRE(read);
                CHECK(body_of(*read) == original);
                ++queries;
                break;
            }
            case frontend_tag::password:
                if (!sasl) {
                    const auto read = parse_password_message(each.body);
                    REQUIRE(read);
                    CHECK(body_of(*read) == original);
                    ++passwords;
                } else if (const auto read = parse_sasl_initial_response(each.body)) {
                    CHECK(read->mechanism.starts_with("SCRAM-SHA-256"));
                    CHECK(as_text(read->data).find(",r=") != std::string_view::npos);
                    CHECK(body_of(*read) == original);
                    ++first;
                } else {
                    CHECK(as_text(each.body).starts_with("c="));
                    CHECK(body(written([&](writer& out) { put_sasl_response(out, each.body); })) ==
                          original);
                    ++responses;
                }
                break;
            case frontend_tag::terminate: [[fallthrough]];
            case frontend_tag::copy_done:
                CHECK(original.empty());
                ++ends;
                break;
            case frontend_tag::copy_fail: {
                const auto read = parse_copy_fail(each.body);
                REQUIRE(read);
                CHECK(body_of(*read) == original);
                ++fails;
                break;
            }
            default: break; // copy.hpp's, and the extended protocol's
            }
        }
    }
    CHECK(queries > 500);
    CHECK(passwords >= 15);
    CHECK(first >= 20);
    CHECK(responses == first);
    CHECK(ends > 300);
    CHECK(fails == 7);
}

TEST_CASE("reading and writing what a client says does not allocate") {
    const buffer data = hex("'M' 00 00000003 'abc'");
    std::byte room[64];
    support::no_alloc scope;
    writer out(room);
    put(out, *parse_sasl_initial_response(data));
    put(out, query{"x"});
    put_terminate(out);
}
