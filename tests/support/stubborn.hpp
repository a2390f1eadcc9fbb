// Stubborn: a command that ends only when the test says so.
#pragma once

#include "support/slaves.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <vector>

namespace remsh::test {

/// A command that ignores SIGTERM, and lives until its gate is opened.
struct Stubborn {
  Stubborn() {
    if (::mkfifo(gate.c_str(), 0600) != 0) throw std::system_error(errno, std::generic_category(), "mkfifo");
  }

  [[nodiscard]] std::vector<Bytes> command() const {
    return {"sh", "-c", "trap '' TERM; exec 9>\"$0\"; echo >&9; read line < \"$1\"", lifeline.path(), gate};
  }

  /// Waits until the command reads from its gate, and lets it end. Returns, too, if the command, which must have begun,
  /// has ended otherwise.
  void open_gate() const {
    static_cast<void>(eventually([this] {
      const int reached = ::open(gate.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);  // fails if nobody reads
      if (reached < 0) return lifeline.has_ended();
      ::close(reached);
      return true;
    }));
  }

  Lifeline lifeline;
  TempDir dir;
  const std::string gate = dir / "gate";
};

}  // namespace remsh::test
