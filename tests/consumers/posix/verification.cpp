#include "verification.hpp"

#include <algorithm>
#include <variant>

#include "failure.hpp"

namespace posix {
namespace {

namespace backup = walwire::backup;

std::uint64_t random_seed() {
    std::uint64_t seed = 0;
    const walwire::auth::crypto crypto = walwire::auth::openssl();
    static_cast<void>(random(crypto, std::as_writable_bytes(std::span(&seed, 1))));
    return seed;
}

const char* words_for(backup::finding found) noexcept {
    switch (found) {
    case backup::finding::matched: return nullptr;
    case backup::finding::missing: return "is in the manifest but did not come";
    case backup::finding::size_differs: return "has another size than the manifest says";
    case backup::finding::checksum_differs: return "has another checksum than the manifest says";
    case backup::finding::not_computed: return "has a checksum that was not asked for";
    case backup::finding::listed_twice: return "is in the manifest twice";
    }
    return "is unclear";
}

// A manifest has one range for each timeline; a backup passes few, and these bound its memory.
constexpr std::size_t ranges_max = 10'000;

} // namespace

verification::verification(backup::manifest_checksums algorithm, std::uint64_t system_identifier)
    : algorithm_(algorithm), system_identifier_(system_identifier),
      table_(backup::verifier_table_size(2000)), files_(table_, random_seed()),
      room_(backup::manifest_room_size), reader_(room_, walwire::auth::openssl_digests()) {}

void verification::expect(walwire::errc code) {
    if (code != walwire::errc::none) throw failure(std::string(walwire::text(code)));
}

void verification::file(std::string_view path) {
    paths_.emplace_back(path);
    size_ = 0;
    expect(checksum_.begin(algorithm_, walwire::auth::openssl_digests()));
}

void verification::data(walwire::bytes run) {
    size_ += run.size();
    expect(checksum_.update(run));
}

void verification::file_ended() {
    const auto value = checksum_.finish();
    expect(value.code());
    const std::string& path = paths_.back();
    walwire::errc code = files_.seen(path, size_, *value);
    if (code == walwire::errc::too_many) {
        std::vector<backup::file_record> larger(table_.size() * 2);
        expect(files_.move_to(larger));
        table_ = std::move(larger);
        code = files_.seen(path, size_, *value);
    }
    if (code != walwire::errc::none)
        throw failure("file " + quoted(path) + ": " + std::string(walwire::text(code)));
}

void verification::manifest(walwire::bytes run) {
    while (const auto told = reader_.poll(run)) heard(*told);
}

void verification::heard(const backup::manifest_event& told) {
    if (const auto* const entry = std::get_if<backup::listed_file>(&told)) {
        const bool bare = entry->checksum.algorithm == backup::manifest_checksums::none;
        ++listed_;
        if (!bare) ++checked_;
        if (const char* const what = words_for(files_.listed(*entry)))
            note(entry->path, what);
        else if (bare && algorithm_ != backup::manifest_checksums::none)
            note(entry->path, "has no checksum in the manifest");
    } else if (const auto* const range = std::get_if<backup::wal_range>(&told)) {
        if (ranges_.size() == ranges_max)
            throw failure("the backup's manifest has too many ranges of WAL");
        ranges_.push_back(*range);
    } else if (const auto* const begun = std::get_if<backup::manifest_started>(&told)) {
        // Manifests name their system from 17 on.
        const std::uint64_t named = begun->system_identifier.value_or(system_identifier_);
        if (system_identifier_ != 0 && named != system_identifier_)
            throw failure("the backup's manifest is of another system, " + std::to_string(named));
    } else if (const auto* const failed = std::get_if<backup::manifest_failed>(&told)) {
        throw failure("the backup's manifest, at byte " + std::to_string(failed->offset) +
                      (failed->path.empty() ? "" : ", file " + quoted(failed->path)) + ": " +
                      std::string(walwire::text(failed->code)));
    } else if (std::get_if<backup::manifest_ended>(&told) != nullptr) {
        whole_ = true;
    }
}

void verification::note(std::string_view path, const char* what) {
    if (findings_++ == 0) wrong_ = "file " + quoted(path) + ' ' + what;
}

// Ranges stand from the newest timeline back, and each ends where the one before it begins. Which
// way round is not held against them: together they lead from the start to the end.
void verification::check_ranges(const backup::started& from, const backup::ended& to) {
    std::ranges::sort(ranges_, {}, &backup::wal_range::timeline);
    bool right = !ranges_.empty() && ranges_.front().timeline == from.timeline &&
                 ranges_.front().start == from.start && ranges_.back().timeline == to.timeline &&
                 ranges_.back().end == to.end;
    for (std::size_t i = 1; i < ranges_.size() && right; ++i)
        right =
            ranges_[i - 1].timeline < ranges_[i].timeline && ranges_[i - 1].end == ranges_[i].start;
    if (!right)
        throw failure("the WAL that the backup's manifest needs is not that of this backup, from " +
                      std::string(std::string_view(to_text(from.start))) + " to " +
                      std::string(std::string_view(to_text(to.end))));
}

void verification::conclude(const backup::started& from, const backup::ended& to) {
    reader_.finish();
    manifest({});
    if (!whole_) throw failure("the backup's manifest is not whole");
    files_.each_extra([&](const backup::file_record& extra) {
        if (backup::is_listed_kind(extra.path)) note(extra.path, "is not in the manifest");
    });
    if (findings_ == 0) return check_ranges(from, to);
    if (findings_ > 1) wrong_ += " (and " + std::to_string(findings_ - 1) + " more)";
    throw failure("the backup is not what its manifest says: " + wrong_);
}

} // namespace posix
