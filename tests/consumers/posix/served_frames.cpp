#include "served_frames.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "failure.hpp"

namespace posix {
namespace {

namespace aiondb = walwire::aiondb;
using walwire::errc;

// A frame of a file's bytes; a path's frame takes less.
constexpr std::size_t chunk_size = 64 * 1024;
static_assert(chunk_size > aiondb::frame_room);

constexpr int directory_only = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

void check(errc code) {
    if (code != errc::none) throw failure(std::string(walwire::text(code)));
}

} // namespace

served_frames::served_frames(const entry_source& source, const std::string& directory)
    : directory_(directory), root_(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
      // As a backup's header has it (aiondb/backup.hpp).
      start_(source.first().valid() ? source.first() : aiondb::first_entry),
      timeline_(source.timeline()), system_identifier_(source.system_identifier()),
      chunk_(chunk_size) {
    if (!root_) fail("could not open directory " + quoted(directory), errno);
    walk(root_, {});
    std::ranges::sort(files_, {}, &listed::path);
}

// What a crash left under a temporary name counts for nobody.
void served_frames::walk(const descriptor& directory, const std::string& below) {
    const int again = ::openat(directory.number(), ".", directory_only);
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(again < 0 ? nullptr : ::fdopendir(again),
                                                      ::closedir);
    if (!listing) fail("could not read directory " + quoted(directory_ + '/' + below), errno);
    while (const dirent* const entry = ::readdir(listing.get())) {
        const std::string name = entry->d_name;
        if (name == "." || name == ".." || name.ends_with(".tmp")) continue;
        const std::string path = below + name;
        struct stat found {};
        if (::fstatat(directory.number(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0)
            fail("could not look at " + quoted(directory_ + '/' + path), errno);
        if (S_ISDIR(found.st_mode)) {
            const descriptor inside(::openat(directory.number(), name.c_str(), directory_only));
            if (!inside) fail("could not open directory " + quoted(directory_ + '/' + path), errno);
            walk(inside, path + '/');
        } else if (S_ISREG(found.st_mode)) {
            files_.push_back({path, static_cast<std::uint64_t>(found.st_size)});
        } else {
            throw failure(quoted(directory_ + '/' + path) + " is neither a file nor a directory");
        }
    }
}

bool served_frames::turn(walwire::primary::session& session, std::int64_t) {
    bool moved = false;
    while (at_ != place::over) {
        const errc code = step(session);
        if (code == errc::output_full || code == errc::not_now) break;
        check(code);
        moved = true;
    }
    return moved;
}

errc served_frames::step(walwire::primary::session& session) {
    if (at_ == place::start) {
        const errc code = session.begin_frames();
        if (code == errc::none) at_ = place::header;
        return code;
    }
    if (!session.wants_backup()) return errc::not_now;
    if (at_ == place::end && writer_.over()) {
        const errc code = session.end_frames();
        if (code == errc::none) at_ = place::over;
        return code;
    }
    check(put_next());
    return session.send_backup(walwire::bytes(chunk_).first(chunk_size_));
}

// The next frame, whole.
errc served_frames::put_next() {
    walwire::little_writer out(chunk_);
    errc code = errc::none;
    std::size_t body = 0;
    if (at_ == place::header) {
        code = writer_.header(out, {start_, timeline_, system_identifier_});
        at_ = place::files;
    } else if (at_ == place::body && left_ > 0) {
        body = static_cast<std::size_t>(
            std::min<std::uint64_t>(left_, chunk_.size() - aiondb::frame_header_size));
        code = writer_.file_data(out, static_cast<std::uint32_t>(body));
        read_body(walwire::mutable_bytes(chunk_).subspan(out.size(), body));
        left_ -= body;
    } else if (at_ == place::body) {
        code = writer_.file_end(out);
        file_.close();
        at_ = place::files;
    } else if (next_ < files_.size()) {
        open_file();
        const listed& file = files_[next_++];
        code = writer_.file_start(out, {file.path, file.size});
        if (code != errc::none)
            throw failure(quoted(file.path) + ": " + std::string(walwire::text(code)));
        left_ = file.size;
        at_ = place::body;
    } else {
        code = writer_.backup_end(out);
        at_ = place::end;
    }
    chunk_size_ = out.size() + body;
    return code;
}

// Directory by directory, so that no link that came meanwhile leads anywhere else.
void served_frames::open_file() {
    const std::string& path = files_[next_].path;
    descriptor at;
    std::size_t begin = 0;
    for (std::size_t end = path.find('/'); end != std::string::npos; end = path.find('/', begin)) {
        const std::string part = path.substr(begin, end - begin);
        at = descriptor(::openat(at ? at.number() : root_.number(), part.c_str(), directory_only));
        if (!at) fail("could not open " + quoted(directory_ + '/' + path), errno);
        begin = end + 1;
    }
    file_ = descriptor(::openat(at ? at.number() : root_.number(), path.c_str() + begin,
                                O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file_) fail("could not open " + quoted(directory_ + '/' + path), errno);
    short_ = false;
}

void served_frames::read_body(walwire::mutable_bytes into) {
    std::size_t got = 0;
    while (got < into.size() && !short_) {
        const ssize_t size = ::read(file_.number(), into.data() + got, into.size() - got);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) fail("could not read " + quoted(files_[next_ - 1].path), errno);
        short_ = size == 0;
        got += static_cast<std::size_t>(size);
    }
    if (got < into.size()) std::memset(into.data() + got, 0, into.size() - got);
}

} // namespace posix
