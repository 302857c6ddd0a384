// The answer to BASE_BACKUP put together by hand, and what a reader makes of it, as text.
//
// A script is a list of parts: rows, completions, copies and the bodies of CopyData. `heard` hands
// it to a reader whole, byte by byte and with every message cut in two, which must all lead to the
// same lines; runs of one archive's bytes are joined.
#pragma once

#include <walwire/backup/reader.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "support/guard.hpp"
#include "wire/spelled.hpp"

namespace streams {

using namespace walwire;
using namespace walwire::backup;
using namespace std::literals;
using spelled::buffer;
using spelled::of;

using value = std::optional<std::string_view>;
inline constexpr value null = std::nullopt;

// The body of a DataRow.
inline buffer row_body(std::initializer_list<value> values) {
    buffer made{std::byte{0}, std::byte(values.size())};
    for (const value& each : values) {
        const std::uint32_t size = each ? static_cast<std::uint32_t>(each->size()) : UINT32_MAX;
        for (int shift = 24; shift >= 0; shift -= 8) made.push_back(std::byte(size >> shift));
        if (each) made = made + of(*each);
    }
    return made;
}

enum class kind : std::uint8_t { row, completed, opened, message, closed };

struct part {
    kind what = kind::completed;
    buffer body;
};
using script = std::vector<part>;

inline script operator+(script a, const script& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

inline script row(std::initializer_list<value> values) {
    return {{kind::row, row_body(values)}};
}
inline script completed() {
    return {{kind::completed, {}}};
}
inline script opened() {
    return {{kind::opened, {}}};
}
inline script closed() {
    return {{kind::closed, {}}};
}
inline script message(const buffer& body) {
    return {{kind::message, body}};
}
inline script message(std::string_view body) {
    return message(of(body));
}
inline script position(std::string_view at, std::string_view timeline = "1") {
    return row({at, timeline}) + completed();
}
// One copy of the formats up to 14.
inline script copied(std::initializer_list<std::string_view> bodies) {
    script made = opened();
    for (const std::string_view each : bodies) made = made + message(each);
    return made + closed();
}

// The messages of 15 and later.
inline script announced(std::string_view name, std::string_view path) {
    return message("n" + std::string(name) + '\0' + std::string(path) + '\0');
}
inline script data(std::string_view content) {
    return message("d" + std::string(content));
}
inline script manifest() {
    return message("m"sv);
}
inline script progress(std::uint64_t done) {
    buffer body = of("p"sv);
    for (int shift = 56; shift >= 0; shift -= 8) body.push_back(std::byte(done >> shift));
    return message(body);
}

// A tablespace and the base directory.
inline script listed() {
    return position("0/A000028") + row({"16392", "/ts", "234"}) + row({null, null, "8655"}) +
           completed();
}
inline script base_listed() {
    return position("0/A000028") + row({null, null, null}) + completed();
}
inline script end() {
    return position("0/A001010") + completed();
}

inline std::string shown(lsn at) {
    return std::string(std::string_view(to_text(at)));
}

// What a reader says, a line for each event, and the code that it refuses a part with.
class listener {
  public:
    listener(stream_format format, bool manifest, std::span<listed_tablespace> room)
        : reader_(format, manifest, room) {}

    backup::stream_reader& reader() { return reader_; }

    // Each call to the reader, and all that it led to.
    bool heard(errc code) {
        while (const auto told = reader_.next())
            std::visit([this](auto& said) { hear(said); }, *told);
        if (code == errc::none) return true;
        flush();
        lines_ += "refused: " + std::string(text(code)) + '\n';
        refused_ = reader_.refused();
        return false;
    }
    // The body in the pieces that end at `cuts`, each against a page that cannot be read.
    bool message(bytes body, const std::vector<std::size_t>& cuts) {
        std::size_t at = 0;
        for (std::size_t i = 0; i <= cuts.size(); ++i) {
            const std::size_t stop = i < cuts.size() ? cuts[i] : body.size();
            const support::guarded run(body.subspan(at, stop - at));
            const bool goes_on = heard(reader_.copy(bytes(run), at == 0, stop == body.size()));
            if (!goes_on) return false;
            at = stop;
        }
        return true;
    }
    std::string lines() {
        flush();
        return lines_;
    }
    // The name that it was refused for.
    const std::string& refused() const { return refused_; }

  private:
    void flush() {
        if (!run_.empty()) lines_ += "data " + run_ + '\n';
        run_.clear();
    }
    void say(const std::string& line) {
        flush();
        lines_ += line + '\n';
    }
    void hear(const archive_data& said) { run_ += as_text(said.data); }
    void hear(const manifest_data& said) { run_ += as_text(said.data); }
    void hear(const started& said) {
        say("started " + shown(said.start) + ' ' + std::to_string(said.timeline.value));
    }
    void hear(const tablespace& said) {
        say("tablespace " + std::to_string(said.index) + ' ' + std::to_string(said.oid) + " '" +
            std::string(said.path) + "'" + (said.size ? ' ' + std::to_string(*said.size) : ""));
    }
    void hear(const archive_started& said) {
        say("archive " + std::to_string(said.index) + ' ' +
            std::string(std::string_view(to_text(said.name))));
    }
    void hear(const archive_ended& said) { say("archived " + std::to_string(said.index)); }
    void hear(const manifest_opened&) { say("manifest"); }
    void hear(const manifest_closed&) { say("manifest is whole"); }
    void hear(const progressed& said) { say("progress " + std::to_string(said.done)); }
    void hear(const ended& said) {
        say("ended " + shown(said.end) + ' ' + std::to_string(said.timeline.value));
    }

    backup::stream_reader reader_;
    std::string run_;
    std::string lines_;
    std::string refused_;
};

struct choice {
    stream_format format = stream_format::typed;
    bool manifest = false;
    std::size_t room = 8;
};
inline constexpr choice typed{stream_format::typed, false, 8};
inline constexpr choice typed_manifest{stream_format::typed, true, 8};
inline constexpr choice split{stream_format::split, false, 8};
inline constexpr choice split_manifest{stream_format::split, true, 8};

// With the messages cut where `cuts_of` says.
template <class Cuts>
std::string play(const choice& chosen, const script& said, Cuts&& cuts_of,
                 std::string* refused = nullptr) {
    std::vector<listed_tablespace> room(chosen.room);
    listener hears(chosen.format, chosen.manifest, room);
    for (const part& each : said) {
        const support::guarded body{bytes(each.body)};
        bool goes_on = true;
        switch (each.what) {
        case kind::row: {
            const auto parsed = wire::data_row::parse(bytes(body), 100);
            goes_on = hears.heard(parsed ? hears.reader().row(*parsed) : parsed.code());
            break;
        }
        case kind::completed: goes_on = hears.heard(hears.reader().completed()); break;
        case kind::opened: goes_on = hears.heard(hears.reader().copy_opened()); break;
        case kind::message: goes_on = hears.message(bytes(body), cuts_of(each.body.size())); break;
        case kind::closed: goes_on = hears.heard(hears.reader().copy_closed()); break;
        }
        if (!goes_on) break;
    }
    if (refused != nullptr) *refused = hears.refused();
    return hears.lines();
}

inline std::string heard(const choice& chosen, const script& said) {
    const std::string whole =
        play(chosen, said, [](std::size_t) { return std::vector<std::size_t>(); });
    std::size_t longest = 0;
    for (const part& each : said) longest = std::max(longest, each.body.size());
    const auto bytewise = [](std::size_t size) {
        std::vector<std::size_t> cuts;
        for (std::size_t at = 1; at < size; ++at) cuts.push_back(at);
        return cuts;
    };
    if (play(chosen, said, bytewise) != whole) return "byte by byte it is something else: " + whole;
    for (std::size_t at = 1; at < longest; at += 1 + longest / 300) {
        const auto in_two = [at](std::size_t size) {
            return at < size ? std::vector<std::size_t>{at} : std::vector<std::size_t>();
        };
        if (play(chosen, said, in_two) != whole)
            return "in two parts it is something else: " + whole;
    }
    return whole;
}

// The last line.
inline std::string outcome(const choice& chosen, const script& said) {
    const std::string lines = heard(chosen, said);
    const std::size_t at =
        lines.size() < 2 ? std::string::npos : lines.rfind('\n', lines.size() - 2);
    return lines.substr(at == std::string::npos ? 0 : at + 1);
}
inline std::string refusal(errc code) {
    return "refused: " + std::string(text(code)) + '\n';
}

} // namespace streams
