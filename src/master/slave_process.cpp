#include "master/slave_process.hpp"

#include "auth/handshake_grammar.hpp"
#include "auth/key_line.hpp"
#include "auth/resources.hpp"
#include "base/embedded_mark.hpp"
#include "base/exit_code.hpp"
#include "base/format.hpp"
#include "base/hex.hpp"
#include "base/text.hpp"

#include <remsh/base/error.hpp>

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <span>
#include <string_view>

extern char** environ;

namespace remsh {

namespace {

/// The variables that programs need to run at all and to talk to their user, and none that usually holds a secret; LC_*
/// are passed on as well. SSH_AUTH_SOCK is for commands such as ssh. Those from LD_LIBRARY_PATH on decide how programs
/// are loaded.
constexpr std::array<std::string_view, 18> passed_on{"PATH",
                                                     "HOME",
                                                     "USER",
                                                     "LOGNAME",
                                                     "SHELL",
                                                     "LANG",
                                                     "LANGUAGE",
                                                     "TZ",
                                                     "TMPDIR",
                                                     "TERM",
                                                     "XDG_RUNTIME_DIR",
                                                     "SSH_AUTH_SOCK",
                                                     "LD_LIBRARY_PATH",
                                                     "LD_PRELOAD",
                                                     "ASAN_OPTIONS",
                                                     "LSAN_OPTIONS",
                                                     "TSAN_OPTIONS",
                                                     "UBSAN_OPTIONS"};

bool is_passed_on(BytesView name) {
  return name.starts_with("LC_") || std::find(passed_on.begin(), passed_on.end(), name) != passed_on.end();
}

BytesView name_of(BytesView variable) { return variable.substr(0, variable.find('=')); }

bool is_shell_proof(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("/._-:,@+=").find(c) != std::string_view::npos;
}

Bytes percent_encoded(BytesView text) {
  Bytes result;
  for (const char c : text) {
    if (is_shell_proof(c)) {
      result += c;
    } else {
      result += '%';
      append_hex(result, c, upper_hex);
    }
  }
  return result;
}

}  // namespace

void check_slave_command(const SlaveCommand& command, const std::string& operation, const std::string& slave) {
  const auto refuse = [&](const std::string& why) { throw Error(Errc::invalid_argument, slave, operation, why); };
  if (command.embedded && !command.args.empty()) refuse("`embedded` and `command` exclude each other");
  if (command.clear_env && command.inherit_env) refuse("`clear_env` and `inherit_env` exclude each other");
  for (const auto& [name, value] : command.env) {
    if (name.empty() || name.find_first_of(BytesView("=\0", 2)) != Bytes::npos ||
        (value && value->find('\0') != Bytes::npos)) {
      refuse(formatted("`env`: {} cannot be the name of a variable, or its value has a zero byte", in_quotes(name)));
    }
  }
}

SlaveCommand command_for(const SlaveCommand& command, const StartOptions& options, const std::string& basedir,
                         const std::string& operation) {
  const auto refuse = [&](const std::string& why) {
    throw Error(Errc::invalid_argument, options.name, operation, why);
  };
  if (!options.name.empty() && !auth::is_slave_name(options.name)) {
    refuse("a name is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or digit");
  }
  if (basedir.find('\0') != std::string::npos) refuse("a path has no zero byte in it");
  if (const auto checked = auth::check_labels(options.labels); !checked) refuse(checked.failure().message);
  if (const auto checked = auth::check_resources(options.slots, options.resources); !checked) {
    refuse(checked.failure().message);
  }
  SlaveCommand result = command;
  if (options.slots != auth::default_slots) result.options.push_back(formatted("--slots={}", options.slots));
  for (const auto& [name, count] : options.resources) {
    result.options.push_back(formatted("--resource={}={}", name, count));
  }
  for (const auto& [name, value] : options.env) result.env.insert_or_assign(name, value);
  check_slave_command(result, operation, options.name);
  return result;
}

Failure of_this_system(Failure failure) {
  if (failure.code == Errc::os_error) failure.code = Errc::local_os_error;
  return failure;
}

std::span<const std::string_view> variables_passed_on() noexcept { return passed_on; }

std::vector<Bytes> slave_environment(const SlaveCommand& command, const std::vector<Bytes>& ours) {
  std::vector<Bytes> result;
  for (const Bytes& variable : ours) {
    const BytesView name = name_of(variable);
    if (command.clear_env || command.env.contains(Bytes(name))) continue;
    if (command.inherit_env || is_passed_on(name)) result.push_back(variable);
  }
  for (const auto& [name, value] : command.env) {
    if (value) result.push_back(name + '=' + *value);
  }
  std::erase_if(result, [](const Bytes& variable) {
    return name_of(variable) == command_variable || name_of(variable) == embedded_variable;
  });
  return result;
}

std::vector<Bytes> shell_proof(const std::vector<Bytes>& options) {
  const auto is_proof = [](const Bytes& option) { return std::all_of(option.begin(), option.end(), is_shell_proof); };
  if (std::all_of(options.begin(), options.end(), is_proof)) return options;
  std::vector<Bytes> result{"--percent-encoded"};
  for (const Bytes& option : options) result.push_back(percent_encoded(option));
  return result;
}

Result<SlaveProcess> SlaveProcess::start(const SlaveCommand& command, const std::vector<Bytes>& options, int in,
                                         int out, int err) {
  std::vector<Bytes> ours;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) ours.emplace_back(*variable);
  SpawnRequest request;
  request.env = slave_environment(command, ours);
  if (command.embedded) {
    if (std::getenv(embedded_variable) != nullptr) {
      return Failure{Errc::invalid_argument,
                     "this process was itself started to be a slave: begin main() with remsh::run_embedded_slave()", 0};
    }
    request.args = {"/proc/self/exe", embedded_mark};
    request.env.push_back(formatted("{}=1", embedded_variable));
  } else {
    request.args = command.args.empty() ? std::vector<Bytes>{"remsh-slave"} : command.args;
  }
  std::vector<Bytes> all = command.options;
  all.insert(all.end(), options.begin(), options.end());
  const std::vector<Bytes> more = shell_proof(all);
  request.args.insert(request.args.end(), more.begin(), more.end());
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
  constexpr int of_ssh = 255;  // ssh itself failed: the slave's own end is unknown
  siginfo_t info{};
  int result = 0;
  do {
    result = ::waitid(P_PID, static_cast<id_t>(process_.pid()), &info, WEXITED | WNOHANG | WNOWAIT);
  } while (result != 0 && errno == EINTR);
  End end;
  if (result != 0 || info.si_pid != process_.pid()) return end;
  const int code = info.si_status;
  if (info.si_code != CLD_EXITED) {
    end.how = formatted("its process was killed by signal {}", code);
    return end;
  }
  end.how = formatted("its process ended with exit code {}", code);
  const bool is_of_a_slave = is_error_of_slave(code);
  end.is_orderly = code == exit_ok || is_of_a_slave || code == of_ssh;
  end.cannot_work_here = code == exit_software;
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
