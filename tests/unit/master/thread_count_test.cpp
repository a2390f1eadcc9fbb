// A master with many slaves has no more threads than one with a single slave.
#include "support/ample.hpp"
#include "support/played_slave.hpp"
#include "support/registered_socket.hpp"
#include "support/skip.hpp"

#include <remsh/master/slave_collection.hpp>
#include <remsh/master/tcp_slave_listener.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace thread_count_test {

/// Raises the limit on descriptors for its life, as far as this process may.
class MoreDescriptors {
 public:
  explicit MoreDescriptors(rlim_t wanted) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit raised = before_;
    raised.rlim_cur = std::max(before_.rlim_cur, std::min(wanted, before_.rlim_max));
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit_ = raised.rlim_cur;
  }
  MoreDescriptors(const MoreDescriptors&) = delete;
  MoreDescriptors& operator=(const MoreDescriptors&) = delete;
  ~MoreDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

  [[nodiscard]] rlim_t limit() const noexcept { return limit_; }

 private:
  rlimit before_{};
  rlim_t limit_ = 0;
};

/// Of this process; 0 if the system does not say.
std::size_t threads_now() {
  std::error_code error;
  std::size_t count = 0;
  for (std::filesystem::directory_iterator one("/proc/self/task", error), last; !error && one != last;
       one.increment(error)) {
    ++count;
  }
  return count;
}

/// Closed before the limit is lowered again, and after the master.
struct Sockets {
  ~Sockets() {
    for (const int one : all) ::close(one);
  }
  std::vector<int> all;
};

TEST_CASE("a thousand slaves cost their master no thread") {
  if (threads_now() == 0) return remsh::test::skip("the system does not say how many threads there are");
  const MoreDescriptors more(2300);
  const std::size_t count = more.limit() >= 2300 ? 1000 : 300;  // each has two sockets in this process
  Sockets sockets;
  remsh::SlaveCollection slaves;
  remsh::TcpSlaveListener listener({.slave_collection = slaves, .keyless = true});
  listener.start();
  std::size_t with_one = 0;
  for (std::size_t i = 0; i < count; ++i) {
    sockets.all.push_back(remsh::test::connect_to_port(listener.port()));
    REQUIRE(sockets.all.back() >= 0);
    remsh::test::register_on(sockets.all.back(), "w" + std::to_string(i));
    if (i > 0) continue;
    REQUIRE(slaves.get_slave(remsh::test::ample));
    with_one = threads_now();
  }
  REQUIRE(slaves.snapshot().size() >= count - 1);  // the last one may be on its way
  MESSAGE("threads with one slave: ", with_one, ", with ", count, ": ", threads_now());
  CHECK(threads_now() <= with_one);
}

}  // namespace thread_count_test
