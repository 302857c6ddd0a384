#include <walwire/wire/command_printer.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

using namespace walwire;
using namespace walwire::wire;
using namespace std::string_literals;

namespace {

struct printed {
    errc code;
    std::string text;
};

printed print(const command& from, int major, dialect spoken = dialect::postgres) {
    std::vector<std::byte> room(16384);
    writer out(room);
    const errc code = put(out, from, major, spoken);
    return {code, std::string(as_text(out.written()))};
}

std::string text_of(const command& from, int major, dialect spoken = dialect::postgres) {
    const printed result = print(from, major, spoken);
    return result.code == errc::none ? result.text : "refused: " + std::string(text(result.code));
}

errc code_of(const command& from, int major, dialect spoken = dialect::postgres) {
    return print(from, major, spoken).code;
}

create_replication_slot logical_slot() {
    create_replication_slot slot;
    slot.name = "s";
    slot.kind = slot_kind::logical;
    slot.plugin = "pgoutput";
    return slot;
}

base_backup whole_backup() {
    base_backup backup;
    backup.label = "it's nightly";
    backup.progress = true;
    backup.checkpoint = backup_checkpoint::fast;
    backup.wal = true;
    backup.wait = false;
    backup.max_rate = 4096;
    backup.tablespace_map = true;
    backup.verify_checksums = false;
    return backup;
}

} // namespace

TEST_CASE("the commands that never changed are the same for every version") {
    for (int major = 12; major <= 19; ++major) {
        CHECK(text_of(identify_system{}, major) == "IDENTIFY_SYSTEM");
        CHECK(text_of(timeline_history{timeline_id{4294967295}}, major) ==
              "TIMELINE_HISTORY 4294967295");
        CHECK(text_of(drop_replication_slot{"s", false}, major) == "DROP_REPLICATION_SLOT \"s\"");
        CHECK(text_of(drop_replication_slot{"s", true}, major) ==
              "DROP_REPLICATION_SLOT \"s\" WAIT");
        CHECK(text_of(start_replication{"", {0x1000000}, timeline_id{1}}, major) ==
              "START_REPLICATION 0/1000000 TIMELINE 1");
        CHECK(text_of(start_replication{"s", {0xabc00000000}, {}}, major) ==
              "START_REPLICATION SLOT \"s\" ABC/0");
        CHECK(text_of(sql{"SELECT 'a'"}, major) == "SELECT 'a'");
    }
}

TEST_CASE("settings are bare where they are plain words and quoted where not") {
    CHECK(text_of(show{"wal_segment_size"}, 15) == "SHOW wal_segment_size");
    CHECK(text_of(show{"auto_explain.log_format"}, 15) == "SHOW auto_explain.log_format");
    CHECK(text_of(show{"DateStyle"}, 15) == "SHOW \"DateStyle\"");
    CHECK(text_of(show{"TIMELINE"}, 15) == "SHOW \"TIMELINE\"");
    CHECK(text_of(show{"a b.c"}, 15) == "SHOW \"a b\".c");
    CHECK(text_of(show{"1a"}, 15) == "SHOW \"1a\"");
    CHECK(text_of(show{".."}, 15) == "SHOW \"\".\"\".\"\"");
    CHECK(code_of(show{""}, 15) == errc::name_invalid);
    CHECK(code_of(show{std::string(64, 'a')}, 15) == errc::name_invalid);
    CHECK(code_of(show{"a\0b"s}, 15) == errc::argument_has_nul);
}

TEST_CASE("a quote within an identifier is doubled for 19 and refused before") {
    CHECK(text_of(show{"a\"b"}, 19) == "SHOW \"a\"\"b\"");
    CHECK(text_of(show{"\""}, 20) == "SHOW \"\"\"\"");
    auto slot = logical_slot();
    slot.plugin = "x\" PHYSICAL \"";
    const std::array<plugin_option, 1> option{{{"a\"b", std::nullopt}}};
    for (int major = 12; major <= 18; ++major) {
        CHECK(code_of(show{"a\"b"}, major) == errc::name_invalid);
        CHECK(code_of(slot, major) == errc::name_invalid);
        CHECK(code_of(start_logical_replication{"s", {}, option}, major) == errc::name_invalid);
    }
    CHECK(text_of(start_logical_replication{"s", {}, option}, 19) ==
          "START_REPLICATION SLOT \"s\" LOGICAL 0/0 (\"a\"\"b\")");
}

TEST_CASE("slots are created in the grammar of the version") {
    create_replication_slot physical;
    physical.name = "s";
    CHECK(text_of(physical, 12) == "CREATE_REPLICATION_SLOT \"s\" PHYSICAL");
    CHECK(text_of(physical, 18) == "CREATE_REPLICATION_SLOT \"s\" PHYSICAL");
    physical.temporary = true;
    physical.reserve_wal = true;
    CHECK(text_of(physical, 14) == "CREATE_REPLICATION_SLOT \"s\" TEMPORARY PHYSICAL RESERVE_WAL");
    CHECK(text_of(physical, 15) ==
          "CREATE_REPLICATION_SLOT \"s\" TEMPORARY PHYSICAL (RESERVE_WAL)");

    auto logical = logical_slot();
    CHECK(text_of(logical, 12) ==
          "CREATE_REPLICATION_SLOT \"s\" LOGICAL \"pgoutput\" EXPORT_SNAPSHOT");
    logical.snapshot = slot_snapshot::nothing;
    CHECK(text_of(logical, 14) ==
          "CREATE_REPLICATION_SLOT \"s\" LOGICAL \"pgoutput\" NOEXPORT_SNAPSHOT");
    logical.snapshot = slot_snapshot::used;
    CHECK(text_of(logical, 14) ==
          "CREATE_REPLICATION_SLOT \"s\" LOGICAL \"pgoutput\" USE_SNAPSHOT");
    CHECK(text_of(logical, 15) ==
          "CREATE_REPLICATION_SLOT \"s\" LOGICAL \"pgoutput\" (SNAPSHOT 'use')");
    logical.two_phase = true;
    logical.failover = true;
    logical.snapshot = slot_snapshot::exported;
    CHECK(text_of(logical, 17) == "CREATE_REPLICATION_SLOT \"s\" LOGICAL \"pgoutput\" "
                                  "(SNAPSHOT 'export', TWO_PHASE, FAILOVER)");
}

TEST_CASE("slot options that a version lacks are refused and not left out") {
    auto slot = logical_slot();
    slot.two_phase = true;
    CHECK(code_of(slot, 14) == errc::unsupported_version);
    CHECK(code_of(slot, 15) == errc::none);
    slot.failover = true;
    CHECK(code_of(slot, 16) == errc::unsupported_version);
    CHECK(code_of(slot, 17) == errc::none);
}

TEST_CASE("slot options of the wrong kind of slot are refused") {
    auto slot = logical_slot();
    slot.reserve_wal = true;
    CHECK(code_of(slot, 18) == errc::option_conflict);
    slot = logical_slot();
    slot.failover = true;
    slot.temporary = true;
    CHECK(code_of(slot, 18) == errc::option_conflict);
    slot = logical_slot();
    slot.plugin = "";
    CHECK(code_of(slot, 18) == errc::name_invalid);

    create_replication_slot physical;
    physical.name = "s";
    auto with = physical;
    with.plugin = "p";
    CHECK(code_of(with, 18) == errc::option_conflict);
    with = physical;
    with.two_phase = true;
    CHECK(code_of(with, 18) == errc::option_conflict);
    with = physical;
    with.failover = true;
    CHECK(code_of(with, 18) == errc::option_conflict);
    with = physical;
    with.snapshot = slot_snapshot::nothing;
    CHECK(code_of(with, 18) == errc::option_conflict);
}

TEST_CASE("no command takes a slot name that no slot can have") {
    for (const std::string& name :
         {"Bad"s, "a-b"s, "a\"b"s, "a b"s, "../x"s, std::string(64, 'a'), "a\0"s}) {
        CAPTURE(name);
        create_replication_slot create;
        create.name = name;
        CHECK(code_of(create, 18) == errc::name_invalid);
        CHECK(code_of(read_replication_slot{name}, 18) == errc::name_invalid);
        CHECK(code_of(alter_replication_slot{name, true, {}}, 18) == errc::name_invalid);
        CHECK(code_of(drop_replication_slot{name, false}, 18) == errc::name_invalid);
        CHECK(code_of(start_replication{name, {}, {}}, 18) == errc::name_invalid);
        CHECK(code_of(start_logical_replication{name, {}, {}}, 18) == errc::name_invalid);
        CHECK(code_of(read_replication_slot{name}, 18, dialect::aiondb) == errc::name_invalid);
        CHECK(code_of(start_replication{name, {}, {}}, 18, dialect::aiondb) == errc::name_invalid);
    }
    CHECK(code_of(read_replication_slot{""}, 18) == errc::name_invalid);
    CHECK(code_of(drop_replication_slot{"", true}, 18) == errc::name_invalid);
    CHECK(code_of(start_logical_replication{"", {}, {}}, 18) == errc::name_invalid);
}

TEST_CASE("19 keeps one slot name for itself") {
    create_replication_slot slot;
    slot.name = "pg_conflict_detection";
    CHECK(code_of(slot, 18) == errc::none);
    CHECK(code_of(slot, 19) == errc::name_invalid);
    CHECK(code_of(slot, 19, dialect::aiondb) == errc::none);
}

TEST_CASE("later commands are refused for servers that lack them") {
    CHECK(code_of(read_replication_slot{"s"}, 14) == errc::unsupported_version);
    CHECK(text_of(read_replication_slot{"s"}, 15) == "READ_REPLICATION_SLOT \"s\"");
    CHECK(code_of(upload_manifest{}, 16) == errc::unsupported_version);
    CHECK(text_of(upload_manifest{}, 17) == "UPLOAD_MANIFEST");
    CHECK(code_of(alter_replication_slot{"s", true, {}}, 16) == errc::unsupported_version);
    CHECK(text_of(alter_replication_slot{"s", true, {}}, 17) ==
          "ALTER_REPLICATION_SLOT \"s\" (FAILOVER true)");
    CHECK(code_of(alter_replication_slot{"s", {}, false}, 17) == errc::unsupported_version);
    CHECK(text_of(alter_replication_slot{"s", false, false}, 18) ==
          "ALTER_REPLICATION_SLOT \"s\" (FAILOVER false, TWO_PHASE false)");
    CHECK(text_of(alter_replication_slot{"s", {}, true}, 18) ==
          "ALTER_REPLICATION_SLOT \"s\" (TWO_PHASE true)");
    CHECK(code_of(alter_replication_slot{"s", {}, {}}, 18) == errc::argument_invalid);
    for (const command& any : {command{identify_system{}}, command{sql{"SELECT 1"}}}) {
        CHECK(code_of(any, 11) == errc::unsupported_version);
        CHECK(code_of(any, 0) == errc::unsupported_version);
        CHECK(code_of(any, 25) == errc::none);
    }
}

TEST_CASE("timelines are from 1") {
    CHECK(code_of(timeline_history{}, 18) == errc::timeline_invalid);
    CHECK(code_of(timeline_history{timeline_id{0}}, 18) == errc::timeline_invalid);
    CHECK(code_of(start_replication{"", {}, timeline_id{0}}, 18) == errc::timeline_invalid);
    CHECK(text_of(timeline_history{timeline_id{10}}, 18) == "TIMELINE_HISTORY 10");
}

TEST_CASE("plugin options are quoted, name and value") {
    const std::array<plugin_option, 3> options{
        {{"proto_version", "1"}, {"Publication Names", "\"a\",'b'\\"}, {"binary", std::nullopt}}};
    CHECK(text_of(start_logical_replication{"s", {0x16B3748}, options}, 12) ==
          "START_REPLICATION SLOT \"s\" LOGICAL 0/16B3748 (\"proto_version\" '1', "
          "\"Publication Names\" '\"a\",''b''\\', \"binary\")");
    CHECK(text_of(start_logical_replication{"s", {}, {}}, 12) ==
          "START_REPLICATION SLOT \"s\" LOGICAL 0/0");
    const std::array<plugin_option, 1> nameless{{{"", "1"}}};
    CHECK(code_of(start_logical_replication{"s", {}, nameless}, 18) == errc::name_invalid);
    const std::string long_name(64, 'a');
    const std::array<plugin_option, 1> cut{{{long_name, "1"}}};
    CHECK(code_of(start_logical_replication{"s", {}, cut}, 18) == errc::name_invalid);
    const std::string with_nul = "1\0"s;
    const std::array<plugin_option, 1> nul_value{{{"a", with_nul}}};
    CHECK(code_of(start_logical_replication{"s", {}, nul_value}, 18) == errc::argument_has_nul);
    const std::array<plugin_option, 1> nul_name{{{with_nul, "1"}}};
    CHECK(code_of(start_logical_replication{"s", {}, nul_name}, 18) == errc::argument_has_nul);
}

TEST_CASE("a backup is asked for in the grammar of the version") {
    CHECK(text_of(base_backup{}, 12) == "BASE_BACKUP LABEL 'base backup'");
    CHECK(text_of(base_backup{}, 15) == "BASE_BACKUP (LABEL 'base backup')");
    base_backup backup = whole_backup();
    CHECK(text_of(backup, 12) == "BASE_BACKUP LABEL 'it''s nightly' PROGRESS FAST WAL NOWAIT "
                                 "MAX_RATE 4096 TABLESPACE_MAP NOVERIFY_CHECKSUMS");
    backup.manifest = backup_manifest::force_encode;
    backup.checksums = manifest_checksums::sha256;
    CHECK(text_of(backup, 13) ==
          "BASE_BACKUP LABEL 'it''s nightly' PROGRESS FAST WAL NOWAIT MAX_RATE 4096 "
          "TABLESPACE_MAP NOVERIFY_CHECKSUMS MANIFEST 'force-encode' MANIFEST_CHECKSUMS 'SHA256'");
    backup.target = "server";
    backup.target_detail = "/srv/b";
    backup.compression = backup_compression::zstd;
    backup.compression_detail = "level=3";
    CHECK(text_of(backup, 16) ==
          "BASE_BACKUP (LABEL 'it''s nightly', PROGRESS, CHECKPOINT 'fast', WAL, WAIT 0, "
          "MAX_RATE 4096, TABLESPACE_MAP, VERIFY_CHECKSUMS 0, MANIFEST 'force-encode', "
          "MANIFEST_CHECKSUMS 'SHA256', TARGET 'server', TARGET_DETAIL '/srv/b', "
          "COMPRESSION 'zstd', COMPRESSION_DETAIL 'level=3')");
    base_backup incremental;
    incremental.incremental = true;
    CHECK(text_of(incremental, 17) == "BASE_BACKUP (INCREMENTAL, LABEL 'base backup')");
}

TEST_CASE("backup options that a version lacks are refused and not left out") {
    const auto since = [](const base_backup& backup, int major) {
        CHECK(code_of(backup, major - 1) == errc::unsupported_version);
        CHECK(code_of(backup, major) == errc::none);
    };
    base_backup backup;
    backup.manifest = backup_manifest::yes;
    since(backup, 13);
    backup.checksums = manifest_checksums::none;
    since(backup, 13);
    backup = {};
    backup.target = "client";
    since(backup, 15);
    backup = {};
    backup.compression = backup_compression::none;
    since(backup, 15);
    backup = {};
    backup.incremental = true;
    since(backup, 17);
}

TEST_CASE("backup options that contradict each other are refused") {
    base_backup backup;
    backup.checksums = manifest_checksums::sha512;
    CHECK(code_of(backup, 18) == errc::option_conflict);
    backup = {};
    backup.compression_detail = "1";
    CHECK(code_of(backup, 18) == errc::option_conflict);
    backup = {};
    backup.target_detail = "/x";
    CHECK(code_of(backup, 18) == errc::option_conflict);
    backup.target = "client";
    CHECK(code_of(backup, 18) == errc::option_conflict);
    backup.target = "blackhole";
    CHECK(code_of(backup, 18) == errc::option_conflict);
    backup.target = "server";
    CHECK(code_of(backup, 18) == errc::none);
    backup.target_detail = "C:\\backups";
    CHECK(code_of(backup, 18) == errc::none);
    backup.target_detail = "relative/path";
    CHECK(code_of(backup, 18) == errc::option_invalid);
    backup.target_detail = "";
    CHECK(code_of(backup, 18) == errc::option_conflict);
    backup.target = "shell";
    CHECK(code_of(backup, 18) == errc::none);
}

TEST_CASE("a backup's rate, label and texts stay within their bounds") {
    base_backup backup;
    for (const std::uint32_t rate : {1U, 31U, 1048577U, UINT32_MAX}) {
        backup.max_rate = rate;
        CHECK(code_of(backup, 14) == errc::option_invalid);
        CHECK(code_of(backup, 18) == errc::option_invalid);
    }
    for (const std::uint32_t rate : {0U, 32U, 1048576U}) {
        backup.max_rate = rate;
        CHECK(code_of(backup, 14) == errc::none);
    }
    const std::string longest(1024, 'x');
    const std::string too_long(1025, 'x');
    backup = {};
    backup.label = longest;
    CHECK(code_of(backup, 18) == errc::none);
    backup.label = too_long;
    CHECK(code_of(backup, 18) == errc::argument_too_long);
    backup.label = "two\nlines";
    CHECK(code_of(backup, 18) == errc::option_invalid);
    backup.label = "two\rlines";
    CHECK(code_of(backup, 14) == errc::option_invalid);
    const std::string nul = "/x\0"s;
    backup = {};
    backup.label = nul;
    CHECK(code_of(backup, 14) == errc::argument_has_nul);
    backup = {};
    backup.target = "server";
    backup.target_detail = nul;
    CHECK(code_of(backup, 18) == errc::argument_has_nul);
    backup = {};
    backup.compression = backup_compression::gzip;
    backup.compression_detail = nul;
    CHECK(code_of(backup, 18) == errc::argument_has_nul);
    CHECK(code_of(sql{nul}, 18) == errc::argument_has_nul);
}

TEST_CASE("AionDB is spoken to in its own spelling") {
    constexpr auto aiondb = dialect::aiondb;
    CHECK(text_of(identify_system{}, 0, aiondb) == "IDENTIFY_SYSTEM");
    CHECK(text_of(timeline_history{}, 0, aiondb) == "TIMELINE_HISTORY");
    CHECK(text_of(timeline_history{timeline_id{3}}, 0, aiondb) == "TIMELINE_HISTORY 3");
    CHECK(text_of(read_replication_slot{"s1"}, 0, aiondb) == "READ_REPLICATION_SLOT s1");
    CHECK(text_of(base_backup{}, 0, aiondb) == "BASE_BACKUP");
    CHECK(text_of(start_replication{"", {1}, {}}, 0, aiondb) == "START_REPLICATION 0/00000001");
    CHECK(text_of(start_replication{"s", {0xAB12345678}, timeline_id{2}}, 0, aiondb) ==
          "START_REPLICATION SLOT s PHYSICAL AB/12345678 TIMELINE 2");
    create_replication_slot slot;
    slot.name = "s";
    CHECK(text_of(slot, 0, aiondb) == "CREATE_REPLICATION_SLOT s PHYSICAL");
    slot.reserve_wal = true;
    CHECK(text_of(slot, 0, aiondb) == "CREATE_REPLICATION_SLOT s PHYSICAL RESERVE_WAL");
}

TEST_CASE("AionDB is not asked for what it does not have") {
    constexpr auto aiondb = dialect::aiondb;
    create_replication_slot slot;
    slot.name = "s";
    slot.temporary = true;
    base_backup backup;
    backup.progress = true;
    for (const command& any : {command{show{"a"}}, command{alter_replication_slot{"s", true, {}}},
                               command{drop_replication_slot{"s", false}},
                               command{upload_manifest{}}, command{slot}, command{logical_slot()},
                               command{start_logical_replication{"s", {}, {}}}, command{backup}})
        CHECK(code_of(any, 18, aiondb) == errc::unsupported_version);
}

TEST_CASE("a command that does not fit is refused at every size below its own") {
    base_backup backup = whole_backup();
    for (const auto& [from, major] : {std::pair<command, int>{identify_system{}, 18},
                                      {backup, 12},
                                      {backup, 18},
                                      {logical_slot(), 18},
                                      {start_replication{"s", {1}, timeline_id{1}}, 18}}) {
        const std::string whole = text_of(from, major);
        for (std::size_t size = 0; size <= whole.size(); ++size) {
            std::vector<std::byte> room(size);
            writer out(room);
            const errc expected = size < whole.size() ? errc::output_full : errc::none;
            CHECK(put(out, from, major, dialect::postgres) == expected);
            CHECK(out.ok() == (expected == errc::none));
        }
    }
}
