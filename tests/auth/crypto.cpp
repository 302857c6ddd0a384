#include <walwire/auth/crypto.hpp>

#include <doctest/doctest.h>

#include <array>
#include <new>

using namespace walwire;

namespace {

// A table that notes its calls and answers as it is told.
struct provider {
    int calls = 0;
    bool answer = true;

    auth::crypto table() {
        auth::crypto made;
        made.context = this;
        made.random = [](void* self, mutable_bytes) noexcept { return called(self); };
        made.md5 = [](void* self, auth::parts, auth::md5_digest&) noexcept { return called(self); };
        made.sha256 = [](void* self, auth::parts, auth::sha256_digest&) noexcept {
            return called(self);
        };
        made.hmac_sha256 = [](void* self, bytes, auth::parts, auth::sha256_digest&) noexcept {
            return called(self);
        };
        made.pbkdf2_sha256 = [](void* self, bytes, bytes, std::uint32_t,
                                auth::sha256_digest&) noexcept { return called(self); };
        return made;
    }

  private:
    static bool called(void* self) noexcept {
        ++static_cast<provider*>(self)->calls;
        return static_cast<provider*>(self)->answer;
    }
};

std::array<errc, 5> all(const auth::crypto& with) {
    auth::md5_digest short_digest;
    auth::sha256_digest digest;
    return {auth::random(with, digest), auth::md5(with, {}, short_digest),
            auth::sha256(with, {}, digest), auth::hmac_sha256(with, {}, {}, digest),
            auth::pbkdf2_sha256(with, {}, {}, 1, digest)};
}

} // namespace

TEST_CASE("a primitive that is not offered is missing") {
    for (const errc code : all(auth::crypto{})) CHECK(code == errc::crypto_missing);
}

TEST_CASE("a primitive that fails says so, one that does not is quiet") {
    provider some;
    for (const errc code : all(some.table())) CHECK(code == errc::none);
    CHECK(some.calls == 5);
    some.answer = false;
    for (const errc code : all(some.table())) CHECK(code == errc::crypto_failed);
    CHECK(some.calls == 10);
}

TEST_CASE("a secret digest is wiped at its end") {
    alignas(auth::secret_digest) std::array<std::byte, sizeof(auth::secret_digest)> place;
    auto* secret = new (place.data()) auth::secret_digest;
    secret->value.fill(std::byte{0x5a});
    CHECK(place[31] == std::byte{0x5a});
    secret->~secret_digest();
    for (const std::byte each : place) CHECK(each == std::byte{0});
}
