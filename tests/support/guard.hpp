// A buffer whose first byte past the end cannot be touched.
//
// It ends exactly at an inaccessible page, so that one byte too many is a segmentation fault in
// every build, not only under a sanitizer, and also when optimised code reads in words or vectors.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <new>
#include <span>

namespace support {

class guarded {
  public:
    explicit guarded(std::size_t size) : size_(size) {
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        usable_ = (size + page - 1) / page * page;
        mapped_ = usable_ + page;
        void* at =
            ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) throw std::bad_alloc();
        base_ = static_cast<std::byte*>(at);
        if (::mprotect(base_ + usable_, page, PROT_NONE) != 0) {
            ::munmap(base_, mapped_);
            throw std::bad_alloc();
        }
    }
    explicit guarded(std::span<const std::byte> content) : guarded(content.size()) {
        if (!content.empty()) std::memcpy(data(), content.data(), content.size());
    }
    ~guarded() { ::munmap(base_, mapped_); }
    guarded(const guarded&) = delete;
    guarded& operator=(const guarded&) = delete;

    std::byte* data() const noexcept { return base_ + (usable_ - size_); }
    std::size_t size() const noexcept { return size_; }
    std::span<std::byte> span() const noexcept { return {data(), size_}; }
    operator std::span<const std::byte>() const noexcept { return span(); }

    // The last `size` bytes, which end at the inaccessible page too.
    std::span<std::byte> last(std::size_t size) const noexcept { return span().last(size); }

  private:
    std::size_t size_;
    std::size_t usable_ = 0;
    std::size_t mapped_ = 0;
    std::byte* base_ = nullptr;
};

} // namespace support
