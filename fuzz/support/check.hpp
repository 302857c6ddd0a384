// What a fuzz target asserts: a property that fails names itself and its line, and ends the
// program, so that the fuzzer keeps the input.
#pragma once

#include <cstdio>
#include <cstdlib>

// The builtins stand for std::source_location, which clang 14 does not have over libstdc++ 12.
inline void check(bool condition, const char* what, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
    if (condition) return;
    std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    std::abort();
}
