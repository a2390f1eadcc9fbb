// note_problem: adds an entry that a tree does not contain to a TreeResult.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/operations/tree.hpp>

#include <string>

namespace remsh::operations {

/// A sentence about an entry of a tree. Of a long path, only the end is shown.
std::string about_entry(BytesView path, const std::string& what);

/// Counts an entry that could not be read, and adds it to the problems if these are not too many.
void note_failed(TreeResult& result, BytesView path, const Failure& why);

/// The same for an entry that a tree cannot contain. `what`: "a socket", for example.
void note_skipped(TreeResult& result, BytesView path, const std::string& what);

}  // namespace remsh::operations
