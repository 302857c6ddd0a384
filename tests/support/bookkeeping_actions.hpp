// The actions of bookkeeping.hpp: each is done to a primary's bookkeeping and to the same in plain
// words, and what the two answer at once is compared.
#pragma once

#include <walwire/primary/registry.hpp>
#include <walwire/primary/slot.hpp>
#include <walwire/primary/synchronous_standbys.hpp>
#include <walwire/primary/write_concern.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace support {

namespace primary = walwire::primary;
using walwire::errc;
using walwire::lsn;

// Choices of a small number of things, so that they meet again.
inline constexpr const char* slot_names[] = {"a", "b", "standby_1", "c0", "_", "Bad", "", "a b"};
inline constexpr const char* node_names[] = {"alpha", "Alpha", "beta", "a\"b",
                                             "gamma", "",      "first"};

struct plain_slot {
    std::uint64_t restart = 0;
    std::uint32_t timeline = 0;
    bool temporary = false;
    std::uint32_t holder = 0;
    std::uint64_t xmin = 0, catalog_xmin = 0;
};

struct plain_replica {
    std::uint32_t id = 0;
    std::string name, slot, state = "startup";
    std::uint64_t start = 0, sent = 0, written = 0, flushed = 0, applied = 0;
    std::int64_t reply_time = 0;
    std::uint64_t clamped = 0;

    bool follows() const {
        return state == "catchup" || state == "streaming" || state == "stopping";
    }
};

struct plain_wait {
    primary::commit_wait real;
    std::uint64_t end = 0, needed = 0;
    std::int64_t deadline = 0;
};

class bookkeeping_actions {
  public:
    using chooser = std::function<std::uint64_t(std::uint64_t below)>;
    using verifier = std::function<void(bool, const char*)>;

    bookkeeping_actions(chooser choose, verifier verify)
        : choose_(std::move(choose)), verify_(std::move(verify)) {}

  protected:
    std::uint64_t position() { return choose_(8) == 0 ? 0 : 1 + choose_(40); }
    std::uint32_t connection() { return std::uint32_t(choose_(7)); }
    std::string slot_name() { return slot_names[choose_(std::size(slot_names))]; }

    void create_slot() {
        const std::string name = slot_name();
        primary::new_slot as;
        as.temporary = choose_(3) == 0;
        as.owner = {connection()};
        as.restart_lsn = {choose_(2) == 0 ? 0 : position()};
        as.restart_tli = {std::uint32_t(choose_(9) == 0 ? 0 : as.restart_lsn.valid() ? 2 : 0)};
        errc expected = errc::none;
        if (name == "Bad" || name.empty() || name == "a b") {
            expected = errc::name_invalid;
        } else if ((as.temporary && as.owner.value == 0) ||
                   (as.restart_lsn.value == 0) != (as.restart_tli.value == 0)) {
            expected = errc::argument_invalid;
        } else if (plain_slots_.count(name) != 0) {
            expected = errc::slot_exists;
        } else if (plain_slots_.size() == slot_room_.size()) {
            expected = errc::slots_full;
        } else {
            plain_slots_[name] = {as.restart_lsn.value, as.restart_tli.value, as.temporary,
                                  as.temporary ? as.owner.value : 0};
        }
        verify_(slots_.create(name, as).code() == expected, "a slot is created or not");
    }

    errc in_the_way(const std::string& name, std::uint32_t by) const {
        const auto found = plain_slots_.find(name);
        if (found == plain_slots_.end()) return errc::slot_missing;
        const std::uint32_t holder = found->second.holder;
        return holder != 0 && holder != by ? errc::slot_active : errc::none;
    }

    void drop_slot() {
        const std::string name = slot_name();
        const std::uint32_t by = connection();
        const errc expected = in_the_way(name, by);
        if (expected == errc::none) plain_slots_.erase(name);
        verify_(slots_.drop(name, {by}) == expected, "a slot is dropped or not");
    }

    void acquire_slot() {
        const std::string name = slot_name();
        const std::uint32_t by = connection();
        const errc expected = by == 0 ? errc::argument_invalid : in_the_way(name, by);
        if (expected == errc::none) plain_slots_[name].holder = by;
        const auto got = slots_.acquire(name, {by});
        verify_(got.code() == expected, "a slot is acquired or not");
        if (got) verify_(*got == slots_.find(name), "it is the one that was asked for");
    }

    void let_go() {
        const std::uint32_t by = connection();
        const std::uint64_t how = choose_(3);
        for (auto at = plain_slots_.begin(); at != plain_slots_.end();) {
            plain_slot& each = at->second;
            const bool held = by != 0 && each.holder == by;
            if (held && !each.temporary && how != 1) each.holder = 0;
            at = held && each.temporary && how != 0 ? plain_slots_.erase(at) : std::next(at);
        }
        if (how == 0) slots_.release({by});
        if (how == 1) slots_.drop_temporary({by});
        if (how == 2) slots_.disconnected({by});
    }

    void move_slot() {
        const std::string name = slot_name();
        const std::uint64_t to = position();
        const auto timeline = std::uint32_t(choose_(4));
        primary::slot* const found = slots_.find(name);
        if (found == nullptr) return;
        plain_slot& plain = plain_slots_[name];
        const bool moves = timeline != 0 && to > plain.restart;
        if (moves) {
            plain.restart = to;
            plain.timeline = timeline;
        }
        verify_(found->flushed({to}, {timeline}) == moves, "a slot says whether it moved");
    }

    void feed_back() {
        const std::string name = slot_name();
        walwire::wire::hot_standby_feedback said;
        const auto xid = [&] {
            return choose_(4) == 0 ? choose_(4) : (choose_(3) << 31) + choose_(9);
        };
        said.xmin = xid();
        said.catalog_xmin = xid();
        const std::uint64_t next = choose_(2) == 0 ? 0 : xid();
        primary::slot* const found = slots_.find(name);
        if (found == nullptr) return;
        plain_slot& plain = plain_slots_[name];
        const plain_slot before = plain;
        bool usable = true;
        std::uint64_t wanted[] = {said.xmin, said.catalog_xmin};
        for (std::uint64_t& each : wanted) {
            if (each % (1ULL << 32) < 3) each = 0;
            if (each != 0 && next != 0 && (each > next || next - each > 1ULL << 31)) usable = false;
        }
        if (usable) {
            if (wanted[0] == 0 || wanted[0] > plain.xmin) plain.xmin = wanted[0];
            if (wanted[1] == 0 || wanted[1] > plain.catalog_xmin) plain.catalog_xmin = wanted[1];
        }
        const bool changed = plain.xmin != before.xmin || plain.catalog_xmin != before.catalog_xmin;
        verify_(found->feedback(said, next) == changed, "feedback says whether anything changed");
    }

    plain_replica* plain_find(std::uint32_t id) {
        for (plain_replica& each : plain_replicas_) {
            if (id != 0 && each.id == id) return &each;
        }
        return nullptr;
    }

    void join() {
        const std::uint32_t id = connection();
        const std::string name = node_names[choose_(std::size(node_names))];
        errc expected = errc::replicas_full;
        if (id == 0 || plain_find(id) != nullptr) {
            expected = errc::argument_invalid;
        } else {
            for (plain_replica& each : plain_replicas_) {
                if (each.id != 0) continue;
                each = plain_replica{id, name, ""};
                expected = errc::none;
                break;
            }
        }
        verify_(registry_.join({id}, name).code() == expected, "a replica joins or not");
    }

    void leave() {
        const std::uint32_t id = connection();
        if (choose_(3) != 0) return;
        plain_replica* const found = plain_find(id);
        if (found != nullptr) *found = {};
        verify_(registry_.leave({id}) == (found != nullptr), "a replica leaves or was not there");
    }

    void stream() {
        const std::uint32_t id = connection();
        const std::uint64_t start = position();
        const std::string slot = slot_name();
        plain_replica* const plain = plain_find(id);
        if (plain == nullptr) return;
        const bool backup = choose_(4) == 0;
        *plain = {id, plain->name, backup ? "" : slot, backup ? "backup" : "catchup", start};
        if (!backup) plain->sent = start;
        if (backup) {
            registry_.find({id})->back_up_from({start});
        } else {
            registry_.find({id})->stream_from(lsn{start}, slot);
        }
    }

    void change_state() {
        const std::uint32_t id = connection();
        plain_replica* const plain = plain_find(id);
        if (plain == nullptr) return;
        primary::replica& real = *registry_.find({id});
        const std::uint64_t what = choose_(6);
        if (what == 0) {
            real.finish();
            *plain = {id, plain->name, ""};
        } else if (what == 1) {
            const bool may = plain->follows();
            if (may) plain->state = "stopping";
            verify_(real.stop() == (may ? errc::none : errc::not_now), "a stream stops or not");
        } else {
            const bool may = plain->state == "catchup";
            if (may) plain->state = "streaming";
            verify_(real.caught_up() == (may ? errc::none : errc::not_now), "it has caught up");
        }
    }

    void send() {
        const std::uint32_t id = connection();
        const std::uint64_t end = position();
        plain_replica* const plain = plain_find(id);
        if (plain == nullptr) return;
        if (plain->follows()) plain->sent = std::max(plain->sent, end);
        registry_.find({id})->sent(lsn{end});
    }

    void report() {
        const std::uint32_t id = connection();
        walwire::wire::standby_status_update said;
        said.written = {position()};
        said.flushed = {choose_(2) == 0 ? said.written.value : position()};
        said.applied = {choose_(2) == 0 ? said.flushed.value : position()};
        plain_replica* const plain = plain_find(id);
        if (plain == nullptr) return;
        const plain_replica before = *plain;
        if (plain->follows()) {
            plain->reply_time = now_;
            // What is flushed was written, where nothing is said of that.
            const std::uint64_t written =
                said.written.valid() ? said.written.value : said.flushed.value;
            bool cut = written > plain->sent;
            plain->written = std::max(plain->written, std::min(written, plain->sent));
            cut = cut || said.flushed.value > plain->written;
            plain->flushed = std::max(plain->flushed, std::min(said.flushed.value, plain->written));
            cut = cut || said.applied.value > plain->flushed;
            plain->applied = std::max(plain->applied, std::min(said.applied.value, plain->flushed));
            plain->clamped += cut ? 1u : 0u;
        }
        const bool moved = plain->written != before.written || plain->flushed != before.flushed ||
                           plain->applied != before.applied;
        verify_(registry_.find({id})->reported(said, {0, now_}) == moved, "it says what moved");
    }

    void commit() {
        const auto n = std::uint32_t(1 + choose_(6));
        const char* const words[] = {"local", "Majority", "ALL"};
        const std::uint64_t which = choose_(4);
        const std::string text = which < 3 ? words[which] : "factor:" + std::to_string(n);
        const auto concern = primary::parse_write_concern(text);
        verify_(bool(concern), "a write concern parses");
        const std::uint64_t r = plain_followers();
        const std::uint64_t needed[] = {0, (r + 1) / 2 + 1 - 1, r, n};
        const std::uint64_t end = 1 + choose_(40);
        const auto timeout = std::int64_t(choose_(20));
        if (waits_.size() == 4) waits_.erase(waits_.begin());
        waits_.push_back(
            {{*concern, registry_, {end}, {now_, 0}, timeout}, end, needed[which], now_ + timeout});
    }

    std::uint64_t plain_followers() const {
        std::uint64_t count = 0;
        for (const plain_replica& each : plain_replicas_) count += each.follows() ? 1u : 0u;
        return count;
    }

    void name_standbys() {
        names_.clear();
        any_ = choose_(2) == 0;
        needed_ = std::uint32_t(1 + choose_(3));
        std::string list;
        for (std::uint64_t count = 1 + choose_(4); count != 0; --count) {
            const std::uint64_t which = choose_(std::size(node_names) + 4);
            names_.push_back(which >= std::size(node_names) ? "*" : node_names[which]);
            list += (list.empty() ? "" : ",");
            const bool bare = names_.back() == "beta" || names_.back() == "Alpha";
            list += bare && choose_(2) == 0 ? names_.back() : quoted(names_.back());
        }
        text_ = (any_ ? "any " : "First ") + std::to_string(needed_) + "(" + list + ")";
        if (!any_ && needed_ == 1 && choose_(2) == 0) text_ = list;
        if (choose_(8) == 0) {
            text_.clear();
            names_.clear();
        }
        const auto parsed = primary::synchronous_standbys::parse(text_);
        verify_(bool(parsed), "synchronous_standby_names parse");
        standbys_ = *parsed;
        verify_(standbys_.empty() == names_.empty(), "an empty text names nobody");
    }

    static std::string quoted(const std::string& name) {
        std::string text = "\"";
        for (const char c : name) text += c == '"' ? std::string("\"\"") : std::string(1, c);
        return text + "\"";
    }

    chooser choose_;
    verifier verify_;
    std::int64_t now_ = 0;

    std::array<primary::slot, 4> slot_room_;
    primary::slot_table slots_{slot_room_};
    std::map<std::string, plain_slot> plain_slots_;

    std::array<primary::replica, 4> replica_room_;
    primary::registry registry_{replica_room_};
    std::array<plain_replica, 4> plain_replicas_;

    std::vector<plain_wait> waits_;

    std::string text_;
    primary::synchronous_standbys standbys_;
    std::vector<std::string> names_;
    bool any_ = false;
    std::uint32_t needed_ = 0;
};

} // namespace support
