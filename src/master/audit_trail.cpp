// AuditTrail: an operation in progress whose end is reported to an AuditHook.
#include "master/audit_trail.hpp"

#include "base/format.hpp"

#include <cstdint>
#include <exception>
#include <optional>
#include <string>

namespace remsh {

namespace {

/// How many bytes a transfer has moved; nullopt for other operations.
std::optional<std::uint64_t> transferred(const AskedOperation& asked) {
  const auto is_any_of = [&](auto... names) { return ((asked.what().name == names) || ...); };
  if (is_any_of(operations::Send::what.name, operations::SendTree::what.name)) return asked.moved.in();
  if (is_any_of(operations::Fetch::what.name, operations::FetchTree::what.name)) return asked.moved.out();
  return std::nullopt;
}

}  // namespace

AuditTrail::AuditTrail(const AuditHook& hook, const Backend& slave, const OperationRecord& operation)
    : hook_(hook), slave_(slave), operation_(operation) {
  record_.error = Errc::cancelled;
  record_.message = "the caller has left it";
}

AuditTrail::~AuditTrail() {
  if (!is_begun_) return;
  try {
    operation_.describe(record_);
    record_.slave = slave_.name();
    record_.key_id = slave_.key_id();
    record_.bytes = transferred(operation_.asked());
    hook_(record_);
  } catch (...) {  // NOLINT(bugprone-empty-catch): there is no caller to report it to
  }
}

void AuditTrail::failed(const Failure& failure) {
  record_.error = failure.code;
  record_.message = failure.message;
  record_.os = failure.os != 0 ? std::error_code(failure.os, std::generic_category()) : std::error_code();
}

void AuditTrail::threw() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    record_.error = error.code();
    record_.message = error.message();
    record_.os = error.os();
  } catch (const std::exception& error) {
    record_.error = Errc::cancelled;
    record_.message = formatted("a callback threw: {}", error.what());
  } catch (...) {
    record_.error = Errc::cancelled;
    record_.message = "a callback threw";
  }
}

}  // namespace remsh
