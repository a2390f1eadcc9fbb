#include "slave/contact_check.hpp"

#include "auth/derive.hpp"
#include "auth/slave_handshake.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "slave/master_contact.hpp"
#include "transport/look_up.hpp"

#include <cerrno>
#include <utility>

namespace remsh {

namespace {

using Kind = Address::Kind;

std::string advice_for_connecting(const Failure& failure, const Address& address) {
  const bool is_unix = address.kind == Kind::unix_socket;
  switch (failure.os) {
    case ECONNREFUSED: return "nothing listens there: is the master started, and is this its address?";
    case ENOENT: return "there is no such socket: is the master started, and is this its address?";
    case EACCES:
    case EPERM:
      return is_unix ? "the socket is another user's: run the slave as the user of the master, or use TCP with a key"
                     : "this system does not let the slave connect there: look at its firewall";
    case ENETUNREACH:
    case EHOSTUNREACH: return "there is no way to that host: look at the network of this machine";
    default: break;
  }
  if (failure.code == Errc::timeout) return "nothing answers there: is the address right, or does a firewall drop it?";
  return "is this the address of a master?";
}

std::string advice_for_proving(const Failure& failure, const SlaveOptions& options) {
  switch (failure.code) {
    case Errc::auth_failed:
      if (!options.tls.ca.empty()) {
        return "is the CA the one that vouches for the master (--ca), for this name (--server-name), and does the "
               "master have this key? Its log says why it refuses one";
      }
      if (!options.key) return "the master wants a key: make one there ('remsh-slave keygen add NAME'), and give --key";
      return formatted(
          "does the master have the key {}? 'remsh-slave keygen list' shows that there, and its log says "
          "why it refuses one: it may have expired, or hold for another network",
          auth::kid(*options.key));
    case Errc::refused: return "the master knows this slave, and said why it does not want it now";
    case Errc::protocol_error: return "is this the address of a master of remsh, and not of another program?";
    case Errc::timeout: return "something listens there and does not answer as a master does: is it one?";
    case Errc::invalid_argument: return "change the options";
    default: return "the master's log may say why: is it one of remsh, with TLS if the address says so?";
  }
}

bool is_about_connecting(const Failure& failure) {
  return failure.code == Errc::local_os_error || failure.code == Errc::timeout || failure.code == Errc::os_error;
}

/// Looks the host up, to say what its addresses are.
Result<std::string> addresses_of(const Address& address, Deadline deadline) {
  auto list = look_up(address, deadline, {});
  if (!list) return std::move(list).failure();
  std::string text;
  for (const SocketAddress& one : *list) text += (text.empty() ? "" : ", ") + to_string(one);
  return text;
}

}  // namespace

ContactCheck check_master(const Address& address, const SlaveOptions& options, Deadline deadline) {
  using Action = auth::SlaveHandshake::Step::Action;
  ContactCheck check;
  const auto fails = [&check](Failure failure, std::string advice) {
    check.failure = std::move(failure);
    check.advice = std::move(advice);
    return std::move(check);
  };
  if (address.kind != Kind::unix_socket) {
    auto found = addresses_of(address, deadline);
    if (!found) {
      return fails(std::move(found).failure(),
                   "is the name of the host right, and does this machine's resolver know it?");
    }
    check.passed.push_back("it resolves to " + *found);
  }
  auto transport = reach_master(address, options, deadline, {});
  if (!transport) {
    const Failure failure = std::move(transport).failure();
    if (is_about_connecting(failure)) return fails(failure, advice_for_connecting(failure, address));
    if (failure.code != Errc::invalid_argument) check.passed.emplace_back("it can be connected to");
    return fails(failure, advice_for_proving(failure, options));
  }
  check.passed.push_back(address.kind == Kind::tls ? "it can be connected to, and has proven itself with TLS"
                                                   : "it can be connected to");
  if (options.protocol == 1) {
    check.passed.emplace_back("a master of the original remsh proves nothing: there is no more to check");
    return check;
  }
  auth::SlaveHandshake::Options handshake;
  handshake.registration = registration_of(options, {});
  handshake.registration.check = "1";
  handshake.key = options.key;
  auto step = shake_hands(**transport, std::move(handshake), deadline, {});
  if (!step) return fails(step.failure(), advice_for_proving(step.failure(), options));
  const bool is_passed =
      step->action == Action::open || (step->action == Action::refused && step->refusal == auth::Refusal::checked);
  if (!is_passed) return fails(step->failure, advice_for_proving(step->failure, options));
  check.passed.push_back(options.key ? formatted("it has accepted the proof of the key {}, and proven that it has it",
                                                 auth::kid(*options.key))
                                     : "it accepts this slave without a key");
  return check;
}

}  // namespace remsh
