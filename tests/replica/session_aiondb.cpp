#include <walwire/replica/session.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include <walwire/replica/retry.hpp>

#include "aiondb/words.hpp"
#include "replica/dialogue.hpp"
#include "support/no_alloc.hpp"

using namespace dialogue;
using aiondb::entry_lsn;
using entries::batch;
using entries::entry_batch;

namespace {

plan speaks(plan made = {}) {
    made.options.dialect = walwire::dialect::aiondb;
    return made;
}
plan asks_for(const wire::command& command) {
    return speaks(asks(command));
}
plan follows(std::uint64_t from) {
    return speaks(streams(lsn{from}));
}
// AionDB's primaries need not say a server_version.
buffer let_in() {
    return authentication(0) + key() + ready();
}
buffer streaming_now() {
    return let_in() + copy_both();
}
buffer part(const buffer& content) {
    return entries::copy_data(content);
}
// The client streams from entry `from` on, what it said up to then is forgotten.
client& stream(client& hears) {
    hears.feed(streaming_now());
    hears.news();
    hears.said.clear();
    return hears;
}
std::string said(client& hears) {
    hears.feed({});
    const std::string all = words(hears.said);
    hears.said.clear();
    return all;
}
std::string command_text(const plan& chosen) {
    client hears(chosen);
    hears.feed(let_in());
    return words(hears.said);
}

} // namespace

TEST_CASE("the start-up packet is v3.0 with user, replication and what else is set") {
    plan chosen = speaks();
    chosen.options.database = "d";
    chosen.options.application_name = "node-1";
    client hears(chosen);
    const auto packet = wire::parse_startup_packet(bytes(hears.said).subspan(4));
    REQUIRE(packet);
    const auto& message = std::get<wire::startup_message>(*packet);
    CHECK(message.version == wire::protocol_3_0);
    std::string pairs;
    auto list = message.list();
    while (const auto pair = list.next())
        pairs += std::string(pair->name) + '=' + std::string(pair->value) + '\n';
    CHECK(pairs == "user=repl\ndatabase=d\nreplication=true\napplication_name=node-1\n");
}

TEST_CASE("TLS is asked for by SSLRequest, before anything else is said") {
    for (const auto wanted : {replica::encryption::offered, replica::encryption::required}) {
        plan chosen = speaks();
        chosen.options.tls = wanted;
        client accepted(chosen);
        CHECK(accepted.said == spelled::hex("00000008 04d2162f"));
        accepted.said.clear();
        accepted.feed(of("S"));
        CHECK(accepted.news() == "tls_accepted\n");
        CHECK(wire::parse_startup_packet(bytes(accepted.said).subspan(4)));
        accepted.feed(let_in());
        CHECK(accepted.news() == "key of 4\nready I\n");
        client declined(chosen);
        declined.said.clear();
        declined.feed(of("N"));
        const bool goes_on = wanted == replica::encryption::offered;
        CHECK(!declined.said.empty() == goes_on);
        CHECK(declined->over() == !goes_on);
        // What follows the answer unencrypted was put there by somebody else.
        client injected(chosen);
        injected.poll(of("S") + let_in());
        CHECK(injected.news() == failure(errc::bytes_before_encryption, 0) + '\n');
    }
}

TEST_CASE("a primary of AionDB need not tell a server_version") {
    CHECK(heard(speaks(), let_in()) == "key of 4\nready I\n");
    CHECK(heard(speaks(), authentication(0) + parameter("server_version", "AionDB 1") + ready()) ==
          "parameter server_version\nready I\n");
    CHECK(ending(plan{}, let_in()) ==
          failure(errc::server_version_invalid, (authentication(0) + key()).size()));
}

TEST_CASE("the limits are AionDB's: 5 s, 60 s, 8 MiB, 1024 columns, 10 s between statuses") {
    const replica::options usual;
    CHECK(usual.connect_timeout == 5 * second);
    CHECK(usual.silence_timeout == 60 * second);
    CHECK(usual.status_interval == 10 * second);
    CHECK(usual.limits.copy_data_size_max == 8'388'608);
    CHECK(usual.limits.columns_max == 1024);
    CHECK(replica::backoff_first == 250 * millisecond);
    CHECK(replica::backoff_longest == 30 * second);
}

TEST_CASE("the status interval is at least a second") {
    buffer stash(stash_size), out(out_size);
    plan chosen = speaks();
    for (const std::int64_t interval : {millisecond, second - 1, second, never}) {
        chosen.options.status_interval = interval;
        chosen.options.dialect = walwire::dialect::aiondb;
        CHECK(replica::session::check(chosen.options, {stash, out}) ==
              (interval < second ? errc::argument_invalid : errc::none));
        chosen.options.dialect = walwire::dialect::postgres;
        CHECK(replica::session::check(chosen.options, {stash, out}) == errc::none);
    }
}

TEST_CASE("there is one kind of connection and one version of the protocol") {
    buffer stash(stash_size), out(out_size);
    plan chosen = speaks();
    CHECK(replica::session::check(chosen.options, {stash, out}) == errc::none);
    chosen.options.mode = replica::replication_mode::database;
    CHECK(replica::session::check(chosen.options, {stash, out}) == errc::argument_invalid);
    chosen = speaks();
    chosen.options.version = wire::protocol_3_2;
    CHECK(replica::session::check(chosen.options, {stash, out}) == errc::argument_invalid);
}

TEST_CASE("commands are spelled as AionDB's primaries read them") {
    CHECK(command_text(asks_for(wire::identify_system{})) == "Q IDENTIFY_SYSTEM\n");
    CHECK(command_text(asks_for(wire::timeline_history{})) == "Q TIMELINE_HISTORY\n");
    CHECK(command_text(asks_for(wire::timeline_history{timeline_id{7}})) ==
          "Q TIMELINE_HISTORY 7\n");
    CHECK(command_text(asks_for(wire::read_replication_slot{"s"})) ==
          "Q READ_REPLICATION_SLOT s\n");
    wire::create_replication_slot slot;
    slot.name = "s";
    slot.reserve_wal = true;
    CHECK(command_text(asks_for(slot)) == "Q CREATE_REPLICATION_SLOT s PHYSICAL RESERVE_WAL\n");
    CHECK(command_text(asks_for(wire::base_backup{})) == "Q BASE_BACKUP\n");
    CHECK(command_text(asks_for(wire::start_replication{"s", {0x1'0000'00ab}, timeline_id{2}})) ==
          "Q START_REPLICATION SLOT s PHYSICAL 1/000000AB TIMELINE 2\n");
    CHECK(command_text(asks_for(wire::start_replication{"", {5}, {}})) ==
          "Q START_REPLICATION 0/00000005\n");
}

TEST_CASE("answers are read: text identifiers, null databases, histories and slots") {
    const auto answered = [](const wire::command& command, std::initializer_list<value> values) {
        const std::string all = heard(asks_for(command), let_in() + answer(values), 60);
        CHECK(all.ends_with("ready I\n"));
        const std::string front = "key of 4\nready I\n";
        return all.substr(front.size(), all.size() - front.size() - 8);
    };
    CHECK(answered(wire::identify_system{}, {"77", "3", "0/0000000A", std::nullopt}) ==
          "system 77 timeline 3 at 0/A\n");
    CHECK(answered(wire::identify_system{}, {"77", "3", "0/0000000A", "d"}) ==
          "system 77 timeline 3 at 0/A database d\n");
    const std::string named =
        answered(wire::identify_system{}, {"cluster-a", "1", "0/00000000", std::nullopt});
    CHECK(named.starts_with("system "));
    CHECK(named != answered(wire::identify_system{}, {"cluster-b", "1", "0/00000000", {}}));
    CHECK(answered(wire::timeline_history{timeline_id{2}},
                   {"00000002.history", "1\t0/0000000A\tpromotion\n"}) ==
          "history of 2: 1 0/0000000A promotion \n");
    // Without a number it is the current one's, and the file's name says which that is.
    CHECK(answered(wire::timeline_history{}, {"00000003.history", "2\t0/0000000A\tpromotion\n"}) ==
          "history of 3: 2 0/0000000A promotion \n");
    CHECK(answered(wire::read_replication_slot{"s"}, {"physical", "0/0000000A", "1"}) ==
          "slot physical 0/A timeline 1\n");
    CHECK(answered(wire::read_replication_slot{"s"}, {{}, {}, {}}) == "no slot\n");
    wire::create_replication_slot slot;
    slot.name = "s";
    CHECK(answered(slot, {"s", "0/00000000", {}, {}}) == "slot_created s 0/0\n");
}

TEST_CASE("a text identifier is told as it is") {
    buffer stash(stash_size), out(out_size);
    client hears(asks_for(wire::identify_system{}));
    std::string seen;
    const buffer words_of_it = let_in();
    hears.feed(words_of_it);
    const buffer told = answer({"cluster-a", "1", "0/00000000", std::nullopt});
    bytes in = told;
    while (const auto event = hears->poll(in, hears.now)) {
        if (const auto* const system = std::get_if<replica::system_identified>(&*event))
            seen = system->identifier_text;
    }
    CHECK(seen == "cluster-a");
}

TEST_CASE("a command that fails leaves the connection usable") {
    plan chosen = asks_for(wire::identify_system{});
    chosen.commands.push_back(wire::timeline_history{});
    chosen.commands.push_back(wire::start_replication{"", {5}, timeline_id{9}});
    chosen.commands.push_back(wire::start_replication{"", {5}, timeline_id{1}});
    const buffer refused = mistake("XX000") + ready();
    CHECK(heard(chosen, let_in() + refused + refused + refused + copy_both(), 60) ==
          "key of 4\nready I\nerror XX000 so it is\nready I\nerror XX000 so it is\nready I\n"
          "error XX000 so it is\nready I\nstreaming from 0/5\n");
}

TEST_CASE("there is no entry before the first to start from") {
    client hears(speaks());
    hears.feed(let_in());
    CHECK(hears->ask(wire::start_replication{"", {0}, {}}) == errc::argument_invalid);
    CHECK(hears->ask(wire::start_replication{"", {1}, {}}) == errc::none);
}

TEST_CASE("batches are told by their first and last entry, in the runs that arrive") {
    const buffer server = streaming_now() + part(entry_batch(5, 7)) + part(entry_batch(8, 8)) +
                          part(entry_batch(1000, 1003));
    const std::string all = heard(follows(5), server);
    CHECK(all.ends_with("streaming from 0/5\nentries 5 to 7 of " +
                        std::to_string(entries::entry_run(5, 7).size()) +
                        " bytes\nentries 8 to 8 of " + std::to_string(entries::entry(8).size()) +
                        " bytes\nentries 1000 to 1003 of " +
                        std::to_string(entries::entry_run(1000, 1003).size()) + " bytes\n"));
    client hears(follows(5));
    hears.feed(server);
    CHECK(hears.received == entries::entry_run(5, 8) + entries::entry_run(1000, 1003));
    CHECK(entries::entries_in(hears.received)->size() == 8);
}

TEST_CASE("a status goes out right after CopyBothResponse") {
    client hears(follows(5));
    hears.feed(let_in());
    hears.said.clear();
    CHECK(said(hears) == "");
    hears.feed(copy_both());
    CHECK(said(hears) == "s 0 0 0\n");
    client resumed(follows(5));
    CHECK(resumed->resume_entries({5}, {4}) == errc::none);
    resumed.feed(let_in());
    resumed.said.clear();
    resumed.feed(copy_both());
    CHECK(said(resumed) == "s 5 5 4\n");
}

TEST_CASE("a status goes out at every interval, and when a keepalive asks") {
    client hears(follows(5));
    stream(hears);
    hears.wait_until(11 * second - 1);
    CHECK(said(hears) == "");
    hears.wait_until(11 * second);
    CHECK(said(hears) == "s 0 0 0\n");
    hears.feed(part(entries::keepalive(9, 1, 0)));
    CHECK(hears.news() == "entry_keepalive 9\n");
    CHECK(said(hears) == "");
    hears.feed(part(entries::keepalive(9, 1, 1)));
    CHECK(hears.news() == "entry_keepalive 9 reply\n");
    CHECK(said(hears) == "s 0 0 0\n");
    // The end that a keepalive tells is the primary's and never becomes ours.
    CHECK(hears->acknowledged().written() == lsn{0});
    hears.wait_until(21 * second);
    CHECK(said(hears) == "s 0 0 0\n");
    CHECK(hears->statuses_sent() == 4);
}

TEST_CASE("it does not ask for a sign of life, as there is no message for that") {
    client hears(follows(5));
    plan chosen = follows(5);
    chosen.options.status_interval = never;
    client quiet(chosen);
    stream(quiet);
    CHECK(quiet->deadline() == 61 * second);
    quiet.wait_until(31 * second);
    CHECK(said(quiet) == "");
    quiet.wait_until(61 * second);
    CHECK(quiet.news() == failure(errc::silence_timeout, streaming_now().size()) + '\n');
}

TEST_CASE("flush_lsn names the last entry made durable: what came is what can be reported") {
    client hears(follows(5));
    stream(hears);
    hears.feed(part(entry_batch(5, 9)));
    hears->entries_flushed({20});
    hears->report();
    CHECK(said(hears) == "s 9 9 0\n");
    hears->entries_applied({7});
    hears->report();
    CHECK(said(hears) == "s 9 9 7\n");
    hears.feed(part(entry_batch(10, 12)));
    hears->entries_flushed({11});
    hears->entries_applied({12});
    hears->report();
    CHECK(said(hears) == "s 12 11 11\n");
    hears->entries_flushed({3}); // never backwards
    hears->entries_applied({3});
    hears->report();
    CHECK(said(hears) == "s 12 11 11\n");
}

TEST_CASE("the entry that a stream begins with counts, though nothing else has come") {
    for (const std::uint64_t first : {1u, 5u}) {
        client hears(follows(first));
        stream(hears);
        hears.feed(part(entry_batch(first, first)));
        hears->entries_flushed({first});
        hears->report();
        const std::string number = std::to_string(first) + ' ';
        CHECK(said(hears) == "s " + number + number + "0\n");
    }
}

TEST_CASE("a position is written only when its batch is whole") {
    const buffer whole = part(entry_batch(5, 9));
    for (std::size_t size = 1; size < whole.size(); ++size) {
        client hears(follows(5));
        stream(hears);
        hears.feed(bytes(whole).first(size));
        hears->entries_flushed({9});
        hears->report();
        CHECK(said(hears) == "s 0 0 0\n");
        hears.feed(bytes(whole).subspan(size));
        hears->entries_flushed({9});
        hears->report();
        CHECK(said(hears) == "s 9 9 0\n");
    }
}

TEST_CASE("each flush is reported at once where that is wanted") {
    plan chosen = follows(5);
    chosen.options.report_each_flush = true;
    client hears(chosen);
    stream(hears);
    hears.feed(part(entry_batch(5, 9)));
    CHECK(said(hears) == "");
    hears->entries_flushed({6});
    CHECK(said(hears) == "s 9 6 0\n");
    hears->entries_flushed({6});
    CHECK(said(hears) == "");
}

TEST_CASE("resuming at flush_lsn brings that entry again, and it is the least that may come") {
    client hears(follows(9));
    CHECK(hears->resume_entries({9}, {9}) == errc::none);
    stream(hears);
    hears.feed(part(entry_batch(9, 9)));
    hears->report();
    CHECK(said(hears) == "s 9 9 9\n");
    hears.feed(part(entry_batch(10, 11)));
    hears->entries_flushed({11});
    hears->report();
    CHECK(said(hears) == "s 11 11 9\n");
    // A primary that counts by encoded sizes leaves numbers out.
    hears.feed(part(entry_batch(500, 700)));
    hears->entries_flushed({700});
    hears->report();
    CHECK(said(hears) == "s 700 700 9\n");
}

TEST_CASE("batches out of order are refused") {
    const buffer before = streaming_now() + part(entry_batch(5, 9));
    refuses(follows(5), before,
            {{"the batch again", part(entry_batch(5, 9)), errc::wal_overlap},
             {"its last entry again", part(entry_batch(9, 12)), errc::wal_overlap},
             {"an older one", part(entry_batch(2, 3)), errc::wal_overlap},
             {"the last number", part(batch(10, UINT64_MAX, of("x"))), errc::lsn_overflow}});
    refuses(follows(5), streaming_now(),
            {{"an entry before the start", part(entry_batch(4, 6)), errc::wal_overlap}});
}

TEST_CASE("messages that do not follow AionDB's tables end the session") {
    using entries::tagged;
    const buffer none = part(batch(5, 9, {}));
    const buffer large = part(entries::little(1, 1) + entries::little(8'388'609, 4) + buffer(20));
    refuses(follows(5), streaming_now(),
            {{"a batch without entries", none, errc::entry_batch_empty},
             {"a batch backwards", part(batch(9, 5, of("x"))), errc::entry_batch_backwards},
             {"entry 0", part(batch(0, 5, of("x"))), errc::entry_number_zero},
             {"nothing but entry 0", part(batch(0, 0, of("x"))), errc::entry_number_zero},
             {"a batch that is short of its CopyData", part(entry_batch(5, 9) + of("x")),
              errc::entry_size_mismatch},
             {"a batch that is larger than its CopyData",
              part(buffer{std::byte{1}} + entries::little(40, 4) + buffer(30, std::byte{9})),
              errc::entry_size_mismatch},
             {"a batch above 8 MiB", large, errc::entry_too_large},
             {"a head alone", part(tagged(1, buffer(3))), errc::entry_batch_empty},
             {"a keepalive with a flag of 2", part(entries::keepalive(1, 1, 2)),
              errc::entry_flag_invalid},
             {"a keepalive of 16", part(tagged(3, buffer(16))), errc::entry_size_invalid},
             {"a keepalive and a byte", part(entries::keepalive(1, 1, 1) + of("x")),
              errc::entry_size_mismatch},
             {"two keepalives in one CopyData",
              part(entries::keepalive(1, 1, 1) + entries::keepalive(1, 1, 1)),
              errc::entry_size_mismatch},
             {"nothing", part({}), errc::stream_malformed},
             {"tag 0", part(tagged(0, {})), errc::stream_unknown},
             {"tag 5", part(tagged(5, {})), errc::stream_unknown}});
}

TEST_CASE("what only a replica may say is refused from a primary") {
    refuses(follows(5), streaming_now(),
            {{"a status", part(entries::status(3, 2, 1)), errc::entry_direction_invalid},
             {"a reply", part(entries::keepalive_reply(1)), errc::entry_direction_invalid}});
}

TEST_CASE("PostgreSQL's messages are refused in AionDB's dialect") {
    refuses(follows(0x3000000), streaming_now(),
            {{"WAL", wal_message(start, 100), errc::stream_unknown},
             {"a keepalive", keepalive(start, true), errc::stream_unknown},
             {"a keepalive that asks nothing", keepalive(start), errc::stream_unknown},
             {"a status of a primary", built([](writer& out) {
                  put(out, wire::primary_status{{1}, 2, 3, 4});
              }),
              errc::stream_unknown}});
}

TEST_CASE("AionDB's messages are refused in PostgreSQL's dialect") {
    refuses(streams(), streaming(),
            {{"a batch", part(entry_batch(start.value, start.value + 3)), errc::stream_unknown},
             {"a keepalive", part(entries::keepalive(1, 1, 1)), errc::stream_unknown},
             {"a status", part(entries::status(3, 2, 1)), errc::stream_unknown},
             {"a reply", part(entries::keepalive_reply(1)), errc::stream_unknown}});
}

TEST_CASE("limits hold before a byte is kept: 8 MiB for a batch, the stash for all else") {
    plan chosen = follows(5);
    const std::size_t at = streaming_now().size();
    const auto announced = [](std::uint32_t size, std::uint8_t tag) {
        return header('d', size + 4) + buffer{std::byte(tag)};
    };
    CHECK(ending(chosen, streaming_now() + header('d', 8'388'609 + 4), 5) ==
          failure(errc::copy_data_too_large, at));
    CHECK(ending(chosen, streaming_now() + announced(16 * 1024, 3), 5) ==
          failure(errc::message_too_large, at));
    // The largest passes through a stash of 16 KiB as the runs that arrive.
    client hears(chosen);
    stream(hears);
    const std::uint32_t size = 8'388'608;
    hears.feed(header('d', size + 4) + buffer{std::byte{1}} + entries::little(size - 5, 4) +
               entries::little(5, 8) + entries::little(9, 8));
    const buffer run(64 * 1024, std::byte{'e'});
    for (std::size_t left = size - 21; left > 0;) {
        const std::size_t next = std::min(left, run.size());
        hears.feed(bytes(run).first(next));
        left -= next;
    }
    CHECK(hears.news() == "entries 5 to 9 of 8388587 bytes\n");
    CHECK(hears.received.size() == aiondb::entries_size_max);
}

TEST_CASE("each dialect takes no notice of the other's positions") {
    client hears(follows(5));
    CHECK(hears->resume(lsn{4}, lsn{4}) == errc::not_now);
    stream(hears);
    hears.feed(part(entry_batch(5, 9)));
    hears->flushed(lsn{9});
    hears->applied(lsn{9});
    hears->feedback(7, 8); // PostgreSQL's hot-standby feedback has no message here
    hears->report();
    CHECK(said(hears) == "s 9 0 0\n");
    client other(streams());
    CHECK(other->resume_entries({4}) == errc::not_now);
    other.feed(streaming() + wal_message(start, 100));
    other.said.clear();
    other->entries_flushed({start.value + 100});
    other->entries_applied({start.value + 100});
    other->report();
    CHECK(said(other) == "r 0/3000064 0/0 0/0\n");
}

TEST_CASE("it stops by CopyDone and then Terminate") {
    client hears(follows(5));
    stream(hears);
    hears.feed(part(entry_batch(5, 9)));
    hears->entries_flushed({9});
    CHECK(hears->stop() == errc::none);
    CHECK(said(hears) == "s 9 9 0\nc\n");
    CHECK(hears->terminate() == errc::none);
    CHECK(said(hears) == "X\n");
    hears.feed({}); // it is over once that is written
    CHECK(hears.news().ends_with("closed terminated\n"));
    // What comes until the primary agrees is passed over; then the connection can be used again.
    client patient(follows(5));
    stream(patient);
    CHECK(patient->stop() == errc::none);
    patient.feed(part(entry_batch(5, 9)) + part(entry_batch(10, 12)) + copy_done() +
                 completed("START_REPLICATION") + ready());
    CHECK(patient.news() == "streaming_ended stopped\nready I\n");
    CHECK(patient->acknowledged().written() == lsn{0});
    CHECK(patient->at() == wire::phase::idle);
}

TEST_CASE("a primary that ends the stream or hangs up is told apart") {
    client hears(follows(5));
    stream(hears);
    hears.feed(copy_done());
    CHECK(said(hears) == "s 0 0 0\nc\n");
    hears.feed(completed("START_REPLICATION") + ready());
    CHECK(hears.news() == "streaming_ended server_shutdown\nready I\n");
    client cut(follows(5));
    stream(cut);
    cut.finish();
    CHECK(cut.news().starts_with("failed: " + std::string(text(errc::connection_lost))));
}

TEST_CASE("a base backup is one copy: frames pass as they come, then the tag and ready") {
    const buffer frames = entries::header(5, 1, "a") + entries::file("wal/1", "xyz");
    const buffer server = let_in() + message('H', spelled::hex("00 0000")) + part(frames) +
                          part(entries::backup_end()) + copy_done() + completed("BASE_BACKUP") +
                          ready();
    const std::string all = heard(asks_for(wire::base_backup{}), server);
    CHECK(all.find("ready I\ncopy_out of 0\ncopied ") != std::string::npos);
    CHECK(all.ends_with("copy_out_ended\ncompleted BASE_BACKUP\nready I\n"));
    refuses(asks_for(wire::base_backup{}), let_in(),
            {{"columns", message('H', spelled::hex("00 0001 0000")), errc::copy_format_invalid},
             {"a copy of both", copy_both(), errc::unexpected_message}});
}

TEST_CASE("commands that AionDB does not have are refused here") {
    client hears(speaks());
    hears.feed(let_in());
    CHECK(hears->ask(wire::show{"wal_segment_size"}) == errc::unsupported_version);
    CHECK(hears->ask(wire::drop_replication_slot{"s"}) == errc::unsupported_version);
    wire::alter_replication_slot altered;
    altered.name = "s";
    altered.failover = true;
    CHECK(hears->ask(altered) == errc::unsupported_version);
    CHECK(hears->ask(wire::upload_manifest{}) == errc::unsupported_version);
    wire::base_backup labelled;
    labelled.label = "x";
    CHECK(hears->ask(labelled) == errc::unsupported_version);
    CHECK(hears->ask(wire::identify_system{}) == errc::none);
}

TEST_CASE("a stream that ends anywhere ends the session once, with every byte flipped as well") {
    const buffer server = streaming_now() + part(entry_batch(5, 7)) +
                          part(entries::keepalive(7, 1, 1)) + part(entry_batch(8, 9));
    for (std::size_t size = 0; size <= server.size(); ++size) {
        client hears(follows(5));
        hears.feed(bytes(server).first(size));
        hears.finish();
        CHECK(last_line(hears.events()).starts_with("failed: "));
        CHECK(hears->over());
    }
    for (std::size_t at = 0; at < server.size(); ++at) {
        for (const int bit : {0, 6}) {
            buffer flipped = server;
            flipped[at] ^= static_cast<std::byte>(1 << bit);
            client hears(follows(5));
            hears.feed(flipped);
            hears.finish();
            const std::string all = hears.events();
            CHECK(hears->over());
            const std::string last = last_line(all);
            CHECK((last.starts_with("failed: ") || last.starts_with("closed ")));
            CHECK(all.find("failed: ") + 1 >= all.size() - last.size());
        }
    }
}

TEST_CASE("streaming entries allocates nothing") {
    buffer stash(stash_size), out(out_size);
    replica::options chosen = follows(1).options;
    replica::session session(chosen, {stash, out});
    const buffer opening = let_in();
    bytes in;
    const auto drain = [&] {
        while (session.poll(in, {})) {
        }
    };
    drain();
    in = opening;
    drain();
    const buffer stream_of_it =
        copy_both() + part(entry_batch(1, 40)) + part(entries::keepalive(9, 9, 1));
    support::allocations made;
    const errc code = session.ask(wire::start_replication{"", {1}, {}});
    for (bytes rest = stream_of_it; !rest.empty(); rest = rest.subspan(1)) {
        in = rest.first(1);
        drain();
        session.entries_flushed({40});
        session.consume(session.output().size());
    }
    const auto count = made.count();
    CHECK(count == 0);
    CHECK(code == errc::none);
    CHECK(session.acknowledged().flushed() == lsn{40});
}
