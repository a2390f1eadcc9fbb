#include "os/program_start.hpp"

#include "os/descriptor_limit.hpp"
#include "os/file.hpp"
#include "os/supervisor.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <string_view>
#include <utility>

extern char** environ;

namespace remsh {

namespace {

/// What the system appends to the name of a running file that was removed, or replaced by a new version.
constexpr std::string_view removed_mark = " (deleted)";

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

Result<std::vector<std::string>> own_arguments() {
  const UniqueFd file(::open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC));
  if (!file) return os_failure(errno, "/proc/self/cmdline");
  std::vector<std::string> arguments;
  std::string argument;
  std::array<char, 4096> buffer{};
  for (;;) {
    const auto read = read_file(file.get(), buffer);
    if (!read) return read.failure();
    if (*read == 0) return arguments;
    for (const char c : std::string_view(buffer.data(), *read)) {
      if (c != '\0') {
        argument += c;
      } else {
        arguments.push_back(std::exchange(argument, {}));
      }
    }
  }
}

}  // namespace

Result<ProgramStart> ProgramStart::of_this_process() {
  ProgramStart start;
  std::array<char, PATH_MAX> name{};
  const ssize_t size = ::readlink("/proc/self/exe", name.data(), name.size());
  if (size < 0) return os_failure(errno, "/proc/self/exe");
  start.file_.assign(name.data(), static_cast<std::size_t>(size));
  auto arguments = own_arguments();
  if (!arguments) return std::move(arguments).failure();
  start.arguments_ = *std::move(arguments);
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string_view entry = *variable;
    // With the first, the watchdog of the service manager would be for one process number alone. The other one is made
    // for each start.
    if (entry.starts_with("WATCHDOG_PID=") || entry.starts_with("REMSH_SUPERVISOR=")) continue;
    start.environment_.emplace_back(entry);
  }
  return start;
}

Failure ProgramStart::again(const std::string& directory) const {
  std::string file = file_;
  if (file.ends_with(removed_mark)) file.resize(file.size() - removed_mark.size());
  if (!directory.empty() && ::chdir(directory.c_str()) != 0) return os_failure(errno, directory);
  std::vector<std::string> arguments = arguments_;
  std::vector<std::string> environment = environment_;
  if (auto variable = pass_supervisor_on()) environment.push_back(*std::move(variable));
  restore_descriptor_limit(::getpid());
  ::execve(file.c_str(), pointers_to(arguments).data(), pointers_to(environment).data());
  return os_failure(errno, file);
}

}  // namespace remsh
