#include "message_peer.hpp"

#include "machine.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <span>
#include <stdexcept>

namespace remsh::bench {

namespace {

constexpr std::chrono::seconds message_patience{60};

/// A message of this size says how many large ones follow.
using Count = std::uint64_t;

void serve(MessageConnection& connection) {
  std::vector<char> buffer(MessagePeer::large_message);
  for (;;) {
    const std::size_t size = connection.recv_bytes_into(std::span(buffer));
    if (size != sizeof(Count)) {
      connection.send_bytes({buffer.data(), size});
      continue;
    }
    Count count = 0;
    std::memcpy(&count, buffer.data(), sizeof count);
    for (; count > 0; --count) connection.recv_bytes_into(std::span(buffer));
    connection.send_bytes("k");
  }
}

constexpr const char* python_script = R"(
import os, sys, time
from multiprocessing.connection import Client, Listener

family, cpus, peer_cpus, seconds, size = sys.argv[1:6]
listener = Listener(None if family == 'AF_UNIX' else ('localhost', 0), family)
large = b'x' * (1 << 20)
if os.fork() == 0:
    try:
        os.sched_setaffinity(0, eval(peer_cpus))
        connection = listener.accept()
        while True:
            message = connection.recv_bytes()
            if len(message) == 8:
                for i in range(int.from_bytes(message, 'big')):
                    connection.recv_bytes()
                message = b'k'
            connection.send_bytes(message)
    finally:
        os._exit(0)
os.sched_setaffinity(0, eval(cpus))
connection = Client(listener.address)
taken = []
end = time.perf_counter() + float(seconds)
while time.perf_counter() < end:
    before = time.perf_counter()
    connection.send_bytes(b'x' * 100)
    connection.recv_bytes()
    taken.append(time.perf_counter() - before)
count = max(1, int(size) >> 20)
before = time.perf_counter()
connection.send_bytes(count.to_bytes(8, 'big'))
for i in range(count):
    connection.send_bytes(large)
connection.recv_bytes()
taken.sort()
print(taken[len(taken) // 2] * 1e6, count / (time.perf_counter() - before))
)";

std::string set_of(const std::vector<std::size_t>& cpus) {
  std::string text = "{";
  for (const std::size_t cpu : cpus) text += std::to_string(cpu) + ",";
  return text + "}";
}

}  // namespace

MessagePeer::MessagePeer() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("pipe");
  pid_ = fork_child();
  if (pid_ > 0) {
    ::close(ends[0]);
    addresses_ = ends[1];
    return;
  }
  try {
    std::array<char, 256> address{};
    const ssize_t size = ::read(ends[0], address.data(), address.size());
    if (size <= 0) ::_exit(0);
    Client connection(std::string(address.data(), static_cast<std::size_t>(size)));
    serve(connection);
  } catch (const EndOfMessages&) {
    ::_exit(0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench: the other end of messages: %s\n", error.what());
  }
  ::_exit(1);
}

MessagePeer::~MessagePeer() {
  ::close(addresses_);
  end_child(pid_);
}

MessageConnection MessagePeer::connect(const std::string& address) {
  Listener listener(address);
  const std::string actual = listener.address();
  if (::write(addresses_, actual.data(), actual.size()) != static_cast<ssize_t>(actual.size())) fail("write");
  return listener.accept({.deadline = message_patience});
}

void MessagePeer::once(MessageConnection& connection) {
  std::array<char, small_message> message{};
  connection.send_bytes({message.data(), message.size()});
  if (connection.recv_bytes_into(std::span(message)) != message.size())
    throw std::runtime_error("not the same came back");
}

void MessagePeer::send_large(MessageConnection& connection, std::uint64_t count) {
  static const Bytes large(large_message, 'x');
  const Count header = count;
  connection.send_bytes({reinterpret_cast<const char*>(&header), sizeof header});
  for (; count > 0; --count) connection.send_bytes(large);
  if (connection.recv_bytes() != "k") throw std::runtime_error("the other end of messages did not take them");
}

std::optional<PythonFigures> measure_pythons(const std::string& family, const std::vector<std::size_t>& cpus,
                                             const std::vector<std::size_t>& peer_cpus, double seconds,
                                             std::uint64_t bytes) {
  static const bool is_there = std::system("python3 -c 'import multiprocessing.connection' 2>/dev/null") == 0;
  if (!is_there) return std::nullopt;
  const std::string command = std::string("exec python3 -c \"$BENCH_PYTHON\" ") + family + " '" + set_of(cpus) + "' '" +
                              set_of(peer_cpus) + "' " + std::to_string(seconds) + " " + std::to_string(bytes);
  ::setenv("BENCH_PYTHON", python_script, 1);
  std::FILE* const output = ::popen(command.c_str(), "r");
  if (output == nullptr) fail("popen");
  PythonFigures figures;
  const int read = std::fscanf(output, "%lf %lf", &figures.p50_us, &figures.mib_per_second);
  if (::pclose(output) != 0 || read != 2) throw std::runtime_error("the Pythons failed");
  return figures;
}

}  // namespace remsh::bench
