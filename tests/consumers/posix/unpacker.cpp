#include "unpacker.hpp"

#include <variant>

#include "failure.hpp"

namespace posix {

namespace backup = walwire::backup;

void unpacker::eat(walwire::bytes in) {
    while (const auto told = reader_.poll(in))
        std::visit([this](const auto& event) { heard(event); }, *told);
}

void unpacker::finish() {
    reader_.finish();
    eat({});
}

void unpacker::refuse(std::string_view path, const std::string& why) const {
    throw failure("archive " + quoted(into_.archive) + " has " + quoted(path) + ", " + why);
}

void unpacker::heard(const backup::entry_started& begun) {
    const backup::tar_entry& entry = begun.entry;
    const std::string path = into_.below + std::string(entry.path);
    in_file_ = entry.kind == backup::tar_kind::file;
    admit(entry);
    switch (entry.kind) {
    case backup::tar_kind::file:
        check_.file(into_.listed_below + std::string(entry.path));
        if (into_.directory != nullptr) file_ = into_.directory->create(path);
        break;
    case backup::tar_kind::directory:
        if (into_.directory != nullptr) into_.directory->make_directory(path);
        break;
    case backup::tar_kind::symbolic_link: link(entry); break;
    }
}

void unpacker::admit(const backup::tar_entry& entry) {
    const bool top = into_.listed_below.empty();
    if (top && (entry.path == "backup_manifest" || entry.path == "backup_manifest.tmp"))
        refuse(entry.path, "which is the name of a manifest that was verified");
    if (into_.directory == nullptr) look_at(entry);
}

// What a directory would not take.
void unpacker::look_at(const backup::tar_entry& entry) {
    const std::size_t slash = entry.path.rfind('/');
    if (slash != std::string_view::npos && !directories_.contains(entry.path.substr(0, slash)))
        refuse(entry.path, "which is in no directory that came before");
    const bool directory = entry.kind == backup::tar_kind::directory;
    constexpr std::string_view links = "pg_tblspc/";
    const auto linked = into_.listed_below.empty() && entry.path.starts_with(links)
                            ? links_.find(entry.path.substr(links.size()))
                            : links_.end();
    if (check_.has(into_.listed_below + std::string(entry.path)) ||
        (!directory && directories_.contains(entry.path)) ||
        (linked != links_.end() && linked->second.linked))
        refuse(entry.path, "which came before");
    if (directory) directories_.emplace(entry.path);
}

void unpacker::link(const backup::tar_entry& entry) {
    constexpr std::string_view links = "pg_tblspc/";
    const auto listed =
        entry.path.starts_with(links) ? links_.find(entry.path.substr(links.size())) : links_.end();
    if (listed == links_.end() || !into_.listed_below.empty() ||
        listed->second.path != entry.target)
        throw failure("archive " + quoted(into_.archive) + " has a link " + quoted(entry.path) +
                      " to " + quoted(entry.target) + ", which is no tablespace of the backup");
    if (into_.directory != nullptr) into_.directory->link(entry.path, listed->second.target);
    listed->second.linked = true;
}

void unpacker::heard(const backup::entry_data& run) {
    check_.data(run.data);
    if (file_) file_.write(run.data);
}

void unpacker::heard(const backup::entry_ended&) {
    if (in_file_) check_.file_ended();
    file_.close();
}

void unpacker::heard(const backup::tar_failed& failed) {
    // An empty path is refused, too, and is to be seen.
    const bool named =
        !failed.path.empty() || failed.reason.code == walwire::errc::tar_path_refused;
    throw failure("archive " + quoted(into_.archive) + ", at byte " +
                  std::to_string(failed.reason.offset) +
                  (named ? ", " + quoted(failed.path) : std::string()) + ": " +
                  std::string(walwire::text(failed.reason.code)));
}

} // namespace posix
