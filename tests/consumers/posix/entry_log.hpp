// A log of AionDB's entries on disk: batches as they came over the wire, one behind the other.
//
//     tag 1 | size of the payload 4 | first 8 | last 8 | entries      (aiondb/message.hpp)
//
// Each batch says where the next one begins, so the log is found out by reading heads, 21 bytes of
// each batch. It only grows. What stands behind the last whole batch is a batch on its way, or what
// a crash has left of one; it does not count.
//
// Entries are opaque here: nobody but the engine knows where in a batch one of them ends, so a
// batch is never divided. A replica goes on by asking for the last entry that it has, which then
// stands in two batches: as the last one of the earlier, and as the first one of the later. That is
// the only way in which batches may overlap, and each has to bring something new:
//
//     1..5 | 6..9 | 9..14 | 15..15 | 15..21
//                                    a reader that knows 9 skips it; 15..15 is covered whole by
//                                    the batch behind it, and find() passes over it
//
// Numbers may be left out, as an entry may count for as many as it has bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <walwire/aiondb/message.hpp>

#include "descriptor.hpp"

namespace posix {

inline constexpr std::size_t entry_head_size =
    walwire::aiondb::message_header_size + 16; // all of a batch but its entries

// A batch and where it lies: `size` bytes from `offset` on, head included.
struct stored_batch {
    walwire::aiondb::entry_lsn first;
    walwire::aiondb::entry_lsn last;
    std::uint64_t offset = 0;
    std::uint32_t size = 0;
};

// A place between two batches: behind it, everything is above `last`.
struct log_place {
    std::uint64_t offset = 0;
    walwire::aiondb::entry_lsn last;
};

class entry_log {
  public:
    // What stands behind the last whole batch.
    enum class rest : std::uint8_t { none, incomplete, invalid };

    entry_log() noexcept = default;
    // The descriptor is somebody else's and outlives the log; the path is for messages.
    entry_log(int file, std::string path) : path_(std::move(path)), file_(file) {}

    // Looks for whole batches behind those that are known. Throws failure when the file cannot be
    // read, or has become shorter than it was known to be.
    rest scan();
    // Where batches are added by ourselves, this spares looking. `bytes` are the whole batch's.
    void added(const stored_batch& batch);

    // Entries; 0: there are none.
    walwire::aiondb::entry_lsn first() const noexcept { return first_; }
    walwire::aiondb::entry_lsn last() const noexcept { return end_.last; }
    // The size of all whole batches.
    std::uint64_t size() const noexcept { return end_.offset; }

    // The first batch that holds `from` or anything above it, unless the next one covers it whole.
    // `hint` is where an earlier search ended; it moves along.
    std::optional<stored_batch> find(walwire::aiondb::entry_lsn from, log_place& hint) const;

    // The entries of a batch, in place of what was in there. Throws failure.
    void read(const stored_batch& batch, std::vector<std::byte>& into) const;

  private:
    std::optional<stored_batch> head_at(const log_place& at) const;
    std::uint64_t file_size() const;
    bool read_at(std::uint64_t offset, walwire::mutable_bytes into) const;

    std::string path_;
    int file_ = -1;
    log_place end_;
    walwire::aiondb::entry_lsn first_;
    std::vector<log_place> marks_; // one every so many bytes
};

// Whether a batch may stand behind one that ends with `last`.
constexpr bool may_follow(walwire::aiondb::entry_lsn last, walwire::aiondb::entry_lsn first,
                          walwire::aiondb::entry_lsn its_last) noexcept {
    return first.valid() && first <= its_last && first >= last && its_last > last &&
           its_last.value != UINT64_MAX;
}

} // namespace posix
