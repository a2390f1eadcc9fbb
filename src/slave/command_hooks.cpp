// A command and the hooks of the slave's owner before and after it.
#include "base/format.hpp"
#include "base/secret_mask.hpp"
#include "os/file.hpp"
#include "os/threads.hpp"
#include "slave/command.hpp"

#include <fcntl.h>

#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

namespace remsh {

CommandSet::Command::~Command() {
  if (hook_thread_.joinable()) hook_thread_.join();
}

Result<void> CommandSet::Command::spawn_with_hooks(const Directory& directory) {
  const CommandHooks& hooks = shared_->hooks;
  if (hooks.before.empty() && hooks.after.empty()) return spawn_in(directory);
  hooked_ = {request_.args, directory.path(), request_.user, directory.descriptor()};
  if (!hooks.before.empty()) {
    auto allowed = run_command_hook(hooks, hooked_, shared_->environment, {},
                                    [this] { return call_->cancelled() || shared_->is_stopping(); });
    if (!allowed) return allowed;
  }
  if (hooks.after.empty()) return spawn_in(directory);
  hook_directory_.reset(::fcntl(directory.descriptor(), F_DUPFD_CLOEXEC, 0));
  if (!hook_directory_) return os_failure(errno, "the directory of the hook after the command");
  hooked_.directory = hook_directory_.get();
  auto spawned = spawn_in(directory);
  if (!spawned) run_hook_after("not started");
  return spawned;
}

/// Runs the hook after the command in a thread of its own, if there is one. True if it runs: on_hook_over() follows.
bool CommandSet::Command::begin_hook_after() {
  if (shared_->hooks.after.empty() || std::exchange(hook_begun_, true)) return false;
  try {
    // The destructor waits for the thread, so it may use this object, and must not be its last user.
    hook_thread_ =
        start_thread("remsh-hook", [this, result = result_for_hook(), over = posted(&Command::on_hook_over)] {
          run_hook_after(result);
          over(true);
        });
  } catch (const std::system_error& error) {
    shared_->log.write(LogLevel::warning, "", formatted("the hook after a command has no thread: {}", error.what()));
    return false;
  }
  return true;
}

void CommandSet::Command::run_hook_after(const std::string& result) {
  try {
    const auto done = run_command_hook(shared_->hooks, hooked_, shared_->environment, result, [] { return false; });
    if (done) return;
    shared_->log.write(LogLevel::warning, "", SecretMask(request_.secrets).applied_to(done.failure().message));
  } catch (const std::exception& error) {
    shared_->log.write(LogLevel::warning, "", formatted("the hook after a command has failed: {}", error.what()));
  }
}

void CommandSet::Command::on_hook_over(bool /*unused*/) {
  hook_thread_.join();  // it has nothing else to do
  settle();
}

/// How the command has ended, in words for the hook.
std::string CommandSet::Command::result_for_hook() const {
  if (stuck_) return "stuck";
  switch (ending_) {
    case Ending::cancelled: return "stopped";
    case Ending::timed_out: return "timed out";
    case Ending::silent: return "silent";
    case Ending::interrupted: return "interrupted";
    case Ending::by_itself: break;
  }
  const std::optional<ExitStatus> status = process_->peek();
  if (status && status->code) return formatted("exit {}", *status->code);
  if (status && status->signal) return formatted("signal {}", *status->signal);
  return "unknown";
}

}  // namespace remsh
