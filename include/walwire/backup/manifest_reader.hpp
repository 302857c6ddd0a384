// Reads the manifest of a backup as it comes, in any pieces.
//
//     manifest_reader manifest(room, digests);
//     while (read more into in) {
//         while (auto event = manifest.poll(in)) ...     started, files and ranges, or failed
//     }
//     manifest.finish();
//     auto event = manifest.poll(in);                    ended, or failed
//
// Files are told while they come, and only the last byte shows that the list is whole and its
// checksum right: until manifest_ended, nothing that was told is known to be true.
//
// It takes what servers write and what differs from it in blanks, line ends, the order of fields
// within an entry and that of the two lists. Everything else ends in a failure: PostgreSQL's own
// parser is strict too, since a manifest that was changed is worth as much as none.
//
// Objects and lists are two deep and no deeper, so there is no stack. A field's name counts as it
// is written, without escapes. The checksum covers the lines before the one that names it: at the
// top every name is held back from the digest until it is known not to be that one.
//
// Source of truth: the manual's "Backup Manifest Format"; RFC 8259.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "../auth/digest.hpp"
#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "manifest.hpp"
#include "manifest_text.hpp"

namespace walwire::backup {

class manifest_reader {
  public:
    // The room holds the strings of one entry; manifest_room_size suffices. It has to outlive the
    // reader, as has what the table's context points to. Without SHA-256 the first poll fails.
    manifest_reader(mutable_bytes room, const auth::digests& with) noexcept : strings_(room) {
        failure_ = digest_.begin(with, auth::digest_algorithm::sha256);
    }
    manifest_reader(const manifest_reader&) = delete;
    manifest_reader& operator=(const manifest_reader&) = delete;

    // Eats input and returns the next event, or none when all of it is eaten. The strings in an
    // event stand in the room and are valid until the next call.
    //
    // Failures, by what is wrong:
    //     manifest_malformed            JSON's form, the nesting, a field's kind, the last line
    //     manifest_truncated            the input is over
    //     manifest_version_unknown      no version in front, or another than 1 and 2
    //     manifest_field_unknown, _missing, _doubled      in the object that is open
    //     manifest_text_invalid, manifest_text_too_long   a string
    //     manifest_path_refused         a path that is_manifest_path refuses, or odd digits
    //     number_invalid, timeline_invalid, lsn_invalid   a value; for a range also its end
    //     manifest_algorithm_unknown, manifest_checksum_invalid     of a file or of the whole
    //     manifest_checksum_mismatch    it was changed, or cut and put together
    //     crypto_missing, crypto_failed the digest
    std::optional<manifest_event> poll(bytes& in) noexcept {
        due_ = due::nothing;
        if (over_ || failure_ != errc::none) return eat_rest(in);
        while (!in.empty() && step(in)) {
        }
        if (failure_ == errc::none) digest_before(in);
        if (failure_ == errc::none && due_ == due::nothing && in.empty() && finished_) {
            due_ = due::ended;
            if (place_ != place::end) failure_ = errc::manifest_truncated;
        }
        return failure_ == errc::none ? event() : eat_rest(in);
    }

    // The input is over. What was read before that is still told.
    void finish() noexcept { finished_ = true; }

    // manifest_ended or manifest_failed was returned; whatever comes then is eaten and ignored.
    bool over() const noexcept { return over_; }

  private:
    using field = detail::manifest_field;

    // What has to come next, blanks aside, where no string or number has begun.
    enum class place : std::uint8_t {
        opening,    // the '{' of it all
        first_name, // the quote before a field's name, or the '}' of an object without any
        name,       // that quote behind a comma
        colon,
        value,         // the first character of one
        next_field,    // ',' or '}'
        first_entry,   // '{', or the ']' of an empty list
        entry,         // '{'
        next_entry,    // ',' or ']'
        last_line_end, // the line feed of the last line
        end,
    };
    enum class token : std::uint8_t { none, name, string, number };
    enum class object : std::uint8_t { whole, file, wal_range };
    enum class due : std::uint8_t { nothing, started, file, wal_range, ended };

    static constexpr std::uint32_t bit(field which) noexcept {
        return 1u << static_cast<unsigned>(which);
    }
    bool has(field which) const noexcept { return (seen_ & bit(which)) != 0; }

    void take(bytes& in, std::size_t size) noexcept {
        in = in.subspan(size);
        eaten_ += size;
    }

    // Brings the digest up to where `in` begins.
    void digest_before(bytes in) noexcept {
        const auto size = static_cast<std::size_t>(eaten_ - digested_);
        if (size > 0 && !held_ && !last_line_)
            failure_ = digest_.update(bytes(in.data() - size, size));
        digested_ = eaten_;
    }

    // False: there is something to tell.
    bool step(bytes& in) noexcept {
        errc code = errc::none;
        switch (token_) {
        case token::none: code = punctuation(in); break;
        case token::number: code = number(in); break;
        case token::name:
        case token::string: code = string(in); break;
        }
        if (code != errc::none) failure_ = code;
        return code == errc::none && due_ == due::nothing;
    }

    // How many blanks stand in front. Line ends are blanks too, but for that of the last line.
    std::size_t count_blanks(bytes in) const noexcept {
        if (place_ >= place::last_line_end) return 0;
        const bool lines = !last_line_;
        std::size_t count = 0;
        for (; count < in.size(); ++count) {
            const char c = static_cast<char>(in[count]);
            if (c != ' ' && c != '\t' && (!lines || (c != '\n' && c != '\r'))) break;
        }
        return count;
    }

    // A run of blanks, and the character behind it.
    errc punctuation(bytes& in) noexcept {
        if (const std::size_t blanks = count_blanks(in); blanks > 0) {
            line_begins_ = in[blanks - 1] == std::byte{'\n'};
            take(in, blanks);
            if (in.empty()) return errc::none;
        }
        const char c = static_cast<char>(in.front());
        if (c == '"' && (place_ == place::name || place_ == place::first_name)) {
            begin_name(in);
            return failure_;
        }
        const errc code = place_ == place::value ? begin_value(c) : follow(c);
        if (code != errc::none) return code;
        line_begins_ = false;
        if (token_ != token::number) take(in, 1);
        return errc::none;
    }

    // Whether this character leads from one place to another.
    errc follow(char c) noexcept {
        switch (place_) {
        case place::opening: return c == '{' ? begin_object(object::whole) : misplaced();
        case place::entry: return c == '{' ? begin_object(entries_) : misplaced();
        case place::first_entry:
            if (c == '{') return begin_object(entries_);
            return c == ']' ? end_list() : misplaced();
        case place::next_entry:
            if (c == ',') return go(place::entry);
            return c == ']' ? end_list() : misplaced();
        case place::colon: return c == ':' ? go(place::value) : misplaced();
        case place::first_name: return c == '}' ? end_object() : misplaced();
        case place::next_field:
            if (c == ',' && !last_line_) return go(place::name);
            return c == '}' ? end_object() : misplaced();
        case place::last_line_end: return c == '\n' ? go(place::end) : misplaced();
        case place::name:
        case place::value:
        case place::end: break;
        }
        return misplaced();
    }

    static errc misplaced() noexcept { return errc::manifest_malformed; }
    errc go(place to) noexcept {
        place_ = to;
        return errc::none;
    }

    errc begin_object(object kind) noexcept {
        object_ = kind;
        place_ = place::first_name;
        if (kind == object::whole) return errc::none;
        seen_ &= bit(field::path) - 1; // what the whole has had stays
        strings_.drop_all();
        file_ = {};
        range_ = {};
        return errc::none;
    }

    errc end_list() noexcept {
        object_ = object::whole;
        strings_.drop_all();
        return go(place::next_field);
    }

    errc end_object() noexcept {
        switch (object_) {
        case object::whole:
            return last_line_ ? go(place::last_line_end) : errc::manifest_field_missing;
        case object::file: return end_file();
        case object::wal_range: break;
        }
        if (!has(field::timeline) || !has(field::start_lsn) || !has(field::end_lsn))
            return errc::manifest_field_missing;
        if (range_.end < range_.start) return errc::lsn_invalid;
        ++ended_.wal_ranges;
        due_ = due::wal_range;
        return go(place::next_entry);
    }

    errc end_file() noexcept {
        const bool path = has(field::path) || has(field::encoded_path);
        if (!path || !has(field::size) || !has(field::last_modified) ||
            has(field::checksum) != has(field::checksum_algorithm))
            return errc::manifest_field_missing;
        if (has(field::checksum)) {
            const auto parsed = parse_checksum(algorithm_, checksum_);
            if (!parsed) return parsed.code();
            file_.checksum = *parsed;
        }
        ++ended_.files;
        due_ = due::file;
        return go(place::next_entry);
    }

    // All before a name at the top is digested now; itself it is not, until it is known.
    void begin_name(bytes& in) noexcept {
        if (object_ == object::whole) {
            digest_before(in);
            held_ = true;
        }
        strings_.open();
        token_ = token::name;
        take(in, 1);
    }

    errc begin_value(char c) noexcept {
        switch (field_) {
        case field::files:
        case field::wal_ranges:
            entries_ = field_ == field::files ? object::file : object::wal_range;
            return c == '[' ? go(place::first_entry) : misplaced();
        case field::version:
        case field::system_identifier:
        case field::size:
        case field::timeline:
            if (c == '-') return errc::number_invalid;
            if (c < '0' || c > '9') return misplaced();
            token_ = token::number;
            number_ = 0;
            digits_ = 0;
            return errc::none;
        default: break;
        }
        if (c != '"') return misplaced();
        token_ = token::string;
        strings_.open();
        return errc::none;
    }

    errc number(bytes& in) noexcept {
        for (; !in.empty(); take(in, 1)) {
            const char c = static_cast<char>(in.front());
            if (c < '0' || c > '9') {
                if (c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-')
                    return errc::number_invalid;
                token_ = token::none;
                place_ = place::next_field;
                return number_read();
            }
            const auto digit = static_cast<std::uint64_t>(c - '0');
            if ((digits_ == 1 && number_ == 0) || number_ > (UINT64_MAX - digit) / 10)
                return errc::number_invalid;
            number_ = number_ * 10 + digit;
            digits_ = 1;
        }
        return errc::none;
    }

    errc number_read() noexcept {
        switch (field_) {
        case field::version:
            if (number_ != 1 && number_ != 2) return errc::manifest_version_unknown;
            started_.version = static_cast<std::uint32_t>(number_);
            if (number_ == 1) due_ = due::started;
            break;
        case field::system_identifier:
            started_.system_identifier = number_;
            due_ = due::started;
            break;
        case field::timeline:
            if (number_ == 0 || number_ > UINT32_MAX) return errc::timeline_invalid;
            range_.timeline = {static_cast<std::uint32_t>(number_)};
            break;
        default: file_.size = number_; break;
        }
        return errc::none;
    }

    errc string(bytes& in) noexcept {
        const std::size_t before = in.size();
        const errc code = strings_.eat(in);
        eaten_ += before - in.size();
        if (code != errc::none || !strings_.closed()) return code;
        const bool name = token_ == token::name;
        token_ = token::none;
        place_ = name ? place::colon : place::next_field;
        return name ? name_read() : string_read();
    }

    errc name_read() noexcept {
        constexpr field bounds[][2] = {{field::version, field::manifest_checksum},
                                       {field::path, field::checksum},
                                       {field::timeline, field::end_lsn}};
        const auto& own = bounds[static_cast<std::size_t>(object_)];
        const auto found = detail::find_manifest_field(strings_.last(), own[0], own[1]);
        strings_.drop_last();
        if (!found || strings_.escaped()) return errc::manifest_field_unknown;
        field_ = *found;
        std::uint32_t other = bit(field_);
        if (field_ == field::path || field_ == field::encoded_path)
            other = bit(field::path) | bit(field::encoded_path);
        if ((seen_ & other) != 0) return errc::manifest_field_doubled;
        const errc code = object_ == object::whole ? top_name_read() : errc::none;
        seen_ |= bit(field_);
        return code;
    }

    errc top_name_read() noexcept {
        if (!has(field::version) && field_ != field::version) return errc::manifest_version_unknown;
        if (field_ == field::system_identifier) {
            if (started_.version == 1) return errc::manifest_field_unknown;
        } else if (field_ != field::version) {
            if (started_.version == 2 && !has(field::system_identifier))
                return errc::manifest_field_missing;
        }
        held_ = false;
        digested_ = eaten_;
        if (field_ != field::manifest_checksum) {
            errc code = digest_.update(as_bytes("\""));
            if (code == errc::none) code = digest_.update(as_bytes(detail::name_of(field_)));
            return code != errc::none ? code : digest_.update(as_bytes("\""));
        }
        if (!has(field::files) || !has(field::wal_ranges)) return errc::manifest_field_missing;
        if (!line_begins_) return errc::manifest_malformed;
        last_line_ = true;
        ended_.checksum.algorithm = manifest_checksums::sha256;
        const auto size = checksum_size(ended_.checksum.algorithm);
        return digest_.finish(mutable_bytes(ended_.checksum.digest).first(size));
    }

    errc string_read() noexcept {
        const std::string_view text = strings_.last();
        switch (field_) {
        case field::encoded_path:
            file_.path = text;
            if (!strings_.decode_last()) return errc::manifest_path_refused;
            [[fallthrough]];
        case field::path:
            file_.path = strings_.last();
            return is_manifest_path(file_.path) ? errc::none : errc::manifest_path_refused;
        case field::last_modified: file_.last_modified = text; return errc::none;
        case field::checksum: checksum_ = text; return errc::none;
        case field::checksum_algorithm: return algorithm_read(text);
        case field::start_lsn: return lsn_read(text, range_.start);
        case field::end_lsn: return lsn_read(text, range_.end);
        default: break;
        }
        const auto said = parse_checksum(manifest_checksums::sha256, text);
        if (!said) return said.code();
        return *said == ended_.checksum ? errc::none : errc::manifest_checksum_mismatch;
    }

    errc algorithm_read(std::string_view text) noexcept {
        for (auto at = manifest_checksums::crc32c; at <= manifest_checksums::sha512;
             at = static_cast<manifest_checksums>(static_cast<unsigned>(at) + 1)) {
            if (checksum_name(at) != text) continue;
            algorithm_ = at;
            strings_.drop_last();
            return errc::none;
        }
        return errc::manifest_algorithm_unknown;
    }

    errc lsn_read(std::string_view text, lsn& into) noexcept {
        const auto parsed = parse_lsn(text);
        if (parsed) into = *parsed;
        strings_.drop_last();
        return parsed.code();
    }

    std::optional<manifest_event> event() noexcept {
        switch (due_) {
        case due::nothing: break;
        case due::started: return started_;
        case due::file: return file_;
        case due::wal_range: return range_;
        case due::ended: over_ = true; return ended_;
        }
        return std::nullopt;
    }

    std::optional<manifest_event> eat_rest(bytes& in) noexcept {
        in = in.subspan(in.size());
        if (over_) return std::nullopt;
        over_ = true;
        return manifest_failed{failure_, eaten_, open_path()};
    }

    // The path in the entry of a file that is open, which may be unfinished.
    std::string_view open_path() const noexcept {
        const bool open = object_ == object::file && place_ != place::first_entry &&
                          place_ != place::entry && place_ != place::next_entry;
        if (!open) return {};
        const bool now = field_ == field::path || field_ == field::encoded_path;
        return now && token_ == token::string ? strings_.last() : file_.path;
    }

    detail::manifest_strings strings_;
    auth::running_digest digest_;
    std::uint64_t eaten_ = 0;
    std::uint64_t digested_ = 0; // as of eaten_, what went into the digest or never will
    errc failure_ = errc::none;
    place place_ = place::opening;
    token token_ = token::none;
    object object_ = object::whole; // the innermost that is open
    object entries_ = object::file; // what the list that is open is of
    field field_ = field::version;  // whose name was read last
    due due_ = due::nothing;
    bool line_begins_ = false; // a line feed stood right before
    bool held_ = false;        // a name at the top has begun
    bool last_line_ = false;
    bool finished_ = false;
    bool over_ = false;
    std::uint8_t digits_ = 0;
    std::uint64_t number_ = 0;
    std::uint32_t seen_ = 0; // the fields that the whole and the open entry have had, as bits
    manifest_checksums algorithm_ = manifest_checksums::none;
    std::string_view checksum_;
    manifest_started started_;
    listed_file file_;
    wal_range range_;
    manifest_ended ended_;
};

} // namespace walwire::backup
