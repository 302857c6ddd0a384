#include <walwire/replica/login.hpp>

#include <doctest/doctest.h>

#include <walwire/auth/scram_verifier.hpp>
#include <walwire/replica/session.hpp>

#include "replica/dialogue.hpp"
#include "replica/scram_server.hpp"

using namespace dialogue;
using replica::encryption;

namespace {

constexpr encryption kinds[] = {encryption::off, encryption::offered, encryption::required,
                                encryption::direct};

plan encrypted(encryption tls, encryption gss = encryption::off) {
    plan made;
    made.options.tls = tls;
    made.options.gss = gss;
    return made;
}

// Over TLS, with a certificate that gives a binding, or without.
plan over_tls(bool binding) {
    plan made = encrypted(encryption::required);
    if (binding) made.binding = buffer(32, std::byte{0xcb});
    return made;
}

buffer yes() {
    return of("S");
}

// The packets before the first message, by name.
std::string packets(bytes said) {
    std::string names;
    while (said.size() >= 8 && said[0] == std::byte{0}) {
        const auto size = load<std::uint32_t>(said.data());
        const auto packet = wire::parse_startup_packet(said.subspan(4, size - 4));
        constexpr const char* kind[] = {"startup ", "ssl ", "gss ", "cancel "};
        names += packet ? kind[packet->index()] : "wrong ";
        said = said.subspan(size);
    }
    return names;
}

// What a client says and is told, by the server's answers to its encryption requests.
std::string model(encryption gss, encryption tls, std::string_view answers) {
    if (tls == encryption::direct) return "tls_accepted direct\n";
    std::string said, told;
    std::size_t at = 0;
    const auto ask = [&](encryption wanted, char yes, const char* packet, const char* accepted) {
        if (wanted == encryption::off || !told.empty()) return;
        said += packet;
        const char answer = at < answers.size() ? answers[at] : ' ';
        if (answer == ' ')
            told = failure(errc::connect_timeout, at) + '\n';
        else if (answer == yes)
            told = accepted;
        else if (answer == 'E')
            told = failure(errc::encryption_error_response, at) + '\n';
        else if (answer != 'N')
            told = failure(errc::encryption_answer_invalid, at) + '\n';
        else if (wanted == encryption::required)
            told = failure(errc::encryption_refused, at) + '\n';
        ++at;
    };
    ask(gss, 'G', "gss ", "gss_accepted\n");
    ask(tls, 'S', "ssl ", "tls_accepted\n");
    return said + (told.empty() ? "startup " : "") + told;
}

} // namespace

TEST_CASE("the start-up packet says what was chosen and nothing else") {
    const auto startup = [](const plan& chosen) {
        client opens(chosen);
        const bytes body = bytes(opens.said).subspan(4);
        const auto packet = std::get<wire::startup_message>(*wire::parse_startup_packet(body));
        std::string text = std::to_string(packet.version.minor_part());
        wire::parameters list = packet.list();
        while (const auto pair = list.next())
            text += ' ' + std::string(pair->name) + '=' + std::string(pair->value);
        return text;
    };
    plan chosen;
    CHECK(startup(chosen) == "0 user=repl replication=true");
    const std::array<wire::parameter, 2> others{{{"DateStyle", "ISO"}, {"user", "again"}}};
    chosen.options.version = wire::protocol_3_2;
    chosen.options.mode = replica::replication_mode::database;
    chosen.options.database = "db";
    chosen.options.settings = "-c a=b";
    chosen.options.application_name = "me";
    chosen.options.parameters = others;
    CHECK(startup(chosen) == "2 user=repl database=db replication=database options=-c a=b "
                             "application_name=me DateStyle=ISO user=again");
}

TEST_CASE("start-up packets that check lets through fit behind requests not yet consumed") {
    const std::string text(out_size_min, 'x');
    std::size_t longest = 0;
    for (std::size_t size = 1; size < text.size(); ++size) {
        plan chosen = encrypted(encryption::offered, encryption::offered);
        chosen.out = out_size_min;
        chosen.writes = false;
        chosen.options.mode = replica::replication_mode::database;
        chosen.options.database = chosen.options.settings = chosen.options.application_name = "x";
        chosen.options.user = std::string_view(text).substr(0, size);
        client opens(chosen);
        opens.feed(of("N"));
        opens.feed(of("N"));
        const buffer stash(chosen.stash), out(chosen.out);
        buffer rooms[] = {stash, out};
        CAPTURE(size);
        if (replica::session::check(chosen.options, {rooms[0], rooms[1]}) == errc::none) {
            longest = size;
            REQUIRE(!opens.reason);
            REQUIRE(opens->at() == wire::phase::started);
        } else {
            REQUIRE(opens.events() == failure(errc::argument_too_long, 0) + '\n');
            REQUIRE(opens->over());
        }
    }
    CHECK(longest > 400);
}

TEST_CASE("what check refuses ends the first poll with its code and says nothing") {
    const auto refused = [](void (*change)(plan&)) {
        plan chosen;
        change(chosen);
        client opens(chosen);
        CHECK(opens.said.empty());
        CHECK(opens->over());
        return last_line(opens.events());
    };
    CHECK(refused([](plan& p) { p.options.user = ""; }) == failure(errc::argument_invalid, 0));
    CHECK(refused([](plan& p) { p.stash = 511; }) == failure(errc::memory_too_small, 0));
    CHECK(refused([](plan& p) { p.out = 511; }) == failure(errc::memory_too_small, 0));
    CHECK(refused([](plan& p) { p.options.version = {0x20000}; }) ==
          failure(errc::unsupported_version, 0));
    CHECK(refused([](plan& p) { p.options.database = std::string_view("a\0", 2); }) ==
          failure(errc::argument_has_nul, 0));
    // GSSAPI has no direct mode, and cannot be required where TLS comes first.
    CHECK(refused([](plan& p) { p.options.gss = encryption::direct; }) ==
          failure(errc::argument_invalid, 0));
    CHECK(refused([](plan& p) {
              p.options.gss = encryption::required;
              p.options.tls = encryption::direct;
          }) == failure(errc::argument_invalid, 0));
}

TEST_CASE("encryption, in every combination of what is wanted and what is answered") {
    std::vector<std::string> answers{""};
    for (const char first : std::string_view("SGNEX")) {
        answers.push_back({first});
        for (const char next : std::string_view("SGNEX")) answers.push_back({first, next});
    }
    for (const encryption gss : kinds) {
        if (gss == encryption::direct) continue;
        for (const encryption tls : kinds) {
            if (tls == encryption::direct && gss == encryption::required) continue;
            for (const std::string& said : answers) {
                plan chosen = encrypted(tls, gss);
                chosen.answers = false;
                client opens(chosen);
                for (const char each : said) {
                    // Behind the start-up packet it would be a message, or the handshake's.
                    if (opens->at() >= wire::phase::encrypting || opens->over()) break;
                    if (opens->at() == wire::phase::fresh) break;
                    opens.feed(of(std::string_view(&each, 1)));
                    CHECK(opens.left == 0);
                }
                const bool waits = opens->at() < wire::phase::encrypting && opens.events().empty();
                if (waits) opens.wait_until(opens->deadline());
                CAPTURE(int(gss));
                CAPTURE(int(tls));
                CAPTURE(said);
                CHECK(packets(opens.said) + opens.events() == model(gss, tls, said));
            }
        }
    }
}

TEST_CASE("plain bytes behind an accepting answer are an attack, whatever they are") {
    for (const std::string behind : {"R", "S", "\x16\x03\x01"}) {
        client tls(encrypted(encryption::offered));
        tls.poll(of("S" + behind));
        CHECK(tls.events() == failure(errc::bytes_before_encryption, 0) + '\n');
        client gss(encrypted(encryption::offered, encryption::offered));
        gss.poll(of("G" + behind));
        CHECK(gss.events() == failure(errc::bytes_before_encryption, 0) + '\n');
        client again(encrypted(encryption::offered, encryption::offered));
        again.poll(of("NS" + behind));
        CHECK(again.events() == failure(errc::bytes_before_encryption, 1) + '\n');
    }
}

TEST_CASE("an error in place of an answer is not read, let alone believed") {
    client opens(encrypted(encryption::offered));
    opens.poll(fatal("28000"));
    CHECK(opens.events() == failure(errc::encryption_error_response, 0) + '\n');
    CHECK(packets(opens.said) == "ssl ");
}

TEST_CASE("bytes behind a declining answer are what a server says in plain text, in any pieces") {
    const buffer said = of("N") + trusted();
    CHECK(heard(encrypted(encryption::offered), said).ends_with("ready I\n"));
    client whole(encrypted(encryption::offered));
    whole.poll(said);
    CHECK(last_line(whole.events()) == "ready I");
}

TEST_CASE("bytes stay in the input only while a handshake or a password is owed") {
    plan chosen = encrypted(encryption::required);
    chosen.answers = false;
    client opens(chosen);
    opens.feed(yes());
    CHECK(opens.left == 0);
    const buffer asks_for_it = authentication(3);
    opens.feed(asks_for_it + notice()); // the handshake's bytes, for all it knows
    CHECK(opens.left == asks_for_it.size() + notice().size());
    REQUIRE(opens->secured() == errc::none);
    opens.feed(asks_for_it + authentication(0));
    CHECK(last_line(opens.events()) == "password_wanted cleartext");
    CHECK(opens.left == authentication(0).size());
    REQUIRE(opens->give_password("x") == errc::none);
    opens.feed(authentication(0) + admission());
    CHECK(opens.left == 0);
    CHECK(last_line(opens.events()) == "ready I");
}

TEST_CASE("a server that goes while a password is owed has said why, and is heard") {
    plan chosen;
    chosen.answers = false;
    client asked(chosen);
    const buffer said = authentication(5, "salt") + fatal("57014"); // authentication_timeout
    bytes in = said;
    while (asked->poll(in, asked.now)) continue;
    CHECK(in.size() == fatal("57014").size());
    asked->finish();
    asked.poll(in);
    CHECK(asked.news() == "fatal 57014 so it is\nclosed fatal_error\n");

    // But nothing is read in the place of a handshake.
    plan wants = encrypted(encryption::required);
    wants.answers = false;
    client shakes(wants);
    shakes.feed(yes());
    shakes.news();
    shakes->finish();
    shakes.feed(fatal("57014"));
    REQUIRE(shakes.reason);
    CHECK(shakes.reason->code == errc::connection_lost);
}

TEST_CASE("secured answers a handshake that was asked for, once") {
    const buffer large(65), fits(64);
    for (const bool direct : {false, true}) {
        plan chosen = encrypted(direct ? encryption::direct : encryption::required);
        chosen.answers = false;
        buffer stash(chosen.stash), out(chosen.out);
        replica::session early(chosen.options, {stash, out});
        CHECK(early.secured() == errc::not_now); // nobody has asked for it
        client opens(chosen);
        if (!direct) {
            CHECK(opens->secured() == errc::not_now);
            opens.feed(yes());
        }
        opens.said.clear();
        CHECK(opens->secured(large) == errc::argument_too_long);
        CHECK(opens->secured(fits) == errc::none);
        CHECK(opens->secured(fits) == errc::not_now);
        opens.poll({});
        CHECK(packets(opens.said) == "startup ");
    }
    client plain(plan{});
    CHECK(plain->secured() == errc::not_now);
}

TEST_CASE("trust, cleartext and MD5 are answered as they ask, in any pieces") {
    const buffer salt = spelled::hex("01020304");
    plan md5;
    md5.password = "secret";
    plan clear;
    clear.options.cleartext_without_tls = true;
    const auto answered = [](const plan& chosen, const buffer& asked) {
        CHECK(ending(chosen, asked + trusted()) == "ready I");
        client opens(chosen);
        opens.said.clear();
        opens.feed(asked + trusted());
        return of(opens.said);
    };
    CHECK(answered(plan{}, {}) == buffer{});
    CHECK(answered(clear, authentication(3)) == message('p', of("pencil") + buffer(1)));
    CHECK(answered(md5, authentication(5, salt)) ==
          message('p', of("md5b3a28fe140b644455fccd78ea2101699") + buffer(1)));
}

TEST_CASE("a cleartext password crosses an open network only where that was allowed") {
    CHECK(ending(plan{}, authentication(3)) == failure(errc::cleartext_refused, 0));
    CHECK(ending(over_tls(false), yes() + authentication(3) + trusted()) == "ready I");
    plan gss = encrypted(encryption::off, encryption::required);
    CHECK(ending(gss, of("G") + authentication(3) + trusted()) == "ready I");
    plan declined = encrypted(encryption::offered);
    CHECK(ending(declined, of("N") + authentication(3)) == failure(errc::cleartext_refused, 1));
}

TEST_CASE("a whole SCRAM exchange, plain and bound, convinces both ends") {
    struct link {
        bool tls, binding, plus;
        auth::channel_binding_policy policy;
        const char* flag;
    };
    using auth::channel_binding_policy;
    constexpr link links[] = {
        {false, false, false, channel_binding_policy::prefer, "n,,"},
        {true, false, true, channel_binding_policy::prefer, "n,,"},
        {true, true, false, channel_binding_policy::prefer, "y,,"},
        {true, true, true, channel_binding_policy::disable, "n,,"},
        {true, true, true, channel_binding_policy::prefer, "p=tls-server-end-point,,"},
        {true, true, true, channel_binding_policy::require, "p=tls-server-end-point,,"},
    };
    for (const link& each : links) {
        plan chosen = each.tls ? over_tls(each.binding) : plan{};
        chosen.options.channel_binding = each.policy;
        const bool bound = each.flag[0] == 'p';
        const scram_server server("pencil", each.flag, bound ? chosen.binding : buffer{});
        const buffer said = (each.tls ? yes() : buffer{}) + server.offer(each.plus) +
                            server.first() + server.final() + trusted();
        CAPTURE(each.flag);
        CHECK(ending(chosen, said, 20) == "ready I");
        client opens(chosen);
        opens.feed(said);
        CHECK(server.judge(opens.said) == (bound ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256"));
    }
}

TEST_CASE("a wrong password is found out by the server, a wrong server by the client") {
    const scram_server server("pencil", "n,,", {});
    plan wrong;
    wrong.password = "pencils";
    client opens(wrong);
    opens.feed(server.offer(false) + server.first());
    CHECK(server.judge(opens.said) == "the proof is wrong");
    opens.feed(fatal("28P01"));
    CHECK(opens.events() == "password_wanted scram\nfatal 28P01 so it is\nclosed fatal_error\n");
    // A server that does not know the verifier takes any proof and cannot sign.
    const scram_server impostor("stencil", "n,,", {});
    const buffer before = impostor.offer(false) + impostor.first();
    CHECK(ending(plan{}, before + impostor.final() + trusted(), 20) ==
          failure(errc::scram_signature_mismatch, before.size()));
}

TEST_CASE("success declared in the middle of SCRAM is none") {
    const scram_server server("pencil", "n,,", {});
    const buffer offered = server.offer(false), challenged = offered + server.first();
    CHECK(ending(plan{}, offered + trusted()) ==
          failure(errc::authentication_incomplete, offered.size()));
    CHECK(ending(plan{}, challenged + trusted(), 20) ==
          failure(errc::authentication_incomplete, challenged.size()));
    // The login by itself, without the conversation before it, would not believe it either.
    const replica::options chosen = plan::usual();
    buffer room(out_size);
    wire::conversation talk;
    wire::outbox out(room);
    replica::login bare(chosen, talk, out);
    const auto told = [&](const buffer& said, wire::message meaning) {
        static_cast<void>(talk.receive(meaning));
        const auto keep = [](bytes data) { return std::optional(data); };
        return bare.requested(bytes(said).subspan(5), keep).code;
    };
    REQUIRE(bare.open().code == errc::none);
    REQUIRE(told(offered, wire::message::authentication_sasl) == errc::none);
    CHECK(told(authentication(0), wire::message::authentication_ok) ==
          errc::authentication_incomplete);
}

TEST_CASE("require_auth lets in by the methods on its list, and is asked at every request") {
    const scram_server server("pencil", "n,,", {});
    struct way {
        std::string name;
        buffer asked;
        buffer rest;
    };
    const way ways[] = {
        {"none", {}, trusted()},
        {"password", authentication(3), trusted()},
        {"md5", authentication(5, buffer(4)), trusted()},
        {"scram-sha-256", server.offer(false), server.first() + server.final() + trusted()},
    };
    for (const std::string list :
         {"", "none", "password", "md5", "scram-sha-256", "gss,sspi,oauth", "password,md5",
          "scram-sha-256,none", "!none", "!password", "!password,!md5", "!scram-sha-256,!none"}) {
        plan chosen;
        chosen.options.cleartext_without_tls = true;
        chosen.options.require_auth = *auth::parse_require_auth(list);
        for (const way& each : ways) {
            const bool named = (',' + list + ',').find(',' + each.name + ',') != std::string::npos;
            const bool excluded = list.find('!' + each.name) != std::string::npos;
            const bool allowed = list.empty() || (list.front() == '!' ? !excluded : named);
            CAPTURE(list);
            CAPTURE(each.name);
            // Refused where it is asked for, before a password is given.
            CHECK(ending(chosen, each.asked + each.rest, 10) ==
                  (allowed ? "ready I" : failure(errc::authentication_refused, 0)));
        }
    }
}

TEST_CASE("channel binding that is required is done, or nobody is let in") {
    const buffer binding(32, std::byte{0xcb});
    const scram_server bound("pencil", "p=tls-server-end-point,,", binding);
    const buffer exchange = bound.first() + bound.final() + trusted();
    struct way {
        std::string what;
        bool binding;
        buffer said;
        errc code;
    };
    const way ways[] = {
        {"trust", true, trusted(), errc::channel_binding_missing},
        {"cleartext", true, authentication(3), errc::channel_binding_missing},
        {"md5", true, authentication(5, buffer(4)), errc::channel_binding_missing},
        {"plain SCRAM", true, bound.offer(false), errc::channel_binding_missing},
        {"PLUS, but no binding", false, bound.offer(true), errc::channel_binding_missing},
        {"PLUS and success at once", true, bound.offer(true) + trusted(),
         errc::authentication_incomplete},
        {"PLUS", true, bound.offer(true) + exchange, errc::none},
    };
    for (const way& each : ways) {
        plan chosen = over_tls(each.binding);
        chosen.options.channel_binding = auth::channel_binding_policy::require;
        const bool late = each.code == errc::authentication_incomplete;
        const std::size_t at = 1 + (late ? bound.offer(true).size() : 0);
        CAPTURE(each.what);
        CHECK(ending(chosen, yes() + each.said, 20) ==
              (each.code == errc::none ? "ready I" : failure(each.code, at)));
    }
    plan open;
    open.options.channel_binding = auth::channel_binding_policy::require;
    CHECK(ending(open, bound.offer(false)) == failure(errc::channel_binding_missing, 0));
}

TEST_CASE("what cannot be given as a password is refused, and then another may be given") {
    const scram_server server("pencil", "n,,", {});
    plan chosen;
    chosen.answers = false;
    chosen.out = out_size_min;
    chosen.options.cleartext_without_tls = true;
    for (const bool scram : {false, true}) {
        client opens(chosen);
        CHECK(opens->give_password("pencil") == errc::not_now);
        opens.feed(scram ? server.offer(false) + server.first() : authentication(3));
        CHECK(opens->give_password(std::string_view("a\0b", 3)) == errc::argument_has_nul);
        // SCRAM sends none of it, and has a limit only for what is not ASCII.
        std::string large;
        for (std::size_t i = 0; i < auth::password_characters_max + 1; ++i) large += "\xc3\xa9";
        CHECK(opens->give_password(large) == errc::argument_too_long);
        CHECK(opens->output().empty());
        CHECK(opens->give_password("pencil") == errc::none);
        CHECK(opens->give_password("pencil") == errc::not_now);
        opens.poll({});
        opens.feed((scram ? server.final() : buffer{}) + trusted());
        CHECK(last_line(opens.events()) == "ready I");
    }
}

TEST_CASE("an exchange that needs a primitive which is not there says so") {
    plan chosen;
    chosen.answers = false;
    chosen.options.crypto = nullptr;
    const scram_server server("pencil", "n,,", {});
    CHECK(ending(chosen, server.offer(false)) == failure(errc::crypto_missing, 0));
    client none(chosen);
    none.feed(authentication(5, buffer(4)));
    CHECK(none->give_password("x") == errc::crypto_missing);
    auth::crypto broken = crypto();
    broken.md5 = [](void*, auth::parts, auth::md5_digest&) noexcept { return false; };
    broken.random = [](void*, mutable_bytes) noexcept { return false; };
    broken.pbkdf2_sha256 = nullptr;
    chosen.options.crypto = &broken;
    CHECK(ending(chosen, server.offer(false)) == failure(errc::crypto_failed, 0));
    client fails(chosen);
    fails.feed(authentication(5, buffer(4)));
    CHECK(fails->give_password("x") == errc::crypto_failed);
    broken.random = crypto().random;
    client asked(chosen);
    asked.feed(server.offer(false) + server.first());
    CHECK(asked->give_password("x") == errc::crypto_missing);
}

TEST_CASE("a SCRAM answer that no room of this size can hold is too long, not to be tried again") {
    plan chosen;
    chosen.answers = false;
    chosen.out = out_size_min;
    client opens(chosen);
    const std::string nonce = client_nonce() + std::string(600, 'n');
    const scram_server server("pencil", "n,,", {});
    opens.feed(server.offer(false) + authentication(11, "r=" + nonce + ",s=c2FsdA==,i=1"));
    CHECK(opens->output().empty());
    CHECK(opens->give_password("pencil") == errc::argument_too_long);
}

TEST_CASE("of a password and its keys nothing is left once the answer is written") {
    const std::string password = "correct horse battery staple";
    const scram_server server(password, "n,,", {});
    auth::scram_keys keys;
    auth::sha256_digest salted{};
    static_cast<void>(auth::derive_keys(crypto(), password, server.verifier().salt_bytes(),
                                        server.verifier().iterations, keys));
    static_cast<void>(auth::pbkdf2_sha256(crypto(), as_bytes(password),
                                          server.verifier().salt_bytes(),
                                          server.verifier().iterations, salted));
    auth::md5_digest inner{};
    static_cast<void>(auth::md5(crypto(), {as_bytes(password), as_bytes("repl")}, inner));
    std::array<std::byte, 32> inner_text{};
    writer hex(inner_text);
    auth::detail::put_hex(hex, inner);

    struct way {
        buffer asked;
        const char* answer_from;
    };
    const way ways[] = {{authentication(3), "correct"},
                        {authentication(5, buffer(4)), "md5"},
                        {server.offer(false) + server.first(), ",p="}};
    for (const way& each : ways) {
        // Written in pieces of this size, or never because the time is over.
        for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, SIZE_MAX, std::size_t{0}}) {
            plan chosen;
            chosen.answers = false;
            chosen.options.cleartext_without_tls = true;
            client opens(chosen);
            opens.feed(each.asked);
            opens.writes(false);
            // Too long, so that it is refused when its beginning has been written already.
            if (each.answer_from == password.substr(0, 7))
                CHECK(opens->give_password(password + std::string(out_size, 'x')) ==
                      errc::argument_too_long);
            CHECK(!opens.remembers(as_bytes(password)));
            REQUIRE(opens->give_password(password) == errc::none);
            const std::string said = spelled::text(opens->output().head);
            const std::size_t at = said.find(each.answer_from);
            REQUIRE(at != std::string::npos);
            const buffer proof = of(std::string_view(said).substr(at));
            CHECK(opens.remembers(proof)); // as long as it must
            while (piece > 0 && !opens->output().empty()) opens.write(piece);
            if (piece == 0) opens.wait_until(opens->deadline());
            for (const bytes secret :
                 {bytes(proof), as_bytes(password), bytes(salted), bytes(keys.client.value),
                  bytes(keys.server.value), bytes(server.verifier().stored_key), bytes(inner),
                  bytes(inner_text)})
                CHECK(!opens.remembers(secret));
        }
    }
}

TEST_CASE("the protocol version that was asked for may be lowered to one that is accepted") {
    constexpr std::uint32_t v3_0 = 0x30000, v3_2 = 0x30002;
    const auto opened = [](std::uint32_t asked, std::uint32_t least, const buffer& said) {
        plan chosen;
        chosen.options.version = {asked};
        chosen.options.version_min = {least};
        return ending(chosen, said);
    };
    const auto with_key = [](std::size_t size) {
        return authentication(0) + parameter("server_version", "18.4") + key(size) + ready();
    };
    const buffer lowered = negotiation(v3_0, 0);
    const std::size_t at = authentication(0).size() + parameter("server_version", "18.4").size();
    // 3.0 has keys of four bytes, 3.2 of 4 to 256.
    CHECK(opened(v3_0, v3_0, with_key(4)) == "ready I");
    CHECK(opened(v3_0, v3_0, with_key(5)) == failure(errc::backend_key_invalid, at));
    for (const std::size_t size : {4u, 32u, 256u})
        CHECK(opened(v3_2, v3_0, with_key(size)) == "ready I");
    for (const std::size_t size : {0u, 3u, 257u})
        CHECK(opened(v3_2, v3_0, with_key(size)) == failure(errc::backend_key_invalid, at));
    CHECK(opened(v3_2, v3_0, lowered) == "negotiated 3.0");
    CHECK(opened(v3_2, v3_0, lowered + with_key(4)) == "ready I");
    CHECK(opened(v3_2, v3_0, lowered + with_key(32)) ==
          failure(errc::backend_key_invalid, lowered.size() + at));
    CHECK(opened(v3_2, v3_2, lowered) == failure(errc::protocol_version_refused, 0));
    CHECK(opened(v3_2, v3_2, with_key(32)) == "ready I");
    // There is nothing below 3.0, and a message that changes nothing has no business here.
    CHECK(opened(v3_0, v3_0, lowered) == failure(errc::negotiation_invalid, 0));
    CHECK(opened(v3_2, v3_0, negotiation(v3_2, 0)) == failure(errc::negotiation_invalid, 0));
    plan refused;
    refused.options.version_min = {v3_2};
    CHECK(ending(refused, {}) == failure(errc::unsupported_version, 0));
}

TEST_CASE("connect_timeout runs from the first poll to the first ready, whatever comes meanwhile") {
    const scram_server server("pencil", "n,,", {});
    const buffer steps[] = {of("N"),        of("S"),           server.offer(false), server.first(),
                            server.final(), authentication(0), notice() + notice(), key()};
    for (std::size_t upto = 0; upto <= std::size(steps); ++upto) {
        plan chosen = encrypted(encryption::offered, encryption::offered);
        chosen.options.connect_timeout = 3 * second;
        client opens(chosen);
        const std::int64_t begun = opens.now.steady;
        for (std::size_t i = 0; i < upto; ++i) {
            opens.now.steady += 100 * millisecond;
            opens.feed(steps[i]);
            CHECK(opens->deadline() == begun + 3 * second);
        }
        opens.wait_until(begun + 3 * second - 1);
        CHECK(!opens->over());
        opens.wait_until(begun + 3 * second);
        REQUIRE(opens->over());
        CHECK(opens.reason->code == errc::connect_timeout);
        CHECK(opens.reason->offset <= opens->eaten());
        CHECK(opens->deadline() == never);
    }
    // It does not run any more afterwards.
    client opens(plan{});
    CHECK(opens->deadline() == opens.now.steady + 5 * second);
    opens.feed(trusted());
    CHECK(opens->deadline() == never);
    opens.wait_until(1'000'000 * second);
    CHECK(!opens->over());
}
