// Incremental files (servers 17+): the blocks of a relation's file that changed since a backup,
// and how a whole file is put together again from a chain of them.
//
// An incremental backup has INCREMENTAL.1234 in the place of 1234 where it is worth it. All numbers
// are little-endian (they are the server's own, and no server of the other kind is to be met):
//
//     0    4   magic: 0D 1F AE D3
//     4    4   n, the number of blocks in the file
//     8    4   truncation length, in blocks: what the file was at least, all the time since then
//     12   4n  their numbers within the file that is to be, ascending
//              zeros up to a multiple of the block size, if n > 0
//          n * block size   the blocks themselves, in the same order
//
// The truncation length says which blocks an older backup may be asked for: one below it that is
// not here has not changed, one at or above it that is not here has come since and was never
// written to, so it is zeros.
//
// Two machines for the two ends of this: incremental_reader checks a header that arrives in pieces,
// in constant memory, while the file is received or when it is read again. `combination` says from
// where each stretch of the whole file is to be copied; the copying, and the memory for the lists
// of block numbers, are the caller's. The result is what pg_combinebackup writes for that file.
//
// Which files have such names is also for the caller to know: only those in base/, global/ and
// tablespaces are incremental; a file of that name anywhere else is a file of that name.
//
// Source of truth: src/backend/backup/basebackup_incremental.c and
// src/bin/pg_combinebackup/reconstruct.c; backups recorded from PostgreSQL 17 and 18.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "../bytes.hpp"
#include "../error.hpp"

namespace walwire::backup {

// How large blocks and files are in a cluster, both fixed when the server was built. It holds valid
// sizes at all times; a fresh one PostgreSQL's defaults of 8 KiB and files of 1 GiB.
class block_layout {
  public:
    constexpr block_layout() noexcept = default;

    // argument_invalid: a block size that is no power of two from 1 KiB to 32 KiB, or a file of no
    // blocks.
    static constexpr result<block_layout> of(std::uint32_t block_size,
                                             std::uint32_t blocks_max) noexcept {
        if (block_size < 1024 || block_size > 32768 || (block_size & (block_size - 1)) != 0 ||
            blocks_max == 0)
            return errc::argument_invalid;
        block_layout made;
        made.block_size_ = block_size;
        made.blocks_max_ = blocks_max;
        return made;
    }

    constexpr std::uint32_t block_size() const noexcept { return block_size_; }
    // The most blocks of one file; a larger relation goes on in another.
    constexpr std::uint32_t blocks_max() const noexcept { return blocks_max_; }

    friend constexpr bool operator==(block_layout, block_layout) noexcept = default;

  private:
    std::uint32_t block_size_ = 8192;
    std::uint32_t blocks_max_ = 131072;
};

inline constexpr std::uint32_t incremental_magic = 0xd3ae1f0d;

// What stands before the block numbers: as much as has to be read to know how many follow.
inline constexpr std::size_t incremental_head_size = 12;

struct incremental_head {
    std::uint32_t blocks = 0;            // at most blocks_max
    std::uint32_t truncation_length = 0; // in blocks, at most blocks_max

    friend constexpr bool operator==(incremental_head, incremental_head) noexcept = default;
};

// Where the blocks begin in a file that has so many.
constexpr std::uint64_t incremental_header_size(std::uint32_t blocks,
                                                block_layout layout = {}) noexcept {
    if (blocks == 0) return incremental_head_size;
    const std::uint64_t mask = layout.block_size() - 1;
    return (incremental_head_size + std::uint64_t{4} * blocks + mask) & ~mask;
}

// What such a file has in all.
constexpr std::uint64_t incremental_file_size(std::uint32_t blocks,
                                              block_layout layout = {}) noexcept {
    return incremental_header_size(blocks, layout) + std::uint64_t{layout.block_size()} * blocks;
}

// incremental_header_invalid: another magic, or a number above blocks_max. (A truncation length
// above it has been sent by servers that were wrong about it; pg_combinebackup refuses it too.)
inline result<incremental_head>
parse_incremental_head(std::span<const std::byte, incremental_head_size> data,
                       block_layout layout = {}) noexcept {
    little_reader in(data);
    const std::uint32_t magic = in.u32();
    incremental_head head;
    head.blocks = in.u32();
    head.truncation_length = in.u32();
    if (magic != incremental_magic || head.blocks > layout.blocks_max() ||
        head.truncation_length > layout.blocks_max())
        return errc::incremental_header_invalid;
    return head;
}

namespace detail {

// Whether the numbers ascend and stay below blocks_max.
constexpr bool are_block_numbers(std::span<const std::uint32_t> blocks,
                                 block_layout layout) noexcept {
    std::uint64_t least = 0;
    for (const std::uint32_t block : blocks) {
        if (block < least || block >= layout.blocks_max()) return false;
        least = std::uint64_t{block} + 1;
    }
    return true;
}

} // namespace detail

// Writes the whole header, incremental_header_size() bytes.
//
// incremental_block_invalid: numbers that do not ascend, or one that is not below blocks_max.
// argument_invalid: a truncation length above it. argument_too_long: `out` has no room for it and
// is not ok() afterwards. But for the last nothing is written.
inline errc put_incremental_header(little_writer& out, std::span<const std::uint32_t> blocks,
                                   std::uint32_t truncation_length,
                                   block_layout layout = {}) noexcept {
    if (!detail::are_block_numbers(blocks, layout)) return errc::incremental_block_invalid;
    if (truncation_length > layout.blocks_max()) return errc::argument_invalid;
    const auto count = static_cast<std::uint32_t>(blocks.size());
    out.u32(incremental_magic);
    out.u32(count);
    out.u32(truncation_length);
    for (const std::uint32_t block : blocks) out.u32(block);
    const std::uint64_t size = incremental_head_size + std::uint64_t{4} * count;
    for (std::uint64_t at = size; at < incremental_header_size(count, layout); at += 4) out.u32(0);
    return out.ok() ? errc::none : errc::argument_too_long;
}

// One block's number; they come in the order in which the blocks stand.
struct incremental_block {
    std::uint32_t number = 0;
};

// The header is whole and right; what is left of the input are the blocks.
struct incremental_header_ended {};

// The file is not to be trusted. `offset` is that of the number or byte that is wrong; 0 for the
// magic, and the size of what was there if it was too little.
struct incremental_failed {
    error reason;
};

using incremental_event =
    std::variant<incremental_head, incremental_block, incremental_header_ended, incremental_failed>;

// Reads the header of an incremental file in whatever pieces it arrives:
//
//     incremental_head incremental_block* ( incremental_header_ended | incremental_failed )
//
// The file's size, which the tar entry or the directory has told, is compared first, and no more
// than blocks_max numbers ever come: so the count in the head can be trusted to reserve by.
class incremental_reader {
  public:
    explicit incremental_reader(std::uint64_t file_size, block_layout layout = {}) noexcept
        : file_size_(file_size), layout_(layout) {}

    // Eats the header's bytes off the front of `in` and says what they are; nothing when all is
    // eaten and more is wanted. When the header has ended it leaves the blocks in `in` and says no
    // more; after a failure it eats everything.
    //
    // incremental_header_invalid: what parse_incremental_head refuses, or padding that is not zero.
    // incremental_size_mismatch: not the size that its number of blocks leads to; at offset 4,
    // where that number stands. incremental_block_invalid: a number that is not above the one
    // before it, or not below blocks_max.
    std::optional<incremental_event> poll(bytes& in) noexcept {
        for (;;) {
            switch (place_) {
            case place::head:
                if (!gather(in, incremental_head_size)) return end(in);
                return take_head(in);
            case place::blocks:
                if (left_ == 0) {
                    place_ = place::padding;
                    break;
                }
                if (!gather(in, 4)) return end(in);
                return take_block(in);
            case place::padding:
                if (eaten_ == header_size_) {
                    place_ = place::ended;
                    return incremental_header_ended{};
                }
                if (in.empty()) return end(in);
                if (in.front() != std::byte{0})
                    return fail(in, errc::incremental_header_invalid, eaten_);
                eat(in, 1);
                break;
            case place::ended: return std::nullopt;
            case place::failed: in = {}; return std::nullopt;
            }
        }
    }

    // The file ends with what was given. In the middle of its header the next poll says
    // incremental_size_mismatch.
    void finish() noexcept { finished_ = true; }

    // incremental_header_ended or incremental_failed was delivered.
    bool over() const noexcept { return place_ == place::ended || place_ == place::failed; }

  private:
    enum class place : std::uint8_t { head, blocks, padding, ended, failed };

    void eat(bytes& in, std::size_t size) noexcept {
        in = in.subspan(size);
        eaten_ += size;
    }

    // Whether the next `size` bytes stand in room_ now.
    bool gather(bytes& in, std::size_t size) noexcept {
        const std::size_t missing = size - held_;
        const std::size_t taken = missing < in.size() ? missing : in.size();
        if (taken != 0) std::memcpy(room_ + held_, in.data(), taken);
        eat(in, taken);
        held_ += taken;
        if (held_ < size) return false;
        held_ = 0;
        return true;
    }

    std::optional<incremental_event> take_head(bytes& in) noexcept {
        const auto head = parse_incremental_head(
            std::span<const std::byte, incremental_head_size>(room_), layout_);
        if (!head) return fail(in, head.code(), 0);
        if (file_size_ != incremental_file_size(head->blocks, layout_))
            return fail(in, errc::incremental_size_mismatch, 4);
        left_ = head->blocks;
        header_size_ = incremental_header_size(head->blocks, layout_);
        place_ = place::blocks;
        return *head;
    }

    std::optional<incremental_event> take_block(bytes& in) noexcept {
        const auto number = load<std::uint32_t, std::endian::little>(room_);
        if (number < least_ || number >= layout_.blocks_max())
            return fail(in, errc::incremental_block_invalid, eaten_ - 4);
        least_ = number + 1;
        --left_;
        return incremental_block{number};
    }

    std::optional<incremental_event> end(bytes& in) noexcept {
        if (!finished_) return std::nullopt;
        return fail(in, errc::incremental_size_mismatch, eaten_);
    }

    std::optional<incremental_event> fail(bytes& in, errc code, std::uint64_t offset) noexcept {
        place_ = place::failed;
        in = {};
        return incremental_failed{{code, offset}};
    }

    std::uint64_t file_size_;
    block_layout layout_;
    std::byte room_[incremental_head_size] = {}; // the head or number that straddles inputs
    std::size_t held_ = 0;
    std::uint64_t eaten_ = 0;
    std::uint64_t header_size_ = 0;
    std::uint32_t left_ = 0;  // numbers still to come
    std::uint32_t least_ = 0; // that the next one must be; at most blocks_max
    place place_ = place::head;
    bool finished_ = false;
};

inline constexpr std::string_view incremental_prefix = "INCREMENTAL.";

namespace detail {

// Where the last component of a path begins.
constexpr std::size_t incremental_name_at(std::string_view path) noexcept {
    const std::size_t slash = path.rfind('/');
    return slash == std::string_view::npos ? 0 : slash + 1;
}

} // namespace detail

// Whether a path names an incremental file: "base/5/INCREMENTAL.1234".
constexpr bool is_incremental_path(std::string_view path) noexcept {
    const std::string_view name = path.substr(detail::incremental_name_at(path));
    return name.starts_with(incremental_prefix) && name.size() > incremental_prefix.size();
}

// Writes the path of the file that an incremental one stands for: "base/5/1234". name_invalid: it
// names no incremental file. argument_too_long: `out` has no room for it and is not ok() then.
inline errc put_plain_path(writer& out, std::string_view path) noexcept {
    if (!is_incremental_path(path)) return errc::name_invalid;
    const std::size_t at = detail::incremental_name_at(path);
    out.append(path.substr(0, at));
    out.append(path.substr(at + incremental_prefix.size()));
    return out.ok() ? errc::none : errc::argument_too_long;
}

// And back. name_invalid: the path ends in no name.
inline errc put_incremental_path(writer& out, std::string_view path) noexcept {
    const std::size_t at = detail::incremental_name_at(path);
    if (at == path.size()) return errc::name_invalid;
    out.append(path.substr(0, at));
    out.append(incremental_prefix);
    out.append(path.substr(at));
    return out.ok() ? errc::none : errc::argument_too_long;
}

} // namespace walwire::backup
