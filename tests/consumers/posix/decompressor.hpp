// Undoes what the server compressed: gzip, LZ4 frames or Zstandard, as the bytes come.
//
//     decompressor plain(compression::gzip);
//     while (auto in = next_piece())
//         for (auto run = plain.next(in); !run.empty(); run = plain.next(in)) ...
//     plain.finish();
//
// One archive is one stream: what is cut short, damaged, or followed by anything is refused, for
// nobody who sends a backup has a reason to send more than that.
//
// A short text may stand for a very long one, and a server that means harm may send one. What it
// costs is bounded: 128 MiB of memory for a window, which is what zstd's own tool allows, and a
// size. Gzip and LZ4 are bounded by their formats (a byte stands for 1,032 and 255 at the most).
// Zstandard's blocks go to 32,768, which an archive of nothing but zeros may come near to and a
// real one does not, since its own headers are less than that: so what comes out may be 2,000
// times what went in, and 256 MiB more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include <walwire/bytes.hpp>
#include <walwire/wire/command.hpp>

namespace posix {

// What one format's library does with the next bytes.
class decoder {
  public:
    struct step {
        std::size_t eaten = 0;
        std::size_t made = 0;
        bool ended = false; // the stream is whole
    };

    virtual ~decoder() = default;
    // Throws failure for what is no such stream.
    virtual step decode(walwire::bytes in, walwire::mutable_bytes out) = 0;
};

class decompressor {
  public:
    static constexpr std::uint64_t expansion_max = 2000;
    static constexpr std::uint64_t expansion_free = std::uint64_t{256} << 20;

    // none passes everything through as it is, uncopied.
    explicit decompressor(walwire::wire::backup_compression how);
    decompressor(const decompressor&) = delete;
    decompressor& operator=(const decompressor&) = delete;
    ~decompressor();

    // Eats of `in` and gives the next run, which lives until the next call; an empty one when all
    // is eaten and nothing more is to be had from it. Throws failure.
    walwire::bytes next(walwire::bytes& in);

    // The stream was to be whole now. Throws failure where it is not.
    void finish() const;

  private:
    std::unique_ptr<decoder> decoder_; // none: nothing is to be undone
    std::unique_ptr<std::byte[]> room_;
    std::uint64_t eaten_ = 0;
    std::uint64_t made_ = 0;
    bool ended_ = false;
};

} // namespace posix
