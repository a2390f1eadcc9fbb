#include "limits.hpp"

#include "bare_socket.hpp"
#include "machine.hpp"
#include "stat_bytes.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
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
  enum class Work : std::uint8_t { ping_pong, stat, stats, spawn, receive, supply, relay, sink };
  Work work = Work::ping_pong;
  std::size_t request = 0;
  std::size_t answer = 0;
  std::uint64_t bytes = 0;
  char path[512] = "";
};

namespace {

constexpr std::size_t file_buffer = 256 * 1024;
constexpr std::size_t pipe_buffer = 64 * 1024;

BareLine open_source(const char* path) {
  UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
  if (!file) fail(path);
  return BareLine(std::move(file));
}

BareLine open_destination(const char* path) {
  UniqueFd file(::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) fail(path);
  return BareLine(std::move(file));
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

// What the child does.

void answer_requests(BareLine& line, std::size_t request_size, std::size_t answer_size, void (*act)()) {
  std::vector<char> request(request_size);
  const std::vector<char> answer(answer_size, 'a');
  while (line.read_all(request.data(), request.size())) {
    if (act != nullptr) act();
    line.write_all(answer.data(), answer.size());
  }
}

void look() {
  struct stat info {};
  if (::stat(stat_path, &info) != 0) fail(stat_path);
}

void answer_stats(BareLine& line, std::size_t request_size, std::size_t answer_size) {
  std::vector<char> requests(std::size_t{1} << 16U);
  std::string answers;
  std::size_t have = 0;
  while (const std::size_t got = line.read_some(requests.data() + have, requests.size() - have)) {
    have += got;
    const std::size_t whole = have / request_size;
    for (std::size_t i = 0; i < whole; ++i) look();
    have -= whole * request_size;
    std::memmove(requests.data(), requests.data() + whole * request_size, have);
    answers.resize(whole * answer_size, 'a');
    line.write_all(answers.data(), answers.size());
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
      if (end.fd < 0 || end.revents == 0 || ::read(end.fd, buffer, sizeof buffer) > 0) continue;
      end.fd = -1;
      --open;
    }
  }
  await_end_of(pid);
}

void relay_head(BareLine& line, std::uint64_t bytes) {
  Pipe out = make_pipe();
  const pid_t pid = spawn({"head", "-c", std::to_string(bytes).c_str(), "/dev/zero"}, out.in.get(), -1);
  out.in.reset();
  BareLine output(std::move(out.out));
  pump(output, line, pipe_buffer);
  await_end_of(pid);
}

}  // namespace

void LimitPeer::do_as_told(BareLine& line, const Order& order) {
  switch (order.work) {
    case Order::Work::ping_pong: return answer_requests(line, order.request, order.answer, nullptr);
    case Order::Work::stat: return answer_requests(line, order.request, order.answer, look);
    case Order::Work::stats: return answer_stats(line, order.request, order.answer);
    case Order::Work::spawn: return answer_requests(line, order.request, order.answer, run_true);
    case Order::Work::receive: {
      BareLine file = open_destination(order.path);
      pump(line, file, file_buffer);
      return line.write_all("k", 1);
    }
    case Order::Work::supply: {
      BareLine file = open_source(order.path);
      pump(file, line, file_buffer);
      return line.end();
    }
    case Order::Work::sink: {
      std::vector<char> piece(order.request);
      for (std::uint64_t left = order.bytes; left > 0; left -= piece.size()) {
        if (!line.read_all(piece.data(), piece.size())) return;
      }
      return line.write_all("k", 1);
    }
    case Order::Work::relay: relay_head(line, order.bytes); return line.end();
  }
}

LimitPeer::LimitPeer(Kind kind) : kind_(kind) {
  const int family = kind == Kind::unix_socket ? AF_UNIX : AF_INET;
  if (family == AF_INET) {
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

  pid_ = fork_child();
  if (pid_ > 0) return;
  try {
    for (;;) {
      UniqueFd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket) fail("accept");
      if (family == AF_INET) set_no_delay(socket.get());
      BareLine line = kind == Kind::tls ? BareLine::with_tls(std::move(socket), BareLine::Side::server)
                                        : BareLine(std::move(socket));
      Order order;
      if (!line.read_all(reinterpret_cast<char*>(&order), sizeof order)) continue;
      do_as_told(line, order);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench: the other side of a limit: %s\n", error.what());
  }
  ::_exit(1);
}

LimitPeer::~LimitPeer() { end_child(pid_); }

std::uint16_t LimitPeer::port() const noexcept {
  return ntohs(reinterpret_cast<const sockaddr_in&>(address_).sin_port);
}

BareLine LimitPeer::connect() const {
  UniqueFd socket(::socket(address_.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address_), address_size_) != 0) {
    fail("connect");
  }
  if (address_.ss_family == AF_INET) set_no_delay(socket.get());
  if (kind_ == Kind::tls) return BareLine::with_tls(std::move(socket), BareLine::Side::client);
  return BareLine(std::move(socket));
}

BareLine LimitPeer::give(const Order& order) const {
  BareLine line = connect();
  line.write_all(reinterpret_cast<const char*>(&order), sizeof order);
  return line;
}

LimitPeer::PingPong::PingPong(BareLine line, Bytes request, std::size_t answer)
    : line_(std::move(line)), request_(std::move(request)), answer_(answer, '\0') {}

void LimitPeer::PingPong::once() {
  line_.write_all(request_.data(), request_.size());
  if (!line_.read_all(answer_.data(), answer_.size())) {
    throw std::runtime_error("the other side of a limit is gone");
  }
}

LimitPeer::PingPong LimitPeer::start_ping_pong(const Bytes& request, std::size_t answer) {
  return {give({.work = Order::Work::ping_pong, .request = request.size(), .answer = answer}), request, answer};
}

LimitPeer::PingPong LimitPeer::start_stat(const Bytes& request, std::size_t answer) {
  return {give({.work = Order::Work::stat, .request = request.size(), .answer = answer}), request, answer};
}

BareLine LimitPeer::start_stats(std::size_t request, std::size_t answer) {
  return give({.work = Order::Work::stats, .request = request, .answer = answer});
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

LimitPeer::Transfer::Transfer(BareLine line) : line_(std::move(line)) {}

LimitPeer::Transfer LimitPeer::start_transfer() { return Transfer(connect()); }

LimitPeer::Transfer LimitPeer::start_transfer_at(std::uint16_t port) {
  return Transfer(BareLine(connect_to_loopback(port)));
}

void LimitPeer::Transfer::send(const std::string& from, const std::string& to) {
  Order order{.work = Order::Work::receive};
  put(order.path, to);
  line_.write_all(reinterpret_cast<const char*>(&order), sizeof order);
  BareLine file = open_source(from.c_str());
  pump(file, line_, file_buffer);
  line_.end();
  char done = 0;
  if (!line_.read_all(&done, 1)) throw std::runtime_error("the other side of a limit is gone");
}

void LimitPeer::Transfer::fetch(const std::string& from, const std::string& to) {
  Order order{.work = Order::Work::supply};
  put(order.path, from);
  line_.write_all(reinterpret_cast<const char*>(&order), sizeof order);
  BareLine file = open_destination(to.c_str());
  pump(line_, file, file_buffer);
}

void LimitPeer::sink(std::uint64_t bytes, std::size_t piece) {
  bytes -= bytes % piece;
  BareLine line = give({.work = Order::Work::sink, .request = piece, .bytes = bytes});
  const Bytes data(piece, 'x');
  for (std::uint64_t left = bytes; left > 0; left -= piece) line.write_all(data.data(), data.size());
  char done = 0;
  if (!line.read_all(&done, 1)) throw std::runtime_error("the other side of a limit is gone");
}

std::uint64_t LimitPeer::relay(std::uint64_t bytes) {
  BareLine line = give({.work = Order::Work::relay, .bytes = bytes});
  std::vector<char> buffer(file_buffer);
  std::uint64_t total = 0;
  while (const std::size_t got = line.read_some(buffer.data(), buffer.size())) total += got;
  return total;
}

}  // namespace remsh::bench
