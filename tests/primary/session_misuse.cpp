#include <walwire/primary/session.hpp>

#include <doctest/doctest.h>

#include "primary/client.hpp"
#include "primary/scram_client.hpp"
#include "support/prng.hpp"

using namespace caller;
using wire::phase;

namespace {

constexpr std::size_t calls = 19;

// A moment in the life of a session, and how to get there.
struct moment {
    std::string name;
    phase at;
    // What secured, admit, refuse, refuse for good, five times answer, complete, columns, row,
    // complete, end_results, notify, stream, send, end_timeline and shut_down say there.
    std::string verdicts;
    plan chosen;
    std::vector<buffer> said;
    void (*then)(server&) = [](server&) {};
};

plan silent() {
    plan made;
    made.answers = made.admits = false;
    made.end = start + 100;
    return made;
}
plan tls(bool direct) {
    plan made = silent();
    made.options.tls = primary::encryption::offered;
    made.options.direct_tls = direct;
    return made;
}
plan quiet(auth::method how = auth::method::none) {
    plan made = silent();
    made.admits = true;
    made.how = how;
    return made;
}
plan ended() {
    plan made = quiet();
    made.answers = true;
    made.next = {4};
    made.switch_point = made.end;
    return made;
}
plan paused(plan chosen = quiet()) {
    chosen.writes = false;
    return chosen;
}
void begin(server& hears) {
    CHECK(hears->stream({{3}, start + 100, {}, {}}) == errc::none);
    hears.feed();
}
// 40 of the bytes of W and of the first message's 138 are written.
void half(server& hears) {
    hears.write();
    CHECK(hears->stream({{3}, start + 100, {}, {}}) == errc::none);
    static const buffer wal(100, std::byte{1});
    CHECK(hears->send(wal) == errc::none);
    hears.feed();
    hears.write(40);
}
void column(server& hears) {
    const wire::column described[] = {{"c"}};
    CHECK(hears->columns(described) == errc::none);
}

std::vector<moment> moments() {
    const buffer in = startup();
    const std::string never_but_shut_down = "nnnnnnnnnnnnnnnnnn.";
    const std::string idle = "nnn.nnnnnnnnnn.nnn.";
    const std::string over(calls, 'o');
    const auto asked = [&](const std::string& command) { return in + query(command); };
    return {
        {"fresh", phase::fresh, never_but_shut_down, silent(), {}},
        {"TLS is promised",
         phase::encrypting,
         never_but_shut_down,
         paused(tls(false)),
         {ssl_request()}},
        {"the handshake", phase::encrypting, ".nnnnnnnnnnnnnnnnn.", tls(false), {ssl_request()}},
        {"TLS at once", phase::fresh, ".nnnnnnnnnnnnnnnnn.", tls(true), {of("\x16\x03")}},
        {"TLS declined", phase::ssl_declined, never_but_shut_down, silent(), {ssl_request()}},
        {"who wants in", phase::started, "n...nnnnnnnnnnnnnn.", silent(), {in}},
        {"a password is wanted",
         phase::password_asked,
         never_but_shut_down,
         quiet(auth::method::password),
         {in}},
        {"SASL is offered",
         phase::sasl_offered,
         never_but_shut_down,
         quiet(auth::method::scram_sha_256),
         {in}},
        {"SASL has begun",
         phase::sasl_challenged,
         never_but_shut_down,
         quiet(auth::method::scram_sha_256),
         {in + sasl("SCRAM-SHA-256", scram_client{}.first())}},
        {"idle", phase::idle, idle, quiet(), {in}},
        {"IDENTIFY_SYSTEM",
         phase::asked,
         "nn...nnnnnnnnn.nnn.",
         quiet(),
         {asked("IDENTIFY_SYSTEM")}},
        {"SHOW", phase::asked, "nn..n.nnnnnnnn.nnn.", quiet(), {asked("SHOW a")}},
        {"TIMELINE_HISTORY",
         phase::asked,
         "nn..nn.nnnnnnn.nnn.",
         quiet(),
         {asked("TIMELINE_HISTORY 2")}},
        {"CREATE",
         phase::asked,
         "nn..nnn.nnnnnn.nnn.",
         quiet(),
         {asked("CREATE_REPLICATION_SLOT s PHYSICAL")}},
        {"READ", phase::asked, "nn..nnnn.nnnnn.nnn.", quiet(), {asked("READ_REPLICATION_SLOT s")}},
        {"DROP", phase::asked, "nn..nnnnn.nnnn.nnn.", quiet(), {asked("DROP_REPLICATION_SLOT s")}},
        {"ALTER",
         phase::asked,
         "nn..nnnnn.nnnn.nnn.",
         quiet(),
         {asked("ALTER_REPLICATION_SLOT s ( FAILOVER true )")}},
        {"SQL", phase::asked, "nn..nnnnnn.n.n.nnn.", quiet(), {asked("select")}},
        {"rows", phase::rows, "nn..nnnnnnn..n.nnn.", quiet(), {asked("select")}, column},
        {"a result",
         phase::answered,
         "nn..nnnnnn.n...nnn.",
         quiet(),
         {asked("select")},
         [](server& hears) { CHECK(hears->complete("") == errc::none); }},
        {"START",
         phase::asked,
         "nn..nnnnnnnnnn..nn.",
         quiet(),
         {asked("START_REPLICATION 0/3000000")}},
        {"BASE_BACKUP", phase::asked, "nn..nnnnnnnnnn.nnn.", quiet(), {asked("BASE_BACKUP")}},
        {"a history is written",
         phase::rows,
         "nnnfnnnnnnnnnnfnnn.",
         paused(),
         {in},
         [](server& hears) {
             hears.write();
             hears.feed(query("TIMELINE_HISTORY 2"));
             CHECK(hears->answer(primary::history_content{{2}, as_bytes("x"sv)}) == errc::none);
             hears.feed();
         }},
        {"WAL streams", phase::copy_both, "nn..nnnnnnnnnn.n...", quiet(), {streaming()}, begin},
        {"in a body",
         phase::copy_both,
         "nnffnnnnnnnnnnfnn..",
         paused(),
         {in},
         [](server& hears) {
             hears.write();
             hears.feed(start_streaming());
             half(hears);
         }},
        {"stopped in a body",
         phase::client_finished,
         "nnffnnnnnnnnnnfnn..",
         paused(),
         {in},
         [](server& hears) {
             hears.write();
             hears.feed(start_streaming());
             half(hears);
             hears.feed(copy_done());
         }},
        {"the timeline is at its end",
         phase::server_finished,
         "nn..nnnnnnnnnn.nn..",
         ended(),
         {in + start_streaming("0/3000060")}},
        {"a status could not be read",
         phase::copy_both,
         "nnffnnnnnnnnnnfnn..",
         paused(),
         {in},
         [](server& hears) {
             hears.write();
             hears.feed(start_streaming());
             half(hears);
             hears.feed(copy_data({}));
         }},
        {"the stream is over",
         phase::idle,
         idle,
         quiet(),
         {streaming()},
         [](server& hears) {
             begin(hears);
             hears.feed(copy_done());
         }},
        {"passing over", phase::skipping, idle, quiet(), {in + message('P', {})}},
        {"refused for good",
         phase::closed,
         over,
         quiet(),
         {in},
         [](server& hears) {
             CHECK(hears->refuse({"XX000", "no", {}, {}, true}) == errc::none);
         }},
        {"told to go",
         phase::closed,
         over,
         quiet(),
         {in},
         [](server& hears) { CHECK(hears->shut_down() == errc::none); }},
        {"gone", phase::closed, over, quiet(), {in + terminate()}},
        {"failed", phase::closed, over, silent(), {of("GET / HTTP/1.1")}},
        {"refused by check",
         phase::closed,
         over,
         [] {
             plan wrong = silent();
             wrong.options.server_version = "x";
             return wrong;
         }(),
         {buffer(1)}},
    };
}

void lead(server& hears, const moment& to) {
    for (const buffer& each : to.said) hears.feed(each);
    to.then(hears);
}

errc call(server& hears, std::size_t which) {
    static const wire::column described[] = {{"c"}};
    static const std::optional<std::string_view> values[] = {"v"};
    static const buffer wal(10, std::byte{1});
    switch (which) {
    case 0: return hears->secured();
    case 1: return hears->admit(auth::method::none);
    case 2: return hears->refuse({"XX000", "no", {}, {}, false});
    case 3: return hears->refuse({"XX000", "no", {}, {}, true});
    case 4: return hears->answer(primary::system_identity{1, {3}, start, {}});
    case 5: return hears->answer(primary::setting{"a", "b"});
    case 6: return hears->answer(primary::history_content{{2}, {}});
    case 7: return hears->answer(primary::created_slot{"s", {}, {}, {}});
    case 8: return hears->answer(primary::slot_state{});
    case 9: return hears->complete();
    case 10: return hears->columns(described);
    case 11: return hears->row(values);
    case 12: return hears->complete("SELECT 1");
    case 13: return hears->end_results();
    case 14: return hears->notify(notice("so it is"));
    case 15: return hears->stream({{3}, start + 100, {}, {}});
    case 16: return hears->send(wal);
    case 17: return hears->end_timeline({9}, start + 500);
    default: return hears->shut_down();
    }
}

std::string state(server& hears) {
    const gather out = hears->output();
    return std::to_string(int(hears->at())) + ' ' + shown(out.head) + ' ' + shown(out.body) + ' ' +
           std::to_string(hears->deadline()) + ' ' + std::to_string(hears->streaming()) +
           std::to_string(hears->wants_wal()) + ' ' + shown(hears->next()) + ' ' +
           std::to_string(hears->eaten()) + hears.events();
}

std::size_t endings(const std::string& events) {
    std::size_t count = 0;
    for (const char* const word : {"failed ", "closed "})
        for (std::size_t at = events.find(word); at != std::string::npos;
             at = events.find(word, at + 1))
            ++count;
    return count;
}

// Everything that a client can say to a server that answers.
buffer everything() {
    return startup("user\0repl\0replication\0true\0_pq_.x\0\0"sv) + password("pencil") +
           query("IDENTIFY_SYSTEM") + query("SHOW a") + query("TIMELINE_HISTORY 3") +
           query("CREATE_REPLICATION_SLOT s PHYSICAL") + query("DROP_REPLICATION_SLOT s") +
           query("select") + message('P', text("x")) + sync_message() + message('F', {}) +
           start_streaming() + status(1, 1, 1, true) + feedback() + copy_done() + query("SHOW b") +
           terminate();
}
plan knows() {
    plan made;
    made.how = auth::method::password;
    made.secret = "pencil";
    made.end = start + 300;
    made.lent_at_once = 100;
    return made;
}

// Whether it is whole messages of types that servers have.
// The last may be `cut` where the session failed in the middle of it.
bool is_spoken(bytes said, bool cut = false) {
    while (!said.empty()) {
        if (said.size() < 5) return cut;
        const std::size_t length = load<std::uint32_t>(said.data() + 1);
        if (length < 4) return false;
        if (said.size() < length + 1) return cut;
        if (!wire::backend_message(std::to_integer<std::uint8_t>(said[0]),
                                   said.subspan(5, length - 4)))
            return false;
        said = said.subspan(length + 1);
    }
    return true;
}

} // namespace

TEST_CASE("every call at every moment does what it says, or says why not and changes nothing") {
    for (const moment& each : moments()) {
        CAPTURE(each.name);
        REQUIRE(each.verdicts.size() == calls);
        for (std::size_t which = 0; which < calls; ++which) {
            CAPTURE(which);
            server hears(each.chosen);
            lead(hears, each);
            if (each.at != phase::closed || hears->over()) CHECK(hears->at() == each.at);
            const std::string before = state(hears);
            char verdict = '?';
            switch (call(hears, which)) {
            case errc::none: verdict = '.'; break;
            case errc::not_now: verdict = 'n'; break;
            case errc::over: verdict = 'o'; break;
            case errc::output_full: verdict = 'f'; break;
            default: break;
            }
            CHECK(std::string(1, verdict) == each.verdicts.substr(which, 1));
            if (verdict != '.') CHECK(state(hears) == before);
        }
    }
}

TEST_CASE("after any two calls at any moment the session still comes to one end") {
    for (const moment& each : moments()) {
        CAPTURE(each.name);
        for (std::size_t one = 0; one < calls; ++one) {
            for (std::size_t other = 0; other < calls; ++other) {
                server hears(each.chosen);
                lead(hears, each);
                static_cast<void>(call(hears, one));
                static_cast<void>(call(hears, other));
                hears.writes(true);
                hears.feed();
                hears.feed(query("SHOW a"));
                hears.finish();
                for (int i = 0; i < 10 && !hears->over(); ++i) {
                    static_cast<void>(hears->refuse({"XX000", "no", {}, {}, false}));
                    hears.feed();
                }
                hears.wait_until(61 * second); // where a handshake holds the input
                CHECK(endings(hears.events()) == 1);
                CHECK(hears->over());
            }
        }
    }
}

TEST_CASE("after the end nothing is read, said or awaited") {
    server hears(plan{});
    hears.feed(startup() + terminate());
    CHECK(hears->over());
    const std::string before = hears.events();
    hears.said.clear();
    hears->finish();
    hears->consume(1000);
    hears->advance(lsn{1});
    hears.wait_until(1000 * second);
    hears.feed(everything());
    CHECK(hears.left() == 0);
    CHECK(hears.events() == before);
    CHECK(hears.said.empty());
    CHECK(hears->deadline() == never);
    CHECK_FALSE(hears->wants_wal());
}

TEST_CASE("consume takes what it is told, and not more than there is") {
    server hears(plan{});
    hears.writes(false);
    hears.feed(startup());
    const buffer all = of(hears->output().head);
    hears->consume(0);
    CHECK(of(hears->output().head) == all);
    hears->consume(10);
    CHECK(of(hears->output().head) == of(bytes(all).subspan(10)));
    hears->consume(SIZE_MAX);
    CHECK(hears->output().empty());
}

TEST_CASE("a client that hangs up anywhere leaves exactly one end behind") {
    const buffer all = everything();
    for (std::size_t size = 0; size <= all.size(); ++size) {
        CAPTURE(size);
        server hears(knows());
        hears.feed(bytes(all).first(size));
        hears.finish();
        CHECK(endings(hears.events()) == 1);
        CHECK(hears->over());
        CHECK(hears->deadline() == never);
    }
    server whole(knows());
    whole.feed(all);
    CHECK(whole.last() == "closed terminated\n");
}

TEST_CASE("any byte that is another comes to an end, and what was said is whole messages") {
    const buffer all = everything();
    for (std::size_t at = 0; at < all.size(); ++at) {
        for (const int with : {0x01, 0x80, 0xff}) {
            buffer flipped = all;
            flipped[at] ^= static_cast<std::byte>(with);
            server hears(knows());
            hears.feed(flipped);
            hears.finish();
            for (int i = 0; i < 20 && !hears->over(); ++i) {
                static_cast<void>(hears->refuse({"XX000", "no", {}, {}, false}));
                hears.feed();
            }
            if (endings(hears.events()) != 1 || !is_spoken(hears.said)) {
                CAPTURE(at);
                CAPTURE(with);
                CAPTURE(hears.events());
                CHECK(endings(hears.events()) == 1);
                CHECK(is_spoken(hears.said));
            }
        }
    }
}

TEST_CASE("any calls, writes and waits in any order, and what was said is whole messages") {
    const buffer all = everything();
    for (std::uint64_t seed = 0; seed < 600; ++seed) {
        support::prng random(seed);
        plan chosen = knows();
        chosen.writes = false;
        chosen.out = 900 + random.below(400);
        server hears(chosen);
        buffer wal(200);
        for (std::size_t i = 0; i < wal.size(); ++i) wal[i] = byte_at(start.value + i);
        std::size_t at = 0;
        for (int step = 0; step < 400 && !hears->over(); ++step) {
            switch (random.below(6)) {
            case 0:
            case 1: {
                const std::size_t size =
                    std::min<std::size_t>(1 + random.below(40), all.size() - at);
                hears.feed(bytes(all).subspan(at, size));
                at += size;
                break;
            }
            case 2: hears.write(random.below(300)); break;
            case 3: hears.now.steady += static_cast<std::int64_t>(random.below(second)); break;
            case 4: hears.answers(random.chance(9, 10)); break;
            default:
                if (random.chance(1, 4)) static_cast<void>(call(hears, random.below(calls - 1)));
                break;
            }
        }
        hears.answers(true);
        hears->shut_down();
        for (int i = 0; i < 50 && !hears->over(); ++i) {
            hears.write();
            static_cast<void>(hears->refuse({"XX000", "no", {}, {}, false}));
            hears.wait_until(std::max(hears.now.steady,
                                      std::min(hears->deadline(), hears.now.steady + 61 * second)));
        }
        CHECK(hears->over());
        hears.write();
        CAPTURE(seed);
        CHECK(endings(hears.events()) == 1);
        CHECK(is_spoken(hears.said, hears.last().starts_with("failed")));
    }
}
