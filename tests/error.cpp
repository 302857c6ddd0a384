#include <walwire/error.hpp>

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <string_view>

using namespace walwire;

namespace {

// Codes are numbered without gaps, so the first one without a text of its own ends them.
int codes() {
    int count = 0;
    while (text(static_cast<errc>(count)) != "unknown error") ++count;
    return count;
}

} // namespace

TEST_CASE("every code has a sentence of its own, without a full stop") {
    std::set<std::string_view> seen;
    for (int i = 0; i < codes(); ++i) {
        const std::string_view sentence = text(static_cast<errc>(i));
        CAPTURE(std::string(sentence));
        CHECK(sentence.size() > 5);
        CHECK(sentence.back() != '.');
        CHECK(sentence.find('\n') == std::string_view::npos);
        CHECK(seen.insert(sentence).second);
    }
    CHECK(codes() > 70);
    CHECK(codes() < 256);
    for (int i = codes(); i < 256; ++i) CHECK(text(static_cast<errc>(i)) == "unknown error");
    static_assert(text(errc::none) == "no error");
    CHECK(static_cast<int>(errc{}) == 0);
}

TEST_CASE("an error is a code at a place") {
    CHECK(error{} == error{errc::none, 0});
    CHECK(error{errc::wal_gap, 7} == error{errc::wal_gap, 7});
    CHECK(error{errc::wal_gap, 7} != error{errc::wal_gap, 8});
    CHECK(error{errc::wal_gap, 7} != error{errc::wal_overlap, 7});
}

TEST_CASE("a result is a value or the code that says why there is none") {
    constexpr result<int> value = 7;
    static_assert(value && *value == 7 && value.code() == errc::none);
    constexpr result<int> none = errc::number_invalid;
    static_assert(!none && none.code() == errc::number_invalid && *none == 0);
    const result<error> inner = error{errc::over, 3};
    CHECK(inner->offset == 3);
    const result<int> nothing_wrong = 0;
    CHECK(static_cast<bool>(nothing_wrong));
}
