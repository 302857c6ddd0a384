#include "wal_source.hpp"

#include "failure.hpp"

namespace posix {

namespace {

namespace wal = walwire::wal;
using walwire::bytes;
using walwire::lsn;
using walwire::timeline_id;

} // namespace

wal_source::wal_source(const std::string& directory) : files_(directory) {
    choose();
    if (!current_) throw failure("there is no WAL in " + quoted(directory));
}

void wal_source::refresh() {
    const bool changed = files_.refresh();
    advance(*current_, changed);
    if (changed) look_for_next();
    if (!next_) return;
    advance(*next_, changed);
    if (next_->newest && next_->end >= next_->began) current_ = std::move(next_);
}

// At the start: the newest timeline that came to where it began, or just the newest.
void wal_source::choose() {
    std::unique_ptr<branch> newest;
    const auto& all = files_.timelines();
    for (auto each = all.rbegin(); each != all.rend(); ++each) {
        auto made = make_branch({each->first}, true);
        if (!made) continue;
        advance(*made, true);
        if (!made->newest) continue;
        const bool arrived = made->end >= made->began;
        if (!newest) {
            newest = std::move(made);
            if (arrived) break;
        } else if (arrived && newest->past.contains(made->past.timeline())) {
            current_ = std::move(made);
            next_ = std::move(newest);
            return;
        }
    }
    current_ = std::move(newest);
}

void wal_source::look_for_next() {
    const auto& all = files_.timelines();
    const timeline_id known = next_ ? next_->past.timeline() : timeline();
    if (all.empty() || all.rbegin()->first <= known.value) return;
    if (auto made = make_branch({all.rbegin()->first}, false)) next_ = std::move(made);
}

// Null if its history is unreadable or, unless `lenient`, missing.
std::unique_ptr<wal_source::branch> wal_source::make_branch(timeline_id timeline, bool lenient) {
    auto made = std::make_unique<branch>(cluster(), nullptr);
    branch* const at = made.get(); // it stays where it is
    made->scan = record_scan(cluster(), [this, at](number which) { return look(*at, which); });
    const auto text = timeline.value == 1 ? std::string() : files_.history(timeline);
    if (!text && !lenient) return nullptr;
    made->text = text.value_or(std::string());
    const auto parsed = wal::history::parse(made->text, timeline);
    if (!parsed) return nullptr;
    made->past = *parsed;
    made->past.each([&](const wal::history_entry& entry) { made->began = entry.switch_point; });
    return made;
}

std::optional<walwire::primary::served_timeline> wal_source::find(timeline_id timeline) const {
    const timeline_id own = this->timeline();
    if (!timeline.valid() || timeline == own)
        return walwire::primary::served_timeline{own, end(), {}, {}};
    const auto left_at = current_->past.switch_point(timeline);
    if (!left_at) return std::nullopt;
    return walwire::primary::served_timeline{timeline, *left_at,
                                             current_->past.next_after(timeline), *left_at};
}

std::optional<wal_run> wal_source::read(lsn from, lsn limit) {
    const wal::segment_size size = cluster().size;
    held_segment held = open(*current_, containing(from, size));
    if (!held) return std::nullopt;
    const std::size_t part = size_in_segment(from, limit - from, size);
    const bytes run = held->content().subspan(offset_in_segment(from, size), part);
    return wal_run{std::move(held), run};
}

// The newest file of a segment that this history has. Of a timeline that was left only whole ones
// count: its last segment is never finished, and the next timeline has it, too.
held_segment wal_source::open(const branch& of, number at) {
    const wal::segment_size size = cluster().size;
    const lsn first = start_of(at, size);
    const timeline_id oldest = of.past.timeline_at(first);
    const timeline_id newest = of.past.timeline_at(first + (size.value() - 1));
    const auto& all = files_.timelines();
    for (auto each = all.rbegin(); each != all.rend(); ++each) {
        const timeline_id timeline{each->first};
        if (timeline > newest || timeline < oldest || !of.past.contains(timeline)) continue;
        const auto whole = files_.find(timeline, at);
        if (!whole || (!*whole && timeline != of.past.timeline())) continue;
        if (held_segment held = files_.open(timeline, at)) return held;
    }
    return nullptr;
}

// What the scan reads; it goes through a segment page by page.
bytes wal_source::look(branch& of, number at) {
    if (!of.scanned || of.scanned_number != at.value) {
        of.scanned = open(of, at);
        of.scanned_number = at.value;
    }
    return of.scanned ? of.scanned->content() : bytes();
}

void wal_source::advance(branch& of, bool changed) {
    if (changed && of.newest) {
        if (held_segment again = files_.open(of.past.timeline(), of.newest_number))
            of.newest = std::move(again);
    }
    const bool moved = find_newest(of);
    if (!of.newest) return;
    const wal::segment_size size = cluster().size;
    const lsn start = start_of(of.newest_number, size);
    // A file that was not there may be now, or there may be a newer timeline's.
    if (moved || changed) of.scanned = nullptr;
    if (!of.placed) place(of);
    of.scan.advance();
    // Something that is no record, in a segment that is whole nevertheless: go on behind it.
    if (of.scan.next() < start && of.scan.seen() < start) {
        of.scan.begin(of.newest_number);
        of.scan.advance();
    }
    lsn end = of.scan.end() > start ? of.scan.end() : start;
    const lsn behind = start + size.value();
    const bool whole = files_.find(of.past.timeline(), of.newest_number).value_or(false);
    if (whole && (of.scan.next() >= behind || of.scan.seen() >= behind)) end = behind;
    if (end > of.end) of.end = end;
}

// The newest segment of its own timeline that is what its name says. True if that is another than
// before.
bool wal_source::find_newest(branch& of) {
    const auto found = files_.timelines().find(of.past.timeline().value);
    if (found == files_.timelines().end()) return false;
    const auto& segments = found->second;
    for (auto each = segments.rbegin(); each != segments.rend(); ++each) {
        const number at{each->first};
        if (of.newest && at.value <= of.newest_number.value) return false;
        if (held_segment held = files_.open(of.past.timeline(), at)) {
            of.newest = std::move(held);
            of.newest_number = at;
            return true;
        }
    }
    return false;
}

// Begins the scan in the newest segment, or where the record began that goes on in it: what is left
// of that one could not be checked otherwise.
void wal_source::place(branch& of) {
    number first = of.newest_number;
    const auto header = read_page(of.newest->content().first(wal_page_size),
                                  start_of(first, cluster().size), cluster());
    if (header && header->continued) {
        number before = first;
        while (before.value > 0 && open(of, {before.value - 1})) {
            --before.value;
            if (!begins_a_record(of, before)) continue;
            first = before;
            break;
        }
    }
    of.scan.begin(first);
    of.placed = true;
}

// Whether there is more in a segment than the middle of a record.
bool wal_source::begins_a_record(branch& of, number at) {
    const lsn start = start_of(at, cluster().size);
    const bytes segment = look(of, at);
    if (segment.empty()) return false;
    const auto header = read_page(segment.first(wal_page_size), start, cluster());
    return header && header->left < cluster().size.value();
}

} // namespace posix
