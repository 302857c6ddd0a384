// Tar archives for tests: headers as a server sent them, archives put together by hand, those of
// recorded base backups, and what a reader makes of one, as text.
#pragma once

#include <walwire/backup/tar.hpp>
#include <walwire/backup/tar_reader.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "support/exhaustive.hpp"
#include "support/transcript.hpp"

namespace archives {

using namespace walwire;
using namespace walwire::backup;

using block = std::array<std::byte, tar_block_size>;

// A header of a base backup that PostgreSQL 12.22 sent: the parts that differ from one to the next,
// and the CRC-32 (zlib's) of the whole block.
struct recorded_header {
    std::string_view name;
    std::string_view fields; // mode to kind
    std::string_view target;
    std::uint32_t crc;
};

inline constexpr recorded_header recorded[] = {
    {"backup_label", "0000600 0001751 0001751 00000000317 15300264132 0015532 0", "", 0x33a57fa6},
    {"./pg_wal/archive_status/", "0000700 0001751 0001751 00000000000 15300264132 0017632 5", "",
     0x7dd00f3f},
    {"global/pg_control", "0000600 0001751 0001751 00000020000 15300264132 0016523 0", "",
     0xca319f7f},
    {"pg_tblspc/16392/", "0000777 0001751 0001751 00000000000 15300264132 0020177 2",
     "/tmp/pgt/12/ts1", 0xa6ec5ea9},
    {"pg_wal/00000001000000000000000B", "0000600 0001751 0001751 00004000000 15300264133 0016673 0",
     "", 0x501dca4b},
};

inline block whole(const recorded_header& said) {
    block made{};
    const auto put = [&](std::size_t at, std::string_view text) {
        std::memcpy(made.data() + at, text.data(), text.size());
    };
    put(0, said.name);
    put(100, said.fields);
    put(157, said.target);
    put(257, "ustar");
    put(263, "00");
    put(265, "postgres");
    put(297, "postgres");
    put(329, "0000000 0000000 ");
    return made;
}

// The checksum as it should be, counted byte by byte.
inline void sum_up(block& header) {
    std::memset(header.data() + 148, ' ', 8);
    unsigned sum = 0;
    for (const std::byte each : header) sum += std::to_integer<unsigned>(each);
    for (std::size_t i = 7; i-- > 0; sum /= 8)
        header[148 + i] = static_cast<std::byte>('0' + sum % 8);
}

// A file of mode 0600 and time 0.
inline block header_of(std::string_view name, std::uint64_t size = 0) {
    char fields[58];
    std::snprintf(fields, sizeof fields, "0000600 0000000 0000000 %011llo 00000000000         0",
                  static_cast<unsigned long long>(size));
    block made = whole({name, fields, "", 0});
    sum_up(made);
    return made;
}

class archive {
  public:
    archive& add(const block& header, std::string_view body = "") {
        bytes_.insert(bytes_.end(), header.begin(), header.end());
        const bytes said = as_bytes(body);
        bytes_.insert(bytes_.end(), said.begin(), said.end());
        return zeros(tar_padding(body.size()));
    }
    archive& file(std::string_view name, std::string_view body) {
        return add(header_of(name, body.size()), body);
    }
    archive& zeros(std::size_t count) {
        bytes_.resize(bytes_.size() + count);
        return *this;
    }

    std::vector<std::byte>& data() { return bytes_; }
    operator bytes() const { return bytes_; }

  private:
    std::vector<std::byte> bytes_;
};

// The archives of a recorded base backup; of compressed ones nothing.
inline std::vector<std::vector<std::byte>> archives_of(const support::transcript& talk) {
    const bool typed = talk.major_version() >= 15;
    std::vector<std::vector<std::byte>> found;
    bool open = false;
    bytes left = talk.said(support::side::server);
    while (left.size() >= 5 && load<std::uint32_t>(left.data() + 1) < left.size()) {
        const std::size_t size = load<std::uint32_t>(left.data() + 1);
        const char tag = std::to_integer<char>(left[0]);
        bytes body = left.subspan(5, size - 4);
        left = left.subspan(1 + size);
        bool begins = tag == 'H' && !typed;
        if (tag == 'd' && typed && body[0] != std::byte{'d'}) {
            begins = as_text(body).find(".tar\0", 0, 5) != std::string_view::npos;
            open = open && body[0] == std::byte{'p'}; // progress says nothing
        } else if (tag == 'd' && open) {
            body = body.subspan(typed ? 1 : 0);
            found.back().insert(found.back().end(), body.begin(), body.end());
        }
        if (begins) found.emplace_back();
        open = (open && tag != 'c') || begins;
    }
    std::erase_if(found, [](const auto& each) { // what went elsewhere; the manifest, up to 14
        return each.empty() || each.front() == std::byte{'{'};
    });
    return found;
}

// Events as text, a body's runs joined.
class rendering {
  public:
    void operator()(const entry_started& event) {
        static constexpr const char* kinds[] = {"file", "directory", "link"};
        const tar_entry& entry = event.entry;
        text_ += kinds[static_cast<int>(entry.kind)];
        text_ += " " + std::string(entry.path);
        if (!entry.target.empty()) text_ += " -> " + std::string(entry.target);
        text_ += " " + std::to_string(entry.size) + " [";
    }
    void operator()(const entry_data& event) {
        if (event.data.empty()) text_ += "(an empty run)";
        text_ += as_text(event.data);
    }
    void operator()(const entry_ended&) { text_ += "]\n"; }
    void operator()(const tar_ended&) { text_ += "ended\n"; }
    void operator()(const tar_failed& event) {
        if (!text_.empty() && text_.back() != '\n') text_ += "\n"; // in the middle of a body
        text_ += "failed at " + std::to_string(event.reason.offset) + ": ";
        text_ += walwire::text(event.reason.code);
        if (!event.path.empty()) text_ += ": " + std::string(event.path);
        text_ += "\n";
    }

    const std::string& text() const { return text_; }

  private:
    std::string text_;
};

// All that a reader says about an archive that comes in these pieces.
inline std::string read(support::chunks& input, tar_trailer trailer = tar_trailer::required) {
    rendering seen;
    tar_reader reader(trailer);
    while (auto in = input.next()) {
        while (const auto event = reader.poll(*in)) std::visit(seen, *event);
        if (!in->empty()) return seen.text() + "(input was left)";
    }
    reader.finish();
    bytes nothing;
    while (const auto event = reader.poll(nothing)) std::visit(seen, *event);
    if (!reader.over()) return seen.text() + "(not over)";
    return seen.text();
}

inline std::string read(bytes input, tar_trailer trailer = tar_trailer::required) {
    return support::rendering(input, {input.empty() ? 1 : input.size()},
                              [&](support::chunks& in) { return read(in, trailer); });
}

} // namespace archives
