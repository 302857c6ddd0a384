#include <walwire/wal/history.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/guard.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace walwire;
using namespace walwire::wal;

namespace {

std::vector<history_entry> entries_of(const history& past) {
    std::vector<history_entry> entries;
    past.each([&](const history_entry& entry) { entries.push_back(entry); });
    return entries;
}

history parsed(std::string_view text, std::uint32_t own) {
    const auto made = history::parse(text, {own});
    REQUIRE(made);
    return *made;
}

std::string written(const history& parent, lsn switch_point, std::string_view reason,
                    dialect spoken = dialect::postgres) {
    std::array<std::byte, 4096> room;
    writer out(room);
    REQUIRE(put_history(out, parent, switch_point, reason, spoken) == errc::none);
    return std::string(as_text(out.written()));
}

constexpr std::string_view three = "1\t0/1000\tfirst\n\n2\t0/2000\tsecond\n\n3\t0/3000\tthird\n";

static_assert(history::parse(three, {4})->timeline_at(lsn{0x2000}).value == 3);
static_assert(history().objection({1}, lsn{5}) == errc::none);

} // namespace

TEST_CASE("a history that a server sent is read") {
    // TIMELINE_HISTORY 2 of PostgreSQL 18.4.
    const history past = parsed("1\t0/2309AD0\tno recovery target specified\n", 2);
    const auto entries = entries_of(past);
    REQUIRE(entries.size() == 1);
    CHECK(entries[0] == history_entry{{1}, lsn{0x2309AD0}, "no recovery target specified"});
    CHECK(past.timeline() == timeline_id{2});
    CHECK(past.switch_point({1}) == lsn{0x2309AD0});
    CHECK(past.next_after({1}) == timeline_id{2});
}

TEST_CASE("an empty text is the history of a timeline without ancestors") {
    for (const std::string_view text : {"", "\n", "# nothing\n", " \t\r\n\n"}) {
        const history past = parsed(text, 7);
        CHECK(entries_of(past).empty());
        CHECK(past.timeline_at(lsn{0}) == timeline_id{7});
        CHECK(past.timeline_at(lsn{UINT64_MAX}) == timeline_id{7});
        CHECK(past.contains({7}));
        CHECK(!past.contains({1}));
        CHECK(past.objection({7}, lsn{1}) == errc::none);
        CHECK(past.objection({1}, lsn{1}) == errc::timeline_diverged);
    }
    CHECK(history().timeline() == timeline_id{1});
    CHECK(history().text().empty());
}

TEST_CASE("lines are read as PostgreSQL reads them") {
    // Each of these was offered to a PostgreSQL 15 server, which took it for timeline 1 left at
    // 0/B000A0.
    const std::pair<std::string_view, std::string_view> lines[] = {
        {"1\t0/B000A0\tx\n", "x"},
        {"1\t0/B000A0\tx\r\n", "x"},
        {"\r\n1\t0/B000A0\tx\r\n\r\n", "x"},
        {"1   0/B000A0   x\n", "x"},
        {"  \t1\t0/B000A0\tx\n", "x"},
        {"   # hi\n1\t0/B000A0\tx\n", "x"},
        {"#1\t0/1\tno\n1\t0/B000A0\tx y # z\n", "x y # z"},
        {"1\t0/B000A0\n", ""},
        {"1\t0/B000A0", ""},
        {"1\t0/B000A0\t\n", ""},
        {"1\t0/b000a0\tx\n", "x"},
        {"\f1\v0/B000A0 x\n", "x"},
        {"1\t00000000/00B000A0\tx", "x"},
    };
    for (const auto& each : lines) {
        CAPTURE(each.first);
        const auto entries = entries_of(parsed(each.first, 2));
        REQUIRE(entries.size() == 1);
        CHECK(entries[0] == history_entry{{1}, lsn{0xB000A0}, each.second});
    }
}

TEST_CASE("a long reason is read whole") {
    // PostgreSQL would take what follows its line buffer for another line.
    const std::string reason(5000, 'x');
    const std::string text = "1\t0/10\t" + reason + "\n";
    CHECK(entries_of(parsed(text, 2))[0].reason == reason);
}

TEST_CASE("what is no entry is refused with its place") {
    const std::string_view before = "# a comment\n\n1\t0/1000\tfine\n";
    using namespace std::string_view_literals;
    for (const std::string_view line : {"2"sv,
                                        "2\t"sv,
                                        "x\t0/2000\tx"sv,
                                        "2\tx"sv,
                                        "2\t0\tx"sv,
                                        "2\t/2000\tx"sv,
                                        "2\t0/\tx"sv,
                                        "2\t0/2000zzz\tx"sv,
                                        "2\t0/1FFFFFFFF\tx"sv,
                                        "-2\t0/2000\tx"sv,
                                        "+2\t0/2000\tx"sv,
                                        "2#0/2000"sv,
                                        "2\t0x0/0x2000"sv,
                                        "2\t0/ 2000\tx"sv,
                                        "4294967298\t0/2000\tx"sv,
                                        "0\t0/2000\tx"sv,
                                        "2\t0/0\tx"sv,
                                        "2\t0/2000\tx\0y"sv,
                                        "\0"sv,
                                        "2,0/2000,x"sv,
                                        "\xEF\xBB\xBF"
                                        "2\t0/2000\tx"sv}) {
        CAPTURE(line);
        for (const std::string_view after : {"", "\n", "\n3\t0/3000\tx\n"}) {
            const std::string text = std::string(before) + std::string(line) + std::string(after);
            CHECK(find_flaw(text, {9}) == history_flaw{errc::history_invalid, 4, before.size()});
            CHECK(history::parse(text, {9}).code() == errc::history_invalid);
        }
    }
}

TEST_CASE("timelines must come in order and before their own") {
    CHECK(find_flaw("1\t0/10\n1\t0/20\n", {5}) == history_flaw{errc::history_invalid, 2, 7});
    CHECK(find_flaw("2\t0/10\n1\t0/20\n", {5}) == history_flaw{errc::history_invalid, 2, 7});
    CHECK(find_flaw("5\t0/10\n", {5}) == history_flaw{errc::history_invalid, 1, 0});
    CHECK(find_flaw("1\t0/10\n6\t0/20\n", {5}) == history_flaw{errc::history_invalid, 2, 7});
    CHECK(find_flaw("1\t0/10\n", {1}) == history_flaw{errc::history_invalid, 1, 0});
    CHECK(find_flaw("1\t0/10\n4\t0/20\n", {5}) == history_flaw{});
    CHECK(find_flaw("4294967294\t0/10\n", {4294967295}) == history_flaw{});
}

TEST_CASE("a timeline 0 has no history") {
    CHECK(find_flaw("", {0}).code == errc::timeline_invalid);
    CHECK(history::parse("", {0}).code() == errc::timeline_invalid);
}

TEST_CASE("a text above the limit is not looked at") {
    std::string text(history_size_max, '\n');
    CHECK(find_flaw(text, {2}) == history_flaw{});
    text += '\n';
    CHECK(find_flaw(text, {2}) == history_flaw{errc::message_too_large, 0, history_size_max});
    CHECK(history::parse(text, {2}).code() == errc::message_too_large);
}

TEST_CASE("a timeline covers the log from where its parent was left to where it was left") {
    const history past = parsed(three, 4);
    CHECK(past.timeline_at(lsn{0}) == timeline_id{1});
    CHECK(past.timeline_at(lsn{0xFFF}) == timeline_id{1});
    CHECK(past.timeline_at(lsn{0x1000}) == timeline_id{2});
    CHECK(past.timeline_at(lsn{0x1FFF}) == timeline_id{2});
    CHECK(past.timeline_at(lsn{0x2000}) == timeline_id{3});
    CHECK(past.timeline_at(lsn{0x2FFF}) == timeline_id{3});
    CHECK(past.timeline_at(lsn{0x3000}) == timeline_id{4});
    CHECK(past.timeline_at(lsn{UINT64_MAX}) == timeline_id{4});
}

TEST_CASE("each ancestor has its switch point and its successor, nobody else has") {
    const history past = parsed("1\t0/1000\tx\n3\t0/2000\tx\n", 6);
    CHECK(past.switch_point({1}) == lsn{0x1000});
    CHECK(past.switch_point({3}) == lsn{0x2000});
    CHECK(past.next_after({1}) == timeline_id{3});
    CHECK(past.next_after({3}) == timeline_id{6});
    for (const std::uint32_t other : {0u, 2u, 4u, 5u, 6u, 7u}) {
        CHECK(!past.switch_point({other}));
        CHECK(!past.next_after({other}).valid());
        CHECK(past.contains({other}) == (other == 6));
    }
    CHECK(past.contains({1}));
    CHECK(past.contains({3}));
}

TEST_CASE("a log goes on along a history only if it is part of it") {
    const history past = parsed("1\t0/1000\tx\n3\t0/2000\tx\n", 6);
    CHECK(past.objection({1}, lsn{0}) == errc::none);
    CHECK(past.objection({1}, lsn{0x1000}) == errc::none); // has all of it and no more
    CHECK(past.objection({1}, lsn{0x1001}) == errc::timeline_diverged);
    CHECK(past.objection({2}, lsn{0x10}) == errc::timeline_diverged); // a branch never taken
    CHECK(past.objection({3}, lsn{0x2000}) == errc::none);
    CHECK(past.objection({3}, lsn{0x2001}) == errc::timeline_diverged);
    CHECK(past.objection({3}, lsn{0x500}) == errc::none); // from the start of a shared segment
    CHECK(past.objection({5}, lsn{0x10}) == errc::timeline_diverged);
    CHECK(past.objection({6}, lsn{UINT64_MAX}) == errc::none);
    CHECK(past.objection({7}, lsn{0x10}) == errc::timeline_behind);
    CHECK(past.objection({0}, lsn{0x10}) == errc::timeline_diverged);
}

TEST_CASE("a switch point that runs backwards overrules the ones before it") {
    // Written by PostgreSQL 15: recovery_target_timeline was the latest (2, forked at 0/B000A0) and
    // recovery_target_lsn was 0/800028, before the fork.
    const history past = parsed("1\t0/B000A0\tno recovery target specified\n\n"
                                "2\t0/800E20\tafter LSN 0/800028\n\n",
                                3);
    const auto entries = entries_of(past);
    REQUIRE(entries.size() == 2);
    CHECK(entries[0].switch_point == lsn{0xB000A0}); // as it stands in the text
    CHECK(past.switch_point({1}) == lsn{0x800E20});  // as it happened
    CHECK(past.switch_point({2}) == lsn{0x800E20});
    CHECK(past.timeline_at(lsn{0x800E1F}) == timeline_id{1});
    CHECK(past.timeline_at(lsn{0x800E20}) == timeline_id{3});
    CHECK(past.timeline_at(lsn{0xB000A0}) == timeline_id{3});
    CHECK(past.objection({1}, lsn{0x800E20}) == errc::none);
    CHECK(past.objection({1}, lsn{0x900000}) == errc::timeline_diverged);
    CHECK(past.objection({2}, lsn{0xB000A0}) == errc::timeline_diverged);
}

TEST_CASE("lookups agree with a naive reading of random histories") {
    support::prng random(30);
    for (int round = 0; round < 500; ++round) {
        std::string text;
        std::vector<history_entry> lines;
        std::uint32_t last = 0;
        for (std::uint64_t i = random.below(6); i != 0; --i) {
            last += static_cast<std::uint32_t>(random.between(1, 3));
            lines.push_back({{last}, lsn{random.between(1, 40)}, {}});
            text += std::to_string(last) + "\t" +
                    std::string(std::string_view(to_text(lines.back().switch_point))) + "\tx\n";
        }
        const std::uint32_t own = last + static_cast<std::uint32_t>(random.between(1, 3));
        const history past = parsed(text, own);
        // Who holds each byte: the first timeline writes all of them, then each next one overwrites
        // what lies behind its beginning.
        std::array<std::uint32_t, 60> holder{};
        holder.fill(lines.empty() ? own : lines[0].timeline.value);
        for (std::size_t i = 0; i < lines.size(); ++i) {
            const std::uint32_t next = i + 1 < lines.size() ? lines[i + 1].timeline.value : own;
            for (std::uint64_t at = lines[i].switch_point.value; at < holder.size(); ++at)
                holder[at] = next;
        }
        for (std::size_t at = 0; at < holder.size(); ++at)
            CHECK(past.timeline_at(lsn{at}).value == holder[at]);
        // A log on an ancestor is part of the history up to the first byte that somebody later
        // overwrote.
        for (const history_entry& line : lines) {
            std::uint64_t end = 0;
            while (end < holder.size() && holder[end] <= line.timeline.value) ++end;
            CHECK(past.switch_point(line.timeline) == lsn{end});
            CHECK(past.objection(line.timeline, lsn{end}) == errc::none);
            CHECK(past.objection(line.timeline, lsn{end + 1}) == errc::timeline_diverged);
        }
        // Following next_after from the oldest visits every line and ends at its own timeline.
        timeline_id at = lines.empty() ? timeline_id{own} : lines[0].timeline;
        std::size_t steps = 0;
        for (; at != timeline_id{own}; ++steps) at = past.next_after(at);
        CHECK(steps == lines.size());
    }
}

TEST_CASE("in AionDB's dialect a promotion writes AionDB's positions, and both forms are read") {
    const std::string first = written(history(), lsn{10}, "x", dialect::aiondb);
    CHECK(first == "1\t0/0000000A\tx\n");
    CHECK(parsed(first, 2).switch_point({1}) == lsn{10});
    const std::string second =
        written(parsed(first, 2), lsn{0xABCDEF01'00000002}, "y", dialect::aiondb);
    CHECK(second == first + "\n2\tABCDEF01/00000002\ty\n");
    const std::string mixed = written(parsed(second, 3), lsn{0xABCDEF01'00000003}, "z");
    CHECK(mixed.ends_with("3\tABCDEF01/3\tz\n"));
    const history all = parsed(mixed, 4);
    CHECK(all.switch_point({1}) == lsn{10});
    CHECK(all.switch_point({2}) == lsn{0xABCDEF01'00000002});
    CHECK(all.switch_point({3}) == lsn{0xABCDEF01'00000003});
}

TEST_CASE("a promotion writes what PostgreSQL writes") {
    const std::string second = written(history(), lsn{0xB000A0}, "no recovery target specified");
    CHECK(second == "1\t0/B000A0\tno recovery target specified\n");
    const std::string third = written(parsed(second, 2), lsn{0x100800E20}, "before 2000-01-01");
    CHECK(third == "1\t0/B000A0\tno recovery target specified\n\n2\t1/800E20\tbefore 2000-01-01\n");
    const history last = parsed("", 4294967295);
    CHECK(written(last, lsn{UINT64_MAX}, "") == "4294967295\tFFFFFFFF/FFFFFFFF\t\n");
}

TEST_CASE("a parent's text is kept as it is, and what is written can be read") {
    for (const std::string_view text :
         {"", "# c\r\n1 0/10 old", "\n\n1\t0/10\told\n\n\n", "1\t0/10", "# only a comment"}) {
        CAPTURE(text);
        const history parent = parsed(text, 4);
        const std::string child = written(parent, lsn{0x20}, "new");
        CHECK(child.starts_with(text));
        auto expected = entries_of(parent);
        expected.push_back({{4}, lsn{0x20}, "new"});
        CHECK(entries_of(parsed(child, 5)) == expected);
    }
}

TEST_CASE("decode, encode, decode is a fixpoint") {
    const history past = parsed(three, 4);
    std::string text;
    for (const history_entry& entry : entries_of(past)) {
        const history parent = parsed(text, entry.timeline.value);
        text = written(parent, entry.switch_point, entry.reason);
    }
    CHECK(text == three);
}

TEST_CASE("a line that would not be one is not written") {
    std::array<std::byte, 2048> room;
    const auto refused = [&](lsn at, std::string_view reason) {
        writer out(room);
        const errc code = put_history(out, history(), at, reason);
        CHECK(out.size() == 0);
        CHECK(out.ok());
        return code;
    };
    CHECK(refused(lsn{0}, "x") == errc::argument_invalid);
    CHECK(refused(lsn{1}, "x\ny") == errc::argument_invalid);
    CHECK(refused(lsn{1}, std::string_view("x\0y", 3)) == errc::argument_has_nul);
    CHECK(refused(lsn{1}, std::string(history_reason_size_max + 1, 'x')) ==
          errc::argument_too_long);
    writer out(room);
    CHECK(put_history(out, history(), lsn{1}, std::string(history_reason_size_max, 'x')) ==
          errc::none);
    CHECK(out.size() < 1024); // PostgreSQL's line buffer
}

TEST_CASE("a history grows up to its limit and no further") {
    const std::string text(history_size_max - 32 - 1, '\n');
    std::vector<std::byte> room(history_size_max + 100);
    writer out(room);
    CHECK(put_history(out, parsed(text, 4294967295), lsn{UINT64_MAX}, "x") == errc::none);
    CHECK(out.size() <= history_size_max);
    writer more(room);
    CHECK(put_history(more, parsed(text, 4294967295), lsn{UINT64_MAX}, "xy") ==
          errc::argument_too_long);
    CHECK(more.size() == 0);
}

TEST_CASE("a room that is too small is reported at every size") {
    const history parent = parsed(three, 4);
    const std::string whole = written(parent, lsn{0x4000}, "fourth");
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        const support::guarded room(size);
        writer out(room.span());
        const errc code = put_history(out, parent, lsn{0x4000}, "fourth");
        CHECK(code == (size == whole.size() ? errc::none : errc::argument_too_long));
        CHECK(out.ok() == (size == whole.size()));
    }
}

TEST_CASE("a history truncated anywhere is shorter or refused at its last line") {
    for (std::size_t size = 0; size <= three.size(); ++size) {
        const support::guarded room(as_bytes(three.substr(0, size)));
        const std::string_view text = as_text(room.span());
        const history_flaw flaw = find_flaw(text, {4});
        if (flaw.code == errc::none) {
            CHECK(entries_of(parsed(text, 4)).size() <= 3);
            continue;
        }
        CHECK(flaw.code == errc::history_invalid);
        CHECK(text.find('\n', flaw.offset) == std::string_view::npos);
        CHECK(flaw.line == 1 + std::count(text.begin(), text.end(), '\n'));
    }
}

TEST_CASE("a history with any byte changed is read or refused within its text") {
    std::size_t refused = 0;
    for (std::size_t at = 0; at < three.size(); ++at) {
        for (int byte = 0; byte < 256; ++byte) {
            std::string text(three);
            text[at] = static_cast<char>(byte);
            const history_flaw flaw = find_flaw(text, {4});
            if (flaw.code == errc::none) {
                CHECK(entries_of(parsed(text, 4)).size() <= 4);
                continue;
            }
            ++refused;
            CHECK(flaw.offset < text.size());
            CHECK(flaw.line >= 1);
            CHECK((flaw.offset == 0 || text[flaw.offset - 1] == '\n'));
        }
    }
    CHECK(refused > 1000);
}

TEST_CASE("nothing about a history allocates") {
    std::array<std::byte, 512> room;
    support::allocations made;
    const auto past = history::parse(three, {4});
    writer out(room);
    const bool all = past && put_history(out, *past, lsn{0x5000}, "x") == errc::none &&
                     past->objection({2}, lsn{1}) == errc::none && past->contains({3}) &&
                     past->timeline_at(lsn{1}).valid();
    CHECK(made.count() == 0);
    CHECK(all);
}
