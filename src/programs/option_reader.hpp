// OptionReader: reads the options of a command into Settings, from every source.
#pragma once

#include "base/result.hpp"
#include "programs/command.hpp"
#include "programs/option.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace remsh::program {

/// The sources of values, the strongest first: a value never replaces one from a stronger source, in whatever order
/// they are read.
enum class Source : std::uint8_t { command_line, environment, file };

/// Every value goes through set(), so that all sources are checked in the same way. Failures are sentences with the
/// name of the option in the source, the value, and what is allowed. One thread at a time.
class OptionReader {
 public:
  OptionReader(const Command& command, Settings& settings) : command_(command), settings_(settings) {}

  /// Reads `--name VALUE`, `--name=VALUE`, switches, and other words, which go to Settings::words. Stops after an
  /// option that shows something.
  Result<void> read_arguments(std::span<const std::string_view> arguments);

  /// Reads the variables of the options. `get` returns nullptr for a variable that is not set; an empty one counts as
  /// not set.
  Result<void> read_environment(const std::function<const char*(const char*)>& get);

  /// Reads a configuration file. Its lines have the names of the options that `remsh-slave create` takes.
  Result<void> read_config(const std::string& path);

  /// Sets the option of this name. A switch takes "yes" or "no". `said` is the name of the option in the source:
  /// "REMSH_NAME", "remsh.conf:3: name". With --stdio, options about masters elsewhere count only on the command line.
  Result<void> set(std::string_view name, const std::string& value, Source source, const std::string& said);

  /// The options on the command line, in the order of the table.
  [[nodiscard]] std::vector<const Option*> on_command_line() const;

  /// The values that count, as they were given, in the order of the table.
  struct Given {
    const Option* option = nullptr;
    std::vector<std::string> values = {};  // several only if the option may be repeated

    friend bool operator==(const Given&, const Given&) = default;
  };
  [[nodiscard]] std::vector<Given> given() const;

 private:
  Result<void> read_option(std::string_view word, std::span<const std::string_view>& rest);
  [[nodiscard]] Failure unknown(std::string_view name, const std::string& said) const;

  struct Values {
    Source source{};
    std::vector<std::string> texts = {};
  };

  const Command& command_;
  Settings& settings_;
  std::map<std::string_view, Values> values_;  // of the options that were set
};

}  // namespace remsh::program
