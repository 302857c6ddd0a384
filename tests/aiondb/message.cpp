#include <walwire/aiondb/message.hpp>

#include <doctest/doctest.h>

#include <string>
#include <type_traits>

#include "aiondb/words.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"
#include "wire/spelled.hpp"

using namespace walwire;
using namespace walwire::aiondb;
using spelled::body;
using spelled::buffer;
using spelled::hex;
using spelled::written;

namespace {

template <class Message>
buffer said(const Message& message) {
    return written([&](writer& out) { put(out, message); });
}
// A batch as the framer brings it: its head, and how much follows.
result<batch_head> head_of(const buffer& content) {
    const std::size_t head = std::min(content.size(), batch_head_size);
    return parse_batch_head(bytes(content).first(head), content.size() - head);
}
buffer with_size(buffer content, std::uint32_t size) {
    store<std::uint32_t, std::endian::little>(content.data() + 1, size);
    return content;
}

struct kind {
    buffer content;
    errc (*decode)(bytes);
};
const kind fixed_kinds[] = {
    {entries::status(3, 2, 1), [](bytes in) { return parse_standby_status_update(in).code(); }},
    {entries::keepalive(9, 8, 1), [](bytes in) { return parse_keepalive(in).code(); }},
    {entries::keepalive_reply(7), [](bytes in) { return parse_keepalive_reply(in).code(); }},
};

} // namespace

static_assert(!std::is_convertible_v<entry_lsn, lsn> && !std::is_convertible_v<lsn, entry_lsn>);
static_assert(std::is_trivially_copyable_v<batch_head>);

TEST_CASE(
    "messages are the bytes that AionDB's ends send, little-endian inside a big-endian CopyData") {
    CHECK(said(batch_head{{0x0102030405060708}, {0x1112131415161718}, 3}) ==
          hex("64 0000001c 01 13000000 0807060504030201 1817161514131211"));
    CHECK(said(standby_status_update{{0x0102030405060708}, {0x0102030405060707}, {5}}) ==
          hex("64 00000021 02 18000000 0807060504030201 0707060504030201 0500000000000000"));
    CHECK(said(keepalive{{0x0102030405060708}, 0x1112131415161718, true}) ==
          hex("64 0000001a 03 11000000 0807060504030201 1817161514131211 01"));
    CHECK(said(keepalive{{1}, 2, false}) ==
          hex("64 0000001a 03 11000000 0100000000000000 0200000000000000 00"));
    CHECK(said(keepalive_reply{0x0102030405060708}) ==
          hex("64 00000011 04 08000000 0807060504030201"));
}

TEST_CASE("the same bytes are read into what they say") {
    const auto batch = head_of(hex("01 13000000 0807060504030201 1817161514131211 'abc'"));
    REQUIRE(batch);
    CHECK(batch->first == entry_lsn{0x0102030405060708});
    CHECK(batch->last == entry_lsn{0x1112131415161718});
    CHECK(batch->size == 3);
    const auto status = parse_standby_status_update(
        hex("02 18000000 0807060504030201 0707060504030201 0500000000000000"));
    REQUIRE(status);
    CHECK(status->written == entry_lsn{0x0102030405060708});
    CHECK(status->flushed == entry_lsn{0x0102030405060707});
    CHECK(status->applied == entry_lsn{5});
    const auto alive = parse_keepalive(hex("03 11000000 0807060504030201 1817161514131211 01"));
    REQUIRE(alive);
    CHECK(alive->end == entry_lsn{0x0102030405060708});
    CHECK(alive->sent_at == 0x1112131415161718);
    CHECK(alive->reply_requested);
    const auto reply = parse_keepalive_reply(hex("04 08000000 0807060504030201"));
    REQUIRE(reply);
    CHECK(reply->sent_at == 0x0102030405060708);
}

TEST_CASE("each message has its tag and its size") {
    CHECK(static_cast<int>(tag::batch) == 1);
    CHECK(static_cast<int>(tag::standby_status_update) == 2);
    CHECK(static_cast<int>(tag::keepalive) == 3);
    CHECK(static_cast<int>(tag::keepalive_reply) == 4);
    CHECK(body(said(standby_status_update{})).size() == message_header_size + 24);
    CHECK(body(said(keepalive{})).size() == message_header_size + 17);
    CHECK(body(said(keepalive_reply{})).size() == message_header_size + 8);
    CHECK(said(batch_head{}).size() == wire::header_size + batch_head_size);
    CHECK(batch_head_size == 21);
    CHECK(payload_size_max == 8'388'608);
    CHECK(batch_entries_max == 1024);
    CHECK(batch_size_max == 1'048'576);
}

TEST_CASE("the largest batch fits into the payload and into a CopyData of 8 MiB") {
    CHECK(16 + entries_size_max <= payload_size_max);
    CHECK(batch_head_size + entries_size_max == 8'388'608);
}

TEST_CASE("who fills a batch is stopped at 1024 entries and at 1 MiB") {
    batch_room small;
    for (int i = 0; i < 1024; ++i) CHECK(small.take(9));
    CHECK(!small.take(9));
    CHECK(small.entries() == 1024);
    CHECK(small.size() == 1024 * 9);
    batch_room large;
    for (int i = 0; i < 16; ++i) CHECK(large.take(64 * 1024));
    CHECK(!large.take(1));
    CHECK(large.entries() == 16);
    CHECK(large.size() == 1'048'576);
    batch_room nearly;
    CHECK(nearly.take(1'048'575));
    CHECK(!nearly.take(2));
    CHECK(nearly.take(1));
    CHECK(nearly.size() == 1'048'576);
    // An entry that is larger by itself goes alone; one that no batch can hold does not go at all.
    batch_room alone;
    CHECK(alone.take(entries_size_max));
    CHECK(!alone.take(0));
    CHECK(!alone.take(1));
    CHECK(alone.entries() == 1);
    batch_room never_filled;
    CHECK(!never_filled.take(entries_size_max + 1));
    CHECK(never_filled.entries() == 0);
    CHECK(never_filled.take(9));
}

TEST_CASE("LSNs name entries: 0 is none, 1 the first, and they print as %X/%08X") {
    CHECK(!entry_lsn{}.valid());
    CHECK(first_entry == entry_lsn{1});
    CHECK(entry_lsn{2} < entry_lsn{3});
    CHECK(entry_lsn{7}.as_position() == lsn{7});
    CHECK(std::string_view(to_text(entry_lsn{1})) == "0/00000001");
    CHECK(std::string_view(to_text(entry_lsn{0x1'0000'00AB})) == "1/000000AB");
    CHECK(std::string_view(to_text(entry_lsn{UINT64_MAX})) == "FFFFFFFF/FFFFFFFF");
}

TEST_CASE("a status is exactly 24 bytes, a keepalive 17 and a reply to one 8") {
    for (const kind& each : fixed_kinds) {
        CHECK(each.decode(each.content) == errc::none);
        const std::size_t size = each.content.size() - message_header_size;
        for (std::uint32_t other = 0; other < 40; ++other) {
            if (other == size) continue;
            const buffer wrong = entries::tagged(1, buffer(other));
            CHECK(each.decode(wrong) == errc::entry_size_invalid);
        }
    }
}

TEST_CASE("no bytes trail a message: its size and its CopyData's agree") {
    for (const kind& each : fixed_kinds) {
        CHECK(each.decode(each.content + hex("00")) == errc::entry_size_mismatch);
        const auto size = static_cast<std::uint32_t>(each.content.size() - message_header_size);
        for (const std::uint32_t announced : {0u, size - 1, size + 1, 8'388'608u})
            CHECK(each.decode(with_size(each.content, announced)) == errc::entry_size_mismatch);
        spelled::each_truncation(each.content, [&](bytes shorter) {
            CHECK(each.decode(shorter) == errc::entry_size_mismatch);
        });
    }
    const buffer whole = entries::entry_batch(4, 6);
    CHECK(head_of(whole));
    CHECK(head_of(whole + hex("00")).code() == errc::entry_size_mismatch);
    CHECK(head_of(with_size(whole, 16)).code() == errc::entry_size_mismatch);
    spelled::each_truncation(whole, [&](bytes shorter) {
        CHECK(head_of(spelled::of(shorter)).code() == errc::entry_size_mismatch);
    });
}

TEST_CASE("a payload is at most 8 MiB, whatever stands behind it") {
    for (const kind& each : fixed_kinds) {
        for (const std::uint32_t announced : {8'388'609u, 0x7fffffffu, 0xffffffffu})
            CHECK(each.decode(with_size(each.content, announced)) == errc::entry_too_large);
    }
    const buffer head = entries::batch(1, 2, {});
    const buffer largest = with_size(head, 8'388'608);
    CHECK(parse_batch_head(largest, 8'388'608 - 16)->size == 8'388'608 - 16);
    const buffer larger = with_size(head, 8'388'609);
    CHECK(parse_batch_head(larger, 8'388'609 - 16).code() == errc::entry_too_large);
    CHECK(parse_batch_head(with_size(head, 0xffffffff), 5).code() == errc::entry_too_large);
}

TEST_CASE("a batch holds at least one entry") {
    CHECK(head_of(entries::batch(1, 1, {})).code() == errc::entry_batch_empty);
    CHECK(head_of(entries::batch(1, 1, hex("00"))));
    // Without room for its own positions it has no entry either.
    for (std::size_t size = 0; size < 16; ++size) {
        const buffer small = entries::tagged(1, buffer(size));
        CHECK(head_of(small).code() == errc::entry_batch_empty);
    }
}

TEST_CASE("a batch's first entry does not lie behind its last") {
    for (const auto& [first, last] : {std::pair{5u, 5u}, std::pair{5u, 6u}, std::pair{1u, 1000u}})
        CHECK(head_of(entries::batch(first, last, hex("00"))));
    CHECK(head_of(entries::batch(6, 5, hex("00"))).code() == errc::entry_batch_backwards);
    CHECK(head_of(entries::batch(UINT64_MAX, 0, hex("00"))).code() == errc::entry_batch_backwards);
    CHECK(head_of(entries::batch(0, 3, hex("00"))).code() == errc::entry_number_zero);
    CHECK(head_of(entries::batch(0, 0, hex("00"))).code() == errc::entry_number_zero);
    CHECK(head_of(entries::batch(UINT64_MAX, UINT64_MAX, hex("00"))));
}

TEST_CASE("a status is ordered: apply <= flush <= write") {
    const auto code = [](std::uint64_t written, std::uint64_t flushed, std::uint64_t applied) {
        return parse_standby_status_update(entries::status(written, flushed, applied)).code();
    };
    CHECK(code(0, 0, 0) == errc::none);
    CHECK(code(7, 7, 7) == errc::none);
    CHECK(code(UINT64_MAX, 7, 0) == errc::none);
    CHECK(code(7, 8, 8) == errc::entry_status_disordered);
    CHECK(code(7, 8, 0) == errc::entry_status_disordered);
    CHECK(code(9, 7, 8) == errc::entry_status_disordered);
    CHECK(code(0, 0, 1) == errc::entry_status_disordered);
}

TEST_CASE("reply_requested is 0 or 1, else an error") {
    for (unsigned flag = 0; flag < 256; ++flag) {
        const auto read =
            parse_keepalive(entries::keepalive(1, 2, static_cast<std::uint8_t>(flag)));
        if (flag > 1) {
            CHECK(read.code() == errc::entry_flag_invalid);
        } else {
            REQUIRE(read);
            CHECK(read->reply_requested == (flag == 1));
        }
    }
}

TEST_CASE("what is read encodes to the same bytes, after any flip as well") {
    // The tag is for the caller to look at, so the flips begin behind it.
    const auto flaw = [](const buffer& whole, auto&& decode) {
        const bytes rest = bytes(whole).subspan(1);
        return spelled::flaw_in_fixpoint(
            spelled::of(rest), [&](bytes in) { return decode(buffer{whole[0]} + spelled::of(in)); },
            [](writer& out, const auto& message) {
                const buffer again = body(said(message));
                out.u8(0);
                out.u32(static_cast<std::uint32_t>(again.size() - 1 + 4));
                out.append(bytes(again).subspan(1));
            });
    };
    CHECK(flaw(entries::status(0x300, 0x200, 0x100), parse_standby_status_update) == "");
    CHECK(flaw(entries::keepalive(0x300, 0x200, 0), parse_keepalive) == "");
    CHECK(flaw(entries::keepalive_reply(0x1234), parse_keepalive_reply) == "");
    std::size_t taken = 0;
    spelled::each_flip(entries::entry_batch(9, 12), [&](bytes flipped) {
        const buffer content = spelled::of(flipped);
        const auto head = head_of(content);
        if (!head || content[0] != std::byte{1}) return;
        ++taken;
        CHECK(body(said(*head) + spelled::of(bytes(content).subspan(21))) == content);
    });
    CHECK(taken > 100);
}

TEST_CASE("nothing is allocated by reading and writing") {
    std::array<std::byte, 256> room;
    const buffer status = entries::status(3, 2, 1);
    const buffer alive = entries::keepalive(3, 2, 1);
    const buffer batch = entries::batch(1, 2, {});
    support::allocations made;
    writer out(room);
    put(out, *parse_standby_status_update(status));
    put(out, *parse_keepalive(alive));
    put(out, keepalive_reply{1});
    put(out, batch_head{{1}, {2}, 3});
    const bool empty = !parse_batch_head(batch, 0);
    const auto count = made.count();
    CHECK(count == 0);
    CHECK(empty);
    CHECK(out.ok());
}
