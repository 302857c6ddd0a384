// The owner of a primary's session while it serves a recorded base backup: each call looks at the
// recorded server's next message, and says the same through the session.
//
// The archives come in the pieces of the recording. What the session makes of them is compared by
// whoever plays it.
#pragma once

#include <optional>
#include <vector>

#include <walwire/primary/session.hpp>

#include "recording.hpp"

namespace recorded_server {

class backup_owner {
  public:
    backup_owner(std::optional<primary::session>& serves, int major_version)
        : session_(serves), typed_(major_version >= 15) {}

    bool under_way() const { return under_way_; }

    // Where the backup begins, and the list, at once. `next(i)` is the message that is i behind the
    // next one; `collect()` moves on to what was not said yet.
    template <class Next, class Collect>
    void begin(Next&& next, Collect&& collect) {
        const auto from = *backup::read_position(*wire::data_row::parse(next(1).body, 2));
        static_cast<void>(session_->begin_backup(from));
        listed_.clear();
        archived_ = 0;
        for (collect(); next(0).tag == 'D'; collect()) {
            const auto index = static_cast<std::uint32_t>(listed_.size());
            listed_.push_back(
                *backup::read_tablespace(*wire::data_row::parse(next(0).body, 3), index));
            if (session_->list(listed_.back()) != errc::none) return;
        }
        under_way_ = true;
    }

    // The next message, or the next few where a session says them together.
    template <class Next, class Refuse>
    void go_on(Next&& next, Refuse&& refuse) {
        const spoken said = next(0);
        if (said.tag == 'E') {
            under_way_ = false;
            return refuse();
        }
        if (said.tag == 'd' && typed_) copy_typed(said.body);
        if (said.tag == 'd' && !typed_) static_cast<void>(session_->send_backup(said.body));
        if (said.tag == 'H' || (said.tag == 'c' && next(1).tag == 'H')) {
            const bool manifest = archived_ == listed_.size();
            static_cast<void>(manifest ? session_->begin_manifest()
                                       : session_->begin_archive({listed_[archived_].oid}));
            ++archived_;
        } else if (said.tag == 'c') {
            const auto row = *backup::read_position(*wire::data_row::parse(next(2).body, 2));
            const backup::ended end{row.start, row.timeline};
            const bool counted = next(4).tag == 'N'; // the damaged pages
            under_way_ = next(counted ? 5 : 4).tag == 'E';
            static_cast<void>(under_way_ ? session_->condemn_backup(end)
                                         : session_->end_backup(end));
        }
    }

  private:
    void copy_typed(bytes body) {
        reader in(body.subspan(1));
        switch (static_cast<char>(body[0])) {
        case 'n': {
            const auto name = *backup::parse_archive_name(in.c_string());
            static_cast<void>(session_->begin_archive(name, in.c_string()));
            break;
        }
        case 'p': static_cast<void>(session_->report_progress(in.u64())); break;
        case 'm': static_cast<void>(session_->begin_manifest()); break;
        default: static_cast<void>(session_->send_backup(body.subspan(1))); break;
        }
    }

    std::optional<primary::session>& session_;
    std::vector<backup::tablespace> listed_;
    std::size_t archived_ = 0;
    bool typed_;
    bool under_way_ = false;
};

} // namespace recorded_server
