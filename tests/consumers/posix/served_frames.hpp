// One base backup in AionDB's dialect on its way to a client of `walwire serve`: the files of a
// directory, as frames (walwire/aiondb/backup.hpp).
//
// It is made in pieces as the session asks for them. Sizes are settled when the backup begins: a
// file that shrinks while it is read is filled up with zeros, and what it grows by is not sent.
// Links are refused, for nobody could say what they mean elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <walwire/aiondb/backup.hpp>
#include <walwire/primary/session.hpp>
#include <walwire/time.hpp>

#include "descriptor.hpp"
#include "entry_source.hpp"

namespace posix {

class served_frames {
  public:
    // Throws failure when the directory cannot be listed, or holds what is neither a file nor a
    // directory.
    served_frames(const entry_source& source, const std::string& directory);

    // Goes on as far as the session has room for; true if anything moved. Throws failure when a
    // file cannot be read, for the client to be told.
    bool turn(walwire::primary::session& session, std::int64_t now);

    static std::int64_t deadline() noexcept { return walwire::never; }
    bool over() const noexcept { return at_ == place::over; }
    std::size_t files() const noexcept { return files_.size(); }

  private:
    struct listed {
        std::string path;
        std::uint64_t size;
    };
    enum class place : std::uint8_t { start, header, files, body, end, over };

    void walk(const descriptor& directory, const std::string& below);
    walwire::errc step(walwire::primary::session& session);
    walwire::errc put_next();
    void read_body(walwire::mutable_bytes into);
    void open_file();

    std::string directory_;
    descriptor root_;
    walwire::aiondb::entry_lsn start_;
    walwire::timeline_id timeline_;
    std::string system_identifier_;
    std::vector<listed> files_;
    walwire::aiondb::backup_writer writer_;
    std::vector<std::byte> chunk_;
    std::size_t chunk_size_ = 0;
    descriptor file_;
    std::size_t next_ = 0;
    std::uint64_t left_ = 0; // of the open file
    bool short_ = false;     // it has ended before its time
    place at_ = place::start;
};

} // namespace posix
