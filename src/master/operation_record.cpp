#include "master/operation_record.hpp"

#include <new>
#include <utility>

namespace remsh {

std::vector<Bytes> OperationRecord::arguments() const {
  if (args_ != nullptr) return *args_;
  std::vector<Bytes> arguments;
  for (const BytesView argument : {request_.first(), request_.second(), local_file_}) {
    if (!argument.empty()) arguments.emplace_back(argument);
  }
  return arguments;
}

std::optional<OperationInProgress> OperationRecord::look() const {
  OperationInProgress known;
  known.id = asked_.number.load(std::memory_order_acquire);
  if (known.id == 0) return std::nullopt;
  describe(known);
  known.bytes_in = asked_.moved.in();
  known.bytes_out = asked_.moved.out();
  known.bytes_total = asked_.moved.total();
  return known;
}

std::unique_ptr<LeftOperation> LeftOperation::replace(OperationRecord& record, OperationsInProgress& list) noexcept {
  std::unique_ptr<LeftOperation> left;
  try {
    auto what = record.look();
    if (!what) return nullptr;
    what->caller_left = true;
    left.reset(new LeftOperation(std::move(*what), record.start(), list));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  left->range = {left->what_.id, left->what_.id + 1};
  list.replace(record, *left);
  return left;
}

std::optional<OperationInProgress> LeftOperation::look() const {
  OperationInProgress known = what_;
  known.duration = real_clock().now() - start_;
  return known;
}

}  // namespace remsh
