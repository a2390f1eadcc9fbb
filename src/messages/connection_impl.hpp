// What a MessageConnection and its started works share.
#pragma once

#include "messages/io_thread.hpp"
#include "messages/message_stream.hpp"

#include <remsh/messages/message_connection.hpp>

#include <memory>
#include <mutex>
#include <utility>

namespace remsh {

namespace messages {

/// A stream, and the io thread if anything needed it. Released by threads of the host program only, so that the last
/// owner of the io thread is never that thread itself. Thread-safe.
class ConnectionImpl {
 public:
  explicit ConnectionImpl(std::shared_ptr<MessageStream> its_stream, std::shared_ptr<Loop> its_loop = nullptr)
      : loop_(std::move(its_loop)), stream_(std::move(its_stream)) {}

  [[nodiscard]] const std::shared_ptr<MessageStream>& stream() const noexcept { return stream_; }

  std::shared_ptr<Loop> loop() {
    const std::lock_guard lock(mutex_);
    if (!loop_) loop_ = io_thread();
    return loop_;
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<Loop> loop_;  // outlives the stream
  const std::shared_ptr<MessageStream> stream_;
};

}  // namespace messages

struct MessageConnection::Impl : messages::ConnectionImpl {
  using ConnectionImpl::ConnectionImpl;
};

}  // namespace remsh
