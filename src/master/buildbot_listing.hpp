// How the entries of a directory come from a Buildbot worker: a program for its /bin/sh, and a reader of its output.
#pragma once

#include "master/buildbot_script.hpp"
#include "operations/operations.hpp"

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace remsh {

/// Lists the directory $1, or with a second argument $1 itself, in base64, as text would not keep their names.
extern const char* const buildbot_list_program;

/// Why the program has failed.
Failure buildbot_listing_failure(const std::string& path, const BuildbotCommandEnd& end);

/// Reads what the program writes.
class BuildbotEntryReader {
 public:
  void feed(std::string_view text);

  /// The next entry; nullopt if there is none yet, or what came makes no sense.
  std::optional<operations::List::Entry> next();

  /// Whether all that came was entries.
  [[nodiscard]] bool is_complete() const { return is_good_ && at_ == bytes_.size() && digits_.empty(); }

 private:
  std::string digits_;
  Bytes bytes_;
  std::size_t at_ = 0;  // of the next entry
  bool is_good_ = true;
};

}  // namespace remsh
