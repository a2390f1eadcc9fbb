// Acceptor: accepts the connections of one listening socket, on the loop.
#include "transport/acceptor.hpp"

#include "transport/descriptor_watch.hpp"
#include "transport/endpoint.hpp"

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <mutex>
#include <utility>

namespace remsh {
namespace {

constexpr int connections_at_once = 16;  // then other work on the loop gets a turn
constexpr Duration pause_time = std::chrono::milliseconds(100);
constexpr Duration silence_time = std::chrono::seconds(10);

UniqueFd open_spare() noexcept { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

class Acceptor::State : public std::enable_shared_from_this<State> {
 public:
  State(Loop& loop, UniqueFd listening, std::function<void(UniqueFd)> on_connection,
        std::function<void(int)> on_failure)
      : loop_(loop),
        listening_(std::move(listening)),
        spare_(open_spare()),
        on_connection_(std::move(on_connection)),
        on_failure_(std::move(on_failure)) {}

  void start() {
    auto watch = std::make_unique<DescriptorWatch>(loop_, listening_.get(),
                                                   [self = shared_from_this()](Ready) { self->accept(); });
    {
      const std::lock_guard lock(mutex_);
      watch_ = std::move(watch);
    }
    arm();
  }

  void stop() {
    std::unique_ptr<DescriptorWatch> watch;
    Loop::TimerId pause = 0;
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
      watch = std::move(watch_);
      pause = pause_;
    }
    if (!watch) return;
    loop_.cancel(pause);
    watch.reset();  // waits until a running accept() has returned
    listening_.reset();
  }

  void hold(bool is_held) {
    {
      const std::lock_guard lock(mutex_);
      is_held_ = is_held;
    }
    arm();
  }

 private:
  void arm() {
    const std::lock_guard lock(mutex_);
    if (watch_ && !is_held_) watch_->arm(Ready::read);
  }

  [[nodiscard]] bool may_go_on() {
    const std::lock_guard lock(mutex_);
    return !stopped_ && !is_held_;
  }

  void accept() {
    for (int i = 0; i < connections_at_once; ++i) {
      Accepted accepted = accept_one(listening_.get());
      if (accepted.error == EAGAIN || accepted.error == EWOULDBLOCK) break;
      if (accepted.error != 0) return fail(accepted.error);
      on_connection_(std::move(accepted.socket));
      if (!may_go_on()) return;  // stop() may have closed the socket
    }
    arm();
  }

  void fail(int error) {
    if (error == EMFILE || error == ENFILE) {
      // Frees the spare descriptor to accept and close one connection, so that its client does not wait in vain.
      spare_.reset();
      accept_one(listening_.get()).socket.reset();
      spare_ = open_spare();
    }
    const TimePoint now = loop_.now();
    if (on_failure_ && (last_told_ == TimePoint() || now - last_told_ >= silence_time)) {
      last_told_ = now;
      on_failure_(error);
    }
    const std::lock_guard lock(mutex_);
    if (!stopped_) pause_ = loop_.at(now + pause_time, [self = shared_from_this()] { self->arm(); });
  }

  Loop& loop_;
  UniqueFd listening_;  // closed by stop(), after accept() has returned
  UniqueFd spare_;      // loop thread only, like last_told_
  TimePoint last_told_;
  const std::function<void(UniqueFd)> on_connection_;
  const std::function<void(int)> on_failure_;

  std::mutex mutex_;  // guards the following
  std::unique_ptr<DescriptorWatch> watch_;
  Loop::TimerId pause_ = 0;
  bool stopped_ = false;
  bool is_held_ = false;
};

Acceptor::Acceptor(Loop& loop, UniqueFd listening, std::function<void(UniqueFd)> on_connection,
                   std::function<void(int)> on_failure)
    : state_(std::make_shared<State>(loop, std::move(listening), std::move(on_connection), std::move(on_failure))) {
  state_->start();
}

Acceptor::~Acceptor() { stop(); }

void Acceptor::hold(bool is_held) { state_->hold(is_held); }

void Acceptor::stop() { state_->stop(); }

}  // namespace remsh
