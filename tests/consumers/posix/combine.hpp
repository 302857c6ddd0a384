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
// All of it is checked that can be without writing (backup_chain.hpp) before anything is made. A
// file that is copied whole is held against the newest manifest: the new one would cover up what
// has gone wrong with it.
#pragma once

#include "arguments.hpp"

namespace posix {

// Throws failure, and then nothing is left of what was made.
void combine(const combine_arguments& given);

} // namespace posix
