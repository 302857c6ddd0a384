#include <walwire/backup/reader.hpp>

#include <doctest/doctest.h>

#include <string>

#include "backup/streams.hpp"
#include "support/prng.hpp"

using namespace streams;

namespace {

const script to_list = position("0/A000028");
script copying() {
    return listed() + opened();
}
script copying_base() {
    return base_listed() + opened() + announced("base.tar", "");
}

} // namespace

TEST_CASE("53: the position comes as one row, or the answer is none") {
    CHECK(heard(typed, completed()) == refusal(errc::answer_invalid));
    CHECK(outcome(typed, row({"0/1", "1"}) + row({"0/1", "1"})) ==
          refusal(errc::unexpected_message));
    CHECK(heard(typed, row({"01", "1"})) == refusal(errc::lsn_invalid));
    CHECK(heard(typed, row({"0/1", "0"})) == refusal(errc::timeline_invalid));
    CHECK(heard(typed, row({null, "1"})) == refusal(errc::answer_invalid));
    CHECK(heard(typed, opened()) == refusal(errc::unexpected_message));
    CHECK(heard(typed, closed()) == refusal(errc::unexpected_message));
    CHECK(heard(typed, data("x")) == refusal(errc::unexpected_message));
    CHECK(outcome(typed, row({"0/1", "1"}) + opened()) == refusal(errc::unexpected_message));
}

TEST_CASE("67: the list has the base directory once and last, and every tablespace once") {
    const script base = row({null, null, null});
    CHECK(outcome(typed, to_list + completed()) == refusal(errc::tablespace_invalid));
    CHECK(outcome(typed, to_list + row({"1", "/t", null}) + completed()) ==
          refusal(errc::tablespace_invalid));
    CHECK(outcome(typed, to_list + base + base) == refusal(errc::tablespace_invalid));
    CHECK(outcome(typed, to_list + base + row({"1", "/t", null})) ==
          refusal(errc::tablespace_invalid));
    CHECK(outcome(typed, to_list + row({"1", "/t", null}) + row({"1", "/u", null})) ==
          refusal(errc::tablespace_invalid));
    CHECK(outcome(typed, to_list + row({"0", "/t", null})) == refusal(errc::tablespace_invalid));
    CHECK(outcome(typed, to_list + row({"1", "../t", null})) == refusal(errc::tablespace_invalid));
    CHECK(outcome(typed, to_list + row({"1", "/t\n", null})) == refusal(errc::tablespace_invalid));
    CHECK(outcome(typed, to_list + row({null, null, "-1"})) == refusal(errc::tablespace_invalid));
    CHECK(outcome(typed, to_list + row({"1", "/t"})) == refusal(errc::tablespace_invalid));
    CHECK(
        outcome(typed, to_list + row({"1", "/t", null, null})).starts_with("tablespace 0 1 '/t'"));
    CHECK(outcome(typed, to_list + base + opened()) == refusal(errc::unexpected_message));
}

TEST_CASE("a typed copy holds only what is known") {
    for (int c = 0; c < 256; ++c) {
        if (c == 'd' || c == 'n' || c == 'm' || c == 'p') continue;
        CHECK(outcome(typed, copying() + message(std::string(1, static_cast<char>(c)) + "x")) ==
              refusal(errc::backup_stream_malformed));
    }
    CHECK(outcome(typed, copying() + message(""sv)) == refusal(errc::backup_stream_malformed));
    CHECK(outcome(typed, copying_base() + message(""sv)) == refusal(errc::backup_stream_malformed));
}

TEST_CASE("68: announcements without their NULs, with bytes behind, or too long") {
    for (const std::string_view body :
         {"n"sv, "nbase.tar"sv, "nbase.tar\0"sv, "nbase.tar\0x"sv, "n16392.tar\0/ts"sv,
          "n16392.tar\0/ts\0x"sv, "nbase.tar\0\0\0"sv, "n\0"sv})
        CHECK(outcome(typed, copying() + message(body)) == refusal(errc::backup_stream_malformed));
    CHECK(outcome(typed, copying() + announced(std::string(2000, 'a'), "/ts")) ==
          refusal(errc::backup_stream_malformed));
    CHECK(outcome(typed, copying() + message("n" + std::string(3000, 'a'))) ==
          refusal(errc::backup_stream_malformed));
    // The bound itself, NULs included, and a byte beyond; a path of that length was listed.
    for (const std::size_t more : {0u, 1u}) {
        const std::string path =
            "/" + std::string(backup::stream_reader::announcement_size_max - 10 - 2 + more, 'p');
        const script said = to_list + row({"16392", path, null}) + row({null, null, null}) +
                            completed() + opened() + announced("16392.tar", path);
        CHECK(outcome(typed, said) ==
              (more == 0 ? "archive 0 16392.tar\n" : refusal(errc::backup_stream_malformed)));
    }
}

TEST_CASE("68: names that are no archive's, and archives that are not in the list") {
    for (const std::string_view name : {"", "../x", "/base.tar", "base", "16392.tar.Z", "con", "."})
        CHECK(outcome(typed, copying() + announced(name, "/ts")) ==
              refusal(errc::archive_name_invalid));
    CHECK(outcome(typed, copying() + announced("16393.tar", "/ts")) ==
          refusal(errc::archive_unexpected));
    for (const std::string_view path : {"", "/t", "/ts/", "/ts ", "/TS", "../ts", "/ts/../ts"})
        CHECK(outcome(typed, copying() + announced("16392.tar", path)) ==
              refusal(errc::archive_unexpected));
    CHECK(outcome(typed, copying() + announced("base.tar", "/ts")) ==
          refusal(errc::archive_unexpected));
    CHECK(outcome(typed, copying() + announced("base.tar", "") + announced("base.tar", "")) ==
          refusal(errc::archive_unexpected));
    CHECK(outcome(typed,
                  copying() + announced("16392.tar", "/ts") + announced("16392.tar.gz", "/ts")) ==
          refusal(errc::archive_unexpected));
}

TEST_CASE("67, 68: what is refused is named, however it came") {
    const auto refused = [](const script& said) {
        std::string whole, cut;
        play(
            typed, said, [](std::size_t) { return std::vector<std::size_t>(); }, &whole);
        play(
            typed, said, [](std::size_t size) { return std::vector<std::size_t>{size / 2}; }, &cut);
        CHECK(whole == cut);
        return whole;
    };
    CHECK(refused(to_list + row({"1", "../t", null})) == "../t");
    CHECK(refused(to_list + row({"1", "/t\n", null})) == "/t\n");
    CHECK(refused(to_list + row({"x", "/t", null})) == "/t");
    CHECK(refused(to_list + row({"1", null, null})) == "1");
    CHECK(refused(to_list + row({null, null, "-1"})).empty());
    CHECK(refused(to_list + row({"1", "/t", null}) + row({"1", "/u", null})) == "/u");
    CHECK(refused(copying() + announced("../x", "/ts")) == "../x");
    CHECK(refused(copying() + announced("16393.tar", "/ts")) == "16393.tar");
    CHECK(refused(copying() + announced("16392.tar", "/tz")) == "16392.tar");
    CHECK(refused(copying() + announced("16392.tar", "/ts") + announced("16392.tar.gz", "/ts")) ==
          "16392.tar.gz");
    CHECK(refused(copying() + closed()).empty());
    CHECK(refused(copying() + message("x")).empty());
    // As much of it as there is room for; it may stand in that room.
    const std::size_t room = backup::stream_reader::announcement_size_max;
    const std::string long_path(room + 10, 'p');
    CHECK(refused(to_list + row({"1", long_path, null})) == long_path.substr(10));
    const std::string long_name(room - 2, 'n');
    CHECK(refused(copying() + announced(long_name, "")) == long_name);
}

TEST_CASE("68: data before an archive, the manifest too early, twice or unasked") {
    CHECK(outcome(typed, copying() + data("x")) == refusal(errc::archive_unexpected));
    CHECK(outcome(typed, copying() + data("")) == refusal(errc::archive_unexpected));
    CHECK(outcome(typed_manifest, copying() + manifest()) == refusal(errc::archive_unexpected));
    CHECK(outcome(typed_manifest, copying() + announced("base.tar", "") + manifest()) ==
          refusal(errc::archive_unexpected));
    CHECK(outcome(typed, copying_base() + manifest()) == refusal(errc::archive_unexpected));
    const script opens = copying_base() + manifest();
    CHECK(outcome(typed_manifest, opens) == "manifest\n");
    CHECK(outcome(typed_manifest, opens + manifest()) == refusal(errc::archive_unexpected));
    CHECK(outcome(typed_manifest, opens + announced("base.tar", "")) ==
          refusal(errc::archive_unexpected));
    CHECK(outcome(typed_manifest, copying_base() + message("mx")) ==
          refusal(errc::backup_stream_malformed));
    CHECK(outcome(typed_manifest, copying_base() + message("m" + std::string(2000, 'x'))) ==
          refusal(errc::backup_stream_malformed));
}

TEST_CASE("73: progress is eight bytes") {
    for (const std::size_t size : {0u, 1u, 7u, 9u, 16u, 2000u})
        CHECK(outcome(typed, copying() + message("p" + std::string(size, '\1'))) ==
              refusal(errc::backup_stream_malformed));
}

TEST_CASE("60: a copy that ends early, a second one, and too few or too many") {
    CHECK(outcome(typed, copying() + closed()) == refusal(errc::backup_incomplete));
    CHECK(outcome(typed, copying() + announced("base.tar", "") + closed()) ==
          refusal(errc::backup_incomplete));
    CHECK(outcome(typed_manifest, copying_base() + closed()) == refusal(errc::backup_incomplete));
    CHECK(outcome(typed, copying() + opened()) == refusal(errc::unexpected_message));
    CHECK(outcome(typed, copying_base() + closed() + opened()) ==
          refusal(errc::unexpected_message));
    CHECK(outcome(typed, copying_base() + closed() + closed()) ==
          refusal(errc::unexpected_message));
    CHECK(outcome(typed, copying_base() + closed() + data("x")) ==
          refusal(errc::unexpected_message));
    CHECK(outcome(typed, base_listed() + end()) == refusal(errc::backup_incomplete));
    CHECK(outcome(typed, copying() + end()) == refusal(errc::unexpected_message));
    CHECK(outcome(typed, copying() + completed()) == refusal(errc::answer_invalid));

    CHECK(outcome(split, listed() + end()) == refusal(errc::backup_incomplete));
    CHECK(outcome(split, listed() + copied({"x"}) + end()) == refusal(errc::backup_incomplete));
    CHECK(outcome(split, listed() + copied({}) + copied({}) + opened()) ==
          refusal(errc::archive_unexpected));
    CHECK(outcome(split_manifest, base_listed() + copied({}) + end()) ==
          refusal(errc::backup_incomplete));
    CHECK(outcome(split_manifest, base_listed() + copied({}) + copied({}) + opened()) ==
          refusal(errc::archive_unexpected));
    CHECK(outcome(split, listed() + message("x")) == refusal(errc::unexpected_message));
    CHECK(outcome(split, listed() + opened() + opened()) == refusal(errc::unexpected_message));
}

TEST_CASE("72: the end lies at the start or behind it, on its timeline or a later one") {
    const auto ends = [](std::string_view at, std::string_view timeline) {
        return outcome(typed, position("1/A000028", "3") + row({null, null, null}) + completed() +
                                  opened() + announced("base.tar", "") + closed() +
                                  position(at, timeline) + completed());
    };
    CHECK(ends("1/A000028", "3") == "ended 1/A000028 3\n");
    CHECK(ends("2/0", "4") == "ended 2/0 4\n");
    CHECK(ends("1/A000027", "3") == refusal(errc::backup_range_invalid));
    CHECK(ends("0/FFFFFFFF", "4") == refusal(errc::backup_range_invalid));
    CHECK(ends("2/0", "2") == refusal(errc::backup_range_invalid));
    CHECK(ends("2", "3") == refusal(errc::lsn_invalid));
    CHECK(ends("2/0", "0") == refusal(errc::timeline_invalid));
}

TEST_CASE("52: behind the end comes its completion, and the command's") {
    const script all = copying_base() + closed();
    CHECK(outcome(typed, all + completed()) == refusal(errc::answer_invalid));
    CHECK(outcome(typed, all + row({"0/A001010", "1"}) + row({"0/A001010", "1"})) ==
          refusal(errc::unexpected_message));
    CHECK(outcome(typed, all + position("0/A001010")) == "archived 0\n"); // it is not over yet
    CHECK(outcome(typed, all + position("0/A001010") + row({"0/A001010", "1"})) ==
          refusal(errc::unexpected_message));
    CHECK(outcome(typed, all + end() + completed()) == refusal(errc::answer_invalid));
}

TEST_CASE("every byte of every message changed, and the reader ends in an orderly way") {
    const script whole = listed() + opened() + announced("16392.tar", "/ts") + data("x") +
                         progress(1) + announced("base.tar", "") + data("y") + manifest() +
                         data("z") + closed() + end();
    const std::string good = heard(typed_manifest, whole);
    std::size_t same = 0, tried = 0;
    const auto plays = [&](std::size_t at, bytes body) {
        script changed = whole;
        changed[at].body = of(body);
        const auto in_one = [](std::size_t) { return std::vector<std::size_t>(); };
        const auto in_two = [](std::size_t size) {
            return size < 2 ? std::vector<std::size_t>() : std::vector<std::size_t>{size / 2};
        };
        const std::string lines = play(typed_manifest, changed, in_one);
        CHECK(play(typed_manifest, changed, in_two) == lines);
        return lines;
    };
    for (std::size_t i = 0; i < whole.size(); ++i) {
        spelled::each_flip(whole[i].body, [&](bytes flipped) {
            ++tried;
            same += plays(i, flipped) == good;
        });
        spelled::each_truncation(whole[i].body,
                                 [&](bytes shorter) { CHECK(plays(i, shorter) != good); });
    }
    CHECK(tried > 500);
    CHECK(same < tried / 8); // flips to the same value
}

TEST_CASE("any call in any order changes nothing that it should not") {
    support::prng random(67);
    const buffer rows[] = {row_body({"0/1", "1"}), row_body({"0/2", "2"}),
                           row_body({null, null, null}), row_body({"7", "/t", "1"}),
                           row_body({"8", "/u", null})};
    const std::string_view runs[] = {"",
                                     "d",
                                     "dx",
                                     "m",
                                     "p",
                                     "n7.tar\0/t\0"sv,
                                     "nbase.tar\0\0"sv,
                                     "p12345678",
                                     "12345678",
                                     "x",
                                     "8.tar\0/u\0"sv,
                                     "n"};
    std::size_t finished = 0, wrong = 0;
    for (int life = 0; life < 4000; ++life) {
        std::array<listed_tablespace, 2> room{};
        const bool manifest = random.chance(1, 2);
        backup::stream_reader reads(
            random.chance(1, 2) ? stream_format::typed : stream_format::split, manifest, room);
        std::size_t started_told = 0, ended_told = 0, open = 0, waiting = 0;
        for (int step = 0; step < 60; ++step) {
            const bool over = reads.over();
            switch (random.below(7)) {
            case 0:
            case 1:
                static_cast<void>(reads.row(*wire::data_row::parse(rows[random.below(5)], 8)));
                break;
            case 2: static_cast<void>(reads.completed()); break;
            case 3: static_cast<void>(reads.copy_opened()); break;
            case 4: static_cast<void>(reads.copy_closed()); break;
            default:
                static_cast<void>(reads.copy(as_bytes(runs[random.below(12)]), random.chance(3, 4),
                                             random.chance(3, 4)));
            }
            wrong += reads.tablespaces() > room.size() || (over && !reads.over());
            waiting = 0;
            if (random.chance(1, 4)) continue;
            while (const auto told = reads.next()) {
                ++waiting;
                started_told += std::holds_alternative<started>(*told);
                ended_told += std::holds_alternative<ended>(*told);
                open += std::holds_alternative<archive_started>(*told);
                open -= std::holds_alternative<archive_ended>(*told);
                wrong += open > 1;
            }
            wrong += waiting > 2;
        }
        wrong += started_told > 1 || ended_told > 1;
        finished += ended_told;
    }
    CHECK(wrong == 0);
    CHECK(finished > 0);
}
