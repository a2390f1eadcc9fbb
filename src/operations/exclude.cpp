#include "operations/exclude.hpp"

#include <algorithm>
#include <utility>

namespace remsh::operations {

namespace {

/// The components of a path; an empty one for each superfluous slash.
std::vector<Bytes> components_of(BytesView path) {
  std::vector<Bytes> names;
  for (;;) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    names.emplace_back(path.substr(0, slash));
    if (slash == path.size()) return names;
    path.remove_prefix(slash + 1);
  }
}

BytesView without_first_slash(BytesView text) {
  if (text.starts_with('/')) text.remove_prefix(1);
  return text;
}

/// `*` and `?` in a pattern stand for any bytes and for one. Only the last `*` is ever tried again.
bool matches_name(BytesView pattern, BytesView name) {
  std::size_t at = 0;
  std::size_t in = 0;
  std::size_t star = BytesView::npos;
  std::size_t star_at = 0;
  while (at < name.size()) {
    if (in < pattern.size() && pattern[in] == '*') {
      star = in++;
      star_at = at;
    } else if (in < pattern.size() && (pattern[in] == '?' || pattern[in] == name[at])) {
      ++in;
      ++at;
    } else if (star != BytesView::npos) {
      in = star + 1;
      at = ++star_at;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', in) == BytesView::npos;
}

}  // namespace

std::string_view why_not_pattern(BytesView text) {
  if (text.empty()) return "it is empty";
  if (text.find('\0') != BytesView::npos) return "it contains a zero byte";
  for (const Bytes& name : components_of(without_first_slash(text))) {
    if (name.empty()) return "it has an empty name before or after a slash";
    if (name == "." || name == "..") return "it has '.' or '..' as a name";
  }
  return "";
}

Exclude::Exclude(const std::vector<Bytes>& patterns) {
  patterns_.reserve(patterns.size());
  for (const Bytes& text : patterns) {
    patterns_.push_back({text.find('/') == Bytes::npos, components_of(without_first_slash(text))});
  }
}

bool Exclude::matches(std::span<const Bytes> above, BytesView name) const {
  return std::any_of(patterns_.begin(), patterns_.end(), [&](const Pattern& pattern) {
    if (!matches_name(pattern.names.back(), name)) return false;
    if (pattern.anywhere) return true;
    const auto path = std::span(pattern.names).first(pattern.names.size() - 1);
    return std::equal(path.begin(), path.end(), above.begin(), above.end(), matches_name);
  });
}

}  // namespace remsh::operations
