#include <walwire/primary/answer.hpp>

#include <doctest/doctest.h>

#include <string>

#include "wire/spelled.hpp"

using namespace walwire;
using namespace std::literals;
using primary::answer_style;
using spelled::buffer;
using spelled::hex;

namespace {

template <class Row>
buffer said(const Row& row, answer_style style) {
    return spelled::written([&](writer& out) { put(out, row, style); });
}
constexpr answer_style of(int version) {
    return {version, dialect::postgres};
}
constexpr answer_style aiondb{18, dialect::aiondb};

// One column of text without modifier, as it stands in a RowDescription behind its name.
const std::string varying = "00 00000000 0000 00000019 ffff ffffffff 0000";
const std::string int8 = "00 00000000 0000 00000014 0008 ffffffff 0000";
const std::string int4 = "00 00000000 0000 00000017 0004 ffffffff 0000";

std::string completed(std::string_view tag) {
    const std::size_t size = tag.size() + 5;
    std::string length = "000000";
    length += "0123456789abcdef"[size / 16];
    length += "0123456789abcdef"[size % 16];
    return "43" + length + "'" + std::string(tag) + "'00";
}

} // namespace

TEST_CASE("IDENTIFY_SYSTEM: the timeline is an int4 before 16 and an int8 from then on") {
    const primary::system_identity row{UINT64_MAX, {3}, lsn{0x1'00000abc}, {}};
    for (const int version : {12, 13, 14, 15, 16, 17, 18}) {
        CAPTURE(version);
        const std::string description = "54 0000006f 0004 'systemid'" + varying + "'timeline'" +
                                        (version >= 16 ? int8 : int4) + "'xlogpos'" + varying +
                                        "'dbname'" + varying;
        const std::string values = "44 00000030 0004 00000014 '18446744073709551615' 00000001 '3'"
                                   "00000005 '1/ABC' ffffffff";
        const std::string tag = completed(version == 12 ? "SELECT" : "IDENTIFY_SYSTEM");
        CHECK(said(row, of(version)) == hex(description + values + tag));
    }
    const buffer ours = said(primary::system_identity{1, {1}, lsn{0x1'00000abc}, "db"}, aiondb);
    CHECK(spelled::text(ours).find("\0\0\0\x0a"
                                   "1/00000ABC\0\0\0\x02"
                                   "db"s) != std::string::npos);
    CHECK(spelled::text(ours).find(spelled::text(hex(int4))) != std::string::npos);
}

TEST_CASE("AionDB's system identifier may be any text, PostgreSQL's is the number") {
    const primary::system_identity row{77, {1}, lsn{1}, {}, "cluster-a"};
    const std::string ours = spelled::text(said(row, aiondb));
    CHECK(ours.find("\0\0\0\x09"
                    "cluster-a"s) != std::string::npos);
    CHECK(ours.find("\0\0\0\x02"
                    "77"s) == std::string::npos);
    const std::string theirs = spelled::text(said(row, of(18)));
    CHECK(theirs.find("cluster-a") == std::string::npos);
    CHECK(theirs.find("\0\0\0\x02"
                      "77"s) != std::string::npos);
}

TEST_CASE("SHOW: one text, named as the setting") {
    const primary::setting row{"wal_segment_size", "16MB"};
    const std::string both =
        "54 00000029 0001 'wal_segment_size'" + varying + "44 0000000e 0001 00000004 '16MB'";
    CHECK(said(row, of(12)) == hex(both + completed("SELECT")));
    CHECK(said(row, of(13)) == hex(both + completed("SHOW")));
    CHECK(said(row, aiondb) == hex(both + completed("SHOW")));
}

TEST_CASE("TIMELINE_HISTORY: bytea before 14, modifiers 0 before 16, the content follows") {
    const buffer content(5, std::byte{'x'});
    const primary::history_content row{{2}, content};
    for (const int version : {12, 13, 14, 15, 16, 17, 18}) {
        CAPTURE(version);
        const buffer made =
            spelled::written([&](writer& out) { put_but_content(out, row, of(version)); });
        const std::string modifier = version < 16 ? "00000000" : "ffffffff";
        const std::string type = version < 14 ? "00000011" : "00000019";
        CHECK(made == hex("54 0000003b 0002 'filename' 00 00000000 0000 00000019 ffff" + modifier +
                          "0000 'content' 00 00000000 0000" + type + "ffff" + modifier + "0000" +
                          "44 00000023 0002 00000010 '00000002.history' 00000005"));
    }
}

TEST_CASE("CREATE_REPLICATION_SLOT and READ_REPLICATION_SLOT") {
    const std::string four = "54 00000085 0004 'slot_name'" + varying + "'consistent_point'" +
                             varying + "'snapshot_name'" + varying + "'output_plugin'" + varying;
    CHECK(said(primary::created_slot{"s", {}, {}, {}}, of(18)) ==
          hex(four + "44 0000001a 0004 00000001 's' 00000003 '0/0' ffffffff ffffffff" +
              completed("CREATE_REPLICATION_SLOT")));
    CHECK(said(primary::created_slot{"s", lsn{0x10}, "snap", "p"}, of(12)) ==
          hex(four + "44 00000020 0004 00000001 's' 00000004 '0/10' 00000004 'snap' 00000001 'p'" +
              completed("SELECT")));
    const std::string three = "54 0000005e 0003 'slot_type'" + varying + "'restart_lsn'" + varying +
                              "'restart_tli'" + int8;
    const std::string tag = completed("READ_REPLICATION_SLOT");
    CHECK(said(primary::slot_state{}, of(18)) ==
          hex(three + "44 00000012 0003 ffffffff ffffffff ffffffff" + tag));
    CHECK(said(primary::slot_state{true, {}, {}}, of(18)) ==
          hex(three + "44 0000001a 0003 00000008 'physical' ffffffff ffffffff" + tag));
    CHECK(said(primary::slot_state{true, lsn{0x20}, {3}}, of(18)) ==
          hex(three + "44 0000001f 0003 00000008 'physical' 00000004 '0/20' 00000001 '3'" + tag));
}

TEST_CASE("the end of a timeline says where to go on") {
    CHECK(spelled::written([](writer& out) { put_next_timeline(out, {4}, lsn{0x300}, of(18)); }) ==
          hex("54 00000045 0002 'next_tli'" + int8 + "'next_tli_startpos'" + varying +
              "44 00000014 0002 00000001 '4' 00000005 '0/300'"));
}
