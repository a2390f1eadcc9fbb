// Keeps a record of every operation of every slave: one line of JSON each, appended to a file.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave/embedded.hpp>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <mutex>
#include <string>

/// Appends to a file, whichever thread it is called in. What the disk does not take is lost: nobody waits for it.
class AuditLog {
 public:
  explicit AuditLog(const std::string& path) : file_(path, std::ios::app) {}

  void add(const remsh::AuditRecord& record) {
    const std::string line = remsh::to_json_line(record) + '\n';
    const std::lock_guard lock(mutex_);
    file_ << line << std::flush;
  }

 private:
  std::mutex mutex_;
  std::ofstream file_;
};

int main(int argc, char** argv) try {
  if (auto code = remsh::run_embedded_slave(argc, argv)) return *code;

  const TemporaryDirectory directory;
  AuditLog log(directory / "audit.jsonl");  // outlives the slaves
  remsh::SlaveCollection slaves;
  remsh::LocalSlaveListener listener({.slave_collection = slaves,
                                      .embedded = true,
                                      .audit = [&log](const remsh::AuditRecord& record) { log.add(record); }});
  const auto slave = listener.start_slave(directory / "ash", "ash");

  slave->execute({"sh", "-c", "echo built >result"}, {.tag = "build 7, for alice"});
  slave->execute({"true", "--password=secret"}, {.secrets = {"secret"}, .tag = "build 7, for alice"});
  try {
    slave->rename("no such file", "other", {.tag = "build 8, for bob"});
  } catch (const remsh::RemoteError& error) {
    std::cout << error.what() << '\n';
  }
  slave->start_execute({"sleep", "1000"}, {.tag = "dropped at once"}).cancel();

  std::ifstream file(directory / "audit.jsonl");
  const std::string lines{std::istreambuf_iterator<char>(file), {}};
  std::cout << lines;
  return std::count(lines.begin(), lines.end(), '\n') == 4 ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
