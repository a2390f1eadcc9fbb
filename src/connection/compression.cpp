#include "connection/compression.hpp"

#include <utility>

#if defined(REMSH_HAS_ZSTD)

#include <zstd.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <vector>

namespace remsh {

namespace {

/// The fastest level that finds repetitions in text as well as the next two do.
constexpr int level = 1;

/// Less than this is not worth the time.
constexpr std::size_t min_size = 128;

constexpr std::size_t max_size = 65535;

// How a frame begins; and a skippable frame, by one of 16 bytes before these three.
constexpr BytesView frame_magic = "\x28\xB5\x2F\xFD";
constexpr BytesView skippable_magic = "\x2A\x4D\x18";
constexpr std::size_t skippable_header = 8;  // these four bytes, and the size of the rest, the lowest byte first

/// The contexts that no thread uses now. They are large, and needed only while a box is made or read, so a few serve
/// all connections.
template <class Context, Context* (*make)(), std::size_t (*destroy)(Context*)>
class Pool {
 public:
  struct Return {
    void operator()(Context* context) const { shared().give_back(context); }
  };
  using Lease = std::unique_ptr<Context, Return>;

  /// Never destroyed: threads may use it while the program exits.
  static Pool& shared() {
    static Pool& pool = *new Pool;
    return pool;
  }

  /// Null without memory.
  [[nodiscard]] Lease take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return Lease(make());
    Lease lease(idle_.back());
    idle_.pop_back();
    return lease;
  }

 private:
  static constexpr std::size_t most_idle = 4;

  Pool() { idle_.reserve(most_idle); }

  void give_back(Context* context) {
    {
      const std::lock_guard lock(mutex_);
      if (idle_.size() < most_idle) return idle_.push_back(context);
    }
    destroy(context);
  }

  std::mutex mutex_;
  std::vector<Context*> idle_;
};

using Compressors = Pool<ZSTD_CCtx, ZSTD_createCCtx, ZSTD_freeCCtx>;
using Decompressors = Pool<ZSTD_DCtx, ZSTD_createDCtx, ZSTD_freeDCtx>;

/// Whether nothing follows a frame, or exactly one skippable frame.
bool is_padding(BytesView rest) {
  if (rest.empty()) return true;
  return rest.substr(1).starts_with(skippable_magic) && (static_cast<unsigned char>(rest[0]) & 0xF0U) == 0x50 &&
         ZSTD_findFrameCompressedSize(rest.data(), rest.size()) == rest.size();
}

/// Puts a skippable frame with `content` bytes, fewer than 65,536, at the beginning of `room`.
void put_skippable_frame(std::span<char> room, std::size_t content) {
  room[0] = '\x50';
  std::copy(skippable_magic.begin(), skippable_magic.end(), room.begin() + 1);
  room[4] = static_cast<char>(content & 0xffU);
  room[5] = static_cast<char>(content >> 8U);
  std::fill_n(room.begin() + 6, content + 2, '\0');
}

}  // namespace

bool has_compression() noexcept { return true; }

BoxData BoxData::compressed(Block block, std::size_t count) {
  if (count < min_size) return plain(std::move(block), count);
  Block smaller;
  const auto compressor = Compressors::shared().take();
  if (!compressor) return plain(std::move(block), count);
  const std::span<char> room = smaller.payload().first(count - count / 16);
  std::size_t size =
      ZSTD_compressCCtx(compressor.get(), room.data(), room.size(), block.payload().data(), count, level);
  if (ZSTD_isError(size) != 0) return plain(std::move(block), count);  // it does not become so much smaller
  if (size * max_compression < count) {
    const std::size_t least = (count + max_compression - 1) / max_compression;
    const std::size_t padded = std::max(least, size + skippable_header);
    put_skippable_frame(room.subspan(size), padded - size - skippable_header);
    size = padded;
  }
  return {std::move(smaller), size, count, true};
}

std::optional<Bytes> decompressed(BytesView data, std::uint64_t size) {
  if (size == 0 || size > max_size || size > data.size() * max_compression) return std::nullopt;
  if (!data.starts_with(frame_magic)) return std::nullopt;  // the library may know older formats as well
  const std::size_t frame = ZSTD_findFrameCompressedSize(data.data(), data.size());
  if (ZSTD_isError(frame) != 0 || !is_padding(data.substr(frame))) return std::nullopt;
  const auto decompressor = Decompressors::shared().take();
  if (!decompressor) throw std::bad_alloc();
  Bytes bytes(static_cast<std::size_t>(size), '\0');
  if (ZSTD_decompressDCtx(decompressor.get(), bytes.data(), bytes.size(), data.data(), frame) != size) {
    return std::nullopt;
  }
  return bytes;
}

}  // namespace remsh

#else

namespace remsh {

bool has_compression() noexcept { return false; }

BoxData BoxData::compressed(Block block, std::size_t count) { return plain(std::move(block), count); }

std::optional<Bytes> decompressed(BytesView /*data*/, std::uint64_t /*size*/) { return std::nullopt; }

}  // namespace remsh

#endif
