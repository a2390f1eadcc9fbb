// A class of slaves with operations of their own, for what a command would be too slow or too clumsy.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>

namespace fs = std::filesystem;

/// A path of the master's, which begins in the directory where the master works, with `..` and symbolic links resolved,
/// so that it cannot lead out of the base directory unseen. It is a check, not a jail: whoever can change links there
/// meanwhile leads it elsewhere.
static fs::path below_basedir(const remsh::OperationContext& context, const std::string& path) {
  const fs::path base = fs::canonical(context.basedir());
  const fs::path resolved = fs::canonical(context.cwd() / fs::path(path));
  const auto [end, ignored] = std::mismatch(base.begin(), base.end(), resolved.begin(), resolved.end());
  if (end != base.end()) throw std::runtime_error("only below the base directory, not " + path);
  return resolved;
}

/// Runs on the slave, on a thread that may block. Arguments and results are boxes: keys with bytes.
static remsh::Box disk_space(remsh::OperationContext& context) {
  const std::string path(context.arguments().get("path").value_or("."));
  const auto space = fs::space(below_basedir(context, path));
  return {{"available", std::to_string(space.available)}, {"capacity", std::to_string(space.capacity)}};
}

/// Streams the lines with a word that are in what the master streams. Neither side holds more than a piece of it, and
/// if the master does not want any more, read() and write() throw.
static remsh::Box find_lines(remsh::OperationContext& context) {
  const std::string word(context.arguments().get("word").value_or(""));
  std::string line;
  int found = 0;
  const auto look = [&] {
    if (line.find(word) != std::string::npos) {
      context.write(line + '\n');
      ++found;
    }
    line.clear();
  };
  for (auto piece = context.read(); !piece.empty(); piece = context.read()) {
    for (const char c : piece) c == '\n' ? look() : line.push_back(c);
  }
  if (!line.empty()) look();
  return {{"lines", std::to_string(found)}};
}

/// What the master sees of them: methods like any other.
class Worker : public remsh::Slave {
 public:
  using remsh::Slave::Slave;

  /// Before anybody can find the slave in the collection. One that throws here is not let in.
  void setup() override {
    if (disk_space_left() < 1'000'000) throw std::runtime_error("less than a megabyte left");
  }

  std::uintmax_t disk_space_left(const std::string& path = ".") {
    return std::stoull(call("disk-space", {{"path", path}}).get("available").value_or("0"));
  }

  int find_lines(const std::string& word, const remsh::Source& text, const remsh::OutputCallback& found) {
    const remsh::Box result = call("find-lines", {{"word", word}}, {.in = text, .out = remsh::lines(found)});
    return std::stoi(std::string(result.get("lines").value_or("0")));
  }
};

int main(int argc, char** argv) try {
  const auto prepare = [](remsh::SlaveServer& server) {
    server.add_operation("disk-space", disk_space);
    server.add_operation("find-lines", find_lines);
  };
  if (auto code = remsh::run_embedded_slave(argc, argv, prepare)) return *code;

  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  remsh::LocalSlaveListener listener(
      {.slave_collection = slaves, .slave_class = remsh::slave_class<Worker>(), .embedded = true});
  const auto worker = std::dynamic_pointer_cast<Worker>(listener.start_slave(directory / "slave", "ash"));

  std::cout << worker->name() << " has " << worker->disk_space_left() << " bytes left\n";
  for (const std::string outside : {"/etc", "../.."}) {
    try {
      worker->disk_space_left(outside);
      throw std::logic_error("it looked at " + outside);
    } catch (const remsh::RemoteError& error) {
      std::cout << error.what() << '\n';
    }
  }

  const auto print = [](remsh::BytesView line) { std::cout << "found: " << line << '\n'; };
  const auto text = remsh::Source::bytes("all is well\nan error\nall is well\nanother error\n");
  if (worker->find_lines("error", text, print) != 2) throw std::logic_error("there are two errors");
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
