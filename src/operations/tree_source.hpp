// TreeSource: reads a directory tree as the stream of docs/protocol.md section 7.
#pragma once

#include "base/result.hpp"
#include "operations/exclude.hpp"
#include "operations/tree_problems.hpp"
#include "operations/tree_stream.hpp"
#include "os/at.hpp"
#include "os/directory_reader.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/operations/tree.hpp>

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace remsh::operations {

/// Reads a tree piece by piece, and holds a few boxes of it at a time. It follows no symbolic link, except to the top.
/// An entry that cannot be read is named in the stream and in the result. One that is gone when its turn comes is left
/// out, and so are the part files of this library. One thread at a time.
class TreeSource {
 public:
  struct Options {
    Exclude exclude = {};
    bool links = true;         ///< false: symbolic links are skipped
    bool require_all = false;  ///< an entry that cannot be read ends the stream with its failure
  };

  static Result<TreeSource> open(At at, const Bytes& path, Options options);

  /// Fills the buffer, and returns the number of bytes; it is smaller than the buffer only at the end, and 0 after it.
  Result<std::size_t> read(std::span<char> buffer);

  /// What was read so far. Of files that could not be read to their end, the bytes are not counted.
  [[nodiscard]] const TreeResult& result() const noexcept { return result_; }

  /// The number of entries in the stream so far, without the top.
  [[nodiscard]] std::uint64_t entries() const noexcept { return entries_; }

  /// The bytes of content in the stream so far.
  [[nodiscard]] std::uint64_t moved() const noexcept { return moved_; }

 private:
  TreeSource(DirectoryReader top, Options options) : options_(std::move(options)) {
    directories_.push_back(std::move(top));
  }
  void append_next(std::size_t room);
  void add(Bytes name, std::size_t room);
  void add_directory(Bytes name, const FileInfo& info);
  void add_file(Bytes name, std::size_t room);
  void add_link(Bytes name, const FileInfo& info);
  void append_content(TreePart part, std::size_t room);
  void fail(Bytes name, Failure why);
  void fail_here(Failure why);
  [[nodiscard]] Bytes path_of(BytesView name) const { return entry_path(names_, name); }
  [[nodiscard]] int here() const noexcept { return directories_.back().descriptor(); }

  const Options options_;
  std::vector<DirectoryReader> directories_;  // from the top down
  std::vector<Bytes> names_;                  // of these, without the top

  UniqueFd file_;    // whose content is being read
  Bytes file_name_;  // empty: none
  bool has_size_ = false;
  std::uint64_t file_left_ = 0;
  std::uint64_t file_bytes_ = 0;

  Bytes stream_;  // to be returned by read()
  TreeResult result_;
  std::uint64_t entries_ = 0;
  std::uint64_t moved_ = 0;
  std::optional<Failure> failure_;
};

}  // namespace remsh::operations
