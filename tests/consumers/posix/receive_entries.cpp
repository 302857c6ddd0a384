#include "receive_entries.hpp"

#include "entry_directory.hpp"
#include "follower.hpp"

namespace posix {
namespace {

namespace replica = walwire::replica;

// How long an entry may wait to be synced, together with those that come meanwhile.
constexpr std::int64_t flush_interval = 100 * walwire::millisecond;

class entry_receiver final : public follower {
  public:
    entry_receiver(const receive_arguments& given, entry_directory& directory)
        : follower(given, directory.system_identifier()), directory_(directory) {
        for (const std::string& note : directory_.notes()) tell(note);
    }

  private:
    // Ours already, or the first that this directory meets.
    void identified(const replica::system_identified& system) override {
        directory_.belong_to(std::string(system.identifier_text));
    }
    void place(const replica::placement_wanted&) override {
        if (directory_.durable().valid()) {
            static_cast<void>(machine().place(
                replica::entry_placement{directory_.timeline(), directory_.durable(), {}}));
        } else {
            static_cast<void>(machine().place_anew());
        }
    }
    // It comes once our log is known to lie on it; the machine has adopted its timeline.
    void keep_history(const replica::history_read& history) override {
        directory_.add_history(history.timeline, history.content);
        if (directory_.timeline().valid()) directory_.adopt(history.timeline);
    }
    void stream_began(const replica::following& stream) override {
        directory_.adopt(stream.timeline);
    }
    void keep_entries(const replica::entry_data& run) override {
        directory_.append(run.first, run.last, run.data, run.begins, run.ends);
        if (flush_at_ == walwire::never) flush_at_ = walwire::later(now().steady, flush_interval);
        if (run.ends && given().end && run.last.as_position() >= *given().end) flush();
        received(run.data.size(), run.ends ? run.last.as_position() : position());
    }
    // Whole batches are as good as any, and the next stream is to begin with the last of them.
    void connection_ended() override {
        directory_.forget_run();
        flush();
    }
    void settle(bool asked) override {
        directory_.write_out();
        const bool due = now().steady >= flush_at_;
        if (asked || due || given().synchronous || machine().over()) flush();
        machine().entries_flushed(directory_.durable());
    }
    void before_stop() override { flush(); }
    std::int64_t settle_by() const override { return flush_at_; }
    void finish() override { flush(); }

    void flush() {
        directory_.flush();
        machine().entries_flushed(directory_.durable());
        flush_at_ = walwire::never;
    }

    entry_directory& directory_;
    std::int64_t flush_at_ = walwire::never;
};

} // namespace

void receive_entries(const receive_arguments& given) {
    entry_directory directory(given.directory);
    entry_receiver(given, directory).run();
}

} // namespace posix
