#include "demo_backup.hpp"

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <walwire/aiondb/backup.hpp>
#include <walwire/auth/openssl.hpp>
#include <walwire/backup/manifest_reader.hpp>
#include <walwire/backup/manifest_writer.hpp>
#include <walwire/backup/tar_reader.hpp>
#include <walwire/backup/tar_writer.hpp>
#include <walwire/backup/verifier.hpp>
#include <walwire/primary/session.hpp>
#include <walwire/replica/base_backup.hpp>

#include "demo_files.hpp"
#include "failure.hpp"

namespace posix {
namespace {

using namespace walwire;

void check(errc code) {
    if (code != errc::none) throw failure("the backup: " + std::string(text(code)));
}

constexpr std::string_view modified = "2026-01-01 00:00:00 GMT";
constexpr wire::manifest_checksums algorithm = wire::manifest_checksums::crc32c;

// The primary's end: answers, then sends file by file, in pieces that it lends.
class sender {
  public:
    sender(const demo_cluster& cluster, const std::vector<demo_file>& files)
        : cluster_(cluster), files_(files) {
        primary::options chosen;
        chosen.dialect = cluster.dialect;
        chosen.cancel_key = cancel_key_;
        session_.emplace(chosen, memory{stash_, out_});
    }

    primary::session& session() noexcept { return *session_; }

    void heard(const primary::event& told) {
        std::visit([this](const auto& event) { answer(event); }, told);
    }

    // Lends the next piece where one is wanted; true if anything moved.
    bool feed() {
        if (at_ == place::idle || at_ == place::over) return false;
        return cluster_.dialect == dialect::aiondb ? feed_frames() : feed_archive();
    }

  private:
    enum class place : std::uint8_t { idle, archive, manifest, over };

    template <class Event>
    void answer(const Event&) {}
    void answer(const primary::login_requested&) { check(session_->admit(auth::method::none)); }
    void answer(const primary::identify_system&) {
        check(session_->answer(primary::system_identity{
            cluster_.system_identifier, cluster_.timeline, cluster_.start, {}}));
    }
    void answer(const primary::show& asked) {
        const bool size = asked.name == "wal_segment_size";
        check(session_->answer(primary::setting{asked.name, size ? "16MB" : "0700"}));
    }
    void answer(const primary::base_backup&) {
        at_ = place::archive;
        if (cluster_.dialect == dialect::aiondb) return check(session_->begin_frames());
        check(session_->begin_backup({cluster_.start, cluster_.timeline}));
        check(session_->list(backup::tablespace{}));
        check(session_->begin_archive({}));
        add(manifest_.start({2, cluster_.system_identifier}, auth::openssl_digests(), room()));
    }

    mutable_bytes room() {
        piece_.resize(4096);
        return piece_;
    }
    void add(result<std::size_t> written) {
        check(written.code());
        manifest_text_.insert(manifest_text_.end(), piece_.begin(),
                              piece_.begin() + static_cast<std::ptrdiff_t>(*written));
    }

    // PostgreSQL: a tar, and behind it what should be in it.
    bool feed_archive() {
        if (!session_->wants_backup()) return false;
        if (at_ == place::manifest) {
            if (!manifest_lent_) {
                manifest_lent_ = true;
                check(session_->send_backup(manifest_text_));
                return true;
            }
            const errc code = session_->end_backup({cluster_.start + 256, cluster_.timeline});
            if (code == errc::output_full) return false;
            check(code);
            at_ = place::over;
            return true;
        }
        tar_.consume(lent_);
        lent_ = 0;
        const gather waiting = tar_.output();
        const bytes next = waiting.head.empty() ? waiting.body : waiting.head;
        if (!next.empty()) {
            lent_ = next.size();
            check(session_->send_backup(next));
            return true;
        }
        return advance_archive();
    }

    bool advance_archive() {
        if (tar_.body_left() > 0) {
            data_.resize(
                static_cast<std::size_t>(std::min<std::uint64_t>(tar_.body_left(), 64 * 1024)));
            const demo_file& file = files_[file_ - 1];
            file.fill(file.size - tar_.body_left(), data_);
            check(checksum_.update(data_));
            check(tar_.give(data_));
            if (tar_.body_left() == 0) list_file();
            return true;
        }
        if (file_ < files_.size()) {
            const demo_file& file = files_[file_++];
            backup::tar_entry entry;
            entry.path = file.path;
            entry.size = file.size;
            entry.mode = 0600;
            check(tar_.start(entry));
            check(checksum_.begin(algorithm, auth::openssl_digests()));
            if (file.size == 0) list_file();
            return true;
        }
        if (!tar_.over() && !ended_) {
            ended_ = true;
            check(tar_.end());
            return true;
        }
        add(manifest_.range({cluster_.timeline, cluster_.start, cluster_.start + 256}, room()));
        add(manifest_.end(room()));
        const errc code = session_->begin_manifest();
        check(code);
        at_ = place::manifest;
        return true;
    }

    void list_file() {
        const auto value = checksum_.finish();
        check(value.code());
        const demo_file& file = files_[file_ - 1];
        add(manifest_.file({file.path, file.size, modified, *value}, room()));
    }

    // AionDB: frames, the bytes of a file behind the frame that announces them.
    bool feed_frames() {
        if (!session_->wants_backup()) return false;
        frame_.resize(aiondb::frame_room);
        little_writer out(frame_);
        if (!began_) {
            began_ = true;
            const std::string identifier = std::to_string(cluster_.system_identifier);
            check(frames_.header(out, {{cluster_.start.value}, cluster_.timeline, identifier}));
        } else if (!data_.empty() && announced_) {
            announced_ = false;
            check(session_->send_backup(data_));
            return true;
        } else if (left_ > 0) {
            const demo_file& file = files_[file_ - 1];
            data_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(left_, 64 * 1024)));
            file.fill(file.size - left_, data_);
            left_ -= data_.size();
            announced_ = true;
            check(frames_.file_data(out, static_cast<std::uint32_t>(data_.size())));
        } else if (open_) {
            open_ = false;
            check(frames_.file_end(out));
        } else if (file_ < files_.size()) {
            const demo_file& file = files_[file_++];
            open_ = true;
            left_ = file.size;
            check(frames_.file_start(out, {file.path, file.size}));
        } else if (!frames_.over()) {
            check(frames_.backup_end(out));
        } else {
            const errc code = session_->end_frames();
            if (code == errc::output_full) return false;
            check(code);
            at_ = place::over;
            return true;
        }
        check(session_->send_backup(bytes(frame_).first(out.size())));
        return true;
    }

    const demo_cluster& cluster_;
    const std::vector<demo_file>& files_;
    std::array<std::byte, stash_size> stash_;
    std::array<std::byte, out_size> out_;
    std::array<std::byte, 4> cancel_key_{};
    std::vector<std::byte> data_;
    std::vector<std::byte> piece_;
    std::vector<std::byte> frame_;
    std::vector<std::byte> manifest_text_;
    backup::tar_writer tar_;
    backup::manifest_writer manifest_;
    backup::checksum checksum_;
    aiondb::backup_writer frames_;
    std::optional<primary::session> session_; // which borrows from all of these
    std::size_t file_ = 0;                    // begun so far
    std::size_t lent_ = 0;
    std::uint64_t left_ = 0;
    bool ended_ = false;
    bool manifest_lent_ = false;
    bool began_ = false;
    bool announced_ = false;
    bool open_ = false;
    place at_ = place::idle;
};

// The replica's end: compares each byte with what it should be, and each file with the manifest.
class taker {
  public:
    taker(const demo_cluster& cluster, const std::vector<demo_file>& files)
        : files_(files), table_(backup::verifier_table_size(files.size())), verifier_(table_) {
        replica::base_backup_options chosen;
        chosen.connection.user = "replicator";
        chosen.connection.dialect = cluster.dialect;
        chosen.system_identifier = cluster.system_identifier;
        chosen.timeline = cluster.timeline;
        machine_.emplace(chosen, memory{stash_, out_});
    }

    replica::base_backup& machine() noexcept { return *machine_; }
    bool taken() const noexcept { return taken_; }
    demo_backup_figures figures() const noexcept { return {bytes_, seen_, 0}; }

    void heard(const replica::base_backup::event& told) {
        std::visit([this](const auto& event) { take(event); }, told);
    }

  private:
    template <class Event>
    void take(const Event&) {}
    void take(const replica::connect_wanted&) { check(machine_->connected()); }
    void take(const replica::source_identified& source) {
        wire::base_backup what;
        if (source.server_version > 0) what.manifest = wire::backup_manifest::yes;
        check(machine_->begin(what));
    }
    void take(const backup::archive_data& run) {
        bytes in = run.data;
        while (const auto told = tar_.poll(in))
            std::visit([this](const auto& event) { unpack(event); }, *told);
    }
    void take(const backup::archive_ended&) {
        tar_.finish();
        take(backup::archive_data{});
    }
    void take(const backup::manifest_data& run) {
        bytes in = run.data;
        while (const auto told = manifest_.poll(in))
            std::visit([this](const auto& event) { compare(event); }, *told);
    }
    void take(const backup::manifest_closed&) {
        manifest_.finish();
        take(backup::manifest_data{});
    }
    void take(const aiondb::file_started& file) { begin_file(file.path, file.size); }
    void take(const aiondb::file_data& run) { look_at(run.data); }
    void take(const aiondb::file_ended&) { end_file(); }
    void take(const replica::backup_taken&) { taken_ = seen_ == files_.size(); }

    template <class Event>
    void unpack(const Event&) {}
    void unpack(const backup::entry_started& begun) {
        begin_file(begun.entry.path, begun.entry.size);
    }
    void unpack(const backup::entry_data& run) { look_at(run.data); }
    void unpack(const backup::entry_ended&) {
        end_file();
        const auto value = checksum_.finish();
        check(value.code());
        check(verifier_.seen(files_[seen_ - 1].path, files_[seen_ - 1].size, *value));
    }
    void unpack(const backup::tar_failed& wrong) { check(wrong.reason.code); }

    template <class Event>
    void compare(const Event&) {}
    void compare(const backup::listed_file& listed) {
        if (verifier_.listed(listed) != backup::finding::matched)
            throw failure("the manifest disagrees about " + std::string(listed.path));
    }
    void compare(const backup::manifest_failed& wrong) { check(wrong.code); }

    void begin_file(std::string_view path, std::uint64_t size) {
        const bool known =
            seen_ < files_.size() && files_[seen_].path == path && files_[seen_].size == size;
        if (!known) throw failure("a file came that was not sent: " + std::string(path));
        at_ = 0;
        check(checksum_.begin(algorithm, auth::openssl_digests()));
    }
    void look_at(bytes run) {
        check(checksum_.update(run));
        // The contents are computed in words, and a run may begin anywhere.
        const std::uint64_t aligned = at_ / 8 * 8;
        expected_.resize(static_cast<std::size_t>(at_ - aligned) + run.size());
        files_[seen_].fill(aligned, expected_);
        if (std::memcmp(expected_.data() + (at_ - aligned), run.data(), run.size()) != 0)
            throw failure("the backup differs in " + files_[seen_].path);
        at_ += run.size();
        bytes_ += run.size();
    }
    void end_file() {
        if (at_ != files_[seen_].size) throw failure("a file came short");
        ++seen_;
    }

    const std::vector<demo_file>& files_;
    std::array<std::byte, stash_size> stash_;
    std::array<std::byte, out_size> out_;
    std::vector<backup::file_record> table_;
    std::array<std::byte, backup::manifest_room_size> room_;
    backup::tar_reader tar_;
    backup::manifest_reader manifest_{room_, auth::openssl_digests()};
    backup::verifier verifier_;
    backup::checksum checksum_;
    std::vector<std::byte> expected_;
    std::optional<replica::base_backup> machine_;
    std::uint64_t at_ = 0; // within the file
    std::uint64_t bytes_ = 0;
    std::size_t seen_ = 0;
    bool taken_ = false;
};

// One attempt over a link that breaks after so many bytes from the primary.
std::optional<demo_backup_figures> attempt(const demo_cluster& cluster,
                                           const std::vector<demo_file>& files,
                                           std::uint64_t cut_after, std::mt19937_64& random) {
    sender from(cluster, files);
    taker to(cluster, files);
    const instant clock{second, 0};
    bool cut = false;
    while (!to.machine().over()) {
        bool moved = from.feed();
        bytes none;
        while (const auto told = from.session().poll(none, clock)) {
            from.heard(*told);
            moved = true;
        }
        const gather out = from.session().output();
        const bytes waiting = out.head.empty() ? out.body : out.head;
        std::size_t size = std::min<std::size_t>(waiting.size(), 1 + random() % 40000);
        if (size >= cut_after) {
            size = 0;
            cut = true;
            to.machine().disconnected();
        }
        bytes in = waiting.first(size);
        while (const auto told = to.machine().poll(in, clock)) {
            to.heard(*told);
            moved = true;
        }
        if (cut) continue;
        from.session().consume(size);
        cut_after -= size;
        const gather answer = to.machine().output();
        bytes back = answer.head;
        while (const auto told = from.session().poll(back, clock)) {
            from.heard(*told);
            moved = true;
        }
        const std::size_t heard = answer.head.size() - back.size();
        to.machine().consume(heard);
        if (!moved && size == 0 && heard == 0) throw failure("both ends wait for each other");
    }
    if (!to.taken()) return std::nullopt;
    return to.figures();
}

} // namespace

demo_backup_figures take_demo_backup(const demo_cluster& cluster, std::mt19937_64& random) {
    const std::vector<demo_file> files = make_demo_files(random());
    std::uint64_t size = 0;
    for (const demo_file& each : files) size += each.size;
    if (attempt(cluster, files, 1 + random() % size, random))
        throw failure("a backup that was cut off was taken for whole");
    const auto whole = attempt(cluster, files, UINT64_MAX, random);
    if (!whole) throw failure("the backup did not come to its end");
    return {whole->bytes, whole->files, 2};
}

} // namespace posix
