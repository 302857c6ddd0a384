// Puts a tar archive together, for a server that sends a base backup or a client that keeps one.
//
// A tar is broken beyond repair by one body that is a byte longer or shorter than its header says,
// and files change while they are read. So the size is counted here: a file that has grown since
// is cut, by giving no more than body_left(); one that has shrunk is filled up with zeros, as
// PostgreSQL's servers do it. Replay of the log puts both right.
//
//     start(entry)                       a header is queued
//     give(run)...                       parts of the body, borrowed until consume() passed them
//     fill()                             or zeros for what is left of it
//     end()                              the trailer is queued
//     output(), consume(size)            what to write next, and that it was written
//
// The padding comes by itself. A command is taken when all output of the one before was consumed;
// one that is refused changes nothing. Headers are printed as tar.hpp says.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "../bytes.hpp"
#include "../error.hpp"
#include "../session.hpp"
#include "tar.hpp"

namespace walwire::backup {

class tar_writer {
  public:
    // The next entry. not_now: a body is not whole yet, or the archive has ended. output_full:
    // write first. Otherwise what put_tar_header returns.
    errc start(const tar_entry& entry) noexcept {
        if (const errc code = objection(false); code != errc::none) return code;
        if (const errc code = put_tar_header(block_, entry); code != errc::none) return code;
        head_left_ = block_.size();
        body_left_ = entry.size;
        padding_ = tar_padding(entry.size);
        return errc::none;
    }

    // The next part of the body. not_now: no body is owed. output_full: write first.
    // argument_too_long: more than body_left().
    errc give(bytes run) noexcept {
        if (const errc code = objection(true); code != errc::none) return code;
        if (run.size() > body_left_) return errc::argument_too_long;
        run_ = run;
        body_left_ -= run.size();
        if (body_left_ == 0) zeros_left_ = padding_;
        return errc::none;
    }

    // Zeros for all that is left of the body. not_now: no body is owed. output_full: write first.
    errc fill() noexcept {
        if (const errc code = objection(true); code != errc::none) return code;
        zeros_left_ = body_left_ + padding_;
        body_left_ = 0;
        return errc::none;
    }

    // Nothing follows but the trailer. not_now: a body is not whole yet, or it was said before.
    // output_full: write first.
    errc end() noexcept {
        if (const errc code = objection(false); code != errc::none) return code;
        zeros_left_ = tar_trailer_size;
        ended_ = true;
        return errc::none;
    }

    // How many bytes of the body have not been given yet.
    std::uint64_t body_left() const noexcept { return body_left_; }

    // What to write next. A header and the first run behind it come together.
    gather output() const noexcept {
        if (head_left_ != 0 || !run_.empty()) return {bytes(block_).last(head_left_), run_};
        const std::size_t size =
            zeros_left_ < zeros.size() ? static_cast<std::size_t>(zeros_left_) : zeros.size();
        return {bytes(zeros).first(size), {}};
    }

    // So many bytes of it were written. More than there are is taken for all of it.
    void consume(std::size_t size) noexcept {
        if (head_left_ == 0 && run_.empty()) {
            zeros_left_ -= size < zeros_left_ ? size : zeros_left_;
            return;
        }
        const std::size_t of_head = size < head_left_ ? size : head_left_;
        const std::size_t of_run = size - of_head < run_.size() ? size - of_head : run_.size();
        head_left_ -= of_head;
        run_ = run_.subspan(of_run);
    }

    // The whole archive was written.
    bool over() const noexcept { return ended_ && zeros_left_ == 0; }

  private:
    static constexpr std::array<std::byte, 8192> zeros{};

    // The body's parts may follow the header at once, since they can be written together.
    errc objection(bool body) const noexcept {
        if (ended_ || body != (body_left_ != 0)) return errc::not_now;
        if (!run_.empty() || zeros_left_ != 0 || (!body && head_left_ != 0))
            return errc::output_full;
        return errc::none;
    }

    std::array<std::byte, tar_block_size> block_{};
    std::size_t head_left_ = 0; // bytes of the header that were not written yet
    bytes run_;                 // nor these of the body
    std::size_t padding_ = 0;
    std::uint64_t zeros_left_ = 0; // to write behind both
    std::uint64_t body_left_ = 0;
    bool ended_ = false;
};

} // namespace walwire::backup
