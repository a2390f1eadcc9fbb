// execute: the set of commands. The life of one command is in command.hpp. docs/protocol.md section 7.
#include "slave/execute.hpp"

#include "base/format.hpp"
#include "base/secret_mask.hpp"
#include "base/text.hpp"
#include "os/file.hpp"
#include "slave/add_operation.hpp"
#include "slave/command.hpp"
#include "slave/command_set_shared.hpp"

#include <cerrno>
#include <chrono>
#include <exception>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

namespace remsh {

using operations::Execute;

CommandSet::CommandSet(std::shared_ptr<Loop> loop, Duration background_grace, LogHook log, CommandHooks hooks,
                       std::vector<std::string> users)
    : shared_(std::make_shared<Shared>(std::move(loop), background_grace, std::move(log), std::move(hooks),
                                       std::move(users))) {}

CommandSet::~CommandSet() { stop(); }

void CommandSet::execute(Execute::Request request, const std::shared_ptr<rpc::ServedCall>& call,
                         const Workplace& workplace) {
  const auto fail = [&call, mask = SecretMask(request.secrets)](Failure failure) {
    failure.message = mask.applied_to(failure.message);
    call->fail(std::move(failure));
  };
  std::shared_ptr<const Directory> where = workplace.current();
  if (!request.cwd.empty()) {
    Result<Directory> directory = workplace.open_directory(request.cwd);
    if (!directory) {
      Failure failure = directory.failure();
      failure.message = formatted("cwd {}: {}", in_quotes(request.cwd), failure.message);
      return fail(std::move(failure));
    }
    where = std::make_shared<const Directory>(std::move(*directory));
  }
  auto logs = CommandLogs::of(request, workplace, where);
  if (!logs) return fail(std::move(logs).failure());

  const auto command = std::make_shared<Command>(shared_, call, std::move(request), where->path(), std::move(*logs));
  if (!shared_->add(command)) return fail({Errc::cancelled, "the slave is being stopped", 0});
  try {
    Result<void> spawned = command->spawn_with_hooks(*where);
    if (spawned) {
      const std::lock_guard lock(shared_->mutex);
      if (!shared_->is_given_up) {
        shared_->loop->post([command] { command->start(); });
        return;
      }
    } else {
      fail(std::move(spawned).failure());
    }
  } catch (const std::system_error& error) {
    fail(os_failure(error.code().value(), "what is needed to end the command"));
  } catch (const std::exception& error) {
    fail({Errc::remote_failure, error.what(), 0});
  }
  shared_->remove(*command);
}

void CommandSet::begin_stop() {
  std::unique_lock lock(shared_->mutex);
  shared_->stopping = true;
  std::vector<std::shared_ptr<Command>> all;
  for (const auto& [key, command] : shared_->commands) all.push_back(command);
  const std::vector<Shared::Background> background = std::exchange(shared_->background, {});
  lock.unlock();
  for (const auto& command : all) shared_->loop->post([command] { command->stop(); });
  for (const Shared::Background& left : background) shared_->end_background(left);
}

void CommandSet::stop() {
  begin_stop();
  {
    std::unique_lock lock(shared_->mutex);
    // A thread may hang in the file system before its command has begun; no other thread can end that.
    const Duration of_hook = shared_->hooks.after.empty() ? Duration::zero() : Duration(shared_->hooks.limit);
    const auto limit = shared_->loop->now() + 2 * farewell + std::chrono::seconds(2) + of_hook;
    if (!shared_->changed.wait_until(lock, limit, [this] { return shared_->commands.empty(); })) {
      shared_->is_given_up = true;
    }
  }
  std::unique_lock lock(shared_->endings->mutex);
  shared_->endings->changed.wait(lock, [this] { return shared_->endings->count == 0; });
}

std::size_t CommandSet::size() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->commands.size();
}

void add_execute(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace, std::shared_ptr<CommandSet> commands,
                 bool may_read_files) {
  add_lasting_operation<Execute>(
      dispatcher, [workplace = std::move(workplace), commands = std::move(commands), may_read_files](
                      Execute::Request request, const std::shared_ptr<rpc::ServedCall>& call) {
        if (!may_read_files && !request.logs.empty()) {
          return call->fail(
              {Errc::os_error, "The policy of this slave does not allow 'fetch', and so no log files", EPERM});
        }
        commands->execute(std::move(request), call, *workplace);
      });
  add_requests_to_commands(dispatcher);
}

}  // namespace remsh
