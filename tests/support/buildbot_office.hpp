// BuildbotOffice: a master for workers of Buildbot, and tests of one worker for each protocol.
#pragma once

#include "support/buildbot_worker.hpp"
#include "support/skip.hpp"
#include "support/slaves.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

namespace remsh::test {

/// A master for workers of both protocols and for slaves of ours, on one port, with the passwords of two workers.
struct BuildbotOffice {
  SlaveCollection slaves;
  Log log;
  KeyRing keys;
  KeyRegistration b1 = keys.register_password("b1", "pw1", {.labels = {{"os", "linux"}}});
  KeyRegistration b2 = keys.register_password("b2", "pw2");
  TcpSlaveListener listener{
      {.slave_collection = slaves,
       .address = "tcp:127.0.0.1:0",
       .keys = keys,
       .protocols = {SlaveProtocol::remsh2(), SlaveProtocol::buildbot_pb(), SlaveProtocol::buildbot_msgpack()},
       .arbitration_timeout = std::chrono::seconds(2),
       .log = log.hook()}};

  BuildbotOffice() { listener.start(); }

  std::shared_ptr<Slave> wait_for(const std::string& name) {
    auto slave = slaves.get_slave(ample, [&](const Slave& one) { return one.name() == name; });
    if (!slave) throw std::runtime_error("the worker does not come: " + log.text());
    return slave;
  }
};

/// One worker of one of the protocols.
struct OneWorker : BuildbotOffice {
  explicit OneWorker(const std::string& protocol) : worker(protocol, listener.port()) {}
  BuildbotWorker worker;
  std::shared_ptr<Slave> slave = wait_for("b1");
};

template <class Test>
void with_both_protocols(Test test) {
  if (!has_buildbot_worker()) return skip("buildbot-worker is not installed");
  for (const std::string& protocol : {pb, msgpack}) {
    CAPTURE(protocol);
    test(protocol);
  }
}

template <class Test>
void with_a_worker(Test test) {
  with_both_protocols([&](const std::string& protocol) {
    OneWorker one(protocol);
    test(one);
  });
}

}  // namespace remsh::test
