// What it costs a primary to serve, in memory: the messages of one stream, and many standbys that
// have nothing to do.
//
//     stream      WAL that is lent and framed; nobody reads it. Beside it the least that anybody
//                 can do: a head of 30 bytes written by hand for each message.
//     standbys    sessions that stream and are told a status each, as every standby does each ten
//                 seconds; and asked for a sign of life, as a primary does each half minute
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <walwire/primary/session.hpp>

#include "support/receivers.hpp"
#include "support/rounds.hpp"

namespace {

using namespace bench;

constexpr std::array<std::byte, 4> cancel_key{};
constexpr lsn start{0x3000000};

// The words of a client that trusts itself in and asks for a stream.
std::vector<std::byte> opening() {
    std::vector<std::byte> room(256);
    writer out(room);
    wire::startup_writer startup(out, wire::protocol_3_0);
    startup.add("user", "bench");
    startup.add("replication", "true");
    startup.finish();
    put(out, wire::query{"START_REPLICATION 0/3000000"});
    room.resize(out.size());
    return room;
}

std::vector<std::byte> status(lsn at) {
    std::vector<std::byte> room(64);
    writer out(room);
    put(out, wire::standby_status_update{at, at, at, 0, false});
    room.resize(out.size());
    return room;
}

// One connection, brought to streaming. The memory that a session works in while it streams is
// touched no more than it needs, so most of the two buffers costs address space only.
class standby {
  public:
    standby() {
        primary::options chosen;
        chosen.cancel_key = cancel_key;
        chosen.limits.message_size_max = 2048;
        session_.emplace(chosen, memory{stash_, out_});
        const std::vector<std::byte> words = opening();
        for (bytes in = words; !session_->streaming();) {
            while (const auto told = session_->poll(in, instant{})) answer(*told);
            written();
        }
    }

    primary::session& session() { return *session_; }

    // What waits is written, to nobody.
    std::size_t written() {
        std::size_t size = 0;
        for (gather out = session_->output(); !out.empty(); out = session_->output()) {
            size += out.size();
            session_->consume(out.size());
        }
        return size;
    }

    void hear(bytes in, instant now) {
        while (session_->poll(in, now)) {
        }
    }

  private:
    void answer(const primary::event& told) {
        if (std::holds_alternative<primary::login_requested>(told))
            expect(session_->admit(auth::method::none) == errc::none, "a login");
        if (std::holds_alternative<primary::start_replication>(told))
            expect(session_->stream({{1}, start, {}, {}}) == errc::none, "a stream");
    }

    std::array<std::byte, 3072> stash_; // what the smallest limits need
    std::array<std::byte, 1024> out_;
    std::optional<primary::session> session_;
};

// Nanoseconds for each message of a stream.
double serve(bytes log, std::size_t messages) {
    standby one;
    one.session().advance(start + log.size());
    stopwatch watch(CLOCK_MONOTONIC);
    watch.start();
    bytes none;
    std::size_t size = 0;
    expect(one.session().send(log) == errc::none, "lending");
    while (!one.session().wants_wal()) {
        while (one.session().poll(none, instant{})) {
        }
        size += one.written();
    }
    watch.stop();
    expect(size > log.size(), "all was served");
    return watch.passed() / static_cast<double>(messages);
}

double frame_by_hand(bytes log, std::size_t messages) {
    std::array<std::byte, 64> room;
    stopwatch watch(CLOCK_MONOTONIC);
    watch.start();
    for (std::size_t at = 0; at < log.size(); at += wire::wal_payload_max) {
        const std::size_t size = std::min<std::size_t>(log.size() - at, wire::wal_payload_max);
        writer out(room);
        put(out, wire::wal_data_head{start + at, start + log.size(), 0},
            static_cast<std::uint32_t>(size));
        keep(room);
        keep(log[at]);
    }
    watch.stop();
    return watch.passed() / static_cast<double>(messages);
}

void measure_stream() {
    const std::vector<std::byte> log(64 * 1024 * 1024);
    const std::size_t messages = log.size() / wire::wal_payload_max;
    const results found({{"by hand", [&] { return frame_by_hand(log, messages); }},
                         {"session", [&] { return serve(log, messages); }}},
                        201);
    found.print("128 KiB messages, framed", "ns/message");
    std::printf("  of a session that is %.2f%% of copying the payload at 10 GiB/s\n",
                100 * found.figure("session") / (wire::wal_payload_max / 10.737));
}

void measure_standbys(std::size_t count) {
    std::vector<std::unique_ptr<standby>> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back(std::make_unique<standby>());
    const std::vector<std::byte> words = status(start);
    std::int64_t time = 0;
    const auto round = [&](bytes said, std::int64_t passed) {
        time += passed;
        std::size_t size = 0;
        stopwatch watch(CLOCK_MONOTONIC);
        watch.start();
        for (const auto& each : all) {
            each->hear(said, {time, 0});
            size += each->written();
        }
        watch.stop();
        keep(size);
        return watch.passed() / static_cast<double>(count);
    };
    const results found({{"a status heard", [&] { return round(words, 10 * second); }},
                         {"a keepalive said",
                          [&] {
                              round(words, millisecond);
                              return round({}, 31 * second);
                          }}},
                        31);
    found.print((std::to_string(count) + " standbys").c_str(), "ns for each");
    std::printf("  %-38s %8zu bytes\n", "a session", sizeof(primary::session));
    std::printf("  %-38s %8zu bytes\n", "with its memory, at the default limits",
                sizeof(primary::session) + stash_size + out_size);
    std::printf("  %-38s %8zu bytes\n", "with the least memory", sizeof(standby));
    const double seconds = found.figure("a status heard") * static_cast<double>(count) / 1e9;
    std::printf("  %-38s %8.4f %% of a core\n", "a status each ten seconds", 10 * seconds);
}

} // namespace

int main() {
    measure_stream();
    for (const std::size_t count : {std::size_t{1'000}, std::size_t{10'000}})
        measure_standbys(count);
}
