// What is said of the entries of a tree: their paths, and which of them a copy does not contain.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/operations/tree.hpp>

#include <string>
#include <vector>

namespace remsh::operations {

/// The path of an entry in the directory that these names lead to, from the top of the tree on. Without a name, the
/// path of the directory itself.
Bytes entry_path(const std::vector<Bytes>& names, BytesView name);

/// A sentence about an entry of a tree. Of a long path, only the end is shown.
std::string about_entry(BytesView path, const std::string& what);

/// Counts an entry that could not be read, and adds it to the problems if these are not too many.
void note_failed(TreeResult& result, BytesView path, const Failure& why);

/// The same for an entry that a tree cannot contain. `what`: "a socket", for example.
void note_skipped(TreeResult& result, BytesView path, const std::string& what);

}  // namespace remsh::operations
