// Cuts a stream of bytes into messages, whatever pieces it arrives in.
//
// A control message is delivered whole: straight out of the input when all of it is there,
// otherwise collected in the stash, which is bounded and the caller's. A large CopyData is
// delivered as its head, whole, and then as the runs of body that arrive; nothing of a body is ever
// copied. The limits apply to what the length word announces, before anything is kept, and do not
// depend on how the bytes were cut: the same stream gives the same pieces, or the same refusal at
// the same offset.
//
//     in:  | Z 5 I | d 131101 w start end time | WAL ............. | WAL .... | d 22 k ...
//     out: | message |                    head |        run        |   run    | message
//
// The framer knows tags only as far as it must, to see CopyData. Who may send what is
// conversation.hpp's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "../bytes.hpp"
#include "../error.hpp"
#include "copy.hpp"
#include "tag.hpp"

namespace walwire::wire {

// What bounds a message, and how CopyData divides at present.
struct framing {
    std::uint32_t message_size_max = 0;   // body bytes of a message that is delivered whole
    std::uint32_t copy_data_size_max = 0; // body bytes of a CopyData that streams
    copy_content content = copy_content::whole;
};

enum class piece_kind : std::uint8_t {
    none,    // the input is used up; bring more
    message, // `data` is the whole body
    head,    // `data` is the head of a CopyData whose body follows in runs of `left` bytes together
    run,     // `data` is the next part of that body, `left` what is still to come
    refused, // `code` says why; the stream cannot be followed any further
};

struct piece {
    piece_kind kind = piece_kind::none;
    std::uint8_t tag = 0;
    errc code = errc::none;
    std::uint32_t left = 0;
    bytes data;
};

class framer {
  public:
    // What the stash must hold whatever the limits are: a header and the largest head.
    static constexpr std::size_t stash_size_least = header_size + wal_data_head_size;

    // A stash below stash_size_least refuses everything with memory_too_small.
    explicit framer(mutable_bytes stash) noexcept : stash_(stash) {}

    // The next piece off the front of `in`. Views in it live until the next call. Between two
    // pieces of one message, and while a part of one is held, the rule must stay the same.
    piece next(bytes& in, const framing& rule) noexcept {
        if (left_ > 0) return next_run(in);
        return gather(in, header_size, rule);
    }

    // The next packet of the start-up class: no tag, a length word, a body.
    piece next_untagged(bytes& in, std::uint32_t size_max) noexcept {
        return gather(in, length_size, {size_max, 0, copy_content::whole});
    }

    // One bare byte: the answer to an encryption request. The caller saw that it is there.
    std::byte take_byte(bytes& in) noexcept {
        const std::byte byte = in.front();
        began_ = eaten_;
        advance(in, 1);
        return byte;
    }

    // Whether nothing of a message has been taken without being delivered.
    bool at_boundary() const noexcept { return held_ == 0 && left_ == 0; }

    // Where in the stream the message began that the last piece is of, and how far the stream was
    // taken.
    std::uint64_t began() const noexcept { return began_; }
    std::uint64_t eaten() const noexcept { return eaten_; }

    // For a caller that decoded a message from the input by itself, standing at a boundary: all of
    // its `size` bytes were taken. It is no piece, so began() does not move.
    void took(std::size_t size) noexcept { eaten_ += size; }
    // The same for its first `size` bytes; `left` bytes of the CopyData's body come as runs.
    void took(std::size_t size, std::uint32_t left) noexcept {
        began_ = eaten_;
        eaten_ += size;
        left_ = left;
    }
    // What fails from here on fails behind all that was taken.
    void mark() noexcept {
        if (at_boundary()) began_ = eaten_;
    }

    // A new stream on the same stash.
    void reset() noexcept { *this = framer(stash_); }

  private:
    void advance(bytes& in, std::size_t size) noexcept {
        in = in.subspan(size);
        eaten_ += size;
    }

    piece next_run(bytes& in) noexcept {
        if (in.empty()) return {};
        const std::size_t size = left_ < in.size() ? left_ : in.size();
        const bytes run = in.first(size);
        advance(in, size);
        left_ -= static_cast<std::uint32_t>(size);
        return {piece_kind::run, copy_data_tag, errc::none, left_, run};
    }

    // How many bytes must be seen, from the message's first on, before it can be delivered or
    // before more can be said, given the `have` first ones. 0: refused, and code_ says why.
    std::size_t wanted(const std::byte* front, std::size_t have, std::size_t header,
                       const framing& rule) noexcept {
        if (stash_.size() < stash_size_least) return refuse(errc::memory_too_small);
        if (have < header) return header;
        const auto length = load<std::uint32_t>(front + header - length_size);
        if (length < length_size) return refuse(errc::length_invalid);
        const auto body = static_cast<std::uint32_t>(length - length_size);
        const bool copy = header == header_size && front[0] == std::byte{copy_data_tag};
        if (copy && rule.content != copy_content::whole) {
            if (body > rule.copy_data_size_max) return refuse(errc::copy_data_too_large);
            if (body == 0 || rule.content == copy_content::raw) return header;
            if (have < header + 1) return header + 1;
            const auto first = std::to_integer<std::uint8_t>(front[header]);
            const std::uint32_t head = copy_head_size(rule.content, first);
            if (head <= body) return header + head;
        }
        if (body > rule.message_size_max) return refuse(errc::message_too_large);
        if (body > stash_.size() - header) return refuse(errc::message_too_large);
        return header + body;
    }

    std::size_t refuse(errc code) noexcept {
        code_ = code;
        return 0;
    }

    piece gather(bytes& in, std::size_t header, const framing& rule) noexcept {
        if (held_ == 0) began_ = eaten_;
        for (;;) {
            const bool direct = held_ == 0;
            const std::byte* const front = direct ? in.data() : stash_.data();
            const std::size_t have = direct ? in.size() : held_;
            const std::size_t want = wanted(front, have, header, rule);
            if (want == 0) return {piece_kind::refused, 0, code_, 0, {}};
            if (have >= want) {
                if (direct) advance(in, want);
                held_ = 0;
                return deliver(front, want, header);
            }
            if (in.empty()) return {};
            const std::size_t missing = want - held_;
            const std::size_t size = missing < in.size() ? missing : in.size();
            std::memcpy(stash_.data() + held_, in.data(), size);
            held_ += size;
            advance(in, size);
        }
    }

    piece deliver(const std::byte* front, std::size_t size, std::size_t header) noexcept {
        const auto tag = header == header_size ? std::to_integer<std::uint8_t>(front[0]) : 0;
        const auto length = load<std::uint32_t>(front + header - length_size);
        const std::size_t body = length - length_size;
        left_ = static_cast<std::uint32_t>(body - (size - header));
        const bytes data(front + header, size - header);
        const bool streams = left_ > 0;
        return {streams ? piece_kind::head : piece_kind::message, static_cast<std::uint8_t>(tag),
                errc::none, left_, data};
    }

    mutable_bytes stash_;
    std::size_t held_ = 0;   // bytes of an unfinished message in the stash
    std::uint32_t left_ = 0; // bytes of a streaming CopyData's body still to come
    errc code_ = errc::none;
    std::uint64_t began_ = 0;
    std::uint64_t eaten_ = 0;
};

} // namespace walwire::wire
