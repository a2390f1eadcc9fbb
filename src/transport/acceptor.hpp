// Acceptor: accepts the connections of one listening socket, on the loop.
#pragma once

#include "os/unique_fd.hpp"
#include "transport/loop.hpp"

#include <functional>
#include <memory>

namespace remsh {

/// Accepts connections on the loop thread, and passes each on. Thread-safe.
///
/// If no descriptor is left for a connection, it is closed, so that the client notices, and accepting pauses. The loop
/// must outlive the acceptor.
class Acceptor {
 public:
  /// `on_connection` is called on the loop thread for each connection, and must not block. `on_failure`, which may be
  /// empty, is called there with an errno value if accepting fails, at most every ten seconds.
  Acceptor(Loop& loop, UniqueFd listening, std::function<void(UniqueFd)> on_connection,
           std::function<void(int)> on_failure);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  ~Acceptor();  ///< stops

  /// Leaves new connections to the system, as many as its backlog takes, until it is called with false.
  void hold(bool is_held);

  /// Closes the socket. Neither function runs after it returns; it waits for a running one, except on the loop thread.
  void stop();

 private:
  class State;
  std::shared_ptr<State> state_;
};

}  // namespace remsh
