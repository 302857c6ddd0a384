#include <walwire/session.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <variant>

#include <walwire/replica/session.hpp>
#include <walwire/replica/wal_receiver.hpp>

using namespace walwire;

namespace {

// The smallest machine that keeps the contract: it echoes what it reads, in runs.
class echo {
  public:
    struct closed {};
    using event = std::variant<bytes, closed>;

    std::optional<event> poll(bytes& in, instant) noexcept {
        if (over_) {
            in = {};
            return std::nullopt;
        }
        if (!in.empty()) {
            const bytes all = in;
            in = {};
            return event(all);
        }
        if (!finished_) return std::nullopt;
        over_ = true;
        return event(closed{});
    }
    void finish() noexcept { finished_ = true; }
    std::int64_t deadline() const noexcept { return over_ || !finished_ ? never : INT64_MIN; }
    gather output() const noexcept { return {}; }
    void consume(std::size_t) noexcept {}
    bool over() const noexcept { return over_; }

  private:
    bool finished_ = false;
    bool over_ = false;
};

struct may_throw : echo {
    void finish() {}
};
struct other_deadline : echo {
    int deadline() const noexcept { return 0; }
};
struct loose_output : echo {
    bytes output() const noexcept { return {}; }
};
struct writes_its_output : echo {
    gather output() noexcept { return {}; }
};
struct no_event {
    void finish() noexcept {}
};

} // namespace

static_assert(session<echo>);
static_assert(session<replica::session>);
static_assert(session<replica::wal_receiver>);
static_assert(!session<may_throw>, "every verb is noexcept");
static_assert(!session<other_deadline>, "a deadline is 64 bits of microseconds");
static_assert(!session<loose_output>, "output may have a body");
static_assert(!session<writes_its_output>, "output is const");
static_assert(!session<no_event>);

TEST_CASE("the adapter's loop in the header works as it stands") {
    std::string seen;
    echo machine;
    const std::array<std::string_view, 3> reads = {"one", "two", ""};
    std::size_t at = 0;
    bytes in;
    for (int turn = 0;; ++turn) {
        REQUIRE(turn < 10);
        while (auto event = machine.poll(in, instant{})) {
            if (const auto* run = std::get_if<bytes>(&*event)) seen += std::string(as_text(*run));
        }
        for (auto out = machine.output(); !out.empty(); out = machine.output())
            machine.consume(out.size());
        if (machine.over()) break;
        CHECK(in.empty());
        in = as_bytes(reads[at++]);
        if (in.empty()) machine.finish();
    }
    CHECK(seen == "onetwo");
    CHECK(machine.deadline() == never);
}

TEST_CASE("what is to be written counts its head and its body") {
    const std::array<std::byte, 5> data{};
    const bytes all = data;
    CHECK(gather{}.empty());
    CHECK(gather{}.size() == 0);
    CHECK(!gather{all, {}}.empty());
    CHECK(!gather{{}, all}.empty());
    CHECK(gather{all.first(2), all}.size() == 7);
}
