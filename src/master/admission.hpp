// Admission: one connection on its way to being a slave. Admissions: all of those of one listener, and what they share.
#pragma once

#include "auth/handshake.hpp"
#include "base/result.hpp"
#include "master/any_handshake.hpp"
#include "master/backend.hpp"
#include "master/remsh1_backend.hpp"
#include "master/remsh2_backend.hpp"
#include "master/runtime.hpp"

#include <remsh/master/slave_listener.hpp>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace remsh {

class Admission;

/// What the connections of one listener share: its options, who is on the way, which peers there are. Thread-safe. May
/// outlive the listener for as long as a slave does, but does nothing after shut_down().
class Admissions : public std::enable_shared_from_this<Admissions> {
 public:
  using Done = std::function<void(Result<std::shared_ptr<Slave>>)>;

  explicit Admissions(ListenerOptions options);

  /// Begins with a connection; `done` is told how it ended, on the loop or a service thread.
  void admit(std::unique_ptr<Transport> connection, Done done);

  /// Ends all that is under way and all connections, and waits until nothing of it runs.
  void shut_down();

  [[nodiscard]] const ListenerOptions& options() const noexcept { return options_; }
  [[nodiscard]] const std::shared_ptr<Loop>& loop() const noexcept { return loop_; }
  [[nodiscard]] std::shared_ptr<Slave> last_accepted() const;
  void log(LogLevel level, const std::string& peer, const std::string& message) const;
  void cannot_accept(int error) const;

 private:
  friend class Admission;

  /// Runs a function on a service thread of one kind; shut_down() waits for it.
  void run_service(ServiceThreads& (Runtime::*kind)() noexcept, std::function<void()> function);
  [[nodiscard]] std::shared_ptr<Remsh2Group> group();
  [[nodiscard]] std::function<void(std::function<void()>)> run_farewell();
  /// False where we are shutting down.
  bool add(const std::shared_ptr<Remsh1Backend>& original);
  [[nodiscard]] std::vector<std::shared_ptr<Remsh1Backend>> originals() const;
  void log_end(const std::string& name, const Failure& failure) const;
  bool claim(const std::string& name);
  void release(const std::string& name);
  void accepted(const std::shared_ptr<Slave>& slave);
  void ended(const std::shared_ptr<Admission>& admission);
  [[nodiscard]] bool is_shutting_down() const;

  const std::shared_ptr<Loop> loop_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<Runtime> runtime_;  // let go by shut_down(): it must not end with us, on a thread of its own
  const ListenerOptions options_;     // but for the runtime
  bool shutting_down_ = false;
  unsigned services_ = 0;  // functions on service threads
  std::set<std::shared_ptr<Admission>> under_way_;
  std::set<std::string> claimed_;       // names of those between their prove and the collection
  std::shared_ptr<Remsh2Group> group_;  // of all the slaves but the original ones
  std::vector<std::weak_ptr<Remsh1Backend>> originals_;
  std::weak_ptr<Slave> last_accepted_;
};

/// One connection, from its first byte to the collection. The handshake is stepped on the loop, and costs no thread;
/// the user's slave class and setup() run on a service thread.
///
///     handshake (loop) → consider (service) → welcome (loop) → set_up (service) → done
class Admission final : public Watched, public std::enable_shared_from_this<Admission> {
 public:
  Admission(std::shared_ptr<Admissions> owner, std::unique_ptr<Transport> transport, Admissions::Done done);
  ~Admission() { let_go(); }

  // On the loop.
  void begin();
  void abort(Failure failure);
  void on_ready(std::uint32_t number, Ready directions) override;

 private:
  enum class State : std::uint8_t { handshake, failing, considering, admitted, over };

  // On the loop.
  void read();
  void act(AnyHandshake::Step step);
  void write(const Bytes& bytes);
  void arm();
  void set_timer(Duration wait, void (Admission::*expired)());
  void too_late();
  void send_failure();
  void welcome();
  void open();
  void fail(const Failure& failure);
  void refuse_now();
  void let_go();

  // On a service thread.
  void consider();
  void make_backend();
  [[nodiscard]] bool is_name_free();
  void set_up();
  void refuse(auth::Refusal refusal, std::string reason, std::optional<std::chrono::milliseconds> retry = {});

  void finish(Result<std::shared_ptr<Slave>> result);

  const std::shared_ptr<Admissions> owner_;
  const std::string address_;
  std::unique_ptr<Transport> transport_;
  Admissions::Done done_;
  AnyHandshake handshake_;
  State state_ = State::handshake;
  std::uint32_t slot_ = 0;
  bool has_slot_ = false;
  std::uint32_t number_ = 0;
  std::optional<Loop::TimerId> timer_;
  Bytes unwritten_;
  std::atomic<bool> is_gone_ = false;  // for the service thread
  std::optional<Failure> gone_;        // it ended while it was being considered

  // What a failing or refused one is told at the end.
  struct Refused {
    auth::Refusal refusal;
    std::string reason;
    std::optional<std::chrono::milliseconds> retry;
  };
  Bytes farewell_;
  std::optional<Failure> verdict_;
  std::optional<Refused> refused_;

  bool has_claim_ = false;
  Registration registration_;
  std::string name_;
  std::shared_ptr<Backend> backend_;  // which is one of these two:
  std::shared_ptr<Remsh2Backend> remsh2_;
  std::shared_ptr<Remsh1Backend> original_;  // the slave's, where it is an original one
  std::shared_ptr<Slave> slave_;
};

}  // namespace remsh
