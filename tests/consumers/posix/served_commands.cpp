// What a client of `walwire serve` is answered: the half of served_client that looks things up.
#include <cerrno>

#include <walwire/primary/refusal.hpp>

#include "failure.hpp"
#include "messages.hpp"
#include "served_client.hpp"

namespace posix {

namespace {

namespace primary = walwire::primary;
using walwire::errc;

std::string text_of(walwire::lsn at, walwire::dialect spoken = walwire::dialect::postgres) {
    return std::string(std::string_view(to_text(at, spoken)));
}

constexpr std::string_view text_of(primary::streaming_end cause) noexcept {
    constexpr std::string_view names[] = {"the client stopped", "the timeline ended", "refused",
                                          "the client sent what nobody can read"};
    return names[static_cast<std::size_t>(cause)];
}

} // namespace

void served_client::refuse(const primary::refusal& why) {
    tell(std::string(why.sqlstate) + ": " + printable(why.message));
    check(session_.refuse(why));
}

// With the states that servers have for files: one that is not there, as a link is none, and any
// other trouble.
primary::refusal served_client::refusal_of(const failure& wrong) {
    const bool missing = wrong.code() == ENOENT || wrong.code() == ELOOP;
    return {missing ? primary::sqlstate::undefined_file : "58030", wrong.what(), {}, {}, false};
}

void served_client::refuse_slot(errc code, std::string_view name) {
    const primary::slot* const found = shared_.slots.table().find(name);
    primary::short_text text;
    refuse(primary::slot_refusal(
        code, name, found != nullptr ? found->active_for() : primary::connection_id{}, text));
}

void served_client::heard(const primary::tls_accepted& how) {
    // A handshake that came unasked has been read already.
    channel_.emplace(*shared_.encryption, socket_, in_);
    in_ = {};
    direct_ = how.direct;
    shaking_ = true;
}

// As on a server, whoever asked is not told whether it helped.
void served_client::heard(const primary::cancel_request& request) {
    for (const auto& each : shared_.clients) {
        if (each->session_.is_cancelled_by(request)) each->cancel();
    }
}

// What comes later is not meant.
void served_client::cancel() noexcept {
    cancelled_ = session_.at() > walwire::wire::phase::idle;
}

void served_client::heard(const primary::login_requested& who) {
    user_ = who.user;
    application_name_ = who.application_name;
    if (who.mode == walwire::wire::replication_mode::database) database_ = who.database;
    primary::short_text text;
    if (crowded_)
        return refuse({primary::sqlstate::too_many_connections,
                       "sorry, too many clients already",
                       {},
                       {},
                       true});
    // Before anything is asked; whoever loses a race for the last place is told when it is in.
    if (shared_.replicas.size() == shared_.replicas.capacity())
        return refuse(primary::replicas_refused(shared_.replicas.capacity(), text));
    if (shared_.users.how() != walwire::auth::method::none)
        return check(session_.admit(shared_.users.how(), shared_.users.find(who.user)));
    if (shared_.users.knows(who.user)) return check(session_.admit(walwire::auth::method::none));
    text << "user \"" << who.user << "\" is not let in";
    refuse({primary::sqlstate::invalid_authorization, text, {}, {}, true});
}

void served_client::heard(const primary::logged_in& how) {
    tell("logged in, " + std::string(text(how.how)) + (channel_ ? ", encrypted" : ""));
    const auto joined = shared_.replicas.join(id_, application_name_);
    if (joined) {
        replica_ = *joined;
        return;
    }
    primary::short_text text;
    refuse(primary::replicas_refused(shared_.replicas.capacity(), text));
}

void served_client::heard(const primary::identify_system&) {
    shared_.refresh();
    primary::system_identity row;
    if (shared_.entries != nullptr)
        row.name = shared_.entries->system_identifier();
    else
        row.system_identifier = shared_.source->cluster().system_identifier;
    row.timeline = shared_.timeline();
    row.end = shared_.end();
    if (!database_.empty()) row.database = database_;
    check(session_.answer(row));
}

void served_client::heard(const primary::show& asked) {
    if (asked.name == "all")
        return refuse({primary::sqlstate::feature_not_supported,
                       "SHOW ALL is not served",
                       {},
                       "Ask for one setting by its name.",
                       false});
    if (const auto value = shared_.settings.find(asked.name))
        return check(session_.answer(primary::setting{asked.name, *value}));
    primary::short_text text;
    text << "unrecognized configuration parameter \"" << asked.name << "\"";
    refuse({primary::sqlstate::undefined_object, text, {}, {}, false});
}

void served_client::heard(const primary::timeline_history& asked) {
    const walwire::timeline_id timeline = asked.timeline.value_or(shared_.timeline());
    auto content = shared_.history(timeline);
    if (!content) {
        primary::short_text text;
        text << "could not open file \"pg_wal/" << walwire::wal::history_name(timeline)
             << "\": No such file or directory";
        return refuse({primary::sqlstate::undefined_file, text, {}, {}, false});
    }
    history_ = std::move(*content);
    check(session_.answer(primary::history_content{timeline, walwire::as_bytes(history_)}));
}

void served_client::heard(const primary::create_replication_slot& asked) {
    if (asked.kind == walwire::wire::slot_kind::logical)
        return refuse({primary::sqlstate::feature_not_supported,
                       "logical replication is not served",
                       {},
                       {},
                       false});
    primary::new_slot as;
    as.temporary = asked.temporary;
    as.owner = id_;
    if (asked.reserve_wal) {
        shared_.refresh();
        as.restart_lsn = shared_.end();
        if (as.restart_lsn.valid()) as.restart_tli = shared_.timeline();
    }
    const auto made = shared_.slots.table().create(asked.name, as);
    if (!made) return refuse_slot(made.code(), asked.name);
    try {
        if (!asked.temporary) shared_.slots.save();
    } catch (const failure& wrong) {
        static_cast<void>(shared_.slots.table().drop(asked.name, id_));
        return refuse(refusal_of(wrong));
    }
    check(session_.answer(primary::created_slot{asked.name, {}, {}, {}}));
}

void served_client::heard(const primary::read_replication_slot& asked) {
    primary::slot_state state;
    if (const primary::slot* const found = shared_.slots.table().find(asked.name))
        state = {true, found->restart_lsn(), found->restart_tli()};
    check(session_.answer(state));
}

void served_client::heard(const primary::alter_replication_slot& asked) {
    if (shared_.slots.table().find(asked.name) == nullptr)
        return refuse_slot(errc::slot_missing, asked.name);
    refuse({primary::sqlstate::feature_not_supported,
            "cannot use ALTER_REPLICATION_SLOT with a physical replication slot",
            {},
            {},
            false});
}

void served_client::heard(const primary::drop_replication_slot& asked) {
    const errc code = shared_.slots.table().drop(asked.name, id_);
    if (code == errc::slot_active && asked.wait) {
        dropping_ = asked.name;
        return;
    }
    if (code != errc::none) return refuse_slot(code, asked.name);
    shared_.slots.save();
    check(session_.complete());
}

void served_client::drop_when_free() {
    const std::string name = *dropping_;
    const errc code = shared_.slots.table().drop(name, id_);
    if (code == errc::slot_active) return;
    dropping_.reset();
    if (code != errc::none) return refuse_slot(code, name);
    shared_.slots.save();
    check(session_.complete());
}

void served_client::heard(const primary::start_replication& asked) {
    shared_.refresh();
    const auto timeline = asked.timeline.value_or(walwire::timeline_id{});
    const auto from = shared_.find(timeline);
    if (!asked.slot.empty()) {
        const auto acquired = shared_.slots.table().acquire(asked.slot, id_);
        if (!acquired) return refuse_slot(acquired.code(), asked.slot);
        slot_ = *acquired;
    }
    if (!from) {
        shared_.slots.table().release(id_);
        slot_ = nullptr;
        primary::short_text text;
        text << "requested timeline " << timeline << " is not in this server's history";
        return refuse({primary::sqlstate::internal_error, text, {}, {}, false});
    }
    streamed_ = *from;
    asked_ = asked.start;
    place_ = {};
    if (replica_ != nullptr && shared_.entries != nullptr)
        replica_->stream_from(walwire::aiondb::entry_lsn{asked.start.value}, asked.slot);
    else if (replica_ != nullptr)
        replica_->stream_from(asked.start, asked.slot);
    tell("streams from " + text_of(asked.start, shared_.options.dialect) + " on timeline " +
         std::to_string(streamed_.timeline.value) +
         (asked.slot.empty() ? "" : ", slot " + std::string(asked.slot)));
    check(session_.stream(*from));
}

void served_client::heard(const primary::start_logical_replication&) {
    refuse({primary::sqlstate::feature_not_supported,
            "logical replication is not served",
            {},
            {},
            false});
}

// The backup lies there already, so its label, its checkpoint and the like are what they are.
void served_client::heard(const primary::base_backup& asked) {
    if (shared_.entries != nullptr) {
        try {
            frames_.emplace(*shared_.entries, shared_.frames);
            tell("takes a backup of " + std::to_string(frames_->files()) + " files");
        } catch (const failure& wrong) {
            refuse(refusal_of(wrong));
        }
        return;
    }
    const char* missing = nullptr;
    if (shared_.backup == nullptr) missing = "base backups are not served";
    if (asked.incremental) missing = "incremental backups are not served";
    if (!asked.target.empty() && asked.target != "client")
        missing = "backups are sent to the client and nowhere else";
    if (asked.compression.value_or(walwire::wire::backup_compression::none) !=
        walwire::wire::backup_compression::none)
        missing = "backups are not compressed here";
    if (missing != nullptr)
        return refuse({primary::sqlstate::feature_not_supported, missing, {}, {}, false});
    try {
        backup_.emplace(*shared_.backup, *shared_.source, shared_.settings.major_version, asked);
        tell("takes a backup that begins at " + text_of(shared_.backup->start()));
    } catch (const failure& wrong) {
        refuse(refusal_of(wrong));
    }
}

void served_client::heard(const primary::upload_manifest&) {
    refuse({primary::sqlstate::feature_not_supported,
            "incremental backups are not served",
            {},
            {},
            false});
}

void served_client::heard(const primary::sql&) {
    if (database_.empty()) return refuse(primary::sql_refused);
    refuse(
        {primary::sqlstate::feature_not_supported, "SQL commands are not served", {}, {}, false});
}

void served_client::moved() {
    const walwire::instant time = now();
    const primary::progress& at = session_.progress();
    if (replica_ != nullptr) replica_->moved(at, time);
    if (slot_ != nullptr && slot_->flushed(at.flushed(), streamed_.timeline) && !slot_->temporary())
        shared_.slots.moved(time.steady);
}

void served_client::heard(const primary::hot_standby_feedback& said) {
    if (slot_ != nullptr && slot_->feedback(said) && !slot_->temporary())
        shared_.slots.moved(now().steady);
}

void served_client::heard(const primary::streaming_ended& end) {
    tell("streaming ended: " + std::string(text_of(end.cause)));
    if (replica_ != nullptr) replica_->finish();
    shared_.slots.table().release(id_);
    slot_ = nullptr;
    held_.reset();
}

void served_client::heard(const primary::closed&) {
    tell("closed");
}

void served_client::heard(const primary::failed& end) {
    tell(std::string(walwire::text(end.reason.code)) + ", at byte " +
         std::to_string(end.reason.offset) + " of the client's stream");
}

} // namespace posix
