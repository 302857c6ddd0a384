#include "rebuilt_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <variant>

#include "failure.hpp"

namespace posix {

namespace {

namespace backup = walwire::backup;

// Without waiting for whoever would write into a pipe of that name.
descriptor open_file(const std::string& path) {
    return descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
}

} // namespace

std::string plain_path(const std::string& path) {
    std::string made(path.size(), '\0');
    walwire::writer out(std::as_writable_bytes(std::span(made)));
    if (backup::put_plain_path(out, path) != walwire::errc::none)
        throw failure(quoted(path) + " is no incremental file");
    made.resize(out.size());
    return made;
}

old_file::old_file(std::string path) : old_file(open_file(path), path) {}

old_file::old_file(descriptor opened, std::string path)
    : opened_(std::move(opened)), path_(std::move(path)) {
    if (!opened_) fail("could not open file " + quoted(path_), errno);
    struct stat found {};
    if (::fstat(opened_.number(), &found) != 0) fail("could not look at " + quoted(path_), errno);
    if (!S_ISREG(found.st_mode)) throw failure(quoted(path_) + " is no file");
    size_ = static_cast<std::uint64_t>(found.st_size);
}

std::optional<old_file> old_file::find(std::string path) {
    descriptor opened = open_file(path);
    if (!opened && errno == ENOENT) return std::nullopt;
    return old_file(std::move(opened), std::move(path));
}

std::size_t old_file::read(walwire::mutable_bytes room, std::uint64_t offset) const {
    std::size_t got = 0;
    while (got < room.size()) {
        const ssize_t size = ::pread(opened_.number(), room.data() + got, room.size() - got,
                                     static_cast<off_t>(offset + got));
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) fail("could not read file " + quoted(path_), errno);
        if (size == 0) break;
        got += static_cast<std::size_t>(size);
    }
    return got;
}

rebuilt_file::rebuilt_file(const std::vector<std::string>& directories, const std::string& path,
                           walwire::mutable_bytes room)
    : room_(room) {
    for (const std::string& each : directories) {
        if (auto found = old_file::find(each + '/' + path)) {
            parts_.push_back({std::move(*found), {}, 0});
            read_header(parts_.back());
            continue;
        }
        full_ = old_file::find(each + '/' + plain_path(path));
        if (!full_)
            throw failure(quoted(each) + " has neither " + quoted(path) + " nor " +
                          quoted(plain_path(path)));
        break;
    }
    for (const part& each : parts_) sources_.push_back({each.blocks, each.truncation_length, 0});
    const auto made =
        backup::combination::of(sources_, full_ ? std::optional(full_->size()) : std::nullopt);
    if (!made) throw failure(quoted(path) + ": " + std::string(walwire::text(made.code())));
    whole_ = *made;
}

std::vector<const old_file*> rebuilt_file::sources() const {
    std::vector<const old_file*> all;
    for (const part& each : parts_) all.push_back(&each.file);
    if (full_) all.push_back(&*full_);
    return all;
}

void rebuilt_file::read_header(part& into) const {
    backup::incremental_reader reader(into.file.size());
    walwire::bytes in;
    for (std::uint64_t offset = 0; !reader.over();) {
        if (in.empty()) {
            in = room_.first(into.file.read(room_, offset));
            offset += in.size();
            if (in.empty()) reader.finish();
        }
        const auto told = reader.poll(in);
        if (!told) continue;
        if (const auto* const head = std::get_if<backup::incremental_head>(&*told)) {
            into.blocks.reserve(head->blocks);
            into.truncation_length = head->truncation_length;
        } else if (const auto* const block = std::get_if<backup::incremental_block>(&*told)) {
            into.blocks.push_back(block->number);
        } else if (const auto* const wrong = std::get_if<backup::incremental_failed>(&*told)) {
            throw failure(quoted(into.file.path()) + ", at byte " +
                          std::to_string(wrong->reason.offset) + ": " +
                          std::string(walwire::text(wrong->reason.code)));
        }
    }
}

walwire::bytes rebuilt_file::next() {
    if (!extent_ || taken_ == extent_->size) {
        extent_ = whole_.next();
        taken_ = 0;
        if (!extent_) return {};
    }
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(room_.size(), extent_->size - taken_));
    const walwire::mutable_bytes run = room_.first(size);
    if (extent_->origin == backup::extent_origin::zeros) {
        std::memset(run.data(), 0, run.size());
    } else {
        const bool full = extent_->origin == backup::extent_origin::full;
        const old_file& from = full ? *full_ : parts_[extent_->source].file;
        if (from.read(run, extent_->source_offset + taken_) < size)
            throw failure(quoted(from.path()) + " became shorter while it was read");
    }
    taken_ += size;
    return run;
}

} // namespace posix
