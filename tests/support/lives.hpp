// lives: whether a process lives.
#pragma once

#include "os/process_tree.hpp"

#include <sys/types.h>

namespace remsh::test {

/// False for a zombie, too.
inline bool lives(pid_t pid) {
  const ProcessTable table = ProcessTable::read();
  const ProcessTable::Entry* entry = table.find(pid);
  return entry != nullptr && entry->lives;
}

}  // namespace remsh::test
