// Any bytes as a tar archive: the events follow their order whatever the pieces, a body has the
// size that its header claims, and a header that is accepted is one that can be printed again.
//
// The first byte says whether the trailer must be there, the second how the rest is cut. As few
// inputs would ever have a right checksum, a header that has a wrong one is tried as if it had
// not: where the second byte is odd, every block that says ustar is summed up first.
#include <walwire/backup/tar_reader.hpp>
#include <walwire/backup/tar_writer.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <variant>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::backup;

namespace {

// A header printed again, as text, or why not; and that it then stays what it is.
std::string reprinted(const tar_entry& entry) {
    std::array<std::byte, tar_block_size> first{};
    const errc code = put_tar_header(first, entry);
    check(code == errc::none || code == errc::argument_too_long, "it can be said again");
    if (code != errc::none) {
        check(entry.path.size() > tar_name_size_max || entry.target.size() > tar_name_size_max,
              "but for its length");
        return {};
    }
    std::array<std::byte, tar_block_size> scratch = first;
    const auto again = parse_tar_header(scratch);
    check(again && *again == entry, "and means the same");
    std::array<std::byte, tar_block_size> second{};
    check(put_tar_header(second, *again) == errc::none && first == second, "for good");
    return std::string(as_text(first));
}

void look_at_entry(const tar_entry& entry) {
    check(!entry.path.empty() && entry.path.size() <= tar_path_size_max, "there is a path");
    const std::string framed = "/" + std::string(entry.path) + "/";
    for (const char* part : {"//", "/./", "/../"})
        check(framed.find(part) == std::string::npos, "that leads downwards");
    for (const std::string_view text : {entry.path, entry.target})
        for (const char c : text)
            check(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, "names can be shown");
    check(entry.target.empty() == (entry.kind != tar_kind::symbolic_link), "links have targets");
    check(entry.kind == tar_kind::file || entry.size == 0, "files have sizes");
    check(entry.size <= tar_size_max && entry.mode <= 07777, "numbers are in range");
}

class archive_check {
  public:
    void operator()(const entry_started& event) {
        check(!inside_ && !over_, "an entry begins outside of others");
        inside_ = true;
        left_ = event.entry.size;
        look_at_entry(event.entry);
        seen_ += reprinted(event.entry) + std::string(event.entry.path) + "[";
    }
    void operator()(const entry_data& event) {
        check(inside_ && !event.data.empty() && event.data.size() <= left_, "a body has its size");
        left_ -= event.data.size();
        seen_ += as_text(event.data);
    }
    void operator()(entry_ended) {
        check(inside_ && left_ == 0, "and all of it");
        inside_ = false;
        seen_ += "]";
    }
    void operator()(tar_ended) {
        check(!inside_ && !over_, "an archive ends between entries");
        over_ = true;
        seen_ += "ended";
    }
    void operator()(const tar_failed& event) {
        check(!over_, "an archive ends once");
        over_ = true;
        seen_ += "failed " + std::to_string(static_cast<int>(event.reason.code)) + " at " +
                 std::to_string(event.reason.offset) + ": " + std::string(event.path);
        check(event.path.size() <= tar_path_size_max && event.path.find('\0') == event.path.npos,
              "what is refused has a name that a header has room for");
    }

    bool over() const { return over_; }
    const std::string& seen() const { return seen_; }

  private:
    bool inside_ = false;
    bool over_ = false;
    std::uint64_t left_ = 0;
    std::string seen_;
};

// Everything that the archive is said to be, in pieces of one size.
std::string read(bytes all, tar_trailer trailer, std::size_t piece) {
    tar_reader reader(trailer);
    archive_check seen;
    for (bytes left = all; !left.empty();) {
        // Exactly as large as it is, so that a sanitizer sees what is read behind it.
        const bytes cut = left.first(std::min(piece, left.size()));
        const std::vector<std::byte> copy(cut.begin(), cut.end());
        bytes in = copy;
        while (const auto event = reader.poll(in)) std::visit(seen, *event);
        check(in.empty(), "all is eaten");
        left = left.subspan(cut.size());
    }
    check(seen.over() || reader.eaten() == all.size(), "and counted");
    reader.finish();
    bytes nothing;
    while (const auto event = reader.poll(nothing)) std::visit(seen, *event);
    check(seen.over() && reader.over(), "every archive ends");
    return seen.seen();
}

void sum_up(std::vector<std::byte>& all) {
    for (std::size_t at = 0; at + tar_block_size <= all.size(); at += tar_block_size) {
        std::byte* const header = all.data() + at;
        if (std::memcmp(header + 257, "ustar", 5) != 0) continue;
        std::memset(header + 148, ' ', 8);
        unsigned sum = 0;
        for (std::size_t i = 0; i < tar_block_size; ++i)
            sum += std::to_integer<unsigned>(header[i]);
        for (std::size_t i = 7; i-- > 0; sum /= 8)
            header[148 + i] = static_cast<std::byte>('0' + sum % 8);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const auto* const first = reinterpret_cast<const std::byte*>(data);
    std::vector<std::byte> all(first + 2, first + size);
    if (data[1] % 2 == 1) sum_up(all);
    const tar_trailer trailer = data[0] % 2 == 0 ? tar_trailer::required : tar_trailer::optional;
    const std::string whole = read(all, trailer, all.size() + 1);
    check(read(all, trailer, 1u + data[1] * 7u) == whole, "chunking agrees");
    if (all.size() <= 1600) check(read(all, trailer, 1) == whole, "byte by byte too");
    if (trailer == tar_trailer::required && whole.ends_with("ended"))
        check(read(all, tar_trailer::optional, all.size()) == whole, "a trailer never hurts");
    return 0;
}
