// Options: what the command line of the benchmark asks for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>

namespace remsh::bench {

struct Options {
  std::set<std::string> works = {"W1", "W3", "W4", "W5", "M1"};
  std::size_t rounds = 9;
  double seconds = 0.4;                             ///< for each measurement of a round trip
  std::uint64_t bytes = std::uint64_t{256} << 20U;  ///< of each transfer
  bool resident = false;                            ///< W4 also with 1 GiB resident in master and slave
  bool check = false;                               ///< fail where a line is missing
};

/// What the command line says; or the exit code, where the program ends here.
std::optional<int> parse(int argc, char** argv, Options& options);

}  // namespace remsh::bench
