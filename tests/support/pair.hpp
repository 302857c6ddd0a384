// Both ends of the protocol joined in memory, under virtual time.
//
// `world` is what a primary has: a log that any test can compute, a history, slots. `served` is the
// thinnest owner of a primary's session there can be, which answers every command out of a world.
// `joined` moves bytes between such an end and any machine of a replica's, in pieces as small as a
// test wants, lets time pass when nothing else can happen, and can cut the link anywhere.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <walwire/auth/openssl.hpp>
#include <walwire/primary/session.hpp>
#include <walwire/wal/history.hpp>
#include <walwire/wal/segment.hpp>

#include "support/log.hpp"
#include "support/prng.hpp"
#include "support/wire_buffer.hpp"

namespace support {

using namespace walwire;

struct world {
    std::uint64_t system_identifier = 7'000'000'000'000'000'001;
    std::string version = "18.4";
    std::string segment_size = "1MB";
    timeline_id timeline{1};
    lsn end{0x500000};
    lsn oldest{0};
    std::map<std::uint32_t, std::string> histories; // by timeline
    std::map<std::uint32_t, lsn> switch_points;     // where a timeline was left
    std::map<std::string, lsn> slots;
    std::size_t lent_at_once = 300'000;

    void promote() {
        const std::string parent = histories[timeline.value];
        switch_points[timeline.value] = end;
        const std::string line = std::to_string(timeline.value) + "\t" +
                                 std::string(std::string_view(to_text(end))) +
                                 "\tno recovery target specified\n";
        ++timeline.value;
        histories[timeline.value] = parent + line;
    }
};

class served {
  public:
    served(world& of, primary::options chosen = {})
        : world_(of), stash_(stash_size), out_(out_size), crypto_(auth::openssl()) {
        chosen.server_version = world_.version;
        if (chosen.cancel_key.empty()) chosen.cancel_key = key_;
        if (chosen.mock_secret.empty()) chosen.mock_secret = secret_;
        if (chosen.crypto == nullptr) chosen.crypto = &crypto_;
        chosen.pid = 77;
        session_.emplace(chosen, memory{stash_, out_});
    }

    auth::method how = auth::method::none;
    std::optional<auth::stored_secret> secret;
    bool answers = true;              // commands; a test that does not want that answers by itself
    std::vector<primary::event> told; // the first ones
    std::optional<primary::event> last;
    std::vector<std::byte> uploaded; // manifests

    primary::session& session() { return *session_; }

    void handle(const primary::event& event) {
        if (told.size() < 10'000) told.push_back(event);
        last = event;
        if (answers) std::visit([this](const auto& said) { answer(said); }, event);
    }

    // Lends what the stream wants and the world has.
    void feed() {
        if (!session_->streaming()) return;
        const auto left = world_.switch_points.find(timeline_.value);
        const bool history = left != world_.switch_points.end();
        if (history && !ended_) {
            ended_ = true;
            static_cast<void>(session_->end_timeline({timeline_.value + 1}, left->second));
        }
        const lsn end = history ? left->second : world_.end;
        session_->advance(end);
        if (!session_->wants_wal()) return;
        const lsn next = session_->next();
        if (next >= end) return;
        const std::size_t size =
            std::min<std::uint64_t>(end - next, std::max<std::size_t>(1, world_.lent_at_once));
        lent_.clear();
        append_log(lent_, next, size);
        static_cast<void>(session_->send(lent_));
    }

  private:
    template <class Event>
    void answer(const Event&) {}

    void answer(const primary::login_requested&) {
        session_->admit(how, secret ? &*secret : nullptr);
    }
    void answer(const primary::identify_system&) {
        session_->answer(
            primary::system_identity{world_.system_identifier, world_.timeline, world_.end, {}});
    }
    void answer(const primary::show& said) {
        if (said.name == "wal_segment_size")
            session_->answer(primary::setting{said.name, world_.segment_size});
        else if (said.name == "data_directory_mode")
            session_->answer(primary::setting{said.name, "0700"});
        else
            session_->refuse({"42704", "unrecognized configuration parameter", {}, {}, false});
    }
    void answer(const primary::timeline_history& said) {
        const auto found = world_.histories.find(said.timeline->value);
        if (found == world_.histories.end())
            session_->refuse({"58P01", "could not open file", {}, {}, false});
        else
            session_->answer(primary::history_content{*said.timeline, as_bytes(found->second)});
    }
    void answer(const primary::create_replication_slot& said) {
        world_.slots[std::string(said.name)] = said.reserve_wal ? world_.end : lsn{};
        session_->answer(primary::created_slot{said.name, {}, {}, {}});
    }
    void answer(const primary::read_replication_slot& said) {
        const auto found = world_.slots.find(std::string(said.name));
        primary::slot_state state;
        if (found != world_.slots.end()) state = {true, found->second, world_.timeline};
        session_->answer(state);
    }
    void answer(const primary::drop_replication_slot& said) {
        world_.slots.erase(std::string(said.name));
        session_->complete();
    }
    void answer(const primary::sql&) { session_->refuse(primary::sql_refused); }
    void answer(const primary::upload_manifest&) { session_->accept_manifest(); }
    void answer(const primary::manifest_uploaded& said) {
        uploaded.insert(uploaded.end(), said.data.begin(), said.data.end());
    }
    void answer(const primary::manifest_whole&) { session_->complete(); }
    void answer(const primary::start_replication& said) {
        timeline_ = said.timeline.value_or(world_.timeline);
        ended_ = false;
        primary::served_timeline from{timeline_, world_.end, {}, {}};
        const auto left = world_.switch_points.find(timeline_.value);
        if (left != world_.switch_points.end()) {
            from = {timeline_, left->second, {timeline_.value + 1}, left->second};
            ended_ = true;
        } else if (timeline_ > world_.timeline) {
            session_->refuse(
                {"XX000", "requested timeline is not in this server's history", {}, {}, false});
            return;
        }
        session_->stream(from);
        if (said.start < world_.oldest)
            session_->refuse(
                {"58P01", "requested WAL segment has already been removed", {}, {}, false});
    }

    world& world_;
    std::vector<std::byte> stash_;
    std::vector<std::byte> out_;
    std::vector<std::byte> lent_;
    std::array<std::byte, 32> key_{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    std::array<std::byte, 32> secret_{std::byte{9}};
    auth::crypto crypto_;
    timeline_id timeline_;
    bool ended_ = false;
    std::optional<primary::session> session_;
};

// One end of the link: a machine, the input that it has left, and what it says.
template <class Machine, class Handle>
bool turn(Machine& machine, std::vector<std::byte>& input, instant now, wire_buffer& from,
          wire_buffer& to, std::size_t piece, Handle&& handle) {
    bool moved = false;
    if (input.empty() && !from.empty()) {
        input = from.pull(piece);
        moved = true;
    }
    bytes in = input;
    while (const auto event = machine.poll(in, now)) {
        moved = true;
        handle(*event);
    }
    if (in.size() != input.size()) {
        moved = true;
        input.assign(in.begin(), in.end());
    }
    for (gather out = machine.output(); !out.empty(); out = machine.output()) {
        const bool head = !out.head.empty();
        const bytes part = head ? out.head : out.body;
        const std::size_t size = std::min(part.size(), piece);
        to.push(part.first(size));
        machine.consume(size);
        moved = true;
    }
    return moved;
}

// A primary's end and a replica's machine of any kind with the contract's verbs.
template <class Replica>
class joined {
  public:
    joined(served& server, Replica& replica) : server_(server), replica_(replica) {}

    instant now{1'000'000, 1'700'000'000'000'000};
    std::size_t piece = SIZE_MAX;
    prng* pieces = nullptr; // pieces of random sizes up to `piece`

    // Goes on until nothing moves without time passing.
    template <class Handle>
    void settle(Handle&& handle) {
        for (;;) {
            server_.feed();
            const bool at_server =
                turn(server_.session(), to_server_input_, now, to_server_, to_replica_, size(),
                     [this](const primary::event& event) { server_.handle(event); });
            const bool at_replica =
                turn(replica_, to_replica_input_, now, to_replica_, to_server_, size(), handle);
            if (!at_server && !at_replica) return;
        }
    }
    // Lets time pass up to the next deadline; false when there is none.
    bool wait() {
        const std::int64_t next = std::min(server_.session().deadline(), replica_.deadline());
        if (next == never) return false;
        if (next > now.steady) pass(next - now.steady);
        return true;
    }
    void pass(std::int64_t time) {
        now.steady += time;
        now.wall += time;
    }

    wire_buffer& to_server() { return to_server_; }
    wire_buffer& to_replica() { return to_replica_; }

  private:
    std::size_t size() {
        if (pieces == nullptr) return piece;
        return 1 + pieces->below(std::min<std::size_t>(piece, 1 << 20));
    }

    served& server_;
    Replica& replica_;
    wire_buffer to_server_;
    wire_buffer to_replica_;
    std::vector<std::byte> to_server_input_;
    std::vector<std::byte> to_replica_input_;
};

} // namespace support
