// AuditTrail: an operation under way, of whose end an AuditHook is to be told.
#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "master/backend.hpp"
#include "master/request.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/master/audit.hpp>

#include <cstdint>
#include <string>
#include <type_traits>

namespace remsh {

/// An operation under way, of whose end an AuditHook is to be told: by the destructor, where it was begun. Until it
/// hears of another end, its caller has left it. One thread at a time. The hook must outlive it.
class AuditTrail {
 public:
  AuditTrail(const AuditHook& hook, const Request& request, const std::string& tag);
  AuditTrail(const AuditTrail&) = delete;
  AuditTrail& operator=(const AuditTrail&) = delete;
  ~AuditTrail();

  void add_argument(const Bytes& argument) { record_.arguments.push_back(argument); }
  void set_command(const std::vector<Bytes>& args, const ExecuteOptions& options);
  void set_bytes(std::uint64_t bytes) noexcept { record_.bytes = bytes; }
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
  AuditRecord record_;
  const TimePoint start_ = real_clock().now();
  bool is_begun_ = false;
  bool is_over_ = false;
};

}  // namespace remsh
