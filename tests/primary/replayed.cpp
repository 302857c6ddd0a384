#include <walwire/primary/session.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "primary/replayed.hpp"

using namespace walwire;
using recorded_server::comparable;
using recorded_server::player;
using recorded_server::recording;

namespace {

std::vector<support::transcript> every() {
    std::vector<support::transcript> all;
    for (const std::string& name : support::transcripts())
        all.push_back(support::transcript::load(name));
    return all;
}

std::string printable(const std::string& text) {
    std::string shown;
    for (const char c : text.substr(0, 300)) {
        const auto byte = static_cast<unsigned char>(c);
        char hex[8];
        std::snprintf(hex, sizeof hex, "\\%02x", byte);
        shown += byte < 0x20 || byte > 0x7e ? std::string(hex) : std::string(1, c);
    }
    return shown;
}

// Empty when the session said what the recorded server did; else the first difference.
std::string difference(const recording& played, std::size_t chunk, bool late) {
    player plays(played, chunk, late);
    plays.play();
    const int version = played.text->major_version();
    const auto theirs = comparable(played.server, version);
    const auto ours = comparable(plays.said(), version);
    for (std::size_t i = 0; i < theirs.size() || i < ours.size(); ++i) {
        const std::string a = i < theirs.size() ? theirs[i] : "(nothing)";
        const std::string b = i < ours.size() ? ours[i] : "(nothing)";
        if (a != b)
            return "message " + std::to_string(i) + "\n  theirs " + printable(a) + "\n  ours   " +
                   printable(b) + "\n  ended  " + plays.outcome();
    }
    if (plays.left() > 0) return "input was left";
    return {};
}

} // namespace

TEST_CASE("what a primary says to every recorded client is what the recorded server said") {
    std::size_t played = 0;
    for (const support::transcript& each : every()) {
        const recording conversation(each);
        if (!conversation.reason.empty()) {
            std::printf("ASIDE %s: %s\n", each.name().c_str(), conversation.reason.c_str());
            continue;
        }
        ++played;
        const std::string found = difference(conversation, SIZE_MAX, false);
        if (!found.empty()) std::printf("DIFF %s: %s\n", each.name().c_str(), found.c_str());
    }
    std::printf("played %zu\n", played);
}
