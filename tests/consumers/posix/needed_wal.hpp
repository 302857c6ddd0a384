// The WAL that a backup cannot be used without, looked for in the log that is served beside it.
//
//     what the backup needs        |== timeline 1 ==|== timeline 2 ==|
//     a log that has it      |=========================================>
//     one that has not yet   |=================>       `walwire receive` has not come as far
//     one that lost some           |====      =========================>    a segment was removed
//
// A server that takes a backup has all of it: the backup ends in its log. Here backup and log come
// from different places, and a client that got zeros for what is missing would have a backup that
// its manifest matches and that no server starts on.
#pragma once

#include <vector>

#include <walwire/backup/manifest.hpp>

#include "backup_source.hpp"
#include "wal_source.hpp"

namespace posix {

// What its manifest says, the newest timeline first. A backup without one does not say where it
// ends; then it is all that there is, as it was taken before.
std::vector<walwire::backup::wal_range> needed_wal(const backup_source& backup,
                                                   const wal_source& log);

// Throws failure where the log does not go as far, or is another history's. Whoever streams what
// the backup needs would wait for it for ever.
void require_end(const std::vector<walwire::backup::wal_range>& needed, const wal_source& log);

// Throws failure, whose code is ENOENT, where a segment is not there.
void require_segments(const std::vector<walwire::backup::wal_range>& needed, wal_source& log);

} // namespace posix
