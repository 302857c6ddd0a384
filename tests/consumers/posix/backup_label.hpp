// The backup_label of a base backup: where in the log it begins, and what it builds on.
//
//     START WAL LOCATION: 0/2000028 (file 000000010000000000000002)
//     ...
//     LABEL: whatever its owner calls it, which may be several lines
//     START TIMELINE: 1
//     INCREMENTAL FROM LSN: 0/1000028        of incremental backups only
//     INCREMENTAL FROM TLI: 1
//
// Its owner's words stand in the middle and may look like any other line, so only the first line is
// believed, and the last ones.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <walwire/lsn.hpp>

namespace posix {

struct backup_start {
    walwire::lsn at;
    walwire::timeline_id timeline;

    friend bool operator==(const backup_start&, const backup_start&) = default;
};

// What a backup_label says about where a backup stands in a chain.
struct backup_label {
    backup_start start;
    std::optional<backup_start> builds_on; // only incremental backups say it
    std::string full;                      // the text of a full backup that starts here
};

// Nothing: that is no label.
std::optional<backup_label> parse_backup_label(std::string_view text);

} // namespace posix
