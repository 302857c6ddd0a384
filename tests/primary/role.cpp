#include <walwire/primary/role.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>

#include "support/no_alloc.hpp"

using namespace walwire;
using namespace walwire::primary;

namespace {

struct outcome {
    errc code;
    std::uint32_t timeline;
    std::string text;
};

outcome prepared(const server_role& at, const wal::history& past, lsn switch_point,
                 timeline_id newest = {}, std::string_view reason = promotion_reason,
                 std::size_t size = 4096) {
    std::array<std::byte, 4096> room;
    writer out(mutable_bytes(room).first(size));
    const auto made = at.prepare_promotion(out, past, switch_point, newest, reason);
    return {made.code(), made ? made->value : 0, std::string(as_text(out.written()))};
}

} // namespace

TEST_CASE("statements write anywhere but on a replica, where only the receiver does") {
    for (const role what : {role::standalone, role::primary, role::replica}) {
        const server_role at(what, {1});
        CHECK(at.what() == what);
        CHECK(at.timeline() == timeline_id{1});
        CHECK(at.may_extend_wal(wal_author::statement) == (what != role::replica));
        CHECK(at.may_extend_wal(wal_author::receiver) == (what == role::replica));
        CHECK(!at.objection(true));
        CHECK(at.objection(false).has_value() == (what == role::replica));
    }
    CHECK(text(role::standalone) == "standalone");
    CHECK(text(role::primary) == "primary");
    CHECK(text(role::replica) == "replica");
}

TEST_CASE("a write on a replica is refused in AionDB's words") {
    const auto refused = server_role(role::replica, {1}).objection(false);
    REQUIRE(refused);
    CHECK(refused->sqlstate == "0A000");
    CHECK(refused->message == "cannot execute write operations on a read-only replica server");
    CHECK(!refused->fatal);
}

TEST_CASE("a replica follows its primary to later timelines, never back") {
    server_role at(role::replica, {3});
    CHECK(at.follow({2}) == errc::timeline_behind);
    CHECK(at.timeline() == timeline_id{3});
    CHECK(at.follow({3}) == errc::none);
    CHECK(at.follow({5}) == errc::none);
    CHECK(at.timeline() == timeline_id{5});
    for (const role what : {role::standalone, role::primary}) {
        server_role other(what, {3});
        CHECK(other.follow({4}) == errc::not_now);
        CHECK(other.timeline() == timeline_id{3});
    }
}

TEST_CASE("a promotion opens the next timeline and writes its history") {
    server_role at(role::replica, {1});
    const outcome first = prepared(at, wal::history(), lsn{0x2309AD0});
    CHECK(first.code == errc::none);
    CHECK(first.timeline == 2);
    CHECK(first.text == "1\t0/2309AD0\tno recovery target specified\n");
    CHECK(at.what() == role::replica);
    CHECK(at.promote({first.timeline}) == errc::none);
    CHECK(at.what() == role::primary);
    CHECK(at.timeline() == timeline_id{2});

    const auto past = wal::history::parse(first.text, {2});
    REQUIRE(past);
    const outcome next =
        prepared(server_role(role::replica, {2}), *past, lsn{0x3000000}, {}, "by hand");
    CHECK(next.timeline == 3);
    CHECK(next.text == first.text + "\n2\t0/3000000\tby hand\n");
    const auto both = wal::history::parse(next.text, {3});
    REQUIRE(both);
    CHECK(both->switch_point({2}) == lsn{0x3000000});
}

TEST_CASE("a promotion in AionDB's dialect writes its last entry as AionDB writes LSNs") {
    const server_role at(role::replica, {1}, dialect::aiondb);
    const outcome first = prepared(at, wal::history(), lsn{10});
    CHECK(first.timeline == 2);
    CHECK(first.text == "1\t0/0000000A\tno recovery target specified\n");
    const auto past = wal::history::parse(first.text, {2});
    REQUIRE(past);
    CHECK(past->objection({1}, lsn{10}) == errc::none);
    CHECK(past->objection({1}, lsn{11}) == errc::timeline_diverged);
    const server_role next(role::replica, {2}, dialect::aiondb);
    CHECK(prepared(next, *past, lsn{0x1'0000'00ab}, {}, "by hand").text ==
          first.text + "\n2\t1/000000AB\tby hand\n");
}

TEST_CASE("the new timeline comes after every known one") {
    const server_role at(role::replica, {1});
    CHECK(prepared(at, wal::history(), lsn{1}, {7}).timeline == 8);
    CHECK(prepared(at, wal::history(), lsn{1}, {1}).timeline == 2);
    const auto past = wal::history::parse("1\t0/1\tx\n", {9});
    REQUIRE(past);
    CHECK(prepared(server_role(role::replica, {9}), *past, lsn{5}, {4}).timeline == 10);
    CHECK(prepared(at, wal::history(), lsn{1}, {UINT32_MAX - 1}).timeline == UINT32_MAX);
    CHECK(prepared(at, wal::history(), lsn{1}, {UINT32_MAX}).code == errc::timeline_invalid);
}

TEST_CASE("a promotion that cannot be is refused and writes nothing") {
    for (const role what : {role::standalone, role::primary}) {
        const outcome refused = prepared(server_role(what, {1}), wal::history(), lsn{1});
        CHECK(refused.code == errc::not_now);
        CHECK(refused.text.empty());
    }
    const server_role at(role::replica, {2});
    CHECK(prepared(at, wal::history(), lsn{1}).code == errc::timeline_mismatch);
    const server_role first(role::replica, {1});
    using namespace std::string_view_literals;
    CHECK(prepared(first, wal::history(), lsn{0}).code == errc::argument_invalid);
    CHECK(prepared(first, wal::history(), lsn{1}, {}, "a\nb").code == errc::argument_invalid);
    CHECK(prepared(first, wal::history(), lsn{1}, {}, "a\0b"sv).code == errc::argument_has_nul);
    CHECK(prepared(first, wal::history(), lsn{1}, {}, std::string(961, 'x')).code ==
          errc::argument_too_long);
    CHECK(prepared(first, wal::history(), lsn{1}, {}, "x", 5).code == errc::argument_too_long);
}

TEST_CASE("only a replica is promoted, and only forward") {
    server_role at(role::replica, {3});
    CHECK(at.promote({3}) == errc::timeline_invalid);
    CHECK(at.promote({2}) == errc::timeline_invalid);
    CHECK(at.what() == role::replica);
    CHECK(at.promote({4}) == errc::none);
    CHECK(at.promote({5}) == errc::not_now);
    server_role alone(role::standalone, {1});
    CHECK(alone.promote({2}) == errc::not_now);
    CHECK(alone.what() == role::standalone);
}

TEST_CASE("a promotion does not allocate") {
    server_role at(role::replica, {1});
    std::array<std::byte, 256> room;
    const wal::history past;
    const support::allocations before;
    writer out(room);
    const auto next = at.prepare_promotion(out, past, lsn{1});
    const errc done = at.promote(*next);
    const auto count = before.count();
    CHECK(count == 0);
    CHECK(done == errc::none);
}
