#include "backup.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include <walwire/replica/base_backup.hpp>

#include "backup_entries.hpp"
#include "backup_store.hpp"
#include "failure.hpp"
#include "link.hpp"
#include "progress.hpp"
#include "signals.hpp"
#include "wal_stream.hpp"

namespace posix {
namespace {

namespace replica = walwire::replica;

// A manifest is sent in pieces of this room.
constexpr std::size_t backup_out_size = 64 * 1024;

// How long a failure of the other connection, or something to show, may go unnoticed.
constexpr std::int64_t look_interval = 200 * walwire::millisecond;

replica::base_backup_options configure(const link& line) {
    replica::base_backup_options made;
    made.connection = line.options().first;
    made.alternative_tls = line.options().alternative_tls;
    return made;
}

std::string text_of(walwire::lsn at) {
    return std::string(std::string_view(to_text(at)));
}

// Why a server of this version cannot be asked for it.
std::string lacking(const walwire::wire::base_backup& what, int version) {
    std::string text = "server " + std::to_string(version);
    if (what.incremental && version < 17) return text + " has no incremental backups (17 has)";
    if (what.compression && version < 15) return text + " compresses no backups (15 does)";
    return text + " takes no such backup";
}

// A file that is sent to the server.
class upload {
  public:
    explicit upload(const std::string& path)
        : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (!file_) fail("could not open file " + quoted(path), errno);
    }

    // As much as the machine takes; true when that was all.
    bool send(replica::base_backup& machine) {
        for (;;) {
            if (rest_.empty() && !read()) return machine.end_copy() == walwire::errc::none;
            const auto taken = machine.copy(rest_);
            if (!taken) return false; // no room yet, or the server has said why it wants no more
            rest_ = rest_.subspan(*taken);
        }
    }

  private:
    bool read() {
        ssize_t size = 0;
        do size = ::read(file_.number(), room_.data(), room_.size());
        while (size < 0 && errno == EINTR);
        if (size < 0) fail("could not read file " + quoted(path_), errno);
        rest_ = walwire::bytes(room_).first(static_cast<std::size_t>(size));
        return size > 0;
    }

    std::string path_;
    descriptor file_;
    std::vector<std::byte> room_ = std::vector<std::byte>(backup_out_size);
    walwire::bytes rest_;
};

class taker {
  public:
    explicit taker(const backup_arguments& given)
        : given_(given), line_(given.conninfo), stash_(walwire::stash_size), out_(backup_out_size),
          machine_(configure(line_), {stash_, out_}),
          progress_(given.progress ? STDERR_FILENO : -1) {
        for (const std::string& note : line_.notes()) tell(note);
        if (!given.incremental.empty()) upload_.emplace(given.incremental);
    }

    void run() {
        walwire::bytes in;
        while (!machine_.over()) {
            while (const auto told = machine_.poll(in, now()))
                std::visit([this](const auto& event) { heard(event); }, *told);
            if (uploading_) uploading_ = !upload_->send(machine_);
            show();
            look_at_stream();
            if (!machine_.over()) in = exchange();
            if (signals_.take() != 0) interrupt();
        }
        if (!verdict_.empty()) throw failure(verdict_);
        finish();
    }

  private:
    // Writes and waits. A connection that breaks is the machine's to deal with.
    walwire::bytes exchange() {
        try {
            line_.write(machine_);
            const bool looks = stream_ || given_.progress;
            const std::int64_t until =
                looks ? walwire::later(now().steady, look_interval) : walwire::never;
            return line_.read(machine_, until, signals_.number());
        } catch (const failure& lost) {
            lose(lost.what());
            return {};
        }
    }
    void lose(const char* why) {
        lost_ = why;
        machine_.disconnected();
    }

    void interrupt() {
        if (stopping_) throw failure("interrupted twice, stopped at once");
        stopping_ = true;
        machine_.stop();
    }

    // A backup without its log is none, so there is no point in going on.
    void look_at_stream() const {
        if (stream_ && stream_->over()) stream_->check();
    }

    void show() {
        backup_figures figures;
        figures.waiting = waiting_;
        if (store_) {
            figures.bytes = store_->done();
            figures.total = store_->announced();
        }
        progress_.show(figures, now().steady);
    }

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

    void heard(const replica::source_identified& source) {
        source_ = source;
        const walwire::wire::base_backup what = wanted();
        store_.emplace(given_, source, what);
        if (given_.verbose)
            tell(line_.peer() + ": system identifier " + std::to_string(source.system_identifier) +
                 ", timeline " + std::to_string(source.timeline.value) + ", position " +
                 text_of(source.end));
        waiting_ = "a checkpoint";
        const walwire::errc code = machine_.begin(what);
        if (code == walwire::errc::unsupported_version)
            throw failure(lacking(what, source.server_version));
        if (code != walwire::errc::none) throw failure(std::string(walwire::text(code)));
    }
    void heard(const replica::manifest_wanted&) { uploading_ = true; }

    void heard(const walwire::backup::started& begun) {
        waiting_ = given_.progress ? "the sizes" : nullptr;
        started_ = begun;
        if (given_.verbose)
            tell("the backup starts at " + text_of(begun.start) + " on timeline " +
                 std::to_string(begun.timeline.value));
        if (given_.log != backup_log::stream) return;
        wal_ = store_->make_wal();
        wal_stream_plan plan;
        plan.conninfo = given_.conninfo;
        plan.system_identifier = source_.system_identifier;
        plan.timeline = begun.timeline;
        plan.start = begun.start;
        plan.temporary_slot = given_.slot;
        stream_.emplace(plan, *wal_);
    }
    void heard(const walwire::backup::tablespace& listed) { store_->tablespace(listed); }
    void heard(const walwire::backup::archive_started& begun) {
        waiting_ = nullptr;
        store_->archive_started(begun);
    }
    void heard(const walwire::backup::archive_data& run) { store_->archive_data(run.data); }
    void heard(const walwire::backup::archive_ended&) { store_->archive_ended(); }
    void heard(const walwire::backup::manifest_opened&) { store_->manifest_opened(); }
    void heard(const walwire::backup::manifest_data& run) { store_->manifest_data(run.data); }
    void heard(const walwire::backup::manifest_closed&) {
        store_->manifest_closed();
        if (given_.log == backup_log::none) waiting_ = "the WAL to be archived";
    }
    void heard(const walwire::backup::ended& end) {
        ended_ = end;
        if (stream_) stream_->end_at(end.end);
    }

    void heard(const replica::server_error& error) { server_said_ = describe(error.fields()); }
    void heard(const replica::notice& notice) {
        // As a warning only, old servers that go down say why the connection will break.
        if (notice.fields().sqlstate.starts_with("57P"))
            server_said_ = describe(notice.fields());
        else if (given_.verbose || notice.fields().severity == "WARNING")
            tell(line_.peer() + ": " + describe(notice.fields()));
    }
    void heard(const replica::stopped&) { verdict_ = "interrupted"; }
    void heard(const replica::given_up& end) { verdict_ = explain(end.why); }

    // The server's own count, as we count ourselves; parameters; AionDB's backups, which nobody
    // asks for here.
    template <class Event>
    void heard(const Event&) {}

    // Server and cause, in one line.
    std::string explain(const replica::cause& why) const {
        const std::string text = line_.peer() + ": ";
        if (!server_said_.empty()) return text + server_said_;
        if (!lost_.empty()) return text + lost_;
        if (why.reason.code == walwire::errc::none)
            return text + "the server closed the connection";
        const std::string_view refused = machine_.refused();
        return text + describe(why.reason) +
               (refused.empty() ? std::string() : ": " + quoted(refused));
    }

    // What is asked of the server.
    walwire::wire::base_backup wanted() const {
        namespace wire = walwire::wire;
        wire::base_backup what;
        what.label = given_.label;
        what.progress = given_.progress;
        what.checkpoint = given_.checkpoint;
        what.wal = given_.log == backup_log::fetch;
        what.wait = given_.log == backup_log::none;
        what.max_rate = given_.max_rate;
        what.tablespace_map = given_.format == backup_format::tar;
        what.verify_checksums = given_.verify_checksums;
        constexpr int first_with_manifests = 13;
        if (given_.manifest && source_.server_version >= first_with_manifests) {
            what.manifest = wire::backup_manifest::yes;
            what.checksums = given_.checksums;
        }
        what.compression = given_.compression;
        what.compression_detail = given_.compression_detail;
        what.incremental = upload_.has_value();
        return what;
    }

    // The backup has come. It is not one yet.
    void finish() {
        stop_if_interrupted();
        waiting_ = "the last of the WAL";
        while (stream_ && !stream_->over()) {
            show();
            wait(-1, {false, false}, walwire::later(now().steady, look_interval / 4),
                 signals_.number());
            stop_if_interrupted();
        }
        look_at_stream();
        if (wal_) wal_->finish();
        waiting_ = "the disk";
        show();
        stop_if_interrupted();
        store_->conclude(started_, ended_);
        say_goodbye();
    }

    // The signal may have been taken when the machine had nothing left to stop.
    void stop_if_interrupted() {
        if (stopping_ || signals_.take() != 0) throw failure("interrupted");
    }

    void say_goodbye() {
        const verification& checked = store_->checked();
        std::string lacks;
        if (source_.server_version < 13)
            lacks = "the server has no manifests; nothing was verified";
        else if (!given_.manifest)
            lacks = "there is no manifest; nothing was verified";
        else if (checked.checked() == 0)
            lacks = "the manifest has no checksums; only sizes were verified";
        if (!lacks.empty()) tell(lacks);
        if (!given_.verbose && !given_.progress) return;
        tell(std::to_string(checked.files()) + " files, " +
             size_text(static_cast<double>(store_->done())) + ", from " + text_of(started_.start) +
             " to " + text_of(ended_.end) +
             (lacks.empty() ? ", verified against the manifest" : ""));
    }

    void tell(const std::string& line) {
        progress_.clear();
        say(line);
    }

    std::int64_t timeout() const { return line_.options().first.connect_timeout; }

    const backup_arguments& given_;
    link line_;
    signals signals_;
    std::vector<std::byte> stash_;
    std::vector<std::byte> out_;
    replica::base_backup machine_;
    progress progress_;
    std::optional<upload> upload_;
    bool uploading_ = false;
    bool stopping_ = false;
    const char* waiting_ = "the server";
    replica::source_identified source_;
    walwire::backup::started started_;
    walwire::backup::ended ended_;
    // Each is gone before the ones that it writes into.
    std::optional<backup_store> store_;
    std::unique_ptr<backup_wal> wal_;
    std::optional<wal_stream> stream_;
    std::string lost_;        // what the system said when the connection broke
    std::string server_said_; // the last error of the server's
    std::string verdict_;
};

} // namespace

void backup(const backup_arguments& given) {
    if (given.dialect == walwire::dialect::aiondb) return backup_entries(given);
    taker(given).run();
}

} // namespace posix
