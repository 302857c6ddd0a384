#include <walwire/wire/outbox.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "support/guard.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"
#include "wire/spelled.hpp"

using namespace walwire;
using namespace walwire::wire;

namespace {

errc say(outbox& box, std::string_view text) {
    return box.put([&](writer& out) { out.append(text); });
}
errc whisper(outbox& box, std::string_view text) {
    return box.put_secret([&](writer& out) { out.append(text); });
}

bool holds(const support::guarded& room, std::string_view text) {
    return as_text(bytes(room)).find(text) != std::string_view::npos;
}

} // namespace

TEST_CASE("messages wait in order until they are written") {
    const support::guarded room(16);
    outbox box(room.span());
    CHECK(box.empty());
    CHECK(box.capacity() == 16);
    CHECK(box.waiting().empty());
    CHECK(say(box, "one") == errc::none);
    CHECK(say(box, "two") == errc::none);
    CHECK(!box.empty());
    CHECK(as_text(box.waiting()) == "onetwo");
    box.consume(2);
    CHECK(as_text(box.waiting()) == "etwo");
    CHECK(say(box, "three") == errc::none);
    CHECK(as_text(box.waiting()) == "etwothree");
    box.consume(0);
    CHECK(as_text(box.waiting()) == "etwothree");
    box.consume(9);
    CHECK(box.empty());
}

TEST_CASE("what waits does not move until it is consumed") {
    const support::guarded room(16);
    outbox box(room.span());
    CHECK(say(box, "abc") == errc::none);
    const std::byte* const at = box.waiting().data();
    CHECK(say(box, "def") == errc::none);
    CHECK(say(box, "this is too long") == errc::output_full);
    CHECK(box.waiting().data() == at);
    CHECK(as_text(box.waiting()) == "abcdef");
}

TEST_CASE("a message goes in whole or not at all") {
    const support::guarded room(8);
    outbox box(room.span());
    CHECK(say(box, "12345678") == errc::none); // to the last byte
    CHECK(say(box, "9") == errc::output_full);
    CHECK(say(box, "") == errc::none);
    CHECK(as_text(box.waiting()) == "12345678");
    box.consume(1);
    CHECK(say(box, "90") == errc::output_full);
    CHECK(as_text(box.waiting()) == "2345678");
    CHECK(say(box, "9") == errc::none);
    CHECK(as_text(box.waiting()) == "23456789");
    box.clear();
    CHECK(box.empty());
    // With nothing in the way it can never fit.
    CHECK(say(box, "123456789") == errc::argument_too_long);
    CHECK(box.empty());
}

TEST_CASE("the code of a message that refuses itself is handed on, and nothing is kept") {
    const support::guarded room(8);
    outbox box(room.span());
    CHECK(say(box, "ab") == errc::none);
    const errc code = box.put([](writer& out) {
        out.append("cd");
        return errc::name_invalid;
    });
    CHECK(code == errc::name_invalid);
    CHECK(as_text(box.waiting()) == "ab");
    CHECK(box.put([](writer& out) {
        out.append("cd");
        return errc::none;
    }) == errc::none);
    CHECK(as_text(box.waiting()) == "abcd");
    // A code of its own comes before that of a room that was too small.
    CHECK(box.put([](writer& out) {
        out.append("too much for this");
        return errc::option_invalid;
    }) == errc::option_invalid);
}

TEST_CASE("a message that says by itself that it does not fit is judged like one that does not") {
    const support::guarded room(8);
    outbox box(room.span());
    const auto too_large = [](writer&) { return errc::output_full; };
    CHECK(box.put(too_large) == errc::argument_too_long);
    CHECK(box.put_secret(too_large) == errc::argument_too_long);
    CHECK(say(box, "1") == errc::none);
    CHECK(box.put(too_large) == errc::output_full);
}

TEST_CASE("an outbox without room takes nothing but nothing") {
    outbox box(mutable_bytes{});
    CHECK(say(box, "") == errc::none);
    CHECK(say(box, "a") == errc::argument_too_long);
    box.consume(5);
    CHECK(box.empty());
}

TEST_CASE("more than waits cannot be consumed") {
    const support::guarded room(8);
    outbox box(room.span());
    CHECK(say(box, "abc") == errc::none);
    box.consume(SIZE_MAX);
    CHECK(box.empty());
    CHECK(say(box, "12345678") == errc::none);
}

TEST_CASE("a secret leaves nothing behind, however it is written") {
    for (std::size_t step = 1; step <= 20; ++step) {
        CAPTURE(step);
        const support::guarded room(32);
        std::memset(room.data(), '.', room.size());
        outbox box(room.span());
        CHECK(say(box, "open ") == errc::none);
        CHECK(whisper(box, "hunter2") == errc::none);
        CHECK(say(box, " open") == errc::none);
        CHECK(as_text(box.waiting()) == "open hunter2 open");
        while (!box.empty()) box.consume(step);
        CHECK(!holds(room, "hunter2"));
        CHECK(!holds(room, "unter"));
        CHECK(!holds(room, "ter2"));
        // What was in the room before it was not ours to wipe.
        CHECK(as_text(bytes(room)).substr(17) == "...............");
    }
}

TEST_CASE("a secret that is refused leaves nothing behind either") {
    const support::guarded room(16);
    outbox box(room.span());
    CHECK(say(box, "waiting") == errc::none);
    const errc full = box.put_secret([](writer& out) {
        out.append("hunter2");
        out.append("and more");
    });
    CHECK(full == errc::output_full);
    CHECK(!holds(room, "hunter2"));
    const errc own = box.put_secret([](writer& out) {
        out.append("hunter2");
        return errc::crypto_failed;
    });
    CHECK(own == errc::crypto_failed);
    CHECK(!holds(room, "hunter2"));
    CHECK(as_text(box.waiting()) == "waiting");
}

TEST_CASE("clearing wipes secrets too") {
    const support::guarded room(16);
    outbox box(room.span());
    CHECK(whisper(box, "hunter2") == errc::none);
    box.clear();
    CHECK(box.empty());
    CHECK(!holds(room, "hunter2"));
    CHECK(!holds(room, "unter"));
}

TEST_CASE("at random it behaves like a text that grows at the end and shrinks at the front") {
    support::prng random(3);
    const support::guarded room(64);
    outbox box(room.span());
    std::string model;
    std::size_t full = 0;
    for (int step = 0; step < 20'000; ++step) {
        if (random.chance(1, 2)) {
            const std::string text(random.below(30), static_cast<char>('a' + random.below(26)));
            const errc code = random.chance(1, 4) ? whisper(box, text) : say(box, text);
            if (model.size() + text.size() <= 64) {
                CHECK(code == errc::none);
                model += text;
            } else {
                CHECK(code == errc::output_full);
                ++full;
            }
        } else {
            const std::size_t size = random.below(40);
            box.consume(size);
            model.erase(0, size);
        }
        CHECK(as_text(box.waiting()) == model);
    }
    CHECK(full > 100);
}

TEST_CASE("an outbox does not allocate") {
    const support::guarded room(64);
    support::no_alloc scope;
    outbox box(room.span());
    static_cast<void>(box.put_secret([](writer& out) noexcept { out.append("secret"); }));
    static_cast<void>(box.put([](writer& out) noexcept { out.u32(7); }));
    box.consume(3);
    box.clear();
}
