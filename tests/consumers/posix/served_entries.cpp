// What a client of `walwire serve` is lent of AionDB's entries: the half of served_client that
// speaks that dialect.
#include <walwire/primary/refusal.hpp>

#include "failure.hpp"
#include "served_client.hpp"

namespace posix {

namespace {

namespace primary = walwire::primary;
using walwire::errc;
using walwire::aiondb::entry_lsn;

} // namespace

// Lends the next batch, if there is one. A batch that ends with the entry which the stream began
// with brings nothing: whoever asked for that entry has it.
bool served_client::lend_entries() {
    const entry_source& source = *shared_.entries;
    session_.advance(source.last().as_position());
    if (!session_.wants_wal()) return false;
    const entry_lsn next{session_.next().value};
    const bool fresh = session_.next() == asked_;
    auto batch = source.find(next, place_);
    if (fresh && batch && batch->first < next && batch->last == next)
        batch = source.find({next.value + 1}, place_);
    if (!batch) {
        if (replica_ != nullptr) static_cast<void>(replica_->caught_up());
        // The session waits for everybody to have the last entry, which it did not send here.
        if (fresh && leaving_) static_cast<void>(session_.refuse(primary::shutting_down));
        return false;
    }
    if (batch->first < next) return cannot_divide(*batch, next);
    source.read(*batch, entries_);
    const errc code = session_.send_entries(batch->first, batch->last, entries_);
    if (code == errc::output_full) return false;
    check(code);
    return true;
}

// It begins before what was asked for, or with an entry that this stream has sent. Nobody but the
// engine knows where that entry ends, and a stream brings none twice: so in the second case the
// stream ends, as one that is stopped does, and the replica, which counts that as no failure, comes
// back for that entry.
bool served_client::cannot_divide(const stored_batch& batch, entry_lsn next) {
    if (session_.next() != asked_) {
        check(session_.end_stream());
        tell("the next batch begins anew");
        return true;
    }
    primary::short_text text;
    text << "requested entry " << next.value << " lies in a batch that begins with entry "
         << batch.first.value << " and cannot be divided here";
    const primary::refusal why{primary::sqlstate::undefined_file, text, {}, {}, false};
    if (session_.refuse(why) != errc::none) return false; // else once there is room
    tell(std::string(why.message));
    return true;
}

// AionDB's streams do not end with their timeline; a replica that comes back finds the next one.
void served_client::follow_entries() {
    if (!session_.streaming() || streamed_.timeline == shared_.entries->timeline()) return;
    primary::short_text text;
    text << "this server went on to timeline " << shared_.entries->timeline();
    static_cast<void>(session_.refuse({primary::sqlstate::admin_shutdown, text, {}, {}, true}));
}

} // namespace posix
