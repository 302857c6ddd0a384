// A primary's bookkeeping beside the same in plain words: maps, vectors and sorting.
//
// Choices decide what is done next: random numbers in a property test, the input's bytes in a fuzz
// target. Every call is made on both, answers must be equal, and so must everything that can be
// asked afterwards. `verify(bool, const char*)` is called with each comparison.
//
//     support::bookkeeping books(choose, verify);
//     while (...) books.step();
#pragma once

#include <walwire/primary/slots_file.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "bookkeeping_actions.hpp"

namespace support {

class bookkeeping : private bookkeeping_actions {
  public:
    using bookkeeping_actions::bookkeeping_actions;

    void step() {
        now_ += std::int64_t(choose_(3));
        switch (choose_(20)) {
        case 0: create_slot(); break;
        case 1: drop_slot(); break;
        case 2: acquire_slot(); break;
        case 3: let_go(); break;
        case 4: move_slot(); break;
        case 5: feed_back(); break;
        case 6: join(); break;
        case 7: leave(); break;
        case 8: stream(); break;
        case 9:
        case 10: send(); break;
        case 11:
        case 12: report(); break;
        case 13: commit(); break;
        case 14:
        case 15: change_state(); break;
        case 16:
        case 17: name_standbys(); break;
        case 18: send(); break;
        default: report(); break;
        }
        compare_slots();
        compare_replicas();
        compare_retention();
        compare_waits();
        compare_standbys();
    }

  private:
    void compare_slots() const {
        std::size_t count = 0;
        slots_.each([&](const primary::slot& real) {
            ++count;
            const auto found = plain_slots_.find(std::string(real.name()));
            if (found == plain_slots_.end()) return verify_(false, "a slot is there that is not");
            const plain_slot& plain = found->second;
            verify_(real.restart_lsn().value == plain.restart, "restart_lsn");
            verify_(real.restart_tli().value == plain.timeline, "restart_tli");
            verify_(real.temporary() == plain.temporary, "temporary");
            verify_(real.active_for().value == plain.holder, "active for");
            verify_(real.xmin() == plain.xmin, "xmin");
            verify_(real.catalog_xmin() == plain.catalog_xmin, "catalog_xmin");
        });
        verify_(count == plain_slots_.size() && count == slots_.size(), "as many slots");
        compare_file();
    }

    // What is saved comes back, without temporary slots and holders.
    void compare_file() const {
        std::array<std::byte, 2048> room;
        walwire::writer out(room);
        verify_(put_slots(out, slots_) == errc::none, "the slots fit into the room");
        verify_(out.size() <= primary::slots_text_size_max(slots_.size()), "and into the promised");
        std::array<primary::slot, 4> again_room;
        primary::slot_table again(again_room);
        const auto text = walwire::as_text(out.written());
        verify_(primary::parse_slots(text, again).ok(), "what was saved reads back");
        std::size_t kept = 0;
        for (const auto& [name, plain] : plain_slots_) {
            const primary::slot* const real = again.find(name);
            verify_((real != nullptr) == !plain.temporary, "persistent slots only");
            if (real == nullptr) continue;
            ++kept;
            verify_(real->restart_lsn().value == plain.restart && real->xmin() == plain.xmin &&
                        real->restart_tli().value == plain.timeline &&
                        real->catalog_xmin() == plain.catalog_xmin && !real->active_for().valid(),
                    "as they were, and nobody's");
        }
        verify_(again.size() == kept, "and no others");
    }

    void compare_replicas() const {
        std::vector<plain_replica> expected;
        for (const plain_replica& each : plain_replicas_) {
            if (each.id != 0) expected.push_back(each);
        }
        std::size_t at = 0;
        registry_.each([&](const primary::replica& real) {
            if (at == expected.size()) return verify_(false, "a replica is there that is not");
            const plain_replica& plain = expected[at++];
            verify_(real.id().value == plain.id, "id");
            verify_(real.application_name() == plain.name, "application_name");
            verify_(text(real.state()) == plain.state, "state");
            verify_(real.slot() == plain.slot, "slot");
            verify_(real.start_lsn().value == plain.start, "start_lsn");
            const primary::progress& far = real.progress();
            verify_(far.sent().value == plain.sent, "sent");
            verify_(far.written().value == plain.written, "written");
            verify_(far.flushed().value == plain.flushed, "flushed");
            verify_(far.applied().value == plain.applied, "applied");
            verify_(far.clamped() == plain.clamped, "clamped");
            verify_(real.reply_time() == plain.reply_time, "reply_time");
        });
        verify_(at == expected.size() && at == registry_.size(), "as many replicas");
        verify_(registry_.followers() == plain_followers(), "as many followers");
    }

    void compare_retention() const {
        std::vector<std::uint64_t> needs;
        for (const auto& each : plain_slots_) {
            if (each.second.restart != 0) needs.push_back(each.second.restart);
        }
        for (const plain_replica& each : plain_replicas_) {
            if (each.id != 0 && each.state != "startup")
                needs.push_back(std::max(each.flushed, each.start));
        }
        const auto from = registry_.keep_from(slots_);
        verify_(from.has_value() == !needs.empty(), "WAL is kept for somebody");
        if (from)
            verify_(from->value == *std::min_element(needs.begin(), needs.end()), "from there");
    }

    void compare_waits() const {
        for (const plain_wait& each : waits_) {
            std::uint64_t have = 0;
            for (const plain_replica& replica : plain_replicas_)
                have += replica.follows() && replica.flushed >= each.end ? 1u : 0u;
            const auto seen = each.real.look(registry_, {now_, 0});
            using primary::wait_outcome;
            const wait_outcome expected = have >= each.needed ? wait_outcome::reached
                                          : each.needed > plain_replicas_.size()
                                              ? wait_outcome::impossible
                                          : now_ >= each.deadline ? wait_outcome::timed_out
                                                                  : wait_outcome::waiting;
            verify_(seen.outcome == expected, "what has become of a wait");
            verify_(seen.acknowledged == have && seen.needed == each.needed &&
                        seen.connected == plain_followers(),
                    "and its figures");
        }
    }

    std::size_t plain_priority(const std::string& name) const {
        const auto lower = [](std::string text) {
            for (char& c : text) c = char(std::tolower(static_cast<unsigned char>(c)));
            return text;
        };
        for (std::size_t i = 0; i < names_.size(); ++i) {
            if (names_[i] == "*" || lower(names_[i]) == lower(name)) return i + 1;
        }
        return 0;
    }

    void compare_standbys() const {
        std::vector<std::pair<std::size_t, const plain_replica*>> candidates;
        for (const plain_replica& each : plain_replicas_) {
            const std::size_t priority = plain_priority(each.name);
            if (each.id != 0)
                verify_(standbys_.priority(each.name) == priority, "a standby's priority");
            if (priority != 0 && each.flushed != 0 &&
                (each.state == "streaming" || each.state == "stopping"))
                candidates.emplace_back(priority, &each);
        }
        // Stable, so that places decide among equals.
        std::stable_sort(candidates.begin(), candidates.end(),
                         [](const auto& a, const auto& b) { return a.first < b.first; });
        compare_states(candidates);
        const auto released = standbys_.released(registry_);
        if (names_.empty())
            return verify_(released && released->applied.value == UINT64_MAX, "nobody waits");
        verify_(released.has_value() == (candidates.size() >= needed_), "enough standbys or not");
        if (!released) return;
        const auto expected = [&](std::uint64_t plain_replica::*column) {
            std::vector<std::uint64_t> positions;
            for (std::size_t i = 0; i < candidates.size() && (any_ || i < needed_); ++i)
                positions.push_back(candidates[i].second->*column);
            std::sort(positions.rbegin(), positions.rend());
            return lsn{positions[needed_ - 1]};
        };
        using primary::synchronous_commit;
        verify_(released->at(synchronous_commit::remote_write) == expected(&plain_replica::written),
                "released at remote_write");
        verify_(released->at(synchronous_commit::on) == expected(&plain_replica::flushed),
                "released at on");
        verify_(released->at(synchronous_commit::remote_apply) == expected(&plain_replica::applied),
                "released at remote_apply");
        const lsn end = released->flushed;
        verify_(standbys_.released(registry_, end, synchronous_commit::on) &&
                    !standbys_.released(registry_, end + 1, synchronous_commit::on),
                "a commit there is released, and the next is not");
    }

    void compare_states(
        const std::vector<std::pair<std::size_t, const plain_replica*>>& candidates) const {
        for (const plain_replica& each : plain_replicas_) {
            if (each.id == 0) continue;
            std::string expected = "async";
            if (plain_priority(each.name) != 0 && each.flushed != 0) expected = "potential";
            for (std::size_t i = 0; i < candidates.size(); ++i) {
                if (candidates[i].second != &each) continue;
                if (any_) expected = "quorum";
                if (!any_ && i < needed_) expected = "sync";
            }
            verify_(text(standbys_.state_of(registry_, {each.id})) == expected, "sync_state");
        }
    }
};

} // namespace support
