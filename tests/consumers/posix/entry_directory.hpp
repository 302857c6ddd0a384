// A directory in which a replica of AionDB's keeps what it received, and finds it again.
//
//     log              the batches (entry_log.hpp)
//     timeline         the timeline that the log's end lies on, in digits
//     system_id        whose log this is, as IDENTIFY_SYSTEM says it: digits, or any other text
//     00000002.history how timeline 2 came to be
//     *.tmp            left by a crash, never read, replaced when next needed
//
// What is promised. An entry that flush() reports survives the power failing at once. Nothing that
// was reported is ever taken away again: the log is only added to. A batch is written when it is
// whole, so a connection that breaks leaves nothing of it behind, and a crash at most a torn tail,
// which the next one who opens the directory cuts off. As what is not synced is never much, an
// invalid place that has more behind it is damage of another kind: it is refused, and nothing cut.
//
// A stream begins again with the last entry that is here already. A batch that brings nothing else
// is dropped; one that goes on behind it is kept whole, and the entry stands in the log twice
// (entry_log.hpp says how readers see it only once). To let the new batch take the place of the old
// one would mean to give up, for a while, what was reported.
//
// The order in which the files change is part of the promise. A timeline's history is durable
// before the timeline is, and the timeline before the first entry that is received on it: whoever
// looks at the log first and then at the timeline never takes an entry for one of an older one.
//
// Locking is as in wal_directory.hpp. Every failure is thrown with the operation, the path and the
// system's reason; after one, make a new object, which goes on from what is on disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/aiondb/message.hpp>
#include <walwire/bytes.hpp>
#include <walwire/lsn.hpp>

#include "descriptor.hpp"
#include "entry_log.hpp"

namespace posix {

// What one of the small files holds, but for the line's end; none where there is no such file. A
// file of more than `most` bytes is refused.
std::optional<std::string> read_small_file(const descriptor& directory, const std::string& name,
                                           const std::string& path, std::size_t most);
// The file is there whole, or the one before it is, whatever happens meanwhile.
void write_small_file(const descriptor& directory, const std::string& name, const std::string& path,
                      std::string_view content);
// The timeline that a file says; none where there is none. Throws failure where it says no such
// thing.
std::optional<walwire::timeline_id> read_timeline(const descriptor& directory,
                                                  const std::string& path);
// The same of the system identifier, a text without control characters.
std::optional<std::string> read_system_id(const descriptor& directory, const std::string& path);

class entry_directory {
  public:
    // Opens and locks it, looks the log through, and cuts off its torn tail; the rest is durable
    // then.
    explicit entry_directory(const std::string& path);

    const std::vector<std::string>& notes() const noexcept { return notes_; }

    // Whose log this is; empty: nobody's yet.
    const std::string& system_identifier() const noexcept { return system_identifier_; }
    // Durable when it returns. Another one than before is refused.
    void belong_to(const std::string& system_identifier);

    // 0: none yet.
    walwire::timeline_id timeline() const noexcept { return timeline_; }
    // Durable when it returns. An older one is refused where there are entries.
    void adopt(walwire::timeline_id timeline);
    // The history, under the name that we give it. The same text again is fine, another is refused.
    void add_history(walwire::timeline_id timeline, walwire::bytes text);

    // The last entry, and the last one that is durable; 0: none.
    walwire::aiondb::entry_lsn last() const noexcept { return log_.last(); }
    walwire::aiondb::entry_lsn durable() const noexcept { return durable_; }

    // The next run of a batch, as replica::entry_data has them: `begins` and `ends` mark its first
    // and its last. A batch that begins before last() is refused.
    void append(walwire::aiondb::entry_lsn first, walwire::aiondb::entry_lsn last,
                walwire::bytes run, bool begins, bool ends);
    // The connection broke: what there is of a batch that is not whole is forgotten.
    void forget_run() noexcept { batch_.clear(); }

    // Small batches are collected. This hands them to the system: call it once per read.
    void write_out();
    // The same, and syncs them; what is durable() now may be reported.
    void flush();

    const std::string& path() const noexcept { return path_; }

  private:
    std::string full(const std::string& name) const { return path_ + '/' + name; }
    void open_log();
    void cut(std::uint64_t size);

    std::string path_;
    descriptor directory_;
    descriptor file_;
    entry_log log_;
    std::vector<std::string> notes_;
    std::string system_identifier_;
    walwire::timeline_id timeline_;
    walwire::aiondb::entry_lsn durable_;
    std::vector<std::byte> batch_;     // that is arriving
    std::vector<std::byte> collected_; // follows what is in the file
    std::uint64_t written_ = 0;        // the file's size
    std::uint64_t unsynced_ = 0;
};

} // namespace posix
