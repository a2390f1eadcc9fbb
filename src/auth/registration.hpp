// Registration: what a slave reports about itself.
#pragma once

#include <remsh/base/bytes.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace remsh {

/// What a slave reports when it registers. All of it is claimed by the slave. Its name is proven if it has a `key_id`;
/// otherwise anyone who can reach the listener can claim it. Values except the name hold arbitrary bytes: escape them
/// before showing them.
struct Registration {
  std::string name = {};                   ///< [A-Za-z0-9][A-Za-z0-9._-]{0,63}
  std::string hostname = {};               ///< empty, like all below: not reported
  std::string system = {};                 ///< "linux"
  std::string software = {};               ///< "remsh 0.1.0"
  Bytes basedir = {};                      ///< absolute
  std::string boot_id = {};                ///< of this boot of the machine
  std::string instance_id = {};            ///< of this process
  std::string labels = {};                 ///< claimed_labels_text() of what its operator says of it
  std::string resources = {};              ///< resources_text() of what it announces
  std::string check = {};                  ///< "1": it only checks whether it would be admitted
  std::string key_id = {};                 ///< the id of the key that proves the name; empty: keyless
  std::vector<std::string> features = {};  ///< abilities beyond the base: offered by the slave, or in force; ascending

  friend bool operator==(const Registration&, const Registration&) = default;
};

namespace auth {

/// Whether a list of features, ascending, has this one.
inline bool has_feature(const std::vector<std::string>& features, std::string_view name) {
  return std::binary_search(features.begin(), features.end(), name);
}

}  // namespace auth

}  // namespace remsh
