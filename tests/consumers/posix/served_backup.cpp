#include "served_backup.hpp"

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include <walwire/auth/openssl.hpp>

#include "failure.hpp"
#include "needed_wal.hpp"

namespace posix {

namespace {

namespace backup = walwire::backup;
namespace wire = walwire::wire;

// Progress is told about so often; servers do it once a second.
constexpr std::uint64_t progress_step = 16 * 1024 * 1024;

void check(walwire::errc code) {
    if (code != walwire::errc::none) throw failure(std::string(walwire::text(code)));
}

} // namespace

served_backup::served_backup(const backup_source& source, wal_source& log, int major_version,
                             const wire::base_backup& asked)
    : source_(source), log_(log), major_version_(major_version), manifest_wanted_(asked.manifest),
      algorithm_(asked.checksums.value_or(wire::manifest_checksums::crc32c)),
      progress_wanted_(asked.progress), log_wanted_(asked.wal), rate_(asked.max_rate),
      archives_(source.list(asked.tablespace_map)) {
    log_.refresh();
    ranges_ = needed_wal(source, log_);
    // Who does not want it here may stream it, and says so nowhere.
    require_end(ranges_, log_);
    log_end_ = log_.end();
    if (!log_wanted_) return;
    require_segments(ranges_, log_);
    add_log();
}

// The segments that the backup cannot do without, as archived already: the client's server is not
// to hand them on.
void served_backup::add_log() {
    const walwire::wal::segment_size size = log_.cluster().size;
    backup_archive& base = archives_.back();
    const auto add = [&](std::string path, std::string content, std::uint64_t size_of_it,
                         bool given) {
        backup_entry entry;
        entry.path = "pg_wal/" + path;
        entry.content = std::move(content);
        entry.given = given;
        entry.size = size_of_it;
        entry.mode = 0600;
        entry.mtime = std::time(nullptr);
        base.entries.push_back(std::move(entry));
    };
    std::vector<std::string> done;
    for (auto range = ranges_.rbegin(); range != ranges_.rend(); ++range) {
        if (const auto history = log_.history(range->timeline)) {
            const std::string name(std::string_view(walwire::wal::history_name(range->timeline)));
            add(name, *history, history->size(), true);
            done.push_back(name);
        }
        const auto last = containing_end(range->end, size);
        for (auto number = containing(range->start, size); number <= last; ++number.value) {
            const auto name = segment_name({.timeline = range->timeline, .number = number}, size);
            add(std::string(std::string_view(name)), {}, size.value(), false);
            done.emplace_back(std::string_view(name));
        }
    }
    for (const std::string& name : done) add("archive_status/" + name + ".done", {}, 0, true);
}

walwire::lsn served_backup::end() const {
    return ranges_.front().end;
}

bool served_backup::turn(walwire::primary::session& session, std::int64_t now) {
    bool moved = false;
    if (began_ == 0) began_ = now;
    while (at_ != place::over && pace(now)) {
        const errc code = step(session);
        // There is room again once what waits is written.
        if (code == errc::output_full || code == errc::not_now) return moved;
        check(code);
        moved = true;
    }
    return moved;
}

// Whether the rate that the client asked for allows more by now.
bool served_backup::pace(std::int64_t now) {
    resume_at_ = walwire::never;
    if (rate_ == 0) return true;
    const auto due = static_cast<std::int64_t>(done_ * 1000 / rate_ * 1000 / 1024);
    if (now - began_ >= due) return true;
    resume_at_ = began_ + due;
    return false;
}

walwire::errc served_backup::step(walwire::primary::session& session) {
    switch (at_) {
    case place::start: {
        const errc code = session.begin_backup({source_.start(), source_.timeline()});
        if (code == errc::none) at_ = place::list;
        return code;
    }
    case place::list: {
        const backup_archive& each = archives_[archive_];
        backup::tablespace row;
        row.index = static_cast<std::uint32_t>(archive_);
        row.oid = each.oid;
        row.path = each.path;
        if (progress_wanted_) row.size = each.size / 1024;
        const errc code = session.list(row);
        if (code == errc::none && ++archive_ == archives_.size()) {
            archive_ = 0;
            if (manifest_wanted_ != wire::backup_manifest::no) begin_manifest();
            at_ = place::archive;
        }
        return code;
    }
    case place::archive: return begin_archive(session);
    case place::data:
    case place::manifest_data: return send(session);
    case place::manifest: {
        const errc code = session.begin_manifest();
        if (code == errc::none) at_ = place::manifest_data;
        return code;
    }
    case place::end: {
        const errc code = session.end_backup({end(), ranges_.front().timeline});
        if (code == errc::none) at_ = place::over;
        return code;
    }
    case place::over: break;
    }
    return errc::not_now;
}

walwire::errc served_backup::begin_archive(walwire::primary::session& session) {
    const backup_archive& each = archives_[archive_];
    const errc code = session.begin_archive({each.oid, wire::backup_compression::none}, each.path);
    if (code != errc::none) return code;
    entry_ = 0;
    trailer_ = false;
    at_ = place::data;
    return errc::none;
}

walwire::errc served_backup::send(walwire::primary::session& session) {
    if (!session.wants_backup()) return errc::not_now;
    if (done_ - reported_ >= progress_step) {
        if (const errc code = report(session); code != errc::none) return code;
    }
    if (next_chunk()) {
        done_ += chunk_size_;
        return session.send_backup(bytes(chunk_).first(chunk_size_));
    }
    if (const errc code = report(session); code != errc::none) return code;
    if (at_ == place::manifest_data) {
        at_ = place::end;
        return errc::none;
    }
    if (++archive_ < archives_.size()) {
        at_ = place::archive;
        return errc::none;
    }
    at_ = place::end;
    if (manifest_) {
        manifest_text_ = manifest_->finish(ranges_);
        at_ = place::manifest;
    }
    return errc::none;
}

walwire::errc served_backup::report(walwire::primary::session& session) {
    if (!progress_wanted_ || reported_ == done_) return errc::none;
    const errc code = session.report_progress(done_);
    if (code == errc::none) reported_ = done_;
    return code;
}

// Fills the chunk; false when there was nothing left to fill it with.
bool served_backup::next_chunk() {
    chunk_size_ = 0;
    if (at_ == place::manifest_data) {
        chunk_size_ = std::min(chunk_.size(), manifest_text_.size() - manifest_sent_);
        std::memcpy(chunk_.data(), manifest_text_.data() + manifest_sent_, chunk_size_);
        manifest_sent_ += chunk_size_;
        return chunk_size_ > 0;
    }
    while (chunk_size_ < chunk_.size()) {
        const walwire::mutable_bytes room = walwire::mutable_bytes(chunk_).subspan(chunk_size_);
        if (header_left_ > 0) {
            const std::size_t size = std::min(room.size(), header_left_);
            std::memcpy(room.data(), header_.data() + header_.size() - header_left_, size);
            header_left_ -= size;
            chunk_size_ += size;
        } else if (in_body_ && body_left_ > 0) {
            chunk_size_ += read_body(room);
        } else if (in_body_) {
            end_body();
        } else if (zeros_left_ > 0) {
            const std::size_t size = std::min(room.size(), zeros_left_);
            std::memset(room.data(), 0, size);
            zeros_left_ -= size;
            chunk_size_ += size;
        } else if (!next_entry()) {
            break;
        }
    }
    return chunk_size_ > 0;
}

// Servers up to 14 put no trailer behind an archive.
bool served_backup::next_entry() {
    const backup_archive& archive = archives_[archive_];
    if (entry_ == archive.entries.size()) {
        if (trailer_ || major_version_ < 15) return false;
        trailer_ = true;
        zeros_left_ = backup::tar_trailer_size;
        return true;
    }
    const backup_entry& entry = archive.entries[entry_];
    backup::tar_entry header;
    header.kind = entry.kind;
    header.path = entry.path;
    header.target = entry.target;
    header.size = entry.size;
    header.mode = entry.mode;
    header.mtime = entry.mtime;
    header.uid = ::getuid();
    header.gid = ::getgid();
    if (const errc code = backup::put_tar_header(header_, header); code != errc::none)
        throw failure(quoted(entry.path) + ": " + std::string(walwire::text(code)));
    header_left_ = header_.size();
    if (entry.kind == backup::tar_kind::file)
        begin_body();
    else
        ++entry_;
    return true;
}

void served_backup::begin_body() {
    const backup_archive& archive = archives_[archive_];
    const backup_entry& entry = archive.entries[entry_];
    const bool log = archive.oid == 0 && entry.path.starts_with("pg_wal/");
    in_body_ = true;
    body_left_ = entry.size;
    log_at_ = {};
    if (log && !entry.given) {
        const auto file = walwire::wal::parse_segment_name(std::string_view(entry.path).substr(7),
                                                           log_.cluster().size);
        log_at_ = start_of(file->number, log_.cluster().size);
    } else if (!entry.given) {
        file_ = backup_source::open(archive, entry);
    }
    check(checksum_.begin(algorithm_, walwire::auth::openssl_digests()));
}

std::size_t served_backup::read_body(walwire::mutable_bytes into) {
    const backup_entry& entry = archives_[archive_].entries[entry_];
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), body_left_));
    std::size_t got = 0;
    if (entry.given) {
        const std::uint64_t at = entry.size - body_left_;
        std::memcpy(into.data(), entry.content.data() + at, size);
        got = size;
    } else {
        got = log_at_.valid() ? read_log(into.first(size)) : read_file(into.first(size));
    }
    std::memset(into.data() + got, 0, size - got);
    check(checksum_.update(into.first(size)));
    body_left_ -= size;
    return size;
}

// All that there is of the log, which is all that the backup needs.
std::size_t served_backup::read_log(walwire::mutable_bytes into) {
    const walwire::lsn from = log_at_;
    log_at_ = log_at_ + into.size();
    if (from >= log_end_) return 0;
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), log_end_ - from));
    const auto run = log_.read(from, log_end_);
    if (!run || run->wal.size() < size)
        throw failure("WAL that the backup needs, from " +
                          std::string(std::string_view(to_text(from))) +
                          " on, is not there any more",
                      ENOENT);
    std::memcpy(into.data(), run->wal.data(), size);
    return size;
}

std::size_t served_backup::read_file(walwire::mutable_bytes into) {
    std::size_t got = 0;
    while (got < into.size()) {
        const ssize_t read = ::read(file_.number(), into.data() + got, into.size() - got);
        if (read < 0 && errno == EINTR) continue;
        if (read < 0)
            fail("could not read " + quoted(archives_[archive_].entries[entry_].path), errno);
        if (read == 0) break;
        got += static_cast<std::size_t>(read);
    }
    return got;
}

void served_backup::end_body() {
    const backup_archive& archive = archives_[archive_];
    const backup_entry& entry = archive.entries[entry_++];
    in_body_ = false;
    file_.close();
    zeros_left_ = backup::tar_padding(entry.size);
    const auto value = checksum_.finish();
    check(value.code());
    std::string path = entry.path;
    if (archive.oid != 0) path = "pg_tblspc/" + std::to_string(archive.oid) + '/' + path;
    if (!manifest_ || !backup::is_listed_kind(path)) return;
    manifest_->add(path, entry.size, entry.mtime, *value);
}

void served_backup::begin_manifest() {
    backup::manifest_started as;
    as.version = major_version_ < 17 ? 1 : 2;
    if (as.version == 2) as.system_identifier = source_.system_identifier();
    manifest_.emplace(as, manifest_wanted_ == wire::backup_manifest::force_encode
                              ? backup::path_form::encoded
                              : backup::path_form::plain_where_possible);
}

} // namespace posix
