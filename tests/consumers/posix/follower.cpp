#include "follower.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <variant>

#include <walwire/auth/openssl.hpp>

namespace posix {
namespace {

namespace replica = walwire::replica;

std::uint64_t random_seed() {
    std::uint64_t seed = 0;
    const walwire::auth::crypto crypto = walwire::auth::openssl();
    static_cast<void>(random(crypto, std::as_writable_bytes(std::span(&seed, 1))));
    return seed;
}

replica::receiver_options configure(const receive_arguments& given, const link& line,
                                    std::string_view identifier_text) {
    replica::receiver_options made;
    made.connection = line.options().first;
    made.connection.status_interval =
        given.status_seconds > 0 ? given.status_seconds * walwire::second : walwire::never;
    made.connection.report_each_flush = true;
    made.alternative_tls = line.options().alternative_tls;
    made.identifier_text = identifier_text;
    made.slot = given.slot.empty() ? line.info().replication_slot : std::string_view(given.slot);
    made.asks_access = true;
    made.retry = given.loop;
    made.backoff_seed = random_seed();
    return made;
}

} // namespace

follower::follower(const receive_arguments& given, std::string_view identifier_text)
    : given_(given), line_(given.conninfo, given.dialect), stash_(walwire::stash_size),
      out_(walwire::out_size), machine_(configure(given, line_, identifier_text), {stash_, out_}) {
    for (const std::string& note : line_.notes()) tell(note);
    if (!given_.metrics_file.empty()) next_metrics_ = now().steady;
}

// Whatever ends it is told with the server and how far things were.
void follower::run() {
    if (!given_.metrics_file.empty()) put_metrics(); // better now than when nobody looks
    try {
        follow();
    } catch (const failure& cause) {
        throw failure(where() + cause.what(), cause.code());
    }
    write_metrics();
    if (!verdict_.empty()) throw failure(verdict_);
}

void follower::follow() {
    walwire::bytes in;
    while (!machine_.over()) {
        while (const auto told = machine_.poll(in, now()))
            std::visit([this](const auto& event) { heard(event); }, *told);
        if (followed_) settle(false);
        show();
        if (machine_.over()) break;
        in = exchange();
        interrupted_by_signal();
    }
    if (followed_) finish();
}

// Writes and waits. A connection that breaks is the machine's to deal with.
walwire::bytes follower::exchange() {
    try {
        line_.write(machine_);
        const std::int64_t until = std::min({progress_.deadline(), next_metrics_, settle_by()});
        return line_.read(machine_, until, signals_.number());
    } catch (const failure& lost) {
        lost_ = lost.what();
        machine_.disconnected();
        return {};
    }
}

void follower::show() {
    const std::int64_t time = now().steady;
    count_positions();
    progress_.show({position_, machine_.timeline(), received_, reconnects_}, time);
    if (time >= next_metrics_) write_metrics();
}

void follower::interrupt() {
    if (stopping_) throw failure("interrupted twice, stopped at once");
    stopping_ = true;
    if (followed_) before_stop();
    machine_.stop();
}

void follower::interrupted_by_signal() {
    if (const int signal = signals_.take(); signal != 0) interrupt();
}

std::string follower::text_of(walwire::lsn at) const {
    return std::string(std::string_view(to_text(at, given_.dialect)));
}

void follower::received(std::size_t size, walwire::lsn position) {
    position_ = position;
    received_ += size;
    metrics_.wal_received(size);
    if (end_reached()) machine_.stop();
}

void follower::heard(const replica::connect_wanted&) {
    lost_.clear();
    server_said_.clear();
    try {
        line_.dial(machine_timeout(), signals_.number());
        machine_.connected();
        begin_session();
    } catch (const interrupted&) {
        interrupted_by_signal();
        static_cast<void>(machine_.connect_failed());
    } catch (const failure& refused) {
        lost_ = refused.what();
        static_cast<void>(machine_.connect_failed());
    }
}

void follower::heard(const replica::disconnect_wanted&) {
    line_.hang_up();
    if (followed_) connection_ended();
}

void follower::heard(const replica::tls_accepted& accepted) {
    on_connection(
        [&] { line_.secure(machine_, accepted.direct, machine_timeout(), signals_.number()); });
}

void follower::heard(const replica::system_identified& system) {
    identifier_ = printable(system.identifier_text);
    identified(system);
}

void follower::heard(const replica::placement_wanted& wanted) {
    if (identifier_.empty()) identifier_ = std::to_string(wanted.system_identifier);
    if (given_.verbose)
        tell(line_.peer() + ": system identifier " + identifier_ + ", timeline " +
             std::to_string(wanted.timeline.value) + ", position " + text_of(wanted.end));
    place(wanted);
}

void follower::heard(const replica::following& stream) {
    followed_ = true;
    // AionDB's streams begin with the last entry that is here; a byte's position is the end of what
    // is.
    position_ = given_.dialect == walwire::dialect::aiondb ? machine_.durable() : stream.start;
    stream_began(stream);
    if (given_.verbose)
        tell("following from " + text_of(stream.start) + " on timeline " +
             std::to_string(stream.timeline.value));
    if (end_reached()) machine_.stop();
}

void follower::heard(const replica::timeline_ended& ended) {
    timeline_ended(ended);
    if (given_.verbose)
        tell("timeline ended at " + text_of(ended.switch_point) + ", the next is " +
             std::to_string(ended.next.value));
}

void follower::heard(const replica::server_error& error) {
    server_said_ = describe(error.fields());
}

void follower::heard(const replica::notice& notice) {
    if (given_.verbose) tell(line_.peer() + ": " + describe(notice.fields()));
}

void follower::heard(const replica::retrying& retry) {
    end_session(retry.why.reason.code == walwire::errc::none && server_said_.empty());
    const std::int64_t wait = (retry.at - now().steady) / walwire::millisecond;
    tell(explain(retry.why) + "; trying again in " + std::to_string(wait) + " ms");
}

void follower::heard(const replica::given_up& end) {
    end_session(false);
    verdict_ = explain(end.why);
}

// A session is counted from the moment that its connection is open.
void follower::begin_session() {
    end_session(false);
    in_session_ = true;
    if (metrics_.read().sessions_started > 0) {
        ++reconnects_;
        metrics_.reconnected();
    }
    metrics_.session_started(now());
}

void follower::end_session(bool well) {
    if (!in_session_) return;
    in_session_ = false;
    if (well)
        metrics_.session_succeeded();
    else
        metrics_.session_failed();
}

std::string follower::where() const {
    return line_.peer() + (position_.valid() ? ", at " + text_of(position_) : "") + ": ";
}

// Server, position and cause, in one line.
std::string follower::explain(const replica::cause& why) const {
    const std::string text = where();
    if (!server_said_.empty()) return text + server_said_;
    if (!lost_.empty()) return text + lost_;
    if (why.reason.code == walwire::errc::none) return text + "the server closed the connection";
    return text + describe(why.reason);
}

template <class Step>
void follower::on_connection(Step&& step) {
    try {
        step();
    } catch (const interrupted&) {
        interrupted_by_signal();
        machine_.disconnected();
    } catch (const failure& lost) {
        lost_ = lost.what();
        machine_.disconnected();
    }
}

void follower::tell(const std::string& line) {
    progress_.clear();
    say(line);
}

// A connection takes the session that knows them away with it.
void follower::count_positions() {
    for (; statuses_ < machine_.statuses_sent(); ++statuses_) metrics_.standby_status_update_sent();
    const replica::positions* const told = machine_.acknowledged();
    if (told != nullptr && told->applied() > applied_) applied_ = told->applied();
    replica::positions here(machine_.durable(), applied_);
    static_cast<void>(here.received(position_));
    metrics_.moved(here);
}

void follower::write_metrics() {
    if (given_.metrics_file.empty()) return;
    next_metrics_ = walwire::later(now().steady, walwire::second);
    count_positions();
    try {
        put_metrics();
        metrics_failing_ = false;
    } catch (const failure& wrong) {
        if (!metrics_failing_) tell(std::string("the figures are not kept: ") + wrong.what());
        metrics_failing_ = true;
    }
}

// The file is replaced whole, so that whoever reads it never sees half of one.
void follower::put_metrics() {
    constexpr std::string_view own = "walwire_replica_";
    const bool entries = given_.dialect == walwire::dialect::aiondb;
    const std::string_view prefix = entries ? replica::default_metrics_prefix : own;
    std::array<std::byte, replica::metrics_text_size_max(own.size())> room{};
    static_assert(replica::default_metrics_prefix.size() <= own.size());
    walwire::writer text(room);
    static_cast<void>(put_prometheus(text, metrics_.read(), prefix));
    const std::string temporary = given_.metrics_file + ".tmp";
    const descriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file) fail("could not create " + quoted(temporary), errno);
    const walwire::bytes content = text.written();
    const ssize_t size = ::write(file.number(), content.data(), content.size());
    if (size != static_cast<ssize_t>(content.size()))
        fail("could not write " + quoted(temporary), size < 0 ? errno : ENOSPC);
    if (::rename(temporary.c_str(), given_.metrics_file.c_str()) != 0)
        fail("could not rename " + quoted(temporary), errno);
}

} // namespace posix
