// Settings: what the options of remsh-slave set, for all of its commands.
#pragma once

#include <remsh/auth/key_ring.hpp>
#include <remsh/slave/embedded.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace remsh::program {

/// What an option makes the program show instead of its work.
enum class Shows : std::uint8_t { nothing, help, version };

struct Settings {
  std::chrono::system_clock::time_point now;  ///< where durations begin

  SlaveProgramOptions program = {};
  bool stdio = false;
  bool verbose = false;
  bool quiet = false;
  std::string key = {};     ///< the file, or "-"; for enrol the new file
  std::string config = {};  ///< the configuration file

  std::string keys = "slaves.keys";
  std::optional<std::string> slave_file = {};
  KeyTerms terms = {};

  bool stops_now = false;

  bool is_percent_encoded = false;  ///< applies to later values on the command line
  Shows shows = Shows::nothing;
  std::vector<std::string> arguments = {};  ///< the whole command line, for reading it again
  std::vector<std::string> words = {};      ///< words of the command line that are neither options nor their values
};

}  // namespace remsh::program
