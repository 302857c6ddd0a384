// What a primary says when it will not: an SQLSTATE, a sentence, and whether the connection ends.
//
// The sentences are those that PostgreSQL's users search the web for; only the SQLSTATE is for
// programs. What a broken protocol is answered with stands here as well: each code of error.hpp
// that a client can cause has its refusal, or silence where PostgreSQL is silent, because nobody
// knows whether what is at the other end would understand it.
//
// Source of truth: the manual, appendix "PostgreSQL Error Codes"; what servers 12 to 18 say.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "../dialect.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../wire/conversation.hpp"
#include "../wire/fields.hpp"
#include "../wire/sqlstate.hpp"

namespace walwire::primary {

// `message` is one sentence; detail and hint may be empty. After a fatal one the session closes.
struct refusal {
    std::string_view sqlstate;
    std::string_view message;
    std::string_view detail;
    std::string_view hint;
    bool fatal = false;
};

namespace sqlstate = wire::sqlstate;

inline constexpr std::string_view slot_name_hint =
    "Replication slot names may only contain lower case letters, numbers, and the underscore "
    "character.";

// SQL on a connection that has no database.
inline constexpr refusal sql_refused{sqlstate::feature_not_supported,
                                     "cannot execute SQL commands in WAL sender for physical "
                                     "replication",
                                     {},
                                     {},
                                     false};

inline constexpr refusal logical_refused{sqlstate::object_not_in_prerequisite_state,
                                         "logical decoding requires a database connection",
                                         {},
                                         {},
                                         false};

inline constexpr refusal shutting_down{
    sqlstate::admin_shutdown, "terminating connection due to administrator command", {}, {}, true};

// A sentence put together in room of its own. What does not fit is left out at the end.
class short_text {
  public:
    constexpr short_text& operator<<(std::string_view text) noexcept {
        for (const char c : text) {
            if (size_ < characters_.size() && c != '\0') characters_[size_++] = c;
        }
        return *this;
    }
    constexpr short_text& operator<<(std::uint64_t value) noexcept {
        return *this << std::string_view(decimal_text(value));
    }
    constexpr short_text& operator<<(lsn at) noexcept { return *this << to_text(at); }
    constexpr short_text& operator<<(timeline_id timeline) noexcept {
        return *this << std::uint64_t{timeline.value};
    }
    constexpr operator std::string_view() const noexcept { return {characters_.data(), size_}; }

  private:
    std::array<char, 256> characters_{};
    std::size_t size_ = 0;
};

inline void put(writer& out, const refusal& said) noexcept {
    wire::error_fields fields;
    fields.severity = said.fatal ? "FATAL" : "ERROR";
    fields.sqlstate = said.sqlstate;
    fields.message = said.message;
    fields.detail = said.detail;
    fields.hint = said.hint;
    put(out, wire::backend_tag::error_response, fields);
}

// What a client is told before the connection closes because of this code, or nothing. `tag` is the
// type of the message that was wrong, and 0 for a packet that has none. PostgreSQL says nothing of
// what is wrong inside a CopyData; AionDB's replicas are told.
inline std::optional<refusal> farewell(errc code, wire::phase at, std::uint8_t tag,
                                       short_text& text,
                                       dialect spoken = dialect::postgres) noexcept {
    const auto fatal = [&](std::string_view state, std::string_view message) noexcept {
        return refusal{state, message, {}, {}, true};
    };
    const bool authenticating = at > wire::phase::started && at < wire::phase::authenticated;
    const bool streaming = at >= wire::phase::copy_both && at <= wire::phase::server_finished;
    switch (code) {
    case errc::bytes_before_encryption:
        if (at == wire::phase::gss_asked || at == wire::phase::gss_asked_again)
            return fatal(sqlstate::protocol_violation,
                         "received unencrypted data after GSSAPI encryption request");
        return fatal(sqlstate::protocol_violation, "received unencrypted data after SSL request");
    case errc::unknown_message:
    case errc::unexpected_message:
        if (streaming) {
            const auto letter = static_cast<char>(tag);
            text << "invalid standby message type \"" << std::string_view(&letter, 1) << "\"";
        } else if (authenticating) {
            text << "expected password response, got message type " << std::uint64_t{tag};
        } else {
            text << "invalid frontend message type " << std::uint64_t{tag};
        }
        return fatal(sqlstate::protocol_violation, text);
    case errc::malformed_message:
        if (at < wire::phase::started)
            return fatal(sqlstate::protocol_violation,
                         "invalid startup packet layout: expected terminator as last byte");
        return fatal(sqlstate::protocol_violation,
                     authenticating ? "invalid password packet size" : "invalid message format");
    case errc::stream_unknown:
    case errc::entry_too_large:
    case errc::entry_size_mismatch:
    case errc::entry_size_invalid:
    case errc::entry_status_disordered:
    case errc::entry_direction_invalid:
        if (spoken != dialect::aiondb) return std::nullopt;
        return fatal(sqlstate::protocol_violation, walwire::text(code));
    default: return std::nullopt;
    }
}

} // namespace walwire::primary
