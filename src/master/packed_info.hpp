// PackedInfo: what a slave told of itself, in one small block of memory.
#pragma once

#include <remsh/master/slave.hpp>

#include <memory>
#include <string_view>

namespace remsh {

/// A SlaveInfo as long as nobody looks at it: a master has many idle slaves, and each string of its own would cost more
/// than what is in it. Immutable.
class PackedInfo {
 public:
  PackedInfo() = default;
  explicit PackedInfo(const SlaveInfo& info);

  [[nodiscard]] std::string_view name() const noexcept;
  [[nodiscard]] std::string_view key_id() const noexcept;
  [[nodiscard]] SlaveInfo unpack() const;

 private:
  std::unique_ptr<char[]>
      block_;  // fields, each behind its length; then the features, and the labels, behind their number
};

}  // namespace remsh
