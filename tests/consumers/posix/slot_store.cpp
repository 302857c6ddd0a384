#include "slot_store.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include <walwire/primary/slots_file.hpp>
#include <walwire/time.hpp>

#include "descriptor.hpp"
#include "failure.hpp"
#include "messages.hpp"

namespace posix {

namespace {

namespace primary = walwire::primary;

using content = std::array<std::byte, primary::slots_text_size_max(slot_store::slots_max)>;

void sync_directory(const std::string& file) {
    const std::size_t slash = file.rfind('/');
    const std::string path = slash == std::string::npos ? "." : file.substr(0, slash + 1);
    const descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || (::fsync(directory.number()) != 0 && errno != EBADF && errno != EINVAL))
        fail("could not sync directory " + quoted(path), errno);
}

} // namespace

slot_store::slot_store(const std::string& file) : file_(file), save_at_(walwire::never) {
    if (file_.empty()) return;
    const descriptor opened(::open(file_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened && errno == ENOENT) {
        save(); // it shows at once whether it can be written
        return;
    }
    if (!opened) fail("could not open " + quoted(file_), errno);
    content room{};
    std::size_t size = 0;
    for (ssize_t got = 1; got > 0 && size < room.size();) {
        got = ::read(opened.number(), room.data() + size, room.size() - size);
        if (got < 0 && errno == EINTR) {
            got = 1;
            continue;
        }
        if (got < 0) fail("could not read " + quoted(file_), errno);
        size += static_cast<std::size_t>(got);
    }
    const auto flaw =
        primary::parse_slots(walwire::as_text(walwire::bytes(room).first(size)), table_);
    if (!flaw.ok())
        throw failure(quoted(file_) + ", line " + std::to_string(flaw.line) + ": " +
                      std::string(walwire::text(flaw.code)));
}

void slot_store::save() {
    save_at_ = walwire::never;
    if (file_.empty()) return;
    content room{};
    walwire::writer text(room);
    static_cast<void>(primary::put_slots(text, table_)); // there is room for all
    const std::string temporary = file_ + ".tmp";
    const descriptor made(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!made) fail("could not create " + quoted(temporary), errno);
    const walwire::bytes all = text.written();
    const ssize_t size = ::write(made.number(), all.data(), all.size());
    if (size != std::ssize(all))
        fail("could not write " + quoted(temporary), size < 0 ? errno : ENOSPC);
    if (::fsync(made.number()) != 0) fail("could not sync " + quoted(temporary), errno);
    if (::rename(temporary.c_str(), file_.c_str()) != 0)
        fail("could not rename " + quoted(temporary), errno);
    sync_directory(file_);
}

void slot_store::moved(std::int64_t now) noexcept {
    if (!file_.empty() && save_at_ == walwire::never)
        save_at_ = walwire::later(now, walwire::second);
}

void slot_store::save_moves(std::int64_t now) {
    if (now < save_at_) return;
    try {
        save();
    } catch (const failure& wrong) {
        say(wrong.what());
        moved(now);
    }
}

} // namespace posix
