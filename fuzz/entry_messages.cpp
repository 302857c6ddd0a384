// Any bytes as what a CopyData holds while AionDB's entries stream: a decoder takes what its table
// says and nothing else, and what it took is written again as it was.
#include <walwire/aiondb/message.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::aiondb;

namespace {

std::uint64_t number(bytes data, std::size_t at) {
    std::uint64_t value = 0;
    for (std::size_t i = 8; i-- > 0;)
        value = value << 8 | std::to_integer<std::uint8_t>(data[at + i]);
    return value;
}
std::uint64_t announced(bytes data) {
    std::uint64_t value = 0;
    for (std::size_t i = 5; i-- > 1;) value = value << 8 | std::to_integer<std::uint8_t>(data[i]);
    return value;
}

// What the tables say of a message of one size, without its payload's own rules.
errc expected(bytes data, std::size_t size) {
    if (data.size() < 5) return errc::entry_size_mismatch;
    if (announced(data) > 8 * 1024 * 1024) return errc::entry_too_large;
    if (announced(data) != data.size() - 5) return errc::entry_size_mismatch;
    return announced(data) == size ? errc::none : errc::entry_size_invalid;
}

// The message as it is written, without CopyData's header; `kind` is what its tag must be.
template <class Message>
void same_again(bytes data, const Message& message, std::uint8_t kind) {
    std::vector<std::byte> room(data.size() + wire::header_size);
    writer out(room);
    put(out, message);
    check(out.ok() && out.size() == room.size(), "it is written in its size");
    check(room[0] == std::byte{'d'}, "in a CopyData");
    check(load<std::uint32_t>(room.data() + 1) == data.size() + 4, "that says how large it is");
    const bytes again = out.written().subspan(wire::header_size);
    check(again[0] == std::byte{kind}, "by its tag");
    check(std::ranges::equal(again.subspan(1), data.subspan(1)), "and is the same bytes");
    std::vector<std::byte> small(room.size() - 1);
    writer narrow(small);
    put(narrow, message);
    check(!narrow.ok(), "one byte less is too little");
}

void look_at_batch(bytes data) {
    const std::size_t front = std::min(data.size(), batch_head_size);
    const std::size_t left = data.size() - front;
    const auto head = parse_batch_head(data.first(front), left);
    errc code = errc::none;
    if (data.size() < 5)
        code = errc::entry_size_mismatch;
    else if (announced(data) > 8 * 1024 * 1024)
        code = errc::entry_too_large;
    else if (announced(data) != data.size() - 5)
        code = errc::entry_size_mismatch;
    else if (left == 0)
        code = errc::entry_batch_empty;
    else if (number(data, 5) == 0)
        code = errc::entry_number_zero;
    else if (number(data, 13) < number(data, 5))
        code = errc::entry_batch_backwards;
    check(head.code() == code, "a batch is taken, or refused for this reason");
    if (!head) return;
    check(head->first.value == number(data, 5) && head->last.value == number(data, 13) &&
              head->size == left,
          "a batch says what its bytes say");
    std::vector<std::byte> room(wire::header_size + batch_head_size);
    writer out(room);
    put(out, *head);
    check(out.ok() && out.size() == room.size(), "the head of a batch has one size");
    check(load<std::uint32_t>(room.data() + 1) == data.size() + 4, "and counts the entries");
    check(std::ranges::equal(out.written().subspan(6), data.subspan(1, 20)), "the same head");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::vector<std::byte> exact(reinterpret_cast<const std::byte*>(data),
                                       reinterpret_cast<const std::byte*>(data) + size);
    const bytes content = exact;
    look_at_batch(content);

    const auto status = parse_standby_status_update(content);
    errc code = expected(content, 24);
    if (code == errc::none &&
        (number(content, 21) > number(content, 13) || number(content, 13) > number(content, 5)))
        code = errc::entry_status_disordered;
    check(status.code() == code, "a status is taken, or refused for this reason");
    if (status) same_again(content, *status, 2);

    const auto alive = parse_keepalive(content);
    code = expected(content, 17);
    if (code == errc::none && content[21] > std::byte{1}) code = errc::entry_flag_invalid;
    check(alive.code() == code, "a keepalive is taken, or refused for this reason");
    if (alive) same_again(content, *alive, 3);

    const auto reply = parse_keepalive_reply(content);
    check(reply.code() == expected(content, 8), "a reply is taken, or refused for this reason");
    if (reply) same_again(content, *reply, 4);
    return 0;
}
