// A replica that follows a primary over a link that breaks, in AionDB's dialect:
// replica::wal_receiver against primary::session, under virtual time.
//
// `linked_entries` plays both owners and the network in between, as linked.hpp's class does for
// PostgreSQL's dialect. It watches what must hold whatever happens: every entry arrives, in order,
// and again only from the one on that was asked for; each is what was written; no position moves
// back, at either end; what the primary believes of the replica is true. A replica whose flush lies
// behind a fork is told so and stops, and no other does.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <walwire/primary/session.hpp>
#include <walwire/replica/wal_receiver.hpp>

#include "aiondb/words.hpp"
#include "support/pair.hpp"
#include "support/prng.hpp"

namespace support {

using namespace walwire;

// What a primary has. Entries are numbered upwards, but need not follow one another.
struct entry_world {
    std::string identifier = "cluster-a";
    timeline_id timeline{1};
    std::vector<std::uint64_t> log;
    std::map<std::uint32_t, std::string> histories; // by timeline
    std::map<std::uint32_t, std::uint64_t> forks;   // where a timeline was left
    std::size_t batch_entries = 10;
    std::map<std::string, std::string> files; // what a backup brings

    std::uint64_t end() const { return log.empty() ? 0 : log.back(); }
    void write(std::uint64_t step) { log.push_back(end() + step); }
    // A log without an entry has no place that a timeline could fork at.
    void promote() {
        if (log.empty()) return;
        const std::string before = histories[timeline.value];
        const lsn_text fork = to_text(lsn{end()}, dialect::aiondb);
        histories[timeline.value + 1] = before + std::to_string(timeline.value) + "\t" +
                                        std::string(std::string_view(fork)) + "\tpromotion\n";
        forks[timeline.value] = end();
        ++timeline.value;
    }
    // Somebody takes over who did not have the last entries.
    void promote_without(std::size_t last) {
        log.resize(log.size() - std::min(last, log.empty() ? 0 : log.size() - 1));
        promote();
    }
    // The last entry on this timeline that is part of the present one: a later fork may lie
    // before an earlier one.
    std::uint64_t left_at(timeline_id of) const {
        std::uint64_t least = UINT64_MAX;
        for (auto fork = forks.lower_bound(of.value); fork != forks.end(); ++fork)
            least = std::min(least, fork->second);
        return least;
    }
    spelled::buffer backup() const {
        const std::uint64_t first = log.empty() ? aiondb::first_entry.value : log.front();
        spelled::buffer made = entries::header(first, timeline.value, identifier);
        for (const auto& [path, content] : files) made = made + entries::file(path, content);
        return made + entries::backup_end();
    }
    std::size_t place_of(std::uint64_t number) const {
        const auto found = std::lower_bound(log.begin(), log.end(), number);
        return static_cast<std::size_t>(found - log.begin());
    }
};

// The owner of a primary's session, which answers every command out of a world.
class served_entries {
  public:
    explicit served_entries(entry_world& of, primary::options chosen = {})
        : world_(of), stash_(stash_size), out_(out_size) {
        chosen.dialect = dialect::aiondb;
        chosen.cancel_key = key_;
        session_.emplace(chosen, memory{stash_, out_});
    }

    auth::method how = auth::method::none;
    const auth::stored_secret* secret = nullptr;

    primary::session& session() { return *session_; }

    void handle(const primary::event& event) {
        std::visit([this](const auto& said) { answer(said); }, event);
    }
    void feed() {
        if (backing_up_) feed_backup();
        if (!session_->streaming()) return;
        // The stream is of a timeline that is not the current one any more.
        if (timeline_ != world_.timeline) {
            static_cast<void>(session_->refuse({"57P01", "promoted", {}, {}, false}));
            return;
        }
        session_->advance(lsn{world_.end()});
        if (!session_->wants_wal()) return;
        const std::size_t from = world_.place_of(session_->next().value);
        const std::size_t end = from + std::min(world_.log.size() - from, world_.batch_entries);
        if (from == end) return;
        lent_.clear();
        aiondb::batch_room room;
        std::size_t to = from;
        for (; to < end; ++to) {
            const spelled::buffer next = entries::entry(world_.log[to]);
            if (!room.take(next.size())) break;
            lent_.insert(lent_.end(), next.begin(), next.end());
        }
        static_cast<void>(session_->send_entries({world_.log[from]}, {world_.log[to - 1]}, lent_));
    }

  private:
    template <class Event>
    void answer(const Event&) {}
    void answer(const primary::login_requested&) { session_->admit(how, secret); }
    void answer(const primary::identify_system&) {
        session_->answer(
            primary::system_identity{0, world_.timeline, lsn{world_.end()}, {}, world_.identifier});
    }
    void answer(const primary::timeline_history& said) {
        const auto found = world_.histories.find(said.timeline->value);
        if (found == world_.histories.end())
            session_->refuse({"XX000", "no such timeline", {}, {}, false});
        else
            session_->answer(primary::history_content{*said.timeline, as_bytes(found->second)});
    }
    void answer(const primary::read_replication_slot&) {
        session_->answer(primary::slot_state{true, {}, {}});
    }
    void answer(const primary::base_backup&) {
        frames_ = world_.backup();
        sent_ = 0;
        backing_up_ = session_->begin_frames() == errc::none;
    }
    // Lent in pieces that know nothing of where a frame ends.
    void feed_backup() {
        if (!session_->wants_backup()) return;
        const bytes rest = bytes(frames_).subspan(sent_);
        const bytes next = rest.first(std::min<std::size_t>(rest.size(), 777));
        sent_ += next.size();
        const errc code = next.empty() ? session_->end_frames() : session_->send_backup(next);
        backing_up_ = code == errc::none && !next.empty();
    }
    void answer(const primary::start_replication&) {
        timeline_ = world_.timeline;
        session_->stream({world_.timeline, lsn{world_.end()}, {}, {}});
    }

    entry_world& world_;
    std::vector<std::byte> stash_;
    std::vector<std::byte> out_;
    spelled::buffer lent_;
    spelled::buffer frames_; // of a backup
    std::size_t sent_ = 0;
    bool backing_up_ = false;
    std::array<std::byte, 4> key_{std::byte{1}};
    timeline_id timeline_;
    std::optional<primary::session> session_;
};

class linked_entries {
  public:
    struct choices {
        bool slot = false;
        bool report_each_flush = false;
        std::uint64_t seed = 0;
        std::size_t piece = SIZE_MAX; // the largest that one read or write moves
        prng* pieces = nullptr;       // pieces of random sizes up to that
    };

    explicit linked_entries(const choices& chosen)
        : chosen_(chosen), stash_(stash_size), out_(out_size),
          machine_(options_for(chosen), {stash_, out_}) {}
    linked_entries(const linked_entries&) = delete;

    entry_world here;
    instant now{1'000'000, 1'700'000'000'000'000};
    bool accepts = true;              // connections
    bool flushes = true;              // what arrives is durable at once
    std::size_t cut_after = SIZE_MAX; // bytes to the replica, then the link is cut
    bool cut_cleanly = false;         // by a closed connection, not a broken one

    // What did not hold, or nothing.
    const std::string& wrong() const { return wrong_; }
    const std::vector<std::uint64_t>& received() const { return received_; }
    std::uint64_t connections() const { return connections_; }
    std::uint64_t adoptions() const { return adoptions_; }
    std::uint64_t repeated() const { return repeated_; }
    // The entries of the batch that had most.
    std::size_t largest() const { return largest_; }
    // It was found to be on a branch of its own, said so and stopped.
    bool diverged() const { return diverged_; }
    bool over() const { return machine_.over(); }

    // Moves bytes and events until nothing moves without time passing.
    void run() {
        for (std::size_t turns = 0;; ++turns) {
            if (turns > 1'000'000) return fail("nothing comes to rest");
            const bool at_primary = turn_primary();
            const bool at_replica = turn_replica();
            if (cut_after == 0 && replica_input_.empty()) cut();
            if (!at_primary && !at_replica) return;
        }
    }
    // Up to the next deadline, but no longer than this.
    void wait(std::int64_t longest) {
        run();
        std::int64_t at = now.steady + longest;
        const std::int64_t primary_at = server_ ? server_->session().deadline() : never;
        for (const std::int64_t deadline : {machine_.deadline(), primary_at}) {
            if (deadline <= now.steady) fail("a deadline has passed, and nothing moves");
            if (deadline > now.steady) at = std::min(at, deadline);
        }
        now.wall += at - now.steady;
        now.steady = at;
        run();
    }
    void cut() {
        cut_after = SIZE_MAX;
        if (!server_) return;
        hang_up();
        if (cut_cleanly)
            machine_.finish();
        else
            machine_.disconnected();
    }
    void flush() {
        if (!received_.empty()) machine_.entries_flushed({received_.back()});
    }
    void apply() {
        if (!received_.empty()) machine_.entries_applied({received_.back()});
    }
    void end_stream() {
        if (server_) static_cast<void>(server_->session().end_stream());
    }
    void shut_down() {
        if (server_) static_cast<void>(server_->session().shut_down());
    }

    // An undisturbed link: whether the replica has all of the primary's log, on its timeline, and
    // the primary knows it.
    bool settled(std::int64_t within) {
        accepts = flushes = true;
        cut_after = SIZE_MAX;
        const std::int64_t until = now.steady + within;
        while (now.steady < until && wrong_.empty() && !machine_.over()) {
            flush();
            if (has_all()) return true;
            wait(5 * second);
        }
        return false;
    }
    // Whether the machine ends when it is told to.
    bool stopped() {
        machine_.stop();
        for (int i = 0; i < 100 && !machine_.over(); ++i) wait(30 * second);
        return machine_.over() && endings_ == 1 && !server_;
    }

  private:
    bool has_all() {
        if (!server_ || received_ != here.log || machine_.timeline() != here.timeline) return false;
        const primary::session& session = server_->session();
        const lsn end{here.end()};
        return session.streaming() && machine_.durable() == end &&
               session.progress().flushed() == end;
    }
    static replica::receiver_options options_for(const choices& chosen) {
        replica::receiver_options made;
        made.connection.user = "repl";
        made.connection.dialect = dialect::aiondb;
        made.connection.report_each_flush = chosen.report_each_flush;
        if (chosen.slot) made.slot = "s";
        made.backoff_seed = chosen.seed;
        return made;
    }
    void fail(const char* what) {
        if (wrong_.empty()) wrong_ = what;
    }
    std::size_t size() {
        if (chosen_.pieces == nullptr) return chosen_.piece;
        return 1 + chosen_.pieces->below(std::min<std::size_t>(chosen_.piece, 1 << 20));
    }

    bool turn_primary() {
        if (!server_) return false;
        server_->feed();
        const bool moved = turn(server_->session(), primary_input_, now, to_primary_, to_replica_,
                                size(), [this](const primary::event& event) {
                                    server_->handle(event);
                                    ended_ = ended_ ||
                                             std::holds_alternative<primary::closed>(event) ||
                                             std::holds_alternative<primary::failed>(event);
                                    if (std::holds_alternative<primary::failed>(event) && !over())
                                        fail("the primary's end failed");
                                });
        believe(server_->session().progress());
        return moved;
    }
    void believe(const primary::progress& told) {
        if (told.sent() < sent_ || !server_->session().streaming()) believed_ = {};
        sent_ = told.sent();
        if (told.flushed() < believed_) fail("what the primary knows to be flushed moved back");
        if (told.flushed() > machine_.durable()) fail("the primary believes what is not true");
        if (told.applied() > told.flushed() || told.flushed() > told.written() ||
            told.written() > told.sent())
            fail("positions are out of order");
        believed_ = told.flushed();
    }

    bool turn_replica() {
        bool moved = false;
        if (server_ && replica_input_.empty() && !to_replica_.empty()) {
            replica_input_ = to_replica_.pull(std::min(size(), cut_after));
            if (cut_after != SIZE_MAX) cut_after -= replica_input_.size();
            moved = !replica_input_.empty();
        }
        if (server_ && ended_ && replica_input_.empty() && to_replica_.empty() && !finished_) {
            finished_ = moved = true;
            machine_.finish();
        }
        const std::uint64_t connection = connections_;
        bytes in = replica_input_;
        const std::size_t before = in.size();
        while (const auto event = machine_.poll(in, now)) {
            moved = true;
            std::visit([this](const auto& said) { hear(said); }, *event);
            if (!server_ || connections_ != connection) in = {};
        }
        moved = moved || in.size() != before;
        replica_input_ = std::vector<std::byte>(in.begin(), in.end());
        if (!server_ && !machine_.output().empty()) fail("there is output without a connection");
        for (gather out = machine_.output(); server_ && !out.empty(); out = machine_.output()) {
            const bytes part = out.head.empty() ? out.body : out.head;
            const std::size_t most = std::min(part.size(), size());
            to_primary_.push(part.first(most));
            machine_.consume(most);
            moved = true;
        }
        if (machine_.durable() < durable_) fail("what is durable moved back");
        if (machine_.timeline() < timeline_) fail("the timeline went back");
        timeline_ = machine_.timeline();
        durable_ = machine_.durable();
        return moved;
    }

    // The primary's end sees the link go, and ends once.
    void hang_up() {
        if (!server_) return;
        primary::session& session = server_->session();
        session.finish();
        bytes in;
        std::size_t endings = ended_ ? 1 : 0;
        while (const auto event = session.poll(in, now))
            endings += std::holds_alternative<primary::closed>(*event) ||
                       std::holds_alternative<primary::failed>(*event);
        if (!session.over() || endings != 1) fail("the primary's end does not end once");
        server_.reset();
        to_primary_.clear();
        to_replica_.clear();
        primary_input_.clear();
        believed_ = sent_ = {};
    }

    void hear(const replica::connect_wanted&) {
        if (server_) fail("a second connection is wanted");
        if (!accepts) return static_cast<void>(machine_.connect_failed());
        static_cast<void>(machine_.connected());
        server_.emplace(here);
        ended_ = finished_ = false;
        batch_.clear();
        ++connections_;
    }
    void hear(const replica::disconnect_wanted&) { hang_up(); }
    void hear(const replica::placement_wanted&) { static_cast<void>(machine_.place_anew()); }
    void hear(const replica::history_read&) {
        ++adoptions_;
        const std::uint64_t fork = here.left_at(timeline_);
        if (machine_.durable().value > fork) fail("a branch was adopted that the log is not on");
        // What was received behind the fork and was not durable yet never happened.
        while (!received_.empty() && received_.back() > fork) received_.pop_back();
    }
    void hear(const replica::following& said) {
        const std::uint64_t from = machine_.durable().valid() ? machine_.durable().value : 1;
        if (said.start.value != from) fail("it does not resume at its last durable entry");
        next_ = here.place_of(said.start.value);
        batch_.clear();
    }
    void hear(const replica::entry_data& run) {
        if (run.begins != batch_.empty()) fail("a batch begins within another");
        batch_ = batch_ + spelled::of(run.data);
        if (!run.ends) return;
        const auto found = entries::entries_in(batch_);
        batch_.clear();
        if (!found || found->empty()) return fail("entries are not what was written");
        if (found->front() != run.first.value || found->back() != run.last.value)
            fail("a batch is not what its head says");
        largest_ = std::max(largest_, found->size());
        for (const std::uint64_t number : *found) {
            if (next_ == here.log.size() || here.log[next_] != number)
                return fail("an entry is left out, or comes that nobody wrote");
            ++next_;
            if (next_ > received_.size())
                received_.push_back(number);
            else
                ++repeated_;
        }
        if (flushes) machine_.entries_flushed(run.last);
    }
    void hear(const replica::stopped&) { ++endings_; }
    void hear(const replica::given_up& said) {
        ++endings_;
        diverged_ = said.why.reason.code == errc::timeline_diverged &&
                    machine_.durable().value > here.left_at(machine_.timeline());
        if (diverged_) return;
        fail("it gave up");
        wrong_ += std::string(": ") + std::string(text(said.why.reason.code)) +
                  std::string(said.why.sqlstate);
    }
    template <class Event>
    void hear(const Event&) {}

    choices chosen_;
    std::vector<std::byte> stash_;
    std::vector<std::byte> out_;
    replica::wal_receiver machine_;
    std::optional<served_entries> server_;
    wire_buffer to_primary_;
    wire_buffer to_replica_;
    std::vector<std::byte> primary_input_;
    std::vector<std::byte> replica_input_;
    std::string wrong_;
    std::vector<std::uint64_t> received_;
    spelled::buffer batch_;
    std::size_t next_ = 0; // the place in the log that comes next on this connection
    lsn durable_;
    lsn believed_; // to be flushed, by the primary
    lsn sent_;
    timeline_id timeline_;
    std::uint64_t connections_ = 0;
    std::uint64_t adoptions_ = 0;
    std::uint64_t repeated_ = 0;
    std::size_t largest_ = 0;
    int endings_ = 0;
    bool diverged_ = false;
    bool ended_ = false;    // the primary's session
    bool finished_ = false; // and the replica was told
};

} // namespace support
