#include "master/request.hpp"

#include "base/format.hpp"
#include "base/signal_name.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "connection/long_value.hpp"
#include "operations/exclude.hpp"

#include <set>
#include <system_error>

namespace remsh {

namespace {

constexpr std::size_t max_request = call_limits.bytes;
constexpr std::size_t max_fields = call_limits.fields;
constexpr std::size_t envelope = 512;  // what rpc adds at most: _command, _ask, op, flags, lengths
constexpr std::size_t envelope_fields = 8;

/// Bytes for a message: escaped, and with the middle left out if they are long.
std::string shown(BytesView bytes) {
  constexpr std::size_t head = 48;
  constexpr std::size_t tail = 32;
  if (bytes.size() <= head + tail) return in_quotes(bytes);
  return formatted("'{}...{}'", escaped(bytes.substr(0, head)), escaped(bytes.substr(bytes.size() - tail)));
}

template <class Exception>
[[noreturn]] void raise(const Failure& failure, std::string slave, std::string operation) {
  const std::error_code os = failure.os != 0 ? std::error_code(failure.os, std::generic_category()) : std::error_code();
  throw Exception(failure.code, std::move(slave), std::move(operation), failure.message, os);
}

}  // namespace

void Request::check(std::string_view key, BytesView value) {
  if (value.empty()) refuse(Errc::invalid_argument, formatted("the {} is empty", key));
  check_text(key, value);
}

void Request::check_text(std::string_view key, BytesView value) {
  if (value.find('\0') != BytesView::npos) {
    refuse(Errc::invalid_argument, formatted("the {} contains a zero byte", key));
  }
  count(key.size(), value.size());
}

void Request::check_length(std::string_view key, BytesView text) const {
  if (text.size() <= operations::max_text) return;
  refuse(Errc::too_large, formatted("'{}' has {} bytes, and may have {}", key, text.size(), operations::max_text));
}

void Request::check_number(std::string_view key, std::uint64_t value, std::uint64_t min, std::uint64_t max) const {
  if (value >= min && value <= max) return;
  refuse(Errc::invalid_argument, formatted("'{}' is {}, and not from {} to {}", key, value, min, max));
}

void Request::check_mode(std::optional<std::uint32_t> mode) const {
  if (mode && *mode > 07777) refuse(Errc::invalid_argument, "a mode has at most the bits 07777");
}

void Request::check_patterns(const std::vector<Bytes>& patterns) {
  if (patterns.size() > operations::max_patterns) {
    refuse(Errc::too_large, formatted("more than {} patterns to exclude", operations::max_patterns));
  }
  std::size_t list = 0;
  for (const Bytes& pattern : patterns) {
    if (const std::string_view why = operations::why_not_pattern(pattern); !why.empty()) {
      refuse(Errc::invalid_argument, formatted("{} cannot be a pattern to exclude: {}", shown(pattern), why));
    }
    list += pattern.size() + 1;
  }
  count(sizeof("exclude"), list);
}

/// Counts a value of the request as the fields that it will be split into. Refuses what cannot be sent, with a message
/// that `what` does "not fit".
void Request::count(std::size_t key, std::size_t value, std::string_view what) {
  const std::size_t parts = value / Box::max_value + 1;
  fields_ += parts;
  if (value < max_request) bytes_ += value + parts * (4 + key + sizeof("~0000"));
  if (value >= max_request || envelope + bytes_ > max_request || envelope_fields + fields_ > max_fields) {
    refuse(Errc::too_large, formatted("{} not fit into one call, which takes 8 MiB in 1,024 values of 64 KiB: pass "
                                      "long data in a file, with send()",
                                      what));
  }
}

void Request::check_execute(const operations::Execute::Request& request, const ExecuteOptions& options) {
  if (std::holds_alternative<Output::Merge>(options.out.what())) {
    refuse(Errc::invalid_argument, "stdout cannot be merged: .err = remsh::merge puts stderr where stdout goes");
  }
  if (!takes_only_bytes(options.header)) {
    refuse(Errc::invalid_argument,
           "the header can be neither captured nor merged, and has no times: give it to a callback that takes only "
           "bytes, or to a file; remsh::header() makes it from the result");
  }
  if (options.timeout.count() < 0) refuse(Errc::invalid_argument, "the timeout is negative");
  if (options.silence_timeout.count() < 0) refuse(Errc::invalid_argument, "the silence_timeout is negative");
  const bool is_seen = request.out == operations::OutputMode::stream || request.err == operations::OutputMode::stream ||
                       !request.logs.empty();
  if (options.silence_timeout.count() > 0 && !is_seen) {
    refuse(Errc::invalid_argument,
           "a silence_timeout needs output that is not discarded: capture .out or .err, or give one a callback");
  }
  if (options.kill_after.count() < 0) refuse(Errc::invalid_argument, "kill_after is negative");

  check_settings(options);
  check_logs(options.log_files);

  const std::vector<Bytes>& args = request.args;
  if (args.empty()) refuse(Errc::invalid_argument, "the command has no arguments, not even a program");
  if (args.front().empty()) refuse(Errc::invalid_argument, "the name of the program is empty");
  std::size_t list = 0;
  for (const Bytes& arg : args) {
    if (arg.find('\0') != Bytes::npos) refuse(Errc::invalid_argument, "an argument contains a zero byte");
    list += arg.size() + 1;
  }
  count(sizeof("args"), list);
  list = 0;
  for (const Bytes& secret : request.secrets) list += secret.size() + 1;
  for (const Bytes& limit : request.limits) list += limit.size() + 1;
  for (const Bytes& limit : request.group) list += limit.size() + 1;
  count(sizeof("secrets"), list);

  check_environment(options.env);
  list = 0;
  for (const Bytes& assignment : request.set_env) list += assignment.size() + 1;
  for (const Bytes& name : request.unset_env) list += name.size() + 1;
  for (const Bytes& assignment : request.prepend_env) list += assignment.size() + 1;
  count(sizeof("unset"), list, "the environment does");
  check_text("cwd", request.cwd);
}

void Request::check_environment(const std::map<Bytes, std::optional<Bytes>>& env) const {
  for (const auto& [name, value] : env) {
    if (name.empty() || name.find('=') != Bytes::npos || name.find('\0') != Bytes::npos) {
      refuse(Errc::invalid_argument,
             shown(name) + " cannot be the name of an environment variable: empty, or with '=' or a zero byte");
    }
    if (value && value->find('\0') != Bytes::npos) {
      refuse(Errc::invalid_argument, formatted("the environment variable {} contains a zero byte", shown(name)));
    }
  }
}

void Request::check_logs(const std::vector<LogFile>& logs) {
  if (logs.size() > operations::max_logs) {
    refuse(Errc::too_large, formatted("more than {} log files", operations::max_logs));
  }
  std::set<std::string_view> names;
  std::size_t list = 0;
  for (const LogFile& log : logs) {
    require(!log.name.empty(), "a log file has no name");
    require(names.insert(log.name).second, "two log files have the name " + shown(log.name));
    require(!std::holds_alternative<Output::Merge>(log.out.what()) &&
                !std::holds_alternative<Output::Discard>(log.out.what()),
            formatted("the log file {} cannot be merged or discarded: leave it out", shown(log.name)));
    if (log.path.empty() || log.path.find('\0') != std::string::npos) {
      refuse(Errc::invalid_argument,
             formatted("the path of the log file {} is empty or contains a zero byte", shown(log.name)));
    }
    list += log.path.size() + sizeof("changed") + 1;
  }
  count(sizeof("logs"), list);
}

/// With what the command begins, and how it is stopped.
void Request::check_settings(const ExecuteOptions& options) const {
  for (const auto& [name, value] : options.prepend_env) check_environment({{name, value}});
  if (signal_name(options.stop_signal).empty()) {
    refuse(Errc::invalid_argument,
           formatted("the stop_signal {} is no signal that ends a command, such as SIGTERM", options.stop_signal));
  }
  if (options.nice < -20 || options.nice > 19) refuse(Errc::invalid_argument, "nice is not from -20 to 19");
  if (options.user.find('\0') != std::string::npos) refuse(Errc::invalid_argument, "the user contains a zero byte");
  if (options.terminal && (options.terminal->columns == 0 || options.terminal->rows == 0)) {
    refuse(Errc::invalid_argument, "a terminal has at least one column and one row");
  }
  const auto* const captured = std::get_if<Output::Capture>(&options.err.what());
  if (options.terminal && captured == nullptr) {
    refuse(Errc::invalid_argument, "a terminal has one output, which is stdout: do not set .err");
  }
  for (const Bytes& secret : options.secrets) {
    if (secret.empty() || secret.find('\0') != Bytes::npos) {
      refuse(Errc::invalid_argument, "a secret is empty or contains a zero byte");
    }
  }
  if (options.umask && *options.umask > 0777) refuse(Errc::invalid_argument, "the umask is more than 0777");
  constexpr double most_cpus = 1e6;
  const GroupLimits& group = options.group_limits;
  require(!group.memory || *group.memory > 0, "the memory of group_limits is 0");
  require(!group.processes || *group.processes > 0, "the processes of group_limits are 0");
  require(!group.cpus || (*group.cpus >= 0.01 && *group.cpus <= most_cpus),
          "the cpus of group_limits are not from 0.01 to 1,000,000");
  for (const ResourceLimit& limit : options.limits) {
    const bool is_name =
        !limit.name.empty() && limit.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz") == Bytes::npos;
    if (!is_name) refuse(Errc::invalid_argument, shown(limit.name) + " is no name of a limit, such as 'nofile'");
  }
}

/// docs/protocol.md section 7, the last row.
void Request::check_call(const operations::Call::Request& request) {
  if (const std::string_view why = operations::why_not_own_name(request.name); !why.empty()) {
    refuse(Errc::invalid_argument, formatted("{} cannot be an operation of yours: {}", shown(request.name), why));
  }
  check_text("cwd", request.cwd);
  for (const auto& [key, value] : request.arguments) {
    if (key.starts_with('_') || key == "op" || key.find('~') != Bytes::npos) {
      refuse(Errc::invalid_argument,
             formatted("the key {} cannot be an argument: it begins with '_', contains '~' or is 'op'", shown(key)));
    }
    if (value.size() > Box::max_value && key.size() + sizeof("0000") > Box::max_key) {
      refuse(Errc::invalid_argument, formatted("the key {} is too long for a value of over 65535 bytes", shown(key)));
    }
    count(key.size(), value.size());
  }
}

void Request::fail(const Failure& failure, const std::stop_token& stop) const {
  switch (failure.code) {
    case Errc::timeout:
    case Errc::connection_lost:
    case Errc::auth_failed:
    case Errc::protocol_error:
    case Errc::local_os_error: throw_failure(failure, slave(), operation());
    case Errc::cancelled:
      // If the caller has not requested a stop, the slave has stopped the operation, and gives the reason.
      if (stop.stop_requested()) throw_failure(failure, slave(), operation());
      break;
    case Errc::os_error:
    case Errc::invalid_argument:
    case Errc::too_large:
    case Errc::unsupported:
    case Errc::busy:
    case Errc::remote_failure:
    case Errc::refused:
    case Errc::in_use: break;
  }
  raise<RemoteError>(failure, slave(), operation());
}

void Request::fail_cancelled() const {
  throw_failure({Errc::cancelled, "cancelled by the caller", 0}, slave(), operation());
}

void Request::fail_locally(const Failure& failure, BytesView file) const {
  Failure local = failure;
  if (local.code == Errc::os_error) local.code = Errc::local_os_error;
  local.message = formatted("the local file {}: {}", shown(file), failure.message);
  raise<Error>(local, slave(), operation());
}

void Request::refuse(Errc code, std::string reason) const {
  raise<Error>(Failure{code, std::move(reason)}, slave(), operation());
}

std::string Request::operation() const {
  std::string text(verb_);
  if (!first_.empty()) text += " " + shown(first_);
  if (!second_.empty()) text += " to " + shown(second_);
  return text;
}

bool takes_only_bytes(const Output& output) {
  const Output::What& what = output.what();
  return !std::holds_alternative<Output::Capture>(what) && !std::holds_alternative<Output::Merge>(what) &&
         !std::holds_alternative<TimedOutputCallback>(what);
}

}  // namespace remsh
