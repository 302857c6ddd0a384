// The answer to BASE_BACKUP, in every format that servers send it in, as a stream of events.
//
//     rows     recptr | tli                       -> started
//     rows     spcoid | spclocation | size        -> tablespace, the base directory last
//     up to 14                                    15 and later
//     CopyOut: bytes of the first tar             one CopyOut, each CopyData of which begins with
//     CopyOut: bytes of the next tar                'n'  name NUL path NUL: an archive begins
//     ...                                           'd'  bytes of it
//     CopyOut: the manifest (13 and 14)             'p'  Int64: bytes done so far
//                                                   'm'  the manifest begins
//     -> archive_started, archive_data ..., archive_ended, progressed, manifest ...
//     rows     recptr | tli
//     CommandComplete                             -> ended
//
// Nothing of an archive is kept: its bytes pass through as the runs that arrive. What is remembered
// is which archives were announced, 16 bytes for each, and the one message that names an archive,
// where it arrives in parts. An error that the server reports after all of the data (a page whose
// checksum is wrong) comes instead of the CommandComplete, so a backup is one only when `ended` was
// told.
//
// This is no session: whoever runs one (replica/base_backup.hpp does) hands over the parts of the
// answer, in order, and takes the events that each leads to before it hands over the next.
//
// Source of truth: the manual, "Streaming Replication Protocol", BASE_BACKUP; basebackup_copy.c.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../wire/command.hpp"
#include "../wire/rows.hpp"
#include "archive.hpp"

namespace walwire::backup {

// One of the list's archives begins. Where the backup goes to another target than this client, no
// data follows.
struct archive_started {
    std::uint32_t index = 0; // in the list
    archive_name name;
};

// A run of the open archive's bytes, compressed if the archive is.
struct archive_data {
    bytes data;
};

struct archive_ended {
    std::uint32_t index = 0;
};

// The manifest, behind all archives.
struct manifest_opened {};
struct manifest_data {
    bytes data;
};
struct manifest_closed {};

// How much the server has read so far, before it was compressed. Only a claim.
struct progressed {
    std::uint64_t done = 0;
};

using reader_event =
    std::variant<archive_data, manifest_data, started, tablespace, archive_started, archive_ended,
                 manifest_opened, manifest_closed, progressed, ended>;

// What is remembered of each tablespace; of its path enough to know it when it comes again, as both
// come from the server and nobody gains by making two of them alike.
struct listed_tablespace {
    std::uint32_t oid = 0;
    bool archived = false;
    std::uint64_t path_hash = 0;
};

class stream_reader {
  public:
    using event = reader_event;

    // The longest file name and path that a server announces an archive with, NULs included.
    static constexpr std::size_t announcement_size_max = 64 + 1024;

    // `room` bounds how many tablespaces there may be, the base directory counted, and must outlive
    // the reader. `manifest`: one was asked for.
    stream_reader(stream_format format, bool manifest, std::span<listed_tablespace> room) noexcept
        : room_(room), format_(format), manifest_wanted_(manifest) {}

    // The parts of the answer. Each returns none, not_now while events wait, or what is wrong with
    // it, after which nothing that the reader says has a meaning: unexpected_message for a part
    // that may not come now, answer_invalid and others for rows, too_many tablespaces,
    // and the codes of errc's group "A base backup".
    errc row(const wire::data_row& row) noexcept;
    // A CommandComplete.
    errc completed() noexcept;
    errc copy_opened() noexcept;
    // A run of one CopyData's body. `begins` and `ends` mark the first and the last of a message.
    errc copy(bytes run, bool begins, bool ends) noexcept;
    errc copy_closed() noexcept;

    // What a part was refused for, as much of it as can be remembered: the name that an archive was
    // given, or a tablespace's path (its identifier, where it has none). Empty if it was something
    // else. Bytes of the server's, not to be shown to a terminal as they are; they live as long as
    // the reader.
    std::string_view refused() const noexcept { return as_text(bytes(held_).first(refused_size_)); }

    // What the last part led to, event by event.
    std::optional<event> next() noexcept {
        if (!owes()) return std::nullopt;
        return events_[told_++];
    }

    // `ended` was told.
    bool over() const noexcept { return at_ == place::over && !owes(); }
    std::uint32_t tablespaces() const noexcept { return listed_; }

  private:
    enum class place : std::uint8_t {
        start,
        start_said,
        list,
        copies,  // between two copies, or before the first
        archive, // inside of a copy
        end,
        end_said,
        over,
    };

    bool owes() const noexcept { return told_ < waiting_; }
    // One part leads to two events at most: something ends, and something else begins.
    void tell(const event& told) noexcept {
        if (!owes()) told_ = waiting_ = 0;
        events_[waiting_++] = told;
    }
    errc list(const tablespace& next) noexcept;
    errc refuse(errc code, std::string_view name) noexcept;
    errc begin(bytes announcement) noexcept;
    errc begin_archive(std::string_view file, std::string_view path) noexcept;
    errc begin_manifest() noexcept;
    errc message(bytes body) noexcept;
    void end_part() noexcept;
    bool everything_came() const noexcept {
        return archived_ == listed_ && (!manifest_wanted_ || manifest_came_);
    }

    std::span<listed_tablespace> room_;
    started start_;
    started end_;
    std::array<event, 2> events_{};
    std::array<std::byte, announcement_size_max> held_{}; // after a refusal, what was refused
    std::size_t held_size_ = 0;
    std::size_t refused_size_ = 0;
    std::uint32_t listed_ = 0;
    std::uint32_t archived_ = 0;
    std::uint32_t open_ = 0; // index of the open archive
    std::uint8_t waiting_ = 0;
    std::uint8_t told_ = 0;
    std::uint8_t kind_ = 0; // the first byte of the message that is being read
    place at_ = place::start;
    stream_format format_;
    bool manifest_wanted_ = false;
    bool manifest_came_ = false;
    bool part_open_ = false; // an archive, or the manifest when it came
    bool base_listed_ = false;
    bool copied_ = false; // the one copy of 15 and later
};

inline errc stream_reader::row(const wire::data_row& row) noexcept {
    if (owes()) return errc::not_now;
    switch (at_) {
    case place::start:
    case place::copies: {
        if (at_ == place::copies && !everything_came()) return errc::backup_incomplete;
        const auto position = read_position(row);
        if (!position) return position.code();
        if (at_ == place::start) {
            start_ = *position;
            at_ = place::start_said;
            tell(start_);
            return errc::none;
        }
        if (position->start < start_.start || position->timeline < start_.timeline)
            return errc::backup_range_invalid;
        end_ = *position;
        at_ = place::end;
        return errc::none;
    }
    case place::list: {
        const auto read = read_tablespace(row, listed_);
        const errc code = read ? list(*read) : read.code();
        return refuse(code, row[1].value_or(row[0].value_or(std::string_view{})));
    }
    default: return errc::unexpected_message;
    }
}

// After a refusal no announcement is collected any more, so its room is free for this. The name may
// stand in that very room.
inline errc stream_reader::refuse(errc code, std::string_view name) noexcept {
    if (code == errc::none) return code;
    refused_size_ = name.size() < held_.size() ? name.size() : held_.size();
    if (refused_size_ > 0) std::memmove(held_.data(), name.data(), refused_size_);
    return code;
}

inline errc stream_reader::list(const tablespace& next) noexcept {
    if (base_listed_) return errc::tablespace_invalid; // the base directory is the last
    if (listed_ == room_.size()) return errc::too_many;
    for (const listed_tablespace& each : room_.first(listed_)) {
        if (each.oid == next.oid) return errc::tablespace_invalid;
    }
    room_[listed_++] = {next.oid, false, walwire::detail::name_hash(next.path)};
    base_listed_ = next.oid == 0;
    tell(next);
    return errc::none;
}

inline errc stream_reader::completed() noexcept {
    if (owes()) return errc::not_now;
    switch (at_) {
    case place::start_said: at_ = place::list; return errc::none;
    case place::list:
        if (!base_listed_) return errc::tablespace_invalid;
        at_ = place::copies;
        return errc::none;
    case place::end: at_ = place::end_said; return errc::none;
    case place::end_said:
        at_ = place::over;
        tell(ended{end_.start, end_.timeline});
        return errc::none;
    default: return errc::answer_invalid;
    }
}

inline errc stream_reader::copy_opened() noexcept {
    if (owes()) return errc::not_now;
    if (at_ != place::copies) return errc::unexpected_message;
    at_ = place::archive;
    if (format_ == stream_format::typed) {
        if (copied_) return errc::unexpected_message;
        copied_ = true;
        return errc::none;
    }
    if (archived_ == listed_) return begin_manifest();
    open_ = archived_++;
    part_open_ = true;
    tell(archive_started{open_, {room_[open_].oid, wire::backup_compression::none}});
    return errc::none;
}

inline errc stream_reader::copy_closed() noexcept {
    if (owes()) return errc::not_now;
    if (at_ != place::archive) return errc::unexpected_message;
    end_part();
    at_ = place::copies;
    if (format_ == stream_format::typed && !everything_came()) return errc::backup_incomplete;
    return errc::none;
}

inline errc stream_reader::copy(bytes run, bool begins, bool ends) noexcept {
    if (owes()) return errc::not_now;
    if (at_ != place::archive) return errc::unexpected_message;
    if (format_ == stream_format::typed) {
        if (begins) {
            if (run.empty()) return errc::backup_stream_malformed;
            kind_ = std::to_integer<std::uint8_t>(run[0]);
            run = run.subspan(1);
            held_size_ = 0;
            if (kind_ != 'd' && kind_ != 'n' && kind_ != 'm' && kind_ != 'p')
                return errc::backup_stream_malformed;
            if (kind_ == 'd' && !part_open_) return errc::archive_unexpected;
        }
        if (kind_ != 'd') {
            // Whole already, as it nearly always is, or collected; the bound is the same for both.
            if (run.size() > held_.size() - held_size_) return errc::backup_stream_malformed;
            if (begins && ends) return message(run);
            if (!run.empty()) std::memcpy(held_.data() + held_size_, run.data(), run.size());
            held_size_ += run.size();
            return ends ? message(bytes(held_.data(), held_size_)) : errc::none;
        }
    }
    if (run.empty()) return errc::none;
    if (manifest_came_)
        tell(manifest_data{run});
    else
        tell(archive_data{run});
    return errc::none;
}

inline errc stream_reader::message(bytes body) noexcept {
    switch (kind_) {
    case 'n': return begin(body);
    case 'm': return body.empty() ? begin_manifest() : errc::backup_stream_malformed;
    default: {
        if (body.size() != sizeof(std::uint64_t)) return errc::backup_stream_malformed;
        const auto done = static_cast<std::int64_t>(load<std::uint64_t>(body.data()));
        tell(progressed{done < 0 ? 0 : static_cast<std::uint64_t>(done)});
        return errc::none;
    }
    }
}

// An archive of 15 and later: its name must be that of a listed tablespace, and so must its path.
inline errc stream_reader::begin(bytes announcement) noexcept {
    reader in(announcement);
    const std::string_view file = in.c_string();
    const std::string_view path = in.c_string();
    if (!in.done()) return errc::backup_stream_malformed;
    return refuse(begin_archive(file, path), file);
}

inline errc stream_reader::begin_archive(std::string_view file, std::string_view path) noexcept {
    const auto name = parse_archive_name(file);
    if (!name) return name.code();
    if (manifest_came_) return errc::archive_unexpected;
    for (std::uint32_t i = 0; i < listed_; ++i) {
        listed_tablespace& each = room_[i];
        if (each.oid != name->oid) continue;
        if (each.archived || each.path_hash != walwire::detail::name_hash(path))
            return errc::archive_unexpected;
        end_part();
        each.archived = true;
        ++archived_;
        open_ = i;
        part_open_ = true;
        tell(archive_started{i, *name});
        return errc::none;
    }
    return errc::archive_unexpected;
}

inline errc stream_reader::begin_manifest() noexcept {
    if (!manifest_wanted_ || manifest_came_ || archived_ != listed_)
        return errc::archive_unexpected;
    end_part();
    manifest_came_ = part_open_ = true;
    tell(manifest_opened{});
    return errc::none;
}

inline void stream_reader::end_part() noexcept {
    if (!part_open_) return;
    part_open_ = false;
    if (manifest_came_)
        tell(manifest_closed{});
    else
        tell(archive_ended{open_});
}

} // namespace walwire::backup
