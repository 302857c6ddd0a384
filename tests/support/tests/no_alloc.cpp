#include "support/no_alloc.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <new>
#include <sys/wait.h>
#include <unistd.h>

namespace {

// The compiler may drop an allocation whose result nobody uses; through this it cannot tell.
void* volatile kept = nullptr;

struct alignas(64) wide {
    char bytes[64];
};

} // namespace

TEST_CASE("every way to allocate is counted, and nothing else is") {
    const auto counted = [](auto&& allocate, auto&& release) {
        const support::allocations made;
        kept = allocate();
        const std::size_t count = made.count();
        release(kept);
        return count;
    };
    const auto freed = [](void* at) { std::free(at); };
    CHECK(counted([] { return std::malloc(10); }, freed) == 1);
    CHECK(counted([] { return std::calloc(2, 10); }, freed) == 1);
    CHECK(counted([] { return std::realloc(nullptr, 10); }, freed) == 1);
    CHECK(counted([] { return std::aligned_alloc(64, 64); }, freed) == 1);
    CHECK(counted([] { return new int(1); }, [](void* at) { delete static_cast<int*>(at); }) == 1);
    CHECK(counted([] { return new int[9]; }, [](void* at) { delete[] static_cast<int*>(at); }) ==
          1);
    CHECK(counted([] { return new wide; }, [](void* at) { delete static_cast<wide*>(at); }) == 1);
    CHECK(counted([] { return new wide[2]; }, [](void* at) { delete[] static_cast<wide*>(at); }) ==
          1);
    CHECK(counted([] { return new (std::nothrow) int; },
                  [](void* at) { delete static_cast<int*>(at); }) == 1);
    CHECK(counted([] { return static_cast<void*>(nullptr); }, [](void*) {}) == 0);
}

TEST_CASE("an aligned allocation is aligned") {
    const auto at = std::make_unique<wide[]>(3);
    CHECK(reinterpret_cast<std::size_t>(at.get()) % alignof(wide) == 0);
}

TEST_CASE("an allocation inside a no_alloc scope ends the program, and one after it does not") {
    for (const bool inside : {true, false}) {
        const pid_t child = ::fork();
        if (child == 0) {
            std::signal(SIGABRT, SIG_DFL); // doctest's handler would report the abort
            ::close(STDERR_FILENO);
            {
                const support::no_alloc scope;
                if (inside) kept = std::malloc(1);
            }
            kept = std::malloc(1);
            ::_exit(0);
        }
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0) == !inside);
    }
}
