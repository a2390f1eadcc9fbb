#include "slave/command_settings.hpp"

#include "base/decimal.hpp"
#include "base/format.hpp"
#include "base/signal_name.hpp"
#include "base/text.hpp"
#include "os/resource_limit.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

namespace remsh {

Result<SpawnSettings> settings_of(const operations::Execute::Request& request) {
  constexpr std::uint32_t permissions = 0777;
  SpawnSettings settings;
  if (request.nice) settings.nice = *request.nice;
  if (request.umask) {
    if (*request.umask > permissions) return Failure{Errc::invalid_argument, "'umask' is more than 777"};
    settings.umask = static_cast<mode_t>(*request.umask);
  }
  for (const Bytes& text : request.limits) {
    Result<LimitSetting> limit = resource_limit_setting(text);
    if (!limit) return Failure{Errc::invalid_argument, "'limits': " + limit.failure().message};
    settings.limits.push_back(std::move(*limit));
  }
  return settings;
}

Result<ControlGroupLimits> group_limits_of(const operations::Execute::Request& request) {
  constexpr std::uint64_t least_cpu = 10;
  constexpr std::uint64_t most_cpu = 1'000'000'000;
  ControlGroupLimits limits;
  for (const Bytes& text : request.group) {
    const std::size_t equals = text.find('=');  // there is one
    const BytesView name = BytesView(text).substr(0, equals);
    const auto value = parse_number(BytesView(text).substr(equals + 1));
    auto* const limit = name == "memory" ? &limits.memory
                        : name == "pids" ? &limits.processes
                        : name == "cpu"  ? &limits.cpu
                                         : nullptr;
    if (limit == nullptr || *limit || !value || *value == 0 ||
        (name == "cpu" && (*value < least_cpu || *value > most_cpu))) {
      return Failure{
          Errc::invalid_argument,
          formatted("'group': {} is none of memory=, pids= and cpu= with a number, each once", start_in_quotes(text))};
    }
    *limit = *value;
  }
  return limits;
}

Result<int> stop_signal_of(const operations::Execute::Request& request) {
  if (request.stop_signal.empty()) return SIGTERM;
  if (const int signal = signal_value(request.stop_signal); signal != 0) return signal;
  return Failure{Errc::invalid_argument, formatted("'stop_signal' is {}, which is no signal that ends a command",
                                                   start_in_quotes(request.stop_signal))};
}

Result<std::optional<UserAccount>> user_of(const operations::Execute::Request& request,
                                           const std::vector<std::string>& allowed) {
  if (request.user.empty()) return std::optional<UserAccount>();
  const std::string name = start_in_quotes(request.user);
  if (std::find(allowed.begin(), allowed.end(), request.user) == allowed.end()) {
    return Failure{Errc::os_error,
                   formatted("The policy of this slave does not allow commands as user {} (--allow-user)", name),
                   EPERM};
  }
  if (::geteuid() != 0) {
    return Failure{Errc::os_error,
                   formatted("This slave does not run as root, so it cannot run a command as user {}", name), EPERM};
  }
  Result<std::optional<UserAccount>> account = find_user(request.user);
  if (account && !*account) return Failure{Errc::os_error, formatted("There is no user {} on this host", name), ENOENT};
  return account;
}

}  // namespace remsh
