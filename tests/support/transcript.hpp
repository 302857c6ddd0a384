// Conversations between real clients and real servers, as tests/transcripts/README.md describes
// them.
//
// A transcript is read whole and checked against the sizes and checksums that it carries. What
// comes out are records: what one side said until the other spoke, or that it closed. Where one
// record ends and the next begins says nothing about messages.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace support {

enum class side : char { client = 'C', server = 'S' };
enum class deed : char { said, closed, reset };

struct record {
    side from;
    deed what;
    std::vector<std::byte> data; // empty unless said
};

class transcript {
  public:
    // `name` is the file's without its ending, "pg18/a01_trust". Throws std::runtime_error.
    static transcript load(std::string_view name);
    static transcript parse(std::string_view name, std::string_view text);

    const std::string& name() const noexcept { return name_; }
    const std::vector<record>& records() const noexcept { return records_; }

    // Everything that one side said, in order.
    std::span<const std::byte> said(side by) const noexcept {
        return by == side::client ? client_ : server_;
    }
    // A line of the head, "case", "server", "client" or "what"; empty when there is none.
    std::string head(const std::string& key) const {
        const auto at = head_.find(key);
        return at == head_.end() ? std::string() : at->second;
    }
    // The server's major version, from the folder.
    int major_version() const { return std::stoi(name_.substr(2)); }

  private:
    using buffer = std::vector<std::byte>;

    void remark(std::string_view text);
    void line(std::string_view text);
    void word(std::string_view text);
    void verify() const;
    [[noreturn]] void refuse(const std::string& why) const;
    std::uint64_t number(std::string_view digits, int base) const;
    buffer& speaking() noexcept { return speaker_ == side::client ? client_ : server_; }

    std::string name_;
    std::map<std::string, std::string> head_;
    std::vector<record> records_;
    buffer client_, server_;
    side speaker_ = side::client;
    bool spoken_ = false;
};

namespace detail {

// zlib's CRC-32, a byte at a time: it checks test data and is no part of the library.
inline std::uint32_t crc32(std::span<const std::byte> data) noexcept {
    static constexpr auto table = [] {
        std::array<std::uint32_t, 256> made{};
        for (std::uint32_t i = 0; i < 256; ++i) {
            made[i] = i;
            for (int bit = 0; bit < 8; ++bit)
                made[i] = made[i] >> 1 ^ ((made[i] & 1) != 0 ? 0xedb88320 : 0);
        }
        return made;
    }();
    const std::uint32_t* const of = table.data();
    std::uint32_t crc = 0xffffffff;
    const std::byte* const behind = data.data() + data.size();
    for (const std::byte* at = data.data(); at != behind; ++at)
        crc = crc >> 8 ^ of[(crc ^ static_cast<std::uint32_t>(*at)) & 0xff];
    return ~crc;
}

inline std::string sum(char side, std::span<const std::byte> data) {
    char text[64];
    std::snprintf(text, sizeof text, "%c %zu %08x", side, data.size(), crc32(data));
    return text;
}

} // namespace detail

inline void transcript::refuse(const std::string& why) const {
    throw std::runtime_error("transcript " + name_ + ": " + why);
}

inline std::uint64_t transcript::number(std::string_view digits, int base) const {
    std::uint64_t value = 0;
    for (const char c : digits) {
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
        if (digit >= base || value > UINT32_MAX) refuse("not a number: " + std::string(digits));
        value = value * static_cast<unsigned>(base) + static_cast<unsigned>(digit);
    }
    if (digits.empty()) refuse("a number is missing");
    return value;
}

inline void transcript::word(std::string_view text) {
    buffer& said = speaking();
    if (text.front() == '"') {
        for (const char c : text.substr(1, text.size() - 2)) said.push_back(std::byte(c));
    } else if (text.size() > 2 && text[1] == ':') {
        const std::uint64_t size = number(text.substr(2), 10);
        said.push_back(std::byte(text[0]));
        for (int shift = 24; shift >= 0; shift -= 8)
            said.push_back(std::byte(size >> shift & 0xff));
    } else if (text.front() == '@') {
        const std::size_t plus = std::min(text.find('+'), text.size() - 1);
        const std::uint64_t distance = number(text.substr(1, plus - 1), 10);
        const std::uint64_t size = number(text.substr(plus + 1), 10);
        if (distance == 0 || distance > said.size())
            refuse("nothing stands at " + std::string(text));
        // It may run into what it copies, as in "@1+9": then it comes a distance at a time.
        std::size_t at = said.size();
        said.resize(at + size);
        for (std::size_t left = size; left > 0;) {
            const std::size_t part = std::min<std::size_t>(left, distance);
            std::memcpy(said.data() + at, said.data() + at - distance, part);
            at += part;
            left -= part;
        }
    } else if (text.size() > 2 && text[2] == '*') {
        const auto byte = std::byte(number(text.substr(0, 2), 16));
        said.insert(said.end(), number(text.substr(3), 10), byte);
    } else {
        if (text.size() % 2 != 0) refuse("half a byte in " + std::string(text));
        for (std::size_t i = 0; i < text.size(); i += 2) {
            said.push_back(std::byte(number(text.substr(i, 2), 16)));
        }
    }
}

inline void transcript::line(std::string_view text) {
    if (text.front() != ' ') {
        if (text.front() != 'C' && text.front() != 'S') refuse("not a line: " + std::string(text));
        speaker_ = side{text.front()};
        spoken_ = true;
        text.remove_prefix(1);
    }
    if (!spoken_) refuse("the first line goes on from none");
    const std::size_t before = speaking().size();
    while (true) {
        text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
        if (text.empty()) break;
        std::size_t end = std::min(text.find(' '), text.size());
        if (text.front() == '"') {
            end = text.find('"', 1);
            if (end++ == std::string_view::npos) refuse("a quote is not closed");
        }
        word(text.substr(0, end));
        text.remove_prefix(end);
    }
    if (records_.empty() || records_.back().from != speaker_ ||
        records_.back().what != deed::said) {
        records_.push_back({speaker_, deed::said, {}});
    }
    const auto added = std::span<const std::byte>(speaking()).subspan(before);
    records_.back().data.insert(records_.back().data.end(), added.begin(), added.end());
}

inline void transcript::remark(std::string_view text) {
    for (const side by : {side::client, side::server}) {
        const char letter = static_cast<char>(by);
        if (text == std::string("eof ") + letter) records_.push_back({by, deed::closed, {}});
        if (text == std::string("reset ") + letter) records_.push_back({by, deed::reset, {}});
    }
    const std::size_t colon = text.find(": ");
    if (records_.empty() && colon != std::string_view::npos) {
        head_.emplace(text.substr(0, colon), text.substr(colon + 2));
    }
}

inline void transcript::verify() const {
    const std::string holds = detail::sum('C', client_) + ' ' + detail::sum('S', server_);
    if (head("bytes") != holds) refuse("says " + head("bytes") + ", holds " + holds);
}

inline transcript transcript::parse(std::string_view name, std::string_view text) {
    transcript read;
    read.name_ = name;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.starts_with("# ")) {
            read.remark(line.substr(2));
        } else if (!line.empty()) {
            read.line(line);
        }
    }
    read.verify();
    return read;
}

inline transcript transcript::load(std::string_view name) {
    const std::string path = WALWIRE_TRANSCRIPTS "/" + std::string(name) + ".txt";
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path);
    std::ostringstream text;
    text << file.rdbuf();
    return parse(name, text.str());
}

// The names of all transcripts whose case begins so, in every version: transcripts("a0").
inline std::vector<std::string> transcripts(std::string_view beginning = "") {
    const std::filesystem::path top = WALWIRE_TRANSCRIPTS;
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(top)) {
        const std::filesystem::path& path = entry.path();
        if (path.extension() != ".txt" || !path.filename().string().starts_with(beginning))
            continue;
        names.push_back(path.lexically_relative(top).replace_extension().generic_string());
    }
    if (names.empty())
        throw std::runtime_error("no transcript begins with " + std::string(beginning));
    std::sort(names.begin(), names.end());
    return names;
}

} // namespace support
