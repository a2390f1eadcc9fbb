// Reception: the connections of one listener, until they are accepted.
#pragma once

#include "base/result.hpp"
#include "messages/bell.hpp"
#include "messages/greeting.hpp"
#include "messages/message_stream.hpp"
#include "messages/proof_terms.hpp"
#include "os/unique_fd.hpp"
#include "transport/gate.hpp"
#include "transport/loop.hpp"
#include "transport/tls_context.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/base/log.hpp>

#include <sys/types.h>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace remsh::messages {

/// How a listener treats its connections.
struct ReceptionRules {
  ProofTerms terms = {};
  bool is_local = false;  ///< nobody beyond this machine can connect
  bool is_unix = false;
  std::optional<mode_t> mode = {};  ///< whom an abstract name lets in
  std::shared_ptr<const TlsContext> tls = {};
  Duration handshake_timeout = {};
  GateOptions gate = {};
  LogHook log = {};
};

/// The connections of one listener: those that are proving themselves, and those that wait to be accepted. Thread-safe.
class Reception : public std::enable_shared_from_this<Reception> {
 public:
  struct Arrival {
    std::shared_ptr<MessageStream> stream;
    std::optional<std::string> address;  ///< of the client, if it has one
  };

  /// The loop must outlive it.
  Reception(Loop& loop, ReceptionRules rules);
  Reception(const Reception&) = delete;
  Reception& operator=(const Reception&) = delete;
  ~Reception() = default;

  /// A new connection. On the loop.
  void arrive(UniqueFd socket);
  void cannot_accept(int error);

  /// Sets the function that resumes and pauses accepting; empty: none. The previous one is not called after this
  /// returns.
  void set_valve(std::function<void(bool lets_in)> valve);

  /// The next connection, or the failure of one that could not prove itself. nullopt if there is none. Fails when it is
  /// closed.
  std::optional<Result<Arrival>> take();

  /// Waits until take() has something, the listener is closed, or the time is over.
  void wait(Duration wait);

  /// Rings the bell when take() has something, until unwatch().
  void watch(std::shared_ptr<Bell> bell);
  void unwatch(const std::shared_ptr<Bell>& bell) noexcept;

  /// Drops all connections that are not accepted. The log hook is not called any more.
  void close();

 private:
  void begin(UniqueFd socket);
  void regulate();
  [[nodiscard]] std::string why_not_let_in(int socket, Origin& origin) const;
  void greeted(Greeting& greeting, Result<void> result);
  void let_in_or_refuse(Greeting& greeting, Result<void> result);
  void add(Result<Arrival> arrival);
  void refuse(const Origin& origin, const std::string& who, const std::string& why);
  void log(LogLevel level, const std::string& who, const std::string& message);

  Loop& loop_;
  const ReceptionRules rules_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  Gate gate_;
  std::set<std::shared_ptr<Greeting>> greetings_;
  std::deque<Result<Arrival>> ready_;
  std::size_t failures_ = 0;  // of the ready ones
  std::vector<std::shared_ptr<Bell>> bells_;
  bool is_closed_ = false;

  std::mutex valve_mutex_;  // held while the valve is called
  std::function<void(bool)> valve_;
  bool is_held_ = false;

  std::mutex log_mutex_;  // held while the hook runs
  bool logs_ = true;
};

}  // namespace remsh::messages
