#include "programs/slave_directory.hpp"

#include "base/decimal.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "os/file.hpp"
#include "os/new_file.hpp"
#include "programs/config_file.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <system_error>
#include <utility>

namespace remsh::program {

Result<UniqueFd> enter_slave_directory(const std::string& path, OptionReader& reader) {
  const auto failed = [](const std::string& file, int error) {
    const std::string hint = error == ENOENT ? ": 'remsh-slave create DIR' makes one" : "";
    return Failure{Errc::os_error, formatted("{}: {}{}", in_quotes(file), std::generic_category().message(error), hint),
                   error};
  };
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fchdir(directory.get()) != 0) return failed(path, errno);
  const std::string config(config_name);
  if (::access(config.c_str(), F_OK) != 0) return failed(path + "/" + config, errno);
  if (auto read = reader.read_config(config); !read) return std::move(read).failure();
  return directory;
}

Result<bool> take_slave_directory(int directory) {
  // The lock is on the directory, since editors replace files. A process that only looks (find_slave_process) has it
  // for a moment, and shares it.
  while (::flock(directory, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return os_failure(errno, "lock");
    if (::flock(directory, LOCK_SH | LOCK_NB) != 0) return false;
    ::flock(directory, LOCK_UN);
    ::sched_yield();
  }
  const auto self = ProcessReader().find(::getpid());
  if (!self || !*self) return true;  // no /proc: 'remsh-slave stop' cannot find this process
  const ProcessId id = (*self)->id;
  auto file = NewFile::create(directory, std::string(process_name), true);
  if (!file) return std::move(file).failure();
  if (auto written = file->write(formatted("{} {}\n", id.pid, id.started)); !written) {
    return std::move(written).failure();
  }
  if (auto committed = file->commit(0644); !committed) return std::move(committed).failure();
  return true;
}

Result<std::optional<SlaveProcess>> find_slave_process(int directory) {
  if (::flock(directory, LOCK_SH | LOCK_NB) == 0) {
    ::flock(directory, LOCK_UN);
    return std::optional<SlaveProcess>();
  }
  if (errno != EWOULDBLOCK) return os_failure(errno, "lock");
  const std::string name(process_name);
  const UniqueFd file(::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat what {};
  struct stat where {};
  if (!file || ::fstat(file.get(), &what) != 0 || ::fstat(directory, &where) != 0) return os_failure(errno, name);
  if (!S_ISREG(what.st_mode)) return Failure{Errc::invalid_argument, formatted("{} is no file", name), 0};
  std::array<char, 64> buffer{};
  const auto read = read_file(file.get(), buffer);
  if (!read) return read.failure();
  BytesView line(buffer.data(), *read);
  if (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  const std::size_t space = line.find(' ');
  const auto pid = parse_number(line.substr(0, space));
  const auto started = space == BytesView::npos ? std::nullopt : parse_number(line.substr(space + 1));
  constexpr std::uint64_t most = std::numeric_limits<pid_t>::max();
  if (!pid || *pid == 0 || *pid > most || !started) {
    return Failure{Errc::invalid_argument, formatted("{} does not name a process", process_name), 0};
  }
  return std::optional(
      SlaveProcess{{static_cast<pid_t>(*pid), *started}, where.st_uid != 0 ? where.st_uid : what.st_uid});
}

}  // namespace remsh::program
