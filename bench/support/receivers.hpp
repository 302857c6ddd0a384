// Who receives the prepared stream: the least that anybody can do, and walwire's machines.
//
// Each has feed(), which takes one read's worth of the stream and reads its payloads.
#pragma once

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <variant>

#include <walwire/replica/session.hpp>
#include <walwire/replica/wal_receiver.hpp>

#include "prepared.hpp"

namespace bench {

inline void expect(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "the benchmark is wrong: %s\n", what);
    std::exit(1);
}

// Believes every header and asks for nothing but the length: the floor.
class walk {
  public:
    std::uint64_t feed(bytes in) {
        std::uint64_t sum = 0;
        if (held_ > 0) in = complete_front(in);
        for (;;) {
            const std::size_t run = left_ < in.size() ? left_ : in.size();
            sum += touch(in.first(run));
            left_ -= static_cast<std::uint32_t>(run);
            in = in.subspan(run);
            if (in.size() < front_size) break;
            left_ = payload_size(in.data());
            in = in.subspan(front_size);
        }
        if (!in.empty()) std::memcpy(front_.data(), in.data(), held_ = in.size());
        return sum;
    }

  private:
    static constexpr std::size_t front_size = wire::header_size + wire::wal_data_head_size;

    static std::uint32_t payload_size(const std::byte* front) {
        return load<std::uint32_t>(front + wire::tag_size) -
               static_cast<std::uint32_t>(front_size - wire::tag_size);
    }
    bytes complete_front(bytes in) {
        const std::size_t missing = front_size - held_;
        if (in.size() < missing) {
            std::memcpy(front_.data() + held_, in.data(), in.size());
            held_ += in.size();
            return {};
        }
        std::memcpy(front_.data() + held_, in.data(), missing);
        left_ = payload_size(front_.data());
        held_ = 0;
        return in.subspan(missing);
    }

    std::array<std::byte, front_size> front_{};
    std::size_t held_ = 0;
    std::uint32_t left_ = 0;
};

// What every walwire machine is told and given.
struct setting {
    setting() { options.user = "bench"; }

    replica::options options;
    std::array<std::byte, stash_size> stash;
    std::array<std::byte, out_size> out;
};

// A machine's payloads, read: the loop that every owner writes.
template <class Machine>
std::uint64_t drain(Machine& machine, bytes in, instant now) {
    std::uint64_t sum = 0;
    while (const auto told = machine.poll(in, now)) {
        if (const auto* const run = std::get_if<replica::wal_data>(&*told)) sum += touch(run->data);
    }
    return sum;
}

// A connection whose session is brought to streaming by the prepared words.
class session_receiver {
  public:
    session_receiver() : session_(setting_.options, {setting_.stash, setting_.out}) {}

    replica::session& machine() { return session_; }
    std::uint64_t feed(bytes in) { return drain(session_, in, {}); }

    void open(const prepared& server, instant now = {}) {
        hear({}, now);
        hear(server.admission, now);
        hear(server.agreement, now);
        session_.consume(session_.output().size());
        expect(streams(), "the session does not stream");
    }
    // Whatever the server says before it streams.
    void hear(bytes in, instant now) {
        while (const auto told = session_.poll(in, now)) {
            if (!std::holds_alternative<replica::ready>(*told)) continue;
            const wire::start_replication command{"", stream_start, timeline_id{1}};
            expect(session_.ask(command) == errc::none, "the command is refused");
        }
    }
    bool streams() const { return session_.at() == wire::phase::copy_both; }

  private:
    setting setting_;
    replica::session session_;
};

} // namespace bench
