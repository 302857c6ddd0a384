#include <walwire/primary/session.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <walwire/replica/session.hpp>

#include "support/pair.hpp"

using namespace walwire;
using support::joined;
using support::served;
using support::world;

namespace {

// A replica's session with the thinnest owner: it does what the test says at each `ready`.
struct client {
    explicit client(replica::options chosen = {}) : crypto(auth::openssl()) {
        if (chosen.user.empty()) chosen.user = "repl";
        chosen.crypto = &crypto;
        chosen.report_each_flush = true;
        session.emplace(chosen, memory{stash, out});
    }
    std::string password;
    std::vector<wire::command> commands;
    std::vector<std::string> told;
    std::size_t asked = 0;
    lsn next;
    std::size_t wrong = 0;
    auth::crypto crypto;
    std::vector<std::byte> stash = std::vector<std::byte>(stash_size);
    std::vector<std::byte> out = std::vector<std::byte>(out_size);
    std::optional<replica::session> session;

    void operator()(const replica::event& event) {
        std::visit([this](const auto& said) { hear(said); }, event);
    }
    template <class Event>
    void hear(const Event&) {}
    void hear(const replica::password_wanted&) {
        CHECK(session->give_password(password) == errc::none);
    }
    void hear(const replica::ready&) {
        told.push_back("ready");
        if (asked < commands.size()) CHECK(session->ask(commands[asked++]) == errc::none);
    }
    void hear(const replica::system_identified& said) {
        told.push_back("system " + std::to_string(said.system_identifier));
    }
    void hear(const replica::setting_shown& said) {
        told.push_back("show " + std::string(said.value));
    }
    void hear(const replica::history_read& said) {
        told.push_back("history " + std::string(as_text(said.content)));
    }
    void hear(const replica::slot_created& said) {
        told.push_back("created " + std::string(said.name));
    }
    void hear(const replica::slot_read& said) { told.push_back(said.exists ? "slot" : "no slot"); }
    void hear(const replica::command_completed& said) {
        told.push_back("done " + std::string(said.tag));
    }
    void hear(const replica::server_error& said) {
        told.push_back("error " + std::string(said.sqlstate) + " " + std::string(said.message));
    }
    void hear(const replica::streaming_started& said) {
        next = said.start;
        told.push_back("streaming");
    }
    void hear(const replica::wal_data& said) {
        wrong += said.start != next;
        wrong += !support::is_log(next, said.data);
        next = next + said.data.size();
        if (said.ends) session->flushed(next);
    }
    void hear(const replica::timeline_ended& said) {
        told.push_back("timeline " + std::to_string(said.next.value));
    }
    void hear(const replica::streaming_ended&) { told.push_back("streaming ended"); }
    void hear(const replica::closed&) { told.push_back("closed"); }
    void hear(const replica::failed& said) {
        told.push_back("failed " + std::string(text(said.reason.code)));
    }
};

wire::create_replication_slot slot(std::string_view name) {
    wire::create_replication_slot made;
    made.name = name;
    return made;
}

} // namespace

TEST_CASE("a replica's session and a primary's understand each other, command by command") {
    world made;
    made.promote();
    made.end = made.end + 50'000;
    for (const std::size_t piece : {SIZE_MAX, std::size_t{1}, std::size_t{7}}) {
        served server(made);
        client replica;
        replica.commands = {wire::identify_system{},
                            wire::show{"wal_segment_size"},
                            wire::show{"nothing"},
                            wire::timeline_history{timeline_id{2}},
                            wire::timeline_history{timeline_id{9}},
                            wire::read_replication_slot{"s"},
                            slot("s"),
                            wire::read_replication_slot{"s"},
                            wire::drop_replication_slot{"s"},
                            wire::start_replication{{}, lsn{0x4f8000}, timeline_id{1}},
                            wire::start_replication{{}, lsn{0x500000}, timeline_id{1}},
                            wire::start_replication{{}, lsn{0x500000}, timeline_id{2}}};
        joined pair(server, *replica.session);
        pair.piece = piece;
        pair.settle(replica);
        const std::vector<std::string> expected = {
            "ready",           "system 7000000000000000001",
            "ready",           "show 1MB",
            "ready",           "error 42704 unrecognized configuration parameter",
            "ready",           "history 1\t0/500000\tno recovery target specified\n",
            "ready",           "error 58P01 could not open file",
            "ready",           "no slot",
            "ready",           "created s",
            "ready",           "slot",
            "ready",           "done DROP_REPLICATION_SLOT",
            "ready",           "streaming",
            "timeline 2",      "streaming ended",
            "ready",           "timeline 2",
            "streaming ended", "ready",
            "streaming"};
        CHECK(replica.told == expected);
        CHECK(replica.wrong == 0);
        CHECK(replica.next == made.end);
        CHECK(server.session().progress().flushed() == made.end);
        CHECK(replica.session->stop() == errc::none);
        pair.settle(replica);
        CHECK(replica.told.back() == "ready");
        CHECK(replica.session->terminate() == errc::none);
        pair.settle(replica);
        CHECK(replica.told.back() == "closed");
        CHECK(server.session().over());
        CHECK(std::holds_alternative<primary::closed>(*server.last));
    }
}
