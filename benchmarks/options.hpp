// Options: what the command line of the benchmark asks for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace remsh::bench {

struct Options {
  std::set<std::string> works = {"W1", "W2", "W3", "W4", "W5", "W6", "W7", "M1"};
  std::size_t rounds = 6;
  double seconds = 0.4;                             ///< for each measurement of a round trip
  std::uint64_t bytes = std::uint64_t{256} << 20U;  ///< of each transfer
  std::size_t many_slaves = 64;                     ///< of W2
  std::vector<std::size_t> fleets = {1000, 10000};  ///< of W6: how many slaves
  std::size_t slaves_in_memory = 0;                 ///< of one more fleet of W6; 0: none
  bool resident = false;                            ///< W4 also with 1 GiB resident in master and slave
  bool check = false;                               ///< fail if a line is missing
  std::string json = {};                            ///< the file for the figures; empty: none
};

/// What the command line says; or the exit code, where the program ends here.
std::optional<int> parse(int argc, char** argv, Options& options);

}  // namespace remsh::bench
