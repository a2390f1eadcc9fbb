// Addresses that tests of transports connect to.
#pragma once

#include "os/unique_fd.hpp"
#include "transport/address.hpp"
#include "transport/endpoint.hpp"

#include <string>

namespace remsh::test {

/// The address of a TCP socket of ours that listens.
inline Address loopback(const UniqueFd& listening) {
  return {Address::Kind::tcp, "127.0.0.1", local_port(listening.get()), {}};
}

inline Address unix_at(const std::string& path) { return {Address::Kind::unix_socket, {}, 0, path}; }

/// A host that is known to the test only.
inline const Address farm_address{Address::Kind::tcp, "farm.example", 9876, {}};

}  // namespace remsh::test
