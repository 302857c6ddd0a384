#include "backup_source.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <variant>

#include <walwire/auth/openssl.hpp>
#include <walwire/backup/manifest_reader.hpp>

#include "failure.hpp"

namespace posix {

namespace {

namespace backup = walwire::backup;

struct closing_directory {
    void operator()(DIR* opened) const noexcept { ::closedir(opened); }
};

std::string read_all(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) fail("could not open " + quoted(path), errno);
    return {std::istreambuf_iterator<char>(file), {}};
}

bool exists(const std::string& path) {
    struct stat found {};
    return ::lstat(path.c_str(), &found) == 0;
}

// The names in a directory, in order, so that two servings of one backup are alike.
std::vector<std::string> names_in(const std::string& path) {
    const std::unique_ptr<DIR, closing_directory> opened(::opendir(path.c_str()));
    if (!opened) fail("could not open directory " + quoted(path), errno);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(opened.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
    }
    std::ranges::sort(names);
    return names;
}

std::string link_target(const std::string& path) {
    std::array<char, 4096> room{};
    const ssize_t size = ::readlink(path.c_str(), room.data(), room.size());
    if (size < 0) fail("could not read link " + quoted(path), errno);
    return {room.data(), static_cast<std::size_t>(size)};
}

// As a server writes it: one line each, a backslash before what would end one.
std::string map_line(const std::string& oid, std::string_view path) {
    std::string line = oid + ' ';
    for (const char c : path) {
        if (c == '\n' || c == '\r' || c == '\\') line += '\\';
        line += c;
    }
    return line + '\n';
}

backup_entry given_entry(std::string path, std::string content, const backup_entry& like) {
    backup_entry made;
    made.path = std::move(path);
    made.size = content.size();
    made.content = std::move(content);
    made.given = true;
    made.mode = like.mode;
    made.mtime = like.mtime;
    return made;
}

backup_entry entry_of(const std::string& path, std::string name) {
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0) fail("could not look at " + quoted(path), errno);
    backup_entry made;
    made.path = std::move(name);
    made.mode = found.st_mode & 07777;
    made.mtime = found.st_mtime;
    if (S_ISREG(found.st_mode)) {
        made.size = static_cast<std::uint64_t>(found.st_size);
    } else if (S_ISDIR(found.st_mode)) {
        made.kind = backup::tar_kind::directory;
    } else if (S_ISLNK(found.st_mode)) {
        made.kind = backup::tar_kind::symbolic_link;
        made.target = link_target(path);
    } else {
        throw failure(quoted(path) + " is neither a file nor a directory");
    }
    return made;
}

} // namespace

backup_source::backup_source(const std::string& directory) : directory_(directory) {
    if (exists(directory + "/postmaster.pid"))
        throw failure(quoted(directory) + " belongs to a server that runs, or was killed");
    if (!exists(directory + "/backup_label"))
        throw failure(quoted(directory) + " holds no base backup, for it has no backup_label");
    label_text_ = read_all(directory + "/backup_label");
    const auto label = parse_backup_label(label_text_);
    if (!label) throw failure("the backup_label of " + quoted(directory) + " cannot be read");
    label_ = *label;
    read_control();
    if (exists(directory + "/backup_manifest")) read_ranges();
}

// The first eight bytes of the control file are the system identifier, whatever its version.
void backup_source::read_control() {
    const std::string control = read_all(directory_ + "/global/pg_control");
    if (control.size() < sizeof system_identifier_)
        throw failure("the control file of " + quoted(directory_) + " is too short");
    std::memcpy(&system_identifier_, control.data(), sizeof system_identifier_);
    major_version_ = std::atoi(read_all(directory_ + "/PG_VERSION").c_str());
}

void backup_source::read_ranges() {
    const std::string text = read_all(directory_ + "/backup_manifest");
    std::array<std::byte, backup::manifest_room_size> room{};
    const walwire::auth::digests digests = walwire::auth::openssl_digests();
    backup::manifest_reader reader(room, digests);
    walwire::bytes in = walwire::as_bytes(text);
    reader.finish();
    while (const auto told = reader.poll(in)) {
        if (const auto* range = std::get_if<backup::wal_range>(&*told)) ranges_.push_back(*range);
        if (const auto* wrong = std::get_if<backup::manifest_failed>(&*told))
            throw failure("the manifest of " + quoted(directory_) + ": " +
                          std::string(walwire::text(wrong->code)));
    }
}

std::vector<backup_archive> backup_source::list(bool map) const {
    std::vector<backup_archive> archives;
    backup_archive base;
    base.place = directory_;
    base.entries.push_back(given_entry("backup_label", label_text_,
                                       entry_of(directory_ + "/backup_label", "backup_label")));
    add_tablespaces(archives, base, map);
    walk(base, "");
    if (!map) add_links(archives, base);
    // Whoever is interrupted must not find a control file, and take the rest for whole.
    const auto control = std::ranges::find_if(
        base.entries, [](const auto& each) { return each.path == "global/pg_control"; });
    if (control == base.entries.end())
        throw failure(quoted(directory_) + " has no global/pg_control");
    std::rotate(control, control + 1, base.entries.end());
    archives.push_back(std::move(base));
    for (backup_archive& each : archives) {
        for (const backup_entry& entry : each.entries) each.size += entry.size;
    }
    return archives;
}

void backup_source::add_tablespaces(std::vector<backup_archive>& into, backup_archive& base,
                                    bool map) const {
    std::string lines;
    for (const std::string& name : names_in(directory_ + "/pg_tblspc")) {
        const std::string path = directory_ + "/pg_tblspc/" + name;
        const backup_entry found = entry_of(path, name);
        const auto oid = walwire::detail::parse_decimal(name, UINT32_MAX);
        if (!oid || found.kind == backup::tar_kind::file)
            throw failure(quoted(path) + " is no tablespace");
        backup_archive made;
        made.oid = static_cast<std::uint32_t>(*oid);
        made.place = path;
        // One that lies in the data directory itself has its place there at the client's, too.
        const bool linked = found.kind == backup::tar_kind::symbolic_link;
        made.path = linked ? found.target : "pg_tblspc/" + name;
        walk(made, "");
        if (linked) lines += map_line(name, found.target);
        into.push_back(std::move(made));
    }
    if (map) base.entries.push_back(given_entry("tablespace_map", lines, base.entries.front()));
}

// Behind the directory that they lie in.
void backup_source::add_links(const std::vector<backup_archive>& to, backup_archive& base) {
    std::vector<backup_entry> links;
    for (const backup_archive& each : to) {
        if (each.path.starts_with("pg_tblspc/")) continue;
        backup_entry link;
        link.kind = backup::tar_kind::symbolic_link;
        link.path = "pg_tblspc/" + std::to_string(each.oid);
        link.target = each.path;
        link.mode = 0777;
        links.push_back(std::move(link));
    }
    const auto parent = std::ranges::find_if(
        base.entries, [](const auto& each) { return each.path == "pg_tblspc"; });
    if (parent != base.entries.end()) base.entries.insert(parent + 1, links.begin(), links.end());
}

// Adds what lies in one directory and below it. Of WAL and of tablespaces only the directories
// are: both come by ways of their own.
void backup_source::walk(backup_archive& into, const std::string& below) const {
    for (const std::string& name : names_in(into.place + '/' + below)) {
        const std::string path = below.empty() ? name : below + '/' + name;
        const bool base = into.oid == 0;
        if (base && (path == "backup_label" || path == "tablespace_map" ||
                     path == "backup_manifest" || path == "postmaster.opts"))
            continue;
        backup_entry entry = entry_of(into.place + '/' + path, path);
        const bool log = base && path == "pg_wal";
        if (entry.kind == backup::tar_kind::symbolic_link) {
            if (!log) throw failure(quoted(into.place + '/' + path) + " is a link");
            entry.kind = backup::tar_kind::directory;
            entry.mode = 0700;
            entry.target.clear();
        }
        const bool directory = entry.kind == backup::tar_kind::directory;
        into.entries.push_back(std::move(entry));
        if (log) {
            backup_entry inside = into.entries.back();
            inside.path = "pg_wal/archive_status";
            into.entries.push_back(inside);
            inside.path = "pg_wal/summaries";
            if (major_version_ >= 17) into.entries.push_back(std::move(inside));
        } else if (directory && !(base && path == "pg_tblspc")) {
            walk(into, path);
        }
    }
}

descriptor backup_source::open(const backup_archive& archive, const backup_entry& entry) {
    const std::string path = archive.place + '/' + entry.path;
    descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file) fail("could not open " + quoted(path), errno);
    return file;
}

} // namespace posix
