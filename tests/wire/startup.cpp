#include <walwire/wire/startup.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/no_alloc.hpp"
#include "support/transcript.hpp"
#include "wire/spelled.hpp"

using namespace walwire;
using namespace walwire::wire;
using spelled::buffer;
using spelled::hex;
using spelled::written;

namespace {

using pairs = std::vector<std::pair<std::string, std::string>>;

pairs pairs_of(const startup_message& message) {
    pairs all;
    parameters list = message.list();
    while (const auto each = list.next()) all.emplace_back(each->name, each->value);
    CHECK(list.ok());
    return all;
}

buffer spelt(protocol_version version, const pairs& all) {
    return written([&](writer& out) {
        startup_writer startup(out, version);
        for (const auto& [name, value] : all) startup.add(name, value);
        startup.finish();
    });
}

// A packet without its length word, which must be right.
buffer without_length(const buffer& packet) {
    REQUIRE(packet.size() >= 4);
    REQUIRE(load<std::uint32_t>(packet.data()) == packet.size());
    return buffer(packet.begin() + 4, packet.end());
}

errc refused(const buffer& body) {
    return parse_startup_packet(bytes(body)).code();
}

} // namespace

TEST_CASE("versions have a major and a minor half and an order") {
    CHECK(protocol_3_0.value == 0x00030000);
    CHECK(protocol_3_2.value == 0x00030002);
    CHECK(protocol_3_0 < protocol_3_2);
    CHECK(protocol_version{0x04d2162f}.major_part() == 1234);
    CHECK(protocol_version{0x04d2162f}.minor_part() == 5679);
    CHECK(ssl_request_code == 0x04d2162f);
    CHECK(gssenc_request_code == 0x04d21630);
    CHECK(cancel_request_code == 0x04d2162e);
}

TEST_CASE("packets are the bytes that the protocol's description shows") {
    CHECK(spelt(protocol_3_0, {{"user", "repl"}, {"replication", "true"}}) ==
          hex("00000024 00030000 'user' 00 'repl' 00 'replication' 00 'true' 00 00"));
    CHECK(written([](writer& out) { put(out, ssl_request{}); }) == hex("00000008 04d2162f"));
    CHECK(written([](writer& out) { put(out, gssenc_request{}); }) == hex("00000008 04d21630"));
    const buffer key = hex("11223344");
    CHECK(written([&](writer& out) {
              put(out, cancel_request{0x1ba3, key});
          }) == hex("00000010 04d2162e 00001ba3 11223344"));
    CHECK(spelt(protocol_3_2, {}) == hex("00000009 00030002 00"));
}

TEST_CASE("what was written is read again") {
    const pairs all = {
        {"user", "repl"}, {"options", "-c geqo=off"}, {"database", ""}, {"user", "b"}};
    const buffer body = without_length(spelt(protocol_3_2, all));
    const auto packet = parse_startup_packet(bytes(body));
    REQUIRE(packet);
    const auto* message = std::get_if<startup_message>(&*packet);
    REQUIRE(message != nullptr);
    CHECK(message->version == protocol_3_2);
    CHECK(pairs_of(*message) == all); // a doubled name stays doubled: the later one counts
    CHECK(std::holds_alternative<ssl_request>(*parse_startup_packet(hex("04d2162f"))));
    CHECK(std::holds_alternative<gssenc_request>(*parse_startup_packet(hex("04d21630"))));
    for (const std::size_t size : {1u, 4u, 32u, 256u}) {
        const buffer key(size, std::byte{0x5a});
        const buffer cancel = without_length(written([&](writer& out) {
            put(out, cancel_request{77, key});
        }));
        const auto parsed = parse_startup_packet(bytes(cancel));
        REQUIRE(parsed);
        CHECK(std::get<cancel_request>(*parsed).pid == 77);
        CHECK(spelled::of(std::get<cancel_request>(*parsed).key) == key);
    }
}

TEST_CASE("a cancel key has 1 to 256 bytes") {
    CHECK(refused(hex("04d2162e 00000001")) == errc::malformed_message);
    CHECK(refused(hex("04d2162e 000000")) == errc::malformed_message);
    CHECK(refused(hex("04d2162e 00000001") + buffer(257)) == errc::malformed_message);
    CHECK(refused(hex("04d2162e 00000001") + buffer(256)) == errc::none);
}

TEST_CASE("an encryption request's length is not looked at, as no server does") {
    CHECK(std::holds_alternative<ssl_request>(*parse_startup_packet(hex("04d2162f 00000000"))));
    CHECK(std::holds_alternative<gssenc_request>(*parse_startup_packet(hex("04d21630 'x'"))));
}

TEST_CASE("a StartupMessage ends in one NUL that is its last byte, and holds whole pairs") {
    CHECK(refused(hex("00030000 00")) == errc::none);
    CHECK(refused(hex("00030000 'user' 00 'a' 00 00")) == errc::none);
    CHECK(refused(hex("00030000 'user' 00 00 00")) == errc::none); // an empty value
    for (const char* body : {
             "00030000",                  // nothing
             "00030000 'x'",              // no NUL
             "00030000 00 00",            // two at the end
             "00030000 'user' 00 'a' 00", // none behind the pairs
             "00030000 'user' 00 'a' 00 00 00",
             "00030000 'user' 00 'a' 00 00 'x'",
             "00030000 'user' 00 'a' 00 'x' 00 00", // a name without a value
             "00030000 'user' 00 00",
             "00030000 'user' 00",
             "00030000 00 'a' 00 00", // no name
             "",
             "00",
             "000300",
         }) {
        CAPTURE(body);
        CHECK(refused(hex(body)) == errc::malformed_message);
    }
}

TEST_CASE("a version that nobody knows the layout of is handed on without its pairs") {
    for (const char* body : {"00040000 'user' 00 'a' 00 00", "00020000 'rubbish'", "00000000",
                             "ffffffff 00", "'GET ' '/ HTTP/1.1'", "16030102 00 01"}) {
        CAPTURE(body);
        const auto packet = parse_startup_packet(hex(body));
        REQUIRE(packet);
        const auto* message = std::get_if<startup_message>(&*packet);
        REQUIRE(message != nullptr);
        CHECK(message->version.major_part() != 3);
        CHECK(message->pairs.empty());
    }
    // Every minor version of 3 has the same layout.
    for (const char* version : {"00030001", "00030002", "0003270f", "00037fff", "0003ffff"})
        CHECK(refused(hex(version) + hex("'user' 00 'a' 00 00")) == errc::none);
}

TEST_CASE("a StartupMessage cut anywhere is refused, and flipped anywhere it is not misread") {
    const pairs all = {{"user", "repl"}, {"database", "db"}, {"replication", "true"}};
    const buffer body = without_length(spelt(protocol_3_0, all));
    spelled::each_truncation(body, [](bytes shorter) {
        const auto packet = parse_startup_packet(shorter);
        // Behind "\0\0" a shorter packet would be whole, but there is none in these pairs.
        CHECK(packet.code() == errc::malformed_message);
    });
    std::size_t taken = 0;
    spelled::each_flip(body, [&](bytes flipped) {
        const auto packet = parse_startup_packet(flipped);
        if (!packet) {
            CHECK(packet.code() == errc::malformed_message);
            return;
        }
        const auto* message = std::get_if<startup_message>(&*packet);
        if (message == nullptr || message->version.major_part() != 3) return;
        ++taken;
        CHECK(without_length(spelt(message->version, pairs_of(*message))) == spelled::of(flipped));
        for (const auto& [name, value] : pairs_of(*message)) CHECK(!name.empty());
    });
    CHECK(taken > 100);
}

TEST_CASE("five thousand options are listed one by one") {
    pairs all;
    for (int i = 0; i < 1400; ++i) all.emplace_back("_pq_" + std::to_string(i % 10), "");
    const buffer body = without_length(spelt(protocol_3_0, all));
    CHECK(body.size() <= startup_size_max);
    const auto packet = parse_startup_packet(bytes(body));
    REQUIRE(packet);
    CHECK(pairs_of(std::get<startup_message>(*packet)).size() == 1400);
}

TEST_CASE("pairs that are no pairs end the list and say so") {
    for (const char* rest : {"'user'", "'user' 00", "'user' 00 'a'"}) {
        const buffer data = hex(rest);
        parameters list{bytes(data)};
        CHECK(!list.next());
        CHECK(!list.ok());
        CHECK(!list.next());
    }
    parameters none{bytes{}};
    CHECK(!none.next());
    CHECK(none.ok());
}

TEST_CASE("every recorded client's first packets are read, and written again as they were") {
    std::size_t startups = 0, requests = 0, cancels = 0;
    for (const std::string& name : support::transcripts()) {
        CAPTURE(name);
        const support::transcript record = support::transcript::load(name);
        bytes in = record.said(support::side::client);
        while (in.size() >= 4) {
            const auto size = load<std::uint32_t>(in.data());
            REQUIRE(size >= 4);
            REQUIRE(size <= in.size());
            const bytes body = in.subspan(4, size - 4);
            const buffer original = spelled::of(in.first(size));
            in = in.subspan(size);
            const auto packet = parse_startup_packet(body);
            REQUIRE(packet);
            if (const auto* message = std::get_if<startup_message>(&*packet)) {
                ++startups;
                if (message->version.major_part() == 3)
                    CHECK(spelt(message->version, pairs_of(*message)) == original);
                break;
            }
            if (const auto* cancel = std::get_if<cancel_request>(&*packet)) {
                ++cancels;
                CHECK(written([&](writer& out) { put(out, *cancel); }) == original);
                break;
            }
            ++requests;
            const bool ssl = std::holds_alternative<ssl_request>(*packet);
            CHECK(written([&](writer& out) {
                      if (ssl) {
                          put(out, ssl_request{});
                      } else {
                          put(out, gssenc_request{});
                      }
                  }) == original);
        }
    }
    CHECK(startups > 390);
    CHECK(requests > 10);
    CHECK(cancels == 5);
}

TEST_CASE("reading a packet does not allocate") {
    const buffer body = hex("00030000 'user' 00 'a' 00 00");
    support::no_alloc scope;
    const auto packet = parse_startup_packet(bytes(body));
    parameters list = std::get<startup_message>(*packet).list();
    while (list.next()) {
    }
}

TEST_CASE("the parameter replication is read as PostgreSQL reads it") {
    using wire::parse_replication_mode;
    using wire::replication_mode;
    CHECK(*parse_replication_mode("database") == replication_mode::database);
    for (const char* text : {"true", "TRUE", "t", "tr", "yes", "Y", "on", "ON", "1"})
        CHECK(*parse_replication_mode(text) == replication_mode::physical);
    for (const char* text : {"false", "f", "FAL", "no", "n", "off", "of", "oFF", "0"})
        CHECK(*parse_replication_mode(text) == replication_mode::off);
    for (const char* text : {"", "Database", "databas", "2", "o", "truely", "trues", "10", "o n"})
        CHECK(parse_replication_mode(text).code() == errc::argument_invalid);
    CHECK(parse_replication_mode(std::string(5000, 't')).code() == errc::argument_invalid);
}
