// Holds the files that came against the files that a manifest lists.
//
//     verifier files(table);
//     files.seen(path, size, checksum)         while archives are unpacked, or a directory is read
//     files.listed(entry)                      for each listed_file: what became of it
//     files.each_extra(...)                    what nobody listed
//
// A manifest comes behind all archives, so files are kept and entries pass by. The table is the
// caller's, and so are the paths in it: they have to live as long as it is used. Paths are in the
// manifest's form, that of an unpacked backup, and only those of is_listed_kind belong here.
//
// It is a hash table with open addressing: a file's record stands at the place that its path's hash
// says, or in the first free one behind it. Whoever names the files can choose names that all say
// the same place, which costs time (but never more than the table's size for each file) and nothing
// else; a seed that nobody knows makes that hard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "../bytes.hpp"
#include "../error.hpp"
#include "checksum.hpp"
#include "manifest.hpp"

namespace walwire::backup {

// A place in the table. Its fields are the verifier's.
struct file_record {
    std::string_view path; // empty: the place is free
    std::uint64_t hash = 0;
    std::uint64_t size = 0;
    checksum_value checksum;
    bool listed = false;
};

// What a listed file turned out to be.
enum class finding : std::uint8_t {
    matched, // its size is right, and its checksum, where it has one
    missing, // it never came
    size_differs,
    checksum_differs,
    not_computed, // of the right size, but its checksum is by another algorithm than was used
    listed_twice, // a second entry of this path; the first one had its own finding
};

// How many places suffice for so many files: a quarter more, so that most are found at once.
constexpr std::size_t verifier_table_size(std::size_t files) noexcept {
    return files + files / 4 + 1;
}

class verifier {
  public:
    // Whatever stands in the table is overwritten.
    explicit verifier(std::span<file_record> table, std::uint64_t seed = 0) noexcept
        : table_(table), seed_(seed) {
        clear();
    }
    verifier(const verifier&) = delete;
    verifier& operator=(const verifier&) = delete;

    void clear() noexcept {
        for (file_record& each : table_) each = {};
        size_ = 0;
    }

    // A file came; its checksum is of algorithm none where nobody computed one.
    // manifest_path_refused: is_manifest_path refuses it. file_seen_twice: a file of this path was
    // there. too_many: the table is full; move_to a larger one, and try again.
    errc seen(std::string_view path, std::uint64_t size, const checksum_value& checksum) noexcept {
        if (!is_manifest_path(path)) return errc::manifest_path_refused;
        const std::uint64_t hash = hash_of(path);
        file_record* const at = place_of(path, hash);
        if (at != nullptr && !at->path.empty()) return errc::file_seen_twice;
        if (at == nullptr || verifier_table_size(size_ + 1) > table_.size()) return errc::too_many;
        *at = {path, hash, size, checksum, false};
        ++size_;
        return errc::none;
    }

    // Whether a file of this path came.
    bool has(std::string_view path) const noexcept {
        const file_record* const at = place_of(path, hash_of(path));
        return at != nullptr && !at->path.empty();
    }

    // The manifest has this entry.
    finding listed(const listed_file& entry) noexcept {
        file_record* const at = place_of(entry.path, hash_of(entry.path));
        if (at == nullptr || at->path.empty()) return finding::missing;
        if (at->listed) return finding::listed_twice;
        at->listed = true;
        if (at->size != entry.size) return finding::size_differs;
        const manifest_checksums used = entry.checksum.algorithm;
        if (used == manifest_checksums::none) return finding::matched;
        if (at->checksum.algorithm != used) return finding::not_computed;
        return at->checksum == entry.checksum ? finding::matched : finding::checksum_differs;
    }

    // The files that no entry so far was about, in no order, by a visitor that takes a
    // `const file_record&`. Meant for the end.
    template <class Visitor>
    void each_extra(Visitor&& visit) const noexcept {
        for (const file_record& each : table_)
            if (!each.path.empty() && !each.listed) visit(each);
    }

    // Goes on in another table, with all that stands in this one, which is not used any more. The
    // two may not overlap. too_many: it is too small, and nothing has changed.
    errc move_to(std::span<file_record> table) noexcept {
        if (size_ > 0 && verifier_table_size(size_) > table.size()) return errc::too_many;
        const std::span<file_record> old = table_;
        table_ = table;
        for (file_record& each : table_) each = {};
        for (const file_record& each : old)
            if (!each.path.empty()) *place_of(each.path, each.hash) = each;
        return errc::none;
    }

    // How many files came.
    std::size_t size() const noexcept { return size_; }
    std::size_t capacity() const noexcept { return table_.size(); }

  private:
    // Eight bytes at once, each time multiplied and folded, so that every bit reaches the top.
    std::uint64_t hash_of(std::string_view path) const noexcept {
        constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;
        std::uint64_t hash = seed_ ^ path.size() * odd;
        bytes left = as_bytes(path);
        for (; left.size() >= 8; left = left.subspan(8))
            hash = folded((hash ^ load<std::uint64_t, std::endian::little>(left.data())) * odd);
        std::uint64_t last = 0;
        for (const std::byte each : left) last = last << 8 | std::to_integer<std::uint64_t>(each);
        return folded(folded((hash ^ last) * odd) * odd);
    }
    static std::uint64_t folded(std::uint64_t value) noexcept { return value ^ value >> 32; }

    // Where the path stands, or else the first free place for it; null if there is neither.
    file_record* place_of(std::string_view path, std::uint64_t hash) const noexcept {
        if (table_.empty()) return nullptr;
        const auto first = static_cast<std::size_t>(hash % table_.size());
        std::size_t at = first;
        do {
            file_record& each = table_[at];
            if (each.path.empty() || (each.hash == hash && each.path == path)) return &each;
            at = at + 1 == table_.size() ? 0 : at + 1;
        } while (at != first);
        return nullptr;
    }

    std::span<file_record> table_;
    std::uint64_t seed_;
    std::size_t size_ = 0;
};

} // namespace walwire::backup
