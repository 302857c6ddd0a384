// Any bytes as the manifest of a backup: how they are cut changes nothing, they end well or fail
// and nothing else, and what ends well can be written, reads back the same, and is then written as
// the same bytes.
//
// The first byte says how large the room is and whether the rest is given the last line that it
// ought to have, since nobody guesses a checksum; the next two where it is cut.
#include <walwire/backup/manifest_reader.hpp>
#include <walwire/backup/manifest_writer.hpp>
#include <walwire/backup/verifier.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support/check.hpp"

using namespace walwire;
using namespace walwire::backup;

namespace {

// A toy that depends on every byte and its place.
struct toy_digest {
    std::uint64_t value = 0xcbf29ce484222325;
};

const auth::digests toy{
    nullptr, [](void*, auth::digest_algorithm) noexcept -> void* { return new toy_digest; },
    [](void* running, bytes data) noexcept {
        std::uint64_t& value = static_cast<toy_digest*>(running)->value;
        for (const std::byte each : data)
            value = (value ^ std::to_integer<std::uint64_t>(each)) * 0x100000001b3;
        return true;
    },
    [](void* running, mutable_bytes out) noexcept {
        std::uint64_t value = static_cast<toy_digest*>(running)->value;
        for (std::byte& each : out) {
            value = (value ^ value >> 29) * 0xbf58476d1ce4e5b9;
            each = static_cast<std::byte>(value >> 56);
        }
        delete static_cast<toy_digest*>(running);
        return true;
    },
    [](void* running) noexcept { delete static_cast<toy_digest*>(running); }};

std::string with_last_line(std::string lines) {
    auth::running_digest digest;
    checksum_value value;
    value.algorithm = manifest_checksums::sha256;
    const bool made = digest.begin(toy, auth::digest_algorithm::sha256) == errc::none &&
                      digest.update(as_bytes(lines)) == errc::none &&
                      digest.finish(mutable_bytes(value.digest).first(32)) == errc::none;
    check(made, "the toy works");
    return lines + "\"Manifest-Checksum\": \"" + std::string(std::string_view(to_text(value))) +
           "\"}\n";
}

// What a manifest came to, as text, and the same manifest as the writer writes it.
struct outcome {
    std::string events;
    std::string copy;
    bool ended = false;
    bool failed = false;
};

class run {
  public:
    run(std::string_view text, std::size_t room_size) : text_(text), room_(room_size) {}

    outcome in_pieces(std::size_t first, std::size_t others) {
        manifest_reader reader(room_, toy);
        std::vector<std::byte> piece;
        for (std::size_t at = 0; at < text_.size(); first = others) {
            const std::string_view part = text_.substr(at, std::max<std::size_t>(first, 1));
            const bytes said = as_bytes(part);
            piece.assign(said.begin(), said.end()); // exactly as large, and gone afterwards
            bytes in = piece;
            tell(reader, in);
            check(in.empty(), "input is eaten");
            at += part.size();
        }
        check(!made_.ended, "only the end of the input is the end");
        reader.finish();
        bytes in;
        tell(reader, in);
        check(made_.ended != made_.failed, "one end or the other");
        check(reader.over(), "and then it is over");
        return made_;
    }

    void operator()(const manifest_started& event) {
        check(made_.events.empty(), "the start comes first");
        check(event.version == (event.system_identifier ? 2u : 1u), "a version and its fields");
        say("started", {std::to_string(event.system_identifier.value_or(0))});
        write([&](mutable_bytes out) { return writer_.start(event, toy, out); });
    }
    void operator()(const listed_file& event) {
        check(is_manifest_path(event.path), "a path that can be followed");
        check(in_room(event.path) && in_room(event.last_modified), "views of the room");
        check(backup::detail::is_utf8(event.last_modified), "strings are UTF-8");
        say("file", {event.path, std::to_string(event.size), event.last_modified,
                     checksum_name(event.checksum.algorithm), to_text(event.checksum)});
        write([&](mutable_bytes out) { return writer_.file(event, out); },
              manifest_piece_size_max(event));
        ++files_;
    }
    void operator()(const wal_range& event) {
        check(event.timeline.valid() && event.start <= event.end, "a range is one");
        say("range",
            {std::to_string(event.timeline.value), to_text(event.start), to_text(event.end)});
        ++ranges_;
        late_.push_back(event);
    }
    void operator()(const manifest_ended& event) {
        check(event.files == files_ && event.wal_ranges == ranges_, "all were told");
        for (const wal_range& range : late_)
            write([&](mutable_bytes out) { return writer_.range(range, out); });
        write([&](mutable_bytes out) { return writer_.end(out); });
        made_.ended = true;
    }
    void operator()(const manifest_failed& event) {
        check(event.code != errc::none && event.offset <= text_.size(), "a failure and its place");
        check(in_room(event.path), "a path that can be shown");
        say("failed", {text(event.code), std::to_string(event.offset), event.path});
        made_.failed = true;
    }

  private:
    void tell(manifest_reader& reader, bytes& in) {
        while (const auto event = reader.poll(in)) {
            check(!made_.ended && !made_.failed, "nothing comes behind the end");
            std::visit(*this, *event);
        }
    }
    bool in_room(std::string_view view) const {
        const char* const first = as_text(bytes(room_)).data();
        return view.empty() ||
               (view.data() >= first && view.data() + view.size() <= first + room_.size());
    }
    void say(std::string_view what, std::initializer_list<std::string_view> more) {
        made_.events += what;
        for (const std::string_view each : more) made_.events += "|" + std::string(each);
        made_.events += "\n";
    }
    template <class Put>
    void write(Put&& put, std::size_t enough = 384) {
        std::vector<std::byte> out(enough);
        const auto size = put(mutable_bytes(out));
        check(bool(size), "what was read can be written");
        made_.copy += as_text(bytes(out).first(*size));
    }

    std::string_view text_;
    std::vector<std::byte> room_;
    manifest_writer writer_;
    std::vector<wal_range> late_; // in the copy files come first
    std::uint64_t files_ = 0;
    std::uint64_t ranges_ = 0;
    outcome made_;
};

std::string sorted(std::string events) {
    // A manifest may have its ranges in front, its copy has not.
    std::vector<std::string> files, ranges;
    while (!events.empty()) {
        const std::size_t size = events.find('\n') + 1;
        (events.starts_with("range|") ? ranges : files).push_back(events.substr(0, size));
        events.erase(0, size);
    }
    std::string text;
    for (const auto& each : files) text += each;
    for (const auto& each : ranges) text += each;
    return text;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 3 || size > 16'000) return 0;
    std::string text(reinterpret_cast<const char*>(data + 3), size - 3);
    if ((data[0] & 1) != 0) text = with_last_line(text);
    const std::size_t room_size = (data[0] & 2) != 0 ? 64 + data[0] : manifest_room_size;
    const std::size_t cut = (data[1] * 256u + data[2]) % (text.size() + 1);

    const outcome whole = run(text, room_size).in_pieces(text.size(), text.size());
    const outcome cut_once = run(text, room_size).in_pieces(cut, text.size());
    const outcome byte_by_byte = run(text, room_size).in_pieces(1, 1);
    check(cut_once.events == whole.events && cut_once.copy == whole.copy, "a cut changes nothing");
    check(byte_by_byte.events == whole.events, "nor do many");
    if (!whole.ended) return 0;

    const outcome again = run(whole.copy, manifest_room_size).in_pieces(cut, 7);
    check(again.ended, "what was written ends well");
    check(sorted(again.events) == sorted(whole.events), "and says the same");
    check(again.copy == whole.copy, "and is written the same again");
    return 0;
}
