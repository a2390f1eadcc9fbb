#include "connection/box_data.hpp"

#include <remsh/base/error.hpp>
#include <remsh/connection/box.hpp>

#include <utility>

#if defined(REMSH_HAS_ZSTD)

#include "connection/zstd_frame.hpp"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <thread>
#include <vector>

namespace remsh {

namespace {

/// Level 3 makes text 1 to 7 % smaller, and takes twice the time: docs/decisions/0049.
constexpr int compression_level = 1;

/// Less than this is not worth the time.
constexpr std::size_t least_to_compress = 128;

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

  /// Null if memory is exhausted.
  [[nodiscard]] Lease take() {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        Lease lease(idle_.back());
        idle_.pop_back();
        return lease;
      }
    }
    return Lease(make());
  }

 private:
  Pool() { idle_.reserve(most_idle_); }

  void give_back(Context* context) {
    {
      const std::lock_guard lock(mutex_);
      if (idle_.size() < most_idle_) return idle_.push_back(context);
    }
    destroy(context);
  }

  const std::size_t most_idle_ = std::max(4U, std::thread::hardware_concurrency());
  std::mutex mutex_;
  std::vector<Context*> idle_;
};

using Compressors = Pool<ZSTD_CCtx, ZSTD_createCCtx, ZSTD_freeCCtx>;
using Decompressors = Pool<ZSTD_DCtx, ZSTD_createDCtx, ZSTD_freeDCtx>;

constexpr std::size_t skippable_header = 8;

/// Puts a skippable frame with `content` bytes, fewer than 65,536, at the beginning of `room`.
void put_skippable_frame(std::span<char> room, std::size_t content) {
  constexpr std::array<unsigned char, 4> magic{0x50, 0x2A, 0x4D, 0x18};
  std::copy(magic.begin(), magic.end(), room.begin());
  room[4] = static_cast<char>(content & 0xffU);
  room[5] = static_cast<char>(content >> 8U);
  std::fill_n(room.begin() + 6, content + 2, '\0');
}

/// The payload in fewer bytes, in a block of that size; nullopt if it does not become so much smaller.
std::optional<BoxData> smaller_data(std::span<const char> payload) {
  if (payload.size() < least_to_compress) return std::nullopt;
  const auto compressor = Compressors::shared().take();
  if (!compressor) return std::nullopt;
  Block large;
  const std::span<char> room = large.payload().first(payload.size() - payload.size() / 16);
  std::size_t size =
      ZSTD_compressCCtx(compressor.get(), room.data(), room.size(), payload.data(), payload.size(), compression_level);
  if (ZSTD_isError(size) != 0) return std::nullopt;
  if (size * max_compression_ratio < payload.size()) {
    const std::size_t least = (payload.size() + max_compression_ratio - 1) / max_compression_ratio;
    const std::size_t padded = std::max(least, size + skippable_header);
    put_skippable_frame(room.subspan(size), padded - size - skippable_header);
    size = padded;
  }
  Block exact(size);  // it may wait in a queue, whose limits count the bytes of boxes
  std::memcpy(exact.payload().data(), room.data(), size);
  return BoxData::compressed(std::move(exact), size, payload.size());
}

}  // namespace

bool has_compression() noexcept { return true; }

BoxData BoxData::compressed_if_smaller(Block block, std::size_t count) {
  try {
    if (auto smaller = smaller_data(block.payload().first(count))) return std::move(*smaller);
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): then it is sent as it is
  }
  return plain(std::move(block), count);
}

std::optional<Bytes> decompressed(BytesView data, std::uint64_t size) {
  if (size == 0 || size > Box::max_value || size > data.size() * max_compression_ratio) return std::nullopt;
  const auto frame = zstd_frame_size(data);
  if (!frame) return std::nullopt;
  const auto decompressor = Decompressors::shared().take();
  if (!decompressor) throw std::bad_alloc();
  Bytes bytes(static_cast<std::size_t>(size), '\0');
  if (ZSTD_decompressDCtx(decompressor.get(), bytes.data(), bytes.size(), data.data(), *frame) != size) {
    return std::nullopt;
  }
  return bytes;
}

}  // namespace remsh

#else

namespace remsh {

bool has_compression() noexcept { return false; }

BoxData BoxData::compressed_if_smaller(Block block, std::size_t count) { return plain(std::move(block), count); }

std::optional<Bytes> decompressed(BytesView /*data*/, std::uint64_t /*size*/) { return std::nullopt; }

}  // namespace remsh

#endif

namespace remsh {

void require_compression(const char* action) {
  if (has_compression()) return;
  throw Error(Errc::unsupported, "", action,
              "this remsh was built without zstd: install libzstd's headers and build it with -Dzstd=enabled");
}

}  // namespace remsh
