// A log that nobody writes: the bytes at every position of every timeline, computed.
//
// Timelines share what lies before the point where they parted, and differ behind it, so that a
// replica which followed the wrong one, or the right one from the wrong place, is found out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <walwire/bytes.hpp>
#include <walwire/lsn.hpp>
#include <walwire/primary/wal_sender.hpp>

namespace posix {

class demo_log {
  public:
    using lsn = walwire::lsn;
    using timeline_id = walwire::timeline_id;

    demo_log(std::uint64_t seed, lsn start) : seed_(seed), end_(start) {}

    lsn end() const noexcept { return end_; }
    timeline_id timeline() const noexcept {
        return {static_cast<std::uint32_t>(parted_.size() + 1)};
    }

    void grow(std::uint64_t size) noexcept { end_ = end_ + size; }

    // The current timeline ends here and another begins.
    void promote() { parted_.push_back(end_); }

    // Where a timeline ended; the end of the log for the current one.
    lsn end_of(timeline_id timeline) const noexcept {
        return timeline < this->timeline() ? parted_[timeline.value - 1] : end_;
    }

    walwire::primary::served_timeline served(timeline_id timeline) const noexcept {
        if (timeline == this->timeline()) return {timeline, end_, {}, {}};
        return {timeline, end_of(timeline), {timeline.value + 1}, end_of(timeline)};
    }

    // The file that says so, of a timeline other than the first.
    std::string history(timeline_id timeline) const {
        std::string text;
        for (std::uint32_t each = 1; each < timeline.value; ++each) {
            text += std::to_string(each) + '\t' +
                    std::string(std::string_view(to_text(parted_[each - 1]))) +
                    "\tno recovery target specified\n";
        }
        return text;
    }

    // The log from `at` on, which is a multiple of 8, as `timeline` has it.
    void fill(lsn at, timeline_id timeline, walwire::mutable_bytes out) const noexcept {
        for (std::size_t i = 0; i < out.size(); i += sizeof(std::uint64_t)) {
            const std::uint64_t word = word_at(at + i, timeline);
            std::memcpy(out.data() + i, &word, std::min(sizeof word, out.size() - i));
        }
    }

  private:
    std::uint64_t word_at(lsn at, timeline_id timeline) const noexcept {
        std::uint64_t written_on = 1;
        while (written_on < timeline.value && at >= parted_[written_on - 1]) ++written_on;
        std::uint64_t mixed = (at.value + seed_ + (written_on << 56)) * 0x9e3779b97f4a7c15;
        mixed ^= mixed >> 32;
        mixed *= 0xd6e8feb86659fd93;
        return mixed ^ (mixed >> 32);
    }

    std::uint64_t seed_;
    lsn end_;
    std::vector<lsn> parted_; // where each timeline but the current one ended
};

} // namespace posix
