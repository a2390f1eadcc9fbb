// AuditTrail: an operation under way, of whose end an AuditHook is to be told.
#pragma once

#include "base/result.hpp"
#include "master/backend.hpp"
#include "master/operation_record.hpp"

#include <remsh/master/audit.hpp>

#include <type_traits>

namespace remsh {

/// An operation under way, of whose end an AuditHook is to be told: by the destructor, where it was begun. Until it
/// hears of another end, its caller has left it. What it says of the operation itself is in the record of it. One
/// thread at a time. The hook, the record and the back end must outlive it.
class AuditTrail {
 public:
  AuditTrail(const AuditHook& hook, const Backend& slave, const OperationRecord& operation);
  AuditTrail(const AuditTrail&) = delete;
  AuditTrail& operator=(const AuditTrail&) = delete;
  ~AuditTrail();

  void begin() noexcept { is_begun_ = true; }

  /// Notes what a part of the operation throws.
  template <class Part>
  auto watch(const Part& part) {
    try {
      return part();
    } catch (...) {
      threw();
      throw;
    }
  }

  /// The same, of a part that says whether it was the last.
  template <class Part>
  bool drive(const Part& part) {
    return is_over_ = watch(part);
  }

  /// What came of it, as far as the slave is concerned.
  template <class Reply>
  void answered(const Result<void>& answer, const Reply& reply) {
    if (!answer.ok()) return failed(answer.failure());
    record_.error.reset();
    record_.message.clear();
    if constexpr (std::is_same_v<Reply, operations::Execute::Reply>) {
      record_.exit_code = reply.exit_code;
      record_.signal = reply.signal;
      record_.timed_out = reply.timed_out;
    }
  }

  /// Nobody will take the outcome. It counts all the same if it is there, but for a fetched file, which is not.
  template <class Reply>
  void left(const Started& started, const Reply& reply) noexcept {
    if (!is_over_ || std::is_same_v<Reply, operations::Fetch::Reply>) return;
    try {
      answered(started->take(), reply);
    } catch (...) {  // NOLINT(bugprone-empty-catch): then the caller has just left
    }
  }

 private:
  void failed(const Failure& failure);
  void threw() noexcept;

  const AuditHook& hook_;
  const Backend& slave_;
  const OperationRecord& operation_;
  AuditRecord record_;  // how it ends; who, what and when come at the end
  bool is_begun_ = false;
  bool is_over_ = false;
};

}  // namespace remsh
