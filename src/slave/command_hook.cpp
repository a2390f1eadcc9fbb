#include "slave/command_hook.hpp"

#include "base/clock.hpp"
#include "base/format.hpp"
#include "base/seconds.hpp"
#include "base/shell_quote.hpp"
#include "base/text.hpp"
#include "operations/operations.hpp"
#include "os/process.hpp"
#include "os/process_table.hpp"
#include "slave/command_environment.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <optional>
#include <utility>

namespace remsh {

namespace {

/// How much of the output of a hook is kept for its message.
constexpr std::size_t kept_hook_output = 400;

/// How often a running hook is looked at, in milliseconds, so that it ends soon with its call.
constexpr int hook_look = 100;

std::string absolute_hook(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).string();
}

/// A hook that runs, and the beginning of what it writes.
class RunningHook {
 public:
  RunningHook(Process process, UniqueFd output) : process_(std::move(process)), output_(std::move(output)) {}

  /// Waits until it has ended. False at the deadline, and when it is unwanted.
  bool wait(TimePoint deadline, const std::function<bool()>& is_unwanted) {
    while (!process_.has_ended()) {
      if (real_clock().now() >= deadline || is_unwanted()) return false;
      std::array<pollfd, 2> ready{{{process_.exit_descriptor(), POLLIN, 0}, {output_.get(), POLLIN, 0}}};
      ::poll(ready.data(), output_ ? 2 : 1, hook_look);
      read();
    }
    read();
    return true;
  }

  /// Kills what is left in its group, and returns how it ended.
  Result<std::optional<ExitStatus>> end() {
    process_.signal_group(SIGKILL);
    while (!process_.has_ended()) {
      pollfd ready{process_.exit_descriptor(), POLLIN, 0};
      ::poll(&ready, 1, hook_look);
    }
    return process_.reap();
  }

  /// What it has written, for a message.
  [[nodiscard]] std::string words() const {
    std::string text = written_.substr(0, written_.find_last_not_of("\n\r\t ") + 1);
    return without_controls(text);
  }

 private:
  void read() {
    std::array<char, 4096> buffer{};
    while (output_) {
      const ssize_t count = ::read(output_.get(), buffer.data(), buffer.size());
      if (count == 0) output_.reset();
      if (count <= 0) return;
      const std::size_t room = kept_hook_output - std::min(kept_hook_output, written_.size());
      written_.append(buffer.data(), std::min(room, static_cast<std::size_t>(count)));
    }
  }

  Process process_;
  UniqueFd output_;
  std::string written_;
};

Result<RunningHook> start_hook(const std::string& program, const HookedCommand& command,
                               std::vector<Bytes> environment) {
  auto pipe = open_pipe_from_child();
  if (!pipe) return std::move(pipe).failure();
  SpawnRequest request;
  request.args = {program};
  request.env = std::move(environment);
  request.cwd = command.directory;
  request.out = request.err = pipe->theirs.get();
  request.session = true;
  auto process = spawn(request);
  if (!process) return std::move(process).failure();
  return RunningHook(std::move(*process), std::move(pipe->ours));
}

}  // namespace

CommandHooks CommandHooks::of(const SlaveOptions& options) {
  return {absolute_hook(options.before_command), absolute_hook(options.after_command), options.hook_timeout,
          options.name};
}

Bytes quoted_for_shell(const std::vector<Bytes>& words) {
  Bytes text;
  for (const Bytes& word : words) text += (text.empty() ? "" : " ") + quoted_for_shell(word);
  return text;
}

Result<void> run_command_hook(const CommandHooks& hooks, const HookedCommand& command,
                              const std::vector<Bytes>& environment, const std::string& result,
                              const std::function<bool()>& is_unwanted) {
  const bool is_before = result.empty();
  const std::string& program = is_before ? hooks.before : hooks.after;
  const std::string what =
      formatted("the slave's hook {} {} the command", in_quotes(program), is_before ? "before" : "after");
  // Marked as a command is, so that a master that has started this slave, and ends it, finds the hook.
  std::vector<Bytes> env = environment_of(environment, operations::Execute::Request{}, new_command_name());
  env.push_back(formatted("REMSH_HOOK={}", is_before ? "before" : "after"));
  env.push_back("REMSH_HOOK_COMMAND=" + quoted_for_shell(command.args));
  env.push_back("REMSH_HOOK_CWD=" + command.cwd);
  env.push_back("REMSH_HOOK_USER=" + command.user);
  env.push_back("REMSH_HOOK_SLAVE=" + hooks.slave);
  if (!is_before) env.push_back("REMSH_HOOK_RESULT=" + result);
  auto hook = start_hook(program, command, std::move(env));
  if (!hook) return Failure{hook.failure().code, formatted("{}: {}", what, hook.failure().message), hook.failure().os};
  const bool has_ended = hook->wait(real_clock().now() + hooks.limit, is_unwanted);
  const auto status = hook->end();
  const std::string words = hook->words().empty() ? "" : ": " + hook->words();
  if (!has_ended && is_unwanted()) return Failure{Errc::cancelled, "the command was stopped before it began", 0};
  if (!has_ended) {
    return Failure{Errc::remote_failure,
                   formatted("{} took more than {} and was killed{}", what, in_seconds(hooks.limit), words), 0};
  }
  if (!status) return status.failure();
  if (!*status) return Failure{Errc::remote_failure, what + ": its exit status cannot be had", 0};
  if ((*status)->signal) {
    return Failure{Errc::remote_failure, formatted("{} was ended by signal {}{}", what, *(*status)->signal, words), 0};
  }
  if ((*status)->code != 0) {
    return Failure{Errc::remote_failure,
                   formatted("{} {} (exit code {}){}", what, is_before ? "does not allow it" : "has failed",
                             (*status)->code.value_or(-1), words),
                   0};
  }
  return {};
}

}  // namespace remsh
