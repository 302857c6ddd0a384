// Everything that a server says before a client believes it: a list of mechanisms, a server-first
// and a server-final; and the stored verifier and require_auth, texts of the same kind. The digests
// are a toy that is fast and depends on every byte, so that an input can reach each step.
#include <walwire/auth/mechanism.hpp>
#include <walwire/auth/password.hpp>
#include <walwire/auth/scram.hpp>
#include <walwire/auth/scram_verifier.hpp>

#include "support/check.hpp"
#include "support/toy_crypto.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

using namespace walwire;

namespace {

constexpr std::uint32_t iterations_max = 5000;
constexpr std::string_view nonce = "fixedClientNonce";

// As many rounds as the limit allows, and never more.
auth::crypto bounded() {
    auth::crypto table = toy::crypto();
    table.pbkdf2_sha256 = [](void* context, bytes password, bytes salt, std::uint32_t iterations,
                             auth::sha256_digest& out) noexcept {
        check(iterations <= iterations_max, "iterations are bounded");
        return toy::crypto().pbkdf2_sha256(context, password, salt, iterations, out);
    };
    return table;
}

// What a server that knows the password would send, from the texts as they went over the wire.
std::string expected_final(std::string_view first, std::string_view client_final) {
    const auto parsed = auth::parse_server_first(first, iterations_max);
    std::array<std::byte, auth::scram_salt_size_max> room;
    const auto salt = auth::parse_base64(parsed->salt, room);
    auth::scram_keys keys;
    check(auth::derive_keys(bounded(), "secret", bytes(room).first(*salt), parsed->iterations,
                            keys) == errc::none,
          "keys");
    std::string said = "n=,r=";
    said.append(nonce).append(",").append(first).append(",");
    said.append(client_final.substr(0, client_final.rfind(",p=")));
    const bytes part = as_bytes(said);
    auth::sha256_digest signature;
    check(auth::hmac_sha256(bounded(), keys.server.value, {part}, signature) == errc::none, "HMAC");
    return toy::base64(signature);
}

void exchange(bool bound, std::string_view first, std::string_view final) {
    auth::scram_client client;
    const std::array<std::byte, 32> hash{};
    const auto flag = bound ? auth::channel_binding_flag::bound : auth::channel_binding_flag::none;
    check(client.start(flag, bound ? bytes(hash) : bytes{}, nonce) == errc::none, "start");
    const errc expected = client.check_server_first(first, iterations_max);
    std::array<std::byte, 2048> room;
    writer out(room);
    const errc code = client.answer(bounded(), first, "secret", iterations_max, out);
    check(code == expected, "answer and check agree");
    if (code != errc::none) {
        check(out.size() == 0, "nothing is said after a fault");
        check(client.check_server_final(final) == errc::not_now, "and nothing is accepted");
        check(!client.verified(), "and nobody is verified");
        return;
    }
    const std::string_view said = as_text(out.written());
    check(said.starts_with(bound ? "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCws" : "c=biws,r="), "binding");
    check(said.find(std::string(",r=").append(nonce)) != std::string_view::npos, "nonce");
    check(said.size() > 47 && said.substr(said.size() - 47, 3) == ",p=", "proof");

    const std::string right = "v=" + expected_final(first, said);
    auth::scram_client other = client;
    check(other.check_server_final(right) == errc::none && other.verified(), "the right signature");
    const bool accepted = client.check_server_final(final) == errc::none;
    check(accepted == client.verified(), "verified means accepted");
    check(!accepted || final.substr(0, right.size()) == right, "no other signature is accepted");
}

void mechanisms(std::uint8_t how, std::string_view list) {
    const auto policy = static_cast<auth::channel_binding_policy>((how >> 2) % 3);
    const bool encrypted = (how & 1) != 0, binding = (how & 2) != 0;
    const auto chosen = auth::choose_mechanism(as_bytes(list), encrypted, binding, policy);
    if (!chosen) return;
    const std::string ended = std::string(chosen->name) + '\0';
    check(list.find(ended) != std::string_view::npos, "only what is offered is chosen");
    const bool bound = chosen->flag == auth::channel_binding_flag::bound;
    check(bound == (chosen->name == auth::scram_sha_256_plus_name), "PLUS means bound");
    check(!bound || (encrypted && binding), "bound needs something to bind to");
    check(bound || policy != auth::channel_binding_policy::require, "required is required");
}

void verifier(std::string_view text) {
    const auto parsed = auth::parse_verifier(text);
    if (!parsed) return;
    std::string room(text.size(), '\0');
    writer out(std::as_writable_bytes(std::span(room)));
    auth::put_verifier(out, *parsed);
    check(out.ok() && room == text, "a verifier that is read is printed as it was");
}

void require_auth(std::string_view list) {
    const auto allowed = auth::parse_require_auth(list);
    if (!allowed || list.empty()) return;
    const auto named = [&](auth::method of) {
        const std::string text = std::string(",!").append(auth::text(of)).append(",");
        const std::string padded = std::string(",").append(list).append(",");
        return padded.find(list.front() == '!' ? text : "," + text.substr(2)) != std::string::npos;
    };
    for (int i = 0; i <= static_cast<int>(auth::method::oauth); ++i) {
        const auto each = static_cast<auth::method>(i);
        check(allowed->allows(each) == (named(each) != (list.front() == '!')), "as it is named");
    }
}

} // namespace

// The first byte chooses the part; an exchange has its two messages on two lines.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view text = as_text(std::as_bytes(std::span(data + 1, size - 1)));
    switch (data[0]) {
    case 'M':
        if (!text.empty()) mechanisms(static_cast<std::uint8_t>(text.front()), text.substr(1));
        break;
    case 'V': verifier(text); break;
    case 'R': require_auth(text); break;
    default: {
        const std::size_t line = text.find('\n');
        const bool two = line != std::string_view::npos;
        exchange(data[0] == 'P', text.substr(0, line), two ? text.substr(line + 1) : "");
    }
    }
    return 0;
}
