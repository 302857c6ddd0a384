#include <walwire/conninfo.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/guard.hpp"
#include "support/no_alloc.hpp"
#include "support/prng.hpp"

using namespace walwire;
using namespace std::string_literals;

namespace {

// One parse, into storage of just the size that is documented to suffice, between two canaries.
struct parsed {
    static constexpr char canary = '\x5a';

    explicit parsed(std::string_view given, tls_support tls = tls_support::present)
        : text(given), room(given.size() + 2, canary) {
        {
            const support::no_alloc scope;
            error = parse_conninfo(text, std::span(room).subspan(1, text.size()), info, tls);
        }
        if (room.front() != canary || room.back() != canary) FAIL("written outside the storage");
    }
    // Whether the storage, all of it, holds this.
    bool holds(std::string_view secret) const { return room.find(secret) != std::string::npos; }

    std::string text;
    std::string room;
    conninfo info{.application_name = "untouched"};
    conninfo_error error;
};

template <class Printed>
std::string printed(const Printed& value, std::size_t size) {
    std::vector<char> room(size);
    const auto text = [&] {
        const support::no_alloc scope;
        return to_text(value, room);
    }();
    REQUIRE(text);
    return std::string(*text);
}
std::string printed(const conninfo& info) {
    return printed(info, conninfo_printed_size_max);
}
std::string printed(const conninfo_error& error) {
    return printed(error, conninfo_error_printed_size_max);
}

std::string address(const conninfo& info) {
    std::vector<char> room(8192);
    const auto text = to_address(info, room);
    REQUIRE(text);
    return std::string(*text);
}

constexpr std::uint32_t version_3_0 = 0x30000;
constexpr std::uint32_t version_3_2 = 0x30002;

static_assert(std::is_trivially_copyable_v<conninfo>);
static_assert(std::is_trivially_copyable_v<conninfo_error>);
static_assert(noexcept(parse_conninfo({}, {}, std::declval<conninfo&>(), tls_support::absent)));
static_assert(noexcept(to_text(conninfo{}, std::span<char>{})));
static_assert(noexcept(to_address(conninfo{}, std::span<char>{})));

} // namespace

TEST_CASE("the empty text means the defaults") {
    for (const char* text : {"", "  ", "\t\r\n\v\f", "postgres://", "postgresql://", "postgres:///",
                             "postgres://:/?", "postgres://@", "postgres://:@:/"}) {
        CAPTURE(text);
        const parsed p(text);
        CHECK(p.error.ok());
        CHECK(p.error == conninfo_error{});
        CHECK(p.info == conninfo{});
    }
    const conninfo info;
    CHECK(info.host == "127.0.0.1");
    CHECK(info.port == 5432);
    CHECK(info.user == "replicator");
    CHECK(info.sslmode == ssl_mode::prefer);
    CHECK(info.sslnegotiation == ssl_negotiation::postgres);
    CHECK(info.channel_binding == channel_binding_mode::prefer);
    CHECK(info.gssencmode == gss_mode::disable);
    CHECK(info.connect_timeout == 0);
    CHECK(info.min_protocol_version == version_3_0);
    CHECK(info.max_protocol_version == version_3_0);
    for (const auto& view : {info.hostaddr, info.password, info.passfile, info.dbname,
                             info.application_name, info.options, info.replication_slot,
                             info.sslrootcert, info.sslcert, info.sslkey, info.require_auth})
        CHECK(view.empty());
}

TEST_CASE("each keyword sets its field, in both forms") {
    const struct {
        std::string_view keyword, value;
        conninfo expected;
    } rows[] = {
        {"host", "db.example.com", {.host = "db.example.com"}},
        {"host", "/run/postgresql", {.host = "/run/postgresql"}},
        {"hostaddr", "10.0.0.7", {.host = "10.0.0.7", .hostaddr = "10.0.0.7"}},
        {"hostaddr",
         "fe80::aF%25eth0.1",
         {.host = "fe80::aF%25eth0.1", .hostaddr = "fe80::aF%25eth0.1"}},
        {"port", "1", {.port = 1}},
        {"port", "65535", {.port = 65535}},
        {"port", "05433", {.port = 5433}},
        {"user", "standby", {.user = "standby"}},
        {"password", "hunter2", {.password = "hunter2"}},
        {"passfile", "/home/p/.pgpass", {.passfile = "/home/p/.pgpass"}},
        {"dbname", "postgres", {.dbname = "postgres"}},
        {"application_name", "node-b", {.application_name = "node-b"}},
        {"options", "-cgeqo", {.options = "-cgeqo"}},
        {"replication_slot", "slot_1", {.replication_slot = "slot_1"}},
        {"slot_name", "slot_1", {.replication_slot = "slot_1"}},
        {"connect_timeout", "0", {.connect_timeout = 0}},
        {"connect_timeout", "1", {.connect_timeout = 1}},
        {"connect_timeout", "2147483647", {.connect_timeout = 2147483647}},
        {"connect_timeout", "-1", {.connect_timeout = 0}},
        {"sslmode", "disable", {.sslmode = ssl_mode::disable}},
        {"sslmode", "allow", {.sslmode = ssl_mode::allow}},
        {"sslmode", "prefer", {.sslmode = ssl_mode::prefer}},
        {"sslmode", "require", {.sslmode = ssl_mode::require}},
        {"sslnegotiation", "postgres", {.sslnegotiation = ssl_negotiation::postgres}},
        {"sslrootcert", "/etc/root.crt", {.sslrootcert = "/etc/root.crt"}},
        {"ssl_root_cert", "/etc/root.crt", {.sslrootcert = "/etc/root.crt"}},
        {"sslcert", "/etc/c.crt", {.sslcert = "/etc/c.crt"}},
        {"sslkey", "/etc/c.key", {.sslkey = "/etc/c.key"}},
        {"gssencmode", "disable", {.gssencmode = gss_mode::disable}},
        {"gssencmode", "prefer", {.gssencmode = gss_mode::prefer}},
        {"gssencmode", "require", {.gssencmode = gss_mode::require}},
        {"channel_binding", "disable", {.channel_binding = channel_binding_mode::disable}},
        {"channel_binding", "prefer", {.channel_binding = channel_binding_mode::prefer}},
        {"channel_binding", "require", {.channel_binding = channel_binding_mode::require}},
        {"require_auth", "!password,!md5", {.require_auth = "!password,!md5"}},
        {"min_protocol_version", "3.0", {}},
        {"min_protocol_version",
         "3.2",
         {.min_protocol_version = version_3_2, .max_protocol_version = version_3_2}},
        {"min_protocol_version",
         "latest",
         {.min_protocol_version = version_3_2, .max_protocol_version = version_3_2}},
        {"max_protocol_version", "3.0", {}},
        {"max_protocol_version", "3.2", {.max_protocol_version = version_3_2}},
        {"max_protocol_version", "latest", {.max_protocol_version = version_3_2}},
    };
    for (const auto& row : rows) {
        const std::string assignment = std::string(row.keyword) + "=" + std::string(row.value);
        CAPTURE(assignment);
        const parsed p(assignment);
        CHECK(p.error == conninfo_error{});
        CHECK(p.info == row.expected);
        std::string encoded;
        for (const char c : assignment) encoded += c == '%' ? "%25"s : std::string(1, c);
        const parsed u("postgres://?" + encoded);
        CHECK(u.error == conninfo_error{});
        CHECK(u.info == row.expected);
    }
}

TEST_CASE("keyword form: blanks, quotes and escapes") {
    const struct {
        std::string_view text;
        conninfo expected;
    } rows[] = {
        {"host=a port=5", {.host = "a", .port = 5}},
        {" \t host \n=\r a \v\f port\t=\t5 ", {.host = "a", .port = 5}},
        {"host='a'port=5", {.host = "a", .port = 5}},
        {"user='a b'", {.user = "a b"}},
        {"user=a\\ b", {.user = "a b"}},
        {"user='a\\'b\\\\c\\d'", {.user = "a'b\\cd"}},
        {"user=a\\'b\\\\c\\d", {.user = "a'b\\cd"}},
        {"user=a'b", {.user = "a'b"}},
        {"user=a'b'c'", {.user = "a'b'c'"}},
        {"user=\\'a'", {.user = "'a'"}},
        {"user=a=b==", {.user = "a=b=="}},
        {"user=a\\", {.user = "a"}},
        {"user=\\", {}},
        {"user='\n'", {.user = "\n"}},
        {"user='=' dbname=' '", {.user = "=", .dbname = " "}},
        {"user= dbname=x", {.user = "dbname=x"}},
        {"user='' dbname=x", {.dbname = "x"}},
        {"user=", {}},
        {"user=\xc3\xa9\xff", {.user = "\xc3\xa9\xff"}},
        {"password='it\\'s \\\\ secret'", {.password = "it's \\ secret"}},
        {"password=a%20b@c?d/e", {.password = "a%20b@c?d/e"}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const parsed p(row.text);
        CHECK(p.error == conninfo_error{});
        CHECK(p.info == row.expected);
    }
}

TEST_CASE("URI form: each part may be missing and each may be encoded") {
    const struct {
        std::string_view text;
        conninfo expected;
    } rows[] = {
        {"postgresql://h", {.host = "h"}},
        {"postgres://h", {.host = "h"}},
        {"postgres://h:6000", {.host = "h", .port = 6000}},
        {"postgres://h:", {.host = "h"}},
        {"postgres://:6000", {.port = 6000}},
        {"postgres://h/", {.host = "h"}},
        {"postgres://h/db", {.host = "h", .dbname = "db"}},
        {"postgres://h//a/b", {.host = "h", .dbname = "/a/b"}},
        {"postgres:///db", {.dbname = "db"}},
        {"postgres://u@h", {.host = "h", .user = "u"}},
        {"postgres://u@", {.user = "u"}},
        {"postgres://u:p@h", {.host = "h", .user = "u", .password = "p"}},
        {"postgres://u:@h", {.host = "h", .user = "u"}},
        {"postgres://:p@h", {.host = "h", .password = "p"}},
        {"postgres://u:p:q@h", {.host = "h", .user = "u", .password = "p:q"}},
        {"postgres://u:p?q=r&s@h", {.host = "h", .user = "u", .password = "p?q=r&s"}},
        {"postgres://u:p[]#=@h", {.host = "h", .user = "u", .password = "p[]#="}},
        {"postgres://[::1]", {.host = "::1"}},
        {"postgres://[::1]:6000/db", {.host = "::1", .port = 6000, .dbname = "db"}},
        {"postgres://[::1]/db", {.host = "::1", .dbname = "db"}},
        {"postgres://[::1]?port=6000", {.host = "::1", .port = 6000}},
        {"postgres://[fe80::1%25eth0]", {.host = "fe80::1%eth0"}},
        {"postgres://u:p@[::1]", {.host = "::1", .user = "u", .password = "p"}},
        {"postgres://%2Fvar%2frun:6000", {.host = "/var/run", .port = 6000}},
        {"postgres://h:%35%34", {.host = "h", .port = 54}},
        {"postgres://%75:%40%3a%2F%3f%25@h/%64b%20",
         {.host = "h", .user = "u", .password = "@:/?%", .dbname = "db "}},
        {"postgres://h?", {.host = "h"}},
        {"postgres://h?port=6000", {.host = "h", .port = 6000}},
        {"postgres://h/?port=6000&", {.host = "h", .port = 6000}},
        {"postgres://h:1/db?port=2&user=u", {.host = "h", .port = 2, .user = "u", .dbname = "db"}},
        {"postgres://h?%70or%74=2", {.host = "h", .port = 2}},
        {"postgres://h?host=", {}},
        {"postgres:///db?host=/tmp", {.host = "/tmp", .dbname = "db"}},
        {"postgres://h/?user=a@b", {.host = "h", .user = "a@b"}},
        {"postgres://h/?user=a?b/c:d", {.host = "h", .user = "a?b/c:d"}},
        {"postgres://h?options=a+b%20%3D", {.host = "h", .options = "a+b ="}},
        {"postgres://h?password=p%26q", {.host = "h", .password = "p&q"}},
        {"postgres://h?ssl=true", {.host = "h", .sslmode = ssl_mode::require}},
        {"postgres://h?ssl=true&sslmode=allow", {.host = "h", .sslmode = ssl_mode::allow}},
        {"postgres://h?user=a'b\\c", {.host = "h", .user = "a'b\\c"}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const parsed p(row.text);
        CHECK(p.error == conninfo_error{});
        CHECK(p.info == row.expected);
    }
}

TEST_CASE("what is refused says what, where and by which keyword") {
    using e = errc;
    const struct {
        std::string text;
        errc code;
        std::uint32_t offset;
        std::string_view keyword;
    } rows[] = {
        // Keyword form: syntax.
        {"host", e::conninfo_syntax, 0, ""},
        {"host=a port", e::conninfo_syntax, 7, ""},
        {"host=a  port 5", e::conninfo_syntax, 8, ""},
        {"host='a''b'", e::conninfo_syntax, 8, ""},
        {"host='a", e::conninfo_unterminated, 5, "host"},
        {"host='a\\'", e::conninfo_unterminated, 5, "host"},
        {"host='a\\", e::conninfo_unterminated, 5, "host"},
        {"port = '", e::conninfo_unterminated, 7, "port"},
        {"=a", e::conninfo_unknown_keyword, 0, ""},
        {"host=a\0b"s, e::argument_has_nul, 6, ""},
        {"\0"s, e::argument_has_nul, 0, ""},
        {"postgres://h\0"s, e::argument_has_nul, 12, ""},
        // Keywords that are none.
        {"bogus=1", e::conninfo_unknown_keyword, 0, "bogus"},
        {"host=a dbnmae = d", e::conninfo_unknown_keyword, 7, "dbnmae"},
        {"Host=a", e::conninfo_unknown_keyword, 0, "Host"},
        {"hosts=a", e::conninfo_unknown_keyword, 0, "hosts"},
        {"hos=a", e::conninfo_unknown_keyword, 0, "hos"},
        {"service=a", e::conninfo_unknown_keyword, 0, "service"},
        {"sslcrl=a", e::conninfo_unknown_keyword, 0, "sslcrl"},
        {"ssl=true", e::conninfo_unknown_keyword, 0, "ssl"},
        {"ho-st=a", e::conninfo_unknown_keyword, 0, ""},
        {"postgres://h?bogus=1", e::conninfo_unknown_keyword, 13, "bogus"},
        {"postgres://h?port=1&bogus=1", e::conninfo_unknown_keyword, 20, "bogus"},
        {"postgres://h?ssl=false", e::conninfo_unknown_keyword, 13, "ssl"},
        {"postgres://h?=1", e::conninfo_unknown_keyword, 13, ""},
        {"postgres://h?bo%67us=1", e::conninfo_unknown_keyword, 13, ""},
        // Not URIs, although meant as one.
        {" postgres://h", e::conninfo_syntax, 1, ""},
        {"postgres:/h", e::conninfo_syntax, 0, ""},
        {"POSTGRES://h?port=1", e::conninfo_unknown_keyword, 0, ""},
        // URI form: syntax.
        {"postgres://[::1", e::conninfo_syntax, 11, "host"},
        {"postgres://[]", e::conninfo_syntax, 12, "host"},
        {"postgres://[::1]x", e::conninfo_syntax, 15, "host"},
        {"postgres://[::1]]", e::conninfo_syntax, 15, "host"},
        {"postgres://h?port", e::conninfo_syntax, 13, ""},
        {"postgres://h?&port=1", e::conninfo_syntax, 13, ""},
        {"postgres://h?port=1&&user=u", e::conninfo_syntax, 20, ""},
        {"postgres://h?port=1=2", e::conninfo_syntax, 19, "port"},
        {"postgres://h?ssl==true", e::conninfo_unknown_keyword, 13, "ssl"},
        {"postgres://h?user=a=&port=1", e::conninfo_syntax, 19, "user"},
        {"postgres://%", e::conninfo_syntax, 11, "host"},
        {"postgres://%4", e::conninfo_syntax, 11, "host"},
        {"postgres://%g0", e::conninfo_syntax, 11, "host"},
        {"postgres://%0g", e::conninfo_syntax, 11, "host"},
        {"postgres://a%4:1", e::conninfo_syntax, 12, "host"},
        {"postgres://h/a%2", e::conninfo_syntax, 14, "dbname"},
        {"postgres://u%:p@h", e::conninfo_syntax, 12, "user"},
        {"postgres://u:p%@h", e::conninfo_syntax, 14, "password"},
        {"postgres://h?po%zz=1", e::conninfo_syntax, 15, ""},
        {"postgres://h?user=%zz", e::conninfo_syntax, 18, "user"},
        {"postgres://%00", e::argument_has_nul, 11, "host"},
        {"postgres://u:p%00@h", e::argument_has_nul, 14, "password"},
        {"postgres://h?p%00=1", e::argument_has_nul, 14, ""},
        {"postgres://a b", e::conninfo_syntax, 12, "host"},
        {"postgres://h/a\x7f", e::conninfo_syntax, 14, "dbname"},
        {"postgres://h\n", e::conninfo_syntax, 12, "host"},
        {"postgres://h? port=1", e::conninfo_syntax, 13, ""},
        // Raw characters that make a URI mean two things.
        {"postgres://u:p@q@h", e::conninfo_syntax, 16, ""},
        {"postgres://u:p/q@h", e::conninfo_syntax, 16, ""},
        {"postgres://u:1/q@h/db", e::conninfo_syntax, 16, ""},
        {"postgres://u:p@q/r@h", e::conninfo_syntax, 18, ""},
        {"postgres://h?user=a@b", e::conninfo_syntax, 12, ""},
        {"postgres://u?:p@h", e::conninfo_syntax, 12, ""},
        // Several hosts.
        {"host=a,b", e::conninfo_several_hosts, 5, "host"},
        {"host=,", e::conninfo_several_hosts, 5, "host"},
        {"host=/tmp,/run", e::conninfo_several_hosts, 5, "host"},
        {"hostaddr=1.2.3.4,1.2.3.5", e::conninfo_several_hosts, 9, "hostaddr"},
        {"port=1,2", e::conninfo_several_hosts, 5, "port"},
        {"postgres://a,b", e::conninfo_several_hosts, 12, "host"},
        {"postgres://a%2Cb", e::conninfo_several_hosts, 11, "host"},
        {"postgres://[::1],b", e::conninfo_several_hosts, 16, "host"},
        {"postgres://a:1,b:2/db", e::conninfo_several_hosts, 13, "port"},
        {"postgres://,", e::conninfo_several_hosts, 11, "host"},
        {"postgres://h?host=a,b", e::conninfo_several_hosts, 18, "host"},
        // Values.
        {"port=0", e::conninfo_value_invalid, 5, "port"},
        {"port=65536", e::conninfo_value_invalid, 5, "port"},
        {"port=18446744073709551617", e::conninfo_value_invalid, 5, "port"},
        {"port=-1", e::conninfo_value_invalid, 5, "port"},
        {"port=+1", e::conninfo_value_invalid, 5, "port"},
        {"port=1x", e::conninfo_value_invalid, 5, "port"},
        {"port=0x10", e::conninfo_value_invalid, 5, "port"},
        {"port=' 1'", e::conninfo_value_invalid, 5, "port"},
        {"postgres://h:x", e::conninfo_value_invalid, 13, "port"},
        {"postgres://h:1:2/", e::conninfo_value_invalid, 13, "port"},
        {"postgres://h?port=0", e::conninfo_value_invalid, 18, "port"},
        {"connect_timeout=x", e::conninfo_value_invalid, 16, "connect_timeout"},
        {"connect_timeout=1.5", e::conninfo_value_invalid, 16, "connect_timeout"},
        {"connect_timeout=-", e::conninfo_value_invalid, 16, "connect_timeout"},
        {"connect_timeout=2147483648", e::conninfo_value_invalid, 16, "connect_timeout"},
        {"connect_timeout=-2147483648", e::conninfo_value_invalid, 16, "connect_timeout"},
        {"hostaddr=db", e::conninfo_value_invalid, 9, "hostaddr"},
        {"hostaddr=1.2.3.a", e::conninfo_value_invalid, 9, "hostaddr"},
        {"hostaddr=::g", e::conninfo_value_invalid, 9, "hostaddr"},
        {"hostaddr=::1%", e::conninfo_value_invalid, 9, "hostaddr"},
        {"hostaddr=1.2.3.4%eth0", e::conninfo_value_invalid, 9, "hostaddr"},
        {"hostaddr=[::1]", e::conninfo_value_invalid, 9, "hostaddr"},
        {"replication_slot=A", e::conninfo_value_invalid, 17, "replication_slot"},
        {"slot_name=a-b", e::conninfo_value_invalid, 10, "slot_name"},
        {"sslmode=Require", e::conninfo_value_invalid, 8, "sslmode"},
        {"sslmode=verify_full", e::conninfo_value_invalid, 8, "sslmode"},
        {"sslmode=''", e::conninfo_value_invalid, 8, "sslmode"},
        {"sslmode=", e::conninfo_value_invalid, 8, "sslmode"},
        {"sslmode=requir", e::conninfo_value_invalid, 8, "sslmode"},
        {"sslnegotiation=tls", e::conninfo_value_invalid, 15, "sslnegotiation"},
        {"gssencmode=allow", e::conninfo_value_invalid, 11, "gssencmode"},
        {"channel_binding=x", e::conninfo_value_invalid, 16, "channel_binding"},
        {"min_protocol_version=3.1", e::conninfo_value_invalid, 21, "min_protocol_version"},
        {"max_protocol_version=3", e::conninfo_value_invalid, 21, "max_protocol_version"},
        {"max_protocol_version=''", e::conninfo_value_invalid, 21, "max_protocol_version"},
        // Values that do not go together.
        {"min_protocol_version=3.2 max_protocol_version=3.0", e::conninfo_value_invalid, 21,
         "min_protocol_version"},
        {"sslnegotiation=direct", e::conninfo_value_invalid, 15, "sslnegotiation"},
        {"sslmode=prefer sslnegotiation=direct", e::conninfo_value_invalid, 30, "sslnegotiation"},
        {"sslrootcert=system sslmode=verify-ca", e::conninfo_value_invalid, 27, "sslmode"},
        {"sslmode=disable ssl_root_cert=system", e::conninfo_value_invalid, 8, "sslmode"},
        {"sslmode=disable channel_binding=require", e::conninfo_value_invalid, 32,
         "channel_binding"},
        {"sslmode=verify-ca", e::conninfo_needs_root_cert, 8, "sslmode"},
        {"sslmode=verify-full sslrootcert=''", e::conninfo_needs_root_cert, 8, "sslmode"},
        {"sslmode='verify-full'", e::conninfo_needs_root_cert, 8, "sslmode"},
        {"postgres://h?sslmode=verify-full", e::conninfo_needs_root_cert, 21, "sslmode"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const parsed p(row.text);
        CHECK(p.error.code == row.code);
        CHECK(p.error.offset == row.offset);
        CHECK(p.error.keyword == row.keyword);
        CHECK_FALSE(p.error.ok());
        CHECK(p.info == conninfo{.application_name = "untouched"});
    }
}

TEST_CASE("the last value of a keyword counts, whichever way it was given") {
    CHECK(parsed("host=a host=b").info.host == "b");
    CHECK(parsed("host=a host=''").info.host == "127.0.0.1");
    CHECK(parsed("host=a host='' hostaddr=10.0.0.7").info.host == "10.0.0.7");
    CHECK(parsed("host=a hostaddr=10.0.0.7 hostaddr=''").info.host == "a");
    CHECK(parsed("hostaddr=10.0.0.7 hostaddr=''").info == conninfo{});
    CHECK(parsed("port=1 port=2 port=''").info.port == 5432);
    CHECK(parsed("user=a user=").info.user == "replicator");
    CHECK(parsed("connect_timeout=9 connect_timeout=''").info.connect_timeout == 0);
    CHECK(parsed("slot_name=a replication_slot=b").info.replication_slot == "b");
    CHECK(parsed("replication_slot=b slot_name=a").info.replication_slot == "a");
    CHECK(parsed("sslrootcert=a ssl_root_cert=b").info.sslrootcert == "b");
    CHECK(parsed("sslmode=require sslmode=disable").info.sslmode == ssl_mode::disable);
    CHECK(parsed("password=a password=''").info.password.empty());
    CHECK(parsed("postgres://u:p@h?password=q&user=v").info.password == "q");
    CHECK(parsed("postgres://h?sslmode=allow&ssl=true").info.sslmode == ssl_mode::require);
    // A value that is replaced later must still be one that its keyword can have.
    CHECK(parsed("port=x port=1").error.code == errc::conninfo_value_invalid);
}

TEST_CASE("strict TLS is refused at once where the adapter has none") {
    const struct {
        std::string_view text;
        errc absent, present;
        std::string_view keyword;
    } rows[] = {
        {"", errc::none, errc::none, ""},
        {"sslmode=disable", errc::none, errc::none, ""},
        {"sslmode=allow", errc::none, errc::none, ""},
        {"sslmode=prefer", errc::none, errc::none, ""},
        {"sslmode=require", errc::conninfo_tls_unavailable, errc::none, "sslmode"},
        {"sslmode=require sslnegotiation=direct", errc::conninfo_tls_unavailable, errc::none,
         "sslmode"},
        {"sslmode=verify-ca sslrootcert=r", errc::conninfo_tls_unavailable, errc::none, "sslmode"},
        {"sslmode=verify-full sslrootcert=r", errc::conninfo_tls_unavailable, errc::none,
         "sslmode"},
        {"sslmode=verify-full", errc::conninfo_tls_unavailable, errc::conninfo_needs_root_cert,
         "sslmode"},
        {"sslrootcert=r", errc::none, errc::none, ""},
        {"sslrootcert=system", errc::conninfo_tls_unavailable, errc::none, "sslmode"},
        {"channel_binding=require", errc::conninfo_tls_unavailable, errc::none, "channel_binding"},
        {"channel_binding=prefer", errc::none, errc::none, ""},
        {"postgres://h?ssl=true", errc::conninfo_tls_unavailable, errc::none, "sslmode"},
        {"sslmode=require sslmode=prefer", errc::none, errc::none, ""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const parsed without(row.text, tls_support::absent);
        CHECK(without.error.code == row.absent);
        CHECK(without.error.keyword == row.keyword);
        CHECK(parsed(row.text, tls_support::present).error.code == row.present);
    }
    CHECK(parsed("sslrootcert=system", tls_support::absent).error.offset == 12);
    CHECK(parsed("host=h sslmode=require", tls_support::absent).error.offset == 15);
}

TEST_CASE("an adapter with roots of its own needs none named, and nothing else is laxer") {
    for (const std::string_view text : {"sslmode=verify-ca", "sslmode=verify-full sslrootcert=''",
                                        "postgres://h?sslmode=verify-full"}) {
        CAPTURE(text);
        CHECK(parsed(text).error.code == errc::conninfo_needs_root_cert);
        const parsed rooted(text, tls_support::with_roots);
        CHECK(rooted.error.ok());
        CHECK(rooted.info.sslmode >= ssl_mode::verify_ca);
        CHECK(rooted.info.sslrootcert.empty());
        CHECK(rooted.info.verifies_chain());
    }
    for (const std::string_view text :
         {"sslrootcert=system sslmode=verify-ca", "sslmode=prefer sslnegotiation=direct",
          "sslmode=disable channel_binding=require", "sslmode=verify"}) {
        CAPTURE(text);
        CHECK_FALSE(parsed(text, tls_support::with_roots).error.ok());
        CHECK(parsed(text, tls_support::with_roots).error == parsed(text).error);
    }
}

TEST_CASE("what a certificate must prove follows from sslmode and sslrootcert") {
    const struct {
        std::string_view text;
        bool chain, name;
    } rows[] = {
        {"", false, false},
        {"sslmode=prefer sslrootcert=r", false, false},
        {"sslmode=require", false, false},
        {"sslmode=require sslrootcert=r", true, false},
        {"sslmode=verify-ca sslrootcert=r", true, false},
        {"sslmode=verify-full sslrootcert=r", true, true},
        {"sslrootcert=system", true, true},
        {"sslrootcert=system sslmode=verify-full", true, true},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const parsed p(row.text);
        REQUIRE(p.error.ok());
        CHECK(p.info.verifies_chain() == row.chain);
        CHECK(p.info.verifies_name() == row.name);
    }
}

TEST_CASE("every limit holds at its last value and refuses the next") {
    const auto times = [](std::size_t n, char c) { return std::string(n, c); };
    SUBCASE("the whole text") {
        CHECK(parsed(times(16 * 1024, ' ')).error.ok());
        const parsed p(times(16 * 1024 + 1, ' '));
        CHECK(p.error == conninfo_error{errc::conninfo_too_long, 16 * 1024, {}});
        CHECK(parsed("host=h" + times(16 * 1024 - 6, '\n')).info.host == "h");
    }
    SUBCASE("the keywords of the keyword form") {
        std::string text;
        for (int i = 0; i < 32; ++i) text += "user=u ";
        CHECK(parsed(text).error.ok());
        const parsed p(text + "user=u");
        CHECK(p.error == conninfo_error{errc::conninfo_too_long, 32 * 7, "user"});
    }
    SUBCASE("the keywords of a URI, its parts among them") {
        std::string text = "postgres://u:p@h:1/d?";
        for (int i = 0; i < 27; ++i) text += "user=u&";
        CHECK(parsed(text).error.ok());
        const parsed p(text + "user=u");
        CHECK(p.error == conninfo_error{errc::conninfo_too_long, 21 + 27 * 7, "user"});
    }
    SUBCASE("a keyword") {
        const std::string longest = times(64, 'k');
        CHECK(parsed(longest + "=1").error ==
              conninfo_error{errc::conninfo_unknown_keyword, 0, longest});
        CHECK(parsed("k" + longest + "=1").error == conninfo_error{errc::conninfo_too_long, 0, {}});
        CHECK(parsed("postgres://?" + longest + "=1").error ==
              conninfo_error{errc::conninfo_unknown_keyword, 12, longest});
        CHECK(parsed("postgres://?k" + longest + "=1").error ==
              conninfo_error{errc::conninfo_too_long, 12, {}});
        // Decoded bytes count: 64 of them take 192 here.
        std::string encoded;
        for (int i = 0; i < 64; ++i) encoded += "%6b";
        CHECK(parsed("postgres://?" + encoded + "=1").error.code == errc::conninfo_unknown_keyword);
        CHECK(parsed("postgres://?" + encoded + "k=1").error.code == errc::conninfo_too_long);
    }
    SUBCASE("a value, decoded") {
        CHECK(parsed("user=" + times(4096, 'x')).info.user == times(4096, 'x'));
        CHECK(parsed("user=" + times(4097, 'x')).error ==
              conninfo_error{errc::conninfo_too_long, 5, "user"});
        std::string escaped;
        for (int i = 0; i < 4096; ++i) escaped += "\\x";
        CHECK(parsed("user='" + escaped + "'").info.user == times(4096, 'x'));
        CHECK(parsed("user='" + escaped + "x'").error ==
              conninfo_error{errc::conninfo_too_long, 5, "user"});
        std::string encoded;
        for (int i = 0; i < 4096; ++i) encoded += "%78";
        CHECK(parsed("postgres://" + encoded).info.host == times(4096, 'x'));
        CHECK(parsed("postgres://x" + encoded).error ==
              conninfo_error{errc::conninfo_too_long, 11, "host"});
        CHECK(parsed("postgres://?user=x" + encoded).error ==
              conninfo_error{errc::conninfo_too_long, 17, "user"});
    }
    SUBCASE("a slot's name") {
        CHECK(parsed("slot_name=" + times(63, 's')).info.replication_slot == times(63, 's'));
        CHECK(parsed("slot_name=" + times(64, 's')).error.code == errc::conninfo_value_invalid);
    }
}

TEST_CASE("storage that is too small is refused and left without the password") {
    const std::string text = "host=h password=secret port=6000 user=u";
    // The views take 8 bytes; the port is decoded behind the first seven of them.
    for (std::size_t size = 0; size <= text.size(); ++size) {
        CAPTURE(size);
        std::string room(size, '.');
        conninfo info;
        const conninfo_error error = parse_conninfo(text, room, info, tls_support::present);
        CHECK(error.ok() == (size >= 11));
        if (error.ok()) {
            CHECK(info == conninfo{.host = "h", .port = 6000, .user = "u", .password = "secret"});
        } else {
            CHECK(error.code == errc::memory_too_small);
            CHECK(error.keyword == (size < 1 ? "host" : size < 7 ? "password" : "port"));
            CHECK(info == conninfo{});
            CHECK(room.find_first_not_of('\0') == room.npos);
        }
    }
}

TEST_CASE("a text that is refused leaves nothing decoded behind") {
    for (const std::string_view text :
         {"password=secret bogus=1", "password=secret port=x", "password=secret sslmode=verify-ca",
          "password=secret password='secret", "postgres://u:secret@h?port=x",
          "postgres://u:secret@h%zz", "postgres://u:secret@a,b", "postgres://u:secret%zz@h"}) {
        CAPTURE(text);
        parsed p(text);
        REQUIRE_FALSE(p.error.ok());
        CHECK_FALSE(p.holds("sec"));
    }
}

TEST_CASE("the printed form holds every field and reads back the same") {
    const conninfo info{
        .host = "db.example.com",
        .hostaddr = "2001:db8::7",
        .port = 6000,
        .user = "o'brien",
        .password = "hunter2",
        .passfile = "/home/a b/.pgpass",
        .dbname = "back\\slash",
        .application_name = "node-b",
        .options = "-c geqo=off",
        .replication_slot = "slot_1",
        .connect_timeout = 4294967295,
        .sslmode = ssl_mode::verify_full,
        .sslnegotiation = ssl_negotiation::direct,
        .sslrootcert = "/r",
        .sslcert = "/c",
        .sslkey = "/k",
        .gssencmode = gss_mode::require,
        .channel_binding = channel_binding_mode::require,
        .require_auth = "scram-sha-256,md5",
        .min_protocol_version = version_3_0,
        .max_protocol_version = version_3_2,
    };
    CHECK(printed(info) ==
          "host=db.example.com hostaddr=2001:db8::7 port=6000 user='o\\'brien' password=*** "
          "passfile='/home/a b/.pgpass' dbname='back\\\\slash' application_name=node-b "
          "options='-c geqo=off' replication_slot=slot_1 connect_timeout=4294967295 "
          "sslmode=verify-full sslnegotiation=direct sslrootcert=/r sslcert=/c sslkey=/k "
          "gssencmode=require channel_binding=require require_auth=scram-sha-256,md5 "
          "min_protocol_version=3.0 max_protocol_version=3.2");
    CHECK(printed(conninfo{}) ==
          "host=127.0.0.1 port=5432 user=replicator connect_timeout=0 sslmode=prefer "
          "sslnegotiation=postgres gssencmode=disable channel_binding=prefer "
          "min_protocol_version=3.0 max_protocol_version=3.0");

    conninfo again = info;
    again.connect_timeout = 7;
    const parsed p(printed(again));
    REQUIRE(p.error.ok());
    again.password = "***";
    CHECK(p.info == again);
}

TEST_CASE("each byte but NUL survives printing and reading in every view") {
    for (int byte = 1; byte < 256; ++byte) {
        CAPTURE(byte);
        for (const std::string& value : {std::string(1, static_cast<char>(byte)),
                                         "a" + std::string(1, static_cast<char>(byte)),
                                         std::string(1, static_cast<char>(byte)) + "b",
                                         std::string(3, static_cast<char>(byte))}) {
            const conninfo info{.user = value, .dbname = value, .options = value};
            const parsed p(printed(info));
            REQUIRE(p.error.ok());
            CHECK(p.info == info);
        }
    }
}

TEST_CASE("the documented room suffices for the longest prints") {
    // Four values of nothing but characters that are escaped, encoded in one byte each.
    const std::string quotes(4000, '\'');
    const parsed p("user=a" + quotes + " dbname=a" + quotes + " options=a" + quotes +
                   " password=a" + quotes);
    REQUIRE(p.error.ok());
    CHECK(printed(p.info).size() < conninfo_printed_size_max);

    // hostaddr is printed twice, and a zone may hold anything.
    const std::string zone(4090, '\'');
    const parsed h("hostaddr=::%" + zone + " user=a" + quotes + " dbname=a" + quotes +
                   " options=a" + quotes);
    REQUIRE(h.error.ok());
    CHECK(h.info.host.size() == 4093);
    CHECK(printed(h.info).size() > 2 * conninfo_size_max);
    CHECK(printed(h.info).size() < conninfo_printed_size_max);

    const std::string keyword(64, 'k');
    for (int code = 0; code < 256; ++code) {
        std::vector<char> room(conninfo_error_printed_size_max);
        CHECK(to_text(conninfo_error{static_cast<errc>(code), UINT32_MAX, keyword}, room));
    }
}

TEST_CASE("printing refuses room that is one byte too small") {
    const conninfo info{.password = "p", .dbname = "a b"};
    const conninfo_error error{errc::conninfo_unknown_keyword, 7, "dbnmae"};
    const std::string whole = printed(info);
    const std::string where = address(info);
    const std::string fault = printed(error);
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        std::vector<char> room(size);
        CHECK(bool(to_text(info, room)) == (size == whole.size()));
        CHECK(bool(to_address(info, room)) == (size >= where.size()));
        CHECK(bool(to_text(error, room)) == (size >= fault.size()));
    }
    CHECK(to_text(info, {}).code() == errc::memory_too_small);
    CHECK(to_address(info, {}).code() == errc::memory_too_small);
    CHECK(to_text(error, {}).code() == errc::memory_too_small);
}

TEST_CASE("an error prints as one line") {
    CHECK(printed(parsed("host=a dbnmae=d").error) ==
          "the connection string has an unknown keyword: dbnmae at byte 7");
    CHECK(printed(parsed("host=a b").error) ==
          "the connection string has a syntax error at byte 7");
    CHECK(printed(parsed("host=a,b").error) ==
          "the connection string names several hosts, which is not supported: host at byte 5");
}

TEST_CASE("a host becomes an address, in brackets when it has colons") {
    const struct {
        std::string_view text, address;
        bool local;
    } rows[] = {
        {"", "127.0.0.1:5432", false},
        {"host=db.example.com port=1", "db.example.com:1", false},
        {"host=::1", "[::1]:5432", false},
        {"postgres://[2001:db8::7]:65535", "[2001:db8::7]:65535", false},
        {"host=db hostaddr=10.0.0.7", "10.0.0.7:5432", false},
        {"host=db hostaddr=fe80::1%eth0", "[fe80::1%eth0]:5432", false},
        {"hostaddr=::1", "[::1]:5432", false},
        {"host=/run/postgresql", "/run/postgresql/.s.PGSQL.5432", true},
        {"host=/a:b port=6000", "/a:b/.s.PGSQL.6000", true},
        {"host=@abstract", "@abstract/.s.PGSQL.5432", true},
        {"host=/run hostaddr=10.0.0.7", "10.0.0.7:5432", false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const parsed p(row.text);
        REQUIRE(p.error.ok());
        CHECK(address(p.info) == row.address);
        CHECK(p.info.local() == row.local);
    }
}

TEST_CASE("a keyword that may be the rest of a password is not named") {
    for (const std::string_view text : {
             "password=correct horse=battery",      // quotes forgotten
             "password=correct horse",              // the same, without '='
             "password='correct'horse=battery",     // a quote that was not escaped
             "password='correct' horse=battery",    //
             "host=h password = correct horse = b", //
             "postgres://u:correct@h?password=a&horse=b",
             "postgres://u:c/horse?staple=1@h",       // '/' not encoded
             "postgres://u:1?horse=b@h/",             // '?' is part of the password here
             "postgres://u:1/?horse=b@h",             // and here it is not
             "postgres://u:1?horse=b/@h",             //
             "postgres://u:p@h?horse=b@c",            //
             "postgres://u:correct@?horse=b",         //
             "postgre://u:horse@h?sslmode=require",   // a scheme that is not ours
             " postgres://u:horse@h?sslmode=require", //
             "u:horse@h/?sslmode=require",            //
             "psql://horse=",                         //
         }) {
        CAPTURE(text);
        const parsed p(text);
        if (p.error.ok()) {
            CHECK(p.info.password.find("horse") != p.info.password.npos);
            CHECK(printed(p.info).find("horse") == std::string::npos);
        } else {
            CHECK(p.error.keyword.find("horse") == p.error.keyword.npos);
            CHECK(p.error.keyword.find("staple") == p.error.keyword.npos);
        }
    }
    // Behind something else the name is given again.
    CHECK(parsed("password=p user=u horse=b").error.keyword == "horse");
    CHECK(parsed("postgres://u:p@h?horse=b").error.keyword == "horse");
}

TEST_CASE("no text that is printed holds the password, whatever becomes of the string") {
    // A marker that no keyword and no sentence of ours contains. Each mutant either keeps it in the
    // password, which is then not printed, or is refused, and then nothing decoded is left over.
    constexpr std::string_view marker = "Zq7Zq7";
    const std::string seeds[] = {
        "host=h password=Zq7Zq7 user=u",
        "host=h password='a Zq7Zq7\\' b' user=u port=6000",
        "user = u password = Zq7Zq7",
        "password=Zq7Zq7 password='Zq7Zq7' sslmode=verify-full sslrootcert=r",
        "postgres://u:Zq7Zq7@h:6000/db?sslmode=require",
        "postgresql://u:a%20Zq7Zq7%40?b@[::1]/db?application_name=x&connect_timeout=5",
        "postgres://u@h/?password=Zq7Zq7&port=6000",
    };
    support::prng random(20240229);
    int kept = 0, refused = 0;
    const auto look_at = [&](const std::string& text) {
        parsed p(text);
        if (p.error.ok()) {
            if (p.info.password.find(marker) == std::string_view::npos) return;
            conninfo without = p.info;
            without.password = {};
            if (printed(without).find(marker) != std::string::npos)
                return; // named twice by the text
            ++kept;
            CHECK(printed(p.info).find(marker) == std::string::npos);
        } else {
            ++refused;
            CHECK(printed(p.error).find(marker) == std::string::npos);
            CHECK_FALSE(p.holds(marker));
        }
    };
    for (const std::string& seed : seeds) {
        for (std::size_t at = 0; at <= seed.size(); ++at) {
            look_at(seed.substr(0, at));
            look_at(seed.substr(at));
            for (int byte = 0; byte < 256; ++byte) {
                std::string text = seed;
                if (at < seed.size()) text[at] = static_cast<char>(byte);
                look_at(text);
                text.insert(at, 1, static_cast<char>(byte));
                look_at(text);
            }
        }
        for (int i = 0; i < 2000; ++i) {
            std::string text = seed;
            for (auto n = random.between(1, 4); n > 0; --n) {
                constexpr std::string_view pieces = " ='\\@:/?&%,[]0a";
                const char piece = pieces[random.below(pieces.size())];
                text.insert(random.below(text.size() + 1), 1, piece);
            }
            look_at(text);
        }
    }
    // The print does not depend on which password it is.
    for (const std::string_view password : {"x", "***", "' host=", "\\"})
        CHECK(printed(conninfo{.password = password}) == printed(conninfo{.password = marker}));
    CHECK(kept > 10'000);
    CHECK(refused > 10'000);
}

TEST_CASE("a text cut anywhere is read up to its end and no further") {
    constexpr std::string_view seeds[] = {
        "host = 'a\\'b' port=5432 user=a\\ b password='x y'z=1",
        "postgresql://u%41:p%40@[::1]:5432/d%20b?sslmode=require&%75ser=%41&connect_timeout=5"};
    const support::guarded text_room(128), storage_room(128), print_room(1024);
    for (const std::string_view seed : seeds) {
        for (std::size_t size = 0; size <= seed.size(); ++size) {
            const std::span<std::byte> text = text_room.last(size);
            const std::span<std::byte> storage = storage_room.last(size);
            if (size != 0) std::memcpy(text.data(), seed.data(), size);
            conninfo info;
            const conninfo_error error =
                parse_conninfo(as_text(text), {reinterpret_cast<char*>(storage.data()), size}, info,
                               tls_support::present);
            CHECK(error.code != errc::memory_too_small);
            CHECK(error.offset <= size);
            CHECK(error == parsed(seed.substr(0, size)).error);
            const std::string whole = printed(info);
            const std::span<std::byte> room = print_room.last(whole.size());
            CHECK(to_text(info, {reinterpret_cast<char*>(room.data()), room.size()}));
        }
    }
}

TEST_CASE("any bytes at all end in a value or an error inside the text") {
    support::prng random(7);
    constexpr std::string_view pieces[] = {
        "host",   "port", "user", "password", "sslmode", "require",     "5432",
        "=",      "=",    " ",    "'",        "\\",      "postgres://", "postgresql://",
        "@",      ":",    "/",    "?",        "&",       "%",           "%41",
        "%00",    "[",    "]",    ",",        "::1",     "slot_name",   "sslrootcert",
        "system", "x",    "\t",   "\xff"};
    int accepted = 0, refused = 0;
    for (int i = 0; i < 50'000; ++i) {
        std::string text;
        for (auto n = random.below(12); n > 0; --n) text += pieces[random.below(std::size(pieces))];
        parsed p(text);
        CHECK(p.error.code != errc::memory_too_small);
        if (p.error.ok()) {
            ++accepted;
            CHECK_FALSE(p.info.host.empty());
            CHECK_FALSE(p.info.user.empty());
            CHECK(p.info.port != 0);
            // Printing and reading again changes nothing more.
            const std::string once = printed(p.info);
            const parsed q(once);
            REQUIRE(q.error.ok());
            CHECK(printed(q.info) == once);
        } else {
            ++refused;
            CHECK(p.error.offset <= text.size());
            CHECK(p.info == conninfo{.application_name = "untouched"});
        }
    }
    CHECK(accepted > 500);
    CHECK(refused > 500);
}
