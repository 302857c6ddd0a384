// What can be served of a directory of WAL: one history, and the end of it at this moment.
//
//     timeline 1   |====================|          <- left at its switch point
//     timeline 2                   |====|=====+==>  end()   <- the current one
//                                  a segment that both have: timeline 2's counts
//
// The current timeline is the newest whose WAL has come to the place where it began; until then the
// one before it is served on. A timeline's first segment begins with what its parent wrote, so the
// newer file always has what the older one has, and more.
//
// The end never lies behind a byte that may change: it is that of the last whole record, or of the
// last whole segment, and it only moves forward.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <walwire/primary/wal_sender.hpp>
#include <walwire/wal/history.hpp>

#include "wal_files.hpp"

namespace posix {

// Bytes of the log, and what they lie in.
struct wal_run {
    held_segment held;
    walwire::bytes wal;
};

class wal_source {
  public:
    // Throws failure when there is no WAL in the directory.
    explicit wal_source(const std::string& directory);

    // Looks whether there is more. It costs next to nothing where there is not.
    void refresh();

    const wal_cluster& cluster() const noexcept { return files_.cluster(); }
    walwire::timeline_id timeline() const noexcept { return current_->past.timeline(); }
    walwire::lsn end() const noexcept { return current_->end; }

    // What START_REPLICATION is answered with; none for a timeline that is not in the history. An
    // invalid one is the current.
    std::optional<walwire::primary::served_timeline> find(walwire::timeline_id timeline) const;

    // The log from here up to `limit`, which must lie within the timeline that is asked for, or to
    // the end of the segment; none where that segment is not there.
    std::optional<wal_run> read(walwire::lsn from, walwire::lsn limit);

    std::optional<std::string> history(walwire::timeline_id timeline) const {
        return files_.history(timeline);
    }

  private:
    // A timeline with its history, and how far its WAL goes.
    struct branch {
        branch(const wal_cluster& cluster, record_scan::lookup segments)
            : scan(cluster, std::move(segments)) {}

        std::string text; // that `past` looks into
        walwire::wal::history past;
        walwire::lsn began; // where it left its parent; 0/0 if it has none
        walwire::lsn end;
        record_scan scan;
        held_segment scanned; // the segment that the scan looked at last
        std::uint64_t scanned_number = 0;
        held_segment newest; // of its own
        walwire::wal::segment_number newest_number;
        bool placed = false; // the scan has begun
    };
    using number = walwire::wal::segment_number;

    std::unique_ptr<branch> make_branch(walwire::timeline_id timeline, bool lenient);
    void choose();
    void look_for_next();
    void advance(branch& of, bool changed);
    bool find_newest(branch& of);
    void place(branch& of);
    bool begins_a_record(branch& of, number at);
    walwire::bytes look(branch& of, number at);
    held_segment open(const branch& of, number at);

    wal_files files_;
    std::unique_ptr<branch> current_;
    std::unique_ptr<branch> next_; // it has not come to where it began
};

} // namespace posix
