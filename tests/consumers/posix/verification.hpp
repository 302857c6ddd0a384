// What came of a backup, held against what its manifest says should have come.
//
// Every file is noted with its size and checksum as it passes; the manifest, which comes last, is
// read as it passes, too. Only `conclude` says that all is well: that the manifest's own checksum
// is right, that every file in it came, has the size and the checksum that it says, and a checksum
// at all if any were asked for, that no file came that it does not list, and that the WAL it needs
// is that from where the server said the backup starts to where it said it ends.
//
// What manifests do not list is not verified: directories, links, and what lies in pg_wal. Nor is a
// manifest signed: it says what the server read, and nothing of whether that was right.
//
// Servers up to 12 have no manifests, and whoever asks for none gets none: then files are noted for
// the sake of doubles alone, and checksums are not even computed.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/auth/openssl.hpp>
#include <walwire/backup/archive.hpp>
#include <walwire/backup/checksum.hpp>
#include <walwire/backup/manifest_reader.hpp>
#include <walwire/backup/verifier.hpp>

namespace posix {

class verification {
  public:
    // `algorithm`: the one that the manifest was asked for with; none where no manifest comes.
    // `system_identifier`: of whom the backup is; 0 where that is not known.
    explicit verification(walwire::backup::manifest_checksums algorithm,
                          std::uint64_t system_identifier = 0);
    verification(const verification&) = delete;
    verification& operator=(const verification&) = delete;

    // One file after the other: its path as a manifest has it, its bytes, and their end. Throws
    // failure for a path that came before.
    void file(std::string_view path);
    void data(walwire::bytes run);
    void file_ended();

    // Whether a file of this path came.
    bool has(std::string_view path) const noexcept { return files_.has(path); }

    // The manifest's bytes. Throws failure as soon as they are none of a manifest.
    void manifest(walwire::bytes run);
    // Given where the server said that the backup starts and ends. Throws failure, which names the
    // first file that is not what it should be.
    void conclude(const walwire::backup::started& from, const walwire::backup::ended& to);

    std::size_t files() const noexcept { return files_.size(); }
    // How many of them the manifest listed, and how many of those with a checksum.
    std::size_t listed() const noexcept { return listed_; }
    std::size_t checked() const noexcept { return checked_; }

  private:
    void heard(const walwire::backup::manifest_event& told);
    void note(std::string_view path, const char* what);
    void check_ranges(const walwire::backup::started& from, const walwire::backup::ended& to);
    static void expect(walwire::errc code);

    const walwire::backup::manifest_checksums algorithm_;
    const std::uint64_t system_identifier_;
    std::vector<walwire::backup::file_record> table_;
    walwire::backup::verifier files_;
    std::deque<std::string> paths_; // the verifier keeps views of them
    walwire::backup::checksum checksum_;
    std::uint64_t size_ = 0; // of the file that passes
    std::vector<std::byte> room_;
    walwire::backup::manifest_reader reader_;
    std::vector<walwire::backup::wal_range> ranges_;
    std::size_t listed_ = 0;
    std::size_t checked_ = 0;
    bool whole_ = false;
    std::string wrong_; // what was found first
    std::size_t findings_ = 0;
};

} // namespace posix
