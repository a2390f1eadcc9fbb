#include "auth/derive.hpp"
#include "auth/master_handshake.hpp"
#include "auth/slave_handshake.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "connection/raw_connection.hpp"

#include <remsh/auth/challenge.hpp>
#include <remsh/auth/key_ring.hpp>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace remsh {
namespace {

using auth::MasterHandshake;
using auth::SlaveHandshake;

/// The channel binding for the proofs. Throws before anything is sent if the name or the binding is invalid.
Bytes checked_binding(const Connection& connection, std::string_view name, const char* operation) {
  if (!auth::is_slave_name(name)) {
    throw Error(Errc::invalid_argument, "", operation, in_quotes(name) + " is no name that a slave can have");
  }
  Bytes binding = connection.channel_binding();
  if (!binding.empty() && binding.size() != auth::binding_size) {
    throw Error(
        Errc::invalid_argument, "", operation,
        formatted("the channel binding of the transport has {} bytes, not {}", binding.size(), auth::binding_size));
  }
  return binding;
}

/// The keys of a master that knows one slave.
std::shared_ptr<const auth::MasterKeys> one_key(std::string_view name, const Secret& secret) {
  const auto find = [name = std::string(name), secret, kid = auth::kid(secret)](BytesView its_name,
                                                                                BytesView its_kid) -> auth::KeyAnswer {
    if (its_name != name) return {.reason = formatted("the name should be '{}'", name)};
    if (its_kid != kid) return {.reason = formatted("the key should be '{}'", kid)};
    return {.key = secret};
  };
  return std::make_shared<auth::MasterKeys>(auth::MasterKeys{.decoy = make_key(), .find = find});
}

/// Reads the next bytes and advances the handshake.
template <class Handshake>
typename Handshake::Step next_step(RawConnection& line, Handshake& handshake, const char* operation,
                                   Deadline deadline) {
  const BytesView bytes = line.read(deadline);
  if (bytes.empty()) throw_failure(handshake.at_end(), "", operation);
  return handshake.feed(bytes);
}

/// Runs one side of the challenge, and closes the connection if it fails.
template <class Side>
void prove(Connection& connection, const char* operation, const Side& side) {
  try {
    RawConnection line(connection, operation);
    if (std::optional<Failure> failure = side(line)) {
      failure->message += "; closed the connection to " + connection.description();
      throw_failure(*failure, "", operation);
    }
  } catch (...) {
    connection.close();
    throw;
  }
}

}  // namespace

void deliver_challenge(Connection& connection, std::string_view name, const Secret& secret, Deadline deadline) {
  constexpr const char* operation = "deliver a challenge";
  MasterHandshake handshake({.nonce = auth::new_nonce(),
                             .keyless_allowed = false,
                             .keys = one_key(name, secret),
                             .binding = checked_binding(connection, name, operation)});
  prove(connection, operation, [&](RawConnection& line) -> std::optional<Failure> {
    for (;;) {
      using Action = MasterHandshake::Step::Action;
      MasterHandshake::Step step = next_step(line, handshake, operation, deadline);
      switch (step.action) {
        case Action::read: break;
        case Action::send: line.write(step.bytes, deadline); break;
        case Action::registered:
          line.write(handshake.open(auth::max_keepalive), deadline);  // no pings are sent here
          return std::nullopt;
        case Action::fail:
          std::this_thread::sleep_for(auth::failure_delay);
          try {
            line.write(step.bytes, no_wait);
          } catch (const Error&) {  // the peer is gone
          }
          return std::move(step.failure);
        case Action::close: return std::move(step.failure);
      }
    }
  });
}

void answer_challenge(Connection& connection, std::string_view name, const Secret& secret, Deadline deadline) {
  constexpr const char* operation = "answer a challenge";
  SlaveHandshake handshake({.registration = {.name = std::string(name)},
                            .nonce = auth::new_nonce(),
                            .key = secret,
                            .binding = checked_binding(connection, name, operation)});
  prove(connection, operation, [&](RawConnection& line) -> std::optional<Failure> {
    line.write(handshake.start(), deadline);
    for (;;) {
      using Action = SlaveHandshake::Step::Action;
      SlaveHandshake::Step step = next_step(line, handshake, operation, deadline);
      switch (step.action) {
        case Action::read: break;
        case Action::send: line.write(step.bytes, deadline); break;
        case Action::open: line.give_back(step.bytes); return std::nullopt;
        case Action::enrolled:
        case Action::refused:
        case Action::failed: return std::move(step.failure);
      }
    }
  });
}

}  // namespace remsh
