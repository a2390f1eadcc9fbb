#include <remsh/messages/auth_key.hpp>

#include "base/clock.hpp"
#include "base/format.hpp"
#include "base/os_words.hpp"
#include "base/throw_failure.hpp"
#include "base/time_left.hpp"
#include "base/wipe.hpp"
#include "os/random.hpp"
#include "os/unique_fd.hpp"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

namespace remsh {

namespace {

constexpr std::size_t most = 4096;  // what every pipe takes at once
static_assert(most <= PIPE_BUF);

[[noreturn]] void fail(int error, const char* operation) {
  throw_failure({Errc::local_os_error, os_words(error), error}, "", operation);
}

}  // namespace

AuthKey::AuthKey(BytesView bytes) : bytes_(bytes.begin(), bytes.end()) {
  if (bytes.empty()) throw Error(Errc::invalid_argument, "", "make an authkey", "it is empty, and would prove nothing");
}

AuthKey::AuthKey(const Secret& secret) : AuthKey(secret.bytes()) {}

AuthKey& AuthKey::operator=(AuthKey other) noexcept {
  bytes_.swap(other.bytes_);
  return *this;
}

AuthKey::~AuthKey() { wipe(bytes_); }

AuthKey random_authkey() {
  std::array<char, Secret::size> bytes{};
  random_bytes(bytes);
  AuthKey key(BytesView(bytes.data(), bytes.size()));
  wipe(bytes);
  return key;
}

AuthKeyPipe::AuthKeyPipe(const AuthKey& key) {
  constexpr const char* operation = "make a pipe for an authkey";
  if (key.bytes().size() > most) {
    throw Error(Errc::too_large, "", operation, formatted("the key has {} bytes, over {}", key.bytes().size(), most));
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail(errno, operation);
  UniqueFd reading(ends[0]);
  const UniqueFd writing(ends[1]);
  if (::write(writing.get(), key.bytes().data(), key.bytes().size()) < 0) fail(errno, operation);
  read_end_ = reading.release();
}

AuthKeyPipe::AuthKeyPipe(AuthKeyPipe&& other) noexcept : read_end_(std::exchange(other.read_end_, -1)) {}

AuthKeyPipe::~AuthKeyPipe() { UniqueFd{read_end_}; }

AuthKey read_authkey(int descriptor, Deadline deadline) {
  constexpr const char* operation = "read an authkey";
  const UniqueFd input(descriptor);
  if (!input) fail(EBADF, operation);  // of an open() that failed, for example: poll() would ignore it
  std::array<char, most + 1> bytes{};
  struct Wipe {
    std::array<char, most + 1>& bytes;
    ~Wipe() { wipe(bytes); }
  } const wipe_it{bytes};
  std::size_t size = 0;
  for (;;) {
    pollfd ready{input.get(), POLLIN, 0};
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(time_left(deadline));
    const int polled = ::poll(&ready, 1, static_cast<int>(wait.count()));
    if (polled < 0 && errno != EINTR) fail(errno, operation);
    if (polled <= 0) {
      if (deadline.has_passed(real_clock().now())) {
        throw Timeout(Errc::timeout, "", operation, "the other end of the pipe was not closed in time");
      }
      continue;
    }
    const ssize_t count = ::read(input.get(), bytes.data() + size, bytes.size() - size);
    if (count < 0 && errno != EINTR && errno != EAGAIN) fail(errno, operation);
    if (count == 0) return AuthKey(BytesView(bytes.data(), size));
    if (count > 0) size += static_cast<std::size_t>(count);
    if (size > most) throw Error(Errc::too_large, "", operation, formatted("it has over {} bytes", most));
  }
}

}  // namespace remsh
