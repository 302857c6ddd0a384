#include "served_client.hpp"

#include <algorithm>

#include <walwire/primary/refusal.hpp>

#include "failure.hpp"
#include "messages.hpp"

namespace posix {

namespace {

namespace primary = walwire::primary;
using walwire::errc;
using walwire::lsn;

constexpr std::size_t read_size = 16 * 1024;
// Messages of up to 128 KiB that one client may be sent before the next one has its turn.
constexpr int rounds_max = 16;
// How long a client that was told goodbye may take to hear it.
constexpr std::int64_t farewell = walwire::second;
// How long one that finds no place may take to say who it is.
constexpr std::int64_t crowded_timeout = 5 * walwire::second;

constexpr primary::refusal cancelled{
    primary::sqlstate::query_canceled, "canceling statement due to user request", {}, {}, false};

} // namespace

served_client::served_client(service& shared, socket accepted, std::uint32_t id, bool crowded)
    : shared_(shared), socket_(std::move(accepted)), id_{id}, stash_(walwire::stash_size),
      out_(walwire::out_size), room_(read_size), session_(configure(crowded), {stash_, out_}),
      crowded_(crowded) {}

served_client::~served_client() {
    shared_.slots.table().disconnected(id_);
    shared_.replicas.leave(id_);
}

primary::options served_client::configure(bool crowded) {
    if (walwire::auth::random(*shared_.options.crypto, cancel_key_) != errc::none)
        throw failure("there are no random bytes");
    primary::options made = shared_.options;
    if (crowded)
        made.authentication_timeout = std::min(made.authentication_timeout, crowded_timeout);
    made.pid = id_.value;
    made.cancel_key = cancel_key_;
    return made;
}

void served_client::tell(const std::string& what) const {
    if (!shared_.verbose) return;
    const std::string who = user_.empty() ? std::string() : " (" + printable(user_) + ')';
    say(socket_.peer() + who + ": " + what);
}

bool served_client::turn(bool readable) {
    readable_ = readable_ || readable;
    if (leave_by_ != walwire::never) return leave();
    if (shaking_) shake();
    if (shaking_) {
        // The session keeps the time meanwhile.
        while (const auto told = session_.poll(in_, now()))
            std::visit([this](const auto& event) { heard(event); }, *told);
        return session_.over() ? leave() : false;
    }
    for (int round = 0; round < rounds_max; ++round) {
        bool moved = read();
        moved = go_on() || moved;
        while (const auto told = session_.poll(in_, now())) {
            moved = true;
            drop_temporary_slots();
            hear(*told);
        }
        drop_temporary_slots();
        moved = write() || moved;
        if (session_.over()) return leave();
        if (shaking_) shake(); // its first bytes may be here already
        if (!moved || shaking_) return false;
    }
    return true;
}

// What cannot be looked up is refused, and the client may ask for something else.
void served_client::hear(const primary::event& told) {
    try {
        std::visit([this](const auto& event) { heard(event); }, told);
    } catch (const failure& wrong) {
        trouble_ = wrong;
        tell(wrong.what());
    }
}

// Does the next part of what the client asked for, or says why there will be none.
bool served_client::go_on() {
    try {
        if (!trouble_ && !cancelled_) {
            follow_timeline();
            if (dropping_) drop_when_free();
            const bool lent = lend();
            return push(backup_) || push(frames_) || lent;
        }
    } catch (const failure& wrong) {
        trouble_ = wrong;
        tell(wrong.what());
    }
    return give_up();
}

// Not in the middle of a message: then it is tried again when that is written.
bool served_client::give_up() {
    const errc code = session_.refuse(cancelled_ ? cancelled : refusal_of(*trouble_));
    if (code == errc::output_full) return false;
    if (cancelled_ && code == errc::none) tell("cancelled");
    if (!cancelled_ && code != errc::none) throw failure(*trouble_);
    cancelled_ = false; // else what was to be cancelled had ended
    trouble_.reset();
    backup_.reset();
    frames_.reset();
    dropping_.reset();
    return true;
}

// Every error takes them with it, whoever said it.
void served_client::drop_temporary_slots() {
    if (errors_said_ == session_.errors_said()) return;
    errors_said_ = session_.errors_said();
    shared_.slots.table().drop_temporary(id_);
}

// Only when the session has taken all that came before. Its end is told then, too: whoever hangs up
// behind a question is still answered.
bool served_client::read() {
    if (!in_.empty() || ended_ || !readable_) return false;
    const arrival got = channel_ ? channel_->read(room_) : socket_.read(room_);
    in_ = bytes(room_).first(got.size);
    if (got.end) {
        ended_ = true;
        session_.finish();
        return true;
    }
    if (channel_ ? !channel_->holds_bytes() : got.size < room_.size()) readable_ = false;
    return got.size > 0;
}

bool served_client::write() {
    bool moved = false;
    for (auto out = session_.output(); !out.empty(); out = session_.output()) {
        const std::size_t size = channel_ && !shaking_ ? channel_->write(out) : socket_.write(out);
        session_.consume(size);
        moved = moved || size > 0;
        if (size < out.size()) break;
    }
    return moved;
}

void served_client::shake() {
    if (!channel_->handshake()) return;
    if (direct_ && !channel_->protocol_agreed())
        throw failure("no agreement on a protocol (ALPN), as direct TLS demands");
    shaking_ = false;
    readable_ = true; // there may be something behind the handshake
    check(session_.secured(shared_.encryption->binding()));
}

// Lends what comes next, if there is any.
bool served_client::lend() {
    if (!session_.streaming()) return false;
    if (shared_.entries != nullptr) return lend_entries();
    const bool current = !streamed_.next.valid();
    const lsn limit = current ? shared_.source->end() : streamed_.switch_point;
    if (current) session_.advance(limit);
    if (!session_.wants_wal()) return false;
    held_.reset();
    const lsn from = session_.next();
    if (from >= limit) {
        if (replica_ != nullptr) static_cast<void>(replica_->caught_up());
        return false;
    }
    auto run = shared_.source->read(from, limit);
    if (!run) {
        const walwire::wal::segment_size size = shared_.source->cluster().size;
        const auto name =
            segment_name({.timeline = streamed_.timeline, .number = containing(from, size)}, size);
        primary::short_text text;
        text << "requested WAL segment " << name << " has already been removed";
        const primary::refusal why{primary::sqlstate::undefined_file, text, {}, {}, false};
        return session_.refuse(why) == errc::none; // else once there is room
    }
    held_ = std::move(run->held);
    check(session_.send(run->wal));
    return true;
}

// Goes on with a backup.
template <class Backup>
bool served_client::push(std::optional<Backup>& backup) {
    if (!backup) return false;
    const bool moved = backup->turn(session_, now().steady);
    if (!backup->over()) return moved;
    tell("the backup was sent");
    backup.reset();
    return true;
}

// The timeline that it streams may have become history.
void served_client::follow_timeline() {
    if (shared_.entries != nullptr) return follow_entries();
    if (!session_.streaming() || streamed_.next.valid() ||
        streamed_.timeline == shared_.source->timeline())
        return;
    const auto now_is = shared_.source->find(streamed_.timeline);
    if (!now_is) {
        primary::short_text text;
        text << "requested timeline " << streamed_.timeline << " is not in this server's history";
        static_cast<void>(session_.refuse({primary::sqlstate::internal_error, text, {}, {}, true}));
        return;
    }
    streamed_ = *now_is;
    check(session_.end_timeline(streamed_.next, streamed_.switch_point));
}

// Says the last words, hangs up, and waits for the other end to do so: closing on bytes that nobody
// has read would take our words away.
bool served_client::leave() {
    const std::int64_t time = now().steady;
    const bool first = leave_by_ == walwire::never;
    if (first) leave_by_ = walwire::later(time, farewell);
    held_.reset();
    const bool silent = shaking_ || session_.output().empty();
    if (!silent) write();
    if (shaking_ || (session_.output().empty() && (first || !silent))) {
        if (channel_ && !shaking_) channel_->close();
        ::shutdown(socket_.number(), SHUT_WR);
    }
    if (readable_ && !ended_) {
        const arrival got = socket_.read(room_);
        ended_ = got.end;
        if (got.size < room_.size()) readable_ = false;
    }
    const bool unsaid = !shaking_ && !session_.output().empty();
    gone_ = (ended_ && !unsaid) || time >= leave_by_;
    return false;
}

interest served_client::needs() const noexcept {
    if (leave_by_ != walwire::never)
        return {.read = !ended_, .write = !shaking_ && !session_.output().empty()};
    if (shaking_) return channel_->needs({.read = true, .write = false});
    const interest wanted{.read = in_.empty() && !ended_, .write = !session_.output().empty()};
    return channel_ ? channel_->needs(wanted) : wanted;
}

std::int64_t served_client::deadline() const noexcept {
    if (leave_by_ != walwire::never) return leave_by_;
    if ((trouble_ || cancelled_) && session_.output().empty()) return INT64_MIN; // at once
    const std::int64_t paced = backup_ ? backup_->deadline() : walwire::never;
    return std::min(session_.deadline(), paced);
}

void served_client::check(errc code) const {
    if (code != errc::none) throw failure(std::string(walwire::text(code)));
}

} // namespace posix
