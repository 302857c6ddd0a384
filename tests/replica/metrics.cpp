#include <walwire/replica/metrics.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support/guard.hpp"
#include "support/no_alloc.hpp"

using namespace walwire;
using namespace walwire::replica;

namespace {

// Reading never blocks only where the machine has such an instruction.
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

std::string text_of(const metrics_snapshot& seen,
                    std::string_view prefix = default_metrics_prefix) {
    std::vector<std::byte> room(metrics_text_size_max(prefix.size()));
    writer out(room);
    REQUIRE(put_prometheus(out, seen, prefix) == errc::none);
    return std::string(as_text(out.written()));
}

metrics_snapshot all_at(std::uint64_t value) {
    metrics_snapshot seen;
    for (const metric& each : metric_list) seen.*each.figure = value;
    return seen;
}

} // namespace

TEST_CASE("a fresh replica has counted nothing") {
    const metrics count;
    CHECK(text_of(count.read()) == text_of(metrics_snapshot{}));
}

TEST_CASE("each event moves its own figure") {
    metrics count;
    count.session_started({5, 1'700'000'000'000'000});
    count.session_started({6, 1'700'000'000'000'001});
    count.session_started({7, 1'700'000'000'000'002});
    count.session_succeeded();
    count.session_failed();
    count.session_failed();
    for (int i = 0; i < 4; ++i) count.reconnected();
    count.wal_received(100);
    count.wal_received(28);
    for (int i = 0; i < 5; ++i) count.standby_status_update_sent();
    positions at;
    at.received(lsn{900});
    at.flushed(lsn{700});
    at.applied(lsn{400});
    count.moved(at);
    const metrics_snapshot seen = count.read();
    CHECK(seen.sessions_started == 3);
    CHECK(seen.sessions_succeeded == 1);
    CHECK(seen.sessions_failed == 2);
    CHECK(seen.reconnects == 4);
    CHECK(seen.wal_bytes_received == 128);
    CHECK(seen.standby_status_updates_sent == 5);
    CHECK(seen.last_session_started_at_us == 1'700'000'000'000'002);
    CHECK(seen.write_lsn == 900);
    CHECK(seen.flush_lsn == 700);
    CHECK(seen.apply_lsn == 400);
    CHECK(seen.write_apply_lag_lsn == 500);
    CHECK(seen.flush_apply_lag_lsn == 300);
}

TEST_CASE("a clock before 1970 shows as no time") {
    metrics count;
    count.session_started({0, -1});
    CHECK(count.read().last_session_started_at_us == 0);
    CHECK(count.read().sessions_started == 1);
}

TEST_CASE("counters stop at their end") {
    metrics count;
    count.wal_received(UINT64_MAX - 5);
    count.wal_received(5);
    CHECK(count.read().wal_bytes_received == UINT64_MAX);
    count.wal_received(1);
    CHECK(count.read().wal_bytes_received == UINT64_MAX);
    count.wal_received(UINT64_MAX);
    CHECK(count.read().wal_bytes_received == UINT64_MAX);
    metrics other;
    other.wal_received(10);
    other.wal_received(UINT64_MAX);
    CHECK(other.read().wal_bytes_received == UINT64_MAX);
}

TEST_CASE("positions that went back are shown as they are") {
    metrics count;
    positions at(lsn{900}, lsn{900});
    count.moved(at);
    at.rewind(lsn{300});
    count.moved(at);
    CHECK(count.read().write_lsn == 300);
    CHECK(count.read().apply_lsn == 300);
}

TEST_CASE("the twelve figures have AionDB's names and the right types") {
    const std::map<std::string, std::string> expected = {
        {"aiondb_replica_runtime_sessions_started", "counter"},
        {"aiondb_replica_runtime_sessions_succeeded", "counter"},
        {"aiondb_replica_runtime_sessions_failed", "counter"},
        {"aiondb_replica_runtime_reconnects", "counter"},
        {"aiondb_replica_runtime_wal_bytes_received", "counter"},
        {"aiondb_replica_runtime_standby_status_updates_sent", "counter"},
        {"aiondb_replica_runtime_last_session_started_at_us", "gauge"},
        {"aiondb_replica_wal_receiver_write_lsn", "gauge"},
        {"aiondb_replica_wal_receiver_flush_lsn", "gauge"},
        {"aiondb_replica_wal_receiver_apply_lsn", "gauge"},
        {"aiondb_replica_wal_receiver_write_apply_lag_lsn", "gauge"},
        {"aiondb_replica_wal_receiver_flush_apply_lag_lsn", "gauge"},
    };
    metrics_snapshot seen;
    std::uint64_t value = 1;
    for (const metric& each : metric_list) seen.*each.figure = value++;
    // A scraper's reading: three lines to a figure, help and type before the sample.
    std::istringstream lines(text_of(seen));
    std::map<std::string, std::string> types;
    std::map<std::string, std::string> samples;
    std::string help, type, sample;
    while (std::getline(lines, help) && std::getline(lines, type) && std::getline(lines, sample)) {
        const std::string name = sample.substr(0, sample.find(' '));
        CHECK(help.starts_with("# HELP " + name + " "));
        CHECK(help.ends_with("."));
        CHECK(type.starts_with("# TYPE " + name + " "));
        types[name] = type.substr(type.rfind(' ') + 1);
        samples[name] = sample.substr(sample.find(' ') + 1);
    }
    CHECK(types == expected);
    CHECK(samples["aiondb_replica_runtime_sessions_started"] == "1");
    CHECK(samples["aiondb_replica_runtime_last_session_started_at_us"] == "7");
    CHECK(samples["aiondb_replica_wal_receiver_write_lsn"] == "8");
    CHECK(samples["aiondb_replica_wal_receiver_flush_apply_lag_lsn"] == "12");
}

TEST_CASE("the text begins as the header shows it") {
    metrics_snapshot seen;
    seen.sessions_started = 3;
    CHECK(text_of(seen).starts_with(
        "# HELP aiondb_replica_runtime_sessions_started Replication sessions begun.\n"
        "# TYPE aiondb_replica_runtime_sessions_started counter\n"
        "aiondb_replica_runtime_sessions_started 3\n"
        "# HELP aiondb_replica_runtime_sessions_succeeded "));
    CHECK(text_of(seen).ends_with("\n"));
}

TEST_CASE("another prefix, or none, replaces AionDB's") {
    CHECK(text_of({}, "walwire:").find("\nwalwire:wal_receiver_write_lsn 0\n") !=
          std::string::npos);
    CHECK(text_of({}, "").find("\nwal_receiver_write_lsn 0\n") != std::string::npos);
    CHECK(text_of({}, "x").find("aiondb") == std::string::npos);
}

TEST_CASE("a prefix that would break the text is refused and nothing is written") {
    std::array<std::byte, 8192> room;
    const std::string longest(metrics_prefix_size_max, 'x');
    using namespace std::string_view_literals;
    for (const std::string_view prefix : {"1a"sv, "a b"sv, "a-b"sv, "a\n"sv, "a{"sv, "a.b"sv,
                                          "\0"sv, "a\xC3\xA4"sv, " "sv, "#"sv}) {
        CAPTURE(prefix);
        writer out(room);
        CHECK(check_metrics_prefix(prefix) == errc::argument_invalid);
        CHECK(put_prometheus(out, {}, prefix) == errc::argument_invalid);
        CHECK(out.size() == 0);
    }
    CHECK(check_metrics_prefix(longest + "x") == errc::argument_too_long);
    for (const std::string_view prefix :
         {""sv, "_"sv, ":"sv, "a1"sv, "Z_9:"sv, std::string_view(longest)})
        CHECK(check_metrics_prefix(prefix) == errc::none);
}

TEST_CASE("the announced room is exactly what the largest figures need") {
    const std::string longest(metrics_prefix_size_max, 'x');
    for (const std::string_view prefix :
         {std::string_view(), default_metrics_prefix, std::string_view(longest)}) {
        const std::string text = text_of(all_at(UINT64_MAX), prefix);
        CHECK(text.size() == metrics_text_size_max(prefix.size()));
        CHECK(text.find(" 18446744073709551615\n") != std::string::npos);
    }
}

TEST_CASE("a room that is too small is reported at every size") {
    const metrics_snapshot seen = all_at(42);
    const std::size_t whole = text_of(seen).size();
    for (std::size_t size = 0; size <= whole; ++size) {
        const support::guarded room(size);
        writer out(room.span());
        CHECK(put_prometheus(out, seen) == (size == whole ? errc::none : errc::argument_too_long));
        CHECK(out.ok() == (size == whole));
    }
}

TEST_CASE("counting and reading allocate nothing") {
    metrics count;
    std::array<std::byte, 8192> room;
    support::allocations made;
    count.session_started({1, 1});
    count.wal_received(5);
    writer out(room);
    const errc code = put_prometheus(out, count.read());
    CHECK(made.count() == 0);
    CHECK(code == errc::none);
}

TEST_CASE("no count is lost between threads") {
    metrics count;
    constexpr int each = 300'000;
    std::atomic<int> waiting{3};
    const auto work = [&] {
        --waiting;
        while (waiting != 0) std::this_thread::yield(); // so that they really race
        for (int i = 0; i < each; ++i) {
            count.wal_received(3);
            count.standby_status_update_sent();
        }
    };
    std::thread one(work), two(work), three(work);
    one.join();
    two.join();
    three.join();
    CHECK(count.read().wal_bytes_received == 9u * each);
    CHECK(count.read().standby_status_updates_sent == 3u * each);
}

TEST_CASE("racing counters stop at their end too") {
    metrics count;
    count.wal_received(UINT64_MAX - 1000);
    const auto work = [&count] {
        for (int i = 0; i < 10'000; ++i) count.wal_received(7);
    };
    std::thread one(work), two(work);
    one.join();
    two.join();
    CHECK(count.read().wal_bytes_received == UINT64_MAX);
}

TEST_CASE("a reader always sees positions in order and counters that grow") {
    metrics count;
    std::atomic<bool> done{false};
    std::thread writer_thread([&] {
        positions at;
        for (std::uint64_t i = 1; i < 200'000; ++i) {
            at.received(lsn{i * 10});
            at.flushed(lsn{i * 10 - 3});
            at.applied(lsn{i * 10 - 5});
            count.moved(at);
            count.wal_received(10);
        }
        done = true;
    });
    bool ordered = true, growing = true;
    std::uint64_t received = 0;
    while (!done) {
        const metrics_snapshot seen = count.read();
        ordered = ordered && seen.apply_lsn <= seen.flush_lsn && seen.flush_lsn <= seen.write_lsn &&
                  seen.write_apply_lag_lsn == seen.write_lsn - seen.apply_lsn &&
                  seen.flush_apply_lag_lsn == seen.flush_lsn - seen.apply_lsn;
        growing = growing && seen.wal_bytes_received >= received;
        received = seen.wal_bytes_received;
    }
    writer_thread.join();
    CHECK(ordered);
    CHECK(growing);
    CHECK(count.read().wal_bytes_received == 1'999'990);
    CHECK(count.read().apply_lsn == 1'999'985);
}
