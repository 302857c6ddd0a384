// Writes the manifest of a backup, byte for byte as servers write it.
//
//     manifest_writer manifest;
//     manifest.start({2, system_identifier}, digests, room)
//     manifest.file(entry, room)           for each
//     manifest.range(...)                  for each timeline, that on which the backup ended first
//     manifest.end(room)
//
// Each call writes one piece to the front of the room that it is given and returns its size.
// output_full: it did not fit, nothing has changed, and the same call with more room will do; what
// the room then holds is no part of the manifest. So a caller fills a buffer piece behind piece
// and passes it on when it is full. manifest_piece_size_max says what suffices.
//
// The checksum in the last line is computed as the pieces are written.
//
// Source of truth: the manual's "Backup Manifest Format"; what servers from 13 on send.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../auth/digest.hpp"
#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "manifest.hpp"
#include "manifest_text.hpp"

namespace walwire::backup {

// A path that is not UTF-8 can only be written in hexadecimal digits; others may be (a backup with
// the option MANIFEST 'force-encode').
enum class path_form : std::uint8_t { plain_where_possible, encoded };

// The room that suffices for any one piece. A file's takes the most: names, blanks and a checksum
// are below 384 bytes, and each byte of its strings may be written as six.
constexpr std::size_t manifest_piece_size_max(const listed_file& file) noexcept {
    return 384 + 6 * (file.path.size() + file.last_modified.size());
}

class manifest_writer {
  public:
    // Starts anew. argument_invalid: not version 1 without a system identifier, nor 2 with one.
    // crypto_missing, crypto_failed: no SHA-256.
    result<std::size_t> start(const manifest_started& as, const auth::digests& with,
                              mutable_bytes room) noexcept {
        if (as.version != (as.system_identifier ? 2u : 1u)) return errc::argument_invalid;
        *this = manifest_writer();
        const errc code = digest_.begin(with, auth::digest_algorithm::sha256);
        if (code != errc::none) return code;
        writer out(room);
        out.append("{ ");
        put_field(out, field::version, decimal_text(as.version));
        out.append(",\n");
        if (as.system_identifier) {
            put_field(out, field::system_identifier, decimal_text(*as.system_identifier));
            out.append(",\n");
        }
        put_name(out, field::files);
        out.append("[");
        return written(out, state::files);
    }

    // manifest_path_refused: not a path that a reader would take. argument_invalid: a date that is
    // not UTF-8 or holds a NUL. not_now: before the start or behind the first range.
    result<std::size_t> file(const listed_file& entry, mutable_bytes room,
                             path_form form = path_form::plain_where_possible) noexcept {
        if (state_ != state::files) return errc::not_now;
        if (!is_manifest_path(entry.path)) return errc::manifest_path_refused;
        const std::string_view date = entry.last_modified;
        if (!detail::is_utf8(date) || date.find('\0') != std::string_view::npos)
            return errc::argument_invalid;
        writer out(room);
        begin_entry(out, first_);
        if (form == path_form::encoded || !detail::is_utf8(entry.path)) {
            put_name(out, field::encoded_path);
            out.append("\"");
            detail::put_hex(out, as_bytes(entry.path));
            out.append("\"");
        } else {
            put_string_field(out, field::path, entry.path);
        }
        out.append(", ");
        put_field(out, field::size, decimal_text(entry.size));
        out.append(", ");
        put_string_field(out, field::last_modified, date);
        if (entry.checksum.algorithm != manifest_checksums::none) {
            out.append(", ");
            put_string_field(out, field::checksum_algorithm,
                             checksum_name(entry.checksum.algorithm));
            out.append(", ");
            put_string_field(out, field::checksum, to_text(entry.checksum));
        }
        out.append(" }");
        return written(out, state::files);
    }

    // argument_invalid: no timeline, or an end before the start. not_now: before the start or
    // behind the end.
    result<std::size_t> range(const wal_range& entry, mutable_bytes room) noexcept {
        if (state_ != state::files && state_ != state::ranges) return errc::not_now;
        if (!entry.timeline.valid() || entry.end < entry.start) return errc::argument_invalid;
        writer out(room);
        if (state_ == state::files) begin_ranges(out);
        begin_entry(out, state_ == state::files);
        put_field(out, field::timeline, decimal_text(entry.timeline.value));
        out.append(", ");
        put_string_field(out, field::start_lsn, to_text(entry.start));
        out.append(", ");
        put_string_field(out, field::end_lsn, to_text(entry.end));
        out.append(" }");
        return written(out, state::ranges);
    }

    // The checksum, and nothing may follow. not_now: before the start, or a second time.
    result<std::size_t> end(mutable_bytes room) noexcept {
        if (state_ != state::files && state_ != state::ranges) return errc::not_now;
        if (room.size() < end_size_max) return errc::output_full;
        writer out(room);
        if (state_ == state::files) begin_ranges(out);
        out.append("\n],\n");
        errc code = digest_.update(out.written());
        checksum_value value;
        value.algorithm = manifest_checksums::sha256;
        const mutable_bytes digest = value.digest;
        if (code == errc::none) code = digest_.finish(digest.first(checksum_size(value.algorithm)));
        state_ = state::over;
        if (code != errc::none) return code;
        put_string_field(out, field::manifest_checksum, to_text(value));
        out.append("}\n");
        return out.size();
    }

    // What end() asks for, since a digest cannot be finished twice.
    static constexpr std::size_t end_size_max = 128;

  private:
    using field = detail::manifest_field;
    enum class state : std::uint8_t { idle, files, ranges, over };

    static void put_name(writer& out, field name) noexcept {
        out.append("\"");
        out.append(detail::name_of(name));
        out.append("\": ");
    }
    static void put_field(writer& out, field name, std::string_view value) noexcept {
        put_name(out, name);
        out.append(value);
    }
    static void put_string_field(writer& out, field name, std::string_view value) noexcept {
        put_name(out, name);
        detail::put_string(out, value);
    }

    // Entries are parted in front, since nobody knows which is the last.
    static void begin_entry(writer& out, bool first) noexcept {
        out.append(first ? "\n{ " : ",\n{ ");
    }

    static void begin_ranges(writer& out) noexcept {
        out.append("\n],\n");
        put_name(out, field::wal_ranges);
        out.append("[");
    }

    // Only what fitted whole counts.
    result<std::size_t> written(const writer& out, state next) noexcept {
        if (!out.ok()) return errc::output_full;
        if (const errc code = digest_.update(out.written()); code != errc::none) {
            state_ = state::over;
            return code;
        }
        first_ = state_ == state::idle;
        state_ = next;
        return out.size();
    }

    auth::running_digest digest_;
    state state_ = state::idle;
    bool first_ = true; // no file is written yet
};

} // namespace walwire::backup
