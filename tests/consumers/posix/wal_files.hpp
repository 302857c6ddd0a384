// A directory of WAL as it is read: which segments and histories there are, and their bytes.
//
// Nothing but files of this one directory is ever opened, by names that are made from numbers.
// Segments are mapped into memory, so that what is sent to a client is never copied here; a mapping
// lives for as long as somebody holds it, also when the file is renamed or removed meanwhile. Files
// of an odd size are passed over, and so is a segment whose first page belongs elsewhere: servers
// keep old ones under the names of those to come.
//
// Whoever writes the directory must not cut a segment short while it is mapped. Neither walwire
// receive nor pg_receivewal nor a server does.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <walwire/bytes.hpp>
#include <walwire/lsn.hpp>
#include <walwire/wal/segment.hpp>

#include "descriptor.hpp"
#include "wal_scan.hpp"

namespace posix {

// A file's bytes, as they are at any time.
class mapping {
  public:
    // `whole`: it was found under its final name. Throws failure.
    mapping(const descriptor& file, std::size_t size, bool whole);
    mapping(const mapping&) = delete;
    mapping& operator=(const mapping&) = delete;
    ~mapping();

    walwire::bytes content() const noexcept { return content_; }
    bool whole() const noexcept { return whole_; }

  private:
    walwire::bytes content_;
    bool whole_;
};

using held_segment = std::shared_ptr<const mapping>;

class wal_files {
  public:
    // Throws failure where there is no directory, or nothing in it that tells which cluster it is
    // of.
    explicit wal_files(const std::string& path);

    const wal_cluster& cluster() const noexcept { return cluster_; }

    // Looks at the directory again if it changed; true if it did. Throws failure, and knows what it
    // knew before.
    bool refresh();

    // The segments of one timeline; whether each is whole, that is without `.partial`.
    using segments = std::map<std::uint64_t, bool>;
    const std::map<std::uint32_t, segments>& timelines() const noexcept { return timelines_; }
    // None if there is no such segment; else whether it is whole.
    std::optional<bool> find(walwire::timeline_id timeline,
                             walwire::wal::segment_number number) const noexcept;

    // Null where the segment is not there or not what its name says.
    held_segment open(walwire::timeline_id timeline, walwire::wal::segment_number number);

    // The text of a history file, or none.
    std::optional<std::string> history(walwire::timeline_id timeline) const;

  private:
    void find_cluster();
    void list();
    descriptor open_file(const char* name) const;
    descriptor open_segment(walwire::timeline_id timeline, walwire::wal::segment_number number,
                            bool& whole) const;

    std::string path_;
    descriptor directory_;
    wal_cluster cluster_;
    std::map<std::uint32_t, segments> timelines_;
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::weak_ptr<const mapping>> mapped_;
    timespec listed_{}; // the directory's time of change when it was read
    bool settled_ = false;
};

} // namespace posix
