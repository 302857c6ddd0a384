#include "identify.hpp"

#include <cinttypes>
#include <cstdio>
#include <string_view>
#include <vector>

#include <walwire/replica/retry.hpp>
#include <walwire/replica/session.hpp>

#include "failure.hpp"

namespace posix {
namespace {

namespace replica = walwire::replica;

// Connects, asks one command, and hangs up. The answer's events go to `answer`; an error of the
// server's is thrown unless its SQLSTATE is `tolerated`.
template <class Answer>
void ask(link& line, const walwire::wire::command& command, std::string_view tolerated,
         Answer&& answer) {
    replica::options options = line.options().first;
    const auto alternative = line.options().alternative_tls;
    for (bool again = true; again;) {
        again = false;
        std::vector<std::byte> stash(walwire::stash_size);
        std::vector<std::byte> out(walwire::out_size);
        line.dial(options.connect_timeout, -1);
        replica::session session(options, {stash, out});
        bool admitted = false; // the server asked for a password, or let us in without
        bool asked = false;
        bool left = false; // all was said and heard
        std::string error;
        walwire::bytes in;
        const auto handle = [&](const replica::event& told) {
            if (const auto* tls = std::get_if<replica::tls_accepted>(&told)) {
                line.secure(session, tls->direct, options.connect_timeout, -1);
            } else if (std::get_if<replica::password_wanted>(&told) != nullptr) {
                admitted = true;
                line.give_password(session);
            } else if (std::get_if<replica::ready>(&told) != nullptr) {
                admitted = true;
                const walwire::errc code = asked ? session.terminate() : session.ask(command);
                if (code != walwire::errc::none) throw failure(std::string(text(code)));
                left = asked;
                asked = true;
            } else if (const auto* refused = std::get_if<replica::server_error>(&told)) {
                if (tolerated.empty() || refused->sqlstate != tolerated)
                    error = describe(refused->fields());
            } else if (const auto* failed = std::get_if<replica::failed>(&told)) {
                if (error.empty()) error = describe(failed->reason);
                // What we refuse ourselves is not refused the less with another encryption.
                admitted = admitted || replica::is_permanent(failed->reason.code);
            } else {
                answer(told);
            }
        };
        try {
            while (!session.over()) {
                while (const auto told = session.poll(in, now())) handle(*told);
                line.write(session);
                if (!session.over()) in = line.read(session, walwire::never, -1);
            }
        } catch (const failure& lost) {
            if (!left) error = lost.what();
        }
        line.hang_up();
        if (!error.empty() && !admitted && alternative && options.tls != *alternative) {
            options.tls = *alternative;
            again = true;
        } else if (!error.empty()) {
            throw failure(line.peer() + ": " + error);
        }
    }
}

} // namespace

void identify(const identify_arguments& given) {
    link line(given.conninfo, given.dialect);
    for (const std::string& note : line.notes()) say(note);
    ask(line, walwire::wire::identify_system{}, {}, [&](const replica::event& told) {
        const auto* system = std::get_if<replica::system_identified>(&told);
        if (system == nullptr) return;
        const std::string position(std::string_view(to_text(system->end, given.dialect)));
        std::printf("system identifier  %" PRIu64 "\ntimeline           %" PRIu32
                    "\nposition           %s\ndatabase           %s\n",
                    system->system_identifier, system->timeline.value, position.c_str(),
                    system->database ? printable(*system->database).c_str() : "-");
    });
}

void create_slot(link& line, const std::string& name, bool or_exists) {
    walwire::wire::create_replication_slot slot;
    slot.name = name;
    ask(line, slot, or_exists ? "42710" : "", [](const replica::event&) {});
}

} // namespace posix
