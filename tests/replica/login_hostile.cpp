#include <walwire/replica/login.hpp>

#include <doctest/doctest.h>

#include "replica/dialogue.hpp"
#include "replica/scram_server.hpp"

using namespace dialogue;

namespace {

plan over_tls() {
    plan made;
    made.options.tls = replica::encryption::required;
    made.options.gss = replica::encryption::off;
    return made;
}
plan only(std::string_view methods) {
    plan made;
    made.options.require_auth = *auth::parse_require_auth(methods);
    return made;
}

buffer challenge(const std::string& text) {
    return authentication(11, text);
}
const scram_server& server() {
    static const scram_server made("pencil", "n,,", {});
    return made;
}

} // namespace

TEST_CASE("39: to SSLRequest S with plain bytes behind it, E, X, or nothing") {
    client behind(over_tls());
    behind.poll(of("S") + authentication(0));
    CHECK(behind.events() == failure(errc::bytes_before_encryption, 0) + '\n');
    client none(over_tls());
    none.finish();
    CHECK(none.events() == failure(errc::connection_lost, 0) + '\n');
    refuses(over_tls(), {},
            {{"E", of("E"), errc::encryption_error_response},
             {"an error", fatal("53300"), errc::encryption_error_response},
             {"X", of("X"), errc::encryption_answer_invalid},
             {"G, which nobody asked for", of("G"), errc::encryption_answer_invalid},
             {"a message", authentication(0), errc::encryption_answer_invalid}});
}

TEST_CASE("40: N to SSLRequest when TLS is required") {
    client opens(over_tls());
    opens.feed(of("N"));
    CHECK(opens.events() == failure(errc::encryption_refused, 0) + '\n');
    CHECK(opens.said.size() == 8); // the request, and no start-up packet
}

TEST_CASE("41: R0 at once when a policy needs authentication, and R0 before R12") {
    refuses(only("scram-sha-256"), {},
            {{"R0", trusted(), errc::authentication_refused},
             {"R0 behind the offer", authentication(0), errc::authentication_refused}});
    refuses(only("!none"), {}, {{"R0", trusted(), errc::authentication_refused}});
    const buffer offered = server().offer(false);
    refuses(plan{}, offered, {{"R0", trusted(), errc::authentication_incomplete}});
    refuses(plan{}, offered + server().first(),
            {{"R0", trusted(), errc::authentication_incomplete}});
    takes(plan{}, offered + server().first() + server().final(),
          {{"R0 behind R12", trusted(), "ready I"}});
}

TEST_CASE("42: R5 or R3 when only SCRAM is allowed, unknown codes, a truncated salt") {
    refuses(only("scram-sha-256"), {},
            {{"R5", authentication(5, buffer(4)), errc::authentication_refused}});
    plan tls = only("scram-sha-256");
    tls.options.tls = replica::encryption::required;
    refuses(tls, of("S"), {{"R3 over TLS", authentication(3), errc::authentication_refused}});
    for (const std::uint32_t code : {1u, 2u, 4u, 6u, 7u, 9u, 13u, 99u, 0xffff'ffffu})
        refuses(plan{}, {}, {{"a code", authentication(code), errc::authentication_unknown}});
    refuses(plan{}, {},
            {{"R5 of 3", authentication(5, buffer(3)), errc::malformed_message},
             {"R5 of 5", authentication(5, buffer(5)), errc::malformed_message},
             {"half a code", message('R', buffer(3)), errc::malformed_message},
             {"no code", message('R', buffer{}), errc::malformed_message},
             {"R0 and more", authentication(0, "x"), errc::malformed_message},
             {"R3 and more", authentication(3, "x"), errc::malformed_message},
             {"R8", authentication(8), errc::unexpected_message},
             {"R11", authentication(11), errc::unexpected_message},
             {"R12", authentication(12), errc::unexpected_message}});
}

TEST_CASE("43: SCRAM iterations of 0, below, beyond the limit, and that are no number") {
    const auto first = [](std::string_view count) {
        return challenge("r=" + server().nonce() + ",s=c2FsdA==,i=" + std::string(count));
    };
    refuses(plan{}, server().offer(false),
            {{"0", first("0"), errc::scram_iterations_refused},
             {"one beyond", first("1000001"), errc::scram_iterations_refused},
             {"2^32", first("4294967296"), errc::scram_iterations_refused},
             {"10^12", first("1000000000000"), errc::scram_iterations_refused},
             {"-1", first("-1"), errc::scram_malformed},
             {"leading zeros", first("04096"), errc::scram_malformed},
             {"4096x", first("4096x"), errc::scram_malformed},
             {"nothing", first(""), errc::scram_malformed}});
    plan careful;
    careful.options.limits.scram_iterations_max = 2;
    takes(careful, server().offer(false), {{"2", first("2"), "password_wanted scram"}});
    refuses(careful, server().offer(false), {{"3", first("3"), errc::scram_iterations_refused}});
}

TEST_CASE("44: SCRAM nonces, salts and signatures that are not what they must be") {
    const std::string ours = client_nonce();
    const auto first = [](const std::string& nonce, const std::string& salt) {
        return challenge("r=" + nonce + ",s=" + salt + ",i=1");
    };
    const std::string both = server().nonce();
    refuses(plan{}, server().offer(false),
            {{"ours", first(ours, "c2FsdA=="), errc::scram_nonce_mismatch},
             {"less", first(ours.substr(0, 23), "c2FsdA=="), errc::scram_nonce_mismatch},
             {"another", first("A" + both, "c2FsdA=="), errc::scram_nonce_mismatch},
             {"no nonce", first("", "c2FsdA=="), errc::scram_malformed},
             {"no salt", first(both, ""), errc::scram_malformed},
             {"a salt that is none", first(both, "c2FsdA"), errc::scram_malformed},
             {"a kilobyte", first(both, std::string(1024, 'A')), errc::scram_malformed},
             {"a megabyte", large('R', 1 << 20), errc::message_too_large},
             {"m=", challenge("m=x,r=" + both + ",s=c2FsdA==,i=1"), errc::scram_malformed},
             {"nothing", authentication(11), errc::scram_malformed},
             {"a NUL", authentication(11, buffer(1)), errc::scram_malformed}});
    const std::string zeros = "v=" + base64(buffer(32));
    refuses(plan{}, server().offer(false) + server().first(),
            {{"v= of zeros", authentication(12, zeros), errc::scram_signature_mismatch},
             {"v= too short", authentication(12, "v=AAAA"), errc::scram_malformed},
             {"no v=", authentication(12, "x=1"), errc::scram_malformed},
             {"nothing", authentication(12), errc::scram_malformed},
             {"e=", authentication(12, "e=invalid-proof"), errc::scram_proof_mismatch},
             {"e= of the binding", authentication(12, "e=channel-bindings-dont-match"),
              errc::scram_channel_binding_mismatch},
             {"another challenge", server().first(), errc::unexpected_message},
             {"another offer", server().offer(false), errc::unexpected_message},
             {"R3", authentication(3), errc::unexpected_message}});
}

TEST_CASE("45: lists of mechanisms without end, empty, endless, and PLUS on a plain link") {
    using namespace std::literals;
    std::string many;
    for (int i = 0; i < 33; ++i) many += "X"s + '\0';
    refuses(plan{}, {},
            {{"no end", authentication(10, "SCRAM-SHA-256\0"sv), errc::malformed_message},
             {"no NUL", authentication(10, "SCRAM-SHA-256"), errc::malformed_message},
             {"no list", authentication(10), errc::malformed_message},
             {"bytes behind", authentication(10, "SCRAM-SHA-256\0\0X"sv), errc::malformed_message},
             {"empty", authentication(10, "\0"sv), errc::sasl_mechanism_missing},
             {"unknown", authentication(10, "OAUTHBEARER\0\0"sv), errc::sasl_mechanism_missing},
             {"33 names", authentication(10, many + '\0'), errc::too_many},
             {"10^4 names", large('R', 20'001), errc::message_too_large},
             {"PLUS", server().offer(true), errc::scram_channel_binding_mismatch}});
    // Over TLS, with nothing to bind to, PLUS alone is of no use.
    refuses(over_tls(), of("S"),
            {{"PLUS alone", authentication(10, "SCRAM-SHA-256-PLUS\0\0"sv),
              errc::sasl_mechanism_missing}});
}

TEST_CASE("46: v of another version, with names, twice, or too late") {
    using namespace std::literals;
    plan newer;
    newer.options.version = wire::protocol_3_2;
    const std::vector<thing> wrong{
        {"2.0", negotiation(0x20000, 0), errc::negotiation_invalid},
        {"3.1", negotiation(0x30001, 0), errc::negotiation_invalid},
        {"3.2", negotiation(0x30002, 0), errc::negotiation_invalid},
        {"3.3", negotiation(0x30003, 0), errc::negotiation_invalid},
        {"4.0", negotiation(0x40000, 0), errc::negotiation_invalid},
        {"a minor only", negotiation(0, 0), errc::negotiation_invalid},
        {"a name never sent", negotiation(0x30000, 1, "_pq_.x\0"sv), errc::negotiation_invalid},
        {"-1 names", negotiation(0x30000, 0xffff'ffff), errc::malformed_message},
        {"2^31 names", negotiation(0x30000, 0x8000'0000, "a\0"sv), errc::malformed_message},
        {"a name too few", negotiation(0x30000, 2, "a\0"sv), errc::malformed_message},
        {"a name too many", negotiation(0x30000, 0, "a\0"sv), errc::malformed_message},
        {"half of it", message('v', buffer(7)), errc::malformed_message}};
    refuses(newer, {}, wrong);
    refuses(plan{}, {}, wrong);
    const buffer good = negotiation(0x30000, 0);
    refuses(newer, good, {{"a second v", good, errc::unexpected_message}});
    refuses(newer, authentication(0), {{"v behind R0", good, errc::unexpected_message}});
    refuses(newer, server().offer(false), {{"v behind R10", good, errc::unexpected_message}});
    refuses(newer, trusted(), {{"v when all is done", good, errc::unexpected_message}});
}

TEST_CASE("47: K of 0, 3, 5, 257 or 2^31 bytes, and a second K") {
    const buffer before = authentication(0);
    refuses(plan{}, before,
            {{"nothing", message('K', buffer{}), errc::backend_key_invalid},
             {"half a pid", message('K', buffer(3)), errc::backend_key_invalid},
             {"0", key(0), errc::backend_key_invalid},
             {"3", key(3), errc::backend_key_invalid},
             {"5", key(5), errc::backend_key_invalid},
             {"257", key(257), errc::backend_key_invalid},
             {"2^31", header('K', 0x8000'0000), errc::message_too_large}});
    refuses(plan{}, before + key(), {{"a second K", key(), errc::unexpected_message}});
    refuses(plan{}, trusted(), {{"K when all is done", key(), errc::unexpected_message}});
    takes(plan{}, before + parameter("server_version", "18.4"),
          {{"none at all, as from a proxy", ready(), "ready I"}});
}

TEST_CASE("48: before R0 anything but R, v and E, and errors of 5 and of 10^9 bytes") {
    for (const char tag : std::string_view("NSKZTDCIGHWAdc"))
        refuses(plan{}, {}, {{"a tag", message(tag, buffer(8)), errc::unexpected_message}});
    for (const char tag : std::string_view("xpQ\x00\xff\x80", 6))
        refuses(plan{}, {}, {{"no tag", message(tag, buffer(8)), errc::unknown_message}});
    refuses(plan{}, {},
            {{"E of 5, no NUL", message('E', "S"), errc::malformed_message},
             {"E of 4", message('E', ""), errc::malformed_message},
             {"E of 10^9", large('E', 1'000'000'000), errc::message_too_large},
             {"E as before 7.4", of("EFATAL: no pg_hba entry\n") + buffer(1),
              errc::message_too_large}});
    takes(
        plan{}, {},
        {{"E of 5", message('E', buffer(1)), "closed fatal_error"},
         {"ERROR, which cannot leave anything alive here", mistake("28000"), "closed fatal_error"},
         {"a text that would clear a terminal", message('E', of("M\x1b[2J") + buffer(2)),
          "closed fatal_error"}});
}

TEST_CASE("66: server_version that is no version, or missing") {
    const buffer before = authentication(0);
    const auto says = [](std::string_view version) { return parameter("server_version", version); };
    std::vector<thing> wrong;
    for (const char* const version : {"abc", "99999.9", "", "0", "-18", " 18", "v18", "1000"})
        wrong.push_back({version, says(version), errc::server_version_invalid});
    refuses(plan{}, before, wrong);
    refuses(plan{}, trusted(), wrong);
    refuses(plan{}, before, {{"none", ready(), errc::server_version_invalid}});
    for (const char* const version : {"18.4 (Debian)", "18beta1", "18devel", "18"}) {
        client hears(plan{});
        hears.feed(before + says(version) + ready());
        CHECK(hears->server_version() == 18);
    }
}
