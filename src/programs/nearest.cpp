#include "programs/nearest.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace remsh::program {

namespace {

/// How many letters must be added, removed, replaced or swapped with their neighbour to turn one word into the other.
std::size_t distance(std::string_view a, std::string_view b) {
  // Row i, column j: the distance of the first i letters of a and the first j of b.
  std::vector<std::vector<std::size_t>> rows(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        rows[i][j] = i + j;
        continue;
      }
      const std::size_t replaced = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      rows[i][j] = std::min({replaced, rows[i - 1][j] + 1, rows[i][j - 1] + 1});
      const bool are_swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (are_swapped) rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.size()][b.size()];
}

}  // namespace

std::optional<std::string_view> nearest(std::string_view word, std::span<const std::string_view> known) {
  constexpr std::size_t longest = 64;
  constexpr std::size_t least_beginning = 3;
  if (word.empty() || word.size() > longest) return std::nullopt;
  std::optional<std::string_view> best;
  std::size_t fewest = word.size() / 2 + 1;  // one more than the most that counts as similar
  for (const std::string_view one : known) {
    const bool begins_alike = word.size() >= least_beginning && (one.starts_with(word) || word.starts_with(one));
    const std::size_t letters = begins_alike ? 1 : distance(word, one);
    if (letters >= fewest) continue;
    fewest = letters;
    best = one;
  }
  return best;
}

}  // namespace remsh::program
