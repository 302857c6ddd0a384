#include "backup_entries.hpp"

#include <unistd.h>

#include <string_view>
#include <variant>
#include <vector>

#include <walwire/replica/base_backup.hpp>
#include <walwire/replica/bootstrap.hpp>

#include "failure.hpp"
#include "link.hpp"
#include "progress.hpp"
#include "replica_directory.hpp"
#include "signals.hpp"

namespace posix {
namespace {

namespace aiondb = walwire::aiondb;
namespace replica = walwire::replica;
using replica::bootstrap_step;

replica::base_backup_options configure(const link& line) {
    replica::base_backup_options made;
    made.connection = line.options().first;
    made.alternative_tls = line.options().alternative_tls;
    return made;
}

void expect(walwire::errc code) {
    if (code != walwire::errc::none) throw failure(std::string(walwire::text(code)));
}

// Takes one backup into an empty directory.
class frame_taker {
  public:
    frame_taker(const backup_arguments& given, link& line, backup_directory& into)
        : given_(given), line_(line), into_(into), stash_(walwire::stash_size),
          out_(walwire::out_size), machine_(configure(line), {stash_, out_}),
          progress_(given.progress ? STDERR_FILENO : -1) {}

    void run() {
        walwire::bytes in;
        while (!machine_.over()) {
            while (const auto told = machine_.poll(in, now()))
                std::visit([this](const auto& event) { heard(event); }, *told);
            progress_.show(backup_figures{waiting_, bytes_, 0}, now().steady);
            if (!machine_.over()) in = exchange();
            if (signals_.take() != 0) machine_.stop();
        }
        progress_.clear();
        if (!taken_) throw failure(verdict_.empty() ? "interrupted" : verdict_);
    }

    // What its header said.
    aiondb::backup_started header() const noexcept { return {start_, timeline_, identifier_}; }
    std::uint64_t bytes() const noexcept { return bytes_; }
    std::uint64_t files() const noexcept { return files_; }

  private:
    // Writes and waits. A connection that breaks is the machine's to deal with.
    walwire::bytes exchange() {
        try {
            line_.write(machine_);
            return line_.read(machine_, progress_.deadline(), signals_.number());
        } catch (const failure& lost) {
            lose(lost.what());
            return {};
        }
    }
    void lose(const char* why) {
        lost_ = why;
        machine_.disconnected();
    }

    template <class Event>
    void heard(const Event&) {} // the other dialect's, and what is of no interest
    void heard(const replica::connect_wanted&) {
        lost_.clear();
        server_said_.clear();
        try {
            line_.dial(timeout(), signals_.number());
            static_cast<void>(machine_.connected());
        } catch (const interrupted&) {
            machine_.stop(); // or it would say that nobody was there
            static_cast<void>(machine_.connect_failed());
        } catch (const failure& refused) {
            lost_ = refused.what();
            static_cast<void>(machine_.connect_failed());
        }
    }
    void heard(const replica::disconnect_wanted&) { line_.hang_up(); }
    void heard(const replica::tls_accepted& accepted) {
        try {
            line_.secure(machine_, accepted.direct, timeout(), signals_.number());
        } catch (const interrupted&) {
            machine_.stop();
            machine_.disconnected();
        } catch (const failure& lost) {
            lose(lost.what());
        }
    }
    void heard(const replica::gss_accepted&) { machine_.disconnected(); } // never asked for
    void heard(const replica::password_wanted&) { line_.give_password(machine_); }
    void heard(const replica::source_identified&) { expect(machine_.begin({})); }

    void heard(const aiondb::backup_started& begun) {
        start_ = begun.start;
        timeline_ = begun.timeline;
        identifier_ = begun.system_identifier;
        waiting_ = nullptr;
    }
    void heard(const aiondb::file_started& file) {
        // The directories above it, which have no frames of their own.
        for (std::size_t at = file.path.find('/'); at != std::string_view::npos;
             at = file.path.find('/', at + 1))
            into_.make_directory(file.path.substr(0, at));
        file_ = into_.create(file.path);
    }
    void heard(const aiondb::file_data& run) {
        file_.write(run.data);
        bytes_ += run.data.size();
    }
    void heard(const aiondb::file_ended&) {
        file_.close();
        ++files_;
    }
    void heard(const replica::backup_taken&) { taken_ = true; }

    void heard(const replica::server_error& error) { server_said_ = describe(error.fields()); }
    void heard(const replica::notice& notice) {
        if (given_.verbose) say(line_.peer() + ": " + describe(notice.fields()));
    }
    void heard(const replica::given_up& end) {
        verdict_ = line_.peer() + ": ";
        if (!server_said_.empty())
            verdict_ += server_said_;
        else if (!lost_.empty())
            verdict_ += lost_;
        else
            verdict_ += describe(end.why.reason);
    }

    std::int64_t timeout() const { return line_.options().first.connect_timeout; }

    const backup_arguments& given_;
    link& line_;
    backup_directory& into_;
    signals signals_;
    std::vector<std::byte> stash_;
    std::vector<std::byte> out_;
    replica::base_backup machine_;
    progress progress_;
    new_file file_;
    const char* waiting_ = "the server";
    aiondb::entry_lsn start_;
    walwire::timeline_id timeline_;
    std::string identifier_;
    std::uint64_t bytes_ = 0;
    std::uint64_t files_ = 0;
    bool taken_ = false;
    std::string lost_;        // what the system said when the connection broke
    std::string server_said_; // the last error of the server's
    std::string verdict_;
};

void take(const backup_arguments& given, replica_directory& directory, replica::bootstrap& order) {
    link line(given.conninfo, given.dialect);
    for (const std::string& note : line.notes()) say(note);
    frame_taker taker(given, line, directory.make_wal());
    taker.run();
    directory.sync_wal();
    expect(order.done_backup(taker.header()));
    if (given.verbose || given.progress)
        say(std::to_string(taker.files()) + " files, " +
            size_text(static_cast<double>(taker.bytes())) + ", from entry " +
            std::string(std::string_view(to_text(taker.header().start))) + " on timeline " +
            std::to_string(order.timeline().value));
}

} // namespace

void backup_entries(const backup_arguments& given) {
    replica_directory directory(given.directory);
    replica::bootstrap order(directory.found());
    if (order.next() == bootstrap_step::open_engine) {
        say("directory " + quoted(given.directory) + " is a replica of system " +
            printable(order.system_identifier()) + " already; nothing was changed");
        return;
    }
    for (;;) {
        const bootstrap_step step = order.next();
        switch (step) {
        case bootstrap_step::write_manifest: directory.write_manifest(); break;
        case bootstrap_step::clear_wal:
            say("clearing what an unfinished backup left in " + quoted(given.directory));
            directory.clear_wal();
            break;
        case bootstrap_step::take_backup: take(given, directory, order); continue;
        case bootstrap_step::write_timeline: directory.write_timeline(order.timeline()); break;
        case bootstrap_step::write_system_id:
            directory.write_system_id(order.system_identifier());
            break;
        case bootstrap_step::open_engine:
        case bootstrap_step::follow: return; // the engine's
        case bootstrap_step::broken:
            throw failure("directory " + quoted(given.directory) +
                          " says whose it is, but not all that a replica has to");
        }
        expect(order.done(step));
    }
}

} // namespace posix
