#include "os/resource_limit.hpp"

#include "base/decimal.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <sys/resource.h>

#include <optional>
#include <string_view>

namespace remsh {

namespace {

struct ResourceName {
  std::string_view name;
  int resource;
};

constexpr ResourceName resource_names[] = {
    {"as", RLIMIT_AS},
    {"core", RLIMIT_CORE},
    {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},
    {"fsize", RLIMIT_FSIZE},
    {"memlock", RLIMIT_MEMLOCK},
    {"nofile", RLIMIT_NOFILE},
    {"nproc", RLIMIT_NPROC},
    {"rss", RLIMIT_RSS},
    {"stack", RLIMIT_STACK},
#if defined(RLIMIT_MSGQUEUE)
    {"msgqueue", RLIMIT_MSGQUEUE},
#endif
#if defined(RLIMIT_NICE)
    {"nice", RLIMIT_NICE},
#endif
#if defined(RLIMIT_RTPRIO)
    {"rtprio", RLIMIT_RTPRIO},
#endif
#if defined(RLIMIT_RTTIME)
    {"rttime", RLIMIT_RTTIME},
#endif
#if defined(RLIMIT_SIGPENDING)
    {"sigpending", RLIMIT_SIGPENDING},
#endif
};

std::optional<rlim_t> limit_value(BytesView text) {
  if (text == "unlimited") return RLIM_INFINITY;
  const auto number = from_decimal(text);
  if (!number || *number >= RLIM_INFINITY) return std::nullopt;
  return static_cast<rlim_t>(*number);
}

}  // namespace

Result<LimitSetting> resource_limit_setting(BytesView text) {
  const std::size_t equals = text.find('=');
  const BytesView name = text.substr(0, equals);
  LimitSetting setting{.name = Bytes(name)};
  bool is_known = false;
  for (const ResourceName& each : resource_names) {
    if (each.name != name) continue;
    setting.resource = each.resource;
    is_known = true;
  }
  if (!is_known || equals == BytesView::npos) {
    return Failure{Errc::invalid_argument,
                   formatted("this system has no limit with the name {}", start_in_quotes(name))};
  }
  const BytesView values = text.substr(equals + 1);
  const std::size_t colon = values.find(':');
  const auto soft = limit_value(values.substr(0, colon));
  const auto hard = colon == BytesView::npos ? soft : limit_value(values.substr(colon + 1));
  if (!soft || !hard) {
    return Failure{Errc::invalid_argument,
                   formatted("the limit '{}' has the value {}: a number or 'unlimited', or two of them with a colon "
                             "between, was expected",
                             name, start_in_quotes(values))};
  }
  setting.limit = {.rlim_cur = *soft, .rlim_max = *hard};
  return setting;
}

}  // namespace remsh
