#include <walwire/auth/digest.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <utility>

#include "support/no_alloc.hpp"

using namespace walwire;
using namespace walwire::auth;

namespace {

// A provider that digests nothing and keeps count of what it is asked.
struct provider {
    int alive = 0;
    int begun = 0;
    std::string seen;
    bool begins = true;
    bool updates = true;
    bool finishes = true;
    digest_algorithm algorithm{};

    digests table() {
        digests made;
        made.context = this;
        made.begin = [](void* context, digest_algorithm asked) noexcept -> void* {
            auto& self = *static_cast<provider*>(context);
            self.algorithm = asked;
            if (!self.begins) return nullptr;
            ++self.alive;
            ++self.begun;
            return context;
        };
        made.update = [](void* running, bytes data) noexcept {
            auto& self = *static_cast<provider*>(running);
            self.seen += as_text(data);
            return self.updates;
        };
        made.finish = [](void* running, mutable_bytes out) noexcept {
            auto& self = *static_cast<provider*>(running);
            --self.alive;
            for (std::byte& each : out) each = std::byte{0x5a};
            return self.finishes;
        };
        made.abandon = [](void* running) noexcept { --static_cast<provider*>(running)->alive; };
        return made;
    }
};

using room = std::array<std::byte, digest_size_max>;

} // namespace

TEST_CASE("a digest has the size of its algorithm") {
    CHECK(digest_size(digest_algorithm::sha224) * 8 == 224);
    CHECK(digest_size(digest_algorithm::sha256) * 8 == 256);
    CHECK(digest_size(digest_algorithm::sha384) * 8 == 384);
    CHECK(digest_size(digest_algorithm::sha512) * 8 == 512);
    CHECK(digest_size_max == digest_size(digest_algorithm::sha512));
}

TEST_CASE("a table is offered when all of it is there") {
    provider with;
    CHECK(with.table().offered());
    CHECK(!digests().offered());
    for (int missing = 0; missing < 4; ++missing) {
        digests table = with.table();
        if (missing == 0) table.begin = nullptr;
        if (missing == 1) table.update = nullptr;
        if (missing == 2) table.finish = nullptr;
        if (missing == 3) table.abandon = nullptr;
        running_digest digest;
        CHECK(!table.offered());
        CHECK(digest.begin(table, digest_algorithm::sha256) == errc::crypto_missing);
        CHECK(!digest.running());
    }
    CHECK(with.begun == 0);
}

TEST_CASE("data goes to the provider in order, and the digest comes back") {
    provider with;
    room out{};
    running_digest digest;
    CHECK(digest.begin(with.table(), digest_algorithm::sha384) == errc::none);
    CHECK(with.algorithm == digest_algorithm::sha384);
    CHECK(digest.running());
    CHECK(digest.update(as_bytes("one ")) == errc::none);
    CHECK(digest.update({}) == errc::none);
    CHECK(digest.update(as_bytes("two")) == errc::none);
    CHECK(with.seen == "one two");
    CHECK(digest.finish(mutable_bytes(out).first(48)) == errc::none);
    CHECK(out[47] == std::byte{0x5a});
    CHECK(out[48] == std::byte{0});
    CHECK(!digest.running());
    CHECK(with.alive == 0);
}

TEST_CASE("nothing can be done while nothing runs") {
    room out{};
    running_digest digest;
    CHECK(digest.update(as_bytes("x")) == errc::not_now);
    CHECK(digest.finish(out) == errc::not_now);
    digest.abandon();
    CHECK(!digest.running());
}

TEST_CASE("a room of another size is refused and the digest goes on") {
    provider with;
    room out{};
    running_digest digest;
    CHECK(digest.begin(with.table(), digest_algorithm::sha256) == errc::none);
    CHECK(digest.finish(mutable_bytes(out).first(31)) == errc::argument_invalid);
    CHECK(digest.finish(out) == errc::argument_invalid);
    CHECK(digest.running());
    CHECK(digest.finish(mutable_bytes(out).first(32)) == errc::none);
}

TEST_CASE("a provider that fails leaves nothing behind") {
    room out{};
    const mutable_bytes fitting = mutable_bytes(out).first(28);
    running_digest digest;
    provider begins_not;
    begins_not.begins = false;
    CHECK(digest.begin(begins_not.table(), digest_algorithm::sha224) == errc::crypto_failed);
    CHECK(!digest.running());

    provider updates_not;
    updates_not.updates = false;
    CHECK(digest.begin(updates_not.table(), digest_algorithm::sha224) == errc::none);
    CHECK(digest.update(as_bytes("x")) == errc::crypto_failed);
    CHECK(updates_not.alive == 0);
    CHECK(digest.update(as_bytes("x")) == errc::not_now);
    CHECK(digest.finish(fitting) == errc::not_now);

    provider finishes_not;
    finishes_not.finishes = false;
    CHECK(digest.begin(finishes_not.table(), digest_algorithm::sha224) == errc::none);
    CHECK(digest.finish(fitting) == errc::crypto_failed);
    CHECK(finishes_not.alive == 0);
    CHECK(!digest.running());
}

TEST_CASE("every way out gives the provider its state back once") {
    provider with;
    {
        running_digest digest;
        CHECK(digest.begin(with.table(), digest_algorithm::sha256) == errc::none);
        CHECK(digest.begin(with.table(), digest_algorithm::sha512) == errc::none);
        CHECK(with.alive == 1);
        CHECK(digest.begin(digests(), digest_algorithm::sha512) == errc::crypto_missing);
        CHECK(with.alive == 0);
        CHECK(digest.begin(with.table(), digest_algorithm::sha256) == errc::none);
        digest.abandon();
        digest.abandon();
        CHECK(with.alive == 0);
        CHECK(digest.begin(with.table(), digest_algorithm::sha256) == errc::none);
        CHECK(with.alive == 1);
    }
    CHECK(with.alive == 0);
}

TEST_CASE("a digest can be moved and has one owner") {
    provider with;
    provider other;
    room out{};
    {
        running_digest first;
        CHECK(first.begin(with.table(), digest_algorithm::sha256) == errc::none);
        running_digest second(std::move(first));
        CHECK(second.running());
        CHECK(!first.running());
        running_digest third;
        CHECK(third.begin(other.table(), digest_algorithm::sha256) == errc::none);
        third = std::move(second);
        CHECK(other.alive == 0);
        CHECK(third.update(as_bytes("x")) == errc::none);
        running_digest& same = third;
        third = std::move(same);
        CHECK(third.finish(mutable_bytes(out).first(32)) == errc::none);
    }
    CHECK(with.seen == "x");
    CHECK(with.alive == 0);
    CHECK(with.begun == 1);
}

TEST_CASE("nothing here allocates") {
    provider with;
    const digests table = with.table();
    room out{};
    support::allocations made;
    running_digest digest;
    const bool all = digest.begin(table, digest_algorithm::sha512) == errc::none &&
                     digest.update({}) == errc::none && digest.finish(out) == errc::none;
    CHECK(made.count() == 0);
    CHECK(all);
}
