// Transports over sockets and over pairs of descriptors.
#include "transport/fd_transport.hpp"

#include "base/clock.hpp"
#include "base/format.hpp"
#include "os/threads.hpp"
#include "transport/socket_address.hpp"
#include "transport/watch.hpp"

#include <remsh/base/error.hpp>

#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <system_error>
#include <utility>

namespace remsh {
namespace {

#if defined(MSG_NOSIGNAL)
constexpr int no_signal = MSG_NOSIGNAL;
#else
constexpr int no_signal = 0;  // SO_NOSIGPIPE instead
#endif

#if defined(IOV_MAX)
constexpr std::size_t buffers_at_once = IOV_MAX;
#else
constexpr std::size_t buffers_at_once = 16;
#endif

bool is_would_block(int error) noexcept { return error == EAGAIN || error == EWOULDBLOCK; }

void close_on_exec(int fd) noexcept {
  const int flags = ::fcntl(fd, F_GETFD);
  if (flags >= 0 && (flags & FD_CLOEXEC) == 0) ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

/// Milliseconds for poll, rounded up, because a wait of 0 would be a busy loop.
int milliseconds(Duration wait) noexcept {
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(std::min<Duration>(wait, std::chrono::hours(1)));
  return static_cast<int>(std::max<std::int64_t>(ms.count(), 0));
}

short poll_events(Ready directions) noexcept {
  short events = 0;
  if (has(directions, Ready::read)) events = static_cast<short>(events | POLLIN);
  if (has(directions, Ready::write)) events = static_cast<short>(events | POLLOUT);
  return events;
}

Ready ready_from(short events, Ready asked) noexcept {
  if ((events & (POLLHUP | POLLERR | POLLNVAL)) != 0) return asked;
  Ready ready = Ready::none;
  if ((events & POLLIN) != 0) ready = ready | Ready::read;
  if ((events & POLLOUT) != 0) ready = ready | Ready::write;
  return ready & asked;
}

/// Polls a descriptor once; returns none if interrupted.
Ready poll_one(int fd, Ready directions, Duration wait) noexcept {
  pollfd polled{fd, poll_events(directions), 0};
  return ::poll(&polled, 1, milliseconds(wait)) > 0 ? ready_from(polled.revents, directions) : Ready::none;
}

IoResult read_result(ssize_t count) noexcept {
  if (count > 0) return IoResult::moved(static_cast<std::size_t>(count));
  if (count == 0) return IoResult::ended();
  if (is_would_block(errno) || errno == EINTR) return IoResult::blocked();
  return IoResult::broken(errno);
}

IoResult write_result(ssize_t count) noexcept {
  if (count > 0) return IoResult::moved(static_cast<std::size_t>(count));
  if (count == 0 || is_would_block(errno) || errno == EINTR) return IoResult::blocked();
  return IoResult::broken(errno);
}

/// The buffers as an iovec array; only as many elements as needed are touched.
struct Vector {
  Vector(std::span<const std::string_view> buffers, std::size_t most_bytes) {
    for (const std::string_view buffer : buffers) {
      if (count == parts.size() || most_bytes == 0) break;
      if (buffer.empty()) continue;
      const std::size_t size = std::min(buffer.size(), most_bytes);
      parts[count++] = {const_cast<char*>(buffer.data()), size};
      most_bytes -= size;
    }
  }
  std::array<iovec, buffers_at_once> parts;
  std::size_t count = 0;
};

IoResult send_some(int socket, std::span<const std::string_view> buffers) noexcept {
  Vector vector(buffers, SIZE_MAX);
  if (vector.count == 0) return IoResult::blocked();
  msghdr message{};
  message.msg_iov = vector.parts.data();
  message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(vector.count);
  return write_result(::sendmsg(socket, &message, MSG_DONTWAIT | no_signal));
}

/// One end of a socket pair whose other end is closed: reading returns the end, writing fails.
UniqueFd dead_socket() noexcept {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return {};
  ::close(ends[1]);
  return UniqueFd(ends[0]);
}

}  // namespace

// SocketTransport.

SocketTransport::SocketTransport(UniqueFd socket, std::string description, bool inherited)
    : socket_(std::move(socket)), description_(std::move(description)), inherited_(inherited) {
  close_on_exec(socket_.get());
  set_socket_option(socket_.get(), IPPROTO_TCP, TCP_NODELAY, 1);  // fails if it is not TCP; that is ignored
#if defined(SO_NOSIGPIPE)
  set_socket_option(socket_.get(), SOL_SOCKET, SO_NOSIGPIPE, 1);
#endif
}

/// Makes a read end after a slice, so that the reader can check its deadline, its stop token and whether it still
/// leads: one system call, no poll. False if the socket is non-blocking, so that a read must poll.
bool SocketTransport::read_in_slices() const noexcept {
  const timeval slice_time{0, std::chrono::duration_cast<std::chrono::microseconds>(slice).count()};
  const int flags = ::fcntl(socket_.get(), F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) == 0 &&
         ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &slice_time, sizeof slice_time) == 0;
}

IoResult SocketTransport::read_some(std::span<char> buffer, Duration wait) {
  if (buffer.empty()) return IoResult::blocked();  // 0 bytes would look like the end
  if (wait >= slice && !reads_in_slices_) reads_in_slices_ = read_in_slices();
  const bool sits = wait >= slice && *reads_in_slices_;
  if (!sits && wait > Duration::zero() && poll_one(socket_.get(), Ready::read, std::min(wait, slice)) == Ready::none) {
    return IoResult::blocked();
  }
  return read_result(::recv(socket_.get(), buffer.data(), buffer.size(), sits ? 0 : MSG_DONTWAIT));
}

IoResult SocketTransport::write_some(std::span<const std::string_view> buffers) {
  return send_some(socket_.get(), buffers);
}

Ready SocketTransport::wait(Ready directions, Duration wait) { return poll_one(socket_.get(), directions, wait); }

void SocketTransport::arm(Watcher& watcher, Ready directions, std::uint64_t token) {
  watcher.watch(socket_.get(), directions, token);
}

void SocketTransport::disarm_for_good(Watcher& watcher) noexcept { watcher.forget(socket_.get()); }

UniqueFd SocketTransport::release() {
  const timeval as_long_as_it_takes{0, 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &as_long_as_it_takes, sizeof as_long_as_it_takes);
  return std::move(socket_);
}

void SocketTransport::shutdown() noexcept { ::shutdown(socket_.get(), SHUT_RDWR); }

// PipeTransport.

PipeTransport::PipeTransport(UniqueFd read_from, UniqueFd write_to, std::string description)
    : read_from_(std::move(read_from)), write_to_(std::move(write_to)), description_(std::move(description)) {
  read_kind_ = prepare(read_from_, write_to_ ? O_RDONLY : O_RDWR, description_);
  write_kind_ = write_to_ ? prepare(write_to_, O_WRONLY, description_) : read_kind_;
}

PipeTransport::Kind PipeTransport::prepare(UniqueFd& fd, int mode, const std::string& description) {
  struct stat what {};
  if (::fstat(fd.get(), &what) != 0 || !Watch::can_watch(fd.get())) {
    const int error = errno;
    throw Error(Errc::local_os_error, "", formatted("use {} as a transport", description),
                error == EPERM ? "not a pipe, socket or terminal" : std::generic_category().message(error),
                {error, std::generic_category()});
  }
  close_on_exec(fd.get());
  if (S_ISSOCK(what.st_mode)) return Kind::socket;
#if defined(__linux__)
  // Non-blocking is a flag of the open file description, which other processes may share: so open the pipe again, to
  // get a flag of our own. Keep the number, so that 0 and 1 are not reused for the next file opened. Only pipes: other
  // devices may behave differently when opened again.
  if (S_ISFIFO(what.st_mode)) {
    const std::string path = formatted("/proc/self/fd/{}", fd.get());
    const UniqueFd anew(::open(path.c_str(), mode | O_NONBLOCK | O_CLOEXEC));
    if (anew && ::dup3(anew.get(), fd.get(), O_CLOEXEC) >= 0) return Kind::own;
  }
#else
  static_cast<void>(mode);
#endif
  return Kind::borrowed;
}

Ready PipeTransport::poll_once(Ready directions, Duration wait) const noexcept {
  std::array<pollfd, 2> polled{pollfd{has(directions, Ready::read) ? read_from_.get() : -1, POLLIN, 0},
                               pollfd{has(directions, Ready::write) ? write_fd() : -1, POLLOUT, 0}};
  if (::poll(polled.data(), polled.size(), milliseconds(wait)) <= 0) return Ready::none;
  return ready_from(polled[0].revents, Ready::read) | ready_from(polled[1].revents, Ready::write);
}

IoResult PipeTransport::read_some(std::span<char> buffer, Duration wait) {
  if (buffer.empty()) return IoResult::blocked();
  if (shut_.load()) return IoResult::ended();
  if (wait > Duration::zero() || read_kind_ == Kind::borrowed) {
    if (poll_once(Ready::read, std::min(wait, slice)) == Ready::none) {
      return shut_.load() ? IoResult::ended() : IoResult::blocked();
    }
  }
  if (read_kind_ == Kind::socket) {
    return read_result(::recv(read_from_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT));
  }
  return read_result(::read(read_from_.get(), buffer.data(), buffer.size()));
}

IoResult PipeTransport::write_some(std::span<const std::string_view> buffers) {
  if (shut_.load()) return IoResult::broken(EPIPE);
  if (write_kind_ == Kind::socket) return send_some(write_fd(), buffers);
  const bool borrowed = write_kind_ == Kind::borrowed;
  if (borrowed && poll_once(Ready::write, Duration::zero()) == Ready::none) return IoResult::blocked();
  // A writable pipe accepts at least PIPE_BUF without blocking.
  const Vector vector(buffers, borrowed ? PIPE_BUF : SIZE_MAX);
  if (vector.count == 0) return IoResult::blocked();
  SigpipeBlocked guard;
  const ssize_t count = ::writev(write_fd(), vector.parts.data(), static_cast<int>(vector.count));
  const int error = errno;
  if (count < 0 && error == EPIPE) guard.consume();
  errno = error;
  return write_result(count);
}

Ready PipeTransport::wait(Ready directions, Duration wait) {
  const TimePoint begin = real_clock().now();
  Duration left = wait;
  for (;;) {
    if (shut_.load()) return directions;
    const Ready ready = poll_once(directions, std::min(left, slice));
    if (ready != Ready::none) return ready;
    left = wait - std::min(wait, real_clock().now() - begin);
    if (left <= Duration::zero()) return shut_.load() ? directions : Ready::none;
  }
}

void PipeTransport::arm(Watcher& watcher, Ready directions, std::uint64_t token) {
  const std::lock_guard lock(mutex_);
  const Ready touched = directions | armed_;  // skips a descriptor that was not armed and will not be
  watcher_ = &watcher;
  token_ = token;
  armed_ = directions;
  if (shut_.load()) {
    if (directions != Ready::none) watcher.notify(token, directions);
  } else if (!write_to_) {
    watcher.watch(read_from_.get(), directions, token);
  } else {
    if (has(touched, Ready::read)) watcher.watch(read_from_.get(), directions & Ready::read, token);
    if (has(touched, Ready::write)) watcher.watch(write_to_.get(), directions & Ready::write, token);
  }
}

void PipeTransport::disarm_for_good(Watcher& watcher) noexcept {
  const std::lock_guard lock(mutex_);
  watcher_ = nullptr;
  watcher.forget(read_from_.get());
  if (write_to_) watcher.forget(write_to_.get());
}

void PipeTransport::shutdown() noexcept {
  const std::lock_guard lock(mutex_);
  if (shut_.exchange(true)) return;
  Ready to_tell = Ready::none;  // the end of a socket is an event by itself
  const auto end = [&](int fd, Kind kind, Ready directions) {
    if (kind == Kind::socket) {
      ::shutdown(fd, SHUT_RDWR);
      return;
    }
    to_tell = to_tell | (armed_ & directions);
    if (watcher_ != nullptr) watcher_->forget(fd);
    // The other side must see the end now, and so must a thread that is about to use the number here. If no dead socket
    // can be made, that thread sees the flag, and the other side sees the end when this object is destroyed.
    if (const UniqueFd dead = dead_socket(); dead) ::dup3(dead.get(), fd, O_CLOEXEC);
  };
  end(read_from_.get(), read_kind_, write_to_ ? Ready::read : Ready::both);
  if (write_to_) end(write_to_.get(), write_kind_, Ready::write);
  if (watcher_ != nullptr && to_tell != Ready::none) watcher_->notify(token_, to_tell);
}

// The public functions.

std::unique_ptr<Transport> socket_transport(int socket, std::string description, bool inherited) {
  UniqueFd owned(socket);
  return std::make_unique<SocketTransport>(std::move(owned), std::move(description), inherited);
}

std::unique_ptr<Transport> pipe_transport(int read_from, int write_to, std::string description) {
  UniqueFd reading(read_from);
  UniqueFd writing(write_to == read_from ? -1 : write_to);
  return std::make_unique<PipeTransport>(std::move(reading), std::move(writing), std::move(description));
}

}  // namespace remsh
