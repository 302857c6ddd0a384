// Every bound in one place, with its reason and with what happens when it is met.
//
// A length that a peer announces is a claim. Each is compared with its limit before anything is
// kept for it, so that a hostile or broken peer costs its owner no memory and no work beyond these
// numbers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace walwire {

struct limits {
    // The largest control message that is delivered whole (type byte and length word not counted).
    // It must fit into the stash, because it may arrive in pieces. PostgreSQL's own replies stay
    // below 2 KiB but for errors with long texts and timeline histories, which grow by about 50
    // bytes at each promotion. Beyond it: failed, message_too_large.
    std::uint32_t message_size_max = 16 * 1024 - 5;

    // The largest CopyData that is accepted. PostgreSQL sends WAL in at most 128 KiB, so 8 MiB is
    // far from tight; the payload passes through in the runs that arrive and is never collected, so
    // raising this up to the protocol's own 2 GiB costs no memory. Beyond it: failed,
    // copy_data_too_large.
    std::uint32_t copy_data_size_max = 8 * 1024 * 1024;

    // ParameterStatus before the first ReadyForQuery; PostgreSQL 18 sends 15. It bounds how long a
    // peer can keep a client from ever being ready. Beyond it: failed, too_many.
    std::uint32_t parameters_max = 256;

    // Columns of one row; the widest that a replication command answers with has four, SQL on a
    // database connection may want more. Beyond it: failed, row_invalid.
    std::uint16_t columns_max = 1024;

    // PBKDF2 rounds that a server may ask of us. PostgreSQL's default is 4096; a million take a
    // fifth of a second here, and the protocol's own range would burn half an hour. Beyond it:
    // failed, scram_iterations_refused.
    std::uint32_t scram_iterations_max = 1'000'000;
};

// Sizes of memory{stash, out} that suffice for the limits above and for every command whose
// arguments are of ordinary length. A machine given less refuses its options with memory_too_small.
inline constexpr std::size_t stash_size = 16 * 1024;
inline constexpr std::size_t out_size = 4 * 1024;

// The least that any session works with: a start-up packet of short names, a SCRAM answer, a
// status.
inline constexpr std::size_t stash_size_min = 512;
inline constexpr std::size_t out_size_min = 512;

} // namespace walwire
