// `walwire combine`: a server's data directory again, from a full backup and the incremental ones
// behind it.
//
//     the newest backup has        the result has
//     base/5/INCREMENTAL.1259      base/5/1259, put together (rebuilt_file.hpp)
//     base/5/1260                  the same, and so with all that it has, its WAL among it
//     pg_tblspc/16384 -> /old      pg_tblspc/16384 -> /new, as -T has it
//     backup_label                 the same, as of a full backup
//     backup_manifest              a new one, with the newest one's ranges of WAL
//
// The new manifest would cover up whatever has gone wrong with a file since it was backed up, so
// each is held against the manifest of its own backup: one that is copied whole as it passes, and
// every file that one is put together from before that, which takes reading it once more. Before
// anything is made the backups are known to follow each other (backup_chain.hpp), and the newest to
// have every file that its manifest lists, in its size.
//
// Files that no manifest lists are taken as they are, for nobody knows better; WAL is among them.
// So are those that whoever restores a backup may write or remove: the settings of ALTER SYSTEM and
// the two files that begin a recovery.
#pragma once

#include "arguments.hpp"

namespace posix {

// Throws failure, and then nothing is left of what was made.
void combine(const combine_arguments& given);

} // namespace posix
