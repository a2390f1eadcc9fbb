// TransportSlaveListener: slaves over connections that the host program brings.
#pragma once

#include <remsh/master/slave_listener.hpp>

namespace remsh {

/// Accepts slaves over connections that the host program brings: pass each to handle_new_connection(). It opens no
/// port, so start() and stop() do nothing.
///
///     remsh::TransportSlaveListener listener({.slave_collection = slaves});
///     auto slave = listener.handle_new_connection(std::move(transport));
class REMSH_API TransportSlaveListener final : public SlaveListener {
 public:
  explicit TransportSlaveListener(ListenerOptions options);
  ~TransportSlaveListener() override;

  void start() override {}
  void stop() override {}
};

}  // namespace remsh
