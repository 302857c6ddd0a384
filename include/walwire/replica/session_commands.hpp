// What the owner of a replica::session says to its server: each call is one message, put into the
// outbox as a whole or not at all. Read session.hpp first; this file is its third part, behind
// session_steps.hpp, and is included by nothing else.
#pragma once

#include "session.hpp"

namespace walwire::replica {

inline errc session::ask(const wire::command& command) noexcept {
    if (ended()) return errc::over;
    if (!talk_.may_send(wire::message::query)) return errc::not_now;
    struct asked {
        question kind = question::none;
        timeline_id timeline;
        lsn start;
    } asks;
    std::visit(
        [&asks]<class Command>(const Command& said) noexcept {
            using std::is_same_v;
            if constexpr (is_same_v<Command, wire::identify_system>) asks.kind = question::system;
            if constexpr (is_same_v<Command, wire::show>) asks.kind = question::setting;
            if constexpr (is_same_v<Command, wire::timeline_history>)
                asks = {question::history, said.timeline.value_or(timeline_id{}), {}};
            if constexpr (is_same_v<Command, wire::create_replication_slot>)
                asks.kind = question::slot_creation;
            if constexpr (is_same_v<Command, wire::read_replication_slot>)
                asks.kind = question::slot_reading;
            if constexpr (is_same_v<Command, wire::alter_replication_slot> ||
                          is_same_v<Command, wire::drop_replication_slot>)
                asks.kind = question::completion;
            if constexpr (is_same_v<Command, wire::start_replication>)
                asks = {question::stream, said.timeline.value_or(timeline_id{}), said.start};
            if constexpr (is_same_v<Command, wire::base_backup> ||
                          is_same_v<Command, wire::upload_manifest> ||
                          is_same_v<Command, wire::sql>)
                asks.kind = question::results;
        },
        command);
    if (asks.kind == question::none) return errc::argument_invalid;
    // There is no entry before the first, and so none to go on from.
    if (asks.kind == question::stream && counts_entries() && !asks.start.valid())
        return errc::argument_invalid;
    const errc code = out_.put([&](writer& out) noexcept {
        errc printed = errc::none;
        wire::put_message(out, wire::frontend_tag::query, [&](writer& body) noexcept {
            printed = wire::put(body, command, server_version_, options_.dialect);
            body.u8(0);
        });
        return printed;
    });
    if (code != errc::none) return code;
    static_cast<void>(talk_.send(wire::message::query));
    question_ = asks.kind;
    timeline_ = asks.timeline;
    start_ = asks.start;
    answered_ = stream_ended_ = false;
    end_ = streaming_end::server_shutdown;
    patient_ = std::holds_alternative<wire::base_backup>(command);
    just_asked_ = true;
    wake_ = at_once;
    return errc::none;
}

inline result<std::size_t> session::copy(bytes data) noexcept {
    constexpr std::size_t most = 64 * 1024;
    const std::size_t taken_up = wire::header_size + out_.waiting().size();
    const std::size_t room = taken_up < out_.capacity() ? out_.capacity() - taken_up : 0;
    std::size_t size = room < data.size() ? room : data.size();
    if (size > most) size = most;
    const errc code = say_in_copy(wire::message::copy_data_in, [&](writer& out) noexcept {
        if (size == 0) return data.empty() ? errc::argument_invalid : errc::output_full;
        wire::put_message(out, wire::frontend_tag::copy_data,
                          [&](writer& body) noexcept { body.append(data.first(size)); });
        return errc::none;
    });
    if (code != errc::none) return code;
    return size;
}

inline errc session::end_copy() noexcept {
    return say_in_copy(wire::message::copy_done_in,
                       [](writer& out) noexcept { wire::put_client_copy_done(out); });
}

inline errc session::abandon_copy(std::string_view reason) noexcept {
    if (reason.find('\0') != std::string_view::npos) return errc::argument_has_nul;
    return say_in_copy(wire::message::copy_fail,
                       [&](writer& out) noexcept { put(out, wire::copy_fail{reason}); });
}

template <class Put>
errc session::say_in_copy(wire::message said, Put&& put_into) noexcept {
    if (ended()) return errc::over;
    if (talk_.at() != wire::phase::copy_in) return errc::not_now;
    const errc code = out_.put(put_into);
    if (code != errc::none) return code;
    just_asked_ = true;
    wake_ = at_once;
    return talk_.send(said);
}

inline errc session::resume_entries(aiondb::entry_lsn durable,
                                    aiondb::entry_lsn replayed) noexcept {
    if (ended()) return errc::over;
    if (streaming() || !counts_entries()) return errc::not_now;
    stream_.resume(durable.as_position(), replayed.as_position());
    return errc::none;
}

inline void session::entries_flushed(aiondb::entry_lsn last) noexcept {
    if (!counts_entries()) return;
    stream_.flushed(last.as_position());
    wake_ = at_once;
}

inline void session::entries_applied(aiondb::entry_lsn last) noexcept {
    if (counts_entries()) stream_.applied(last.as_position());
}

inline errc session::terminate() noexcept {
    if (ended()) return errc::over;
    if (!talk_.may_send(wire::message::terminate)) return errc::not_now;
    const errc code = out_.put([](writer& out) noexcept { wire::put_terminate(out); });
    if (code != errc::none) return code;
    static_cast<void>(talk_.send(wire::message::terminate));
    close(closing::terminated);
    return errc::none;
}

} // namespace walwire::replica
