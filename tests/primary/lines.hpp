// What a primary's session told and said, as text: a line for each event, a line for each message.
//
// Both are read by the tests and compared with what a person has written down, so they leave out
// what never differs: WAL is checked byte by byte here, and only its place is told.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <walwire/primary/session.hpp>

#include "wire/spelled.hpp"

namespace caller {

using namespace walwire;

// The log: every byte tells where it stands.
inline constexpr lsn start{0x3000000};
inline std::byte byte_at(std::uint64_t at) {
    return std::byte(at * 7 % 251);
}

inline std::string shown(lsn at) {
    return std::string(std::string_view(to_text(at)));
}
inline std::string shown(bytes data) {
    std::string made;
    for (const std::byte each : data) {
        for (const int half : {std::to_integer<int>(each) >> 4, std::to_integer<int>(each) & 15})
            made += "0123456789abcdef"[half];
    }
    return made;
}

// Events as text.

struct renders {
    std::string operator()(const primary::standby_status_update& said) const {
        return "r " + shown(said.written) + ' ' + shown(said.flushed) + ' ' + shown(said.applied) +
               (said.reply_requested ? " reply" : "");
    }
    std::string operator()(const primary::hot_standby_feedback& said) const {
        return "h " + std::to_string(said.xmin);
    }
    std::string operator()(const primary::primary_status_request&) const { return "p"; }
    std::string operator()(const primary::entry_status_update& said) const {
        return "s " + std::to_string(said.written.value) + ' ' +
               std::to_string(said.flushed.value) + ' ' + std::to_string(said.applied.value);
    }
    std::string operator()(const primary::entry_keepalive_reply& said) const {
        return "alive " + std::to_string(said.sent_at);
    }
    std::string operator()(const primary::tls_accepted& said) const {
        return said.direct ? "tls direct" : "tls";
    }
    std::string operator()(const primary::cancel_request& said) const {
        return "cancel " + std::to_string(said.pid) + ' ' + shown(said.key);
    }
    std::string operator()(const primary::login_requested& said) const {
        std::string made = "login " + std::string(said.user) + ' ' + std::string(said.database) +
                           ' ' + std::to_string(said.version.major_part()) + '.' +
                           std::to_string(said.version.minor_part());
        if (!said.application_name.empty()) made += " as " + std::string(said.application_name);
        if (said.mode == wire::replication_mode::database) made += " database";
        if (said.encrypted) made += " encrypted";
        return made;
    }
    std::string operator()(const primary::logged_in& said) const {
        return "in " + std::string(auth::text(said.how));
    }
    std::string operator()(const primary::identify_system&) const { return "identify"; }
    std::string operator()(const primary::show& said) const {
        return "show " + std::string(said.name);
    }
    std::string operator()(const primary::timeline_history& said) const {
        return "history " + std::to_string(said.timeline ? said.timeline->value : 0);
    }
    std::string operator()(const primary::create_replication_slot& said) const {
        return "create " + std::string(said.name);
    }
    std::string operator()(const primary::read_replication_slot& said) const {
        return "read " + std::string(said.name);
    }
    std::string operator()(const primary::alter_replication_slot& said) const {
        return "alter " + std::string(said.name);
    }
    std::string operator()(const primary::drop_replication_slot& said) const {
        return "drop " + std::string(said.name);
    }
    std::string operator()(const primary::start_replication& said) const {
        return "start " + shown(said.start);
    }
    std::string operator()(const primary::start_logical_replication&) const { return "logical"; }
    std::string operator()(const primary::base_backup&) const { return "backup"; }
    std::string operator()(const primary::upload_manifest&) const { return "upload"; }
    std::string operator()(const primary::manifest_uploaded& said) const {
        return "uploaded " + std::to_string(said.data.size());
    }
    std::string operator()(const primary::manifest_whole&) const { return "whole"; }
    std::string operator()(const primary::manifest_abandoned&) const { return "abandoned"; }
    std::string operator()(const primary::sql& said) const {
        return "sql " + std::string(said.text);
    }
    std::string operator()(const primary::streaming_ended& said) const {
        constexpr std::string_view causes[] = {"stopped", "timeline", "refused", "failed"};
        return "stream " + std::string(causes[std::size_t(said.cause)]);
    }
    std::string operator()(const primary::closed& said) const {
        constexpr std::string_view causes[] = {"terminated", "cancel", "refused", "shut down"};
        return "closed " + std::string(causes[std::size_t(said.cause)]);
    }
    std::string operator()(const primary::failed& said) const {
        return "failed " + std::to_string(said.reason.offset) + ' ' +
               std::string(walwire::text(said.reason.code));
    }
};

// What the server said, a line for each message; `answers` are the bare bytes in front of the first
// one. WAL is checked byte by byte, and only its place is told.
inline std::string words(bytes said, std::size_t answers = 0) {
    std::string made;
    for (; answers > 0 && !said.empty(); --answers, said = said.subspan(1))
        made += std::string("answer ") + static_cast<char>(said[0]) + '\n';
    while (!said.empty()) {
        if (said.size() < 5) return made + "half a header";
        const std::size_t length = load<std::uint32_t>(said.data() + 1);
        if (length < 4 || said.size() < length + 1) return made + "half a message";
        const char tag = static_cast<char>(said[0]);
        const bytes body = said.subspan(5, length - 4);
        said = said.subspan(length + 1);
        made += tag;
        if (tag == 'E' || tag == 'N') {
            const auto fields = *wire::parse_error_fields(body);
            made += ' ' + std::string(fields.severity) + ' ' + std::string(fields.sqlstate) + ' ' +
                    std::string(fields.message);
        } else if (tag == 'd' && body[0] == std::byte{'w'}) {
            const auto head = *wire::parse_wal_data_head(body.first(25));
            std::size_t wrong = 0;
            for (std::size_t i = 25; i < body.size(); ++i)
                wrong += body[i] != byte_at(head.start.value + i - 25);
            made += "w " + shown(head.start) + '+' + std::to_string(body.size() - 25) + ' ' +
                    shown(head.server_end) + (wrong > 0 ? " wrong" : "");
        } else if (tag == 'd') {
            const auto alive = *wire::parse_primary_keepalive(body);
            made += "k " + shown(alive.server_end) + (alive.reply_requested ? " reply" : "");
        } else if (tag == 'T') {
            reader in(body);
            for (int count = in.u16(); count > 0; --count) {
                const wire::column each = wire::detail::read_column(in);
                made += ' ' + std::string(each.name) + ':' + std::to_string(each.type);
            }
        } else if (tag == 'D') {
            reader in(body);
            for (int count = in.u16(); count > 0; --count) {
                const auto size = in.i32();
                made += ' ' + (size < 0 ? std::string("null")
                                        : spelled::text(in.take(static_cast<std::size_t>(size))));
            }
        } else if (tag == 'R') {
            made += std::to_string(load<std::uint32_t>(body.data())) + ' ' +
                    spelled::text(body.subspan(4));
        } else if (tag == 'S') {
            const auto setting = *wire::parse_parameter_status(body);
            made += ' ' + std::string(setting.name) + '=' + std::string(setting.value);
        } else if (tag == 'K' || tag == 'v') {
            made += ' ' + shown(body);
        } else if (tag == 'C' || tag == 'Z') {
            made += ' ' + spelled::text(tag == 'C' ? body.first(body.size() - 1) : body);
        }
        made += '\n';
    }
    return made;
}

} // namespace caller
