#include <walwire/primary/session.hpp>

#include <doctest/doctest.h>

#include <string>

#include "primary/client.hpp"
#include "support/no_alloc.hpp"

using namespace caller;
using wire::phase;

namespace {

// Takes every manifest, and completes or refuses it when it is whole.
class receiver {
  public:
    explicit receiver(const plan& chosen = {}) : hears(chosen) {}

    receiver& feed(bytes client) {
        hears.feed(client);
        for (std::size_t told = 0; told != hears.events().size();) {
            told = hears.events().size();
            const std::string& lines = hears.events();
            if (lines.ends_with("upload\n") && hears->at() == phase::asked)
                CHECK(hears->accept_manifest() == errc::none);
            else if (lines.ends_with("whole\n") && hears->at() == phase::copied_in)
                CHECK((refuses ? hears->refuse({"XX000", "it is broken", {}, {}, false})
                               : hears->complete()) == errc::none);
            else
                break;
            hears.feed();
        }
        return *this;
    }
    server hears;
    bool refuses = false;
};

std::string taken(const buffer& client, bool refuses = false, std::size_t splits = 200) {
    std::string whole;
    const std::string differs = support::difference(
        client,
        [&](support::chunks& chunks) {
            receiver takes;
            takes.refuses = refuses;
            while (const auto chunk = chunks.next()) takes.feed(*chunk);
            if (whole.empty()) whole = takes.hears.events();
            return takes.hears.events() + shown(takes.hears.said) +
                   spelled::text(takes.hears.uploaded);
        },
        splits);
    return differs.empty() ? whole : "the chunks matter: " + differs;
}
buffer uploading() {
    return startup() + query("UPLOAD_MANIFEST");
}
const std::string in_line = "login repl repl 3.0\nin none\nupload\n";

// In the middle of an upload, of which two bytes have come.
receiver& amid(receiver& takes) {
    takes.feed(uploading() + copy_data(of("{ ")));
    takes.hears.news();
    CHECK(takes.hears.heard().ends_with("G\n"));
    return takes;
}

} // namespace

TEST_CASE("a manifest comes in runs, whatever the chunks, and the next command follows") {
    const buffer client = uploading() + copy_data(of("{ \"a\"")) + copy_data({}) +
                          copy_data(of(": 1 }\n")) + copy_done() + query("SHOW a") +
                          query("UPLOAD_MANIFEST") + copy_done() + query("SHOW b");
    CHECK(taken(client) == in_line + "uploaded 11\nwhole\nshow a\nupload\nuploaded 11\nwhole\n"
                                     "show b\n");
    receiver takes;
    takes.feed(client);
    CHECK(spelled::text(takes.hears.uploaded) == "{ \"a\": 1 }\n");
    const std::string heard = takes.hears.heard();
    CHECK(heard.find("Z I\nG\nC UPLOAD_MANIFEST\nZ I\nT a:25") != std::string::npos);
}

TEST_CASE("the response is byte for byte what PostgreSQL says") {
    receiver takes;
    takes.feed(uploading());
    CHECK(of(bytes(takes.hears.said).last(8)) == hex("47 00000007 00 0000"));
    takes.hears.said.clear();
    takes.feed(copy_data(of("{}")) + copy_done());
    CHECK(takes.hears.said == hex("43 00000014 'UPLOAD_MANIFEST'00 5a 00000005 49"));
}

TEST_CASE("a manifest that turns out broken is refused once it is whole") {
    const buffer client =
        uploading() + copy_data(of("x")) + copy_done() + query("SHOW a") + terminate();
    CHECK(taken(client, true) == in_line + "uploaded 1\nwhole\nshow a\nclosed terminated\n");
    receiver takes;
    takes.refuses = true;
    takes.feed(client);
    CHECK(takes.hears.heard().find("G\nE ERROR XX000 it is broken\nZ I\nT a:25") !=
          std::string::npos);
}

TEST_CASE("37: a large manifest passes through, and one beyond the limit of a message does not") {
    receiver takes;
    amid(takes);
    for (int i = 0; i < 40; ++i) takes.feed(copy_data(buffer(300'000)));
    takes.feed(copy_done());
    CHECK(takes.hears.news() == "uploaded 12000002\nwhole\n");
    receiver large;
    amid(large).feed(header('d', 8 * 1024 * 1024 + 5));
    CHECK(large.hears.last().starts_with("failed "));
}

TEST_CASE("57014: CopyFail is answered by the session, and the owner is told") {
    const buffer client =
        uploading() + copy_data(of("{")) + message('f', text("no more")) + query("SHOW a");
    CHECK(taken(client) == in_line + "abandoned\nshow a\n");
    receiver takes;
    takes.feed(client);
    CHECK(takes.hears.heard().find("G\nE ERROR 57014 COPY from stdin failed: no more\nZ I\nT a") !=
          std::string::npos);
    CHECK(takes.hears->errors_said() == 1);
    // With nothing sent, a reason that is too long to repeat, and one without its NUL.
    CHECK(taken(uploading() + message('f', text(""))) == in_line + "abandoned\n");
    CHECK(taken(uploading() + message('f', text(std::string(5000, 'x')))) ==
          in_line + "abandoned\n");
    receiver broken;
    amid(broken).feed(message('f', of("x")));
    CHECK(broken.hears.news() == failure(errc::malformed_message, uploading().size() + 7));
}

TEST_CASE("Sync and Flush mean nothing in a copy; everything else ends the connection") {
    CHECK(taken(uploading() + copy_data(of("{")) + sync_message() + header('H', 4) +
                copy_data(of("}")) + sync_message() + copy_done()) ==
          in_line + "uploaded 2\nwhole\n");
    for (const char tag : {'Q', 'P', 'B', 'D', 'E', 'C', 'F', 'p'}) {
        CAPTURE(tag);
        receiver takes;
        amid(takes).feed(message(tag, text("SHOW a")));
        CHECK(takes.hears.news() == failure(errc::unexpected_message, uploading().size() + 7));
        CHECK(takes.hears.heard().starts_with("E FATAL 08P01 "));
    }
    receiver unknown;
    amid(unknown).feed(header('y', 4));
    CHECK(unknown.hears.last().starts_with("failed "));
    receiver body;
    amid(body).feed(message('c', of("x")));
    CHECK(body.hears.news() == failure(errc::malformed_message, uploading().size() + 7));
    receiver leaves;
    amid(leaves).feed(terminate());
    CHECK(leaves.hears.news() == "closed terminated\n");
}

TEST_CASE("a client that goes away in the middle of its manifest") {
    for (std::size_t size = 1; size < 40; ++size) {
        const buffer client = uploading() + copy_data(buffer(20)) + copy_data(buffer(2));
        receiver takes;
        takes.feed(bytes(client).first(client.size() - 40 + size));
        takes.hears.finish();
        CHECK(takes.hears.last().starts_with("failed "));
        CHECK(takes.hears->over());
    }
}

TEST_CASE("refuse() in the middle passes over what is still under way, at every byte of it") {
    const buffer rest = copy_data(of("{ \"a\"")) + copy_data(of("1")) + copy_data({}) + copy_done();
    for (std::size_t at = 0; at < rest.size(); ++at) {
        CAPTURE(at);
        server hears(plan{});
        hears.feed(uploading());
        CHECK(hears->accept_manifest() == errc::none);
        hears.feed(bytes(rest).first(at));
        hears.news();
        hears.heard();
        CHECK(hears->refuse({"57014", "enough", {}, {}, false}) == errc::none);
        CHECK(hears->at() == phase::idle);
        CHECK(hears->complete() == errc::not_now);
        hears.feed();
        CHECK(hears.heard() == "E ERROR 57014 enough\nZ I\n");
        hears.feed(bytes(rest).subspan(at));
        CHECK(hears.news() == "");
        hears.feed(query("SHOW a"));
        CHECK(hears.news() == "show a\n");
        CHECK(hears.heard() == "T a:25\nD 16MB\nC SHOW\nZ I\n");
    }
    server hears(plan{});
    hears.feed(uploading());
    CHECK(hears->accept_manifest() == errc::none);
    hears.feed();
    CHECK(hears->refuse({"57014", "enough", {}, {}, false}) == errc::none);
    hears.feed(message('f', text("and we")) + query("SHOW a")); // a CopyFail under way
    CHECK(hears.last() == "show a\n");
}

TEST_CASE("a notice may be said in an upload, and what is read waits for what is written") {
    plan chosen;
    server hears(chosen);
    hears.feed(uploading());
    hears.writes(false);
    CHECK(hears->accept_manifest() == errc::none);
    const std::string long_notice(200, 'n');
    while (hears->notify(notice(long_notice)) == errc::none) {
    }
    hears.feed(message('f', text(std::string(200, 'x'))));
    CHECK(hears.last() == "upload\n"); // there is no room to answer it
    CHECK(!hears->over());
    hears.write();
    hears.feed();
    CHECK(hears.last() == "abandoned\n");
}

TEST_CASE("the verbs of an upload answer nothing but UPLOAD_MANIFEST, in their order") {
    server hears(plan{});
    in(hears);
    CHECK(hears->accept_manifest() == errc::not_now);
    hears.feed(query("UPLOAD_MANIFEST"));
    CHECK(hears->complete() == errc::not_now);
    CHECK(hears->complete("UPLOAD_MANIFEST") == errc::not_now);
    CHECK(hears->begin_backup({{1}, {1}}) == errc::not_now);
    CHECK(hears->accept_manifest() == errc::none);
    CHECK(hears->accept_manifest() == errc::not_now);
    CHECK(hears->complete() == errc::not_now);
    hears.feed(copy_data(of("{")));
    CHECK(hears->complete() == errc::not_now);
    hears.feed(copy_done());
    CHECK(hears->accept_manifest() == errc::not_now);
    CHECK(hears->complete() == errc::none);
    CHECK(hears->complete() == errc::not_now);
    hears.feed(terminate());
    CHECK(hears->accept_manifest() == errc::over);
    CHECK(hears->complete() == errc::over);
}

TEST_CASE("a manifest may take as long as it takes, and nothing is allocated for it") {
    receiver takes;
    amid(takes);
    CHECK(takes.hears->deadline() == never);
    takes.hears.wait_until(100'000 * second);
    CHECK(!takes.hears->over());
    const buffer run = copy_data(buffer(5000));
    const support::allocations made;
    bytes in = run;
    bool good = static_cast<bool>(takes.hears->poll(in, takes.hears.now));
    good = good && !takes.hears->poll(in, takes.hears.now) && in.empty();
    const auto count = made.count();
    CHECK(good);
    CHECK(count == 0);
}
