// Settings: all that the options of remsh-slave set, whichever of its commands they are for.
#pragma once

#include <remsh/auth/key_ring.hpp>
#include <remsh/slave/embedded.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace remsh::program {

/// What an option asks the program to show instead of doing its work.
enum class Shows : std::uint8_t { nothing, help, version };

struct Settings {
  std::chrono::system_clock::time_point now;  ///< from which durations count

  SlaveProgramOptions program = {};
  bool stdio = false;
  bool verbose = false;
  bool quiet = false;
  std::string key = {};  ///< the file, or "-"; for enrol the new file

  std::string keys = "slaves.keys";
  std::optional<std::string> slave_file = {};
  KeyTerms terms = {};

  bool is_percent_encoded = false;  ///< the values on the command line from here on
  Shows shows = Shows::nothing;
  std::vector<std::string> words = {};  ///< of the command line, that are neither options nor their values
};

}  // namespace remsh::program
