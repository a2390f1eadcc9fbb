// Result<T>: how private code returns failures.
#pragma once

#include <remsh/base/error.hpp>

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace remsh {

/// Why something failed, without the slave and the operation, which the caller adds.
struct Failure {
  Errc code = Errc::remote_failure;
  std::string message;
  int os = 0;                                       ///< an errno value of the system that failed; 0: none
  DisconnectReason reason = DisconnectReason::cut;  ///< of a failure that ends a connection
};

/// The failure of a connection whose other end breaks the protocol.
inline Failure breach(std::string what) { return {Errc::protocol_error, std::move(what), 0}; }

/// A value, or the failure that prevented it.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Failure failure) : state_(std::in_place_index<1>, std::move(failure)) {}

  [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  T& value() & { return assert(ok()), *std::get_if<0>(&state_); }
  const T& value() const& { return assert(ok()), *std::get_if<0>(&state_); }
  T&& value() && { return assert(ok()), std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Failure& failure() & { return assert(!ok()), *std::get_if<1>(&state_); }
  const Failure& failure() const& { return assert(!ok()), *std::get_if<1>(&state_); }
  Failure&& failure() && { return assert(!ok()), std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, Failure> state_;
};

/// Success without a value, or a failure.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Failure failure) : failed_(true), failure_(std::move(failure)) {}

  [[nodiscard]] bool ok() const noexcept { return !failed_; }
  explicit operator bool() const noexcept { return ok(); }
  Failure& failure() & { return assert(failed_), failure_; }
  const Failure& failure() const& { return assert(failed_), failure_; }
  Failure&& failure() && { return assert(failed_), std::move(failure_); }

 private:
  bool failed_ = false;
  Failure failure_;
};

}  // namespace remsh
