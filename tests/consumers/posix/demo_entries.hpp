// The demo in AionDB's dialect: a backup, then a log of entries over a link that breaks, from a
// primary that is promoted now and then.
#pragma once

#include "arguments.hpp"

namespace posix {

// Throws failure where an entry differs, is missing or comes twice.
void demo_entries(const demo_arguments& given);

} // namespace posix
