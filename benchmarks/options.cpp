#include "options.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace remsh::bench {

namespace {

constexpr const char* usage =
    "usage: bench [W1] [W2] [W3] [W4] [W5] [W6] [W7] [M1] [options]\n"
    "\n"
    "Measures works of the library next to their bare limits, in turns, and prints how many times worse we are.\n"
    "\n"
    "  W1             one caller, one slave, stat(), over TCP, a unix socket and TLS, and beside quiet calls; also by\n"
    "                 gRPC and Cap'n Proto, if their packages were there when this was built\n"
    "  W2             many calls at once: 16 callers of one slave, a batch of one thread, 64 slaves\n"
    "  W3             send and fetch a file in memory, over TCP and TLS; also by scp and rsync, if they are there\n"
    "  W4             execute /bin/true with its output wanted, over TCP and TLS; also by ssh, if it is there\n"
    "  W5             execute with much output, to a callback, over TCP and TLS\n"
    "  W6             fleets of 1,000 and 10,000 slaves: registration, a call to all, one call among them, memory;\n"
    "                 and registration under TLS\n"
    "  W7             send and fetch a text over a link of 60 ms and 100 Mbit/s, also with losses, and compressed "
    "over\n"
    "                 one of 10 Mbit/s\n"
    "  M1             messages there and back, and large ones one way; also between two Pythons, if there is one\n"
    "\n"
    "  --rounds N     how often each is measured; medians are shown (6)\n"
    "  --seconds S    how long each round trip is measured in a round (0.4)\n"
    "  --size MIB     how large transfers are (256); those of W7 are a 32nd, compressed a 256th\n"
    "  --fleet N      W6 with a fleet of so many slaves, in place of the two; may be given more than once\n"
    "  --in-memory N  W6 also with so many slaves behind transports without a descriptor, as a process may have only\n"
    "                 so many of these; with --rounds 1, as 100,000 take half a minute\n"
    "  --rss          W4 also with 1 GiB resident in master and slave\n"
    "  --quick        few and short rounds: to see that it works, not how well\n"
    "  --json FILE    write the figures to a file, too\n"
    "  --check        fail if a line of the table is missing\n";

int complain(const std::string& what) {
  std::fprintf(stderr, "bench: %s\nTry 'bench --help'.\n", what.c_str());
  return 64;
}

}  // namespace

std::optional<int> parse(int argc, char** argv, Options& options) {
  std::set<std::string> works;
  std::vector<std::size_t> fleets;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    const auto number = [&](double max) -> std::optional<double> {
      if (i + 1 >= argc) return std::nullopt;
      char* end = nullptr;
      const double value = std::strtod(argv[++i], &end);
      if (end == argv[i] || *end != '\0' || !(value > 0) || value > max) return std::nullopt;
      return value;
    };
    if (arg == "--help" || arg == "-h") {
      std::fputs(usage, stdout);
      return 0;
    }
    if (options.works.contains(std::string(arg))) {
      works.emplace(arg);
    } else if (arg == "--rounds" || arg == "--size" || arg == "--fleet" || arg == "--in-memory") {
      const auto value = number(1e6);
      if (!value || *value != std::floor(*value)) return complain("the option " + std::string(arg) + " needs a count");
      const bool is_fleet = arg == "--fleet" || arg == "--in-memory";
      if (is_fleet && *value < 2)
        return complain("a fleet has at least 2 slaves: what the first one costs is not counted");
      if (arg == "--rounds") {
        options.rounds = static_cast<std::size_t>(*value);
      } else if (arg == "--in-memory") {
        options.slaves_in_memory = static_cast<std::size_t>(*value);
      } else if (arg == "--fleet") {
        fleets.push_back(static_cast<std::size_t>(*value));
      } else {
        options.bytes = static_cast<std::uint64_t>(*value) << 20U;
      }
    } else if (arg == "--seconds") {
      const auto value = number(3600);
      if (!value) return complain("the option --seconds needs a number of seconds");
      options.seconds = *value;
    } else if (arg == "--rss") {
      options.resident = true;
    } else if (arg == "--quick") {
      options.rounds = 2;
      options.seconds = 0.05;
      options.bytes = std::uint64_t{16} << 20U;
      options.many_slaves = 8;
      options.fleets = {50, 200};
      options.slaves_in_memory = 300;
    } else if (arg == "--json") {
      if (i + 1 >= argc) return complain("the option --json needs a file");
      options.json = argv[++i];
    } else if (arg == "--check") {
      options.check = true;
    } else {
      return complain("what is '" + std::string(arg) + "'?");
    }
  }
  if (!works.empty()) options.works = works;
  if (!fleets.empty()) options.fleets = fleets;
  return std::nullopt;
}

}  // namespace remsh::bench
