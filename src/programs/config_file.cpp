#include "programs/config_file.hpp"

#include "base/format.hpp"
#include "base/take_until.hpp"
#include "base/text.hpp"
#include "os/file.hpp"
#include "os/unique_fd.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace remsh::program {

namespace {

constexpr std::size_t max_config = std::size_t{1} << 20U;
constexpr std::string_view blanks = " \t\r";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) + 1 - first);
}

Failure unusable(std::string why) { return {Errc::invalid_argument, std::move(why), 0}; }

Result<void> check_config_file(int file, const std::string& path) {
  struct stat what {};
  if (::fstat(file, &what) != 0) return os_failure(errno, in_quotes(path));
  if (!S_ISREG(what.st_mode)) return unusable(in_quotes(path) + " is no regular file");
  if (what.st_uid != ::geteuid() && what.st_uid != 0) {
    return unusable(formatted("{} belongs to user {}, who could choose what this program runs: chown {} {}",
                              in_quotes(path), what.st_uid, ::geteuid(), in_quotes(path)));
  }
  if ((what.st_mode & 022U) != 0) {
    return unusable(
        formatted("other users can write to {} (mode {:04o}), and so choose what this program runs: chmod "
                  "go-w {}",
                  in_quotes(path), what.st_mode & 07777U, in_quotes(path)));
  }
  if (what.st_size > static_cast<off_t>(max_config)) return unusable(in_quotes(path) + " has more than 1 MiB");
  return {};
}

}  // namespace

Result<std::vector<ConfigLine>> parse_config(std::string_view text, const std::string& file) {
  std::vector<ConfigLine> lines;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = trimmed(take_until('\n', text));
    if (line.empty() || line.front() == '#') continue;
    const std::size_t equals = line.find('=');
    const std::string_view name = trimmed(line.substr(0, equals));
    if (equals == std::string_view::npos || name.empty()) {
      return unusable(formatted("{}:{}: is not NAME = VALUE, with the name of an option", file, number));
    }
    if (line.find('\0') != std::string_view::npos) return unusable(formatted("{}:{}: has a zero byte", file, number));
    lines.push_back({number, std::string(name), std::string(trimmed(line.substr(equals + 1)))});
  }
  return lines;
}

bool is_config_value(std::string_view value) {
  return !value.empty() && value.find_first_of(std::string_view("\n\0", 2)) == std::string_view::npos &&
         trimmed(value) == value;
}

Result<std::string> read_config_file(const std::string& path) {
  // Non-blocking, because opening a fifo would block; it is refused below.
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) return os_failure(errno, in_quotes(path));
  if (auto checked = check_config_file(file.get(), path); !checked) return std::move(checked).failure();
  std::string text;
  std::array<char, 4096> buffer{};
  while (text.size() <= max_config) {
    const auto count = read_file(file.get(), buffer);
    if (!count)
      return Failure{count.failure().code, in_quotes(path) + ": " + count.failure().message, count.failure().os};
    if (*count == 0) break;
    text.append(buffer.data(), *count);
  }
  return text;
}

}  // namespace remsh::program
