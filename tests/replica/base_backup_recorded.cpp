#include <walwire/replica/base_backup.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>

#include <walwire/auth/openssl.hpp>
#include <walwire/backup/manifest_reader.hpp>
#include <walwire/backup/tar_reader.hpp>

#include "replica/recorded_backups.hpp"
#include "support/exhaustive.hpp"

using namespace walwire;
using recorded_backups::backup_player;
using recorded_backups::backup_recording;
using recorded_backups::content;
using recorded_backups::exchange;
using recorded_backups::session_player;
using recorded_backups::taken_backup;

namespace {

using recordings = std::vector<std::unique_ptr<backup_recording>>;

recordings read_all(std::size_t most) {
    recordings all;
    for (const std::string& name : support::transcripts("d"))
        all.push_back(std::make_unique<backup_recording>(name, most));
    return all;
}

// The recordings, and the same with little data.
const recordings& whole() {
    static const recordings all = read_all(SIZE_MAX);
    return all;
}
const recordings& shortened() {
    static const recordings all = read_all(2);
    return all;
}

// Where a backup begins in a conversation: its command, or the upload before it.
bool takes(const backup_recording& recording, std::size_t index) {
    const exchange& here = recording.exchanges[index];
    if (std::holds_alternative<wire::upload_manifest>(here.command)) return true;
    const auto* asked = std::get_if<wire::base_backup>(&here.command);
    return asked != nullptr && !asked->incremental;
}

void each_backup(const recordings& all, const std::function<void(const taken_backup&)>& use) {
    for (const auto& recording : all) {
        for (std::size_t i = 0; i < recording->exchanges.size(); ++i)
            if (takes(*recording, i)) use(taken_backup(*recording, i));
    }
}

const backup_recording& called(const recordings& all, const std::string& name) {
    for (const auto& each : all)
        if (each->name() == name) return *each;
    throw std::runtime_error("no recording is called " + name);
}

template <class Player, class Played>
std::string play(const Played& played, support::chunks& input) {
    Player player(played);
    while (const auto chunk = input.next()) player.feed(*chunk);
    player.finish();
    return player.events();
}

// Two bytes around the end of each message, and around the byte that says what a message of a
// backup is; every place of what is short.
std::vector<std::size_t> places(bytes input) {
    if (input.size() <= 4096) return support::all_places(input.size());
    std::vector<std::size_t> found;
    for (std::size_t at = 0; at + wire::header_size <= input.size();) {
        for (std::size_t i = at < 2 ? 0 : at - 2; i <= at + 7; ++i)
            if (i > 0 && i < input.size() && (found.empty() || i > found.back()))
                found.push_back(i);
        at += 1 + std::size_t{load<std::uint32_t>(input.data() + at + 1)};
    }
    return found;
}

template <class Player, class Played>
std::string difference(const Played& played, bytes input, std::size_t stride) {
    const std::vector<std::size_t> all = places(input);
    std::vector<std::size_t> splits;
    for (std::size_t i = stride / 2; i < all.size(); i += stride) splits.push_back(all[i]);
    return support::difference(
        input, all, splits, [&](support::chunks& chunks) { return play<Player>(played, chunks); });
}

std::string golden_path(const std::string& version) {
    return std::string(WALWIRE_TRANSCRIPTS "/") + version + ".backups.events";
}

// The regular files of the archives, with their sizes, as a manifest lists them.
std::map<std::string, std::uint64_t> files_of(const std::vector<content>& contents, int version) {
    std::map<std::string, std::uint64_t> files;
    std::size_t left = contents.size();
    for (const content& each : contents) {
        --left;
        if (each.data.empty() || each.data[0] == std::byte{'{'}) continue; // the manifest
        backup::tar_reader archive(version < 15 ? backup::tar_trailer::optional
                                                : backup::tar_trailer::required);
        std::string prefix;
        if (!each.name.starts_with("base") && each.name.find(".tar") != std::string::npos)
            prefix = "pg_tblspc/" + each.name.substr(0, each.name.find('.')) + '/';
        bytes in = each.data;
        bool ended = false;
        const auto heard = [&](const backup::tar_event& told) {
            if (const auto* entry = std::get_if<backup::entry_started>(&told))
                if (entry->entry.kind == backup::tar_kind::file)
                    files[prefix + std::string(entry->entry.path)] = entry->entry.size;
            ended = ended || std::holds_alternative<backup::tar_ended>(told);
        };
        while (const auto told = archive.poll(in)) heard(*told);
        archive.finish();
        while (const auto told = archive.poll(in)) heard(*told);
        CHECK(ended);
    }
    return files;
}

} // namespace

// Set WALWIRE_WRITE_EVENTS to write the files anew after a change of events; git shows what
// changed.
TEST_CASE("every recorded base backup gives the events that are written down beside it") {
    std::map<std::string, std::string> seen;
    for (const auto& recording : whole()) {
        session_player session(*recording);
        session.feed(recording->server);
        session.finish();
        std::string& lines = seen[recording->name().substr(0, 4)];
        lines += "== " + recording->name().substr(5) + '\n' + session.events();
        CHECK(session.copied_all());
        CHECK(session.session().over());
    }
    std::size_t backups = 0;
    each_backup(whole(), [&](const taken_backup& played) {
        backup_player machine(played);
        machine.feed(played.server);
        machine.finish();
        std::string& lines = seen[played.recording->name().substr(0, 4)];
        lines += "== backup of " + played.recording->name().substr(5) + '\n' + machine.events();
        ++backups;
    });
    CHECK(backups == 40);
    for (const auto& entry : seen) {
        const std::string& version = entry.first;
        const std::string& events = entry.second;
        if (std::getenv("WALWIRE_WRITE_EVENTS") != nullptr)
            std::ofstream(golden_path(version)) << events;
        std::stringstream golden;
        golden << std::ifstream(golden_path(version)).rdbuf();
        CHECK_MESSAGE(golden.str() == events, "the events of " << version << " have changed");
    }
}

TEST_CASE("what a session asks says the same as what the recorded client asked") {
    std::size_t equal = 0, alike = 0, backups = 0;
    for (const auto& recording : whole()) {
        session_player session(*recording);
        session.feed(recording->server);
        REQUIRE(session.asked().size() == recording->exchanges.size());
        for (std::size_t i = 0; i < session.asked().size(); ++i) {
            const exchange& theirs = recording->exchanges[i];
            const std::string& ours = session.asked()[i];
            CAPTURE(recording->name());
            CAPTURE(ours);
            CAPTURE(theirs.text);
            backups += std::holds_alternative<wire::base_backup>(theirs.command);
            equal += ours == theirs.text;
            if (ours == theirs.text) continue;
            std::vector<char> scratch(ours.size() + 64);
            const auto parsed =
                wire::parse_command(ours, scratch, recording->version(), dialect::postgres);
            CHECK(parsed.error.code == errc::none);
            CHECK((parsed.value == theirs.command));
            ++alike;
        }
    }
    CHECK(equal == 102); // to the byte
    CHECK(alike == 36);  // in another order, or with other blanks
    CHECK(backups == 38);
}

TEST_CASE("a recorded backup is taken where the server said that it was whole, and only there") {
    std::size_t taken = 0, refused = 0, archives = 0;
    each_backup(whole(), [&](const taken_backup& played) {
        backup_player machine(played);
        machine.feed(played.server);
        machine.finish();
        CAPTURE(played.recording->name());
        CAPTURE(machine.events());
        REQUIRE(machine.over());
        CHECK(machine.as_recorded());
        CHECK(machine.taken() == !played.error);
        CHECK(machine.ended() == !played.error);
        if (played.error) CHECK(machine.sqlstate() == *played.error);
        // Where there was no error all of it came, and so it did where pages were damaged.
        CHECK(machine.contents_whole() == played.contents->size());
        archives += machine.contents_whole();
        ++(played.error ? refused : taken);
    });
    CHECK(taken == 20);
    CHECK(refused == 20);
    CHECK(archives == 90); // manifests counted
}

TEST_CASE("the archives hold the files that the manifest lists, and are whole tars") {
    std::size_t manifests = 0, files = 0, incremental = 0;
    for (const auto& recording : whole()) {
        for (const exchange& each : recording->exchanges) {
            if (each.contents.empty() || each.contents[0].name.find(".tar.") != std::string::npos)
                continue;
            CAPTURE(recording->name());
            std::map<std::string, std::uint64_t> present =
                files_of(each.contents, recording->version());
            files += present.size();
            if (each.contents.back().data.empty()) continue;
            if (each.contents.back().data[0] != std::byte{'{'}) continue;
            // Up to 14 nothing names an archive, and the test knows no other way.
            const bool named = recording->version() >= 15;
            std::vector<std::byte> room(backup::manifest_room_size);
            const auth::digests digests = auth::openssl_digests();
            backup::manifest_reader manifest(room, digests);
            bytes in = each.contents.back().data;
            std::size_t listed = 0;
            bool ended = false;
            const auto heard = [&](const backup::manifest_event& told) {
                if (const auto* file = std::get_if<backup::listed_file>(&told)) {
                    ++listed;
                    const std::string path(file->path);
                    incremental += path.find("INCREMENTAL.") != std::string::npos;
                    if (named) CHECK(present[path] == file->size);
                }
                ended = ended || std::holds_alternative<backup::manifest_ended>(told);
            };
            while (const auto told = manifest.poll(in)) heard(*told);
            manifest.finish();
            while (const auto told = manifest.poll(in)) heard(*told);
            CHECK(ended);
            CHECK(listed > 360);
            ++manifests;
        }
    }
    CHECK(manifests == 11);
    CHECK(files == 6373);
    CHECK(incremental == 1002);
}

TEST_CASE("damaged pages end a backup with an error behind all of its data") {
    for (const std::string version : {"pg12", "pg13", "pg15", "pg18"}) {
        const backup_recording& recording = called(whole(), version + "/d12_checksum_failure");
        session_player session(recording);
        session.feed(recording.server);
        session.finish();
        const std::string events = session.events();
        const std::string before = "copy_out_ended\ncolumns 2\nrow 2\ncompleted SELECT\n";
        const std::string counted =
            version == "pg15" ? "notice 01000 1 total checksum verification failure\n" : "";
        CHECK(events.ends_with(before + counted +
                               "error XX001 checksum verification failure during base backup\n"
                               "ready I\nclosed terminated\n"));
        const taken_backup played(recording, recording.exchanges.size() - 1);
        backup_player machine(played);
        machine.feed(played.server);
        machine.finish();
        CHECK(machine.events().find("notice 01000 checksum verification failed") !=
              std::string::npos);
        CHECK(machine.contents_whole() == played.contents->size());
        CHECK(machine.sqlstate() == "XX001");
        CHECK(!machine.ended());
        CHECK(!machine.taken());
    }
}

TEST_CASE("after every refusal the next command is answered, down to the last") {
    std::size_t refusals = 0;
    for (const auto& recording : whole()) {
        session_player session(*recording);
        session.feed(recording->server);
        session.finish();
        for (const exchange& each : recording->exchanges) refusals += each.error.has_value();
        CAPTURE(recording->name());
        CHECK(session.asked().size() == recording->exchanges.size());
        CHECK(session.events().ends_with("ready I\nclosed terminated\n"));
    }
    CHECK(refusals == 62);
}

TEST_CASE("every split of a recorded backup gives the same events") {
    for (const auto& recording : shortened()) {
        CAPTURE(recording->name());
        if (recording->name().find(".c2") != std::string::npos) continue; // WAL
        const std::size_t stride = recording->version() == 18 ? 3 : 17;
        CHECK(difference<session_player>(*recording, recording->server, stride) == "");
    }
    each_backup(shortened(), [&](const taken_backup& played) {
        CAPTURE(played.recording->name());
        const std::size_t stride = played.recording->version() == 18 ? 3 : 17;
        CHECK(difference<backup_player>(played, played.server, stride) == "");
    });
}

TEST_CASE("a whole recorded backup that is cut at all those places gives the same events") {
    for (const std::string version : {"pg12", "pg13", "pg15", "pg18"}) {
        CAPTURE(version);
        const backup_recording& recording = called(whole(), version + "/d12_checksum_failure");
        CHECK(difference<session_player>(recording, recording.server, SIZE_MAX) == "");
        const taken_backup played(recording, recording.exchanges.size() - 1);
        CHECK(difference<backup_player>(played, played.server, SIZE_MAX) == "");
    }
}

TEST_CASE("a backup that is cut off anywhere is not taken") {
    each_backup(shortened(), [&](const taken_backup& played) {
        if (played.error) return;
        const std::vector<std::size_t> all = places(played.server);
        for (std::size_t i = 0; i < all.size(); i += 29) {
            backup_player machine(played);
            machine.feed(bytes(played.server).first(all[i]));
            machine.finish();
            CAPTURE(played.recording->name());
            CAPTURE(all[i]);
            REQUIRE(machine.over());
            REQUIRE(!machine.taken());
            REQUIRE(machine.events().find("given up: ") != std::string::npos);
        }
    });
}
