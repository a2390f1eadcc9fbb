#include <remsh/master/slave_filter.hpp>

#include <map>
#include <string>
#include <utility>

namespace remsh {

SlaveFilter label(std::string key) {
  return [key = std::move(key)](const Slave& slave) { return slave.info().labels.contains(key); };
}

SlaveFilter label(std::string key, std::string value) {
  return [key = std::move(key), value = std::move(value)](const Slave& slave) {
    const std::map<std::string, std::string> labels = slave.info().labels;
    const auto found = labels.find(key);
    return found != labels.end() && found->second == value;
  };
}

}  // namespace remsh
