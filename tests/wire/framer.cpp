#include <walwire/wire/framer.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "support/exhaustive.hpp"
#include "support/guard.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"
#include "wire/spelled.hpp"

using namespace walwire;
using namespace walwire::wire;
using spelled::buffer;
using spelled::hex;

namespace {

constexpr copy_content contents[] = {copy_content::whole, copy_content::wal, copy_content::entries,
                                     copy_content::raw};

buffer message(char tag, const buffer& body) {
    buffer whole(5);
    whole[0] = std::byte(tag);
    store(whole.data() + 1, static_cast<std::uint32_t>(body.size() + 4));
    return whole + body;
}
buffer announced(char tag, std::uint32_t length) {
    buffer header(5);
    header[0] = std::byte(tag);
    store(header.data() + 1, length);
    return header;
}
buffer filled(std::size_t size, char with = 'x') {
    return buffer(size, std::byte(with));
}

std::string shown(bytes data) {
    if (data.size() <= 40) return spelled::text(data);
    std::uint64_t sum = 14695981039346656037u;
    for (const std::byte each : data)
        sum = (sum ^ std::to_integer<std::uint64_t>(each)) * 1099511628211u;
    return std::to_string(data.size()) + " bytes, sum " + std::to_string(sum);
}

// A CHECK that costs nothing while it holds, for what is asked a million times.
void expect(bool holds, const char* what) {
    if (!holds) FAIL_CHECK(what);
}

// Pieces as text, with the runs of one body joined: only where runs are cut may follow the chunks.
class account {
  public:
    void add(const framer& from, const piece& got) {
        switch (got.kind) {
        case piece_kind::none: text_ += "none?\n"; break;
        case piece_kind::message:
            text_ += "message " + std::to_string(got.tag) + " at " + std::to_string(from.began()) +
                     ": " + shown(got.data) + "\n";
            expect(got.left == 0, "a message is whole");
            break;
        case piece_kind::head:
            text_ += "head " + std::to_string(got.tag) + " at " + std::to_string(from.began()) +
                     ": " + shown(got.data) + ", body of " + std::to_string(got.left) + "\n";
            expect(got.left > 0, "a head has a body");
            left_ = got.left;
            body_.clear();
            break;
        case piece_kind::run:
            expect(!got.data.empty() && got.tag == 'd', "a run is a part of a CopyData");
            expect(got.data.size() <= left_, "runs end with their body");
            left_ -= static_cast<std::uint32_t>(got.data.size());
            expect(got.left == left_, "what is left is counted");
            body_.insert(body_.end(), got.data.begin(), got.data.end());
            if (left_ == 0) text_ += "body " + shown(body_) + "\n";
            break;
        case piece_kind::refused:
            text_ += "refused " + std::string(text_of(got.code)) + " at " +
                     std::to_string(from.began()) + "\n";
            break;
        }
        expect((got.code != errc::none) == (got.kind == piece_kind::refused), "a code refuses");
    }
    std::string text() const {
        return left_ == 0 ? text_ : text_ + "and " + shown(body_) + " of a body\n";
    }

  private:
    static std::string_view text_of(errc code) { return walwire::text(code); }

    std::string text_;
    buffer body_;
    std::uint32_t left_ = 0;
};

// One run of a framer over chunks, on a stash that ends at an inaccessible page.
std::string run(support::chunks& input, const framing& rule, std::size_t stash_size) {
    const support::guarded stash(stash_size);
    framer cut(stash.span());
    account seen;
    std::uint64_t fed = 0;
    while (const auto chunk = input.next()) {
        fed += chunk->size();
        bytes in = *chunk;
        for (;;) {
            const piece got = cut.next(in, rule);
            expect(cut.eaten() + in.size() == fed, "every byte is counted");
            if (got.kind == piece_kind::none) {
                expect(in.empty(), "no piece means no input");
                break;
            }
            seen.add(cut, got);
            if (got.kind != piece_kind::refused) continue;
            // It is refused again and again, and no more is eaten.
            const std::uint64_t eaten = cut.eaten();
            expect(cut.next(in, rule).code == got.code, "a refusal stays");
            expect(cut.eaten() == eaten, "a refusal eats nothing");
            while (input.next()) {
            }
            return seen.text();
        }
    }
    return seen.text() + (cut.at_boundary() ? "at a boundary" : "in a message");
}

std::string difference(const buffer& input, const framing& rule, std::size_t stash_size,
                       std::size_t splits_max = SIZE_MAX) {
    return support::difference(
        bytes(input), [&](support::chunks& feed) { return run(feed, rule, stash_size); },
        splits_max);
}

std::string whole(const buffer& input, const framing& rule, std::size_t stash_size) {
    return support::rendering(bytes(input), {input.size() + 1},
                              [&](support::chunks& feed) { return run(feed, rule, stash_size); });
}

// What the pieces must be, from the messages that the stream was made of.
struct sent {
    char tag;
    buffer body;
};
std::string expected(const std::vector<sent>& messages, const framing& rule) {
    std::string text;
    std::uint64_t at = 0;
    for (const sent& each : messages) {
        const std::size_t size = each.body.size();
        std::size_t head = size; // all of it
        if (each.tag == 'd' && size > 0) {
            if (rule.content == copy_content::raw) head = 0;
            if (rule.content == copy_content::wal && each.body[0] == std::byte{'w'} && size > 25)
                head = 25;
            if (rule.content == copy_content::entries && each.body[0] == std::byte{1} && size > 21)
                head = 21;
        }
        const bytes body = each.body;
        const std::string place = " " + std::to_string(static_cast<unsigned char>(each.tag)) +
                                  " at " + std::to_string(at) + ": ";
        if (head == size) {
            text += "message" + place + shown(body) + "\n";
        } else {
            text += "head" + place + shown(body.first(head)) + ", body of " +
                    std::to_string(size - head) + "\nbody " + shown(body.subspan(head)) + "\n";
        }
        at += 5 + size;
    }
    return text + "at a boundary";
}

constexpr framing rule_of(copy_content content) {
    return {200, 100'000, content};
}

std::vector<sent> random_messages(support::prng& random, std::size_t count) {
    std::vector<sent> messages;
    for (std::size_t i = 0; i < count; ++i) {
        sent each{static_cast<char>(random.below(256)), {}};
        if (random.chance(2, 3)) each.tag = 'd';
        std::size_t size = random.chance(1, 3) ? random.between(20, 27) : random.below(120);
        each.body.resize(size);
        random.fill(each.body);
        if (size > 0) each.body[0] = std::byte("wdk\1\3"[random.below(5)]);
        messages.push_back(std::move(each));
    }
    return messages;
}

buffer stream_of(const std::vector<sent>& messages) {
    buffer stream;
    for (const sent& each : messages) stream = stream + message(each.tag, each.body);
    return stream;
}

} // namespace

TEST_CASE("a mixed stream gives the same pieces however it is cut") {
    std::size_t streams = 0;
    for (const copy_content content : contents) {
        for (std::uint64_t seed = 0; seed < 6; ++seed) {
            CAPTURE(static_cast<int>(content));
            CAPTURE(seed);
            support::prng random(seed * 4 + static_cast<std::uint64_t>(content));
            const auto messages = random_messages(random, 7);
            const buffer stream = stream_of(messages);
            CHECK(whole(stream, rule_of(content), 256) == expected(messages, rule_of(content)));
            CHECK(difference(stream, rule_of(content), 256) == "");
            ++streams;
        }
    }
    CHECK(streams == 24);
}

TEST_CASE("long streams in random chunks give what they were made of") {
    for (const copy_content content : contents) {
        support::prng random(100 + static_cast<std::uint64_t>(content));
        for (int round = 0; round < 30; ++round) {
            const auto messages = random_messages(random, 60);
            const buffer stream = stream_of(messages);
            std::vector<std::size_t> sizes;
            for (int i = 0; i < 2000; ++i)
                sizes.push_back(1 + random.below(random.chance(1, 2) ? 8 : 300));
            const std::string seen =
                support::rendering(bytes(stream), sizes, [&](support::chunks& feed) {
                    return run(feed, rule_of(content), 205);
                });
            CHECK(seen == expected(messages, rule_of(content)));
        }
    }
}

TEST_CASE("the example of the header's picture is cut as it says") {
    const buffer head = hex("'w'") + filled(24, 'h');
    const buffer stream = message('Z', hex("'I'")) + message('d', head + filled(131'072, 'W')) +
                          message('d', hex("'k'") + filled(17, 'k'));
    const framing rule{16'379, 8 << 20, copy_content::wal};
    const std::vector<sent> messages = {
        {'Z', hex("'I'")}, {'d', head + filled(131'072, 'W')}, {'d', hex("'k'") + filled(17, 'k')}};
    CHECK(whole(stream, rule, 16'384) == expected(messages, rule));
    CHECK(difference(stream, rule, 16'384, 40) == "");
}

TEST_CASE("CopyData around the size of its head, in every content") {
    for (const copy_content content : contents) {
        for (const std::size_t size : {0u, 1u, 2u, 20u, 21u, 22u, 24u, 25u, 26u, 27u}) {
            for (const char first : {'w', 'd', 'k', '\1', '\3'}) {
                CAPTURE(static_cast<int>(content));
                CAPTURE(size);
                CAPTURE(first);
                buffer body = filled(size, 'b');
                if (size > 0) body[0] = std::byte(first);
                const std::vector<sent> messages = {{'Z', hex("'I'")}, {'d', body}, {'c', {}}};
                const buffer stream = stream_of(messages);
                CHECK(whole(stream, rule_of(content), 205) == expected(messages, rule_of(content)));
                CHECK(difference(stream, rule_of(content), 205) == "");
            }
        }
    }
}

TEST_CASE("a CopyData of exactly its head is a message, and one byte more is a head") {
    support::guarded stash(framer::stash_size_least);
    const auto first = [&](const buffer& stream, copy_content content) {
        framer cut(stash.span());
        bytes in = stream;
        return cut.next(in, rule_of(content));
    };
    const buffer head = hex("'w'") + filled(24);
    CHECK(first(message('d', head), copy_content::wal).kind == piece_kind::message);
    const piece more = first(message('d', head + filled(1)), copy_content::wal);
    CHECK(more.kind == piece_kind::head);
    CHECK(more.left == 1);
    CHECK(more.data.size() == 25);
    const buffer batch = hex("01") + filled(20);
    CHECK(first(message('d', batch), copy_content::entries).kind == piece_kind::message);
    const piece entries = first(message('d', batch + filled(1)), copy_content::entries);
    CHECK(entries.kind == piece_kind::head);
    CHECK(entries.left == 1);
    CHECK(entries.data.size() == 21);
    // Each content has its own first byte.
    CHECK(first(message('d', hex("'w'") + filled(24)), copy_content::entries).kind ==
          piece_kind::message);
    CHECK(first(message('d', batch + filled(4)), copy_content::wal).kind == piece_kind::message);
    CHECK(first(message('d', {}), copy_content::raw).kind == piece_kind::message);
    const piece raw = first(message('d', filled(1)), copy_content::raw);
    CHECK(raw.kind == piece_kind::head);
    CHECK(raw.data.empty());
    CHECK(raw.left == 1);
    // The same bytes under another tag are nobody's copy.
    CHECK(first(message('D', head), copy_content::raw).kind == piece_kind::message);
}

TEST_CASE("an impossible length is refused at the message that announces it, in every chunking") {
    const buffer before = message('Z', hex("'I'")) + message('C', hex("'SELECT' 00"));
    for (const copy_content content : contents) {
        for (const char tag : {'Z', 'd'}) {
            for (const std::uint32_t length : {0u, 1u, 2u, 3u, 205u, 100'005u, 0x7fffffffu,
                                               0x80000000u, 0xfffffffeu, 0xffffffffu}) {
                CAPTURE(static_cast<int>(content));
                CAPTURE(tag);
                CAPTURE(length);
                const bool streams = tag == 'd' && content != copy_content::whole;
                if (streams && length == 205) continue; // a body that may come
                const errc code = length < 4 ? errc::length_invalid
                                  : streams  ? errc::copy_data_too_large
                                             : errc::message_too_large;
                const buffer stream = before + announced(tag, length) + filled(40, 'w');
                const std::string seen = whole(stream, rule_of(content), 256);
                CHECK(seen.ends_with("refused " + std::string(text(code)) + " at 18\n"));
                CHECK(difference(stream, rule_of(content), 256) == "");
                // It takes no more than the header to refuse it.
                CHECK(whole(before + announced(tag, length), rule_of(content), 256) == seen);
            }
        }
    }
}

TEST_CASE("a message fills the limit and the stash to the byte") {
    struct limit {
        std::uint32_t size_max;
        std::size_t stash;
        std::size_t fits; // the largest body
    };
    for (const limit& each :
         {limit{200, 205, 200}, limit{200, 204, 199}, limit{199, 205, 199}, limit{200, 4096, 200},
          limit{UINT32_MAX, 100, 95}, limit{0, 100, 0}, limit{25, framer::stash_size_least, 25}}) {
        CAPTURE(each.size_max);
        CAPTURE(each.stash);
        for (const char tag : {'T', 'd'}) {
            const framing rule{each.size_max, 100'000, copy_content::whole};
            const std::vector<sent> fitting = {{tag, filled(each.fits)}, {'Z', {}}};
            CHECK(whole(stream_of(fitting), rule, each.stash) == expected(fitting, rule));
            CHECK(difference(stream_of(fitting), rule, each.stash) == "");
            const buffer large = message(tag, filled(each.fits + 1));
            CHECK(whole(large, rule, each.stash) ==
                  "refused " + std::string(text(errc::message_too_large)) + " at 0\n");
            CHECK(difference(large, rule, each.stash) == "");
        }
    }
}

TEST_CASE("a CopyData that streams has a limit of its own, and one that does not has both") {
    const auto refused = [](errc code) { return "refused " + std::string(text(code)) + " at 0\n"; };
    const framing rule{50, 300, copy_content::wal};
    const std::vector<sent> largest = {{'d', hex("'w'") + filled(299)}};
    CHECK(whole(stream_of(largest), rule, 64) == expected(largest, rule));
    CHECK(difference(stream_of(largest), rule, 64) == "");
    const buffer larger = message('d', hex("'w'") + filled(300));
    CHECK(whole(larger, rule, 64) == refused(errc::copy_data_too_large));
    CHECK(difference(larger, rule, 64) == "");
    // A keepalive is a control message, however large CopyData may be.
    const buffer control = message('d', hex("'k'") + filled(50));
    CHECK(whole(control, rule, 64) == refused(errc::message_too_large));
    CHECK(difference(control, rule, 64) == "");
    // Where nothing streams, the limit of CopyData is no matter.
    CHECK(whole(message('d', filled(40)), {50, 0, copy_content::whole}, 64) ==
          "message 100 at 0: " + shown(filled(40)) + "\nat a boundary");
    // Nothing at all may be copied under a limit of 0, but an empty CopyData is nothing.
    CHECK(whole(message('d', filled(1)), {50, 0, copy_content::raw}, 64) ==
          refused(errc::copy_data_too_large));
    CHECK(whole(message('d', {}), {50, 0, copy_content::raw}, 64) ==
          "message 100 at 0: \nat a boundary");
}

TEST_CASE("a stash below the least is refused before anything is kept") {
    for (std::size_t size = 0; size < framer::stash_size_least; ++size) {
        const support::guarded stash(size);
        framer cut(stash.span());
        const buffer stream = message('Z', hex("'I'"));
        for (std::size_t given : {stream.size(), std::size_t{1}}) {
            bytes in = bytes(stream).first(given);
            const piece got = cut.next(in, rule_of(copy_content::wal));
            CHECK(got.kind == piece_kind::refused);
            CHECK(got.code == errc::memory_too_small);
            CHECK(in.size() == given);
        }
    }
}

TEST_CASE("what is there whole is not copied, and a body never is") {
    const buffer stream = message('C', hex("'SELECT' 00")) +
                          message('d', hex("'w'") + filled(24) + filled(1000, 'W')) +
                          message('Z', hex("'I'"));
    const support::guarded stash(64);
    std::memset(stash.data(), 0xa5, stash.size());
    framer cut(stash.span());
    bytes in = stream;
    const std::byte* const first = stream.data();
    const framing rule{100, 10'000, copy_content::wal};
    CHECK(cut.next(in, rule).data.data() == first + 5);
    CHECK(cut.next(in, rule).data.data() == first + 12 + 5);
    CHECK(cut.next(in, rule).data.data() == first + 12 + 30);
    CHECK(cut.next(in, rule).data.data() == first + 12 + 1030 + 5);
    CHECK(in.empty());
    CHECK(cut.at_boundary());
    for (const std::byte each : stash.span()) CHECK(each == std::byte{0xa5});
}

TEST_CASE("a CopyData of one GiB passes through 64 KiB at a time") {
    constexpr std::uint32_t gib = 1u << 30;
    const support::guarded input(64 * 1024);
    std::memset(input.data(), 'W', input.size());
    const support::guarded stash(64);
    framer cut(stash.span());
    const framing rule{59, gib, copy_content::wal};
    std::uint64_t delivered = 0;
    std::size_t runs = 0;
    bool in_place = true;
    {
        support::no_alloc scope;
        std::byte front[30] = {std::byte{'d'}};
        store(front + 1, gib + 4);
        front[5] = std::byte{'w'};
        bytes in(front, sizeof front);
        piece got = cut.next(in, rule);
        in_place = got.kind == piece_kind::head && got.left == gib - 25;
        while (got.left > 0 && in_place) {
            in = bytes(input);
            if (got.left < in.size()) in = in.first(got.left);
            const std::size_t size = in.size();
            got = cut.next(in, rule);
            in_place = got.kind == piece_kind::run && got.data.data() == input.data() &&
                       got.data.size() == size && in.empty();
            delivered += got.data.size();
            ++runs;
        }
    }
    CHECK(in_place);
    CHECK(delivered == gib - 25);
    CHECK(runs == 16'384);
    CHECK(cut.eaten() == std::uint64_t{gib} + 5);
    CHECK(cut.at_boundary());
}

TEST_CASE("the largest length that the wire can say passes where the limits allow it") {
    const support::guarded stash(64);
    framer cut(stash.span());
    const framing rule{59, UINT32_MAX, copy_content::raw};
    const buffer header = announced('d', UINT32_MAX);
    bytes in = header;
    const piece got = cut.next(in, rule);
    CHECK(got.kind == piece_kind::head);
    CHECK(got.left == UINT32_MAX - 4);
    const buffer body = filled(100);
    in = body;
    CHECK(cut.next(in, rule).left == UINT32_MAX - 104);
    CHECK(in.empty());
}

TEST_CASE("a stream that ends anywhere leaves the framer waiting, and it says so") {
    support::prng random(7);
    const auto messages = random_messages(random, 6);
    const buffer stream = stream_of(messages);
    for (const copy_content content : contents) {
        std::vector<bool> boundary(stream.size() + 1);
        std::size_t at = 0;
        for (const sent& each : messages) {
            boundary[at] = true;
            at += 5 + each.body.size();
        }
        boundary[at] = true;
        spelled::each_truncation(stream, [&](bytes shorter) {
            const support::guarded stash(256);
            framer cut(stash.span());
            bytes in = shorter;
            while (cut.next(in, rule_of(content)).kind != piece_kind::none) {
            }
            CHECK(in.empty());
            CHECK(cut.at_boundary() == boundary[shorter.size()]);
            CHECK(cut.eaten() == shorter.size());
        });
    }
}

TEST_CASE("with any byte flipped the pieces are still the same however the stream is cut") {
    support::prng random(11);
    const buffer stream = stream_of(random_messages(random, 3));
    for (const copy_content content :
         {copy_content::wal, copy_content::entries, copy_content::raw}) {
        std::size_t tried = 0;
        for (std::size_t at = 0; at < stream.size(); ++at) {
            for (const int bit : {0, 5}) {
                buffer flipped = stream;
                flipped[at] ^= static_cast<std::byte>(1 << bit);
                CHECK(difference(flipped, rule_of(content), 256, 12) == "");
                ++tried;
            }
        }
        CHECK(tried == 2 * stream.size());
    }
}

TEST_CASE("start-up packets have no tag, and the same care") {
    const auto pieces = [](const buffer& stream, std::uint32_t size_max, std::size_t stash_size) {
        return [=, &stream](std::vector<std::size_t> sizes) {
            return support::rendering(bytes(stream), std::move(sizes), [&](support::chunks& feed) {
                const support::guarded stash(stash_size);
                framer cut(stash.span());
                account seen;
                while (const auto chunk = feed.next()) {
                    bytes in = *chunk;
                    for (;;) {
                        const piece got = cut.next_untagged(in, size_max);
                        if (got.kind == piece_kind::none) break;
                        seen.add(cut, got);
                        if (got.kind != piece_kind::refused) continue;
                        while (feed.next()) {
                        }
                        return seen.text();
                    }
                }
                return seen.text() + (cut.at_boundary() ? "at a boundary" : "in a message");
            });
        };
    };
    const auto agree = [&](const buffer& stream, std::uint32_t size_max, std::size_t stash,
                           const std::string& as) {
        const auto in = pieces(stream, size_max, stash);
        CHECK(in({stream.size() + 1}) == as);
        CHECK(in({1}) == as);
        for (std::size_t at = 1; at < std::min<std::size_t>(stream.size(), 64); ++at)
            CHECK(in({at, stream.size()}) == as);
    };
    agree(hex("00000008 04d2162f 0000000c '12345678'"), 10'000, 64,
          "message 0 at 0: " + spelled::text(hex("04d2162f")) +
              "\nmessage 0 at 8: 12345678\nat a boundary");
    agree(hex("00000004"), 10'000, 64, "message 0 at 0: \nat a boundary");
    agree(hex("00000005"), 10'000, 64, "in a message");
    for (const char* length : {"00000000", "00000001", "00000002", "00000003"})
        agree(hex(length) + filled(9), 10'000, 64,
              "refused " + std::string(text(errc::length_invalid)) + " at 0\n");
    const std::string too_large =
        "refused " + std::string(text(errc::message_too_large)) + " at 0\n";
    for (const char* length :
         {"7fffffff", "80000000", "ffffffff", "00002715", "'GET '", "16030102"})
        agree(hex(length) + filled(9), 10'000, 16'384, too_large);
    // 10004 is the longest packet that a server reads.
    const buffer longest = hex("00002714") + filled(10'000);
    agree(longest, 10'000, 16'384, "message 0 at 0: " + shown(filled(10'000)) + "\nat a boundary");
    agree(longest, 10'000, 10'004, "message 0 at 0: " + shown(filled(10'000)) + "\nat a boundary");
    agree(longest, 10'000, 10'003, too_large);
    // A packet whose fifth byte is 'd' is no CopyData.
    agree(hex("0000000a 'd' 'w' 00000000"), 10'000, 64,
          "message 0 at 0: " + spelled::text(hex("'dw' 00000000")) + "\nat a boundary");
}

TEST_CASE("places in the stream are counted over every way to take bytes") {
    const support::guarded stash(64);
    framer cut(stash.span());
    CHECK(cut.at_boundary());
    CHECK(cut.began() == 0);
    CHECK(cut.eaten() == 0);
    const buffer stream =
        hex("'N'") + message('Z', hex("'I'")) + filled(30 + 10, 'F') + message('Z', hex("'T'"));
    bytes in = stream;
    const framing rule = rule_of(copy_content::wal);
    CHECK(cut.take_byte(in) == std::byte{'N'});
    CHECK(cut.began() == 0);
    CHECK(cut.eaten() == 1);
    CHECK(cut.next(in, rule).kind == piece_kind::message);
    CHECK(cut.began() == 1);
    CHECK(cut.eaten() == 7);
    // The caller decoded the head and 4 bytes of a body of 10 by itself.
    in = in.subspan(34);
    cut.took(34, 6);
    CHECK(cut.began() == 7);
    CHECK(cut.eaten() == 41);
    CHECK(!cut.at_boundary());
    const piece rest = cut.next(in, rule);
    CHECK(rest.kind == piece_kind::run);
    CHECK(rest.data.size() == 6);
    CHECK(rest.left == 0);
    CHECK(cut.began() == 7);
    CHECK(cut.at_boundary());
    CHECK(cut.next(in, rule).kind == piece_kind::message);
    CHECK(cut.began() == 47);
    CHECK(cut.eaten() == stream.size());

    bytes half = bytes(stream).first(3);
    CHECK(cut.next(half, rule).kind == piece_kind::none);
    CHECK(!cut.at_boundary());
    cut.reset();
    CHECK(cut.at_boundary());
    CHECK(cut.eaten() == 0);
    in = bytes(stream).subspan(1);
    CHECK(cut.next(in, rule).kind == piece_kind::message);
}

TEST_CASE("nothing in nothing out") {
    const support::guarded stash(64);
    framer cut(stash.span());
    bytes in;
    CHECK(cut.next(in, rule_of(copy_content::wal)).kind == piece_kind::none);
    CHECK(cut.next_untagged(in, 100).kind == piece_kind::none);
    CHECK(cut.at_boundary());
}
