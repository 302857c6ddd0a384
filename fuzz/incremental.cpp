// Any bytes as an incremental file: its header is read the same in every chunking, what is accepted
// prints as itself, and chains of what was accepted combine to what a simple model says.
//
// The first byte chooses the layout, the second how the rest is cut, and the third how many blocks
// the full file has. The rest is one or two incremental files' headers, the newest first.
#include <walwire/backup/combination.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::backup;

namespace {

struct read_header {
    incremental_head head;
    std::vector<std::uint32_t> blocks;
    error reason;
    bool ended = false;
    std::size_t size = 0; // eaten

    bool operator==(const read_header&) const = default;
};

read_header read(bytes all, std::uint64_t file_size, block_layout layout, std::size_t piece) {
    incremental_reader reader(file_size, layout);
    read_header seen;
    bool headed = false, over = false;
    const auto take = [&](const incremental_event& event) {
        check(!over, "nothing comes behind the end");
        if (const auto* head = std::get_if<incremental_head>(&event)) {
            check(!headed, "one head");
            headed = true;
            seen.head = *head;
        } else if (const auto* block = std::get_if<incremental_block>(&event)) {
            check(headed && seen.blocks.size() < seen.head.blocks, "as many as were announced");
            check(seen.blocks.empty() || block->number > seen.blocks.back(), "ascending");
            check(block->number < layout.blocks_max(), "and in range");
            seen.blocks.push_back(block->number);
        } else if (const auto* failed = std::get_if<incremental_failed>(&event)) {
            over = true;
            seen.reason = failed->reason;
        } else {
            check(headed && seen.blocks.size() == seen.head.blocks, "all of them");
            over = seen.ended = true;
        }
    };
    bytes left = all;
    while (!left.empty() && !over) {
        const bytes cut = left.first(std::min(piece, left.size()));
        const std::vector<std::byte> copy(cut.begin(), cut.end());
        bytes in = copy;
        while (const auto event = reader.poll(in)) take(*event);
        check(in.empty() || over, "all is eaten that is wanted");
        seen.size += cut.size() - in.size();
        left = left.subspan(cut.size());
    }
    reader.finish();
    bytes nothing;
    while (const auto event = reader.poll(nothing)) take(*event);
    check(over && reader.over(), "every header ends");
    if (!seen.ended) seen.size = 0; // a failure eats what there is
    return seen;
}

// The header at the front of `all` if there is one, which is then taken off.
std::optional<read_header> take_header(bytes& all, block_layout layout, std::size_t piece) {
    if (all.size() < incremental_head_size) return std::nullopt;
    const auto count = load<std::uint32_t, std::endian::little>(all.data() + 4);
    const std::uint64_t size = incremental_file_size(count, layout);
    const read_header seen = read(all, size, layout, all.size());
    check(read(all, size, layout, piece) == seen, "chunking agrees");
    check(!read(all, size + 1, layout, all.size()).ended, "the size must be right");
    if (!seen.ended) {
        check(seen.reason.code != errc::none && seen.reason.offset <= all.size(), "a reason");
        return std::nullopt;
    }
    check(seen.size == incremental_header_size(count, layout), "the header and no more");
    std::vector<std::byte> room(seen.size);
    little_writer out(room);
    check(put_incremental_header(out, seen.blocks, seen.head.truncation_length, layout) ==
              errc::none,
          "what was read can be printed");
    check(out.size() == seen.size && std::equal(room.begin(), room.end(), all.begin()),
          "and is the same");
    all = all.subspan(seen.size);
    return seen;
}

// Which file a block of the result comes from: one of the chain, the full one behind them, or none.
// And where in it.
using origin = std::pair<std::size_t, std::uint64_t>;

origin model(const std::vector<read_header>& chain, std::uint64_t full, std::uint32_t block,
             block_layout layout) {
    for (std::size_t i = 0; i < chain.size(); ++i) {
        if (i > 0 && block >= chain[0].head.truncation_length) break;
        const auto& blocks = chain[i].blocks;
        const auto at = std::find(blocks.begin(), blocks.end(), block);
        if (at == blocks.end()) continue;
        const auto index = static_cast<std::uint64_t>(at - blocks.begin());
        return {i, chain[i].size + index * layout.block_size()};
    }
    if (block < chain[0].head.truncation_length && block < full)
        return {chain.size(), std::uint64_t{block} * layout.block_size()};
    return {SIZE_MAX, 0};
}

void combine(const std::vector<read_header>& chain, std::uint32_t full, block_layout layout) {
    std::vector<incremental_source> sources(chain.size());
    for (std::size_t i = 0; i < chain.size(); ++i) {
        sources[i].blocks = chain[i].blocks;
        sources[i].truncation_length = chain[i].head.truncation_length;
    }
    check(!combination::of(sources, std::nullopt, layout), "a full file is needed");
    const std::uint64_t size = layout.block_size();
    auto made = combination::of(sources, full * size, layout);
    check(bool(made), "what was read can be combined");
    combination walk = *made;
    std::uint64_t end = 0;
    while (const auto next = walk.next()) {
        check(next->size > 0 && next->size % size == 0 && next->offset == end, "in order");
        for (std::uint64_t at = 0; at < next->size; at += size) {
            const origin right =
                model(chain, full, static_cast<std::uint32_t>((end + at) / size), layout);
            const bool zeros = next->origin == extent_origin::zeros;
            const std::size_t from = zeros                                 ? SIZE_MAX
                                     : next->origin == extent_origin::full ? chain.size()
                                                                           : next->source;
            check(right == origin{from, zeros ? 0 : next->source_offset + at}, "as the model says");
        }
        end += next->size;
    }
    check(end == walk.size(), "and all of it");
    std::uint64_t blocks = chain[0].head.truncation_length;
    if (!chain[0].blocks.empty())
        blocks = std::max<std::uint64_t>(blocks, chain[0].blocks.back() + 1u);
    check(end == blocks * size, "which the newest file says");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 3) return 0;
    const auto layout = *block_layout::of(1024u << data[0] % 6, 1u + data[0] * 4u);
    bytes rest(reinterpret_cast<const std::byte*>(data + 3), size - 3);
    std::vector<read_header> chain;
    while (chain.size() < 3) {
        auto next = take_header(rest, layout, 1u + data[1]);
        if (!next) break;
        chain.push_back(std::move(*next));
    }
    if (!chain.empty()) combine(chain, data[2], layout);
    return 0;
}
