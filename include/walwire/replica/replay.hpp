// The replay loop: hands what is durable to whoever applies it, in order, and earns the apply
// position.
//
//     source  ->  entry  ->  handler.apply(entry)  ->  true: apply moves to the entry's end
//                                                      false: apply stays; again at the next tick
//
// Entries are the source's to find: the log belongs to the owner, and so do the bytes of an entry,
// for as long as one call takes. The loop asks for the first entry past its apply position that is
// durable whole, one at a time, and keeps none.
//
// What an entry is depends on the dialect. A PostgreSQL record lies from its first byte to one past
// its last, and is replayed when the flush position reaches that end. An AionDB entry *is* its LSN:
// start and end are the same, and it is replayed when it is not past the last durable entry. Both
// are one rule: an entry is next when applied < end <= flushed.
//
// A handler that fails says so and sees the same entry again at the next tick, as it does after a
// crash between applying and reporting: it must tolerate that. Entries that carry no row of their
// own (begin, commit, abort, checkpoint, statistics) are accepted and skipped, unless the handler
// takes them too.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

#include "../bytes.hpp"
#include "../lsn.hpp"
#include "../time.hpp"

namespace walwire::replica {

inline constexpr std::int64_t default_replay_tick = 50 * millisecond;

// The most entries that one poll hands on, the size of AionDB's largest batch: a long backlog must
// not keep an owner from its sockets. The deadline says that there is more.
inline constexpr std::uint32_t replay_batch = 1024;

enum class replay_kind : std::uint8_t {
    change, // the only kind that a handler must apply
    begin,
    commit,
    abort,
    checkpoint,
    statistics,
};

struct replay_entry {
    lsn start; // its first byte, or its own LSN
    lsn end;   // one past its last byte, or its own LSN: where apply stands once it is applied
    bytes body;
    replay_kind kind = replay_kind::change;
};

// Gives the first entry whose end is past `after` and not past `up_to`, or none if there is none
// yet: a record that is not wholly durable, or one that cannot be read just now.
template <class S>
concept replay_source = requires(S source, lsn after, lsn up_to) {
    { source.next(after, up_to) }
    noexcept->std::same_as<std::optional<replay_entry>>;
};

// Applies one change; false if that failed, for it to be tried again.
template <class H>
concept replay_handler = requires(H handler, const replay_entry& entry) {
    { handler.apply(entry) }
    noexcept->std::same_as<bool>;
};

// A handler that takes the entries without a row as well, one that collects a transaction until its
// commit for instance. Its `false` holds apply back too.
template <class H>
concept replay_control_handler = replay_handler<H> &&
    requires(H handler, const replay_entry& entry) {
    { handler.control(entry) }
    noexcept->std::same_as<bool>;
};

class replay {
  public:
    // `applied` is where the replica's readers stand already. A tick that is not positive is the
    // default.
    constexpr explicit replay(lsn applied = {}, std::int64_t tick = default_replay_tick) noexcept
        : flushed_(applied), applied_(applied), tick_(tick > 0 ? tick : default_replay_tick) {}

    // The log is durable up to `at`. It wakes a loop that had run out of entries, but not one that
    // waits to try a refused entry again.
    constexpr void flushed(lsn at) noexcept {
        if (at <= flushed_) return;
        flushed_ = at;
        if (attempts_ == 0) waiting_ = false;
    }

    // The new apply position, if it moved.
    template <replay_source Source, replay_handler Handler>
    std::optional<lsn> poll(instant now, Source& source, Handler& handler) noexcept {
        last_ = now.steady;
        if (last_ >= next_) {
            waiting_ = false;
            next_ = later(last_, tick_);
        }
        const lsn before = applied_;
        for (std::uint32_t i = 0; i < replay_batch && applied_ < flushed_ && !waiting_; ++i) {
            const std::optional<replay_entry> entry = source.next(applied_, flushed_);
            if (entry && is_next(*entry) && accept(*entry, handler)) {
                applied_ = entry->end;
                attempts_ = 0;
                continue;
            }
            if (entry && attempts_ < UINT32_MAX) ++attempts_;
            waiting_ = true;
            next_ = later(last_, tick_);
        }
        return applied_ > before ? std::optional<lsn>(applied_) : std::nullopt;
    }

    // At once where there are durable entries that nobody looked at yet, else the next tick.
    constexpr std::int64_t deadline() const noexcept {
        return caught_up() || waiting_ ? next_ : last_;
    }

    constexpr lsn applied() const noexcept { return applied_; }
    constexpr bool caught_up() const noexcept { return applied_ == flushed_; }

    // How often in a row the entry that is next was refused, or was none of those that can be next
    // (the source broke its promise). For an owner who wants to give up, or to say that replay is
    // stuck.
    constexpr std::uint32_t attempts() const noexcept { return attempts_; }

    // As positions::rewind. Entries that were applied past `at` are the handler's to undo.
    constexpr void rewind(lsn at) noexcept {
        if (flushed_ > at) flushed_ = at;
        if (applied_ > at) applied_ = at;
        attempts_ = 0;
        waiting_ = false;
    }

  private:
    constexpr bool is_next(const replay_entry& entry) const noexcept {
        return entry.start <= entry.end && applied_ < entry.end && entry.end <= flushed_;
    }

    template <class Handler>
    static bool accept(const replay_entry& entry, Handler& handler) noexcept {
        if (entry.kind == replay_kind::change) return handler.apply(entry);
        if constexpr (replay_control_handler<Handler>) return handler.control(entry);
        return true;
    }

    lsn flushed_;
    lsn applied_;
    std::int64_t tick_;
    std::int64_t next_ = 0; // the next tick; the first poll is due at once
    std::int64_t last_ = 0; // the last poll, a time that is surely over
    std::uint32_t attempts_ = 0;
    bool waiting_ = false; // for the tick: refused, or the source had none
};

// Called with each entry that the logging handler accepts.
template <class T>
concept replay_trace = requires(T trace, const replay_entry& entry) {
    { trace(entry) }
    noexcept;
};

struct no_trace {
    constexpr void operator()(const replay_entry&) const noexcept {}
};

// The handler that applies nothing: it counts, shows each entry to a trace, and lets apply advance.
// Its replica's apply position then means as little as the apply tracker's.
template <replay_trace Trace = no_trace>
class logging_handler {
  public:
    constexpr explicit logging_handler(Trace trace = {}) noexcept : trace_(trace) {}

    constexpr bool apply(const replay_entry& entry) noexcept {
        ++changes_;
        bytes_ += entry.body.size();
        trace_(entry);
        return true;
    }
    constexpr bool control(const replay_entry& entry) noexcept {
        ++controls_;
        trace_(entry);
        return true;
    }

    constexpr std::uint64_t changes() const noexcept { return changes_; }
    constexpr std::uint64_t controls() const noexcept { return controls_; }
    constexpr std::uint64_t change_bytes() const noexcept {
        return bytes_;
    } // of the changes' bodies

  private:
    std::uint64_t changes_ = 0;
    std::uint64_t controls_ = 0;
    std::uint64_t bytes_ = 0;
    [[no_unique_address]] Trace trace_;
};

} // namespace walwire::replica
