#include <remsh/slave/embedded.hpp>

#include "auth/key_file.hpp"
#include "base/exit_code.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "os/descriptor_limit.hpp"
#include "os/orphans.hpp"
#include "os/program_start.hpp"
#include "os/service_manager.hpp"
#include "os/signal_thread.hpp"
#include "os/standard_descriptors.hpp"
#include "os/supervisor.hpp"
#include "os/unique_fd.hpp"
#include "slave/key_input.hpp"
#include "slave/program_log.hpp"
#include "slave/standard_streams.hpp"
#include "slave/stop_at_eof.hpp"
#include "slave/watchdog.hpp"

#include <remsh/base/error.hpp>
#include <remsh/version.hpp>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <atomic>
#include <cstdio>
#include <ctime>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace remsh {

namespace {

/// The log of the program, and who is told what it does.
struct Reports {
  std::shared_ptr<ProgramLog> log;  // if the options have no hook
  const ServiceManager& manager;
  LogHook hook;

  Reports(const SlaveProgramOptions& options, std::shared_ptr<ProgramLog> own, const ServiceManager& service_manager)
      : log(std::move(own)), manager(service_manager) {
    hook = [log = this->log, other = options.slave.log, &manager = manager](const LogRecord& record) {
      if (other) other(record);
      if (log) log->write(record);
      if (!manager.is_there() || record.level < LogLevel::info) return;
      manager.notify(formatted("STATUS={}{}{}", record.peer, record.peer.empty() ? "" : ": ", record.message));
    };
  }

  void write(LogLevel level, const std::string& message) const { hook({level, "slave", "", message}); }
};

bool has_terminal() { return static_cast<bool>(UniqueFd(::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC))); }

/// Prepares a process to run commands for others. Returns in the worker. A failure is that of the supervisor alone.
Result<void> prepare_process(bool has_key) {
  ::signal(SIGCHLD, SIG_DFL);  // if SIGCHLD is ignored, as our parent may have left it, no command has an exit status
  auto supervision = begin_supervision(has_terminal());  // before there are threads, secrets and children
  raise_descriptor_limit();                              // each command takes a few
  claim_orphans();  // orphans of commands become our children, so that they can be found and ended
#ifdef __linux__
  if (has_key) ::prctl(PR_SET_DUMPABLE, 0);  // nor may commands read our memory; and no core file contains the key
#else
  static_cast<void>(has_key);
#endif
  return supervision;
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
    case ServeResult::Reason::ended:
    case ServeResult::Reason::left: return exit_ok;
    case ServeResult::Reason::lost: return exit_lost;
    case ServeResult::Reason::unreachable: return exit_unreachable;
    case ServeResult::Reason::refused: return exit_refused;
    case ServeResult::Reason::protocol: return exit_protocol;
  }
  return exit_software;
}

/// The text that systemd wants to hear when a service begins to reload.
std::string reloading_text() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return formatted("RELOADING=1\nMONOTONIC_USEC={}",
                   static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000);
}

/// What SIGHUP does to a service.
void reload(SlaveServer& server, const SlaveProgramOptions& options, const Reports& reports) {
  reports.manager.notify(reloading_text());
  if (reports.log) {
    if (auto opened = reports.log->reopen(); !opened) reports.write(LogLevel::error, opened.failure().message);
  }
  if (options.reload) {
    try {
      const SlaveProgramOptions now = options.reload(reports.hook);
      server.set_masters(now.master, now.other_masters);
      if (reports.log) reports.log->set_level(now.log_level);
      reports.write(LogLevel::info, "the options were reloaded");
    } catch (const std::exception& error) {
      reports.write(LogLevel::error, formatted("the options were not reloaded: {}", error.what()));
    }
  }
  server.connect_now();
  reports.manager.notify("READY=1");
}

ServeResult serve(SlaveServer& server, const SlaveProgramOptions& options, const Reports& reports, UniqueFd input) {
  const bool is_stdio = options.master.empty();
  // To a service, an operator has sent it; otherwise the terminal is gone, or the program that started us.
  const bool reloads_on_hangup = !is_stdio && !options.once && !has_terminal();
  bool is_draining = false;  // of the thread of the signals alone
  std::atomic<bool> is_to_end = false;
  const auto serve_until_end = [&]() -> ServeResult {
    const SignalThread signals({SIGINT, SIGTERM, SIGHUP}, [&](int signal) {
      if (signal == SIGHUP && reloads_on_hangup) return reload(server, options, reports);
      is_to_end = true;
      reports.manager.notify("STOPPING=1");
      if (signal == SIGTERM && !std::exchange(is_draining, true)) return server.drain(options.drain_time, "SIGTERM");
      server.stop();
    });
    std::optional<StopAtEof> stop_at_eof;
    if (options.until_eof) stop_at_eof.emplace(server, std::move(input));
    std::optional<Watchdog> watchdog;
    if (reports.manager.watchdog()) {
      // Takes the locks of the slave: if a thread keeps one of them, nothing is sent.
      watchdog.emplace(reports.manager, [&server] { static_cast<void>(server.operations_in_progress()); });
    }
    reports.manager.notify("READY=1");
    if (is_stdio) return server.serve(take_standard_streams());
    return options.once ? server.run_once(options.master, options.other_masters)
                        : server.run(options.master, options.other_masters);
  };
  ServeResult result = serve_until_end();
  if (is_to_end) result.restart = false;  // a signal that came when run() had its result
  return result;
}

/// How the slave has ended.
struct End {
  int code = exit_software;
  bool restart = false;
};

End run(SlaveProgramOptions options, const PrepareSlave& prepare, const Reports& reports) {
  UniqueFd input;
  if (options.key_from_input || options.until_eof) input = take_standard_input();
  if (auto taken = take_key(options, input.get()); !taken) {
    reports.write(LogLevel::error, taken.failure().message);
    return {};
  }
  if (!options.until_eof) input.reset();
  SlaveOptions slave = std::move(options.slave);
  slave.log = reports.hook;
  if (slave.software.empty()) slave.software = formatted("remsh-slave {}", version);
  if (options.trace && !slave.trace) {
    slave.trace = [log = reports.log](const TraceRecord& record) {
      if (log) return log->write(record);
      std::fputs((to_string(record) + "\n").c_str(), stderr);
    };
  }
  SlaveServer server(std::move(slave));
  if (prepare) prepare(server);
  const Supervised supervised([&server] { server.stop(); });
  const ServeResult result = serve(server, options, reports, std::move(input));
  if (supervised.is_lost())
    reports.write(LogLevel::error, "the supervisor of this process was killed: everything ends");
  if (!result.restart) reports.manager.notify("STOPPING=1");
  const int code = exit_code(result);
  reports.write(code == exit_ok ? LogLevel::info : LogLevel::error,
                (result.restart ? "starts again: " : "ends: ") + result.message);
  return {code, result.restart};
}

}  // namespace

int run_slave_program(SlaveProgramOptions options, const PrepareSlave& prepare) {
  if (options.master.empty() && (options.until_eof || options.key_from_input)) {
    throw Error(Errc::invalid_argument, "", "make a slave",
                "without a master standard input is the connection: until_eof and key_from_input need one");
  }
  if (options.master.empty() && !options.other_masters.empty()) {
    throw Error(Errc::invalid_argument, "", "make a slave", "there are other masters, but no first one: set master");
  }
  open_missing_standard_streams();
  const auto start = ProgramStart::of_this_process();                 // before the environment is changed
  const ServiceManager manager = ServiceManager::from_environment();  // it names this process, not the worker
  const auto supervision =
      prepare_process(options.key_from_input || options.slave.key || !options.slave.key_file.empty());
  std::shared_ptr<ProgramLog> log;
  if (!options.slave.log) {
    auto opened = ProgramLog::open(options);
    if (!opened) {
      std::fputs((opened.failure().message + "\n").c_str(), stderr);
      return exit_software;
    }
    log = *std::move(opened);
  }
  const Reports reports(options, std::move(log), manager);
  if (!supervision) {
    reports.write(LogLevel::warning, formatted("without a supervisor commands may outlive a kill -9 of this slave: {}",
                                               supervision.failure().message));
  }
  const bool reads_input = options.master.empty() || options.key_from_input || options.until_eof;
  options.slave.restarts = start && !reads_input && !options.once;
  const std::string directory = options.restart_in;
  try {
    const End end = run(std::move(options), prepare, reports);
    if (!end.restart) return end.code;
    manager.notify(reloading_text());
    reports.write(LogLevel::error, "cannot start again: " + start->again(directory).message);
  } catch (const Error& error) {
    if (error.code() == Errc::invalid_argument) throw;
    reports.write(LogLevel::error, error.what());
  } catch (const std::exception& error) {
    reports.write(LogLevel::error, error.what());
  }
  return exit_software;
}

}  // namespace remsh
