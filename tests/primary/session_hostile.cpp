#include <walwire/primary/session.hpp>

#include <doctest/doctest.h>

#include "primary/client.hpp"
#include "primary/scram_client.hpp"

using namespace caller;
using primary::encryption;
using wire::phase;

namespace {

std::string told(const plan& chosen, const buffer& client) {
    server hears(chosen);
    hears.feed(client);
    return words(hears.said);
}
plan holds(std::uint64_t size) {
    plan made;
    made.end = start + size;
    return made;
}
// An error that the client is told, and a session that goes on.
void goes_on(const buffer& before, const buffer& said, const std::string& error) {
    CAPTURE(error);
    const buffer all = before + said + query("SHOW a");
    CHECK(ending(plan{}, all) == "show a\n");
    server hears(plan{});
    hears.feed(before);
    hears.heard();
    hears.feed(said);
    CHECK(hears.heard().starts_with(error));
    CHECK(hears->at() == phase::idle);
}

} // namespace

TEST_CASE("1: start-up lengths of 0 to 7, negative, huge, one above 10004") {
    const auto sized = [](std::uint32_t length) { return number(length) + buffer(20); };
    std::vector<thing> things;
    for (const std::uint32_t length : {0u, 1u, 2u, 3u, 0x80000000u, 0xffffffffu})
        things.push_back({std::to_string(length), sized(length),
                          length < 4 ? errc::length_invalid : errc::message_too_large, ""});
    things.push_back({"2^31-1", sized(0x7fffffff), errc::message_too_large, ""});
    things.push_back({"10005", sized(10'005), errc::message_too_large, ""});
    refuses(plan{}, {}, things);
    const std::string layout =
        "08P01 invalid startup packet layout: expected terminator as last byte";
    for (const std::uint32_t length : {4u, 5u, 6u, 7u})
        refuses(plan{}, {}, {{"short", sized(length), errc::malformed_message, layout}});
    std::string most = "user\0repl\0replication\0true\0options\0"s;
    most += std::string(10'000 - 4 - 1 - most.size() - 1, 'x') + "\0"s;
    CHECK(startup(most).size() == 10'004);
    CHECK(ending(plan{}, startup(most), 10) == "in none\n");
}

TEST_CASE("2: a start-up packet that trickles in does not outlast the deadline") {
    const buffer packet = startup();
    server hears(plan{});
    hears.feed();
    CHECK(hears->deadline() == 61 * second);
    for (std::size_t i = 0; !hears->over(); ++i) {
        hears.now.steady += 2 * second;
        hears.feed(bytes(packet).subspan(i, 1));
    }
    CHECK(hears.now.steady == 61 * second);
    CHECK(hears.events() == failure(errc::connect_timeout, 0));
    CHECK(hears.said.empty());
    // Nor does one who dawdles over the password.
    plan asks;
    asks.how = auth::method::password;
    server dawdles(asks);
    dawdles.feed(startup()).wait_until(61 * second - 1);
    CHECK_FALSE(dawdles->over());
    dawdles.heard();
    dawdles.wait_until(61 * second);
    CHECK(dawdles.last() == failure(errc::connect_timeout, startup().size()));
    CHECK(dawdles.heard().empty());
}

TEST_CASE("3: HTTP, TLS and SSH first") {
    for (const std::string_view said :
         {"GET / HTTP/1.1\r\n\r\n"sv, "\x16\x03\x01\x02\0\x01\0\x01\xfc"sv, "SSH-2.0-OpenSSH\r\n"sv,
          "EHLO x\r\n"sv, "\xff\xff\xff\xff"sv})
        refuses(plan{}, {}, {{"another protocol", of(said), errc::message_too_large, ""}});
}

TEST_CASE("4: start-up packets without end, with NULs behind it, with half a pair") {
    const std::string layout =
        "08P01 invalid startup packet layout: expected terminator as last byte";
    const auto raw = [](std::string_view pairs) { return packet(0x30000, of(pairs)); };
    for (const std::string_view pairs :
         {""sv, "user\0repl"sv, "user\0repl\0\0\0"sv, "user\0repl\0\0x"sv,
          "user\0\0"sv.substr(0, 5), "user\0repl\0replication\0\0"sv, "\0x\0\0"sv, "x"sv})
        refuses(plan{}, {}, {{"pairs", raw(pairs), errc::malformed_message, layout}});
}

TEST_CASE("5: bytes behind a request for encryption, in one write and before the answer is out") {
    for (const encryption tls : {encryption::off, encryption::offered, encryption::required}) {
        plan chosen;
        chosen.options.tls = tls;
        for (const buffer& request : {ssl_request(), gss_request()}) {
            const std::string why =
                request == ssl_request()
                    ? "08P01 received unencrypted data after SSL request"
                    : "08P01 received unencrypted data after GSSAPI encryption request";
            for (const buffer& behind : {startup(), of("\x16"), buffer(1)}) {
                server hears(chosen);
                hears.feed(request + behind);
                CHECK(hears.events() == failure(errc::bytes_before_encryption, 0));
                CHECK(words(hears.said) == "E FATAL " + why + "\n");
                server early(chosen);
                early.writes(false);
                early.feed(request);
                early.feed(behind);
                CHECK(early.events() == failure(errc::bytes_before_encryption, 8));
                // Behind an S nobody may speak before the handshake.
                const bool declined = request == gss_request() || tls == encryption::off;
                CHECK(words(early->output().head, 1) ==
                      (declined ? "answer N\nE FATAL " + why + "\n" : "answer S\n"));
            }
        }
    }
    // The second request is the one that counts.
    server both_kinds(plan{});
    both_kinds.feed(ssl_request());
    both_kinds.feed(gss_request() + buffer(1));
    CHECK(words(both_kinds.said, 1) ==
          "answer N\nE FATAL 08P01 received unencrypted data after GSSAPI encryption request\n");
}

TEST_CASE("6: a second request for encryption, plain or inside TLS") {
    const auto unknown = [](int code) {
        return "E FATAL 0A000 unsupported frontend protocol 1234." + std::to_string(code) +
               ": server supports 3.0 to 3.2\n";
    };
    const auto run = [](const plan& chosen, std::initializer_list<buffer> all) {
        server hears(chosen);
        for (const buffer& each : all) hears.feed(each);
        CHECK(hears.last() == failure(errc::login_refused, 8 * (all.size() - 1)));
        return words(hears.said, all.size() - 1);
    };
    plan tls;
    tls.options.tls = encryption::offered;
    CHECK(run(plan{}, {ssl_request(), ssl_request()}) == "answer N\n" + unknown(5679));
    CHECK(run(plan{}, {gss_request(), gss_request()}) == "answer N\n" + unknown(5680));
    CHECK(run(tls, {ssl_request(), ssl_request()}) == "answer S\n" + unknown(5679));
    CHECK(run(tls, {ssl_request(), gss_request()}) == "answer S\n" + unknown(5680));
}

TEST_CASE("6: a request for TLS inside of TLS that began at once is declined, once") {
    plan chosen;
    chosen.options.tls = encryption::offered;
    chosen.options.direct_tls = true;
    const auto shake = [](server& hears) {
        const buffer hello = of("\x16");
        bytes in = hello;
        REQUIRE(hears->poll(in, hears.now));
        CHECK(hears->secured() == errc::none);
    };
    server hears(chosen);
    shake(hears);
    hears.feed(ssl_request());
    CHECK(words(hears.said, 1) == "answer N\n");
    hears.feed(startup());
    CHECK(hears.last() == "in none\n");
    CHECK(hears.events().starts_with("login repl repl 3.0 encrypted\n"));
    server twice(chosen);
    shake(twice);
    twice.feed(ssl_request());
    twice.feed(ssl_request());
    CHECK(words(twice.said, 1).starts_with("answer N\nE FATAL 0A000 unsupported frontend"));
    server gss(chosen);
    shake(gss);
    gss.feed(gss_request());
    CHECK(words(gss.said).starts_with("E FATAL 0A000 unsupported frontend protocol 1234.5680"));
    server early(chosen);
    shake(early);
    early.feed(ssl_request() + startup());
    CHECK(words(early.said) == "E FATAL 08P01 received unencrypted data after SSL request\n");
}

TEST_CASE("7: requests for encryption without end") {
    server hears(plan{});
    int asked = 0;
    for (; asked < 100 && !hears->over(); ++asked)
        hears.feed(asked % 2 == 0 ? ssl_request() : gss_request());
    CHECK(asked == 3);
}

TEST_CASE("8: minor versions up to the top, and as many options as a packet holds") {
    for (const std::uint32_t minor : {0x7fffu, 0xffffu, 9999u}) {
        const buffer all = startup("user\0repl\0replication\0true\0"sv, 0x30000 | minor);
        CHECK(ending(plan{}, all) == "in none\n");
        CHECK(told(plan{}, all).starts_with("v 0003000200000000\n"));
    }
    std::string many = "user\0repl\0replication\0true\0"s;
    std::size_t count = 0;
    for (; many.size() + 7 <= 10'000 - 5; ++count) many += "_pq_.\0\0"s;
    plan roomy;
    roomy.out = 16 * 1024;
    server hears(roomy);
    hears.feed(startup(many));
    CHECK(load<std::uint32_t>(hears.said.data() + 9) == count);
    CHECK(load<std::uint32_t>(hears.said.data() + 1) == 12 + 6 * count);
    CHECK(hears.last() == "in none\n");
    refuses(plan{}, {},
            {{"where there is no room", startup(many), errc::too_many,
              "08P01 too many unrecognized protocol options in startup packet"}});
    while (many.size() < 5000 * 7) many += "_pq_.\0\0"s;
    refuses(roomy, {}, {{"5000", startup(many), errc::message_too_large, ""}});
}

TEST_CASE("9: cancel requests of impossible lengths, and for somebody else") {
    const std::string layout =
        "08P01 invalid startup packet layout: expected terminator as last byte";
    refuses(plan{}, {},
            {{"no pid", packet(0x04d2162e, {}), errc::malformed_message, layout},
             {"half a pid", packet(0x04d2162e, buffer(3)), errc::malformed_message, layout},
             {"no key", packet(0x04d2162e, buffer(4)), errc::malformed_message, layout},
             {"257", cancel(1, buffer(257)), errc::malformed_message, layout}});
    server target(plan{});
    target.feed(startup());
    for (const std::uint32_t pid : {0u, 76u, 77u, 78u, ~0u}) {
        for (const buffer& key :
             {hex("01020304"), hex("01020305"), hex("0102030405060708"), hex("00"), buffer(256)})
            CHECK(target->is_cancelled_by({pid, key}) == (pid == 77 && key == hex("01020304")));
    }
}

TEST_CASE("10: replication with a value that is none, a huge one, two of them") {
    const auto asks = [](const std::string& value) {
        return startup("user\0repl\0replication\0"s + value + "\0"s);
    };
    const std::string huge(9000, 'x');
    for (const std::string& value : {"Database"s, "2"s, "o"s, "truely"s, huge})
        CHECK(told(plan{}, asks(value)).starts_with("E FATAL 22023 invalid value for parameter"));
    CHECK(ending(plan{}, asks(huge), 20) == failure(errc::login_refused, 0));
    CHECK(ending(plan{}, asks("2\0replication\0TRUE"s)) == "in none\n");
    CHECK(ending(plan{}, asks("true\0replication\0"
                              "2"s)) == failure(errc::login_refused, 0));
}

TEST_CASE("11: names that are too long or full of quotes, newlines and broken UTF-8") {
    for (const std::string& name :
         {std::string(4900, 'u'), "a\"b'c\nd"s, "\xff\xfe\x80"s, "../../x"s, "%s%n"s}) {
        plan asks;
        asks.how = auth::method::password;
        asks.secret = "pencil";
        server hears(asks);
        hears.feed(startup("user\0"s + name + "\0database\0"s + name + "\0replication\0true\0"s));
        hears.feed(password("wrong"));
        const std::string cut = name.substr(0, 63);
        CHECK(hears.events().starts_with("login " + cut + ' ' + cut + " 3.0\n"));
        CHECK(tail(words(hears.said), 1).find(cut.substr(cut.find('\n') + 1)) != std::string::npos);
        CHECK(hears->over());
    }
}

TEST_CASE("12: passwords with a NUL inside, without one, of no or enormous length") {
    const std::string size = "08P01 invalid password packet size";
    plan asks;
    asks.how = auth::method::password;
    asks.secret = "pencil";
    refuses(asks, startup(),
            {{"a NUL inside", message('p', of("pen\0cil\0"sv)), errc::malformed_message, size},
             {"no NUL", message('p', of("pencil")), errc::malformed_message, size},
             {"nothing", message('p', {}), errc::malformed_message, size},
             {"65536", header('p', 65'536) + buffer(100), errc::message_too_large, ""},
             {"1 GB", header('p', 1 << 30) + buffer(100), errc::message_too_large, ""},
             {"empty", password(""), errc::password_mismatch,
              "28P01 empty password returned by client"},
             {"wrong", password("pencils"), errc::password_mismatch,
              "28P01 password authentication failed for user \"repl\""}});
}

TEST_CASE("13: commands and copies while nobody is in yet") {
    const auto expected = [](int tag) {
        return "08P01 expected password response, got message type " + std::to_string(tag);
    };
    for (const auth::method how :
         {auth::method::password, auth::method::md5, auth::method::scram_sha_256}) {
        plan asks;
        asks.how = how;
        refuses(asks, startup(),
                {{"Q", query("SHOW a"), errc::unexpected_message, expected('Q')},
                 {"X", terminate(), errc::unexpected_message, expected('X')},
                 {"d", copy_data(buffer(1)), errc::unexpected_message, expected('d')},
                 {"S", sync_message(), errc::unexpected_message, expected('S')},
                 {"no tag", message('\0', {}), errc::unknown_message, expected(0)}});
    }
}

TEST_CASE("14: SASL with an unknown mechanism, PLUS without TLS, sizes that do not fit") {
    const std::string broken =
        "08P01 authentication failed: "s + std::string(walwire::text(errc::scram_malformed));
    const std::string unknown =
        "08P01 authentication failed: "s + std::string(walwire::text(errc::sasl_mechanism_unknown));
    const std::string first = scram_client{}.first();
    const auto sized = [&](std::uint32_t size) {
        return message('p', text("SCRAM-SHA-256") + number(size) + of(first));
    };
    std::vector<thing> things = {
        {"unknown", sasl("OAUTHBEARER", first), errc::sasl_mechanism_unknown, unknown},
        {"lower case", sasl("scram-sha-256", first), errc::sasl_mechanism_unknown, unknown},
        {"no name", sasl("", first), errc::sasl_mechanism_unknown, unknown},
        {"PLUS", sasl("SCRAM-SHA-256-PLUS", first), errc::sasl_mechanism_unknown, unknown},
        {"no NUL", message('p', of("SCRAM-SHA-256")), errc::scram_malformed, broken},
        {"no size", message('p', text("SCRAM-SHA-256")), errc::scram_malformed, broken},
        {"nothing", message('p', {}), errc::scram_malformed, broken}};
    for (const std::uint32_t size :
         {0xfffffffeu, 0x80000000u, 0x7fffffffu, std::uint32_t(first.size() + 1),
          std::uint32_t(first.size() - 1), 0u, 0xffffffffu})
        things.push_back({std::to_string(size), sized(size), errc::scram_malformed, broken});
    refuses(scram(), startup(), things);
}

TEST_CASE("15: SCRAM messages that are broken in every way") {
    const auto why = [](errc code) {
        return std::string(auth::authentication_sqlstate(code)) +
               " authentication failed: " + std::string(walwire::text(code));
    };
    const auto first = [](const std::string& said) { return sasl("SCRAM-SHA-256", said); };
    const errc bad = errc::scram_malformed, no = errc::scram_unsupported;
    std::vector<thing> things;
    for (const std::string& said :
         {""s, "n"s, "n,,"s, "n,,n="s, "n,,n=,"s, "n,,n=,r="s.substr(0, 8), "n,,n=,r=a\0b"s,
          "n,,n=,x=1,r=abc"s, "n,,r=abc"s, "n,,n=,r=a,r=b,c"s, "x,,n=,r=abc"s, "p=,,n=,r=abc"s,
          "p=tls-server-end-point,,n=,r=abc"s, "n,,n=,r=a\x7f"s, "n,,n=,r=a b"s})
        things.push_back({said, first(said), bad, why(bad)});
    things.push_back({"m=", first("n,,m=x,n=,r=abc"), no, why(no)});
    things.push_back({"a=", first("n,a=other,n=,r=abc"), no, why(no)});
    things.push_back({"another binding", first("p=tls-unique,,n=,r=abc"),
                      errc::scram_binding_unknown, why(errc::scram_binding_unknown)});
    const auto large = [](char tag, std::uint32_t size, const std::string& answer) {
        return thing{std::to_string(size), header(tag, size + 4) + buffer(100),
                     errc::message_too_large, answer};
    };
    const std::string mismatch = "28P01 password authentication failed for user \"repl\"";
    for (const std::uint32_t size : {1025u, 1'000'000u, 0x7ffffff0u})
        things.push_back(large('p', size, mismatch));
    things.push_back(large('Q', 1025, ""));
    things.push_back(large('\0', 1025, ""));
    refuses(scram(), startup(), things);

    const scram_client client;
    const std::string last = client.final();
    const std::string without = client.without_proof();
    things.clear();
    for (const std::string& said :
         {""s, without, without + ",p="s, without + ",p=AAAA"s, without + ",p=????"s, last + "x"s,
          last + ",p=AAAA"s, last.substr(0, last.size() - 1), last + "\0"s,
          "r=" + client.nonce + last.substr(6), last.substr(7)})
        things.push_back({said, response(said), bad, why(bad)});
    things.push_back(large('p', 1025, mismatch));
    refuses(scram(), startup() + first(client.first()), things);
}

TEST_CASE("16: another nonce in the last word, another header in it") {
    const std::string bad = "08P01 authentication failed: ";
    scram_client other;
    const buffer before = startup() + sasl("SCRAM-SHA-256", other.first());
    std::string nonce = other.final();
    const std::size_t at = nonce.find(server_nonce);
    std::string shorter = nonce;
    shorter.erase(at, 1);
    nonce[at] = 'X';
    std::string header = other.final();
    header.replace(header.find("biws"), 4, "eSws");
    refuses(scram(), before,
            {{"another", response(nonce), errc::scram_nonce_mismatch,
              bad + std::string(walwire::text(errc::scram_nonce_mismatch))},
             {"shorter", response(shorter), errc::scram_nonce_mismatch,
              bad + std::string(walwire::text(errc::scram_nonce_mismatch))},
             {"y for n", response(header), errc::scram_malformed,
              bad + std::string(walwire::text(errc::scram_malformed))}});
}

TEST_CASE("17: who is unknown is asked the same as who is known, the same each time") {
    plan nobody = scram();
    nobody.secret.reset();
    plan unusable = scram();
    unusable.secret = "md5" + std::string(32, '0');
    const scram_client client;
    const buffer first = startup() + sasl("SCRAM-SHA-256", client.first());
    const std::string known = told(scram(), first);
    for (const plan& each : {nobody, unusable}) {
        const std::string mock = told(each, first);
        CHECK(mock.size() == known.size() + 3); // 4096 iterations and not 2
        CHECK(mock == told(each, first));
        CHECK(mock.find(",i=4096\n") != std::string::npos);
        scram_client guesses;
        const std::size_t at = mock.find(",s=") + 3;
        std::array<std::byte, 16> salt{};
        REQUIRE(auth::parse_base64(std::string_view(mock).substr(at, 24), salt));
        guesses.salt.assign(reinterpret_cast<const char*>(salt.data()), salt.size());
        guesses.rounds = "4096";
        refuses(each, first,
                {{"a proof", response(guesses.final()), errc::scram_proof_mismatch,
                  "28P01 password authentication failed for user \"repl\""}});
    }
    const buffer other =
        startup("user\0other\0replication\0true\0"sv) + sasl("SCRAM-SHA-256", client.first());
    CHECK(told(nobody, first) != told(nobody, other));
    // A password in clear text and an MD5 answer come to the same end as well.
    for (const auth::method how : {auth::method::password, auth::method::md5}) {
        plan asks;
        asks.how = how;
        asks.options.password_encryption = auth::method::md5;
        plan knows = asks;
        knows.secret = "pencil";
        const buffer all = startup() + password("md5" + std::string(32, '0'));
        CHECK(told(asks, all) == told(knows, all));
        CHECK(both(asks, all, 20) == both(knows, all, 20));
    }
}

TEST_CASE("18: y, though binding was offered") {
    plan chosen = scram();
    chosen.options.tls = encryption::offered;
    chosen.binding = buffer(32);
    scram_client client;
    client.gs2 = "y,,";
    server hears(chosen);
    hears.feed(ssl_request()).feed(startup());
    hears.feed(sasl("SCRAM-SHA-256", client.first()));
    CHECK(hears.last() == failure(errc::scram_downgraded, 8 + startup().size()));
    CHECK(tail(words(hears.said, 1), 1).starts_with("E FATAL 28000 "));
}

TEST_CASE("19: frames of length 0 to 3, and beyond the limit") {
    for (const char tag : {'Q', 'd', 'X', 'p', '\xff'}) {
        for (std::uint32_t length = 0; length < 4; ++length)
            refuses(plan{}, startup(),
                    {{"short", header(tag, length) + buffer(9), errc::length_invalid, ""}});
        if (tag == 'd') continue;
        for (const std::uint32_t length : {16'384u, 0x3fffffffu, 0x7fffffffu, 0xffffffffu})
            refuses(plan{}, startup(),
                    {{"long", header(tag, length) + buffer(9), errc::message_too_large, ""}});
    }
    refuses(plan{}, startup(),
            {{"a stray copy", header('d', 8 * 1024 * 1024 + 5), errc::copy_data_too_large, ""}});
    refuses(holds(0), streaming(),
            {{"a status", header('d', 16'384) + buffer(9), errc::message_too_large, ""}});
    const std::string all(plan{}.options.limits.message_size_max - 1, ' ');
    goes_on(startup(), query(all), "E ");
}

TEST_CASE("20: message types that there are not") {
    for (int tag = 0; tag < 256; ++tag) {
        if (wire::frontend_message(static_cast<std::uint8_t>(tag))) continue;
        CAPTURE(tag);
        server hears(plan{});
        in(hears).feed(message(static_cast<char>(tag), buffer(3)));
        CHECK(hears.last() == failure(errc::unknown_message, startup().size()));
        CHECK(hears.heard() ==
              "E FATAL 08P01 invalid frontend message type " + std::to_string(tag) + "\n");
    }
    refuses(plan{}, startup(),
            {{"p", password("x"), errc::unexpected_message,
              "08P01 invalid frontend message type 112"}});
}

TEST_CASE("21: a query without NUL, with two, with none but that") {
    goes_on(startup(), message('Q', of("SHOW a")),
            "E ERROR 08P01 invalid string in message\nZ I\n");
    goes_on(startup(), message('Q', {}), "E ERROR 08P01 invalid string in message\nZ I\n");
    goes_on(startup(), message('Q', of("SHOW a\0\0"sv)),
            "E ERROR 08P01 invalid message format\nZ I\n");
    goes_on(startup(), message('Q', of("SHOW a\0b\0"sv)),
            "E ERROR 08P01 invalid message format\nZ I\n");
}

TEST_CASE("22: a flood of the extended protocol without Sync") {
    server hears(plan{});
    in(hears);
    buffer flood;
    for (int i = 0; i < 200; ++i)
        flood = flood + message("PBDEC"[i % 5], buffer(static_cast<std::size_t>(i)));
    hears.writes(false);
    hears.feed(bytes(flood).first(5));
    const std::size_t said = hears->output().size();
    hears.write();
    hears.feed(bytes(flood).subspan(5));
    CHECK(hears->output().size() == 0);
    CHECK(said < 200);
    CHECK(hears.left() == 0);
    hears.writes(true);
    hears.feed(sync_message());
    CHECK(tail(hears.heard(), 1) == "Z I\n");
}

TEST_CASE("23: a flood of copies outside any") {
    server hears(plan{});
    in(hears);
    for (int i = 0; i < 20; ++i)
        hears.feed(copy_data(buffer(300'000)) + copy_done() + message('f', text("x")));
    hears.feed(copy_data(buffer(8 * 1024 * 1024)));
    CHECK(hears.heard().empty());
    CHECK(hears.news().empty());
    CHECK(hears->at() == phase::idle);
    hears.feed(query("SHOW a"));
    CHECK(hears.news() == "show a\n");
    CHECK(both(plan{}, startup() + copy_data(buffer(500)) + copy_done() + copy_data({}) +
                           query("SHOW a")) == "login repl repl 3.0\nin none\nshow a\n");
}

TEST_CASE("24: slot names that are none") {
    for (const std::string& name : {"\"\""s, "\"../x\""s, "\"a'b\""s, "\"Upper\""s, "\"a b\""s})
        goes_on(startup(), query("CREATE_REPLICATION_SLOT " + name + " PHYSICAL"),
                "E ERROR 42602 ");
    server hears(plan{});
    in(hears).feed(query("CREATE_REPLICATION_SLOT " + std::string(1000, 'x') + " PHYSICAL"));
    CHECK(hears.news() == "create " + std::string(63, 'x') + "\n");
    CHECK(hears.heard().starts_with("N NOTICE 42622 "));
    goes_on(startup(), query("CREATE_REPLICATION_SLOT s\0x PHYSICAL"sv), "E ERROR 08P01 ");
}

TEST_CASE("25: positions that are none") {
    for (const char* at : {"FFFFFFFFF/0", "0/", "/0", "0x1/0", "-1/0", "0/FFFFFFFFF", "\xd9\xa1/0"})
        goes_on(startup(), query("START_REPLICATION " + std::string(at)), "E ERROR 42601 ");
}

TEST_CASE("26: timelines that are none") {
    goes_on(startup(), query("START_REPLICATION 0/0 TIMELINE 0"), "E ERROR 42601 ");
    goes_on(startup(), query("START_REPLICATION 0/0 TIMELINE 99999999999"), "E ERROR 42601 ");
    goes_on(startup(), query("TIMELINE_HISTORY 0"), "E ERROR 42601 ");
    goes_on(startup(), query("TIMELINE_HISTORY 99999999999"), "E ERROR 42601 ");
    server hears(plan{});
    in(hears).feed(query("TIMELINE_HISTORY 4294967295"));
    CHECK(hears.news() == "history 4294967295\n");
}

TEST_CASE("27: a start at the end of all positions, in the future, before what there is") {
    for (const std::string_view at : {"FFFFFFFF/FFFFFFFF"sv, "0/3000001"sv}) {
        goes_on(startup(), start_streaming(at), "W\nE ERROR XX000 requested starting point");
    }
    plan chosen;
    chosen.end = lsn{UINT64_MAX};
    chosen.answers = false;
    server high(chosen);
    in(high).feed(start_streaming("FFFFFFFF/FFFFFFF0"));
    CHECK(high->stream({{3}, lsn{UINT64_MAX}, {}, {}}) == errc::none);
    high.feed();
    const buffer sixteen(16, std::byte{1});
    CHECK(high->send(sixteen) == errc::lsn_overflow);
    CHECK(high->send(bytes(sixteen).first(15)) == errc::none);
    high.feed();
    CHECK(high->next() == lsn{UINT64_MAX});
    CHECK(high->send(bytes(sixteen).first(1)) == errc::lsn_overflow);
}

TEST_CASE("28: logical streaming on a physical connection") {
    const std::string why = "E ERROR 55000 logical decoding requires a database connection\nZ I\n";
    goes_on(startup(), query("START_REPLICATION SLOT s LOGICAL 0/0"), why);
    goes_on(startup(), query("CREATE_REPLICATION_SLOT s LOGICAL p"), why);
}

TEST_CASE("29: statuses that claim what cannot be true") {
    server hears(holds(100));
    stream(hears);
    const std::uint64_t most = UINT64_MAX;
    hears.feed(status(start.value + 10, start.value + 20, start.value + 30));
    CHECK(hears->progress().flushed() == start + 10);
    CHECK(hears->progress().applied() == start + 10);
    hears.feed(status(most, most, most));
    CHECK(hears->progress().written() == start + 100);
    CHECK(hears->progress().flushed() == start + 100);
    CHECK(hears->progress().applied() == start + 100);
    hears.feed(status(0, 0, 0) + status(1, 1, 1));
    CHECK(hears->progress().flushed() == start + 100);
    CHECK(hears->progress().clamped() == 2);
    // The events tell it as it was said.
    CHECK(hears.news().find("r FFFFFFFF/FFFFFFFF") != std::string::npos);
}

TEST_CASE("30: statuses that are too short, and none at all") {
    const auto ends = [](const buffer& said, const std::string& why) {
        const buffer all = streaming() + said + status(1, 1, 1) + copy_done() + query("SHOW a");
        CHECK(tail(both(holds(0), all, 60), 2) == "stream failed\nshow a\n");
        server hears(holds(100));
        stream(hears);
        hears.feed(said);
        CHECK(hears.heard() == "E ERROR 08P01 " + why + " data left in message\nZ I\n");
        CHECK(hears.last() == "stream failed\n");
        CHECK_FALSE(hears->streaming());
    };
    ends(copy_data({}), "no");
    for (const std::size_t size : {1u, 9u, 33u})
        ends(copy_data(of("r") + buffer(size - 1)), "insufficient");
    for (const std::size_t size : {1u, 17u, 24u})
        ends(copy_data(of("h") + buffer(size - 1)), "insufficient");
    for (const std::size_t size : {1u, 8u})
        ends(copy_data(of("p") + buffer(size - 1)), "insufficient");
    // Behind a body that is under way.
    server hears(holds(100));
    in(hears);
    hears.writes(false);
    hears.feed(start_streaming());
    hears.write(50);
    hears.feed(copy_data({}) + query("SHOW a"));
    CHECK(hears.news() == "start 0/3000000\n");
    hears.writes(true);
    hears.feed();
    CHECK(hears.heard() == "W\ndw 0/3000000+100 0/3000064\nE ERROR 08P01 no data left in message\n"
                           "Z I\nT a:25\nD 16MB\nC SHOW\nZ I\n");
}

TEST_CASE("31: a copied message of a kind that there is not") {
    for (int kind = 0; kind < 256; ++kind) {
        if (kind == 'r' || kind == 'h' || kind == 'p') continue;
        server hears(holds(0));
        stream(hears).feed(copy_data(buffer{std::byte(kind)} + buffer(33)));
        CHECK(hears.last() == failure(errc::stream_unknown, streaming().size()));
        CHECK(hears.heard().empty());
    }
    refuses(holds(0), streaming(),
            {{"w", copy_data(of("w") + buffer(30)), errc::stream_unknown, ""}});
}

TEST_CASE("32: anything but copies while WAL streams") {
    std::vector<thing> things;
    for (const char tag : {'f', 'Q', 'F', 'P', 'B', 'D', 'E', 'C', 'S', 'H', 'p'})
        things.push_back({std::string(1, tag), message(tag, text("x")), errc::unexpected_message,
                          "08P01 invalid standby message type \"" + std::string(1, tag) + "\""});
    things.push_back(
        {"!", message('!', {}), errc::unknown_message, "08P01 invalid standby message type \"!\""});
    things.push_back({"c with a body", message('c', buffer(1)), errc::malformed_message,
                      "08P01 invalid message format"});
    refuses(holds(0), streaming(), things);
    // In the middle of a body there is no place for an error.
    server hears(holds(100));
    in(hears);
    hears.writes(false);
    hears.feed(start_streaming());
    hears.write(50);
    hears.feed(query("SHOW a"));
    CHECK(hears.last() == failure(errc::unexpected_message, streaming().size()));
    CHECK(hears->output().empty());
}

TEST_CASE("33: each status wants a reply") {
    server hears(holds(0));
    stream(hears);
    for (int i = 0; i < 100; ++i) {
        hears.feed(status(1, 1, 1, true));
        CHECK(hears.heard() == "dk 0/3000000\n"); // which wants none
    }
    hears.writes(false);
    for (int i = 0; i < 1000; ++i) hears.feed(status(1, 1, 1, true));
    CHECK(hears->output().size() <= out_size);
    hears.write();
    hears.feed(status(1, 1, 1));
    hears.write();
    hears.feed();
    CHECK(hears->output().empty());
}

TEST_CASE("34: a client that never reads keeps nobody, and nothing grows") {
    server hears(holds(10'000'000));
    in(hears);
    hears.writes(false);
    hears.feed(start_streaming());
    std::size_t most = 0;
    for (int i = 0; i < 100 && !hears->over(); ++i) {
        most = std::max(most, hears->output().head.size());
        hears.wait_until(hears->deadline());
    }
    CHECK(hears->over());
    CHECK(most <= 100);
    CHECK(hears.now.steady == 61 * second);
    CHECK(hears->output().empty());
}

TEST_CASE("35: CopyDone twice, CopyDone before the copy, a side that closes") {
    const plan chosen = holds(10);
    CHECK(tail(both(holds(0), streaming() + copy_done() + copy_done() + query("SHOW a")), 2) ==
          "stream stopped\nshow a\n");
    server early(chosen);
    in(early).feed(copy_done() + start_streaming() + copy_done() + query("SHOW a"));
    CHECK(tail(early.events(), 2) == "stream stopped\nshow a\n");
    // CopyDone and the end of input in one: the end is agreed upon first.
    server closes(chosen);
    stream(closes);
    closes->finish();
    closes.feed(copy_done());
    CHECK(closes.events().find("closed") == closes.events().find("closed terminated"));
    CHECK(closes->over());
}

TEST_CASE("36: labels and rates of a backup that are none") {
    for (const std::string& wrong :
         {"LABEL '" + std::string(1025, 'x') + "'", "MAX_RATE 0"s, "LABEL 'a', LABEL 'b'"s,
          "MAX_RATE 31"s, "LABEL 'two\nlines'"s, "LABEL 'a'; DROP'"s, "LABEL"s})
        goes_on(startup(), query("BASE_BACKUP ( " + wrong + " )"), "E ERROR ");
    server hears(plan{});
    in(hears).feed(query("BASE_BACKUP ( LABEL 'weekly' )"));
    CHECK(hears.news() == "backup\n");
    CHECK(hears->refuse({"0A000", "no", {}, {}, false}) == errc::none);
    hears.feed();
    CHECK(hears->at() == phase::idle);
}

TEST_CASE("37: UPLOAD_MANIFEST waits for its owner, and what follows it waits too") {
    server hears(plan{});
    in(hears).feed(query("UPLOAD_MANIFEST") + copy_data(buffer(100'000)) + copy_done() +
                   query("SHOW a"));
    CHECK(hears.news() == "upload\n");
    CHECK(hears.left() > 100'000);
    CHECK(hears->refuse({"0A000", "no", {}, {}, false}) == errc::none);
    hears.feed();
    CHECK(hears.news() == "show a\n");
    server old(plan{}.version("16.1"));
    in(old).feed(query("UPLOAD_MANIFEST"));
    CHECK(old.news().starts_with("sql "));
}

TEST_CASE("38: too many connections are turned away before anything is asked") {
    plan chosen;
    chosen.admits = false;
    server hears(chosen);
    hears.feed(startup());
    CHECK(hears->refuse({"53300", "too many", {}, {}, false}) == errc::none);
    hears.feed();
    CHECK(hears.heard() == "E FATAL 53300 too many\n");
    CHECK(hears.last() == "closed refused\n");
    server silent(chosen);
    silent.feed().wait_until(61 * second);
    CHECK(silent.last() == failure(errc::connect_timeout, 0));
}

TEST_CASE("78: lengths and positions at the end of their range") {
    for (const char tag : {'Q', 'p', 'd', 'X'})
        CHECK(ending(holds(0), startup() + header(tag, 0xffffffff)).starts_with("failed "));
    server hears(holds(0));
    stream(hears);
    hears->advance(lsn{UINT64_MAX});
    CHECK(hears->end_timeline({4}, lsn{UINT64_MAX}) == errc::none);
    CHECK(hears->wants_wal());
    plan late;
    late.options.authentication_timeout = never;
    late.options.wal_sender_timeout = never;
    server old(late);
    old.now.steady = INT64_MAX - 1;
    old.feed(streaming() + status(1, 1, 1));
    CHECK(old->deadline() == never);
    CHECK_FALSE(old->over());
    server young(plan{});
    young.now = {INT64_MIN + 1, INT64_MIN};
    young.feed(streaming() + status(1, 1, 1, true));
    CHECK_FALSE(young->over());
}

TEST_CASE("79: frames cut at every byte, and many in one read") {
    buffer all = streaming();
    for (int i = 0; i < 20; ++i) all = all + status(1, 2, 3, i % 3 == 0) + feedback(1);
    all = all + copy_done() + query("SHOW a") + query("nonsense") + terminate();
    plan chosen = holds(50);
    const std::string events = both(chosen, startup() + query("SHOW a") + query("SHOW b"));
    CHECK(events == "login repl repl 3.0\nin none\nshow a\nshow b\n");
    server hears(chosen);
    hears.feed(all);
    std::string whole = hears.events();
    for (const std::size_t piece : {1u, 2u, 3u, 5u, 38u, 39u, 40u}) {
        server again(chosen);
        for (std::size_t at = 0; at < all.size(); at += piece)
            again.feed(bytes(all).subspan(at, std::min<std::size_t>(piece, all.size() - at)));
        CHECK(again.events() == whole);
    }
}

TEST_CASE("80: what the client is told shows no password, proof or key") {
    plan asks;
    asks.how = auth::method::password;
    asks.secret = "hunter2";
    for (const char* said : {"hunter1", "hunter2 ", "hunter"}) {
        const std::string all = told(asks, startup() + password(said));
        CHECK(all.find("hunter") == std::string::npos);
    }
    scram_client wrong;
    wrong.password = "hunter1";
    const std::string all = told(scram("hunter2"), login(wrong));
    CHECK(all.find("p=") == std::string::npos);
    CHECK(all.find("v=") == std::string::npos);
}
