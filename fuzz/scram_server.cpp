// Everything that a client says before a server believes it: its first message and its last; and
// what is stored, with a cleartext password or an MD5 answer that is checked against it. The
// digests are a toy that is fast and depends on every byte. The proof in an input is one that can
// be meant: a last message that ends in ",p=!" gets the right proof for what stands before it, and
// one that ends in ",p=?" the proof of another password.
#include <walwire/auth/scram_server.hpp>
#include <walwire/auth/stored_secret.hpp>

#include "support/check.hpp"
#include "support/toy_crypto.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

using namespace walwire;

namespace {

constexpr std::string_view server_nonce = "Server";
constexpr std::string_view mock_secret = "sixteen bytes ok";
constexpr std::string_view hash = "hash of the certificate";

// What a client with this password would put behind p= after all this.
std::string proof(std::string_view password, std::string_view said) {
    auth::scram_keys keys;
    auth::sha256_digest stored{}, value{};
    check(auth::derive_keys(toy::crypto(), password, as_bytes("salt"), 7, keys) == errc::none,
          "keys");
    check(auth::derive_stored_key(toy::crypto(), keys.client.value, stored) == errc::none,
          "stored key");
    const bytes part = as_bytes(said);
    check(auth::hmac_sha256(toy::crypto(), stored, {part}, value) == errc::none, "HMAC");
    for (std::size_t i = 0; i < value.size(); ++i) value[i] ^= keys.client.value[i];
    return toy::base64(value);
}

struct outcome {
    errc first = errc::none, last = errc::none;
    std::string server_first, client_final, server_final;
    bool verified = false, bound = false;

    bool operator==(const outcome&) const = default;
};

struct setting {
    bool plus, offered, known;
};

std::string bare_of(std::string_view client_first) {
    const std::size_t first = client_first.find(',');
    return std::string(client_first.substr(client_first.find(',', first + 1) + 1));
}

// The wildcard is taken from the back of the last message.
std::string with_proof(std::string_view final, std::string_view said) {
    const bool right = final.ends_with(",p=!"), wrong = final.ends_with(",p=?");
    if (!right && !wrong) return std::string(final);
    final.remove_suffix(1);
    const std::string whole =
        std::string(said).append(",").append(final.substr(0, final.size() - 3));
    return std::string(final).append(proof(right ? "secret" : "another", whole));
}

outcome exchange(setting how, std::string_view first, std::string_view final) {
    outcome seen;
    auth::scram_server server;
    const bytes binding = how.offered ? as_bytes(hash) : bytes{};
    const auto name = how.plus ? auth::scram_sha_256_plus_name : auth::scram_sha_256_name;
    seen.first = server.start(name, binding);
    check((seen.first == errc::none) == (how.offered || !how.plus), "what is offered is accepted");
    if (seen.first == errc::none) seen.first = server.read_client_first(first);
    std::array<std::byte, 2048> room;
    writer out(room);
    const auto known = auth::make_verifier(toy::crypto(), "secret", as_bytes("salt"), 7);
    const auto* verifier = how.known ? &*known : nullptr;
    const errc asked = server.challenge(toy::crypto(), "user", verifier, {as_bytes(mock_secret)},
                                        server_nonce, out);
    check(asked == (seen.first == errc::none ? errc::none : errc::not_now), "challenge");
    if (asked != errc::none) {
        check(out.size() == 0, "nothing is said after a fault");
        check(server.answer(toy::crypto(), final, out) == errc::not_now, "and nothing is heard");
        check(!server.verified(), "and nobody is verified");
        return seen;
    }
    seen.server_first = as_text(out.written());
    const auto parsed = auth::parse_server_first(seen.server_first, 4096);
    check(parsed || parsed.code() == errc::scram_malformed, "a client reads what we say");
    check(bool(parsed) == (seen.server_first.size() <= auth::scram_message_size_max), "all of it");

    const std::string said = bare_of(first) + "," + seen.server_first;
    seen.client_final = with_proof(final, said);
    writer last(room);
    seen.last = server.answer(toy::crypto(), seen.client_final, last);
    seen.server_final = as_text(last.written());
    seen.verified = server.verified();
    seen.bound = server.bound();
    check(server.answer(toy::crypto(), seen.client_final, last) == errc::not_now,
          "there is one guess");
    check(server.verified() == seen.verified, "and what was found stays");
    check(seen.verified == (seen.last == errc::none), "verified means accepted");
    check(seen.verified == !seen.server_final.empty(), "only who is believed gets a signature");
    return seen;
}

void whole_exchange(std::uint8_t bits, std::string_view first, std::string_view final) {
    const setting how{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
    const outcome seen = exchange(how, first, final);
    check(exchange(how, first, final) == seen, "two runs agree");
    setting other = how;
    other.known = !how.known;
    const outcome twin = exchange(other, first, final);
    check(twin.first == seen.first, "a first message does not tell who is known");
    check(twin.verified ? !how.known : (how.known || !seen.verified), "only the known get in");
    if (!how.known) check(!seen.verified, "nobody is verified who is unknown");
    if (!seen.verified) return;

    const std::string& sent = seen.client_final;
    const std::size_t end = sent.rfind(",p=");
    const std::string said = bare_of(first) + "," + seen.server_first + "," + sent.substr(0, end);
    check(sent.substr(end + 3) == proof("secret", said), "only the right key's proof is accepted");
    check(seen.bound == how.plus, "bound as PLUS says");
    const std::string gs2 = std::string(first.substr(0, first.size() - bare_of(first).size()));
    const std::string bound = gs2 + std::string(how.plus ? hash : "");
    check(sent.starts_with("c=" + toy::base64(as_bytes(bound)) + ",r="),
          "and over the right channel");
    check(!how.offered || first.front() != 'y', "no downgrade goes unseen");
    auth::scram_keys keys;
    check(auth::derive_keys(toy::crypto(), "secret", as_bytes("salt"), 7, keys) == errc::none,
          "keys");
    auth::sha256_digest signature;
    const bytes part = as_bytes(said);
    check(auth::hmac_sha256(toy::crypto(), keys.server.value, {part}, signature) == errc::none,
          "HMAC");
    check(seen.server_final == "v=" + toy::base64(signature),
          "and the server's signature is right");
}

void secrets(std::string_view text, std::string_view tried) {
    const auth::stored_secret secret(text);
    const auto kind = secret.kind();
    const std::array<std::byte, 4> salt{};
    const errc clear = secret.check_cleartext(toy::crypto(), "user", tried);
    const errc hashed = secret.check_md5(toy::crypto(), "user", salt, tried);
    check(clear == errc::none || clear == errc::password_mismatch, "yes or no");
    check(hashed == errc::none || hashed == errc::password_mismatch, "yes or no");
    check(secret.check_cleartext(toy::crypto(), "user", tried) == clear, "two runs agree");
    check((secret.verifier() != nullptr) == (kind == auth::secret_kind::scram_sha_256), "kind");
    if (kind == auth::secret_kind::none)
        check(clear != errc::none && hashed != errc::none, "nobody's");
    if (kind == auth::secret_kind::plain) {
        check((clear == errc::none) == (text == tried), "the password and no other");
        std::array<char, auth::md5_answer_size> answer;
        check(auth::md5_answer(toy::crypto(), "user", text, salt, answer) == errc::none, "answer");
        const std::string_view right(answer.data(), answer.size());
        check((hashed == errc::none) == (tried == right), "the answer and no other");
        check(secret.check_md5(toy::crypto(), "user", salt, right) == errc::none,
              "a client gets in");
    }
    if (kind == auth::secret_kind::md5)
        check(tried != text || clear != errc::none, "the hash is no password");
}

} // namespace

// The first byte chooses: 'S' a secret, and what is tried, on two lines; else the low bits are the
// setting, and the two messages are on two lines.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view text = as_text(std::as_bytes(std::span(data + 1, size - 1)));
    const std::size_t line = text.find('\n');
    const bool two = line != std::string_view::npos;
    const std::string_view one = text.substr(0, line), other = two ? text.substr(line + 1) : "";
    if (data[0] == 'S')
        secrets(one, other);
    else
        whole_exchange(data[0], one, other);
    return 0;
}
