// A manifest on its way: file after file as they pass, and its text at the end.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

#include <walwire/auth/openssl.hpp>
#include <walwire/backup/manifest_writer.hpp>

#include "failure.hpp"

namespace posix {

class new_manifest {
  public:
    explicit new_manifest(const walwire::backup::manifest_started& as,
                          walwire::backup::path_form form = {})
        : form_(form) {
        put(piece_size, [&](walwire::mutable_bytes room) {
            return writer_.start(as, walwire::auth::openssl_digests(), room);
        });
    }

    // `modified`: Unix time in seconds.
    void add(const std::string& path, std::uint64_t size, std::int64_t modified,
             const walwire::backup::checksum_value& checksum) {
        const std::time_t at = modified;
        std::tm parts{};
        ::gmtime_r(&at, &parts);
        std::array<char, 64> date{};
        std::strftime(date.data(), date.size(), "%Y-%m-%d %H:%M:%S GMT", &parts);
        const walwire::backup::listed_file listed{path, size, date.data(), checksum};
        put(walwire::backup::manifest_piece_size_max(listed),
            [&](walwire::mutable_bytes room) { return writer_.file(listed, room, form_); });
    }

    const std::string& finish(const std::vector<walwire::backup::wal_range>& ranges) {
        for (const walwire::backup::wal_range& each : ranges)
            put(piece_size, [&](walwire::mutable_bytes room) { return writer_.range(each, room); });
        put(piece_size, [&](walwire::mutable_bytes room) { return writer_.end(room); });
        return text_;
    }

  private:
    static constexpr std::size_t piece_size = 1024; // for all but files

    template <class Write>
    void put(std::size_t size, Write&& write) {
        const std::size_t before = text_.size();
        text_.resize(before + size);
        const auto written = write(std::as_writable_bytes(std::span(text_.data() + before, size)));
        if (!written) throw failure(std::string(walwire::text(written.code())));
        text_.resize(before + *written);
    }

    walwire::backup::manifest_writer writer_;
    walwire::backup::path_form form_;
    std::string text_;
};

} // namespace posix
