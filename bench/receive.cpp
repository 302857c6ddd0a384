// What a stream of WAL costs its receiver over TCP on 127.0.0.1: processor time of the client's
// thread alone, system calls included. Another thread plays the primary and writes as much at once
// as the socket takes.
//
//     raw       recv() and nothing else
//     walk      the least that finds the payloads
//     session   replica::session, with the time of each read
//     libpq     PQgetCopyData
//
// All but libpq, which has a way of its own, read 64 KiB at most at a time.

#include <array>
#include <memory>

#include "support/libpq_receiver.hpp"
#include "support/played_server.hpp"
#include "support/prepared.hpp"
#include "support/receivers.hpp"
#include "support/rounds.hpp"

namespace {

using namespace bench;

constexpr std::size_t stream_size = 64 << 20;
constexpr std::size_t rounds = 21;

std::array<std::byte, read_size> buffer;

instant now() {
    return {static_cast<std::int64_t>(reading(CLOCK_MONOTONIC)),
            static_cast<std::int64_t>(reading(CLOCK_REALTIME))};
}

struct raw {
    static void open(const prepared&) {}
    static std::uint64_t feed(bytes in) { return touch(in); }
};

class walker {
  public:
    static void open(const prepared&) {}
    std::uint64_t feed(bytes in) { return walk_.feed(in); }

  private:
    walk walk_;
};

class session_on_time {
  public:
    void open(const prepared& server) { receiver_.open(server, now()); }
    std::uint64_t feed(bytes in) { return drain(receiver_.machine(), in, now()); }

  private:
    session_receiver receiver_;
};

// A connection that stands right before its WAL. Who starts it is all the same to the server.
class connection {
  public:
    connection(const played_server& played, const prepared& server) : number_(played.connect()) {
        constexpr std::array<std::byte, 8> start_up{{{}, {}, {}, std::byte{8}}};
        constexpr std::array<std::byte, 6> query{{std::byte{'Q'}, {}, {}, {}, std::byte{5}, {}}};
        send_all(number_, start_up);
        pass_over(server.admission.size());
        send_all(number_, query);
        pass_over(server.agreement.size());
    }
    ~connection() { ::close(number_); }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    // What came next; empty at the end.
    bytes read() const {
        const ssize_t size = ::recv(number_, buffer.data(), buffer.size(), 0);
        expect(size >= 0, "the connection broke");
        return bytes(buffer).first(static_cast<std::size_t>(size));
    }

  private:
    void pass_over(std::size_t size) const {
        expect(::recv(number_, buffer.data(), size, MSG_WAITALL) == static_cast<ssize_t>(size),
               "the server does not answer");
    }

    int number_;
};

class contest {
  public:
    explicit contest(std::size_t payload)
        : server_(prepare(payload, stream_size)), played_(server_) {}

    std::vector<contestant> contestants() {
        std::vector<contestant> made;
        made.push_back({"raw", [this] { return by_hand<raw>(); }});
        made.push_back({"walk", [this] { return by_hand<walker>(); }});
        made.push_back({"session", [this] { return by_hand<session_on_time>(); }});
#ifdef WALWIRE_BENCH_LIBPQ
        made.push_back({"libpq", [this] { return by_libpq(); }});
#endif
        return made;
    }
    double gibibytes() const {
        return server_.gibibytes();
    }
    double messages() const {
        return static_cast<double>(server_.messages);
    }

  private:
    template <class Receiver>
    double by_hand() const {
        const connection line(played_, server_);
        Receiver receiver;
        receiver.open(server_);
        stopwatch watch(CLOCK_THREAD_CPUTIME_ID);
        std::uint64_t sum = 0;
        std::size_t taken = 0;
        watch.start();
        for (bytes in = line.read(); !in.empty(); in = line.read()) {
            sum += receiver.feed(in);
            taken += in.size();
        }
        watch.stop();
        expect(taken == server_.wal.size(), "the stream is not whole");
        keep(sum);
        return seconds_each_gibibyte(watch);
    }
#ifdef WALWIRE_BENCH_LIBPQ
    double by_libpq() const {
        libpq_receiver receiver(played_.conninfo());
        stopwatch watch(CLOCK_THREAD_CPUTIME_ID);
        watch.start();
        const std::uint64_t sum = receiver.take(server_.messages);
        watch.stop();
        keep(sum);
        return seconds_each_gibibyte(watch);
    }
#endif
    double seconds_each_gibibyte(const stopwatch& watch) const {
        return watch.passed() / 1e9 / server_.gibibytes();
    }

    prepared server_;
    played_server played_;
};

void compare(std::size_t payload, double target) {
    contest over_tcp(payload);
    const results found(over_tcp.contestants(), rounds);
    found.print((payload_name(payload) + " payloads, over TCP, client's processor time").c_str(),
                "s/GiB", over_tcp.gibibytes() / over_tcp.messages() * 1e9, "ns/message");
    found.compare("session", payload == 100 ? "walk" : "raw", target);
#ifdef WALWIRE_BENCH_LIBPQ
    if (payload == 100)
        found.compare("session", "libpq", 0.45);
    else
        found.compare("session", "libpq");
#endif
}

} // namespace

int main() {
    say_what_is_missing();
    compare(100, 1.05);
    compare(512, 1.05);
    compare(8 * 1024, 1.03);
    compare(128 * 1024, 1.03);
}
