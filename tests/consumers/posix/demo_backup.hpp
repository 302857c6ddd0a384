// The demo's base backup: both ends of it in one process, and every byte looked at.
//
// The first attempt is cut off at a random byte. Nothing of it counts, as a backup that was
// interrupted cannot be resumed; the second one is whole, and its manifest says so.
#pragma once

#include <cstdint>
#include <random>

#include <walwire/dialect.hpp>
#include <walwire/lsn.hpp>

namespace posix {

struct demo_cluster {
    std::uint64_t system_identifier = 0;
    walwire::timeline_id timeline;
    walwire::lsn start; // of the backup; AionDB: its entry
    walwire::dialect dialect = walwire::dialect::postgres;
};

struct demo_backup_figures {
    std::uint64_t bytes = 0; // of files, in the attempt that counts
    std::uint64_t files = 0;
    std::uint64_t attempts = 0;
};

// Throws failure where a byte differs, or nobody goes on.
demo_backup_figures take_demo_backup(const demo_cluster& cluster, std::mt19937_64& random);

} // namespace posix
