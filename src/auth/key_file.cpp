#include "auth/key_file.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "os/file.hpp"
#include "os/new_file.hpp"
#include "os/unique_fd.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

namespace remsh::auth {

namespace {

using std::chrono::milliseconds;

constexpr std::string_view first_line =
    "# Keys of slaves, one on each line: NAME KEY [option...]. Whoever reads this file can be any of them.\n";

Failure unsafe(std::string what) { return {Errc::invalid_argument, std::move(what), 0}; }

Failure system_failure(int error, const std::string& path) {
  return {Errc::local_os_error, in_quotes(path) + ": " + std::generic_category().message(error), error};
}

/// Adds the path, because failures of os/file.hpp do not name the file.
Failure with_path(const Failure& failure, const std::string& path) {
  return {Errc::local_os_error, in_quotes(path) + ": " + failure.message, failure.os};
}

bool is_ours(const struct stat& what) noexcept { return what.st_uid == ::geteuid() || what.st_uid == 0; }

/// True if we are root and may maintain this file for its owner.
bool is_kept_for_owner(KeyFileUse use, const struct stat& file) noexcept {
  return use == KeyFileUse::keep && ::geteuid() == 0 && file.st_uid != 0;
}

/// Checks a directory. Users who can write to it could replace our file, unless it is sticky: then only the owner of
/// the file or of the directory can. `owner`: the owner of the file, if we maintain it for that user.
Result<void> check_directory(int directory, const std::string& path, uid_t owner = ::geteuid()) {
  struct stat what {};
  if (::fstat(directory, &what) != 0) return system_failure(errno, path);
  if (!is_ours(what) && what.st_uid != owner) {
    return unsafe(
        formatted("the directory of {} belongs to user {}, who can replace the file: keep it in a directory of your "
                  "own, or run this as that user",
                  in_quotes(path), what.st_uid));
  }
  if ((what.st_mode & 022U) != 0 && (what.st_mode & S_ISVTX) == 0) {
    return unsafe(formatted(
        "others can write to the directory of {} (mode {:04o}) and replace the file: chmod go-w that directory",
        in_quotes(path), what.st_mode & 07777U));
  }
  return {};
}

Result<void> check_file(const struct stat& what, const std::string& path, KeyFileUse use) {
  if (!S_ISREG(what.st_mode)) return unsafe(in_quotes(path) + " is no regular file: give a file of keys");
  if (!is_ours(what) && !is_kept_for_owner(use, what)) {
    return unsafe(formatted(
        "{} belongs to user {}, neither to the user of this program nor to root: run this as that user, or chown {} {}",
        in_quotes(path), what.st_uid, ::geteuid(), in_quotes(path)));
  }
  if ((what.st_mode & 077U) != 0) {
    return unsafe(
        formatted("others than its owner can get at the keys in {} (mode {:04o}): chmod 600 {}, and make new keys if "
                  "somebody may have read it",
                  in_quotes(path), what.st_mode & 07777U, in_quotes(path)));
  }
  if (what.st_size > static_cast<off_t>(max_key_file)) {
    return unsafe(in_quotes(path) + " has more than 4 MiB: give a file of keys");
  }
  return {};
}

/// A key file that has passed the checks, and its directory.
struct SafeFile {
  OpenParent parent;
  UniqueFd fd;
  struct stat what {};
};

/// The directory of a file; not checked yet.
Result<OpenParent> parent_of(const std::string& path) {
  auto parent = open_parent(AT_FDCWD, path);
  if (!parent) return with_path(parent.failure(), path);
  if (parent->slash || parent->name.empty() || parent->name == "." || parent->name == "..") {
    return unsafe(in_quotes(path) + " is a directory: give a file of keys");
  }
  return parent;
}

Result<OpenParent> safe_parent(const std::string& path) {
  auto parent = parent_of(path);
  if (!parent) return std::move(parent).failure();
  if (auto checked = check_directory(parent->directory.get(), path); !checked) return std::move(checked).failure();
  return parent;
}

Result<SafeFile> open_safely(const std::string& path, KeyFileUse use) {
  auto parent = parent_of(path);
  if (!parent) return std::move(parent).failure();
  SafeFile file;
  file.parent = *std::move(parent);
  // Non-blocking, because opening a fifo would block; it is rejected below.
  constexpr int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  file.fd.reset(::openat(file.parent.directory.get(), file.parent.name.c_str(), flags));
  const int error = errno;
  const bool is_there = file.fd && ::fstat(file.fd.get(), &file.what) == 0;
  const bool is_kept = is_there && is_kept_for_owner(use, file.what);
  const uid_t owner = is_kept ? file.what.st_uid : ::geteuid();  // not an optional, because g++ 12 wrongly warns of it
  if (auto checked = check_directory(file.parent.directory.get(), path, owner); !checked) {
    return std::move(checked).failure();
  }
  if (!file.fd) {
    struct stat link {};
    if (::fstatat(file.parent.directory.get(), file.parent.name.c_str(), &link, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISLNK(link.st_mode)) {
      return unsafe(in_quotes(path) + " is a symbolic link: give the file that it leads to");
    }
    if (error == ENOENT) {
      Failure missing = system_failure(error, path);
      missing.message += ": 'remsh-slave keygen add NAME' makes keys";
      return missing;
    }
    if (error == ENXIO) return unsafe(in_quotes(path) + " is no regular file: give a file of keys");
    Failure failure = system_failure(error, path);
    if (error == EACCES) {
      const uid_t user = ::geteuid();
      failure.message +=
          formatted(" for user {}: give the file to that user (chown {} {}), or run this as the one that it belongs to",
                    user, user, in_quotes(path));
    }
    return failure;
  }
  if (!is_there) return system_failure(errno, path);
  if (auto checked = check_file(file.what, path, use); !checked) return std::move(checked).failure();
  return file;
}

Result<SecretText> read_text(const SafeFile& file, const std::string& path) {
  const auto size = static_cast<std::size_t>(file.what.st_size);
  SecretText text;
  while (text.view().size() <=
         size) {  // reads one byte more than expected to notice growth; the text is never reallocated
    auto count = read_file(file.fd.get(), text.grow(size + 1 - text.view().size()));
    if (!count) return with_path(count.failure(), path);
    if (*count == 0) break;
    text.added(*count);
  }
  struct stat after {};
  if (::fstat(file.fd.get(), &after) != 0) return system_failure(errno, path);
  if (stamp_of(after) != stamp_of(file.what)) {
    return Failure{Errc::busy, in_quotes(path) + " changes while it is read: try again", 0};
  }
  return text;
}

std::vector<KeyLine> keys_of(const std::vector<KeyRow>& rows) {
  std::vector<KeyLine> lines;
  for (const KeyRow& row : rows) {
    if (row.key) lines.push_back(*row.key);
  }
  return lines;
}

/// Opens and locks a key file. The lock is on the file itself, which another process may replace meanwhile: so check
/// that the path still leads to the locked file.
Result<SafeFile> open_locked(const std::string& path) {
  constexpr milliseconds patience(5000);
  constexpr milliseconds between(20);
  for (milliseconds waited(0);; waited += between) {
    auto file = open_safely(path, KeyFileUse::keep);
    if (!file) return file;
    if (::flock(file->fd.get(), LOCK_EX | LOCK_NB) == 0) {
      struct stat there {};
      const bool is_there =
          ::fstatat(file->parent.directory.get(), file->parent.name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
          there.st_dev == file->what.st_dev && there.st_ino == file->what.st_ino;
      // The file may have been written in place meanwhile, so get its size again.
      if (is_there && ::fstat(file->fd.get(), &file->what) == 0) return file;
    } else if (errno != EWOULDBLOCK && errno != EINTR) {
      return system_failure(errno, path);
    }
    if (waited >= patience) {
      return Failure{Errc::busy, in_quotes(path) + " is locked by another process: try again when that has ended", 0};
    }
    std::this_thread::sleep_for(between);
  }
}

/// Writes a file durably, new or in place of `before`, whose owner and group it keeps.
Result<void> write_durably(const OpenParent& parent, std::string_view text, mode_t mode, const struct stat* before,
                           bool overwrite, const std::string& path) {
  const auto failed = [&path](Failure failure) {
    failure = with_path(failure, path);
    if (failure.os == EEXIST) failure.code = Errc::in_use;
    return failure;
  };
  auto file = NewFile::create(parent.directory.get(), parent.name, overwrite);
  if (!file) return failed(file.failure());
  if (auto written = file->write(text); !written) return failed(written.failure());
  const bool keeps_owner = before != nullptr && ::geteuid() == 0;
  if (keeps_owner && ::fchown(file->descriptor(), before->st_uid, before->st_gid) != 0) {
    return system_failure(errno, path);
  }
  if (auto committed = file->commit(mode, true); !committed) return failed(committed.failure());
  return {};
}

/// Removes used and expired invitations if new keys need their place. Those that are used just now are removed last,
/// because they make the message for a second use say that they are used.
void make_room(KeyFileChange& change, const std::vector<KeyLine>& lines, WallTime now) {
  for (const KeyLine& added : change.added) {
    const auto is_of_name = [&added](const KeyLine& line) { return line.name == added.name; };
    auto wanted = std::count_if(change.added.begin(), change.added.end(), is_of_name);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (is_of_name(lines[i]) && !change.removed.contains(i)) ++wanted;
    }
    const auto remove = [&](auto&& is_spent) {
      for (std::size_t i = 0; i < lines.size() && wanted > static_cast<std::ptrdiff_t>(max_keys_of_name); ++i) {
        if (is_of_name(lines[i]) && is_spent(i) && change.removed.insert(i).second) --wanted;
      }
    };
    remove([&](std::size_t i) {
      return lines[i].terms.is_invitation && (lines[i].used || *lines[i].terms.expires <= now);
    });
    remove([&](std::size_t i) { return change.used.contains(i); });
  }
}

SecretText changed_text(const std::vector<KeyRow>& rows, const KeyFileChange& change, WallTime now) {
  SecretText text;
  std::size_t number = 0;
  for (const KeyRow& row : rows) {
    if (!row.key) {
      text += row.text;
      continue;
    }
    const std::size_t key = number++;
    if (change.removed.contains(key)) continue;
    if (change.used.contains(key)) {
      KeyLine used = *row.key;
      used.used = now;
      write_key_line(text, used);
    } else {
      text += row.text;
    }
  }
  for (const KeyLine& line : change.added) write_key_line(text, line);
  return text;
}

}  // namespace

Result<FileStamp> key_file_stamp(const std::string& path) {
  struct stat what {};
  if (::lstat(path.c_str(), &what) != 0) return system_failure(errno, path);
  return stamp_of(what);
}

Result<KeyFileContent> read_key_file(const std::string& path, KeyFileUse use) {
  auto file = open_safely(path, use);
  if (!file) return std::move(file).failure();
  auto text = read_text(*file, path);
  if (!text) return std::move(text).failure();
  auto rows = parse_key_file(text->view(), path);
  if (!rows) return std::move(rows).failure();
  return KeyFileContent{keys_of(*rows), stamp_of(file->what)};
}

Result<KeyLine> read_own_key(const std::string& path) {
  auto file = open_safely(path, KeyFileUse::trust);
  if (!file) return std::move(file).failure();
  auto text = read_text(*file, path);
  if (!text) return std::move(text).failure();
  return parse_own_key(text->view(), path);
}

Result<void> check_new_own_key(const std::string& path) {
  auto parent = safe_parent(path);
  if (!parent) return std::move(parent).failure();
  const auto file = NewFile::create(parent->directory.get(), parent->name, false);
  if (file) return {};
  Failure failure = with_path(file.failure(), path);
  if (failure.os == EEXIST) failure.code = Errc::in_use;
  return failure;
}

Result<void> write_own_key(const std::string& path, const std::string& name, const Secret& key, bool overwrite) {
  auto line = make_key_line(name, key);
  if (!line) return std::move(line).failure();
  auto parent = safe_parent(path);
  if (!parent) return std::move(parent).failure();
  SecretText text;
  write_key_line(text, *line);
  return write_durably(*parent, text.view(), 0600, nullptr, overwrite, path);
}

void remove_own_key(const std::string& path) noexcept { ::unlink(path.c_str()); }

Result<void> change_key_file(const std::string& path, bool may_create, WallTime now, const KeyFileEditor& editor) {
  for (;;) {
    auto file = open_locked(path);
    const bool is_new = !file && file.failure().os == ENOENT && may_create;
    if (!file && !is_new) return std::move(file).failure();
    SecretText text;
    if (is_new) {
      text += first_line;
    } else {
      auto read = read_text(*file, path);
      if (!read) return std::move(read).failure();
      text = *std::move(read);
    }
    auto rows = parse_key_file(text.view(), path);
    if (!rows) return std::move(rows).failure();
    const std::vector<KeyLine> lines = keys_of(*rows);
    auto change = editor(lines);
    if (!change) return std::move(change).failure();
    make_room(*change, lines, now);
    const SecretText changed = changed_text(*rows, *change, now);
    if (auto parsed = parse_key_file(changed.view(), path); !parsed) return std::move(parsed).failure();
    if (changed.view().size() > max_key_file) return unsafe(in_quotes(path) + " is full: it may have 4 MiB");

    if (!is_new)
      return write_durably(file->parent, changed.view(), file->what.st_mode & 0700U, &file->what, true, path);
    auto parent = safe_parent(path);
    if (!parent) return std::move(parent).failure();
    auto written = write_durably(*parent, changed.view(), 0600, nullptr, false, path);
    if (written || written.failure().code != Errc::in_use) return written;
    // Another process made the file first: change that one.
  }
}

}  // namespace remsh::auth
