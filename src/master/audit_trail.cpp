// AuditTrail: an operation under way, of whose end an AuditHook is to be told.
#include "master/audit_trail.hpp"

#include <exception>
#include <utility>

namespace remsh {

AuditTrail::AuditTrail(const AuditHook& hook, const Request& request, const std::string& tag) : hook_(hook) {
  record_.start = std::chrono::system_clock::now();
  record_.slave = request.backend().name();
  record_.key_id = request.backend().key_id();
  record_.operation = request.verb();
  for (const BytesView argument : {request.first(), request.second()}) {
    if (!argument.empty()) record_.arguments.emplace_back(argument);
  }
  record_.tag = tag;
  record_.error = Errc::cancelled;
  record_.message = "the caller has left it";
}

AuditTrail::~AuditTrail() {
  if (!is_begun_) return;
  record_.duration = real_clock().now() - start_;
  try {
    hook_(record_);
  } catch (...) {  // NOLINT(bugprone-empty-catch): there is nobody to whom it could be given
  }
}

void AuditTrail::set_command(const std::vector<Bytes>& args, const ExecuteOptions& options) {
  record_.cwd = options.cwd;
  if (!options.hide_args) record_.arguments = args;  // else the program alone, as the request has it
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
    record_.message = std::string("a callback threw: ") + error.what();
  } catch (...) {
    record_.error = Errc::cancelled;
    record_.message = "a callback threw";
  }
}

}  // namespace remsh
