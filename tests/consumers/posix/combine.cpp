#include "combine.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <memory>
#include <set>
#include <string_view>

#include <walwire/auth/openssl.hpp>

#include "backup_chain.hpp"
#include "backup_directory.hpp"
#include "failure.hpp"
#include "messages.hpp"
#include "new_manifest.hpp"
#include "rebuilt_file.hpp"
#include "signals.hpp"

namespace posix {

namespace {

namespace backup = walwire::backup;
namespace fs = std::filesystem;

constexpr std::size_t room_size = 256 * 1024;
constexpr const char* manifest_name = "backup_manifest";
constexpr const char* manifest_on_its_way = "backup_manifest.tmp";

void check(walwire::errc code) {
    if (code != walwire::errc::none) throw failure(std::string(walwire::text(code)));
}

file_access access_of(const std::string& directory) {
    struct stat found {};
    if (::stat(directory.c_str(), &found) != 0)
        fail("could not look at " + quoted(directory), errno);
    return (found.st_mode & 050) == 050 ? file_access::group : file_access::owner;
}

bool is_elsewhere(const backup_archive& archive) {
    return archive.oid != 0 && !archive.path.starts_with("pg_tblspc/");
}

// Where an archive's files are, from the data directory on.
std::string listed_below(const backup_archive& archive) {
    return archive.oid == 0 ? std::string() : "pg_tblspc/" + std::to_string(archive.oid) + '/';
}

// A file of that name anywhere else is a file of that name.
bool is_incremental(const std::string& path) {
    return backup::is_incremental_path(path) &&
           (path.starts_with("base/") || path.starts_with("global/") ||
            path.starts_with("pg_tblspc/"));
}

// Who restores a backup is free to write these, and pg_verifybackup knows that. A tablespace_map is
// given up for links.
bool may_differ(std::string_view path) {
    return path == "postgresql.auto.conf" || path == "recovery.signal" ||
           path == "standby.signal" || path == "tablespace_map";
}

bool has_checksum(const manifest_entry& entry) {
    return entry.checksum.algorithm != backup::manifest_checksums::none;
}

void hold_against(const manifest_entry& known, const std::string& path, std::uint64_t size,
                  const backup::checksum_value& checksum) {
    if (size != known.size)
        throw failure(quoted(path) + " has another size than its manifest says");
    if (has_checksum(known) && checksum != known.checksum)
        throw failure(quoted(path) + " has another checksum than its manifest says");
}

class combiner {
  public:
    explicit combiner(const combine_arguments& given)
        : given_(given), chain_(given.backups), newest_(given.backups.back()),
          archives_(chain_.newest().list(false)), access_(access_of(newest_)),
          manifest_({2, chain_.system_identifier()}), room_(room_size) {}

    void run() {
        refuse_map();
        refuse_incomplete();
        find_places();
        base_ = std::make_unique<backup_directory>(given_.directory, access_, false);
        const backup_archive& base = archives_.back();
        for (const backup_entry& each : base.entries)
            if (each.kind == backup::tar_kind::directory) base_->make_directory(each.path);
        copy_log();
        for (const backup_archive& each : archives_) write(each);
        conclude();
    }

  private:
    // A backup that was unpacked from archives has one, and no links yet.
    void refuse_map() const {
        std::error_code none;
        const std::string path = newest_ + "/tablespace_map";
        const auto size = fs::file_size(path, none);
        if (!none && size > 0)
            throw failure(quoted(path) + " names tablespaces, which need links in " +
                          quoted(newest_ + "/pg_tblspc") + " instead");
    }

    // The names and sizes of what is there are known, so what they give away shows at once.
    void refuse_incomplete() const {
        std::set<std::string_view> missing;
        for (const auto& [path, entry] : chain_.listed())
            if (!may_differ(path)) missing.insert(path);
        for (const backup_archive& archive : archives_) {
            const std::string below = listed_below(archive);
            for (const backup_entry& each : archive.entries) {
                if (each.kind != backup::tar_kind::file) continue;
                const std::string path = below + each.path;
                missing.erase(path);
                const manifest_entry* const known = known_of(path);
                if (known) hold_against(*known, newest_ + '/' + path, each.size, known->checksum);
            }
        }
        if (!missing.empty())
            throw failure("file " + quoted(*missing.begin()) + " of " + quoted(newest_) +
                          " is in its manifest but not there");
    }

    // What a file of the newest backup has to be; null: whatever it is.
    const manifest_entry* known_of(std::string_view path) const {
        return may_differ(path) ? nullptr : chain_.listed(path);
    }

    void find_places() {
        for (const auto& [from, to] : given_.tablespaces) {
            const bool known = std::ranges::any_of(archives_, [&from = from](const auto& each) {
                return is_elsewhere(each) && each.path == from;
            });
            if (!known)
                throw failure(quoted(from) + " is not where a tablespace of " + quoted(newest_) +
                              " lies");
        }
        for (const backup_archive& each : archives_)
            if (is_elsewhere(each)) static_cast<void>(place_of(each.path));
    }

    const std::string& place_of(const std::string& path) const {
        for (const auto& [from, to] : given_.tablespaces)
            if (from == path) return to;
        throw failure("there is no place yet for the tablespace in " + quoted(path) +
                      " (give it one by -T)");
    }

    // Its own WAL, which manifests do not list.
    void copy_log() try {
        const fs::path top = newest_ + "/pg_wal";
        for (const fs::directory_entry& each : fs::recursive_directory_iterator(top)) {
            const std::string path = "pg_wal/" + each.path().lexically_relative(top).string();
            if (each.is_symlink()) throw failure(quoted(each.path().string()) + " is a link");
            if (each.is_directory())
                base_->make_directory(path);
            else
                copy(each.path().string(), *base_, path, path);
        }
    } catch (const fs::filesystem_error& wrong) {
        fail("could not read " + quoted(wrong.path1().string()), wrong.code().value());
    }

    void write(const backup_archive& archive) {
        const std::string below = listed_below(archive);
        backup_directory* into = base_.get();
        if (is_elsewhere(archive)) {
            tablespaces_.push_back(
                std::make_unique<backup_directory>(place_of(archive.path), access_, false));
            into = tablespaces_.back().get();
        } else if (archive.oid != 0) {
            into->make_directory(std::string_view(below).substr(0, below.size() - 1));
        }
        for (const backup_entry& each : archive.entries) {
            const std::string path = is_elsewhere(archive) ? each.path : below + each.path;
            switch (each.kind) {
            case backup::tar_kind::directory: into->make_directory(path); break;
            case backup::tar_kind::symbolic_link: into->link(path, place_of(each.target)); break;
            default: write_file(each, *into, path, below + each.path);
            }
        }
    }

    // `path` is where it goes, and `listed` how the manifest has it.
    void write_file(const backup_entry& entry, backup_directory& into, const std::string& path,
                    const std::string& listed) {
        if (entry.given) {
            verify(old_file(newest_ + '/' + listed), known_of(listed));
            bool told = false;
            write_runs(into, path, listed, nullptr, [&] {
                return std::exchange(told, true) ? walwire::bytes()
                                                 : walwire::as_bytes(chain_.label());
            });
        } else if (is_incremental(listed)) {
            rebuilt_file whole(chain_.directories(), listed, room_);
            verify(whole);
            ++rebuilt_;
            write_runs(into, plain_path(path), plain_path(listed), nullptr,
                       [&] { return whole.next(); });
        } else {
            copy(newest_ + '/' + listed, into, path, listed);
        }
    }

    // Every file that one is put together from, against the manifest of its own backup.
    void verify(const rebuilt_file& whole) {
        std::size_t place = 0;
        for (const old_file* const each : whole.sources()) {
            const std::string& directory = chain_.directories()[place];
            verify(*each, chain_.listed(each->path().substr(directory.size() + 1), place));
            ++place;
        }
    }

    void verify(const old_file& file, const manifest_entry* known) {
        if (!known) return;
        backup::checksum checksum;
        check(checksum.begin(known->checksum.algorithm, walwire::auth::openssl_digests()));
        std::uint64_t size = has_checksum(*known) ? 0 : file.size();
        while (has_checksum(*known)) {
            if (signals_.take() != 0) throw failure("interrupted");
            const auto run = walwire::bytes(room_).first(file.read(room_, size));
            if (run.empty()) break;
            check(checksum.update(run));
            size += run.size();
        }
        const auto value = checksum.finish();
        check(value.code());
        hold_against(*known, file.path(), size, *value);
    }

    void copy(const std::string& from, backup_directory& into, const std::string& path,
              const std::string& listed) {
        const old_file file(from);
        std::uint64_t offset = 0;
        write_runs(into, path, listed, known_of(listed), [&] {
            const walwire::bytes run = walwire::bytes(room_).first(file.read(room_, offset));
            offset += run.size();
            return run;
        });
    }

    // Writes a file of the runs that `next` gives until there are none. `known`: what a file of the
    // newest backup has to be that is copied; null for others.
    template <class Next>
    void write_runs(backup_directory& into, const std::string& path, const std::string& listed,
                    const manifest_entry* known, Next&& next) {
        const bool two = known && has_checksum(*known) &&
                         known->checksum.algorithm != backup::manifest_checksums::crc32c;
        const walwire::auth::digests digests = walwire::auth::openssl_digests();
        new_file file = into.create(path);
        backup::checksum checksum, other;
        check(checksum.begin(backup::manifest_checksums::crc32c, digests));
        if (two) check(other.begin(known->checksum.algorithm, digests));
        std::uint64_t size = 0;
        for (walwire::bytes run = next(); !run.empty(); run = next()) {
            if (signals_.take() != 0) throw failure("interrupted");
            check(checksum.update(run));
            if (two) check(other.update(run));
            file.write(run);
            size += run.size();
        }
        const auto value = checksum.finish();
        check(value.code());
        const auto found = two ? other.finish() : value;
        check(found.code());
        if (known) hold_against(*known, newest_ + '/' + listed, size, *found);
        if (backup::is_listed_kind(listed)) manifest_.add(listed, size, std::time(nullptr), *value);
        ++files_;
        bytes_ += size;
    }

    // The manifest gets its name when all else is durable.
    void conclude() {
        const std::string& text = manifest_.finish(chain_.newest().ranges());
        new_file file = base_->create(manifest_on_its_way);
        file.write(walwire::as_bytes(text));
        file.close();
        base_->sync();
        for (const auto& each : tablespaces_) each->sync();
        base_->rename(manifest_on_its_way, manifest_name);
        base_->keep();
        for (const auto& each : tablespaces_) each->keep();
        if (given_.verbose)
            say("combined " + std::to_string(chain_.directories().size()) +
                " backups: " + std::to_string(files_) + " files, " + std::to_string(rebuilt_) +
                " of them put together, " + std::to_string(bytes_) + " bytes");
    }

    const combine_arguments& given_;
    signals signals_;
    backup_chain chain_;
    const std::string newest_;
    std::vector<backup_archive> archives_; // the data directory's last
    file_access access_;
    new_manifest manifest_;
    std::vector<std::byte> room_;
    std::unique_ptr<backup_directory> base_;
    std::vector<std::unique_ptr<backup_directory>> tablespaces_; // those elsewhere
    std::uint64_t files_ = 0;
    std::uint64_t rebuilt_ = 0;
    std::uint64_t bytes_ = 0;
};

} // namespace

void combine(const combine_arguments& given) {
    combiner(given).run();
}

} // namespace posix
