#include <walwire/primary/session.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "aiondb/words.hpp"
#include "primary/client.hpp"
#include "support/no_alloc.hpp"

using namespace caller;
using entries::entry_batch;
using entries::entry_run;
using primary::served_timeline;

namespace {

plan speaks() {
    plan made;
    made.options.dialect = dialect::aiondb;
    made.answers = false; // the test does
    return made;
}
constexpr served_timeline current(std::uint64_t end) {
    return {{3}, lsn{end}, {}, {}};
}
buffer starts(std::string_view from = "0/00000001") {
    return query("START_REPLICATION " + std::string(from) + " TIMELINE 3");
}
// What was said since the last question, as bytes.
class listener : public server {
  public:
    explicit listener(const plan& chosen = speaks()) : server(chosen) {
        feed(startup());
        news();
        fresh();
    }
    buffer fresh() {
        const bytes all = said;
        return of(all.subspan(std::exchange(at_, said.size())));
    }
    std::string lines() { return words(fresh()); }

  private:
    std::size_t at_ = 0;
};
// A stream of a log that ends at `end`, from entry `from` on.
struct opened : listener {
    explicit opened(std::uint64_t from = 1, std::uint64_t log_end = 10,
                    const plan& chosen = speaks())
        : listener(chosen) {
        const lsn_text text = to_text(lsn{from}, dialect::aiondb);
        feed(starts(std::string_view(text)));
        REQUIRE((*this)->stream(current(log_end)) == errc::none);
        feed();
        CHECK(fresh() == hex("57 00000007 00 0000"));
        news();
    }
    errc send(std::uint64_t first, std::uint64_t last) {
        lent_ = entry_run(first, last);
        const errc code = (*this)->send_entries({first}, {last}, lent_);
        feed();
        return code;
    }
    buffer lent_;
};
buffer status_of(std::uint64_t written, std::uint64_t flushed, std::uint64_t applied) {
    return copy_data(entries::status(written, flushed, applied));
}

} // namespace

TEST_CASE("a client is let in as by PostgreSQL, and told only what the owner wants it to be told") {
    server hears(speaks());
    hears.feed(startup());
    CHECK(words(hears.said) == "R0 \nK 0000004d01020304\nZ I\n");
    CHECK(hears.events() == "login repl repl 3.0\nin none\n");
    plan chosen = speaks();
    const wire::parameter names[] = {{"server_version", "AionDB 0.3"}};
    chosen.options.parameters = names;
    server telling(chosen);
    telling.feed(startup());
    CHECK(words(telling.said).find("S server_version=AionDB 0.3\n") != std::string::npos);
}

TEST_CASE("IDENTIFY_SYSTEM: systemid text, timeline int4, xlogpos text, dbname text or null") {
    listener hears;
    hears.feed(query("IDENTIFY_SYSTEM"));
    CHECK(hears.news() == "identify\n");
    CHECK(hears->answer(primary::system_identity{4711, {3}, lsn{0x1'0000'00ab}, {}}) == errc::none);
    hears.feed();
    CHECK(hears.lines() == "T systemid:25 timeline:23 xlogpos:25 dbname:25\n"
                           "D 4711 3 1/000000AB null\nC IDENTIFY_SYSTEM\nZ I\n");
    hears.feed(query("IDENTIFY_SYSTEM"));
    CHECK(hears->answer(primary::system_identity{4711, {3}, lsn{0}, "d"}) == errc::none);
    hears.feed();
    CHECK(hears.lines().find("D 4711 3 0/00000000 d\n") != std::string::npos);
    hears.feed(query("IDENTIFY_SYSTEM"));
    CHECK(hears->answer(primary::system_identity{0, {3}, lsn{0}, {}, "cluster-a"}) == errc::none);
    hears.feed();
    CHECK(hears.lines().find("D cluster-a 3 0/00000000 null\n") != std::string::npos);
}

TEST_CASE("TLS is accepted or declined as an SSLRequest is by PostgreSQL") {
    for (const auto tls : {primary::encryption::offered, primary::encryption::required}) {
        plan chosen = speaks();
        chosen.options.tls = tls;
        server hears(chosen);
        hears.feed(ssl_request());
        CHECK(hears.said == of("S"));
        CHECK(hears.events() == "tls\n");
        hears.feed(startup());
        CHECK(hears.events() == "tls\nlogin repl repl 3.0 encrypted\nin none\n");
        hears.feed(starts());
        CHECK(hears->stream(current(10)) == errc::none);
    }
    server declines(speaks());
    declines.feed(ssl_request()).feed(startup());
    CHECK(words(declines.said, 1) == "answer N\nR0 \nK 0000004d01020304\nZ I\n");
    plan strict = speaks();
    strict.options.tls = primary::encryption::required;
    server plain(strict);
    plain.feed(startup());
    CHECK(plain.last().starts_with("failed "));
}

TEST_CASE("TIMELINE_HISTORY: filename text, content text; without a number the current one") {
    listener hears;
    hears.feed(query("TIMELINE_HISTORY"));
    CHECK(hears.news() == "history 0\n");
    const std::string content = "1\t0/0000000A\tpromotion\n";
    CHECK(hears->answer(primary::history_content{{2}, as_bytes(content)}) == errc::none);
    hears.feed();
    CHECK(hears.lines() == "T filename:25 content:25\nD 00000002.history " + content +
                               "\nC TIMELINE_HISTORY\nZ I\n");
    hears.feed(query("TIMELINE_HISTORY 7"));
    CHECK(hears.news() == "history 7\n");
}

TEST_CASE("CREATE_REPLICATION_SLOT: its name, a consistent point, two nulls") {
    listener hears;
    hears.feed(query("CREATE_REPLICATION_SLOT s PHYSICAL RESERVE_WAL"));
    CHECK(hears.news() == "create s\n");
    CHECK(hears->answer(primary::created_slot{"s", lsn{5}, {}, {}}) == errc::none);
    hears.feed();
    CHECK(hears.lines() == "T slot_name:25 consistent_point:25 snapshot_name:25 output_plugin:25\n"
                           "D s 0/00000005 null null\nC CREATE_REPLICATION_SLOT\nZ I\n");
}

TEST_CASE("READ_REPLICATION_SLOT: type, restart_lsn, restart_tli; three nulls when there is none") {
    listener hears;
    const auto answered = [&](const primary::slot_state& state) {
        hears.feed(query("READ_REPLICATION_SLOT s"));
        CHECK(hears->answer(state) == errc::none);
        hears.feed();
        const std::string all = hears.lines();
        const std::size_t at = all.find("\nD ") + 3;
        return all.substr(at, all.find('\n', at) - at);
    };
    CHECK(answered({true, lsn{5}, {3}}) == "physical 0/00000005 3");
    CHECK(answered({true, {}, {}}) == "physical null null");
    CHECK(answered({}) == "null null null");
}

TEST_CASE("a position may come as a plain decimal number too") {
    listener hears;
    hears.feed(query("START_REPLICATION 27"));
    CHECK(hears.news() == "start 0/1B\n");
    listener slotted;
    slotted.feed(query("START_REPLICATION SLOT s PHYSICAL 0/0000001B TIMELINE 3"));
    CHECK(slotted.news() == "start 0/1B\n");
}

TEST_CASE("START_REPLICATION of a timeline other than the current one is refused") {
    for (const std::string_view other : {"2", "4"}) {
        listener hears;
        hears.feed(query("START_REPLICATION 0/00000001 TIMELINE " + std::string(other)));
        hears.news();
        CHECK(hears->stream(current(10)) == errc::none);
        hears.feed();
        CHECK(hears.lines() == "E ERROR XX000 requested timeline " + std::string(other) +
                                   " is not the current timeline 3\nZ I\n");
        CHECK(hears.news() == "stream refused\n");
        CHECK(!hears->streaming());
        // And the connection stays usable.
        hears.feed(starts());
        CHECK(hears->stream(current(10)) == errc::none);
        CHECK(hears->streaming());
    }
    listener any;
    any.feed(query("START_REPLICATION 0/00000001"));
    CHECK(any->stream(current(10)) == errc::none);
    CHECK(any->streaming());
}

TEST_CASE("an LSN advances by 1 per entry or by its encoded bytes, and both are sent in order") {
    opened counted(1, 1000);
    CHECK(counted.send(1, 3) == errc::none);
    CHECK(counted->next() == lsn{4});
    CHECK(counted.send(4, 4) == errc::none);
    opened sized(1, 1000);
    std::uint64_t at = 0, batches = 0;
    for (std::uint64_t number = 1; number <= 20; ++number) {
        const std::uint64_t before = at;
        at += entries::entry(number).size();
        sized.lent_ = entries::entry(number);
        CHECK(sized->send_entries({at}, {at}, sized.lent_) == errc::none);
        sized.feed();
        CHECK(sized->next() == lsn{at + 1});
        CHECK(sized->progress().sent() == lsn{at});
        sized.feed(status_of(at, at, before));
        CHECK(sized->progress().flushed() == lsn{at});
        CHECK(sized->progress().applied() == lsn{before});
        ++batches;
    }
    CHECK(at > 3 * batches);
    CHECK(sized->progress().clamped() == 0);
}

TEST_CASE("a start behind the end of the log is refused, without a copy") {
    listener hears;
    hears.feed(starts("0/0000000B"));
    CHECK(hears->stream(current(10)) == errc::none);
    hears.feed();
    CHECK(hears.lines() == "E ERROR XX000 requested starting point 0/0000000B is ahead of the WAL "
                           "flush position of this server 0/0000000A\nZ I\n");
    for (const std::string_view at : {"0/0000000A", "0/00000001"}) {
        listener fine;
        fine.feed(starts(at));
        CHECK(fine->stream(current(10)) == errc::none);
        CHECK(fine->streaming());
    }
    listener empty; // a log without an entry is followed from the first
    empty.feed(starts());
    CHECK(empty->stream(current(0)) == errc::none);
    CHECK(empty->streaming());
}

TEST_CASE("only the current timeline is served, and it does not end while it streams") {
    listener hears;
    hears.feed(starts());
    CHECK(hears->stream({{3}, lsn{10}, {4}, lsn{10}}) == errc::argument_invalid);
    CHECK(hears->stream(current(10)) == errc::none);
    CHECK(hears->end_timeline({4}, lsn{10}) == errc::not_now);
}

TEST_CASE(
    "a command that fails answers ErrorResponse then ReadyForQuery and the connection stays") {
    listener hears;
    for (const std::string_view command :
         {"IDENTIFY_SYSTEM", "TIMELINE_HISTORY 9", "CREATE_REPLICATION_SLOT s PHYSICAL",
          "READ_REPLICATION_SLOT s", "START_REPLICATION 0/00000001", "BASE_BACKUP"}) {
        hears.feed(query(command));
        CHECK(hears->refuse({"XX000", "no", {}, {}, false}) == errc::none);
        hears.feed();
        CHECK(hears.lines() == "E ERROR XX000 no\nZ I\n");
        CHECK(hears->at() == wire::phase::idle);
    }
    hears.feed(query("START_REPLICATION nowhere")); // what is no command is said to be none
    CHECK(hears->at() == wire::phase::idle);
    CHECK(hears.lines().ends_with("Z I\n"));
}

TEST_CASE("a batch is one CopyData: its head, and the entries as they lie there") {
    opened hears;
    hears.writes(false);
    const buffer lent = entry_run(1, 4);
    CHECK(hears->wants_wal());
    CHECK(hears->next() == lsn{1});
    CHECK(hears->send_entries({1}, {4}, lent) == errc::none);
    CHECK(hears->output().body.data() == lent.data());
    CHECK(hears->output().body.size() == lent.size());
    CHECK(!hears->wants_wal());
    CHECK(hears->send_entries({5}, {5}, lent) == errc::not_now);
    hears.write();
    CHECK(hears.fresh() == copy_data(entry_batch(1, 4)));
    CHECK(hears->wants_wal());
    CHECK(hears->next() == lsn{5});
    CHECK(hears->progress().sent() == lsn{4});
}

TEST_CASE("entries are sent in order, and none of them twice on one stream") {
    opened hears(5);
    CHECK(hears.send(4, 6) == errc::argument_invalid);
    CHECK(hears.send(6, 5) == errc::argument_invalid);
    CHECK(hears.send(0, 0) == errc::argument_invalid);
    CHECK(hears->send_entries({5}, {6}, {}) == errc::argument_invalid);
    CHECK(hears->send_entries({5}, {UINT64_MAX}, of("x")) == errc::lsn_overflow);
    const buffer huge(aiondb::entries_size_max + 1);
    CHECK(hears->send_entries({5}, {6}, huge) == errc::argument_too_long);
    CHECK(hears.fresh().empty());
    CHECK(hears.send(5, 6) == errc::none);
    CHECK(hears.send(6, 7) == errc::argument_invalid);
    CHECK(hears.send(7, 7) == errc::none);
    CHECK(hears.send(500, 700) == errc::none); // numbers may be left out
    CHECK(hears.fresh() == copy_data(entry_batch(5, 6)) + copy_data(entry_batch(7, 7)) +
                               copy_data(entry_batch(500, 700)));
    // The largest that there is, a replica takes as well.
    CHECK(hears->send_entries({701}, {702}, bytes(huge).first(aiondb::entries_size_max)) ==
          errc::none);
    CHECK(load<std::uint32_t>(hears->output().head.data() + 1) == 8'388'608 + 4);
}

TEST_CASE("entry 0 is no entry, even where a replica asks from 0 on") {
    opened hears(0, 0);
    CHECK(hears.send(0, 0) == errc::argument_invalid);
    CHECK(hears.send(0, 3) == errc::argument_invalid);
    CHECK(hears.send(1, 3) == errc::none);
}

TEST_CASE("when idle it asks for a sign of life every 10 s") {
    opened hears;
    const std::int64_t begun = hears.now.steady;
    CHECK(hears->deadline() == begun + 10 * second);
    hears.wait_until(begun + 10 * second - 1);
    CHECK(hears.fresh().empty());
    hears.now.wall = 0x1122334455667788;
    hears.wait_until(begun + 10 * second);
    CHECK(hears.fresh() == copy_data(entries::keepalive(10, 0x1122334455667788, 1)));
    CHECK(hears->deadline() == begun + 20 * second);
    hears.feed(status_of(0, 0, 0));
    hears.wait_until(begun + 20 * second);
    CHECK(hears.fresh() == copy_data(entries::keepalive(10, 0x1122334455667788, 1)));
    // What is sent is a sign of life by itself.
    hears.wait_until(begun + 25 * second);
    CHECK(hears.send(1, 12) == errc::none);
    hears.fresh();
    hears.wait_until(begun + 35 * second - 1);
    CHECK(hears.fresh().empty());
    hears.wait_until(begun + 35 * second);
    CHECK(hears.fresh() == copy_data(entries::keepalive(12, 0x1122334455667788, 1)));
    // The end is what the owner last told.
    hears->advance(lsn{40});
    hears.wait_until(begun + 45 * second);
    CHECK(hears.fresh() == copy_data(entries::keepalive(40, 0x1122334455667788, 1)));
}

TEST_CASE("a replica that says nothing for wal_sender_timeout is given up") {
    opened hears;
    const std::int64_t begun = hears.now.steady;
    for (int i = 1; i < 6; ++i) hears.wait_until(begun + i * 10 * second);
    CHECK(hears.news().empty());
    hears.wait_until(begun + 60 * second);
    CHECK(hears.news().starts_with("failed "));
}

TEST_CASE("a status tells what the replica said, and progress what can be true of it") {
    opened hears(5, 20);
    CHECK(hears.send(5, 9) == errc::none);
    hears.feed(status_of(9, 7, 6));
    CHECK(hears.news() == "s 9 7 6\n");
    CHECK(hears->progress().written() == lsn{9});
    CHECK(hears->progress().flushed() == lsn{7});
    CHECK(hears->progress().applied() == lsn{6});
    // Clamped: write <= last sent, flush <= write, apply <= flush.
    hears.feed(status_of(1000, 999, 998));
    CHECK(hears.news() == "s 1000 999 998\n");
    CHECK(hears->progress().written() == lsn{9});
    CHECK(hears->progress().flushed() == lsn{9});
    CHECK(hears->progress().applied() == lsn{9});
    CHECK(hears->progress().clamped() == 1);
    // Never backwards.
    CHECK(hears.send(10, 12) == errc::none);
    hears.feed(status_of(12, 5, 1));
    CHECK(hears->progress().written() == lsn{12});
    CHECK(hears->progress().flushed() == lsn{9});
    CHECK(hears->progress().applied() == lsn{9});
    hears.feed(status_of(3, 3, 3));
    CHECK(hears->progress().written() == lsn{12});
    CHECK(hears->progress().sent() == lsn{12});
}

TEST_CASE("a replica that resumes has the entry that it names, and is believed that") {
    opened hears(7, 20);
    hears.feed(status_of(7, 7, 7));
    CHECK(hears->progress().flushed() == lsn{7});
    hears.feed(status_of(8, 8, 8));
    CHECK(hears->progress().flushed() == lsn{7});
}

TEST_CASE("entry 1 is asked for by who has nothing too, and is believed only once it was sent") {
    for (const std::uint64_t from : {0u, 1u}) {
        opened hears(from, 20);
        CHECK(hears->progress().sent() == lsn{0});
        hears.feed(status_of(1, 1, 1));
        CHECK(hears->progress().flushed() == lsn{0});
        CHECK(hears->progress().clamped() == 1);
        CHECK(hears.send(1, 1) == errc::none);
        hears.feed(status_of(1, 1, 1));
        CHECK(hears->progress().flushed() == lsn{1});
        CHECK(hears->progress().clamped() == 1);
    }
}

TEST_CASE("a reply to a keepalive is told") {
    opened hears;
    hears.feed(copy_data(entries::keepalive_reply(77)));
    CHECK(hears.news() == "alive 77\n");
    CHECK(hears.fresh().empty());
}

TEST_CASE("what does not follow AionDB's tables ends the session with its code") {
    struct wrong {
        buffer said;
        errc code;
    };
    using entries::tagged;
    for (const auto& [content, code] : {
             wrong{entry_batch(1, 3), errc::entry_direction_invalid},
             wrong{entries::keepalive(1, 1, 1), errc::entry_direction_invalid},
             wrong{tagged(1, {}), errc::entry_direction_invalid},
             wrong{tagged(3, {}), errc::entry_direction_invalid},
             wrong{entries::status(3, 4, 1), errc::entry_status_disordered},
             wrong{entries::status(5, 4, 5), errc::entry_status_disordered},
             wrong{tagged(2, buffer(23)), errc::entry_size_invalid},
             wrong{tagged(2, buffer(25)), errc::entry_size_invalid},
             wrong{tagged(4, buffer(9)), errc::entry_size_invalid},
             wrong{entries::status(3, 2, 1) + of("x"), errc::entry_size_mismatch},
             wrong{entries::status(3, 2, 1) + entries::status(3, 2, 1), errc::entry_size_mismatch},
             wrong{of("\x02"), errc::entry_size_mismatch},
             wrong{hex("02 01008000 00"), errc::entry_too_large},
             wrong{tagged(0, {}), errc::stream_unknown},
             wrong{tagged(5, {}), errc::stream_unknown},
             // PostgreSQL's.
             wrong{of("r") + buffer(33), errc::stream_unknown},
             wrong{of("h") + buffer(24), errc::stream_unknown},
             wrong{of("p") + buffer(8), errc::stream_unknown},
         }) {
        for (const std::size_t split : {std::size_t{0}, std::size_t{1}, std::size_t{7}}) {
            opened hears;
            const std::size_t before = hears->eaten();
            const buffer message = copy_data(content);
            hears.feed(bytes(message).first(split));
            hears.feed(bytes(message).subspan(split));
            CHECK(hears.last() == failure(code, before));
            CHECK(hears->over());
            // And the client is told which rule it was.
            CHECK(hears.lines() == "E FATAL 08P01 " + std::string(walwire::text(code)) + '\n');
        }
    }
}

TEST_CASE("a status above the limits is refused before a byte of it is kept") {
    opened hears;
    const std::size_t before = hears->eaten();
    hears.feed(header('d', 16 * 1024 + 4));
    CHECK(hears.last() == failure(errc::message_too_large, before));
}

TEST_CASE("AionDB's messages are refused in PostgreSQL's dialect, and its calls as well") {
    for (const buffer& content : {entries::status(3, 2, 1), entries::keepalive_reply(7),
                                  entry_batch(1, 3), entries::keepalive(1, 1, 1)}) {
        plan chosen;
        chosen.end = start;
        server hears(chosen);
        stream(hears);
        hears.feed(copy_data(content));
        CHECK(hears.last() == failure(errc::stream_unknown, caller::streaming().size()));
    }
    server hears((plan()));
    stream(hears);
    CHECK(hears->end_stream() == errc::not_now);
    CHECK(hears->send_entries({1}, {2}, of("x")) == errc::not_now);
    CHECK(hears->begin_frames() == errc::not_now);
    CHECK(hears->end_frames() == errc::not_now);
}

TEST_CASE("PostgreSQL's calls are refused in AionDB's dialect") {
    opened hears;
    CHECK(hears->send(of("x")) == errc::not_now);
    listener other;
    other.feed(query("BASE_BACKUP"));
    CHECK(other->begin_backup({}) == errc::not_now);
    CHECK(other->list({}) == errc::not_now);
    CHECK(other->begin_frames() == errc::none);
    CHECK(other->begin_archive({}) == errc::not_now);
    CHECK(other->begin_manifest() == errc::not_now);
    CHECK(other->end_backup({}) == errc::not_now);
    CHECK(other->end_frames() == errc::none);
}

TEST_CASE("a replica stops by CopyDone and then Terminate, and no batch is cut for it") {
    opened hears(1, 3);
    CHECK(hears.send(1, 3) == errc::none);
    hears.fresh();
    hears.feed(status_of(3, 3, 0) + copy_done() + terminate());
    CHECK(hears.news() == "s 3 3 0\nstream stopped\nclosed terminated\n");
    CHECK(hears.lines() == "c\nC START_STREAMING\nC START_REPLICATION\nZ I\n");
    opened halfway(1, 3);
    halfway.writes(false);
    const buffer lent = entry_run(1, 3);
    CHECK(halfway->send_entries({1}, {3}, lent) == errc::none);
    halfway.feed(copy_done());
    halfway.writes(true);
    halfway.feed();
    CHECK(halfway.fresh() == copy_data(entry_batch(1, 3)) + header('c', 4) +
                                 message('C', text("START_STREAMING")) +
                                 message('C', text("START_REPLICATION")) + hex("5a 00000005 49"));
    CHECK(!halfway->wants_wal());
}

TEST_CASE("a stream can be refused in the middle, and another one asked for") {
    opened hears;
    CHECK(hears.send(1, 3) == errc::none);
    hears.fresh();
    CHECK(hears->refuse({"57P01", "promoted", {}, {}, false}) == errc::none);
    hears.feed();
    CHECK(hears.news() == "stream refused\n");
    CHECK(hears.lines() == "E ERROR 57P01 promoted\nZ I\n");
    hears.feed(starts("0/00000003"));
    CHECK(hears->stream(current(10)) == errc::none);
    CHECK(hears->next() == lsn{3});
    CHECK(hears->progress().flushed() == lsn{0});
}

TEST_CASE("a stream that the primary ends is ended by both, and another one can be asked for") {
    opened hears(1, 10);
    CHECK(hears.send(1, 3) == errc::none);
    hears.fresh();
    CHECK(hears->end_stream() == errc::none);
    CHECK(!hears->wants_wal());
    CHECK(hears->deadline() < hears.now.steady);
    hears.feed();
    CHECK(hears.fresh() == header('c', 4));
    CHECK(hears->streaming());
    hears.feed(status_of(3, 3, 0));
    CHECK(hears->progress().flushed() == lsn{3});
    CHECK(hears.lines().empty());
    CHECK(hears->end_stream() == errc::none);
    hears.feed(copy_done());
    CHECK(hears.news() == "s 3 3 0\nstream stopped\n");
    CHECK(hears.lines() == "C START_STREAMING\nC START_REPLICATION\nZ I\n");
    CHECK(hears->end_stream() == errc::not_now);
    hears.feed(starts("0/00000003"));
    CHECK(hears->stream(current(10)) == errc::none);
    CHECK(hears->next() == lsn{3});
    CHECK(hears->wants_wal());
    // Not in the middle of a batch.
    hears.writes(false);
    const buffer lent = entry_run(3, 4);
    CHECK(hears->send_entries({3}, {4}, lent) == errc::none);
    CHECK(hears->end_stream() == errc::none);
    hears.feed();
    hears.writes(true);
    hears.fresh();
    hears.feed();
    hears.feed();
    const buffer said = hears.fresh();
    CHECK(said == hex("57 00000007 00 0000") + copy_data(entry_batch(3, 4)) + header('c', 4));
}

TEST_CASE("a shutdown waits until the last entry was acknowledged") {
    opened hears(1, 3);
    CHECK(hears->shut_down() == errc::none);
    CHECK(hears.send(1, 3) == errc::none);
    CHECK(hears->streaming());
    hears.feed(status_of(3, 2, 0));
    CHECK(hears->streaming());
    hears.feed(status_of(3, 3, 0));
    CHECK(hears.last() == "closed shut down\n");
    // A replica that has the last entry already, once it was sent that again.
    opened resumed(3, 3);
    CHECK(resumed->shut_down() == errc::none);
    resumed.feed(status_of(3, 3, 0));
    CHECK(resumed->streaming());
    CHECK(resumed.send(3, 3) == errc::none);
    CHECK(resumed.last() == "closed shut down\n");
    // And one of a log that has none, at once.
    opened empty(1, 0);
    CHECK(empty->shut_down() == errc::none);
    empty.feed();
    CHECK(empty.last() == "closed shut down\n");
}

TEST_CASE("BASE_BACKUP: a copy of frames, CopyDone, its tag, ReadyForQuery") {
    listener hears;
    hears.feed(query("BASE_BACKUP"));
    CHECK(hears.news() == "backup\n");
    CHECK(hears->end_frames() == errc::not_now);
    CHECK(!hears->wants_backup());
    CHECK(hears->begin_frames() == errc::none);
    CHECK(hears->begin_frames() == errc::not_now);
    hears.feed();
    CHECK(hears.fresh() == hex("48 00000007 00 0000"));
    const buffer frames = entries::header(8, 3, "4711") + entries::file("wal/1", "abcde");
    const buffer end = entries::backup_end();
    CHECK(hears->wants_backup());
    CHECK(hears->send_backup(frames) == errc::none);
    CHECK(!hears->wants_backup());
    CHECK(hears->send_backup(frames) == errc::not_now);
    CHECK(hears->end_frames() == errc::not_now);
    hears.feed();
    CHECK(hears->send_backup(end) == errc::none);
    hears.feed();
    CHECK(hears->end_frames() == errc::none);
    hears.feed();
    CHECK(hears.fresh() == copy_data(frames) + copy_data(end) + header('c', 4) +
                               message('C', text("BASE_BACKUP")) + hex("5a 00000005 49"));
    CHECK(hears->at() == wire::phase::idle);
    CHECK(!hears->wants_backup());
}

TEST_CASE("a large file is cut into messages, and what is refused in the middle ends the copy") {
    listener hears;
    hears.feed(query("BASE_BACKUP"));
    CHECK(hears->begin_frames() == errc::none);
    hears.feed();
    hears.fresh();
    const buffer large(100'000, std::byte{'z'});
    CHECK(hears->send_backup(large) == errc::none);
    hears.feed();
    std::size_t seen = 0;
    const buffer sent = hears.fresh();
    for (bytes rest = sent; !rest.empty();) {
        const std::size_t size = load<std::uint32_t>(rest.data() + 1) - 4;
        CHECK(rest[0] == std::byte{'d'});
        CHECK(size <= 32 * 1024);
        seen += size;
        rest = rest.subspan(5 + size);
    }
    CHECK(seen == large.size());
    CHECK(hears->refuse({"58030", "cannot read", {}, {}, false}) == errc::none);
    hears.feed();
    CHECK(hears.lines() == "E ERROR 58030 cannot read\nZ I\n");
    hears.feed(query("IDENTIFY_SYSTEM"));
    CHECK(hears.last() == "identify\n");
}

TEST_CASE("a stream of statuses that is cut anywhere, or has any byte flipped, ends once") {
    const buffer all =
        status_of(3, 2, 1) + copy_data(entries::keepalive_reply(9)) + status_of(5, 5, 5);
    for (std::size_t at = 0; at < all.size(); ++at) {
        opened cut;
        cut.feed(bytes(all).first(at));
        cut.finish();
        CHECK(cut.last().starts_with("failed "));
        for (const int bit : {0, 6}) {
            buffer flipped = all;
            flipped[at] ^= static_cast<std::byte>(1 << bit);
            opened hears;
            hears.feed(flipped);
            hears.finish();
            CHECK(hears->over());
            const std::string told = hears.events();
            CHECK(told.find("failed ") == told.size() - hears.last().size());
        }
    }
}

TEST_CASE("streaming entries allocates nothing") {
    opened hears;
    const buffer lent = entry_run(1, 4);
    const buffer told = status_of(4, 4, 4);
    support::allocations made;
    const errc code = hears->send_entries({1}, {4}, lent);
    while (!hears->output().empty()) hears->consume(1);
    bytes in = told;
    bool heard = false;
    while (hears->poll(in, hears.now)) heard = true;
    const auto count = made.count();
    CHECK(count == 0);
    CHECK(code == errc::none);
    CHECK(heard);
}
