#include "backup_label.hpp"

namespace posix {

namespace {

constexpr std::string_view start_line = "START WAL LOCATION: ";
constexpr std::string_view timeline_line = "START TIMELINE: ";
constexpr std::string_view from_line = "INCREMENTAL FROM LSN: ";
constexpr std::string_view from_timeline_line = "INCREMENTAL FROM TLI: ";

// Takes the last line off if it begins so, and gives what follows.
std::optional<std::string_view> take_last(std::string_view& text, std::string_view beginning) {
    if (!text.ends_with('\n')) return std::nullopt;
    const std::string_view lines = text.substr(0, text.size() - 1);
    const std::size_t before = lines.rfind('\n') + 1; // 0 for the only line
    const std::string_view line = lines.substr(before);
    if (!line.starts_with(beginning)) return std::nullopt;
    text = text.substr(0, before);
    return line.substr(beginning.size());
}

} // namespace

std::optional<backup_label> parse_backup_label(std::string_view text) {
    backup_label made;
    if (const auto timeline = take_last(text, from_timeline_line)) {
        const auto from = take_last(text, from_line);
        const auto at = walwire::parse_lsn(from.value_or(""));
        const auto on = walwire::parse_timeline(*timeline);
        if (!at || !on) return std::nullopt;
        made.builds_on = {*at, *on};
    }
    made.full = text;
    const auto on = walwire::parse_timeline(take_last(text, timeline_line).value_or(""));
    if (!on || !text.starts_with(start_line)) return std::nullopt;
    text.remove_prefix(start_line.size());
    const auto at = walwire::parse_lsn(text.substr(0, text.find_first_of(" \n")));
    if (!at) return std::nullopt;
    made.start = {*at, *on};
    return made;
}

} // namespace posix
