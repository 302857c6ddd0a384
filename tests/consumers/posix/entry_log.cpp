#include "entry_log.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "failure.hpp"

namespace posix {
namespace {

namespace aiondb = walwire::aiondb;
using aiondb::entry_lsn;

// Batches of a primary that is busy are larger than this, so a search reads one head or two.
constexpr std::uint64_t mark_interval = 64 * 1024;

} // namespace

std::uint64_t entry_log::file_size() const {
    struct stat found {};
    if (::fstat(file_, &found) != 0) fail("could not look at file " + quoted(path_), errno);
    return static_cast<std::uint64_t>(found.st_size);
}

// False where the file ends before.
bool entry_log::read_at(std::uint64_t offset, walwire::mutable_bytes into) const {
    std::size_t got = 0;
    while (got < into.size()) {
        const ssize_t size =
            ::pread(file_, into.data() + got, into.size() - got, static_cast<off_t>(offset + got));
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) fail("could not read file " + quoted(path_), errno);
        if (size == 0) return false;
        got += static_cast<std::size_t>(size);
    }
    return true;
}

// The batch that begins here, as its head says it; none if that cannot be one.
std::optional<stored_batch> entry_log::head_at(const log_place& at) const {
    std::array<std::byte, entry_head_size> head{};
    if (!read_at(at.offset, head)) return std::nullopt;
    if (head[0] != std::byte{static_cast<std::uint8_t>(aiondb::tag::batch)}) return std::nullopt;
    const auto size = walwire::load<std::uint32_t, std::endian::little>(head.data() + 1);
    if (size < 16) return std::nullopt;
    const auto parsed = aiondb::parse_batch_head(head, size - 16);
    if (!parsed || !may_follow(at.last, parsed->first, parsed->last)) return std::nullopt;
    return stored_batch{parsed->first, parsed->last, at.offset,
                        static_cast<std::uint32_t>(aiondb::message_header_size + size)};
}

entry_log::rest entry_log::scan() {
    for (;;) {
        const std::uint64_t before = file_size();
        if (before < end_.offset)
            throw failure("file " + quoted(path_) + " has become shorter than it was");
        if (before == end_.offset) return rest::none;
        if (before - end_.offset < entry_head_size) return rest::incomplete;
        const auto batch = head_at(end_);
        // Whoever writes it may have cut off what it had begun, and begun anew: the head counts
        // only where the file is long enough for it before and after.
        const std::uint64_t whole = std::min(before, file_size());
        if (whole < end_.offset + entry_head_size) return rest::incomplete;
        if (!batch) return rest::invalid;
        if (whole - end_.offset < batch->size) return rest::incomplete;
        added(*batch);
    }
}

void entry_log::added(const stored_batch& batch) {
    if (marks_.empty() || end_.offset - marks_.back().offset >= mark_interval)
        marks_.push_back(end_);
    if (!first_.valid()) first_ = batch.first;
    end_ = {batch.offset + batch.size, batch.last};
}

std::optional<stored_batch> entry_log::find(entry_lsn from, log_place& hint) const {
    if (from > end_.last) return std::nullopt;
    // The last place behind which `from` must lie.
    const auto above = std::ranges::lower_bound(marks_, from, {}, &log_place::last);
    log_place at = above == marks_.begin() ? log_place{} : *(above - 1);
    if (hint.last < from && hint.offset > at.offset) at = hint;
    while (at.offset < end_.offset) {
        const auto batch = head_at(at);
        if (!batch) throw failure("file " + quoted(path_) + " has changed behind our back");
        const log_place next{batch->offset + batch->size, batch->last};
        if (batch->last >= from) {
            hint = at;
            const auto behind =
                next.offset < end_.offset ? head_at(next) : std::optional<stored_batch>();
            if (!behind || behind->first > batch->first) return batch;
        }
        at = next;
    }
    return std::nullopt;
}

void entry_log::read(const stored_batch& batch, std::vector<std::byte>& into) const {
    into.resize(batch.size - entry_head_size);
    if (!read_at(batch.offset + entry_head_size, into))
        throw failure("file " + quoted(path_) + " has become shorter than it was");
}

} // namespace posix
