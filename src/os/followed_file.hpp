// FollowedFile: a file that is read while others write to it, and found by its path again and again.
#pragma once

#include "base/result.hpp"
#include "os/at.hpp"
#include "os/file.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <span>

namespace remsh {

/// A file that is read while others write to it. It may appear later, and be truncated, renamed, removed and replaced.
/// It is looked at only by read(), which does not wait for new content. Blocks on the disk. One thread at a time.
class FollowedFile {
 public:
  /// What is read of the content that the file has at the beginning.
  enum class From : std::uint8_t {
    changed,  ///< all of it, as soon as anything was written to the file
    start,    ///< all of it
    end,      ///< nothing
  };

  /// `at` borrows a descriptor. Opens the file, if it is there.
  FollowedFile(At at, Bytes path, From from);

  /// The next bytes; 0: there are none now.
  std::size_t read(std::span<char> buffer);

  /// Something was written to the open file. Needed only for From::changed, and only if the file could have been
  /// written so soon, and in such a way, that its size and time show nothing.
  void note_change() noexcept { is_changed_ = true; }

  /// From now on read() goes no further than to what is there now.
  void end_here();

  /// The file that is open; -1: none.
  [[nodiscard]] int descriptor() const noexcept { return current_.fd.get(); }

  /// How often another file was opened.
  [[nodiscard]] std::uint64_t openings() const noexcept { return openings_; }

  /// Why there is nothing more to read, if that is not because everything was read: the last failure to open or read
  /// the file. A file that was read once may be gone.
  [[nodiscard]] const std::optional<Failure>& problem() const noexcept { return problem_; }

 private:
  struct Open {
    UniqueFd fd;
    dev_t device = 0;
    ino_t number = 0;
  };
  /// The state of a file before it was changed.
  struct Untouched {
    off_t size;
    timespec changed;
  };

  std::size_t read_current(std::span<char> buffer);
  bool is_untouched();
  bool open_next();
  bool is_current(const struct stat& status) const;

  const At at_;
  const Bytes path_;
  Open current_;
  Open next_;  // another file that has got the path: it is read when nothing is left of the current one
  std::uint64_t position_ = 0;
  std::uint64_t limit_ = UINT64_MAX;
  std::optional<Untouched> untouched_;  // if nothing of the current file is read until it is changed
  bool is_changed_ = false;
  bool is_ending_ = false;
  bool has_looked_ = false;  // since end_here()
  std::uint64_t openings_ = 0;
  std::optional<Failure> problem_;
};

}  // namespace remsh
