#include "fleet_orders.hpp"

#include "fleet_parts.hpp"
#include "machine.hpp"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>

extern char** environ;

namespace remsh::bench {

namespace {

constexpr const char* part_mark = "--as-part-of-fleet";
constexpr int longest_silence_ms = 60'000;
constexpr double longest_end_seconds = 10;

struct OrderSockets {
  UniqueFd ours;
  UniqueFd theirs;
};
OrderSockets make_order_sockets() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

pid_t spawn_part(const std::vector<std::string>& args, int orders) {
  std::vector<char*> argv{const_cast<char*>("bench"), const_cast<char*>(part_mark)};
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, orders, STDIN_FILENO);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    errno = error;
    fail("posix_spawn");
  }
  return pid;
}

}  // namespace

void FleetOrders::send(const std::string& text) const {
  if (::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) fail("send");
}

std::optional<std::string> FleetOrders::receive() const {
  std::array<char, 256> text;
  ssize_t size = -1;
  do {
    size = ::recv(socket_.get(), text.data(), text.size(), 0);
  } while (size < 0 && errno == EINTR);
  if (size <= 0) return std::nullopt;
  return std::string(text.data(), static_cast<std::size_t>(size));
}

FleetPart::FleetPart(const std::vector<std::string>& args) : orders_(UniqueFd()) {
  OrderSockets sockets = make_order_sockets();
  orders_ = FleetOrders(std::move(sockets.ours));
  pid_ = spawn_part(args, sockets.theirs.get());
}

FleetPart::~FleetPart() {
  if (pid_ >= 0) end_child(pid_);
}

void FleetPart::end() {
  orders_ = FleetOrders(UniqueFd());
  for (const double deadline = now() + longest_end_seconds; pid_ >= 0 && now() < deadline;) {
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

std::string FleetPart::hear() const {
  pollfd ready{orders_.descriptor(), POLLIN, 0};
  while (true) {
    const int result = ::poll(&ready, 1, longest_silence_ms);
    if (result > 0) break;
    if (result == 0) throw std::runtime_error("a part of the fleet has not done its work within a minute");
    if (errno != EINTR) fail("poll");
  }
  const auto answer = orders_.receive();
  if (!answer) throw std::runtime_error("a part of the fleet has ended; it may have said why above");
  return *answer;
}

std::optional<int> run_as_part_of_fleet(int argc, char** argv) {
  if (argc < 2 || std::string_view(argv[1]) != part_mark) return std::nullopt;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  raise_descriptor_limit();
  const FleetOrders orders{UniqueFd(STDIN_FILENO)};
  run_fleet_part(std::vector<std::string>(argv + 2, argv + argc), orders);
  return 0;
}

}  // namespace remsh::bench
