#include <remsh/master/slave_filter.hpp>

#include <string>
#include <utility>

namespace remsh {

SlaveFilter label(std::string key) {
  return [key = std::move(key)](const Slave& slave) { return slave.label(key).has_value(); };
}

SlaveFilter label(std::string key, std::string value) {
  return [key = std::move(key), value = std::move(value)](const Slave& slave) { return slave.label(key) == value; };
}

SlaveFilter claimed_label(std::string key) {
  return [key = std::move(key)](const Slave& slave) { return slave.claimed_label(key).has_value(); };
}

SlaveFilter claimed_label(std::string key, std::string value) {
  return [key = std::move(key), value = std::move(value)](const Slave& slave) {
    return slave.claimed_label(key) == value;
  };
}

}  // namespace remsh
