#include "limits.hpp"

#include "machine.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <stdexcept>
#include <utility>
#include <vector>

extern char** environ;

namespace remsh::bench {

/// The first bytes of each connection.
struct LimitPeer::Order {
  enum class Work : std::uint8_t { ping_pong, spawn, receive, supply, relay };
  Work work = Work::ping_pong;
  std::size_t request = 0;
  std::size_t answer = 0;
  std::uint64_t bytes = 0;
  char path[512] = "";
};

namespace {

constexpr std::size_t file_buffer = 256 * 1024;
constexpr std::size_t pipe_buffer = 64 * 1024;

void write_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(fd, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write");
    data += written;
    size -= static_cast<std::size_t>(written);
  }
}

std::size_t read_some(int fd, char* data, std::size_t size) {
  for (;;) {
    const ssize_t got = ::read(fd, data, size);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) fail("read");
  }
}

/// False where the stream ends first.
bool read_all(int fd, char* data, std::size_t size) {
  while (size > 0) {
    const std::size_t got = read_some(fd, data, size);
    if (got == 0) return false;
    data += got;
    size -= got;
  }
  return true;
}

/// Everything, to the end of `from`; gives how many bytes.
std::uint64_t pump(int from, int to, std::size_t buffer_size) {
  std::vector<char> buffer(buffer_size);
  std::uint64_t total = 0;
  while (const std::size_t got = read_some(from, buffer.data(), buffer.size())) {
    write_all(to, buffer.data(), got);
    total += got;
  }
  return total;
}

UniqueFd open_source(const char* path) {
  UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
  if (!file) fail(path);
  return file;
}

UniqueFd open_destination(const char* path) {
  UniqueFd file(::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) fail(path);
  return file;
}

void set_no_delay(int socket) {
  const int one = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

struct Pipe {
  UniqueFd out;
  UniqueFd in;
};
Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("pipe");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// Starts a program with nothing to read; `err` may be -1, for our own.
pid_t spawn(std::initializer_list<const char*> args, int out, int err) {
  std::vector<char*> argv;
  for (const char* arg : args) argv.push_back(const_cast<char*>(arg));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  if (err >= 0) posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    errno = error;
    fail(argv[0]);
  }
  return pid;
}

void reap(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// What the child does.

void answer_requests(int socket, std::size_t request_size, std::size_t answer_size, void (*act)()) {
  std::vector<char> request(request_size);
  const std::vector<char> answer(answer_size, 'a');
  while (read_all(socket, request.data(), request.size())) {
    if (act != nullptr) act();
    write_all(socket, answer.data(), answer.size());
  }
}

void run_true() {
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  const pid_t pid = spawn({"/bin/true"}, out.in.get(), err.in.get());
  out.in.reset();
  err.in.reset();
  pollfd ends[2] = {{out.out.get(), POLLIN, 0}, {err.out.get(), POLLIN, 0}};
  char buffer[4096];
  for (int open = 2; open > 0;) {
    if (::poll(ends, 2, -1) < 0 && errno != EINTR) fail("poll");
    for (pollfd& end : ends) {
      if (end.fd < 0 || end.revents == 0 || read_some(end.fd, buffer, sizeof buffer) > 0) continue;
      end.fd = -1;
      --open;
    }
  }
  reap(pid);
}

void relay_head(int socket, std::uint64_t bytes) {
  Pipe out = make_pipe();
  const pid_t pid = spawn({"head", "-c", std::to_string(bytes).c_str(), "/dev/zero"}, out.in.get(), -1);
  out.in.reset();
  pump(out.out.get(), socket, pipe_buffer);
  reap(pid);
}

}  // namespace

LimitPeer::LimitPeer(Kind kind) {
  const int family = kind == Kind::tcp ? AF_INET : AF_UNIX;
  if (kind == Kind::tcp) {
    auto& address = reinterpret_cast<sockaddr_in&>(address_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address_size_ = sizeof address;
  } else {
    address_size_ = sizeof(sa_family_t);  // the system picks an abstract name
  }
  address_.ss_family = static_cast<sa_family_t>(family);
  auto* address = reinterpret_cast<sockaddr*>(&address_);
  const UniqueFd listener(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener || ::bind(listener.get(), address, address_size_) != 0 || ::listen(listener.get(), 8) != 0) {
    fail("a listening socket");
  }
  address_size_ = sizeof address_;
  if (::getsockname(listener.get(), address, &address_size_) != 0) fail("getsockname");

  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) fail("fork");
  if (pid_ > 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  try {
    for (;;) {
      const UniqueFd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket) fail("accept");
      if (kind == Kind::tcp) set_no_delay(socket.get());
      Order order;
      if (!read_all(socket.get(), reinterpret_cast<char*>(&order), sizeof order)) continue;
      switch (order.work) {
        case Order::Work::ping_pong: answer_requests(socket.get(), order.request, order.answer, nullptr); break;
        case Order::Work::spawn: answer_requests(socket.get(), order.request, order.answer, run_true); break;
        case Order::Work::receive:
          pump(socket.get(), open_destination(order.path).get(), file_buffer);
          write_all(socket.get(), "k", 1);
          break;
        case Order::Work::supply: pump(open_source(order.path).get(), socket.get(), file_buffer); break;
        case Order::Work::relay: relay_head(socket.get(), order.bytes); break;
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench: the other side of a limit: %s\n", error.what());
  }
  ::_exit(1);
}

LimitPeer::~LimitPeer() {
  ::kill(pid_, SIGKILL);
  reap(pid_);
}

UniqueFd LimitPeer::give(const Order& order) const {
  UniqueFd socket(::socket(address_.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address_), address_size_) != 0) {
    fail("connect");
  }
  if (address_.ss_family == AF_INET) set_no_delay(socket.get());
  write_all(socket.get(), reinterpret_cast<const char*>(&order), sizeof order);
  return socket;
}

LimitPeer::PingPong::PingPong(UniqueFd fd, Bytes request, std::size_t answer)
    : fd_(std::move(fd)), request_(std::move(request)), answer_(answer, '\0') {}

void LimitPeer::PingPong::once() {
  write_all(fd_.get(), request_.data(), request_.size());
  if (!read_all(fd_.get(), answer_.data(), answer_.size()))
    throw std::runtime_error("the other side of a limit is gone");
}

LimitPeer::PingPong LimitPeer::start_ping_pong(const Bytes& request, std::size_t answer) {
  return {give({.work = Order::Work::ping_pong, .request = request.size(), .answer = answer}), request, answer};
}

LimitPeer::PingPong LimitPeer::start_spawner(const Bytes& request, std::size_t answer) {
  return {give({.work = Order::Work::spawn, .request = request.size(), .answer = answer}), request, answer};
}

namespace {

template <std::size_t size>
void put(char (&into)[size], const std::string& path) {
  if (path.size() >= size) throw std::length_error("a path is too long: " + path);
  std::memcpy(into, path.c_str(), path.size() + 1);
}

}  // namespace

void LimitPeer::send(const std::string& from, const std::string& to) {
  Order order{.work = Order::Work::receive};
  put(order.path, to);
  const UniqueFd socket = give(order);
  pump(open_source(from.c_str()).get(), socket.get(), file_buffer);
  ::shutdown(socket.get(), SHUT_WR);
  char done = 0;
  if (!read_all(socket.get(), &done, 1)) throw std::runtime_error("the other side of a limit is gone");
}

void LimitPeer::fetch(const std::string& from, const std::string& to) {
  Order order{.work = Order::Work::supply};
  put(order.path, from);
  const UniqueFd socket = give(order);
  pump(socket.get(), open_destination(to.c_str()).get(), file_buffer);
}

std::uint64_t LimitPeer::relay(std::uint64_t bytes) {
  const UniqueFd socket = give({.work = Order::Work::relay, .bytes = bytes});
  std::vector<char> buffer(file_buffer);
  std::uint64_t total = 0;
  while (const std::size_t got = read_some(socket.get(), buffer.data(), buffer.size())) total += got;
  return total;
}

}  // namespace remsh::bench
