// A primary of AionDB's that does what a test tells it, and the owner of a receiver that follows it
// in virtual time.
//
// The primary knows trust and the commands that a receiver asks. Its rows and tags are the wire's
// own; what it streams is put together by hand (aiondb/words.hpp).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <walwire/replica/wal_receiver.hpp>

#include "aiondb/words.hpp"
#include "replica/dialogue.hpp"

namespace scripted {

using namespace walwire;
using dialogue::buffer;

class primary {
  public:
    std::string identifier = "4711";
    std::uint32_t timeline = 1;
    std::uint64_t end = 10;                         // its last entry
    std::map<std::uint32_t, std::string> histories; // by timeline
    std::optional<std::uint64_t> slot_restart;
    std::map<std::string, std::string> refusals; // SQLSTATEs by the first word of a command

    std::vector<std::string> asked;    // every command, over all connections
    std::vector<std::string> statuses; // "written flushed applied"
    std::string heard;                 // a letter for each message behind the start-up packet
    buffer to_client;
    bool streaming = false;

    void promote(std::uint64_t fork) {
        const std::string before = histories[timeline];
        const lsn_text at = to_text(lsn{fork}, dialect::aiondb);
        histories[timeline + 1] = before + std::to_string(timeline) + "\t" +
                                  std::string(std::string_view(at)) + "\tpromotion\n";
        ++timeline;
    }
    void accept() {
        to_client.clear();
        started_ = streaming = false;
        framer_.reset();
    }
    void read(bytes in) {
        while (!in.empty()) {
            const wire::piece got = started_
                                        ? framer_.next(in, {1 << 15, 0, wire::copy_content::whole})
                                        : framer_.next_untagged(in, 1 << 15);
            if (got.kind != wire::piece_kind::message) return;
            if (!started_) {
                started_ = true;
                say(dialogue::authentication(0) + dialogue::key() + dialogue::ready());
                continue;
            }
            heard += static_cast<char>(got.tag);
            if (got.tag == 'Q') answer(std::string(wire::parse_query(got.data)->text));
            if (got.tag == 'd') note(got.data);
        }
    }
    void say(const buffer& words) { to_client = to_client + words; }
    void stream(const buffer& message) { say(entries::copy_data(message)); }

  private:
    void answer(const std::string& command) {
        using dialogue::answer;
        asked.push_back(command);
        const std::string word = command.substr(0, command.find(' '));
        const auto refused = refusals.find(word);
        if (refused != refusals.end()) {
            say(dialogue::mistake(refused->second) + dialogue::ready());
        } else if (word == "IDENTIFY_SYSTEM") {
            const std::string number = std::to_string(timeline);
            const lsn_text at = to_text(lsn{end}, dialect::aiondb);
            say(answer({identifier, number, std::string_view(at), std::nullopt}));
        } else if (word == "TIMELINE_HISTORY") {
            const auto number =
                static_cast<std::uint32_t>(std::stoul(command.substr(command.find(' ') + 1)));
            const auto name = wal::history_name({number});
            say(answer({std::string_view(name), histories[number]}));
        } else if (word == "READ_REPLICATION_SLOT" && slot_restart) {
            const lsn_text at = to_text(lsn{*slot_restart}, dialect::aiondb);
            say(answer({"physical", std::string_view(at), "1"}));
        } else if (word == "READ_REPLICATION_SLOT") {
            say(answer({std::nullopt, std::nullopt, std::nullopt}));
        } else {
            REQUIRE(word == "START_REPLICATION");
            streaming = true;
            say(dialogue::copy_both());
        }
    }
    void note(bytes data) {
        // Spelled out: what a replica may say is 29 bytes of status and nothing else.
        REQUIRE(data.size() == 29);
        REQUIRE(spelled::of(data.first(5)) == spelled::hex("02 18000000"));
        std::string shown;
        for (const std::size_t at : {5u, 13u, 21u})
            shown += (shown.empty() ? "" : " ") +
                     std::to_string(load<std::uint64_t, std::endian::little>(data.data() + at));
        statuses.push_back(shown);
    }

    std::array<std::byte, 1 << 15> stash_{};
    wire::framer framer_{stash_};
    bool started_ = false;
};

class follower {
  public:
    explicit follower(replica::receiver_options chosen = {}) : options(chosen) {
        options.connection.user = "replicator";
        options.connection.dialect = dialect::aiondb;
        machine.emplace(options, memory{stash_, out_});
    }

    primary server;
    replica::receiver_options options;
    std::optional<replica::wal_receiver> machine;
    std::optional<replica::entry_placement> on_disk;
    instant now{1'000'000, 0};
    bool reachable = true;
    bool flushes = true; // each batch is durable as soon as it is whole
    bool connected = false;
    std::size_t chunk = SIZE_MAX;

    std::string log;        // a word for each event but the batches
    std::string identifier; // of the system, as it was told last
    std::vector<std::uint64_t> received;
    std::vector<replica::retrying> retries;
    std::optional<errc> verdict;

    void settle() {
        for (int idle = 0; idle < 3;) {
            const std::size_t before = log.size() + server.heard.size() + server.to_client.size();
            turn();
            idle =
                before == log.size() + server.heard.size() + server.to_client.size() ? idle + 1 : 0;
        }
    }
    void wait_until(std::int64_t steady) {
        now.steady = std::max(now.steady, steady);
        settle();
    }
    void sleep() {
        REQUIRE(machine->deadline() != never);
        wait_until(machine->deadline());
    }
    void cut() {
        machine->disconnected();
        settle();
    }
    std::string news() { return std::exchange(log, {}); }
    std::string last_asked() const { return server.asked.empty() ? "" : server.asked.back(); }

  private:
    void turn() {
        buffer arrived;
        if (connected) {
            const std::size_t size = std::min(chunk, server.to_client.size());
            const auto until = server.to_client.begin() + static_cast<std::ptrdiff_t>(size);
            arrived.assign(server.to_client.begin(), until);
            server.to_client.erase(server.to_client.begin(), until);
        }
        bytes in = arrived;
        while (const auto told = machine->poll(in, now)) {
            std::visit([this](const auto& event) { heard(event); }, *told);
            if (!connected) in = {};
        }
        for (gather out = machine->output(); !out.empty(); out = machine->output()) {
            const buffer said(out.head.begin(), out.head.end());
            machine->consume(said.size());
            REQUIRE(connected);
            server.read(said);
        }
    }
    void heard(const replica::connect_wanted&) {
        log += "connect ";
        CHECK(!connected);
        if (!reachable) {
            CHECK(machine->connect_failed() == errc::none);
            return;
        }
        server.accept();
        connected = true;
        CHECK(machine->connected() == errc::none);
    }
    void heard(const replica::disconnect_wanted&) {
        log += "disconnect ";
        connected = false;
    }
    void heard(const replica::placement_wanted&) {
        log += "place ";
        CHECK(machine->place(replica::placement{{1}, {1}, {}}) == errc::argument_invalid);
        CHECK((on_disk ? machine->place(*on_disk) : machine->place_anew()) == errc::none);
    }
    void heard(const replica::following& event) {
        log += "following " + std::to_string(event.timeline.value) + " from " +
               std::to_string(event.start.value) + ' ';
    }
    void heard(const replica::history_read& event) {
        log += "history " + std::to_string(event.timeline.value) + ' ';
    }
    void heard(const replica::entry_data& run) {
        if (run.begins) batch_.clear();
        batch_ = batch_ + spelled::of(run.data);
        if (!run.ends) return;
        const auto found = entries::entries_in(batch_);
        REQUIRE(found);
        CHECK(found->front() == run.first.value);
        CHECK(found->back() == run.last.value);
        received.insert(received.end(), found->begin(), found->end());
        if (flushes) machine->entries_flushed(run.last);
    }
    void heard(const replica::entry_keepalive&) { log += "alive "; }
    void heard(const replica::server_error& event) {
        log += "error " + std::string(event.sqlstate) + ' ';
    }
    void heard(const replica::retrying& event) {
        log += "retrying ";
        retries.push_back(event);
    }
    void heard(const replica::given_up& event) {
        log += "given_up ";
        verdict = event.why.reason.code;
    }
    void heard(const replica::stopped&) { log += "stopped "; }
    void heard(const replica::system_identified& event) { identifier = event.identifier_text; }
    template <class Event>
    void heard(const Event&) {
        log += "? ";
    }

    std::array<std::byte, stash_size> stash_{};
    std::array<std::byte, out_size> out_{};
    buffer batch_;
};

} // namespace scripted
