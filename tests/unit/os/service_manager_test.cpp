// What a service manager hears, and what remains in the environment.
#include "os/service_manager.hpp"

#include "os/unique_fd.hpp"
#include "support/child_process.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

namespace remsh::test {

namespace {

/// A socket that receives datagrams under a name.
UniqueFd listen_for_datagrams(const std::string& name) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), name.size());
  if (name.front() == '@') address.sun_path[0] = '\0';
  const std::size_t size = offsetof(sockaddr_un, sun_path) + name.size() + (name.front() == '@' ? 0 : 1);
  REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)) == 0);
  return socket;
}

std::string received_by(const UniqueFd& socket) {
  std::array<char, 1024> buffer{};
  const ssize_t count = ::recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  return count < 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(count));
}

}  // namespace

TEST_CASE("a service manager hears what is said, under a path and under an abstract name") {
  const TempDir dir;
  for (const std::string& name : {dir / "notify", "@" + (dir / "notify")}) {
    CAPTURE(name);
    const UniqueFd socket = listen_for_datagrams(name);
    const ServiceManager manager(name, std::nullopt);
    CHECK(manager.is_there());
    CHECK(manager.notify("READY=1\nSTATUS=waits"));
    CHECK(received_by(socket) == "READY=1\nSTATUS=waits");
  }
}

TEST_CASE("without a service manager, or with one that is gone, nothing happens") {
  const TempDir dir;
  CHECK_FALSE(ServiceManager().is_there());
  CHECK_FALSE(ServiceManager().notify("READY=1"));
  for (const std::string& name :
       {dir / "none", std::string("relative"), "/" + std::string(200, 'x'), std::string("@")}) {
    CAPTURE(name);
    CHECK_FALSE(ServiceManager(name, std::nullopt).notify("READY=1"));
  }
}

TEST_CASE("the environment names the manager and its watchdog, and no command inherits that") {
  CHECK(run_in_child([] {
          using namespace std::chrono_literals;
          const auto set = [](const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); };
          set("NOTIFY_SOCKET", "/run/notify");
          set("WATCHDOG_USEC", "30000000");
          set("WATCHDOG_PID", std::to_string(::getpid()));
          const ServiceManager manager = ServiceManager::from_environment();
          if (!manager.is_there() || manager.watchdog() != 30s) return 1;
          for (const char* const name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
            if (std::getenv(name) != nullptr) return 2;
          }
          set("NOTIFY_SOCKET", "/run/notify");
          set("WATCHDOG_USEC", "30000000");
          set("WATCHDOG_PID", "1");  // of another process
          if (ServiceManager::from_environment().watchdog()) return 3;
          set("WATCHDOG_USEC", "30000000");
          if (ServiceManager::from_environment().watchdog()) return 4;  // nobody to tell
          for (const char* const wrong : {"0", "-1", "x", "99999999999999999999"}) {
            set("NOTIFY_SOCKET", "/run/notify");
            set("WATCHDOG_USEC", wrong);
            if (ServiceManager::from_environment().watchdog()) return 5;
          }
          return 0;
        }) == 0);
}

}  // namespace remsh::test
