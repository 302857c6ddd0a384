// Bytes on their way in one direction, between what wrote them and what will read them.
//
// They leave at the front in pieces of any size. What left is dropped only when it is more than
// what stays, so that a megabyte read in small pieces is not moved once for each of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include <walwire/bytes.hpp>

namespace support {

class wire_buffer {
  public:
    void push(walwire::bytes data) { data_.insert(data_.end(), data.begin(), data.end()); }
    // The next piece, at most `most` of it, in memory of its own.
    std::vector<std::byte> pull(std::size_t most) {
        const walwire::bytes next = walwire::bytes(data_).subspan(taken_, std::min(most, size()));
        std::vector<std::byte> piece(next.begin(), next.end());
        taken_ += piece.size();
        if (taken_ > data_.size() / 2) {
            data_.erase(data_.begin(), data_.begin() + static_cast<long>(taken_));
            taken_ = 0;
        }
        return piece;
    }
    bool empty() const { return size() == 0; }
    std::size_t size() const { return data_.size() - taken_; }
    void clear() {
        data_.clear();
        taken_ = 0;
    }

  private:
    std::vector<std::byte> data_;
    std::size_t taken_ = 0;
};

} // namespace support
