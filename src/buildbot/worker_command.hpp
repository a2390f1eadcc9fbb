// WorkerCommand: what a Buildbot worker can be asked to do, in words of both protocols.
#pragma once

#include "buildbot/dialect.hpp"

#include <remsh/base/value.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh::buildbot {

/// How a worker runs a program.
struct ShellOptions {
  std::vector<std::string> args;
  std::map<std::string, std::optional<std::string>> env = {};  ///< nullopt: without the variable
  /// Paths of files by names. A file is sent while the program runs, all of it as soon as it changes.
  std::map<std::string, std::string> logs = {};
  std::chrono::milliseconds timeout{0};  ///< 0: no limit
  std::chrono::milliseconds silence{0};  ///< 0: no limit
  /// To end it, SIGTERM first, and SIGKILL after this time; nullopt: SIGKILL at once.
  std::optional<std::chrono::milliseconds> kill_after = {};
};

/// One command. All paths are absolute, and all texts UTF-8.
struct WorkerCommand {
  enum class Kind : std::uint8_t { shell, upload_file, download_file, mkdir, rmdir, rmfile, stat };

  Kind kind = Kind::stat;
  std::string path = {};                   ///< of shell: the directory, which the worker makes if it is missing
  std::optional<std::uint32_t> mode = {};  ///< of download_file; nullopt: by the worker's umask
  ShellOptions shell = {};
};

/// How many bytes of a file a worker sends or asks for at once. PB has strings of at most 640 KiB.
inline constexpr std::int64_t block_size = 256 * 1024;

/// A command as it goes over the wire.
struct NamedArguments {
  std::string_view name;
  std::vector<std::pair<std::string_view, Value>> arguments;
  /// In PB, the argument for our object that takes or gives the bytes of a file; empty if there is none. In msgpack the
  /// worker calls by the id of the command instead.
  std::string_view file_argument = {};
};

NamedArguments named_arguments(Dialect dialect, const WorkerCommand& command);

}  // namespace remsh::buildbot
