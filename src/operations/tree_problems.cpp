#include "operations/tree_problems.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <system_error>
#include <utility>

namespace remsh::operations {

namespace {

constexpr std::size_t max_problems = 1000;
constexpr std::size_t max_problem_paths = std::size_t{1024} * 1024;
constexpr std::size_t max_path_shown = 1000;

void add_problem(TreeResult& result, BytesView path, std::error_code os, const std::string& message) {
  if (result.problems.size() >= max_problems) return;
  const auto size = std::accumulate(result.problems.begin(), result.problems.end(), path.size(),
                                    [](std::size_t sum, const TreeProblem& one) { return sum + one.path.size(); });
  if (size > max_problem_paths) return;
  result.problems.push_back({Bytes(path), os, about_entry(path, message)});
}

}  // namespace

Bytes entry_path(const std::vector<Bytes>& names, BytesView name) {
  Bytes path;
  for (const Bytes& above : names) path.append(above).append("/");
  path.append(name);
  if (name.empty() && !path.empty()) path.pop_back();
  return path;
}

std::string about_entry(BytesView path, const std::string& what) {
  if (path.empty()) return what;
  if (path.size() <= max_path_shown) return formatted("{}: {}", in_quotes(path), what);
  return formatted("'...{}': {}", escaped(path.substr(path.size() - max_path_shown)), what);
}

void note_failed(TreeResult& result, BytesView path, const Failure& why) {
  ++result.failed;
  add_problem(result, path, std::error_code(why.os, std::generic_category()), why.message);
}

void note_skipped(TreeResult& result, BytesView path, const std::string& what) {
  ++result.skipped;
  add_problem(result, path, {}, what + ", which is not copied");
}

}  // namespace remsh::operations
