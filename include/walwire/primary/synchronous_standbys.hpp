// synchronous_standby_names: which replicas a commit waits for, as PostgreSQL has it.
//
//     (empty)               nobody
//     a, b, *               the first of these that is connected; the same as FIRST 1 (a, b, *)
//     2 (a, b, c)           the same as FIRST 2 (a, b, c)
//     FIRST 2 (a, b, c)     the two that stand first in the list, of those that are connected
//     ANY 2 (a, b, c)       any two of them, whichever are fastest
//
// A name is compared with a replica's application_name without regard to the case of ASCII letters;
// * is every name. It is a word of letters, digits, '_' and '$' that does not begin with a digit or
// '$', or a number; any other is quoted, with a quote in it doubled, and so are FIRST and ANY where
// they are names. A replica's priority is the place of the first name that fits it, from 1 on.
//
// A synchronous standby has been sent all there is once (it is streaming, or stopping), and reports
// what it makes durable: without a flush position it does not count. As long as there are fewer of
// them than asked for, nothing is released and commits wait; nobody is told that they do not
// replicate. What was released once stays released, whatever happens to the standbys.
//
// It differs from PostgreSQL in three cases that are mistakes: a text of blanks is as good as none
// (refused there); a number above 2147483647 is refused (there some are taken for others); and
// there is a limit on the names.
//
// Source of truth: the manual, synchronous_standby_names and "Synchronous Replication"; what
// servers 12 and 18 accept.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "registry.hpp"
#include "write_concern.hpp"

namespace walwire::primary {

// Names in one list. Beyond it: too_many.
inline constexpr std::size_t standby_names_max = 64;

// What a commit waits for on a standby, by the names of PostgreSQL's setting; `off` and `local`
// wait for none.
enum class synchronous_commit : std::uint8_t { remote_write, on, remote_apply };

// Up to where commits are released, for each level.
struct released_positions {
    lsn written;
    lsn flushed;
    lsn applied;

    constexpr lsn at(synchronous_commit level) const noexcept {
        if (level == synchronous_commit::remote_write) return written;
        return level == synchronous_commit::on ? flushed : applied;
    }
    friend constexpr bool operator==(const released_positions&,
                                     const released_positions&) noexcept = default;
};

// sync_state of pg_stat_replication: not listed, or it reports nothing durable; it stands by for a
// synchronous one; it is one of the FIRST n; it is one of those of which ANY n count.
enum class sync_state : std::uint8_t { async, potential, sync, quorum };

constexpr std::string_view text(sync_state state) noexcept {
    constexpr std::string_view names[] = {"async", "potential", "sync", "quorum"};
    return names[static_cast<std::size_t>(state)];
}

enum class standby_method : std::uint8_t { first, any };

namespace detail {

enum class standby_token : std::uint8_t { end, name, number, first, any, symbol, unknown };

// Takes a text of standby names apart. `word()` is the token that next() has found, without the
// quotes around it; quotes within are still doubled.
class standby_lexer {
  public:
    constexpr explicit standby_lexer(std::string_view text) noexcept : rest_(text) {}

    constexpr std::string_view word() const noexcept { return word_; }

    constexpr standby_token next() noexcept {
        while (!rest_.empty() && is_blank(rest_.front())) rest_.remove_prefix(1);
        if (rest_.empty()) return standby_token::end;
        const char c = rest_.front();
        if (c == '"') return quoted();
        if (c == '*') return take(1, standby_token::name);
        if (c == ',' || c == '(' || c == ')') return take(1, standby_token::symbol);
        std::size_t size = 0;
        if (is_digit(c)) {
            while (size < rest_.size() && is_digit(rest_[size])) ++size;
            return take(size, standby_token::number);
        }
        if (!begins_word(c)) return standby_token::unknown;
        while (size < rest_.size() && continues_word(rest_[size])) ++size;
        take(size, standby_token::name);
        if (same_word(word_, "first")) return standby_token::first;
        return same_word(word_, "any") ? standby_token::any : standby_token::name;
    }

    static constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
    // Bytes of UTF-8 and of other encodings count as letters.
    static constexpr bool begins_word(char c) noexcept {
        return (lower(c) >= 'a' && lower(c) <= 'z') || c == '_' ||
               static_cast<unsigned char>(c) > 0x7f;
    }
    static constexpr bool continues_word(char c) noexcept {
        return begins_word(c) || is_digit(c) || c == '$';
    }

  private:
    static constexpr bool is_blank(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }
    constexpr standby_token take(std::size_t size, standby_token kind) noexcept {
        word_ = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return kind;
    }
    constexpr standby_token quoted() noexcept {
        for (std::size_t at = 1; at < rest_.size(); ++at) {
            if (rest_[at] != '"') continue;
            if (at + 1 < rest_.size() && rest_[at + 1] == '"') {
                ++at;
                continue;
            }
            take(at + 1, standby_token::name);
            word_ = word_.substr(1, word_.size() - 2);
            return standby_token::name;
        }
        return standby_token::unknown;
    }

    std::string_view rest_;
    std::string_view word_;
};

// Whether a name, quotes in it doubled, stands for this application_name.
constexpr bool standby_matches(std::string_view name, std::string_view application_name) noexcept {
    if (name == "*") return true;
    std::size_t at = 0;
    for (std::size_t i = 0; i < name.size(); ++i, ++at) {
        if (at == application_name.size() || lower(name[i]) != lower(application_name[at]))
            return false;
        if (name[i] == '"') ++i;
    }
    return at == application_name.size();
}

// Whether a name can be written without quotes around it.
constexpr bool is_plain_standby(std::string_view name) noexcept {
    if (name == "*") return true;
    standby_lexer words(name);
    const standby_token kind = words.next();
    const bool plain = kind == standby_token::name || kind == standby_token::number;
    return plain && words.word().size() == name.size() && name.front() != '"';
}

} // namespace detail

// One setting. It looks into the text that it was parsed from, which must outlive it.
class synchronous_standbys {
  public:
    // Nobody.
    constexpr synchronous_standbys() noexcept = default;

    // standby_names_invalid: it does not follow the form. number_invalid: a count of 0 or above
    // 2147483647. too_many: more than standby_names_max names. argument_has_nul.
    static constexpr result<synchronous_standbys> parse(std::string_view text) noexcept;

    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr standby_method method() const noexcept { return method_; }
    // How many must have a commit, at least 1; more than there are names is allowed, since several
    // replicas may have the same. 0 only where nobody is named.
    constexpr std::uint32_t needed() const noexcept { return needed_; }

    // The names in their order, by a visitor that takes a std::string_view. Quotes in a name are
    // doubled.
    template <class Visitor>
    constexpr void each(Visitor&& visit) const noexcept {
        for (std::size_t i = 0; i < size_; ++i) visit(names_[i]);
    }

    // From 1 on, the lower the earlier; 0 for a name that is not listed.
    constexpr std::uint32_t priority(std::string_view application_name) const noexcept {
        for (std::size_t i = 0; i < size_; ++i) {
            if (detail::standby_matches(names_[i], application_name))
                return static_cast<std::uint32_t>(i + 1);
        }
        return 0;
    }

    // Up to where commits are released by the replicas that are connected now: with FIRST the least
    // position of the chosen standbys, with ANY the one that n have reached, for each level by
    // itself. None while there are fewer standbys than needed. Where nobody is named, nobody is
    // waited for, and everything is released. The work grows with the square of the replicas, of
    // which there are few.
    constexpr std::optional<released_positions> released(const registry& replicas) const noexcept {
        if (empty()) return released_positions{{UINT64_MAX}, {UINT64_MAX}, {UINT64_MAX}};
        if (candidates(replicas) < needed_) return std::nullopt;
        if (method_ == standby_method::first) return least_of_first(replicas);
        return released_positions{
            nth_greatest(replicas, [](const progress& at) noexcept { return at.written(); }),
            nth_greatest(replicas, [](const progress& at) noexcept { return at.flushed(); }),
            nth_greatest(replicas, [](const progress& at) noexcept { return at.applied(); })};
    }

    // Whether a commit that ends at `end` has reached as many standbys as it must.
    constexpr bool released(const registry& replicas, lsn end,
                            synchronous_commit level) const noexcept {
        const auto positions = released(replicas);
        return positions && end <= positions->at(level);
    }

    // What one of the replicas is at this moment.
    constexpr sync_state state_of(const registry& replicas, connection_id id) const noexcept {
        const replica* const asked = replicas.find(id);
        if (asked == nullptr || !asked->progress().flushed().valid() ||
            priority(asked->application_name()) == 0)
            return sync_state::async;
        if (!candidate(*asked)) return sync_state::potential;
        if (method_ == standby_method::any) return sync_state::quorum;
        return ahead_of(replicas, *asked) < needed_ ? sync_state::sync : sync_state::potential;
    }

  private:
    // Whether it can be a synchronous standby now.
    constexpr bool candidate(const replica& each) const noexcept {
        const bool current =
            each.state() == replica_state::streaming || each.state() == replica_state::stopping;
        return current && each.progress().flushed().valid() &&
               priority(each.application_name()) != 0;
    }
    constexpr std::uint32_t candidates(const registry& replicas) const noexcept {
        std::uint32_t count = 0;
        replicas.each([&](const replica& each) noexcept { count += candidate(each) ? 1u : 0u; });
        return count;
    }
    // How many candidates come before this one. Among those of one priority it is who has the
    // earlier place in the registry.
    constexpr std::uint32_t ahead_of(const registry& replicas, const replica& one) const noexcept {
        const std::uint32_t own = priority(one.application_name());
        std::uint32_t count = 0;
        bool earlier = true;
        replicas.each([&](const replica& each) noexcept {
            if (&each == &one) earlier = false;
            if (&each == &one || !candidate(each)) return;
            const std::uint32_t other = priority(each.application_name());
            if (other < own || (other == own && earlier)) ++count;
        });
        return count;
    }

    constexpr released_positions least_of_first(const registry& replicas) const noexcept {
        released_positions least{{UINT64_MAX}, {UINT64_MAX}, {UINT64_MAX}};
        const auto lower_to = [](lsn& to, lsn at) noexcept { to = at < to ? at : to; };
        replicas.each([&](const replica& each) noexcept {
            if (!candidate(each) || ahead_of(replicas, each) >= needed_) return;
            lower_to(least.written, each.progress().written());
            lower_to(least.flushed, each.progress().flushed());
            lower_to(least.applied, each.progress().applied());
        });
        return least;
    }

    // The greatest position that as many candidates as needed have reached.
    template <class Position>
    constexpr lsn nth_greatest(const registry& replicas, Position position) const noexcept {
        lsn greatest;
        replicas.each([&](const replica& each) noexcept {
            if (!candidate(each)) return;
            const lsn at = position(each.progress());
            std::uint32_t reached = 0;
            replicas.each([&](const replica& other) noexcept {
                if (candidate(other) && position(other.progress()) >= at) ++reached;
            });
            if (reached >= needed_ && at > greatest) greatest = at;
        });
        return greatest;
    }

    constexpr errc add(std::string_view name) noexcept {
        if (size_ == names_.size()) return errc::too_many;
        names_[size_++] = name;
        return errc::none;
    }

    std::array<std::string_view, standby_names_max> names_{};
    std::size_t size_ = 0;
    std::uint32_t needed_ = 0;
    standby_method method_ = standby_method::first;
};

// A number at the front is a count if a parenthesis follows, and a name otherwise.
constexpr result<synchronous_standbys> synchronous_standbys::parse(std::string_view text) noexcept {
    using token = detail::standby_token;
    if (text.find('\0') != std::string_view::npos) return errc::argument_has_nul;
    synchronous_standbys parsed;
    detail::standby_lexer in(text);
    token ahead = in.next();
    if (ahead == token::end) return parsed;

    const bool keyword = ahead == token::first || ahead == token::any;
    if (ahead == token::any) parsed.method_ = standby_method::any;
    if (keyword) ahead = in.next();
    if (keyword && ahead != token::number) return errc::standby_names_invalid;
    std::string_view number = "1";
    detail::standby_lexer behind = in;
    const bool listed =
        ahead == token::number && behind.next() == token::symbol && behind.word() == "(";
    if (keyword && !listed) return errc::standby_names_invalid;
    if (listed) {
        number = in.word();
        in = behind;
        ahead = in.next();
    }
    for (;;) {
        if (ahead != token::name && ahead != token::number) return errc::standby_names_invalid;
        if (const errc code = parsed.add(in.word()); code != errc::none) return code;
        ahead = in.next();
        if (ahead != token::symbol || in.word() != ",") break;
        ahead = in.next();
    }
    if (listed) {
        if (ahead != token::symbol || in.word() != ")") return errc::standby_names_invalid;
        ahead = in.next();
    }
    if (ahead != token::end) return errc::standby_names_invalid;
    const auto needed = walwire::detail::parse_decimal(number, INT32_MAX);
    if (!needed || *needed == 0) return errc::number_invalid;
    parsed.needed_ = static_cast<std::uint32_t>(*needed);
    return parsed;
}

// Writes it as it reads back, always with FIRST or ANY and a count.
inline void put(writer& out, const synchronous_standbys& standbys) noexcept {
    if (standbys.empty()) return;
    out.append(standbys.method() == standby_method::first ? "FIRST " : "ANY ");
    out.append(decimal_text(standbys.needed()));
    out.append(" (");
    std::string_view before;
    standbys.each([&](std::string_view name) noexcept {
        const std::string_view quote = detail::is_plain_standby(name) ? "" : "\"";
        for (const std::string_view part : {before, quote, name, quote}) out.append(part);
        before = ", ";
    });
    out.append(")");
}

} // namespace walwire::primary
