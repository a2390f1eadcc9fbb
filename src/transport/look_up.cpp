#include "transport/look_up.hpp"

#include "base/clock.hpp"
#include "base/format.hpp"
#include "os/threads.hpp"

#include <netdb.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace remsh {

namespace {

std::atomic<unsigned> running_look_ups = 0;

/// Counts a running look-up, as long as its thread runs.
class Turn {
 public:
  static std::optional<Turn> take() noexcept {
    unsigned running = running_look_ups;
    while (running < max_look_ups) {
      if (running_look_ups.compare_exchange_weak(running, running + 1)) return Turn();
    }
    return std::nullopt;
  }
  Turn(Turn&& other) noexcept : is_ours_(std::exchange(other.is_ours_, false)) {}
  Turn& operator=(Turn&&) = delete;
  ~Turn() {
    if (is_ours_) --running_look_ups;
  }

 private:
  Turn() = default;
  bool is_ours_ = true;
};

/// Shared by a look-up's thread and its caller; the last one destroys it.
struct Job {
  Address address;
  LookUp by;
  std::mutex mutex;
  std::condition_variable_any changed;
  std::optional<Result<AddressList>> outcome;
};

Failure failure_of(const std::string& what, std::string why, int error = 0) {
  return {Errc::local_os_error, what + ": " + std::move(why), error};
}

void run(Job& job) noexcept {
  std::optional<Result<AddressList>> outcome;
  try {
    outcome = job.by(job.address);
  } catch (const std::exception& error) {
    outcome = failure_of("look up", error.what());
  }
  const std::lock_guard lock(job.mutex);
  job.outcome = std::move(outcome);
  job.changed.notify_all();
}

Failure gave_up(const Address& address, const std::stop_token& stop, bool has_begun) {
  const std::string what = formatted("{}: look up '{}': ", to_string(address), address.host);
  if (stop.stop_requested()) return {Errc::cancelled, what + "stopped", 0};
  if (has_begun) return {Errc::timeout, what + "no answer from the name server in time", 0};
  if (running_look_ups < max_look_ups) return {Errc::timeout, what + "there was no time left for it", 0};
  return {Errc::timeout,
          formatted("{}it could not begin in time, as {} others have no answer yet: is the name server reachable?",
                    what, max_look_ups),
          0};
}

/// Waits until fewer than max_look_ups are running.
std::optional<Turn> wait_for_turn(Deadline deadline, const std::stop_token& stop) {
  for (;;) {
    if (stop.stop_requested() || deadline.has_passed(real_clock().now())) return std::nullopt;
    if (auto turn = Turn::take()) return turn;
    ::poll(nullptr, 0, static_cast<int>(look_interval.count()));
  }
}

/// Returns the result of getaddrinfo(): 0, or one of EAI_... with an empty list.
int get_addresses(const Address& address, int flags, AddressList& list) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &wanted, &found);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, [](addrinfo* first) {
    if (first != nullptr) ::freeaddrinfo(first);
  });
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    SocketAddress next;
    if (entry->ai_addrlen > sizeof next.storage) continue;
    std::memcpy(&next.storage, entry->ai_addr, entry->ai_addrlen);
    next.size = entry->ai_addrlen;
    if (std::find(list.begin(), list.end(), next) == list.end()) list.push_back(next);
  }
  return error;
}

}  // namespace

Result<AddressList> ask_system(const Address& address, int flags) {
  AddressList list;
  const int error = get_addresses(address, flags, list);
  if (error == 0) return list;
  const int os = error == EAI_SYSTEM ? errno : 0;
  const std::string why = os != 0 ? std::generic_category().message(os) : ::gai_strerror(error);
  return failure_of(to_string(address), formatted("look up '{}': {}", address.host, why), os);
}

Result<AddressList> look_up(const Address& address, Deadline deadline, const std::stop_token& stop, const LookUp& by) {
  AddressList numeric;
  if (get_addresses(address, AI_NUMERICHOST, numeric) == 0) return numeric;
  auto turn = wait_for_turn(deadline, stop);
  if (!turn) return gave_up(address, stop, false);
  const auto job = std::make_shared<Job>();
  job->address = address;
  job->by = by;
  std::thread thread;
  try {
    thread = start_thread("remsh-look-up", [job, held = std::move(*turn)] { run(*job); });
  } catch (const std::system_error& error) {
    return failure_of(to_string(address), formatted("start a thread to look it up: {}", error.what()),
                      error.code().value());
  }
  std::unique_lock lock(job->mutex);
  const auto is_over = [&job] { return job->outcome.has_value(); };
  const bool in_time = deadline.is_never() ? job->changed.wait(lock, stop, is_over)
                                           : job->changed.wait_until(lock, stop, deadline.at(), is_over);
  if (!in_time) {
    thread.detach();  // the only detached thread: docs/decisions/0018
    return gave_up(address, stop, true);
  }
  auto outcome = *std::move(job->outcome);
  lock.unlock();
  thread.join();
  return outcome;
}

}  // namespace remsh
