#include "receive.hpp"

#include "follower.hpp"
#include "identify.hpp"
#include "receive_entries.hpp"
#include "wal_directory.hpp"

namespace posix {
namespace {

namespace replica = walwire::replica;

// Keeps PostgreSQL's WAL, segment by segment.
class receiver final : public follower {
  public:
    explicit receiver(const receive_arguments& given)
        : follower(given), directory_(given.directory) {}

  private:
    void place(const replica::placement_wanted& wanted) override {
        check_cluster(wanted.system_identifier);
        const auto found = directory_.resume(
            wanted.segment_size, wanted.group_access ? file_access::group : file_access::owner);
        for (const std::string& note : directory_.notes()) tell(note);
        if (!found) {
            static_cast<void>(machine().place_anew());
            return;
        }
        if (directory_.has_history(found->timeline)) machine().knows_history(found->timeline);
        static_cast<void>(machine().place({found->timeline, found->start, {}}));
    }
    // The segments of two clusters have the same names, and one would be written over the other.
    void check_cluster(std::uint64_t server) const {
        const auto ours = directory_.system_identifier();
        if (ours && *ours != server)
            throw failure(quoted(directory_.path()) +
                          " holds the log of another cluster (system identifier " +
                          std::to_string(*ours) + ", the server's is " + std::to_string(server) +
                          ')');
    }
    void keep_history(const replica::history_read& history) override {
        directory_.add_history(history.timeline, history.content);
    }
    void keep_wal(const replica::wal_data& run) override {
        directory_.write(machine().timeline(), run.start, run.data);
        received(run.data.size(), run.start + run.data.size());
    }
    void timeline_ended(const replica::timeline_ended& ended) override {
        directory_.end_timeline(ended.switch_point);
        machine().flushed(directory_.flushed());
    }
    void settle(bool asked) override {
        directory_.write_out();
        if (asked || given().synchronous) directory_.flush();
        machine().flushed(directory_.flushed());
    }
    void finish() override { directory_.finish(); }

    wal_directory directory_;
};

} // namespace

void receive(const receive_arguments& given) {
    if (given.create_slot) {
        link line(given.conninfo, given.dialect);
        create_slot(line, given.slot, given.if_not_exists);
        if (given.directory.empty()) return;
    }
    if (given.dialect == walwire::dialect::aiondb)
        receive_entries(given);
    else
        receiver(given).run();
}

} // namespace posix
