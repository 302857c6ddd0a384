// `walwire backup`: takes a base backup, as pg_basebackup does, and verifies it as it comes.
#pragma once

#include "arguments.hpp"

namespace posix {

// Runs until the backup is whole, verified and durable. Throws failure otherwise, and then nothing
// of it is left.
void backup(const backup_arguments& given);

} // namespace posix
