// The stream of a directory tree: a sequence of boxes, without I/O. docs/protocol.md section 7.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box_codec.hpp>
#include <remsh/operations/filesystem.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace remsh::operations {

/// The most directories below each other, with the top. Each of them is an open descriptor at both ends.
inline constexpr std::size_t max_tree_depth = 256;

inline constexpr std::size_t max_tree_name = 255;
inline constexpr std::size_t max_tree_target = 4095;
inline constexpr std::size_t max_tree_text = 1024;

/// One box of the stream.
struct TreePart {
  enum class Kind : std::uint8_t {
    entry,    ///< `name`, `info`; for a file the first `data`; for a link `target`; `failure` if it could not be read
    content,  ///< the next `data` of the file before it
    failure,  ///< of the open file, which is dropped then; else of the directory, which ends early
    up,       ///< the end of a directory
  };

  Kind kind = Kind::entry;
  Bytes name = {};  ///< empty: the top of the tree, which is the first entry and no other
  FileInfo info = {};
  Bytes target = {};
  BytesView data = {};
  bool more = false;  ///< further content follows
  std::optional<Failure> failure = {};
};

/// Appends one box to a stream, in its canonical encoding.
void append_tree_part(Bytes& stream, const TreePart& part);

// The same in three steps, for `data` that is read into its place.

/// Begins a box with room for this much data. Returns where the data begins.
std::size_t begin_tree_data(Bytes& stream, std::size_t room);

/// Ends the data: `count` bytes of the room were filled.
void end_tree_data(Bytes& stream, std::size_t begin, std::size_t count);

/// Appends everything but the data.
void end_tree_part(Bytes& stream, const TreePart& part);

/// Takes a stream as it arrives and returns its parts, of which each is legal where it is: names are components of a
/// path, directories nest and end, content belongs to a file. What it holds is bounded by the size of one box. One
/// thread at a time.
///
///     decoder.feed(bytes);
///     while (decoder.next()) use(decoder.part());
///     if (decoder.failure()) ...
class TreeDecoder {
 public:
  TreeDecoder();

  /// Adds bytes, which must live until next() has returned false. Call it only after that.
  void feed(BytesView bytes) { boxes_.feed(bytes); }

  /// Moves to the next part. False if more bytes are needed, or the stream is invalid.
  bool next();

  /// The part that next() moved to; valid until the next call of next() or feed().
  [[nodiscard]] const TreePart& part() const noexcept { return part_; }

  /// Why the stream is invalid; null if it is not, so far.
  [[nodiscard]] const Failure* failure() const noexcept { return failure_ ? &*failure_ : nullptr; }

  /// Fails if the stream is invalid or has not come to its end.
  [[nodiscard]] Result<void> finish() const;

 private:
  Result<void> read(const BoxView& view);
  Result<void> check_entry();
  Result<void> check();

  BoxDecoder boxes_;
  TreePart part_;
  std::size_t depth_ = 0;
  bool has_begun_ = false;
  bool is_in_file_ = false;  // its content goes on
  std::optional<Failure> failure_;
};

}  // namespace remsh::operations
