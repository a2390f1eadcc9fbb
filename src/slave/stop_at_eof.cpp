#include "slave/stop_at_eof.hpp"

#include "os/threads.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace remsh {

StopAtEof::StopAtEof(SlaveServer& server, UniqueFd in) : in_(std::move(in)) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  wake_.reset(ends[0]);
  waker_.reset(ends[1]);
  thread_ = start_thread("remsh-stdin", [this, &server] {
    if (wait()) server.stop();
  });
}

StopAtEof::~StopAtEof() {
  waker_.reset();
  thread_.join();
}

/// True at the end of the input; false if this object is destroyed first.
bool StopAtEof::wait() const {
  for (;;) {
    std::array<pollfd, 2> ready{{{in_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
    if (::poll(ready.data(), ready.size(), -1) < 0) continue;  // interrupted
    if (ready[1].revents != 0) return false;
    std::array<char, 1024> dropped{};
    const ssize_t count = ::read(in_.get(), dropped.data(), dropped.size());
    if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) return true;
  }
}

}  // namespace remsh
