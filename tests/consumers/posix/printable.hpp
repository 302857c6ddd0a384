// Somebody else's text, made fit to be shown on a terminal.
//
// A terminal takes some characters for commands: it moves its cursor, renames its window, or types
// something in its user's name. They are those below 0x20, 0x7F, and U+0080 to U+009F, which are
// two bytes in UTF-8 and stand alone in the older encodings (0x9B is what ESC [ is). Each of them
// is shown as '?'. Everything else stays as it came, since nobody says here which encoding it has.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace posix {

// How many bytes the character that begins here has in UTF-8; 1 also where none begins. What is cut
// short, or longer than need be, does not begin one: it could hide a command from us alone.
inline std::size_t character_size(std::string_view text) noexcept {
    const auto byte = [&](std::size_t at) noexcept {
        return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u;
    };
    const unsigned first = byte(0);
    const std::size_t size = first < 0xc2 || first > 0xf4 ? 1
                             : first < 0xe0               ? 2
                             : first < 0xf0               ? 3
                                                          : 4;
    if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90)) return 1;
    for (std::size_t at = 1; at < size; ++at)
        if (byte(at) < 0x80 || byte(at) > 0xbf) return 1;
    return size;
}

inline std::string printable(std::string_view text) {
    std::string shown;
    while (!text.empty()) {
        const std::string_view character = text.substr(0, character_size(text));
        text.remove_prefix(character.size());
        const unsigned code = static_cast<unsigned char>(character.front());
        const unsigned last = static_cast<unsigned char>(character.back());
        const bool lone = character.size() == 1 && (code < 0x20 || (code >= 0x7f && code < 0xa0));
        const bool encoded = character.size() == 2 && code == 0xc2 && last < 0xa0;
        if (lone || encoded)
            shown += '?';
        else
            shown += character;
    }
    return shown;
}

} // namespace posix
