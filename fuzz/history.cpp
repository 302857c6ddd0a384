// Any text as a timeline history: what is refused is refused at a line of the text, what is
// accepted answers every question as a simple model does, and grows by a line that reads back.
//
// The first four bytes, where there are as many, are the timeline that the rest is the history of.
#include <walwire/wal/history.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::wal;

namespace {

std::vector<history_entry> entries_of(const history& past) {
    std::vector<history_entry> entries;
    past.each([&](const history_entry& entry) { entries.push_back(entry); });
    return entries;
}

void look_at_refusal(std::string_view text, const history_flaw& flaw) {
    check(flaw.code == errc::history_invalid, "only the form can be wrong here");
    check(flaw.offset < text.size(), "the offset lies in the text");
    check(flaw.offset == 0 || text[flaw.offset - 1] == '\n', "and at the start of a line");
    const auto lines = std::count(text.begin(), text.begin() + std::ptrdiff_t(flaw.offset), '\n');
    check(flaw.line == 1 + lines, "which is the one that is named");
    check(find_flaw(text.substr(0, flaw.offset), {UINT32_MAX}).code == errc::none,
          "what stands before it is right");
}

void look_at_entries(const history& past, const std::vector<history_entry>& entries) {
    timeline_id last;
    for (const history_entry& entry : entries) {
        check(entry.timeline > last && entry.timeline < past.timeline(), "timelines rise");
        check(entry.switch_point.valid(), "switch points are positions");
        check(entry.reason.find('\n') == std::string_view::npos, "a reason ends with its line");
        check(entry.reason.empty() || (entry.reason.data() >= past.text().data() &&
                                       entry.reason.data() + entry.reason.size() <=
                                           past.text().data() + past.text().size()),
              "a reason is a view of the text");
        last = entry.timeline;
    }
}

// The newest line at or below a position says who holds it.
timeline_id holder(const history& past, const std::vector<history_entry>& entries, lsn at) {
    for (std::size_t i = entries.size(); i != 0; --i) {
        if (entries[i - 1].switch_point > at) continue;
        return i == entries.size() ? past.timeline() : entries[i].timeline;
    }
    return entries.empty() ? past.timeline() : entries[0].timeline;
}

void look_at_answers(const history& past, const std::vector<history_entry>& entries) {
    check(past.contains(past.timeline()), "a timeline is in its own history");
    check(!past.contains({}), "timeline 0 is in none");
    check(past.timeline_at({UINT64_MAX}) == past.timeline(), "the log ends on it");
    const std::size_t count = std::min<std::size_t>(entries.size(), 50); // the work is quadratic
    for (std::size_t i = 0; i < count; ++i) {
        const history_entry& entry = entries[i];
        lsn left = entry.switch_point;
        for (std::size_t j = i; j < entries.size(); ++j)
            left = std::min(left, entries[j].switch_point);
        check(past.switch_point(entry.timeline) == left, "later lines overrule earlier ones");
        check(past.objection(entry.timeline, left) == errc::none, "an end is part of the history");
        if (left.value != UINT64_MAX)
            check(past.objection(entry.timeline, left + 1) == errc::timeline_diverged,
                  "and one byte more is not");
        check(past.next_after(entry.timeline) ==
                  (i + 1 < entries.size() ? entries[i + 1].timeline : past.timeline()),
              "each line leads to the next");
        for (const lsn at : {lsn{left.value - 1}, left, entry.switch_point})
            check(past.timeline_at(at) == holder(past, entries, at), "each byte has one holder");
        if (!past.contains({entry.timeline.value - 1}))
            check(!past.switch_point({entry.timeline.value - 1}), "strangers have no switch point");
    }
}

void look_at_child(const history& past, std::vector<history_entry> entries) {
    if (past.timeline().value == UINT32_MAX) return;
    const lsn at{0x16B3748};
    std::vector<std::byte> room(past.text().size() + 64);
    writer out(room);
    check(put_history(out, past, at, "before breakfast") == errc::none, "a promotion is written");
    const std::string_view text = as_text(out.written());
    check(text.starts_with(past.text()), "behind its parent's text");
    const auto child = history::parse(text, {past.timeline().value + 1});
    check(bool(child), "and reads back");
    entries.push_back({past.timeline(), at, "before breakfast"});
    check(entries_of(*child) == entries, "with one line more");
}

// Written anew, line by line, it is the same history.
void look_at_copy(const history& past, const std::vector<history_entry>& entries) {
    std::string text;
    for (const history_entry& entry : entries) {
        if (entry.reason.size() > history_reason_size_max || text.size() > 10'000) return;
        const auto parent = history::parse(text, entry.timeline);
        check(bool(parent), "a canonical history is right");
        std::vector<std::byte> room(text.size() + entry.reason.size() + 64);
        writer out(room);
        check(put_history(out, *parent, entry.switch_point, entry.reason) == errc::none,
              "what was read can be written");
        text = as_text(out.written());
    }
    const auto copy = history::parse(text, past.timeline());
    check(copy && entries_of(*copy) == entries, "and means the same");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    reader in(bytes(reinterpret_cast<const std::byte*>(data), size));
    const timeline_id own{in.u32()};
    const std::string_view text = as_text(in.rest());
    if (!own.valid() || text.size() > history_size_max) {
        check(!history::parse(text, own), "limits hold");
        return 0;
    }
    const auto past = history::parse(text, own);
    const history_flaw flaw = find_flaw(text, own);
    check(past.code() == flaw.code, "one verdict");
    if (!past) {
        look_at_refusal(text, flaw);
        return 0;
    }
    const auto entries = entries_of(*past);
    look_at_entries(*past, entries);
    look_at_answers(*past, entries);
    look_at_child(*past, entries);
    look_at_copy(*past, entries);
    return 0;
}
