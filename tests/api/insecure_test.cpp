// Plain TCP beyond the loopback: only where master and slave both say that it may be so.
#include "support/child_process.hpp"
#include "support/has.hpp"
#include "support/slaves.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <cstdio>
#include <cstring>

namespace remsh::test {

namespace {

/// Gives this process a network of its own, with one address that is not of the loopback; empty where that cannot be.
std::string own_network() {
#if defined(__linux__)
  if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return {};
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq up{};
  std::strcpy(up.ifr_name, "lo");
  up.ifr_flags = IFF_UP | IFF_RUNNING;
  ifreq address{};
  std::strcpy(address.ifr_name, "lo:1");
  auto* const in = reinterpret_cast<sockaddr_in*>(&address.ifr_addr);
  in->sin_family = AF_INET;
  ::inet_pton(AF_INET, "192.0.2.1", &in->sin_addr);
  const bool is_up = ::ioctl(socket, SIOCSIFFLAGS, &up) == 0 && ::ioctl(socket, SIOCSIFADDR, &address) == 0;
  ::close(socket);
  return is_up ? "192.0.2.1" : "";
#else
  return {};
#endif
}

/// One that this host has already; empty where there is none.
std::string host_address() {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return {};
  std::string found;
  for (const ifaddrs* one = all; one != nullptr && found.empty(); one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET || (one->ifa_flags & IFF_UP) == 0) continue;
    const auto& in = reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr;
    char text[INET_ADDRSTRLEN] = "";
    if (ntohl(in.s_addr) >> 24U != 127) found = ::inet_ntop(AF_INET, &in, text, sizeof text);
  }
  ::freeifaddrs(all);
  return found;
}

/// Runs in a process of its own; gives the number of what went wrong.
int try_beyond_the_loopback() {
  std::string host = own_network();
  if (host.empty()) host = host_address();
  if (host.empty()) return skipped;
  const TempDir dir;
  const Log log;
  SlaveCollection slaves;
  KeyRing keys;
  const Secret key = make_key();
  const auto registered = keys.register_slave("w1", key);
  TcpListenerOptions options{.slave_collection = slaves, .address = "tcp:" + host + ":0", .keys = keys};
  options.log = log.hook();
  const auto refused = thrown_by<Error>([&] { const TcpSlaveListener listener(options); });
  if (!refused || refused->code() != Errc::invalid_argument || !has(refused->message(), "`insecure`")) return 1;
  options.insecure = true;
  TcpSlaveListener listener(options);
  listener.start();
  if (!has(log.text(), "is plain TCP, as `insecure` allows")) return 2;

  const Log slaves_log;
  SlaveOptions slave_options{.name = "w1", .basedir = dir / "w1", .key = key};
  slave_options.log = slaves_log.hook();
  SlaveServer careful(slave_options);
  const auto careful_says = thrown_by<Error>([&] { careful.run_once(listener.address()); });
  if (!careful_says || !has(careful_says->message(), "--insecure")) return 3;
  if (slaves.size() != 0 || has(slaves_log.text(), "plain TCP beyond this host")) return 4;

  slave_options.insecure = true;
  SlaveThread thread(slave_options, [&](SlaveServer& server) { return server.run_once(listener.address()); });
  const auto slave = slaves.get_slave(ample);
  if (!slave || slave->info().key_id.empty()) return 5;
  if (slave->execute({"echo", "hello"}).out != "hello\n") return 6;
  if (!has(slaves_log.text(), "plain TCP beyond this host, as 'insecure' allows")) return 7;
  return 0;
}

}  // namespace

TEST_CASE("plain TCP beyond the loopback is there where both sides say so, and both logs say it") {
  const int code = run_in_child([] {
    try {
      return try_beyond_the_loopback();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      return 99;
    }
  });
  CHECK(unless_skipped(code) == 0);
}

}  // namespace remsh::test
