#include <walwire/auth/scram.hpp>

#include <walwire/auth/openssl.hpp>

#include "recorded.hpp"

#include <doctest/doctest.h>

#include <array>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

using namespace walwire;
using auth::channel_binding_flag;

namespace {

constexpr std::uint32_t iterations_max = 1'000'000;
constexpr std::string_view nonce = "fixedClientNonce0123456789";

struct answer {
    errc code = errc::none;
    std::string text;
};

std::string client_first(const auth::scram_client& client) {
    std::array<std::byte, 256> room;
    writer out(room);
    client.put_client_first(out);
    REQUIRE(out.ok());
    return std::string(as_text(out.written()));
}

answer give(auth::scram_client& client, std::string_view server_first, std::string_view password,
            std::uint32_t max = iterations_max, const auth::crypto& with = auth::openssl()) {
    std::array<std::byte, 2048> room;
    writer out(room);
    out.append("before"); // as a message's head would be
    const errc code = client.answer(with, server_first, password, max, out);
    CHECK(out.ok());
    CHECK((code == errc::none || out.size() == 6));
    return {code, std::string(as_text(out.written()).substr(6))};
}

auth::scram_client started(channel_binding_flag flag = channel_binding_flag::none,
                           bytes binding = {}) {
    auth::scram_client client;
    REQUIRE(client.start(flag, binding, nonce) == errc::none);
    return client;
}

// A server that asks for one round, so that a test can ask it often.
constexpr std::string_view server_first =
    "r=fixedClientNonce0123456789more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1";

std::string text_of(const auth::sha256_digest& digest) {
    std::array<std::byte, 64> room;
    writer out(room);
    auth::put_base64(out, digest);
    return std::string(as_text(out.written()));
}

// What the server would sign, computed from the messages as they were sent.
std::string server_final(std::string_view first, std::string_view password,
                         std::string_view client_final) {
    std::array<std::byte, 64> room;
    const auto parsed = auth::parse_server_first(first, iterations_max);
    const auto salt = auth::parse_base64(parsed->salt, room);
    auth::scram_keys keys;
    REQUIRE(auth::derive_keys(auth::openssl(), password, bytes(room).first(*salt),
                              parsed->iterations, keys) == errc::none);
    std::string said = "n=,r=";
    said.append(nonce).append(",").append(first).append(",");
    said.append(client_final.substr(0, client_final.find(",p=")));
    const bytes part = as_bytes(said);
    auth::sha256_digest signature;
    REQUIRE(auth::hmac_sha256(auth::openssl(), keys.server.value, {part}, signature) == errc::none);
    return "v=" + text_of(signature);
}

// A client that answered, and the signature that it waits for.
struct answered {
    auth::scram_client client = started();
    std::string final;

    answered() {
        const auto given = give(client, server_first, "secret");
        REQUIRE(given.code == errc::none);
        final = server_final(server_first, "secret", given.text);
    }
};

// Counts the rounds that it is asked for, and does none.
auth::crypto counting(std::uint64_t& rounds) {
    auth::crypto table = auth::openssl();
    table.context = &rounds;
    table.pbkdf2_sha256 = [](void* context, bytes, bytes, std::uint32_t iterations,
                             auth::sha256_digest&) noexcept {
        *static_cast<std::uint64_t*>(context) += iterations;
        return true;
    };
    return table;
}

} // namespace

TEST_CASE("the recorded exchanges are reproduced to the byte, and their servers believed") {
    for (const auto& exchange : recorded::exchanges) {
        CAPTURE(exchange.server);
        std::vector<std::byte> room(256);
        bytes binding;
        if (exchange.bound) {
            const auto end = exchange.client_final.find(',');
            const auto said = auth::parse_base64(exchange.client_final.substr(2, end - 2), room);
            REQUIRE(said);
            binding = bytes(room).first(*said).subspan(24);
        }
        auto client = exchange.bound ? started(channel_binding_flag::bound, binding) : started();
        CHECK(client_first(client) ==
              (exchange.bound ? "p=tls-server-end-point,,n=,r=" : "n,,n=,r=") + std::string(nonce));
        CHECK(client.check_server_first(exchange.server_first, iterations_max) == errc::none);
        const auto given = give(client, exchange.server_first, exchange.password);
        CHECK(given.code == errc::none);
        CHECK(given.text == exchange.client_final);
        CHECK_FALSE(client.verified());
        CHECK(client.check_server_final(exchange.server_final) == errc::none);
        CHECK(client.verified());
    }
}

TEST_CASE("a wrong password gives a proof that no server signs") {
    const auto& exchange = recorded::exchanges[0];
    auto client = started();
    const auto given = give(client, exchange.server_first, "scramsecreT");
    CHECK(given.code == errc::none);
    CHECK(given.text != exchange.client_final);
    CHECK(client.check_server_final(exchange.server_final) == errc::scram_signature_mismatch);
    CHECK_FALSE(client.verified());
}

TEST_CASE("RFC 7677's proof and signature come from its messages") {
    // The vector's user has a name and ours has none, so its messages are signed here by hand.
    const std::string said =
        "n=user,r=rOprNGfwEbeRWgbNEkqO,"
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const bytes part = as_bytes(said);
    const auto crypto = auth::openssl();
    std::array<std::byte, 16> room;
    const auto salt = auth::parse_base64("W22ZaJ0SNY7soEsUEjb6gQ==", room);
    auth::scram_keys keys;
    auth::sha256_digest stored, proof, signature;
    REQUIRE(auth::derive_keys(crypto, "pencil", bytes(room).first(*salt), 4096, keys) ==
            errc::none);
    REQUIRE(auth::derive_stored_key(crypto, keys.client.value, stored) == errc::none);
    REQUIRE(auth::hmac_sha256(crypto, stored, {part}, proof) == errc::none);
    for (std::size_t i = 0; i < 32; ++i) proof[i] ^= keys.client.value[i];
    CHECK(text_of(proof) == "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    REQUIRE(auth::hmac_sha256(crypto, keys.server.value, {part}, signature) == errc::none);
    CHECK(text_of(signature) == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

TEST_CASE("each flag stands in the first message and in the last") {
    const std::string hash(64, 'h');
    const std::pair<channel_binding_flag, std::string_view> flags[] = {
        {channel_binding_flag::none, "c=biws,"},
        {channel_binding_flag::not_offered, "c=eSws,"},
        {channel_binding_flag::bound, "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsaGho"},
    };
    for (const auto& [flag, expected] : flags) {
        const bool bound = flag == channel_binding_flag::bound;
        auto client = started(flag, bound ? as_bytes(hash) : bytes{});
        CHECK(client_first(client).starts_with(auth::gs2_header(flag)));
        CHECK(give(client, server_first, "secret").text.starts_with(expected));
    }
}

TEST_CASE("keys that were kept answer as the password does") {
    auth::scram_keys keys;
    std::array<std::byte, 16> room;
    const auto salt = auth::parse_base64("W22ZaJ0SNY7soEsUEjb6gQ==", room);
    REQUIRE(auth::derive_keys(auth::openssl(), "secret", bytes(room).first(*salt), 1, keys) ==
            errc::none);
    auto one = started(), two = started();
    std::array<std::byte, 512> out_room;
    writer out(out_room);
    std::uint64_t rounds = 0;
    CHECK(two.answer(counting(rounds), server_first, keys, iterations_max, out) == errc::none);
    const auto given = give(one, server_first, "secret");
    CHECK(as_text(out.written()) == given.text);
    CHECK(rounds == 0);
    CHECK(two.check_server_final(server_final(server_first, "secret", given.text)) == errc::none);
}

TEST_CASE("a client's own arguments are checked") {
    auth::scram_client client;
    const std::string hash(65, 'h');
    const auto start = [&](channel_binding_flag flag, std::string_view binding,
                           std::string_view text) {
        return client.start(flag, as_bytes(binding), text);
    };
    using flag = channel_binding_flag;
    CHECK(start(flag::bound, hash, "nonce") == errc::argument_too_long);
    CHECK(start(flag::bound, hash.substr(0, 64), "nonce") == errc::none);
    CHECK(start(flag::bound, "", "nonce") == errc::argument_invalid);
    CHECK(start(flag::none, "h", "nonce") == errc::argument_invalid);
    CHECK(start(flag::not_offered, "h", "nonce") == errc::argument_invalid);
    CHECK(start(flag::none, "", std::string(64, 'n')) == errc::none);
    CHECK(start(flag::none, "", std::string(65, 'n')) == errc::argument_too_long);
    for (const std::string_view wrong : {"", "a,b", "a b", "a\x7f", "a\x1f", "\xc3\xa9", ","})
        CHECK(start(flag::none, "", wrong) == errc::argument_invalid);
    CHECK(start(flag::none, "", "!~") == errc::none);
}

TEST_CASE("server nonces that do not continue ours are refused") {
    for (const std::string_view wrong :
         {"fixedClientNonce0123456789", "fixedClientNonce012345678", "f",
          "FixedClientNonce0123456789more", "more", "morefixedClientNonce0123456789"}) {
        CAPTURE(wrong);
        const std::string first = "r=" + std::string(wrong) + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1";
        auto client = started();
        CHECK(client.check_server_first(first, iterations_max) == errc::scram_nonce_mismatch);
        CHECK(give(client, first, "secret").code == errc::scram_nonce_mismatch);
    }
    auto client = started();
    CHECK(give(client, "r=fixedClientNonce01234567890,s=AA==,i=1", "secret").code == errc::none);
}

TEST_CASE("iteration counts out of range cost nothing") {
    std::uint64_t rounds = 0;
    const auto ask = [&](std::string_view count, std::uint32_t max) {
        auto client = started();
        const std::string first = "r=fixedClientNonce0123456789more,s=AA==,i=" + std::string(count);
        const errc code = client.check_server_first(first, max);
        CHECK(give(client, first, "secret", max, counting(rounds)).code == code);
        return code;
    };
    for (const std::string_view count : {"0", "1000001", "2147483648", "4294967295", "4294967296",
                                         "4294967297", "1000000000000", "18446744073709551617"})
        CHECK(ask(count, iterations_max) == errc::scram_iterations_refused);
    for (const std::string_view count : {"", "-1", "+1", "04096", "00", "4096x", "x", "4 096", " 1",
                                         "1 ", "0x10", "1e3", "1.0", "\xd9\xa1"})
        CHECK(ask(count, iterations_max) == errc::scram_malformed);
    CHECK(rounds == 0);
    CHECK(ask("1", 1) == errc::none);
    CHECK(ask("2", 1) == errc::scram_iterations_refused);
    CHECK(ask("1", 0) == errc::scram_iterations_refused);
    CHECK(ask("1000000", iterations_max) == errc::none);
    CHECK(ask("4294967295", UINT32_MAX) == errc::none);
    CHECK(rounds == 1ULL + 1'000'000 + 4294967295);
}

TEST_CASE("a server-first that does not follow the grammar is malformed") {
    using namespace std::string_view_literals;
    const auto expand = [](std::string_view text) { // '@' stands for a nonce that would be accepted
        std::string first;
        for (const char c : text)
            if (c == '@')
                first.append(nonce).append("more");
            else
                first += c;
        return first;
    };
    REQUIRE(started().check_server_first(expand("r=@,s=AA==,i=1"), iterations_max) == errc::none);
    for (const std::string_view wrong : {""sv,
                                         "r=@"sv,
                                         "r=@,s=AA=="sv,
                                         "r=@,i=1"sv,
                                         "s=AA==,i=1"sv,
                                         "s=AA==,r=@,i=1"sv,
                                         "r=@,i=1,s=AA=="sv,
                                         "r=@,s=AA==,i=1,"sv,
                                         ",r=@,s=AA==,i=1"sv,
                                         "r=@,,s=AA==,i=1"sv,
                                         "r=@,r=@,s=AA==,i=1"sv,
                                         "r=@,s=AA==,s=AA==,i=1"sv,
                                         " r=@,s=AA==,i=1"sv,
                                         "R=@,s=AA==,i=1"sv,
                                         "r=@;s=AA==,i=1"sv,
                                         "r@,s=AA==,i=1"sv,
                                         "r=,s=AA==,i=1"sv,
                                         "r= @,s=AA==,i=1"sv,
                                         "r=@\x7f,s=AA==,i=1"sv,
                                         "r=@\xc3\xa9,s=AA==,i=1"sv,
                                         "r=@,s=,i=1"sv,
                                         "r=@,s=A,i=1"sv,
                                         "r=@,s=AA=,i=1"sv,
                                         "r=@,s=AB==,i=1"sv,
                                         "r=@,s=A A=,i=1"sv,
                                         "r=@,s=AA-_,i=1"sv,
                                         "r=@,s,i=1"sv,
                                         "m=x,r=@,s=AA==,i=1"sv,
                                         "r=@,m=x,s=AA==,i=1"sv,
                                         "r=@,s=AA==,i=1,m=x"sv,
                                         "r=@,s=AA==,i=1,x="sv,
                                         "r=@,s=AA==,i=1,x"sv,
                                         "r=@,s=AA==,i=1,x=1,"sv,
                                         "r=@,s=AA==,i=1,1=x"sv,
                                         "r=@,s=AA==,i=1,xy=z"sv,
                                         "r=@,s=AA==,i=1,=x"sv,
                                         "r=@,s=AA==,i=1,x=1,m=2"sv,
                                         "r=@,s=AA==,i=1\0"sv,
                                         "r=@,s=AA==,i=1,x=\0"sv,
                                         "r=@\0,s=AA==,i=1"sv,
                                         "e=other-error"sv}) {
        CAPTURE(wrong);
        auto client = started();
        CHECK(client.check_server_first(expand(wrong), iterations_max) == errc::scram_malformed);
        CHECK(give(client, expand(wrong), "secret").code == errc::scram_malformed);
    }
}

TEST_CASE("optional extensions are passed over and signed") {
    const std::string first = std::string(server_first) + ",x=1=2,Z=\xc3\xa9";
    auto client = started();
    const auto given = give(client, first, "secret");
    CHECK(given.code == errc::none);
    CHECK(client.check_server_final(server_final(first, "secret", given.text) + ",y=z") ==
          errc::none);
}

TEST_CASE("messages beyond the limit are refused, whatever they say") {
    const std::string head = "r=fixedClientNonce0123456789more,s=", tail = ",i=1";
    const auto code = [&](std::size_t size) {
        const std::string first = head + std::string(size, 'A') + tail;
        return started().check_server_first(first, iterations_max);
    };
    const std::size_t fits = (auth::scram_message_size_max - head.size() - tail.size()) / 4 * 4;
    CHECK(code(fits) == errc::none);
    CHECK(code(fits + 4) == errc::scram_malformed);
    CHECK(code(1 << 20) == errc::scram_malformed);
    answered ready;
    CHECK(ready.client.check_server_final(ready.final + ",x=" + std::string(1 << 20, 'x')) ==
          errc::scram_malformed);
}

TEST_CASE("a server-first cut off anywhere is refused, or is another one") {
    for (std::size_t size = 0; size < server_first.size(); ++size) {
        auto client = started();
        CHECK(client.check_server_first(server_first.substr(0, size), iterations_max) ==
              errc::scram_malformed);
    }
}

TEST_CASE("every byte of the server's flipped is refused or changes the proof") {
    std::uint64_t rounds = 0; // salting is left out: that i=3 takes three rounds is not the point
    auto whole = started();
    const auto expected = give(whole, server_first, "secret", 9, counting(rounds)).text;
    for (std::size_t at = 0; at < server_first.size(); ++at) {
        for (int flip = 1; flip < 256; ++flip) {
            std::string first(server_first);
            first[at] = static_cast<char>(static_cast<unsigned char>(first[at]) ^ flip);
            auto client = started();
            const auto given = give(client, first, "secret", 9, counting(rounds));
            if (given.code == errc::none) CHECK(given.text != expected);
        }
    }
}

TEST_CASE("only the signature that was computed is accepted") {
    for (std::size_t at = 0; at < answered().final.size(); ++at) {
        answered ready;
        ready.final[at] = static_cast<char>(ready.final[at] ^ 1);
        CHECK(ready.client.check_server_final(ready.final) != errc::none);
        CHECK_FALSE(ready.client.verified());
    }
    for (std::size_t size = 0; size < answered().final.size(); ++size) {
        answered ready;
        CHECK(ready.client.check_server_final(std::string_view(ready.final).substr(0, size)) ==
              errc::scram_malformed);
    }
}

TEST_CASE("a signature that is none is malformed, a wrong one is a mismatch") {
    const std::string zeros = std::string(43, 'A') + "=";
    const std::pair<std::string, errc> finals[] = {
        {"", errc::scram_malformed},
        {"v=", errc::scram_malformed},
        {"v", errc::scram_malformed},
        {"V=" + zeros, errc::scram_malformed},
        {"v=AAAA", errc::scram_malformed},
        {"v=" + std::string(44, 'A'), errc::scram_malformed}, // 33 bytes
        {"v=" + zeros + "\n", errc::scram_malformed},
        {"v=" + zeros + ",", errc::scram_malformed},
        {"v=" + zeros + ",m=x", errc::scram_malformed},
        {"x=y,v=" + zeros, errc::scram_malformed},
        {"v=" + zeros + std::string("\0", 1), errc::scram_malformed},
        {"v=" + zeros, errc::scram_signature_mismatch},
        {"v=" + zeros + ",x=y", errc::scram_signature_mismatch},
        {"e=invalid-proof", errc::scram_proof_mismatch},
        {"e=unknown-user", errc::scram_proof_mismatch},
        {"e=", errc::scram_proof_mismatch},
        {"e=other-error,x=y", errc::scram_proof_mismatch},
        {"e=other-error,x", errc::scram_malformed},
        {"e=channel-bindings-dont-match", errc::scram_channel_binding_mismatch},
        {"e=server-does-support-channel-binding", errc::scram_channel_binding_mismatch},
        {"e=channel-binding-not-supported", errc::scram_channel_binding_mismatch},
        {"e=unsupported-channel-binding-type", errc::scram_channel_binding_mismatch},
    };
    for (const auto& final : finals) {
        CAPTURE(final.first);
        answered ready;
        CHECK(ready.client.check_server_final(final.first) == final.second);
        CHECK_FALSE(ready.client.verified());
        // One try is all that a server has.
        CHECK(ready.client.check_server_final(ready.final) == errc::not_now);
        CHECK_FALSE(ready.client.verified());
    }
}

TEST_CASE("calls out of order are refused and change nothing") {
    auth::scram_client fresh;
    CHECK(fresh.check_server_first(server_first, iterations_max) == errc::not_now);
    CHECK(give(fresh, server_first, "secret").code == errc::not_now);
    CHECK(fresh.check_server_final("v=") == errc::not_now);

    auto waiting = started();
    const std::string zeros = "v=" + std::string(43, 'A') + "=";
    CHECK(waiting.check_server_final(zeros) == errc::not_now); // R12 before an answer
    CHECK_FALSE(waiting.verified());
    CHECK(give(waiting, server_first, "secret").code == errc::none);

    answered ready;
    CHECK(give(ready.client, server_first, "secret").code == errc::not_now);
    CHECK(ready.client.check_server_first(server_first, iterations_max) == errc::not_now);
    CHECK(ready.client.check_server_final(ready.final) == errc::none);
    CHECK(ready.client.check_server_final(ready.final) == errc::not_now);
    CHECK(ready.client.verified());
}

TEST_CASE("after a fault of the server's nothing is accepted until the next start") {
    auto client = started();
    CHECK(give(client, "r=other,s=AA==,i=1", "secret").code == errc::scram_nonce_mismatch);
    CHECK(give(client, server_first, "secret").code == errc::not_now);
    CHECK(client.start(channel_binding_flag::none, {}, nonce) == errc::none);
    CHECK(give(client, server_first, "secret").code == errc::none);
}

TEST_CASE("a new start forgets that a server was verified") {
    answered ready;
    REQUIRE(ready.client.check_server_final(ready.final) == errc::none);
    CHECK(ready.client.start(channel_binding_flag::none, {}, nonce) == errc::none);
    CHECK_FALSE(ready.client.verified());
}

TEST_CASE("an output that is too small is refused before any work, and can be tried again") {
    auto client = started();
    std::uint64_t rounds = 0;
    auto whole = started();
    const std::size_t needed = give(whole, server_first, "secret").text.size();
    for (std::size_t size = 0; size < needed; ++size) {
        std::vector<std::byte> room(size);
        writer out(room);
        CHECK(client.answer(counting(rounds), server_first, "secret", iterations_max, out) ==
              errc::output_full);
        CHECK(out.size() == 0);
        CHECK(out.ok());
    }
    CHECK(rounds == 0);
    std::vector<std::byte> room(needed);
    writer out(room);
    CHECK(client.answer(auth::openssl(), server_first, "secret", iterations_max, out) ==
          errc::none);
    CHECK(out.size() == needed);
}

TEST_CASE("a primitive that is missing or fails leaves the exchange where it was") {
    const auto whole = auth::openssl();
    for (int which = 0; which < 3; ++which) {
        auth::crypto lacking = whole, failing = whole;
        if (which == 0) {
            lacking.sha256 = nullptr;
            failing.sha256 = [](void*, auth::parts, auth::sha256_digest&) noexcept {
                return false;
            };
        } else if (which == 1) {
            lacking.hmac_sha256 = nullptr;
            failing.hmac_sha256 = [](void*, bytes, auth::parts, auth::sha256_digest&) noexcept {
                return false;
            };
        } else {
            lacking.pbkdf2_sha256 = nullptr;
            failing.pbkdf2_sha256 = [](void*, bytes, bytes, std::uint32_t,
                                       auth::sha256_digest&) noexcept { return false; };
        }
        auto client = started();
        CHECK(give(client, server_first, "secret", 1, lacking).code == errc::crypto_missing);
        CHECK(give(client, server_first, "secret", 1, failing).code == errc::crypto_failed);
        CHECK(give(client, server_first, "secret").code == errc::none);
    }
}

TEST_CASE("each HMAC of an answer may fail, and no half of it is written") {
    struct counter {
        int left;
    };
    for (int good = 0; good <= 4; ++good) {
        counter count{good};
        auth::crypto table = auth::openssl();
        table.context = &count;
        table.hmac_sha256 = [](void* context, bytes key, auth::parts parts,
                               auth::sha256_digest& out) noexcept {
            if (static_cast<counter*>(context)->left-- == 0) return false;
            return auth::detail::openssl_hmac_sha256(nullptr, key, parts, out);
        };
        auto client = started();
        CHECK(give(client, server_first, "secret", 1, table).code ==
              (good == 4 ? errc::none : errc::crypto_failed));
    }
}

TEST_CASE("a password that cannot be prepared on the stack is refused, not cut") {
    std::string accented;
    for (std::size_t i = 0; i < auth::password_characters_max; ++i) accented += "\xc3\xa9";
    auto client = started();
    CHECK(give(client, server_first, accented).code == errc::argument_too_long);
    CHECK(give(client, server_first, "").code == errc::none);
}

TEST_CASE("nonces are 24 characters of base64 and new each time") {
    std::set<std::string> seen;
    for (int i = 0; i < 100; ++i) {
        std::array<char, auth::nonce_size> text{};
        REQUIRE(auth::make_nonce(auth::openssl(), text) == errc::none);
        const std::string made(text.data(), text.size());
        CHECK(auth::is_scram_nonce(made));
        std::array<std::byte, 18> raw;
        CHECK(*auth::parse_base64(made, raw) == 18);
        seen.insert(made);
    }
    CHECK(seen.size() == 100);
    std::array<char, auth::nonce_size> text{};
    CHECK(auth::make_nonce(auth::crypto{}, text) == errc::crypto_missing);
}

TEST_CASE("a client is small and holds nothing that must be released") {
    CHECK(sizeof(auth::scram_client) <= 200);
    CHECK(std::is_trivially_destructible_v<auth::scram_client>);
    CHECK(std::is_trivially_copyable_v<auth::scram_client>);
}

TEST_CASE("what a client keeps does not hold its password nor a key made of it") {
    answered ready;
    std::array<std::byte, 16> room;
    const auto salt = auth::parse_base64("W22ZaJ0SNY7soEsUEjb6gQ==", room);
    auth::scram_keys keys;
    REQUIRE(auth::derive_keys(auth::openssl(), "secret", bytes(room).first(*salt), 1, keys) ==
            errc::none);
    const auto state =
        as_text(std::as_bytes(std::span<const auth::scram_client, 1>(&ready.client, 1)));
    CHECK(state.find("secret") == std::string_view::npos);
    CHECK(state.find(as_text(keys.client.value)) == std::string_view::npos);
    CHECK(state.find(as_text(keys.server.value)) == std::string_view::npos);
}
