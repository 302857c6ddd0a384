// Which of two replication dialects a connection speaks.
//
// PostgreSQL's is the protocol of its manual. AionDB's is the same on the outside (start-up,
// authentication, simple queries, rows, copies) but has fewer commands, prints positions with eight
// digits behind the slash, and says something else inside CopyData: little-endian messages of its
// own (aiondb/message.hpp). It is a run-time value, not a template parameter, so that there is one
// code path and one binary interface.
#pragma once

#include <cstdint>

namespace walwire {

enum class dialect : std::uint8_t { postgres, aiondb };

} // namespace walwire
