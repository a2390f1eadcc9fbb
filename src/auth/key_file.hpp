// Key files on the disk: read only where nobody else can read or change them, changed in one durable step.
//
// All of it blocks, on the disk. Failures are sentences that say what to do, and show no key.
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

/// Of what has that name now, not following a symbolic link.
Result<FileStamp> key_file_stamp(const std::string& path);

struct KeyFileContent {
  std::vector<KeyLine> lines;
  FileStamp stamp;
};

/// What a key file is read for.
enum class KeyFileUse : std::uint8_t {
  trust,  ///< slaves are let in by it: it is ours or root's
  keep,   ///< it is shown or changed for its owner: if we are root, any user's, in a directory of that user or root
};

/// Reads a key file. Refuses one that its group or others can read or write, that belongs to somebody else than us or
/// root, a symbolic link, what is no regular file, one of more than max_key_file bytes, and one in a directory where
/// others can replace it. `busy`: it changed while it was read.
Result<KeyFileContent> read_key_file(const std::string& path, KeyFileUse use = KeyFileUse::trust);

/// The one key of a slave, from a file that is as safe.
Result<KeyLine> read_own_key(const std::string& path);

/// Whether write_own_key() can make a new file there: `in_use` where there is one. Leaves nothing behind.
Result<void> check_new_own_key(const std::string& path);

/// Writes that file with mode 0600; an old one is replaced in one step, or is in_use.
Result<void> write_own_key(const std::string& path, const std::string& name, const Secret& key, bool overwrite);

/// Takes it away.
void remove_own_key(const std::string& path) noexcept;

/// What is to change. The numbers are those of the keys that the function below was given.
struct KeyFileChange {
  std::set<std::size_t> removed = {};
  std::set<std::size_t> used = {};  ///< invitations that are taken up now
  std::vector<KeyLine> added = {};
};

/// Says what to change, given the keys as they are; a failure leaves the file alone.
using KeyFileEditor = std::function<Result<KeyFileChange>(const std::vector<KeyLine>& lines)>;

/// Changes a key file in one step, which is on the disk when it returns: who reads it sees the old one or the new one,
/// and of two who change it at once, in whatever process, one is after the other. Comments and order stay. Where a new
/// key finds no room, invitations of that name that are used or expired make it. A missing file is made, with mode
/// 0600, if `may_create`. Root may change the file of any user, who stays its owner. `busy`: somebody has held its lock
/// for seconds.
Result<void> change_key_file(const std::string& path, bool may_create, WallTime now, const KeyFileEditor& editor);

}  // namespace remsh::auth
