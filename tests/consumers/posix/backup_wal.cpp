#include "backup_wal.hpp"

#include <ctime>

#include "failure.hpp"

namespace posix {
namespace {

namespace backup = walwire::backup;
namespace wal = walwire::wal;
using walwire::lsn;
using walwire::timeline_id;

std::string history_name(timeline_id timeline) {
    return std::string(std::string_view(wal::history_name(timeline)));
}

std::string segment_name(timeline_id timeline, lsn at, wal::segment_size size) {
    wal::segment_file file;
    file.timeline = timeline;
    file.number = wal::containing(at, size);
    return std::string(std::string_view(wal::segment_name(file, size)));
}

// Those of every segment that a run has bytes of, unless it is the one before's.
void add_names(std::vector<std::string>& names, timeline_id timeline, lsn start, std::size_t count,
               wal::segment_size size) {
    for (lsn at = start; at < start + count; at = wal::segment_start(at, size) + size.value()) {
        std::string name = segment_name(timeline, at, size);
        if (names.empty() || names.back() != name) names.push_back(std::move(name));
    }
}

void expect(walwire::errc code) {
    if (code != walwire::errc::none)
        throw failure("could not write pg_wal.tar: " + std::string(walwire::text(code)));
}

descriptor make_wal_directory(backup_directory& backup) {
    backup.make_directory("pg_wal");
    backup.make_directory("pg_wal/archive_status");
    return backup.open_directory("pg_wal");
}

} // namespace

wal_in_directory::wal_in_directory(backup_directory& backup, wal::segment_size size,
                                   file_access access)
    : backup_(backup), size_(size), segments_(make_wal_directory(backup), backup.full("pg_wal")) {
    segments_.resume(size, access);
}

void wal_in_directory::history(timeline_id timeline, walwire::bytes text) {
    segments_.add_history(timeline, text);
    names_.push_back(history_name(timeline));
}

void wal_in_directory::write(timeline_id timeline, lsn start, walwire::bytes run) {
    add_names(names_, timeline, start, run.size(), size_);
    segments_.write(timeline, start, run);
}

void wal_in_directory::finish() {
    segments_.fill_up();
    segments_.finish();
    for (const std::string& name : names_)
        backup_.create("pg_wal/archive_status/" + name + ".done").close();
}

wal_in_tar::wal_in_tar(backup_directory& backup, wal::segment_size size, file_access access)
    : size_(size), mode_(access == file_access::group ? 0640 : 0600),
      file_(backup.create("pg_wal.tar")) {}

void wal_in_tar::start(const std::string& name, std::uint64_t size) {
    backup::tar_entry entry;
    entry.path = name;
    entry.size = size;
    entry.mode = mode_;
    entry.mtime = static_cast<std::int64_t>(::time(nullptr));
    expect(archive_.start(entry));
    if (size == 0) write_out();
}

void wal_in_tar::put(walwire::bytes run) {
    expect(archive_.give(run));
    write_out();
}

void wal_in_tar::write_out() {
    for (auto out = archive_.output(); !out.empty(); out = archive_.output()) {
        file_.write(out.head);
        file_.write(out.body);
        archive_.consume(out.size());
    }
}

void wal_in_tar::history(timeline_id timeline, walwire::bytes text) {
    names_.push_back(history_name(timeline));
    start(names_.back(), text.size());
    if (!text.empty()) put(text);
}

void wal_in_tar::write(timeline_id timeline, lsn start_at, walwire::bytes run) {
    for (lsn at = start_at; !run.empty();) {
        if (archive_.body_left() == 0) {
            names_.push_back(segment_name(timeline, at, size_));
            start(names_.back(), size_.value());
        }
        const std::size_t size = wal::size_in_segment(at, run.size(), size_);
        put(run.first(size));
        run = run.subspan(size);
        at = at + size;
        if (archive_.body_left() > 0) continue;
        file_.sync();
        flushed_ = at;
    }
}

void wal_in_tar::finish() {
    if (archive_.body_left() > 0) {
        expect(archive_.fill());
        write_out();
    }
    for (const std::string& name : names_) start("archive_status/" + name + ".done", 0);
    expect(archive_.end());
    write_out();
    file_.close();
}

} // namespace posix
