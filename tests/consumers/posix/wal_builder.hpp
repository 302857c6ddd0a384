// WAL as a server writes it, for tests: pages, records of any size, switches and crashes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include <walwire/wal/crc32c.hpp>

#include "wal_scan.hpp"

namespace posix_test {

class wal_builder {
  public:
    static constexpr std::uint16_t magic = 0xd110;
    static constexpr std::uint64_t system_identifier = 7'000'000'000'000'000'001;
    static constexpr std::uint32_t segment_size = 1u << 20;

    // The log begins with a segment, as if nothing had been written before.
    explicit wal_builder(std::uint64_t first_segment = 1, std::uint32_t timeline = 1)
        : start_{first_segment * segment_size}, timeline_(timeline) {}

    // Appends a record of this size in all; gives the position behind it.
    walwire::lsn add(std::size_t size, std::uint8_t manager = 10, std::uint8_t info = 0) {
        const std::vector<std::byte> record = make(size, manager, info);
        write(record, record.size());
        return align();
    }
    // The beginning of a record that is never finished: a crash. What follows overwrites it.
    void crash(std::size_t size, std::size_t written) {
        const walwire::lsn before = last_;
        const std::vector<std::byte> record = make(size, 10, 0);
        write({record.data(), written}, size);
        last_ = before;
        while (log_.size() % posix::wal_page_size != 0) log_.push_back(std::byte{0});
        overwriting_ = true;
    }
    // Ends the segment early.
    void switch_segment() {
        add(24, 0, 0x40);
        while (log_.size() % segment_size != 0) log_.push_back(std::byte{0});
    }

    walwire::lsn start() const { return start_; }
    walwire::lsn end() const { return start_ + log_.size(); }
    walwire::lsn last() const { return last_; }         // where the last record begins
    walwire::lsn unpadded() const { return unpadded_; } // where it ends, without padding
    std::byte& at(walwire::lsn where) { return log_[static_cast<std::size_t>(where - start_)]; }

    // A segment as it would stand in a file: zeros where nothing was written. `upto` hides the
    // rest.
    std::vector<std::byte> segment(std::uint64_t number, walwire::lsn upto = {UINT64_MAX}) const {
        std::vector<std::byte> made(segment_size);
        const std::uint64_t from = number * segment_size;
        const std::uint64_t to = std::min({from + segment_size, end().value, upto.value});
        if (from >= start_.value && from < to)
            std::memcpy(made.data(), log_.data() + (from - start_.value),
                        static_cast<std::size_t>(to - from));
        return made;
    }

  private:
    template <class Number>
    static void put(std::vector<std::byte>& into, Number value) {
        const std::size_t at = into.size();
        into.resize(at + sizeof value);
        std::memcpy(into.data() + at, &value, sizeof value);
    }

    std::vector<std::byte> make(std::size_t size, std::uint8_t manager, std::uint8_t info) {
        if (log_.size() % posix::wal_page_size == 0) begin_page(0);
        std::vector<std::byte> record;
        put(record, static_cast<std::uint32_t>(size));
        put(record, std::uint32_t{700});
        put(record, last_.value);
        put(record, info);
        put(record, manager);
        put(record, std::uint16_t{0});
        record.resize(size);
        for (std::size_t i = 24; i < size; ++i)
            record[i] = static_cast<std::byte>(i * 7 + end().value / 8);
        walwire::wal::crc32c sum;
        sum.update(walwire::bytes(record).subspan(24)).update(walwire::bytes(record).first(20));
        const std::uint32_t crc = sum.value();
        std::memcpy(record.data() + 20, &crc, sizeof crc);
        last_ = end();
        return record;
    }

    void write(walwire::bytes data, std::size_t left) {
        while (!data.empty()) {
            if (log_.size() % posix::wal_page_size == 0) begin_page(left);
            const std::size_t room = posix::wal_page_size - log_.size() % posix::wal_page_size;
            const walwire::bytes part = data.first(std::min(room, data.size()));
            log_.insert(log_.end(), part.begin(), part.end());
            data = data.subspan(part.size());
            left -= part.size();
        }
    }

    void begin_page(std::size_t left) {
        const bool first = end().value % segment_size == 0;
        const std::uint64_t address = end().value;
        put(log_, magic);
        put(log_, static_cast<std::uint16_t>((left > 0 ? 1 : 0) | (first ? 2 : 0) |
                                             (overwriting_ ? 8 : 0)));
        put(log_, timeline_);
        put(log_, address);
        put(log_, static_cast<std::uint32_t>(left));
        put(log_, std::uint32_t{0});
        overwriting_ = false;
        if (!first) return;
        put(log_, system_identifier);
        put(log_, segment_size);
        put(log_, posix::wal_page_size);
    }

    walwire::lsn align() {
        unpadded_ = end();
        while (log_.size() % 8 != 0) log_.push_back(std::byte{0});
        return end();
    }

    walwire::lsn start_;
    std::uint32_t timeline_;
    walwire::lsn last_;
    walwire::lsn unpadded_;
    std::vector<std::byte> log_;
    bool overwriting_ = false;
};

} // namespace posix_test
