// What the grammar of replication commands is made of: one token of foresight, the terminals that
// all commands share, their options, and the first error.
//
// There are two kinds of error, as there are on a server. A text that breaks the grammar is refused
// at the token where it does. A text that follows it but says something impossible (an unknown
// option, a rate out of range) is read to its end first, so that a syntax error further on wins;
// then the first impossibility counts. A function here returns false for the first kind only.
//
// Nothing here knows a command; those are in command_parser.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "../bytes.hpp"
#include "../dialect.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "command.hpp"
#include "command_lexer.hpp"
#include "sqlstate.hpp"

namespace walwire::wire {

// Why a command was refused, ready for an ErrorResponse: its message is the three texts in a row.
// The middle one is the client's own word, cut to 128 bytes, and may hold any byte but NUL.
struct command_error {
    errc code = errc::none;
    std::size_t offset =
        0; // of the offending token in the text; its size where something is missing
    std::string_view sqlstate; // five characters
    std::string_view before;
    std::string_view subject;
    std::string_view after;
};

// The message's text, without a NUL.
inline void put(writer& out, const command_error& error) noexcept {
    out.append(error.before);
    out.append(error.subject);
    out.append(error.after);
}

namespace detail {

// One `name` or `name value` of a parenthesised list, as its tokens.
struct option {
    token name;
    token value;
    bool has_value = false;
};

class command_syntax {
  public:
    command_syntax(std::string_view text, std::span<char> scratch, int server_major,
                   dialect spoken) noexcept
        : text_(text), scratch_(scratch), lexer_(text, server_major, spoken), major_(server_major),
          aiondb_(spoken == dialect::aiondb) {
        advance();
    }

    int major() const noexcept { return major_; }
    bool aiondb() const noexcept { return aiondb_; }
    const token& ahead() const noexcept { return ahead_; }
    const command_error& error() const noexcept {
        return error_.code != errc::none ? error_ : refusal_;
    }
    // The first identifier that was cut to 63 bytes, as it was written; empty when none was.
    std::string_view truncated() const noexcept { return truncated_; }

    void advance() noexcept {
        ahead_ = lexer_.next();
        if (ahead_is(token_kind::identifier) && truncated_.empty() &&
            decoded_size() > identifier_size_max)
            truncated_ = ahead_.text;
    }
    bool ahead_is(token_kind kind) const noexcept { return ahead_.kind == kind; }
    bool ahead_is(keyword word) const noexcept {
        return ahead_.kind == token_kind::keyword && ahead_.word == word;
    }
    bool accept(keyword word) noexcept {
        if (!ahead_is(word)) return false;
        advance();
        return true;
    }
    bool accept(char symbol) noexcept {
        if (ahead_.kind != token_kind::symbol || ahead_.text[0] != symbol) return false;
        advance();
        return true;
    }

    // One optional semicolon, and nothing behind it.
    bool end() noexcept {
        accept(';');
        return ahead_is(token_kind::end) || unexpected();
    }

    // The grammar does not allow the token ahead.
    WALWIRE_COLD bool unexpected() noexcept {
        const std::string_view written = text_.substr(ahead_.offset, ahead_.size);
        if (ahead_is(token_kind::unterminated))
            return fail(errc::command_invalid, sqlstate::syntax_error, ahead_.offset,
                        "unterminated quoted string");
        if (ahead_is(token_kind::end))
            return fail(errc::command_invalid, sqlstate::syntax_error, ahead_.offset,
                        "syntax error at end of input");
        return fail(errc::command_invalid, sqlstate::syntax_error, ahead_.offset,
                    "syntax error at or near \"", written, "\"");
    }

    WALWIRE_COLD bool fail(errc code, std::string_view state, std::size_t offset,
                           std::string_view before, std::string_view subject = {},
                           std::string_view after = {}) noexcept {
        error_ = {code, offset, state, before, subject.substr(0, subject_size_max), after};
        return false;
    }

    WALWIRE_COLD void refuse(errc code, std::string_view state, std::size_t offset,
                             std::string_view before, std::string_view subject = {},
                             std::string_view after = {}) noexcept {
        if (refusal_.code != errc::none) return;
        refusal_ = {code, offset, state, before, subject.substr(0, subject_size_max), after};
    }

    // The value of an identifier, a string or, as an option's name, a keyword: a view into the text
    // where that will do, else into the scratch.
    bool decode(const token& from, std::string_view& value) noexcept {
        const bool limited = from.kind != token_kind::string;
        const std::size_t limit = limited ? identifier_size_max : SIZE_MAX;
        if (from.verbatim) {
            value = from.text.substr(0, limit);
            return true;
        }
        const std::size_t first = scratch_.size();
        if (!scratch_.put(from, limit)) return out_of_room(from.offset);
        value = scratch_.since(first);
        return true;
    }

    bool identifier(std::string_view& name) noexcept {
        if (!ahead_is(token_kind::identifier)) return unexpected();
        if (!decode(ahead_, name)) return false;
        advance();
        return true;
    }

    // A slot's name, good or bad; AionDB's may consist of digits alone.
    bool slot_name(token& as_written, std::string_view& name) noexcept {
        as_written = ahead_;
        if (!aiondb_ || !ahead_is(token_kind::number)) return identifier(name);
        name = ahead_.text;
        advance();
        return true;
    }

    // What a bad name means: for a slot that is to be made that it is bad, else that there is no
    // such slot. A server finds out last, after all that is wrong with the options.
    void judge_new_slot(const token& as_written, std::string_view name) noexcept {
        if (is_slot_name(name)) return;
        refuse(errc::name_invalid, sqlstate::invalid_name, as_written.offset,
               "replication slot name \"", name,
               name.empty() ? "\" is too short" : "\" contains invalid character");
    }
    void judge_old_slot(const token& as_written, std::string_view name) noexcept {
        if (is_slot_name(name)) return;
        refuse(errc::name_invalid, sqlstate::undefined_object, as_written.offset,
               "replication slot \"", name, "\" does not exist");
    }

    // A name of identifiers joined by dots, and so joined in the scratch.
    bool dotted_name(std::string_view& name) noexcept {
        const std::size_t first = scratch_.size();
        for (;;) {
            if (!ahead_is(token_kind::identifier)) return unexpected();
            const std::size_t offset = ahead_.offset;
            if (!scratch_.put(ahead_, identifier_size_max)) return out_of_room(offset);
            advance();
            if (!accept('.')) break;
            if (!scratch_.put('.')) return out_of_room(offset);
        }
        name = scratch_.since(first);
        return true;
    }

    // PostgreSQL keeps the low half of an LSN's half that is too long, and of any number; that
    // turns a mistake into another position or timeline, so neither is done here.
    bool position(lsn& at) noexcept {
        result<lsn> parsed = errc::lsn_invalid;
        if (ahead_is(token_kind::position)) {
            parsed = parse_lsn(ahead_.text);
        } else if (aiondb_ && ahead_is(token_kind::number)) {
            const auto value = walwire::detail::parse_decimal(ahead_.text, UINT64_MAX);
            if (value) parsed = lsn{*value};
        } else {
            return unexpected();
        }
        if (!parsed)
            return fail(errc::lsn_invalid, sqlstate::syntax_error, ahead_.offset, "WAL position \"",
                        ahead_.text, "\" is out of range");
        at = *parsed;
        advance();
        return true;
    }

    bool timeline(std::optional<timeline_id>& id) noexcept {
        if (!ahead_is(token_kind::number)) return unexpected();
        const auto parsed = parse_timeline(ahead_.text);
        if (!parsed)
            return fail(errc::timeline_invalid, sqlstate::syntax_error, ahead_.offset,
                        "invalid timeline ", without_zeros(ahead_.text));
        id = *parsed;
        advance();
        return true;
    }

    // `( name [value], ... )`, at least one; each goes to the visitor, which returns false only
    // when the scratch is full.
    template <class Visitor>
    bool options(Visitor&& visit) noexcept {
        if (!accept('(')) return unexpected();
        do {
            option found;
            const bool any_word =
                ahead_is(token_kind::keyword) && !ahead_is(keyword::read_replication_slot);
            if (!any_word && !ahead_is(token_kind::identifier)) return unexpected();
            found.name = ahead_;
            advance();
            found.has_value = ahead_is(token_kind::identifier) || ahead_is(token_kind::string) ||
                              ahead_is(token_kind::number);
            if (found.has_value) {
                found.value = ahead_;
                advance();
            }
            if (!visit(found)) return false;
        } while (accept(','));
        return accept(')') || unexpected();
    }

    // Options may be written in upper case, in lower case, or in lower case within quotes.
    static bool names(const token& name, std::string_view lower) noexcept {
        return name.quoted ? name.verbatim && name.text == lower : equals_folded(name.text, lower);
    }

    // An option's value by what it must be. What it is not is refused, and `value` then left alone.
    void flag(const option& from, std::string_view lower_name, bool& value) noexcept {
        const std::string_view text = from.value.text;
        bool yes = equals_folded(text, "true") || equals_folded(text, "on");
        bool no = equals_folded(text, "false") || equals_folded(text, "off");
        if (from.has_value && from.value.kind == token_kind::number) {
            yes = without_zeros(text) == "1";
            no = without_zeros(text) == "0";
        }
        if (!from.has_value) yes = true;
        if (!yes && !no)
            return refuse(errc::option_invalid, sqlstate::syntax_error, from.value.offset, {},
                          lower_name, " requires a Boolean value");
        value = yes;
    }

    // A number counts as its digits. False only when the scratch is full.
    bool text(const option& from, std::string_view lower_name, std::string_view& value) noexcept {
        if (!from.has_value) {
            refuse(errc::option_invalid, sqlstate::syntax_error, from.name.offset, {}, lower_name,
                   " requires a parameter");
            return true;
        }
        if (from.value.kind != token_kind::number) return decode(from.value, value);
        value = without_zeros(from.value.text);
        return true;
    }

    static std::string_view without_zeros(std::string_view digits) noexcept {
        while (digits.size() > 1 && digits[0] == '0') digits.remove_prefix(1);
        return digits;
    }

    scratch_room& scratch() noexcept { return scratch_; }
    WALWIRE_COLD bool out_of_room(std::size_t offset) noexcept {
        return fail(errc::argument_too_long, sqlstate::program_limit_exceeded, offset,
                    "the command is too long");
    }

  private:
    static constexpr std::size_t subject_size_max = 128;

    // Doubled quotes count once.
    std::size_t decoded_size() const noexcept {
        std::size_t quotes = 0;
        if (ahead_.quoted && !ahead_.verbatim)
            for (const char c : ahead_.text) quotes += c == '"' ? 1U : 0U;
        return ahead_.text.size() - quotes / 2;
    }

    std::string_view text_;
    scratch_room scratch_;
    command_lexer lexer_;
    int major_;
    bool aiondb_;
    token ahead_;
    std::string_view truncated_;
    command_error error_;
    command_error refusal_;
};

} // namespace detail

} // namespace walwire::wire
