// `walwire receive`: follows a primary and keeps its WAL in a directory, as pg_receivewal does.
#pragma once

#include "arguments.hpp"

namespace posix {

// Runs until a signal, the end position, or a failure that trying again does not mend. Throws
// failure.
void receive(const receive_arguments& given);

} // namespace posix
