#include "decompressor.hpp"

#include <doctest/doctest.h>

#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

#include <string>
#include <vector>

#include "failure.hpp"

using posix::decompressor;
using posix::failure;
using walwire::wire::backup_compression;

namespace {

using content = std::vector<std::byte>;

content gzipped(const content& plain) {
    z_stream stream{};
    REQUIRE(::deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    content made(::deflateBound(&stream, plain.size()) + 64);
    content copy = plain;
    stream.next_in = reinterpret_cast<Bytef*>(copy.data());
    stream.avail_in = static_cast<uInt>(copy.size());
    stream.next_out = reinterpret_cast<Bytef*>(made.data());
    stream.avail_out = static_cast<uInt>(made.size());
    REQUIRE(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
    made.resize(stream.total_out);
    ::deflateEnd(&stream);
    return made;
}

content compressed(backup_compression how, const content& plain) {
    if (how == backup_compression::none) return plain;
    if (how == backup_compression::gzip) return gzipped(plain);
    const bool lz4 = how == backup_compression::lz4;
    content made(lz4 ? ::LZ4F_compressFrameBound(plain.size(), nullptr)
                     : ::ZSTD_compressBound(plain.size()));
    made.resize(
        lz4 ? ::LZ4F_compressFrame(made.data(), made.size(), plain.data(), plain.size(), nullptr)
            : ::ZSTD_compress(made.data(), made.size(), plain.data(), plain.size(), 3));
    return made;
}

// Something that compresses, but not to nothing.
content sample(std::size_t size) {
    content made(size);
    std::uint32_t state = 1;
    for (std::size_t i = 0; i < size; ++i) {
        if (i % 7 == 0) state = state * 1664525 + 1013904223;
        made[i] = static_cast<std::byte>(state >> 28);
    }
    return made;
}

// All that comes out, the input given in pieces of a size.
content undone(backup_compression how, const content& packed, std::size_t piece = SIZE_MAX) {
    decompressor plain(how);
    content made;
    walwire::bytes rest = packed;
    while (!rest.empty()) {
        walwire::bytes in = rest.first(std::min(piece, rest.size()));
        rest = rest.subspan(in.size());
        for (auto run = plain.next(in); !run.empty(); run = plain.next(in))
            made.insert(made.end(), run.begin(), run.end());
        CHECK(in.empty());
    }
    plain.finish();
    return made;
}

std::string refusal(backup_compression how, const content& packed) {
    try {
        undone(how, packed);
    } catch (const failure& why) {
        return why.what();
    }
    return {};
}

constexpr backup_compression formats[] = {backup_compression::gzip, backup_compression::lz4,
                                          backup_compression::zstd};

} // namespace

TEST_CASE("what was compressed comes out as it was, in whatever pieces it is given") {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{700'000}}) {
        const content plain = sample(size);
        for (const backup_compression how : formats) {
            const content packed = compressed(how, plain);
            CHECK(undone(how, packed) == plain);
            CHECK(undone(how, packed, 1000) == plain);
            if (size < 2) CHECK(undone(how, packed, 1) == plain);
        }
        CHECK(undone(backup_compression::none, plain, 1000) == plain);
    }
    const content plain = sample(5000);
    for (const backup_compression how : formats)
        CHECK(undone(how, compressed(how, plain), 1) == plain);
}

TEST_CASE("a stream that is cut short anywhere is refused") {
    const content plain = sample(3000);
    for (const backup_compression how : formats) {
        const content packed = compressed(how, plain);
        for (std::size_t size = 0; size < packed.size(); ++size) {
            const content cut(packed.begin(), packed.begin() + static_cast<long>(size));
            CHECK(refusal(how, cut) == "a compressed archive is cut short");
        }
    }
}

TEST_CASE("what follows a stream is refused, even another stream") {
    for (const backup_compression how : formats) {
        const content packed = compressed(how, sample(3000));
        content more = packed;
        more.push_back(std::byte{0});
        CHECK(refusal(how, more) == "something follows the end of a compressed archive");
        more = packed;
        more.insert(more.end(), packed.begin(), packed.end());
        CHECK(refusal(how, more) == "something follows the end of a compressed archive");
    }
}

TEST_CASE("what is no such stream is refused by the format's name") {
    const content plain = sample(3000);
    CHECK(refusal(backup_compression::gzip, plain).find("no gzip stream") != std::string::npos);
    CHECK(refusal(backup_compression::lz4, plain).find("no LZ4 stream") != std::string::npos);
    CHECK(refusal(backup_compression::zstd, plain).find("no Zstandard stream") !=
          std::string::npos);
    for (const backup_compression how : formats)
        for (const backup_compression other : formats)
            if (how != other) CHECK_FALSE(refusal(how, compressed(other, plain)).empty());
}

TEST_CASE("a damaged stream ends, one way or another") {
    const content plain = sample(2000);
    for (const backup_compression how : formats) {
        const content packed = compressed(how, plain);
        for (std::size_t at = 0; at < packed.size(); ++at) {
            content damaged = packed;
            damaged[at] ^= std::byte{0x55};
            static_cast<void>(refusal(how, damaged));
        }
    }
}

TEST_CASE("a short text that stands for an endless one is refused before it fills a disk") {
    // Blocks of one byte that is repeated 128 KiB times: four bytes each.
    content bomb{std::byte{0x28}, std::byte{0xB5}, std::byte{0x2F},
                 std::byte{0xFD}, std::byte{0x00}, std::byte{0x58}};
    for (int i = 0; i < 100'000; ++i) {
        const std::uint32_t header = 1u << 1 | (128u * 1024) << 3;
        for (int shift = 0; shift < 24; shift += 8)
            bomb.push_back(static_cast<std::byte>(header >> shift));
        bomb.push_back(std::byte{0});
    }
    decompressor plain(backup_compression::zstd);
    std::uint64_t made = 0;
    std::string why;
    walwire::bytes in = bomb;
    try {
        for (auto run = plain.next(in); !run.empty(); run = plain.next(in)) made += run.size();
    } catch (const failure& refused) {
        why = refused.what();
    }
    CHECK(why == "a compressed archive grows out of all proportion");
    CHECK(made > decompressor::expansion_free);
    CHECK(made < decompressor::expansion_free + decompressor::expansion_max * bomb.size());
}

TEST_CASE("a window that would take more memory than a machine may have is refused") {
    // A frame whose header asks for one of 2 GiB.
    const content frame{std::byte{0x28}, std::byte{0xB5}, std::byte{0x2F},
                        std::byte{0xFD}, std::byte{0x00}, std::byte{0xA8},
                        std::byte{0x01}, std::byte{0x00}, std::byte{0x00}};
    CHECK(refusal(backup_compression::zstd, frame).find("memory") != std::string::npos);
}
