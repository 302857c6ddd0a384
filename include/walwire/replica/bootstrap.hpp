// Brings a fresh AionDB replica to where it can follow: what to do next, and what was done.
//
//     write_manifest    the storage manifest, into the empty data directory
//     clear_wal         only behind an attempt that did not come to its end
//     take_backup       BASE_BACKUP into <data>/wal; its header says who and when
//     write_timeline    <data>/replication/timeline
//     write_system_id   <data>/replication/system_id: from here on the replica is one
//     open_engine       open, and recover what the backup brought
//     follow            START_REPLICATION from the last durable entry, as after any reconnect
//
// It touches nothing. The owner does each step, durably, and says done() or failed(); after a crash
// it says what it finds on disk, and the machine goes on from there. What makes that safe is the
// order. A backup may have stopped anywhere, so as long as there is no system_id, nothing in
// <data>/wal counts, and it is cleared. The identifier is written last of all that came from the
// backup: whoever has it has the rest.
//
// Each file is to be written under another name, synced and renamed, so that it is there whole or
// not at all.
//
// Source of truth: AionDB's bootstrap of a fresh replica.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "../aiondb/backup.hpp"
#include "../aiondb/message.hpp"
#include "../error.hpp"
#include "../lsn.hpp"

namespace walwire::replica {

enum class bootstrap_step : std::uint8_t {
    write_manifest,
    clear_wal,
    take_backup,
    write_timeline,
    write_system_id,
    open_engine,
    follow,
    broken, // what was found cannot have come from here: reason()
};

constexpr std::string_view to_text(bootstrap_step step) noexcept {
    switch (step) {
    case bootstrap_step::write_manifest: return "write the storage manifest";
    case bootstrap_step::clear_wal: return "clear what an unfinished backup left";
    case bootstrap_step::take_backup: return "take a base backup";
    case bootstrap_step::write_timeline: return "write the timeline";
    case bootstrap_step::write_system_id: return "write the system identifier";
    case bootstrap_step::open_engine: return "open the engine and recover";
    case bootstrap_step::follow: return "follow the primary";
    case bootstrap_step::broken: return "stop";
    }
    return "stop";
}

// What lies in the data directory. The views need live only until the constructor returns.
struct bootstrap_found {
    bool manifest = false;              // the storage manifest
    bool wal = false;                   // anything in <data>/wal
    std::string_view system_identifier; // what system_id holds; empty: there is none
    timeline_id timeline;               // what timeline holds; 0: there is none
};

class bootstrap {
  public:
    explicit bootstrap(const bootstrap_found& found) noexcept : timeline_(found.timeline) {
        const std::string_view identifier = found.system_identifier;
        if (identifier.empty()) {
            wal_ = found.wal;
            step_ = found.manifest ? first_of_backup() : bootstrap_step::write_manifest;
            // A timeline without an identifier is the last thing that an attempt left behind.
            timeline_ = {};
        } else {
            // It is written last, so what is missing beside it was taken away.
            if (!keep(identifier)) reason_ = errc::system_identifier_invalid;
            if (!found.timeline.valid()) reason_ = errc::timeline_invalid;
            if (!found.manifest) reason_ = errc::storage_manifest_missing;
            step_ = reason_ == errc::none ? bootstrap_step::open_engine : bootstrap_step::broken;
        }
    }

    // What is to be done; the same until done() or failed() is called.
    bootstrap_step next() const noexcept { return step_; }
    // Why it is broken: storage_manifest_missing, timeline_invalid for none, or
    // system_identifier_invalid for one that is longer than any backup's.
    errc reason() const noexcept { return reason_; }

    // For the steps that write: whose log this is, and on which timeline it lies.
    std::string_view system_identifier() const noexcept {
        return {identifier_.data(), identifier_size_};
    }
    timeline_id timeline() const noexcept { return timeline_; }

    // The first entry of the log that the backup brought, as its header says: an engine that has
    // recovered has it, unless it is the first of all, which an empty log is said to begin with as
    // well. 0 when the backup was taken in an earlier life.
    aiondb::entry_lsn backup_start() const noexcept { return start_; }
    // For `follow`: what to ask START_REPLICATION for.
    aiondb::entry_lsn follow_from() const noexcept {
        return durable_.valid() ? durable_ : aiondb::first_entry;
    }

    // The step is done, and durably so. not_now: it was another one, or this one says more below.
    errc done(bootstrap_step step) noexcept {
        if (step != step_) return errc::not_now;
        switch (step) {
        case bootstrap_step::write_manifest: step_ = first_of_backup(); break;
        case bootstrap_step::clear_wal:
            wal_ = false;
            step_ = bootstrap_step::take_backup;
            break;
        case bootstrap_step::write_timeline: step_ = bootstrap_step::write_system_id; break;
        case bootstrap_step::write_system_id: step_ = bootstrap_step::open_engine; break;
        default: return errc::not_now;
        }
        return errc::none;
    }

    // take_backup is done: the whole of it is here and synced, and its header said this.
    // system_identifier_invalid: it says nobody.
    errc done_backup(const aiondb::backup_started& header) noexcept {
        if (step_ != bootstrap_step::take_backup) return errc::not_now;
        if (!header.timeline.valid()) return errc::timeline_invalid;
        if (!keep(header.system_identifier)) return errc::system_identifier_invalid;
        timeline_ = header.timeline;
        start_ = header.start;
        step_ = bootstrap_step::write_timeline;
        return errc::none;
    }

    // open_engine is done: it recovered everything up to and including `durable`, or nothing (0)
    // of a log without an entry. position_ahead: the backup's first entry lies behind that, so what
    // it brought was not found; the step is still next.
    errc done_opening(aiondb::entry_lsn durable) noexcept {
        if (step_ != bootstrap_step::open_engine) return errc::not_now;
        if (start_ > aiondb::first_entry && durable < start_) return errc::position_ahead;
        durable_ = durable;
        step_ = bootstrap_step::follow;
        return errc::none;
    }

    // The step could not be done, and is to be tried again. What a backup brought of itself does
    // not count then.
    void failed() noexcept {
        if (step_ != bootstrap_step::take_backup) return;
        wal_ = true;
        step_ = bootstrap_step::clear_wal;
    }

  private:
    bootstrap_step first_of_backup() const noexcept {
        return wal_ ? bootstrap_step::clear_wal : bootstrap_step::take_backup;
    }
    bool keep(std::string_view identifier) noexcept {
        if (identifier.empty() || identifier.size() > identifier_.size()) return false;
        std::memcpy(identifier_.data(), identifier.data(), identifier.size());
        identifier_size_ = identifier.size();
        return true;
    }

    std::array<char, aiondb::identifier_size_max> identifier_{};
    std::size_t identifier_size_ = 0;
    timeline_id timeline_;
    aiondb::entry_lsn start_;
    aiondb::entry_lsn durable_;
    bool wal_ = false;
    errc reason_ = errc::none;
    bootstrap_step step_ = bootstrap_step::write_manifest;
};

} // namespace walwire::replica
