// Batch: operations that are sent to a slave together.
#pragma once

#include <remsh/base/export.hpp>

#include <memory>

namespace remsh {

/// While it lives, what its thread starts on its slave is gathered. It is sent in one piece when the batch ends, when
/// this thread waits for one of these operations, or when another thread uses the slave. So many small operations cost
/// the system calls and wake-ups of one:
///
///     std::vector<Pending<std::optional<FileInfo>>> found;
///     {
///       const auto batch = slave->batch();
///       for (const Bytes& path : paths) found.push_back(slave->start_stat(path));
///     }
///     for (auto& one : found) use(one.wait());
///
/// End it soon: deadlines count meanwhile. It ends in the thread that began it. With slaves that do not speak remsh 2
/// it changes nothing.
class REMSH_API Batch {
 public:
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  ~Batch();

 private:
  friend class Slave;
  explicit Batch(std::shared_ptr<void> open) noexcept;

  std::shared_ptr<void> open_;  // null if the protocol has no batches
};

}  // namespace remsh
