// PackedInfo: a SlaveInfo in one small block of memory.
#pragma once

#include <remsh/master/slave.hpp>

#include <atomic>
#include <cstddef>
#include <optional>
#include <string_view>

namespace remsh {

/// A SlaveInfo in one block of memory, until the whole is requested: a master has many idle slaves, and separate
/// strings would cost more than their content. Thread-safe, except for set().
class PackedInfo {
 public:
  PackedInfo() = default;
  explicit PackedInfo(const SlaveInfo& info) { set(info); }
  PackedInfo(const PackedInfo&) = delete;
  PackedInfo& operator=(const PackedInfo&) = delete;
  ~PackedInfo() { clear(); }

  /// Replaces the content. No other thread may use this object meanwhile, or have a reference from unpacked().
  void set(const SlaveInfo& info);

  // Views into the block, valid as long as this object.
  [[nodiscard]] std::string_view name() const noexcept { return field(0); }
  [[nodiscard]] std::string_view key_id() const noexcept { return field(1); }
  [[nodiscard]] std::string_view address() const noexcept { return field(2); }
  [[nodiscard]] std::string_view boot_id() const noexcept { return field(3); }
  [[nodiscard]] std::string_view instance_id() const noexcept { return field(4); }
  [[nodiscard]] std::optional<std::string_view> label(std::string_view key) const noexcept;
  [[nodiscard]] std::optional<std::string_view> claimed_label(std::string_view key) const noexcept;

  /// How many of a resource the slave has, slots (auth::slots_name) among them.
  [[nodiscard]] std::uint64_t resource(std::string_view name) const noexcept;

  /// A copy of the whole info.
  [[nodiscard]] SlaveInfo unpack() const;

  /// The whole info. The first call unpacks it; it is kept from then on, and valid as long as this object.
  [[nodiscard]] const SlaveInfo& unpacked() const;

 private:
  struct Unpacked;

  void clear() noexcept;
  [[nodiscard]] const char* block() const noexcept;
  [[nodiscard]] const char* after_fields() const noexcept;
  [[nodiscard]] const char* after_labels(std::size_t lists) const noexcept;
  [[nodiscard]] std::string_view field(std::size_t number) const noexcept;

  // Owned: null, a block, or an Unpacked, which owns its block. The first byte says which. One pointer, as a master has
  // many of these objects.
  mutable std::atomic<const char*> held_ = nullptr;
};

}  // namespace remsh
