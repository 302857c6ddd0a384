// backup::stream_reader against an answer to BASE_BACKUP that says anything.
//
// The input is a list of parts: a byte that says which, and for rows and messages a length and the
// body. Properties: how the messages were cut changes nothing of what is told; every byte of an
// archive or the manifest that came is told, and none twice; archives that are told are in the
// list, each once, one at a time, the manifest behind them; the end is told once and last, and only
// when all that was listed has come.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <walwire/backup/reader.hpp>

#include "support/check.hpp"

using namespace walwire;

namespace {

class listener {
  public:
    explicit listener(std::uint8_t choice)
        : typed_((choice & 1) != 0), manifest_((choice & 2) != 0),
          reader_(typed_ ? backup::stream_format::typed : backup::stream_format::split, manifest_,
                  std::span(room_).first(1 + (choice >> 2 & 7))) {}

    // All of it, with the messages in runs of at most this size; what was told, as text.
    std::string over(bytes parts, std::size_t run) {
        while (!parts.empty() && code_ == errc::none) part(parts, run);
        told_ += std::string(text(code_)) + ' ' + std::string(reader_.refused());
        check(code_ != errc::none || reader_.refused().empty(), "only what was refused is named");
        check(reader_.over() == ended_, "it is over when the end was told");
        return told_;
    }

  private:
    void part(bytes& parts, std::size_t run) {
        const auto kind = std::to_integer<std::uint8_t>(parts[0]);
        parts = parts.subspan(1);
        switch (kind % 8) {
        case 0:
        case 1: {
            const auto row = wire::data_row::parse(body(parts), 16);
            took(row ? reader_.row(*row) : row.code());
            break;
        }
        case 2: took(reader_.completed()); break;
        case 3: took(reader_.copy_opened()); break;
        case 4: took(reader_.copy_closed()); break;
        default: message(body(parts), run); break;
        }
    }
    static bytes body(bytes& parts) {
        if (parts.empty()) return {};
        const std::size_t size = std::to_integer<std::size_t>(parts[0]);
        parts = parts.subspan(1);
        const bytes taken = parts.first(size < parts.size() ? size : parts.size());
        parts = parts.subspan(taken.size());
        return taken;
    }
    void message(bytes whole, std::size_t run) {
        const std::size_t before = bytes_told_;
        bool begins = true;
        for (bytes rest = whole; (begins || !rest.empty()) && code_ == errc::none; begins = false) {
            // In memory of its own, so that the sanitizer sees what is kept.
            const bytes next = rest.first(run < rest.size() ? run : rest.size());
            const std::vector<std::byte> part(next.begin(), next.end());
            rest = rest.subspan(next.size());
            took(reader_.copy(part, begins, rest.empty()));
        }
        if (code_ != errc::none) return;
        const bool data = !typed_ || whole[0] == std::byte{'d'};
        const std::size_t expected = !data ? 0 : whole.size() - (typed_ ? 1 : 0);
        check(bytes_told_ - before == expected, "all bytes of a message are told, and no others");
    }
    void took(errc code) {
        code_ = code;
        while (const auto event = reader_.next()) {
            check(!ended_, "nothing is told behind the end");
            std::visit([this](const auto& said) { hear(said); }, *event);
        }
        check(reader_.tablespaces() == listed_, "what was listed was told");
    }

    void hear(const backup::started& said) {
        check(!started_, "it starts once");
        started_ = true;
        start_ = said;
        told_ += '(';
    }
    void hear(const backup::tablespace& said) {
        check(started_ && said.index == listed_, "the list comes behind the start, in order");
        check(listed_ < room_.size(), "the list is bounded");
        check(said.oid != 0 || said.path.empty(), "the base directory has no path");
        check(listed_ == 0 || oids_[listed_ - 1] != 0, "and is the last");
        for (std::uint32_t i = 0; i < listed_; ++i)
            check(oids_[i] != said.oid, "each is listed once");
        oids_[listed_++] = said.oid;
        told_ += "[" + std::to_string(said.oid) + std::string(said.path) + ']';
    }
    void hear(const backup::archive_started& said) {
        check(!open_ && !manifest_told_, "one archive at a time, before the manifest");
        check(said.index < listed_ && oids_[said.index] == said.name.oid, "one of the list");
        check(!archived_[said.index], "each once");
        archived_[said.index] = true;
        open_ = true;
        index_ = said.index;
        told_ += '{' + std::to_string(said.index);
    }
    void hear(const backup::archive_data& said) {
        check(open_ && !manifest_told_ && !said.data.empty(), "bytes of an open archive");
        data(said.data);
    }
    void hear(const backup::archive_ended& said) {
        check(open_ && said.index == index_, "the open archive ends");
        open_ = false;
        told_ += '}';
    }
    void hear(const backup::manifest_opened&) {
        check(manifest_ && !open_ && !manifest_told_, "a manifest that was asked for, once");
        for (std::uint32_t i = 0; i < listed_; ++i) check(archived_[i], "behind all archives");
        manifest_told_ = open_ = true;
        told_ += '<';
    }
    void hear(const backup::manifest_data& said) {
        check(open_ && manifest_told_ && !said.data.empty(), "bytes of the manifest");
        data(said.data);
    }
    void hear(const backup::manifest_closed&) {
        check(open_ && manifest_told_, "the manifest ends");
        open_ = false;
        told_ += '>';
    }
    void hear(const backup::progressed& said) { told_ += 'p' + std::to_string(said.done); }
    void hear(const backup::ended& said) {
        check(started_ && !open_ && listed_ > 0 && oids_[listed_ - 1] == 0, "it ends behind all");
        for (std::uint32_t i = 0; i < listed_; ++i) check(archived_[i], "and all have come");
        check(manifest_told_ == manifest_, "and the manifest, if it was asked for");
        check(said.end >= start_.start && said.timeline >= start_.timeline, "not before it began");
        ended_ = true;
        told_ += ')';
    }
    void data(bytes said) {
        bytes_told_ += said.size();
        told_ += as_text(said);
    }

    bool typed_;
    bool manifest_;
    std::array<backup::listed_tablespace, 8> room_{};
    backup::stream_reader reader_;
    std::array<std::uint32_t, 8> oids_{};
    std::array<bool, 8> archived_{};
    backup::started start_;
    std::uint32_t listed_ = 0;
    std::uint32_t index_ = 0;
    std::size_t bytes_told_ = 0;
    bool started_ = false;
    bool open_ = false;
    bool manifest_told_ = false;
    bool ended_ = false;
    errc code_ = errc::none;
    std::string told_;
};

// The methods in any order, whatever they return: nothing is told that is not bounded.
void misuse(bytes calls) {
    std::array<backup::listed_tablespace, 4> room{};
    const bool typed = calls.size() % 2 == 0;
    backup::stream_reader reads(typed ? backup::stream_format::typed : backup::stream_format::split,
                                true, room);
    std::size_t ends = 0;
    while (calls.size() > 1) {
        const auto call = std::to_integer<std::uint8_t>(calls[0]);
        const std::size_t most = calls.size() - 1;
        const bytes body = calls.subspan(1).first(most < 24 ? most : 24);
        const auto row = wire::data_row::parse(body, 8);
        switch (call % 7) {
        case 0: static_cast<void>(reads.row(row ? *row : wire::data_row())); break;
        case 1: static_cast<void>(reads.completed()); break;
        case 2: static_cast<void>(reads.copy_opened()); break;
        case 3: static_cast<void>(reads.copy_closed()); break;
        case 4:
            while (const auto told = reads.next())
                ends += std::holds_alternative<backup::ended>(*told);
            break;
        default: static_cast<void>(reads.copy(body, (call & 64) != 0, (call & 128) != 0)); break;
        }
        check(reads.tablespaces() <= room.size() && ends <= 1, "it stays within its bounds");
        calls = calls.subspan(1 + (call % 7 == 0 || call % 7 > 4 ? body.size() : 0));
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const bytes parts = std::as_bytes(std::span(data, size)).subspan(2);
    const std::string whole = listener(data[0]).over(parts, SIZE_MAX);
    check(listener(data[0]).over(parts, 1) == whole, "byte by byte it is the same");
    check(listener(data[0]).over(parts, 1 + data[1] % 40u) == whole, "in runs it is the same");
    misuse(parts);
    return 0;
}
