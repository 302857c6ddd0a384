#include <walwire/primary/refusal.hpp>

#include <doctest/doctest.h>

#include <string>

#include "wire/spelled.hpp"

using namespace walwire;
using primary::farewell;
using primary::refusal;
using primary::short_text;
using wire::phase;

namespace {

std::string said(errc code, phase at, std::uint8_t tag = 0, dialect spoken = dialect::postgres) {
    short_text text;
    const auto why = farewell(code, at, tag, text, spoken);
    if (!why) return "";
    CHECK(why->fatal);
    return std::string(why->sqlstate) + ' ' + std::string(why->message);
}

} // namespace

TEST_CASE("a refusal is an ErrorResponse of severity, code, sentence, and what helps") {
    using spelled::hex;
    CHECK(spelled::written([](writer& out) {
              put(out, refusal{"0A000", "no", {}, {}, false});
          }) == hex("45 0000001e 'SERROR'00 'VERROR'00 'C0A000'00 'Mno'00 00"));
    CHECK(spelled::written([](writer& out) {
              put(out, refusal{"57P01", "bye", "why", "then", true});
          }) == hex("45 0000002a 'SFATAL'00 'VFATAL'00 'C57P01'00 'Mbye'00 'Dwhy'00"
                    "'Hthen'00 00"));
    CHECK_FALSE(primary::sql_refused.fatal);
    CHECK_FALSE(primary::logical_refused.fatal);
    CHECK(primary::shutting_down.fatal);
}

TEST_CASE("a short text holds numbers, positions and texts, and leaves out what does not fit") {
    short_text text;
    text << "at " << lsn{0x1'00000abc} << " of " << timeline_id{7} << ", " << UINT64_MAX << " "
         << std::uint64_t{0};
    CHECK(std::string_view(text) == "at 1/ABC of 7, 18446744073709551615 0");
    short_text nul;
    nul << std::string_view("a\0b", 3);
    CHECK(std::string_view(nul) == "ab");
    short_text full;
    for (int i = 0; i < 100; ++i) full << "12345";
    CHECK(std::string_view(full).size() == 256);
    CHECK(std::string_view(full).ends_with("123451"));
}

TEST_CASE("each broken rule has its farewell, or silence where PostgreSQL is silent") {
    CHECK(said(errc::bytes_before_encryption, phase::ssl_asked) ==
          "08P01 received unencrypted data after SSL request");
    for (const phase at : {phase::gss_asked, phase::gss_asked_again})
        CHECK(said(errc::bytes_before_encryption, at) ==
              "08P01 received unencrypted data after GSSAPI encryption request");
    CHECK(said(errc::unknown_message, phase::idle, '!') ==
          "08P01 invalid frontend message type 33");
    CHECK(said(errc::unexpected_message, phase::idle, 'p') ==
          "08P01 invalid frontend message type 112");
    CHECK(said(errc::unexpected_message, phase::password_asked, 'Q') ==
          "08P01 expected password response, got message type 81");
    CHECK(said(errc::unexpected_message, phase::copy_both, 'Q') ==
          "08P01 invalid standby message type \"Q\"");
    CHECK(said(errc::unexpected_message, phase::server_finished, 'f') ==
          "08P01 invalid standby message type \"f\"");
    CHECK(said(errc::malformed_message, phase::fresh) ==
          "08P01 invalid startup packet layout: expected terminator as last byte");
    CHECK(said(errc::malformed_message, phase::password_given) ==
          "08P01 invalid password packet size");
    CHECK(said(errc::malformed_message, phase::client_finished) == "08P01 invalid message format");
    for (const errc code :
         {errc::length_invalid, errc::message_too_large, errc::stream_unknown,
          errc::connect_timeout, errc::silence_timeout, errc::password_mismatch, errc::none})
        CHECK(said(code, phase::idle).empty());
}

TEST_CASE("what breaks AionDB's rules inside a CopyData is said in that dialect, and in no other") {
    for (const errc code :
         {errc::stream_unknown, errc::entry_too_large, errc::entry_size_mismatch,
          errc::entry_size_invalid, errc::entry_status_disordered, errc::entry_direction_invalid}) {
        CHECK(said(code, phase::copy_both, 'd', dialect::aiondb) ==
              "08P01 " + std::string(text(code)));
        CHECK(said(code, phase::copy_both, 'd').empty());
    }
    CHECK(said(errc::silence_timeout, phase::copy_both, 0, dialect::aiondb).empty());
}
