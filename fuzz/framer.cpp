// Any bytes as a stream of messages, or of start-up packets: the pieces are those that a simple
// reading of the whole stream finds, and the same however the stream is cut.
//
// The first ten bytes choose what the copies hold, the limits, the size of the stash and the cuts.
#include <walwire/wire/framer.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::wire;

namespace {

// A whole message, a head with all of its body that came, or a refusal.
struct found {
    piece_kind kind = piece_kind::none;
    unsigned tag = 0;
    errc code = errc::none;
    std::uint64_t began = 0;
    std::string front; // the message, or the head
    std::string body;  // what came of the body
    std::uint64_t announced = 0;

    bool operator==(const found&) const = default;
};

struct task {
    framing rule;
    bool untagged = false;
    std::size_t stash = 0;
    bytes stream;
};

std::string text(bytes data) {
    return std::string(as_text(data));
}

// The reading that needs no framer: everything is there at once.
std::vector<found> simple_reading(const task& given) {
    std::vector<found> all;
    const std::size_t header = given.untagged ? 4 : 5;
    bytes rest = given.stream;
    while (rest.size() >= header) {
        const auto refuse = [&](errc code) {
            all.push_back(
                {piece_kind::refused, 0, code, given.stream.size() - rest.size(), {}, {}, 0});
        };
        const auto length = load<std::uint32_t>(rest.data() + header - 4);
        const unsigned tag = given.untagged ? 0 : std::to_integer<unsigned>(rest[0]);
        const std::uint64_t began = given.stream.size() - rest.size();
        if (length < 4) {
            refuse(errc::length_invalid);
            break;
        }
        const std::uint64_t size = length - 4;
        const bytes after = rest.subspan(header);
        std::uint64_t front = size;
        bool bounded = true; // as a message that is delivered whole
        if (!given.untagged && tag == 'd' && given.rule.content != copy_content::whole) {
            if (size > given.rule.copy_data_size_max) {
                refuse(errc::copy_data_too_large);
                break;
            }
            if (size == 0 || given.rule.content == copy_content::raw) {
                front = 0;
                bounded = false;
            } else if (after.empty()) {
                break; // the first byte decides
            } else {
                const bool entries = given.rule.content == copy_content::entries;
                const std::uint64_t head = entries ? 21 : 25;
                if (after[0] == (entries ? std::byte{1} : std::byte{'w'}) && size >= head) {
                    front = head;
                    bounded = false;
                }
            }
        }
        const bool streams = front < size;
        if (bounded && (size > given.rule.message_size_max || header + size > given.stash)) {
            refuse(errc::message_too_large);
            break;
        }
        if (after.size() < front) break;
        const auto there = static_cast<std::size_t>(std::min<std::uint64_t>(after.size(), size));
        const auto at = static_cast<std::size_t>(front);
        all.push_back({streams ? piece_kind::head : piece_kind::message, tag, errc::none, began,
                       text(after.first(at)), text(after.subspan(at, there - at)),
                       streams ? size - front : 0});
        rest = after.subspan(there);
        if (there < size) break;
    }
    return all;
}

class reading {
  public:
    explicit reading(const task& given) : given_(given), stash_(given.stash), cut_(stash_) {}

    // False when there is nothing more to come.
    bool feed(bytes chunk) {
        fed_ += chunk.size();
        // Memory of exactly this size, which is gone afterwards.
        const std::vector<std::byte> exact(chunk.begin(), chunk.end());
        bytes in = exact;
        for (;;) {
            const piece got = given_.untagged ? cut_.next_untagged(in, given_.rule.message_size_max)
                                              : cut_.next(in, given_.rule);
            check(cut_.eaten() + in.size() == fed_, "every byte is counted");
            if (got.kind == piece_kind::none) {
                check(in.empty(), "no piece means that all was eaten");
                return true;
            }
            take(got, exact);
            if (got.kind == piece_kind::refused) return false;
        }
    }
    const std::vector<found>& all() const { return all_; }
    bool at_boundary() const { return cut_.at_boundary(); }

  private:
    void take(const piece& got, const std::vector<std::byte>& chunk) {
        const bool inside = !got.data.empty() && got.data.data() >= chunk.data() &&
                            got.data.data() + got.data.size() <= chunk.data() + chunk.size();
        const bool kept = !got.data.empty() && got.data.data() >= stash_.data() &&
                          got.data.data() + got.data.size() <= stash_.data() + stash_.size();
        check(got.data.empty() || inside || kept, "a view is of the input or of the stash");
        if (got.kind == piece_kind::run) {
            check(inside, "a body is never copied");
            check(!all_.empty() && all_.back().kind == piece_kind::head, "a run follows a head");
            all_.back().body += text(got.data);
            check(all_.back().body.size() + got.left == all_.back().announced,
                  "what is left adds up");
            return;
        }
        check((got.kind == piece_kind::refused) == (got.code != errc::none),
              "a refusal has a code");
        check((got.kind == piece_kind::head) == (got.left > 0), "a head has a body");
        all_.push_back({got.kind, got.tag, got.code, cut_.began(), text(got.data), {}, got.left});
    }

    const task& given_;
    std::vector<std::byte> stash_;
    framer cut_;
    std::vector<found> all_;
    std::uint64_t fed_ = 0;
};

template <class Size>
std::vector<found> in_chunks(const task& given, Size&& size) {
    reading read(given);
    bytes rest = given.stream;
    while (!rest.empty()) {
        const std::size_t take =
            std::min<std::size_t>(std::max<std::size_t>(size(), 1), rest.size());
        if (!read.feed(rest.first(take))) return read.all();
        rest = rest.subspan(take);
    }
    std::uint64_t in_pieces = 0;
    for (const found& each : read.all())
        in_pieces += (given.untagged ? 4 : 5) + each.front.size() + each.body.size();
    const bool whole = in_pieces == given.stream.size() &&
                       (read.all().empty() || read.all().back().kind == piece_kind::message ||
                        read.all().back().body.size() == read.all().back().announced);
    check(read.at_boundary() == whole, "a boundary is where nothing is held back");
    return read.all();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    reader in(bytes(reinterpret_cast<const std::byte*>(data), size));
    task given;
    const std::uint8_t kind = in.u8();
    given.rule.content = static_cast<copy_content>(kind & 3);
    given.untagged = (kind & 4) != 0;
    given.rule.message_size_max = in.u16();
    given.rule.copy_data_size_max = in.u32();
    given.stash = framer::stash_size_least + in.u16() % 4096;
    std::uint32_t cuts = in.u8();
    given.stream = in.rest();
    if (!in.ok()) return 0;
    const auto expected = simple_reading(given);
    check(in_chunks(given, [&] { return given.stream.size(); }) == expected, "the whole stream");
    check(in_chunks(given, [] { return std::size_t{1}; }) == expected, "byte by byte");
    check(in_chunks(given, [&] { return (cuts = cuts * 1664525 + 1013904223) >> 27; }) == expected,
          "in any chunks");
    return 0;
}
