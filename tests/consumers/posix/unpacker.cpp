#include "unpacker.hpp"

#include <variant>

#include "failure.hpp"
#include "messages.hpp"

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

void unpacker::heard(const backup::entry_started& begun) {
    const backup::tar_entry& entry = begun.entry;
    const std::string path = into_.below + std::string(entry.path);
    in_file_ = entry.kind == backup::tar_kind::file;
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

void unpacker::link(const backup::tar_entry& entry) {
    constexpr std::string_view links = "pg_tblspc/";
    const auto listed =
        entry.path.starts_with(links) ? links_.find(entry.path.substr(links.size())) : links_.end();
    if (listed == links_.end() || !into_.listed_below.empty() ||
        listed->second.path != entry.target)
        throw failure("an archive has a link " + quoted(printable(entry.path)) + " to " +
                      quoted(printable(entry.target)) + ", which is no tablespace of the backup");
    if (into_.directory != nullptr) into_.directory->link(entry.path, listed->second.target);
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
    throw failure("an archive of the backup, at byte " + std::to_string(failed.reason.offset) +
                  ": " + std::string(walwire::text(failed.reason.code)));
}

} // namespace posix
