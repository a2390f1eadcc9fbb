// Registration: what a slave tells of itself.
#pragma once

#include <remsh/base/bytes.hpp>

#include <string>
#include <vector>

namespace remsh {

/// What a slave tells of itself when it registers. All of it is what the slave claims. Its name is proven where it has
/// a `key_id`; without, it is vouched for by nothing but who may reach the listener. Values hold any bytes, the name
/// excepted: escape them where they are shown.
struct Registration {
  std::string name = {};                   ///< [A-Za-z0-9][A-Za-z0-9._-]{0,63}
  std::string hostname = {};               ///< empty, as all below: not told
  std::string system = {};                 ///< "linux"
  std::string software = {};               ///< "remsh 0.1.0"
  Bytes basedir = {};                      ///< absolute
  std::string key_id = {};                 ///< the id of the key that proves the name; empty: keyless
  std::vector<std::string> features = {};  ///< abilities beyond the base: offered by the slave, or in force; ascending

  friend bool operator==(const Registration&, const Registration&) = default;
};

}  // namespace remsh
