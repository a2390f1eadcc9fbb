// How much of the heap is in use. REMSH_CAN_COUNT is defined if that can be measured, so not under sanitizers.
#pragma once

#include <cstddef>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if !defined(__has_feature)
#define REMSH_CAN_COUNT 1
#elif !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
#define REMSH_CAN_COUNT 1
#endif
#endif

#ifdef REMSH_CAN_COUNT
#include <malloc.h>

namespace remsh::test {

inline std::size_t bytes_in_use() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// How much more is in use than when `before` was measured; 0 if other threads have freed more since.
inline std::size_t bytes_taken_since(std::size_t before) {
  const std::size_t now = bytes_in_use();
  return now > before ? now - before : 0;
}

}  // namespace remsh::test
#endif
