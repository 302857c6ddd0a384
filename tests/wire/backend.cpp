#include <walwire/wire/backend.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "support/no_alloc.hpp"
#include "wire/recorded_messages.hpp"
#include "wire/spelled.hpp"

using namespace walwire;
using namespace walwire::wire;
using spelled::body;
using spelled::buffer;
using spelled::flaw;
using spelled::flaw_in_fixpoint;
using spelled::hex;
using spelled::written;

namespace {

constexpr auto encode = [](writer& out, const auto& message) { put(out, message); };

buffer body_of(const auto& message) {
    return body(written([&](writer& out) { put(out, message); }));
}

std::string text_of(bytes data) {
    return spelled::text(data);
}

} // namespace

TEST_CASE("messages are the bytes that the protocol's description shows") {
    const buffer salt = hex("01020304");
    CHECK(written([](writer& out) { put(out, authentication{}); }) == hex("52 00000008 00000000"));
    CHECK(written([&](writer& out) {
              put(out, authentication{authentication_code::md5_password, salt});
          }) == hex("52 0000000c 00000005 01020304"));
    CHECK(written([](writer& out) {
              put(out, negotiate_protocol_version{protocol_3_0, 0, {}});
          }) == hex("76 0000000c 00030000 00000000"));
    CHECK(written([](writer& out) {
              put(out, parameter_status{"is_superuser", "off"});
          }) == hex("53 00000015 'is_superuser' 00 'off' 00"));
    CHECK(written([&](writer& out) {
              put(out, backend_key_data{0x2dbe, salt});
          }) == hex("4b 0000000c 00002dbe 01020304"));
    CHECK(written([](writer& out) { put(out, transaction_status::in_transaction); }) ==
          hex("5a 00000005 'T'"));
    CHECK(written([](writer& out) { put(out, command_complete{"SELECT"}); }) ==
          hex("43 0000000b 'SELECT' 00"));
    CHECK(written([](writer& out) { put_copy_response(out, backend_tag::copy_both_response); }) ==
          hex("57 00000007 00 0000"));
    CHECK(written([](writer& out) { put_copy_response(out, backend_tag::copy_in_response); }) ==
          hex("47 00000007 00 0000"));
    CHECK(written([](writer& out) {
              put(out, notification_response{7, "news", "none"});
          }) == hex("41 00000012 00000007 'news' 00 'none' 00"));
    CHECK(written([](writer& out) { put_copy_done(out); }) == hex("63 00000004"));
    CHECK(written([](writer& out) { put_empty_query_response(out); }) == hex("49 00000004"));
}

TEST_CASE("authentication requests have the data that their code has") {
    struct request {
        std::string_view body;
        bool open_ended; // the data goes to the end, whatever it is
    };
    for (const request& each : {
             request{"00000000", false}, request{"00000002", false}, request{"00000003", false},
             request{"00000005 01020304", false}, request{"00000007", false},
             request{"00000009", false}, request{"00000008 'token'", true},
             request{"0000000a 'SCRAM-SHA-256' 00 00", true}, request{"0000000b 'r=...'", true},
             request{"0000000b", true}, request{"0000000c 'v=...'", true},
             request{"00000063", false}, // nobody knows what follows a code that nobody knows
         }) {
        CAPTURE(std::string(each.body));
        const buffer whole = hex(each.body);
        if (each.open_ended) {
            CHECK(flaw_in_fixpoint(whole, parse_authentication, encode) == "");
        } else {
            CHECK(flaw(whole, errc::malformed_message, parse_authentication, encode) == "");
        }
        const auto read = parse_authentication(whole);
        REQUIRE(read);
        CHECK(static_cast<std::uint32_t>(read->code) == load<std::uint32_t>(whole.data()));
        CHECK(spelled::of(read->data) == buffer(whole.begin() + 4, whole.end()));
    }
    for (std::size_t size = 0; size < 4; ++size)
        CHECK(parse_authentication(buffer(size)).code() == errc::malformed_message);
}

TEST_CASE("a negotiation lists as many options as it says") {
    const buffer none = hex("00030000 00000000");
    CHECK(flaw(none, errc::malformed_message, parse_negotiate_protocol_version, encode) == "");
    const buffer two = hex("00030002 00000002 '_pq_.a' 00 '_pq_.b' 00");
    CHECK(flaw(two, errc::malformed_message, parse_negotiate_protocol_version, encode) == "");
    const auto read = parse_negotiate_protocol_version(two);
    REQUIRE(read);
    CHECK(read->version == protocol_3_2);
    std::vector<std::string> names;
    read->each_option([&](std::string_view name) { names.emplace_back(name); });
    CHECK(names == std::vector<std::string>{"_pq_.a", "_pq_.b"});
    for (const char* wrong : {
             "00030000 00000001",               // fewer than said
             "00030000 00000003 'a' 00 'b' 00", //
             "00030000 00000001 'a' 00 'b' 00", // more than said
             "00030000 00000000 00",            //
             "00030000 ffffffff",               // -1
             "00030000 80000000 'a' 00",        //
             "00030000 7fffffff 'a' 00",        //
             "00030000 00000001 'a'",           // unterminated
             "00030000 000000",                 //
         }) {
        CAPTURE(wrong);
        CHECK(parse_negotiate_protocol_version(hex(wrong)).code() == errc::malformed_message);
    }
}

TEST_CASE("a parameter is a name and a value") {
    for (const char* right : {"'TimeZone' 00 'UTC' 00", "'application_name' 00 00"}) {
        CHECK(flaw(hex(right), errc::malformed_message, parse_parameter_status, encode) == "");
    }
    const buffer zone = hex("'TimeZone' 00 'UTC' 00");
    CHECK(parse_parameter_status(zone)->name == "TimeZone");
    CHECK(parse_parameter_status(zone)->value == "UTC");
    for (const char* wrong : {"", "00", "00 'x' 00", "'a' 00", "'a' 00 'b'", "'a' 00 'b' 00 00"}) {
        CAPTURE(wrong);
        CHECK(parse_parameter_status(hex(wrong)).code() == errc::malformed_message);
    }
}

TEST_CASE("a cancel key has the length that its protocol has") {
    const auto read = [](std::size_t key, protocol_version version) {
        return parse_backend_key_data(buffer(4 + key), version).code();
    };
    for (std::size_t size = 0; size <= 300; ++size) {
        CAPTURE(size);
        CHECK(read(size, protocol_3_0) == (size == 4 ? errc::none : errc::backend_key_invalid));
        CHECK(read(size, protocol_3_2) ==
              (size >= 4 && size <= 256 ? errc::none : errc::backend_key_invalid));
    }
    for (std::size_t size = 0; size < 4; ++size)
        CHECK(parse_backend_key_data(buffer(size), protocol_3_2).code() ==
              errc::backend_key_invalid);
    const buffer whole = hex("00002dbe 0fe80ba6");
    CHECK(flaw(
              whole, errc::backend_key_invalid,
              [](bytes data) { return parse_backend_key_data(data, protocol_3_0); }, encode) == "");
    const buffer longer = hex("00002dbe") + buffer(32, std::byte{9});
    CHECK(flaw_in_fixpoint(
              longer, [](bytes data) { return parse_backend_key_data(data, protocol_3_2); },
              encode) == "");
    CHECK(parse_backend_key_data(whole, protocol_3_0)->pid == 0x2dbe);
}

TEST_CASE("ReadyForQuery has one of three states") {
    for (int state = 0; state < 256; ++state) {
        const buffer whole{static_cast<std::byte>(state)};
        const bool known = state == 'I' || state == 'T' || state == 'E';
        const auto read = parse_ready_for_query(whole);
        CHECK(read.code() == (known ? errc::none : errc::malformed_message));
        if (known) CHECK(static_cast<int>(*read) == state);
    }
    CHECK(flaw(hex("'I'"), errc::malformed_message, parse_ready_for_query, encode) == "");
}

TEST_CASE("a completion is one string") {
    for (const char* right : {"'SELECT 1' 00", "'COPY 0' 00", "00"})
        CHECK(flaw(hex(right), errc::malformed_message, parse_command_complete, encode) == "");
    const buffer whole = hex("'START_STREAMING' 00");
    CHECK(parse_command_complete(whole)->tag == "START_STREAMING");
}

TEST_CASE("a copy response has a format for each of its columns") {
    const buffer replication = hex("00 0000");
    const auto read = parse_copy_response(replication);
    REQUIRE(read);
    CHECK(read->format == 0);
    CHECK(read->columns == 0);
    const buffer columns = hex("01 0003 0000 0001 0000");
    REQUIRE(parse_copy_response(columns));
    CHECK(parse_copy_response(columns)->format == 1);
    CHECK(parse_copy_response(columns)->columns == 3);
    for (const char* wrong : {"", "00", "00 00", "00 0000 00", "00 0001", "00 0001 00", "00 ffff",
                              "01 0003 0000 0001", "01 0003 0000 0001 0000 00"}) {
        CAPTURE(wrong);
        CHECK(parse_copy_response(hex(wrong)).code() == errc::malformed_message);
    }
}

TEST_CASE("a notification has a process, a channel and a payload") {
    const buffer whole = hex("00000007 'news' 00 'none' 00");
    CHECK(flaw(whole, errc::malformed_message, parse_notification_response, encode) == "");
    const auto read = parse_notification_response(whole);
    CHECK(read->pid == 7);
    CHECK(read->channel == "news");
    CHECK(read->payload == "none");
}

TEST_CASE("text that holds a NUL cannot be said") {
    using namespace std::string_view_literals;
    std::byte room[64];
    for (const int which : {0, 1, 2, 3, 4}) {
        writer out(room);
        switch (which) {
        case 0: put(out, parameter_status{"a\0"sv, "b"}); break;
        case 1: put(out, parameter_status{"a", "\0b"sv}); break;
        case 2: put(out, command_complete{"\0"sv}); break;
        case 3: put(out, notification_response{1, "a\0b"sv, ""}); break;
        default: put(out, notification_response{1, "", "a\0b"sv});
        }
        CHECK(!out.ok());
    }
}

TEST_CASE("every message that a recorded server sent is read, and written again as it was") {
    std::map<char, std::size_t> read;
    const auto same = [&](const recorded::spoken& each, const auto& parsed) {
        REQUIRE(parsed);
        CHECK(body_of(*parsed) == spelled::of(each.body));
        ++read[static_cast<char>(each.tag)];
    };
    for (const std::string& name : support::transcripts()) {
        CAPTURE(name);
        protocol_version version = protocol_3_0;
        for (const recorded::spoken& each : recorded::load(name).messages) {
            if (each.said == message::startup) version = {load<std::uint32_t>(each.body.data())};
            if (each.from != support::side::server || each.tag == 0) continue;
            switch (static_cast<backend_tag>(each.tag)) {
            case backend_tag::authentication: same(each, parse_authentication(each.body)); break;
            case backend_tag::negotiate_protocol_version: {
                const auto negotiated = parse_negotiate_protocol_version(each.body);
                same(each, negotiated);
                version = negotiated->version;
                break;
            }
            case backend_tag::parameter_status:
                same(each, parse_parameter_status(each.body));
                break;
            case backend_tag::backend_key_data:
                same(each, parse_backend_key_data(each.body, version));
                break;
            case backend_tag::ready_for_query: same(each, parse_ready_for_query(each.body)); break;
            case backend_tag::command_complete:
                same(each, parse_command_complete(each.body));
                break;
            case backend_tag::copy_both_response: {
                const auto copy = parse_copy_response(each.body);
                REQUIRE(copy);
                CHECK(copy->format == 0);
                CHECK(copy->columns == 0);
                CHECK(written([](writer& out) {
                          put_copy_response(out, backend_tag::copy_both_response);
                      }) == hex("57 00000007") + spelled::of(each.body));
                ++read['W'];
                break;
            }
            case backend_tag::copy_done: CHECK(each.body.empty()); break;
            default: break; // fields.hpp's, rows.hpp's and copy.hpp's
            }
        }
    }
    CHECK(read['R'] > 400);
    CHECK(read['v'] >= 10);
    CHECK(read['S'] > 4000);
    CHECK(read['K'] > 300);
    CHECK(read['Z'] > 800);
    CHECK(read['C'] > 500);
    CHECK(read['W'] > 100);
}

TEST_CASE("the recorded SASL offers and challenges are handed on as they came") {
    std::size_t offers = 0;
    for (const std::string& name : support::transcripts("a1")) {
        for (const recorded::spoken& each : recorded::load(name).messages) {
            if (each.said != message::authentication_sasl) continue;
            const std::string list = text_of(parse_authentication(each.body)->data);
            CHECK(list.find("SCRAM-SHA-256") != std::string::npos);
            CHECK(list.ends_with(std::string(2, '\0')));
            ++offers;
        }
    }
    CHECK(offers >= 10);
}

TEST_CASE("reading and writing what a server says does not allocate") {
    const buffer zone = hex("'TimeZone' 00 'UTC' 00");
    const buffer two = hex("00030002 00000002 '_pq_.a' 00 '_pq_.b' 00");
    std::byte room[64];
    support::no_alloc scope;
    writer out(room);
    put(out, *parse_parameter_status(zone));
    put(out, *parse_negotiate_protocol_version(two));
    put_copy_done(out);
}
