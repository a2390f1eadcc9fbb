#include "programs/slave_directory.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "programs/config_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
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

}  // namespace remsh::program
