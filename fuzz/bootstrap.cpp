// replica::bootstrap on a disk that crashes: whatever is done, fails, is done in part, or is asked
// out of turn, a replica follows only when every step was durably done; a backup that lies there
// whole, with its identity, is kept; and one of which only a part came is never used.
#include <walwire/replica/bootstrap.hpp>

#include <cstdint>
#include <optional>
#include <string>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::replica;
using step = bootstrap_step;

namespace {

// What is durable, and what of it is right.
struct disk {
    bool manifest = false;
    bool wal = false;
    std::uint8_t backup = 0; // which backup lies there whole; 0: none, or a part of one
    std::uint32_t timeline = 0;
    std::string system_id;
};

class machine {
  public:
    explicit machine(std::uint8_t first) {
        data_.manifest = (first & 1) != 0; // of an attempt before
        data_.wal = (first & 2) != 0;
        if ((first & 4) != 0) data_.timeline = 77;
        start();
    }

    void act(std::uint8_t what) {
        const step here = it_->next();
        switch (what % 6) {
        case 0: // done, and said
            if (write(here, what, true)) say(here);
            break;
        case 1: // done, and a crash before it was said
            write(here, what, true);
            start();
            break;
        case 2: // a part of it, and a crash
            write(here, what, false);
            start();
            break;
        case 3: // a part of it, and an error
            write(here, what, false);
            it_->failed();
            break;
        case 4: start(); break;
        default: ask_out_of_turn(here, static_cast<step>(what / 6 % 8)); break;
        }
        look();
    }

  private:
    void start() {
        it_.emplace(bootstrap_found{data_.manifest, data_.wal, data_.system_id, {data_.timeline}});
        look();
    }

    // What a step does to the disk: each file is there whole or not at all.
    bool write(step here, std::uint8_t what, bool whole) {
        switch (here) {
        case step::write_manifest: data_.manifest = data_.manifest || whole; break;
        case step::clear_wal:
            check(data_.system_id.empty(), "the log of a replica that is one is not cleared");
            data_.backup = 0;
            if (whole) data_.wal = false;
            break;
        case step::take_backup:
            check(!data_.wal, "a backup is taken into an empty directory");
            data_.wal = whole || what % 2 == 0;
            data_.backup = static_cast<std::uint8_t>(whole ? 1 + what / 64 : 0);
            break;
        case step::write_timeline:
            if (whole) data_.timeline = it_->timeline().value;
            break;
        case step::write_system_id:
            check(data_.timeline == data_.backup, "the timeline lies there before");
            if (whole) data_.system_id = it_->system_identifier();
            break;
        default: break;
        }
        return whole;
    }
    void say(step here) {
        errc code = errc::none;
        if (here == step::take_backup)
            code = it_->done_backup({{data_.backup * 10u}, {data_.backup}, name()});
        else if (here == step::open_engine)
            code = it_->done_opening({data_.backup * 10u + 5u});
        else if (here != step::follow)
            code = it_->done(here);
        check(code == errc::none, "what was done may be said");
        if (here == step::follow)
            check(it_->done(here) == errc::not_now, "following has no end");
        else
            check(it_->next() != here, "and leads on");
    }
    void ask_out_of_turn(step here, step other) {
        if (other != here || other == step::take_backup || other == step::open_engine ||
            other == step::follow) {
            check(it_->done(other) == errc::not_now, "only what is next is done");
        }
        if (here != step::take_backup)
            check(it_->done_backup({{1}, {1}, "x"}) == errc::not_now, "no backup was asked for");
        if (here == step::open_engine && it_->backup_start().valid())
            check(it_->done_opening({it_->backup_start().value - 1}) == errc::position_ahead,
                  "an engine that found less than the backup does not go on");
        if (here != step::open_engine)
            check(it_->done_opening({UINT64_MAX}) == errc::not_now, "no engine was to be opened");
        check(it_->next() == here, "and nothing has changed");
    }
    void look() const {
        const step here = it_->next();
        check(here != step::broken, "what it left behind it knows");
        check((here == step::open_engine || here == step::follow) == !data_.system_id.empty() ||
                  here == step::write_system_id,
              "a replica is one from its identity on");
        if (data_.system_id.empty()) {
            check(here != step::open_engine && here != step::follow, "and not before");
            return;
        }
        check(data_.manifest && data_.wal && data_.backup != 0 && data_.timeline == data_.backup &&
                  data_.system_id == name(),
              "who has an identity has all of one backup");
        if (here != step::follow) return;
        check(it_->system_identifier() == name(), "it follows as who it is");
        check(it_->timeline() == timeline_id{data_.backup}, "on its timeline");
        check(it_->follow_from().value == data_.backup * 10u + 5u, "from where it is");
    }
    std::string name() const { return "system-" + std::to_string(data_.backup); }

    disk data_;
    std::optional<bootstrap> it_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0 || size > 200) return 0;
    machine it(data[0]);
    for (std::size_t i = 1; i < size; ++i) it.act(data[i]);
    return 0;
}
