// Takes a tar archive apart as it arrives, in whatever pieces.
//
// Memory is one block, for a header that may straddle inputs; bodies pass through as the runs that
// arrived, and are not copied. The same archive gives the same events, or the same refusal at the
// same offset, however it was cut:
//
//     entry_started { entry_data* } entry_ended      for each file, directory and link
//     tar_ended | tar_failed                         once, at the end
//
// An archive does not say how long it is: where it ends is the owner's to know, by the next archive
// of the copy or the copy's end, and to say by finish(). Then it has ended well only where an entry
// does and, as servers from 15 on send them, with two blocks of zeros. Further zeros may follow, as
// tar fills up what it writes to tapes; nothing else may. Servers up to 14 send no trailer, and
// then its absence shows nothing: that the copy came to its end is all that says that the archive
// is whole.
//
// What the padding behind a body holds is not looked at.
//
//     tar_reader archive;
//     while (auto in = next_piece()) {                     // bytes of this archive, nothing else
//         while (auto event = archive.poll(*in)) ...
//     }
//     archive.finish();
//     while (auto event = archive.poll(nothing)) ...       // tar_ended or tar_failed
//
// What an extractor owes beyond this is in tar.hpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <variant>

#include "../bytes.hpp"
#include "../config.hpp"
#include "../error.hpp"
#include "tar.hpp"

namespace walwire::backup {

// An entry begins. Its path and target live until the next call.
struct entry_started {
    tar_entry entry;
};

// The next bytes of the entry's body, never none: a view of the input. All runs together are as
// many bytes as the entry's size says.
struct entry_data {
    bytes data;
};

// The entry is whole.
struct entry_ended {};

// The archive is whole.
struct tar_ended {};

// The archive is not to be trusted any further. `offset` counts its bytes before the header that
// was wrong; before the byte or block that should have been zeros; or all there were, if there were
// too few. `path` is what the header that was wrong gave for one, as far as that can be read, so
// that what was refused can be named: any bytes but NULs, not to be followed, nor shown to a
// terminal as it is. It is empty where no header was wrong, and lives until the next call.
struct tar_failed {
    error reason;
    std::string_view path;
};

using tar_event = std::variant<entry_started, entry_data, entry_ended, tar_ended, tar_failed>;

enum class tar_trailer : std::uint8_t {
    required, // servers from 15 on
    optional, // servers up to 14 send none
};

class tar_reader {
  public:
    explicit tar_reader(tar_trailer trailer = tar_trailer::required) noexcept : trailer_(trailer) {}

    // Eats `in` and says what it found; nothing when all is eaten. After the end everything is
    // eaten and nothing said.
    WALWIRE_HOT std::optional<tar_event> poll(bytes& in) noexcept {
        if (place_ == place::body && left_ > 0 && !in.empty()) return entry_data{take(in)};
        return advance(in);
    }

    // The archive ends with what was given. The next poll says how.
    void finish() noexcept { finished_ = true; }

    // tar_ended or tar_failed was delivered.
    bool over() const noexcept { return place_ == place::over; }

    // How many bytes of the archive were eaten.
    std::uint64_t eaten() const noexcept { return eaten_; }

  private:
    enum class place : std::uint8_t {
        header,     // at or in a header, or the trailer's first block
        body,       // with `left_` bytes to come
        padding,    // with `left_` bytes to come
        last_block, // at or in the trailer's second block
        trailer,    // behind it
        over,
    };

    // As much of `in` as belongs to what `left_` counts.
    bytes take(bytes& in) noexcept {
        const std::size_t size = left_ < in.size() ? static_cast<std::size_t>(left_) : in.size();
        const bytes taken = in.first(size);
        in = in.subspan(size);
        eaten_ += size;
        left_ -= size;
        return taken;
    }

    // Whether a whole block stands in block_ now.
    bool gather(bytes& in) noexcept {
        left_ = tar_block_size - held_;
        const bytes taken = take(in);
        if (!taken.empty()) std::memcpy(block_.data() + held_, taken.data(), taken.size());
        held_ += taken.size();
        if (held_ < tar_block_size) return false;
        held_ = 0;
        return true;
    }

    bool block_is_zero() const noexcept {
        for (const std::byte each : block_)
            if (each != std::byte{0}) return false;
        return true;
    }

    std::optional<tar_event> advance(bytes& in) noexcept {
        for (;;) {
            switch (place_) {
            case place::header:
                if (!gather(in)) return end();
                if (auto event = begin(in)) return event;
                break;
            case place::body:
                if (left_ > 0) {
                    if (in.empty()) return end();
                    return entry_data{take(in)};
                }
                place_ = place::padding;
                left_ = padding_;
                return entry_ended{};
            case place::padding:
                take(in);
                if (left_ > 0) return end();
                place_ = place::header;
                break;
            case place::last_block:
                if (!gather(in)) return end();
                if (!block_is_zero())
                    return fail(in, errc::tar_trailer_invalid, eaten_ - tar_block_size);
                place_ = place::trailer;
                break;
            case place::trailer:
                while (!in.empty()) {
                    if (in.front() != std::byte{0})
                        return fail(in, errc::tar_trailer_invalid, eaten_);
                    in = in.subspan(1);
                    ++eaten_;
                }
                return end();
            case place::over: in = {}; return std::nullopt;
            }
        }
    }

    // The entry whose header, or the trailer whose first block, is in block_.
    std::optional<tar_event> begin(bytes& in) noexcept {
        if (block_[0] == std::byte{0} && block_is_zero()) {
            place_ = place::last_block;
            return std::nullopt;
        }
        const std::size_t name_size = detail::tar_text(block_, detail::tar_name).size();
        const std::size_t prefix_size = detail::tar_text(block_, detail::tar_prefix).size();
        const auto entry = parse_tar_header(block_);
        if (!entry)
            return fail(in, entry.code(), eaten_ - tar_block_size,
                        refused_path(entry.code(), name_size, prefix_size));
        place_ = place::body;
        left_ = entry->size;
        padding_ = tar_padding(entry->size);
        return entry_started{*entry};
    }

    // The path in a header that was refused. parse_tar_header puts prefix and name together just
    // before it looks at them; without its magic a header has other things where the prefix stands.
    std::string_view refused_path(errc why, std::size_t name_size,
                                  std::size_t prefix_size) noexcept {
        const bool joined = why == errc::tar_path_refused || why == errc::tar_target_refused;
        if (joined && prefix_size > 0)
            return as_text(bytes(block_).first(prefix_size + 1 + name_size));
        if (why == errc::tar_checksum_mismatch || why == errc::tar_format_unknown || joined)
            return as_text(bytes(block_).first(name_size));
        return detail::join_tar_path(block_);
    }

    // All input is eaten: what there is to say if none will follow.
    std::optional<tar_event> end() noexcept {
        if (!finished_) return std::nullopt;
        const bool between = place_ == place::header && held_ == 0;
        const bool whole =
            place_ == place::trailer || (between && trailer_ == tar_trailer::optional);
        place_ = place::over;
        if (whole) return tar_ended{};
        return tar_failed{{errc::tar_truncated, eaten_}, {}};
    }

    std::optional<tar_event> fail(bytes& in, errc code, std::uint64_t offset,
                                  std::string_view path = {}) noexcept {
        place_ = place::over;
        in = {};
        return tar_failed{{code, offset}, path};
    }

    std::array<std::byte, tar_block_size> block_{};
    std::size_t held_ = 0;    // bytes of an unfinished block in it
    std::uint64_t left_ = 0;  // bytes of a body or padding still to come
    std::size_t padding_ = 0; // what follows the body
    std::uint64_t eaten_ = 0;
    place place_ = place::header;
    tar_trailer trailer_;
    bool finished_ = false;
};

} // namespace walwire::backup
