#include <walwire/wire/command_parser.hpp>

#include <walwire/wire/command_printer.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "command_random.hpp"
#include "support/guard.hpp"
#include "support/no_alloc.hpp"

using namespace walwire;
using namespace walwire::wire;
using namespace std::string_literals;

namespace {

// A parsed command together with the memory that it points into.
class parse {
  public:
    parse(std::string_view text, int major, dialect spoken = dialect::postgres)
        : text_(text), scratch_(text.size()),
          parsed_(parse_command(text_, scratch_, major, spoken)) {}
    parse(const parse&) = delete;

    explicit operator bool() const { return static_cast<bool>(parsed_); }
    const parsed_command& result() const { return parsed_; }
    const command_error& error() const { return parsed_.error; }

    template <class Command>
    bool is(const Command& expected) const {
        return parsed_ && parsed_.value == command{expected};
    }
    std::string message() const {
        std::array<std::byte, 1024> room;
        writer out(room);
        put(out, parsed_.error);
        return std::string(as_text(out.written()));
    }

  private:
    std::string text_;
    std::vector<char> scratch_;
    parsed_command parsed_;
};

bool parses(std::string_view text, int major) {
    return static_cast<bool>(parse(text, major));
}

struct refusal {
    std::string_view text;
    int since, until;
    errc code;
    std::string_view sqlstate;
    std::size_t offset;
    std::string_view message;
};

void check_refused(const refusal& expected) {
    for (int major = expected.since; major <= expected.until; ++major) {
        CAPTURE(expected.text);
        CAPTURE(major);
        const parse parsed(expected.text, major);
        CHECK_FALSE(parsed);
        CHECK(parsed.error().code == expected.code);
        CHECK(parsed.error().sqlstate == expected.sqlstate);
        CHECK(parsed.error().offset == expected.offset);
        CHECK(parsed.message() == expected.message);
        CHECK(parsed.result().value == command{sql{expected.text}});
    }
}

constexpr auto syntax = errc::command_invalid;

start_logical_replication logical(std::string_view slot, plugin_options options) {
    return {slot, {}, options};
}

} // namespace

TEST_CASE("what PostgreSQL's own programs send is understood") {
    // Blanks are theirs, all of them.
    const auto alone = [](std::string_view text, int major, const command& expected) {
        CAPTURE(text);
        const parse parsed(text, major);
        CHECK(parsed.message() == "");
        CHECK(parsed.result().value == expected);
        CHECK(parsed.result().truncated_identifier.empty());
    };
    alone("IDENTIFY_SYSTEM", 12, identify_system{});
    alone("SHOW data_directory_mode", 18, show{"data_directory_mode"});
    alone("TIMELINE_HISTORY 2", 15, timeline_history{timeline_id{2}});
    alone("START_REPLICATION 0/10000000 TIMELINE 2", 15,
          start_replication{"", {0x10000000}, timeline_id{2}});
    alone("START_REPLICATION SLOT \"sd\" 0/5000000 TIMELINE 1", 15,
          start_replication{"sd", {0x5000000}, timeline_id{1}});
    alone("START_REPLICATION PHYSICAL 0/5000000", 12, start_replication{"", {0x5000000}, {}});
    alone("READ_REPLICATION_SLOT rw_slot", 15, read_replication_slot{"rw_slot"});
    alone("READ_REPLICATION_SLOT \"rw_slot\"", 18, read_replication_slot{"rw_slot"});
    alone("DROP_REPLICATION_SLOT \"rl\"", 14, drop_replication_slot{"rl", false});
    alone("DROP_REPLICATION_SLOT ls_c WAIT", 14, drop_replication_slot{"ls_c", true});
    alone("UPLOAD_MANIFEST", 17, upload_manifest{});
    alone("ALTER_REPLICATION_SLOT n_c (FAILOVER true)", 17,
          alter_replication_slot{"n_c", true, {}});
    alone("ALTER_REPLICATION_SLOT n_b (TWO_PHASE false)", 18,
          alter_replication_slot{"n_b", {}, false});

    create_replication_slot slot{.name = "pg_basebackup_4711", .temporary = true, .plugin = {}};
    slot.reserve_wal = true;
    alone("CREATE_REPLICATION_SLOT \"pg_basebackup_4711\" TEMPORARY PHYSICAL ( RESERVE_WAL)", 15,
          slot);
    alone("CREATE_REPLICATION_SLOT \"pg_basebackup_4711\" TEMPORARY PHYSICAL RESERVE_WAL", 14,
          slot);
    slot = {.name = "rl", .kind = slot_kind::logical, .plugin = "pgoutput"};
    slot.snapshot = slot_snapshot::nothing;
    alone("CREATE_REPLICATION_SLOT \"rl\" LOGICAL \"pgoutput\" ( SNAPSHOT 'nothing')", 15, slot);
    alone("CREATE_REPLICATION_SLOT \"rl\" LOGICAL \"pgoutput\"  NOEXPORT_SNAPSHOT", 13, slot);

    base_backup backup;
    backup.label = "pg_basebackup base backup";
    backup.progress = true;
    backup.checkpoint = backup_checkpoint::fast;
    backup.wait = false;
    backup.manifest = backup_manifest::yes;
    backup.target = "client";
    alone("BASE_BACKUP ( LABEL 'pg_basebackup base backup',  PROGRESS,  CHECKPOINT 'fast',  WAIT 0,"
          "  MANIFEST 'yes',  TARGET 'client')",
          15, backup);
    backup.incremental = true;
    backup.wait = true;
    backup.tablespace_map = true;
    alone("BASE_BACKUP ( INCREMENTAL,  LABEL 'pg_basebackup base backup',  PROGRESS,  CHECKPOINT "
          "'fast',  TABLESPACE_MAP,  MANIFEST 'yes',  TARGET 'client')",
          17, backup);
    backup = {};
    backup.label = "golden";
    backup.progress = true;
    backup.checkpoint = backup_checkpoint::fast;
    backup.wait = false;
    backup.tablespace_map = true;
    alone("BASE_BACKUP  LABEL 'golden'  PROGRESS  FAST  NOWAIT  TABLESPACE_MAP", 12, backup);
    backup.manifest = backup_manifest::yes;
    backup.checksums = manifest_checksums::sha256;
    alone("BASE_BACKUP LABEL 'golden' PROGRESS FAST NOWAIT TABLESPACE_MAP MANIFEST 'yes' "
          "MANIFEST_CHECKSUMS 'SHA256'",
          13, backup);
    backup = {};
    backup.label = "with wal";
    backup.checkpoint = backup_checkpoint::fast;
    backup.wal = true;
    backup.max_rate = 262144;
    backup.verify_checksums = false;
    alone("BASE_BACKUP LABEL 'with wal' FAST WAL MAX_RATE 262144 NOVERIFY_CHECKSUMS", 12, backup);
    alone("BASE_BACKUP ( LABEL 'with wal', CHECKPOINT 'fast', WAL, MAX_RATE 262144, "
          "VERIFY_CHECKSUMS false)",
          18, backup);
    backup = {};
    backup.target = "client";
    backup.compression = backup_compression::gzip;
    backup.compression_detail = "level=1";
    alone("BASE_BACKUP (TARGET 'client', COMPRESSION 'gzip', COMPRESSION_DETAIL 'level=1')", 15,
          backup);

    const std::array<plugin_option, 2> options{
        {{"proto_version", "1"}, {"publication_names", "pub"}}};
    alone("START_REPLICATION SLOT \"s\" LOGICAL 0/0 (\"proto_version\" '1', \"publication_names\" "
          "'pub')",
          12, logical("s", options));
    alone("START_REPLICATION SLOT s LOGICAL 0/0 ", 18, logical("s", {}));
}

TEST_CASE("the first token decides between a command and SQL") {
    for (const std::string_view text : {"",
                                        " ",
                                        ";",
                                        "SELECT 1",
                                        "identify_system",
                                        "Identify_System",
                                        "IDENTIFY_SYSTEMX",
                                        "\"IDENTIFY_SYSTEM\"",
                                        "-- x\nIDENTIFY_SYSTEM",
                                        "/* x */ IDENTIFY_SYSTEM",
                                        "SLOT",
                                        "PHYSICAL 0/0",
                                        "'IDENTIFY_SYSTEM'",
                                        "1",
                                        "0/0",
                                        "(",
                                        ";IDENTIFY_SYSTEM",
                                        "SELECT 1; IDENTIFY_SYSTEM",
                                        "TIMELINE_HISTORY1",
                                        "SELECT 'x",
                                        "x \"",
                                        "\xc3\xa9"}) {
        CAPTURE(text);
        for (int major = 12; major <= 19; ++major) CHECK(parse(text, major).is(sql{text}));
        CHECK(parse(text, 0, dialect::aiondb).is(sql{text}));
    }
}

TEST_CASE("commands of later versions are SQL to an earlier one") {
    for (int major = 12; major <= 19; ++major) {
        CHECK(parse("READ_REPLICATION_SLOT s", major).is(read_replication_slot{"s"}) ==
              (major >= 15));
        CHECK(parse("READ_REPLICATION_SLOT (", major).is(sql{"READ_REPLICATION_SLOT ("}) ==
              (major < 15));
        CHECK(parse("UPLOAD_MANIFEST", major).is(upload_manifest{}) == (major >= 17));
        CHECK(parse("ALTER_REPLICATION_SLOT", major).is(sql{"ALTER_REPLICATION_SLOT"}) ==
              (major < 17));
    }
    CHECK(parse("UPLOAD_MANIFEST", 20).is(upload_manifest{}));
    CHECK(parse("UPLOAD_MANIFEST", 11).is(sql{"UPLOAD_MANIFEST"}));
}

TEST_CASE("white space is what the version takes for it") {
    CHECK(parse(" \t\n\r\fIDENTIFY_SYSTEM \t\n\r\f;\n", 12).is(identify_system{}));
    for (int major = 12; major <= 19; ++major) {
        CHECK(parse("\vIDENTIFY_SYSTEM", major).is(identify_system{}) == (major >= 17));
        CHECK(parses("IDENTIFY_SYSTEM\v", major) == (major >= 17));
        CHECK_FALSE(parses("IDENTIFY_SYSTEM \xa0", major));
    }
}

TEST_CASE("blanks are needed only where tokens would run together") {
    CHECK(parse("DROP_REPLICATION_SLOT\"x\"WAIT;", 14).is(drop_replication_slot{"x", true}));
    CHECK(parse("START_REPLICATION 99/0TIMELINE 9", 14)
              .is(start_replication{"", {0x9900000000}, timeline_id{9}}));
    CHECK_FALSE(parses("START_REPLICATION 99/0AG", 14));
    base_backup backup;
    backup.label = "a";
    backup.max_rate = 32;
    CHECK(parse("BASE_BACKUP MAX_RATE 32LABEL'a'", 14).is(backup));
    backup.max_rate = 0;
    CHECK(parse("BASE_BACKUP(LABEL'a')", 15).is(backup));
    CHECK(parse("BASE_BACKUP (\"label\"\"a\")", 18).is(backup)); // two identifiers, up to 18
    CHECK_FALSE(parses("BASE_BACKUP (\"label\"\"a\")", 19));
}

TEST_CASE("bare identifiers are folded, quoted ones are not") {
    CHECK(parse("DROP_REPLICATION_SLOT MySlot", 15).is(drop_replication_slot{"myslot", false}));
    CHECK(parse("SHOW DateStyle", 15).is(show{"datestyle"}));
    CHECK(parse("SHOW \"DateStyle\"", 15).is(show{"DateStyle"}));
    CHECK(parse("SHOW A . \"b C\" .D", 15).is(show{"a.b C.d"}));
    CHECK(parse("SHOW x$y", 15).is(show{"x$y"}));
    CHECK(parse("SHOW \xc3\x89", 15).is(show{"\xc3\x89"})); // only ASCII letters are folded
    CHECK(parse("SHOW ALL", 15).is(show{"all"}));
    CHECK(parse("SHOW \"a\"\"b\"", 19).is(show{"a\"b"}));
    CHECK_FALSE(parses("SHOW \"a\"\"b\"", 18));
}

TEST_CASE("reserved words depend on the version") {
    const auto reserved = [](std::string_view word, int since, int until) {
        for (int major = 12; major <= 19; ++major) {
            CAPTURE(word);
            CAPTURE(major);
            const bool expected = major >= since && major <= until;
            CHECK(parses("SHOW " + std::string(word), major) == !expected);
            CHECK(parses("SHOW \"" + std::string(word) + '"', major)); // never within quotes
        }
    };
    for (const char* word :
         {"BASE_BACKUP", "IDENTIFY_SYSTEM", "SHOW", "TIMELINE", "START_REPLICATION",
          "CREATE_REPLICATION_SLOT", "DROP_REPLICATION_SLOT", "TIMELINE_HISTORY", "PHYSICAL",
          "LOGICAL", "SLOT", "TEMPORARY", "RESERVE_WAL", "WAIT", "EXPORT_SNAPSHOT",
          "NOEXPORT_SNAPSHOT", "USE_SNAPSHOT"})
        reserved(word, 12, 19);
    for (const char* word : {"LABEL", "PROGRESS", "FAST", "NOWAIT", "MAX_RATE", "WAL",
                             "TABLESPACE_MAP", "NOVERIFY_CHECKSUMS"})
        reserved(word, 12, 14);
    reserved("MANIFEST", 13, 14);
    reserved("MANIFEST_CHECKSUMS", 13, 14);
    reserved("READ_REPLICATION_SLOT", 15, 19);
    reserved("TWO_PHASE", 15, 19);
    reserved("ALTER_REPLICATION_SLOT", 17, 19);
    reserved("UPLOAD_MANIFEST", 17, 19);
    for (const char* word : {"SNAPSHOT", "FAILOVER", "TARGET", "label", "VERIFY_CHECKSUMS"})
        reserved(word, 99, 99);
}

TEST_CASE("identifiers beyond 63 bytes are cut, and that is reported") {
    const std::string longest(63, 'a');
    for (const char* format : {"a", "\"a\""}) {
        const std::string name = format == "a"s ? longest : '"' + longest + '"';
        const parse fits("DROP_REPLICATION_SLOT " + name, 15);
        CHECK(fits.is(drop_replication_slot{longest, false}));
        CHECK(fits.result().truncated_identifier.empty());
    }
    const std::string longer = longest + "A";
    const parse folded("DROP_REPLICATION_SLOT " + longer, 15);
    CHECK(folded.is(drop_replication_slot{longest, false}));
    CHECK(folded.result().truncated_identifier == longer);
    const parse quoted("DROP_REPLICATION_SLOT \"" + longer + "\"", 15);
    CHECK(quoted.is(drop_replication_slot{longest, false}));
    CHECK(quoted.result().truncated_identifier == longer);

    const std::string quotes(126, '"'); // 63 of them
    const parse doubled("SHOW \"" + quotes + "\"", 19);
    CHECK(doubled.is(show{std::string(63, '"')}));
    CHECK(doubled.result().truncated_identifier.empty());
    const parse cut("SHOW \"" + quotes + "b\"", 19);
    CHECK(cut.is(show{std::string(63, '"')}));
    CHECK_FALSE(cut.result().truncated_identifier.empty());
    CHECK(parse(longer, 15).result().truncated_identifier.empty()); // SQL is not ours to judge
}

TEST_CASE("strings know one escape") {
    base_backup backup;
    backup.label = "it's \\ \"x\"";
    CHECK(parse("BASE_BACKUP LABEL 'it''s \\ \"x\"'", 12).is(backup));
    CHECK(parse("BASE_BACKUP (LABEL 'it''s \\ \"x\"')", 15).is(backup));
    backup.label = "";
    CHECK(parse("BASE_BACKUP LABEL ''", 12).is(backup));
    backup.label = "'";
    CHECK(parse("BASE_BACKUP LABEL ''''", 12).is(backup));
    CHECK_FALSE(parses("BASE_BACKUP LABEL '''", 12));
    CHECK_FALSE(parses("BASE_BACKUP LABEL 'a' 'b'", 12));
}

TEST_CASE("positions and timelines are read whole or not at all") {
    CHECK(parse("START_REPLICATION FFFFFFFF/ffffffff", 18)
              .is(start_replication{"", {UINT64_MAX}, {}}));
    CHECK(parse("START_REPLICATION 0/0 TIMELINE 4294967295", 18)
              .is(start_replication{"", {}, timeline_id{4294967295}}));
    CHECK(parse("TIMELINE_HISTORY 0000000000000000000000001", 12)
              .is(timeline_history{timeline_id{1}}));
    for (const refusal& expected : {
             refusal{"START_REPLICATION 123456789/0", 12, 19, errc::lsn_invalid, "42601", 18,
                     "WAL position \"123456789/0\" is out of range"},
             {"START_REPLICATION 0/100000000 TIMELINE 1", 12, 19, errc::lsn_invalid, "42601", 18,
              "WAL position \"0/100000000\" is out of range"},
             {"START_REPLICATION 0x1/0", 12, 19, syntax, "42601", 18,
              "syntax error at or near \"0\""},
             {"START_REPLICATION -1/0", 12, 19, syntax, "42601", 18,
              "syntax error at or near \"-\""},
             {"START_REPLICATION 0/", 12, 19, syntax, "42601", 18, "syntax error at or near \"0\""},
             {"START_REPLICATION /0", 12, 19, syntax, "42601", 18, "syntax error at or near \"/\""},
             {"START_REPLICATION 0 / 0", 12, 19, syntax, "42601", 18,
              "syntax error at or near \"0\""},
             {"START_REPLICATION 0", 12, 19, syntax, "42601", 18, "syntax error at or near \"0\""},
             {"START_REPLICATION G/1", 12, 19, syntax, "42601", 18,
              "syntax error at or near \"G\""},
             {"START_REPLICATION \xd9\xa1/0", 12, 19, syntax, "42601", 18,
              "syntax error at or near \"\xd9\xa1\""},
             {"TIMELINE_HISTORY 0", 12, 19, errc::timeline_invalid, "42601", 17,
              "invalid timeline 0"},
             {"TIMELINE_HISTORY 00", 12, 19, errc::timeline_invalid, "42601", 17,
              "invalid timeline 0"},
             {"TIMELINE_HISTORY 4294967296", 12, 19, errc::timeline_invalid, "42601", 17,
              "invalid timeline 4294967296"},
             {"TIMELINE_HISTORY 99999999999999999999999", 12, 19, errc::timeline_invalid, "42601",
              17, "invalid timeline 99999999999999999999999"},
             {"TIMELINE_HISTORY", 12, 19, syntax, "42601", 16, "syntax error at end of input"},
             {"TIMELINE_HISTORY '1'", 12, 19, syntax, "42601", 17,
              "syntax error at or near \"'1'\""},
             {"START_REPLICATION 0/0 TIMELINE 0", 12, 19, errc::timeline_invalid, "42601", 31,
              "invalid timeline 0"},
             {"START_REPLICATION 0/0 TIMELINE", 12, 19, syntax, "42601", 30,
              "syntax error at end of input"},
         })
        check_refused(expected);
}

TEST_CASE("what breaks the grammar is refused at the token that does") {
    for (const refusal& expected : {
             refusal{"IDENTIFY_SYSTEM x", 12, 19, syntax, "42601", 16,
                     "syntax error at or near \"x\""},
             {"IDENTIFY_SYSTEM;;", 12, 19, syntax, "42601", 16, "syntax error at or near \";\""},
             {"IDENTIFY_SYSTEM; SELECT 1", 12, 19, syntax, "42601", 17,
              "syntax error at or near \"SELECT\""},
             {"IDENTIFY_SYSTEM -- c", 12, 19, syntax, "42601", 16, "syntax error at or near \"-\""},
             {"IDENTIFY_SYSTEM 'x", 12, 19, syntax, "42601", 16, "unterminated quoted string"},
             {"'x", 12, 19, syntax, "42601", 0, "unterminated quoted string"},
             {"  \"x", 12, 19, syntax, "42601", 2, "unterminated quoted string"},
             {"SHOW", 12, 19, syntax, "42601", 4, "syntax error at end of input"},
             {"SHOW a.", 12, 19, syntax, "42601", 7, "syntax error at end of input"},
             {"SHOW .a", 12, 19, syntax, "42601", 5, "syntax error at or near \".\""},
             {"SHOW a b", 12, 19, syntax, "42601", 7, "syntax error at or near \"b\""},
             {"SHOW 'a'", 12, 19, syntax, "42601", 5, "syntax error at or near \"'a'\""},
             {"SHOW 1", 12, 19, syntax, "42601", 5, "syntax error at or near \"1\""},
             {"DROP_REPLICATION_SLOT s wait", 12, 19, syntax, "42601", 24,
              "syntax error at or near \"wait\""},
             {"DROP_REPLICATION_SLOT a.b", 12, 19, syntax, "42601", 23,
              "syntax error at or near \".\""},
             {"DROP_REPLICATION_SLOT A/1", 12, 19, syntax, "42601", 22,
              "syntax error at or near \"A/1\""},
             {"DROP_REPLICATION_SLOT FAST", 12, 14, syntax, "42601", 22,
              "syntax error at or near \"FAST\""},
             {"CREATE_REPLICATION_SLOT s", 12, 19, syntax, "42601", 25,
              "syntax error at end of input"},
             {"CREATE_REPLICATION_SLOT 1x PHYSICAL", 12, 19, syntax, "42601", 24,
              "syntax error at or near \"1\""},
             {"CREATE_REPLICATION_SLOT s PHYSICAL TEMPORARY", 12, 19, syntax, "42601", 35,
              "syntax error at or near \"TEMPORARY\""},
             {"CREATE_REPLICATION_SLOT s PHYSICAL (RESERVE_WAL)", 12, 14, syntax, "42601", 35,
              "syntax error at or near \"(\""},
             {"CREATE_REPLICATION_SLOT s PHYSICAL ()", 15, 19, syntax, "42601", 36,
              "syntax error at or near \")\""},
             {"CREATE_REPLICATION_SLOT s LOGICAL p TWO_PHASE", 12, 14, syntax, "42601", 36,
              "syntax error at or near \"TWO_PHASE\""},
             {"CREATE_REPLICATION_SLOT s LOGICAL 'p'", 12, 19, syntax, "42601", 34,
              "syntax error at or near \"'p'\""},
             {"START_REPLICATION PHYSICAL SLOT s 0/0", 12, 19, syntax, "42601", 27,
              "syntax error at or near \"SLOT\""},
             {"START_REPLICATION LOGICAL 0/0", 12, 19, syntax, "42601", 18,
              "syntax error at or near \"LOGICAL\""},
             {"START_REPLICATION SLOT s LOGICAL 0/0 TIMELINE 1", 12, 19, syntax, "42601", 37,
              "syntax error at or near \"TIMELINE\""},
             {"START_REPLICATION SLOT s LOGICAL 0/0 ()", 12, 19, syntax, "42601", 38,
              "syntax error at or near \")\""},
             {"START_REPLICATION SLOT s LOGICAL 0/0 (a 'x',)", 12, 19, syntax, "42601", 44,
              "syntax error at or near \")\""},
             {"START_REPLICATION SLOT s LOGICAL 0/0 (a b)", 12, 19, syntax, "42601", 40,
              "syntax error at or near \"b\""},
             {"START_REPLICATION SLOT s LOGICAL 0/0 (SLOT '1')", 12, 19, syntax, "42601", 38,
              "syntax error at or near \"SLOT\""},
             {"START_REPLICATION SLOT s LOGICAL 0/0 (\"\" '1')", 12, 19, syntax, "42601", 38,
              "syntax error at or near \"\"\"\""},
             {"START_REPLICATION SLOT s 0/0 (a)", 12, 19, syntax, "42601", 29,
              "syntax error at or near \"(\""},
             {"ALTER_REPLICATION_SLOT s", 17, 19, syntax, "42601", 24,
              "syntax error at end of input"},
             {"UPLOAD_MANIFEST 1", 17, 19, syntax, "42601", 16, "syntax error at or near \"1\""},
             {"BASE_BACKUP (LABEL 'a')", 12, 14, syntax, "42601", 12,
              "syntax error at or near \"(\""},
             {"BASE_BACKUP LABEL 'a'", 15, 19, syntax, "42601", 12,
              "syntax error at or near \"LABEL\""},
             {"BASE_BACKUP LABEL a", 12, 14, syntax, "42601", 18, "syntax error at or near \"a\""},
             {"BASE_BACKUP MAX_RATE '32'", 12, 14, syntax, "42601", 21,
              "syntax error at or near \"'32'\""},
             {"BASE_BACKUP MANIFEST 'yes'", 12, 12, syntax, "42601", 12,
              "syntax error at or near \"MANIFEST\""},
             {"BASE_BACKUP WAIT", 12, 14, syntax, "42601", 12, "syntax error at or near \"WAIT\""},
             {"BASE_BACKUP ()", 15, 19, syntax, "42601", 13, "syntax error at or near \")\""},
             {"BASE_BACKUP (WAL WAL)", 15, 19, errc::option_invalid, "42601", 17,
              "wal requires a Boolean value"},
             {"BASE_BACKUP (WAL SLOT)", 15, 19, syntax, "42601", 17,
              "syntax error at or near \"SLOT\""},
             {"BASE_BACKUP (READ_REPLICATION_SLOT)", 15, 19, syntax, "42601", 13,
              "syntax error at or near \"READ_REPLICATION_SLOT\""},
             {"BASE_BACKUP (LABEL 'a' PROGRESS)", 15, 19, syntax, "42601", 23,
              "syntax error at or near \"PROGRESS\""},
             {"BASE_BACKUP (LABEL 'a',)", 15, 19, syntax, "42601", 23,
              "syntax error at or near \")\""},
             {"BASE_BACKUP (LABEL 'a'", 15, 19, syntax, "42601", 22,
              "syntax error at end of input"},
             {"BASE_BACKUP (NOSUCH, NOSUCH", 15, 19, syntax, "42601", 27, // wins over the option
              "syntax error at end of input"},
         })
        check_refused(expected);
}

TEST_CASE("what a slot cannot be named or told is refused as servers refuse it") {
    constexpr auto name = errc::name_invalid;
    constexpr auto conflict = errc::option_conflict;
    for (const refusal& expected : {
             refusal{"CREATE_REPLICATION_SLOT \"Bad-Name\" PHYSICAL", 12, 19, name, "42602", 24,
                     "replication slot name \"Bad-Name\" contains invalid character"},
             {"CREATE_REPLICATION_SLOT \"\" PHYSICAL", 12, 19, name, "42602", 24,
              "replication slot name \"\" is too short"},
             {"CREATE_REPLICATION_SLOT \"../x\" PHYSICAL", 12, 19, name, "42602", 24,
              "replication slot name \"../x\" contains invalid character"},
             {"CREATE_REPLICATION_SLOT pg_conflict_detection PHYSICAL", 19, 19, name, "42939", 24,
              "replication slot name \"pg_conflict_detection\" is reserved"},
             {"CREATE_REPLICATION_SLOT s LOGICAL \"\"", 12, 19, name, "42602", 34,
              "output plugin name \"\" is too short"},
             {"DROP_REPLICATION_SLOT \"X\"", 12, 19, name, "42704", 22,
              "replication slot \"X\" does not exist"},
             {"DROP_REPLICATION_SLOT \"\"", 12, 19, name, "42704", 22,
              "replication slot \"\" does not exist"},
             {"ALTER_REPLICATION_SLOT \"X\" (FAILOVER)", 17, 19, name, "42704", 23,
              "replication slot \"X\" does not exist"},
             {"START_REPLICATION SLOT \"a b\" 0/0", 12, 19, name, "42704", 23,
              "replication slot \"a b\" does not exist"},
             {"START_REPLICATION SLOT \"a b\" LOGICAL 0/0", 12, 19, name, "42704", 23,
              "replication slot \"a b\" does not exist"},
             {"READ_REPLICATION_SLOT \"X\"", 15, 19, name, "42602", 22,
              "replication slot name \"X\" contains invalid character"},
             {"SHOW \"\"", 12, 19, name, "42704", 5, "unrecognized configuration parameter \"\""},
             {"CREATE_REPLICATION_SLOT s PHYSICAL RESERVE_WAL RESERVE_WAL", 12, 19, conflict,
              "42601", 47, "conflicting or redundant options"},
             {"CREATE_REPLICATION_SLOT s PHYSICAL USE_SNAPSHOT", 12, 19, conflict, "42601", 35,
              "conflicting or redundant options"},
             {"CREATE_REPLICATION_SLOT s PHYSICAL EXPORT_SNAPSHOT", 12, 19, conflict, "42601", 35,
              "conflicting or redundant options"},
             {"CREATE_REPLICATION_SLOT s PHYSICAL NOEXPORT_SNAPSHOT", 12, 19, conflict, "42601", 35,
              "conflicting or redundant options"},
             {"CREATE_REPLICATION_SLOT s PHYSICAL TWO_PHASE", 15, 19, conflict, "42601", 35,
              "conflicting or redundant options"},
             {"CREATE_REPLICATION_SLOT s LOGICAL p RESERVE_WAL", 12, 19, conflict, "42601", 36,
              "conflicting or redundant options"},
             {"CREATE_REPLICATION_SLOT s LOGICAL p EXPORT_SNAPSHOT NOEXPORT_SNAPSHOT", 12, 19,
              conflict, "42601", 52, "conflicting or redundant options"},
             {"CREATE_REPLICATION_SLOT s LOGICAL p TWO_PHASE TWO_PHASE", 15, 19, conflict, "42601",
              46, "conflicting or redundant options"},
             {"CREATE_REPLICATION_SLOT s LOGICAL p (two_phase, \"two_phase\")", 15, 19, conflict,
              "42601", 48, "conflicting or redundant options"},
             {"CREATE_REPLICATION_SLOT s LOGICAL p (RESERVE_WAL)", 15, 19, conflict, "42601", 37,
              "conflicting or redundant options"},
             {"CREATE_REPLICATION_SLOT s PHYSICAL (SNAPSHOT 'export')", 15, 19, conflict, "42601",
              36, "conflicting or redundant options"},
             {"CREATE_REPLICATION_SLOT s PHYSICAL (FAILOVER)", 17, 19, conflict, "42601", 36,
              "conflicting or redundant options"},
             {"CREATE_REPLICATION_SLOT s TEMPORARY LOGICAL p (FAILOVER)", 17, 19, conflict, "0A000",
              24, "cannot enable failover for a temporary replication slot"},
             {"CREATE_REPLICATION_SLOT s PHYSICAL (FAILOVER)", 15, 16, errc::option_unknown,
              "XX000", 36, "unrecognized option: failover"},
             {"CREATE_REPLICATION_SLOT s PHYSICAL (NoSuch 1)", 15, 19, errc::option_unknown,
              "XX000", 36, "unrecognized option: nosuch"},
             {"CREATE_REPLICATION_SLOT s PHYSICAL (\"RESERVE_WAL\")", 15, 19, errc::option_unknown,
              "XX000", 36, "unrecognized option: RESERVE_WAL"},
             {"CREATE_REPLICATION_SLOT s PHYSICAL (RESERVE_WAL maybe)", 15, 19,
              errc::option_invalid, "42601", 48, "reserve_wal requires a Boolean value"},
             {"CREATE_REPLICATION_SLOT s PHYSICAL (RESERVE_WAL '1')", 15, 19, errc::option_invalid,
              "42601", 48, "reserve_wal requires a Boolean value"},
             {"CREATE_REPLICATION_SLOT s LOGICAL p (SNAPSHOT)", 15, 19, errc::option_invalid,
              "42601", 37, "snapshot requires a parameter"},
             {"CREATE_REPLICATION_SLOT s LOGICAL p (SNAPSHOT 'NOTHING')", 15, 19,
              errc::option_invalid, "22023", 46,
              "unrecognized value for CREATE_REPLICATION_SLOT option \"snapshot\": \"NOTHING\""},
             {"ALTER_REPLICATION_SLOT s (TWO_PHASE)", 17, 17, errc::option_unknown, "XX000", 26,
              "unrecognized option: two_phase"},
             {"ALTER_REPLICATION_SLOT s (x)", 17, 19, errc::option_unknown, "XX000", 26,
              "unrecognized option: x"},
             {"ALTER_REPLICATION_SLOT s (FAILOVER, FAILOVER)", 17, 19, conflict, "42601", 36,
              "conflicting or redundant options"},
             {"ALTER_REPLICATION_SLOT s (FAILOVER 2)", 17, 19, errc::option_invalid, "42601", 35,
              "failover requires a Boolean value"},
         })
        check_refused(expected);
}

TEST_CASE("slot options are understood in both grammars") {
    create_replication_slot slot{.name = "s", .kind = slot_kind::logical, .plugin = "p"};
    slot.two_phase = true;
    CHECK(parse("CREATE_REPLICATION_SLOT s LOGICAL P TWO_PHASE", 15).is(slot));
    CHECK(parse("CREATE_REPLICATION_SLOT s LOGICAL P EXPORT_SNAPSHOT TWO_PHASE", 15).is(slot));
    CHECK(parse("CREATE_REPLICATION_SLOT s LOGICAL p (TWO_PHASE 1, SNAPSHOT Export)", 15).is(slot));
    slot.snapshot = slot_snapshot::used;
    slot.failover = true;
    CHECK(parse("CREATE_REPLICATION_SLOT s LOGICAL p (snapshot 'use', Two_Phase 'ON', failover "
                "\"TRUE\")",
                17)
              .is(slot));
    slot.failover = false;
    CHECK(parse("CREATE_REPLICATION_SLOT s LOGICAL p (SNAPSHOT use, TWO_PHASE, FAILOVER 00)", 17)
              .is(slot));
    create_replication_slot physical{.name = "s", .plugin = {}};
    CHECK(parse("CREATE_REPLICATION_SLOT S PHYSICAL (RESERVE_WAL off)", 15).is(physical));
}

TEST_CASE("what a backup cannot be told is refused as servers refuse it") {
    constexpr auto invalid = errc::option_invalid;
    constexpr auto conflict = errc::option_conflict;
    const std::string long_label = "BASE_BACKUP (LABEL '" + std::string(1025, 'x') + "')";
    const std::string long_old = "BASE_BACKUP LABEL '" + std::string(1025, 'x') + "'";
    for (const refusal& expected : {
             refusal{"BASE_BACKUP (LABEL 'x', PROGRESS, LABEL 'x')", 15, 19, conflict, "42601", 34,
                     "duplicate option \"label\""},
             {"BASE_BACKUP LABEL 'a' LABEL 'b'", 12, 14, conflict, "42601", 22,
              "duplicate option \"label\""},
             {"BASE_BACKUP NOWAIT NOWAIT", 12, 14, conflict, "42601", 19,
              "duplicate option \"nowait\""},
             {"BASE_BACKUP (NoSuch 'x')", 15, 19, errc::option_unknown, "42601", 13,
              "unrecognized base backup option: \"nosuch\""},
             {"BASE_BACKUP (NOWAIT)", 15, 19, errc::option_unknown, "42601", 13,
              "unrecognized base backup option: \"nowait\""},
             {"BASE_BACKUP (INCREMENTAL)", 15, 16, errc::option_unknown, "42601", 13,
              "unrecognized base backup option: \"incremental\""},
             {"BASE_BACKUP (LABEL)", 15, 19, invalid, "42601", 13, "label requires a parameter"},
             {long_label, 15, 19, invalid, "22023", 19, "backup label too long (max 1024 bytes)"},
             {long_old, 12, 14, invalid, "22023", 18, "backup label too long (max 1024 bytes)"},
             {"BASE_BACKUP (LABEL 'a\nSTART WAL LOCATION: 0/0')", 15, 19, invalid, "22023", 19,
              "backup label must be a single line"},
             {"BASE_BACKUP LABEL 'a\rb'", 12, 14, invalid, "22023", 18,
              "backup label must be a single line"},
             {"BASE_BACKUP (MAX_RATE 31)", 15, 19, invalid, "22003", 22,
              "31 is outside the valid range for parameter \"MAX_RATE\" (32 .. 1048576)"},
             {"BASE_BACKUP MAX_RATE 1048577", 12, 14, invalid, "22003", 21,
              "1048577 is outside the valid range for parameter \"MAX_RATE\" (32 .. 1048576)"},
             {"BASE_BACKUP (MAX_RATE 4294967328)", 15, 19, invalid, "22003", 22,
              "4294967328 is outside the valid range for parameter \"MAX_RATE\" (32 .. 1048576)"},
             {"BASE_BACKUP MAX_RATE 00", 12, 14, invalid, "22003", 21,
              "0 is outside the valid range for parameter \"MAX_RATE\" (32 .. 1048576)"},
             {"BASE_BACKUP (MAX_RATE '32')", 15, 19, invalid, "42601", 13,
              "max_rate requires a numeric value"},
             {"BASE_BACKUP (MAX_RATE)", 15, 19, invalid, "42601", 13,
              "max_rate requires a numeric value"},
             {"BASE_BACKUP (PROGRESS maybe)", 15, 19, invalid, "42601", 22,
              "progress requires a Boolean value"},
             {"BASE_BACKUP (WAIT 2)", 15, 19, invalid, "42601", 18,
              "wait requires a Boolean value"},
             {"BASE_BACKUP (CHECKPOINT 'slow')", 15, 19, invalid, "42601", 24,
              "unrecognized checkpoint type: \"slow\""},
             {"BASE_BACKUP (CHECKPOINT)", 15, 19, invalid, "42601", 13,
              "checkpoint requires a parameter"},
             {"BASE_BACKUP (MANIFEST)", 15, 19, invalid, "42601", 13,
              "manifest requires a parameter"},
             {"BASE_BACKUP (MANIFEST 'maybe')", 15, 19, invalid, "42601", 22,
              "unrecognized manifest option: \"maybe\""},
             {"BASE_BACKUP (MANIFEST 'o')", 15, 19, invalid, "42601", 22,
              "unrecognized manifest option: \"o\""},
             {"BASE_BACKUP MANIFEST ''", 13, 14, invalid, "42601", 21,
              "unrecognized manifest option: \"\""},
             {"BASE_BACKUP (MANIFEST_CHECKSUMS 'bad')", 15, 19, invalid, "42601", 32,
              "unrecognized checksum algorithm: \"bad\""},
             {"BASE_BACKUP (PROGRESS, MANIFEST_CHECKSUMS 'SHA256')", 15, 19, conflict, "42601", 13,
              "manifest checksums require a backup manifest"},
             {"BASE_BACKUP MANIFEST 'no' MANIFEST_CHECKSUMS 'none'", 13, 14, conflict, "42601", 12,
              "manifest checksums require a backup manifest"},
             {"BASE_BACKUP (TARGET '')", 15, 19, invalid, "0A000", 13, "unrecognized target: \"\""},
             {"BASE_BACKUP (TARGET_DETAIL 'x')", 15, 19, conflict, "42601", 13,
              "target detail cannot be used without target"},
             {"BASE_BACKUP (TARGET_DETAIL '')", 15, 19, conflict, "42601", 13,
              "target detail cannot be used without target"},
             {"BASE_BACKUP (TARGET 'client', TARGET_DETAIL '')", 15, 19, conflict, "42601", 13,
              "target \"client\" does not accept a target detail"},
             {"BASE_BACKUP (TARGET_DETAIL 'x', TARGET 'blackhole')", 15, 19, conflict, "42601", 13,
              "target \"blackhole\" does not accept a target detail"},
             {"BASE_BACKUP (TARGET 'server')", 15, 19, conflict, "42601", 13,
              "target \"server\" requires a target detail"},
             {"BASE_BACKUP (TARGET 'server', TARGET_DETAIL 'rel')", 15, 19, invalid, "42602", 13,
              "relative path not allowed for backup stored on server"},
             {"BASE_BACKUP (COMPRESSION 'GZIP')", 15, 19, invalid, "42601", 25,
              "unrecognized compression algorithm: \"GZIP\""},
             {"BASE_BACKUP (COMPRESSION)", 15, 19, invalid, "42601", 13,
              "compression requires a parameter"},
             {"BASE_BACKUP (COMPRESSION_DETAIL '')", 15, 19, conflict, "42601", 13,
              "compression detail cannot be specified unless compression is enabled"},
         })
        check_refused(expected);
}

TEST_CASE("backup options take their values in every form that servers take") {
    const auto manifest = [](std::string_view value) {
        const parse parsed("BASE_BACKUP (MANIFEST " + std::string(value) + ")", 15);
        const auto* backup = std::get_if<base_backup>(&parsed.result().value);
        REQUIRE(backup != nullptr);
        return backup->manifest;
    };
    for (const char* yes : {"'yes'", "yes", "YES", "'Y'", "'ye'", "on", "'ON'", "true", "'t'",
                            "'tru'", "1", "'1'", "01"})
        CHECK(manifest(yes) == backup_manifest::yes);
    for (const char* no : {"'no'", "no", "'N'", "off", "'of'", "false", "'f'", "0", "'0'", "00"})
        CHECK(manifest(no) == backup_manifest::no);
    CHECK(manifest("'force-encode'") == backup_manifest::force_encode);
    CHECK(manifest("'FORCE-encode'") == backup_manifest::force_encode);

    base_backup backup;
    backup.label = "7";
    backup.checkpoint = backup_checkpoint::fast;
    backup.manifest = backup_manifest::yes;
    backup.checksums = manifest_checksums::sha224;
    backup.target = "shell";
    backup.target_detail = "anything";
    backup.compression = backup_compression::lz4;
    backup.compression_detail = "9";
    backup.max_rate = 32;
    CHECK(
        parse("BASE_BACKUP (label 007, \"checkpoint\" FAST, Manifest 1, MANIFEST_CHECKSUMS Sha224, "
              "TARGET shell, TARGET_DETAIL ANYTHING, COMPRESSION lz4, COMPRESSION_DETAIL 9, "
              "MAX_RATE 0032, WAIT on, PROGRESS off, VERIFY_CHECKSUMS 1, WAL false);",
              16)
            .is(backup));
    backup = {};
    backup.incremental = true;
    CHECK(parse("BASE_BACKUP (INCREMENTAL true)", 17).is(backup));
    CHECK(parse("BASE_BACKUP", 12).is(base_backup{}));
    CHECK(parse("BASE_BACKUP ;", 19).is(base_backup{}));
}

TEST_CASE("plugin options come out in order, decoded") {
    const parse parsed("START_REPLICATION SLOT S LOGICAL 1/2 (A, \"a-B\" 'it''s', b '', c)", 12);
    const std::array<plugin_option, 4> expected{
        {{"a", std::nullopt}, {"a-B", "it's"}, {"b", ""}, {"c", std::nullopt}}};
    CHECK(parsed.is(start_logical_replication{"s", {0x100000002}, expected}));
    const std::string long_name(70, 'N');
    const parse cut("START_REPLICATION SLOT s LOGICAL 0/0 (" + long_name + " '1')", 12);
    const std::string kept(63, 'n');
    const std::array<plugin_option, 1> one{{{kept, "1"}}};
    CHECK(cut.is(logical("s", one)));
    CHECK(cut.result().truncated_identifier == long_name);
}

TEST_CASE("a NUL is refused wherever it stands") {
    for (const std::string& text : {"\0"s, "SELECT\0"s, "SHOW a\0b"s, "BASE_BACKUP LABEL '\0'"s}) {
        const parse parsed(text, 14);
        CHECK(parsed.error().code == errc::argument_has_nul);
        CHECK(parsed.error().sqlstate == "22021");
        CHECK(parsed.error().offset == text.find('\0'));
        CHECK(parsed.message() == "invalid byte sequence: 0x00");
    }
}

TEST_CASE("AionDB's commands are understood, and no others") {
    constexpr auto aiondb = dialect::aiondb;
    CHECK(parse("IDENTIFY_SYSTEM;", 0, aiondb).is(identify_system{}));
    CHECK(parse("TIMELINE_HISTORY", 0, aiondb).is(timeline_history{}));
    CHECK(parse("TIMELINE_HISTORY;", 0, aiondb).is(timeline_history{}));
    CHECK(parse("TIMELINE_HISTORY 7", 0, aiondb).is(timeline_history{timeline_id{7}}));
    CHECK(parse("BASE_BACKUP", 0, aiondb).is(base_backup{}));
    CHECK(parse("READ_REPLICATION_SLOT \"s\"", 0, aiondb).is(read_replication_slot{"s"}));
    CHECK(parse("READ_REPLICATION_SLOT 1st", 0, aiondb).is(read_replication_slot{"1st"}));
    CHECK(parse("READ_REPLICATION_SLOT 123", 0, aiondb).is(read_replication_slot{"123"}));
    CHECK(parse("START_REPLICATION 0/00000001", 0, aiondb).is(start_replication{"", {1}, {}}));
    CHECK(parse("START_REPLICATION 18446744073709551615", 0, aiondb)
              .is(start_replication{"", {UINT64_MAX}, {}}));
    CHECK(parse("START_REPLICATION SLOT s PHYSICAL 4096 TIMELINE 2", 0, aiondb)
              .is(start_replication{"s", {4096}, timeline_id{2}}));
    create_replication_slot slot{.name = "s", .plugin = {}};
    slot.reserve_wal = true;
    CHECK(parse("CREATE_REPLICATION_SLOT s PHYSICAL RESERVE_WAL", 0, aiondb).is(slot));

    for (const std::string_view text : {"SHOW wal_level", "DROP_REPLICATION_SLOT s",
                                        "UPLOAD_MANIFEST", "ALTER_REPLICATION_SLOT s (FAILOVER)"})
        CHECK(parse(text, 18, aiondb).is(sql{text}));
    for (const std::string_view text :
         {"CREATE_REPLICATION_SLOT s LOGICAL p", "CREATE_REPLICATION_SLOT s TEMPORARY PHYSICAL",
          "CREATE_REPLICATION_SLOT s PHYSICAL (RESERVE_WAL)", "BASE_BACKUP LABEL 'x'",
          "BASE_BACKUP (LABEL 'x')", "START_REPLICATION SLOT s LOGICAL 0/0", "TIMELINE_HISTORY x",
          "START_REPLICATION 1st"})
        CHECK(parse(text, 18, aiondb).error().code == errc::command_invalid);
    CHECK(parse("START_REPLICATION 18446744073709551616", 0, aiondb).error().code ==
          errc::lsn_invalid);
    CHECK(parse("START_REPLICATION 0/123456789", 0, aiondb).error().code == errc::lsn_invalid);
    CHECK(parse("TIMELINE_HISTORY 0", 0, aiondb).error().code == errc::timeline_invalid);
    CHECK(parse("CREATE_REPLICATION_SLOT \"S\" PHYSICAL", 0, aiondb).error().code ==
          errc::name_invalid);
}

TEST_CASE("a message repeats no more than 128 bytes of what was sent") {
    const parse parsed("IDENTIFY_SYSTEM '" + std::string(5000, 'x') + "'", 18);
    CHECK(parsed.error().subject.size() == 128);
    CHECK(parsed.message().size() < 200);
}

TEST_CASE("a scratch as large as the text suffices, and one too small is refused") {
    const std::string text = "START_REPLICATION SLOT MySlot LOGICAL 0/0 (A'it''s',b,\"c\"'x')";
    const parse whole(text, 18);
    REQUIRE(whole);
    bool fitted = false;
    for (std::size_t size = 0; size <= text.size(); ++size) {
        std::vector<char> scratch(size);
        const auto parsed = parse_command(text, scratch, 18, dialect::postgres);
        if (parsed) CHECK(parsed.value == whole.result().value);
        if (!parsed) {
            CHECK_FALSE(fitted);
            CHECK(parsed.error.code == errc::argument_too_long);
            CHECK(parsed.error.sqlstate == "54000");
        }
        fitted = static_cast<bool>(parsed);
    }
    CHECK(fitted);
    for (const char* one :
         {"SHOW a", "BASE_BACKUP (LABEL 'it''s')", "BASE_BACKUP (NOSUCH)", "BASE_BACKUP (WAL, WAL)",
          "SHOW a.b", "DROP_REPLICATION_SLOT X", "CREATE_REPLICATION_SLOT s PHYSICAL (NOSUCH)"})
        CHECK(parse_command(one, {}, 18, dialect::postgres).error.code == errc::argument_too_long);
    // What is a view into the text needs none.
    for (const char* one : {"IDENTIFY_SYSTEM", "DROP_REPLICATION_SLOT \"x\" WAIT", "SELECT 1",
                            "BASE_BACKUP (LABEL 'nightly', WAL)"})
        CHECK(parse_command(one, {}, 18, dialect::postgres).error.code == errc::none);
}

TEST_CASE("nothing is read outside the text and nothing is allocated") {
    support::random_commands commands(1);
    for (int i = 0; i < 64; ++i) {
        const int major = 12 + i % 8;
        std::vector<std::byte> room(8192);
        writer out(room);
        const command from = commands.next(major, dialect::postgres);
        support::allocations made;
        REQUIRE(put(out, from, major, dialect::postgres) == errc::none);
        const std::size_t when_printing = made.count();
        const std::string whole(as_text(out.written()));
        std::vector<char> scratch(whole.size());
        std::size_t when_parsing = 0;
        for (std::size_t size = 0; size <= whole.size(); ++size) {
            const support::guarded text(as_bytes(std::string_view(whole).substr(0, size)));
            const support::guarded room_for_it(size);
            const std::span<char> guarded_scratch(reinterpret_cast<char*>(room_for_it.data()),
                                                  size);
            support::allocations while_parsing;
            const auto parsed =
                parse_command(as_text(text), guarded_scratch, major, dialect::postgres);
            when_parsing += while_parsing.count();
            CHECK(parsed.error.code != errc::argument_too_long);
            CHECK(parsed.error.offset <= size);
        }
        CHECK(when_printing == 0);
        CHECK(when_parsing == 0);
    }
}

TEST_CASE("every byte flipped ends in a command or in an error with a message") {
    support::random_commands commands(2);
    for (int i = 0; i < 96; ++i) {
        const int major = 12 + i % 8;
        std::vector<std::byte> room(8192);
        writer out(room);
        REQUIRE(put(out, commands.next(major, dialect::postgres), major, dialect::postgres) ==
                errc::none);
        std::string text(as_text(out.written()));
        std::vector<char> scratch(text.size());
        for (std::size_t at = 0; at < text.size(); ++at) {
            for (const int bit : {1, 4, 0x20, 0x80}) {
                const char was = text[at];
                text[at] = static_cast<char>(was ^ bit);
                const auto parsed = parse_command(text, scratch, major, dialect::postgres);
                CHECK(parsed.error.sqlstate.size() == (parsed ? 0 : 5));
                const auto& [code, offset, state, before, subject, after] = parsed.error;
                CHECK((before.size() + subject.size() + after.size() == 0) == (code == errc::none));
                CHECK(offset <= text.size());
                text[at] = was;
            }
        }
    }
}

TEST_CASE("random commands survive printing and parsing in every version and dialect") {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
        support::random_commands commands(seed);
        for (int major = 12; major <= 20; ++major) {
            const dialect spoken = major == 20 ? dialect::aiondb : dialect::postgres;
            for (int i = 0; i < 50; ++i) {
                const command from = commands.next(major, spoken);
                std::vector<std::byte> room(8192);
                writer out(room);
                CAPTURE(seed);
                CAPTURE(major);
                REQUIRE(put(out, from, major, spoken) == errc::none);
                CAPTURE(as_text(out.written()));
                const parse parsed(as_text(out.written()), major, spoken);
                CHECK(parsed.message() == "");
                CHECK(parsed.result().value == from);
                CHECK(parsed.result().truncated_identifier.empty());
            }
        }
    }
}
