// What can be served of a directory of AionDB's entries (entry_directory.hpp), also while somebody
// else adds to it.
//
// Whoever adds to it changes the timeline before the first entry of that timeline comes. So the log
// is looked at first and the timeline then: what was found belongs to the timeline that is read, or
// to an ancestor of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "descriptor.hpp"
#include "entry_log.hpp"

namespace posix {

class entry_source {
  public:
    // Throws failure where the directory does not say whose log it holds. There may be no entries
    // yet.
    explicit entry_source(const std::string& path);

    // Looks whether there is more. It costs next to nothing where there is not.
    void refresh();

    const std::string& system_identifier() const noexcept { return system_identifier_; }
    walwire::timeline_id timeline() const noexcept { return timeline_; }
    // Entries; 0: there are none.
    walwire::aiondb::entry_lsn first() const noexcept { return log_.first(); }
    walwire::aiondb::entry_lsn last() const noexcept { return log_.last(); }

    // As entry_log's.
    std::optional<stored_batch> find(walwire::aiondb::entry_lsn from, log_place& hint) const {
        return log_.find(from, hint);
    }
    void read(const stored_batch& batch, std::vector<std::byte>& into) const {
        log_.read(batch, into);
    }

    std::optional<std::string> history(walwire::timeline_id timeline) const;

    const std::string& path() const noexcept { return path_; }

  private:
    std::string path_;
    descriptor directory_;
    descriptor file_;
    entry_log log_;
    std::string system_identifier_;
    walwire::timeline_id timeline_;
};

} // namespace posix
