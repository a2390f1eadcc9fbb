// TreeSink: makes a directory tree from the stream of docs/protocol.md section 7.
#pragma once

#include "base/result.hpp"
#include "operations/tree_problems.hpp"
#include "operations/tree_stream.hpp"
#include "os/new_tree.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/operations/tree.hpp>

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh::operations {

/// Makes a tree from a stream as it arrives. What the stream says is checked before anything is made of it. The first
/// failure ends it. One thread at a time, except moved().
class TreeSink {
 public:
  struct Options {
    std::uint64_t max_bytes = UINT64_MAX;
    std::uint64_t max_entries = UINT64_MAX;
    mode_t mode_mask = 0777;               ///< the bits that files and directories may have
    bool links = true;                     ///< false: symbolic links are skipped
    bool require_all = false;              ///< an entry that the sender could not read is a failure
    Errc own_error = Errc::os_error;       ///< of failures of this host
    Errc breach = Errc::invalid_argument;  ///< of streams that break the rules
  };

  TreeSink(NewTree tree, Options options) : options_(options), tree_(std::move(tree)) {}

  Result<void> take(BytesView bytes);

  /// Fails if the stream has not come to its end.
  Result<void> finish() const;

  /// Gives the tree its name; after finish().
  Result<void> commit(bool durable);

  [[nodiscard]] const TreeResult& result() const noexcept { return result_; }

  /// The number of entries that came, without the top.
  [[nodiscard]] std::uint64_t entries() const noexcept { return entries_; }

  /// The bytes of content that came. Thread-safe.
  [[nodiscard]] std::uint64_t moved() const noexcept { return moved_.load(std::memory_order_relaxed); }

 private:
  struct Properties {
    mode_t mode = 0;
    timespec mtime{};
  };
  Result<void> take_part(const TreePart& part);
  Result<void> take_entry(const TreePart& part);
  Result<void> begin_file(const TreePart& part);
  Result<void> take_content(const TreePart& part);
  Result<void> take_failure(const TreePart& part);
  Result<void> go_up();
  Result<void> refuse(BytesView name, const Failure& why);
  Result<void> checked(Result<void> done, BytesView name) const;
  [[nodiscard]] Properties properties_of(const FileInfo& info) const;
  [[nodiscard]] Bytes path_of(BytesView name) const { return entry_path(names_, name); }
  [[nodiscard]] Failure in_own_words(Failure failure) const;

  const Options options_;
  TreeDecoder decoder_;
  NewTree tree_;
  std::vector<Bytes> names_;             // of the directories from the top down, without the top
  std::vector<Properties> directories_;  // of these, with the top
  Bytes file_name_;                      // of the open file; empty: none
  Properties file_;
  std::uint64_t file_bytes_ = 0;
  TreeResult result_;
  std::uint64_t entries_ = 0;
  std::atomic<std::uint64_t> moved_ = 0;
};

}  // namespace remsh::operations
