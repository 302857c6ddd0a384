#include "demo.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include <walwire/replica/wal_receiver.hpp>

#include "demo_backup.hpp"
#include "demo_entries.hpp"
#include "demo_log.hpp"
#include "demo_primary.hpp"
#include "failure.hpp"
#include "progress.hpp"
#include "signals.hpp"
#include "socket.hpp"

namespace posix {
namespace {

using namespace walwire;

// What happens to the link and to the primary, at positions of the log that the seed decides.
constexpr std::size_t cuts = 12;
constexpr std::size_t promotions = 3;
constexpr std::uint64_t system_identifier = 7'300'000'000'000'000'001;
constexpr lsn log_start{0x1000000};

class demonstration {
  public:
    explicit demonstration(const demo_arguments& given)
        : seed_(given.seed), random_(given.seed), size_(given.size), log_(given.seed, log_start),
          primary_(log_, system_identifier), disk_(static_cast<std::size_t>(given.size)),
          replica_(configure(given), {stash_, out_}) {
        for (std::size_t i = 0; i < promotions; ++i) promote_at_.push_back(somewhere());
        std::sort(promote_at_.begin(), promote_at_.end());
        cut_after_ = next_cut();
    }

    void run() {
        const std::int64_t began = now().steady;
        backup_ = take_demo_backup({system_identifier, {1}, log_start, dialect::postgres}, random_);
        while (!replica_.over()) {
            interrupted_by(signals_.take());
            write_log();
            primary_.feed();
            const bool to_replica = serve();
            const bool to_primary = follow();
            if (!to_replica && !to_primary) wait();
            progress_.show({position_, replica_.timeline(), received_, reconnects_}, now().steady);
        }
        progress_.clear();
        compare();
        tell(static_cast<double>(now().steady - began) / static_cast<double>(second));
    }

  private:
    static replica::receiver_options configure(const demo_arguments& given) {
        replica::receiver_options chosen;
        chosen.connection.user = "replicator";
        chosen.connection.application_name = "demo";
        chosen.connection.report_each_flush = true;
        chosen.backoff_seed = given.seed;
        return chosen;
    }

    lsn log_end() const noexcept { return log_start + size_; }
    lsn somewhere() { return log_start + random_() % (size_ / 8) * 8; }
    std::uint64_t next_cut() { return 1 + random_() % (2 * size_ / (cuts + 1)); }

    static void interrupted_by(int signal) {
        if (signal != 0) throw failure("interrupted");
    }

    // The primary writes, up to where it is promoted next.
    void write_log() {
        lsn until = log_end();
        if (!promote_at_.empty()) until = promote_at_.front();
        const lsn next = log_.end() + 2 * 1024 * 1024;
        log_.grow(std::min(next, until) - log_.end());
        if (log_.end() < until || promote_at_.empty()) return;
        // Nobody is promoted before what it wrote is known to be safe somewhere else.
        if (replica_.durable() < until) return;
        promote_at_.erase(promote_at_.begin());
        log_.promote();
    }

    // From the primary to the replica; true if anything went.
    bool serve() {
        const std::uint64_t session = sessions_;
        primary::session* const served = primary_.connection();
        if (served == nullptr) return hear({});
        bytes none;
        bool moved = false;
        while (const auto told = served->poll(none, clock_)) {
            primary_.heard(*told);
            moved = true;
        }
        const gather out = served->output();
        const bytes waiting = out.head.empty() ? out.body : out.head;
        const std::uint64_t allowed = std::min<std::uint64_t>(64 * 1024, cut_after_);
        const bytes part = waiting.first(
            static_cast<std::size_t>(std::min<std::uint64_t>(waiting.size(), allowed)));
        moved = hear(part) || moved || !part.empty();
        // What it heard may have ended the connection that this came from.
        if (primary_.connection() == nullptr || sessions_ != session) return true;
        served->consume(part.size());
        cut_after_ -= part.size();
        if (cut_after_ == 0) cut();
        return moved;
    }

    // The link breaks, wherever it is: nothing that is under way arrives.
    void cut() {
        cut_after_ = cuts_done_ + 1 < cuts ? next_cut() : UINT64_MAX;
        ++cuts_done_;
        primary_.hang_up();
        replica_.disconnected();
    }

    bool hear(bytes in) {
        bool moved = false;
        while (const auto told = replica_.poll(in, clock_)) {
            std::visit([this](const auto& event) { heard(event); }, *told);
            moved = true;
        }
        return moved;
    }

    // From the replica to the primary.
    bool follow() {
        primary::session* const served = primary_.connection();
        const gather out = replica_.output();
        if (served == nullptr || out.head.empty()) return false;
        bytes in = out.head;
        while (const auto told = served->poll(in, clock_)) primary_.heard(*told);
        const std::size_t taken = out.head.size() - in.size();
        replica_.consume(taken);
        return taken > 0;
    }

    // Nothing can happen before the next deadline, so it is now: the demo has a clock of its own.
    void wait() {
        const primary::session* const served = primary_.connection();
        const std::int64_t other = served != nullptr ? served->deadline() : never;
        const std::int64_t next = std::min(replica_.deadline(), other);
        if (next == never) throw failure("both ends wait for each other");
        const std::int64_t by = std::max(next - clock_.steady, millisecond);
        clock_.steady += by;
        clock_.wall += by;
    }

    template <class Event>
    void heard(const Event&) {}
    void heard(const replica::connect_wanted&) {
        ++sessions_;
        primary_.accept();
        static_cast<void>(replica_.connected());
    }
    void heard(const replica::disconnect_wanted&) { primary_.hang_up(); }
    void heard(const replica::retrying&) { ++reconnects_; }
    void heard(const replica::placement_wanted& wanted) {
        static_cast<void>(replica_.place({wanted.timeline, log_start, {}}));
    }
    void heard(const replica::wal_data& run) {
        if (run.start < log_start || run.start + run.data.size() > log_end())
            throw failure("WAL came from outside the log");
        std::memcpy(disk_.data() + (run.start - log_start), run.data.data(), run.data.size());
        position_ = run.start + run.data.size();
        received_ += run.data.size();
        if (run.ends) replica_.flushed(position_);
        if (position_ == log_end()) replica_.stop();
    }
    void heard(const replica::given_up& last) {
        throw failure("the replica gave up: " + std::string(text(last.why.reason.code)));
    }

    void compare() const {
        std::vector<std::byte> expected(1024 * 1024);
        for (lsn at = log_start; at < log_end(); at = at + expected.size()) {
            const auto size =
                static_cast<std::size_t>(std::min<std::uint64_t>(expected.size(), log_end() - at));
            log_.fill(at, log_.timeline(), mutable_bytes(expected).first(size));
            if (std::memcmp(disk_.data() + (at - log_start), expected.data(), size) != 0)
                throw failure("the replica's WAL differs behind " +
                              std::string(std::string_view(to_text(at))));
        }
    }

    void tell(double seconds) const {
        const auto row = [](const char* what, const std::string& value, const char* remark) {
            std::printf("  %-12s %-14s %s\n", what, value.c_str(), remark);
        };
        std::printf("Both ends of the protocol in one process, and every byte compared:\n\n");
        row("backup", size_text(static_cast<double>(backup_.bytes)),
            "verified against its manifest; a first attempt was cut off");
        row("log", size_text(static_cast<double>(size_)), "as the primary wrote it");
        row("received", size_text(static_cast<double>(received_)),
            "some of it twice: the same bytes");
        row("sessions", std::to_string(sessions_), "");
        row("reconnects", std::to_string(reconnects_), "the link was cut at random bytes");
        row("timeline", std::to_string(replica_.timeline().value),
            "the primary was promoted, and followed");
        row("statuses", std::to_string(replica_.statuses_sent()), "of what is written and durable");
        row("seed", std::to_string(seed_), "decided where: --seed repeats it");
        row("throughput", size_text(static_cast<double>(received_) / seconds) + "/s",
            "made, served, received and kept, on one thread");
        std::printf("\n%s of WAL are the same at both ends.\n\n",
                    size_text(static_cast<double>(size_)).c_str());
    }

    signals signals_;
    std::uint64_t seed_;
    std::mt19937_64 random_;
    std::uint64_t size_;
    demo_backup_figures backup_;
    demo_log log_;
    demo_primary primary_;
    std::vector<std::byte> disk_; // the replica's
    std::array<std::byte, stash_size> stash_;
    std::array<std::byte, out_size> out_;
    replica::wal_receiver replica_;
    std::vector<lsn> promote_at_;
    std::uint64_t cut_after_ = 0; // bytes from the primary
    std::size_t cuts_done_ = 0;
    instant clock_{second, now().wall};
    lsn position_;
    std::uint64_t received_ = 0;
    std::uint64_t sessions_ = 0;
    std::uint64_t reconnects_ = 0;
    progress progress_;
};

} // namespace

void demo(const demo_arguments& given) {
    demonstration(given).run();
    demo_entries(given);
}

} // namespace posix
