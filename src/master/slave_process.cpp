#include "master/slave_process.hpp"

#include "auth/handshake.hpp"
#include "base/embedded_mark.hpp"
#include "base/text.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/base/error.hpp>

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <future>

extern char** environ;

namespace remsh {

void check_slave_command(const SlaveCommand& command, const char* operation) {
  if (command.embedded && !command.args.empty()) {
    throw Error(Errc::invalid_argument, "", operation, "`embedded` and `command` exclude each other");
  }
}

void check_slave_name(const std::string& name) {
  if (auth::is_slave_name(name)) return;
  throw Error(Errc::invalid_argument, "", "start '" + escaped(name) + "'",
              "a name is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or digit");
}

Result<SlaveProcess> SlaveProcess::start(const SlaveCommand& command, const std::vector<std::string>& more, int in,
                                         int out, int err) {
  SpawnRequest request;
  if (command.embedded) {
    if (std::getenv(embedded_variable) != nullptr) {
      return Failure{Errc::invalid_argument,
                     "this process was itself started to be a slave: begin main() with remsh::run_embedded_slave()", 0};
    }
    request.args = {"/proc/self/exe", embedded_mark};
    request.env.push_back(std::string(embedded_variable) + "=1");
  } else {
    request.args = command.args.empty() ? std::vector<Bytes>{"remsh-slave"} : command.args;
  }
  request.args.insert(request.args.end(), more.begin(), more.end());
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    request.env.emplace_back(*variable);
  }
  Bytes marker = new_command_name();
  Bytes entry = command_entry(request.env, marker);
  std::erase_if(request.env, [](const Bytes& other) { return other.starts_with(Bytes(command_variable) + "="); });
  request.env.push_back(std::move(entry));
  request.in = in;
  request.out = out;
  request.err = err;
  auto process = spawn(request);
  if (process) return SlaveProcess(std::move(*process), std::move(marker), command.embedded);
  Failure failure = std::move(process).failure();
  if (failure.os != 0) failure.code = Errc::local_os_error;
  if (!command.embedded && command.args.empty()) {
    failure.message += "; install remsh-slave on the PATH, or give a command or `embedded`";
  }
  return failure;
}

bool SlaveProcess::wait_for_end(std::chrono::milliseconds limit) const {
  const TimePoint until = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd end{process_.exit_descriptor(), POLLIN, 0};
    const int ready = ::poll(&end, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000)));
    if (ready > 0) return true;
    if (left.count() <= 0) return false;
  }
}

void SlaveProcess::terminate(TreeKiller& killer, std::chrono::milliseconds patience) {
  std::promise<void> over;
  const TimePoint now = std::chrono::steady_clock::now();
  killer.end({process_.pid(), marker_}, now, now + patience, [&over](bool) { over.set_value(); });
  over.get_future().wait();
}

void SlaveProcess::kill() noexcept { process_.signal_group(SIGKILL); }

SlaveProcess::End SlaveProcess::take_end() {
  const auto status = process_.reap();
  if (!status || !*status) return {"how its process ended is not known", {}};
  if ((*status)->signal) return {"its process was killed by signal " + std::to_string(*(*status)->signal), {}};
  const int code = (*status)->code.value_or(-1);
  const std::string text = "its process ended with exit code " + std::to_string(code);
  constexpr int lowest_of_a_slave = 64;  // README has the table
  constexpr int highest_of_a_slave = 77;
  if (code >= lowest_of_a_slave && code <= highest_of_a_slave) return {text, "; why, it said on stderr"};
  return {text, embedded_ ? "; does main() begin with remsh::run_embedded_slave()?" : "; is it a remsh-slave?"};
}

}  // namespace remsh
