// Key files on the disk: read only if no other user can read or change them, changed in one durable step.
//
// All functions block on the disk. Failures say what to do, and contain no key.
#pragma once

#include "auth/key_line.hpp"
#include "base/result.hpp"
#include "os/file_stamp.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace remsh::auth {

inline constexpr std::size_t max_key_file = std::size_t{4} << 20U;

/// The stamp of the file that has this path now; symbolic links are not followed.
Result<FileStamp> key_file_stamp(const std::string& path);

struct KeyFileContent {
  std::vector<KeyLine> lines;
  FileStamp stamp;
};

/// The purpose of reading a key file.
enum class KeyFileUse : std::uint8_t {
  trust,  ///< to admit slaves: it must be ours or root's
  keep,   ///< to show or change it for its owner: if we are root, that may be any user, in a directory of that user or
          ///< root
};

/// Reads a key file. Refuses a file that its group or others can read or write, one that belongs neither to us nor to
/// root, a symbolic link, anything that is not a regular file, a file of more than max_key_file bytes, and a file in a
/// directory where others can replace it. `busy`: the file changed while it was read.
Result<KeyFileContent> read_key_file(const std::string& path, KeyFileUse use = KeyFileUse::trust);

/// Reads the single key of a slave, from a file that passes the same checks.
Result<KeyLine> read_own_key(const std::string& path);

/// Checks that write_own_key() can make a new file there; `in_use` if the file exists. Leaves nothing behind.
Result<void> check_new_own_key(const std::string& path);

/// Writes the file of a slave's key with mode 0600. An existing file is replaced in one step if `overwrite` is true,
/// and otherwise `in_use`.
Result<void> write_own_key(const std::string& path, const std::string& name, const Secret& key, bool overwrite);

/// Removes the file of a slave's key.
void remove_own_key(const std::string& path) noexcept;

/// The changes to make. Numbers are positions in the list that the editor gets.
struct KeyFileChange {
  std::set<std::size_t> removed = {};
  std::set<std::size_t> used = {};  ///< invitations that are used now
  std::vector<KeyLine> added = {};
};

/// Decides the changes for the current keys; a failure leaves the file unchanged.
using KeyFileEditor = std::function<Result<KeyFileChange>(const std::vector<KeyLine>& lines)>;

/// Changes a key file in one step, and on the disk when it returns: readers see the old file or the new one, and
/// changes by several processes are made one after the other. Comments and order stay. If there is no room for a new
/// key, used or expired invitations of its name are removed. A missing file is made, with mode 0600, if `may_create`.
/// Root may change the file of any user, who stays its owner. `busy`: another process has held its lock for seconds.
Result<void> change_key_file(const std::string& path, bool may_create, WallTime now, const KeyFileEditor& editor);

}  // namespace remsh::auth
