// Writes the frame around a message: its tag, a length that is filled in last, and its body.
//
//     put_message(out, backend_tag::command_complete, [&](writer& body) { body.c_string(tag); });
#pragma once

#include <cstdint>

#include "../bytes.hpp"
#include "tag.hpp"

namespace walwire::wire {

template <class Tag, class Body>
void put_message(writer& out, Tag tag, Body&& body) noexcept {
    out.u8(static_cast<std::uint8_t>(tag));
    const std::size_t at = out.size();
    out.u32(0);
    body(out);
    out.patch_u32(at, static_cast<std::uint32_t>(out.size() - at));
}

template <class Tag>
void put_message(writer& out, Tag tag) noexcept {
    put_message(out, tag, [](writer&) noexcept {});
}

} // namespace walwire::wire
