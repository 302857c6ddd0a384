// The recorded base backups, cut by hand, and two players of the server's part in them: to a
// session that asks what the recorded client asked, and to the machine that takes one backup.
//
// The bodies of most files are zeros here (transcripts/README.md says which are not); all else is
// as the servers sent it. What a player is given is compared with the recording where it comes, so
// no megabyte is kept twice. Runs are counted and not shown: they follow the chunks.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <walwire/primary/answer.hpp>
#include <walwire/replica/base_backup.hpp>

#include "replica/replayed.hpp"
#include "wire/recorded_messages.hpp"

namespace recorded_backups {

using namespace walwire;
using replayed::shown;
using support::side;

// What a client uploads: a manifest in the pieces that it came in, or a change of mind.
struct upload {
    std::vector<bytes> pieces;
    std::optional<std::string_view> abandoned;
};

// One archive, or the manifest, as the recording has it.
struct content {
    std::string name;
    std::vector<std::byte> data;
};

// One command and its answer.
struct exchange {
    wire::command command;
    std::string_view text;
    bytes answer; // up to its ReadyForQuery
    upload uploaded;
    std::vector<content> contents; // the archives in order, and the manifest, without a name
    std::optional<std::string_view> error;
};

struct backup_recording {
    // `most` cuts out what there is more of in a row than so many messages of data, for those who
    // play a recording many times.
    explicit backup_recording(const std::string& name, std::size_t most = SIZE_MAX)
        : conversation(recorded::load(name)), script(replayed::read_script(conversation.source)) {
        cut(most);
    }
    backup_recording(const backup_recording&) = delete;

    const std::string& name() const { return conversation.source.name(); }
    int version() const { return conversation.source.major_version(); }

    recorded::conversation conversation;
    replayed::script script;
    std::vector<std::byte> server; // everything that it said
    bytes greeting;                // up to the first ReadyForQuery
    std::vector<exchange> exchanges;
    std::vector<std::byte> copied; // the bodies of everything that the server copied

  private:
    bool is_data(const recorded::spoken& said) const {
        return said.tag == 'd' && said.from == side::server &&
               (version() < 15 || said.body[0] == std::byte{'d'});
    }
    void cut(std::size_t most);
    void hear(exchange& to, const recorded::spoken& said);
    void add(exchange& to, bytes body);
};

inline void backup_recording::cut(std::size_t most) {
    server.reserve(conversation.source.said(side::server).size());
    std::size_t began = 0, row = 0; // of messages of data
    std::optional<exchange> open;
    for (std::size_t i = 0; i < conversation.messages.size(); ++i) {
        const recorded::spoken& each = conversation.messages[i];
        const bool more = is_data(each) && i + 1 < conversation.messages.size() &&
                          is_data(conversation.messages[i + 1]);
        if (more && ++row > most) continue;
        if (!more) row = 0;
        if (each.from == side::client) {
            if (each.tag == 'Q') open.emplace();
            if (open) hear(*open, each);
            continue;
        }
        server.insert(server.end(), each.body.data() - wire::header_size,
                      each.body.data() + each.body.size());
        if (open) hear(*open, each);
        if (each.tag != 'Z') continue;
        const bytes answer(server.data() + began, server.size() - began);
        began = server.size();
        if (!open) {
            greeting = answer;
            continue;
        }
        open->answer = answer;
        open->command = script.commands.at(exchanges.size());
        exchanges.push_back(std::move(*open));
        open.reset();
    }
}

inline void backup_recording::hear(exchange& to, const recorded::spoken& said) {
    const std::string_view line = as_text(said.body).substr(0, as_text(said.body).find('\0'));
    if (said.from == side::client) {
        if (said.tag == 'Q') to.text = line;
        if (said.tag == 'd') to.uploaded.pieces.push_back(said.body);
        if (said.tag == 'f') to.uploaded.abandoned = line;
        return;
    }
    if (said.tag == 'H' && version() < 15) to.contents.emplace_back();
    if (said.tag == 'd') add(to, said.body);
    if (said.tag == 'E') to.error = wire::parse_error_fields(said.body)->sqlstate;
}

inline void backup_recording::add(exchange& to, bytes body) {
    if (to.text.starts_with("START_REPLICATION")) return;
    copied.insert(copied.end(), body.begin(), body.end());
    if (version() >= 15) {
        const auto kind = static_cast<char>(body[0]);
        body = body.subspan(1);
        if (kind == 'n') to.contents.push_back({as_text(body).data(), {}});
        if (kind == 'm') to.contents.emplace_back();
        if (kind != 'd') return;
    }
    std::vector<std::byte>& data = to.contents.back().data;
    data.insert(data.end(), body.begin(), body.end());
}

// Compares what comes with what was recorded.
class comparison {
  public:
    void next(bytes recorded) {
        left_ = recorded;
        size_ = 0;
    }
    void take(bytes run) {
        size_ += run.size();
        const bool same = run.size() <= left_.size() &&
                          (run.empty() || std::memcmp(run.data(), left_.data(), run.size()) == 0);
        equal_ = equal_ && same;
        left_ = left_.subspan(std::min(run.size(), left_.size()));
    }
    bool equal() const { return equal_; }
    bool whole() const { return equal_ && left_.empty(); }
    std::size_t size() const { return size_; }

  private:
    bytes left_;
    std::size_t size_ = 0;
    bool equal_ = true;
};

// Memory of a machine, not filled, as thousands of players are made.
class room {
  public:
    memory of() const {
        return {{bytes_.get(), stash_size}, {bytes_.get() + stash_size, out_size}};
    }

  private:
    std::unique_ptr<std::byte[]> bytes_ =
        std::make_unique_for_overwrite<std::byte[]>(stash_size + out_size);
};

// Plays a whole conversation to a session.
class session_player {
  public:
    explicit session_player(const backup_recording& played)
        : played_(played), options_(chosen(played)), session_(options_, room_.of()) {
        copied_.next(played.copied);
        feed({});
    }

    // The bytes of a chunk, until the session has nothing more to tell about them.
    void feed(bytes in) {
        now_.steady += 10;
        while (const auto told = session_.poll(in, now_)) {
            note(*told);
            answer(*told);
            write();
        }
        write();
    }
    void finish() {
        session_.finish();
        feed({});
        if (!session_.over()) feed({});
    }

    // The events, a line each; what is copied is joined.
    std::string events() {
        flush();
        return events_ + (copied_.equal() ? "" : "what was copied is not what was recorded\n");
    }
    bool copied_all() const { return copied_.whole(); }
    // The queries, as they were said.
    const std::vector<std::string>& asked() const { return asked_; }
    const replica::session& session() const { return session_; }

  private:
    static replica::options chosen(const backup_recording& played) {
        replica::options made = played.script.options;
        made.parameters = played.script.parameters;
        return made;
    }
    void note(const replica::event& told) {
        if (const auto* run = std::get_if<replica::copy_data>(&told)) {
            copied_.take(run->data);
            size_ += run->data.size();
            messages_ += run->begins;
            return;
        }
        if (const auto* run = std::get_if<replica::wal_data>(&told)) {
            size_ += run->data.size();
            messages_ += run->begins;
            session_.flushed(run->start + run->data.size());
            return;
        }
        flush();
        if (std::holds_alternative<replica::parameter_status>(told)) return;
        events_ += replayed::rendering(told) + '\n';
    }
    void flush() {
        if (messages_ > 0)
            events_ += std::to_string(messages_) + " messages of " + std::to_string(size_) + '\n';
        messages_ = size_ = 0;
    }
    void answer(const replica::event& told) {
        if (std::holds_alternative<replica::ready>(told)) {
            const std::size_t at = asked_.size();
            if (at == played_.exchanges.size()) {
                static_cast<void>(session_.terminate());
                return;
            }
            // What a session refuses to say is sent as it was recorded.
            const exchange& next = played_.exchanges[at];
            if (session_.ask(next.command) != errc::none)
                static_cast<void>(session_.ask(wire::sql{next.text}));
            const bytes said = session_.output().head.subspan(wire::header_size);
            asked_.emplace_back(as_text(said.first(said.size() - 1)));
        }
        if (std::holds_alternative<replica::copy_in_started>(told)) {
            write();
            const upload& gives = played_.exchanges[asked_.size() - 1].uploaded;
            for (bytes rest : gives.pieces) {
                while (!rest.empty()) {
                    const auto taken = session_.copy(rest);
                    if (!taken) return;
                    rest = rest.subspan(*taken);
                    write();
                }
            }
            static_cast<void>(gives.abandoned ? session_.abandon_copy(*gives.abandoned)
                                              : session_.end_copy());
        }
    }
    void write() { session_.consume(session_.output().size()); }

    const backup_recording& played_;
    const replica::options options_;
    room room_;
    replica::session session_;
    instant now_{1000, 0};
    comparison copied_;
    std::string events_;
    std::vector<std::string> asked_;
    std::size_t messages_ = 0;
    std::size_t size_ = 0;
};

// What a machine that takes one of the recorded backups is to hear: its own questions first, which
// are answered as the recorded server would have, then the recorded answers.
struct taken_backup {
    taken_backup(const backup_recording& from, std::size_t index) : recording(&from) {
        const exchange& first = from.exchanges[index];
        const auto* uploads = std::get_if<wire::upload_manifest>(&first.command);
        const exchange* last = &first;
        if (uploads != nullptr) {
            uploaded = &first.uploaded;
            const bool goes_on = !first.error && index + 1 < from.exchanges.size();
            if (goes_on) last = &from.exchanges[index + 1];
        }
        if (const auto* asked = std::get_if<wire::base_backup>(&last->command)) command = *asked;
        command.incremental = uploads != nullptr;
        error = last->error;
        contents = &last->contents;

        std::vector<std::byte> own(1024);
        writer out(own);
        const primary::answer_style style{from.version(), dialect::postgres};
        put(out, primary::system_identity{7710559049754759303, {1}, {0x1000000}, std::nullopt},
            style);
        put(out, wire::transaction_status::idle);
        put(out, primary::setting{"wal_segment_size", "1MB"}, style);
        put(out, wire::transaction_status::idle);
        put(out, primary::setting{"data_directory_mode", "0750"}, style);
        put(out, wire::transaction_status::idle);
        const bytes before = uploads != nullptr && last != &first ? first.answer : bytes{};
        for (const bytes part : {from.greeting, out.written(), before, last->answer}) {
            server.insert(server.end(), part.begin(), part.end());
        }
    }

    const backup_recording* recording;
    wire::base_backup command;
    const upload* uploaded = nullptr;
    const std::vector<content>* contents = nullptr;
    std::optional<std::string_view> error;
    std::vector<std::byte> server;
};

// Plays it to a machine.
class backup_player {
  public:
    explicit backup_player(const taken_backup& played)
        : played_(played), options_(chosen(played)), machine_(options_, room_.of()) {
        feed({});
    }

    void feed(bytes in) {
        now_.steady += 10;
        if (!connected_) in = {};
        while (const auto told = machine_.poll(in, now_)) {
            std::visit([this](const auto& said) { hear(said); }, *told);
            machine_.consume(machine_.output().size());
        }
        machine_.consume(machine_.output().size());
    }
    void finish() {
        machine_.finish();
        for (int i = 0; i < 8 && !machine_.over(); ++i) feed({});
    }
    const std::string& events() const { return events_; }
    bool as_recorded() const { return contents_.equal(); }
    std::size_t contents_whole() const { return whole_; }
    bool ended() const { return ended_; }
    bool taken() const { return taken_; }
    bool over() const { return machine_.over(); }
    std::string_view sqlstate() const { return sqlstate_; }

  private:
    static replica::base_backup_options chosen(const taken_backup& played) {
        replica::base_backup_options made;
        made.connection = played.recording->script.options;
        return made;
    }
    void say(const std::string& line) { events_ += line + '\n'; }
    void begin_part() {
        static const std::vector<content> none;
        const std::vector<content>& all = played_.contents != nullptr ? *played_.contents : none;
        contents_.next(part_ < all.size() ? bytes(all[part_].data) : bytes{});
        ++part_;
    }
    void end_part() {
        whole_ += contents_.whole();
        say("  of " + std::to_string(contents_.size()));
    }

    void hear(const replica::connect_wanted&) { connected_ = machine_.connected() == errc::none; }
    void hear(const replica::disconnect_wanted&) { connected_ = false; }
    void hear(const replica::source_identified& said) {
        say("source " + std::to_string(said.server_version));
        if (const errc code = machine_.begin(played_.command); code != errc::none) {
            say("cannot begin: " + std::string(text(code)));
            machine_.stop();
        }
    }
    void hear(const replica::manifest_wanted&) {
        say("manifest_wanted");
        for (bytes rest : played_.uploaded->pieces) {
            while (!rest.empty()) {
                const auto taken = machine_.copy(rest);
                if (taken) rest = rest.subspan(*taken);
                machine_.consume(machine_.output().size());
            }
        }
        static_cast<void>(played_.uploaded->abandoned
                              ? machine_.abandon_copy(*played_.uploaded->abandoned)
                              : machine_.end_copy());
    }
    void hear(const backup::started& said) {
        say("started " + shown(said.start) + " timeline " + std::to_string(said.timeline.value));
    }
    void hear(const backup::tablespace& said) {
        say("tablespace " + std::to_string(said.oid) + (said.oid != 0 ? " " : "") +
            std::string(said.path) + (said.size ? " of " + std::to_string(*said.size) : ""));
    }
    void hear(const backup::archive_started& said) {
        const std::string name{std::string_view(to_text(said.name))};
        say("archive " + name);
        const auto& all = *played_.contents;
        if (part_ < all.size() && !all[part_].name.empty() && all[part_].name != name)
            say("which was recorded as " + all[part_].name);
        begin_part();
    }
    void hear(const backup::archive_data& said) { contents_.take(said.data); }
    void hear(const backup::archive_ended&) { end_part(); }
    void hear(const backup::manifest_opened&) {
        say("manifest");
        begin_part();
    }
    void hear(const backup::manifest_data& said) { contents_.take(said.data); }
    void hear(const backup::manifest_closed&) { end_part(); }
    void hear(const backup::progressed& said) { say("  " + std::to_string(said.done) + " done"); }
    void hear(const backup::ended& said) {
        say("ended " + shown(said.end) + " timeline " + std::to_string(said.timeline.value));
        ended_ = true;
    }
    void hear(const replica::server_error& said) {
        say("error " + shown(said.sqlstate) + " " + shown(said.message));
    }
    void hear(const replica::notice& said) {
        say("notice " + shown(said.sqlstate) + " " + shown(said.message));
    }
    void hear(const replica::backup_taken&) {
        say("taken");
        taken_ = true;
    }
    void hear(const replica::stopped&) { say("stopped"); }
    void hear(const replica::given_up& said) {
        sqlstate_ = said.why.sqlstate;
        say("given up: " + std::string(text(said.why.reason.code)) + " " + sqlstate_);
    }
    template <class Event>
    void hear(const Event&) {}

    const taken_backup& played_;
    const replica::base_backup_options options_;
    room room_;
    replica::base_backup machine_;
    instant now_{1000, 0};
    comparison contents_;
    std::string events_;
    std::string sqlstate_;
    std::size_t part_ = 0;
    std::size_t whole_ = 0;
    bool connected_ = false;
    bool ended_ = false;
    bool taken_ = false;
};

} // namespace recorded_backups
