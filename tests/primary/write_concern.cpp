#include <walwire/primary/write_concern.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <utility>

#include "support/guard.hpp"
#include "support/no_alloc.hpp"

using namespace walwire;
using namespace walwire::primary;

namespace {

write_concern concern(std::string_view text) {
    const auto parsed = parse_write_concern(text);
    REQUIRE(parsed);
    return *parsed;
}

std::string printed(write_concern asked) {
    std::array<std::byte, 32> room;
    writer out(room);
    put(out, asked);
    REQUIRE(out.ok());
    return std::string(as_text(out.written()));
}

// Four places; the replicas are connections 1, 2, 3, ...
struct cluster {
    std::array<replica, 4> room;
    registry replicas{room};

    void stream(std::uint32_t id) {
        const auto made = replicas.join({id}, "node");
        REQUIRE(made);
        (*made)->stream_from(lsn{1});
        (*made)->sent(lsn{1000});
    }
    void flush(std::uint32_t id, std::uint64_t at) {
        replicas.find({id})->reported({{at}, {at}, {0}, 0, false}, {});
    }
};

static_assert(write_concern{concern_kind::majority, 0}.needed(4) == 2);
static_assert(parse_write_concern("Factor:3")->factor == 3);

} // namespace

TEST_CASE("every word and alias is read in any case, and printed by its own name") {
    const std::pair<std::string_view, std::string_view> words[] = {
        {"local", "local"},
        {"off", "local"},
        {"async", "local"},
        {"majority", "majority"},
        {"quorum", "majority"},
        {"all", "all"},
        {"sync", "all"},
        {"factor:1", "factor:1"},
        {"factor:4294967295", "factor:4294967295"},
        {"LOCAL", "local"},
        {"oFf", "local"},
        {"Async", "local"},
        {"MAJORITY", "majority"},
        {"Quorum", "majority"},
        {"All", "all"},
        {"SYNC", "all"},
        {"FACTOR:7", "factor:7"},
        {"factor:007", "factor:7"},
    };
    for (const auto& each : words) {
        const std::string_view word = each.first;
        const std::string_view name = each.second;
        CAPTURE(word);
        CHECK(printed(concern(word)) == name);
        CHECK(concern(printed(concern(word))) == concern(word));
    }
}

TEST_CASE("anything else is no write concern") {
    using namespace std::string_view_literals;
    for (const std::string_view text : {""sv,
                                        " local"sv,
                                        "local "sv,
                                        "loca"sv,
                                        "locale"sv,
                                        "on"sv,
                                        "1"sv,
                                        "factor"sv,
                                        "factor:"sv,
                                        "factor:-1"sv,
                                        "factor:+1"sv,
                                        "factor: 1"sv,
                                        "factor:1 "sv,
                                        "factor:x"sv,
                                        "factor:4294967296"sv,
                                        "factor:99999999999999999999"sv,
                                        "factor=1"sv,
                                        "factor;1"sv,
                                        "local\0"sv,
                                        "l\0cal"sv,
                                        "\xc5ync"sv,
                                        "majority:1"sv}) {
        CAPTURE(text);
        const support::guarded exact(as_bytes(text));
        CHECK(parse_write_concern(as_text(exact)).code() == errc::write_concern_invalid);
    }
}

TEST_CASE("factor:0 is refused as what it is, and not as a word that nobody knows") {
    for (const std::string_view text : {"factor:0", "factor:000", "FACTOR:0"})
        CHECK(parse_write_concern(text).code() == errc::write_concern_zero);
}

TEST_CASE("entry 1 is not acknowledged by a replica that was never sent it") {
    cluster made;
    replica& at = **made.replicas.join({1}, "node");
    at.stream_from(aiondb::first_entry); // it has nothing, or that one entry
    at.reported(aiondb::standby_status_update{{1}, {1}, {1}}, {});
    const commit_wait wait(concern("factor:1"), made.replicas, lsn{1}, {});
    CHECK(wait.look(made.replicas, {}).outcome == wait_outcome::waiting);
    at.sent(aiondb::entry_lsn{1});
    at.reported(aiondb::standby_status_update{{1}, {1}, {0}}, {});
    CHECK(wait.look(made.replicas, {}).outcome == wait_outcome::reached);
    // Whoever asks for a later one has it.
    replica& other = **made.replicas.join({2}, "other");
    other.stream_from(aiondb::entry_lsn{7});
    other.reported(aiondb::standby_status_update{{7}, {7}, {7}}, {});
    const commit_wait both(concern("factor:1"), made.replicas, lsn{7}, {});
    CHECK(both.look(made.replicas, {}).outcome == wait_outcome::reached);
}

TEST_CASE("a factor must be possible") {
    CHECK(check_write_concern({concern_kind::factor, 0}, 10) == errc::write_concern_zero);
    CHECK(check_write_concern({concern_kind::factor, 1}, 10) == errc::none);
    CHECK(check_write_concern({concern_kind::factor, 10}, 10) == errc::none);
    CHECK(check_write_concern({concern_kind::factor, 11}, 10) == errc::concern_unreachable);
    CHECK(check_write_concern({concern_kind::factor, 1}, 0) == errc::concern_unreachable);
    for (const std::string_view word : {"local", "majority", "all"})
        CHECK(check_write_concern(concern(word), 0) == errc::none);
}

TEST_CASE("acknowledgements that are needed, with 0 to 7 replicas") {
    const std::uint64_t majority[] = {0, 1, 1, 2, 2, 3, 3, 4};
    for (std::size_t replicas = 0; replicas < 8; ++replicas) {
        CAPTURE(replicas);
        CHECK(concern("local").needed(replicas) == 0);
        CHECK(concern("majority").needed(replicas) == majority[replicas]);
        CHECK(concern("all").needed(replicas) == replicas);
        CHECK(concern("factor:3").needed(replicas) == 3);
        // With the primary, more than half of all nodes.
        CHECK(2 * (majority[replicas] + 1) > replicas + 1);
    }
    CHECK(concern("majority").needed(SIZE_MAX) == SIZE_MAX / 2 + 1);
}

TEST_CASE("local is reached at once, whoever is connected") {
    cluster made;
    const commit_wait wait(concern("local"), made.replicas, lsn{500}, {0, 0}, 0);
    CHECK(wait.look(made.replicas, {0, 0}).outcome == wait_outcome::reached);
}

TEST_CASE("without replicas neither majority nor all ask for any") {
    cluster made;
    for (const std::string_view word : {"majority", "all"}) {
        const commit_wait wait(concern(word), made.replicas, lsn{500}, {});
        CHECK(wait.look(made.replicas, {}).outcome == wait_outcome::reached);
    }
}

TEST_CASE("a majority waits until enough have flushed the commit") {
    cluster made;
    for (std::uint32_t id = 1; id <= 3; ++id) made.stream(id);
    const commit_wait wait(concern("majority"), made.replicas, lsn{500}, {0, 0});
    CHECK(wait.end() == lsn{500});
    CHECK(wait.look(made.replicas, {}) == wait_status{wait_outcome::waiting, 2, 0, 3});
    made.flush(1, 500);
    CHECK(wait.look(made.replicas, {}) == wait_status{wait_outcome::waiting, 2, 1, 3});
    made.flush(2, 499);
    CHECK(wait.look(made.replicas, {}) == wait_status{wait_outcome::waiting, 2, 1, 3});
    made.flush(2, 501);
    CHECK(wait.look(made.replicas, {}) == wait_status{wait_outcome::reached, 2, 2, 3});
}

TEST_CASE("written is not flushed") {
    cluster made;
    made.stream(1);
    const commit_wait wait(concern("all"), made.replicas, lsn{500}, {});
    made.replicas.find({1})->reported({{900}, {499}, {400}, 0, false}, {});
    CHECK(wait.look(made.replicas, {}).outcome == wait_outcome::waiting);
}

TEST_CASE("a replica that has reported nothing has nothing, even of the very beginning") {
    cluster made;
    made.stream(1);
    const commit_wait wait(concern("all"), made.replicas, lsn{0}, {});
    CHECK(wait.look(made.replicas, {}).outcome == wait_outcome::waiting);
    made.flush(1, 1);
    CHECK(wait.look(made.replicas, {}).outcome == wait_outcome::reached);
}

TEST_CASE("who takes a backup or asks for nothing is no replica") {
    cluster made;
    REQUIRE(made.replicas.join({1}, "idle"));
    REQUIRE(made.replicas.join({2}, "pg_basebackup"));
    made.replicas.find({2})->back_up_from(lsn{1});
    made.stream(3);
    const commit_wait wait(concern("all"), made.replicas, lsn{500}, {});
    made.flush(3, 500);
    CHECK(wait.look(made.replicas, {}) == wait_status{wait_outcome::reached, 1, 1, 1});
}

TEST_CASE("the promise is settled when the wait begins") {
    cluster made;
    made.stream(1);
    made.stream(2);
    const commit_wait wait(concern("all"), made.replicas, lsn{500}, {});
    made.flush(1, 500);
    made.replicas.leave({2});
    CHECK(wait.look(made.replicas, {}) == wait_status{wait_outcome::waiting, 2, 1, 1});
    made.stream(3);
    made.stream(4);
    CHECK(wait.look(made.replicas, {}) == wait_status{wait_outcome::waiting, 2, 1, 3});
    made.flush(4, 600);
    CHECK(wait.look(made.replicas, {}) == wait_status{wait_outcome::reached, 2, 2, 3});
}

TEST_CASE("a factor never asks for less, and waits for those who are not there") {
    cluster made;
    made.stream(1);
    const commit_wait wait(concern("factor:2"), made.replicas, lsn{500}, {0, 0}, 10);
    made.flush(1, 500);
    CHECK(wait.look(made.replicas, {9, 0}) == wait_status{wait_outcome::waiting, 2, 1, 1});
    made.stream(2);
    made.flush(2, 500);
    CHECK(wait.look(made.replicas, {9, 0}).outcome == wait_outcome::reached);
}

TEST_CASE("a factor above the capacity is impossible, before and after the timeout") {
    cluster made;
    const commit_wait wait(concern("factor:5"), made.replicas, lsn{500}, {0, 0}, 10);
    CHECK(wait.look(made.replicas, {0, 0}).outcome == wait_outcome::impossible);
    CHECK(wait.look(made.replicas, {11, 0}).outcome == wait_outcome::impossible);
    const commit_wait possible(concern("factor:4"), made.replicas, lsn{500}, {0, 0}, 10);
    CHECK(possible.look(made.replicas, {0, 0}).outcome == wait_outcome::waiting);
}

TEST_CASE("a wait times out at its deadline, but not if it is reached by then") {
    cluster made;
    made.stream(1);
    const commit_wait wait(concern("all"), made.replicas, lsn{500}, {100, 0}, 10);
    CHECK(wait.deadline() == 110);
    CHECK(wait.look(made.replicas, {109, 0}).outcome == wait_outcome::waiting);
    CHECK(wait.look(made.replicas, {110, 0}).outcome == wait_outcome::timed_out);
    CHECK(wait.look(made.replicas, {500, 0}).outcome == wait_outcome::timed_out);
    made.flush(1, 500);
    CHECK(wait.look(made.replicas, {500, 0}).outcome == wait_outcome::reached);
}

TEST_CASE("the timeout is 30 seconds, may be never, and may be none at all") {
    cluster made;
    made.stream(1);
    const write_concern all = concern("all");
    CHECK(commit_wait(all, made.replicas, lsn{5}, {100, 0}).deadline() == 30'000'100);
    const commit_wait patient(all, made.replicas, lsn{5}, {100, 0}, never);
    CHECK(patient.deadline() == never);
    CHECK(patient.look(made.replicas, {never, 0}).outcome == wait_outcome::waiting);
    for (const std::int64_t timeout : {std::int64_t{0}, std::int64_t{-1}, INT64_MIN}) {
        const commit_wait hasty(all, made.replicas, lsn{5}, {-100, 0}, timeout);
        CHECK(hasty.deadline() == -100);
        CHECK(hasty.look(made.replicas, {-100, 0}).outcome == wait_outcome::timed_out);
    }
}

TEST_CASE("write concerns do not allocate") {
    cluster made;
    made.stream(1);
    std::array<std::byte, 32> room;
    const support::allocations before;
    const auto parsed = parse_write_concern("factor:1");
    const commit_wait wait(*parsed, made.replicas, lsn{5}, {});
    const auto seen = wait.look(made.replicas, {});
    writer out(room);
    put(out, *parsed);
    const auto count = before.count();
    CHECK(count == 0);
    CHECK(seen.outcome == wait_outcome::waiting);
}
