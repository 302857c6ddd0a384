// libpq connection strings: where to connect, as whom, and how safely.
//
// Two forms say the same things:
//
//     host=db.example.com port=5433 user=standby password='it\'s \\ secret' sslmode=verify-full ...
//     postgresql://standby:it%27s%20secret@[2001:db8::7]:5433/dbname?sslmode=require&options=...
//
// In the first, blanks may stand around '=', a value with blanks is quoted, and a backslash takes
// the next character as it is, inside quotes and outside. In the second every part but
// "postgresql://" (or "postgres://") may be missing, %XX stands for any byte but NUL, and an
// address of IPv6 is bracketed. A keyword given twice counts with its last value; an empty text is
// as good as none.
//
// This is not a resolver of names, environment variables, service or password files: those belong
// to the adapter, which fills what is empty. It differs from libpq on purpose where guessing is
// unsafe: one host only, no keyword that it does not act on, values are checked here instead of at
// connecting, and what is doubtful in a URI (a raw '@' or blank where one should be encoded) is
// refused.
//
// Secrets: the password appears in conninfo::password and nowhere else. No text printed here and no
// error holds it, nor what may be the rest of one that somebody forgot to quote or to encode.
//
// Source of truth: the manual, "Connection Strings" and "Parameter Key Words" of libpq.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "bytes.hpp"
#include "conninfo_keywords.hpp"
#include "error.hpp"
#include "lsn.hpp"

namespace walwire {

// Whether the adapter that will connect can do TLS. Without it a text that demands TLS is refused
// when it is parsed, never met later, so that no link meant to be encrypted falls back to plain
// bytes. With it, one whose sslmode verifies the server must name an sslrootcert, unless the
// adapter knows where root certificates are that nobody names, as libpq does
// (~/.postgresql/root.crt), and refuses to connect where there are none.
enum class tls_support : std::uint8_t { absent, present, with_roots };

// What is wrong with a connection string, and where. `offset` counts bytes of the text: the start
// of the keyword where that is at fault, of the value where that is, of the very character where
// one is. `keyword` is one of the library's own words or, for conninfo_unknown_keyword, a view into
// the text. It is empty where there is no keyword or where naming it might print a part of a
// password: directly behind a password, before a raw '@' in a URI, and when it is not made of
// letters, digits and '_'.
struct conninfo_error {
    errc code = errc::none;
    std::uint32_t offset = 0;
    std::string_view keyword{};

    constexpr bool ok() const noexcept { return code == errc::none; }
    friend constexpr bool operator==(const conninfo_error&,
                                     const conninfo_error&) noexcept = default;
};

namespace detail {

// libpq's isspace(), in the C locale.
constexpr bool is_blank(char c) noexcept {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

constexpr bool is_word(std::string_view text) noexcept {
    for (const char c : text) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_') return false;
    }
    return true;
}

// One pass over one text. Each value is decoded into the storage behind the values kept so far; it
// stays there if its field is a view, and is written over by the next if it was a number or a
// choice.
class conninfo_parser {
  public:
    conninfo_parser(std::string_view text, std::span<char> storage, tls_support tls) noexcept
        : text_(text), storage_(storage), tls_(tls) {
        where_.fill(absent);
    }

    conninfo_error parse(conninfo& out) noexcept {
        const std::size_t prefix = uri_prefix();
        bool read = false;
        if (text_.size() > conninfo_size_max) {
            fail(errc::conninfo_too_long, conninfo_size_max);
        } else if (const std::size_t nul = text_.find('\0'); nul != text_.npos) {
            fail(errc::argument_has_nul, nul);
        } else {
            read = prefix == 0 ? pairs() : uri(prefix);
        }
        if (read && settle()) {
            out = info_;
        } else {
            // A password may have been decoded before the fault was found.
            const std::size_t touched =
                text_.size() < storage_.size() ? text_.size() : storage_.size();
            wipe(std::as_writable_bytes(storage_.first(touched)));
        }
        return error_;
    }

  private:
    using keyword = conninfo_keyword;
    static constexpr std::uint32_t absent = UINT32_MAX;

    bool fail(errc code, std::size_t offset, std::string_view name = {}) noexcept {
        error_ = {code, static_cast<std::uint32_t>(offset), name};
        return false;
    }
    bool fail_at(errc code, keyword at_fault) noexcept {
        WALWIRE_ASSERT(given(at_fault));
        return fail(code, where(at_fault), row_of(at_fault).name);
    }
    bool failed() const noexcept { return error_.code != errc::none; }
    std::uint32_t& where(keyword which) noexcept { return where_[static_cast<std::size_t>(which)]; }
    bool given(keyword which) noexcept { return where(which) != absent; }

    // How much of the text says that it is a URI.
    std::size_t uri_prefix() const noexcept {
        for (const std::string_view prefix : {"postgresql://", "postgres://"}) {
            if (text_.starts_with(prefix)) return prefix.size();
        }
        return 0;
    }

    // keyword = value keyword = 'value' ...
    bool pairs() noexcept {
        for (std::size_t at = skip_blanks(0); at < text_.size(); at = skip_blanks(at)) {
            const std::size_t first = at;
            while (at < text_.size() && text_[at] != '=' && !is_blank(text_[at])) ++at;
            const std::string_view name = text_.substr(first, at - first);
            at = skip_blanks(at);
            if (at == text_.size() || text_[at] != '=') return fail(errc::conninfo_syntax, first);
            if (!begin(name, name, first)) return false;
            at = skip_blanks(at + 1);
            if (!value(at)) return false;
        }
        return true;
    }

    // A backslash at the very end of an unquoted value is dropped, as libpq does.
    bool value(std::size_t& at) noexcept {
        const std::size_t first = at;
        const bool quoted = at < text_.size() && text_[at] == '\'';
        if (quoted) ++at;
        for (; at < text_.size(); ++at) {
            if (quoted ? text_[at] == '\'' : is_blank(text_[at])) break;
            if (text_[at] == '\\' && ++at == text_.size()) break;
            if (!put(text_[at], first)) return false;
        }
        if (quoted) {
            if (at == text_.size()) return fail(errc::conninfo_unterminated, first, row_->name);
            ++at;
        }
        return keep(first);
    }

    std::size_t skip_blanks(std::size_t at) const noexcept {
        while (at < text_.size() && is_blank(text_[at])) ++at;
        return at;
    }

    // [user[:password]@][host][:port][/dbname][?keyword=value&...]
    bool uri(std::size_t at) noexcept {
        at = userinfo(at);
        if (failed()) return false;
        if (const std::size_t raw = text_.substr(0, text_.find('?', at)).find('@', at);
            raw != text_.npos)
            return fail(errc::conninfo_syntax, raw);
        at = host(at);
        if (failed()) return false;
        if (at < text_.size() && text_[at] == ':') {
            const std::size_t last = end_of(at + 1, "/?");
            if (!component(keyword::port, at + 1, last)) return false;
            at = last;
        }
        if (at < text_.size() && text_[at] == '/') {
            const std::size_t last = end_of(at + 1, "?");
            if (!component(keyword::dbname, at + 1, last)) return false;
            at = last;
        }
        return at == text_.size() || query(at + 1);
    }

    // The place behind '@', or `at` when there is no user. As in libpq the first '@' before any '/'
    // ends it, so a raw '?' can be part of a password. In a user's name it is refused: the text is
    // more likely a query whose value holds a raw '@', and that value may be a secret.
    std::size_t userinfo(std::size_t at) noexcept {
        const std::size_t last = end_of(at, "@/");
        if (last == text_.size() || text_[last] != '@') return at;
        const std::size_t colon = text_.substr(0, last).find(':', at);
        const std::size_t user_last = colon == text_.npos ? last : colon;
        if (const std::size_t raw = end_of(at, "?"); raw < user_last) {
            fail(errc::conninfo_syntax, raw);
        } else if (component(keyword::user, at, user_last) && colon != text_.npos) {
            component(keyword::password, colon + 1, last);
        }
        return last + 1;
    }

    // The place behind the host, where a port, a path or a query may begin.
    std::size_t host(std::size_t at) noexcept {
        std::size_t last = end_of(at, ":/?,");
        if (at < text_.size() && text_[at] == '[') {
            const std::size_t close = end_of(at, "]");
            const bool closed = close < text_.size();
            last = closed ? close + 1 : close;
            if (!closed || close == at + 1 ||
                (last < text_.size() && end_of(last, ":/?,") != last)) {
                fail(errc::conninfo_syntax, closed ? close : at, row_of(keyword::host).name);
            } else {
                component(keyword::host, at + 1, close);
            }
        } else {
            component(keyword::host, at, last);
        }
        if (!failed() && last < text_.size() && text_[last] == ',')
            fail(errc::conninfo_several_hosts, last, row_of(keyword::host).name);
        return last;
    }

    // One '&' may stand behind the last parameter, none elsewhere; a raw '=' in a value is refused.
    // The parameter ssl=true, JDBC's, means sslmode=require.
    bool query(std::size_t at) noexcept {
        while (at < text_.size()) {
            const std::size_t equals = end_of(at, "=&");
            if (equals == text_.size() || text_[equals] == '&')
                return fail(errc::conninfo_syntax, at);
            std::array<char, conninfo_keyword_size_max> decoded;
            std::size_t size = 0;
            for (std::size_t from = at; from < equals;) {
                const int c = character(from, equals, {});
                if (c < 0) return false;
                if (size == decoded.size()) return fail(errc::conninfo_too_long, at);
                decoded[size++] = static_cast<char>(c);
            }
            std::string_view name(decoded.data(), size);
            const std::size_t last = end_of(equals + 1, "&");
            const bool jdbc =
                name == "ssl" && text_.substr(equals + 1, last - equals - 1) == "true";
            if (jdbc) name = row_of(keyword::sslmode).name;
            if (!begin(name, text_.substr(at, equals - at), at)) return false;
            if (const std::size_t raw = end_of(equals + 1, "=&"); raw < last)
                return fail(errc::conninfo_syntax, raw, row_->name);
            if (jdbc) {
                info_.sslmode = ssl_mode::require;
                where(keyword::sslmode) = static_cast<std::uint32_t>(equals + 1);
            } else if (!decode(equals + 1, last)) {
                return false;
            }
            at = last + 1;
        }
        return true;
    }

    std::size_t end_of(std::size_t at, std::string_view ends) const noexcept {
        const std::size_t end = text_.find_first_of(ends, at);
        return end == text_.npos ? text_.size() : end;
    }

    // A part of a URI that has its own place; an empty one leaves the default.
    bool component(keyword which, std::size_t first, std::size_t last) noexcept {
        if (first == last) return true;
        const std::string_view name = row_of(which).name;
        return begin(name, name, first) && decode(first, last);
    }

    bool decode(std::size_t first, std::size_t last) noexcept {
        for (std::size_t at = first; at < last;) {
            const int c = character(at, last, row_->name);
            if (c < 0 || !put(static_cast<char>(c), first)) return false;
        }
        return keep(first);
    }

    // The next character of a URI's part, decoded, or -1. Blanks and control characters must be
    // encoded.
    int character(std::size_t& at, std::size_t last, std::string_view name) noexcept {
        const std::size_t first = at++;
        const auto raw = static_cast<unsigned char>(text_[first]);
        int c = raw;
        if (raw == '%') {
            const int high = last - first > 2 ? hex_digit(text_[first + 1]) : -1;
            const int low = high < 0 ? -1 : hex_digit(text_[first + 2]);
            at = first + 3;
            c = low < 0 ? -1 : high * 16 + low;
        } else if (raw <= ' ' || raw == 0x7f) {
            c = -1;
        }
        if (c < 0) fail(errc::conninfo_syntax, first, name);
        if (c == 0) fail(errc::argument_has_nul, first, name);
        return c == 0 ? -1 : c;
    }

    // Opens an assignment: `name` is what it sets, `raw` is how the text spells it at `offset`.
    bool begin(std::string_view name, std::string_view raw, std::size_t offset) noexcept {
        if (name.size() > conninfo_keyword_size_max) return fail(errc::conninfo_too_long, offset);
        row_ = nullptr;
        for (const conninfo_row& row : conninfo_rows) {
            if (row.name == name) row_ = &row;
        }
        if (row_ == nullptr) {
            const bool may_be_secret = behind_password_ || !is_word(raw) ||
                                       (uri_prefix() != 0 && end_of(offset, "@") < text_.size());
            return fail(errc::conninfo_unknown_keyword, offset, may_be_secret ? "" : raw);
        }
        behind_password_ = row_->keyword == keyword::password;
        if (++count_ > conninfo_keywords_max)
            return fail(errc::conninfo_too_long, offset, row_->name);
        size_ = 0;
        return true;
    }

    bool put(char c, std::size_t first) noexcept {
        if (size_ == conninfo_value_size_max)
            return fail(errc::conninfo_too_long, first, row_->name);
        if (used_ + size_ == storage_.size())
            return fail(errc::memory_too_small, first, row_->name);
        storage_[used_ + size_++] = c;
        return true;
    }

    // Ends an assignment: the decoded value goes to its field.
    bool keep(std::size_t first) noexcept {
        const std::string_view value(storage_.data() + used_, size_);
        const errc code = row_->text != nullptr ? keep_text(value) : keep_choice(value);
        if (code != errc::none) return fail(code, first, row_->name);
        where(row_->keyword) = value.empty() ? absent : static_cast<std::uint32_t>(first);
        return true;
    }

    errc keep_text(std::string_view value) noexcept {
        const keyword which = row_->keyword;
        const bool address = which == keyword::host || which == keyword::hostaddr;
        if (address && value.find(',') != value.npos) return errc::conninfo_several_hosts;
        if ((which == keyword::hostaddr && !is_numeric_address(value)) ||
            (which == keyword::replication_slot && !is_slot_name(value)))
            return errc::conninfo_value_invalid;
        info_.*row_->text = value.empty() ? conninfo{}.*row_->text : value;
        used_ += size_;
        return errc::none;
    }

    errc keep_choice(std::string_view value) noexcept {
        switch (row_->keyword) {
        case keyword::port: return port(value);
        case keyword::connect_timeout: return seconds(value);
        case keyword::sslmode: return choose(value, ssl_modes, info_.sslmode);
        case keyword::sslnegotiation: return choose(value, ssl_negotiations, info_.sslnegotiation);
        case keyword::gssencmode: return choose(value, three_modes, info_.gssencmode);
        case keyword::channel_binding: return choose(value, three_modes, info_.channel_binding);
        case keyword::min_protocol_version: return version(value, info_.min_protocol_version);
        default: return version(value, info_.max_protocol_version);
        }
    }

    template <class Choice>
    static errc choose(std::string_view value, std::span<const std::string_view> words,
                       Choice& out) noexcept {
        for (std::size_t i = 0; i < words.size(); ++i) {
            if (value != words[i]) continue;
            out = static_cast<Choice>(i);
            return errc::none;
        }
        return errc::conninfo_value_invalid;
    }

    errc port(std::string_view value) noexcept {
        if (value.find(',') != value.npos) return errc::conninfo_several_hosts;
        const auto number = parse_decimal(value.empty() ? "5432" : value, UINT16_MAX);
        if (!number || *number == 0) return errc::conninfo_value_invalid;
        info_.port = static_cast<std::uint16_t>(*number);
        return errc::none;
    }

    errc seconds(std::string_view value) noexcept {
        const bool negative = value.starts_with('-');
        if (negative) value.remove_prefix(1);
        const auto number = parse_decimal(value.empty() && !negative ? "0" : value, INT32_MAX);
        if (!number) return errc::conninfo_value_invalid;
        info_.connect_timeout = negative ? 0 : static_cast<std::uint32_t>(*number);
        return errc::none;
    }

    static errc version(std::string_view value, std::uint32_t& out) noexcept {
        if (value != "3.0" && value != "3.2" && value != "latest")
            return errc::conninfo_value_invalid;
        out = value == "3.0" ? 3u << 16 : 3u << 16 | 2u;
        return errc::none;
    }

    // The rules that join several keywords, once all of them are known.
    bool settle() noexcept {
        if (!given(keyword::host) && given(keyword::hostaddr)) info_.host = info_.hostaddr;
        if (!given(keyword::max_protocol_version) &&
            info_.max_protocol_version < info_.min_protocol_version)
            info_.max_protocol_version = info_.min_protocol_version;
        if (info_.max_protocol_version < info_.min_protocol_version)
            return fail_at(errc::conninfo_value_invalid, keyword::min_protocol_version);
        if (info_.sslrootcert == "system" && !given(keyword::sslmode)) {
            info_.sslmode = ssl_mode::verify_full;
            where(keyword::sslmode) = where(keyword::sslrootcert);
        }
        if (info_.sslrootcert == "system" && info_.sslmode < ssl_mode::verify_full)
            return fail_at(errc::conninfo_value_invalid, keyword::sslmode);
        if (info_.sslnegotiation == ssl_negotiation::direct && info_.sslmode < ssl_mode::require)
            return fail_at(errc::conninfo_value_invalid, keyword::sslnegotiation);
        const bool bound = info_.channel_binding == channel_binding_mode::require;
        if (bound && info_.sslmode == ssl_mode::disable)
            return fail_at(errc::conninfo_value_invalid, keyword::channel_binding);
        if (tls_ == tls_support::absent && info_.sslmode >= ssl_mode::require)
            return fail_at(errc::conninfo_tls_unavailable, keyword::sslmode);
        if (tls_ == tls_support::absent && bound)
            return fail_at(errc::conninfo_tls_unavailable, keyword::channel_binding);
        if (tls_ != tls_support::with_roots && info_.sslmode >= ssl_mode::verify_ca &&
            info_.sslrootcert.empty())
            return fail_at(errc::conninfo_needs_root_cert, keyword::sslmode);
        return true;
    }

    std::string_view text_;
    std::span<char> storage_;
    std::size_t used_ = 0;              // bytes of the storage that hold values kept
    std::size_t size_ = 0;              // bytes behind them, of the value being decoded
    std::size_t count_ = 0;             // assignments seen
    const conninfo_row* row_ = nullptr; // the keyword being assigned
    bool behind_password_ = false;      // it is the password, or the one before was
    tls_support tls_;
    // Where the value of each keyword begins in the text, or absent.
    std::array<std::uint32_t, static_cast<std::size_t>(keyword::count)> where_;
    conninfo info_;
    conninfo_error error_;
};

} // namespace detail

// Reads a connection string of either form. The values are decoded into `storage`; as many bytes as
// the text has are always enough, and less is refused by memory_too_small only when it does not
// suffice. The views in `out` lie there, so keep it as long as them; when the password has been
// handed over, wipe() all of it: it may also hold values that later ones replaced. The text may go
// away at once, except that an error may name a keyword in it. Text and storage must not overlap.
// On failure `out` is as it was and what was decoded is wiped. The work is proportional to the size
// of the text.
inline conninfo_error parse_conninfo(std::string_view text, std::span<char> storage, conninfo& out,
                                     tls_support tls) noexcept {
    return detail::conninfo_parser(text, storage, tls).parse(out);
}

// One line for a log or a terminal: what is wrong, the keyword if it may be named, the byte's
// offset. memory_too_small when `room` does not hold it; conninfo_error_printed_size_max always
// does.
inline constexpr std::size_t conninfo_error_printed_size_max = 256;
inline result<std::string_view> to_text(const conninfo_error& error,
                                        std::span<char> room) noexcept {
    writer out(std::as_writable_bytes(room));
    out.append(text(error.code));
    if (!error.keyword.empty()) {
        out.append(": ");
        out.append(error.keyword);
    }
    out.append(" at byte ");
    out.append(decimal_text(error.offset));
    if (!out.ok()) return errc::memory_too_small;
    return std::string_view(room.data(), out.size());
}

} // namespace walwire
