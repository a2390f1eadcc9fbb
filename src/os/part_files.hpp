// The names of part files, and the records by which those of a killed process are found and removed.
#pragma once

#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>

#include <functional>

namespace remsh {

/// A name for a part file, which nobody can foresee.
[[nodiscard]] Bytes new_part_name();

/// The record of one part file: a file that is written under a temporary name and will get another. It is a file in the
/// directory `.remsh-parts` of a directory `home`, is named like the part file, holds the path of the directory that
/// the part file is in, and is locked by the process that writes that. One thread at a time.
class PartRecord {
 public:
  PartRecord() = default;

  /// To be made before the part file is. If nothing can be recorded in `home` (we may not write there, its file system
  /// has no locks), there is a name all the same, and a part file whose process is killed stays.
  static PartRecord make(int home, const Bytes& directory);

  PartRecord(PartRecord&& other) noexcept;
  PartRecord& operator=(PartRecord&& other) noexcept;
  ~PartRecord() { drop(); }

  /// The name for the part file, by new_part_name(); empty if there is no record.
  [[nodiscard]] const Bytes& name() const noexcept { return name_; }

  /// Removes the record. The part file must be gone, or have its own name.
  void drop() noexcept;

 private:
  bool make_file(int home, const Bytes& directory);
  Bytes name_;
  UniqueFd home_;
  UniqueFd records_;
  UniqueFd file_;  // locked; none: nothing could be recorded
};

/// True if `home` has records of part files, be their processes alive or not.
[[nodiscard]] bool has_part_records(int home) noexcept;

/// Removes the part files that are recorded in `home` and whose processes have ended, and their records. It removes no
/// file that has no record, none that its process still writes, and none of another user.
///
/// `open_directory` opens a path of a record, or gives none, and says why by errno.
void remove_abandoned_parts(int home, const std::function<UniqueFd(const Bytes&)>& open_directory);

}  // namespace remsh
