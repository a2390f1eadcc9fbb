// Sends a whole directory tree to a slave, works in it, and fetches what it has become. Modes, times, links and odd
// names come through, and either tree appears only when it is complete.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave/embedded.hpp>

#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

namespace fs = std::filesystem;

/// Says what a tree contains, and what it does not.
void report(const char* what, const remsh::TreeResult& result) {
  std::cout << what << ": " << result.files << " files, " << result.directories << " directories, " << result.links
            << " links, " << result.bytes << " bytes\n";
  for (const remsh::TreeProblem& problem : result.problems) std::cerr << "not copied: " << problem.message << '\n';
}

int main(int argc, char** argv) try {
  if (auto code = remsh::run_embedded_slave(argc, argv)) return *code;
  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  remsh::LocalSlaveListener listener({.slave_collection = slaves, .embedded = true});
  const auto slave = listener.start_slave(directory / "slave", "ash");

  const std::string source = directory / "Anna's $(source)";
  fs::create_directories(source + "/include");
  fs::create_directories(source + "/.git");
  std::ofstream(source + "/include/answer.h") << "#define ANSWER 42\n";
  fs::create_symlink("include/answer.h", source + "/answer");

  report("sent", slave->send_tree(source, "work", {.exclude = {".git", "*.o"}}));
  slave->execute({"sh", "-c", "grep -o '[0-9]*' answer > result"}, {.cwd = "work"});
  // Fetched trees of slaves that you do not trust should have limits.
  const auto fetched = slave->fetch_tree("work", directory / "result", {.max_bytes = 1'000'000, .max_entries = 1000});
  report("fetched", fetched);
  std::string answer;
  std::ifstream(directory / "result/result") >> answer;
  return answer == "42" && fetched.is_complete() && fs::is_symlink(directory / "result/answer") ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
