// One direction of a call: chunks, the end, and the credit for it; pure state.
#pragma once

#include "rpc/credit.hpp"
#include "rpc/read_buffer.hpp"

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh::rpc {

/// The streams of a call: `in` towards the serving side, the others back.
enum class StreamName : std::uint8_t { in, out, err, log, header };
inline constexpr std::size_t stream_count = 5;

constexpr std::string_view to_string(StreamName name) noexcept {
  switch (name) {
    case StreamName::in: return "in";
    case StreamName::out: return "out";
    case StreamName::err: return "err";
    case StreamName::log: return "log";
    case StreamName::header: return "header";
  }
  return "?";
}

constexpr std::optional<StreamName> stream_name(BytesView text) noexcept {
  if (text == "in") return StreamName::in;
  if (text == "out") return StreamName::out;
  if (text == "err") return StreamName::err;
  if (text == "log") return StreamName::log;
  if (text == "header") return StreamName::header;
  return std::nullopt;
}

/// What a piece of output carries besides its bytes, if anything.
struct PieceMarks {
  std::optional<std::uint64_t> at = {};   ///< when the sender got it: microseconds since 1970
  std::optional<std::uint64_t> log = {};  ///< of which log file it is
};

/// A piece of a stream as it arrived. Its bytes are its own or, if they are many, lie where they were read.
struct Chunk {
  StreamName stream = StreamName::out;
  bool last = false;  ///< the end of the stream; has no bytes
  Bytes owned = {};
  BytesView read = {};
  SharedMemory memory = {};                 // of `read`
  std::optional<std::uint64_t> total = {};  ///< the length of the whole stream, if the sender announced it
  PieceMarks marks = {};

  [[nodiscard]] BytesView bytes() const noexcept { return read.data() != nullptr ? read : BytesView(owned); }
};

/// Chunks in the order in which they came. Unlike a std::deque it owns no memory until the first one comes: most calls
/// have streams on which nothing comes.
class ChunkQueue {
 public:
  [[nodiscard]] bool empty() const noexcept { return taken_ == chunks_.size(); }
  void push(Chunk chunk) { chunks_.push_back(std::move(chunk)); }

  Chunk take() {
    Chunk chunk = std::move(chunks_[taken_++]);
    if (taken_ * 2 >= chunks_.size()) {  // so that each chunk is moved once on the average
      chunks_.erase(chunks_.begin(), begin());
      taken_ = 0;
    }
    return chunk;
  }

  void clear() noexcept {
    chunks_.clear();
    taken_ = 0;
  }

  [[nodiscard]] std::vector<Chunk>::const_iterator begin() const noexcept {
    return chunks_.begin() + static_cast<std::ptrdiff_t>(taken_);
  }
  [[nodiscard]] std::vector<Chunk>::const_iterator end() const noexcept { return chunks_.end(); }

 private:
  std::vector<Chunk> chunks_;
  std::size_t taken_ = 0;  // how many of them, at the front
};

/// The receiving end of a stream: what has arrived and was not taken yet, bounded by the credit granted.
class ReceiveStream {
 public:
  /// False if the sender broke the rules: more than its credit, or anything after the end.
  bool receive(Chunk chunk) {
    if (ended_) return false;
    if (chunk.last) {
      ended_ = true;
    } else if (!window_.receive(chunk.bytes().size())) {
      return false;
    }
    inbox_.push(std::move(chunk));
    return true;
  }

  [[nodiscard]] bool empty() const noexcept { return inbox_.empty(); }

  Chunk take() { return inbox_.take(); }

  /// Bytes were used up. Returns the credit to send, or 0.
  std::uint64_t consume(std::uint64_t bytes, CreditPool& pool) {
    return ended_ ? 0 : window_.consume(bytes, inbox_.empty(), pool);
  }

  /// Drops everything that has arrived. Returns the credit to send for it.
  std::uint64_t drop_all(CreditPool& pool) {
    std::uint64_t grant = 0;
    for (const Chunk& chunk : inbox_) {
      if (!chunk.last) grant += ended_ ? 0 : window_.consume(chunk.bytes().size(), false, pool);
    }
    inbox_.clear();
    return grant;
  }

  /// Counts, drops and credits a chunk that no caller wants. False if it exceeds the credit.
  bool receive_and_drop(const Chunk& chunk, CreditPool& pool, std::uint64_t& grant) {
    grant = 0;
    if (ended_) return false;
    if (chunk.last) return ended_ = true;
    if (!window_.receive(chunk.bytes().size())) return false;
    grant = window_.consume(chunk.bytes().size(), false, pool);
    return true;
  }

  void settle(CreditPool& pool) { window_.settle(pool); }

  [[nodiscard]] const ReceiveWindow& window() const noexcept { return window_; }

 private:
  ReceiveWindow window_;
  ChunkQueue inbox_;
  bool ended_ = false;
};

}  // namespace remsh::rpc
