#include <walwire/primary/session.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include <walwire/replica/base_backup.hpp>

#include "support/pair.hpp"
#include "support/prng.hpp"

using namespace walwire;
using support::prng;

namespace {

using buffer = std::vector<std::byte>;

// What one backup consists of: the archives in the order of the list, the base directory last.
struct archives {
    struct one {
        backup::archive_name name;
        std::string path;
        buffer content;
    };
    std::vector<one> all;
    buffer manifest;
    buffer before; // the manifest of the backup that this one is a difference to
};

buffer random_content(prng& random) {
    constexpr std::uint64_t sizes[] = {0, 1, 100, 32'767, 32'768, 32'769, 100'000};
    buffer made(random.chance(1, 2) ? sizes[random.below(7)] : random.below(70'000));
    random.fill(made);
    return made;
}

// A primary's end that sends them, in pieces of random sizes, each spoilt as soon as it is back.
class sender {
  public:
    sender(support::served& server, const archives& what, prng& random)
        : server_(server), what_(what), random_(random) {}

    bool refuses = false; // somewhere in the middle

    void look() {
        if (server_.told.size() == seen_) return;
        for (; seen_ < server_.told.size(); ++seen_) {
            if (std::holds_alternative<primary::base_backup>(server_.told[seen_])) stage_ = 1;
        }
    }
    // As much as there is room for.
    void go_on() {
        look();
        while (stage_ != 0 && step()) {
        }
    }

  private:
    primary::session& session() { return server_.session(); }

    bool step() {
        if (refuses && random_.chance(1, 20)) {
            const errc code = session().refuse({"57014", "enough", {}, {}, false});
            if (code == errc::none) stage_ = 0;
            return false;
        }
        const std::size_t count = what_.all.size();
        if (stage_ == 1) return done(session().begin_backup({{0x2000028}, {1}}));
        if (stage_ < 2 + count) {
            const archives::one& each = what_.all[stage_ - 2];
            backup::tablespace next;
            next.oid = each.name.oid;
            next.path = each.path;
            next.size = each.content.size() / 1024;
            return done(session().list(next));
        }
        const std::size_t at = stage_ - 2 - count;
        if (at < 2 * count) {
            const archives::one& each = what_.all[at / 2];
            if (at % 2 == 0) return done(session().begin_archive(each.name, each.path));
            return send(each.content);
        }
        const bool manifest = !what_.manifest.empty();
        if (manifest && at == 2 * count) return done(session().begin_manifest());
        if (manifest && at == 2 * count + 1) return send(what_.manifest);
        if (!done(session().end_backup({{0x2000100}, {1}}))) return false;
        stage_ = 0;
        return false;
    }
    bool done(errc code) {
        if (code != errc::none) {
            CHECK(code == errc::output_full);
            return false;
        }
        ++stage_;
        at_ = 0;
        return true;
    }
    bool send(const buffer& content) {
        if (!session().wants_backup()) return false;
        std::fill(lent_.begin(), lent_.end(), std::byte{0xdd});
        if (random_.chance(1, 5)) static_cast<void>(session().report_progress(at_));
        if (at_ == content.size()) return done(errc::none);
        const std::size_t size =
            random_.between(1, std::min<std::size_t>(content.size() - at_, 90'000));
        lent_.assign(content.begin() + static_cast<std::ptrdiff_t>(at_),
                     content.begin() + static_cast<std::ptrdiff_t>(at_ + size));
        CHECK(session().send_backup(lent_) == errc::none);
        at_ += size;
        return false; // it is to be written first
    }

    support::served& server_;
    const archives& what_;
    prng& random_;
    buffer lent_;
    std::size_t seen_ = 0;
    std::size_t stage_ = 0; // one of each call
    std::size_t at_ = 0;    // in the content that is being sent
};

// What arrives at the replica's end.
struct receiver {
    std::vector<archives::one> all;
    buffer manifest;
    int endings = 0;
    int ended = 0;
    bool taken = false;
    bool manifest_open = false;
    std::string wrong;
};

struct outcome {
    receiver got;
    buffer uploaded;
};

outcome transfer(std::uint64_t seed, const archives& what, int version, bool refuses) {
    prng random(seed * 7 + 1);
    support::world here;
    here.version = std::to_string(version) + ".1";
    support::served server(here);
    replica::base_backup_options options;
    options.connection.user = "repl";
    buffer stash(stash_size), out(random.chance(1, 2) ? 700 : out_size);
    replica::base_backup machine(options, {stash, out});
    support::joined<replica::base_backup> link(server, machine);
    constexpr std::size_t pieces[] = {1, 7, 100, 1000, 8192, 65536};
    link.piece = pieces[random.below(6)];
    std::size_t size = what.before.size() + what.manifest.size();
    for (const archives::one& each : what.all) size += each.content.size();
    if (size > 5'000) // a served end remembers so many events and no more
        link.piece = std::max<std::size_t>(link.piece, 500);
    if (random.chance(1, 2)) link.pieces = &random;
    sender sends(server, what, random);
    sends.refuses = refuses;
    outcome seen;
    std::size_t uploaded = 0;
    bool uploads = false;
    const auto upload = [&] {
        while (uploads) {
            const bytes rest = bytes(what.before).subspan(uploaded);
            if (rest.empty()) {
                uploads = machine.end_copy() != errc::none;
                return;
            }
            const auto taken = machine.copy(rest);
            if (!taken) return;
            uploaded += *taken;
        }
    };
    const auto hear = [&](const replica::base_backup_event& event) {
        receiver& got = seen.got;
        if (got.endings > 0) got.wrong = "an event behind the end";
        if (std::holds_alternative<replica::connect_wanted>(event))
            CHECK(machine.connected() == errc::none);
        if (std::holds_alternative<replica::source_identified>(event)) {
            wire::base_backup asks;
            if (!what.manifest.empty()) asks.manifest = wire::backup_manifest::yes;
            asks.incremental = !what.before.empty();
            CHECK(machine.begin(asks) == errc::none);
        }
        uploads = uploads || std::holds_alternative<replica::manifest_wanted>(event);
        if (const auto* const archive = std::get_if<backup::archive_started>(&event))
            got.all.push_back({archive->name, {}, {}});
        if (const auto* const run = std::get_if<backup::archive_data>(&event))
            got.all.back().content.insert(got.all.back().content.end(), run->data.begin(),
                                          run->data.end());
        if (const auto* const run = std::get_if<backup::manifest_data>(&event))
            got.manifest.insert(got.manifest.end(), run->data.begin(), run->data.end());
        if (const auto* const listed = std::get_if<backup::tablespace>(&event))
            if (listed->path != what.all[listed->index].path ||
                listed->size != what.all[listed->index].content.size() / 1024)
                got.wrong = "the list is another";
        got.ended += std::holds_alternative<backup::ended>(event);
        got.taken = got.taken || std::holds_alternative<replica::backup_taken>(event);
        got.endings += std::holds_alternative<replica::backup_taken>(event) ||
                       std::holds_alternative<replica::given_up>(event);
    };
    for (int idle = 0; idle < 100 && !machine.over();) {
        const std::size_t told = server.told.size();
        const std::size_t arrived = seen.got.all.size();
        link.settle(hear);
        sends.go_on();
        upload();
        const bool moves = told != server.told.size() || arrived != seen.got.all.size() ||
                           !server.session().output().empty() || !machine.output().empty() ||
                           server.session().wants_backup() ||
                           server.session().deadline() == INT64_MIN ||
                           machine.deadline() == INT64_MIN;
        idle = moves ? 0 : idle + 1;
    }
    if (!machine.over()) seen.got.wrong = "it comes to no end";
    seen.uploaded = server.uploaded;
    return seen;
}

archives random_archives(prng& random, int version) {
    archives made;
    const std::uint64_t count = random.between(1, 4);
    for (std::uint64_t i = 1; i <= count; ++i) {
        archives::one each;
        if (i < count) {
            each.name.oid = static_cast<std::uint32_t>(16384 + i);
            each.path = "/ts" + std::to_string(i);
        }
        if (version >= 15)
            each.name.compression = static_cast<wire::backup_compression>(random.below(4));
        each.content = random_content(random);
        made.all.push_back(each);
    }
    if (version > 12 && random.chance(2, 3)) made.manifest = random_content(random);
    if (version > 16 && random.chance(1, 2)) made.before = random_content(random);
    return made;
}

} // namespace

// WALWIRE_SEED names one transfer to be made alone.
TEST_CASE("what a primary of ours sends as a backup arrives at a replica of ours byte for byte") {
    std::uint64_t first = 1, last = 80;
    if (const char* const seed = std::getenv("WALWIRE_SEED"))
        first = last = std::strtoull(seed, nullptr, 10);
    std::size_t archives_seen = 0, refused = 0;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        CAPTURE(seed);
        prng random(seed);
        const int version = static_cast<int>(random.between(12, 18));
        const archives what = random_archives(random, version);
        const bool refuses = random.chance(1, 5);
        const outcome seen = transfer(seed, what, version, refuses);
        CHECK(seen.got.wrong == "");
        CHECK(seen.got.endings == 1);
        CHECK((seen.got.taken || refuses));
        CHECK(seen.got.ended == (seen.got.taken ? 1 : 0));
        CHECK((seen.uploaded == what.before));
        refused += !seen.got.taken;
        if (!seen.got.taken) continue;
        REQUIRE(seen.got.all.size() == what.all.size());
        for (std::size_t i = 0; i < what.all.size(); ++i) {
            CHECK(seen.got.all[i].name.oid == what.all[i].name.oid);
            CHECK(seen.got.all[i].name.compression == what.all[i].name.compression);
            CHECK((seen.got.all[i].content == what.all[i].content));
            ++archives_seen;
        }
        CHECK((seen.got.manifest == what.manifest));
    }
    if (first == last) return;
    CHECK(archives_seen > last);
    CHECK(refused > 0);
}
