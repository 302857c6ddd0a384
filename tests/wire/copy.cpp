#include <walwire/wire/copy.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>

#include "support/no_alloc.hpp"
#include "wire/recorded_messages.hpp"
#include "wire/spelled.hpp"

using namespace walwire;
using namespace walwire::wire;
using spelled::body;
using spelled::buffer;
using spelled::flaw;
using spelled::hex;
using spelled::written;

namespace {

buffer body_of(const auto& message) {
    return body(written([&](writer& out) { put(out, message); }));
}

// The replica's two may grow in a later version, so only what is too short is refused.
template <class Decode>
std::string flaw_of_open(const buffer& whole, Decode&& decode) {
    std::string found;
    const auto read = decode(walwire::bytes(whole));
    if (!read) return "it is refused";
    if (body_of(*read) != whole) return "it encodes to something else";
    spelled::each_truncation(whole, [&](bytes shorter) {
        if (decode(shorter).code() != errc::stream_malformed) found = "taken too short";
    });
    const auto longer = decode(walwire::bytes(whole + hex("'more'")));
    if (!longer || body_of(*longer) != whole) found = "longer is not the same";
    return found;
}

} // namespace

TEST_CASE("messages are the bytes that servers and clients send") {
    CHECK(written([](writer& out) {
              put(out, primary_keepalive{{0x930000}, 0x000303c502481fe0, false});
          }) == hex("64 00000016 'k' 0000000000930000 000303c502481fe0 00"));
    CHECK(written([](writer& out) {
              put(out, standby_status_update{{0x930000}, {0x920000}, {0x910000}, 7, true});
          }) == hex("64 00000026 'r' 0000000000930000 0000000000920000 0000000000910000"
                    "0000000000000007 01"));
    CHECK(written([](writer& out) {
              put(out, wal_data_head{{0x900000}, {0xa64240}, 0x000303c5024a2176}, 131'072);
          }) == hex("64 0002001d 'w' 0000000000900000 0000000000a64240 000303c5024a2176"));
    CHECK(written([](writer& out) {
              put(out, hot_standby_feedback{7, 0x0000000200000001, 0x0000000400000003});
          }) == hex("64 0000001d 'h' 0000000000000007 00000001 00000002 00000003 00000004"));
    CHECK(written([](writer& out) {
              put(out, primary_status{{1}, 2, 3, 4});
          }) == hex("64 00000025 's' 0000000000000001 0000000000000002 0000000000000003"
                    "0000000000000004"));
    CHECK(written([](writer& out) { put(out, primary_status_request{5}); }) ==
          hex("64 0000000d 'p' 0000000000000005"));
}

TEST_CASE(
    "each message has the size that its name says, with its first byte and without its frame") {
    CHECK(body_of(primary_keepalive{}).size() == primary_keepalive_size);
    CHECK(body_of(primary_status{}).size() == primary_status_size);
    CHECK(body_of(standby_status_update{}).size() == standby_status_update_size);
    CHECK(body_of(hot_standby_feedback{}).size() == hot_standby_feedback_size);
    CHECK(body_of(primary_status_request{}).size() == primary_status_request_size);
    CHECK(body(written([](writer& out) { put(out, wal_data_head{}, 0); })).size() ==
          wal_data_head_size);
    CHECK(wal_data_head_size == 25);
    CHECK(primary_keepalive_size == 18);
    CHECK(primary_status_size == 33);
    CHECK(standby_status_update_size == 34);
    CHECK(hot_standby_feedback_size == 25);
    CHECK(primary_status_request_size == 9);
}

TEST_CASE("a keepalive and a primary's status have one size and no other") {
    for (const std::int64_t sent_at : {std::int64_t{0}, INT64_MAX, INT64_MIN, std::int64_t{-1}}) {
        for (const bool reply : {false, true}) {
            const buffer whole = body_of(primary_keepalive{{UINT64_MAX}, sent_at, reply});
            const auto read = parse_primary_keepalive(whole);
            REQUIRE(read);
            CHECK(read->server_end == lsn{UINT64_MAX});
            CHECK(read->sent_at == sent_at);
            CHECK(read->reply_requested == reply);
        }
        const buffer status = body_of(primary_status{{1}, UINT64_MAX, 3, sent_at});
        const auto read = parse_primary_status(status);
        REQUIRE(read);
        CHECK(read->end == lsn{1});
        CHECK(read->oldest_xid_in_commit == UINT64_MAX);
        CHECK(read->next_full_xid == 3);
        CHECK(read->sent_at == sent_at);
        CHECK(body_of(*read) == status);
    }
    for (std::size_t size = 0; size < 64; ++size) {
        CAPTURE(size);
        const support::guarded data(size);
        CHECK(parse_primary_keepalive(data.span()).code() ==
              (size == 18 ? errc::none : errc::stream_malformed));
        CHECK(parse_primary_status(data.span()).code() ==
              (size == 33 ? errc::none : errc::stream_malformed));
    }
}

TEST_CASE("any value but zero asks for a reply") {
    for (int value = 0; value < 256; ++value) {
        buffer keepalive = body_of(primary_keepalive{});
        keepalive.back() = static_cast<std::byte>(value);
        CHECK(parse_primary_keepalive(keepalive)->reply_requested == (value != 0));
        buffer status = body_of(standby_status_update{});
        status.back() = static_cast<std::byte>(value);
        CHECK(parse_standby_status_update(status)->reply_requested == (value != 0));
    }
}

TEST_CASE("what the replica sends is refused when it is short, and taken when it is long") {
    CHECK(flaw_of_open(body_of(standby_status_update{{4}, {3}, {2}, -1, true}),
                       parse_standby_status_update) == "");
    CHECK(flaw_of_open(body_of(hot_standby_feedback{-1, 0xdeadbeef'00000001, UINT64_MAX}),
                       parse_hot_standby_feedback) == "");
    CHECK(flaw_of_open(body_of(primary_status_request{INT64_MIN}), parse_primary_status_request) ==
          "");
    // The feedback of servers before version 10 had no catalog xmin.
    CHECK(parse_hot_standby_feedback(buffer(17)).code() == errc::stream_malformed);
    CHECK(parse_standby_status_update(buffer(33)).code() == errc::stream_malformed);
    const buffer status = body_of(standby_status_update{{4}, {3}, {2}, 1, false});
    const auto read = parse_standby_status_update(status);
    REQUIRE(read);
    CHECK(read->written == lsn{4});
    CHECK(read->flushed == lsn{3});
    CHECK(read->applied == lsn{2});
    CHECK(read->sent_at == 1);
}

TEST_CASE("a transaction identifier is put together from its two halves") {
    const buffer whole = hex("'h' 0000000000000000 00000001 00000002 fffffffe ffffffff");
    const auto read = parse_hot_standby_feedback(whole);
    REQUIRE(read);
    CHECK(read->xmin == 0x00000002'00000001);
    CHECK(read->catalog_xmin == 0xffffffff'fffffffe);
}

TEST_CASE("a WAL message's head is 25 bytes, whatever payload follows") {
    const buffer head = body(written([](writer& out) {
        put(out, wal_data_head{{1}, {2}, -3}, 0);
    }));
    for (std::size_t size = 0; size < 60; ++size) {
        const support::guarded data(size);
        std::memcpy(data.data(), head.data(), std::min(size, head.size()));
        const auto read = parse_wal_data_head(data.span());
        CHECK(read.code() == (size < 25 ? errc::stream_malformed : errc::none));
        if (!read) continue;
        CHECK(read->start == lsn{1});
        CHECK(read->server_end == lsn{2});
        CHECK(read->sent_at == -3);
    }
    // The header announces the payload that the caller will write behind it.
    for (const std::uint32_t payload : {0u, 1u, wal_payload_max, 0x7fffffffu - 29u}) {
        const buffer whole = written([&](writer& out) { put(out, wal_data_head{}, payload); });
        CHECK(whole.size() == 30);
        CHECK(load<std::uint32_t>(whole.data() + 1) == 4 + 25 + payload);
    }
}

TEST_CASE("which part of a CopyData is head depends on the content and on its first byte") {
    for (int first = 0; first < 256; ++first) {
        const auto byte = static_cast<std::uint8_t>(first);
        CHECK(copy_head_size(copy_content::whole, byte) == whole_copy_data);
        CHECK(copy_head_size(copy_content::raw, byte) == 0);
        CHECK(copy_head_size(copy_content::wal, byte) == (first == 'w' ? 25 : whole_copy_data));
        CHECK(copy_head_size(copy_content::entries, byte) == (first == 1 ? 21 : whole_copy_data));
    }
    static_assert(copy_head_size(copy_content::wal, 'w') == wal_data_head_size);
    static_assert(copy_head_size(copy_content::entries, 1) == entry_batch_head_size);
}

TEST_CASE("every recorded stream message is read, and written again as it was") {
    std::map<char, std::size_t> read;
    std::map<char, std::size_t> odd;
    for (const std::string& name : support::transcripts()) {
        CAPTURE(name);
        bool streams = false;
        for (const recorded::spoken& each : recorded::load(name).messages) {
            const bool opens = each.said == message::copy_both_response ||
                               each.said == message::copy_out_response ||
                               each.said == message::copy_in_response;
            if (opens) streams = each.said == message::copy_both_response;
            if (each.tag != copy_data_tag || !streams) continue; // no backup, nor a manifest
            REQUIRE(!each.body.empty());
            const char kind = static_cast<char>(each.body[0]);
            const buffer original = spelled::of(each.body);
            ++read[kind];
            switch (kind) {
            case 'w': {
                const auto head = parse_wal_data_head(each.body);
                REQUIRE(head);
                const auto payload =
                    static_cast<std::uint32_t>(each.body.size() - wal_data_head_size);
                CHECK(payload <= wal_payload_max);
                const buffer again = written([&](writer& out) { put(out, *head, payload); });
                CHECK(load<std::uint32_t>(again.data() + 1) == each.body.size() + 4);
                CHECK(buffer(again.begin() + 5, again.end()) ==
                      buffer(original.begin(), original.begin() + 25));
                break;
            }
            case 'k': CHECK(body_of(*parse_primary_keepalive(each.body)) == original); break;
            case 'r': CHECK(body_of(*parse_standby_status_update(each.body)) == original); break;
            case 'h': CHECK(body_of(*parse_hot_standby_feedback(each.body)) == original); break;
            default: ++odd[kind];
            }
        }
    }
    CHECK(odd.empty());
    CHECK(read['w'] > 300);
    CHECK(read['k'] > 30);
    CHECK(read['r'] > 100);
    CHECK(read['h'] > 5);
}

TEST_CASE("reading and writing stream messages does not allocate") {
    std::byte room[256];
    support::no_alloc scope;
    writer out(room);
    put(out, wal_data_head{{1}, {2}, 3}, 10);
    put(out, primary_keepalive{});
    put(out, standby_status_update{});
    put(out, hot_standby_feedback{});
    if (!parse_wal_data_head(out.written().subspan(5))) FAIL("a head");
}
