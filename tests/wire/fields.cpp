#include <walwire/wire/fields.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <string_view>

#include "support/no_alloc.hpp"
#include "wire/recorded_messages.hpp"
#include "wire/spelled.hpp"

using namespace walwire;
using namespace walwire::wire;
using spelled::buffer;
using spelled::hex;
using spelled::written;

namespace {

buffer body_of(const error_fields& fields, backend_tag tag = backend_tag::error_response) {
    return spelled::body(written([&](writer& out) { put(out, tag, fields); }));
}

// All fields, by the code that each has on the wire.
std::map<char, std::string_view> by_code(const error_fields& fields) {
    return {
        {'V', fields.severity}, {'C', fields.sqlstate},   {'M', fields.message},
        {'D', fields.detail},   {'H', fields.hint},       {'P', fields.position},
        {'W', fields.where},    {'s', fields.schema},     {'t', fields.table},
        {'c', fields.column},   {'n', fields.constraint}, {'F', fields.file},
        {'L', fields.line},     {'R', fields.routine},
    };
}

} // namespace

TEST_CASE("each code is the field that it says") {
    const error_fields empty;
    for (const auto& each : by_code(empty)) {
        const char code = each.first;
        CAPTURE(code);
        CHECK(each.second.empty());
        const buffer whole = buffer{std::byte(code)} + hex("'value' 00 00");
        const auto read = parse_error_fields(whole);
        REQUIRE(read);
        for (const auto& [other, value] : by_code(*read))
            CHECK(value == (other == code ? "value" : ""));
    }
}

TEST_CASE("unknown codes are passed over") {
    std::size_t unknown = 0;
    const auto known = by_code({});
    for (int code = 1; code < 256; ++code) {
        CAPTURE(code);
        const buffer whole =
            buffer{static_cast<std::byte>(code)} + hex("'value' 00 'M' 'text' 00 00");
        const auto read = parse_error_fields(whole);
        REQUIRE(read);
        CHECK(read->message == "text");
        if (code == 'S' || (code < 128 && known.contains(static_cast<char>(code)))) continue;
        ++unknown;
        for (const auto& [other, value] : by_code(*read))
            CHECK(value == (other == 'M' ? "text" : ""));
    }
    CHECK(unknown == 240);
}

TEST_CASE("the severity in English counts, wherever it stands") {
    const auto severity = [](std::string_view fields) {
        const buffer whole = hex(fields);
        return std::string(parse_error_fields(whole)->severity);
    };
    CHECK(severity("'SFEHLER' 00 'VERROR' 00 00") == "ERROR");
    CHECK(severity("'VERROR' 00 'SFEHLER' 00 00") == "ERROR");
    CHECK(severity("'SERROR' 00 00") == "ERROR");
    CHECK(severity("00") == "");
}

TEST_CASE("an error is fatal by its severity alone") {
    const auto fatal = [](std::string_view severity) {
        error_fields fields;
        fields.severity = severity;
        return fields.fatal();
    };
    CHECK(fatal("FATAL"));
    CHECK(fatal("PANIC"));
    for (const char* other : {"ERROR", "WARNING", "NOTICE", "LOG", "", "fatal", "FATAL ", "FATA"})
        CHECK(!fatal(other));
    static_assert(!error_fields{}.fatal());
}

TEST_CASE("a list of fields ends in one NUL that is its last byte") {
    CHECK(parse_error_fields(hex("00")));
    CHECK(parse_error_fields(hex("'M' 00 00")));
    for (const char* wrong : {"", "'M'", "'Mtext'", "'Mtext' 00", "00 00", "'Mtext' 00 00 00",
                              "'Mtext' 00 00 'x'", "00 'Mtext' 00 00"}) {
        CAPTURE(wrong);
        CHECK(parse_error_fields(hex(wrong)).code() == errc::malformed_message);
    }
}

TEST_CASE("a field that comes twice counts with its last value") {
    const buffer whole = hex("'Mone' 00 'Mtwo' 00 'C42601' 00 'C42602' 00 00");
    CHECK(parse_error_fields(whole)->message == "two");
    CHECK(parse_error_fields(whole)->sqlstate == "42602");
}

TEST_CASE("what is written is read again") {
    error_fields fields;
    fields.severity = "FATAL";
    fields.sqlstate = "57P01";
    fields.message = "terminating connection";
    CHECK(written([&](writer& out) { put(out, backend_tag::error_response, fields); }) ==
          hex("45 00000032 'SFATAL' 00 'VFATAL' 00 'C57P01' 00 'Mterminating connection' 00 00"));
    CHECK(written([&](writer& out) { put(out, backend_tag::notice_response, {}); }) ==
          hex("4e 00000005 00"));

    // Every field with a text of its own.
    buffer all = hex("'SFATAL' 00 'VFATAL' 00");
    for (const char code : std::string_view("CMDHPWstcnFLR"))
        all = all + buffer{std::byte(code), std::byte(code), std::byte('!'), std::byte{0}};
    all = all + hex("00");
    const auto read = parse_error_fields(all);
    REQUIRE(read);
    CHECK(body_of(*read) == all);
    for (const auto& [code, value] : by_code(*read))
        CHECK(value == (code == 'V' ? std::string("FATAL") : std::string{code, '!'}));

    spelled::each_truncation(all, [](bytes shorter) {
        CHECK(parse_error_fields(shorter).code() == errc::malformed_message);
    });
    std::size_t taken = 0;
    spelled::each_flip(all, [&](bytes flipped) {
        const auto other = parse_error_fields(flipped);
        if (!other) {
            CHECK(other.code() == errc::malformed_message);
            return;
        }
        ++taken;
        const buffer again = body_of(*other);
        const auto same = parse_error_fields(again);
        REQUIRE(same);
        CHECK(by_code(*same) == by_code(*other));
        CHECK(body_of(*same) == again);
    });
    CHECK(taken > 300);
}

TEST_CASE("thirty thousand bytes of message are a view like any other") {
    const buffer whole = hex("'M'") + buffer(30'000, std::byte('x')) + hex("00 00");
    const support::guarded exact{bytes(whole)};
    const auto read = parse_error_fields(bytes(exact));
    REQUIRE(read);
    CHECK(read->message.size() == 30'000);
}

TEST_CASE("every recorded error and notice is read, with what all servers send") {
    std::size_t errors = 0, fatal = 0, notices = 0;
    for (const std::string& name : support::transcripts()) {
        CAPTURE(name);
        for (const recorded::spoken& each : recorded::load(name).messages) {
            const bool error =
                each.said == message::error_response || each.said == message::fatal_response;
            if (!error && each.said != message::notice_response) continue;
            const auto read = parse_error_fields(each.body);
            REQUIRE(read);
            CHECK(read->sqlstate.size() == 5);
            CHECK(!read->message.empty());
            CHECK(!read->file.empty());
            CHECK(!read->line.empty());
            CHECK(!read->routine.empty());
            if (error) {
                CHECK((read->severity == "ERROR" || read->severity == "FATAL"));
                CHECK(read->fatal() == (each.said == message::fatal_response));
                ++errors;
                fatal += read->fatal();
            } else {
                CHECK((read->severity == "WARNING" || read->severity == "NOTICE"));
                CHECK(!read->fatal());
                ++notices;
            }
            // Servers write the fields in the order in which this library does.
            CHECK(body_of(*read) == spelled::of(each.body));
        }
    }
    CHECK(errors > 200);
    CHECK(fatal > 50);
    CHECK(notices > 5);
}

TEST_CASE("a message that holds a NUL cannot be said") {
    using namespace std::string_view_literals;
    std::byte room[64];
    error_fields fields;
    fields.message = "a\0b"sv;
    writer out(room);
    put(out, backend_tag::error_response, fields);
    CHECK(!out.ok());
}

TEST_CASE("reading and writing fields does not allocate") {
    const buffer whole = hex("'SERROR' 00 'VERROR' 00 'C42601' 00 'Mno' 00 00");
    std::byte room[64];
    support::no_alloc scope;
    writer out(room);
    put(out, backend_tag::error_response, *parse_error_fields(whole));
}
