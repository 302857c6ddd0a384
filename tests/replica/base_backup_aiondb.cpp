#include <walwire/replica/base_backup.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "aiondb/words.hpp"
#include "replica/dialogue.hpp"

using namespace walwire;
using dialogue::answer;
using dialogue::completed;
using dialogue::copy_done;
using dialogue::mistake;
using dialogue::ready;
using entries::copy_data;
using spelled::buffer;

namespace {

// A primary's answers in order, one for each thing that the machine says, and the machine's owner.
class taker {
  public:
    explicit taker(replica::base_backup_options chosen = {}) : options(chosen) {
        options.connection.user = "replicator";
        options.connection.dialect = dialect::aiondb;
        machine.emplace(options, memory{stash_, out_});
    }

    replica::base_backup_options options;
    std::optional<replica::base_backup> machine;
    wire::base_backup what;
    errc begun = errc::none;
    instant now{1'000'000, 0};
    std::string identity = "4711";
    buffer backup; // the answer to BASE_BACKUP
    std::size_t chunk = SIZE_MAX;
    bool hangs_up = false; // once all of it was sent

    std::string asked; // the commands, a letter for other messages
    std::string log;
    std::string data; // of the files
    std::optional<errc> verdict;

    std::string run() {
        for (int idle = 0; idle < 3 && !machine->over();) {
            const std::size_t before = log.size() + to_client_.size() + asked.size();
            turn();
            idle = before == log.size() + to_client_.size() + asked.size() ? idle + 1 : 0;
            if (idle == 1 && hangs_up && connected_) machine->finish();
        }
        return log;
    }

  private:
    void turn() {
        const std::size_t size = std::min(chunk, to_client_.size());
        const auto until = to_client_.begin() + static_cast<std::ptrdiff_t>(size);
        const buffer arrived(to_client_.begin(), until);
        to_client_.erase(to_client_.begin(), until);
        bytes in = arrived;
        while (const auto told = machine->poll(in, now)) {
            std::visit([this](const auto& event) { heard(event); }, *told);
            if (!connected_) in = {};
        }
        while (!machine->output().empty()) {
            const bytes head = machine->output().head;
            const buffer said(head.begin(), head.end());
            machine->consume(said.size());
            read(said);
        }
    }
    void read(bytes said) {
        while (!said.empty()) {
            const auto got = started_ ? framer_.next(said, {1 << 15, 0, wire::copy_content::whole})
                                      : framer_.next_untagged(said, 1 << 15);
            if (got.kind != wire::piece_kind::message) return;
            if (!started_) {
                started_ = true;
                to_client_ = to_client_ + dialogue::authentication(0) + ready();
            } else if (got.tag == 'Q') {
                const std::string text(wire::parse_query(got.data)->text);
                asked += text + '\n';
                to_client_ =
                    to_client_ +
                    (text == "BASE_BACKUP" ? backup : answer({identity, "3", "0/0000000A", {}}));
            } else {
                asked += static_cast<char>(got.tag);
            }
        }
    }

    void heard(const replica::connect_wanted&) {
        log += "connect\n";
        connected_ = true;
        CHECK(machine->connected() == errc::none);
    }
    void heard(const replica::disconnect_wanted&) {
        log += "disconnect\n";
        connected_ = false;
        to_client_.clear();
    }
    void heard(const replica::source_identified& event) {
        log += "source " + std::to_string(event.system_identifier) + ' ' +
               std::to_string(event.timeline.value) + ' ' + std::to_string(event.end.value) + '\n';
        begun = machine->begin(what);
    }
    void heard(const aiondb::backup_started& event) {
        log += "backup " + std::to_string(event.start.value) + ' ' +
               std::to_string(event.timeline.value) + ' ' + std::string(event.system_identifier) +
               '\n';
    }
    void heard(const aiondb::file_started& event) {
        log += "file " + std::string(event.path) + ' ' + std::to_string(event.size) + '\n';
    }
    void heard(const aiondb::file_data& event) { data += as_text(event.data); }
    void heard(const aiondb::file_ended&) { log += "file ended\n"; }
    void heard(const aiondb::backup_ended&) { log += "backup ended\n"; }
    void heard(const replica::backup_taken&) { log += "taken\n"; }
    void heard(const replica::stopped&) { log += "stopped\n"; }
    void heard(const replica::server_error& event) {
        log += "error " + std::string(event.sqlstate) + '\n';
    }
    void heard(const replica::given_up& event) {
        log += "given up\n";
        verdict = event.why.reason.code;
    }
    template <class Event>
    void heard(const Event&) {
        log += "?\n";
    }

    std::array<std::byte, stash_size> stash_{};
    std::array<std::byte, out_size> out_{};
    std::array<std::byte, 1 << 15> server_stash_{};
    wire::framer framer_{server_stash_};
    buffer to_client_;
    bool started_ = false;
    bool connected_ = false;
};

const buffer opened = dialogue::message('H', spelled::hex("00 0000"));
const buffer done = copy_done() + completed("BASE_BACKUP") + ready();
const buffer begin = entries::header(8, 3, "4711");
const buffer files = entries::file("wal/0001", "abcde") + entries::file("pages/1", "");
const buffer all = begin + files + entries::backup_end();

taker& given(taker& it, const buffer& frames) {
    it.backup = opened + copy_data(frames) + done;
    return it;
}
// The backup goes wrong so.
void fails(const buffer& answer_to_it, errc code) {
    taker it;
    it.backup = answer_to_it;
    const std::string log = it.run();
    CHECK(log.ends_with("disconnect\ngiven up\n"));
    CHECK(log.find("backup ended") == std::string::npos);
    CHECK(log.find("taken") == std::string::npos);
    CHECK(it.verdict == code);
}

} // namespace

TEST_CASE("a base backup of AionDB's is its header, its files and its end") {
    taker it;
    const std::string log = given(it, all).run();
    CHECK(log == "connect\nsource 4711 3 10\nbackup 8 3 4711\nfile wal/0001 5\nfile ended\n"
                 "file pages/1 0\nfile ended\nbackup ended\ndisconnect\ntaken\n");
    CHECK(it.data == "abcde");
    CHECK(it.asked == "IDENTIFY_SYSTEM\nBASE_BACKUP\nX");
    CHECK(it.begun == errc::none);
    CHECK(it.machine->over());
}

TEST_CASE("frames may be split or share a CopyData") {
    taker whole;
    const std::string log = given(whole, all).run();
    for (const std::size_t size : {1u, 2u, 3u, 7u, 20u}) {
        taker it;
        it.backup = opened;
        for (bytes rest = all; !rest.empty();) {
            const bytes next = rest.first(std::min<std::size_t>(size, rest.size()));
            it.backup = it.backup + copy_data(spelled::of(next));
            rest = rest.subspan(next.size());
        }
        it.backup = it.backup + copy_data({}) + done;
        CHECK(it.run() == log);
        CHECK(it.data == "abcde");
    }
    for (const std::size_t chunk : {1u, 5u, 64u}) {
        taker it;
        it.chunk = chunk;
        CHECK(given(it, all).run() == log);
        CHECK(it.data == "abcde");
    }
}

TEST_CASE("a stream that ends before BackupEnd is no backup") {
    fails(opened + done, errc::backup_unended);
    fails(opened + copy_data(begin) + done, errc::backup_unended);
    fails(opened + copy_data(begin + files) + done, errc::backup_unended);
    fails(opened + copy_data(begin + entries::file_start("a", 1)) + done, errc::backup_unended);
    for (std::size_t size = 1; size < all.size(); size += 3)
        fails(opened + copy_data(spelled::of(bytes(all).first(size))) + done, errc::backup_unended);
}

TEST_CASE("an answer without a copy is no backup") {
    fails(completed("BASE_BACKUP") + ready(), errc::backup_incomplete);
}

TEST_CASE("a backup whose frames are wrong is given up at once") {
    fails(opened + copy_data(files), errc::backup_header_missing);
    fails(opened + copy_data(begin + begin), errc::backup_header_repeated);
    fails(opened + copy_data(begin + entries::file("../a", "")), errc::file_path_refused);
    fails(opened + copy_data(begin + entries::file_start("a", 1) + entries::file_data("xy")),
          errc::file_too_long);
}

TEST_CASE("a frame behind the end is wrong, in the same CopyData or in another") {
    fails(opened + copy_data(all + entries::backup_end()) + done, errc::frame_after_end);
    fails(opened + copy_data(all) + copy_data(begin) + done, errc::frame_after_end);
}

TEST_CASE("an error behind the last frame takes the backup back") {
    taker it;
    it.backup = opened + copy_data(all) + mistake("XX001") + ready();
    CHECK(it.run().ends_with("file ended\nerror XX001\ndisconnect\ngiven up\n"));
}

TEST_CASE("a command that fails ends it with the server's error") {
    taker it;
    it.backup = mistake("53300") + ready();
    CHECK(it.run() == "connect\nsource 4711 3 10\nerror 53300\ndisconnect\ngiven up\n");
    CHECK(it.asked.ends_with("X"));
}

TEST_CASE("the header is of the system and the timeline that were identified") {
    fails(opened + copy_data(entries::header(8, 3, "4712") + files + entries::backup_end()) + done,
          errc::system_identifier_mismatch);
    fails(opened + copy_data(entries::header(8, 3, "") + entries::backup_end()) + done,
          errc::system_identifier_mismatch);
    fails(opened + copy_data(entries::header(8, 4, "4711") + entries::backup_end()) + done,
          errc::timeline_mismatch);
    taker named;
    named.identity = "cluster-a";
    given(named, entries::header(8, 3, "cluster-a") + entries::backup_end());
    CHECK(named.run().ends_with("backup ended\ndisconnect\ntaken\n"));
}

TEST_CASE("another system or timeline than the expected one is not backed up") {
    replica::base_backup_options chosen;
    chosen.system_identifier = 1;
    taker other(chosen);
    CHECK(given(other, all).run() == "connect\ndisconnect\ngiven up\n");
    CHECK(other.verdict == errc::system_identifier_mismatch);
    replica::base_backup_options late;
    late.timeline = timeline_id{2};
    taker old(late);
    CHECK(given(old, all).run() == "connect\ndisconnect\ngiven up\n");
    CHECK(old.verdict == errc::timeline_mismatch);
    replica::base_backup_options right;
    right.system_identifier = 4711;
    right.timeline = timeline_id{3};
    taker good(right);
    CHECK(given(good, all).run().ends_with("taken\n"));
}

TEST_CASE("AionDB's backup has no options") {
    taker it;
    it.what.label = "x";
    given(it, all).run();
    CHECK(it.begun == errc::unsupported_version);
    CHECK(it.machine->begin(wire::base_backup{}) == errc::none);
    CHECK(it.run().ends_with("taken\n"));
    taker incremental;
    incremental.what.incremental = true;
    given(incremental, all).run();
    CHECK(incremental.begun == errc::unsupported_version);
}

TEST_CASE("a connection that is lost in the middle is a backup that is not taken") {
    for (std::size_t size = 0; size < all.size(); size += 5) {
        taker it;
        const buffer message = copy_data(all);
        it.backup = opened + spelled::of(bytes(message).first(5 + size));
        it.hangs_up = true;
        CHECK(it.run().ends_with("disconnect\ngiven up\n"));
        CHECK(it.verdict == errc::connection_lost);
    }
}

TEST_CASE("it can be stopped in the middle of a file") {
    taker it;
    it.backup = opened + copy_data(begin + entries::file_start("a", 9) + entries::file_data("xyz"));
    it.run();
    CHECK(it.data == "xyz");
    it.machine->stop();
    CHECK(it.run().ends_with("disconnect\nstopped\n"));
    CHECK(it.machine->over());
}

TEST_CASE("PostgreSQL's archives are no frames, nor frames archives") {
    fails(opened + copy_data(spelled::of("nbase.tar") + buffer(2)) + done, errc::frame_unknown);
    fails(opened + copy_data(buffer(512)) + done, errc::frame_unknown);
}
