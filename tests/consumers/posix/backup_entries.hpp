// `walwire backup --dialect aiondb`: makes a directory into a replica of AionDB's, as far as that
// can be done without its engine (replica_directory.hpp).
#pragma once

#include "arguments.hpp"

namespace posix {

// Takes a backup, or says that there is one already. What an interrupted run left is cleared by
// the next one. Throws failure.
void backup_entries(const backup_arguments& given);

} // namespace posix
