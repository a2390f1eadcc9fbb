// The protocols of this library. This is the one place that names them all.
#include <remsh/master/slave_protocol.hpp>

#include "base/format.hpp"
#include "master/buildbot_protocol.hpp"
#include "master/known_protocols.hpp"
#include "master/remsh1_protocol.hpp"
#include "master/remsh2_protocol.hpp"
#include "master/worker_protocol.hpp"

namespace remsh {

SlaveProtocol SlaveProtocol::remsh2(const Remsh2Options& options) {
  static const SlaveProtocol plain(remsh2_protocol({}));
  if (!options.compression) return plain;
  static const SlaveProtocol compressing(remsh2_protocol(options));
  return compressing;
}

SlaveProtocol SlaveProtocol::remsh1() {
  static const SlaveProtocol protocol(remsh1_protocol());
  return protocol;
}

SlaveProtocol SlaveProtocol::buildbot_pb() {
  static const SlaveProtocol protocol(buildbot_pb_protocol());
  return protocol;
}

SlaveProtocol SlaveProtocol::buildbot_msgpack() {
  static const SlaveProtocol protocol(buildbot_msgpack_protocol());
  return protocol;
}

std::string SlaveProtocol::name() const { return std::string(worker_->name()); }

std::vector<SlaveProtocol> known_protocols() {
  return {SlaveProtocol::remsh2(), SlaveProtocol::remsh1(), SlaveProtocol::buildbot_pb(),
          SlaveProtocol::buildbot_msgpack()};
}

Failure no_such_operation(std::string_view protocol, std::string_view operation) {
  return {Errc::unsupported, formatted("the slave speaks {}, which has no operation '{}'", protocol, operation), 0};
}

}  // namespace remsh
