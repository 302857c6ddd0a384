// The linker sends malloc and its relatives here (-Wl,--wrap), and the operators are replaced as
// the standard allows. Wrapping at link time, unlike interposing at run time, leaves
// AddressSanitizer's own malloc in its place.
#include "no_alloc.hpp"

#include <cstdio>
#include <cstdlib>
#include <new>

// NOLINTBEGIN(bugprone-reserved-identifier): the linker wants these names.
extern "C" {
void* __real_malloc(std::size_t size);
void* __real_calloc(std::size_t count, std::size_t size);
void* __real_realloc(void* at, std::size_t size);
void* __real_aligned_alloc(std::size_t to, std::size_t size);
void* __wrap_malloc(std::size_t size);
void* __wrap_calloc(std::size_t count, std::size_t size);
void* __wrap_realloc(void* at, std::size_t size);
void* __wrap_aligned_alloc(std::size_t to, std::size_t size);
}
// NOLINTEND(bugprone-reserved-identifier)

namespace {

thread_local std::size_t made = 0;
thread_local int forbidden = 0;

void note() noexcept {
    ++made;
    if (forbidden == 0) return;
    forbidden = 0; // what follows may allocate
    std::fputs("an allocation where none may be\n", stderr);
    std::abort();
}

void* try_allocate(std::size_t size, std::size_t alignment) noexcept {
    note();
    const std::size_t asked = size == 0 ? 1 : size;
    if (alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) return __real_malloc(asked);
    return __real_aligned_alloc(alignment, (asked + alignment - 1) / alignment * alignment);
}

void* allocate(std::size_t size, std::size_t alignment) {
    void* at = try_allocate(size, alignment);
    if (at == nullptr) throw std::bad_alloc();
    return at;
}

} // namespace

namespace support {

std::size_t allocations::so_far() noexcept {
    return made;
}
no_alloc::no_alloc() noexcept {
    ++forbidden;
}
no_alloc::~no_alloc() {
    --forbidden;
}

} // namespace support

extern "C" {
void* __wrap_malloc(std::size_t size) {
    note();
    return __real_malloc(size);
}
void* __wrap_calloc(std::size_t count, std::size_t size) {
    note();
    return __real_calloc(count, size);
}
void* __wrap_realloc(void* at, std::size_t size) {
    note();
    return __real_realloc(at, size);
}
void* __wrap_aligned_alloc(std::size_t to, std::size_t size) {
    note();
    return __real_aligned_alloc(to, size);
}
}

// Every form is replaced: the library's own array and nothrow forms would call these, but a
// sanitizer brings forms of its own that do not.
using std::align_val_t;
using std::nothrow_t;
using std::size_t;

void* operator new(size_t size) {
    return allocate(size, 0);
}
void* operator new[](size_t size) {
    return allocate(size, 0);
}
void* operator new(size_t size, align_val_t to) {
    return allocate(size, static_cast<size_t>(to));
}
void* operator new[](size_t size, align_val_t to) {
    return allocate(size, static_cast<size_t>(to));
}
void* operator new(size_t size, const nothrow_t&) noexcept {
    return try_allocate(size, 0);
}
void* operator new[](size_t size, const nothrow_t&) noexcept {
    return try_allocate(size, 0);
}
void* operator new(size_t size, align_val_t to, const nothrow_t&) noexcept {
    return try_allocate(size, static_cast<size_t>(to));
}
void* operator new[](size_t size, align_val_t to, const nothrow_t&) noexcept {
    return try_allocate(size, static_cast<size_t>(to));
}
void operator delete(void* at) noexcept {
    std::free(at);
}
void operator delete[](void* at) noexcept {
    std::free(at);
}
void operator delete(void* at, size_t) noexcept {
    std::free(at);
}
void operator delete[](void* at, size_t) noexcept {
    std::free(at);
}
void operator delete(void* at, align_val_t) noexcept {
    std::free(at);
}
void operator delete[](void* at, align_val_t) noexcept {
    std::free(at);
}
void operator delete(void* at, size_t, align_val_t) noexcept {
    std::free(at);
}
void operator delete[](void* at, size_t, align_val_t) noexcept {
    std::free(at);
}
void operator delete(void* at, const nothrow_t&) noexcept {
    std::free(at);
}
void operator delete[](void* at, const nothrow_t&) noexcept {
    std::free(at);
}
void operator delete(void* at, align_val_t, const nothrow_t&) noexcept {
    std::free(at);
}
void operator delete[](void* at, align_val_t, const nothrow_t&) noexcept {
    std::free(at);
}
