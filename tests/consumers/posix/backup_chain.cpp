#include "backup_chain.hpp"

#include <cerrno>
#include <fstream>
#include <variant>

#include <walwire/auth/openssl.hpp>
#include <walwire/backup/manifest_reader.hpp>

#include "failure.hpp"

namespace posix {

namespace {

namespace backup = walwire::backup;

std::string text_of(const backup_start& start) {
    return std::string(std::string_view(to_text(start.at))) + " on timeline " +
           std::to_string(start.timeline.value);
}

} // namespace

backup_chain::backup_chain(const std::vector<std::string>& directories)
    : directories_(directories.rbegin(), directories.rend()) {
    for (const std::string& each : directories) add(each);
}

void backup_chain::add(const std::string& directory) {
    const backup_source& added = backups_.emplace_back(directory);
    const auto& builds_on = added.label().builds_on;
    listed_.push_back(read_manifest(directory));
    if (backups_.size() == 1) {
        if (builds_on)
            throw failure(quoted(directory) +
                          " is an incremental backup, and the first has to be a full one");
    } else {
        const std::string& before = directories_[directories_.size() + 1 - backups_.size()];
        const backup_source& older = backups_[backups_.size() - 2];
        if (older.system_identifier() != added.system_identifier())
            throw failure(quoted(directory) + " is of system " +
                          std::to_string(added.system_identifier()) + ", but " + quoted(before) +
                          " of system " + std::to_string(older.system_identifier()));
        if (!builds_on)
            throw failure(quoted(directory) + " is a full backup, which only the first can be");
        if (*builds_on != older.label().start)
            throw failure(quoted(directory) + " builds on a backup that starts at " +
                          text_of(*builds_on) + ", but " + quoted(before) + " starts at " +
                          text_of(older.label().start));
    }
}

// To its end, as nothing in it is known to be true before that.
manifest_entries backup_chain::read_manifest(const std::string& directory) const {
    const std::string path = directory + "/backup_manifest";
    std::ifstream file(path, std::ios::binary);
    if (!file) fail("could not open " + quoted(path), errno);
    std::vector<std::byte> room(backup::manifest_room_size);
    std::vector<char> chunk(64 * 1024);
    backup::manifest_reader reader(room, walwire::auth::openssl_digests());
    manifest_entries listed;
    std::optional<std::uint64_t> named;
    for (bool more = true; more;) {
        file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
        const auto size = static_cast<std::size_t>(file.gcount());
        walwire::bytes in = walwire::as_bytes(std::string_view(chunk.data(), size));
        more = size > 0;
        if (!more) reader.finish();
        while (const auto told = reader.poll(in)) {
            if (const auto* begun = std::get_if<backup::manifest_started>(&*told)) {
                named = begun->system_identifier;
            } else if (const auto* each = std::get_if<backup::listed_file>(&*told)) {
                if (backup::is_listed_kind(each->path))
                    listed[std::string(each->path)] = {each->size, each->checksum};
            } else if (const auto* wrong = std::get_if<backup::manifest_failed>(&*told)) {
                throw failure("the manifest of " + quoted(directory) + ": " +
                              std::string(walwire::text(wrong->code)));
            }
        }
    }
    if (!named)
        throw failure("the manifest of " + quoted(directory) +
                      " names no system, as those of servers before 17");
    if (*named != backups_.back().system_identifier())
        throw failure("the manifest of " + quoted(directory) + " is of system " +
                      std::to_string(*named) + ", but its control file of system " +
                      std::to_string(backups_.back().system_identifier()));
    return listed;
}

const manifest_entry* backup_chain::listed(std::string_view path, std::size_t place) const {
    const manifest_entries& all = listed_[listed_.size() - 1 - place];
    const auto found = all.find(path);
    return found == all.end() ? nullptr : &found->second;
}

} // namespace posix
