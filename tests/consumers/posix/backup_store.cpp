#include "backup_store.hpp"

#include <array>
#include <filesystem>
#include <system_error>

#include "failure.hpp"

namespace posix {
namespace {

namespace backup = walwire::backup;
namespace replica = walwire::replica;

constexpr const char* manifest_name = "backup_manifest";
constexpr const char* manifest_on_its_way = "backup_manifest.tmp";
constexpr int first_with_trailers = 15;

file_access access_of(const replica::source_identified& source) {
    return source.directory_mode == 0750 ? file_access::group : file_access::owner;
}

backup::manifest_checksums algorithm_of(const walwire::wire::base_backup& what) {
    if (what.manifest == walwire::wire::backup_manifest::no)
        return backup::manifest_checksums::none;
    return what.checksums.value_or(backup::manifest_checksums::crc32c);
}

// Without links and "..", as far as it is there.
std::string resolved(const std::string& directory) {
    namespace fs = std::filesystem;
    std::error_code wrong;
    const fs::path whole = fs::absolute(directory, wrong);
    const fs::path found = fs::weakly_canonical(whole, wrong);
    std::string text = wrong ? whole.lexically_normal() : found;
    while (text.size() > 1 && text.ends_with('/')) text.pop_back();
    return text;
}

bool is_within(const std::string& inner, const std::string& outer) {
    if (!inner.starts_with(outer)) return false;
    return inner.size() == outer.size() || outer.ends_with('/') || inner[outer.size()] == '/';
}

} // namespace

backup_store::backup_store(const backup_arguments& given, const replica::source_identified& source,
                           const walwire::wire::base_backup& what)
    : given_(given), plain_(given.format == backup_format::plain),
      has_manifest_(what.manifest != walwire::wire::backup_manifest::no),
      server_version_(source.server_version), access_(access_of(source)),
      segment_size_(source.segment_size), base_(given.directory, access_, !given.clean),
      check_(algorithm_of(what), source.system_identifier) {
    claim(given.directory);
}

void backup_store::tablespace(const backup::tablespace& listed) {
    announced_ += listed.size.value_or(0) * 1024;
    listed_tablespace& made = tablespaces_.emplace_back();
    if (listed.oid == 0) return check_mappings(); // it is the last
    made.oid = std::to_string(listed.oid);
    const std::string path(listed.path);
    made.in_place = path.starts_with("pg_tblspc/");
    if (made.in_place) {
        if (!plain_) return;
        base_.make_directory("pg_tblspc");
        base_.make_directory("pg_tblspc/" + made.oid);
        return;
    }
    place(made, path);
}

// One that stands elsewhere.
void backup_store::place(listed_tablespace& made, const std::string& path) {
    std::string target = plain_ ? std::string() : path;
    for (const auto& [from, to] : given_.tablespaces)
        if (from == path) target = to;
    if (target.empty())
        throw failure("there is no place here for tablespace " + quoted(path) +
                      " (give it one by -T)");
    links_.insert_or_assign(made.oid, mapped_tablespace{path, target});
    if (!plain_) return;
    claim(target);
    made.directory = std::make_unique<backup_directory>(target, access_, !given_.clean);
    // A path does not show what is mounted in two places.
    bool same = made.directory->is_same(base_);
    for (const listed_tablespace& each : tablespaces_)
        same = same || (each.directory && each.directory != made.directory &&
                        each.directory->is_same(*made.directory));
    if (same) throw failure(quoted(target) + " is where something else of the backup goes");
}

// Two things that go into one another would be neither.
void backup_store::claim(const std::string& directory) {
    const std::string wanted = resolved(directory);
    for (const std::string& each : claimed_)
        if (is_within(wanted, each) || is_within(each, wanted))
            throw failure(quoted(directory) + " is where something else of the backup goes");
    claimed_.push_back(wanted);
}

// A mapping that nothing is mapped by is a mistake that the user should not find out later.
void backup_store::check_mappings() const {
    for (const auto& [from, to] : given_.tablespaces) {
        bool listed = false;
        for (const auto& [oid, each] : links_) listed = listed || each.path == from;
        if (!listed)
            throw failure(quoted(from) + ", which -T puts into " + quoted(to) +
                          ", is no tablespace of this backup");
    }
}

// Without its link a tablespace's files are nowhere.
void backup_store::check_links() const {
    for (const auto& [oid, each] : links_)
        if (plain_ && !each.linked)
            throw failure("the backup has no link pg_tblspc/" + oid + " to its tablespace " +
                          quoted(each.path));
}

unpacker::destination backup_store::destination_of(const listed_tablespace& from) {
    unpacker::destination made;
    if (!from.oid.empty()) made.listed_below = "pg_tblspc/" + from.oid + '/';
    if (!plain_) return made;
    made.directory = from.directory ? from.directory.get() : &base_;
    if (from.in_place) made.below = made.listed_below;
    return made;
}

void backup_store::archive_started(const backup::archive_started& begun) {
    const auto trailer = server_version_ >= first_with_trailers ? backup::tar_trailer::required
                                                                : backup::tar_trailer::optional;
    unpacker::destination into = destination_of(tablespaces_.at(begun.index));
    into.archive = to_text(begun.name);
    archive_.emplace(trailer, std::move(into), links_, check_);
    plain_text_.emplace(begun.name.compression);
    if (!plain_) file_ = base_.create(to_text(begun.name));
}

void backup_store::archive_data(walwire::bytes run) {
    if (file_) file_.write(run);
    unpack(run);
}

void backup_store::unpack(walwire::bytes run) {
    for (auto piece = plain_text_->next(run); !piece.empty(); piece = plain_text_->next(run)) {
        done_ += piece.size();
        archive_->eat(piece);
    }
}

void backup_store::archive_ended() {
    plain_text_->finish();
    archive_->finish();
    if (file_ && server_version_ < first_with_trailers) {
        constexpr std::array<std::byte, backup::tar_trailer_size> zeros{};
        file_.write(zeros);
    }
    file_.close();
}

void backup_store::manifest_opened() {
    file_ = base_.create(manifest_on_its_way);
}

void backup_store::manifest_data(walwire::bytes run) {
    file_.write(run);
    check_.manifest(run);
}

void backup_store::manifest_closed() {
    file_.sync();
    file_.close();
}

std::unique_ptr<backup_wal> backup_store::make_wal() {
    if (plain_) return std::make_unique<wal_in_directory>(base_, segment_size_, access_);
    return std::make_unique<wal_in_tar>(base_, segment_size_, access_);
}

void backup_store::conclude(const backup::started& from, const backup::ended& to) {
    check_links();
    if (has_manifest_) check_.conclude(from, to);
    base_.sync();
    for (const listed_tablespace& each : tablespaces_)
        if (each.directory) each.directory->sync();
    if (has_manifest_) base_.rename(manifest_on_its_way, manifest_name);
    base_.keep();
    for (const listed_tablespace& each : tablespaces_)
        if (each.directory) each.directory->keep();
}

} // namespace posix
