#include "receive.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>
#include <vector>

#include <walwire/replica/metrics.hpp>
#include <walwire/replica/wal_receiver.hpp>

#include "failure.hpp"
#include "identify.hpp"
#include "link.hpp"
#include "progress.hpp"
#include "signals.hpp"
#include "wal_directory.hpp"

namespace posix {
namespace {

namespace replica = walwire::replica;

std::uint64_t random_seed() {
    std::uint64_t seed = 0;
    const walwire::auth::crypto crypto = walwire::auth::openssl();
    static_cast<void>(random(crypto, std::as_writable_bytes(std::span(&seed, 1))));
    return seed;
}

replica::receiver_options configure(const receive_arguments& given, const link& line) {
    replica::receiver_options made;
    made.connection = line.options().first;
    made.connection.status_interval =
        given.status_seconds > 0 ? given.status_seconds * walwire::second : walwire::never;
    made.connection.report_each_flush = true;
    made.alternative_tls = line.options().alternative_tls;
    made.slot = given.slot.empty() ? line.info().replication_slot : std::string_view(given.slot);
    made.retry = given.loop;
    made.backoff_seed = random_seed();
    return made;
}

class receiver {
  public:
    explicit receiver(const receive_arguments& given)
        : given_(given), line_(given.conninfo), stash_(walwire::stash_size),
          out_(walwire::out_size), directory_(given.directory),
          machine_(configure(given, line_), {stash_, out_}) {
        for (const std::string& note : line_.notes()) tell(note);
        if (!given_.metrics_file.empty()) next_metrics_ = now().steady;
    }

    void run() {
        walwire::bytes in;
        while (!machine_.over()) {
            while (const auto told = machine_.poll(in, now()))
                std::visit([this](const auto& event) { heard(event); }, *told);
            settle();
            if (machine_.over()) break;
            in = exchange();
            if (const int signal = signals_.take(); signal != 0) interrupt();
        }
        if (followed_) directory_.finish();
        write_metrics();
        if (!verdict_.empty()) throw failure(verdict_);
    }

  private:
    // Writes and waits. A connection that breaks is the machine's to deal with.
    walwire::bytes exchange() {
        try {
            line_.write(machine_);
            const std::int64_t shown = progress_.deadline();
            const std::int64_t until = shown < next_metrics_ ? shown : next_metrics_;
            return line_.read(machine_, until, signals_.number());
        } catch (const failure& lost) {
            lost_ = lost.what();
            machine_.disconnected();
            return {};
        }
    }

    // What came is handed to the system, and what is durable reported, once for each read.
    void settle() {
        if (followed_) {
            directory_.write_out();
            if (given_.synchronous) directory_.flush();
            machine_.flushed(directory_.flushed());
        }
        const std::int64_t time = now().steady;
        progress_.show({position_, machine_.timeline(), received_, reconnects_}, time);
        if (!given_.metrics_file.empty() && time >= next_metrics_) write_metrics();
    }

    void interrupt() {
        if (stopping_) throw failure("interrupted twice, stopped at once");
        stopping_ = true;
        machine_.stop();
    }

    void heard(const replica::connect_wanted&) {
        lost_.clear();
        server_said_.clear();
        try {
            line_.dial(machine_timeout(), signals_.number());
            machine_.connected();
            begin_session();
        } catch (const interrupted&) {
            static_cast<void>(machine_.connect_failed());
        } catch (const failure& refused) {
            lost_ = refused.what();
            static_cast<void>(machine_.connect_failed());
        }
    }
    void heard(const replica::disconnect_wanted&) { line_.hang_up(); }

    void heard(const replica::tls_accepted& accepted) {
        on_connection(
            [&] { line_.secure(machine_, accepted.direct, machine_timeout(), signals_.number()); });
    }
    void heard(const replica::gss_accepted&) { machine_.disconnected(); } // never asked for
    void heard(const replica::password_wanted&) { line_.give_password(machine_); }

    void heard(const replica::placement_wanted& wanted) {
        if (given_.verbose)
            tell(line_.peer() + ": system identifier " + std::to_string(wanted.system_identifier) +
                 ", timeline " + std::to_string(wanted.timeline.value) + ", position " +
                 std::string(std::string_view(to_text(wanted.end))));
        const auto found = directory_.resume(wanted.segment_size);
        for (const std::string& note : directory_.notes()) tell(note);
        if (found)
            static_cast<void>(machine_.place({found->timeline, found->start, {}}));
        else
            static_cast<void>(machine_.place_anew());
    }
    void heard(const replica::history_read& history) {
        directory_.add_history(history.timeline, history.content);
    }
    void heard(const replica::following& stream) {
        followed_ = true;
        position_ = stream.start;
        if (given_.verbose)
            tell("following from " + std::string(std::string_view(to_text(stream.start))) +
                 " on timeline " + std::to_string(stream.timeline.value));
    }
    void heard(const replica::wal_data& run) {
        directory_.write(machine_.timeline(), run.start, run.data);
        position_ = run.start + run.data.size();
        received_ += run.data.size();
        metrics_.wal_received(run.data.size());
        if (given_.end && position_ >= *given_.end) machine_.stop();
    }
    void heard(const replica::timeline_ended& ended) {
        directory_.end_timeline(ended.switch_point);
        machine_.flushed(directory_.flushed());
        if (given_.verbose)
            tell("timeline ended at " + std::string(std::string_view(to_text(ended.switch_point))) +
                 ", the next is " + std::to_string(ended.next.value));
    }
    // A server that shuts down asks, and waits until all that it sent is durable here.
    void heard(const replica::primary_keepalive& alive) {
        if (alive.reply_requested && followed_) machine_.flushed(directory_.flush());
    }
    void heard(const replica::primary_status&) {}
    void heard(const replica::parameter_status&) {}
    void heard(const replica::server_error& error) { server_said_ = describe(error.fields()); }
    void heard(const replica::notice& notice) {
        if (given_.verbose) tell(line_.peer() + ": " + describe(notice.fields()));
    }
    void heard(const replica::retrying& retry) {
        end_session(retry.why.reason.code == walwire::errc::none && server_said_.empty());
        const std::int64_t wait = (retry.at - now().steady) / walwire::millisecond;
        tell(explain(retry.why) + "; trying again in " + std::to_string(wait) + " ms");
    }
    void heard(const replica::stopped&) { end_session(true); }
    void heard(const replica::given_up& end) {
        end_session(false);
        verdict_ = explain(end.why);
    }

    // A session is counted from the moment that its connection is open.
    void begin_session() {
        end_session(false);
        in_session_ = true;
        if (metrics_.read().sessions_started > 0) {
            ++reconnects_;
            metrics_.reconnected();
        }
        metrics_.session_started(now());
    }
    void end_session(bool well) {
        if (!in_session_) return;
        in_session_ = false;
        if (well)
            metrics_.session_succeeded();
        else
            metrics_.session_failed();
    }

    // Server, position and cause, in one line.
    std::string explain(const replica::cause& why) const {
        std::string text = line_.peer();
        if (position_.valid()) text += ", at " + std::string(std::string_view(to_text(position_)));
        text += ": ";
        if (!server_said_.empty()) return text + server_said_;
        if (!lost_.empty()) return text + lost_;
        if (why.reason.code == walwire::errc::none)
            return text + "the server closed the connection";
        return text + describe(why.reason);
    }

    template <class Step>
    void on_connection(Step&& step) {
        try {
            step();
        } catch (const interrupted&) {
            machine_.disconnected();
        } catch (const failure& lost) {
            lost_ = lost.what();
            machine_.disconnected();
        }
    }

    std::int64_t machine_timeout() const { return line_.options().first.connect_timeout; }

    void tell(const std::string& line) {
        progress_.clear();
        say(line);
    }

    // The file is replaced whole, so that whoever reads it never sees half of one.
    void write_metrics() {
        if (given_.metrics_file.empty()) return;
        next_metrics_ = walwire::later(now().steady, walwire::second);
        for (; statuses_ < machine_.statuses_sent(); ++statuses_)
            metrics_.standby_status_update_sent();
        replica::positions here(machine_.durable());
        static_cast<void>(here.received(position_));
        metrics_.moved(here);
        constexpr std::string_view prefix = "walwire_replica_";
        std::array<std::byte, replica::metrics_text_size_max(prefix.size())> room{};
        walwire::writer text(room);
        static_cast<void>(put_prometheus(text, metrics_.read(), prefix));
        const std::string temporary = given_.metrics_file + ".tmp";
        const descriptor file(
            ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
        if (!file) fail("could not create " + quoted(temporary), errno);
        const walwire::bytes content = text.written();
        const ssize_t size = ::write(file.number(), content.data(), content.size());
        if (size != static_cast<ssize_t>(content.size()))
            fail("could not write " + quoted(temporary), errno);
        if (::rename(temporary.c_str(), given_.metrics_file.c_str()) != 0)
            fail("could not rename " + quoted(temporary), errno);
    }

    const receive_arguments& given_;
    link line_;
    signals signals_;
    std::vector<std::byte> stash_;
    std::vector<std::byte> out_;
    wal_directory directory_;
    replica::wal_receiver machine_;
    replica::metrics metrics_;
    progress progress_;
    walwire::lsn position_;
    std::uint64_t received_ = 0;
    std::uint64_t reconnects_ = 0;
    std::uint64_t statuses_ = 0; // of the machine's, those that are counted
    std::int64_t next_metrics_ = walwire::never;
    bool in_session_ = false;
    bool followed_ = false;
    bool stopping_ = false;
    std::string lost_;        // what the system said when the connection broke
    std::string server_said_; // the last error of the server's
    std::string verdict_;
};

} // namespace

void receive(const receive_arguments& given) {
    if (given.create_slot) {
        link line(given.conninfo);
        create_slot(line, given.slot, given.if_not_exists);
        if (given.directory.empty()) return;
    }
    receiver(given).run();
}

} // namespace posix
