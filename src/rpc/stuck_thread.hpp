// StuckThread: a thread that did not return from an operation when its peer ended.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

namespace remsh::rpc {

/// A thread that is still inside an operation, for example on a disk that hangs, although its peer has ended. It keeps
/// alive what it uses of the peer, and returns as soon as the operation does.
struct StuckThread {
  std::thread thread;
  std::string command;  ///< the operation
  std::shared_ptr<const std::atomic<bool>> has_returned;
};

}  // namespace remsh::rpc
