// Command: which thread drives a started command, and what the others do meanwhile.
#include <remsh/master/command.hpp>

#include "base/clock.hpp"
#include "master/operation_forms.hpp"

#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

namespace remsh {

/// The command of all its handles. Thread-safe.
///
/// The work of an operation belongs to one thread at a time: the driver, which runs the callbacks. The other threads
/// that wait for the command wait for the driver to finish, or to leave; then one of them drives. Input goes to the
/// slave without the driver.
class Command::State : public std::enable_shared_from_this<State> {
 public:
  State(const SlaveOperations& on, std::vector<Bytes> args, ExecuteOptions options)
      : args_(args),
        is_written_(std::holds_alternative<Source::Writes>(options.in.what())),
        backend_(OperationAccess::backend(on)),
        begun_(real_clock().now()),
        work_(std::make_unique<Work>(on, std::move(args), std::move(options), true)),
        id_(work_->work().number()) {}

  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  [[nodiscard]] const std::vector<Bytes>& args() const noexcept { return args_; }

  [[nodiscard]] CommandState state() const {
    const std::lock_guard lock(mutex_);
    return ended_ ? CommandState::over : is_interrupted_ ? CommandState::interrupted : CommandState::running;
  }

  [[nodiscard]] std::chrono::nanoseconds elapsed() const {
    const std::lock_guard lock(mutex_);
    return (ended_ ? *ended_ : real_clock().now()) - begun_;
  }

  ExecuteResult wait() {
    wait_until(TimePoint::max());
    const std::lock_guard lock(mutex_);
    if (error_) std::rethrow_exception(error_);
    return *result_;
  }

  bool wait_until(TimePoint until) {
    std::unique_lock lock(mutex_);
    const auto is_free = [this] { return ended_ || !driver_; };
    if (driver_ == std::this_thread::get_id()) refuse("wait", "a callback of a command cannot wait for its end");
    if (until == TimePoint::max()) {
      changed_.wait(lock, is_free);
    } else if (!changed_.wait_until(lock, until, is_free)) {
      return false;
    }
    if (ended_) return true;
    const bool is_over = drive(lock, [&] { return work_->wait_until(until); });
    wake_all();  // of those that poll, one drives now
    return is_over;
  }

  bool poll(const Waker& wake) {
    std::unique_lock lock(mutex_);
    if (ended_) return true;
    const std::uint64_t mine = ++last_waker_;
    wakers_.emplace(mine, wake);
    if (driver_) return false;
    const bool is_over = drive(lock, [&] {
      return work_->poll([weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->wake_all();
      });
    });
    if (!is_over) return false;
    lock.lock();
    wakers_.erase(mine);
    lock.unlock();
    wake_all();
    return true;
  }

  void note_interrupt() {
    const std::lock_guard lock(mutex_);
    is_interrupted_ = true;
  }

  bool write(BytesView bytes, const CallOptions& options) {
    const Patience patience{.deadline = options.deadline.begin(), .stop = options.stop};
    const Writer writer(*this, patience);
    if (is_over()) return false;
    const Result<bool> written = backend_->write_input(id_, bytes, patience);
    if (!written) fail(written.failure(), patience);
    const std::lock_guard lock(mutex_);
    if (*written && work_) work_->work().count_input(bytes.size());
    return *written;
  }

  void close_stdin(const CallOptions& options) {
    const Writer writer(*this, {.deadline = options.deadline.begin(), .stop = options.stop});
    if (!is_over()) backend_->end_input(id_);
  }

  /// Asks something of the command, if it is not over. Returns whether that was done.
  template <class Operation>
  bool ask(typename Operation::Request request, const CallOptions& options) const {
    if (is_over()) return false;
    return PlainWork<Operation>(Target(*backend_, nullptr), std::move(request), options).run();
  }

 private:
  using Work = Kept<ExecuteWork, std::vector<Bytes>, ExecuteOptions, bool>;

  /// The turn of a thread that writes to the input.
  class Writer {
   public:
    Writer(State& state, const Patience& patience) : state_(state) {
      if (!state.is_written_) state.refuse("write", "its options have no '.in = Source::writes()'");
      const std::stop_callback on_stop(patience.stop, [&state] {
        const std::lock_guard lock(state.mutex_);
        state.changed_.notify_all();
      });
      std::unique_lock lock(state.mutex_);
      const auto is_free = [&] { return !state.is_writing_ || patience.stop.stop_requested(); };
      const TimePoint until = patience.deadline.at();
      if (until == TimePoint::max()) {
        state.changed_.wait(lock, is_free);
      } else {
        state.changed_.wait_until(lock, until, is_free);
      }
      if (state.is_writing_) {
        lock.unlock();
        const bool is_stopped = patience.stop.stop_requested();
        state.fail(is_stopped ? Failure{Errc::cancelled, "cancelled by the caller", 0}
                              : Failure{Errc::timeout, "another write() is still in progress", 0},
                   patience);
      }
      state.is_writing_ = true;
    }
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    ~Writer() {
      const std::lock_guard lock(state_.mutex_);
      state_.is_writing_ = false;
      state_.changed_.notify_all();
    }

   private:
    State& state_;
  };

  [[nodiscard]] bool is_over() const {
    const std::lock_guard lock(mutex_);
    return ended_.has_value();
  }

  [[noreturn]] void refuse(const char* what, const char* why) const {
    throw Error(Errc::invalid_argument, std::string(backend_->name()), what, why);
  }

  [[noreturn]] void fail(const Failure& failure, const Patience& patience) const {
    Request(*backend_, operations::Execute::what, args_.front()).fail(failure, patience.stop);
  }

  /// Makes this thread the driver for one step, and unlocks. Returns whether the command is over.
  template <class Step>
  bool drive(std::unique_lock<std::mutex>& lock, Step step) {
    driver_ = std::this_thread::get_id();
    lock.unlock();
    std::optional<ExecuteResult> result;
    std::exception_ptr error;
    std::unique_ptr<Work> done;
    bool is_over = false;
    try {
      is_over = step();
      if (is_over) result = work_->take();
    } catch (...) {
      error = std::current_exception();
      is_over = true;
    }
    lock.lock();
    driver_.reset();
    if (is_over) {
      ended_ = real_clock().now();
      result_ = std::move(result);
      error_ = error;
      done = std::move(work_);
    }
    changed_.notify_all();
    lock.unlock();
    return is_over;  // `done` may hold the last handle of the slave: it is destroyed without the mutex
  }

  void wake_all() {
    std::unique_lock lock(mutex_);
    const auto wakers = std::exchange(wakers_, {});
    lock.unlock();
    for (const auto& [number, wake] : wakers) wake();
  }

  const std::vector<Bytes> args_;
  const bool is_written_;
  const std::shared_ptr<Backend> backend_;
  const TimePoint begun_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::thread::id> driver_;
  bool is_writing_ = false;
  bool is_interrupted_ = false;
  std::map<std::uint64_t, Waker> wakers_;  // of those that poll
  std::uint64_t last_waker_ = 0;
  std::unique_ptr<Work> work_;  // the driver's; null once it is over
  const std::uint64_t id_;
  std::optional<TimePoint> ended_;
  std::optional<ExecuteResult> result_;  // one of these two is set when it is over
  std::exception_ptr error_;
};

Command Command::start(const SlaveOperations& on, std::vector<Bytes> args, ExecuteOptions options) {
  return Command(std::make_shared<State>(on, std::move(args), std::move(options)));
}

std::uint64_t Command::id() const noexcept { return state_->id(); }
const std::vector<Bytes>& Command::args() const noexcept { return state_->args(); }
CommandState Command::state() const { return state_->state(); }
std::chrono::nanoseconds Command::elapsed() const { return state_->elapsed(); }
ExecuteResult Command::wait() { return state_->wait(); }
bool Command::wait_until(Deadline deadline) { return state_->wait_until(deadline.at()); }
bool Command::poll(const Waker& wake) { return state_->poll(wake); }

bool Command::interrupt(const Bytes& why, const CallOptions& options) {
  const bool is_running = state_->ask<operations::Interrupt>(interrupt_of(id(), why), options);
  if (is_running) state_->note_interrupt();
  return is_running;
}

bool Command::signal(int number, const CallOptions& options) {
  return state_->ask<operations::Signal>(signal_of(id(), number), options);
}

bool Command::resize(const Terminal& size, const CallOptions& options) {
  return state_->ask<operations::Resize>({rpc::make_tag(id()), size.columns, size.rows}, options);
}

bool Command::write(BytesView bytes, const CallOptions& options) { return state_->write(bytes, options); }
void Command::close_stdin(const CallOptions& options) { state_->close_stdin(options); }

}  // namespace remsh
