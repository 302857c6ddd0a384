// Physical replication slots: what a primary remembers of a replica between its connections.
//
//     create          acquire            status updates              release       drop
//     ------> exists ---------> active  -- restart_lsn moves -->  ... ------> exists ----->
//                               by one connection at a time
//
// restart_lsn   the oldest position whose WAL the replica may still ask for: nothing before the
//               least of them may be removed. Null until the first position is reported, unless the
//               slot was created with RESERVE_WAL.
// xmin          the oldest transaction whose rows the replica's readers may still need, and the
//               same for catalogs. They come by hot-standby feedback; a primary that keeps no old
//               row versions accepts them and has no use for them.
//
// A temporary slot is active for the connection that created it until that connection ends or meets
// an error, whichever comes first; then it is gone.
//
// restart_lsn only moves forward here. PostgreSQL follows whatever its replica reports, backwards
// and past its own end too, so that one broken replica can ask for WAL that was removed, or lose
// what it has not got; positions should come from progress.hpp, which cuts them down to what can
// be true. A primary of PostgreSQL's calls the holder of a slot by its process id; here it is a
// connection_id, the same number that BackendKeyData gives to that connection.
//
// No slot is a file here; slots_file.hpp turns a whole table into one text and back.
//
// Source of truth: the manual, "Replication Slots", pg_replication_slots and "Streaming Replication
// Protocol"; running servers of 12 to 18.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "../error.hpp"
#include "../lsn.hpp"
#include "../wire/command.hpp"
#include "../wire/copy.hpp"
#include "refusal.hpp"

namespace walwire::primary {

// One served connection, by the process id of its BackendKeyData. 0 is none.
struct connection_id {
    std::uint32_t value = 0;

    constexpr bool valid() const noexcept { return value != 0; }
    friend constexpr auto operator<=>(connection_id, connection_id) noexcept = default;
};

// A name in room of its own: as long as identifiers are, the rest of a longer one is cut off.
class identifier {
  public:
    constexpr identifier() noexcept = default;
    constexpr explicit identifier(std::string_view text) noexcept {
        for (const char c : text.substr(0, characters_.size())) characters_[size_++] = c;
    }
    // The same of printable ASCII, with question marks for anything else.
    static constexpr identifier printable(std::string_view text) noexcept {
        identifier made(text);
        for (std::size_t i = 0; i < made.size_; ++i) {
            char& c = made.characters_[i];
            if (c < ' ' || c > '~') c = '?';
        }
        return made;
    }
    constexpr std::string_view view() const noexcept { return {characters_.data(), size_}; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    friend constexpr bool operator==(const identifier& a, const identifier& b) noexcept {
        return a.view() == b.view();
    }

  private:
    std::array<char, wire::identifier_size_max> characters_{};
    std::uint8_t size_ = 0;
};

// How a slot is to begin.
struct new_slot {
    bool temporary = false;
    connection_id owner{};     // of a temporary slot; unused otherwise
    lsn restart_lsn{};         // RESERVE_WAL: keep WAL from here on; 0/0 without
    timeline_id restart_tli{}; // the timeline of restart_lsn; given with it or not at all
};

class slot {
  public:
    // A free place in a table.
    constexpr slot() noexcept = default;

    constexpr std::string_view name() const noexcept { return name_.view(); }
    constexpr lsn restart_lsn() const noexcept { return restart_lsn_; } // 0/0: null
    constexpr timeline_id restart_tli() const noexcept { return restart_tli_; }
    constexpr bool temporary() const noexcept { return temporary_; }
    // The connection that uses it, which is always the owner of a temporary one.
    constexpr connection_id active_for() const noexcept { return active_for_; }
    constexpr std::uint64_t xmin() const noexcept { return xmin_; } // with its epoch; 0: none
    constexpr std::uint64_t catalog_xmin() const noexcept { return catalog_xmin_; }

    // The replica has made everything up to `flush_lsn` durable, which lies on `timeline`. Returns
    // whether that moved restart_lsn, which is when a persistent slot is worth saving. A position
    // of 0/0 says nothing, one that lies behind is ignored, and so is one without a timeline.
    constexpr bool flushed(lsn flush_lsn, timeline_id timeline) noexcept {
        if (flush_lsn <= restart_lsn_ || !timeline.valid()) return false;
        restart_lsn_ = flush_lsn;
        restart_tli_ = timeline;
        return true;
    }

    // What the replica's readers need. `next_xid` is the primary's next transaction, epoch
    // included, or 0 where it does not judge. A message with a transaction that is yet to come, or
    // so old that its number has been used again since, is ignored whole. None clears what was
    // held; otherwise an xmin only moves forward. Returns whether anything changed.
    constexpr bool feedback(const wire::hot_standby_feedback& said,
                            std::uint64_t next_xid = 0) noexcept {
        const std::uint64_t wanted[] = {normal(said.xmin), normal(said.catalog_xmin)};
        for (const std::uint64_t xid : wanted) {
            if (xid != 0 && next_xid != 0 && !recent(xid, next_xid)) return false;
        }
        const bool moved = hold(xmin_, wanted[0]);
        return hold(catalog_xmin_, wanted[1]) || moved;
    }

  private:
    friend class slot_table;

    // 0, 1 and 2 are no transactions but marks, in every epoch.
    static constexpr std::uint64_t normal(std::uint64_t xid) noexcept {
        return static_cast<std::uint32_t>(xid) < 3 ? 0 : xid;
    }
    // Half of the 32-bit numbers lie before any transaction, half behind it.
    static constexpr bool recent(std::uint64_t xid, std::uint64_t next_xid) noexcept {
        return xid <= next_xid && next_xid - xid <= std::uint64_t{1} << 31;
    }
    static constexpr bool hold(std::uint64_t& held, std::uint64_t wanted) noexcept {
        if (wanted == held || (wanted != 0 && wanted < held)) return false;
        held = wanted;
        return true;
    }

    identifier name_; // empty: the place is free
    bool temporary_ = false;
    timeline_id restart_tli_;
    lsn restart_lsn_;
    connection_id active_for_;
    std::uint64_t xmin_ = 0;
    std::uint64_t catalog_xmin_ = 0;
};

// The slots of one primary, in room that its owner gives, as large as max_replication_slots. They
// do not move: a pointer to one is good until that one is dropped.
class slot_table {
  public:
    constexpr explicit slot_table(std::span<slot> room) noexcept : room_(room) {}

    constexpr std::size_t capacity() const noexcept { return room_.size(); }
    constexpr std::size_t size() const noexcept {
        std::size_t count = 0;
        each([&count](const slot&) noexcept { ++count; });
        return count;
    }

    // The slots in no order that means anything, by a visitor that takes a `const slot&`. Not to be
    // dropped or created meanwhile.
    template <class Visitor>
    constexpr void each(Visitor&& visit) const noexcept {
        for (const slot& each : room_) {
            if (!each.name_.empty()) visit(each);
        }
    }

    constexpr slot* find(std::string_view name) noexcept {
        return const_cast<slot*>(std::as_const(*this).find(name)); // NOLINT: the room is ours
    }
    constexpr const slot* find(std::string_view name) const noexcept {
        for (const slot& each : room_) {
            if (!name.empty() && each.name() == name) return &each;
        }
        return nullptr;
    }

    // CREATE_REPLICATION_SLOT. A persistent slot is nobody's at first. name_invalid; slot_exists;
    // slots_full; argument_invalid: a temporary slot without an owner, or a position without its
    // timeline or the reverse.
    constexpr result<slot*> create(std::string_view name, const new_slot& as = {}) noexcept {
        if (!wire::is_slot_name(name)) return errc::name_invalid;
        if ((as.temporary && !as.owner.valid()) || as.restart_lsn.valid() != as.restart_tli.valid())
            return errc::argument_invalid;
        if (find(name) != nullptr) return errc::slot_exists;
        for (slot& place : room_) {
            if (!place.name_.empty()) continue;
            place = slot();
            place.name_ = identifier(name);
            place.temporary_ = as.temporary;
            if (as.temporary) place.active_for_ = as.owner;
            place.restart_lsn_ = as.restart_lsn;
            place.restart_tli_ = as.restart_tli;
            return &place;
        }
        return errc::slots_full;
    }

    // DROP_REPLICATION_SLOT, asked for by `by`, which may use the slot itself. slot_missing;
    // slot_active: another connection uses it. With WAIT, ask again when that one has let go.
    constexpr errc drop(std::string_view name, connection_id by) noexcept {
        slot* const found = find(name);
        if (found == nullptr) return errc::slot_missing;
        if (found->active_for_.valid() && found->active_for_ != by) return errc::slot_active;
        *found = slot();
        return errc::none;
    }

    // START_REPLICATION SLOT. Whoever holds the slot already holds it still. slot_missing;
    // slot_active: another connection uses it; argument_invalid: `by` is none.
    constexpr result<slot*> acquire(std::string_view name, connection_id by) noexcept {
        if (!by.valid()) return errc::argument_invalid;
        slot* const found = find(name);
        if (found == nullptr) return errc::slot_missing;
        if (found->active_for_.valid() && found->active_for_ != by) return errc::slot_active;
        found->active_for_ = by;
        return found;
    }

    // The stream of this connection has ended: its persistent slots are nobody's.
    constexpr void release(connection_id by) noexcept {
        for (slot& each : room_) {
            if (by.valid() && each.active_for_ == by && !each.temporary_) each.active_for_ = {};
        }
    }

    // An error went to this connection: its temporary slots are gone, whatever it was about.
    constexpr void drop_temporary(connection_id by) noexcept {
        for (slot& each : room_) {
            if (by.valid() && each.temporary_ && each.active_for_ == by) each = slot();
        }
    }

    // This connection is gone, and all that it held.
    constexpr void disconnected(connection_id by) noexcept {
        release(by);
        drop_temporary(by);
    }

    // Every slot is gone, whoever holds it.
    constexpr void clear() noexcept {
        for (slot& each : room_) each = slot();
    }

    // WAL from here on must stay for the slots' sake; none where no slot has a position.
    constexpr std::optional<lsn> restart_lsn() const noexcept {
        std::optional<lsn> least;
        each([&least](const slot& each) noexcept {
            const lsn at = each.restart_lsn();
            if (at.valid() && (!least || at < *least)) least = at;
        });
        return least;
    }

  private:
    std::span<slot> room_;
};

// How a server says what the table refused: name_invalid, slot_exists, slot_missing, slot_active
// and slots_full; any other code is an internal error. `active_for` is the slot's holder, for
// slot_active. `text` has the sentence, with the client's name for the slot as it is.
inline refusal slot_refusal(errc code, std::string_view name, connection_id active_for,
                            short_text& text) noexcept {
    const auto said = [&](std::string_view state, std::string_view before, std::string_view after,
                          std::string_view hint = {}) noexcept {
        text << before << name << after;
        return refusal{state, text, {}, hint, false};
    };
    switch (code) {
    case errc::name_invalid:
        if (name.empty() || name.size() > wire::identifier_size_max)
            return said("42602", "replication slot name \"",
                        name.empty() ? "\" is too short" : "\" is too long");
        return said("42602", "replication slot name \"", "\" contains invalid character",
                    "Replication slot names may only contain lower case letters, numbers, and the "
                    "underscore character.");
    case errc::slot_exists:
        return said(sqlstate::duplicate_object, "replication slot \"", "\" already exists");
    case errc::slot_missing:
        return said(sqlstate::undefined_object, "replication slot \"", "\" does not exist");
    case errc::slot_active: {
        const refusal in_use =
            said(sqlstate::object_in_use, "replication slot \"", "\" is active for PID ");
        text << std::uint64_t{active_for.value};
        return {in_use.sqlstate, text, {}, {}, false};
    }
    case errc::slots_full:
        return {sqlstate::configuration_limit_exceeded,
                "all replication slots are in use",
                {},
                "Free one or increase \"max_replication_slots\".",
                false};
    default: return {sqlstate::internal_error, walwire::text(code), {}, {}, false};
    }
}

} // namespace walwire::primary
