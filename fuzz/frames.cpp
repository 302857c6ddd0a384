// Any bytes as the frames of AionDB's base backup: the reader tells the same in every chunking, in
// an order that makes files, of each as many bytes as were declared, and ends once. What it took as
// a whole backup a writer makes again, byte for byte but for how data was cut.
#include <walwire/aiondb/backup.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::aiondb;

namespace {

// What was told, checked as it comes.
class account {
  public:
    void add(const backup_event& told, bytes chunk) {
        check(!failed, "nothing is told behind a failure");
        if (const auto* const why = std::get_if<backup_failed>(&told)) {
            failed = why->reason;
            check(failed->code != errc::none, "a failure has a reason");
            return;
        }
        check(!ended, "nothing but a failure is told behind the end");
        if (const auto* const from = std::get_if<backup_started>(&told)) {
            check(!began_, "a backup begins once");
            check(from->timeline.valid() && from->system_identifier.size() <= 1024, "as it may");
            began_ = true;
            text += "B" + std::to_string(from->start.value) + ' ' +
                    std::to_string(from->timeline.value) + std::string(from->system_identifier);
        } else if (const auto* const file = std::get_if<file_started>(&told)) {
            check(began_ && !left_, "files do not overlap");
            check_path(file->path);
            left_ = file->size;
            text += "F" + std::string(file->path) + '\n' + std::to_string(file->size) + ':';
        } else if (const auto* const run = std::get_if<file_data>(&told)) {
            check(left_ && !run->data.empty() && run->data.size() <= *left_,
                  "data is of a file, and no more of it than was declared");
            check(run->data.data() >= chunk.data() &&
                      run->data.data() + run->data.size() <= chunk.data() + chunk.size(),
                  "data is never copied");
            *left_ -= run->data.size();
            text += as_text(run->data);
        } else if (std::holds_alternative<file_ended>(told)) {
            check(left_ && *left_ == 0, "a file ends when all of it came");
            left_.reset();
            text += ";";
        } else {
            check(began_ && !left_, "a backup ends behind a file, not inside");
            ended = true;
            text += "E";
        }
    }

    std::string text;
    std::optional<error> failed;
    bool ended = false;

    std::string shown() const {
        if (!failed) return text;
        return text + "!" + std::string(walwire::text(failed->code)) +
               std::to_string(failed->offset);
    }

  private:
    static void check_path(std::string_view path) {
        check(!path.empty() && path.front() != '/' && path.back() != '/', "a path is relative");
        const std::string around = '/' + std::string(path) + '/';
        check(around.find("//") == std::string::npos && around.find("/./") == std::string::npos &&
                  around.find("/../") == std::string::npos &&
                  around.find('\0') == std::string::npos,
              "and of plain names");
    }

    bool began_ = false;
    std::optional<std::uint64_t> left_; // of the open file
};

template <class Size>
account told_in(bytes stream, Size&& size) {
    std::vector<std::byte> room(frame_room);
    backup_reader reader(room);
    account told;
    const auto feed = [&](bytes part) {
        const std::vector<std::byte> exact(part.begin(), part.end());
        bytes in = exact;
        while (const auto event = reader.poll(in)) told.add(*event, exact);
        check(in.empty(), "all is eaten");
    };
    while (!stream.empty()) {
        const std::size_t next = std::clamp<std::size_t>(size(), 1, stream.size());
        feed(stream.first(next));
        stream = stream.subspan(next);
    }
    reader.finish();
    feed({});
    check(told.failed.has_value() == reader.failed(), "a failure is told");
    check((told.ended && !told.failed) == reader.whole(), "it is whole, or it failed");
    check(reader.whole() != reader.failed(), "and one of both");
    feed({});
    return told;
}

// A whole backup, frame by frame into a writer.
void write_again(bytes stream) {
    std::vector<std::byte> room(frame_room), again(stream.size());
    backup_reader reader(room);
    backup_writer writer;
    little_writer out(again);
    const auto put = [&](errc code) { check(code == errc::none, "what was read can be written"); };
    // A run as long as the frame's payload: the reader is given frame by frame.
    for (bytes rest = stream; !rest.empty();) {
        const std::size_t size = 5 + load<std::uint32_t, std::endian::little>(rest.data() + 1);
        bytes in = rest.first(size);
        if (rest[0] == std::byte{3}) {
            put(writer.file_data(out, static_cast<std::uint32_t>(size - 5)));
            out.append(in.subspan(5));
        }
        while (const auto told = reader.poll(in)) {
            if (const auto* const from = std::get_if<backup_started>(&*told))
                put(writer.header(out, *from));
            else if (const auto* const file = std::get_if<file_started>(&*told))
                put(writer.file_start(out, *file));
            else if (std::holds_alternative<file_ended>(*told))
                put(writer.file_end(out));
            else if (std::holds_alternative<backup_ended>(*told))
                put(writer.backup_end(out));
        }
        rest = rest.subspan(size);
    }
    check(writer.over(), "the writer is over as well");
    check(std::ranges::equal(out.written(), stream), "and made the same bytes");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0 || size > 8192) return 0;
    std::uint32_t cuts = data[0];
    const bytes stream(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
    const account whole = told_in(stream, [&] { return stream.size(); });
    check(told_in(stream, [] { return std::size_t{1}; }).shown() == whole.shown(), "byte by byte");
    check(told_in(
              stream,
              [&] {
                  return static_cast<std::size_t>((cuts = cuts * 1664525 + 1013904223) >> 28);
              }).shown() == whole.shown(),
          "in any chunks");
    if (!whole.failed) write_again(stream);
    return 0;
}
