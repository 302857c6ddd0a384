// Messages for the tests of wire/: as bytes spelled out, as what an encoder wrote, and damaged in
// every place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/bytes.hpp>
#include <walwire/error.hpp>

#include "support/guard.hpp"

namespace spelled {

// A type of our own, so that `+` is found.
struct buffer : std::vector<std::byte> {
    using std::vector<std::byte>::vector;
};

// "52 00000008 'text' 00": bytes in hex, and quoted text as it stands; blanks mean nothing.
inline buffer hex(std::string_view text) {
    buffer spelt;
    int half = -1;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\'') {
            while (++i < text.size() && text[i] != '\'') spelt.push_back(std::byte(text[i]));
            continue;
        }
        const std::size_t digit = std::string_view("0123456789abcdef").find(text[i]);
        if (text[i] == ' ') continue;
        if (digit == std::string_view::npos)
            throw std::runtime_error("not hex: " + std::string(text));
        if (half < 0) {
            half = static_cast<int>(digit);
        } else {
            spelt.push_back(static_cast<std::byte>(half * 16 + static_cast<int>(digit)));
            half = -1;
        }
    }
    if (half >= 0) throw std::runtime_error("half a byte: " + std::string(text));
    return spelt;
}

inline buffer of(walwire::bytes data) {
    return {data.begin(), data.end()};
}
inline buffer of(std::string_view text) {
    return of(walwire::as_bytes(text));
}
inline std::string text(walwire::bytes data) {
    return std::string(walwire::as_text(data));
}

inline buffer operator+(buffer a, const buffer& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

// What an encoder writes, in a room that fits it to the byte: with one byte less it must say so,
// and what it writes must not depend on the room.
template <class Put>
buffer written(Put&& put_into) {
    buffer room(1024);
    walwire::writer wide(room);
    put_into(wide);
    while (!wide.ok()) {
        if (room.size() > 1024 * 1024) throw std::runtime_error("the encoder cannot say this");
        room.resize(2 * room.size());
        wide = walwire::writer(room);
        put_into(wide);
    }
    const support::guarded exact(wide.size());
    walwire::writer narrow(exact.span());
    put_into(narrow);
    if (!narrow.ok() || std::memcmp(narrow.written().data(), room.data(), wide.size()) != 0)
        throw std::runtime_error("the encoder depends on its room");
    for (std::size_t size = 0; size < wide.size(); size += 1 + size / 64) {
        const support::guarded small(size);
        walwire::writer out(small.span());
        put_into(out);
        if (out.ok())
            throw std::runtime_error("the encoder does not say that its room is too small");
    }
    return of(wide.written());
}

// The body of a whole message: the type byte and the length word taken off, and the length checked.
inline buffer body(const buffer& message) {
    if (message.size() < 5) throw std::runtime_error("not a message");
    if (walwire::load<std::uint32_t>(message.data() + 1) != message.size() - 1)
        throw std::runtime_error("the length is wrong");
    return buffer(message.begin() + 5, message.end());
}

// Calls visit with every shorter beginning of the data, each in front of an inaccessible page.
template <class Visit>
void each_truncation(const buffer& whole, Visit&& visit) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const support::guarded shorter(walwire::bytes(whole).first(size));
        visit(walwire::bytes(shorter));
    }
}

// Calls visit with the data after each change of one byte: every bit flipped by itself, and the
// byte set to 0 and to 255.
template <class Visit>
void each_flip(const buffer& whole, Visit&& visit) {
    const support::guarded room{walwire::bytes(whole)};
    for (std::size_t at = 0; at < whole.size(); ++at) {
        const auto was = whole[at];
        for (int bit = 0; bit < 8; ++bit) {
            room.data()[at] = was ^ static_cast<std::byte>(1 << bit);
            visit(walwire::bytes(room));
        }
        for (const auto value : {std::byte{0}, std::byte{0xff}}) {
            room.data()[at] = value;
            visit(walwire::bytes(room));
        }
        room.data()[at] = was;
    }
}

// What a decoder takes must be what encodes to those very bytes, and after a flip what it still
// takes as well. `decode` gives a result; `encode` writes it with its frame. Says what is wrong, if
// anything.
template <class Decode, class Encode>
std::string flaw_in_fixpoint(const buffer& whole, Decode&& decode, Encode&& encode) {
    const auto again = [&](const auto& value) {
        return body(written([&](walwire::writer& out) { encode(out, value); }));
    };
    const auto first = decode(walwire::bytes(whole));
    if (!first) return "it is refused";
    if (again(*first) != whole) return "it encodes to something else";
    std::string found;
    each_flip(whole, [&](walwire::bytes flipped) {
        const auto taken = decode(flipped);
        if (taken && again(*taken) != of(flipped)) found = "a flip encodes to something else";
    });
    return found;
}

// The same for a message whose fields use its body up exactly: every shorter beginning and every
// longer body is refused, with this code.
template <class Decode, class Encode>
std::string flaw(const buffer& whole, walwire::errc code, Decode&& decode, Encode&& encode) {
    std::string found = flaw_in_fixpoint(whole, decode, encode);
    each_truncation(whole, [&](walwire::bytes shorter) {
        if (decode(shorter).code() != code) found = "not refused: " + text(shorter);
    });
    for (const std::byte more : {std::byte{0}, std::byte{'x'}}) {
        if (decode(walwire::bytes(whole + buffer{more})).code() != code)
            found = "one byte more is not refused";
    }
    return found;
}

} // namespace spelled
