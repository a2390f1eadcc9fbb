// What the caller of a command asks of it while it runs.
#include "base/format.hpp"
#include "base/secret_mask.hpp"
#include "base/text.hpp"
#include "os/file.hpp"
#include "os/terminal.hpp"
#include "slave/add_operation.hpp"
#include "slave/command.hpp"

#include <cerrno>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace remsh {

using operations::Interrupt;
using operations::Resize;
using operations::RunningReply;
using operations::Signal;

/// Answers a call that was handed over to this command.
void CommandSet::Command::serve(rpc::ServedCall& request) {
  const auto run = [&]<class Operation>(std::type_identity<Operation>, auto work) {
    if (request.command() != Operation::what.name) return;
    const auto asked = operations::request_from_box<typename Operation::Request>(request.arguments());
    if (!asked) return request.fail(asked.failure());
    const Result<bool> running = work(*asked);
    if (!running) return request.fail(running.failure());
    request.answer(operations::to_box(RunningReply{*running}));
  };
  run(std::type_identity<Interrupt>(), [this](const auto& asked) { return Result<bool>(interrupt(asked)); });
  run(std::type_identity<Signal>(), [this](const auto& asked) { return signal(asked); });
  run(std::type_identity<Resize>(), [this](const auto& asked) { return resize(asked); });
}

/// False if the command is over but for its answer.
bool CommandSet::Command::interrupt(const Interrupt::Request& request) {
  if (stuck_ || looked_) return false;
  if (ending_ != Ending::by_itself) return true;
  const std::string text = formatted("interrupting command {} ({}){}{}", in_quotes(request.target),
                                     in_quotes(request_.args.front()), request.why.empty() ? "" : ": ", request.why);
  shared_->log.write(LogLevel::info, "", SecretMask(request_.secrets).applied_to(text));
  end(Ending::interrupted, request.why.empty() ? "interrupted" : formatted("interrupted ({})", request.why));
  return true;
}

Result<bool> CommandSet::Command::signal(const Signal::Request& request) {
  if (stuck_ || looked_) return false;
  errno = ESRCH;  // if it is not even tried
  if (process_->signal_group(static_cast<int>(request.number))) return true;
  return os_failure(errno, formatted("signal {}", request.number));
}

Result<bool> CommandSet::Command::resize(const Resize::Request& request) {
  if (stuck_ || looked_) return false;
  if (!terminal_)
    return Failure{Errc::invalid_argument,
                   "the command has no terminal: it needs one in its options when it is started", 0};
  const Result<void> resized = resize_terminal(
      terminal_.get(), {static_cast<std::uint16_t>(request.columns), static_cast<std::uint16_t>(request.rows)});
  if (!resized) return resized.failure();
  return true;
}

namespace {

template <class Operation>
void add_request_to_command(Dispatcher& dispatcher) {
  add_lasting_operation<Operation>(
      dispatcher, [](typename Operation::Request request, const std::shared_ptr<rpc::ServedCall>& call) {
        const bool is_handed = call->hand_over_to(request.target, operations::Execute::what.name);
        if (!is_handed) call->answer(operations::to_box(RunningReply{}));
      });
}

}  // namespace

void add_requests_to_commands(Dispatcher& dispatcher) {
  add_request_to_command<Interrupt>(dispatcher);
  add_request_to_command<Signal>(dispatcher);
  add_request_to_command<Resize>(dispatcher);
}

}  // namespace remsh
