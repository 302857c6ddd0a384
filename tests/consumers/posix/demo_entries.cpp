#include "demo_entries.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include <walwire/primary/session.hpp>
#include <walwire/replica/wal_receiver.hpp>

#include "demo_backup.hpp"
#include "failure.hpp"
#include "progress.hpp"
#include "signals.hpp"
#include "socket.hpp"

namespace posix {
namespace {

using namespace walwire;
using aiondb::entry_lsn;

constexpr std::size_t cuts = 12;
constexpr std::size_t promotions = 3;
constexpr std::uint64_t system_identifier = 7'300'000'000'000'000'002;

// A log that nobody writes: entries numbered from 1 on, each of a size and of bytes that its number
// and its timeline say.
class entry_log {
  public:
    explicit entry_log(std::uint64_t seed) : seed_(seed) {}

    std::uint64_t last() const noexcept { return last_; }
    timeline_id timeline() const noexcept {
        return {static_cast<std::uint32_t>(parted_.size() + 1)};
    }
    void grow(std::uint64_t count) noexcept { last_ += count; }
    void promote() { parted_.push_back(last_); }

    std::string history() const {
        std::string text;
        for (std::size_t i = 0; i < parted_.size(); ++i) {
            text += std::to_string(i + 1) + '\t' +
                    std::string(std::string_view(to_text(entry_lsn{parted_[i]}))) + "\tdemo\n";
        }
        return text;
    }

    std::size_t size_of(std::uint64_t entry) const noexcept {
        return 16 + static_cast<std::size_t>(mix(entry, 0) % 240) * 8;
    }
    void append(std::uint64_t entry, std::vector<std::byte>& to) const {
        std::uint64_t written_on = 1;
        while (written_on <= parted_.size() && entry > parted_[written_on - 1]) ++written_on;
        const std::size_t before = to.size();
        to.resize(before + size_of(entry));
        for (std::size_t at = before; at < to.size(); at += 8) {
            const std::uint64_t word = mix(entry, (at - before) + (written_on << 32) + 1);
            std::memcpy(to.data() + at, &word, sizeof word);
        }
    }

  private:
    std::uint64_t mix(std::uint64_t entry, std::uint64_t salt) const noexcept {
        std::uint64_t mixed = (entry + seed_) * 0x9e3779b97f4a7c15 + salt * 0xd6e8feb86659fd93;
        mixed ^= mixed >> 32;
        mixed *= 0xd6e8feb86659fd93;
        return mixed ^ (mixed >> 29);
    }

    std::uint64_t seed_;
    std::uint64_t last_ = 0;
    std::vector<std::uint64_t> parted_;
};

class demonstration {
  public:
    explicit demonstration(const demo_arguments& given)
        : random_(given.seed), log_(given.seed), count_(given.size / 976 / 4 + 1000),
          replica_(configure(given), {replica_stash_, replica_out_}) {
        for (std::size_t i = 0; i < promotions; ++i) promote_at_.push_back(1 + random_() % count_);
        std::sort(promote_at_.begin(), promote_at_.end());
        cut_after_ = next_cut();
    }

    void run() {
        const std::int64_t began = now().steady;
        backup_ = take_demo_backup(
            {system_identifier, {1}, aiondb::first_entry.as_position(), dialect::aiondb}, random_);
        while (!replica_.over()) {
            if (signals_.take() != 0) throw failure("interrupted");
            write_log();
            feed();
            const bool to_replica = serve();
            const bool to_primary = follow();
            if (!to_replica && !to_primary) wait();
        }
        if (have_ != count_ || stored_ != expected_size()) throw failure("entries are missing");
        tell(static_cast<double>(now().steady - began) / static_cast<double>(second));
    }

  private:
    static replica::receiver_options configure(const demo_arguments& given) {
        replica::receiver_options chosen;
        chosen.connection.user = "replicator";
        chosen.connection.dialect = dialect::aiondb;
        chosen.connection.report_each_flush = true;
        chosen.system_identifier = system_identifier;
        chosen.backoff_seed = given.seed;
        return chosen;
    }

    std::uint64_t next_cut() { return 1 + random_() % (2 * count_ * 976 / (cuts + 1)); }
    std::uint64_t expected_size() const {
        std::uint64_t size = 0;
        for (std::uint64_t entry = 1; entry <= count_; ++entry) size += log_.size_of(entry);
        return size;
    }

    // The primary writes, up to where it is promoted next; its replicas come back then and find it
    // on another timeline.
    void write_log() {
        const std::uint64_t until = promote_at_.empty() ? count_ : promote_at_.front();
        log_.grow(std::min<std::uint64_t>(2000, until - log_.last()));
        if (log_.last() < until || promote_at_.empty() || replica_.durable().value < until) return;
        promote_at_.erase(promote_at_.begin());
        log_.promote();
        if (session_ && session_->streaming())
            static_cast<void>(session_->refuse({"57P01", "promoted", {}, {}, true}));
    }

    // A batch of what there is, at most as large as AionDB makes them.
    void feed() {
        if (!session_ || !session_->streaming()) return;
        session_->advance({log_.last()});
        const std::uint64_t first = session_->next().value;
        if (!session_->wants_wal() || first > log_.last()) return;
        batch_.clear();
        aiondb::batch_room room;
        std::uint64_t next = first;
        while (next <= log_.last() && room.take(log_.size_of(next))) log_.append(next++, batch_);
        static_cast<void>(session_->send_entries({first}, {next - 1}, batch_));
    }

    bool serve() {
        const std::uint64_t session = sessions_;
        if (!session_) return hear({});
        bytes none;
        bool moved = poll_primary(none);
        const gather out = session_->output();
        const bytes waiting = out.head.empty() ? out.body : out.head;
        const std::uint64_t allowed = std::min<std::uint64_t>(64 * 1024, cut_after_);
        const bytes part = waiting.first(
            static_cast<std::size_t>(std::min<std::uint64_t>(waiting.size(), allowed)));
        moved = hear(part) || moved || !part.empty();
        if (!session_ || sessions_ != session) return true;
        session_->consume(part.size());
        cut_after_ -= part.size();
        if (session_->over() && session_->output().empty()) replica_.finish();
        if (cut_after_ == 0) {
            cut_after_ = ++cuts_done_ < cuts ? next_cut() : UINT64_MAX;
            session_.reset();
            replica_.disconnected();
        }
        return moved;
    }

    bool hear(bytes in) {
        bool moved = false;
        while (const auto told = replica_.poll(in, clock_)) {
            std::visit([this](const auto& event) { heard(event); }, *told);
            moved = true;
        }
        return moved;
    }

    bool follow() {
        const gather out = replica_.output();
        if (!session_ || out.head.empty()) return false;
        bytes in = out.head;
        poll_primary(in);
        const std::size_t taken = out.head.size() - in.size();
        replica_.consume(taken);
        return taken > 0;
    }

    bool poll_primary(bytes& in) {
        bool moved = false;
        while (const auto told = session_->poll(in, clock_)) {
            std::visit([this](const auto& event) { answer(event); }, *told);
            moved = true;
        }
        return moved;
    }

    void wait() {
        const std::int64_t other = session_ ? session_->deadline() : never;
        const std::int64_t next = std::min(replica_.deadline(), other);
        if (next == never) throw failure("both ends wait for each other");
        const std::int64_t by = std::max(next - clock_.steady, millisecond);
        clock_.steady += by;
        clock_.wall += by;
    }

    template <class Event>
    void answer(const Event&) {}
    void answer(const primary::login_requested&) {
        static_cast<void>(session_->admit(auth::method::none));
    }
    void answer(const primary::identify_system&) {
        static_cast<void>(session_->answer(
            primary::system_identity{system_identifier, log_.timeline(), {log_.last()}, {}}));
    }
    void answer(const primary::timeline_history& asked) {
        history_ = log_.history();
        static_cast<void>(session_->answer(primary::history_content{
            asked.timeline.value_or(log_.timeline()), as_bytes(history_)}));
    }
    void answer(const primary::start_replication&) {
        static_cast<void>(session_->stream({log_.timeline(), {log_.last()}, {}, {}}));
    }

    template <class Event>
    void heard(const Event&) {}
    void heard(const replica::connect_wanted&) {
        ++sessions_;
        primary::options chosen;
        chosen.dialect = dialect::aiondb;
        chosen.cancel_key = cancel_key_;
        session_.emplace(chosen, memory{stash_, out_});
        static_cast<void>(replica_.connected());
    }
    void heard(const replica::disconnect_wanted&) { session_.reset(); }
    void heard(const replica::retrying&) { ++reconnects_; }
    void heard(const replica::placement_wanted&) { static_cast<void>(replica_.place_anew()); }
    void heard(const replica::entry_data& run) {
        if (run.begins) batch_here_.clear();
        batch_here_.insert(batch_here_.end(), run.data.begin(), run.data.end());
        received_ += run.data.size();
        if (!run.ends) return;
        keep(run.first.value, run.last.value);
        replica_.entries_flushed(run.last);
        progress_.show({{have_}, replica_.timeline(), received_, reconnects_}, now().steady);
        if (have_ == count_) replica_.stop();
    }
    void heard(const replica::given_up& last) {
        throw failure("the replica gave up: " + std::string(text(last.why.reason.code)));
    }

    // A stream begins with the last entry that is here already.
    void keep(std::uint64_t first, std::uint64_t last) {
        std::size_t at = 0;
        for (std::uint64_t entry = first; entry <= last; ++entry) {
            entry_.clear();
            log_.append(entry, entry_);
            const bytes rest = bytes(batch_here_).subspan(at);
            if (rest.size() < entry_.size() ||
                std::memcmp(rest.data(), entry_.data(), entry_.size()) != 0)
                throw failure("entry " + std::to_string(entry) + " differs");
            at += entry_.size();
            if (entry <= have_) continue;
            if (entry != have_ + 1) throw failure("entry " + std::to_string(entry) + " is early");
            have_ = entry;
            stored_ += entry_.size();
        }
        if (at != batch_here_.size()) throw failure("a batch is longer than its entries");
    }

    void tell(double seconds) {
        progress_.clear();
        const auto row = [](const char* what, const std::string& value, const char* remark) {
            std::printf("  %-12s %-14s %s\n", what, value.c_str(), remark);
        };
        std::printf("The same in AionDB's dialect, entry by entry:\n\n");
        row("backup", size_text(static_cast<double>(backup_.bytes)),
            "in files; a first attempt was cut off, and counts for nothing");
        row("entries", std::to_string(have_), size_text(static_cast<double>(stored_)).c_str());
        row("sessions", std::to_string(sessions_), "");
        row("reconnects", std::to_string(reconnects_), "each goes on from the last durable entry");
        row("timeline", std::to_string(replica_.timeline().value),
            "adopted, as nothing here lay past its fork");
        row("throughput", size_text(static_cast<double>(received_) / seconds) + "/s", "");
        std::printf("\n%s of entries are the same at both ends.\n",
                    size_text(static_cast<double>(stored_)).c_str());
    }

    signals signals_;
    std::mt19937_64 random_;
    entry_log log_;
    std::uint64_t count_;
    demo_backup_figures backup_;
    std::array<std::byte, stash_size> stash_;
    std::array<std::byte, out_size> out_;
    std::array<std::byte, 4> cancel_key_{};
    std::string history_;
    std::vector<std::byte> batch_; // that the primary lends
    std::optional<primary::session> session_;
    std::array<std::byte, stash_size> replica_stash_;
    std::array<std::byte, out_size> replica_out_;
    replica::wal_receiver replica_;
    std::vector<std::byte> batch_here_;
    std::vector<std::byte> entry_;
    std::vector<std::uint64_t> promote_at_;
    std::uint64_t cut_after_ = 0;
    std::size_t cuts_done_ = 0;
    instant clock_{second, now().wall};
    std::uint64_t have_ = 0; // the last entry here
    std::uint64_t stored_ = 0;
    std::uint64_t received_ = 0;
    std::uint64_t sessions_ = 0;
    std::uint64_t reconnects_ = 0;
    progress progress_;
};

} // namespace

void demo_entries(const demo_arguments& given) {
    demonstration(given).run();
}

} // namespace posix
