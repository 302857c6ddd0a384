// Any text as a connection string: what is accepted prints and reads back, what is refused leaves
// nothing behind, and neither the print nor the error depends on a password.
#include <walwire/conninfo.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support/check.hpp"

using namespace walwire;

namespace {

struct outcome {
    outcome(std::string_view text, std::size_t storage_size, tls_support tls)
        : storage(storage_size, '.') {
        error = parse_conninfo(text, storage, info, tls);
    }
    std::vector<char> storage;
    conninfo info;
    conninfo_error error;
};

std::string printed(const conninfo& info) {
    std::vector<char> room(conninfo_printed_size_max);
    const auto text = to_text(info, room);
    check(bool(text), "the documented room holds what was parsed");
    return std::string(*text);
}

bool inside(std::string_view view, std::string_view text) {
    return view.data() >= text.data() && view.data() + view.size() <= text.data() + text.size();
}

void look_at_refusal(std::string_view text, const outcome& seen) {
    const conninfo_error& error = seen.error;
    check(seen.info == conninfo{}, "a refusal changes nothing");
    check(error.code != errc::memory_too_small, "storage of the text's size suffices");
    check(error.offset <= text.size(), "the offset lies in the text");
    for (const char c : seen.storage) check(c == '\0' || c == '.', "nothing decoded is left");
    std::vector<char> room(conninfo_error_printed_size_max);
    check(bool(to_text(error, room)), "the documented room holds the error");
    if (error.code != errc::conninfo_unknown_keyword) {
        bool known = error.keyword.empty();
        for (const auto& row : detail::conninfo_rows) known = known || error.keyword == row.name;
        check(known, "only an unknown keyword is named by the text");
    } else if (!error.keyword.empty()) {
        check(inside(error.keyword, text), "an unknown keyword is a view of the text");
        check(error.keyword.data() == text.data() + error.offset, "and it stands at the offset");
        check(detail::is_word(error.keyword), "and it is a word");
        check(error.keyword.size() <= conninfo_keyword_size_max, "of bounded length");
    }
}

void look_at_value(std::string_view text, const outcome& seen) {
    const conninfo& info = seen.info;
    check(!info.host.empty() && !info.user.empty() && info.port != 0, "what is needed is there");
    check(info.min_protocol_version <= info.max_protocol_version, "the versions are in order");
    for (const auto& row : detail::conninfo_rows) {
        if (row.text == nullptr) continue;
        const std::string_view value = info.*row.text;
        check(value.size() <= conninfo_value_size_max, "a value keeps its limit");
        check(value.find('\0') == value.npos, "no value holds a NUL");
        check(!inside(value, text) || value.empty(), "no value is a view of the text");
    }
    const std::string once = printed(info);
    conninfo other = info;
    if (!info.password.empty()) other.password = "another";
    check(printed(other) == once, "the print does not depend on the password");

    if (once.size() > conninfo_size_max) return;
    const outcome again(once, once.size(), tls_support::present);
    check(again.error.ok(), "the print reads back");
    if (!info.password.empty()) other.password = "***";
    check(again.info == other, "as the same but for the password");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const outcome seen(text, size, tls_support::present);
    if (seen.error.ok()) {
        look_at_value(text, seen);
    } else {
        look_at_refusal(text, seen);
    }

    const outcome without_tls(text, size, tls_support::absent);
    if (without_tls.error.ok()) {
        check(seen.error.ok() && seen.info == without_tls.info, "without TLS no more is accepted");
        check(without_tls.info.sslmode < ssl_mode::require, "and nothing that demands it");
    } else if (without_tls.error.code != errc::conninfo_tls_unavailable) {
        check(without_tls.error == seen.error, "without TLS only that is refused besides");
    }

    const outcome cramped(text, size / 2, tls_support::present);
    if (cramped.error.code != errc::memory_too_small) {
        check(cramped.error == seen.error && cramped.info == seen.info, "less room, same meaning");
    }
    return 0;
}
