// replica::wal_receiver, driven by an owner and a server that do anything in any order.
//
// The input is a list of steps: open or refuse the transport, deliver bytes of the server's, lose
// the connection, let time pass, place, flush, stop. Properties: a transport is asked for only when
// there is none, and closed exactly once; WAL comes only behind `following`, without a gap;
// positions that were reported never fall but by a timeline's end; the machine ends once, at the
// latest when it is stopped, and never spins: a poll in the place of a deadline moves it.
#include <array>
#include <cstdint>
#include <vector>

#include <walwire/replica/wal_receiver.hpp>

#include "support/check.hpp"

using namespace walwire;

namespace {

class owner {
  public:
    explicit owner(std::uint8_t choice) : machine_(options_for(choice), {stash_, out_}) {
        turn({});
    }

    void act(bytes& steps) {
        const auto step = std::to_integer<std::uint8_t>(steps[0]);
        steps = steps.subspan(1);
        switch (step % 12) {
        case 0: opens_ = true; break;
        case 1: opens_ = false; break;
        case 2: machine_.disconnected(); break;
        case 3: machine_.finish(); break;
        case 4: now_.steady += millisecond << (step / 12); break;
        case 5: machine_.flushed(received_); break;
        case 6: machine_.applied(received_); break;
        case 7:
            if (step / 12 == 20) machine_.stop();
            break;
        case 8: machine_.report(); break;
        case 9: sleep(); break;
        default: deliver(steps, step);
        }
        turn({});
    }

    void end() {
        machine_.stop();
        for (int i = 0; i < 200 && !machine_.over(); ++i) {
            turn({});
            sleep();
        }
        check(machine_.over(), "a machine that is stopped comes to an end");
        check(!connected_, "the transport was closed");
        check(endings_ == 1, "it ends once");
    }

  private:
    static replica::receiver_options options_for(std::uint8_t choice) {
        replica::receiver_options made;
        made.connection.user = "u";
        made.connection.limits.message_size_max = 2000;
        if ((choice & 1) != 0) made.slot = "s";
        made.retry = (choice & 2) == 0;
        if ((choice & 4) != 0) made.alternative_tls = replica::encryption::off;
        if ((choice & 4) != 0) made.connection.tls = replica::encryption::offered;
        return made;
    }

    void deliver(bytes& steps, std::uint8_t step) {
        const std::size_t size = step / 12 < 20 ? step / 12 * 6u : steps.size();
        const bytes part = steps.first(size < steps.size() ? size : steps.size());
        steps = steps.subspan(part.size());
        if (connected_) turn(part);
    }

    void sleep() {
        const std::int64_t deadline = machine_.deadline();
        if (deadline == never) return;
        if (deadline > now_.steady) now_.steady = deadline;
        const std::size_t before = told_;
        turn({});
        check(machine_.deadline() > now_.steady || told_ > before || machine_.over() ||
                  !machine_.output().empty() || machine_.deadline() == INT64_MIN,
              "a deadline that was kept is gone");
    }

    void turn(bytes in) {
        std::size_t polls = 0;
        const std::size_t bound = 64 + 2 * in.size();
        while (const auto told = machine_.poll(in, now_)) {
            check(++polls < bound, "the work is bounded by the input");
            check(endings_ == 0, "nothing is told after the end");
            ++told_;
            std::visit([this](const auto& event) { heard(event); }, *told);
        }
        if (connected_) machine_.consume(machine_.output().size());
        check(connected_ || machine_.output().empty(), "there is output only with a connection");
        check(machine_.durable() >= durable_, "what is durable stays so");
        durable_ = machine_.durable();
    }

    void heard(const replica::connect_wanted&) {
        check(!wanted_, "one transport at a time");
        wanted_ = true;
        following_ = false;
        if (!opens_) {
            check(machine_.connect_failed() == errc::none, "a refusal is taken");
        } else {
            check(machine_.connected() == errc::none, "a transport is taken");
            connected_ = true;
        }
    }
    void heard(const replica::disconnect_wanted&) {
        check(wanted_, "there was a transport to close");
        wanted_ = connected_ = false;
    }
    void heard(const replica::tls_accepted&) { check(machine_.secured() == errc::none, "secured"); }
    void heard(const replica::password_wanted&) {
        static_cast<void>(machine_.give_password("secret"));
    }
    void heard(const replica::placement_wanted&) {
        check(!placed_, "a placement is wanted once");
        placed_ = true;
        check(machine_.place_anew() == errc::none, "a placement is taken");
    }
    void heard(const replica::following& stream) {
        following_ = true;
        received_ = stream.start;
        check(wal::offset_in_segment(stream.start, machine_.segment_size()) == 0,
              "streams begin at a segment's start");
    }
    void heard(const replica::wal_data& run) {
        check(following_, "WAL comes behind `following`");
        check(run.start == received_, "WAL is contiguous");
        received_ = run.start + run.data.size();
    }
    void heard(const replica::timeline_ended& ended) {
        following_ = false;
        if (ended.switch_point < durable_) durable_ = ended.switch_point;
        if (ended.switch_point < received_) received_ = ended.switch_point;
    }
    void heard(const replica::stopped&) { ++endings_; }
    void heard(const replica::given_up&) { ++endings_; }
    template <class Event>
    void heard(const Event&) {}

    std::array<std::byte, 2048> stash_{};
    std::array<std::byte, 1024> out_{};
    replica::wal_receiver machine_;
    instant now_{1000, 0};
    lsn received_;
    lsn durable_;
    std::size_t told_ = 0;
    int endings_ = 0;
    bool opens_ = true;
    bool wanted_ = false;
    bool connected_ = false;
    bool following_ = false;
    bool placed_ = false;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) return 0;
    bytes steps = std::as_bytes(std::span(data, size)).subspan(1);
    owner drives(data[0]);
    while (!steps.empty()) drives.act(steps);
    drives.end();
    return 0;
}
