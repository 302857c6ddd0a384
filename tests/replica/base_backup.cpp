#include <walwire/replica/base_backup.hpp>

#include <doctest/doctest.h>

#include <string>

#include "replica/backup_taker.hpp"
#include "support/no_alloc.hpp"

using namespace taking;

static_assert(walwire::session<replica::base_backup>);

namespace {

order without_manifest() {
    order made;
    made.what.manifest = wire::backup_manifest::no;
    return made;
}
order incremental() {
    order made;
    made.what.incremental = true;
    return made;
}
std::string behind_source(const std::string& version) {
    return connecting + "source 7 3 0/5000000 " + version + " 750\n";
}

} // namespace

TEST_CASE("a backup of 15 and later, from the connection to the last byte") {
    CHECK(heard(order{}, source() + typed_backup() + ready(), 400) ==
          identified + listed + ts_told + "progress 2\narchived 0\narchive 1 base.tar\ndata ba\n" +
              "notice\ndata se\narchived 1\nmanifest\ndata {}\nmanifest is whole\n" + taken);
    owner takes{order{}};
    takes.feed(source() + typed_backup() + ready());
    CHECK(words(takes.said) == "Q IDENTIFY_SYSTEM\nQ SHOW wal_segment_size\n"
                               "Q SHOW data_directory_mode\n"
                               "Q BASE_BACKUP (LABEL 'base backup', MANIFEST 'yes')\nX\n");
    CHECK(takes->over());
    CHECK(takes->deadline() == never);
    CHECK(takes->output().empty());
}

TEST_CASE("a backup of each version up to 14") {
    for (const std::string version : {"12", "13", "14"}) {
        CAPTURE(version);
        const bool manifest = version != "12";
        const order chosen = manifest ? order{} : without_manifest();
        CHECK(heard(chosen, source(version + ".3") +
                                split_backup(manifest, manifest ? "BASE_BACKUP" : "SELECT") +
                                ready()) ==
              behind_source(version) + listed + ts_told + whole_told +
                  (manifest ? "manifest\ndata {}\nmanifest is whole\n" : "") + taken);
    }
}

TEST_CASE("a backup without a manifest, and one to another target") {
    CHECK(heard(without_manifest(), source() + typed_backup(false) + ready())
              .ends_with("data se\narchived 1\n" + taken));
    const buffer empty = place("0/5000028") + base_list() + copy_out() + announced("base.tar", "") +
                         part("m") + copy_done() + end();
    CHECK(heard(order{}, source() + empty + ready())
              .ends_with("archive 0 base.tar\narchived 0\nmanifest\nmanifest is whole\n" + taken));
}

TEST_CASE("an incremental backup uploads the manifest of the one before, in any room") {
    const buffer server = source() + copy_in();
    const buffer rest = completed("UPLOAD_MANIFEST") + ready() + typed_backup() + ready();
    CHECK(heard(incremental(), server + rest).starts_with(identified + "manifest wanted\nstarted"));
    for (const std::size_t out : {512u, 4096u}) {
        for (const std::size_t size : {1u, 500u, 507u, 508u, 100'000u}) {
            CAPTURE(size);
            order chosen = incremental();
            chosen.out = out;
            chosen.manifest = std::string(size, '{');
            owner takes(chosen);
            takes.feed(server);
            takes.feed(rest);
            CHECK(takes.lines().ends_with(taken));
            std::string arrived;
            bytes said = takes.said;
            said = said.subspan(load<std::uint32_t>(said.data()));
            for (; !said.empty(); said = said.subspan(1 + load<std::uint32_t>(said.data() + 1)))
                if (said[0] == std::byte{'d'})
                    arrived += as_text(said.subspan(5, load<std::uint32_t>(said.data() + 1) - 4));
            CHECK(arrived == chosen.manifest);
        }
    }
    owner takes(incremental());
    takes.feed(server + rest);
    CHECK(spelled::text(takes.said).find("UPLOAD_MANIFEST") <
          spelled::text(takes.said).find("BASE_BACKUP ("));
    CHECK(spelled::text(takes.said).find("INCREMENTAL") != std::string::npos);
}

TEST_CASE("an upload may be given up, and takes as long as it takes") {
    order chosen = incremental();
    chosen.answers = false;
    owner takes(chosen);
    CHECK(takes->copy(as_bytes("x")).code() == errc::not_now);
    CHECK(takes->end_copy() == errc::not_now);
    takes.connected = true;
    CHECK(takes->connected() == errc::none);
    takes.feed(source());
    CHECK(takes->copy(as_bytes("x")).code() == errc::not_now);
    CHECK(takes->begin(chosen.what) == errc::none);
    takes.feed(copy_in());
    CHECK(takes.last() == "manifest wanted");
    takes.wait_until(takes.now.steady + 100'000 * second);
    CHECK(takes->deadline() == never);
    CHECK(takes->copy(as_bytes("{")).code() == errc::none);
    CHECK(takes->abandon_copy("no") == errc::none);
    takes.feed();
    takes.feed(mistake("57014") + ready());
    CHECK(takes.lines().ends_with("error 57014\ndisconnect\ngiven up: no error 57014\n"));
}

TEST_CASE("another cluster or another timeline is given up before anything is asked of it") {
    order chosen;
    chosen.options.system_identifier = 8;
    CHECK(heard(chosen, source())
              .find("given up: " + std::string(text(errc::system_identifier_mismatch))) !=
          std::string::npos);
    chosen.options.system_identifier = 7;
    chosen.options.timeline = timeline_id{4};
    CHECK(verdict(chosen, source()) == gives_up(errc::timeline_mismatch));
    chosen.options.timeline = timeline_id{3};
    CHECK(verdict(chosen, source() + typed_backup() + ready()) == "taken");
    owner takes(chosen);
    takes.feed(source());
    CHECK(spelled::text(takes.said).find("BASE_BACKUP") != std::string::npos);
}

TEST_CASE("what a server cannot be asked for is refused, and something else can be asked") {
    order chosen;
    chosen.answers = false;
    const auto choosing = [&](owner& takes, std::string_view version) {
        takes.connected = true;
        REQUIRE(takes->connected() == errc::none);
        takes.feed(source(version));
        CHECK(takes.last().starts_with("source "));
        CHECK(takes->deadline() == never);
    };
    owner old(chosen);
    CHECK(old->begin({}) == errc::not_now);
    choosing(old, "14.2");
    wire::base_backup what;
    what.compression = wire::backup_compression::gzip;
    CHECK(old->begin(what) == errc::unsupported_version);
    what.compression.reset();
    what.incremental = true;
    CHECK(old->begin(what) == errc::unsupported_version);
    what.incremental = false;
    what.target = "blackhole";
    CHECK(old->begin(what) == errc::unsupported_version);
    what.target = {};
    what.max_rate = 1;
    CHECK(old->begin(what) != errc::none);
    what.max_rate = 0;
    const std::string long_label(2000, 'l');
    what.label = long_label;
    CHECK(old->begin(what) != errc::none);
    what.label = std::string_view("a\0b", 3);
    CHECK(old->begin(what) != errc::none);
    old.feed();
    CHECK(words(old.said).ends_with("Q SHOW data_directory_mode\n"));
    CHECK(old->begin({}) == errc::none);
    CHECK(old->begin({}) == errc::not_now);
    old.feed(split_backup(false) + ready());
    CHECK(old.last() == "taken");
    CHECK(old->begin({}) == errc::not_now);

    owner twelve(chosen);
    choosing(twelve, "12.1");
    what = {};
    what.manifest = wire::backup_manifest::yes;
    CHECK(twelve->begin(what) == errc::unsupported_version);
    owner sixteen(chosen);
    choosing(sixteen, "16.1");
    what = {};
    what.incremental = true;
    CHECK(sixteen->begin(what) == errc::unsupported_version);
}

TEST_CASE("the longest label there is fits, or is refused before anything was said") {
    order chosen;
    const std::string label(1024, '\'');
    chosen.what.label = label;
    for (const std::size_t out : {512u, 4096u}) {
        chosen.out = out;
        owner takes(chosen);
        takes.feed(source());
        if (out == 512)
            CHECK(takes.begun == errc::argument_too_long);
        else
            CHECK(takes.said.size() > 2 * label.size());
    }
}

TEST_CASE("an error at any step ends it with the server's reason") {
    const buffer error = mistake("XX001") + ready();
    const buffer opened = authentication(0) + parameter("server_version", "18.4") + key() + ready();
    const buffer backup = place("0/5000028") + list();
    const std::string ending = "error XX001\ndisconnect\ngiven up: no error XX001\n";
    const buffer identify = answer({"7", "3", "0/5000000", std::nullopt});
    for (const buffer& before : {opened, opened + identify, opened + identify + answer({"16MB"}),
                                 source(), source() + columns(2), source() + place("0/5000028"),
                                 source() + backup, source() + backup + copy_out(),
                                 source() + backup + copy_out() + announced("base.tar", ""),
                                 source() + backup + typed_copy(true),
                                 source() + backup + typed_copy(true) + columns(2)}) {
        const std::string lines = heard(order{}, before + error, 10);
        CHECK(lines.find(ending) != std::string::npos);
        CHECK(lines.find("ended") == std::string::npos);
        owner takes{order{}};
        takes.feed(before + error);
        CHECK(takes.said.back() == std::byte{4}); // goodbye
        CHECK(of(bytes(takes.said).last(5)) == spelled::hex("58 00000004"));
        owner dies{order{}};
        dies.feed(before + fatal("57P01"));
        CHECK(dies.lines().ends_with("fatal 57P01\ndisconnect\ngiven up: no error 57P01\n"));
        CHECK(dies.endings == 1);
    }
    for (const buffer& before : {source(), source() + copy_in()}) {
        owner uploads(incremental());
        uploads.feed(before);
        uploads.feed(error);
        CHECK(uploads.lines().ends_with(ending));
    }
}

TEST_CASE("a checksum failure behind all of the data makes the backup worth nothing") {
    const buffer all =
        source() + place("0/5000028") + list() + typed_copy(true) + place("0/5001010");
    const std::string lines = heard(order{}, all + mistake("XX001") + ready());
    CHECK(lines.find("manifest is whole\nerror XX001\ndisconnect\ngiven up") != std::string::npos);
    CHECK(lines.find("ended") == std::string::npos);
}

TEST_CASE("a server that turns the first away is asked with the other encryption, once") {
    order chosen;
    chosen.options.connection.tls = replica::encryption::offered;
    chosen.options.alternative_tls = replica::encryption::off;
    owner takes(chosen);
    takes.feed(of("N"));
    takes.feed(fatal("28000"));
    CHECK(takes.lines() == "connect 1\nfatal 28000\ndisconnect\nconnect 2\n");
    CHECK(takes.connects == 2);
    takes.feed(source() + typed_backup() + ready());
    CHECK(takes.last() == "taken");

    owner twice(chosen);
    twice.feed(of("N"));
    twice.feed(fatal("28000"));
    twice.feed(fatal("28000"));
    CHECK(twice.last() == "given up: no error 28000");
    CHECK(twice.connects == 2);

    owner in(chosen);
    in.feed(of("N"));
    in.feed(authentication(3));
    in.feed(fatal("28P01")); // it had asked for a password: it is not the encryption
    CHECK(in.connects == 1);

    owner stopped(chosen);
    stopped.feed(of("N"));
    stopped->stop();
    stopped.feed(fatal("28000"));
    CHECK(stopped.last() == "stopped");
    CHECK(stopped.connects == 1);
}

TEST_CASE("a transport that does not come up") {
    order chosen;
    chosen.connects = false;
    owner fails(chosen);
    CHECK(fails.last() == gives_up(errc::connection_lost));
    CHECK(fails->connect_failed() == errc::not_now);
    chosen.options.alternative_tls = replica::encryption::off;
    owner again(chosen);
    CHECK(again.connects == 1); // nobody was there: no encryption helps

    chosen.answers = false;
    owner waits(chosen);
    CHECK(waits->deadline() == 6 * second);
    waits.wait_until(6 * second - 1);
    CHECK(waits.endings == 0);
    waits.wait_until(6 * second);
    CHECK(waits.disconnects == 1);
    CHECK(waits->connected() == errc::not_now);

    // It comes up, and nobody is there; the time counts from the beginning.
    owner silent{order{}};
    CHECK(silent->deadline() == 6 * second);
    silent.wait_until(3 * second);
    silent.feed(authentication(0));
    silent.wait_until(6 * second);
    CHECK(silent.last() == gives_up(errc::connect_timeout));
}

TEST_CASE("passwords and TLS are the owner's, as in a session") {
    order chosen;
    chosen.options.connection.cleartext_without_tls = true;
    owner takes(chosen);
    CHECK(takes->secured() == errc::not_now);
    takes.feed(authentication(3));
    takes.feed(source() + typed_backup() + ready());
    CHECK(takes.lines().starts_with("connect 1\npassword\nparameter\nsource"));
    CHECK(takes.last() == "taken");
    chosen.options.connection.tls = replica::encryption::required;
    owner secured(chosen);
    secured.feed(of("S"));
    CHECK(secured.last() == "tls");
    secured.feed(source() + typed_backup() + ready());
    CHECK(secured.last() == "taken");
    owner refused(chosen);
    refused.feed(of("N"));
    CHECK(refused.last() == gives_up(errc::encryption_refused));
}

TEST_CASE("silence is borne for long outside of the data, and not inside of it") {
    const buffer before = source() + place("0/5000028") + list();
    const auto patience = [](const buffer& server) {
        owner takes{order{}};
        takes.feed(server);
        const std::int64_t deadline = takes->deadline();
        takes.wait_until(deadline - 1);
        CHECK(takes.endings == 0);
        takes.wait_until(deadline);
        CHECK(takes.last() == gives_up(errc::silence_timeout));
        CHECK(takes.endings == 1);
        return deadline - 1'000'000;
    };
    CHECK(patience(source()) == 3600 * second);
    CHECK(patience(before) == 3600 * second);
    CHECK(patience(before + copy_out()) == 60 * second);
    CHECK(patience(before + copy_out() + announced("base.tar", "")) == 60 * second);
    CHECK(patience(before + typed_copy(true)) == 3600 * second);
    CHECK(patience(before + typed_copy(true) + place("0/5001010")) == 3600 * second);
    CHECK(patience(before + typed_copy(true) + end()) == 3600 * second);
    CHECK(patience(authentication(0) + parameter("server_version", "18.4") + key() + ready()) ==
          60 * second);
}

TEST_CASE("the permissions of the data directory are wide only if it says so clearly") {
    const auto mode = [](std::string_view said) {
        owner takes{order{}};
        takes.feed(authentication(0) + parameter("server_version", "18.4") + key() + ready() +
                   answer({"7", "3", "0/5000000", std::nullopt}) + answer({"16MB"}) +
                   answer({said}));
        const std::string line = takes.lines();
        return line.substr(line.rfind(' ') + 1, 3);
    };
    CHECK(mode("0750") == "750");
    CHECK(mode("750") == "750");
    for (const char* const other :
         {"0700", "700", "0777", "", "00750", "750 ", "7500", "0x750", "75"})
        CHECK(mode(other) == "700");
    CHECK(verdict(order{}, authentication(0) + parameter("server_version", "18.4") + key() +
                               ready() + answer({"7", "3", "0/5000000", std::nullopt}) +
                               answer({"15MB"})) == gives_up(errc::segment_size_invalid));
}

TEST_CASE("nothing is allocated") {
    const buffer server = source() + typed_backup() + ready();
    buffer stash(stash_size), out(out_size);
    order chosen;
    const support::allocations made;
    replica::base_backup machine(chosen.options, {stash, out});
    bytes in;
    bool whole = false;
    for (int turn = 0; turn < 2; ++turn) {
        while (const auto told = machine.poll(in, {1, 0})) {
            if (std::holds_alternative<replica::connect_wanted>(*told))
                static_cast<void>(machine.connected());
            if (std::holds_alternative<replica::source_identified>(*told))
                static_cast<void>(machine.begin(chosen.what));
            whole = whole || std::holds_alternative<replica::backup_taken>(*told);
            machine.consume(machine.output().size());
        }
        machine.consume(machine.output().size());
        in = turn == 0 ? bytes(server) : bytes();
    }
    bytes none;
    while (const auto told = machine.poll(none, {1, 0}))
        whole = whole || std::holds_alternative<replica::backup_taken>(*told);
    const auto count = made.count();
    CHECK(whole);
    CHECK(count == 0);
}
