// TellingFields: the fields that identify a request among others of the same operation.
#pragma once

#include "operations/fields.hpp"

#include <remsh/base/bytes.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace remsh::operations {

/// Visits a request, and calls `take` with each field that identifies it: its paths, or the arguments of its command.
/// The values passed are views of the request.
template <class Take>
class TellingFields {
 public:
  explicit TellingFields(Take take) : take_(std::move(take)) {}

  void path(BytesView /*key*/, const Bytes& value) { take_(BytesView(value)); }
  void any_path(BytesView /*key*/, const std::optional<Bytes>& value) {
    if (value) take_(BytesView(*value));
  }
  void list(BytesView /*key*/, const std::vector<Bytes>& value) {
    for (const Bytes& element : value) take_(BytesView(element));
  }

  void paths(BytesView key, const std::vector<Bytes>& value) { list(key, value); }
  void op(BytesView /*key*/, const Bytes& value) { take_(BytesView(value)); }

  // The other fields are ignored.
  void number(BytesView /*key*/, std::uint64_t /*value*/, std::uint64_t /*min*/ = 0, std::uint64_t /*max*/ = 0) {}
  void optional_text(BytesView /*key*/, const Bytes& /*value*/) {}
  void optional_path(BytesView /*key*/, const Bytes& /*value*/) {}
  void optional_list(BytesView /*key*/, const std::vector<Bytes>& /*value*/) {}
  void optional_number(BytesView /*key*/, const std::optional<std::uint64_t>& /*value*/) {}
  void optional_name(BytesView /*key*/, const Bytes& /*value*/) {}
  void optional_integer(BytesView /*key*/, std::optional<std::int32_t> /*value*/, std::int32_t /*min*/,
                        std::int32_t /*max*/) {}
  void text(BytesView /*key*/, const Bytes& /*value*/) {}
  void flag(BytesView /*key*/, bool /*value*/) {}
  void off_flag(BytesView /*key*/, bool /*value*/) {}
  void mode(BytesView /*key*/, std::uint32_t /*value*/) {}
  void optional_mode(BytesView /*key*/, std::optional<std::uint32_t> /*value*/) {}
  void time_limit(BytesView /*key*/, std::chrono::milliseconds /*value*/) {}
  void duration(BytesView /*key*/, std::chrono::milliseconds /*value*/) {}
  void assignments(BytesView /*key*/, const std::vector<Bytes>& /*value*/) {}
  void names(BytesView /*key*/, const std::vector<Bytes>& /*value*/) {}
  void patterns(BytesView /*key*/, const std::vector<Bytes>& /*value*/) {}
  void log_files(BytesView /*key*/, const std::vector<LogRequest>& /*value*/) {}
  void output(BytesView /*key*/, OutputMode /*value*/, bool /*may_merge*/ = false) {}

 private:
  Take take_;
};

}  // namespace remsh::operations
