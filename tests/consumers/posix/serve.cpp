#include "serve.hpp"

#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <span>
#include <vector>

#include <walwire/auth/openssl.hpp>
#include <walwire/wire/server_version.hpp>

#include "failure.hpp"
#include "listener.hpp"
#include "messages.hpp"
#include "needed_wal.hpp"
#include "served_client.hpp"
#include "signals.hpp"

namespace posix {
namespace {

namespace primary = walwire::primary;

// How long new WAL may go unnoticed while somebody waits for it.
constexpr std::int64_t look_interval = 50 * walwire::millisecond;

// Connections at one time, those that have not logged in included. Some descriptors stay free for
// files, so that newcomers take nothing from who is there. The last few places are for those who
// come too late, that they are told so.
constexpr std::size_t clients_max = 256;
constexpr std::size_t clients_spare = 16;
constexpr std::size_t descriptors_kept = 24;

std::size_t room_for_clients() {
    rlimit most{};
    if (::getrlimit(RLIMIT_NOFILE, &most) != 0 || most.rlim_cur >= clients_max + descriptors_kept)
        return clients_max;
    return most.rlim_cur > descriptors_kept ? most.rlim_cur - descriptors_kept : 1;
}

std::optional<wal_source> open_wal(const serve_arguments& given) {
    if (given.dialect == walwire::dialect::aiondb) return std::nullopt;
    return std::optional<wal_source>(std::in_place, given.directory);
}

std::optional<entry_source> open_entries(const serve_arguments& given) {
    if (given.dialect != walwire::dialect::aiondb) return std::nullopt;
    return std::optional<entry_source>(std::in_place, given.directory);
}

// AionDB shows none of them.
served_settings settle(const serve_arguments& given, const std::optional<wal_source>& source) {
    served_settings made;
    if (!source) return made;
    const wal_cluster& cluster = source->cluster();
    made.segment_size = cluster.size;
    made.server_version = given.server_version.empty()
                              ? std::to_string(cluster.major_version) + ".0"
                              : given.server_version;
    const auto major = walwire::wire::parse_server_version(made.server_version);
    if (!major)
        throw failure("server version " + quoted(made.server_version) + ": " +
                      std::string(walwire::text(major.code())));
    made.major_version = *major;
    return made;
}

class server {
  public:
    explicit server(const serve_arguments& given)
        : crypto_(walwire::auth::openssl()), source_(open_wal(given)),
          entries_(open_entries(given)), settings_(settle(given, source_)),
          slots_(given.slots_file),
          replicas_(std::span(places_).first(max_wal_senders_of(given.dialect))),
          users_(given, crypto_), shared_{slots_, replicas_, users_, settings_},
          listener_(given.host, given.port) {
        shared_.options = options(given.dialect);
        shared_.verbose = given.verbose;
        if (source_) shared_.source = &*source_;
        if (entries_) shared_.entries = &*entries_;
        if (!given.certificate_file.empty()) {
            encryption_.emplace(given.certificate_file, given.key_file);
            shared_.encryption = &*encryption_;
            shared_.options.tls = primary::encryption::offered;
            shared_.options.direct_tls = true;
        }
        if (entries_)
            shared_.frames = given.backup.empty() ? given.directory : given.backup;
        else if (!given.backup.empty())
            offer_backup(given.backup);
        check();
    }

    void run() {
        std::printf("listening on %s\n", listener_.place().c_str());
        std::fflush(stdout);
        while (!stopping_ || !shared_.clients.empty()) {
            wait();
            const std::int64_t time = now().steady;
            if (signals_.take() != 0) stop(time);
            if (time >= stop_by_) throw failure("stopped before all clients had all WAL");
            if (!stopping_) accept(time);
            look();
            for (std::size_t i = 0; i < turns_.size(); ++i) turn(*turns_[i], i);
            sweep();
            slots_.save_moves(time);
        }
        slots_.save();
    }

  private:
    primary::options options(walwire::dialect spoken) {
        primary::options made;
        made.dialect = spoken;
        if (spoken == walwire::dialect::postgres) made.server_version = settings_.server_version;
        made.crypto = &crypto_;
        if (walwire::auth::random(crypto_, mock_secret_) != walwire::errc::none)
            throw failure("there are no random bytes");
        made.mock_secret = mock_secret_;
        made.password_encryption = users_.encryption();
        made.scram_iterations = users_.iterations();
        return made;
    }

    void offer_backup(const std::string& directory) {
        backup_.emplace(directory);
        if (backup_->label().builds_on)
            throw failure(quoted(directory) + " is an incremental backup; combine it first");
        if (backup_->system_identifier() != source_->cluster().system_identifier)
            throw failure("the backup in " + quoted(directory) +
                          " is of another cluster than the WAL");
        if (backup_->major_version() != settings_.major_version)
            throw failure("the backup in " + quoted(directory) + " is of a server of version " +
                          std::to_string(backup_->major_version()));
        static_cast<void>(backup_->list(true)); // it can be, so far
        shared_.backup = &*backup_;
        // Its WAL may come yet, so this is for clients to be refused with.
        try {
            const auto needed = needed_wal(*backup_, *source_);
            require_end(needed, *source_);
            require_segments(needed, *source_);
        } catch (const failure& lacking) {
            say("the backup in " + quoted(directory) +
                " cannot be served with its WAL as it is: " + lacking.what());
        }
    }

    // The same for all sessions, so it shows before the first one.
    void check() {
        std::vector<std::byte> stash(walwire::stash_size);
        std::vector<std::byte> out(walwire::out_size);
        primary::options sample = shared_.options;
        sample.cancel_key = mock_secret_;
        const walwire::errc code = primary::session::check(sample, {stash, out});
        if (code != walwire::errc::none)
            throw failure("server version " + quoted(settings_.server_version) + ": " +
                          std::string(walwire::text(code)));
    }

    // Sleeps until somebody can be read from or written to, a deadline has come, or it is time to
    // look for WAL.
    void wait() {
        const std::int64_t time = now().steady;
        const bool full = shared_.clients.size() >= room_;
        const bool resting = time < listener_.resting_until();
        std::int64_t until = std::min(slots_.deadline(), stop_by_);
        if (resting) until = std::min(until, listener_.resting_until());
        polled_.assign({{signals_.number(), POLLIN, 0},
                        {stopping_ || full || resting ? -1 : listener_.number(), POLLIN, 0}});
        turns_.clear();
        for (const auto& each : shared_.clients) {
            const interest wanted = each->needs();
            polled_.push_back(
                {each->number(),
                 static_cast<short>((wanted.read ? POLLIN : 0) | (wanted.write ? POLLOUT : 0)), 0});
            turns_.push_back(each.get());
            until = std::min(until, each->deadline());
            if (each->attends()) until = std::min(until, time + look_interval);
        }
        if (busy_) until = time;
        busy_ = false;
        int count = 0;
        do count = ::poll(polled_.data(), polled_.size(), timeout(until));
        while (count < 0 && errno == EINTR);
        if (count < 0) fail("could not poll", errno);
    }

    // What goes wrong may pass: clients are served what there is.
    void look() {
        try {
            shared_.refresh();
            trouble_.clear();
        } catch (const failure& wrong) {
            if (trouble_ != wrong.what()) say(wrong.what());
            trouble_ = wrong.what();
        }
    }

    static int timeout(std::int64_t until) {
        if (until == walwire::never) return -1;
        const std::int64_t at = now().steady;
        if (until <= at) return 0; // a session's "at once" is the distant past
        return static_cast<int>(
            std::min<std::int64_t>((until - at) / walwire::millisecond + 1, INT_MAX));
    }

    void accept(std::int64_t time) {
        if (polled_[1].revents == 0) return;
        while (shared_.clients.size() < room_) {
            auto accepted = listener_.accept(time);
            if (!accepted) return;
            const bool crowded =
                shared_.clients.size() >= room_ - std::min(clients_spare, room_ / 4);
            shared_.clients.push_back(std::make_unique<served_client>(shared_, std::move(*accepted),
                                                                      ++last_id_, crowded));
        }
    }

    void turn(served_client& client, std::size_t place) {
        const short found = polled_[place + 2].revents;
        try {
            // Broken, and nothing of it is asked for: nobody would ever be told.
            const interest wanted = client.needs();
            if ((found & (POLLERR | POLLHUP)) != 0 && !wanted.read && !wanted.write)
                throw failure("the client hung up");
            busy_ = client.turn((found & (POLLIN | POLLERR | POLLHUP)) != 0) || busy_;
        } catch (const failure& lost) {
            client.tell(lost.what());
            lost_.push_back(&client);
        }
    }

    void sweep() {
        shared_.clients.remove_if([this](const auto& each) {
            return each->gone() || std::ranges::find(lost_, each.get()) != lost_.end();
        });
        lost_.clear();
    }

    void stop(std::int64_t time) {
        if (stopping_) throw failure("interrupted twice, stopped at once");
        stopping_ = true;
        listener_.close();
        stop_by_ = walwire::later(time, shared_.options.wal_sender_timeout);
        for (const auto& each : shared_.clients) each->shut_down();
    }

    walwire::auth::crypto crypto_;
    std::optional<wal_source> source_;
    std::optional<entry_source> entries_;
    served_settings settings_;
    slot_store slots_;
    std::array<primary::replica, max_wal_senders> places_{};
    primary::registry replicas_;
    logins users_;
    std::array<std::byte, 32> mock_secret_{};
    std::optional<tls_server> encryption_;
    std::optional<backup_source> backup_;
    service shared_;
    listener listener_;
    signals signals_;
    std::vector<pollfd> polled_;
    std::vector<served_client*> turns_; // who was polled, in order, behind the first two
    std::vector<served_client*> lost_;
    std::string trouble_; // that was said already
    std::size_t room_ = room_for_clients();
    std::int64_t stop_by_ = walwire::never;
    std::uint32_t last_id_ = 0;
    bool busy_ = false; // somebody has more to say at once
    bool stopping_ = false;
};

} // namespace

void serve(const serve_arguments& given) {
    server(given).run();
}

} // namespace posix
