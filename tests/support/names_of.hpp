// names_of: the names of the entries of a directory.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/operations/filesystem.hpp>

#include <vector>

namespace remsh::test {

inline std::vector<Bytes> names_of(const std::vector<DirectoryEntry>& entries) {
  std::vector<Bytes> names;
  for (const DirectoryEntry& entry : entries) names.push_back(entry.name);
  return names;
}

}  // namespace remsh::test
