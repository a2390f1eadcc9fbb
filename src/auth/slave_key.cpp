#include <remsh/auth/slave_key.hpp>

#include "auth/key_file.hpp"
#include "base/throw_failure.hpp"

#include <utility>

namespace remsh {

SlaveKey read_slave_key(const std::string& path) {
  auto own = auth::read_own_key(path);
  if (!own) throw_failure(own.failure(), "", "read a slave's key");
  return {std::move(own->name), std::move(own->key)};
}

}  // namespace remsh
