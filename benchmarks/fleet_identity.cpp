#include "fleet_identity.hpp"

#include <remsh/connection/box_codec.hpp>

#include <cstdio>

namespace remsh::bench {

std::string fleet_name(std::size_t number) {
  char name[32];
  std::snprintf(name, sizeof name, "slave-%06zu", number);
  return name;
}

Secret fleet_key(std::size_t number) {
  Bytes bytes = "a key of " + fleet_name(number);
  bytes.resize(Secret::size, '.');
  return *Secret::from_bytes(bytes);
}

Secret fleet_key_of_limit() { return *Secret::from_bytes(Bytes(Secret::size, 'k')); }

Bytes fleet_registration() {
  Bytes bytes;
  BoxWriter(bytes)
      .field("basedir", "/var/lib/remsh-slave")
      .field("boot", "0123456789abcdef0123456789abcdef")
      .field("hostname", "builder.example.org")
      .field("instance", "fedcba9876543210fedcba9876543210")
      .field("software", "remsh-slave 0.1.0")
      .field("system", "linux")
      .end();
  return bytes;
}

}  // namespace remsh::bench
