// One input in every chunking, with the same events each time.
//
// A machine must not care where a read ended. The test says how one run looks as text; this calls
// it with the input whole, one byte at a time, and cut in two at every place, and says where the
// first run that differs does so:
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
#include <numeric>
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

// What one run over the input in these chunk sizes looks like. `room` has the input's size.
template <class Run>
std::string rendering(std::span<const std::byte> input, std::vector<std::size_t> sizes, Run&& run,
                      const guarded& room) {
    chunks feed(input, std::move(sizes), room);
    std::string seen = run(feed);
    if (feed.next()) seen += "\n(input was left)";
    return seen;
}
template <class Run>
std::string rendering(std::span<const std::byte> input, std::vector<std::size_t> sizes, Run&& run) {
    return rendering(input, std::move(sizes), run, guarded(std::max<std::size_t>(input.size(), 1)));
}

// The places between two bytes of an input.
inline std::vector<std::size_t> all_places(std::size_t size) {
    std::vector<std::size_t> places(size > 0 ? size - 1 : 0);
    std::iota(places.begin(), places.end(), std::size_t{1});
    return places;
}

// Empty when every chunking gives the same text; else which does not, and both texts from the first
// difference on. The chunkings are: whole, cut at all of `places`, which ascend, and cut in two at
// each of `splits`.
template <class Run>
std::string difference(std::span<const std::byte> input, const std::vector<std::size_t>& places,
                       const std::vector<std::size_t>& splits, Run&& run) {
    const std::size_t size = std::max<std::size_t>(input.size(), 1);
    const guarded room(size);
    const std::string whole = rendering(input, {size}, run, room);
    const auto compared = [&](const std::string& how, std::vector<std::size_t> sizes) {
        const std::string seen = rendering(input, std::move(sizes), run, room);
        if (seen == whole) return std::string();
        const auto differ = std::mismatch(whole.begin(), whole.end(), seen.begin(), seen.end());
        return how + ": ..." + std::string(differ.second, seen.end()).substr(0, 200) +
               "\nwhole: ..." + std::string(differ.first, whole.end()).substr(0, 200);
    };
    std::vector<std::size_t> sizes;
    for (std::size_t before = 0; const std::size_t place : places)
        sizes.push_back(place - std::exchange(before, place));
    sizes.push_back(size); // what is left
    const bool bytewise = places.size() + 1 >= input.size();
    if (std::string found = compared(bytewise ? "byte by byte" : "cut at all places", sizes);
        !found.empty())
        return found;
    for (const std::size_t at : splits) {
        std::string found = compared("split at " + std::to_string(at), {at, input.size()});
        if (!found.empty()) return found;
    }
    return {};
}

// At all places there are. A test over a long input bounds the work by `splits_max`, the number of
// two-way splits to try, which then lie evenly; the default tries all.
template <class Run>
std::string difference(std::span<const std::byte> input, Run&& run,
                       std::size_t splits_max = SIZE_MAX) {
    const std::vector<std::size_t> places = all_places(input.size());
    std::vector<std::size_t> splits(std::min(places.size(), splits_max));
    for (std::size_t i = 0; i < splits.size(); ++i)
        splits[i] = places[i * places.size() / splits.size()];
    return difference(input, places, splits, run);
}

} // namespace support
