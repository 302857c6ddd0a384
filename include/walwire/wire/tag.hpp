// The type byte that opens every message after start-up.
//
// The two directions are two alphabets that share letters: 'D' is a row from the backend and
// Describe from the frontend, 'S' a parameter or Sync, 'C', 'E' and 'H' likewise. So each direction
// has its own type here, and a byte is never looked up without knowing who sent it.
//
//     Byte1 type | Int32 length, counting itself and the body but not the type | body
//
// Start-up packets have no type byte (startup.hpp), and the answer to an encryption request is one
// bare byte. Source of truth: the manual's chapter "Frontend/Backend Protocol", section "Message
// Formats".
#pragma once

#include <cstddef>
#include <cstdint>

namespace walwire::wire {

// From the server: the backend, a primary's walsender.
enum class backend_tag : std::uint8_t {
    authentication = 'R',
    negotiate_protocol_version = 'v',
    parameter_status = 'S',
    backend_key_data = 'K',
    ready_for_query = 'Z',
    error_response = 'E',
    notice_response = 'N',
    notification_response = 'A',
    row_description = 'T',
    data_row = 'D',
    command_complete = 'C',
    empty_query_response = 'I',
    copy_in_response = 'G',
    copy_out_response = 'H',
    copy_both_response = 'W',
    copy_data = 'd',
    copy_done = 'c',
};

// From the client: the frontend, a replica's walreceiver.
enum class frontend_tag : std::uint8_t {
    password = 'p', // PasswordMessage, SASLInitialResponse, SASLResponse or GSSResponse, by context
    query = 'Q',
    terminate = 'X',
    copy_data = 'd',
    copy_done = 'c',
    copy_fail = 'f',
    // The extended query protocol, which a walsender knows only to refuse.
    parse = 'P',
    bind = 'B',
    describe = 'D',
    execute = 'E',
    close = 'C',
    function_call = 'F',
    flush = 'H',
    sync = 'S',
};

inline constexpr std::size_t tag_size = 1;
inline constexpr std::size_t length_size = 4;
inline constexpr std::size_t header_size = tag_size + length_size;

// CopyData is the one tag that both alphabets use for the same thing.
inline constexpr std::uint8_t copy_data_tag = 'd';

} // namespace walwire::wire
