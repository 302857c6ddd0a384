// A server's words, prepared: from AuthenticationOk to a stream of WAL messages of one size.
//
// Everybody who receives them reads the payload alike: the first and the last word of each run that
// he is given. That is little enough to leave the receiving visible, and enough that nobody can win
// by leaving the bytes alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <walwire/lsn.hpp>
#include <walwire/wire/backend.hpp>
#include <walwire/wire/copy.hpp>

namespace bench {

using namespace walwire;

inline constexpr std::size_t read_size = 64 * 1024;
inline constexpr lsn stream_start{0x1000000};

struct prepared {
    std::vector<std::byte> admission; // the answer to the start-up packet
    std::vector<std::byte> agreement; // the answer to START_REPLICATION
    std::vector<std::byte> wal;
    std::size_t payload = 0;
    std::size_t messages = 0;

    double gibibytes() const { return static_cast<double>(wal.size()) / (1 << 30); }
};

inline std::string payload_name(std::size_t size) {
    return size < 1024 ? std::to_string(size) + " B" : std::to_string(size / 1024) + " KiB";
}

// About `size` bytes of WAL messages.
inline prepared prepare(std::size_t payload, std::size_t size) {
    prepared made;
    made.admission.resize(512);
    writer admission(made.admission);
    wire::put(admission, wire::authentication{});
    wire::put(admission, wire::parameter_status{"server_version", "15.0"});
    wire::put(admission, wire::parameter_status{"client_encoding", "SQL_ASCII"});
    wire::put(admission, wire::backend_key_data{1, std::array<std::byte, 4>{}});
    wire::put(admission, wire::transaction_status::idle);
    made.admission.resize(admission.size());

    made.agreement.resize(64);
    writer agreement(made.agreement);
    wire::put_copy_response(agreement, wire::backend_tag::copy_both_response);
    made.agreement.resize(agreement.size());

    constexpr std::size_t front = wire::header_size + wire::wal_data_head_size;
    made.payload = payload;
    made.messages = size / (front + payload);
    made.wal.resize(made.messages * (front + payload));
    const lsn end = stream_start + made.messages * payload;
    std::uint64_t content = 1;
    for (std::size_t i = 0; i < made.messages; ++i) {
        const auto at = made.wal.begin() + static_cast<std::ptrdiff_t>(i * (front + payload));
        writer head(std::span(at, front));
        wire::put(head, wire::wal_data_head{stream_start + i * payload, end, 0},
                  static_cast<std::uint32_t>(payload));
        for (std::size_t j = front; j < front + payload; ++j) {
            content = content * 6364136223846793005 + 1442695040888963407;
            at[static_cast<std::ptrdiff_t>(j)] = static_cast<std::byte>(content >> 56);
        }
    }
    return made;
}

// What reading a run comes to. Runs of less than a word are read by their first byte.
inline std::uint64_t touch(bytes run) {
    if (run.size() < 8) return run.empty() ? 0 : std::to_integer<std::uint64_t>(run[0]);
    return load<std::uint64_t, std::endian::native>(run.data()) +
           load<std::uint64_t, std::endian::native>(run.data() + run.size() - 8);
}

} // namespace bench
