#include <walwire/replica/connecting.hpp>

#include <doctest/doctest.h>

#include <array>
#include <type_traits>

#include <walwire/replica/base_backup.hpp>
#include <walwire/replica/wal_receiver.hpp>

using namespace walwire;
using namespace walwire::replica;

namespace {

// A machine that does nothing by itself.
struct bare : connecting {
    bare() : connecting({stash, out}) {}
    using connecting::admitted_;
    using connecting::alternative_;
    using connecting::close;
    using connecting::connect_by_;
    using connecting::connection_;
    using connecting::note;
    using connecting::open;
    using connecting::prepare;
    using connecting::reason_;
    using connecting::try_alternative;
    using connecting::why;

    std::array<std::byte, stash_size> stash{};
    std::array<std::byte, out_size> out{};
};

options chosen() {
    options made;
    made.user = "u";
    made.tls = encryption::offered;
    return made;
}

} // namespace

static_assert(std::is_base_of_v<connecting, wal_receiver>);
static_assert(std::is_base_of_v<connecting, base_backup>);

TEST_CASE("without a connection every verb is harmless") {
    bare machine;
    machine.finish();
    machine.consume(1);
    machine.disconnected();
    CHECK(machine.output().empty());
    CHECK(machine.connection() == nullptr);
    CHECK(machine.secured() == errc::not_now);
    CHECK(machine.give_password("p") == errc::not_now);
    CHECK_FALSE(machine.close()); // nobody was asked for a transport
}

TEST_CASE("a transport that was asked for is closed once") {
    bare machine;
    machine.prepare(chosen(), {}, 7);
    CHECK(machine.connect_by_ == 7 + 5 * second);
    machine.open();
    CHECK(machine.connection() != nullptr);
    CHECK(machine.close());
    CHECK(machine.connection() == nullptr);
    CHECK_FALSE(machine.close());
}

TEST_CASE("why a connection ended is what failed here and what the server said") {
    bare machine;
    machine.prepare(chosen(), {}, 0);
    CHECK(machine.why().sqlstate.empty());
    machine.note({false, "57P03", "the database system is starting up", {}});
    machine.reason_ = {errc::connection_lost, 12};
    CHECK(machine.why().sqlstate == "57P03");
    machine.note({false, "short", "", {}});
    machine.note({false, "", "", {}}); // says nothing, and takes nothing back
    CHECK(machine.why().sqlstate == "short");
    CHECK(machine.why().reason == error{errc::connection_lost, 12});
    machine.prepare(chosen(), {}, 0);
    CHECK(machine.why().sqlstate.empty());
    CHECK(machine.why().reason.code == errc::none);
}

TEST_CASE("the other encryption is tried once, and only where a server turned us away for it") {
    const auto after = [](errc reason, bool admitted, std::optional<encryption> other) {
        bare machine;
        machine.prepare(chosen(), other, 0);
        machine.reason_ = {reason, 0};
        machine.admitted_ = admitted;
        return machine.try_alternative(other);
    };
    CHECK(after(errc::none, false, encryption::off));
    CHECK(after(errc::encryption_refused, false, encryption::off));
    CHECK_FALSE(after(errc::none, true, encryption::off));
    CHECK_FALSE(after(errc::none, false, std::nullopt));
    CHECK_FALSE(after(errc::bytes_before_encryption, false, encryption::off));

    bare machine;
    machine.prepare(chosen(), encryption::off, 0);
    CHECK(machine.connection_.tls == encryption::offered);
    REQUIRE(machine.try_alternative(encryption::off));
    machine.prepare(chosen(), encryption::off, 0);
    CHECK(machine.connection_.tls == encryption::off);
    CHECK_FALSE(machine.try_alternative(encryption::off));
}
