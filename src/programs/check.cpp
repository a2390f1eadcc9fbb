// remsh-slave check: says whether a slave would work, and what to do if not.
#include "auth/derive.hpp"
#include "auth/key_file.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "operations/operations.hpp"
#include "programs/command.hpp"
#include "programs/option_reader.hpp"
#include "programs/slave_directory.hpp"
#include "slave/contact_check.hpp"
#include "slave/program_log.hpp"
#include "slave/workplace.hpp"
#include "transport/address.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace remsh::program {

namespace {

constexpr std::string_view usage_of_check =
    "usage: remsh-slave check DIR [options]\n"
    "       remsh-slave check --master ADDRESS [options]\n"
    "\n"
    "Checks what a slave with these options needs: its configuration, key and directories, and for each\n"
    "master whether it resolves, can be connected to, and accepts the key. The slave does not appear at\n"
    "the master, and one of the same name may run. Says what to do about what is wrong.\n";

constexpr std::string_view notes_of_check = "\n";

constexpr std::array codes_of_check{exit_ok,   exit_usage,    exit_unreachable, exit_software,
                                    exit_lost, exit_protocol, exit_refused};

/// Prints what was found, and keeps the exit code of the first failure.
class Findings {
 public:
  void good(const std::string& what) { print("ok      ", what); }
  void bad(ExitCode code, const std::string& what, const std::string& advice) {
    print("FAILED  ", what);
    if (!advice.empty()) print("        ", advice);
    if (code_ == exit_ok) code_ = code;
  }
  [[nodiscard]] int code() const { return code_; }

 private:
  static void print(const char* mark, const std::string& what) {
    std::fputs((mark + what + "\n").c_str(), stdout);
    std::fflush(stdout);
  }

  ExitCode code_ = exit_ok;
};

void check_key(const Settings& settings, SlaveOptions& slave, Findings& findings) {
  if (settings.key == "-") return findings.good("key: it comes by standard input, and is not checked");
  if (settings.key.empty()) return findings.good("key: none");
  auto own = auth::read_own_key(settings.key);
  if (!own) {
    return findings.bad(exit_software, "key: " + own.failure().message,
                        "get one: 'remsh-slave enrol', or 'remsh-slave keygen add NAME' at the master");
  }
  if (!slave.name.empty() && slave.name != own->name) {
    return findings.bad(exit_usage, formatted("key: it is that of '{}', and the slave is '{}'", own->name, slave.name),
                        "change the name, or give the key of this slave");
  }
  findings.good(formatted("key: {} of '{}'", auth::kid(own->key), own->name));
  slave.name = std::move(own->name);
  slave.key = std::move(own->key);
}

void check_work(const SlaveProgramOptions& program, Findings& findings) {
  const SlavePolicy& policy = program.slave.policy;
  for (const std::string& word : policy.allow.value_or(std::vector<std::string>())) {
    if (operations::find(word) != nullptr || word == operations::Ping::what.name) continue;
    findings.bad(exit_usage, formatted("policy: {} is no operation of this slave", in_quotes(word)),
                 "correct --allow: 'docs/remsh-slave.md' has the words");
  }
  const std::string basedir = program.slave.basedir.empty() && policy.root.empty() ? "." : program.slave.basedir;
  const auto workplace = Workplace::open(basedir, policy.root);
  if (!workplace) {
    findings.bad(exit_software, formatted("base directory {}: {}", in_quotes(basedir), workplace.failure().message),
                 "give another one (--basedir), or its rights to the user of the slave");
  } else if (::access((*workplace)->base().path().c_str(), W_OK | X_OK) != 0) {
    findings.bad(exit_software,
                 formatted("base directory {}: it cannot be written", in_quotes((*workplace)->base().path())),
                 "give it to the user of the slave");
  } else {
    findings.good(formatted("base directory: {}", in_quotes((*workplace)->base().path())));
  }
  for (const std::string& hook : {program.slave.before_command, program.slave.after_command}) {
    if (hook.empty()) continue;
    if (::access(hook.c_str(), X_OK) == 0) {
      findings.good(formatted("hook: {}", in_quotes(hook)));
    } else {
      findings.bad(exit_software, formatted("hook {}: {}", in_quotes(hook), std::generic_category().message(errno)),
                   "make it, and make it executable for the user of the slave");
    }
  }
  if (program.log_file.empty()) return;
  if (const auto log = ProgramLog::open(program); !log) {
    findings.bad(exit_software, log.failure().message, "make its directory, or give it to the user of the slave");
  } else {
    findings.good(formatted("log file: {}", in_quotes(program.log_file)));
  }
}

void check_masters(const SlaveProgramOptions& program, Findings& findings) {
  std::vector<std::string> masters{program.master};
  masters.insert(masters.end(), program.other_masters.begin(), program.other_masters.end());
  for (const std::string& master : masters) {
    const auto address = parse_address(master);
    if (!address) continue;  // the options were parsed, so all are valid
    const ContactCheck check = check_master(*address, program.slave, Deadline(program.slave.handshake_timeout));
    for (const std::string& passed : check.passed) findings.good(formatted("master {}: {}", master, passed));
    if (!check.failure) continue;
    findings.bad(exit_code_of(check.failure->code),
                 formatted("master {}: {}", master, without_prefix(check.failure->message, to_string(*address) + ": ")),
                 check.advice);
  }
}

int run_check(Settings& settings, OptionReader& given) {
  if (settings.words.size() > 1) return complain(check_command(), "give the directory of one slave");
  if (!settings.words.empty()) {
    if (const auto entered = enter_slave_directory(settings.words.front(), given); !entered) {
      const Failure& failure = entered.failure();
      return failure.code == Errc::os_error ? fail(check_command(), exit_software, failure.message)
                                            : complain(check_command(), failure.message);
    }
  } else if (!settings.config.empty()) {
    if (auto read = given.read_config(settings.config); !read) return complain(check_command(), read.failure().message);
  }
  SlaveProgramOptions& program = settings.program;
  if (program.master.empty()) return complain(check_command(), "give the directory of a slave, or --master ADDRESS");
  Findings findings;
  findings.good("configuration");
  check_work(program, findings);
  check_key(settings, program.slave, findings);
  if (findings.code() == exit_ok) check_masters(program, findings);
  return findings.code();
}

}  // namespace

const Command& check_command() {
  static constexpr Command command{for_check, "check", usage_of_check, notes_of_check, codes_of_check, run_check};
  return command;
}

}  // namespace remsh::program
