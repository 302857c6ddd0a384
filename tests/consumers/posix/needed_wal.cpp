#include "needed_wal.hpp"

#include <cerrno>
#include <string>
#include <string_view>

#include "failure.hpp"

namespace posix {

namespace {

namespace wal = walwire::wal;
using walwire::backup::wal_range;

std::string text_of(walwire::lsn at) {
    return std::string(std::string_view(to_text(at)));
}

} // namespace

std::vector<wal_range> needed_wal(const backup_source& backup, const wal_source& log) {
    if (!backup.ranges().empty()) return backup.ranges();
    return {{backup.timeline(), backup.start(), log.end()}};
}

void require_end(const std::vector<wal_range>& needed, const wal_source& log) {
    for (const wal_range& each : needed) {
        const std::string timeline = " of timeline " + std::to_string(each.timeline.value);
        const auto served = log.find(each.timeline);
        if (!served) throw failure("the backup needs WAL" + timeline + ", which is not there");
        // Without a manifest the end is the log's, and may lie before the start.
        if (each.end > served->end || each.start >= served->end)
            throw failure("the backup needs WAL" + timeline + " up to " +
                          text_of(each.end > each.start ? each.end : each.start) +
                          ", and what there is ends at " + text_of(served->end));
    }
}

void require_segments(const std::vector<wal_range>& needed, wal_source& log) {
    const wal::segment_size size = log.cluster().size;
    for (const wal_range& each : needed) {
        const auto last = containing_end(each.end, size);
        for (auto number = containing(each.start, size); number <= last; ++number.value) {
            if (log.read(start_of(number, size), log.end())) continue;
            const auto name = segment_name({.timeline = each.timeline, .number = number}, size);
            throw failure("the backup needs WAL segment " + std::string(std::string_view(name)) +
                              ", which is not there",
                          ENOENT);
        }
    }
}

} // namespace posix
