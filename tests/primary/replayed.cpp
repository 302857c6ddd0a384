#include <walwire/primary/session.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "primary/replayed.hpp"

using namespace walwire;
using recorded_server::comparable;
using recorded_server::player;
using recorded_server::recording;

namespace {

const std::vector<support::transcript>& every() {
    static const std::vector<support::transcript> all = [] {
        std::vector<support::transcript> found;
        for (const std::string& name : support::transcripts())
            found.push_back(support::transcript::load(name));
        return found;
    }();
    return all;
}

std::string printable(const std::string& text) {
    std::string shown;
    for (const char c : text.substr(0, 300)) {
        char hex[8];
        std::snprintf(hex, sizeof hex, "\\%02x", static_cast<unsigned>(c) & 0xff);
        shown += c < ' ' || c > '~' ? std::string(hex) : std::string(1, c);
    }
    return shown;
}

// A syntax error of a replication command is only that in PostgreSQL; ours says where.
std::string without_place(const std::string& theirs, const std::string& ours) {
    constexpr std::string_view bare = "|C42601|Msyntax error|";
    const std::size_t place = ours.find("syntax error at ");
    if (theirs.find(bare) == std::string::npos || place == std::string::npos) return ours;
    return ours.substr(0, place + std::string_view("syntax error").size()) + '|';
}

struct result_of_play {
    std::string difference; // the first one, or none
    std::string outcome;
    std::vector<std::string> said;
    std::vector<std::byte> uploaded;
};

result_of_play play(const recording& played, std::size_t chunk, bool late) {
    player plays(played, chunk, late);
    plays.play();
    const int version = played.text->major_version();
    const std::vector<std::string> theirs = comparable(played.server, version);
    result_of_play made{{}, plays.outcome(), comparable(plays.said(), version), plays.uploaded()};
    for (std::size_t i = 0; i < std::max(theirs.size(), made.said.size()); ++i) {
        const std::string a = i < theirs.size() ? theirs[i] : "(nothing)";
        const std::string b = i < made.said.size() ? made.said[i] : "(nothing)";
        if (a == without_place(a, b)) continue;
        made.difference = "message " + std::to_string(i) + ": the server said\n" + printable(a) +
                          "\nours says\n" + printable(b) + "\nand " + plays.outcome();
        break;
    }
    if (plays.left() > 0) made.difference += "input was left";
    return made;
}

// Whole conversations that are not played, and what of the others is not compared, each with the
// reason. Besides these, everywhere: an error's F, L, R, P and W, which name places in PostgreSQL's
// source or in the text of an SQL statement, and the order of the settings from 16 on. Times,
// identifiers, keys, salts, nonces and signatures are compared: they are given to the session as
// they were recorded.
using listed = std::map<std::string, std::set<std::string>>;

const listed not_played{
    {"GSSAPI encryption", {"pg15/a07_gssencrequest"}},
    {"SQL in a transaction block: a session's is always idle",
     {"pg12/b07_logical_slots", "pg13/b07_logical_slots", "pg15/b07_logical_slots",
      "pg17/b07_logical_slots", "pg18/b07_logical_slots"}},
    {"a logical stream",
     {"pg12/e21_missing_publication", "pg12/f04_fast_shutdown_logical",
      "pg13/e21_missing_publication", "pg13/f04_fast_shutdown_logical",
      "pg15/e21_missing_publication", "pg15/f04_fast_shutdown_logical",
      "pg17/e21_missing_publication", "pg17/f04_fast_shutdown_logical",
      "pg18/e21_missing_publication", "pg18/f04_fast_shutdown_logical"}},
    {"not a replication connection: a primary serves nothing else",
     {"pg12/a13_replication_false", "pg13/a13_replication_false", "pg15/a13_replication_false",
      "pg17/a13_replication_false", "pg18/a13_replication_false"}},
};

const listed not_compared{
    {"AuthenticationOk before a refusal: a session is told who may come in before it says so",
     {"pg12/e02_not_replication", "pg12/e04_no_role", "pg12/e05_no_database",
      "pg13/e02_not_replication", "pg13/e04_no_role", "pg13/e05_no_database",
      "pg15/e02_not_replication", "pg15/e04_no_role", "pg15/e05_no_database",
      "pg17/e02_not_replication", "pg17/e04_no_role", "pg17/e05_no_database",
      "pg18/e02_not_replication", "pg18/e04_no_role", "pg18/e05_no_database"}},
    {"a message of a compressed archive beyond 32 KiB: a session cuts there",
     {"pg17/d05_basebackup_lz4_full", "pg18/d06_basebackup_zstd_full"}},
    {"a message of an archive that has no byte of it: a session sends none",
     {"pg12/d03_basebackup_wal"}},
    {"a setting that changed during the connection: a session tells its settings once",
     {"pg15/c04_live_promotion", "pg18/c04_live_promotion", "pg18/c05_pg_receivewal18_promotion"}},
    {"the columns of a history that there is none of: a session describes a row only when it has "
     "one",
     {"pg12/b04_timeline_history_none", "pg12/b05_timeline_history",
      "pg13/b04_timeline_history_none", "pg13/b05_timeline_history",
      "pg15/b04_timeline_history_none", "pg15/b05_timeline_history",
      "pg17/b04_timeline_history_none", "pg17/b05_timeline_history",
      "pg18/b04_timeline_history_none", "pg18/b05_timeline_history"}},
};

// How a session ends that does not end with the client's Terminate, by the beginning of the case.
const std::map<std::string, std::string> other_endings{
    {"a10_", "failed: the client asks for what this server does not offer"},
    {"a14_", "failed: the connection was lost"},
    {"a22_", "closed cancel"},
    {"b13_", "failed: the peer has been silent for too long"},
    {"b15_", "failed: a message came that may not come now"},
    {"e01_bad_password_s", "failed: the client's SCRAM proof is wrong"},
    {"e01_bad_password_c", "failed: the password is wrong"},
    {"e01_bad_password_m", "failed: the password is wrong"},
    {"e02_", "closed refused"},
    {"e03_", "closed refused"},
    {"e04_", "closed refused"},
    {"e05_", "closed refused"},
    {"e06_", "closed refused"},
    {"e07_", "failed: the client asks for what this server does not offer"},
    {"e08_", "closed refused"},
    {"e09_", "closed refused"},
    {"e19_", "closed refused"},
    {"f01_", "closed shut_down"},
    {"f02_", "closed shut_down"},
    {"f03_", "failed: the connection was lost"}, // the recorded server was killed
};

std::string expected_ending(const std::string& name) {
    for (const auto& [beginning, ending] : other_endings)
        if (name.substr(5).starts_with(beginning)) return ending;
    return "closed terminated";
}

} // namespace

TEST_CASE("what a primary says to every recorded client is what the recorded server said") {
    listed set_aside, parts;
    std::size_t played = 0, endings = 0, messages = 0;
    for (const support::transcript& each : every()) {
        const recording conversation(each);
        if (!conversation.reason.empty()) {
            set_aside[conversation.reason].insert(each.name());
            continue;
        }
        for (const std::string& reason : conversation.asides) parts[reason].insert(each.name());
        CAPTURE(each.name());
        ++played;
        const result_of_play whole = play(conversation, SIZE_MAX, false);
        CHECK(whole.difference == "");
        CHECK(whole.outcome == expected_ending(each.name()));
        messages += whole.said.size();
        CHECK(whole.uploaded == conversation.uploads());
        // Whether the server knew beforehand that the timeline ends makes no difference, but where
        // the client stops before it comes to that.
        if (!conversation.first('c') || conversation.first('H') || conversation.is("c06_"))
            continue;
        ++endings;
        CHECK(play(conversation, SIZE_MAX, true).difference == "");
    }
    CHECK(set_aside == not_played);
    CHECK(parts == not_compared);
    CHECK(played == 435);
    CHECK(endings == 41);
    CHECK(messages == 25058);
}

TEST_CASE("a client that comes byte by byte is told the same") {
    for (const support::transcript& each : every()) {
        const recording conversation(each);
        if (!conversation.reason.empty()) continue;
        // What the client says of a backup is short, and much the same in all of them.
        if (each.said(support::side::server).size() > 5'000'000 && !conversation.is("pg18/d"))
            continue;
        CAPTURE(each.name());
        const result_of_play whole = play(conversation, SIZE_MAX, false);
        for (const std::size_t chunk : {std::size_t{1}, std::size_t{11}}) {
            const result_of_play parts = play(conversation, chunk, false);
            CHECK((parts.said == whole.said));
            CHECK(parts.outcome == whole.outcome);
        }
    }
}
