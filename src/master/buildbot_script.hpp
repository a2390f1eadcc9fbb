// BuildbotScript: one of our operations as a chain of commands of a Buildbot worker.
#pragma once

#include "master/asked_operation.hpp"
#include "master/buildbot_worker.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

/// A piece of a stream on its way between the worker and the caller's callbacks.
struct BuildbotPiece {
  enum class Kind : std::uint8_t {
    out,
    err,
    log,   ///< of the log file `number`
    size,  ///< the file that comes has `number` bytes
    file,  ///< a part of a file; the worker waits until it is taken
    room,  ///< the worker waits for at most `number` bytes of the input
  };
  Kind kind = Kind::out;
  Bytes data = {};
  std::uint64_t number = 0;
  bool is_err = false;  ///< (file) of the standard error of a command

  /// What it costs while it waits.
  [[nodiscard]] std::size_t weight() const noexcept { return data.size() + 256; }
};

/// How a command of the worker has ended.
struct BuildbotCommandEnd {
  std::optional<std::int64_t> rc = {};  ///< 0, an errno value, an exit code or -1: as the command has it
  std::string failure = {};             ///< it has failed inside the worker; empty: it has not
  std::string err = {};                 ///< the beginning of what it says about an error
  bool is_dropped = false;              ///< it was interrupted before the worker got it
  std::optional<int> signal = {};       ///< (shell) that has ended the program
  bool interrupted = false;             ///< (shell)
  bool timed_out = false;               ///< (shell)
  bool went_silent = false;             ///< (shell)
  std::optional<double> elapsed = {};   ///< seconds
  Value stat = {};                      ///< (stat) what the path is

  [[nodiscard]] bool is_good() const noexcept { return rc == 0 && failure.empty(); }
};

/// What becomes of the output of a command.
struct BuildbotStreams {
  bool is_piped = false;                            ///< it goes to the caller
  std::function<void(std::string_view)> text = {};  ///< takes its standard output
  bool is_err = false;                              ///< the file that it sends is the caller's standard error
};

/// One operation in progress. Called under the mutex of the back end, by any thread, except
/// finish_running(). It has a copy of the request, because the caller may leave before the worker is done.
class BuildbotScript : public std::enable_shared_from_this<BuildbotScript> {
 public:
  using CommandEnd = BuildbotCommandEnd;
  using Next = std::function<void(CommandEnd)>;
  using Streams = BuildbotStreams;

  /// Why a command that concerns a path has failed.
  [[nodiscard]] static Failure failure_of(const std::string& path, const CommandEnd& end);

  explicit BuildbotScript(BuildbotWorker& worker) : worker_(worker), running_(worker.operations) {}
  BuildbotScript(const BuildbotScript&) = delete;
  BuildbotScript& operator=(const BuildbotScript&) = delete;
  virtual ~BuildbotScript() = default;

  virtual void begin() = 0;

  /// Stores the reply of an operation that has succeeded.
  virtual void give_reply(AskedOperation& operation) = 0;

  /// Asks for its end. False if it is not a command that can be interrupted, or is over.
  virtual bool interrupt(std::string_view /*why*/) { return false; }

  [[nodiscard]] std::uint64_t number() const noexcept { return running_.number(); }
  [[nodiscard]] bool is_finished() const noexcept { return result_.has_value(); }
  [[nodiscard]] const Result<void>& result() const { return *result_; }

  // For the thread that drives.

  [[nodiscard]] bool has_piece() const noexcept { return !pieces_.empty(); }
  BuildbotPiece take_piece();
  /// After a piece of a file, of this size.
  void took_file(std::uint64_t size);
  /// For a piece of a file that the worker waits for.
  void give_input(BytesView bytes);
  void set_waker(Waker wake) { wake_ = std::move(wake); }
  void wake();
  /// The caller has left: what runs is ended, and what was begun is removed.
  void leave();

  // For the back end.

  void update(buildbot::WorkerUpdate update);
  void wants_input(std::size_t size);  ///< the worker waits for at most so many bytes of a file
  void sends_file(Bytes data);         ///< the worker waits until these are taken
  void command_ended(std::string failure, bool is_dropped = false);
  void push(BuildbotPiece piece);
  void end(const Failure& failure);  ///< of the connection
  [[nodiscard]] std::size_t backlog() const noexcept { return backlog_; }
  [[nodiscard]] bool has_left() const noexcept { return has_left_; }
  /// Its output was not taken while other operations waited.
  void overflow();
  /// Without the mutex: the operation is over for those who wait for it.
  void finish_running() noexcept { running_.finish(); }

 protected:
  using Kind = buildbot::WorkerCommand::Kind;

  /// Runs a command of the worker, and calls `next` with its end. If the caller leaves before, clean_up() is called
  /// instead.
  void run(const buildbot::WorkerCommand& command, Next next, Streams streams = {});

  /// The command for a small program of /bin/sh, which gets the arguments as $1 and so on: they are never a part of its
  /// text.
  [[nodiscard]] buildbot::WorkerCommand shell(const char* program, std::vector<std::string> args) const;

  /// Looks at a path, following links. nullopt: it is missing.
  void look(const std::string& path, std::function<void(Result<std::optional<FileInfo>>)> next);

  /// Calls `next` if the path is a directory. Otherwise the operation fails.
  void need_directory(const std::string& path, std::function<void()> next);

  /// Calls `next` with what the path is, if it is there and no directory. Otherwise the operation fails.
  void need_file(const std::string& path, std::function<void(const FileInfo&)> next);

  /// Waits for the answer to a request of the session.
  void ask(std::uint64_t request, std::function<void(Result<Value>)> next);

  /// The operation is over. Nothing may run.
  void finish(Result<void> result = {});

  /// Finishes as a command that concerns a path has ended.
  [[nodiscard]] Next finish_with(std::string path);

  // Called as the pieces of a file move.
  virtual void count_input(std::uint64_t /*bytes*/) {}
  virtual void count_output(std::uint64_t /*bytes*/) {}

  /// Called in place of the next step when the caller has left. Removes what is half done, and calls finish().
  virtual void clean_up() { finish(); }

  /// A path of a request as an absolute path of the worker. Fails if it is no UTF-8.
  [[nodiscard]] Result<std::string> absolute(const Bytes& path) const;

  [[nodiscard]] buildbot::WorkerSession& session() noexcept { return *worker_.session; }
  [[nodiscard]] bool is_running() const noexcept { return !command_.empty(); }
  void interrupt_command(std::string_view why);
  /// The same for a command that may wait for a piece of a file, which it does not get any more.
  void interrupt_transfer(std::string_view why);

  [[nodiscard]] BuildbotWorker& worker() noexcept { return worker_; }
  [[nodiscard]] const BuildbotInfo& info() const noexcept { return worker_.info; }
  [[nodiscard]] BuildbotScript* script_of(std::uint64_t operation) noexcept;

 private:
  BuildbotWorker& worker_;
  RunningOperations::Running running_;
  std::optional<Result<void>> result_;
  bool has_left_ = false;
  bool is_cleaning_ = false;
  std::optional<Failure> forced_;  // the failure of an operation that we have ended

  // The command that runs.
  std::string command_;  // its id; empty: none
  Next next_;
  Streams streams_;
  CommandEnd so_far_;
  bool awaits_piece_ = false;  // the worker waits until a piece is taken, or given

  std::deque<BuildbotPiece> pieces_;
  std::size_t backlog_ = 0;
  Waker wake_;
};

/// The script of one kind of operation.
template <class Operation>
class BuildbotScriptOf : public BuildbotScript {
 public:
  using Described = Operation;

  BuildbotScriptOf(BuildbotWorker& worker, typename Operation::Request asked)
      : BuildbotScript(worker), request(std::move(asked)) {}

  void give_reply(AskedOperation& operation) override { static_cast<Asked<Operation>&>(operation).reply = reply; }

 protected:
  const typename Operation::Request request;
  typename Operation::Reply reply{};
};

/// The script of an operation, or why the worker cannot do it.
Result<std::shared_ptr<BuildbotScript>> make_buildbot_script(BuildbotWorker& worker, AskedOperation& operation);

/// The script of an execute, or why the worker cannot do it. `has_input`: the caller gives the input while it waits.
Result<std::shared_ptr<BuildbotScript>> make_buildbot_execute(BuildbotWorker& worker,
                                                              const operations::Execute::Request& request,
                                                              bool has_input);

/// The failure of what a Buildbot worker cannot do.
inline Failure unsupported_by_buildbot(const std::string& what) {
  return {Errc::unsupported, "the slave is a worker of Buildbot, which " + what, 0};
}

}  // namespace remsh
