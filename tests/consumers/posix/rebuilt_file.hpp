// A whole file again, from the incremental ones of a chain of backups and the full one that they
// build on.
//
// Every header is read first, and block numbers are all that is kept of them; then the result comes
// in order, in pieces as large as the room. What the files are, where the blocks come from and what
// is wrong with a file that was made to mislead is walwire/backup/incremental.hpp's and
// combination.hpp's to say: here is only the reading.
//
// Clusters with other blocks than those of 8 KiB, or other files than those of 1 GiB, are not
// known: the server has to be built for them, and so has pg_combinebackup.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <walwire/backup/combination.hpp>
#include <walwire/bytes.hpp>

#include "descriptor.hpp"

namespace posix {

// A file of a backup that is read. Throws failure.
class old_file {
  public:
    explicit old_file(std::string path);
    // Nothing where no such file is.
    static std::optional<old_file> find(std::string path);

    // As much as there is, up to the size of `room`.
    std::size_t read(walwire::mutable_bytes room, std::uint64_t offset) const;
    std::uint64_t size() const noexcept { return size_; }
    const std::string& path() const noexcept { return path_; }

  private:
    old_file(descriptor opened, std::string path);

    descriptor opened_;
    std::string path_;
    std::uint64_t size_ = 0;
};

// "base/5/1234" for "base/5/INCREMENTAL.1234". Throws failure for other names.
std::string plain_path(const std::string& path);

class rebuilt_file {
  public:
    // `path` is that of the newest backup's incremental file, below each of `directories`, of which
    // the newest comes first. Throws failure.
    rebuilt_file(const std::vector<std::string>& directories, const std::string& path,
                 walwire::mutable_bytes room);
    rebuilt_file(const rebuilt_file&) = delete;
    rebuilt_file& operator=(const rebuilt_file&) = delete;

    std::uint64_t size() const noexcept { return whole_.size(); }
    // What it is made of, that of the newest backup first; the last one may be a whole file.
    std::vector<const old_file*> sources() const;
    // What follows, in the room; empty at the end. Throws failure.
    walwire::bytes next();

  private:
    struct part {
        old_file file;
        std::vector<std::uint32_t> blocks;
        std::uint32_t truncation_length = 0;
    };

    void read_header(part& into) const;

    walwire::mutable_bytes room_;
    std::vector<part> parts_; // the newest first
    std::vector<walwire::backup::incremental_source> sources_;
    std::optional<old_file> full_;
    walwire::backup::combination whole_;
    std::optional<walwire::backup::extent> extent_;
    std::uint64_t taken_ = 0; // of the extent
};

} // namespace posix
