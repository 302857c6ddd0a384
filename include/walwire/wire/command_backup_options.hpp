// The options of BASE_BACKUP, as the versions before and after 15 write them.
//
//     up to 14   BASE_BACKUP LABEL 'nightly' PROGRESS FAST NOWAIT MAX_RATE 4096
//     since 15   BASE_BACKUP (LABEL 'nightly', PROGRESS, CHECKPOINT 'fast', WAIT 0, MAX_RATE 4096)
//
// Each may be given once, in any order. Those that only make sense together are judged when all are
// known. Two are left to whoever makes the backup: targets of other names than PostgreSQL's own,
// which modules may add, and a compression's detail, whose range depends on the library that
// compresses.
//
// Source of truth: the manual, "Streaming Replication Protocol", BASE_BACKUP; running servers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "../error.hpp"
#include "command.hpp"
#include "command_lexer.hpp"
#include "command_syntax.hpp"

namespace walwire::wire::detail {

enum class backup_option : std::uint8_t {
    label,
    progress,
    checkpoint,
    wal,
    wait,
    max_rate,
    tablespace_map,
    verify_checksums,
    manifest,
    manifest_checksums,
    target,
    target_detail,
    compression,
    compression_detail,
    incremental,
};

inline constexpr std::string_view backup_option_names[] = {
    "label",       "progress",           "checkpoint",     "wal",
    "wait",        "max_rate",           "tablespace_map", "verify_checksums",
    "manifest",    "manifest_checksums", "target",         "target_detail",
    "compression", "compression_detail", "incremental",
};

// A keyword of the versions up to 14, the option that it is, and the value that must follow: none
// where it is `end`, and then the keyword says the opposite of the default.
struct legacy_backup_option {
    keyword word;
    backup_option which;
    token_kind value;
};

inline constexpr legacy_backup_option legacy_backup_options[] = {
    {keyword::label, backup_option::label, token_kind::string},
    {keyword::progress, backup_option::progress, token_kind::end},
    {keyword::fast, backup_option::checkpoint, token_kind::end},
    {keyword::wal, backup_option::wal, token_kind::end},
    {keyword::nowait, backup_option::wait, token_kind::end},
    {keyword::max_rate, backup_option::max_rate, token_kind::number},
    {keyword::tablespace_map, backup_option::tablespace_map, token_kind::end},
    {keyword::noverify_checksums, backup_option::verify_checksums, token_kind::end},
    {keyword::manifest, backup_option::manifest, token_kind::string},
    {keyword::manifest_checksums, backup_option::manifest_checksums, token_kind::string},
};

class backup_options {
  public:
    backup_options(command_syntax& in, base_backup& into) noexcept : in_(in), into_(into) {}

    bool take(const option& given) noexcept {
        const int known = in_.major() >= 17 ? 15 : 14; // `incremental` stands last
        for (int i = 0; i < known; ++i)
            if (in_.names(given.name, backup_option_names[i]))
                return take(static_cast<backup_option>(i), given);
        std::string_view name;
        if (!in_.decode(given.name, name)) return false;
        in_.refuse(errc::option_unknown, sqlstate::syntax_error, given.name.offset,
                   "unrecognized base backup option: \"", name, "\"");
        return true;
    }

    // Bare keywords, some with a value behind them.
    bool legacy() noexcept {
        while (in_.ahead_is(token_kind::keyword)) {
            const legacy_backup_option* found = nullptr;
            for (const legacy_backup_option& entry : legacy_backup_options)
                if (in_.ahead_is(entry.word)) found = &entry;
            if (!found) return in_.unexpected();
            option given;
            given.name = in_.ahead();
            given.has_value = found->value != token_kind::end;
            in_.advance();
            if (given.has_value) {
                if (!in_.ahead_is(found->value)) return in_.unexpected();
                given.value = in_.ahead();
                in_.advance();
            }
            if (!take(found->which, given)) return false;
        }
        return true;
    }

    // What only makes sense together.
    void judge() noexcept {
        if (into_.checksums && into_.manifest == backup_manifest::no)
            conflict("manifest checksums require a backup manifest");
        if (seen(backup_option::target) && into_.target.empty())
            in_.refuse(errc::option_invalid, sqlstate::feature_not_supported, first_,
                       "unrecognized target: \"\"");
        const bool has_detail = seen(backup_option::target_detail);
        switch (judge_target(into_.target, has_detail, into_.target_detail)) {
        case target_fault::none: break;
        case target_fault::detail_alone:
            conflict("target detail cannot be used without target");
            break;
        case target_fault::detail_unwanted:
            in_.refuse(errc::option_conflict, sqlstate::syntax_error, first_, "target \"",
                       into_.target, "\" does not accept a target detail");
            break;
        case target_fault::detail_missing:
            in_.refuse(errc::option_conflict, sqlstate::syntax_error, first_, "target \"",
                       into_.target, "\" requires a target detail");
            break;
        case target_fault::relative:
            in_.refuse(errc::option_invalid, sqlstate::invalid_name, first_,
                       "relative path not allowed for backup stored on server");
            break;
        }
        if (seen(backup_option::compression_detail) && !into_.compression)
            conflict("compression detail cannot be specified unless compression is enabled");
    }

  private:
    bool seen(backup_option which) const noexcept {
        return (seen_ >> static_cast<unsigned>(which) & 1U) != 0;
    }

    void conflict(std::string_view message) noexcept {
        in_.refuse(errc::option_conflict, sqlstate::syntax_error, first_, message);
    }

    bool take(backup_option which, const option& given) noexcept {
        if (seen_ == 0) first_ = given.name.offset;
        if (seen(which)) {
            std::string_view name;
            if (!in_.decode(given.name, name)) return false;
            in_.refuse(errc::option_conflict, sqlstate::syntax_error, given.name.offset,
                       "duplicate option \"", name, "\"");
            return true;
        }
        seen_ |= 1U << static_cast<unsigned>(which);
        const bool bare = in_.major() < 15 && !given.has_value;
        const std::string_view name = backup_option_names[static_cast<std::size_t>(which)];
        switch (which) {
        case backup_option::label: return take_label(given);
        case backup_option::progress: in_.flag(given, name, into_.progress); break;
        case backup_option::checkpoint:
            if (!bare) return take_checkpoint(given);
            into_.checkpoint = backup_checkpoint::fast;
            break;
        case backup_option::wal: in_.flag(given, name, into_.wal); break;
        case backup_option::wait:
            in_.flag(given, name, into_.wait);
            if (bare) into_.wait = false;
            break;
        case backup_option::max_rate: take_max_rate(given); break;
        case backup_option::tablespace_map: in_.flag(given, name, into_.tablespace_map); break;
        case backup_option::verify_checksums:
            in_.flag(given, name, into_.verify_checksums);
            if (bare) into_.verify_checksums = false;
            break;
        case backup_option::manifest: return take_manifest(given);
        case backup_option::manifest_checksums: return take_checksums(given);
        case backup_option::target: return in_.text(given, name, into_.target);
        case backup_option::target_detail: return in_.text(given, name, into_.target_detail);
        case backup_option::compression: return take_compression(given);
        case backup_option::compression_detail:
            return in_.text(given, name, into_.compression_detail);
        case backup_option::incremental: in_.flag(given, name, into_.incremental); break;
        }
        return true;
    }

    bool take_label(const option& given) noexcept {
        if (!in_.text(given, "label", into_.label)) return false;
        if (into_.label.size() > backup_label_size_max)
            in_.refuse(errc::option_invalid, sqlstate::invalid_parameter_value, given.value.offset,
                       "backup label too long (max 1024 bytes)");
        // It becomes a line of the file backup_label, where further lines would say other things.
        if (into_.label.find_first_of("\n\r") != std::string_view::npos)
            in_.refuse(errc::option_invalid, sqlstate::invalid_parameter_value, given.value.offset,
                       "backup label must be a single line");
        return true;
    }

    void take_max_rate(const option& given) noexcept {
        if (!given.has_value || given.value.kind != token_kind::number)
            return in_.refuse(errc::option_invalid, sqlstate::syntax_error, given.name.offset,
                              "max_rate requires a numeric value");
        const auto rate = walwire::detail::parse_decimal(given.value.text, backup_rate_max);
        if (!rate || *rate < backup_rate_min)
            return in_.refuse(errc::option_invalid, sqlstate::numeric_value_out_of_range,
                              given.value.offset, {}, in_.without_zeros(given.value.text),
                              " is outside the valid range for parameter \"MAX_RATE\" "
                              "(32 .. 1048576)");
        into_.max_rate = static_cast<std::uint32_t>(*rate);
    }

    enum class letters : std::uint8_t { exact, any_case };

    // The index of the option's value among `choices`; -1 where it is none of them, and refused.
    bool choose(const option& given, backup_option which, letters how,
                std::span<const std::string_view> choices, std::string_view refusal,
                int& index) noexcept {
        std::string_view word;
        index = -1;
        if (!in_.text(given, backup_option_names[static_cast<std::size_t>(which)], word))
            return false;
        for (std::size_t i = 0; i < choices.size(); ++i) {
            const bool same =
                how == letters::exact ? word == choices[i] : equal_in_any_case(word, choices[i]);
            if (same) index = static_cast<int>(i);
        }
        // Where there is no value at all, this was refused before, and the first refusal counts.
        if (index < 0)
            in_.refuse(errc::option_invalid, sqlstate::syntax_error, given.value.offset, refusal,
                       word, "\"");
        return true;
    }

    static constexpr bool equal_in_any_case(std::string_view a, std::string_view b) noexcept {
        if (a.size() != b.size()) return false;
        for (std::size_t i = 0; i < a.size(); ++i)
            if (to_lower(a[i]) != to_lower(b[i])) return false;
        return true;
    }

    bool take_checkpoint(const option& given) noexcept {
        int index = -1;
        if (!choose(given, backup_option::checkpoint, letters::any_case, checkpoint_names,
                    "unrecognized checkpoint type: \"", index))
            return false;
        if (index >= 0) into_.checkpoint = static_cast<backup_checkpoint>(index);
        return true;
    }

    // Besides its own words it takes those of a truth value and what they begin with, as settings
    // do.
    bool take_manifest(const option& given) noexcept {
        std::string_view word;
        if (!in_.text(given, "manifest", word)) return false;
        const bool yes = word == "1" || abbreviates(word, "yes", 1) ||
                         abbreviates(word, "true", 1) || abbreviates(word, "on", 2);
        const bool no = word == "0" || abbreviates(word, "no", 1) ||
                        abbreviates(word, "false", 1) || abbreviates(word, "off", 2);
        if (equals_folded(word, "force-encode"))
            into_.manifest = backup_manifest::force_encode;
        else if (yes || no)
            into_.manifest = yes ? backup_manifest::yes : backup_manifest::no;
        else
            in_.refuse(errc::option_invalid, sqlstate::syntax_error, given.value.offset,
                       "unrecognized manifest option: \"", word, "\"");
        return true;
    }

    static constexpr bool abbreviates(std::string_view word, std::string_view lower,
                                      std::size_t at_least) noexcept {
        return word.size() >= at_least && equals_folded(word, lower.substr(0, word.size()));
    }

    bool take_checksums(const option& given) noexcept {
        int index = -1;
        if (!choose(given, backup_option::manifest_checksums, letters::any_case, checksum_names,
                    "unrecognized checksum algorithm: \"", index))
            return false;
        if (index >= 0) into_.checksums = static_cast<manifest_checksums>(index);
        return true;
    }

    bool take_compression(const option& given) noexcept {
        int index = -1;
        if (!choose(given, backup_option::compression, letters::exact, compression_names,
                    "unrecognized compression algorithm: \"", index))
            return false;
        if (index >= 0) into_.compression = static_cast<backup_compression>(index);
        return true;
    }

    command_syntax& in_;
    base_backup& into_;
    std::uint32_t seen_ = 0;
    std::size_t first_ = 0;
};

inline bool read(command_syntax& in, base_backup& into) noexcept {
    if (in.aiondb()) return true;
    backup_options options(in, into);
    const bool listed = in.ahead_is(token_kind::symbol) && in.ahead().text == "(";
    if (in.major() < 15) {
        if (!options.legacy()) return false;
    } else if (listed) {
        if (!in.options([&](const option& given) noexcept { return options.take(given); }))
            return false;
    }
    options.judge();
    return true;
}

} // namespace walwire::wire::detail
