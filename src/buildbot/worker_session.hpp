// WorkerSession: a master's side of the conversation with one Buildbot worker, in either protocol; no I/O.
#pragma once

#include "base/result.hpp"
#include "buildbot/worker_command.hpp"
#include "buildbot/worker_update.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/value.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace remsh::buildbot {

/// Decides whether a worker may use a name. `proves` returns whether the worker knows that password. Call it at least
/// once also for a name without a password, so that the time does not show which names exist.
using LoginCheck =
    std::function<bool(std::string_view name, const std::function<bool(std::string_view password)>& proves)>;

/// What a worker has said.
struct WorkerEvent {
  enum class Kind : std::uint8_t {
    rejected,      ///< its name or password is wrong; reject() makes the answer with which it tries again later
    logged_in,     ///< it has proven its name
    answered,      ///< `request` is answered by `value`
    failed,        ///< `request` has failed: `text`
    update,        ///< of `command`: `update`
    complete,      ///< `command` is over, the last event of it; `text` says why it failed, empty if it did not
    dropped,       ///< `command` was interrupted before the worker got it; the last event of it
    reads,         ///< `command` waits for at most `size` bytes of a file: give()
    writes,        ///< `command` sends `data`, bytes of a file, and waits for took()
    asks_release,  ///< its operator has asked for it to be released
  };
  Kind kind = Kind::answered;
  std::uint64_t request = 0;
  std::string command = {};
  WorkerUpdate update = {};
  Value value = {};
  std::string text = {};
  std::size_t size = 0;
  Bytes data = {};
};

/// A session with one worker, in one protocol. Everything that it accepts is listed in its implementation; all else
/// ends it by a failure of feed(). One thread at a time.
///
///     send(session->take_output());                 // after every call
///     auto fed = session->feed(received);           // a failure: close the connection
///     while (auto event = session->next()) ...
///
/// The order: logged_in; then read_info() and, with its answer, prepare(); then admit(); then commands.
class WorkerSession {
 public:
  WorkerSession() = default;
  WorkerSession(const WorkerSession&) = delete;
  WorkerSession& operator=(const WorkerSession&) = delete;
  virtual ~WorkerSession() = default;

  /// How many bytes a session may have received that do not make a whole message yet.
  static constexpr std::size_t max_message = std::size_t{16} * 1024 * 1024;

  /// Takes the next bytes of the worker.
  virtual Result<void> feed(BytesView bytes) = 0;

  /// What the worker has said, in order; nullopt if that was all so far.
  std::optional<WorkerEvent> next() {
    if (events_.empty()) return std::nullopt;
    WorkerEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

  /// What has to be sent now.
  Bytes take_output() { return std::exchange(output_, {}); }

  /// What the worker calls itself.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  // The login.

  /// The answer to a worker that is not let in. It tries again later.
  virtual void reject() = 0;

  /// Tells the worker that it is let in, if its protocol does.
  virtual void admit() {}

  // Requests. Each returns its number, which an event answers.

  virtual std::uint64_t read_info() = 0;

  /// Makes a worker ready for commands.
  virtual std::uint64_t prepare() = 0;

  virtual std::uint64_t print(std::string_view message) = 0;

  /// A request that does nothing. After prepare().
  virtual std::uint64_t ping() = 0;

  /// Makes the worker process end.
  virtual std::uint64_t shut_down() = 0;

  /// Begins a command, which may wait until the worker can take it. The id must differ from all that the worker has
  /// seen, also in other sessions. A failure of the request means that there will be no more events of the command.
  virtual std::uint64_t start(const std::string& id, const WorkerCommand& command) = 0;

  /// Asks the worker to end a command, whose `complete` or `dropped` is still to come. The number is 0 if the worker
  /// need not be asked.
  virtual std::uint64_t interrupt(const std::string& id, std::string_view why) = 0;

  /// Whether a command goes on in the worker when its connection ends, so that interrupt() is due when it returns.
  [[nodiscard]] virtual bool leaves_commands() const noexcept = 0;

  // Answers to `reads` and `writes` of a command, one each.

  /// Not more than `size` of the event; empty: the file ends here.
  virtual void give(const std::string& id, BytesView bytes) = 0;
  virtual void took(const std::string& id) = 0;

 protected:
  void tell(WorkerEvent event) { events_.push_back(std::move(event)); }
  Bytes& output() noexcept { return output_; }
  void set_name(std::string name) { name_ = std::move(name); }

 private:
  std::deque<WorkerEvent> events_;
  Bytes output_;
  std::string name_;
};

}  // namespace remsh::buildbot
