// What a message of payload costs its receiver in PostgreSQL's dialect, and a batch of the same
// size in AionDB's: the reads are parts of a prepared stream, in cache, 64 KiB at a time.
//
// PostgreSQL's stream has a fast path, as its messages come by the hundred thousand. AionDB's
// primaries put up to 1024 entries, or about 1 MiB, into one batch, so that there each message
// pays for many entries; its road is the ordinary one.
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include <walwire/aiondb/message.hpp>
#include <walwire/replica/session.hpp>

#include "support/prepared.hpp"
#include "support/receivers.hpp"
#include "support/rounds.hpp"

namespace {

using namespace bench;

// The same server in the other dialect: as many batches, of the same payloads.
prepared in_batches(const prepared& server) {
    constexpr std::size_t head = wire::header_size + aiondb::batch_head_size;
    constexpr std::size_t wal_head = wire::header_size + wire::wal_data_head_size;
    prepared made = server;
    made.wal.resize(server.messages * (head + server.payload));
    for (std::size_t i = 0; i < server.messages; ++i) {
        const std::span to(made.wal.data() + i * (head + server.payload), head + server.payload);
        const std::byte* const payload =
            server.wal.data() + i * (wal_head + server.payload) + wal_head;
        const std::uint64_t first = 1 + i * 16;
        writer out(to);
        put(out,
            aiondb::batch_head{{first}, {first + 15}, static_cast<std::uint32_t>(server.payload)});
        out.append(bytes(payload, server.payload));
        expect(out.ok(), "a batch does not fit");
    }
    return made;
}

class receiver {
  public:
    receiver(const prepared& server, dialect spoken) : session_(speaking(spoken), {stash_, out_}) {
        const lsn start = spoken == dialect::aiondb ? lsn{1} : stream_start;
        for (const bytes words : {bytes(), bytes(server.admission), bytes(server.agreement)}) {
            bytes in = words;
            while (const auto told = session_.poll(in, {})) {
                if (!std::holds_alternative<replica::ready>(*told)) continue;
                const wire::start_replication command{"", start, timeline_id{1}};
                expect(session_.ask(command) == errc::none, "the command is refused");
            }
        }
        session_.consume(session_.output().size());
        expect(session_.at() == wire::phase::copy_both, "the session does not stream");
    }

    // All of the stream; the payloads are read as bench::touch reads them.
    std::uint64_t feed(bytes stream) {
        std::uint64_t sum = 0;
        while (!stream.empty()) {
            bytes in = stream.first(stream.size() < read_size ? stream.size() : read_size);
            stream = stream.subspan(in.size());
            while (const auto told = session_.poll(in, {})) {
                bytes payload;
                if (const auto* const run = std::get_if<replica::wal_data>(&*told))
                    payload = run->data;
                else if (const auto* const part = std::get_if<replica::entry_data>(&*told))
                    payload = part->data;
                sum += touch(payload);
                size_ += payload.size();
            }
        }
        return sum;
    }
    std::uint64_t size() const { return size_; }

  private:
    static replica::options speaking(dialect spoken) {
        replica::options made;
        made.user = "bench";
        made.dialect = spoken;
        return made;
    }

    std::array<std::byte, stash_size> stash_;
    std::array<std::byte, out_size> out_;
    replica::session session_;
    std::uint64_t size_ = 0;
};

contestant receives(const char* name, const prepared& server, dialect spoken) {
    return {name, [&server, spoken] {
                constexpr std::size_t passes = 4;
                stopwatch watch(CLOCK_MONOTONIC);
                std::uint64_t sum = 0;
                for (std::size_t pass = 0; pass < passes; ++pass) {
                    const auto made = std::make_unique<receiver>(server, spoken);
                    watch.start();
                    sum += made->feed(server.wal);
                    watch.stop();
                    expect(made->size() == server.messages * server.payload, "payload is missing");
                }
                keep(sum);
                return watch.passed() / static_cast<double>(passes * server.messages);
            }};
}

} // namespace

int main() {
    for (const std::size_t payload : {std::size_t{100}, std::size_t{512}, std::size_t{8 * 1024},
                                      std::size_t{128 * 1024}, std::size_t{1024 * 1024}}) {
        const std::size_t size = payload < 8 * 1024 ? 512 * 1024 : 8 * 1024 * 1024;
        const prepared postgres = prepare(payload, size);
        const prepared aiondb = in_batches(postgres);
        const results found({receives("PostgreSQL", postgres, dialect::postgres),
                             receives("AionDB", aiondb, dialect::aiondb)},
                            51);
        found.print((payload_name(payload) + " payloads, in place").c_str(), "ns/message");
        found.compare("AionDB", "PostgreSQL");
    }
}
