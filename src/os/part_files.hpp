// The names of part files and part trees, and the records by which those of a killed process are found and removed.
#pragma once

#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>

#include <functional>

namespace remsh {

/// A name for a part file that cannot be predicted.
[[nodiscard]] Bytes new_part_name();

/// Whether a name is that of a part file, or of the directory of the records.
[[nodiscard]] bool is_part_name(BytesView name) noexcept;

/// The record of one part file: a file that is written under a temporary name and will get another. Everything here is
/// also for part trees, which are directories with what is in them. The record is a
/// file in the directory `.remsh-parts` of a directory `home`. It has the name of the part file, contains the path of
/// the part file's directory, and is locked by the process that writes the part file. One thread at a time.
class PartRecord {
 public:
  PartRecord() = default;

  /// Makes the record; before the part file is made. If nothing can be recorded in `home` (no write permission, a file
  /// system without locks), there is a name all the same, and a part file remains if its process is killed.
  static PartRecord make(int home, const Bytes& directory);

  /// The same in `home`, or if that is negative, in the directory of the part file itself.
  static PartRecord make_for(int directory, int home);

  PartRecord(PartRecord&& other) noexcept;
  PartRecord& operator=(PartRecord&& other) noexcept;
  ~PartRecord() { drop(); }

  /// The name for the part file, from new_part_name(); empty if there is no record.
  [[nodiscard]] const Bytes& name() const noexcept { return name_; }

  /// Removes the record. The part file must be gone, or have its final name.
  void drop() noexcept;

  /// Leaves the record, and the part file, to the next remove_abandoned_parts().
  void leave() noexcept;

 private:
  bool make_file(int home, const Bytes& directory);
  Bytes name_;
  UniqueFd home_;
  UniqueFd records_;
  UniqueFd file_;  // locked; empty: nothing could be recorded
};

/// True if `home` has records of part files, whether their processes are alive or not.
[[nodiscard]] bool has_part_records(int home) noexcept;

/// Removes the part files that are recorded in `home` and whose processes have ended, and their records. It removes no
/// file that has no record, none that its process still writes, and none of another user.
///
/// `open_directory` opens the path in a record. If it returns an empty descriptor, errno says why.
void remove_abandoned_parts(int home, const std::function<UniqueFd(const Bytes&)>& open_directory);

/// The same for a directory that is the home of its own part files alone.
void remove_abandoned_parts_in(int directory);

}  // namespace remsh
