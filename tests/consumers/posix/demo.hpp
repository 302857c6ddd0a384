// `walwire demo`: both ends of the protocol in one process, joined by memory.
#pragma once

#include "arguments.hpp"

namespace posix {

// Streams, cuts the link, reconnects, resumes, promotes the primary and follows it, and compares
// every byte at the end. Throws failure when one is wrong.
void demo(const demo_arguments& given);

} // namespace posix
