// Any text as a file's name or a segment size: what is accepted prints as the same text again, so
// that no two names mean one file, and holds no character that could make it a path.
//
// The first byte chooses the segment size.
#include <walwire/wal/segment.hpp>

#include <cstdint>
#include <string>
#include <string_view>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::wal;

namespace {

void look_at_segment(std::string_view text, segment_size size) {
    const auto file = parse_segment_name(text, size);
    if (!file) {
        check(file.code() == errc::name_invalid, "one reason");
        return;
    }
    const file_name name = segment_name(*file, size);
    check(std::string_view(name) == text, "a segment's name prints as itself");
    check(std::string_view(name.c_str()) == text, "as a C string too");
    check(file->timeline.valid(), "its timeline is one");
    check(text.find('/') == text.npos && text.find("..") == text.npos, "it is no path");
    const lsn start = start_of(file->number, size);
    check(containing(start, size) == file->number, "its first byte lies in it");
    check(containing({start.value + (size.value() - 1)}, size) == file->number, "and its last");
    check(containing_end({start.value + (size.value() - 1)}, size) == file->number,
          "and so does an end before that");
    check(segment_start({start.value + size.value() / 3}, size) == start,
          "it starts where it does");
    // Another size reads another place from it, or refuses it, but never prints it otherwise.
    for (std::uint64_t other = segment_size::smallest; other <= segment_size::largest; other *= 2) {
        const auto seen = parse_segment_name(text, *segment_size::of(other));
        if (seen)
            check(std::string_view(segment_name(*seen, *segment_size::of(other))) == text,
                  "whatever the size");
    }
}

void look_at_history(std::string_view text) {
    const auto timeline = parse_history_name(text);
    if (!timeline) return;
    check(timeline->valid(), "its timeline is one");
    check(std::string_view(history_name(*timeline)) == text, "a history's name prints as itself");
}

void look_at_size(std::string_view text) {
    const auto size = segment_size::parse(text);
    if (!size) {
        check(size.code() == errc::segment_size_invalid, "one reason");
        return;
    }
    const auto same = segment_size::of(size->value());
    check(same && *same == *size, "it is a valid size");
    const auto again = segment_size::parse(std::to_string(size->value()));
    check(again && *again == *size, "in bytes it is the same");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const unsigned choice = size == 0 ? 4 : data[0] % 11u;
    const segment_size chosen = *segment_size::of(std::uint64_t{segment_size::smallest} << choice);
    const std::string_view text(reinterpret_cast<const char*>(data) + (size != 0 ? 1 : 0),
                                size != 0 ? size - 1 : 0);
    look_at_segment(text, chosen);
    look_at_history(text);
    look_at_size(text);
    return 0;
}
