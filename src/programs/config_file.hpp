// Configuration files of remsh-slave: lines NAME = VALUE, with the names of the options.
#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace remsh::program {

/// The name of the configuration file in the directory of a slave, and of the key.
inline constexpr std::string_view config_name = "slave.conf";
inline constexpr std::string_view key_name = "slave.key";

struct ConfigLine {
  std::size_t number = 0;
  std::string name;
  std::string value;
};

/// Parses the text of a configuration file. Blanks around names and values do not count; a line that begins with # is
/// a comment. A failure begins with the file and the line: "slave.conf:3: ".
Result<std::vector<ConfigLine>> parse_config(std::string_view text, const std::string& file);

/// Whether parse_config() gives this value back.
bool is_config_value(std::string_view value);

/// Reads a configuration file. Refuses one that other users can write, as they could choose what this one runs.
Result<std::string> read_config_file(const std::string& path);

}  // namespace remsh::program
