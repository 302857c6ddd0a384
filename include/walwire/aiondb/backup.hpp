// AionDB's base backup: a stream of frames that carries the files of the primary's log directory.
//
//     tag 1 | size of the payload 4 | payload        all integers little-endian, at most 8 MiB
//
//     0x01  header       start 8 | timeline 4 | size of the identifier 4 | system identifier
//     0x02  file start   size of the path 4 | path | size of the file 8
//     0x03  file data    bytes of the open file
//     0x04  file end     -
//     0x05  backup end   -
//
//     header (file start, file data ..., file end) ... backup end
//
// Frames lie one behind the other across CopyData messages: a frame may be split between two, or
// share one with others. File data passes through as the runs that arrive; a header or a file's
// start that arrives in parts is gathered in memory of the owner's.
//
// A path is relative, in UTF-8, and made of plain names: what could lead out of the directory that
// the backup goes to is refused here (file_path_refused). What the extractor still owes is what
// backup/tar.hpp says: to follow no link, and to create no file twice.
//
// Source of truth: AionDB's base backup; the limits are its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <variant>

#include "../backup/manifest_text.hpp"
#include "../backup/path.hpp"
#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "message.hpp"

namespace walwire::aiondb {

enum class frame : std::uint8_t {
    header = 0x01,
    file_start = 0x02,
    file_data = 0x03,
    file_end = 0x04,
    backup_end = 0x05,
};

inline constexpr std::size_t frame_header_size = 5;

// The longest system identifier and path; a frame that announces more is message_too_large.
inline constexpr std::size_t identifier_size_max = 1024;
inline constexpr std::size_t path_size_max = 4096;

// What a reader needs to gather a frame in: the largest that is delivered whole.
inline constexpr std::size_t frame_room = frame_header_size + 4 + path_size_max + 8;

// The first entry of the log that the backup brings, counted in, and of which system it is. A log
// without an entry has none to name: there `start` is first_entry, which is what a replica without
// an entry asks for, and an engine that recovered need not have it. Views of a reader's events live
// until its next call.
struct backup_started {
    entry_lsn start;
    timeline_id timeline;
    std::string_view system_identifier;
};

struct file_started {
    std::string_view path; // '/' between its parts, none of which is "." or ".."
    std::uint64_t size = 0;
};

// The next run of the file's bytes, never none.
struct file_data {
    bytes data;
};

// The file is whole.
struct file_ended {};

// The backup is whole.
struct backup_ended {};

// It is not to be trusted any further. `offset` counts the stream's bytes before the frame that was
// wrong, or all there were.
struct backup_failed {
    error reason;
};

using backup_event =
    std::variant<file_data, backup_started, file_started, file_ended, backup_ended, backup_failed>;

namespace detail {

// The order of frames, which reader and writer both keep.
class frame_order {
  public:
    constexpr errc may_come(frame next) const noexcept {
        if (next < frame::header || next > frame::backup_end) return errc::frame_unknown;
        if (ended_) return errc::frame_after_end;
        if (next == frame::header) return began_ ? errc::backup_header_repeated : errc::none;
        if (!began_) return errc::backup_header_missing;
        switch (next) {
        case frame::file_start: return open_ ? errc::file_start_inside_file : errc::none;
        case frame::file_data: return open_ ? errc::none : errc::file_data_outside_file;
        case frame::file_end:
            if (!open_) return errc::file_end_outside_file;
            return left_ > 0 ? errc::file_too_short : errc::none;
        default: return open_ ? errc::backup_end_inside_file : errc::none;
        }
    }
    constexpr errc may_hold(std::uint32_t size) const noexcept {
        return size > left_ ? errc::file_too_long : errc::none;
    }

    constexpr void begin() noexcept { began_ = true; }
    constexpr void open(std::uint64_t size) noexcept {
        open_ = true;
        left_ = size;
    }
    constexpr void hold(std::uint32_t size) noexcept { left_ -= size; }
    constexpr void close() noexcept { open_ = false; }
    constexpr void end() noexcept { ended_ = true; }
    constexpr bool ended() const noexcept { return ended_; }

  private:
    std::uint64_t left_ = 0; // bytes of the open file that have not been announced yet
    bool began_ = false;
    bool open_ = false;
    bool ended_ = false;
};

constexpr bool is_file_path(std::string_view path) noexcept {
    return backup::is_downward_path(path) && backup::is_printable(path);
}

constexpr std::uint32_t fixed_size(frame kind) noexcept {
    return kind == frame::header ? 16 : kind == frame::file_start ? 12 : 0;
}

} // namespace detail

class backup_reader {
  public:
    using event = backup_event;

    // `room` must be at least frame_room and outlive the reader; less is memory_too_small.
    explicit backup_reader(mutable_bytes room) noexcept : room_(room) {
        if (room.size() < frame_room) fail(errc::memory_too_small);
    }

    // Eats `in` and says what it found; nothing when all is eaten. After the end everything is
    // eaten and nothing said, unless a frame comes behind the backup's end.
    std::optional<event> poll(bytes& in) noexcept {
        while (!over_) {
            if (reason_.code != errc::none) break;
            if (data_left_ > 0) {
                if (in.empty()) break;
                return file_data{take(in)};
            }
            const auto told = next(in);
            if (told || in.empty()) {
                if (told) return told;
                break;
            }
        }
        if (over_) {
            in = {};
            return std::nullopt;
        }
        if (finished_ && in.empty() && reason_.code == errc::none && !order_.ended()) {
            began_ = eaten_;
            fail(errc::backup_unended);
        }
        if (reason_.code == errc::none) return std::nullopt;
        in = {};
        over_ = true;
        return backup_failed{reason_};
    }

    // The stream ends with what was given. The next poll says whether it may.
    void finish() noexcept { finished_ = true; }

    // backup_ended was told, and nothing that came behind it was wrong.
    bool whole() const noexcept { return order_.ended() && reason_.code == errc::none; }
    // backup_failed was delivered.
    bool failed() const noexcept { return over_; }

  private:
    bytes take(bytes& in) noexcept {
        const std::size_t size = data_left_ < in.size() ? data_left_ : in.size();
        const bytes taken = in.first(size);
        in = in.subspan(size);
        eaten_ += size;
        data_left_ -= static_cast<std::uint32_t>(size);
        return taken;
    }

    void fail(errc code) noexcept { reason_ = {code, began_}; }

    // The first `want` bytes of the frame, if they are there: out of the input, or gathered.
    const std::byte* front(bytes in, std::size_t want) noexcept {
        if (held_ == 0) return in.size() >= want ? in.data() : nullptr;
        return held_ >= want ? room_.data() : nullptr;
    }
    // Moves what there is of the frame's first `want` bytes out of the input.
    bool gather(bytes& in, std::size_t want) noexcept {
        const std::size_t missing = want > held_ ? want - held_ : 0;
        const std::size_t size = missing < in.size() ? missing : in.size();
        if (size > 0) std::memcpy(room_.data() + held_, in.data(), size);
        held_ += size;
        eaten_ += size;
        in = in.subspan(size);
        return held_ >= want;
    }
    // The frame's first `size` bytes are dealt with.
    void drop(bytes& in, std::size_t size) noexcept {
        if (held_ == 0) {
            in = in.subspan(size);
            eaten_ += size;
        }
        held_ = 0;
    }

    std::optional<event> next(bytes& in) noexcept {
        if (in.empty()) return std::nullopt;
        if (held_ == 0) began_ = eaten_;
        const std::byte* at = front(in, frame_header_size);
        if (at == nullptr) {
            // The kind alone may be out of place already.
            const std::byte kind = held_ > 0 ? room_[0] : in[0];
            if (!check(kind)) return std::nullopt;
            if (!gather(in, frame_header_size)) return std::nullopt;
            at = room_.data();
        }
        if (!check(at[0])) return std::nullopt;
        const auto kind = static_cast<frame>(std::to_integer<std::uint8_t>(at[0]));
        const auto size = load<std::uint32_t, std::endian::little>(at + 1);
        if (const errc code = judge(kind, size); code != errc::none) {
            fail(code);
            return std::nullopt;
        }
        if (kind == frame::file_data) {
            drop(in, frame_header_size);
            order_.hold(size);
            data_left_ = size;
            return std::nullopt;
        }
        const std::size_t want = frame_header_size + size;
        at = front(in, want);
        if (at == nullptr) {
            if (!gather(in, want)) return std::nullopt;
            at = room_.data();
        }
        const bytes payload(at + frame_header_size, size);
        drop(in, want);
        return tell(kind, payload);
    }

    bool check(std::byte kind) noexcept {
        const errc code = order_.may_come(static_cast<frame>(std::to_integer<std::uint8_t>(kind)));
        if (code != errc::none) fail(code);
        return code == errc::none;
    }

    // What a frame's size says before anything of it is kept.
    errc judge(frame kind, std::uint32_t size) const noexcept {
        if (size > payload_size_max) return errc::entry_too_large;
        switch (kind) {
        case frame::file_data: return order_.may_hold(size);
        case frame::header:
        case frame::file_start: {
            const std::size_t most = kind == frame::header ? identifier_size_max : path_size_max;
            const std::uint32_t fixed = detail::fixed_size(kind);
            if (size < fixed) return errc::frame_malformed;
            return size - fixed > most ? errc::message_too_large : errc::none;
        }
        default: return size == 0 ? errc::none : errc::frame_malformed;
        }
    }

    std::optional<event> tell(frame kind, bytes payload) noexcept {
        little_reader in(payload);
        switch (kind) {
        case frame::header: {
            backup_started told;
            told.start = {in.u64()};
            told.timeline = {in.u32()};
            const std::uint32_t size = in.u32();
            told.system_identifier = as_text(in.take(size));
            if (!in.done() || !told.timeline.valid() ||
                !backup::detail::is_utf8(told.system_identifier)) {
                fail(errc::frame_malformed);
                return std::nullopt;
            }
            order_.begin();
            return told;
        }
        case frame::file_start: {
            const std::uint32_t size = in.u32();
            file_started told;
            told.path = as_text(in.take(size));
            told.size = in.u64();
            errc code = in.done() ? errc::none : errc::frame_malformed;
            if (code == errc::none && !backup::detail::is_utf8(told.path))
                code = errc::frame_malformed;
            if (code == errc::none && !detail::is_file_path(told.path))
                code = errc::file_path_refused;
            if (code != errc::none) {
                fail(code);
                return std::nullopt;
            }
            order_.open(told.size);
            return told;
        }
        case frame::file_end: order_.close(); return file_ended{};
        default: order_.end(); return backup_ended{};
        }
    }

    mutable_bytes room_;
    detail::frame_order order_;
    std::size_t held_ = 0; // bytes of a frame in the room
    std::uint64_t began_ = 0;
    std::uint64_t eaten_ = 0;
    std::uint32_t data_left_ = 0; // bytes of the file data's payload that are still to come
    error reason_;
    bool finished_ = false;
    bool over_ = false;
};

// Puts frames into the owner's memory; file data's bytes follow the frame that announces them, out
// of wherever they lie. Each call writes a whole frame or returns a code and writes nothing: those
// of the order of frames, output_full, message_too_large, file_path_refused, frame_malformed for
// what is no UTF-8 and for timeline 0.
class backup_writer {
  public:
    errc header(little_writer& out, const backup_started& from) noexcept {
        if (const errc code = order_.may_come(frame::header); code != errc::none) return code;
        const std::string_view name = from.system_identifier;
        if (name.size() > identifier_size_max) return errc::message_too_large;
        if (!from.timeline.valid() || !backup::detail::is_utf8(name)) return errc::frame_malformed;
        const errc code =
            put(out, frame::header, 16 + name.size(), [&](little_writer& to) noexcept {
                to.u64(from.start.value);
                to.u32(from.timeline.value);
                to.u32(static_cast<std::uint32_t>(name.size()));
                to.append(name);
            });
        if (code == errc::none) order_.begin();
        return code;
    }

    errc file_start(little_writer& out, const file_started& file) noexcept {
        if (const errc code = order_.may_come(frame::file_start); code != errc::none) return code;
        if (file.path.size() > path_size_max) return errc::message_too_large;
        if (!backup::detail::is_utf8(file.path)) return errc::frame_malformed;
        if (!detail::is_file_path(file.path)) return errc::file_path_refused;
        const errc code =
            put(out, frame::file_start, 12 + file.path.size(), [&](little_writer& to) noexcept {
                to.u32(static_cast<std::uint32_t>(file.path.size()));
                to.append(file.path);
                to.u64(file.size);
            });
        if (code == errc::none) order_.open(file.size);
        return code;
    }

    // Announces `size` bytes of the open file, which the owner sends next.
    errc file_data(little_writer& out, std::uint32_t size) noexcept {
        if (const errc code = order_.may_come(frame::file_data); code != errc::none) return code;
        if (size > payload_size_max) return errc::entry_too_large;
        if (const errc code = order_.may_hold(size); code != errc::none) return code;
        const errc code = put_header(out, frame::file_data, size, 0);
        if (code == errc::none) order_.hold(size);
        return code;
    }

    errc file_end(little_writer& out) noexcept {
        if (const errc code = order_.may_come(frame::file_end); code != errc::none) return code;
        const errc code = put_header(out, frame::file_end, 0, 0);
        if (code == errc::none) order_.close();
        return code;
    }

    errc backup_end(little_writer& out) noexcept {
        if (const errc code = order_.may_come(frame::backup_end); code != errc::none) return code;
        const errc code = put_header(out, frame::backup_end, 0, 0);
        if (code == errc::none) order_.end();
        return code;
    }

    bool over() const noexcept { return order_.ended(); }

  private:
    static errc put_header(little_writer& out, frame kind, std::uint32_t size,
                           std::size_t behind) noexcept {
        if (out.left() < frame_header_size + behind) return errc::output_full;
        out.u8(static_cast<std::uint8_t>(kind));
        out.u32(size);
        return errc::none;
    }
    template <class Put>
    static errc put(little_writer& out, frame kind, std::size_t size, Put&& payload) noexcept {
        const errc code = put_header(out, kind, static_cast<std::uint32_t>(size), size);
        if (code == errc::none) payload(out);
        return code;
    }

    detail::frame_order order_;
};

} // namespace walwire::aiondb
