// Command: a command that was started, while it runs and after.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/call_options.hpp>
#include <remsh/base/completion_queue.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/work.hpp>
#include <remsh/operations/execute.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace remsh {

class SlaveOperations;

enum class CommandState {
  running,      ///< it was asked for, and its end is not known
  interrupted,  ///< the same, and interrupt() has reached it
  over,         ///< wait() will not block
};

/// A command that was started with SlaveOperations::start(). Copies are handles to the same command. Any number of
/// threads may use it at once: one waits, others write to it or interrupt it.
///
///     auto build = slave->start({"make"}, {.out = print});
///     build.wait_until(10min) || build.interrupt("it takes too long");
///     report(build.wait());
///
/// The callbacks of its options run in the thread that waits, polls or drains the queue, one at a time. While no thread
/// does, the command goes on until its output fills what the slave may send ahead. If the last handle goes before the
/// command is over, the command is cancelled. Until then a handle keeps the handle of the slave.
class REMSH_API Command {
 public:
  /// Its number among the operations of its slave's connection, as in OperationInProgress::id. 0 if it could not be
  /// asked for: then wait() says why.
  [[nodiscard]] std::uint64_t id() const noexcept;

  [[nodiscard]] const std::vector<Bytes>& args() const noexcept;

  [[nodiscard]] CommandState state() const;

  /// How long it has been running, or did run, by our clock.
  [[nodiscard]] std::chrono::nanoseconds elapsed() const;

  /// Waits until the command is over, and returns or throws what execute() would. Every call gives the same. Throws
  /// Error with invalid_argument if it is called from a callback of this command.
  ExecuteResult wait();

  /// Waits until the command is over, so that wait() returns at once. Returns false if the deadline passes first; the
  /// command goes on. May not be called from a callback of this command either.
  bool wait_until(Deadline deadline);

  /// Does everything that can be done without waiting, unless another thread waits. Returns true if the command is
  /// over. Otherwise `wake` will be called, from any thread; it must not block, throw or call the library.
  bool poll(const Waker& wake);

  /// Calls the handler, in a thread that drains the queue, when the command is over:
  ///
  ///     slave->start({"make"}).then(queue, [](remsh::Command build) { print(build.wait()); });
  ///
  /// The queue holds the command until then.
  template <class Handler>
  requires std::is_invocable_v<Handler&, Command>
  void then(CompletionQueue& queue, Handler handler) {
    queue.add(std::make_unique<Then<Handler>>(state_, std::move(handler)));
  }

  /// See SlaveOperations::interrupt() and signal(). Both may be called from a callback of this command.
  bool interrupt(const Bytes& why = {}, const CallOptions& options = {});
  bool signal(int number, const CallOptions& options = {});

  /// Changes the size of the terminal, if the options gave the command one; its programs get SIGWINCH. Returns false if
  /// the command is over.
  bool resize(const Terminal& size, const CallOptions& options = {});

  /// Writes to the standard input, if the options say `.in = Source::writes()`. Waits while the command does not read
  /// and what may be sent ahead is used up. Returns false if the command is over. If the deadline or a stop ends it, a
  /// part may have been sent. Bytes of different calls are not mixed.
  bool write(BytesView bytes, const CallOptions& options = {});

  /// The standard input is complete. Waits for a write() in progress.
  void close_stdin(const CallOptions& options = {});

 private:
  friend class SlaveOperations;
  class State;

  template <class Handler>
  class Then final : public detail::QueuedWork {
   public:
    Then(std::shared_ptr<State> state, Handler handler) : state_(std::move(state)), handler_(std::move(handler)) {}
    bool poll(const Waker& wake) override { return Command(state_).poll(wake); }
    void complete() override { handler_(Command(std::move(state_))); }

   private:
    std::shared_ptr<State> state_;
    Handler handler_;
  };

  explicit Command(std::shared_ptr<State> state) : state_(std::move(state)) {}
  static Command start(const SlaveOperations& on, std::vector<Bytes> args, ExecuteOptions options);

  std::shared_ptr<State> state_;
};

}  // namespace remsh
