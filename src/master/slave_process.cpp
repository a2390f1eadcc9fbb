#include "master/slave_process.hpp"

#include "auth/handshake.hpp"
#include "base/embedded_mark.hpp"
#include "base/text.hpp"

#include <remsh/base/error.hpp>

#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>

extern char** environ;

namespace remsh {

void check_slave_command(const SlaveCommand& command, const char* operation) {
  const auto refuse = [operation](const std::string& why) { throw Error(Errc::invalid_argument, "", operation, why); };
  if (command.embedded && !command.args.empty()) refuse("`embedded` and `command` exclude each other");
}

void check_slave_name(const std::string& name) {
  if (auth::is_slave_name(name)) return;
  throw Error(Errc::invalid_argument, "", "start '" + escaped(name) + "'",
              "a name is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or digit");
}

Failure of_this_system(Failure failure) {
  if (failure.code == Errc::os_error) failure.code = Errc::local_os_error;
  return failure;
}

Result<SlaveProcess> SlaveProcess::start(const SlaveCommand& command, const std::vector<Bytes>& options, int in,
                                         int out, int err) {
  std::vector<Bytes> ours;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) ours.emplace_back(*variable);
  SpawnRequest request;
  request.env = ours;
  std::erase_if(request.env, [](const Bytes& other) { return other.starts_with(Bytes(command_variable) + "="); });
  if (command.embedded) {
    if (std::getenv(embedded_variable) != nullptr) {
      return Failure{Errc::invalid_argument,
                     "this process was itself started to be a slave: begin main() with remsh::run_embedded_slave()", 0};
    }
    request.args = {"/proc/self/exe", embedded_mark};
    request.env.push_back(Bytes(embedded_variable) + "=1");
  } else {
    request.args = command.args.empty() ? std::vector<Bytes>{"remsh-slave"} : command.args;
  }
  request.args.insert(request.args.end(), options.begin(), options.end());
  Bytes marker = new_command_name();
  request.env.push_back(command_entry(ours, marker));
  request.in = in;
  request.out = out;
  request.err = err;
  auto process = spawn(request);
  if (process) return SlaveProcess(std::move(*process), std::move(marker), command.embedded);
  Failure failure = of_this_system(std::move(process).failure());
  if (!command.embedded && command.args.empty()) {
    failure.message += "; install remsh-slave on the PATH, or give a command or `embedded`";
  }
  return failure;
}

SlaveProcess::End SlaveProcess::end() const {
  // README has the table of a slave's exit codes.
  constexpr int lowest_of_a_slave = 64;
  constexpr int highest_of_a_slave = 77;
  constexpr int cannot_work_here = 70;
  constexpr int of_ssh =
      255;  // ssh's own: nothing of the slave is here, and a connection that it shares is others' too
  siginfo_t info{};
  int result = 0;
  do {
    result = ::waitid(P_PID, static_cast<id_t>(process_.pid()), &info, WEXITED | WNOHANG | WNOWAIT);
  } while (result != 0 && errno == EINTR);
  End end;
  if (result != 0 || info.si_pid != process_.pid()) return end;
  const int code = info.si_status;
  if (info.si_code != CLD_EXITED) {
    end.how = "its process was killed by signal " + std::to_string(code);
    return end;
  }
  end.how = "its process ended with exit code " + std::to_string(code);
  const bool is_of_a_slave = code >= lowest_of_a_slave && code <= highest_of_a_slave;
  end.is_orderly = code == 0 || is_of_a_slave || code == of_ssh;
  end.cannot_work_here = code == cannot_work_here;
  if (!is_of_a_slave) {
    end.hint = embedded_ ? "; does main() begin with remsh::run_embedded_slave()?" : "; is it a remsh-slave?";
  }
  return end;
}

bool SlaveProcess::reap() {
  const auto status = process_.reap();
  return !status || status->has_value();
}

}  // namespace remsh
