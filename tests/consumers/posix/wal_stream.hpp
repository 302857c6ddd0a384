// Streams the log that a backup needs over a second connection, while the first one brings the
// backup.
//
// It has a thread of its own: each of the two waits for its own server process and its own files,
// and neither may be late with its answers because the other one is busy. They share next to
// nothing: where the log ends, once that is known, and whether something went wrong.
//
// One attempt is all there is. A connection that breaks takes the temporary slot with it, and with
// the slot what the server would have had to keep for us.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>

#include <walwire/lsn.hpp>
#include <walwire/replica/base_backup.hpp>

#include "backup_wal.hpp"
#include "link.hpp"
#include "waker.hpp"

namespace posix {

struct wal_stream_plan {
    std::string conninfo;
    std::uint64_t system_identifier = 0;
    walwire::timeline_id timeline;
    walwire::lsn start;
    bool temporary_slot = true;
};

class wal_stream {
  public:
    // It begins at once. `into` must outlive it. Throws failure.
    wal_stream(const wal_stream_plan& plan, backup_wal& into);
    wal_stream(const wal_stream&) = delete;
    wal_stream& operator=(const wal_stream&) = delete;
    // Gives up what is not over, and waits for the thread.
    ~wal_stream();

    // The log is needed up to here.
    void end_at(walwire::lsn end) noexcept;
    // Nothing more happens: all has come, or something went wrong.
    bool over() const noexcept { return over_; }
    // Throws failure if something went wrong. Only once it is over.
    void check() const;

  private:
    void run() noexcept;

    const wal_stream_plan plan_;
    backup_wal& into_;
    link line_;
    waker stop_; // for what takes long
    waker news_; // for the wait between two pieces of WAL
    std::atomic<std::uint64_t> end_ = UINT64_MAX;
    std::atomic<bool> stopping_ = false;
    std::atomic<bool> over_ = false;
    std::string wrong_; // before over_ is set it is the thread's
    std::thread thread_;
};

} // namespace posix
