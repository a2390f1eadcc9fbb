// Exclude: the patterns of entries that a tree leaves out.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace remsh::operations {

/// The most patterns of one request.
inline constexpr std::size_t max_patterns = 1000;

/// Why a text is not a pattern; empty if it is one.
std::string_view why_not_pattern(BytesView text);

/// Compares entries with patterns, as docs/protocol.md section 7 describes. The time of one comparison is bounded by
/// the product of both lengths. Thread-safe: it does not change.
class Exclude {
 public:
  Exclude() = default;

  /// Each text must be a pattern.
  explicit Exclude(const std::vector<Bytes>& patterns);

  /// Whether the entry `name` is left out. `above`: the names of the directories from the top of the tree to it.
  [[nodiscard]] bool matches(std::span<const Bytes> above, BytesView name) const;

 private:
  struct Pattern {
    bool anywhere = false;        // one name, at any depth
    std::vector<Bytes> names{1};  // otherwise the path, from the top of the tree on
  };
  std::vector<Pattern> patterns_;
};

}  // namespace remsh::operations
