// AuditTrail: an operation in progress whose end is reported to an AuditHook.
#pragma once

#include "base/result.hpp"
#include "master/backend.hpp"
#include "master/operation_record.hpp"

#include <remsh/master/audit.hpp>

#include <type_traits>

namespace remsh {

/// An operation in progress whose end is reported to an AuditHook: by the destructor, if the operation was begun.
/// Unless another end is noted, it reports that the caller has left. The record has the facts about the operation
/// itself. One thread at a time. The hook, the record and the back end must outlive this object.
class AuditTrail {
 public:
  AuditTrail(const AuditHook& hook, const Backend& slave, const OperationRecord& operation);
  AuditTrail(const AuditTrail&) = delete;
  AuditTrail& operator=(const AuditTrail&) = delete;
  ~AuditTrail();

  void begin() noexcept { is_begun_ = true; }

  /// Runs a part of the operation, and notes what it throws.
  template <class Part>
  auto watch(const Part& part) {
    try {
      return part();
    } catch (...) {
      threw();
      throw;
    }
  }

  /// The same, for a part that returns whether it was the last.
  template <class Part>
  bool drive(const Part& part) {
    return is_over_ = watch(part);
  }

  /// Notes the outcome, as far as the slave is concerned.
  template <class Reply>
  void answered(const Result<void>& answer, const Reply& reply) {
    if (!answer.ok()) return failed(answer.failure());
    record_.error.reset();
    record_.message.clear();
    if constexpr (std::is_same_v<Reply, operations::Execute::Reply>) {
      record_.exit_code = reply.exit_code;
      record_.signal = reply.signal;
      record_.timed_out = reply.timed_out;
      record_.went_silent = reply.silent;
      record_.interrupted = reply.interrupted;
    }
  }

  /// The caller has left before it took the outcome. An outcome that is there counts all the same, except for a fetched
  /// file or tree, which the caller does not have.
  template <class Reply>
  void left(const Started& started, const Reply& reply) noexcept {
    if (!is_over_ || std::is_same_v<Reply, operations::Fetch::Reply>) return;
    if (std::is_same_v<Reply, operations::FetchTree::Reply>) return;
    try {
      answered(started->take(), reply);
    } catch (...) {  // NOLINT(bugprone-empty-catch): then it is reported as left
    }
  }

 private:
  void failed(const Failure& failure);
  void threw() noexcept;

  const AuditHook& hook_;
  const Backend& slave_;
  const OperationRecord& operation_;
  AuditRecord record_;  // how it ends; who, what and when are added at the end
  bool is_begun_ = false;
  bool is_over_ = false;
};

}  // namespace remsh
