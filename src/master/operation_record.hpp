// OperationRecord: the facts about one operation of a caller, while it runs and at its end.
#pragma once

#include "base/clock.hpp"
#include "base/operations_end.hpp"
#include "master/asked_operation.hpp"
#include "master/operations_in_progress.hpp"
#include "master/request.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/master/operation_in_progress.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace remsh {

/// The facts about one operation, for the list of operations in progress and for the audit. It refers to the caller's
/// arguments, and makes strings of them only on demand. One thread at a time, except that any thread may look at it
/// while it is listed. Everything that it refers to must outlive it.
class OperationRecord final : public OperationEntry {
 public:
  OperationRecord(const Request& request, const AskedOperation& asked, const std::string& tag, BytesView builder)
      : request_(request), asked_(asked), tag_(tag), builder_(builder) {}

  // Only before it is listed.

  /// Sets the whole command, if it may be shown. Otherwise only its program is shown, as the request has it.
  void set_command(const std::vector<Bytes>& args) noexcept { args_ = &args; }
  void set_cwd(BytesView cwd) noexcept { cwd_ = cwd; }
  /// Sets the file of this host that a fetch writes.
  void set_local_file(BytesView path) noexcept { local_file_ = path; }

  [[nodiscard]] const AskedOperation& asked() const noexcept { return asked_; }
  [[nodiscard]] TimePoint start() const noexcept { return start_; }

  /// Fills in an AuditRecord or an OperationInProgress.
  template <class Description>
  void describe(Description& description) const {
    description.duration = real_clock().now() - start_;
    description.start = std::chrono::system_clock::now() -
                        std::chrono::duration_cast<std::chrono::system_clock::duration>(description.duration);
    description.operation = request_.verb();
    description.arguments = arguments();
    description.cwd = cwd_;
    description.tag = tag_;
    description.builder = builder_;
  }

  [[nodiscard]] std::optional<OperationInProgress> look() const override;

 private:
  [[nodiscard]] std::vector<Bytes> arguments() const;

  const Request& request_;
  const AskedOperation& asked_;
  const std::string& tag_;
  const BytesView builder_;
  const std::vector<Bytes>* args_ = nullptr;
  BytesView cwd_;
  BytesView local_file_;
  const TimePoint start_ = real_clock().now();
};

/// An operation whose caller has left, until the worker has ended it. The list must outlive it.
class LeftOperation final : public OperationsEnd, private OperationEntry {
 public:
  /// Takes the place of `record` in the list. Null if the operation has not begun, so that the worker does not know it.
  /// Also null if there is no memory; then the operation is not listed any more.
  [[nodiscard]] static std::unique_ptr<LeftOperation> replace(OperationRecord& record,
                                                              OperationsInProgress& list) noexcept;
  ~LeftOperation() override { list_.remove(*this); }

  void note() noexcept override {}  // this object is destroyed next, and so leaves the list

 private:
  LeftOperation(OperationInProgress what, TimePoint start, OperationsInProgress& list)
      : what_(std::move(what)), start_(start), list_(list) {}
  [[nodiscard]] std::optional<OperationInProgress> look() const override;

  const OperationInProgress what_;
  const TimePoint start_;
  OperationsInProgress& list_;
};

}  // namespace remsh
