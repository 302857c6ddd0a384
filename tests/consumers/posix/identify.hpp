// `walwire identify`: who is there, and one-off commands before a stream.
#pragma once

#include "arguments.hpp"
#include "link.hpp"

namespace posix {

// Prints the answer of IDENTIFY_SYSTEM on standard output. Throws failure.
void identify(const identify_arguments& given);

// Creates the physical slot. Throws failure; an existing one is fine when `or_exists` says so.
void create_slot(link& line, const std::string& name, bool or_exists);

} // namespace posix
