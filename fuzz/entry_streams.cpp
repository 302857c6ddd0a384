// Either end's session in AionDB's dialect against a peer that says anything once it streams.
//
// The first byte of an input chooses the end, and what was asked for; well-formed words bring it
// to where the rest is the peer's. Properties: the events and the output do not depend on how the
// bytes were cut. A replica's batches come in order; its statuses are in order, never fall, and
// never pass the last whole batch. A primary believes of its replica only what it sent, and nothing
// falls. Either ends once, and says nothing afterwards.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <walwire/primary/session.hpp>
#include <walwire/replica/session.hpp>

#include "aiondb/words.hpp"
#include "support/check.hpp"

using namespace walwire;
using spelled::buffer;
using spelled::hex;

namespace {

const buffer let_in = hex("52 00000008 00000000 4b 0000000c 00000001 00000002 5a 00000005 49");
const buffer copy_both = hex("57 00000007 00 0000");
const buffer copy_out = hex("48 00000007 00 0000");

struct seen {
    std::string events;
    buffer said;
    bool operator==(const seen&) const = default;
};

// What both ends have in common: a session, fed in pieces until it is over.
template <class Session>
class run {
  public:
    Session session;
    seen all;

    template <class Options>
    explicit run(const Options& chosen) : session(chosen, {stash_, out_}) {}

    template <class Hear>
    void feed(bytes in, Hear&& hear) {
        std::size_t polls = 64 + 4 * in.size();
        for (;;) {
            const std::size_t before = in.size();
            const auto told = session.poll(in, {1000, 0});
            // Input that is left waits for an answer to be written.
            const bool wrote = write();
            if (!told && !wrote && in.size() == before) break;
            if (!told) continue;
            check(polls-- > 0, "the work is bounded by the input");
            check(endings_ == 0, "nothing is told after the end");
            hear(*told);
            static_cast<void>(write());
        }
        check(in.empty(), "all input is eaten");
    }
    template <class Hear>
    void over(bytes in, std::size_t chunk, Hear&& hear) {
        while (!in.empty() && !session.over()) {
            const std::size_t size = chunk < in.size() ? chunk : in.size();
            feed(in.first(size), hear);
            in = in.subspan(size);
        }
        session.finish();
        for (int i = 0; i < 3; ++i) feed({}, hear);
        check(session.over() && endings_ == 1, "it ends once");
    }
    void ended(std::string_view why) {
        ++endings_;
        all.events += why;
    }
    bool write() {
        const gather out = session.output();
        if (out.empty()) return false;
        for (const bytes part : {out.head, out.body}) all.said = all.said + spelled::of(part);
        session.consume(out.head.size() + out.body.size());
        return true;
    }

  private:
    std::array<std::byte, stash_size> stash_{};
    std::array<std::byte, out_size> out_{};
    int endings_ = 0;
};

std::string shown(const error& reason) {
    return std::string(text(reason.code)) + std::to_string(reason.offset);
}

class replica_end {
  public:
    explicit replica_end(std::uint8_t choice) : run_(options()), choice_(choice) {}

    seen over(bytes server, std::size_t chunk) {
        const auto hear = [this](const replica::event& told) {
            std::visit([this](const auto& said) { heard(said); }, told);
        };
        run_.feed({}, hear);
        run_.feed(let_in, hear);
        if ((choice_ & 2) == 0) run_.feed((choice_ & 4) == 0 ? copy_both : copy_out, hear);
        run_.over(server, chunk, hear);
        judge_statuses();
        return std::move(run_.all);
    }

  private:
    static replica::options options() {
        replica::options made;
        made.user = "u";
        made.dialect = dialect::aiondb;
        made.report_each_flush = true;
        return made;
    }
    template <class Event>
    void heard(const Event&) {
        run_.all.events += '.';
    }
    void heard(const replica::ready&) {
        run_.all.events += 'Z';
        if (asked_++ > 3) return static_cast<void>(run_.session.terminate());
        if ((choice_ & 4) != 0)
            static_cast<void>(run_.session.ask(wire::base_backup{}));
        else
            static_cast<void>(run_.session.ask(wire::start_replication{"", {5}, timeline_id{1}}));
    }
    void heard(const replica::streaming_started&) {
        run_.all.events += 'S';
        next_ = run_.session.received().value;
        left_ = 0;
    }
    void heard(const replica::entry_data& batch) {
        check(!batch.data.empty(), "runs are not empty");
        if (batch.begins) {
            check(batch.first.value >= next_ && batch.first <= batch.last, "batches are in order");
            check(left_ == 0, "and do not overlap");
            run_.all.events += 'b' + std::to_string(batch.first.value);
        }
        left_ = batch.ends ? 0 : 1;
        run_.all.events += as_text(batch.data);
        run_.session.entries_flushed(batch.last);
        run_.session.entries_applied(batch.first);
        if (!batch.ends) {
            check(run_.session.acknowledged().written().value < batch.first.value ||
                      batch.first.value <= delivered_,
                  "a batch that is not whole is not here");
            return;
        }
        run_.all.events += 'e' + std::to_string(batch.last.value);
        next_ = batch.last.value + 1;
        delivered_ = std::max(delivered_, batch.last.value);
    }
    void heard(const replica::copy_data& run) { run_.all.events += as_text(run.data); }
    void heard(const replica::failed& said) { run_.ended(shown(said.reason)); }
    void heard(const replica::closed&) { run_.ended("closed"); }

    void judge_statuses() {
        bytes rest = run_.all.said;
        rest = rest.subspan(load<std::uint32_t>(rest.data()));
        std::array<std::uint64_t, 3> before{};
        while (!rest.empty()) {
            const std::size_t size = 1 + load<std::uint32_t>(rest.data() + 1);
            check(size <= rest.size(), "messages are whole");
            const bytes body = rest.subspan(5, size - 5);
            if (rest[0] == std::byte{'Q'}) before = {};
            if (rest[0] == std::byte{'d'}) {
                check(body.size() == 29 && body[0] == std::byte{2}, "only statuses are said");
                std::array<std::uint64_t, 3> now{};
                for (std::size_t i = 0; i < 3; ++i)
                    now[i] = load<std::uint64_t, std::endian::little>(body.data() + 5 + 8 * i);
                check(now[2] <= now[1] && now[1] <= now[0] && now[0] <= delivered_,
                      "a status is in order, and true");
                for (std::size_t i = 1; i < 3; ++i)
                    check(now[i] >= before[i], "what is durable does not fall");
                before = now;
            }
            rest = rest.subspan(size);
        }
    }

    run<replica::session> run_;
    std::uint8_t choice_;
    int asked_ = 0;
    std::uint64_t next_ = 0;
    std::uint64_t delivered_ = 0;
    std::size_t left_ = 0;
};

class primary_end {
  public:
    explicit primary_end(std::uint8_t choice) : run_(options()), choice_(choice) {}

    seen over(bytes client, std::size_t chunk) {
        const auto hear = [this](const primary::event& told) {
            std::visit([this](const auto& said) { heard(said); }, told);
            believe();
        };
        const buffer startup = hex("0000001e 00030000 'user'00 'u'00 'replication'00 '1'00 00");
        run_.feed(startup, hear);
        const buffer query = hex("51 00000021 'START_REPLICATION 0/00000005'00");
        if ((choice_ & 2) == 0) run_.feed(query, hear);
        run_.over(client, chunk, hear);
        return std::move(run_.all);
    }

  private:
    static primary::options options() {
        static constexpr std::array<std::byte, 4> key{};
        primary::options made;
        made.dialect = dialect::aiondb;
        made.cancel_key = key;
        return made;
    }
    template <class Event>
    void heard(const Event&) {
        run_.all.events += '.';
        static_cast<void>(run_.session.refuse({"XX000", "no", {}, {}, false}));
    }
    void heard(const primary::logged_in&) { run_.all.events += 'L'; }
    void heard(const primary::login_requested&) {
        check(run_.session.admit(auth::method::none) == errc::none, "whoever comes is let in");
    }
    void heard(const primary::start_replication&) {
        run_.all.events += 'S';
        before_ = {};
        check(run_.session.stream({{1}, {9}, {}, {}}) == errc::none, "what is asked is streamed");
        const lsn next = run_.session.next();
        if (!run_.session.wants_wal() || next.value > 9 || next.value == 0) return;
        check(run_.session.send_entries({next.value}, {9}, content_) == errc::none, "and sent");
    }
    void heard(const primary::base_backup&) {
        check(run_.session.begin_frames() == errc::none, "a backup begins");
        static_cast<void>(run_.write());
        check(run_.session.send_backup(content_) == errc::none, "its frames are lent");
        run_.feed({}, [](const primary::event&) { check(false, "nothing is told meanwhile"); });
        check(run_.session.end_frames() == errc::none, "and it ends");
        run_.all.events += 'B';
    }
    void heard(const primary::entry_status_update& said) {
        run_.all.events += 's' + std::to_string(said.written.value) + ' ' +
                           std::to_string(said.flushed.value) + ' ' +
                           std::to_string(said.applied.value);
        check(said.applied <= said.flushed && said.flushed <= said.written, "a status is ordered");
    }
    void heard(const primary::entry_keepalive_reply& said) {
        run_.all.events += 'r' + std::to_string(said.sent_at);
    }
    void heard(const primary::streaming_ended&) {
        run_.all.events += 'E';
        before_ = {};
    }
    void heard(const primary::failed& said) { run_.ended(shown(said.reason)); }
    void heard(const primary::closed&) { run_.ended("closed"); }

    void believe() {
        const primary::progress& now = run_.session.progress();
        check(now.applied() <= now.flushed() && now.flushed() <= now.written() &&
                  now.written() <= now.sent(),
              "what is believed is possible");
        if (!run_.session.streaming()) return;
        check(now.flushed() >= before_, "and does not fall");
        before_ = now.flushed();
    }

    const buffer content_ = entries::entry_run(5, 9);
    run<primary::session> run_;
    std::uint8_t choice_;
    lsn before_;
};

template <class End>
void same_in_every_chunking(std::uint8_t choice, std::size_t chunk, bytes input) {
    const seen whole = End(choice).over(input, SIZE_MAX);
    check(End(choice).over(input, 1).events == whole.events, "byte by byte");
    check(End(choice).over(input, chunk).events == whole.events, "in chunks");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2 || size > 4096) return 0;
    const bytes input(reinterpret_cast<const std::byte*>(data) + 2, size - 2);
    if ((data[0] & 1) == 0)
        same_in_every_chunking<replica_end>(data[0], 1 + data[1] % 40u, input);
    else
        same_in_every_chunking<primary_end>(data[0], 1 + data[1] % 40u, input);
    return 0;
}
