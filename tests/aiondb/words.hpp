// AionDB's messages and frames in raw bytes, put together by hand from the tables of its protocol,
// so that nothing of them depends on the encoders of the library; and a log of entries that any
// test can compute.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/aiondb/message.hpp>
#include <walwire/bytes.hpp>

#include "wire/spelled.hpp"

namespace entries {

using namespace walwire;
using spelled::buffer;
using spelled::of;

inline buffer little(std::uint64_t value, std::size_t size) {
    buffer made;
    for (std::size_t i = 0; i < size; ++i) made.push_back(static_cast<std::byte>(value >> 8 * i));
    return made;
}
inline buffer big(std::uint64_t value, std::size_t size) {
    buffer made;
    while (size-- > 0) made.push_back(static_cast<std::byte>(value >> (8 * size)));
    return made;
}

// tag | size | payload, as a message and a frame alike are.
inline buffer tagged(std::uint8_t tag, const buffer& payload) {
    return buffer{std::byte(tag)} + little(payload.size(), 4) + payload;
}
inline buffer copy_data(const buffer& content) {
    return buffer{std::byte{'d'}} + big(content.size() + 4, 4) + content;
}

// What stands inside CopyData while entries stream.
inline buffer batch(std::uint64_t first, std::uint64_t last, const buffer& content) {
    return tagged(1, little(first, 8) + little(last, 8) + content);
}
inline buffer status(std::uint64_t written, std::uint64_t flushed, std::uint64_t applied) {
    return tagged(2, little(written, 8) + little(flushed, 8) + little(applied, 8));
}
inline buffer keepalive(std::uint64_t end, std::uint64_t sent_at, std::uint8_t reply) {
    return tagged(3, little(end, 8) + little(sent_at, 8) + little(reply, 1));
}
inline buffer keepalive_reply(std::uint64_t sent_at) {
    return tagged(4, little(sent_at, 8));
}

// The frames of a base backup.
inline buffer header(std::uint64_t start, std::uint32_t timeline, std::string_view identifier) {
    return tagged(1, little(start, 8) + little(timeline, 4) + little(identifier.size(), 4) +
                         of(identifier));
}
inline buffer file_start(std::string_view path, std::uint64_t size) {
    return tagged(2, little(path.size(), 4) + of(path) + little(size, 8));
}
inline buffer file_data(std::string_view content) {
    return tagged(3, of(content));
}
inline buffer file_end() {
    return tagged(4, {});
}
inline buffer backup_end() {
    return tagged(5, {});
}
inline buffer file(std::string_view path, std::string_view content) {
    buffer made = file_start(path, content.size());
    if (!content.empty()) made = made + file_data(content);
    return made + file_end();
}

// An entry of the log: its number, the size of its text, the text. What it holds follows from its
// number, so that one that is missing, doubled or damaged shows.
inline buffer entry(std::uint64_t number) {
    buffer made = little(number, 8) + little(number * 7 % 23, 1);
    for (std::uint64_t i = 0; i < number * 7 % 23; ++i)
        made.push_back(static_cast<std::byte>(number * 31 + i * 7));
    return made;
}
inline buffer entry_run(std::uint64_t first, std::uint64_t last) {
    buffer made;
    for (std::uint64_t at = first; at <= last; ++at) made = made + entry(at);
    return made;
}
// The batch of these entries, each one more than the one before.
inline buffer entry_batch(std::uint64_t first, std::uint64_t last) {
    return batch(first, last, entry_run(first, last));
}

// The numbers of the entries in a batch's bytes, or nothing if they are not such entries.
inline std::optional<std::vector<std::uint64_t>> entries_in(bytes content) {
    std::vector<std::uint64_t> found;
    while (!content.empty()) {
        if (content.size() < 9) return std::nullopt;
        const auto number = load<std::uint64_t, std::endian::little>(content.data());
        const buffer whole = entry(number);
        if (content.size() < whole.size() ||
            !std::equal(whole.begin(), whole.end(), content.begin()))
            return std::nullopt;
        found.push_back(number);
        content = content.subspan(whole.size());
    }
    return found;
}

} // namespace entries
