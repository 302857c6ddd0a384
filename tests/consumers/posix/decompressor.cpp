#include "decompressor.hpp"

#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

#include <string>
#include <utility>

#include "failure.hpp"

namespace posix {
namespace {

constexpr std::size_t room_size = 128 * 1024;

[[noreturn]] void refuse(const std::string& format, const char* why) {
    throw failure("what the server sends is no " + format + " stream" +
                  (why == nullptr ? "" : std::string(": ") + why));
}

class gzip_decoder final : public decoder {
  public:
    gzip_decoder() {
        constexpr int only_gzip = 16 + MAX_WBITS;
        if (::inflateInit2(&stream_, only_gzip) != Z_OK) throw failure("zlib does not start");
    }
    gzip_decoder(const gzip_decoder&) = delete;
    gzip_decoder& operator=(const gzip_decoder&) = delete;
    ~gzip_decoder() override { ::inflateEnd(&stream_); }

    step decode(walwire::bytes in, walwire::mutable_bytes out) override {
        const auto data = reinterpret_cast<const Bytef*>(in.data());
        stream_.next_in =
            const_cast<Bytef*>(data); // zlib's own declaration dates from before const
        stream_.avail_in = static_cast<uInt>(in.size());
        stream_.next_out = reinterpret_cast<Bytef*>(out.data());
        stream_.avail_out = static_cast<uInt>(out.size());
        const int code = ::inflate(&stream_, Z_NO_FLUSH);
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
            refuse("gzip", stream_.msg);
        return {in.size() - stream_.avail_in, out.size() - stream_.avail_out, code == Z_STREAM_END};
    }

  private:
    z_stream stream_{};
};

class lz4_decoder final : public decoder {
  public:
    lz4_decoder() {
        if (::LZ4F_isError(::LZ4F_createDecompressionContext(&context_, LZ4F_VERSION)) != 0)
            throw failure("lz4 does not start");
    }
    lz4_decoder(const lz4_decoder&) = delete;
    lz4_decoder& operator=(const lz4_decoder&) = delete;
    ~lz4_decoder() override { ::LZ4F_freeDecompressionContext(context_); }

    step decode(walwire::bytes in, walwire::mutable_bytes out) override {
        std::size_t eaten = in.size();
        std::size_t made = out.size();
        const std::size_t hint =
            ::LZ4F_decompress(context_, out.data(), &made, in.data(), &eaten, nullptr);
        if (::LZ4F_isError(hint) != 0) refuse("LZ4", ::LZ4F_getErrorName(hint));
        return {eaten, made, hint == 0};
    }

  private:
    LZ4F_dctx* context_ = nullptr;
};

class zstd_decoder final : public decoder {
  public:
    zstd_decoder() : context_(::ZSTD_createDCtx()) {
        constexpr int window_log_max = 27;
        if (context_ == nullptr || ::ZSTD_isError(::ZSTD_DCtx_setParameter(
                                       context_, ZSTD_d_windowLogMax, window_log_max)) != 0) {
            ::ZSTD_freeDCtx(context_);
            throw failure("zstd does not start");
        }
    }
    zstd_decoder(const zstd_decoder&) = delete;
    zstd_decoder& operator=(const zstd_decoder&) = delete;
    ~zstd_decoder() override { ::ZSTD_freeDCtx(context_); }

    step decode(walwire::bytes in, walwire::mutable_bytes out) override {
        ZSTD_inBuffer from{in.data(), in.size(), 0};
        ZSTD_outBuffer to{out.data(), out.size(), 0};
        const std::size_t hint = ::ZSTD_decompressStream(context_, &to, &from);
        if (::ZSTD_isError(hint) != 0) refuse("Zstandard", ::ZSTD_getErrorName(hint));
        return {from.pos, to.pos, hint == 0};
    }

  private:
    ZSTD_DCtx* context_;
};

std::unique_ptr<decoder> decoder_of(walwire::wire::backup_compression how) {
    using walwire::wire::backup_compression;
    switch (how) {
    case backup_compression::none: return nullptr;
    case backup_compression::gzip: return std::make_unique<gzip_decoder>();
    case backup_compression::lz4: return std::make_unique<lz4_decoder>();
    case backup_compression::zstd: return std::make_unique<zstd_decoder>();
    }
    return nullptr;
}

} // namespace

decompressor::decompressor(walwire::wire::backup_compression how)
    : decoder_(decoder_of(how)),
      room_(decoder_ ? std::make_unique_for_overwrite<std::byte[]>(room_size) : nullptr) {}

decompressor::~decompressor() = default;

walwire::bytes decompressor::next(walwire::bytes& in) {
    if (!decoder_) return std::exchange(in, {});
    for (;;) {
        if (ended_) {
            if (in.empty()) return {};
            throw failure("something follows the end of a compressed archive");
        }
        const auto done = decoder_->decode(in, {room_.get(), room_size});
        in = in.subspan(done.eaten);
        eaten_ += done.eaten;
        made_ += done.made;
        ended_ = done.ended;
        if (made_ > expansion_free && (made_ - expansion_free) / expansion_max > eaten_)
            throw failure("a compressed archive grows out of all proportion");
        if (done.made > 0) return walwire::bytes(room_.get(), done.made);
        if (done.eaten == 0 && !ended_) return {};
    }
}

void decompressor::finish() const {
    if (decoder_ && !ended_) throw failure("a compressed archive is cut short");
}

} // namespace posix
