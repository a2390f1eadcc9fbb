// StopAtEof: the end of standard input stops the server of a slave program.
#pragma once

#include "os/unique_fd.hpp"

#include <remsh/slave/slave_server.hpp>

#include <thread>

namespace remsh {

/// Stops the server at the end of standard input. The input itself is dropped.
class StopAtEof {
 public:
  StopAtEof(SlaveServer& server, UniqueFd in);
  StopAtEof(const StopAtEof&) = delete;
  StopAtEof& operator=(const StopAtEof&) = delete;
  ~StopAtEof();

 private:
  [[nodiscard]] bool wait() const;

  const UniqueFd in_;
  UniqueFd wake_;
  UniqueFd waker_;
  std::thread thread_;
};

}  // namespace remsh
