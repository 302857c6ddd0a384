// Random commands that a given server version can be asked, for round trips and for real servers.
#pragma once

#include <walwire/dialect.hpp>
#include <walwire/wire/command.hpp>

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/prng.hpp"

namespace support {

using walwire::dialect;
namespace wire = walwire::wire;

// Owns the texts of the commands that it made.
class random_commands {
  public:
    explicit random_commands(std::uint64_t seed) : random_(seed) {}

    wire::command next(int major, dialect spoken) {
        const bool aiondb = spoken == dialect::aiondb;
        for (;;) {
            switch (below(12)) {
            case 0: return wire::identify_system{};
            case 1:
                if (aiondb) break;
                return wire::show{setting(major)};
            case 2:
                if (aiondb && flag()) return wire::timeline_history{};
                return wire::timeline_history{timeline()};
            case 3: return create(major, aiondb);
            case 4:
                if (major < 15 && !aiondb) break;
                return wire::read_replication_slot{slot()};
            case 5:
                if (major < 17 || aiondb) break;
                return alter(major);
            case 6:
                if (aiondb) break;
                return wire::drop_replication_slot{slot(), flag()};
            case 7: return start();
            case 8:
                if (aiondb) break;
                return wire::start_logical_replication{slot(), {position()}, options(major)};
            case 9: return aiondb ? wire::base_backup{} : backup(major);
            case 10:
                if (major < 17 || aiondb) break;
                return wire::upload_manifest{};
            default: return wire::sql{keep("SELECT " + text(30))};
            }
        }
    }

    std::uint32_t below(std::uint32_t end) {
        return static_cast<std::uint32_t>(random_.below(end));
    }
    bool flag() { return below(2) == 1; }

  private:
    std::string_view keep(std::string text) { return kept_.emplace_back(std::move(text)); }

    std::string_view slot() {
        static constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789_";
        std::string name;
        const std::uint32_t size = below(8) == 0 ? 63 : 1 + below(10);
        while (name.size() < size)
            name += letters[below(static_cast<std::uint32_t>(letters.size()))];
        return keep(name);
    }

    // Any bytes but NUL and line ends, with a liking for those that need care.
    std::string text(std::uint32_t size_end) {
        std::string made;
        for (std::uint32_t size = below(size_end); made.size() < size;) {
            static constexpr std::string_view odd = "''\"\"\\;(),./ \t-*$";
            made += flag() ? odd[below(static_cast<std::uint32_t>(odd.size()))]
                           : static_cast<char>(1 + below(255));
            if (made.back() == '\n' || made.back() == '\r') made.back() = 'n';
        }
        return made;
    }

    std::string_view identifier(int major) {
        for (;;) {
            std::string name = text(20);
            if (below(8) == 0) name.resize(63, 'x');
            if (name.empty() || (major < 19 && name.find('"') != std::string::npos)) continue;
            return keep(name);
        }
    }

    std::string_view setting(int major) {
        switch (below(4)) {
        case 0: return "wal_segment_size";
        case 1: return "DateStyle";
        case 2: return "auto_explain.log_format";
        default: return identifier(major);
        }
    }

    walwire::timeline_id timeline() { return {flag() ? 1 + below(9) : 1 + below(0xffffffff)}; }
    std::uint64_t position() {
        static constexpr std::uint64_t edges[] = {0, 1, 0xffffffff, 0x100000000, UINT64_MAX};
        return flag() ? edges[below(5)] : random_() >> below(64);
    }

    wire::create_replication_slot create(int major, bool aiondb) {
        wire::create_replication_slot made;
        made.name = slot();
        made.temporary = !aiondb && flag();
        if (aiondb || flag()) {
            made.reserve_wal = flag();
            return made;
        }
        made.kind = wire::slot_kind::logical;
        made.plugin = identifier(major);
        made.snapshot = static_cast<wire::slot_snapshot>(below(3));
        made.two_phase = major >= 15 && flag();
        made.failover = major >= 17 && !made.temporary && flag();
        return made;
    }

    wire::alter_replication_slot alter(int major) {
        wire::alter_replication_slot made{slot(), {}, {}};
        if (major >= 18 && flag()) made.two_phase = flag();
        if (!made.two_phase || flag()) made.failover = flag();
        return made;
    }

    wire::start_replication start() {
        wire::start_replication made;
        if (flag()) made.slot = slot();
        made.start = {position()};
        if (flag()) made.timeline = timeline();
        return made;
    }

    wire::plugin_options options(int major) {
        auto& list = lists_.emplace_back();
        for (std::uint32_t size = below(5); list.size() < size;) {
            wire::plugin_option option{identifier(major), std::nullopt};
            if (flag()) {
                std::string value = text(20); // one after the other, so that a seed means the same
                if (flag()) value += "\n\r";  // with every compiler
                option.value = keep(std::move(value));
            }
            list.push_back(option);
        }
        return wire::plugin_options(list);
    }

    wire::base_backup backup(int major) {
        wire::base_backup made;
        if (flag()) made.label = keep(below(8) == 0 ? std::string(1024, '\'') : text(40));
        made.progress = flag();
        made.checkpoint = static_cast<wire::backup_checkpoint>(below(2));
        made.wal = flag();
        made.wait = flag();
        if (flag()) made.max_rate = flag() ? 32 : 1048576 - below(1000);
        made.tablespace_map = flag();
        made.verify_checksums = flag();
        if (major >= 13) made.manifest = static_cast<wire::backup_manifest>(below(3));
        if (made.manifest != wire::backup_manifest::no && flag())
            made.checksums = static_cast<wire::manifest_checksums>(below(6));
        if (major < 15) return made;
        static constexpr std::string_view targets[] = {"", "client", "blackhole", "server",
                                                       "shell"};
        made.target = targets[below(5)];
        if (made.target == "server") made.target_detail = keep("/" + text(10));
        if (made.target == "shell") made.target_detail = keep(text(10));
        if (flag()) {
            made.compression = static_cast<wire::backup_compression>(below(4));
            if (flag()) made.compression_detail = keep(text(10));
        }
        made.incremental = major >= 17 && flag();
        return made;
    }

    support::prng random_;
    std::deque<std::string> kept_;
    std::deque<std::vector<wire::plugin_option>> lists_;
};

} // namespace support
