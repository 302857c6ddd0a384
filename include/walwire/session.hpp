// The contract that every machine of this library obeys.
//
// A machine never reads, writes, waits or allocates. Its owner brings bytes and the time, takes
// events and bytes, and is told when to come back:
//
//     for (;;) {
//         while (auto event = session.poll(in, now()))      // bytes in, time in, events out
//             handle(*event);
//         for (auto out = session.output(); !out.empty(); out = session.output())
//             session.consume(write(socket, out));          // bytes out
//         if (session.over()) break;
//         if (in.empty())                                   // else it waited for what was written
//             in = read_or_wait(socket, session.deadline());    // empty on timeout; or finish()
//     }
//
// poll advances the span past what it ate. It comes back empty-handed with the span empty ("read
// more"), or leaves bytes only where something is owed first: by the owner a TLS handshake, a
// password or an answer, by the transport the room for one. A partial message is never the owner's
// to keep. Views inside an event live until the next call on that machine or until the input buffer
// is reused. Only poll moves the machine; output() is stable until consume. Any call in any order
// is legal: what cannot be done now is refused by a code and changes nothing, and after the end
// every call is a harmless no-op.
//
// Machines are placed, not moved. Distinct machines are independent; one is not thread-safe.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "bytes.hpp"
#include "time.hpp"

namespace walwire {

// What to write next, in order: queued messages, then at most one borrowed payload.
struct gather {
    bytes head;
    bytes body;

    bool empty() const noexcept { return head.empty() && body.empty(); }
    std::size_t size() const noexcept { return head.size() + body.size(); }
};

// The two buffers that a machine works in. The owner provides them and keeps them alive and
// unmoved. They are all the memory that a machine has beside itself; limits.hpp says which sizes
// suffice.
struct memory {
    mutable_bytes stash; // the one control message or record that straddles inputs
    mutable_bytes out;   // encoded messages that are not yet written
};

template <class S>
concept session = requires(S s, const S cs, bytes in, instant now, std::size_t n) {
    typename S::event;
    { s.poll(in, now) }
    noexcept->std::same_as<std::optional<typename S::event>>;
    { s.finish() }
    noexcept;
    { cs.deadline() }
    noexcept->std::same_as<std::int64_t>;
    { cs.output() }
    noexcept->std::same_as<gather>;
    { s.consume(n) }
    noexcept;
    { cs.over() }
    noexcept->std::same_as<bool>;
};

} // namespace walwire
