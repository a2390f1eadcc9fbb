// CommandSet::Command: one command, from the call to the answer. Private to CommandSet. docs/protocol.md section 7.
#pragma once

#include "base/result.hpp"
#include "operations/operations.hpp"
#include "os/control_group.hpp"
#include "os/directory.hpp"
#include "os/process.hpp"
#include "os/process_tree.hpp"
#include "os/terminal.hpp"
#include "os/unique_fd.hpp"
#include "rpc/served_call.hpp"
#include "slave/command_logs.hpp"
#include "slave/command_set_shared.hpp"
#include "slave/output_cap.hpp"
#include "transport/loop.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace remsh {

/// One command. Constructed on a server thread; from start() on it belongs to the loop.
///
/// command.cpp starts it and takes its events, command_streams.cpp moves its output and input, command_end.cpp ends it,
/// waits for what it leaves behind, and answers the call.
class CommandSet::Command final : public Watched, public std::enable_shared_from_this<Command> {
 public:
  Command(std::shared_ptr<Shared> shared, std::shared_ptr<rpc::ServedCall> call, operations::Execute::Request request,
          Bytes directory, std::vector<CommandLogs::Log> logs)
      : shared_(std::move(shared)),
        call_(std::move(call)),
        request_(std::move(request)),
        name_(new_command_name()),
        directory_(std::move(directory)),
        asked_logs_(std::move(logs)) {}

  /// Runs the hook before the command, and makes the pipes and the process. Called on the server thread.
  Result<void> spawn_with_hooks(const Directory& directory);

  /// Waits for the hook after the command, if it runs.
  ~Command();

  void start();

  /// Ends the command as a cancel does. May be called before start().
  void stop();

  void on_ready(std::uint32_t number, Ready directions) override;

 private:
  /// The descriptors that are watched; the low bits of an event's number.
  enum Source : std::uint32_t { out, err, in, exit, source_count };
  static constexpr std::uint32_t source_mask = 3;

  enum class Ending : std::uint8_t { by_itself, timed_out, silent, interrupted, cancelled };

  struct Output {
    rpc::StreamName name;
    OutputCap cap;
    UniqueFd pipe = UniqueFd();
    bool enlarged = false;
    bool waits_for_room = false;
    std::size_t owed = 0;  // unread bytes of those that were in the pipe when the command ended
  };

  struct InputState {
    UniqueFd pipe;
    std::optional<rpc::Chunk> chunk;
    std::size_t written = 0;  // of the chunk
    bool ended = false;
    bool in_line = false;  // the last byte that was written did not end a line
    Bytes ending = {};     // for a terminal: what is typed after the end
  };

  Result<void> spawn_in(const Directory& directory);
  bool begin_hook_after();
  void run_hook_after(const std::string& result);
  void on_hook_over(bool);
  [[nodiscard]] std::string result_for_hook() const;

  Result<void> make_group(SpawnSettings& settings);
  Result<void> open_streams(SpawnRequest& request, std::array<UniqueFd, 3>& theirs);
  Result<void> open_command_terminal(SpawnRequest& request, UniqueFd& theirs);
  Result<void> start_logs(std::optional<UserAccount> user);
  [[nodiscard]] bool are_logs_over();
  void on_logs_over(bool);
  void give_up_logs();

  void arm(Source source, int descriptor, Ready directions);
  void close(Source source, UniqueFd& descriptor);
  [[nodiscard]] TimePoint now() const { return shared_->loop->now(); }
  Loop::TimerId after(Duration wait, void (Command::*what)());
  [[nodiscard]] Source source_of(const Output& output) const { return output.name == rpc::StreamName::out ? out : err; }

  void on_change();
  void serve(rpc::ServedCall& request);
  bool interrupt(const operations::Interrupt::Request& request);
  Result<bool> signal(const operations::Signal::Request& request);
  Result<bool> resize(const operations::Resize::Request& request);
  void on_timeout();
  void on_silence();
  void end_for(Ending limit, const std::string& why);
  void on_grace_over();
  std::function<void(bool)> posted(void (Command::*what)(bool));
  void on_killed(bool gone);
  void on_looked(bool left);

  [[nodiscard]] bool has_open_output() const;
  [[nodiscard]] bool is_output_held() const;
  void close_if_at_end(Output& output);
  void read(Output& output);
  void send(Output& output, std::size_t count);
  bool send_mark(Output& output);
  void send_header(BytesView lines);
  void wait_for_room(Output& output);
  [[nodiscard]] std::optional<std::uint64_t> time_for_caller() const;
  void write_input();
  bool write_to_command(BytesView bytes, std::size_t& left);
  void leader_ended();
  void end(Ending ending, const std::string& why = {});
  void kill_all(const std::string& why);
  [[nodiscard]] bool is_to_hurry() const { return call_->lost() || shared_->is_stopping(); }
  void hurry();
  bool look_for_background();

  /// Called after every event: answers if everything is done, otherwise writes what was sent.
  void settle();
  [[nodiscard]] bool is_done() const;
  void answer();
  void release();

  const std::shared_ptr<Shared> shared_;
  std::shared_ptr<rpc::ServedCall> call_;
  const operations::Execute::Request request_;
  const Bytes name_;  // of the process tree
  const Bytes directory_;
  std::vector<CommandLogs::Log> asked_logs_;
  int stop_signal_ = SIGTERM;
  UniqueFd terminal_;  // if it has one
  std::optional<Process> process_;
  std::optional<ControlGroup> group_;  // if it has limits for all of its processes together
  std::array<Output, 2> outputs_{Output{rpc::StreamName::out, {request_.max_bytes, request_.max_lines}},
                                 Output{rpc::StreamName::err, {request_.max_bytes, request_.max_lines}}};
  InputState input_;
  std::optional<CommandLogs> logs_;  // if there are log files

  std::uint32_t slot_ = 0;
  std::uint32_t armings_ = 0;
  std::array<std::uint32_t, source_count> armed_{};  // the number of the event that is awaited; 0: none
  std::optional<Loop::TimerId> timeout_;
  std::optional<Loop::TimerId> silence_;
  std::optional<Loop::TimerId> grace_;
  std::optional<Loop::TimerId> logs_patience_;
  std::atomic<bool> change_posted_{false};

  TimePoint begun_at_{};
  TimePoint wrote_at_{};  // when output was last read; at first the start
  TimePoint ended_at_{};

  bool started_ = false;
  bool stopped_ = false;  // stop() was called before start()
  Ending ending_ = Ending::by_itself;
  bool killing_ = false;
  bool looked_ = false;  // for processes left in the background
  bool looking_ = false;
  bool left_ = false;        // a process was left in the background
  bool ended_left_ = false;  // it was ended
  bool stuck_ = false;       // it could not be killed; the call has failed
  bool exited_ = false;      // the first process has ended; it is reaped at the very end, so that its group stays ours
  bool grace_over_ = false;
  bool unflushed_ = false;
  bool are_logs_given_up_ = false;

  HookedCommand hooked_;  // for the hook after the command
  UniqueFd hook_directory_;
  bool hook_begun_ = false;
  std::thread hook_thread_;
};

}  // namespace remsh
