#include <walwire/backup/reader.hpp>

#include <doctest/doctest.h>

#include <string>

#include "backup/streams.hpp"
#include "support/no_alloc.hpp"

using namespace streams;

static_assert(std::is_trivially_copyable_v<reader_event>);

TEST_CASE("up to 14 each archive has a copy, in the order of the list") {
    const script said = listed() + copied({"one", "", "two"}) + copied({"base"}) + end();
    CHECK(heard(split, said) == "started 0/A000028 1\n"
                                "tablespace 0 16392 '/ts' 234\n"
                                "tablespace 1 0 '' 8655\n"
                                "archive 0 16392.tar\n"
                                "data onetwo\n"
                                "archived 0\n"
                                "archive 1 base.tar\n"
                                "data base\n"
                                "archived 1\n"
                                "ended 0/A001010 1\n");
}

TEST_CASE("13 and 14 send the manifest as one copy more, if it was asked for") {
    const script said = base_listed() + copied({"base"}) + copied({"{ \"a", "\" }\n"}) + end();
    CHECK(heard(split_manifest, said) == "started 0/A000028 1\n"
                                         "tablespace 0 0 ''\n"
                                         "archive 0 base.tar\n"
                                         "data base\n"
                                         "archived 0\n"
                                         "manifest\n"
                                         "data { \"a\" }\n\n"
                                         "manifest is whole\n"
                                         "ended 0/A001010 1\n");
    CHECK(outcome(split, said) == refusal(errc::archive_unexpected));
}

TEST_CASE("from 15 on one copy holds all, and every message says what it is") {
    const script said = listed() + opened() + announced("16392.tar", "/ts") + data("one") +
                        progress(3) + data("") + data("two") + progress(142) +
                        announced("base.tar.gz", "") + data("base") + progress(9000) + manifest() +
                        data("{ ") + data("}\n") + closed() + end();
    CHECK(heard(typed_manifest, said) == "started 0/A000028 1\n"
                                         "tablespace 0 16392 '/ts' 234\n"
                                         "tablespace 1 0 '' 8655\n"
                                         "archive 0 16392.tar\n"
                                         "data one\n"
                                         "progress 3\n"
                                         "data two\n"
                                         "progress 142\n"
                                         "archived 0\n"
                                         "archive 1 base.tar.gz\n"
                                         "data base\n"
                                         "progress 9000\n"
                                         "archived 1\n"
                                         "manifest\n"
                                         "data { }\n\n"
                                         "manifest is whole\n"
                                         "ended 0/A001010 1\n");
}

TEST_CASE("without a manifest the end of the copy ends the last archive") {
    const script said =
        base_listed() + opened() + announced("base.tar", "") + data("x") + closed() + end();
    CHECK(heard(typed, said) == "started 0/A000028 1\ntablespace 0 0 ''\narchive 0 base.tar\n"
                                "data x\narchived 0\nended 0/A001010 1\n");
}

TEST_CASE("the messages as 15.20 sent them") {
    // n "16392.tar" "/tmp/pgt/15/ts1", p 0x8e00, and what follows them.
    const buffer n = spelled::hex("6e31363339322e746172002f746d702f7067742f31352f74733100");
    const buffer p = spelled::hex("700000000000008e00");
    const script said = position("0/900028") + row({"16392", "/tmp/pgt/15/ts1", "234"}) +
                        row({null, null, "8126"}) + completed() + opened() + message(n) +
                        data("PG_15_202209061/") + message(p) + announced("base.tar", "") +
                        closed() + end();
    CHECK(heard(typed, said)
              .find("archive 0 16392.tar\ndata PG_15_202209061/\nprogress 36352\n"
                    "archived 0\narchive 1 base.tar\narchived 1\nended") != std::string::npos);
}

TEST_CASE("archives of 15 and later may come in any order, and need hold no data") {
    // As where the backup goes to another target.
    const script said = listed() + opened() + announced("base.tar", "") + progress(0) +
                        announced("16392.tar.zst", "/ts") + progress(1) + manifest() + closed() +
                        end();
    CHECK(heard(typed_manifest, said)
              .ends_with("archive 0 16392.tar.zst\nprogress 1\narchived 0\nmanifest\n"
                         "manifest is whole\nended 0/A001010 1\n"));
}

TEST_CASE("73: progress that jumps, falls or is negative is told and means nothing") {
    const script before = base_listed() + opened();
    CHECK(heard(typed, before + progress(7)).ends_with("progress 7\n"));
    CHECK(heard(typed, before + progress(INT64_MAX) + progress(1))
              .ends_with("progress 9223372036854775807\nprogress 1\n"));
    CHECK(heard(typed, before + progress(UINT64_MAX)).ends_with("progress 0\n"));
    CHECK(heard(typed, before + progress(1ull << 63)).ends_with("progress 0\n"));
}

TEST_CASE("the list may be as long as the room for it") {
    const auto with = [](std::size_t count) {
        script said = position("0/1");
        for (std::size_t i = 1; i < count; ++i) {
            const std::string oid = std::to_string(16384 + i);
            said = said + row({oid, "/t" + oid, "1"});
        }
        return said + row({null, null, "1"});
    };
    for (const std::size_t room : {1u, 2u, 40u}) {
        const choice chosen{stream_format::typed, false, room};
        CHECK(outcome(chosen, with(room)).starts_with("tablespace "));
        CHECK(outcome(chosen, with(room + 1)) == refusal(errc::too_many));
    }
    CHECK(outcome({stream_format::typed, false, 0}, with(1)) == refusal(errc::too_many));
}

TEST_CASE("what a part led to is taken before the next part is") {
    std::array<listed_tablespace, 4> room{};
    backup::stream_reader reads(stream_format::typed, true, room);
    const auto give = [&](const script& said) {
        const auto row = wire::data_row::parse(said[0].body, 8);
        return reads.row(*row);
    };
    CHECK(give(row({"0/1", "1"})) == errc::none);
    CHECK(give(row({"0/1", "1"})) == errc::not_now);
    CHECK(reads.completed() == errc::not_now);
    CHECK(reads.copy_opened() == errc::not_now);
    CHECK(reads.copy_closed() == errc::not_now);
    CHECK(reads.copy(as_bytes("d"), true, true) == errc::not_now);
    CHECK(reads.next());
    CHECK(!reads.next());
    CHECK(reads.completed() == errc::none);
    CHECK(give(row({null, null, null})) == errc::none);
    CHECK(reads.tablespaces() == 1);
    CHECK(reads.completed() == errc::not_now);
    CHECK(reads.next());
    CHECK(reads.completed() == errc::none);
    CHECK(reads.copy_opened() == errc::none);
    // Two events at once: the archive ends, the manifest begins.
    CHECK(reads.copy(as_bytes("nbase.tar\0\0"sv), true, true) == errc::none);
    CHECK(reads.next());
    CHECK(reads.copy(as_bytes("m"), true, true) == errc::none);
    CHECK(std::holds_alternative<archive_ended>(*reads.next()));
    CHECK(reads.copy(as_bytes("d"), true, true) == errc::not_now);
    CHECK(std::holds_alternative<manifest_opened>(*reads.next()));
    CHECK(!reads.next());
    CHECK(reads.copy_closed() == errc::none);
    CHECK(!reads.over());
    CHECK(reads.next());
    CHECK(give(row({"0/2", "1"})) == errc::none);
    CHECK(!reads.next()); // only the completion makes it true
    CHECK(reads.completed() == errc::none);
    CHECK(reads.completed() == errc::none);
    CHECK(!reads.over());
    CHECK(std::holds_alternative<ended>(*reads.next()));
    CHECK(reads.over());
    for (int i = 0; i < 3; ++i) CHECK(reads.completed() == errc::answer_invalid);
    CHECK(give(row({"0/2", "1"})) == errc::unexpected_message);
    CHECK(reads.copy_opened() == errc::unexpected_message);
    CHECK(reads.copy_closed() == errc::unexpected_message);
    CHECK(reads.over());
}

TEST_CASE("nothing is allocated, and bytes pass through as they lie there") {
    std::array<listed_tablespace, 2> room{};
    const buffer at = row_body({"0/1", "1"}), base = row_body({null, null, null});
    const buffer announces = of("nbase.tar\0\0"sv), content = of("dabcdef"sv);
    const auto position = *wire::data_row::parse(at, 8);
    const auto last = *wire::data_row::parse(base, 8);
    const support::allocations made;
    backup::stream_reader reads(stream_format::typed, false, room);
    bool good = reads.row(position) == errc::none && reads.next();
    good = good && reads.completed() == errc::none;
    good = good && reads.row(last) == errc::none && reads.next();
    good = good && reads.completed() == errc::none && reads.copy_opened() == errc::none;
    good = good && reads.copy(bytes(announces).first(4), true, false) == errc::none;
    good = good && reads.copy(bytes(announces).subspan(4), false, true) == errc::none;
    good = good && reads.next();
    good = good && reads.copy(content, true, true) == errc::none;
    const auto told = reads.next();
    const auto count = made.count();
    CHECK(good);
    CHECK(count == 0);
    REQUIRE(told);
    CHECK(std::get<archive_data>(*told).data.data() == content.data() + 1);
}
