#include <remsh/slave/enrol.hpp>

#include "auth/slave_handshake.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "slave/master_contact.hpp"
#include "transport/address.hpp"

#include <remsh/base/error.hpp>
#include <remsh/slave/slave_server.hpp>

#include <stop_token>
#include <utility>

namespace remsh {

namespace {

Result<Secret> try_to_enrol(const std::string& address, const SlaveOptions& options, Deadline deadline) {
  using Action = auth::SlaveHandshake::Step::Action;
  const auto parsed = parse_address(address);
  if (!parsed) return parsed.failure();
  if (!auth::is_slave_name(options.name)) {
    return Failure{Errc::invalid_argument,
                   formatted("the name {} is none that a slave may have", in_quotes(options.name)), 0};
  }
  if (parsed->kind != Address::Kind::tls) {
    return Failure{Errc::invalid_argument, "an invitation is only taken over TLS: give tls:HOST:PORT", 0};
  }
  auto transport = reach_master(*parsed, options, deadline, {});
  if (!transport) return std::move(transport).failure();
  auth::SlaveHandshake::Options handshake;
  handshake.registration = registration_of(options, {});
  handshake.key = options.key;
  handshake.enrols = true;
  auto step = shake_hands(**transport, std::move(handshake), deadline, {});
  if (!step) return std::move(step).failure();
  if (step->action == Action::enrolled) return *std::move(step->new_key);
  return std::move(step->failure);
}

}  // namespace

Secret enrol(const std::string& address, const std::string& name, const Secret& token, const TlsTrust& trust,
             Deadline deadline) {
  SlaveOptions options;
  options.name = name;
  options.key = token;
  options.tls = trust;
  auto key = try_to_enrol(address, options, deadline);
  if (!key) {
    Failure failure = std::move(key).failure();
    if (const auto parsed = parse_address(address); parsed) {
      failure.message = without_prefix(std::move(failure.message), to_string(*parsed) + ": ");
    }
    throw_failure(failure, name, "enrol at " + in_quotes(address));
  }
  return *std::move(key);
}

}  // namespace remsh
