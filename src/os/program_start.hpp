// ProgramStart: how this program was started, so that it can be started in the same way again.
#pragma once

#include "base/result.hpp"

#include <string>
#include <vector>

namespace remsh {

/// The file, arguments and environment of this process. Take it before the environment is changed.
class ProgramStart {
 public:
  /// Fails if the system does not say how this process was started.
  static Result<ProgramStart> of_this_process();

  /// Replaces the program of this process by a new start of the same file, which may have been replaced meanwhile, in
  /// this directory (empty: the current one). The number of the process, its children and the descriptors without
  /// close-on-exec stay; other threads end. Returns only if that fails.
  [[nodiscard]] Failure again(const std::string& directory) const;

 private:
  std::string file_;
  std::vector<std::string> arguments_;
  std::vector<std::string> environment_;
};

}  // namespace remsh
