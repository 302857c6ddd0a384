#include <walwire/conninfo.hpp>

#include <doctest/doctest.h>

// Our reader beside libpq's own PQconninfoParse, on strings from a seeded generator. libpq checks
// the grammar and the keywords but not the values, so the generator gives numbers and choices only
// values that both take; what is left must be accepted by both with the same values or refused by
// both. Link with -lpq.
#if __has_include(<libpq-fe.h>)

#include <libpq-fe.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/prng.hpp"

using namespace walwire;

namespace {

template <std::size_t N>
std::string any_of(support::prng& random, const std::string_view (&choices)[N]) {
    return std::string(choices[random.below(N)]);
}

// Characters that mean something in one of the forms or in the other, and a few that do not.
std::string raw_text(support::prng& random, std::string_view alphabet, std::size_t longest) {
    std::string text;
    for (auto n = random.below(longest + 1); n > 0; --n)
        text += alphabet[random.below(alphabet.size())];
    return text;
}

std::string keyword(support::prng& random) {
    static constexpr std::string_view ordinary[] = {"host",
                                                    "port",
                                                    "user",
                                                    "password",
                                                    "dbname",
                                                    "application_name",
                                                    "options",
                                                    "passfile",
                                                    "sslmode",
                                                    "sslcert",
                                                    "gssencmode",
                                                    "channel_binding",
                                                    "connect_timeout",
                                                    "sslkey"};
    static constexpr std::string_view strange[] = {"",    "bogus", "Host",
                                                   "hos", "hosts", "password "};
    return random.chance(1, 40) ? any_of(random, strange) : any_of(random, ordinary);
}

// A value for `name`, before anything is quoted or encoded.
std::string value(support::prng& random, std::string_view name) {
    static constexpr std::string_view ports[] = {"1", "5432", "65535", "080"};
    static constexpr std::string_view seconds[] = {"0", "1", "30"};
    static constexpr std::string_view ssl[] = {"disable", "allow", "prefer", "require"};
    static constexpr std::string_view gss[] = {"disable", "prefer", "require"};
    static constexpr std::string_view binding[] = {"disable", "prefer"};
    if (name == "port") return any_of(random, ports);
    if (name == "connect_timeout") return any_of(random, seconds);
    if (name == "sslmode") return any_of(random, ssl);
    if (name == "gssencmode") return any_of(random, gss);
    if (name == "channel_binding") return any_of(random, binding);
    return raw_text(random, "ab1 '\\=@:/?&%#[]+\t\n\xc3", 6);
}

std::string blanks(support::prng& random) {
    return random.chance(1, 3) ? raw_text(random, " \t\n\v\f\r", 2) : std::string();
}

// Mostly well-formed; now and then a quote, an escape or an '=' is missing.
std::string pairs(support::prng& random) {
    std::string text = blanks(random);
    for (auto n = random.below(6); n > 0; --n) {
        const std::string name = keyword(random);
        text += name + blanks(random);
        if (!random.chance(1, 50)) text += "=";
        text += blanks(random);
        const bool quoted = random.chance(1, 2);
        const bool careful = !random.chance(1, 50);
        if (quoted) text += "'";
        for (const char c : value(random, name)) {
            const bool blank = c == ' ' || (c >= '\t' && c <= '\r');
            if (careful && (c == '\'' || c == '\\' || (blank && !quoted))) text += "\\";
            text += c;
        }
        if (quoted && !random.chance(1, 50)) text += "'";
        if (!quoted || !random.chance(1, 4)) text += " " + blanks(random);
    }
    return text;
}

// Encodes what must be encoded in every part of a URI, sometimes more, and now and then too little.
std::string encoded(support::prng& random, std::string_view text) {
    static constexpr std::string_view digits = "0123456789abcdef";
    static constexpr std::string_view upper = "0123456789ABCDEF";
    const bool careful = !random.chance(1, 20);
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool special = byte <= ' ' || std::string_view("@:/?&%=,[]").find(c) != text.npos;
        if ((special && careful) || byte <= ' ' || random.chance(1, 8)) {
            const auto& table = random.chance(1, 2) ? digits : upper;
            out += '%';
            out += table[byte >> 4];
            out += table[byte & 15];
        } else {
            out += c;
        }
    }
    return out;
}

std::string uri(support::prng& random) {
    const auto maybe = [&] { return random.chance(1, 2); };
    std::string text = maybe() ? "postgres://" : "postgresql://";
    if (maybe()) {
        text += encoded(random, value(random, "user"));
        if (maybe()) text += ":" + encoded(random, value(random, "password"));
        text += "@";
    }
    static constexpr std::string_view hosts[] = {
        "",     "h",  "db.example.com", "[::1]", "[fe80::1%25eth0]", "%2Ftmp",
        "[::1", "[]", "[a]b",           "[a]"};
    text += any_of(random, hosts);
    if (maybe()) text += ":" + (maybe() ? encoded(random, value(random, "port")) : "");
    if (maybe()) text += "/" + encoded(random, value(random, "dbname"));
    if (maybe()) text += "?";
    for (auto n = random.below(4); n > 0; --n) {
        const std::string name = keyword(random);
        text += random.chance(1, 20) ? encoded(random, name) : name;
        if (!random.chance(1, 50)) text += "=";
        text += encoded(random, value(random, name));
        if (n > 1 || random.chance(1, 4)) text += "&";
    }
    if (random.chance(1, 50)) text += "ssl=true";
    return text;
}

std::string decimal(std::uint32_t number) {
    return std::to_string(number);
}

// What our fields say of libpq's keyword, or nothing for a keyword that we do not have.
std::optional<std::string> ours(const conninfo& info, std::string_view name) {
    if (name == "host") return std::string(info.host);
    if (name == "port") return decimal(info.port);
    if (name == "user") return std::string(info.user);
    if (name == "password") return std::string(info.password);
    if (name == "dbname") return std::string(info.dbname);
    if (name == "application_name") return std::string(info.application_name);
    if (name == "options") return std::string(info.options);
    if (name == "passfile") return std::string(info.passfile);
    if (name == "sslmode") return std::string(to_text(info.sslmode));
    if (name == "sslcert") return std::string(info.sslcert);
    if (name == "sslkey") return std::string(info.sslkey);
    if (name == "gssencmode") return std::string(to_text(info.gssencmode));
    if (name == "channel_binding") return std::string(to_text(info.channel_binding));
    if (name == "connect_timeout") return decimal(info.connect_timeout);
    return std::nullopt;
}

// What libpq's value means here: none and the empty text are our default.
std::string theirs(const PQconninfoOption& option) {
    const std::string_view name = option.keyword;
    const std::string text = option.val == nullptr ? "" : option.val;
    if (text.empty()) return *ours(conninfo{}, name);
    if (name == "port" || name == "connect_timeout") return std::to_string(std::stoul(text));
    return text;
}

// The refusals that libpq does not share, each by its own rule (see conninfo.hpp).
bool stricter_on_purpose(const std::string& text, const conninfo_error& error) {
    const bool is_uri = text.starts_with("postgres://") || text.starts_with("postgresql://");
    switch (error.code) {
    case errc::conninfo_syntax:
        return is_uri && error.offset < text.size() &&
               std::string_view("@? ").find(text[error.offset]) != std::string_view::npos;
    case errc::conninfo_value_invalid: // libpq meets these when it connects
        return error.keyword == "port" || error.keyword == "connect_timeout" ||
               error.keyword == "sslmode" || error.keyword == "gssencmode" ||
               error.keyword == "channel_binding";
    default: return false;
    }
}

struct tally {
    int accepted = 0, refused = 0, stricter = 0;
};

void compare(const std::string& text, tally& count) {
    CAPTURE(text);
    std::string storage(text.size(), '\0');
    conninfo info;
    const conninfo_error error = parse_conninfo(text, storage, info, tls_support::present);

    char* message = nullptr;
    PQconninfoOption* const options = PQconninfoParse(text.c_str(), &message);
    if (options == nullptr) {
        CHECK_FALSE(error.ok());
        ++count.refused;
    } else if (!error.ok()) {
        CHECK(stricter_on_purpose(text, error));
        ++count.stricter;
    } else {
        ++count.accepted;
        for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
            const auto mine = ours(info, option->keyword);
            CAPTURE(option->keyword);
            if (mine) {
                CHECK(*mine == theirs(*option));
            } else {
                CHECK(option->val == nullptr);
            }
        }
    }
    if (options != nullptr) PQconninfoFree(options);
    if (message != nullptr) PQfreemem(message);
}

} // namespace

TEST_CASE("libpq and this library read the same keyword form") {
    support::prng random(15018);
    tally count;
    for (int i = 0; i < 40'000; ++i) compare(pairs(random), count);
    CHECK(count.accepted > 20'000);
    CHECK(count.refused > 2'000);
    CHECK(count.stricter < 10);
}

TEST_CASE("libpq and this library read the same URIs") {
    support::prng random(18003);
    tally count;
    for (int i = 0; i < 40'000; ++i) compare(uri(random), count);
    CHECK(count.accepted > 10'000);
    CHECK(count.refused > 2'000);
    CHECK(count.stricter < 8'000);
}

TEST_CASE("libpq reads back what this library prints") {
    support::prng random(4);
    for (int i = 0; i < 5'000; ++i) {
        const std::string host = "h" + raw_text(random, "ab '\\=\t%@", 6);
        const std::string user = "u" + raw_text(random, "ab '\\=\t%@\n", 6);
        const std::string options = raw_text(random, "ab '\\=-\v", 9);
        const conninfo info{.host = host, .user = user, .options = options};
        std::vector<char> room(conninfo_printed_size_max);
        std::string text(*to_text(info, room));
        // Keywords of newer versions than the libpq at hand may be.
        for (const std::string_view newer :
             {" sslnegotiation=postgres", " min_protocol_version=3.0",
              " max_protocol_version=3.0"}) {
            REQUIRE(text.find(newer) != text.npos);
            text.erase(text.find(newer), newer.size());
        }
        tally count;
        compare(text, count);
        CHECK(count.accepted == 1);
    }
}

#else

TEST_CASE("libpq's header is not installed, so nothing was compared") {
    MESSAGE("install libpq's development files to run this test");
}

#endif
