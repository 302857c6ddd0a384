#include <walwire/auth/scram_server.hpp>

#include <walwire/auth/openssl.hpp>
#include <walwire/wire/backend.hpp>
#include <walwire/wire/frontend.hpp>

#include "../support/no_alloc.hpp"
#include "../support/transcript.hpp"
#include "recorded.hpp"

#include <doctest/doctest.h>

#include <array>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

using namespace walwire;
using auth::channel_binding_flag;
using auth::scram_server;

namespace {

constexpr std::string_view plain_name = auth::scram_sha_256_name;
constexpr std::string_view plus_name = auth::scram_sha_256_plus_name;
constexpr std::string_view certificate_hash = "0123456789abcdef0123456789abcdef";
constexpr std::string_view mock_secret = "mockmockmockmockmockmockmockmock";
constexpr std::string_view client_nonce = "fixedClientNonce0123456789";
constexpr std::string_view server_nonce = "fixedServerNonce";

auth::scram_mock mock(std::uint32_t iterations = 4096) {
    return {as_bytes(mock_secret), iterations};
}

auth::scram_verifier verifier_of(std::string_view password, std::uint32_t iterations = 1) {
    const auto made =
        auth::make_verifier(auth::openssl(), password, as_bytes("saltsaltsaltsalt"), iterations);
    REQUIRE(made);
    return *made;
}

// One round, so that a test can ask often.
const auth::scram_verifier& secret() {
    static const auth::scram_verifier made = verifier_of("secret");
    return made;
}

struct said {
    errc code = errc::none;
    std::string text;
};

template <class Say>
said hear(Say&& say, std::size_t room_size = 2048) {
    std::vector<std::byte> room(room_size);
    writer out(room);
    out.append("head"); // as a message's own would be
    const errc code = say(out);
    CHECK(out.ok());
    CHECK((code == errc::none) == (out.size() > 4));
    return {code, std::string(as_text(out.written()).substr(4))};
}

said challenge(scram_server& server, const auth::scram_verifier* known,
               std::string_view nonce = server_nonce, std::string_view user = "user",
               const auth::crypto& with = auth::openssl()) {
    return hear(
        [&](writer& out) { return server.challenge(with, user, known, mock(), nonce, out); });
}

said answer(scram_server& server, std::string_view client_final,
            const auth::crypto& with = auth::openssl()) {
    return hear([&](writer& out) { return server.answer(with, client_final, out); });
}

// The client's answer to what the server said, by the library's own client.
struct peer {
    auth::scram_client client;
    std::string first;

    explicit peer(channel_binding_flag flag = channel_binding_flag::none, bytes binding = {}) {
        REQUIRE(client.start(flag, binding, client_nonce) == errc::none);
        std::array<std::byte, 256> room;
        writer out(room);
        client.put_client_first(out);
        first = as_text(out.written());
    }
    said reply(std::string_view server_first, std::string_view password = "secret") {
        return hear([&](writer& out) {
            return client.answer(auth::openssl(), server_first, password, 1'000'000, out);
        });
    }
};

errc first_refusal(std::string_view message, std::string_view mechanism = plain_name,
                   bytes binding = {}) {
    scram_server server;
    REQUIRE(server.start(mechanism, binding) == errc::none);
    const errc code = server.read_client_first(message);
    CHECK(server.read_client_first("n,,n=,r=x") == errc::not_now); // over, or already said
    return code;
}

// A server that waits for the proof, and the message that has it.
struct challenged {
    scram_server server;
    std::string first, server_first, final;

    explicit challenged(channel_binding_flag flag = channel_binding_flag::none) {
        const bool bound = flag == channel_binding_flag::bound;
        const bool tls = flag != channel_binding_flag::not_offered;
        const bytes hash = as_bytes(certificate_hash);
        peer other(flag, bound ? hash : bytes{});
        first = other.first;
        REQUIRE(server.start(bound ? plus_name : plain_name, tls ? hash : bytes{}) == errc::none);
        REQUIRE(server.read_client_first(first) == errc::none);
        const auto asked = challenge(server, &secret());
        REQUIRE(asked.code == errc::none);
        server_first = asked.text;
        final = other.reply(server_first).text;
    }
};

} // namespace

TEST_CASE("RFC 7677's server is reproduced to the byte") {
    const auto verifier = auth::parse_verifier(
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
    REQUIRE(verifier);
    scram_server server;
    REQUIRE(server.start(plain_name, {}) == errc::none);
    REQUIRE(server.read_client_first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == errc::none);
    CHECK(challenge(server, &*verifier, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0").text ==
          "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    CHECK_FALSE(server.verified());
    CHECK(answer(server, "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                         "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
              .text == "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    CHECK(server.verified());
    CHECK_FALSE(server.bound());
}

TEST_CASE("the recorded exchanges are spoken by this server as by PostgreSQL") {
    for (const auto& exchange : recorded::exchanges) {
        CAPTURE(exchange.server);
        const auto parsed = auth::parse_server_first(exchange.server_first, 1'000'000);
        REQUIRE(parsed);
        std::array<std::byte, 64> salt;
        const auto size = auth::parse_base64(parsed->salt, salt);
        REQUIRE(size);
        const auto verifier = auth::make_verifier(auth::openssl(), exchange.password,
                                                  bytes(salt).first(*size), parsed->iterations);
        REQUIRE(verifier);
        std::vector<std::byte> bound(256);
        bytes binding;
        if (exchange.bound) {
            const auto end = exchange.client_final.find(',');
            const auto text = auth::parse_base64(exchange.client_final.substr(2, end - 2), bound);
            binding = bytes(bound).first(*text).subspan(24);
        }
        const std::string first = (exchange.bound ? "p=tls-server-end-point,,n=,r=" : "n,,n=,r=") +
                                  std::string(client_nonce);
        scram_server server;
        REQUIRE(server.start(exchange.bound ? plus_name : plain_name, binding) == errc::none);
        REQUIRE(server.read_client_first(first) == errc::none);
        CHECK(challenge(server, &*verifier, parsed->nonce.substr(client_nonce.size())).text ==
              exchange.server_first);
        CHECK(answer(server, exchange.client_final).text == exchange.server_final);
        CHECK(server.verified());
        CHECK(server.bound() == exchange.bound);
    }
}

namespace {

// The messages of a recorded connection, by one side, from behind the start-up packet.
std::vector<bytes> messages(std::span<const std::byte> said, std::size_t from, char type) {
    std::vector<bytes> found;
    while (from + 5 <= said.size()) {
        const std::uint32_t size = load<std::uint32_t>(said.data() + from + 1);
        if (std::to_integer<char>(said[from]) == type)
            found.push_back(said.subspan(from + 5, size - 4));
        from += size + 1;
    }
    return found;
}

} // namespace

TEST_CASE("what real clients sent to real servers verifies, and a wrong password does not") {
    int good = 0, bad = 0;
    for (const auto* kind : {"a03_scram", "a05_", "a06_", "e01_bad_password_scram"}) {
        for (const auto& name : support::transcripts(kind)) {
            CAPTURE(name);
            const auto recording = support::transcript::load(name);
            const auto client = recording.said(support::side::client);
            const auto spoken = messages(client, load<std::uint32_t>(client.data()), 'p');
            const auto asked = messages(recording.said(support::side::server), 0, 'R');
            REQUIRE(spoken.size() == 2);
            const auto initial = wire::parse_sasl_initial_response(spoken[0]);
            REQUIRE(initial);
            const auto first = wire::parse_authentication(asked[1]);
            REQUIRE(first);
            const auto parsed = auth::parse_server_first(as_text(first->data), 1'000'000);
            REQUIRE(parsed);
            std::array<std::byte, 64> salt;
            const auto size = auth::parse_base64(parsed->salt, salt);
            const std::string_view password = name.find("a05_") != std::string::npos ? "IXIX"
                                              : name.find("a06_") != std::string::npos
                                                  ? "mixedsecret"
                                                  : "scramsecret";
            const auto verifier = auth::make_verifier(auth::openssl(), password,
                                                      bytes(salt).first(*size), parsed->iterations);
            REQUIRE(verifier);
            scram_server server;
            REQUIRE(server.start(initial->mechanism, {}) == errc::none);
            REQUIRE(server.read_client_first(as_text(initial->data)) == errc::none);
            CHECK(challenge(server, &*verifier, parsed->nonce.substr(client_nonce.size())).text ==
                  as_text(first->data));
            const auto told = answer(server, as_text(spoken[1]));
            if (asked.size() > 2) {
                CHECK(told.text == as_text(wire::parse_authentication(asked[2])->data));
                CHECK(server.verified());
                ++good;
            } else {
                CHECK(told.code == errc::scram_proof_mismatch);
                CHECK_FALSE(server.verified());
                ++bad;
            }
        }
    }
    CHECK(good == 15);
    CHECK(bad == 5);
}

TEST_CASE("the library's own client and server believe each other, with every flag") {
    const bytes hash = as_bytes(certificate_hash);
    using flag = channel_binding_flag;
    const struct {
        flag said;
        std::string_view mechanism;
        bytes binding; // the server's: PLUS was offered
    } cases[] = {{flag::none, plain_name, {}},
                 {flag::none, plain_name, hash},
                 {flag::not_offered, plain_name, {}},
                 {flag::bound, plus_name, hash}};
    for (const auto& each : cases) {
        for (const std::string_view password : {"secret", "wrong"}) {
            peer other(each.said, each.said == flag::bound ? hash : bytes{});
            scram_server server;
            CHECK(server.start(each.mechanism, each.binding) == errc::none);
            CHECK(server.read_client_first(other.first) == errc::none);
            const auto asked = hear([&](writer& out) {
                return server.challenge(auth::openssl(), "user", &secret(), mock(), out);
            });
            const auto proof = other.reply(asked.text, password);
            CHECK(proof.code == errc::none);
            const auto told = answer(server, proof.text);
            const bool right = password == "secret";
            CHECK(told.code == (right ? errc::none : errc::scram_proof_mismatch));
            CHECK(server.verified() == right);
            CHECK(server.bound() == (right && each.said == flag::bound));
            if (right) CHECK(other.client.check_server_final(told.text) == errc::none);
        }
    }
}

TEST_CASE("nonces of its own are fresh, and as long as PostgreSQL's") {
    std::set<std::string> seen;
    for (int i = 0; i < 100; ++i) {
        scram_server server;
        REQUIRE(server.start(plain_name, {}) == errc::none);
        REQUIRE(server.read_client_first("n,,n=,r=x") == errc::none);
        const auto asked = hear([&](writer& out) {
            return server.challenge(auth::openssl(), "user", &secret(), mock(), out);
        });
        const auto parsed = auth::parse_server_first(asked.text, 1);
        REQUIRE(parsed);
        CHECK(parsed->nonce.size() == 1 + 24);
        seen.insert(std::string(parsed->nonce));
    }
    CHECK(seen.size() == 100);
}

TEST_CASE("the offer has PLUS first, and only where there is something to bind to") {
    for (const bool plus : {false, true}) {
        std::array<std::byte, 64> room;
        writer out(room);
        auth::put_mechanisms(out, plus);
        const auto chosen =
            auth::choose_mechanism(out.written(), plus, plus, auth::channel_binding_policy::prefer);
        REQUIRE(chosen);
        CHECK(chosen->name == (plus ? plus_name : plain_name));
        CHECK(out.size() == (plus ? 34U : 15U));
    }
}

TEST_CASE("only a mechanism that was offered can be chosen") {
    scram_server server;
    const bytes hash = as_bytes(certificate_hash);
    CHECK(server.start(plus_name, {}) == errc::sasl_mechanism_unknown);
    CHECK(server.read_client_first("n,,n=,r=x") == errc::not_now);
    CHECK(server.start(plus_name, hash) == errc::none);
    CHECK(server.start(plain_name, hash) == errc::none);
    CHECK(server.start(plain_name, {}) == errc::none);
    for (const std::string_view name : {"", "SCRAM-SHA-1", "scram-sha-256", "SCRAM-SHA-256 ",
                                        "SCRAM-SHA-256-PLUS ", "SCRAM-SHA-25", "OAUTHBEARER"})
        CHECK(server.start(name, hash) == errc::sasl_mechanism_unknown);
    const std::string longest(64, 'h');
    CHECK(server.start(plus_name, as_bytes(longest)) == errc::none);
    CHECK(server.start(plus_name, as_bytes(longest + "h")) == errc::argument_too_long);
    CHECK(server.read_client_first("p=tls-server-end-point,,n=,r=x") == errc::none); // unchanged
}

TEST_CASE("the flag of the first message must fit the mechanism and the offer") {
    const bytes hash = as_bytes(certificate_hash);
    const std::string n = "n,,n=,r=x", y = "y,,n=,r=x", p = "p=tls-server-end-point,,n=,r=x";
    CHECK(first_refusal(n) == errc::none);
    CHECK(first_refusal(y) == errc::none);
    CHECK(first_refusal(p) == errc::scram_malformed);
    CHECK(first_refusal(n, plain_name, hash) == errc::none);
    CHECK(first_refusal(y, plain_name, hash) == errc::scram_downgraded);
    CHECK(first_refusal(p, plain_name, hash) == errc::scram_malformed);
    CHECK(first_refusal(n, plus_name, hash) == errc::scram_malformed);
    CHECK(first_refusal(y, plus_name, hash) == errc::scram_malformed);
    CHECK(first_refusal(p, plus_name, hash) == errc::none);
    for (const std::string_view type : {"tls-unique", "tls-exporter", "tls-server-end-poin",
                                        "tls-server-end-point ", "TLS-SERVER-END-POINT"}) {
        const std::string first = "p=" + std::string(type) + ",,n=,r=x";
        CHECK(first_refusal(first, plus_name, hash) == errc::scram_binding_unknown);
    }
}

TEST_CASE("another identity and mandatory extensions are not supported") {
    for (const std::string_view first :
         {"n,a=other,n=,r=x", "n,a=,n=,r=x", "y,a=other,n=,r=x", "n,a=other", "n,a=other,m=x",
          "n,,m=x,n=,r=x", "n,,m=,n=,r=x", "n,,m=x"})
        CHECK(first_refusal(first) == errc::scram_unsupported);
}

TEST_CASE("a first message that does not follow the grammar is malformed") {
    using namespace std::string_view_literals;
    for (const std::string_view first : {
             ""sv,
             "n"sv,
             "n,"sv,
             "n,,"sv,
             ","sv,
             ",,"sv,
             ",,n=,r=x"sv,
             "n,n=,r=x"sv,
             "n=,r=x"sv,
             "N,,n=,r=x"sv,
             "x,,n=,r=x"sv,
             "nn,,n=,r=x"sv,
             "p,,n=,r=x"sv,
             "p=,,n=,r=x"sv,
             " n,,n=,r=x"sv,
             "n,x=y,n=,r=x"sv,
             "n,a,n=,r=x"sv,
             "n,,,n=,r=x"sv,
             "n,,n=,"sv,
             "n,,n="sv,
             "n,,n=,r="sv,
             "n,,n=,r"sv,
             "n,,r=x"sv,
             "n,,r=x,n="sv,
             "n,,n=,n=,r=x"sv,
             "n,,n=,r=x,r=y,"sv,
             "n,,n=,r=x,"sv,
             "n,,n=,r=x,,"sv,
             "n,,n=,r=x,y"sv,
             "n,,n=,r=x,y="sv,
             "n,,n=,r=x,1=y"sv,
             "n,,n=,r=x,m=y"sv,
             "n,,n=,x=y,r=x"sv,
             "n,,N=,r=x"sv,
             "n,,n=,R=x"sv,
             "n,,n=,r= "sv,
             "n,,n=,r=x\x7f"sv,
             "n,,n=,r=\xc3\xa9"sv,
             "n,,n=,r=x\0"sv,
             "n,,n=\0,r=x"sv,
             "\0"sv,
             "biws"sv,
         }) {
        CAPTURE(first);
        CHECK(first_refusal(first) == errc::scram_malformed);
    }
    CHECK(first_refusal("n,,n=a=2Cb,r=!~,x=y,Z=1=2") == errc::none);
    CHECK(first_refusal("n,,n=\xc3\xa9,r=x") == errc::none); // nobody looks at it
}

TEST_CASE("a first message is read into its parts") {
    const auto first = auth::parse_client_first("y,,n=me,r=abc,x=y");
    REQUIRE(first);
    CHECK(first->flag == channel_binding_flag::not_offered);
    CHECK(first->bare == "n=me,r=abc,x=y");
    CHECK(first->user == "me");
    CHECK(first->nonce == "abc");
}

TEST_CASE("messages beyond the limit are refused, whatever they say") {
    const std::string head = "n,,n=,r=";
    const std::string longest = head + std::string(auth::scram_message_size_max - 8, 'x');
    CHECK(first_refusal(longest) == errc::none);
    CHECK(first_refusal(longest + "x") == errc::scram_malformed);
    CHECK(first_refusal(head + std::string(1 << 20, 'x')) == errc::scram_malformed);
    challenged ready;
    std::string final = ready.final;
    final.insert(final.find(",p="), ",x=" + std::string(1 << 20, 'y'));
    CHECK(answer(ready.server, final).code == errc::scram_malformed);
}

TEST_CASE("the longest nonces and salts are spoken whole") {
    std::array<std::byte, 64> salt{};
    const auto verifier = auth::make_verifier(auth::openssl(), "secret", salt, 1);
    auto largest = *verifier;
    largest.iterations = INT32_MAX;
    const std::string first = "n,,n=,r=" + std::string(auth::scram_message_size_max - 8, 'x');
    for (const auto& each : {*verifier, largest}) {
        scram_server server;
        REQUIRE(server.start(plain_name, {}) == errc::none);
        REQUIRE(server.read_client_first(first) == errc::none);
        const auto asked = challenge(server, &each, std::string(64, 'y'));
        CHECK(asked.code == errc::none);
        CHECK(asked.text == "r=" + first.substr(8) + std::string(64, 'y') + ",s=" +
                                std::string(86, 'A') + "==,i=" + std::to_string(each.iterations));
    }
}

TEST_CASE("arguments of our own are checked, and change nothing") {
    scram_server server;
    REQUIRE(server.start(plain_name, {}) == errc::none);
    REQUIRE(server.read_client_first("n,,n=,r=x") == errc::none);
    CHECK(challenge(server, &secret(), "").code == errc::argument_invalid);
    CHECK(challenge(server, &secret(), "a,b").code == errc::argument_invalid);
    CHECK(challenge(server, &secret(), std::string(65, 'x')).code == errc::argument_too_long);
    const auto with_mock = [&](auth::scram_mock instead) {
        return hear([&](writer& out) {
                   return server.challenge(auth::openssl(), "u", &secret(), instead, out);
               })
            .code;
    };
    CHECK(with_mock({as_bytes(mock_secret).first(15)}) == errc::argument_invalid);
    CHECK(with_mock({}) == errc::argument_invalid);
    CHECK(with_mock(mock(0)) == errc::argument_invalid);
    CHECK(with_mock(mock(0x80000000)) == errc::argument_invalid);
    for (std::size_t room = 4; room < 4 + 55; ++room) {
        CHECK(hear(
                  [&](writer& out) {
                      return server.challenge(auth::openssl(), "u", &secret(), mock(), out);
                  },
                  room)
                  .code == errc::output_full);
    }
    CHECK(with_mock({as_bytes(mock_secret).first(16)}) == errc::none);
    CHECK(with_mock(mock()) == errc::not_now);
}

TEST_CASE("an answer that does not fit can be asked for again") {
    challenged ready;
    for (std::size_t room = 4; room < 4 + 46; ++room) {
        CHECK(
            hear(
                [&](writer& out) { return ready.server.answer(auth::openssl(), ready.final, out); },
                room)
                .code == errc::output_full);
        CHECK_FALSE(ready.server.verified());
    }
    CHECK(hear([&](writer& out) { return ready.server.answer(auth::openssl(), ready.final, out); },
               50)
              .code == errc::none);
    CHECK(ready.server.verified());
}

TEST_CASE("every call has its turn") {
    scram_server server;
    CHECK(server.read_client_first("n,,n=,r=x") == errc::not_now);
    CHECK(challenge(server, &secret()).code == errc::not_now);
    CHECK(answer(server, "c=biws,r=x,p=AAAA").code == errc::not_now);
    CHECK_FALSE(server.verified());
    REQUIRE(server.start(plain_name, {}) == errc::none);
    CHECK(challenge(server, &secret()).code == errc::not_now);
    CHECK(answer(server, "c=biws,r=x,p=AAAA").code == errc::not_now);
    REQUIRE(server.read_client_first("n,,n=,r=x") == errc::none);
    CHECK(answer(server, "c=biws,r=x,p=AAAA").code == errc::not_now);
    CHECK(server.read_client_first("n,,n=,r=x") == errc::not_now);
    REQUIRE(challenge(server, &secret()).code == errc::none);
    CHECK(challenge(server, &secret()).code == errc::not_now);
    CHECK(answer(server, "nonsense").code == errc::scram_malformed);
    CHECK(answer(server, "nonsense").code == errc::not_now);

    challenged ready;
    CHECK(answer(ready.server, ready.final).code == errc::none);
    CHECK(answer(ready.server, ready.final).code == errc::not_now);
    CHECK(ready.server.verified());
    CHECK(ready.server.start(plain_name, {}) == errc::none);
    CHECK_FALSE(ready.server.verified());
}

TEST_CASE("one wrong guess ends the exchange") {
    challenged ready;
    std::string wrong = ready.final;
    wrong[wrong.size() - 10] = wrong[wrong.size() - 10] == 'A' ? 'B' : 'A';
    CHECK(answer(ready.server, wrong).code == errc::scram_proof_mismatch);
    CHECK(answer(ready.server, ready.final).code == errc::not_now);
    CHECK_FALSE(ready.server.verified());
}

TEST_CASE("each missing or failing primitive is met, and changes nothing") {
    const auto whole = auth::openssl();
    challenged ready;
    auth::crypto table = whole;
    table.md5 = nullptr;
    table.pbkdf2_sha256 = nullptr; // a server never salts
    table.sha256 = nullptr;
    CHECK(answer(ready.server, ready.final, table).code == errc::crypto_missing);
    table.sha256 = whole.sha256;
    table.hmac_sha256 = nullptr;
    CHECK(answer(ready.server, ready.final, table).code == errc::crypto_missing);
    static int left;
    table.hmac_sha256 = [](void* context, bytes key, auth::parts parts,
                           auth::sha256_digest& out) noexcept {
        return left-- > 0 && auth::openssl().hmac_sha256(context, key, parts, out);
    };
    for (left = 0; left < 2;) {
        const int working = left;
        CHECK(answer(ready.server, ready.final, table).code == errc::crypto_failed);
        left = working + 1;
    }
    CHECK_FALSE(ready.server.verified());
    table.random = nullptr;
    CHECK(answer(ready.server, ready.final, table).code == errc::none);

    scram_server server;
    REQUIRE(server.start(plain_name, {}) == errc::none);
    REQUIRE(server.read_client_first("n,,n=,r=x") == errc::none);
    const auto code = [&] {
        return hear([&](writer& out) {
                   return server.challenge(table, "u", &secret(), mock(), out);
               })
            .code;
    };
    CHECK(code() == errc::crypto_missing);
    table.random = [](void*, mutable_bytes) noexcept { return false; };
    CHECK(code() == errc::crypto_failed);
    table.random = whole.random;
    table.sha256 = nullptr;
    CHECK(code() == errc::crypto_missing);
    table.sha256 = [](void*, auth::parts, auth::sha256_digest&) noexcept { return false; };
    CHECK(code() == errc::crypto_failed);
    table.sha256 = whole.sha256;
    CHECK(code() == errc::none);
}

TEST_CASE("a user that is unknown is challenged as others are, and always the same") {
    const auto mocked = [](std::string_view user, const auth::scram_verifier* known,
                           std::string_view secret = mock_secret) {
        scram_server server;
        REQUIRE(server.start(plain_name, {}) == errc::none);
        REQUIRE(server.read_client_first("n,,n=,r=x") == errc::none);
        return hear([&](writer& out) {
                   return server.challenge(auth::openssl(), user, known, {as_bytes(secret)},
                                           server_nonce, out);
               })
            .text;
    };
    // The front of SHA-256("nobody" and the secret), by sha256sum.
    CHECK(mocked("nobody", nullptr) == "r=xfixedServerNonce,s=UT/n7Ls+tLhTVcodDFGueQ==,i=4096");
    CHECK(mocked("nobody", nullptr) == mocked("nobody", nullptr));
    CHECK(mocked("nobody", nullptr) != mocked("nobodi", nullptr));
    CHECK(mocked("nobody", nullptr) != mocked("nobody", nullptr, "another secret of 24 chars"));
    auth::scram_verifier unusable = secret();
    unusable.salt_size = 0;
    CHECK(mocked("nobody", &unusable) == mocked("nobody", nullptr));
    unusable.salt_size = 65;
    CHECK(mocked("nobody", &unusable) == mocked("nobody", nullptr));
    unusable = secret();
    unusable.iterations = 0;
    CHECK(mocked("nobody", &unusable) == mocked("nobody", nullptr));
}

TEST_CASE("a user that is unknown fails at the proof, whatever was proved") {
    // The digests of this table make the proof right for a stored key of zeros, which is what the
    // mock has: it must not verify even so.
    static int hmacs, hashes;
    auth::crypto zeros = auth::openssl();
    zeros.sha256 = [](void*, auth::parts, auth::sha256_digest& out) noexcept {
        ++hashes;
        out.fill(std::byte{0});
        return true;
    };
    zeros.hmac_sha256 = [](void*, bytes, auth::parts, auth::sha256_digest& out) noexcept {
        ++hmacs;
        out.fill(std::byte{0});
        return true;
    };
    auth::scram_verifier open = secret();
    open.stored_key.fill(std::byte{1});
    for (const bool known : {false, true}) {
        hmacs = hashes = 0;
        scram_server server;
        REQUIRE(server.start(plain_name, {}) == errc::none);
        REQUIRE(server.read_client_first("n,,n=,r=x") == errc::none);
        const auto asked = challenge(server, known ? &open : nullptr, server_nonce, "user", zeros);
        CHECK(asked.code == errc::none);
        CHECK(hashes == 1);
        const std::string proof = std::string(43, 'A') + "=";
        CHECK(
            answer(server, "c=biws,r=x" + std::string(server_nonce) + ",p=" + proof, zeros).code ==
            errc::scram_proof_mismatch);
        CHECK_FALSE(server.verified());
        CHECK(hashes == 2); // the same work for the one and the other
        CHECK(hmacs == 1);
    }
    open.stored_key.fill(std::byte{0}); // and for somebody that proof would have been right
    scram_server server;
    REQUIRE(server.start(plain_name, {}) == errc::none);
    REQUIRE(server.read_client_first("n,,n=,r=x") == errc::none);
    REQUIRE(challenge(server, &open, server_nonce, "user", zeros).code == errc::none);
    CHECK(answer(server,
                 "c=biws,r=x" + std::string(server_nonce) + ",p=" + std::string(43, 'A') + "=",
                 zeros)
              .code == errc::none);
}

TEST_CASE("a client with the right password is no user where there is none") {
    peer other;
    scram_server server;
    REQUIRE(server.start(plain_name, {}) == errc::none);
    REQUIRE(server.read_client_first(other.first) == errc::none);
    const auto asked = challenge(server, nullptr);
    CHECK(answer(server, other.reply(asked.text).text).code == errc::scram_proof_mismatch);
}

TEST_CASE("what was changed on the way is told apart") {
    const std::string zeros = std::string(43, 'A') + "=";
    const std::string nonces = std::string(client_nonce) + std::string(server_nonce);
    const auto code = [&](channel_binding_flag flag, const std::string& final) {
        challenged ready(flag);
        const errc found = answer(ready.server, final).code;
        CHECK_FALSE(ready.server.verified());
        return found;
    };
    const auto plain = [&](const std::string& final) {
        return code(channel_binding_flag::none, final);
    };
    CHECK(plain("c=biws,r=" + nonces + ",p=" + zeros) == errc::scram_proof_mismatch);
    CHECK(plain("c=biws,r=" + nonces + ",x=y,p=" + zeros) == errc::scram_proof_mismatch);
    CHECK(plain("c=biws,r=" + nonces + "x,p=" + zeros) == errc::scram_nonce_mismatch);
    CHECK(plain("c=biws,r=" + nonces.substr(1) + ",p=" + zeros) == errc::scram_nonce_mismatch);
    CHECK(plain("c=biws,r=x" + nonces.substr(1) + ",p=" + zeros) == errc::scram_nonce_mismatch);
    CHECK(plain("c=biws,r=" + nonces.substr(0, nonces.size() - 1) + "x,p=" + zeros) ==
          errc::scram_nonce_mismatch);
    CHECK(plain("c=biws,r=,p=" + zeros) == errc::scram_nonce_mismatch);
    CHECK(plain("c=eSws,r=" + nonces + ",p=" + zeros) == errc::scram_malformed);
    CHECK(plain("c=,r=" + nonces + ",p=" + zeros) == errc::scram_malformed);
    CHECK(code(channel_binding_flag::not_offered, "c=eSws,r=" + nonces + ",p=" + zeros) ==
          errc::scram_proof_mismatch);
    CHECK(code(channel_binding_flag::not_offered, "c=biws,r=" + nonces + ",p=" + zeros) ==
          errc::scram_malformed);
    const std::string header = "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCws";
    CHECK(code(channel_binding_flag::bound, header + ",r=" + nonces + ",p=" + zeros) ==
          errc::scram_channel_binding_mismatch);
    CHECK(code(channel_binding_flag::bound, "c=biws,r=" + nonces + ",p=" + zeros) ==
          errc::scram_channel_binding_mismatch);
}

TEST_CASE("a client that sees another certificate is refused before its proof is looked at") {
    const std::string other_hash(32, 'x');
    peer other(channel_binding_flag::bound, as_bytes(other_hash));
    scram_server server;
    REQUIRE(server.start(plus_name, as_bytes(certificate_hash)) == errc::none);
    REQUIRE(server.read_client_first(other.first) == errc::none);
    const auto asked = challenge(server, &secret());
    CHECK(answer(server, other.reply(asked.text).text, {}).code ==
          errc::scram_channel_binding_mismatch);
}

TEST_CASE("a final message that does not follow the grammar is malformed") {
    using namespace std::string_view_literals;
    const std::string zeros = std::string(43, 'A') + "=";
    for (const std::string_view pattern : {
             ""sv,
             "@"sv,
             "p=@"sv,
             ",p=@"sv,
             "c=biws,p=@"sv,
             "c=biws,r=#"sv,
             "c=biws,r=#,"sv,
             "c=biws,r=#,p"sv,
             "c=biws,r=#,p="sv,
             "c=biws,r=#,p=AAAA"sv,
             "c=biws,r=#,p=@A"sv,
             "c=biws,r=#,p=@,"sv,
             "c=biws,r=#,p=@,x=y"sv,
             "c=biws,r=#,p=@,p=@"sv,
             "c=biws,r=#,p=@\n"sv,
             "c=biws,r=#,p=@\0"sv,
             "c=biws\0,r=#,p=@"sv,
             "c=biws,r=#,P=@"sv,
             "c=biws,,r=#,p=@"sv,
             "c=biws,r=#,,p=@"sv,
             "r=#,c=biws,p=@"sv,
             "r=#,p=@"sv,
             "c=biws,c=biws,r=#,p=@"sv,
             "c=biws,x=y,r=#,p=@"sv,
             "m=x,c=biws,r=#,p=@"sv,
             "c=biws,r=#,m=x,p=@"sv,
             "c=biws,r=#,x,p=@"sv,
             "c=biws,r=#,x=,p=@"sv,
             "c=biws,r=#,1=x,p=@"sv,
             " c=biws,r=#,p=@"sv,
             "n,,n=,r=#"sv,
         }) {
        CAPTURE(pattern);
        std::string final;
        for (const char c : pattern) {
            if (c == '@')
                final += zeros;
            else if (c == '#')
                final.append(client_nonce).append(server_nonce);
            else
                final += c;
        }
        challenged ready;
        CHECK(answer(ready.server, final).code == errc::scram_malformed);
        CHECK_FALSE(ready.server.verified());
    }
    // 33 bytes are no proof, nor is base64 that is not canonical.
    for (const std::string& proof : {std::string(44, 'A'), std::string(43, 'B') + "="}) {
        challenged ready;
        const std::string head = ready.final.substr(0, ready.final.find(",p=") + 3);
        CHECK(answer(ready.server, head + proof).code == errc::scram_malformed);
    }
}

TEST_CASE("a message of the client's cut off anywhere or changed in any byte never verifies") {
    for (const auto flag : {channel_binding_flag::none, channel_binding_flag::not_offered,
                            channel_binding_flag::bound}) {
        const challenged model(flag);
        const bool bound = flag == channel_binding_flag::bound;
        const bytes binding =
            flag == channel_binding_flag::not_offered ? bytes{} : as_bytes(certificate_hash);
        const auto verifies = [&](std::string_view first, std::string_view final) {
            scram_server server;
            REQUIRE(server.start(bound ? plus_name : plain_name, binding) == errc::none);
            if (server.read_client_first(first) != errc::none) return false;
            REQUIRE(challenge(server, &secret()).code == errc::none);
            const bool accepted = answer(server, final).code == errc::none;
            CHECK(accepted == server.verified());
            return accepted;
        };
        REQUIRE(verifies(model.first, model.final));
        for (const bool which : {false, true}) {
            const std::string& whole = which ? model.final : model.first;
            const auto with = [&](std::string_view changed) {
                return which ? verifies(model.first, changed) : verifies(changed, model.final);
            };
            int accepted = 0;
            for (std::size_t at = 0; at < whole.size(); ++at) {
                accepted += with(std::string_view(whole).substr(0, at));
                for (int flip = 1; flip < 256; ++flip) {
                    std::string changed = whole;
                    changed[at] = static_cast<char>(static_cast<unsigned char>(changed[at]) ^ flip);
                    accepted += with(changed);
                }
            }
            CHECK(accepted == 0);
            CHECK_FALSE(with(whole + " "));
        }
    }
}

TEST_CASE("a proof does not serve another server, another user or another time") {
    challenged model;
    const auto replayed = [&](const auth::scram_verifier& known, std::string_view nonce) {
        scram_server server;
        REQUIRE(server.start(plain_name, {}) == errc::none);
        REQUIRE(server.read_client_first(model.first) == errc::none);
        REQUIRE(challenge(server, &known, nonce).code == errc::none);
        return answer(server, model.final).code;
    };
    CHECK(replayed(secret(), server_nonce) == errc::none);
    CHECK(replayed(secret(), "fixedServerNonze") == errc::scram_nonce_mismatch);
    CHECK(replayed(verifier_of("other"), server_nonce) == errc::scram_proof_mismatch);
    auth::scram_verifier salted = secret();
    salted.salt[0] ^= std::byte{1}; // the salt is part of what is proved
    CHECK(replayed(salted, server_nonce) == errc::scram_proof_mismatch);
    salted = secret();
    salted.iterations = 2;
    CHECK(replayed(salted, server_nonce) == errc::scram_proof_mismatch);
    salted = secret();
    salted.server_key[0] ^= std::byte{1}; // not the proof's business, but the client's
    CHECK(replayed(salted, server_nonce) == errc::none);
}

TEST_CASE("SQLSTATEs are PostgreSQL's") {
    const std::pair<errc, std::string_view> states[] = {
        {errc::sasl_mechanism_unknown, "08P01"},
        {errc::scram_malformed, "08P01"},
        {errc::scram_binding_unknown, "08P01"},
        {errc::scram_nonce_mismatch, "08P01"},
        {errc::scram_unsupported, "0A000"},
        {errc::scram_downgraded, "28000"},
        {errc::scram_channel_binding_mismatch, "28000"},
        {errc::scram_proof_mismatch, "28P01"},
        {errc::password_mismatch, "28P01"},
        {errc::message_too_large, "28P01"},
        {errc::crypto_failed, "XX000"},
        {errc::output_full, "XX000"},
    };
    for (const auto& [code, state] : states) CHECK(auth::authentication_sqlstate(code) == state);
}

TEST_CASE("an exchange does not allocate") {
    const auto crypto = auth::openssl();
    challenged model; // OpenSSL has now made what it makes once
    // A table without OpenSSL, which allocates: the digests stand still.
    auth::crypto still = crypto;
    still.sha256 = [](void*, auth::parts, auth::sha256_digest& out) noexcept {
        out.fill(std::byte{1});
        return true;
    };
    still.hmac_sha256 = [](void*, bytes, auth::parts, auth::sha256_digest& out) noexcept {
        out.fill(std::byte{2});
        return true;
    };
    auth::scram_verifier known = secret();
    known.stored_key.fill(std::byte{1});
    std::array<std::byte, 512> room;
    const std::string final = "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3OD"
                              "lhYmNkZWY=,r=xfixedServerNonce,p=" +
                              std::string(43, 'A') + "=";
    errc codes[4];
    {
        support::no_alloc scope;
        scram_server server;
        writer out(room);
        codes[0] = server.start(plus_name, as_bytes(certificate_hash));
        codes[1] = server.read_client_first("p=tls-server-end-point,,n=,r=x");
        codes[2] = server.challenge(still, "user", &known, mock(), server_nonce, out);
        codes[3] = server.answer(still, final, out);
    }
    for (const errc code : codes) CHECK(code == errc::none);
}
