// Greeting: the handshake of one accepted connection.
#pragma once

#include "base/result.hpp"
#include "messages/bell.hpp"
#include "messages/message_stream.hpp"
#include "messages/proof.hpp"
#include "messages/proof_run.hpp"
#include "transport/gate.hpp"
#include "transport/loop.hpp"
#include "transport/tls_transport.hpp"

#include <remsh/base/deadline.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace remsh::messages {

/// One connection, from its first byte to the end of the proofs: TLS, or two challenges. Runs on the loop,
/// and never waits there.
class Greeting : public std::enable_shared_from_this<Greeting> {
 public:
  /// Called once, on the loop, when it is over.
  using Done = std::function<void(Greeting&, Result<void>)>;

  struct Start {
    std::shared_ptr<MessageStream> stream;
    TlsTransport* tls = nullptr;            ///< in the stream, if there is TLS: it proves the key
    std::unique_ptr<ProofSide> proof = {};  ///< without TLS
    std::string who = {};                   ///< the client, for the log
    Gate::Id place = 0;
    Origin origin = {};
  };

  Greeting(Loop& loop, Start start, Done done);
  Greeting(const Greeting&) = delete;
  Greeting& operator=(const Greeting&) = delete;
  ~Greeting();

  void begin(Duration limit);

  /// Closes the connection; it is not reported as over. Any thread.
  void drop() noexcept { stream_->close(); }

  [[nodiscard]] const std::shared_ptr<MessageStream>& stream() const noexcept { return stream_; }
  [[nodiscard]] const std::string& who() const noexcept { return who_; }
  [[nodiscard]] Gate::Id place() const noexcept { return place_; }
  [[nodiscard]] const Origin& origin() const noexcept { return origin_; }

 private:
  void advance();
  Result<bool> go_on();
  Result<bool> secure();
  Result<bool> prove();
  void watch(Ready direction);
  void finish(Result<void> result);

  Loop& loop_;
  const std::shared_ptr<MessageStream> stream_;
  TlsTransport* tls_;
  std::optional<ProofRun> proof_;
  const std::string who_;
  const Gate::Id place_;
  const Origin origin_;
  Done done_;
  const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
  std::optional<Loop::TimerId> timer_;
};

}  // namespace remsh::messages
