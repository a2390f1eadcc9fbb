#include "base/throw_failure.hpp"

#include <system_error>
#include <utility>

namespace remsh {

void throw_failure(const Failure& failure, std::string slave, std::string operation) {
  const std::error_code os = failure.os != 0 ? std::error_code(failure.os, std::generic_category()) : std::error_code();
  const auto raise = [&]<class Exception>(std::in_place_type_t<Exception>) {
    throw Exception(failure.code, std::move(slave), std::move(operation), failure.message, os);
  };
  if (failure.code == Errc::timeout) raise(std::in_place_type<Timeout>);
  if (failure.code == Errc::cancelled) raise(std::in_place_type<Cancelled>);
  if (failure.code == Errc::connection_lost) {
    throw ConnectionLost(failure.reason, std::move(slave), std::move(operation), failure.message, os);
  }
  if (failure.code == Errc::auth_failed) raise(std::in_place_type<AuthError>);
  if (failure.code == Errc::protocol_error) raise(std::in_place_type<ProtocolError>);
  throw Error(failure.code, std::move(slave), std::move(operation), failure.message, os);
}

}  // namespace remsh
