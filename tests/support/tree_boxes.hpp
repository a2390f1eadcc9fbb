// The boxes of the stream of a tree, made by hand.
#pragma once

#include "operations/tree_stream.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/operations/filesystem.hpp>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <utility>

namespace remsh::test {

inline FileInfo tree_info(FileType type, std::uint64_t size = 0, std::uint32_t mode = 0755) {
  return {type, size, mode, std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(-7))};
}

inline Bytes tree_box(const operations::TreePart& part) {
  Bytes stream;
  operations::append_tree_part(stream, part);
  return stream;
}

inline Bytes tree_top(std::uint32_t mode = 0755) { return tree_box({.info = tree_info(FileType::directory, 0, mode)}); }
inline Bytes tree_up() { return tree_box({.kind = operations::TreePart::Kind::up}); }
inline Bytes tree_file(const Bytes& name, BytesView data = {}, bool more = false, std::uint32_t mode = 0644) {
  return tree_box({.name = name, .info = tree_info(FileType::file, data.size(), mode), .data = data, .more = more});
}
inline Bytes tree_content(BytesView data, bool more = false) {
  return tree_box({.kind = operations::TreePart::Kind::content, .data = data, .more = more});
}
inline Bytes tree_directory(const Bytes& name, std::uint32_t mode = 0755) {
  return tree_box({.name = name, .info = tree_info(FileType::directory, 0, mode)});
}
inline Bytes tree_link(const Bytes& name, const Bytes& target) {
  return tree_box({.name = name, .info = tree_info(FileType::symlink), .target = target});
}
inline Bytes tree_special(const Bytes& name, FileType type) {
  return tree_box({.name = name, .info = tree_info(type)});
}

/// An entry that the sender cannot read.
inline Bytes tree_unreadable(const Bytes& name, int error = EACCES) {
  return tree_box({.name = name, .failure = Failure{Errc::os_error, "open: refused", error}});
}

/// The open file, or else the directory, cannot be read any further.
inline Bytes tree_failure(int error = EIO) {
  return tree_box({.kind = operations::TreePart::Kind::failure, .failure = Failure{Errc::os_error, "read", error}});
}

}  // namespace remsh::test
