// Watch: one-shot readiness of many descriptors, by epoll.
#include "transport/watch.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <system_error>

namespace remsh {
namespace {

constexpr unsigned directions_shift = 62;

}  // namespace

Watch::Watch() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

int Watch::arm(int descriptor, Ready directions, std::uint64_t token) noexcept {
  assert((token & ~token_bits) == 0);
  // The directions are part of the token: an end is reported even if no direction is armed, and would be reported
  // endlessly without the one-shot flag.
  epoll_event event{};
  event.events = EPOLLONESHOT;
  if (has(directions, Ready::read)) event.events |= EPOLLIN;
  if (has(directions, Ready::write)) event.events |= EPOLLOUT;
  event.data.u64 = token | static_cast<std::uint64_t>(directions) << directions_shift;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, descriptor, &event) == 0) return 0;
  if (errno == ENOENT && ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0) return 0;
  return errno;
}

void Watch::forget(int descriptor) noexcept {
  const int saved = errno;
  epoll_event unused{};
  static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, descriptor, &unused));
  errno = saved;
}

std::span<const Watch::Event> Watch::take(std::span<Event> events) {
  std::array<epoll_event, 64> raw;
  const std::size_t room = std::min(raw.size(), events.size());
  int count = 0;
  do {
    count = ::epoll_wait(epoll_.get(), raw.data(), static_cast<int>(room), 0);
  } while (count < 0 && errno == EINTR);
  std::size_t taken = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(std::max(count, 0)); ++i) {
    const auto asked = static_cast<Ready>(raw[i].data.u64 >> directions_shift);
    Ready directions = Ready::none;
    if ((raw[i].events & (EPOLLHUP | EPOLLERR)) != 0) directions = asked;
    if ((raw[i].events & EPOLLIN) != 0) directions = directions | Ready::read;
    if ((raw[i].events & EPOLLOUT) != 0) directions = directions | Ready::write;
    events[taken++] = {raw[i].data.u64 & token_bits, directions};
  }
  return events.first(taken);
}

bool Watch::can_watch(int descriptor) noexcept {
  const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLONESHOT;
  return ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, descriptor, &event) == 0;
}

}  // namespace remsh
