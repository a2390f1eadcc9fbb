// LocalFile: a new file on this host that a caller can leave while the disk hangs.
#pragma once

#include "base/patience.hpp"
#include "base/result.hpp"
#include "master/local_disk.hpp"
#include "os/new_file.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/types.h>

#include <optional>

namespace remsh {

/// A NewFile on a LocalDisk. One thread at a time. A file that was not committed is removed, if the disk does that in
/// time.
class LocalFile {
 public:
  explicit LocalFile(const Patience& patience);

  Result<void> create(const Bytes& path, bool overwrite);

  /// Success may mean only that the bytes are queued: a later call may report that they could not be written.
  Result<void> write(BytesView bytes);

  /// If the caller leaves during this call, the file may still get its name.
  Result<void> commit(mode_t mode, bool durable);

 private:
  std::optional<NewFile>* const file_;  // of the disk's steps
  LocalDisk disk_;
};

}  // namespace remsh
