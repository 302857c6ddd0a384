// `walwire receive --dialect aiondb`: follows a primary of AionDB's and keeps its entries in a
// directory (entry_directory.hpp).
#pragma once

#include "arguments.hpp"

namespace posix {

// As receive.
void receive_entries(const receive_arguments& given);

} // namespace posix
