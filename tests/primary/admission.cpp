#include <walwire/primary/admission.hpp>

#include <doctest/doctest.h>

#include "primary/client.hpp"
#include "primary/scram_client.hpp"

using namespace caller;
using auth::method;

namespace {

// Everything behind the start-up packet and its answers, but the settings.
std::string without_settings(const std::string& lines) {
    std::string kept;
    for (std::size_t at = 0; at < lines.size();) {
        const std::size_t end = lines.find('\n', at) + 1;
        if (lines[at] != 'S') kept += lines.substr(at, end - at);
        at = end;
    }
    return kept;
}
std::string said(const plan& chosen, const buffer& client, std::size_t answers = 0) {
    server hears(chosen);
    hears.feed(client);
    return without_settings(words(hears.said, answers));
}
const std::string greeting = "R0 \nK 0000004d01020304\nZ I\n";

std::string mismatch() {
    return "E FATAL 28P01 password authentication failed for user \"repl\"\n";
}

plan asks_for(method how, std::optional<std::string> secret) {
    plan made;
    made.how = how;
    made.secret = std::move(secret);
    return made;
}
// md5(md5(password, user), salt), worked out elsewhere for the salt 5a5a5a5a.
std::string md5_of(std::string_view word, std::string_view user = "repl") {
    std::array<char, auth::md5_answer_size> made{};
    std::array<std::byte, 4> salt{};
    salt.fill(std::byte{0x5a});
    REQUIRE(auth::md5_answer(crypto(), user, word, salt, made) == errc::none);
    return {made.data(), made.size()};
}
std::string stored_md5(std::string_view word) {
    auth::md5_digest digest{};
    REQUIRE(auth::md5(crypto(), {as_bytes(word), as_bytes("repl"sv)}, digest) == errc::none);
    return "md5" + shown(digest);
}

} // namespace

TEST_CASE("trust: in at once, byte by byte") {
    plan chosen;
    chosen.version("12.22");
    server hears(chosen);
    hears.feed(startup());
    CHECK(hears.events() == "login repl repl 3.0\nin none\n");
    const auto setting = [](std::string_view name, std::string_view value) {
        return message('S', text(name) + text(value));
    };
    CHECK(of(hears.said) ==
          hex("52 00000008 00000000") + setting("application_name", "") +
              setting("client_encoding", "SQL_ASCII") + setting("DateStyle", "ISO, MDY") +
              setting("integer_datetimes", "on") + setting("IntervalStyle", "postgres") +
              setting("is_superuser", "off") + setting("server_encoding", "SQL_ASCII") +
              setting("server_version", "12.22") + setting("session_authorization", "repl") +
              setting("standard_conforming_strings", "on") + setting("TimeZone", "UTC") +
              hex("4b 0000000c 0000004d 01020304 5a 00000005 49"));
    CHECK(both(chosen, startup()) == "login repl repl 3.0\nin none\n");
}

TEST_CASE("a password in clear text, against each kind of secret") {
    for (const std::string& secret : {"pencil"s, stored_md5("pencil"), verifier("pencil")}) {
        CAPTURE(secret);
        const plan chosen = asks_for(method::password, secret);
        const buffer right = startup() + password("pencil");
        CHECK(both(chosen, right, 60) == "login repl repl 3.0\nin password\n");
        CHECK(said(chosen, right) == "R3 \n" + greeting);
        CHECK(ending(chosen, startup() + password("pencil ")) ==
              failure(errc::password_mismatch, 36));
        CHECK(said(chosen, startup() + password("pencil ")) == "R3 \n" + mismatch());
    }
    const plan nobody = asks_for(method::password, {});
    CHECK(said(nobody, startup() + password("pencil")) == "R3 \n" + mismatch());
    CHECK(said(nobody, startup() + password("")) ==
          "R3 \nE FATAL 28P01 empty password returned by client\n");
    CHECK(ending(nobody, startup() + password("")) == failure(errc::password_mismatch, 36));
}

TEST_CASE("MD5, against each kind of secret") {
    for (const std::string& secret : {"pencil"s, stored_md5("pencil")}) {
        const plan chosen = asks_for(method::md5, secret);
        CHECK(both(chosen, startup() + password(md5_of("pencil")), 60) ==
              "login repl repl 3.0\nin md5\n");
        CHECK(said(chosen, startup() + password(md5_of("pencil"))) == "R5 ZZZZ\n" + greeting);
        for (const std::string& wrong :
             {md5_of("pencils"), md5_of("pencil", "other"), md5_of("pencil").substr(1), "pencil"s})
            CHECK(said(chosen, startup() + password(wrong)) == "R5 ZZZZ\n" + mismatch());
    }
    plan hashes = asks_for(method::md5, {});
    hashes.options.password_encryption = method::md5;
    CHECK(said(hashes, startup() + password(md5_of(""))) == "R5 ZZZZ\n" + mismatch());
    // Where a verifier is stored, an md5 rule is one of SCRAM.
    const plan chosen = asks_for(method::md5, verifier("pencil"));
    CHECK(ending(chosen, login({})) == "in scram-sha-256\n");
}

TEST_CASE("who is unknown is asked as those who are known are") {
    const std::string offer = "R10 SCRAM-SHA-256\0\0\n"s;
    for (const method stored : {method::md5, method::scram_sha_256}) {
        const std::string secret =
            stored == method::md5 ? stored_md5("pencil") : verifier("pencil");
        const std::string spoilt = "SCRAM-SHA-256$what";
        for (const std::optional<std::string>& each :
             {std::optional(secret), std::optional(spoilt), std::optional<std::string>()}) {
            plan chosen = asks_for(method::md5, each);
            chosen.options.password_encryption = stored;
            CHECK(said(chosen, startup()) == (stored == method::md5 ? "R5 ZZZZ\n" : offer));
        }
    }
}

TEST_CASE("who is unknown is challenged for the iterations of those who are known") {
    const scram_client client;
    for (const std::uint32_t iterations : {1u, 10'000u, 2'147'483'647u}) {
        plan chosen = scram();
        chosen.secret.reset();
        chosen.options.scram_iterations = iterations;
        const std::string told = said(chosen, startup() + sasl("SCRAM-SHA-256", client.first()));
        CHECK(told.ends_with(",i=" + std::to_string(iterations) + "\n"));
    }
}

TEST_CASE("a password in clear text costs the same work for who is unknown") {
    static std::vector<std::uint32_t> salted;
    auth::crypto counts = crypto();
    static const auth::crypto plain = crypto();
    counts.pbkdf2_sha256 = [](void* context, bytes password, bytes salt, std::uint32_t iterations,
                              auth::sha256_digest& out) noexcept {
        salted.push_back(iterations);
        return plain.pbkdf2_sha256(context, password, salt, iterations, out);
    };
    const auto work = [&](std::optional<std::string> secret, method stored) {
        plan chosen = asks_for(method::password, std::move(secret));
        chosen.options.crypto = &counts;
        chosen.options.password_encryption = stored;
        chosen.options.scram_iterations = 2;
        salted.clear();
        CHECK(said(chosen, startup() + password("pencils")) == "R3 \n" + mismatch());
        return salted;
    };
    const std::vector<std::uint32_t> once{2};
    CHECK(work(verifier("pencil"), method::scram_sha_256) == once);
    CHECK(work({}, method::scram_sha_256) == once);
    CHECK(work("pencil", method::md5).empty());
    CHECK(work({}, method::md5).empty());
}

TEST_CASE("SCRAM-SHA-256, word by word") {
    const scram_client client;
    const buffer all = login(client);
    CHECK(both(scram(), all) == "login repl repl 3.0\nin scram-sha-256\n");
    CHECK(said(scram(), all) == "R10 SCRAM-SHA-256\0\0\n"s + "R11 " + client.server_first() +
                                    "\nR12 " + client.server_final() + "\n" + greeting);
    scram_client wrong;
    wrong.password = "pencils";
    CHECK(ending(scram(), login(wrong)) ==
          failure(errc::scram_proof_mismatch, 36 + 1 + 4 + 14 + 4 + wrong.first().size()));
    CHECK(said(scram(), login(wrong)) ==
          "R10 SCRAM-SHA-256\0\0\n"s + "R11 " + client.server_first() + "\n" + mismatch());
}

TEST_CASE("a client that leaves out its first message is asked for it") {
    const scram_client client;
    const buffer all = startup() + message('p', text("SCRAM-SHA-256") + number(0xffffffff)) +
                       response(client.first()) + response(client.final());
    CHECK(both(scram(), all) == "login repl repl 3.0\nin scram-sha-256\n");
    CHECK(said(scram(), all) == "R10 SCRAM-SHA-256\0\0\nR11 \n"s + "R11 " + client.server_first() +
                                    "\nR12 " + client.server_final() + "\n" + greeting);
}

TEST_CASE("SCRAM-SHA-256-PLUS: offered where there is a binding, and bound to it") {
    plan chosen = scram();
    chosen.options.tls = primary::encryption::required;
    chosen.binding = buffer(32, std::byte{0xcb});
    scram_client client;
    client.gs2 = "p=tls-server-end-point,,";
    client.binding = chosen.binding;
    const auto run = [&](const scram_client& with, std::string_view mechanism) {
        server hears(chosen);
        hears.feed(ssl_request());
        hears.feed(login(with, mechanism));
        return without_settings(words(hears.said, 1));
    };
    const std::string offer = "answer S\nR10 SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0\n"s;
    CHECK(run(client, "SCRAM-SHA-256-PLUS") == offer + "R11 " + client.server_first() + "\nR12 " +
                                                   client.server_final() + "\n" + greeting);
    scram_client robbed = client;
    robbed.binding[0] ^= std::byte{1};
    CHECK(tail(run(robbed, "SCRAM-SHA-256-PLUS"), 1) ==
          "E FATAL 28000 authentication failed: the SCRAM channel binding does not match\n");
    // Without binding, though it was offered: allowed; but not by one who believes it was not.
    CHECK(tail(run({}, "SCRAM-SHA-256"), 3) == greeting);
    scram_client downgraded;
    downgraded.gs2 = "y,,";
    CHECK(tail(run(downgraded, "SCRAM-SHA-256"), 1).starts_with("E FATAL 28000 "));
    chosen.binding.clear();
    CHECK(tail(run(downgraded, "SCRAM-SHA-256"), 3) == greeting);
    CHECK(run(client, "SCRAM-SHA-256-PLUS").starts_with("answer S\nR10 SCRAM-SHA-256\0\0\nE"s));
}

TEST_CASE("what the owner may not answer a login with") {
    plan chosen;
    chosen.admits = false;
    server hears(chosen);
    CHECK(hears->admit(method::none) == errc::not_now);
    hears.feed(startup());
    const auth::stored_secret plain("pencil"sv);
    for (const method how : {method::gss, method::sspi, method::oauth})
        CHECK(hears->admit(how) == errc::argument_invalid);
    CHECK(hears->admit(method::scram_sha_256, &plain) == errc::argument_invalid);
    CHECK(hears.said.empty());
    CHECK(hears->admit(method::none) == errc::none);
    CHECK(hears->admit(method::none) == errc::not_now); // and nothing is forgotten
    hears.feed();
    CHECK(hears.last() == "in none\n");

    chosen.options.crypto = nullptr;
    server poor(chosen);
    poor.feed(startup());
    for (const method how : {method::password, method::md5, method::scram_sha_256})
        CHECK(poor->admit(how) == errc::crypto_missing);
    CHECK(poor->admit(method::none) == errc::none);
}

TEST_CASE("primitives that are missing or fail let nobody in") {
    auth::crypto broken = crypto();
    broken.random = [](void*, mutable_bytes) noexcept { return false; };
    plan chosen;
    chosen.admits = false;
    chosen.options.crypto = &broken;
    chosen.options.password_encryption = method::md5;
    server hears(chosen);
    hears.feed(startup());
    CHECK(hears->admit(method::md5) == errc::crypto_failed);
    CHECK(hears->admit(method::scram_sha_256) == errc::none);
    hears.feed(sasl("SCRAM-SHA-256", scram_client{}.first()));
    CHECK(hears.events().ends_with(failure(errc::crypto_failed, 36)));
    CHECK(tail(words(hears.said), 1) ==
          "E FATAL XX000 authentication failed: a cryptographic primitive failed\n");
}

TEST_CASE("the protocol's version is negotiated down to what the server speaks") {
    const auto pairs = "user\0repl\0replication\0true\0"sv;
    const auto negotiated = [&](std::string_view version, std::uint32_t asked) {
        plan chosen;
        chosen.version(version);
        const buffer client = startup(pairs, asked);
        both(chosen, client, 20);
        server hears(chosen);
        hears.feed(client);
        const auto lines = without_settings(words(hears.said));
        return lines.substr(0, lines.find("R0")) + std::to_string(hears->protocol().value & 0xffff);
    };
    CHECK(negotiated("17.1", 0x30000) == "0");
    CHECK(negotiated("17.1", 0x30001) == "v 0003000000000000\n0");
    CHECK(negotiated("17.1", 0x30002) == "v 0003000000000000\n0");
    CHECK(negotiated("12.1", 0x3270f) == "v 0003000000000000\n0");
    CHECK(negotiated("18.1", 0x30000) == "0");
    CHECK(negotiated("18.1", 0x30001) == "1");
    CHECK(negotiated("18.1", 0x30002) == "2");
    CHECK(negotiated("18.1", 0x3270f) == "v 0003000200000000\n2");
    CHECK(negotiated("18.1", 0x37fff) == "v 0003000200000000\n2");
}

TEST_CASE("options of the protocol are answered by their names, once each time they came") {
    plan chosen;
    const buffer one = startup("user\0repl\0_pq_.a\0"
                               "1\0replication\0true\0_pq_.\0\0_pq\0x\0"sv);
    CHECK(said(chosen, one) ==
          "v 0003000000000002" + shown(of("_pq_.a\0_pq_.\0"sv)) + "\n" + greeting);
    CHECK(both(chosen, one, 60) == "login repl repl 3.0\nin none\n");
    // As many as a packet holds: answered where there is room, refused where there is none.
    std::string many = "user\0repl\0replication\0true\0"s;
    while (many.size() < 9'900) many += "_pq_.\0\0"s;
    CHECK(ending(chosen, startup(many), 20) == failure(errc::too_many, 0));
    CHECK(said(chosen, startup(many)) ==
          "E FATAL 08P01 too many unrecognized protocol options in startup packet\n");
    chosen.out = 16 * 1024;
    CHECK(ending(chosen, startup(many), 20) == "in none\n");
    CHECK(said(chosen, startup(many)).starts_with("v 00030000"));
}

TEST_CASE("however many options are answered, the owner's answer fits behind it") {
    plan chosen;
    chosen.admits = chosen.writes = false;
    std::string many = "user\0repl\0replication\0true\0"s;
    std::size_t answered = 0;
    for (int count = 1; count < 800; ++count) {
        many += "_pq_.\0\0"s;
        server hears(chosen);
        hears.feed(startup(many));
        if (hears->over()) continue;
        ++answered;
        CHECK(hears->admit(method::none) == errc::none);
        server asks(chosen);
        asks.feed(startup(many));
        CHECK(asks->admit(method::scram_sha_256) == errc::none);
        server no(chosen);
        no.feed(startup(many));
        CHECK(no->refuse({"28000", std::string(256, 'x'), {}, {}, false}) == errc::none);
    }
    CHECK(answered > 400);
    CHECK(answered < 600);
}

TEST_CASE("keys of 4 to 256 bytes, shown as far as the protocol has room") {
    for (const std::size_t size : {4u, 5u, 32u, 256u}) {
        const buffer key(size, std::byte{0xab});
        plan chosen;
        chosen.options.cancel_key = key;
        for (const std::uint32_t minor : {0u, 1u, 2u}) {
            CAPTURE(size);
            CAPTURE(minor);
            server hears(chosen);
            const std::size_t shown_size = minor < 2 ? 4 : size;
            const auto asks = [&](std::uint32_t pid, const buffer& said) {
                return hears->is_cancelled_by({pid, said});
            };
            CHECK_FALSE(asks(77, key));
            hears.feed(startup("user\0repl\0replication\0true\0"sv, 0x30000 + minor));
            CHECK(words(hears.said)
                      .find("K 0000004d" + shown(buffer(shown_size, std::byte{0xab})) + "\n") !=
                  std::string::npos);
            const buffer right(shown_size, std::byte{0xab});
            CHECK(asks(77, right));
            CHECK_FALSE(asks(78, right));
            CHECK_FALSE(asks(77, buffer(right.begin(), right.end() - 1)));
            CHECK_FALSE(asks(77, right + buffer(1)));
            buffer wrong = right;
            wrong.back() ^= std::byte{1};
            CHECK_FALSE(asks(77, wrong));
            hears.feed(terminate());
            CHECK_FALSE(asks(77, right));
        }
    }
}

TEST_CASE("cancel requests are told, never answered, and end the connection") {
    const plan plain;
    const buffer key = hex("01020304");
    CHECK(both(plain, cancel(77, key)) == "cancel 77 01020304\nclosed cancel\n");
    CHECK(said(plain, cancel(77, key)).empty());
    CHECK(both(plain, cancel(~0u, buffer(256))) ==
          "cancel 4294967295 " + std::string(512, '0') + "\nclosed cancel\n");
    for (const std::size_t size : {std::size_t{0}, std::size_t{257}})
        CHECK(ending(plain, cancel(77, buffer(size))) == failure(errc::malformed_message, 0));
    server hears(plain);
    hears.feed(ssl_request()).feed(gss_request()).feed(cancel(1, key));
    CHECK(hears.events() == "cancel 1 01020304\nclosed cancel\n");
    plan tls;
    tls.options.tls = primary::encryption::required;
    server secret(tls);
    secret.feed(ssl_request()).feed(cancel(1, key));
    CHECK(secret.events() == "tls\ncancel 1 01020304\nclosed cancel\n");
}

TEST_CASE(
    "who is asked for: names cut to 63 bytes, the database of the user's name, the last word") {
    const plan chosen;
    const std::string name(70, 'u');
    const auto asked = [&](const std::string& pairs) {
        server hears(chosen);
        hears.feed(startup(pairs));
        return hears.events().substr(0, hears.events().find('\n'));
    };
    CHECK(asked("user\0"s + name + "\0replication\0on\0"s) ==
          "login " + name.substr(0, 63) + ' ' + name.substr(0, 63) + " 3.0");
    CHECK(asked("user\0a\0database\0"s + name + "\0replication\0on\0"s) ==
          "login a " + name.substr(0, 63) + " 3.0");
    CHECK(asked("user\0a\0user\0b\0replication\0x\0replication\0database\0database\0d\0"s) ==
          "login b d 3.0 database");
    CHECK(asked("application_name\0me\0user\0a\0replication\0"
                "1\0"s) == "login a a 3.0 as me");
    server hears(chosen);
    hears.feed(startup("user\0repl\0replication\0on\0application_name\0"s + name + "\0"s));
    CHECK(words(hears.said).find("S application_name=" + name.substr(0, 63) + "\n") !=
          std::string::npos);
}

TEST_CASE("start-up packets that ask for what is not served") {
    const plan chosen;
    const auto refused = [&](const buffer& client, const std::string& why) {
        CHECK(said(chosen, client) == "E FATAL " + why + "\n");
        CHECK(ending(chosen, client) == failure(errc::login_refused, 0));
    };
    refused(startup("replication\0true\0"sv),
            "28000 no PostgreSQL user name specified in startup packet");
    refused(startup("user\0\0replication\0true\0"sv),
            "28000 no PostgreSQL user name specified in startup packet");
    refused(startup("user\0repl\0"sv), "0A000 only replication connections are served here");
    refused(startup("user\0repl\0replication\0off\0"sv),
            "0A000 only replication connections are served here");
    for (const char* wrong : {"Database", "2", ""}) {
        const std::string pairs = "user\0repl\0replication\0"s + wrong + "\0"s;
        refused(startup(pairs), "22023 invalid value for parameter \"replication\": \"" +
                                    std::string(wrong) + "\"");
    }
    refused(startup({}, 0x20000),
            "0A000 unsupported frontend protocol 2.0: server supports 3.0 to 3.2");
    refused(startup({}, 0x40001),
            "0A000 unsupported frontend protocol 4.1: server supports 3.0 to 3.2");
    plan old;
    old.version("17.2");
    CHECK(said(old, startup({}, 0xffffffff)) ==
          "E FATAL 0A000 unsupported frontend protocol 65535.65535: server supports 3.0 to 3.0\n");
    plan tls;
    tls.options.tls = primary::encryption::required;
    CHECK(said(tls, startup()) == "E FATAL 28000 this server requires encryption\n");
    tls.options.tls = primary::encryption::offered;
    CHECK(said(tls, startup()) == greeting);
}
