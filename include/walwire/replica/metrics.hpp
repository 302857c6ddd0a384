// What a replica counts about itself, and the text in which Prometheus reads it.
//
// One object is shared between the thread that runs the sessions and any number of readers. Each
// figure is an atomic of its own with relaxed ordering: a reader never waits and never makes
// anybody wait, and sees each figure as it was a moment ago. Counters stop at their largest value
// instead of starting over, since a scraper takes a counter that falls for a restart. Counting
// costs one atomic update; count once for each read from a socket, not for each message in it.
//
// The names are AionDB's, behind a prefix of the caller's:
//
//     # HELP aiondb_replica_runtime_sessions_started Replication sessions begun.
//     # TYPE aiondb_replica_runtime_sessions_started counter
//     aiondb_replica_runtime_sessions_started 3
//
// Source of truth: aiondb's metrics; Prometheus' text exposition format, version 0.0.4.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../lsn.hpp"
#include "../time.hpp"
#include "positions.hpp"

namespace walwire::replica {

// All figures as one reader saw them. Positions and lags are in bytes of the log or in AionDB's
// entry numbers; apply <= flush <= write holds here too.
struct metrics_snapshot {
    std::uint64_t sessions_started = 0;
    std::uint64_t sessions_succeeded = 0;
    std::uint64_t sessions_failed = 0;
    std::uint64_t reconnects = 0;
    std::uint64_t wal_bytes_received = 0;
    std::uint64_t standby_status_updates_sent = 0;
    std::uint64_t last_session_started_at_us = 0; // Unix time; 0 before the first session
    std::uint64_t write_lsn = 0;
    std::uint64_t flush_lsn = 0;
    std::uint64_t apply_lsn = 0;
    std::uint64_t write_apply_lag_lsn = 0; // received and not applied
    std::uint64_t flush_apply_lag_lsn = 0; // durable and not applied
};

class metrics {
  public:
    void session_started(instant now) noexcept {
        add(sessions_started_, 1);
        put(last_session_started_at_us_, now.wall > 0 ? static_cast<std::uint64_t>(now.wall) : 0);
    }
    void session_succeeded() noexcept { add(sessions_succeeded_, 1); }
    void session_failed() noexcept { add(sessions_failed_, 1); }
    void reconnected() noexcept { add(reconnects_, 1); }
    void wal_received(std::uint64_t size) noexcept { add(wal_bytes_received_, size); }
    void standby_status_update_sent() noexcept { add(standby_status_updates_sent_, 1); }
    void moved(const positions& now) noexcept {
        put(write_lsn_, now.written().value);
        put(flush_lsn_, now.flushed().value);
        put(apply_lsn_, now.applied().value);
    }

    // The three positions are read one by one while they may be moving. A flush or apply position
    // that is newer than the write position read with it is cut down to that, and was true then.
    metrics_snapshot read() const noexcept {
        metrics_snapshot seen;
        seen.sessions_started = get(sessions_started_);
        seen.sessions_succeeded = get(sessions_succeeded_);
        seen.sessions_failed = get(sessions_failed_);
        seen.reconnects = get(reconnects_);
        seen.wal_bytes_received = get(wal_bytes_received_);
        seen.standby_status_updates_sent = get(standby_status_updates_sent_);
        seen.last_session_started_at_us = get(last_session_started_at_us_);
        seen.write_lsn = get(write_lsn_);
        seen.flush_lsn = least(get(flush_lsn_), seen.write_lsn);
        seen.apply_lsn = least(get(apply_lsn_), seen.flush_lsn);
        seen.write_apply_lag_lsn = seen.write_lsn - seen.apply_lsn;
        seen.flush_apply_lag_lsn = seen.flush_lsn - seen.apply_lsn;
        return seen;
    }

  private:
    using figure = std::atomic<std::uint64_t>;

    static std::uint64_t get(const figure& from) noexcept {
        return from.load(std::memory_order_relaxed);
    }
    static void put(figure& to, std::uint64_t value) noexcept {
        to.store(value, std::memory_order_relaxed);
    }
    // Several sessions may count at the same time; whoever loses the race adds to the newer value.
    static void add(figure& to, std::uint64_t count) noexcept {
        std::uint64_t seen = get(to);
        std::uint64_t sum = 0;
        do {
            sum = count > UINT64_MAX - seen ? UINT64_MAX : seen + count;
        } while (!to.compare_exchange_weak(seen, sum, std::memory_order_relaxed));
    }
    static std::uint64_t least(std::uint64_t a, std::uint64_t b) noexcept { return b < a ? b : a; }

    figure sessions_started_{0};
    figure sessions_succeeded_{0};
    figure sessions_failed_{0};
    figure reconnects_{0};
    figure wal_bytes_received_{0};
    figure standby_status_updates_sent_{0};
    figure last_session_started_at_us_{0};
    figure write_lsn_{0};
    figure flush_lsn_{0};
    figure apply_lsn_{0};
};

// The twelve figures in the order in which they are written. A counter only grows; a gauge is
// whatever it is now, as are positions, which a change of timeline may take back.
struct metric {
    std::string_view name; // behind the prefix
    std::string_view type;
    std::string_view help;
    std::uint64_t metrics_snapshot::*figure;
};

inline constexpr metric metric_list[] = {
    {"runtime_sessions_started", "counter", "Replication sessions begun.",
     &metrics_snapshot::sessions_started},
    {"runtime_sessions_succeeded", "counter", "Replication sessions that ended cleanly.",
     &metrics_snapshot::sessions_succeeded},
    {"runtime_sessions_failed", "counter", "Replication sessions that ended in an error.",
     &metrics_snapshot::sessions_failed},
    {"runtime_reconnects", "counter", "Connections made again after a session ended.",
     &metrics_snapshot::reconnects},
    {"runtime_wal_bytes_received", "counter", "Bytes of WAL received.",
     &metrics_snapshot::wal_bytes_received},
    {"runtime_standby_status_updates_sent", "counter", "Status updates sent to the primary.",
     &metrics_snapshot::standby_status_updates_sent},
    {"runtime_last_session_started_at_us", "gauge",
     "Unix time in microseconds at which the latest session began.",
     &metrics_snapshot::last_session_started_at_us},
    {"wal_receiver_write_lsn", "gauge", "Position up to which WAL was received.",
     &metrics_snapshot::write_lsn},
    {"wal_receiver_flush_lsn", "gauge", "Position up to which WAL is durable.",
     &metrics_snapshot::flush_lsn},
    {"wal_receiver_apply_lsn", "gauge", "Position up to which WAL was applied.",
     &metrics_snapshot::apply_lsn},
    {"wal_receiver_write_apply_lag_lsn", "gauge", "WAL received and not applied.",
     &metrics_snapshot::write_apply_lag_lsn},
    {"wal_receiver_flush_apply_lag_lsn", "gauge", "WAL durable and not applied.",
     &metrics_snapshot::flush_apply_lag_lsn},
};

inline constexpr std::string_view default_metrics_prefix = "aiondb_replica_";
inline constexpr std::size_t metrics_prefix_size_max = 64;

// A prefix begins a metric's name: letters, digits, '_' and ':', no digit in front. It may be
// empty.
constexpr errc check_metrics_prefix(std::string_view prefix) noexcept {
    if (prefix.size() > metrics_prefix_size_max) return errc::argument_too_long;
    if (!prefix.empty() && prefix.front() >= '0' && prefix.front() <= '9')
        return errc::argument_invalid;
    for (const char c : prefix) {
        const bool letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
        if (!letter && !(c >= '0' && c <= '9')) return errc::argument_invalid;
    }
    return errc::none;
}

// The room that suffices for any figures behind a prefix of this size.
constexpr std::size_t metrics_text_size_max(std::size_t prefix_size) noexcept {
    std::size_t size = 0;
    for (const metric& each : metric_list) {
        size += 3 * (prefix_size + each.name.size()) + each.type.size() + each.help.size();
        size += std::string_view("# HELP  \n# TYPE  \n \n").size() + 20; // 2^64 - 1 has 20 digits
    }
    return size;
}

// Writes the figures as Prometheus reads them. argument_invalid, argument_too_long: the prefix, and
// nothing is written; argument_too_long too where `out`, which is then not ok(), has no room for
// all.
inline errc put_prometheus(writer& out, const metrics_snapshot& seen,
                           std::string_view prefix = default_metrics_prefix) noexcept {
    if (const errc refused = check_metrics_prefix(prefix); refused != errc::none) return refused;
    const auto put = [&out](auto... parts) noexcept { (out.append(parts), ...); };
    for (const metric& each : metric_list) {
        put("# HELP ", prefix, each.name, " ", each.help, "\n");
        put("# TYPE ", prefix, each.name, " ", each.type, "\n");
        put(prefix, each.name, " ", decimal_text(seen.*each.figure), "\n");
    }
    return out.ok() ? errc::none : errc::argument_too_long;
}

} // namespace walwire::replica
