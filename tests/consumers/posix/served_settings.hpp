// What SHOW answers: the few settings that replicas ask for, and some that people do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <walwire/dialect.hpp>
#include <walwire/primary/registry.hpp>
#include <walwire/wal/segment.hpp>

#include "slot_store.hpp"

namespace posix {

// Replicas that may be logged in at once. PostgreSQL's default is 10, each a process of its own;
// here one costs its buffers, which are 36 KiB.
inline constexpr std::size_t max_wal_senders = 64;
// AionDB's are 10.
constexpr std::size_t max_wal_senders_of(walwire::dialect spoken) noexcept {
    return spoken == walwire::dialect::aiondb ? walwire::primary::max_wal_senders_default
                                              : max_wal_senders;
}

// A size as PostgreSQL prints it, "16MB" or "1GB".
inline std::string size_text(walwire::wal::segment_size size) {
    const std::uint32_t megabytes = size.value() >> 20;
    return megabytes % 1024 == 0 ? std::to_string(megabytes / 1024) + "GB"
                                 : std::to_string(megabytes) + "MB";
}

// "15.4 (Debian)" as 150004; the version was judged before.
inline std::string version_number(std::string_view version, int major) {
    std::uint64_t minor = 0;
    const std::size_t dot = version.find('.');
    if (dot != std::string_view::npos) {
        for (const char c : version.substr(dot + 1)) {
            if (c < '0' || c > '9' || minor > 999) break;
            minor = minor * 10 + static_cast<std::uint64_t>(c - '0');
        }
    }
    return std::to_string(static_cast<std::uint64_t>(major) * 10000 + minor);
}

struct served_settings {
    std::string server_version;
    int major_version = 0;
    walwire::wal::segment_size segment_size;

    // None for a name that is not known; names are in lower case.
    std::optional<std::string> find(std::string_view name) const {
        if (name == "server_version") return server_version;
        if (name == "server_version_num") return version_number(server_version, major_version);
        if (name == "wal_segment_size") return size_text(segment_size);
        if (name == "wal_block_size" || name == "block_size") return "8192";
        if (name == "data_directory_mode") return "0700";
        if (name == "wal_level") return "replica";
        if (name == "wal_sender_timeout") return "1min";
        if (name == "max_wal_senders") return std::to_string(max_wal_senders);
        if (name == "max_replication_slots") return std::to_string(slot_store::slots_max);
        if (name == "in_hot_standby") return "off";
        if (name == "integer_datetimes" || name == "standard_conforming_strings") return "on";
        if (name == "server_encoding" || name == "client_encoding") return "SQL_ASCII";
        if (name == "is_superuser") return "off";
        return std::nullopt;
    }
};

} // namespace posix
