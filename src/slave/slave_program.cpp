#include <remsh/slave/embedded.hpp>

#include "auth/key_file.hpp"
#include "base/exit_code.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "base/utc_time.hpp"
#include "os/descriptor_limit.hpp"
#include "os/guard.hpp"
#include "os/orphans.hpp"
#include "os/signal_thread.hpp"
#include "os/unique_fd.hpp"
#include "slave/key_input.hpp"
#include "slave/standard_streams.hpp"
#include "slave/stop_at_eof.hpp"

#include <remsh/base/error.hpp>
#include <remsh/version.hpp>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <chrono>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace remsh {

namespace {

void write_to_standard_error(const LogRecord& record) {
  const std::string line =
      formatted("{} remsh-slave[{}] {}: {}{}{}\n", to_local_text(std::chrono::system_clock::now()), ::getpid(),
                to_string(record.level), record.peer, record.peer.empty() ? "" : ": ", record.message);
  std::fputs(line.c_str(), stderr);
}

/// The hook of the options, or one that writes to standard error, down to the level of the options.
LogHook log_of(const SlaveProgramOptions& options) {
  if (options.slave.log) return options.slave.log;
  return [least = options.log_level](const LogRecord& record) {
    if (record.level >= least) write_to_standard_error(record);
  };
}

bool has_terminal() { return static_cast<bool>(UniqueFd(::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC))); }

/// Prepares a process to run commands for others.
void prepare_process(bool has_key) {
  ::signal(SIGCHLD, SIG_DFL);  // if SIGCHLD is ignored, as our parent may have left it, no command has an exit status
  raise_descriptor_limit();    // each command takes a few
  start_guard();               // before there are threads, secrets and children
  claim_orphans();             // orphans of commands become our children, so that they can be found and ended
#ifdef __linux__
  if (has_key) ::prctl(PR_SET_DUMPABLE, 0);  // nor may commands read our memory; and no core file contains the key
#else
  static_cast<void>(has_key);
#endif
}

/// Reads the key, if it is in a file or on standard input, so that an unusable key is reported early. Sets the slave's
/// name. Throws Error if that is not the name in the options.
Result<void> take_key(SlaveProgramOptions& options, int input) {
  SlaveOptions& slave = options.slave;
  if (!options.key_from_input && slave.key_file.empty()) return {};
  auto own = options.key_from_input ? read_key_input(input, false) : auth::read_own_key(slave.key_file);
  if (!own) return std::move(own).failure();
  if (!slave.name.empty() && slave.name != own->name) {
    const std::string where = options.key_from_input ? "on standard input" : "in " + in_quotes(slave.key_file);
    throw Error(Errc::invalid_argument, "", "make a slave",
                formatted("the key {} is that of '{}', and the name that was given is {}", where, own->name,
                          in_quotes(slave.name)));
  }
  slave.name = own->name;
  if (options.key_from_input) slave.key = std::move(own->key);
  return {};
}

int exit_code(const ServeResult& result) {
  switch (result.reason) {
    case ServeResult::Reason::stopped:
    case ServeResult::Reason::ended: return exit_ok;
    case ServeResult::Reason::lost: return exit_lost;
    case ServeResult::Reason::unreachable: return exit_unreachable;
    case ServeResult::Reason::refused: return exit_refused;
    case ServeResult::Reason::protocol: return exit_protocol;
  }
  return exit_software;
}

ServeResult serve(SlaveServer& server, const SlaveProgramOptions& options, UniqueFd input) {
  const bool is_stdio = options.master.empty();
  // To a service, an operator has sent it; otherwise the terminal is gone, or the program that started us.
  const bool connects_on_hangup = !is_stdio && !options.once && !has_terminal();
  const SignalThread signals({SIGINT, SIGTERM, SIGHUP}, [&](int signal) {
    if (signal == SIGHUP && connects_on_hangup) return server.connect_now();
    server.stop();
  });
  std::optional<StopAtEof> stop_at_eof;
  if (options.until_eof) stop_at_eof.emplace(server, std::move(input));
  if (is_stdio) return server.serve(take_standard_streams());
  return options.once ? server.run_once(options.master) : server.run(options.master);
}

int run(SlaveProgramOptions options, const PrepareSlave& prepare) {
  const LogHook log = log_of(options);
  UniqueFd input;
  if (options.key_from_input || options.until_eof) input = take_standard_input();
  if (auto taken = take_key(options, input.get()); !taken) {
    log({LogLevel::error, "slave", "", taken.failure().message});
    return exit_software;
  }
  if (!options.until_eof) input.reset();
  SlaveOptions slave = std::move(options.slave);
  slave.log = log;
  if (slave.software.empty()) slave.software = formatted("remsh-slave {}", version);
  if (options.trace && !slave.trace) {
    slave.trace = [](const TraceRecord& record) { std::fputs((to_string(record) + "\n").c_str(), stderr); };
  }
  SlaveServer server(std::move(slave));
  if (prepare) prepare(server);
  const ServeResult result = serve(server, options, std::move(input));
  const int code = exit_code(result);
  log({code == exit_ok ? LogLevel::info : LogLevel::error, "slave", "", "ends: " + result.message});
  return code;
}

}  // namespace

int run_slave_program(SlaveProgramOptions options, const PrepareSlave& prepare) {
  if (options.master.empty() && (options.until_eof || options.key_from_input)) {
    throw Error(Errc::invalid_argument, "", "make a slave",
                "without a master standard input is the connection: until_eof and key_from_input need one");
  }
  prepare_process(options.key_from_input || options.slave.key || !options.slave.key_file.empty());
  const LogHook log = log_of(options);
  try {
    return run(std::move(options), prepare);
  } catch (const Error& error) {
    if (error.code() == Errc::invalid_argument) throw;
    log({LogLevel::error, "slave", "", error.what()});
  } catch (const std::exception& error) {
    log({LogLevel::error, "slave", "", error.what()});
  }
  return exit_software;
}

}  // namespace remsh
