// The steps of replica::base_backup. Read base_backup.hpp first; this file is its second half and
// is included by nothing else.
#pragma once

#include "base_backup.hpp"

namespace walwire::replica {

inline std::int64_t base_backup::deadline() const noexcept {
    switch (at_) {
    case state::over: return never;
    case state::fresh:
    case state::dropping:
    case state::reporting: return INT64_MIN;
    case state::connecting: return stopping_ ? INT64_MIN : connect_by_;
    default: break;
    }
    if (lost_ || (stopping_ && at_ != state::leaving)) return INT64_MIN;
    const std::int64_t at = session_->deadline();
    return at_ == state::opening && connect_by_ < at ? connect_by_ : at;
}

inline std::optional<base_backup::event> base_backup::poll(bytes& in, instant now) noexcept {
    for (;;) {
        switch (at_) {
        case state::over: in = {}; return std::nullopt;
        case state::fresh:
            if (!stopping_) return connect(now);
            at_ = state::reporting;
            continue;
        case state::dropping:
            in = {};
            at_ = state::reporting;
            if (!close()) continue;
            return event(disconnect_wanted{});
        case state::reporting: return conclude(now);
        case state::connecting:
            if (!stopping_ && now.steady < connect_by_) return std::nullopt;
            admitted_ = true; // nobody was there to turn us away
            drop(errc::connect_timeout);
            continue;
        default: break;
        }
        // What one part of the answer led to lies in the input still; it is told before the
        // session reads on.
        if (reader_) {
            if (const auto told = reader_->next())
                return std::visit([](const auto& said) noexcept { return event(said); }, *told);
        }
        if (frames_) {
            if (const auto told = next_frame()) return told;
            if (at_ == state::dropping) continue;
        }
        if (lost_) {
            drop(errc::connection_lost);
            continue;
        }
        if (at_ == state::opening && now.steady >= connect_by_) {
            drop(errc::connect_timeout);
            continue;
        }
        if (stopping_ && at_ < state::leaving) leave();
        const auto told = session_->poll(in, now);
        if (!told) {
            if (at_ >= state::dropping) continue;
            return std::nullopt;
        }
        if (const auto passed = heard(*told)) return passed;
    }
}

inline std::optional<base_backup::event> base_backup::connect(instant now) noexcept {
    prepare(options_.connection, options_.alternative_tls, now.steady);
    at_ = state::connecting;
    return event(connect_wanted{alternative_ ? 2U : 1U});
}

inline errc base_backup::connected() noexcept {
    if (at_ != state::connecting) return errc::not_now;
    open();
    at_ = state::opening;
    return errc::none;
}

inline errc base_backup::connect_failed() noexcept {
    if (at_ != state::connecting) return errc::not_now;
    admitted_ = true; // encryption has nothing to do with it
    drop(errc::connection_lost);
    return errc::none;
}

inline std::optional<base_backup::event> base_backup::heard(const session::event& told) noexcept {
    return std::visit(
        [&]<class Told>(const Told& said) noexcept -> std::optional<event> {
            using std::is_same_v;
            if constexpr (is_same_v<Told, ready>) {
                admitted_ = true;
                return heard_ready();
            } else if constexpr (is_same_v<Told, password_wanted>) {
                admitted_ = true;
                return event(said);
            } else if constexpr (is_same_v<Told, system_identified>) {
                identified(said);
            } else if constexpr (is_same_v<Told, setting_shown>) {
                return heard_setting(said.value);
            } else if constexpr (is_same_v<Told, data_row>) {
                if (reader_) part_heard(reader_->row(said));
            } else if constexpr (is_same_v<Told, command_completed>) {
                if (reader_) part_heard(reader_->completed());
            } else if constexpr (is_same_v<Told, copy_in_started>) {
                if (at_ == state::uploading && !std::exchange(uploads_, true))
                    return event(manifest_wanted{});
                drop(errc::unexpected_message);
            } else if constexpr (is_same_v<Told, copy_out_started>) {
                if (reader_) part_heard(reader_->copy_opened());
                if (!reader_ && !frames_) drop(errc::unexpected_message);
            } else if constexpr (is_same_v<Told, copy_data>) {
                if (reader_) part_heard(reader_->copy(said.data, said.begins, said.ends));
                framed_ = said.data;
            } else if constexpr (is_same_v<Told, copy_out_ended>) {
                if (reader_) part_heard(reader_->copy_closed());
                if (frames_) frames_->finish();
            } else if constexpr (is_same_v<Told, server_error>) {
                return server_failed(said);
            } else if constexpr (is_same_v<Told, closed>) {
                if (said.cause == closing::fatal_error)
                    at_ = state::dropping;
                else
                    drop(errc::none);
            } else if constexpr (is_same_v<Told, failed>) {
                drop(said.reason.code);
                reason_ = said.reason;
            } else if constexpr (std::is_constructible_v<event, const Told&>) {
                return event(said);
            }
            return std::nullopt; // of no interest to whoever only wants a backup
        },
        told);
}

inline std::optional<base_backup::event> base_backup::heard_ready() noexcept {
    if (stopping_ || command_failed_) {
        leave();
        return std::nullopt;
    }
    switch (at_) {
    case state::opening: ask(state::identifying, wire::identify_system{}); break;
    case state::identifying:
        if (speaks_aiondb()) return source_known();
        ask(state::measuring, wire::show{"wal_segment_size"});
        break;
    case state::measuring: ask(state::asking_mode, wire::show{"data_directory_mode"}); break;
    case state::asking_mode: return source_known();
    case state::uploading:
        if (uploads_)
            take();
        else
            drop(errc::answer_invalid);
        break;
    case state::taking:
        taken_ = reader_ ? reader_->over() : frames_->whole();
        if (!taken_) {
            drop(errc::backup_incomplete);
            break;
        }
        leave();
        if (frames_) return event(aiondb::backup_ended{});
        break;
    default: break;
    }
    return std::nullopt;
}

inline std::optional<base_backup::event> base_backup::source_known() noexcept {
    at_ = state::choosing;
    source_.server_version = session_->server_version();
    return event(source_);
}

// AionDB: what stands in the CopyData that came last. The header must say what IDENTIFY_SYSTEM did,
// as a proxy may have led the two to different servers. Of texts only the numbers made of them are
// compared, which finds such a mix-up and no deceit (answer.hpp).
inline std::optional<base_backup::event> base_backup::next_frame() noexcept {
    auto told = frames_->poll(framed_);
    // The end counts when the server has said that the command is done. What stands behind it in
    // the same CopyData is looked at now.
    if (told && std::holds_alternative<aiondb::backup_ended>(*told)) told = frames_->poll(framed_);
    if (!told) return std::nullopt;
    if (const auto* header = std::get_if<aiondb::backup_started>(&*told)) {
        const auto system = answer::parse_entry_system_identifier(header->system_identifier);
        if (!system || *system != source_.system_identifier)
            drop(errc::system_identifier_mismatch);
        else if (header->timeline != source_.timeline)
            drop(errc::timeline_mismatch);
        if (at_ == state::dropping) return std::nullopt;
    }
    return std::visit(
        [this]<class Told>(const Told& said) noexcept -> std::optional<event> {
            if constexpr (std::is_same_v<Told, aiondb::backup_failed>) {
                drop(said.reason.code);
                return std::nullopt;
            } else {
                return event(said);
            }
        },
        *told);
}

// IDENTIFY_SYSTEM: whether this is the cluster, and the timeline, that a backup is wanted of.
inline void base_backup::identified(const system_identified& system) noexcept {
    if (options_.system_identifier && *options_.system_identifier != system.system_identifier)
        return drop(errc::system_identifier_mismatch);
    if (options_.timeline && *options_.timeline != system.timeline)
        return drop(errc::timeline_mismatch);
    source_.system_identifier = system.system_identifier;
    source_.timeline = system.timeline;
    source_.end = system.end;
}

inline std::optional<base_backup::event>
base_backup::heard_setting(std::string_view value) noexcept {
    if (at_ == state::measuring) {
        const auto parsed = wal::segment_size::parse(value);
        if (parsed)
            source_.segment_size = *parsed;
        else
            drop(errc::segment_size_invalid);
        return std::nullopt;
    }
    // Three or four octal digits, as in chmod's. Whatever else comes is taken for the default, for
    // permissions that nobody can read must not be wide ones.
    std::uint32_t mode = 0;
    bool octal = value.size() == 3 || value.size() == 4;
    for (const char c : value) {
        octal = octal && c >= '0' && c <= '7';
        mode = mode * 8 + static_cast<std::uint32_t>(c - '0');
    }
    source_.directory_mode = octal && mode == 0750 ? 0750 : 0700;
    return std::nullopt;
}

inline errc base_backup::begin(const wire::base_backup& what) noexcept {
    if (at_ != state::choosing) return errc::not_now;
    // Whether this server can be asked for it at all, and in the room that there is, is to be known
    // before it is sent a manifest.
    std::array<std::byte, out_size> tried{};
    const std::size_t room = room_.out.size() - wire::header_size - 1;
    writer print(mutable_bytes(tried).first(room < tried.size() ? room : tried.size()));
    const errc code =
        wire::put(print, wire::command(what), source_.server_version, connection_.dialect);
    if (code != errc::none) return code == errc::output_full ? errc::argument_too_long : code;
    if (!print.ok()) return errc::argument_too_long;
    what_ = what;
    if (what.incremental)
        ask(state::uploading, wire::upload_manifest{});
    else
        take();
    return errc::none;
}

inline void base_backup::take() noexcept {
    if (speaks_aiondb())
        frames_.emplace(frame_);
    else
        reader_.emplace(backup::format_of(source_.server_version),
                        what_.manifest != wire::backup_manifest::no, tablespaces_);
    ask(state::taking, what_);
}

inline void base_backup::ask(state next, const wire::command& command) noexcept {
    at_ = next;
    if (const errc code = session_->ask(command); code != errc::none) drop(code);
}

// An error of the server's ends the command, and with it the backup. The session goes on to
// `ready`, or to `closed` where the error was fatal.
inline std::optional<base_backup::event>
base_backup::server_failed(const server_error& error) noexcept {
    note(error);
    return event(error);
}

inline void base_backup::leave() noexcept {
    at_ = state::leaving;
    if (session_->terminate() != errc::none) at_ = state::dropping;
}

inline void base_backup::drop(errc code) noexcept {
    if (at_ >= state::dropping) return;
    reason_ = {code, session_ ? session_->began() : 0};
    at_ = state::dropping;
}

// The last word of a connection.
inline std::optional<base_backup::event> base_backup::conclude(instant now) noexcept {
    if (taken_) {
        at_ = state::over;
        return event(backup_taken{});
    }
    if (stopping_) {
        at_ = state::over;
        return event(stopped{});
    }
    if (try_alternative(options_.alternative_tls)) return connect(now);
    at_ = state::over;
    return event(given_up{why()});
}

} // namespace walwire::replica
