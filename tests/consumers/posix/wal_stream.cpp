#include "wal_stream.hpp"

#include <pthread.h>
#include <signal.h>

#include <variant>
#include <vector>

#include <walwire/replica/wal_receiver.hpp>

#include "failure.hpp"
#include "messages.hpp"

namespace posix {
namespace {

namespace replica = walwire::replica;

// Other slots of this name would be another backup's.
std::string unique_slot_name() {
    std::uint64_t random_part = 0;
    const walwire::auth::crypto crypto = walwire::auth::openssl();
    static_cast<void>(random(crypto, std::as_writable_bytes(std::span(&random_part, 1))));
    return "walwire_backup_" + std::to_string(::getpid()) + '_' +
           std::to_string(random_part % 1'000'000'000);
}

replica::receiver_options configure(const wal_stream_plan& plan, const link& line,
                                    std::string_view slot) {
    replica::receiver_options made;
    made.connection = line.options().first;
    made.alternative_tls = line.options().alternative_tls;
    made.system_identifier = plan.system_identifier;
    made.slot = plan.temporary_slot ? slot : std::string_view{};
    made.temporary_slot = plan.temporary_slot;
    made.retry = false;
    return made;
}

// What the thread does: `walwire receive`, from one position to another.
class streamer {
  public:
    streamer(const wal_stream_plan& plan, link& line, backup_wal& into, const waker& stop,
             const waker& news)
        : plan_(plan), line_(line), into_(into), stop_(stop), news_(news),
          slot_(unique_slot_name()), stash_(walwire::stash_size), out_(walwire::out_size),
          machine_(configure(plan, line, slot_), {stash_, out_}) {}

    void run(const std::atomic<std::uint64_t>& end, const std::atomic<bool>& stopping) {
        walwire::bytes in;
        while (!machine_.over()) {
            while (const auto told = machine_.poll(in, now()))
                std::visit([this](const auto& event) { heard(event); }, *told);
            machine_.flushed(into_.flushed());
            if (stopping || position_.value >= end) machine_.stop();
            if (!machine_.over()) in = exchange();
        }
        if (!verdict_.empty()) throw failure(verdict_);
        if (!stopping && position_.value < end) throw failure("the stream ended too early");
    }

  private:
    walwire::bytes exchange() {
        try {
            line_.write(machine_);
            const walwire::bytes got = line_.read(machine_, walwire::never, news_.number());
            news_.rest();
            return got;
        } catch (const failure& lost) {
            lose(lost.what());
            return {};
        }
    }
    void lose(const char* why) {
        lost_ = why;
        machine_.disconnected();
    }

    void heard(const replica::connect_wanted&) {
        try {
            line_.dial(line_.options().first.connect_timeout, stop_.number());
            static_cast<void>(machine_.connected());
        } catch (const interrupted&) {
            static_cast<void>(machine_.connect_failed());
        } catch (const failure& refused) {
            lost_ = refused.what();
            static_cast<void>(machine_.connect_failed());
        }
    }
    void heard(const replica::disconnect_wanted&) { line_.hang_up(); }
    void heard(const replica::tls_accepted& accepted) {
        try {
            line_.secure(machine_, accepted.direct, line_.options().first.connect_timeout,
                         stop_.number());
        } catch (const interrupted&) {
            machine_.disconnected();
        } catch (const failure& lost) {
            lose(lost.what());
        }
    }
    void heard(const replica::gss_accepted&) { machine_.disconnected(); } // never asked for
    void heard(const replica::password_wanted&) { line_.give_password(machine_); }
    void heard(const replica::placement_wanted& wanted) {
        const auto start = walwire::wal::segment_start(plan_.start, wanted.segment_size);
        if (machine_.place({plan_.timeline, start, {}}) != walwire::errc::none)
            throw failure("the backup has no timeline");
    }
    void heard(const replica::history_read& history) {
        into_.history(history.timeline, history.content);
    }
    void heard(const replica::wal_data& run) {
        into_.write(machine_.timeline(), run.start, run.data);
        position_ = run.start + run.data.size();
    }
    void heard(const replica::timeline_ended&) {
        throw failure("the server went on to another timeline during the backup");
    }
    void heard(const replica::server_error& error) { server_said_ = describe(error.fields()); }
    void heard(const replica::given_up& end) {
        if (!server_said_.empty())
            verdict_ = server_said_;
        else if (!lost_.empty())
            verdict_ = lost_;
        else if (end.why.reason.code == walwire::errc::none)
            verdict_ = "the server closed the connection";
        else
            verdict_ = describe(end.why.reason);
    }
    template <class Event>
    void heard(const Event&) {}

    const wal_stream_plan& plan_;
    link& line_;
    backup_wal& into_;
    const waker& stop_;
    const waker& news_;
    const std::string slot_;
    std::vector<std::byte> stash_;
    std::vector<std::byte> out_;
    replica::wal_receiver machine_;
    walwire::lsn position_;
    std::string lost_;        // what the system said when the connection broke
    std::string server_said_; // the last error of the server's
    std::string verdict_;
};

// Signals are for the thread that takes them.
class without_signals {
  public:
    without_signals() noexcept {
        sigset_t taken;
        ::sigemptyset(&taken);
        ::sigaddset(&taken, SIGINT);
        ::sigaddset(&taken, SIGTERM);
        ::sigaddset(&taken, SIGHUP);
        ::pthread_sigmask(SIG_BLOCK, &taken, &before_);
    }
    without_signals(const without_signals&) = delete;
    without_signals& operator=(const without_signals&) = delete;
    ~without_signals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  private:
    sigset_t before_{};
};

} // namespace

wal_stream::wal_stream(const wal_stream_plan& plan, backup_wal& into)
    : plan_(plan), into_(into), line_(plan.conninfo) {
    const without_signals inherited;
    thread_ = std::thread([this] { run(); });
}

wal_stream::~wal_stream() {
    stopping_ = true;
    stop_.ring();
    news_.ring();
    thread_.join();
}

void wal_stream::end_at(walwire::lsn end) noexcept {
    end_ = end.value;
    news_.ring();
}

void wal_stream::run() noexcept {
    try {
        streamer(plan_, line_, into_, stop_, news_).run(end_, stopping_);
    } catch (const std::exception& wrong) {
        wrong_ = wrong.what();
    }
    line_.hang_up();
    over_ = true;
}

void wal_stream::check() const {
    if (over_ && !wrong_.empty())
        throw failure("the stream of WAL from " + line_.peer() + ": " + wrong_);
}

} // namespace posix
