// The thinnest owner of a replica::base_backup, and a server's words for it.
//
// The server's side of a backup is one buffer, as a machine that is always answered at once would
// read it: the owner begins the backup as soon as it knows the source and uploads a manifest when
// that is wanted. What the machine told is kept as text, a line for each event, runs of one archive
// joined; what it said is kept as bytes.
#pragma once

#include <walwire/replica/base_backup.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "replica/dialogue.hpp"

namespace taking {

using namespace dialogue;

// What the server says.

inline buffer source(std::string_view version = "18.4", std::string_view identifier = "7",
                     std::string_view timeline = "3") {
    return authentication(0) + parameter("server_version", version) + key() + ready() +
           answer({identifier, timeline, "0/5000000", std::nullopt}) + answer({"16MB"}) +
           answer({"0750"});
}
inline buffer place(std::string_view at, std::string_view timeline = "3") {
    return columns(2) + row({at, timeline}) + completed();
}
inline buffer list() {
    return columns(3) + row({"16392", "/ts", "34"}) + row({std::nullopt, std::nullopt, "8655"}) +
           completed();
}
inline buffer base_list() {
    return columns(3) + row({std::nullopt, std::nullopt, std::nullopt}) + completed();
}
inline buffer copy_out() {
    return message('H', spelled::hex("00 0000"));
}
inline buffer copy_in() {
    return message('G', spelled::hex("00 0000"));
}
inline buffer part(std::string_view body) {
    return message('d', body);
}
inline buffer announced(std::string_view name, std::string_view path) {
    return part("n" + std::string(name) + '\0' + std::string(path) + '\0');
}
inline buffer end(std::string_view tag = "BASE_BACKUP") {
    return place("0/5001010") + completed(tag);
}
inline buffer typed_copy(bool manifest) {
    using namespace std::literals;
    return copy_out() + announced("16392.tar", "/ts") + part("dts") + part("p\0\0\0\0\0\0\0\2"sv) +
           announced("base.tar", "") + part("dba") + notice() + part("dse") +
           (manifest ? part("m") + part("d{}") : buffer{}) + copy_done();
}
inline buffer typed_backup(bool manifest = true) {
    return place("0/5000028") + list() + typed_copy(manifest) + end();
}
inline buffer split_backup(bool manifest, std::string_view tag = "BASE_BACKUP") {
    return place("0/5000028") + list() + copy_out() + part("ts") + copy_done() + copy_out() +
           part("ba") + part("se") + copy_done() +
           (manifest ? copy_out() + part("{}") + copy_done() : buffer{}) + end(tag);
}

// What it leads to.
inline const std::string connecting = "connect 1\nparameter\n";
inline const std::string identified = connecting + "source 7 3 0/5000000 18 750\n";
inline const std::string listed = "started 0/5000028 3\ntablespace 16392 /ts\ntablespace 0 \n";
inline const std::string ts_told = "archive 0 16392.tar\ndata ts\n";
inline const std::string whole_told = "archived 0\narchive 1 base.tar\ndata base\narchived 1\n";
inline const std::string taken = "ended 0/5001010 3\ndisconnect\ntaken\n";

struct order {
    replica::base_backup_options options = usual();
    wire::base_backup what = usual_backup();
    std::string manifest = "{}\n"; // of the backup before
    std::string password = "pencil";
    bool connects = true;
    bool answers = true; // connect_wanted, source_identified, manifest_wanted
    bool writes = true;
    std::size_t out = out_size;

    static replica::base_backup_options usual() {
        replica::base_backup_options made;
        made.connection = dialogue::plan::usual();
        return made;
    }
    static wire::base_backup usual_backup() {
        wire::base_backup made;
        made.manifest = wire::backup_manifest::yes;
        return made;
    }
};

class owner {
  public:
    explicit owner(const order& chosen)
        : order_(chosen), stash_(stash_size), out_(chosen.out),
          machine_(chosen.options, {stash_, out_}) {
        feed({});
    }

    replica::base_backup* operator->() noexcept { return &machine_; }

    // What came from the server, until nothing more moves.
    void feed(bytes in) {
        bool moved = true;
        while (moved) {
            moved = false;
            while (const auto told = machine_.poll(in, now)) {
                moved = true;
                if (order_.writes) write();
                std::visit([this](const auto& event) { hear(event); }, *told);
                while (order_.writes && uploads_ && upload()) write();
                if (stop_after == told_) machine_.stop();
                if (!connected) in = {};
            }
            if (order_.writes && write()) moved = true;
        }
        left = in.size();
    }
    void feed() { feed({}); }
    void finish() {
        machine_.finish();
        feed();
    }
    void lose() {
        machine_.disconnected();
        feed();
    }
    void stop() {
        machine_.stop();
        feed();
    }
    void wait_until(std::int64_t steady) {
        now.steady = steady;
        feed();
    }
    bool write(std::size_t at_most = SIZE_MAX) {
        const bytes head = machine_.output().head;
        const std::size_t size = std::min(head.size(), at_most);
        said.insert(said.end(), head.begin(), head.begin() + static_cast<std::ptrdiff_t>(size));
        machine_.consume(size);
        return size > 0;
    }
    void writes(bool on) { order_.writes = on; }

    const std::string& lines() {
        flush();
        return lines_;
    }
    std::string last() { return dialogue::last_line(lines()); }

    instant now{1'000'000, 0};
    buffer said;
    std::size_t left = 0;
    std::size_t stop_after = SIZE_MAX; // stop() is called behind so many events
    bool connected = false;
    int connects = 0;
    int disconnects = 0;
    int endings = 0;
    std::optional<replica::given_up> verdict;
    errc begun = errc::none;

  private:
    void flush() {
        if (!run_.empty()) lines_ += "data " + run_ + '\n';
        run_.clear();
    }
    void say(const std::string& line) {
        flush();
        lines_ += line + '\n';
        ++told_;
    }
    bool upload() {
        if (uploaded_ < order_.manifest.size()) {
            const auto taken_up = machine_.copy(as_bytes(order_.manifest).subspan(uploaded_));
            if (taken_up) uploaded_ += *taken_up;
            return taken_up || taken_up.code() == errc::output_full;
        }
        const errc code = machine_.end_copy();
        uploads_ = code == errc::output_full;
        return code == errc::none || uploads_;
    }

    void hear(const replica::connect_wanted& event) {
        ++connects;
        say("connect " + std::to_string(event.attempt));
        if (!order_.answers) return;
        if (order_.connects) {
            connected = true;
            CHECK(machine_.connected() == errc::none);
        } else {
            CHECK(machine_.connect_failed() == errc::none);
        }
    }
    void hear(const replica::disconnect_wanted&) {
        ++disconnects;
        connected = false;
        uploads_ = false;
        say("disconnect");
    }
    void hear(const replica::source_identified& event) {
        say("source " + std::to_string(event.system_identifier) + ' ' +
            std::to_string(event.timeline.value) + ' ' + replayed::shown(event.end) + ' ' +
            std::to_string(event.server_version) + ' ' +
            (event.directory_mode == 0750 ? "750" : "700"));
        CHECK(event.segment_size.value() == 16 << 20);
        if (order_.answers) begun = machine_.begin(order_.what);
    }
    void hear(const replica::manifest_wanted&) {
        say("manifest wanted");
        uploads_ = order_.answers;
    }
    void hear(const replica::password_wanted&) {
        say("password");
        CHECK(machine_.give_password(order_.password) == errc::none);
    }
    void hear(const replica::tls_accepted&) {
        say("tls");
        CHECK(machine_.secured() == errc::none);
    }
    void hear(const replica::gss_accepted&) { say("gss"); }
    void hear(const replica::parameter_status&) { say("parameter"); }
    void hear(const backup::archive_data& event) {
        ++told_;
        run_ += as_text(event.data);
    }
    void hear(const backup::manifest_data& event) {
        ++told_;
        run_ += as_text(event.data);
    }
    void hear(const backup::started& event) {
        say("started " + replayed::shown(event.start) + ' ' + std::to_string(event.timeline.value));
    }
    void hear(const backup::tablespace& event) {
        say("tablespace " + std::to_string(event.oid) + ' ' + std::string(event.path));
    }
    void hear(const backup::archive_started& event) {
        say("archive " + std::to_string(event.index) + ' ' +
            std::string(std::string_view(to_text(event.name))));
    }
    void hear(const backup::archive_ended& event) {
        say("archived " + std::to_string(event.index));
    }
    void hear(const backup::manifest_opened&) { say("manifest"); }
    void hear(const backup::manifest_closed&) { say("manifest is whole"); }
    void hear(const backup::progressed& event) { say("progress " + std::to_string(event.done)); }
    void hear(const backup::ended& event) {
        say("ended " + replayed::shown(event.end) + ' ' + std::to_string(event.timeline.value));
    }
    void hear(const replica::server_error& event) {
        say(std::string(event.fatal ? "fatal " : "error ") + std::string(event.sqlstate));
    }
    void hear(const replica::notice&) { say("notice"); }
    void hear(const replica::backup_taken&) { ends("taken"); }
    void hear(const replica::stopped&) { ends("stopped"); }
    void hear(const replica::given_up& event) {
        verdict = event;
        ends("given up: " + std::string(text(event.why.reason.code)) +
             (event.why.sqlstate.empty() ? "" : ' ' + std::string(event.why.sqlstate)));
    }
    template <class Event>
    void hear(const Event&) {
        say("something of the other dialect");
    }
    void ends(const std::string& line) {
        ++endings;
        CHECK(!connected);
        say(line);
    }

    order order_;
    buffer stash_;
    buffer out_;
    replica::base_backup machine_;
    std::string lines_;
    std::string run_;
    std::size_t uploaded_ = 0;
    std::size_t told_ = 0;
    bool uploads_ = false;
};

// What an owner is told of the server's words: the same in any chunks, or else how it differs.
inline std::string heard(const order& chosen, const buffer& server, std::size_t splits = 60) {
    std::string whole;
    const std::string differs = support::difference(
        server,
        [&](support::chunks& chunks) {
            owner hears(chosen);
            while (const auto chunk = chunks.next()) {
                hears.feed(*chunk);
                if (hears->over()) continue;
            }
            std::string seen = hears.lines();
            if (hears.verdict)
                seen += "at " + std::to_string(hears.verdict->why.reason.offset) + '\n';
            if (whole.empty()) whole = seen;
            return seen;
        },
        splits);
    return differs.empty() ? whole : "the chunks matter: " + differs;
}
// The verdict alone.
inline std::string verdict(const order& chosen, const buffer& server) {
    owner hears(chosen);
    hears.feed(server);
    CHECK(hears.endings == (hears->over() ? 1 : 0));
    return hears.last();
}
inline std::string gives_up(errc code) {
    return "given up: " + std::string(text(code));
}

} // namespace taking
