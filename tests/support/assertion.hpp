// WALWIRE_ASSERT as our tests and fuzz targets want it: a broken promise ends the program.
//
// The build puts this in front of every file (-include), so it must not bring along anything that a
// header under test ought to include itself.
#pragma once

namespace support {

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line) noexcept;

} // namespace support

#define WALWIRE_ASSERT(condition)                                                                  \
    ((condition) ? static_cast<void>(0)                                                            \
                 : ::support::assertion_failed(#condition, __FILE__, __LINE__))
