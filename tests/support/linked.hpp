// A replica that follows a primary over a link that breaks: replica::wal_receiver against
// primary::session, under virtual time, until nothing is left of either's patience.
//
// `linked` plays both owners and the network in between. A test, or a fuzzer, tells it what
// happens: WAL is written, the link is cut at some byte, the primary is promoted, stops, shuts
// down. It watches what must hold whatever happens: WAL arrives without a gap, twice only from the
// start of a segment on, and byte for byte what was written; no position moves back, at either end;
// what the primary believes of the replica is true. settled() then lets both run undisturbed and
// says whether the replica came to the primary's end.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <walwire/replica/wal_receiver.hpp>

#include "support/pair.hpp"

namespace support {

class linked {
  public:
    struct choices {
        bool slot = false;
        bool report_each_flush = false;
        std::uint64_t seed = 0;
        std::size_t piece = SIZE_MAX; // the largest that one read or write moves
        prng* pieces = nullptr;       // pieces of random sizes up to that
    };

    explicit linked(const choices& chosen)
        : chosen_(chosen), stash_(stash_size), out_(out_size),
          machine_(options_for(chosen), {stash_, out_}) {
        if (chosen.slot) here.slots["s"] = here.end;
    }
    linked(const linked&) = delete;

    world here;
    instant now{1'000'000, 1'700'000'000'000'000};
    bool accepts = true;              // connections
    bool flushes = true;              // what arrives is durable at once
    std::size_t cut_after = SIZE_MAX; // bytes to the replica, then the link is cut
    bool cut_cleanly = false;         // by a closed connection, not a broken one

    // What did not hold, or nothing.
    const std::string& wrong() const { return wrong_; }
    bool over() const { return machine_.over(); }
    lsn received() const { return next_; }
    std::uint64_t connections() const { return connections_; }
    std::uint64_t timelines_left() const { return timelines_left_; }

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
        for (const std::int64_t deadline : {machine_.deadline(), primary_deadline()})
            if (deadline > now.steady) at = std::min(at, deadline);
        pass(at - now.steady);
        run();
    }
    void pass(std::int64_t time) {
        now.steady += time;
        now.wall += time;
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
    void flush() { machine_.flushed(next_); }
    void apply() { machine_.applied(next_); }
    void shut_down() {
        if (server_) static_cast<void>(server_->session().shut_down());
    }
    void stop() { machine_.stop(); }

    // An undisturbed link: whether the replica has all of the primary's WAL, on its timeline, and
    // the primary knows it.
    bool settled(std::int64_t within) {
        accepts = flushes = true;
        cut_after = SIZE_MAX;
        flush();
        const std::int64_t until = now.steady + within;
        while (now.steady < until && wrong_.empty() && !machine_.over()) {
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
        if (!server_ || next_ != here.end || machine_.timeline() != here.timeline) return false;
        const primary::session& session = server_->session();
        if (!session.streaming() || session.progress().sent() != here.end) return false;
        // Of a log that was empty where it began there is nothing to be flushed.
        return !machine_.durable().valid() ||
               (machine_.durable() == here.end && session.progress().flushed() == here.end);
    }
    static replica::receiver_options options_for(const choices& chosen) {
        replica::receiver_options made;
        made.connection.user = "repl";
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
    std::int64_t primary_deadline() { return server_ ? server_->session().deadline() : never; }

    bool turn_primary() {
        if (!server_) return false;
        server_->feed();
        const bool moved = turn(server_->session(), primary_input_, now, to_primary_, to_replica_,
                                size(), [this](const primary::event& event) {
                                    server_->handle(event);
                                    ended_ = ended_ ||
                                             std::holds_alternative<primary::closed>(event) ||
                                             std::holds_alternative<primary::failed>(event);
                                });
        believe(server_->session().progress());
        return moved;
    }
    void believe(const primary::progress& told) {
        if (told.sent() < sent_) believed_ = {}; // another stream
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
        ++connections_;
    }
    void hear(const replica::disconnect_wanted&) { hang_up(); }
    void hear(const replica::placement_wanted&) { static_cast<void>(machine_.place_anew()); }
    void hear(const replica::following& said) {
        const auto size = machine_.segment_size();
        if (wal::offset_in_segment(said.start, size) != 0) fail("it starts within a segment");
        if (placed_ && said.start > next_) fail("WAL is left out");
        if (placed_ && next_ - said.start > 2 * std::uint64_t{size.value()})
            fail("too much comes again");
        placed_ = true;
        next_ = said.start;
    }
    void hear(const replica::wal_data& said) {
        if (said.start != next_) fail("WAL is not contiguous");
        if (!is_log(said.start, said.data)) return fail("WAL is not what was");
        next_ = said.start + said.data.size();
        if (next_ > here.end) fail("WAL comes that nobody wrote");
        if (flushes) flush();
    }
    void hear(const replica::timeline_ended& said) {
        ++timelines_left_;
        if (said.switch_point != here.switch_points[said.next.value - 1])
            fail("the timeline ends elsewhere");
        flush();
    }
    void hear(const replica::stopped&) { ++endings_; }
    void hear(const replica::given_up& said) {
        ++endings_;
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
    std::optional<served> server_;
    wire_buffer to_primary_;
    wire_buffer to_replica_;
    std::vector<std::byte> primary_input_;
    std::vector<std::byte> replica_input_;
    std::string wrong_;
    lsn next_;
    lsn durable_;
    lsn believed_; // to be flushed, by the primary
    lsn sent_;
    std::uint64_t connections_ = 0;
    std::uint64_t timelines_left_ = 0;
    int endings_ = 0;
    bool placed_ = false;
    bool ended_ = false;    // the primary's session
    bool finished_ = false; // and the replica was told
};

} // namespace support
