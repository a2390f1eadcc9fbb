// remsh-slave create: makes the directory of a slave: its configuration, its key, and info/.
#include "auth/derive.hpp"
#include "auth/key_file.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "os/new_file.hpp"
#include "programs/command.hpp"
#include "programs/config_file.hpp"
#include "programs/option.hpp"
#include "programs/option_reader.hpp"
#include "slave/key_input.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace remsh::program {

namespace {

constexpr std::string_view usage_of_create =
    "usage: remsh-slave create DIR --master ADDRESS [--key FILE] [options]\n"
    "\n"
    "Makes the directory DIR for a slave: slave.conf with these options, mode 0600; slave.key with a copy\n"
    "of the key, mode 0600; and base/, in which the paths of masters begin, with base/info/, whose files\n"
    "say what masters should know of this machine. 'remsh-slave run DIR' runs the slave. Relative paths\n"
    "in slave.conf begin in DIR.\n";

constexpr std::string_view notes_of_create =
    "\nIt changes nothing that is there: to change a slave, edit its slave.conf.\n\n";

constexpr std::array codes_of_create{exit_ok, exit_usage, exit_software};

constexpr std::string_view first_lines =
    "# A slave of remsh: options of remsh-slave, one on each line, NAME = VALUE. 'remsh-slave run --help' lists them.\n"
    "# A switch is set by NAME = yes. Relative paths begin in the directory of this file.\n";

std::string message_of(const std::string& path, int error) {
  return formatted("{}: {}", in_quotes(path), std::generic_category().message(error));
}

/// The key that was given: from standard input, or from a file.
Result<std::optional<auth::KeyLine>> read_given_key(const Settings& settings) {
  if (settings.key.empty()) return std::optional<auth::KeyLine>();
  auto own = settings.key == "-" ? read_key_input(STDIN_FILENO, true) : auth::read_own_key(settings.key);
  if (!own) return std::move(own).failure();
  const std::string& name = settings.program.slave.name;
  if (!name.empty() && name != own->name) {
    return Failure{Errc::invalid_argument, formatted("the key is that of '{}', and --name is '{}'", own->name, name),
                   0};
  }
  return std::optional(*std::move(own));
}

/// Makes a directory that may be there already. Returns an errno value, or 0.
int make_directory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) return 0;
  const int error = errno;
  std::error_code unknown;
  return error == EEXIST && std::filesystem::is_directory(path, unknown) ? 0 : error;
}

/// Where relative paths of masters begin, as the slave will resolve it.
std::string base_of(const std::string& directory, const SlaveOptions& slave) {
  std::filesystem::path base = directory;
  if (slave.policy.root.empty() && slave.basedir.empty()) return base / "base";
  return base / slave.policy.root / slave.basedir;  // operator/ keeps an absolute path alone
}

/// The configuration: the options as they were given, except the key, which is copied.
Result<std::string> config_text(const Settings& settings, const OptionReader& given, bool has_key) {
  std::string text(first_lines);
  const auto add = [&text](std::string_view name, std::string_view value) {
    text += formatted("{} = {}\n", name, value);
  };
  for (const auto& [option, values] : given.given()) {
    if (!is_for_files(*option) || option->name == "key") continue;
    for (const std::string& value : values) {
      if (!is_config_value(value)) {
        return Failure{Errc::invalid_argument,
                       formatted("--{} has a value that no line of a file can have: {}", option->name, shown(value)),
                       0};
      }
      add(option->name, value);
    }
  }
  if (has_key) add("key", key_name);
  if (settings.program.slave.policy.root.empty() && settings.program.slave.basedir.empty()) add("basedir", "base");
  return text;
}

/// Whether a master needs a proof of this slave, or the slave one of it.
bool needs_key(const Settings& settings) {
  const SlaveProgramOptions& program = settings.program;
  const auto is_tls = [](const std::string& address) { return address.starts_with("tls:"); };
  bool any = is_tls(program.master);
  for (const std::string& other : program.other_masters) any = any || is_tls(other);
  return any || program.slave.insecure;
}

Result<void> write_config(const std::string& path, const std::string& text) {
  auto file = NewFile::create(AT_FDCWD, path, false);
  if (!file) return std::move(file).failure();
  if (auto written = file->write(text); !written) return written;
  return file->commit(0600, true);
}

int run_create(Settings& settings, OptionReader& given) {
  if (settings.words.size() != 1) return complain(create_command(), "give one directory");
  if (settings.program.master.empty()) return complain(create_command(), "give --master ADDRESS");
  const std::string& directory = settings.words.front();
  const std::string config = directory + "/" + std::string(config_name);
  const std::string key_file = directory + "/" + std::string(key_name);
  const bool has_key = !settings.key.empty() || needs_key(settings);
  const auto text = config_text(settings, given, has_key);
  if (!text) return complain(create_command(), text.failure().message);
  const auto failed = [](const std::string& what) { return fail(create_command(), exit_software, what); };
  const auto key = read_given_key(settings);
  if (!key) return failed(key.failure().message);

  if (const int error = make_directory(directory, 0700)) return failed(message_of(directory, error));
  struct stat what {};
  if (::lstat(config.c_str(), &what) == 0) {
    return failed(in_quotes(config) + " is there already: edit it, or give another directory");
  }
  const std::string base = base_of(directory, settings.program.slave);
  std::error_code error;
  std::filesystem::create_directories(base + "/info", error);
  if (error) return failed(formatted("{}: {}", in_quotes(base + "/info"), error.message()));
  if (*key) {
    if (auto written = auth::write_own_key(key_file, (*key)->name, (*key)->key, false); !written) {
      return failed(written.failure().code == Errc::in_use ? in_quotes(key_file) + " is there already: remove it first"
                                                           : written.failure().message);
    }
  }
  if (auto written = write_config(config, *text); !written) {
    if (*key) auth::remove_own_key(key_file);
    return failed(formatted("{}: {}", in_quotes(config), written.failure().message));
  }
  std::string said = formatted("made {}", in_quotes(config));
  if (*key) {
    said += formatted(" and {}, the key {} of '{}'", in_quotes(key_file), auth::kid((*key)->key), (*key)->name);
  } else if (has_key) {
    said += formatted(
        "\nIts key is missing: put it into {}, or get one for an invitation:\n"
        "  remsh-slave enrol --master {} --key {}",
        in_quotes(key_file), settings.program.master, in_quotes(key_file));
  }
  std::fputs(formatted("{}\nFiles in {} say what masters should know of this machine. Next:\n  remsh-slave check {}\n  "
                       "remsh-slave run {}\n",
                       said, in_quotes(base + "/info"), in_quotes(directory), in_quotes(directory))
                 .c_str(),
             stderr);
  return exit_ok;
}

}  // namespace

const Command& create_command() {
  static constexpr Command command{for_create, "create", usage_of_create, notes_of_create, codes_of_create, run_create};
  return command;
}

}  // namespace remsh::program
