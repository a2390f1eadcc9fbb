// ByteLink: the connection of a back end that the io thread reads, with bytes that wait to be written.
#pragma once

#include "base/result.hpp"
#include "transport/loop.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/transport/transport.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

namespace remsh {

/// The connection of a back end: any thread writes as much as fits without waiting, the io thread writes the rest and
/// reads. All functions are called under the owner's mutex, except read().
class ByteLink {
 public:
  explicit ByteLink(std::shared_ptr<Loop> loop) : loop_(std::move(loop)) {}
  ByteLink(const ByteLink&) = delete;
  ByteLink& operator=(const ByteLink&) = delete;
  ~ByteLink() { close(); }

  /// `owner` gets the events.
  void open(std::unique_ptr<Transport> transport, std::weak_ptr<Watched> owner);
  [[nodiscard]] bool is_open() const noexcept { return transport_ != nullptr; }

  /// Whether to read, from now on.
  void want_bytes(bool wanted);

  void write(BytesView bytes);
  [[nodiscard]] std::size_t unwritten() const noexcept { return out_.size() - written_; }

  /// Writes the next byte that waits, or `other` if none does, if it fits. Nothing may be written after it.
  void write_last_byte(char other);

  /// For Watched::on_ready(): whether the event is of the last arming.
  [[nodiscard]] bool begin_event(std::uint32_t number) noexcept;
  /// Reads what there is, without waiting. Only in on_ready(), without the mutex.
  IoResult read(std::span<char> buffer) { return transport_->read_some(buffer, Duration::zero()); }
  /// Writes the rest, as far as it fits, and arms again.
  void end_event();

  /// Why nothing can be written any more. What the other side sent before can still be read.
  [[nodiscard]] const std::optional<Failure>& write_failed() const noexcept { return write_failed_; }

  /// Ends both directions: a read then finds the end.
  void shutdown() noexcept {
    if (transport_) transport_->shutdown();
  }

  /// On the loop, or when no event can come. Returns the transport, to be destroyed without the mutex.
  std::unique_ptr<Transport> close() noexcept;

 private:
  void flush();
  void arm();

  const std::shared_ptr<Loop> loop_;
  std::unique_ptr<Transport> transport_;
  std::uint32_t slot_ = 0;
  std::uint32_t number_ = 0;  // of the last arming
  Ready armed_ = Ready::none;
  bool wants_bytes_ = true;
  Bytes out_;
  std::size_t written_ = 0;  // bytes of out_
  std::optional<Failure> write_failed_;
};

}  // namespace remsh
