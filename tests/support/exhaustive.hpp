// One input in every chunking, with the same events each time.
//
// A machine must not care where a read ended. The test says how one run looks as text; this calls
// it with the input whole, one byte at a time, and cut in two at every place, and says where the
// first run differs from the first one:
//
//     CHECK(support::difference(input, [](support::chunks& input) {
//         std::string seen;
//         machine m(...);
//         while (auto in = input.next()) {
//             while (auto event = m.poll(*in, now)) seen += rendering(*event);
//         }
//         return seen;
//     }) == "");
//
// Each chunk ends at an inaccessible page, and next() overwrites the chunk before it: a machine
// that reads past a chunk, or keeps a view of one, is caught here. A rendering must join what a
// machine may deliver in runs (WAL payloads), since those do follow the chunks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "guard.hpp"

namespace support {

class chunks {
  public:
    // The sizes of the chunks, the last of which repeats until the input is used up.
    chunks(std::span<const std::byte> input, std::vector<std::size_t> sizes, const guarded& room)
        : rest_(input), sizes_(std::move(sizes)), room_(room) {}

    // The next chunk, which is never empty; none at the end of the input. The one before is gone.
    std::optional<std::span<const std::byte>> next() {
        std::memset(chunk_.data(), 0xdd, chunk_.size());
        if (rest_.empty()) return std::nullopt;
        const std::size_t size = std::min(sizes_[std::min(at_++, sizes_.size() - 1)], rest_.size());
        chunk_ = room_.last(size);
        std::memcpy(chunk_.data(), rest_.data(), size);
        rest_ = rest_.subspan(size);
        return chunk_;
    }

  private:
    std::span<const std::byte> rest_;
    std::vector<std::size_t> sizes_;
    std::size_t at_ = 0;
    const guarded& room_;
    std::span<std::byte> chunk_ = room_.last(0);
};

// What one run over the input in these chunk sizes looks like.
template <class Run>
std::string rendering(std::span<const std::byte> input, std::vector<std::size_t> sizes, Run&& run) {
    const guarded room(std::max<std::size_t>(input.size(), 1));
    chunks feed(input, std::move(sizes), room);
    std::string seen = run(feed);
    if (feed.next()) seen += "\n(input was left)";
    return seen;
}

// Empty when every chunking gives the same text; else which does not, and both texts from the first
// difference on. A test over a long input bounds the work by `splits_max`, the number of two-way
// splits to try, which then lie evenly; the default tries all.
template <class Run>
std::string difference(std::span<const std::byte> input, Run&& run,
                       std::size_t splits_max = SIZE_MAX) {
    const std::string whole = rendering(input, {std::max<std::size_t>(input.size(), 1)}, run);
    const auto compared = [&](const std::string& how, std::vector<std::size_t> sizes) {
        const std::string seen = rendering(input, std::move(sizes), run);
        if (seen == whole) return std::string();
        const auto differ = std::mismatch(whole.begin(), whole.end(), seen.begin(), seen.end());
        return how + ": ..." + std::string(differ.second, seen.end()).substr(0, 200) +
               "\nwhole: ..." + std::string(differ.first, whole.end()).substr(0, 200);
    };
    if (std::string found = compared("byte by byte", {1}); !found.empty()) return found;
    const std::size_t places = input.empty() ? 0 : input.size() - 1;
    const std::size_t tried = std::min(places, splits_max);
    for (std::size_t i = 0; i < tried; ++i) {
        const std::size_t at = 1 + i * places / tried;
        std::string found = compared("split at " + std::to_string(at), {at, input.size()});
        if (!found.empty()) return found;
    }
    return {};
}

} // namespace support
