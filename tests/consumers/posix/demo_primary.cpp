#include "demo_primary.hpp"

#include <algorithm>
#include <variant>

namespace posix {

using namespace walwire;

void demo_primary::accept() {
    primary::options chosen;
    chosen.cancel_key = cancel_key_;
    session_.emplace(chosen, memory{stash_, out_});
}

void demo_primary::heard(const primary::event& told) {
    std::visit([this](const auto& event) { answer(event); }, told);
}

void demo_primary::feed() {
    if (!session_ || !session_->streaming()) return;
    const lsn end = log_.end_of(streamed_);
    if (streamed_ < log_.timeline())
        static_cast<void>(session_->end_timeline({streamed_.value + 1}, end));
    session_->advance(end);
    const lsn next = session_->next();
    if (!session_->wants_wal() || next >= end) return;
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(end - next, lent_.size()));
    log_.fill(next, streamed_, mutable_bytes(lent_).first(size));
    static_cast<void>(session_->send(bytes(lent_).first(size)));
}

void demo_primary::answer(const primary::login_requested&) {
    static_cast<void>(session_->admit(auth::method::none));
}

void demo_primary::answer(const primary::identify_system&) {
    static_cast<void>(session_->answer(
        primary::system_identity{system_identifier_, log_.timeline(), log_.end(), {}}));
}

void demo_primary::answer(const primary::show& asked) {
    if (asked.name == "wal_segment_size")
        static_cast<void>(session_->answer(primary::setting{asked.name, "16MB"}));
    else
        static_cast<void>(session_->refuse({primary::sqlstate::undefined_object,
                                            "unrecognized configuration parameter",
                                            {},
                                            {},
                                            false}));
}

void demo_primary::answer(const primary::timeline_history& asked) {
    history_ = log_.history(*asked.timeline);
    static_cast<void>(
        session_->answer(primary::history_content{*asked.timeline, as_bytes(history_)}));
}

void demo_primary::answer(const primary::start_replication& asked) {
    streamed_ = asked.timeline.value_or(log_.timeline());
    static_cast<void>(session_->stream(log_.served(streamed_)));
}

} // namespace posix
