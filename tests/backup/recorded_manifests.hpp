// Manifests that real servers sent, and what the tests of reader, writer and verifier share.
#pragma once

#include <walwire/auth/openssl.hpp>
#include <walwire/backup/manifest_reader.hpp>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/guard.hpp"
#include "support/transcript.hpp"

namespace manifests {

using namespace walwire;
using namespace walwire::backup;

struct recorded {
    std::string_view name;
    std::uint32_t version;
    std::uint64_t system_identifier;
    std::size_t files;
    manifest_checksums algorithm;
    bool encoded;
    wal_range range;
};

// One of each kind, by the conversation that it was sent in.
inline constexpr recorded all[] = {
    {"pg13/d02_basebackup_manifest_encode",
     1,
     0,
     363,
     manifest_checksums::crc32c,
     true,
     {{1}, {0xB00028}, {0xB00100}}},
    {"pg15/d01_basebackup",
     1,
     0,
     375,
     manifest_checksums::sha256,
     false,
     {{1}, {0x900028}, {0x900100}}},
    {"pg17/d31_incremental",
     2,
     7710558966355700818,
     377,
     manifest_checksums::crc32c,
     false,
     {{1}, {0x1100028}, {0x1100120}}},
    {"pg18/d20_pg_basebackup18",
     2,
     7710559049754759303,
     375,
     manifest_checksums::crc32c,
     false,
     {{1}, {0xD00028}, {0xD00120}}},
};

// The manifests that one side of a conversation sent.
inline std::vector<std::string> sent(const support::transcript& talk, support::side by) {
    bytes left = talk.said(by);
    // A client's first message has no type.
    if (by == support::side::client && left.size() >= 4)
        left = left.subspan(walwire::load<std::uint32_t>(left.data()));
    std::string data;
    while (left.size() >= 5) {
        const std::size_t size = 1 + walwire::load<std::uint32_t>(left.data() + 1);
        if (size > left.size()) break;
        bytes body = left.first(size).subspan(5);
        // From 15 on a server says in front of each piece what it is.
        const bool typed = by == support::side::server && talk.major_version() >= 15;
        if (left.front() == std::byte{'d'} && (!typed || as_text(body).starts_with('d')))
            data += as_text(body.subspan(typed ? 1 : 0));
        left = left.subspan(size);
    }
    constexpr std::string_view begin = "{ \"PostgreSQL-Backup-Manifest-Version\": ";
    constexpr std::string_view end = "\n\"Manifest-Checksum\": \"";
    std::vector<std::string> found;
    for (std::size_t at = 0; (at = data.find(begin, at)) != std::string::npos;) {
        const std::size_t last = data.find("}\n", data.find(end, at)) + 2;
        found.push_back(data.substr(at, last - at));
        at = last;
    }
    return found;
}

inline std::string load(std::string_view name) {
    auto found = sent(support::transcript::load(name), support::side::server);
    if (found.size() != 1) throw std::runtime_error("not one manifest in " + std::string(name));
    return found[0];
}

// All that were ever recorded, with the name of the conversation.
inline std::vector<std::pair<std::string, std::string>> everything() {
    std::vector<std::pair<std::string, std::string>> found;
    for (const std::string& name : support::transcripts("d")) {
        const auto talk = support::transcript::load(name);
        for (const support::side by : {support::side::client, support::side::server})
            for (std::string& each : sent(talk, by)) found.emplace_back(name, std::move(each));
    }
    return found;
}

inline std::string sha256_of(std::string_view text) {
    auth::running_digest digest;
    checksum_value value;
    value.algorithm = manifest_checksums::sha256;
    if (digest.begin(auth::openssl_digests(), auth::digest_algorithm::sha256) != errc::none ||
        digest.update(as_bytes(text)) != errc::none ||
        digest.finish(mutable_bytes(value.digest).first(32)) != errc::none)
        throw std::runtime_error("no SHA-256");
    return std::string(std::string_view(to_text(value)));
}

// The lines with the last line that belongs to them.
inline std::string sealed(std::string lines) {
    const std::string sum = sha256_of(lines);
    return lines + "\"Manifest-Checksum\": \"" + sum + "\"}\n";
}

// The first line; the others of a small manifest.
inline const std::string first_line = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n";
inline const std::string first_lines =
    "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": 7,\n";
inline const std::string ranges = "\"WAL-Ranges\": [\n"
                                  "{ \"Timeline\": 1, \"Start-LSN\": \"0/28\", "
                                  "\"End-LSN\": \"0/100\" }\n"
                                  "],\n";
inline const std::string date = "\"Last-Modified\": \"2026-11-21 09:46:47 GMT\"";

inline std::string file_lines(std::string_view entry) {
    return "\"Files\": [\n" + std::string(entry) + "\n],\n";
}
inline std::string entry(std::string_view path, std::string_view more = "") {
    return "{ \"Path\": \"" + std::string(path) + "\", \"Size\": 3, " + date + std::string(more) +
           " }";
}

// An event as text.
struct rendered {
    std::string text;

    void operator()(const manifest_started& event) {
        text += "started " + std::to_string(event.version);
        if (event.system_identifier) text += " " + std::to_string(*event.system_identifier);
        text += "\n";
    }
    void operator()(const listed_file& event) {
        text += "file <" + std::string(event.path) + "> " + std::to_string(event.size) + " <" +
                std::string(event.last_modified) + ">";
        if (event.checksum.algorithm != manifest_checksums::none)
            text += " " + std::string(checksum_name(event.checksum.algorithm)) + " " +
                    std::string(std::string_view(to_text(event.checksum)));
        text += "\n";
    }
    void operator()(const wal_range& event) {
        text += "range " + std::to_string(event.timeline.value) + " " +
                std::string(std::string_view(to_text(event.start))) + " " +
                std::string(std::string_view(to_text(event.end))) + "\n";
    }
    void operator()(const manifest_ended& event) {
        text += "ended " + std::to_string(event.files) + " " + std::to_string(event.wal_ranges) +
                " " + std::string(std::string_view(to_text(event.checksum))) + "\n";
    }
    void operator()(const manifest_failed& event) {
        text += "failed: " + std::string(walwire::text(event.code)) + " at " +
                std::to_string(event.offset);
        if (!event.path.empty()) text += ", <" + std::string(event.path) + ">";
        text += "\n";
    }
};

// What a manifest came to.
struct verdict {
    errc code = errc::none; // of its failure
    std::uint64_t offset = 0;
    std::string path; // of the entry that it is in
    bool ended = false;
    std::string events;
};

inline verdict read(std::string_view text, std::size_t room_size = manifest_room_size,
                    const auth::digests& with = auth::openssl_digests()) {
    const support::guarded input(as_bytes(text));
    const support::guarded room(room_size);
    manifest_reader reader(room.span(), with);
    verdict found;
    bytes in = input;
    for (int round = 0; round < 2; ++round) {
        while (const auto event = reader.poll(in)) {
            rendered as;
            std::visit(as, *event);
            found.events += as.text;
            if (const auto* failed = std::get_if<manifest_failed>(&*event)) {
                found.code = failed->code;
                found.offset = failed->offset;
                found.path = failed->path;
            }
            found.ended = found.ended || std::holds_alternative<manifest_ended>(*event);
        }
        reader.finish();
    }
    if (!in.empty()) throw std::runtime_error("input was left");
    if (reader.over() != (found.ended || found.code != errc::none))
        throw std::runtime_error("not over when it is");
    return found;
}

} // namespace manifests
