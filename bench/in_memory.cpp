// What a WAL message costs its receiver when the bytes are there already: nothing is read but the
// prepared stream, 64 KiB at a time.
//
//     in place    the reads are parts of the stream itself, in cache: what receiving costs
//     fed         each read is copied into one buffer first, as a system call would, and memcpy
//                 alone is the contestant to beat: what receiving adds to moving bytes
//
// libpq reads through recv(), which this program replaces for its one connection.
//
//     in_memory                                     every figure
//     in_memory once CONTESTANT PAYLOAD MESSAGES    so many messages, in place, for instructions.py

#include <errno.h>
#include <sys/syscall.h>

#include <cstdlib>
#include <memory>
#include <string_view>

#include "support/libpq_receiver.hpp"
#include "support/played_server.hpp"
#include "support/prepared.hpp"
#include "support/receivers.hpp"
#include "support/rounds.hpp"

namespace {

using namespace bench;

// What recv() gives on libpq's connection once it streams, instead of what the socket has.
struct {
    int number = -1;
    bytes left;
} replaced;

std::array<std::byte, read_size> buffer;

constexpr std::size_t rounds = 201;

template <class Take>
void each_read(bytes stream, bool copied, Take&& take) {
    for (bytes left = stream; !left.empty();) {
        bytes read = left.first(left.size() < read_size ? left.size() : read_size);
        left = left.subspan(read.size());
        if (copied) {
            std::memcpy(buffer.data(), read.data(), read.size());
            read = bytes(buffer).first(read.size());
            keep(buffer);
        }
        take(read);
    }
}

struct reader {
    static std::uint64_t feed(bytes in) { return touch(in); }
};

#ifdef WALWIRE_BENCH_LIBPQ
class replaced_libpq {
  public:
    explicit replaced_libpq(const std::string& conninfo) : receiver_(conninfo) {
        replaced.number = receiver_.number();
    }
    ~replaced_libpq() { replaced = {}; }

    std::uint64_t feed(bytes in) {
        replaced.left = in;
        std::uint64_t sum = 0;
        while (!replaced.left.empty()) sum += receiver_.take_read();
        return sum;
    }

  private:
    libpq_receiver receiver_;
};
#endif

class contest {
  public:
    // A stream of `size` bytes, received `passes` times in each round.
    contest(std::size_t payload, bool copied, std::size_t size, std::size_t passes)
        : server_(prepare(payload, size)), played_(server_, false), stream_(server_.wal),
          copied_(copied), passes_(passes) {}

    // Only so many messages of it.
    void shorten(std::size_t messages) {
        stream_ = stream_.first(messages * (server_.wal.size() / server_.messages));
    }

    std::vector<contestant> contestants() {
        std::vector<contestant> made;
        const auto add = [&](const char* name, auto make) {
            made.push_back({name, [this, make] { return timed(make); }});
        };
        if (copied_) add("memcpy", [] { return std::make_unique<reader>(); });
        add("walk", [] { return std::make_unique<walk>(); });
        add("session", [this] { return opened<session_receiver>(); });
#ifdef WALWIRE_BENCH_LIBPQ
        // One connection for all rounds: libpq minds neither positions nor time.
        const auto libpq = std::make_shared<replaced_libpq>(played_.conninfo());
        add("libpq", [libpq] { return libpq; });
#endif
        return made;
    }

  private:
    template <class Receiver>
    std::unique_ptr<Receiver> opened() const {
        auto made = std::make_unique<Receiver>();
        made->open(server_);
        return made;
    }

    // All passes by receivers that `make` brings to streaming, in nanoseconds for each message.
    template <class Make>
    double timed(const Make& make) const {
        stopwatch watch(CLOCK_MONOTONIC);
        std::uint64_t sum = 0;
        for (std::size_t pass = 0; pass < passes_; ++pass) {
            const auto receiver = make();
            watch.start();
            each_read(stream_, copied_, [&](bytes read) { sum += receiver->feed(read); });
            watch.stop();
        }
        keep(sum);
        return watch.passed() / static_cast<double>(passes_ * server_.messages);
    }

    prepared server_;
    played_server played_;
    bytes stream_;
    bool copied_;
    std::size_t passes_;
};

void compare_all() {
    say_what_is_missing();
    std::printf("Instructions for each message: bench/instructions.py, with valgrind.\n");
    for (const std::size_t payload : {std::size_t{100}, std::size_t{512}}) {
        contest in_place(payload, false, 512 * 1024, 8);
        const results found(in_place.contestants(), rounds);
        found.print((payload_name(payload) + " payloads, in place").c_str(), "ns/message");
        if (payload == 100) found.compare("session", 4.8);
        found.compare("session", "walk", 4.8 / 3.85);
    }
    for (const std::size_t payload : {std::size_t{8 * 1024}, std::size_t{128 * 1024}}) {
        contest fed(payload, true, 8 * 1024 * 1024, 1);
        const results found(fed.contestants(), rounds);
        found.print((payload_name(payload) + " payloads, fed").c_str(), "ns/message");
        found.compare("walk", "memcpy", 1.06);
        found.compare("session", "memcpy", 1.06);
    }
}

void run_once(std::string_view name, std::size_t payload, std::size_t messages) {
    contest in_place(payload, false, 8 * 1024 * 1024, 1);
    in_place.shorten(messages);
    for (const contestant& each : in_place.contestants())
        if (each.name == name) each.run();
}

} // namespace

extern "C" ssize_t recv(int number, void* room, std::size_t size, int flags) {
    if (number != replaced.number)
        return ::syscall(SYS_recvfrom, number, room, size, flags, nullptr, nullptr);
    const std::size_t taken = size < replaced.left.size() ? size : replaced.left.size();
    if (taken == 0) {
        errno = EAGAIN;
        return -1;
    }
    std::memcpy(room, replaced.left.data(), taken);
    replaced.left = replaced.left.subspan(taken);
    return static_cast<ssize_t>(taken);
}

int main(int count, char** words) {
    if (count == 5 && words[1] == std::string_view("once"))
        run_once(words[2], std::strtoul(words[3], nullptr, 10),
                 std::strtoul(words[4], nullptr, 10));
    else
        compare_all();
}
