// replica::base_backup behind a login that went well, with a server that says anything then.
//
// The first byte chooses the server's version and what is asked of it, the second how its bytes are
// cut; the third how it ends, and where the owner stops. Properties: what is told and said does not
// depend on the cuts; every message that the machine writes is one that the conversation allows
// then and there; there is exactly one last event, and `backup_taken` only behind `ended`; the
// transport is closed; nothing is told or written behind the end.
#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include <walwire/replica/base_backup.hpp>

#include "support/check.hpp"

using namespace walwire;

namespace {

constexpr std::string_view versions[] = {"12.22", "14.1", "16.3", "18.4"};

template <class Put>
void append(std::vector<std::byte>& to, Put&& put_into) {
    std::array<std::byte, 512> room;
    writer out(room);
    put_into(out);
    check(out.ok(), "the server's words fit");
    to.insert(to.end(), out.written().begin(), out.written().end());
}
void answer(std::vector<std::byte>& to, std::span<const std::optional<std::string_view>> values) {
    append(to, [&](writer& out) {
        std::array<wire::column, 4> columns;
        wire::put(out, std::span<const wire::column>(columns).first(values.size()));
        wire::put(out, values);
        wire::put(out, wire::command_complete{"SELECT"});
        wire::put(out, wire::transaction_status::idle);
    });
}
// The server's words up to where the backup is asked for.
std::vector<std::byte> login(std::string_view version) {
    std::vector<std::byte> made;
    append(made, [&](writer& out) {
        wire::put(out, wire::authentication{});
        wire::put(out, wire::parameter_status{"server_version", version});
        const std::array<std::byte, 4> key{};
        wire::put(out, wire::backend_key_data{1, key});
        wire::put(out, wire::transaction_status::idle);
    });
    const std::optional<std::string_view> system[] = {"7", "1", "0/3000000", std::nullopt};
    const std::optional<std::string_view> size[] = {"16MB"}, mode[] = {"0700"};
    answer(made, system);
    answer(made, size);
    answer(made, mode);
    return made;
}

struct seen {
    std::string told;
    std::string said;
};
// What was asked may be lost unwritten with a connection whose server did not wait for it.
void compare(const seen& whole, const seen& cut) {
    check(cut.told == whole.told, "whatever the chunks, the same is told");
    check(cut.said.starts_with(whole.said), "and the same is said");
}

class owner {
  public:
    explicit owner(std::uint8_t choice, std::uint8_t end)
        : choice_(choice), stop_after_(end >> 2), machine_(options(), {stash_, out_}) {}

    seen over(bytes server, std::size_t chunk, std::uint8_t end) {
        turn({});
        check(connected_, "a transport is wanted first");
        const std::vector<std::byte> greeting = login(versions[choice_ & 3]);
        server_ = greeting;
        server_.insert(server_.end(), server.begin(), server.end());
        turn(greeting);
        check(chosen_, "the source is known");
        while (!server.empty() && !machine_.over()) {
            const bytes part = server.first(chunk < server.size() ? chunk : server.size());
            server = server.subspan(part.size());
            turn(part);
        }
        finish(end);
        return {told_, std::string(as_text(said_))};
    }

  private:
    static replica::base_backup_options options() {
        replica::base_backup_options made;
        made.connection.user = "u";
        made.connection.limits.message_size_max = 2000;
        made.connection.limits.copy_data_size_max = 100'000;
        return made;
    }
    void finish(std::uint8_t end) {
        switch (end & 3) {
        case 0: machine_.finish(); break;
        case 1: machine_.disconnected(); break;
        case 2: machine_.stop(); break;
        default: break; // it falls silent
        }
        for (int i = 0; i < 8 && !machine_.over(); ++i) {
            turn({});
            const std::int64_t deadline = machine_.deadline();
            if (machine_.over() || !connected_) continue;
            if (deadline == never)
                machine_.finish(); // it waits for us
            else if (deadline > now_.steady)
                now_.steady = deadline;
        }
        turn({});
        check(machine_.over() && endings_ == 1, "it comes to one end");
        check(!connected_, "the transport is closed");
        machine_.stop();
        machine_.finish();
        turn({});
        check(machine_.output().empty() && machine_.deadline() == never, "and that is all");
    }

    void turn(bytes in) {
        if (!connected_ && endings_ + connects_ > 0) in = {};
        const std::size_t bound = 64 + 2 * in.size();
        std::size_t polls = 0;
        while (const auto event = machine_.poll(in, now_)) {
            check(++polls < bound, "the work is bounded by the input");
            check(endings_ == 0, "nothing is told behind the end");
            write();
            std::visit([this](const auto& said) { hear(said); }, *event);
            if (++events_ == stop_after_ * 3) machine_.stop();
            write();
            if (!connected_) in = {};
        }
        write();
        check(in.empty(), "all input is eaten");
    }
    void write() {
        const bytes head = machine_.output().head;
        if (head.empty()) return;
        check(connected_, "there is output only with a connection");
        said_.insert(said_.end(), head.begin(), head.end());
        machine_.consume(head.size());
        witness();
    }
    // Both sides' words so far, run through the table: the server's as far as they were read.
    void witness() {
        while (at_said_ < said_.size()) {
            const bytes rest = bytes(said_).subspan(at_said_);
            const std::size_t header = talk_.at() < wire::phase::started ? 4 : 5;
            check(rest.size() >= header, "messages are whole");
            const std::size_t size = header - 4 + load<std::uint32_t>(rest.data() + header - 4);
            check(size <= rest.size(), "messages are whole");
            if (header == 4) {
                check(talk_.send(wire::message::startup) == errc::none, "a start-up packet");
            } else {
                const auto said = wire::frontend_message(std::to_integer<std::uint8_t>(rest[0]));
                check(static_cast<bool>(said), "messages are known");
                hear_server();
                check(talk_.may_send(*said), "the conversation allows this message");
                static_cast<void>(talk_.send(*said));
            }
            at_said_ += size;
        }
    }
    // What was read of the server's words, but no message of which only a part was.
    void hear_server() {
        const replica::session* const session = machine_.connection();
        if (session == nullptr) return;
        for (;;) {
            const bytes rest = bytes(server_).subspan(at_heard_);
            if (rest.size() < wire::header_size) return;
            const std::size_t size = 1 + load<std::uint32_t>(rest.data() + 1);
            const bool possible = size >= wire::header_size && size <= rest.size();
            if (!possible || at_heard_ + size > session->eaten()) return;
            const auto said = wire::backend_message(std::to_integer<std::uint8_t>(rest[0]),
                                                    rest.subspan(5, size - 5));
            if (!said || talk_.receive(*said) != errc::none) return;
            at_heard_ += size;
        }
    }

    void hear(const replica::connect_wanted&) {
        check(++connects_ == 1, "there is one attempt");
        connected_ = true;
        check(machine_.connected() == errc::none, "a transport is taken");
    }
    void hear(const replica::disconnect_wanted&) {
        check(connected_, "there was a transport");
        connected_ = false;
    }
    void hear(const replica::source_identified&) {
        check(!chosen_, "the source is told once");
        chosen_ = true;
        wire::base_backup what;
        if ((choice_ & 4) != 0 && (choice_ & 3) != 0) what.manifest = wire::backup_manifest::yes;
        what.incremental = (choice_ & 8) != 0;
        const errc code = machine_.begin(what);
        if (code == errc::none) return;
        check(what.incremental && (choice_ & 3) != 3, "only what is too new is refused");
        what.incremental = false;
        check(machine_.begin(what) == errc::none, "and something else can be asked for");
    }
    void hear(const replica::manifest_wanted&) {
        check(!uploaded_, "a manifest is wanted once");
        uploaded_ = true;
        told_ += 'u';
        check(static_cast<bool>(machine_.copy(as_bytes("{ }\n"))), "it is taken");
        if ((choice_ & 16) != 0)
            check(machine_.abandon_copy("no") == errc::none, "or given up");
        else
            check(machine_.end_copy() == errc::none, "and ended");
    }
    void hear(const backup::archive_data& said) { told_ += as_text(said.data); }
    void hear(const backup::manifest_data& said) { told_ += as_text(said.data); }
    void hear(const backup::tablespace& said) { told_ += said.path; }
    void hear(const backup::ended&) { ended_ = true; }
    void hear(const replica::server_error& said) { told_ += said.sqlstate; }
    void hear(const replica::backup_taken&) {
        check(ended_, "a backup that is taken has ended");
        ends("taken");
    }
    void hear(const replica::stopped&) { ends("stopped"); }
    void hear(const replica::given_up& said) {
        ends(std::string(text(said.why.reason.code)) + std::string(said.why.sqlstate));
    }
    template <class Event>
    void hear(const Event&) {
        told_ += '.';
    }
    void ends(const std::string& how) {
        ++endings_;
        told_ += how;
    }

    std::uint8_t choice_;
    std::size_t stop_after_;
    std::array<std::byte, 2100> stash_{};
    std::array<std::byte, 1024> out_{};
    replica::base_backup machine_;
    instant now_{1000, 0};
    std::vector<std::byte> server_;
    std::vector<std::byte> said_;
    std::string told_;
    wire::conversation talk_;
    std::size_t at_said_ = 0;
    std::size_t at_heard_ = 0;
    std::size_t events_ = 0;
    int connects_ = 0;
    int endings_ = 0;
    bool connected_ = false;
    bool chosen_ = false;
    bool uploaded_ = false;
    bool ended_ = false;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 3) return 0;
    const bytes server = std::as_bytes(std::span(data, size)).subspan(3);
    const seen whole = owner(data[0], data[2]).over(server, SIZE_MAX, data[2]);
    // Events that follow the chunks cannot be counted, so a stop in their midst is left out.
    if (data[2] >= 4) {
        static_cast<void>(owner(data[0], data[2]).over(server, 1 + data[1] % 40u, data[2]));
        return 0;
    }
    compare(whole, owner(data[0], data[2]).over(server, 1, data[2]));
    compare(whole, owner(data[0], data[2]).over(server, 1 + data[1] % 40u, data[2]));
    return 0;
}
