// Proof that a stretch of code does not allocate.
//
//     support::allocations made;
//     auto event = machine.poll(in, now);
//     const auto count = made.count();   // before any CHECK, which may allocate its own message
//     CHECK(count == 0);
//
//     {
//         support::no_alloc scope;       // or: the first allocation ends the program where it is
//         while (machine.poll(in, now)) {}    // made, so that a debugger shows by whom
//     }
//
// Both watch the calling thread only. They see every operator new, and malloc and its relatives
// when called from the test's own object files, in which this header-only library is compiled.
#pragma once

#include <cstddef>

namespace support {

class allocations {
  public:
    allocations() noexcept : before_(so_far()) {}
    std::size_t count() const noexcept { return so_far() - before_; }

  private:
    static std::size_t so_far() noexcept;

    std::size_t before_;
};

class no_alloc {
  public:
    no_alloc() noexcept;
    ~no_alloc();
    no_alloc(const no_alloc&) = delete;
    no_alloc& operator=(const no_alloc&) = delete;
};

} // namespace support
