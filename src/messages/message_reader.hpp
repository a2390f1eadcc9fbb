// MessageReader: finds the messages in a stream of bytes.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace remsh::messages {

/// The longest message whose size takes four bytes in front of it.
inline constexpr std::uint64_t most_in_short_header = 0x7fffffff;

/// What is sent in front of a message: its size.
std::string header_of(std::uint64_t size);

/// Finds the messages in a stream of bytes; no I/O. One thread at a time.
///
///     while (reader.next(most) == MessageReader::Next::bytes) {
///       reader.received(... read into reader.room() ...);
///     }
///     if (reader.next(most) == MessageReader::Next::message) use(reader.take());
///
/// Memory is allocated as the bytes of a message arrive, not as its size announces.
class MessageReader {
 public:
  enum class Next : std::uint8_t {
    bytes,      ///< more are needed
    message,    ///< one is there: take() it
    too_large,  ///< the next message exceeds the limit; its bytes were not read
    broken,     ///< the size of the next message makes no sense; final
  };

  /// Advances as far as possible. `most` is the limit for the size of the next message.
  Next next(std::uint64_t most);

  /// Where the next bytes of the stream belong, after next() returned `bytes`. Valid until another function is called.
  std::span<char> room();

  /// This number of bytes was read into room().
  void received(std::size_t count) noexcept;

  /// Puts the next message, or what is missing of it, directly into this memory, if all of the message fits.
  void lend(std::span<char> target);

  /// Stops using the lent memory: copies the part of a message that it has.
  void take_back();

  /// The size of the next message; 0 if it is not known yet.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  /// After `message`: true if it is in the memory that was lent.
  [[nodiscard]] bool is_in_lent() const noexcept { return lent_.data() != nullptr; }

  /// After `message`: takes it. If it is in the memory that was lent, the result is empty.
  Bytes take();

  /// True if the stream may end here: no part of a message has come.
  [[nodiscard]] bool is_between_messages() const noexcept { return !has_size_ && begin_ == end_; }

 private:
  bool read_size();
  void move_from_buffer();
  [[nodiscard]] char* place() noexcept { return is_in_lent() ? lent_.data() : body_.data(); }

  std::unique_ptr<char[]> buffer_;  // bytes that are read before it is known to which message they belong
  std::size_t begin_ = 0;           // the part of it that is not used yet
  std::size_t end_ = 0;
  bool has_size_ = false;
  bool broken_ = false;
  std::uint64_t size_ = 0;
  std::size_t filled_ = 0;     // bytes of the message that are at its place:
  std::span<char> offered_{};  // memory for the next message, if it fits,
  std::span<char> lent_{};     // and the part of it that the message has; else
  Bytes body_;                 // here
};

}  // namespace remsh::messages
