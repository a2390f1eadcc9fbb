// Options and result of send_tree and fetch_tree.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/operations/transfer.hpp>

#include <cstdint>
#include <stop_token>
#include <string>
#include <system_error>
#include <vector>

namespace remsh {

/// Options of send_tree() and fetch_tree().
struct TreeOptions {
  /// Entries that are left out, with everything below them. A pattern without a slash is compared with each name in the
  /// tree: "*.o", ".git". A pattern with a slash is compared with the path of an entry, from the top of the tree on:
  /// "doc/*.html", "/build". `*` stands for any bytes except a slash, also for none and for a dot at the beginning; `?`
  /// stands for one byte. There are no other special characters. A pattern does not end with a slash.
  std::vector<Bytes> exclude = {};

  /// true: an existing directory at the destination is replaced as a whole, in one step; nothing of it remains. false:
  /// whatever exists there is refused.
  bool overwrite = false;

  /// true: an entry that the source cannot read ends the operation with its error, and the destination stays as it was.
  /// false: such entries are left out, and named in the result.
  bool require_all = false;

  /// false: symbolic links are left out, and named in the result. A link that a slave sends may lead anywhere on this
  /// host; it is never followed here, but a program that reads the fetched tree may follow it.
  bool links = true;

  /// The new tree (on the slave for send_tree(), here for fetch_tree()) is on the disk when the call returns, so that
  /// it survives a loss of power. All data that waits for that disk is written first, also that of other programs.
  bool durable = true;

  std::uint64_t max_bytes = UINT64_MAX;    ///< (fetch_tree) more content ends the call with too_large
  std::uint64_t max_entries = 10'000'000;  ///< (fetch_tree) more entries end the call with too_large
  ProgressCallback progress = {};          ///< the bytes of content; the total is known at the end only
  CallDeadline deadline = {};              ///< applies to a fetch_tree() even while the disk of this host hangs
  std::stop_token stop = {};
  std::string tag = {};  ///< any text for the AuditHook: the job or the user, for example
};

/// An entry of the source that is not in the new tree.
struct TreeProblem {
  Bytes path = {};           ///< from the top of the tree on; empty: the top itself. Any bytes except NUL
  std::error_code os = {};   ///< the error of the source's system; none for an entry that was skipped
  std::string message = {};  ///< a sentence, with the path: "'log/x': open: Permission denied"
};

/// The result of send_tree() and fetch_tree(): what the new tree contains, and what it does not.
struct TreeResult {
  std::uint64_t files = 0;
  std::uint64_t directories = 0;  ///< without the top
  std::uint64_t links = 0;
  std::uint64_t bytes = 0;  ///< of content

  std::uint64_t failed = 0;   ///< entries that could not be read; a directory counts once, with everything below it
  std::uint64_t skipped = 0;  ///< sockets, fifos and devices; symbolic links without `links`

  /// The entries that failed or were skipped: the first 1000, or fewer if their paths exceed 1 MiB.
  std::vector<TreeProblem> problems = {};

  /// True if everything was read that a tree can contain and `exclude` does not name.
  [[nodiscard]] bool is_complete() const noexcept { return failed == 0; }
};

}  // namespace remsh
