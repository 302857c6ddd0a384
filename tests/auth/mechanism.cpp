#include <walwire/auth/mechanism.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using namespace walwire;
using auth::channel_binding_flag;
using policy = auth::channel_binding_policy;

namespace {

using namespace std::string_view_literals;

constexpr auto plain = "SCRAM-SHA-256\0\0"sv;
constexpr auto both = "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"sv;
constexpr auto plus_alone = "SCRAM-SHA-256-PLUS\0\0"sv;

struct link {
    bool encrypted, binding;
};
constexpr link open{false, false}, bare_tls{true, false}, tls{true, true};

auto choose(std::string_view list, link on, policy by) {
    return auth::choose_mechanism(as_bytes(list), on.encrypted, on.binding, by);
}

// The flag's letter, in upper case for PLUS, or '-' with the code compared.
void check(std::string_view list, link on, policy by, char expected, errc code = errc::none) {
    const auto chosen = choose(list, on, by);
    CHECK(chosen.code() == code);
    if (!chosen) return;
    CHECK(static_cast<char>(chosen->flag) == expected);
    CHECK(chosen->name ==
          (expected == 'p' ? auth::scram_sha_256_plus_name : auth::scram_sha_256_name));
}

} // namespace

TEST_CASE("the choice follows the table at the top of the header") {
    constexpr auto mismatch = errc::scram_channel_binding_mismatch;
    constexpr auto missing = errc::channel_binding_missing;
    constexpr auto none = errc::sasl_mechanism_missing;
    for (const policy by : {policy::disable, policy::prefer, policy::require}) {
        check(both, open, by, '-', mismatch);
        check(plus_alone, open, by, '-', mismatch);
        // Binding data without encryption is a caller's error and changes nothing.
        check(both, {false, true}, by, '-', mismatch);
    }
    check(plain, open, policy::disable, 'n');
    check(plain, open, policy::prefer, 'n');
    check(plain, {false, true}, policy::prefer, 'n');
    check(plain, open, policy::require, '-', missing);

    check(both, bare_tls, policy::disable, 'n');
    check(both, bare_tls, policy::prefer, 'n');
    check(both, bare_tls, policy::require, '-', missing);
    check(plain, bare_tls, policy::prefer, 'n');
    check(plain, bare_tls, policy::require, '-', missing);
    check(plus_alone, bare_tls, policy::prefer, '-', none);

    check(plain, tls, policy::disable, 'n');
    check(plain, tls, policy::prefer, 'y');
    check(plain, tls, policy::require, '-', missing);

    check(both, tls, policy::disable, 'n');
    check(both, tls, policy::prefer, 'p');
    check(both, tls, policy::require, 'p');
    check(plus_alone, tls, policy::require, 'p');
    check(plus_alone, tls, policy::disable, '-', none);
}

TEST_CASE("the order of the offer and unknown names do not matter") {
    check("SCRAM-SHA-256\0SCRAM-SHA-256-PLUS\0\0"sv, tls, policy::prefer, 'p');
    check("OAUTHBEARER\0SCRAM-SHA-256\0EXTERNAL\0\0"sv, open, policy::prefer, 'n');
    check("SCRAM-SHA-256\0SCRAM-SHA-256\0\0"sv, open, policy::prefer, 'n');
}

TEST_CASE("an offer of nothing that we speak is refused") {
    for (const auto list : {"\0"sv, "OAUTHBEARER\0\0"sv, "scram-sha-256\0\0"sv, "SCRAM-SHA-1\0\0"sv,
                            "SCRAM-SHA-256 \0\0"sv, "SCRAM-SHA-256-PLU\0\0"sv})
        check(list, tls, policy::prefer, '-', errc::sasl_mechanism_missing);
}

TEST_CASE("a list that does not end, or ends too early, is malformed") {
    for (std::size_t size = 0; size < both.size(); ++size)
        CHECK(choose(both.substr(0, size), tls, policy::prefer).code() == errc::malformed_message);
    check("SCRAM-SHA-256\0\0x"sv, open, policy::prefer, '-', errc::malformed_message);
    check("\0SCRAM-SHA-256\0\0"sv, open, policy::prefer, '-', errc::malformed_message);
    check("SCRAM-SHA-256\0\0\0"sv, open, policy::prefer, '-', errc::malformed_message);
}

TEST_CASE("ten thousand mechanisms are too many, thirty-two are not") {
    const auto offer = [](int count) {
        std::string list;
        for (int i = 1; i < count; ++i) list.append("X\0"sv);
        return list.append(plain);
    };
    check(offer(32), open, policy::prefer, 'n');
    check(offer(33), open, policy::prefer, '-', errc::too_many);
    check(offer(10'000), open, policy::prefer, '-', errc::too_many);
}

TEST_CASE("each flag has its words") {
    CHECK(auth::gs2_header(channel_binding_flag::none) == "n,,");
    CHECK(auth::gs2_header(channel_binding_flag::not_offered) == "y,,");
    CHECK(auth::gs2_header(channel_binding_flag::bound) == "p=tls-server-end-point,,");
}
