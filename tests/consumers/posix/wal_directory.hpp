// A directory of WAL, kept so that pg_receivewal and this program can take turns on it.
//
//     000000010000000000000007            a whole segment; never touched again
//     000000010000000000000008.partial    the one being written: always of a segment's full size
//     00000002.history                    how timeline 2 came to be
//     *.tmp                               left by a crash, never read, replaced when next needed
//
// What is promised. A position that flush or a finished segment reports survives the power failing
// at once: the bytes are synced, and so are the names that lead to them. This is more than decency.
// A slot keeps no log before the position it was told, so the end of a segment must not be reported
// until its final name is durable: a restart that finds `.partial` begins that segment anew, and
// the server may no longer have it. Whatever step fails or is cut short, what is on disk can be
// resumed from.
//
// Space. A segment's room is taken when the segment is begun, so that a full disk shows before a
// byte of it is reported rather than in its middle. pg_receivewal writes zeros for that;
// posix_fallocate has the same effect for less: the blocks belong to the file, the size is final,
// and what was not written reads as zeros, also after a crash, so later syncs have data to write
// and no size to change. It is done under a temporary name, so that no crash leaves a `.partial` of
// an odd size, which pg_receivewal would refuse. Where the file system has no such call, zeros are
// written. (One that copies on write promises room to neither.)
//
// Locking. The directory is flock'ed, so a second walwire is refused. pg_receivewal takes no lock:
// take turns with it, not both at once.
//
// Every failure is thrown with the operation, the path and the system's reason. After one that may
// have lost bytes the object does nothing more, since a second fsync may report success for what
// the first one dropped: make a new object, which resumes from the disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <walwire/bytes.hpp>
#include <walwire/lsn.hpp>
#include <walwire/wal/segment.hpp>

#include "descriptor.hpp"
#include "failure.hpp"

namespace posix {

struct resume_point {
    walwire::timeline_id timeline;
    walwire::lsn start; // always the start of a segment
};

// Who may read the files: the server's data_directory_mode of 0750 asks for the group.
enum class file_access : std::uint8_t { owner, group };

class wal_directory {
  public:
    // Opens and locks it. Where locks do not exist, on some network file systems, notes() says so.
    explicit wal_directory(const std::string& path);
    // The same for one that is open already; the path is for messages alone.
    wal_directory(descriptor opened, const std::string& path);

    // Where to go on, from what is on disk: behind the highest segment over all timelines, or at
    // its start if it is `.partial`; of one segment the newest timeline counts, and the whole file
    // before the partial one. Nothing if there are none. Files of pg_receivewal's compression (.gz,
    // .lz4) count by their names, unopened: it gives them these when they are whole. A file with a
    // whole segment's name and another size is passed over, as pg_receivewal does, and mentioned in
    // notes().
    //
    // It fixes what the first connection told and comes before anything else below; it may come
    // again at each reconnection.
    std::optional<resume_point> resume(walwire::wal::segment_size size,
                                       file_access access = file_access::owner);
    // Whose log is here, as the newest file says that says anything: one that nothing was written
    // into yet does not, nor does one that is packed. None if there is no such file. A writer asks
    // before the first write, since another cluster's segments have the same names.
    std::optional<std::uint64_t> system_identifier() const;
    // What resume passed over, for a warning each.
    const std::vector<std::string>& notes() const noexcept { return notes_; }

    // Takes a run of WAL, of any size, across any number of segments; a segment that it completes
    // is synced and gets its final name. It must continue the one before, or start where a segment
    // starts, leaving no gap, on this timeline (after a reconnection) or a newer one: positions
    // then go back to there. Anything else is refused, and so is a segment of which a whole file
    // exists or a `.partial` has an odd size.
    void write(walwire::timeline_id timeline, walwire::lsn start, walwire::bytes run);

    // Small runs are collected. This hands them to the system, and says up to where it has them
    // all: call it once per read and report the result as written.
    walwire::lsn write_out();
    // The same, and syncs them: report the result as flushed.
    walwire::lsn flush();
    walwire::lsn written() const noexcept { return written_; }
    walwire::lsn flushed() const noexcept { return flushed_; }

    // The timeline was left at `switch_point`. What its last segment holds beyond is erased, also
    // what an earlier connection or an earlier program left there; the file is synced and stays
    // `.partial`, and the next timeline begins with the segment that holds the switch point.
    // Refused where the switch point lies beyond what was written, or before what whole segments
    // hold.
    void end_timeline(walwire::lsn switch_point);

    // The history file, under the name that we give it. The same text again is fine, another is
    // refused.
    void add_history(walwire::timeline_id timeline, walwire::bytes text);
    // Timeline 1 has none and needs none.
    bool has_history(walwire::timeline_id timeline) const;

    // What was written ends here: the segment that it ends in, if any, gets its final name all the
    // same, and reads as zeros from there on. For a backup's log, which nobody will continue here.
    void fill_up();

    // Syncs what was written and closes it. The destructor does not: it drops what was collected.
    void finish();

    const std::string& path() const noexcept { return path_; }

  private:
    std::string full(const std::string& name) const { return path_ + '/' + name; }

    void begin(walwire::timeline_id timeline, walwire::lsn start);
    void open_segment();
    bool open_partial(const std::string& name);
    void create_partial(const std::string& name);
    void put(walwire::bytes piece);
    void put_at(const descriptor& file, walwire::bytes data, std::uint64_t offset,
                const std::string& name);
    void erase_from(walwire::lsn end);
    void complete_segment();
    void close_segment();

    template <class Visit>
    void each_segment(walwire::wal::segment_size size, Visit&& visit) const;
    descriptor create_temporary(const std::string& name);
    bool reserve(const descriptor& file, const std::string& name);
    void fill_with_zeros(const descriptor& file, std::uint64_t from, std::uint64_t to,
                         const std::string& name);
    bool holds(const std::string& name, walwire::bytes text);
    void rename_unless_there(const std::string& from, const std::string& to);
    void sync(const descriptor& file, const std::string& name);
    void sync_directory();

    void check_usable() const;
    [[noreturn]] void break_down(const std::string& what, int code);

    std::string path_;
    descriptor directory_;
    walwire::wal::segment_size size_;
    bool sized_ = false;
    file_access access_ = file_access::owner;
    std::string lock_note_; // set where the directory could not be locked
    std::vector<std::string> notes_;
    std::optional<failure> broken_; // why nothing more is done

    descriptor segment_; // the `.partial` that holds written_, if one is open
    std::string segment_name_;
    bool reused_ = false;           // it was there before, and may hold more than written_ says
    walwire::timeline_id timeline_; // 0: nothing was written yet
    bool ended_ = false;            // the timeline was
    walwire::lsn written_;
    walwire::lsn flushed_;
    std::vector<std::byte> collected_; // follows written_, stays inside its segment
};

} // namespace posix
