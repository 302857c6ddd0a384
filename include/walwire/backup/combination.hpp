// How the whole file is put together from a chain of incremental ones (incremental.hpp) and the
// full file that they build on: what pg_combinebackup does, for one file.
//
//     newest   truncation length 6    . 1 . . . .   8      the result has 9 blocks
//     older    truncation length 4    . 1 2 . . 5 .
//     full     7 blocks               0 1 2 3 4 5 6
//                                     | | | | | | | | |
//     result                          F N O F F O 0 0 N    newest, older, full, zeros
//
// The newest file alone says how long the result is: as its truncation length, or up to the last
// block that it holds. Below its truncation length each block comes from the newest file that has
// it. Above, older files are not asked, as what they hold was truncated away since. What nobody has
// is zeros: the server made the file longer and never wrote there.
//
// pg_combinebackup asks no older file for its truncation length, and neither does this, so that
// both write the same.
//
// It holds no list of its own and copies no byte: it reads the block numbers where the caller keeps
// them, with one cursor for each file, and says which extents to copy, in ascending order. Blocks
// that stand side by side in both files are one extent. So a file that has not changed at all is
// one extent from the full file, of the result's whole size, which is worth a clone or a link if
// the full file has no more than that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "../error.hpp"
#include "incremental.hpp"

namespace walwire::backup {

// One incremental file, as incremental_reader read it. The block numbers must stay where they are.
struct incremental_source {
    std::span<const std::uint32_t> blocks;
    std::uint32_t truncation_length = 0;
    std::size_t cursor = 0; // the combination's own: the first block not below where it is
};

enum class extent_origin : std::uint8_t { incremental, full, zeros };

// To copy: `size` bytes from `source_offset` of the origin to `offset` of the result.
struct extent {
    extent_origin origin = extent_origin::zeros;
    std::size_t source = 0;          // which of the incremental files; 0 is the newest
    std::uint64_t source_offset = 0; // 0 for zeros
    std::uint64_t offset = 0;
    std::uint64_t size = 0; // never 0

    friend constexpr bool operator==(const extent&, const extent&) noexcept = default;
};

class combination {
  public:
    constexpr combination() noexcept = default;

    // `files` are the incremental files, the newest first, and `full_size` the size of the full
    // file in bytes, if there is one. A part of a block at its end is as good as nothing.
    //
    // incremental_chain_broken: there is none. argument_invalid: no incremental file at all.
    // incremental_block_invalid: block numbers of one that do not ascend, or are not below
    // blocks_max. incremental_header_invalid: a truncation length above it.
    static constexpr result<combination> of(std::span<incremental_source> files,
                                            std::optional<std::uint64_t> full_size,
                                            block_layout layout = {}) noexcept {
        if (files.empty()) return errc::argument_invalid;
        if (!full_size) return errc::incremental_chain_broken;
        for (incremental_source& file : files) {
            if (!detail::are_block_numbers(file.blocks, layout))
                return errc::incremental_block_invalid;
            if (file.truncation_length > layout.blocks_max())
                return errc::incremental_header_invalid;
            file.cursor = 0;
        }
        combination made;
        made.files_ = files;
        made.full_blocks_ = *full_size / layout.block_size();
        made.layout_ = layout;
        const incremental_source& newest = files.front();
        made.blocks_ = newest.truncation_length;
        if (!newest.blocks.empty() && newest.blocks.back() >= made.blocks_)
            made.blocks_ = newest.blocks.back() + 1;
        return made;
    }

    // The size of the result.
    constexpr std::uint64_t size() const noexcept { return bytes_of(blocks_); }

    // The next extent; nothing at the end.
    constexpr std::optional<extent> next() noexcept {
        if (at_ == blocks_) return std::nullopt;
        extent found = find(at_);
        for (++at_; at_ < blocks_; ++at_) {
            const extent more = find(at_);
            const std::uint64_t follows =
                found.origin == extent_origin::zeros ? 0 : found.source_offset + found.size;
            if (more.origin != found.origin || more.source != found.source ||
                more.source_offset != follows)
                break;
            found.size += more.size;
        }
        return found;
    }

  private:
    constexpr std::uint64_t bytes_of(std::uint64_t blocks) const noexcept {
        return blocks * layout_.block_size();
    }

    // Where one block comes from. Blocks are asked for in ascending order.
    constexpr extent find(std::uint32_t block) noexcept {
        const std::uint64_t size = layout_.block_size();
        const bool older = block < files_.front().truncation_length;
        for (std::size_t i = 0; i < (older ? files_.size() : 1); ++i) {
            incremental_source& file = files_[i];
            while (file.cursor < file.blocks.size() && file.blocks[file.cursor] < block)
                ++file.cursor;
            if (file.cursor == file.blocks.size() || file.blocks[file.cursor] != block) continue;
            const auto count = static_cast<std::uint32_t>(file.blocks.size());
            return {extent_origin::incremental, i,
                    incremental_header_size(count, layout_) + bytes_of(file.cursor),
                    bytes_of(block), size};
        }
        if (older && block < full_blocks_)
            return {extent_origin::full, 0, bytes_of(block), bytes_of(block), size};
        return {extent_origin::zeros, 0, 0, bytes_of(block), size};
    }

    std::span<incremental_source> files_;
    std::uint64_t full_blocks_ = 0;
    block_layout layout_;
    std::uint32_t blocks_ = 0; // of the result
    std::uint32_t at_ = 0;     // the next one
};

} // namespace walwire::backup
