#include "entry_source.hpp"

#include <fcntl.h>

#include <cerrno>

#include <walwire/wal/history.hpp>
#include <walwire/wal/segment.hpp>

#include "entry_directory.hpp"
#include "failure.hpp"

namespace posix {

entry_source::entry_source(const std::string& path) : path_(path) {
    directory_ = descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory_) fail("could not open directory " + quoted(path), errno);
    const auto identifier = read_system_id(directory_, path_);
    if (!identifier)
        throw failure("directory " + quoted(path) + " holds no log, for it has no system_id");
    system_identifier_ = *identifier;
    refresh();
}

void entry_source::refresh() {
    if (!file_) {
        file_ = descriptor(::openat(directory_.number(), "log", O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
        if (!file_ && errno != ENOENT) fail("could not open file " + quoted(path_ + "/log"), errno);
        if (file_) log_ = entry_log(file_.number(), path_ + "/log");
    }
    if (file_) log_.scan();
    const auto timeline = read_timeline(directory_, path_);
    if (!timeline) throw failure("directory " + quoted(path_) + " does not say its timeline");
    if (*timeline < timeline_)
        throw failure("directory " + quoted(path_) + " went back to timeline " +
                      std::to_string(timeline->value));
    timeline_ = *timeline;
}

std::optional<std::string> entry_source::history(walwire::timeline_id timeline) const {
    const std::string name(std::string_view(walwire::wal::history_name(timeline)));
    return read_small_file(directory_, name, path_, walwire::wal::history_size_max);
}

} // namespace posix
