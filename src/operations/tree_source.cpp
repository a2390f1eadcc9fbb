#include "operations/tree_source.hpp"

#include "base/format.hpp"
#include "operations/file_info.hpp"
#include "operations/tree_problems.hpp"
#include "os/file.hpp"
#include "os/part_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

namespace remsh::operations {

namespace {

using PartKind = TreePart::Kind;

/// Content comes in pieces of this size at least, unless the file ends.
constexpr std::size_t least_piece = 4096;

/// The most that the other fields of a box of content need, usually.
constexpr std::size_t beside_content = 512;

constexpr int open_to_enter = O_NOFOLLOW | O_NONBLOCK;
constexpr int open_to_read = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW;

std::string kind_of(FileType type) {
  switch (type) {
    case FileType::fifo: return "a fifo";
    case FileType::socket: return "a socket";
    case FileType::character_device:
    case FileType::block_device: return "a device";
    default: return "an entry of no known type";
  }
}

}  // namespace

Result<TreeSource> TreeSource::open(At at, const Bytes& path, Options options) {
  if (auto checked = check_path(path, "read directory"); !checked) return std::move(checked).failure();
  auto top = DirectoryReader::open(at, path);
  if (!top) return std::move(top).failure();
  struct stat status {};
  if (::fstat(top->descriptor(), &status) != 0) return os_failure(errno, "stat");
  TreeSource source(std::move(*top), std::move(options));
  append_tree_part(source.stream_, {.info = file_info_of(status)});
  return source;
}

Result<std::size_t> TreeSource::read(std::span<char> buffer) {
  while (stream_.size() < buffer.size() && !failure_ && !directories_.empty()) {
    append_next(buffer.size() - stream_.size());
  }
  if (failure_) return *failure_;
  const std::size_t count = std::min(stream_.size(), buffer.size());
  std::copy_n(stream_.begin(), count, buffer.begin());
  stream_.erase(0, count);
  return count;
}

/// Appends the next box, or finds that there is nothing to append for an entry.
void TreeSource::append_next(std::size_t room) {
  if (file_) return append_content({.kind = PartKind::content}, room);
  auto name = directories_.back().next();
  if (!name) fail_here(name.failure());
  if (name && *name) return add(std::move(**name), room);
  append_tree_part(stream_, {.kind = PartKind::up});
  directories_.pop_back();
  if (!names_.empty()) names_.pop_back();
}

void TreeSource::add(Bytes name, std::size_t room) {
  if (is_part_name(name) || options_.exclude.matches(names_, name)) return;
  struct stat status {};
  if (::fstatat(here(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT) fail(std::move(name), os_failure(errno, "stat"));
    return;
  }
  const FileInfo info = file_info_of(status);
  switch (info.type) {
    case FileType::directory: return add_directory(std::move(name), info);
    case FileType::symlink: return add_link(std::move(name), info);
    case FileType::file: return add_file(std::move(name), room);
    default: break;
  }
  note_skipped(result_, path_of(name), kind_of(info.type));
  ++entries_;
  append_tree_part(stream_, {.name = std::move(name), .info = info});
}

void TreeSource::add_directory(Bytes name, const FileInfo& info) {
  if (directories_.size() >= max_tree_depth) {
    Failure failure = os_failure(ENAMETOOLONG);
    failure.message = formatted("it has more than {} directories above it", max_tree_depth - 1);
    return fail(std::move(name), std::move(failure));
  }
  auto opened = DirectoryReader::open(here(), name, open_to_enter);
  if (!opened) {
    if (opened.failure().os != ENOENT) fail(std::move(name), std::move(opened).failure());
    return;
  }
  append_tree_part(stream_, {.name = name, .info = info});
  ++entries_;
  ++result_.directories;
  directories_.push_back(std::move(*opened));
  names_.push_back(std::move(name));
}

void TreeSource::add_link(Bytes name, const FileInfo& info) {
  if (!options_.links) return note_skipped(result_, path_of(name), "a symbolic link");
  std::array<char, PATH_MAX> target{};
  const ssize_t size = ::readlinkat(here(), name.c_str(), target.data(), target.size());
  if (size < 0) {
    if (errno != ENOENT) fail(std::move(name), os_failure(errno, "read the link"));
    return;
  }
  if (size == 0 || static_cast<std::size_t>(size) > max_tree_target) {
    return fail(std::move(name), os_failure(ENAMETOOLONG, "read the link"));
  }
  append_tree_part(
      stream_, {.name = std::move(name), .info = info, .target = Bytes(target.data(), static_cast<std::size_t>(size))});
  ++entries_;
  ++result_.links;
}

/// Opens a file, and appends its box with the beginning of its content.
void TreeSource::add_file(Bytes name, std::size_t room) {
  UniqueFd file(::openat(here(), name.c_str(), open_to_read));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) {
    if (errno != ENOENT) fail(std::move(name), os_failure(errno, "open"));
    return;
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(std::move(name), {Errc::os_error, "open: Not a regular file any more", EINVAL});
  }
  file_ = std::move(file);
  file_name_ = name;
  file_left_ = static_cast<std::uint64_t>(status.st_size);
  has_size_ = status.st_size > 0;
  file_bytes_ = 0;
  append_content({.name = std::move(name), .info = file_info_of(status)}, room);
}

/// Reads on in the open file. A file is as long as it was when it was opened, or shorter if it is that now; one of size
/// 0, as in /proc, is read to its end.
void TreeSource::append_content(TreePart part, std::size_t room) {
  const std::size_t before = stream_.size();
  std::size_t wanted = std::clamp(room, least_piece + beside_content, Box::max_value) - beside_content;
  if (has_size_) wanted = static_cast<std::size_t>(std::min<std::uint64_t>(wanted, file_left_));
  const std::size_t begin = begin_tree_data(stream_, wanted);
  const auto count = read_file(file_.get(), std::span(stream_).subspan(begin));
  if (!count) {
    stream_.resize(before);
    file_.reset();
    if (part.kind == PartKind::content) return fail_here(count.failure());
    file_name_.clear();
    return fail(std::move(part.name), count.failure());
  }
  end_tree_data(stream_, begin, *count);
  if (part.kind == PartKind::entry) ++entries_;
  file_left_ -= has_size_ ? *count : 0;
  file_bytes_ += *count;
  moved_ += *count;
  part.more = *count > 0 && (file_left_ > 0 || !has_size_);
  end_tree_part(stream_, part);
  if (part.more) return;
  file_.reset();
  file_name_.clear();
  ++result_.files;
  result_.bytes += file_bytes_;
}

/// An entry cannot be read.
void TreeSource::fail(Bytes name, Failure why) {
  note_failed(result_, path_of(name), why);
  if (options_.require_all) {
    why.message = about_entry(path_of(name), why.message);
    failure_ = std::move(why);
    return;
  }
  append_tree_part(stream_, {.name = std::move(name), .failure = std::move(why)});
  ++entries_;
}

/// The open file, or if there is none the directory, cannot be read any further.
void TreeSource::fail_here(Failure why) {
  const Bytes path = path_of(std::exchange(file_name_, {}));
  note_failed(result_, path, why);
  if (options_.require_all) {
    why.message = about_entry(path, why.message);
    failure_ = std::move(why);
    return;
  }
  append_tree_part(stream_, {.kind = PartKind::failure, .failure = std::move(why)});
}

}  // namespace remsh::operations
