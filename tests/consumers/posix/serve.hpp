// `walwire serve`: the WAL of a directory, for as many replicas as come.
#pragma once

#include "arguments.hpp"

namespace posix {

// Serves until it is interrupted and every replica that follows has all there is. Throws failure.
void serve(const serve_arguments& given);

} // namespace posix
